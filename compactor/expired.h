#pragma once
/*
 * expired.h: blocks of logs of which some streams are past their own retention.
 */
#include "compactor/merge/merge.h"

/* When which block was looked into last; one run at a time. */
typedef struct ExpiredSeen {
    struct {
        uint64_t key;
        int64_t looked_ms;
    } * slots;
    size_t capacity; /* a power of two */
    size_t count;
} ExpiredSeen;
void expired_seen_done(ExpiredSeen *seen);

typedef struct ExpiredLook {
    BlockCache *cache;
    const ManifestSnapshot *snapshot;
    const PlanOptions *options;
    ExpiredSeen *seen;
} ExpiredLook;

/* A plan that writes one block anew without what its streams' rules say is to go. `*ret_failed`:
 * the block whose index could not be read. In `arena`. */
MUST_USE ErrCode expired_next(const ExpiredLook *look, Arena *arena, Plan *out,
                              const ManifestEntry **ret_failed, Error *err);
