/*
 * durations.c: duration expressions, once a query's start, end and step are known.
 */
#include <math.h>

#include "querier/promql/build.h"

/* Nanoseconds in 64 bits. */
#define DURATION_SECONDS_MAX 9223372036.854775

typedef struct Resolver {
    Str query;
    double step_s;
    double range_s;
    Error *err;
} Resolver;

static ErrCode fail_at(const Resolver *resolver, const PromqlExpr *expr, const char *text) {
    unsigned line, column;

    promql_position(resolver->query, expr->range.start, &line, &column);
    return error_set(resolver->err, ERR_INVALID, "%u:%u: parse error: %s", line, column, text);
}

static ErrCode seconds_of(const Resolver *resolver, const PromqlExpr *expr, double *out) {
    double left = 0, right = 0;
    PromqlOp op;

    if (expr->kind == PROMQL_NUMBER) {
        *out = expr->as.number.value;
        return ERR_OK;
    }
    op = expr->as.duration.op;
    if (expr->as.duration.left != NULL) TRY(seconds_of(resolver, expr->as.duration.left, &left));
    if (expr->as.duration.right != NULL) TRY(seconds_of(resolver, expr->as.duration.right, &right));
    switch (op) {
    case PROMQL_DURATION_STEP:
        *out = resolver->step_s;
        return ERR_OK;
    case PROMQL_DURATION_RANGE:
        *out = resolver->range_s;
        return ERR_OK;
    case PROMQL_DURATION_MIN:
        *out = isnan(left) || isnan(right) ? NAN : fmin(left, right);
        return ERR_OK;
    case PROMQL_DURATION_MAX:
        *out = isnan(left) || isnan(right) ? NAN : fmax(left, right);
        return ERR_OK;
    case PROMQL_ADD:
        *out = left + right;
        return ERR_OK;
    case PROMQL_SUB:
        *out = left - right;
        return ERR_OK;
    case PROMQL_MUL:
        *out = left * right;
        return ERR_OK;
    case PROMQL_DIV:
        if (right == 0) return fail_at(resolver, expr, "division by zero");
        *out = left / right;
        return ERR_OK;
    case PROMQL_MOD:
        if (right == 0) return fail_at(resolver, expr, "modulo by zero");
        *out = fmod(left, right);
        return ERR_OK;
    case PROMQL_POW:
        *out = pow(left, right);
        return ERR_OK;
    default:
        return fail_at(resolver, expr, "not a duration");
    }
}

static ErrCode resolve_ms(const Resolver *resolver, const PromqlExpr *expr, bool positive,
                          int64_t *out) {
    double seconds;

    if (expr == NULL) return ERR_OK;
    TRY(seconds_of(resolver, expr, &seconds));
    if (!isfinite(seconds)) return fail_at(resolver, expr, "duration is NaN or infinite");
    if (positive && seconds <= 0) return fail_at(resolver, expr, "duration must be greater than 0");
    if (fabs(seconds) > DURATION_SECONDS_MAX)
        return fail_at(resolver, expr, "duration is out of range");
    *out = (int64_t)(seconds * 1000); /* cut, as Prometheus does here, and not rounded */
    return ERR_OK;
}

static ErrCode resolve(const Resolver *resolver, PromqlExpr *expr) {
    switch (expr->kind) {
    case PROMQL_SELECTOR:
        return resolve_ms(resolver, expr->as.selector.time.offset_expr, false,
                          &expr->as.selector.time.offset_ms);
    case PROMQL_MATRIX:
        TRY(resolve_ms(resolver, expr->as.matrix.range_expr, true, &expr->as.matrix.range_ms));
        return resolve(resolver, expr->as.matrix.inner);
    case PROMQL_SUBQUERY:
        TRY(resolve_ms(resolver, expr->as.subquery.range_expr, true, &expr->as.subquery.range_ms));
        TRY(resolve_ms(resolver, expr->as.subquery.step_expr, true, &expr->as.subquery.step_ms));
        TRY(resolve_ms(resolver, expr->as.subquery.time.offset_expr, false,
                       &expr->as.subquery.time.offset_ms));
        return resolve(resolver, expr->as.subquery.inner);
    case PROMQL_CALL:
        for (size_t i = 0; i < expr->as.call.arg_count; i++)
            TRY(resolve(resolver, expr->as.call.args[i]));
        return ERR_OK;
    case PROMQL_AGGREGATE:
        if (expr->as.aggregate.param != NULL) TRY(resolve(resolver, expr->as.aggregate.param));
        return resolve(resolver, expr->as.aggregate.inner);
    case PROMQL_BINARY:
        TRY(resolve(resolver, expr->as.binary.left));
        return resolve(resolver, expr->as.binary.right);
    case PROMQL_UNARY:
        return resolve(resolver, expr->as.unary.inner);
    case PROMQL_PAREN:
        return resolve(resolver, expr->as.paren.inner);
    case PROMQL_NUMBER:
    case PROMQL_STRING:
    case PROMQL_DURATION:
        return ERR_OK;
    }
    return ERR_OK;
}

ErrCode promql_resolve_durations(PromqlExpr *expr, Str query, int64_t start_ms, int64_t end_ms,
                                 int64_t step_ms, Error *err) {
    Resolver resolver = {query, (double)step_ms / 1000, ((double)end_ms - (double)start_ms) / 1000,
                         err};

    return resolve(&resolver, expr);
}
