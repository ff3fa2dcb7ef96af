/*
 * near.c: a driver over objects that were read whole. Keys are few; what isn't here is asked for
 * where it came from.
 */
#include <stdlib.h>

#include "common/store/driver.h"
#include "compactor/merge/merge.h"

typedef struct NearObject {
    Str key;
    Str body;
    StoreObject about;
} NearObject;

typedef struct Near {
    StoreDriver driver;
    Store *far;
    NearObject *objects;
    size_t count;
} Near;

static const NearObject *find(const Near *near, Str key) {
    for (size_t i = 0; i < near->count; i++)
        if (str_equal(near->objects[i].key, key)) return &near->objects[i];
    return NULL;
}

static ErrCode near_get(StoreDriver *driver, Str key, const DriverGet *what, Arena *arena, Str *out,
                        StoreObject *object, Error *err) {
    Near *near = (Near *)driver;
    const NearObject *found = find(near, key);
    uint64_t offset = what->offset;

    if (found == NULL)
        return what->tail
                   ? store_get_tail(near->far, key, what->length, arena, out, object, err)
                   : store_get(near->far, key, offset, what->length, arena, out, object, err);
    if (what->tail) offset = found->body.len - MIN(what->length, found->body.len);
    if (offset > found->body.len) return error_set(err, ERR_INVALID, "offset behind the end");
    *out = str_slice(found->body, (size_t)offset, what->length); /* outlives the caller's arena */
    *object = found->about;
    return ERR_OK;
}

static ErrCode near_head(StoreDriver *driver, Str key, StoreObject *out, Error *err) {
    Near *near = (Near *)driver;
    const NearObject *found = find(near, key);

    if (found == NULL) return store_head(near->far, key, out, err);
    *out = found->about;
    return ERR_OK;
}

static ErrCode read_only(Error *err) {
    return error_set(err, ERR_UNSUPPORTED, "this store only reads");
}

static ErrCode near_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err) {
    (void)driver, (void)key, (void)body, (void)how;
    return read_only(err);
}

static ErrCode near_list(StoreDriver *driver, Str prefix,
                         ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                         void *context, Error *err) {
    (void)driver, (void)prefix, (void)each, (void)context;
    return read_only(err);
}

static ErrCode near_remove(StoreDriver *driver, Str key, Error *err) {
    (void)driver, (void)key;
    return read_only(err);
}

static void near_free(StoreDriver *driver) {
    (void)driver; /* the arena's */
}

static const StoreDriver near_driver = {
    .name = "near",
    .put = near_put,
    .get = near_get,
    .head = near_head,
    .list = near_list,
    .remove = near_remove,
    .free = near_free,
};

static void release(void *what) {
    store_free(what);
}

ErrCode near_store(Store *far, const ManifestEntry *const *entries, size_t count,
                   uint64_t bytes_max, Arena *arena, Store **out, Error *err) {
    Near *near = ARENA_NEW(arena, Near);
    NearObject *objects = ARENA_ARRAY(arena, NearObject, count);
    uint64_t left = bytes_max;
    Store *store;

    if (near == NULL || objects == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    *near = (Near){.driver = near_driver, .far = far, .objects = objects};
    for (size_t i = 0; i < count; i++) {
        NearObject *object = &objects[near->count];
        ErrCode code;

        if (entries[i]->size > left) continue;
        code = store_get(far, entries[i]->key, 0, (size_t)entries[i]->size + 1, arena,
                         &object->body, &object->about, err);
        /* No budget for it, or it isn't what it should be: the reader asks again, and says so. */
        if (code == ERR_LIMIT || code == ERR_NOT_FOUND || code == ERR_CORRUPT) continue;
        TRY(code);
        object->key = entries[i]->key;
        left -= MIN(left, object->body.len);
        near->count++;
    }
    store = store_new(&near->driver);
    if (store == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    if (!arena_on_free(arena, release, store)) {
        store_free(store);
        return error_set(err, ERR_LIMIT, "out of memory");
    }
    *out = store;
    return ERR_OK;
}
