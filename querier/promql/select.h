#pragma once
/*
 * select.h: what selectors read: series of the source and, per series, the samples that count at
 * each step. Which samples those are depends on times only, so it is worked out once for all series
 * that share their instants.
 */
#include "querier/promql/eval.h"

/* The series of a selector node in a time range; asked of the source once per query. `newest_only`:
 * nobody will look at any but the newest sample of a series. */
MUST_USE ErrCode select_series(Eval *eval, const Node *selector, int64_t min_ms, int64_t max_ms,
                               bool newest_only, const SeriesSet **out, Error *err);

/* Reads a series without its stale markers, histograms as Hist. */
typedef struct RangeSamples {
    const int64_t *times;
    const double *values;
    size_t count;
    uint64_t times_id;
    bool rising; /* no value is less than the one before: no counter was reset */
    const int64_t *hist_times;
    const Hist *hists;
    size_t hist_count;
} RangeSamples;
/* With `stats_only` histograms have no buckets, and hints instead that say whether there was a
 * reset since the sample before, as that can't be seen without buckets. */
MUST_USE ErrCode select_read_range(const SeriesSet *set, size_t i, Worker *worker, uint32_t slot,
                                   bool stats_only, RangeSamples *out, Error *err);
/* Views of a series' histograms in the worker's series arena, without stale ones. */
MUST_USE ErrCode select_view_hists(Worker *worker, const SeriesSamples *raw, bool stats_only,
                                   RangeSamples *out, Error *err);

/* When steps happen, seen from the samples: step s is at start_ms + s * step_ms (offset taken off);
 * all steps at the same time when pinned by @. */
typedef struct StepTimes {
    int64_t start_ms;
    int64_t step_ms; /* 0: pinned */
    uint32_t steps;
} StepTimes;
StepTimes select_step_times(const Node *node, const Grid *grid);
static inline int64_t step_time(const StepTimes *times, uint32_t step) {
    return times->start_ms + (int64_t)step * times->step_ms;
}
static inline int64_t step_time_last(const StepTimes *times) {
    return step_time(times, times->steps - 1);
}

/* For each step: the samples in (time - range, time] are [first, end). */
void windows_make(const int64_t *times, size_t count, const StepTimes *steps, int64_t range_ms,
                  uint32_t *first, uint32_t *end);
/* For each step: 1 + the newest sample in (time - lookback, time], 0 if there is none. */
void latest_make(const int64_t *times, size_t count, const StepTimes *steps, int64_t lookback_ms,
                 uint32_t *latest);
