/*
 * literal.c: numbers, durations and strings in every spelling that Go's strconv takes.
 */
#include <math.h>

#include "querier/promql/build.h"

enum { NUMBER_BYTES_MAX = 400 };

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

/* An integer in the base its prefix names (0x, 0o, 0b, 0), underscores between digits allowed. */
static bool parse_integer(Str text, double *out) {
    unsigned base = 10;
    uint64_t v = 0;
    size_t i = 0;

    if (text.len > 1 && text.ptr[0] == '0') {
        char c = text.ptr[1] | 32;

        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        i = c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
    }
    if (i == text.len) return false;
    for (; i < text.len; i++) {
        if (text.ptr[i] == '_') continue;
        unsigned digit = (unsigned)digit_of(text.ptr[i]);

        if (digit >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
            __builtin_add_overflow(v, (uint64_t)digit, &v) || v > INT64_MAX)
            return false;
    }
    *out = (double)v;
    return true;
}

static bool parse_hex_float(Str text, double *out) {
    double v = 0;

    if (text.len < 3 || (text.ptr[1] | 32) != 'x') return false;
    for (size_t i = 2; i < text.len; i++) {
        if (text.ptr[i] == '_') continue;
        v = v * 16 + digit_of(text.ptr[i]);
    }
    *out = v;
    return true;
}

bool promql_parse_number(Str text, double *out) {
    char plain[NUMBER_BYTES_MAX];
    size_t len = 0;

    if (parse_integer(text, out)) return true;
    if (parse_hex_float(text, out)) return true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '_') continue;
        if (len == sizeof plain) return false;
        plain[len++] = text.ptr[i];
    }
    return str_to_double((Str){plain, len}, out);
}

/* ---- durations ---- */

typedef struct DurationUnit {
    const char *name;
    int64_t ms;
} DurationUnit;

static const DurationUnit duration_units[] = {
    {"y", INT64_C(365) * 86400000},
    {"w", INT64_C(7) * 86400000},
    {"d", 86400000},
    {"h", 3600000},
    {"m", 60000},
    {"s", 1000},
    {"ms", 1},
};

static ErrCode bad_duration(Str text, const char *why, Error *err) {
    return error_set(err, ERR_INVALID, "%s: \"" STR_FMT "\"", why, STR_ARG(str_slice(text, 0, 80)));
}

/* Number and unit pairs, larger units first, each once. */
static ErrCode parse_units(Str text, int64_t *ms, Error *err) {
    Str rest = text;
    size_t next_unit = 0;
    int64_t sum = 0;

    while (rest.len > 0) {
        size_t digits = 0, letters, unit;
        uint64_t number;
        int64_t part;

        while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9') digits++;
        letters = digits;
        while (letters < rest.len && rest.ptr[letters] >= 'a' && rest.ptr[letters] <= 'z')
            letters++;
        for (unit = next_unit; unit < ARRAY_LEN(duration_units); unit++)
            if (str_equal((Str){rest.ptr + digits, letters - digits},
                          str_of(duration_units[unit].name)))
                break;
        if (digits == 0 || unit == ARRAY_LEN(duration_units))
            return bad_duration(text, "not a valid duration string", err);
        if (!str_to_u64((Str){rest.ptr, digits}, &number) || number > INT64_MAX ||
            __builtin_mul_overflow((int64_t)number, duration_units[unit].ms, &part) ||
            __builtin_add_overflow(sum, part, &sum) || sum > INT64_MAX / 1000000)
            return error_set(err, ERR_INVALID, "duration out of range");
        next_unit = unit + 1;
        rest = str_from(rest, letters);
    }
    *ms = sum;
    return ERR_OK;
}

ErrCode promql_parse_duration(Str text, int64_t *ms, Error *err) {
    double seconds;

    if (text.len == 0) return error_set(err, ERR_INVALID, "empty duration string");
    if (str_equal(text, STR("0"))) {
        *ms = 0;
        return ERR_OK;
    }
    if (str_to_double(text, &seconds)) {
        if (!(fabs(seconds) < 9.2e9))
            return error_set(err, ERR_INVALID,
                             "cannot parse \"" STR_FMT "\" to a valid duration. It overflows int64",
                             STR_ARG(str_slice(text, 0, 80)));
        *ms = (int64_t)llround(seconds * 1000);
        return ERR_OK;
    }
    return parse_units(text, ms, err);
}

/* ---- strings ---- */

static size_t put_utf8(uint32_t rune, char *out) {
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    if (rune < 0x800) {
        out[0] = (char)(0xc0 | rune >> 6);
        out[1] = (char)(0x80 | (rune & 0x3f));
        return 2;
    }
    if (rune < 0x10000) {
        out[0] = (char)(0xe0 | rune >> 12);
        out[1] = (char)(0x80 | (rune >> 6 & 0x3f));
        out[2] = (char)(0x80 | (rune & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | rune >> 18);
    out[1] = (char)(0x80 | (rune >> 12 & 0x3f));
    out[2] = (char)(0x80 | (rune >> 6 & 0x3f));
    out[3] = (char)(0x80 | (rune & 0x3f));
    return 4;
}

/* `count` digits of `base` at *i. */
static bool read_digits(Str text, size_t *i, unsigned count, unsigned base, uint32_t *out) {
    uint32_t v = 0;

    for (unsigned d = 0; d < count; d++, (*i)++) {
        unsigned digit = *i < text.len ? (unsigned)digit_of(text.ptr[*i]) : 99;

        if (digit >= base) return false;
        v = v * base + digit;
    }
    *out = v;
    return true;
}

/* The escape whose letter is at *i; moves behind it. Adds to `out`. */
static bool unescape(Str text, size_t *i, char quote, char *out, size_t *len, const char **why) {
    static const char letters[] = "abfnrtv\\", values[] = "\a\b\f\n\r\t\v\\";
    char c = text.ptr[(*i)++];
    const char *known = memchr(letters, c, sizeof letters - 1);
    uint32_t v;

    if (known != NULL || c == quote) {
        out[(*len)++] = known != NULL ? values[known - letters] : quote;
        return true;
    }
    *why = "illegal character in escape sequence";
    if (c >= '0' && c <= '7') {
        (*i)--;
        if (!read_digits(text, i, 3, 8, &v) || v > 255) return false;
        out[(*len)++] = (char)v;
        return true;
    }
    if (c == 'x') {
        if (!read_digits(text, i, 2, 16, &v)) return false;
        out[(*len)++] = (char)v;
        return true;
    }
    if (c == 'u' || c == 'U') {
        if (!read_digits(text, i, c == 'u' ? 4 : 8, 16, &v)) return false;
        *why = "escape sequence is an invalid Unicode code point";
        if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return false;
        *len += put_utf8(v, out + *len);
        return true;
    }
    *why = "unknown escape sequence";
    return false;
}

bool promql_unquote_string(Arena *arena, Str quoted, Str *out, const char **why) {
    Str inner = {quoted.ptr + 1, quoted.len - 2};
    char *text;
    size_t len = 0;

    assert(quoted.len >= 2);
    *why = "out of memory";
    if (quoted.ptr[0] == '`' || memchr(inner.ptr, '\\', inner.len) == NULL) {
        *out = inner;
    } else {
        /* No escape is shorter than what it stands for. */
        text = arena_alloc_bytes(arena, inner.len + 1);
        if (text == NULL) return false;
        for (size_t i = 0; i < inner.len;) {
            if (inner.ptr[i] != '\\') {
                text[len++] = inner.ptr[i++];
                continue;
            }
            i++;
            if (i == inner.len) {
                *why = "escape sequence not terminated";
                return false;
            }
            if (!unescape(inner, &i, quoted.ptr[0], text, &len, why)) return false;
        }
        *out = (Str){text, len};
    }
    return true;
}
