#pragma once
/*
 * fetch.h: a tenant's metrics as one SeriesSource, its logs as one StreamSource, its traces as one
 * TraceSource: everything the manifest's objects and the ingesters' heads hold, merged, each sample
 * and entry once.
 */
#include "common/block/block.h"
#include "common/block/heads.h"
#include "common/manifest/manifest.h"
#include "common/tenant/log_cuts.h"
#include "common/tenant/stream_retention.h"
#include "querier/exec/series.h"
#include "querier/exec/streams.h"
#include "querier/exec/traces.h"

typedef struct FetchOptions {
    BlockCache *cache; /* all borrowed, and living longer than any query */
    Manifest *manifest;
    HeadReader heads;
    LogHeadReader log_heads;        /* select NULL: there are none */
    SpanHeadReader span_heads;      /* likewise */
    const LogCutLanguage *language; /* of delete requests; NULL: they hide nothing */
    bool plain; /* every line is put together and left to the query: what tests compare with */
} FetchOptions;

typedef struct FetchTenant {
    Str name;
    int64_t keep_from_ms; /* what is older is past its retention, and not shown, compacted away or
                           * not; INT64_MIN: shows all */
    bool deletes_off;     /* delete requests hide nothing */
    /* Of logs: streams that a rule is about are kept so long instead, as of now; NULL: no rules. */
    const StreamRetentions *log_streams;
    int64_t retention_ms; /* of the other streams; 0: for good */
    int64_t now_ms;
} FetchTenant;

/* `tenants`: one, or several for a federated query, whose series get the label __tenant_id__, which
 * matchers may then ask for; a label of that name they had already is original___tenant_id__.
 * Lives in `arena`, as do `stats`, which add up what the query read. NULL: out of budget. */
SeriesSource *fetch_source_new(const FetchOptions *options, const FetchTenant *tenants,
                               size_t tenant_count, BlockStats *stats, Arena *arena);

/* The same for logs. */
StreamSource *fetch_streams_new(const FetchOptions *options, const FetchTenant *tenants,
                                size_t tenant_count, BlockStats *stats, Arena *arena);

/* The same for traces. Those of several tenants come as they are. */
TraceSource *fetch_traces_new(const FetchOptions *options, const FetchTenant *tenants,
                              size_t tenant_count, BlockStats *stats, Arena *arena);
