#pragma once
/*
 * span_table.h: tables of spans from tables of spans, for who merges traces; spans.h has the tables
 * themselves.
 */
#include "common/block/span_origin.h"
#include "common/block/spans.h"

/* Some of a table's traces, side by side. */
typedef struct SpanTableRange {
    const SpanTable *table; /* all columns are there */
    uint32_t first;         /* trace */
    uint32_t count;
} SpanTableRange;

/* One table of all these traces, in order of their starts, and of nothing else: dictionaries have
 * only what a row of it has, and every row is a trace's. No trace may be in two ranges: who merges
 * pieces of one trace goes by span_table_spans() and span_table_build(). Costs a small part of what
 * building does. `own`: texts and origins are copied as well, so that the tables may go; otherwise
 * they must stay. ERR_LIMIT: the arena. */
MUST_USE ErrCode span_table_join(const SpanTableRange *ranges, size_t count, bool own, Arena *arena,
                                 SpanTable *out, Error *err);
