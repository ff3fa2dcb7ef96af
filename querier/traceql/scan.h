#pragma once
/*
 * scan.h: tokens of TraceQL. Written by hand: what a rune means depends on whether a name of an
 * attribute is being read (`span.a-b` is one, `1-2` are three tokens), and a number is a duration
 * if what follows makes it one.
 */
#include "querier/traceql/ast.h"

typedef enum TraceqlTokenKind {
    TOKEN_END,
    TOKEN_WORD, /* keywords are told apart by who reads them */
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_DURATION,
    TOKEN_ATTRIBUTE,
    TOKEN_SCOPE, /* `span:`, `trace:` and so on; `text` is without the colon */
    TOKEN_SYMBOL,
} TraceqlTokenKind;

typedef struct TraceqlToken {
    uint8_t kind;
    Str text; /* as written; of strings, what they stand for */
    size_t at;
    TraceqlAttribute attribute;
    int64_t integer; /* durations, too */
    double number;
} TraceqlToken;

typedef struct TraceqlScanner {
    Str text;
    size_t at;
    Arena *arena;
} TraceqlScanner;

MUST_USE ErrCode traceql_scan(TraceqlScanner *scanner, TraceqlToken *out, Error *err);
/* "parse error at line 1, col 10: why" */
ErrCode traceql_error_at(Str text, size_t at, Error *err, const char *why);
/* Whether a name must be quoted. */
bool traceql_is_plain_name(Str name);
