#pragma once
/*
 * traces.h: what a trace query reads from. A select gives *units*: tables of whole traces
 * (common/block/spans.h) that are read on their own, by several threads at a time. A trace whose
 * spans lie in several objects or heads is put together by the source and comes once, whole, in one
 * unit; no span comes twice.
 *
 * querier/fetch/ fills this from blocks and heads; tests fill it from literals.
 */
#include "common/block/spans.h"
#include "querier/exec/series.h"

/* What a query read, for its statistics; added up from any thread. */
typedef struct TraceStats {
    _Atomic uint64_t units;
    _Atomic uint64_t pages_skipped;
    _Atomic uint64_t bytes; /* stored, of columns that were decoded */
    _Atomic uint64_t traces;
    _Atomic uint64_t spans;
    _Atomic uint64_t blocks;
} TraceStats;

typedef struct TraceSelect {
    int64_t min_ns; /* traces that reach into [min_ns, max_ns], both inclusive; whole ones come */
    int64_t max_ns;
    SpanNeed need; /* of every unit, as it is opened */
    /* Hints: a trace none of whose spans meets one of these groups need not come. count 0: all. */
    const SpanConditions *any;
    size_t any_count;
    TraceStats *stats; /* borrowed; NULL: nobody wants them */
} TraceSelect;

typedef struct TraceUnit {
    int64_t min_ns;
    int64_t max_ns;
    uint64_t spans; /* about how many */
} TraceUnit;

typedef struct TraceSet TraceSet;
struct TraceSet {
    const TraceUnit *units; /* newest first: by max_ns, descending */
    size_t count;
    /* May be NULL: what will be read soon, so that it is fetched together. */
    ErrCode (*prefetch)(const TraceSet *set, const uint32_t *units, size_t count, Error *err);
    /* Reads unit `unit` into the arena, which the caller may reset when done with the table. Safe
     * from several threads, each with its own arena. */
    ErrCode (*open)(const TraceSet *set, uint32_t unit, Arena *arena, SpanTable *out, Error *err);
    /* More columns of a table that open() gave, with the same arena: for the few units in which
     * something was found. */
    ErrCode (*more)(const TraceSet *set, uint32_t unit, const SpanNeed *need, Arena *arena,
                    SpanTable *table, Error *err);
    void *context;
};

/* One tenant's traces (or several tenants'), whatever they lie in. */
typedef struct TraceSource TraceSource;
struct TraceSource {
    MUST_USE ErrCode (*select)(TraceSource *source, QueryContext *query, const TraceSelect *request,
                               TraceSet *out, Error *err);
    /* One trace, whole, all columns; rows 0: it isn't there. [min_ns, max_ns] limits where it is
     * looked for. In the query's arena. */
    MUST_USE ErrCode (*find)(TraceSource *source, QueryContext *query, const TraceId *trace,
                             int64_t min_ns, int64_t max_ns, TraceStats *stats, SpanTable *out,
                             Error *err);
    /* Distinct names and values without looking at spans where indexes know them. */
    MUST_USE ErrCode (*tags)(TraceSource *source, QueryContext *query, int64_t min_ns,
                             int64_t max_ns, TraceStats *stats, SpanTag **out, size_t *count,
                             Error *err);
    MUST_USE ErrCode (*tag_values)(TraceSource *source, QueryContext *query,
                                   SpanIntrinsic intrinsic, AttributeScope scope, Str key,
                                   int64_t min_ns, int64_t max_ns, TraceStats *stats,
                                   SpanTagValue **out, size_t *count, Error *err);
    void *context;
};
