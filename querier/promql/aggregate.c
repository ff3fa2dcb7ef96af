/*
 * aggregate.c: grouping, parameters, and which operator does what.
 */
#include "querier/promql/aggregate.h"

#include "querier/exec/go_float.h"
#include "querier/promql/functions.h"

ErrCode grouping_make(Eval *eval, const Node *node, Str extra, Grouping *out, Error *err) {
    const PromqlExpr *expr = node->expr;
    size_t count = expr->as.aggregate.grouping_count;
    uint32_t *names = arena_alloc(eval->arena, (count + 3) * sizeof *names);

    if (names == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i <= count; i++) {
        names[i] = symbols_add(eval->symbols, i < count ? expr->as.aggregate.grouping[i] : extra);
        if (names[i] == SYMBOL_NONE) return eval_out_of_memory(err);
    }
    if (expr->as.aggregate.without) {
        names[count] = SYMBOL_NAME;
        names[++count] = eval->type_symbol;
        names[++count] = eval->unit_symbol;
    }
    *out = (Grouping){eval, names, count + 1, expr->as.aggregate.without};
    /* Without an extra label, the last one is the empty name, which no label has. */
    return ERR_OK;
}

LabelSet grouping_labels(const Grouping *grouping, LabelSet set, Label *buffer) {
    uint32_t n = 0;

    for (uint32_t i = 0; i < set.count; i++) {
        uint32_t name = set.labels[i].name;
        bool listed = false;

        for (size_t k = 0; k < grouping->count; k++) listed |= grouping->names[k] == name;
        if (listed != grouping->without) buffer[n++] = set.labels[i];
    }
    return (LabelSet){buffer, n};
}

static ErrCode one_group(Eval *eval, const Stream *stream, Groups *out, Error *err) {
    out->count = stream->count > 0;
    out->of_series = ARENA_ARRAY(eval->arena, uint32_t, MAX(stream->count, 1));
    out->labels = ARENA_NEW(eval->arena, LabelSet);
    out->drops = ARENA_NEW(eval->arena, bool);
    return out->of_series == NULL || out->labels == NULL || out->drops == NULL
               ? eval_out_of_memory(err)
               : ERR_OK;
}

ErrCode groups_make(Eval *eval, const Node *node, const Stream *stream, Groups *out, Error *err) {
    const PromqlExpr *expr = node->expr;
    uint32_t widest = 1;
    LabelTable table;
    Grouping grouping;
    Label *buffer;

    if (expr->as.aggregate.grouping_count == 0 && !expr->as.aggregate.without)
        return one_group(eval, stream, out, err);
    TRY(grouping_make(eval, node, STR(""), &grouping, err));
    out->of_series = arena_alloc(eval->arena, MAX(stream->count, 1) * sizeof(uint32_t));
    for (size_t i = 0; i < stream->count; i++) widest = MAX(widest, stream->labels[i].count);
    buffer = arena_alloc(eval->arena, widest * sizeof *buffer);
    if (out->of_series == NULL || buffer == NULL || !label_table_init(&table, eval->arena, 64))
        return eval_out_of_memory(err);
    for (size_t i = 0; i < stream->count; i++) {
        LabelSet labels = grouping_labels(&grouping, stream->labels[i], buffer);

        out->of_series[i] = label_table_add(&table, labels, true);
        if (out->of_series[i] == SYMBOL_NONE) return eval_out_of_memory(err);
    }
    out->count = table.count;
    out->labels = table.sets;
    out->drops = ARENA_ARRAY(eval->arena, bool, (size_t)table.count + 1);
    if (out->drops == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < stream->count; i++)
        out->drops[out->of_series[i]] |= stream_drops(stream, i);
    return ERR_OK;
}

typedef struct ParamRange {
    double min, max;
    bool has_nan;
} ParamRange;

static ParamRange range_of(const double *values, uint32_t count) {
    ParamRange range = {0x1.fffffffffffffp1023, -0x1.fffffffffffffp1023, false};

    for (uint32_t s = 0; s < count; s++) {
        range.has_nan |= isnan(values[s]);
        range.min = go_min(range.min, values[s]);
        range.max = go_max(range.max, values[s]);
    }
    return range;
}

/* Nothing, whatever is aggregated; that is evaluated nevertheless, as it may fail or be annotated.
 */
static ErrCode no_result(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    Vector ignored;

    TRY(eval_vector(eval, node->args[0], grid, &ignored, err));
    vector_free(eval, &ignored);
    *out = (Stream){.grid = *grid};
    return ERR_OK;
}

static ErrCode too_far(double value, const char *how, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf text;

    buf_init(&text, 64);
    go_append_g(&text, value);
    return error_set(err, ERR_INVALID, "Scalar value " STR_FMT " %s int64", STR_ARG(buf_str(&text)),
                     how);
}

static ErrCode with_count(Eval *eval, const Node *node, const Grid *grid, const double *k,
                          Stream *out, Error *err) {
    ParamRange range = range_of(k, grid->steps);
    PromqlAggregation op = node->expr->as.aggregate.op;

    if (!range.has_nan && range.max < 1) return no_result(eval, node, grid, out, err);
    if (range.has_nan || range.min <= -0x1p63 || range.max >= 0x1p63)
        TRY(no_result(eval, node, grid, out, err)); /* its errors come first */
    if (range.has_nan) return error_set(err, ERR_INVALID, "Parameter value is NaN");
    if (range.min <= -0x1p63) return too_far(range.min, "underflows", err);
    if (range.max >= 0x1p63) return too_far(range.max, "overflows", err);
    if (op == PROMQL_LIMITK) return aggregate_limit(eval, node, grid, k, out, err);
    return aggregate_topk(eval, node, grid, k, out, err);
}

static ErrCode with_ratio(Eval *eval, const Node *node, const Grid *grid, const double *ratio,
                          Stream *out, Error *err) {
    ParamRange range = range_of(ratio, grid->steps);

    if (!range.has_nan && range.max == 0 && range.min == 0)
        return no_result(eval, node, grid, out, err);
    if (range.has_nan) {
        TRY(no_result(eval, node, grid, out, err));
        return error_set(err, ERR_INVALID, "Ratio value is NaN");
    }
    TRY(aggregate_limit(eval, node, grid, ratio, out, err));
    if (range.max > 1) annotate_ratio(eval->annotations, node->args[1]->id, range.max, 1);
    if (range.min < -1) annotate_ratio(eval->annotations, node->args[1]->id, range.min, -1);
    return ERR_OK;
}

static ErrCode with_quantile(Eval *eval, const Node *node, const Grid *grid, const double *q,
                             Stream *out, Error *err) {
    ParamRange range = range_of(q, grid->steps);
    uint32_t at = node->args[1]->id;

    TRY(aggregate_quantile(eval, node, grid, q, out, err));
    if (range.has_nan)
        annotate_number(eval->annotations, ANNOTATION_INVALID_QUANTILE, at, (double)NAN);
    if (range.max > 1)
        annotate_number(eval->annotations, ANNOTATION_INVALID_QUANTILE, at, range.max);
    if (range.min < 0)
        annotate_number(eval->annotations, ANNOTATION_INVALID_QUANTILE, at, range.min);
    return ERR_OK;
}

ErrCode eval_aggregate(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    const double *param = NULL;

    if (node->arg_count > 1 && node->args[1]->type == PROMQL_TYPE_SCALAR)
        TRY(eval_scalar(eval, node->args[1], grid, &param, err));
    switch (node->expr->as.aggregate.op) {
    case PROMQL_TOPK:
    case PROMQL_BOTTOMK:
    case PROMQL_LIMITK:
        return with_count(eval, node, grid, param, out, err);
    case PROMQL_LIMIT_RATIO:
        return with_ratio(eval, node, grid, param, out, err);
    case PROMQL_QUANTILE:
        return with_quantile(eval, node, grid, param, out, err);
    case PROMQL_COUNT_VALUES:
        return aggregate_count_values(eval, node, grid, out, err);
    default:
        return aggregate_fold(eval, node, grid, out, err);
    }
}
