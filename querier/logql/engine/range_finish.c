/*
 * range_finish.c: what the threads counted becomes one vector.
 */
#include <stdlib.h>

#include "querier/logql/engine/range.h"

/* Series of the result, and what of the threads' belongs to each. */
typedef struct Finish {
    LogqlEval *eval;
    const RangePlan *plan;
    VectorBuilder builder;
    Arena *scratch;
} Finish;

static ErrCode labels_of(LogqlEval *eval, Str key, LabelSet *out, Error *err) {
    uint32_t count = 0;
    LabelPair pair;
    Label *labels;

    for (Str rest = key; range_key_next(&rest, &pair);) count++;
    labels = ARENA_ARRAY(eval->arena, Label, MAX(count, 1));
    if (labels == NULL) return logql_out_of_memory(err);
    count = 0;
    for (Str rest = key; range_key_next(&rest, &pair); count++) {
        labels[count].name = symbols_add(eval->symbols, pair.name);
        labels[count].value = symbols_add(eval->symbols, pair.value);
        if (labels[count].name == SYMBOL_NONE || labels[count].value == SYMBOL_NONE)
            return logql_out_of_memory(err);
    }
    *out = (LabelSet){labels, count};
    return ERR_OK;
}

/* ---- counts ---- */

static double count_value(const RangePlan *plan, uint64_t count, uint64_t bytes) {
    switch (plan->op) {
    case LOGQL_RATE:
        return (double)count / plan->seconds;
    case LOGQL_BYTES_OVER_TIME:
        return (double)bytes;
    case LOGQL_BYTES_RATE:
        return (double)bytes / plan->seconds;
    default:
        return (double)count;
    }
}

/* Adds a thread's counts to those in `sums`: two numbers per step. */
static void add_counts(const RangePlan *plan, const RangeSeries *series, uint64_t *sums) {
    uint64_t count = 0, bytes = 0;

    for (size_t s = 0; s < plan->grid.steps; s++) {
        const uint64_t *block = series->blocks[s / RANGE_BLOCK_STEPS];
        size_t at = s % RANGE_BLOCK_STEPS;

        if (!plan->differences) count = bytes = 0;
        if (block != NULL && plan->kind == RANGE_COUNT) count += block[at];
        if (block != NULL && plan->kind == RANGE_BYTES) {
            count += block[2 * at];
            bytes += block[2 * at + 1];
        }
        sums[2 * s] += count;
        sums[2 * s + 1] += bytes;
    }
}

/* ---- samples ---- */

static int compare_times(const void *a, const void *b) {
    const RangeSample *x = a, *y = b;

    return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

static ErrCode finish_samples(Finish *finish, const RangeSeries **parts, size_t part_count,
                              LogqlSeries *out, Error *err) {
    const WindowGrid *grid = &finish->plan->grid;
    size_t count = 0, from = 0, to = 0, at;
    RangeSample *samples;
    double *values;

    for (size_t p = 0; p < part_count; p++) count += parts[p]->sample_count;
    at = count;
    samples = ARENA_ARRAY(finish->scratch, RangeSample, MAX(count, 1));
    values = ARENA_ARRAY(finish->scratch, double, MAX(count, 1));
    if (samples == NULL || values == NULL) return logql_out_of_memory(err);
    for (size_t p = 0; p < part_count; p++)
        for (const RangeChunk *c = parts[p]->chunks; c != NULL; c = c->before) {
            at -= c->count;
            memcpy(samples + at, c->samples, c->count * sizeof *samples);
        }
    qsort(samples, count, sizeof *samples, compare_times);
    for (size_t s = 0; s < grid->steps; s++) {
        int64_t end = grid->first_ns + (int64_t)s * grid->step_ns;

        while (to < count && samples[to].time_ns <= end) to++;
        while (from < to && samples[from].time_ns <= end - grid->range_ns) from++;
        if (from < to)
            logql_set_value(
                out, s, range_window_value(finish->plan, samples + from, to - from, end, values));
    }
    arena_reset(finish->scratch);
    return ERR_OK;
}

/* ---- one series ---- */

static ErrCode finish_counts(Finish *finish, const RangeSeries **parts, size_t part_count,
                             LogqlSeries *out, Error *err) {
    size_t steps = finish->plan->grid.steps;
    uint64_t *sums = ARENA_ARRAY(finish->scratch, uint64_t, 2 * steps);

    if (sums == NULL) return logql_out_of_memory(err);
    for (size_t p = 0; p < part_count; p++) add_counts(finish->plan, parts[p], sums);
    for (size_t s = 0; s < steps; s++)
        if (sums[2 * s] > 0)
            logql_set_value(out, s, count_value(finish->plan, sums[2 * s], sums[2 * s + 1]));
    arena_reset(finish->scratch);
    return ERR_OK;
}

static ErrCode finish_folds(Finish *finish, const RangeSeries **parts, size_t part_count,
                            LogqlSeries *out) {
    for (size_t s = 0; s < finish->plan->grid.steps; s++) {
        RangeFold fold = {0};

        for (size_t p = 0; p < part_count; p++) {
            const RangeFold *block = parts[p]->blocks[s / RANGE_BLOCK_STEPS];

            if (block != NULL)
                range_fold_merge(finish->plan->op, &fold, &block[s % RANGE_BLOCK_STEPS]);
        }
        if (range_fold_has(finish->plan->op, &fold))
            logql_set_value(out, s, range_fold_value(finish->plan, &fold));
    }
    return ERR_OK;
}

static ErrCode finish_series(Finish *finish, const RangeSeries **parts, size_t count, Error *err) {
    LogqlSeries *out;
    LabelSet labels;

    TRY(labels_of(finish->eval, parts[0]->key, &labels, err));
    out = vector_add(&finish->builder, labels);
    if (out == NULL) return logql_out_of_memory(err);
    if (finish->plan->kind == RANGE_FOLD) return finish_folds(finish, parts, count, out);
    if (finish->plan->kind == RANGE_SAMPLES) return finish_samples(finish, parts, count, out, err);
    return finish_counts(finish, parts, count, out, err);
}

/* ---- all ---- */

static int compare_keys(const void *a, const void *b) {
    const RangeSeries *x = *(const RangeSeries *const *)a, *y = *(const RangeSeries *const *)b;

    return str_compare(x->key, y->key);
}

/* Equal series of several threads stand side by side, and the order is that of their labels'
 * bytes, whichever thread met them first: so is the order of additions to come. */
ErrCode range_finish(LogqlEval *eval, const RangePlan *plan, const RangeTable *tables, size_t count,
                     LogqlVector *out, Error *err) {
    Finish finish = {.eval = eval, .plan = plan};
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(eval->arena));
    size_t all = 0, at = 0;
    const RangeSeries **parts;

    for (size_t t = 0; t < count; t++) all += tables[t].count;
    parts = ARENA_ARRAY(eval->arena, const RangeSeries *, MAX(all, 1));
    if (parts == NULL || scratch == NULL) return logql_out_of_memory(err);
    finish.scratch = scratch;
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < tables[t].count; i++) parts[at++] = &tables[t].series[i];
    qsort(parts, all, sizeof *parts, compare_keys);
    TRY(vector_begin(eval, &finish.builder, err));
    for (size_t i = 0, next; i < all; i = next) {
        for (next = i + 1; next < all && str_equal(parts[next]->key, parts[i]->key);) next++;
        if (i % 256 == 0) TRY(query_check(eval->query, err));
        TRY(finish_series(&finish, parts + i, next - i, err));
    }
    *out = vector_end(&finish.builder);
    return ERR_OK;
}
