#pragma once
/*
 * sampler.h: tail sampling, between who flushes traces and who knows a tenant's rules: which traces
 * go to the store, decided when all that a head has of them is there.
 */
#include "common/batch/spans.h"
#include "common/tenant/tenant.h"

typedef struct TraceSampler {
    /* False: all traces are kept. `rules` may be NULL. */
    bool (*any)(const TenantRules *rules);
    /* One trace: its spans, and the origins' bytes that they number. Depends on nothing else, so
     * that a flush that is repeated comes to the same. Without memory it is kept. */
    bool (*keep)(const TenantRules *rules, const SpansItem *spans, size_t count, const Str *origins,
                 Arena *scratch);
} TraceSampler;
