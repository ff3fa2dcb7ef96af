/*
 * engine.c: walks the expression, inner vectors first.
 */
#include "querier/logql/engine/engine.h"

#include <math.h>
#include <stdlib.h>

#include "querier/exec/go_float.h"
#include "querier/logql/engine/eval.h"

static ErrCode eval_vector(LogqlEval *eval, const LogqlExpr *expr, LogqlVector *out, Error *err);

/* ---- leaves ---- */

static ErrCode eval_constant(LogqlEval *eval, LabelSet labels, double value, LogqlVector *out,
                             Error *err) {
    VectorBuilder builder;
    LogqlSeries *series;

    TRY(vector_begin(eval, &builder, err));
    series = vector_add(&builder, labels);
    if (series == NULL) return logql_out_of_memory(err);
    for (size_t s = 0; s < eval->steps; s++) logql_set_value(series, s, value);
    *out = vector_end(&builder);
    return ERR_OK;
}

/* The labels that the selector says a series would have: of each name that one `=` alone names. */
static ErrCode absent_labels(LogqlEval *eval, const LogqlLog *log, LabelSet *out, Error *err) {
    *out = (LabelSet){0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < log->matcher_count; i++) {
            const Matcher *matcher = &log->matchers[i];
            uint32_t name = symbols_add(eval->symbols, matcher->name), value = SYMBOL_EMPTY;
            bool set = matcher->op == MATCH_EQUAL;

            if (name == SYMBOL_NONE) return logql_out_of_memory(err);
            if (name == SYMBOL_NAME) continue;
            for (size_t k = 0; k < i; k++)
                set = set && !(str_equal(log->matchers[k].name, matcher->name) &&
                               log->matchers[k].op == MATCH_EQUAL);
            if (set != (pass == 0)) continue;
            if (set) value = symbols_add(eval->symbols, matcher->value);
            if (value == SYMBOL_NONE ||
                !labels_set(eval->arena, eval->symbols, *out, name, value, out))
                return logql_out_of_memory(err);
        }
    }
    return ERR_OK;
}

/* 1 where nothing is. */
static ErrCode invert(LogqlEval *eval, const LogqlExpr *expr, const LogqlVector *present,
                      LogqlVector *out, Error *err) {
    VectorBuilder builder;
    LogqlSeries *series;
    LabelSet labels;

    TRY(absent_labels(eval, &expr->as.range.log, &labels, err));
    TRY(vector_begin(eval, &builder, err));
    series = vector_add(&builder, labels);
    if (series == NULL) return logql_out_of_memory(err);
    for (size_t s = 0; s < eval->steps; s++)
        if (present->count == 0 || !logql_has_value(&present->series[0], s))
            logql_set_value(series, s, 1);
    *out = vector_end(&builder);
    return ERR_OK;
}

static ErrCode check_range(const LogqlEval *eval, const LogqlExpr *expr, Error *err) {
    int64_t max = eval->params->range_max_ns;
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};

    if (max == 0 || expr->as.range.range_ns <= max) return ERR_OK;
    buf_init(&text, 200);
    buf_append_byte(&text, '[');
    go_append_duration(&text, expr->as.range.range_ns / 1000000);
    buf_append_str(&text, STR("] > ["));
    go_append_duration(&text, max / 1000000);
    buf_append_byte(&text, ']');
    return error_set(err, ERR_INVALID, "[interval] value exceeds limit: " STR_FMT,
                     STR_ARG(buf_str(&text)));
}

static ErrCode eval_range(LogqlEval *eval, const LogqlExpr *expr, const LogqlGrouping *grouping,
                          LogqlVector *out, Error *err) {
    LogqlVector present;

    TRY(check_range(eval, expr, err));
    if (expr->as.range.grouping.written) grouping = &expr->as.range.grouping;
    if (expr->as.range.op != LOGQL_ABSENT_OVER_TIME)
        return logql_range(eval, expr, grouping, out, err);
    TRY(logql_range(eval, expr, NULL, &present, err));
    return invert(eval, expr, &present, out, err);
}

/* ---- inner nodes ---- */

/* A sum of sums: the range aggregation may add up by the sum's groups at once. */
static bool may_push_grouping(const LogqlExpr *expr) {
    const LogqlExpr *inner = expr->as.vector.inner;

    if (expr->as.vector.op != LOGQL_SUM || inner->kind != LOGQL_RANGE_AGGREGATION ||
        inner->as.range.grouping.written)
        return false;
    switch (inner->as.range.op) {
    case LOGQL_BYTES_OVER_TIME:
    case LOGQL_BYTES_RATE:
    case LOGQL_SUM_OVER_TIME:
    case LOGQL_RATE:
    case LOGQL_COUNT_OVER_TIME:
        return true;
    default:
        return false;
    }
}

static ErrCode eval_aggregation(LogqlEval *eval, const LogqlExpr *expr, LogqlVector *out,
                                Error *err) {
    LogqlGrouping grouping = expr->as.vector.grouping;
    LogqlVector inner;

    grouping.written = true;
    if (may_push_grouping(expr))
        TRY(eval_range(eval, expr->as.vector.inner, &grouping, &inner, err));
    else
        TRY(eval_vector(eval, expr->as.vector.inner, &inner, err));
    return logql_aggregate(eval, expr, &inner, out, err);
}

static ErrCode eval_binary(LogqlEval *eval, const LogqlExpr *expr, LogqlVector *out, Error *err) {
    const LogqlExpr *left = expr->as.binary.left, *right = expr->as.binary.right;
    LogqlVector a, b;

    if (left->kind == LOGQL_LITERAL) {
        TRY(eval_vector(eval, right, &b, err));
        return logql_binary_number(eval, expr, &b, left->as.number, true, out, err);
    }
    TRY(eval_vector(eval, left, &a, err));
    if (right->kind == LOGQL_LITERAL)
        return logql_binary_number(eval, expr, &a, right->as.number, false, out, err);
    TRY(eval_vector(eval, right, &b, err));
    return logql_binary(eval, expr, &a, &b, out, err);
}

static ErrCode eval_vector(LogqlEval *eval, const LogqlExpr *expr, LogqlVector *out, Error *err) {
    LogqlVector inner;

    switch (expr->kind) {
    case LOGQL_RANGE_AGGREGATION:
        return eval_range(eval, expr, NULL, out, err);
    case LOGQL_VECTOR_AGGREGATION:
        return eval_aggregation(eval, expr, out, err);
    case LOGQL_BINARY:
        return eval_binary(eval, expr, out, err);
    case LOGQL_LABEL_REPLACE:
        TRY(eval_vector(eval, expr->as.label_replace.inner, &inner, err));
        return logql_label_replace(eval, expr, &inner, out, err);
    case LOGQL_VECTOR:
    case LOGQL_LITERAL:
        return eval_constant(eval, (LabelSet){0}, expr->as.number, out, err);
    case LOGQL_LOG:
        break;
    }
    return error_set(err, ERR_INVALID, "unexpected type (*syntax.PipelineExpr): cannot evaluate");
}

/* ---- the result ---- */

static bool has_sort(const LogqlExpr *expr) {
    switch (expr->kind) {
    case LOGQL_VECTOR_AGGREGATION:
        return expr->as.vector.op == LOGQL_SORT || expr->as.vector.op == LOGQL_SORT_DESC ||
               has_sort(expr->as.vector.inner);
    case LOGQL_BINARY:
        return has_sort(expr->as.binary.left) || has_sort(expr->as.binary.right);
    case LOGQL_LABEL_REPLACE:
        return has_sort(expr->as.label_replace.inner);
    default:
        return false;
    }
}

static int compare_series(const void *a, const void *b, void *symbols) {
    const LogqlSeries *x = a, *y = b;

    return label_set_compare(symbols, x->labels, y->labels);
}

static ErrCode give_vector(LogqlEval *eval, const LogqlExpr *expr, LogqlResult *out, Error *err) {
    uint64_t max = eval->params->result_series_max;
    bool instant = eval->params->step_ns == 0;
    LogqlVector vector;

    TRY(eval_vector(eval, expr, &vector, err));
    if (max > 0 && vector.count > max)
        return error_set(err, ERR_LIMIT,
                         "maximum number of series (%llu) reached for a single query; consider "
                         "reducing query cardinality by adding more specific stream selectors, "
                         "reducing the time range, or aggregating results with functions like "
                         "sum(), count() or topk()",
                         (unsigned long long)max);
    if (vector.count > 0 && !(instant && has_sort(expr)))
        qsort_r(vector.series, vector.count, sizeof *vector.series, compare_series, eval->symbols);
    out->kind = instant ? LOGQL_RESULT_VECTOR : LOGQL_RESULT_MATRIX;
    out->series = vector.series;
    out->series_count = vector.count;
    return ERR_OK;
}

static ErrCode make_grid(LogqlEval *eval, Error *err) {
    const LogqlParams *params = eval->params;
    const int64_t most = INT64_C(1) << 62;
    int64_t end;
    uint64_t steps;

    if (params->start_ns > most || params->start_ns < -most || params->end_ns > most ||
        params->end_ns < -most)
        return error_set(err, ERR_INVALID, "a time is too far from now");
    eval->start_ns = params->start_ns;
    eval->step_ns = 1;
    eval->steps = 1;
    if (params->step_ns > 0) {
        eval->step_ns = params->step_ns;
        eval->start_ns -= ((eval->start_ns % params->step_ns) + params->step_ns) % params->step_ns;
        end = params->end_ns;
        if (end % params->step_ns != 0)
            end += params->step_ns - ((end % params->step_ns) + params->step_ns) % params->step_ns;
        steps = end < eval->start_ns
                    ? 0
                    : (uint64_t)(end - eval->start_ns) / (uint64_t)params->step_ns + 1;
        if (steps > LOGQL_STEPS_MAX)
            return error_set(err, ERR_LIMIT, "the query has %llu steps; at most %d are computed",
                             (unsigned long long)steps, LOGQL_STEPS_MAX);
        eval->steps = steps;
    }
    eval->words = (eval->steps + 63) / 64;
    return ERR_OK;
}

/* Nothing that is added to a step's instant may overflow. */
static ErrCode check_spans(const LogqlExpr *expr, Error *err) {
    const int64_t most = INT64_C(1) << 61;

    switch (expr->kind) {
    case LOGQL_RANGE_AGGREGATION:
        if (expr->as.range.range_ns > most || expr->as.range.offset_ns > most ||
            expr->as.range.offset_ns < -most)
            return error_set(err, ERR_INVALID, "a range or an offset is too long");
        return ERR_OK;
    case LOGQL_VECTOR_AGGREGATION:
        return check_spans(expr->as.vector.inner, err);
    case LOGQL_BINARY:
        TRY(check_spans(expr->as.binary.left, err));
        return check_spans(expr->as.binary.right, err);
    case LOGQL_LABEL_REPLACE:
        return check_spans(expr->as.label_replace.inner, err);
    default:
        return ERR_OK;
    }
}

ErrCode logql_eval(const LogqlExpr *expr, const LogqlParams *params, LogqlResult *out, Error *err) {
    LogqlEval eval = {.params = params,
                      .query = params->query,
                      .arena = params->query->arena,
                      .symbols = params->query->symbols};
    LogqlResult result = {0};

    TRY(make_grid(&eval, err));
    TRY(check_spans(expr, err));
    result.start_ms = floor_ms(eval.start_ns);
    result.step_ns = eval.step_ns;
    result.steps = eval.steps;
    if (expr->kind == LOGQL_LOG) {
        if (params->step_ns == 0 && params->start_ns == params->end_ns)
            return error_set(err, ERR_INVALID,
                             "log queries are not supported as an instant query type, please "
                             "change your query to a range query type");
        TRY(logql_logs(&eval, &expr->as.log, &result, err));
    } else if (expr->kind == LOGQL_LITERAL && params->step_ns == 0) {
        result.kind = LOGQL_RESULT_SCALAR;
        result.scalar = expr->as.number;
    } else {
        TRY(give_vector(&eval, expr, &result, err));
    }
    *out = result;
    return ERR_OK;
}
