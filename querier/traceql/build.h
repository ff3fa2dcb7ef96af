#pragma once
/*
 * build.h: what the parser's files share: the state of a parse, values of constants, the check.
 */
#include "querier/traceql/parser.h"
#include "querier/traceql/scan.h"

typedef struct TraceqlParser {
    TraceqlScanner scanner;
    TraceqlToken token; /* the one that is looked at */
    Arena *arena;
    unsigned depth;
    unsigned tokens;
    uint32_t filters;
    uint32_t metric_pipelines;
} TraceqlParser;

ErrCode traceql_out_of_memory(Error *err);
MUST_USE ErrCode traceql_next(TraceqlParser *parser, Error *err);
/* "syntax error: unexpected <the token>[, expecting ...]" */
ErrCode traceql_unexpected(const TraceqlParser *parser, const char *expecting, Error *err);
bool traceql_is_symbol(const TraceqlParser *parser, const char *symbol);
bool traceql_is_word(const TraceqlParser *parser, const char *word);
MUST_USE ErrCode traceql_expect(TraceqlParser *parser, const char *symbol, const char *expecting,
                                Error *err);
/* One level deeper; the caller takes one off `depth` when it returns. */
MUST_USE ErrCode traceql_deeper(TraceqlParser *parser, Error *err);

/* parse_expr.c */
MUST_USE ErrCode traceql_read_expr(TraceqlParser *parser, TraceqlExpr **out, Error *err);
/* An attribute or intrinsic, if the token begins one. */
MUST_USE ErrCode traceql_read_attribute(TraceqlParser *parser, TraceqlAttribute *out, bool *is_one,
                                        Error *err);
/* A literal, if the token is one. */
MUST_USE ErrCode traceql_read_value(TraceqlParser *parser, TraceqlValue *out, bool *is_one,
                                    Error *err);

/* values.c: what operators do with values, when queries are parsed and when they are run.
 * ERR_INVALID: division by zero. Types that don't go together: false. */
bool traceql_is_number(uint8_t type);
double traceql_number(const TraceqlValue *value); /* NaN: it isn't one */
MUST_USE ErrCode traceql_binary(uint8_t op, const TraceqlValue *left, const TraceqlValue *right,
                                const Regex *regex, TraceqlValue *out, Error *err);
/* Of elements of the same type: strings, numbers, truths. */
bool traceql_compare(uint8_t op, const TraceqlValue *left, const TraceqlValue *right);
int traceql_value_order(const TraceqlValue *a, const TraceqlValue *b); /* of any types */
bool traceql_is_comparison(uint8_t op);
bool traceql_is_arithmetic(uint8_t op);
bool traceql_is_array(uint8_t type);
uint8_t traceql_element_type(uint8_t type);
TraceqlValue traceql_element(const TraceqlValue *array, uint32_t i);

/* check.c */
MUST_USE ErrCode traceql_check(TraceqlQuery *query, Arena *arena, Error *err);
const char *traceql_op_text(uint8_t op);
uint8_t traceql_expr_type(const TraceqlExpr *expr);
