/*
 * plan.c: columns and attributes that queries mention. Hints are in hints.c.
 */
#include "querier/traceql/engine/plan.h"

/* ---- columns ---- */

static ErrCode need_key(SpanNeed *need, uint8_t scope, Str key, Arena *arena, Error *err) {
    AttributeKey *keys;

    if (need->all_keys) return ERR_OK;
    for (size_t i = 0; i < need->key_count; i++)
        if (need->keys[i].scope == scope && str_equal(need->keys[i].key, key)) return ERR_OK;
    keys = ARENA_ARRAY(arena, AttributeKey, need->key_count + 1);
    if (keys == NULL) return traceql_out_of_memory(err);
    if (need->key_count > 0) memcpy(keys, need->keys, need->key_count * sizeof *keys);
    keys[need->key_count] = (AttributeKey){scope, key};
    need->keys = keys;
    need->key_count++;
    return ERR_OK;
}

static unsigned intrinsic_columns(uint8_t intrinsic) {
    switch (intrinsic) {
    case TRACEQL_DURATION_FIELD:
        return SPAN_DURATIONS;
    case TRACEQL_NAME_FIELD:
        return SPAN_NAMES;
    case TRACEQL_STATUS_FIELD:
        return SPAN_STATUSES;
    case TRACEQL_STATUS_MESSAGE_FIELD:
        return SPAN_MESSAGES;
    case TRACEQL_KIND_FIELD:
        return SPAN_KINDS;
    case TRACEQL_SPAN_ID_FIELD:
        return SPAN_IDS;
    case TRACEQL_PARENT_ID_FIELD:
        return SPAN_PARENT_IDS;
    case TRACEQL_ROOT_NAME_FIELD:
        return SPAN_PARENTS | SPAN_NAMES;
    case TRACEQL_ROOT_SERVICE_FIELD:
        return SPAN_PARENTS | SPAN_ORIGINS;
    case TRACEQL_CHILD_COUNT_FIELD:
    case TRACEQL_NESTED_LEFT_FIELD:
    case TRACEQL_NESTED_RIGHT_FIELD:
    case TRACEQL_NESTED_PARENT_FIELD:
        return SPAN_PARENTS;
    case TRACEQL_EVENT_NAME_FIELD:
        return SPAN_EVENTS;
    case TRACEQL_EVENT_TIME_FIELD:
        return SPAN_EVENTS | SPAN_STARTS;
    case TRACEQL_LINK_TRACE_FIELD:
    case TRACEQL_LINK_SPAN_FIELD:
        return SPAN_LINKS;
    case TRACEQL_SCOPE_NAME_FIELD:
    case TRACEQL_SCOPE_VERSION_FIELD:
        return SPAN_ORIGINS;
    default:
        return 0;
    }
}

ErrCode plan_need_attribute(SpanNeed *need, const TraceqlAttribute *attribute, Arena *arena,
                            Error *err) {
    uint8_t scope = attribute->scope;

    need->columns |= intrinsic_columns(attribute->intrinsic);
    if (attribute->intrinsic != TRACEQL_NONE_FIELD) return ERR_OK;
    if (scope == SCOPE_RESOURCE || scope == SCOPE_INSTRUMENTATION || scope == 0)
        need->columns |= SPAN_ORIGINS;
    if (scope == SCOPE_EVENT || scope == 0) need->columns |= SPAN_EVENTS;
    if (scope == SCOPE_LINK || scope == 0) need->columns |= SPAN_LINKS;
    for (uint8_t s = SCOPE_SPAN; s <= SCOPE_LINK; s++)
        if (scope == s || scope == 0) TRY(need_key(need, s, attribute->name, arena, err));
    return ERR_OK;
}

static ErrCode need_expr(SpanNeed *need, const TraceqlExpr *expr, Arena *arena, Error *err) {
    if (expr == NULL || expr->kind == TRACEQL_EXPR_VALUE) return ERR_OK;
    if (expr->kind == TRACEQL_EXPR_ATTRIBUTE)
        return plan_need_attribute(need, &expr->attribute, arena, err);
    TRY(need_expr(need, expr->left, arena, err));
    return need_expr(need, expr->right, arena, err);
}

ErrCode plan_need_set(SpanNeed *need, const TraceqlSet *set, Arena *arena, Error *err) {
    if (set->kind == TRACEQL_SET_FILTER) return need_expr(need, set->expr, arena, err);
    if (set->kind == TRACEQL_SET_PIPELINE)
        return plan_need_pipeline(need, set->pipeline, arena, err);
    if (set->op != TRACEQL_AND && set->op != TRACEQL_OR) need->columns |= SPAN_PARENTS;
    TRY(plan_need_set(need, set->left, arena, err));
    return plan_need_set(need, set->right, arena, err);
}

ErrCode plan_need_pipeline(SpanNeed *need, const TraceqlPipeline *pipeline, Arena *arena,
                           Error *err) {
    for (size_t i = 0; i < pipeline->count; i++) {
        const TraceqlStage *stage = &pipeline->stages[i];

        if (stage->kind == TRACEQL_STAGE_SET)
            TRY(plan_need_set(need, stage->set, arena, err));
        else
            TRY(need_expr(need, stage->expr, arena, err));
    }
    return ERR_OK;
}

/* ---- what is shown ---- */

static ErrCode mention(Plan *plan, const TraceqlAttribute *attribute, Arena *arena, Mention **out,
                       Error *err) {
    Mention *mentions;

    for (size_t i = 0; i < plan->mention_count; i++) {
        const TraceqlAttribute *known = &plan->mentions[i].attribute;

        *out = &plan->mentions[i];
        if (known->intrinsic == attribute->intrinsic && known->scope == attribute->scope &&
            str_equal(known->name, attribute->name))
            return ERR_OK;
    }
    mentions = ARENA_ARRAY(arena, Mention, plan->mention_count + 1);
    if (mentions == NULL) return traceql_out_of_memory(err);
    if (plan->mention_count > 0)
        memcpy(mentions, plan->mentions, plan->mention_count * sizeof *mentions);
    plan->mentions = mentions;
    *out = &mentions[plan->mention_count++];
    (*out)->attribute = *attribute;
    return ERR_OK;
}

static ErrCode mention_always(Plan *plan, const TraceqlAttribute *attribute, Arena *arena,
                              Error *err) {
    Mention *entry;

    TRY(mention(plan, attribute, arena, &entry, err));
    entry->always = true;
    return ERR_OK;
}

static ErrCode mention_test(Plan *plan, const TraceqlAttribute *attribute, const Test *test,
                            Arena *arena, Error *err) {
    Mention *entry;
    Test *tests;

    TRY(mention(plan, attribute, arena, &entry, err));
    tests = ARENA_ARRAY(arena, Test, entry->count + 1);
    if (tests == NULL) return traceql_out_of_memory(err);
    if (entry->count > 0) memcpy(tests, entry->tests, entry->count * sizeof *tests);
    tests[entry->count++] = *test;
    entry->tests = tests;
    entry->nil |= test->op == TRACEQL_NOT_EXISTS;
    return ERR_OK;
}

static ErrCode mention_expr(Plan *plan, const TraceqlExpr *expr, Arena *arena, Error *err) {
    const TraceqlAttribute *attribute;
    Test test;

    if (expr == NULL || expr->kind == TRACEQL_EXPR_VALUE) return ERR_OK;
    if (expr->kind == TRACEQL_EXPR_ATTRIBUTE)
        return mention_always(plan, &expr->attribute, arena, err);
    if (test_of(expr, &attribute, &test) && expr->op != TRACEQL_NOT)
        return mention_test(plan, attribute, &test, arena, err);
    TRY(mention_expr(plan, expr->left, arena, err));
    return mention_expr(plan, expr->right, arena, err);
}

static ErrCode mention_set(Plan *plan, const TraceqlSet *set, Arena *arena, Error *err) {
    if (set->kind == TRACEQL_SET_FILTER) return mention_expr(plan, set->expr, arena, err);
    if (set->kind == TRACEQL_SET_PIPELINE)
        return plan_mention_pipeline(plan, set->pipeline, arena, err);
    TRY(mention_set(plan, set->left, arena, err));
    return mention_set(plan, set->right, arena, err);
}

ErrCode plan_mention_pipeline(Plan *plan, const TraceqlPipeline *pipeline, Arena *arena,
                              Error *err) {
    for (size_t i = 0; i < pipeline->count; i++) {
        const TraceqlStage *stage = &pipeline->stages[i];

        if (stage->kind == TRACEQL_STAGE_SET)
            TRY(mention_set(plan, stage->set, arena, err));
        else
            TRY(mention_expr(plan, stage->expr, arena, err));
        for (size_t a = 0; a < stage->attribute_count; a++)
            TRY(mention_always(plan, &stage->attributes[a], arena, err));
    }
    return ERR_OK;
}

ErrCode plan_search(const TraceqlQuery *query, Arena *arena, Plan *out, Error *err) {
    *out = (Plan){0};
    TRY(plan_need_pipeline(&out->need, &query->pipeline, arena, err));
    TRY(plan_mention_pipeline(out, &query->pipeline, arena, err));
    for (size_t i = 0; i < query->pipeline.count; i++) {
        const TraceqlExpr *by = query->pipeline.stages[i].expr;

        out->root_unnamed |= query->pipeline.stages[i].kind == TRACEQL_STAGE_BY &&
                             by->kind == TRACEQL_EXPR_ATTRIBUTE &&
                             by->attribute.intrinsic == TRACEQL_ROOT_NAME_FIELD;
    }
    out->output.columns = SPAN_IDS | SPAN_STARTS | SPAN_DURATIONS | SPAN_NAMES | SPAN_PARENTS |
                          SPAN_ORIGINS | SPAN_STATUSES;
    for (size_t i = 0; i < out->mention_count; i++)
        TRY(plan_need_attribute(&out->output, &out->mentions[i].attribute, arena, err));
    return plan_hints(&query->pipeline, arena, &out->any, &out->any_count, err);
}
