#include "querier/api/loki.h"

#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/rfc3339.h"
#include "querier/promql/parser.h"

enum { DEFAULT_SINCE_S = 3600, SECONDS_DIGITS_MAX = 10 };

/* Times are kept well inside 64 bits, so that differences of any two fit. */
#define TIME_NS_MAX (INT64_C(1) << 62)

static ErrCode bad_time(Str text, Error *err) {
    return error_set(err, ERR_INVALID,
                     "\"" STR_FMT "\" is no time: nanoseconds, seconds or RFC 3339",
                     STR_ARG(str_slice(text, 0, 80)));
}

static ErrCode parse_time(Str text, int64_t *out, Error *err) {
    double seconds;
    int64_t v;

    if (text.len > 0 && memchr(text.ptr, '.', text.len) != NULL && str_to_double(text, &seconds)) {
        double whole;
        /* Rounded to milliseconds, as there. */
        double part = round(modf(seconds, &whole) * 1000) / 1000;

        if (!(fabs(whole) < 4e9)) return bad_time(text, err);
        *out = (int64_t)whole * NS_PER_S + (int64_t)(part * 1e9);
        return ERR_OK;
    }
    if (str_to_i64(text, &v)) {
        if (text.len <= SECONDS_DIGITS_MAX)
            *out = v > TIME_NS_MAX / NS_PER_S ? TIME_NS_MAX : v * NS_PER_S;
        else
            *out = v;
    } else if (!rfc3339_parse(text, out)) {
        return bad_time(text, err);
    }
    *out = MIN(MAX(*out, -TIME_NS_MAX), TIME_NS_MAX);
    return ERR_OK;
}

ErrCode loki_time_param(const ApiCall *call, const char *name, int64_t fallback_ns, int64_t *out,
                        Error *err) {
    Str text;

    *out = fallback_ns;
    return api_param(call, name, &text) ? parse_time(text, out, err) : ERR_OK;
}

static ErrCode parse_duration(Str text, int64_t *out, Error *err) {
    double seconds;
    int64_t ms;

    if (str_to_double(text, &seconds)) {
        if (!(fabs(seconds) < 9e9))
            return error_set(err, ERR_INVALID,
                             "cannot parse \"" STR_FMT "\" to a valid duration. It overflows int64",
                             STR_ARG(str_slice(text, 0, 80)));
        *out = (int64_t)(seconds * 1e9);
        return ERR_OK;
    }
    if (promql_parse_duration(text, &ms, err) != ERR_OK || ms > TIME_NS_MAX / 1000000)
        return error_set(err, ERR_INVALID, "cannot parse \"" STR_FMT "\" to a valid duration",
                         STR_ARG(str_slice(text, 0, 80)));
    *out = ms * 1000000;
    return ERR_OK;
}

ErrCode loki_duration_param(const ApiCall *call, const char *name, int64_t fallback_ns,
                            int64_t *out, Error *err) {
    Str text;

    *out = fallback_ns;
    return api_param(call, name, &text) ? parse_duration(text, out, err) : ERR_OK;
}

ErrCode loki_bounds(const ApiCall *call, int64_t *start_ns, int64_t *end_ns, Error *err) {
    int64_t now = clock_now_ms(call->querier->options.clock) * 1000000;
    int64_t since = DEFAULT_SINCE_S * NS_PER_S;
    Str text;

    if (api_param(call, "since", &text)) {
        int64_t ms;

        if (promql_parse_duration(text, &ms, err) != ERR_OK || ms > TIME_NS_MAX / 1000000)
            return error_set(err, ERR_INVALID,
                             "could not parse 'since' parameter: not a valid duration string: "
                             "\"" STR_FMT "\"",
                             STR_ARG(str_slice(text, 0, 80)));
        since = ms * 1000000;
    }
    if (loki_time_param(call, "end", now, end_ns, err) != ERR_OK)
        return error_wrap(err, "could not parse 'end' parameter");
    if (loki_time_param(call, "start", MIN(*end_ns, now) - since, start_ns, err) != ERR_OK)
        return error_wrap(err, "could not parse 'start' parameter");
    if (*end_ns < *start_ns)
        return error_set(err, ERR_INVALID,
                         "end timestamp must not be before or equal to start time");
    return ERR_OK;
}

int64_t loki_default_step(int64_t start_ns, int64_t end_ns) {
    return MAX((end_ns - start_ns) / NS_PER_S / 250, 1) * NS_PER_S;
}

ErrCode loki_limit_param(const ApiCall *call, const char *name, uint64_t fallback, uint64_t *out,
                         Error *err) {
    int64_t v;
    Str text;

    *out = fallback;
    if (!api_param(call, name, &text)) return ERR_OK;
    if (!str_to_i64(text, &v))
        return error_set(err, ERR_INVALID, "%s: \"" STR_FMT "\" is no number", name,
                         STR_ARG(str_slice(text, 0, 80)));
    if (v <= 0) return error_set(err, ERR_INVALID, "%s must be a positive value", name);
    if (v > UINT32_MAX)
        return error_set(err, ERR_INVALID, "%s value %lld is out of range [0, %u]", name,
                         (long long)v, UINT32_MAX);
    *out = (uint64_t)v;
    return ERR_OK;
}

ErrCode loki_check_range(const ApiCall *call, int64_t start_ns, int64_t end_ns, Error *err) {
    int64_t max_ms = call->limits.log_query_range_ms_max, range_ms = (end_ns - start_ns) / 1000000;

    if (max_ms <= 0 || range_ms <= max_ms) return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "the query time range exceeds the limit (query length: %llds, "
                     "limits.log_query_range_max: %llds); ask for less, or have it raised",
                     (long long)range_ms / 1000, (long long)max_ms / 1000);
}

static ErrCode select_streams(ApiCall *call, const Matcher *matchers, size_t matcher_count,
                              int64_t start_ns, int64_t end_ns, bool count_kept, StreamSet *out,
                              Error *err) {
    StreamSelect select = {
        .matchers = matchers,
        .matcher_count = matcher_count,
        .min_ns = start_ns,
        .max_ns = end_ns,
        .labels_only = true,
        .count_kept = count_kept,
        .stats = &call->stream_stats,
    };

    return call->streams->select(call->streams, &call->query, &select, out, err);
}

ErrCode loki_select(ApiCall *call, const Matcher *matchers, size_t matcher_count, int64_t start_ns,
                    int64_t end_ns, StreamSet *out, Error *err) {
    return select_streams(call, matchers, matcher_count, start_ns, end_ns, false, out, err);
}

ErrCode loki_count(ApiCall *call, const Matcher *matchers, size_t matcher_count, int64_t start_ns,
                   int64_t end_ns, StreamSet *out, Error *err) {
    return select_streams(call, matchers, matcher_count, start_ns, end_ns, true, out, err);
}

/* A comma-separated header of flags. */
bool loki_wants_categories(const ApiCall *call) {
    Str rest = http_header(call->request, "X-Loki-Response-Encoding-Flags"), flag;

    while (rest.len > 0) {
        str_cut(rest, ',', &flag, &rest);
        if (str_equal(str_trim(flag), STR("categorize-labels"))) return true;
    }
    return false;
}
