/*
 * parse_expr.c: expressions of one span, by precedence climbing.
 */
#include <stdio.h>

#include "querier/traceql/build.h"

/* ---- literals ---- */

static TraceqlValue status_of(SpanStatus status) {
    return (TraceqlValue){.type = TRACEQL_STATUS, .integer = status};
}

/* Words that are values. */
static bool word_value(Str word, TraceqlValue *out) {
    static const char *const kinds[] = {"unspecified", "internal", "server",
                                        "client",      "producer", "consumer"};

    for (int64_t i = 0; i < 6; i++)
        if (str_equal(word, str_of(kinds[i]))) {
            *out = (TraceqlValue){.type = TRACEQL_KIND, .integer = i};
            return true;
        }
    if (str_equal(word, STR("true")) || str_equal(word, STR("false")))
        *out = (TraceqlValue){.type = TRACEQL_BOOL, .truth = word.len == 4};
    else if (str_equal(word, STR("ok")))
        *out = status_of(SPAN_STATUS_OK);
    else if (str_equal(word, STR("error")))
        *out = status_of(SPAN_STATUS_ERROR);
    else if (str_equal(word, STR("unset")))
        *out = status_of(SPAN_STATUS_UNSET);
    else if (str_equal(word, STR("minInt")))
        *out = (TraceqlValue){.type = TRACEQL_INT, .integer = INT64_MIN};
    else if (str_equal(word, STR("maxInt")))
        *out = (TraceqlValue){.type = TRACEQL_INT, .integer = INT64_MAX};
    else
        return false;
    return true;
}

ErrCode traceql_read_value(TraceqlParser *parser, TraceqlValue *out, bool *is_one, Error *err) {
    const TraceqlToken *token = &parser->token;

    *is_one = true;
    switch (token->kind) {
    case TOKEN_STRING:
        *out = (TraceqlValue){.type = TRACEQL_STRING, .text = token->text};
        break;
    case TOKEN_INTEGER:
        *out = (TraceqlValue){.type = TRACEQL_INT, .integer = token->integer};
        break;
    case TOKEN_FLOAT:
        *out = (TraceqlValue){.type = TRACEQL_FLOAT, .number = token->number};
        break;
    case TOKEN_DURATION:
        *out = (TraceqlValue){.type = TRACEQL_DURATION, .integer = token->integer};
        break;
    default:
        *is_one = token->kind == TOKEN_WORD && word_value(token->text, out);
        if (!*is_one) return ERR_OK;
        break;
    }
    return traceql_next(parser, err);
}

/* ---- attributes ---- */

#define X(id, name, scoped) {STR_INIT(name), STR_INIT(scoped)},
static const struct { Str name, scoped; } intrinsics[] = {TRACEQL_INTRINSICS(X)};
#undef X

static bool find_scoped(Str scope, Str word, TraceqlAttribute *out) {
    for (uint8_t i = 1; i < TRACEQL_INTRINSIC_COUNT; i++) {
        Str rest = intrinsics[i].scoped;

        if (!str_starts_with(rest, scope)) continue;
        rest = str_from(rest, scope.len);
        if (rest.len == 0 || rest.ptr[0] != ':' || !str_equal(str_from(rest, 1), word)) continue;
        *out = (TraceqlAttribute){.intrinsic = i};
        return true;
    }
    return false;
}

static bool find_intrinsic(Str word, TraceqlAttribute *out) {
    for (uint8_t i = 1; i < TRACEQL_INTRINSIC_COUNT; i++) {
        if (!str_equal(intrinsics[i].name, word)) continue;
        *out = (TraceqlAttribute){.intrinsic = i};
        return true;
    }
    return false;
}

ErrCode traceql_read_attribute(TraceqlParser *parser, TraceqlAttribute *out, bool *is_one,
                               Error *err) {
    TraceqlToken token = parser->token;

    *is_one = true;
    if (token.kind == TOKEN_ATTRIBUTE) {
        *out = token.attribute;
    } else if (token.kind == TOKEN_SCOPE) {
        TRY(traceql_next(parser, err));
        if (parser->token.kind != TOKEN_WORD || !find_scoped(token.text, parser->token.text, out))
            return traceql_unexpected(parser,
                                      str_equal(token.text, STR("trace"))
                                          ? "duration or rootName or rootService or id"
                                          : "",
                                      err);
    } else {
        *is_one = token.kind == TOKEN_WORD && find_intrinsic(token.text, out);
        if (!*is_one) return ERR_OK;
    }
    return traceql_next(parser, err);
}

/* ---- operators ---- */

typedef struct Operator {
    const char *symbol;
    uint8_t op;
    uint8_t precedence;
} Operator;

enum { PRECEDENCE_MINUS = 3, PRECEDENCE_NOT = 4, PRECEDENCE_POW = 6 };

static const Operator operators[] = {
    {"&&", TRACEQL_AND, 1}, {"||", TRACEQL_OR, 1},
    {"=", TRACEQL_EQ, 2},   {"!=", TRACEQL_NEQ, 2},
    {"<", TRACEQL_LT, 2},   {"<=", TRACEQL_LTE, 2},
    {">", TRACEQL_GT, 2},   {">=", TRACEQL_GTE, 2},
    {"=~", TRACEQL_RE, 2},  {"!~", TRACEQL_NRE, 2},
    {"+", TRACEQL_ADD, 3},  {"-", TRACEQL_SUB, 3},
    {"*", TRACEQL_MUL, 5},  {"/", TRACEQL_DIV, 5},
    {"%", TRACEQL_MOD, 5},  {"^", TRACEQL_POW, PRECEDENCE_POW},
};

static const Operator *operator_of(const TraceqlParser *parser) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (traceql_is_symbol(parser, operators[i].symbol)) return &operators[i];
    return NULL;
}

static TraceqlExpr *new_expr(TraceqlParser *parser, TraceqlExpr expr) {
    TraceqlExpr *made = ARENA_NEW(parser->arena, TraceqlExpr);

    if (made != NULL) *made = expr;
    return made;
}

static bool is_nil(const TraceqlExpr *expr) {
    return expr->kind == TRACEQL_EXPR_VALUE && expr->value.type == TRACEQL_NIL;
}

/* With nil there is only = and !=: whether the other side is there. */
static ErrCode join_nil(TraceqlParser *parser, uint8_t op, TraceqlExpr *left, TraceqlExpr *right,
                        TraceqlExpr **out, Error *err) {
    TraceqlExpr *other = is_nil(left) ? right : left;

    if (op != TRACEQL_EQ && op != TRACEQL_NEQ) return traceql_unexpected(parser, "", err);
    if (is_nil(other))
        *out = new_expr(parser, (TraceqlExpr){.value = {.type = TRACEQL_BOOL, .truth = false}});
    else
        *out = new_expr(parser, (TraceqlExpr){
                                    .kind = TRACEQL_EXPR_UNARY,
                                    .op = op == TRACEQL_EQ ? TRACEQL_NOT_EXISTS : TRACEQL_EXISTS,
                                    .left = other,
                                });
    return *out == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

static ErrCode join(TraceqlParser *parser, uint8_t op, TraceqlExpr *left, TraceqlExpr *right,
                    TraceqlExpr **out, Error *err) {
    TraceqlExpr expr = {.kind = TRACEQL_EXPR_BINARY, .op = op, .left = left, .right = right};

    if (is_nil(left) || is_nil(right)) return join_nil(parser, op, left, right, out, err);
    /* Constants become one, so that what an attribute is compared with is a constant. */
    if (left->kind == TRACEQL_EXPR_VALUE && right->kind == TRACEQL_EXPR_VALUE &&
        traceql_is_arithmetic(op) && traceql_is_number(left->value.type) &&
        traceql_is_number(right->value.type)) {
        expr = (TraceqlExpr){.kind = TRACEQL_EXPR_VALUE};
        TRY(traceql_binary(op, &left->value, &right->value, NULL, &expr.value, err));
    }
    *out = new_expr(parser, expr);
    return *out == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

static ErrCode read_level(TraceqlParser *parser, uint8_t lowest, TraceqlExpr **out, Error *err);

static ErrCode read_unary(TraceqlParser *parser, TraceqlExpr **out, Error *err) {
    bool minus = traceql_is_symbol(parser, "-");
    TraceqlExpr *inner;

    TRY(traceql_next(parser, err));
    TRY(read_level(parser, minus ? PRECEDENCE_MINUS : PRECEDENCE_NOT, &inner, err));
    if (is_nil(inner)) return traceql_unexpected(parser, "", err);
    if (minus && inner->kind == TRACEQL_EXPR_VALUE && traceql_is_number(inner->value.type)) {
        if (inner->value.type == TRACEQL_FLOAT)
            inner->value.number = -inner->value.number;
        else
            inner->value.integer = (int64_t)(0 - (uint64_t)inner->value.integer);
        *out = inner;
        return ERR_OK;
    }
    *out = new_expr(parser, (TraceqlExpr){.kind = TRACEQL_EXPR_UNARY,
                                          .op = minus ? TRACEQL_MINUS : TRACEQL_NOT,
                                          .left = inner});
    return *out == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

static ErrCode read_primary(TraceqlParser *parser, TraceqlExpr **out, Error *err) {
    TraceqlExpr expr = {0};
    bool is_one;
    char why[128];

    if (traceql_is_symbol(parser, "(")) {
        TRY(traceql_next(parser, err));
        TRY(read_level(parser, 0, out, err));
        return traceql_expect(parser, ")", "", err);
    }
    if (traceql_is_symbol(parser, "-") || traceql_is_symbol(parser, "!"))
        return read_unary(parser, out, err);
    if (traceql_is_word(parser, "nil")) {
        TRY(traceql_next(parser, err));
        is_one = true;
    } else {
        TRY(traceql_read_value(parser, &expr.value, &is_one, err));
        if (!is_one) {
            expr.kind = TRACEQL_EXPR_ATTRIBUTE;
            TRY(traceql_read_attribute(parser, &expr.attribute, &is_one, err));
        }
    }
    if (!is_one && parser->token.kind == TOKEN_WORD) {
        snprintf(why, sizeof why, "unknown identifier: " STR_FMT,
                 STR_ARG(str_slice(parser->token.text, 0, 64)));
        return traceql_error_at(parser->scanner.text, parser->token.at, err, why);
    }
    if (!is_one) return traceql_unexpected(parser, "", err);
    *out = new_expr(parser, expr);
    return *out == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

/* Operators that bind tighter than `lowest`. */
static ErrCode read_level(TraceqlParser *parser, uint8_t lowest, TraceqlExpr **out, Error *err) {
    const Operator *op;

    TRY(traceql_deeper(parser, err));
    TRY(read_primary(parser, out, err));
    while ((op = operator_of(parser)) != NULL && op->precedence > lowest) {
        TraceqlExpr *right;

        TRY(traceql_next(parser, err));
        TRY(read_level(parser,
                       op->precedence == PRECEDENCE_POW ? PRECEDENCE_POW - 1 : op->precedence,
                       &right, err));
        TRY(join(parser, op->op, *out, right, out, err));
    }
    parser->depth--;
    return ERR_OK;
}

ErrCode traceql_read_expr(TraceqlParser *parser, TraceqlExpr **out, Error *err) {
    return read_level(parser, 0, out, err);
}
