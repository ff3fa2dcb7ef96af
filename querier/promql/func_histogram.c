/*
 * func_histogram.c: histogram_quantile(), histogram_quantiles() and histogram_fraction() of classic
 * and native histograms.
 *
 * The series of a classic histogram are found once by their labels without `le` and sorted by it;
 * then each step is an array of counts. Histograms are independent of each other, so they are
 * spread over threads.
 */
#include <stdlib.h>

#include "common/base/number.h"
#include "querier/exec/go_float.h"
#include "querier/promql/classic.h"
#include "querier/promql/functions.h"
#include "querier/promql/label_ops.h"

/* A histogram of the input: classic, native, or at some steps the one, at some the other. */
typedef struct Source {
    LabelSet labels; /* without le */
    bool has_native;
    uint32_t native;     /* series of the vector */
    uint32_t begin, end; /* of `members`: the buckets' series, by bound */
} Source;

typedef struct Member {
    uint32_t source;
    uint32_t series;
    double upper;
} Member;

typedef struct HistogramWork {
    Eval *eval;
    const Node *node;
    const Grid *grid;
    const Node *arg; /* the vector */
    Vector in;
    Source *sources;
    uint32_t source_count;
    Member *members;
    uint32_t member_count;
    bool fraction;
    const double *lower, *upper; /* histogram_fraction */
    const double *const *q;      /* quantiles, per step */
    uint32_t q_count;
    Column *columns; /* results: source x quantile */
} HistogramWork;

static int compare_members(const void *a, const void *b) {
    const Member *x = a, *y = b;

    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    if (x->upper != y->upper) return x->upper < y->upper ? -1 : 1;
    return (x->series > y->series) - (x->series < y->series);
}

static bool parse_bound(Str text, double *out) {
    return number_parse(text.ptr, text.len, out) && !isnan(*out);
}

static ErrCode add_source(HistogramWork *work, LabelTable *table, LabelSet labels, uint32_t *ret,
                          Error *err) {
    uint32_t i = label_table_add(table, labels, false);

    if (i == SYMBOL_NONE) return eval_out_of_memory(err);
    if (i == work->source_count) work->sources[work->source_count++].labels = labels;
    *ret = i;
    return ERR_OK;
}

static ErrCode add_series(HistogramWork *work, LabelTable *table, uint32_t i, Error *err) {
    Eval *eval = work->eval;
    const Column *column = &work->in.columns[i];
    LabelSet labels = work->in.labels[i];
    uint32_t source = 0;

    if (column->hists != NULL) {
        TRY(add_source(work, table, labels, &source, err));
        work->sources[source].has_native = true;
        work->sources[source].native = i;
    }
    if (bits_any(column->present, grid_words(work->grid))) {
        Str le = symbols_str(eval->symbols, label_set_get(labels, eval->le_symbol));
        LabelSet rest;
        double upper;

        if (!parse_bound(le, &upper)) {
            annotate_bad_bucket(eval->annotations, work->arg->id, le, metric_name(eval, labels));
            return ERR_OK;
        }
        if (!labels_drop(eval->arena, labels, &eval->le_symbol, 1, &rest))
            return eval_out_of_memory(err);
        TRY(add_source(work, table, rest, &source, err));
        work->members[work->member_count++] = (Member){source, i, upper};
    }
    return ERR_OK;
}

static ErrCode find_sources(HistogramWork *work, Error *err) {
    size_t count = work->in.count;
    LabelTable table;

    work->sources = ARENA_ARRAY(work->eval->arena, Source, count * 2 + 1);
    work->members = ARENA_ARRAY(work->eval->arena, Member, count + 1);
    if (work->sources == NULL || work->members == NULL ||
        !label_table_init(&table, work->eval->arena, 64))
        return eval_out_of_memory(err);
    for (size_t i = 0; i < count; i++) TRY(add_series(work, &table, (uint32_t)i, err));
    qsort(work->members, work->member_count, sizeof *work->members, compare_members);
    for (uint32_t m = 0; m < work->member_count; m++) {
        Source *source = &work->sources[work->members[m].source];

        if (source->end == 0) source->begin = m;
        source->end = m + 1;
    }
    return ERR_OK;
}

/* ---- one step ---- */

typedef struct SourceStep {
    const HistogramWork *work;
    const Source *source;
    Worker *worker;
    Column *results; /* of the source, per quantile */
    uint32_t step;
    MonotonicityFixes fixes;
} SourceStep;

static void classic_step(SourceStep *at, ClassicBucket *buckets, size_t n) {
    const HistogramWork *work = at->work;

    for (uint32_t k = 0; k < work->q_count; k++) {
        Column *out = &at->results[k];
        ClassicBucket *copy = buckets + n;
        ClassicFix fix = {0};
        double v;

        memcpy(copy, buckets, n * sizeof *copy);
        v = work->fraction ? classic_fraction(work->lower[at->step], work->upper[at->step], copy, n)
                           : classic_quantile(work->q[k][at->step], copy, n, &fix);
        if (fix.forced) {
            int64_t time = grid_time(work->grid, at->step);

            monotonicity_add(&at->fixes, &(MonotonicityFixes){1, time, time, fix.min_bucket,
                                                              fix.max_bucket, fix.max_diff});
        }
        out->values[at->step] = v;
        bits_set(out->present, at->step);
    }
}

static void native_step(const SourceStep *at, const Hist *h) {
    const HistogramWork *work = at->work;
    Annotations *annotations = at->worker->annotations;
    Str name = metric_name(work->eval, at->source->labels);

    for (uint32_t k = 0; k < work->q_count; k++) {
        Column *out = &at->results[k];
        HistNanInfo info = {0};
        bool has_nan = false;

        out->values[at->step] = work->fraction ? hist_fraction(work->lower[at->step],
                                                               work->upper[at->step], h, &has_nan)
                                               : hist_quantile(work->q[k][at->step], h, &info);
        bits_set(out->present, at->step);
        if (info.result_is_nan)
            annotate_for_name(annotations, ANNOTATION_QUANTILE_NAN, work->arg->id, name);
        if (info.result_is_skewed)
            annotate_for_name(annotations, ANNOTATION_QUANTILE_SKEWED, work->arg->id, name);
        if (has_nan) annotate_for_name(annotations, ANNOTATION_FRACTION_NAN, work->arg->id, name);
    }
}

/* The buckets of a source at a step, by bound. */
static size_t gather_buckets(const SourceStep *at, ClassicBucket *buckets) {
    const HistogramWork *work = at->work;
    size_t n = 0;

    for (uint32_t m = at->source->begin; m < at->source->end; m++) {
        const Column *column = &work->in.columns[work->members[m].series];

        if (column_has(column, at->step))
            buckets[n++] = (ClassicBucket){work->members[m].upper, column->values[at->step]};
    }
    return n;
}

static ErrCode source_part(void *context, const StreamPart *part, Worker *worker, Error *err) {
    const HistogramWork *work = context;

    for (size_t i = part->begin; i < part->end; i++) {
        const Source *source = &work->sources[i];
        const Column *native = source->has_native ? &work->in.columns[source->native] : NULL;
        uint32_t members = source->end - source->begin;
        SourceStep at = {.work = work,
                         .source = source,
                         .worker = worker,
                         .results = work->columns + i * work->q_count};
        ClassicBucket *buckets;
        Str name = metric_name(work->eval, source->labels);

        arena_reset(worker->series);
        buckets = arena_alloc(worker->series, (size_t)(members + 1) * 2 * sizeof *buckets);
        if (buckets == NULL) return eval_out_of_memory(err);
        for (; at.step < work->grid->steps; at.step++) {
            const Hist *h = native == NULL ? NULL : native->hists[at.step];
            size_t n = gather_buckets(&at, buckets);

            if (n > 0 && h != NULL)
                annotate_for_name(worker->annotations, ANNOTATION_MIXED_CLASSIC_NATIVE,
                                  work->arg->id, name);
            else if (n > 0)
                classic_step(&at, buckets, n);
            else if (h != NULL)
                native_step(&at, h);
            TRY(worker_check(worker, members * 4, err));
        }
        annotate_monotonicity(worker->annotations, work->arg->id, name, &at.fixes);
    }
    return ERR_OK;
}

/* ---- results ---- */

/* Quantiles as label values; `q` may differ from step to step, and then so does the label. */
static ErrCode quantile_label(Eval *eval, double q, uint32_t *ret, Error *err) {
    Buf text;

    buf_init(&text, 64);
    go_append_open_metrics(&text, q);
    *ret = buf_failed(&text) ? SYMBOL_NONE : symbols_add(eval->symbols, buf_str(&text));
    buf_done(&text);
    return *ret == SYMBOL_NONE ? eval_out_of_memory(err) : ERR_OK;
}

/* Adds the steps of `column` at which quantile k is `q` as a series of its own. */
static ErrCode put_quantile(const HistogramWork *work, Vector *out, size_t i, uint32_t k, double q,
                            uint32_t name, Error *err) {
    const Column *from = &work->columns[i * work->q_count + k];
    Column *to = &out->columns[out->count];
    uint32_t value;

    TRY(quantile_label(work->eval, q, &value, err));
    if (!labels_set(work->eval->arena, work->eval->symbols, work->sources[i].labels, name, value,
                    &out->labels[out->count]))
        return eval_out_of_memory(err);
    TRY(column_new(out->arena, work->grid, to, err));
    memcpy(to->values, from->values, work->grid->steps * sizeof(double));
    BITS_EACH(s, from->present, grid_words(work->grid)) {
        double here = work->q[k][s];

        if (here == q || (isnan(here) && isnan(q))) bits_set(to->present, s);
    }
    out->drops[out->count++] = true;
    return ERR_OK;
}

static bool seen_before(const double *values, uint32_t step) {
    for (uint32_t s = 0; s < step; s++)
        if (values[s] == values[step] || (isnan(values[s]) && isnan(values[step]))) return true;
    return false;
}

static ErrCode put_quantiles(const HistogramWork *work, Vector *out, Error *err) {
    Str label = work->node->args[1]->expr->as.string.value;
    uint32_t name = symbols_add(work->eval->symbols, label);
    Arena *arena = work->eval->arena;
    uint32_t *first = arena_alloc(arena, work->grid->steps * work->q_count * sizeof *first);
    uint32_t *counts = ARENA_ARRAY(arena, uint32_t, work->q_count);
    size_t series = 0;

    if (name == SYMBOL_NONE || first == NULL || counts == NULL) return eval_out_of_memory(err);
    /* The steps at which a quantile has a value for the first time: usually just the first. */
    for (uint32_t k = 0; k < work->q_count; k++)
        for (uint32_t s = 0; s < work->grid->steps; s++) {
            if (s > 0 && work->q[k][s] == work->q[k][s - 1]) continue;
            if (seen_before(work->q[k], s)) continue;
            first[k * work->grid->steps + counts[k]++] = s;
            series++;
        }
    TRY(vector_new(work->eval, series * work->source_count, out, err));
    for (uint32_t k = 0; k < work->q_count; k++)
        for (size_t i = 0; i < work->source_count; i++)
            for (uint32_t f = 0; f < counts[k]; f++)
                TRY(put_quantile(work, out, i, k, work->q[k][first[k * work->grid->steps + f]],
                                 name, err));
    TRY(vector_finish(work->eval, out, work->grid, err));
    return vector_merge_equal(work->eval, out, work->grid, err);
}

static ErrCode compute(HistogramWork *work, Vector *out, Error *err) {
    Stream sources = {.count = work->source_count, .grid = *work->grid};
    size_t results = (size_t)work->source_count * work->q_count;
    Vector vector;

    TRY(vector_new(work->eval, results, &vector, err));
    for (size_t i = 0; i < results; i++) {
        vector.labels[i] = work->sources[i / work->q_count].labels;
        vector.drops[i] = true;
        TRY(column_new(vector.arena, work->grid, &vector.columns[i], err));
    }
    vector.count = results;
    work->columns = vector.columns;
    TRY(stream_each(work->eval, &sources, stream_parts(&sources), source_part, work, err));
    if (node_function(work->node) != PROMQL_FN_HISTOGRAM_QUANTILES) {
        *out = vector;
        return vector_finish(work->eval, out, work->grid, err);
    }
    TRY(put_quantiles(work, out, err));
    vector_free(work->eval, &vector);
    return ERR_OK;
}

static void check_quantile(const HistogramWork *work, const Node *node, const double *q) {
    for (uint32_t s = 0; s < work->grid->steps; s++) {
        if (q[s] >= 0 && q[s] <= 1) continue;
        if (s > 0 && (q[s] == q[s - 1] || (isnan(q[s]) && isnan(q[s - 1])))) continue;
        annotate_number(work->eval->annotations, ANNOTATION_INVALID_QUANTILE, node->id, q[s]);
    }
}

static ErrCode read_args(HistogramWork *work, Error *err) {
    const Node *node = work->node;
    uint32_t first = 0, count = 1;
    const double **q;

    work->arg = node->args[node_is_call(node, PROMQL_FN_HISTOGRAM_QUANTILES)  ? 0
                           : node_is_call(node, PROMQL_FN_HISTOGRAM_FRACTION) ? 2
                                                                              : 1];
    work->fraction = node_is_call(node, PROMQL_FN_HISTOGRAM_FRACTION);
    if (work->fraction) {
        work->q_count = 1;
        TRY(eval_scalar(work->eval, node->args[0], work->grid, &work->lower, err));
        TRY(eval_scalar(work->eval, node->args[1], work->grid, &work->upper, err));
        return eval_vector(work->eval, work->arg, work->grid, &work->in, err);
    }
    if (node_is_call(node, PROMQL_FN_HISTOGRAM_QUANTILES)) {
        TRY(eval_vector(work->eval, work->arg, work->grid, &work->in, err));
        first = 2;
        count = (uint32_t)node->arg_count - 2;
    }
    q = arena_alloc(work->eval->arena, count * sizeof *q);
    if (q == NULL) return eval_out_of_memory(err);
    for (uint32_t k = 0; k < count; k++)
        TRY(eval_scalar(work->eval, node->args[first + k], work->grid, &q[k], err));
    work->q = q;
    work->q_count = count;
    if (first == 0) TRY(eval_vector(work->eval, work->arg, work->grid, &work->in, err));
    for (uint32_t k = 0; k < count; k++) check_quantile(work, node->args[first + k], q[k]);
    return ERR_OK;
}

ErrCode eval_histogram_quantile(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                                Error *err) {
    HistogramWork work = {.eval = eval, .node = node, .grid = grid};
    Vector result;

    TRY(read_args(&work, err));
    TRY(find_sources(&work, err));
    TRY(compute(&work, &result, err));
    vector_free(eval, &work.in);
    return stream_keep(eval, &result, grid, out, err);
}
