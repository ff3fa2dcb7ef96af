/*
 * span_check.c: everything of a span's message looked at once, where it lies and without memory of
 * its own: what passes, span_decode.c may take for granted.
 */
#include "common/batch/span_wire.h"
#include "proto/wire/wire.h"

static ErrCode malformed(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT, "%s can't be read: not protobuf", what);
}

/* ---------- values ---------- */

typedef struct Counts {
    uint32_t attributes;
    size_t value_bytes_max;
} Counts;

static ErrCode check_value(WireReader r, unsigned depth, Error *err);

/* Of an ArrayValue, its AnyValues; of a KeyValueList, its KeyValues. */
static ErrCode check_nested(WireReader r, bool list, unsigned depth, Error *err) {
    WireReader entry, value;
    uint32_t tag;
    Str key;

    if (depth == SPAN_DEPTH_MAX)
        return error_set(err, ERR_INVALID,
                         "an attribute is nested more than %d levels deep; send less",
                         SPAN_DEPTH_MAX);
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "an attribute");
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "an attribute");
            continue;
        }
        if (!wire_message(&r, &entry)) return malformed(err, "an attribute");
        if (!list) {
            TRY(check_value(entry, depth + 1, err));
            continue;
        }
        while (!wire_at_end(&entry)) {
            if (!wire_tag(&entry, &tag)) return malformed(err, "an attribute");
            if (tag == WIRE_TAG(2, WIRE_BYTES)) {
                if (!wire_message(&entry, &value)) return malformed(err, "an attribute");
                TRY(check_value(value, depth + 1, err));
            } else if (!(tag == WIRE_TAG(1, WIRE_BYTES) ? wire_bytes(&entry, &key)
                                                        : wire_skip(&entry, tag))) {
                return malformed(err, "an attribute");
            }
        }
    }
    return ERR_OK;
}

static ErrCode check_value(WireReader r, unsigned depth, Error *err) {
    WireReader nested;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "an attribute");
        if (tag == WIRE_TAG(5, WIRE_BYTES) || tag == WIRE_TAG(6, WIRE_BYTES)) {
            if (!wire_message(&r, &nested)) return malformed(err, "an attribute");
            TRY(check_nested(nested, tag == WIRE_TAG(6, WIRE_BYTES), depth, err));
        } else if (!wire_skip(&r, tag)) {
            return malformed(err, "an attribute");
        }
    }
    return ERR_OK;
}

static ErrCode check_attribute(WireReader r, Counts *counts, uint32_t *count, Error *err) {
    WireReader value;
    uint32_t tag;
    Str key;

    counts->attributes++;
    if (++*count > SPAN_ATTRIBUTES_MAX)
        return error_set(err, ERR_INVALID, "more than %d attributes in one place; send fewer",
                         SPAN_ATTRIBUTES_MAX);
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "an attribute");
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            if (!wire_bytes(&r, &key)) return malformed(err, "an attribute's key");
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            if (!wire_message(&r, &value)) return malformed(err, "an attribute");
            counts->value_bytes_max = MAX(counts->value_bytes_max, wire_left(&value));
            TRY(check_value(value, 0, err));
            break;
        default:
            if (!wire_skip(&r, tag)) return malformed(err, "an attribute");
        }
    }
    return ERR_OK;
}

/* A message of which only the attributes need a look: an event, a link, a resource, a scope. */
static ErrCode check_attributes_of(WireReader r, uint32_t field, const char *what, Counts *counts,
                                   Error *err) {
    uint32_t tag, count = 0;
    WireReader attribute;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, what);
        if (tag != WIRE_TAG(field, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, what);
            continue;
        }
        if (!wire_message(&r, &attribute)) return malformed(err, what);
        TRY(check_attribute(attribute, counts, &count, err));
    }
    return ERR_OK;
}

/* ---------- ids and times ---------- */

static bool all_zero(Str bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.ptr[i] != 0) return false;
    return true;
}

static ErrCode check_ids(Str trace, Str id, Str parent, SpanPlace *out, Error *err) {
    if (trace.len != sizeof out->trace.bytes)
        return error_set(err, ERR_INVALID, "trace_id has %zu bytes; it must have 16", trace.len);
    if (all_zero(trace)) return error_set(err, ERR_INVALID, "trace_id is all zeros");
    if (id.len != 8)
        return error_set(err, ERR_INVALID, "span_id has %zu bytes; it must have 8", id.len);
    if (all_zero(id)) return error_set(err, ERR_INVALID, "span_id is all zeros");
    if (parent.len != 0 && parent.len != 8)
        return error_set(err, ERR_INVALID, "parent_span_id has %zu bytes; it must have 8 or none",
                         parent.len);
    memcpy(out->trace.bytes, trace.ptr, sizeof out->trace.bytes);
    out->id = span_id_of(id);
    out->parent = span_id_of(parent);
    return ERR_OK;
}

static ErrCode check_times(uint64_t start, uint64_t end, SpanPlace *out, Error *err) {
    if (start > INT64_MAX || end > INT64_MAX)
        return error_set(err, ERR_INVALID,
                         "a span's time is %llu ns after 1970; the last that can be stored is in "
                         "April 2262",
                         (unsigned long long)MAX(start, end));
    out->start_ns = (int64_t)start;
    out->end_ns = (int64_t)MAX(start, end);
    return ERR_OK;
}

static ErrCode check_link_ids(WireReader r, Error *err) {
    Str trace = STR(""), id = STR("");
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a link");
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&r, &trace)
              : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_bytes(&r, &id)
                                               : wire_skip(&r, tag)))
            return malformed(err, "a link");
    }
    if ((trace.len != 0 && trace.len != 16) || (id.len != 0 && id.len != 8))
        return error_set(err, ERR_INVALID,
                         "a link's trace_id has %zu bytes and its span_id %zu; they must have 16 "
                         "and 8",
                         trace.len, id.len);
    return ERR_OK;
}

/* ---------- spans ---------- */

static ErrCode check_parts(WireReader *r, uint32_t tag, Counts *counts, uint32_t *events,
                           uint32_t *links, Error *err) {
    bool event = tag == WIRE_TAG(11, WIRE_BYTES);
    uint32_t *count = event ? events : links;
    WireReader part;

    if (!wire_message(r, &part)) return malformed(err, event ? "an event" : "a link");
    if (++*count > SPAN_EVENTS_MAX)
        return error_set(err, ERR_INVALID, "a span has more than %d %s; send fewer",
                         SPAN_EVENTS_MAX, event ? "events" : "links");
    if (!event) TRY(check_link_ids(part, err));
    return check_attributes_of(part, event ? 3 : 4, event ? "an event" : "a link", counts, err);
}

static bool read_status(WireReader *outer, uint8_t *status) {
    WireReader r;
    uint32_t tag, code;

    if (!wire_message(outer, &r)) return false;
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (tag == WIRE_TAG(3, WIRE_VARINT)) {
            if (!wire_uint32(&r, &code)) return false;
            *status = code <= SPAN_STATUS_ERROR ? (uint8_t)code : SPAN_STATUS_UNSET;
        } else if (!wire_skip(&r, tag)) {
            return false;
        }
    }
    return true;
}

ErrCode span_check(Str message, SpanPlace *out, Error *err) {
    Str trace = STR(""), id = STR(""), parent = STR(""), name = STR("");
    uint32_t tag, kind = 0, attributes = 0, events = 0, links = 0;
    uint64_t start = 0, end = 0;
    WireReader r = wire_reader(message), part;
    Counts counts = {0};
    uint8_t status = SPAN_STATUS_UNSET;
    bool ok = true;

    if (message.len > SPAN_BYTES_MAX)
        return error_set(err, ERR_INVALID, "a span has %zu bytes; at most %d can be stored",
                         message.len, SPAN_BYTES_MAX);
    while (ok && !wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a span");
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            ok = wire_bytes(&r, &trace);
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            ok = wire_bytes(&r, &id);
            break;
        case WIRE_TAG(4, WIRE_BYTES):
            ok = wire_bytes(&r, &parent);
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            ok = wire_bytes(&r, &name);
            break;
        case WIRE_TAG(6, WIRE_VARINT):
            ok = wire_uint32(&r, &kind);
            break;
        case WIRE_TAG(7, WIRE_FIXED64):
            ok = wire_fixed64(&r, &start);
            break;
        case WIRE_TAG(8, WIRE_FIXED64):
            ok = wire_fixed64(&r, &end);
            break;
        case WIRE_TAG(9, WIRE_BYTES):
            ok = wire_message(&r, &part);
            if (ok) TRY(check_attribute(part, &counts, &attributes, err));
            break;
        case WIRE_TAG(11, WIRE_BYTES):
        case WIRE_TAG(13, WIRE_BYTES):
            TRY(check_parts(&r, tag, &counts, &events, &links, err));
            break;
        case WIRE_TAG(15, WIRE_BYTES):
            ok = read_status(&r, &status);
            break;
        default:
            ok = wire_skip(&r, tag);
        }
    }
    if (!ok) return malformed(err, "a span");
    TRY(check_ids(trace, id, parent, out, err));
    TRY(check_times(start, end, out, err));
    out->attributes = counts.attributes;
    out->attribute_bytes_max = counts.value_bytes_max;
    out->kind = kind <= 5 ? (uint8_t)kind : 0;
    out->status = status;
    out->name = name;
    return ERR_OK;
}

/* ---------- origins ---------- */

ErrCode origin_check(Str bytes, Error *err) {
    Str parts[ORIGIN_PARTS];
    Counts counts = {0};

    if (bytes.len > SPAN_ORIGIN_BYTES_MAX)
        return error_set(err, ERR_INVALID,
                         "a resource and its scope have %zu bytes; at most %d can be stored",
                         bytes.len, SPAN_ORIGIN_BYTES_MAX);
    if (!origin_parts(bytes, parts)) return malformed(err, "a resource or scope");
    TRY(check_attributes_of(wire_reader(parts[0]), 1, "a resource", &counts, err));
    return check_attributes_of(wire_reader(parts[1]), 3, "a scope", &counts, err);
}
