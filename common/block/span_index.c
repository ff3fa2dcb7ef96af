/*
 * span_index.c: the list of a part's pages.
 *
 *     varint  pages
 *     for each: varint stored bytes with head, varint raw bytes, varint spans, varint traces,
 * varint bytes of the directory's copy, zigzag first start less that of the page before, varint
 * last end less first start
 *
 * Pages lie one behind the other in the data section, directories in theirs.
 */
#include "common/block/span_index.h"

#include "common/base/reader.h"
#include "common/block/container.h"
#include "common/block/span_page.h"

void span_index_build(const SpanIndexBuilder *b, Buf *out) {
    int64_t last_ns = 0;

    buf_append_varint(out, b->count);
    for (size_t i = 0; i < b->count; i++) {
        const SpanPageEntry *e = &b->pages[i].entry;

        buf_append_varint(out, b->pages[i].stored);
        buf_append_varint(out, b->pages[i].raw);
        buf_append_varint(out, e->rows);
        buf_append_varint(out, e->traces);
        buf_append_varint(out, e->directory_bytes);
        buf_append_zigzag(out, (int64_t)((uint64_t)e->min_ns - (uint64_t)last_ns));
        buf_append_varint(out, (uint64_t)e->max_ns - (uint64_t)e->min_ns);
        last_ns = e->min_ns;
    }
}

static bool take_pages(Reader *r, uint64_t count, uint64_t offset, uint64_t length, DataPage *pages,
                       SpanPageEntry *entries, uint64_t *directories) {
    uint64_t at = 0;
    int64_t last_ns = 0;

    *directories = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t stored = reader_varint(r), raw = reader_varint(r), rows = reader_varint(r);
        uint64_t traces = reader_varint(r), directory = reader_varint(r);
        int64_t min_ns = (int64_t)((uint64_t)last_ns + (uint64_t)reader_zigzag(r));
        int64_t max_ns = (int64_t)((uint64_t)min_ns + reader_varint(r));

        if (r->failed || stored < PAGE_HEAD_BYTES || stored > length - at || raw > PAGE_RAW_MAX ||
            rows == 0 || rows > SPAN_PAGE_ROWS_MAX || traces == 0 || traces > rows ||
            directory > raw || max_ns < min_ns)
            return false;
        /* What is fetched in parts lies there as it is. */
        if (directory > 0 && raw + PAGE_HEAD_BYTES != stored) return false;
        pages[i] = (DataPage){offset + at, (uint32_t)stored, (uint32_t)raw, 0};
        entries[i] = (SpanPageEntry){.min_ns = min_ns,
                                     .max_ns = max_ns,
                                     .rows = (uint32_t)rows,
                                     .traces = (uint32_t)traces,
                                     .directory_bytes = (uint32_t)directory,
                                     .directory = *directories};
        at += stored;
        *directories += directory;
        last_ns = min_ns;
    }
    return at == length && reader_at_end(r);
}

ErrCode span_index_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena, SpanIndex *out,
                          Error *err) {
    Reader r = reader_of(raw);
    uint64_t count = reader_varint(&r), directories;
    SpanPageEntry *entries;
    DataPage *pages;

    /* A page takes seven bytes at least. */
    if (r.failed || count > reader_left(&r) / 7)
        return error_set(err, ERR_CORRUPT, "index of spans: bad head");
    pages = ARENA_ARRAY(arena, DataPage, count + 1);
    entries = ARENA_ARRAY(arena, SpanPageEntry, count + 1);
    if (pages == NULL || entries == NULL)
        return error_set(err, ERR_LIMIT, "no memory for an index of spans");
    if (!take_pages(&r, count, offset, length, pages, entries, &directories))
        return error_set(err, ERR_CORRUPT, "index of spans: bad page");
    *out = (SpanIndex){pages, entries, (uint32_t)count, directories};
    return ERR_OK;
}
