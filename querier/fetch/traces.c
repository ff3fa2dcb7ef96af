/*
 * traces.c: a tenant's traces as units: pages of objects and tables of heads, and one more of the
 * traces that lie in several of these.
 */
#include "querier/fetch/traces.h"

#include <stdlib.h>

static void arena_release(void *what) {
    arena_free(what);
}

Arena *trace_arena(Arena *owner) {
    Arena *arena = arena_new(0, arena_budget(owner));

    if (arena == NULL || arena_on_free(owner, arena_release, arena)) return arena;
    arena_free(arena);
    return NULL;
}

/* ---------- places ---------- */

static int64_t floor_ms(int64_t ns) {
    return ns / 1000000 - (ns % 1000000 < 0);
}

static int64_t kept_from(const FetchTenant *tenant, int64_t min_ns) {
    if (tenant->keep_from_ms <= INT64_MIN / 1000000) return min_ns;
    return MAX(min_ns, tenant->keep_from_ms * 1000000);
}

static void snapshot_release(void *what) {
    manifest_snapshot_unref(what);
}

static ErrCode select_heads(TraceFetch *fetch, QueryContext *query, const TraceId *trace,
                            TraceParts *parts, Error *err) {
    const SpanHeadReader *heads = &fetch->options.span_heads;
    SpanHeadSelect select = {
        .tenant = parts->tenant, .min_ns = parts->min_ns, .max_ns = parts->max_ns, .trace = trace};

    if (heads->select == NULL) return ERR_OK;
    return heads->select(heads->context, &select, query->arena, &parts->heads, &parts->head_count,
                         err);
}

static ErrCode select_objects(TraceFetch *fetch, QueryContext *query, TraceParts *parts,
                              Error *err) {
    const ManifestSnapshot *snapshot = manifest_snapshot(fetch->options.manifest);
    const ManifestEntry **entries;

    if (!arena_on_free(query->arena, snapshot_release, (void *)(uintptr_t)snapshot)) {
        manifest_snapshot_unref(snapshot);
        return trace_out_of_memory(err);
    }
    TRY(manifest_find(snapshot, parts->tenant, SIGNAL_TRACES, floor_ms(parts->min_ns),
                      floor_ms(parts->max_ns), query->arena, &entries, &parts->count, err));
    parts->items = ARENA_ARRAY(query->arena, TracePart, MAX(parts->count, (size_t)1));
    if (parts->items == NULL) return trace_out_of_memory(err);
    for (size_t i = 0; i < parts->count; i++) {
        parts->items[i].entry = entries[i];
        parts->items[i].arena = trace_arena(query->arena);
        if (parts->items[i].arena == NULL) return trace_out_of_memory(err);
    }
    return ERR_OK;
}

typedef struct Opening {
    TraceFetch *fetch;
} Opening;

static ErrCode open_part(void *context, TracePart *part, Error *err) {
    TraceFetch *fetch = ((Opening *)context)->fetch;

    return block_open_ahead(fetch->options.cache, part->entry->key, part->entry->size,
                            block_traces_ahead(part->entry->parts, part->entry->part_count),
                            part->arena, fetch->stats, &part->block, err);
}

ErrCode trace_parts(TraceFetch *fetch, QueryContext *query, const FetchTenant *tenant,
                    int64_t min_ns, int64_t max_ns, const TraceId *trace, TraceParts *out,
                    Error *err) {
    Opening opening = {fetch};

    *out =
        (TraceParts){.tenant = tenant->name, .min_ns = kept_from(tenant, min_ns), .max_ns = max_ns};
    if (out->min_ns > out->max_ns) return ERR_OK;
    TRY(select_heads(fetch, query, trace, out, err));
    TRY(select_objects(fetch, query, out, err));
    return trace_parts_each(query, out, open_part, &opening, err);
}

typedef struct Each {
    QueryContext *query;
    TraceParts *parts;
    ErrCode (*run)(void *context, TracePart *part, Error *err);
    void *context;
} Each;

static void each_run(void *what, size_t i) {
    Each *each = what;
    TracePart *part = &each->parts->items[i];

    part->code = query_check(each->query, &part->err);
    if (part->code == ERR_OK) part->code = each->run(each->context, part, &part->err);
}

ErrCode trace_parts_each(QueryContext *query, TraceParts *parts,
                         ErrCode (*run)(void *context, TracePart *part, Error *err), void *context,
                         Error *err) {
    Each each = {query, parts, run, context};

    if (query->pool != NULL && parts->count > 1)
        pool_each(query->pool, parts->count, each_run, &each);
    else
        for (size_t i = 0; i < parts->count; i++) each_run(&each, i);
    for (size_t i = 0; i < parts->count; i++)
        if (parts->items[i].code != ERR_OK) {
            if (err != NULL) *err = parts->items[i].err;
            return parts->items[i].code;
        }
    return ERR_OK;
}

/* ---------- units ---------- */

typedef struct FetchedUnit {
    TracePiece piece;
    const SplitTraces *split;
    int64_t min_ns; /* traces that reach into it, both inclusive */
    int64_t max_ns;
} FetchedUnit;

typedef struct FetchedTraces {
    TraceFetch *fetch;
    QueryContext *query;
    SpanNeed need;
    TraceStats *stats; /* maybe NULL */
    FetchedUnit *units;
} FetchedTraces;

/* While units are being gathered. */
typedef struct Gathering {
    FetchedUnit *units;
    TraceUnit *out;
    size_t count;
    size_t capacity;
} Gathering;

static ErrCode add_unit(Arena *arena, Gathering *g, const TracePiece *piece,
                        const TraceParts *parts, TraceUnit unit, Error *err) {
    if (g->count == g->capacity) {
        size_t grown = MAX(g->capacity * 2, (size_t)64);

        g->units =
            arena_grow(arena, g->units, g->capacity * sizeof *g->units, grown * sizeof *g->units);
        g->out = arena_grow(arena, g->out, g->capacity * sizeof *g->out, grown * sizeof *g->out);
        if (g->units == NULL || g->out == NULL) return trace_out_of_memory(err);
        g->capacity = grown;
    }
    g->units[g->count] = (FetchedUnit){*piece, parts->split, parts->min_ns, parts->max_ns};
    g->out[g->count++] = unit;
    return ERR_OK;
}

static TraceUnit table_unit(const SpanTable *table) {
    TraceUnit unit = {.min_ns = INT64_MAX, .max_ns = INT64_MIN, .spans = table->row_count};

    for (uint32_t i = 0; i < table->trace_count; i++) {
        unit.min_ns = MIN(unit.min_ns, table->traces[i].start_ns);
        unit.max_ns = MAX(unit.max_ns, table->traces[i].end_ns);
    }
    return unit;
}

static bool table_has_split(const SplitTraces *split, const SpanTable *table) {
    for (uint32_t i = 0; split->count > 0 && i < table->trace_count; i++)
        if (trace_split_has(split, span_trace_hash(&table->traces[i].id))) return true;
    return false;
}

/* By page number: whether a page has traces that lie elsewhere, too. */
static ErrCode split_pages(QueryContext *query, const TracePart *part, const SplitTraces *split,
                           bool **out, Error *err) {
    uint32_t pages = 0;

    for (size_t i = 0; i < part->all.page_count; i++)
        pages = MAX(pages, part->all.pages[i].page + 1);
    for (size_t i = 0; i < part->place_count; i++) pages = MAX(pages, part->places[i].page + 1);
    *out = ARENA_ARRAY(query->arena, bool, MAX(pages, 1U));
    if (*out == NULL) return trace_out_of_memory(err);
    for (size_t i = 0, k = 0; i < part->place_count; i++) {
        while (k < split->count && split->hashes[k] < part->places[i].hash) k++;
        if (k < split->count && split->hashes[k] == part->places[i].hash)
            (*out)[part->places[i].page] = true;
    }
    return ERR_OK;
}

typedef struct PieceList {
    TracePiece *items;
    size_t count;
} PieceList;

static ErrCode add_piece(Arena *arena, PieceList *list, const TracePiece *piece, Error *err) {
    list->items = arena_grow(arena, list->items, list->count * sizeof *piece,
                             (list->count + 1) * sizeof *piece);
    if (list->items == NULL) return trace_out_of_memory(err);
    list->items[list->count++] = *piece;
    return ERR_OK;
}

/* Pages that may have what is looked for become units; those that have a part of a trace, whether
 * or not they may, go to where it is put together. */
static ErrCode part_units(QueryContext *query, const TraceParts *parts, const TracePart *part,
                          const TraceSelect *request, Gathering *g, PieceList *joined, Error *err) {
    const SplitTraces *split = parts->split;
    bool *marked = NULL;

    TRY(split_pages(query, part, split, &marked, err));
    for (size_t i = 0; i < part->all.page_count; i++) {
        TracePiece piece = {.selection = &part->all, .page = &part->all.pages[i], .split = true};

        if (marked[piece.page->page]) TRY(add_piece(query->arena, joined, &piece, err));
    }
    for (size_t i = 0; i < part->wanted.page_count; i++) {
        const SpanPage *page = &part->wanted.pages[i];
        TracePiece piece = {.selection = &part->wanted, .page = page, .split = marked[page->page]};

        TRY(add_unit(query->arena, g, &piece, parts,
                     (TraceUnit){page->min_ns, page->max_ns, page->spans}, err));
    }
    if (request->stats != NULL)
        trace_stat(&request->stats->pages_skipped, part->all.page_count - part->wanted.page_count);
    return ERR_OK;
}

static ErrCode tenant_units(QueryContext *query, const TraceParts *parts,
                            const TraceSelect *request, Gathering *g, Error *err) {
    const SplitTraces *split = parts->split;
    PieceList joined = {0};

    for (size_t i = 0; i < parts->count; i++)
        TRY(part_units(query, parts, &parts->items[i], request, g, &joined, err));
    for (size_t i = 0; i < parts->head_count; i++) {
        TracePiece piece = {.table = parts->heads[i]};

        piece.split = table_has_split(split, piece.table);
        if (piece.split) TRY(add_piece(query->arena, &joined, &piece, err));
        TRY(add_unit(query->arena, g, &piece, parts, table_unit(piece.table), err));
    }
    if (joined.count > 0) {
        TracePiece whole = {0};

        TRY(trace_join(query, split, joined.items, joined.count, &whole.table, err));
        TRY(add_unit(query->arena, g, &whole, parts, table_unit(whole.table), err));
    }
    return ERR_OK;
}

static int compare_newest(const void *a, const void *b, void *context) {
    const TraceUnit *units = context;
    const TraceUnit *x = &units[*(const uint32_t *)a], *y = &units[*(const uint32_t *)b];

    if (x->max_ns != y->max_ns) return x->max_ns > y->max_ns ? -1 : 1;
    return (*(const uint32_t *)a > *(const uint32_t *)b) -
           (*(const uint32_t *)a < *(const uint32_t *)b);
}

static ErrCode sort_units(Arena *arena, const Gathering *g, FetchedTraces *traces, TraceSet *out,
                          Error *err) {
    uint32_t *order = ARENA_ARRAY(arena, uint32_t, MAX(g->count, (size_t)1));
    TraceUnit *units = ARENA_ARRAY(arena, TraceUnit, MAX(g->count, (size_t)1));

    traces->units = ARENA_ARRAY(arena, FetchedUnit, MAX(g->count, (size_t)1));
    if (order == NULL || units == NULL || traces->units == NULL) return trace_out_of_memory(err);
    for (size_t i = 0; i < g->count; i++) order[i] = (uint32_t)i;
    if (g->count > 1) qsort_r(order, g->count, sizeof *order, compare_newest, g->out);
    for (size_t i = 0; i < g->count; i++) {
        units[i] = g->out[order[i]];
        traces->units[i] = g->units[order[i]];
    }
    out->units = units;
    out->count = g->count;
    return ERR_OK;
}

/* ---------- reading units ---------- */

/* Takes out traces that lie elsewhere, too, and those outside of the range. */
static ErrCode take_out(const FetchedUnit *unit, Arena *arena, SpanTable *table, Error *err) {
    TraceRow *kept;
    uint32_t count = 0, inside = 0;

    if (unit->piece.split) TRY(trace_split_out(unit->split, arena, table, err));
    for (uint32_t i = 0; i < table->trace_count; i++)
        inside +=
            table->traces[i].start_ns <= unit->max_ns && table->traces[i].end_ns >= unit->min_ns;
    if (inside == table->trace_count) return ERR_OK;
    kept = ARENA_ARRAY(arena, TraceRow, MAX(inside, 1U));
    if (kept == NULL) return trace_out_of_memory(err);
    for (uint32_t i = 0; i < table->trace_count; i++)
        if (table->traces[i].start_ns <= unit->max_ns && table->traces[i].end_ns >= unit->min_ns)
            kept[count++] = table->traces[i];
    table->traces = kept;
    table->trace_count = count;
    return ERR_OK;
}

static ErrCode unit_open(const TraceSet *set, uint32_t index, Arena *arena, SpanTable *out,
                         Error *err) {
    FetchedTraces *traces = set->context;
    const FetchedUnit *unit = &traces->units[index];
    const TracePiece *piece = &unit->piece;

    TRY(query_check(traces->query, err));
    if (piece->table != NULL)
        *out = *piece->table;
    else
        TRY(span_page_read(piece->selection, piece->page, &traces->need, arena, out, err));
    TRY(take_out(unit, arena, out, err));
    if (traces->stats != NULL) {
        trace_stat(&traces->stats->units, 1);
        trace_stat(&traces->stats->traces, out->trace_count);
        trace_stat(&traces->stats->spans, out->row_count);
        if (piece->page != NULL) trace_stat(&traces->stats->bytes, piece->page->bytes);
    }
    return ERR_OK;
}

static ErrCode unit_more(const TraceSet *set, uint32_t index, const SpanNeed *need, Arena *arena,
                         SpanTable *table, Error *err) {
    FetchedTraces *traces = set->context;
    const FetchedUnit *unit = &traces->units[index];
    const TraceRow *rows = table->traces;
    uint32_t count = table->trace_count;

    if (unit->piece.table != NULL) return ERR_OK; /* it had them all */
    TRY(span_page_more(unit->piece.selection, unit->piece.page, need, arena, table, err));
    table->traces = rows;
    table->trace_count = count;
    return ERR_OK;
}

/* Pages side by side, of which each selection may have some. */
static ErrCode set_prefetch(const TraceSet *set, const uint32_t *units, size_t count, Error *err) {
    FetchedTraces *traces = set->context;
    const SpanPage **pages =
        ARENA_ARRAY(traces->query->arena, const SpanPage *, MAX(count, (size_t)1));
    bool *done = ARENA_ARRAY(traces->query->arena, bool, MAX(count, (size_t)1));

    if (pages == NULL || done == NULL) return trace_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        const SpansSelection *selection = traces->units[units[i]].piece.selection;
        size_t n = 0;

        if (done[i] || selection == NULL) continue;
        for (size_t k = i; k < count; k++)
            if (traces->units[units[k]].piece.selection == selection) {
                pages[n++] = traces->units[units[k]].piece.page;
                done[k] = true;
            }
        TRY(span_pages_fetch(selection, pages, n, &traces->need, traces->query->arena,
                             traces->fetch->stats, err));
    }
    return ERR_OK;
}

/* ---------- select ---------- */

typedef struct Selecting {
    TraceFetch *fetch;
    const TraceParts *parts;
    const TraceSelect *request;
} Selecting;

static ErrCode select_part(void *context, TracePart *part, Error *err) {
    const Selecting *s = context;
    SpanSelect select = {
        .tenant = s->parts->tenant, .min_ns = s->parts->min_ns, .max_ns = s->parts->max_ns};

    TRY(block_spans_select(part->block, &select, part->arena, s->fetch->stats, &part->all, err));
    part->wanted = part->all;
    if (s->request->any_count == 0) return ERR_OK;
    select.any = s->request->any;
    select.any_count = s->request->any_count;
    return block_spans_select(part->block, &select, part->arena, s->fetch->stats, &part->wanted,
                              err);
}

static ErrCode source_select(TraceSource *source, QueryContext *query, const TraceSelect *request,
                             TraceSet *out, Error *err) {
    TraceFetch *fetch = source->context;
    FetchedTraces *traces = ARENA_NEW(query->arena, FetchedTraces);
    Gathering g = {0};

    if (traces == NULL) return trace_out_of_memory(err);
    *traces = (FetchedTraces){
        .fetch = fetch, .query = query, .need = request->need, .stats = request->stats};
    *out = (TraceSet){
        .open = unit_open, .more = unit_more, .prefetch = set_prefetch, .context = traces};
    for (size_t t = 0; t < fetch->tenant_count; t++) {
        TraceParts *parts = ARENA_NEW(query->arena, TraceParts);
        SplitTraces *split = ARENA_NEW(query->arena, SplitTraces);
        Selecting selecting = {fetch, parts, request};

        if (parts == NULL || split == NULL) return trace_out_of_memory(err);
        TRY(trace_parts(fetch, query, &fetch->tenants[t], request->min_ns, request->max_ns, NULL,
                        parts, err));
        TRY(trace_parts_each(query, parts, select_part, &selecting, err));
        TRY(trace_split_find(fetch, query, parts, split, err));
        parts->split = split;
        TRY(tenant_units(query, parts, request, &g, err));
        if (request->stats != NULL) trace_stat(&request->stats->blocks, parts->count);
    }
    return sort_units(query->arena, &g, traces, out, err);
}

TraceSource *fetch_traces_new(const FetchOptions *options, const FetchTenant *tenants,
                              size_t tenant_count, BlockStats *stats, Arena *arena) {
    TraceFetch *fetch = ARENA_NEW(arena, TraceFetch);

    if (fetch == NULL) return NULL;
    fetch->options = *options;
    fetch->tenants = tenants;
    fetch->tenant_count = tenant_count;
    fetch->stats = stats;
    fetch->source = (TraceSource){.select = source_select,
                                  .find = trace_find,
                                  .tags = trace_tags,
                                  .tag_values = trace_tag_values,
                                  .context = fetch};
    return &fetch->source;
}
