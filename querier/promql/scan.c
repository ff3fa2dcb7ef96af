#include "querier/promql/scan.h"

#include <stdio.h>

/* ---- numbers ---- */

typedef struct Cursor {
    Str text;
    size_t at;
} Cursor;

/* -1 at the end. */
static int peek(const Cursor *c) {
    return c->at < c->text.len ? (unsigned char)c->text.ptr[c->at] : -1;
}

static bool is_one_of(int c, const char *set) {
    return c > 0 && strchr(set, c) != NULL;
}

static bool take(Cursor *c, const char *set) {
    if (!is_one_of(peek(c), set)) return false;
    c->at++;
    return true;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool is_alpha(int c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#define DECIMAL "0123456789"
#define HEXADECIMAL "0123456789abcdefABCDEF"

/* A point, an exponent or an underscore, none of which may stand before certain others. */
static bool take_mark(Cursor *c, bool hex, bool *point, bool *exponent) {
    if (take(c, ".")) {
        if (*point) return false;
        *point = true;
        return !take(c, "_.") && !hex;
    }
    if (is_one_of(peek(c), "eE")) {
        c->at++;
        if (*exponent) return false;
        *exponent = true;
        take(c, "+-");
        return !take(c, "._eE") && peek(c) != -1;
    }
    c->at++; /* the underscore */
    return !take(c, "._eE") && peek(c) != -1;
}

/* Digits with points, exponents and underscores among them, loosely: `1.5e3`, `0x1F`, `1_000`. An
 * `e` is an exponent in hexadecimals as well, unless it follows another digit in one run. */
static bool scan_plain(Cursor *c) {
    bool point = false, exponent = false, hex = false;
    const char *digits = DECIMAL;

    if (take(c, "0") && take(c, "xX")) {
        hex = true;
        digits = HEXADECIMAL;
        take(c, "_");
    }
    take(c, ".");
    take(c, digits);
    while (is_one_of(peek(c), digits) || is_one_of(peek(c), "._eE")) {
        if (is_one_of(peek(c), "._eE")) {
            if (!take_mark(c, hex, &point, &exponent)) return false;
        } else {
            while (take(c, digits)) {
            }
        }
    }
    return !is_alpha(peek(c)) && !is_digit(peek(c));
}

/* The units of a duration, after its first digits. */
static bool scan_units(Cursor *c) {
    if (!take(c, "smhdwy")) return false;
    take(c, "s");
    while (take(c, DECIMAL)) {
        while (take(c, DECIMAL)) {
        }
        if (!take(c, "smhdw")) return false;
        take(c, "s");
    }
    return !is_alpha(peek(c)) && !is_digit(peek(c));
}

PromqlNumberKind promql_scan_number(Str rest, size_t *len) {
    Cursor c = {rest, 0};
    PromqlNumberKind kind = PROMQL_NOT_A_NUMBER;
    size_t units;

    if (scan_plain(&c)) {
        kind = PROMQL_IS_NUMBER;
    } else {
        units = c.at;
        if (scan_units(&c))
            kind = PROMQL_IS_DURATION;
        else if (c.at > units && (is_alpha(peek(&c)) || is_digit(peek(&c))) &&
                 !is_digit(c.text.ptr[c.at - 1]))
            c.at++; /* the one behind the unit is what is wrong */
    }
    *len = c.at;
    return kind;
}

/* ---- names ---- */

size_t promql_scan_name(Str rest, bool metric, bool unquoted) {
    size_t at = 0;

    while (at < rest.len) {
        int c = (unsigned char)rest.ptr[at];
        size_t len = 1;

        if (is_alpha(c) || (is_digit(c) && at > 0) || (c == ':' && metric)) {
            at++;
            continue;
        }
        if (!unquoted) break;
        if (c == '.' && at > 0) {
            at++;
            continue;
        }
        if (c < 0x80 || !rune_is_letter(rune_decode(str_from(rest, at), &len))) break;
        at += len;
    }
    return at;
}
