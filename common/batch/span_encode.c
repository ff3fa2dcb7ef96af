/*
 * span_encode.c: spans and origins as messages. What is zero or empty is left out, as proto3 does.
 */
#include "common/batch/span_wire.h"
#include "proto/wire/write.h"

/* ---------- values ---------- */

static void put_text(Buf *out, uint32_t field, Str text) {
    if (text.len > 0) wire_put_bytes(out, field, text);
}

static void put_number(Buf *out, uint32_t field, uint64_t number) {
    if (number > 0) wire_put_varint(out, field, number);
}

static void put_fixed64(Buf *out, uint32_t field, uint64_t number) {
    wire_put_tag(out, field, WIRE_FIXED64);
    buf_append_u64(out, number);
}

static void put_fixed32(Buf *out, uint32_t field, uint32_t number) {
    if (number == 0) return;
    wire_put_tag(out, field, WIRE_FIXED32);
    buf_append_u32(out, number);
}

/* Zeros as well: which field is there tells the type. */
static void put_single(Buf *out, const Attribute *value) {
    switch (value->type) {
    case ATTRIBUTE_STRING:
        wire_put_bytes(out, 1, value->text);
        break;
    case ATTRIBUTE_BOOL:
        wire_put_varint(out, 2, value->truth);
        break;
    case ATTRIBUTE_INT:
        wire_put_int64(out, 3, value->integer);
        break;
    case ATTRIBUTE_DOUBLE:
        wire_put_double(out, 4, value->number);
        break;
    case ATTRIBUTE_BYTES:
        wire_put_bytes(out, 7, value->text);
        break;
    default:
        buf_append_str(out, value->text);
    }
}

static Attribute element_of(const Attribute *array, uint32_t i) {
    Attribute value = {0};

    switch (array->type) {
    case ATTRIBUTE_STRINGS:
        value.type = ATTRIBUTE_STRING;
        value.text = array->texts[i];
        break;
    case ATTRIBUTE_BOOLS:
        value.type = ATTRIBUTE_BOOL;
        value.truth = array->truths[i];
        break;
    case ATTRIBUTE_INTS:
        value.type = ATTRIBUTE_INT;
        value.integer = array->integers[i];
        break;
    default:
        value.type = ATTRIBUTE_DOUBLE;
        value.number = array->numbers[i];
    }
    return value;
}

bool attribute_value_encode(const Attribute *attribute, Buf *out) {
    size_t array;

    if (attribute->type < ATTRIBUTE_STRINGS || attribute->type > ATTRIBUTE_DOUBLES) {
        put_single(out, attribute);
        return !buf_failed(out);
    }
    array = wire_begin(out, 5);
    for (uint32_t i = 0; i < attribute->count; i++) {
        Attribute value = element_of(attribute, i);
        size_t element = wire_begin(out, 1);

        put_single(out, &value);
        wire_end(out, element);
    }
    wire_end(out, array);
    return !buf_failed(out);
}

bool attributes_encode(const Attributes *attributes, uint32_t field, Buf *out) {
    for (uint32_t i = 0; i < attributes->count; i++) {
        size_t entry = wire_begin(out, field), value;

        put_text(out, 1, attributes->items[i].key);
        value = wire_begin(out, 2);
        if (!attribute_value_encode(&attributes->items[i], out)) return false;
        wire_end(out, value);
        wire_end(out, entry);
    }
    return !buf_failed(out);
}

/* ---------- spans ---------- */

static void put_id(Buf *out, uint32_t field, uint64_t id) {
    uint64_t big_endian = __builtin_bswap64(id);

    wire_put_bytes(out, field, (Str){(const char *)&big_endian, sizeof big_endian});
}

static bool put_events(Buf *out, const Span *span) {
    for (uint32_t i = 0; i < span->event_count; i++) {
        const SpanEvent *event = &span->events[i];
        size_t at = wire_begin(out, 11);

        put_fixed64(out, 1, (uint64_t)event->time_ns);
        put_text(out, 2, event->name);
        if (!attributes_encode(&event->attributes, 3, out)) return false;
        put_number(out, 4, event->attributes.dropped);
        wire_end(out, at);
    }
    return !buf_failed(out);
}

static bool put_links(Buf *out, const Span *span) {
    for (uint32_t i = 0; i < span->link_count; i++) {
        const SpanLink *link = &span->links[i];
        size_t at = wire_begin(out, 13);

        wire_put_bytes(out, 1, (Str){(const char *)link->trace.bytes, sizeof link->trace.bytes});
        put_id(out, 2, link->span);
        put_text(out, 3, link->state);
        if (!attributes_encode(&link->attributes, 4, out)) return false;
        put_number(out, 5, link->attributes.dropped);
        put_fixed32(out, 6, link->flags);
        wire_end(out, at);
    }
    return !buf_failed(out);
}

bool span_encode(const Span *span, Buf *out) {
    wire_put_bytes(out, 1, (Str){(const char *)span->trace.bytes, sizeof span->trace.bytes});
    put_id(out, 2, span->id);
    put_text(out, 3, span->state);
    if (span->parent != 0) put_id(out, 4, span->parent);
    put_text(out, 5, span->name);
    put_number(out, 6, span->kind);
    put_fixed64(out, 7, (uint64_t)span->start_ns);
    put_fixed64(out, 8, (uint64_t)span->end_ns);
    if (!attributes_encode(&span->attributes, 9, out)) return false;
    put_number(out, 10, span->attributes.dropped);
    if (!put_events(out, span)) return false;
    put_number(out, 12, span->dropped_events);
    if (!put_links(out, span)) return false;
    put_number(out, 14, span->dropped_links);
    if (span->status != SPAN_STATUS_UNSET || span->status_message.len > 0) {
        size_t status = wire_begin(out, 15);

        put_text(out, 2, span->status_message);
        put_number(out, 3, span->status);
        wire_end(out, status);
    }
    put_fixed32(out, 16, span->flags);
    return !buf_failed(out);
}

/* ---------- origins ---------- */

ErrCode origin_wire(Str resource, Str scope, Str resource_schema, Str scope_schema, Arena *arena,
                    Str *out, Error *err) {
    Str parts[ORIGIN_PARTS] = {resource, scope, resource_schema, scope_schema};
    size_t bytes = 0;
    char *at;

    for (size_t i = 0; i < ORIGIN_PARTS; i++) bytes += sizeof(uint32_t) + parts[i].len;
    if (bytes > SPAN_ORIGIN_BYTES_MAX)
        return error_set(err, ERR_INVALID,
                         "a resource and its scope have %zu bytes; at most %d can be stored", bytes,
                         SPAN_ORIGIN_BYTES_MAX);
    at = arena_alloc_bytes(arena, bytes);
    if (at == NULL) return error_set(err, ERR_LIMIT, "no memory left for a resource");
    *out = (Str){at, bytes};
    for (size_t i = 0; i < ORIGIN_PARTS; i++) {
        uint32_t length = (uint32_t)parts[i].len;

        memcpy(at, &length, sizeof length);
        if (length > 0) memcpy(at + sizeof length, parts[i].ptr, length);
        at += sizeof length + length;
    }
    return ERR_OK;
}

bool origin_encode_resource(const SpanOrigin *origin, Buf *out) {
    if (!attributes_encode(&origin->resource, 1, out)) return false;
    put_number(out, 2, origin->resource.dropped);
    return !buf_failed(out);
}

bool origin_encode_scope(const SpanOrigin *origin, Buf *out) {
    put_text(out, 1, origin->scope_name);
    put_text(out, 2, origin->scope_version);
    if (!attributes_encode(&origin->scope, 3, out)) return false;
    put_number(out, 4, origin->scope.dropped);
    return !buf_failed(out);
}
