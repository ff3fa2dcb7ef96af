/*
 * trace_join.c: traces whose spans lie in several objects or heads: which they are, and putting
 * them together.
 *
 * Objects tell by hashes of 40 bits where their traces are. Two traces with one hash are both taken
 * for split, which costs a little and changes nothing.
 */
#include <stdlib.h>

#include "common/block/span_table.h"
#include "querier/fetch/traces.h"

/* ---------- finding ---------- */

typedef struct Places {
    TraceFetch *fetch;
    Str tenant;
} Places;

static ErrCode read_places(void *context, TracePart *part, Error *err) {
    const Places *places = context;
    SpanTracePlace *out;

    TRY(block_spans_places(part->block, places->tenant, part->arena, places->fetch->stats, &out,
                           &part->place_count, err));
    part->places = out;
    return ERR_OK;
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* A sorted run of hashes, each once: an object's, or a head table's. */
typedef struct Run {
    const SpanTracePlace *places; /* or hashes */
    const uint64_t *hashes;
    size_t count;
    size_t at;
} Run;

static uint64_t run_hash(const Run *run) {
    return run->places != NULL ? run->places[run->at].hash : run->hashes[run->at];
}

static ErrCode head_run(Arena *arena, const SpanTable *table, Run *out, Error *err) {
    uint64_t *hashes = ARENA_ARRAY(arena, uint64_t, MAX(table->trace_count, 1U));

    if (hashes == NULL) return trace_out_of_memory(err);
    for (uint32_t i = 0; i < table->trace_count; i++)
        hashes[i] = span_trace_hash(&table->traces[i].id);
    if (table->trace_count > 1) qsort(hashes, table->trace_count, sizeof *hashes, compare_hashes);
    *out = (Run){.hashes = hashes, .count = table->trace_count};
    return ERR_OK;
}

/* ---- the least of many runs: a heap of them ---- */

static void sift_down(Run **heap, size_t count, size_t i) {
    for (;;) {
        size_t least = i;

        for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < count; k++)
            if (run_hash(heap[k]) < run_hash(heap[least])) least = k;
        if (least == i) return;
        Run *moved = heap[i];

        heap[i] = heap[least];
        heap[least] = moved;
        i = least;
    }
}

/* Hashes that come more than once over all runs, or in one of them (a trace in two pages). */
static ErrCode merge_runs(Arena *arena, Run *runs, size_t count, SplitTraces *out, Error *err) {
    Run **heap = ARENA_ARRAY(arena, Run *, MAX(count, (size_t)1));
    uint64_t *split = NULL, last = 0;
    size_t kept = 0, capacity = 0, n = 0;
    bool any = false;

    if (heap == NULL) return trace_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        if (runs[i].count > 0) heap[n++] = &runs[i];
    for (size_t i = n; i-- > 0;) sift_down(heap, n, i);
    while (n > 0) {
        uint64_t hash = run_hash(heap[0]);

        if (any && hash == last && (kept == 0 || split[kept - 1] != hash)) {
            if (kept == capacity) {
                size_t grown = MAX(capacity * 2, (size_t)256);

                split = arena_grow(arena, split, capacity * sizeof *split, grown * sizeof *split);
                if (split == NULL) return trace_out_of_memory(err);
                capacity = grown;
            }
            split[kept++] = hash;
        }
        last = hash;
        any = true;
        if (++heap[0]->at == heap[0]->count) heap[0] = heap[--n];
        sift_down(heap, n, 0);
    }
    *out = (SplitTraces){split, kept};
    return ERR_OK;
}

ErrCode trace_split_find(TraceFetch *fetch, QueryContext *query, TraceParts *parts,
                         SplitTraces *out, Error *err) {
    Places places = {fetch, parts->tenant};
    size_t count = parts->count + parts->head_count;
    Run *runs;

    *out = (SplitTraces){0};
    if (count == 0 || (count == 1 && parts->head_count == 1)) return ERR_OK;
    TRY(trace_parts_each(query, parts, read_places, &places, err));
    runs = ARENA_ARRAY(query->arena, Run, count);
    if (runs == NULL) return trace_out_of_memory(err);
    for (size_t i = 0; i < parts->count; i++)
        runs[i] = (Run){.places = parts->items[i].places, .count = parts->items[i].place_count};
    for (size_t i = 0; i < parts->head_count; i++)
        TRY(head_run(query->arena, parts->heads[i], &runs[parts->count + i], err));
    return merge_runs(query->arena, runs, count, out, err);
}

bool trace_split_has(const SplitTraces *split, uint64_t hash) {
    return split->count > 0 && bsearch(&hash, split->hashes, split->count, sizeof *split->hashes,
                                       compare_hashes) != NULL;
}

ErrCode trace_split_out(const SplitTraces *split, Arena *arena, SpanTable *table, Error *err) {
    TraceRow *kept = ARENA_ARRAY(arena, TraceRow, MAX(table->trace_count, 1U));
    uint32_t count = 0;

    if (kept == NULL) return trace_out_of_memory(err);
    for (uint32_t i = 0; i < table->trace_count; i++)
        if (!trace_split_has(split, span_trace_hash(&table->traces[i].id)))
            kept[count++] = table->traces[i];
    table->traces = kept;
    table->trace_count = count;
    return ERR_OK;
}

/* ---------- joining ---------- */

typedef struct JoinPiece {
    const TracePiece *piece;
    SpanTable own; /* the split traces of it and nothing else, in the query's arena */
    Arena *arena;
    ErrCode code;
    Error err;
} JoinPiece;

typedef struct Joining {
    QueryContext *query;
    const SplitTraces *split;
    JoinPiece *pieces;
} Joining;

static ErrCode extract(const Joining *joining, JoinPiece *join, Error *err) {
    static const SpanNeed everything = {.columns = SPAN_ALL, .all_keys = true};
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(join->arena));
    SpanTable table;
    SpanTableRange *ranges;
    size_t count = 0;

    if (scratch == NULL) return trace_out_of_memory(err);
    TRY(query_check(joining->query, err));
    if (join->piece->table != NULL)
        table = *join->piece->table;
    else
        TRY(span_page_read(join->piece->selection, join->piece->page, &everything, scratch, &table,
                           err));
    ranges = ARENA_ARRAY(scratch, SpanTableRange, MAX(table.trace_count, 1U));
    if (ranges == NULL) return trace_out_of_memory(err);
    for (uint32_t i = 0; i < table.trace_count; i++)
        if (trace_split_has(joining->split, span_trace_hash(&table.traces[i].id)))
            ranges[count++] = (SpanTableRange){&table, i, 1};
    return span_table_join(ranges, count, true, join->arena, &join->own, err);
}

static void extract_run(void *context, size_t i) {
    Joining *joining = context;
    JoinPiece *join = &joining->pieces[i];

    join->code = extract(joining, join, &join->err);
}

/* All spans of all pieces: building puts those of a trace together, and leaves doubles out. */
static ErrCode build(QueryContext *query, const JoinPiece *pieces, size_t count, SpanTable *out,
                     Error *err) {
    size_t total = 0, n = 0;
    Span *all;

    for (size_t i = 0; i < count; i++) total += pieces[i].own.row_count;
    all = ARENA_ARRAY(query->arena, Span, MAX(total, (size_t)1));
    if (all == NULL) return trace_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        for (uint32_t t = 0; t < pieces[i].own.trace_count; t++) {
            const TraceRow *trace = &pieces[i].own.traces[t];
            Span *spans;

            TRY(span_table_spans(&pieces[i].own, trace, query->arena, &spans, err));
            memcpy(all + n, spans, trace->count * sizeof *spans);
            n += trace->count;
        }
    return span_table_build(all, n, query->arena, out, err);
}

ErrCode trace_join(QueryContext *query, const SplitTraces *split, const TracePiece *pieces,
                   size_t count, const SpanTable **out, Error *err) {
    JoinPiece *joins = ARENA_ARRAY(query->arena, JoinPiece, count);
    Joining joining = {query, split, joins};
    SpanTable *table = ARENA_NEW(query->arena, SpanTable);

    if (joins == NULL || table == NULL) return trace_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        joins[i].piece = &pieces[i];
        joins[i].arena = trace_arena(query->arena);
        if (joins[i].arena == NULL) return trace_out_of_memory(err);
    }
    if (query->pool != NULL && count > 1)
        pool_each(query->pool, count, extract_run, &joining);
    else
        for (size_t i = 0; i < count; i++) extract_run(&joining, i);
    for (size_t i = 0; i < count; i++)
        if (joins[i].code != ERR_OK) {
            if (err != NULL) *err = joins[i].err;
            return joins[i].code;
        }
    TRY(build(query, joins, count, table, err));
    *out = table;
    return ERR_OK;
}
