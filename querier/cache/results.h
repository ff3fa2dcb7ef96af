#pragma once
/*
 * results.h: answers to range queries, kept by query and tenants, within a budget: the least
 * recently used go first, of a tenant that holds more than half of it before others'.
 *
 * A key's answers are a few extents: steps that follow each other, all evaluated when `mark` of the
 * Changes was seen or later. When one is asked for, what was written since decides which of its
 * steps still hold, and the others are forgotten for good. So what is returned is what an
 * evaluation that begins now would give.
 *
 * Thread-safe; one lock, never held while anything is evaluated or copied.
 */
#include "common/batch/changes.h"
#include "querier/cache/extent.h"
#include "querier/cache/window.h"

typedef struct ResultCache ResultCache;

typedef struct ResultCacheOptions {
    size_t bytes_max;   /* 0: nothing is kept */
    Budget *parent;     /* borrowed; NULL: none */
    Changes *changes;   /* borrowed */
    int64_t min_age_ms; /* steps younger than this are not kept: much is still written there */
} ResultCacheOptions;

/* NULL: out of memory. */
ResultCache *result_cache_new(const ResultCacheOptions *options);
void result_cache_free(ResultCache *cache); /* no extent may be in use; NULL is fine */
DEFINE_CLEANUP(ResultCache, result_cache_free)

/* What is asked: all of it but start and end. */
typedef struct ResultKey {
    Str text; /* everything that the answer depends on, in any form */
    uint64_t hash;
    const Str *tenants;
    size_t tenant_count;
    int64_t step_ms;
    ResultWindow window;
} ResultKey;

/* Steps of an extent that may be used, pinned. */
typedef struct CachedSteps {
    Extent *extent; /* NULL: nothing is known; else the caller's reference */
    size_t from;    /* steps [from, from + steps) of the extent ... */
    size_t steps;
    int64_t first_ms; /* ... the first of which is at this time */
} CachedSteps;

/* The most steps in a row within [first, last] that hold as of `mark` or later. */
CachedSteps result_cache_get(ResultCache *cache, const ResultKey *key, uint64_t mark,
                             int64_t first_ms, int64_t last_ms);
/* Keeps these, which were evaluated after `mark` was seen. What there is no room or memory for is
 * not kept. `scratch` is used meanwhile. */
void result_cache_put(ResultCache *cache, const ResultKey *key, uint64_t mark,
                      const ResultSteps *steps, Arena *scratch);
/* Forgets the key. */
void result_cache_drop(ResultCache *cache, const ResultKey *key);

int64_t result_cache_min_age_ms(const ResultCache *cache);
Changes *result_cache_changes(const ResultCache *cache);
/* Held now, of answers and of the table of them. */
size_t result_cache_bytes(const ResultCache *cache);
