#include "ingester/head/span_tables.h"

#include <stdlib.h>

#include "common/batch/span_wire.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "making columns of a head's spans: out of memory");
}

static int compare_traces(const void *a, const void *b) {
    const HeadTraceRef *x = a, *y = b;

    if (x->min_ns != y->min_ns) return x->min_ns < y->min_ns ? -1 : 1;
    return memcmp(x->id.bytes, y->id.bytes, sizeof x->id.bytes);
}

ErrCode span_tables_begin(SpanTables *tables, HeadSpans *from, Arena *arena, Arena *scratch,
                          Error *err) {
    *tables = (SpanTables){.from = from, .arena = arena, .scratch = scratch};
    tables->origins = ARENA_ARRAY(arena, const SpanOrigin *, MAX(from->origin_count, (size_t)1));
    if (tables->origins == NULL) return out_of_memory(err);
    qsort(from->traces, from->trace_count, sizeof *from->traces, compare_traces);
    return ERR_OK;
}

static ErrCode origin_of(SpanTables *tables, uint32_t number, const SpanOrigin **out, Error *err) {
    SpanOrigin *origin;

    assert(number < tables->from->origin_count);
    if (tables->origins[number] == NULL) {
        origin = ARENA_NEW(tables->arena, SpanOrigin);
        if (origin == NULL) return out_of_memory(err);
        TRY(origin_decode(tables->from->origins[number], tables->arena, origin, err));
        tables->origins[number] = origin;
    }
    *out = tables->origins[number];
    return ERR_OK;
}

/* Tempo keeps the order of what came at once. */
static bool came_at_once(const HeadTraceRef *trace) {
    for (uint32_t i = 0; i < trace->count; i++)
        if (trace->spans[i]->push != trace->spans[0]->push) return false;
    return trace->spans[0]->push != 0;
}

static ErrCode decode_trace(SpanTables *tables, const HeadTraceRef *trace, Span *out, Error *err) {
    bool at_once = came_at_once(trace);

    for (uint32_t i = 0; i < trace->count; i++) {
        const HeadSpan *span = trace->spans[i];
        const SpanOrigin *origin = NULL;

        TRY(origin_of(tables, span->origin, &origin, err));
        TRY(span_decode(head_span_message(span), origin, tables->scratch, &out[i], err));
        out[i].arrival = at_once ? i + 1 : 0;
    }
    return ERR_OK;
}

ErrCode span_tables_next(SpanTables *tables, Arena *arena, SpanTable *out, bool *more, Error *err) {
    const HeadSpans *from = tables->from;
    size_t end = tables->next, count = 0, n = 0;
    Span *spans;

    *more = end < from->trace_count;
    if (!*more) return ERR_OK;
    while (end < from->trace_count &&
           (count == 0 || count + from->traces[end].count <= SPAN_TABLE_SPANS))
        count += from->traces[end++].count;
    arena_reset(tables->scratch);
    spans = arena_alloc(tables->scratch, count * sizeof *spans);
    if (spans == NULL) return out_of_memory(err);
    for (; tables->next < end; tables->next++) {
        TRY(decode_trace(tables, &from->traces[tables->next], spans + n, err));
        n += from->traces[tables->next].count;
    }
    return span_table_build(spans, count, arena, out, err);
}
