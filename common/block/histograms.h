#pragma once
/*
 * histograms.h: the codec of native histograms: runs of one layout, and within a run each of sum,
 * count, zero count and every bucket as a column of its own. Byte by byte: docs/FORMATS.md.
 */
#include "common/base/buf.h"
#include "common/batch/histogram.h"
#include "common/block/floats.h"

/* How many of h[0..count) go into one chunk, so that a chunk stays far below a page's limit. */
size_t histograms_per_chunk(const NativeHistogram *const *h, size_t count);

/* Encodes what histograms_per_chunk() said. */
void histograms_encode(const NativeHistogram *const *h, size_t count, Buf *out);
