#pragma once
/*
 * engine.h: evaluates a parsed TraceQL query over a TraceSource, as Tempo 3 does. Units are read on
 * the query's pool, each table at once: an expression is a column of bytes.
 *
 * Everything that comes out lives in the query's arena and does not depend on the number of
 * threads. ERR_INVALID in Tempo's words: the query; ERR_LIMIT: series, memory; ERR_TIMEOUT,
 * ERR_CANCELLED; errors of the source.
 */
#include "querier/exec/traces.h"
#include "querier/traceql/parser.h"

typedef struct TraceqlLabel {
    Str name;
    TraceqlValue value;
} TraceqlLabel;

/* ---------- search ---------- */

typedef struct TraceqlFoundSpan {
    uint64_t id;
    Str name; /* empty unless the query mentions it */
    int64_t start_ns;
    int64_t duration_ns;
    const TraceqlLabel *attributes;
    size_t attribute_count;
} TraceqlFoundSpan;

typedef struct TraceqlFoundSet {
    const TraceqlFoundSpan *spans; /* at most spans_max */
    size_t count;
    uint32_t matched;               /* all of them */
    const TraceqlLabel *attributes; /* `by(...)`, `count()` */
    size_t attribute_count;
} TraceqlFoundSet;

typedef struct TraceqlService {
    Str name;
    uint32_t spans;
    uint32_t errors;
} TraceqlService;

typedef struct TraceqlFound {
    TraceId id;
    Str root_service; /* `<root span not yet received>` where there is none */
    Str root_name;
    int64_t start_ns; /* of all its spans */
    int64_t end_ns;
    const TraceqlFoundSet *sets; /* at least one */
    size_t set_count;
    const TraceqlService *services; /* by name */
    size_t service_count;
} TraceqlFound;

typedef struct TraceqlSearchParams {
    int64_t start_ns; /* traces that reach into it, both inclusive; INT64_MIN and INT64_MAX: all */
    int64_t end_ns;
    uint32_t limit;          /* traces; 0: all */
    uint32_t spans_max;      /* of a set */
    int64_t duration_min_ns; /* of traces; 0 and INT64_MAX: any */
    int64_t duration_max_ns;
    TraceSource *source;
    QueryContext *query;
    TraceStats *stats; /* borrowed; NULL: nobody wants them */
    /* May be NULL. Traces as they are found: borrowed for the call, some of them maybe not among
     * the newest `limit` in the end; from one thread at a time. */
    void (*found)(void *context, const TraceqlFound *traces, size_t count, size_t units_done,
                  size_t units);
    void *context;
} TraceqlSearchParams;

typedef struct TraceqlSearchResult {
    const TraceqlFound *traces; /* newest first: by start, then id */
    size_t count;
} TraceqlSearchResult;

/* Of a metrics query, what is before its function. */
MUST_USE ErrCode traceql_search(const TraceqlQuery *parsed, const TraceqlSearchParams *params,
                                TraceqlSearchResult *out, Error *err);

/* ---------- metrics ---------- */

typedef struct TraceqlExemplar {
    const TraceqlLabel *labels;
    size_t label_count;
    double value;
    int64_t time_ms;
} TraceqlExemplar;

typedef struct TraceqlSeries {
    const TraceqlLabel *labels;
    size_t label_count;
    double *values; /* of `points`; NaN: none */
    const TraceqlExemplar *exemplars;
    size_t exemplar_count;
} TraceqlSeries;

typedef struct TraceqlMetricsParams {
    int64_t start_ns;
    int64_t end_ns;  /* after start_ns */
    int64_t step_ns; /* 0: an instant query over the whole range */
    uint32_t exemplars;
    uint64_t series_max; /* 0: any number */
    TraceSource *source;
    QueryContext *query;
    TraceStats *stats;
} TraceqlMetricsParams;

typedef struct TraceqlMetricsResult {
    const TraceqlSeries *series; /* by labels; each has a value somewhere */
    size_t count;
    int64_t first_ms; /* of point 0 */
    int64_t step_ms;
    size_t points;
} TraceqlMetricsResult;

enum { TRACEQL_POINTS_MAX = 11000 };

MUST_USE ErrCode traceql_metrics(const TraceqlQuery *parsed, const TraceqlMetricsParams *params,
                                 TraceqlMetricsResult *out, Error *err);

/* ---------- the rest of Tempo's API ---------- */

/* Whether the query is what a trace by its id may be filtered with. ERR_INVALID: not a single
 * filter, or intrinsics of whole traces in it. */
MUST_USE ErrCode traceql_check_trace_filter(const TraceqlQuery *parsed, Arena *arena, Error *err);
/* Which rows of one trace's table (all columns) the filter keeps: keep[row] 0 or 1. Also all
 * ancestors of what matched, with `ancestors`; and its descendants, `depth` levels of them: 0 for
 * none, -1 for all. */
MUST_USE ErrCode traceql_filter_trace(const TraceqlQuery *parsed, const SpanTable *table,
                                      bool ancestors, int64_t depth, QueryContext *query,
                                      uint8_t *keep, Error *err);

typedef struct TraceqlTagsParams {
    const TraceqlQuery *filter; /* a single filter that spans must meet; NULL: all */
    int64_t start_ns;
    int64_t end_ns;
    uint32_t limit; /* distinct values or names; 0: all */
    TraceSource *source;
    QueryContext *query;
    TraceStats *stats;
} TraceqlTagsParams;

/* Names of attributes, by scope, then name. */
MUST_USE ErrCode traceql_tags(const TraceqlTagsParams *params, SpanTag **out, size_t *count,
                              Error *err);
/* Distinct values of an attribute or intrinsic, elements of arrays one by one, sorted. */
MUST_USE ErrCode traceql_tag_values(const TraceqlTagsParams *params,
                                    const TraceqlAttribute *attribute, TraceqlValue **out,
                                    size_t *count, Error *err);
