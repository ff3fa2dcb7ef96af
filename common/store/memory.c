/*
 * memory.c: a store for tests and for `memory:`. Objects in an array sorted by key, one lock.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/store/driver.h"

typedef struct Entry {
    Str key;  /* ours */
    Str body; /* ours */
    uint64_t version;
    int64_t modified_ms;
} Entry;

typedef struct Memory {
    StoreDriver driver;
    const Clock *clock;
    pthread_rwlock_t lock; /* all below */
    Entry *entries;
    size_t count;
    size_t capacity;
    uint64_t version; /* of the newest put: what tags are made of */
} Memory;

/* Where `key` is, or would go. */
static size_t find(const Memory *memory, Str key, bool *found) {
    size_t low = 0, high = memory->count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(memory->entries[middle].key, key);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void tag_of(uint64_t version, StoreTag *out) {
    snprintf(out->text, sizeof out->text, "\"m%llu\"", (unsigned long long)version);
}

static void describe(const Entry *entry, StoreObject *out) {
    out->key = entry->key;
    out->size = entry->body.len;
    out->modified_ms = entry->modified_ms;
    tag_of(entry->version, &out->tag);
}

static void entry_done(Entry *entry) {
    free((char *)entry->key.ptr);
    free((char *)entry->body.ptr);
}

static bool copy(Str from, Str *to) {
    char *bytes = malloc(from.len + 1);

    if (bytes == NULL) return false;
    if (from.len > 0) memcpy(bytes, from.ptr, from.len);
    bytes[from.len] = '\0';
    *to = (Str){bytes, from.len};
    return true;
}

static bool make_room(Memory *memory) {
    size_t capacity = memory->capacity == 0 ? 64 : memory->capacity * 2;
    Entry *entries;

    if (memory->count < memory->capacity) return true;
    entries = realloc(memory->entries, capacity * sizeof *entries);
    if (entries == NULL) return false;
    memory->entries = entries;
    memory->capacity = capacity;
    return true;
}

static ErrCode put_locked(Memory *memory, Entry *fresh, const StorePut *how, Error *err) {
    bool found;
    size_t at = find(memory, fresh->key, &found);
    StoreTag tag = {0};

    if (how->if_absent && found) return error_set(err, ERR_EXISTS, "the key is taken");
    if (found) tag_of(memory->entries[at].version, &tag);
    if (how->if_match != NULL && (!found || strcmp(tag.text, how->if_match->text) != 0))
        return error_set(err, ERR_EXISTS, found ? "it is another object by now" : "it is gone");
    if (!found) {
        if (!make_room(memory)) return error_set(err, ERR_LIMIT, "out of memory");
        memmove(&memory->entries[at + 1], &memory->entries[at],
                (memory->count - at) * sizeof *memory->entries);
        memory->count++;
    } else {
        entry_done(&memory->entries[at]);
    }
    fresh->version = ++memory->version;
    memory->entries[at] = *fresh;
    *fresh = (Entry){0};
    tag_of(memory->version, how->ret_tag);
    return ERR_OK;
}

static ErrCode memory_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err) {
    Memory *memory = (Memory *)driver;
    Entry fresh = {.modified_ms = clock_now_ms(memory->clock)};
    ErrCode code;

    if (!copy(key, &fresh.key) || !copy(body, &fresh.body)) {
        entry_done(&fresh);
        return error_set(err, ERR_LIMIT, "out of memory");
    }
    pthread_rwlock_wrlock(&memory->lock);
    code = put_locked(memory, &fresh, how, err);
    pthread_rwlock_unlock(&memory->lock);
    entry_done(&fresh);
    return code;
}

static ErrCode get_locked(Memory *memory, Str key, const DriverGet *what, Arena *arena, Str *out,
                          StoreObject *object, Error *err) {
    bool found;
    size_t at = find(memory, key, &found);
    uint64_t offset = what->offset;
    const Entry *entry;
    Str part;

    if (!found) return error_set(err, ERR_NOT_FOUND, "no such key");
    entry = &memory->entries[at];
    if (what->tail) offset = entry->body.len > what->length ? entry->body.len - what->length : 0;
    if (offset > entry->body.len)
        return error_set(err, ERR_INVALID, "offset %llu of an object of %zu bytes",
                         (unsigned long long)offset, entry->body.len);
    part = str_dup(arena, str_slice(entry->body, (size_t)offset, what->length));
    if (part.ptr == NULL) return error_set(err, ERR_LIMIT, "no memory for the object");
    describe(entry, object);
    *out = part;
    return ERR_OK;
}

static ErrCode memory_get(StoreDriver *driver, Str key, const DriverGet *what, Arena *arena,
                          Str *out, StoreObject *object, Error *err) {
    Memory *memory = (Memory *)driver;
    ErrCode code;

    pthread_rwlock_rdlock(&memory->lock);
    code = get_locked(memory, key, what, arena, out, object, err);
    pthread_rwlock_unlock(&memory->lock);
    return code;
}

static ErrCode memory_head(StoreDriver *driver, Str key, StoreObject *out, Error *err) {
    Memory *memory = (Memory *)driver;
    bool found;
    size_t at;

    pthread_rwlock_rdlock(&memory->lock);
    at = find(memory, key, &found);
    if (found) describe(&memory->entries[at], out);
    pthread_rwlock_unlock(&memory->lock);
    return found ? ERR_OK : error_set(err, ERR_NOT_FOUND, "no such key");
}

/* The first key after `after` (or from it on, when `from`) that starts with `prefix`, into `key`.
 */
static bool next_key(Memory *memory, Str prefix, Str after, bool from, Buf *key,
                     StoreObject *object) {
    bool found;
    size_t at;

    pthread_rwlock_rdlock(&memory->lock);
    at = find(memory, after, &found);
    if (found && !from) at++;
    found = at < memory->count && str_starts_with(memory->entries[at].key, prefix);
    if (found) {
        Str name = memory->entries[at].key;
        Buf copied;

        describe(&memory->entries[at], object);
        buf_init(&copied, 0); /* `after` may lie in `key` */
        buf_append_str(&copied, name);
        buf_done(key);
        *key = copied;
        object->key = buf_str(key);
    }
    pthread_rwlock_unlock(&memory->lock);
    return found;
}

static ErrCode memory_list(StoreDriver *driver, Str prefix,
                           ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                           void *context, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf key;
    StoreObject object = {0};
    Str after = prefix;

    buf_init(&key, 0);
    for (bool from = true; next_key((Memory *)driver, prefix, after, from, &key, &object);
         from = false) {
        if (buf_failed(&key)) return error_set(err, ERR_LIMIT, "out of memory");
        TRY(each(context, &object, err));
        after = buf_str(&key);
    }
    return ERR_OK;
}

static ErrCode memory_delete(StoreDriver *driver, Str key, Error *err) {
    Memory *memory = (Memory *)driver;
    Entry gone = {0};
    bool found;
    size_t at;

    (void)err;
    pthread_rwlock_wrlock(&memory->lock);
    at = find(memory, key, &found);
    if (found) {
        gone = memory->entries[at];
        memory->count--;
        memmove(&memory->entries[at], &memory->entries[at + 1],
                (memory->count - at) * sizeof *memory->entries);
    }
    pthread_rwlock_unlock(&memory->lock);
    entry_done(&gone);
    return ERR_OK;
}

static void memory_free(StoreDriver *driver) {
    Memory *memory = (Memory *)driver;

    for (size_t i = 0; i < memory->count; i++) entry_done(&memory->entries[i]);
    free(memory->entries);
    pthread_rwlock_destroy(&memory->lock);
    free(memory);
}

/* Uploads are collected by store.c, which is as streamed as memory gets. */
static const StoreDriver memory_driver = {
    .name = "memory",
    .features = STORE_CONDITIONAL_PUT | STORE_STREAMED_PUT,
    .put = memory_put,
    .get = memory_get,
    .head = memory_head,
    .list = memory_list,
    .remove = memory_delete,
    .free = memory_free,
};

StoreDriver *store_driver_memory_at(const Clock *clock) {
    Memory *memory = calloc(1, sizeof *memory);

    if (memory == NULL) return NULL;
    memory->driver = memory_driver;
    memory->clock = clock == NULL ? clock_system() : clock;
    pthread_rwlock_init(&memory->lock, NULL);
    return &memory->driver;
}

StoreDriver *store_driver_memory(void) {
    return store_driver_memory_at(NULL);
}
