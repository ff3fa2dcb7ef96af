#include "querier/promql/result_json.h"

#include <string.h>

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

/* Times as texts: the series of a result usually share them. */
enum { TIME_TEXT_MAX = 24 };
typedef struct TimeTexts {
    const int64_t *times;
    size_t count;
    struct {
        char text[TIME_TEXT_MAX];
        uint8_t len;
    } * at;
    Arena *arena;
} TimeTexts;

static bool time_texts_make(TimeTexts *texts, const PromqlSeries *series) {
    Buf text;

    if (texts->times == series->times && texts->count == series->count) return true;
    texts->at = arena_alloc(texts->arena, MAX(series->count, 1) * sizeof *texts->at);
    if (texts->at == NULL) return false;
    buf_init(&text, 0);
    for (size_t i = 0; i < series->count; i++) {
        buf_clear(&text);
        json_append_time_ms(&text, series->times[i]);
        if (buf_failed(&text)) break;
        texts->at[i].len = (uint8_t)MIN(text.len, TIME_TEXT_MAX);
        memcpy(texts->at[i].text, text.ptr, texts->at[i].len);
    }
    texts->times = buf_failed(&text) ? NULL : series->times;
    texts->count = series->count;
    buf_done(&text);
    return texts->times != NULL;
}

/* [1435781451.781,"1.5"] */
static void append_float(int64_t time, double v, Buf *out) {
    buf_append_byte(out, '[');
    json_append_time_ms(out, time);
    buf_append_byte(out, ',');
    append_quoted_value(out, v);
    buf_append_byte(out, ']');
}

/* The same with a comma behind it. */
static void append_point(const TimeTexts *texts, size_t i, double v, Buf *out) {
    char *start = buf_reserve(out, TIME_TEXT_MAX + JSON_SAMPLE_VALUE_MAX + 8), *at = start;

    if (at == NULL) return;
    *at++ = '[';
    memcpy(at, texts->at[i].text, TIME_TEXT_MAX);
    at += texts->at[i].len;
    *at++ = ',';
    *at++ = '"';
    at = json_put_sample_value(at, v);
    *at++ = '"';
    *at++ = ']';
    *at++ = ',';
    buf_added(out, (size_t)(at - start));
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

static void append_floats(const PromqlSeries *series, const TimeTexts *texts, Buf *out) {
    bool any = false;

    for (size_t w = 0; w < (series->count + 63) / 64; w++) {
        uint64_t bits = series->present[w];

        if (bits != 0 && !any) {
            buf_append_str(out, STR(",\"values\":["));
            any = true;
        }
        for (; bits != 0; bits &= bits - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(bits);

            append_point(texts, i, series->values[i], out);
        }
    }
    /* The last comma becomes the end. */
    if (any && !buf_failed(out)) out->ptr[out->len - 1] = ']';
}

static void append_samples(const PromqlSeries *series, const TimeTexts *texts, Buf *out) {
    bool first = true;

    append_floats(series, texts, out);
    for (size_t i = 0; series->histograms != NULL && i < series->count; i++) {
        if (series->histograms[i] == NULL) continue;
        buf_append_str(out, first ? STR(",\"histograms\":[") : STR(","));
        first = false;
        append_histogram(series->times[i], series->histograms[i], out);
    }
    if (!first) buf_append_byte(out, ']');
    buf_append_byte(out, '}');
}

static bool append_result(const PromqlResult *result, const Symbols *symbols, size_t count,
                          Arena *arena, Buf *out) {
    TimeTexts texts = {.arena = arena};

    switch (result->type) {
    case PROMQL_TYPE_SCALAR:
        append_float(result->time_ms, result->scalar, out);
        return true;
    case PROMQL_TYPE_STRING:
        buf_append_byte(out, '[');
        json_append_time_ms(out, result->time_ms);
        buf_append_byte(out, ',');
        json_append_string(out, result->string);
        buf_append_byte(out, ']');
        return true;
    default:
        break;
    }
    buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_metric(symbols, result->series[i].labels, out);
        if (result->type == PROMQL_TYPE_VECTOR) {
            append_sample(result, &result->series[i], out);
            continue;
        }
        if (!time_texts_make(&texts, &result->series[i])) return false;
        append_samples(&result->series[i], &texts, out);
    }
    buf_append_byte(out, ']');
    return true;
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
    if (!append_result(result, symbols, count, arena, out))
        return error_set(err, ERR_LIMIT, "the query needs more memory than it may use");
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
