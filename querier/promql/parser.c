/*
 * parser.c: runs lexer and grammar, and words their errors.
 */
#include <stdarg.h>
#include <stdio.h>

#include "querier/promql/build.h"
#include "querier/promql/promql.tab.h"

#include "querier/promql/promql.lex.h"

void promql_position(Str query, uint32_t offset, unsigned *line, unsigned *column) {
    *line = *column = 1;
    for (uint32_t i = 0; i < offset && i < query.len; i++) {
        if (query.ptr[i] == '\n') {
            *line += 1;
            *column = 1;
        } else {
            *column += 1;
        }
    }
}

void promql_fail(PromqlParser *parser, ErrCode code, PromqlRange range, const char *format, ...) {
    unsigned line, column;
    char text[400];
    va_list args;

    if (promql_failed(parser)) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    promql_position(parser->query, range.start, &line, &column);
    parser->code = error_set(parser->err, code, "%u:%u: parse error: %s", line, column, text);
}

/* The newest token in Prometheus' words: what it is, and its text unless that says it all. */
static void describe_token(const PromqlParser *parser, char *out, size_t size) {
    Str text = parser->last.text;
    int token = parser->last_token;
    const char *kind = NULL, *before = "\"", *after = "\"";
    char escaped[64];
    size_t used = 0, shown = MIN(text.len, 10);

    if (token == PROMQL_YYEOF) {
        snprintf(out, size, "end of input");
        return;
    }
    if (token == IDENTIFIER) kind = "identifier ";
    if (token == METRIC_IDENTIFIER) kind = "metric identifier ";
    if (token == STRING) kind = "string ";
    if (token == NUMBER) kind = "number ";
    if (token == DURATION) kind = "duration ";
    if (token == IDENTIFIER || token == METRIC_IDENTIFIER) shown = text.len;
    if (token >= ADD && token <= AT) before = "<op:", after = ">";
    if (token >= SUM && token <= LIMIT_RATIO) before = "<aggr:", after = ">";
    if (token >= BOOL && token <= ANCHORED) before = "<", after = ">";
    if (before[0] == '<' || shown == text.len) {
        shown = MIN(text.len, 40);
    } else {
        after = "\"...";
    }
    for (size_t i = 0; i < shown && used + 2 < sizeof escaped; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') escaped[used++] = '\\';
        escaped[used++] = text.ptr[i];
    }
    escaped[used] = '\0';
    snprintf(out, size, "%s%s%s%s", kind == NULL ? "" : kind, before, escaped, after);
}

void promql_unexpected(PromqlParser *parser, const char *context, const char *expected) {
    char token[128];

    if (promql_failed(parser)) return;
    describe_token(parser, token, sizeof token);
    promql_fail(parser, ERR_INVALID, parser->last.range, "unexpected %s%s%s%s%s", token,
                context == NULL ? "" : " in ", context == NULL ? "" : context,
                expected == NULL ? "" : ", expected ", expected == NULL ? "" : expected);
}

static ErrCode run(PromqlParser *parser) {
    YY_BUFFER_STATE buffer;
    yyscan_t scanner;
    int failed;

    if (parser->query.len > PROMQL_QUERY_BYTES_MAX)
        return error_set(parser->err, ERR_LIMIT, "the query has %zu bytes; at most %d are parsed",
                         parser->query.len, PROMQL_QUERY_BYTES_MAX);
    if (promql_yylex_init_extra(parser, &scanner) != 0)
        return error_set(parser->err, ERR_LIMIT, "out of memory");
    buffer = promql_yy_scan_bytes(parser->query.ptr, (int)parser->query.len, scanner);
    failed = promql_yyparse(scanner, parser);
    promql_yy_delete_buffer(buffer, scanner);
    promql_yylex_destroy(scanner);
    if (failed == 0 && !promql_failed(parser)) promql_check(parser, parser->result);
    if (failed != 0 && !promql_failed(parser)) promql_unexpected(parser, NULL, NULL);
    return parser->code;
}

ErrCode promql_parse(Arena *arena, Str query, const PromqlOptions *options, PromqlExpr **out,
                     Error *err) {
    PromqlParser parser = {.arena = arena, .err = err};

    /* Names and literals point into the query: it must live as long as the tree. */
    parser.query = str_dup(arena, query);
    if (parser.query.ptr == NULL)
        return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
    if (options != NULL) parser.options = *options;
    TRY(run(&parser));
    *out = parser.result;
    return ERR_OK;
}

ErrCode promql_parse_selector(Arena *arena, Str text, const Matcher **out, size_t *count,
                              Error *err) {
    PromqlParser parser = {.arena = arena, .err = err, .only_selector = true};

    parser.query = str_dup(arena, text);
    if (parser.query.ptr == NULL)
        return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
    TRY(run(&parser));
    *out = parser.result->as.selector.matchers;
    *count = parser.result->as.selector.matcher_count;
    return ERR_OK;
}
