/*
 * params.c: times, durations and selectors as the Prometheus API takes them.
 */
#include <math.h>
#include <stdio.h>

#include "querier/api/internal.h"

enum { MATCH_PARAMS_MAX = 256 };

bool api_param(const ApiCall *call, const char *name, Str *out) {
    return http_param(call->request, name, 0, out) && out->len > 0;
}

static ErrCode bad_param(const char *name, Str text, const char *why, Error *err) {
    return error_set(err, ERR_INVALID,
                     "invalid parameter \"%s\": cannot parse \"" STR_FMT "\" to %s", name,
                     STR_ARG(str_slice(text, 0, 80)), why);
}

/* Days since 1970 of a date of the proleptic Gregorian calendar. */
static int64_t days_of(int64_t year, unsigned month, unsigned day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + (int64_t)day_of_era - 719468;
}

static bool digits(Str text, size_t at, size_t count, unsigned *out) {
    unsigned v = 0;

    if (at + count > text.len) return false;
    for (size_t i = at; i < at + count; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
        v = v * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = v;
    return true;
}

/* "Z", "+02:00" */
static bool parse_zone(Str text, int64_t *ms) {
    unsigned hours, minutes;

    if (str_equal(text, STR("Z")) || str_equal(text, STR("z"))) {
        *ms = 0;
        return true;
    }
    if (text.len != 6 || (text.ptr[0] != '+' && text.ptr[0] != '-') || text.ptr[3] != ':' ||
        !digits(text, 1, 2, &hours) || !digits(text, 4, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ms = (int64_t)(hours * 60 + minutes) * 60000 * (text.ptr[0] == '-' ? -1 : 1);
    return true;
}

static bool parse_rfc3339(Str text, int64_t *out) {
    unsigned year, month, day, hour, minute, second;
    int64_t zone, ms = 0, scale = 100;
    size_t at = 19;

    if (text.len < 20 || !digits(text, 0, 4, &year) || text.ptr[4] != '-' ||
        !digits(text, 5, 2, &month) || text.ptr[7] != '-' || !digits(text, 8, 2, &day) ||
        (text.ptr[10] | 32) != 't' || !digits(text, 11, 2, &hour) || text.ptr[13] != ':' ||
        !digits(text, 14, 2, &minute) || text.ptr[16] != ':' || !digits(text, 17, 2, &second))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return false;
    if (text.ptr[at] == '.')
        for (at++; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++, scale /= 10)
            ms += (text.ptr[at] - '0') * scale;
    if (!parse_zone(str_from(text, at), &zone)) return false;
    *out =
        (((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms - zone;
    return true;
}

bool api_parse_time(Str text, int64_t *ms) {
    double seconds;

    if (str_to_double(text, &seconds)) {
        if (!(fabs(seconds) < 9.2e15)) return false;
        *ms = (int64_t)llround(seconds * 1000);
        return true;
    }
    return parse_rfc3339(text, ms);
}

ErrCode api_time_param(const ApiCall *call, const char *name, int64_t fallback_ms, int64_t *out,
                       Error *err) {
    Str text;

    *out = fallback_ms;
    if (!api_param(call, name, &text) || api_parse_time(text, out)) return ERR_OK;
    return bad_param(name, text, "a valid timestamp", err);
}

ErrCode api_duration_param(const ApiCall *call, const char *name, int64_t fallback_ms, int64_t *out,
                           Error *err) {
    Str text;

    *out = fallback_ms;
    if (!api_param(call, name, &text)) return ERR_OK;
    if (promql_parse_duration(text, out, err) == ERR_OK) return ERR_OK;
    return bad_param(name, text, "a valid duration", err);
}

ErrCode api_u64_param(const ApiCall *call, const char *name, uint64_t fallback, uint64_t *out,
                      Error *err) {
    Str text;

    *out = fallback;
    if (!api_param(call, name, &text) || str_to_u64(text, out)) return ERR_OK;
    return bad_param(name, text, "a valid limit", err);
}

ErrCode api_range_params(const ApiCall *call, int64_t *min_ms, int64_t *max_ms, Error *err) {
    TRY(api_time_param(call, "start", INT64_MIN, min_ms, err));
    return api_time_param(call, "end", INT64_MAX, max_ms, err);
}

ErrCode api_match_params(ApiCall *call, int64_t min_ms, int64_t max_ms, bool required,
                         SelectRequest **out, size_t *count, Error *err) {
    SelectRequest *requests = ARENA_ARRAY(call->arena, SelectRequest, MATCH_PARAMS_MAX);
    size_t used = 0;
    Str text;

    if (requests == NULL) return api_out_of_memory(err);
    for (; http_param(call->request, "match[]", used, &text); used++) {
        SelectRequest *request = &requests[used];

        if (used == MATCH_PARAMS_MAX)
            return error_set(err, ERR_INVALID, "more than %d match[] arguments", MATCH_PARAMS_MAX);
        if (promql_parse_selector(call->arena, text, &request->matchers, &request->matcher_count,
                                  err) != ERR_OK)
            return error_wrap(err, "invalid parameter \"match[]\"");
        request->min_ms = min_ms;
        request->max_ms = max_ms;
        request->labels_only = true;
    }
    if (used == 0) {
        if (required) return error_set(err, ERR_INVALID, "no match[] parameter provided");
        requests[used++] = (SelectRequest){.min_ms = min_ms, .max_ms = max_ms, .labels_only = true};
    }
    *out = requests;
    *count = used;
    return ERR_OK;
}
