#pragma once
/*
 * parser.h: PromQL text to ast.h, as of Prometheus 3 with all of its experimental syntax.
 */
#include "common/base/buf.h"
#include "querier/promql/ast.h"

enum {
    PROMQL_QUERY_BYTES_MAX = 1 << 20,
    PROMQL_DEPTH_MAX = 1000, /* nested nodes; every recursive pass counts on it */
    PROMQL_REGEXES_MAX = 512,
    PROMQL_REGEX_BYTES_MAX = 256 << 10,
};

typedef struct PromqlOptions {
    bool experimental_off; /* refuse experimental functions, aggregations and fill modifiers */
    bool unquoted_names;   /* letters of every script, and dots, without quotes: http.requests */
} PromqlOptions;

/* The whole expression, types checked. ERR_INVALID: the text says where, in Prometheus' form:
 * `1:5: parse error: unexpected ...`. ERR_LIMIT: too long or too deep. `options` may be NULL. */
MUST_USE ErrCode promql_parse(Arena *arena, Str query, const PromqlOptions *options,
                              PromqlExpr **out, Error *err);
/* A series selector, as match[] has it. */
MUST_USE ErrCode promql_parse_selector(Arena *arena, Str text, const Matcher **out, size_t *count,
                                       Error *err);
/* "1h30m", "15s", "90": seconds may be a bare number; for HTTP parameters and literals. ERR_INVALID
 * has Prometheus' words. */
MUST_USE ErrCode promql_parse_duration(Str text, int64_t *ms, Error *err);

/* Computes the duration expressions of the tree for a query's start, end and step and writes them
 * into range_ms, step_ms and offset_ms. ERR_INVALID as Prometheus says it: a range must be
 * positive. */
MUST_USE ErrCode promql_resolve_durations(PromqlExpr *expr, Str query, int64_t start_ms,
                                          int64_t end_ms, int64_t step_ms, Error *err);

/* "line:column" of a byte of the query, columns counted in bytes from 1. */
void promql_position(Str query, uint32_t offset, unsigned *line, unsigned *column);

void promql_print(const PromqlExpr *expr, Buf *out);        /* one line, canonical */
void promql_print_pretty(const PromqlExpr *expr, Buf *out); /* as /api/v1/format_query */
void promql_print_json(const PromqlExpr *expr, Buf *out);   /* as /api/v1/parse_query */
