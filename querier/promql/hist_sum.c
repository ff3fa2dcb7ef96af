/*
 * hist_sum.c: adding histograms of different resolution, zero bucket and custom bounds.
 *
 * Both are brought to what they have in common first: the wider zero bucket (widened further when
 * its edge would cut a populated bucket), the lower schema, the common custom bounds. Then buckets
 * are merged by index; a bucket that only one has is kept, even if empty.
 */
#include "querier/promql/hist_sum.h"

#include <math.h>
#include <string.h>

#include "querier/promql/kahan.h"

static bool side_reserve(HistSum *sum, HistSide *side, uint32_t n) {
    uint32_t capacity = MAX(side->capacity, 8);
    HistSide grown = *side;

    if (n <= side->capacity) return true;
    while (capacity < n) capacity *= 2;
    grown.capacity = capacity;
    grown.index = arena_alloc(sum->arena, capacity * sizeof *grown.index);
    grown.count = arena_alloc(sum->arena, capacity * sizeof *grown.count);
    if (sum->compensated) grown.comp = arena_alloc(sum->arena, capacity * sizeof *grown.comp);
    if (grown.index == NULL || grown.count == NULL || (sum->compensated && grown.comp == NULL))
        return false;
    if (side->n > 0) {
        memcpy(grown.index, side->index, side->n * sizeof *side->index);
        memcpy(grown.count, side->count, side->n * sizeof *side->count);
        if (sum->compensated) memcpy(grown.comp, side->comp, side->n * sizeof *side->comp);
    }
    *side = grown;
    return true;
}

static bool side_start(HistSum *sum, HistSide *side, const HistBuckets *from) {
    if (from->n == 0) return true;
    if (!side_reserve(sum, side, from->n)) return false;
    memcpy(side->index, from->index, from->n * sizeof *side->index);
    memcpy(side->count, from->count, from->n * sizeof *side->count);
    if (sum->compensated) memset(side->comp, 0, from->n * sizeof *side->comp);
    side->n = from->n;
    return true;
}

bool hist_sum_init(HistSum *sum, Arena *arena, const Hist *h, bool compensated) {
    *sum = (HistSum){.arena = arena,
                     .schema = h->schema,
                     .hint = h->hint,
                     .compensated = compensated,
                     .zero_threshold = h->zero_threshold,
                     .zero_count = h->zero_count,
                     .count = h->count,
                     .sum = h->sum,
                     .bounds = h->bounds,
                     .bound_count = h->bound_count};
    return side_start(sum, &sum->side[0], &h->positive) &&
           side_start(sum, &sum->side[1], &h->negative);
}

bool hist_sum_copy(HistSum *to, const HistSum *from, Arena *arena) {
    *to = *from;
    to->arena = arena;
    for (int s = 0; s < 2; s++) {
        const HistSide *old = &from->side[s];
        HistSide *side = &to->side[s];

        *side = (HistSide){0};
        if (!side_reserve(to, side, old->n)) return false;
        if (old->n > 0) {
            memcpy(side->index, old->index, old->n * sizeof *old->index);
            memcpy(side->count, old->count, old->n * sizeof *old->count);
            if (to->compensated) memcpy(side->comp, old->comp, old->n * sizeof *old->comp);
        }
        side->n = old->n;
    }
    return true;
}

/* Drops buckets that hold nothing. */
static void side_compact(const HistSum *sum, HistSide *side) {
    uint32_t kept = 0;

    for (uint32_t i = 0; i < side->n; i++) {
        if (side->count[i] == 0 && (!sum->compensated || side->comp[i] == 0)) continue;
        side->index[kept] = side->index[i];
        side->count[kept] = side->count[i];
        if (sum->compensated) side->comp[kept] = side->comp[i];
        kept++;
    }
    side->n = kept;
}

static void side_reduce(const HistSum *sum, HistSide *side, unsigned by) {
    uint32_t kept = 0;

    for (uint32_t i = 0; i < side->n; i++) {
        int32_t index = hist_reduced_index(side->index[i], by);

        if (kept > 0 && side->index[kept - 1] == index) {
            if (sum->compensated) {
                kahan_add(side->count[i], &side->count[kept - 1], &side->comp[kept - 1]);
                kahan_add(side->comp[i], &side->count[kept - 1], &side->comp[kept - 1]);
            } else {
                side->count[kept - 1] += side->count[i];
            }
            continue;
        }
        side->index[kept] = index;
        side->count[kept] = side->count[i];
        if (sum->compensated) side->comp[kept] = side->comp[i];
        kept++;
    }
    side->n = kept;
}

void hist_sum_reduce(HistSum *sum, int32_t schema) {
    if (schema >= sum->schema) return;
    for (int s = 0; s < 2; s++) side_reduce(sum, &sum->side[s], (unsigned)(sum->schema - schema));
    sum->schema = schema;
}

/* What a zero bucket of `*threshold` would hold. Where the threshold cuts a populated bucket, it
 * moves up to that bucket's end. Buckets are given as arrays, with an optional compensation. */
typedef struct ZeroView {
    int32_t schema;
    double threshold;
    double count, comp;
    const int32_t *index[2];
    const double *counts[2];
    const double *comps[2]; /* NULL: none */
    uint32_t n[2];
} ZeroView;

static void widened_zero(const ZeroView *v, double *threshold, double *count, double *comp) {
    if (*threshold == v->threshold) {
        *count = v->count;
        *comp = v->comp;
        return;
    }
again:
    *count = v->count;
    *comp = v->comp;
    for (int s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < v->n[s]; i++) {
            double upper;

            if (hist_bound(v->index[s][i] - 1, v->schema) >= *threshold) break;
            kahan_add(v->counts[s][i], count, comp);
            if (v->comps[s] != NULL) kahan_add(v->comps[s][i], count, comp);
            upper = hist_bound(v->index[s][i], v->schema);
            if (upper <= *threshold) continue;
            if (v->counts[s][i] == 0) break;
            *threshold = upper;
            /* What was counted on the positive side is too little now. */
            if (s == 1) goto again;
            break;
        }
    }
}

static ZeroView zero_view_of_sum(const HistSum *sum) {
    ZeroView v = {.schema = sum->schema,
                  .threshold = sum->zero_threshold,
                  .count = sum->zero_count,
                  .comp = sum->zero_comp};

    for (int s = 0; s < 2; s++) {
        v.index[s] = sum->side[s].index;
        v.counts[s] = sum->side[s].count;
        v.comps[s] = sum->compensated ? sum->side[s].comp : NULL;
        v.n[s] = sum->side[s].n;
    }
    return v;
}

static void widen_sum(HistSum *sum, double threshold) {
    ZeroView view = zero_view_of_sum(sum);
    double count, comp;

    widened_zero(&view, &threshold, &count, &comp);
    sum->zero_threshold = threshold;
    sum->zero_count = count;
    if (sum->compensated) sum->zero_comp = comp;
    for (int s = 0; s < 2; s++) {
        HistSide *side = &sum->side[s];

        for (uint32_t i = 0; i < side->n; i++) {
            if (hist_bound(side->index[i] - 1, sum->schema) >= threshold) break;
            side->count[i] = 0;
            if (sum->compensated) side->comp[i] = 0;
        }
        side_compact(sum, side);
    }
}

/* Gives both the same zero bucket; returns what h's would hold then. */
static double reconcile_zero(HistSum *sum, const Hist *h, double *ret_comp) {
    ZeroView view = {.schema = h->schema,
                     .threshold = h->zero_threshold,
                     .count = h->zero_count,
                     .index = {h->positive.index, h->negative.index},
                     .counts = {h->positive.count, h->negative.count},
                     .n = {h->positive.n, h->negative.n}};
    double threshold = h->zero_threshold, count = h->zero_count;

    *ret_comp = 0;
    while (threshold != sum->zero_threshold) {
        if (sum->zero_threshold > threshold) {
            threshold = sum->zero_threshold;
            widened_zero(&view, &threshold, &count, ret_comp);
        }
        if (threshold > sum->zero_threshold) widen_sum(sum, threshold);
    }
    return count;
}

static void add_number(const HistSum *sum, double inc, double *to, double *comp) {
    if (sum->compensated)
        kahan_add(inc, to, comp);
    else
        *to += inc;
}

/* Merges `from` into a side; buckets up to `threshold` are already in the zero bucket. */
static bool side_add(HistSum *sum, HistSide *side, const HistBuckets *from, int sign,
                     double threshold) {
    uint32_t start = 0, extra = 0, i = 0, at;

    if (sum->schema != HISTOGRAM_SCHEMA_CUSTOM)
        while (start < from->n && hist_bound(from->index[start], sum->schema) <= threshold) start++;
    if (start == from->n) return true;
    if (from->n - start == side->n &&
        memcmp(side->index, from->index + start, side->n * sizeof *side->index) == 0) {
        for (i = 0; i < side->n; i++)
            add_number(sum, sign * from->count[start + i], &side->count[i],
                       sum->compensated ? &side->comp[i] : NULL);
        return true;
    }
    for (uint32_t j = start; j < from->n; j++) {
        while (i < side->n && side->index[i] < from->index[j]) i++;
        if (i == side->n || side->index[i] != from->index[j]) extra++;
    }
    if (!side_reserve(sum, side, side->n + extra)) return false;
    /* From the back, so that the buckets that are there move once. */
    at = side->n + extra;
    i = side->n;
    side->n = at;
    for (uint32_t j = from->n; at > 0;) {
        bool old = i > 0 && (j == start || side->index[i - 1] >= from->index[j - 1]);
        bool added = j > start && (i == 0 || from->index[j - 1] >= side->index[i - 1]);

        at--;
        if (old) {
            i--;
            side->index[at] = side->index[i];
            side->count[at] = side->count[i];
            if (sum->compensated) side->comp[at] = side->comp[i];
        } else {
            side->index[at] = from->index[j - 1];
            side->count[at] = sign * from->count[j - 1];
            if (sum->compensated) side->comp[at] = 0;
        }
        if (!added) continue;
        j--;
        if (old)
            add_number(sum, sign * from->count[j], &side->count[at],
                       sum->compensated ? &side->comp[at] : NULL);
    }
    return true;
}

/* h's buckets at the sum's lower schema. */
static bool reduced(Arena *arena, const HistBuckets *from, unsigned by, HistBuckets *out) {
    int32_t *index = arena_alloc(arena, MAX(from->n, 1) * sizeof *index);
    double *count = arena_alloc(arena, MAX(from->n, 1) * sizeof *count);
    uint32_t n = 0;

    if (index == NULL || count == NULL) return false;
    for (uint32_t i = 0; i < from->n; i++) {
        int32_t to = hist_reduced_index(from->index[i], by);

        if (n > 0 && index[n - 1] == to) {
            count[n - 1] += from->count[i];
            continue;
        }
        index[n] = to;
        count[n++] = from->count[i];
    }
    *out = (HistBuckets){index, count, n};
    return true;
}

/* Adds buckets of bounds `bounds` to the dense buckets of the bounds that both have. */
static void map_buckets(const int32_t *index, const double *count, const double *comp, uint32_t n,
                        const double *bounds, uint32_t bound_count, int sign, const double *common,
                        uint32_t common_count, double *to, double *to_comp) {
    uint32_t at = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t target = common_count; /* the bucket up to infinity */

        if ((uint32_t)index[i] < bound_count) {
            while (at < common_count && common[at] < bounds[index[i]]) at++;
            if (at < common_count) target = at;
        }
        kahan_add(sign * count[i], &to[target], &to_comp[target]);
        if (comp != NULL) kahan_add(comp[i], &to[target], &to_comp[target]);
    }
}

static bool add_with_other_bounds(HistSum *sum, const Hist *h, int sign) {
    HistSide *side = &sum->side[0];
    uint32_t room = MIN(sum->bound_count, h->bound_count), n = 0;
    double *common = arena_alloc(sum->arena, MAX(room, 1) * sizeof *common);
    double *to, *to_comp;

    if (common == NULL) return false;
    for (uint32_t i = 0, j = 0; i < sum->bound_count && j < h->bound_count;) {
        if (sum->bounds[i] == h->bounds[j]) {
            common[n++] = sum->bounds[i++];
            j++;
        } else if (sum->bounds[i] < h->bounds[j]) {
            i++;
        } else {
            j++;
        }
    }
    to = ARENA_ARRAY(sum->arena, double, n + 1);
    to_comp = ARENA_ARRAY(sum->arena, double, n + 1);
    if (to == NULL || to_comp == NULL) return false;
    map_buckets(side->index, side->count, sum->compensated ? side->comp : NULL, side->n,
                sum->bounds, sum->bound_count, 1, common, n, to, to_comp);
    map_buckets(h->positive.index, h->positive.count, NULL, h->positive.n, h->bounds,
                h->bound_count, sign, common, n, to, to_comp);
    if (!side_reserve(sum, side, n + 1)) return false;
    side->n = 0;
    for (uint32_t i = 0; i <= n; i++) {
        if (to[i] == 0 && to_comp[i] == 0) continue;
        side->index[side->n] = (int32_t)i;
        side->count[side->n] = to[i];
        if (sum->compensated) side->comp[side->n] = to_comp[i];
        side->n++;
    }
    sum->bounds = n > 0 ? common : NULL;
    sum->bound_count = n;
    return true;
}

/* Additions are usually of gauges; where counters are added, the hint stays as true as it can. */
static bool adjust_hint(HistSum *sum, uint8_t hint) {
    if (hint == sum->hint || sum->hint == HISTOGRAM_HINT_GAUGE) return false;
    if (hint == HISTOGRAM_HINT_GAUGE) {
        sum->hint = HISTOGRAM_HINT_GAUGE;
        return false;
    }
    if (sum->hint == HISTOGRAM_HINT_UNKNOWN) return false;
    sum->hint = HISTOGRAM_HINT_UNKNOWN;
    return hint != HISTOGRAM_HINT_UNKNOWN;
}

static bool same_bounds(const HistSum *sum, const Hist *h) {
    return hist_same_bounds(&(Hist){.bounds = sum->bounds, .bound_count = sum->bound_count}, h);
}

bool hist_sum_add(HistSum *sum, const Hist *h, int sign, HistSumInfo *info) {
    HistBuckets positive = h->positive, negative = h->negative;
    bool custom = sum->schema == HISTOGRAM_SCHEMA_CUSTOM, ok;

    if (custom != hist_is_custom(h)) {
        info->incompatible = true;
        return false;
    }
    if (adjust_hint(sum, h->hint)) info->reset_collision = true;
    if (!custom) {
        double comp, zero = reconcile_zero(sum, h, &comp);

        add_number(sum, sign * zero, &sum->zero_count, &sum->zero_comp);
        if (sum->compensated) kahan_add(sign * comp, &sum->zero_count, &sum->zero_comp);
    }
    add_number(sum, sign * h->count, &sum->count, &sum->count_comp);
    add_number(sum, sign * h->sum, &sum->sum, &sum->sum_comp);
    if (custom && !same_bounds(sum, h)) {
        info->bounds_reconciled = true;
        ok = add_with_other_bounds(sum, h, sign);
    } else {
        ok = true;
        if (h->schema < sum->schema) {
            hist_sum_reduce(sum, h->schema);
        } else if (h->schema > sum->schema) {
            unsigned by = (unsigned)(h->schema - sum->schema);

            ok = reduced(sum->arena, &h->positive, by, &positive) &&
                 reduced(sum->arena, &h->negative, by, &negative);
        }
        ok = ok && side_add(sum, &sum->side[0], &positive, sign, sum->zero_threshold) &&
             side_add(sum, &sum->side[1], &negative, sign, sum->zero_threshold);
    }
    if (!ok) info->out_of_memory = true;
    return ok;
}

/* The numbers of a sum, or its compensations, as a histogram. */
static Hist part_of(const HistSum *sum, bool comp) {
    const HistSide *side = sum->side;

    return (Hist){.schema = sum->schema,
                  .hint = sum->hint,
                  .zero_threshold = sum->zero_threshold,
                  .zero_count = comp ? sum->zero_comp : sum->zero_count,
                  .count = comp ? sum->count_comp : sum->count,
                  .sum = comp ? sum->sum_comp : sum->sum,
                  .positive = {side[0].index, comp ? side[0].comp : side[0].count, side[0].n},
                  .negative = {side[1].index, comp ? side[1].comp : side[1].count, side[1].n},
                  .bounds = sum->bounds,
                  .bound_count = sum->bound_count};
}

bool hist_sum_merge(HistSum *sum, const HistSum *other, HistSumInfo *info) {
    Hist numbers = part_of(other, false), comps;

    if (!hist_sum_add(sum, &numbers, 1, info)) return false;
    if (!other->compensated) return true;
    comps = part_of(other, true);
    return hist_sum_add(sum, &comps, 1, info);
}

static void scale_number(double *v, double factor, bool divide) {
    *v = divide ? *v / factor : *v * factor;
}

static void scale(HistSum *sum, double factor, bool divide) {
    double *numbers[] = {&sum->zero_count, &sum->zero_comp, &sum->count,
                         &sum->count_comp, &sum->sum,       &sum->sum_comp};

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (i % 2 == 0 || sum->compensated) scale_number(numbers[i], factor, divide);
    if (divide && factor == 0) {
        sum->side[0].n = sum->side[1].n = 0;
        return;
    }
    for (int s = 0; s < 2; s++) {
        HistSide *side = &sum->side[s];

        for (uint32_t i = 0; i < side->n; i++) {
            scale_number(&side->count[i], factor, divide);
            if (sum->compensated) scale_number(&side->comp[i], factor, divide);
        }
    }
    if (factor < 0) sum->hint = HISTOGRAM_HINT_GAUGE;
}

void hist_sum_multiply(HistSum *sum, double factor) {
    scale(sum, factor, false);
}

void hist_sum_divide(HistSum *sum, double divisor) {
    scale(sum, divisor, true);
}

bool hist_sum_is_infinite(const HistSum *sum) {
    if (isinf(sum->zero_count) || isinf(sum->count) || isinf(sum->sum)) return true;
    for (int s = 0; s < 2; s++)
        for (uint32_t i = 0; i < sum->side[s].n; i++)
            if (isinf(sum->side[s].count[i])) return true;
    return false;
}

const Hist *hist_sum_finish(HistSum *sum, bool compact) {
    Hist *h;

    if (sum->compensated) {
        sum->zero_count += sum->zero_comp;
        sum->count += sum->count_comp;
        sum->sum += sum->sum_comp;
        for (int s = 0; s < 2; s++)
            for (uint32_t i = 0; i < sum->side[s].n; i++) {
                sum->side[s].count[i] += sum->side[s].comp[i];
                sum->side[s].comp[i] = 0;
            }
    }
    if (compact) {
        side_compact(sum, &sum->side[0]);
        side_compact(sum, &sum->side[1]);
    }
    h = arena_alloc(sum->arena, sizeof *h);
    if (h != NULL) *h = part_of(sum, false);
    return h;
}

const Hist *hist_add(Arena *arena, const Hist *a, const Hist *b, int sign, HistSumInfo *info) {
    HistSum sum;
    const Hist *h;

    if (!hist_sum_init(&sum, arena, a, false)) {
        info->out_of_memory = true;
        return NULL;
    }
    if (!hist_sum_add(&sum, b, sign, info)) return NULL;
    h = hist_sum_finish(&sum, true);
    if (h == NULL) info->out_of_memory = true;
    return h;
}

static const Hist *scaled(Arena *arena, const Hist *h, double factor, bool divide, bool compact) {
    HistSum sum;

    if (!hist_sum_init(&sum, arena, h, false)) return NULL;
    scale(&sum, factor, divide);
    return hist_sum_finish(&sum, compact);
}

const Hist *hist_multiply(Arena *arena, const Hist *h, double factor, bool compact) {
    return scaled(arena, h, factor, false, compact);
}

const Hist *hist_divide(Arena *arena, const Hist *h, double divisor, bool compact) {
    return scaled(arena, h, divisor, true, compact);
}
