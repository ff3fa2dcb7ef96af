/*
 * vector_agg.c: sum, topk and the like: series of one group come together, step by step. Order of
 * addition is that of the series.
 */
#include <math.h>
#include <stdlib.h>

#include "querier/logql/engine/eval.h"

/* ---- groups ---- */

bool logql_group_names(LogqlEval *eval, const LogqlGrouping *grouping, LogqlGroupNames *out) {
    out->count = grouping->count;
    out->without = grouping->without;
    return labels_names(eval->symbols, eval->arena, grouping->labels, grouping->count, &out->names);
}

bool logql_group_labels(LogqlEval *eval, const LogqlGroupNames *names, LabelSet set,
                        LabelSet *out) {
    return names->without ? labels_drop(eval->arena, set, names->names, names->count, out)
                          : labels_keep(eval->arena, set, names->names, names->count, out);
}

typedef struct Groups {
    LabelTable table;
    uint32_t *of; /* per series */
} Groups;

static bool find_groups(LogqlEval *eval, const LogqlGrouping *grouping, const LogqlVector *inner,
                        Groups *out) {
    LogqlGroupNames names;

    out->of = ARENA_ARRAY(eval->arena, uint32_t, MAX(inner->count, 1));
    if (out->of == NULL || !label_table_init(&out->table, eval->arena, 16) ||
        !logql_group_names(eval, grouping, &names))
        return false;
    for (size_t i = 0; i < inner->count; i++) {
        LabelSet labels;

        if (!logql_group_labels(eval, &names, inner->series[i].labels, &labels)) return false;
        out->of[i] = label_table_add(&out->table, labels, false);
        if (out->of[i] == SYMBOL_NONE) return false;
    }
    return true;
}

/* ---- folding ---- */

/* What a group has of a step so far. */
typedef struct Fold {
    double value;
    double mean;
    uint64_t count;
} Fold;

static double add_to_mean(double mean, double value, uint64_t count) {
    /* An infinite mean stays what it is, unless by the other infinity or no number. */
    if (isinf(mean) && ((isinf(value) && (mean > 0) == (value > 0)) || isfinite(value)))
        return mean;
    return mean + (value - mean) / (double)count;
}

static void fold_one(LogqlVectorOp op, Fold *fold, double value) {
    double delta;

    if (fold->count++ == 0) {
        fold->value = op == LOGQL_STDDEV || op == LOGQL_STDVAR ? 0 : value;
        fold->mean = value;
        return;
    }
    switch (op) {
    case LOGQL_SUM:
        fold->value += value;
        return;
    case LOGQL_AVG:
        fold->mean = add_to_mean(fold->mean, value, fold->count);
        return;
    case LOGQL_MAX:
        if (fold->value < value || isnan(fold->value)) fold->value = value;
        return;
    case LOGQL_MIN:
        if (fold->value > value || isnan(fold->value)) fold->value = value;
        return;
    case LOGQL_STDDEV:
    case LOGQL_STDVAR:
        delta = value - fold->mean;
        fold->mean += delta / (double)fold->count;
        fold->value += delta * (value - fold->mean);
        return;
    default:
        return; /* count */
    }
}

static double finish(LogqlVectorOp op, const Fold *fold) {
    switch (op) {
    case LOGQL_AVG:
        return fold->mean;
    case LOGQL_COUNT:
        return (double)fold->count;
    case LOGQL_STDDEV:
        return sqrt(fold->value / (double)fold->count);
    case LOGQL_STDVAR:
        return fold->value / (double)fold->count;
    default:
        return fold->value;
    }
}

static ErrCode fold_groups(LogqlEval *eval, LogqlVectorOp op, const LogqlVector *inner,
                           const Groups *groups, LogqlVector *out, Error *err) {
    size_t count = groups->table.count;
    VectorBuilder builder;
    Fold *folds = count == 0 ? NULL : ARENA_ARRAY(eval->arena, Fold, count * eval->steps);

    TRY(vector_begin(eval, &builder, err));
    if (folds == NULL && count > 0) return logql_out_of_memory(err);
    for (size_t i = 0; i < inner->count; i++) {
        const LogqlSeries *series = &inner->series[i];
        Fold *row = folds + groups->of[i] * eval->steps;

        for (size_t s = 0; s < eval->steps; s++)
            if (logql_has_value(series, s)) fold_one(op, &row[s], series->values[s]);
    }
    for (size_t g = 0; g < count; g++) {
        LogqlSeries *series = vector_add(&builder, groups->table.sets[g]);

        if (series == NULL) return logql_out_of_memory(err);
        for (size_t s = 0; s < eval->steps; s++)
            if (folds[g * eval->steps + s].count > 0)
                logql_set_value(series, s, finish(op, &folds[g * eval->steps + s]));
    }
    *out = vector_end(&builder);
    return ERR_OK;
}

/* ---- ordering ---- */

typedef struct Ranked {
    double value; /* negated where the smallest comes first */
    uint32_t series;
    uint32_t group;
} Ranked;

/* Groups apart; largest first; what is no number last; else as they came. */
static int compare_ranked(const void *a, const void *b) {
    const Ranked *x = a, *y = b;

    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (isnan(x->value) != isnan(y->value)) return isnan(x->value) ? 1 : -1;
    if (x->value > y->value) return -1;
    if (x->value < y->value) return 1;
    return x->series < y->series ? -1 : 1;
}

static bool smallest_first(LogqlVectorOp op) {
    return op == LOGQL_BOTTOMK || op == LOGQL_SORT;
}

static size_t rank_step(const LogqlVector *inner, const Groups *groups, bool smallest, size_t step,
                        Ranked *ranked) {
    size_t count = 0;

    for (size_t i = 0; i < inner->count; i++) {
        double value = inner->series[i].values[step];

        if (!logql_has_value(&inner->series[i], step)) continue;
        ranked[count++] = (Ranked){smallest ? -value : value, (uint32_t)i, groups->of[i]};
    }
    qsort(ranked, count, sizeof *ranked, compare_ranked);
    return count;
}

/* The first `k` of each group at every step. A vector of one step comes in that order. */
static ErrCode select_series(LogqlEval *eval, LogqlVectorOp op, uint64_t k,
                             const LogqlVector *inner, const Groups *groups, LogqlVector *out,
                             Error *err) {
    Ranked *ranked = ARENA_ARRAY(eval->arena, Ranked, MAX(inner->count, 1));
    VectorBuilder builder;

    TRY(vector_begin(eval, &builder, err));
    if (ranked == NULL) return logql_out_of_memory(err);
    for (size_t s = 0; s < eval->steps; s++) {
        size_t count = rank_step(inner, groups, smallest_first(op), s, ranked);
        uint64_t taken = 0;

        if (s % 64 == 0) TRY(query_check(eval->query, err));
        for (size_t i = 0; i < count; i++) {
            const LogqlSeries *from = &inner->series[ranked[i].series];
            LogqlSeries *to;

            taken = i > 0 && ranked[i].group == ranked[i - 1].group ? taken + 1 : 0;
            if (taken >= k) continue;
            to = vector_add(&builder, from->labels);
            if (to == NULL) return logql_out_of_memory(err);
            logql_set_value(to, s, from->values[s]);
        }
    }
    *out = vector_end(&builder);
    return ERR_OK;
}

ErrCode logql_aggregate(LogqlEval *eval, const LogqlExpr *expr, const LogqlVector *inner,
                        LogqlVector *out, Error *err) {
    LogqlVectorOp op = expr->as.vector.op;
    Groups groups;

    if (!find_groups(eval, &expr->as.vector.grouping, inner, &groups))
        return logql_out_of_memory(err);
    if (op == LOGQL_SORT || op == LOGQL_SORT_DESC)
        return select_series(eval, op, UINT64_MAX, inner, &groups, out, err);
    if (op == LOGQL_TOPK || op == LOGQL_BOTTOMK || op == LOGQL_APPROX_TOPK)
        return select_series(eval, op, (uint64_t)expr->as.vector.param, inner, &groups, out, err);
    return fold_groups(eval, op, inner, &groups, out, err);
}
