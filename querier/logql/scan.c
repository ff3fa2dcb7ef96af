/*
 * scan.c: tokens as Go's text/scanner and Loki's look behind it find them.
 */
#include <ctype.h>

#include "querier/exec/quoted.h"
#include "querier/logql/build.h"
#include "querier/logql/units.h"

static int at(Str s, size_t i) {
    return i < s.len ? (unsigned char)s.ptr[i] : -1;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

/* ---- numbers ---- */

static size_t skip_digits(Str s, size_t i, bool hex, bool *any) {
    while (is_digit(at(s, i)) || at(s, i) == '_' || (hex && at(s, i) > 0 && isxdigit(at(s, i)))) {
        *any = *any || at(s, i) != '_';
        i++;
    }
    return i;
}

/* Where a Go literal ends; NULL or what is wrong with it. */
static const char *scan_literal(Str s, size_t *len) {
    bool hex = at(s, 0) == '0' && (at(s, 1) | 32) == 'x', digits = false, real = false;
    size_t i = skip_digits(s, hex ? 2 : 0, hex, &digits);
    int mark;

    if (at(s, i) == '.') {
        real = true;
        i = skip_digits(s, i + 1, hex, &digits);
    }
    if (!digits) return hex ? "hexadecimal literal has no digits" : "decimal literal has no digits";
    mark = at(s, i) == -1 ? 0 : at(s, i) | 32;
    if ((mark == 'e' && !hex) || (mark == 'p' && hex)) {
        bool any = false;

        i++;
        if (at(s, i) == '+' || at(s, i) == '-') i++;
        i = skip_digits(s, i, false, &any);
        if (!any) return "exponent has no digits";
        real = true;
    } else if (hex && real) {
        return "hexadecimal mantissa requires a 'p' exponent";
    }
    *len = i;
    if (at(s, 0) != '0' || real || hex) return NULL;
    for (size_t k = 1; k < i; k++)
        if (at(s, k) == '8')
            return "invalid digit '8' in octal literal";
        else if (at(s, k) == '9')
            return "invalid digit '9' in octal literal";
    return NULL;
}

/* Length of what may be a duration or a size, from `i` on: digits, points, and letters of `set`. */
static size_t skip_unit(Str s, size_t i, const char *set, bool micro) {
    for (;;) {
        if (is_digit(at(s, i)) || at(s, i) == '.' ||
            (at(s, i) > 0 && strchr(set, at(s, i)) != NULL))
            i++;
        else if (micro && at(s, i) == 0xc2 && at(s, i + 1) == 0xb5)
            i += 2;
        else
            return i;
    }
}

static bool parse_any_duration(Str text, int64_t *ns) {
    return logql_parse_duration(text, ns, NULL) == ERR_OK || logql_parse_go_duration(text, ns);
}

bool logql_scan_number(Str rest, size_t *len, LogqlNumberKind *kind, int64_t *ns, uint64_t *bytes,
                       const char **why) {
    size_t end;

    *why = scan_literal(rest, len);
    if (*why != NULL) return false;
    *kind = LOGQL_IS_DURATION;
    end = skip_unit(rest, *len, "numshdwy", true);
    if (end > *len && parse_any_duration(str_slice(rest, 0, end), ns)) {
        *len = end;
        return true;
    }
    *kind = LOGQL_IS_BYTES;
    end = skip_unit(rest, *len, "BikKMGTP", false);
    if (end > *len && logql_parse_bytes(str_slice(rest, 0, end), bytes)) {
        *len = end;
        return true;
    }
    *kind = LOGQL_IS_NUMBER;
    return true;
}

size_t logql_scan_negative(Str rest, int64_t *ns) {
    size_t end = skip_unit(rest, 1, "numshdwy", true);

    return end > 1 && parse_any_duration(str_slice(rest, 0, end), ns) ? end : 0;
}

/* ---- strings ---- */

/* Behind a backslash. 0: no escape. */
static size_t escape_length(Str s, size_t i, char quote) {
    unsigned count, base = 16;
    size_t start = i;
    int c = at(s, i);

    if (c == quote || (c > 0 && strchr("abfnrtv\\", c) != NULL)) return 1;
    if (c >= '0' && c <= '7')
        count = 3, base = 8;
    else if (c == 'x' || c == 'u' || c == 'U')
        count = c == 'x' ? 2 : c == 'u' ? 4 : 8, i++;
    else
        return 0;
    for (; count > 0; count--, i++) {
        c = at(s, i);
        if (c < 0 || (base == 8 ? c < '0' || c > '7' : !isxdigit(c))) return 0;
    }
    return i - start;
}

const char *logql_scan_string(Str rest, size_t *len) {
    char quote = rest.ptr[0], why[128];
    size_t i = 1, step, checked;

    while (at(rest, i) != (unsigned char)quote) {
        int c = at(rest, i);

        if (c == -1 || (c == '\n' && quote != '`')) return "literal not terminated";
        if (c == 0) return "invalid character NUL";
        if (c == '\\' && quote != '`') {
            step = escape_length(rest, i + 1, quote);
            if (step == 0) return "invalid char escape";
            i += step + 1;
            continue;
        }
        if (rune_decode(str_from(rest, i), &step) == RUNE_ERROR && step == 1)
            return "invalid UTF-8 encoding";
        i += step;
    }
    *len = i + 1;
    /* Escapes of what is no character pass Go's scanner, but not its unquoting. */
    if (!quoted_scan(str_slice(rest, 0, *len), &checked, why, sizeof why)) return "invalid syntax";
    return NULL;
}

/* ---- words ---- */

size_t logql_scan_word(Str rest) {
    size_t i = 0, len;

    while (i < rest.len) {
        int c = at(rest, i);

        if (c == '_' || (c < 0x80 && isalpha(c)) || (i > 0 && is_digit(c))) {
            i++;
            continue;
        }
        if (c < 0x80 || !rune_is_letter(rune_decode(str_from(rest, i), &len))) break;
        i += len;
    }
    return i;
}

static Str skip_spaces(Str s) {
    while (s.len > 0 && isspace((unsigned char)s.ptr[0])) s = str_from(s, 1);
    return s;
}

bool logql_is_call(Str rest) {
    static const Str words[] = {STR_INIT("by"), STR_INIT("without")};

    rest = skip_spaces(rest);
    if (at(rest, 0) == '(') return true;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!str_equal_nocase(str_slice(rest, 0, words[i].len), words[i])) continue;
        return at(skip_spaces(str_from(rest, words[i].len)), 0) == '(';
    }
    return false;
}
