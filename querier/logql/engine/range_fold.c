/*
 * range_fold.c: what samples of a window come to, one by one or all at once. The order of
 * operations is Loki's, so that results are.
 */
#include <math.h>
#include <stdlib.h>

#include "querier/logql/engine/range.h"

static bool mean_stays(double mean, double value) {
    return isinf(mean) && ((isinf(value) && (mean > 0) == (value > 0)) || isfinite(value));
}

void range_fold_add(LogqlRangeOp op, RangeFold *fold, int64_t time_ns, double value) {
    double delta;

    if (op == LOGQL_FIRST_OVER_TIME || op == LOGQL_LAST_OVER_TIME) {
        bool better = op == LOGQL_FIRST_OVER_TIME ? time_ns < fold->n : time_ns >= fold->n;

        if (fold->b != 0 && !better) return;
        *fold = (RangeFold){value, 1, time_ns};
        return;
    }
    fold->n++;
    switch (op) {
    case LOGQL_AVG_OVER_TIME:
        if (!mean_stays(fold->a, value))
            fold->a += value / (double)fold->n - fold->a / (double)fold->n;
        return;
    case LOGQL_MIN_OVER_TIME:
        if (fold->n == 1 || value < fold->a || isnan(fold->a)) fold->a = value;
        return;
    case LOGQL_MAX_OVER_TIME:
        if (fold->n == 1 || value > fold->a || isnan(fold->a)) fold->a = value;
        return;
    case LOGQL_STDVAR_OVER_TIME:
    case LOGQL_STDDEV_OVER_TIME:
        delta = value - fold->a;
        fold->a += delta / (double)fold->n;
        fold->b += delta * (value - fold->a);
        return;
    default:
        fold->a += value; /* sum, rate */
        return;
    }
}

void range_fold_merge(LogqlRangeOp op, RangeFold *into, const RangeFold *other) {
    double n = (double)into->n, m = (double)other->n, delta = other->a - into->a;

    if (!range_fold_has(op, other)) return;
    if (!range_fold_has(op, into)) {
        *into = *other;
        return;
    }
    switch (op) {
    case LOGQL_FIRST_OVER_TIME:
        if (other->n < into->n) *into = *other;
        return;
    case LOGQL_LAST_OVER_TIME:
        if (other->n > into->n) *into = *other;
        return;
    case LOGQL_AVG_OVER_TIME:
        if (!mean_stays(into->a, other->a))
            into->a = into->a * (n / (n + m)) + other->a * (m / (n + m));
        break;
    case LOGQL_MIN_OVER_TIME:
        if (other->a < into->a || isnan(into->a)) into->a = other->a;
        break;
    case LOGQL_MAX_OVER_TIME:
        if (other->a > into->a || isnan(into->a)) into->a = other->a;
        break;
    case LOGQL_STDVAR_OVER_TIME:
    case LOGQL_STDDEV_OVER_TIME:
        into->a += delta * (m / (n + m));
        into->b += other->b + delta * delta * (n * m / (n + m));
        break;
    default:
        into->a += other->a;
        break;
    }
    into->n += other->n;
}

bool range_fold_has(LogqlRangeOp op, const RangeFold *fold) {
    return op == LOGQL_FIRST_OVER_TIME || op == LOGQL_LAST_OVER_TIME ? fold->b != 0 : fold->n > 0;
}

double range_fold_value(const RangePlan *plan, const RangeFold *fold) {
    switch (plan->op) {
    case LOGQL_RATE:
        return fold->a / plan->seconds;
    case LOGQL_STDVAR_OVER_TIME:
        return fold->b / (double)fold->n;
    case LOGQL_STDDEV_OVER_TIME:
        return sqrt(fold->b / (double)fold->n);
    default:
        return fold->a;
    }
}

/* ---- whole windows ---- */

/* Values that are no number come first. */
static int compare_values(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    if (isnan(x) || isnan(y)) return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

static double quantile_of(double q, const RangeSample *samples, size_t count, double *scratch) {
    double rank, lower, upper, weight;

    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    for (size_t i = 0; i < count; i++) scratch[i] = samples[i].value;
    qsort(scratch, count, sizeof *scratch, compare_values);
    rank = q * (double)(count - 1);
    if (isnan(rank)) return NAN;
    lower = floor(rank);
    upper = fmin((double)(count - 1), lower + 1);
    weight = rank - lower;
    return scratch[(size_t)lower] * (1 - weight) + scratch[(size_t)upper] * weight;
}

/* What a counter rose, resets taken into account, as if it had gone on to the window's ends where
 * its samples come close to them. */
static double counter_rate(const RangePlan *plan, const RangeSample *samples, size_t count,
                           int64_t end_ns) {
    const RangeSample *first = &samples[0], *last = &samples[count - 1];
    double rise, before = 0, to_start, to_end, sampled, between;

    if (count < 2) return 0;
    rise = last->value - first->value;
    for (size_t i = 0; i < count; i++) {
        if (samples[i].value < before) rise += before;
        before = samples[i].value;
    }
    to_start = (double)(first->time_ns - (end_ns - plan->grid.range_ns)) / 1e9;
    to_end = (double)(end_ns - last->time_ns) / 1e9;
    sampled = (double)(last->time_ns - first->time_ns) / 1e9;
    between = sampled / (double)(count - 1);
    if (to_start >= between * 1.1) to_start = between / 2;
    /* A counter is not below 0 before it began. */
    if (rise > 0 && first->value >= 0) {
        double to_zero = sampled * (first->value / rise);

        if (to_zero < to_start) to_start = to_zero;
    }
    if (to_end >= between * 1.1) to_end = between / 2;
    return rise * ((sampled + to_start + to_end) / sampled) / plan->seconds;
}

double range_window_value(const RangePlan *plan, const RangeSample *samples, size_t count,
                          int64_t end_ns, double *scratch) {
    RangeFold fold = {0};

    if (plan->op == LOGQL_QUANTILE_OVER_TIME)
        return quantile_of(plan->quantile, samples, count, scratch);
    if (plan->op == LOGQL_RATE_COUNTER) return counter_rate(plan, samples, count, end_ns);
    for (size_t i = 0; i < count; i++)
        range_fold_add(plan->op, &fold, samples[i].time_ns, samples[i].value);
    return range_fold_value(plan, &fold);
}
