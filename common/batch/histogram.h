#pragma once
/*
 * histogram.h: one native histogram, in the float form that PromQL computes with.
 * https://prometheus.io/docs/specs/native_histograms/
 *
 * Integer histograms keep `is_float` false and are exact to 2^53 a bucket. Bucket counts are
 * absolute (neither deltas nor cumulated), in the order that the spans lay them out.
 */
#include "common/base/arena.h"
#include "common/base/error.h"

typedef struct HistogramSpan {
    int32_t offset; /* buckets skipped since the end of the span before (first: since index 0) */
    uint32_t length;
} HistogramSpan;

typedef enum HistogramHint {
    HISTOGRAM_HINT_UNKNOWN = 0,
    HISTOGRAM_HINT_RESET = 1,
    HISTOGRAM_HINT_NO_RESET = 2,
    HISTOGRAM_HINT_GAUGE = 3,
} HistogramHint;

enum { HISTOGRAM_SCHEMA_CUSTOM = -53, HISTOGRAM_SCHEMA_MIN = -4, HISTOGRAM_SCHEMA_MAX = 8 };

typedef struct NativeHistogram {
    int32_t schema;
    uint8_t hint; /* HistogramHint */
    bool is_float;
    double zero_threshold;
    double zero_count;
    double count;
    double sum; /* a stale marker's NaN here makes the histogram stale */
    HistogramSpan *positive_spans;
    HistogramSpan *negative_spans;
    double *positive; /* bucket counts */
    double *negative;
    double *custom_values; /* upper bounds, for HISTOGRAM_SCHEMA_CUSTOM */
    uint32_t positive_span_count;
    uint32_t negative_span_count;
    uint32_t positive_count;
    uint32_t negative_count;
    uint32_t custom_count;
} NativeHistogram;

/* Bounds on what may come from outside. */
enum { HISTOGRAM_SPANS_MAX = 4096, HISTOGRAM_BUCKETS_MAX = 16384, HISTOGRAM_CUSTOM_MAX = 4096 };

/* What Prometheus refuses (mismatched span lengths, negative counts, unsorted custom bounds, count
 * below the sum of buckets for integers, unknown schema): ERR_INVALID with its reason. */
MUST_USE ErrCode histogram_validate(const NativeHistogram *h, Error *err);
NativeHistogram *histogram_dup(Arena *arena, const NativeHistogram *h); /* NULL: out of budget */
bool histogram_equal(const NativeHistogram *a,
                     const NativeHistogram *b); /* bits, layout included */
bool histogram_is_stale(const NativeHistogram *h);

/* The bits of Prometheus' stale marker, a NaN of its own. */
#define STALE_NAN_BITS UINT64_C(0x7ff0000000000002)
#define NORMAL_NAN_BITS UINT64_C(0x7ff8000000000001)
static inline bool value_is_stale(double v) {
    uint64_t bits;

    __builtin_memcpy(&bits, &v, sizeof bits);
    return bits == STALE_NAN_BITS;
}
