#include "common/base/rfc3339.h"

static bool digits(Str text, size_t at, size_t count, int64_t *out) {
    int64_t v = 0;

    if (at + count > text.len) return false;
    for (size_t i = at; i < at + count; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
        v = v * 10 + (text.ptr[i] - '0');
    }
    *out = v;
    return true;
}

/* Days from 1970-01-01 in the Gregorian calendar; years 0 to 9999. Counted in eras of 400 years
 * that begin in March, so that the leap day comes last. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day) {
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool read_fraction(Str text, size_t *at, int64_t *ns) {
    int64_t scale = 100000000;
    size_t start;

    *ns = 0;
    if (*at >= text.len || text.ptr[*at] != '.') return true;
    start = ++*at;
    for (; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; (*at)++) {
        *ns += (text.ptr[*at] - '0') * scale;
        scale /= 10;
    }
    return *at > start;
}

static bool read_zone(Str text, size_t at, int64_t *seconds) {
    int64_t hours, minutes;

    *seconds = 0;
    if (at + 1 == text.len && (text.ptr[at] | 0x20) == 'z') return true;
    if (at + 6 != text.len || text.ptr[at + 3] != ':') return false;
    if (!digits(text, at + 1, 2, &hours) || !digits(text, at + 4, 2, &minutes)) return false;
    if (hours > 23 || minutes > 59) return false;
    *seconds = hours * 3600 + minutes * 60;
    if (text.ptr[at] == '-') *seconds = -*seconds;
    return text.ptr[at] == '-' || text.ptr[at] == '+';
}

bool rfc3339_parse(Str text, int64_t *ns) {
    int64_t year, month, day, hour, minute, second, fraction, zone;
    size_t at = 19;

    if (text.len < 20 || text.ptr[4] != '-' || text.ptr[7] != '-' || (text.ptr[10] | 0x20) != 't' ||
        text.ptr[13] != ':' || text.ptr[16] != ':')
        return false;
    if (!digits(text, 0, 4, &year) || !digits(text, 5, 2, &month) || !digits(text, 8, 2, &day) ||
        !digits(text, 11, 2, &hour) || !digits(text, 14, 2, &minute) ||
        !digits(text, 17, 2, &second))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return false;
    if (!read_fraction(text, &at, &fraction) || !read_zone(text, at, &zone)) return false;
    int64_t seconds =
        days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), ns) ||
        __builtin_add_overflow(*ns, fraction, ns))
        *ns = seconds < 0 ? INT64_MIN : INT64_MAX;
    return true;
}
