#pragma once
/*
 * stream.h: how a head holds a series' samples: one append-only string of bytes, cheap to add to
 * and any timestamp welcome. Blocks hold columns instead (docs/FORMATS.md); a flush decodes this
 * and encodes that.
 *
 * Each sample begins with a control byte that says how the time follows from the ones before
 * (regular spacing costs nothing more) and how the value follows from the last (same, integer
 * difference, or XOR with leading zero bytes left out). All values come back bit for bit.
 */
#include "common/base/arena.h"
#include "common/batch/metrics.h"
#include "common/block/selection.h"

enum { STREAM_SAMPLE_BYTES_MAX = 19 }; /* control byte, time, value */

/* What the next append follows from. Zeroed at the start of a stream. */
typedef struct StreamState {
    int64_t time_ms;
    int64_t delta_ms;
    double value;
    uint32_t count;
    bool in_order; /* set by the first append; false once a time did not ascend */
} StreamState;

/* Writes one sample at `out`, which has room for STREAM_SAMPLE_BYTES_MAX and may be scribbled on up
 * to there; returns the sample's bytes. */
size_t stream_append(StreamState *state, uint8_t *out, int64_t time_ms, double value);
/* The most bytes a histogram can take, and its append; the state's `value` is left alone. */
size_t stream_histogram_bytes_max(const NativeHistogram *h);
size_t stream_append_histogram(StreamState *state, uint8_t *out, int64_t time_ms,
                               const NativeHistogram *h);

/* Decodes a CHUNK_STREAM: sorts and drops doubles when it isn't in order. ERR_CORRUPT: the bytes do
 * not hold `count` samples. Everything in `arena`. */
MUST_USE ErrCode stream_decode(const ChunkView *chunk, Arena *arena, ChunkSamples *out, Error *err);
/* The usual ones, without a copy: into arrays with room for chunk->count. False: there are
 * histograms, times that don't ascend, or damage, and stream_decode() tells; what is in the arrays
 * then means nothing. */
MUST_USE bool stream_decode_floats(const ChunkView *chunk, int64_t *times, double *values);
