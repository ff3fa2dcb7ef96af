/*
 * range_agg.c: rate() and the like, in one pass over entries: each is counted for the steps whose
 * windows have it, in the series that its labels, or the group's, name. Threads read units and
 * count in tables of their own.
 */
#include <math.h>

#include "common/base/rune.h"
#include "querier/logql/engine/range.h"

enum { STEPS_PER_SAMPLE_MAX = 16, SEEN = 64 };

/* A thread's. */
typedef struct RangeWorker {
    const RangePlan *plan;
    const Scan *scan;
    Arena *arena;
    RangeTable table;
    Window window;
    Buf key;
    LabelPairs stream;
    /* Series of entries whose labels are the stream's and their metadata, by where the metadata
     * lie: the same ones often come again. While a batch lives; the one of metadata that no key
     * has, for the whole unit. Indices + 1; 0: not known. */
    uint32_t bare_series;
    struct {
        const LabelPair *pairs;
        size_t count;
        uint32_t series;
    } seen[SEEN];
} RangeWorker;

/* ---- which series ---- */

static bool is_named(const RangePlan *plan, Str name) {
    for (size_t i = 0; i < plan->name_count; i++)
        if (str_equal(plan->names[i], name)) return true;
    return false;
}

/* The three sorted lists as one sorted key, or what the grouping leaves of it. */
static void make_key(RangeWorker *worker, const Row *row) {
    const LabelPairs lists[] = {row->stream, row->metadata, row->parsed};
    size_t at[ARRAY_LEN(lists)] = {0};

    buf_clear(&worker->key);
    if (worker->plan->no_labels) return;
    for (;;) {
        const LabelPair *next = NULL;
        size_t from = 0;

        for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
            const LabelPair *pair = &lists[l].pairs[at[l]];

            if (at[l] == lists[l].count ||
                (next != NULL && str_compare(pair->name, next->name) >= 0))
                continue;
            next = pair;
            from = l;
        }
        if (next == NULL) return;
        at[from]++;
        if (next->value.len > 0 && is_named(worker->plan, next->name) != worker->plan->without)
            range_key_add(&worker->key, *next);
    }
}

/* The series of a key that is in worker->key; index + 1, 0: out of memory. */
static uint32_t find_series(RangeWorker *worker) {
    const RangeSeries *series;

    if (buf_failed(&worker->key)) return 0;
    series = range_table_find(&worker->table, buf_str(&worker->key));
    return series == NULL ? 0 : (uint32_t)(series - worker->table.series) + 1;
}

/* No key has any of these labels. */
static bool is_irrelevant(const RangePlan *plan, LabelPairs metadata) {
    if (plan->no_labels || metadata.count == 0) return true;
    if (plan->without) return false;
    for (size_t i = 0; i < metadata.count; i++)
        if (is_named(plan, metadata.pairs[i].name)) return false;
    return true;
}

static uint32_t plain_series(RangeWorker *worker, LabelPairs metadata) {
    size_t slot = ((uintptr_t)metadata.pairs / sizeof(LabelPair)) % SEEN;
    Row row = {.stream = worker->stream, .metadata = metadata};

    if (is_irrelevant(worker->plan, metadata)) {
        if (worker->bare_series == 0) {
            row.metadata = (LabelPairs){0};
            make_key(worker, &row);
            worker->bare_series = find_series(worker);
        }
        return worker->bare_series;
    }
    if (worker->seen[slot].pairs != metadata.pairs || worker->seen[slot].count != metadata.count ||
        worker->seen[slot].series == 0) {
        make_key(worker, &row);
        worker->seen[slot].pairs = metadata.pairs;
        worker->seen[slot].count = metadata.count;
        worker->seen[slot].series = find_series(worker);
    }
    return worker->seen[slot].series;
}

static uint32_t series_of(RangeWorker *worker, const Row *row) {
    if (row->plain) return plain_series(worker, row->metadata);
    make_key(worker, row);
    return find_series(worker);
}

/* ---- reading ---- */

/* Metadata are the same by where they lie only while they do. */
static void forget_metadata(void *what) {
    RangeWorker *worker = what;

    memset(worker->seen, 0, sizeof worker->seen);
}

static ErrCode begin_unit(void *what, const StreamUnit *unit, bool *skip, Error *err) {
    RangeWorker *worker = what;

    (void)skip;
    (void)err;
    worker->stream = worker->scan->streams[unit->stream];
    worker->bare_series = 0;
    worker->window = (Window){0};
    forget_metadata(worker);
    return ERR_OK;
}

static const Window *window_of(RangeWorker *worker, int64_t time_ns) {
    if (time_ns < worker->window.from_ns || time_ns >= worker->window.to_ns)
        worker->window = window_at(&worker->plan->grid, time_ns);
    return &worker->window;
}

static ErrCode pipeline_error(const Row *row, Error *err) {
    const LabelPairs lists[] = {row->stream, row->metadata, row->parsed};
    CLEANUP_IN_PLACE(buf_done) Buf series = {0};
    size_t at[ARRAY_LEN(lists)] = {0};
    Str kind = labels_get(row->parsed, STR("__error__"));

    buf_init(&series, 4096);
    for (;;) {
        const LabelPair *next = NULL;
        size_t from = 0;

        for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
            const LabelPair *pair = &lists[l].pairs[at[l]];

            if (at[l] == lists[l].count ||
                (next != NULL && str_compare(pair->name, next->name) >= 0))
                continue;
            next = pair;
            from = l;
        }
        if (next == NULL) break;
        at[from]++;
        buf_append_str(&series, series.len == 0 ? STR("{") : STR(", "));
        buf_append_str(&series, next->name);
        buf_append_byte(&series, '=');
        rune_quote(&series, next->value);
    }
    return error_set(err, ERR_INVALID,
                     "pipeline error: '" STR_FMT "' for series: '%.*s}'.\n"
                     "Use a label filter to intentionally skip this error. (e.g | "
                     "__error__!=\"" STR_FMT "\").\n"
                     "To skip all potential errors you can match empty errors.(e.g __error__=\"\")"
                     "\nThe label filter can also be specified after unwrap. (e.g | unwrap latency "
                     "| __error__=\"\" )\n",
                     STR_ARG(kind), (int)MIN(series.len, 200), series.len == 0 ? "{" : series.ptr,
                     STR_ARG(kind));
}

static ErrCode take_entry(void *what, int64_t time_ns, const Row *row, bool *stop, Error *err) {
    RangeWorker *worker = what;
    const Window *window = window_of(worker, time_ns);
    RangeSeries *series;
    uint32_t index;
    bool added;

    (void)stop;
    if (window->lo > window->hi) return ERR_OK;
    if (row->has_error) return pipeline_error(row, err);
    index = series_of(worker, row);
    if (index == 0) return logql_out_of_memory(err);
    series = &worker->table.series[index - 1];
    if (worker->plan->kind == RANGE_COUNT || worker->plan->kind == RANGE_BYTES)
        added = range_add_count(&worker->table, series, window, 1, row->line.len);
    else
        added = range_add_sample(&worker->table, series, window, time_ns, row->sample);
    return added ? ERR_OK : logql_out_of_memory(err);
}

/* Entries [from, to) of a batch, which are of one window and one series. */
static ErrCode take_run(RangeWorker *worker, RangeSeries *series, const StreamBatch *batch,
                        size_t from, size_t to, Error *err) {
    uint64_t bytes = 0;

    if (worker->window.lo > worker->window.hi) return ERR_OK;
    if (worker->plan->kind == RANGE_BYTES)
        for (size_t i = from; i < to; i++)
            bytes += batch->lengths != NULL ? batch->lengths[i] : batch->lines[i].len;
    return range_add_count(&worker->table, series, &worker->window, to - from, bytes)
               ? ERR_OK
               : logql_out_of_memory(err);
}

static ErrCode take_batch(void *what, const StreamBatch *batch, Error *err) {
    RangeWorker *worker = what;
    static const LabelPairs none;

    for (size_t i = 0, next; i < batch->count; i = next) {
        const Window *window = window_of(worker, batch->times[i]);
        uint32_t index = plain_series(worker, batch->metadata == NULL ? none : batch->metadata[i]);

        if (index == 0) return logql_out_of_memory(err);
        for (next = i + 1; next < batch->count; next++) {
            if (batch->times[next] < window->from_ns || batch->times[next] >= window->to_ns) break;
            if (batch->metadata != NULL && !worker->plan->no_labels &&
                plain_series(worker, batch->metadata[next]) != index)
                break;
        }
        TRY(take_run(worker, &worker->table.series[index - 1], batch, i, next, err));
    }
    return ERR_OK;
}

/* ---- planning ---- */

static RangeKind kind_of(const LogqlExpr *expr, const WindowGrid *grid) {
    LogqlRangeOp op = expr->as.range.op;

    if (op == LOGQL_BYTES_OVER_TIME || op == LOGQL_BYTES_RATE) return RANGE_BYTES;
    if (op == LOGQL_COUNT_OVER_TIME || op == LOGQL_ABSENT_OVER_TIME ||
        (op == LOGQL_RATE && expr->as.range.unwrap == NULL))
        return RANGE_COUNT;
    if (op == LOGQL_QUANTILE_OVER_TIME || op == LOGQL_RATE_COUNTER) return RANGE_SAMPLES;
    /* Where a sample is of many steps, it is cheaper to keep it and slide over all. */
    return grid->range_ns / grid->step_ns > STEPS_PER_SAMPLE_MAX && grid->steps > 1 ? RANGE_SAMPLES
                                                                                    : RANGE_FOLD;
}

static ErrCode plan_labels(LogqlEval *eval, const LogqlExpr *expr, const LogqlGrouping *grouping,
                           RangePlan *plan, Error *err) {
    const LogqlUnwrap *unwrap = expr->as.range.unwrap;
    Str *names;

    plan->without = true;
    if (grouping != NULL && grouping->written) {
        plan->without = grouping->without;
        plan->names = grouping->labels;
        plan->name_count = grouping->count;
    }
    plan->no_labels =
        expr->as.range.op == LOGQL_ABSENT_OVER_TIME ||
        (grouping != NULL && grouping->written && !grouping->without && grouping->count == 0);
    if (unwrap == NULL || plan->no_labels || !plan->without) return ERR_OK;
    /* What was made a number is no label any more. */
    names = ARENA_ARRAY(eval->arena, Str, plan->name_count + 1);
    if (names == NULL) return logql_out_of_memory(err);
    if (plan->name_count > 0) memcpy(names, plan->names, plan->name_count * sizeof *names);
    names[plan->name_count++] = unwrap->label;
    plan->names = names;
    return ERR_OK;
}

/* Names of metadata that a query without stages looks at. */
static void plan_need(const LogqlExpr *expr, const RangePlan *plan, StreamSelect *select) {
    bool bare = expr->as.range.log.stage_count == 0 && expr->as.range.unwrap == NULL;

    select->need = expr->as.range.unwrap != NULL ? STREAM_NEED_METADATA : 0;
    if (plan->kind == RANGE_BYTES)
        select->need |= bare ? STREAM_NEED_LENGTHS : STREAM_NEED_LENGTHS | STREAM_NEED_LINES;
    if (!plan->no_labels) select->need |= STREAM_NEED_METADATA;
    for (size_t i = 0; i < expr->as.range.log.stage_count; i++)
        if (expr->as.range.log.stages[i].kind != LOGQL_STAGE_LINE_FILTER)
            select->need |= STREAM_NEED_METADATA | STREAM_NEED_LINES;
    if (bare && !plan->without && !plan->no_labels) {
        select->metadata_names = plan->names;
        select->metadata_name_count = plan->name_count;
    }
}

static ErrCode make_plan(LogqlEval *eval, const LogqlExpr *expr, const LogqlGrouping *grouping,
                         RangePlan *plan, Error *err) {
    *plan = (RangePlan){
        .op = expr->as.range.op,
        .grid = {.first_ns = eval->start_ns - expr->as.range.offset_ns,
                 .step_ns = eval->step_ns,
                 .range_ns = expr->as.range.range_ns,
                 .steps = eval->steps},
        .unwrapped = expr->as.range.unwrap != NULL,
        .seconds = (double)expr->as.range.range_ns / 1e9,
        .quantile = expr->as.range.param,
    };
    plan->kind = kind_of(expr, &plan->grid);
    plan->differences = plan->grid.range_ns > plan->grid.step_ns && plan->grid.steps > 1;
    return plan_labels(eval, expr, grouping, plan, err);
}

/* ---- running ---- */

static void worker_done(RangeWorker *worker) {
    buf_done(&worker->key);
    arena_free(worker->arena);
}

static ErrCode worker_begin(RangeWorker *worker, const RangePlan *plan, const Scan *scan,
                            Error *err) {
    *worker = (RangeWorker){.plan = plan, .scan = scan};
    buf_init(&worker->key, MIB(4));
    worker->arena = arena_new(0, arena_budget(scan->eval->arena));
    if (worker->arena == NULL || !range_table_init(&worker->table, plan, worker->arena))
        return logql_out_of_memory(err);
    return ERR_OK;
}

static ErrCode run(Scan *scan, const RangePlan *plan, RangeWorker *workers, size_t count,
                   LogqlVector *out, Error *err) {
    static const ScanReader counting = {begin_unit, forget_metadata, take_batch, take_entry, NULL};
    static const ScanReader sampling = {begin_unit, forget_metadata, NULL, take_entry, NULL};
    LogqlEval *eval = scan->eval;
    bool counts = plan->kind == RANGE_COUNT || plan->kind == RANGE_BYTES;
    RangeTable *tables = ARENA_ARRAY(eval->arena, RangeTable, count);
    void **whats = ARENA_ARRAY(eval->arena, void *, count);

    if (tables == NULL || whats == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        TRY(worker_begin(&workers[i], plan, scan, err));
        whats[i] = &workers[i];
    }
    TRY(scan_read(scan, counts ? &counting : &sampling, whats, count, err));
    for (size_t i = 0; i < count; i++) tables[i] = workers[i].table;
    return range_finish(eval, plan, tables, count, out, err);
}

ErrCode logql_range(LogqlEval *eval, const LogqlExpr *expr, const LogqlGrouping *grouping,
                    LogqlVector *out, Error *err) {
    StreamSelect select = {0};
    RowPipeline *pipeline = NULL;
    RangeWorker *workers;
    RangePlan plan;
    size_t count;
    ErrCode code;
    Scan scan;

    TRY(make_plan(eval, expr, grouping, &plan, err));
    plan_need(expr, &plan, &select);
    select.min_ns = plan.grid.first_ns - plan.grid.range_ns + 1;
    select.max_ns = plan.grid.first_ns + (int64_t)(plan.grid.steps - 1) * plan.grid.step_ns + 1;
    TRY(row_pipeline_new(eval,
                         &(RowOptions){.log = &expr->as.range.log,
                                       .unwrap = expr->as.range.unwrap,
                                       .metric = true,
                                       .line_wanted = plan.kind == RANGE_BYTES,
                                       .grouping = grouping,
                                       .no_labels = plan.no_labels},
                         &pipeline, err));
    TRY(scan_open(eval, &expr->as.range.log, pipeline, &select, &scan, err));
    count = scan_workers(&scan);
    workers = ARENA_ARRAY(eval->arena, RangeWorker, count);
    if (workers == NULL) return logql_out_of_memory(err);
    code = run(&scan, &plan, workers, count, out, err);
    for (size_t i = 0; i < count; i++) worker_done(&workers[i]);
    return code;
}
