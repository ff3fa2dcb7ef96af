#pragma once
/*
 * build.h: what lexer, grammar and tree builder share. Private to the parser.
 */
#include "querier/promql/parser.h"

/* A token with its place. */
typedef struct PromqlItem {
    Str text;
    PromqlRange range;
} PromqlItem;

typedef struct PromqlNames {
    Str *items;
    size_t count;
    size_t capacity;
} PromqlNames;

typedef struct PromqlArgs {
    PromqlExpr **items;
    size_t count;
    size_t capacity;
    uint32_t end; /* behind the closing parenthesis */
} PromqlArgs;

typedef struct PromqlMatchers {
    Matcher *items;
    size_t count;
    size_t capacity;
    PromqlRange range;
} PromqlMatchers;

/* `by (...)` or `without (...)` */
typedef struct PromqlGrouping {
    PromqlNames *names;
    bool without;
} PromqlGrouping;

typedef struct PromqlModifier {
    PromqlMatching matching;
    bool returns_bool;
} PromqlModifier;

typedef struct PromqlParser {
    Arena *arena;
    Str query;
    PromqlOptions options;
    PromqlExpr *result;
    PromqlMatchers *regexes; /* one matcher of each different expression */
    bool only_selector;
    bool started;   /* the start token was handed out */
    int last_token; /* the newest token and its text: what an error calls unexpected */
    PromqlItem last;
    uint32_t last_closing; /* end of the newest token that can end an expression */
    uint32_t at;           /* the lexer's place */
    uint32_t parens;
    bool bracket_open;
    bool colon_seen; /* both within brackets: a colon, a number or step() or the like */
    bool duration_seen;
    ErrCode code; /* of the first error; nothing else counts after it */
    Error *err;
} PromqlParser;

typedef void *PromqlScanner;

/* First error wins. `range.start` is where it is said to be. */
void promql_fail(PromqlParser *parser, ErrCode code, PromqlRange range, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* "unexpected <newest token> in <context>, expected <expected>" */
void promql_unexpected(PromqlParser *parser, const char *context, const char *expected);
static inline bool promql_failed(const PromqlParser *parser) {
    return parser->code != ERR_OK;
}

/* Builders return NULL after a failure. */
PromqlExpr *promql_new_number(PromqlParser *parser, PromqlItem item);
PromqlExpr *promql_new_duration_literal(PromqlParser *parser, PromqlItem item);
PromqlExpr *promql_new_string(PromqlParser *parser, PromqlItem item);
PromqlExpr *promql_new_paren(PromqlParser *parser, PromqlItem open, PromqlExpr *inner,
                             PromqlItem close);
PromqlExpr *promql_new_unary(PromqlParser *parser, PromqlItem op, PromqlExpr *inner);
PromqlExpr *promql_new_binary(PromqlParser *parser, PromqlOp op, PromqlExpr *left,
                              PromqlModifier *modifier, PromqlExpr *right);
PromqlExpr *promql_new_call(PromqlParser *parser, PromqlItem name, PromqlArgs *args);
PromqlExpr *promql_new_aggregate(PromqlParser *parser, PromqlItem op, PromqlGrouping *grouping,
                                 PromqlArgs *args, uint32_t end);
PromqlExpr *promql_new_selector(PromqlParser *parser, const PromqlItem *name,
                                PromqlMatchers *matchers);
PromqlExpr *promql_new_matrix(PromqlParser *parser, PromqlExpr *inner, PromqlItem open,
                              PromqlExpr *range, PromqlItem close);
PromqlExpr *promql_new_subquery(PromqlParser *parser, PromqlExpr *inner, PromqlExpr *range,
                                PromqlExpr *step, PromqlItem close);
void promql_set_offset(PromqlParser *parser, PromqlExpr *expr, PromqlExpr *offset);
void promql_set_at(PromqlParser *parser, PromqlExpr *expr, PromqlAt at, double seconds);
void promql_set_extended(PromqlParser *parser, PromqlExpr *expr, bool anchored);

/* A number as a duration: `where` is named when it is more than one may have. */
PromqlExpr *promql_check_duration(PromqlParser *parser, PromqlExpr *number, PromqlRange where);
PromqlExpr *promql_new_step(PromqlParser *parser, PromqlOp op, PromqlItem name, PromqlItem close);
PromqlExpr *promql_new_extremum(PromqlParser *parser, PromqlItem name, PromqlExpr *left,
                                PromqlExpr *right, PromqlItem close);
PromqlExpr *promql_new_duration(PromqlParser *parser, PromqlOp op, PromqlExpr *left,
                                PromqlItem op_item, PromqlExpr *right);
/* A node for the sign of what is no number. */
PromqlExpr *promql_new_signed(PromqlParser *parser, PromqlItem op, PromqlExpr *inner);
/* The sign of anything: a number just changes, and a plus vanishes. */
PromqlExpr *promql_sign_duration(PromqlParser *parser, PromqlItem op, PromqlExpr *inner);
PromqlExpr *promql_wrap_duration(PromqlParser *parser, PromqlItem open, PromqlExpr *inner,
                                 PromqlItem close);
/* A range or step must be positive when it is known already. */
PromqlExpr *promql_positive_duration(PromqlParser *parser, PromqlExpr *duration);

PromqlNames *promql_names_add(PromqlParser *parser, PromqlNames *names, Str name);
PromqlArgs *promql_args_new(PromqlParser *parser, PromqlItem close);
PromqlArgs *promql_args_add(PromqlParser *parser, PromqlArgs *args, PromqlExpr *arg);
PromqlMatchers *promql_matchers_add(PromqlParser *parser, PromqlMatchers *matchers, Matcher one);
Matcher promql_new_matcher(PromqlParser *parser, PromqlItem name, MatchOp op, PromqlItem value);
Matcher promql_new_name_matcher(PromqlParser *parser, PromqlItem name);
Str promql_unquote(PromqlParser *parser, PromqlItem item);
void promql_check_label(PromqlParser *parser, PromqlItem label, bool quoted);
PromqlModifier *promql_new_modifier(PromqlParser *parser, bool returns_bool);
PromqlGrouping *promql_new_grouping(PromqlParser *parser, PromqlNames *names, bool without);

/* Types of the whole tree; the first thing that is wrong fails the parser. */
void promql_check(PromqlParser *parser, PromqlExpr *expr);
/* One of the selector's matchers, at least, needs a label that is not empty. */
bool promql_is_selective(const PromqlExpr *selector);

/* literal.c */
/* NULL, or what is wrong with the number, as Go's strconv says it. */
MUST_USE const char *promql_parse_number(Str text, double *out);
/* False: more than a duration may have. */
MUST_USE bool promql_seconds_to_ms(double seconds, int64_t *ms);
