/*
 * kernels_hist.c: range functions of native histograms.
 *
 * Whether a histogram was reset since the one before it is found once for each pair of neighbours
 * and used by every window that holds both.
 */
#include "querier/promql/hist_avg.h"
#include "querier/promql/range.h"

static ErrCode put_hist(const RangeInput *in, Column *out, uint32_t step, const Hist *h,
                        Error *err) {
    if (h == NULL) return eval_out_of_memory(err);
    if (out->hists == NULL) TRY(column_add_hists(in->worker->series, &in->call->grid, out, err));
    out->hists[step] = h;
    return ERR_OK;
}

/* resets[i]: hists[i] follows a reset. */
static ErrCode find_resets(const RangeInput *in, bool **out, Error *err) {
    size_t count = in->samples.hist_count;
    bool *resets = arena_alloc(in->worker->series, MAX(count, 1));

    if (resets == NULL) return eval_out_of_memory(err);
    resets[0] = false;
    for (size_t i = 1; i < count; i++)
        resets[i] = hist_detect_reset(&in->samples.hists[i], &in->samples.hists[i - 1]);
    *out = resets;
    return worker_check(in->worker, (uint32_t)MIN(count * 16, 1 << 20), err);
}

/* One window's rate in the making. */
typedef struct HistRate {
    const RangeInput *in;
    const Hist *h; /* the window */
    const bool *resets;
    uint32_t count;
    bool counter;
    bool mixed;       /* exponential and custom buckets: no result */
    bool not_counter; /* a gauge among them */
    bool sub_reconciled, add_reconciled;
} HistRate;

/* The lowest schema among those that count. False: mixed. */
static bool scan_window(HistRate *rate, const Hist *first, int32_t *ret_schema) {
    const Hist *last = &rate->h[rate->count - 1];
    bool custom = hist_is_custom(first);
    int32_t schema = MIN(last->schema, first->schema);

    if (hist_is_custom(last) != custom) return false;
    if (rate->counter) {
        for (uint32_t i = 1; i + 1 < rate->count; i++) {
            const Hist *h = &rate->h[i];

            if (h->hint == HISTOGRAM_HINT_GAUGE) rate->not_counter = true;
            if (hist_is_custom(h) != custom) return false;
            schema = MIN(schema, h->schema);
        }
    }
    *ret_schema = schema;
    return true;
}

/* The increase over the window as a sum. ERR_OK with `mixed` set: none. */
static ErrCode window_increase(HistRate *rate, Arena *arena, HistSum *sum, Error *err) {
    const Hist *first = &rate->h[0], *last = &rate->h[rate->count - 1];
    bool first_is_gone = rate->counter && rate->resets[1];
    HistSumInfo sub = {0}, add = {0};
    Hist empty = {.schema = rate->h[1].schema,
                  .bounds = rate->h[1].bounds,
                  .bound_count = rate->h[1].bound_count};
    int32_t schema;
    bool ok;

    if (rate->counter &&
        (first->hint == HISTOGRAM_HINT_GAUGE || last->hint == HISTOGRAM_HINT_GAUGE))
        rate->not_counter = true;
    /* Nothing of a first sample before a reset counts, not even its layout. */
    if (!scan_window(rate, first_is_gone ? &empty : first, &schema)) {
        rate->mixed = true;
        return ERR_OK;
    }
    if (!hist_sum_init(sum, arena, last, false)) return eval_out_of_memory(err);
    hist_sum_reduce(sum, schema);
    ok = hist_sum_add(sum, first_is_gone ? &empty : first, -1, &sub);
    if (rate->counter)
        for (uint32_t i = first_is_gone ? 2 : 1; ok && i < rate->count; i++)
            if (rate->resets[i]) ok = hist_sum_add(sum, &rate->h[i - 1], 1, &add);
    if (sub.out_of_memory || add.out_of_memory) return eval_out_of_memory(err);
    rate->mixed = !ok;
    rate->sub_reconciled = sub.bounds_reconciled;
    rate->add_reconciled = add.bounds_reconciled;
    sum->hint = HISTOGRAM_HINT_GAUGE;
    return ERR_OK;
}

static void annotate_rate(const HistRate *rate) {
    const RangeInput *in = rate->in;

    if (rate->mixed) {
        range_annotate_name(in, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM);
        return;
    }
    if (rate->not_counter) range_annotate_name(in, ANNOTATION_NOT_COUNTER);
    if (!rate->counter && (rate->h[0].hint != HISTOGRAM_HINT_GAUGE ||
                           rate->h[rate->count - 1].hint != HISTOGRAM_HINT_GAUGE))
        range_annotate_name(in, ANNOTATION_NOT_GAUGE);
    if (rate->sub_reconciled)
        range_annotate_operation(in, ANNOTATION_BOUNDS_RECONCILED, "subtraction");
    if (rate->add_reconciled)
        range_annotate_operation(in, ANNOTATION_BOUNDS_RECONCILED, "addition");
}

/* Extrapolation, as for floats. */
static double hist_factor(const RangeInput *in, uint32_t s, double first, double increase,
                          bool counter) {
    const RangeCall *call = in->call;
    const int64_t *times = in->samples.hist_times;
    uint32_t begin = in->hist_windows->first[s], end = in->hist_windows->end[s];
    int64_t until = step_time(&call->steps, s);
    double sampled = (double)(times[end - 1] - times[begin]) / 1000;
    double average = sampled / (double)(end - begin - 1), threshold = average * 1.1;
    double start_gap = (double)(times[begin] - (until - call->range_ms)) / 1000;
    double end_gap = (double)(until - times[end - 1]) / 1000, factor;

    if (start_gap >= threshold) start_gap = average / 2;
    if (end_gap >= threshold) end_gap = average / 2;
    if (counter && increase > 0 && first >= 0) {
        double to_zero = sampled * (first / increase);

        if (to_zero < start_gap) start_gap = to_zero;
    }
    factor = (sampled + start_gap + end_gap) / sampled;
    return call->id == PROMQL_FN_RATE ? factor / range_seconds(call) : factor;
}

static ErrCode rate_step(const RangeInput *in, uint32_t s, const bool *resets, Column *out,
                         Error *err) {
    uint32_t begin = in->hist_windows->first[s];
    HistRate rate = {.in = in,
                     .h = in->samples.hists + begin,
                     .resets = resets + begin,
                     .count = hist_count(in, s),
                     .counter = in->call->id != PROMQL_FN_DELTA};
    const Hist *compacted;
    HistSum sum;

    if (rate.count < 2) return ERR_OK;
    TRY(window_increase(&rate, in->worker->hists, &sum, err));
    annotate_rate(&rate);
    if (rate.mixed) return ERR_OK;
    hist_sum_multiply(&sum, hist_factor(in, s, rate.h[0].count, sum.count, rate.counter));
    compacted = hist_sum_finish(&sum, true);
    return put_hist(in, out, s, compacted, err);
}

ErrCode kernel_hist_rate(const RangeInput *in, Column *out, Error *err) {
    bool *resets = NULL;

    TRY(find_resets(in, &resets, err));
    out->full = false;
    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        if (!has_hists(in, s)) continue;
        bits_clear(out->present, s);
        if (float_count(in, s) > 0) {
            range_annotate_name(in, ANNOTATION_MIXED_FLOATS_HISTOGRAMS);
            continue;
        }
        TRY(rate_step(in, s, resets, out, err));
        TRY(worker_check(in->worker, 64, err));
    }
    return ERR_OK;
}

/* ---- irate, idelta ---- */

/* The two newest samples of a window, whatever they are. */
typedef struct LastTwo {
    const Hist *h[2]; /* NULL: a float */
    double v[2];
    int64_t t[2];
} LastTwo;

static bool last_two(const RangeInput *in, uint32_t s, LastTwo *two) {
    const RangeSamples *samples = &in->samples;
    uint32_t f = in->windows->end[s], h = in->hist_windows->end[s];
    uint32_t f_first = in->windows->first[s], h_first = in->hist_windows->first[s];

    for (int i = 1; i >= 0; i--) {
        bool has_float = f > f_first, has_hist = h > h_first;

        if (!has_float && !has_hist) return false;
        if (has_float && (!has_hist || samples->times[f - 1] > samples->hist_times[h - 1])) {
            f--;
            two->h[i] = NULL;
            two->v[i] = samples->values[f];
            two->t[i] = samples->times[f];
        } else {
            h--;
            two->h[i] = &samples->hists[h];
            two->t[i] = samples->hist_times[h];
        }
    }
    return true;
}

static ErrCode instant_hist(const RangeInput *in, uint32_t s, const LastTwo *two, Column *out,
                            Error *err) {
    bool rate = in->call->id == PROMQL_FN_IRATE;
    bool gauge[2] = {two->h[0]->hint == HISTOGRAM_HINT_GAUGE,
                     two->h[1]->hint == HISTOGRAM_HINT_GAUGE};
    HistSumInfo info = {0};
    HistSum sum;

    if (rate && (gauge[0] || gauge[1])) range_annotate_name(in, ANNOTATION_NOT_COUNTER);
    if (!rate && (!gauge[0] || !gauge[1])) range_annotate_name(in, ANNOTATION_NOT_GAUGE);
    if (!hist_sum_init(&sum, in->worker->hists, two->h[1], false)) return eval_out_of_memory(err);
    if (!rate || !hist_detect_reset(two->h[1], two->h[0])) {
        if (!hist_sum_add(&sum, two->h[0], -1, &info)) {
            if (info.out_of_memory) return eval_out_of_memory(err);
            range_annotate_name(in, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM);
            return ERR_OK;
        }
        if (info.bounds_reconciled)
            range_annotate_operation(in, ANNOTATION_BOUNDS_RECONCILED, "subtraction");
    }
    sum.hint = HISTOGRAM_HINT_GAUGE;
    if (rate) hist_sum_divide(&sum, (double)(two->t[1] - two->t[0]) / 1000);
    return put_hist(in, out, s, hist_sum_finish(&sum, true), err);
}

ErrCode kernel_hist_irate(const RangeInput *in, Column *out, Error *err) {
    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        LastTwo two;

        if (!has_hists(in, s)) continue;
        /* With a histogram in the window, what was made of the floats may be of the wrong two. */
        if (!last_two(in, s, &two)) continue;
        if (two.h[0] == NULL && two.h[1] == NULL) continue;
        bits_clear(out->present, s);
        if (two.h[0] == NULL || two.h[1] == NULL)
            range_annotate_name(in, ANNOTATION_MIXED_FLOATS_HISTOGRAMS);
        else
            TRY(instant_hist(in, s, &two, out, err));
    }
    return ERR_OK;
}

/* ---- sum_over_time, avg_over_time ---- */

static ErrCode window_total(const RangeInput *in, uint32_t s, bool average, Column *out,
                            Error *err) {
    const Hist *h = in->samples.hists + in->hist_windows->first[s];
    uint32_t count = hist_count(in, s);
    bool reset = h[0].hint == HISTOGRAM_HINT_RESET, no_reset = h[0].hint == HISTOGRAM_HINT_NO_RESET;
    HistSumInfo info = {0};
    HistAvg avg;
    bool ok;

    if (!hist_avg_init(&avg, in->worker->hists, &h[0])) return eval_out_of_memory(err);
    ok = true;
    for (uint32_t i = 1; ok && i < count; i++) {
        reset |= h[i].hint == HISTOGRAM_HINT_RESET;
        no_reset |= h[i].hint == HISTOGRAM_HINT_NO_RESET;
        ok = average ? hist_avg_add(&avg, &h[i], &info) : hist_sum_add(&avg.sum, &h[i], 1, &info);
    }
    if (info.out_of_memory) return eval_out_of_memory(err);
    if (!ok) {
        range_annotate_name(in, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM);
        return ERR_OK;
    }
    if (reset && no_reset) range_annotate_operation(in, ANNOTATION_RESET_COLLISION, "aggregation");
    if (info.bounds_reconciled)
        range_annotate_operation(in, ANNOTATION_BOUNDS_RECONCILED, "aggregation");
    return put_hist(in, out, s,
                    average ? hist_avg_finish(&avg, false) : hist_sum_finish(&avg.sum, false), err);
}

ErrCode kernel_hist_sum(const RangeInput *in, Column *out, bool average, Error *err) {
    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        if (!has_hists(in, s) || float_count(in, s) > 0) continue;
        TRY(window_total(in, s, average, out, err));
        TRY(worker_check(in->worker, hist_count(in, s) * 16, err));
    }
    return ERR_OK;
}
