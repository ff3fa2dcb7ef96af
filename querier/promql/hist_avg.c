#include "querier/promql/hist_avg.h"

#include <math.h>

/* Sums of numbers below this stay finite for more additions than there will ever be. */
static const double SAFE_MAX = 1e280;

bool hist_avg_init(HistAvg *avg, Arena *arena, const Hist *h) {
    avg->count = 1;
    avg->running = false;
    return hist_sum_init(&avg->sum, arena, h, true);
}

static bool all_below(const double *numbers, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (fabs(numbers[i]) > SAFE_MAX) return false;
    return true;
}

static bool sum_is_safe(const HistSum *sum) {
    double numbers[] = {sum->zero_count, sum->count, sum->sum};

    return all_below(numbers, 3) && all_below(sum->side[0].count, sum->side[0].n) &&
           all_below(sum->side[1].count, sum->side[1].n);
}

static bool hist_is_safe(const Hist *h) {
    double numbers[] = {h->zero_count, h->count, h->sum};

    return all_below(numbers, 3) && all_below(h->positive.count, h->positive.n) &&
           all_below(h->negative.count, h->negative.n);
}

static void start_running(HistAvg *avg) {
    if (avg->running) return;
    hist_sum_divide(&avg->sum, avg->count);
    avg->running = true;
}

static bool add_running(HistAvg *avg, const Hist *h, HistSumInfo *info) {
    const Hist *share = hist_divide(avg->sum.arena, h, avg->count + 1, false);

    if (share == NULL) {
        info->out_of_memory = true;
        return false;
    }
    avg->count++;
    hist_sum_multiply(&avg->sum, (avg->count - 1) / avg->count);
    return hist_sum_add(&avg->sum, share, 1, info);
}

bool hist_avg_add(HistAvg *avg, const Hist *h, HistSumInfo *info) {
    HistSum before;

    if (avg->running) return add_running(avg, h, info);
    if (sum_is_safe(&avg->sum) && hist_is_safe(h)) {
        avg->count++;
        return hist_sum_add(&avg->sum, h, 1, info);
    }
    if (!hist_sum_copy(&before, &avg->sum, avg->sum.arena)) {
        info->out_of_memory = true;
        return false;
    }
    if (!hist_sum_add(&avg->sum, h, 1, info)) return false;
    if (!hist_sum_is_infinite(&avg->sum)) {
        avg->count++;
        return true;
    }
    avg->sum = before;
    start_running(avg);
    return add_running(avg, h, info);
}

bool hist_avg_merge(HistAvg *avg, HistAvg *other, HistSumInfo *info) {
    double count = avg->count + other->count;

    if (avg->running || other->running || !sum_is_safe(&avg->sum) || !sum_is_safe(&other->sum)) {
        start_running(avg);
        start_running(other);
        hist_sum_multiply(&avg->sum, avg->count / count);
        hist_sum_multiply(&other->sum, other->count / count);
    }
    avg->count = count;
    return hist_sum_merge(&avg->sum, &other->sum, info);
}

const Hist *hist_avg_finish(HistAvg *avg, bool compact) {
    if (!avg->running) hist_sum_divide(&avg->sum, avg->count);
    return hist_sum_finish(&avg->sum, compact);
}
