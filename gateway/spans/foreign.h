#pragma once
/*
 * foreign.h: spans of other protocols than OTLP on their way to be OTLP's.
 *
 * Zipkin and Jaeger say with tags what OTLP has fields for. Their decoders collect a span's tags,
 * take out those that have a field, and hand over a Span, which becomes a message of OTLP here.
 * What means what is as in the translators of the OpenTelemetry Collector
 * (pkg/translator/zipkin/zipkinv2 and pkg/translator/jaeger of opentelemetry-collector-contrib),
 * which Tempo takes spans in with.
 *
 * Texts are slices of the body or the request's arena's. One thread.
 */
#include "common/batch/span_wire.h"
#include "gateway/spans/spans.h"

enum {
    FOREIGN_TAGS_MAX = 1 << 17, /* of one span, with those of its events and links */
    FOREIGN_DOUBLES_MAX = 128,  /* past as many tags nobody looks for a key that is there twice */
};

typedef struct Foreign {
    Spans *spans;
    Arena *arena;   /* the request's */
    Arena *scratch; /* of the span in work: foreign_next() empties it */
    Buf message;
    uint32_t tags; /* of the span in work */
    bool begun;
    Str resource, scope; /* messages: of the origin that the last span had */
} Foreign;

/* ERR_LIMIT: out of memory. */
MUST_USE ErrCode foreign_init(Foreign *foreign, Spans *spans, Arena *arena, Error *err);
void foreign_done(Foreign *foreign);

/* The next span begins: nothing in `scratch` lives on. */
void foreign_next(Foreign *foreign);

/* A span's tags, or a process', an event's, a link's. All zero: none. */
typedef struct Tags {
    Attribute *items;
    uint32_t count;
    uint32_t capacity;
    Arena *arena; /* NULL: in `scratch` */
} Tags;

/* Of a key that is there twice the last counts. ERR_INVALID: more than FOREIGN_TAGS_MAX. ERR_LIMIT:
 * out of memory. */
MUST_USE ErrCode tags_add(Foreign *foreign, Tags *tags, const Attribute *tag, Error *err);
MUST_USE ErrCode tags_add_text(Foreign *foreign, Tags *tags, Str key, Str value, Error *err);
MUST_USE ErrCode tags_add_integer(Foreign *foreign, Tags *tags, Str key, int64_t value, Error *err);
/* NULL: there is none. Stays valid until tags are added or taken. */
const Attribute *tags_find(const Tags *tags, Str key);
/* Takes it out. False: there is none. */
bool tags_take(Tags *tags, Str key, Attribute *out);
/* The same where it has to be a text; one that isn't stays, and is none. */
bool tags_take_text(Tags *tags, Str key, Str *out);
static inline Attributes tags_all(const Tags *tags) {
    return (Attributes){tags->items, tags->count, 0};
}

/* The span in work is done. What can't be stored is counted in `spans`. ERR_LIMIT: out of memory.
 */
MUST_USE ErrCode foreign_add(Foreign *foreign, const SpanOrigin *origin, const Span *span,
                             Error *err);

/* Big-endian, as OTLP has them. */
TraceId foreign_trace_id(uint64_t high, uint64_t low);
/* Microseconds after 1970 as nanoseconds; what doesn't fit becomes a time that no span may have. */
int64_t foreign_ns(int64_t us);
/* start + duration, likewise. */
int64_t foreign_end_ns(int64_t start_ns, int64_t duration_ns);
