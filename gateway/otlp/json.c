#include "gateway/otlp/json.h"

#include <math.h>

#include "common/base/json_read.h"
#include "proto/wire/write.h"

typedef enum Kind {
    KIND_MESSAGE,
    KIND_STRING,
    KIND_HEX,    /* bytes of an id */
    KIND_BASE64, /* other bytes */
    KIND_BOOL,
    KIND_DOUBLE,
    KIND_FIXED64, /* of either sign */
    KIND_FIXED32,
    KIND_VARINT, /* of either sign, enums */
    KIND_ZIGZAG,
} Kind;

typedef struct Message Message;

/* Arrays need no mark of their own: each element is one more field of that number. */
typedef struct Field {
    Str name;
    uint32_t number;
    Kind kind;
    const Message *message;
} Field;

struct Message {
    const Field *fields;
    size_t count;
};

#define FIELD(name, number, kind)                                                                  \
    { STR_INIT(name), number, KIND_##kind, NULL }
#define PART(name, number, type)                                                                   \
    { STR_INIT(name), number, KIND_MESSAGE, &type##_message }
#define MESSAGE(type)                                                                              \
    static const Message type##_message = {type##_fields, ARRAY_LEN(type##_fields)}

static const Message any_value_message;

static const Field key_value_fields[] = {FIELD("key", 1, STRING), PART("value", 2, any_value)};
MESSAGE(key_value);

static const Field array_fields[] = {PART("values", 1, any_value)};
MESSAGE(array);

static const Field map_fields[] = {PART("values", 1, key_value)};
MESSAGE(map);

static const Field any_value_fields[] = {
    FIELD("stringValue", 1, STRING), FIELD("boolValue", 2, BOOL),  FIELD("intValue", 3, VARINT),
    FIELD("doubleValue", 4, DOUBLE), PART("arrayValue", 5, array), PART("kvlistValue", 6, map),
    FIELD("bytesValue", 7, BASE64),
};
static const Message any_value_message = {any_value_fields, ARRAY_LEN(any_value_fields)};

static const Field resource_fields[] = {PART("attributes", 1, key_value),
                                        FIELD("droppedAttributesCount", 2, VARINT)};
MESSAGE(resource);

static const Field scope_fields[] = {FIELD("name", 1, STRING), FIELD("version", 2, STRING),
                                     PART("attributes", 3, key_value),
                                     FIELD("droppedAttributesCount", 4, VARINT)};
MESSAGE(scope);

static const Field exemplar_fields[] = {
    FIELD("timeUnixNano", 2, FIXED64), FIELD("asDouble", 3, DOUBLE),
    FIELD("spanId", 4, HEX),           FIELD("traceId", 5, HEX),
    FIELD("asInt", 6, FIXED64),        PART("filteredAttributes", 7, key_value),
};
MESSAGE(exemplar);

static const Field number_fields[] = {
    FIELD("startTimeUnixNano", 2, FIXED64),
    FIELD("timeUnixNano", 3, FIXED64),
    FIELD("asDouble", 4, DOUBLE),
    PART("exemplars", 5, exemplar),
    FIELD("asInt", 6, FIXED64),
    PART("attributes", 7, key_value),
    FIELD("flags", 8, VARINT),
};
MESSAGE(number);

static const Field histogram_point_fields[] = {
    FIELD("startTimeUnixNano", 2, FIXED64),
    FIELD("timeUnixNano", 3, FIXED64),
    FIELD("count", 4, FIXED64),
    FIELD("sum", 5, DOUBLE),
    FIELD("bucketCounts", 6, FIXED64),
    FIELD("explicitBounds", 7, DOUBLE),
    PART("exemplars", 8, exemplar),
    PART("attributes", 9, key_value),
    FIELD("flags", 10, VARINT),
    FIELD("min", 11, DOUBLE),
    FIELD("max", 12, DOUBLE),
};
MESSAGE(histogram_point);

static const Field buckets_fields[] = {FIELD("offset", 1, ZIGZAG),
                                       FIELD("bucketCounts", 2, VARINT)};
MESSAGE(buckets);

static const Field exponential_point_fields[] = {
    PART("attributes", 1, key_value),  FIELD("startTimeUnixNano", 2, FIXED64),
    FIELD("timeUnixNano", 3, FIXED64), FIELD("count", 4, FIXED64),
    FIELD("sum", 5, DOUBLE),           FIELD("scale", 6, ZIGZAG),
    FIELD("zeroCount", 7, FIXED64),    PART("positive", 8, buckets),
    PART("negative", 9, buckets),      FIELD("flags", 10, VARINT),
    PART("exemplars", 11, exemplar),   FIELD("min", 12, DOUBLE),
    FIELD("max", 13, DOUBLE),          FIELD("zeroThreshold", 14, DOUBLE),
};
MESSAGE(exponential_point);

static const Field quantile_fields[] = {FIELD("quantile", 1, DOUBLE), FIELD("value", 2, DOUBLE)};
MESSAGE(quantile);

static const Field summary_point_fields[] = {
    FIELD("startTimeUnixNano", 2, FIXED64),
    FIELD("timeUnixNano", 3, FIXED64),
    FIELD("count", 4, FIXED64),
    FIELD("sum", 5, DOUBLE),
    PART("quantileValues", 6, quantile),
    PART("attributes", 7, key_value),
    FIELD("flags", 8, VARINT),
};
MESSAGE(summary_point);

static const Field gauge_fields[] = {PART("dataPoints", 1, number)};
MESSAGE(gauge);
static const Field sum_fields[] = {PART("dataPoints", 1, number),
                                   FIELD("aggregationTemporality", 2, VARINT),
                                   FIELD("isMonotonic", 3, BOOL)};
MESSAGE(sum);
static const Field histogram_fields[] = {PART("dataPoints", 1, histogram_point),
                                         FIELD("aggregationTemporality", 2, VARINT)};
MESSAGE(histogram);
static const Field exponential_fields[] = {PART("dataPoints", 1, exponential_point),
                                           FIELD("aggregationTemporality", 2, VARINT)};
MESSAGE(exponential);
static const Field summary_fields[] = {PART("dataPoints", 1, summary_point)};
MESSAGE(summary);

static const Field metric_fields[] = {
    FIELD("name", 1, STRING),
    FIELD("description", 2, STRING),
    FIELD("unit", 3, STRING),
    PART("gauge", 5, gauge),
    PART("sum", 7, sum),
    PART("histogram", 9, histogram),
    PART("exponentialHistogram", 10, exponential),
    PART("summary", 11, summary),
};
MESSAGE(metric);

static const Field scope_metrics_fields[] = {PART("scope", 1, scope), PART("metrics", 2, metric),
                                             FIELD("schemaUrl", 3, STRING)};
MESSAGE(scope_metrics);
static const Field resource_metrics_fields[] = {PART("resource", 1, resource),
                                                PART("scopeMetrics", 2, scope_metrics),
                                                FIELD("schemaUrl", 3, STRING)};
MESSAGE(resource_metrics);
static const Field metrics_request_fields[] = {PART("resourceMetrics", 1, resource_metrics)};
MESSAGE(metrics_request);

static const Field record_fields[] = {
    FIELD("timeUnixNano", 1, FIXED64), FIELD("severityNumber", 2, VARINT),
    FIELD("severityText", 3, STRING),  PART("body", 5, any_value),
    PART("attributes", 6, key_value),  FIELD("droppedAttributesCount", 7, VARINT),
    FIELD("flags", 8, FIXED32),        FIELD("traceId", 9, HEX),
    FIELD("spanId", 10, HEX),          FIELD("observedTimeUnixNano", 11, FIXED64),
    FIELD("eventName", 12, STRING),
};
MESSAGE(record);
static const Field scope_logs_fields[] = {PART("scope", 1, scope), PART("logRecords", 2, record),
                                          FIELD("schemaUrl", 3, STRING)};
MESSAGE(scope_logs);
static const Field resource_logs_fields[] = {
    PART("resource", 1, resource), PART("scopeLogs", 2, scope_logs), FIELD("schemaUrl", 3, STRING)};
MESSAGE(resource_logs);
static const Field logs_request_fields[] = {PART("resourceLogs", 1, resource_logs)};
MESSAGE(logs_request);

static const Field event_fields[] = {FIELD("timeUnixNano", 1, FIXED64), FIELD("name", 2, STRING),
                                     PART("attributes", 3, key_value),
                                     FIELD("droppedAttributesCount", 4, VARINT)};
MESSAGE(event);
static const Field link_fields[] = {
    FIELD("traceId", 1, HEX),
    FIELD("spanId", 2, HEX),
    FIELD("traceState", 3, STRING),
    PART("attributes", 4, key_value),
    FIELD("droppedAttributesCount", 5, VARINT),
    FIELD("flags", 6, FIXED32),
};
MESSAGE(link);
static const Field status_fields[] = {FIELD("message", 2, STRING), FIELD("code", 3, VARINT)};
MESSAGE(status);
static const Field span_fields[] = {
    FIELD("traceId", 1, HEX),
    FIELD("spanId", 2, HEX),
    FIELD("traceState", 3, STRING),
    FIELD("parentSpanId", 4, HEX),
    FIELD("name", 5, STRING),
    FIELD("kind", 6, VARINT),
    FIELD("startTimeUnixNano", 7, FIXED64),
    FIELD("endTimeUnixNano", 8, FIXED64),
    PART("attributes", 9, key_value),
    FIELD("droppedAttributesCount", 10, VARINT),
    PART("events", 11, event),
    FIELD("droppedEventsCount", 12, VARINT),
    PART("links", 13, link),
    FIELD("droppedLinksCount", 14, VARINT),
    PART("status", 15, status),
    FIELD("flags", 16, FIXED32),
};
MESSAGE(span);
static const Field scope_spans_fields[] = {PART("scope", 1, scope), PART("spans", 2, span),
                                           FIELD("schemaUrl", 3, STRING)};
MESSAGE(scope_spans);
static const Field resource_spans_fields[] = {PART("resource", 1, resource),
                                              PART("scopeSpans", 2, scope_spans),
                                              FIELD("schemaUrl", 3, STRING)};
MESSAGE(resource_spans);
static const Field traces_request_fields[] = {PART("resourceSpans", 1, resource_spans)};
MESSAGE(traces_request);

/* ---------- values ---------- */

typedef struct Transcode {
    JsonReader reader;
    Arena *arena;
    Buf *out;
} Transcode;

static ErrCode wrong(const Transcode *t, Str name, const char *want, Error *err) {
    return error_set(err, ERR_INVALID, "JSON, at byte %zu: " STR_FMT " must be %s",
                     (size_t)(t->reader.at - t->reader.start), STR_ARG(str_slice(name, 0, 60)),
                     want);
}

static bool is_true_or_false(JsonToken token) {
    return token == JSON_TRUE || token == JSON_FALSE;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool put_hex(Buf *out, uint32_t number, Str text) {
    char bytes[64];

    if (text.len % 2 != 0 || text.len > 2 * sizeof bytes) return false;
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = hex_digit(text.ptr[2 * i]), low = hex_digit(text.ptr[2 * i + 1]);

        if (high < 0 || low < 0) return false;
        bytes[i] = (char)(high << 4 | low);
    }
    wire_put_bytes(out, number, (Str){bytes, text.len / 2});
    return true;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* With or without padding, in either alphabet. */
static bool put_base64(Transcode *t, uint32_t number, Str text) {
    char *bytes = arena_alloc_bytes(t->arena, text.len + 4);
    size_t len = 0;
    uint32_t group = 0;
    unsigned bits = 0;

    if (bytes == NULL) return false;
    while (text.len > 0 && text.ptr[text.len - 1] == '=') text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.ptr[i]);

        if (digit < 0) return false;
        group = group << 6 | (uint32_t)digit;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        bytes[len++] = (char)(group >> bits & 0xff);
    }
    wire_put_bytes(t->out, number, (Str){bytes, len});
    return true;
}

static bool read_double(JsonToken token, Str text, double *out) {
    if (token == JSON_NUMBER) return str_to_double(text, out);
    if (token != JSON_STRING) return false;
    if (str_equal(text, STR("NaN")))
        *out = NAN;
    else if (str_equal(text, STR("Infinity")))
        *out = INFINITY;
    else if (str_equal(text, STR("-Infinity")))
        *out = -INFINITY;
    else
        return str_to_double(text, out);
    return true;
}

/* As text or number; 1e3 and 5.0 are whole numbers, too. */
static bool read_integer(JsonToken token, Str text, uint64_t *out) {
    int64_t i;
    double v;

    if (token != JSON_NUMBER && token != JSON_STRING) return false;
    if (text.len > 0 && text.ptr[0] == '-' && str_to_i64(text, &i)) {
        *out = (uint64_t)i;
        return true;
    }
    if (str_to_u64(text, out)) return true;
    if (!str_to_double(text, &v) || !(v >= -9.2e18 && v <= 9.2e18) || v != trunc(v)) return false;
    *out = (uint64_t)(int64_t)v;
    return true;
}

static ErrCode put_scalar(Transcode *t, const Field *field, JsonToken token, Error *err) {
    Str text = t->reader.text;
    uint64_t integer;
    double number;

    switch (field->kind) {
    case KIND_STRING:
        if (token != JSON_STRING) return wrong(t, field->name, "a text", err);
        wire_put_bytes(t->out, field->number, text);
        return ERR_OK;
    case KIND_HEX:
        if (token != JSON_STRING || !put_hex(t->out, field->number, text))
            return wrong(t, field->name, "a text of hexadecimal digits", err);
        return ERR_OK;
    case KIND_BASE64:
        if (token != JSON_STRING || !put_base64(t, field->number, text))
            return wrong(t, field->name, "a text in base64", err);
        return ERR_OK;
    case KIND_BOOL:
        if (!is_true_or_false(token)) return wrong(t, field->name, "true or false", err);
        wire_put_varint(t->out, field->number, token == JSON_TRUE);
        return ERR_OK;
    case KIND_DOUBLE:
        if (!read_double(token, text, &number)) return wrong(t, field->name, "a number", err);
        wire_put_double(t->out, field->number, number);
        return ERR_OK;
    default:
        break;
    }
    if (!read_integer(token, text, &integer)) return wrong(t, field->name, "a whole number", err);
    if (field->kind == KIND_FIXED64) {
        wire_put_tag(t->out, field->number, WIRE_FIXED64);
        buf_append_u64(t->out, integer);
    } else if (field->kind == KIND_FIXED32) {
        wire_put_tag(t->out, field->number, WIRE_FIXED32);
        buf_append_u32(t->out, (uint32_t)integer);
    } else if (field->kind == KIND_ZIGZAG) {
        wire_put_sint64(t->out, field->number, (int64_t)integer);
    } else {
        wire_put_varint(t->out, field->number, integer);
    }
    return ERR_OK;
}

/* ---------- messages ---------- */

static const Field *find(const Message *message, Str name) {
    for (size_t i = 0; i < message->count; i++)
        if (str_equal(message->fields[i].name, name)) return &message->fields[i];
    return NULL;
}

static ErrCode put_message(Transcode *t, const Message *message, Error *err);

static ErrCode put_value(Transcode *t, const Field *field, JsonToken token, Error *err) {
    size_t start;

    if (token == JSON_NULL) return ERR_OK;
    if (field->kind != KIND_MESSAGE) return put_scalar(t, field, token, err);
    if (token != JSON_OBJECT) return wrong(t, field->name, "an object", err);
    start = wire_begin(t->out, field->number);
    TRY(put_message(t, field->message, err));
    wire_end(t->out, start);
    return ERR_OK;
}

/* The depth of what is sent is bounded by the reader's. */
static ErrCode put_field(Transcode *t, const Field *field, Error *err) {
    JsonToken token = json_next(&t->reader);

    if (token == JSON_ERROR) return json_reader_error(&t->reader, err);
    if (field == NULL)
        return json_skip(&t->reader, token) ? ERR_OK : json_reader_error(&t->reader, err);
    if (token != JSON_ARRAY) return put_value(t, field, token, err);
    for (;;) {
        token = json_next(&t->reader);
        if (token == JSON_ERROR) return json_reader_error(&t->reader, err);
        if (token == JSON_ARRAY_END) return ERR_OK;
        TRY(put_value(t, field, token, err));
    }
}

/* From behind its '{'. */
static ErrCode put_message(Transcode *t, const Message *message, Error *err) {
    for (;;) {
        JsonToken token = json_next(&t->reader);

        if (token == JSON_OBJECT_END) return ERR_OK;
        if (token != JSON_KEY) return json_reader_error(&t->reader, err);
        if (buf_failed(t->out))
            return error_set(err, ERR_LIMIT, "the request is too large once it is decoded");
        TRY(put_field(t, find(message, t->reader.text), err));
    }
}

ErrCode otlp_json_to_wire(OtlpRequest request, Str json, Arena *arena, Buf *out, Error *err) {
    static const Message *const requests[] = {
        [OTLP_METRICS_REQUEST] = &metrics_request_message,
        [OTLP_LOGS_REQUEST] = &logs_request_message,
        [OTLP_TRACES_REQUEST] = &traces_request_message,
    };
    Transcode t = {.reader = json_reader(json, arena), .arena = arena, .out = out};
    JsonToken token = json_next(&t.reader);

    if (token == JSON_ERROR) return json_reader_error(&t.reader, err);
    if (token != JSON_OBJECT) return wrong(&t, STR("the body"), "an object", err);
    TRY(put_message(&t, requests[request], err));
    if (json_next(&t.reader) != JSON_END) return json_reader_error(&t.reader, err);
    if (buf_failed(out))
        return error_set(err, ERR_LIMIT, "the request is too large once it is decoded");
    return ERR_OK;
}
