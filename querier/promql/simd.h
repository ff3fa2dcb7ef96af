#pragma once
/*
 * simd.h: the few loops over columns that are worth vector instructions, AVX2 where there is one.
 * Results are bit for bit those of the plain loops.
 */
#include "common/base/base.h"

/* No value is less than the one before it, and none is NaN: a counter without resets, and without
 * stale markers. */
bool simd_is_rising(const double *v, size_t count);
bool simd_has_stale(const double *v, size_t count);
/* Whether all values are between -limit and limit; NaN is not. */
bool simd_is_below(const double *v, size_t count, double limit);
/* out[i] = (last[i] - first[i]) * factor[i], for blocks in which first < (last - first) * gap never
 * holds; bit b of flags[i / 64] says that block b of 64 is left out. */
void simd_rate(const double *first, const double *last, const double *factor, const double *gap,
               double *out, size_t count, uint64_t *flags);
/* sum[i] + comp[i] += v[i], as kahan_add() does. */
void simd_add(double *sum, double *comp, const double *v, size_t count);
/* The compensated sums of four arrays of the same length, as kahan_add() makes them. */
void simd_sum4(const double *const v[4], size_t count, double sum[4], double comp[4]);
