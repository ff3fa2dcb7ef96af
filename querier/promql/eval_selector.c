/*
 * eval_selector.c: instant vector selectors: at each step the newest sample that is not older than
 * the lookback and not stale; or, smoothed, what lies between the samples around the step.
 */
#include "querier/promql/eval_internal.h"
#include "querier/promql/hist_sum.h"
#include "querier/promql/interpolate.h"
#include "querier/promql/select.h"

typedef enum SelectorMode {
    SELECTOR_VALUES,
    SELECTOR_TIMESTAMPS,    /* timestamp(): the samples' times in seconds */
    SELECTOR_TIMESTAMPS_MS, /* info(): in ms, floats only */
} SelectorMode;

typedef struct Selector {
    const Node *node;
    const SeriesSet *set;
    StepTimes steps;
    int64_t lookback_ms;
    SelectorMode mode;
    uint32_t slot;
    uint32_t stale_slot;
} Selector;

enum { CACHE_SIZE = 64, CACHE_BYTES_MAX = 1 << 20 };

/* Where the newest samples are, for the instants of one times_id. */
typedef struct Latest {
    uint64_t times_id;
    uint32_t *latest;
    uint64_t *present; /* as if nothing were stale */
    bool full;
} Latest;

typedef struct SelectorBuffers {
    Column column;
    Latest cache[CACHE_SIZE + 1]; /* the last one is for times that nobody shares */
} SelectorBuffers;

static SelectorBuffers *buffers_of(const Stream *stream, Worker *worker) {
    const Selector *selector = stream->context;
    SelectorBuffers *buffers = worker_slot(worker, selector->slot, sizeof *buffers);

    if (buffers == NULL) return NULL;
    if (buffers->column.values == NULL &&
        column_new(worker->kept, &stream->grid, &buffers->column, NULL) != ERR_OK)
        return NULL;
    return buffers;
}

static Latest *latest_of(const Stream *stream, Worker *worker, SelectorBuffers *buffers,
                         const int64_t *times, size_t count, uint64_t times_id) {
    const Selector *selector = stream->context;
    const Grid *grid = &stream->grid;
    size_t bytes = grid->steps * sizeof(uint32_t) + grid_words(grid) * sizeof(uint64_t);
    size_t size = MAX(MIN(CACHE_SIZE, CACHE_BYTES_MAX / bytes), 4);
    uint64_t mixed = times_id * UINT64_C(0x9e3779b97f4a7c15);
    Latest *entry =
        times_id == 0 ? &buffers->cache[CACHE_SIZE] : &buffers->cache[(mixed >> 32) % size];

    if (times_id != 0 && entry->times_id == times_id) return entry;
    if (entry->latest == NULL) {
        entry->latest = arena_alloc(worker->kept, grid->steps * sizeof(uint32_t));
        entry->present = arena_alloc(worker->kept, grid_words(grid) * sizeof(uint64_t));
        if (entry->latest == NULL || entry->present == NULL) {
            entry->latest = NULL;
            return NULL;
        }
    }
    entry->times_id = times_id;
    latest_make(times, count, &selector->steps, selector->lookback_ms, entry->latest);
    memset(entry->present, 0, grid_words(grid) * sizeof(uint64_t));
    for (uint32_t s = 0; s < grid->steps; s++)
        entry->present[s / 64] |= (uint64_t)(entry->latest[s] != 0) << (s % 64);
    entry->full = bits_are_full(entry->present, grid->steps);
    return entry;
}

/* Histograms: copied out of the scratch, each sample once. */
static ErrCode add_histograms(const Stream *stream, Worker *worker, const SeriesSamples *raw,
                              const uint32_t *float_latest, Column *out, Error *err) {
    const Selector *selector = stream->context;
    const Grid *grid = &stream->grid;
    uint32_t *latest = arena_alloc(worker->series, grid->steps * sizeof *latest);
    bool stats_only = selector->node != NULL && selector->node->stats_only;
    const Hist *made = NULL;
    uint32_t made_of = 0, fresh = 0;
    RangeSamples samples = {0};

    if (latest == NULL) return eval_out_of_memory(err);
    TRY(select_view_hists(worker, raw, stats_only, &samples, err));
    latest_make(raw->histogram_times, raw->histogram_count, &selector->steps, selector->lookback_ms,
                latest);
    TRY(column_add_hists(worker->series, grid, out, err));
    for (uint32_t s = 0; s < grid->steps; s++) {
        int64_t time;

        if (latest[s] == 0) continue;
        time = raw->histogram_times[latest[s] - 1];
        if (float_latest[s] != 0 && raw->times[float_latest[s] - 1] >= time) continue;
        bits_clear(out->present, s);
        if (value_is_stale(raw->histograms[latest[s] - 1]->sum)) continue;
        if (selector->mode == SELECTOR_TIMESTAMPS) {
            out->values[s] = (double)time / 1000;
            bits_set(out->present, s);
            continue;
        }
        if (selector->mode == SELECTOR_TIMESTAMPS_MS)
            return error_set(err, ERR_INVALID, "this should be an info metric, with float samples");
        if (made_of != latest[s]) {
            while (samples.hist_times[fresh] < time) fresh++;
            made = hist_dup(worker->hists, &samples.hists[fresh]);
            if (made == NULL) return eval_out_of_memory(err);
            made_of = latest[s];
        }
        out->hists[s] = made;
    }
    return ERR_OK;
}

static void take_values(const Latest *latest, const SeriesSamples *raw, uint32_t steps,
                        Column *out) {
    const uint32_t *at = latest->latest;
    uint64_t stale = 0;

    if (latest->full) {
        for (uint32_t s = 0; s < steps; s++) {
            out->values[s] = raw->values[at[s] - 1];
            stale |= value_is_stale(out->values[s]);
        }
        if (stale == 0) return;
    }
    for (uint32_t s = 0; s < steps; s++) {
        double v = at[s] == 0 ? 0 : raw->values[at[s] - 1];

        out->values[s] = v;
        if (value_is_stale(v)) {
            bits_clear(out->present, s);
            out->full = false;
        }
    }
}

static void take_times(const Selector *selector, const Latest *latest, const SeriesSamples *raw,
                       uint32_t steps, Column *out) {
    double unit = selector->mode == SELECTOR_TIMESTAMPS ? 1000 : 1;

    for (uint32_t s = 0; s < steps; s++) {
        uint32_t at = latest->latest[s];

        out->values[s] = 0;
        if (at == 0) continue;
        out->values[s] = (double)raw->times[at - 1] / unit;
        if (!value_is_stale(raw->values[at - 1])) continue;
        bits_clear(out->present, s);
        out->full = false;
    }
}

static ErrCode read_selector(const Stream *stream, size_t i, Worker *worker, Column *out,
                             Error *err) {
    const Selector *selector = stream->context;
    SelectorBuffers *buffers = buffers_of(stream, worker);
    SeriesSamples raw = {0};
    Latest *latest;

    if (buffers == NULL) return eval_out_of_memory(err);
    TRY(selector->set->read(selector->set, i, worker->scratch, &raw, err));
    latest = latest_of(stream, worker, buffers, raw.times, raw.count, raw.times_id);
    if (latest == NULL) return eval_out_of_memory(err);
    *out = buffers->column;
    memcpy(out->present, latest->present, grid_words(&stream->grid) * sizeof(uint64_t));
    out->full = latest->full;
    if (selector->mode == SELECTOR_VALUES)
        take_values(latest, &raw, stream->grid.steps, out);
    else
        take_times(selector, latest, &raw, stream->grid.steps, out);
    if (raw.histogram_count == 0) return ERR_OK;
    out->full = false;
    return add_histograms(stream, worker, &raw, latest->latest, out, err);
}

/* ---- smoothed ---- */

/* The first sample at or after `time`, among [first, end). */
static uint32_t first_at(const int64_t *times, uint32_t first, uint32_t end, int64_t time) {
    while (first < end && times[first] < time) first++;
    return first;
}

static ErrCode smooth_hist(const Selector *selector, Worker *worker, LabelSet labels,
                           const RangeSamples *samples, uint32_t first, uint32_t end, int64_t time,
                           const Hist **out, Error *err) {
    uint32_t i = first_at(samples->hist_times, first, end, time);
    const Hist *before, *after;
    Interpolation at;

    *out = NULL;
    if (i < end && samples->hist_times[i] == time) {
        *out = hist_dup(worker->hists, &samples->hists[i]);
        return *out == NULL ? eval_out_of_memory(err) : ERR_OK;
    }
    if (i == first) return ERR_OK;
    before = &samples->hists[i - 1];
    if (i == end) {
        Hist unknown = *before;

        unknown.hint = HISTOGRAM_HINT_UNKNOWN;
        *out = hist_dup(worker->hists, &unknown);
        return *out == NULL ? eval_out_of_memory(err) : ERR_OK;
    }
    after = &samples->hists[i];
    at = (Interpolation){.worker = worker,
                         .node = selector->node->id,
                         .name = metric_name(worker->eval, labels),
                         .counter = before->hint != HISTOGRAM_HINT_GAUGE ||
                                    after->hint != HISTOGRAM_HINT_GAUGE};
    return interpolate_hists(&at, before, samples->hist_times[i - 1], after, samples->hist_times[i],
                             time, out, err);
}

static bool smooth_float(const RangeSamples *samples, uint32_t first, uint32_t end, int64_t time,
                         double *out) {
    uint32_t i = first_at(samples->times, first, end, time);

    if (i < end && samples->times[i] == time)
        *out = samples->values[i];
    else if (i == first)
        return false;
    else if (i == end)
        *out = samples->values[i - 1];
    else
        *out = interpolate(samples->values[i - 1], samples->times[i - 1], samples->values[i],
                           samples->times[i], time, false);
    return true;
}

static ErrCode read_smoothed(const Stream *stream, size_t i, Worker *worker, Column *out,
                             Error *err) {
    const Selector *selector = stream->context;
    const Grid *grid = &stream->grid;
    SelectorBuffers *buffers = buffers_of(stream, worker);
    StepTimes late = selector->steps;
    uint32_t *bounds = arena_alloc(worker->series, (size_t)grid->steps * 4 * sizeof *bounds);
    uint32_t *first = bounds, *end = bounds + grid->steps;
    uint32_t *hist_first = bounds + 2 * (size_t)grid->steps;
    uint32_t *hist_end = bounds + 3 * (size_t)grid->steps;
    RangeSamples samples;

    if (buffers == NULL || bounds == NULL) return eval_out_of_memory(err);
    TRY(select_read_range(selector->set, i, worker, selector->stale_slot,
                          selector->node->stats_only, &samples, err));
    late.start_ms += selector->lookback_ms;
    windows_make(samples.times, samples.count, &late, 2 * selector->lookback_ms, first, end);
    windows_make(samples.hist_times, samples.hist_count, &late, 2 * selector->lookback_ms,
                 hist_first, hist_end);
    *out = buffers->column;
    memset(out->present, 0, grid_words(grid) * sizeof(uint64_t));
    out->full = false;
    if (samples.hist_count > 0) TRY(column_add_hists(worker->series, grid, out, err));
    for (uint32_t s = 0; s < grid->steps; s++) {
        bool floats = first[s] < end[s], hists = hist_first[s] < hist_end[s];
        int64_t time = step_time(&selector->steps, s);

        if (floats && hists)
            annotate_name(worker->annotations, ANNOTATION_MIXED_FLOATS_HISTOGRAMS,
                          selector->node->id, metric_name(worker->eval, stream->labels[i]));
        else if (floats && smooth_float(&samples, first[s], end[s], time, &out->values[s]))
            bits_set(out->present, s);
        else if (hists)
            TRY(smooth_hist(selector, worker, stream->labels[i], &samples, hist_first[s],
                            hist_end[s], time, &out->hists[s], err));
    }
    return ERR_OK;
}

ErrCode selector_times(Eval *eval, const SeriesSet *set, const StepTimes *steps, const Grid *grid,
                       Stream *out, Error *err) {
    Selector *selector = ARENA_NEW(eval->arena, Selector);

    if (selector == NULL) return eval_out_of_memory(err);
    *selector = (Selector){.set = set,
                           .steps = *steps,
                           .lookback_ms = eval->lookback_ms,
                           .mode = SELECTOR_TIMESTAMPS_MS,
                           .slot = eval_new_slot(eval)};
    *out = (Stream){.count = set->count,
                    .labels = set->labels,
                    .read = read_selector,
                    .context = selector,
                    .grid = *grid};
    return ERR_OK;
}

static ErrCode open_selector(Eval *eval, const Node *node, const Grid *grid, SelectorMode mode,
                             Stream *out, Error *err) {
    bool smoothed = node->expr->as.selector.smoothed && mode == SELECTOR_VALUES;
    Selector *selector = ARENA_NEW(eval->arena, Selector);
    int64_t after = smoothed ? eval->lookback_ms : 0, before;
    bool newest_only;

    if (selector == NULL) return eval_out_of_memory(err);
    selector->node = node;
    selector->steps = select_step_times(node, grid);
    selector->lookback_ms = eval->lookback_ms;
    selector->mode = mode;
    selector->slot = eval_new_slot(eval);
    selector->stale_slot = eval_new_slot(eval);
    before = node->stats_only ? 2 * eval->lookback_ms : eval->lookback_ms;
    newest_only = !smoothed && !node->stats_only && !node->expr->as.selector.anchored &&
                  (selector->steps.steps == 1 || selector->steps.step_ms == 0);
    TRY(select_series(eval, node, selector->steps.start_ms - before + 1,
                      step_time_last(&selector->steps) + after, newest_only, &selector->set, err));
    *out = (Stream){.count = selector->set->count,
                    .labels = selector->set->labels,
                    .no_hists = mode == SELECTOR_TIMESTAMPS,
                    .read = smoothed ? read_smoothed : read_selector,
                    .context = selector,
                    .grid = *grid};
    return ERR_OK;
}

ErrCode eval_selector(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    return open_selector(eval, node, grid, SELECTOR_VALUES, out, err);
}

ErrCode eval_timestamp(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    TRY(open_selector(eval, node, grid, SELECTOR_TIMESTAMPS, out, err));
    out->drop = true;
    return ERR_OK;
}
