#include "querier/promql/result_json.h"

#include "common/base/json.h"

static void append_quoted_value(Buf *out, double v) {
    buf_append_byte(out, '"');
    json_append_sample_value(out, v);
    buf_append_byte(out, '"');
}

/* Which ends belong to a bucket: 0: (a,b], 1: [a,b), 2: (a,b), 3: [a,b]. */
static char bucket_rule(const HistBucket *b) {
    if (b->lower_inclusive) return b->upper_inclusive ? '3' : '1';
    return b->upper_inclusive ? '0' : '2';
}

void result_json_histogram(const Hist *h, Buf *out) {
    uint32_t n = hist_bucket_count(h);
    bool first = true;

    buf_append_str(out, STR("{\"count\":"));
    append_quoted_value(out, h->count);
    buf_append_str(out, STR(",\"sum\":"));
    append_quoted_value(out, h->sum);
    for (uint32_t i = 0; i < n; i++) {
        HistBucket b = hist_bucket(h, i);

        if (b.count == 0) continue;
        buf_append_str(out, first ? STR(",\"buckets\":[[") : STR(",["));
        first = false;
        buf_append_byte(out, bucket_rule(&b));
        buf_append_byte(out, ',');
        append_quoted_value(out, b.lower);
        buf_append_byte(out, ',');
        append_quoted_value(out, b.upper);
        buf_append_byte(out, ',');
        append_quoted_value(out, b.count);
        buf_append_byte(out, ']');
    }
    if (!first) buf_append_byte(out, ']');
    buf_append_byte(out, '}');
}

static void append_metric(const Symbols *symbols, LabelSet labels, Buf *out) {
    buf_append_str(out, STR("{\"metric\":{"));
    for (uint32_t i = 0; i < labels.count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, symbols_str(symbols, labels.labels[i].name));
        buf_append_byte(out, ':');
        json_append_string(out, symbols_str(symbols, labels.labels[i].value));
    }
    buf_append_byte(out, '}');
}

static void append_float(int64_t time, double v, Buf *out) {
    buf_append_byte(out, '[');
    json_append_time_ms(out, time);
    buf_append_byte(out, ',');
    append_quoted_value(out, v);
    buf_append_byte(out, ']');
}

static void append_histogram(int64_t time, const Hist *h, Buf *out) {
    buf_append_byte(out, '[');
    json_append_time_ms(out, time);
    buf_append_byte(out, ',');
    result_json_histogram(h, out);
    buf_append_byte(out, ']');
}

static void append_sample(const PromqlResult *result, const PromqlSeries *series, Buf *out) {
    const Hist *h = promql_histogram(series, 0);

    if (h != NULL) {
        buf_append_str(out, STR(",\"histogram\":"));
        append_histogram(result->time_ms, h, out);
    } else {
        buf_append_str(out, STR(",\"value\":"));
        append_float(result->time_ms, series->values[0], out);
    }
    buf_append_byte(out, '}');
}

static void append_samples(const PromqlSeries *series, Buf *out) {
    bool first = true;

    for (size_t i = 0; i < series->count; i++) {
        if (!promql_has_float(series, i)) continue;
        buf_append_str(out, first ? STR(",\"values\":[") : STR(","));
        first = false;
        append_float(series->times[i], series->values[i], out);
    }
    if (!first) buf_append_byte(out, ']');
    first = true;
    for (size_t i = 0; series->histograms != NULL && i < series->count; i++) {
        if (series->histograms[i] == NULL) continue;
        buf_append_str(out, first ? STR(",\"histograms\":[") : STR(","));
        first = false;
        append_histogram(series->times[i], series->histograms[i], out);
    }
    if (!first) buf_append_byte(out, ']');
    buf_append_byte(out, '}');
}

static void append_result(const PromqlResult *result, const Symbols *symbols, size_t count,
                          Buf *out) {
    switch (result->type) {
    case PROMQL_TYPE_SCALAR:
        append_float(result->time_ms, result->scalar, out);
        return;
    case PROMQL_TYPE_STRING:
        buf_append_byte(out, '[');
        json_append_time_ms(out, result->time_ms);
        buf_append_byte(out, ',');
        json_append_string(out, result->string);
        buf_append_byte(out, ']');
        return;
    default:
        break;
    }
    buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_metric(symbols, result->series[i].labels, out);
        if (result->type == PROMQL_TYPE_VECTOR)
            append_sample(result, &result->series[i], out);
        else
            append_samples(&result->series[i], out);
    }
    buf_append_byte(out, ']');
}

static void append_texts(Str key, const Str *first, size_t first_count, const Str *second,
                         size_t second_count, Buf *out) {
    if (first_count + second_count == 0) return;
    buf_append_str(out, STR(",\""));
    buf_append_str(out, key);
    buf_append_str(out, STR("\":["));
    for (size_t i = 0; i < first_count + second_count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, i < first_count ? first[i] : second[i - first_count]);
    }
    buf_append_byte(out, ']');
}

ErrCode result_json_write(const PromqlResult *result, const Symbols *symbols, Str query_text,
                          const ResultJsonOptions *options, Arena *arena, Buf *out, Error *err) {
    Str *warnings = ARENA_ARRAY(arena, Str, options->warning_count + 1);
    size_t count = result->series_count, warning_count = options->warning_count;
    AnnotationTexts texts;

    if (warnings == NULL)
        return error_set(err, ERR_LIMIT, "the query needs more memory than it may use");
    TRY(annotations_texts(result->annotations, query_text, result->positions,
                          options->annotations_max, arena, &texts, err));
    for (size_t i = 0; i < warning_count; i++) warnings[i] = options->warnings[i];
    if (options->series_max != 0 && count > options->series_max) {
        count = options->series_max;
        warnings[warning_count++] = STR("results truncated due to limit");
    }
    buf_append_str(out, STR("{\"status\":\"success\",\"data\":{\"resultType\":\""));
    buf_append_str(out, str_of(promql_value_type_name(result->type)));
    buf_append_str(out, STR("\",\"result\":"));
    append_result(result, symbols, count, out);
    if (options->stats.len > 0) {
        buf_append_str(out, STR(",\"stats\":"));
        buf_append_str(out, options->stats);
    }
    buf_append_byte(out, '}');
    append_texts(STR("warnings"), warnings, warning_count, texts.warnings, texts.warning_count,
                 out);
    append_texts(STR("infos"), texts.infos, texts.info_count, NULL, 0, out);
    buf_append_byte(out, '}');
    if (buf_failed(out))
        return error_set(err, ERR_LIMIT, "the result is larger than %zu bytes", out->bytes_max);
    return ERR_OK;
}
