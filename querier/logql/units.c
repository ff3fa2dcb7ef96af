#include "querier/logql/units.h"

#include <math.h>

#include "common/base/rune.h"

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ---- durations ---- */

typedef struct Unit {
    Str name;
    uint64_t ns;
} Unit;

/* Takes the unit up to the next digit or point off the text. 0: no such unit. */
static uint64_t take_go_unit(Str *text) {
    static const Unit units[] = {
        {STR_INIT("ns"), 1},
        {STR_INIT("us"), 1000},
        {STR_INIT("\xc2\xb5s"), 1000}, /* micro sign */
        {STR_INIT("\xce\xbcs"), 1000}, /* mu */
        {STR_INIT("ms"), 1000000},
        {STR_INIT("s"), 1000000000},
        {STR_INIT("m"), UINT64_C(60000000000)},
        {STR_INIT("h"), UINT64_C(3600000000000)},
    };
    size_t len = 0;

    while (len < text->len && text->ptr[len] != '.' && !is_digit(text->ptr[len])) len++;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_equal(units[i].name, str_slice(*text, 0, len))) continue;
        *text = str_from(*text, len);
        return units[i].ns;
    }
    return 0;
}

/* Digits, at least one of them before or behind the point; false: none, or too large. */
static bool take_amount(Str *text, uint64_t *whole, uint64_t *fraction, double *scale) {
    bool any = false, full = false;

    *whole = *fraction = 0;
    *scale = 1;
    for (; text->len > 0 && is_digit(text->ptr[0]); *text = str_from(*text, 1)) {
        uint64_t digit = (uint64_t)(text->ptr[0] - '0');

        any = true;
        if (*whole > (UINT64_C(1) << 63) / 10) return false;
        *whole = *whole * 10 + digit;
        if (*whole > UINT64_C(1) << 63) return false;
    }
    if (text->len == 0 || text->ptr[0] != '.') return any;
    *text = str_from(*text, 1);
    for (; text->len > 0 && is_digit(text->ptr[0]); *text = str_from(*text, 1)) {
        any = true;
        /* Digits behind what 63 bits hold say nothing any more. */
        full = full || *fraction > (UINT64_C(1) << 63) / 10 - 1;
        if (full) continue;
        *fraction = *fraction * 10 + (uint64_t)(text->ptr[0] - '0');
        *scale *= 10;
    }
    return any;
}

bool logql_parse_go_duration(Str text, int64_t *ns) {
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t sum = 0;

    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) text = str_from(text, 1);
    if (str_equal(text, STR("0"))) {
        *ns = 0;
        return true;
    }
    if (text.len == 0) return false;
    while (text.len > 0) {
        uint64_t whole, fraction, unit;
        double scale;

        if (text.ptr[0] != '.' && !is_digit(text.ptr[0])) return false;
        if (!take_amount(&text, &whole, &fraction, &scale)) return false;
        unit = take_go_unit(&text);
        if (unit == 0 || whole > (UINT64_C(1) << 63) / unit) return false;
        whole *= unit;
        if (fraction > 0) whole += (uint64_t)((double)fraction * ((double)unit / scale));
        if (whole > UINT64_C(1) << 63) return false;
        sum += whole;
        if (sum > UINT64_C(1) << 63) return false;
    }
    if (sum == UINT64_C(1) << 63 && !negative) return false;
    *ns = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

static ErrCode not_a_duration(Str text, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf quoted = {0};

    buf_init(&quoted, 256);
    rune_quote(&quoted, text);
    return error_set(err, ERR_INVALID, "not a valid duration string: " STR_FMT,
                     STR_ARG(buf_str(&quoted)));
}

static ErrCode unknown_unit(Str unit, Str text, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf quoted = {0};

    buf_init(&quoted, 400);
    rune_quote(&quoted, unit);
    buf_append_str(&quoted, STR(" in duration "));
    rune_quote(&quoted, text);
    return error_set(err, ERR_INVALID, "unknown unit " STR_FMT, STR_ARG(buf_str(&quoted)));
}

ErrCode logql_parse_duration(Str text, int64_t *ns, Error *err) {
    static const Unit units[] = {
        /* largest first: that is the order they must come in */
        {STR_INIT("y"), UINT64_C(31536000000000000)},
        {STR_INIT("w"), UINT64_C(604800000000000)},
        {STR_INIT("d"), UINT64_C(86400000000000)},
        {STR_INIT("h"), UINT64_C(3600000000000)},
        {STR_INIT("m"), UINT64_C(60000000000)},
        {STR_INIT("s"), 1000000000},
        {STR_INIT("ms"), 1000000},
    };
    size_t next = 0;
    uint64_t sum = 0;
    Str rest = text;

    if (text.len == 0) return error_set(err, ERR_INVALID, "empty duration string");
    if (str_equal(text, STR("0"))) {
        *ns = 0;
        return ERR_OK;
    }
    while (rest.len > 0) {
        size_t digits = 0, len = 0, u;
        uint64_t amount;

        while (digits < rest.len && is_digit(rest.ptr[digits])) digits++;
        if (!str_to_u64(str_slice(rest, 0, digits), &amount)) return not_a_duration(text, err);
        rest = str_from(rest, digits);
        while (len < rest.len && !is_digit(rest.ptr[len])) len++;
        if (len == 0) return not_a_duration(text, err);
        for (u = 0; u < ARRAY_LEN(units); u++)
            if (str_equal(units[u].name, str_slice(rest, 0, len))) break;
        if (u == ARRAY_LEN(units)) return unknown_unit(str_slice(rest, 0, len), text, err);
        if (u < next) return not_a_duration(text, err);
        next = u + 1;
        rest = str_from(rest, len);
        if (amount > (UINT64_C(1) << 63) / units[u].ns ||
            __builtin_add_overflow(sum, amount * units[u].ns, &sum) || sum > INT64_MAX)
            return error_set(err, ERR_INVALID, "duration out of range");
    }
    *ns = (int64_t)sum;
    return ERR_OK;
}

/* `value` without trailing zeros behind a point that stands `places` digits from the right. */
static void append_fraction(Buf *out, uint64_t value, int places) {
    uint64_t power = 1;

    for (int i = 0; i < places; i++) power *= 10;
    buf_printf(out, "%llu", (unsigned long long)(value / power));
    value %= power;
    if (value == 0) return;
    buf_append_byte(out, '.');
    while (value > 0) {
        power /= 10;
        buf_append_byte(out, (char)('0' + value / power));
        value %= power;
    }
}

void logql_append_go_duration(Buf *out, int64_t ns) {
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    const uint64_t second = 1000000000;

    if (ns < 0) buf_append_byte(out, '-');
    if (left == 0) {
        buf_append_str(out, STR("0s"));
    } else if (left < 1000) {
        buf_printf(out, "%lluns", (unsigned long long)left);
    } else if (left < second) {
        append_fraction(out, left, left < 1000000 ? 3 : 6);
        buf_append_str(out, left < 1000000 ? STR("\xc2\xb5s") : STR("ms"));
    } else {
        uint64_t minutes = left / (60 * second);

        if (minutes >= 60) buf_printf(out, "%lluh", (unsigned long long)(minutes / 60));
        if (minutes > 0) buf_printf(out, "%llum", (unsigned long long)(minutes % 60));
        append_fraction(out, left % (60 * second), 9);
        buf_append_byte(out, 's');
    }
}

/* ---- sizes ---- */

/* The factor of a unit in lower case; 0: no such. */
static double size_factor(Str unit) {
    static const char letters[] = "kmgtpe";
    const char *letter;
    double base = 1000, factor = 1;

    if (unit.len == 0 || str_equal_nocase(unit, STR("b"))) return 1;
    letter = memchr(letters, unit.ptr[0] | 32, sizeof letters - 1);
    if (letter == NULL) return 0;
    unit = str_from(unit, 1);
    if (unit.len > 0 && (unit.ptr[0] | 32) == 'i') {
        base = 1024;
        unit = str_from(unit, 1);
    }
    if (unit.len > 0 && !str_equal_nocase(unit, STR("b"))) return 0;
    for (const char *p = letters; p <= letter; p++) factor *= base;
    return factor;
}

bool logql_parse_bytes(Str text, uint64_t *bytes) {
    char number[64];
    size_t len = 0, at = 0;
    double value, factor;

    for (; at < text.len && (is_digit(text.ptr[at]) || text.ptr[at] == '.' || text.ptr[at] == ',');
         at++) {
        if (text.ptr[at] == ',') continue;
        if (len == sizeof number) return false;
        number[len++] = text.ptr[at];
    }
    if (!str_to_double((Str){number, len}, &value)) return false;
    factor = size_factor(str_trim(str_from(text, at)));
    if (factor == 0) return false;
    value *= factor;
    if (!(value < 18446744073709551615.0)) return false;
    *bytes = (uint64_t)value;
    return true;
}

void logql_append_bytes(Buf *out, uint64_t bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    int e = 0;
    double value;

    if (bytes < 10) {
        buf_printf(out, "%lluB", (unsigned long long)bytes);
        return;
    }
    e = (int)floor(log((double)bytes) / log(1000));
    value = floor((double)bytes / pow(1000, e) * 10 + 0.5) / 10;
    buf_printf(out, value < 10 ? "%.1f%s" : "%.0f%s", value, units[e]);
}
