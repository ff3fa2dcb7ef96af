#pragma once
/*
 * logs.h: what the files of log queries share.
 */
#include <stdatomic.h>

#include "querier/logql/engine/scan.h"

/* An entry that may be in the answer. */
typedef struct LogHit {
    int64_t time_ns;
    uint32_t number; /* of its stream */
    uint32_t unit;   /* in the order of reading */
    uint32_t position;
    Str line;
    LabelPairs stream;
    LabelPairs metadata;
    LabelPairs parsed;
    bool stream_whole; /* `stream` is the scan's, not a copy */
} LogHit;

typedef struct LogHits {
    LogHit *hits; /* in the answer's order */
    size_t count;
} LogHits;

/* What all threads look at. */
typedef struct LogShared {
    const Scan *scan;
    uint32_t *rank; /* of each unit */
    bool backward;
    uint64_t limit; /* 0: none */
    _Atomic int64_t bound_ns;
} LogShared;

/* One thread's. */
typedef struct LogWorker {
    LogShared *shared;
    Arena *arena; /* of the heap */
    Arena *texts; /* of what the hits point to */
    Arena *leftover;
    size_t swept_bytes;
    LogHit *hits; /* a heap with the worst on top once there are `limit` */
    size_t count;
    size_t capacity;
    uint32_t number;
    uint32_t unit;
    uint32_t position;
    LabelPairs stream;
} LogWorker;

/* logs.c: the best entries of a range, at most `limit`; 0: all. They live in the query's arena. */
MUST_USE ErrCode log_select(LogqlEval *eval, const LogqlLog *log, const RowPipeline *pipeline,
                            int64_t min_ns, int64_t max_ns, uint64_t limit, LogHits *out,
                            Error *err);
