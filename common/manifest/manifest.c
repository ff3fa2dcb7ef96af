/*
 * manifest.c: opening, snapshots and commits. One lock orders commits and refreshes of this
 * process; the store's conditional PUT orders processes. Snapshots are swapped under a second lock
 * that nobody holds while the store is asked.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/manifest/internal.h"

/* ---- snapshots ---- */

/* Not before the snapshot shows it: an answer that was begun in between would be taken for one
 * that has seen it. */
static void note_foreign(Manifest *manifest) {
    if (manifest->foreign_all) changes_note_all(manifest->changes);
    for (size_t i = 0; !manifest->foreign_all && i < manifest->foreign_count; i++)
        changes_note_slot(manifest->changes, manifest->foreign[i].slot, manifest->foreign[i].min_ms,
                          manifest->foreign[i].max_ms);
    manifest->foreign_all = false;
    manifest->foreign_count = 0;
}

static ErrCode publish(Manifest *manifest, Error *err) {
    const ManifestSnapshot *fresh, *old;

    if (!manifest->dirty) return ERR_OK;
    TRY(state_snapshot(&manifest->state, &fresh, err));
    manifest->dirty = false;
    atomic_store_explicit(&manifest->deletes_newest, manifest->state.deletes.newest,
                          memory_order_release);
    pthread_mutex_lock(&manifest->snapshot_lock);
    old = manifest->snapshot;
    manifest->snapshot = fresh;
    pthread_mutex_unlock(&manifest->snapshot_lock);
    manifest_snapshot_unref(old);
    note_foreign(manifest);
    return ERR_OK;
}

ErrCode manifest_publish_after(Manifest *manifest, ErrCode code, Error *err) {
    Error other = {0};
    ErrCode published = publish(manifest, &other);

    if (code != ERR_OK || published == ERR_OK) return code;
    if (err != NULL) *err = other;
    return published;
}

const ManifestSnapshot *manifest_snapshot(Manifest *manifest) {
    const ManifestSnapshot *snapshot;

    pthread_mutex_lock(&manifest->snapshot_lock);
    snapshot = manifest_snapshot_ref(manifest->snapshot);
    pthread_mutex_unlock(&manifest->snapshot_lock);
    return snapshot;
}

ErrCode manifest_open(Store *store, const Clock *clock, Manifest **out, Error *err) {
    Manifest *manifest = calloc(1, sizeof *manifest);
    ErrCode code;

    if (manifest == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    manifest->store = store;
    manifest->clock = clock;
    manifest->writer = random_u64();
    manifest->conditional = (store_features(store) & STORE_CONDITIONAL_PUT) != 0;
    manifest->dirty = true;
    pthread_mutex_init(&manifest->lock, NULL);
    pthread_mutex_init(&manifest->snapshot_lock, NULL);
    code = manifest_read_all(manifest, err);
    if (code == ERR_OK) code = publish(manifest, err);
    if (code != ERR_OK) {
        manifest_free(manifest);
        return code;
    }
    *out = manifest;
    return ERR_OK;
}

void manifest_watch(Manifest *manifest, Changes *changes) {
    manifest->changes = changes;
}

void manifest_free(Manifest *manifest) {
    if (manifest == NULL) return;
    manifest_snapshot_unref(manifest->snapshot);
    state_done(&manifest->state);
    free(manifest->applied.items);
    pthread_mutex_destroy(&manifest->snapshot_lock);
    pthread_mutex_destroy(&manifest->lock);
    free(manifest);
}

ErrCode manifest_refresh(Manifest *manifest, Error *err) {
    ErrCode code;

    pthread_mutex_lock(&manifest->lock);
    code = manifest_catch_up(manifest, false, err);
    code = manifest_publish_after(manifest, code, err);
    pthread_mutex_unlock(&manifest->lock);
    return code;
}

/* ---- what of a change is still to be done ---- */

typedef struct Pending {
    ManifestEntry *add;
    size_t add_count;
    bool known; /* something to add was there already */
    bool done;  /* all was */
} Pending;

static ErrCode check_add(const Manifest *manifest, const ManifestEntry *entry, bool *ret_known,
                         Error *err) {
    const State *state = &manifest->state;
    bool found;
    size_t at = state_find(state, entry->key, &found);
    uint64_t number;
    Str lane;

    if (found && state->entries[at]->entry.checksum != entry->checksum)
        return error_set(err, ERR_EXISTS,
                         "manifest: " STR_FMT " is there already with other content",
                         STR_ARG(entry->key));
    *ret_known = found;
    if (!found) (void)state_find_removed(state, entry->key, ret_known);
    if (!*ret_known && mark_parse(entry->key, &lane, &number))
        *ret_known = marks_have(&state->marks, lane, number);
    return ERR_OK;
}

static ErrCode check_change(const Manifest *manifest, const ManifestChange *change, Pending *out,
                            Error *err) {
    size_t missing = 0;

    out->add_count = 0;
    out->known = false;
    for (size_t i = 0; i < change->add_count; i++) {
        bool known;

        TRY(check_add(manifest, &change->add[i], &known, err));
        if (known)
            out->known = true;
        else
            out->add[out->add_count++] = change->add[i];
    }
    for (size_t i = 0; i < change->remove_count; i++) {
        bool found;

        (void)state_find(&manifest->state, change->remove[i], &found);
        missing += !found;
    }
    /* Everything added is there and everything removed is gone: this very change was committed
     * before and its answer got lost. */
    out->done = out->add_count == 0 && missing == change->remove_count &&
                (out->known || change->remove_count == 0);
    if (missing > 0 && !out->done)
        return error_set(err, ERR_EXISTS, "manifest: %zu of %zu objects to remove are gone already",
                         missing, change->remove_count);
    return ERR_OK;
}

/* What no caller may ask for. */
static ErrCode check_input(const ManifestChange *change, Error *err) {
    for (size_t i = 0; i < change->add_count; i++) {
        Str key = change->add[i].key;
        bool twice = key.len == 0;

        for (size_t j = 0; j < change->remove_count; j++)
            twice = twice || str_equal(key, change->remove[j]);
        for (size_t j = 0; j < i; j++) twice = twice || str_equal(key, change->add[j].key);
        if (twice)
            return error_set(err, ERR_INVALID, "manifest: \"" STR_FMT "\" twice in one change",
                             STR_ARG(key));
    }
    return ERR_OK;
}

/* ---- writing a delta ---- */

static ErrCode apply_ours(Manifest *manifest, const Delta *delta, Str key, bool *ret_done,
                          Error *err) {
    *ret_done = true;
    if (!manifest->conditional) TRY(manifest_note_applied(manifest, key, err));
    return manifest_apply(manifest, delta, err);
}

/* Whether the state, which was read from the store, has this delta in it. */
static bool holds(const State *state, const Delta *delta) {
    for (size_t i = 0; i < delta->remove_count; i++) {
        bool found;
        size_t at = state_find_removed(state, delta->remove[i], &found);

        if (!found || state->removed[at].removed_ms != delta->time_ms) return false;
    }
    for (size_t i = 0; i < delta->add_count; i++) {
        bool found, removed;

        (void)state_find(state, delta->add[i].key, &found);
        (void)state_find_removed(state, delta->add[i].key, &removed);
        if (!found && !removed) return false;
    }
    for (size_t i = 0; i < delta->forget_count; i++) {
        bool found;

        (void)state_find_removed(state, delta->forget[i], &found);
        if (found) return false;
    }
    /* A request that was made and cancelled since is taken for one that was never made. */
    for (size_t i = 0; i < delta->add_delete_count; i++) {
        const ManifestDelete *request = &delta->add_deletes[i];
        const ManifestDelete *known = state_find_delete(state, request->tenant, request->id);

        if (known == NULL || known->number != delta->sequence) return false;
    }
    /* The rest may be repeated. */
    return delta->remove_delete_count == 0 && delta->processed_delete_count == 0 &&
           delta->raise_count == 0;
}

/* The delta is in the store. Was its number free because nobody had used it, or because whoever
 * used it was folded and deleted while this process slept? Then nobody will ever read ours. */
static ErrCode settle(Manifest *manifest, const Delta *delta, Str key, bool *ret_done, Error *err) {
    if (!manifest->conditional) return apply_ours(manifest, delta, key, ret_done, err);
    TRY(manifest_read_current(manifest, err));
    if (manifest->current < delta->sequence) return apply_ours(manifest, delta, key, ret_done, err);
    /* The checkpoint before any delta: what stands under this number may be ours alone. */
    TRY(manifest_follow_current(manifest, err));
    TRY(manifest_catch_up(manifest, true, err));
    *ret_done = holds(&manifest->state, delta);
    return ERR_OK;
}

ErrCode manifest_put_delta(Manifest *manifest, const Delta *delta, bool *ret_done, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char name[MANIFEST_KEY_BYTES];
    Str key = manifest_delta_key(manifest, delta->sequence, name), found;
    StorePut how = {.if_absent = manifest->conditional};
    Error read_err = {0};
    ErrCode code, read;

    *ret_done = false;
    buf_init(&bytes, 0);
    TRY(delta_encode(delta, &bytes, err));
    code = store_put(manifest->store, key, buf_str(&bytes), &how, err);
    if (code == ERR_OK) return settle(manifest, delta, key, ret_done, err);
    if (code != ERR_EXISTS && code != ERR_UNAVAILABLE && code != ERR_TIMEOUT)
        return error_wrap(err, "manifest");
    /* Taken, or who knows: what is there tells. */
    read = store_get(manifest->store, key, 0, MANIFEST_OBJECT_BYTES_MAX, arena, &found, NULL,
                     &read_err);
    if (read == ERR_OK && str_equal(found, buf_str(&bytes)))
        return settle(manifest, delta, key, ret_done, err);
    if (code == ERR_EXISTS) return manifest_catch_up(manifest, read == ERR_NOT_FOUND, err);
    if (read == ERR_OK) return manifest_catch_up(manifest, false, err);
    return error_wrap(err, "manifest"); /* the first error says more */
}

ErrCode manifest_too_many(Error *err) {
    return error_set(err, ERR_UNAVAILABLE, "manifest: others committed first %d times",
                     MANIFEST_ATTEMPTS_MAX);
}

/* ---- commits ---- */

static ErrCode commit_locked(Manifest *manifest, const ManifestChange *change, bool *ret_known,
                             Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Pending pending = {.add = ARENA_ARRAY(arena, ManifestEntry, change->add_count)};
    bool fresh = false, done = false;

    if (pending.add == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    TRY(check_input(change, err));
    for (unsigned attempt = 0; !done; attempt++) {
        ErrCode code;

        if (attempt == MANIFEST_ATTEMPTS_MAX) return manifest_too_many(err);
        /* Without conditional PUT nothing else would tell that others were first; with it, numbers
         * may have been folded and deleted since. */
        if (!manifest->conditional || manifest_is_due(manifest))
            TRY(manifest_catch_up(manifest, false, err));
        code = check_change(manifest, change, &pending, err);
        if (code == ERR_EXISTS && !fresh) {
            fresh = true;
            TRY(manifest_catch_up(manifest, false, err));
            code = check_change(manifest, change, &pending, err);
        }
        TRY(code);
        *ret_known = pending.known;
        if (pending.done) return ERR_OK;
        Delta delta = {
            .sequence = manifest->state.sequence + 1,
            .time_ms = clock_now_ms(manifest->clock),
            .writer = manifest->writer,
            .add = pending.add,
            .add_count = pending.add_count,
            .remove = change->remove,
            .remove_count = change->remove_count,
        };
        TRY(manifest_put_delta(manifest, &delta, &done, err));
    }
    return ERR_OK;
}

ErrCode manifest_commit(Manifest *manifest, const ManifestChange *change, bool *ret_known,
                        Error *err) {
    bool known = false;
    ErrCode code;

    pthread_mutex_lock(&manifest->lock);
    code = commit_locked(manifest, change, &known, err);
    code = manifest_publish_after(manifest, code, err);
    pthread_mutex_unlock(&manifest->lock);
    if (code == ERR_OK && ret_known != NULL) *ret_known = known;
    return code;
}

static ErrCode forget_locked(Manifest *manifest, const Str *keys, size_t count, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str *forget = ARENA_ARRAY(arena, Str, count);
    bool done = false;

    if (forget == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (unsigned attempt = 0; !done; attempt++) {
        Delta delta = {
            .time_ms = clock_now_ms(manifest->clock),
            .writer = manifest->writer,
            .forget = forget,
        };

        if (manifest_is_due(manifest)) TRY(manifest_catch_up(manifest, false, err));
        for (size_t i = 0; i < count; i++) {
            bool found;

            (void)state_find_removed(&manifest->state, keys[i], &found);
            if (found) forget[delta.forget_count++] = keys[i];
        }
        if (delta.forget_count == 0) return ERR_OK;
        delta.sequence = manifest->state.sequence + 1;
        if (attempt == MANIFEST_ATTEMPTS_MAX) return manifest_too_many(err);
        TRY(manifest_put_delta(manifest, &delta, &done, err));
    }
    return ERR_OK;
}

ErrCode manifest_forget(Manifest *manifest, const Str *keys, size_t count, Error *err) {
    ErrCode code;

    pthread_mutex_lock(&manifest->lock);
    code = forget_locked(manifest, keys, count, err);
    code = manifest_publish_after(manifest, code, err);
    pthread_mutex_unlock(&manifest->lock);
    return code;
}
