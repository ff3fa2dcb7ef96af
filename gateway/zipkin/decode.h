#pragma once
/*
 * decode.h: Zipkin's spans into OTLP's. https://zipkin.io/zipkin-api/ (version 2)
 *
 *     json.c        a body taken apart into ZipkinSpans
 *     span.c        a ZipkinSpan as OTLP has it
 *     attributes.c  what exporters of OpenTelemetry put into annotations and tags as JSON
 */
#include "gateway/spans/foreign.h"

typedef struct ZipkinEndpoint {
    Str service; /* empty: not said; likewise the others */
    Str ipv4;
    Str ipv6;
    uint64_t port;
} ZipkinEndpoint;

typedef struct ZipkinAnnotation {
    int64_t time_us;
    Str text;
} ZipkinAnnotation;

typedef struct ZipkinSpan {
    uint64_t trace_high, trace_low;
    uint64_t id;
    uint64_t parent; /* 0: none */
    Str name;
    Str kind;
    int64_t time_us; /* 0: not said */
    int64_t duration_us;
    ZipkinEndpoint local;
    ZipkinEndpoint remote;
    ZipkinAnnotation *annotations; /* in the scratch of Foreign, as the tags are */
    uint32_t annotation_count;
    Tags tags;
} ZipkinSpan;

/* A list of spans. ERR_INVALID: not JSON, or not of spans, and where. ERR_LIMIT: out of memory. A
 * span that is none is counted in `foreign->spans`. */
MUST_USE ErrCode zipkin_decode_json(Foreign *foreign, Str body, Error *err);

/* The span in work, whose tags it takes apart. ERR_LIMIT: out of memory. */
MUST_USE ErrCode zipkin_add(Foreign *foreign, ZipkinSpan *span, Error *err);

/* Up to 32 hexadecimal digits. False: something else. */
MUST_USE bool zipkin_id(Str text, uint64_t *high, uint64_t *low);
/* {"key": value, ...} with texts, numbers, true and false; others are left out. False: it isn't.
 * *code says whether memory ran out. */
MUST_USE bool zipkin_attributes(Foreign *foreign, Str json, Tags *out, ErrCode *code);
/* "name|{attributes}|dropped", or any text. ERR_LIMIT: out of memory. */
MUST_USE ErrCode zipkin_event(Foreign *foreign, const ZipkinAnnotation *annotation, SpanEvent *out,
                              Error *err);
/* "trace|span|state|{attributes}|dropped". *is_one false: it isn't. */
MUST_USE ErrCode zipkin_link(Foreign *foreign, Str text, SpanLink *out, bool *is_one, Error *err);
