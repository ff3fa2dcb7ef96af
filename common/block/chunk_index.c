/*
 * chunk_index.c: where everything is that the data section holds.
 *
 * Chunks lie in its pages in the order of series, and columns of times in the order of their
 * numbers, so a length each says where all of them are.
 *
 *     varint  pages, columns of times, series, chunks
 *     pages:  for each u8 type, varint stored bytes, varint raw bytes
 *     times:  for each varint count, zigzag change of its first instant from that of the column
 *             before, varint last instant - first, varint bytes
 *     u8      bit 0: series have other than one chunk each, bit 1: chunks are not all CHUNK_FLOATS
 *     u8      width of a times number, u8 width of a length: 1, 2 or 4 bytes
 *     if bit 0: varint number of chunks, for each series
 *     times numbers, lengths, and if bit 1 u8 kinds, of all chunks, each kind of thing together
 */
#include <string.h>

#include "common/base/reader.h"
#include "common/block/container.h"
#include "common/block/index.h"

enum { HAS_COUNTS = 1 << 0, HAS_KINDS = 1 << 1, FLAGS = 3 };

/* More instants than this are no column: see COLUMN_ITEMS_MAX, which is far below. */
enum { TIMES_COUNT_MAX = 1 << 16 };

/* ---------- building ---------- */

static unsigned width_of(uint32_t most) {
    return most <= UINT8_MAX ? 1 : most <= UINT16_MAX ? 2 : 4;
}

static void put_times(const ChunkIndexBuilder *b, Buf *out) {
    int64_t last = 0;

    for (size_t i = 0; i < b->times_count; i++) {
        const TimesEntry *t = &b->times[i];

        buf_append_varint(out, t->count);
        buf_append_zigzag(out, (int64_t)((uint64_t)t->min_ms - (uint64_t)last));
        buf_append_varint(out, (uint64_t)t->max_ms - (uint64_t)t->min_ms);
        buf_append_varint(out, t->place.length);
        last = t->min_ms;
    }
}

static void put_chunks(const ChunkIndexBuilder *b, unsigned times_width, unsigned length_width,
                       bool kinds, Buf *out) {
    for (size_t i = 0; i < b->chunk_count; i++) buf_append(out, &b->chunks[i].times, times_width);
    for (size_t i = 0; i < b->chunk_count; i++) buf_append(out, &b->chunks[i].length, length_width);
    for (size_t i = 0; kinds && i < b->chunk_count; i++)
        buf_append_byte(out, (char)b->chunks[i].kind);
}

void chunk_index_build(const ChunkIndexBuilder *b, Buf *out) {
    bool counts = false, kinds = false;
    uint32_t times = 0, length = 0;

    for (size_t i = 0; i < b->series_count; i++) counts = counts || b->per_series[i] != 1;
    for (size_t i = 0; i < b->chunk_count; i++) {
        kinds = kinds || b->chunks[i].kind != CHUNK_FLOATS;
        times = MAX(times, b->chunks[i].times);
        length = MAX(length, b->chunks[i].length);
    }
    buf_append_varint(out, b->page_count);
    buf_append_varint(out, b->times_count);
    buf_append_varint(out, b->series_count);
    buf_append_varint(out, b->chunk_count);
    for (size_t i = 0; i < b->page_count; i++) {
        buf_append_byte(out, (char)b->pages[i].type);
        buf_append_varint(out, b->pages[i].stored);
        buf_append_varint(out, b->pages[i].raw);
    }
    put_times(b, out);
    buf_append_byte(out, (char)((counts ? HAS_COUNTS : 0) | (kinds ? HAS_KINDS : 0)));
    buf_append_byte(out, (char)width_of(times));
    buf_append_byte(out, (char)width_of(length));
    for (size_t i = 0; counts && i < b->series_count; i++) buf_append_varint(out, b->per_series[i]);
    put_chunks(b, width_of(times), width_of(length), kinds, out);
}

void exemplar_index_build(const ExemplarEntry *entries, size_t count, Buf *out) {
    uint32_t series = 0;

    buf_append_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        buf_append_varint(out, entries[i].series - series);
        buf_append_varint(out, entries[i].count);
        buf_append_zigzag(out, entries[i].min_ms);
        buf_append_varint(out, (uint64_t)entries[i].max_ms - (uint64_t)entries[i].min_ms);
        buf_append_varint(out, entries[i].place.length);
        series = entries[i].series;
    }
}

/* ---------- decoding ---------- */

/* Walks through the pages of one type, handing out one length after the other. Things never span
 * pages, so each either follows in the page or begins the next one. */
typedef struct Walk {
    const DataPage *pages;
    uint32_t page_count;
    uint32_t page; /* page_count before the first */
    uint32_t used; /* of the page */
    uint8_t type;
} Walk;

static Walk walk_begin(const DataPage *pages, uint32_t page_count, PageType type) {
    uint32_t first = 0;

    while (first < page_count && pages[first].type != type) first++;
    return (Walk){pages, page_count, first, 0, (uint8_t)type};
}

static bool walk(Walk *w, uint64_t length, DataPlace *out) {
    while (w->page < w->page_count && w->used == w->pages[w->page].raw) {
        w->used = 0;
        do w->page++;
        while (w->page < w->page_count && w->pages[w->page].type != w->type);
    }
    if (w->page >= w->page_count || length == 0 || length > w->pages[w->page].raw - w->used)
        return false;
    *out = (DataPlace){w->page, w->used, (uint32_t)length};
    w->used += (uint32_t)length;
    return true;
}

static bool take_pages(Reader *r, uint64_t offset, uint64_t length, DataPage *pages,
                       uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        uint8_t type = reader_u8(r);
        uint64_t stored = reader_varint(r), raw = reader_varint(r);

        if (r->failed || type == 0 || type >= PAGE_TYPES || stored > length ||
            stored < PAGE_HEAD_BYTES || raw == 0 || raw > PAGE_RAW_MAX)
            return false;
        pages[i] = (DataPage){offset, (uint32_t)stored, (uint32_t)raw, type};
        offset += stored;
        length -= stored;
    }
    return length == 0;
}

static bool take_times(Reader *r, const DataPage *pages, uint32_t page_count, TimesEntry *times,
                       uint64_t count) {
    Walk w = walk_begin(pages, page_count, PAGE_TIMES);
    int64_t last = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t instants = reader_varint(r);
        int64_t change = reader_zigzag(r);
        uint64_t span = reader_varint(r), length = reader_varint(r);
        TimesEntry *t = &times[i];

        t->count = (uint32_t)instants;
        t->min_ms = (int64_t)((uint64_t)last + (uint64_t)change);
        t->max_ms = (int64_t)((uint64_t)t->min_ms + span);
        if (r->failed || instants == 0 || instants > TIMES_COUNT_MAX || t->max_ms < t->min_ms ||
            !walk(&w, length, &t->place))
            return false;
        last = t->min_ms;
    }
    return true;
}

/* How many chunks each series has; NULL and true when one each. */
static bool take_starts(Reader *r, uint64_t series, uint64_t chunks, uint32_t *starts) {
    uint64_t total = 0;

    for (uint64_t i = 0; i < series; i++) {
        uint64_t count = reader_varint(r);

        if (r->failed || count > chunks - total) return false;
        starts[i] = (uint32_t)total;
        total += count;
    }
    starts[series] = (uint32_t)total;
    return total == chunks;
}

static uint32_t get(const char *array, unsigned width, uint64_t i) {
    uint32_t v = 0;

    memcpy(&v, array + i * width, width);
    return v;
}

static bool take_chunks(Reader *r, unsigned times_width, unsigned length_width, bool has_kinds,
                        const ChunkIndex *index, ChunkEntry *chunks, uint8_t *kinds) {
    Walk w = walk_begin(index->pages, index->page_count, PAGE_VALUES);
    Str numbers = reader_bytes(r, (size_t)index->chunk_count * times_width);
    Str lengths = reader_bytes(r, (size_t)index->chunk_count * length_width);
    Str kind = reader_bytes(r, has_kinds ? index->chunk_count : 0);

    if (r->failed) return false;
    for (uint32_t i = 0; i < index->chunk_count; i++) {
        chunks[i].times = get(numbers.ptr, times_width, i);
        if (chunks[i].times >= index->times_count ||
            !walk(&w, get(lengths.ptr, length_width, i), &chunks[i].place))
            return false;
        if (!has_kinds) continue;
        kinds[i] = (uint8_t)kind.ptr[i];
        if (kinds[i] != CHUNK_FLOATS && kinds[i] != CHUNK_HISTOGRAMS) return false;
    }
    return reader_at_end(r);
}

ErrCode chunk_index_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena, ChunkIndex *out,
                           Error *err) {
    Reader r = reader_of(raw);
    uint64_t pages = reader_varint(&r), times = reader_varint(&r);
    uint64_t series = reader_varint(&r), chunks = reader_varint(&r);
    uint8_t flags, times_width, length_width;
    DataPage *page_list;
    TimesEntry *times_list;
    ChunkEntry *chunk_list;
    uint32_t *starts = NULL;
    uint8_t *kinds = NULL;

    /* A page takes three bytes, a column four, a chunk two. */
    if (r.failed || pages > reader_left(&r) / 3 || times > reader_left(&r) / 4 ||
        chunks > reader_left(&r) / 2 || chunks > UINT32_MAX - 1 || times > UINT32_MAX - 1 ||
        series > UINT32_MAX - 1)
        return error_set(err, ERR_CORRUPT, "chunk index: bad head");
    page_list = arena_alloc(arena, (size_t)pages * sizeof *page_list + 1);
    times_list = arena_alloc(arena, (size_t)times * sizeof *times_list + 1);
    chunk_list = arena_alloc(arena, (size_t)chunks * sizeof *chunk_list + 1);
    if (page_list == NULL || times_list == NULL || chunk_list == NULL)
        return error_set(err, ERR_LIMIT, "no memory for an index of %llu chunks",
                         (unsigned long long)chunks);
    if (!take_pages(&r, offset, length, page_list, pages))
        return error_set(err, ERR_CORRUPT, "chunk index: bad page");
    if (!take_times(&r, page_list, (uint32_t)pages, times_list, times))
        return error_set(err, ERR_CORRUPT, "chunk index: bad column of times");
    flags = reader_u8(&r);
    times_width = reader_u8(&r);
    length_width = reader_u8(&r);
    if (r.failed || flags > FLAGS || (times_width != 1 && times_width != 2 && times_width != 4) ||
        (length_width != 1 && length_width != 2 && length_width != 4) ||
        ((flags & HAS_COUNTS) == 0 && series != chunks) ||
        ((flags & HAS_COUNTS) != 0 && series > reader_left(&r)))
        return error_set(err, ERR_CORRUPT, "chunk index: bad layout");
    if ((flags & HAS_COUNTS) != 0) {
        starts = arena_alloc(arena, ((size_t)series + 1) * sizeof *starts);
        if (starts == NULL) return error_set(err, ERR_LIMIT, "no memory for a chunk index");
        if (!take_starts(&r, series, chunks, starts))
            return error_set(err, ERR_CORRUPT, "chunk index: bad number of chunks");
    }
    if ((flags & HAS_KINDS) != 0) {
        kinds = arena_alloc(arena, (size_t)chunks + 1);
        if (kinds == NULL) return error_set(err, ERR_LIMIT, "no memory for a chunk index");
    }
    *out = (ChunkIndex){
        .pages = page_list,
        .times = times_list,
        .chunks = chunk_list,
        .kinds = kinds,
        .chunk_start = starts,
        .page_count = (uint32_t)pages,
        .times_count = (uint32_t)times,
        .chunk_count = (uint32_t)chunks,
        .series_count = (uint32_t)series,
    };
    if (!take_chunks(&r, times_width, length_width, kinds != NULL, out, chunk_list, kinds))
        return error_set(err, ERR_CORRUPT, "chunk index: bad chunk");
    return ERR_OK;
}

ErrCode exemplar_index_decode(Str raw, const ChunkIndex *chunks, Arena *arena, ExemplarEntry **out,
                              size_t *count, Error *err) {
    Walk w = walk_begin(chunks->pages, chunks->page_count, PAGE_EXEMPLARS);
    Reader r = reader_of(raw);
    uint64_t entries = reader_varint(&r), series = 0;
    ExemplarEntry *list;

    if (r.failed || entries > reader_left(&r) / 5)
        return error_set(err, ERR_CORRUPT, "exemplar index: bad head");
    list = ARENA_ARRAY(arena, ExemplarEntry, entries + 1);
    if (list == NULL) return error_set(err, ERR_LIMIT, "no memory for an exemplar index");
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t gap = reader_varint(&r), items = reader_varint(&r), span, length;
        ExemplarEntry *e = &list[i];

        e->min_ms = reader_zigzag(&r);
        span = reader_varint(&r);
        length = reader_varint(&r);
        e->max_ms = (int64_t)((uint64_t)e->min_ms + span);
        series += gap;
        if (r.failed || gap >= chunks->series_count || series >= chunks->series_count ||
            items == 0 || items > TIMES_COUNT_MAX || e->max_ms < e->min_ms ||
            !walk(&w, length, &e->place))
            return error_set(err, ERR_CORRUPT, "exemplar index: bad entry");
        e->series = (uint32_t)series;
        e->count = (uint32_t)items;
    }
    if (!reader_at_end(&r)) return error_set(err, ERR_CORRUPT, "exemplar index: bytes left over");
    *out = list;
    *count = (size_t)entries;
    return ERR_OK;
}
