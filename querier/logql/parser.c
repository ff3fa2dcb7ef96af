/*
 * parser.c: runs lexer and grammar, and words their errors.
 */
#include <stdarg.h>
#include <stdio.h>

#include "common/base/rune.h"
#include "querier/logql/build.h"
#include "querier/logql/logql.tab.h"

#include "querier/logql/logql.lex.h"

#define OP_TEXT_(name, text) text,
const char *logql_range_op_text(LogqlRangeOp op) {
    static const char *const texts[] = {LOGQL_RANGE_OPS(OP_TEXT_)};

    return texts[op];
}

const char *logql_vector_op_text(LogqlVectorOp op) {
    static const char *const texts[] = {LOGQL_VECTOR_OPS(OP_TEXT_)};

    return texts[op];
}

const char *logql_binary_op_text(LogqlBinaryOp op) {
    static const char *const texts[] = {LOGQL_BINARY_OPS(OP_TEXT_)};

    return texts[op];
}

bool logql_op_is_comparison(LogqlBinaryOp op) {
    return op >= LOGQL_COMPARE_EQUAL;
}

bool logql_op_is_set(LogqlBinaryOp op) {
    return op <= LOGQL_UNLESS;
}

/* ---- errors ---- */

/* Lines count from 1; columns count characters. */
static void place_of(const LogqlParser *parser, unsigned *line, unsigned *column) {
    Str before = str_slice(parser->query, 0, parser->last_start);

    *line = *column = 1;
    while (before.len > 0) {
        size_t len;

        if (rune_decode(before, &len) == '\n') {
            *line += 1;
            *column = 0;
        }
        *column += 1;
        before = str_from(before, len);
    }
    if (!parser->last_has_line) *line = 0;
}

static void fail(LogqlParser *parser, ErrCode code, bool placed, const char *format, va_list args) {
    unsigned line = 0, column = 0;
    char text[480];

    if (logql_failed(parser)) return;
    vsnprintf(text, sizeof text, format, args);
    if (placed && parser->query.len > 0) place_of(parser, &line, &column);
    if (code != ERR_INVALID)
        parser->code = error_set(parser->err, code, "%s", text);
    else if (line == 0 && column == 0)
        parser->code = error_set(parser->err, code, "parse error : %s", text);
    else
        parser->code =
            error_set(parser->err, code, "parse error at line %u, col %u: %s", line, column, text);
}

void logql_fail(LogqlParser *parser, ErrCode code, const char *format, ...) {
    va_list args;

    va_start(args, format);
    fail(parser, code, false, format, args);
    va_end(args);
}

void logql_fail_here(LogqlParser *parser, ErrCode code, const char *format, ...) {
    va_list args;

    va_start(args, format);
    fail(parser, code, true, format, args);
    va_end(args);
}

/* ---- parsing ---- */

static ErrCode run(LogqlParser *parser, Str query, LogqlCheck check) {
    YY_BUFFER_STATE buffer;
    yyscan_t scanner;
    int failed;

    if (query.len >= LOGQL_QUERY_BYTES_MAX)
        return error_set(parser->err, ERR_INVALID, "parse error : input size too long (%zu > %d)",
                         query.len, LOGQL_QUERY_BYTES_MAX);
    /* Names and literals point into the query: it must live as long as the tree. */
    parser->query = str_dup(parser->arena, query);
    if (parser->query.ptr == NULL)
        return error_set(parser->err, ERR_LIMIT, "the query's memory limit is reached");
    if (logql_yylex_init_extra(parser, &scanner) != 0)
        return error_set(parser->err, ERR_LIMIT, "out of memory");
    buffer = logql_yy_scan_bytes(parser->query.ptr, (int)parser->query.len, scanner);
    failed = logql_yyparse(scanner, parser);
    logql_yy_delete_buffer(buffer, scanner);
    logql_yylex_destroy(scanner);
    if (failed != 0) logql_fail(parser, ERR_LIMIT, "out of memory");
    if (!logql_failed(parser)) logql_check(parser, parser->result, check);
    return parser->code;
}

ErrCode logql_parse(Arena *arena, Str query, LogqlCheck check, LogqlExpr **out, Error *err) {
    LogqlParser parser = {.arena = arena, .err = err};

    TRY(run(&parser, query, check));
    *out = parser.result;
    return ERR_OK;
}

ErrCode logql_parse_matchers(Arena *arena, Str text, LogqlCheck check, const Matcher **out,
                             size_t *count, Error *err) {
    LogqlExpr *expr = NULL;

    TRY(logql_parse(arena, text, check, &expr, err));
    if (expr->kind != LOGQL_LOG || expr->as.log.stage_count > 0)
        return error_set(err, ERR_INVALID, "only label matchers are supported");
    *out = expr->as.log.matchers;
    *count = expr->as.log.matcher_count;
    return ERR_OK;
}
