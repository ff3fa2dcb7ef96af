#pragma once
/*
 * heads.h: what a querier asks of ingesters, near or far: the data that no object holds yet.
 *
 * Results live in `arena`, which also keeps alive what they point to. Calls block and are safe from
 * any thread. To miss nothing, ask heads first and take the manifest's snapshot after.
 */
#include "common/batch/matcher.h"
#include "common/block/logs.h"
#include "common/block/selection.h"
#include "common/block/spans.h"

/* Exemplars of one selected series, by time of arrival. */
typedef struct HeadExemplars {
    const SelectedExemplar *items;
    size_t count;
} HeadExemplars;

typedef struct HeadSelect {
    Str tenant;
    const Matcher *matchers;
    size_t matcher_count;
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
    bool labels_only;
    bool newest_only; /* of each series only the newest sample matters; more may come */
} HeadSelect;

typedef struct HeadReader {
    /* One selection a lane and head generation, oldest first. */
    ErrCode (*select)(void *context, const HeadSelect *select, Arena *arena, MetricsSelection **out,
                      size_t *count, Error *err);
    /* (*exemplars)[s][i] belong to (*out)[s].series[i]. */
    ErrCode (*exemplars)(void *context, const HeadSelect *select, Arena *arena,
                         MetricsSelection **out, HeadExemplars ***exemplars, size_t *count,
                         Error *err);
    /* Label names (`name` empty) or values of one label, sorted, each once. */
    ErrCode (*labels)(void *context, Str tenant, Str name, Arena *arena, Str **out, size_t *count,
                      Error *err);
    ErrCode (*metadata)(void *context, Str tenant, Arena *arena, MetadataItem **out, size_t *count,
                        Error *err);
    void *context;
} HeadReader;

/* The same for logs; `filter` of the select may be ignored. */
typedef struct LogHeadReader {
    /* One selection a lane and head generation, oldest first. A stream may have several pages; they
     * overlap. */
    ErrCode (*select)(void *context, const LogSelect *select, Arena *arena, LogsSelection **out,
                      size_t *count, Error *err);
    ErrCode (*labels)(void *context, Str tenant, Str name, Arena *arena, Str **out, size_t *count,
                      Error *err);
    void *context;
} LogHeadReader;

/* Traces. Heads keep spans as they were sent, and make tables of them when they are asked to. */
typedef struct SpanHeadSelect {
    Str tenant;
    int64_t min_ns; /* both inclusive: traces that reach into it */
    int64_t max_ns;
    const TraceId *trace; /* only this one; NULL: all */
} SpanHeadSelect;

typedef struct SpanHeadReader {
    /* Tables of all columns, kept alive by the arena; a trace is in one table of a lane and head
     * generation, whole as far as that has it. Traces outside of the range may be among them. */
    ErrCode (*select)(void *context, const SpanHeadSelect *select, Arena *arena,
                      const SpanTable ***out, size_t *count, Error *err);
    void *context;
} SpanHeadReader;
