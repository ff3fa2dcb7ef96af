#pragma once
/*
 * index.h: the index of one tenant's metrics in one object: dictionary of labels, series as columns
 * of labels, and where chunks are. Private to common/block. Bytes: docs/FORMATS.md#metrics.
 *
 * Builders collect what the writer sees in an arena; decoders check everything they hand out, so
 * that who uses an index may count on every number in it.
 */
#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/batch/labels.h"
#include "common/block/selection.h"

/* ---------- dictionary: label names in byte order, the values of each in byte order ---------- */

typedef struct Dictionary {
    const Str *names;
    const uint32_t *first; /* values of name n are pairs [first[n], first[n + 1]) */
    const LabelPair *pairs;
    uint32_t name_count;
    uint32_t pair_count;
    uint32_t metric_name; /* index of __name__; name_count when there is none */
} Dictionary;

MUST_USE ErrCode dictionary_decode(Str raw, Arena *arena, Dictionary *out, Error *err);
/* Bytes that a dictionary takes decoded, for a budget; 0 when `raw` is not one. */
size_t dictionary_decoded_bytes(Str raw);
/* Index of a name, or name_count. */
uint32_t dictionary_find_name(const Dictionary *dictionary, Str name);
/* Index among the values of a name plus one; 0: no such value. */
uint32_t dictionary_find_value(const Dictionary *dictionary, uint32_t name, Str value);

static inline uint32_t dictionary_value_count(const Dictionary *dictionary, uint32_t name) {
    return dictionary->first[name + 1] - dictionary->first[name];
}

typedef struct DictionaryBuilder DictionaryBuilder;
DictionaryBuilder *dictionary_builder_new(Arena *arena);
/* A number for the pair, counted up from 0 as pairs come. UINT32_MAX: out of memory. */
uint32_t dictionary_add(DictionaryBuilder *builder, Str name, Str value);
LabelPair dictionary_builder_pair(const DictionaryBuilder *builder, uint32_t number);
/* What a pair's number has become. */
typedef struct PairPlace {
    uint32_t name;  /* index in order of names */
    uint32_t value; /* index in order of the name's values, plus one */
} PairPlace;
/* Sorts, encodes, and tells where each pair went and how many values each name has. */
typedef struct DictionaryLayout {
    const PairPlace *places;      /* by number */
    const uint32_t *value_counts; /* by name */
    uint32_t name_count;
    uint32_t metric_name; /* as in Dictionary */
} DictionaryLayout;
MUST_USE ErrCode dictionary_build(DictionaryBuilder *builder, Buf *out, DictionaryLayout *layout,
                                  Error *err);

/* ---------- series: groups of neighbours with the same metric name, a column per label ----------
 */

typedef struct SeriesGroup {
    uint32_t first; /* series */
    uint32_t count;
    uint32_t metric;               /* value of __name__ plus one; 0: none */
    uint32_t label_count;          /* without __name__ */
    const uint32_t *names;         /* indices, ascending */
    const uint8_t *const *columns; /* per label, per series: value plus one, 0 for none */
} SeriesGroup;

typedef struct SeriesIndex {
    const SeriesGroup *groups;
    uint32_t group_count;
    uint32_t series_count;
    const uint32_t *rows;      /* pairs of all series, one after the other, in order of names */
    const uint32_t *row_start; /* series s has rows[row_start[s]] to rows[row_start[s + 1]] */
} SeriesIndex;

/* Bytes of an element of a column: 1, 2 or 4, as many as the name's values need. */
static inline unsigned series_column_width(uint32_t value_count) {
    return value_count <= UINT8_MAX ? 1 : value_count <= UINT16_MAX ? 2 : 4;
}

static inline uint32_t series_column_get(const uint8_t *column, unsigned width, size_t i) {
    uint32_t v = 0;

    if (width == 1) return column[i];
    __builtin_memcpy(&v, column + i * width, width);
    return v;
}

/* `raw` must live as long as *out, whose columns are in it. Without `with_rows` rows are NULL, for
 * who goes through the series once. */
MUST_USE ErrCode series_index_decode(Str raw, const Dictionary *dictionary, bool with_rows,
                                     Arena *arena, SeriesIndex *out, Error *err);
/* Writes the pairs of series `i` of a group, at most label_count + 1; how many. */
uint32_t series_row(const Dictionary *dictionary, const SeriesGroup *group, uint32_t i,
                    uint32_t *pairs);

typedef struct SeriesBuilder {
    uint32_t *numbers; /* of pairs, all series one after the other */
    size_t number_count;
    size_t number_capacity;
    uint32_t *starts; /* per series */
    size_t series_count;
    size_t series_capacity;
} SeriesBuilder;
/* False: out of memory. */
MUST_USE bool series_builder_add(SeriesBuilder *builder, Arena *arena, const uint32_t *numbers,
                                 size_t count);
MUST_USE ErrCode series_build(const SeriesBuilder *builder, const DictionaryLayout *layout,
                              Arena *arena, Buf *out, Error *err);

/* ---------- chunks: pages of data, columns of times, chunks of each series ---------- */

typedef enum PageType {
    PAGE_VALUES = 1, /* chunks of values, in order of series */
    PAGE_TIMES = 2,
    PAGE_EXEMPLARS = 3,
} PageType;
enum { PAGE_TYPES = 4 };

typedef struct DataPage {
    uint64_t offset; /* in the object */
    uint32_t stored; /* head included */
    uint32_t raw;
    uint8_t type;
} DataPage;

/* Where something is in the pages of one type. */
typedef struct DataPlace {
    uint32_t page; /* index among all pages */
    uint32_t offset;
    uint32_t length;
} DataPlace;

typedef struct TimesEntry {
    int64_t min_ms;
    int64_t max_ms;
    DataPlace place;
    uint32_t count;
} TimesEntry;

typedef struct ChunkEntry {
    DataPlace place;
    uint32_t times; /* index */
} ChunkEntry;

typedef struct ChunkIndex {
    const DataPage *pages;
    const TimesEntry *times;
    const ChunkEntry *chunks;
    const uint8_t *kinds;        /* ChunkKind, by chunk; NULL: all CHUNK_FLOATS */
    const uint32_t *chunk_start; /* series s has chunks [start[s], start[s + 1]); NULL: one each */
    uint32_t page_count;
    uint32_t times_count;
    uint32_t chunk_count;
    uint32_t series_count;
} ChunkIndex;

static inline uint32_t chunk_index_start(const ChunkIndex *index, uint32_t series) {
    return index->chunk_start == NULL ? series : index->chunk_start[series];
}

/* `offset` and `length`: where the data section is. */
MUST_USE ErrCode chunk_index_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena,
                                    ChunkIndex *out, Error *err);

typedef struct ChunkIndexBuilder {
    struct BuiltPage {
        uint32_t stored;
        uint32_t raw;
        uint8_t type;
    } * pages;
    size_t page_count, page_capacity;
    TimesEntry *times; /* `place` has the length only */
    size_t times_count, times_capacity;
    struct BuiltChunk {
        uint32_t times;
        uint32_t length;
        uint8_t kind;
    } * chunks;
    size_t chunk_count, chunk_capacity;
    uint32_t *per_series;
    size_t series_count, series_capacity;
} ChunkIndexBuilder;
void chunk_index_build(const ChunkIndexBuilder *builder, Buf *out);

/* Exemplars: where those of a series are, in order of series. */
typedef struct ExemplarEntry {
    int64_t min_ms;
    int64_t max_ms;
    DataPlace place;
    uint32_t series;
    uint32_t count;
} ExemplarEntry;
MUST_USE ErrCode exemplar_index_decode(Str raw, const ChunkIndex *chunks, Arena *arena,
                                       ExemplarEntry **out, size_t *count, Error *err);
void exemplar_index_build(const ExemplarEntry *entries, size_t count, Buf *out);

/* ---------- for builders ---------- */

/* An array in the arena with room for `more`; grows by doubling. NULL: out of memory, and the old
 * one is as it was. */
void *index_room(Arena *arena, void *array, size_t count, size_t more, size_t *capacity,
                 size_t element);
