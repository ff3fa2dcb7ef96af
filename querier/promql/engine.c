/*
 * engine.c: a query from its tree to its result.
 */
#include "querier/promql/engine.h"

#include <stdlib.h>

#include "querier/promql/eval_internal.h"
#include "querier/promql/functions.h"
#include "querier/promql/label_ops.h"
#include "querier/promql/parser.h"
#include "querier/promql/select.h"

static void eval_cleanup(void *what) {
    Eval *eval = what;

    eval_free_workers(eval);
    eval_free_vectors(eval);
    pthread_mutex_destroy(&eval->lock);
}

static ErrCode eval_new(const PromqlParams *params, Eval **out, Error *err) {
    QueryContext *query = params->query;
    Eval *eval = ARENA_NEW(query->arena, Eval);

    if (eval == NULL) return eval_out_of_memory(err);
    eval->query = query;
    eval->params = params;
    eval->arena = query->arena;
    eval->symbols = query->symbols;
    eval->source = params->source;
    eval->lookback_ms = params->lookback_ms > 0 ? params->lookback_ms : PROMQL_LOOKBACK_MS;
    eval->subquery_step_ms =
        params->subquery_step_ms > 0 ? params->subquery_step_ms : PROMQL_SUBQUERY_STEP_MS;
    eval->annotations = annotations_new(eval->arena);
    eval->type_symbol = symbols_add(eval->symbols, STR("__type__"));
    eval->unit_symbol = symbols_add(eval->symbols, STR("__unit__"));
    eval->le_symbol = symbols_add(eval->symbols, STR("le"));
    if (eval->annotations == NULL || eval->type_symbol == SYMBOL_NONE ||
        eval->unit_symbol == SYMBOL_NONE || eval->le_symbol == SYMBOL_NONE)
        return eval_out_of_memory(err);
    pthread_mutex_init(&eval->lock, NULL);
    if (!arena_on_free(eval->arena, eval_cleanup, eval)) {
        pthread_mutex_destroy(&eval->lock);
        return eval_out_of_memory(err);
    }
    *out = eval;
    return ERR_OK;
}

static ErrCode make_grid(const PromqlParams *params, Grid *out, Error *err) {
    static const int64_t bound = INT64_C(1) << 60;
    Grid grid = {.start_ms = params->start_ms, .step_ms = 1, .steps = 1};
    uint64_t steps;

    if (params->start_ms < -bound || params->start_ms > bound || params->end_ms < -bound ||
        params->end_ms > bound)
        return error_set(err, ERR_INVALID, "the time range is too far away");
    if (params->step_ms > 0) {
        if (params->end_ms < params->start_ms)
            return error_set(err, ERR_INVALID, "end timestamp must not be before start time");
        steps = (uint64_t)(params->end_ms - params->start_ms) / (uint64_t)params->step_ms + 1;
        if (steps >= PROMQL_STEPS_MAX)
            return error_set(err, ERR_LIMIT, "the query has more than %d steps",
                             PROMQL_STEPS_MAX - 1);
        grid.step_ms = params->step_ms;
        grid.steps = (uint32_t)steps;
        grid.ranged = params->end_ms > params->start_ms;
    }
    *out = grid;
    return ERR_OK;
}

/* ---- results ---- */

/* Names that were to be dropped go now; series that are equal then are one. */
static ErrCode drop_names(Eval *eval, Vector *vector, const Grid *grid, Error *err) {
    for (size_t i = 0; i < vector->count; i++)
        if (vector->drops[i] &&
            !labels_drop_metadata(eval, eval->arena, vector->labels[i], &vector->labels[i]))
            return eval_out_of_memory(err);
    return vector_merge_equal(eval, vector, grid, err);
}

typedef struct ByLabels {
    const Symbols *symbols;
} ByLabels;

static int compare_series(const void *a, const void *b, void *context) {
    const ByLabels *by = context;

    return label_set_compare(by->symbols, ((const PromqlSeries *)a)->labels,
                             ((const PromqlSeries *)b)->labels);
}

static void sort_result(Eval *eval, PromqlResult *result) {
    ByLabels by = {eval->symbols};

    qsort_r(result->series, result->series_count, sizeof *result->series, compare_series, &by);
}

static ErrCode result_of_vector(Eval *eval, Vector *vector, const Grid *grid, PromqlResult *out,
                                Error *err) {
    int64_t *times = arena_alloc(eval->arena, grid->steps * sizeof *times);

    out->series = ARENA_ARRAY(eval->arena, PromqlSeries, MAX(vector->count, 1));
    if (times == NULL || out->series == NULL) return eval_out_of_memory(err);
    for (uint32_t s = 0; s < grid->steps; s++) times[s] = grid_time(grid, s);
    for (size_t i = 0; i < vector->count; i++) {
        const Column *column = &vector->columns[i];

        out->series[i] = (PromqlSeries){.labels = vector->labels[i],
                                        .times = times,
                                        .values = column->values,
                                        .present = column->present,
                                        .histograms = (const Hist *const *)column->hists,
                                        .count = grid->steps};
    }
    out->series_count = vector->count;
    return ERR_OK;
}

static ErrCode vector_result(Eval *eval, const Node *root, const Grid *grid, PromqlResult *out,
                             Error *err) {
    Vector vector;
    bool ranged = eval->params->step_ms > 0;

    TRY(eval_vector(eval, root, grid, &vector, err));
    TRY(drop_names(eval, &vector, grid, err));
    out->type = ranged ? PROMQL_TYPE_MATRIX : PROMQL_TYPE_VECTOR;
    TRY(result_of_vector(eval, &vector, grid, out, err));
    if (ranged) sort_result(eval, out);
    return ERR_OK;
}

static ErrCode scalar_result(Eval *eval, const Node *root, const Grid *grid, PromqlResult *out,
                             Error *err) {
    const double *values;
    uint64_t *present;

    TRY(eval_scalar(eval, root, grid, &values, err));
    out->type = PROMQL_TYPE_SCALAR;
    out->scalar = values[0];
    if (eval->params->step_ms == 0) return ERR_OK;
    present = arena_alloc(eval->arena, grid_words(grid) * sizeof *present);
    if (present == NULL) return eval_out_of_memory(err);
    bits_fill(present, grid->steps);
    out->type = PROMQL_TYPE_MATRIX;
    return result_of_vector(
        eval,
        &(Vector){.count = 1,
                  .labels = &(LabelSet){0},
                  .columns = &(Column){.values = (double *)values, .present = present}},
        grid, out, err);
}

ErrCode promql_eval(PromqlExpr *expr, Str query_text, const PromqlParams *params, PromqlResult *out,
                    Error *err) {
    PlanTimes times = {params->start_ms, params->step_ms > 0 ? params->end_ms : params->start_ms,
                       params->step_ms};
    PromqlResult result = {.time_ms = params->start_ms};
    Eval *eval = NULL;
    Grid grid = {0};
    Plan *plan;

    TRY(make_grid(params, &grid, err));
    TRY(promql_resolve_durations(expr, query_text, times.start_ms, times.end_ms, times.step_ms,
                                 err));
    TRY(eval_new(params, &eval, err));
    plan = ARENA_NEW(eval->arena, Plan);
    if (plan == NULL) return eval_out_of_memory(err);
    TRY(plan_make(eval->arena, expr, &times, plan, err));
    eval->plan = plan;
    switch (plan->root->type) {
    case PROMQL_TYPE_STRING:
        if (params->step_ms > 0)
            return error_set(
                err, ERR_INVALID,
                "invalid expression type \"string\" for range query, must be Scalar or "
                "instant Vector");
        result.type = PROMQL_TYPE_STRING;
        result.string = plan->root->expr->as.string.value;
        break;
    case PROMQL_TYPE_SCALAR:
        TRY(scalar_result(eval, plan->root, &grid, &result, err));
        break;
    case PROMQL_TYPE_MATRIX:
        TRY(eval_matrix(eval, plan->root, &grid, &result, err));
        sort_result(eval, &result);
        break;
    default:
        TRY(vector_result(eval, plan->root, &grid, &result, err));
        break;
    }
    eval_free_workers(eval);
    result.annotations = eval->annotations;
    result.positions = plan->positions;
    *out = result;
    return ERR_OK;
}
