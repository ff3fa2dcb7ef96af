/*
 * parser.c: pipelines, sets of spans and metrics. What stands in parentheses is known only when it
 * was read: a set, a pipeline, a number or a metric. So all are read as one kind of node, *terms*,
 * and who joins two terms says which go together.
 */
#include "querier/traceql/parser.h"

#include <stdio.h>

#include "querier/traceql/build.h"

ErrCode traceql_out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "query: out of memory");
}

ErrCode traceql_next(TraceqlParser *parser, Error *err) {
    if (++parser->tokens > TRACEQL_TOKENS_MAX)
        return error_set(err, ERR_INVALID, "query has more than %d tokens", TRACEQL_TOKENS_MAX);
    return traceql_scan(&parser->scanner, &parser->token, err);
}

/* Other words are called IDENTIFIER. */
static bool is_keyword(Str word) {
    static const char words[] =
        " true false nil ok error unset unspecified internal server client producer consumer "
        "duration childCount name status statusMessage kind rootName rootServiceName rootService "
        "traceDuration nestedSetLeft nestedSetRight nestedSetParent id traceID spanID parentID "
        "timeSinceStart version parent count avg max min sum by coalesce select rate "
        "count_over_time min_over_time max_over_time avg_over_time sum_over_time "
        "quantile_over_time histogram_over_time compare topk bottomk with ";
    Str rest = str_of(words), head;

    while (str_cut(rest, ' ', &head, &rest))
        if (head.len > 0 && str_equal(head, word)) return true;
    return false;
}

ErrCode traceql_unexpected(const TraceqlParser *parser, const char *expecting, Error *err) {
    static const char *const kinds[] = {"$end",     "IDENTIFIER", "STRING", "INTEGER", "FLOAT",
                                        "DURATION", "IDENTIFIER", "span:",  ""};
    const TraceqlToken *token = &parser->token;
    Str what = str_of(kinds[token->kind]);
    char why[256];

    if ((token->kind == TOKEN_WORD && is_keyword(token->text)) ||
        (token->kind == TOKEN_SYMBOL && !str_equal(token->text, STR("&"))))
        what = token->text;
    else if (token->kind == TOKEN_SYMBOL)
        what = STR("IDENTIFIER");
    snprintf(why, sizeof why, "syntax error: unexpected " STR_FMT "%s%s", STR_ARG(what),
             *expecting == '\0' ? "" : ", expecting ", expecting);
    return traceql_error_at(parser->scanner.text, token->at, err, why);
}

bool traceql_is_symbol(const TraceqlParser *parser, const char *symbol) {
    return parser->token.kind == TOKEN_SYMBOL && str_equal(parser->token.text, str_of(symbol));
}

bool traceql_is_word(const TraceqlParser *parser, const char *word) {
    return parser->token.kind == TOKEN_WORD && str_equal(parser->token.text, str_of(word));
}

ErrCode traceql_expect(TraceqlParser *parser, const char *symbol, const char *expecting,
                       Error *err) {
    if (!traceql_is_symbol(parser, symbol)) return traceql_unexpected(parser, expecting, err);
    return traceql_next(parser, err);
}

ErrCode traceql_deeper(TraceqlParser *parser, Error *err) {
    if (++parser->depth <= TRACEQL_DEPTH_MAX) return ERR_OK;
    return error_set(err, ERR_INVALID, "query is nested deeper than %d levels", TRACEQL_DEPTH_MAX);
}

/* ---- terms ---- */

typedef enum TermKind {
    TERM_SET,
    TERM_STAGES, /* a pipeline that isn't just a set */
    TERM_NUMBER,
    TERM_AGGREGATE, /* count() and so on, not compared yet */
    TERM_METRIC,
} TermKind;

typedef struct Term {
    uint8_t kind;
    TraceqlSet *set;
    TraceqlStage stage; /* of AGGREGATE */
    TraceqlPipeline pipeline;
    TraceqlValue number;
    TraceqlMetric *metric;
} Term;

static ErrCode read_terms(TraceqlParser *parser, uint8_t lowest, Term *out, Error *err);
static ErrCode read_pipeline(TraceqlParser *parser, Term *out, Error *err);

static ErrCode set_of(TraceqlParser *parser, const Term *term, TraceqlSet **out, Error *err) {
    if (term->kind == TERM_SET) {
        *out = term->set;
        return ERR_OK;
    }
    *out = ARENA_NEW(parser->arena, TraceqlSet);
    if (*out == NULL) return traceql_out_of_memory(err);
    (*out)->kind = TRACEQL_SET_PIPELINE;
    (*out)->pipeline = ARENA_NEW(parser->arena, TraceqlPipeline);
    if ((*out)->pipeline == NULL) return traceql_out_of_memory(err);
    *(*out)->pipeline = term->pipeline;
    return ERR_OK;
}

static ErrCode add_second(TraceqlParser *parser, TraceqlMetric *metric, TraceqlSecond second,
                          Error *err) {
    size_t bytes = metric->second_count * sizeof second;
    TraceqlSecond *seconds =
        arena_grow(parser->arena, metric->seconds, bytes, bytes + sizeof second);

    if (seconds == NULL) return traceql_out_of_memory(err);
    metric->seconds = seconds;
    seconds[metric->second_count++] = second;
    return ERR_OK;
}

/* Durations in metrics are seconds. */
static double scalar_of(const TraceqlValue *value) {
    double number = traceql_number(value);

    return value->type == TRACEQL_DURATION ? number / 1e9 : number;
}

static ErrCode join_metrics(TraceqlParser *parser, uint8_t op, const Term *left, const Term *right,
                            Term *out, Error *err) {
    TraceqlMetric *metric;

    if (traceql_is_comparison(op) && op != TRACEQL_RE && op != TRACEQL_NRE &&
        left->kind == TERM_METRIC && right->kind == TERM_NUMBER) {
        *out = *left;
        return add_second(parser, left->metric,
                          (TraceqlSecond){.op = op, .number = scalar_of(&right->number)}, err);
    }
    if (op != TRACEQL_ADD && op != TRACEQL_SUB && op != TRACEQL_MUL && op != TRACEQL_DIV)
        return traceql_unexpected(parser, "", err);
    metric = ARENA_NEW(parser->arena, TraceqlMetric);
    if (metric == NULL) return traceql_out_of_memory(err);
    metric->op = op;
    metric->kind = TRACEQL_METRIC_SCALAR;
    if (left->kind == TERM_NUMBER) {
        metric->number = scalar_of(&left->number);
        metric->number_first = true;
        metric->left = right->metric;
    } else if (right->kind == TERM_NUMBER) {
        metric->number = scalar_of(&right->number);
        metric->left = left->metric;
    } else {
        metric->kind = TRACEQL_METRIC_MATH;
        metric->left = left->metric;
        metric->right = right->metric;
    }
    *out = (Term){.kind = TERM_METRIC, .metric = metric};
    return ERR_OK;
}

static bool is_set(const Term *term) {
    return term->kind == TERM_SET || term->kind == TERM_STAGES;
}

static ErrCode join_sets(TraceqlParser *parser, uint8_t op, const Term *left, const Term *right,
                         Term *out, Error *err) {
    TraceqlSet *set = ARENA_NEW(parser->arena, TraceqlSet);

    if (set == NULL) return traceql_out_of_memory(err);
    set->kind = TRACEQL_SET_BINARY;
    set->op = op;
    TRY(set_of(parser, left, &set->left, err));
    TRY(set_of(parser, right, &set->right, err));
    *out = (Term){.kind = TERM_SET, .set = set};
    return ERR_OK;
}

static ErrCode stages_of(TraceqlParser *parser, const TraceqlStage *stage, Term *out, Error *err) {
    TraceqlStage *stages = ARENA_NEW(parser->arena, TraceqlStage);

    if (stages == NULL) return traceql_out_of_memory(err);
    *stages = *stage;
    *out = (Term){.kind = TERM_STAGES, .pipeline = {stages, 1}};
    return ERR_OK;
}

/* What the same symbol is between spans' values and between sets. */
typedef struct Joint {
    const char *symbol;
    uint8_t value; /* NONE: not between values */
    uint8_t set;   /* NONE: not between sets */
    uint8_t precedence;
} Joint;

static const Joint joints[] = {
    {"&&", 0, TRACEQL_AND, 1},
    {"||", 0, TRACEQL_OR, 1},
    {"=", TRACEQL_EQ, 0, 2},
    {"!=", TRACEQL_NEQ, 0, 2},
    {"<", TRACEQL_LT, TRACEQL_PARENT_OF, 2},
    {"<=", TRACEQL_LTE, 0, 2},
    {">", TRACEQL_GT, TRACEQL_CHILD, 2},
    {">=", TRACEQL_GTE, 0, 2},
    {">>", 0, TRACEQL_DESCENDANT, 2},
    {"<<", 0, TRACEQL_ANCESTOR, 2},
    {"~", 0, TRACEQL_SIBLING, 2},
    {"!>", 0, TRACEQL_NOT_CHILD, 2},
    {"!<", 0, TRACEQL_NOT_PARENT, 2},
    {"!>>", 0, TRACEQL_NOT_DESCENDANT, 2},
    {"!<<", 0, TRACEQL_NOT_ANCESTOR, 2},
    {"!~", 0, TRACEQL_NOT_SIBLING, 2},
    {"&>", 0, TRACEQL_UNION_CHILD, 2},
    {"&<", 0, TRACEQL_UNION_PARENT, 2},
    {"&>>", 0, TRACEQL_UNION_DESCENDANT, 2},
    {"&<<", 0, TRACEQL_UNION_ANCESTOR, 2},
    {"&~", 0, TRACEQL_UNION_SIBLING, 2},
    {"+", TRACEQL_ADD, 0, 3},
    {"-", TRACEQL_SUB, 0, 3},
    {"*", TRACEQL_MUL, 0, 4},
    {"/", TRACEQL_DIV, 0, 4},
};

static const Joint *joint_of(const TraceqlParser *parser) {
    for (size_t i = 0; i < sizeof joints / sizeof *joints; i++)
        if (traceql_is_symbol(parser, joints[i].symbol)) return &joints[i];
    return NULL;
}

static ErrCode join(TraceqlParser *parser, const Joint *joint, const Term *left, const Term *right,
                    Term *out, Error *err) {
    if (is_set(left) && is_set(right) && joint->set != TRACEQL_OP_NONE)
        return join_sets(parser, joint->set, left, right, out, err);
    if (joint->value != TRACEQL_OP_NONE) {
        bool left_counts = left->kind == TERM_METRIC || left->kind == TERM_NUMBER;
        bool right_counts = right->kind == TERM_METRIC || right->kind == TERM_NUMBER;

        if (left->kind == TERM_NUMBER && right->kind == TERM_NUMBER &&
            traceql_is_arithmetic(joint->value)) {
            *out = (Term){.kind = TERM_NUMBER};
            return traceql_binary(joint->value, &left->number, &right->number, NULL, &out->number,
                                  err);
        }
        if (left_counts && right_counts && left->kind + right->kind > TERM_NUMBER + TERM_NUMBER)
            return join_metrics(parser, joint->value, left, right, out, err);
        if (left->kind == TERM_AGGREGATE && right->kind == TERM_NUMBER &&
            traceql_is_comparison(joint->value)) {
            TraceqlStage stage = left->stage;

            stage.op = joint->value;
            stage.value = right->number;
            return stages_of(parser, &stage, out, err);
        }
        if (left->kind == TERM_AGGREGATE || right->kind == TERM_AGGREGATE)
            return error_set(err, ERR_INVALID,
                             "aggregates that are not compared with a number not yet supported");
    }
    return traceql_unexpected(parser, is_set(left) ? "with" : "", err);
}

/* ---- stages ---- */

static ErrCode read_filter(TraceqlParser *parser, TraceqlSet **out, Error *err) {
    TraceqlSet *set = ARENA_NEW(parser->arena, TraceqlSet);

    if (set == NULL) return traceql_out_of_memory(err);
    TRY(traceql_expect(parser, "{", "{", err));
    set->kind = TRACEQL_SET_FILTER;
    set->filter = parser->filters++;
    if (traceql_is_symbol(parser, "}")) {
        set->expr = ARENA_NEW(parser->arena, TraceqlExpr);
        if (set->expr == NULL) return traceql_out_of_memory(err);
        set->expr->value = (TraceqlValue){.type = TRACEQL_BOOL, .truth = true};
    } else {
        TRY(traceql_read_expr(parser, &set->expr, err));
    }
    *out = set;
    return traceql_expect(parser, "}", "", err);
}

static ErrCode read_attributes(TraceqlParser *parser, const TraceqlAttribute **out, size_t *count,
                               Error *err) {
    TraceqlAttribute *items = NULL;

    *count = 0;
    TRY(traceql_expect(parser, "(", "(", err));
    for (;;) {
        size_t bytes = *count * sizeof *items;
        bool is_one;

        items = arena_grow(parser->arena, items, bytes, bytes + sizeof *items);
        if (items == NULL) return traceql_out_of_memory(err);
        TRY(traceql_read_attribute(parser, &items[*count], &is_one, err));
        if (!is_one) return traceql_unexpected(parser, "", err);
        (*count)++;
        if (!traceql_is_symbol(parser, ",")) break;
        TRY(traceql_next(parser, err));
    }
    *out = items;
    return traceql_expect(parser, ")", "", err);
}

static const char *const aggregates[] = {"count", "avg", "max", "min", "sum"};

static ErrCode read_aggregate(TraceqlParser *parser, uint8_t aggregate, Term *out, Error *err) {
    TraceqlStage *stage = &out->stage;
    Str inner = {"", 0};

    *out = (Term){.kind = TERM_AGGREGATE};
    stage->kind = TRACEQL_STAGE_AGGREGATE;
    stage->aggregate = aggregate;
    TRY(traceql_next(parser, err));
    TRY(traceql_expect(parser, "(", "(", err));
    if (aggregate != TRACEQL_COUNT) {
        TRY(traceql_read_expr(parser, &stage->expr, err));
        inner = traceql_expr_text(stage->expr, parser->arena);
        if (inner.ptr == NULL) return traceql_out_of_memory(err);
    }
    TRY(traceql_expect(parser, ")", "", err));
    stage->text =
        str_format(parser->arena, "%s(" STR_FMT ")", aggregates[aggregate], STR_ARG(inner));
    return stage->text.ptr == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

static ErrCode read_by(TraceqlParser *parser, TraceqlStage *stage, Error *err) {
    Str inner;

    stage->kind = TRACEQL_STAGE_BY;
    TRY(traceql_next(parser, err));
    TRY(traceql_expect(parser, "(", "(", err));
    TRY(traceql_read_expr(parser, &stage->expr, err));
    TRY(traceql_expect(parser, ")", "", err));
    inner = traceql_expr_text(stage->expr, parser->arena);
    stage->text =
        inner.ptr == NULL ? inner : str_format(parser->arena, "by(" STR_FMT ")", STR_ARG(inner));
    return stage->text.ptr == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

/* by, select, and behind a pipe coalesce. *is_one false: something else stands there. */
static ErrCode read_stage(TraceqlParser *parser, bool first, TraceqlStage *stage, bool *is_one,
                          Error *err) {
    *stage = (TraceqlStage){0};
    *is_one = true;
    if (traceql_is_word(parser, "by")) return read_by(parser, stage, err);
    if (traceql_is_word(parser, "select")) {
        stage->kind = TRACEQL_STAGE_SELECT;
        TRY(traceql_next(parser, err));
        return read_attributes(parser, &stage->attributes, &stage->attribute_count, err);
    }
    if (!first && traceql_is_word(parser, "coalesce")) {
        stage->kind = TRACEQL_STAGE_COALESCE;
        TRY(traceql_next(parser, err));
        TRY(traceql_expect(parser, "(", "(", err));
        return traceql_expect(parser, ")", ")", err);
    }
    *is_one = false;
    return ERR_OK;
}

/* ---- metrics ---- */

static const char *const functions[] = {
    "rate",          "count_over_time",    "min_over_time",       "max_over_time", "avg_over_time",
    "sum_over_time", "quantile_over_time", "histogram_over_time", "compare",
};

static ErrCode read_integer(TraceqlParser *parser, int64_t *out, Error *err) {
    if (parser->token.kind != TOKEN_INTEGER) return traceql_unexpected(parser, "INTEGER", err);
    *out = parser->token.integer;
    return traceql_next(parser, err);
}

static ErrCode read_quantiles(TraceqlParser *parser, TraceqlMetric *metric, Error *err) {
    double *items = NULL;

    do {
        size_t bytes = metric->quantile_count * sizeof *items;

        TRY(traceql_expect(parser, ",", ",", err));
        if (parser->token.kind != TOKEN_INTEGER && parser->token.kind != TOKEN_FLOAT)
            return traceql_unexpected(parser, "", err);
        items = arena_grow(parser->arena, items, bytes, bytes + sizeof *items);
        if (items == NULL) return traceql_out_of_memory(err);
        items[metric->quantile_count++] = parser->token.kind == TOKEN_INTEGER
                                              ? (double)parser->token.integer
                                              : parser->token.number;
        TRY(traceql_next(parser, err));
    } while (traceql_is_symbol(parser, ","));
    metric->quantiles = items;
    return ERR_OK;
}

static ErrCode read_compare(TraceqlParser *parser, TraceqlMetric *metric, Error *err) {
    metric->compare_top = 10;
    TRY(read_filter(parser, &metric->compare, err));
    if (!traceql_is_symbol(parser, ",")) return ERR_OK;
    TRY(traceql_next(parser, err));
    TRY(read_integer(parser, &metric->compare_top, err));
    if (!traceql_is_symbol(parser, ",")) return ERR_OK;
    TRY(traceql_next(parser, err));
    TRY(read_integer(parser, &metric->compare_start_ns, err));
    TRY(traceql_expect(parser, ",", ",", err));
    return read_integer(parser, &metric->compare_end_ns, err);
}

/* topk, bottomk and comparisons, as many as there are. */
static ErrCode read_seconds(TraceqlParser *parser, TraceqlMetric *metric, Error *err) {
    for (;;) {
        if (traceql_is_symbol(parser, "|")) {
            TraceqlSecond second = {0};

            TRY(traceql_next(parser, err));
            second.bottom = traceql_is_word(parser, "bottomk");
            if (!second.bottom && !traceql_is_word(parser, "topk"))
                return traceql_unexpected(parser, "topk or bottomk", err);
            TRY(traceql_next(parser, err));
            TRY(traceql_expect(parser, "(", "(", err));
            TRY(read_integer(parser, &second.limit, err));
            TRY(traceql_expect(parser, ")", ")", err));
            TRY(add_second(parser, metric, second, err));
            continue;
        }
        const Joint *joint = joint_of(parser);
        Term right;

        if (joint == NULL || !traceql_is_comparison(joint->value)) return ERR_OK;
        TRY(traceql_next(parser, err));
        TRY(read_terms(parser, 2, &right, err));
        if (right.kind != TERM_NUMBER) return traceql_unexpected(parser, "", err);
        TRY(add_second(parser, metric,
                       (TraceqlSecond){.op = joint->value, .number = scalar_of(&right.number)},
                       err));
    }
}

static ErrCode read_metric(TraceqlParser *parser, uint8_t function, const TraceqlPipeline *pipeline,
                           Term *out, Error *err) {
    TraceqlMetric *metric = ARENA_NEW(parser->arena, TraceqlMetric);

    if (metric == NULL) return traceql_out_of_memory(err);
    metric->function = function;
    metric->pipeline = *pipeline;
    metric->index = parser->metric_pipelines++;
    TRY(traceql_next(parser, err));
    TRY(traceql_expect(parser, "(", "(", err));
    if (function == TRACEQL_COMPARE) {
        TRY(read_compare(parser, metric, err));
    } else if (function != TRACEQL_RATE && function != TRACEQL_COUNT_OVER_TIME) {
        TRY(traceql_read_attribute(parser, &metric->attribute, &metric->has_attribute, err));
        if (!metric->has_attribute) return traceql_unexpected(parser, "", err);
        if (function == TRACEQL_QUANTILE_OVER_TIME) TRY(read_quantiles(parser, metric, err));
    }
    TRY(traceql_expect(parser, ")", ")", err));
    if (function != TRACEQL_COMPARE && traceql_is_word(parser, "by")) {
        TRY(traceql_next(parser, err));
        TRY(read_attributes(parser, &metric->by, &metric->by_count, err));
    }
    *out = (Term){.kind = TERM_METRIC, .metric = metric};
    return read_seconds(parser, metric, err);
}

static uint8_t function_of(const TraceqlParser *parser) {
    uint8_t i = 0;

    while (i <= TRACEQL_COMPARE && !traceql_is_word(parser, functions[i])) i++;
    return i;
}

/* ---- pipelines ---- */

static ErrCode read_primary(TraceqlParser *parser, Term *out, Error *err) {
    bool is_one;

    if (traceql_is_symbol(parser, "{")) {
        *out = (Term){.kind = TERM_SET};
        return read_filter(parser, &out->set, err);
    }
    if (traceql_is_symbol(parser, "(")) {
        TRY(traceql_next(parser, err));
        TRY(read_pipeline(parser, out, err));
        return traceql_expect(parser, ")", "", err);
    }
    if (traceql_is_symbol(parser, "-")) {
        TRY(traceql_next(parser, err));
        TRY(read_terms(parser, 4, out, err));
        if (out->kind != TERM_NUMBER) return traceql_unexpected(parser, "", err);
        if (out->number.type == TRACEQL_FLOAT)
            out->number.number = -out->number.number;
        else
            out->number.integer = (int64_t)(0 - (uint64_t)out->number.integer);
        return ERR_OK;
    }
    for (uint8_t i = 0; i < sizeof aggregates / sizeof *aggregates; i++)
        if (traceql_is_word(parser, aggregates[i])) return read_aggregate(parser, i, out, err);
    if (parser->token.kind != TOKEN_INTEGER && parser->token.kind != TOKEN_FLOAT &&
        parser->token.kind != TOKEN_DURATION)
        return traceql_unexpected(parser, "", err);
    *out = (Term){.kind = TERM_NUMBER};
    return traceql_read_value(parser, &out->number, &is_one, err);
}

static ErrCode read_terms(TraceqlParser *parser, uint8_t lowest, Term *out, Error *err) {
    const Joint *joint;

    TRY(traceql_deeper(parser, err));
    TRY(read_primary(parser, out, err));
    while ((joint = joint_of(parser)) != NULL && joint->precedence > lowest) {
        TraceqlParser before = *parser;
        Term right, left = *out;

        TRY(traceql_next(parser, err));
        TRY(read_terms(parser, joint->precedence, &right, err));
        before.arena = parser->arena;
        TRY(join(&before, joint, &left, &right, out, err));
    }
    parser->depth--;
    return ERR_OK;
}

static ErrCode append_stage(TraceqlParser *parser, TraceqlPipeline *pipeline,
                            const TraceqlStage *stage, Error *err) {
    TraceqlStage *stages = ARENA_ARRAY(parser->arena, TraceqlStage, pipeline->count + 1);

    if (stages == NULL) return traceql_out_of_memory(err);
    if (pipeline->count > 0) memcpy(stages, pipeline->stages, pipeline->count * sizeof *stages);
    stages[pipeline->count] = *stage;
    *pipeline = (TraceqlPipeline){stages, pipeline->count + 1};
    return ERR_OK;
}

/* One element: a stage, or terms that are a set or an aggregate compared. */
static ErrCode read_element(TraceqlParser *parser, bool first, Term *out, Error *err) {
    TraceqlStage stage;
    bool is_one;

    TRY(read_stage(parser, first, &stage, &is_one, err));
    if (is_one) return stages_of(parser, &stage, out, err);
    return read_terms(parser, 0, out, err);
}

static ErrCode append_term(TraceqlParser *parser, TraceqlPipeline *pipeline, const Term *term,
                           Error *err) {
    TraceqlStage stage = {.kind = TRACEQL_STAGE_SET, .set = term->set};

    if (term->kind == TERM_STAGES && term->pipeline.count == 1)
        stage = term->pipeline.stages[0];
    else if (is_set(term))
        TRY(set_of(parser, term, &stage.set, err));
    else
        return traceql_unexpected(parser, "", err);
    return append_stage(parser, pipeline, &stage, err);
}

static ErrCode read_pipeline(TraceqlParser *parser, Term *out, Error *err) {
    TraceqlPipeline pipeline = {0};

    TRY(traceql_deeper(parser, err));
    TRY(read_element(parser, true, out, err));
    parser->depth--;
    if (out->kind == TERM_METRIC) return read_seconds(parser, out->metric, err);
    if (!traceql_is_symbol(parser, "|")) return ERR_OK;
    TRY(append_term(parser, &pipeline, out, err));
    while (traceql_is_symbol(parser, "|")) {
        uint8_t function;
        Term next;

        TRY(traceql_next(parser, err));
        function = function_of(parser);
        if (function <= TRACEQL_COMPARE) return read_metric(parser, function, &pipeline, out, err);
        TRY(read_element(parser, false, &next, err));
        TRY(append_term(parser, &pipeline, &next, err));
    }
    *out = (Term){.kind = TERM_STAGES, .pipeline = pipeline};
    return ERR_OK;
}

/* ---- the whole ---- */

static ErrCode read_hints(TraceqlParser *parser, TraceqlQuery *query, Error *err) {
    TraceqlHint *hints = NULL;

    TRY(traceql_next(parser, err));
    TRY(traceql_expect(parser, "(", "(", err));
    for (;;) {
        size_t bytes = query->hint_count * sizeof *hints;
        bool is_one;

        hints = arena_grow(parser->arena, hints, bytes, bytes + sizeof *hints);
        if (hints == NULL) return traceql_out_of_memory(err);
        if (parser->token.kind != TOKEN_WORD) return traceql_unexpected(parser, "IDENTIFIER", err);
        hints[query->hint_count].name = parser->token.text;
        TRY(traceql_next(parser, err));
        TRY(traceql_expect(parser, "=", "=", err));
        TRY(traceql_read_value(parser, &hints[query->hint_count].value, &is_one, err));
        if (!is_one) return traceql_unexpected(parser, "", err);
        query->hint_count++;
        query->hints = hints;
        if (!traceql_is_symbol(parser, ",")) break;
        TRY(traceql_next(parser, err));
    }
    return traceql_expect(parser, ")", "", err);
}

static ErrCode read_query(TraceqlParser *parser, TraceqlQuery *query, Error *err) {
    Term term;

    TRY(traceql_next(parser, err));
    if (parser->token.kind == TOKEN_END)
        return error_set(err, ERR_INVALID, "parse error : syntax error: unexpected $end");
    TRY(read_pipeline(parser, &term, err));
    while (traceql_is_word(parser, "with")) TRY(read_hints(parser, query, err));
    if (parser->token.kind != TOKEN_END) return traceql_unexpected(parser, "with", err);
    if (term.kind == TERM_METRIC) {
        const TraceqlMetric *first = term.metric;

        query->metric = term.metric;
        while (first->kind != TRACEQL_METRIC_PIPELINE) first = first->left;
        query->pipeline = first->pipeline;
    } else if (term.kind == TERM_STAGES) {
        query->pipeline = term.pipeline;
    } else if (term.kind == TERM_AGGREGATE || term.kind == TERM_NUMBER) {
        return traceql_unexpected(parser, "", err);
    } else {
        TRY(append_term(parser, &query->pipeline, &term, err));
    }
    query->filter_count = parser->filters;
    query->metric_pipelines = parser->metric_pipelines;
    return ERR_OK;
}

ErrCode traceql_parse(Str text, Arena *arena, TraceqlQuery **out, Error *err) {
    TraceqlParser parser = {.scanner = {.text = text, .arena = arena}, .arena = arena};
    TraceqlQuery *query = ARENA_NEW(arena, TraceqlQuery);

    if (query == NULL) return traceql_out_of_memory(err);
    if (text.len > TRACEQL_TEXT_MAX)
        return error_set(err, ERR_INVALID, "query has %zu bytes, of at most %d", text.len,
                         TRACEQL_TEXT_MAX);
    query->text = str_dup(arena, text);
    if (query->text.ptr == NULL) return traceql_out_of_memory(err);
    parser.scanner.text = query->text;
    TRY(read_query(&parser, query, err));
    TRY(traceql_check(query, arena, err));
    *out = query;
    return ERR_OK;
}

ErrCode traceql_parse_attribute(Str text, Arena *arena, TraceqlAttribute *out, Error *err) {
    TraceqlParser parser = {.scanner = {.text = text, .arena = arena}, .arena = arena};
    ErrCode code = traceql_next(&parser, err);
    bool is_one = false;

    if (code == ERR_OK) code = traceql_read_attribute(&parser, out, &is_one, err);
    if (code == ERR_OK && (!is_one || parser.token.kind != TOKEN_END)) {
        char why[128];

        snprintf(why, sizeof why, "unknown identifier: " STR_FMT, STR_ARG(str_slice(text, 0, 64)));
        code = traceql_error_at(text, 1, err, why);
    }
    if (code == ERR_OK && out->parent)
        code = error_set(err, ERR_INVALID, "parent not yet supported");
    if (code != ERR_OK)
        return error_wrap(err, "failed to parse identifier " STR_FMT,
                          STR_ARG(str_slice(text, 0, 256)));
    return ERR_OK;
}
