/*
 * eval.c: from node to stream, vector or scalars: what is fixed or used twice is evaluated once.
 */
#include "querier/promql/eval.h"

#include "querier/promql/eval_internal.h"

/* The value of a node that several places need. */
struct Memo {
    Memo *next;
    const Node *node;
    Grid grid;
    Vector vector;
    Annotations *annotations; /* said while it was evaluated */
};

/* Above this many values, evaluating twice is cheaper than keeping them. */
static const uint64_t MEMO_VALUES_MAX = 1 << 24;

static bool grids_equal(const Grid *a, const Grid *b) {
    return a->start_ms == b->start_ms && a->step_ms == b->step_ms && a->steps == b->steps &&
           a->ranged == b->ranged;
}

static ErrCode no_series(const Stream *stream, size_t i, Worker *worker, Column *out, Error *err) {
    (void)stream, (void)i, (void)worker, (void)out;
    return error_set(err, ERR_INTERNAL, "a series of an empty vector was read");
}

static ErrCode dispatch(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    switch (node->kind) {
    case PROMQL_SELECTOR:
        return eval_selector(eval, node, grid, out, err);
    case PROMQL_CALL:
        return eval_call(eval, node, grid, out, err);
    case PROMQL_AGGREGATE:
        return eval_aggregate(eval, node, grid, out, err);
    case PROMQL_BINARY:
        return eval_binary(eval, node, grid, out, err);
    case PROMQL_UNARY:
        return eval_negate(eval, node, grid, out, err);
    default:
        return error_set(err, ERR_INTERNAL, "a node of kind %d is no vector", (int)node->kind);
    }
}

static ErrCode from_memo(Eval *eval, Memo *memo, Stream *out, Error *err) {
    Vector borrowed = memo->vector;

    borrowed.memory = NULL;
    return stream_keep(eval, &borrowed, &memo->grid, out, err);
}

/* Evaluates `node` and keeps the result for the next who asks. */
static ErrCode memoize(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    Memo *memo = ARENA_NEW(eval->arena, Memo);
    Annotations *outer = eval->annotations;
    ErrCode code;
    Stream stream;

    if (memo == NULL) return eval_out_of_memory(err);
    memo->annotations = annotations_new(eval->arena);
    memo->node = node->same;
    memo->grid = *grid;
    eval->annotations = memo->annotations;
    code = dispatch(eval, node->same, grid, &stream, err);
    if (code == ERR_OK && stream.vector == NULL &&
        (uint64_t)stream.count * grid->steps > MEMO_VALUES_MAX) {
        /* What was said so far is said again when the other place is evaluated. */
        eval->annotations = outer;
        annotations_merge(outer, memo->annotations, (int64_t)node->id - (int64_t)node->same->id);
        *out = stream;
        return ERR_OK;
    }
    if (code == ERR_OK) code = stream_collect(eval, &stream, &memo->vector, err);
    eval->annotations = outer;
    if (code != ERR_OK) return code;
    annotations_merge(outer, memo->annotations, (int64_t)node->id - (int64_t)node->same->id);
    memo->next = eval->memos;
    eval->memos = memo;
    return from_memo(eval, memo, out, err);
}

static ErrCode eval_shared(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                           Error *err) {
    if (node->same->uses < 2) return dispatch(eval, node, grid, out, err);
    for (Memo *memo = eval->memos; memo != NULL; memo = memo->next) {
        if (memo->node != node->same || !grids_equal(&memo->grid, grid)) continue;
        annotations_merge(eval->annotations, memo->annotations,
                          (int64_t)node->id - (int64_t)node->same->id);
        return from_memo(eval, memo, out, err);
    }
    return memoize(eval, node, grid, out, err);
}

/* One step's columns, the same at each step. */
typedef struct Fixed {
    Vector one;
    uint32_t slot;
} Fixed;

static ErrCode read_fixed(const Stream *stream, size_t i, Worker *worker, Column *out, Error *err) {
    const Fixed *fixed = stream->context;
    const Column *one = &fixed->one.columns[i];
    const Grid *grid = &stream->grid;
    Column *column = worker_slot(worker, fixed->slot, sizeof *column);

    if (column == NULL) return eval_out_of_memory(err);
    if (column->values == NULL) TRY(column_new(worker->kept, grid, column, err));
    *out = *column;
    if (one->hists != NULL) {
        memset(out->present, 0, grid_words(grid) * sizeof(uint64_t));
        out->hists = arena_alloc(worker->series, grid->steps * sizeof *out->hists);
        if (out->hists == NULL) return eval_out_of_memory(err);
        for (uint32_t s = 0; s < grid->steps; s++) out->hists[s] = one->hists[0];
        return ERR_OK;
    }
    for (uint32_t s = 0; s < grid->steps; s++) out->values[s] = one->values[0];
    bits_fill(out->present, grid->steps);
    out->full = true;
    return ERR_OK;
}

static ErrCode eval_fixed(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    Grid single = {.start_ms = grid->start_ms, .step_ms = grid->step_ms, .steps = 1};
    Fixed *fixed = ARENA_NEW(eval->arena, Fixed);
    Stream stream;

    if (fixed == NULL) return eval_out_of_memory(err);
    TRY(eval_shared(eval, node, &single, &stream, err));
    TRY(stream_collect(eval, &stream, &fixed->one, err));
    fixed->slot = eval_new_slot(eval);
    *out = (Stream){.count = fixed->one.count,
                    .labels = fixed->one.labels,
                    .drops = fixed->one.drops,
                    .read = read_fixed,
                    .context = fixed,
                    .grid = *grid};
    return ERR_OK;
}

ErrCode eval_stream(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    TRY(query_check(eval->query, err));
    if (grid->steps == 0) {
        *out = (Stream){.read = no_series, .grid = *grid};
        return ERR_OK;
    }
    if (node->fixed && grid->ranged) return eval_fixed(eval, node, grid, out, err);
    return eval_shared(eval, node, grid, out, err);
}

ErrCode eval_vector(Eval *eval, const Node *node, const Grid *grid, Vector *out, Error *err) {
    Stream stream;

    TRY(eval_stream(eval, node, grid, &stream, err));
    return stream_collect(eval, &stream, out, err);
}

static ErrCode scalar_body(Eval *eval, const Node *node, const Grid *grid, double *out,
                           Error *err) {
    const double *left, *right;

    switch (node->kind) {
    case PROMQL_NUMBER:
        for (uint32_t s = 0; s < grid->steps; s++) out[s] = node->number;
        return ERR_OK;
    case PROMQL_UNARY:
        TRY(eval_scalar(eval, node->args[0], grid, &left, err));
        for (uint32_t s = 0; s < grid->steps; s++)
            out[s] = node->expr->as.unary.op == PROMQL_SUB ? -left[s] : left[s];
        return ERR_OK;
    case PROMQL_BINARY:
        TRY(eval_scalar(eval, node->args[0], grid, &left, err));
        TRY(eval_scalar(eval, node->args[1], grid, &right, err));
        for (uint32_t s = 0; s < grid->steps; s++)
            out[s] = binary_scalar(node->expr->as.binary.op, left[s], right[s]);
        return ERR_OK;
    case PROMQL_CALL:
        return eval_scalar_call(eval, node, grid, out, err);
    default:
        return error_set(err, ERR_INTERNAL, "a node of kind %d is no scalar", (int)node->kind);
    }
}

ErrCode eval_scalar(Eval *eval, const Node *node, const Grid *grid, const double **out,
                    Error *err) {
    double *values = arena_alloc(eval->arena, MAX(grid->steps, 1) * sizeof *values);

    if (values == NULL) return eval_out_of_memory(err);
    TRY(query_check(eval->query, err));
    *out = values;
    if (grid->steps == 0) return ERR_OK;
    if (node->fixed && grid->ranged) {
        Grid single = {.start_ms = grid->start_ms, .step_ms = grid->step_ms, .steps = 1};

        TRY(scalar_body(eval, node, &single, values, err));
        for (uint32_t s = 1; s < grid->steps; s++) values[s] = values[0];
        return ERR_OK;
    }
    return scalar_body(eval, node, grid, values, err);
}

Grid subquery_grid(const Eval *eval, const Node *node, const Grid *outer) {
    int64_t step = node->expr->as.subquery.step_ms;
    int64_t first = node->has_at ? node->at_ms : outer->start_ms;
    int64_t last = node->has_at || outer->steps == 0 ? first : grid_time(outer, outer->steps - 1);
    int64_t after, start, end;

    if (step <= 0) step = eval->subquery_step_ms;
    after = first - node->offset_ms - node->range_ms;
    end = last - node->offset_ms;
    /* The first multiple of the step after the range's open start. */
    start = after / step * step;
    if (start <= after) start += step;
    if (end < start) return (Grid){.start_ms = start, .step_ms = step};
    return (Grid){.start_ms = start,
                  .step_ms = step,
                  .steps = (uint32_t)MIN((end - start) / step + 1, PROMQL_STEPS_MAX),
                  .ranged = end > start};
}
