#pragma once
/*
 * point.h: one data point of OTLP's metrics, whichever kind it is, as it lies in the request.
 * https://github.com/open-telemetry/opentelemetry-proto: metrics/v1/metrics.proto
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "proto/wire/wire.h"

typedef enum OtlpMetricKind {
    OTLP_GAUGE = 5, /* numbered as the fields of Metric */
    OTLP_SUM = 7,
    OTLP_HISTOGRAM = 9,
    OTLP_EXPONENTIAL = 10,
    OTLP_SUMMARY = 11,
} OtlpMetricKind;

enum { OTLP_DELTA = 1, OTLP_CUMULATIVE = 2 }; /* AggregationTemporality */

/* Bucket counts as sent: one after the other, from index `offset` on. */
typedef struct OtlpBuckets {
    uint64_t *counts;
    uint32_t count;
    int32_t offset;
} OtlpBuckets;

typedef struct OtlpPoint {
    WireReader message;
    uint32_t attributes; /* the number of that field, and of exemplars (0: it has none) */
    uint32_t exemplars;
    uint64_t start_ns, time_ns; /* 0: not said */
    bool no_value;              /* the series ended */
    double value;               /* of gauges and sums */
    uint64_t count;
    double sum;
    bool has_sum;
    OtlpBuckets buckets; /* of OTLP_HISTOGRAM, offset 0 */
    double *bounds;
    uint32_t bound_count;
    int32_t scale; /* of OTLP_EXPONENTIAL */
    uint64_t zero_count;
    OtlpBuckets positive, negative;
} OtlpPoint;

/* Arrays lie in `arena`. ERR_CORRUPT: not protobuf. ERR_INVALID: more buckets than
 * HISTOGRAM_BUCKETS_MAX. ERR_LIMIT: out of memory. */
MUST_USE ErrCode otlp_read_point(OtlpMetricKind kind, WireReader message, Arena *arena,
                                 OtlpPoint *out, Error *err);

/* The next quantile of a summary; `r` begins as point->message. False: not protobuf. */
MUST_USE bool otlp_next_quantile(WireReader *r, double *quantile, double *value, bool *more);
