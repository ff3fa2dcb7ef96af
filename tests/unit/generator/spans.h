#pragma once
/*
 * spans.h: batches of spans for tests of the gateway, from literals.
 */
#include "common/batch/span_wire.h"
#include "common/batch/spans.h"

typedef struct TestSpan {
    uint8_t trace; /* the last byte of its id; the others are 7 */
    uint64_t id;
    uint64_t parent;
    const char *service; /* NULL: it says none */
    const char *name;
    int kind; /* OTLP's */
    int status;
    int64_t start_ms;
    int64_t end_ms;
    const char *attributes; /* "key=value,key=value" of the span; NULL: none */
    const char *resource;   /* likewise of its resource, beside service.name */
} TestSpan;

enum { INTERNAL = 1, SERVER = 2, CLIENT = 3, PRODUCER = 4, CONSUMER = 5, FAILED = 2 };

/* Each span with an origin of its own. In `arena`. */
SpansBatch test_batch(Arena *arena, const char *tenant, const TestSpan *spans, size_t count);
