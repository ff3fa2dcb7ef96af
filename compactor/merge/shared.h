#pragma once
/*
 * shared.h: which traces lie in several places: in several objects, or on several pages of one.
 */
#include "common/block/spans.h"
#include "compactor/merge/internal.h"

/* One source's pages. */
typedef struct TracePages {
    SpanCursor *cursor;
    const SpanPage *pages; /* in order of time */
    size_t count;
    bool *shared;  /* by number of page: it has something of a shared trace */
    bool *expired; /* likewise: all of it is past its retention */
} TracePages;

typedef struct TracePart TracePart; /* traces.c */

/* Traces of one hash. */
typedef struct SharedTrace {
    uint64_t hash;
    uint32_t left; /* parts that were not come to yet */
    TracePart *parts;
} SharedTrace;

typedef struct SharedTraces {
    SharedTrace *items; /* by hash */
    size_t count;
    size_t capacity;
} SharedTraces;

/* Goes through all ids of all sources once; sets their `shared`. 24 bytes of `arena` for each
 * shared trace. */
MUST_USE ErrCode shared_traces_find(Merge *merge, TracePages *sources, size_t count, Arena *arena,
                                    SharedTraces *out, Error *err);
/* NULL: it lies in one place. */
SharedTrace *shared_trace_of(const SharedTraces *shared, const TraceId *id);
