/*
 * setops.c: and, or, unless: series pass or not, step by step, by what the other side has in their
 * group.
 */
#include "querier/promql/binary_vectors.h"

/* Steps at which a group has a sample on a side; made as needed. */
static uint64_t *group_any(const MatchSide *side, uint32_t group, const Grid *grid, Arena *arena) {
    uint32_t begin = side->start[group], end = side->start[group + 1];
    uint64_t *any;

    if (end - begin == 1) return side->any[side->series[begin]];
    any = ARENA_ARRAY(arena, uint64_t, grid_words(grid));
    for (uint32_t i = begin; any != NULL && i < end; i++)
        for (uint32_t w = 0; w < grid_words(grid); w++) any[w] |= side->any[side->series[i]][w];
    return any;
}

/* The column where `mask` (or, inverted, where it isn't) is set. */
static ErrCode pass(VectorsBinary *b, const Vector *from, size_t i, const uint64_t *mask,
                    bool inverted, Error *err) {
    const Column *column = &from->columns[i];
    uint32_t words = grid_words(b->grid);
    uint64_t *bits = arena_alloc(b->scratch, words * sizeof *bits);
    const MatchSide *side = &b->match.side[from == b->right];

    if (bits == NULL) return eval_out_of_memory(err);
    for (uint32_t w = 0; w < words; w++)
        bits[w] = side->any[i][w] & (mask == NULL ? UINT64_MAX : inverted ? ~mask[w] : mask[w]);
    if (!bits_any(bits, words)) return ERR_OK;
    return vectors_emit(b, from->labels[i], from->drops[i], column, bits, err);
}

ErrCode set_binary(VectorsBinary *b, PromqlOp op, Error *err) {
    const MatchSide *left = &b->match.side[0], *right = &b->match.side[1];
    uint64_t **masks = ARENA_ARRAY(b->scratch, uint64_t *, (size_t)b->match.groups + 1);
    const MatchSide *other = op == PROMQL_OR ? left : right;

    if (masks == NULL) return eval_out_of_memory(err);
    for (uint32_t g = 0; g < b->match.groups; g++) {
        masks[g] = group_any(other, g, b->grid, b->scratch);
        if (masks[g] == NULL) return eval_out_of_memory(err);
    }
    for (size_t i = 0; i < b->left->count; i++)
        TRY(pass(b, b->left, i, op == PROMQL_OR ? NULL : masks[left->group[i]], op == PROMQL_UNLESS,
                 err));
    if (op != PROMQL_OR) return ERR_OK;
    for (size_t i = 0; i < b->right->count; i++)
        TRY(pass(b, b->right, i, masks[right->group[i]], true, err));
    return ERR_OK;
}
