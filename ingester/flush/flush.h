#pragma once
/*
 * flush.h: a frozen generation becomes a segment: encoded, put, committed. Runs on the background
 * pool and may block.
 */
#include "common/manifest/manifest.h"
#include "common/store/store.h"
#include "common/tenant/sampler.h"
#include "ingester/head/generation.h"

typedef struct FlushTarget {
    Store *store;
    Manifest *manifest;
    Budget *background; /* pays for sorting and encoding */
    uint64_t ingester_id;
    const Clock *clock;
    Tenants *tenants;
    const TraceSampler *sampler; /* NULL: all traces are flushed */
} FlushTarget;

/* Once ERR_OK is returned the manifest has it. A repeat, after a crash or a lost answer, finds its
 * own object and is a success. Nothing is left half done on failure that a repeat would not finish.
 */
MUST_USE ErrCode flush_generation(const FlushTarget *target, const Generation *generation,
                                  Error *err);

/* The object's key: made from the log's position alone. `twin` > 0: another name for when that one
 * is taken by different bytes. */
Str flush_key(Arena *arena, uint64_t ingester_id, const Generation *generation, unsigned twin);

/* ---------- flush/segment.c ---------- */

/* Writes all of the generation as one container, but traces that a tenant's rules don't keep. */
MUST_USE ErrCode segment_write(const FlushTarget *target, const Generation *generation,
                               Arena *arena, BlockSink sink, BlockSummary *out, Error *err);
