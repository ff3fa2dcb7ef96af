/*
 * segment_spans.c: a generation's traces, by their first start, as tables for a block's pages.
 */
#include "common/base/telemetry.h"
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

/* ---------- tail sampling ---------- */

/* The spans of one trace as they were sent. NULL: out of memory. */
static SpansItem *items_of(const HeadTraceRef *trace, Arena *arena) {
    SpansItem *items = ARENA_ARRAY(arena, SpansItem, trace->count);

    for (uint32_t i = 0; items != NULL && i < trace->count; i++)
        items[i] = (SpansItem){.trace = trace->id,
                               .start_ns = trace->spans[i]->start_ns,
                               .end_ns = trace->spans[i]->end_ns,
                               .origin = trace->spans[i]->origin,
                               .span = head_span_message(trace->spans[i])};
    return items;
}

/* Takes away the traces that the tenant's rules don't keep. What time it is says the newest span:
 * a flush that is repeated comes to the same. */
static void choose_traces(Segment *segment, Str tenant, HeadSpans *spans) {
    const FlushTarget *target = segment->target;
    int64_t newest_ns = INT64_MIN, decided_ns;
    size_t kept = 0, dropped = 0;
    TenantLimits limits;

    if (target->sampler == NULL) return;
    tenants_limits(target->tenants, tenant, &limits);
    if (!target->sampler->any(limits.rules)) return;
    for (size_t i = 0; i < spans->trace_count; i++)
        newest_ns = MAX(newest_ns, spans->traces[i].max_ns);
    decided_ns = newest_ns - limits.tail_wait_ms * 1000000;
    for (size_t i = 0; i < spans->trace_count; i++) {
        HeadTraceRef trace = spans->traces[i];
        SpansItem *items;

        arena_reset(segment->scratch);
        items = trace.max_ns > decided_ns ? NULL : items_of(&trace, segment->scratch);
        if (items == NULL || target->sampler->keep(limits.rules, items, trace.count, spans->origins,
                                                   segment->scratch)) {
            spans->traces[kept++] = trace;
        } else {
            spans->span_count -= trace.count;
            dropped += trace.count;
        }
    }
    spans->trace_count = kept;
    counter_add(telemetry_counter("moraine_ingester_tail_dropped_spans_total", "",
                                  "Spans of traces that rules.tail didn't keep."),
                dropped);
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
    choose_traces(segment, generation_tenant(generation, tenant)->name, &spans);
    if (spans.trace_count == 0) return ERR_OK;
    TRY(span_tables_begin(&tables, &spans, arena, segment->scratch, err));
    TRY(block_spans_begin(segment->writer, generation_tenant(generation, tenant)->name, err));
    TRY(write_tables(segment, &tables, columns, err));
    arena_reset(segment->scratch);
    return block_spans_end(segment->writer, err);
}
