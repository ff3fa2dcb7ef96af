/*
 * tags.c: names and values of attributes. Without a filter they come from indexes; with one, or of
 * what no index has, spans are read.
 */
#include <stdlib.h>

#include "querier/traceql/engine/keymap.h"
#include "querier/traceql/engine/plan.h"
#include "querier/traceql/engine/scan.h"

typedef struct Tags {
    const TraceqlTagsParams *params;
    const TraceqlSet *filter; /* NULL: all spans */
    const TraceqlQuery *query;
    const TraceqlAttribute *attribute; /* NULL: names are asked for */
} Tags;

typedef struct Worker {
    Tags *tags;
    KeyMap found;
    Buf key;
} Worker;

static ErrCode found(Worker *worker, Error *err) {
    uint32_t number;
    bool fresh;

    if (buf_failed(&worker->key)) return traceql_out_of_memory(err);
    return keymap_add(&worker->found, buf_str(&worker->key), &number, &fresh, err);
}

/* ---- names ---- */

static ErrCode found_name(Worker *worker, uint8_t scope, Str key, Error *err) {
    buf_clear(&worker->key);
    buf_append_byte(&worker->key, (char)scope);
    buf_append_str(&worker->key, key);
    return found(worker, err);
}

static ErrCode origin_names(Worker *worker, const SpanTable *table, const uint8_t *rows,
                            Arena *arena, Error *err) {
    uint8_t *seen = arena_zalloc(arena, MAX(table->origin_count, 1));

    if (seen == NULL) return traceql_out_of_memory(err);
    for (uint32_t row = 0; table->origin_of != NULL && row < table->row_count; row++)
        if (rows[row]) seen[table->origin_of[row]] = 1;
    for (uint32_t i = 0; i < table->origin_count; i++) {
        const SpanOrigin *origin = table->origins[i];

        if (!seen[i]) continue;
        for (uint32_t a = 0; a < origin->resource.count; a++)
            TRY(found_name(worker, SCOPE_RESOURCE, origin->resource.items[a].key, err));
        for (uint32_t a = 0; a < origin->scope.count; a++)
            TRY(found_name(worker, SCOPE_INSTRUMENTATION, origin->scope.items[a].key, err));
    }
    return ERR_OK;
}

static ErrCode unit_names(Worker *worker, Eval *eval, const uint8_t *rows, Error *err) {
    const SpanTable *table = eval->table;

    TRY(eval_owners(eval, err));
    for (uint32_t i = 0; i < table->attribute_count; i++) {
        const AttributeColumn *column = &table->attributes[i];
        const uint32_t *owners = column->scope == SCOPE_EVENT  ? eval->event_owners
                                 : column->scope == SCOPE_LINK ? eval->link_owners
                                                               : NULL;
        bool any = false;

        for (uint32_t e = 0; e < column->count && !any; e++) {
            uint32_t owner = column->owners == NULL ? e : column->owners[e];

            any = rows[owners == NULL ? owner : owners[owner]] != 0;
        }
        if (any) TRY(found_name(worker, column->scope, column->key, err));
    }
    return origin_names(worker, table, rows, eval->arena, err);
}

/* ---- values ---- */

static ErrCode found_value(Worker *worker, const TraceqlValue *value, Error *err) {
    uint32_t count = traceql_is_array(value->type) ? value->count : 1;

    for (uint32_t i = 0; i < count && value->type != TRACEQL_NIL; i++) {
        TraceqlValue element = traceql_element(value, i);

        buf_clear(&worker->key);
        keymap_append_value(&worker->key, &element);
        TRY(found(worker, err));
    }
    return ERR_OK;
}

static ErrCode part_values(Worker *worker, Eval *eval, uint8_t scope, uint32_t row, Error *err) {
    uint32_t first, end;

    eval_parts(eval, scope, row, &first, &end);
    for (; first < end; first++) {
        TraceqlValue value;

        TRY(eval_part(eval, worker->tags->attribute, scope, first, row, &value, err));
        TRY(found_value(worker, &value, err));
    }
    return ERR_OK;
}

static ErrCode row_values(Worker *worker, Eval *eval, uint32_t row, Error *err) {
    const TraceqlAttribute *attribute = worker->tags->attribute;
    uint8_t part = attribute_part(attribute);
    bool unscoped = attribute->intrinsic == TRACEQL_NONE_FIELD && attribute->scope == 0;
    TraceqlValue value;

    if (part != 0) return part_values(worker, eval, part, row, err);
    if (!unscoped) {
        TRY(eval_attribute(eval, attribute, row, &value, err));
        return found_value(worker, &value, err);
    }
    for (uint8_t scope = SCOPE_SPAN; scope <= SCOPE_INSTRUMENTATION; scope++) {
        if (scope == SCOPE_EVENT || scope == SCOPE_LINK) {
            TRY(part_values(worker, eval, scope, row, err));
            continue;
        }
        TRY(eval_scoped(eval, attribute, scope, row, &value, err));
        TRY(found_value(worker, &value, err));
    }
    return ERR_OK;
}

static ErrCode unit_values(Worker *worker, Eval *eval, const uint8_t *rows, Error *err) {
    for (uint32_t row = 0; row < eval->table->row_count; row++)
        if (rows[row]) TRY(row_values(worker, eval, row, err));
    return ERR_OK;
}

/* ---- reading ---- */

static void mark_rows(const SpanTable *table, const TraceqlTagsParams *params, uint8_t *rows,
                      const uint8_t *filter) {
    memset(rows, 0, table->row_count);
    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *trace = &table->traces[t];

        if (trace->start_ns > params->end_ns || trace->end_ns < params->start_ns) continue;
        for (uint32_t row = trace->first; row < trace->first + trace->count; row++)
            rows[row] = filter == NULL || filter[row];
    }
}

static ErrCode read_unit(void *what, TraceScan *scan, uint32_t unit, Arena *arena, bool *stop,
                         Error *err) {
    Worker *worker = what;
    Tags *tags = worker->tags;
    uint32_t limit = tags->params->limit;
    uint8_t *rows, *filter = NULL;
    SpanTable table = {0};
    Eval eval;

    TRY(scan->set.open(&scan->set, unit, arena, &table, err));
    TRY(eval_begin(&eval, tags->query, &table, scan->query, arena, err));
    rows = eval_mask(&eval);
    if (rows == NULL) return traceql_out_of_memory(err);
    if (tags->filter != NULL) {
        filter = eval_mask(&eval);
        if (filter == NULL) return traceql_out_of_memory(err);
        TRY(eval_filter(&eval, tags->filter->expr, filter, err));
    }
    mark_rows(&table, tags->params, rows, filter);
    if (tags->attribute == NULL)
        TRY(unit_names(worker, &eval, rows, err));
    else
        TRY(unit_values(worker, &eval, rows, err));
    *stop = limit != 0 && worker->found.count >= limit;
    return ERR_OK;
}

static ErrCode read_spans(Tags *tags, KeyMap *out, Error *err) {
    static const TraceqlQuery none = {0};
    const TraceqlTagsParams *params = tags->params;
    QueryContext *query = params->query;
    TraceSelect select = {
        .min_ns = params->start_ns, .max_ns = params->end_ns, .stats = params->stats};
    TraceScan scan;

    tags->query = params->filter == NULL ? &none : params->filter;
    if (params->filter != NULL) {
        tags->filter = params->filter->pipeline.stages[0].set;
        TRY(plan_need_set(&select.need, tags->filter, query->arena, err));
        TRY(plan_hints(&params->filter->pipeline, query->arena, &select.any, &select.any_count,
                       err));
    }
    if (tags->attribute != NULL) {
        TRY(plan_need_attribute(&select.need, tags->attribute, query->arena, err));
    } else {
        select.need.all_keys = true;
        select.need.columns |= SPAN_ORIGINS | SPAN_EVENTS | SPAN_LINKS;
    }
    TRY(trace_scan_open(&scan, params->source, query, &select, err));
    scan.unit = read_unit;
    for (size_t i = 0; i < scan.workers; i++) {
        Worker *worker = ARENA_NEW(query->arena, Worker);

        if (worker == NULL) return traceql_out_of_memory(err);
        worker->tags = tags;
        TRY(trace_scan_arena(query, &worker->found.arena, err));
        buf_init(&worker->key, 0);
        scan.what[i] = worker;
    }
    ErrCode code = trace_scan_run(&scan, true, err);

    *out = (KeyMap){.arena = query->arena};
    for (size_t i = 0; i < scan.workers; i++) {
        Worker *worker = scan.what[i];
        uint32_t number;
        bool fresh;

        buf_done(&worker->key);
        for (size_t k = 0; k < worker->found.count && code == ERR_OK; k++)
            code = keymap_add(out, worker->found.keys[k], &number, &fresh, err);
    }
    return code;
}

/* ---- the whole ---- */

static int order_tags(const void *a, const void *b) {
    const SpanTag *one = a, *other = b;

    return one->scope != other->scope ? (int)one->scope - (int)other->scope
                                      : str_compare(one->key, other->key);
}

ErrCode traceql_tags(const TraceqlTagsParams *params, SpanTag **out, size_t *count, Error *err) {
    QueryContext *query = params->query;
    Tags tags = {.params = params};
    KeyMap keys;

    if (params->filter == NULL) {
        TRY(params->source->tags(params->source, query, params->start_ns, params->end_ns,
                                 params->stats, out, count, err));
    } else {
        TRY(read_spans(&tags, &keys, err));
        *out = ARENA_ARRAY(query->arena, SpanTag, MAX(keys.count, 1));
        if (*out == NULL) return traceql_out_of_memory(err);
        for (size_t i = 0; i < keys.count; i++)
            (*out)[i] = (SpanTag){(uint8_t)keys.keys[i].ptr[0], str_from(keys.keys[i], 1)};
        *count = keys.count;
    }
    if (*count > 0) qsort(*out, *count, sizeof **out, order_tags);
    if (params->limit != 0) *count = MIN(*count, params->limit);
    return ERR_OK;
}

static int order_values(const void *a, const void *b) {
    return traceql_value_order(a, b);
}

/* What indexes know the values of. */
static bool indexed(const TraceqlAttribute *attribute, SpanIntrinsic *out) {
    switch (attribute->intrinsic) {
    case TRACEQL_NONE_FIELD:
        /* Also whether a span has no service, or an empty one. */
        *out = attribute->scope == SCOPE_RESOURCE && str_equal(attribute->name, STR("service.name"))
                   ? INTRINSIC_SERVICE
                   : INTRINSIC_NONE;
        return true;
    case TRACEQL_NAME_FIELD:
        *out = INTRINSIC_NAME;
        return true;
    case TRACEQL_STATUS_MESSAGE_FIELD:
        *out = INTRINSIC_STATUS_MESSAGE;
        return true;
    case TRACEQL_EVENT_NAME_FIELD:
        *out = INTRINSIC_EVENT_NAME;
        return true;
    case TRACEQL_SCOPE_NAME_FIELD:
        *out = INTRINSIC_SCOPE_NAME;
        return true;
    case TRACEQL_SCOPE_VERSION_FIELD:
        *out = INTRINSIC_SCOPE_VERSION;
        return true;
    default:
        return false;
    }
}

static ErrCode indexed_values(const TraceqlTagsParams *params, const TraceqlAttribute *attribute,
                              SpanIntrinsic intrinsic, TraceqlValue **out, size_t *count,
                              Error *err) {
    SpanTagValue *values = NULL;

    TRY(params->source->tag_values(
        params->source, params->query, intrinsic, (AttributeScope)attribute->scope, attribute->name,
        params->start_ns, params->end_ns, params->stats, &values, count, err));
    *out = ARENA_ARRAY(params->query->arena, TraceqlValue, MAX(*count, 1));
    if (*out == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < *count; i++) {
        TraceqlValue *value = &(*out)[i];

        switch (values[i].type) {
        case ATTRIBUTE_INT:
            *value = (TraceqlValue){.type = TRACEQL_INT, .integer = values[i].integer};
            break;
        case ATTRIBUTE_BOOL:
            *value = (TraceqlValue){.type = TRACEQL_BOOL, .truth = values[i].integer != 0};
            break;
        case ATTRIBUTE_DOUBLE:
            *value = (TraceqlValue){.type = TRACEQL_FLOAT, .number = values[i].number};
            break;
        default:
            *value = (TraceqlValue){.type = TRACEQL_STRING, .text = values[i].text};
            break;
        }
    }
    return ERR_OK;
}

static ErrCode read_values(Tags *tags, TraceqlValue **out, size_t *count, Error *err) {
    Arena *arena = tags->params->query->arena;
    KeyMap keys;

    TRY(read_spans(tags, &keys, err));
    *out = ARENA_ARRAY(arena, TraceqlValue, MAX(keys.count, 1));
    if (*out == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < keys.count; i++) {
        Str key = keys.keys[i];

        if (!keymap_take_value(&key, arena, &(*out)[i])) return traceql_out_of_memory(err);
    }
    *count = keys.count;
    return ERR_OK;
}

ErrCode traceql_tag_values(const TraceqlTagsParams *params, const TraceqlAttribute *attribute,
                           TraceqlValue **out, size_t *count, Error *err) {
    Tags tags = {.params = params, .attribute = attribute};
    SpanIntrinsic intrinsic;

    if (params->filter == NULL && indexed(attribute, &intrinsic))
        TRY(indexed_values(params, attribute, intrinsic, out, count, err));
    else
        TRY(read_values(&tags, out, count, err));
    if (*count > 0) qsort(*out, *count, sizeof **out, order_values);
    if (params->limit != 0) *count = MIN(*count, params->limit);
    return ERR_OK;
}
