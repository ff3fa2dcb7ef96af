#pragma once
/*
 * manifest.h: what exists. Queries never LIST: they ask a snapshot, which is the newest checkpoint
 * plus all deltas since.
 *
 *     <prefix>/manifest/delta-<20 digits>       one commit: objects added and removed
 *     <prefix>/manifest/checkpoint-<20 digits>  everything up to that delta
 *     <prefix>/manifest/current                 names the newest checkpoint, changed by if-match
 *
 * Deltas are created with if-absent, so two writers cannot commit the same number; who loses reads
 * what was committed and tries the next. On a store without conditional PUT deltas have unique
 * names and a refresh LISTs; one store must not be used both ways at the same time, one after the
 * other is fine. Thread-safe; calls that change or refresh block.
 */
#include "common/block/block.h"
#include "common/store/store.h"

typedef struct Manifest Manifest;

typedef struct ManifestEntry {
    Str key;
    uint64_t size;
    uint64_t checksum; /* BlockSummary's */
    uint32_t level;    /* 0: a segment of many tenants */
    int64_t created_ms;
    const BlockPart *parts;
    size_t part_count;
} ManifestEntry;

typedef struct ManifestChange {
    const ManifestEntry *add;
    size_t add_count;
    const Str *remove; /* keys */
    size_t remove_count;
} ManifestChange;

/* Reads what is there; an empty store is fine. ERR_CORRUPT names the object. */
MUST_USE ErrCode manifest_open(Store *store, const Clock *clock, Manifest **out, Error *err);
void manifest_free(Manifest *manifest);
DEFINE_CLEANUP(Manifest, manifest_free)

/* All of it or nothing. Adding a key that is there with the same checksum is a success (a flush
 * repeated after a crash), also when that key was removed since: `*ret_known` (may be NULL) says
 * so. With another checksum, or removing a key that isn't there: ERR_EXISTS, nothing changed
 * (somebody else merged it). ERR_UNAVAILABLE, ERR_TIMEOUT: it may have happened; repeating it tells
 * (a change that only removes may then meet itself: ERR_EXISTS). ERR_INVALID: a key twice.
 *
 * Without conditional PUT two processes that remove the same key at the same moment may both
 * succeed; what they added instead is then there twice, which readers merge. */
MUST_USE ErrCode manifest_commit(Manifest *manifest, const ManifestChange *change, bool *ret_known,
                                 Error *err);
/* Reads deltas that others committed. */
MUST_USE ErrCode manifest_refresh(Manifest *manifest, Error *err);
/* Folds the deltas into a checkpoint when there are more than `deltas_max`, and deletes deltas and
 * checkpoints that were folded more than grace_ms ago (some minutes at least: whoever reads more
 * slowly starts over). Does nothing on a store without conditional PUT. */
MUST_USE ErrCode manifest_checkpoint(Manifest *manifest, size_t deltas_max, int64_t grace_ms,
                                     Error *err);

/* An unchanging view; refcounted. */
typedef struct ManifestSnapshot ManifestSnapshot;
const ManifestSnapshot *manifest_snapshot(Manifest *manifest);
void manifest_snapshot_unref(const ManifestSnapshot *snapshot);
const ManifestEntry *manifest_entries(const ManifestSnapshot *snapshot, size_t *count);
/* Entries that hold something of this tenant and signal in [min, max], oldest first, in `arena`. */
MUST_USE ErrCode manifest_find(const ManifestSnapshot *snapshot, Str tenant, Signal signal,
                               int64_t min_ms, int64_t max_ms, Arena *arena,
                               const ManifestEntry ***out, size_t *count, Error *err);
/* Objects removed by a commit, to be deleted when their grace is over. */
typedef struct ManifestRemoved {
    Str key;
    int64_t removed_ms;
} ManifestRemoved;
const ManifestRemoved *manifest_removed(const ManifestSnapshot *snapshot, size_t *count);
/* Says that these were deleted from the store, so that the manifest forgets them. Keys that were
 * not removed are left alone. */
MUST_USE ErrCode manifest_forget(Manifest *manifest, const Str *keys, size_t count, Error *err);
