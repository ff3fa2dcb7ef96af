#pragma once
/*
 * span_load.h: what of a part of traces lies in the cache, and in which pieces. Private to
 * common/block.
 *
 * A page that the index has no directory of is cached whole. Of others the cache holds *stripes*:
 * neighbouring columns of SPAN_STRIPE_BYTES or more, or one large column, so that a query that
 * needs few columns neither fetches nor keeps the others, and one that needs all has few pieces to
 * find.
 */
#include "common/block/span_ids.h"
#include "common/block/span_index.h"
#include "common/block/span_page.h"
#include "common/block/span_values.h"

enum { SPAN_STRIPE_BYTES = 24 << 10 };

typedef struct SpanStripe {
    uint32_t offset; /* in the page */
    uint32_t bytes;
} SpanStripe;

typedef struct PageDirectory {
    SpanDirectory directory; /* columns without bytes; count 0: there is no copy */
    uint32_t *stripe_of;     /* by column */
    SpanStripe *stripes;
    uint32_t stripe_count;
} PageDirectory;

typedef struct SpanDirectories {
    const PageDirectory *pages;
} SpanDirectories;

/* A whole page with its directory. */
typedef struct WholePage {
    Str bytes;
    SpanDirectory directory; /* with the columns' bytes */
} WholePage;

/* Makes of entries (cache.h); the first four are given a PartDecoding (reader.h). */
MUST_USE ErrCode span_make_index(void *context, Arena *arena, void **payload, Error *err);
MUST_USE ErrCode span_make_values(void *context, Arena *arena, void **payload, Error *err);
MUST_USE ErrCode span_make_directories(void *context, Arena *arena, void **payload, Error *err);
MUST_USE ErrCode span_make_filter(void *context, Arena *arena, void **payload, Error *err);

/* What of a page is at hand: stripes, or all. */
typedef struct SpanPieces {
    const WholePage *whole;
    const char *const *stripes; /* NULL: none; by stripe, NULL: not this one */
} SpanPieces;

/* What is to be fetched of a page. */
typedef struct SpanWant {
    uint32_t page;
    const SpanNeed *need;
} SpanWant;

struct PartReader;
/* Brings what is wanted, in order of pages, with as few GETs as make sense. out[i] belongs to
 * wants[i]; what it has is pinned by the reader's arena. */
MUST_USE ErrCode span_pieces_load(struct PartReader *reader, const SpanWant *wants, size_t count,
                                  SpanPieces *out, Error *err);
/* Has it all that is needed? */
bool span_pieces_have(const struct PartReader *reader, const SpanPieces *pieces, uint32_t page,
                      const SpanNeed *need);
/* The page's directory with the bytes of the columns at hand, in `arena`. */
MUST_USE ErrCode span_pieces_directory(const struct PartReader *reader, const SpanPieces *pieces,
                                       uint32_t page, Arena *arena, SpanDirectory *out, Error *err);
/* One page of ids, decoded. */
typedef struct SpanIds {
    const SpanTracePlace *entries;
    size_t count;
} SpanIds;
MUST_USE ErrCode span_ids_load(struct PartReader *reader, uint32_t number, const SpanIds **out,
                               Error *err);
/* All of them into `out`, which has room; what isn't cached in one GET for 8 MiB. */
MUST_USE ErrCode span_ids_load_all(struct PartReader *reader, SpanTracePlace *out, Error *err);
/* Takes apart a page of ids that was read from the object. */
MUST_USE ErrCode span_ids_take(Str stored, const SpanIdPage *page, uint32_t page_count,
                               Arena *arena, Arena *scratch, SpanIds *out, Error *err);
/* Likewise one of spans. */
MUST_USE ErrCode span_page_take(Str stored, const DataPage *page, const SpanPageEntry *entry,
                                Arena *arena, WholePage *out, Error *err);
