/*
 * tempo_request.c: requests by parameters, and the checks of all requests.
 */
#include "querier/api/tempo_request.h"

#include <inttypes.h>
#include <math.h>

#include "common/base/clock.h"
#include "querier/api/loki.h"
#include "querier/logql/units.h"
#include "querier/traceql/engine/engine.h"

enum { DEFAULT_LIMIT = 20, DEFAULT_SPANS = 3, TAGS_MAX = 64, POINTS_MAX = 10000 };

#define NS_PER_MS INT64_C(1000000)

/* ---------- shared checks ---------- */

ErrCode tempo_seconds(uint64_t start, uint64_t end, int64_t *start_ns, int64_t *end_ns,
                      Error *err) {
    *start_ns = INT64_MIN;
    *end_ns = INT64_MAX;
    if (start == 0 && end == 0) return ERR_OK;
    if (end <= start)
        return error_set(err, ERR_INVALID,
                         "http parameter start must be before end. received start=%" PRIu64
                         " end=%" PRIu64,
                         start, end);
    /* 32 bits of seconds fit in 64 of nanoseconds. */
    *start_ns = (int64_t)MIN(start, UINT32_MAX) * NS_PER_S;
    *end_ns = (int64_t)MIN(end, UINT32_MAX) * NS_PER_S;
    return ERR_OK;
}

ErrCode tempo_search_check(TempoSearch *search, Error *err) {
    if (search->limit == 0) search->limit = DEFAULT_LIMIT;
    if (search->spans_max == 0) search->spans_max = DEFAULT_SPANS;
    if (search->limit > TEMPO_LIMIT_MAX)
        return error_set(err, ERR_INVALID, "limit %" PRIu32 " exceeds max limit %d", search->limit,
                         TEMPO_LIMIT_MAX);
    if (search->spans_max > TEMPO_SPANS_MAX)
        return error_set(err, ERR_INVALID, "spans per span set exceeds %d. received %" PRIu32,
                         TEMPO_SPANS_MAX, search->spans_max);
    if (search->duration_max_ns == 0) search->duration_max_ns = INT64_MAX;
    if (search->duration_min_ns > search->duration_max_ns)
        return error_set(err, ERR_INVALID, "invalid maxDuration: must be greater than minDuration");
    /* A query says so itself if it wants traces of some duration. */
    if (!search->by_tags) {
        search->duration_min_ns = 0;
        search->duration_max_ns = INT64_MAX;
    }
    return ERR_OK;
}

/* What typing is helped with need not be exact, and stays the same for longer. */
void tempo_widen(int64_t *start_ns, int64_t *end_ns) {
    const int64_t width = 600 * NS_PER_S;

    if (*start_ns > INT64_MIN + width) *start_ns -= ((*start_ns % width) + width) % width;
    if (*end_ns < INT64_MAX - width) *end_ns += width - 1 - ((*end_ns % width) + width) % width;
}

ErrCode tempo_tags_check(const TempoTags *tags, Error *err) {
    static const char *const scopes[] = {"",         "none",  "intrinsic", "trace",          "span",
                                         "resource", "event", "link",      "instrumentation"};

    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        if (str_equal(tags->scope, str_of(scopes[i]))) return ERR_OK;
    return error_set(err, ERR_INVALID, "invalid scope: " STR_FMT,
                     STR_ARG(str_slice(tags->scope, 0, 60)));
}

int64_t tempo_default_step(int64_t start_ns, int64_t end_ns) {
    static const int64_t widths_s[] = {3600, 300, 60, 15, 5, 1};
    int64_t range = end_ns - start_ns, wanted = range / 240, fine = 50 * NS_PER_MS;

    /* A graph of less than a minute is shown with milliseconds. */
    if (range < 60 * NS_PER_S) return wanted > fine ? wanted / fine * fine : fine;
    for (size_t i = 0; i < ARRAY_LEN(widths_s); i++) {
        int64_t width = widths_s[i] * NS_PER_S;

        if (wanted > width) return wanted / width * width;
    }
    return NS_PER_S;
}

ErrCode tempo_metrics_check(const ApiCall *call, const TempoMetrics *metrics, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    int64_t range = metrics->end_ns - metrics->start_ns, most = call->limits.query_range_ms_max;

    buf_init(&text, 256);
    if (range <= 0) return error_set(err, ERR_INVALID, "end must be greater than start");
    if (most > 0 && range / NS_PER_MS > most) {
        logql_append_go_duration(&text, most * NS_PER_MS);
        return error_set(err, ERR_INVALID,
                         "metrics query time range exceeds the maximum allowed duration of " STR_FMT
                         " (limits.query_range_max)",
                         STR_ARG(buf_str(&text)));
    }
    if (metrics->step_ns != 0 && range / metrics->step_ns > POINTS_MAX) {
        logql_append_go_duration(&text, metrics->step_ns);
        buf_append_str(&text, STR(" is too small, minimum step for given range is "));
        logql_append_go_duration(&text, range / POINTS_MAX);
        return error_set(err, ERR_INVALID, "step of " STR_FMT, STR_ARG(buf_str(&text)));
    }
    return ERR_OK;
}

/* ---------- searches by tags ---------- */

static void append_quoted(Buf *out, Str text) {
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') buf_append_byte(out, '\\');
        if (text.ptr[i] == '\n')
            buf_append_str(out, STR("\\n"));
        else
            buf_append_byte(out, text.ptr[i]);
    }
    buf_append_byte(out, '"');
}

static void append_status(Buf *out, Str value) {
    static const char *const known[] = {"ok", "error", "unset"};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_equal_nocase(value, str_of(known[i]))) {
            buf_printf(out, "status = %s", known[i]);
            return;
        }
    buf_append_str(out, STR("false"));
}

static void append_condition(Str key, Str value, Buf *query) {
    static const struct {
        const char *key, *field;
    } fields[] = {
        {"name", "name"}, {"root.name", "rootName"}, {"root.service.name", "rootServiceName"}};
    int64_t integer;

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (str_equal(key, str_of(fields[i].key))) {
            buf_printf(query, "%s = ", fields[i].field);
            append_quoted(query, value);
            return;
        }
    if (str_equal(key, STR("status.code"))) {
        append_status(query, value);
        return;
    }
    buf_append_byte(query, '.');
    append_quoted(query, key);
    buf_append_str(query, STR(" = "));
    append_quoted(query, value);
    if (str_to_i64(value, &integer) && integer != INT64_MIN) {
        buf_append_str(query, STR(" || ."));
        append_quoted(query, key);
        buf_printf(query, " = %" PRId64, integer);
    }
}

void tempo_tag_condition(Str key, Str value, Buf *query) {
    buf_append_str(query, query->len > 0 ? STR(" && { ") : STR("{ "));
    append_condition(key, value, query);
    buf_append_str(query, STR(" }"));
}

void tempo_tags_end(Buf *query) {
    if (query->len == 0) buf_append_str(query, STR("{ }"));
}

typedef struct Logfmt {
    Str text;
    size_t at;
    Arena *arena;
} Logfmt;

static ErrCode bad_tags(const Logfmt *in, const char *what, Error *err) {
    return error_set(err, ERR_INVALID, "invalid tags: %s at pos %zu", what, in->at + 1);
}

static ErrCode quoted_value(Logfmt *in, Str *out, Error *err) {
    char *text = arena_alloc_bytes(in->arena, in->text.len);
    size_t len = 0;

    if (text == NULL) return api_out_of_memory(err);
    for (in->at++; in->at < in->text.len && in->text.ptr[in->at] != '"'; in->at++) {
        char c = in->text.ptr[in->at];

        if (c == '\\' && in->at + 1 < in->text.len) {
            c = in->text.ptr[++in->at];
            c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
        }
        text[len++] = c;
    }
    if (in->at == in->text.len) return bad_tags(in, "unterminated quoted value", err);
    in->at++;
    *out = (Str){text, len};
    return ERR_OK;
}

/* `key=value`, `key="va lue"`, `key`; false in *more: no more of them. */
static ErrCode next_tag(Logfmt *in, Str *key, Str *value, bool *more, Error *err) {
    const char *text = in->text.ptr;
    size_t start;

    while (in->at < in->text.len && (uint8_t)text[in->at] <= ' ') in->at++;
    *more = in->at < in->text.len;
    if (!*more) return ERR_OK;
    for (start = in->at; in->at < in->text.len && (uint8_t)text[in->at] > ' '; in->at++) {
        if (text[in->at] == '=') break;
        if (text[in->at] == '"') return bad_tags(in, "unexpected '\"'", err);
    }
    *key = str_slice(in->text, start, in->at - start);
    *value = STR("");
    if (key->len == 0) return bad_tags(in, "unexpected '='", err);
    if (in->at == in->text.len || text[in->at] != '=') return ERR_OK;
    in->at++;
    if (in->at < in->text.len && text[in->at] == '"') return quoted_value(in, value, err);
    for (start = in->at; in->at < in->text.len && (uint8_t)text[in->at] > ' '; in->at++)
        if (text[in->at] == '"' || text[in->at] == '=')
            return bad_tags(in, text[in->at] == '"' ? "unexpected '\"'" : "unexpected '='", err);
    *value = str_slice(in->text, start, in->at - start);
    return ERR_OK;
}

/* { .a = "x" } && { ... } */
static ErrCode query_of_tags(ApiCall *call, Str text, Str *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf query = {0};
    Logfmt in = {.text = text, .arena = call->arena};
    Str keys[TAGS_MAX], value;
    size_t count = 0;

    buf_init(&query, TRACEQL_TEXT_MAX);
    for (bool more = true; more;) {
        Str key = {0};

        TRY(next_tag(&in, &key, &value, &more, err));
        if (!more) break;
        for (size_t i = 0; i < count; i++)
            if (str_equal(keys[i], key))
                return error_set(err, ERR_INVALID,
                                 "invalid tags: tag " STR_FMT " has been set twice",
                                 STR_ARG(str_slice(key, 0, 60)));
        if (count == TAGS_MAX)
            return error_set(err, ERR_INVALID, "invalid tags: more than %d", TAGS_MAX);
        keys[count++] = key;
        tempo_tag_condition(key, value, &query);
    }
    tempo_tags_end(&query);
    if (buf_failed(&query)) return error_set(err, ERR_INVALID, "invalid tags: too long");
    *out = str_dup(call->arena, buf_str(&query));
    return out->ptr == NULL ? api_out_of_memory(err) : ERR_OK;
}

/* ---------- parameters ---------- */

static ErrCode u32_param(const ApiCall *call, const char *name, uint32_t *out, bool *given,
                         Error *err) {
    uint64_t v;
    Str text;

    *out = 0;
    *given = api_param(call, name, &text);
    if (!*given) return ERR_OK;
    if (!str_to_u64(text, &v) || v > UINT32_MAX)
        return error_set(err, ERR_INVALID,
                         "invalid %s: strconv.ParseUint: parsing \"" STR_FMT "\": invalid syntax",
                         name, STR_ARG(str_slice(text, 0, 60)));
    *out = (uint32_t)v;
    return ERR_OK;
}

static ErrCode range_params(const ApiCall *call, int64_t *start_ns, int64_t *end_ns, Error *err) {
    uint32_t start, end;
    bool given;

    TRY(u32_param(call, "start", &start, &given, err));
    TRY(u32_param(call, "end", &end, &given, err));
    return tempo_seconds(start, end, start_ns, end_ns, err);
}

static ErrCode duration_param(const ApiCall *call, const char *name, int64_t *out, Error *err) {
    Str text;

    *out = 0;
    if (!api_param(call, name, &text) || logql_parse_go_duration(text, out)) return ERR_OK;
    return error_set(err, ERR_INVALID, "invalid %s: time: invalid duration \"" STR_FMT "\"", name,
                     STR_ARG(str_slice(text, 0, 60)));
}

ErrCode tempo_search_params(ApiCall *call, TempoSearch *out, Error *err) {
    Str tags = STR("");
    bool given, has_query, has_tags;

    *out = (TempoSearch){.query = STR("")};
    has_query = api_param(call, "q", &out->query);
    has_tags = api_param(call, "tags", &tags);
    if (has_query && has_tags)
        return error_set(err, ERR_INVALID,
                         "invalid request: can't specify tags and q in the same query");
    if (!has_query) {
        out->by_tags = true;
        TRY(query_of_tags(call, tags, &out->query, err));
    }
    TRY(duration_param(call, "minDuration", &out->duration_min_ns, err));
    TRY(duration_param(call, "maxDuration", &out->duration_max_ns, err));
    /* Beside q they mean nothing, but must be right. */
    if (has_query && out->duration_max_ns != 0 && out->duration_min_ns > out->duration_max_ns)
        return tempo_search_check(out, err);
    if (has_query) out->duration_min_ns = out->duration_max_ns = 0;
    TRY(u32_param(call, "limit", &out->limit, &given, err));
    if (given && out->limit == 0)
        return error_set(err, ERR_INVALID, "invalid limit: must be a positive number");
    TRY(u32_param(call, "spss", &out->spans_max, &given, err));
    TRY(range_params(call, &out->start_ns, &out->end_ns, err));
    return tempo_search_check(out, err);
}

/* Names and values take both ends or none, in any of the forms of times. */
static ErrCode both_params(const ApiCall *call, int64_t *start_ns, int64_t *end_ns, Error *err) {
    Str text;
    bool start = api_param(call, "start", &text), end = api_param(call, "end", &text);

    if (start != end)
        return error_set(err, ERR_INVALID,
                         "error parsing date range: only one of start and end provided: must "
                         "provide both or neither");
    *start_ns = INT64_MIN;
    *end_ns = INT64_MAX;
    TRY(loki_time_param(call, "start", INT64_MIN, start_ns, err));
    TRY(loki_time_param(call, "end", INT64_MAX, end_ns, err));
    if (*end_ns < *start_ns)
        return error_set(err, ERR_INVALID,
                         "http parameter start must be before end. received start=%" PRId64
                         " end=%" PRId64,
                         *start_ns / NS_PER_S, *end_ns / NS_PER_S);
    return ERR_OK;
}

ErrCode tempo_tags_params(ApiCall *call, TempoTags *out, Error *err) {
    bool given;

    *out = (TempoTags){.scope = STR(""), .query = STR("")};
    (void)api_param(call, "scope", &out->scope);
    (void)api_param(call, "q", &out->query);
    TRY(u32_param(call, "limit", &out->limit, &given, err));
    TRY(both_params(call, &out->start_ns, &out->end_ns, err));
    return tempo_tags_check(out, err);
}

ErrCode tempo_values_params(ApiCall *call, TempoValues *out, Error *err) {
    bool given;

    *out = (TempoValues){.tag = http_path_param(call->request, "tag"), .query = STR("")};
    (void)api_param(call, "q", &out->query);
    TRY(u32_param(call, "limit", &out->limit, &given, err));
    return both_params(call, &out->start_ns, &out->end_ns, err);
}

/* Seconds, or a duration as Go has them. */
static ErrCode step_param(const ApiCall *call, int64_t *out, Error *err) {
    double seconds;
    Str text;

    if (!api_param(call, "step", &text)) return ERR_OK;
    if (str_to_double(text, &seconds) && fabs(seconds) < 9e9)
        *out = (int64_t)(seconds * 1e9);
    else if (!logql_parse_go_duration(text, out))
        return error_set(err, ERR_INVALID, "cannot parse \"" STR_FMT "\" to a valid duration",
                         STR_ARG(str_slice(text, 0, 60)));
    if (*out <= 0)
        return error_set(err, ERR_INVALID, "cannot parse \"" STR_FMT "\": step must be positive",
                         STR_ARG(str_slice(text, 0, 60)));
    return ERR_OK;
}

ErrCode tempo_metrics_params(ApiCall *call, bool instant, TempoMetrics *out, Error *err) {
    int64_t now_ns = clock_now_ms(call->querier->options.clock) * NS_PER_MS, since_ns;
    bool given;

    *out = (TempoMetrics){.query = STR("")};
    if (!api_param(call, "q", &out->query)) (void)api_param(call, "query", &out->query);
    TRY(loki_duration_param(call, "since", 3600 * NS_PER_S, &since_ns, err));
    if (loki_time_param(call, "end", now_ns, &out->end_ns, err) != ERR_OK)
        return error_wrap(err, "could not parse 'end' parameter");
    if (loki_time_param(call, "start", MIN(out->end_ns, now_ns) - since_ns, &out->start_ns, err) !=
        ERR_OK)
        return error_wrap(err, "could not parse 'start' parameter");
    /* Nothing was traced before 1970, and differences stay inside 64 bits. */
    out->start_ns = MAX(out->start_ns, 0);
    out->end_ns = MAX(out->end_ns, 0);
    TRY(u32_param(call, "exemplars", &out->exemplars, &given, err));
    TRY(u32_param(call, "maxSeries", &out->series_max, &given, err));
    if (!instant) {
        out->step_ns = tempo_default_step(out->start_ns, out->end_ns);
        TRY(step_param(call, &out->step_ns, err));
    }
    return tempo_metrics_check(call, out, err);
}
