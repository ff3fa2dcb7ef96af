#pragma once
/*
 * sink.h: where a decoded batch goes: what the gateway writes to and an ingester, near or far,
 * implements. The two roles know each other only through this.
 */
#include "common/batch/metrics.h"

typedef struct AppendResult {
    ErrCode code;     /* ERR_OK: everything not counted below is durable and visible to queries.
                       * ERR_UNAVAILABLE, ERR_LIMIT (memory): nothing was kept; try again later. */
    uint64_t samples; /* kept, exact doubles of a stored sample included */
    uint64_t histograms;
    uint64_t exemplars;
    uint64_t conflicts;  /* same series and time as the newest sample, another value: dropped */
    uint64_t over_limit; /* samples of new series past the tenant's series_max: dropped */
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
