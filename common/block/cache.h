#pragma once
/*
 * cache.h: decoded footers, indexes and pages, shared by all queries. Private to common/block.
 *
 * An entry is made outside of the lock, so two queries may make the same one; the second to publish
 * drops its own. An entry that doesn't fit into the cache, even after everything unpinned went, is
 * charged to the query that wants it and goes when that query is done.
 */
#include "common/base/hash.h"
#include "common/block/block.h"

typedef enum EntryKind {
    ENTRY_BLOCK,
    ENTRY_DICTIONARY,
    ENTRY_SERIES,
    ENTRY_CHUNKS,
    ENTRY_PAGE,
    ENTRY_UUIDS,
    ENTRY_HEX,
    ENTRY_LITERAL,
    ENTRY_SPAN_VALUES,
    ENTRY_SPAN_DIRECTORIES,
    ENTRY_SPAN_FILTER,
    ENTRY_SPAN_IDS,
    ENTRY_SPAN_STRIPE,
} EntryKind;

typedef struct CacheKey {
    Hash128 object; /* of its name, for ENTRY_BLOCK; else of name and footer */
    uint32_t part;
    uint32_t page;
    EntryKind kind;
    uint32_t stripe; /* ENTRY_SPAN_STRIPE: which of the page */
} CacheKey;

typedef struct CacheEntry CacheEntry;

Store *cache_store(const BlockCache *cache);
Hash128 cache_name_hash(const BlockCache *cache, Str key);

/* Pinned, or NULL. */
CacheEntry *cache_find(BlockCache *cache, const CacheKey *key);
void cache_unpin(CacheEntry *entry);
void *cache_payload(const CacheEntry *entry);

/* Makes the payload, all of it in `arena`; may be called twice. */
typedef ErrCode (*EntryMake)(void *context, Arena *arena, void **payload, Error *err);
/* `name`: of the object, for block_cache_forget(). `estimate`: bytes that it will take. `fallback`
 * pays when the cache can't. Pinned. */
MUST_USE ErrCode cache_make(BlockCache *cache, const CacheKey *key, Hash128 name, size_t estimate,
                            Budget *fallback, EntryMake make, void *context, CacheEntry **out,
                            Error *err);

/* Pins that go with an arena. */
typedef struct Pins Pins;
Pins *pins_new(Arena *arena);
/* Takes over one pin, also when it fails. */
MUST_USE bool pins_add(Pins *pins, CacheEntry *entry);
