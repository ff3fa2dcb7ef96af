/*
 * kernels_over_time.c: the *_over_time functions of floats.
 */
#include <stdlib.h>

#include "querier/promql/kahan.h"
#include "querier/promql/range.h"
#include "querier/promql/simd.h"

/* ---- count, present, absent ---- */

ErrCode kernel_count(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;
    bool count = in->call->id == PROMQL_FN_COUNT_OVER_TIME;

    (void)err;
    memcpy(out->present, w->any, grid_words(&in->call->grid) * sizeof(uint64_t));
    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        uint32_t n = float_count(in, s) + hist_count(in, s);

        out->values[s] = count ? (double)n : 1;
        if (n > 0) bits_set(out->present, s);
    }
    out->full = w->all_any;
    return ERR_OK;
}

/* ---- first, last and their times ---- */

ErrCode kernel_edge(const RangeInput *in, Column *out, Error *err) {
    const RangeSamples *samples = &in->samples;
    PromqlFunctionId id = in->call->id;
    bool last = id == PROMQL_FN_LAST_OVER_TIME || id == PROMQL_FN_TS_OF_LAST_OVER_TIME;
    bool time = id == PROMQL_FN_TS_OF_LAST_OVER_TIME || id == PROMQL_FN_TS_OF_FIRST_OVER_TIME;
    uint32_t copied = UINT32_MAX;
    const Hist *copy = NULL;

    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        bool floats = float_count(in, s) > 0, hists = has_hists(in, s), hist = hists;
        uint32_t f = last ? in->windows->end[s] - 1 : in->windows->first[s], h = 0;

        if (!floats && !hists) continue;
        if (hists) {
            h = last ? in->hist_windows->end[s] - 1 : in->hist_windows->first[s];
            if (floats)
                hist = last ? samples->hist_times[h] >= samples->times[f]
                            : samples->hist_times[h] <= samples->times[f];
        }
        if (time) {
            put_float(out, s, (double)(hist ? samples->hist_times[h] : samples->times[f]) / 1000);
        } else if (!hist) {
            put_float(out, s, samples->values[f]);
        } else {
            if (copied != h) copy = hist_dup(in->worker->hists, &samples->hists[h]);
            if (copy == NULL) return eval_out_of_memory(err);
            copied = h;
            if (out->hists == NULL)
                TRY(column_add_hists(in->worker->series, &in->call->grid, out, err));
            out->hists[s] = copy;
        }
    }
    out->full = in->windows->all_any && in->hist_windows == NULL;
    return ERR_OK;
}

/* Histograms beside floats are left out, and the user told. */
static void annotate_ignored(const RangeInput *in, uint32_t step) {
    if (has_hists(in, step)) range_annotate_name(in, ANNOTATION_HISTOGRAM_IGNORED_IN_RANGE);
}

/* ---- min, max and their times ---- */

/* The samples of a window that may still be the extreme one of a later window: each is better than
 * all after it. Windows only move on, so that a sample comes and goes once. */
typedef struct Candidates {
    uint32_t *at;
    uint32_t head, tail;
} Candidates;

static void add_candidate(Candidates *c, const double *v, uint32_t i, bool max) {
    if (isnan(v[i])) return;
    /* Of equal values the later one stays: ts_of_max_over_time() wants that one. */
    while (c->tail > c->head &&
           (max ? v[c->at[c->tail - 1]] <= v[i] : v[c->at[c->tail - 1]] >= v[i]))
        c->tail--;
    c->at[c->tail++] = i;
}

ErrCode kernel_extreme(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;
    const double *v = in->samples.values;
    PromqlFunctionId id = in->call->id;
    bool max = id == PROMQL_FN_MAX_OVER_TIME || id == PROMQL_FN_TS_OF_MAX_OVER_TIME;
    bool time = id == PROMQL_FN_TS_OF_MAX_OVER_TIME || id == PROMQL_FN_TS_OF_MIN_OVER_TIME;
    Candidates c = {arena_alloc(in->worker->series, MAX(in->samples.count, 1) * sizeof(uint32_t)),
                    0, 0};
    uint32_t added = 0;

    if (c.at == NULL) return eval_out_of_memory(err);
    memcpy(out->present, w->any, grid_words(&in->call->grid) * sizeof(uint64_t));
    BITS_EACH(s, w->any, grid_words(&in->call->grid)) {
        uint32_t best;

        if (added < w->first[s]) {
            added = w->first[s];
            c.head = c.tail = 0;
        }
        while (added < w->end[s]) add_candidate(&c, v, added++, max);
        while (c.head < c.tail && c.at[c.head] < w->first[s]) c.head++;
        /* With nothing but NaNs, the last of them. */
        best = c.head < c.tail ? c.at[c.head] : w->end[s] - 1;
        out->values[s] = time ? (double)in->samples.times[best] / 1000 : v[best];
        annotate_ignored(in, s);
    }
    out->full = w->all_any;
    return ERR_OK;
}

/* ---- stddev, stdvar: one window after the other ---- */

typedef struct Window {
    const double *values;
    const int64_t *times;
    uint32_t count;
} Window;

static double variance(const Window *w) {
    double mean = 0, mean_comp = 0, aux = 0, aux_comp = 0;

    for (uint32_t i = 0; i < w->count; i++) {
        double delta = w->values[i] - (mean + mean_comp);

        kahan_add(delta / (i + 1), &mean, &mean_comp);
        kahan_add(delta * (w->values[i] - (mean + mean_comp)), &aux, &aux_comp);
    }
    return (aux + aux_comp) / w->count;
}

ErrCode kernel_variance(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;
    bool root = in->call->id == PROMQL_FN_STDDEV_OVER_TIME;

    BITS_EACH(s, w->any, grid_words(&in->call->grid)) {
        Window window = {in->samples.values + w->first[s], in->samples.times + w->first[s],
                         float_count(in, s)};
        double v = variance(&window);

        annotate_ignored(in, s);
        put_float(out, s, root ? sqrt(v) : v);
        TRY(worker_check(in->worker, window.count, err));
    }
    out->full = w->all_any;
    return ERR_OK;
}

/* ---- sum, avg ---- */

static double window_sum(const double *v, uint32_t count) {
    double sum = 0, comp = 0;

    for (uint32_t i = 0; i < count; i++) kahan_add(v[i], &sum, &comp);
    return isinf(sum) ? sum : sum + comp;
}

/* The plain mean as long as the sum is finite, then a running one. */
static double window_avg(const double *v, uint32_t count) {
    double sum = v[0], comp = 0, mean = 0;
    bool running = false;

    for (uint32_t i = 1; i < count; i++) {
        double n = i + 1, q = (n - 1) / n;

        if (!running) {
            double next = sum, next_comp = comp;

            kahan_add(v[i], &next, &next_comp);
            if (!isinf(next)) {
                sum = next;
                comp = next_comp;
                continue;
            }
            running = true;
            mean = sum / (n - 1);
            comp /= n - 1;
        }
        mean *= q;
        comp *= q;
        kahan_add(v[i] / n, &mean, &comp);
    }
    return running ? mean + comp : sum / count + comp / count;
}

/* Sums of all samples up to each one, twice as exact as a double: the sum of any window is then a
 * difference, as exact as a compensated sum unless it is tiny beside what came before. */
typedef struct Prefix {
    double *high;
    double *low;
    uint32_t *odd;  /* where the newest NaN or infinity was, plus one: it counts as nothing */
    double largest; /* of `high` */
} Prefix;

enum { PREFIX_WINDOWS_MIN = 8 };

static void split_add(double a, double b, double *sum, double *lost) {
    double part;

    *sum = a + b;
    part = *sum - a;
    *lost = (a - (*sum - part)) + (b - part);
}

/* It costs about as much as adding each sample up a few times: worth it when windows overlap that
 * much. How many steps there are doesn't matter, as the last bit of an average tells how its sum
 * was made, and a step's value should be the same whatever the steps beside it. */
static bool prefix_is_worth_it(const RangeCall *call) {
    if (call->steps.step_ms == 0) return false; /* pinned: one window */
    if (call->grid.steps == 1 && call->eval->params->step_ms == 0) return false; /* instant */
    return call->range_ms / PREFIX_WINDOWS_MIN >= call->grid.step_ms;
}

/* False: not worth it, or there is no memory, or the sums are not finite. */
static bool make_prefix(const RangeInput *in, Prefix *out) {
    size_t count = in->samples.count;
    double *numbers;
    uint32_t *odd;

    if (!prefix_is_worth_it(in->call)) return false;
    numbers = arena_alloc(in->worker->series, (count + 1) * 2 * sizeof *numbers);
    odd = arena_alloc(in->worker->series, (count + 1) * sizeof *odd);
    if (numbers == NULL || odd == NULL) return false;
    *out = (Prefix){numbers, numbers + count + 1, odd, 0};
    out->high[0] = out->low[0] = 0;
    odd[0] = 0;
    for (size_t i = 0; i < count; i++) {
        double v = in->samples.values[i], sum, lost;
        bool is_odd = !isfinite(v);

        odd[i + 1] = is_odd ? (uint32_t)i + 1 : odd[i];
        split_add(out->high[i], is_odd ? 0 : v, &sum, &lost);
        split_add(sum, lost + out->low[i], &out->high[i + 1], &out->low[i + 1]);
        out->largest = fmax(out->largest, fabs(out->high[i + 1]));
    }
    return isfinite(out->high[count]) && isfinite(out->low[count]) && isfinite(out->largest);
}

/* NaN when the difference would not be exact enough, or something in it is not finite. */
static double prefix_sum(const Prefix *prefix, uint32_t first, uint32_t end) {
    double sum, lost;

    if (prefix->odd[end] > first) return NAN;
    split_add(prefix->high[end], -prefix->high[first], &sum, &lost);
    sum += lost + (prefix->low[end] - prefix->low[first]);
    return fabs(sum) >= prefix->largest * 0x1p-45 || sum == 0 ? sum : NAN;
}

static ErrCode sum_step(const RangeInput *in, uint32_t s, bool average, Column *out, Error *err) {
    const double *v = in->samples.values + in->windows->first[s];
    uint32_t count = float_count(in, s);

    put_float(out, s, average ? window_avg(v, count) : window_sum(v, count));
    return worker_check(in->worker, count, err);
}

/* Four steps at once, when their windows have as many samples. */
static bool sum_four(const RangeInput *in, uint32_t s, bool average, Column *out) {
    const Windows *w = in->windows;
    const double *v[4], *values = in->samples.values;
    uint32_t count = float_count(in, s);
    double sum[4], comp[4];

    if (in->hist_windows != NULL || s + 4 > in->call->grid.steps || count == 0) return false;
    for (uint32_t k = 0; k < 4; k++) {
        if (float_count(in, s + k) != count) return false;
        v[k] = values + w->first[s + k];
    }
    simd_sum4(v, count, sum, comp);
    for (uint32_t k = 0; k < 4; k++)
        if (!isfinite(sum[k])) return false;
    for (uint32_t k = 0; k < 4; k++)
        put_float(out, s + k, average ? sum[k] / count + comp[k] / count : sum[k] + comp[k]);
    return true;
}

static ErrCode sum_or_avg(const RangeInput *in, Column *out, bool average, Error *err) {
    Prefix prefix = {0};
    bool has_prefix = make_prefix(in, &prefix);

    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        uint32_t count = float_count(in, s);

        if (count == 0) continue;
        if (has_hists(in, s)) {
            range_annotate_name(in, ANNOTATION_MIXED_FLOATS_HISTOGRAMS);
        } else if (has_prefix) {
            double sum = prefix_sum(&prefix, in->windows->first[s], in->windows->end[s]);

            if (isnan(sum) || sum == 0)
                TRY(sum_step(in, s, average, out, err));
            else
                put_float(out, s, average ? sum / count : sum);
        } else if (sum_four(in, s, average, out)) {
            s += 3;
            TRY(worker_check(in->worker, count * 4, err));
        } else {
            TRY(sum_step(in, s, average, out, err));
        }
    }
    out->full = in->windows->all_any && in->hist_windows == NULL;
    return in->hist_windows == NULL ? ERR_OK : kernel_hist_sum(in, out, average, err);
}

ErrCode kernel_sum(const RangeInput *in, Column *out, Error *err) {
    return sum_or_avg(in, out, false, err);
}

ErrCode kernel_avg(const RangeInput *in, Column *out, Error *err) {
    return sum_or_avg(in, out, true, err);
}

/* ---- quantile, mad: a sorted window that samples enter and leave ---- */

typedef struct Sorted {
    double *values; /* NaN first */
    uint32_t count;
    uint32_t nans;
    uint32_t begin, end; /* samples that are in it */
} Sorted;

/* Sorted anew when more than one in so many is new. */
enum { SORTED_NEW_PART = 8 };

/* Where `v` is, or would go: after all that are smaller. */
static uint32_t sorted_find(const Sorted *sorted, double v) {
    uint32_t low = sorted->nans, high = sorted->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (sorted->values[middle] < v)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void sorted_add(Sorted *sorted, double v) {
    uint32_t at = isnan(v) ? sorted->nans++ : sorted_find(sorted, v);

    memmove(sorted->values + at + 1, sorted->values + at,
            (sorted->count - at) * sizeof *sorted->values);
    sorted->values[at] = v;
    sorted->count++;
}

static void sorted_remove(Sorted *sorted, double v) {
    uint32_t at = isnan(v) ? --sorted->nans : sorted_find(sorted, v);

    sorted->count--;
    memmove(sorted->values + at, sorted->values + at + 1,
            (sorted->count - at) * sizeof *sorted->values);
}

double quantile_of_sorted(double q, const double *values, size_t count) {
    double rank, lower, weight;
    size_t upper;

    if (count == 0 || isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    rank = q * (double)(count - 1);
    lower = fmax(0, floor(rank));
    upper = MIN(count - 1, (size_t)lower + 1);
    weight = rank - floor(rank);
    if (weight == 0) return values[(size_t)lower]; /* not: infinity times 0 */
    return values[(size_t)lower] * (1 - weight) + values[upper] * weight;
}

/* The median distance from the median. Distances fall and rise again over the sorted values, so
 * that they merge into a sorted array. */
static double median_deviation(const Sorted *sorted, double *distances) {
    double median = quantile_of_sorted(0.5, sorted->values, sorted->count);
    uint32_t high = 0, low, n = 0;

    if (sorted->nans > 0) return NAN;
    while (high < sorted->count && sorted->values[high] < median) high++;
    low = high;
    while (low > 0 || high < sorted->count) {
        double left = low > 0 ? fabs(sorted->values[low - 1] - median) : INFINITY;
        double right = high < sorted->count ? fabs(sorted->values[high] - median) : INFINITY;

        if (high == sorted->count || (low > 0 && left <= right)) {
            distances[n++] = left;
            low--;
        } else {
            distances[n++] = right;
            high++;
        }
    }
    return quantile_of_sorted(0.5, distances, n);
}

static int compare_values(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    if (isnan(x) || isnan(y)) return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

static void sorted_fill(Sorted *sorted, const double *v, uint32_t count) {
    memcpy(sorted->values, v, count * sizeof *v);
    qsort(sorted->values, count, sizeof *v, compare_values);
    sorted->count = count;
    sorted->nans = 0;
    while (sorted->nans < count && isnan(sorted->values[sorted->nans])) sorted->nans++;
}

/* Moves the window on: sorted anew where most of it is new. */
static ErrCode sorted_move(Sorted *sorted, const RangeInput *in, uint32_t s, Error *err) {
    const double *v = in->samples.values;
    uint32_t first = in->windows->first[s], end = in->windows->end[s], count = end - first;
    uint32_t added = end - MIN(MAX(sorted->end, first), end);

    if ((uint64_t)added * SORTED_NEW_PART >= count) {
        sorted_fill(sorted, v + first, count);
        sorted->begin = first;
        sorted->end = end;
        return worker_check(in->worker, MIN(count, 1 << 20) * 16, err);
    }
    while (sorted->end < end) sorted_add(sorted, v[sorted->end++]);
    while (sorted->begin < first) sorted_remove(sorted, v[sorted->begin++]);
    return worker_check(in->worker, added * (1 + MIN(count, 1 << 20) / 64), err);
}

ErrCode kernel_quantile(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;
    bool mad = in->call->id == PROMQL_FN_MAD_OVER_TIME;
    size_t room = MAX(in->samples.count, 1);
    Sorted sorted = {.values = arena_alloc(in->worker->series, 2 * room * sizeof(double))};

    if (sorted.values == NULL) return eval_out_of_memory(err);
    BITS_EACH(s, w->any, grid_words(&in->call->grid)) {
        double q = mad ? 0 : in->call->args[0][s];

        TRY(sorted_move(&sorted, in, s, err));
        if (!mad && (isnan(q) || q < 0 || q > 1))
            annotate_number(in->worker->annotations, ANNOTATION_INVALID_QUANTILE,
                            in->call->node->args[0]->id, q);
        annotate_ignored(in, s);
        put_float(out, s,
                  mad ? median_deviation(&sorted, sorted.values + room)
                      : quantile_of_sorted(q, sorted.values, sorted.count));
    }
    out->full = w->all_any;
    return ERR_OK;
}

/* ---- deriv, predict_linear ---- */

typedef struct Line {
    double slope;
    double intercept;
} Line;

/* Least squares; the intercept is at time `at`. */
static Line fit_line(const Window *w, int64_t at) {
    double n = w->count, sum_x = 0, sum_y = 0, sum_xy = 0, sum_xx = 0;
    double comp_x = 0, comp_y = 0, comp_xy = 0, comp_xx = 0, cov, var;
    bool constant = true;
    Line line;

    for (uint32_t i = 0; i < w->count; i++) {
        double x = (double)(w->times[i] - at) / 1e3, y = w->values[i];

        if (y != w->values[0]) constant = constant && i == 0;
        kahan_add(x, &sum_x, &comp_x);
        kahan_add(y, &sum_y, &comp_y);
        kahan_add(x * y, &sum_xy, &comp_xy);
        kahan_add(x * x, &sum_xx, &comp_xx);
    }
    if (constant) {
        if (isinf(w->values[0])) return (Line){NAN, NAN};
        return (Line){0, w->values[0]};
    }
    sum_x += comp_x;
    sum_y += comp_y;
    cov = sum_xy + comp_xy - sum_x * sum_y / n;
    var = sum_xx + comp_xx - sum_x * sum_x / n;
    line.slope = cov / var;
    line.intercept = sum_y / n - line.slope * sum_x / n;
    return line;
}

ErrCode kernel_trend(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;
    bool predict = in->call->id == PROMQL_FN_PREDICT_LINEAR;

    BITS_EACH(s, w->any, grid_words(&in->call->grid)) {
        Window window = {in->samples.values + w->first[s], in->samples.times + w->first[s],
                         float_count(in, s)};
        Line line;

        annotate_ignored(in, s);
        if (window.count < 2) continue;
        /* Times near the samples' keep the sums small. */
        line = fit_line(&window, predict ? grid_time(&in->call->grid, s) : window.times[0]);
        put_float(out, s,
                  predict ? line.slope * in->call->args[0][s] + line.intercept : line.slope);
        TRY(worker_check(in->worker, window.count, err));
    }
    out->full = w->all_two;
    return ERR_OK;
}

/* ---- double_exponential_smoothing ---- */

static double smooth(const Window *w, double smoothing, double trend) {
    double before = 0, level = w->values[0], slope = w->values[1] - w->values[0];

    for (uint32_t i = 1; i < w->count; i++) {
        double x = smoothing * w->values[i], y;

        if (i > 1) slope = trend * (level - before) + (1 - trend) * slope;
        y = (1 - smoothing) * (level + slope);
        before = level;
        level = x + y;
    }
    return level;
}

ErrCode kernel_smoothing(const RangeInput *in, Column *out, Error *err) {
    for (uint32_t s = 0; s < in->call->grid.steps; s++) {
        double smoothing = in->call->args[0][s], trend = in->call->args[1][s];
        Window window = {in->samples.values + in->windows->first[s],
                         in->samples.times + in->windows->first[s], float_count(in, s)};

        if (window.count == 0 && !has_hists(in, s)) continue;
        if (smoothing <= 0 || smoothing >= 1)
            return error_set(err, ERR_INVALID,
                             "invalid smoothing factor. Expected: 0 < sf < 1, got: %f", smoothing);
        if (trend <= 0 || trend >= 1)
            return error_set(err, ERR_INVALID,
                             "invalid trend factor. Expected: 0 < tf < 1, got: %f", trend);
        if (window.count > 0) annotate_ignored(in, s);
        if (window.count < 2) continue;
        put_float(out, s, smooth(&window, smoothing, trend));
        TRY(worker_check(in->worker, window.count, err));
    }
    return ERR_OK;
}

RangeKernel range_kernel(PromqlFunctionId id) {
    switch (id) {
    case PROMQL_FN_RATE:
    case PROMQL_FN_INCREASE:
    case PROMQL_FN_DELTA:
        return kernel_rate;
    case PROMQL_FN_IRATE:
    case PROMQL_FN_IDELTA:
        return kernel_irate;
    case PROMQL_FN_CHANGES:
        return kernel_changes;
    case PROMQL_FN_RESETS:
        return kernel_resets;
    case PROMQL_FN_COUNT_OVER_TIME:
    case PROMQL_FN_PRESENT_OVER_TIME:
    case PROMQL_FN_ABSENT_OVER_TIME:
        return kernel_count;
    case PROMQL_FN_FIRST_OVER_TIME:
    case PROMQL_FN_LAST_OVER_TIME:
    case PROMQL_FN_TS_OF_FIRST_OVER_TIME:
    case PROMQL_FN_TS_OF_LAST_OVER_TIME:
        return kernel_edge;
    case PROMQL_FN_MAX_OVER_TIME:
    case PROMQL_FN_MIN_OVER_TIME:
    case PROMQL_FN_TS_OF_MAX_OVER_TIME:
    case PROMQL_FN_TS_OF_MIN_OVER_TIME:
        return kernel_extreme;
    case PROMQL_FN_STDDEV_OVER_TIME:
    case PROMQL_FN_STDVAR_OVER_TIME:
        return kernel_variance;
    case PROMQL_FN_SUM_OVER_TIME:
        return kernel_sum;
    case PROMQL_FN_AVG_OVER_TIME:
        return kernel_avg;
    case PROMQL_FN_QUANTILE_OVER_TIME:
    case PROMQL_FN_MAD_OVER_TIME:
        return kernel_quantile;
    case PROMQL_FN_DERIV:
    case PROMQL_FN_PREDICT_LINEAR:
        return kernel_trend;
    case PROMQL_FN_DOUBLE_EXPONENTIAL_SMOOTHING:
        return kernel_smoothing;
    case PROMQL_FN_INTEGRAL:
        return kernel_integral;
    default:
        return NULL;
    }
}
