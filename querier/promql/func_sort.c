/*
 * func_sort.c: sort(), sort_desc(), sort_by_label(), sort_by_label_desc(): the order of an instant
 * query's result.
 */
#include <stdlib.h>

#include "querier/promql/functions.h"
#include "querier/promql/label_ops.h"

typedef struct SortWork {
    const Symbols *symbols;
    const Vector *vector;
    const uint32_t *names;
    size_t name_count;
    bool by_label, descending;
} SortWork;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The next run of digits or of others. */
static Str next_chunk(Str *s) {
    size_t n = 0;
    Str chunk;

    while (n < s->len && is_digit(s->ptr[n]) == is_digit(s->ptr[0])) n++;
    chunk = (Str){s->ptr, n};
    *s = str_from(*s, n);
    return chunk;
}

/* Numbers within the text compare as numbers: b2 before b10. */
static int compare_natural(Str a, Str b) {
    while (a.len > 0 && b.len > 0) {
        Str x = next_chunk(&a), y = next_chunk(&b);
        int64_t i, j;

        if (str_to_i64(x, &i) && str_to_i64(y, &j)) {
            if (i != j) return i < j ? -1 : 1;
        } else if (!str_equal(x, y)) {
            return str_compare(x, y);
        }
    }
    return (a.len > 0) - (b.len > 0);
}

static int compare_labels(const SortWork *work, LabelSet a, LabelSet b) {
    int order;

    for (size_t i = 0; i < work->name_count; i++) {
        uint32_t x = label_set_get(a, work->names[i]), y = label_set_get(b, work->names[i]);

        if (x == y) continue;
        order = compare_natural(symbols_str(work->symbols, x), symbols_str(work->symbols, y));
        if (order != 0) return work->descending ? -order : order;
    }
    order = label_set_compare(work->symbols, a, b);
    return work->descending ? -order : order;
}

/* NaN is last whichever the direction. */
static int compare_values(const SortWork *work, double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    if (a == b) return 0;
    return (a < b) != work->descending ? -1 : 1;
}

static int compare_series(const void *a, const void *b, void *context) {
    const SortWork *work = context;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const Vector *vector = work->vector;
    int order = work->by_label ? compare_labels(work, vector->labels[i], vector->labels[j])
                               : compare_values(work, vector->columns[i].values[0],
                                                vector->columns[j].values[0]);

    return order != 0 ? order : (i > j) - (i < j);
}

static ErrCode sort_series(Eval *eval, const SortWork *work, Vector *out, const Grid *grid,
                           Error *err) {
    const Vector *in = work->vector;
    uint32_t *order = arena_alloc(eval->arena, MAX(in->count, 1) * sizeof *order);

    if (order == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < in->count; i++) order[i] = (uint32_t)i;
    if (!grid->ranged && grid->steps == 1)
        qsort_r(order, in->count, sizeof *order, compare_series, (void *)work);
    TRY(vector_new(eval, in->count, out, err));
    for (size_t i = 0; i < in->count; i++) {
        out->labels[i] = in->labels[order[i]];
        out->drops[i] = in->drops[order[i]];
        out->columns[i] = in->columns[order[i]];
        if (!work->by_label) out->columns[i].hists = NULL;
    }
    out->count = in->count;
    return vector_finish(eval, out, grid, err);
}

ErrCode eval_sort(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    PromqlFunctionId id = node_function(node);
    SortWork work = {.symbols = eval->symbols,
                     .name_count = node->arg_count - 1,
                     .by_label =
                         id == PROMQL_FN_SORT_BY_LABEL || id == PROMQL_FN_SORT_BY_LABEL_DESC,
                     .descending = id == PROMQL_FN_SORT_DESC || id == PROMQL_FN_SORT_BY_LABEL_DESC};
    Str *names = arena_alloc(eval->arena, MAX(node->arg_count, 1) * sizeof *names);
    Vector in, result;
    uint32_t *ids;

    if (names == NULL) return eval_out_of_memory(err);
    for (size_t i = 1; i < node->arg_count; i++)
        names[i - 1] = node->args[i]->expr->as.string.value;
    if (!labels_names(eval->symbols, eval->arena, names, work.name_count, &ids))
        return eval_out_of_memory(err);
    work.names = ids;
    TRY(eval_vector(eval, node->args[0], grid, &in, err));
    if (grid->ranged) annotate(eval->annotations, ANNOTATION_SORT_IN_RANGE, node->id);
    work.vector = &in;
    /* Columns are shared with the input, which therefore stays. */
    TRY(sort_series(eval, &work, &result, grid, err));
    return stream_keep(eval, &result, grid, out, err);
}
