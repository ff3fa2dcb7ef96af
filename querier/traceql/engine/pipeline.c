/*
 * pipeline.c: stages on the sets of one trace, one after the other.
 */
#include <stdlib.h>

#include "querier/traceql/engine/eval.h"

static ErrCode add_label(Eval *eval, SpanSet *set, Str name, const TraceqlValue *value,
                         Error *err) {
    TraceqlLabel *labels = ARENA_ARRAY(eval->arena, TraceqlLabel, set->label_count + (size_t)1);

    if (labels == NULL) return traceql_out_of_memory(err);
    if (set->label_count > 0) memcpy(labels, set->labels, set->label_count * sizeof *labels);
    labels[set->label_count++] = (TraceqlLabel){name, *value};
    set->labels = labels;
    return ERR_OK;
}

static ErrCode gather(Eval *eval, const TraceRow *trace, const uint8_t *mask, SpanSet *out,
                      Error *err) {
    uint32_t count = 0;

    for (uint32_t row = trace->first; row < trace->first + trace->count; row++)
        count += mask == NULL ? 1 : mask[row];
    out->rows = ARENA_ARRAY(eval->arena, uint32_t, MAX(count, 1));
    if (out->rows == NULL) return traceql_out_of_memory(err);
    out->count = 0;
    for (uint32_t row = trace->first; row < trace->first + trace->count; row++)
        if (mask == NULL || mask[row]) out->rows[out->count++] = row;
    return ERR_OK;
}

static ErrCode stage_set(Eval *eval, const TraceqlStage *stage, uint32_t trace, SpanSet *sets,
                         size_t *count, Error *err) {
    const TraceRow *row = &eval->table->traces[trace];
    uint8_t *in = eval_mask(eval), *out = eval_mask(eval);
    size_t left = 0;

    if (in == NULL || out == NULL) return traceql_out_of_memory(err);
    for (size_t s = 0; s < *count; s++) {
        SpanSet set = sets[s];

        memset(in + row->first, 0, row->count);
        for (uint32_t i = 0; i < set.count; i++) in[set.rows[i]] = 1;
        TRY(eval_set(eval, stage->set, trace, trace + 1, in, out, err));
        TRY(gather(eval, row, out, &set, err));
        if (set.count > 0) sets[left++] = set;
    }
    eval->mask_depth -= 2;
    *count = left;
    return ERR_OK;
}

/* ---- by ---- */

typedef struct Keyed {
    TraceqlValue value;
    uint32_t row;
} Keyed;

static int order_keyed(const void *a, const void *b) {
    const Keyed *one = a, *other = b;
    int order = traceql_value_order(&one->value, &other->value);

    return order != 0 ? order : (one->row > other->row) - (one->row < other->row);
}

static ErrCode split(Eval *eval, const TraceqlStage *stage, const SpanSet *set, SpanSet *out,
                     size_t *count, Error *err) {
    Keyed *keyed = ARENA_ARRAY(eval->arena, Keyed, MAX(set->count, 1));
    uint32_t *rows = ARENA_ARRAY(eval->arena, uint32_t, MAX(set->count, 1));

    if (keyed == NULL || rows == NULL) return traceql_out_of_memory(err);
    for (uint32_t i = 0; i < set->count; i++) {
        keyed[i].row = set->rows[i];
        TRY(eval_value(eval, stage->expr, set->rows[i], &keyed[i].value, err));
    }
    qsort(keyed, set->count, sizeof *keyed, order_keyed);
    for (uint32_t i = 0; i < set->count;) {
        SpanSet *group = &out[*count];
        uint32_t end = i;

        *group = *set;
        group->rows = rows + i;
        while (end < set->count && traceql_value_order(&keyed[end].value, &keyed[i].value) == 0) {
            rows[end] = keyed[end].row;
            end++;
        }
        group->count = end - i;
        TRY(add_label(eval, group, stage->text, &keyed[i].value, err));
        (*count)++;
        i = end;
    }
    return ERR_OK;
}

static ErrCode stage_by(Eval *eval, const TraceqlStage *stage, SpanSet **sets, size_t *count,
                        Error *err) {
    size_t spans = 0, groups = 0;
    SpanSet *out;

    for (size_t s = 0; s < *count; s++) spans += (*sets)[s].count;
    out = ARENA_ARRAY(eval->arena, SpanSet, MAX(spans, 1));
    if (out == NULL) return traceql_out_of_memory(err);
    for (size_t s = 0; s < *count; s++) TRY(split(eval, stage, &(*sets)[s], out, &groups, err));
    *sets = out;
    *count = groups;
    return ERR_OK;
}

static int order_rows(const void *a, const void *b) {
    const uint32_t *one = a, *other = b;

    return (*one > *other) - (*one < *other);
}

static ErrCode stage_coalesce(Eval *eval, SpanSet *sets, size_t *count, Error *err) {
    SpanSet all = {0};

    if (*count == 0) return ERR_OK;
    for (size_t s = 0; s < *count; s++) all.count += sets[s].count;
    all.rows = ARENA_ARRAY(eval->arena, uint32_t, MAX(all.count, 1));
    if (all.rows == NULL) return traceql_out_of_memory(err);
    all.count = 0;
    for (size_t s = 0; s < *count; s++)
        for (uint32_t i = 0; i < sets[s].count; i++) all.rows[all.count++] = sets[s].rows[i];
    qsort(all.rows, all.count, sizeof *all.rows, order_rows);
    sets[0] = all;
    *count = 1;
    return ERR_OK;
}

/* ---- aggregates ---- */

static void add_value(TraceqlValue *sum, const TraceqlValue *value) {
    if (sum->type == TRACEQL_FLOAT || value->type == TRACEQL_FLOAT)
        *sum = (TraceqlValue){.type = TRACEQL_FLOAT,
                              .number = traceql_number(sum) + traceql_number(value)};
    else
        sum->integer = (int64_t)((uint64_t)sum->integer + (uint64_t)value->integer);
}

/* NIL: no span has a number. */
static ErrCode aggregate(Eval *eval, const TraceqlStage *stage, const SpanSet *set,
                         TraceqlValue *out, Error *err) {
    uint32_t count = 0;

    *out = (TraceqlValue){.type = TRACEQL_INT, .integer = set->count};
    if (stage->aggregate == TRACEQL_COUNT) return ERR_OK;
    *out = (TraceqlValue){0};
    for (uint32_t i = 0; i < set->count; i++) {
        TraceqlValue value;

        TRY(eval_value(eval, stage->expr, set->rows[i], &value, err));
        if (!traceql_is_number(value.type)) continue;
        if (count++ == 0)
            *out = value;
        else if (stage->aggregate == TRACEQL_AVG || stage->aggregate == TRACEQL_SUM)
            add_value(out, &value);
        else if (traceql_compare(stage->aggregate == TRACEQL_MAX ? TRACEQL_GT : TRACEQL_LT, &value,
                                 out))
            *out = value;
    }
    if (stage->aggregate != TRACEQL_AVG || count == 0) return ERR_OK;
    if (out->type == TRACEQL_DURATION)
        out->integer /= count;
    else
        *out = (TraceqlValue){.type = TRACEQL_FLOAT, .number = traceql_number(out) / count};
    return ERR_OK;
}

static ErrCode stage_aggregate(Eval *eval, const TraceqlStage *stage, SpanSet *sets, size_t *count,
                               Error *err) {
    size_t left = 0;

    for (size_t s = 0; s < *count; s++) {
        SpanSet set = sets[s];
        TraceqlValue value;

        TRY(aggregate(eval, stage, &set, &value, err));
        if (value.type == TRACEQL_NIL || !traceql_compare(stage->op, &value, &stage->value))
            continue;
        TRY(add_label(eval, &set, stage->text, &value, err));
        sets[left++] = set;
    }
    *count = left;
    return ERR_OK;
}

ErrCode eval_pipeline(Eval *eval, const TraceqlPipeline *pipeline, uint32_t trace,
                      const uint8_t *in, SpanSet **out, size_t *count, Error *err) {
    const TraceRow *row = &eval->table->traces[trace];
    SpanSet *sets = ARENA_NEW(eval->arena, SpanSet);

    TRY(query_check(eval->query, err));
    if (sets == NULL) return traceql_out_of_memory(err);
    TRY(gather(eval, row, in, sets, err));
    *count = sets->count > 0;
    for (size_t i = 0; i<pipeline->count && * count> 0; i++) {
        const TraceqlStage *stage = &pipeline->stages[i];

        switch (stage->kind) {
        case TRACEQL_STAGE_SET:
            TRY(stage_set(eval, stage, trace, sets, count, err));
            break;
        case TRACEQL_STAGE_AGGREGATE:
            TRY(stage_aggregate(eval, stage, sets, count, err));
            break;
        case TRACEQL_STAGE_BY:
            TRY(stage_by(eval, stage, &sets, count, err));
            break;
        case TRACEQL_STAGE_COALESCE:
            TRY(stage_coalesce(eval, sets, count, err));
            break;
        default:
            break;
        }
    }
    *out = sets;
    return ERR_OK;
}
