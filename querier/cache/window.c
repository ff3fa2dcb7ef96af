/*
 * window.c: a walk over the tree with the range of times, relative to the step or absolute, that a
 * node is evaluated at. Ranges are rounded up: a millisecond too many costs nothing.
 */
#include "querier/cache/window.h"

/* Far beyond any offset that means something, and sums of a few cannot overflow. */
#define FAR_MS (INT64_C(1) << 48)

typedef struct Walk {
    ResultWindow *window;
    int64_t lookback_ms;
    int64_t subquery_step_ms;
    int64_t step_ms;
} Walk;

/* When a node is evaluated: at times in [step + min, step + max], or in [min, max]. */
typedef struct Times {
    bool fixed;
    int64_t min_ms;
    int64_t max_ms;
} Times;

/* What may carry a metric name that is to be dropped in the end (drop) or kept (keep). A series
 * that is both at different steps is printed by what it was first: the steps are not apart. */
typedef struct Names {
    bool keep;
    bool drop;
} Names;

static bool visit(const Walk *walk, const PromqlExpr *expr, Times times, Names *out);

static bool is_near(int64_t ms) {
    return ms > -FAR_MS && ms < FAR_MS;
}

static bool apply_time(const PromqlTime *time, Times *times) {
    if (time->at == PROMQL_AT_START || time->at == PROMQL_AT_END) return false;
    if (!is_near(time->offset_ms)) return false;
    if (time->at == PROMQL_AT_TIME) {
        if (!is_near(time->at_ms)) return false;
        *times = (Times){true, time->at_ms, time->at_ms};
    }
    times->min_ms -= time->offset_ms;
    times->max_ms -= time->offset_ms;
    return is_near(times->min_ms) && is_near(times->max_ms);
}

static void look_at(const Walk *walk, Times times) {
    ResultWindow *window = walk->window;

    if (!times.fixed) {
        window->back_ms = MAX(window->back_ms, -times.min_ms);
        window->ahead_ms = MAX(window->ahead_ms, times.max_ms);
        return;
    }
    window->fixed_min_ms =
        window->has_fixed ? MIN(window->fixed_min_ms, times.min_ms) : times.min_ms;
    window->fixed_max_ms =
        window->has_fixed ? MAX(window->fixed_max_ms, times.max_ms) : times.max_ms;
    window->has_fixed = true;
}

/* Twice the lookback: the sample before the one that counts tells whether a counter was reset. */
static bool visit_selector(const Walk *walk, const PromqlExpr *expr, Times times,
                           int64_t range_ms) {
    if (!apply_time(&expr->as.selector.time, &times) || !is_near(range_ms)) return false;
    times.min_ms -= range_ms + 2 * walk->lookback_ms;
    if (expr->as.selector.smoothed || expr->as.selector.anchored) times.max_ms += walk->lookback_ms;
    look_at(walk, times);
    return true;
}

static bool depends_on_range(const PromqlExpr *duration) {
    if (duration == NULL) return false;
    if (duration->kind == PROMQL_CALL) return true; /* no function is allowed there today */
    if (duration->kind != PROMQL_DURATION) return false;
    return duration->as.duration.op == PROMQL_DURATION_RANGE ||
           depends_on_range(duration->as.duration.left) ||
           depends_on_range(duration->as.duration.right);
}

static bool visit_subquery(const Walk *walk, const PromqlExpr *expr, Times times, Names *out) {
    int64_t step_ms =
        expr->as.subquery.step_ms > 0 ? expr->as.subquery.step_ms : walk->subquery_step_ms;
    int64_t range_ms = expr->as.subquery.range_ms;

    if (depends_on_range(expr->as.subquery.range_expr) ||
        depends_on_range(expr->as.subquery.step_expr) ||
        depends_on_range(expr->as.subquery.time.offset_expr))
        return false;
    if (!apply_time(&expr->as.subquery.time, &times) || !is_near(range_ms) || !is_near(step_ms))
        return false;
    /* Between steps that lie apart further than the range, the inner expression is evaluated for
     * nobody; but when it fails there, the query fails. */
    if (!times.fixed && range_ms < walk->step_ms) return false;
    times.min_ms -= range_ms + step_ms;
    return visit(walk, expr->as.subquery.inner, times, out);
}

/* Functions whose value at a step depends on more than the step. */
static bool is_of_a_step(PromqlFunctionId id) {
    switch (id) {
    case PROMQL_FN_START:
    case PROMQL_FN_END:
    case PROMQL_FN_RANGE:
    case PROMQL_FN_INFO: /* chooses info series for the whole range */
    case PROMQL_FN_SORT: /* says something else when there is one step only */
    case PROMQL_FN_SORT_DESC:
    case PROMQL_FN_SORT_BY_LABEL:
    case PROMQL_FN_SORT_BY_LABEL_DESC:
    case PROMQL_FN_START_TIMESTAMP:
        return false;
    default:
        return true;
    }
}

/* Whether names that the argument has are dropped for certain. */
static bool drops_names(PromqlFunctionId id) {
    switch (id) {
    case PROMQL_FN_LAST_OVER_TIME:
    case PROMQL_FN_FIRST_OVER_TIME:
    case PROMQL_FN_LABEL_REPLACE:
    case PROMQL_FN_LABEL_JOIN:
        return false;
    default:
        return true;
    }
}

static bool visit_call(const Walk *walk, const PromqlExpr *expr, Times times, Names *out) {
    PromqlFunctionId id = expr->as.call.function->id;
    Names names = {0};

    if (!is_of_a_step(id)) return false;
    for (size_t i = 0; i < expr->as.call.arg_count; i++) {
        Names of = {0};

        if (!visit(walk, expr->as.call.args[i], times, &of)) return false;
        names.keep |= of.keep;
        names.drop |= of.drop;
    }
    if (id == PROMQL_FN_LABEL_REPLACE || id == PROMQL_FN_LABEL_JOIN) {
        /* Series may become one here, too. */
        if (names.keep && names.drop) return false;
    } else if (drops_names(id)) {
        names.drop |= names.keep;
        names.keep = false;
    }
    *out = names;
    return true;
}

static bool groups_by_name(const PromqlExpr *expr) {
    bool named = false;

    for (size_t i = 0; i < expr->as.aggregate.grouping_count; i++)
        named = named || str_starts_with(expr->as.aggregate.grouping[i], STR("__"));
    return named && !expr->as.aggregate.without;
}

static bool visit_aggregate(const Walk *walk, const PromqlExpr *expr, Times times, Names *out) {
    Names inner = {0}, param = {0};

    if (!visit(walk, expr->as.aggregate.inner, times, &inner)) return false;
    if (expr->as.aggregate.param != NULL && !visit(walk, expr->as.aggregate.param, times, &param))
        return false;
    *out = (Names){0};
    switch (expr->as.aggregate.op) {
    case PROMQL_STDDEV: /* the last bits depend on the order of the series */
    case PROMQL_STDVAR:
    case PROMQL_LIMITK: /* and here, which ones are picked */
        return false;
    case PROMQL_TOPK:
    case PROMQL_BOTTOMK:
    case PROMQL_LIMIT_RATIO:
        *out = inner;
        return true;
    default:
        if (!groups_by_name(expr)) return true;
        *out = inner;
        /* A group's name goes or stays as its first series' does. */
        return !(inner.keep && inner.drop);
    }
}

static bool visit_binary(const Walk *walk, const PromqlExpr *expr, Times times, Names *out) {
    PromqlOp op = expr->as.binary.op;
    Names left = {0}, right = {0}, both;

    if (!visit(walk, expr->as.binary.left, times, &left) ||
        !visit(walk, expr->as.binary.right, times, &right))
        return false;
    both = (Names){left.keep || right.keep, left.drop || right.drop};
    if (op == PROMQL_OR) {
        *out = both;
        return !(both.keep && both.drop);
    }
    if (op == PROMQL_AND || op == PROMQL_UNLESS) {
        *out = left;
        return true;
    }
    if (promql_op_is_comparison(op) && !expr->as.binary.returns_bool) {
        *out = both;
        return true;
    }
    *out = (Names){false, both.keep || both.drop};
    return true;
}

static bool visit(const Walk *walk, const PromqlExpr *expr, Times times, Names *out) {
    switch (expr->kind) {
    case PROMQL_NUMBER:
    case PROMQL_STRING:
        return true;
    case PROMQL_DURATION:
        return false;
    case PROMQL_SELECTOR:
        *out = (Names){.keep = true};
        return !depends_on_range(expr->as.selector.time.offset_expr) &&
               visit_selector(walk, expr, times, 0);
    case PROMQL_MATRIX:
        *out = (Names){.keep = true};
        return !depends_on_range(expr->as.matrix.range_expr) &&
               !depends_on_range(expr->as.matrix.inner->as.selector.time.offset_expr) &&
               visit_selector(walk, expr->as.matrix.inner, times, expr->as.matrix.range_ms);
    case PROMQL_SUBQUERY:
        return visit_subquery(walk, expr, times, out);
    case PROMQL_CALL:
        return visit_call(walk, expr, times, out);
    case PROMQL_AGGREGATE:
        return visit_aggregate(walk, expr, times, out);
    case PROMQL_BINARY:
        return visit_binary(walk, expr, times, out);
    case PROMQL_UNARY:
        if (!visit(walk, expr->as.unary.inner, times, out)) return false;
        if (expr->as.unary.op == PROMQL_SUB) *out = (Names){false, out->keep || out->drop};
        return true;
    case PROMQL_PAREN:
        return visit(walk, expr->as.paren.inner, times, out);
    }
    return false;
}

bool result_window(const PromqlExpr *expr, int64_t lookback_ms, int64_t subquery_step_ms,
                   int64_t step_ms, ResultWindow *out) {
    ResultWindow window = {0};
    Walk walk = {&window, lookback_ms, subquery_step_ms, step_ms};
    Names names = {0};

    if (lookback_ms <= 0 || !is_near(lookback_ms)) return false;
    if (!visit(&walk, expr, (Times){0}, &names)) return false;
    *out = window;
    return is_near(window.back_ms) && is_near(window.ahead_ms);
}
