#pragma once
/*
 * kahan.h: compensated summation, Neumaier's variant: sum + comp is what an exact sum would be,
 * nearly. The order and the treatment of infinities are Prometheus', so that results agree to the
 * last bit where the order of samples does.
 */
#include "common/base/base.h"

static inline void kahan_add(double inc, double *sum, double *comp) {
    double t = *sum + inc;

    if (__builtin_expect(__builtin_isinf(t), 0))
        *comp = 0;
    else if (__builtin_fabs(*sum) >= __builtin_fabs(inc))
        *comp += (*sum - t) + inc;
    else
        *comp += (inc - t) + *sum;
    *sum = t;
}
