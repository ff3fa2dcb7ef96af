#include "gateway/spans/spans.h"

#include "common/batch/span_wire.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the spans of this request");
}

void spans_init(Spans *spans, Str tenant, uint64_t seed, Arena *arena) {
    *spans = (Spans){
        .arena = arena, .batch.tenant = tenant, .tenant_hash = hash_str(tenant), .seed = seed};
}

/* An array with room for one more. NULL: the arena is used up. */
static void *room(Arena *arena, void *array, size_t count, size_t *capacity, size_t element) {
    size_t grown = MAX(*capacity * 2, (size_t)64);

    if (count < *capacity) return array;
    array = arena_grow(arena, array, *capacity * element, grown * element);
    if (array != NULL) *capacity = grown;
    return array;
}

ErrCode spans_origin(Spans *spans, Str resource, Str scope, Str resource_schema, Str scope_schema,
                     Error *err) {
    SpansBatch *batch = &spans->batch;
    SpansOrigin *origins = room(spans->arena, batch->origins, batch->origin_count,
                                &spans->origin_capacity, sizeof *origins);
    ErrCode code;
    Str bytes;

    if (origins == NULL) return out_of_memory(err);
    batch->origins = origins;
    spans->problem.code = ERR_OK;
    code = origin_wire(resource, scope, resource_schema, scope_schema, spans->arena, &bytes, err);
    if (code == ERR_OK) code = origin_check(bytes, err);
    if (code == ERR_INVALID) {
        spans->problem = *err;
        return ERR_OK;
    }
    if (code != ERR_OK) return code;
    origins[batch->origin_count++] =
        (SpansOrigin){spans_origin_id(spans->tenant_hash, bytes, spans->seed), bytes};
    return ERR_OK;
}

static void reject(Spans *spans, const Error *why) {
    if (spans->rejected++ == 0) spans->first = *why;
    spans->rejects.by_reason[SPAN_REJECT_INVALID]++;
}

ErrCode spans_add(Spans *spans, Str message, Error *err) {
    SpansBatch *batch = &spans->batch;
    SpansItem *items =
        room(spans->arena, batch->items, batch->item_count, &spans->item_capacity, sizeof *items);
    SpanPlace place;
    ErrCode code;

    if (items == NULL) return out_of_memory(err);
    batch->items = items;
    spans->seen++;
    if (spans->problem.code != ERR_OK) {
        reject(spans, &spans->problem);
        return ERR_OK;
    }
    code = span_check(message, &place, err);
    if (code == ERR_INVALID) {
        reject(spans, err);
        return ERR_OK;
    }
    if (code != ERR_OK) return code;
    items[batch->item_count++] = (SpansItem){.trace = place.trace,
                                             .start_ns = place.start_ns,
                                             .end_ns = place.end_ns,
                                             .origin = (uint32_t)batch->origin_count - 1,
                                             .span = message};
    batch->bytes += message.len;
    return ERR_OK;
}

void spans_refuse(Spans *spans, const Error *why) {
    spans->seen++;
    reject(spans, why);
}
