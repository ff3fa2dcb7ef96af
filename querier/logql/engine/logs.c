/*
 * logs.c: log queries: the newest entries, or the oldest, over all streams.
 *
 * Units are read in the order in which their first wanted entry can come. Each thread keeps the
 * best `limit` entries it has met in a heap, worst on top, and once a heap is full its worst entry
 * bounds what any thread still looks at: units and rest of units beyond it are not read. So no more
 * than a page per thread is open at a time, whatever the number of streams.
 */
#include "querier/logql/engine/logs.h"

#include <stdlib.h>

enum { GARBAGE_BYTES_MIN = 8 << 20 };

/* ---- order ---- */

/* Sooner in the answer: by time, then by stream, then as read: neither threads nor which pages were
 * left out for what they can't hold make a difference. */
static bool is_before(const LogHit *a, const LogHit *b, bool backward) {
    if (a->time_ns != b->time_ns) return backward != (a->time_ns < b->time_ns);
    if (a->number != b->number) return a->number < b->number;
    if (a->unit != b->unit) return a->unit < b->unit;
    return a->position < b->position;
}

static void sift_up(LogWorker *worker, size_t i) {
    LogHit *hits = worker->hits;

    while (i > 0) {
        size_t up = (i - 1) / 2;
        LogHit hit = hits[i];

        if (!is_before(&hits[up], &hits[i], worker->shared->backward)) return;
        hits[i] = hits[up];
        hits[up] = hit;
        i = up;
    }
}

static void sift_down(LogWorker *worker, size_t i) {
    LogHit *hits = worker->hits;

    for (;;) {
        size_t worst = i;

        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < worker->count; child++)
            if (is_before(&hits[worst], &hits[child], worker->shared->backward)) worst = child;
        if (worst == i) return;
        LogHit hit = hits[i];

        hits[i] = hits[worst];
        hits[worst] = hit;
        i = worst;
    }
}

/* No entry beyond this instant is wanted any more. */
static void tighten(LogWorker *worker) {
    LogShared *shared = worker->shared;
    int64_t mine = worker->hits[0].time_ns;
    int64_t known = atomic_load_explicit(&shared->bound_ns, memory_order_relaxed);

    while ((shared->backward ? mine > known : mine < known) &&
           !atomic_compare_exchange_weak(&shared->bound_ns, &known, mine)) {
    }
}

static bool is_beyond(const LogShared *shared, int64_t time_ns) {
    int64_t bound = atomic_load_explicit(&shared->bound_ns, memory_order_relaxed);

    return shared->backward ? time_ns < bound : time_ns > bound;
}

/* ---- keeping ---- */

static bool copy_pairs(Arena *arena, LabelPairs from, LabelPairs *out) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, MAX(from.count, 1));

    if (pairs == NULL) return false;
    for (size_t i = 0; i < from.count; i++) {
        pairs[i].name = str_dup(arena, from.pairs[i].name);
        pairs[i].value = str_dup(arena, from.pairs[i].value);
        if (pairs[i].name.ptr == NULL || pairs[i].value.ptr == NULL) return false;
    }
    *out = (LabelPairs){pairs, from.count};
    return true;
}

/* The bytes of a hit come to lie in `arena`. Labels of a stream lie in the query's own already,
 * unless the pipeline changed them. */
static bool copy_hit(Arena *arena, LogHit *hit) {
    hit->line = str_dup(arena, hit->line);
    if (hit->line.ptr == NULL) return false;
    if (!hit->stream_whole && !copy_pairs(arena, hit->stream, &hit->stream)) return false;
    return copy_pairs(arena, hit->metadata, &hit->metadata) &&
           copy_pairs(arena, hit->parsed, &hit->parsed);
}

/* What replaced hits left behind goes when it is more than what is there. */
static bool sweep(LogWorker *worker) {
    Arena *fresh;

    if (arena_used(worker->texts) < worker->swept_bytes * 2 + GARBAGE_BYTES_MIN) return true;
    fresh = arena_new(0, arena_budget(worker->texts));
    if (fresh == NULL) return false;
    for (size_t i = 0; i < worker->count; i++) {
        if (copy_hit(fresh, &worker->hits[i])) continue;
        /* The hits point into both now. */
        worker->leftover = fresh;
        return false;
    }
    arena_free(worker->texts);
    worker->texts = fresh;
    worker->swept_bytes = arena_used(fresh);
    return true;
}

static bool grow_hits(LogWorker *worker) {
    size_t more = MAX(worker->capacity * 2, 64);
    LogHit *hits;

    if (worker->count < worker->capacity) return true;
    hits = arena_grow(worker->arena, worker->hits, worker->capacity * sizeof *hits,
                      more * sizeof *hits);
    if (hits == NULL) return false;
    worker->hits = hits;
    worker->capacity = more;
    return true;
}

static bool keep_hit(LogWorker *worker, LogHit hit) {
    uint64_t limit = worker->shared->limit;

    if (limit > 0 && worker->count == limit) {
        if (!is_before(&hit, &worker->hits[0], worker->shared->backward)) return true;
        if (!copy_hit(worker->texts, &hit)) return false;
        worker->hits[0] = hit;
        sift_down(worker, 0);
        tighten(worker);
        return sweep(worker);
    }
    if (!grow_hits(worker) || !copy_hit(worker->texts, &hit)) return false;
    worker->hits[worker->count++] = hit;
    if (limit == 0) return true;
    sift_up(worker, worker->count - 1);
    if (worker->count == limit) tighten(worker);
    return true;
}

/* ---- reading ---- */

static ErrCode begin_unit(void *what, const StreamUnit *unit, bool *skip, Error *err) {
    LogWorker *worker = what;

    (void)err;
    worker->unit = worker->shared->rank[unit - worker->shared->scan->set.units];
    worker->number = unit->stream;
    worker->position = 0;
    worker->stream = worker->shared->scan->streams[unit->stream];
    *skip = is_beyond(worker->shared, worker->shared->backward ? unit->max_ns : unit->min_ns);
    return ERR_OK;
}

static void fresh_batch(void *what) {
    (void)what;
}

static bool is_wanted(void *what, int64_t time_ns, bool *stop) {
    LogWorker *worker = what;

    worker->position++;
    *stop = is_beyond(worker->shared, time_ns);
    return !*stop;
}

static ErrCode take_entry(void *what, int64_t time_ns, const Row *row, bool *stop, Error *err) {
    LogWorker *worker = what;
    LogHit hit = {.time_ns = time_ns,
                  .number = worker->number,
                  .unit = worker->unit,
                  .position = worker->position,
                  .line = row->line,
                  .stream = row->stream,
                  .metadata = row->metadata,
                  .parsed = row->parsed,
                  .stream_whole = row->stream.pairs == worker->stream.pairs};

    (void)stop;
    return keep_hit(worker, hit) ? ERR_OK : logql_out_of_memory(err);
}

/* ---- units in order ---- */

typedef struct UnitOrder {
    const StreamUnit *units;
    bool backward;
} UnitOrder;

static int compare_units(const void *a, const void *b, void *context) {
    const UnitOrder *order = context;
    const StreamUnit *x = &order->units[*(const uint32_t *)a];
    const StreamUnit *y = &order->units[*(const uint32_t *)b];

    if (order->backward && x->max_ns != y->max_ns) return x->max_ns > y->max_ns ? -1 : 1;
    if (!order->backward && x->min_ns != y->min_ns) return x->min_ns < y->min_ns ? -1 : 1;
    return x->stream < y->stream ? -1 : 1;
}

static ErrCode order_units(LogqlEval *eval, Scan *scan, LogShared *shared, Error *err) {
    UnitOrder order = {scan->set.units, shared->backward};

    shared->rank = ARENA_ARRAY(eval->arena, uint32_t, MAX(scan->set.unit_count, 1));
    if (shared->rank == NULL) return logql_out_of_memory(err);
    if (scan->set.unit_count > 0)
        qsort_r(scan->order, scan->set.unit_count, sizeof *scan->order, compare_units, &order);
    for (uint32_t i = 0; i < scan->set.unit_count; i++) shared->rank[scan->order[i]] = i;
    return ERR_OK;
}

/* ---- one selection ---- */

static int compare_hits(const void *a, const void *b, void *backward) {
    return is_before(a, b, *(const bool *)backward) ? -1 : 1;
}

/* All workers' hits, in the answer's order and in the query's arena. */
static ErrCode gather(LogqlEval *eval, LogShared *shared, LogWorker *workers, size_t count,
                      LogHits *out, Error *err) {
    size_t all = 0, at = 0;
    LogHit *hits;

    for (size_t w = 0; w < count; w++) all += workers[w].count;
    hits = ARENA_ARRAY(eval->arena, LogHit, MAX(all, 1));
    if (hits == NULL) return logql_out_of_memory(err);
    for (size_t w = 0; w < count; w++) {
        if (workers[w].count > 0)
            memcpy(hits + at, workers[w].hits, workers[w].count * sizeof *hits);
        at += workers[w].count;
    }
    if (all > 0) qsort_r(hits, all, sizeof *hits, compare_hits, &shared->backward);
    if (shared->limit > 0 && all > shared->limit) all = shared->limit;
    for (size_t i = 0; i < all; i++)
        if (!copy_hit(eval->arena, &hits[i])) return logql_out_of_memory(err);
    *out = (LogHits){hits, all};
    return ERR_OK;
}

static ErrCode worker_begin(LogWorker *worker, LogShared *shared, Budget *budget, Error *err) {
    *worker = (LogWorker){.shared = shared};
    worker->arena = arena_new(0, budget);
    worker->texts = arena_new(0, budget);
    if (worker->arena == NULL || worker->texts == NULL) return logql_out_of_memory(err);
    return ERR_OK;
}

static void worker_done(LogWorker *worker) {
    arena_free(worker->arena);
    arena_free(worker->texts);
    arena_free(worker->leftover);
}

static ErrCode read_hits(LogqlEval *eval, Scan *scan, LogShared *shared, LogWorker *workers,
                         size_t count, LogHits *out, Error *err) {
    static const ScanReader reader = {begin_unit, fresh_batch, NULL, take_entry, is_wanted};
    void **whats = ARENA_ARRAY(eval->arena, void *, count);

    if (whats == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        TRY(worker_begin(&workers[i], shared, arena_budget(eval->arena), err));
        whats[i] = &workers[i];
    }
    TRY(scan_read(scan, &reader, whats, count, err));
    return gather(eval, shared, workers, count, out, err);
}

ErrCode log_select(LogqlEval *eval, const LogqlLog *log, const RowPipeline *pipeline,
                   int64_t min_ns, int64_t max_ns, uint64_t limit, LogHits *out, Error *err) {
    bool backward = eval->params->backward;
    StreamSelect select = {.min_ns = min_ns,
                           .max_ns = max_ns,
                           .backward = backward,
                           .need = STREAM_NEED_LINES | STREAM_NEED_METADATA,
                           .limit = limit};
    LogShared shared = {.backward = backward, .limit = limit};
    LogWorker *workers;
    ErrCode code;
    size_t count;
    Scan scan;

    atomic_init(&shared.bound_ns, backward ? INT64_MIN : INT64_MAX);
    TRY(scan_open(eval, log, pipeline, &select, &scan, err));
    shared.scan = &scan;
    TRY(order_units(eval, &scan, &shared, err));
    count = scan_workers(&scan);
    workers = ARENA_ARRAY(eval->arena, LogWorker, count);
    if (workers == NULL) return logql_out_of_memory(err);
    code = read_hits(eval, &scan, &shared, workers, count, out, err);
    for (size_t i = 0; i < count; i++) worker_done(&workers[i]);
    return code;
}
