#pragma once
/*
 * streams.h: a LogsBatch in the making. A protocol's walker opens a stream with its labels, puts
 * entries in, and closes it; what every protocol needs happens here: service_name and
 * detected_level as Loki adds them, the tenant's limits, stream ids, and the count of what was
 * refused.
 *
 *     streams_begin(&streams, pairs, count);
 *     streams_entry(&streams, time_ns, line, metadata, metadata_count);
 *     streams_end(&streams);
 *
 * A bad stream or entry is counted in `rejects` and left out; the rest goes on. Running out of
 * memory is different: it sticks, later calls do nothing, and streams_finish() returns it.
 * Not thread-safe; lines are borrowed, everything else lives in the arena of streams_init().
 */
#include "common/base/arena.h"
#include "common/batch/logs.h"
#include "common/tenant/tenant.h"
#include "gateway/logs/rejects.h"

typedef struct StreamsOptions {
    Str tenant;
    const TenantLimits *limits;
    uint64_t stream_seed; /* LogsSink.stream_seed */
    int64_t now_ns;
} StreamsOptions;

typedef struct Streams {
    Arena *arena;
    StreamsOptions options;
    LogsBatch batch;
    LogRejects rejects;
    int64_t min_ns, max_ns; /* what timestamps are accepted, both inclusive */
    uint64_t seed;
    size_t stream_capacity, entry_capacity;
    /* The stream that is open. */
    size_t entry_start;
    Str labels;
    Str level; /* of the stream's own labels; empty: each entry is asked */
    LogRejectReason refused;
    Error refusal;
    LabelPair *pairs; /* room for one entry's metadata and its level */
    size_t pair_capacity;
    ErrCode failed;
    Error failure;
} Streams;

void streams_init(Streams *streams, const StreamsOptions *options, Arena *arena);

/* Labels in any order, borrowed until streams_end(); the array is reordered. */
void streams_begin(Streams *streams, LabelPair *pairs, size_t count);
/* A stream whose labels the walker could not read: its entries are counted as refused. */
void streams_begin_refused(Streams *streams, LogRejectReason reason, const Error *why);
/* Metadata in any order; of a name that comes twice the last value counts. */
void streams_entry(Streams *streams, int64_t time_ns, Str line, const LabelPair *metadata,
                   size_t count);
void streams_end(Streams *streams);

static inline bool streams_failed(const Streams *streams) {
    return streams->failed != ERR_OK;
}
/* ERR_UNAVAILABLE: memory ran out. The batch itself is streams->batch. */
MUST_USE ErrCode streams_finish(const Streams *streams, Error *err);
