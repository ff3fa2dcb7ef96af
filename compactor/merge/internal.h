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
    uint64_t written; /* series, streams */
} Merge;

ErrCode merge_out_of_memory(Error *err);

/* ---- logs.c ---- */

/* Opens the sources, writes the job's logs between begin and end, closes them. */
MUST_USE ErrCode merge_logs(Merge *merge, Arena *arena, Error *err);
