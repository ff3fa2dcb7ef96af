#pragma once
/*
 * selection.h: what heads and blocks hand to a query: series with their still encoded chunks.
 *
 * A selection points into memory that a pin keeps alive (a head generation, cached pages); the pins
 * are released by the arena's cleanups.
 */
#include "common/batch/histogram.h"
#include "common/batch/labels.h"

/* The instants of one or many chunks. Chunks that share a column share the pointer. */
typedef struct TimesColumn {
    Str bytes; /* encoded: times_decode() */
    int64_t min_ms;
    int64_t max_ms;
    uint32_t count;
    uint64_t id; /* unique in this process among all blocks in use; never 0 */
} TimesColumn;

typedef enum ChunkKind {
    CHUNK_STREAM = 1,     /* a head's own byte stream: floats and histograms, times within */
    CHUNK_FLOATS = 2,     /* a block's value column beside a TimesColumn */
    CHUNK_HISTOGRAMS = 3, /* a block's native histograms beside a TimesColumn */
} ChunkKind;

typedef struct ChunkView {
    const TimesColumn *times; /* NULL for CHUNK_STREAM */
    Str bytes;
    int64_t min_ms;
    int64_t max_ms;
    uint32_t count;
    uint8_t kind;  /* ChunkKind */
    bool in_order; /* times strictly ascend (always so in blocks) */
} ChunkView;

typedef struct SelectedSeries {
    const uint32_t *pairs; /* indices into the selection's pairs, in order of label names */
    const ChunkView *chunks;
    uint32_t pair_count;
    uint32_t chunk_count; /* in order of time in blocks; of arrival in heads */
} SelectedSeries;

typedef struct SelectedExemplar {
    int64_t time_ms;
    double value;
    Str labels; /* canonical bytes, labels.h */
} SelectedExemplar;

typedef struct MetricsSelection {
    const LabelPair *pairs; /* the source's dictionary of (name, value) */
    size_t pair_count;
    const SelectedSeries *series;
    size_t series_count;
} MetricsSelection;

typedef struct MetadataItem {
    Str metric;
    Str help;
    Str unit;
    uint32_t type; /* MetricType */
} MetadataItem;

/* A decoded chunk, sorted by time with no instant twice (the sample that came first wins). */
typedef struct ChunkSamples {
    const int64_t *times;
    const double *values;
    size_t count;
    const int64_t *histogram_times;
    const NativeHistogram *const *histograms;
    size_t histogram_count;
} ChunkSamples;
