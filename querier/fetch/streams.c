/*
 * streams.c: the StreamSource that querier/exec/streams.h wants: streams of heads and objects
 * joined by label set, and each one's pages grouped into units that don't overlap.
 */
#include "querier/fetch/streams.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS INT64_C(1000000)

/* What one place holds of a selector. */
typedef struct LogPart {
    LogsSelection selection;
    const FetchTenant *tenant;
    LogCut *const *cuts; /* delete requests that apply to the place */
    size_t cut_count;
} LogPart;

typedef struct LogParts {
    LogPart *items;
    size_t count;
    size_t capacity;
} LogParts;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

static int64_t floor_ms(int64_t ns) {
    return ns / NS_PER_MS - (ns % NS_PER_MS < 0);
}

static int64_t kept_from(int64_t keep_from_ms, int64_t min_ns) {
    int64_t from;

    if (keep_from_ms == INT64_MIN) return min_ns;
    if (__builtin_mul_overflow(keep_from_ms, NS_PER_MS, &from))
        from = keep_from_ms < 0 ? INT64_MIN : INT64_MAX;
    return MAX(min_ns, from);
}

/* Of all of the tenant's streams. */
static int64_t kept_ns(const FetchTenant *tenant, int64_t min_ns) {
    return kept_from(tenant->keep_from_ms, min_ns);
}

/* ---------- places ---------- */

static ErrCode add_part(Arena *arena, LogParts *parts, const LogsSelection *selection,
                        const FetchTenant *tenant, Error *err) {
    if (selection->stream_count == 0) return ERR_OK;
    if (parts->count == parts->capacity) {
        size_t capacity = MAX(parts->capacity * 2, (size_t)16);

        parts->items = arena_grow(arena, parts->items, parts->capacity * sizeof *parts->items,
                                  capacity * sizeof *parts->items);
        if (parts->items == NULL) return out_of_memory(err);
        parts->capacity = capacity;
    }
    parts->items[parts->count++] = (LogPart){.selection = *selection, .tenant = tenant};
    return ERR_OK;
}

/* The requests that apply to the last part added, if it was. */
static ErrCode add_cuts(LogParts *parts, size_t before, LogCuts *cuts, uint64_t cleared, bool late,
                        const LogSelect *select, Error *err) {
    LogPart *part;

    if (parts->count == before) return ERR_OK;
    part = &parts->items[parts->count - 1];
    return log_cuts_of(cuts, cleared, late, select->min_ns, select->max_ns, &part->cuts,
                       &part->cut_count, err);
}

/* One object's look-up, done by any thread of the pool. */
typedef struct LogJob {
    const ManifestEntry *entry;
    Arena *arena;
    LogsSelection selection;
    ErrCode code;
    Error err;
} LogJob;

typedef struct LogJobs {
    FetchSource *fetch;
    QueryContext *query;
    const LogSelect *select;
    LogJob *jobs;
} LogJobs;

static ErrCode log_job(LogJobs *all, LogJob *job, Error *err) {
    const Block *block;

    TRY(query_check(all->query, err));
    TRY(block_open(all->fetch->options.cache, job->entry->key, job->entry->size, job->arena,
                   all->fetch->stats, &block, err));
    return block_logs_select(block, all->select, job->arena, all->fetch->stats, &job->selection,
                             err);
}

static void log_job_run(void *context, size_t i) {
    LogJobs *all = context;

    all->jobs[i].code = log_job(all, &all->jobs[i], &all->jobs[i].err);
}

static void arena_release(void *what) {
    arena_free(what);
}

/* An arena serves one thread: each job has its own, charged to the same budget. */
static ErrCode job_arena(QueryContext *query, LogJob *job, Error *err) {
    job->arena = arena_new(0, arena_budget(query->arena));
    if (job->arena == NULL) return out_of_memory(err);
    if (arena_on_free(query->arena, arena_release, job->arena)) return ERR_OK;
    arena_free(job->arena);
    return out_of_memory(err);
}

static ErrCode select_blocks(FetchSource *fetch, QueryContext *query, const LogSelect *select,
                             const FetchTenant *tenant, LogCuts *cuts,
                             const ManifestSnapshot *snapshot, LogParts *out, Error *err) {
    const ManifestEntry **entries;
    LogJobs all = {fetch, query, select, NULL};
    size_t count;

    TRY(manifest_find(snapshot, tenant->name, SIGNAL_LOGS, floor_ms(select->min_ns),
                      floor_ms(select->max_ns), query->arena, &entries, &count, err));
    all.jobs = ARENA_ARRAY(query->arena, LogJob, count);
    if (all.jobs == NULL) return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        all.jobs[i].entry = entries[i];
        TRY(job_arena(query, &all.jobs[i], err));
    }
    if (query->pool != NULL && count > 1)
        pool_each(query->pool, count, log_job_run, &all);
    else
        for (size_t i = 0; i < count; i++) log_job_run(&all, i);
    for (size_t i = 0; i < count; i++) {
        if (all.jobs[i].code != ERR_OK) {
            if (err != NULL) *err = all.jobs[i].err;
            return all.jobs[i].code;
        }
        size_t before = out->count;

        TRY(add_part(query->arena, out, &all.jobs[i].selection, tenant, err));
        TRY(add_cuts(out, before, cuts, entries[i]->cleared, entries[i]->level == 0, select, err));
    }
    return ERR_OK;
}

static ErrCode select_heads(FetchSource *fetch, QueryContext *query, const LogSelect *select,
                            const FetchTenant *tenant, LogParts *out, Error *err) {
    const LogHeadReader *heads = &fetch->options.log_heads;
    LogsSelection *selections;
    size_t count;

    if (heads->select == NULL) return ERR_OK;
    TRY(heads->select(heads->context, select, query->arena, &selections, &count, err));
    for (size_t i = 0; i < count; i++)
        TRY(add_part(query->arena, out, &selections[i], tenant, err));
    return ERR_OK;
}

static void snapshot_release(void *what) {
    manifest_snapshot_unref(what);
}

/* The matchers, with what they say of __tenant_id__ done. */
static ErrCode federate(FetchSource *fetch, QueryContext *query, const StreamSelect *request,
                        Federated *out, Error *err) {
    SelectRequest matchers = {.matchers = request->matchers,
                              .matcher_count = request->matcher_count};

    return fetch_federate(fetch, query->arena, &matchers, out, err);
}

/* Heads first and objects after, so that what is being flushed is in one of them at least; in the
 * answer objects come first, since what was written first is kept of two that are the same. */
static ErrCode select_parts(FetchSource *fetch, QueryContext *query, const StreamSelect *request,
                            const LogFilter *filter, LogParts *out, Error *err) {
    const ManifestSnapshot *snapshot;
    LogParts heads = {0};
    Federated federated;
    LogSelect *selects;
    LogCuts *cuts;

    TRY(federate(fetch, query, request, &federated, err));
    selects = ARENA_ARRAY(query->arena, LogSelect, federated.tenant_count);
    cuts = ARENA_ARRAY(query->arena, LogCuts, federated.tenant_count);
    if (selects == NULL || cuts == NULL) return out_of_memory(err);
    for (size_t t = 0; t < federated.tenant_count; t++) {
        selects[t] = (LogSelect){
            .tenant = federated.tenants[t].name,
            .matchers = federated.request.matchers,
            .matcher_count = federated.request.matcher_count,
            .min_ns = kept_ns(&federated.tenants[t], request->min_ns),
            .max_ns = request->max_ns == INT64_MIN ? INT64_MIN : request->max_ns - 1,
            .filter = filter,
            .labels_only = request->labels_only && !request->count_kept,
        };
        TRY(select_heads(fetch, query, &selects[t], &federated.tenants[t], &heads, err));
    }
    snapshot = manifest_snapshot(fetch->options.manifest);
    if (!arena_on_free(query->arena, snapshot_release, (void *)(uintptr_t)snapshot)) {
        manifest_snapshot_unref(snapshot);
        return out_of_memory(err);
    }
    for (size_t t = 0; t < federated.tenant_count; t++) {
        const FetchTenant *tenant = &federated.tenants[t];

        TRY(log_cuts_init(&cuts[t], tenant->deletes_off ? NULL : fetch->options.language, snapshot,
                          tenant->name, UINT64_MAX, query->arena, err));
        TRY(select_blocks(fetch, query, &selects[t], tenant, &cuts[t], snapshot, out, err));
    }
    for (size_t i = 0; i < heads.count; i++) {
        size_t t = (size_t)(heads.items[i].tenant - federated.tenants), before = out->count;

        TRY(add_part(query->arena, out, &heads.items[i].selection, heads.items[i].tenant, err));
        TRY(add_cuts(out, before, &cuts[t], heads.items[i].selection.cleared, true, &selects[t],
                     err));
    }
    return ERR_OK;
}

/* ---------- streams ---------- */

typedef struct Stream {
    LabelSet labels;
    PageRef *pages;
    uint32_t page_count;
    const FetchTenant *tenant;
    bool placed; /* in Streams.order */
} Stream;

/* Open addressing; slots hold index + 1. */
typedef struct Streams {
    Stream *items;
    size_t count;
    Stream **order; /* as parts have them, whatever is promising in which */
    size_t ordered;
    uint32_t *slots;
    uint32_t mask;
} Streams;

/* Where the stream of these labels is, or would be. */
static uint32_t slot_of(const Streams *streams, LabelSet labels) {
    uint32_t slot = (uint32_t)label_set_hash(labels) & streams->mask;

    while (streams->slots[slot] != 0 &&
           !label_set_equal(streams->items[streams->slots[slot] - 1].labels, labels))
        slot = (slot + 1) & streams->mask;
    return slot;
}

/* NULL: there is none. */
static Stream *find_stream(const Streams *streams, LabelSet labels) {
    uint32_t index = streams->slots[slot_of(streams, labels)];

    return index == 0 ? NULL : &streams->items[index - 1];
}

static Stream *join(Streams *streams, LabelSet labels) {
    uint32_t slot = slot_of(streams, labels);

    if (streams->slots[slot] != 0) return &streams->items[streams->slots[slot] - 1];
    streams->slots[slot] = (uint32_t)++streams->count;
    streams->items[streams->count - 1].labels = labels;
    return &streams->items[streams->count - 1];
}

/* The stream's own requests of those that apply to the part; NULL: none. */
static ErrCode stream_cuts(Arena *arena, const LogPart *part, const SelectedStream *from,
                           const PageCuts **out, Error *err) {
    LabelPair *pairs;
    PageCuts *cuts;
    LogCut **items;

    *out = NULL;
    if (part->cut_count == 0) return ERR_OK;
    pairs = ARENA_ARRAY(arena, LabelPair, from->pair_count);
    items = ARENA_ARRAY(arena, LogCut *, part->cut_count);
    cuts = ARENA_NEW(arena, PageCuts);
    if (pairs == NULL || items == NULL || cuts == NULL) return out_of_memory(err);
    for (uint32_t i = 0; i < from->pair_count; i++)
        pairs[i] = part->selection.pairs[from->pairs[i]];
    cuts->labels = (LabelPairs){pairs, from->pair_count};
    cuts->items = items;
    cuts->count = log_cuts_of_stream(part->cuts, part->cut_count, cuts->labels, items);
    if (cuts->count > 0) *out = cuts;
    return ERR_OK;
}

/* *out: the requests about entries of this page. False: nothing of it is to be seen. */
static bool page_cuts(const PageCuts *cuts, const LogPage *page, const PageCuts **out) {
    bool any = false;

    *out = NULL;
    for (size_t i = 0; cuts != NULL && i < cuts->count; i++) {
        if (log_cut_covers(cuts->items[i], page->min_ns, page->max_ns)) return false;
        any = any ||
              (cuts->items[i]->min_ns <= page->max_ns && cuts->items[i]->max_ns >= page->min_ns);
    }
    if (any) *out = cuts;
    return true;
}

static ErrCode add_pages(Arena *arena, Stream *stream, const LogPart *part,
                         const SelectedStream *from, Error *err) {
    const PageCuts *cuts, *own;
    size_t need = (size_t)stream->page_count + from->page_count;

    stream->pages = arena_grow(arena, stream->pages, stream->page_count * sizeof *stream->pages,
                               need * sizeof *stream->pages);
    if (stream->pages == NULL) return need == 0 ? ERR_OK : out_of_memory(err);
    TRY(stream_cuts(arena, part, from, &cuts, err));
    for (uint32_t p = 0; p < from->page_count; p++)
        if (page_cuts(cuts, &from->pages[p], &own))
            stream->pages[stream->page_count++] =
                (PageRef){.selection = &part->selection, .page = &from->pages[p], .cuts = own};
    return ERR_OK;
}

/* Whether any entry of the stream may be wanted. */
static bool is_promising(const SelectedStream *stream) {
    for (uint32_t p = 0; p < stream->page_count; p++)
        if (!stream->pages[p].lacks) return true;
    return stream->page_count == 0;
}

/* One part's joining. */
typedef struct Joining {
    const LogPart *part;
    Label *map;           /* symbols of its pairs */
    Stream **joined;      /* what each of its streams became part of; NULL: nothing yet */
    TenantLabels labels;  /* of the tenant */
    TenantLabels *tenant; /* those, when there are several */
} Joining;

/* The stream's labels, into `labels`. */
static LabelSet labels_of(const Joining *j, QueryContext *query, const SelectedStream *from,
                          Label *labels) {
    return (LabelSet){labels, fetch_write_labels(query->symbols, j->map, from->pairs,
                                                 from->pair_count, j->tenant, labels)};
}

/* Streams of which an entry may be wanted. */
static ErrCode join_part(FetchSource *fetch, QueryContext *query, Joining *j, Streams *streams,
                         Error *err) {
    const LogsSelection *selection = &j->part->selection;
    size_t label_count = 0, used = 0;
    Label *labels;

    TRY(fetch_map_pairs(query, selection->pairs, selection->pair_count, &j->map, err));
    if (fetch->tenant_count > 1) {
        TRY(fetch_tenant_labels(query, j->part->tenant->name, &j->labels, err));
        j->tenant = &j->labels;
    }
    for (size_t s = 0; s < selection->stream_count; s++)
        label_count += selection->streams[s].pair_count + 1;
    labels = arena_alloc(query->arena, label_count * sizeof *labels);
    j->joined = ARENA_ARRAY(query->arena, Stream *, selection->stream_count);
    if (labels == NULL || j->joined == NULL) return out_of_memory(err);
    for (size_t s = 0; s < selection->stream_count; s++) {
        LabelSet set;

        if ((s & 4095) == 4095) TRY(query_check(query, err));
        if (!is_promising(&selection->streams[s])) continue;
        set = labels_of(j, query, &selection->streams[s], labels + used);
        used += set.count;
        j->joined[s] = join(streams, set);
        j->joined[s]->tenant = j->part->tenant;
    }
    return ERR_OK;
}

/* The part's pages, of others' streams as well: they may overlap with those that may be wanted. */
static ErrCode join_pages(QueryContext *query, const Joining *j, Streams *streams, Error *err) {
    const LogsSelection *selection = &j->part->selection;
    size_t most = 0;
    Label *labels;

    for (size_t s = 0; s < selection->stream_count; s++)
        most = MAX(most, (size_t)selection->streams[s].pair_count + 1);
    labels = arena_alloc(query->arena, most * sizeof *labels);
    if (labels == NULL) return out_of_memory(err);
    for (size_t s = 0; s < selection->stream_count; s++) {
        const SelectedStream *from = &selection->streams[s];
        Stream *stream = j->joined[s];

        if ((s & 4095) == 4095) TRY(query_check(query, err));
        if (stream == NULL) stream = find_stream(streams, labels_of(j, query, from, labels));
        if (stream == NULL) continue;
        TRY(add_pages(query->arena, stream, j->part, from, err));
        if (!stream->placed) streams->order[streams->ordered++] = stream;
        stream->placed = true;
    }
    return ERR_OK;
}

static ErrCode join_parts(FetchSource *fetch, QueryContext *query, const LogParts *parts,
                          Streams *out, Error *err) {
    Joining *joinings = ARENA_ARRAY(query->arena, Joining, MAX(parts->count, 1));
    size_t total = 0, slots = 64;

    for (size_t p = 0; p < parts->count; p++) total += parts->items[p].selection.stream_count;
    if (total > UINT32_MAX / 4)
        return error_set(err, ERR_LIMIT, "the selector matches more than %u streams",
                         UINT32_MAX / 4);
    while (slots < total * 2) slots *= 2;
    *out = (Streams){
        .items = ARENA_ARRAY(query->arena, Stream, MAX(total, 1)),
        .slots = ARENA_ARRAY(query->arena, uint32_t, slots),
        .mask = (uint32_t)(slots - 1),
    };
    if (joinings == NULL || out->items == NULL || out->slots == NULL) return out_of_memory(err);
    for (size_t p = 0; p < parts->count; p++) {
        joinings[p].part = &parts->items[p];
        TRY(join_part(fetch, query, &joinings[p], out, err));
    }
    if (query->series_max != 0 && out->count > query->series_max)
        return error_set(err, ERR_LIMIT,
                         "the selector matches %zu streams, more than this tenant's "
                         "limits.query_series_max of %llu: narrow it with matchers or raise the "
                         "limit",
                         out->count, (unsigned long long)query->series_max);
    out->order = ARENA_ARRAY(query->arena, Stream *, MAX(out->count, 1));
    if (out->order == NULL) return out_of_memory(err);
    for (size_t p = 0; p < parts->count && out->count > 0; p++)
        TRY(join_pages(query, &joinings[p], out, err));
    return ERR_OK;
}

/* ---------- units ---------- */

static int compare_pages(const void *a, const void *b) {
    const LogPage *x = ((const PageRef *)a)->page, *y = ((const PageRef *)b)->page;

    if (x->min_ns != y->min_ns) return x->min_ns < y->min_ns ? -1 : 1;
    return (x->max_ns > y->max_ns) - (x->max_ns < y->max_ns);
}

/* For reading newest first. */
static int compare_ends(const void *a, const void *b) {
    const LogPage *x = ((const PageRef *)a)->page, *y = ((const PageRef *)b)->page;

    return (x->max_ns < y->max_ns) - (x->max_ns > y->max_ns);
}

/* Drops pages that lack what is looked for, unless they overlap with one that may have it. They are
 * in order of their beginnings. */
static void keep_promising(Stream *stream) {
    int64_t until_ns = INT64_MIN, from_ns = INT64_MAX;
    bool any = false, all = true;
    uint32_t kept = 0;

    for (uint32_t p = 0; p < stream->page_count; p++) all = all && !stream->pages[p].page->lacks;
    if (all) return;
    /* From the end: from where on the ones behind may have it, and the others are marked. */
    for (uint32_t p = stream->page_count; p-- > 0;) {
        PageRef *ref = &stream->pages[p];

        ref->needed = !ref->page->lacks || from_ns <= ref->page->max_ns;
        if (!ref->page->lacks) from_ns = ref->page->min_ns;
    }
    for (uint32_t p = 0; p < stream->page_count; p++) {
        PageRef ref = stream->pages[p];

        if (!ref.page->lacks) until_ns = MAX(until_ns, ref.page->max_ns);
        any = any || !ref.page->lacks;
        if (ref.needed || (any && until_ns >= ref.page->min_ns)) stream->pages[kept++] = ref;
    }
    stream->page_count = kept;
}

typedef struct UnitList {
    FetchedStreams *fetched;
    StreamUnit *units;
    size_t count;
    const StreamSelect *request;
    LogFilter filter;    /* of lines */
    KeptCounter counter; /* with request->count_kept */
} UnitList;

static bool stream_has(const QueryContext *query, const Stream *stream, Str name) {
    uint32_t symbol = symbols_find(query->symbols, name);

    return symbol != SYMBOL_NONE && label_set_get(stream->labels, symbol) != SYMBOL_EMPTY;
}

/* The lines' filter with what the request says of fields and values that the stream hasn't as
 * labels. */
static ErrCode stream_filter(const FetchSource *fetch, QueryContext *query, const UnitList *list,
                             const Stream *stream, LogFilter *out, Error *err) {
    const StreamSelect *request = list->request;
    LogMetadataNeedle *needles;
    LogValue *values;

    *out = list->filter;
    if (request->field_count + request->value_count == 0 || fetch->options.plain) return ERR_OK;
    needles = ARENA_ARRAY(query->arena, LogMetadataNeedle, MAX(request->field_count, 1));
    values = ARENA_ARRAY(query->arena, LogValue, MAX(request->value_count, 1));
    if (needles == NULL || values == NULL) return out_of_memory(err);
    out->metadata = needles;
    out->values = values;
    for (size_t f = 0; f < request->field_count; f++) {
        const Matcher *matcher = &request->fields[f];

        if (matcher->op != MATCH_EQUAL || matcher->value.len == 0 ||
            stream_has(query, stream, matcher->name))
            continue;
        needles[out->metadata_count++] = (LogMetadataNeedle){matcher->name, matcher->value};
    }
    for (size_t v = 0; v < request->value_count; v++) {
        Str label = request->values[v].label;

        if (label.len > 0 && !stream_has(query, stream, label))
            values[out->value_count++] = request->values[v];
    }
    return ERR_OK;
}

/* Of this stream. */
static ErrCode stream_kept_ns(QueryContext *query, const Stream *stream, int64_t min_ns,
                              int64_t *out, Error *err) {
    const FetchTenant *tenant = stream->tenant;
    LabelPair *pairs;
    int64_t period_ms;

    *out = kept_ns(tenant, min_ns);
    if (tenant->log_streams == NULL) return ERR_OK;
    pairs = ARENA_ARRAY(query->arena, LabelPair, stream->labels.count);
    if (pairs == NULL) return out_of_memory(err);
    for (uint32_t i = 0; i < stream->labels.count; i++)
        pairs[i] = (LabelPair){symbols_str(query->symbols, stream->labels.labels[i].name),
                               symbols_str(query->symbols, stream->labels.labels[i].value)};
    period_ms = stream_retention_of(tenant->log_streams, (LabelPairs){pairs, stream->labels.count},
                                    tenant->retention_ms);
    if (period_ms > 0) *out = kept_from(tenant->now_ms - period_ms, *out);
    return ERR_OK;
}

static ErrCode add_units(QueryContext *query, UnitList *list, uint32_t index, Stream *stream,
                         Error *err) {
    const StreamSelect *request = list->request;
    int64_t min_ns, max_ns = request->max_ns - 1;
    LogFilter filter;

    TRY(stream_kept_ns(query, stream, request->min_ns, &min_ns, err));
    TRY(stream_filter(list->fetched->fetch, query, list, stream, &filter, err));
    qsort(stream->pages, stream->page_count, sizeof *stream->pages, compare_pages);
    keep_promising(stream);
    for (uint32_t p = 0, end; p < stream->page_count; p = end) {
        StreamUnit *unit = &list->units[list->count];
        int64_t last = stream->pages[p].page->max_ns;

        *unit = (StreamUnit){.stream = index, .min_ns = MAX(stream->pages[p].page->min_ns, min_ns)};
        for (end = p; end < stream->page_count && stream->pages[end].page->min_ns <= last; end++) {
            const PageRef *ref = &stream->pages[end];

            last = MAX(last, ref->page->max_ns);
            if (ref->cuts != NULL && request->count_kept) {
                TRY(fetch_count_kept(&list->counter, query, ref, unit, err));
                continue;
            }
            unit->entries += ref->page->count;
            unit->bytes += ref->page->raw_bytes;
        }
        unit->max_ns = MIN(last, max_ns);
        if (request->backward && end - p > 1)
            qsort(&stream->pages[p], end - p, sizeof *stream->pages, compare_ends);
        if (unit->min_ns > unit->max_ns || (request->count_kept && unit->entries == 0)) continue;
        list->fetched->units[list->count++] = (FetchedUnit){
            .pages = &stream->pages[p],
            .count = end - p,
            .min_ns = min_ns,
            .max_ns = max_ns,
            .filter = filter,
        };
        /* Of an entry that is there twice the first counts, with its metadata: it stays until then,
         * whatever its values. */
        if (end - p > 1) list->fetched->units[list->count - 1].filter.value_count = 0;
    }
    return ERR_OK;
}

static ErrCode line_filter(const FetchSource *fetch, QueryContext *query,
                           const StreamSelect *request, LogFilter *out, Error *err) {
    LogNeedle *needles = ARENA_ARRAY(query->arena, LogNeedle, request->needle_count);

    if (needles == NULL) return out_of_memory(err);
    *out = (LogFilter){.needles = needles};
    for (size_t n = 0; n < request->needle_count && !fetch->options.plain; n++) {
        const StreamNeedle *needle = &request->needles[n];

        needles[out->needle_count++] =
            (LogNeedle){needle->any, needle->count, needle->fold, needle->negated};
    }
    return ERR_OK;
}

/* `lines`, and values that labels or structured metadata must have, or that parsers must find: for
 * choosing pages, whose filters know of all of them. */
static ErrCode page_filter(const FetchSource *fetch, QueryContext *query,
                           const StreamSelect *request, const LogFilter *lines, LogFilter *out,
                           Error *err) {
    LogMetadataNeedle *values = ARENA_ARRAY(query->arena, LogMetadataNeedle, request->field_count);

    *out = *lines;
    if (values == NULL) return out_of_memory(err);
    out->metadata = values;
    out->values = request->values;
    out->value_count = fetch->options.plain ? 0 : request->value_count;
    for (size_t f = 0; f < request->field_count && !fetch->options.plain; f++) {
        const Matcher *matcher = &request->fields[f];

        /* Names of tenants are in no object. */
        if (matcher->op == MATCH_EQUAL && !str_equal(matcher->name, STR("__tenant_id__")))
            values[out->metadata_count++] = (LogMetadataNeedle){matcher->name, matcher->value};
    }
    return ERR_OK;
}

static unsigned wanted_columns(const FetchSource *fetch, const StreamSelect *request) {
    unsigned columns = LOG_TIMES;

    if (fetch->options.plain) return LOG_TIMES | LOG_LINES | LOG_METADATA;
    if ((request->need & STREAM_NEED_LINES) != 0)
        columns |= (request->need & STREAM_NEED_PARTS) != 0 ? LOG_PARTS : LOG_LINES;
    if ((request->need & STREAM_NEED_LENGTHS) != 0) columns |= LOG_LENGTHS;
    if ((request->need & STREAM_NEED_METADATA) != 0) columns |= LOG_METADATA;
    return columns;
}

static ErrCode add_all_units(QueryContext *query, UnitList *list, const Streams *streams,
                             LabelSet *labels, size_t *kept, Error *err) {
    for (size_t s = 0; s < streams->count; s++) {
        size_t before = list->count;

        if ((s & 1023) == 1023) TRY(query_check(query, err));
        TRY(add_units(query, list, (uint32_t)*kept, streams->order[s], err));
        if (list->count > before) labels[(*kept)++] = streams->order[s]->labels;
    }
    return ERR_OK;
}

/* Streams of which nothing is in range after all are dropped. */
static ErrCode make_set(FetchSource *fetch, QueryContext *query, const StreamSelect *request,
                        const LogFilter *filter, Streams *streams, StreamSet *out, Error *err) {
    FetchedStreams *fetched = ARENA_NEW(query->arena, FetchedStreams);
    LabelSet *labels = ARENA_ARRAY(query->arena, LabelSet, MAX(streams->count, 1));
    UnitList list = {.fetched = fetched, .request = request, .filter = *filter};
    size_t pages = 0, kept = 0;
    ErrCode code;

    for (size_t s = 0; s < streams->count; s++) pages += streams->items[s].page_count;
    list.units = ARENA_ARRAY(query->arena, StreamUnit, MAX(pages, 1));
    if (fetched == NULL || labels == NULL || list.units == NULL) return out_of_memory(err);
    *fetched = (FetchedStreams){
        .fetch = fetch,
        .arena = query->arena,
        .units = ARENA_ARRAY(query->arena, FetchedUnit, MAX(pages, 1)),
        .stats = request->stats,
        .columns = wanted_columns(fetch, request),
        .plain = fetch->options.plain,
        .backward = request->backward,
    };
    if (fetched->units == NULL) return out_of_memory(err);
    code = add_all_units(query, &list, streams, labels, &kept, err);
    fetch_counter_done(&list.counter);
    if (code != ERR_OK) return code;
    *out = (StreamSet){
        .labels = labels,
        .count = kept,
        .units = list.units,
        .unit_count = list.count,
        .scratch_new = fetch_scratch_new,
        .scratch_free = fetch_scratch_free,
        .prefetch = fetch_stream_prefetch,
        .open = fetch_stream_open,
        .next = fetch_stream_next,
        .context = fetched,
    };
    return ERR_OK;
}

static ErrCode streams_select(StreamSource *source, QueryContext *query,
                              const StreamSelect *request, StreamSet *out, Error *err) {
    FetchSource *fetch = source->context;
    LogParts parts = {0};
    LogFilter filter, pages;
    Streams streams = {0};

    *out = (StreamSet){0};
    if (request->max_ns <= request->min_ns) return ERR_OK;
    TRY(line_filter(fetch, query, request, &filter, err));
    TRY(page_filter(fetch, query, request, &filter, &pages, err));
    TRY(select_parts(fetch, query, request, &pages, &parts, err));
    TRY(join_parts(fetch, query, &parts, &streams, err));
    return make_set(fetch, query, request, &filter, &streams, out, err);
}

/* ---------- labels ---------- */

static int compare_str(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

/* Names (`name` empty) or values of the streams that are there, each once. */
static ErrCode streams_labels(StreamSource *source, QueryContext *query, Str name,
                              const StreamSelect *requests, size_t request_count, Str **out,
                              size_t *out_count, Error *err) {
    uint32_t wanted, symbols;
    size_t count = 0;
    bool *seen;
    Str *items;

    *out = NULL;
    *out_count = 0;
    StreamSet *sets = ARENA_ARRAY(query->arena, StreamSet, request_count);
    if (sets == NULL) return out_of_memory(err);
    for (size_t r = 0; r < request_count; r++) {
        StreamSelect request = requests[r];

        request.labels_only = true;
        TRY(streams_select(source, query, &request, &sets[r], err));
    }
    wanted = symbols_find(query->symbols, name);
    symbols = symbols_count(query->symbols);
    seen = ARENA_ARRAY(query->arena, bool, symbols);
    items = ARENA_ARRAY(query->arena, Str, symbols);
    if (seen == NULL || items == NULL) return out_of_memory(err);
    for (size_t r = 0; r < request_count; r++)
        for (size_t s = 0; s < sets[r].count; s++)
            for (uint32_t l = 0; l < sets[r].labels[s].count; l++) {
                Label label = sets[r].labels[s].labels[l];
                uint32_t found = name.len == 0 ? label.name : label.value;

                if ((name.len > 0 && label.name != wanted) || seen[found]) continue;
                seen[found] = true;
                items[count++] = symbols_str(query->symbols, found);
            }
    qsort(items, count, sizeof *items, compare_str);
    *out = items;
    *out_count = count;
    return ERR_OK;
}

StreamSource *fetch_streams_new(const FetchOptions *options, const FetchTenant *tenants,
                                size_t tenant_count, BlockStats *stats, Arena *arena) {
    FetchSource *fetch = ARENA_NEW(arena, FetchSource);
    StreamSource *source = ARENA_NEW(arena, StreamSource);

    if (fetch == NULL || source == NULL) return NULL;
    *fetch = (FetchSource){
        .options = *options, .tenants = tenants, .tenant_count = tenant_count, .stats = stats};
    *source = (StreamSource){streams_select, streams_labels, fetch};
    return source;
}
