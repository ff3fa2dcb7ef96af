/*
 * trace_find.c: one trace, wherever its spans are. Objects whose filters say that they haven't it
 * cost nothing; the others are read side by side.
 */
#include "querier/fetch/traces.h"

typedef struct Finding {
    TraceFetch *fetch;
    QueryContext *query;
    const TraceParts *parts;
    const TraceId *trace;
    TraceStats *stats;
} Finding;

/* The trace's spans of one table, at the end of a list. */
typedef struct SpanList {
    Span *items;
    size_t count;
} SpanList;

static ErrCode add_spans(Arena *arena, const SpanTable *table, const TraceId *trace, SpanList *list,
                         Error *err) {
    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *row = &table->traces[t];
        Span *spans;

        if (!trace_id_equal(&row->id, trace)) continue;
        TRY(span_table_spans(table, row, arena, &spans, err));
        list->items = arena_grow(arena, list->items, list->count * sizeof *spans,
                                 (list->count + row->count) * sizeof *spans);
        if (list->items == NULL) return trace_out_of_memory(err);
        memcpy(list->items + list->count, spans, row->count * sizeof *spans);
        list->count += row->count;
    }
    return ERR_OK;
}

/* Which pages: part->all. */
static ErrCode find_part(void *context, TracePart *part, Error *err) {
    const Finding *f = context;

    return block_spans_find(part->block, f->parts->tenant, f->trace, part->arena, f->fetch->stats,
                            &part->all, err);
}

static ErrCode read_part(const Finding *f, TracePart *part, SpanList *list, Error *err) {
    static const SpanNeed everything = {.columns = SPAN_ALL, .all_keys = true};

    for (size_t i = 0; i < part->all.page_count; i++) {
        SpanTable table;

        TRY(query_check(f->query, err));
        TRY(span_page_read(&part->all, &part->all.pages[i], &everything, part->arena, &table, err));
        TRY(add_spans(f->query->arena, &table, f->trace, list, err));
        if (f->stats == NULL) continue;
        trace_stat(&f->stats->units, 1);
        trace_stat(&f->stats->bytes, part->all.pages[i].bytes);
    }
    return ERR_OK;
}

static ErrCode find_tenant(Finding *f, TraceParts *parts, SpanList *list, Error *err) {
    f->parts = parts;
    TRY(trace_parts_each(f->query, parts, find_part, f, err));
    for (size_t i = 0; i < parts->count; i++) TRY(read_part(f, &parts->items[i], list, err));
    for (size_t i = 0; i < parts->head_count; i++)
        TRY(add_spans(f->query->arena, parts->heads[i], f->trace, list, err));
    if (f->stats != NULL) trace_stat(&f->stats->blocks, parts->count);
    return ERR_OK;
}

ErrCode trace_find(TraceSource *source, QueryContext *query, const TraceId *trace, int64_t min_ns,
                   int64_t max_ns, TraceStats *stats, SpanTable *out, Error *err) {
    TraceFetch *fetch = source->context;
    Finding finding = {.fetch = fetch, .query = query, .trace = trace, .stats = stats};
    SpanList list = {0};

    *out = (SpanTable){0};
    for (size_t t = 0; t < fetch->tenant_count; t++) {
        TraceParts *parts = ARENA_NEW(query->arena, TraceParts);

        if (parts == NULL) return trace_out_of_memory(err);
        TRY(trace_parts(fetch, query, &fetch->tenants[t], min_ns, max_ns, trace, parts, err));
        TRY(find_tenant(&finding, parts, &list, err));
    }
    if (list.count == 0) return ERR_OK;
    TRY(span_table_build(list.items, list.count, query->arena, out, err));
    if (stats != NULL) {
        trace_stat(&stats->traces, out->trace_count);
        trace_stat(&stats->spans, out->row_count);
    }
    return ERR_OK;
}
