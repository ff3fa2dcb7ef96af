#include "querier/promql/plan.h"

#include <string.h>

#include "common/base/hash.h"

/* Far beyond any sensible time, and sums of a few of them do not overflow. */
static const int64_t TIME_MAX = INT64_C(1) << 60;

static int64_t bounded(int64_t ms) {
    return MAX(MIN(ms, TIME_MAX), -TIME_MAX);
}

typedef struct Planner {
    Plan *plan;
    const PlanTimes *times;
    Node **table; /* of nodes seen, by hash */
    uint32_t table_mask;
    unsigned stats_above;   /* calls that need only a histogram's count and sum */
    unsigned buckets_above; /* what needs its buckets */
    unsigned limitk_above;  /* takes the first of what comes */
    bool presence_above;    /* directly: asks only whether there is a sample */
} Planner;

static bool register_node(Plan *plan, Node *node) {
    if (plan->count == plan->capacity) {
        uint32_t capacity = MAX(plan->capacity * 2, 64);
        Node **nodes = arena_grow(plan->arena, plan->nodes, plan->capacity * sizeof(Node *),
                                  capacity * sizeof(Node *));

        if (nodes == NULL) return false;
        plan->nodes = nodes;
        plan->capacity = capacity;
    }
    node->id = plan->count;
    plan->nodes[plan->count++] = node;
    return true;
}

static const PromqlExpr *unwrapped(const PromqlExpr *expr) {
    while (expr->kind == PROMQL_PAREN) expr = expr->as.paren.inner;
    return expr;
}

/* Functions of the query's own times are numbers. */
static bool fold(const Planner *planner, const PromqlExpr *expr, double *out) {
    const PlanTimes *times = planner->times;

    if (expr->kind == PROMQL_NUMBER) {
        *out = expr->as.number.value;
        return true;
    }
    if (expr->kind != PROMQL_CALL) return false;
    switch (expr->as.call.function->id) {
    case PROMQL_FN_START:
        *out = (double)times->start_ms / 1000;
        return true;
    case PROMQL_FN_END:
        *out = (double)times->end_ms / 1000;
        return true;
    case PROMQL_FN_RANGE:
        *out = (double)(times->end_ms - times->start_ms) / 1000;
        return true;
    case PROMQL_FN_STEP:
        *out = (double)times->step_ms / 1000;
        return true;
    default:
        return false;
    }
}

static void set_time(const Planner *planner, Node *node, const PromqlTime *time) {
    node->offset_ms = bounded(time->offset_ms);
    node->has_at = time->at != PROMQL_AT_NONE;
    if (time->at == PROMQL_AT_TIME) node->at_ms = bounded(time->at_ms);
    if (time->at == PROMQL_AT_START) node->at_ms = planner->times->start_ms;
    if (time->at == PROMQL_AT_END) node->at_ms = planner->times->end_ms;
}

static Node *make(Planner *planner, const PromqlExpr *expr);

static bool make_args(Planner *planner, Node *node, PromqlExpr *const *args, size_t count) {
    node->args = ARENA_ARRAY(planner->plan->arena, Node *, MAX(count, 1));
    if (node->args == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        if (args[i] == NULL) continue;
        node->args[i] = make(planner, args[i]);
        if (node->args[i] == NULL) return false;
        node->arg_count = i + 1;
    }
    return true;
}

/* Of histograms these look at count and sum at most. */
static bool needs_stats(const PromqlExpr *expr) {
    if (expr->kind != PROMQL_CALL) return false;
    switch (expr->as.call.function->id) {
    case PROMQL_FN_ABSENT:
    case PROMQL_FN_HISTOGRAM_AVG:
    case PROMQL_FN_HISTOGRAM_COUNT:
    case PROMQL_FN_HISTOGRAM_SUM:
    case PROMQL_FN_START_TIMESTAMP:
    case PROMQL_FN_TIMESTAMP:
        return true;
    default:
        return false;
    }
}

static bool operator_needs_buckets(PromqlOp op) {
    return op == PROMQL_TRIM_UPPER || op == PROMQL_TRIM_LOWER || op == PROMQL_EQUAL ||
           op == PROMQL_NOT_EQUAL;
}

/* A subquery does, as resets cannot be told from samples that are apart without buckets. */
static bool needs_buckets(const PromqlExpr *expr) {
    if (expr->kind == PROMQL_BINARY) return operator_needs_buckets(expr->as.binary.op);
    if (expr->kind == PROMQL_AGGREGATE) return expr->as.aggregate.op == PROMQL_COUNT_VALUES;
    if (expr->kind != PROMQL_CALL) return expr->kind == PROMQL_SUBQUERY;
    switch (expr->as.call.function->id) {
    case PROMQL_FN_CHANGES:
    case PROMQL_FN_HISTOGRAM_FRACTION:
    case PROMQL_FN_HISTOGRAM_QUANTILE:
    case PROMQL_FN_HISTOGRAM_QUANTILES:
    case PROMQL_FN_HISTOGRAM_STDDEV:
    case PROMQL_FN_HISTOGRAM_STDVAR:
        return true;
    default:
        return false;
    }
}

static bool make_children(Planner *planner, Node *node) {
    const PromqlExpr *expr = node->expr;

    switch (expr->kind) {
    case PROMQL_SELECTOR:
        node->presence_only =
            planner->presence_above && !expr->as.selector.anchored && !expr->as.selector.smoothed;
        set_time(planner, node, &expr->as.selector.time);
        node->stats_only = planner->stats_above > 0 && planner->buckets_above == 0;
        node->in_order = planner->limitk_above > 0;
        return true;
    case PROMQL_MATRIX:
        node->range_ms = bounded(expr->as.matrix.range_ms);
        if (!make_args(planner, node, &expr->as.matrix.inner, 1)) return false;
        node->has_at = node->args[0]->has_at;
        node->at_ms = node->args[0]->at_ms;
        node->offset_ms = node->args[0]->offset_ms;
        return true;
    case PROMQL_SUBQUERY:
        node->range_ms = bounded(expr->as.subquery.range_ms);
        set_time(planner, node, &expr->as.subquery.time);
        return make_args(planner, node, &expr->as.subquery.inner, 1);
    case PROMQL_CALL:
        return make_args(planner, node, expr->as.call.args, expr->as.call.arg_count);
    case PROMQL_AGGREGATE:
        return make_args(planner, node,
                         (PromqlExpr *[]){expr->as.aggregate.inner, expr->as.aggregate.param}, 2);
    case PROMQL_BINARY:
        return make_args(planner, node,
                         (PromqlExpr *[]){expr->as.binary.left, expr->as.binary.right}, 2);
    case PROMQL_UNARY:
        return make_args(planner, node, &expr->as.unary.inner, 1);
    default:
        return true;
    }
}

static bool strs_equal(const Str *a, size_t n, const Str *b, size_t m) {
    if (n != m) return false;
    for (size_t i = 0; i < n; i++)
        if (!str_equal(a[i], b[i])) return false;
    return true;
}

static bool same_number(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool matching_equal(const PromqlMatching *a, const PromqlMatching *b) {
    return a->cardinality == b->cardinality && a->on == b->on &&
           a->has_fill_left == b->has_fill_left && a->has_fill_right == b->has_fill_right &&
           (!a->has_fill_left || same_number(a->fill_left, b->fill_left)) &&
           (!a->has_fill_right || same_number(a->fill_right, b->fill_right)) &&
           strs_equal(a->labels, a->label_count, b->labels, b->label_count) &&
           strs_equal(a->include, a->include_count, b->include, b->include_count);
}

static bool selectors_equal(const PromqlExpr *a, const PromqlExpr *b) {
    if (a->as.selector.matcher_count != b->as.selector.matcher_count ||
        a->as.selector.anchored != b->as.selector.anchored ||
        a->as.selector.smoothed != b->as.selector.smoothed)
        return false;
    for (size_t i = 0; i < a->as.selector.matcher_count; i++) {
        const Matcher *m = &a->as.selector.matchers[i], *n = &b->as.selector.matchers[i];

        if (m->op != n->op || !str_equal(m->name, n->name) || !str_equal(m->value, n->value))
            return false;
    }
    return true;
}

/* Equal but for what is below; children are compared as nodes. */
static bool heads_equal(const Node *a, const Node *b) {
    const PromqlExpr *x = a->expr, *y = b->expr;

    if (a->kind != b->kind || a->has_at != b->has_at || (a->has_at && a->at_ms != b->at_ms) ||
        a->offset_ms != b->offset_ms || a->range_ms != b->range_ms ||
        a->stats_only != b->stats_only || a->in_order != b->in_order)
        return false;
    switch (a->kind) {
    case PROMQL_NUMBER:
        return same_number(a->number, b->number);
    case PROMQL_STRING:
        return str_equal(x->as.string.value, y->as.string.value);
    case PROMQL_SELECTOR:
        return selectors_equal(x, y);
    case PROMQL_SUBQUERY:
        return x->as.subquery.step_ms == y->as.subquery.step_ms;
    case PROMQL_CALL:
        return x->as.call.function == y->as.call.function;
    case PROMQL_AGGREGATE:
        return x->as.aggregate.op == y->as.aggregate.op &&
               x->as.aggregate.without == y->as.aggregate.without &&
               strs_equal(x->as.aggregate.grouping, x->as.aggregate.grouping_count,
                          y->as.aggregate.grouping, y->as.aggregate.grouping_count);
    case PROMQL_BINARY:
        return x->as.binary.op == y->as.binary.op &&
               x->as.binary.returns_bool == y->as.binary.returns_bool &&
               matching_equal(&x->as.binary.matching, &y->as.binary.matching);
    default:
        return true;
    }
}

/* Children have their `same` already: two nodes are equal when their heads are and their children
 * are the same. */
static bool nodes_equal(const Node *a, const Node *b) {
    if (a->hash != b->hash || a->arg_count != b->arg_count || !heads_equal(a, b)) return false;
    for (size_t i = 0; i < a->arg_count; i++) {
        if ((a->args[i] == NULL) != (b->args[i] == NULL)) return false;
        if (a->args[i] != NULL && a->args[i]->same != b->args[i]->same) return false;
    }
    return true;
}

static uint64_t hash_node(const Node *node) {
    uint64_t parts[8] = {(uint64_t)node->kind, (uint64_t)node->offset_ms, (uint64_t)node->range_ms,
                         node->has_at ? (uint64_t)node->at_ms + 1 : 0, node->arg_count};
    uint64_t hash;

    if (node->kind == PROMQL_NUMBER) memcpy(&parts[5], &node->number, sizeof(double));
    if (node->kind == PROMQL_STRING) parts[5] = hash_str(node->expr->as.string.value);
    if (node->kind == PROMQL_CALL) parts[5] = (uint64_t)node_function(node);
    if (node->kind == PROMQL_AGGREGATE) parts[5] = (uint64_t)node->expr->as.aggregate.op;
    if (node->kind == PROMQL_BINARY) parts[5] = (uint64_t)node->expr->as.binary.op;
    if (node->kind == PROMQL_SELECTOR)
        for (size_t i = 0; i < node->expr->as.selector.matcher_count; i++)
            parts[6] = parts[6] * 31 + hash_str(node->expr->as.selector.matchers[i].value);
    hash = hash_bytes(parts, sizeof parts);
    for (size_t i = 0; i < node->arg_count; i++)
        if (node->args[i] != NULL) hash = hash * 31 + node->args[i]->hash;
    return hash;
}

static bool table_grow(Planner *planner) {
    uint32_t size = (planner->table_mask + 1) * 2;
    Node **table;

    if (planner->plan->count * 2 <= planner->table_mask) return true;
    table = ARENA_ARRAY(planner->plan->arena, Node *, size);
    if (table == NULL) return false;
    for (uint32_t i = 0; i <= planner->table_mask; i++) {
        Node *node = planner->table == NULL ? NULL : planner->table[i];
        uint32_t at;

        if (node == NULL) continue;
        at = (uint32_t)node->hash & (size - 1);
        while (table[at] != NULL) at = (at + 1) & (size - 1);
        table[at] = node;
    }
    planner->table = table;
    planner->table_mask = size - 1;
    return true;
}

static bool find_same(Planner *planner, Node *node) {
    uint32_t at;

    if (!table_grow(planner)) return false;
    at = (uint32_t)node->hash & planner->table_mask;
    while (planner->table[at] != NULL && !nodes_equal(planner->table[at], node))
        at = (at + 1) & planner->table_mask;
    if (planner->table[at] == NULL) planner->table[at] = node;
    node->same = planner->table[at];
    node->same->presence_only &= node->presence_only;
    return true;
}

/* What only asks whether its argument has a sample. */
static bool needs_presence(const PromqlExpr *expr) {
    if (expr->kind == PROMQL_AGGREGATE)
        return expr->as.aggregate.op == PROMQL_COUNT || expr->as.aggregate.op == PROMQL_GROUP;
    if (expr->kind != PROMQL_CALL) return false;
    switch (expr->as.call.function->id) {
    case PROMQL_FN_ABSENT:
    case PROMQL_FN_ABSENT_OVER_TIME:
    case PROMQL_FN_COUNT_OVER_TIME:
    case PROMQL_FN_PRESENT_OVER_TIME:
        return true;
    default:
        return false;
    }
}

static Node *make(Planner *planner, const PromqlExpr *expr) {
    Node *node = ARENA_NEW(planner->plan->arena, Node);
    bool made, limitk, above = planner->presence_above;

    expr = unwrapped(expr);
    if (node == NULL || !register_node(planner->plan, node)) return NULL;
    node->expr = expr;
    node->kind = expr->kind;
    node->type = expr->type;
    if (fold(planner, expr, &node->number)) {
        node->kind = PROMQL_NUMBER;
    } else {
        limitk = expr->kind == PROMQL_AGGREGATE && expr->as.aggregate.op == PROMQL_LIMITK;
        planner->limitk_above += limitk;
        planner->stats_above += needs_stats(expr);
        planner->buckets_above += needs_buckets(expr);
        /* Of what is directly below, a range's selector included. */
        if (expr->kind != PROMQL_SELECTOR && expr->kind != PROMQL_MATRIX)
            planner->presence_above = needs_presence(expr);
        made = make_children(planner, node);
        planner->presence_above = above;
        planner->limitk_above -= limitk;
        planner->stats_above -= needs_stats(expr);
        planner->buckets_above -= needs_buckets(expr);
        if (!made) return NULL;
    }
    node->hash = hash_node(node);
    return find_same(planner, node) ? node : NULL;
}

/* Functions that look at the time of the step, or at that of their argument's samples. */
static bool is_time_dependent(PromqlFunctionId id) {
    switch (id) {
    case PROMQL_FN_DAYS_IN_MONTH:
    case PROMQL_FN_DAY_OF_MONTH:
    case PROMQL_FN_DAY_OF_WEEK:
    case PROMQL_FN_DAY_OF_YEAR:
    case PROMQL_FN_HOUR:
    case PROMQL_FN_MINUTE:
    case PROMQL_FN_MONTH:
    case PROMQL_FN_YEAR:
    case PROMQL_FN_PREDICT_LINEAR:
    case PROMQL_FN_TIME:
    case PROMQL_FN_TIMESTAMP:
        return true;
    default:
        return false;
    }
}

/* ---- the time of selectors ---- */

typedef struct TimeSearch {
    SelectorTime first;
    bool found;
    bool mixed; /* another time, or a vector without a selector */
} TimeSearch;

/* Subqueries around a selector that is not pinned shift it, up to one that is pinned itself. */
typedef struct Around {
    const struct Around *outer;
    const Node *subquery;
} Around;

static void search_selector(TimeSearch *search, const Node *node, const Around *around) {
    SelectorTime time = {.has_at = node->has_at,
                         .at_ms = node->has_at ? node->at_ms : 0,
                         .offset_ms = node->offset_ms};
    int64_t at_ms;

    for (; !time.has_at && around != NULL; around = around->outer) {
        time.offset_ms += around->subquery->offset_ms;
        time.has_at = around->subquery->has_at;
        if (time.has_at) time.at_ms = around->subquery->at_ms;
    }
    /* A pinned time is one time, however it is written. */
    if (time.has_at && !__builtin_sub_overflow(time.at_ms, time.offset_ms, &at_ms)) {
        time.at_ms = at_ms;
        time.offset_ms = 0;
    }
    if (!search->found)
        search->first = time;
    else if (search->first.has_at != time.has_at || search->first.at_ms != time.at_ms ||
             search->first.offset_ms != time.offset_ms)
        search->mixed = true;
    search->found = true;
}

/* Whether there is a selector below. */
static bool search_time(TimeSearch *search, const Node *node, const Around *around) {
    Around here = {around, node};
    size_t count = node->arg_count;
    bool any = false;

    if (node->type != PROMQL_TYPE_VECTOR && node->type != PROMQL_TYPE_MATRIX) return false;
    if (node->kind == PROMQL_SELECTOR) {
        search_selector(search, node, around);
        return true;
    }
    if (node_is_call(node, PROMQL_FN_INFO)) count = 1; /* the second argument is not evaluated */
    for (size_t i = 0; i < count; i++)
        if (node->args[i] != NULL)
            any |=
                search_time(search, node->args[i], node->kind == PROMQL_SUBQUERY ? &here : around);
    search->mixed |= !any;
    return any;
}

SelectorTime node_selector_time(const Node *node) {
    TimeSearch search = {0};

    search_time(&search, node, NULL);
    search.first.uniform = search.found && !search.mixed;
    return search.first;
}

/* ---- what is the same at each step ---- */

typedef struct Invariance {
    bool invariant;
    bool fixable; /* worth evaluating once by itself: range selectors and literals are not */
} Invariance;

static Invariance mark_fixed(Node *node);

static Invariance mark_call(Node *node) {
    PromqlFunctionId id = node_function(node);
    bool invariant = !is_time_dependent(id);
    /* timestamp(x @ t) is the sample's own time, so it may be fixed after all. */
    bool timestamp_of_fixed = id == PROMQL_FN_TIMESTAMP;

    for (size_t i = 0; i < node->arg_count; i++) {
        Invariance arg = mark_fixed(node->args[i]);

        if (id == PROMQL_FN_INFO && i == 1) continue; /* a selector that is not evaluated */
        invariant = invariant && arg.invariant;
        if (!arg.invariant || node->args[i]->kind != PROMQL_SELECTOR) timestamp_of_fixed = false;
        node->args[i]->fixed = arg.fixable;
    }
    if (id == PROMQL_FN_INFO) invariant = invariant && node_selector_time(node->args[0]).uniform;
    if (!invariant && !timestamp_of_fixed) return (Invariance){false, false};
    for (size_t i = 0; i < node->arg_count; i++) node->args[i]->fixed = false;
    return (Invariance){true, true};
}

static Invariance mark_fixed(Node *node) {
    Invariance left, right;

    switch (node->kind) {
    case PROMQL_SELECTOR:
        return (Invariance){node->has_at, node->has_at};
    case PROMQL_MATRIX:
        return (Invariance){node->has_at, false};
    case PROMQL_SUBQUERY:
        left = mark_fixed(node->args[0]);
        node->args[0]->fixed = left.invariant;
        return (Invariance){node->has_at, false};
    case PROMQL_CALL:
        return mark_call(node);
    case PROMQL_AGGREGATE:
        return mark_fixed(node->args[0]);
    case PROMQL_UNARY:
        return mark_fixed(node->args[0]);
    case PROMQL_BINARY:
        left = mark_fixed(node->args[0]);
        right = mark_fixed(node->args[1]);
        if (left.invariant && right.invariant) return (Invariance){true, true};
        node->args[0]->fixed = left.fixable;
        node->args[1]->fixed = right.fixable;
        return (Invariance){false, false};
    default:
        return (Invariance){true, false};
    }
}

/* What is below an equal part is evaluated with it, once. */
static void count_uses(Node *node) {
    if (node->same->uses++ > 0) return;
    for (size_t i = 0; i < node->same->arg_count; i++)
        if (node->same->args[i] != NULL) count_uses(node->same->args[i]);
}

ErrCode plan_make(Arena *arena, const PromqlExpr *expr, const PlanTimes *times, Plan *out,
                  Error *err) {
    Plan plan = {.arena = arena};
    Planner planner = {.plan = &plan, .times = times};

    plan.root = make(&planner, expr);
    if (plan.root != NULL) plan.positions = ARENA_ARRAY(arena, uint32_t, plan.count);
    if (plan.positions == NULL)
        return error_set(err, ERR_LIMIT, "planning: the query's memory limit is reached");
    /* What is said about a subquery has no place of its own, in Prometheus neither. */
    for (uint32_t i = 0; i < plan.count; i++)
        plan.positions[i] =
            plan.nodes[i]->kind == PROMQL_SUBQUERY ? 0 : plan.nodes[i]->expr->range.start;
    for (uint32_t i = 0; i < plan.count; i++)
        plan.nodes[i]->presence_only = plan.nodes[i]->same->presence_only;
    count_uses(plan.root);
    plan.root->fixed = mark_fixed(plan.root).fixable;
    *out = plan;
    return ERR_OK;
}
