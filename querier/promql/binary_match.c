/*
 * binary_match.c: arithmetic and comparisons between matched series.
 *
 * The "one" side must have at most one sample per group and step; which series that is may change
 * from step to step, so pairs are computed where both have a sample and merged by result labels.
 */
#include "querier/promql/binary_vectors.h"

/* Result labels that a group's pairs gave so far, to find two for the same. */
typedef struct GroupResult {
    struct GroupResult *next;
    LabelSet labels;
    uint64_t *bits;
} GroupResult;

typedef struct Matched {
    VectorsBinary *b;
    const PromqlMatching *matching;
    const Vector *many, *one; /* sides swapped for group_right */
    const MatchSide *many_side, *one_side;
    bool swapped;
    uint32_t *include;
    uint64_t **matched;    /* one-to-one: per group, steps that have their match */
    GroupResult **results; /* many-to-one: per group */
    Column column;         /* of the pair being computed */
    uint64_t *bits;
    uint64_t *rest;
    double *fill;
    bool filling;   /* the many side */
    uint32_t steps; /* before the first at which the one side has two series in a group */
} Matched;

static void append_series(const VectorsBinary *b, Buf *text, LabelSet labels) {
    labels_append_text(b->eval->symbols, labels, text);
}

/* Two series of the one side in a group at one step. */
static ErrCode many_on_one_side(const Matched *m, LabelSet first, LabelSet second, Error *err) {
    VectorsBinary *b = m->b;
    LabelSet group = {0};
    Buf texts[3];
    ErrCode code;

    for (int i = 0; i < 3; i++) buf_init(&texts[i], KIB(64));
    if (!match_labels(&b->match, b->scratch, second, &group)) return eval_out_of_memory(err);
    append_series(b, &texts[0], group);
    append_series(b, &texts[1], first);
    append_series(b, &texts[2], second);
    if (str_compare(buf_str(&texts[1]), buf_str(&texts[2])) > 0) {
        Buf swap = texts[1];

        texts[1] = texts[2];
        texts[2] = swap;
    }
    code = error_set(err, ERR_INVALID,
                     "found duplicate series for the match group %.*s on the %s hand-side of the "
                     "operation: [%.*s, %.*s];many-to-many matching not allowed: matching labels "
                     "must be unique on one side",
                     (int)MIN(texts[0].len, 400), texts[0].ptr, m->swapped ? "left" : "right",
                     (int)MIN(texts[1].len, 700), texts[1].ptr, (int)MIN(texts[2].len, 700),
                     texts[2].ptr);
    for (int i = 0; i < 3; i++) buf_done(&texts[i]);
    return code;
}

/* Sets m->steps. Where the other side is empty nothing is matched, unless a fill value stands in.
 */
static ErrCode find_two_on_one_side(Matched *m, Error *err) {
    VectorsBinary *b = m->b;
    uint32_t words = grid_words(b->grid);
    bool fills = m->matching->has_fill_left || m->matching->has_fill_right;
    uint64_t *counts, *seen;

    m->steps = b->grid->steps;
    seen = arena_alloc(b->scratch, words * sizeof *seen);
    counts = match_any(m->many_side, m->many->count, b->grid, b->scratch);
    if (seen == NULL || counts == NULL) return eval_out_of_memory(err);
    if (fills) bits_fill(counts, b->grid->steps);
    for (uint32_t g = 0; g < b->match.groups; g++) {
        const uint32_t *series = m->one_side->series + m->one_side->start[g];
        uint32_t count = m->one_side->start[g + 1] - m->one_side->start[g];

        if (count < 2) continue;
        memset(seen, 0, words * sizeof *seen);
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t *any = m->one_side->any[series[i]];

            for (uint32_t w = 0; w < words; w++) {
                uint64_t both = seen[w] & any[w] & counts[w];

                if (both != 0) m->steps = MIN(m->steps, w * 64 + (uint32_t)__builtin_ctzll(both));
                seen[w] |= any[w];
            }
        }
    }
    return ERR_OK;
}

/* Of the groups that have two series at the step m->steps, the one whose second comes first by its
 * labels is what the user hears of: it does not depend on the order in which series were read. */
static ErrCode fail_two_on_one_side(const Matched *m, Error *err) {
    const Symbols *symbols = m->b->eval->symbols;
    const LabelSet *labels = m->one->labels;
    const LabelSet *first = NULL, *second = NULL;

    for (uint32_t g = 0; g < m->b->match.groups; g++) {
        const LabelSet *low = NULL, *next = NULL;

        for (uint32_t k = m->one_side->start[g]; k < m->one_side->start[g + 1]; k++) {
            uint32_t i = m->one_side->series[k];

            if (!bits_get(m->one_side->any[i], m->steps)) continue;
            if (low == NULL || label_set_compare(symbols, labels[i], *low) < 0) {
                next = low;
                low = &labels[i];
            } else if (next == NULL || label_set_compare(symbols, labels[i], *next) < 0) {
                next = &labels[i];
            }
        }
        if (next != NULL && (second == NULL || label_set_compare(symbols, *next, *second) < 0)) {
            first = low;
            second = next;
        }
    }
    assert(second != NULL);
    return many_on_one_side(m, *first, *second, err);
}

/* Steps from the failing one on are not matched: an error of an earlier one counts. */
static void cut_steps(const Matched *m) {
    uint32_t words = grid_words(m->b->grid), at = m->steps / 64;

    if (m->steps == m->b->grid->steps) return;
    m->bits[at] &= (UINT64_C(1) << (m->steps % 64)) - 1;
    for (uint32_t w = at + 1; w < words; w++) m->bits[w] = 0;
}

static bool result_labels(const Matched *m, LabelSet many, LabelSet one, LabelSet *out) {
    VectorsBinary *b = m->b;
    const PromqlMatching *matching = m->matching;
    Arena *arena = b->eval->arena;
    LabelSet set = many;

    if (binary_is_arithmetic(b->node->expr->as.binary.op) &&
        !labels_drop_metadata(b->eval, arena, set, &set))
        return false;
    if (matching->cardinality == PROMQL_ONE_TO_ONE) {
        if (matching->on ? !labels_keep(arena, set, b->match.names, matching->label_count, &set)
                         : matching->label_count > 0 && !labels_drop(arena, set, b->match.names,
                                                                     matching->label_count, &set))
            return false;
    }
    for (size_t i = 0; i < matching->include_count; i++)
        if (!labels_set(arena, b->eval->symbols, set, m->include[i],
                        label_set_get(one, m->include[i]), &set))
            return false;
    *out = set;
    return true;
}

static ErrCode note(const Matched *m, uint32_t step, BinaryNote what, LabelSet series, Error *err) {
    VectorsBinary *b = m->b;
    uint8_t before;

    if (what == BINARY_NOTE_NONE) return ERR_OK;
    if (b->notes == NULL) {
        b->notes = ARENA_ARRAY(b->scratch, uint8_t, b->grid->steps);
        b->noted = ARENA_ARRAY(b->scratch, LabelSet, b->grid->steps);
        b->noted_filled = ARENA_ARRAY(b->scratch, uint64_t, grid_words(b->grid));
        if (b->notes == NULL || b->noted == NULL || b->noted_filled == NULL)
            return eval_out_of_memory(err);
    }
    before = b->notes[step];
    if (before != BINARY_NOTE_NONE && m->filling == bits_get(b->noted_filled, step) &&
        label_set_compare(b->eval->symbols, series, b->noted[step]) < 0)
        return ERR_OK;
    b->notes[step] = (uint8_t)what;
    b->noted[step] = series;
    if (m->filling) bits_set(b->noted_filled, step);
    return ERR_OK;
}

/* Computes m->column where m->bits are set. Bits without a result are cleared: with `keep` those
 * that do not hold stay, as what is matched and the result differ. */
static ErrCode compute_hists(Matched *m, LabelSet many, const Column *left, const Column *right,
                             uint64_t *keep, Error *err) {
    VectorsBinary *b = m->b;
    PromqlOp op = b->node->expr->as.binary.op;
    bool to_bool = b->node->expr->as.binary.returns_bool;
    bool trims = op == PROMQL_TRIM_LOWER || op == PROMQL_TRIM_UPPER;

    TRY(column_add_hists(b->scratch, b->grid, &m->column, err));
    BITS_EACH(s, m->bits, grid_words(b->grid)) {
        BinaryOperand l = {left->values[s], left->hists == NULL ? NULL : left->hists[s]};
        BinaryOperand r = {right->values[s], right->hists == NULL ? NULL : right->hists[s]};
        BinaryResult result;

        if (l.hist == NULL && r.hist == NULL && !trims) continue;
        TRY(binary_hists(op, l, r, b->scratch, &result, err));
        TRY(note(m, s, result.note, many, err));
        if (result.invalid) {
            bits_clear(m->bits, s);
            bits_clear(keep, s);
        } else if (to_bool) {
            m->column.values[s] = result.keep;
            bits_set(keep, s);
        } else if (result.keep) {
            m->column.hists[s] = result.hist;
            bits_set(keep, s);
        } else {
            bits_clear(keep, s);
        }
    }
    return ERR_OK;
}

static ErrCode compute_pair(Matched *m, LabelSet many, const Column *left, const Column *right,
                            uint64_t *keep, Error *err) {
    VectorsBinary *b = m->b;
    const PromqlExpr *expr = b->node->expr;
    PromqlOp op = expr->as.binary.op;
    uint32_t steps = b->grid->steps, words = grid_words(b->grid);
    double *values = m->column.values;

    m->column.hists = NULL;
    m->column.full = false;
    if (op == PROMQL_TRIM_LOWER || op == PROMQL_TRIM_UPPER) {
        memset(keep, 0, words * sizeof *keep);
        return compute_hists(m, many, left, right, keep, err);
    }
    if (!promql_op_is_comparison(op)) {
        binary_floats(op, left->values, right->values, values, steps);
        memcpy(keep, m->bits, words * sizeof *keep);
    } else if (expr->as.binary.returns_bool) {
        for (uint32_t s = 0; s < steps; s++)
            values[s] = binary_holds(op, left->values[s], right->values[s]);
        memcpy(keep, m->bits, words * sizeof *keep);
    } else {
        binary_compare(op, left->values, right->values, keep, steps);
        for (uint32_t w = 0; w < words; w++) keep[w] &= m->bits[w];
        memcpy(values, left->values, steps * sizeof *values);
    }
    if (left->hists != NULL || right->hists != NULL)
        return compute_hists(m, many, left, right, keep, err);
    m->column.full = bits_are_full(keep, steps);
    return ERR_OK;
}

/* Whether this pair's steps were matched before, by a pair with the same result. */
static ErrCode check_matches(Matched *m, uint32_t group, LabelSet labels, Error *err) {
    VectorsBinary *b = m->b;
    uint32_t words = grid_words(b->grid);
    GroupResult *result;

    if (m->matching->cardinality == PROMQL_ONE_TO_ONE) {
        uint64_t **bits = &m->matched[group];

        if (*bits == NULL) *bits = ARENA_ARRAY(b->scratch, uint64_t, words);
        if (*bits == NULL) return eval_out_of_memory(err);
        for (uint32_t w = 0; w < words; w++) {
            if ((*bits)[w] & m->bits[w])
                return error_set(err, ERR_INVALID,
                                 "multiple matches for labels: many-to-one matching must be "
                                 "explicit (group_left/group_right)");
            (*bits)[w] |= m->bits[w];
        }
        return ERR_OK;
    }
    for (result = m->results[group]; result != NULL; result = result->next)
        if (label_set_equal(result->labels, labels)) break;
    if (result == NULL) {
        result = ARENA_NEW(b->scratch, GroupResult);
        if (result != NULL) result->bits = ARENA_ARRAY(b->scratch, uint64_t, words);
        if (result == NULL || result->bits == NULL) return eval_out_of_memory(err);
        result->labels = labels;
        result->next = m->results[group];
        m->results[group] = result;
    }
    for (uint32_t w = 0; w < words; w++) {
        if (result->bits[w] & m->bits[w])
            return error_set(err, ERR_INVALID,
                             "multiple matches for labels: grouping labels must ensure unique "
                             "matches");
        result->bits[w] |= m->bits[w];
    }
    return ERR_OK;
}

/* The pair at the steps m->bits; `many` and `one` are columns of those sides. */
static ErrCode emit_pair(Matched *m, uint32_t group, LabelSet many_labels, const Column *many,
                         LabelSet one_labels, const Column *one, Error *err) {
    VectorsBinary *b = m->b;
    uint64_t *keep = m->rest;
    LabelSet labels;

    cut_steps(m);
    if (!bits_any(m->bits, grid_words(b->grid))) return ERR_OK;
    TRY(compute_pair(m, many_labels, m->swapped ? one : many, m->swapped ? many : one, keep, err));
    if (!bits_any(m->bits, grid_words(b->grid))) return ERR_OK;
    if (!result_labels(m, many_labels, one_labels, &labels)) return eval_out_of_memory(err);
    TRY(check_matches(m, group, labels, err));
    if (!bits_any(keep, grid_words(b->grid))) return ERR_OK;
    return vectors_emit(b, labels, b->node->expr->as.binary.returns_bool, &m->column, keep, err);
}

static Column fill_column(const Matched *m, double value) {
    for (uint32_t s = 0; s < m->b->grid->steps; s++) m->fill[s] = value;
    return (Column){.values = m->fill};
}

/* Series i of the many side with what the one side has, and with a fill value where it hasn't. */
static ErrCode many_series(Matched *m, size_t i, bool has_fill, double fill, Error *err) {
    VectorsBinary *b = m->b;
    uint32_t group = m->many_side->group[i], words = grid_words(b->grid);
    const uint64_t *any = m->many_side->any[i];
    uint64_t *unmatched = NULL;

    if (has_fill) {
        unmatched = arena_alloc(b->scratch, words * sizeof *unmatched);
        if (unmatched == NULL) return eval_out_of_memory(err);
        memcpy(unmatched, any, words * sizeof *unmatched);
    }
    for (uint32_t k = m->one_side->start[group]; k < m->one_side->start[group + 1]; k++) {
        uint32_t j = m->one_side->series[k];

        for (uint32_t w = 0; w < words; w++) {
            m->bits[w] = any[w] & m->one_side->any[j][w];
            if (has_fill) unmatched[w] &= ~m->bits[w];
        }
        if (!bits_any(m->bits, words)) continue;
        TRY(emit_pair(m, group, m->many->labels[i], &m->many->columns[i], m->one->labels[j],
                      &m->one->columns[j], err));
    }
    if (has_fill && bits_any(unmatched, words)) {
        Column column = fill_column(m, fill);
        LabelSet labels;

        if (!match_labels(&b->match, b->eval->arena, m->many->labels[i], &labels))
            return eval_out_of_memory(err);
        memcpy(m->bits, unmatched, words * sizeof *m->bits);
        TRY(emit_pair(m, group, m->many->labels[i], &m->many->columns[i], labels, &column, err));
    }
    return ERR_OK;
}

/* Steps of group `group` that a pair was found for. */
static void add_matched(const Matched *m, uint32_t group, uint64_t *bits) {
    uint32_t words = grid_words(m->b->grid);

    if (m->matching->cardinality == PROMQL_ONE_TO_ONE) {
        for (uint32_t w = 0; m->matched[group] != NULL && w < words; w++)
            bits[w] |= m->matched[group][w];
        return;
    }
    for (const GroupResult *r = m->results[group]; r != NULL; r = r->next)
        for (uint32_t w = 0; w < words; w++) bits[w] |= r->bits[w];
}

/* What the one side has and nothing was matched with, against a fill value. */
static ErrCode fill_for_one(Matched *m, double fill, Error *err) {
    VectorsBinary *b = m->b;
    uint32_t words = grid_words(b->grid);

    m->filling = true;
    for (size_t j = 0; j < m->one->count; j++) {
        uint32_t group = m->one_side->group[j];
        LabelSet labels;
        Column column;

        memset(m->bits, 0, words * sizeof *m->bits);
        add_matched(m, group, m->bits);
        for (uint32_t w = 0; w < words; w++) m->bits[w] = m->one_side->any[j][w] & ~m->bits[w];
        if (!bits_any(m->bits, words)) continue;
        if (!match_labels(&b->match, b->eval->arena, m->one->labels[j], &labels))
            return eval_out_of_memory(err);
        column = fill_column(m, fill);
        TRY(emit_pair(m, group, labels, &column, m->one->labels[j], &m->one->columns[j], err));
    }
    return ERR_OK;
}

ErrCode matched_binary(VectorsBinary *b, Error *err) {
    const PromqlMatching *matching = &b->node->expr->as.binary.matching;
    bool swapped = matching->cardinality == PROMQL_ONE_TO_MANY;
    bool fill_one = matching->has_fill_right, fill_many = matching->has_fill_left;
    uint32_t words = grid_words(b->grid);
    Matched m = {.b = b,
                 .matching = matching,
                 .swapped = swapped,
                 .many = swapped ? b->right : b->left,
                 .one = swapped ? b->left : b->right,
                 .many_side = &b->match.side[swapped],
                 .one_side = &b->match.side[!swapped]};

    m.matched = ARENA_ARRAY(b->scratch, uint64_t *, (size_t)b->match.groups + 1);
    m.results = ARENA_ARRAY(b->scratch, GroupResult *, (size_t)b->match.groups + 1);
    m.bits = arena_alloc(b->scratch, words * sizeof *m.bits);
    m.rest = arena_alloc(b->scratch, words * sizeof *m.rest);
    m.fill = arena_alloc(b->scratch, b->grid->steps * sizeof *m.fill);
    if (m.matched == NULL || m.results == NULL || m.bits == NULL || m.rest == NULL ||
        m.fill == NULL ||
        !labels_names(b->eval->symbols, b->eval->arena, matching->include, matching->include_count,
                      &m.include))
        return eval_out_of_memory(err);
    TRY(column_new(b->scratch, b->grid, &m.column, err));
    TRY(find_two_on_one_side(&m, err));
    for (size_t i = 0; i < m.many->count; i++) {
        TRY(many_series(&m, i, fill_one, matching->fill_right, err));
        if (i % 256 == 0) TRY(query_check(b->eval->query, err));
    }
    if (fill_many) TRY(fill_for_one(&m, matching->fill_left, err));
    return m.steps < b->grid->steps ? fail_two_on_one_side(&m, err) : ERR_OK;
}
