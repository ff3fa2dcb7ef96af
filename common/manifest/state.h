#pragma once
/*
 * state.h: what the manifest's files share: the state that deltas change, and its encoding.
 */
#include <stdatomic.h>

#include "common/manifest/manifest.h"

/* An entry and the memory behind it, shared by all snapshots that hold it. */
typedef struct EntryBox {
    _Atomic unsigned refs;
    ManifestEntry entry;
    BlockPart *parts;
    char *bytes; /* the key's and tenants' */
} EntryBox;

/* NULL: out of memory. Copies everything; the copy's parts are sorted by tenant and signal. */
EntryBox *entry_box_new(const ManifestEntry *entry);
EntryBox *entry_box_ref(EntryBox *box);
void entry_box_unref(EntryBox *box);

/* Numbers of segments that one ingester's lane committed, as ranges: a flush that is repeated long
 * after its segment was merged away is still recognised. */
typedef struct MarkRange {
    uint64_t first;
    uint64_t last;
} MarkRange;

typedef struct Mark {
    Str lane;          /* "<ingester>-<lane>", owned */
    MarkRange *ranges; /* sorted, with gaps between */
    size_t count;
    size_t capacity;
} Mark;

typedef struct Marks {
    Mark *items; /* sorted by lane */
    size_t count;
    size_t capacity;
} Marks;

/* False when `key` isn't a segment's: segments/<time>-<ingester>-<lane>-<number>.seg */
bool mark_parse(Str key, Str *lane, uint64_t *number);
bool marks_have(const Marks *marks, Str lane, uint64_t number);
MUST_USE bool marks_add(Marks *marks, Str lane, uint64_t first, uint64_t last); /* false: memory */
void marks_done(Marks *marks);

/* A request and the memory behind it, shared as entries are. */
typedef struct DeleteBox {
    _Atomic unsigned refs;
    ManifestDelete request;
    char bytes[];
} DeleteBox;

DeleteBox *delete_box_ref(DeleteBox *box);
void delete_box_unref(DeleteBox *box);

typedef struct Deletes {
    DeleteBox **items; /* by number, tenant and id */
    size_t count;
    size_t capacity;
    uint64_t newest; /* the highest number ever */
} Deletes;

typedef struct RemovedKey {
    Str key; /* owned */
    int64_t removed_ms;
} RemovedKey;

/* Everything that holds at one delta. Changed in place under the manifest's lock.
 *
 * A key that was removed is never added again: names are not reused. So on a store without
 * conditional PUT, where a removal may be read before what it removes, both orders end the same. */
typedef struct State {
    uint64_t sequence;
    EntryBox **entries; /* sorted by key */
    size_t entry_count;
    size_t entry_capacity;
    RemovedKey *removed; /* sorted by key */
    size_t removed_count;
    size_t removed_capacity;
    Marks marks;
    Deletes deletes;
} State;

void state_done(State *state);
/* Index of the key, or where it would go (*ret_found false). */
size_t state_find(const State *state, Str key, bool *ret_found);
/* The same among what was removed. */
size_t state_find_removed(const State *state, Str key, bool *ret_found);
/* Repeated, or of a removed key: nothing happens. */
MUST_USE ErrCode state_add(State *state, const ManifestEntry *entry, Error *err);
/* Of a key that isn't there: it never will be. */
MUST_USE ErrCode state_remove(State *state, Str key, int64_t removed_ms, Error *err);
void state_forget(State *state, Str key);
/* The tenant's request of this id, until the state changes; NULL: none. */
const ManifestDelete *state_find_delete(const State *state, Str tenant, Str id);
/* One that is there already: nothing happens. */
MUST_USE ErrCode state_add_delete(State *state, const ManifestDelete *request, Error *err);
void state_remove_delete(State *state, Str tenant, Str id);
MUST_USE ErrCode state_process_delete(State *state, Str tenant, Str id, int64_t processed_ms,
                                      Error *err);
MUST_USE ErrCode state_raise(State *state, Str key, uint64_t cleared, Error *err);
void deletes_done(Deletes *deletes);

MUST_USE ErrCode state_snapshot(const State *state, const ManifestSnapshot **out, Error *err);

/* ---- bytes (docs/MANIFEST.md) ---- */

typedef struct Delta {
    uint64_t sequence;
    int64_t time_ms;
    uint64_t writer; /* random: tells one's own delta from an equal one */
    const ManifestEntry *add;
    size_t add_count;
    const Str *remove;
    size_t remove_count;
    const Str *forget;
    size_t forget_count;
    const ManifestDelete *add_deletes;
    size_t add_delete_count;
    const ManifestDeleteId *remove_deletes;
    size_t remove_delete_count;
    const ManifestDeleteId *processed_deletes;
    size_t processed_delete_count;
    const ManifestCleared *raise;
    size_t raise_count;
} Delta;

MUST_USE ErrCode delta_encode(const Delta *delta, Buf *out, Error *err);
/* Everything in `arena`. ERR_CORRUPT: not a delta, or damaged. */
MUST_USE ErrCode delta_decode(Str bytes, Arena *arena, Delta *out, Error *err);
MUST_USE ErrCode checkpoint_encode(const State *state, Buf *out, Error *err);
MUST_USE ErrCode checkpoint_decode(Str bytes, State *out, Error *err);
/* May be repeated after it failed half way. */
MUST_USE ErrCode state_apply(State *state, const Delta *delta, Error *err);
const ManifestSnapshot *manifest_snapshot_ref(const ManifestSnapshot *snapshot);
