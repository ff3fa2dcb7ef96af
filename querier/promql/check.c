/*
 * check.c: types, and what the grammar cannot say. Fills in each node's type.
 */
#include "common/base/rune.h"
#include "querier/promql/build.h"

static PromqlType check(PromqlParser *parser, PromqlExpr *expr);

static void expect_type(PromqlParser *parser, PromqlExpr *expr, PromqlType wanted,
                        const char *where) {
    PromqlType type = check(parser, expr);

    if (type == wanted) return;
    promql_fail(parser, ERR_INVALID, expr->range, "expected type %s in %s, got %s",
                promql_type_name(wanted), where, promql_type_name(type));
}

static void check_aggregate(PromqlParser *parser, PromqlExpr *expr) {
    PromqlAggregation op = expr->as.aggregate.op;

    expect_type(parser, expr->as.aggregate.inner, PROMQL_TYPE_VECTOR, "aggregation expression");
    if (op == PROMQL_COUNT_VALUES)
        expect_type(parser, expr->as.aggregate.param, PROMQL_TYPE_STRING, "aggregation parameter");
    else if (expr->as.aggregate.param != NULL)
        expect_type(parser, expr->as.aggregate.param, PROMQL_TYPE_SCALAR, "aggregation parameter");
}

/* Where the operator itself stands, between its operands. */
static PromqlRange operator_range(const PromqlParser *parser, const PromqlExpr *expr) {
    PromqlRange range = {expr->as.binary.left->range.end, expr->as.binary.right->range.start};

    while (range.start < range.end &&
           (parser->query.ptr[range.start] == ' ' || parser->query.ptr[range.start] == '\t' ||
            parser->query.ptr[range.start] == '\n' || parser->query.ptr[range.start] == '\r'))
        range.start++;
    return range;
}

static void check_label_clash(PromqlParser *parser, const PromqlExpr *expr) {
    const PromqlMatching *matching = &expr->as.binary.matching;
    CLEANUP_IN_PLACE(buf_done) Buf name = {0};

    buf_init(&name, 512);
    for (size_t l = 0; l < matching->label_count && matching->on; l++) {
        for (size_t i = 0; i < matching->include_count; i++) {
            if (!str_equal(matching->labels[l], matching->include[i])) continue;
            rune_quote(&name, str_slice(matching->labels[l], 0, 80));
            promql_fail(parser, ERR_INVALID, operator_range(parser, expr),
                        "label " STR_FMT " must not occur in ON and GROUP clause at once",
                        STR_ARG(buf_str(&name)));
            return;
        }
    }
}

static void check_matching(PromqlParser *parser, PromqlExpr *expr, bool vectors) {
    PromqlMatching *matching = &expr->as.binary.matching;
    bool has_fill = matching->has_fill_left || matching->has_fill_right;
    bool is_set = promql_op_is_set(expr->as.binary.op);

    if (is_set && matching->cardinality == PROMQL_ONE_TO_ONE)
        matching->cardinality = PROMQL_MANY_TO_MANY;
    if (!vectors) {
        if (matching->label_count > 0)
            promql_fail(parser, ERR_INVALID, expr->range,
                        "vector matching only allowed between instant vectors");
        if (has_fill)
            promql_fail(parser, ERR_INVALID, expr->range,
                        "filling in missing series only allowed between instant vectors");
        *matching = (PromqlMatching){0}; /* nothing is matched here: not to be printed either */
        return;
    }
    if (!is_set) return;
    if (matching->cardinality != PROMQL_MANY_TO_MANY)
        promql_fail(parser, ERR_INVALID, expr->range, "no grouping allowed for \"%s\" operation",
                    promql_op_text(expr->as.binary.op));
    if (has_fill)
        promql_fail(parser, ERR_INVALID, expr->range,
                    "filling in missing series not allowed for set operators");
}

static bool is_value(PromqlType type) {
    return type == PROMQL_TYPE_SCALAR || type == PROMQL_TYPE_VECTOR;
}

static PromqlType check_binary(PromqlParser *parser, PromqlExpr *expr) {
    PromqlExpr *left = expr->as.binary.left, *right = expr->as.binary.right;
    PromqlType left_type = check(parser, left), right_type = check(parser, right);
    PromqlOp op = expr->as.binary.op;
    bool comparison = promql_op_is_comparison(op);

    if (expr->as.binary.returns_bool && !comparison)
        promql_fail(parser, ERR_INVALID, operator_range(parser, expr),
                    "bool modifier can only be used on comparison operators");
    if (comparison && !expr->as.binary.returns_bool && left_type == PROMQL_TYPE_SCALAR &&
        right_type == PROMQL_TYPE_SCALAR)
        promql_fail(parser, ERR_INVALID, operator_range(parser, expr),
                    "comparisons between scalars must use BOOL modifier");
    check_label_clash(parser, expr);
    if (!is_value(left_type))
        promql_fail(parser, ERR_INVALID, left->range,
                    "binary expression must contain only scalar and instant vector types");
    if (!is_value(right_type))
        promql_fail(parser, ERR_INVALID, right->range,
                    "binary expression must contain only scalar and instant vector types");
    check_matching(parser, expr,
                   left_type == PROMQL_TYPE_VECTOR && right_type == PROMQL_TYPE_VECTOR);
    if ((left_type == PROMQL_TYPE_SCALAR || right_type == PROMQL_TYPE_SCALAR) &&
        promql_op_is_set(op))
        promql_fail(parser, ERR_INVALID, expr->range,
                    "set operator \"%s\" not allowed in binary scalar expression",
                    promql_op_text(op));
    return left_type == PROMQL_TYPE_SCALAR && right_type == PROMQL_TYPE_SCALAR ? PROMQL_TYPE_SCALAR
                                                                               : PROMQL_TYPE_VECTOR;
}

static void check_arg_count(PromqlParser *parser, const PromqlExpr *expr) {
    const PromqlFunction *function = expr->as.call.function;
    size_t count = expr->as.call.arg_count, wanted = function->arg_count;

    if (function->variadic == 0) {
        if (count != wanted)
            promql_fail(parser, ERR_INVALID, expr->range,
                        "expected %zu argument(s) in call to \"%s\", got %zu", wanted,
                        function->name, count);
    } else if (count < wanted - 1) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "expected at least %zu argument(s) in call to \"%s\", got %zu", wanted - 1,
                    function->name, count);
    } else if (function->variadic > 0 && count > wanted - 1 + (size_t)function->variadic) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "expected at most %zu argument(s) in call to \"%s\", got %zu",
                    wanted - 1 + (size_t)function->variadic, function->name, count);
    }
}

/* The type as it is written, without a look at what is inside. */
static PromqlType type_of(const PromqlExpr *expr) {
    switch (expr->kind) {
    case PROMQL_NUMBER:
    case PROMQL_DURATION:
        return PROMQL_TYPE_SCALAR;
    case PROMQL_STRING:
        return PROMQL_TYPE_STRING;
    case PROMQL_SELECTOR:
    case PROMQL_AGGREGATE:
        return PROMQL_TYPE_VECTOR;
    case PROMQL_MATRIX:
    case PROMQL_SUBQUERY:
        return PROMQL_TYPE_MATRIX;
    case PROMQL_CALL:
        return expr->as.call.function->type;
    case PROMQL_BINARY:
        return type_of(expr->as.binary.left) == PROMQL_TYPE_SCALAR &&
                       type_of(expr->as.binary.right) == PROMQL_TYPE_SCALAR
                   ? PROMQL_TYPE_SCALAR
                   : PROMQL_TYPE_VECTOR;
    case PROMQL_UNARY:
        return type_of(expr->as.unary.inner);
    case PROMQL_PAREN:
        return type_of(expr->as.paren.inner);
    }
    return PROMQL_TYPE_NONE;
}

/* info()'s second argument selects labels, so it has no metric name and may match all. */
static void check_info(PromqlParser *parser, const PromqlExpr *call) {
    const PromqlExpr *arg = call->as.call.args[1];
    PromqlType type = type_of(arg);

    if (type != PROMQL_TYPE_VECTOR)
        promql_fail(parser, ERR_INVALID, call->range,
                    "expected type %s in call to function \"info\", got %s",
                    promql_type_name(PROMQL_TYPE_VECTOR), promql_type_name(type));
    if (arg->kind != PROMQL_SELECTOR)
        promql_fail(parser, ERR_INVALID, arg->range, "expected label selectors only");
    else if (arg->as.selector.name.len > 0)
        promql_fail(parser, ERR_INVALID, arg->range,
                    "expected label selectors only, got vector selector instead");
}

static void check_call(PromqlParser *parser, PromqlExpr *expr) {
    const PromqlFunction *function = expr->as.call.function;
    bool info = function->id == PROMQL_FN_INFO && expr->as.call.arg_count > 1;

    check_arg_count(parser, expr);
    if (info) check_info(parser, expr);
    for (size_t i = 0; i < expr->as.call.arg_count && !promql_failed(parser); i++) {
        PromqlExpr *arg = expr->as.call.args[i];
        PromqlType wanted, type;

        if (function->arg_count == 0) return;
        wanted = function->args[MIN(i, function->arg_count - 1)];
        if (info && i == 1) {
            arg->type = PROMQL_TYPE_VECTOR;
            continue;
        }
        type = check(parser, arg);
        if (type != wanted)
            promql_fail(parser, ERR_INVALID, arg->range,
                        "expected type %s in call to function \"%s\", got %s",
                        promql_type_name(wanted), function->name, promql_type_name(type));
    }
}

static void fail_name_twice(PromqlParser *parser, const PromqlExpr *expr, Str other) {
    CLEANUP_IN_PLACE(buf_done) Buf names = {0};

    buf_init(&names, 1024);
    rune_quote(&names, str_slice(expr->as.selector.name, 0, 80));
    buf_append_str(&names, STR(" or "));
    rune_quote(&names, str_slice(other, 0, 80));
    promql_fail(parser, ERR_INVALID, expr->range, "metric name must not be set twice: " STR_FMT,
                STR_ARG(buf_str(&names)));
}

bool promql_is_selective(const PromqlExpr *selector) {
    for (size_t i = 0; i < selector->as.selector.matcher_count; i++)
        if (!selector->as.selector.matchers[i].matches_empty) return true;
    return false;
}

static void check_selector(PromqlParser *parser, const PromqlExpr *expr) {
    const Matcher *matchers = expr->as.selector.matchers;
    size_t count = expr->as.selector.matcher_count;

    if (expr->as.selector.name.len > 0) {
        for (size_t i = 0; i + 1 < count; i++)
            if (str_equal(matchers[i].name, STR("__name__")))
                fail_name_twice(parser, expr, matchers[i].value);
        return;
    }
    if (!promql_is_selective(expr))
        promql_fail(parser, ERR_INVALID, expr->range,
                    "vector selector must contain at least one non-empty matcher");
}

static PromqlType check_node(PromqlParser *parser, PromqlExpr *expr) {
    PromqlType type;

    switch (expr->kind) {
    case PROMQL_NUMBER:
    case PROMQL_DURATION:
        return PROMQL_TYPE_SCALAR;
    case PROMQL_STRING:
        return PROMQL_TYPE_STRING;
    case PROMQL_SELECTOR:
        check_selector(parser, expr);
        return PROMQL_TYPE_VECTOR;
    case PROMQL_MATRIX:
        check(parser, expr->as.matrix.inner);
        return PROMQL_TYPE_MATRIX;
    case PROMQL_SUBQUERY:
        type = check(parser, expr->as.subquery.inner);
        if (type != PROMQL_TYPE_VECTOR)
            promql_fail(parser, ERR_INVALID, expr->range,
                        "subquery is only allowed on instant vector, got %s instead",
                        promql_value_type_name(type));
        return PROMQL_TYPE_MATRIX;
    case PROMQL_CALL:
        check_call(parser, expr);
        return expr->as.call.function->type;
    case PROMQL_AGGREGATE:
        check_aggregate(parser, expr);
        return PROMQL_TYPE_VECTOR;
    case PROMQL_BINARY:
        return check_binary(parser, expr);
    case PROMQL_UNARY:
        type = check(parser, expr->as.unary.inner);
        if (!is_value(type))
            promql_fail(parser, ERR_INVALID, expr->range,
                        "unary expression only allowed on expressions of type scalar or instant "
                        "vector, got \"%s\"",
                        promql_type_name(type));
        return type;
    case PROMQL_PAREN:
        return check(parser, expr->as.paren.inner);
    }
    return PROMQL_TYPE_NONE;
}

static PromqlType check(PromqlParser *parser, PromqlExpr *expr) {
    expr->type = check_node(parser, expr);
    return expr->type;
}

void promql_check(PromqlParser *parser, PromqlExpr *expr) {
    (void)check(parser, expr);
}
