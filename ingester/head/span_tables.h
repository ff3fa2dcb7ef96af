#pragma once
/*
 * span_tables.h: a head's traces as columns, for the flush and for queries: messages decoded, some
 * thousands of spans at a time.
 */
#include "common/block/spans.h"
#include "ingester/head/spans.h"

enum { SPAN_TABLE_SPANS = 16384 }; /* about so many in a table; a larger trace has one of its own */

typedef struct SpanTables {
    const HeadSpans *from;      /* traces are sorted by their first start */
    const SpanOrigin **origins; /* decoded when one is needed first */
    size_t next;                /* trace */
    Arena *arena;               /* origins' */
    Arena *scratch;             /* a table's spans, until the next one */
} SpanTables;

/* Sorts `from`. ERR_LIMIT: the arena. */
MUST_USE ErrCode span_tables_begin(SpanTables *tables, HeadSpans *from, Arena *arena,
                                   Arena *scratch, Error *err);
/* The next table, in `arena`; *more false: there is none. Texts point into the head. */
MUST_USE ErrCode span_tables_next(SpanTables *tables, Arena *arena, SpanTable *out, bool *more,
                                  Error *err);
