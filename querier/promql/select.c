#include "querier/promql/select.h"

#include <stdlib.h>

#include "querier/promql/simd.h"

/* A select that was done, for the next node that wants the same. */
struct Selected {
    Selected *next;
    const Node *selector; /* its matchers count */
    int64_t min_ms, max_ms;
    bool newest_only;
    bool presence_only;
    bool in_order;
    SeriesSet set;
};

/* ---- in the order of labels ---- */

typedef struct InOrder {
    const Symbols *symbols;
    SeriesSet set;
    uint32_t *order;
} InOrder;

static int compare_series(const void *a, const void *b, void *context) {
    const InOrder *by = context;

    return label_set_compare(by->symbols, by->set.labels[*(const uint32_t *)a],
                             by->set.labels[*(const uint32_t *)b]);
}

static ErrCode read_in_order(const SeriesSet *set, size_t i, SeriesScratch *scratch,
                             SeriesSamples *out, Error *err) {
    const InOrder *by = set->context;

    return by->set.read(&by->set, by->order[i], scratch, out, err);
}

static ErrCode put_in_order(Eval *eval, SeriesSet *set, Error *err) {
    InOrder *by = ARENA_NEW(eval->arena, InOrder);
    LabelSet *labels = arena_alloc(eval->arena, MAX(set->count, 1) * sizeof *labels);
    uint32_t *order = arena_alloc(eval->arena, MAX(set->count, 1) * sizeof *order);

    if (by == NULL || labels == NULL || order == NULL) return eval_out_of_memory(err);
    *by = (InOrder){eval->symbols, *set, order};
    for (size_t i = 0; i < set->count; i++) order[i] = (uint32_t)i;
    qsort_r(order, set->count, sizeof *order, compare_series, by);
    for (size_t i = 0; i < set->count; i++) labels[i] = set->labels[order[i]];
    *set = (SeriesSet){.labels = labels, .count = set->count, .read = read_in_order, .context = by};
    return ERR_OK;
}

/* ---- selection ---- */

static bool same_matchers(const Node *a, const Node *b) {
    const PromqlExpr *x = a->expr, *y = b->expr;

    if (a->same == b->same) return true;
    if (x->as.selector.matcher_count != y->as.selector.matcher_count) return false;
    for (size_t i = 0; i < x->as.selector.matcher_count; i++) {
        const Matcher *m = &x->as.selector.matchers[i], *n = &y->as.selector.matchers[i];

        if (m->op != n->op || !str_equal(m->name, n->name) || !str_equal(m->value, n->value))
            return false;
    }
    return true;
}

ErrCode select_series(Eval *eval, const Node *selector, int64_t min_ms, int64_t max_ms,
                      bool newest_only, const SeriesSet **out, Error *err) {
    SelectRequest request = {.matchers = selector->expr->as.selector.matchers,
                             .matcher_count = selector->expr->as.selector.matcher_count,
                             .min_ms = min_ms,
                             .max_ms = max_ms,
                             .newest_only = newest_only,
                             .presence_only = selector->presence_only};
    Selected *selected;

    for (selected = eval->selected; selected != NULL; selected = selected->next) {
        if (selected->in_order != selector->in_order || selected->min_ms != min_ms ||
            selected->max_ms != max_ms || (selected->newest_only && !newest_only) ||
            (selected->presence_only && !selector->presence_only) ||
            !same_matchers(selected->selector, selector))
            continue;
        *out = &selected->set;
        return ERR_OK;
    }
    selected = ARENA_NEW(eval->arena, Selected);
    if (selected == NULL) return eval_out_of_memory(err);
    if (eval->source->select(eval->source, eval->query, &request, &selected->set, err) != ERR_OK)
        return error_wrap(err, "expanding series");
    if (eval->query->series_max != 0 && selected->set.count > eval->query->series_max)
        return error_set(err, ERR_LIMIT, "a selector matches %zu series, more than %llu",
                         selected->set.count, (unsigned long long)eval->query->series_max);
    if (selector->in_order) TRY(put_in_order(eval, &selected->set, err));
    selected->selector = selector;
    selected->in_order = selector->in_order;
    selected->min_ms = min_ms;
    selected->max_ms = max_ms;
    selected->newest_only = newest_only;
    selected->presence_only = selector->presence_only;
    selected->next = eval->selected;
    eval->selected = selected;
    *out = &selected->set;
    return ERR_OK;
}

StepTimes select_step_times(const Node *node, const Grid *grid) {
    if (node->has_at) return (StepTimes){node->at_ms - node->offset_ms, 0, grid->steps};
    return (StepTimes){grid->start_ms - node->offset_ms, grid->step_ms, grid->steps};
}

void windows_make(const int64_t *times, size_t count, const StepTimes *steps, int64_t range_ms,
                  uint32_t *first, uint32_t *end) {
    uint32_t f = 0, e = 0;

    for (uint32_t s = 0; s < steps->steps; s++) {
        int64_t until = step_time(steps, s), after = until - range_ms;

        while (e < count && times[e] <= until) e++;
        while (f < e && times[f] <= after) f++;
        first[s] = f;
        end[s] = e;
    }
}

void latest_make(const int64_t *times, size_t count, const StepTimes *steps, int64_t lookback_ms,
                 uint32_t *latest) {
    uint32_t e = 0;

    for (uint32_t s = 0; s < steps->steps; s++) {
        int64_t until = step_time(steps, s);

        while (e < count && times[e] <= until) e++;
        latest[s] = e > 0 && times[e - 1] > until - lookback_ms ? e : 0;
    }
}

/* Buffers of a range node in one worker. */
typedef struct RangeBuffers {
    int64_t *times;
    double *values;
    size_t capacity;
} RangeBuffers;

static ErrCode drop_stale(Worker *worker, uint32_t slot, RangeSamples *samples, Error *err) {
    RangeBuffers *buffers = worker_slot(worker, slot, sizeof *buffers);
    size_t kept = 0;

    if (buffers == NULL) return eval_out_of_memory(err);
    if (buffers->capacity < samples->count) {
        size_t capacity = MAX(buffers->capacity * 2, samples->count);

        buffers->times = arena_alloc(worker->kept, capacity * sizeof(int64_t));
        buffers->values = arena_alloc(worker->kept, capacity * sizeof(double));
        buffers->capacity = 0;
        if (buffers->times == NULL || buffers->values == NULL) return eval_out_of_memory(err);
        buffers->capacity = capacity;
    }
    for (size_t i = 0; i < samples->count; i++) {
        if (value_is_stale(samples->values[i])) continue;
        buffers->times[kept] = samples->times[i];
        buffers->values[kept++] = samples->values[i];
    }
    samples->times = buffers->times;
    samples->values = buffers->values;
    samples->count = kept;
    samples->times_id = 0;
    return ERR_OK;
}

/* From the last to the first, as each needs the buckets of the one before. */
static void keep_stats(Hist *hists, size_t count) {
    for (size_t i = count; i-- > 0;) {
        Hist *h = &hists[i];

        if (h->hint == HISTOGRAM_HINT_UNKNOWN && i > 0)
            h->hint = hist_detect_reset(h, &hists[i - 1]) ? HISTOGRAM_HINT_RESET
                                                          : HISTOGRAM_HINT_NO_RESET;
        *h = (Hist){.schema = h->schema, .hint = h->hint, .count = h->count, .sum = h->sum};
    }
}

ErrCode select_view_hists(Worker *worker, const SeriesSamples *raw, bool stats_only,
                          RangeSamples *samples, Error *err) {
    HistReader reader = {.arena = worker->series, .bounds_arena = worker->hists};
    int64_t *times = arena_alloc(worker->series, raw->histogram_count * sizeof *times);
    Hist *hists = arena_alloc(worker->series, raw->histogram_count * sizeof *hists);
    size_t kept = 0;

    if (times == NULL || hists == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < raw->histogram_count; i++) {
        if (value_is_stale(raw->histograms[i]->sum)) continue;
        TRY(hist_view(&reader, raw->histograms[i], &hists[kept], err));
        times[kept++] = raw->histogram_times[i];
    }
    if (stats_only) keep_stats(hists, kept);
    samples->hist_times = times;
    samples->hists = hists;
    samples->hist_count = kept;
    return ERR_OK;
}

ErrCode select_read_range(const SeriesSet *set, size_t i, Worker *worker, uint32_t slot,
                          bool stats_only, RangeSamples *out, Error *err) {
    SeriesSamples raw = {0};

    TRY(set->read(set, i, worker->scratch, &raw, err));
    if (raw.count > UINT32_MAX / 2 || raw.histogram_count > UINT32_MAX / 2)
        return error_set(err, ERR_LIMIT, "a series has %zu samples in the query's range",
                         MAX(raw.count, raw.histogram_count));
    *out = (RangeSamples){
        .times = raw.times, .values = raw.values, .count = raw.count, .times_id = raw.times_id};
    TRY(worker_check(worker, (uint32_t)(raw.count + raw.histogram_count * 8), err));
    out->rising = simd_is_rising(raw.values, raw.count);
    if (!out->rising && simd_has_stale(raw.values, raw.count))
        TRY(drop_stale(worker, slot, out, err));
    if (raw.histogram_count == 0) return ERR_OK;
    return select_view_hists(worker, &raw, stats_only, out, err);
}
