/*
 * trace_tags.c: which attributes there are, and their values: from objects' indexes where these
 * know them, from spans where they don't.
 */
#include <stdlib.h>

#include "querier/fetch/traces.h"

/* ---------- lists that are made unique at the end ---------- */

typedef struct TagList {
    SpanTag *items;
    size_t count, capacity;
} TagList;

typedef struct ValueList {
    SpanTagValue *items;
    size_t count, capacity;
} ValueList;

static void *room(Arena *arena, void *items, size_t count, size_t *capacity, size_t element) {
    size_t grown = MAX(*capacity * 2, (size_t)64);

    if (count < *capacity) return items;
    items = arena_grow(arena, items, *capacity * element, grown * element);
    if (items != NULL) *capacity = grown;
    return items;
}

static ErrCode add_tag(Arena *arena, TagList *list, SpanTag tag, Error *err) {
    SpanTag *items = room(arena, list->items, list->count, &list->capacity, sizeof *items);

    if (items == NULL) return trace_out_of_memory(err);
    list->items = items;
    items[list->count++] = tag;
    return ERR_OK;
}

static ErrCode add_value(Arena *arena, ValueList *list, SpanTagValue value, Error *err) {
    SpanTagValue *items = room(arena, list->items, list->count, &list->capacity, sizeof *items);

    if (items == NULL) return trace_out_of_memory(err);
    list->items = items;
    items[list->count++] = value;
    return ERR_OK;
}

static int compare_tags(const void *a, const void *b) {
    const SpanTag *x = a, *y = b;

    if (x->scope != y->scope) return x->scope < y->scope ? -1 : 1;
    return str_compare(x->key, y->key);
}

static int compare_values(const void *a, const void *b) {
    const SpanTagValue *x = a, *y = b;

    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    if (x->type == ATTRIBUTE_DOUBLE) {
        int64_t p, q;

        memcpy(&p, &x->number, sizeof p);
        memcpy(&q, &y->number, sizeof q);
        return (p > q) - (p < q);
    }
    if (x->type == ATTRIBUTE_INT || x->type == ATTRIBUTE_BOOL)
        return (x->integer > y->integer) - (x->integer < y->integer);
    return str_compare(x->text, y->text);
}

/* ---------- tags ---------- */

static ErrCode tags_of_attributes(Arena *arena, TagList *list, uint8_t scope,
                                  const Attributes *attributes, Error *err) {
    for (uint32_t i = 0; i < attributes->count; i++)
        TRY(add_tag(arena, list, (SpanTag){scope, attributes->items[i].key}, err));
    return ERR_OK;
}

static ErrCode tags_of_table(Arena *arena, TagList *list, const SpanTable *table, Error *err) {
    for (uint32_t i = 0; i < table->attribute_count; i++)
        TRY(add_tag(arena, list, (SpanTag){table->attributes[i].scope, table->attributes[i].key},
                    err));
    for (uint32_t i = 0; i < table->origin_count; i++) {
        const SpanOrigin *origin = table->origins[i];

        TRY(tags_of_attributes(arena, list, SCOPE_RESOURCE, &origin->resource, err));
        TRY(tags_of_attributes(arena, list, SCOPE_INSTRUMENTATION, &origin->scope, err));
    }
    return ERR_OK;
}

static ErrCode tags_of_tenant(TraceFetch *fetch, QueryContext *query, const TraceParts *parts,
                              TagList *list, Error *err) {
    for (size_t i = 0; i < parts->count; i++) {
        SpanTag *tags;
        size_t count;

        TRY(query_check(query, err));
        TRY(block_spans_tags(parts->items[i].block, parts->tenant, parts->min_ns, parts->max_ns,
                             query->arena, fetch->stats, &tags, &count, err));
        for (size_t k = 0; k < count; k++) TRY(add_tag(query->arena, list, tags[k], err));
    }
    for (size_t i = 0; i < parts->head_count; i++)
        TRY(tags_of_table(query->arena, list, parts->heads[i], err));
    return ERR_OK;
}

ErrCode trace_tags(TraceSource *source, QueryContext *query, int64_t min_ns, int64_t max_ns,
                   TraceStats *stats, SpanTag **out, size_t *count, Error *err) {
    TraceFetch *fetch = source->context;
    TagList list = {0};
    size_t kept = 0;

    for (size_t t = 0; t < fetch->tenant_count; t++) {
        TraceParts parts;

        TRY(trace_parts(fetch, query, &fetch->tenants[t], min_ns, max_ns, NULL, &parts, err));
        TRY(tags_of_tenant(fetch, query, &parts, &list, err));
        if (stats != NULL) trace_stat(&stats->blocks, parts.count);
    }
    if (list.count > 1) qsort(list.items, list.count, sizeof *list.items, compare_tags);
    for (size_t i = 0; i < list.count; i++)
        if (kept == 0 || compare_tags(&list.items[kept - 1], &list.items[i]) != 0)
            list.items[kept++] = list.items[i];
    *out = list.items;
    *count = kept;
    return ERR_OK;
}

/* ---------- values ---------- */

typedef struct Asked {
    SpanIntrinsic intrinsic;
    AttributeScope scope;
    Str key;
    int64_t min_ns;
    int64_t max_ns;
} Asked;

static ErrCode value_of_text(Arena *arena, ValueList *list, uint8_t type, Str text, Error *err) {
    return add_value(arena, list, (SpanTagValue){.type = type, .text = text}, err);
}

/* What is an array gives its elements; what queries don't see gives nothing. */
static ErrCode values_of_attribute(Arena *arena, ValueList *list, const Attribute *a, Error *err) {
    switch (a->type) {
    case ATTRIBUTE_STRING:
        return value_of_text(arena, list, a->type, a->text, err);
    case ATTRIBUTE_BOOL:
        return add_value(arena, list, (SpanTagValue){.type = a->type, .integer = a->truth}, err);
    case ATTRIBUTE_INT:
        return add_value(arena, list, (SpanTagValue){.type = a->type, .integer = a->integer}, err);
    case ATTRIBUTE_DOUBLE:
        return add_value(arena, list, (SpanTagValue){.type = a->type, .number = a->number}, err);
    case ATTRIBUTE_STRINGS:
        for (uint32_t i = 0; i < a->count; i++)
            TRY(value_of_text(arena, list, ATTRIBUTE_STRING, a->texts[i], err));
        return ERR_OK;
    case ATTRIBUTE_BOOLS:
        for (uint32_t i = 0; i < a->count; i++)
            TRY(add_value(arena, list,
                          (SpanTagValue){.type = ATTRIBUTE_BOOL, .integer = a->truths[i]}, err));
        return ERR_OK;
    case ATTRIBUTE_INTS:
        for (uint32_t i = 0; i < a->count; i++)
            TRY(add_value(arena, list,
                          (SpanTagValue){.type = ATTRIBUTE_INT, .integer = a->integers[i]}, err));
        return ERR_OK;
    case ATTRIBUTE_DOUBLES:
        for (uint32_t i = 0; i < a->count; i++)
            TRY(add_value(arena, list,
                          (SpanTagValue){.type = ATTRIBUTE_DOUBLE, .number = a->numbers[i]}, err));
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static ErrCode values_of_attributes(Arena *arena, ValueList *list, const Attributes *attributes,
                                    Str key, Error *err) {
    for (uint32_t i = 0; i < attributes->count; i++)
        if (str_equal(attributes->items[i].key, key))
            return values_of_attribute(arena, list, &attributes->items[i], err);
    return ERR_OK;
}

static ErrCode values_of_texts(Arena *arena, ValueList *list, const TextColumn *column,
                               Error *err) {
    for (uint32_t i = 0; i < column->distinct; i++)
        TRY(value_of_text(arena, list, ATTRIBUTE_STRING, column->dictionary[i], err));
    return ERR_OK;
}

static uint32_t element_count(const AttributeColumn *column) {
    return column->starts == NULL ? column->count : column->starts[column->count];
}

/* Numbers repeat; a run of the same is one. */
static ErrCode values_of_column(Arena *arena, ValueList *list, const AttributeColumn *column,
                                Error *err) {
    uint32_t count = element_count(column);

    switch (column->type) {
    case ATTRIBUTE_STRING:
    case ATTRIBUTE_STRINGS:
        return values_of_texts(arena, list, &column->texts, err);
    case ATTRIBUTE_BOOL:
    case ATTRIBUTE_BOOLS:
        for (uint32_t i = 0; i < count; i++)
            if (i == 0 || column->truths[i] != column->truths[i - 1])
                TRY(add_value(arena, list,
                              (SpanTagValue){.type = ATTRIBUTE_BOOL, .integer = column->truths[i]},
                              err));
        return ERR_OK;
    case ATTRIBUTE_INT:
    case ATTRIBUTE_INTS:
        for (uint32_t i = 0; i < count; i++)
            if (i == 0 || column->integers[i] != column->integers[i - 1])
                TRY(add_value(arena, list,
                              (SpanTagValue){.type = ATTRIBUTE_INT, .integer = column->integers[i]},
                              err));
        return ERR_OK;
    case ATTRIBUTE_DOUBLE:
    case ATTRIBUTE_DOUBLES:
        for (uint32_t i = 0; i < count; i++)
            TRY(add_value(arena, list,
                          (SpanTagValue){.type = ATTRIBUTE_DOUBLE, .number = column->numbers[i]},
                          err));
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static bool asks_for(const Asked *asked, AttributeScope scope) {
    return asked->scope == 0 || asked->scope == scope;
}

static ErrCode values_of_key(Arena *arena, ValueList *list, const SpanTable *table,
                             const Asked *asked, Error *err) {
    for (AttributeScope scope = SCOPE_SPAN; scope <= SCOPE_LINK; scope++) {
        const AttributeColumn *columns;
        uint32_t count;

        if (!asks_for(asked, scope)) continue;
        count = span_table_attribute(table, scope, asked->key, &columns);
        for (uint32_t i = 0; i < count; i++) TRY(values_of_column(arena, list, &columns[i], err));
    }
    for (uint32_t i = 0; i < table->origin_count; i++) {
        const SpanOrigin *origin = table->origins[i];

        if (asks_for(asked, SCOPE_RESOURCE))
            TRY(values_of_attributes(arena, list, &origin->resource, asked->key, err));
        if (asks_for(asked, SCOPE_INSTRUMENTATION))
            TRY(values_of_attributes(arena, list, &origin->scope, asked->key, err));
    }
    return ERR_OK;
}

static ErrCode values_of_origins(Arena *arena, ValueList *list, const SpanTable *table,
                                 SpanIntrinsic intrinsic, Error *err) {
    for (uint32_t i = 0; i < table->origin_count; i++) {
        const SpanOrigin *origin = table->origins[i];
        Str text = intrinsic == INTRINSIC_SERVICE      ? origin->service
                   : intrinsic == INTRINSIC_SCOPE_NAME ? origin->scope_name
                                                       : origin->scope_version;

        TRY(value_of_text(arena, list, ATTRIBUTE_STRING, text, err));
    }
    return ERR_OK;
}

static ErrCode values_of_table(Arena *arena, ValueList *list, const SpanTable *table,
                               const Asked *asked, Error *err) {
    switch (asked->intrinsic) {
    case INTRINSIC_NONE:
        return values_of_key(arena, list, table, asked, err);
    case INTRINSIC_NAME:
        return values_of_texts(arena, list, &table->names, err);
    case INTRINSIC_STATUS_MESSAGE:
        return values_of_texts(arena, list, &table->messages, err);
    case INTRINSIC_EVENT_NAME:
        return values_of_texts(arena, list, &table->event_names, err);
    case INTRINSIC_SERVICE:
    case INTRINSIC_SCOPE_NAME:
    case INTRINSIC_SCOPE_VERSION:
        return values_of_origins(arena, list, table, asked->intrinsic, err);
    default:
        return ERR_OK;
    }
}

static unsigned columns_of(SpanIntrinsic intrinsic) {
    switch (intrinsic) {
    case INTRINSIC_NAME:
        return SPAN_NAMES;
    case INTRINSIC_STATUS_MESSAGE:
        return SPAN_MESSAGES;
    case INTRINSIC_EVENT_NAME:
        return SPAN_EVENTS;
    default:
        return SPAN_ORIGINS;
    }
}

/* There are more than the index keeps. */
static ErrCode values_of_pages(TraceFetch *fetch, QueryContext *query, const TraceParts *parts,
                               const TracePart *part, const Asked *asked, ValueList *list,
                               Error *err) {
    SpanSelect select = {.tenant = parts->tenant, .min_ns = parts->min_ns, .max_ns = parts->max_ns};
    AttributeKey keys[3] = {
        {SCOPE_SPAN, asked->key}, {SCOPE_EVENT, asked->key}, {SCOPE_LINK, asked->key}};
    SpanNeed need = {.columns = columns_of(asked->intrinsic),
                     .keys = keys,
                     .key_count = asked->intrinsic == INTRINSIC_NONE ? 3 : 0};
    Arena *arena = trace_arena(query->arena);
    SpansSelection selection;

    if (arena == NULL) return trace_out_of_memory(err);
    TRY(block_spans_select(part->block, &select, query->arena, fetch->stats, &selection, err));
    for (size_t i = 0; i < selection.page_count; i++) {
        SpanTable table;

        TRY(query_check(query, err));
        TRY(span_page_read(&selection, &selection.pages[i], &need, arena, &table, err));
        TRY(values_of_table(query->arena, list, &table, asked, err));
    }
    return ERR_OK;
}

static ErrCode values_of_tenant(TraceFetch *fetch, QueryContext *query, const TraceParts *parts,
                                const Asked *asked, ValueList *list, Error *err) {
    for (size_t i = 0; i < parts->count; i++) {
        SpanTagValue *values;
        size_t count;
        bool complete;

        TRY(query_check(query, err));
        TRY(block_spans_tag_values(parts->items[i].block, parts->tenant, asked->intrinsic,
                                   asked->scope, asked->key, parts->min_ns, parts->max_ns,
                                   query->arena, fetch->stats, &values, &count, &complete, err));
        for (size_t k = 0; complete && k < count; k++)
            TRY(add_value(query->arena, list, values[k], err));
        if (!complete)
            TRY(values_of_pages(fetch, query, parts, &parts->items[i], asked, list, err));
    }
    for (size_t i = 0; i < parts->head_count; i++)
        TRY(values_of_table(query->arena, list, parts->heads[i], asked, err));
    return ERR_OK;
}

ErrCode trace_tag_values(TraceSource *source, QueryContext *query, SpanIntrinsic intrinsic,
                         AttributeScope scope, Str key, int64_t min_ns, int64_t max_ns,
                         TraceStats *stats, SpanTagValue **out, size_t *count, Error *err) {
    TraceFetch *fetch = source->context;
    Asked asked = {intrinsic, scope, key, min_ns, max_ns};
    ValueList list = {0};
    size_t kept = 0;

    for (size_t t = 0; t < fetch->tenant_count; t++) {
        TraceParts parts;

        TRY(trace_parts(fetch, query, &fetch->tenants[t], min_ns, max_ns, NULL, &parts, err));
        TRY(values_of_tenant(fetch, query, &parts, &asked, &list, err));
        if (stats != NULL) trace_stat(&stats->blocks, parts.count);
    }
    if (list.count > 1) qsort(list.items, list.count, sizeof *list.items, compare_values);
    for (size_t i = 0; i < list.count; i++)
        if (kept == 0 || compare_values(&list.items[kept - 1], &list.items[i]) != 0)
            list.items[kept++] = list.items[i];
    *out = list.items;
    *count = kept;
    return ERR_OK;
}
