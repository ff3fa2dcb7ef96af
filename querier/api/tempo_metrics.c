/*
 * tempo_metrics.c: metrics of spans, over a range or of all of it. Readers refuse fields that they
 * don't know, so there are none but tempopb's.
 */
#include <math.h>

#include "querier/api/tempo_answer.h"

static void write_samples(MessageWriter *w, const TraceqlMetricsResult *result,
                          const TraceqlSeries *series) {
    message_list(w, "samples");
    for (size_t i = 0; i < result->points; i++) {
        size_t sample;

        if (isnan(series->values[i])) continue;
        sample = message_begin(w, 2, NULL);
        message_i64(w, 2, "timestampMs", result->first_ms + (int64_t)i * result->step_ms);
        message_double(w, 1, "value", series->values[i]);
        message_end(w, sample);
    }
    message_list_end(w);
}

static void write_exemplars(MessageWriter *w, const TraceqlSeries *series, Arena *arena) {
    if (series->exemplar_count == 0) return;
    message_list(w, "exemplars");
    for (size_t i = 0; i < series->exemplar_count; i++) {
        const TraceqlExemplar *exemplar = &series->exemplars[i];
        size_t start = message_begin(w, 4, NULL);

        tempo_write_labels(w, 1, "labels", exemplar->labels, exemplar->label_count, arena);
        message_double(w, 2, "value", exemplar->value);
        message_i64(w, 3, "timestampMs", exemplar->time_ms);
        message_end(w, start);
    }
    message_list_end(w);
}

static void write_series(MessageWriter *w, const TraceqlMetricsResult *result, bool instant,
                         Arena *arena) {
    message_list(w, "series");
    for (size_t i = 0; i < result->count; i++) {
        const TraceqlSeries *series = &result->series[i];
        size_t start;

        if (instant && (result->points == 0 || isnan(series->values[0]))) continue;
        start = message_begin(w, 1, NULL);
        tempo_write_labels(w, 1, "labels", series->labels, series->label_count, arena);
        if (instant) {
            message_double(w, 2, "value", series->values[0]);
        } else {
            write_samples(w, result, series);
            write_exemplars(w, series, arena);
        }
        message_end(w, start);
    }
    message_list_end(w);
}

ErrCode tempo_metrics(ApiCall *call, const TempoMetrics *metrics, MessageWriter *w, Error *err) {
    uint64_t series_max = call->limits.query_series_max, units;
    TraceqlMetricsParams params = {.start_ns = metrics->start_ns,
                                   .end_ns = metrics->end_ns,
                                   .step_ns = metrics->step_ns,
                                   .exemplars = metrics->exemplars,
                                   .source = call->traces,
                                   .query = &call->query,
                                   .stats = &call->trace_stats};
    TraceqlMetricsResult result;
    TraceqlQuery *query;

    if (metrics->series_max > 0 && (series_max == 0 || metrics->series_max < series_max))
        series_max = metrics->series_max;
    params.series_max = series_max;
    TRY(traceql_parse(metrics->query, call->arena, &query, err));
    if (query->metric == NULL) return error_set(err, ERR_INVALID, "not a metrics query");
    TRY(traceql_metrics(query, &params, &result, err));
    units = atomic_load(&call->trace_stats.units);
    message_open(w);
    write_series(w, &result, metrics->step_ns == 0, call->arena);
    tempo_write_search_metrics(w, &call->trace_stats, units, units);
    message_close(w);
    return ERR_OK;
}

static ErrCode run(ApiCall *call, bool instant, Buf *out, Error *err) {
    MessageWriter w = tempo_writer(call, out);
    TempoMetrics metrics;

    TRY(tempo_metrics_params(call, instant, &metrics, err));
    return tempo_metrics(call, &metrics, &w, err);
}

static ErrCode run_range(ApiCall *call, Buf *out, Error *err) {
    return run(call, false, out, err);
}

static ErrCode run_instant(ApiCall *call, Buf *out, Error *err) {
    return run(call, true, out, err);
}

const ApiEndpoint api_tempo_metrics_endpoints[] = {
    {HTTP_GET_, "/api/metrics/query_range", run_range, API_TEMPO},
    {HTTP_GET_, "/api/metrics/query", run_instant, API_TEMPO},
    {0},
};
