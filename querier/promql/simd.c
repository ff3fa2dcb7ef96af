/*
 * simd.c: each loop is written once, on vectors of four doubles, and compiled twice: for any CPU
 * that we run on, where a vector is two registers, and for AVX2. Without fused multiply-add, which
 * would round differently.
 */
#include "querier/promql/simd.h"

#include <math.h>
#include <string.h>

#include "common/batch/histogram.h"
#include "querier/promql/kahan.h"

typedef double V4 __attribute__((vector_size(32), aligned(8)));
typedef int64_t M4 __attribute__((vector_size(32), aligned(8)));

enum { LANES = 4, BLOCK = 64 };

#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const V4 *)(p))
#define STORE(p, v) (*(V4 *)(p) = (v))
#define ANY(m) (((m)[0] | (m)[1] | (m)[2] | (m)[3]) != 0)

INLINE bool is_rising(const double *v, size_t count) {
    size_t i = 1;

    for (; i + BLOCK <= count; i += BLOCK) {
        M4 falls = {0};

        for (size_t k = 0; k < BLOCK; k += LANES)
            falls |= ~(M4)(LOAD(v + i + k) >= LOAD(v + i + k - 1));
        if (ANY(falls)) return false;
    }
    for (; i < count; i++)
        if (!(v[i] >= v[i - 1])) return false;
    return count == 0 || !isnan(v[0]);
}

INLINE bool has_stale(const double *v, size_t count) {
    const int64_t *bits = (const int64_t *)v;
    const int64_t stale = (int64_t)STALE_NAN_BITS;
    const M4 stales = {stale, stale, stale, stale};
    size_t i = 0;
    M4 any = {0};

    for (; i + LANES <= count; i += LANES) any |= *(const M4 *)(bits + i) == stales;
    if (ANY(any)) return true;
    for (; i < count; i++)
        if (value_is_stale(v[i])) return true;
    return false;
}

INLINE bool is_below(const double *v, size_t count, double limit) {
    size_t i = 0;
    M4 all = {-1, -1, -1, -1};

    for (; i + LANES <= count; i += LANES) {
        V4 x = LOAD(v + i);

        all &= (x < limit) & (x > -limit);
    }
    if ((all[0] & all[1] & all[2] & all[3]) == 0) return false;
    for (; i < count; i++)
        if (!(fabs(v[i]) < limit)) return false;
    return true;
}

INLINE void rate(const double *first, const double *last, const double *factor, const double *gap,
                 double *out, size_t count, uint64_t *flags) {
    for (size_t block = 0; block * BLOCK < count; block++) {
        size_t i = block * BLOCK, end = MIN(i + BLOCK, count);
        bool flagged = false;
        M4 below = {0};

        for (; i + LANES <= end; i += LANES) {
            V4 from = LOAD(first + i), increase = LOAD(last + i) - from;

            below |= from < increase * LOAD(gap + i);
            STORE(out + i, increase * LOAD(factor + i));
        }
        for (; i < end; i++) {
            double increase = last[i] - first[i];

            flagged |= first[i] < increase * gap[i];
            out[i] = increase * factor[i];
        }
        if (flagged || ANY(below)) flags[block / 64] |= UINT64_C(1) << (block % 64);
    }
}

/* The error of each addition, exactly, without a branch. An infinite sum has none. */
INLINE void add4(V4 *sum, V4 *comp, const V4 *v) {
    const double most = 0x1.fffffffffffffp1023;
    V4 t = *sum + *v, part = t - *sum;
    V4 next = *comp + ((*sum - (t - part)) + (*v - part));
    M4 infinite = (t > most) | (t < -most);

    *comp = (V4)((M4)next & ~infinite);
    *sum = t;
}

INLINE void sum4(const double *const v[4], size_t count, double *sums, double *comps) {
    V4 sum = {0}, comp = {0};

    for (size_t i = 0; i < count; i++) {
        V4 x = {v[0][i], v[1][i], v[2][i], v[3][i]};

        add4(&sum, &comp, &x);
    }
    STORE(sums, sum);
    STORE(comps, comp);
}

INLINE void add(double *sum, double *comp, const double *v, size_t count) {
    size_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        V4 a = LOAD(sum + i), c = LOAD(comp + i), b = LOAD(v + i);

        add4(&a, &c, &b);
        STORE(comp + i, c);
        STORE(sum + i, a);
    }
    for (; i < count; i++) kahan_add(v[i], &sum[i], &comp[i]);
}

#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))

WIDE static bool is_rising_wide(const double *v, size_t count) {
    return is_rising(v, count);
}
WIDE static bool has_stale_wide(const double *v, size_t count) {
    return has_stale(v, count);
}
WIDE static bool is_below_wide(const double *v, size_t count, double limit) {
    return is_below(v, count, limit);
}
WIDE static void rate_wide(const double *first, const double *last, const double *factor,
                           const double *gap, double *out, size_t count, uint64_t *flags) {
    rate(first, last, factor, gap, out, count, flags);
}
WIDE static void add_wide(double *sum, double *comp, const double *v, size_t count) {
    add(sum, comp, v, count);
}
WIDE static void sum4_wide(const double *const v[4], size_t count, double *sums, double *comps) {
    sum4(v, count, sums, comps);
}

#define IF_WIDE(call)                                                                              \
    if (__builtin_cpu_supports("avx2")) return call
#else
#define IF_WIDE(call)
#endif

bool simd_is_rising(const double *v, size_t count) {
    IF_WIDE(is_rising_wide(v, count));
    return is_rising(v, count);
}

bool simd_has_stale(const double *v, size_t count) {
    IF_WIDE(has_stale_wide(v, count));
    return has_stale(v, count);
}

bool simd_is_below(const double *v, size_t count, double limit) {
    IF_WIDE(is_below_wide(v, count, limit));
    return is_below(v, count, limit);
}

void simd_rate(const double *first, const double *last, const double *factor, const double *gap,
               double *out, size_t count, uint64_t *flags) {
    IF_WIDE(rate_wide(first, last, factor, gap, out, count, flags));
    rate(first, last, factor, gap, out, count, flags);
}

void simd_add(double *sum, double *comp, const double *v, size_t count) {
    IF_WIDE(add_wide(sum, comp, v, count));
    add(sum, comp, v, count);
}

void simd_sum4(const double *const v[4], size_t count, double sum[4], double comp[4]) {
    IF_WIDE(sum4_wide(v, count, sum, comp));
    sum4(v, count, sum, comp);
}
