/*
 * span_order.c: which row each span has. Traces by their starts; within a trace depth first, so
 * that a span's descendants are the rows behind it.
 *
 * Which of two spans with one id is a span's parent, Zipkin's clients and servers share theirs, is
 * told by the kind, as Tempo does: a server's is the client, everybody else's the server. Spans may
 * be their own ancestors, and 100,000 spans may hang on each other: nothing here recurses.
 */
#include <string.h>

#include "common/block/bits.h"
#include "common/block/span_build.h"

/* OTLP's SpanKind. */
enum { KIND_SERVER = 2, KIND_CLIENT = 3 };

/* One trace's spans at work; numbers are places in `spans` below. */
typedef struct Tree {
    const Span *all;
    const uint32_t *origin_of;
    const OriginSet *origins;
    const uint32_t *spans; /* of the trace */
    uint32_t count;
    uint64_t seed;
    unsigned ids_bits; /* of the hash table's size */

    /* For the largest trace: */
    uint32_t *ids; /* hash table of spans by id; of equal ids, one after the other */
    uint32_t *parents;
    uint32_t *first_child;
    uint32_t *next; /* sibling */
    uint32_t *rows;
    uint8_t *marks;
    SpanSortItem *order; /* of siblings */
    SpanSortItem *spare;
    /* By number of an origin, and of a resource: */
    SpanSortItem *origin_first;
    SpanSortItem *resource_first;
} Tree;

/* ---------- spans by trace ---------- */

typedef struct Groups {
    uint32_t *trace_of; /* of each span */
    TraceRow *traces;   /* in order of arrival */
    uint32_t count;
    uint32_t largest;
} Groups;

static uint32_t trace_slot(const Groups *g, const uint32_t *slots, uint32_t mask, uint64_t seed,
                           const TraceId *id) {
    uint32_t slot = (uint32_t)hash_bytes_seeded(id->bytes, sizeof id->bytes, seed) & mask;

    while (slots[slot] != 0 && !trace_id_equal(&g->traces[slots[slot] - 1].id, id))
        slot = (slot + 1) & mask;
    return slot;
}

static ErrCode group(const Span *spans, uint32_t count, uint64_t seed, Arena *scratch, Groups *g,
                     Error *err) {
    uint32_t slot_count = 16, last = SPAN_NONE, *slots;

    while (slot_count / 2 < count) slot_count *= 2;
    slots = ARENA_ARRAY(scratch, uint32_t, slot_count);
    g->trace_of = ARENA_ARRAY(scratch, uint32_t, count + (size_t)1);
    g->traces = ARENA_ARRAY(scratch, TraceRow, count + (size_t)1);
    if (slots == NULL || g->trace_of == NULL || g->traces == NULL) return span_no_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        const Span *s = &spans[i];
        TraceRow *t;

        if (last == SPAN_NONE || !trace_id_equal(&g->traces[last].id, &s->trace)) {
            uint32_t slot = trace_slot(g, slots, slot_count - 1, seed, &s->trace);

            if (slots[slot] == 0) {
                g->traces[g->count] = (TraceRow){.id = s->trace};
                slots[slot] = ++g->count;
            }
            last = slots[slot] - 1;
        }
        g->trace_of[i] = last;
        t = &g->traces[last];
        t->count++;
        g->largest = MAX(g->largest, t->count);
    }
    return ERR_OK;
}

/* Spans trace by trace, in order of arrival within each; `first` of a trace is where they are. */
static uint32_t *spans_by_trace(Groups *g, uint32_t count, Arena *scratch) {
    uint32_t *sorted = ARENA_ARRAY(scratch, uint32_t, count + (size_t)1), at = 0;

    if (sorted == NULL) return NULL;
    for (uint32_t i = 0; i < g->count; i++) {
        g->traces[i].first = at;
        at += g->traces[i].count;
    }
    for (uint32_t i = 0; i < count; i++) sorted[g->traces[g->trace_of[i]].first++] = i;
    for (uint32_t i = 0; i < g->count; i++) g->traces[i].first -= g->traces[i].count;
    return sorted;
}

/* ---------- spans by id ---------- */

/* An odd factor that nobody knows, and the highest bits: whatever the ids are, few collide. */
static uint32_t id_slot(const Tree *t, uint64_t id) {
    return (uint32_t)((id * (t->seed | 1)) >> (64 - t->ids_bits));
}

/* At most half of the slots are taken. */
static unsigned ids_bits(uint32_t count) {
    return bits_width(count) + 1;
}

/* Puts the spans in the table, and leaves doubles out of t->spans. */
static void index_spans(Tree *t, uint32_t *spans) {
    uint32_t mask, kept = 0;

    t->ids_bits = ids_bits(t->count);
    mask = (UINT32_C(1) << t->ids_bits) - 1;
    memset(t->ids, 0, (mask + (size_t)1) * sizeof *t->ids);
    for (uint32_t i = 0; i < t->count; i++) {
        const Span *s = &t->all[spans[i]];
        uint32_t slot = id_slot(t, s->id);
        bool doubled = false;

        for (; t->ids[slot] != 0 && !doubled; slot = (slot + 1) & mask) {
            const Span *other = &t->all[spans[t->ids[slot] - 1]];

            doubled = other->id == s->id && other->kind == s->kind;
        }
        if (doubled) continue;
        spans[kept] = spans[i];
        t->ids[slot] = ++kept;
    }
    t->count = kept;
}

static uint32_t find_parent(const Tree *t, const Span *s) {
    uint32_t mask = (UINT32_C(1) << t->ids_bits) - 1, found = SPAN_ORPHAN, same = 0,
             wanted = SPAN_ORPHAN;
    uint8_t kind = s->kind == KIND_SERVER ? KIND_CLIENT : KIND_SERVER;

    if (s->parent == 0) return SPAN_ROOT;
    for (uint32_t slot = id_slot(t, s->parent); t->ids[slot] != 0; slot = (slot + 1) & mask) {
        const Span *other = &t->all[t->spans[t->ids[slot] - 1]];

        if (other->id != s->parent) continue;
        found = t->ids[slot] - 1;
        if (other->kind == kind) wanted = found;
        same++;
    }
    return same > 1 ? wanted : found;
}

/* ---------- siblings ---------- */

static SpanSortItem earliest(SpanSortItem a, SpanSortItem b) {
    return b.start_ns < a.start_ns || (b.start_ns == a.start_ns && b.high < a.high) ? b : a;
}

/* Origins get their place in the order by the first span of their resource, then by their own first
 * span. The spans' `rank` is that place; few traces have more than a dozen. */
static void rank_origins(Tree *t, uint32_t *ranked) {
    uint32_t used = 0, distinct = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t origin = t->order[i].rank, resource = t->origins->resource_of[origin];
        SpanSortItem *of = &t->origin_first[origin], *of_resource = &t->resource_first[resource];

        if (of->index == SPAN_NONE) {
            *of = t->order[i];
            of->index = origin;
            ranked[distinct++] = origin;
        } else {
            *of = earliest(*of, t->order[i]);
            of->index = origin;
        }
        *of_resource =
            of_resource->index == SPAN_NONE ? t->order[i] : earliest(*of_resource, t->order[i]);
        of_resource->index = resource;
    }
    /* Of one resource: side by side, since whatever the first spans' times are, its number is
     * compared before the origins' own. */
    for (uint32_t i = 0; i < distinct; i++) {
        const SpanSortItem *r = &t->resource_first[t->origins->resource_of[ranked[i]]];

        t->spare[i] = (SpanSortItem){0, r->start_ns, r->high, r->index, i};
    }
    span_sort(t->spare, t->spare + distinct, distinct);
    for (uint32_t i = 0; i < distinct; i++) {
        uint32_t rank = i > 0 && t->spare[i].low == t->spare[i - 1].low ? used - 1 : used++;
        const SpanSortItem *of = &t->origin_first[ranked[t->spare[i].index]];

        t->spare[distinct + i] = (SpanSortItem){rank, of->start_ns, of->high, of->low, of->index};
    }
    memcpy(t->spare, t->spare + distinct, distinct * sizeof *t->spare);
    span_sort(t->spare, t->spare + distinct, distinct);
    for (uint32_t i = 0; i < distinct; i++) t->origin_first[t->spare[i].index].rank = i;
    for (uint32_t i = 0; i < t->count; i++)
        t->order[i].rank = t->origin_first[t->order[i].rank].rank;
    for (uint32_t i = 0; i < distinct; i++) {
        t->resource_first[t->origins->resource_of[ranked[i]]].index = SPAN_NONE;
        t->origin_first[ranked[i]].index = SPAN_NONE;
    }
}

/* t->order: the trace's spans as siblings among them are ordered. */
static void order_siblings(Tree *t, uint32_t *ranked) {
    bool one_origin = true;

    for (uint32_t i = 0; i < t->count; i++) {
        const Span *s = &t->all[t->spans[i]];
        uint32_t rank = s->arrival != 0 ? s->arrival : t->origin_of[t->spans[i]];

        t->order[i] = (SpanSortItem){rank, s->start_ns, s->id, s->kind, i};
        one_origin &= t->order[i].rank == t->order[0].rank;
    }
    if (!one_origin && t->all[t->spans[0]].arrival == 0) rank_origins(t, ranked);
    span_sort(t->order, t->spare, t->count);
}

/* ---------- the tree ---------- */

/* Children of each span, roots, and orphans, as lists in order. */
static void link_siblings(Tree *t, uint32_t *roots, uint32_t *orphans) {
    *roots = *orphans = SPAN_NONE;
    memset(t->first_child, 0xff, t->count * sizeof *t->first_child);
    for (uint32_t i = t->count; i-- > 0;) {
        uint32_t span = t->order[i].index, parent = t->parents[span];
        uint32_t *list = parent == SPAN_ROOT     ? roots
                         : parent == SPAN_ORPHAN ? orphans
                                                 : &t->first_child[parent];

        t->next[span] = *list;
        *list = span;
    }
}

/* t->rows: spans in the order of rows from `row` on; the next row. */
static uint32_t walk(Tree *t, uint32_t from, uint32_t row) {
    uint32_t at = from;

    while (at != SPAN_NONE) {
        t->rows[row++] = at;
        if (t->first_child[at] != SPAN_NONE) {
            at = t->first_child[at];
            continue;
        }
        while (t->next[at] == SPAN_NONE && t->parents[at] < SPAN_ORPHAN) at = t->parents[at];
        at = t->next[at];
    }
    return row;
}

/* Makes orphans of all that are their own ancestors. */
static void cut_cycles(Tree *t) {
    enum { NEW, ON_THE_WAY, SEEN };

    memset(t->marks, NEW, t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t at = i;

        while (at < SPAN_ORPHAN && t->marks[at] == NEW) {
            t->marks[at] = ON_THE_WAY;
            at = t->parents[at];
        }
        /* The way came back to itself: everything from here to here is a cycle. */
        while (at < SPAN_ORPHAN && t->marks[at] == ON_THE_WAY) {
            uint32_t parent = t->parents[at];

            t->parents[at] = SPAN_ORPHAN;
            t->marks[at] = SEEN;
            at = parent;
        }
        for (at = i; at < SPAN_ORPHAN && t->marks[at] == ON_THE_WAY; at = t->parents[at])
            t->marks[at] = SEEN;
    }
}

static void plant(Tree *t) {
    uint32_t roots, orphans;

    link_siblings(t, &roots, &orphans);
    if (walk(t, orphans, walk(t, roots, 0)) == t->count) return;
    cut_cycles(t);
    link_siblings(t, &roots, &orphans);
    (void)walk(t, orphans, walk(t, roots, 0));
}

void span_order_ends(const uint32_t *parents, uint32_t first, uint32_t count, uint32_t *ends,
                     uint8_t *rooted) {
    for (uint32_t r = first; r < first + count; r++) {
        ends[r] = r + 1;
        rooted[r] = parents[r] < SPAN_ORPHAN ? rooted[parents[r]] : parents[r] == SPAN_ROOT;
    }
    for (uint32_t r = first + count; r-- > first;) {
        if (parents[r] < SPAN_ORPHAN) ends[parents[r]] = MAX(ends[parents[r]], ends[r]);
    }
}

/* ---------- all traces ---------- */

static bool tree_alloc(Tree *t, uint32_t largest, Arena *scratch) {
    size_t n = largest + (size_t)1, origins = t->origins->origins.count + (size_t)1,
           resources = t->origins->resources.count + (size_t)1;

    t->ids = ARENA_ARRAY(scratch, uint32_t, (size_t)1 << ids_bits(largest));
    t->parents = ARENA_ARRAY(scratch, uint32_t, n);
    t->first_child = ARENA_ARRAY(scratch, uint32_t, n);
    t->next = ARENA_ARRAY(scratch, uint32_t, n);
    t->rows = ARENA_ARRAY(scratch, uint32_t, n);
    t->marks = ARENA_ARRAY(scratch, uint8_t, n);
    t->order = ARENA_ARRAY(scratch, SpanSortItem, n);
    t->spare = ARENA_ARRAY(scratch, SpanSortItem, n * 2);
    t->origin_first = ARENA_ARRAY(scratch, SpanSortItem, origins);
    t->resource_first = ARENA_ARRAY(scratch, SpanSortItem, resources);
    if (t->ids == NULL || t->parents == NULL || t->first_child == NULL || t->next == NULL ||
        t->rows == NULL || t->marks == NULL || t->order == NULL || t->spare == NULL ||
        t->origin_first == NULL || t->resource_first == NULL)
        return false;
    for (size_t i = 0; i < origins; i++) t->origin_first[i].index = SPAN_NONE;
    for (size_t i = 0; i < resources; i++) t->resource_first[i].index = SPAN_NONE;
    return true;
}

/* Puts the rows of one trace at `first`. */
static void order_trace(Tree *t, uint32_t *spans, uint32_t count, uint32_t first, SpanOrder *out) {
    uint32_t *row_of;

    t->spans = spans;
    t->count = count;
    index_spans(t, spans); /* no doubles this time */
    for (uint32_t i = 0; i < t->count; i++) t->parents[i] = find_parent(t, &t->all[spans[i]]);
    order_siblings(t, t->next);
    plant(t);
    row_of = t->first_child; /* no longer needed as such */
    for (uint32_t i = 0; i < t->count; i++) row_of[t->rows[i]] = first + i;
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t parent = t->parents[t->rows[i]];

        out->spans[first + i] = spans[t->rows[i]];
        out->parents[first + i] = parent < SPAN_ORPHAN ? row_of[parent] : parent;
    }
    span_order_ends(out->parents, first, t->count, out->ends, out->rooted);
}

static uint64_t big_endian(const uint8_t *bytes) {
    uint64_t v;

    memcpy(&v, bytes, sizeof v);
    return __builtin_bswap64(v);
}

SpanSortItem span_sort_trace(const TraceRow *trace, uint32_t index) {
    return (SpanSortItem){0, trace->start_ns, big_endian(trace->id.bytes),
                          big_endian(trace->id.bytes + 8), index};
}

/* Leaves doubles out of all traces, and sorts these by the starts of what is left. */
static ErrCode sort_traces(Tree *t, Groups *g, uint32_t *spans, uint32_t count, Arena *scratch,
                           SpanSortItem **out, Error *err) {
    enum { AHEAD = 32 }; /* spans that will be looked at, wherever in memory they lie */
    SpanSortItem *items = ARENA_ARRAY(scratch, SpanSortItem, (size_t)g->count * 2 + 1);

    if (items == NULL) return span_no_memory(err);
    for (uint32_t i = 0; i < g->count; i++) {
        TraceRow *trace = &g->traces[i];
        const Span *s;

        for (uint32_t k = i == 0 ? 0 : trace->first + AHEAD;
             k < trace->first + trace->count + AHEAD && k < count; k++)
            __builtin_prefetch(&t->all[spans[k]].id);
        t->count = trace->count;
        t->spans = spans + trace->first;
        index_spans(t, spans + trace->first);
        trace->count = t->count;
        trace->start_ns = INT64_MAX;
        trace->end_ns = INT64_MIN;
        for (uint32_t k = 0; k < trace->count; k++) {
            s = &t->all[t->spans[k]];
            trace->start_ns = MIN(trace->start_ns, s->start_ns);
            trace->end_ns = MAX(trace->end_ns, s->end_ns);
        }
        items[i] = span_sort_trace(trace, i);
    }
    span_sort(items, items + g->count, g->count);
    *out = items;
    return ERR_OK;
}

ErrCode span_order_make(const Span *spans, uint32_t count, const uint32_t *origin_of,
                        const OriginSet *origins, Arena *scratch, Arena *arena, SpanOrder *out,
                        Error *err) {
    Tree tree = {
        .all = spans, .origin_of = origin_of, .origins = origins, .seed = origins->origins.seed};
    Groups groups = {0};
    SpanSortItem *traces = NULL;
    uint32_t *sorted;
    size_t n = count + (size_t)1;

    *out = (SpanOrder){0};
    TRY(group(spans, count, tree.seed, scratch, &groups, err));
    sorted = spans_by_trace(&groups, count, scratch);
    if (sorted == NULL || !tree_alloc(&tree, groups.largest, scratch)) return span_no_memory(err);
    TRY(sort_traces(&tree, &groups, sorted, count, scratch, &traces, err));
    out->spans = ARENA_ARRAY(scratch, uint32_t, n);
    out->traces = ARENA_ARRAY(arena, TraceRow, groups.count + (size_t)1);
    out->parents = ARENA_ARRAY(arena, uint32_t, n);
    out->ends = ARENA_ARRAY(arena, uint32_t, n);
    out->rooted = ARENA_ARRAY(arena, uint8_t, n);
    if (out->spans == NULL || out->traces == NULL || out->parents == NULL || out->ends == NULL ||
        out->rooted == NULL)
        return span_no_memory(err);
    for (uint32_t i = 0; i < groups.count; i++) {
        TraceRow *trace = &out->traces[i];

        *trace = groups.traces[traces[i].index];
        order_trace(&tree, sorted + trace->first, trace->count, out->row_count, out);
        trace->first = out->row_count;
        out->row_count += trace->count;
    }
    out->trace_count = groups.count;
    return ERR_OK;
}
