#pragma once
/*
 * span_values.h: which keys and values are in which pages of a part. Private to common/block.
 * Bytes: docs/FORMATS.md#traces.
 *
 * An *entry* is what one key (or intrinsic) has of one type of value: the pages that have it, and
 * the values with the pages of each, as long as these are few and come back often; of numbers that
 * are more than that, the least and the greatest of each page. Made from pages' dictionaries, not
 * from spans. Elements of arrays count like values of their own.
 */
#include "common/base/buf.h"
#include "common/block/spans.h"

enum {
    SPAN_VALUES_MAX = 4096,          /* of an entry; one that has more keeps none */
    SPAN_VALUE_BYTES_MAX = 64 << 10, /* of all of them; likewise */
    SPAN_VALUES_SURE = 32,           /* so many are kept however seldom they come */
    SPAN_VALUE_TIMES_MIN = 4,        /* more only if they come so often on average */
    SPAN_INDEX_BYTES_MAX = 16 << 20, /* of values and their pages, of all entries together */
};

/* Where an entry's values stand: AttributeScope, or this and a SpanIntrinsic. */
enum { SPAN_PLACE_INTRINSIC = 16 };

/* How sets of pages are stored, and what is in an entry. Never renumber. */
enum {
    SPAN_PAGES_ALL = 0,  /* all of the part, or, of a value, all that the entry has */
    SPAN_PAGES_LIST = 1, /* varint how many; the first, then each less the one before less one */
    SPAN_PAGES_BITS = 2, /* a bit for each page of the part */
    SPAN_ENTRY_COMPLETE = 1,
    SPAN_ENTRY_BOUNDED = 2,
};

/* The types of entries: AttributeType of a single element. Intrinsics are texts, or INT. */
AttributeType span_element_type(AttributeType type);

/* ---------- building ---------- */

typedef struct SpanValuesBuilder SpanValuesBuilder;
SpanValuesBuilder *span_values_builder_new(Arena *arena); /* NULL: out of memory */
/* The next page's. The table is one that has nothing but what the page has. False: out of memory.
 */
MUST_USE bool span_values_add(SpanValuesBuilder *builder, const SpanTable *table);
/* Appends. False: out of memory. */
MUST_USE bool span_values_build(const SpanValuesBuilder *builder, Buf *out);

/* ---------- reading ---------- */

/* A set of pages as it is stored: see pages_or(). */
typedef const uint8_t *SpanPageSet;

typedef struct SpanEntry {
    Str key;
    uint8_t place;
    uint8_t type;
    bool complete;     /* `values` are all that there are */
    bool bounded;      /* there are bounds */
    SpanPageSet pages; /* that have it; all: of the part */
    uint32_t value_count;
    union {
        const Str *texts;        /* STRING, BYTES; ascending */
        const int64_t *integers; /* INT, BOOL */
        const double *numbers;   /* DOUBLE, in order of their bits */
    };
    const SpanPageSet *value_pages; /* all: those of the entry */
    uint64_t occurrences;
    const uint64_t *bounds; /* bits of numbers: least and greatest of each of the entry's pages */
} SpanEntry;

typedef struct SpanValues {
    const SpanEntry *entries; /* by place, key, type */
    uint32_t count;
    uint32_t page_count;
} SpanValues;

/* `raw` must live as long as *out. */
MUST_USE ErrCode span_values_decode(Str raw, uint32_t page_count, Arena *arena, SpanValues *out,
                                    Error *err);

/* Sets of pages as bits, in words. */
static inline size_t page_words(uint32_t page_count) {
    return ((size_t)page_count + 63) / 64;
}
static inline bool page_bit(const uint64_t *bits, uint32_t page) {
    return (bits[page / 64] >> page % 64 & 1) != 0;
}
/* Adds the pages of `set` to `bits`; `all`: what a set that says "all" means. */
void pages_or(SpanPageSet set, uint32_t page_count, const uint64_t *all, uint64_t *bits);
/* A set that says "all" has every page. */
bool page_set_has(SpanPageSet set, uint32_t page);
/* How many pages it has, and how many of them come before `page`. */
void page_set_rank(SpanPageSet set, uint32_t page_count, uint32_t page, uint32_t *count,
                   uint32_t *nth);

/* The pages that may have a span that meets all of these, into `bits`. False: out of memory. */
MUST_USE bool span_values_match(const SpanValues *values, const SpanConditions *conditions,
                                Arena *scratch, uint64_t *bits);

/* The next page's of a part that is written, as another's page has them. */
MUST_USE bool span_values_copy(SpanValuesBuilder *builder, const SpanValues *from, uint32_t page);
