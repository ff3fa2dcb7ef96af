/*
 * span_cursor.c: a tenant's pages of traces one after the other, for merging.
 *
 * Pages lie about in order of time, so a window slides over them in large GETs; before, it slides
 * over the ids.
 */
#include "common/block/span_cursor.h"

#include <stdlib.h>

#include "common/block/reader.h"

struct SpanCursor {
    Store *store;
    Str key;
    Arena *arena; /* who opened it */
    Arena *index; /* the cursor's own: index and key */
    Arena *window_arena;
    Str window; /* bytes of the object that were read ahead */
    uint64_t window_offset;
    size_t window_bytes;
    Arena *page_arena; /* of the page, or the ids, at hand */
    const Section *data;
    const Section *id_section;
    SpanIndex spans;
    SpanValues values;
    SpanFilter filter;
    SpanPage *pages;
    uint32_t next_ids; /* the next page of ids */
    uint64_t last_hash;
    SpanWholePage page;
    bool closed;
};

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory to go through a block");
}

void span_cursor_close(SpanCursor *c) {
    if (c == NULL || c->closed) return;
    c->closed = true;
    arena_free(c->window_arena);
    arena_free(c->page_arena);
    arena_free(c->index);
}

static void release(void *what) {
    span_cursor_close(what);
}

/* ---------- opening ---------- */

/* The sections that are read when a cursor opens lie together, at the end of the part. */
typedef struct IndexBytes {
    uint64_t offset;
    Str bytes;
} IndexBytes;

static ErrCode read_section(const IndexBytes *index, const ContainerPart *part, SectionKind kind,
                            Arena *arena, Str *raw, Error *err) {
    const Section *section = container_find_section(part, kind);

    return blob_decode(
        str_slice(index->bytes, (size_t)(section->offset - index->offset), (size_t)section->length),
        section, arena, raw, err);
}

static ErrCode read_index(SpanCursor *c, const ContainerPart *part, Arena *arena, IndexBytes *out,
                          Error *err) {
    static const SectionKind kinds[] = {SECTION_TRACES_VALUES, SECTION_TRACES_PAGES,
                                        SECTION_TRACES_FILTER};
    uint64_t first = UINT64_MAX, end = 0;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const Section *section = container_find_section(part, kinds[i]);

        TRY(section_check(section, err));
        first = MIN(first, section->offset);
        end = MAX(end, section->offset + section->length);
    }
    out->offset = first;
    return object_read(c->store, c->key, first, end - first, arena, NULL, &out->bytes, err);
}

static int compare_pages(const void *a, const void *b) {
    const SpanPage *x = a, *y = b;

    if (x->min_ns != y->min_ns) return x->min_ns < y->min_ns ? -1 : 1;
    return (x->page > y->page) - (x->page < y->page);
}

static ErrCode list_pages(SpanCursor *c, Error *err) {
    c->pages = ARENA_ARRAY(c->index, SpanPage, (size_t)c->spans.page_count + 1);
    if (c->pages == NULL) return no_memory(err);
    for (uint32_t i = 0; i < c->spans.page_count; i++) {
        const SpanPageEntry *entry = &c->spans.entries[i];

        c->pages[i] = (SpanPage){
            entry->min_ns, entry->max_ns, entry->rows, entry->traces, c->spans.pages[i].stored, i};
    }
    qsort(c->pages, c->spans.page_count, sizeof *c->pages, compare_pages);
    return ERR_OK;
}

static ErrCode load_index(SpanCursor *c, const ContainerPart *part, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(c->arena));
    IndexBytes index;
    Str raw;

    if (scratch == NULL) return no_memory(err);
    c->data = container_find_section(part, SECTION_TRACES_DATA);
    c->id_section = container_find_section(part, SECTION_TRACES_IDS);
    TRY(section_check(c->data, err));
    TRY(section_check(c->id_section, err));
    TRY(read_index(c, part, scratch, &index, err));
    TRY(read_section(&index, part, SECTION_TRACES_PAGES, scratch, &raw, err));
    TRY(span_index_decode(raw, c->data->offset, c->data->length, c->index, &c->spans, err));
    TRY(read_section(&index, part, SECTION_TRACES_VALUES, c->index, &raw, err));
    TRY(span_values_decode(raw, c->spans.page_count, c->index, &c->values, err));
    TRY(read_section(&index, part, SECTION_TRACES_FILTER, scratch, &raw, err));
    TRY(span_filter_decode(raw, c->id_section->offset, c->id_section->length, c->index, &c->filter,
                           err));
    c->filter.fingerprints = NULL; /* nobody looks for one trace here */
    return list_pages(c, err);
}

static ErrCode open_part(SpanCursor *c, uint64_t size, Str tenant, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(c->arena));
    const ContainerPart *part;
    Container container;
    ObjectEnd end;

    if (scratch == NULL) return no_memory(err);
    TRY(object_read_end(c->store, c->key, size, 0, scratch, NULL, &end, err));
    TRY(container_footer_parse(end.footer, &end.tail, c->index, &container, err));
    part = container_find_part(&container, tenant, SIGNAL_TRACES);
    return part == NULL ? ERR_OK : load_index(c, part, err);
}

ErrCode span_cursor_open(Store *store, Str key, uint64_t size, Str tenant, size_t window_bytes,
                         Arena *arena, SpanCursor **out, Error *err) {
    SpanCursor *c = ARENA_NEW(arena, SpanCursor);
    Budget *budget = arena == NULL ? NULL : arena_budget(arena);

    if (c == NULL || !arena_on_free(arena, release, c)) return no_memory(err);
    c->store = store;
    c->window_bytes = window_bytes;
    c->arena = arena;
    c->index = arena_new(0, budget);
    c->window_arena = arena_new(0, budget);
    c->page_arena = arena_new(0, budget);
    c->key = str_dup(c->index, key);
    if (c->key.ptr == NULL || c->window_arena == NULL || c->page_arena == NULL)
        return no_memory(err);
    if (open_part(c, size, tenant, err) != ERR_OK)
        return error_wrap(err, "block " STR_FMT, STR_ARG(key));
    *out = c;
    return ERR_OK;
}

const SpanPage *span_cursor_pages(const SpanCursor *c, size_t *count) {
    *count = c->spans.page_count;
    return c->pages;
}

/* ---------- the window ---------- */

/* Moves the window so that it begins with these bytes and, room permitting, holds those behind them
 * in their section. */
static ErrCode slide(SpanCursor *c, const Section *section, uint64_t offset, uint32_t bytes,
                     Str *out, Error *err) {
    uint64_t left = section->offset + section->length - offset;
    uint64_t length = MIN(left, MAX((uint64_t)c->window_bytes, (uint64_t)bytes));

    if (offset < c->window_offset || offset + bytes > c->window_offset + c->window.len) {
        arena_reset(c->window_arena);
        c->window = (Str){0};
        TRY(object_read(c->store, c->key, offset, length, c->window_arena, NULL, &c->window, err));
        c->window_offset = offset;
    }
    *out = str_slice(c->window, (size_t)(offset - c->window_offset), bytes);
    return ERR_OK;
}

static ErrCode wrap(const SpanCursor *c, ErrCode code, Error *err) {
    return code == ERR_OK ? ERR_OK : error_wrap(err, "block " STR_FMT, STR_ARG(c->key));
}

/* ---------- ids ---------- */

static ErrCode take_ids(SpanCursor *c, SpanIds *out, Error *err) {
    const SpanIdPage *page = &c->filter.pages[c->next_ids];
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(c->arena));
    Str stored;

    if (scratch == NULL) return no_memory(err);
    arena_reset(c->page_arena);
    TRY(slide(c, c->id_section, page->offset, page->stored, &stored, err));
    TRY(span_ids_take(stored, page, c->spans.page_count, c->page_arena, scratch, out, err));
    if (c->next_ids > 0 && out->entries[0].hash < c->last_hash)
        return error_set(err, ERR_CORRUPT, "ids of traces are not in order");
    c->last_hash = out->entries[out->count - 1].hash;
    c->next_ids++;
    return ERR_OK;
}

ErrCode span_cursor_places(SpanCursor *c, const SpanTracePlace **out, size_t *count, Error *err) {
    SpanIds ids = {0};

    if (c->next_ids < c->filter.page_count) TRY(wrap(c, take_ids(c, &ids, err), err));
    *out = ids.entries;
    *count = ids.count;
    return ERR_OK;
}

/* ---------- pages ---------- */

static ErrCode take_page(SpanCursor *c, uint32_t number, Arena *arena, WholePage *out, Error *err) {
    const DataPage *page = &c->spans.pages[number];
    Str stored;

    TRY(slide(c, c->data, page->offset, page->stored, &stored, err));
    return span_page_take(stored, page, &c->spans.entries[number], arena, out, err);
}

static ErrCode read_table(SpanCursor *c, uint32_t page, Arena *arena, SpanTable *out, Error *err) {
    SpanNeed all = {.columns = SPAN_ALL, .all_keys = true};
    WholePage whole;

    TRY(take_page(c, page, arena, &whole, err));
    return span_page_decode(&whole.directory, &all, arena, out, err);
}

ErrCode span_cursor_table(SpanCursor *c, uint32_t page, Arena *arena, SpanTable *out, Error *err) {
    SpanTable table = {0};

    if (page >= c->spans.page_count) return error_set(err, ERR_INTERNAL, "a page of another block");
    TRY(wrap(c, read_table(c, page, arena, &table, err), err));
    *out = table;
    return ERR_OK;
}

/* Of a page that is passed on as it is, only which traces it has is decoded. */
static ErrCode read_whole(SpanCursor *c, uint32_t number, Error *err) {
    SpanTable table = {0};
    SpanNeed need = {0};
    WholePage whole;

    arena_reset(c->page_arena);
    TRY(take_page(c, number, c->page_arena, &whole, err));
    TRY(span_page_decode(&whole.directory, &need, c->page_arena, &table, err));
    c->page = (SpanWholePage){
        .bytes = whole.bytes,
        .directory_bytes = whole.directory.bytes,
        .entry = c->spans.entries[number],
        .traces = table.traces,
        .trace_count = table.trace_count,
        .values = &c->values,
        .number = number,
    };
    return ERR_OK;
}

ErrCode span_cursor_page(SpanCursor *c, uint32_t page, const SpanWholePage **out, Error *err) {
    if (page >= c->spans.page_count) return error_set(err, ERR_INTERNAL, "a page of another block");
    TRY(wrap(c, read_whole(c, page, err), err));
    *out = &c->page;
    return ERR_OK;
}
