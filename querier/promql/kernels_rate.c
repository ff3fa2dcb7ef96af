/*
 * kernels_rate.c: rate(), increase(), delta(), irate(), idelta(), changes() and resets() of floats.
 *
 * How far a window's increase is extrapolated depends on times only, but for one case: a counter
 * that would have been below zero at the start of the range is taken to start at zero. So factors
 * are made once per set of instants, and a step costs a subtraction and a multiplication; resets
 * are found once per series and only those inside a window are looked at.
 */
#include "querier/promql/range.h"
#include "querier/promql/simd.h"

static void find_runs(Windows *w, uint32_t steps) {
    uint32_t last = UINT32_MAX - 1;

    w->run_count = 0;
    for (uint32_t s = 0; s < steps; s++) {
        if (!bits_get(w->two, s)) continue;
        if (last + 1 != s || w->first[s] != w->first[last] + 1 || w->end[s] != w->end[last] + 1)
            w->runs[2 * w->run_count++] = s;
        w->runs[2 * w->run_count - 1] = s + 1;
        last = s;
    }
    if (w->run_count > steps / 8 + 1) w->run_count = 0;
}

/* A window as rate() sees it: how long before the step its first and last samples are. */
typedef struct RateWindow {
    int64_t first, last;
    uint32_t count;
} RateWindow;

static void rate_step(const RangeCall *call, const RateWindow *window, Windows *w, uint32_t s) {
    double sampled = (double)(window->first - window->last) / 1000;
    double average = sampled / (double)(window->count - 1), threshold = average * 1.1;
    double start_gap = (double)(call->range_ms - window->first) / 1000;
    double end_gap = (double)window->last / 1000;

    /* Samples that end well before the range does: the series does, too. */
    if (start_gap >= threshold) start_gap = average / 2;
    if (end_gap >= threshold) end_gap = average / 2;
    w->sampled[s] = sampled;
    w->start_gap[s] = start_gap;
    w->end_gap[s] = end_gap;
    w->factor[s] = (sampled + start_gap + end_gap) / sampled;
    if (call->id == PROMQL_FN_RATE) w->factor[s] /= range_seconds(call);
    /* A little more, so that no rounding leaves one out: it is looked at closely later. */
    w->gap[s] = start_gap / sampled * (1 + 1e-9);
}

static ErrCode make_rate(const RangeInput *in, Error *err) {
    const RangeCall *call = in->call;
    Windows *w = in->windows;
    const int64_t *times = in->samples.times;
    RateWindow window = {0};
    uint32_t made = 0;

    if (w->has_rate) return ERR_OK;
    if (w->sampled == NULL) {
        double *numbers = arena_alloc(in->worker->kept, call->grid.steps * 5 * sizeof *numbers);

        w->runs = arena_alloc(in->worker->kept, 2 * call->grid.steps * sizeof(uint32_t));
        if (numbers == NULL || w->runs == NULL) return eval_out_of_memory(err);
        w->sampled = numbers;
        w->start_gap = numbers + call->grid.steps;
        w->end_gap = numbers + 2 * (size_t)call->grid.steps;
        w->factor = numbers + 3 * (size_t)call->grid.steps;
        w->gap = numbers + 4 * (size_t)call->grid.steps;
    }
    BITS_EACH(s, w->two, grid_words(&call->grid)) {
        int64_t until = step_time(&call->steps, s);
        RateWindow here = {until - times[w->first[s]], until - times[w->end[s] - 1],
                           w->end[s] - w->first[s]};

        /* With regular scrapes all steps are alike. */
        if (here.first == window.first && here.last == window.last && here.count == window.count) {
            w->sampled[s] = w->sampled[made];
            w->start_gap[s] = w->start_gap[made];
            w->end_gap[s] = w->end_gap[made];
            w->factor[s] = w->factor[made];
            w->gap[s] = w->gap[made];
            continue;
        }
        window = here;
        made = s;
        rate_step(call, &window, w, s);
    }
    find_runs(w, call->grid.steps);
    w->has_rate = true;
    return ERR_OK;
}

/* Where values fall, ascending: the index of the lower one. Returns how many. */
static uint32_t find_resets(const double *v, uint32_t begin, uint32_t end, uint32_t *out) {
    uint32_t n = 0;

    for (uint32_t i = begin + 1; i < end; i++) {
        out[n] = i;
        n += v[i] < v[i - 1];
    }
    return n;
}

/* What the increase is multiplied by when the counter started inside the start gap. */
static double factor_from_zero(const RangeInput *in, uint32_t s, double first, double increase) {
    const Windows *w = in->windows;
    double to_zero = w->sampled[s] * (first / increase), factor;

    if (!(to_zero < w->start_gap[s])) return w->factor[s];
    factor = (w->sampled[s] + to_zero + w->end_gap[s]) / w->sampled[s];
    return in->call->id == PROMQL_FN_RATE ? factor / range_seconds(in->call) : factor;
}

static inline double counter_step(const RangeInput *in, uint32_t s, double first, double increase) {
    const Windows *w = in->windows;
    double factor = w->factor[s];

    if (UNLIKELY(first < increase * w->gap[s] && increase > 0 && first >= 0))
        factor = factor_from_zero(in, s, first, increase);
    return increase * factor;
}

static void rate_one(const RangeInput *in, uint32_t s, Column *out) {
    const Windows *w = in->windows;
    const double *v = in->samples.values;
    double first = v[w->first[s]], last = v[w->end[s] - 1];

    out->values[s] = counter_step(in, s, first, last - first);
}

/* Steps whose windows move by one sample each are plain arithmetic on columns, but for blocks in
 * which a counter starts near zero. */
static void rate_run(const RangeInput *in, uint32_t begin, uint32_t end, Column *out) {
    const Windows *w = in->windows;
    const double *v = in->samples.values;

    for (uint32_t s = begin; s < end; s += 4096) {
        uint32_t count = MIN(end - s, 4096);
        uint64_t flags = 0;

        simd_rate(v + w->first[s], v + w->end[s] - 1, w->factor + s, w->gap + s, out->values + s,
                  count, &flags);
        for (; flags != 0; flags &= flags - 1) {
            uint32_t block = s + (uint32_t)__builtin_ctzll(flags) * 64;

            for (uint32_t k = block; k < MIN(block + 64, end); k++) rate_one(in, k, out);
        }
    }
}

static void rate_without_resets(const RangeInput *in, Column *out) {
    const Windows *w = in->windows;

    if (w->run_count == 0) {
        BITS_EACH(s, w->two, grid_words(&in->call->grid)) rate_one(in, s, out);
        return;
    }
    for (uint32_t r = 0; r < w->run_count; r++)
        rate_run(in, w->runs[2 * r], w->runs[2 * r + 1], out);
}

static void rate_with_resets(const RangeInput *in, const uint32_t *resets, uint32_t reset_count,
                             Column *out) {
    const Windows *w = in->windows;
    const double *v = in->samples.values;
    uint32_t next = 0;

    BITS_EACH(s, w->two, grid_words(&in->call->grid)) {
        uint32_t begin = w->first[s], end = w->end[s];
        double first = v[begin], increase = v[end - 1] - first;

        while (next < reset_count && resets[next] <= begin) next++;
        for (uint32_t r = next; r < reset_count && resets[r] < end; r++)
            increase += v[resets[r] - 1];
        out->values[s] = counter_step(in, s, first, increase);
    }
}

static ErrCode rate_floats(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;
    const double *v = in->samples.values;
    const Grid *grid = &in->call->grid;

    TRY(make_rate(in, err));
    memcpy(out->present, w->two, grid_words(grid) * sizeof(uint64_t));
    out->full = w->all_two;
    if (in->call->id == PROMQL_FN_DELTA) {
        BITS_EACH(s, w->two, grid_words(grid))
        out->values[s] = (v[w->end[s] - 1] - v[w->first[s]]) * w->factor[s];
        return ERR_OK;
    }
    if (in->samples.rising) {
        rate_without_resets(in, out);
    } else {
        size_t count = in->samples.count;
        uint32_t *resets = arena_alloc(in->worker->series, MAX(count, 1) * sizeof *resets);

        if (resets == NULL) return eval_out_of_memory(err);
        rate_with_resets(in, resets, find_resets(v, 0, (uint32_t)count, resets), out);
    }
    return ERR_OK;
}

ErrCode kernel_rate(const RangeInput *in, Column *out, Error *err) {
    TRY(rate_floats(in, out, err));
    return in->hist_windows == NULL ? ERR_OK : kernel_hist_rate(in, out, err);
}

/* ---- irate, idelta ---- */

ErrCode kernel_irate(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;
    const double *v = in->samples.values;
    const int64_t *times = in->samples.times;
    bool rate = in->call->id == PROMQL_FN_IRATE;

    BITS_EACH(s, w->two, grid_words(&in->call->grid)) {
        uint32_t i = w->end[s] - 1;
        double result = v[i];

        /* After a reset the counter counted from zero. */
        if (!rate || !(v[i] < v[i - 1])) result = v[i] - v[i - 1];
        if (rate) result /= (double)(times[i] - times[i - 1]) / 1000;
        put_float(out, s, result);
    }
    out->full = w->all_two;
    if (in->hist_windows == NULL) return ERR_OK;
    out->full = false;
    return kernel_hist_irate(in, out, err);
}

/* ---- changes, resets ---- */

typedef bool (*FloatEvent)(double before, double after);
typedef bool (*HistEvent)(const Hist *before, const Hist *after);

static bool float_changed(double before, double after) {
    return after != before && !(isnan(after) && isnan(before));
}
static bool float_reset(double before, double after) {
    return after < before;
}
static bool hist_changed(const Hist *before, const Hist *after) {
    return !hist_equal(after, before);
}
static bool hist_was_reset(const Hist *before, const Hist *after) {
    return hist_detect_reset(after, before);
}

/* Of an anchored range, the newest sample at or before its start counts as the first. False: no
 * sample lies after the start. */
static bool anchor(const RangeInput *in, uint32_t s, uint32_t *first, uint32_t *hist_first) {
    const RangeCall *call = in->call;
    const RangeSamples *samples = &in->samples;
    uint32_t end = in->windows->end[s], f = *first, h = *hist_first;
    uint32_t hist_end = in->hist_windows == NULL ? 0 : in->hist_windows->end[s];
    int64_t start = step_time(&call->steps, s) - call->range_ms;
    bool has_float, has_hist;

    while (f < end && samples->times[f] <= start) f++;
    while (h < hist_end && samples->hist_times[h] <= start) h++;
    if (f == end && h == hist_end) return false;
    has_float = f > *first;
    has_hist = h > *hist_first;
    if (has_float && (!has_hist || samples->times[f - 1] >= samples->hist_times[h - 1]))
        f--;
    else if (has_hist)
        h--;
    *first = f;
    *hist_first = h;
    return true;
}

static double count_mixed(const RangeInput *in, uint32_t f, uint32_t h, uint32_t end,
                          uint32_t hist_end, FloatEvent float_event, HistEvent hist_event) {
    const RangeSamples *samples = &in->samples;
    const Hist *last_hist = NULL;
    double last = 0, events = 0;
    bool any = false;

    while (f < end || h < hist_end) {
        if (h >= hist_end || (f < end && samples->times[f] < samples->hist_times[h])) {
            double v = samples->values[f++];

            if (any) events += last_hist != NULL || float_event(last, v);
            last = v;
            last_hist = NULL;
        } else {
            const Hist *v = &samples->hists[h++];

            if (any) events += last_hist == NULL || hist_event(last_hist, v);
            last_hist = v;
        }
        any = true;
    }
    return events;
}

static ErrCode count_events(const RangeInput *in, Column *out, FloatEvent float_event,
                            HistEvent hist_event, Error *err) {
    const Windows *w = in->windows;
    const double *v = in->samples.values;
    size_t count = in->samples.count;
    uint32_t steps = in->call->grid.steps;
    /* before[i]: events between neighbours up to sample i. */
    uint32_t *before = arena_alloc(in->worker->series, MAX(count, 1) * sizeof *before);

    if (before == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        before[i] = i == 0 ? 0 : before[i - 1] + float_event(v[i - 1], v[i]);
    for (uint32_t s = 0; s < steps; s++) {
        uint32_t first = w->first[s], end = w->end[s];
        uint32_t hist_first = in->hist_windows == NULL ? 0 : in->hist_windows->first[s];
        uint32_t hist_end = in->hist_windows == NULL ? 0 : in->hist_windows->end[s];

        if (first == end && hist_first == hist_end) continue;
        if (in->call->anchored && !anchor(in, s, &first, &hist_first)) continue;
        if (hist_first == hist_end)
            put_float(out, s, before[end - 1] - before[first]);
        else
            put_float(out, s,
                      count_mixed(in, first, hist_first, end, hist_end, float_event, hist_event));
    }
    return ERR_OK;
}

ErrCode kernel_changes(const RangeInput *in, Column *out, Error *err) {
    return count_events(in, out, float_changed, hist_changed, err);
}

ErrCode kernel_resets(const RangeInput *in, Column *out, Error *err) {
    return count_events(in, out, float_reset, hist_was_reset, err);
}
