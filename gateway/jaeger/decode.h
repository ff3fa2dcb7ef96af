#pragma once
/*
 * decode.h: Jaeger's spans into OTLP's.
 *
 *     thrift.c  a Batch of jaeger.thrift in Thrift's binary protocol, as clients post it
 *     proto.c   jaeger.api_v2.PostSpansRequest, as agents and collectors call it
 *     span.c    a JaegerSpan as OTLP has it
 *
 * https://github.com/jaegertracing/jaeger-idl: thrift/jaeger.thrift, proto/api_v2/model.proto
 */
#include "gateway/spans/foreign.h"

typedef enum JaegerRefType { JAEGER_CHILD_OF, JAEGER_FOLLOWS_FROM } JaegerRefType;

typedef struct JaegerRef {
    uint64_t trace_high, trace_low;
    uint64_t span;
    JaegerRefType type;
} JaegerRef;

typedef struct JaegerLog {
    int64_t time_ns;
    Tags fields;
} JaegerLog;

/* Arrays are in the scratch of Foreign. */
typedef struct JaegerSpan {
    uint64_t trace_high, trace_low;
    uint64_t id;
    uint64_t parent; /* 0: what the references say */
    Str name;
    int64_t start_ns; /* below 0: a time that no span can have */
    int64_t duration_ns;
    Tags tags;
    JaegerRef *refs;
    JaegerLog *logs;
    uint32_t ref_count, ref_capacity;
    uint32_t log_count, log_capacity;
} JaegerSpan;

/* The next one of `span->refs` or `span->logs`, all zero. ERR_INVALID: more than a span may have.
 * ERR_LIMIT: out of memory. */
MUST_USE ErrCode jaeger_add_ref(Foreign *foreign, JaegerSpan *span, JaegerRef **out, Error *err);
MUST_USE ErrCode jaeger_add_log(Foreign *foreign, JaegerSpan *span, JaegerLog **out, Error *err);

/* What a process says of the spans that it sent: its tags and its name, as a resource. */
MUST_USE ErrCode jaeger_resource(Foreign *foreign, Str service, Tags *tags, Error *err);
/* The span in work, whose tags it takes apart. ERR_LIMIT: out of memory. */
MUST_USE ErrCode jaeger_add(Foreign *foreign, const Tags *resource, JaegerSpan *span, Error *err);

/* Bodies. ERR_CORRUPT: not what it should be; nothing of it may be stored. ERR_LIMIT: out of
 * memory. Spans that are none are counted in `foreign->spans`. */
MUST_USE ErrCode jaeger_decode_thrift(Foreign *foreign, Str body, Error *err);
MUST_USE ErrCode jaeger_decode_proto(Foreign *foreign, Str body, Error *err);
