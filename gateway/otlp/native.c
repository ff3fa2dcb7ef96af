#include "gateway/otlp/native.h"

/* Gaps of so many empty buckets are filled with zeros, larger ones begin a new span. */
enum { GAP_MAX = 2 };

/* What Prometheus takes for the width of the zero bucket, whatever OTLP says. */
static const double ZERO_THRESHOLD = 1e-128;

/* One side of a histogram in the making. */
typedef struct Layout {
    HistogramSpan *spans;
    double *counts;
    uint32_t span_count, count;
    int64_t last; /* index of the last bucket laid out */
} Layout;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the histograms of this request");
}

static void lay_out_one(Layout *layout, double count) {
    layout->spans[layout->span_count - 1].length++;
    layout->counts[layout->count++] = count;
}

static void lay_out(Layout *layout, int64_t index, uint64_t count) {
    int64_t gap = index - layout->last - 1;

    if (gap > GAP_MAX) {
        layout->spans[layout->span_count++] = (HistogramSpan){(int32_t)gap, 0};
    } else {
        for (; gap > 0; gap--) lay_out_one(layout, 0);
    }
    lay_out_one(layout, (double)count);
    layout->last = index;
}

/* Neighbours fall together 2^`scale_down` at a time. An exponential bucket's index is one more here
 * (`shift`): OTLP numbers buckets by their lower bound, Prometheus by their upper one. */
static ErrCode lay_out_all(const OtlpBuckets *buckets, unsigned scale_down, bool shift,
                           Arena *arena, Layout *out, Error *err) {
    int64_t index = ((int64_t)buckets->offset >> scale_down) + 1;
    uint64_t sum = 0;

    *out = (Layout){.last = index - 1};
    if (buckets->count == 0) return ERR_OK;
    /* Of three buckets in a row at most one begins a span. */
    out->spans = ARENA_ARRAY(arena, HistogramSpan, buckets->count / 3 + 2);
    out->counts = ARENA_ARRAY(arena, double, buckets->count + 1);
    if (out->spans == NULL || out->counts == NULL) return out_of_memory(err);
    out->spans[out->span_count++] =
        (HistogramSpan){(int32_t)(shift ? index : (int64_t)buckets->offset), 0};
    for (uint32_t i = 0; i < buckets->count; i++) {
        int64_t next = (((int64_t)i + buckets->offset) >> scale_down) + 1;

        if (next != index) {
            if (sum != 0) lay_out(out, index, sum);
            sum = 0;
            index = next;
        }
        sum += buckets->counts[i];
    }
    lay_out(out, index, sum);
    return ERR_OK;
}

static NativeHistogram *begin(const OtlpPoint *point, bool delta, Arena *arena) {
    NativeHistogram *h = ARENA_NEW(arena, NativeHistogram);

    if (h == NULL) return NULL;
    /* Whether it was reset is seen by comparing; a delta is a gauge, so that nobody compares. */
    h->hint = delta ? HISTOGRAM_HINT_GAUGE : HISTOGRAM_HINT_UNKNOWN;
    h->sum = point->has_sum ? point->sum : 0;
    h->count = (double)point->count;
    return h;
}

static void make_stale(NativeHistogram *h) {
    uint64_t bits = STALE_NAN_BITS;

    *h = (NativeHistogram){.schema = h->schema,
                           .zero_threshold = h->zero_threshold,
                           .custom_values = h->custom_values,
                           .custom_count = h->custom_count};
    memcpy(&h->sum, &bits, sizeof bits);
}

ErrCode otlp_native_exponential(const OtlpPoint *point, bool delta, Arena *arena,
                                NativeHistogram **out, Error *err) {
    NativeHistogram *h = begin(point, delta, arena);
    int32_t schema = MIN(point->scale, (int32_t)HISTOGRAM_SCHEMA_MAX);
    unsigned scale_down = (unsigned)MIN((int64_t)point->scale - schema, INT64_C(40));
    Layout positive, negative;

    if (h == NULL) return out_of_memory(err);
    if (schema < HISTOGRAM_SCHEMA_MIN)
        return error_set(err, ERR_INVALID,
                         "an exponential histogram has scale %d; native histograms begin at %d",
                         point->scale, HISTOGRAM_SCHEMA_MIN);
    TRY(lay_out_all(&point->positive, scale_down, true, arena, &positive, err));
    TRY(lay_out_all(&point->negative, scale_down, true, arena, &negative, err));
    h->schema = schema;
    h->zero_threshold = ZERO_THRESHOLD;
    h->zero_count = (double)point->zero_count;
    h->positive_spans = positive.spans;
    h->positive_span_count = positive.span_count;
    h->positive = positive.counts;
    h->positive_count = positive.count;
    h->negative_spans = negative.spans;
    h->negative_span_count = negative.span_count;
    h->negative = negative.counts;
    h->negative_count = negative.count;
    if (point->no_value) make_stale(h);
    *out = h;
    return ERR_OK;
}

ErrCode otlp_native_explicit(const OtlpPoint *point, bool delta, Arena *arena,
                             NativeHistogram **out, Error *err) {
    NativeHistogram *h = begin(point, delta, arena);
    OtlpBuckets buckets = point->buckets;
    Layout positive;

    if (h == NULL) return out_of_memory(err);
    while (buckets.count > 0 && buckets.counts[0] == 0) {
        buckets.counts++;
        buckets.count--;
        buckets.offset++;
    }
    TRY(lay_out_all(&buckets, 0, false, arena, &positive, err));
    h->schema = HISTOGRAM_SCHEMA_CUSTOM;
    h->custom_values = point->bounds;
    h->custom_count = point->bound_count;
    h->positive_spans = positive.spans;
    h->positive_span_count = positive.span_count;
    h->positive = positive.counts;
    h->positive_count = positive.count;
    if (point->no_value) make_stale(h);
    *out = h;
    return ERR_OK;
}
