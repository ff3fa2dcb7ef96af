/*
 * aggregate_fold.c: aggregations that fold one series after the other into its group: sum, avg,
 * count, min, max, group, stddev, stdvar.
 *
 * Series are read, folded and forgotten. Each part of the stream folds into accumulators of its
 * own, which are merged in order, so that the result does not depend on threads.
 */
#include "querier/promql/aggregate.h"
#include "querier/promql/hist_avg.h"
#include "querier/promql/kahan.h"
#include "querier/promql/simd.h"

enum { PARTS_MAX = 16, GROUP_POINTERS_MAX = 4 << 20 };

/* Two numbers below this have a finite sum. */
static const double SAFE_MAX = 0x1p1022;

/* Histograms of a group at one step. */
typedef struct FoldHist {
    HistAvg avg;
    bool set, incompatible, reset, no_reset;
} FoldHist;

/* One group's accumulators, per step. Which arrays there are depends on the operator. */
typedef struct Fold {
    uint64_t *seen;    /* has a float */
    bool full;         /* has one at every step */
    double *value;     /* sum, mean, minimum, count, sum of squares */
    double *comp;      /* of a compensated sum */
    double *count;     /* avg, stddev: those not in `all` */
    double all;        /* count, avg: series that had a float at every step */
    double *mean;      /* stddev */
    uint64_t *running; /* avg: value is a mean, for the sum would be infinite */
    FoldHist *hists;   /* NULL: none so far */
} Fold;

typedef struct FoldWork FoldWork;
typedef void (*FoldFloats)(const FoldWork *work, Fold *fold, const Column *column);

struct FoldWork {
    Eval *eval;
    const Node *node;
    const Stream *stream;
    const Grid *grid;
    Groups groups;
    PromqlAggregation op;
    FoldFloats floats;
    Fold ***folds;  /* per part: per group */
    Arena **arenas; /* per part */
    size_t parts;
};

static bool needs_count(PromqlAggregation op) {
    return op == PROMQL_AVG || op == PROMQL_STDDEV || op == PROMQL_STDVAR;
}

static Fold *fold_new(const FoldWork *work, Arena *arena) {
    size_t steps = work->grid->steps, words = grid_words(work->grid);
    bool sums = work->op == PROMQL_SUM || work->op == PROMQL_AVG;
    Fold *fold = ARENA_NEW(arena, Fold);

    if (fold == NULL) return NULL;
    fold->seen = ARENA_ARRAY(arena, uint64_t, words);
    fold->value = ARENA_ARRAY(arena, double, steps);
    if (fold->seen == NULL || fold->value == NULL) return NULL;
    if (sums && (fold->comp = ARENA_ARRAY(arena, double, steps)) == NULL) return NULL;
    if (needs_count(work->op) && (fold->count = ARENA_ARRAY(arena, double, steps)) == NULL)
        return NULL;
    if (work->op == PROMQL_AVG && (fold->running = ARENA_ARRAY(arena, uint64_t, words)) == NULL)
        return NULL;
    if ((work->op == PROMQL_STDDEV || work->op == PROMQL_STDVAR) &&
        (fold->mean = ARENA_ARRAY(arena, double, steps)) == NULL)
        return NULL;
    return fold;
}

/* ---- floats ---- */

/* Folds steps [begin, end), all of which the column has. */
static void sum_span(Fold *fold, const double *values, uint32_t begin, uint32_t end) {
    uint64_t ones = end - begin == 64 ? UINT64_MAX : (UINT64_C(1) << (end - begin)) - 1;
    uint64_t seen = fold->seen[begin / 64] >> (begin % 64) & ones;

    if (seen == ones) {
        simd_add(fold->value + begin, fold->comp + begin, values + begin, end - begin);
    } else if (seen == 0) {
        memcpy(fold->value + begin, values + begin, (end - begin) * sizeof *values);
    } else {
        for (uint32_t s = begin; s < end; s++) {
            if (bits_get(fold->seen, s))
                kahan_add(values[s], &fold->value[s], &fold->comp[s]);
            else
                fold->value[s] = values[s];
        }
    }
}

static void fold_sum(const FoldWork *work, Fold *fold, const Column *column) {
    uint32_t words = grid_words(work->grid);

    if (column->full && fold->full) {
        simd_add(fold->value, fold->comp, column->values, work->grid->steps);
        return;
    }
    for (uint32_t w = 0; w < words; w++) {
        uint64_t bits = column->present[w];

        /* Span after span of set bits. */
        while (bits != 0) {
            uint32_t begin = (uint32_t)__builtin_ctzll(bits);
            uint64_t clear = ~(bits >> begin);
            uint32_t count = clear == 0 ? 64 - begin : (uint32_t)__builtin_ctzll(clear);

            sum_span(fold, column->values, w * 64 + begin, w * 64 + begin + count);
            bits = begin + count >= 64 ? 0 : bits >> (begin + count) << (begin + count);
        }
        fold->seen[w] |= column->present[w];
    }
    fold->full = bits_are_full(fold->seen, work->grid->steps);
}

static void avg_one(Fold *fold, uint32_t s, double v) {
    double n = ++fold->count[s] + fold->all;

    if (n == 1) {
        fold->value[s] = v;
        return;
    }
    if (!bits_get(fold->running, s)) {
        double sum = fold->value[s], comp = fold->comp[s];

        kahan_add(v, &sum, &comp);
        if (!isinf(sum)) {
            fold->value[s] = sum;
            fold->comp[s] = comp;
            return;
        }
        bits_set(fold->running, s);
        fold->value[s] /= n - 1;
        fold->comp[s] /= n - 1;
    }
    fold->value[s] *= (n - 1) / n;
    fold->comp[s] *= (n - 1) / n;
    kahan_add(v / n, &fold->value[s], &fold->comp[s]);
}

static void fold_avg(const FoldWork *work, Fold *fold, const Column *column) {
    uint32_t words = grid_words(work->grid), steps = work->grid->steps;

    /* As long as no sum comes near to being infinite, it is just a sum. */
    if (column->full && fold->full && simd_is_below(column->values, steps, SAFE_MAX) &&
        simd_is_below(fold->value, steps, SAFE_MAX)) {
        simd_add(fold->value, fold->comp, column->values, steps);
        fold->all++;
        return;
    }
    BITS_EACH(s, column->present, words) avg_one(fold, s, column->values[s]);
    for (uint32_t w = 0; w < words; w++) fold->seen[w] |= column->present[w];
    fold->full = bits_are_full(fold->seen, steps) && !bits_any(fold->running, words);
}

static void fold_count(const FoldWork *work, Fold *fold, const Column *column) {
    if (column->full) {
        fold->all++;
    } else {
        BITS_EACH(s, column->present, grid_words(work->grid)) fold->value[s]++;
    }
    if (column->hists == NULL) return;
    for (uint32_t s = 0; s < work->grid->steps; s++) fold->value[s] += column->hists[s] != NULL;
}

static void fold_extreme(const FoldWork *work, Fold *fold, const Column *column, bool max) {
    uint32_t words = grid_words(work->grid);

    BITS_EACH(s, column->present, words) {
        double v = column->values[s], best = fold->value[s];

        if (!bits_get(fold->seen, s) || isnan(best) || (max ? best < v : best > v))
            fold->value[s] = v;
    }
    for (uint32_t w = 0; w < words; w++) fold->seen[w] |= column->present[w];
}

static void fold_max(const FoldWork *work, Fold *fold, const Column *column) {
    fold_extreme(work, fold, column, true);
}

static void fold_min(const FoldWork *work, Fold *fold, const Column *column) {
    fold_extreme(work, fold, column, false);
}

/* Welford's method. */
static void fold_variance(const FoldWork *work, Fold *fold, const Column *column) {
    uint32_t words = grid_words(work->grid);

    BITS_EACH(s, column->present, words) {
        double v = column->values[s], n = ++fold->count[s], delta;

        if (n == 1) {
            fold->mean[s] = v;
            fold->value[s] = isfinite(v) ? 0 : NAN;
            continue;
        }
        delta = v - fold->mean[s];
        fold->mean[s] += delta / n;
        fold->value[s] += delta * (v - fold->mean[s]);
    }
    for (uint32_t w = 0; w < words; w++) fold->seen[w] |= column->present[w];
}

static FoldFloats float_fold(PromqlAggregation op) {
    switch (op) {
    case PROMQL_SUM:
        return fold_sum;
    case PROMQL_AVG:
        return fold_avg;
    case PROMQL_MAX:
        return fold_max;
    case PROMQL_MIN:
        return fold_min;
    case PROMQL_STDDEV:
    case PROMQL_STDVAR:
        return fold_variance;
    default:
        return fold_count;
    }
}

/* ---- histograms ---- */

static ErrCode fold_hist(const FoldWork *work, FoldHist *to, const Hist *h, Worker *worker,
                         LabelSet labels, Arena *arena, Error *err) {
    HistSumInfo info = {0};
    uint32_t at = work->node->args[0]->id;
    bool ok;

    if (to->incompatible) return ERR_OK;
    to->reset |= h->hint == HISTOGRAM_HINT_RESET;
    to->no_reset |= h->hint == HISTOGRAM_HINT_NO_RESET;
    if (!to->set) {
        /* Custom bounds are shared, and the series' memory goes before the sum does. */
        const Hist *copy = hist_is_custom(h) ? hist_dup(arena, h) : h;

        to->set = true;
        return copy != NULL && hist_avg_init(&to->avg, arena, copy) ? ERR_OK
                                                                    : eval_out_of_memory(err);
    }
    ok = work->op == PROMQL_AVG ? hist_avg_add(&to->avg, h, &info)
                                : hist_sum_add(&to->avg.sum, h, 1, &info);
    if (info.out_of_memory) return eval_out_of_memory(err);
    if (info.bounds_reconciled)
        annotate_more(worker->annotations, ANNOTATION_BOUNDS_RECONCILED, at, " aggregation");
    if (!ok) {
        to->incompatible = true;
        annotate_name(worker->annotations, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM, at,
                      metric_name(work->eval, labels));
    }
    return ERR_OK;
}

static ErrCode fold_hists(const FoldWork *work, Fold *fold, const Column *column, Worker *worker,
                          LabelSet labels, Arena *arena, Error *err) {
    if (work->op == PROMQL_COUNT || work->op == PROMQL_GROUP) return ERR_OK;
    if (work->op != PROMQL_SUM && work->op != PROMQL_AVG) {
        annotate_more(worker->annotations, ANNOTATION_HISTOGRAM_IGNORED, work->node->args[0]->id,
                      " %s aggregation", promql_aggregation_name(work->op));
        return ERR_OK;
    }
    if (fold->hists == NULL) fold->hists = ARENA_ARRAY(arena, FoldHist, work->grid->steps);
    if (fold->hists == NULL) return eval_out_of_memory(err);
    for (uint32_t s = 0; s < work->grid->steps; s++)
        if (column->hists[s] != NULL)
            TRY(fold_hist(work, &fold->hists[s], column->hists[s], worker, labels, arena, err));
    return ERR_OK;
}

static bool any_hist(const Column *column, uint32_t steps) {
    for (uint32_t s = 0; column->hists != NULL && s < steps; s++)
        if (column->hists[s] != NULL) return true;
    return false;
}

static ErrCode fold_part(void *context, const StreamPart *part, Worker *worker, Error *err) {
    const FoldWork *work = context;
    Arena *arena = arena_new(0, arena_budget(work->eval->arena));
    Fold **folds;

    work->arenas[part->index] = arena;
    folds = ARENA_ARRAY(arena, Fold *, work->groups.count);
    if (folds == NULL) return eval_out_of_memory(err);
    work->folds[part->index] = folds;
    for (size_t i = part->begin; i < part->end; i++) {
        uint32_t group = work->groups.of_series[i];
        Column column;

        TRY(stream_read(work->stream, i, worker, &column, err));
        if (!column_any(&column, work->grid)) continue;
        if (folds[group] == NULL) folds[group] = fold_new(work, arena);
        if (folds[group] == NULL) return eval_out_of_memory(err);
        work->floats(work, folds[group], &column);
        if (any_hist(&column, work->grid->steps))
            TRY(fold_hists(work, folds[group], &column, worker, work->stream->labels[i], arena,
                           err));
    }
    return ERR_OK;
}

/* ---- merging parts ---- */

/* Counts of steps that series without gaps were not counted in one by one. */
static void spread_counts(const FoldWork *work, Fold *fold) {
    double *counts = work->op == PROMQL_AVG ? fold->count : fold->value;

    if (fold->all == 0) return;
    for (uint32_t s = 0; s < work->grid->steps; s++) counts[s] += fold->all;
    fold->all = 0;
}

static void merge_avg(Fold *to, const Fold *from, uint32_t s) {
    double n = to->count[s] + from->count[s], sum = to->value[s], comp = to->comp[s];
    double a = to->count[s] / n, b = from->count[s] / n;

    if (!bits_get(to->running, s) && !bits_get(from->running, s)) {
        kahan_add(from->value[s], &sum, &comp);
        kahan_add(from->comp[s], &sum, &comp);
        if (!isinf(sum)) {
            to->value[s] = sum;
            to->comp[s] = comp;
            to->count[s] = n;
            return;
        }
    }
    if (!bits_get(to->running, s)) a = 1 / n;
    if (!bits_get(from->running, s)) b = 1 / n;
    bits_set(to->running, s);
    to->value[s] *= a;
    to->comp[s] *= a;
    kahan_add(from->value[s] * b, &to->value[s], &to->comp[s]);
    kahan_add(from->comp[s] * b, &to->value[s], &to->comp[s]);
    to->count[s] = n;
}

static void merge_variance(Fold *to, const Fold *from, uint32_t s) {
    double a = to->count[s], b = from->count[s], n = a + b;
    double delta = from->mean[s] - to->mean[s];

    to->value[s] += from->value[s] + delta * delta * a * b / n;
    to->mean[s] += delta * b / n;
    to->count[s] = n;
}

static void merge_one(const FoldWork *work, Fold *to, const Fold *from, uint32_t s) {
    double v = from->value[s], best = to->value[s];

    switch (work->op) {
    case PROMQL_SUM:
        kahan_add(v, &to->value[s], &to->comp[s]);
        kahan_add(from->comp[s], &to->value[s], &to->comp[s]);
        break;
    case PROMQL_AVG:
        merge_avg(to, from, s);
        break;
    case PROMQL_MAX:
    case PROMQL_MIN:
        if (isnan(best) || (work->op == PROMQL_MAX ? best < v : best > v)) to->value[s] = v;
        break;
    default:
        merge_variance(to, from, s);
        break;
    }
}

/* What a step starts with when the earlier parts had nothing. */
static void take_one(Fold *to, const Fold *from, uint32_t s) {
    to->value[s] = from->value[s];
    if (to->comp != NULL) to->comp[s] = from->comp[s];
    if (to->count != NULL) to->count[s] = from->count[s];
    if (to->mean != NULL) to->mean[s] = from->mean[s];
    if (to->running != NULL && bits_get(from->running, s)) bits_set(to->running, s);
}

static ErrCode merge_hists(const FoldWork *work, Fold *to, Fold *from, Arena *arena, Error *err) {
    if (from->hists == NULL) return ERR_OK;
    if (to->hists == NULL) to->hists = ARENA_ARRAY(arena, FoldHist, work->grid->steps);
    if (to->hists == NULL) return eval_out_of_memory(err);
    for (uint32_t s = 0; s < work->grid->steps; s++) {
        FoldHist *a = &to->hists[s], *b = &from->hists[s];
        HistSumInfo info = {0};
        bool ok;

        if (!b->set) continue;
        if (!a->set) {
            *a = *b;
            continue;
        }
        a->reset |= b->reset;
        a->no_reset |= b->no_reset;
        if (b->incompatible) a->incompatible = true;
        if (a->incompatible) continue;
        a->avg.sum.arena = arena;
        ok = work->op == PROMQL_AVG ? hist_avg_merge(&a->avg, &b->avg, &info)
                                    : hist_sum_merge(&a->avg.sum, &b->avg.sum, &info);
        if (info.out_of_memory) return eval_out_of_memory(err);
        if (info.bounds_reconciled)
            annotate_more(work->eval->annotations, ANNOTATION_BOUNDS_RECONCILED,
                          work->node->args[0]->id, " aggregation");
        if (!ok) {
            a->incompatible = true;
            annotate_name(work->eval->annotations, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM,
                          work->node->args[0]->id, STR(""));
        }
    }
    return ERR_OK;
}

static ErrCode merge(const FoldWork *work, Fold *to, Fold *from, Arena *arena, Error *err) {
    uint32_t words = grid_words(work->grid);

    if (work->op == PROMQL_COUNT || work->op == PROMQL_GROUP) {
        for (uint32_t s = 0; s < work->grid->steps; s++) to->value[s] += from->value[s];
        return ERR_OK;
    }
    BITS_EACH(s, from->seen, words) {
        if (bits_get(to->seen, s))
            merge_one(work, to, from, s);
        else
            take_one(to, from, s);
    }
    for (uint32_t w = 0; w < words; w++) to->seen[w] |= from->seen[w];
    return merge_hists(work, to, from, arena, err);
}

/* ---- results ---- */

static double result_of(const FoldWork *work, const Fold *fold, uint32_t s) {
    double v = fold->value[s];

    switch (work->op) {
    case PROMQL_SUM:
        return v + fold->comp[s];
    case PROMQL_AVG:
        if (bits_get(fold->running, s)) return v + fold->comp[s];
        return v / fold->count[s] + fold->comp[s] / fold->count[s];
    case PROMQL_STDVAR:
        return v / fold->count[s];
    case PROMQL_STDDEV:
        return sqrt(v / fold->count[s]);
    default:
        return v;
    }
}

static ErrCode hist_results(const FoldWork *work, Fold *fold, Arena *arena, Column *out,
                            Error *err) {
    uint32_t at = work->node->args[0]->id;

    TRY(column_add_hists(arena, work->grid, out, err));
    for (uint32_t s = 0; s < work->grid->steps; s++) {
        FoldHist *hist = &fold->hists[s];
        const Hist *result;

        if (!hist->set) continue;
        if (bits_get(out->present, s)) {
            bits_clear(out->present, s);
            annotate_more(work->eval->annotations, ANNOTATION_MIXED_FLOATS_HISTOGRAMS, at,
                          " aggregation");
            continue;
        }
        if (hist->incompatible) continue;
        if (hist->reset && hist->no_reset)
            annotate_more(work->eval->annotations, ANNOTATION_RESET_COLLISION, at, " aggregation");
        hist->avg.sum.arena = arena;
        result = work->op == PROMQL_AVG ? hist_avg_finish(&hist->avg, true)
                                        : hist_sum_finish(&hist->avg.sum, true);
        if (result == NULL) return eval_out_of_memory(err);
        out->hists[s] = hist_dup(arena, result);
        if (out->hists[s] == NULL) return eval_out_of_memory(err);
    }
    return ERR_OK;
}

static ErrCode group_result(const FoldWork *work, Fold *fold, Arena *arena, Column *out,
                            Error *err) {
    TRY(column_new(arena, work->grid, out, err));
    if (work->op == PROMQL_COUNT || work->op == PROMQL_GROUP) {
        for (uint32_t s = 0; s < work->grid->steps; s++) {
            out->values[s] = work->op == PROMQL_GROUP ? 1 : fold->value[s];
            if (fold->value[s] > 0) bits_set(out->present, s);
        }
        return ERR_OK;
    }
    memcpy(out->present, fold->seen, grid_words(work->grid) * sizeof(uint64_t));
    BITS_EACH(s, fold->seen, grid_words(work->grid)) out->values[s] = result_of(work, fold, s);
    return fold->hists == NULL ? ERR_OK : hist_results(work, fold, arena, out, err);
}

static ErrCode fold_all(FoldWork *work, Vector *out, Error *err) {
    for (uint32_t g = 0; g < work->groups.count; g++) {
        Fold *total = NULL;

        for (size_t p = 0; p < work->parts; p++) {
            Fold *fold = work->folds[p] == NULL ? NULL : work->folds[p][g];

            if (fold == NULL) continue;
            spread_counts(work, fold);
            if (total == NULL)
                total = fold;
            else
                TRY(merge(work, total, fold, out->arena, err));
        }
        if (total == NULL) continue;
        out->labels[out->count] = work->groups.labels[g];
        out->drops[out->count] = work->groups.drops[g];
        TRY(group_result(work, total, out->arena, &out->columns[out->count], err));
        out->count++;
    }
    return vector_finish(work->eval, out, work->grid, err);
}

ErrCode aggregate_fold(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    FoldWork work = {.eval = eval, .node = node, .grid = grid, .op = node->expr->as.aggregate.op};
    Stream stream;
    Vector vector;
    ErrCode code;
    size_t most;

    TRY(eval_stream(eval, node->args[0], grid, &stream, err));
    TRY(groups_make(eval, node, &stream, &work.groups, err));
    work.stream = &stream;
    work.floats = float_fold(work.op);
    /* Each part has a pointer per group. */
    most = MAX(GROUP_POINTERS_MAX / ((size_t)work.groups.count + 1), 1);
    work.parts = MIN(MIN(stream_parts(&stream), PARTS_MAX), most);
    work.folds = ARENA_ARRAY(eval->arena, Fold **, work.parts);
    work.arenas = ARENA_ARRAY(eval->arena, Arena *, work.parts);
    if (work.folds == NULL || work.arenas == NULL) return eval_out_of_memory(err);
    code = stream_each(eval, &stream, work.parts, fold_part, &work, err);
    if (code == ERR_OK) code = vector_new(eval, work.groups.count, &vector, err);
    if (code == ERR_OK) code = fold_all(&work, &vector, err);
    for (size_t p = 0; p < work.parts; p++) arena_free(work.arenas[p]);
    if (code != ERR_OK) return code;
    return stream_keep(eval, &vector, grid, out, err);
}
