/*
 * cache.c: a hash table of entries under one lock, and a list of those that nobody uses, the least
 * recently used at its end. Every entry is one arena, so it is paid for and freed as a whole.
 */
#include "common/block/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"

struct CacheEntry {
    CacheKey key;
    Hash128 name; /* of the object */
    BlockCache *cache;
    Arena *arena; /* the entry itself is in it */
    void *payload;
    CacheEntry *next_in_slot;
    CacheEntry *newer, *older; /* while unpinned */
    uint32_t pins;
    bool listed; /* in the table */
};

struct BlockCache {
    Store *store;
    Budget *budget;
    uint64_t seed;
    pthread_mutex_t lock; /* guards what follows, and pins and links of entries */
    CacheEntry **slots;
    size_t slot_count; /* a power of two */
    size_t entry_count;
    CacheEntry *newest, *oldest; /* of the unpinned */
};

enum { SLOTS_MIN = 256 };

BlockCache *block_cache_new(Store *store, Budget *budget) {
    BlockCache *cache = calloc(1, sizeof *cache);

    if (cache == NULL) return NULL;
    cache->slots = calloc(SLOTS_MIN, sizeof(CacheEntry *));
    if (cache->slots == NULL || pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache->slots);
        free(cache);
        return NULL;
    }
    cache->slot_count = SLOTS_MIN;
    cache->store = store;
    cache->budget = budget;
    cache->seed = random_u64();
    return cache;
}

Store *cache_store(const BlockCache *cache) {
    return cache->store;
}

Hash128 cache_name_hash(const BlockCache *cache, Str key) {
    return hash_bytes_128(key.ptr, key.len, cache->seed);
}

static size_t slot_of(const BlockCache *cache, const CacheKey *key) {
    uint64_t hash = key->object.low ^
                    ((uint64_t)key->part << 32 | key->page) * 0x9e3779b97f4a7c15u ^
                    ((uint64_t)key->stripe << 8 | key->kind) * 0xff51afd7ed558ccdu;

    return (hash ^ hash >> 29) & (cache->slot_count - 1);
}

static bool keys_equal(const CacheKey *a, const CacheKey *b) {
    return a->object.low == b->object.low && a->object.high == b->object.high &&
           a->part == b->part && a->page == b->page && a->stripe == b->stripe && a->kind == b->kind;
}

static CacheEntry *look_up(const BlockCache *cache, const CacheKey *key) {
    CacheEntry *entry = cache->slots[slot_of(cache, key)];

    while (entry != NULL && !keys_equal(&entry->key, key)) entry = entry->next_in_slot;
    return entry;
}

static void unlink_unpinned(BlockCache *cache, CacheEntry *entry) {
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        cache->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
    entry->newer = entry->older = NULL;
}

static void link_unpinned(BlockCache *cache, CacheEntry *entry) {
    entry->older = cache->newest;
    if (cache->newest != NULL)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
}

static void unlist(BlockCache *cache, CacheEntry *entry) {
    CacheEntry **at = &cache->slots[slot_of(cache, &entry->key)];

    while (*at != entry) at = &(*at)->next_in_slot;
    *at = entry->next_in_slot;
    entry->listed = false;
    cache->entry_count--;
}

static void pin(BlockCache *cache, CacheEntry *entry) {
    if (entry->pins++ == 0) unlink_unpinned(cache, entry);
}

void block_cache_free(BlockCache *cache) {
    if (cache == NULL) return;
    while (cache->oldest != NULL) {
        CacheEntry *entry = cache->oldest;

        unlink_unpinned(cache, entry);
        unlist(cache, entry);
        arena_free(entry->arena);
    }
    assert(cache->entry_count == 0); /* no query may outlive the cache */
    pthread_mutex_destroy(&cache->lock);
    free(cache->slots);
    free(cache);
}

CacheEntry *cache_find(BlockCache *cache, const CacheKey *key) {
    CacheEntry *entry;

    pthread_mutex_lock(&cache->lock);
    entry = look_up(cache, key);
    if (entry != NULL) pin(cache, entry);
    pthread_mutex_unlock(&cache->lock);
    return entry;
}

void cache_unpin(CacheEntry *entry) {
    BlockCache *cache = entry->cache;
    bool unused;

    pthread_mutex_lock(&cache->lock);
    unused = --entry->pins == 0 && !entry->listed;
    if (entry->pins == 0 && entry->listed) link_unpinned(cache, entry);
    pthread_mutex_unlock(&cache->lock);
    if (unused) arena_free(entry->arena);
}

void *cache_payload(const CacheEntry *entry) {
    return entry->payload;
}

void block_cache_forget(BlockCache *cache, Str key) {
    Hash128 name = cache_name_hash(cache, key);
    CacheEntry *gone = NULL;

    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->slot_count; i++) {
        for (CacheEntry *entry = cache->slots[i], *next; entry != NULL; entry = next) {
            next = entry->next_in_slot;
            if (entry->name.low != name.low || entry->name.high != name.high) continue;
            unlist(cache, entry); /* who has it pinned frees it */
            if (entry->pins > 0) continue;
            unlink_unpinned(cache, entry);
            entry->next_in_slot = gone;
            gone = entry;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    while (gone != NULL) {
        CacheEntry *entry = gone;

        gone = entry->next_in_slot;
        arena_free(entry->arena);
    }
}

/* Frees the least recently used entry; false when all are in use. */
static bool evict_one(BlockCache *cache) {
    CacheEntry *entry;

    pthread_mutex_lock(&cache->lock);
    entry = cache->oldest;
    if (entry != NULL) {
        unlink_unpinned(cache, entry);
        unlist(cache, entry);
    }
    pthread_mutex_unlock(&cache->lock);
    if (entry == NULL) return false;
    arena_free(entry->arena);
    return true;
}

/* Another query may take the room that was made: then the making fails and `fallback` pays. */
static bool make_room(BlockCache *cache, size_t bytes) {
    if (cache->budget == NULL) return true;
    while (!budget_take(cache->budget, bytes)) {
        if (!evict_one(cache)) return false;
    }
    budget_give(cache->budget, bytes);
    return true;
}

static void grow_table(BlockCache *cache) {
    size_t old_count = cache->slot_count;
    CacheEntry **old = cache->slots, **grown;

    if (cache->entry_count < old_count) return;
    grown = calloc(old_count * 2, sizeof(CacheEntry *));
    if (grown == NULL) return; /* slower, but right */
    cache->slots = grown;
    cache->slot_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        for (CacheEntry *entry = old[i], *next; entry != NULL; entry = next) {
            CacheEntry **slot = &grown[slot_of(cache, &entry->key)];

            next = entry->next_in_slot;
            entry->next_in_slot = *slot;
            *slot = entry;
        }
    }
    free(old);
}

/* Puts the entry into the table, unless another query was faster: then that one's, pinned. */
static CacheEntry *publish(BlockCache *cache, CacheEntry *made) {
    CacheEntry *known;

    pthread_mutex_lock(&cache->lock);
    known = look_up(cache, &made->key);
    if (known != NULL) {
        pin(cache, known);
    } else {
        size_t slot;

        grow_table(cache);
        slot = slot_of(cache, &made->key);
        made->next_in_slot = cache->slots[slot];
        cache->slots[slot] = made;
        made->listed = true;
        cache->entry_count++;
    }
    pthread_mutex_unlock(&cache->lock);
    if (known == NULL) return made;
    arena_free(made->arena);
    return known;
}

static ErrCode make_in(BlockCache *cache, const CacheKey *key, Hash128 name, Budget *budget,
                       EntryMake make, void *context, CacheEntry **out, Error *err) {
    Arena *arena = arena_new(0, budget);
    CacheEntry *entry = ARENA_NEW(arena, CacheEntry);
    ErrCode code;

    if (entry == NULL) {
        arena_free(arena);
        return error_set(err, ERR_LIMIT, "no memory to read a block");
    }
    *entry = (CacheEntry){.key = *key, .name = name, .cache = cache, .arena = arena, .pins = 1};
    code = make(context, arena, &entry->payload, err);
    if (code != ERR_OK) {
        arena_free(arena);
        return code;
    }
    *out = entry;
    return ERR_OK;
}

ErrCode cache_make(BlockCache *cache, const CacheKey *key, Hash128 name, size_t estimate,
                   Budget *fallback, EntryMake make, void *context, CacheEntry **out, Error *err) {
    CacheEntry *entry = NULL;
    ErrCode code;

    if (make_room(cache, estimate + KIB(4))) {
        code = make_in(cache, key, name, cache->budget, make, context, &entry, err);
        if (code == ERR_OK) {
            *out = publish(cache, entry);
            return ERR_OK;
        }
        if (code != ERR_LIMIT) return code;
    }
    TRY(make_in(cache, key, name, fallback, make, context, &entry, err));
    *out = entry;
    return ERR_OK;
}

/* ---------- pins ---------- */

struct Pins {
    Arena *arena;
    CacheEntry **entries;
    size_t count, capacity;
};

static void release_pins(void *what) {
    Pins *pins = what;

    for (size_t i = 0; i < pins->count; i++) cache_unpin(pins->entries[i]);
}

Pins *pins_new(Arena *arena) {
    Pins *pins = ARENA_NEW(arena, Pins);

    if (pins == NULL) return NULL;
    pins->arena = arena;
    return arena_on_free(arena, release_pins, pins) ? pins : NULL;
}

bool pins_add(Pins *pins, CacheEntry *entry) {
    if (pins->count == pins->capacity) {
        size_t wanted = MAX(pins->capacity * 2, (size_t)8);
        CacheEntry **grown = arena_grow(pins->arena, pins->entries, pins->capacity * sizeof *grown,
                                        wanted * sizeof *grown);

        if (grown == NULL) {
            cache_unpin(entry);
            return false;
        }
        pins->entries = grown;
        pins->capacity = wanted;
    }
    pins->entries[pins->count++] = entry;
    return true;
}
