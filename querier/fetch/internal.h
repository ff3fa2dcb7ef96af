#pragma once
/*
 * internal.h: what the files of fetch/ share.
 */
#include "querier/fetch/fetch.h"

typedef struct FetchSource {
    SeriesSource source;
    FetchOptions options;
    const FetchTenant *tenants;
    size_t tenant_count;
    BlockStats *stats;
} FetchSource;

#define TENANT_LABEL STR("__tenant_id__")
/* What a series' own label of that name is called in a federated query. */
#define TENANT_LABEL_OWN STR("original___tenant_id__")

/* A request, with what its matchers say of __tenant_id__ already done where tenants are many. */
typedef struct Federated {
    SelectRequest request;
    const FetchTenant *tenants;
    size_t tenant_count;
} Federated;

/* The request without what the tenant's retention hides. */
SelectRequest fetch_kept(const SelectRequest *request, const FetchTenant *tenant);

MUST_USE ErrCode fetch_federate(const FetchSource *fetch, Arena *arena,
                                const SelectRequest *request, Federated *out, Error *err);

/* The labels that a federated query adds or renames. */
typedef struct TenantLabels {
    Label tenant;
    uint32_t own_name; /* what a series' own label of that name is called */
} TenantLabels;
MUST_USE ErrCode fetch_tenant_labels(QueryContext *query, Str tenant, TenantLabels *out,
                                     Error *err);
/* A selection's dictionary in the query's symbols. */
MUST_USE ErrCode fetch_map_pairs(QueryContext *query, const LabelPair *pairs, size_t count,
                                 Label **out, Error *err);
/* Labels of one series at `out`, with __tenant_id__ put where its name sorts when there are many
 * tenants (federated, else NULL): up to pair_count + 1. Returns how many. */
uint32_t fetch_write_labels(const Symbols *symbols, const Label *map, const uint32_t *pairs,
                            uint32_t pair_count, const TenantLabels *federated, Label *out);

/* What one place (a head generation, a block) holds of a selector, oldest place first. */
typedef struct Part {
    MetricsSelection selection;
    Str tenant;
    int64_t min_ms;                           /* what is older is not to be shown */
    const SelectedExemplar *const *exemplars; /* per series; NULL unless asked for */
    const size_t *exemplar_counts;
} Part;

typedef struct Parts {
    Part *items;
    size_t count;
} Parts;

/* Asks heads first and objects after, so that what is being flushed is in one of them at least. */
MUST_USE ErrCode fetch_parts(FetchSource *fetch, QueryContext *query, const SelectRequest *request,
                             bool exemplars, Parts *out, Error *err);

/* A merged series: its chunks from all parts, the older part's first. */
typedef struct FetchedSeries {
    const ChunkView **chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    int64_t min_ms;      /* what is older is not to be shown */
    uint32_t first_part; /* where exemplars are looked up */
    uint32_t first_index;
} FetchedSeries;

typedef struct FetchedSet {
    LabelSet *labels;
    FetchedSeries *series;
    size_t count;
    int64_t max_ms;
    bool presence_only; /* the request's */
} FetchedSet;

/* Brings the parts' label pairs into the query's symbols and joins equal series. With `mapping`,
 * (*mapping)[part][series] is the merged index. */
MUST_USE ErrCode fetch_merge(FetchSource *fetch, QueryContext *query, const Parts *parts,
                             FetchedSet *out, uint32_t ***mapping, Error *err);

/* SeriesSet.read over a FetchedSet. */
ErrCode fetch_read(const SeriesSet *set, size_t i, SeriesScratch *scratch, SeriesSamples *out,
                   Error *err);
