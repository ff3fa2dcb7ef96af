/*
 * filter_trace.c: which spans of one trace a filter keeps, for a trace by its id with `q`.
 */
#include "querier/traceql/engine/plan.h"

static ErrCode check_fields(const TraceqlExpr *expr, Arena *arena, Error *err) {
    if (expr == NULL || expr->kind == TRACEQL_EXPR_VALUE) return ERR_OK;
    if (expr->kind != TRACEQL_EXPR_ATTRIBUTE) {
        TRY(check_fields(expr->left, arena, err));
        return check_fields(expr->right, arena, err);
    }
    switch (expr->attribute.intrinsic) {
    case TRACEQL_CHILD_COUNT_FIELD:
    case TRACEQL_ROOT_NAME_FIELD:
    case TRACEQL_ROOT_SERVICE_FIELD:
    case TRACEQL_TRACE_DURATION_FIELD:
    case TRACEQL_TRACE_ID_FIELD:
    case TRACEQL_NESTED_LEFT_FIELD:
    case TRACEQL_NESTED_RIGHT_FIELD:
    case TRACEQL_NESTED_PARENT_FIELD:
        return error_set(err, ERR_INVALID,
                         "intrinsic is not supported by this filter: \"" STR_FMT "\"",
                         STR_ARG(traceql_attribute_text(&expr->attribute, arena)));
    default:
        return ERR_OK;
    }
}

static ErrCode single_filter(const TraceqlQuery *query, const TraceqlSet **out, Error *err) {
    const char *why = NULL;

    if (query->metric != NULL)
        why = "a metrics query";
    else if (query->pipeline.count == 1 && query->pipeline.stages[0].kind == TRACEQL_STAGE_SET &&
             query->pipeline.stages[0].set->kind == TRACEQL_SET_FILTER)
        *out = query->pipeline.stages[0].set;
    else
        why = "a structural or aggregate query";
    if (why == NULL) return ERR_OK;
    return error_set(err, ERR_INVALID, "only a single TraceQL filter is supported: got %s", why);
}

ErrCode traceql_check_trace_filter(const TraceqlQuery *parsed, Arena *arena, Error *err) {
    const TraceqlSet *set = NULL;

    TRY(single_filter(parsed, &set, err));
    return check_fields(set->expr, arena, err);
}

ErrCode traceql_filter_trace(const TraceqlQuery *parsed, const SpanTable *table, bool ancestors,
                             int64_t depth, QueryContext *query, uint8_t *keep, Error *err) {
    uint32_t rows = MAX(table->row_count, 1);
    const TraceqlSet *set = NULL;
    uint32_t *levels;
    Eval eval;

    TRY(traceql_check_trace_filter(parsed, query->arena, err));
    TRY(single_filter(parsed, &set, err));
    levels = ARENA_ARRAY(query->arena, uint32_t, rows);
    if (levels == NULL) return traceql_out_of_memory(err);
    TRY(eval_begin(&eval, parsed, table, query, query->arena, err));
    TRY(eval_filter(&eval, set->expr, keep, err));
    /* Parents stand before their children: levels[row] is how far below a match it is, and one. */
    for (uint32_t row = 0; row < table->row_count; row++) {
        uint32_t parent = table->parents[row];

        levels[row] = keep[row] ? 1 : 0;
        if (keep[row] || parent >= row || levels[parent] == 0) continue;
        if (depth < 0 || levels[parent] <= (uint64_t)depth) levels[row] = levels[parent] + 1;
    }
    for (uint32_t row = table->row_count; ancestors && row-- > 0;)
        if (keep[row] && table->parents[row] < row) keep[table->parents[row]] = 1;
    for (uint32_t row = 0; row < table->row_count; row++) keep[row] |= levels[row] != 0;
    return ERR_OK;
}
