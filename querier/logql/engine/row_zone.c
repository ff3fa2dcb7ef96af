#include "querier/logql/engine/row_zone.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/reader.h"

enum {
    FILE_BYTES_MAX = 64 << 10,
    NAME_BYTES_MAX = 64,
    HEAD_BYTES = 44, /* of either part of a file */
    DAY = 86400,
};

static const char FOLDER[] = "/usr/share/zoneinfo";

/* ---- zones ---- */

typedef struct Kind {
    int32_t offset; /* east of UTC, s */
    bool summer;
} Kind;

typedef enum RuleKind {
    RULE_NONE,
    RULE_JULIAN, /* day 1 to 365, the leap day never counted */
    RULE_DAY,    /* day 0 to 365 */
    RULE_MONTH,  /* the week'th weekday `day` of a month; 5: its last */
} RuleKind;

typedef struct Rule {
    RuleKind kind;
    int day, week, month;
    int time; /* of the day, s; may be on another one */
} Rule;

struct Zone {
    int64_t *at; /* when it changes, ascending */
    uint8_t *to; /* and to which kind */
    size_t count;
    Kind *kinds;
    size_t kind_count;
    /* From the last change on; without `starts` winter for good. */
    bool goes_on;
    Kind winter, summer;
    Rule starts, ends; /* of summer */
};

/* What holds at an instant, from `start` until before `end`. */
typedef struct Period {
    int32_t offset;
    int64_t start, end;
} Period;

void zone_free(Zone *zone) {
    if (zone == NULL) return;
    free(zone->at);
    free(zone->to);
    free(zone->kinds);
    free(zone);
}

/* ---- what is behind the last change: TZ as POSIX has it ---- */

static bool take(Str *text, char c) {
    if (text->len == 0 || text->ptr[0] != c) return false;
    *text = str_from(*text, 1);
    return true;
}

/* A name of letters, or of anything between < and >. */
static bool take_name(Str *text) {
    size_t n = 0;

    if (take(text, '<')) {
        while (n < text->len && text->ptr[n] != '>') n++;
        *text = str_from(*text, n);
        return take(text, '>');
    }
    while (n < text->len && isalpha((unsigned char)text->ptr[n])) n++;
    *text = str_from(*text, n);
    return n >= 3;
}

static bool take_int(Str *text, int most, int *out) {
    size_t n = 0;

    *out = 0;
    while (n < text->len && isdigit((unsigned char)text->ptr[n])) {
        *out = *out * 10 + (text->ptr[n++] - '0');
        if (*out > most) return false;
    }
    *text = str_from(*text, n);
    return n > 0;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool take_time(Str *text, int *out) {
    bool negative = take(text, '-');
    int hours, minutes = 0, seconds = 0;

    if (!negative) (void)take(text, '+');
    if (!take_int(text, 24 * 7, &hours)) return false;
    if (take(text, ':') && !take_int(text, 59, &minutes)) return false;
    if (minutes >= 0 && take(text, ':') && !take_int(text, 59, &seconds)) return false;
    *out = hours * 3600 + minutes * 60 + seconds;
    if (negative) *out = -*out;
    return true;
}

static bool take_rule(Str *text, Rule *out) {
    *out = (Rule){.kind = RULE_DAY, .time = 2 * 3600};
    if (take(text, 'M')) {
        out->kind = RULE_MONTH;
        if (!take_int(text, 12, &out->month) || out->month < 1 || !take(text, '.') ||
            !take_int(text, 5, &out->week) || out->week < 1 || !take(text, '.') ||
            !take_int(text, 6, &out->day))
            return false;
    } else {
        if (take(text, 'J')) out->kind = RULE_JULIAN;
        if (!take_int(text, 365, &out->day) || (out->kind == RULE_JULIAN && out->day == 0))
            return false;
    }
    return !take(text, '/') || take_time(text, &out->time);
}

/* West is positive there. */
static bool take_kind(Str *text, Kind *out) {
    int west;

    if (!take_time(text, &west)) return false;
    out->offset = -west;
    return true;
}

static bool take_footer(Str text, Zone *zone) {
    if (!take_name(&text) || !take_kind(&text, &zone->winter)) return false;
    if (text.len == 0) return true;
    if (!take_name(&text)) return false;
    zone->summer = (Kind){zone->winter.offset + 3600, true};
    if (text.len > 0 && text.ptr[0] != ',' && !take_kind(&text, &zone->summer)) return false;
    return take(&text, ',') && take_rule(&text, &zone->starts) && take(&text, ',') &&
           take_rule(&text, &zone->ends) && text.len == 0;
}

/* ---- files ---- */

static int64_t big_endian(Reader *r, int bytes) {
    uint64_t v = 0;

    for (int i = 0; i < bytes; i++) v = v << 8 | reader_u8(r);
    return bytes == 4 ? (int32_t)(uint32_t)v : (int64_t)v;
}

typedef struct Head {
    uint8_t version;
    uint32_t utc, standard, leaps, times, kinds, chars;
} Head;

static bool take_head(Reader *r, Head *out) {
    Str magic = reader_bytes(r, 4);

    out->version = reader_u8(r);
    (void)reader_bytes(r, 15);
    out->utc = (uint32_t)big_endian(r, 4);
    out->standard = (uint32_t)big_endian(r, 4);
    out->leaps = (uint32_t)big_endian(r, 4);
    out->times = (uint32_t)big_endian(r, 4);
    out->kinds = (uint32_t)big_endian(r, 4);
    out->chars = (uint32_t)big_endian(r, 4);
    return !r->failed && str_equal(magic, STR("TZif")) && out->kinds > 0 && out->kinds <= 256;
}

static bool take_changes(Reader *r, const Head *head, Zone *zone) {
    if (head->times > reader_left(r) / 9 || head->kinds > reader_left(r) / 6) return false;
    zone->count = head->times;
    zone->kind_count = head->kinds;
    zone->at = calloc(zone->count + 1, sizeof *zone->at);
    zone->to = calloc(zone->count + 1, sizeof *zone->to);
    zone->kinds = calloc(zone->kind_count, sizeof *zone->kinds);
    if (zone->at == NULL || zone->to == NULL || zone->kinds == NULL) return false;
    for (size_t i = 0; i < zone->count; i++) {
        zone->at[i] = big_endian(r, 8);
        if (i > 0 && zone->at[i] <= zone->at[i - 1]) return false;
    }
    for (size_t i = 0; i < zone->count; i++) {
        zone->to[i] = reader_u8(r);
        if (zone->to[i] >= zone->kind_count) return false;
    }
    for (size_t i = 0; i < zone->kind_count; i++) {
        zone->kinds[i].offset = (int32_t)big_endian(r, 4);
        zone->kinds[i].summer = reader_u8(r) != 0;
        (void)reader_u8(r); /* of its name */
        if (zone->kinds[i].offset < -7 * DAY || zone->kinds[i].offset > 7 * DAY) return false;
    }
    return !r->failed;
}

static bool parse(Str bytes, Zone *zone) {
    Reader r = reader_of(bytes);
    Head head;
    Str line;

    /* What comes first is for programs that know 32 bits. */
    if (!take_head(&r, &head) || head.version < '2') return false;
    (void)reader_bytes(&r, (size_t)head.times * 5 + (size_t)head.kinds * 6 + head.chars +
                               (size_t)head.leaps * 8 + head.standard + head.utc);
    if (!take_head(&r, &head) || !take_changes(&r, &head, zone)) return false;
    (void)reader_bytes(&r, (size_t)head.chars + (size_t)head.leaps * 12 + head.standard + head.utc);
    if (r.failed || reader_u8(&r) != '\n') return false;
    line = reader_bytes(&r, reader_left(&r));
    if (r.failed || line.len == 0 || line.ptr[line.len - 1] != '\n') return false;
    line.len--;
    zone->goes_on = line.len > 0;
    return line.len == 0 || take_footer(line, zone);
}

Zone *zone_parse(Str bytes) {
    Zone *zone = calloc(1, sizeof *zone);

    if (zone != NULL && parse(bytes, zone)) return zone;
    zone_free(zone);
    return NULL;
}

/* ---- asking ---- */

/* Days from 1970-01-01 to the first of January. */
static int64_t days_to_year(int64_t year) {
    int64_t y = year - 1; /* complete ones */
    int64_t leaps =
        (y >= 0 ? y : y - 3) / 4 - (y >= 0 ? y : y - 99) / 100 + (y >= 0 ? y : y - 399) / 400;

    return y * 365 + leaps - 719162;
}

static bool is_leap(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Seconds from the beginning of the year. */
static int64_t rule_time(const Rule *rule, int64_t year) {
    static const int BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int64_t first, day;
    int length;

    if (rule->kind == RULE_DAY) return (int64_t)rule->day * DAY + rule->time;
    if (rule->kind == RULE_JULIAN)
        return (int64_t)(rule->day - 1 + (is_leap(year) && rule->day >= 60)) * DAY + rule->time;
    first = BEFORE[rule->month - 1] + (is_leap(year) && rule->month > 2);
    length = BEFORE[rule->month] - BEFORE[rule->month - 1] + (is_leap(year) && rule->month == 2);
    /* 1970-01-01 was a Thursday. */
    day = (rule->day - (days_to_year(year) + first + 4) % 7 + 14) % 7;
    day += (rule->week - 1) * 7;
    while (day >= length) day -= 7;
    return (first + day) * DAY + rule->time;
}

static Period behind_last(const Zone *zone, int64_t start, int64_t at) {
    int64_t days = at / DAY - (at % DAY < 0), year = 1970 + days * 400 / 146097;
    int64_t begins, from, to, seconds;
    Kind inside = zone->summer, outside = zone->winter;

    if (zone->starts.kind == RULE_NONE) return (Period){zone->winter.offset, start, INT64_MAX};
    while (days_to_year(year) > days) year--;
    while (days_to_year(year + 1) <= days) year++;
    begins = days_to_year(year) * DAY;
    seconds = at - begins;
    from = rule_time(&zone->starts, year) - zone->winter.offset;
    to = rule_time(&zone->ends, year) - zone->summer.offset;
    if (to < from) { /* south of the equator */
        int64_t swap = from;

        from = to;
        to = swap;
        inside = zone->winter;
        outside = zone->summer;
    }
    if (seconds < from) return (Period){outside.offset, begins, begins + from};
    if (seconds >= to) return (Period){outside.offset, begins + to, begins + 365 * (int64_t)DAY};
    return (Period){inside.offset, begins + from, begins + to};
}

/* Before the first change. */
static Kind first_kind(const Zone *zone) {
    bool used = false;

    for (size_t i = 0; i < zone->count; i++) used = used || zone->to[i] == 0;
    if (!used) return zone->kinds[0];
    if (zone->kinds[zone->to[0]].summer)
        for (size_t k = zone->to[0]; k-- > 0;)
            if (!zone->kinds[k].summer) return zone->kinds[k];
    for (size_t k = 0; k < zone->kind_count; k++)
        if (!zone->kinds[k].summer) return zone->kinds[k];
    return zone->kinds[0];
}

static Period period_at(const Zone *zone, int64_t at) {
    size_t low = 0, high = zone->count;

    while (low < high) { /* how many changes there were */
        size_t middle = low + (high - low) / 2;

        if (zone->at[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 && (zone->count > 0 || !zone->goes_on))
        return (Period){first_kind(zone).offset, INT64_MIN,
                        zone->count > 0 ? zone->at[0] : INT64_MAX};
    if (low == zone->count && zone->goes_on)
        return behind_last(zone, low == 0 ? INT64_MIN : zone->at[low - 1], at);
    return (Period){zone->kinds[zone->to[low - 1]].offset, zone->at[low - 1],
                    low < zone->count ? zone->at[low] : INT64_MAX};
}

int64_t zone_instant(const Zone *zone, int64_t local) {
    const int64_t far = INT64_C(1) << 40; /* no file says anything of such years */
    Period period;

    if (local < -far || local > far) return local;
    period = period_at(zone, local);
    if (local - period.offset < period.start || local - period.offset >= period.end)
        period = period_at(zone, local - period.offset);
    return local - period.offset;
}

/* ---- by name ---- */

/* Letters, digits and the like, and no way out of the folder. */
static bool is_name(Str name) {
    if (name.len == 0 || name.len > NAME_BYTES_MAX || name.ptr[0] == '/' ||
        str_contains(name, STR("..")))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.ptr[i]) && strchr("/_+-.", name.ptr[i]) == NULL)
            return false;
    return !str_equal(name, STR("UTC")) && !str_equal(name, STR("Local"));
}

static Zone *load(Str name) {
    const char *folder = getenv("ZONEINFO");
    char path[512];
    char *bytes;
    Zone *zone = NULL;
    FILE *file;

    if (!is_name(name)) return NULL;
    if (folder == NULL || folder[0] == '\0') folder = FOLDER;
    if (snprintf(path, sizeof path, "%s/%.*s", folder, (int)name.len, name.ptr) >= (int)sizeof path)
        return NULL;
    file = fopen(path, "re");
    if (file == NULL) return NULL;
    bytes = malloc(FILE_BYTES_MAX);
    if (bytes != NULL) zone = zone_parse((Str){bytes, fread(bytes, 1, FILE_BYTES_MAX, file)});
    free(bytes);
    fclose(file);
    return zone;
}

const Zone *row_zones_get(RowZones *zones, Str name) {
    unsigned slot;

    for (slot = 0; slot < ROW_ZONES; slot++)
        if (zones->slots[slot].used && str_equal(buf_str(&zones->slots[slot].name), name))
            return zones->slots[slot].zone;
    slot = zones->next++ % ROW_ZONES;
    zone_free(zones->slots[slot].zone);
    if (zones->slots[slot].used) buf_done(&zones->slots[slot].name);
    buf_init(&zones->slots[slot].name, 0);
    buf_append_str(&zones->slots[slot].name, name);
    zones->slots[slot].zone = load(name);
    zones->slots[slot].used = true;
    return zones->slots[slot].zone;
}

void row_zones_done(RowZones *zones) {
    for (unsigned slot = 0; slot < ROW_ZONES; slot++) {
        zone_free(zones->slots[slot].zone);
        if (zones->slots[slot].used) buf_done(&zones->slots[slot].name);
    }
}
