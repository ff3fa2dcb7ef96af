/*
 * check.c: types, as far as a query shows them, and regular expressions. Messages are Tempo's.
 */
#include "querier/traceql/build.h"

static uint8_t attribute_type(const TraceqlAttribute *attribute) {
    switch (attribute->intrinsic) {
    case TRACEQL_DURATION_FIELD:
    case TRACEQL_TRACE_DURATION_FIELD:
    case TRACEQL_EVENT_TIME_FIELD:
        return TRACEQL_DURATION;
    case TRACEQL_NAME_FIELD:
    case TRACEQL_STATUS_MESSAGE_FIELD:
    case TRACEQL_SPAN_ID_FIELD:
    case TRACEQL_PARENT_ID_FIELD:
    case TRACEQL_ROOT_NAME_FIELD:
    case TRACEQL_ROOT_SERVICE_FIELD:
    case TRACEQL_TRACE_ID_FIELD:
    case TRACEQL_EVENT_NAME_FIELD:
    case TRACEQL_LINK_TRACE_FIELD:
    case TRACEQL_LINK_SPAN_FIELD:
    case TRACEQL_SCOPE_NAME_FIELD:
    case TRACEQL_SCOPE_VERSION_FIELD:
        return TRACEQL_STRING;
    case TRACEQL_STATUS_FIELD:
        return TRACEQL_STATUS;
    case TRACEQL_KIND_FIELD:
        return TRACEQL_KIND;
    case TRACEQL_CHILD_COUNT_FIELD:
    case TRACEQL_NESTED_LEFT_FIELD:
    case TRACEQL_NESTED_RIGHT_FIELD:
    case TRACEQL_NESTED_PARENT_FIELD:
        return TRACEQL_INT;
    default:
        return TRACEQL_UNKNOWN;
    }
}

uint8_t traceql_expr_type(const TraceqlExpr *expr) {
    uint8_t left, right;

    switch (expr->kind) {
    case TRACEQL_EXPR_VALUE:
        return expr->value.type;
    case TRACEQL_EXPR_ATTRIBUTE:
        return attribute_type(&expr->attribute);
    case TRACEQL_EXPR_UNARY:
        return expr->op == TRACEQL_MINUS ? traceql_expr_type(expr->left) : TRACEQL_BOOL;
    default:
        break;
    }
    if (!traceql_is_arithmetic(expr->op)) return TRACEQL_BOOL;
    left = traceql_expr_type(expr->left);
    right = traceql_expr_type(expr->right);
    return left == TRACEQL_UNKNOWN ? right : left;
}

static bool go_together(uint8_t a, uint8_t b) {
    if (a == TRACEQL_UNKNOWN || b == TRACEQL_UNKNOWN || a == b) return true;
    return traceql_is_number(a) && traceql_is_number(b);
}

static bool op_takes(uint8_t op, uint8_t type) {
    switch (type) {
    case TRACEQL_UNKNOWN:
        return true;
    case TRACEQL_BOOL:
        return op == TRACEQL_AND || op == TRACEQL_OR || op == TRACEQL_EQ || op == TRACEQL_NEQ;
    case TRACEQL_INT:
    case TRACEQL_FLOAT:
    case TRACEQL_DURATION:
        return traceql_is_arithmetic(op) || (op >= TRACEQL_EQ && op <= TRACEQL_GTE);
    case TRACEQL_STRING:
        return traceql_is_comparison(op);
    default:
        return op == TRACEQL_EQ || op == TRACEQL_NEQ;
    }
}

static bool mentions_span(const TraceqlExpr *expr) {
    if (expr->kind == TRACEQL_EXPR_VALUE) return false;
    if (expr->kind == TRACEQL_EXPR_ATTRIBUTE) return true;
    return mentions_span(expr->left) ||
           (expr->kind == TRACEQL_EXPR_BINARY && mentions_span(expr->right));
}

static ErrCode refuse(const char *what, Str text, Error *err) {
    return error_set(err, ERR_INVALID, "%s: " STR_FMT, what, STR_ARG(text));
}

static ErrCode check_attribute(const TraceqlAttribute *attribute, Error *err) {
    if (attribute->parent) return error_set(err, ERR_INVALID, "parent not yet supported");
    if (attribute->intrinsic == TRACEQL_PARENT_FIELD)
        return error_set(err, ERR_INVALID, "intrinsic (parent) not yet supported");
    return ERR_OK;
}

static void free_regex(void *regex) {
    regex_free(regex);
}

static ErrCode check_regex(TraceqlExpr *expr, Arena *arena, Error *err) {
    const TraceqlExpr *right = expr->right;
    RegexOptions options = {.anchored = true, .dot_newline = true};
    Regex *regex = NULL;
    ErrCode code;

    if (right->kind != TRACEQL_EXPR_VALUE || right->value.type != TRACEQL_STRING)
        return refuse("invalid type for =~ or !~", traceql_expr_text(right, arena), err);
    code = regex_new(right->value.text, &options, &regex, err);
    if (code == ERR_INVALID) return refuse("invalid regex", traceql_expr_text(right, arena), err);
    if (code != ERR_OK) return code;
    expr->regex = regex;
    if (arena_on_free(arena, free_regex, regex)) return ERR_OK;
    regex_free(regex);
    return traceql_out_of_memory(err);
}

static ErrCode check_expr(TraceqlExpr *expr, Arena *arena, Error *err);

static ErrCode check_unary(TraceqlExpr *expr, Arena *arena, Error *err) {
    const TraceqlExpr *inner = expr->left;
    uint8_t type;

    TRY(check_expr(expr->left, arena, err));
    if (expr->op == TRACEQL_NOT_EXISTS && inner->kind == TRACEQL_EXPR_ATTRIBUTE) {
        const TraceqlAttribute *attribute = &inner->attribute;
        Str text = traceql_attribute_text(attribute, arena);

        if (attribute->intrinsic != TRACEQL_NONE_FIELD)
            return error_set(err, ERR_INVALID,
                             STR_FMT "=nil is not valid because intrinsics cannot be nil",
                             STR_ARG(text));
        if (attribute->scope == SCOPE_RESOURCE && str_equal(attribute->name, STR("service.name")))
            return error_set(err, ERR_INVALID,
                             "resource.service.name=nil is not valid because "
                             "resource.service.name cannot be nil");
    }
    type = traceql_expr_type(inner);
    if (type == TRACEQL_UNKNOWN || expr->op == TRACEQL_EXISTS || expr->op == TRACEQL_NOT_EXISTS)
        return ERR_OK;
    if (expr->op == TRACEQL_MINUS ? traceql_is_number(type) : type == TRACEQL_BOOL) return ERR_OK;
    return refuse("illegal operation for the given type", traceql_expr_text(expr, arena), err);
}

static ErrCode check_expr(TraceqlExpr *expr, Arena *arena, Error *err) {
    uint8_t left, right;

    switch (expr->kind) {
    case TRACEQL_EXPR_VALUE:
        return ERR_OK;
    case TRACEQL_EXPR_ATTRIBUTE:
        return check_attribute(&expr->attribute, err);
    case TRACEQL_EXPR_UNARY:
        return check_unary(expr, arena, err);
    default:
        break;
    }
    TRY(check_expr(expr->left, arena, err));
    TRY(check_expr(expr->right, arena, err));
    left = traceql_expr_type(expr->left);
    right = traceql_expr_type(expr->right);
    if (!go_together(left, right))
        return refuse("binary operations must operate on the same type",
                      traceql_expr_text(expr, arena), err);
    if (!op_takes(expr->op, left) || !op_takes(expr->op, right))
        return refuse("illegal operation for the given types", traceql_expr_text(expr, arena), err);
    if (expr->op == TRACEQL_RE || expr->op == TRACEQL_NRE) return check_regex(expr, arena, err);
    return ERR_OK;
}

static ErrCode check_pipeline(const TraceqlPipeline *pipeline, Arena *arena, Error *err);

static ErrCode check_set(TraceqlSet *set, Arena *arena, Error *err) {
    uint8_t type;

    if (set->kind == TRACEQL_SET_PIPELINE) return check_pipeline(set->pipeline, arena, err);
    if (set->kind == TRACEQL_SET_BINARY) {
        TRY(check_set(set->left, arena, err));
        return check_set(set->right, arena, err);
    }
    TRY(check_expr(set->expr, arena, err));
    type = traceql_expr_type(set->expr);
    if (type == TRACEQL_UNKNOWN || type == TRACEQL_BOOL) return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "span filter field expressions must resolve to a boolean: { " STR_FMT " }",
                     STR_ARG(traceql_expr_text(set->expr, arena)));
}

static ErrCode check_aggregate(const TraceqlStage *stage, Arena *arena, Error *err) {
    uint8_t type = TRACEQL_INT;

    if (stage->op == TRACEQL_RE || stage->op == TRACEQL_NRE)
        return refuse("illegal operation for the given types", stage->text, err);
    if (stage->expr != NULL) {
        TRY(check_expr(stage->expr, arena, err));
        type = traceql_expr_type(stage->expr);
        if (type != TRACEQL_UNKNOWN && !traceql_is_number(type))
            return refuse("aggregate field expressions must resolve to a number type", stage->text,
                          err);
        if (!mentions_span(stage->expr))
            return refuse("aggregate field expressions must reference the span", stage->text, err);
    }
    if (!go_together(type, stage->value.type))
        return refuse("binary operations must operate on the same type", stage->text, err);
    return ERR_OK;
}

static ErrCode check_stage(const TraceqlStage *stage, Arena *arena, Error *err) {
    switch (stage->kind) {
    case TRACEQL_STAGE_SET:
        return check_set(stage->set, arena, err);
    case TRACEQL_STAGE_AGGREGATE:
        return check_aggregate(stage, arena, err);
    case TRACEQL_STAGE_BY:
        if (!mentions_span(stage->expr))
            return refuse("grouping field expressions must reference the span", stage->text, err);
        return check_expr(stage->expr, arena, err);
    case TRACEQL_STAGE_SELECT:
        for (size_t i = 0; i < stage->attribute_count; i++)
            TRY(check_attribute(&stage->attributes[i], err));
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static ErrCode check_pipeline(const TraceqlPipeline *pipeline, Arena *arena, Error *err) {
    for (size_t i = 0; i < pipeline->count; i++) TRY(check_stage(&pipeline->stages[i], arena, err));
    return ERR_OK;
}

/* ---- metrics ---- */

static ErrCode check_compare(const TraceqlMetric *metric, Arena *arena, Error *err) {
    TRY(check_set(metric->compare, arena, err));
    if (metric->compare_top <= 0 || metric->compare_top > 1000)
        return error_set(err, ERR_INVALID,
                         "compare() top number of values must be an integer between 1 and 1000");
    if (metric->second_count > 0)
        return error_set(err, ERR_INVALID,
                         "`compare()` cannot be used with second stage functions");
    if (metric->compare_start_ns == 0 && metric->compare_end_ns == 0) return ERR_OK;
    if (metric->compare_start_ns <= 0 || metric->compare_end_ns <= 0)
        return error_set(err, ERR_INVALID,
                         "compare() timestamps must be positive integer unix nanoseconds");
    if (metric->compare_end_ns <= metric->compare_start_ns)
        return error_set(err, ERR_INVALID,
                         "compare() end timestamp must be greater than start timestamp");
    return ERR_OK;
}

static ErrCode check_metric(const TraceqlMetric *metric, bool joined, Arena *arena, Error *err) {
    for (size_t i = 0; i < metric->second_count; i++)
        if (metric->seconds[i].op == TRACEQL_OP_NONE && metric->seconds[i].limit <= 0)
            return error_set(err, ERR_INVALID, "limit must be greater than 0");
    if (metric->kind != TRACEQL_METRIC_PIPELINE) {
        TRY(check_metric(metric->left, true, arena, err));
        return metric->right == NULL ? ERR_OK : check_metric(metric->right, true, arena, err);
    }
    TRY(check_pipeline(&metric->pipeline, arena, err));
    if (metric->function == TRACEQL_COMPARE) {
        if (joined)
            return error_set(err, ERR_INVALID,
                             "`compare()` cannot be used with second stage functions");
        return check_compare(metric, arena, err);
    }
    if (metric->has_attribute) TRY(check_attribute(&metric->attribute, err));
    if (metric->by_count > TRACEQL_BY_MAX - (metric->function >= TRACEQL_QUANTILE_OVER_TIME))
        return error_set(err, ERR_INVALID, "maximum %d group by attributes, got %zu",
                         TRACEQL_BY_MAX, metric->by_count);
    for (size_t i = 0; i < metric->by_count; i++) TRY(check_attribute(&metric->by[i], err));
    for (size_t i = 0; i < metric->quantile_count; i++)
        if (!(metric->quantiles[i] >= 0 && metric->quantiles[i] <= 1))
            return error_set(err, ERR_INVALID, "quantile must be between 0 and 1");
    return ERR_OK;
}

ErrCode traceql_check(TraceqlQuery *query, Arena *arena, Error *err) {
    if (query->metric != NULL) return check_metric(query->metric, false, arena, err);
    return check_pipeline(&query->pipeline, arena, err);
}
