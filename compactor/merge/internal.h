#pragma once
/*
 * internal.h: what the signals' merges share.
 */
#include "compactor/merge/merge.h"

typedef struct Source Source; /* merge.c: one of metrics */

typedef struct Merge {
    const MergeIo *io;
    const MergeJob *job;
    const ManifestEntry *failed; /* the source that could not be read */
    Source *sources;
    size_t count;
    Arena *series; /* reset with each series */
    BlockWriter *writer;
    uint64_t written; /* series, streams, traces */
} Merge;

ErrCode merge_out_of_memory(Error *err);

/* ---- logs.c, traces.c ---- */

/* Open the sources, write the job's logs or traces between begin and end, close them. */
MUST_USE ErrCode merge_logs(Merge *merge, Arena *arena, Error *err);
MUST_USE ErrCode merge_traces(Merge *merge, Arena *arena, Error *err);
