#pragma once
/*
 * range.h: a range query answered from what is kept of it, where that still holds, and evaluated
 * where it doesn't.
 */
#include "querier/cache/results.h"

/* What of a request, besides the expression and its times, decides about its answer. */
typedef struct CachedQuery {
    const Str *tenants;
    size_t tenant_count;
    uint64_t generation;  /* of the tenants' limits */
    int64_t keep_from_ms; /* what is older is past some tenant's retention; INT64_MIN: nothing is */
    int64_t now_ms;
} CachedQuery;

typedef enum CacheUse { CACHE_BYPASS, CACHE_MISS, CACHE_PARTIAL, CACHE_HIT } CacheUse;

typedef struct CacheReport {
    CacheUse use;
    size_t steps; /* that were taken from the cache */
} CacheReport;

/* promql_eval() of a range query (step_ms > 0), with the same answer, annotations and errors.
 * `cache` NULL: evaluates. */
MUST_USE ErrCode range_eval(ResultCache *cache, const CachedQuery *query, PromqlExpr *expr,
                            Str text, const PromqlParams *params, PromqlResult *out,
                            CacheReport *report, Error *err);
