/*
 * literal.c: what numbers and durations are worth, in every spelling that Go's strconv takes.
 */
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "querier/promql/build.h"

enum { NUMBER_BYTES_MAX = 1000 };

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

/* An integer in the base its prefix names (0x, or 0 for octal). */
static bool parse_integer(Str text, double *out) {
    unsigned base = 10;
    uint64_t v = 0;
    size_t i = 0;

    if (text.len > 1 && text.ptr[0] == '0') {
        bool hex = (text.ptr[1] | 32) == 'x';

        base = hex ? 16 : 8;
        i = hex ? 2 : 1;
    }
    if (i == text.len) return false;
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)digit_of(text.ptr[i]);

        if (digit >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
            __builtin_add_overflow(v, (uint64_t)digit, &v) || v > INT64_MAX)
            return false;
    }
    *out = (double)v;
    return true;
}

/* Without its underscores, each of which must stand between digits, or behind 0x. */
static bool strip_underscores(Str text, char *plain, size_t size, size_t *len) {
    bool hex = text.len > 2 && (text.ptr[1] | 32) == 'x';

    *len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '_') {
            if (*len == size) return false;
            plain[(*len)++] = text.ptr[i];
        } else if (i == 0 || i + 1 == text.len || digit_of(text.ptr[i + 1]) >= (hex ? 16 : 10) ||
                   (digit_of(text.ptr[i - 1]) >= (hex ? 16 : 10) && !(hex && i == 2))) {
            return false;
        }
    }
    return true;
}

/* digits, maybe a point among them, maybe an exponent: a number, then, though too large for one */
static bool is_decimal(Str text) {
    size_t i = 0, digits, points = 0;

    for (; i < text.len && (digit_of(text.ptr[i]) < 10 || text.ptr[i] == '.'); i++)
        points += text.ptr[i] == '.';
    digits = i - points;
    if (digits == 0 || points > 1) return false;
    if (i == text.len) return true;
    if ((text.ptr[i] | 32) != 'e') return false;
    i++;
    if (i < text.len && (text.ptr[i] == '+' || text.ptr[i] == '-')) i++;
    if (i == text.len) return false;
    while (i < text.len && digit_of(text.ptr[i]) < 10) i++;
    return i == text.len;
}

const char *promql_parse_number(Str text, double *out) {
    char plain[NUMBER_BYTES_MAX];
    Str stripped = {plain, 0};

    if (!strip_underscores(text, plain, sizeof plain, &stripped.len)) return "invalid syntax";
    if (parse_integer(stripped, out) || str_to_double(stripped, out)) return NULL;
    return is_decimal(stripped) ? "value out of range" : "invalid syntax";
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

static ErrCode bad_duration(Str text, Error *err) {
    return error_set(err, ERR_INVALID, "not a valid duration string: \"" STR_FMT "\"",
                     STR_ARG(str_slice(text, 0, 80)));
}

static size_t count_while(Str text, bool digits) {
    size_t n = 0;

    while (n < text.len && (text.ptr[n] >= '0' && text.ptr[n] <= '9') == digits) n++;
    return n;
}

/* Number and unit pairs, larger units first, each once. */
static ErrCode parse_units(Str text, int64_t *ms, Error *err) {
    Str rest = text;
    size_t next_unit = 0;
    int64_t sum = 0, part;

    while (rest.len > 0) {
        Str digits = str_slice(rest, 0, count_while(rest, true));
        Str name = str_from(rest, digits.len);
        size_t unit = 0;
        uint64_t number;

        name.len = count_while(name, false);
        if (name.len == 0 || !str_to_u64(digits, &number)) return bad_duration(text, err);
        while (unit < ARRAY_LEN(duration_units) &&
               !str_equal(name, str_of(duration_units[unit].name)))
            unit++;
        if (unit == ARRAY_LEN(duration_units))
            return error_set(err, ERR_INVALID,
                             "unknown unit \"" STR_FMT "\" in duration \"" STR_FMT "\"",
                             STR_ARG(str_slice(name, 0, 80)), STR_ARG(str_slice(text, 0, 80)));
        if (unit < next_unit) return bad_duration(text, err);
        if (number > INT64_MAX ||
            __builtin_mul_overflow((int64_t)number, duration_units[unit].ms, &part) ||
            __builtin_add_overflow(sum, part, &sum) || sum > INT64_MAX / 1000000)
            return error_set(err, ERR_INVALID, "duration out of range");
        next_unit = unit + 1;
        rest = str_from(rest, digits.len + name.len);
    }
    *ms = sum;
    return ERR_OK;
}

bool promql_seconds_to_ms(double seconds, int64_t *ms) {
    double ns = round(seconds * 1e9);

    /* Durations are nanoseconds in 64 bits to Prometheus, and cut to milliseconds. */
    if (!(fabs(ns) < 9223372036854775808.0)) return false;
    *ms = (int64_t)ns / 1000000;
    return true;
}

ErrCode promql_parse_duration(Str text, int64_t *ms, Error *err) {
    double seconds;

    if (text.len == 0) return error_set(err, ERR_INVALID, "empty duration string");
    if (str_equal(text, STR("0"))) {
        *ms = 0;
        return ERR_OK;
    }
    if (str_to_double(text, &seconds)) {
        if (!promql_seconds_to_ms(seconds, ms))
            return error_set(err, ERR_INVALID,
                             "cannot parse \"" STR_FMT "\" to a valid duration. It overflows int64",
                             STR_ARG(str_slice(text, 0, 80)));
        return ERR_OK;
    }
    return parse_units(text, ms, err);
}
