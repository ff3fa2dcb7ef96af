#pragma once
/*
 * scan.h: reads the units of a select on several threads, newest first.
 */
#include "querier/traceql/engine/eval.h"

typedef struct TraceScan {
    QueryContext *query;
    TraceSet set;
    size_t workers;
    _Atomic size_t next;
    atomic_bool failed;
    /* One unit, in an arena that is reset behind it. *stop: units behind it need not be read. */
    ErrCode (*unit)(void *what, struct TraceScan *scan, uint32_t unit, Arena *arena, bool *stop,
                    Error *err);
    void **what; /* per worker */
    ErrCode *codes;
    Error *errors;
} TraceScan;

/* Selects, and says how many workers there will be: `what` is the caller's to make. */
MUST_USE ErrCode trace_scan_open(TraceScan *scan, TraceSource *source, QueryContext *query,
                                 const TraceSelect *select, Error *err);
MUST_USE ErrCode trace_scan_run(TraceScan *scan, bool prefetch, Error *err);
/* An arena that lives as long as the query's: for what one thread keeps. */
MUST_USE ErrCode trace_scan_arena(QueryContext *query, Arena **out, Error *err);
