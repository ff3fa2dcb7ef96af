#pragma once
/*
 * hist.h: a native histogram as PromQL computes with it: buckets as sorted (index, count) pairs.
 * https://prometheus.io/docs/specs/native_histograms/
 *
 * Spans are for storage; two histograms with different spans are merged, compared and interpolated
 * by bucket index, and indices that lie far apart must cost nothing. A Hist is immutable once made
 * and may share its arrays with others; arithmetic goes through HistSum (hist_sum.h).
 */
#include "common/base/buf.h"
#include "common/batch/histogram.h"

typedef struct HistBuckets {
    const int32_t *index; /* ascending, each once */
    const double *count;
    uint32_t n;
} HistBuckets;

typedef struct Hist {
    int32_t schema;
    uint8_t hint; /* HistogramHint */
    double zero_threshold;
    double zero_count;
    double count;
    double sum;
    HistBuckets positive;
    HistBuckets negative;
    const double *bounds; /* upper bounds, for HISTOGRAM_SCHEMA_CUSTOM */
    uint32_t bound_count;
} Hist;

/* One bucket with its limits, as the API and interpolation see it. */
typedef struct HistBucket {
    double lower;
    double upper;
    double count;
    bool lower_inclusive;
    bool upper_inclusive;
} HistBucket;

static inline bool hist_is_custom(const Hist *h) {
    return h->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

/* Upper bound of a positive bucket of an exponential schema. */
double hist_bound(int32_t index, int32_t schema);
/* The same for any schema; a custom index outside the bounds is infinite. */
double hist_upper_bound(const Hist *h, int32_t index);
/* The index that a bucket has `by` schemas lower. */
static inline int32_t hist_reduced_index(int32_t index, unsigned by) {
    return (int32_t)((((int64_t)index - 1) >> by) + 1);
}

/* Buckets in ascending order: negative ones, the zero bucket if it is populated, positive ones;
 * bounds inside the zero bucket are moved to its edge. i < hist_bucket_count(h). */
uint32_t hist_bucket_count(const Hist *h);
HistBucket hist_bucket(const Hist *h, uint32_t i);

/* Reads histograms of one series one after the other; the bucket indices of equal spans are made
 * once and shared, as are custom bounds, which results of arithmetic keep: they live in
 * `bounds_arena`, all else in `arena`. */
typedef struct HistReader {
    Arena *arena;
    Arena *bounds_arena;
    const double *bounds;
    uint32_t bound_count;
    const HistogramSpan *spans[2];
    uint32_t span_count[2];
    uint32_t bucket_count[2];
    const int32_t *index[2];
} HistReader;

/* A view of `native`, whose counts it points to. ERR_CORRUPT: spans that do not
 * fit the buckets, a schema nobody knows, a threshold that is no number. */
MUST_USE ErrCode hist_view(HistReader *reader, const NativeHistogram *native, Hist *out,
                           Error *err);
/* A copy that needs nothing but `arena`. NULL: out of budget. */
const Hist *hist_dup(Arena *arena, const Hist *h);
/* The same with another hint; shares the arrays. NULL: out of budget. */
const Hist *hist_with_hint(Arena *arena, const Hist *h, HistogramHint hint);
/* Back into spans, for who stores it. NULL: out of budget. */
NativeHistogram *hist_to_native(Arena *arena, const Hist *h);

/* Bit for bit, populated or not: what == between histograms means. */
bool hist_equal(const Hist *a, const Hist *b);
bool hist_same_bounds(const Hist *a, const Hist *b);
/* Whether observations went away between `previous` and `current`. */
bool hist_detect_reset(const Hist *current, const Hist *previous);
/* {count:3, sum:1.5, (1,2]:3}: the text count_values() makes a label of. */
void hist_append_text(Buf *out, const Hist *h);

/* Estimates. Flags tell what the caller should say about NaN observations. */
typedef struct HistNanInfo {
    bool result_is_nan; /* the quantile fell among NaN observations */
    bool result_is_skewed;
} HistNanInfo;
double hist_quantile(double q, const Hist *h, HistNanInfo *ret_info);
double hist_fraction(double lower, double upper, const Hist *h, bool *ret_has_nan);
double hist_variance(const Hist *h);
/* Only the observations below (`upper`) or above `limit`. NULL: out of budget. */
const Hist *hist_trim(Arena *arena, const Hist *h, double limit, bool upper);
