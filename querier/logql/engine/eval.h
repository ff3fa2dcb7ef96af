#pragma once
/*
 * eval.h: what the files of engine/ share: the query's grid of steps and vectors over it.
 *
 * A vector is its series, each with a value or nothing at every step, as dense columns: operators
 * work on columns, not on steps. Vectors live in the query's arena and are not changed once made.
 */
#include "querier/exec/label_sets.h"
#include "querier/logql/engine/engine.h"

typedef struct LogqlEval {
    const LogqlParams *params;
    QueryContext *query;
    Arena *arena;
    Symbols *symbols;
    int64_t start_ns; /* aligned */
    int64_t step_ns;  /* 1 when there is one step */
    size_t steps;
    size_t words; /* of a column's `present` */
} LogqlEval;

typedef struct LogqlVector {
    LogqlSeries *series; /* no label set is there twice */
    size_t count;
} LogqlVector;

ErrCode logql_out_of_memory(Error *err);
static inline int64_t floor_ms(int64_t ns) {
    return ns / 1000000 - (ns % 1000000 < 0);
}

/* Makes a vector, series by series. */
typedef struct VectorBuilder {
    LogqlEval *eval;
    LabelTable table;
    LogqlSeries *series;
    size_t capacity;
} VectorBuilder;

MUST_USE ErrCode vector_begin(LogqlEval *eval, VectorBuilder *out, Error *err);
/* The series of these labels, empty when it is new. NULL: out of memory. The pointer is good until
 * the next call. */
LogqlSeries *vector_add(VectorBuilder *builder, LabelSet labels);
/* Leaves out series without a value. */
LogqlVector vector_end(VectorBuilder *builder);

static inline void logql_set_value(LogqlSeries *series, size_t step, double value) {
    series->values[step] = value;
    series->present[step / 64] |= UINT64_C(1) << (step % 64);
}

/* vector_agg.c */
MUST_USE ErrCode logql_aggregate(LogqlEval *eval, const LogqlExpr *expr, const LogqlVector *inner,
                                 LogqlVector *out, Error *err);
/* The labels that a grouping leaves of a set. False: out of memory. */
typedef struct LogqlGroupNames {
    uint32_t *names;
    size_t count;
    bool without;
} LogqlGroupNames;
MUST_USE bool logql_group_names(LogqlEval *eval, const LogqlGrouping *grouping,
                                LogqlGroupNames *out);
MUST_USE bool logql_group_labels(LogqlEval *eval, const LogqlGroupNames *names, LabelSet set,
                                 LabelSet *out);

/* binary.c */
MUST_USE ErrCode logql_binary(LogqlEval *eval, const LogqlExpr *expr, const LogqlVector *left,
                              const LogqlVector *right, LogqlVector *out, Error *err);
/* With a number on one side, the left when `number_left`. */
MUST_USE ErrCode logql_binary_number(LogqlEval *eval, const LogqlExpr *expr,
                                     const LogqlVector *vector, double number, bool number_left,
                                     LogqlVector *out, Error *err);

/* label_replace.c */
MUST_USE ErrCode logql_label_replace(LogqlEval *eval, const LogqlExpr *expr,
                                     const LogqlVector *inner, LogqlVector *out, Error *err);

/* range_agg.c. `grouping`: of the aggregation or of the sum around it; NULL: by all labels. */
MUST_USE ErrCode logql_range(LogqlEval *eval, const LogqlExpr *expr, const LogqlGrouping *grouping,
                             LogqlVector *out, Error *err);

/* logs.c */
MUST_USE ErrCode logql_logs(LogqlEval *eval, const LogqlLog *log, LogqlResult *out, Error *err);
