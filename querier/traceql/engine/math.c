/*
 * math.c: the second stage of metrics: topk and bottomk, comparisons, and arithmetic between
 * metrics. Series go together by their labels, the name of the function left aside; one that has
 * none goes with all of the other side.
 */
#include <math.h>
#include <stdlib.h>

#include "querier/traceql/engine/metrics.h"

int metric_order_series(const void *a, const void *b) {
    const TraceqlSeries *one = a, *other = b;

    for (size_t i = 0; i < one->label_count && i < other->label_count; i++) {
        int order = str_compare(one->labels[i].name, other->labels[i].name);

        if (order == 0) order = traceql_value_order(&one->labels[i].value, &other->labels[i].value);
        if (order != 0) return order;
    }
    return (one->label_count > other->label_count) - (one->label_count < other->label_count);
}

/* ---- topk, bottomk, comparisons ---- */

static bool compares(uint8_t op, double value, double number) {
    TraceqlValue a = {.type = TRACEQL_FLOAT, .number = value};
    TraceqlValue b = {.type = TRACEQL_FLOAT, .number = number};

    return traceql_compare(op, &a, &b);
}

static void keep_compared(const TraceqlSecond *second, size_t points, SeriesList *list) {
    for (size_t i = 0; i < list->count; i++)
        for (size_t p = 0; p < points; p++)
            if (!compares(second->op, list->items[i].values[p], second->number))
                list->items[i].values[p] = NAN;
}

typedef struct Ranked {
    double value;
    uint32_t series;
} Ranked;

/* Series are in order of labels: of equal values the first wins. */
static int order_ranked(const void *a, const void *b) {
    const Ranked *one = a, *other = b;

    if (one->value != other->value) return one->value < other->value ? -1 : 1;
    return (one->series > other->series) - (one->series < other->series);
}

/* At each point on its own. */
static ErrCode keep_ranked(const TraceqlSecond *second, size_t points, SeriesList *list,
                           Arena *arena, Error *err) {
    Ranked *ranked = ARENA_ARRAY(arena, Ranked, MAX(list->count, 1));

    if (ranked == NULL) return traceql_out_of_memory(err);
    if (list->count > 0) qsort(list->items, list->count, sizeof *list->items, metric_order_series);
    for (size_t p = 0; p < points; p++) {
        size_t count = 0;

        for (uint32_t i = 0; i < list->count; i++) {
            double value = list->items[i].values[p];

            if (!isnan(value)) ranked[count++] = (Ranked){second->bottom ? value : -value, i};
        }
        if (count > 0) qsort(ranked, count, sizeof *ranked, order_ranked);
        for (size_t k = (size_t)MIN((uint64_t)second->limit, count); k < count; k++)
            list->items[ranked[k].series].values[p] = NAN;
    }
    return ERR_OK;
}

ErrCode metric_seconds(const TraceqlMetric *metric, size_t points, SeriesList *list, Arena *arena,
                       Error *err) {
    for (size_t i = 0; i < metric->second_count; i++) {
        const TraceqlSecond *second = &metric->seconds[i];

        if (second->op == TRACEQL_OP_NONE)
            TRY(keep_ranked(second, points, list, arena, err));
        else
            keep_compared(second, points, list);
    }
    return ERR_OK;
}

/* ---- arithmetic ---- */

static bool is_name(const TraceqlLabel *label) {
    return str_equal(label->name, STR("__name__"));
}

static ErrCode key_of(const TraceqlSeries *series, Buf *out, Error *err) {
    buf_clear(out);
    for (size_t i = 0; i < series->label_count; i++) {
        if (is_name(&series->labels[i])) continue;
        buf_append_varint(out, series->labels[i].name.len);
        buf_append_str(out, series->labels[i].name);
        keymap_append_value(out, &series->labels[i].value);
    }
    return buf_failed(out) ? traceql_out_of_memory(err) : ERR_OK;
}

static const TraceqlLabel *name_of(const TraceqlSeries *series) {
    for (size_t i = 0; i < series->label_count; i++)
        if (is_name(&series->labels[i])) return &series->labels[i];
    return NULL;
}

static double reckon(uint8_t op, double a, double b) {
    switch (op) {
    case TRACEQL_ADD:
        return a + b;
    case TRACEQL_SUB:
        return a - b;
    case TRACEQL_MUL:
        return a * b;
    default:
        return b == 0 ? NAN : a / b;
    }
}

/* Labels of both; the names as `(rate / rate)`, if both have one. */
static ErrCode join_labels(uint8_t op, const TraceqlSeries *left, const TraceqlSeries *right,
                           Arena *arena, TraceqlSeries *out, Error *err) {
    const TraceqlLabel *names[] = {name_of(left), name_of(right)};
    const TraceqlSeries *sides[] = {left, right};
    TraceqlLabel *labels =
        ARENA_ARRAY(arena, TraceqlLabel, left->label_count + right->label_count + 1);

    if (labels == NULL) return traceql_out_of_memory(err);
    out->labels = labels;
    if (names[0] != NULL && names[1] != NULL) {
        Str text = str_format(arena, "(" STR_FMT " %s " STR_FMT ")", STR_ARG(names[0]->value.text),
                              traceql_op_text(op), STR_ARG(names[1]->value.text));

        if (text.ptr == NULL) return traceql_out_of_memory(err);
        labels[out->label_count++] =
            (TraceqlLabel){STR("__name__"), {.type = TRACEQL_STRING, .text = text}};
    }
    for (size_t s = 0; s < 2; s++) {
        size_t before = out->label_count;

        for (size_t i = 0; i < sides[s]->label_count; i++) {
            const TraceqlLabel *label = &sides[s]->labels[i];
            bool known = is_name(label);

            for (size_t k = 0; k < before && !known; k++)
                known = str_equal(labels[k].name, label->name);
            if (!known) labels[out->label_count++] = *label;
        }
    }
    return ERR_OK;
}

typedef struct Side {
    const SeriesList *list;
    KeyMap keys;     /* of series, in their order */
    uint32_t *order; /* series by number of key */
    uint32_t alone;  /* the series without labels; UINT32_MAX: there is none */
} Side;

static ErrCode side_begin(const SeriesList *list, Arena *arena, Buf *key, Side *out, Error *err) {
    *out = (Side){.list = list, .keys = {.arena = arena}, .alone = UINT32_MAX};
    out->order = ARENA_ARRAY(arena, uint32_t, MAX(list->count, 1));
    if (out->order == NULL) return traceql_out_of_memory(err);
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t number;
        bool fresh;

        TRY(key_of(&list->items[i], key, err));
        TRY(keymap_add(&out->keys, buf_str(key), &number, &fresh, err));
        out->order[number] = i;
        if (key->len == 0) out->alone = i;
    }
    return ERR_OK;
}

static ErrCode side_find(Side *side, Str key, const TraceqlSeries **out, Error *err) {
    size_t known = side->keys.count;
    uint32_t number;
    bool fresh;

    TRY(keymap_add(&side->keys, key, &number, &fresh, err));
    *out = NULL;
    if (number < known && number < side->list->count)
        *out = &side->list->items[side->order[number]];
    else if (side->alone != UINT32_MAX)
        *out = &side->list->items[side->alone];
    return ERR_OK;
}

static ErrCode join_sides(uint8_t op, Side *left, Side *right, size_t points, Arena *arena,
                          Buf *key, SeriesList *out, Error *err) {
    const SeriesList *target = right->alone != UINT32_MAX ? left->list : right->list;

    *out = (SeriesList){ARENA_ARRAY(arena, TraceqlSeries, MAX(target->count, 1)), 0};
    if (out->items == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < target->count; i++) {
        TraceqlSeries *series = &out->items[out->count];
        const TraceqlSeries *a, *b;

        TRY(key_of(&target->items[i], key, err));
        TRY(side_find(left, buf_str(key), &a, err));
        TRY(side_find(right, buf_str(key), &b, err));
        if (a == NULL || b == NULL) continue;
        TRY(join_labels(op, a, b, arena, series, err));
        series->values = ARENA_ARRAY(arena, double, points);
        if (series->values == NULL) return traceql_out_of_memory(err);
        for (size_t p = 0; p < points; p++)
            series->values[p] = reckon(op, a->values[p], b->values[p]);
        series->exemplars = a->exemplars;
        series->exemplar_count = a->exemplar_count;
        out->count++;
    }
    return ERR_OK;
}

ErrCode metric_math(uint8_t op, const SeriesList *left, const SeriesList *right, size_t points,
                    Arena *arena, SeriesList *out, Error *err) {
    Side sides[2];
    Buf key;
    ErrCode code;

    buf_init(&key, 0);
    code = side_begin(left, arena, &key, &sides[0], err);
    if (code == ERR_OK) code = side_begin(right, arena, &key, &sides[1], err);
    if (code == ERR_OK) code = join_sides(op, &sides[0], &sides[1], points, arena, &key, out, err);
    buf_done(&key);
    return code;
}
