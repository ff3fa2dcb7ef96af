/*
 * hist_estimate.c: quantiles, fractions and variance, interpolated within buckets.
 *
 * Custom buckets and the zero bucket are taken to be filled evenly, exponential ones evenly on a
 * logarithmic scale. A histogram with positive buckets only has no negative part in its zero
 * bucket, and the other way round. Observations of NaN are in `count` but in no bucket.
 */
#include <math.h>

#include "querier/promql/hist.h"
#include "querier/promql/kahan.h"

/* How far into the bucket `v` is, 0 to 1, for v inside its finite bounds. */
static double fraction_below(const HistBucket *b, double v, bool linear) {
    double lower, upper, at;

    if (linear) return (v - b->lower) / (b->upper - b->lower);
    lower = log2(fabs(b->lower));
    upper = log2(fabs(b->upper));
    at = log2(fabs(v));
    if (v > 0) return (at - lower) / (upper - lower);
    return 1 - (at - upper) / (lower - upper);
}

/* Cuts the half that a one-sided histogram hasn't off its zero bucket. */
static void narrow_zero_bucket(const Hist *h, HistBucket *b) {
    if (h->negative.n == 0 && h->positive.n > 0)
        b->lower = 0;
    else if (h->positive.n == 0 && h->negative.n > 0)
        b->upper = 0;
}

double hist_quantile(double q, const Hist *h, HistNanInfo *ret_info) {
    uint32_t buckets = hist_bucket_count(h), i = 0;
    bool forward = isnan(h->sum) || q < 0.5, custom = hist_is_custom(h);
    HistBucket b = {0};
    double rank, count = 0, fraction, lower, upper;

    *ret_info = (HistNanInfo){0};
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    if (h->count == 0 || isnan(q)) return NAN;
    /* From the nearer end, where fewer roundings add up; NaNs count as if above all buckets. */
    rank = forward ? q * h->count : (1 - q) * h->count;
    while (i < buckets) {
        b = hist_bucket(h, forward ? i : buckets - 1 - i);
        i++;
        if (b.count == 0) continue;
        count += b.count;
        if (count >= rank) break;
    }
    if (!custom && b.lower < 0 && b.upper > 0) {
        narrow_zero_bucket(h, &b);
    } else if (custom) {
        if (b.lower == -INFINITY) {
            if (b.upper <= 0) return b.upper;
            b.lower = 0;
        } else if (b.upper == INFINITY) {
            return b.lower;
        }
    }
    if (count > h->count) count = h->count;
    if (count < rank) {
        if (!isnan(h->sum)) return b.upper;
        ret_info->result_is_nan = true;
        return NAN;
    }
    rank = forward ? rank - (count - b.count) : count - rank;
    if (isnan(h->sum)) {
        double total = count;

        for (; i < buckets; i++) total += hist_bucket(h, i).count;
        ret_info->result_is_skewed = total < h->count;
    }
    fraction = rank / b.count;
    if (custom || (b.lower <= 0 && b.upper >= 0)) return b.lower + (b.upper - b.lower) * fraction;
    lower = log2(fabs(b.lower));
    upper = log2(fabs(b.upper));
    if (b.lower > 0) return exp2(lower + (upper - lower) * fraction);
    return -exp2(upper + (lower - upper) * (1 - fraction));
}

/* Rank of `v`, which lies inside the bucket. */
static double rank_inside(const Hist *h, const HistBucket *b, double v, double rank, bool zero) {
    bool linear = hist_is_custom(h) || zero;

    if (linear && b->lower == -INFINITY) return b->count;
    return rank + b->count * fraction_below(b, v, linear);
}

double hist_fraction(double lower, double upper, const Hist *h, bool *ret_has_nan) {
    uint32_t buckets = hist_bucket_count(h), i;
    double rank = 0, count = 0, lower_rank = 0, upper_rank = 0;
    bool lower_set = false, upper_set = false, custom = hist_is_custom(h);

    *ret_has_nan = false;
    if (h->count == 0 || isnan(lower) || isnan(upper)) return NAN;
    if (lower >= upper) return 0;
    for (i = 0; i < buckets; i++) {
        HistBucket b = hist_bucket(h, i);
        bool zero = !custom && b.lower <= 0 && b.upper >= 0;

        count += b.count;
        if (zero) narrow_zero_bucket(h, &b);
        if (custom && b.lower == -INFINITY && b.upper > 0) b.lower = 0;
        if (!lower_set && b.lower >= lower) {
            lower_rank = rank;
            lower_set = true;
        }
        if (!upper_set && b.lower >= upper) {
            upper_rank = rank;
            upper_set = true;
        }
        if (lower_set && upper_set) break;
        if (!lower_set && b.lower < lower && b.upper > lower) {
            lower_rank = rank_inside(h, &b, lower, rank, zero);
            lower_set = true;
        }
        if (!upper_set && b.lower < upper && b.upper > upper) {
            upper_rank = rank_inside(h, &b, upper, rank, zero);
            upper_set = true;
        }
        if (lower_set && upper_set) break;
        rank += b.count;
    }
    if (isnan(h->sum)) {
        for (i = MIN(i + 1, buckets); i < buckets; i++) count += hist_bucket(h, i).count;
        *ret_has_nan = count < h->count;
    } else {
        count = h->count;
    }
    if (!lower_set || lower_rank > count) lower_rank = count;
    if (!upper_set || upper_rank > count) upper_rank = count;
    return (upper_rank - lower_rank) / h->count;
}

double hist_variance(const Hist *h) {
    double mean = h->sum / h->count, variance = 0, comp = 0;
    uint32_t buckets = hist_bucket_count(h);

    for (uint32_t i = 0; i < buckets; i++) {
        HistBucket b = hist_bucket(h, i);
        double value, delta;

        if (b.count == 0) continue;
        if (hist_is_custom(h)) {
            value = (b.upper + b.lower) / 2;
        } else if (b.lower <= 0 && b.upper >= 0) {
            value = 0;
        } else {
            value = sqrt(b.upper * b.lower);
            if (b.upper < 0) value = -value;
        }
        delta = value - mean;
        kahan_add(b.count * delta * delta, &variance, &comp);
    }
    return (variance + comp) / h->count;
}

/* Trimming: how many of a bucket's observations stay, and where their middle is taken to be. */
typedef struct Kept {
    double count;
    double middle;
} Kept;

static double zero_if_infinite(double v) {
    return isinf(v) ? 0 : v;
}

/* A bucket that ends in an infinity has no shape to interpolate in. From below zero a custom one is
 * taken to start at 0; else it stays whole or goes whole. */
static Kept trim_infinite(const HistBucket *b, double limit, bool upper) {
    if (b->lower == -INFINITY) {
        bool from_zero = b->upper > 0 && !isinf(b->upper);

        if (upper) {
            if (limit >= b->upper) return (Kept){b->count, 0};
            if (limit > 0 && from_zero) return (Kept){b->count * limit / b->upper, limit / 2};
            if (b->upper <= 0) return (Kept){b->count, limit};
            return (Kept){0, zero_if_infinite(b->upper)};
        }
        if (limit <= b->lower) return (Kept){b->count, 0};
        if (limit >= 0 && b->upper > limit && from_zero)
            return (Kept){b->count * (1 - limit / b->upper), (limit + b->upper) / 2};
        return (Kept){0, zero_if_infinite(b->upper)};
    }
    if (upper || limit < b->lower) return (Kept){0, zero_if_infinite(b->lower)};
    return (Kept){b->count, limit};
}

static double middle_of(double lower, double upper, bool positive, bool linear) {
    double mean;

    if (isinf(lower)) {
        if (isinf(upper)) return 0;
        return upper > 0 ? upper / 2 : upper;
    }
    if (isinf(upper)) return lower;
    if (linear) return (lower + upper) / 2;
    mean = sqrt(fabs(lower * upper));
    return positive ? mean : -mean;
}

static Kept trim_bucket(const HistBucket *b, double limit, bool upper, bool positive, bool linear) {
    bool keep_all = upper ? b->upper <= limit : b->lower >= limit;
    bool drop_all = upper ? b->lower >= limit : b->upper <= limit;
    double below;

    if (keep_all) return (Kept){b->count, middle_of(b->lower, b->upper, positive, linear)};
    if (drop_all || isnan(limit)) return (Kept){0, 0};
    if (b->lower == -INFINITY || b->upper == INFINITY) return trim_infinite(b, limit, upper);
    if (limit <= b->lower)
        below = 0;
    else if (limit >= b->upper)
        below = b->count;
    else
        below = b->count * fraction_below(b, limit, linear);
    if (upper) return (Kept){below, middle_of(b->lower, limit, positive, linear)};
    return (Kept){b->count - below, middle_of(limit, b->upper, positive, linear)};
}

static Kept trim_zero(const Hist *h, double limit, bool upper, bool has_positive,
                      bool has_negative) {
    double low = -h->zero_threshold, high = h->zero_threshold;
    double all = h->zero_count;

    if (has_negative && !has_positive) high = 0;
    if (has_positive && !has_negative) low = 0;
    if (upper) {
        if (limit <= low) return (Kept){0, 0};
        if (limit >= high) return (Kept){all, (low + high) / 2};
        return (Kept){all * ((limit - low) / (high - low)), (low + limit) / 2};
    }
    if (limit <= low) return (Kept){all, (low + high) / 2};
    if (limit >= high) return (Kept){0, 0};
    return (Kept){all * ((high - limit) / (high - low)), (limit + high) / 2};
}

/* Trims one side into fresh arrays. */
typedef struct Trim {
    const Hist *h;
    double limit;
    bool upper;
    bool changed;
    double count, sum;
} Trim;

static bool trim_side(Trim *trim, Arena *arena, bool positive, HistBuckets *out,
                      bool *ret_populated) {
    const HistBuckets *from = positive ? &trim->h->positive : &trim->h->negative;
    int32_t *index = arena_alloc(arena, MAX(from->n, 1) * sizeof *index);
    double *count = arena_alloc(arena, MAX(from->n, 1) * sizeof *count);
    uint32_t n = 0;

    *ret_populated = false;
    if (index == NULL || count == NULL) return false;
    for (uint32_t i = 0; i < from->n; i++) {
        double end = hist_upper_bound(trim->h, from->index[i]);
        double start = hist_upper_bound(trim->h, from->index[i] - 1);
        HistBucket b = {.lower = positive ? start : -end,
                        .upper = positive ? end : -start,
                        .count = from->count[i]};
        Kept kept;

        if (b.count == 0) continue;
        *ret_populated = true;
        kept = trim_bucket(&b, trim->limit, trim->upper, positive, hist_is_custom(trim->h));
        trim->count += kept.count;
        trim->sum += kept.middle * kept.count;
        if (kept.count != b.count) trim->changed = true;
        if (kept.count == 0) continue;
        index[n] = from->index[i];
        count[n++] = kept.count;
    }
    *out = (HistBuckets){index, count, n};
    return true;
}

const Hist *hist_trim(Arena *arena, const Hist *h, double limit, bool upper) {
    Trim trim = {.h = h, .limit = limit, .upper = upper};
    Hist *result = arena_alloc(arena, sizeof *result);
    HistBuckets positive, negative;
    bool has_positive, has_negative;
    double zero = h->zero_count;

    if (result == NULL || !trim_side(&trim, arena, true, &positive, &has_positive) ||
        !trim_side(&trim, arena, false, &negative, &has_negative))
        return NULL;
    if (h->zero_count > 0) {
        Kept kept = trim_zero(h, limit, upper, has_positive, has_negative);

        if (kept.count != zero) trim.changed = true;
        zero = kept.count;
        trim.count += kept.count;
        trim.sum += kept.middle * kept.count;
    }
    *result = *h;
    if (!trim.changed) return result;
    result->positive = positive;
    result->negative = negative;
    result->zero_count = zero;
    result->count = trim.count;
    result->sum = trim.sum;
    return result;
}
