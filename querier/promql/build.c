/*
 * build.c: nodes of the tree, as the grammar finds them. After the first failure every builder
 * returns NULL and changes nothing, and the grammar stops.
 */
#include "querier/promql/build.h"

#include <math.h>
#include <stdio.h>

#include "common/base/rune.h"
#include "querier/exec/quoted.h"
#include "querier/promql/scan.h"

/* Deepest level below a node: kept beside the tree's own fields so that no pass need count. */
typedef struct Node {
    PromqlExpr expr;
    uint32_t depth;
} Node;

static uint32_t depth_of(const PromqlExpr *expr) {
    return expr == NULL ? 0 : ((const Node *)expr)->depth;
}

static PromqlExpr *new_node(PromqlParser *parser, PromqlKind kind, PromqlRange range,
                            uint32_t child_depth) {
    Node *node;

    if (promql_failed(parser)) return NULL;
    if (child_depth >= PROMQL_DEPTH_MAX) {
        promql_fail(parser, ERR_INVALID, range, "the expression nests deeper than %d levels",
                    PROMQL_DEPTH_MAX);
        return NULL;
    }
    node = ARENA_NEW(parser->arena, Node);
    if (node == NULL) {
        promql_fail(parser, ERR_LIMIT, range, "the query's memory limit is reached");
        return NULL;
    }
    node->expr.kind = kind;
    node->expr.range = range;
    node->depth = child_depth + 1;
    return &node->expr;
}

/* ---- lists ---- */

/* Room for one more element; false after failing the parser. */
static bool list_grow(PromqlParser *parser, void **items, size_t count, size_t *capacity,
                      size_t element) {
    size_t more = MAX(*capacity * 2, 4);
    void *grown;

    if (promql_failed(parser)) return false;
    if (count < *capacity) return true;
    grown = arena_grow(parser->arena, *items, *capacity * element, more * element);
    if (grown == NULL) {
        promql_fail(parser, ERR_LIMIT, parser->last.range, "the query's memory limit is reached");
        return false;
    }
    *items = grown;
    *capacity = more;
    return true;
}

static void *new_list(PromqlParser *parser, size_t bytes) {
    void *list = promql_failed(parser) ? NULL : arena_zalloc(parser->arena, bytes);

    if (list == NULL)
        promql_fail(parser, ERR_LIMIT, parser->last.range, "the query's memory limit is reached");
    return list;
}

PromqlNames *promql_names_add(PromqlParser *parser, PromqlNames *names, Str name) {
    if (names == NULL) names = new_list(parser, sizeof *names);
    if (names == NULL || !list_grow(parser, (void **)&names->items, names->count, &names->capacity,
                                    sizeof *names->items))
        return NULL;
    names->items[names->count++] = name;
    return names;
}

PromqlArgs *promql_args_new(PromqlParser *parser, PromqlItem close) {
    PromqlArgs *args = new_list(parser, sizeof *args);

    if (args != NULL) args->end = close.range.end;
    return args;
}

PromqlArgs *promql_args_add(PromqlParser *parser, PromqlArgs *args, PromqlExpr *arg) {
    if (args == NULL) args = new_list(parser, sizeof *args);
    if (args == NULL || !list_grow(parser, (void **)&args->items, args->count, &args->capacity,
                                   sizeof(PromqlExpr *)))
        return NULL;
    args->items[args->count++] = arg;
    return args;
}

PromqlMatchers *promql_matchers_add(PromqlParser *parser, PromqlMatchers *matchers, Matcher one) {
    if (matchers == NULL) matchers = new_list(parser, sizeof *matchers);
    if (matchers == NULL || !list_grow(parser, (void **)&matchers->items, matchers->count,
                                       &matchers->capacity, sizeof *matchers->items))
        return NULL;
    matchers->items[matchers->count++] = one;
    return matchers;
}

PromqlModifier *promql_new_modifier(PromqlParser *parser, bool returns_bool) {
    PromqlModifier *modifier = new_list(parser, sizeof *modifier);

    if (modifier != NULL) modifier->returns_bool = returns_bool;
    return modifier;
}

PromqlGrouping *promql_new_grouping(PromqlParser *parser, PromqlNames *names, bool without) {
    PromqlGrouping *grouping = new_list(parser, sizeof *grouping);

    if (grouping != NULL) *grouping = (PromqlGrouping){names, without};
    return grouping;
}

/* ---- literals ---- */

PromqlExpr *promql_new_number(PromqlParser *parser, PromqlItem item) {
    PromqlExpr *expr = new_node(parser, PROMQL_NUMBER, item.range, 0);
    const char *wrong;

    if (expr == NULL) return NULL;
    wrong = promql_parse_number(item.text, &expr->as.number.value);
    if (wrong == NULL) return expr;
    promql_fail(parser, ERR_INVALID, parser->last.range,
                "error parsing number: strconv.ParseFloat: parsing \"" STR_FMT "\": %s",
                STR_ARG(str_slice(item.text, 0, 350)), wrong);
    return NULL;
}

PromqlExpr *promql_new_duration_literal(PromqlParser *parser, PromqlItem item) {
    PromqlExpr *expr = new_node(parser, PROMQL_NUMBER, item.range, 0);
    Error err = {0};
    int64_t ms;

    if (expr == NULL) return NULL;
    if (promql_parse_duration(item.text, &ms, &err) != ERR_OK) {
        promql_fail(parser, ERR_INVALID, item.range, "%s", err.text);
        return NULL;
    }
    expr->as.number.value = (double)(ms / 1000) + (double)(ms % 1000) / 1000;
    expr->as.number.is_duration = true;
    return expr;
}

Str promql_unquote(PromqlParser *parser, PromqlItem item) {
    Str text = {0};

    if (!promql_failed(parser) && !quoted_unquote(parser->arena, item.text, &text))
        promql_fail(parser, ERR_LIMIT, item.range, "the query's memory limit is reached");
    return text;
}

PromqlExpr *promql_new_string(PromqlParser *parser, PromqlItem item) {
    PromqlExpr *expr = new_node(parser, PROMQL_STRING, item.range, 0);

    if (expr != NULL) expr->as.string.value = promql_unquote(parser, item);
    return expr;
}

/* ---- operators, calls, aggregations ---- */

PromqlExpr *promql_new_paren(PromqlParser *parser, PromqlItem open, PromqlExpr *inner,
                             PromqlItem close) {
    PromqlExpr *expr = new_node(parser, PROMQL_PAREN,
                                (PromqlRange){open.range.start, close.range.end}, depth_of(inner));

    if (expr != NULL) expr->as.paren.inner = inner;
    return expr;
}

PromqlExpr *promql_new_unary(PromqlParser *parser, PromqlItem op, PromqlExpr *inner) {
    bool minus = op.text.ptr[0] == '-';
    PromqlExpr *expr;

    if (promql_failed(parser)) return NULL;
    if (inner->kind == PROMQL_NUMBER) {
        if (minus) inner->as.number.value = -inner->as.number.value;
        inner->range.start = op.range.start;
        return inner;
    }
    expr = new_node(parser, PROMQL_UNARY, (PromqlRange){op.range.start, inner->range.end},
                    depth_of(inner));
    if (expr == NULL) return NULL;
    expr->as.unary.op = minus ? PROMQL_SUB : PROMQL_ADD;
    expr->as.unary.inner = inner;
    return expr;
}

PromqlExpr *promql_new_binary(PromqlParser *parser, PromqlOp op, PromqlExpr *left,
                              PromqlModifier *modifier, PromqlExpr *right) {
    PromqlExpr *expr;

    if (promql_failed(parser)) return NULL;
    expr = new_node(parser, PROMQL_BINARY, (PromqlRange){left->range.start, right->range.end},
                    MAX(depth_of(left), depth_of(right)));
    if (expr == NULL) return NULL;
    if (parser->options.experimental_off &&
        (modifier->matching.has_fill_left || modifier->matching.has_fill_right)) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "binop fill modifiers are experimental and not enabled");
        return NULL;
    }
    expr->as.binary.op = op;
    expr->as.binary.left = left;
    expr->as.binary.right = right;
    expr->as.binary.matching = modifier->matching;
    expr->as.binary.returns_bool = modifier->returns_bool;
    return expr;
}

static uint32_t args_depth(const PromqlArgs *args) {
    uint32_t depth = 0;

    for (size_t i = 0; i < args->count; i++) depth = MAX(depth, depth_of(args->items[i]));
    return depth;
}

PromqlExpr *promql_new_call(PromqlParser *parser, PromqlItem name, PromqlArgs *args) {
    const PromqlFunction *function = promql_function_find(name.text);
    PromqlExpr *expr =
        new_node(parser, PROMQL_CALL, (PromqlRange){name.range.start, args->end}, args_depth(args));

    if (expr == NULL) return NULL;
    if (function == NULL) {
        promql_fail(parser, ERR_INVALID, name.range, "unknown function with name \"" STR_FMT "\"",
                    STR_ARG(str_slice(name.text, 0, 300)));
        return NULL;
    }
    if (function->experimental && parser->options.experimental_off) {
        promql_fail(parser, ERR_INVALID, name.range, "function \"%s\" is not enabled",
                    function->name);
        return NULL;
    }
    expr->as.call.function = function;
    expr->as.call.args = args->items;
    expr->as.call.arg_count = args->count;
    return expr;
}

static bool has_param(PromqlAggregation op) {
    return op >= PROMQL_TOPK;
}

PromqlExpr *promql_new_aggregate(PromqlParser *parser, PromqlItem name, PromqlGrouping *grouping,
                                 PromqlArgs *args, uint32_t end) {
    PromqlExpr *expr =
        new_node(parser, PROMQL_AGGREGATE, (PromqlRange){name.range.start, end}, args_depth(args));
    PromqlAggregation op = PROMQL_SUM;
    size_t wanted, count = args->count;

    if (expr == NULL) return NULL;
    while (op < PROMQL_LIMIT_RATIO &&
           !str_equal_nocase(name.text, str_of(promql_aggregation_name(op))))
        op++;
    if (count == 0) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "no arguments for aggregate expression provided");
        return NULL;
    }
    if (op >= PROMQL_LIMITK && parser->options.experimental_off) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "%s() is experimental and must be enabled with "
                    "query.experimental_functions",
                    promql_aggregation_name(op));
        return NULL;
    }
    wanted = has_param(op) ? 2 : 1;
    if (count != wanted) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "wrong number of arguments for aggregate expression provided, expected %zu, "
                    "got %zu",
                    wanted, count);
        return NULL;
    }
    expr->as.aggregate.op = op;
    expr->as.aggregate.param = has_param(op) ? args->items[0] : NULL;
    expr->as.aggregate.inner = args->items[wanted - 1];
    if (grouping != NULL) {
        expr->as.aggregate.without = grouping->without;
        if (grouping->names != NULL) {
            expr->as.aggregate.grouping = grouping->names->items;
            expr->as.aggregate.grouping_count = grouping->names->count;
        }
    }
    return expr;
}

/* ---- selectors ---- */

void promql_check_label(PromqlParser *parser, PromqlItem label, bool quoted) {
    /* Without dots and foreign letters, a colon is no other name's business, and always passed. */
    bool whole = quoted || !parser->options.unquoted_names ||
                 promql_scan_name(label.text, false, true) == label.text.len;
    CLEANUP_IN_PLACE(buf_done) Buf name = {0};

    if (promql_failed(parser) || (label.text.len > 0 && whole && str_is_utf8(label.text))) return;
    buf_init(&name, 512);
    rune_quote(&name, str_slice(label.text, 0, 80));
    promql_fail(parser, ERR_INVALID, label.range, "invalid label name for grouping: " STR_FMT,
                STR_ARG(buf_str(&name)));
}

static bool is_regex(MatchOp op) {
    return op == MATCH_REGEX || op == MATCH_NOT_REGEX;
}

/* An expression that the query had already; dashboards repeat theirs in every selector. */
static const Matcher *find_regex(const PromqlParser *parser, Str value) {
    for (size_t i = 0; parser->regexes != NULL && i < parser->regexes->count; i++)
        if (str_equal(parser->regexes->items[i].value, value)) return &parser->regexes->items[i];
    return NULL;
}

/* What automata compute is not in the arena's budget, so that each gets the less the more there
 * are: all of a query's together stay below 200 MiB. */
static size_t regex_bytes_max(size_t before) {
    if (before < 8) return MIB(8);
    return before < 72 ? MIB(1) : KIB(128);
}

static Matcher make_regex(PromqlParser *parser, PromqlRange range, MatchOp op, Str name,
                          Str value) {
    size_t count = parser->regexes == NULL ? 0 : parser->regexes->count;
    const Matcher *known = find_regex(parser, value);
    Matcher matcher = {0};
    Error err = {0};
    ErrCode code;

    if (known != NULL) return matcher_like(known, op, name);
    if (count == PROMQL_REGEXES_MAX || value.len > PROMQL_REGEX_BYTES_MAX) {
        promql_fail(parser, ERR_INVALID, range,
                    "a query may have %d different regular expressions of %d bytes each",
                    PROMQL_REGEXES_MAX, PROMQL_REGEX_BYTES_MAX);
        return matcher;
    }
    code =
        matcher_new_bounded(parser->arena, op, name, value, regex_bytes_max(count), &matcher, &err);
    if (code != ERR_OK)
        promql_fail(parser, code, range, "%s", err.text);
    else
        parser->regexes = promql_matchers_add(parser, parser->regexes, matcher);
    return matcher;
}

static Matcher make_matcher(PromqlParser *parser, PromqlRange range, MatchOp op, Str name,
                            Str value) {
    Matcher matcher = {0};
    Error err = {0};
    ErrCode code;

    if (promql_failed(parser)) return matcher;
    if (is_regex(op)) return make_regex(parser, range, op, name, value);
    code = matcher_new(parser->arena, op, name, value, &matcher, &err);
    if (code != ERR_OK) promql_fail(parser, code, range, "%s", err.text);
    return matcher;
}

Matcher promql_new_matcher(PromqlParser *parser, PromqlItem name, MatchOp op, PromqlItem value) {
    PromqlRange range = {name.range.start, value.range.end};

    return make_matcher(parser, range, op, name.text, promql_unquote(parser, value));
}

Matcher promql_new_name_matcher(PromqlParser *parser, PromqlItem name) {
    return make_matcher(parser, name.range, MATCH_EQUAL, STR("__name__"), name.text);
}

PromqlExpr *promql_new_selector(PromqlParser *parser, const PromqlItem *name,
                                PromqlMatchers *matchers) {
    PromqlRange range = name != NULL ? name->range : matchers->range;
    PromqlExpr *expr = new_node(parser, PROMQL_SELECTOR, range, 0);

    if (expr == NULL) return NULL;
    if (matchers != NULL) expr->range.end = matchers->range.end;
    if (name != NULL) {
        expr->as.selector.name = name->text;
        matchers = promql_matchers_add(
            parser, matchers,
            make_matcher(parser, name->range, MATCH_EQUAL, STR("__name__"), name->text));
        if (matchers == NULL) return NULL;
    }
    expr->as.selector.matchers = matchers->items;
    expr->as.selector.matcher_count = matchers->count;
    return expr;
}

static void set_duration(PromqlExpr *duration, int64_t *ms, PromqlExpr **computed) {
    if (duration->kind != PROMQL_NUMBER)
        *computed = duration;
    else if (!promql_seconds_to_ms(duration->as.number.value, ms))
        assert(false); /* promql_check_duration() looked */
}

PromqlExpr *promql_new_matrix(PromqlParser *parser, PromqlExpr *inner, PromqlItem open,
                              PromqlExpr *range, PromqlItem close) {
    PromqlRange brackets = {open.range.start, close.range.end};
    const char *wrong = NULL;
    PromqlExpr *expr;

    if (promql_failed(parser)) return NULL;
    if (inner->kind != PROMQL_SELECTOR)
        wrong = "ranges only allowed for vector selectors";
    else if (inner->as.selector.time.offset_ms != 0 || inner->as.selector.time.offset_expr != NULL)
        wrong = "no offset modifiers allowed before range";
    else if (inner->as.selector.time.at != PROMQL_AT_NONE)
        wrong = "no @ modifiers allowed before range";
    if (wrong != NULL) {
        promql_fail(parser, ERR_INVALID, brackets, "%s", wrong);
        return NULL;
    }
    expr = new_node(parser, PROMQL_MATRIX, (PromqlRange){inner->range.start, close.range.end},
                    depth_of(inner));
    if (expr == NULL) return NULL;
    expr->as.matrix.inner = inner;
    set_duration(range, &expr->as.matrix.range_ms, &expr->as.matrix.range_expr);
    return expr;
}

PromqlExpr *promql_new_subquery(PromqlParser *parser, PromqlExpr *inner, PromqlExpr *range,
                                PromqlExpr *step, PromqlItem close) {
    PromqlExpr *expr;

    if (promql_failed(parser)) return NULL;
    expr = new_node(parser, PROMQL_SUBQUERY, (PromqlRange){inner->range.start, close.range.end},
                    depth_of(inner));
    if (expr == NULL) return NULL;
    expr->as.subquery.inner = inner;
    set_duration(range, &expr->as.subquery.range_ms, &expr->as.subquery.range_expr);
    if (step != NULL) set_duration(step, &expr->as.subquery.step_ms, &expr->as.subquery.step_expr);
    return expr;
}

/* The offset and @ of what they may stand behind; NULL for anything else. */
static PromqlTime *time_of(PromqlExpr *expr) {
    switch (expr->kind) {
    case PROMQL_SELECTOR:
        return &expr->as.selector.time;
    case PROMQL_MATRIX:
        return &expr->as.matrix.inner->as.selector.time;
    case PROMQL_SUBQUERY:
        return &expr->as.subquery.time;
    default:
        return NULL;
    }
}

void promql_set_offset(PromqlParser *parser, PromqlExpr *expr, PromqlExpr *offset) {
    PromqlTime *time;

    if (promql_failed(parser)) return;
    time = time_of(expr);
    if (time == NULL) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "offset modifier must be preceded by an instant vector selector or range "
                    "vector selector or a subquery");
    } else if (time->offset_ms != 0 || time->offset_expr != NULL) {
        promql_fail(parser, ERR_INVALID, expr->range, "offset may not be set multiple times");
    } else {
        set_duration(offset, &time->offset_ms, &time->offset_expr);
        expr->range.end = MAX(expr->range.end, offset->range.end);
    }
}

/* %f, but no number is written as Go does. */
static const char *format_seconds(double seconds, char *text, size_t size) {
    if (isnan(seconds)) return "NaN";
    if (isinf(seconds)) return seconds > 0 ? "+Inf" : "-Inf";
    snprintf(text, size, "%f", seconds);
    return text;
}

void promql_set_at(PromqlParser *parser, PromqlExpr *expr, PromqlAt at, double seconds) {
    PromqlTime *time;
    char text[350];

    if (promql_failed(parser)) return;
    time = time_of(expr);
    if (at == PROMQL_AT_TIME && !(seconds > -9.2e15 && seconds < 9.2e15)) {
        promql_fail(parser, ERR_INVALID, expr->range, "timestamp out of bounds for @ modifier: %s",
                    format_seconds(seconds, text, sizeof text));
    } else if (time == NULL) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "@ modifier must be preceded by an instant vector selector or range vector "
                    "selector or a subquery");
    } else if (time->at != PROMQL_AT_NONE) {
        promql_fail(parser, ERR_INVALID, expr->range,
                    "@ <timestamp> may not be set multiple times");
    } else {
        time->at = at;
        time->at_ms = (int64_t)llround(seconds * 1000);
        expr->range.end = MAX(expr->range.end, parser->last_closing);
    }
}

void promql_set_extended(PromqlParser *parser, PromqlExpr *expr, bool anchored) {
    const char *name = anchored ? "anchored" : "smoothed";
    PromqlExpr *selector = expr;

    if (promql_failed(parser)) return;
    if (expr->kind == PROMQL_MATRIX) selector = expr->as.matrix.inner;
    if (expr->kind == PROMQL_SUBQUERY) {
        promql_fail(parser, ERR_INVALID, expr->range, "%s modifier is not supported for subqueries",
                    name);
    } else if (selector->kind != PROMQL_SELECTOR) {
        promql_fail(parser, ERR_INVALID, expr->range, "%s modifier not implemented", name);
    } else {
        selector->as.selector.anchored |= anchored;
        selector->as.selector.smoothed |= !anchored;
        if (selector->as.selector.anchored && selector->as.selector.smoothed)
            promql_fail(parser, ERR_INVALID, expr->range,
                        "anchored and smoothed modifiers cannot be used together");
    }
}

/* ---- durations ---- */

PromqlExpr *promql_check_duration(PromqlParser *parser, PromqlExpr *number, PromqlRange where) {
    int64_t ms;

    if (promql_failed(parser)) return NULL;
    if (promql_seconds_to_ms(number->as.number.value, &ms)) return number;
    promql_fail(parser, ERR_INVALID, where, "duration out of range");
    return NULL;
}

static PromqlExpr *new_duration(PromqlParser *parser, PromqlOp op, PromqlExpr *left,
                                PromqlExpr *right, PromqlRange range) {
    PromqlExpr *expr =
        new_node(parser, PROMQL_DURATION, range, MAX(depth_of(left), depth_of(right)));

    if (expr == NULL) return NULL;
    expr->as.duration.op = op;
    expr->as.duration.left = left;
    expr->as.duration.right = right;
    return expr;
}

PromqlExpr *promql_new_step(PromqlParser *parser, PromqlOp op, PromqlItem name, PromqlItem close) {
    return new_duration(parser, op, NULL, NULL, (PromqlRange){name.range.start, close.range.end});
}

PromqlExpr *promql_new_extremum(PromqlParser *parser, PromqlItem name, PromqlExpr *left,
                                PromqlExpr *right, PromqlItem close) {
    bool is_max = str_equal_nocase(name.text, STR("max_of"));

    return new_duration(parser, is_max ? PROMQL_DURATION_MAX : PROMQL_DURATION_MIN, left, right,
                        (PromqlRange){name.range.start, close.range.end});
}

PromqlExpr *promql_new_duration(PromqlParser *parser, PromqlOp op, PromqlExpr *left,
                                PromqlItem op_item, PromqlExpr *right) {
    bool by_zero = (op == PROMQL_DIV || op == PROMQL_MOD) && right->kind == PROMQL_NUMBER &&
                   right->as.number.value == 0;

    if (by_zero) {
        promql_fail(parser, ERR_INVALID, op_item.range,
                    op == PROMQL_DIV ? "division by zero" : "modulo by zero");
        return NULL;
    }
    return new_duration(parser, op, left, right,
                        (PromqlRange){left->range.start, right->range.end});
}

PromqlExpr *promql_new_signed(PromqlParser *parser, PromqlItem op, PromqlExpr *inner) {
    if (promql_failed(parser)) return NULL;
    return new_duration(parser, op.text.ptr[0] == '-' ? PROMQL_SUB : PROMQL_ADD, NULL, inner,
                        (PromqlRange){op.range.start, inner->range.end});
}

PromqlExpr *promql_sign_duration(PromqlParser *parser, PromqlItem op, PromqlExpr *inner) {
    bool minus = op.text.ptr[0] == '-';

    if (promql_failed(parser)) return NULL;
    if (inner->kind != PROMQL_NUMBER) return minus ? promql_new_signed(parser, op, inner) : inner;
    if (minus) inner->as.number.value = -inner->as.number.value;
    inner->range.start = op.range.start;
    return promql_check_duration(parser, inner, op.range);
}

/* A number has no place for its parentheses: a plus without effect keeps them. */
PromqlExpr *promql_wrap_duration(PromqlParser *parser, PromqlItem open, PromqlExpr *inner,
                                 PromqlItem close) {
    PromqlRange range = {open.range.start, close.range.end};

    if (promql_failed(parser)) return NULL;
    if (inner->kind == PROMQL_NUMBER) inner = new_duration(parser, PROMQL_ADD, NULL, inner, range);
    if (inner == NULL) return NULL;
    inner->as.duration.wrapped = true;
    inner->range = range;
    return inner;
}

PromqlExpr *promql_positive_duration(PromqlParser *parser, PromqlExpr *duration) {
    if (promql_failed(parser)) return NULL;
    if (duration->kind == PROMQL_NUMBER && duration->as.number.value <= 0) {
        promql_fail(parser, ERR_INVALID, duration->range, "duration must be greater than 0");
        return NULL;
    }
    return duration;
}
