/*
 * parser.c: runs lexer and grammar, and words their errors.
 */
#include <stdarg.h>
#include <stdio.h>

#include "common/base/rune.h"
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
    char text[500];
    va_list args;

    if (promql_failed(parser)) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    promql_position(parser->query, range.start, &line, &column);
    if (parser->query.len == 0)
        parser->code = error_set(parser->err, code, "unknown position: parse error: %s", text);
    else
        parser->code = error_set(parser->err, code, "%u:%u: parse error: %s", line, column, text);
}

/* At most ten characters of a token that is longer than that in bytes. */
static void quote_start(Buf *out, Str text) {
    Str rest = text;

    if (text.len <= 10) {
        rune_quote(out, text);
        return;
    }
    for (int i = 0; i < 10 && rest.len > 0; i++) {
        size_t len;

        rune_decode(rest, &len);
        rest = str_from(rest, len);
    }
    rune_quote(out, (Str){text.ptr, text.len - rest.len});
    buf_append_str(out, STR("..."));
}

/* The newest token in Prometheus' words: what it is, and its text unless that says it all. */
static void describe_token(const PromqlParser *parser, Buf *out) {
    Str text = parser->last.text;
    int token = parser->last_token;

    switch (token) {
    case END_OF_INPUT:
        buf_append_str(out, STR("end of input"));
        return;
    case IDENTIFIER:
    case METRIC_IDENTIFIER:
        if (token == METRIC_IDENTIFIER) buf_append_str(out, STR("metric "));
        buf_append_str(out, STR("identifier "));
        rune_quote(out, str_slice(text, 0, 200));
        return;
    case STRING:
        buf_append_str(out, STR("string "));
        break;
    case NUMBER:
        buf_append_str(out, STR("number "));
        break;
    case DURATION:
        buf_append_str(out, STR("duration "));
        break;
    default:
        if (token < ADD || token > ANCHORED) break;
        buf_append_str(out, token <= AT            ? STR("<op:")
                            : token <= LIMIT_RATIO ? STR("<aggr:")
                                                   : STR("<"));
        buf_append_str(out, text);
        buf_append_byte(out, '>');
        return;
    }
    quote_start(out, text);
}

void promql_unexpected(PromqlParser *parser, const char *context, const char *expected) {
    CLEANUP_IN_PLACE(buf_done) Buf token = {0};

    if (promql_failed(parser)) return;
    buf_init(&token, 1024);
    describe_token(parser, &token);
    promql_fail(parser, ERR_INVALID, parser->last.range, "unexpected " STR_FMT "%s%s%s%s",
                STR_ARG(buf_str(&token)), context == NULL ? "" : " in ",
                context == NULL ? "" : context, expected == NULL ? "" : ", expected ",
                expected == NULL ? "" : expected);
}

static ErrCode run(PromqlParser *parser) {
    YY_BUFFER_STATE buffer;
    yyscan_t scanner;
    int failed;

    if (parser->query.len > PROMQL_QUERY_BYTES_MAX)
        return error_set(parser->err, ERR_INVALID, "the query has %zu bytes; at most %d are parsed",
                         parser->query.len, PROMQL_QUERY_BYTES_MAX);
    if (promql_yylex_init_extra(parser, &scanner) != 0)
        return error_set(parser->err, ERR_LIMIT, "out of memory");
    buffer = promql_yy_scan_bytes(parser->query.ptr, (int)parser->query.len, scanner);
    failed = promql_yyparse(scanner, parser);
    promql_yy_delete_buffer(buffer, scanner);
    promql_yylex_destroy(scanner);
    if (failed == 0 && !promql_failed(parser) && !parser->only_selector)
        promql_check(parser, parser->result);
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
    if (!promql_is_selective(parser.result))
        return error_set(err, ERR_INVALID, "match[] must contain at least one non-empty matcher");
    *out = parser.result->as.selector.matchers;
    *count = parser.result->as.selector.matcher_count;
    return ERR_OK;
}
