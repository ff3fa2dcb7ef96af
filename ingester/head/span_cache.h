#pragma once
/*
 * span_cache.h: tables of a head's traces, kept from query to query. Traces are grouped in the
 * order in which they came, and most of them soon get no more spans: a group whose spans are as
 * many as when its tables were made is as it was then. From any thread.
 */
#include "common/base/arena.h"
#include "common/block/spans.h"

enum { SPAN_GROUP_TRACES = 512 };

typedef struct SpanGroup {
    _Atomic uint32_t references;
    Arena *arena; /* of everything in it */
    const SpanTable **tables;
    size_t count;
    uint64_t spans; /* that the group had */
} SpanGroup;

/* An empty one, with one reference. NULL: out of memory. */
SpanGroup *span_group_new(Budget *budget);
void span_group_unref(SpanGroup *group); /* NULL is fine */

typedef struct SpanCache SpanCache;

SpanCache *span_cache_new(void);        /* NULL: out of memory */
void span_cache_free(SpanCache *cache); /* NULL is fine */
/* With a reference. NULL: it isn't there, or had another number of spans. */
SpanGroup *span_cache_get(SpanCache *cache, uint32_t tenant, uint32_t number, uint64_t spans);
/* Keeps the group, with a reference of its own, unless a newer one is there. */
void span_cache_put(SpanCache *cache, uint32_t tenant, uint32_t number, SpanGroup *group);
