#pragma once
/*
 * parser.h: the text of a TraceQL query to its tree and back.
 */
#include "querier/traceql/ast.h"

/* Parses and checks. ERR_INVALID in Tempo's words ("parse error at line 1, col 10: syntax error:
 * unexpected }"); ERR_LIMIT: longer than TRACEQL_TEXT_MAX, or the arena. */
MUST_USE ErrCode traceql_parse(Str text, Arena *arena, TraceqlQuery **out, Error *err);

/* The filter of tag queries while it is typed: what is not complete is left out (`{ a = "x" && name
 * = }`), and what makes no sense is no filter: *out NULL. Only a single filter comes. */
MUST_USE ErrCode traceql_parse_lenient(Str text, Arena *arena, TraceqlQuery **out, Error *err);

/* `span.http.method`, `.x`, `name`, `span:status`. */
MUST_USE ErrCode traceql_parse_attribute(Str text, Arena *arena, TraceqlAttribute *out, Error *err);

/* As they are written: `span."with space"`, `name`, `span.x % 3`. */
Str traceql_attribute_text(const TraceqlAttribute *attribute, Arena *arena);
Str traceql_expr_text(const TraceqlExpr *expr, Arena *arena);
/* Of a value: strings without quotes, `1.5s`, `error`, `true`. */
Str traceql_value_text(const TraceqlValue *value, Arena *arena);
