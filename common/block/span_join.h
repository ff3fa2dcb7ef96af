#pragma once
/*
 * span_join.h: what joining of tables is made of. Private to span_join.c, span_join_attributes.c.
 */
#include "common/block/span_build.h"

/* Rows that lie side by side here and there. Places by scope: SCOPE_SPAN, SCOPE_EVENT, SCOPE_LINK.
 */
typedef struct SpanRun {
    uint32_t range;
    uint32_t from[4];
    uint32_t to[4];
    uint32_t count[4];
} SpanRun;

typedef struct SpanJoin {
    const SpanTableRange *ranges;
    size_t range_count;
    bool own;
    Arena *arena;
    Arena *scratch;
    uint64_t seed;
    SpanTable *out;
    SpanRun *runs; /* in the order of rows to come */
    uint32_t run_count;
    uint32_t count[4]; /* by scope, of all */
    OriginSet origins;
} SpanJoin;

/* By code of a dictionary its code to come, or SPAN_NONE. NULL: out of memory. */
uint32_t *span_join_map(SpanJoin *join, uint32_t distinct);
void span_join_codes(const TextColumn *from, uint32_t first, uint32_t count, uint32_t *map,
                     TextSet *set, uint32_t *to);
/* Texts as their owner wants them. False: out of memory. */
MUST_USE bool span_join_texts(const SpanJoin *join, Str *texts, uint32_t count);

/* span_join_attributes.c: the columns of attributes. */
MUST_USE ErrCode span_join_attributes(SpanJoin *join, Error *err);
