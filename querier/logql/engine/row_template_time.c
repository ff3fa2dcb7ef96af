/*
 * row_template_time.c: times as texts, by Go's layouts: an example of the time that is
 * 2006-01-02 15:04:05 -0700 says which part stands where. Zones but UTC are offsets, or those that
 * row_zone.h knows by name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "querier/logql/engine/row_template.h"

typedef enum Part {
    PART_TEXT,
    PART_LONG_MONTH,
    PART_MONTH,
    PART_MONTH_2,
    PART_MONTH_1,
    PART_LONG_DAY,
    PART_DAY_NAME,
    PART_DAY_2,
    PART_DAY_SPACE,
    PART_DAY_1,
    PART_HOUR_24,
    PART_HOUR_2,
    PART_HOUR_1,
    PART_MINUTE_2,
    PART_MINUTE_1,
    PART_SECOND_2,
    PART_SECOND_1,
    PART_YEAR_4,
    PART_YEAR_2,
    PART_PM,
    PART_PM_LOW,
    PART_ZONE,
    PART_OFFSET,       /* -0700 */
    PART_OFFSET_COLON, /* -07:00 */
    PART_OFFSET_HOUR,  /* -07 */
    PART_ISO,          /* Z0700 */
    PART_ISO_COLON,    /* Z07:00 */
    PART_FRACTION,     /* .000 */
    PART_FRACTION_CUT, /* .999 */
} Part;

static const struct {
    Str text;
    Part part;
} parts[] = {
    /* longer ones first */
    {STR_INIT("January"), PART_LONG_MONTH},
    {STR_INIT("Jan"), PART_MONTH},
    {STR_INIT("Monday"), PART_LONG_DAY},
    {STR_INIT("Mon"), PART_DAY_NAME},
    {STR_INIT("MST"), PART_ZONE},
    {STR_INIT("2006"), PART_YEAR_4},
    {STR_INIT("-07:00"), PART_OFFSET_COLON},
    {STR_INIT("-0700"), PART_OFFSET},
    {STR_INIT("-07"), PART_OFFSET_HOUR},
    {STR_INIT("Z07:00"), PART_ISO_COLON},
    {STR_INIT("Z0700"), PART_ISO},
    {STR_INIT("01"), PART_MONTH_2},
    {STR_INIT("02"), PART_DAY_2},
    {STR_INIT("03"), PART_HOUR_2},
    {STR_INIT("04"), PART_MINUTE_2},
    {STR_INIT("05"), PART_SECOND_2},
    {STR_INIT("06"), PART_YEAR_2},
    {STR_INIT("15"), PART_HOUR_24},
    {STR_INIT("PM"), PART_PM},
    {STR_INIT("pm"), PART_PM_LOW},
    {STR_INIT("_2"), PART_DAY_SPACE},
    {STR_INIT("1"), PART_MONTH_1},
    {STR_INIT("2"), PART_DAY_1},
    {STR_INIT("3"), PART_HOUR_1},
    {STR_INIT("4"), PART_MINUTE_1},
    {STR_INIT("5"), PART_SECOND_1},
};

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

/* The part that the layout begins with; *len bytes of it. Text: up to the next part. */
static Part next_part(Str layout, size_t *len) {
    if ((layout.ptr[0] == '.' || layout.ptr[0] == ',') && layout.len > 1 &&
        (layout.ptr[1] == '0' || layout.ptr[1] == '9')) {
        size_t n = 1;

        while (n < layout.len && layout.ptr[n] == layout.ptr[1]) n++;
        if (n == layout.len || layout.ptr[n] < '0' || layout.ptr[n] > '9') {
            *len = n;
            return layout.ptr[1] == '0' ? PART_FRACTION : PART_FRACTION_CUT;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (str_starts_with(layout, parts[i].text)) {
            *len = parts[i].text.len;
            return parts[i].part;
        }
    *len = 1;
    return PART_TEXT;
}

static void append_fraction(int64_t ns, size_t digits, bool cut, char point, Buf *out) {
    char text[16];
    size_t n = MIN(digits, 9);

    snprintf(text, sizeof text, "%09lld", (long long)ns);
    while (cut && n > 0 && text[n - 1] == '0') n--;
    if (n == 0) return;
    buf_append_byte(out, point);
    buf_append(out, text, n);
}

static void append_part(Part part, Str text, const struct tm *tm, int64_t fraction, Buf *out) {
    int hour = tm->tm_hour % 12 == 0 ? 12 : tm->tm_hour % 12;

    switch (part) {
    case PART_TEXT:
        buf_append_str(out, text);
        return;
    case PART_LONG_MONTH:
        buf_append_str(out, str_of(months[tm->tm_mon]));
        return;
    case PART_MONTH:
        buf_append(out, months[tm->tm_mon], 3);
        return;
    case PART_LONG_DAY:
        buf_append_str(out, str_of(days[tm->tm_wday]));
        return;
    case PART_DAY_NAME:
        buf_append(out, days[tm->tm_wday], 3);
        return;
    case PART_PM:
    case PART_PM_LOW:
        buf_append_str(out, part == PART_PM ? (tm->tm_hour >= 12 ? STR("PM") : STR("AM"))
                                            : (tm->tm_hour >= 12 ? STR("pm") : STR("am")));
        return;
    case PART_ZONE:
        buf_append_str(out, STR("UTC"));
        return;
    case PART_OFFSET:
        buf_append_str(out, STR("+0000"));
        return;
    case PART_OFFSET_COLON:
        buf_append_str(out, STR("+00:00"));
        return;
    case PART_OFFSET_HOUR:
        buf_append_str(out, STR("+00"));
        return;
    case PART_ISO:
    case PART_ISO_COLON:
        buf_append_byte(out, 'Z');
        return;
    case PART_FRACTION:
    case PART_FRACTION_CUT:
        append_fraction(fraction, text.len - 1, part == PART_FRACTION_CUT, text.ptr[0], out);
        return;
    case PART_YEAR_4:
        buf_printf(out, "%04d", tm->tm_year + 1900);
        return;
    case PART_YEAR_2:
        buf_printf(out, "%02d", (tm->tm_year + 1900) % 100);
        return;
    case PART_MONTH_2:
    case PART_MONTH_1:
        buf_printf(out, part == PART_MONTH_2 ? "%02d" : "%d", tm->tm_mon + 1);
        return;
    case PART_DAY_2:
    case PART_DAY_1:
    case PART_DAY_SPACE:
        buf_printf(out,
                   part == PART_DAY_2   ? "%02d"
                   : part == PART_DAY_1 ? "%d"
                                        : "%2d",
                   tm->tm_mday);
        return;
    case PART_HOUR_24:
        buf_printf(out, "%02d", tm->tm_hour);
        return;
    case PART_HOUR_2:
    case PART_HOUR_1:
        buf_printf(out, part == PART_HOUR_2 ? "%02d" : "%d", hour);
        return;
    case PART_MINUTE_2:
    case PART_MINUTE_1:
        buf_printf(out, part == PART_MINUTE_2 ? "%02d" : "%d", tm->tm_min);
        return;
    case PART_SECOND_2:
    case PART_SECOND_1:
        buf_printf(out, part == PART_SECOND_2 ? "%02d" : "%d", tm->tm_sec);
        return;
    }
}

void template_format_time(Str layout, int64_t ns, Buf *out) {
    int64_t seconds = ns / 1000000000, fraction = ns % 1000000000;
    time_t clock;
    struct tm tm;

    if (fraction < 0) {
        fraction += 1000000000;
        seconds--;
    }
    clock = (time_t)seconds;
    if (gmtime_r(&clock, &tm) == NULL) return;
    while (layout.len > 0) {
        size_t len;
        Part part = next_part(layout, &len);

        append_part(part, str_slice(layout, 0, len), &tm, fraction, out);
        layout = str_from(layout, len);
    }
}

/* ---- reading ---- */

typedef struct Parsed {
    struct tm tm;
    int64_t fraction;
    int64_t offset; /* seconds east */
    bool zoned;     /* it was said */
    bool afternoon, twelve;
} Parsed;

static bool take_number(Str *text, size_t least, size_t most, int *out) {
    size_t n = 0;

    *out = 0;
    while (n < most && n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9')
        *out = *out * 10 + (text->ptr[n++] - '0');
    *text = str_from(*text, n);
    return n >= least;
}

static bool take_name(Str *text, const char *const *names, size_t count, bool whole, int *out) {
    for (size_t i = 0; i < count; i++) {
        Str name = str_slice(str_of(names[i]), 0, whole ? 99 : 3);

        if (!str_equal_nocase(str_slice(*text, 0, name.len), name)) continue;
        *text = str_from(*text, name.len);
        *out = (int)i;
        return true;
    }
    return false;
}

static bool take_offset(Part part, Str *text, int64_t *out) {
    bool negative = text->len > 0 && text->ptr[0] == '-';
    int hours, minutes = 0;

    if ((part == PART_ISO || part == PART_ISO_COLON) && str_starts_with(*text, STR("Z"))) {
        *text = str_from(*text, 1);
        return true;
    }
    if (text->len == 0 || (text->ptr[0] != '-' && text->ptr[0] != '+')) return false;
    *text = str_from(*text, 1);
    if (!take_number(text, 2, 2, &hours)) return false;
    if (part == PART_OFFSET_COLON || part == PART_ISO_COLON) {
        if (!str_starts_with(*text, STR(":"))) return false;
        *text = str_from(*text, 1);
    }
    if (part != PART_OFFSET_HOUR && !take_number(text, 2, 2, &minutes)) return false;
    *out = (hours * 60 + minutes) * (negative ? -60 : 60);
    return true;
}

static bool take_fraction(Str *text, int64_t *out) {
    int64_t unit = 100000000;

    if (text->len < 2 || (text->ptr[0] != '.' && text->ptr[0] != ',')) return false;
    *text = str_from(*text, 1);
    for (; text->len > 0 && text->ptr[0] >= '0' && text->ptr[0] <= '9'; unit /= 10) {
        *out += (text->ptr[0] - '0') * unit;
        *text = str_from(*text, 1);
    }
    return true;
}

static bool take_part(Part part, Str example, Str *text, Parsed *out) {
    int value;

    switch (part) {
    case PART_TEXT:
        if (!str_starts_with(*text, example)) return false;
        *text = str_from(*text, example.len);
        return true;
    case PART_LONG_MONTH:
    case PART_MONTH:
        return take_name(text, months, 12, part == PART_LONG_MONTH, &out->tm.tm_mon);
    case PART_LONG_DAY:
    case PART_DAY_NAME:
        return take_name(text, days, 7, part == PART_LONG_DAY, &value);
    case PART_YEAR_4:
        if (!take_number(text, 4, 4, &value)) return false;
        out->tm.tm_year = value - 1900;
        return true;
    case PART_YEAR_2:
        if (!take_number(text, 2, 2, &value)) return false;
        out->tm.tm_year = value >= 69 ? value : value + 100;
        return true;
    case PART_MONTH_2:
    case PART_MONTH_1:
        if (!take_number(text, part == PART_MONTH_2 ? 2 : 1, 2, &value)) return false;
        out->tm.tm_mon = value - 1;
        return value >= 1 && value <= 12;
    case PART_DAY_SPACE:
        if (str_starts_with(*text, STR(" "))) *text = str_from(*text, 1);
        return take_number(text, 1, 2, &out->tm.tm_mday) && out->tm.tm_mday <= 31;
    case PART_DAY_2:
    case PART_DAY_1:
        return take_number(text, part == PART_DAY_2 ? 2 : 1, 2, &out->tm.tm_mday) &&
               out->tm.tm_mday >= 1 && out->tm.tm_mday <= 31;
    case PART_HOUR_24:
        return take_number(text, 2, 2, &out->tm.tm_hour) && out->tm.tm_hour < 24;
    case PART_HOUR_2:
    case PART_HOUR_1:
        out->twelve = true;
        return take_number(text, part == PART_HOUR_2 ? 2 : 1, 2, &out->tm.tm_hour) &&
               out->tm.tm_hour <= 12;
    case PART_MINUTE_2:
    case PART_MINUTE_1:
        return take_number(text, part == PART_MINUTE_2 ? 2 : 1, 2, &out->tm.tm_min) &&
               out->tm.tm_min < 60;
    case PART_SECOND_2:
    case PART_SECOND_1:
        if (!take_number(text, part == PART_SECOND_2 ? 2 : 1, 2, &out->tm.tm_sec)) return false;
        /* A fraction may follow though the layout has none. */
        (void)take_fraction(text, &out->fraction);
        return out->tm.tm_sec < 60;
    case PART_PM:
    case PART_PM_LOW:
        out->twelve = true;
        out->afternoon = text->len > 0 && (text->ptr[0] | 32) == 'p';
        if (text->len < 2 || (text->ptr[1] | 32) != 'm') return false;
        *text = str_from(*text, 2);
        return true;
    case PART_ZONE:
        while (text->len > 0 && text->ptr[0] >= 'A' && text->ptr[0] <= 'Z')
            *text = str_from(*text, 1);
        return true;
    case PART_FRACTION:
    case PART_FRACTION_CUT:
        return take_fraction(text, &out->fraction) || out->fraction > 0 ||
               part == PART_FRACTION_CUT;
    default:
        out->zoned = true;
        return take_offset(part, text, &out->offset);
    }
}

bool template_parse_time(Str layout, Str text, const Zone *zone, int64_t *ns) {
    Parsed parsed = {.tm = {.tm_mday = 1, .tm_year = -1900}};
    int64_t seconds;

    while (layout.len > 0) {
        size_t len;
        Part part = next_part(layout, &len);

        if (!take_part(part, str_slice(layout, 0, len), &text, &parsed)) return false;
        layout = str_from(layout, len);
    }
    if (text.len > 0) return false;
    if (parsed.twelve) parsed.tm.tm_hour = parsed.tm.tm_hour % 12 + (parsed.afternoon ? 12 : 0);
    seconds = (int64_t)timegm(&parsed.tm);
    if (parsed.zoned || zone == NULL)
        seconds -= parsed.offset;
    else
        seconds = zone_instant(zone, seconds);
    return !__builtin_mul_overflow(seconds, INT64_C(1000000000), ns) &&
           !__builtin_add_overflow(*ns, parsed.fraction, ns);
}
