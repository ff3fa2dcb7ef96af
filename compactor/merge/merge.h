#pragma once
/*
 * merge.h: writes one block from several objects' parts of a tenant and signal, each sample once.
 */
#include "common/tenant/log_cuts.h"
#include "compactor/plan/plan.h"

typedef struct MergeIo {
    Store *from;       /* sources: the store, or one that holds some of its objects in memory */
    BlockCache *cache; /* of `from` */
    Store *to;
    const LogCutLanguage *language;   /* of delete requests; NULL: none is carried out */
    const ManifestSnapshot *snapshot; /* with the requests */
    uint64_t *cut_entries;            /* grows by how many requests took out; may be NULL */
    /* Traces that wait for parts of theirs; more is written in parts. 0: MERGE_WAITING_BYTES. */
    size_t waiting_bytes_max;
} MergeIo;

enum { MERGE_WAITING_BYTES = 64 << 20 };

/* Uploads `key`. *ret_empty: nothing was left to keep, and no object was made. *out's parts live in
 * `arena`. Holds a few pages of each source and the new block's index at a time. After a failure
 * *ret_failed is the source that could not be read, or NULL when that wasn't why. */
MUST_USE ErrCode merge_run(const MergeIo *io, const MergeJob *job, Str key, Arena *arena,
                           ManifestEntry *out, bool *ret_empty, const ManifestEntry **ret_failed,
                           Error *err);

/* ---- near.c ---- */

/* A store that only reads, and has what fits into `bytes_max` of these objects in memory, each
 * fetched with one GET: a segment of a thousand tenants is read a thousand times. `far` is borrowed
 * and must outlive it; the bytes are in `arena`, as is the Store (no store_free()). */
MUST_USE ErrCode near_store(Store *far, const ManifestEntry *const *entries, size_t count,
                            uint64_t bytes_max, Arena *arena, Store **out, Error *err);
