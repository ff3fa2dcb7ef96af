/*
 * binary.c: operators between two vectors, and between a vector and a number.
 *
 * Which series go together is decided per step, among those that have a value there, but by labels
 * alone: series are numbered by their matching labels first, and a step then only follows numbers.
 */
#include <math.h>

#include "querier/logql/engine/eval.h"

enum { NONE = UINT32_MAX };

/* False: there is no value (a comparison that doesn't hold). `kept` is what a filter leaves. */
static bool compute(const LogqlExpr *expr, double left, double right, double kept, double *out) {
    bool holds;

    switch (expr->as.binary.op) {
    case LOGQL_ADD:
        *out = left + right;
        return true;
    case LOGQL_SUB:
        *out = left - right;
        return true;
    case LOGQL_MUL:
        *out = left * right;
        return true;
    case LOGQL_DIV:
        *out = right == 0 ? NAN : left / right;
        return true;
    case LOGQL_MOD:
        *out = right == 0 ? NAN : fmod(left, right);
        return true;
    case LOGQL_POW:
        *out = pow(left, right);
        return true;
    case LOGQL_COMPARE_EQUAL:
        holds = left == right;
        break;
    case LOGQL_COMPARE_NOT_EQUAL:
        holds = left != right;
        break;
    case LOGQL_COMPARE_GREATER:
        holds = left > right;
        break;
    case LOGQL_COMPARE_GREATER_EQUAL:
        holds = left >= right;
        break;
    case LOGQL_COMPARE_LESS:
        holds = left < right;
        break;
    default:
        holds = left <= right;
        break;
    }
    *out = expr->as.binary.returns_bool ? holds : kept;
    return holds || expr->as.binary.returns_bool;
}

ErrCode logql_binary_number(LogqlEval *eval, const LogqlExpr *expr, const LogqlVector *vector,
                            double number, bool number_left, LogqlVector *out, Error *err) {
    VectorBuilder builder;

    TRY(vector_begin(eval, &builder, err));
    for (size_t i = 0; i < vector->count; i++) {
        const LogqlSeries *from = &vector->series[i];
        LogqlSeries *to = vector_add(&builder, from->labels);

        if (to == NULL) return logql_out_of_memory(err);
        for (size_t s = 0; s < eval->steps; s++) {
            double value = from->values[s], result;

            if (!logql_has_value(from, s)) continue;
            if (compute(expr, number_left ? number : value, number_left ? value : number, value,
                        &result))
                logql_set_value(to, s, result);
        }
    }
    *out = vector_end(&builder);
    return ERR_OK;
}

/* ---- matching ---- */

/* Per series of each side: the number of its matching labels. */
typedef struct Signatures {
    LabelTable table;
    uint32_t *left;
    uint32_t *right;
} Signatures;

static uint32_t *number_side(LogqlEval *eval, LabelTable *table, const LogqlMatching *matching,
                             const LogqlVector *vector) {
    LogqlGrouping grouping = {
        .without = !matching->on, .labels = matching->labels, .count = matching->label_count};
    uint32_t *numbers = ARENA_ARRAY(eval->arena, uint32_t, MAX(vector->count, 1));
    LogqlGroupNames names;

    if (numbers == NULL || !logql_group_names(eval, &grouping, &names)) return NULL;
    for (size_t i = 0; i < vector->count; i++) {
        LabelSet labels;

        if (!logql_group_labels(eval, &names, vector->series[i].labels, &labels)) return NULL;
        numbers[i] = label_table_add(table, labels, false);
        if (numbers[i] == SYMBOL_NONE) return NULL;
    }
    return numbers;
}

static bool number_both(LogqlEval *eval, const LogqlMatching *matching, const LogqlVector *left,
                        const LogqlVector *right, Signatures *out) {
    if (!label_table_init(&out->table, eval->arena, left->count + right->count)) return false;
    out->left = number_side(eval, &out->table, matching, left);
    out->right = number_side(eval, &out->table, matching, right);
    return out->left != NULL && out->right != NULL;
}

/* ---- and, or, unless ---- */

/* For each number, the steps at which a series of the side has a value. */
static uint64_t *present_by_number(LogqlEval *eval, const LogqlVector *vector,
                                   const uint32_t *numbers, uint32_t count) {
    uint64_t *present = ARENA_ARRAY(eval->arena, uint64_t, MAX(count * eval->words, 1));

    if (present == NULL) return NULL;
    for (size_t i = 0; i < vector->count; i++)
        for (size_t w = 0; w < eval->words; w++)
            present[numbers[i] * eval->words + w] |= vector->series[i].present[w];
    return present;
}

/* Adds the series at steps where its number has a value on the other side or, inverted, none. */
static bool add_where(VectorBuilder *builder, const LogqlSeries *from, const uint64_t *other,
                      bool inverted) {
    LogqlEval *eval = builder->eval;
    LogqlSeries *to = vector_add(builder, from->labels);

    if (to == NULL) return false;
    for (size_t w = 0; w < eval->words; w++) {
        uint64_t bits =
            other == NULL ? from->present[w] : from->present[w] & (inverted ? ~other[w] : other[w]);

        for (; bits != 0; bits &= bits - 1) {
            size_t s = w * 64 + (size_t)__builtin_ctzll(bits);

            logql_set_value(to, s, from->values[s]);
        }
    }
    return true;
}

static ErrCode combine_sets(LogqlEval *eval, LogqlBinaryOp op, const LogqlVector *left,
                            const LogqlVector *right, const Signatures *signatures,
                            LogqlVector *out, Error *err) {
    const LogqlVector *other = op == LOGQL_OR ? left : right;
    const uint32_t *other_numbers = op == LOGQL_OR ? signatures->left : signatures->right;
    uint64_t *present = present_by_number(eval, other, other_numbers, signatures->table.count);
    VectorBuilder builder;

    TRY(vector_begin(eval, &builder, err));
    if (present == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < left->count; i++)
        if (!add_where(&builder, &left->series[i],
                       op == LOGQL_OR ? NULL : present + signatures->left[i] * eval->words,
                       op == LOGQL_UNLESS))
            return logql_out_of_memory(err);
    for (size_t i = 0; i < right->count && op == LOGQL_OR; i++)
        if (!add_where(&builder, &right->series[i], present + signatures->right[i] * eval->words,
                       true))
            return logql_out_of_memory(err);
    *out = vector_end(&builder);
    return ERR_OK;
}

/* ---- arithmetic and comparisons ---- */

typedef struct Join {
    LogqlEval *eval;
    const LogqlExpr *expr;
    const LogqlMatching *matching;
    const LogqlVector *many; /* the side whose series may share matching labels, or the left */
    const LogqlVector *one;
    const uint32_t *many_numbers;
    const uint32_t *one_numbers;
    bool swapped; /* `many` is the right side */
    LogqlGroupNames names;
    uint32_t *include;
    VectorBuilder builder;
    LabelSet *labels; /* per series of `many`: of the result with `last_one` */
    uint32_t *last_one;
    /* Per number, what the step at hand found. */
    uint32_t *one_at; /* series of `one`, or NONE */
    uint32_t *first_many;
} Join;

/* The labels of what comes of two series. */
static bool result_labels(Join *join, LabelSet many, LabelSet one, LabelSet *out) {
    LogqlEval *eval = join->eval;

    if (join->matching->cardinality == LOGQL_ONE_TO_ONE) {
        if (!logql_group_labels(eval, &join->names, many, out)) return false;
    } else {
        *out = many;
    }
    for (size_t i = 0; i < join->matching->include_count; i++)
        if (!labels_set(eval->arena, eval->symbols, *out, join->include[i],
                        label_set_get(one, join->include[i]), out))
            return false;
    return true;
}

static ErrCode duplicate(const Join *join, Error *err) {
    return error_set(err, ERR_INTERNAL,
                     "found duplicate series on the %s hand-side;many-to-many matching not "
                     "allowed: matching labels must be unique on one side",
                     join->swapped ? "left" : "right");
}

static ErrCode index_one_side(Join *join, size_t step, Error *err) {
    for (size_t i = 0; i < join->one->count; i++) {
        uint32_t number = join->one_numbers[i];

        if (!logql_has_value(&join->one->series[i], step)) continue;
        if (join->one_at[number] != NONE) return duplicate(join, err);
        join->one_at[number] = (uint32_t)i;
    }
    return ERR_OK;
}

/* A second series of the same number at this step. */
static ErrCode check_many(Join *join, uint32_t number, uint32_t series, size_t step, Error *err) {
    if (join->matching->cardinality == LOGQL_ONE_TO_ONE)
        return error_set(err, ERR_INTERNAL,
                         "multiple matches for labels: many-to-one matching must be explicit "
                         "(group_left/group_right)");
    for (uint32_t i = join->first_many[number]; i < series; i++)
        if (join->many_numbers[i] == number && logql_has_value(&join->many->series[i], step) &&
            label_set_equal(join->labels[i], join->labels[series]))
            return error_set(err, ERR_INTERNAL,
                             "multiple matches for labels: grouping labels must ensure unique "
                             "matches");
    return ERR_OK;
}

static ErrCode join_series(Join *join, uint32_t i, size_t step, Error *err) {
    const LogqlSeries *many = &join->many->series[i];
    uint32_t number = join->many_numbers[i], other = join->one_at[number];
    double left = many->values[step], right, value;
    LogqlSeries *to;

    if (other == NONE) return ERR_OK;
    if (join->last_one[i] != other) {
        if (!result_labels(join, many->labels, join->one->series[other].labels, &join->labels[i]))
            return logql_out_of_memory(err);
        join->last_one[i] = other;
    }
    if (join->first_many[number] != NONE)
        TRY(check_many(join, number, i, step, err));
    else
        join->first_many[number] = i;
    right = join->one->series[other].values[step];
    if (join->swapped) {
        right = left;
        left = join->one->series[other].values[step];
    }
    if (!compute(join->expr, left, right, left, &value)) return ERR_OK;
    to = vector_add(&join->builder, join->labels[i]);
    if (to == NULL) return logql_out_of_memory(err);
    logql_set_value(to, step, value);
    return ERR_OK;
}

static ErrCode join_steps(Join *join, uint32_t numbers, Error *err) {
    for (size_t s = 0; s < join->eval->steps; s++) {
        if (s % 64 == 0) TRY(query_check(join->eval->query, err));
        for (uint32_t n = 0; n < numbers; n++) join->one_at[n] = join->first_many[n] = NONE;
        TRY(index_one_side(join, s, err));
        for (uint32_t i = 0; i < join->many->count; i++)
            if (logql_has_value(&join->many->series[i], s)) TRY(join_series(join, i, s, err));
    }
    return ERR_OK;
}

static bool join_begin(Join *join, uint32_t numbers) {
    LogqlEval *eval = join->eval;
    LogqlGrouping grouping = {.without = !join->matching->on,
                              .labels = join->matching->labels,
                              .count = join->matching->label_count};

    join->labels = ARENA_ARRAY(eval->arena, LabelSet, MAX(join->many->count, 1));
    join->last_one = ARENA_ARRAY(eval->arena, uint32_t, MAX(join->many->count, 1));
    join->one_at = ARENA_ARRAY(eval->arena, uint32_t, MAX(numbers, 1));
    join->first_many = ARENA_ARRAY(eval->arena, uint32_t, MAX(numbers, 1));
    if (join->labels == NULL || join->last_one == NULL || join->one_at == NULL ||
        join->first_many == NULL)
        return false;
    for (size_t i = 0; i < join->many->count; i++) join->last_one[i] = NONE;
    return logql_group_names(eval, &grouping, &join->names) &&
           labels_names(eval->symbols, eval->arena, join->matching->include,
                        join->matching->include_count, &join->include);
}

ErrCode logql_binary(LogqlEval *eval, const LogqlExpr *expr, const LogqlVector *left,
                     const LogqlVector *right, LogqlVector *out, Error *err) {
    const LogqlMatching *matching = &expr->as.binary.matching;
    bool swapped = matching->cardinality == LOGQL_ONE_TO_MANY;
    Signatures signatures;
    Join join;

    if (!number_both(eval, matching, left, right, &signatures)) return logql_out_of_memory(err);
    if (logql_op_is_set(expr->as.binary.op))
        return combine_sets(eval, expr->as.binary.op, left, right, &signatures, out, err);
    join = (Join){.eval = eval,
                  .expr = expr,
                  .matching = matching,
                  .many = swapped ? right : left,
                  .one = swapped ? left : right,
                  .many_numbers = swapped ? signatures.right : signatures.left,
                  .one_numbers = swapped ? signatures.left : signatures.right,
                  .swapped = swapped};
    TRY(vector_begin(eval, &join.builder, err));
    if (!join_begin(&join, signatures.table.count)) return logql_out_of_memory(err);
    TRY(join_steps(&join, signatures.table.count, err));
    *out = vector_end(&join.builder);
    return ERR_OK;
}
