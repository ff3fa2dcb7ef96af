#include "querier/promql/classic.h"

#include <math.h>
#include <stdlib.h>

/* Relative differences between neighbours that are rounding, not observations. */
static const double SMALL_DELTA = 1e-12;

static int compare_buckets(const void *a, const void *b) {
    double x = ((const ClassicBucket *)a)->upper, y = ((const ClassicBucket *)b)->upper;

    return (x > y) - (x < y);
}

void classic_sort(ClassicBucket *buckets, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (buckets[i].upper < buckets[i - 1].upper) {
            qsort(buckets, n, sizeof *buckets, compare_buckets);
            return;
        }
}

static size_t merge_equal_bounds(ClassicBucket *buckets, size_t n) {
    size_t kept = 0;

    for (size_t i = 1; i < n; i++) {
        if (buckets[i].upper == buckets[kept].upper)
            buckets[kept].count += buckets[i].count;
        else
            buckets[++kept] = buckets[i];
    }
    return kept + 1;
}

static bool almost_equal(double a, double b) {
    double sum, diff;

    if (isnan(a) && isnan(b)) return true;
    if (a == b) return true;
    sum = fabs(a) + fabs(b);
    diff = fabs(a - b);
    if (a == 0 || b == 0 || sum < 0x1p-1022) return diff < SMALL_DELTA * 0x1p-1022;
    return diff / fmin(sum, 0x1.fffffffffffffp1023) < SMALL_DELTA;
}

/* Counts must not fall towards higher bounds, or a rank has no one bucket. */
static void make_monotonic(ClassicBucket *buckets, size_t n, ClassicFix *fix) {
    double previous = buckets[0].count;

    *fix = (ClassicFix){.min_bucket = INFINITY, .max_bucket = -INFINITY};
    for (size_t i = 1; i < n; i++) {
        double count = buckets[i].count;

        if (count == previous) continue;
        if (almost_equal(previous, count)) {
            buckets[i].count = previous;
        } else if (count < previous) {
            buckets[i].count = previous;
            fix->forced = true;
            fix->min_bucket = fmin(fix->min_bucket, buckets[i].upper);
            fix->max_bucket = fmax(fix->max_bucket, buckets[i].upper);
            fix->max_diff = fmax(fix->max_diff, previous - count);
        } else {
            previous = count;
        }
    }
}

double classic_quantile(double q, ClassicBucket *buckets, size_t n, ClassicFix *ret_fix) {
    double rank, start = 0, count;
    size_t low = 0, high;

    *ret_fix = (ClassicFix){0};
    if (isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    if (buckets[n - 1].upper != INFINITY) return NAN;
    n = merge_equal_bounds(buckets, n);
    make_monotonic(buckets, n, ret_fix);
    if (n < 2 || buckets[n - 1].count == 0) return NAN;
    rank = q * buckets[n - 1].count;
    high = n - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (buckets[middle].count >= rank)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == n - 1) return buckets[n - 2].upper;
    if (low == 0 && buckets[0].upper <= 0) return buckets[0].upper;
    count = buckets[low].count;
    if (low > 0) {
        start = buckets[low - 1].upper;
        count -= buckets[low - 1].count;
        rank -= buckets[low - 1].count;
    }
    return start + (buckets[low].upper - start) * (rank / count);
}

static double rank_inside(const ClassicBucket *b, double start, double v, double rank) {
    if (start == -INFINITY) return b->count;
    return rank + (b->count - rank) * (v - start) / (b->upper - start);
}

double classic_fraction(double lower, double upper, ClassicBucket *buckets, size_t n) {
    double count, rank = 0, lower_rank = 0, upper_rank = 0;
    bool lower_set = false, upper_set = false;

    if (buckets[n - 1].upper != INFINITY) return NAN;
    n = merge_equal_bounds(buckets, n);
    count = buckets[n - 1].count;
    if (count == 0 || isnan(lower) || isnan(upper)) return NAN;
    if (lower >= upper) return 0;
    for (size_t i = 0; i < n; i++) {
        const ClassicBucket *b = &buckets[i];
        double start = i > 0 ? buckets[i - 1].upper : b->upper <= 0 ? -INFINITY : 0;

        if (!lower_set && start >= lower) {
            lower_rank = rank;
            lower_set = true;
        }
        if (!upper_set && start >= upper) {
            upper_rank = rank;
            upper_set = true;
        }
        if (lower_set && upper_set) break;
        if (!lower_set && start < lower && b->upper > lower) {
            lower_rank = rank_inside(b, start, lower, rank);
            lower_set = true;
        }
        if (!upper_set && start < upper && b->upper > upper) {
            upper_rank = rank_inside(b, start, upper, rank);
            upper_set = true;
        }
        if (lower_set && upper_set) break;
        rank = b->count;
    }
    if (!lower_set || lower_rank > count) lower_rank = count;
    if (!upper_set || upper_rank > count) upper_rank = count;
    return (upper_rank - lower_rank) / count;
}
