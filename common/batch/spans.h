#pragma once
/*
 * spans.h: spans, twice. *Spans in wire form* are one decoded and validated write request of a
 * tenant's traces, between gateway and ingester: each span is its OTLP message as it was sent, and
 * only what places it (its trace, its times, where it is from) was looked at for good. *Span* is
 * the same in full, for who makes columns of spans, gives a trace back, or derives metrics.
 *
 * A span's *origin* is its resource and its instrumentation scope: what a stream's labels are to
 * lines. https://github.com/open-telemetry/opentelemetry-proto: trace/v1/trace.proto
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/hash.h"

typedef struct TraceId {
    uint8_t bytes[16];
} TraceId;

static inline bool trace_id_equal(const TraceId *a, const TraceId *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* ---------- between gateway and ingester ---------- */

/* Where spans are from: one ResourceSpans' resource and one of its ScopeSpans' scope. */
typedef struct SpansOrigin {
    Hash128 id; /* of tenant and bytes: spans_origin_id() */
    Str bytes;  /* origin_wire(); at most SPAN_ORIGIN_BYTES_MAX */
} SpansOrigin;

typedef struct SpansItem {
    TraceId trace;
    int64_t start_ns;
    int64_t end_ns; /* never before start_ns: who decodes sees to it */
    uint32_t origin;
    Str span; /* message Span as it was sent, checked by span_check() */
} SpansItem;

typedef struct SpansBatch {
    Str tenant;
    SpansOrigin *origins; /* an id may be there more than once */
    SpansItem *items;
    size_t origin_count;
    size_t item_count;
    size_t bytes; /* of spans */
} SpansBatch;

enum {
    SPAN_BYTES_MAX = 4 << 20, /* whatever a tenant's limit says */
    SPAN_ORIGIN_BYTES_MAX = 1 << 20,
    SPAN_ATTRIBUTES_MAX = 8192, /* of one span, event, link, resource or scope */
    SPAN_EVENTS_MAX = 16384,    /* of one span; likewise links */
    SPAN_DEPTH_MAX = 32,        /* of arrays and maps within attributes */
};

/* `seed` is the process' own, as for metrics. */
static inline Hash128 spans_origin_id(uint64_t tenant_hash, Str bytes, uint64_t seed) {
    return hash_bytes_128(bytes.ptr, bytes.len, (seed ^ tenant_hash) + 0x3c6ef372fe94f82bu);
}

/* ---------- in full ---------- */

/* Stored in objects: never renumber. */
typedef enum AttributeType {
    ATTRIBUTE_STRING = 1,
    ATTRIBUTE_BOOL = 2,
    ATTRIBUTE_INT = 3,
    ATTRIBUTE_DOUBLE = 4,
    ATTRIBUTE_BYTES = 5,
    ATTRIBUTE_STRINGS = 6, /* arrays whose elements, one or more, are all of one type */
    ATTRIBUTE_BOOLS = 7,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_DOUBLES = 9,
    /* What queries don't see: mixed or empty arrays, maps, values that are not set. Kept and given
     * back as the AnyValue message that it was. */
    ATTRIBUTE_OTHER = 10,
} AttributeType;
enum { ATTRIBUTE_TYPES = 11 };

typedef struct Attribute {
    Str key;
    uint8_t type;   /* AttributeType */
    uint32_t count; /* elements of an array */
    union {
        Str text; /* STRING, BYTES, OTHER */
        bool truth;
        int64_t integer;
        double number;
        const Str *texts; /* STRINGS and so on */
        const bool *truths;
        const int64_t *integers;
        const double *numbers;
    };
} Attribute;

typedef struct Attributes {
    const Attribute *items; /* in order of arrival; a key that is there twice: the first counts */
    uint32_t count;
    uint32_t dropped; /* that the sender left out */
} Attributes;

typedef struct SpanOrigin {
    Attributes resource;
    Str resource_schema; /* URLs */
    Str scope_name;
    Str scope_version;
    Attributes scope;
    Str scope_schema;
    Str service; /* the resource's service.name, if it is text; or empty */
} SpanOrigin;

typedef struct SpanEvent {
    int64_t time_ns;
    Str name;
    Attributes attributes;
} SpanEvent;

typedef struct SpanLink {
    TraceId trace;
    uint64_t span; /* big-endian bytes as a number, as all span ids here */
    Str state;
    uint32_t flags;
    Attributes attributes;
} SpanLink;

typedef enum SpanStatus { SPAN_STATUS_UNSET, SPAN_STATUS_OK, SPAN_STATUS_ERROR } SpanStatus;

typedef struct Span {
    TraceId trace;
    uint64_t id;
    uint64_t parent; /* 0: none */
    int64_t start_ns;
    int64_t end_ns;
    uint8_t kind; /* OTLP's SpanKind: 0 unspecified, internal, server, client, producer, consumer */
    uint8_t status; /* SpanStatus */
    uint32_t flags;
    uint32_t dropped_events;
    uint32_t dropped_links;
    uint32_t event_count;
    uint32_t link_count;
    /* From 1: which of its trace's spans it is in the one request that they all came in. 0: they
     * came in several, or nobody knows. All of a trace's have it or none. */
    uint32_t arrival;
    Str name;
    Str status_message;
    Str state; /* W3C tracestate */
    Attributes attributes;
    const SpanEvent *events;
    const SpanLink *links;
    const SpanOrigin *origin;
} Span;

/* The last 8 bytes of shorter or longer ids. */
static inline uint64_t span_id_of(Str bytes) {
    uint64_t id = 0;

    for (size_t i = bytes.len > 8 ? bytes.len - 8 : 0; i < bytes.len; i++)
        id = id << 8 | (uint8_t)bytes.ptr[i];
    return id;
}
