/*
 * remote_write.c: the hand-written walkers of remote write against protobuf-c's generated code.
 *
 * The first byte of an input chooses 1.0 or 2.0, the rest is the body. Either both refuse the body,
 * or both give the same batch: the same rows in the same order with the same ids, labels, samples,
 * histograms and exemplars, the same metadata, and the same counts of what was refused for which
 * reason. The other side here puts protobuf-c's structures into Rows by itself, so that what is
 * compared is how the bytes are read, not what a valid series is.
 *
 * Three differences are known and left out. protobuf-c takes field numbers outside 1 to 2^29-1
 * where they are spelled with more bytes than needed; the specification forbids them and we refuse.
 * 2.0's metadata, the one message that may not repeat, is merged by protobuf-c otherwise than the
 * specification says, so it is not compared. And protobuf-c reads messages within one another
 * before it knows whether the outer one is whole, so which of two errors comes first may differ;
 * that there is one may not.
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/prom/decode.h"
#include "proto/prometheus_remote.pb-c.h"
#include "proto/prometheus_write_v2.pb-c.h"
#include "proto/wire/write.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static Str of_bytes(ProtobufCBinaryData data) {
    return (Str){data.data == NULL ? "" : (const char *)data.data, data.len};
}

/* --- protobuf-c's structures into rows --- */

static LabelPair *pairs_of(Arena *arena, Prometheus__Label **labels, size_t count) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, count + 1);

    CHECK(pairs != NULL);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (LabelPair){of_bytes(labels[i]->name), of_bytes(labels[i]->value)};
    return pairs;
}

/* What both versions' generated structures have alike. */
typedef struct Side {
    HistogramSpan *spans;
    size_t span_count;
    const int64_t *deltas;
    size_t delta_count;
    double *counts;
    size_t count_count;
} Side;

static double *side_counts(Arena *arena, const Side *side, bool is_float, uint32_t *count) {
    double *out = ARENA_ARRAY(arena, double, MAX(side->delta_count, side->count_count) + 1);
    int64_t sum = 0;

    CHECK(out != NULL);
    *count = (uint32_t)(is_float ? side->count_count : side->delta_count);
    for (size_t i = 0; i < *count; i++) {
        if (!is_float && __builtin_add_overflow(sum, side->deltas[i], &sum)) sum = INT64_MIN;
        out[i] = is_float ? side->counts[i] : (double)sum;
    }
    return out;
}

static bool side_is_huge(const Side *side) {
    return side->span_count > HISTOGRAM_SPANS_MAX || side->delta_count > HISTOGRAM_BUCKETS_MAX ||
           side->count_count > HISTOGRAM_BUCKETS_MAX;
}

#define SPANS_OF(arena, from, n_from, side)                                                        \
    do {                                                                                           \
        (side)->spans = ARENA_ARRAY((arena), HistogramSpan, (n_from) + 1);                         \
        CHECK((side)->spans != NULL);                                                              \
        (side)->span_count = (n_from);                                                             \
        for (size_t n_ = 0; n_ < (n_from); n_++)                                                   \
            (side)->spans[n_] = (HistogramSpan){(from)[n_]->offset, (from)[n_]->length};           \
    } while (0)

/* The two Histogram types differ in their names only, but for start_timestamp. */
#define PUT_HISTOGRAM(rows, p, float_case, zero_float_case, start)                                 \
    do {                                                                                           \
        Arena *arena_ = (rows)->arena;                                                             \
        NativeHistogram *h_ = ARENA_NEW(arena_, NativeHistogram);                                  \
        Side neg_ = {.deltas = (p)->negative_deltas,                                               \
                     .delta_count = (p)->n_negative_deltas,                                        \
                     .counts = (p)->negative_counts,                                               \
                     .count_count = (p)->n_negative_counts};                                       \
        Side pos_ = {.deltas = (p)->positive_deltas,                                               \
                     .delta_count = (p)->n_positive_deltas,                                        \
                     .counts = (p)->positive_counts,                                               \
                     .count_count = (p)->n_positive_counts};                                       \
        CHECK(h_ != NULL);                                                                         \
        SPANS_OF(arena_, (p)->negative_spans, (p)->n_negative_spans, &neg_);                       \
        SPANS_OF(arena_, (p)->positive_spans, (p)->n_positive_spans, &pos_);                       \
        h_->is_float = (p)->count_case == (float_case);                                            \
        h_->count =                                                                                \
            h_->is_float ? (p)->count_float : (double)((p)->count_case == 0 ? 0 : (p)->count_int); \
        h_->zero_count = (p)->zero_count_case == (zero_float_case)                                 \
                             ? (p)->zero_count_float                                               \
                             : (double)((p)->zero_count_case == 0 ? 0 : (p)->zero_count_int);      \
        h_->sum = (p)->sum;                                                                        \
        h_->schema = (p)->schema;                                                                  \
        h_->zero_threshold = (p)->zero_threshold;                                                  \
        h_->hint = (uint32_t)(p)->reset_hint <= 3 ? (uint8_t)(p)->reset_hint : 0;                  \
        h_->negative_spans = neg_.spans;                                                           \
        h_->negative_span_count = (uint32_t)neg_.span_count;                                       \
        h_->positive_spans = pos_.spans;                                                           \
        h_->positive_span_count = (uint32_t)pos_.span_count;                                       \
        h_->negative = side_counts(arena_, &neg_, h_->is_float, &h_->negative_count);              \
        h_->positive = side_counts(arena_, &pos_, h_->is_float, &h_->positive_count);              \
        h_->custom_values = (p)->custom_values;                                                    \
        h_->custom_count = (uint32_t)(p)->n_custom_values;                                         \
        if (side_is_huge(&neg_) || side_is_huge(&pos_) ||                                          \
            (p)->n_custom_values > HISTOGRAM_CUSTOM_MAX) {                                         \
            (rows)->rejects.histograms++;                                                          \
            (rows)->rejects.by_reason[REJECT_HISTOGRAM_INVALID]++;                                 \
        } else {                                                                                   \
            rows_histogram((rows), (p)->timestamp, h_, (start));                                   \
        }                                                                                          \
    } while (0)

static void put_v1(Rows *rows, const Prometheus__WriteRequest *request) {
    for (size_t i = 0; i < request->n_timeseries; i++) {
        const Prometheus__TimeSeries *series = request->timeseries[i];

        rows_begin_pairs(rows, pairs_of(rows->arena, series->labels, series->n_labels),
                         series->n_labels);
        for (size_t k = 0; k < series->n_samples; k++)
            rows_sample(rows, series->samples[k]->timestamp, series->samples[k]->value, 0);
        for (size_t k = 0; k < series->n_histograms; k++) {
            Prometheus__Histogram *h = series->histograms[k];

            PUT_HISTOGRAM(rows, h, PROMETHEUS__HISTOGRAM__COUNT_COUNT_FLOAT,
                          PROMETHEUS__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT, 0);
        }
        for (size_t k = 0; k < series->n_exemplars; k++) {
            const Prometheus__Exemplar *e = series->exemplars[k];

            rows_exemplar(rows, e->timestamp, e->value,
                          pairs_of(rows->arena, e->labels, e->n_labels), e->n_labels);
        }
        rows_end(rows);
    }
    for (size_t i = 0; i < request->n_metadata; i++) {
        const Prometheus__MetricMetadata *m = request->metadata[i];

        rows_metadata(rows, of_bytes(m->metric_family_name),
                      (uint32_t)m->type <= METRIC_STATESET ? (MetricType)m->type : METRIC_UNKNOWN,
                      of_bytes(m->help), of_bytes(m->unit));
    }
}

typedef Io__Prometheus__Write__V2__Request RequestV2;
typedef Io__Prometheus__Write__V2__TimeSeries SeriesV2;
typedef Io__Prometheus__Write__V2__Exemplar ExemplarV2;
typedef Io__Prometheus__Write__V2__Histogram HistogramV2;

/* SIZE_MAX: they are not pairs of symbols. */
static size_t pairs_of_refs(Arena *arena, const RequestV2 *request, const uint32_t *refs,
                            size_t count, LabelPair **out) {
    LabelPair *pairs = *out = ARENA_ARRAY(arena, LabelPair, count / 2 + 1);

    CHECK(pairs != NULL);
    if (count % 2 != 0) return SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (refs[i] >= request->n_symbols) return SIZE_MAX;
        *(i % 2 == 0 ? &pairs[i / 2].name : &pairs[i / 2].value) =
            of_bytes(request->symbols[refs[i]]);
    }
    return count / 2;
}

static void put_v2(Rows *rows, const RequestV2 *request) {
    for (size_t i = 0; i < request->n_timeseries; i++) {
        const SeriesV2 *series = request->timeseries[i];
        LabelPair *pairs;
        size_t count =
            pairs_of_refs(rows->arena, request, series->labels_refs, series->n_labels_refs, &pairs);

        rows_begin_pairs(rows, pairs, count == SIZE_MAX ? 0 : count);
        if (count == SIZE_MAX) rows_refuse(rows, REJECT_LABEL_INVALID, "bad refs");
        for (size_t k = 0; k < series->n_samples; k++)
            rows_sample(rows, series->samples[k]->timestamp, series->samples[k]->value, 0);
        for (size_t k = 0; k < series->n_histograms; k++) {
            HistogramV2 *h = series->histograms[k];

            PUT_HISTOGRAM(rows, h, IO__PROMETHEUS__WRITE__V2__HISTOGRAM__COUNT_COUNT_FLOAT,
                          IO__PROMETHEUS__WRITE__V2__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT, 0);
        }
        for (size_t k = 0; k < series->n_exemplars; k++) {
            const ExemplarV2 *e = series->exemplars[k];

            count = pairs_of_refs(rows->arena, request, e->labels_refs, e->n_labels_refs, &pairs);
            rows_exemplar(rows, e->timestamp, e->value, pairs, count);
        }
        rows_end(rows);
    }
}

/* --- comparing --- */

static bool same_bits(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void check_row(const MetricsBatch *a, const MetricsBatch *b, size_t i) {
    const MetricsRow *x = &a->rows[i], *y = &b->rows[i];

    CHECK(str_equal(x->labels, y->labels));
    CHECK(x->id.low == y->id.low && x->id.high == y->id.high);
    CHECK(x->sample_count == y->sample_count);
    CHECK(x->histogram_count == y->histogram_count);
    CHECK(x->exemplar_count == y->exemplar_count);
    for (uint32_t k = 0; k < x->sample_count; k++) {
        const MetricsSample *p = &a->samples[x->sample_start + k];
        const MetricsSample *q = &b->samples[y->sample_start + k];

        CHECK(p->time_ms == q->time_ms && same_bits(p->value, q->value));
    }
    for (uint32_t k = 0; k < x->histogram_count; k++) {
        const MetricsHistogram *p = &a->histograms[x->histogram_start + k];
        const MetricsHistogram *q = &b->histograms[y->histogram_start + k];

        CHECK(p->time_ms == q->time_ms && histogram_equal(p->histogram, q->histogram));
    }
    for (uint32_t k = 0; k < x->exemplar_count; k++) {
        const MetricsExemplar *p = &a->exemplars[x->exemplar_start + k];
        const MetricsExemplar *q = &b->exemplars[y->exemplar_start + k];

        CHECK(p->time_ms == q->time_ms && same_bits(p->value, q->value));
        CHECK(str_equal(p->labels, q->labels));
    }
}

/* Whatever is in a batch, the ingester may rely on. */
static void check_promises(const Rows *rows, Arena *arena) {
    const MetricsBatch *batch = &rows->batch;

    for (size_t i = 0; i < batch->row_count; i++) {
        const MetricsRow *row = &batch->rows[i];
        LabelPairs labels;
        Error err;

        CHECK(labels_decode(row->labels, arena, &labels, &err) == ERR_OK);
        CHECK(labels_get(labels, LABEL_NAME).len > 0);
        CHECK((size_t)row->sample_start + row->sample_count <= batch->sample_count);
        CHECK((size_t)row->histogram_start + row->histogram_count <= batch->histogram_count);
        CHECK((size_t)row->exemplar_start + row->exemplar_count <= batch->exemplar_count);
        for (uint32_t k = 0; k < row->histogram_count; k++)
            CHECK(histogram_validate(batch->histograms[row->histogram_start + k].histogram, &err) ==
                  ERR_OK);
    }
}

static void check_same(const Rows *a, const Rows *b, bool with_metadata) {
    CHECK(a->batch.row_count == b->batch.row_count);
    for (size_t i = 0; i < a->batch.row_count; i++) check_row(&a->batch, &b->batch, i);
    CHECK(a->rejects.samples == b->rejects.samples);
    CHECK(a->rejects.histograms == b->rejects.histograms);
    CHECK(a->rejects.exemplars == b->rejects.exemplars);
    for (int i = 0; i < REJECT_COUNT; i++)
        CHECK(i == REJECT_METADATA_INVALID || a->rejects.by_reason[i] == b->rejects.by_reason[i]);
    if (!with_metadata) return;
    CHECK(a->rejects.metadata == b->rejects.metadata);
    CHECK(a->batch.metadata_count == b->batch.metadata_count);
    for (size_t i = 0; i < a->batch.metadata_count; i++) {
        const MetricsMetadata *x = &a->batch.metadata[i], *y = &b->batch.metadata[i];

        CHECK(str_equal(x->metric, y->metric) && str_equal(x->help, y->help));
        CHECK(str_equal(x->unit, y->unit) && x->type == y->type);
    }
}

/* Whether a field number that must not be stands anywhere in what may be a message. */
static bool has_illegal_fields(WireReader r, unsigned depth) {
    while (!wire_at_end(&r)) {
        WireReader message;
        uint64_t tag;

        if (!wire_varint_slow(&r, 5, &tag)) return false;
        if (tag > UINT32_MAX || tag >> 3 == 0) return true;
        if ((tag & 7) != WIRE_BYTES) {
            if (!wire_skip(&r, (uint32_t)tag)) return false;
            continue;
        }
        if (!wire_message(&r, &message)) return false;
        if (depth < 5 && has_illegal_fields(message, depth + 1)) return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    TenantLimits limits = {.label_names_max = 8,
                           .label_name_bytes_max = 64,
                           .label_value_bytes_max = 64,
                           .future_ms_max = 600000,
                           .past_ms_max = INT64_C(86400000) * 365};
    RowsOptions options = {
        .tenant = STR("t"), .limits = &limits, .series_seed = 7, .now_ms = INT64_C(1700000000000)};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    bool v2 = size > 0 && data[0] % 2 == 1;
    Str body = size > 0 ? (Str){(const char *)data + 1, size - 1} : STR("");
    Prometheus__WriteRequest *request_v1 = NULL;
    RequestV2 *request_v2 = NULL;
    ErrCode code;
    Rows ours, theirs;
    Error err;

    rows_init(&ours, &options, arena);
    rows_init(&theirs, &options, arena);
    code = v2 ? prom_decode_v2(&ours, body, &err) : prom_decode_v1(&ours, body, &err);
    CHECK(code == ERR_OK || code == ERR_INVALID);
    if (v2)
        request_v2 =
            io__prometheus__write__v2__request__unpack(NULL, body.len, (const uint8_t *)body.ptr);
    else
        request_v1 = prometheus__write_request__unpack(NULL, body.len, (const uint8_t *)body.ptr);
    if (code != ERR_OK) {
        CHECK((request_v1 == NULL && request_v2 == NULL) ||
              has_illegal_fields(wire_reader(body), 0));
    } else {
        CHECK(request_v1 != NULL || request_v2 != NULL);
        if (v2)
            put_v2(&theirs, request_v2);
        else
            put_v1(&theirs, request_v1);
        CHECK(!rows_failed(&theirs));
        check_promises(&ours, arena);
        check_same(&ours, &theirs, !v2);
    }
    if (request_v1 != NULL) prometheus__write_request__free_unpacked(request_v1, NULL);
    if (request_v2 != NULL) io__prometheus__write__v2__request__free_unpacked(request_v2, NULL);
    return 0;
}

/* --- seeds --- */

static void put_label(Buf *out, Str name, Str value) {
    size_t label = wire_begin(out, 1);

    wire_put_bytes(out, 1, name);
    wire_put_bytes(out, 2, value);
    wire_end(out, label);
}

static void put_sample(Buf *out, double value, int64_t time_ms) {
    size_t sample = wire_begin(out, 2);

    wire_put_double(out, 1, value);
    wire_put_int64(out, 2, time_ms);
    wire_end(out, sample);
}

static void put_span(Buf *out, uint32_t field, int64_t offset, uint64_t length) {
    size_t span = wire_begin(out, field);

    wire_put_sint64(out, 1, offset);
    wire_put_varint(out, 2, length);
    wire_end(out, span);
}

static void put_histogram(Buf *out, uint32_t field, bool is_float, bool custom) {
    size_t histogram = wire_begin(out, field), packed;

    if (is_float)
        wire_put_double(out, 2, 6);
    else
        wire_put_varint(out, 1, 6);
    wire_put_double(out, 3, 12.5);
    wire_put_sint64(out, 4, custom ? -53 : 2);
    if (!custom) wire_put_double(out, 5, 0.001);
    put_span(out, 11, 0, 2);
    packed = wire_begin(out, is_float ? 13 : 12);
    for (int i = 0; i < 2; i++) {
        if (is_float)
            buf_append_u64(out, UINT64_C(0x4008000000000000)); /* 3.0 */
        else
            buf_append_zigzag(out, i == 0 ? 3 : 0);
    }
    wire_end(out, packed);
    wire_put_varint(out, 14, 2);
    wire_put_int64(out, 15, INT64_C(1700000000000));
    if (custom) {
        wire_put_double(out, 16, 1.5);
        wire_put_double(out, 16, 2.5);
    }
    wire_end(out, histogram);
}

static void seed_v1(Buf *out) {
    size_t series = wire_begin(out, 1), inner;

    put_label(out, STR("__name__"), STR("up"));
    put_label(out, STR("job"), STR("a b"));
    put_sample(out, 1.5, INT64_C(1700000000000));
    put_sample(out, -0.0, INT64_C(1700000015000));
    inner = wire_begin(out, 3);
    put_label(out, STR("trace_id"), STR("0af7651916cd43dd"));
    wire_put_double(out, 2, 0.25);
    wire_put_int64(out, 3, 0);
    wire_end(out, inner);
    wire_end(out, series);
    series = wire_begin(out, 1);
    put_label(out, STR("z"), STR(""));
    put_label(out, STR("b"), STR("\xc3\xa4"));
    put_label(out, STR("__name__"), STR("h"));
    put_histogram(out, 4, false, false);
    put_histogram(out, 4, true, true);
    wire_end(out, series);
    inner = wire_begin(out, 3);
    wire_put_varint(out, 1, 1);
    wire_put_bytes(out, 2, STR("up"));
    wire_put_bytes(out, 4, STR("Whether it is up."));
    wire_put_bytes(out, 5, STR("seconds"));
    wire_end(out, inner);
}

static void put_refs(Buf *out, const char *refs, size_t count) {
    size_t packed = wire_begin(out, 1);

    buf_append(out, refs, count);
    wire_end(out, packed);
}

static void seed_v2(Buf *out) {
    static const Str symbols[] = {STR_INIT(""),    STR_INIT("__name__"), STR_INIT("up"),
                                  STR_INIT("job"), STR_INIT("a"),        STR_INIT("help")};
    size_t series, inner;

    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) wire_put_bytes(out, 4, symbols[i]);
    series = wire_begin(out, 5);
    put_refs(out, "\1\2\3\4", 4);
    put_sample(out, 2, INT64_C(1700000000000));
    put_histogram(out, 3, false, true);
    inner = wire_begin(out, 4);
    put_refs(out, "\3\4", 2);
    wire_put_double(out, 2, 7);
    wire_end(out, inner);
    inner = wire_begin(out, 5);
    wire_put_varint(out, 1, 1);
    wire_put_varint(out, 3, 5);
    wire_end(out, inner);
    wire_put_int64(out, 6, INT64_C(1699999990000));
    wire_end(out, series);
}

bool fuzz_seed(unsigned n, Buf *out) {
    if (n > 1) return false;
    buf_append_byte(out, (char)n);
    (n == 0 ? seed_v1 : seed_v2)(out);
    return true;
}
