#pragma once
/*
 * interpolate.h: values between two samples, for smoothed selectors.
 */
#include "querier/promql/eval.h"

/* On the line between the two; a counter that fell is taken to have started again from 0. */
static inline double interpolate(double v1, int64_t t1, double v2, int64_t t2, int64_t t,
                                 bool counter) {
    if (counter && v2 < v1) v1 = 0;
    return v1 + (v2 - v1) * (double)(t - t1) / (double)(t2 - t1);
}

/* For annotations. */
typedef struct Interpolation {
    Worker *worker;
    uint32_t node;
    Str name;
    bool counter;
} Interpolation;

/* The same for histograms, in the worker's `hists` arena. *out is NULL, and the user told why, when
 * the two do not go together. */
MUST_USE ErrCode interpolate_hists(const Interpolation *at, const Hist *h1, int64_t t1,
                                   const Hist *h2, int64_t t2, int64_t t, const Hist **out,
                                   Error *err);
