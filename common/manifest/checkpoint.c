/*
 * checkpoint.c: folds deltas into one object, and deletes what was folded long enough ago.
 *
 * The order is what makes a crash harmless: the checkpoint is whole before `current` names it, and
 * nothing is deleted that a checkpoint which was current for all of the grace doesn't hold.
 */
#include <stdio.h>
#include <string.h>

#include "common/manifest/internal.h"

#define MANIFEST_STEM STR("manifest/")
#define DELTA_STEM STR("manifest/delta-")
#define CHECKPOINT_STEM STR("manifest/checkpoint-")

/* `current` names this checkpoint, unless somebody else changed it since it was read. */
static ErrCode put_current(Manifest *manifest, uint64_t sequence, Error *err) {
    StoreTag tag = {0}, before = manifest->current_tag;
    StorePut how = {.ret_tag = &tag};
    char text[32];
    int len = snprintf(text, sizeof text, "%llu\n", (unsigned long long)sequence);

    if (manifest->has_current)
        how.if_match = &before;
    else
        how.if_absent = true;
    TRY(store_put(manifest->store, MANIFEST_CURRENT_KEY, (Str){text, (size_t)len}, &how, err));
    manifest->has_current = true;
    manifest->current = sequence;
    manifest->current_tag = tag;
    return ERR_OK;
}

static ErrCode write_checkpoint(Manifest *manifest, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    char name[MANIFEST_KEY_BYTES];
    uint64_t sequence = manifest->state.sequence;
    ErrCode code;

    buf_init(&bytes, 0);
    TRY(checkpoint_encode(&manifest->state, &bytes, err));
    if (store_put(manifest->store, manifest_checkpoint_key(sequence, name), buf_str(&bytes), NULL,
                  err) != ERR_OK)
        return error_wrap(err, "manifest");
    code = put_current(manifest, sequence, err);
    if (code == ERR_OK) {
        manifest->folded = sequence;
        return ERR_OK;
    }
    if (code != ERR_EXISTS) return error_wrap(err, "manifest");
    /* Somebody else made one, or our own answer was lost: theirs is as good as ours. */
    TRY(manifest_read_current(manifest, err));
    manifest->folded = MIN(manifest->current, sequence);
    return ERR_OK;
}

typedef struct Cleaning {
    const Manifest *manifest;
    Arena *arena;
    Str *keys;
    size_t count;
    size_t capacity;
    int64_t before_ms;
    uint64_t settled; /* the newest checkpoint that is older than the grace */
} Cleaning;

static bool is_old(const Cleaning *cleaning, const StoreObject *object) {
    return object->modified_ms != 0 && object->modified_ms <= cleaning->before_ms;
}

static ErrCode note_checkpoint(void *context, const StoreObject *object, Error *err) {
    Cleaning *cleaning = context;
    uint64_t number;
    bool has_ulid;

    (void)err;
    if (manifest_key_number(object->key, CHECKPOINT_STEM, &number, &has_ulid) &&
        number <= cleaning->manifest->current && is_old(cleaning, object))
        cleaning->settled = MAX(cleaning->settled, number);
    return ERR_OK;
}

static ErrCode note_folded(void *context, const StoreObject *object, Error *err) {
    Cleaning *cleaning = context;
    uint64_t number;
    bool has_ulid, folded;

    if (manifest_key_number(object->key, DELTA_STEM, &number, &has_ulid))
        folded = number <= cleaning->settled;
    else
        folded = manifest_key_number(object->key, CHECKPOINT_STEM, &number, &has_ulid) &&
                 number < cleaning->settled;
    if (!folded || !is_old(cleaning, object)) return ERR_OK;
    if (cleaning->count == cleaning->capacity) {
        size_t capacity = MAX(cleaning->capacity * 2, 64);

        cleaning->keys = arena_grow(cleaning->arena, cleaning->keys,
                                    cleaning->capacity * sizeof(Str), capacity * sizeof(Str));
        if (cleaning->keys == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
        cleaning->capacity = capacity;
    }
    cleaning->keys[cleaning->count] = str_dup(cleaning->arena, object->key);
    if (cleaning->keys[cleaning->count].ptr == NULL)
        return error_set(err, ERR_LIMIT, "manifest: out of memory");
    cleaning->count++;
    return ERR_OK;
}

/* A process that opens the manifest right now may hold an older checkpoint and want the deltas
 * after it: what counts is how long ago they were folded, not how old they are. */
static ErrCode clean(Manifest *manifest, int64_t grace_ms, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Cleaning cleaning = {.manifest = manifest,
                         .arena = arena,
                         .before_ms = clock_now_ms(manifest->clock) - grace_ms};

    if (manifest->current == 0) return ERR_OK;
    TRY(store_list(manifest->store, CHECKPOINT_STEM, note_checkpoint, &cleaning, err));
    if (cleaning.settled == 0) return ERR_OK;
    TRY(store_list(manifest->store, MANIFEST_STEM, note_folded, &cleaning, err));
    for (size_t i = 0; i < cleaning.count; i++)
        TRY(store_delete(manifest->store, cleaning.keys[i], err));
    return ERR_OK;
}

ErrCode manifest_checkpoint(Manifest *manifest, size_t deltas_max, int64_t grace_ms, Error *err) {
    ErrCode code = ERR_OK;

    /* Without conditional PUT a delta of any number may still be under way from somebody else, so
     * nothing can be said to be folded: the deltas stay, and a LIST reads them all. */
    if (!manifest->conditional) return ERR_OK;
    pthread_mutex_lock(&manifest->lock);
    /* A state that `current` has overtaken must not become current. */
    if (manifest->current <= manifest->state.sequence &&
        manifest->state.sequence - manifest->folded > deltas_max)
        code = write_checkpoint(manifest, err);
    if (code == ERR_OK) code = clean(manifest, grace_ms, err);
    pthread_mutex_unlock(&manifest->lock);
    return code;
}
