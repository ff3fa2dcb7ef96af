/*
 * aggregate.c: the first stage of metrics: spans into series, each thread its own, put together at
 * the end. Groups that a dictionary tells are looked up by its codes, not by values.
 */
#include <math.h>
#include <stdlib.h>

#include "querier/traceql/engine/metrics.h"
#include "querier/traceql/engine/show.h"

enum { CODES_MAX = 1 << 18, NO_SERIES = UINT32_MAX };

typedef struct Sample {
    TraceId trace;
    uint64_t span;
    int64_t time_ns;
    double value;
    bool there;
} Sample;

typedef struct Accumulator {
    double *values;   /* per point */
    uint64_t *counts; /* of spans that had a value */
    Sample *samples;  /* with exemplars: of the span whose trace has the smallest id */
} Accumulator;

typedef struct Worker {
    const MetricRun *run;
    KeyMap keys;
    Accumulator *series; /* by number of key */
    size_t capacity;
    Buf key;
} Worker;

static bool by_bucket(const TraceqlMetric *metric) {
    return metric->function == TRACEQL_QUANTILE_OVER_TIME ||
           metric->function == TRACEQL_HISTOGRAM_OVER_TIME;
}

static bool counts_only(const TraceqlMetric *metric) {
    return metric->function == TRACEQL_RATE || metric->function == TRACEQL_COUNT_OVER_TIME ||
           by_bucket(metric);
}

/* ---- accumulating ---- */

static ErrCode add_series(Worker *worker, Str key, uint32_t *number, Error *err) {
    const MetricRun *run = worker->run;
    Arena *arena = worker->keys.arena;
    size_t points = run->points->count;
    Accumulator *series;
    bool fresh;

    TRY(keymap_add(&worker->keys, key, number, &fresh, err));
    if (!fresh) return ERR_OK;
    if (run->params->series_max != 0 && worker->keys.count > run->params->series_max)
        return error_set(err, ERR_LIMIT, "query has more than %llu series",
                         (unsigned long long)run->params->series_max);
    if (*number >= worker->capacity) {
        size_t capacity = MAX(2 * worker->capacity, 16);

        series = ARENA_ARRAY(arena, Accumulator, capacity);
        if (series == NULL) return traceql_out_of_memory(err);
        if (*number > 0) memcpy(series, worker->series, *number * sizeof *series);
        worker->series = series;
        worker->capacity = capacity;
    }
    series = &worker->series[*number];
    series->values = ARENA_ARRAY(arena, double, points);
    series->counts = ARENA_ARRAY(arena, uint64_t, points);
    if (series->values == NULL || series->counts == NULL) return traceql_out_of_memory(err);
    if (run->params->exemplars == 0) return ERR_OK;
    series->samples = ARENA_ARRAY(arena, Sample, points);
    return series->samples == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

static void accumulate(const TraceqlMetric *metric, Accumulator *into, size_t point, double value,
                       uint64_t count) {
    double *held = &into->values[point];

    if (count == 0) return;
    if (into->counts[point] == 0)
        *held = value;
    else if (metric->function == TRACEQL_MIN_OVER_TIME)
        *held = fmin(*held, value);
    else if (metric->function == TRACEQL_MAX_OVER_TIME)
        *held = fmax(*held, value);
    else
        *held += value;
    into->counts[point] += count;
}

static void keep_sample(Accumulator *into, size_t point, const Sample *sample) {
    Sample *held = &into->samples[point];
    int order =
        held->there ? memcmp(sample->trace.bytes, held->trace.bytes, sizeof held->trace.bytes) : -1;

    if (order < 0 || (order == 0 && sample->span < held->span)) *held = *sample;
}

/* ---- values ---- */

/* Tempo's column of this one has whole numbers only. */
static bool is_status_code(const TraceqlAttribute *attribute) {
    return attribute->intrinsic == TRACEQL_NONE_FIELD && attribute->scope == SCOPE_SPAN &&
           str_equal(attribute->name, STR("http.status_code"));
}

static ErrCode value_of(Eval *eval, const TraceqlAttribute *attribute, uint32_t row,
                        TraceqlValue *out, Error *err) {
    TRY(eval_attribute(eval, attribute, row, out, err));
    if (out->type != TRACEQL_INT && is_status_code(attribute)) *out = (TraceqlValue){0};
    return ERR_OK;
}

/* Durations of spans are seconds; what else is one stays in nanoseconds, as Tempo has it. False:
 * no number. */
static ErrCode number_of(Eval *eval, const TraceqlMetric *metric, uint32_t row, double *out,
                         uint8_t *type, Error *err) {
    TraceqlValue value;

    TRY(value_of(eval, &metric->attribute, row, &value, err));
    *type = value.type;
    *out = traceql_number(&value);
    if (isnan(*out)) *type = TRACEQL_NIL;
    if (metric->attribute.intrinsic == TRACEQL_DURATION_FIELD && !by_bucket(metric)) *out /= 1e9;
    return ERR_OK;
}

/* The bucket of a row. False: it is in none. */
static ErrCode bucket_of(Eval *eval, const TraceqlMetric *metric, uint32_t row, double *bucket,
                         bool *is_in, Error *err) {
    double number;
    uint8_t type;

    TRY(number_of(eval, metric, row, &number, &type, err));
    *is_in = (type == TRACEQL_INT || type == TRACEQL_DURATION) && number >= 2;
    if (!*is_in) return ERR_OK;
    *bucket = metric_bucket((uint64_t)number);
    if (type == TRACEQL_DURATION) *bucket /= 1e9;
    return ERR_OK;
}

/* ---- groups ---- */

/* How many codes tell all values of the attribute in this table apart; 0: none do. */
static uint32_t codes_of(const SpanTable *table, const TraceqlAttribute *by) {
    switch (by->intrinsic) {
    case TRACEQL_NONE_FIELD:
        return by->scope == SCOPE_RESOURCE || by->scope == SCOPE_INSTRUMENTATION
                   ? table->origin_count
                   : 0;
    case TRACEQL_SCOPE_NAME_FIELD:
    case TRACEQL_SCOPE_VERSION_FIELD:
        return table->origin_count;
    case TRACEQL_NAME_FIELD:
        return table->names.distinct;
    case TRACEQL_STATUS_FIELD:
    case TRACEQL_KIND_FIELD:
        return 256;
    default:
        return 0;
    }
}

static uint32_t code_of(const SpanTable *table, const TraceqlAttribute *by, uint32_t row) {
    switch (by->intrinsic) {
    case TRACEQL_NAME_FIELD:
        return table->names.codes[row];
    case TRACEQL_STATUS_FIELD:
        return table->statuses[row];
    case TRACEQL_KIND_FIELD:
        return table->kinds[row];
    default:
        return table->origin_of[row];
    }
}

typedef struct Groups {
    uint32_t *known; /* series by code; NULL: codes don't tell */
} Groups;

static ErrCode groups_begin(const TraceqlMetric *metric, Eval *eval, Groups *out, Error *err) {
    uint64_t codes = 1;

    *out = (Groups){0};
    for (size_t i = 0; i < metric->by_count; i++) {
        codes *= codes_of(eval->table, &metric->by[i]);
        if (codes == 0 || codes > CODES_MAX) return ERR_OK;
    }
    if (by_bucket(metric)) return ERR_OK;
    out->known = ARENA_ARRAY(eval->arena, uint32_t, codes);
    if (out->known == NULL) return traceql_out_of_memory(err);
    memset(out->known, 0xff, codes * sizeof *out->known);
    return ERR_OK;
}

static ErrCode group_key(Worker *worker, Eval *eval, uint32_t row, Error *err) {
    const TraceqlMetric *metric = worker->run->metric;

    buf_clear(&worker->key);
    for (size_t i = 0; i < metric->by_count; i++) {
        TraceqlValue value;

        TRY(value_of(eval, &metric->by[i], row, &value, err));
        /* What the filter compares with constants groups by values that passed. */
        if (worker->run->narrowed[i] != NULL)
            TRY(show_narrow(eval, worker->run->narrowed[i], &value, err));
        keymap_append_value(&worker->key, &value);
    }
    return buf_failed(&worker->key) ? traceql_out_of_memory(err) : ERR_OK;
}

/* The series of a row; NO_SERIES: it counts in none. */
static ErrCode series_of(Worker *worker, Eval *eval, Groups *groups, uint32_t row, uint32_t *out,
                         Error *err) {
    const TraceqlMetric *metric = worker->run->metric;
    uint32_t code = 0;

    if (groups->known != NULL) {
        for (size_t i = 0; i < metric->by_count; i++)
            code = code * codes_of(eval->table, &metric->by[i]) +
                   code_of(eval->table, &metric->by[i], row);
        *out = groups->known[code];
        if (*out != NO_SERIES) return ERR_OK;
    }
    TRY(group_key(worker, eval, row, err));
    if (by_bucket(metric)) {
        TraceqlValue bucket = {.type = TRACEQL_FLOAT};
        bool is_in;

        TRY(bucket_of(eval, metric, row, &bucket.number, &is_in, err));
        *out = NO_SERIES;
        if (!is_in) return ERR_OK;
        keymap_append_value(&worker->key, &bucket);
    }
    TRY(add_series(worker, buf_str(&worker->key), out, err));
    if (groups->known != NULL) groups->known[code] = *out;
    return ERR_OK;
}

/* ---- one unit ---- */

static ErrCode observe(Worker *worker, Eval *eval, Groups *groups, const TraceRow *trace,
                       uint32_t row, Error *err) {
    const MetricRun *run = worker->run;
    const SpanTable *table = eval->table;
    size_t point = point_of(run->points, table->starts_ns[row]);
    Accumulator *series;
    double value = 1;
    uint32_t number;

    if (point == SIZE_MAX) return ERR_OK;
    TRY(series_of(worker, eval, groups, row, &number, err));
    if (number == NO_SERIES) return ERR_OK;
    series = &worker->series[number];
    if (!counts_only(run->metric)) {
        uint8_t type;

        TRY(number_of(eval, run->metric, row, &value, &type, err));
        if (type == TRACEQL_NIL) {
            /* Tempo's sums of spans of which some have no number are none. */
            if (run->metric->function == TRACEQL_SUM_OVER_TIME)
                accumulate(run->metric, series, point, NAN, 1);
            return ERR_OK;
        }
    }
    accumulate(run->metric, series, point, value, 1);
    if (series->samples != NULL)
        keep_sample(series, point,
                    &(Sample){trace->id, table->ids[row], table->starts_ns[row],
                              counts_only(run->metric) ? NAN : value, true});
    return ERR_OK;
}

ErrCode metric_rows(const MetricRun *run, Eval *eval, uint8_t **rows, Error *err) {
    const SpanTable *table = eval->table;
    uint8_t *in = eval_mask(eval), *out = eval_mask(eval);

    if (in == NULL || out == NULL) return traceql_out_of_memory(err);
    memset(in, 1, table->row_count);
    if (run->first != NULL) TRY(eval_set(eval, run->first, 0, table->trace_count, NULL, in, err));
    *rows = in;
    if (run->rest.count == 0) return ERR_OK;
    *rows = out;
    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *trace = &table->traces[t];
        SpanSet *sets;
        size_t count = 0;

        memset(out + trace->first, 0, trace->count);
        if (trace->count == 0 || memchr(in + trace->first, 1, trace->count) == NULL) continue;
        TRY(eval_pipeline(eval, &run->rest, t, in, &sets, &count, err));
        for (size_t s = 0; s < count; s++)
            for (uint32_t i = 0; i < sets[s].count; i++) out[sets[s].rows[i]] = 1;
    }
    return ERR_OK;
}

static ErrCode read_unit(void *what, TraceScan *scan, uint32_t unit, Arena *arena, bool *stop,
                         Error *err) {
    Worker *worker = what;
    SpanTable table = {0};
    Groups groups;
    uint8_t *rows;
    Eval eval;

    *stop = false;
    TRY(scan->set.open(&scan->set, unit, arena, &table, err));
    TRY(eval_begin(&eval, worker->run->query, &table, scan->query, arena, err));
    eval.first_parts = true;
    TRY(metric_rows(worker->run, &eval, &rows, err));
    TRY(groups_begin(worker->run->metric, &eval, &groups, err));
    for (uint32_t t = 0; t < table.trace_count; t++) {
        const TraceRow *trace = &table.traces[t];

        for (uint32_t row = trace->first; row < trace->first + trace->count; row++)
            if (rows[row]) TRY(observe(worker, &eval, &groups, trace, row, err));
    }
    return ERR_OK;
}

/* ---- what all threads found ---- */

static ErrCode merge(Worker *into, const Worker *from, Error *err) {
    const MetricRun *run = into->run;

    for (size_t i = 0; i < from->keys.count; i++) {
        const Accumulator *one = &from->series[i];
        uint32_t number;

        TRY(add_series(into, from->keys.keys[i], &number, err));
        for (size_t p = 0; p < run->points->count; p++) {
            accumulate(run->metric, &into->series[number], p, one->values[p], one->counts[p]);
            if (one->samples != NULL && one->samples[p].there)
                keep_sample(&into->series[number], p, &one->samples[p]);
        }
    }
    return ERR_OK;
}

static void finish_values(const MetricRun *run, const Accumulator *series, double *out) {
    const TraceqlMetric *metric = run->metric;
    double seconds = (double)run->points->step_ns / 1e9;

    for (size_t p = 0; p < run->points->count; p++) {
        bool any = series != NULL && series->counts[p] > 0;

        out[p] = any ? series->values[p] : counts_only(metric) ? 0 : NAN;
        if (metric->function == TRACEQL_RATE) out[p] /= seconds;
        if (metric->function == TRACEQL_AVG_OVER_TIME && any) out[p] /= (double)series->counts[p];
    }
}

static Str hex_of(Arena *arena, const uint8_t *bytes, size_t count) {
    Buf buf;
    Str out = {0};

    buf_init(&buf, 0);
    for (size_t i = 0; i < count; i++) buf_printf(&buf, "%02x", bytes[i]);
    if (!buf_failed(&buf)) out = str_dup(arena, buf_str(&buf));
    buf_done(&buf);
    return out;
}

static ErrCode add_exemplar(const MetricRun *run, const Sample *sample, double value,
                            TraceqlExemplar *out, Error *err) {
    TraceqlLabel *labels = ARENA_ARRAY(run->arena, TraceqlLabel, 2);
    uint8_t id[8];

    for (size_t i = 0; i < 8; i++) id[i] = (uint8_t)(sample->span >> (56 - 8 * i));
    if (labels == NULL) return traceql_out_of_memory(err);
    labels[0].name = STR("trace:id");
    labels[0].value =
        (TraceqlValue){.type = TRACEQL_STRING, .text = hex_of(run->arena, sample->trace.bytes, 16)};
    labels[1].name = STR("span:id");
    labels[1].value = (TraceqlValue){.type = TRACEQL_STRING, .text = hex_of(run->arena, id, 8)};
    if (labels[0].value.text.ptr == NULL || labels[1].value.text.ptr == NULL)
        return traceql_out_of_memory(err);
    *out = (TraceqlExemplar){labels, 2, isnan(sample->value) ? value : sample->value,
                             sample->time_ns / 1000000};
    return ERR_OK;
}

/* Of as many points as there may be exemplars, evenly. */
static ErrCode finish_exemplars(const MetricRun *run, const Accumulator *series, TraceqlSeries *out,
                                Error *err) {
    size_t there = 0, wanted, seen = 0;
    TraceqlExemplar *items;

    if (series == NULL || series->samples == NULL || run->points->instant) return ERR_OK;
    for (size_t p = 0; p < run->points->count; p++) there += series->samples[p].there;
    wanted = MIN(there, run->params->exemplars);
    items = ARENA_ARRAY(run->arena, TraceqlExemplar, MAX(wanted, 1));
    if (items == NULL) return traceql_out_of_memory(err);
    for (size_t p = 0; p < run->points->count && out->exemplar_count < wanted; p++) {
        if (!series->samples[p].there) continue;
        if (seen++ * wanted / there < out->exemplar_count) continue;
        TRY(add_exemplar(run, &series->samples[p], out->values[p], &items[out->exemplar_count],
                         err));
        out->exemplar_count++;
    }
    out->exemplars = items;
    return ERR_OK;
}

/* Labels of the groups' values: those that are there; if none is, the first as nil. */
static ErrCode label_series(const MetricRun *run, Str key, TraceqlSeries *out, Error *err) {
    const TraceqlMetric *metric = run->metric;
    TraceqlLabel *labels = ARENA_ARRAY(run->arena, TraceqlLabel, metric->by_count + 2);

    if (labels == NULL) return traceql_out_of_memory(err);
    out->labels = labels;
    for (size_t i = 0; i < metric->by_count; i++) {
        TraceqlLabel *label = &labels[out->label_count];

        if (!keymap_take_value(&key, run->arena, &label->value)) return traceql_out_of_memory(err);
        if (label->value.type == TRACEQL_NIL) continue;
        label->name = traceql_attribute_text(&metric->by[i], run->arena);
        if (label->name.ptr == NULL) return traceql_out_of_memory(err);
        out->label_count++;
    }
    if (by_bucket(metric)) {
        TraceqlLabel *label = &labels[out->label_count++];

        label->name = STR("__bucket");
        return keymap_take_value(&key, run->arena, &label->value) ? ERR_OK
                                                                  : traceql_out_of_memory(err);
    }
    if (out->label_count > 0) return ERR_OK;
    out->label_count = 1;
    if (metric->by_count > 0) {
        labels[0].name = traceql_attribute_text(&metric->by[0], run->arena);
        labels[0].value = (TraceqlValue){0};
    } else {
        static const char *const names[] = {"rate",          "count_over_time", "min_over_time",
                                            "max_over_time", "avg_over_time",   "sum_over_time"};

        labels[0].name = STR("__name__");
        labels[0].value =
            (TraceqlValue){.type = TRACEQL_STRING, .text = str_of(names[metric->function])};
    }
    return labels[0].name.ptr == NULL ? traceql_out_of_memory(err) : ERR_OK;
}

static ErrCode finish(const MetricRun *run, const Worker *all, SeriesList *out, Error *err) {
    bool alone = run->metric->by_count == 0 && !by_bucket(run->metric);
    size_t count = alone ? 1 : all->keys.count;

    *out = (SeriesList){ARENA_ARRAY(run->arena, TraceqlSeries, MAX(count, 1)), count};
    if (out->items == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        const Accumulator *series = i < all->keys.count ? &all->series[i] : NULL;
        TraceqlSeries *item = &out->items[i];

        item->values = ARENA_ARRAY(run->arena, double, run->points->count);
        if (item->values == NULL) return traceql_out_of_memory(err);
        finish_values(run, series, item->values);
        TRY(label_series(run, series == NULL ? (Str){"", 0} : all->keys.keys[i], item, err));
        TRY(finish_exemplars(run, series, item, err));
    }
    return ERR_OK;
}

/* ---- quantiles ---- */

static int order_buckets(const void *a, const void *b) {
    const MetricBucket *one = a, *other = b;

    return (one->max > other->max) - (one->max < other->max);
}

/* Series [first, end) are the buckets of one group. */
static ErrCode quantile_series(const MetricRun *run, const SeriesList *from, size_t first,
                               size_t end, double q, TraceqlSeries *out, Error *err) {
    const TraceqlSeries *one = &from->items[first];
    MetricBucket *buckets = ARENA_ARRAY(run->arena, MetricBucket, end - first);
    TraceqlLabel *labels = ARENA_ARRAY(run->arena, TraceqlLabel, one->label_count);

    out->values = ARENA_ARRAY(run->arena, double, run->points->count);
    if (buckets == NULL || labels == NULL || out->values == NULL) return traceql_out_of_memory(err);
    for (size_t p = 0; p < run->points->count; p++) {
        size_t count = 0;

        for (size_t i = first; i < end; i++) {
            const TraceqlSeries *series = &from->items[i];

            if (series->values[p] == 0) continue;
            buckets[count++] = (MetricBucket){series->labels[series->label_count - 1].value.number,
                                              (uint64_t)series->values[p]};
        }
        if (count > 0) qsort(buckets, count, sizeof *buckets, order_buckets);
        out->values[p] = metric_quantile(q, buckets, count);
    }
    memcpy(labels, one->labels, one->label_count * sizeof *labels);
    labels[one->label_count - 1].name = STR("p");
    labels[one->label_count - 1].value = (TraceqlValue){.type = TRACEQL_FLOAT, .number = q};
    out->labels = labels;
    out->label_count = one->label_count;
    out->exemplars = one->exemplars;
    out->exemplar_count = one->exemplar_count;
    return ERR_OK;
}

static bool same_group(const TraceqlSeries *a, const TraceqlSeries *b) {
    if (a->label_count != b->label_count) return false;
    for (size_t i = 0; i + 1 < a->label_count; i++)
        if (!str_equal(a->labels[i].name, b->labels[i].name) ||
            traceql_value_order(&a->labels[i].value, &b->labels[i].value) != 0)
            return false;
    return true;
}

static ErrCode quantiles(const MetricRun *run, SeriesList *list, Error *err) {
    const TraceqlMetric *metric = run->metric;
    SeriesList from = *list;

    /* By labels: buckets, the last label, of one group stand together. */
    if (from.count > 0) qsort(from.items, from.count, sizeof *from.items, metric_order_series);
    *list = (SeriesList){
        ARENA_ARRAY(run->arena, TraceqlSeries, MAX(from.count * metric->quantile_count, 1)), 0};
    if (list->items == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0, end; i < from.count; i = end) {
        end = i + 1;
        while (end < from.count && same_group(&from.items[i], &from.items[end])) end++;
        for (size_t q = 0; q < metric->quantile_count; q++)
            TRY(quantile_series(run, &from, i, end, metric->quantiles[q],
                                &list->items[list->count++], err));
    }
    return ERR_OK;
}

/* ---- the whole ---- */

static ErrCode narrow_groups(MetricRun *run, Error *err) {
    const TraceqlPipeline *pipeline = &run->metric->pipeline;
    Plan plan = {0};

    if (pipeline->count != 1 || run->first == NULL || run->first->kind != TRACEQL_SET_FILTER)
        return ERR_OK;
    TRY(plan_mention_pipeline(&plan, pipeline, run->arena, err));
    for (size_t i = 0; i < run->metric->by_count; i++) {
        const TraceqlAttribute *by = &run->metric->by[i];

        for (size_t m = 0; m < plan.mention_count; m++) {
            const Mention *mention = &plan.mentions[m];

            if (!mention->always && mention->attribute.intrinsic == by->intrinsic &&
                mention->attribute.scope == by->scope &&
                str_equal(mention->attribute.name, by->name))
                run->narrowed[i] = mention;
        }
    }
    return ERR_OK;
}

ErrCode metric_aggregate(MetricRun *run, SeriesList *out, Error *err) {
    const TraceqlMetric *metric = run->metric;
    Worker all = {.run = run, .keys = {.arena = run->arena}};
    TraceScan scan;
    ErrCode code;

    TRY(narrow_groups(run, err));
    run->need.columns |= SPAN_STARTS | (run->params->exemplars > 0 ? SPAN_IDS : 0);
    if (metric->has_attribute)
        TRY(plan_need_attribute(&run->need, &metric->attribute, run->arena, err));
    for (size_t i = 0; i < metric->by_count; i++)
        TRY(plan_need_attribute(&run->need, &metric->by[i], run->arena, err));
    TRY(metric_select(run, &scan, err));
    scan.unit = read_unit;
    for (size_t i = 0; i < scan.workers; i++) {
        Worker *worker = ARENA_NEW(run->arena, Worker);

        if (worker == NULL) return traceql_out_of_memory(err);
        worker->run = run;
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
    if (code == ERR_OK) code = finish(run, &all, out, err);
    if (code == ERR_OK && metric->function == TRACEQL_QUANTILE_OVER_TIME)
        code = quantiles(run, out, err);
    return code;
}
