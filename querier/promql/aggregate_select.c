/*
 * aggregate_select.c: limitk, limit_ratio, quantile and count_values, which need all columns at
 * once.
 */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "common/base/rune.h"
#include "querier/exec/go_float.h"
#include "querier/promql/aggregate.h"
#include "querier/promql/functions.h"
#include "querier/promql/range.h"

/* ---- limitk, limit_ratio ---- */

static void append_sized(Buf *out, Str s) {
    if (s.len < 255) {
        buf_append_byte(out, (char)s.len);
    } else {
        buf_append_byte(out, (char)255);
        buf_append_byte(out, (char)(s.len & 255));
        buf_append_byte(out, (char)(s.len >> 8 & 255));
        buf_append_byte(out, (char)(s.len >> 16 & 255));
    }
    buf_append_str(out, s);
}

/* Where a series stands between 0 and 1: the hash that Prometheus samples with, so that both pick
 * the same series. */
static double ratio_offset(const Eval *eval, LabelSet labels, Buf *buffer) {
    buf_clear(buffer);
    for (uint32_t i = 0; i < labels.count; i++) {
        append_sized(buffer, symbols_str(eval->symbols, labels.labels[i].name));
        append_sized(buffer, symbols_str(eval->symbols, labels.labels[i].value));
    }
    return (double)XXH64(buffer->ptr, buffer->len, 0) / 0x1p64;
}

/* Clears the samples of steps that a series is not picked for. */
static void pick_steps(Column *column, const Grid *grid, const uint64_t *picked) {
    for (uint32_t w = 0; w < grid_words(grid); w++) column->present[w] &= picked[w];
    if (column->hists == NULL) return;
    for (uint32_t s = 0; s < grid->steps; s++)
        if (!bits_get(picked, s)) column->hists[s] = NULL;
}

static bool has_sample(const Column *column, uint32_t step) {
    return column_has(column, step) || (column->hists != NULL && column->hists[step] != NULL);
}

static ErrCode pick(Eval *eval, const Node *node, const Grid *grid, const double *param,
                    const Vector *in, const Groups *groups, Error *err) {
    bool ratio = node->expr->as.aggregate.op == PROMQL_LIMIT_RATIO;
    uint32_t *counts =
        ARENA_ARRAY(eval->arena, uint32_t, ratio ? 1 : (size_t)groups->count * grid->steps + 1);
    uint64_t *picked = arena_alloc(eval->arena, grid_words(grid) * sizeof *picked);
    Buf buffer;

    if (counts == NULL || picked == NULL) return eval_out_of_memory(err);
    buf_init(&buffer, 0);
    for (size_t i = 0; i < in->count; i++) {
        Column *column = &in->columns[i];
        double offset = ratio ? ratio_offset(eval, in->labels[i], &buffer) : 0;

        memset(picked, 0, grid_words(grid) * sizeof *picked);
        for (uint32_t s = 0; s < grid->steps; s++) {
            bool take;

            if (!has_sample(column, s)) continue;
            if (ratio) {
                double r = fmax(-1, fmin(1, param[s]));

                take = r >= 0 ? offset < r : offset >= 1 + r;
            } else {
                uint32_t *count = &counts[(size_t)groups->of_series[i] * grid->steps + s];

                take = *count < trunc(param[s]);
                *count += take;
            }
            if (take) bits_set(picked, s);
        }
        pick_steps(column, grid, picked);
    }
    buf_done(&buffer);
    return ERR_OK;
}

/* A copy of a vector's columns that may be changed. */
static ErrCode own_columns(Eval *eval, const Vector *from, const Grid *grid, Vector *out,
                           Error *err) {
    TRY(vector_new(eval, from->count, out, err));
    for (size_t i = 0; i < from->count; i++) {
        const Column *in = &from->columns[i];
        Column *column = &out->columns[i];

        out->labels[i] = from->labels[i];
        out->drops[i] = from->drops[i];
        TRY(column_new(out->arena, grid, column, err));
        memcpy(column->values, in->values, grid->steps * sizeof(double));
        memcpy(column->present, in->present, grid_words(grid) * sizeof(uint64_t));
        if (in->hists == NULL) continue;
        TRY(column_add_hists(out->arena, grid, column, err));
        for (uint32_t s = 0; s < grid->steps; s++) {
            if (in->hists[s] == NULL) continue;
            column->hists[s] = hist_dup(out->arena, in->hists[s]);
            if (column->hists[s] == NULL) return eval_out_of_memory(err);
        }
    }
    out->count = from->count;
    return ERR_OK;
}

ErrCode aggregate_limit(Eval *eval, const Node *node, const Grid *grid, const double *param,
                        Stream *out, Error *err) {
    Vector in, result;
    Stream stream;
    Groups groups;

    TRY(eval_vector(eval, node->args[0], grid, &in, err));
    TRY(own_columns(eval, &in, grid, &result, err));
    vector_free(eval, &in);
    stream = (Stream){.count = result.count, .labels = result.labels, .drops = result.drops};
    TRY(groups_make(eval, node, &stream, &groups, err));
    TRY(pick(eval, node, grid, param, &result, &groups, err));
    TRY(vector_finish(eval, &result, grid, err));
    return stream_keep(eval, &result, grid, out, err);
}

/* ---- quantile ---- */

/* Brings the values that would be at `k` and after it, if sorted, to `k` and after it. */
static void select_nth(double *v, size_t count, size_t k) {
    size_t low = 0, high = count - 1;

    while (low < high) {
        double pivot = v[low + (high - low) / 2];
        size_t i = low, j = high;

        for (;;) {
            double swap;

            while (v[i] < pivot) i++;
            while (pivot < v[j]) j--;
            if (i >= j) break;
            swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        /* What is up to j is not above the pivot, the rest not below; j is never the end. */
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
}

/* As quantile_of_sorted() of the sorted values, NaN being the smallest. */
static double quantile_of(double q, double *v, size_t count) {
    size_t nans = 0, rank;
    double low, high = INFINITY, weight;

    if (count == 0 || isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    for (size_t i = 0; i < count; i++) {
        double swap = v[i];

        if (!isnan(swap)) continue;
        v[i] = v[nans];
        v[nans++] = swap;
    }
    rank = (size_t)floor(q * (double)(count - 1));
    weight = q * (double)(count - 1) - floor(q * (double)(count - 1));
    if (rank >= nans) select_nth(v + nans, count - nans, rank - nans);
    low = v[rank];
    if (rank + 1 >= count) {
        high = low;
    } else if (rank + 1 < nans) {
        high = NAN;
    } else {
        for (size_t i = MAX(rank + 1, nans); i < count; i++) high = fmin(high, v[i]);
    }
    return weight == 0 ? low : low * (1 - weight) + high * weight;
}

typedef struct QuantileWork {
    Eval *eval;
    const Node *node;
    const Vector *in;
    const Grid *grid;
    const Groups *groups;
    const double *q;
    uint32_t *start; /* per group: into `series` */
    uint32_t *series;
    Column *columns; /* results, per group */
} QuantileWork;

static ErrCode quantile_part(void *context, const StreamPart *part, Worker *worker, Error *err) {
    const QuantileWork *work = context;

    for (size_t g = part->begin; g < part->end; g++) {
        uint32_t begin = work->start[g], end = work->start[g + 1];
        double *values;

        arena_reset(worker->series);
        values = arena_alloc(worker->series, MAX(end - begin, 1) * sizeof *values);
        if (values == NULL) return eval_out_of_memory(err);
        for (uint32_t s = 0; s < work->grid->steps; s++) {
            size_t count = 0;

            for (uint32_t k = begin; k < end; k++) {
                const Column *column = &work->in->columns[work->series[k]];

                if (column_has(column, s)) values[count++] = column->values[s];
            }
            if (count == 0) continue;
            work->columns[g].values[s] = quantile_of(work->q[s], values, count);
            bits_set(work->columns[g].present, s);
            TRY(worker_check(worker, end - begin, err));
        }
    }
    return ERR_OK;
}

static ErrCode list_groups(QuantileWork *work, Error *err) {
    Eval *eval = work->eval;
    size_t count = work->in->count;

    work->start = ARENA_ARRAY(eval->arena, uint32_t, (size_t)work->groups->count + 2);
    work->series = arena_alloc(eval->arena, MAX(count, 1) * sizeof(uint32_t));
    if (work->start == NULL || work->series == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < count; i++) work->start[work->groups->of_series[i] + 2]++;
    for (uint32_t g = 0; g < work->groups->count; g++) work->start[g + 2] += work->start[g + 1];
    for (size_t i = 0; i < count; i++)
        work->series[work->start[work->groups->of_series[i] + 1]++] = (uint32_t)i;
    return ERR_OK;
}

ErrCode aggregate_quantile(Eval *eval, const Node *node, const Grid *grid, const double *q,
                           Stream *out, Error *err) {
    QuantileWork work = {.eval = eval, .node = node, .grid = grid, .q = q};
    Vector in, result;
    Stream stream, by_group;
    Groups groups;

    TRY(eval_vector(eval, node->args[0], grid, &in, err));
    stream = (Stream){.count = in.count, .labels = in.labels, .drops = in.drops};
    TRY(groups_make(eval, node, &stream, &groups, err));
    work.in = &in;
    work.groups = &groups;
    TRY(list_groups(&work, err));
    TRY(vector_new(eval, groups.count, &result, err));
    for (uint32_t g = 0; g < groups.count; g++) {
        result.labels[g] = groups.labels[g];
        result.drops[g] = groups.drops[g];
        TRY(column_new(result.arena, grid, &result.columns[g], err));
    }
    result.count = groups.count;
    work.columns = result.columns;
    for (size_t i = 0; i < in.count; i++)
        if (in.columns[i].hists != NULL) {
            annotate_more(eval->annotations, ANNOTATION_HISTOGRAM_IGNORED, node->args[0]->id,
                          " quantile aggregation");
            break;
        }
    by_group = (Stream){.count = groups.count, .grid = *grid};
    TRY(stream_each(eval, &by_group, stream_parts(&by_group), quantile_part, &work, err));
    vector_free(eval, &in);
    TRY(vector_finish(eval, &result, grid, err));
    return stream_keep(eval, &result, grid, out, err);
}

/* ---- count_values ---- */

typedef struct CountWork {
    Eval *eval;
    const Grid *grid;
    Grouping grouping;
    uint32_t value_label;
    LabelTable table;
    Column *columns; /* counts, per set of the table */
    uint32_t capacity;
    Arena *arena; /* of the columns */
} CountWork;

static ErrCode count_column(CountWork *work, uint32_t i, Error *err) {
    if (i >= work->capacity) {
        uint32_t capacity = MAX(work->capacity * 2, 16);
        Column *columns = ARENA_ARRAY(work->arena, Column, capacity);

        if (columns == NULL) return eval_out_of_memory(err);
        if (work->capacity > 0) memcpy(columns, work->columns, work->capacity * sizeof *columns);
        work->columns = columns;
        work->capacity = capacity;
    }
    if (work->columns[i].values == NULL) {
        TRY(column_new(work->arena, work->grid, &work->columns[i], err));
        memset(work->columns[i].values, 0, work->grid->steps * sizeof(double));
    }
    return ERR_OK;
}

static ErrCode counted_set(CountWork *work, LabelSet labels, const Buf *text, uint32_t *ret,
                           Error *err) {
    uint32_t value =
        buf_failed(text) ? SYMBOL_NONE : symbols_add(work->eval->symbols, buf_str(text));
    LabelSet set;
    Label *buffer;

    if (value == SYMBOL_NONE ||
        !labels_set(work->eval->arena, work->eval->symbols, labels, work->value_label, value, &set))
        return eval_out_of_memory(err);
    buffer = arena_alloc(work->eval->arena, set.count * sizeof *buffer);
    if (buffer == NULL) return eval_out_of_memory(err);
    *ret = label_table_add(&work->table, grouping_labels(&work->grouping, set, buffer), true);
    return *ret == SYMBOL_NONE ? eval_out_of_memory(err) : count_column(work, *ret, err);
}

static ErrCode count_series(CountWork *work, LabelSet labels, const Column *column, Buf *text,
                            Error *err) {
    const Hist *last_hist = NULL;
    uint32_t set = SYMBOL_NONE;
    double last = 0;

    for (uint32_t s = 0; s < work->grid->steps; s++) {
        const Hist *hist = column->hists == NULL ? NULL : column->hists[s];
        double v = column->values[s];
        bool same = set != SYMBOL_NONE && hist == last_hist &&
                    (hist != NULL || memcmp(&v, &last, sizeof v) == 0);

        if (hist == NULL && !column_has(column, s)) continue;
        if (!same) {
            buf_clear(text);
            if (hist != NULL)
                hist_append_text(text, hist);
            else
                go_append_f(text, v);
            TRY(counted_set(work, labels, text, &set, err));
        }
        last = v;
        last_hist = hist;
        work->columns[set].values[s]++;
        bits_set(work->columns[set].present, s);
    }
    return ERR_OK;
}

static ErrCode bad_label(Str label, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf quoted;

    buf_init(&quoted, 0);
    rune_quote(&quoted, str_slice(label, 0, 256));
    return error_set(err, ERR_INVALID, "invalid label name " STR_FMT, STR_ARG(buf_str(&quoted)));
}

ErrCode aggregate_count_values(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                               Error *err) {
    Str label = node->args[1]->expr->as.string.value;
    CountWork work = {.eval = eval, .grid = grid};
    ErrCode code = ERR_OK;
    Vector in, result;
    Buf text;

    if (label.len == 0 || !str_is_utf8(label)) return bad_label(label, err);
    TRY(eval_vector(eval, node->args[0], grid, &in, err));
    TRY(grouping_make(eval, node, label, &work.grouping, err));
    work.value_label = symbols_add(eval->symbols, label);
    if (work.value_label == SYMBOL_NONE || !label_table_init(&work.table, eval->arena, 64))
        return eval_out_of_memory(err);
    work.arena = arena_new(0, arena_budget(eval->arena));
    if (work.arena == NULL) return eval_out_of_memory(err);
    buf_init(&text, 1 << 20);
    for (size_t i = 0; code == ERR_OK && i < in.count; i++) {
        code = count_series(&work, in.labels[i], &in.columns[i], &text, err);
        if (code == ERR_OK && i % 256 == 0) code = query_check(eval->query, err);
    }
    buf_done(&text);
    if (code == ERR_OK) code = vector_new(eval, work.table.count, &result, err);
    if (code != ERR_OK || !arena_on_free(result.arena, (void (*)(void *))arena_free, work.arena)) {
        arena_free(work.arena);
        return code != ERR_OK ? code : eval_out_of_memory(err);
    }
    for (uint32_t i = 0; i < work.table.count; i++) {
        result.labels[i] = work.table.sets[i];
        result.columns[i] = work.columns[i];
    }
    result.count = work.table.count;
    vector_free(eval, &in);
    TRY(vector_finish(eval, &result, grid, err));
    return stream_keep(eval, &result, grid, out, err);
}
