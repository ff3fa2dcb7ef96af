/*
 * histogram.c: what makes a native histogram valid, and copies and compares them.
 *
 * The rules and their wording are those of Prometheus' model/histogram Validate(), since senders
 * and their operators know them.
 */
#include "common/batch/histogram.h"

#include <math.h>
#include <string.h>

/* Integer counts above this are not exact in a double. */
static const double EXACT_MAX = 9007199254740992.0; /* 2^53 */

static ErrCode check_limits(const NativeHistogram *h, Error *err) {
    if (h->positive_span_count > HISTOGRAM_SPANS_MAX ||
        h->negative_span_count > HISTOGRAM_SPANS_MAX)
        return error_set(err, ERR_INVALID, "histogram has more than %d spans", HISTOGRAM_SPANS_MAX);
    if (h->positive_count > HISTOGRAM_BUCKETS_MAX || h->negative_count > HISTOGRAM_BUCKETS_MAX)
        return error_set(err, ERR_INVALID, "histogram has more than %d buckets",
                         HISTOGRAM_BUCKETS_MAX);
    if (h->custom_count > HISTOGRAM_CUSTOM_MAX)
        return error_set(err, ERR_INVALID, "histogram has more than %d custom bounds",
                         HISTOGRAM_CUSTOM_MAX);
    return ERR_OK;
}

/* *covered: how many bucket indices the spans reach over, gaps included. */
static ErrCode check_spans(const char *side, const HistogramSpan *spans, uint32_t span_count,
                           uint32_t bucket_count, uint64_t *covered, Error *err) {
    uint64_t buckets = 0, reach = 0;

    for (uint32_t i = 0; i < span_count; i++) {
        if (i > 0 && spans[i].offset < 0)
            return error_set(err, ERR_INVALID,
                             "%s side: span number %u with offset %d: histogram has a span whose "
                             "offset is negative",
                             side, i + 1, spans[i].offset);
        buckets += spans[i].length;
        reach += spans[i].length + (uint64_t)(spans[i].offset > 0 ? spans[i].offset : 0);
    }
    if (buckets != bucket_count)
        return error_set(err, ERR_INVALID,
                         "%s side: spans need %llu buckets, have %u buckets: histogram spans "
                         "specify different number of buckets than provided",
                         side, (unsigned long long)buckets, bucket_count);
    /* Bucket indices are 32-bit everywhere. */
    if (reach > INT32_MAX)
        return error_set(err, ERR_INVALID, "%s side: spans reach over %llu bucket indices", side,
                         (unsigned long long)reach);
    *covered = reach;
    return ERR_OK;
}

/* A count of observations: not negative, and for an integer histogram a whole number. NaN passes
 * for floats, as it does in Prometheus. */
static ErrCode check_count(const NativeHistogram *h, const char *what, double n, Error *err) {
    if (n < 0)
        return error_set(err, ERR_INVALID,
                         "%s of %g: histogram has a bucket whose observation count is negative",
                         what, n);
    if (!h->is_float && !(n <= EXACT_MAX && n == floor(n)))
        return error_set(err, ERR_INVALID, "%s of %g: not a whole number up to 2^53", what, n);
    return ERR_OK;
}

static ErrCode check_buckets(const NativeHistogram *h, const char *side, const double *buckets,
                             uint32_t count, double *sum, Error *err) {
    for (uint32_t i = 0; i < count; i++) {
        if (check_count(h, "observation count", buckets[i], err) != ERR_OK)
            return error_wrap(err, "%s side: bucket number %u", side, i + 1);
        *sum += buckets[i];
    }
    return ERR_OK;
}

static ErrCode check_custom(const NativeHistogram *h, uint64_t covered, Error *err) {
    for (uint32_t i = 0; i < h->custom_count; i++) {
        if (!isfinite(h->custom_values[i]))
            return error_set(err, ERR_INVALID, "histogram custom bounds must be finite");
        if (i > 0 && !(h->custom_values[i] > h->custom_values[i - 1]))
            return error_set(err, ERR_INVALID,
                             "previous bound is %g and current is %g: histogram custom bounds must "
                             "be in strictly increasing order",
                             h->custom_values[i - 1], h->custom_values[i]);
    }
    if (covered > (uint64_t)h->custom_count + 1)
        return error_set(err, ERR_INVALID,
                         "only %u custom bounds defined which is insufficient to cover total span "
                         "length of %llu: histogram custom bounds are too few",
                         h->custom_count, (unsigned long long)covered);
    if (h->positive_span_count > 0 && h->positive_spans[0].offset < 0)
        return error_set(err, ERR_INVALID, "histogram has a span whose offset is negative");
    if (h->zero_count != 0)
        return error_set(err, ERR_INVALID, "custom buckets: must have zero count of 0");
    if (h->zero_threshold != 0)
        return error_set(err, ERR_INVALID, "custom buckets: must have zero threshold of 0");
    if (h->negative_span_count > 0)
        return error_set(err, ERR_INVALID, "custom buckets: must not have negative spans");
    if (h->negative_count > 0)
        return error_set(err, ERR_INVALID, "custom buckets: must not have negative buckets");
    return ERR_OK;
}

static ErrCode check_schema(const NativeHistogram *h, uint64_t covered, Error *err) {
    if (h->schema == HISTOGRAM_SCHEMA_CUSTOM) return check_custom(h, covered, err);
    if (h->schema < HISTOGRAM_SCHEMA_MIN || h->schema > HISTOGRAM_SCHEMA_MAX)
        return error_set(err, ERR_INVALID, "histogram has an invalid schema: %d", h->schema);
    if (h->custom_count > 0)
        return error_set(err, ERR_INVALID,
                         "histogram with exponential schema must not have custom bounds");
    return ERR_OK;
}

/* With a NaN among the observations, the buckets may hold fewer than `count`. */
static ErrCode check_sum_of_buckets(const NativeHistogram *h, double in_buckets, Error *err) {
    if (isnan(h->sum) && in_buckets > h->count)
        return error_set(err, ERR_INVALID,
                         "%.0f observations found in buckets, but the Count field is %.0f: "
                         "histogram's observation count should be at least the number of "
                         "observations found in the buckets",
                         in_buckets, h->count);
    if (!isnan(h->sum) && in_buckets != h->count)
        return error_set(err, ERR_INVALID,
                         "%.0f observations found in buckets, but the Count field is %.0f: "
                         "histogram's observation count should equal the number of observations "
                         "found in the buckets (in absence of NaN)",
                         in_buckets, h->count);
    return ERR_OK;
}

ErrCode histogram_validate(const NativeHistogram *h, Error *err) {
    uint64_t positive_reach = 0, negative_reach = 0;
    double in_buckets = h->zero_count;

    TRY(check_limits(h, err));
    TRY(check_spans("positive", h->positive_spans, h->positive_span_count, h->positive_count,
                    &positive_reach, err));
    TRY(check_spans("negative", h->negative_spans, h->negative_span_count, h->negative_count,
                    &negative_reach, err));
    TRY(check_schema(h, positive_reach, err));
    TRY(check_count(h, "zero bucket: observation count", h->zero_count, err));
    TRY(check_count(h, "observation count", h->count, err));
    TRY(check_buckets(h, "negative", h->negative, h->negative_count, &in_buckets, err));
    TRY(check_buckets(h, "positive", h->positive, h->positive_count, &in_buckets, err));
    if (!h->is_float) TRY(check_sum_of_buckets(h, in_buckets, err));
    return ERR_OK;
}

static void *dup_array(Arena *arena, const void *from, size_t count, size_t element, bool *failed) {
    void *to;

    if (count == 0) return NULL;
    to = arena_alloc(arena, count * element);
    if (to == NULL) {
        *failed = true;
        return NULL;
    }
    memcpy(to, from, count * element);
    return to;
}

NativeHistogram *histogram_dup(Arena *arena, const NativeHistogram *h) {
    NativeHistogram *copy = arena_alloc(arena, sizeof *copy);
    bool failed = false;

    if (copy == NULL) return NULL;
    *copy = *h;
    copy->positive_spans = dup_array(arena, h->positive_spans, h->positive_span_count,
                                     sizeof *h->positive_spans, &failed);
    copy->negative_spans = dup_array(arena, h->negative_spans, h->negative_span_count,
                                     sizeof *h->negative_spans, &failed);
    copy->positive = dup_array(arena, h->positive, h->positive_count, sizeof *h->positive, &failed);
    copy->negative = dup_array(arena, h->negative, h->negative_count, sizeof *h->negative, &failed);
    copy->custom_values =
        dup_array(arena, h->custom_values, h->custom_count, sizeof *h->custom_values, &failed);
    return failed ? NULL : copy;
}

static bool bits_equal(const void *a, const void *b, size_t bytes) {
    return bytes == 0 || memcmp(a, b, bytes) == 0;
}

bool histogram_equal(const NativeHistogram *a, const NativeHistogram *b) {
    return a->schema == b->schema && a->hint == b->hint && a->is_float == b->is_float &&
           a->positive_span_count == b->positive_span_count &&
           a->negative_span_count == b->negative_span_count &&
           a->positive_count == b->positive_count && a->negative_count == b->negative_count &&
           a->custom_count == b->custom_count &&
           bits_equal(&a->zero_threshold, &b->zero_threshold, sizeof a->zero_threshold) &&
           bits_equal(&a->zero_count, &b->zero_count, sizeof a->zero_count) &&
           bits_equal(&a->count, &b->count, sizeof a->count) &&
           bits_equal(&a->sum, &b->sum, sizeof a->sum) &&
           bits_equal(a->positive_spans, b->positive_spans,
                      a->positive_span_count * sizeof *a->positive_spans) &&
           bits_equal(a->negative_spans, b->negative_spans,
                      a->negative_span_count * sizeof *a->negative_spans) &&
           bits_equal(a->positive, b->positive, a->positive_count * sizeof *a->positive) &&
           bits_equal(a->negative, b->negative, a->negative_count * sizeof *a->negative) &&
           bits_equal(a->custom_values, b->custom_values,
                      a->custom_count * sizeof *a->custom_values);
}

bool histogram_is_stale(const NativeHistogram *h) {
    return value_is_stale(h->sum);
}
