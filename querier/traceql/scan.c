/*
 * scan.c: tokens, one at a time, as Go's text/scanner with Tempo's rules on top finds them.
 */
#include "querier/traceql/scan.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rune.h"
#include "querier/exec/quoted.h"
#include "querier/logql/units.h"

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* All but spaces and what ends a name. */
static bool is_name_byte(char c) {
    return !is_space(c) && c != '\v' && c != '\f' && memchr("{}()=~!<>&|^,", c, 13) == NULL;
}

bool traceql_is_plain_name(Str name) {
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_byte(name.ptr[i]) || name.ptr[i] == '"') return false;
    return name.len > 0;
}

ErrCode traceql_error_at(Str text, size_t at, Error *err, const char *why) {
    unsigned line = 1, column = 1;

    for (size_t i = 0; i < at && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text.ptr[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(err, ERR_INVALID, "parse error at line %u, col %u: %s", line, column, why);
}

static char peek(const TraceqlScanner *scanner, size_t ahead) {
    size_t at = scanner->at + ahead;

    return at < scanner->text.len ? scanner->text.ptr[at] : '\0';
}

/* ---- attributes ---- */

/* At most how many bytes the name that begins here has: of names in a long text each must not take
 * as much memory as what is left of the text. */
static size_t name_length_max(const TraceqlScanner *scanner) {
    size_t at = scanner->at;
    bool quoted = false;

    for (; at < scanner->text.len; at++) {
        char c = scanner->text.ptr[at];

        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            at++;
        else if (!quoted && !is_name_byte(c))
            break;
    }
    return MIN(at, scanner->text.len) - scanner->at;
}

/* Parts in quotes and parts without may follow one another: span.a."b c".d */
static ErrCode scan_name(TraceqlScanner *scanner, Str *out, Error *err) {
    Str text = scanner->text;
    char *name = arena_alloc_bytes(scanner->arena, name_length_max(scanner) + 1);
    size_t len = 0, start = scanner->at;

    if (name == NULL) return error_set(err, ERR_LIMIT, "query: out of memory");
    while (scanner->at < text.len) {
        if (text.ptr[scanner->at] != '"') {
            if (!is_name_byte(text.ptr[scanner->at])) break;
            name[len++] = text.ptr[scanner->at++];
            continue;
        }
        for (scanner->at++;; scanner->at++) {
            if (scanner->at >= text.len)
                return traceql_error_at(text, start, err, "unexpected EOF, expecting \"");
            if (text.ptr[scanner->at] == '"') break;
            if (text.ptr[scanner->at] == '\\') {
                scanner->at++;
                if (peek(scanner, 0) != '\\' && peek(scanner, 0) != '"')
                    return traceql_error_at(text, scanner->at, err, "invalid escape sequence");
            }
            name[len++] = text.ptr[scanner->at];
        }
        scanner->at++;
    }
    if (scanner->at == start)
        return traceql_error_at(text, start, err,
                                "syntax error: unexpected END_ATTRIBUTE, expecting IDENTIFIER");
    *out = (Str){name, len};
    return ERR_OK;
}

static uint8_t scope_of(Str word) {
    static const struct {
        Str name;
        uint8_t scope;
    } scopes[] = {{STR_INIT("span"), SCOPE_SPAN},
                  {STR_INIT("resource"), SCOPE_RESOURCE},
                  {STR_INIT("event"), SCOPE_EVENT},
                  {STR_INIT("link"), SCOPE_LINK},
                  {STR_INIT("instrumentation"), SCOPE_INSTRUMENTATION}};

    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
        if (str_equal(word, scopes[i].name)) return scopes[i].scope;
    return 0;
}

static ErrCode scan_attribute(TraceqlScanner *scanner, TraceqlAttribute attribute,
                              TraceqlToken *out, Error *err) {
    if (attribute.parent) {
        Str rest = str_from(scanner->text, scanner->at);

        if (str_starts_with(rest, STR("span."))) {
            attribute.scope = SCOPE_SPAN;
            scanner->at += 5;
        } else if (str_starts_with(rest, STR("resource."))) {
            attribute.scope = SCOPE_RESOURCE;
            scanner->at += 9;
        }
    }
    TRY(scan_name(scanner, &attribute.name, err));
    out->kind = TOKEN_ATTRIBUTE;
    out->attribute = attribute;
    return ERR_OK;
}

static ErrCode scan_word(TraceqlScanner *scanner, TraceqlToken *out, Error *err) {
    size_t start = scanner->at;
    Str word;

    while (is_letter(peek(scanner, 0)) || is_digit(peek(scanner, 0))) scanner->at++;
    word = str_slice(scanner->text, start, scanner->at - start);
    out->kind = TOKEN_WORD;
    out->text = word;
    if (peek(scanner, 0) == ':' && (str_equal(word, STR("trace")) ||
                                    (scope_of(word) != 0 && scope_of(word) != SCOPE_RESOURCE))) {
        scanner->at++;
        out->kind = TOKEN_SCOPE;
    } else if (peek(scanner, 0) == '.' && (scope_of(word) != 0 || str_equal(word, STR("parent")))) {
        scanner->at++;
        return scan_attribute(
            scanner, (TraceqlAttribute){.scope = scope_of(word), .parent = scope_of(word) == 0},
            out, err);
    }
    return ERR_OK;
}

/* ---- numbers ---- */

/* Prometheus' durations (1d, 1w) and Go's (1.5s, 10us). */
static bool parse_duration(Str text, int64_t *ns) {
    Error ignored;

    return logql_parse_duration(text, ns, &ignored) == ERR_OK || logql_parse_go_duration(text, ns);
}

static size_t duration_length(const TraceqlScanner *scanner, size_t at) {
    Str text = scanner->text;

    while (at < text.len) {
        if (str_starts_with(str_from(text, at), STR("µ")))
            at += STR("µ").len;
        else if (is_digit(text.ptr[at]) || memchr(".nsumhdwy", text.ptr[at], 9) != NULL)
            at++;
        else
            break;
    }
    return at;
}

static ErrCode scan_number(TraceqlScanner *scanner, TraceqlToken *out, Error *err) {
    size_t start = scanner->at, end;
    bool is_float = false;
    char why[160];

    while (is_digit(peek(scanner, 0))) scanner->at++;
    end = duration_length(scanner, scanner->at);
    if (end > scanner->at &&
        parse_duration(str_slice(scanner->text, start, end - start), &out->integer)) {
        scanner->at = end;
        out->kind = TOKEN_DURATION;
        out->text = str_slice(scanner->text, start, end - start);
        return ERR_OK;
    }
    if (peek(scanner, 0) == '.') {
        is_float = true;
        scanner->at++;
        while (is_digit(peek(scanner, 0))) scanner->at++;
    }
    if (peek(scanner, 0) == 'e' || peek(scanner, 0) == 'E') {
        size_t sign = peek(scanner, 1) == '+' || peek(scanner, 1) == '-' ? 1 : 0;

        if (is_digit(peek(scanner, 1 + sign))) {
            is_float = true;
            scanner->at += 1 + sign;
            while (is_digit(peek(scanner, 0))) scanner->at++;
        }
    }
    out->text = str_slice(scanner->text, start, scanner->at - start);
    out->kind = is_float ? TOKEN_FLOAT : TOKEN_INTEGER;
    if (is_float ? str_to_double(out->text, &out->number) : str_to_i64(out->text, &out->integer))
        return ERR_OK;
    snprintf(why, sizeof why, "%s: parsing \"%.*s\": value out of range",
             is_float ? "strconv.ParseFloat" : "strconv.Atoi", (int)MIN(out->text.len, 64),
             out->text.ptr);
    return traceql_error_at(scanner->text, start, err, why);
}

/* ---- the rest ---- */

static ErrCode scan_string(TraceqlScanner *scanner, TraceqlToken *out, Error *err) {
    Str rest = str_from(scanner->text, scanner->at);
    char why[128];
    size_t len;

    if (!quoted_scan(rest, &len, why, sizeof why))
        return traceql_error_at(scanner->text, scanner->at, err, "literal not terminated");
    if (!quoted_unquote(scanner->arena, str_slice(rest, 0, len), &out->text))
        return error_set(err, ERR_LIMIT, "query: out of memory");
    scanner->at += len;
    out->kind = TOKEN_STRING;
    return ERR_OK;
}

static const char *const symbols[] = {"!>>", "!<<", "&>>", "&<<", "&&", "||", "!=", "=~", "!~",
                                      ">=",  "<=",  ">>",  "<<",  "!>", "!<", "&~", "&>", "&<"};

static void scan_symbol(TraceqlScanner *scanner, TraceqlToken *out) {
    Str rest = str_from(scanner->text, scanner->at);
    size_t len = 1;

    for (size_t i = 0; i < sizeof symbols / sizeof *symbols && len == 1; i++)
        if (str_starts_with(rest, str_of(symbols[i]))) len = strlen(symbols[i]);
    out->kind = TOKEN_SYMBOL;
    out->text = str_slice(rest, 0, len);
    scanner->at += len;
}

ErrCode traceql_scan(TraceqlScanner *scanner, TraceqlToken *out, Error *err) {
    char c;

    while (scanner->at < scanner->text.len && is_space(scanner->text.ptr[scanner->at]))
        scanner->at++;
    *out = (TraceqlToken){.at = scanner->at};
    if (scanner->at >= scanner->text.len) return ERR_OK;
    c = peek(scanner, 0);
    if (is_letter(c)) return scan_word(scanner, out, err);
    if (is_digit(c) || (c == '.' && is_digit(peek(scanner, 1))))
        return scan_number(scanner, out, err);
    if (c == '"' || c == '`') return scan_string(scanner, out, err);
    if (c == '.') {
        scanner->at++;
        return scan_attribute(scanner, (TraceqlAttribute){0}, out, err);
    }
    if (c == '\'') {
        const char *end =
            memchr(scanner->text.ptr + scanner->at + 1, '\'', scanner->text.len - scanner->at - 1);
        size_t len = end == NULL ? 1 : (size_t)(end - scanner->text.ptr) + 1 - scanner->at;

        out->kind = TOKEN_WORD;
        out->text = str_slice(scanner->text, scanner->at, len);
        scanner->at += len;
        return ERR_OK;
    }
    scan_symbol(scanner, out);
    return ERR_OK;
}
