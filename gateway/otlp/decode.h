#pragma once
/*
 * decode.h: OTLP's export requests, walked where they lie into rows and streams.
 * https://github.com/open-telemetry/opentelemetry-proto: collector/metrics/v1, collector/logs/v1,
 * collector/trace/v1
 *
 * The mapping is that of Prometheus' OTLP endpoint for metrics and of Loki's for logs; spans are
 * kept as they are.
 *
 * `body` is decompressed protobuf and must live as long as what it is decoded into. ERR_CORRUPT: it
 * is not protobuf, and nothing of it may be stored. ERR_LIMIT, ERR_UNAVAILABLE: memory ran out.
 * What is protobuf but not acceptable is left out and counted.
 */
#include "gateway/logs/streams.h"
#include "gateway/metrics/rows.h"
#include "gateway/otlp/settings.h"
#include "gateway/spans/spans.h"

/* What a request loses on the way in: OTLP's partial success. */
typedef struct OtlpOutcome {
    uint64_t points; /* data points, log records or spans looked at */
    uint64_t rejected;
    Error first; /* why the first was */
} OtlpOutcome;

/* ExportMetricsServiceRequest. */
MUST_USE ErrCode otlp_decode_metrics(Rows *rows, const OtlpSettings *settings, Str body,
                                     OtlpOutcome *outcome, Error *err);
/* ExportLogsServiceRequest. A record without a time gets `now_ns`. */
MUST_USE ErrCode otlp_decode_logs(Streams *streams, const OtlpSettings *settings, int64_t now_ns,
                                  Str body, OtlpOutcome *outcome, Error *err);
/* ExportTraceServiceRequest. */
MUST_USE ErrCode otlp_decode_traces(Spans *spans, Str body, OtlpOutcome *outcome, Error *err);
