#pragma once
/*
 * hist_avg.h: the mean of histograms: a compensated sum that turns into a running mean before a
 * number would overflow.
 */
#include "querier/promql/hist_sum.h"

typedef struct HistAvg {
    HistSum sum; /* of all, or their mean when `running` */
    double count;
    bool running;
} HistAvg;

MUST_USE bool hist_avg_init(HistAvg *avg, Arena *arena, const Hist *h);
MUST_USE bool hist_avg_add(HistAvg *avg, const Hist *h, HistSumInfo *info);
MUST_USE bool hist_avg_merge(HistAvg *avg, HistAvg *other, HistSumInfo *info); /* uses up `other` */
const Hist *hist_avg_finish(HistAvg *avg, bool compact);
