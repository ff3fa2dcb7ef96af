#pragma once
/*
 * span_index.h: where a tenant's pages of traces are in one object. Private to common/block. Bytes:
 * docs/FORMATS.md#traces.
 *
 * The pages' list stands beside the filter of ids (span_ids.h): with these two, a look-up of a
 * trace knows what to fetch. Copies of large pages' directories stand apart: with these, who needs
 * a few columns of a page fetches those. Small pages are fetched whole.
 */
#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/block/index.h"

enum {
    /* A page of fewer stored bytes is fetched whole. */
    SPAN_DIRECTORY_BYTES_MIN = 96 << 10,
};

typedef struct SpanPageEntry {
    int64_t min_ns;
    int64_t max_ns;
    uint32_t rows;
    uint32_t traces;
    uint32_t directory_bytes; /* of the copy; 0: there is none */
    uint64_t directory;       /* where in the section of directories */
} SpanPageEntry;

typedef struct SpanIndex {
    const DataPage *pages; /* where and how long */
    const SpanPageEntry *entries;
    uint32_t page_count;
    uint64_t directories; /* bytes of all */
} SpanIndex;

/* `offset` and `length`: where the data section is. */
MUST_USE ErrCode span_index_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena,
                                   SpanIndex *out, Error *err);

typedef struct SpanIndexBuilder {
    struct BuiltSpanPage {
        SpanPageEntry entry;
        uint32_t stored;
        uint32_t raw;
    } * pages;
    size_t count, capacity;
} SpanIndexBuilder;
void span_index_build(const SpanIndexBuilder *builder, Buf *out);
