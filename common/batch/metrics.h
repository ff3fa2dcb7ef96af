#pragma once
/*
 * metrics.h: one decoded and validated write request of a tenant's metrics, between gateway and
 * ingester. Everything points into the request's arena or body and lives until it is answered.
 */
#include "common/batch/histogram.h"
#include "common/batch/labels.h"

typedef struct MetricsSample {
    int64_t time_ms;
    double value;
} MetricsSample;

typedef struct MetricsHistogram {
    int64_t time_ms;
    NativeHistogram *histogram;
} MetricsHistogram;

typedef struct MetricsExemplar {
    int64_t time_ms;
    double value;
    Str labels; /* canonical bytes */
} MetricsExemplar;

/* One series' part of the request; what is its own follows in the batch's arrays. */
typedef struct MetricsRow {
    Hash128 id; /* of tenant and canonical labels: metrics_series_id() */
    Str labels; /* canonical bytes, labels.h */
    uint32_t sample_start, sample_count;
    uint32_t histogram_start, histogram_count;
    uint32_t exemplar_start, exemplar_count;
} MetricsRow;

typedef enum MetricType {
    METRIC_UNKNOWN = 0,
    METRIC_COUNTER = 1,
    METRIC_GAUGE = 2,
    METRIC_HISTOGRAM = 3,
    METRIC_GAUGE_HISTOGRAM = 4,
    METRIC_SUMMARY = 5,
    METRIC_INFO = 6,
    METRIC_STATESET = 7,
} MetricType; /* numbered as remote write 1.0 and 2.0 both do */

const char *metric_type_name(MetricType type); /* "counter": as /api/v1/metadata says it */

typedef struct MetricsMetadata {
    Str metric;
    Str help;
    Str unit;
    MetricType type;
} MetricsMetadata;

typedef struct MetricsBatch {
    Str tenant;
    MetricsRow *rows;
    MetricsSample *samples;
    MetricsHistogram *histograms;
    MetricsExemplar *exemplars;
    MetricsMetadata *metadata;
    size_t row_count;
    size_t sample_count;
    size_t histogram_count;
    size_t exemplar_count;
    size_t metadata_count;
} MetricsBatch;

/* `seed` is the process' own (ingester_series_seed), so that no tenant can prepare collisions. */
static inline Hash128 metrics_series_id(uint64_t tenant_hash, Str labels, uint64_t seed) {
    return hash_bytes_128(labels.ptr, labels.len, seed ^ tenant_hash);
}
