/*
 * correlate.c: everything of one trace: its spans, the log lines that name it, and the series that
 * have exemplars of it, in one answer.
 *
 * Spans are looked up by id. Log lines are those with structured metadata `trace_id`, which filters
 * of pages find, and those with the id in the line. Without `start` and `end` lines and exemplars
 * are looked for around the trace, or, where there is no such trace, within the last day.
 */
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "querier/api/loki.h"
#include "querier/api/tempo.h"
#include "querier/logql/engine/result_json.h"
#include "querier/logql/parser.h"

enum {
    AROUND_MS = 60 * 60 * 1000, /* late lines, and exemplars of the collection after */
    WITHOUT_TRACE_MS = 24 * 60 * 60 * 1000,
    DEFAULT_LIMIT = 1000,
    QUERY_BYTES_MAX = 256,
};

typedef struct Correlation {
    TraceId id;
    char hex[2 * sizeof(TraceId) + 1];
    int64_t min_ms; /* where lines and exemplars are looked for */
    int64_t max_ms;
    bool has_range; /* the request says it */
    uint64_t limit; /* of lines, and of exemplars */
    TempoSpans spans;
    size_t span_count;
    LogqlResult logs[2]; /* by structured metadata, by the line */
    size_t log_count;
    bool logs_cut;
} Correlation;

/* From 1896 to 2116: wide enough, and differences don't overflow. */
static int64_t ns_of(int64_t ms) {
    const int64_t lowest_ms = -(INT64_C(1) << 61) / 1000000,
                  highest_ms = (INT64_C(1) << 62) / 1000000;

    return MIN(MAX(ms, lowest_ms), highest_ms) * 1000000;
}

static ErrCode read_params(ApiCall *call, Correlation *c, Error *err) {
    static const char digits[] = "0123456789abcdef";
    uint64_t entries_max = call->limits.log_query_entries_max;
    bool has_start, has_end;
    Str text, ignored;

    if (!api_param(call, "trace_id", &text))
        return error_set(err, ERR_INVALID, "invalid parameter \"trace_id\": it is missing");
    if (tempo_trace_id(text, &c->id, err) != ERR_OK)
        return error_wrap(err, "invalid parameter \"trace_id\"");
    for (size_t i = 0; i < sizeof c->id.bytes; i++) {
        c->hex[2 * i] = digits[c->id.bytes[i] >> 4];
        c->hex[2 * i + 1] = digits[c->id.bytes[i] & 15];
    }
    has_start = api_param(call, "start", &ignored);
    has_end = api_param(call, "end", &ignored);
    c->has_range = has_start || has_end;
    TRY(api_range_params(call, &c->min_ms, &c->max_ms, err));
    if (!has_end) c->max_ms = clock_now_ms(call->querier->options.clock) + AROUND_MS;
    if (!has_start) c->min_ms = c->max_ms - WITHOUT_TRACE_MS;
    if (c->max_ms < c->min_ms)
        return error_set(err, ERR_INVALID, "end timestamp must not be before start timestamp");
    if (c->has_range) TRY(loki_check_range(call, ns_of(c->min_ms), ns_of(c->max_ms), err));
    TRY(api_u64_param(call, "limit",
                      entries_max == 0 ? DEFAULT_LIMIT : MIN(entries_max, DEFAULT_LIMIT), &c->limit,
                      err));
    if (c->limit == 0) return error_set(err, ERR_INVALID, "limit must be a positive value");
    return loki_check_entries(call, c->limit, err);
}

/* ---------- spans ---------- */

static ErrCode find_spans(ApiCall *call, Correlation *c, Error *err) {
    int64_t first = INT64_MAX, last = INT64_MIN;
    SpanTable table;

    TRY(call->traces->find(
        call->traces, &call->query, &c->id, c->has_range ? ns_of(c->min_ms) : INT64_MIN,
        c->has_range ? ns_of(c->max_ms) : INT64_MAX, &call->trace_stats, &table, err));
    TRY(tempo_spans(&table, NULL, call->arena, &c->spans, err));
    c->span_count = c->spans.starts[c->spans.origin_count];
    if (c->has_range) return ERR_OK;
    for (size_t i = 0; i < c->span_count; i++) {
        first = MIN(first, c->spans.spans[i]->start_ns);
        last = MAX(last, c->spans.spans[i]->end_ns);
    }
    if (c->span_count == 0) return ERR_OK;
    c->min_ms = first / 1000000 - AROUND_MS;
    c->max_ms = last / 1000000 + AROUND_MS;
    return ERR_OK;
}

/* ---------- logs ---------- */

static ErrCode find_lines(ApiCall *call, Correlation *c, const char *pipeline, uint64_t limit,
                          LogqlResult *out, Error *err) {
    LogqlParams params = {.start_ns = ns_of(c->min_ms),
                          .end_ns = ns_of(c->max_ms) + 1,
                          .step_ns = NS_PER_S,
                          .limit = limit,
                          .categorize = true,
                          .source = call->streams,
                          .query = &call->query,
                          .stats = &call->stream_stats};
    Str text = str_format(call->arena, "{service_name=~\".*\"} %s", pipeline);
    LogqlExpr *expr;

    if (text.ptr == NULL) return api_out_of_memory(err);
    TRY(logql_parse(call->arena, text, LOGQL_UNCHECKED, &expr, err));
    return logql_eval(expr, &params, out, err);
}

static ErrCode find_logs(ApiCall *call, Correlation *c, Error *err) {
    char pipeline[QUERY_BYTES_MAX];

    snprintf(pipeline, sizeof pipeline, "| trace_id=\"%s\"", c->hex);
    TRY(find_lines(call, c, pipeline, c->limit, &c->logs[0], err));
    c->log_count = c->logs[0].entry_count;
    if (c->log_count < c->limit) {
        snprintf(pipeline, sizeof pipeline, "|= \"%s\" | trace_id!=\"%s\"", c->hex, c->hex);
        TRY(find_lines(call, c, pipeline, c->limit - c->log_count, &c->logs[1], err));
        c->log_count += c->logs[1].entry_count;
    }
    c->logs_cut = c->log_count >= c->limit;
    return ERR_OK;
}

static void write_logs(const Correlation *c, Buf *out) {
    bool first = true;

    buf_append_byte(out, '[');
    for (size_t r = 0; r < ARRAY_LEN(c->logs); r++)
        for (size_t s = 0; s < c->logs[r].stream_count; s++) {
            if (!first) buf_append_byte(out, ',');
            first = false;
            logql_json_stream(&c->logs[r].streams[s], true, out);
        }
    buf_append_byte(out, ']');
}

/* ---------- exemplars ---------- */

static bool is_of_trace(const ApiCall *call, const Correlation *c, const Exemplar *exemplar) {
    static const char *const names[] = {"trace_id", "traceID", "traceId", "traceid"};
    Symbols *symbols = call->query.symbols;

    for (uint32_t i = 0; i < exemplar->labels.count; i++) {
        Str name = symbols_str(symbols, exemplar->labels.labels[i].name);

        for (size_t n = 0; n < ARRAY_LEN(names); n++)
            if (str_equal(name, str_of(names[n])) &&
                str_equal_nocase(symbols_str(symbols, exemplar->labels.labels[i].value),
                                 str_of(c->hex)))
                return true;
    }
    return false;
}

static void write_exemplar(const ApiCall *call, const Exemplar *exemplar, Buf *out) {
    buf_append_str(out, STR("{\"labels\":"));
    api_write_labels(out, call->query.symbols, exemplar->labels);
    buf_append_str(out, STR(",\"value\":\""));
    json_append_sample_value(out, exemplar->value);
    buf_append_str(out, STR("\",\"timestamp\":"));
    json_append_time_ms(out, exemplar->time_ms);
    buf_append_byte(out, '}');
}

/* The series' exemplars of the trace, if there are any. */
static uint64_t write_series(const ApiCall *call, const Correlation *c,
                             const ExemplarSeries *series, uint64_t room, bool first, Buf *out) {
    uint64_t written = 0;

    for (size_t e = 0; e < series->count && written < room; e++) {
        if (!is_of_trace(call, c, &series->exemplars[e])) continue;
        if (written == 0) {
            if (!first) buf_append_byte(out, ',');
            buf_append_str(out, STR("{\"seriesLabels\":"));
            api_write_labels(out, call->query.symbols, series->labels);
            buf_append_str(out, STR(",\"exemplars\":["));
        } else {
            buf_append_byte(out, ',');
        }
        write_exemplar(call, &series->exemplars[e], out);
        written++;
    }
    if (written > 0) buf_append_str(out, STR("]}"));
    return written;
}

static ErrCode write_exemplars(ApiCall *call, const Correlation *c, bool *cut, Buf *out,
                               Error *err) {
    SelectRequest request = {.min_ms = c->min_ms, .max_ms = c->max_ms};
    ExemplarSeries *series;
    uint64_t written = 0;
    Matcher any;
    size_t count;

    TRY(matcher_new(call->arena, MATCH_REGEX, LABEL_NAME, STR(".+"), &any, err));
    request.matchers = &any;
    request.matcher_count = 1;
    TRY(call->source->exemplars(call->source, &call->query, &request, &series, &count, err));
    buf_append_byte(out, '[');
    for (size_t i = 0; i < count && written < c->limit; i++)
        written += write_series(call, c, &series[i], c->limit - written, written == 0, out);
    buf_append_byte(out, ']');
    *cut = written >= c->limit;
    return ERR_OK;
}

/* ---------- the answer ---------- */

static ErrCode run_correlate(ApiCall *call, Buf *out, Error *err) {
    Correlation c = {0};
    bool exemplars_cut = false;

    TRY(read_params(call, &c, err));
    call->evaluating = true;
    TRY(find_spans(call, &c, err));
    TRY(find_logs(call, &c, err));
    api_begin_data(out);
    buf_printf(out, "{\"traceId\":\"%s\",\"start\":", c.hex);
    json_append_time_ms(out, c.min_ms);
    buf_append_str(out, STR(",\"end\":"));
    json_append_time_ms(out, c.max_ms);
    buf_printf(out, ",\"spanCount\":%zu,\"resourceSpans\":", c.span_count);
    tempo_write_json(&c.spans, out);
    buf_append_str(out, STR(",\"logs\":"));
    write_logs(&c, out);
    buf_append_str(out, STR(",\"exemplars\":"));
    TRY(write_exemplars(call, &c, &exemplars_cut, out, err));
    buf_append_byte(out, '}');
    api_end_data(out, c.logs_cut || exemplars_cut);
    return ERR_OK;
}

const ApiEndpoint api_correlate_endpoints[] = {
    {HTTP_GET_, "/correlate", run_correlate, API_SIGNALS},
    {0},
};
