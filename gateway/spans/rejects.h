#pragma once
/*
 * rejects.h: what a write of spans loses on the way in, and why: counted by reason for the tenant's
 * telemetry.
 */
#include "common/base/error.h"
#include "common/base/str.h"

#define SPAN_REJECT_REASONS(X)                                                                     \
    X(INVALID, "invalid")                                                                          \
    X(TRACE_LIMIT, "trace_limit")                                                                  \
    X(RATE_LIMITED, "rate_limited")

typedef enum SpanRejectReason {
#define X(name, label) SPAN_REJECT_##name,
    SPAN_REJECT_REASONS(X)
#undef X
        SPAN_REJECT_COUNT
} SpanRejectReason;

typedef struct SpanRejects {
    uint64_t by_reason[SPAN_REJECT_COUNT]; /* spans */
} SpanRejects;

/* Counts into moraine_gateway_spans_total{tenant}, moraine_gateway_span_bytes_total{tenant} and
 * moraine_gateway_rejected_spans_total{tenant,reason}. */
void span_rejects_report(const SpanRejects *rejects, Str tenant, uint64_t spans, uint64_t bytes);
