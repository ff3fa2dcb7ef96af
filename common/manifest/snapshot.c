/*
 * snapshot.c: an unchanging view. Entries are shared with the state and with other snapshots.
 */
#include <stdlib.h>
#include <string.h>

#include "common/manifest/state.h"

struct ManifestSnapshot {
    _Atomic unsigned refs;
    EntryBox **boxes;
    ManifestEntry *entries; /* oldest first */
    size_t count;
    ManifestRemoved *removed;
    char *removed_bytes;
    size_t removed_count;
    DeleteBox **delete_boxes;
    ManifestDelete *deletes;
    size_t delete_count;
};

static void snapshot_free(ManifestSnapshot *snapshot) {
    for (size_t i = 0; snapshot->boxes != NULL && i < snapshot->count; i++)
        entry_box_unref(snapshot->boxes[i]);
    for (size_t i = 0; snapshot->delete_boxes != NULL && i < snapshot->delete_count; i++)
        delete_box_unref(snapshot->delete_boxes[i]);
    free(snapshot->delete_boxes);
    free(snapshot->deletes);
    free(snapshot->boxes);
    free(snapshot->entries);
    free(snapshot->removed);
    free(snapshot->removed_bytes);
    free(snapshot);
}

static int by_age(const void *a, const void *b) {
    const ManifestEntry *x = &(*(EntryBox *const *)a)->entry, *y = &(*(EntryBox *const *)b)->entry;

    if (x->created_ms != y->created_ms) return x->created_ms < y->created_ms ? -1 : 1;
    return str_compare(x->key, y->key);
}

static bool copy_removed(const State *state, ManifestSnapshot *snapshot) {
    size_t bytes = 1;
    char *at;

    for (size_t i = 0; i < state->removed_count; i++) bytes += state->removed[i].key.len;
    snapshot->removed = calloc(MAX(state->removed_count, 1), sizeof *snapshot->removed);
    snapshot->removed_bytes = at = malloc(bytes);
    if (snapshot->removed == NULL || at == NULL) return false;
    for (size_t i = 0; i < state->removed_count; i++) {
        Str key = state->removed[i].key;

        if (key.len > 0) memcpy(at, key.ptr, key.len);
        snapshot->removed[i] = (ManifestRemoved){{at, key.len}, state->removed[i].removed_ms};
        at += key.len;
    }
    snapshot->removed_count = state->removed_count;
    return true;
}

static bool copy_deletes(const State *state, ManifestSnapshot *snapshot) {
    size_t count = state->deletes.count;

    snapshot->delete_boxes = calloc(MAX(count, 1), sizeof *snapshot->delete_boxes);
    snapshot->deletes = calloc(MAX(count, 1), sizeof *snapshot->deletes);
    if (snapshot->delete_boxes == NULL || snapshot->deletes == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        snapshot->delete_boxes[i] = delete_box_ref(state->deletes.items[i]);
        snapshot->deletes[i] = state->deletes.items[i]->request;
    }
    snapshot->delete_count = count;
    return true;
}

ErrCode state_snapshot(const State *state, const ManifestSnapshot **out, Error *err) {
    ManifestSnapshot *snapshot = calloc(1, sizeof *snapshot);

    if (snapshot == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    atomic_init(&snapshot->refs, 1);
    snapshot->boxes = calloc(MAX(state->entry_count, 1), sizeof *snapshot->boxes);
    snapshot->entries = calloc(MAX(state->entry_count, 1), sizeof *snapshot->entries);
    if (snapshot->boxes == NULL || snapshot->entries == NULL || !copy_removed(state, snapshot) ||
        !copy_deletes(state, snapshot)) {
        snapshot_free(snapshot);
        return error_set(err, ERR_LIMIT, "manifest: out of memory");
    }
    for (size_t i = 0; i < state->entry_count; i++)
        snapshot->boxes[i] = entry_box_ref(state->entries[i]);
    snapshot->count = state->entry_count;
    if (snapshot->count > 0)
        qsort(snapshot->boxes, snapshot->count, sizeof *snapshot->boxes, by_age);
    for (size_t i = 0; i < snapshot->count; i++) snapshot->entries[i] = snapshot->boxes[i]->entry;
    *out = snapshot;
    return ERR_OK;
}

const ManifestSnapshot *manifest_snapshot_ref(const ManifestSnapshot *snapshot) {
    atomic_fetch_add_explicit(&((ManifestSnapshot *)(uintptr_t)snapshot)->refs, 1,
                              memory_order_relaxed);
    return snapshot;
}

void manifest_snapshot_unref(const ManifestSnapshot *snapshot) {
    ManifestSnapshot *mine = (ManifestSnapshot *)(uintptr_t)snapshot;

    if (mine == NULL) return;
    if (atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) == 1) snapshot_free(mine);
}

const ManifestEntry *manifest_entries(const ManifestSnapshot *snapshot, size_t *count) {
    *count = snapshot->count;
    return snapshot->entries;
}

const ManifestRemoved *manifest_removed(const ManifestSnapshot *snapshot, size_t *count) {
    *count = snapshot->removed_count;
    return snapshot->removed;
}

const ManifestDelete *manifest_deletes(const ManifestSnapshot *snapshot, size_t *count) {
    *count = snapshot->delete_count;
    return snapshot->deletes;
}

/* The first part of this tenant: an entry's parts are sorted (state.h). */
static size_t first_part(const ManifestEntry *entry, Str tenant) {
    size_t low = 0, high = entry->part_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (str_compare(entry->parts[middle].tenant, tenant) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool entry_has(const ManifestEntry *entry, Str tenant, Signal signal, int64_t min_ms,
                      int64_t max_ms) {
    for (size_t p = first_part(entry, tenant); p < entry->part_count; p++) {
        const BlockPart *part = &entry->parts[p];

        if (!str_equal(part->tenant, tenant)) return false;
        if (part->signal == signal && part->min_ms <= max_ms && part->max_ms >= min_ms) return true;
    }
    return false;
}

ErrCode manifest_find(const ManifestSnapshot *snapshot, Str tenant, Signal signal, int64_t min_ms,
                      int64_t max_ms, Arena *arena, const ManifestEntry ***out, size_t *count,
                      Error *err) {
    const ManifestEntry **found = NULL;
    size_t used = 0;

    for (int pass = 0; pass < 2; pass++) {
        used = 0;
        for (size_t i = 0; i < snapshot->count; i++) {
            if (!entry_has(&snapshot->entries[i], tenant, signal, min_ms, max_ms)) continue;
            if (found != NULL) found[used] = &snapshot->entries[i];
            used++;
        }
        if (pass == 0) {
            found = arena_alloc(arena, MAX(used, 1) * sizeof *found);
            if (found == NULL)
                return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
        }
    }
    *out = found;
    *count = used;
    return ERR_OK;
}

ManifestProgress manifest_delete_progress(const ManifestSnapshot *snapshot,
                                          const ManifestDelete *request) {
    ManifestProgress out = {0};

    for (size_t i = 0; i < snapshot->count; i++) {
        const ManifestEntry *entry = &snapshot->entries[i];
        bool cleared = entry->cleared >= request->number;

        if (!entry_has(entry, request->tenant, SIGNAL_LOGS, request->start_ms, request->end_ms) ||
            (entry->level == 0 && cleared))
            continue;
        out.objects++;
        out.cleared += cleared;
    }
    return out;
}
