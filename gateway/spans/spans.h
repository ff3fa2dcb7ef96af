#pragma once
/*
 * spans.h: a batch of spans being put together for a sink, whatever protocol they came in.
 *
 * Spans are slices of what the caller holds; arrays and origins are the arena's.
 */
#include "common/batch/spans.h"
#include "gateway/spans/rejects.h"

typedef struct Spans {
    Arena *arena;
    SpansBatch batch;
    SpanRejects rejects;
    uint64_t seen;     /* spans looked at */
    uint64_t rejected; /* of these, refused here */
    Error first;       /* why the first was */
    Error problem;     /* of the origin begun last, ERR_INVALID: its spans can't be stored */
    uint64_t tenant_hash;
    uint64_t seed;
    size_t item_capacity;
    size_t origin_capacity;
} Spans;

void spans_init(Spans *spans, Str tenant, uint64_t seed, Arena *arena);
/* Where the spans that follow are from: messages Resource and InstrumentationScope, schema URLs.
 * One that can't be stored rejects its spans. ERR_CORRUPT: not protobuf. ERR_LIMIT: the arena. */
MUST_USE ErrCode spans_origin(Spans *spans, Str resource, Str scope, Str resource_schema,
                              Str scope_schema, Error *err);
/* Message Span. What can't be stored is counted. ERR_CORRUPT: not protobuf. ERR_LIMIT: the arena.
 */
MUST_USE ErrCode spans_add(Spans *spans, Str message, Error *err);
/* Counts a span that somebody else found to be none. */
void spans_refuse(Spans *spans, const Error *why);
