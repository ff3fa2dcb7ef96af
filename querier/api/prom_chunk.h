#pragma once
/*
 * prom_chunk.h: samples as chunks of Prometheus' TSDB, which remote_read streams.
 * https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/chunks.md
 */
#include "common/base/buf.h"
#include "common/batch/histogram.h"

typedef enum PromChunkType {
    PROM_CHUNK_XOR = 1,
    PROM_CHUNK_HISTOGRAM = 2,
    PROM_CHUNK_FLOAT_HISTOGRAM = 3,
} PromChunkType;

enum { PROM_CHUNK_SAMPLES_MAX = 120 };

/* Appends one chunk of up to PROM_CHUNK_SAMPLES_MAX samples, times ascending; returns how many it
 * holds. `count` is at least 1. */
size_t prom_chunk_floats(const int64_t *times, const double *values, size_t count, Buf *out);
/* The same for native histograms: it ends before one whose buckets lie otherwise, that is of the
 * other type, or before which the counter was reset. */
size_t prom_chunk_histograms(const int64_t *times, const NativeHistogram *const *histograms,
                             size_t count, PromChunkType *type, Buf *out);
