#pragma once
/*
 * classic.h: quantiles and fractions of classic histograms, whose buckets are series with an `le`
 * label and cumulative counts.
 */
#include "common/base/base.h"

typedef struct ClassicBucket {
    double upper;
    double count;
} ClassicBucket;

/* Where counts that fell from a bucket to the next were evened out, for the user to know. */
typedef struct ClassicFix {
    bool forced;
    double min_bucket;
    double max_bucket;
    double max_diff;
} ClassicFix;

/* Buckets by ascending bound; both change the array (bounds that are there twice are merged,
 * falling counts raised). n > 0. */
double classic_quantile(double q, ClassicBucket *buckets, size_t n, ClassicFix *ret_fix);
double classic_fraction(double lower, double upper, ClassicBucket *buckets, size_t n);
void classic_sort(ClassicBucket *buckets, size_t n);
