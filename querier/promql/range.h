#pragma once
/*
 * range.h: functions of a range vector. The samples of a series and, for each step, its window of
 * them come in; a column goes out. Windows depend on the samples' times only and are shared by all
 * series with the same instants, as is what rate() needs to know of them.
 */
#include "querier/promql/select.h"

/* Windows of one set of instants. */
typedef struct Windows {
    uint64_t times_id;
    uint32_t *first; /* per step: the window is [first, end) */
    uint32_t *end;
    uint64_t *any; /* steps with a sample, and with two or more */
    uint64_t *two;
    bool all_any, all_two;
    /* For rate(), increase() and delta(), in seconds; made when first asked for. */
    bool has_rate;
    double *sampled;   /* from first to last sample */
    double *start_gap; /* to extrapolate over, before and after */
    double *end_gap;
    double *factor; /* for the increase, when the start gap is taken whole */
    double *gap;    /* a counter whose first value is less than this part of its increase started
                     * in the start gap */
    /* Runs of steps with two samples whose windows move by one sample each: run r is
     * [runs[2 * r], runs[2 * r + 1]). None: too many of them to be worth it. */
    uint32_t *runs;
    uint32_t run_count;
} Windows;

typedef struct RangeCall RangeCall;
typedef struct RangeInput RangeInput;
typedef ErrCode (*RangeKernel)(const RangeInput *in, Column *out, Error *err);

/* A call of such a function: the same for all series. */
struct RangeCall {
    Eval *eval;
    const Node *node; /* the call */
    const Node *arg;  /* the matrix selector or subquery */
    PromqlFunctionId id;
    RangeKernel kernel;
    Grid grid;
    StepTimes steps; /* ends of the ranges */
    int64_t range_ms;
    bool anchored, smoothed;
    const double *args[2]; /* scalar arguments, per step */
    const SeriesSet *set;  /* a selector's series, or NULL: */
    Stream inner;          /* a subquery's */
    const int64_t *inner_times;
    uint64_t inner_times_id;
    uint32_t slot;
};

struct RangeInput {
    const RangeCall *call;
    Worker *worker;
    RangeSamples samples;
    Windows *windows;      /* of the floats */
    Windows *hist_windows; /* NULL: the series has no histograms */
    LabelSet labels;
};

static inline double range_seconds(const RangeCall *call) {
    return (double)call->range_ms / 1000;
}
static inline bool has_hists(const RangeInput *in, uint32_t step) {
    return in->hist_windows != NULL && in->hist_windows->first[step] < in->hist_windows->end[step];
}
static inline uint32_t float_count(const RangeInput *in, uint32_t step) {
    return in->windows->end[step] - in->windows->first[step];
}
static inline uint32_t hist_count(const RangeInput *in, uint32_t step) {
    return in->hist_windows == NULL ? 0
                                    : in->hist_windows->end[step] - in->hist_windows->first[step];
}
static inline void put_float(Column *out, uint32_t step, double v) {
    out->values[step] = v;
    bits_set(out->present, step);
}

/* Annotations at the first argument, as Prometheus places them. */
void range_annotate_name(const RangeInput *in, AnnotationKind kind);
void range_annotate_operation(const RangeInput *in, AnnotationKind kind, const char *operation);

/* Interpolated between sorted values, as quantile() does. */
double quantile_of_sorted(double q, const double *values, size_t count);

/* The kernel of a function. NULL: it takes no range vector. */
RangeKernel range_kernel(PromqlFunctionId id);

ErrCode kernel_rate(const RangeInput *in, Column *out, Error *err);  /* rate, increase, delta */
ErrCode kernel_irate(const RangeInput *in, Column *out, Error *err); /* irate, idelta */
ErrCode kernel_changes(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_resets(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_extreme(const RangeInput *in, Column *out, Error *err);  /* min, max, ts_of_* */
ErrCode kernel_variance(const RangeInput *in, Column *out, Error *err); /* stddev, stdvar */
ErrCode kernel_count(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_edge(const RangeInput *in, Column *out, Error *err); /* first, last, ts_of_* */
ErrCode kernel_sum(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_avg(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_quantile(const RangeInput *in, Column *out, Error *err); /* quantile, mad */
ErrCode kernel_trend(const RangeInput *in, Column *out, Error *err);    /* deriv, predict_linear */
ErrCode kernel_smoothing(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_integral(const RangeInput *in, Column *out, Error *err);

/* Anchored and smoothed rate(), increase() and delta(). */
ErrCode kernel_extended(const RangeInput *in, Column *out, Error *err);
/* For series with histograms; the float part is done. */
ErrCode kernel_hist_rate(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_hist_irate(const RangeInput *in, Column *out, Error *err);
ErrCode kernel_hist_sum(const RangeInput *in, Column *out, bool average, Error *err);
