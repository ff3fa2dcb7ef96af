/*
 * eval_range.c: calls of range functions as streams: read a series, find its windows, run the
 * function's kernel over all steps.
 */
#include "querier/promql/range.h"
#include "querier/promql/simd.h"

enum { CACHE_SIZE = 64, CACHE_BYTES_MAX = 1 << 20 };

/* What a call keeps in each worker. */
typedef struct RangeBuffers {
    Column column;
    Windows cache[CACHE_SIZE];
    Windows own; /* of instants that are not shared */
    Windows hists;
    int64_t *times; /* a subquery's samples where some steps have none */
    double *values;
    uint32_t last_name;                  /* the metric that the user was told about last, */
    const Annotations *last_annotations; /* and where */
} RangeBuffers;

/* Buffers that select.c wants are in the slot after ours. */
static uint32_t stale_slot(const RangeCall *call) {
    return call->slot + 1;
}

void range_annotate_name(const RangeInput *in, AnnotationKind kind) {
    annotate_name(in->worker->annotations, kind, in->call->node->args[0]->id,
                  metric_name(in->worker->eval, in->labels));
}

void range_annotate_operation(const RangeInput *in, AnnotationKind kind, const char *operation) {
    annotate_more(in->worker->annotations, kind, in->call->node->args[0]->id, " %s", operation);
}

static size_t windows_bytes(const Grid *grid) {
    return grid->steps * (4 * sizeof(uint32_t) + 5 * sizeof(double)) +
           2 * grid_words(grid) * sizeof(uint64_t);
}

static bool windows_alloc(Windows *w, Arena *arena, const Grid *grid) {
    size_t steps = grid->steps;

    if (w->first != NULL) return true;
    w->first = arena_alloc(arena, steps * sizeof(uint32_t));
    w->end = arena_alloc(arena, steps * sizeof(uint32_t));
    w->any = arena_alloc(arena, grid_words(grid) * sizeof(uint64_t));
    w->two = arena_alloc(arena, grid_words(grid) * sizeof(uint64_t));
    if (w->end != NULL && w->any != NULL && w->two != NULL && w->first != NULL) return true;
    w->first = NULL;
    return false;
}

static void windows_fill(Windows *w, const RangeCall *call, const int64_t *times, size_t count) {
    const Grid *grid = &call->grid;
    StepTimes steps = call->steps;
    int64_t range = call->range_ms;

    /* Anchored and smoothed ranges look at what surrounds them, too. */
    if (call->anchored || call->smoothed) range += call->eval->lookback_ms;
    if (call->smoothed) {
        steps.start_ms += call->eval->lookback_ms;
        range += call->eval->lookback_ms;
    }
    windows_make(times, count, &steps, range, w->first, w->end);
    memset(w->any, 0, grid_words(grid) * sizeof(uint64_t));
    memset(w->two, 0, grid_words(grid) * sizeof(uint64_t));
    for (uint32_t s = 0; s < grid->steps; s++) {
        uint32_t n = w->end[s] - w->first[s];

        w->any[s / 64] |= (uint64_t)(n >= 1) << (s % 64);
        w->two[s / 64] |= (uint64_t)(n >= 2) << (s % 64);
    }
    w->all_any = bits_are_full(w->any, grid->steps);
    w->all_two = bits_are_full(w->two, grid->steps);
    w->has_rate = false;
}

static Windows *float_windows(const RangeCall *call, Worker *worker, RangeBuffers *buffers,
                              const RangeSamples *samples) {
    uint64_t id = samples->times_id;
    size_t size = MAX(MIN(CACHE_SIZE, CACHE_BYTES_MAX / windows_bytes(&call->grid)), 4);
    Windows *w = &buffers->own;

    if (id != 0) {
        w = &buffers->cache[(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) % size];
        if (w->times_id == id && w->first != NULL) return w;
    }
    if (!windows_alloc(w, worker->kept, &call->grid)) return NULL;
    w->times_id = id;
    windows_fill(w, call, samples->times, samples->count);
    return w;
}

/* ---- subqueries ---- */

static ErrCode read_subquery(const RangeCall *call, size_t i, Worker *worker, RangeBuffers *buffers,
                             RangeSamples *out, Error *err) {
    const Stream *inner = &call->inner;
    const Grid *grid = &inner->grid;
    Column column;
    size_t n = 0;

    TRY(inner->read(inner, i, worker, &column, err));
    *out = (RangeSamples){0};
    if (column.full) {
        out->times = call->inner_times;
        out->values = column.values;
        out->count = grid->steps;
        out->times_id = call->inner_times_id;
        out->rising = simd_is_rising(out->values, out->count);
    } else {
        if (buffers->times == NULL) {
            buffers->times = arena_alloc(worker->kept, grid->steps * sizeof(int64_t));
            buffers->values = arena_alloc(worker->kept, grid->steps * sizeof(double));
            if (buffers->times == NULL || buffers->values == NULL) return eval_out_of_memory(err);
        }
        BITS_EACH(s, column.present, grid_words(grid)) {
            buffers->times[n] = call->inner_times[s];
            buffers->values[n++] = column.values[s];
        }
        out->times = buffers->times;
        out->values = buffers->values;
        out->count = n;
    }
    if (column.hists != NULL) {
        int64_t *times = arena_alloc(worker->series, grid->steps * sizeof *times);
        Hist *hists = arena_alloc(worker->series, grid->steps * sizeof *hists);

        if (times == NULL || hists == NULL) return eval_out_of_memory(err);
        n = 0;
        for (uint32_t s = 0; s < grid->steps; s++) {
            if (column.hists[s] == NULL) continue;
            times[n] = call->inner_times[s];
            hists[n] = *column.hists[s];
            /* Hints tell of the sample before, which may not be among the subquery's. */
            if (hists[n].hint != HISTOGRAM_HINT_GAUGE) hists[n].hint = HISTOGRAM_HINT_UNKNOWN;
            n++;
        }
        out->hist_times = times;
        out->hists = hists;
        out->hist_count = n;
    }
    return worker_check(worker, grid->steps, err);
}

/* ---- reading ---- */

static bool ends_like_counter(Str name) {
    return str_ends_with(name, STR("_total")) || str_ends_with(name, STR("_sum")) ||
           str_ends_with(name, STR("_count")) || str_ends_with(name, STR("_bucket"));
}

/* rate() of something that doesn't look like a counter is often a mistake. */
static void annotate_non_counter(const RangeInput *in, RangeBuffers *buffers) {
    const Eval *eval = in->worker->eval;
    uint32_t name = label_set_get(in->labels, SYMBOL_NAME);
    Str text;

    if (name == SYMBOL_EMPTY) return;
    if (eval->params->type_and_unit_labels) {
        Str type = symbols_str(eval->symbols, label_set_get(in->labels, eval->type_symbol));

        if (!str_equal(type, STR("counter")) && !str_equal(type, STR("histogram")))
            annotate_type(in->worker->annotations, in->call->node->args[0]->id, type,
                          symbols_str(eval->symbols, name));
        return;
    }
    /* Series of one metric come one after the other: say it once. */
    if (buffers->last_name == name && buffers->last_annotations == in->worker->annotations) return;
    buffers->last_name = name;
    buffers->last_annotations = in->worker->annotations;
    text = symbols_str(eval->symbols, name);
    if (!ends_like_counter(text)) range_annotate_name(in, ANNOTATION_MAYBE_NOT_COUNTER);
}

static ErrCode read_range(const Stream *stream, size_t i, Worker *worker, Column *out, Error *err) {
    const RangeCall *call = stream->context;
    RangeBuffers *buffers = worker_slot(worker, call->slot, sizeof *buffers);
    RangeInput in = {.call = call, .worker = worker, .labels = stream->labels[i]};

    if (buffers == NULL) return eval_out_of_memory(err);
    if (buffers->column.values == NULL)
        TRY(column_new(worker->kept, &call->grid, &buffers->column, err));
    if (call->set != NULL)
        TRY(select_read_range(call->set, i, worker, stale_slot(call),
                              call->arg->args[0]->stats_only, &in.samples, err));
    else
        TRY(read_subquery(call, i, worker, buffers, &in.samples, err));
    in.windows = float_windows(call, worker, buffers, &in.samples);
    if (in.windows == NULL) return eval_out_of_memory(err);
    if (in.samples.hist_count > 0) {
        in.hist_windows = &buffers->hists;
        if (!windows_alloc(in.hist_windows, worker->kept, &call->grid))
            return eval_out_of_memory(err);
        windows_fill(in.hist_windows, call, in.samples.hist_times, in.samples.hist_count);
    }
    *out = buffers->column;
    memset(out->present, 0, grid_words(&call->grid) * sizeof(uint64_t));
    TRY(call->kernel(&in, out, err));
    if ((call->id == PROMQL_FN_RATE || call->id == PROMQL_FN_INCREASE) &&
        (out->full || bits_any(out->present, grid_words(&call->grid))))
        annotate_non_counter(&in, buffers);
    return ERR_OK;
}

/* ---- opening ---- */

static ErrCode check_extended(const RangeCall *call, Error *err) {
    bool rates =
        call->id == PROMQL_FN_RATE || call->id == PROMQL_FN_INCREASE || call->id == PROMQL_FN_DELTA;
    const char *name = call->node->expr->as.call.function->name;

    if (call->anchored && !rates && call->id != PROMQL_FN_RESETS && call->id != PROMQL_FN_CHANGES)
        return error_set(err, ERR_INVALID,
                         "anchored modifier can only be used with: changes, delta, increase, rate, "
                         "resets - not with %s",
                         name);
    if (call->smoothed && !rates)
        return error_set(err, ERR_INVALID,
                         "smoothed modifier can only be used with: delta, increase, rate - not "
                         "with %s",
                         name);
    return ERR_OK;
}

static ErrCode open_selector(RangeCall *call, Stream *out, Error *err) {
    const Node *selector = call->arg->args[0];
    int64_t lookback = call->eval->lookback_ms;
    int64_t min, max;

    call->anchored = selector->expr->as.selector.anchored;
    call->smoothed = selector->expr->as.selector.smoothed;
    TRY(check_extended(call, err));
    min = call->steps.start_ms - call->range_ms + 1;
    max = step_time_last(&call->steps);
    /* Hints are made from the sample before, too, which is before the range. */
    if (call->anchored || call->smoothed || selector->stats_only) min -= lookback;
    if (call->smoothed) max += lookback;
    TRY(select_series(call->eval, selector, min, max, false, &call->set, err));
    out->count = call->set->count;
    out->labels = call->set->labels;
    return ERR_OK;
}

static ErrCode open_subquery(RangeCall *call, Stream *out, Error *err) {
    Grid grid = subquery_grid(call->eval, call->arg, &call->grid);
    int64_t *times = arena_alloc(call->eval->arena, MAX(grid.steps, 1) * sizeof *times);

    if (grid.steps == PROMQL_STEPS_MAX)
        return error_set(err, ERR_LIMIT, "a subquery has more than %d steps", PROMQL_STEPS_MAX - 1);
    if (times == NULL) return eval_out_of_memory(err);
    for (uint32_t s = 0; s < grid.steps; s++) times[s] = grid_time(&grid, s);
    call->inner_times = times;
    call->inner_times_id = ++call->eval->next_times_id;
    TRY(eval_stream(call->eval, call->arg->args[0], &grid, &call->inner, err));
    out->count = call->inner.count;
    out->labels = call->inner.labels;
    return ERR_OK;
}

/* The name stays with functions that only pick a sample, unless the input lost it before. */
static void set_drops(const RangeCall *call, Stream *out) {
    bool picks = call->id == PROMQL_FN_LAST_OVER_TIME || call->id == PROMQL_FN_FIRST_OVER_TIME;

    out->drop = !picks;
    if (picks && call->set == NULL) {
        out->drop = call->inner.drop;
        out->drops = call->inner.drops;
    }
}

static bool makes_hists(PromqlFunctionId id) {
    switch (id) {
    case PROMQL_FN_RATE:
    case PROMQL_FN_INCREASE:
    case PROMQL_FN_DELTA:
    case PROMQL_FN_IRATE:
    case PROMQL_FN_IDELTA:
    case PROMQL_FN_SUM_OVER_TIME:
    case PROMQL_FN_AVG_OVER_TIME:
    case PROMQL_FN_FIRST_OVER_TIME:
    case PROMQL_FN_LAST_OVER_TIME:
        return true;
    default:
        return false;
    }
}

ErrCode eval_range_call(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    RangeCall *call = ARENA_NEW(eval->arena, RangeCall);
    unsigned scalars = 0;

    if (call == NULL) return eval_out_of_memory(err);
    call->eval = eval;
    call->node = node;
    call->id = node_function(node);
    call->kernel = range_kernel(call->id);
    call->grid = *grid;
    call->slot = eval_new_slot(eval);
    eval_new_slot(eval);
    *out = (Stream){.read = read_range, .context = call, .grid = *grid};
    for (size_t i = 0; i < node->arg_count; i++)
        if (node->args[i]->type == PROMQL_TYPE_MATRIX) call->arg = node->args[i];
    assert(call->arg != NULL && call->kernel != NULL);
    call->range_ms = call->arg->range_ms;
    call->steps = select_step_times(call->arg, grid);
    /* A subquery is evaluated before the other arguments; annotations follow that order. */
    if (call->arg->kind == PROMQL_SUBQUERY) TRY(open_subquery(call, out, err));
    for (size_t i = 0; i < node->arg_count; i++)
        if (node->args[i] != call->arg)
            TRY(eval_scalar(eval, node->args[i], grid, &call->args[scalars++], err));
    if (call->arg->kind == PROMQL_MATRIX) TRY(open_selector(call, out, err));
    if (call->anchored || call->smoothed)
        if (call->kernel == kernel_rate) call->kernel = kernel_extended;
    out->no_hists = !makes_hists(call->id);
    set_drops(call, out);
    return ERR_OK;
}
