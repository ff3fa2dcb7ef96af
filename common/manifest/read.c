/*
 * read.c: what the store has: `current`, its checkpoint, and the deltas since.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/manifest/internal.h"

enum { CURRENT_BYTES_MAX = 64 };

#define DELTA_STEM STR("manifest/delta-")

Str manifest_delta_key(const Manifest *manifest, uint64_t sequence, char out[MANIFEST_KEY_BYTES]) {
    int len;

    if (manifest->conditional) {
        len = snprintf(out, MANIFEST_KEY_BYTES, "manifest/delta-%020llu",
                       (unsigned long long)sequence);
    } else {
        char id[26];

        /* Nobody can say that this number is taken, so the name itself must be nobody else's. */
        ulid_make(clock_now_ms(manifest->clock), id);
        len = snprintf(out, MANIFEST_KEY_BYTES, "manifest/delta-%020llu-%.26s",
                       (unsigned long long)sequence, id);
    }
    return (Str){out, (size_t)len};
}

Str manifest_checkpoint_key(uint64_t sequence, char out[MANIFEST_KEY_BYTES]) {
    int len = snprintf(out, MANIFEST_KEY_BYTES, "manifest/checkpoint-%020llu",
                       (unsigned long long)sequence);

    return (Str){out, (size_t)len};
}

bool manifest_key_number(Str key, Str stem, uint64_t *out, bool *ret_has_ulid) {
    Str number, rest;

    if (!str_starts_with(key, stem)) return false;
    *ret_has_ulid = str_cut(str_from(key, stem.len), '-', &number, &rest);
    return str_to_u64(number, out);
}

/* ---- names of deltas that were read ---- */

static size_t names_find(const Names *names, Str name, bool *ret_found) {
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (str_compare(str_of(names->items[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < names->count && str_equal(str_of(names->items[low]), name);
    return low;
}

ErrCode manifest_note_applied(Manifest *manifest, Str key, Error *err) {
    Names *names = &manifest->applied;
    bool found;
    size_t at = names_find(names, key, &found);

    if (found) return ERR_OK;
    if (key.len >= MANIFEST_KEY_BYTES)
        return error_set(err, ERR_CORRUPT, "manifest: a delta with a name of %zu bytes", key.len);
    if (names->count == names->capacity) {
        size_t capacity = MAX(names->capacity * 2, 64);
        void *grown = realloc(names->items, capacity * sizeof *names->items);

        if (grown == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
        names->items = grown;
        names->capacity = capacity;
    }
    memmove(names->items + at + 1, names->items + at, (names->count - at) * sizeof *names->items);
    memcpy(names->items[at], key.ptr, key.len);
    names->items[at][key.len] = '\0';
    names->count++;
    return ERR_OK;
}

/* ---- deltas ---- */

/* Remembers where what somebody else added lies. */
static void watch_delta(Manifest *manifest, const Delta *delta) {
    if (manifest->changes == NULL || delta->writer == manifest->writer) return;
    for (size_t i = 0; i < delta->add_count; i++)
        for (size_t p = 0; p < delta->add[i].part_count; p++) {
            const BlockPart *part = &delta->add[i].parts[p];

            if (part->signal != SIGNAL_METRICS) continue;
            if (manifest->foreign_count == MANIFEST_FOREIGN_MAX || part->min_ms > part->max_ms) {
                manifest->foreign_all = true;
                return;
            }
            manifest->foreign[manifest->foreign_count++] =
                (struct ManifestForeign){changes_slot(part->tenant), part->min_ms, part->max_ms};
        }
}

ErrCode manifest_apply(Manifest *manifest, const Delta *delta, Error *err) {
    manifest->dirty = true; /* also when it stays half done */
    watch_delta(manifest, delta);
    return state_apply(&manifest->state, delta, err);
}

/* `*ret_found` false: there is no such delta. */
static ErrCode read_delta(Manifest *manifest, Str key, uint64_t sequence, bool *ret_found,
                          Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Delta delta;
    Str bytes;
    ErrCode code =
        store_get(manifest->store, key, 0, MANIFEST_OBJECT_BYTES_MAX, arena, &bytes, NULL, err);

    *ret_found = code != ERR_NOT_FOUND;
    if (code == ERR_NOT_FOUND) return ERR_OK;
    if (code != ERR_OK) return error_wrap(err, "manifest");
    if (delta_decode(bytes, arena, &delta, err) != ERR_OK)
        return error_wrap(err, "manifest: " STR_FMT, STR_ARG(key));
    /* One that says another number could be read for ever, or hide those between. */
    if (delta.sequence != sequence)
        return error_set(err, ERR_CORRUPT, "manifest: " STR_FMT ": says that it is delta %llu",
                         STR_ARG(key), (unsigned long long)delta.sequence);
    return manifest_apply(manifest, &delta, err);
}

static ErrCode read_numbered(Manifest *manifest, Error *err) {
    for (bool found = true; found;) {
        uint64_t next = manifest->state.sequence + 1;
        char name[MANIFEST_KEY_BYTES];

        TRY(read_delta(manifest, manifest_delta_key(manifest, next, name), next, &found, err));
    }
    return ERR_OK;
}

typedef struct Listing {
    Manifest *manifest;
    uint64_t hole; /* a delta that is there while one before it is not; 0: none */
} Listing;

static ErrCode read_listed(void *context, const StoreObject *object, Error *err) {
    Listing *listing = context;
    Manifest *manifest = listing->manifest;
    bool has_ulid, known, found;
    uint64_t number;

    if (!manifest_key_number(object->key, DELTA_STEM, &number, &has_ulid)) return ERR_OK;
    if (number <= manifest->folded || listing->hole != 0) return ERR_OK;
    if (!has_ulid) {
        if (number <= manifest->state.sequence) return ERR_OK;
        if (number > manifest->state.sequence + 1) {
            listing->hole = number;
            return ERR_OK;
        }
        return read_delta(manifest, object->key, number, &found, err);
    }
    (void)names_find(&manifest->applied, object->key, &known);
    if (known) return ERR_OK;
    TRY(read_delta(manifest, object->key, number, &found, err));
    return found ? manifest_note_applied(manifest, object->key, err) : ERR_OK;
}

/* ---- checkpoints ---- */

ErrCode manifest_read_current(Manifest *manifest, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    StoreObject object = {0};
    uint64_t sequence;
    Str text;
    ErrCode code = store_get(manifest->store, MANIFEST_CURRENT_KEY, 0, CURRENT_BYTES_MAX, arena,
                             &text, &object, err);

    if (code == ERR_NOT_FOUND) {
        manifest->has_current = false;
        manifest->current = 0;
    } else if (code != ERR_OK) {
        return error_wrap(err, "manifest");
    } else if (!str_to_u64(str_trim(text), &sequence)) {
        return error_set(err, ERR_CORRUPT, "manifest: manifest/current holds no number");
    } else {
        manifest->has_current = true;
        manifest->current = sequence;
        manifest->current_tag = object.tag;
    }
    manifest->folded = MAX(manifest->folded, MIN(manifest->current, manifest->state.sequence));
    manifest->current_checked_ms = clock_now_ms(manifest->clock);
    return ERR_OK;
}

/* Starts over from the checkpoint that `current` names. */
static ErrCode read_checkpoint(Manifest *manifest, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char name[MANIFEST_KEY_BYTES];
    Str key = manifest_checkpoint_key(manifest->current, name), bytes;
    ErrCode code =
        store_get(manifest->store, key, 0, MANIFEST_OBJECT_BYTES_MAX, arena, &bytes, NULL, err);
    State fresh;

    if (code != ERR_OK) return error_wrap(err, "manifest");
    if (checkpoint_decode(bytes, &fresh, err) != ERR_OK)
        return error_wrap(err, "manifest: " STR_FMT, STR_ARG(key));
    if (fresh.sequence != manifest->current) {
        uint64_t says = fresh.sequence;

        state_done(&fresh);
        return error_set(err, ERR_CORRUPT, "manifest: " STR_FMT ": says that it is checkpoint %llu",
                         STR_ARG(key), (unsigned long long)says);
    }
    state_done(&manifest->state);
    manifest->state = fresh;
    manifest->folded = fresh.sequence;
    manifest->dirty = true;
    manifest->foreign_all = true;
    return ERR_OK;
}

ErrCode manifest_follow_current(Manifest *manifest, Error *err) {
    ErrCode code = ERR_OK;

    for (unsigned attempt = 0; attempt < MANIFEST_ATTEMPTS_MAX; attempt++) {
        uint64_t missing = manifest->current;

        TRY(manifest_read_current(manifest, err));
        if (manifest->current <= manifest->state.sequence) return ERR_OK;
        if (code == ERR_NOT_FOUND && manifest->current == missing) break;
        code = read_checkpoint(manifest, err);
        if (code == ERR_OK) return ERR_OK;
        if (code != ERR_NOT_FOUND) return code;
        /* A newer one came and this one went while we asked; else it really isn't there. */
    }
    return error_set(err, ERR_CORRUPT, "manifest: checkpoint %llu, which current names, is missing",
                     (unsigned long long)manifest->current);
}

bool manifest_is_due(const Manifest *manifest) {
    int64_t since = clock_now_ms(manifest->clock) - manifest->current_checked_ms;

    return since < 0 || since >= CURRENT_CHECK_MS;
}

static ErrCode read_unnumbered(Manifest *manifest, Error *err) {
    Listing listing = {manifest, 0};

    TRY(store_list(manifest->store, DELTA_STEM, read_listed, &listing, err));
    if (listing.hole == 0) return ERR_OK;
    return error_set(err, ERR_CORRUPT, "manifest: a delta before %llu is missing",
                     (unsigned long long)listing.hole);
}

ErrCode manifest_catch_up(Manifest *manifest, bool prove, Error *err) {
    if (!manifest->conditional) return read_unnumbered(manifest, err);
    /* First, so that numbers which were folded and used again by somebody who slept aren't read. */
    if (manifest_is_due(manifest)) TRY(manifest_follow_current(manifest, err));
    TRY(read_numbered(manifest, err));
    if (!prove) return ERR_OK;
    for (unsigned attempt = 0; attempt < MANIFEST_ATTEMPTS_MAX; attempt++) {
        uint64_t before = manifest->state.sequence;

        TRY(manifest_follow_current(manifest, err));
        if (manifest->state.sequence == before) return ERR_OK;
        TRY(read_numbered(manifest, err));
    }
    return error_set(err, ERR_UNAVAILABLE, "manifest: checkpoints come faster than they are read");
}

ErrCode manifest_read_all(Manifest *manifest, Error *err) {
    Listing listing = {manifest, 0};

    for (unsigned attempt = 0; attempt < MANIFEST_ATTEMPTS_MAX; attempt++) {
        TRY(manifest_follow_current(manifest, err));
        if (!manifest->conditional) return manifest_catch_up(manifest, false, err);
        /* Once in a life: the store may have been used without conditional PUT before. */
        listing.hole = 0;
        TRY(store_list(manifest->store, DELTA_STEM, read_listed, &listing, err));
        TRY(manifest_catch_up(manifest, true, err));
        if (listing.hole == 0) return ERR_OK;
        if (listing.hole > manifest->state.sequence)
            return error_set(err, ERR_CORRUPT, "manifest: delta %llu is missing, %llu is there",
                             (unsigned long long)manifest->state.sequence + 1,
                             (unsigned long long)listing.hole);
    }
    return error_set(err, ERR_UNAVAILABLE, "manifest: checkpoints come faster than they are read");
}
