#pragma once
/*
 * span_build.h: what making a table of spans is made of. Private to common/block.
 *
 * All of it works in two arenas: `arena` is the table's, `scratch` goes when the table is done.
 * Hash tables have a seed of their own each time, so that nobody can prepare texts or ids that
 * collide; what comes out doesn't depend on it.
 */
#include "common/base/hash.h"
#include "common/block/span_table.h"

enum { SPAN_NONE = UINT32_MAX };

ErrCode span_no_memory(Error *err);

/* ---------- sorting ---------- */

typedef struct SpanSortItem {
    uint32_t rank; /* compared in this order */
    int64_t start_ns;
    uint64_t high;
    uint64_t low;
    uint32_t index; /* not compared: sorting is stable */
} SpanSortItem;
/* `spare` is as large as `items`. */
void span_sort(SpanSortItem *items, SpanSortItem *spare, size_t count);
/* By which traces go: their starts, then their ids. */
SpanSortItem span_sort_trace(const TraceRow *trace, uint32_t index);

/* ---------- texts, each once ---------- */

typedef struct TextSet {
    Arena *scratch;
    uint64_t seed;
    Str *texts;
    uint32_t *hashes;
    uint32_t *slots; /* of texts, plus one; 0: free */
    uint32_t count;
    uint32_t slot_count; /* a power of two; 0: nothing was put yet */
    bool failed;         /* out of memory: numbers are of no use then */
} TextSet;
/* Its number: they go by first appearance. The text isn't copied. */
uint32_t text_set_put(TextSet *set, Str text);
/* The texts by number, in `arena`. NULL: out of memory. */
Str *text_set_list(const TextSet *set, Arena *arena);

/* ---------- origins, each once ---------- */

typedef struct OriginSet {
    Arena *scratch;
    TextSet origins;   /* their bytes */
    TextSet resources; /* likewise */
    const SpanOrigin **list;
    uint32_t *resource_of; /* of `list` */
    uint32_t capacity;
    const SpanOrigin **pointers; /* hash table of those seen before */
    uint32_t *pointer_numbers;
    uint32_t pointer_count;
    uint32_t slot_count;
    Buf bytes; /* of the one at hand */
    bool failed;
} OriginSet;
void origin_set_init(OriginSet *set, Arena *scratch, uint64_t seed);
void origin_set_done(OriginSet *set);
/* Its number, by first appearance; origins of equal bytes have the same. */
uint32_t origin_set_put(OriginSet *set, const SpanOrigin *origin);

/* ---------- the order of rows ---------- */

typedef struct SpanOrder {
    uint32_t *spans; /* of each row, the number of its span; scratch */
    uint32_t row_count;
    TraceRow *traces; /* from here on the table's */
    uint32_t trace_count;
    uint32_t *parents;
    uint32_t *ends;
    uint8_t *rooted;
} SpanOrder;
/* `origin_of` by span, `resource_of` by origin. */
MUST_USE ErrCode span_order_make(const Span *spans, uint32_t count, const uint32_t *origin_of,
                                 const OriginSet *origins, Arena *scratch, Arena *arena,
                                 SpanOrder *out, Error *err);
/* Fills in `ends` and `rooted` from `parents`. */
void span_order_ends(const uint32_t *parents, uint32_t first, uint32_t count, uint32_t *ends,
                     uint8_t *rooted);

/* ---------- attributes by scope, key and type ---------- */

/* A column that there will be, and how large. */
typedef struct AttributeDraft {
    Str key;
    uint8_t scope;
    uint8_t type;
    uint32_t count;    /* entries */
    uint64_t elements; /* of arrays */
} AttributeDraft;

typedef struct AttributeDrafts {
    Arena *scratch;
    uint64_t seed;
    AttributeDraft *items;
    uint32_t count;
    uint32_t capacity;
    struct AttributeName *names;
    uint32_t name_count;
    uint32_t name_capacity;
    uint32_t *slots;
    uint32_t slot_count;
    uint32_t last; /* the name that was looked up before */
    bool failed;
} AttributeDrafts;
void attribute_drafts_init(AttributeDrafts *drafts, Arena *scratch, uint64_t seed);
/* The draft of an attribute of `owner`; SPAN_NONE: the owner has that key already. Owners of one
 * scope come one after the other. */
uint32_t attribute_drafts_add(AttributeDrafts *drafts, AttributeScope scope,
                              const Attribute *attribute, uint32_t owner);
/* The draft of a column's kind; nothing is counted. */
uint32_t attribute_drafts_column(AttributeDrafts *drafts, AttributeScope scope, Str key,
                                 uint8_t type);

/* A column that is being filled. */
typedef struct AttributeFill {
    AttributeColumn *column;
    uint32_t *owners; /* NULL: all have it */
    uint32_t *starts;
    TextSet texts;
    union {
        void *values;
        uint32_t *codes;
        uint8_t *truths;
        int64_t *integers;
        double *numbers;
    };
    uint32_t entries;
    uint32_t elements;
} AttributeFill;
/* Columns in the order of scope, key, type, with room for what was counted; fills[d] is draft d's.
 * `owners[scope]`: how many spans, events and links there are. */
MUST_USE ErrCode attribute_fills_new(const AttributeDrafts *drafts, const uint32_t owners[4],
                                     Arena *arena, AttributeFill **fills, AttributeColumn **columns,
                                     Error *err);
/* Appends what an owner has. */
void attribute_fill(AttributeFill *fill, const Attribute *attribute, uint32_t owner);
/* Dictionaries into the columns. */
MUST_USE ErrCode attribute_fills_done(AttributeFill *fills, uint32_t count, Arena *arena,
                                      Error *err);

/* The first entry whose owner is this one or a later one. */
uint32_t attribute_column_from(const AttributeColumn *column, uint32_t owner);
static inline bool attribute_is_array(uint8_t type) {
    return type >= ATTRIBUTE_STRINGS && type <= ATTRIBUTE_DOUBLES;
}
static inline bool attribute_is_text(uint8_t type) {
    return type == ATTRIBUTE_STRING || type == ATTRIBUTE_BYTES || type == ATTRIBUTE_STRINGS ||
           type == ATTRIBUTE_OTHER;
}
/* Bytes of an element in a column of this type; of texts, their codes'. */
static inline size_t attribute_element_bytes(uint8_t type) {
    if (attribute_is_text(type)) return sizeof(uint32_t);
    return type == ATTRIBUTE_BOOL || type == ATTRIBUTE_BOOLS ? 1 : 8;
}
