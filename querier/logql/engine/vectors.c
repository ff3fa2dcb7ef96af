/*
 * vectors.c: making vectors.
 */
#include "querier/logql/engine/eval.h"

ErrCode logql_out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

ErrCode vector_begin(LogqlEval *eval, VectorBuilder *out, Error *err) {
    *out = (VectorBuilder){.eval = eval};
    if (!label_table_init(&out->table, eval->arena, 16)) return logql_out_of_memory(err);
    return ERR_OK;
}

LogqlSeries *vector_add(VectorBuilder *builder, LabelSet labels) {
    LogqlEval *eval = builder->eval;
    uint32_t known = builder->table.count, at = label_table_add(&builder->table, labels, false);
    LogqlSeries *series;

    if (at == SYMBOL_NONE) return NULL;
    if (at < known) return &builder->series[at];
    if (at == builder->capacity) {
        size_t more = MAX(builder->capacity * 2, 16);
        LogqlSeries *grown = arena_grow(eval->arena, builder->series,
                                        builder->capacity * sizeof *grown, more * sizeof *grown);

        if (grown == NULL) return NULL;
        builder->series = grown;
        builder->capacity = more;
    }
    series = &builder->series[at];
    series->labels = labels;
    series->values = arena_alloc(eval->arena, eval->steps * sizeof *series->values);
    series->present = ARENA_ARRAY(eval->arena, uint64_t, eval->words);
    return series->values == NULL || series->present == NULL ? NULL : series;
}

static bool has_any(const LogqlEval *eval, const LogqlSeries *series) {
    for (size_t w = 0; w < eval->words; w++)
        if (series->present[w] != 0) return true;
    return false;
}

LogqlVector vector_end(VectorBuilder *builder) {
    LogqlVector vector = {builder->series, 0};

    for (size_t i = 0; i < builder->table.count; i++)
        if (has_any(builder->eval, &builder->series[i]))
            vector.series[vector.count++] = builder->series[i];
    return vector;
}
