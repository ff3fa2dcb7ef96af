#pragma once
/*
 * build.h: what lexer, grammar and tree builder share. Private to the parser.
 */
#include "querier/logql/parser.h"

/* Elements that grow in the arena; what they are, the grammar says. */
typedef struct LogqlList {
    void *items;
    size_t count;
    size_t capacity;
} LogqlList;

/* {...} | ... [5m] offset 1h, in whichever order it was written */
typedef struct LogqlRangeParts {
    LogqlLog log;
    const LogqlUnwrap *unwrap;
    int64_t range_ns;
    int64_t offset_ns;
} LogqlRangeParts;

typedef struct LogqlModifier {
    LogqlMatching matching;
    bool returns_bool;
} LogqlModifier;

typedef struct LogqlParser {
    Arena *arena;
    Str query;
    LogqlExpr *result;
    LogqlList regexes; /* one Matcher of each different expression */
    size_t at;         /* the lexer's place */
    size_t last_start; /* of the newest token */
    /* Loki's scanner forgets the line when it looks behind what Go takes as a token; clients see
     * line 0 then. */
    bool last_has_line;
    bool ended;
    ErrCode code; /* of the first error; nothing else counts after it */
    Error *err;
} LogqlParser;

typedef void *LogqlScanner;

/* First error wins. With a place: that of the newest token. */
void logql_fail_here(LogqlParser *parser, ErrCode code, const char *format, ...) PRINTF_LIKE(3, 4);
void logql_fail(LogqlParser *parser, ErrCode code, const char *format, ...) PRINTF_LIKE(3, 4);
static inline bool logql_failed(const LogqlParser *parser) {
    return parser->code != ERR_OK;
}

/* Builders return NULL after a failure. `list` may be NULL: a new one. */
LogqlList *logql_list_add(LogqlParser *parser, LogqlList *list, const void *item, size_t bytes);
void *logql_copy(LogqlParser *parser, const void *what, size_t bytes);

const Matcher *logql_new_matcher(LogqlParser *parser, MatchOp op, Str name, Str value);
LogqlLabelFilter *logql_new_match_filter(LogqlParser *parser, const Matcher *match);
LogqlLabelFilter *logql_new_number_filter(LogqlParser *parser, Str name, LogqlCompare compare,
                                          const LogqlExpr *literal);
LogqlLabelFilter *logql_new_filter(LogqlParser *parser, LogqlLabelFilter filter);
LogqlLabelFilter *logql_new_pair(LogqlParser *parser, LogqlFilterKind kind,
                                 const LogqlLabelFilter *left, const LogqlLabelFilter *right);
LogqlUnwrap *logql_new_unwrap(LogqlParser *parser, Str label, LogqlConversion conversion);
LogqlUnwrap *logql_unwrap_add(LogqlParser *parser, LogqlUnwrap *unwrap,
                              const LogqlLabelFilter *filter);
/* Fail the parser over an expression that such a stage cannot have. */
void logql_check_regexp(LogqlParser *parser, Str expression);
void logql_check_pattern(LogqlParser *parser, Str pattern);
/* Adds the choices, last one first, to the newest term, or as terms of their own when the filter is
 * negated. */
LogqlList *logql_add_choices(LogqlParser *parser, LogqlList *terms, const LogqlList *choices);

LogqlExpr *logql_new_log(LogqlParser *parser, const LogqlList *matchers, const LogqlList *stages);
LogqlExpr *logql_new_range(LogqlParser *parser, LogqlRangeOp op, const LogqlRangeParts *parts,
                           const Str *param, const LogqlGrouping *grouping);
LogqlExpr *logql_new_vector(LogqlParser *parser, LogqlVectorOp op, LogqlExpr *inner,
                            const Str *param, const LogqlGrouping *grouping);
LogqlExpr *logql_new_binary(LogqlParser *parser, LogqlBinaryOp op, LogqlExpr *left,
                            const LogqlModifier *modifier, LogqlExpr *right);
LogqlExpr *logql_new_literal(LogqlParser *parser, Str number, bool negative);
LogqlExpr *logql_new_vector_literal(LogqlParser *parser, Str number);
LogqlExpr *logql_new_label_replace(LogqlParser *parser, LogqlExpr *inner, Str destination,
                                   Str replacement, Str source, Str regex);
/* What is wrong with the tree that the grammar does not see; the outermost fault first. */
void logql_check(LogqlParser *parser, const LogqlExpr *expr, LogqlCheck check);

/* scan.c: what flex's patterns cannot say about a token. */
typedef enum LogqlNumberKind {
    LOGQL_IS_NUMBER,
    LOGQL_IS_DURATION,
    LOGQL_IS_BYTES,
} LogqlNumberKind;

/* The number that begins at `rest`, with its unit. False, with why: it is none. */
MUST_USE bool logql_scan_number(Str rest, size_t *len, LogqlNumberKind *kind, int64_t *ns,
                                uint64_t *bytes, const char **why);
/* `rest` begins with a minus. 0: no duration begins there. */
size_t logql_scan_negative(Str rest, int64_t *ns);
/* The literal that begins at `rest`. NULL, or what is wrong with it, as Go's scanner says it. */
const char *logql_scan_string(Str rest, size_t *len);
size_t logql_scan_word(Str rest); /* 0: no letter */
/* A parenthesis comes next, or by (, or without ( */
bool logql_is_call(Str rest);
