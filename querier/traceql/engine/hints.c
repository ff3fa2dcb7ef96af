/*
 * hints.c: what a trace must have in one of its spans, as far as that is plain: so that pages that
 * have it nowhere are left alone. A list of groups, one of which must be met; *all* when nothing is
 * known. Whoever leaves out a condition here only has more read.
 */
#include <math.h>

#include "querier/traceql/engine/plan.h"

enum { GROUPS_MAX = 16, CONDITIONS_MAX = 16 };

typedef struct Group {
    SpanCondition items[CONDITIONS_MAX];
    size_t count;
} Group;

typedef struct Groups {
    Group *items;
    size_t count;
    bool all;
} Groups;

static bool text_passes(const void *context, Str text) {
    const Test *test = context;
    TraceqlValue value = {.type = TRACEQL_STRING, .text = text};

    return test_value(test, &value, true);
}

/* False: no number will do, or it can't be said as a range. */
static bool bound_integers(const Test *test, int64_t value, SpanCondition *out) {
    out->integer_min = INT64_MIN;
    out->integer_max = INT64_MAX;
    out->bounded = true;
    switch (test->op) {
    case TRACEQL_EQ:
        out->integer_min = out->integer_max = value;
        return true;
    case TRACEQL_LT:
        if (value == INT64_MIN) return false;
        out->integer_max = value - 1;
        return true;
    case TRACEQL_LTE:
        out->integer_max = value;
        return true;
    case TRACEQL_GT:
        if (value == INT64_MAX) return false;
        out->integer_min = value + 1;
        return true;
    case TRACEQL_GTE:
        out->integer_min = value;
        return true;
    default:
        out->bounded = false;
        return true;
    }
}

static void bound_numbers(const Test *test, double value, SpanCondition *out) {
    out->number_min = -INFINITY;
    out->number_max = INFINITY;
    out->bounded = true;
    if (test->op == TRACEQL_EQ || test->op == TRACEQL_GT || test->op == TRACEQL_GTE)
        out->number_min = value;
    if (test->op == TRACEQL_EQ || test->op == TRACEQL_LT || test->op == TRACEQL_LTE)
        out->number_max = value;
    if (test->op == TRACEQL_NEQ) out->bounded = false;
}

static void bound_text(const Test *test, Arena *arena, SpanCondition *out) {
    Test *kept = ARENA_NEW(arena, Test);

    if (kept == NULL || test->op == TRACEQL_EXISTS) return;
    *kept = *test;
    out->text = text_passes;
    out->context = kept;
}

static bool attribute_condition(const TraceqlAttribute *attribute, const Test *test, Arena *arena,
                                SpanCondition *out) {
    /* A span without a service has an empty one, which no index has. */
    if (attribute->scope != SCOPE_SPAN && str_equal(attribute->name, STR("service.name"))) {
        if (attribute->scope != SCOPE_RESOURCE || test->op != TRACEQL_EQ ||
            test->value.type != TRACEQL_STRING || test->value.text.len == 0)
            return false;
    }
    *out = (SpanCondition){.scope = attribute->scope, .key = attribute->name};
    if (test->op == TRACEQL_EXISTS) return true;
    switch (test->value.type) {
    case TRACEQL_STRING:
        out->type = ATTRIBUTE_STRING;
        bound_text(test, arena, out);
        return true;
    case TRACEQL_INT:
        out->type = ATTRIBUTE_INT;
        return bound_integers(test, test->value.integer, out);
    case TRACEQL_FLOAT:
        out->type = ATTRIBUTE_DOUBLE;
        bound_numbers(test, test->value.number, out);
        return true;
    case TRACEQL_BOOL:
        out->type = ATTRIBUTE_BOOL;
        return true;
    default:
        return false;
    }
}

static bool condition_of(const TraceqlAttribute *attribute, const Test *test, Arena *arena,
                         SpanCondition *out) {
    static const uint8_t texts[TRACEQL_INTRINSIC_COUNT] = {
        [TRACEQL_NAME_FIELD] = INTRINSIC_NAME,
        [TRACEQL_STATUS_MESSAGE_FIELD] = INTRINSIC_STATUS_MESSAGE,
        [TRACEQL_EVENT_NAME_FIELD] = INTRINSIC_EVENT_NAME,
        [TRACEQL_SCOPE_NAME_FIELD] = INTRINSIC_SCOPE_NAME,
        [TRACEQL_SCOPE_VERSION_FIELD] = INTRINSIC_SCOPE_VERSION,
    };
    uint8_t intrinsic = attribute->intrinsic;

    if (test->op == TRACEQL_NOT_EXISTS) return false;
    if (intrinsic == TRACEQL_NONE_FIELD) return attribute_condition(attribute, test, arena, out);
    if (test->op == TRACEQL_EXISTS) return false;
    *out = (SpanCondition){0};
    if (intrinsic == TRACEQL_STATUS_FIELD || intrinsic == TRACEQL_KIND_FIELD) {
        out->intrinsic = intrinsic == TRACEQL_STATUS_FIELD ? INTRINSIC_STATUS : INTRINSIC_KIND;
        return test->op == TRACEQL_EQ && bound_integers(test, test->value.integer, out);
    }
    if (intrinsic == TRACEQL_DURATION_FIELD) {
        out->intrinsic = INTRINSIC_DURATION;
        return test->value.type != TRACEQL_FLOAT && test->op != TRACEQL_NEQ &&
               bound_integers(test, test->value.integer, out);
    }
    if (texts[intrinsic] == INTRINSIC_NONE || test->value.type != TRACEQL_STRING) return false;
    out->intrinsic = texts[intrinsic];
    bound_text(test, arena, out);
    return out->text != NULL;
}

/* ---- expressions ---- */

static bool groups_new(Arena *arena, size_t count, Groups *out) {
    *out = (Groups){.items = ARENA_ARRAY(arena, Group, count), .count = count};
    if (out->items == NULL) *out = (Groups){.all = true};
    return !out->all;
}

/* Either of both. */
static Groups either(Arena *arena, Groups a, Groups b) {
    Groups out;

    if (a.all || b.all || a.count + b.count > GROUPS_MAX ||
        !groups_new(arena, a.count + b.count, &out))
        return (Groups){.all = true};
    if (a.count > 0) memcpy(out.items, a.items, a.count * sizeof *a.items);
    if (b.count > 0) memcpy(out.items + a.count, b.items, b.count * sizeof *b.items);
    return out;
}

/* Both of one span: every group of one with every group of the other. */
static Groups both(Arena *arena, Groups a, Groups b) {
    Groups out;

    if (a.all) return b;
    if (b.all || a.count * b.count > GROUPS_MAX ||
        !groups_new(arena, MAX(a.count * b.count, 1), &out))
        return a;
    out.count = 0;
    for (size_t i = 0; i < a.count; i++) {
        for (size_t k = 0; k < b.count; k++) {
            Group *group = &out.items[out.count++];

            *group = a.items[i];
            for (size_t c = 0; c < b.items[k].count && group->count < CONDITIONS_MAX; c++)
                group->items[group->count++] = b.items[k].items[c];
        }
    }
    return out;
}

static Groups groups_of(const TraceqlExpr *expr, Arena *arena) {
    const TraceqlAttribute *attribute;
    SpanCondition condition;
    Groups out;
    Test test;

    if (expr->kind == TRACEQL_EXPR_BINARY && expr->op == TRACEQL_AND)
        return both(arena, groups_of(expr->left, arena), groups_of(expr->right, arena));
    if (expr->kind == TRACEQL_EXPR_BINARY && expr->op == TRACEQL_OR)
        return either(arena, groups_of(expr->left, arena), groups_of(expr->right, arena));
    if (!test_of(expr, &attribute, &test) || !condition_of(attribute, &test, arena, &condition) ||
        !groups_new(arena, 1, &out))
        return (Groups){.all = true};
    out.items[0].items[0] = condition;
    out.items[0].count = 1;
    return out;
}

/* ---- sets ---- */

static Groups pipeline_groups(const TraceqlPipeline *pipeline, Arena *arena);

static Groups set_groups(const TraceqlSet *set, Arena *arena) {
    Groups left, right;

    if (set->kind == TRACEQL_SET_FILTER) return groups_of(set->expr, arena);
    if (set->kind == TRACEQL_SET_PIPELINE) return pipeline_groups(set->pipeline, arena);
    left = set_groups(set->left, arena);
    right = set_groups(set->right, arena);
    if (set->op == TRACEQL_OR) return either(arena, left, right);
    /* What comes is of the right side, whether there is a left one or not. */
    if (set->op >= TRACEQL_NOT_CHILD && set->op <= TRACEQL_NOT_SIBLING) return right;
    /* A trace needs both, in spans of their own: one side is enough to look for. */
    if (left.all) return right;
    return right.all || left.count <= right.count ? left : right;
}

static Groups pipeline_groups(const TraceqlPipeline *pipeline, Arena *arena) {
    if (pipeline->count == 0 || pipeline->stages[0].kind != TRACEQL_STAGE_SET)
        return (Groups){.all = true};
    return set_groups(pipeline->stages[0].set, arena);
}

ErrCode plan_hints(const TraceqlPipeline *pipeline, Arena *arena, const SpanConditions **out,
                   size_t *count, Error *err) {
    Groups groups = pipeline_groups(pipeline, arena);
    SpanConditions *conditions;

    *out = NULL;
    *count = 0;
    if (groups.all || groups.count == 0) return ERR_OK;
    conditions = ARENA_ARRAY(arena, SpanConditions, groups.count);
    if (conditions == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < groups.count; i++)
        conditions[i] = (SpanConditions){groups.items[i].items, groups.items[i].count};
    *out = conditions;
    *count = groups.count;
    return ERR_OK;
}
