#pragma once
/*
 * hist_sum.h: a histogram that others are added to, in place, optionally with a compensation term
 * for each number (Neumaier's variant of Kahan summation), so that sums over many series keep
 * their last digits.
 */
#include "querier/promql/hist.h"

typedef struct HistSide {
    int32_t *index;
    double *count;
    double *comp;
    uint32_t n;
    uint32_t capacity;
} HistSide;

typedef struct HistSum {
    Arena *arena;
    int32_t schema;
    uint8_t hint;
    bool compensated;
    double zero_threshold;
    double zero_count, zero_comp;
    double count, count_comp;
    double sum, sum_comp;
    HistSide side[2]; /* positive, negative */
    const double *bounds;
    uint32_t bound_count;
} HistSum;

/* What happened in an addition that the user should hear of. */
typedef struct HistSumInfo {
    bool incompatible;      /* exponential and custom buckets: nothing was added */
    bool reset_collision;   /* one says "reset", the other "no reset" */
    bool bounds_reconciled; /* custom bounds differed: only the common ones are left */
    bool out_of_memory;
} HistSumInfo;

/* Starts as a copy of `h`. */
MUST_USE bool hist_sum_init(HistSum *sum, Arena *arena, const Hist *h, bool compensated);
MUST_USE bool hist_sum_copy(HistSum *to, const HistSum *from, Arena *arena);
/* sum += sign * h. The result of `info` is added to what is set there. False: incompatible or out
 * of memory; the sum is then of no use. */
MUST_USE bool hist_sum_add(HistSum *sum, const Hist *h, int sign, HistSumInfo *info);
/* Adds a sum made elsewhere, its compensation included. */
MUST_USE bool hist_sum_merge(HistSum *sum, const HistSum *other, HistSumInfo *info);
void hist_sum_multiply(HistSum *sum, double factor);
void hist_sum_divide(HistSum *sum, double divisor);
bool hist_sum_is_infinite(const HistSum *sum);      /* some number overflowed */
void hist_sum_reduce(HistSum *sum, int32_t schema); /* to a lower schema */

/* The result, with the compensation added; takes the sum's arrays. `compact` leaves out empty
 * buckets. NULL: out of budget. */
const Hist *hist_sum_finish(HistSum *sum, bool compact);

/* a + sign * b, compacted. NULL: see *info. */
const Hist *hist_add(Arena *arena, const Hist *a, const Hist *b, int sign, HistSumInfo *info);
const Hist *hist_multiply(Arena *arena, const Hist *h, double factor, bool compact);
const Hist *hist_divide(Arena *arena, const Hist *h, double divisor, bool compact);
