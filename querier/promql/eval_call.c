/*
 * eval_call.c: which function does what; and the small ones: scalar(), vector(), absent(), time().
 */
#include "querier/promql/functions.h"
#include "querier/promql/label_ops.h"
#include "querier/promql/range.h"

/* One series of the given values at the steps `present` (NULL: all). */
static ErrCode one_series(Eval *eval, const Grid *grid, LabelSet labels, const double *values,
                          const uint64_t *present, Stream *out, Error *err) {
    Vector vector;

    TRY(vector_new(eval, 1, &vector, err));
    vector.labels[0] = labels;
    vector.count = 1;
    TRY(column_new(vector.arena, grid, &vector.columns[0], err));
    memcpy(vector.columns[0].values, values, grid->steps * sizeof(double));
    if (present == NULL)
        bits_fill(vector.columns[0].present, grid->steps);
    else
        memcpy(vector.columns[0].present, present, grid_words(grid) * sizeof(uint64_t));
    TRY(vector_finish(eval, &vector, grid, err));
    return stream_keep(eval, &vector, grid, out, err);
}

/* ---- absent ---- */

typedef struct Presence {
    const Stream *stream;
    uint64_t *bits; /* per part */
} Presence;

static ErrCode presence_part(void *context, const StreamPart *part, Worker *worker, Error *err) {
    const Presence *presence = context;
    const Grid *grid = &presence->stream->grid;
    uint64_t *bits = presence->bits + part->index * grid_words(grid);

    for (size_t i = part->begin; i < part->end; i++) {
        Column column;

        TRY(stream_read(presence->stream, i, worker, &column, err));
        for (uint32_t w = 0; w < grid_words(grid); w++) bits[w] |= column.present[w];
        if (column.hists == NULL) continue;
        for (uint32_t s = 0; s < grid->steps; s++)
            if (column.hists[s] != NULL) bits_set(bits, s);
    }
    return ERR_OK;
}

/* Prometheus' index takes from the series that others found those that such a matcher excludes, and
 * comes to them last. */
static bool excludes(const PromqlExpr *selector, const Matcher *matcher) {
    bool must_be_set = false;

    for (size_t i = 0; i < selector->as.selector.matcher_count; i++) {
        const Matcher *other = &selector->as.selector.matchers[i];

        must_be_set |= str_equal(other->name, matcher->name) && !matcher_matches(other, STR(""));
    }
    return !must_be_set || ((matcher->op == MATCH_NOT_EQUAL || matcher->op == MATCH_NOT_REGEX) &&
                            matcher_matches(matcher, STR("")));
}

/* The label of an equality is there, unless a later matcher is about the same label. */
static ErrCode absent_label(Eval *eval, const Matcher *m, Str *seen, size_t *seen_count,
                            LabelSet *out, Error *err) {
    uint32_t name = symbols_add(eval->symbols, m->name);
    uint32_t value = symbols_add(eval->symbols, m->value);
    bool known = false;

    if (name == SYMBOL_NONE || value == SYMBOL_NONE) return eval_out_of_memory(err);
    if (name == SYMBOL_NAME || name == eval->type_symbol || name == eval->unit_symbol)
        return ERR_OK;
    for (size_t i = 0; i < *seen_count; i++) known |= str_equal(seen[i], m->name);
    if (m->op != MATCH_EQUAL || known)
        value = SYMBOL_EMPTY;
    else
        seen[(*seen_count)++] = m->name;
    return labels_set(eval->arena, eval->symbols, *out, name, value, out) ? ERR_OK
                                                                          : eval_out_of_memory(err);
}

/* Labels that the selector demands with `=`, each once. */
static ErrCode absent_labels(Eval *eval, const Node *arg, LabelSet *out, Error *err) {
    const Node *selector = arg->kind == PROMQL_MATRIX ? arg->args[0] : arg;
    const PromqlExpr *expr = selector->expr;
    size_t count, seen_count = 0;
    Str *seen;

    *out = (LabelSet){0};
    if (selector->kind != PROMQL_SELECTOR) return ERR_OK;
    count = expr->as.selector.matcher_count;
    seen = arena_alloc(eval->arena, MAX(count, 1) * sizeof *seen);
    if (seen == NULL) return eval_out_of_memory(err);
    for (int excluding = 0; excluding <= 1; excluding++)
        for (size_t i = 0; i < count; i++) {
            const Matcher *m = &expr->as.selector.matchers[i];

            if (excludes(expr, m) == (excluding == 1))
                TRY(absent_label(eval, m, seen, &seen_count, out, err));
        }
    return ERR_OK;
}

static ErrCode absent_of(Eval *eval, const Node *node, const Stream *stream, const Grid *grid,
                         Stream *out, Error *err) {
    size_t parts = stream_parts(stream);
    Presence presence = {.stream = stream};
    uint32_t words = grid_words(grid);
    double *ones = arena_alloc(eval->arena, grid->steps * sizeof *ones);
    uint64_t *all = arena_alloc(eval->arena, words * sizeof *all);
    LabelSet labels;

    presence.bits = ARENA_ARRAY(eval->arena, uint64_t, parts * words);
    if (presence.bits == NULL || ones == NULL || all == NULL) return eval_out_of_memory(err);
    TRY(stream_each(eval, stream, parts, presence_part, &presence, err));
    bits_fill(all, grid->steps);
    for (size_t p = 0; p < parts; p++)
        for (uint32_t w = 0; w < words; w++) all[w] &= ~presence.bits[p * words + w];
    for (uint32_t s = 0; s < grid->steps; s++) ones[s] = 1;
    TRY(absent_labels(eval, node->args[0], &labels, err));
    return one_series(eval, grid, labels, ones, all, out, err);
}

ErrCode eval_absent(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    Stream stream;

    if (node_function(node) == PROMQL_FN_ABSENT)
        TRY(eval_stream(eval, node->args[0], grid, &stream, err));
    else
        TRY(eval_range_call(eval, node, grid, &stream, err));
    return absent_of(eval, node, &stream, grid, out, err);
}

/* ---- scalars ---- */

/* The value of the only float at each step, NaN where there is none or more. */
static ErrCode scalar_of(Eval *eval, const Node *node, const Grid *grid, double *out, Error *err) {
    uint32_t *counts = ARENA_ARRAY(eval->arena, uint32_t, grid->steps);
    Vector vector;

    if (counts == NULL) return eval_out_of_memory(err);
    TRY(eval_vector(eval, node->args[0], grid, &vector, err));
    for (uint32_t s = 0; s < grid->steps; s++) out[s] = NAN;
    for (size_t i = 0; i < vector.count; i++) {
        const Column *column = &vector.columns[i];

        BITS_EACH(s, column->present, grid_words(grid))
        out[s] = counts[s]++ == 0 ? column->values[s] : NAN;
    }
    vector_free(eval, &vector);
    return ERR_OK;
}

ErrCode eval_scalar_call(Eval *eval, const Node *node, const Grid *grid, double *out, Error *err) {
    const double *a, *b;

    switch (node_function(node)) {
    case PROMQL_FN_PI:
        for (uint32_t s = 0; s < grid->steps; s++) out[s] = M_PI;
        return ERR_OK;
    case PROMQL_FN_TIME:
        for (uint32_t s = 0; s < grid->steps; s++) out[s] = (double)grid_time(grid, s) / 1000;
        return ERR_OK;
    case PROMQL_FN_SCALAR:
        return scalar_of(eval, node, grid, out, err);
    case PROMQL_FN_MAX_OF:
    case PROMQL_FN_MIN_OF:
        TRY(eval_scalar(eval, node->args[0], grid, &a, err));
        TRY(eval_scalar(eval, node->args[1], grid, &b, err));
        for (uint32_t s = 0; s < grid->steps; s++)
            out[s] =
                node_function(node) == PROMQL_FN_MAX_OF ? go_max(a[s], b[s]) : go_min(a[s], b[s]);
        return ERR_OK;
    default:
        return error_set(err, ERR_INTERNAL, "%s() is no scalar",
                         node->expr->as.call.function->name);
    }
}

/* ---- calls of vectors ---- */

static ErrCode eval_vector_of(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                              Error *err) {
    const double *values;

    TRY(eval_scalar(eval, node->args[0], grid, &values, err));
    return one_series(eval, grid, (LabelSet){0}, values, NULL, out, err);
}

/* hour() and its like, of the time of the step. */
static ErrCode eval_date_of_step(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                                 Error *err) {
    FloatFunction function = float_function(node_function(node));
    double *values = arena_alloc(eval->arena, grid->steps * sizeof *values);

    if (values == NULL) return eval_out_of_memory(err);
    for (uint32_t s = 0; s < grid->steps; s++)
        values[s] = function(floor((double)grid_time(grid, s) / 1000));
    return one_series(eval, grid, (LabelSet){0}, values, NULL, out, err);
}

/* Samples come without start timestamps, so there is nothing to tell but what the argument says. */
static ErrCode eval_start_timestamp(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                                    Error *err) {
    Vector ignored;

    if (node->args[0]->kind == PROMQL_SELECTOR) {
        TRY(eval_timestamp(eval, node->args[0], grid, out, err));
    } else {
        TRY(eval_vector(eval, node->args[0], grid, &ignored, err));
        vector_free(eval, &ignored);
    }
    *out = (Stream){.grid = *grid};
    return ERR_OK;
}

static FunctionEval vector_function(const Node *node) {
    switch (node_function(node)) {
    case PROMQL_FN_ABSENT:
    case PROMQL_FN_ABSENT_OVER_TIME:
        return eval_absent;
    case PROMQL_FN_CLAMP:
    case PROMQL_FN_CLAMP_MAX:
    case PROMQL_FN_CLAMP_MIN:
        return eval_clamp;
    case PROMQL_FN_ROUND:
        return eval_round;
    case PROMQL_FN_HISTOGRAM_AVG:
    case PROMQL_FN_HISTOGRAM_COUNT:
    case PROMQL_FN_HISTOGRAM_STDDEV:
    case PROMQL_FN_HISTOGRAM_STDVAR:
    case PROMQL_FN_HISTOGRAM_SUM:
        return eval_hist_function;
    case PROMQL_FN_HISTOGRAM_FRACTION:
    case PROMQL_FN_HISTOGRAM_QUANTILE:
    case PROMQL_FN_HISTOGRAM_QUANTILES:
        return eval_histogram_quantile;
    case PROMQL_FN_INFO:
        return eval_info;
    case PROMQL_FN_LABEL_JOIN:
        return eval_label_join;
    case PROMQL_FN_LABEL_REPLACE:
        return eval_label_replace;
    case PROMQL_FN_SORT:
    case PROMQL_FN_SORT_DESC:
    case PROMQL_FN_SORT_BY_LABEL:
    case PROMQL_FN_SORT_BY_LABEL_DESC:
        return eval_sort;
    case PROMQL_FN_VECTOR:
        return eval_vector_of;
    default:
        if (float_function(node_function(node)) == NULL) return NULL;
        return node->arg_count == 0 ? eval_date_of_step : eval_float_function;
    }
}

ErrCode eval_call(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    PromqlFunctionId id = node_function(node);
    FunctionEval function;

    if (id == PROMQL_FN_TIMESTAMP)
        return node->args[0]->kind == PROMQL_SELECTOR
                   ? eval_timestamp(eval, node->args[0], grid, out, err)
                   : eval_step_times(eval, node, grid, out, err);
    if (id == PROMQL_FN_START_TIMESTAMP) return eval_start_timestamp(eval, node, grid, out, err);
    function = vector_function(node);
    if (function != NULL) return function(eval, node, grid, out, err);
    if (range_kernel(id) != NULL) return eval_range_call(eval, node, grid, out, err);
    return error_set(err, ERR_INTERNAL, "%s() is no vector", node->expr->as.call.function->name);
}
