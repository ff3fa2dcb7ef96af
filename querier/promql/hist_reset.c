/*
 * hist_reset.c: whether a counter histogram was reset between two samples.
 *
 * A bucket that is smaller or gone, a finer schema or a narrower zero bucket all mean a reset. When
 * the newer one is coarser, the older one is looked at as if it were, too.
 */
#include <math.h>

#include "querier/promql/hist.h"

/* Walks buckets merged to a schema, from the first that ends above `start`. */
typedef struct MergedWalk {
    const HistBuckets *side;
    int32_t schema; /* the walk's */
    unsigned by;
    uint32_t at;
    int32_t index;
    double count;
} MergedWalk;

static bool walk_next(MergedWalk *w) {
    if (w->at == w->side->n) return false;
    w->index = hist_reduced_index(w->side->index[w->at], w->by);
    w->count = 0;
    while (w->at < w->side->n && hist_reduced_index(w->side->index[w->at], w->by) == w->index)
        w->count += w->side->count[w->at++];
    return true;
}

static bool walk_start(MergedWalk *w, const Hist *h, bool positive, double start, int32_t schema) {
    *w = (MergedWalk){.side = positive ? &h->positive : &h->negative,
                      .schema = schema,
                      .by = (unsigned)(h->schema - schema)};
    while (walk_next(w))
        if (start == 0 || schema == HISTOGRAM_SCHEMA_CUSTOM || hist_bound(w->index, schema) > start)
            return true;
    return false;
}

static bool side_reset(const Hist *current, const Hist *previous, bool positive) {
    MergedWalk now, then;
    double start = current->zero_threshold;
    bool more = walk_start(&now, current, positive, start, current->schema);

    if (!walk_start(&then, previous, positive, start, current->schema)) return false;
    do {
        while (more && now.index < then.index) more = walk_next(&now);
        if (!more || now.index > then.index) {
            if (then.count != 0) return true;
        } else if (now.count < then.count) {
            return true;
        }
    } while (walk_next(&then));
    return false;
}

/* previous' zero bucket as wide as `threshold`; false when that would cut a populated bucket. */
static bool zero_count_at(const Hist *h, double threshold, double *ret_count) {
    const HistBuckets *sides[2] = {&h->positive, &h->negative};

    *ret_count = h->zero_count;
    if (threshold == h->zero_threshold) return true;
    for (int s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < sides[s]->n; i++) {
            int32_t index = sides[s]->index[i];

            if (hist_bound(index - 1, h->schema) >= threshold) break;
            if (hist_bound(index, h->schema) > threshold && sides[s]->count[i] != 0) return false;
            *ret_count += sides[s]->count[i];
        }
    }
    return true;
}

/* Sums buckets up to a bound that both histograms have. */
typedef struct BoundWalk {
    const Hist *h;
    uint32_t at;
} BoundWalk;

static double sum_up_to(BoundWalk *w, double bound) {
    double sum = 0;

    while (w->at < w->h->positive.n && hist_upper_bound(w->h, w->h->positive.index[w->at]) <= bound)
        sum += w->h->positive.count[w->at++];
    return sum;
}

static bool reset_with_other_bounds(const Hist *current, const Hist *previous) {
    BoundWalk now = {current, 0}, then = {previous, 0};
    uint32_t i = 0, j = 0;

    while (i <= current->bound_count && j <= previous->bound_count) {
        double a = i < current->bound_count ? current->bounds[i] : INFINITY;
        double b = j < previous->bound_count ? previous->bounds[j] : INFINITY;

        if (a == b) {
            if (sum_up_to(&now, a) < sum_up_to(&then, a)) return true;
            i++;
            j++;
        } else if (a < b) {
            i++;
        } else {
            j++;
        }
    }
    return false;
}

bool hist_detect_reset(const Hist *current, const Hist *previous) {
    double zero;

    if (current->hint == HISTOGRAM_HINT_RESET) return true;
    if (current->hint == HISTOGRAM_HINT_NO_RESET) return false;
    if (current->count < previous->count) return true;
    if (hist_is_custom(current)) {
        if (!hist_is_custom(previous)) return true;
        if (!hist_same_bounds(current, previous)) return reset_with_other_bounds(current, previous);
        return side_reset(current, previous, true);
    }
    if (current->schema > previous->schema) return true;
    if (current->zero_threshold < previous->zero_threshold) return true;
    if (!zero_count_at(previous, current->zero_threshold, &zero)) return true;
    if (current->zero_count < zero) return true;
    return side_reset(current, previous, true) || side_reset(current, previous, false);
}
