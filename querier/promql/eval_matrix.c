/*
 * eval_matrix.c: a range selector or a subquery as the whole of an instant query: its samples.
 */
#include "querier/promql/eval_internal.h"
#include "querier/promql/functions.h"
#include "querier/promql/interpolate.h"
#include "querier/promql/label_ops.h"
#include "querier/promql/select.h"

typedef struct MatrixWork {
    Eval *eval;
    const Node *node;
    const SeriesSet *set;
    int64_t after, until; /* samples in (after, until] */
    int64_t lookback_ms;
    bool anchored, smoothed;
    PromqlSeries *series;
    Arena **arenas; /* per part */
    uint32_t slot;
} MatrixWork;

/* Samples of one series while they are put together. */
typedef struct Samples {
    int64_t *times;
    double *values;
    uint64_t *present;
    const Hist **hists;
    size_t count;
} Samples;

static ErrCode samples_new(Arena *arena, size_t capacity, bool hists, Samples *out, Error *err) {
    *out = (Samples){.times = arena_alloc(arena, MAX(capacity, 1) * sizeof(int64_t)),
                     .values = arena_alloc(arena, MAX(capacity, 1) * sizeof(double)),
                     .present = ARENA_ARRAY(arena, uint64_t, capacity / 64 + 1)};
    if (hists) out->hists = ARENA_ARRAY(arena, const Hist *, MAX(capacity, 1));
    if (out->times == NULL || out->values == NULL || out->present == NULL ||
        (hists && out->hists == NULL))
        return eval_out_of_memory(err);
    return ERR_OK;
}

static void put(Samples *samples, int64_t time, double value) {
    samples->times[samples->count] = time;
    samples->values[samples->count] = value;
    bits_set(samples->present, (uint32_t)samples->count++);
}

/* The samples around and in an extended range, with values at its very ends. */
static void extend(const MatrixWork *work, const int64_t *t, const double *v, size_t count,
                   Samples *out) {
    size_t last = count - 1, first = 0, end;
    double left, right;

    while (first < last && t[first] <= work->after) first++;
    first = first > 0 ? first - 1 : 0;
    if (work->smoothed) {
        size_t i = 0;

        while (i < last && t[i] < work->until) i++;
        last = i;
    }
    if (t[last] <= work->after) return;
    left = work->smoothed && t[first] < work->after
               ? interpolate(v[first], t[first], v[first + 1], t[first + 1], work->after, false)
               : v[first];
    right = work->smoothed && last > 0 && t[last] > work->until
                ? interpolate(v[last - 1], t[last - 1], v[last], t[last], work->until, false)
                : v[last];
    end = t[last] >= work->until ? last : last + 1;
    if (t[first] <= work->after) first++;
    put(out, work->after, left);
    for (; first < end; first++) put(out, t[first], v[first]);
    put(out, work->until, right);
}

static ErrCode merge_samples(const RangeSamples *in, const MatrixWork *work, Arena *arena,
                             Samples *out, Error *err) {
    size_t f = 0, h = 0;

    while (f < in->count || h < in->hist_count) {
        bool hist = f == in->count || (h < in->hist_count && in->hist_times[h] < in->times[f]);
        int64_t time = hist ? in->hist_times[h] : in->times[f];

        if (time <= work->after || time > work->until) {
            f += !hist;
            h += hist;
            continue;
        }
        if (!hist) {
            put(out, time, in->values[f++]);
            continue;
        }
        out->hists[out->count] = hist_dup(arena, &in->hists[h++]);
        if (out->hists[out->count] == NULL) return eval_out_of_memory(err);
        out->times[out->count++] = time;
    }
    return ERR_OK;
}

static ErrCode matrix_series(const MatrixWork *work, size_t i, Worker *worker, Arena *arena,
                             Error *err) {
    bool extended = work->anchored || work->smoothed;
    RangeSamples in;
    Samples samples;

    arena_reset(worker->series);
    worker->hists = worker->series;
    TRY(select_read_range(work->set, i, worker, work->slot, false, &in, err));
    if (extended && in.hist_count > 0)
        return error_set(err, ERR_INVALID, "%s modifier is not supported with histograms",
                         work->anchored ? "anchored" : "smoothed");
    TRY(samples_new(arena, in.count + in.hist_count + 2, in.hist_count > 0, &samples, err));
    if (!extended)
        TRY(merge_samples(&in, work, arena, &samples, err));
    else if (in.count > 0)
        extend(work, in.times, in.values, in.count, &samples);
    TRY(eval_hold(work->eval, samples.count, err));
    work->series[i] = (PromqlSeries){.labels = work->set->labels[i],
                                     .times = samples.times,
                                     .values = samples.values,
                                     .present = samples.present,
                                     .histograms = samples.hists,
                                     .count = samples.count};
    return ERR_OK;
}

static ErrCode matrix_part(void *context, const StreamPart *part, Worker *worker, Error *err) {
    const MatrixWork *work = context;
    Arena *arena = arena_new(0, arena_budget(work->eval->arena));

    work->arenas[part->index] = arena;
    for (size_t i = part->begin; i < part->end; i++)
        TRY(matrix_series(work, i, worker, arena, err));
    return ERR_OK;
}

static void free_arena(void *arena) {
    arena_free(arena);
}

static ErrCode selector_matrix(Eval *eval, const Node *node, const Grid *grid, PromqlResult *out,
                               Error *err) {
    const PromqlExpr *selector = node->args[0]->expr;
    StepTimes steps = select_step_times(node, grid);
    MatrixWork work = {.eval = eval,
                       .node = node,
                       .until = steps.start_ms,
                       .after = steps.start_ms - node->range_ms,
                       .anchored = selector->as.selector.anchored,
                       .smoothed = selector->as.selector.smoothed,
                       .slot = eval_new_slot(eval)};
    int64_t before = work.anchored || work.smoothed ? eval->lookback_ms : 0;
    int64_t behind = work.smoothed ? eval->lookback_ms : 0;
    Stream stream = {.grid = *grid};
    size_t parts, kept = 0;
    ErrCode code;

    TRY(select_series(eval, node->args[0], work.after - before + 1, work.until + behind, false,
                      &work.set, err));
    stream.count = work.set->count;
    parts = stream_parts(&stream);
    work.series = ARENA_ARRAY(eval->arena, PromqlSeries, MAX(stream.count, 1));
    work.arenas = ARENA_ARRAY(eval->arena, Arena *, parts);
    if (work.series == NULL || work.arenas == NULL) return eval_out_of_memory(err);
    code = stream_each(eval, &stream, parts, matrix_part, &work, err);
    for (size_t p = 0; p < parts; p++)
        if (work.arenas[p] != NULL && !arena_on_free(eval->arena, free_arena, work.arenas[p])) {
            arena_free(work.arenas[p]);
            code = eval_out_of_memory(err);
        }
    if (code != ERR_OK) return code;
    for (size_t i = 0; i < stream.count; i++)
        if (work.series[i].count > 0) work.series[kept++] = work.series[i];
    out->series = work.series;
    out->series_count = kept;
    return ERR_OK;
}

static ErrCode subquery_matrix(Eval *eval, const Node *node, const Grid *grid, PromqlResult *out,
                               Error *err) {
    Grid inner = subquery_grid(eval, node, grid);
    int64_t *times = arena_alloc(eval->arena, MAX(inner.steps, 1) * sizeof *times);
    Vector vector;

    if (inner.steps == PROMQL_STEPS_MAX)
        return error_set(err, ERR_LIMIT, "a subquery has more than %d steps", PROMQL_STEPS_MAX - 1);
    if (times == NULL) return eval_out_of_memory(err);
    for (uint32_t s = 0; s < inner.steps; s++) times[s] = grid_time(&inner, s);
    if (node->args[0]->type == PROMQL_TYPE_SCALAR) {
        /* A subquery's inner expression is always a vector: the parser sees to it. */
        return error_set(err, ERR_INTERNAL, "a subquery of a scalar");
    }
    TRY(eval_vector(eval, node->args[0], &inner, &vector, err));
    for (size_t i = 0; i < vector.count; i++)
        if (vector.drops[i] &&
            !labels_drop_metadata(eval, eval->arena, vector.labels[i], &vector.labels[i]))
            return eval_out_of_memory(err);
    TRY(vector_merge_equal(eval, &vector, &inner, err));
    out->series = ARENA_ARRAY(eval->arena, PromqlSeries, MAX(vector.count, 1));
    if (out->series == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < vector.count; i++)
        out->series[i] = (PromqlSeries){.labels = vector.labels[i],
                                        .times = times,
                                        .values = vector.columns[i].values,
                                        .present = vector.columns[i].present,
                                        .histograms = (const Hist *const *)vector.columns[i].hists,
                                        .count = inner.steps};
    out->series_count = vector.count;
    return ERR_OK;
}

ErrCode eval_matrix(Eval *eval, const Node *node, const Grid *grid, PromqlResult *out, Error *err) {
    if (grid->ranged || eval->params->step_ms > 0)
        return error_set(err, ERR_INVALID,
                         "invalid expression type \"range vector\" for range query, must be Scalar "
                         "or instant Vector");
    out->type = PROMQL_TYPE_MATRIX;
    if (node->kind == PROMQL_SUBQUERY) return subquery_matrix(eval, node, grid, out, err);
    return selector_matrix(eval, node, grid, out, err);
}
