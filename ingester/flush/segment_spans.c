/*
 * segment_spans.c: a generation's traces, by their first start, as tables for a block's pages.
 */
#include "ingester/flush/segment.h"
#include "ingester/head/span_tables.h"

static ErrCode write_tables(Segment *segment, SpanTables *tables, Arena *arena, Error *err) {
    SpanTable table;
    bool more;

    for (;;) {
        arena_reset(arena);
        TRY(span_tables_next(tables, arena, &table, &more, err));
        if (!more) return ERR_OK;
        TRY(block_spans_table(segment->writer, &table, err));
    }
}

ErrCode segment_write_spans(Segment *segment, uint32_t tenant, Error *err) {
    const Generation *generation = segment->generation;
    CLEANUP(arena_free) Arena *arena = arena_new(0, arena_budget(segment->arena));
    CLEANUP(arena_free) Arena *columns = arena_new(0, arena_budget(segment->arena));
    HeadSpans spans;
    SpanTables tables;

    if (arena == NULL || columns == NULL) return segment_out_of_memory(err);
    TRY(spans_head_select(&generation->spans, tenant, INT64_MIN, INT64_MAX, NULL, arena, &spans,
                          err));
    if (spans.trace_count == 0) return ERR_OK;
    TRY(span_tables_begin(&tables, &spans, arena, segment->scratch, err));
    TRY(block_spans_begin(segment->writer, generation_tenant(generation, tenant)->name, err));
    TRY(write_tables(segment, &tables, columns, err));
    arena_reset(segment->scratch);
    return block_spans_end(segment->writer, err);
}
