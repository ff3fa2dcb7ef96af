/*
 * spans.c: finding and making origins and traces, and taking spans in.
 */
#include "ingester/head/spans.h"

bool spans_head_init(SpansHead *head, Slab *slab, size_t reserve, Budget *budget) {
    *head = (SpansHead){.slab = slab, .cache = span_cache_new()};
    /* Address space is scarce under sanitizers: what these describe is larger than they are. */
    return head->cache != NULL &&
           region_init(&head->origin_region, ALIGN_UP(reserve / 8, MIB(1)), budget) &&
           region_init(&head->trace_region, ALIGN_UP(reserve / 4, MIB(1)), budget) &&
           region_init(&head->tenant_region, ALIGN_UP(reserve / 16, MIB(1)), budget) &&
           table_init(&head->origins, budget) && table_init(&head->traces, budget);
}

void spans_head_done(SpansHead *head) {
    region_done(&head->origin_region);
    region_done(&head->trace_region);
    region_done(&head->tenant_region);
    table_done(&head->origins);
    table_done(&head->traces);
    span_cache_free(head->cache);
    *head = (SpansHead){0};
}

static bool make_tenants(SpansHead *head, uint32_t tenant) {
    while (head->tenant_count <= tenant) {
        size_t end = (head->tenant_count + (size_t)1) * sizeof(HeadSpanTenant);

        if (!region_commit(&head->tenant_region, end, false)) return false;
        *head_span_tenant(head, head->tenant_count++) = (HeadSpanTenant){.traces = SPANS_NONE};
    }
    return true;
}

/* ---------- origins ---------- */

uint32_t spans_head_find_origin(const SpansHead *head, Hash128 id) {
    TABLE_EACH(&head->origins, (uint32_t)id.low, i) {
        Hash128 held = head_origin(head, i)->id;

        if (held.low == id.low && held.high == id.high) return i;
    }
    return SPANS_NONE;
}

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a new resource of spans");
}

ErrCode spans_head_add_origin(SpansHead *head, Hash128 id, Str bytes, uint32_t *ret_origin,
                              Error *err) {
    uint32_t n = head->origin_count;
    SlabHandle held;

    if (bytes.len > SPAN_ORIGIN_BYTES_MAX)
        return error_set(err, ERR_INVALID, "a resource of %zu bytes", bytes.len);
    if (n + 1 >= SPANS_NONE || !table_reserve(&head->origins) ||
        !region_commit(&head->origin_region, (n + (size_t)1) * sizeof(HeadOrigin), false))
        return no_memory(err);
    held = slab_alloc_exact(head->slab, MAX(bytes.len, (size_t)1), false);
    if (held == 0) return no_memory(err);
    if (bytes.len > 0) memcpy(slab_ptr(head->slab, held), bytes.ptr, bytes.len);
    *head_origin(head, n) = (HeadOrigin){.id = id, .bytes = held, .length = (uint32_t)bytes.len};
    table_add(&head->origins, (uint32_t)id.low, n);
    head->origin_count++;
    head->bytes += bytes.len;
    *ret_origin = n;
    return ERR_OK;
}

/* ---------- traces ---------- */

/* Trace ids are random, but whoever sends them may choose them. */
static uint32_t trace_tag(uint32_t tenant, const TraceId *id) {
    return (uint32_t)hash_bytes_seeded(id->bytes, sizeof id->bytes, tenant);
}

static uint32_t find_trace(const SpansHead *head, uint32_t tag, uint32_t tenant,
                           const TraceId *id) {
    TABLE_EACH(&head->traces, tag, i) {
        const HeadTrace *trace = head_trace(head, i);

        if (trace->tenant == tenant && trace_id_equal(&trace->id, id)) return i;
    }
    return SPANS_NONE;
}

uint32_t spans_head_find_trace(const SpansHead *head, uint32_t tenant, const TraceId *id) {
    return find_trace(head, trace_tag(tenant, id), tenant, id);
}

uint32_t spans_head_trace(SpansHead *head, uint32_t tenant, const TraceId *id) {
    uint32_t tag = trace_tag(tenant, id), n = find_trace(head, tag, tenant, id);
    HeadSpanTenant *owner;

    if (n != SPANS_NONE) return n;
    n = head->trace_count;
    if (n + 1 >= SPANS_NONE || !make_tenants(head, tenant) || !table_reserve(&head->traces) ||
        !region_commit(&head->trace_region, (n + (size_t)1) * sizeof(HeadTrace), false))
        return SPANS_NONE;
    owner = head_span_tenant(head, tenant);
    *head_trace(head, n) = (HeadTrace){.id = *id,
                                       .min_ns = INT64_MAX,
                                       .max_ns = INT64_MIN,
                                       .tenant = tenant,
                                       .ordinal = owner->trace_count,
                                       .next = owner->traces};
    owner->traces = n;
    owner->trace_count++;
    table_add(&head->traces, tag, n);
    head->trace_count++;
    return n;
}

/* ---------- spans ---------- */

/* Units for a span; a chunk's rest is left where it doesn't fit. */
static SlabHandle take_room(SpansHead *head, size_t bytes) {
    SlabHandle units = (SlabHandle)(ALIGN_UP(bytes, SLAB_UNIT) / SLAB_UNIT), at;

    if (head->chunk_end - head->chunk < units) {
        size_t chunk = MAX(bytes, (size_t)SPANS_CHUNK_BYTES);

        head->chunk = slab_alloc_exact(head->slab, chunk, true);
        /* It is durable already: without memory there is no honest way on. After a restart the log
         * has it. */
        assert(head->chunk != 0 && "a head's address space is used up");
        head->chunk_end = head->chunk + (SlabHandle)(ALIGN_UP(chunk, SLAB_UNIT) / SLAB_UNIT);
        head->bytes += chunk;
    }
    at = head->chunk;
    head->chunk += units;
    return at;
}

void spans_head_append(SpansHead *head, uint32_t number, uint32_t origin, uint32_t push,
                       int64_t start_ns, int64_t end_ns, Str message) {
    HeadTrace *trace = head_trace(head, number);
    SlabHandle at = take_room(head, sizeof(HeadSpan) + message.len);
    HeadSpan *span = slab_ptr(head->slab, at);

    *span = (HeadSpan){.start_ns = start_ns,
                       .end_ns = end_ns,
                       .older = trace->newest,
                       .origin = origin,
                       .push = push,
                       .length = (uint32_t)message.len};
    memcpy(span + 1, message.ptr, message.len);
    trace->newest = at;
    trace->min_ns = MIN(trace->min_ns, start_ns);
    trace->max_ns = MAX(trace->max_ns, end_ns);
    trace->span_count++;
    trace->bytes += message.len;
    head->spans++;
}

/* ---------- reading ---------- */

static ErrCode out_of_budget(Error *err) {
    return error_set(err, ERR_LIMIT, "selecting from the head: the query's memory is used up");
}

static bool in_range(const HeadTrace *trace, int64_t min_ns, int64_t max_ns) {
    return trace->span_count > 0 && trace->min_ns <= max_ns && trace->max_ns >= min_ns;
}

/* Spans of a trace into `spans`, in order of arrival. */
static void hand_out(const SpansHead *head, const HeadTrace *trace, const HeadSpan **spans,
                     HeadTraceRef *out) {
    const HeadSpan **end = spans + trace->span_count;

    for (SlabHandle at = trace->newest; at != 0; at = head_span(head, at)->older)
        *--end = head_span(head, at);
    *out = (HeadTraceRef){.id = trace->id,
                          .min_ns = trace->min_ns,
                          .max_ns = trace->max_ns,
                          .spans = spans,
                          .count = trace->span_count};
}

static ErrCode hand_out_origins(const SpansHead *head, Arena *arena, HeadSpans *out, Error *err) {
    Str *origins = ARENA_ARRAY(arena, Str, MAX(head->origin_count, 1U));

    if (origins == NULL) return out_of_budget(err);
    for (uint32_t i = 0; i < head->origin_count; i++)
        origins[i] = head_origin_bytes(head, head_origin(head, i));
    out->origins = origins;
    out->origin_count = head->origin_count;
    return ERR_OK;
}

ErrCode spans_head_select(const SpansHead *head, uint32_t tenant, int64_t min_ns, int64_t max_ns,
                          const TraceId *only, Arena *arena, HeadSpans *out, Error *err) {
    uint32_t first =
        tenant < head->tenant_count ? head_span_tenant(head, tenant)->traces : SPANS_NONE;
    const HeadSpan **spans;
    size_t n = 0;

    *out = (HeadSpans){0};
    if (only != NULL) first = spans_head_find_trace(head, tenant, only);
    for (uint32_t i = first; i != SPANS_NONE;
         i = only != NULL ? SPANS_NONE : head_trace(head, i)->next) {
        if (!in_range(head_trace(head, i), min_ns, max_ns)) continue;
        out->trace_count++;
        out->span_count += head_trace(head, i)->span_count;
    }
    if (out->trace_count == 0) return ERR_OK;
    out->traces = arena_alloc(arena, out->trace_count * sizeof *out->traces);
    spans = arena_alloc(arena, out->span_count * sizeof *spans);
    if (out->traces == NULL || spans == NULL) return out_of_budget(err);
    for (uint32_t i = first; i != SPANS_NONE;
         i = only != NULL ? SPANS_NONE : head_trace(head, i)->next) {
        const HeadTrace *trace = head_trace(head, i);

        if (!in_range(trace, min_ns, max_ns)) continue;
        hand_out(head, trace, spans, &out->traces[n++]);
        spans += trace->span_count;
    }
    return hand_out_origins(head, arena, out, err);
}

/* ---------- groups ---------- */

/* What is said of a group before it is looked at closely. */
typedef struct GroupSum {
    int64_t min_ns;
    int64_t max_ns;
    uint64_t spans;
    uint32_t traces;
} GroupSum;

static GroupSum *sum_groups(const SpansHead *head, uint32_t first, size_t count, Arena *arena) {
    GroupSum *sums = ARENA_ARRAY(arena, GroupSum, count);

    for (size_t i = 0; sums != NULL && i < count; i++)
        sums[i] = (GroupSum){.min_ns = INT64_MAX, .max_ns = INT64_MIN};
    for (uint32_t i = first; sums != NULL && i != SPANS_NONE; i = head_trace(head, i)->next) {
        const HeadTrace *trace = head_trace(head, i);
        GroupSum *sum = &sums[trace->ordinal / SPAN_GROUP_TRACES];

        if (trace->span_count == 0) continue;
        sum->min_ns = MIN(sum->min_ns, trace->min_ns);
        sum->max_ns = MAX(sum->max_ns, trace->max_ns);
        sum->spans += trace->span_count;
        sum->traces++;
    }
    return sums;
}

static void group_release(void *what) {
    span_group_unref(what);
}

/* Its tables if they are kept; room for what to make them of if they aren't. */
static ErrCode begin_group(const SpansHead *head, uint32_t tenant, const GroupSum *sum,
                           Arena *arena, HeadSpanGroup *group, Error *err) {
    group->kept = span_cache_get(head->cache, tenant, group->number, sum->spans);
    if (group->kept != NULL) {
        if (arena_on_free(arena, group_release, group->kept)) return ERR_OK;
        span_group_unref(group->kept);
        return out_of_budget(err);
    }
    group->spans.traces = arena_alloc(arena, sum->traces * sizeof *group->spans.traces);
    if (group->spans.traces == NULL) return out_of_budget(err);
    return hand_out_origins(head, arena, &group->spans, err);
}

static ErrCode add_to_group(const SpansHead *head, const HeadTrace *trace, Arena *arena,
                            HeadSpanGroup *group, Error *err) {
    const HeadSpan **spans = arena_alloc(arena, trace->span_count * sizeof *spans);

    if (spans == NULL) return out_of_budget(err);
    hand_out(head, trace, spans, &group->spans.traces[group->spans.trace_count++]);
    group->spans.span_count += trace->span_count;
    return ERR_OK;
}

ErrCode spans_head_groups(const SpansHead *head, uint32_t tenant, int64_t min_ns, int64_t max_ns,
                          Arena *arena, HeadSpanGroup **out, size_t *count, Error *err) {
    const HeadSpanTenant *owner =
        tenant < head->tenant_count ? head_span_tenant(head, tenant) : NULL;
    size_t groups = owner == NULL ? 0 : owner->trace_count / SPAN_GROUP_TRACES + 1;
    HeadSpanGroup **by_number = ARENA_ARRAY(arena, HeadSpanGroup *, MAX(groups, (size_t)1));
    GroupSum *sums = groups == 0 ? NULL : sum_groups(head, owner->traces, groups, arena);

    *count = 0;
    if (groups == 0) return ERR_OK;
    *out = ARENA_ARRAY(arena, HeadSpanGroup, groups);
    if (by_number == NULL || sums == NULL || *out == NULL) return out_of_budget(err);
    for (size_t i = 0; i < groups; i++) {
        HeadSpanGroup *group = &(*out)[*count];

        if (sums[i].min_ns > max_ns || sums[i].max_ns < min_ns) continue;
        *group = (HeadSpanGroup){.number = (uint32_t)i, .count = sums[i].spans};
        TRY(begin_group(head, tenant, &sums[i], arena, group, err));
        if (group->kept == NULL) by_number[i] = group;
        (*count)++;
    }
    for (uint32_t i = owner->traces; i != SPANS_NONE; i = head_trace(head, i)->next) {
        const HeadTrace *trace = head_trace(head, i);
        HeadSpanGroup *group = by_number[trace->ordinal / SPAN_GROUP_TRACES];

        if (group != NULL && trace->span_count > 0)
            TRY(add_to_group(head, trace, arena, group, err));
    }
    return ERR_OK;
}
