/*
 * kernels_extended.c: rate(), increase() and delta() of anchored and smoothed ranges: no
 * extrapolation; the values at the range's ends are taken from the samples around them.
 */
#include "querier/promql/hist_sum.h"
#include "querier/promql/interpolate.h"
#include "querier/promql/range.h"

/* A window and the range in it. */
typedef struct Extended {
    const RangeInput *in;
    int64_t start, end; /* of the range */
    const int64_t *times;
    uint32_t first, last; /* of the samples that count, both inclusive */
    bool counter, smoothed;
} Extended;

/* Picks first and last; false: nothing lies in the range. */
static bool pick_ends(Extended *e, uint32_t count) {
    uint32_t last = count - 1, i = 0;

    while (i < last && e->times[i] <= e->start) i++;
    e->first = i > 0 ? i - 1 : 0;
    if (e->smoothed) {
        i = 0;
        while (i < last && e->times[i] < e->end) i++;
        last = i;
    }
    e->last = last;
    if (e->times[last] <= e->start) return false;
    return !e->smoothed || e->times[e->first] <= e->end;
}

static double left_value(const Extended *e, const double *v) {
    if (!e->smoothed || e->times[e->first] >= e->start) return v[e->first];
    return interpolate(v[e->first], e->times[e->first], v[e->first + 1], e->times[e->first + 1],
                       e->start, e->counter);
}

static double right_value(const Extended *e, const double *v) {
    if (!e->smoothed || e->last == 0 || e->times[e->last] <= e->end) return v[e->last];
    return interpolate(v[e->last - 1], e->times[e->last - 1], v[e->last], e->times[e->last], e->end,
                       e->counter);
}

static void extended_floats(Extended *e, uint32_t s, Column *out) {
    const RangeInput *in = e->in;
    const double *v = in->samples.values + in->windows->first[s];
    double left, right, result, previous;
    uint32_t i, end;

    e->times = in->samples.times + in->windows->first[s];
    if (!pick_ends(e, float_count(in, s))) return;
    left = left_value(e, v);
    right = right_value(e, v);
    result = right - left;
    if (e->counter) {
        i = e->first + (e->times[e->first] <= e->start);
        end = e->last + (e->times[e->last] < e->end);
        previous = left;
        for (; i < end; i++) {
            if (v[i] < previous) result += previous;
            previous = v[i];
        }
        if (right < previous) result += previous;
    }
    if (in->call->id == PROMQL_FN_RATE) result /= range_seconds(in->call);
    put_float(out, s, result);
}

/* ---- histograms ---- */

static ErrCode end_hist(const Extended *e, const Hist *h, bool left, const Hist **out, Error *err) {
    const RangeInput *in = e->in;
    uint32_t i = left ? e->first : e->last;
    bool between = e->smoothed && (left ? e->times[i] < e->start : i > 0 && e->times[i] > e->end);
    uint32_t before = left ? i : i - 1;
    Interpolation at = {.worker = in->worker,
                        .node = in->call->node->args[0]->id,
                        .name = metric_name(in->worker->eval, in->labels),
                        .counter = e->counter};

    if (!between) {
        *out = &h[i];
        return ERR_OK;
    }
    return interpolate_hists(&at, &h[before], e->times[before], &h[before + 1],
                             e->times[before + 1], left ? e->start : e->end, out, err);
}

/* No mix of exponential and custom buckets; a gauge among counters is told. */
static bool check_window(const Extended *e, const Hist *h) {
    for (uint32_t i = e->first; i <= e->last; i++) {
        if (hist_is_custom(&h[i]) != hist_is_custom(&h[e->first])) {
            range_annotate_name(e->in, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM);
            return false;
        }
        if (e->counter && h[i].hint == HISTOGRAM_HINT_GAUGE)
            range_annotate_name(e->in, ANNOTATION_NOT_COUNTER);
    }
    return true;
}

/* What was lost in resets between the ends. */
static bool add_resets(const Extended *e, const Hist *h, const Hist *left, const Hist *right,
                       HistSum *sum, HistSumInfo *info) {
    uint32_t i = e->first + 1;
    const Hist *previous = left;

    /* A reset that the left end was interpolated over is in it already. */
    if (e->smoothed && e->times[e->first] < e->start &&
        hist_detect_reset(&h[e->first + 1], &h[e->first])) {
        previous = &h[e->first + 1];
        i++;
    }
    /* The last sample is `right`, or `right` carries its hint: it is compared once. */
    if (i > e->last) return true;
    for (; i < e->last; i++) {
        if (hist_detect_reset(&h[i], previous) && !hist_sum_add(sum, previous, 1, info))
            return false;
        previous = &h[i];
    }
    return !hist_detect_reset(right, previous) || hist_sum_add(sum, previous, 1, info);
}

static ErrCode tell(const Extended *e, const HistSumInfo *info, const char *operation, Error *err) {
    if (info->out_of_memory) return eval_out_of_memory(err);
    if (info->incompatible) range_annotate_name(e->in, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM);
    if (info->bounds_reconciled)
        range_annotate_operation(e->in, ANNOTATION_BOUNDS_RECONCILED, operation);
    return ERR_OK;
}

static ErrCode extended_hists(Extended *e, uint32_t s, Column *out, Error *err) {
    const RangeInput *in = e->in;
    const Hist *h = in->samples.hists + in->hist_windows->first[s], *left, *right, *result;
    HistSumInfo sub = {0}, add = {0};
    HistSum sum;
    bool ok;

    e->times = in->samples.hist_times + in->hist_windows->first[s];
    if (!pick_ends(e, hist_count(in, s)) || !check_window(e, h)) return ERR_OK;
    TRY(end_hist(e, h, true, &left, err));
    if (left == NULL) return ERR_OK;
    TRY(end_hist(e, h, false, &right, err));
    if (right == NULL) return ERR_OK;
    if (!e->counter && (left->hint != HISTOGRAM_HINT_GAUGE || right->hint != HISTOGRAM_HINT_GAUGE))
        range_annotate_name(in, ANNOTATION_NOT_GAUGE);
    if (!hist_sum_init(&sum, in->worker->hists, right, false)) return eval_out_of_memory(err);
    ok = hist_sum_add(&sum, left, -1, &sub) &&
         (!e->counter || add_resets(e, h, left, right, &sum, &add));
    TRY(tell(e, &sub, "subtraction", err));
    TRY(tell(e, &add, "addition", err));
    if (!ok) return ERR_OK;
    if (in->call->id == PROMQL_FN_RATE) hist_sum_divide(&sum, range_seconds(in->call));
    sum.hint = HISTOGRAM_HINT_GAUGE;
    result = hist_sum_finish(&sum, true);
    if (result == NULL) return eval_out_of_memory(err);
    if (out->hists == NULL) TRY(column_add_hists(in->worker->series, &in->call->grid, out, err));
    out->hists[s] = result;
    return ERR_OK;
}

ErrCode kernel_extended(const RangeInput *in, Column *out, Error *err) {
    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        int64_t until = step_time(&in->call->steps, s);
        Extended e = {.in = in,
                      .start = until - in->call->range_ms,
                      .end = until,
                      .counter = in->call->id != PROMQL_FN_DELTA,
                      .smoothed = in->call->smoothed};
        bool floats = float_count(in, s) > 0;

        if (floats && has_hists(in, s))
            range_annotate_name(in, ANNOTATION_MIXED_FLOATS_HISTOGRAMS);
        else if (floats)
            extended_floats(&e, s, out);
        else if (has_hists(in, s))
            TRY(extended_hists(&e, s, out, err));
        TRY(worker_check(in->worker, float_count(in, s) + hist_count(in, s), err));
    }
    return ERR_OK;
}
