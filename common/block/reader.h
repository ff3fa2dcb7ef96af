#pragma once
/*
 * reader.h: an open block and how its parts are fetched. Private to common/block.
 */
#include "common/block/cache.h"
#include "common/block/container.h"
#include "common/block/log_filter.h"
#include "common/block/log_index.h"
#include "common/block/span_load.h"

struct Block {
    BlockCache *cache;
    Container container;
    const BlockPart *parts;
    Str key;
    Hash128 name; /* of the key */
    Hash128 id;   /* of the key and the footer */
    /* What the first GET brought along before the footer, if it is worth keeping. */
    Str tail;
    uint64_t tail_offset;
};

enum {
    GET_GAP_BYTES_MAX = 64 << 10, /* so far apart, and things still come in one GET, */
    GET_BYTES_MAX = 8 << 20,      /* of so much together */
};

/* One part of a block on behalf of one query. */
typedef struct PartReader {
    const Block *block;
    const ContainerPart *part;
    uint32_t number;
    Arena *arena; /* the query's */
    Pins *pins;
    BlockStats *stats;
    const Dictionary *dictionary;
    const SeriesIndex *series;
    const ChunkIndex *chunks;
    uint64_t times_id;    /* of the first column of times */
    const LogIndex *logs; /* in the place of chunks */
    const LogFilters *filters[LOG_ID_KINDS];
    const LogLiteral *literal; /* NULL: not asked for, or the object has none */
    const SpanIndex *spans;    /* in the place of chunks */
    const SpanValues *span_values;
    const SpanDirectories *span_directories;
    const SpanFilter *span_filter;
    const DataPage *pages;
    uint32_t page_count;
} PartReader;

enum {
    LOAD_DICTIONARY = 1 << 0,
    LOAD_SERIES = 1 << 1,
    LOAD_CHUNKS = 1 << 2,
    LOAD_INDEX = 7,
    LOAD_UUIDS = 1 << 3, /* of logs */
    LOAD_HEX = 1 << 4,
    LOAD_LITERAL = 1 << 5,     /* where the object has it */
    LOAD_SPAN_VALUES = 1 << 6, /* of traces, whose list of pages is LOAD_CHUNKS; with that */
    LOAD_SPAN_DIRECTORIES = 1 << 7,
    LOAD_SPAN_FILTER = 1 << 8,
};

/* What making a piece of an index goes by. */
typedef struct PartDecoding {
    PartReader *reader;
    const Section *section;
    Str stored;
} PartDecoding;

/* *found says whether the block has anything of the tenant and signal. */
MUST_USE ErrCode part_open(const Block *block, Str tenant, Signal signal, Arena *arena,
                           BlockStats *stats, PartReader *out, bool *found, Error *err);
/* Fetches (one GET) and decodes what isn't cached; LOAD_SERIES needs LOAD_DICTIONARY. */
MUST_USE ErrCode part_load(PartReader *reader, unsigned what, Error *err);
/* The same of what is cached, without a GET. */
MUST_USE ErrCode part_load_cached(PartReader *reader, unsigned what, Error *err);
/* Bytes of the object, from what came with the footer or by a GET. */
MUST_USE ErrCode part_get(PartReader *reader, uint64_t offset, uint64_t length, Arena *arena,
                          Str *out, Error *err);
CacheKey part_cache_key(const PartReader *reader, EntryKind kind, uint32_t page);
/* A section as a whole, not cached, in the query's arena. NULL: there is none. */
MUST_USE ErrCode part_read_blob(PartReader *reader, SectionKind kind, Str *raw, bool *found,
                                Error *err);
/* Fetches the pages marked in needed[page_count], those that lie near each other in one GET. What
 * they hold goes to pages[page_count]; others are left alone. */
MUST_USE ErrCode part_load_pages(PartReader *reader, const bool *needed, const char **pages,
                                 Error *err);

/* One page. */
MUST_USE ErrCode part_load_page(PartReader *reader, uint32_t number, const char **page, Error *err);

/* A section's codec, if this program knows it. */
MUST_USE ErrCode section_check(const Section *section, Error *err);

/* An object's end: what its footer is in. */
typedef struct ObjectEnd {
    Str bytes; /* the last ones */
    Str footer;
    ContainerTail tail;
    uint64_t size; /* of the object */
} ObjectEnd;
/* One GET of `ahead` bytes or more, or two when the footer is longer. `size` 0: unknown. `stats`
 * may be NULL. */
MUST_USE ErrCode object_read_end(Store *store, Str key, uint64_t size, uint64_t ahead, Arena *arena,
                                 BlockStats *stats, ObjectEnd *out, Error *err);
/* All of [offset, offset + length). */
MUST_USE ErrCode object_read(Store *store, Str key, uint64_t offset, uint64_t length, Arena *arena,
                             BlockStats *stats, Str *out, Error *err);

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
