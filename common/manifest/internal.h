#pragma once
/*
 * internal.h: the Manifest, for read.c (what the store has), manifest.c (open, snapshots, commits)
 * and checkpoint.c (folding, cleaning).
 *
 * How a process knows that it is up to date: it saw no delta n + 1, and after that saw `current`
 * name a checkpoint of n or less. A delta is deleted only after a checkpoint of a higher number
 * became current, and `current` never goes back, so a delta that was missing because it had been
 * deleted would have shown. The same proof tells a commit that its number had not been used before.
 */
#include <pthread.h>

#include "common/manifest/state.h"

enum {
    MANIFEST_KEY_BYTES = 80,
    MANIFEST_ATTEMPTS_MAX = 64,
    MANIFEST_FOREIGN_MAX = 256,
    /* Who slept through the grace of deltas notices after this; the grace must be longer. */
    CURRENT_CHECK_MS = 60 * 1000,
};
#define MANIFEST_OBJECT_BYTES_MAX (UINT64_C(1) << 30)

typedef struct Names {
    char (*items)[MANIFEST_KEY_BYTES]; /* sorted */
    size_t count;
    size_t capacity;
} Names;

struct Manifest {
    Store *store;
    const Clock *clock;
    uint64_t writer;
    bool conditional;

    pthread_mutex_t lock; /* everything but the snapshot */
    State state;
    bool dirty;       /* the snapshot is older than the state */
    uint64_t folded;  /* what is known to be in a checkpoint; never above state.sequence */
    uint64_t current; /* what `current` named when it was read last; 0: nothing */
    bool has_current; /* it is there, with this tag */
    StoreTag current_tag;
    int64_t current_checked_ms;
    Names applied; /* deltas with names of their own that were read */

    _Atomic uint64_t deletes_newest; /* the state's, for who must not wait */
    /* What others committed that no snapshot shows yet, to be noted when one does. */
    Changes *changes;
    struct ManifestForeign {
        uint32_t slot;
        int64_t min_ms;
        int64_t max_ms;
    } foreign[MANIFEST_FOREIGN_MAX];
    size_t foreign_count;
    bool foreign_all; /* too many to tell, or nobody knows what */

    pthread_mutex_t snapshot_lock;
    const ManifestSnapshot *snapshot;
};

#define MANIFEST_CURRENT_KEY STR("manifest/current")

/* ---- manifest.c; with the lock held ---- */

/* Puts the delta where it belongs. `*ret_done` false: the number was taken; what has it is
 * applied, and the change is to be checked again. */
MUST_USE ErrCode manifest_put_delta(Manifest *manifest, const Delta *delta, bool *ret_done,
                                    Error *err);
MUST_USE ErrCode manifest_too_many(Error *err);
/* At the end of every call: what was learned shows, also when the call itself failed. */
MUST_USE ErrCode manifest_publish_after(Manifest *manifest, ErrCode code, Error *err);

/* ---- read.c; all with the lock held ---- */

/* The name of a delta that is to be written: on a store without conditional PUT a new one. */
Str manifest_delta_key(const Manifest *manifest, uint64_t sequence, char out[MANIFEST_KEY_BYTES]);
Str manifest_checkpoint_key(uint64_t sequence, char out[MANIFEST_KEY_BYTES]);
/* The number in <stem><number>[-<ulid>]. */
bool manifest_key_number(Str key, Str stem, uint64_t *out, bool *ret_has_ulid);

/* Remembers a delta with a name of its own as read. */
MUST_USE ErrCode manifest_note_applied(Manifest *manifest, Str key, Error *err);
MUST_USE ErrCode manifest_apply(Manifest *manifest, const Delta *delta, Error *err);
MUST_USE ErrCode manifest_read_current(Manifest *manifest, Error *err);
/* Follows `current` where it is ahead of what was read: starts over from its checkpoint. */
MUST_USE ErrCode manifest_follow_current(Manifest *manifest, Error *err);
/* `current` wasn't read for CURRENT_CHECK_MS. */
bool manifest_is_due(const Manifest *manifest);
/* Reads what others committed; with `prove` until it is certain that nothing was missed. */
MUST_USE ErrCode manifest_catch_up(Manifest *manifest, bool prove, Error *err);
/* The first time: everything. */
MUST_USE ErrCode manifest_read_all(Manifest *manifest, Error *err);
