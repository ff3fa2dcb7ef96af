#pragma once
/*
 * span_ids.h: which pages of a part have a trace. Private to common/block. Bytes:
 * docs/FORMATS.md#traces.
 *
 * Ids are known by 40 bits of their hash, whatever whoever made them put into them. Two of one hash
 * cost a page that is read in vain, one in a million times in a block of a million traces.
 *
 * Three layers. A *filter* of 14 to 17 bits a trace says that a trace isn't here, and is wrong once in
 * 4,096 times. The *ids*, sorted by hash, each with the page it is in, lie in pages of their own.
 * Which of those a hash is in say their *first hashes*, which stand beside the filter: so a look-up
 * needs one page of ids, and no more.
 */
#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/block/container.h"
#include "common/block/spans.h"

enum {
    SPAN_HASH_BITS = 40,
    SPAN_IDS_PER_PAGE = 4096,
    SPAN_FILTER_BITS = 17, /* of a filter for each trace, at most, but for the smallest */
};

/* By hash, then page. */
MUST_USE bool span_ids_sort(SpanTracePlace *entries, size_t count, Arena *scratch);

/* One page of ids as it is stored, of 1 to SPAN_IDS_PER_PAGE sorted entries. Appends. */
void span_ids_encode(const SpanTracePlace *entries, size_t count, Buf *out);
/* ERR_CORRUPT: not that, or one is in none of `page_count` pages. */
MUST_USE ErrCode span_ids_decode(Str raw, uint32_t page_count, Arena *arena, SpanTracePlace **out,
                                 size_t *count, Error *err);

typedef struct SpanIdPage {
    uint64_t first_hash;
    uint64_t offset; /* in the object */
    uint32_t stored; /* head included */
    uint32_t count;
} SpanIdPage;

typedef struct SpanFilter {
    const uint8_t *fingerprints; /* of 12 bits */
    uint64_t seed;
    uint32_t segment_bits;
    uint32_t segment_count; /* 0: there is no filter, and every trace may be here */
    const SpanIdPage *pages;
    uint32_t page_count;
    uint64_t id_count;
} SpanFilter;

/* Appends filter and first hashes. `pages` need no offsets. ERR_LIMIT: the arena. */
MUST_USE ErrCode span_filter_build(const SpanTracePlace *entries, size_t count,
                                   const SpanIdPage *pages, size_t page_count, Arena *scratch,
                                   Buf *out, Error *err);
/* `raw` must live as long as *out; `offset` and `length`: where the section of ids is. */
MUST_USE ErrCode span_filter_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena,
                                    SpanFilter *out, Error *err);
bool span_filter_may_hold(const SpanFilter *filter, uint64_t hash);
/* The pages [*first, *end) of ids that entries of this hash are in: one nearly always. */
void span_filter_pages(const SpanFilter *filter, uint64_t hash, uint32_t *first, uint32_t *end);
