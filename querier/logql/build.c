/*
 * build.c: nodes of the tree, as the grammar finds them. After the first failure every builder
 * returns NULL and changes nothing, and the grammar stops. What is wrong with a node but not with
 * the grammar is kept beside it and told by logql_check(), as Loki does: syntax comes first.
 */
#include "querier/logql/build.h"

#include <math.h>
#include <stdlib.h>

#include "querier/logql/units.h"

/* What no later pass looks at. */
typedef struct Node {
    LogqlExpr expr;
    uint32_t depth;
    const char *fault; /* NULL: none */
} Node;

typedef struct FilterNode {
    LogqlLabelFilter filter;
    uint32_t depth;
} FilterNode;

typedef struct UnwrapNode {
    LogqlUnwrap unwrap;
    LogqlList filters;
} UnwrapNode;

static void out_of_memory(LogqlParser *parser) {
    logql_fail(parser, ERR_LIMIT, "the query's memory limit is reached");
}

static bool is_too_deep(LogqlParser *parser, uint32_t depth) {
    if (depth < LOGQL_DEPTH_MAX) return false;
    logql_fail(parser, ERR_LIMIT, "the expression nests deeper than %d levels", LOGQL_DEPTH_MAX);
    return true;
}

/* ---- lists ---- */

void *logql_copy(LogqlParser *parser, const void *what, size_t bytes) {
    void *copy = logql_failed(parser) ? NULL : arena_alloc(parser->arena, bytes);

    if (copy == NULL)
        out_of_memory(parser);
    else
        memcpy(copy, what, bytes);
    return copy;
}

LogqlList *logql_list_add(LogqlParser *parser, LogqlList *list, const void *item, size_t bytes) {
    if (list == NULL) list = logql_copy(parser, &(LogqlList){0}, sizeof *list);
    if (list == NULL || logql_failed(parser)) return NULL;
    if (list->count == list->capacity) {
        size_t more = MAX(list->capacity * 2, 2);
        void *items = arena_grow(parser->arena, list->items, list->capacity * bytes, more * bytes);

        if (items == NULL) {
            out_of_memory(parser);
            return NULL;
        }
        list->items = items;
        list->capacity = more;
    }
    memcpy((char *)list->items + list->count++ * bytes, item, bytes);
    return list;
}

/* ---- matchers ---- */

static const Matcher *find_regex(const LogqlParser *parser, Str value) {
    const Matcher *matchers = parser->regexes.items;

    for (size_t i = 0; i < parser->regexes.count; i++)
        if (str_equal(matchers[i].value, value)) return &matchers[i];
    return NULL;
}

const Matcher *logql_new_matcher(LogqlParser *parser, MatchOp op, Str name, Str value) {
    bool regex = op == MATCH_REGEX || op == MATCH_NOT_REGEX;
    const Matcher *known = regex ? find_regex(parser, value) : NULL;
    Matcher matcher = {0};
    Error err = {0};

    if (logql_failed(parser)) return NULL;
    if (known != NULL) {
        matcher = matcher_like(known, op, name);
        return logql_copy(parser, &matcher, sizeof matcher);
    }
    if (regex &&
        (parser->regexes.count == LOGQL_REGEXES_MAX || value.len > LOGQL_REGEX_BYTES_MAX)) {
        logql_fail(parser, ERR_LIMIT,
                   "a query may have %d different regular expressions of %d bytes each",
                   LOGQL_REGEXES_MAX, LOGQL_REGEX_BYTES_MAX);
        return NULL;
    }
    /* Many expressions share what one may hold. */
    if (matcher_new_bounded(parser->arena, op, name, value,
                            parser->regexes.count < 16 ? 0 : KIB(256), &matcher, &err) != ERR_OK) {
        logql_fail(parser, err.code, "%s", err.text);
        return NULL;
    }
    if (regex && logql_list_add(parser, &parser->regexes, &matcher, sizeof matcher) == NULL)
        return NULL;
    return logql_copy(parser, &matcher, sizeof matcher);
}

/* ---- label filters ---- */

static uint32_t filter_depth(const LogqlLabelFilter *filter) {
    return ((const FilterNode *)filter)->depth;
}

/* Loki hands queries on as text, in which a size has two digits: 1KiB is 1.0kB, and that is what
 * labels are compared with. */
static uint64_t as_written(uint64_t bytes) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};

    buf_init(&text, 64);
    logql_append_bytes(&text, bytes);
    if (!buf_failed(&text)) (void)!logql_parse_bytes(buf_str(&text), &bytes);
    return bytes;
}

LogqlLabelFilter *logql_new_filter(LogqlParser *parser, LogqlLabelFilter filter) {
    FilterNode node = {.filter = filter, .depth = 1};
    FilterNode *copy;

    if (filter.kind == LOGQL_FILTER_AND || filter.kind == LOGQL_FILTER_OR) {
        node.depth += MAX(filter_depth(filter.as.pair.left), filter_depth(filter.as.pair.right));
        if (is_too_deep(parser, node.depth)) return NULL;
    }
    if (filter.kind == LOGQL_FILTER_BYTES) node.filter.as.bytes = as_written(filter.as.bytes);
    copy = logql_copy(parser, &node, sizeof node);
    return copy == NULL ? NULL : &copy->filter;
}

LogqlLabelFilter *logql_new_match_filter(LogqlParser *parser, const Matcher *match) {
    return logql_new_filter(
        parser,
        (LogqlLabelFilter){.kind = LOGQL_FILTER_MATCH, .name = match->name, .as.match = match});
}

LogqlLabelFilter *logql_new_number_filter(LogqlParser *parser, Str name, LogqlCompare compare,
                                          const LogqlExpr *literal) {
    const char *fault = ((const Node *)literal)->fault;

    if (fault != NULL) {
        logql_fail(parser, ERR_INVALID, "%s", fault);
        return NULL;
    }
    return logql_new_filter(parser, (LogqlLabelFilter){.kind = LOGQL_FILTER_NUMBER,
                                                       .name = name,
                                                       .compare = compare,
                                                       .as.number = literal->as.number});
}

LogqlLabelFilter *logql_new_pair(LogqlParser *parser, LogqlFilterKind kind,
                                 const LogqlLabelFilter *left, const LogqlLabelFilter *right) {
    return logql_new_filter(parser, (LogqlLabelFilter){.kind = kind, .as.pair = {left, right}});
}

/* ---- stages ---- */

static bool is_negated(LogqlLineOp op) {
    return op == LOGQL_LINE_CONTAINS_NOT || op == LOGQL_LINE_REGEX_NOT ||
           op == LOGQL_LINE_PATTERN_NOT;
}

LogqlList *logql_add_choices(LogqlParser *parser, LogqlList *terms, const LogqlList *choices) {
    LogqlLineTerm *last = (LogqlLineTerm *)terms->items + terms->count - 1;
    const LogqlLineChoice *more = choices->items;
    LogqlLineChoice *all;

    if (is_negated(last->op)) {
        for (size_t i = choices->count; i-- > 0 && terms != NULL;) {
            LogqlLineTerm term = {last->op, &more[i], 1};

            terms = logql_list_add(parser, terms, &term, sizeof term);
            if (terms != NULL) last = (LogqlLineTerm *)terms->items + terms->count - 1;
        }
        return terms;
    }
    all = ARENA_ARRAY(parser->arena, LogqlLineChoice, last->choice_count + choices->count);
    if (all == NULL) {
        out_of_memory(parser);
        return NULL;
    }
    memcpy(all, last->choices, last->choice_count * sizeof *all);
    for (size_t i = 0; i < choices->count; i++)
        all[last->choice_count + i] = more[choices->count - 1 - i];
    last->choices = all;
    last->choice_count += choices->count;
    return terms;
}

LogqlUnwrap *logql_new_unwrap(LogqlParser *parser, Str label, LogqlConversion conversion) {
    UnwrapNode node = {.unwrap = {.label = label, .conversion = conversion}};
    UnwrapNode *copy = logql_copy(parser, &node, sizeof node);

    return copy == NULL ? NULL : &copy->unwrap;
}

LogqlUnwrap *logql_unwrap_add(LogqlParser *parser, LogqlUnwrap *unwrap,
                              const LogqlLabelFilter *filter) {
    UnwrapNode *node = (UnwrapNode *)unwrap;

    if (logql_list_add(parser, &node->filters, &filter, sizeof filter) == NULL) return NULL;
    unwrap->filters = node->filters.items;
    unwrap->filter_count = node->filters.count;
    return unwrap;
}

/* ---- expressions ---- */

static Node *new_node(LogqlParser *parser, LogqlKind kind, uint32_t child_depth) {
    Node *node;

    if (logql_failed(parser) || is_too_deep(parser, child_depth)) return NULL;
    node = ARENA_NEW(parser->arena, Node);
    if (node == NULL) {
        out_of_memory(parser);
        return NULL;
    }
    node->expr.kind = kind;
    node->depth = child_depth + 1;
    return node;
}

static uint32_t depth_of(const LogqlExpr *expr) {
    return ((const Node *)expr)->depth;
}

#define FAULT(node, ...)                                                                           \
    do {                                                                                           \
        if ((node)->fault == NULL) (node)->fault = str_format(parser->arena, __VA_ARGS__).ptr;     \
        if ((node)->fault == NULL) out_of_memory(parser);                                          \
    } while (0)

LogqlExpr *logql_new_log(LogqlParser *parser, const LogqlList *matchers, const LogqlList *stages) {
    Node *node = new_node(parser, LOGQL_LOG, 0);

    if (node == NULL) return NULL;
    if (matchers != NULL) {
        node->expr.as.log.matchers = matchers->items;
        node->expr.as.log.matcher_count = matchers->count;
    }
    if (stages != NULL) {
        node->expr.as.log.stages = stages->items;
        node->expr.as.log.stage_count = stages->count;
    }
    return &node->expr;
}

/* As Go's ParseFloat: decimals, and hexadecimals that have an exponent. NULL: fine. */
static const char *parse_number(Str text, double *out) {
    char plain[512], *end;

    if (text.len > 1 && text.ptr[0] == '0' && (text.ptr[1] | 32) == 'x') {
        if (text.len >= sizeof plain || memchr(text.ptr, '_', text.len) != NULL ||
            (memchr(text.ptr, 'p', text.len) == NULL && memchr(text.ptr, 'P', text.len) == NULL))
            return "invalid syntax";
        memcpy(plain, text.ptr, text.len);
        plain[text.len] = '\0';
        *out = strtod(plain, &end);
        return isinf(*out) ? "value out of range" : NULL;
    }
    if (memchr(text.ptr, '_', text.len) != NULL) return "invalid syntax";
    return str_to_double(text, out) ? NULL : "value out of range";
}

static void number_or_fault(LogqlParser *parser, Node *node, const char *what, Str text,
                            double *out) {
    const char *why = parse_number(text, out);

    if (why != NULL)
        FAULT(node, "%s: strconv.ParseFloat: parsing \"" STR_FMT "\": %s", what, STR_ARG(text),
              why);
}

static bool may_group(LogqlRangeOp op) {
    return op == LOGQL_AVG_OVER_TIME || op == LOGQL_STDDEV_OVER_TIME ||
           op == LOGQL_STDVAR_OVER_TIME || op == LOGQL_QUANTILE_OVER_TIME ||
           op == LOGQL_MAX_OVER_TIME || op == LOGQL_MIN_OVER_TIME || op == LOGQL_FIRST_OVER_TIME ||
           op == LOGQL_LAST_OVER_TIME;
}

static bool may_unwrap(LogqlRangeOp op) {
    return op != LOGQL_COUNT_OVER_TIME && op != LOGQL_BYTES_OVER_TIME && op != LOGQL_BYTES_RATE;
}

static bool needs_unwrap(LogqlRangeOp op) {
    return may_unwrap(op) && op != LOGQL_RATE && op != LOGQL_ABSENT_OVER_TIME;
}

LogqlExpr *logql_new_range(LogqlParser *parser, LogqlRangeOp op, const LogqlRangeParts *parts,
                           const Str *param, const LogqlGrouping *grouping) {
    Node *node = new_node(parser, LOGQL_RANGE_AGGREGATION, 0);
    const char *name = logql_range_op_text(op);
    double value = 0;

    if (node == NULL) return NULL;
    if (param != NULL && op != LOGQL_QUANTILE_OVER_TIME)
        FAULT(node, "parameter " STR_FMT " not supported for operation %s", STR_ARG(*param), name);
    if (param == NULL && op == LOGQL_QUANTILE_OVER_TIME)
        FAULT(node, "parameter required for operation %s", name);
    if (param != NULL && node->fault == NULL) {
        const char *why = parse_number(*param, &value);

        if (why != NULL)
            FAULT(node,
                  "invalid parameter for operation %s: strconv.ParseFloat: parsing \"" STR_FMT
                  "\": %s",
                  name, STR_ARG(*param), why);
    }
    if (grouping != NULL && !may_group(op))
        FAULT(node, "grouping not allowed for %s aggregation", name);
    if (parts->unwrap != NULL && !may_unwrap(op))
        FAULT(node, "invalid aggregation %s with unwrap", name);
    if (parts->unwrap == NULL && needs_unwrap(op))
        FAULT(node, "invalid aggregation %s without unwrap", name);
    node->expr.as.range.op = op;
    node->expr.as.range.log = parts->log;
    node->expr.as.range.unwrap = parts->unwrap;
    node->expr.as.range.range_ns = parts->range_ns;
    node->expr.as.range.offset_ns = parts->offset_ns;
    node->expr.as.range.has_param = param != NULL;
    node->expr.as.range.param = value;
    if (grouping != NULL) node->expr.as.range.grouping = *grouping;
    return &node->expr;
}

static void check_k(LogqlParser *parser, Node *node, LogqlVectorOp op, const Str *param,
                    const LogqlGrouping *grouping) {
    const char *name = logql_vector_op_text(op);
    int64_t k = 0;

    if (param == NULL)
        FAULT(node, "parameter required for operation %s", name);
    else if (!str_to_i64(*param, &k))
        FAULT(node, "invalid parameter %s(" STR_FMT ",", name, STR_ARG(*param));
    else if (k <= 0)
        FAULT(node, "invalid parameter (must be greater than 0) %s(" STR_FMT, name,
              STR_ARG(*param));
    else if (op == LOGQL_APPROX_TOPK && grouping != NULL)
        FAULT(node, "grouping not allowed for %s aggregation", name);
    node->expr.as.vector.param = k;
}

LogqlExpr *logql_new_vector(LogqlParser *parser, LogqlVectorOp op, LogqlExpr *inner,
                            const Str *param, const LogqlGrouping *grouping) {
    Node *node = new_node(parser, LOGQL_VECTOR_AGGREGATION, depth_of(inner));

    if (node == NULL) return NULL;
    node->expr.as.vector.op = op;
    node->expr.as.vector.inner = inner;
    if (grouping != NULL) node->expr.as.vector.grouping = *grouping;
    if (op == LOGQL_BOTTOMK || op == LOGQL_TOPK || op == LOGQL_APPROX_TOPK)
        check_k(parser, node, op, param, grouping);
    else if (param != NULL)
        FAULT(node, "unsupported parameter for operation %s(" STR_FMT ",", logql_vector_op_text(op),
              STR_ARG(*param));
    else if ((op == LOGQL_SORT || op == LOGQL_SORT_DESC) && grouping != NULL && grouping->count > 0)
        FAULT(node, "sort and sort_desc doesn't allow grouping by ");
    return &node->expr;
}

static const char *log_type(const LogqlExpr *expr) {
    return expr->as.log.stage_count == 0 ? "*syntax.MatchersExpr" : "*syntax.PipelineExpr";
}

/* Of two literals, as Loki computes them: division by 0 gives no number. */
static double compute(LogqlBinaryOp op, double left, double right) {
    switch (op) {
    case LOGQL_ADD:
        return left + right;
    case LOGQL_SUB:
        return left - right;
    case LOGQL_MUL:
        return left * right;
    case LOGQL_DIV:
        return right == 0 ? NAN : left / right;
    case LOGQL_MOD:
        return right == 0 ? NAN : fmod(left, right);
    case LOGQL_POW:
        return pow(left, right);
    case LOGQL_COMPARE_EQUAL:
        return left == right;
    case LOGQL_COMPARE_NOT_EQUAL:
        return left != right;
    case LOGQL_COMPARE_GREATER:
        return left > right;
    case LOGQL_COMPARE_GREATER_EQUAL:
        return left >= right;
    case LOGQL_COMPARE_LESS:
        return left < right;
    case LOGQL_COMPARE_LESS_EQUAL:
        return left <= right;
    default:
        return NAN; /* set operators have no literals */
    }
}

static void check_legs(LogqlParser *parser, Node *node, LogqlBinaryOp op, const LogqlExpr *left,
                       const LogqlExpr *right) {
    const char *name = logql_binary_op_text(op);

    if (left->kind == LOGQL_LOG)
        FAULT(node, "unexpected type for left leg of binary operation (%s): %s", name,
              log_type(left));
    if (right->kind == LOGQL_LOG)
        FAULT(node, "unexpected type for right leg of binary operation (%s): %s", name,
              log_type(right));
    if (left->kind == LOGQL_LITERAL && ((const Node *)left)->fault != NULL)
        FAULT(node, "%s", ((const Node *)left)->fault);
    if (right->kind == LOGQL_LITERAL && ((const Node *)right)->fault != NULL)
        FAULT(node, "%s", ((const Node *)right)->fault);
    if (left->kind == LOGQL_LITERAL && logql_op_is_set(op))
        FAULT(node, "unexpected literal for left leg of logical/set binary operation (%s): %f",
              name, left->as.number);
    if (right->kind == LOGQL_LITERAL && logql_op_is_set(op))
        FAULT(node, "unexpected literal for right leg of logical/set binary operation (%s): %f",
              name, right->as.number);
}

LogqlExpr *logql_new_binary(LogqlParser *parser, LogqlBinaryOp op, LogqlExpr *left,
                            const LogqlModifier *modifier, LogqlExpr *right) {
    Node *node = new_node(parser, LOGQL_BINARY, MAX(depth_of(left), depth_of(right)));

    if (node == NULL) return NULL;
    check_legs(parser, node, op, left, right);
    if (node->fault == NULL && left->kind == LOGQL_LITERAL && right->kind == LOGQL_LITERAL) {
        node->expr.kind = LOGQL_LITERAL;
        node->expr.as.number = compute(op, left->as.number, right->as.number);
        return &node->expr;
    }
    node->expr.as.binary.op = op;
    node->expr.as.binary.left = left;
    node->expr.as.binary.right = right;
    node->expr.as.binary.matching = modifier->matching;
    node->expr.as.binary.returns_bool = modifier->returns_bool;
    return &node->expr;
}

LogqlExpr *logql_new_literal(LogqlParser *parser, Str number, bool negative) {
    Node *node = new_node(parser, LOGQL_LITERAL, 0);
    double value = 0;

    if (node == NULL) return NULL;
    number_or_fault(parser, node, "unable to parse literal as a float", number, &value);
    node->expr.as.number = negative ? -value : value;
    return &node->expr;
}

LogqlExpr *logql_new_vector_literal(LogqlParser *parser, Str number) {
    Node *node = new_node(parser, LOGQL_VECTOR, 0);

    if (node == NULL) return NULL;
    number_or_fault(parser, node, "unable to parse vectorExpr as a float", number,
                    &node->expr.as.number);
    return &node->expr;
}

static void release_regex(void *what) {
    regex_free(what);
}

LogqlExpr *logql_new_label_replace(LogqlParser *parser, LogqlExpr *inner, Str destination,
                                   Str replacement, Str source, Str regex) {
    Node *node = new_node(parser, LOGQL_LABEL_REPLACE, depth_of(inner));
    Regex *compiled = NULL;
    Error err = {0};
    ErrCode code;
    Str whole;

    if (node == NULL) return NULL;
    node->expr.as.label_replace.inner = inner;
    node->expr.as.label_replace.destination = destination;
    node->expr.as.label_replace.replacement = replacement;
    node->expr.as.label_replace.source = source;
    node->expr.as.label_replace.regex = regex;
    whole = str_format(parser->arena, "^(?:" STR_FMT ")$", STR_ARG(regex));
    if (whole.ptr == NULL) {
        out_of_memory(parser);
        return NULL;
    }
    code = regex_new(whole, &(RegexOptions){0}, &compiled, &err);
    if (code == ERR_INVALID) {
        FAULT(node, "invalid regex in label_replace: %s", err.text);
    } else if (code != ERR_OK) {
        logql_fail(parser, code, "%s", err.text);
        return NULL;
    } else if (!arena_on_free(parser->arena, release_regex, compiled)) {
        regex_free(compiled);
        out_of_memory(parser);
        return NULL;
    }
    node->expr.as.label_replace.compiled = compiled;
    return &node->expr;
}

/* ---- checks ---- */

static bool is_selective(const LogqlLog *log) {
    for (size_t i = 0; i < log->matcher_count; i++) {
        const Matcher *matcher = &log->matchers[i];

        if ((matcher->op == MATCH_EQUAL || matcher->op == MATCH_REGEX) && !matcher->matches_empty)
            return true;
    }
    return false;
}

static void check_log(LogqlParser *parser, const LogqlLog *log, LogqlCheck check) {
    if (check == LOGQL_CHECKED && !is_selective(log))
        logql_fail(parser, ERR_INVALID,
                   "queries require at least one regexp or equality matcher that does not have an "
                   "empty-compatible value. For instance, app=~\".*\" does not meet this "
                   "requirement, but app=~\".+\" will");
}

void logql_check(LogqlParser *parser, const LogqlExpr *expr, LogqlCheck check) {
    const char *fault = ((const Node *)expr)->fault;

    if (logql_failed(parser)) return;
    if (fault != NULL) {
        logql_fail(parser, ERR_INVALID, "%s", fault);
        return;
    }
    switch (expr->kind) {
    case LOGQL_LOG:
        check_log(parser, &expr->as.log, check);
        return;
    case LOGQL_RANGE_AGGREGATION:
        check_log(parser, &expr->as.range.log, check);
        return;
    case LOGQL_VECTOR_AGGREGATION:
        logql_check(parser, expr->as.vector.inner, check);
        return;
    case LOGQL_BINARY:
        logql_check(parser, expr->as.binary.left, check);
        logql_check(parser, expr->as.binary.right, check);
        return;
    case LOGQL_LABEL_REPLACE:
        logql_check(parser, expr->as.label_replace.inner, check);
        return;
    case LOGQL_LITERAL:
    case LOGQL_VECTOR:
        return;
    }
}
