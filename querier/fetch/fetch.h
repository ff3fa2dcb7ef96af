#pragma once
/*
 * fetch.h: a tenant's metrics as one SeriesSource: everything the manifest's objects and the
 * ingesters' heads hold, merged, each sample once.
 */
#include "common/block/block.h"
#include "common/block/heads.h"
#include "common/manifest/manifest.h"
#include "querier/exec/series.h"

typedef struct FetchOptions {
    BlockCache *cache; /* all borrowed, and living longer than any query */
    Manifest *manifest;
    HeadReader heads;
} FetchOptions;

/* `tenants`: one, or several for a federated query, whose series get the label __tenant_id__, which
 * matchers may then ask for; a label of that name they had already is original___tenant_id__.
 * `keep_from_ms`: older samples are past the tenants' retention and not shown, compacted away or
 * not; INT64_MIN shows all. Lives in `arena`, as do `stats`, which add up what the query read.
 * NULL: out of budget. */
SeriesSource *fetch_source_new(const FetchOptions *options, const Str *tenants, size_t tenant_count,
                               int64_t keep_from_ms, BlockStats *stats, Arena *arena);
