#include "gateway/metrics/rows.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/metrics/series.h"

/* A start that lies further back is left out, as it is by Prometheus, whose head reaches back about
 * as far: the first sample after it was not the counter's first. */
enum { START_AGE_MS_MAX = 2 * 3600 * 1000 };

/* Differences of any two accepted times fit in 64 bits, with room for arithmetic. 2^53 ms are
 * 285,000 years. */
#define TIME_MS_MAX (INT64_C(1) << 53)

enum { EXEMPLAR_RUNES_MAX = 128 }; /* OpenMetrics: of all names and values together */
enum { METADATA_NAME_MAX = 1024, METADATA_HELP_MAX = 4096, METADATA_UNIT_MAX = 256 };
enum { METADATA_SEEN = 1024 };

void rows_fail(Rows *rows, ErrCode code, const char *format, ...) {
    char text[sizeof rows->failure.text];
    va_list args;

    if (rows->failed != ERR_OK) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    rows->failed = error_set(&rows->failure, code, "%s", text);
}

ErrCode rows_finish(const Rows *rows, Error *err) {
    if (rows->failed != ERR_OK && err != NULL) *err = rows->failure;
    return rows->failed;
}

bool rows_grow(Rows *rows, void **array, size_t count, size_t *capacity, size_t element) {
    size_t more = MAX(*capacity * 2, (size_t)16);
    void *grown;

    if (LIKELY(count < *capacity)) return true;
    grown = rows->failed != ERR_OK
                ? NULL
                : arena_grow(rows->arena, *array, *capacity * element, more * element);
    if (grown == NULL) {
        rows_fail(rows, ERR_LIMIT, "no memory left for the samples of this request");
        return false;
    }
    *array = grown;
    *capacity = more;
    return true;
}

#define GROW(rows, field, count, capacity)                                                         \
    rows_grow((rows), (void **)&(rows)->field, (count), &(rows)->capacity, sizeof *(rows)->field)

void rows_init(Rows *rows, const RowsOptions *options, Arena *arena) {
    const TenantLimits *limits = options->limits;

    *rows = (Rows){.arena = arena, .options = *options};
    rows->batch.tenant = options->tenant;
    rows->seed = options->series_seed ^ hash_str(options->tenant);
    rows->min_ms = -TIME_MS_MAX;
    rows->max_ms = TIME_MS_MAX;
    if (limits->past_ms_max > 0 && limits->past_ms_max < TIME_MS_MAX)
        rows->min_ms = MAX(rows->min_ms, options->now_ms - limits->past_ms_max);
    if (limits->future_ms_max >= 0 && limits->future_ms_max < TIME_MS_MAX)
        rows->max_ms = MIN(rows->max_ms, options->now_ms + limits->future_ms_max);
}

void rows_reserve(Rows *rows, size_t row_count, size_t body_bytes) {
    /* A row that will be kept takes at least its name and a sample; the count is not to be trusted.
     */
    size_t count = MIN(row_count, body_bytes / 20 + 1);

    rows->batch.rows = arena_alloc(rows->arena, count * sizeof *rows->batch.rows);
    rows->batch.samples = arena_alloc(rows->arena, count * sizeof *rows->batch.samples);
    if (rows->batch.rows == NULL || rows->batch.samples == NULL) {
        rows_fail(rows, ERR_LIMIT, "no memory left for the samples of this request");
        return;
    }
    rows->row_capacity = rows->sample_capacity = count;
}

static inline MetricsRow *open_row(Rows *rows) {
    return &rows->batch.rows[rows->batch.row_count];
}

static void row_open(Rows *rows, Str labels) {
    MetricsBatch *batch = &rows->batch;
    MetricsRow *row;

    rows->open = (RowOpen){.refused = REJECT_NONE,
                           .sample_start = batch->sample_count,
                           .histogram_start = batch->histogram_count,
                           .exemplar_start = batch->exemplar_count,
                           .zero_samples = rows->zero_samples,
                           .zero_histograms = rows->zero_histograms};
    if (!GROW(rows, batch.rows, batch->row_count, row_capacity)) return;
    row = open_row(rows);
    row->labels = labels;
    row->id = hash_bytes_128(labels.ptr, labels.len, rows->seed);
    /* The answer is asked for at the row's end, when the line has arrived. */
    if (rows->options.known != NULL) known_prefetch(rows->options.known, row->id);
}

void rows_begin(Rows *rows, Str labels) {
    row_open(rows, labels);
}

/* Canonical labels need neither sorting nor dropping. */
static bool pairs_in_order(const LabelPair *pairs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (pairs[i].value.len == 0 ||
            (i > 0 && str_compare(pairs[i - 1].name, pairs[i].name) >= 0))
            return false;
    return true;
}

void rows_begin_pairs(Rows *rows, LabelPair *pairs, size_t count) {
    Str labels = STR("");
    bool changed, fit = count <= SERIES_LABELS_MAX;

    if (fit && !pairs_in_order(pairs, count)) series_sort(pairs, &count, &changed);
    fit = fit && series_encoded_len(pairs, count) <= SERIES_BYTES_MAX;
    if (fit) labels = series_encode(pairs, count, rows->arena);
    if (labels.ptr == NULL) {
        rows_fail(rows, ERR_LIMIT, "no memory left for the labels of this request");
        labels = STR("");
    }
    row_open(rows, labels);
    rows->open.pairs = pairs;
    rows->open.pair_count = count;
    rows->open.unfit = !fit;
}

void rows_type(Rows *rows, MetricType type) {
    rows->open.type = type;
}

void rows_refuse(Rows *rows, RejectReason reason, const char *format, ...) {
    char text[sizeof rows->refusal.text];
    va_list args;

    if (rows->open.refused != REJECT_NONE) return;
    rows->open.refused = reason;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(&rows->refusal, ERR_INVALID, "%s", text);
}

/* The open row's series in words, from its raw bytes if need be: for messages only. */
static const char *row_text(Rows *rows, char text[static SERIES_TEXT_MAX]) {
    const RowOpen *open = &rows->open;
    bool plain;

    if (open->pairs != NULL) return series_text(open->pairs, open->pair_count, text);
    if (series_read(open_row(rows)->labels, rows->arena, &rows->scratch, &plain, NULL) != ERR_OK)
        rows->scratch.count = 0;
    return series_text(rows->scratch.pairs, rows->scratch.count, text);
}

static bool time_is_fine(Rows *rows, int64_t time_ms, const char *what) {
    const TenantLimits *limits = rows->options.limits;
    char series[SERIES_TEXT_MAX];
    bool future = time_ms > rows->max_ms;

    if (LIKELY(!future && time_ms >= rows->min_ms)) return true;
    rows->rejects.by_reason[future ? REJECT_FUTURE : REJECT_PAST]++;
    if (rows->rejects.first.code != ERR_OK) return false;
    error_set(&rows->rejects.first, ERR_INVALID,
              "%s of %lld ms is too far in the %s: %s is %lld ms and can be changed, below "
              "overrides." STR_FMT " for this tenant alone: series %s",
              what, (long long)time_ms, future ? "future" : "past",
              future ? "limits.future_max" : "limits.past_max",
              (long long)(future ? limits->future_ms_max : limits->past_ms_max),
              STR_ARG(str_slice(rows->options.tenant, 0, 64)), row_text(rows, series));
    return false;
}

static bool type_has_a_start(MetricType type) {
    return type == METRIC_UNKNOWN || type == METRIC_COUNTER || type == METRIC_HISTOGRAM ||
           type == METRIC_SUMMARY;
}

/* A start's key among the known: of the series and the time, apart from the series' own. */
static Hash128 start_key(Hash128 id, int64_t start_ms) {
    uint64_t mixed =
        ((uint64_t)start_ms ^ UINT64_C(0x5851f42d4c957f2d)) * UINT64_C(0xd6e8feb86659fd93);

    return (Hash128){id.low ^ mixed, id.high + (mixed ^ mixed >> 32)};
}

/* Whether to put a zero at `start_ms`, before what is at `time_ms`. Each request of a counter's
 * life repeats when it started, and once is enough. */
static bool start_is_news(Rows *rows, int64_t start_ms, int64_t time_ms) {
    RowOpen *open = &rows->open;
    Hash128 key;

    if (LIKELY(start_ms == 0) || !rows->options.created_zeros || !type_has_a_start(open->type))
        return false;
    if (start_ms >= time_ms || start_ms < rows->min_ms || start_ms <= open->last_start_ms ||
        time_ms - start_ms > START_AGE_MS_MAX)
        return false;
    open->last_start_ms = start_ms;
    key = start_key(open_row(rows)->id, start_ms);
    if (rows->options.known != NULL &&
        known_has(rows->options.known, key, rows->options.generation))
        return false;
    if (GROW(rows, started, rows->started_count, started_capacity))
        rows->started[rows->started_count++] = key;
    return true;
}

void rows_stored(const Rows *rows) {
    if (rows->options.known == NULL) return;
    for (size_t i = 0; i < rows->started_count; i++)
        known_add(rows->options.known, rows->started[i], rows->options.generation);
}

static inline void put_sample(Rows *rows, int64_t time_ms, double value) {
    if (!GROW(rows, batch.samples, rows->batch.sample_count, sample_capacity)) return;
    rows->batch.samples[rows->batch.sample_count++] = (MetricsSample){time_ms, value};
}

void rows_sample(Rows *rows, int64_t time_ms, double value, int64_t start_ms) {
    if (UNLIKELY(rows_failed(rows))) return;
    if (!time_is_fine(rows, time_ms, "a sample's time")) {
        rows->rejects.samples++;
        return;
    }
    if (UNLIKELY(start_ms != 0) && !value_is_stale(value) &&
        start_is_news(rows, start_ms, time_ms)) {
        put_sample(rows, start_ms, 0);
        rows->zero_samples++;
    }
    put_sample(rows, time_ms, value);
}

static void put_histogram(Rows *rows, int64_t time_ms, NativeHistogram *histogram) {
    if (!GROW(rows, batch.histograms, rows->batch.histogram_count, histogram_capacity)) return;
    rows->batch.histograms[rows->batch.histogram_count++] = (MetricsHistogram){time_ms, histogram};
}

/* Nothing observed yet, in the layout of what follows. */
static NativeHistogram *histogram_zero(Rows *rows, const NativeHistogram *like) {
    NativeHistogram *zero = ARENA_NEW(rows->arena, NativeHistogram);

    if (zero == NULL) return NULL;
    zero->schema = like->schema;
    zero->is_float = like->is_float;
    zero->hint = HISTOGRAM_HINT_RESET;
    zero->zero_threshold = like->zero_threshold;
    zero->custom_values = like->custom_values;
    zero->custom_count = like->custom_count;
    return zero;
}

static bool histogram_is_fine(Rows *rows, const NativeHistogram *histogram) {
    char series[SERIES_TEXT_MAX];
    Error err = {0};

    if (histogram_validate(histogram, &err) == ERR_OK) return true;
    rows->rejects.by_reason[REJECT_HISTOGRAM_INVALID]++;
    if (rows->rejects.first.code == ERR_OK)
        error_set(&rows->rejects.first, ERR_INVALID, "invalid native histogram: %.200s: series %s",
                  err.text, row_text(rows, series));
    return false;
}

void rows_histogram(Rows *rows, int64_t time_ms, NativeHistogram *histogram, int64_t start_ms) {
    if (rows_failed(rows)) return;
    if (!time_is_fine(rows, time_ms, "a histogram's time") || !histogram_is_fine(rows, histogram)) {
        rows->rejects.histograms++;
        return;
    }
    if (histogram->hint != HISTOGRAM_HINT_GAUGE && !histogram_is_stale(histogram) &&
        start_is_news(rows, start_ms, time_ms)) {
        NativeHistogram *zero = histogram_zero(rows, histogram);

        if (zero == NULL) {
            rows_fail(rows, ERR_LIMIT, "no memory left for the histograms of this request");
            return;
        }
        put_histogram(rows, start_ms, zero);
        rows->zero_histograms++;
    }
    put_histogram(rows, time_ms, histogram);
}

static size_t utf8_runes(Str s) {
    size_t runes = 0;

    for (size_t i = 0; i < s.len; i++) runes += (s.ptr[i] & 0xc0) != 0x80;
    return runes;
}

static bool exemplar_labels_are_fine(const LabelPair *pairs, size_t count) {
    size_t runes = 0;

    for (size_t i = 0; i < count; i++) {
        if (pairs[i].name.len == 0 || !str_is_utf8(pairs[i].name) || !str_is_utf8(pairs[i].value) ||
            (i > 0 && str_equal(pairs[i - 1].name, pairs[i].name)))
            return false;
        runes += utf8_runes(pairs[i].name) + utf8_runes(pairs[i].value);
    }
    return runes <= EXEMPLAR_RUNES_MAX;
}

static void refuse_exemplar(Rows *rows) {
    rows->rejects.exemplars++;
    rows->rejects.by_reason[REJECT_EXEMPLAR_INVALID]++;
}

void rows_exemplar(Rows *rows, int64_t time_ms, double value, LabelPair *pairs, size_t count) {
    MetricsBatch *batch = &rows->batch;
    bool changed;
    Str labels;

    if (rows_failed(rows)) return;
    if (count > EXEMPLAR_RUNES_MAX ||
        (time_ms != 0 && (time_ms > rows->max_ms || time_ms < rows->min_ms))) {
        refuse_exemplar(rows);
        return;
    }
    series_sort(pairs, &count, &changed);
    if (!exemplar_labels_are_fine(pairs, count)) {
        refuse_exemplar(rows);
        return;
    }
    labels = series_encode(pairs, count, rows->arena);
    if (labels.ptr == NULL) {
        rows_fail(rows, ERR_LIMIT, "no memory left for the exemplars of this request");
        return;
    }
    if (GROW(rows, batch.exemplars, batch->exemplar_count, exemplar_capacity))
        batch->exemplars[batch->exemplar_count++] = (MetricsExemplar){time_ms, value, labels};
}

/* Gives exemplars without a time that of the row's last sample, or lets go of them. */
static void date_exemplars(Rows *rows) {
    MetricsBatch *batch = &rows->batch;
    size_t kept = rows->open.exemplar_start;
    int64_t time_ms = 0;

    if (batch->sample_count > rows->open.sample_start)
        time_ms = batch->samples[batch->sample_count - 1].time_ms;
    else if (batch->histogram_count > rows->open.histogram_start)
        time_ms = batch->histograms[batch->histogram_count - 1].time_ms;
    for (size_t i = kept; i < batch->exemplar_count; i++) {
        MetricsExemplar exemplar = batch->exemplars[i];

        if (exemplar.time_ms == 0) exemplar.time_ms = time_ms;
        if (exemplar.time_ms == 0)
            refuse_exemplar(rows);
        else
            batch->exemplars[kept++] = exemplar;
    }
    batch->exemplar_count = kept;
}

/* Reads the labels of a row that came as bytes, brings them into canonical form and says whether
 * they may pass. */
static RejectReason check_raw(Rows *rows, MetricsRow *row, Error *err) {
    const RowsOptions *options = &rows->options;
    LabelScratch *scratch = &rows->scratch;
    bool plain, changed;
    RejectReason reason;
    ErrCode code = series_read(row->labels, rows->arena, scratch, &plain, err);

    if (code == ERR_LIMIT && scratch->count > SERIES_LABELS_MAX) {
        reason = series_refuse_count(scratch->count, options->limits, options->tenant, err);
        scratch->count = 0;
        return reason;
    }
    if (code != ERR_OK) {
        rows_fail(rows, code, "%s", err->text);
        return REJECT_NONE;
    }
    series_sort(scratch->pairs, &scratch->count, &changed);
    reason = series_check(scratch->pairs, scratch->count, options->limits, options->tenant, err);
    if (reason != REJECT_NONE) return reason;
    /* Names and values in order, and together as short as can be: then each length is, too. */
    if (plain && !changed && series_encoded_len(scratch->pairs, scratch->count) == row->labels.len)
        return REJECT_NONE;
    row->labels = series_encode(scratch->pairs, scratch->count, rows->arena);
    if (row->labels.ptr == NULL) {
        rows_fail(rows, ERR_LIMIT, "no memory left for the labels of this request");
        row->labels = STR("");
    }
    row->id = hash_bytes_128(row->labels.ptr, row->labels.len, rows->seed);
    return REJECT_NONE;
}

static RejectReason check_labels(Rows *rows, MetricsRow *row) {
    const RowsOptions *options = &rows->options;
    const RowOpen *open = &rows->open;
    RejectReason reason;
    Error err;

    if (LIKELY(options->known != NULL && !open->unfit &&
               known_has(options->known, row->id, options->generation)))
        return REJECT_NONE;
    rows->checked++;
    reason = open->pairs == NULL ? check_raw(rows, row, &err)
                                 : series_check(open->pairs, open->pair_count, options->limits,
                                                options->tenant, &err);
    if (reason != REJECT_NONE) {
        if (rows->rejects.first.code == ERR_OK) rows->rejects.first = err;
    } else if (options->known != NULL && !rows_failed(rows)) {
        known_add(options->known, row->id, options->generation);
    }
    return reason;
}

/* Takes back what the open row put in, and counts what was sent of it as lost. */
static void drop_row(Rows *rows, RejectReason reason) {
    MetricsBatch *batch = &rows->batch;
    const RowOpen *open = &rows->open;
    uint64_t samples =
        batch->sample_count - open->sample_start - (rows->zero_samples - open->zero_samples);
    uint64_t histograms = batch->histogram_count - open->histogram_start -
                          (rows->zero_histograms - open->zero_histograms);
    uint64_t exemplars = batch->exemplar_count - open->exemplar_start;

    rows->rejects.samples += samples;
    rows->rejects.histograms += histograms;
    rows->rejects.exemplars += exemplars;
    rows->rejects.by_reason[reason] += samples + histograms + exemplars;
    batch->sample_count = open->sample_start;
    batch->histogram_count = open->histogram_start;
    batch->exemplar_count = open->exemplar_start;
    rows->zero_samples = open->zero_samples;
    rows->zero_histograms = open->zero_histograms;
}

/* A series without anything in it says nothing, not even that its labels are bad; but what is no
 * protobuf is refused wherever it stands. */
static void end_empty(Rows *rows) {
    bool plain;
    Error err;

    if (rows->open.pairs == NULL && series_read(open_row(rows)->labels, rows->arena, &rows->scratch,
                                                &plain, &err) == ERR_INVALID)
        rows_fail(rows, ERR_INVALID, "%s", err.text);
}

void rows_end(Rows *rows) {
    MetricsBatch *batch = &rows->batch;
    const RowOpen *open = &rows->open;
    RejectReason reason = open->refused;
    MetricsRow *row;

    if (UNLIKELY(rows_failed(rows))) return;
    if (UNLIKELY(batch->exemplar_count > open->exemplar_start)) date_exemplars(rows);
    if (batch->sample_count == open->sample_start &&
        batch->histogram_count == open->histogram_start &&
        batch->exemplar_count == open->exemplar_start) {
        end_empty(rows);
        return;
    }
    row = open_row(rows);
    if (reason == REJECT_NONE)
        reason = check_labels(rows, row);
    else if (rows->rejects.first.code == ERR_OK)
        rows->rejects.first = rows->refusal;
    if (UNLIKELY(reason != REJECT_NONE)) {
        drop_row(rows, reason);
        return;
    }
    if (UNLIKELY(batch->sample_count > UINT32_MAX)) {
        rows_fail(rows, ERR_LIMIT, "more than 2^32 samples in one request");
        return;
    }
    row->sample_start = (uint32_t)open->sample_start;
    row->sample_count = (uint32_t)(batch->sample_count - open->sample_start);
    row->histogram_start = (uint32_t)open->histogram_start;
    row->histogram_count = (uint32_t)(batch->histogram_count - open->histogram_start);
    row->exemplar_start = (uint32_t)open->exemplar_start;
    row->exemplar_count = (uint32_t)(batch->exemplar_count - open->exemplar_start);
    batch->row_count++;
}

Str rows_family(Str metric, MetricType type) {
    static const Str suffixes[] = {STR_INIT("_bucket"), STR_INIT("_count"), STR_INIT("_sum")};

    if (type != METRIC_HISTOGRAM && type != METRIC_GAUGE_HISTOGRAM && type != METRIC_SUMMARY)
        return metric;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (metric.len > suffixes[i].len && str_ends_with(metric, suffixes[i]))
            return (Str){metric.ptr, metric.len - suffixes[i].len};
    return metric;
}

/* True the first time. Forgets where two fall on the same place: a repetition does no harm. */
static bool metadata_is_news(Rows *rows, Str metric, MetricType type, Str help, Str unit) {
    uint64_t hash = hash_bytes_seeded(metric.ptr, metric.len, (uint64_t)type);
    uint64_t *seen;

    hash = hash_bytes_seeded(help.ptr, help.len, hash);
    hash = hash_bytes_seeded(unit.ptr, unit.len, hash) | 1;
    if (rows->metadata_seen == NULL)
        rows->metadata_seen = ARENA_ARRAY(rows->arena, uint64_t, METADATA_SEEN);
    if (rows->metadata_seen == NULL) return true;
    seen = &rows->metadata_seen[hash / 2 % METADATA_SEEN];
    if (*seen == hash) return false;
    *seen = hash;
    return true;
}

void rows_metadata(Rows *rows, Str metric, MetricType type, Str help, Str unit) {
    MetricsBatch *batch = &rows->batch;

    if (rows_failed(rows) || (type == METRIC_UNKNOWN && help.len == 0 && unit.len == 0)) return;
    if (metric.len == 0 || metric.len > METADATA_NAME_MAX || unit.len > METADATA_UNIT_MAX ||
        help.len > METADATA_HELP_MAX || !str_is_utf8(metric) || !str_is_utf8(help) ||
        !str_is_utf8(unit)) {
        rows->rejects.metadata++;
        rows->rejects.by_reason[REJECT_METADATA_INVALID]++;
        return;
    }
    if (type > METRIC_STATESET) type = METRIC_UNKNOWN;
    if (!metadata_is_news(rows, metric, type, help, unit)) return;
    if (GROW(rows, batch.metadata, batch->metadata_count, metadata_capacity))
        batch->metadata[batch->metadata_count++] = (MetricsMetadata){metric, help, unit, type};
}
