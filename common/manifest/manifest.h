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
#include "common/batch/changes.h"
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
    uint64_t cleared; /* delete requests up to this number are none of its business (any more) */
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
/* From now on notes in `changes` what others committed of metrics, when it shows. What this process
 * commits is left out: its flushes and merges move data that was noted when it came. Once, before
 * anybody else uses the manifest. */
void manifest_watch(Manifest *manifest, Changes *changes);

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

/* ---- delete requests ----
 *
 * What of a tenant's logs is to go: part of the manifest, so that who sees the objects sees the
 * requests, and a block without deleted entries replaces the one with them in one commit. Requests
 * are numbered in the order in which they came to be, over all tenants; an object's `cleared` says
 * up to which of them none applies to it: because they were known before its data came in, or were
 * carried out when it was written. */
typedef struct ManifestDelete {
    uint64_t number; /* given when it is added */
    Str tenant;
    Str id; /* within the tenant */
    Str query;
    int64_t start_ms; /* both inclusive */
    int64_t end_ms;
    int64_t created_ms;
    int64_t processed_ms; /* 0: not yet */
} ManifestDelete;

typedef struct ManifestDeleteId {
    Str tenant;
    Str id;
} ManifestDeleteId;

typedef struct ManifestCleared {
    Str key;
    uint64_t cleared;
} ManifestCleared;

typedef struct ManifestDeletesChange {
    const ManifestDelete *add; /* one, or NULL */
    const ManifestDeleteId *remove;
    size_t remove_count;
    bool unprocessed_only; /* ERR_EXISTS when one of `remove` was processed, ERR_NOT_FOUND when it
                            * isn't there */
    const ManifestDeleteId *processed;
    size_t processed_count;
    const ManifestCleared *raise; /* objects that are there whose `cleared` grows */
    size_t raise_count;
} ManifestDeletesChange;

enum { MANIFEST_DELETES_MAX = 1000 }; /* of a tenant; processed ones make room for new ones */

/* All of it or nothing; repeating it is fine. ERR_LIMIT: the tenant has MANIFEST_DELETES_MAX that
 * are not processed. ERR_UNSUPPORTED: a store without conditional PUT, where nothing has an order.
 */
MUST_USE ErrCode manifest_change_deletes(Manifest *manifest, const ManifestDeletesChange *change,
                                         Error *err);
/* In order of their numbers. */
const ManifestDelete *manifest_deletes(const ManifestSnapshot *snapshot, size_t *count);
/* How far a request is carried out: objects with logs of its tenant and time, and in how many of
 * them nothing of it is left. Segments that came in after it don't count. */
typedef struct ManifestProgress {
    size_t objects;
    size_t cleared;
} ManifestProgress;
ManifestProgress manifest_delete_progress(const ManifestSnapshot *snapshot,
                                          const ManifestDelete *request);
/* The highest number ever given, as far as this process knows. Never blocks. */
uint64_t manifest_deletes_newest(const Manifest *manifest);
