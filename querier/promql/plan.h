#pragma once
/*
 * plan.h: an expression prepared for evaluation: parentheses gone, start() and end() known, parts
 * that cannot change from step to step marked, equal parts found.
 */
#include "querier/promql/ast.h"

typedef struct Node Node;
struct Node {
    const PromqlExpr *expr; /* never PROMQL_PAREN */
    PromqlKind kind;        /* PROMQL_NUMBER also for start(), end(), range() and step() */
    PromqlType type;
    uint32_t id;   /* in depth-first order: equal subtrees count the same way */
    bool fixed;    /* same at every step: evaluated once, here */
    uint32_t uses; /* how often this, or a node whose `same` it is, is evaluated */
    Node *same;    /* the first node that is equal to this one, maybe itself */
    double number;
    bool has_at; /* selectors and subqueries: evaluated at at_ms, whatever the step */
    int64_t at_ms;
    int64_t offset_ms;
    int64_t range_ms;   /* matrix selectors and subqueries */
    bool stats_only;    /* selectors: only count and sum of histograms are needed above */
    bool in_order;      /* selectors: series are wanted in the order of their labels */
    bool presence_only; /* selectors: that there is a sample matters above, not its value */
    Node **args;        /* call: arguments; aggregate: inner, parameter; binary: left, right;
                         * unary, subquery, matrix: inner */
    size_t arg_count;
    uint64_t hash;
};

typedef struct Plan {
    Node *root;
    Node **nodes; /* by id */
    uint32_t *positions;
    uint32_t count;
    uint32_t capacity;
    Arena *arena;
} Plan;

typedef struct PlanTimes {
    int64_t start_ms, end_ms, step_ms;
} PlanTimes;

/* ERR_LIMIT: out of memory. */
MUST_USE ErrCode plan_make(Arena *arena, const PromqlExpr *expr, const PlanTimes *times, Plan *out,
                           Error *err);
/* The time that all selectors below read at, relative to the step or not, when it is one and the
 * same and nothing below looks at the step itself. */
typedef struct SelectorTime {
    bool uniform;
    bool has_at;
    int64_t at_ms;
    int64_t offset_ms;
} SelectorTime;
SelectorTime node_selector_time(const Node *node);

/* The function of a call node. */
static inline PromqlFunctionId node_function(const Node *node) {
    return node->expr->as.call.function->id;
}
static inline bool node_is_call(const Node *node, PromqlFunctionId id) {
    return node->kind == PROMQL_CALL && node_function(node) == id;
}
