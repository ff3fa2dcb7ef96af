#pragma once
/*
 * merge.h: writes one block from several objects' parts of a tenant and signal, each sample once.
 */
#include "compactor/plan/plan.h"

/* Uploads `key`. *ret_empty: nothing was left to keep, and no object was made. *out's parts live in
 * `arena`. Holds a few pages of each source and the new block's index at a time. */
MUST_USE ErrCode merge_run(Store *store, BlockCache *cache, const MergeJob *job, Str key,
                           int64_t created_ms, Arena *arena, ManifestEntry *out, bool *ret_empty,
                           Error *err);
