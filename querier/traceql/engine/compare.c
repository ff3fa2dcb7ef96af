/*
 * compare.c: compare(): how often each value of each attribute is there, in spans that the filter
 * selects and in those that it doesn't.
 */
#include <stdlib.h>

#include "querier/traceql/engine/metrics.h"

enum { BASELINE, SELECTION };

typedef struct Worker {
    const MetricRun *run;
    KeyMap keys; /* selected or not, name of the attribute, value */
    double **counts;
    size_t capacity;
    uint64_t mentioned; /* intrinsics of the pipeline, as bits */
    Buf key;
} Worker;

/* ---- counting ---- */

static ErrCode counts_of(Worker *worker, Str key, double **out, Error *err) {
    Arena *arena = worker->keys.arena;
    uint32_t number;
    bool fresh;

    TRY(keymap_add(&worker->keys, key, &number, &fresh, err));
    if (number >= worker->capacity) {
        size_t capacity = MAX(2 * worker->capacity, 64);
        double **counts = ARENA_ARRAY(arena, double *, capacity);

        if (counts == NULL) return traceql_out_of_memory(err);
        if (number > 0) memcpy(counts, worker->counts, number * sizeof *counts);
        worker->counts = counts;
        worker->capacity = capacity;
    }
    if (fresh) worker->counts[number] = ARENA_ARRAY(arena, double, worker->run->points->count);
    *out = worker->counts[number];
    return *out == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

static ErrCode count_value(Worker *worker, bool selected, const TraceqlAttribute *attribute,
                           const TraceqlValue *value, size_t point, Error *err) {
    double *counts;

    TraceqlValue nil = {0};

    if (value->type == TRACEQL_DURATION) return ERR_OK;
    /* Arrays are no values to Tempo here, but there. */
    if (traceql_is_array(value->type)) value = &nil;
    buf_clear(&worker->key);
    buf_append_byte(&worker->key, selected ? SELECTION : BASELINE);
    buf_append_byte(&worker->key, (char)attribute->intrinsic);
    buf_append_byte(&worker->key, (char)attribute->scope);
    buf_append_varint(&worker->key, attribute->name.len);
    buf_append_str(&worker->key, attribute->name);
    keymap_append_value(&worker->key, value);
    if (buf_failed(&worker->key)) return traceql_out_of_memory(err);
    TRY(counts_of(worker, buf_str(&worker->key), &counts, err));
    counts[point]++;
    return ERR_OK;
}

static ErrCode count_attribute(Worker *worker, Eval *eval, const TraceqlAttribute *attribute,
                               bool selected, uint32_t row, size_t point, Error *err) {
    TraceqlValue value;

    TRY(eval_attribute(eval, attribute, row, &value, err));
    if (value.type == TRACEQL_NIL) return ERR_OK;
    return count_value(worker, selected, attribute, &value, point, err);
}

/* What has a column of its own in Tempo is nil where it isn't there. */
static ErrCode count_absent(Worker *worker, Eval *eval, bool selected, uint32_t row, size_t point,
                            Error *err) {
    const TraceqlAttribute *known;

    for (size_t i = 0; (known = attribute_well_known(i)) != NULL; i++) {
        TraceqlValue value;

        TRY(eval_attribute(eval, known, row, &value, err));
        if (value.type == TRACEQL_NIL)
            TRY(count_value(worker, selected, known, &value, point, err));
    }
    return ERR_OK;
}

static ErrCode count_row(Worker *worker, Eval *eval, bool selected, uint32_t row, size_t point,
                         Error *err) {
    static const uint8_t intrinsics[] = {
        TRACEQL_NAME_FIELD,       TRACEQL_KIND_FIELD,          TRACEQL_STATUS_FIELD,
        TRACEQL_ROOT_NAME_FIELD,  TRACEQL_ROOT_SERVICE_FIELD,  TRACEQL_STATUS_MESSAGE_FIELD,
        TRACEQL_SCOPE_NAME_FIELD, TRACEQL_SCOPE_VERSION_FIELD, TRACEQL_CHILD_COUNT_FIELD};
    const SpanTable *table = eval->table;
    const SpanOrigin *origin = table->origins[table->origin_of[row]];

    for (size_t i = 0; i < sizeof intrinsics; i++) {
        /* Tempo counts an intrinsic twice that its filter reads, too. */
        for (uint64_t n = 0; n <= (worker->mentioned >> intrinsics[i] & 1); n++)
            TRY(count_attribute(worker, eval, &(TraceqlAttribute){.intrinsic = intrinsics[i]},
                                selected, row, point, err));
    }
    TRY(count_absent(worker, eval, selected, row, point, err));
    for (uint32_t i = 0; i < origin->resource.count; i++)
        TRY(count_attribute(
            worker, eval,
            &(TraceqlAttribute){.scope = SCOPE_RESOURCE, .name = origin->resource.items[i].key},
            selected, row, point, err));
    for (uint32_t i = 0; i < origin->scope.count; i++)
        TRY(count_attribute(
            worker, eval,
            &(TraceqlAttribute){.scope = SCOPE_INSTRUMENTATION, .name = origin->scope.items[i].key},
            selected, row, point, err));
    for (uint32_t i = 0; i < table->attribute_count; i++) {
        const AttributeColumn *column = &table->attributes[i];

        /* A key has a column for each type: it is looked up once. */
        if (column->scope != SCOPE_SPAN ||
            (i > 0 && column[-1].scope == SCOPE_SPAN && str_equal(column[-1].key, column->key)))
            continue;
        TRY(count_attribute(worker, eval,
                            &(TraceqlAttribute){.scope = SCOPE_SPAN, .name = column->key}, selected,
                            row, point, err));
    }
    return ERR_OK;
}

static bool in_window(const TraceqlMetric *metric, int64_t time_ns) {
    return metric->compare_start_ns == 0 ||
           (time_ns > metric->compare_start_ns && time_ns <= metric->compare_end_ns);
}

static ErrCode read_unit(void *what, TraceScan *scan, uint32_t unit, Arena *arena, bool *stop,
                         Error *err) {
    Worker *worker = what;
    const MetricRun *run = worker->run;
    uint8_t *rows, *selected;
    SpanTable table = {0};
    Eval eval;

    *stop = false;
    TRY(scan->set.open(&scan->set, unit, arena, &table, err));
    TRY(eval_begin(&eval, run->query, &table, scan->query, arena, err));
    eval.first_parts = true;
    TRY(metric_rows(run, &eval, &rows, err));
    selected = eval_mask(&eval);
    if (selected == NULL) return traceql_out_of_memory(err);
    TRY(eval_filter(&eval, run->metric->compare->expr, selected, err));
    for (uint32_t t = 0; t < table.trace_count; t++) {
        const TraceRow *trace = &table.traces[t];

        TRY(query_check(scan->query, err));
        for (uint32_t row = trace->first; row < trace->first + trace->count; row++) {
            size_t point = point_of(run->points, table.starts_ns[row]);

            if (!rows[row] || point == SIZE_MAX) continue;
            TRY(count_row(worker, &eval,
                          selected[row] && in_window(run->metric, table.starts_ns[row]), row, point,
                          err));
        }
    }
    return ERR_OK;
}

/* ---- the most frequent ---- */

typedef struct Counted {
    bool selected;
    Str attribute; /* bytes that tell it apart */
    Str name;
    TraceqlValue value;
    double *counts;
    double total;
} Counted;

static int order_counted(const void *a, const void *b) {
    const Counted *one = a, *other = b;
    int order = (int)one->selected - (int)other->selected;

    if (order == 0) order = str_compare(one->attribute, other->attribute);
    if (order == 0) order = (one->total < other->total) - (one->total > other->total);
    return order != 0 ? order : traceql_value_order(&one->value, &other->value);
}

static ErrCode counted_of(const MetricRun *run, Str key, double *counts, Counted *out, Error *err) {
    TraceqlAttribute attribute = {.intrinsic = (uint8_t)key.ptr[1], .scope = (uint8_t)key.ptr[2]};
    Str rest = str_from(key, 3);
    uint64_t len = 0;

    *out = (Counted){.selected = key.ptr[0] == SELECTION, .counts = counts};
    for (unsigned shift = 0; rest.len > 0; shift += 7) {
        uint8_t byte = (uint8_t)*rest.ptr;

        rest = str_from(rest, 1);
        len |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) break;
    }
    attribute.name = str_slice(rest, 0, len);
    rest = str_from(rest, len);
    out->attribute = str_slice(key, 1, (size_t)(rest.ptr - key.ptr) - 1);
    out->name = traceql_attribute_text(&attribute, run->arena);
    if (out->name.ptr == NULL || !keymap_take_value(&rest, run->arena, &out->value))
        return traceql_out_of_memory(err);
    for (size_t p = 0; p < run->points->count; p++) out->total += counts[p];
    return ERR_OK;
}

static ErrCode add_series(const MetricRun *run, const char *type, Str name,
                          const TraceqlValue *value, double *counts, SeriesList *out, Error *err) {
    TraceqlLabel *labels = ARENA_ARRAY(run->arena, TraceqlLabel, 2);

    if (labels == NULL) return traceql_out_of_memory(err);
    labels[0] = (TraceqlLabel){STR("__meta_type"), {.type = TRACEQL_STRING, .text = str_of(type)}};
    labels[1] = (TraceqlLabel){name, *value};
    out->items[out->count++] =
        (TraceqlSeries){.labels = labels, .label_count = 2, .values = counts};
    return ERR_OK;
}

static ErrCode finish(const MetricRun *run, const Worker *all, SeriesList *out, Error *err) {
    size_t count = all->keys.count, points = run->points->count;
    Counted *items = ARENA_ARRAY(run->arena, Counted, MAX(count, 1));

    *out = (SeriesList){ARENA_ARRAY(run->arena, TraceqlSeries, 2 * count + 1), 0};
    if (items == NULL || out->items == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        TRY(counted_of(run, all->keys.keys[i], all->counts[i], &items[i], err));
    if (count > 0) qsort(items, count, sizeof *items, order_counted);
    for (size_t i = 0, end; i < count; i = end) {
        bool selected = items[i].selected;
        double *totals = ARENA_ARRAY(run->arena, double, points);
        TraceqlValue nil = {0};

        if (totals == NULL) return traceql_out_of_memory(err);
        for (end = i; end < count && items[end].selected == selected &&
                      str_equal(items[end].attribute, items[i].attribute);
             end++) {
            for (size_t p = 0; p < points; p++) totals[p] += items[end].counts[p];
            if (end - i < (size_t)run->metric->compare_top)
                TRY(add_series(run, selected ? "selection" : "baseline", items[end].name,
                               &items[end].value, items[end].counts, out, err));
        }
        TRY(add_series(run, selected ? "selection_total" : "baseline_total", items[i].name, &nil,
                       totals, out, err));
    }
    return ERR_OK;
}

static ErrCode merge(Worker *into, const Worker *from, Error *err) {
    for (size_t i = 0; i < from->keys.count; i++) {
        double *counts;

        TRY(counts_of(into, from->keys.keys[i], &counts, err));
        for (size_t p = 0; p < into->run->points->count; p++) counts[p] += from->counts[i][p];
    }
    return ERR_OK;
}

ErrCode metric_compare(MetricRun *run, SeriesList *out, Error *err) {
    Worker all = {.run = run, .keys = {.arena = run->arena}};
    TraceScan scan;
    Plan plan = {0};
    ErrCode code;

    TRY(plan_mention_pipeline(&plan, &run->metric->pipeline, run->arena, err));
    run->need.all_keys = true;
    run->need.columns |= SPAN_STARTS | SPAN_NAMES | SPAN_KINDS | SPAN_STATUSES | SPAN_MESSAGES |
                         SPAN_PARENTS | SPAN_ORIGINS | SPAN_EVENTS | SPAN_LINKS;
    TRY(plan_need_set(&run->need, run->metric->compare, run->arena, err));
    TRY(metric_select(run, &scan, err));
    scan.unit = read_unit;
    for (size_t i = 0; i < scan.workers; i++) {
        Worker *worker = ARENA_NEW(run->arena, Worker);

        if (worker == NULL) return traceql_out_of_memory(err);
        worker->run = run;
        for (size_t m = 0; m < plan.mention_count; m++)
            worker->mentioned |= UINT64_C(1) << plan.mentions[m].attribute.intrinsic;
        TRY(trace_scan_arena(run->params->query, &worker->keys.arena, err));
        buf_init(&worker->key, 0);
        scan.what[i] = worker;
    }
    code = trace_scan_run(&scan, true, err);
    for (size_t i = 0; i < scan.workers; i++) {
        Worker *worker = scan.what[i];

        buf_done(&worker->key);
        if (code == ERR_OK) code = merge(&all, worker, err);
    }
    return code == ERR_OK ? finish(run, &all, out, err) : code;
}
