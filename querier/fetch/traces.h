#pragma once
/*
 * traces.h: what traces.c (select, units), trace_join.c (traces that lie in several places),
 * trace_find.c (one trace) and trace_tags.c (names and values) share. Private to fetch/.
 */
#include "querier/exec/traces.h"
#include "querier/fetch/internal.h"

typedef struct TraceFetch {
    TraceSource source;
    FetchOptions options;
    const FetchTenant *tenants;
    size_t tenant_count;
    BlockStats *stats;
} TraceFetch;

/* One object's part of a tenant. */
typedef struct TracePart {
    const ManifestEntry *entry;
    const Block *block;
    Arena *arena;          /* what a thread read of it */
    SpansSelection all;    /* every page in the range */
    SpansSelection wanted; /* those that may have what is looked for */
    const SpanTracePlace *places;
    size_t place_count;
    ErrCode code;
    Error err;
} TracePart;

/* Hashes of the traces that lie in several places, ascending. */
typedef struct SplitTraces {
    const uint64_t *hashes;
    size_t count;
} SplitTraces;

/* What one tenant has in a range: objects and heads. */
typedef struct TraceParts {
    Str tenant;
    int64_t min_ns; /* both inclusive: the request's, less what retention hides */
    int64_t max_ns;
    TracePart *items;
    size_t count;
    const SpanTable **heads;
    size_t head_count;
    const SplitTraces *split; /* once it was found out */
} TraceParts;

/* A head's table, or a page of an object. */
typedef struct TracePiece {
    const SpanTable *table; /* NULL: a page */
    const SpansSelection *selection;
    const SpanPage *page;
    bool split; /* it has traces that lie elsewhere, too */
} TracePiece;

static inline ErrCode trace_out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT,
                     "the query's memory limit is reached: narrow the query, or raise "
                     "limits.query_bytes_max or memory.limit");
}

static inline void trace_stat(_Atomic uint64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* An arena of its own for a thread, which goes with `owner`. NULL: out of memory. */
Arena *trace_arena(Arena *owner);

/* Heads first, then objects, opened but not read. `trace` NULL: all traces. */
MUST_USE ErrCode trace_parts(TraceFetch *fetch, QueryContext *query, const FetchTenant *tenant,
                             int64_t min_ns, int64_t max_ns, const TraceId *trace, TraceParts *out,
                             Error *err);
/* Runs `run` for each part on the query's pool, and gives the first error. */
MUST_USE ErrCode trace_parts_each(QueryContext *query, TraceParts *parts,
                                  ErrCode (*run)(void *context, TracePart *part, Error *err),
                                  void *context, Error *err);

/* Which traces lie in several of the tenant's places. Nothing is read where there is only one. */
MUST_USE ErrCode trace_split_find(TraceFetch *fetch, QueryContext *query, TraceParts *parts,
                                  SplitTraces *out, Error *err);
bool trace_split_has(const SplitTraces *split, uint64_t hash);
/* Takes split traces out of the table's list, which becomes one in `arena`. */
MUST_USE ErrCode trace_split_out(const SplitTraces *split, Arena *arena, SpanTable *table,
                                 Error *err);
/* The split traces of these pieces, each put together. In the query's arena. */
MUST_USE ErrCode trace_join(QueryContext *query, const SplitTraces *split, const TracePiece *pieces,
                            size_t count, const SpanTable **out, Error *err);

/* TraceSource.find, tags, tag_values. */
ErrCode trace_find(TraceSource *source, QueryContext *query, const TraceId *trace, int64_t min_ns,
                   int64_t max_ns, TraceStats *stats, SpanTable *out, Error *err);
ErrCode trace_tags(TraceSource *source, QueryContext *query, int64_t min_ns, int64_t max_ns,
                   TraceStats *stats, SpanTag **out, size_t *count, Error *err);
ErrCode trace_tag_values(TraceSource *source, QueryContext *query, SpanIntrinsic intrinsic,
                         AttributeScope scope, Str key, int64_t min_ns, int64_t max_ns,
                         TraceStats *stats, SpanTagValue **out, size_t *count, Error *err);
