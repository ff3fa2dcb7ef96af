#pragma once
/*
 * span_wire.h: spans and their origins between protobuf and Span (spans.h).
 *
 * Texts are slices of the message; arrays are the arena's.
 */
#include "common/base/buf.h"
#include "common/batch/spans.h"

/* What placing a span takes, read in one walk that looks at everything: what span_check() lets
 * pass, span_decode() decodes. */
typedef struct SpanPlace {
    TraceId trace;
    uint64_t id;
    uint64_t parent;
    int64_t start_ns;
    int64_t end_ns;             /* start_ns when it is before it */
    uint32_t attributes;        /* with those of events and links */
    size_t attribute_bytes_max; /* of the largest value */
    uint8_t kind;
    uint8_t status;
    Str name;
} SpanPlace;

/* Message Span. ERR_CORRUPT: not protobuf. ERR_INVALID says what OTLP doesn't allow (ids of wrong
 * lengths or all zero; times past 2262) or which of the limits in spans.h it is past. Ids: trace 16
 * bytes, span 8, parent 8 or none. */
MUST_USE ErrCode span_check(Str message, SpanPlace *out, Error *err);

/* A message that was checked. `origin` is put into it. ERR_LIMIT: the arena is used up. ERR_CORRUPT
 * for what wasn't checked after all. */
MUST_USE ErrCode span_decode(Str message, const SpanOrigin *origin, Arena *arena, Span *out,
                             Error *err);
/* Appends the message. False: `out` is full. */
MUST_USE bool span_encode(const Span *span, Buf *out);

/* An origin's bytes: u32 length and message Resource, u32 length and message InstrumentationScope,
 * u32 length and schema URL of either: little endian, in this order. Equal origins have equal bytes
 * only as far as senders send them so. */
MUST_USE ErrCode origin_wire(Str resource, Str scope, Str resource_schema, Str scope_schema,
                             Arena *arena, Str *out, Error *err);
enum { ORIGIN_PARTS = 4 };
/* False: they aren't an origin's bytes. */
MUST_USE bool origin_parts(Str bytes, Str parts[ORIGIN_PARTS]);
/* ERR_INVALID, ERR_CORRUPT as span_check(). */
MUST_USE ErrCode origin_check(Str bytes, Error *err);
MUST_USE ErrCode origin_decode(Str bytes, Arena *arena, SpanOrigin *out, Error *err);
/* Appends message Resource and message InstrumentationScope. */
MUST_USE bool origin_encode_resource(const SpanOrigin *origin, Buf *out);
MUST_USE bool origin_encode_scope(const SpanOrigin *origin, Buf *out);
/* Appends repeated KeyValue with field number `field`; one AnyValue message. */
MUST_USE bool attributes_encode(const Attributes *attributes, uint32_t field, Buf *out);
MUST_USE bool attribute_value_encode(const Attribute *attribute, Buf *out);
