/*
 * span_decode.c: a span's message in full. Arrays are counted first and allocated once.
 */
#include "common/batch/span_wire.h"
#include "proto/wire/wire.h"

static ErrCode malformed(Error *err) {
    return error_set(err, ERR_CORRUPT, "a stored span isn't the protobuf that was checked");
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left to decode a span");
}

/* How often a field of bytes is there. False: not protobuf. */
static bool count_field(WireReader r, uint32_t field, uint32_t *out) {
    uint32_t tag;

    for (*out = 0; !wire_at_end(&r);) {
        if (!wire_tag(&r, &tag) || !wire_skip(&r, tag)) return false;
        *out += tag == WIRE_TAG(field, WIRE_BYTES);
    }
    return true;
}

/* The next of those; *more false at the end. */
static bool next_field(WireReader *r, uint32_t field, WireReader *out, bool *more) {
    uint32_t tag;

    while (!wire_at_end(r)) {
        if (!wire_tag(r, &tag)) return false;
        if (tag == WIRE_TAG(field, WIRE_BYTES)) {
            *more = true;
            return wire_message(r, out);
        }
        if (!wire_skip(r, tag)) return false;
    }
    *more = false;
    return true;
}

/* ---------- values ---------- */

/* What an AnyValue has: the last of its fields that is known. */
static bool read_value(WireReader r, Attribute *out) {
    Str whole = {(const char *)r.at, wire_left(&r)};
    uint32_t tag;
    uint64_t bits;

    out->type = ATTRIBUTE_OTHER;
    out->count = 0;
    out->text = whole;
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
        case WIRE_TAG(7, WIRE_BYTES):
            if (!wire_bytes(&r, &out->text)) return false;
            out->type = tag == WIRE_TAG(1, WIRE_BYTES) ? ATTRIBUTE_STRING : ATTRIBUTE_BYTES;
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            if (!wire_varint(&r, &bits)) return false;
            out->truth = bits != 0;
            out->type = ATTRIBUTE_BOOL;
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            if (!wire_int64(&r, &out->integer)) return false;
            out->type = ATTRIBUTE_INT;
            break;
        case WIRE_TAG(4, WIRE_FIXED64):
            if (!wire_double(&r, &out->number)) return false;
            out->type = ATTRIBUTE_DOUBLE;
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            /* The array's own message for now: read_array() goes on with it. */
            if (!wire_bytes(&r, &out->text)) return false;
            out->type = ATTRIBUTE_STRINGS;
            break;
        case WIRE_TAG(6, WIRE_BYTES):
            out->type = ATTRIBUTE_OTHER;
            out->text = whole;
            if (!wire_skip(&r, tag)) return false;
            break;
        default:
            if (!wire_skip(&r, tag)) return false;
        }
    }
    return true;
}

/* 0: elements of this type make no array that queries see. */
static uint8_t array_type(uint8_t element) {
    switch (element) {
    case ATTRIBUTE_STRING:
        return ATTRIBUTE_STRINGS;
    case ATTRIBUTE_BOOL:
        return ATTRIBUTE_BOOLS;
    case ATTRIBUTE_INT:
        return ATTRIBUTE_INTS;
    case ATTRIBUTE_DOUBLE:
        return ATTRIBUTE_DOUBLES;
    default:
        return 0;
    }
}

/* The type that all elements have, as an array's; 0: none. An element that is an array itself reads
 * as ATTRIBUTE_STRINGS here, which makes none either. */
static bool uniform_type(WireReader r, uint8_t *out) {
    WireReader element;
    Attribute value;
    bool more;

    for (*out = 0;;) {
        if (!next_field(&r, 1, &element, &more)) return false;
        if (!more) return true;
        if (!read_value(element, &value)) return false;
        if (array_type(value.type) == 0 || (*out != 0 && *out != array_type(value.type))) {
            *out = 0;
            return true;
        }
        *out = array_type(value.type);
    }
}

static void set_element(uint8_t type, void *elements, uint32_t i, const Attribute *value) {
    switch (type) {
    case ATTRIBUTE_STRINGS:
        ((Str *)elements)[i] = value->text;
        break;
    case ATTRIBUTE_BOOLS:
        ((bool *)elements)[i] = value->truth;
        break;
    case ATTRIBUTE_INTS:
        ((int64_t *)elements)[i] = value->integer;
        break;
    default:
        ((double *)elements)[i] = value->number;
    }
}

/* `whole`: the AnyValue that out->text, an ArrayValue, is in. */
static ErrCode read_array(Str whole, Arena *arena, Attribute *out, Error *err) {
    static const size_t sizes[ATTRIBUTE_TYPES] = {[ATTRIBUTE_STRINGS] = sizeof(Str),
                                                  [ATTRIBUTE_BOOLS] = sizeof(bool),
                                                  [ATTRIBUTE_INTS] = sizeof(int64_t),
                                                  [ATTRIBUTE_DOUBLES] = sizeof(double)};
    WireReader r = wire_reader(out->text), element;
    uint32_t count;
    uint8_t type;
    void *elements;
    bool more = true;

    if (!uniform_type(r, &type) || !count_field(r, 1, &count)) return malformed(err);
    if (type == 0) {
        out->type = ATTRIBUTE_OTHER;
        out->text = whole;
        return ERR_OK;
    }
    elements = arena_array(arena, count, sizes[type]);
    if (elements == NULL) return out_of_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        Attribute value;

        if (!next_field(&r, 1, &element, &more) || !more || !read_value(element, &value))
            return malformed(err);
        set_element(type, elements, i, &value);
    }
    out->type = type;
    out->count = count;
    out->texts = elements;
    return ERR_OK;
}

static ErrCode read_attribute(WireReader r, Arena *arena, Attribute *out, Error *err) {
    WireReader value = {NULL, NULL};
    uint32_t tag;

    *out = (Attribute){.key = STR(""), .type = ATTRIBUTE_OTHER};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err);
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&r, &out->key)
              : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_message(&r, &value)
                                               : wire_skip(&r, tag)))
            return malformed(err);
    }
    if (!read_value(value, out)) return malformed(err);
    if (out->type != ATTRIBUTE_STRINGS) return ERR_OK;
    return read_array((Str){(const char *)value.at, wire_left(&value)}, arena, out, err);
}

static ErrCode read_attributes(WireReader r, uint32_t field, Arena *arena, Attributes *out,
                               Error *err) {
    WireReader message;
    Attribute *items;
    uint32_t count;
    bool more;

    if (!count_field(r, field, &count)) return malformed(err);
    out->items = NULL;
    out->count = 0;
    if (count == 0) return ERR_OK;
    out->items = items = arena_alloc(arena, count * sizeof *items);
    if (items == NULL) return out_of_memory(err);
    for (;;) {
        if (!next_field(&r, field, &message, &more)) return malformed(err);
        if (!more) return ERR_OK;
        TRY(read_attribute(message, arena, &items[out->count++], err));
    }
}

/* ---------- parts of spans ---------- */

static bool read_fixed32(WireReader *r, uint32_t *out) {
    if (wire_left(r) < sizeof *out) return false;
    memcpy(out, r->at, sizeof *out);
    r->at += sizeof *out;
    return true;
}

static ErrCode read_event(WireReader message, Arena *arena, SpanEvent *out, Error *err) {
    WireReader r = message;
    uint32_t tag, dropped = 0;
    uint64_t time = 0;

    *out = (SpanEvent){.name = STR("")};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err);
        if (!(tag == WIRE_TAG(1, WIRE_FIXED64)  ? wire_fixed64(&r, &time)
              : tag == WIRE_TAG(2, WIRE_BYTES)  ? wire_bytes(&r, &out->name)
              : tag == WIRE_TAG(4, WIRE_VARINT) ? wire_uint32(&r, &dropped)
                                                : wire_skip(&r, tag)))
            return malformed(err);
    }
    out->time_ns = (int64_t)time;
    TRY(read_attributes(message, 3, arena, &out->attributes, err));
    out->attributes.dropped = dropped;
    return ERR_OK;
}

static ErrCode read_link(WireReader message, Arena *arena, SpanLink *out, Error *err) {
    Str trace = STR(""), id = STR("");
    WireReader r = message;
    uint32_t tag, dropped = 0;

    *out = (SpanLink){.state = STR("")};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err);
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)     ? wire_bytes(&r, &trace)
              : tag == WIRE_TAG(2, WIRE_BYTES)   ? wire_bytes(&r, &id)
              : tag == WIRE_TAG(3, WIRE_BYTES)   ? wire_bytes(&r, &out->state)
              : tag == WIRE_TAG(5, WIRE_VARINT)  ? wire_uint32(&r, &dropped)
              : tag == WIRE_TAG(6, WIRE_FIXED32) ? read_fixed32(&r, &out->flags)
                                                 : wire_skip(&r, tag)))
            return malformed(err);
    }
    if (trace.len == sizeof out->trace.bytes)
        memcpy(out->trace.bytes, trace.ptr, sizeof out->trace.bytes);
    out->span = span_id_of(id);
    TRY(read_attributes(message, 4, arena, &out->attributes, err));
    out->attributes.dropped = dropped;
    return ERR_OK;
}

static ErrCode read_events(WireReader r, uint32_t count, Arena *arena, Span *out, Error *err) {
    WireReader message;
    SpanEvent *events;
    bool more = true;

    if (count == 0) return ERR_OK;
    out->events = events = arena_alloc(arena, count * sizeof *events);
    if (events == NULL) return out_of_memory(err);
    for (; out->event_count < count; out->event_count++) {
        if (!next_field(&r, 11, &message, &more) || !more) return malformed(err);
        TRY(read_event(message, arena, &events[out->event_count], err));
    }
    return ERR_OK;
}

static ErrCode read_links(WireReader r, uint32_t count, Arena *arena, Span *out, Error *err) {
    WireReader message;
    SpanLink *links;
    bool more = true;

    if (count == 0) return ERR_OK;
    out->links = links = arena_alloc(arena, count * sizeof *links);
    if (links == NULL) return out_of_memory(err);
    for (; out->link_count < count; out->link_count++) {
        if (!next_field(&r, 13, &message, &more) || !more) return malformed(err);
        TRY(read_link(message, arena, &links[out->link_count], err));
    }
    return ERR_OK;
}

static bool read_status(WireReader *outer, Span *out) {
    WireReader r;
    uint32_t tag, code;

    if (!wire_message(outer, &r)) return false;
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (tag == WIRE_TAG(2, WIRE_BYTES)) {
            if (!wire_bytes(&r, &out->status_message)) return false;
        } else if (tag == WIRE_TAG(3, WIRE_VARINT)) {
            if (!wire_uint32(&r, &code)) return false;
            out->status = code <= SPAN_STATUS_ERROR ? (uint8_t)code : SPAN_STATUS_UNSET;
        } else if (!wire_skip(&r, tag)) {
            return false;
        }
    }
    return true;
}

/* ---------- spans ---------- */

typedef struct Fields {
    Str trace, id, parent;
    uint64_t start, end;
    uint32_t kind, attributes, events, links, dropped_attributes;
} Fields;

/* One field that is neither an attribute nor an event nor a link. */
static bool read_field(WireReader *r, uint32_t tag, Fields *fields, Span *out) {
    switch (tag) {
    case WIRE_TAG(1, WIRE_BYTES):
        return wire_bytes(r, &fields->trace);
    case WIRE_TAG(2, WIRE_BYTES):
        return wire_bytes(r, &fields->id);
    case WIRE_TAG(3, WIRE_BYTES):
        return wire_bytes(r, &out->state);
    case WIRE_TAG(4, WIRE_BYTES):
        return wire_bytes(r, &fields->parent);
    case WIRE_TAG(5, WIRE_BYTES):
        return wire_bytes(r, &out->name);
    case WIRE_TAG(6, WIRE_VARINT):
        return wire_uint32(r, &fields->kind);
    case WIRE_TAG(7, WIRE_FIXED64):
        return wire_fixed64(r, &fields->start);
    case WIRE_TAG(8, WIRE_FIXED64):
        return wire_fixed64(r, &fields->end);
    case WIRE_TAG(10, WIRE_VARINT):
        return wire_uint32(r, &fields->dropped_attributes);
    case WIRE_TAG(12, WIRE_VARINT):
        return wire_uint32(r, &out->dropped_events);
    case WIRE_TAG(14, WIRE_VARINT):
        return wire_uint32(r, &out->dropped_links);
    case WIRE_TAG(15, WIRE_BYTES):
        return read_status(r, out);
    case WIRE_TAG(16, WIRE_FIXED32):
        return read_fixed32(r, &out->flags);
    default:
        return wire_skip(r, tag);
    }
}

static bool read_fields(WireReader r, Fields *fields, Span *out) {
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        fields->attributes += tag == WIRE_TAG(9, WIRE_BYTES);
        fields->events += tag == WIRE_TAG(11, WIRE_BYTES);
        fields->links += tag == WIRE_TAG(13, WIRE_BYTES);
        if (!read_field(&r, tag, fields, out)) return false;
    }
    return true;
}

ErrCode span_decode(Str message, const SpanOrigin *origin, Arena *arena, Span *out, Error *err) {
    WireReader r = wire_reader(message);
    Fields fields = {.trace = STR(""), .id = STR(""), .parent = STR("")};

    *out = (Span){.origin = origin, .name = STR(""), .status_message = STR(""), .state = STR("")};
    if (!read_fields(r, &fields, out) || fields.trace.len != sizeof out->trace.bytes)
        return malformed(err);
    memcpy(out->trace.bytes, fields.trace.ptr, sizeof out->trace.bytes);
    out->id = span_id_of(fields.id);
    out->parent = span_id_of(fields.parent);
    out->start_ns = (int64_t)fields.start;
    out->end_ns = (int64_t)MAX(fields.start, fields.end);
    out->kind = fields.kind <= 5 ? (uint8_t)fields.kind : 0;
    if (fields.attributes > 0) TRY(read_attributes(r, 9, arena, &out->attributes, err));
    out->attributes.dropped = fields.dropped_attributes;
    TRY(read_events(r, fields.events, arena, out, err));
    return read_links(r, fields.links, arena, out, err);
}

/* ---------- origins ---------- */

bool origin_parts(Str bytes, Str parts[ORIGIN_PARTS]) {
    for (size_t i = 0; i < ORIGIN_PARTS; i++) {
        uint32_t length;

        if (bytes.len < sizeof length) return false;
        memcpy(&length, bytes.ptr, sizeof length);
        bytes = (Str){bytes.ptr + sizeof length, bytes.len - sizeof length};
        if (length > bytes.len) return false;
        parts[i] = (Str){bytes.ptr, length};
        bytes = (Str){bytes.ptr + length, bytes.len - length};
    }
    return bytes.len == 0;
}

ErrCode origin_decode(Str bytes, Arena *arena, SpanOrigin *out, Error *err) {
    Str parts[ORIGIN_PARTS];
    WireReader r;
    uint32_t tag, dropped = 0;

    *out = (SpanOrigin){.scope_name = STR(""), .scope_version = STR(""), .service = STR("")};
    if (!origin_parts(bytes, parts)) return malformed(err);
    out->resource_schema = parts[2];
    out->scope_schema = parts[3];
    TRY(read_attributes(wire_reader(parts[0]), 1, arena, &out->resource, err));
    for (r = wire_reader(parts[0]); !wire_at_end(&r);)
        if (!wire_tag(&r, &tag) ||
            !(tag == WIRE_TAG(2, WIRE_VARINT) ? wire_uint32(&r, &out->resource.dropped)
                                              : wire_skip(&r, tag)))
            return malformed(err);
    TRY(read_attributes(wire_reader(parts[1]), 3, arena, &out->scope, err));
    for (r = wire_reader(parts[1]); !wire_at_end(&r);)
        if (!wire_tag(&r, &tag) ||
            !(tag == WIRE_TAG(1, WIRE_BYTES)    ? wire_bytes(&r, &out->scope_name)
              : tag == WIRE_TAG(2, WIRE_BYTES)  ? wire_bytes(&r, &out->scope_version)
              : tag == WIRE_TAG(4, WIRE_VARINT) ? wire_uint32(&r, &dropped)
                                                : wire_skip(&r, tag)))
            return malformed(err);
    out->scope.dropped = dropped;
    for (uint32_t i = 0; i < out->resource.count; i++)
        if (str_equal(out->resource.items[i].key, STR("service.name"))) {
            if (out->resource.items[i].type == ATTRIBUTE_STRING)
                out->service = out->resource.items[i].text;
            break;
        }
    return ERR_OK;
}
