#pragma once
/*
 * sink.h: where a decoded batch goes: what the gateway writes to and an ingester, near or far,
 * implements. The two roles know each other only through this.
 */
#include "common/batch/logs.h"
#include "common/batch/metrics.h"
#include "common/batch/spans.h"

typedef struct AppendResult {
    ErrCode code;     /* ERR_OK: everything not counted below is durable and visible to queries.
                       * ERR_UNAVAILABLE, ERR_LIMIT (memory): nothing was kept; try again later. */
    uint64_t samples; /* kept, exact doubles of a stored sample included */
    uint64_t histograms;
    uint64_t exemplars;
    uint64_t entries;    /* of logs; doubles of stored ones included */
    uint64_t spans;      /* likewise */
    uint64_t conflicts;  /* same series and time as the newest sample, another value: dropped */
    uint64_t over_limit; /* samples (entries) of new series (streams) past the tenant's
                          * series_max (streams_max), spans of traces past trace_spans_max or
                          * trace_bytes_max: dropped */
    Error first;         /* why: of the first dropped item, or of the failure */
} AppendResult;

typedef void (*AppendDone)(void *context, const AppendResult *result);

typedef struct MetricsSink MetricsSink;
struct MetricsSink {
    /* Returns at once. `batch` stays the caller's and unchanged until done(context, result) was
     * called, once, on a thread of the sink's (maybe before append() returned); it must not block.
     */
    void (*append)(MetricsSink *sink, const MetricsBatch *batch, AppendDone done, void *context);
    uint64_t series_seed; /* for metrics_series_id() */
};

typedef struct LogsSink LogsSink;
struct LogsSink {
    /* As MetricsSink's. */
    void (*append)(LogsSink *sink, const LogsBatch *batch, AppendDone done, void *context);
    uint64_t stream_seed; /* for logs_stream_id() */
};

typedef struct SpansSink SpansSink;
struct SpansSink {
    /* As MetricsSink's. */
    void (*append)(SpansSink *sink, const SpansBatch *batch, AppendDone done, void *context);
    uint64_t origin_seed; /* for spans_origin_id() */
};
