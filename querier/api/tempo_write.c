/*
 * tempo_write.c: traces as OTLP's messages, in JSON and in protobuf. Spans of one origin stand
 * together, in the order in which the table has them.
 */
#include <inttypes.h>
#include <math.h>

#include "common/base/json.h"
#include "common/batch/span_wire.h"
#include "proto/wire/write.h"
#include "querier/api/tempo.h"
#include "querier/exec/go_float.h"

enum { NESTED_MAX = SPAN_DEPTH_MAX + 1 };

/* ---------- values ---------- */

static void write_double(double v, Buf *out) {
    if (isfinite(v))
        go_append_g(out, v);
    else
        buf_append_str(out, isnan(v) ? STR("\"NaN\"")
                            : v > 0  ? STR("\"Infinity\"")
                                     : STR("\"-Infinity\""));
}

static void write_base64(Str bytes, Buf *out) {
    buf_append_byte(out, '"');
    buf_append_base64(out, bytes);
    buf_append_byte(out, '"');
}

static void write_any(WireReader r, unsigned depth, Buf *out);

/* Of an ArrayValue or a KeyValueList. */
static void write_entries(WireReader r, bool list, unsigned depth, Buf *out) {
    WireReader entry, value;
    bool first = true;
    uint32_t tag;

    buf_append_str(out, STR("{\"values\":["));
    while (!wire_at_end(&r) && wire_tag(&r, &tag)) {
        Str key = STR("");

        if (tag != WIRE_TAG(1, WIRE_BYTES) || !wire_message(&r, &entry)) break;
        if (!first) buf_append_byte(out, ',');
        first = false;
        if (!list) {
            write_any(entry, depth + 1, out);
            continue;
        }
        value = (WireReader){NULL, NULL};
        while (!wire_at_end(&entry) && wire_tag(&entry, &tag))
            if (!(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&entry, &key)
                  : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_message(&entry, &value)
                                                   : wire_skip(&entry, tag)))
                break;
        buf_append_str(out, STR("{\"key\":"));
        json_append_string(out, key);
        buf_append_str(out, STR(",\"value\":"));
        write_any(value, depth + 1, out);
        buf_append_byte(out, '}');
    }
    buf_append_str(out, STR("]}"));
}

/* An AnyValue message: {} when nothing is set. It was checked when it came. */
static void write_any(WireReader r, unsigned depth, Buf *out) {
    WireReader nested;
    uint32_t tag;
    uint64_t bits;
    int64_t integer;
    double number;
    Str text;

    buf_append_byte(out, '{');
    while (depth <= NESTED_MAX && !wire_at_end(&r) && wire_tag(&r, &tag)) {
        if (tag == WIRE_TAG(1, WIRE_BYTES) && wire_bytes(&r, &text)) {
            buf_append_str(out, STR("\"stringValue\":"));
            json_append_string(out, text);
        } else if (tag == WIRE_TAG(2, WIRE_VARINT) && wire_varint(&r, &bits)) {
            buf_printf(out, "\"boolValue\":%s", bits != 0 ? "true" : "false");
        } else if (tag == WIRE_TAG(3, WIRE_VARINT) && wire_int64(&r, &integer)) {
            buf_printf(out, "\"intValue\":\"%" PRId64 "\"", integer);
        } else if (tag == WIRE_TAG(4, WIRE_FIXED64) && wire_double(&r, &number)) {
            buf_append_str(out, STR("\"doubleValue\":"));
            write_double(number, out);
        } else if (tag == WIRE_TAG(5, WIRE_BYTES) && wire_message(&r, &nested)) {
            buf_append_str(out, STR("\"arrayValue\":"));
            write_entries(nested, false, depth, out);
        } else if (tag == WIRE_TAG(6, WIRE_BYTES) && wire_message(&r, &nested)) {
            buf_append_str(out, STR("\"kvlistValue\":"));
            write_entries(nested, true, depth, out);
        } else if (tag == WIRE_TAG(7, WIRE_BYTES) && wire_bytes(&r, &text)) {
            buf_append_str(out, STR("\"bytesValue\":"));
            write_base64(text, out);
        } else {
            break;
        }
        if (!wire_at_end(&r)) break; /* one of them; what follows would be a second name */
    }
    buf_append_byte(out, '}');
}

static void write_array(const Attribute *a, Buf *out) {
    buf_append_str(out, STR("{\"arrayValue\":{\"values\":["));
    for (uint32_t i = 0; i < a->count; i++) {
        Attribute one = {.type = (uint8_t)(a->type - ATTRIBUTE_STRINGS + ATTRIBUTE_STRING)};

        switch (a->type) {
        case ATTRIBUTE_STRINGS:
            one.type = ATTRIBUTE_STRING;
            one.text = a->texts[i];
            break;
        case ATTRIBUTE_BOOLS:
            one.type = ATTRIBUTE_BOOL;
            one.truth = a->truths[i];
            break;
        case ATTRIBUTE_INTS:
            one.type = ATTRIBUTE_INT;
            one.integer = a->integers[i];
            break;
        default:
            one.type = ATTRIBUTE_DOUBLE;
            one.number = a->numbers[i];
        }
        if (i > 0) buf_append_byte(out, ',');
        tempo_write_value(&one, out);
    }
    buf_append_str(out, STR("]}}"));
}

void tempo_write_value(const Attribute *a, Buf *out) {
    switch (a->type) {
    case ATTRIBUTE_STRING:
        buf_append_str(out, STR("{\"stringValue\":"));
        json_append_string(out, a->text);
        break;
    case ATTRIBUTE_BOOL:
        buf_printf(out, "{\"boolValue\":%s", a->truth ? "true" : "false");
        break;
    case ATTRIBUTE_INT:
        buf_printf(out, "{\"intValue\":\"%" PRId64 "\"", a->integer);
        break;
    case ATTRIBUTE_DOUBLE:
        buf_append_str(out, STR("{\"doubleValue\":"));
        write_double(a->number, out);
        break;
    case ATTRIBUTE_BYTES:
        buf_append_str(out, STR("{\"bytesValue\":"));
        write_base64(a->text, out);
        break;
    case ATTRIBUTE_OTHER:
        write_any(wire_reader(a->text), 0, out);
        return;
    default:
        write_array(a, out);
        return;
    }
    buf_append_byte(out, '}');
}

/* ---------- objects ---------- */

/* A name, with what separates it from what is before it in its object. */
static void name(const char *text, bool *first, Buf *out) {
    buf_printf(out, "%s\"%s\":", *first ? "" : ",", text);
    *first = false;
}

static void text_field(const char *text, Str value, bool *first, Buf *out) {
    if (value.len == 0) return;
    name(text, first, out);
    json_append_string(out, value);
}

static void number_field(const char *text, uint64_t value, bool *first, Buf *out) {
    if (value == 0) return;
    name(text, first, out);
    buf_printf(out, "%" PRIu64, value);
}

static void nanos_field(const char *text, int64_t value, bool *first, Buf *out) {
    if (value == 0) return;
    name(text, first, out);
    buf_printf(out, "\"%" PRIu64 "\"", (uint64_t)value);
}

static void span_id_field(const char *text, uint64_t id, bool *first, Buf *out) {
    uint64_t big_endian = __builtin_bswap64(id);

    if (id == 0) return;
    name(text, first, out);
    write_base64((Str){(const char *)&big_endian, sizeof big_endian}, out);
}

static void trace_id_field(const TraceId *id, bool *first, Buf *out) {
    name("traceId", first, out);
    write_base64((Str){(const char *)id->bytes, sizeof id->bytes}, out);
}

static void attributes_fields(const Attributes *attributes, bool *first, Buf *out) {
    if (attributes->count > 0) {
        name("attributes", first, out);
        buf_append_byte(out, '[');
        for (uint32_t i = 0; i < attributes->count; i++) {
            buf_append_str(out, i > 0 ? STR(",{\"key\":") : STR("{\"key\":"));
            json_append_string(out, attributes->items[i].key);
            buf_append_str(out, STR(",\"value\":"));
            tempo_write_value(&attributes->items[i], out);
            buf_append_byte(out, '}');
        }
        buf_append_byte(out, ']');
    }
    number_field("droppedAttributesCount", attributes->dropped, first, out);
}

static void events_field(const Span *span, bool *first, Buf *out) {
    if (span->event_count == 0) return;
    name("events", first, out);
    for (uint32_t i = 0; i < span->event_count; i++) {
        const SpanEvent *event = &span->events[i];
        bool inner = true;

        buf_append_str(out, i == 0 ? STR("[{") : STR(",{"));
        nanos_field("timeUnixNano", event->time_ns, &inner, out);
        text_field("name", event->name, &inner, out);
        attributes_fields(&event->attributes, &inner, out);
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

static void links_field(const Span *span, bool *first, Buf *out) {
    if (span->link_count == 0) return;
    name("links", first, out);
    for (uint32_t i = 0; i < span->link_count; i++) {
        const SpanLink *link = &span->links[i];
        bool inner = true;

        buf_append_str(out, i == 0 ? STR("[{") : STR(",{"));
        trace_id_field(&link->trace, &inner, out);
        span_id_field("spanId", link->span, &inner, out);
        text_field("traceState", link->state, &inner, out);
        attributes_fields(&link->attributes, &inner, out);
        number_field("flags", link->flags, &inner, out);
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

static void status_field(const Span *span, bool *first, Buf *out) {
    static const char *const codes[] = {NULL, "STATUS_CODE_OK", "STATUS_CODE_ERROR"};
    bool inner = true;

    name("status", first, out);
    buf_append_byte(out, '{');
    text_field("message", span->status_message, &inner, out);
    if (span->status != SPAN_STATUS_UNSET && span->status < ARRAY_LEN(codes)) {
        name("code", &inner, out);
        buf_printf(out, "\"%s\"", codes[span->status]);
    }
    buf_append_byte(out, '}');
}

static void write_span(const Span *span, Buf *out) {
    static const char *const kinds[] = {"UNSPECIFIED", "INTERNAL", "SERVER",
                                        "CLIENT",      "PRODUCER", "CONSUMER"};
    bool first = true;

    buf_append_byte(out, '{');
    trace_id_field(&span->trace, &first, out);
    span_id_field("spanId", span->id, &first, out);
    text_field("traceState", span->state, &first, out);
    span_id_field("parentSpanId", span->parent, &first, out);
    number_field("flags", span->flags, &first, out);
    text_field("name", span->name, &first, out);
    if (span->kind != 0 && span->kind < ARRAY_LEN(kinds)) {
        name("kind", &first, out);
        buf_printf(out, "\"SPAN_KIND_%s\"", kinds[span->kind]);
    }
    nanos_field("startTimeUnixNano", span->start_ns, &first, out);
    nanos_field("endTimeUnixNano", span->end_ns, &first, out);
    attributes_fields(&span->attributes, &first, out);
    events_field(span, &first, out);
    number_field("droppedEventsCount", span->dropped_events, &first, out);
    links_field(span, &first, out);
    number_field("droppedLinksCount", span->dropped_links, &first, out);
    status_field(span, &first, out);
    buf_append_byte(out, '}');
}

/* ---------- traces ---------- */

ErrCode tempo_spans(const SpanTable *table, const uint8_t *keep, Arena *arena, TempoSpans *out,
                    Error *err) {
    uint32_t *starts = ARENA_ARRAY(arena, uint32_t, table->origin_count + (size_t)2);
    const Span **spans = ARENA_ARRAY(arena, const Span *, MAX(table->row_count, 1U));

    if (starts == NULL || spans == NULL) return api_out_of_memory(err);
    *out = (TempoSpans){table->origins, table->origin_count, spans, starts};
    /* Counted one behind, so that filling them in moves each to where it belongs. */
    starts += 1;
    for (uint32_t t = 0; t < table->trace_count; t++)
        for (uint32_t row = table->traces[t].first, end = row + table->traces[t].count; row < end;
             row++)
            if (keep == NULL || keep[row]) starts[table->origin_of[row] + 1]++;
    for (uint32_t i = 0; i < table->origin_count; i++) starts[i + 1] += starts[i];
    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *trace = &table->traces[t];
        Span *of_trace;

        TRY(span_table_spans(table, trace, arena, &of_trace, err));
        for (uint32_t i = 0; i < trace->count; i++)
            if (keep == NULL || keep[trace->first + i])
                spans[starts[table->origin_of[trace->first + i]]++] = &of_trace[i];
    }
    return ERR_OK;
}

static void write_head_json(const SpanOrigin *origin, Buf *out) {
    bool first = true;

    buf_append_str(out, STR("{\"resource\":{"));
    attributes_fields(&origin->resource, &first, out);
    buf_append_str(out, STR("},\"scopeSpans\":[{\"scope\":{"));
    first = true;
    text_field("name", origin->scope_name, &first, out);
    text_field("version", origin->scope_version, &first, out);
    attributes_fields(&origin->scope, &first, out);
    buf_append_str(out, STR("},\"spans\":["));
}

static void write_tail_json(const SpanOrigin *origin, Buf *out) {
    bool first = false;

    buf_append_byte(out, ']');
    text_field("schemaUrl", origin->scope_schema, &first, out);
    buf_append_str(out, STR("}]"));
    text_field("schemaUrl", origin->resource_schema, &first, out);
    buf_append_byte(out, '}');
}

void tempo_write_json(const TempoSpans *spans, Buf *out) {
    bool any = false;

    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < spans->origin_count; i++) {
        if (spans->starts[i] == spans->starts[i + 1]) continue;
        if (any) buf_append_byte(out, ',');
        any = true;
        write_head_json(spans->origins[i], out);
        for (uint32_t k = spans->starts[i]; k < spans->starts[i + 1]; k++) {
            if (k > spans->starts[i]) buf_append_byte(out, ',');
            write_span(spans->spans[k], out);
        }
        write_tail_json(spans->origins[i], out);
    }
    buf_append_byte(out, ']');
}

static bool write_origin(const SpanOrigin *origin, const Span *const *spans, uint32_t count,
                         Buf *out) {
    size_t resource_spans = wire_begin(out, 1), scope_spans, part = wire_begin(out, 1);

    if (!origin_encode_resource(origin, out)) return false;
    wire_end(out, part);
    scope_spans = wire_begin(out, 2);
    part = wire_begin(out, 1);
    if (!origin_encode_scope(origin, out)) return false;
    wire_end(out, part);
    for (uint32_t i = 0; i < count; i++) {
        part = wire_begin(out, 2);
        if (!span_encode(spans[i], out)) return false;
        wire_end(out, part);
    }
    if (origin->scope_schema.len > 0) wire_put_bytes(out, 3, origin->scope_schema);
    wire_end(out, scope_spans);
    if (origin->resource_schema.len > 0) wire_put_bytes(out, 3, origin->resource_schema);
    wire_end(out, resource_spans);
    return !buf_failed(out);
}

bool tempo_write_resource_spans(const TempoSpans *spans, Buf *out) {
    for (uint32_t i = 0; i < spans->origin_count; i++) {
        uint32_t count = spans->starts[i + 1] - spans->starts[i];

        if (count > 0 &&
            !write_origin(spans->origins[i], spans->spans + spans->starts[i], count, out))
            return false;
    }
    return !buf_failed(out);
}
