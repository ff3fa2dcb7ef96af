/*
 * search.c: the newest traces of which something is left at the end of the pipeline. Units come
 * newest first, so reading ends where no unit left can have a trace newer than those that are kept.
 */
#include <pthread.h>
#include <stdlib.h>

#include "querier/traceql/engine/scan.h"
#include "querier/traceql/engine/show.h"

typedef struct Search {
    const TraceqlQuery *query;
    const TraceqlSearchParams *params;
    Plan plan;
    TraceqlPipeline rest; /* behind the first stage, if that is a set */
    const TraceqlSet *first;
    pthread_mutex_t lock; /* of all below */
    Arena *arena;
    TraceqlFound *kept; /* with a limit, a heap: the oldest first */
    size_t count;
    size_t capacity;
    size_t units_done;
} Search;

typedef struct Worker {
    Search *search;
    Arena *arena; /* what it found */
} Worker;

/* ---- the newest ---- */

/* Negative: `a` is older. */
static int order_found(const TraceqlFound *a, const TraceqlFound *b) {
    if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns ? -1 : 1;
    return memcmp(b->id.bytes, a->id.bytes, sizeof a->id.bytes);
}

static int order_newest(const void *a, const void *b) {
    return order_found(b, a);
}

static void sift_down(TraceqlFound *heap, size_t count, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        TraceqlFound swap;

        if (child >= count) return;
        if (child + 1 < count && order_found(&heap[child + 1], &heap[child]) < 0) child++;
        if (order_found(&heap[at], &heap[child]) <= 0) return;
        swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

static ErrCode keep(Search *search, const TraceqlFound *found, Error *err) {
    uint32_t limit = search->params->limit;

    if (limit != 0 && search->count == limit) {
        if (order_found(found, &search->kept[0]) <= 0) return ERR_OK;
        search->kept[0] = *found;
        sift_down(search->kept, search->count, 0);
        return ERR_OK;
    }
    if (search->count == search->capacity) {
        size_t capacity = MAX(2 * search->capacity, 64);

        search->kept = arena_grow(search->arena, search->kept, search->count * sizeof *search->kept,
                                  capacity * sizeof *search->kept);
        if (search->kept == NULL) return traceql_out_of_memory(err);
        search->capacity = capacity;
    }
    search->kept[search->count++] = *found;
    if (search->count == limit)
        for (size_t i = limit / 2 + 1; i-- > 0;) sift_down(search->kept, limit, i);
    return ERR_OK;
}

/* Whether a trace that starts there may be among the newest. */
static bool may_be_kept(Search *search, int64_t start_ns) {
    bool may;

    pthread_mutex_lock(&search->lock);
    may = search->params->limit == 0 || search->count < search->params->limit ||
          start_ns >= search->kept[0].start_ns;
    pthread_mutex_unlock(&search->lock);
    return may;
}

static ErrCode unit_done(Search *search, const TraceqlFound *found, size_t count, size_t units,
                         Error *err) {
    ErrCode code = ERR_OK;

    pthread_mutex_lock(&search->lock);
    for (size_t i = 0; code == ERR_OK && i < count; i++) code = keep(search, &found[i], err);
    search->units_done++;
    if (code == ERR_OK && search->params->found != NULL)
        search->params->found(search->params->context, found, count, search->units_done, units);
    pthread_mutex_unlock(&search->lock);
    return code;
}

/* ---- one unit ---- */

typedef struct Match {
    uint32_t trace;
    SpanSet *sets;
    size_t count;
} Match;

static bool is_wanted(const Search *search, const TraceRow *trace) {
    const TraceqlSearchParams *params = search->params;
    int64_t duration = trace->end_ns - trace->start_ns;

    return trace->start_ns <= params->end_ns && trace->end_ns >= params->start_ns &&
           duration >= params->duration_min_ns && duration <= params->duration_max_ns;
}

static ErrCode match_traces(Search *search, Eval *eval, Match *matches, size_t *count, Error *err) {
    const SpanTable *table = eval->table;
    uint8_t *in = NULL;

    if (search->first != NULL) {
        in = eval_mask(eval);
        if (in == NULL) return traceql_out_of_memory(err);
        TRY(eval_set(eval, search->first, 0, table->trace_count, NULL, in, err));
    }
    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *trace = &table->traces[t];
        Match *match = &matches[*count];

        if (!is_wanted(search, trace) || trace->count == 0 ||
            (in != NULL && memchr(in + trace->first, 1, trace->count) == NULL) ||
            !may_be_kept(search, trace->start_ns))
            continue;
        match->trace = t;
        TRY(eval_pipeline(eval, &search->rest, t, in, &match->sets, &match->count, err));
        if (match->count > 0) (*count)++;
    }
    return ERR_OK;
}

static ErrCode search_unit(void *what, TraceScan *scan, uint32_t unit, Arena *arena, bool *stop,
                           Error *err) {
    Worker *worker = what;
    Search *search = worker->search;
    TraceqlFound *found;
    SpanTable table = {0};
    Match *matches;
    size_t count = 0;
    Eval eval;

    *stop = !may_be_kept(search, scan->set.units[unit].max_ns);
    if (*stop) return ERR_OK;
    TRY(scan->set.open(&scan->set, unit, arena, &table, err));
    TRY(eval_begin(&eval, search->query, &table, scan->query, arena, err));
    matches = ARENA_ARRAY(arena, Match, MAX(table.trace_count, 1));
    if (matches == NULL) return traceql_out_of_memory(err);
    TRY(match_traces(search, &eval, matches, &count, err));
    if (count == 0) return unit_done(search, NULL, 0, scan->set.count, err);
    TRY(scan->set.more(&scan->set, unit, &search->plan.output, arena, &table, err));
    eval.roots = NULL; /* there may be parents now, owners of events and so on */
    eval.children = NULL;
    eval.event_owners = eval.link_owners = NULL;
    found = ARENA_ARRAY(worker->arena, TraceqlFound, count);
    if (found == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        TRY(show_trace(&eval, &search->plan, matches[i].trace, matches[i].sets, matches[i].count,
                       search->params->spans_max, worker->arena, &found[i], err));
    return unit_done(search, found, count, scan->set.count, err);
}

/* ---- the whole ---- */

static ErrCode run(Search *search, TraceqlSearchResult *out, Error *err) {
    const TraceqlSearchParams *params = search->params;
    QueryContext *query = params->query;
    TraceSelect select = {.min_ns = params->start_ns,
                          .max_ns = params->end_ns,
                          .need = search->plan.need,
                          .any = search->plan.any,
                          .any_count = search->plan.any_count,
                          .stats = params->stats};
    TraceScan scan;

    TRY(trace_scan_open(&scan, params->source, query, &select, err));
    scan.unit = search_unit;
    for (size_t i = 0; i < scan.workers; i++) {
        Worker *worker = ARENA_NEW(query->arena, Worker);

        if (worker == NULL) return traceql_out_of_memory(err);
        worker->search = search;
        TRY(trace_scan_arena(query, &worker->arena, err));
        scan.what[i] = worker;
    }
    /* With hints most of what is left is read; without, the newest few are enough. */
    TRY(trace_scan_run(&scan, select.any_count > 0, err));
    if (search->count > 0) qsort(search->kept, search->count, sizeof *search->kept, order_newest);
    *out = (TraceqlSearchResult){search->kept, search->count};
    return ERR_OK;
}

ErrCode traceql_search(const TraceqlQuery *parsed, const TraceqlSearchParams *params,
                       TraceqlSearchResult *out, Error *err) {
    Search search = {.query = parsed, .params = params, .rest = parsed->pipeline};
    ErrCode code;

    if (parsed->pipeline.count > 0 && parsed->pipeline.stages[0].kind == TRACEQL_STAGE_SET) {
        search.first = parsed->pipeline.stages[0].set;
        search.rest = (TraceqlPipeline){parsed->pipeline.stages + 1, parsed->pipeline.count - 1};
    }
    TRY(plan_search(parsed, params->query->arena, &search.plan, err));
    TRY(trace_scan_arena(params->query, &search.arena, err));
    pthread_mutex_init(&search.lock, NULL);
    code = run(&search, out, err);
    pthread_mutex_destroy(&search.lock);
    return code;
}
