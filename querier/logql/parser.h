#pragma once
/*
 * parser.h: LogQL text to ast.h and back, as of Loki 3 (August 2026).
 */
#include "common/base/buf.h"
#include "querier/logql/ast.h"

enum {
    LOGQL_QUERY_BYTES_MAX = 128 << 10, /* Loki's own */
    LOGQL_DEPTH_MAX = 1000,            /* nested nodes; every recursive pass counts on it */
    LOGQL_REGEXES_MAX = 512,
    LOGQL_REGEX_BYTES_MAX = 64 << 10,
};

typedef enum LogqlCheck {
    LOGQL_CHECKED,
    LOGQL_UNCHECKED, /* a selector may match every stream: for tails, streams and volumes */
} LogqlCheck;

/* The whole expression. `query` is copied into `arena`. ERR_INVALID with Loki's words: `parse error
 * at line 1, col 5: syntax error: unexpected ...`, `parse error : queries require at least ...`.
 * ERR_LIMIT: too deep, too many or too large expressions, or out of memory. */
MUST_USE ErrCode logql_parse(Arena *arena, Str query, LogqlCheck check, LogqlExpr **out,
                             Error *err);
/* {app="a"} alone, as match[], series and the like have it. ERR_INVALID: also for anything more. */
MUST_USE ErrCode logql_parse_matchers(Arena *arena, Str text, LogqlCheck check, const Matcher **out,
                                      size_t *count, Error *err);

void logql_print(const LogqlExpr *expr, Buf *out);        /* one line, canonical */
void logql_print_pretty(const LogqlExpr *expr, Buf *out); /* as /loki/api/v1/format_query */
void logql_print_stage(const LogqlStage *stage, Buf *out);
void logql_print_filter(const LogqlLabelFilter *filter, Buf *out);
