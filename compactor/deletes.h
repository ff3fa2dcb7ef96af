#pragma once
/*
 * deletes.h: what delete requests still ask for when nothing is left to be merged.
 */
#include "compactor/merge/merge.h"
#include "compactor/plan/plan.h"

typedef struct DeletesLook {
    Manifest *manifest;
    BlockCache *cache;
    const ManifestSnapshot *snapshot;
    const PlanOptions *options;
    const LogCutLanguage *language;
    uint64_t heads_cleared; /* asked before the snapshot was taken */
} DeletesLook;

/* A plan that writes one block anew, or, when no object holds anything any more that a request is
 * about, says so of the request in the manifest. `*ret_failed`: the block whose index could not be
 * read. In `arena`. */
MUST_USE ErrCode deletes_next(const DeletesLook *look, Arena *arena, Plan *out,
                              const ManifestEntry **ret_failed, Error *err);
