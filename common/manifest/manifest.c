/*
 * manifest.c: reading and committing. One lock orders commits and refreshes of this process; the
 * store's conditional PUT orders processes. Snapshots are swapped under a second lock that nobody
 * holds while the store is asked.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/manifest/state.h"

enum {
    COMMIT_ATTEMPTS_MAX = 64,
    KEY_BYTES = 80,
    CURRENT_BYTES_MAX = 64,
    CURRENT_CHECK_MS = 60 * 1000,
};
#define OBJECT_BYTES_MAX (UINT64_C(1) << 30)

typedef struct Names {
    char (*items)[KEY_BYTES]; /* sorted */
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
    uint64_t checkpoint; /* sequence of the checkpoint `current` names; 0: none */
    bool has_current;
    StoreTag current_tag;
    int64_t current_checked_ms;
    Names applied; /* deltas seen, on a store without conditional PUT */

    pthread_mutex_t snapshot_lock;
    const ManifestSnapshot *snapshot;
};

static const Str CURRENT_KEY = STR_INIT("manifest/current");

static Str delta_key(const Manifest *manifest, uint64_t sequence, char out[KEY_BYTES]) {
    int len;

    if (manifest->conditional) {
        len = snprintf(out, KEY_BYTES, "manifest/delta-%020llu", (unsigned long long)sequence);
    } else {
        char id[26];

        /* Nobody can say that this number is taken, so the name itself must be nobody else's. */
        ulid_make(clock_now_ms(manifest->clock), id);
        len = snprintf(out, KEY_BYTES, "manifest/delta-%020llu-%.26s", (unsigned long long)sequence,
                       id);
    }
    return (Str){out, (size_t)len};
}

static Str checkpoint_key(uint64_t sequence, char out[KEY_BYTES]) {
    int len = snprintf(out, KEY_BYTES, "manifest/checkpoint-%020llu", (unsigned long long)sequence);

    return (Str){out, (size_t)len};
}

/* ---- names of applied deltas ---- */

static size_t names_find(const Names *names, Str name, bool *ret_found) {
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(str_of(names->items[middle]), name);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = false;
    return low;
}

static ErrCode names_add(Names *names, Str name, Error *err) {
    bool found;
    size_t at = names_find(names, name, &found);

    if (found) return ERR_OK;
    if (name.len >= KEY_BYTES)
        return error_set(err, ERR_CORRUPT, "manifest: a delta with a name of %zu bytes", name.len);
    if (names->count == names->capacity) {
        size_t capacity = MAX(names->capacity * 2, 64);
        void *grown = realloc(names->items, capacity * sizeof *names->items);

        if (grown == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
        names->items = grown;
        names->capacity = capacity;
    }
    memmove(names->items + at + 1, names->items + at, (names->count - at) * sizeof *names->items);
    memcpy(names->items[at], name.ptr, name.len);
    names->items[at][name.len] = '\0';
    names->count++;
    return ERR_OK;
}

/* ---- snapshots ---- */

static ErrCode publish(Manifest *manifest, Error *err) {
    const ManifestSnapshot *fresh, *old;

    TRY(state_snapshot(&manifest->state, &fresh, err));
    pthread_mutex_lock(&manifest->snapshot_lock);
    old = manifest->snapshot;
    manifest->snapshot = fresh;
    pthread_mutex_unlock(&manifest->snapshot_lock);
    manifest_snapshot_unref(old);
    return ERR_OK;
}

const ManifestSnapshot *manifest_snapshot(Manifest *manifest) {
    const ManifestSnapshot *snapshot;

    pthread_mutex_lock(&manifest->snapshot_lock);
    snapshot = manifest_snapshot_ref(manifest->snapshot);
    pthread_mutex_unlock(&manifest->snapshot_lock);
    return snapshot;
}

/* ---- reading ---- */

static ErrCode apply_bytes(Manifest *manifest, Str key, Str bytes, Arena *arena, Error *err) {
    Delta delta;

    if (delta_decode(bytes, arena, &delta, err) != ERR_OK)
        return error_wrap(err, "manifest: " STR_FMT, STR_ARG(key));
    return state_apply(&manifest->state, &delta, err);
}

/* Applies the delta of the next number, if there is one. */
static ErrCode read_next(Manifest *manifest, bool *ret_more, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char name[KEY_BYTES];
    Str key = delta_key(manifest, manifest->state.sequence + 1, name), bytes;
    ErrCode code = store_get(manifest->store, key, 0, OBJECT_BYTES_MAX, arena, &bytes, NULL, err);

    *ret_more = false;
    if (code == ERR_NOT_FOUND) return ERR_OK;
    if (code != ERR_OK) return error_wrap(err, "manifest");
    TRY(apply_bytes(manifest, key, bytes, arena, err));
    *ret_more = true;
    return ERR_OK;
}

typedef struct Listing {
    Manifest *manifest;
    bool any;
} Listing;

static ErrCode read_listed(void *context, const StoreObject *object, Error *err) {
    Listing *listing = context;
    Manifest *manifest = listing->manifest;
    CLEANUP(arena_free) Arena *arena = NULL;
    bool known;
    Str bytes;

    (void)names_find(&manifest->applied, object->key, &known);
    if (known) return ERR_OK;
    arena = arena_new(0, NULL);
    if (store_get(manifest->store, object->key, 0, OBJECT_BYTES_MAX, arena, &bytes, NULL, err) !=
        ERR_OK)
        return error_wrap(err, "manifest");
    TRY(apply_bytes(manifest, object->key, bytes, arena, err));
    TRY(names_add(&manifest->applied, object->key, err));
    listing->any = true;
    return ERR_OK;
}

/* "<sequence>": what `current` holds. NOT_FOUND leaves `*ret_found` false. */
static ErrCode read_current(Manifest *manifest, uint64_t *sequence, bool *ret_found, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    StoreObject object = {0};
    Str text;
    ErrCode code =
        store_get(manifest->store, CURRENT_KEY, 0, CURRENT_BYTES_MAX, arena, &text, &object, err);

    *ret_found = false;
    manifest->current_checked_ms = clock_now_ms(manifest->clock);
    if (code == ERR_NOT_FOUND) return ERR_OK;
    if (code != ERR_OK) return error_wrap(err, "manifest");
    if (!str_to_u64(str_trim(text), sequence))
        return error_set(err, ERR_CORRUPT, "manifest: manifest/current holds no number");
    manifest->current_tag = object.tag;
    manifest->has_current = true;
    *ret_found = true;
    return ERR_OK;
}

/* Starts over from the checkpoint that `current` names. */
static ErrCode read_checkpoint(Manifest *manifest, uint64_t sequence, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char name[KEY_BYTES];
    Str key = checkpoint_key(sequence, name), bytes;
    State fresh;

    if (store_get(manifest->store, key, 0, OBJECT_BYTES_MAX, arena, &bytes, NULL, err) != ERR_OK)
        return error_wrap(err, "manifest");
    if (checkpoint_decode(bytes, &fresh, err) != ERR_OK)
        return error_wrap(err, "manifest: " STR_FMT, STR_ARG(key));
    state_done(&manifest->state);
    manifest->state = fresh;
    manifest->checkpoint = sequence;
    manifest->applied.count = 0;
    return ERR_OK;
}

/* Deltas that came since; from a newer checkpoint when they were folded behind our back. */
static ErrCode catch_up(Manifest *manifest, bool force_current, bool *ret_changed, Error *err) {
    uint64_t sequence, before = manifest->state.sequence;
    bool more = true, found;
    int64_t now = clock_now_ms(manifest->clock);

    if (!manifest->conditional) {
        Listing listing = {manifest, false};

        TRY(store_list(manifest->store, STR("manifest/delta-"), read_listed, &listing, err));
        *ret_changed = listing.any;
        return ERR_OK;
    }
    while (more) TRY(read_next(manifest, &more, err));
    *ret_changed = manifest->state.sequence != before;
    if (!force_current && (*ret_changed || now - manifest->current_checked_ms < CURRENT_CHECK_MS))
        return ERR_OK;
    TRY(read_current(manifest, &sequence, &found, err));
    if (!found || sequence <= manifest->state.sequence) return ERR_OK;
    TRY(read_checkpoint(manifest, sequence, err));
    *ret_changed = true;
    for (more = true; more;) TRY(read_next(manifest, &more, err));
    return ERR_OK;
}

ErrCode manifest_open(Store *store, const Clock *clock, Manifest **out, Error *err) {
    Manifest *manifest = calloc(1, sizeof *manifest);
    uint64_t sequence;
    bool found, changed;
    ErrCode code;

    if (manifest == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    manifest->store = store;
    manifest->clock = clock;
    manifest->writer = random_u64();
    manifest->conditional = (store_features(store) & STORE_CONDITIONAL_PUT) != 0;
    pthread_mutex_init(&manifest->lock, NULL);
    pthread_mutex_init(&manifest->snapshot_lock, NULL);
    code = read_current(manifest, &sequence, &found, err);
    if (code == ERR_OK && found) code = read_checkpoint(manifest, sequence, err);
    if (code == ERR_OK) code = catch_up(manifest, false, &changed, err);
    if (code == ERR_OK) code = publish(manifest, err);
    if (code != ERR_OK) {
        manifest_free(manifest);
        return code;
    }
    *out = manifest;
    return ERR_OK;
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
    bool changed = false;
    ErrCode code;

    pthread_mutex_lock(&manifest->lock);
    code = catch_up(manifest, false, &changed, err);
    if (code == ERR_OK && changed) code = publish(manifest, err);
    pthread_mutex_unlock(&manifest->lock);
    return code;
}

/* ---- committing ---- */

/* What of a change is still to be done. */
typedef struct Pending {
    const ManifestEntry *add;
    size_t add_count;
    bool known; /* something was there already */
} Pending;

static ErrCode check_add(const Manifest *manifest, const ManifestEntry *entry, bool *ret_known,
                         Error *err) {
    bool found;
    size_t at = state_find(&manifest->state, entry->key, &found);
    uint64_t number;
    Str lane;

    *ret_known = false;
    if (found) {
        if (manifest->state.entries[at]->entry.checksum != entry->checksum)
            return error_set(err, ERR_EXISTS,
                             "manifest: " STR_FMT " is there already with other content",
                             STR_ARG(entry->key));
        *ret_known = true;
    } else if (mark_parse(entry->key, &lane, &number)) {
        *ret_known = marks_have(&manifest->state.marks, lane, number);
    }
    return ERR_OK;
}

static ErrCode check_change(const Manifest *manifest, const ManifestChange *change, Arena *arena,
                            Pending *out, Error *err) {
    ManifestEntry *add = ARENA_ARRAY(arena, ManifestEntry, change->add_count);
    size_t missing = 0;

    if (add == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    *out = (Pending){.add = add};
    for (size_t i = 0; i < change->add_count; i++) {
        bool known;

        TRY(check_add(manifest, &change->add[i], &known, err));
        if (known)
            out->known = true;
        else
            add[out->add_count++] = change->add[i];
    }
    for (size_t i = 0; i < change->remove_count; i++) {
        bool found;

        (void)state_find(&manifest->state, change->remove[i], &found);
        missing += !found;
    }
    /* Everything added is there and everything removed is gone: this very change was committed
     * before and its answer got lost. */
    if (missing > 0 && !(missing == change->remove_count && out->known && out->add_count == 0))
        return error_set(err, ERR_EXISTS, "manifest: %zu of %zu objects to remove are gone already",
                         missing, change->remove_count);
    return ERR_OK;
}

/* Puts the delta where it belongs. `*ret_done` false: the number was taken; what has it is
 * applied, and the change is to be checked again. */
static ErrCode put_delta(Manifest *manifest, const Delta *delta, bool *ret_done, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char name[KEY_BYTES];
    Str key = delta_key(manifest, delta->sequence, name), found;
    StorePut how = {.if_absent = manifest->conditional};
    ErrCode code;

    *ret_done = false;
    buf_init(&bytes, 0);
    TRY(delta_encode(delta, &bytes, err));
    code = store_put(manifest->store, key, buf_str(&bytes), &how, err);
    if (code == ERR_OK) {
        if (!manifest->conditional) TRY(names_add(&manifest->applied, key, err));
        *ret_done = true;
        return state_apply(&manifest->state, delta, err);
    }
    if (code != ERR_EXISTS && code != ERR_UNAVAILABLE && code != ERR_TIMEOUT)
        return error_wrap(err, "manifest");
    /* Taken, or who knows: what is there tells. */
    Error read_err = {0};
    ErrCode read =
        store_get(manifest->store, key, 0, OBJECT_BYTES_MAX, arena, &found, NULL, &read_err);

    if (read != ERR_OK) return error_wrap(err, "manifest"); /* the first error says more */
    if (str_equal(found, buf_str(&bytes))) {
        if (!manifest->conditional) TRY(names_add(&manifest->applied, key, err));
        *ret_done = true;
        return state_apply(&manifest->state, delta, err);
    }
    return apply_bytes(manifest, key, found, arena, err);
}

static ErrCode commit_locked(Manifest *manifest, const ManifestChange *change, bool *ret_known,
                             Error *err) {
    bool done = false;

    for (unsigned attempt = 0; !done; attempt++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        Pending pending = {0};

        if (attempt == COMMIT_ATTEMPTS_MAX)
            return error_set(err, ERR_UNAVAILABLE, "manifest: others committed first %u times",
                             attempt);
        TRY(check_change(manifest, change, arena, &pending, err));
        *ret_known = pending.known;
        if (pending.add_count == 0 && (change->remove_count == 0 || pending.known)) return ERR_OK;
        Delta delta = {
            .sequence = manifest->state.sequence + 1,
            .time_ms = clock_now_ms(manifest->clock),
            .writer = manifest->writer,
            .add = pending.add,
            .add_count = pending.add_count,
            .remove = change->remove,
            .remove_count = change->remove_count,
        };
        TRY(put_delta(manifest, &delta, &done, err));
    }
    return ERR_OK;
}

ErrCode manifest_commit(Manifest *manifest, const ManifestChange *change, bool *ret_known,
                        Error *err) {
    bool known = false;
    uint64_t before;
    ErrCode code;

    pthread_mutex_lock(&manifest->lock);
    before = manifest->state.sequence;
    code = commit_locked(manifest, change, &known, err);
    /* Others' deltas may have come in even when ours did not. */
    if (manifest->state.sequence != before || !manifest->conditional) {
        Error publish_err = {0};
        ErrCode published = publish(manifest, &publish_err);

        if (code == ERR_OK && published != ERR_OK) {
            if (err != NULL) *err = publish_err;
            code = published;
        }
    }
    pthread_mutex_unlock(&manifest->lock);
    if (code == ERR_OK && ret_known != NULL) *ret_known = known;
    return code;
}

ErrCode manifest_forget(Manifest *manifest, const Str *keys, size_t count, Error *err) {
    ErrCode code = ERR_OK;
    bool done = count == 0;

    pthread_mutex_lock(&manifest->lock);
    for (unsigned attempt = 0; code == ERR_OK && !done; attempt++) {
        Delta delta = {
            .sequence = manifest->state.sequence + 1,
            .time_ms = clock_now_ms(manifest->clock),
            .writer = manifest->writer,
            .forget = keys,
            .forget_count = count,
        };

        if (attempt == COMMIT_ATTEMPTS_MAX)
            code = error_set(err, ERR_UNAVAILABLE, "manifest: others committed first %u times",
                             attempt);
        else
            code = put_delta(manifest, &delta, &done, err);
    }
    if (code == ERR_OK && count > 0) code = publish(manifest, err);
    pthread_mutex_unlock(&manifest->lock);
    return code;
}

/* ---- checkpoints ---- */

static ErrCode write_checkpoint(Manifest *manifest, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    char name[KEY_BYTES], text[32];
    uint64_t sequence = manifest->state.sequence;
    StorePut how = {.ret_tag = &manifest->current_tag};
    StoreTag before = manifest->current_tag;
    ErrCode code;
    int len;

    buf_init(&bytes, 0);
    TRY(checkpoint_encode(&manifest->state, &bytes, err));
    if (store_put(manifest->store, checkpoint_key(sequence, name), buf_str(&bytes), NULL, err) !=
        ERR_OK)
        return error_wrap(err, "manifest");
    if (manifest->conditional) {
        if (manifest->has_current)
            how.if_match = &before;
        else
            how.if_absent = true;
    }
    len = snprintf(text, sizeof text, "%llu\n", (unsigned long long)sequence);
    code = store_put(manifest->store, CURRENT_KEY, (Str){text, (size_t)len}, &how, err);
    if (code == ERR_OK) {
        manifest->has_current = true;
        manifest->checkpoint = sequence;
        return ERR_OK;
    }
    manifest->current_tag = before;
    if (code != ERR_EXISTS) return error_wrap(err, "manifest");
    /* Somebody else made one, or our own answer was lost: theirs is as good as ours. */
    uint64_t theirs;
    bool found;

    TRY(read_current(manifest, &theirs, &found, err));
    if (found) manifest->checkpoint = MIN(theirs, sequence);
    return ERR_OK;
}

typedef struct Cleaning {
    Manifest *manifest;
    Arena *arena;
    Str *keys;
    size_t count;
    size_t capacity;
    int64_t before_ms;
} Cleaning;

/* The number in manifest/delta-<number>[-<ulid>] and manifest/checkpoint-<number>. */
static bool key_number(Str key, const char *stem, uint64_t *out) {
    Str number, rest;

    if (!str_starts_with(key, str_of(stem))) return false;
    (void)str_cut(str_from(key, strlen(stem)), '-', &number, &rest);
    return str_to_u64(number, out);
}

static ErrCode clean_listed(void *context, const StoreObject *object, Error *err) {
    Cleaning *cleaning = context;
    uint64_t checkpoint = cleaning->manifest->checkpoint, number;
    bool folded =
        key_number(object->key, "manifest/delta-", &number)
            ? number <= checkpoint
            : key_number(object->key, "manifest/checkpoint-", &number) && number < checkpoint;

    if (!folded || object->modified_ms > cleaning->before_ms) return ERR_OK;
    if (cleaning->count == cleaning->capacity) {
        size_t capacity = MAX(cleaning->capacity * 2, 64);

        cleaning->keys = arena_grow(cleaning->arena, cleaning->keys,
                                    cleaning->capacity * sizeof(Str), capacity * sizeof(Str));
        if (cleaning->keys == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
        cleaning->capacity = capacity;
    }
    cleaning->keys[cleaning->count++] = str_dup(cleaning->arena, object->key);
    return ERR_OK;
}

static ErrCode clean(Manifest *manifest, int64_t grace_ms, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Cleaning cleaning = {.manifest = manifest,
                         .arena = arena,
                         .before_ms = clock_now_ms(manifest->clock) - grace_ms};

    TRY(store_list(manifest->store, STR("manifest/"), clean_listed, &cleaning, err));
    for (size_t i = 0; i < cleaning.count; i++)
        TRY(store_delete(manifest->store, cleaning.keys[i], err));
    return ERR_OK;
}

ErrCode manifest_checkpoint(Manifest *manifest, size_t deltas_max, int64_t grace_ms, Error *err) {
    ErrCode code = ERR_OK;

    pthread_mutex_lock(&manifest->lock);
    /* Without conditional PUT a delta of any number may still be under way from somebody else, so
     * nothing can be said to be folded: the deltas stay, and a LIST reads them all. */
    if (manifest->conditional && manifest->state.sequence - manifest->checkpoint > deltas_max) {
        code = write_checkpoint(manifest, err);
        if (code == ERR_OK) code = clean(manifest, grace_ms, err);
    }
    pthread_mutex_unlock(&manifest->lock);
    return code;
}
