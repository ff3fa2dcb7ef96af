/*
 * deletes.c: delete requests in the manifest: kept by number, changed by deltas of their own.
 */
#include <stdlib.h>
#include <string.h>

#include "common/manifest/internal.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "manifest: out of memory");
}

/* ---- the state ---- */

static Str put_bytes(char **at, Str s) {
    Str copy = {*at, s.len};

    if (s.len > 0) memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static DeleteBox *delete_box_new(const ManifestDelete *request) {
    DeleteBox *box =
        malloc(sizeof *box + request->tenant.len + request->id.len + request->query.len);
    char *at;

    if (box == NULL) return NULL;
    at = box->bytes;
    atomic_init(&box->refs, 1);
    box->request = *request;
    box->request.tenant = put_bytes(&at, request->tenant);
    box->request.id = put_bytes(&at, request->id);
    box->request.query = put_bytes(&at, request->query);
    return box;
}

DeleteBox *delete_box_ref(DeleteBox *box) {
    atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
    return box;
}

void delete_box_unref(DeleteBox *box) {
    if (atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) == 1) free(box);
}

void deletes_done(Deletes *deletes) {
    for (size_t i = 0; i < deletes->count; i++) delete_box_unref(deletes->items[i]);
    free(deletes->items);
    *deletes = (Deletes){0};
}

/* deletes->count: there is none. */
static size_t find(const Deletes *deletes, Str tenant, Str id) {
    size_t i = 0;

    while (i < deletes->count && !(str_equal(deletes->items[i]->request.id, id) &&
                                   str_equal(deletes->items[i]->request.tenant, tenant)))
        i++;
    return i;
}

const ManifestDelete *state_find_delete(const State *state, Str tenant, Str id) {
    size_t at = find(&state->deletes, tenant, id);

    return at == state->deletes.count ? NULL : &state->deletes.items[at]->request;
}

ErrCode state_add_delete(State *state, const ManifestDelete *request, Error *err) {
    Deletes *deletes = &state->deletes;
    DeleteBox *box;
    size_t at;

    if (find(deletes, request->tenant, request->id) < deletes->count) return ERR_OK;
    if (deletes->count == deletes->capacity) {
        size_t capacity = MAX(deletes->capacity * 2, 16);
        DeleteBox **grown = realloc(deletes->items, capacity * sizeof *grown);

        if (grown == NULL) return out_of_memory(err);
        deletes->items = grown;
        deletes->capacity = capacity;
    }
    box = delete_box_new(request);
    if (box == NULL) return out_of_memory(err);
    for (at = deletes->count; at > 0 && deletes->items[at - 1]->request.number > request->number;)
        at--;
    memmove(deletes->items + at + 1, deletes->items + at,
            (deletes->count - at) * sizeof *deletes->items);
    deletes->items[at] = box;
    deletes->count++;
    deletes->newest = MAX(deletes->newest, request->number);
    return ERR_OK;
}

void state_remove_delete(State *state, Str tenant, Str id) {
    Deletes *deletes = &state->deletes;
    size_t at = find(deletes, tenant, id);

    if (at == deletes->count) return;
    delete_box_unref(deletes->items[at]);
    deletes->count--;
    memmove(deletes->items + at, deletes->items + at + 1,
            (deletes->count - at) * sizeof *deletes->items);
}

ErrCode state_process_delete(State *state, Str tenant, Str id, int64_t processed_ms, Error *err) {
    Deletes *deletes = &state->deletes;
    size_t at = find(deletes, tenant, id);
    ManifestDelete request;
    DeleteBox *box;

    if (at == deletes->count || deletes->items[at]->request.processed_ms != 0) return ERR_OK;
    /* Snapshots share the old one. */
    request = deletes->items[at]->request;
    request.processed_ms = MAX(processed_ms, (int64_t)1);
    box = delete_box_new(&request);
    if (box == NULL) return out_of_memory(err);
    delete_box_unref(deletes->items[at]);
    deletes->items[at] = box;
    return ERR_OK;
}

ErrCode state_raise(State *state, Str key, uint64_t cleared, Error *err) {
    bool found;
    size_t at = state_find(state, key, &found);
    ManifestEntry entry;
    EntryBox *box;

    if (!found || state->entries[at]->entry.cleared >= cleared) return ERR_OK;
    entry = state->entries[at]->entry;
    entry.cleared = cleared;
    box = entry_box_new(&entry);
    if (box == NULL) return out_of_memory(err);
    entry_box_unref(state->entries[at]);
    state->entries[at] = box;
    return ERR_OK;
}

/* ---- changes ---- */

/* What is left to do of a change; the rest was done before. */
typedef struct Pending {
    ManifestDeleteId *remove;
    ManifestDeleteId *processed;
    ManifestCleared *raise;
} Pending;

/* A new request needs room: the tenant's oldest that was processed goes. */
static ErrCode make_room(const State *state, const ManifestDelete *add, Pending *pending,
                         Delta *delta, Error *err) {
    const ManifestDelete *oldest = NULL;
    size_t count = 0;

    for (size_t i = 0; i < state->deletes.count; i++) {
        const ManifestDelete *request = &state->deletes.items[i]->request;

        if (!str_equal(request->tenant, add->tenant)) continue;
        count++;
        if (oldest == NULL && request->processed_ms != 0) oldest = request;
    }
    if (count < MANIFEST_DELETES_MAX) return ERR_OK;
    if (oldest == NULL)
        return error_set(err, ERR_LIMIT,
                         "%zu delete requests of this tenant wait to be processed: no more than "
                         "that",
                         count);
    pending->remove[delta->remove_delete_count++] = (ManifestDeleteId){oldest->tenant, oldest->id};
    return ERR_OK;
}

static ErrCode check_removals(const State *state, const ManifestDeletesChange *change,
                              Pending *pending, Delta *delta, Error *err) {
    for (size_t i = 0; i < change->remove_count; i++) {
        const ManifestDeleteId *id = &change->remove[i];
        const ManifestDelete *known = state_find_delete(state, id->tenant, id->id);

        if (known == NULL && change->unprocessed_only)
            return error_set(err, ERR_NOT_FOUND, "there is no delete request " STR_FMT,
                             STR_ARG(id->id));
        if (known == NULL) continue;
        if (known->processed_ms != 0 && change->unprocessed_only)
            return error_set(err, ERR_EXISTS, "delete request " STR_FMT " was processed",
                             STR_ARG(id->id));
        pending->remove[delta->remove_delete_count++] = *id;
    }
    return ERR_OK;
}

static ErrCode plan_change(const State *state, const ManifestDeletesChange *change,
                           Pending *pending, Delta *delta, Error *err) {
    delta->remove_deletes = pending->remove;
    delta->processed_deletes = pending->processed;
    delta->raise = pending->raise;
    TRY(check_removals(state, change, pending, delta, err));
    if (change->add != NULL &&
        state_find_delete(state, change->add->tenant, change->add->id) == NULL) {
        TRY(make_room(state, change->add, pending, delta, err));
        delta->add_deletes = change->add;
        delta->add_delete_count = 1;
    }
    for (size_t i = 0; i < change->processed_count; i++) {
        const ManifestDeleteId *id = &change->processed[i];
        const ManifestDelete *known = state_find_delete(state, id->tenant, id->id);

        if (known != NULL && known->processed_ms == 0)
            pending->processed[delta->processed_delete_count++] = *id;
    }
    for (size_t i = 0; i < change->raise_count; i++) {
        bool found;
        size_t at = state_find(state, change->raise[i].key, &found);

        if (found && state->entries[at]->entry.cleared < change->raise[i].cleared)
            pending->raise[delta->raise_count++] = change->raise[i];
    }
    return ERR_OK;
}

static ErrCode change_locked(Manifest *manifest, const ManifestDeletesChange *change, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Pending pending = {
        .remove = ARENA_ARRAY(arena, ManifestDeleteId, change->remove_count + 1),
        .processed = ARENA_ARRAY(arena, ManifestDeleteId, change->processed_count),
        .raise = ARENA_ARRAY(arena, ManifestCleared, change->raise_count),
    };
    bool done = false;

    if (pending.remove == NULL || pending.processed == NULL || pending.raise == NULL)
        return out_of_memory(err);
    for (unsigned attempt = 0; !done; attempt++) {
        Delta delta = {.time_ms = clock_now_ms(manifest->clock), .writer = manifest->writer};

        if (attempt == MANIFEST_ATTEMPTS_MAX) return manifest_too_many(err);
        TRY(manifest_catch_up(manifest, false, err));
        TRY(plan_change(&manifest->state, change, &pending, &delta, err));
        if (delta.add_delete_count + delta.remove_delete_count + delta.processed_delete_count +
                delta.raise_count ==
            0)
            return ERR_OK;
        delta.sequence = manifest->state.sequence + 1;
        TRY(manifest_put_delta(manifest, &delta, &done, err));
    }
    return ERR_OK;
}

ErrCode manifest_change_deletes(Manifest *manifest, const ManifestDeletesChange *change,
                                Error *err) {
    ErrCode code;

    if (!manifest->conditional)
        return error_set(err, ERR_UNSUPPORTED,
                         "delete requests need a store with conditional PUT, which this one "
                         "isn't (storage with signature v2)");
    pthread_mutex_lock(&manifest->lock);
    code = change_locked(manifest, change, err);
    code = manifest_publish_after(manifest, code, err);
    pthread_mutex_unlock(&manifest->lock);
    return code;
}

uint64_t manifest_deletes_newest(const Manifest *manifest) {
    return atomic_load_explicit(&((Manifest *)(uintptr_t)manifest)->deletes_newest,
                                memory_order_acquire);
}
