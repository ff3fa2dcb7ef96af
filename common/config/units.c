/*
 * units.c: durations and sizes as people write them.
 */
#include <math.h>

#include "common/config/config.h"

typedef struct Unit {
    Str name;
    double factor;
} Unit;

/* Reads "<number><unit>" pairs until the text ends; units must not grow. Milliseconds or bytes. */
static bool units_sum(Str text, const Unit *units, size_t count, double bare, double *out) {
    double sum = 0, last = INFINITY;

    if (text.len == 0) return false;
    while (text.len > 0) {
        size_t digits = 0, letters;
        double number, factor = bare;
        bool found;

        while (digits < text.len &&
               ((text.ptr[digits] >= '0' && text.ptr[digits] <= '9') || text.ptr[digits] == '.'))
            digits++;
        if (!str_to_double((Str){text.ptr, digits}, &number)) return false;
        letters = digits;
        while (letters < text.len && (text.ptr[letters] < '0' || text.ptr[letters] > '9') &&
               text.ptr[letters] != '.')
            letters++;
        found = letters == digits && letters == text.len && last == INFINITY;
        for (size_t i = 0; i < count && letters > digits; i++)
            if (str_equal(units[i].name, (Str){text.ptr + digits, letters - digits})) {
                factor = units[i].factor;
                found = true;
            }
        if (!found || factor >= last) return false;
        sum += number * factor;
        last = factor;
        text = str_from(text, letters);
    }
    *out = sum;
    return true;
}

bool config_parse_duration(Str text, int64_t *ms) {
    static const Unit units[] = {
        {STR_INIT("y"), 365 * 86400e3},
        {STR_INIT("w"), 7 * 86400e3},
        {STR_INIT("d"), 86400e3},
        {STR_INIT("h"), 3600e3},
        {STR_INIT("m"), 60e3},
        {STR_INIT("s"), 1e3},
        {STR_INIT("ms"), 1},
    };
    double sum;

    if (str_equal(text, STR("0")) || str_equal(text, STR("-1"))) {
        *ms = text.len == 1 ? 0 : -1;
        return true;
    }
    /* A number without a unit says nothing: refuse it rather than guess seconds. */
    if (text.len > 0 && text.ptr[text.len - 1] >= '0' && text.ptr[text.len - 1] <= '9')
        return false;
    if (!units_sum(text, units, ARRAY_LEN(units), 0, &sum) || sum > 9e15) return false;
    *ms = (int64_t)llround(sum);
    return true;
}

bool config_parse_bytes(Str text, uint64_t *bytes) {
    static const Unit units[] = {
        {STR_INIT("TiB"), 1099511627776.0},
        {STR_INIT("GiB"), 1073741824.0},
        {STR_INIT("MiB"), 1048576.0},
        {STR_INIT("KiB"), 1024.0},
        {STR_INIT("TB"), 1e12},
        {STR_INIT("GB"), 1e9},
        {STR_INIT("MB"), 1e6},
        {STR_INIT("KB"), 1e3},
        {STR_INIT("kB"), 1e3},
        {STR_INIT("B"), 1},
    };
    double sum;

    if (!units_sum(text, units, ARRAY_LEN(units), 1, &sum) || sum > 9e18) return false;
    *bytes = (uint64_t)llround(sum);
    return true;
}
