/*
 * binary.c: operators between vectors: both sides are collected, matched once by their labels, and
 * computed pair by pair for all steps.
 */
#include "querier/promql/binary_vectors.h"
#include "querier/promql/functions.h"

ErrCode same_labelset(Error *err) {
    return error_set(err, ERR_INVALID, "vector cannot contain metrics with the same labelset");
}

static ErrCode grow_out(VectorsBinary *b, Error *err) {
    size_t capacity = MAX(b->out_capacity * 2, 16);
    Vector *out = &b->out;
    LabelSet *labels = ARENA_ARRAY(out->arena, LabelSet, capacity);
    bool *drops = ARENA_ARRAY(out->arena, bool, capacity);
    Column *columns = ARENA_ARRAY(out->arena, Column, capacity);

    if (labels == NULL || drops == NULL || columns == NULL) return eval_out_of_memory(err);
    if (out->count > 0) {
        memcpy(labels, out->labels, out->count * sizeof *labels);
        memcpy(drops, out->drops, out->count * sizeof *drops);
        memcpy(columns, out->columns, out->count * sizeof *columns);
    }
    out->labels = labels;
    out->drops = drops;
    out->columns = columns;
    b->out_capacity = capacity;
    return ERR_OK;
}

static ErrCode out_series(VectorsBinary *b, LabelSet labels, bool drop, uint32_t *ret_index,
                          Error *err) {
    uint32_t i = label_table_add(&b->table, labels, false);

    if (i == SYMBOL_NONE) return eval_out_of_memory(err);
    if (i == b->out.count) {
        if (b->out.count == b->out_capacity) TRY(grow_out(b, err));
        b->out.labels[i] = labels;
        b->out.drops[i] = drop;
        TRY(column_new(b->out.arena, b->grid, &b->out.columns[i], err));
        b->out.count++;
    }
    *ret_index = i;
    return ERR_OK;
}

static uint32_t first_step(const uint64_t *bits, uint32_t words) {
    for (uint32_t w = 0; w < words; w++)
        if (bits[w] != 0) return w * 64 + (uint32_t)__builtin_ctzll(bits[w]);
    return UINT32_MAX;
}

static uint32_t first_sample(const Column *column, const Grid *grid) {
    uint32_t first = first_step(column->present, grid_words(grid));

    for (uint32_t s = 0; column->hists != NULL && s < MIN(first, grid->steps); s++)
        if (column->hists[s] != NULL) return s;
    return first;
}

ErrCode vectors_emit(VectorsBinary *b, LabelSet labels, bool drop, const Column *column,
                     const uint64_t *bits, Error *err) {
    uint32_t words = grid_words(b->grid), i = 0;
    Column *to;

    TRY(out_series(b, labels, drop, &i, err));
    to = &b->out.columns[i];
    /* Whether the name goes is decided by the earliest sample, as Prometheus does. */
    if (drop != b->out.drops[i] && first_step(bits, words) < first_sample(to, b->grid))
        b->out.drops[i] = drop;
    for (uint32_t w = 0; w < words; w++)
        if (to->present[w] & bits[w]) return same_labelset(err);
    if (to->hists != NULL) BITS_EACH(s, bits, words) {
            if (to->hists[s] != NULL) return same_labelset(err);
        }
    if (column->hists == NULL) {
        bool empty = to->hists == NULL && !bits_any(to->present, words);

        if (empty && column->full && bits_are_full(bits, b->grid->steps)) {
            memcpy(to->values, column->values, b->grid->steps * sizeof(double));
        } else {
            BITS_EACH(s, bits, words) to->values[s] = column->values[s];
        }
        for (uint32_t w = 0; w < words; w++) to->present[w] |= bits[w];
        return ERR_OK;
    }
    if (to->hists == NULL) TRY(column_add_hists(b->out.arena, b->grid, to, err));
    BITS_EACH(s, bits, words) {
        if (column->hists[s] != NULL) {
            to->hists[s] = hist_dup(b->out.arena, column->hists[s]);
            if (to->hists[s] == NULL) return eval_out_of_memory(err);
        } else {
            to->values[s] = column->values[s];
            bits_set(to->present, s);
        }
    }
    return ERR_OK;
}

static ErrCode compute(VectorsBinary *b, Error *err) {
    PromqlOp op = b->node->expr->as.binary.op;

    if (!label_table_init(&b->table, b->scratch, b->left->count)) return eval_out_of_memory(err);
    TRY(vector_new(b->eval, b->left->count, &b->out, err));
    b->out_capacity = MAX(b->left->count, 1);
    TRY(match_make(b->eval, &b->node->expr->as.binary.matching, b->left, b->right, b->grid,
                   b->scratch, &b->match, err));
    TRY(query_check(b->eval->query, err));
    if (promql_op_is_set(op)) return set_binary(b, op, err);
    TRY(matched_binary(b, err));
    if (b->notes == NULL) return ERR_OK;
    for (int note = BINARY_NOTE_NONE + 1; note < BINARY_NOTE_COUNT; note++)
        if (memchr(b->notes, note, b->grid->steps) != NULL)
            binary_annotate(b->eval->annotations, b->node, (BinaryNote)note);
    return ERR_OK;
}

ErrCode eval_binary(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    VectorsBinary b = {.eval = eval, .node = node, .grid = grid};
    Vector left, right;
    ErrCode code;

    if (node->args[0]->type == PROMQL_TYPE_SCALAR || node->args[1]->type == PROMQL_TYPE_SCALAR)
        return eval_scalar_binary(eval, node, grid, out, err);
    TRY(eval_vector(eval, node->args[0], grid, &left, err));
    TRY(eval_vector(eval, node->args[1], grid, &right, err));
    b.left = &left;
    b.right = &right;
    b.scratch = arena_new(0, arena_budget(eval->arena));
    code = b.scratch == NULL ? eval_out_of_memory(err) : compute(&b, err);
    arena_free(b.scratch);
    if (code != ERR_OK) return code;
    vector_free(eval, &left);
    vector_free(eval, &right);
    TRY(vector_finish(eval, &b.out, grid, err));
    return stream_keep(eval, &b.out, grid, out, err);
}
