/*
 * proto.c: jaeger.api_v2.PostSpansRequest.
 */
#include "gateway/jaeger/decode.h"
#include "proto/wire/wire.h"

static ErrCode malformed(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT,
                     "the message is not a jaeger.api_v2.PostSpansRequest: %s can't be read", what);
}

/* ---------- values ---------- */

/* google.protobuf.Timestamp or Duration in nanoseconds; what doesn't fit is below 0. */
static bool read_time(WireReader *outer, int64_t *out) {
    int64_t seconds = 0, nanos = 0, ns;
    WireReader r;
    uint32_t tag;

    if (!wire_message(outer, &r)) return false;
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (!(tag == WIRE_TAG(1, WIRE_VARINT)   ? wire_int64(&r, &seconds)
              : tag == WIRE_TAG(2, WIRE_VARINT) ? wire_int64(&r, &nanos)
                                                : wire_skip(&r, tag)))
            return false;
    }
    *out = __builtin_mul_overflow(seconds, (int64_t)1000000000, &ns) ||
                   __builtin_add_overflow(ns, nanos, &ns) || ns < 0
               ? -1
               : ns;
    return true;
}

static uint64_t number_of(const char *bytes) {
    return span_id_of((Str){bytes, 8});
}

/* 16 bytes, or 8 of those who have short ids; none at all is 0. */
static bool trace_id(Str bytes, uint64_t *high, uint64_t *low) {
    if (bytes.len != 0 && bytes.len != 8 && bytes.len != 16) return false;
    *high = bytes.len == 16 ? number_of(bytes.ptr) : 0;
    *low = bytes.len == 0 ? 0 : number_of(bytes.ptr + bytes.len - 8);
    return true;
}

static bool span_id(Str bytes, uint64_t *out) {
    *out = span_id_of(bytes);
    return bytes.len == 0 || bytes.len == 8;
}

static ErrCode wrong_ids(Error *err, const char *where, Str trace, Str span) {
    return error_set(err, ERR_INVALID,
                     "%s's trace_id has %zu bytes and its span_id %zu; they must have 16 and 8",
                     where, trace.len, span.len);
}

/* ---------- tags ---------- */

typedef enum ValueType {
    VALUE_STRING,
    VALUE_BOOL,
    VALUE_INT64,
    VALUE_FLOAT64,
    VALUE_BINARY
} ValueType;

typedef struct KeyValue {
    Str key, text, bytes;
    uint64_t truth;
    int64_t integer;
    double number;
    uint32_t type;
} KeyValue;

static bool read_key_value(WireReader r, KeyValue *out) {
    uint32_t tag;

    *out = (KeyValue){.key = STR(""), .text = STR(""), .bytes = STR("")};
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            ok = wire_bytes(&r, &out->key);
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            ok = wire_uint32(&r, &out->type);
            break;
        case WIRE_TAG(3, WIRE_BYTES):
            ok = wire_bytes(&r, &out->text);
            break;
        case WIRE_TAG(4, WIRE_VARINT):
            ok = wire_varint(&r, &out->truth);
            break;
        case WIRE_TAG(5, WIRE_VARINT):
            ok = wire_int64(&r, &out->integer);
            break;
        case WIRE_TAG(6, WIRE_FIXED64):
            ok = wire_double(&r, &out->number);
            break;
        case WIRE_TAG(7, WIRE_BYTES):
            ok = wire_bytes(&r, &out->bytes);
            break;
        default:
            ok = wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static ErrCode read_tag(Foreign *foreign, WireReader *outer, Tags *tags, Error *err) {
    Attribute attribute = {0};
    WireReader r;
    KeyValue value;

    if (!wire_message(outer, &r) || !read_key_value(r, &value)) return malformed(err, "a tag");
    attribute.key = value.key;
    switch (value.type) {
    case VALUE_BOOL:
        attribute.type = ATTRIBUTE_BOOL;
        attribute.truth = value.truth != 0;
        break;
    case VALUE_INT64:
        attribute.type = ATTRIBUTE_INT;
        attribute.integer = value.integer;
        break;
    case VALUE_FLOAT64:
        attribute.type = ATTRIBUTE_DOUBLE;
        attribute.number = value.number;
        break;
    case VALUE_BINARY:
        attribute.type = ATTRIBUTE_BYTES;
        attribute.text = value.bytes;
        break;
    default:
        attribute.type = ATTRIBUTE_STRING;
        attribute.text = value.type == VALUE_STRING ? value.text : STR("<Unknown Jaeger TagType>");
    }
    return tags_add(foreign, tags, &attribute, err);
}

/* ---------- parts of a span ---------- */

static ErrCode read_log(Foreign *foreign, WireReader *outer, JaegerSpan *span, Error *err) {
    JaegerLog *log;
    WireReader r;
    uint32_t tag;

    if (!wire_message(outer, &r)) return malformed(err, "a log");
    TRY(jaeger_add_log(foreign, span, &log, err));
    while (!wire_at_end(&r)) {
        bool ok = true;

        if (!wire_tag(&r, &tag)) return malformed(err, "a log");
        if (tag == WIRE_TAG(1, WIRE_BYTES))
            ok = read_time(&r, &log->time_ns);
        else if (tag == WIRE_TAG(2, WIRE_BYTES))
            TRY(read_tag(foreign, &r, &log->fields, err));
        else
            ok = wire_skip(&r, tag);
        if (!ok) return malformed(err, "a log");
    }
    return ERR_OK;
}

static ErrCode read_ref(Foreign *foreign, WireReader *outer, JaegerSpan *span, Error *err) {
    Str trace = STR(""), id = STR("");
    uint32_t tag, type = JAEGER_CHILD_OF;
    JaegerRef *ref;
    WireReader r;

    if (!wire_message(outer, &r)) return malformed(err, "a reference");
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a reference");
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)    ? wire_bytes(&r, &trace)
              : tag == WIRE_TAG(2, WIRE_BYTES)  ? wire_bytes(&r, &id)
              : tag == WIRE_TAG(3, WIRE_VARINT) ? wire_uint32(&r, &type)
                                                : wire_skip(&r, tag)))
            return malformed(err, "a reference");
    }
    TRY(jaeger_add_ref(foreign, span, &ref, err));
    if (!trace_id(trace, &ref->trace_high, &ref->trace_low) || !span_id(id, &ref->span))
        return wrong_ids(err, "a reference", trace, id);
    ref->type = type == JAEGER_CHILD_OF ? JAEGER_CHILD_OF : JAEGER_FOLLOWS_FROM;
    return ERR_OK;
}

static ErrCode read_process(Foreign *foreign, Str message, Tags *resource, Error *err) {
    WireReader r = wire_reader(message);
    Str service = STR("");
    uint32_t tag;

    while (!wire_at_end(&r)) {
        bool ok = true;

        if (!wire_tag(&r, &tag)) return malformed(err, "a process");
        if (tag == WIRE_TAG(1, WIRE_BYTES))
            ok = wire_bytes(&r, &service);
        else if (tag == WIRE_TAG(2, WIRE_BYTES))
            TRY(read_tag(foreign, &r, resource, err));
        else
            ok = wire_skip(&r, tag);
        if (!ok) return malformed(err, "a process");
    }
    return jaeger_resource(foreign, service, resource, err);
}

/* ---------- spans ---------- */

typedef struct Raw {
    Str trace, id, process;
    bool has_process;
} Raw;

static ErrCode read_field(Foreign *foreign, WireReader *r, uint32_t tag, JaegerSpan *span, Raw *raw,
                          Error *err) {
    bool ok;

    switch (tag) {
    case WIRE_TAG(1, WIRE_BYTES):
        ok = wire_bytes(r, &raw->trace);
        break;
    case WIRE_TAG(2, WIRE_BYTES):
        ok = wire_bytes(r, &raw->id);
        break;
    case WIRE_TAG(3, WIRE_BYTES):
        ok = wire_bytes(r, &span->name);
        break;
    case WIRE_TAG(4, WIRE_BYTES):
        return read_ref(foreign, r, span, err);
    case WIRE_TAG(6, WIRE_BYTES):
        ok = read_time(r, &span->start_ns);
        break;
    case WIRE_TAG(7, WIRE_BYTES):
        ok = read_time(r, &span->duration_ns);
        break;
    case WIRE_TAG(8, WIRE_BYTES):
        return read_tag(foreign, r, &span->tags, err);
    case WIRE_TAG(9, WIRE_BYTES):
        return read_log(foreign, r, span, err);
    case WIRE_TAG(10, WIRE_BYTES):
        ok = raw->has_process = wire_bytes(r, &raw->process);
        break;
    default:
        ok = wire_skip(r, tag);
    }
    return ok ? ERR_OK : malformed(err, "a span");
}

/* A span's own process goes before the batch's. */
static ErrCode read_span(Foreign *foreign, Str message, const Tags *resource, Error *err) {
    WireReader r = wire_reader(message);
    JaegerSpan span = {.name = STR("")};
    Raw raw = {.trace = STR(""), .id = STR("")};
    Tags own = {0};
    uint32_t tag;

    foreign_next(foreign);
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a span");
        TRY(read_field(foreign, &r, tag, &span, &raw, err));
    }
    if (!trace_id(raw.trace, &span.trace_high, &span.trace_low) || !span_id(raw.id, &span.id))
        return wrong_ids(err, "a span", raw.trace, raw.id);
    if (raw.has_process) {
        TRY(read_process(foreign, raw.process, &own, err));
        resource = &own;
    }
    return jaeger_add(foreign, resource, &span, err);
}

/* The process stands behind the spans. */
static ErrCode find_process(WireReader r, Str *out, Error *err) {
    uint32_t tag;

    *out = STR("");
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a batch");
        if (!(tag == WIRE_TAG(2, WIRE_BYTES) ? wire_bytes(&r, out) : wire_skip(&r, tag)))
            return malformed(err, "a batch");
    }
    return ERR_OK;
}

static ErrCode read_batch(Foreign *foreign, WireReader r, Error *err) {
    Tags resource = {.arena = foreign->arena};
    Str process, span;
    uint32_t tag;
    ErrCode code;

    TRY(find_process(r, &process, err));
    foreign_next(foreign);
    TRY(read_process(foreign, process, &resource, err));
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a batch");
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "a batch");
            continue;
        }
        if (!wire_bytes(&r, &span)) return malformed(err, "a span");
        code = read_span(foreign, span, &resource, err);
        if (code == ERR_INVALID)
            spans_refuse(foreign->spans, err);
        else if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

ErrCode jaeger_decode_proto(Foreign *foreign, Str body, Error *err) {
    WireReader r = wire_reader(body), batch;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a field");
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "a field");
            continue;
        }
        if (!wire_message(&r, &batch)) return malformed(err, "a batch");
        TRY(read_batch(foreign, batch, err));
    }
    return ERR_OK;
}
