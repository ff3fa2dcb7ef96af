/*
 * attributes.c: what exporters of OpenTelemetry put into annotations and tags, since Zipkin has no
 * events with attributes and no links.
 */
#include <math.h>

#include "common/base/json_read.h"
#include "gateway/zipkin/decode.h"

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool zipkin_id(Str text, uint64_t *high, uint64_t *low) {
    uint64_t h = 0, l = 0;

    if (text.len == 0 || text.len > 32) return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.ptr[i]);

        if (digit < 0) return false;
        h = h << 4 | l >> 60;
        l = l << 4 | (uint64_t)digit;
    }
    *high = h;
    *low = l;
    return true;
}

static bool read_value(JsonReader *reader, JsonToken token, Attribute *out) {
    int64_t whole;
    double number;

    switch (token) {
    case JSON_STRING:
        out->type = ATTRIBUTE_STRING;
        out->text = reader->text;
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        out->type = ATTRIBUTE_BOOL;
        out->truth = token == JSON_TRUE;
        return true;
    case JSON_NUMBER:
        out->type = ATTRIBUTE_INT;
        if (str_to_i64(reader->text, &whole)) {
            out->integer = whole;
            return true;
        }
        if (!str_to_double(reader->text, &number)) return false;
        if (number == trunc(number) && fabs(number) < 9e18) {
            out->integer = (int64_t)number;
            return true;
        }
        out->type = ATTRIBUTE_DOUBLE;
        out->number = number;
        return true;
    default:
        return false;
    }
}

bool zipkin_attributes(Foreign *foreign, Str json, Tags *out, ErrCode *code) {
    JsonReader reader = json_reader(json, foreign->scratch);
    JsonToken token;
    Error err;

    *code = ERR_OK;
    if (json_next(&reader) != JSON_OBJECT) return false;
    while ((token = json_next(&reader)) == JSON_KEY) {
        Attribute attribute = {.key = reader.text};

        token = json_next(&reader);
        if (read_value(&reader, token, &attribute)) {
            *code = tags_add(foreign, out, &attribute, &err);
            if (*code != ERR_OK) return false;
        } else if (!json_skip(&reader, token)) {
            return false;
        }
    }
    return token == JSON_OBJECT_END && json_next(&reader) == JSON_END;
}

/* "{attributes}|dropped": the last | separates, since attributes may have some of their own. */
static bool read_tail(Foreign *foreign, Str tail, Attributes *out, ErrCode *code) {
    size_t bar = tail.len;
    uint64_t dropped;
    Tags tags = {0};

    *code = ERR_OK;
    while (bar > 0 && tail.ptr[bar - 1] != '|') bar--;
    if (bar == 0 || !str_to_u64(str_from(tail, bar), &dropped) || dropped > UINT32_MAX ||
        !zipkin_attributes(foreign, str_slice(tail, 0, bar - 1), &tags, code))
        return false;
    *out = tags_all(&tags);
    out->dropped = (uint32_t)dropped;
    return true;
}

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the spans of this request");
}

ErrCode zipkin_event(Foreign *foreign, const ZipkinAnnotation *annotation, SpanEvent *out,
                     Error *err) {
    ErrCode code = ERR_OK;
    Str name, tail;

    *out = (SpanEvent){.time_ns = MAX(foreign_ns(annotation->time_us), (int64_t)0),
                       .name = annotation->text};
    if (!str_cut(annotation->text, '|', &name, &tail)) return ERR_OK;
    if (read_tail(foreign, tail, &out->attributes, &code)) out->name = name;
    return code == ERR_LIMIT ? no_memory(err) : ERR_OK;
}

ErrCode zipkin_link(Foreign *foreign, Str text, SpanLink *out, bool *is_one, Error *err) {
    uint64_t high, low, none;
    ErrCode code = ERR_OK;
    Str trace, span, tail;

    *is_one = false;
    *out = (SpanLink){0};
    if (!str_cut(text, '|', &trace, &tail) || !str_cut(tail, '|', &span, &tail) ||
        !str_cut(tail, '|', &out->state, &tail) || !zipkin_id(trace, &high, &low) ||
        !zipkin_id(span, &none, &out->span) || none != 0)
        return ERR_OK;
    out->trace = foreign_trace_id(high, low);
    *is_one = read_tail(foreign, tail, &out->attributes, &code);
    return code == ERR_LIMIT ? no_memory(err) : ERR_OK;
}
