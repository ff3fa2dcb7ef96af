/*
 * span_writer.c: a tenant's traces into sections.
 *
 * Traces gather until they make a page; a large table is cut into pages of about one size. What an
 * index says of a page comes from the table that the page was made of.
 */
#include <stdlib.h>

#include "common/block/span_cursor.h"
#include "common/block/span_ids.h"
#include "common/block/writer.h"

enum {
    /* Up to this a page is made larger rather than that a small one is left. */
    PAGE_ROWS_MOST = SPAN_PAGE_ROWS + SPAN_PAGE_ROWS / 2,
};

struct SpanWriter {
    SpanPageEncoder *encoder;
    Arena *waiting_arena;
    SpanTableRange *waiting; /* whole tables, copies, that are no page yet */
    size_t waiting_count, waiting_capacity;
    size_t waiting_rows;
    SpanIndexBuilder index;
    SpanValuesBuilder *values;
    SpanTracePlace *ids;
    size_t id_count, id_capacity;
    Buf page;
    Buf directories;
    uint64_t raw_total;
};

void span_writer_free(SpanWriter *s) {
    if (s == NULL) return;
    span_page_encoder_free(s->encoder);
    arena_free(s->waiting_arena);
    buf_done(&s->page);
    buf_done(&s->directories);
    free(s);
}

static void forget_waiting(SpanWriter *s) {
    arena_reset(s->waiting_arena);
    s->waiting = NULL;
    s->waiting_count = s->waiting_capacity = 0;
    s->waiting_rows = 0;
}

ErrCode block_spans_begin(BlockWriter *w, Str tenant, Error *err) {
    SpanWriter *s = w->spans;

    if (s == NULL) {
        s = w->spans = calloc(1, sizeof *s);
        if (s == NULL) return writer_no_memory(err);
        buf_init(&s->page, 0);
        buf_init(&s->directories, 0);
        s->encoder = span_page_encoder_new();
        s->waiting_arena = arena_new(0, arena_budget(w->arena));
    }
    if (s->encoder == NULL || s->waiting_arena == NULL) return writer_no_memory(err);
    TRY(writer_part_begin(w, tenant, SIGNAL_TRACES, err));
    forget_waiting(s);
    buf_clear(&s->directories);
    s->index = (SpanIndexBuilder){0};
    s->ids = NULL;
    s->id_count = s->id_capacity = 0;
    s->raw_total = 0;
    s->values = span_values_builder_new(w->index);
    return s->values == NULL ? writer_no_memory(err) : ERR_OK;
}

/* ---------- pages ---------- */

static int64_t floor_ms(int64_t ns) {
    return ns / 1000000 - (ns % 1000000 < 0);
}

static void note_times(BlockWriter *w, int64_t min_ns, int64_t max_ns) {
    w->part.min_ms = MIN(w->part.min_ms, floor_ms(min_ns));
    w->part.max_ms = MAX(w->part.max_ms, floor_ms(max_ns) + (max_ns % 1000000 != 0));
}

/* Adds the page in `bytes` to the object and to the list. */
static ErrCode put_bytes(BlockWriter *w, Str bytes, SpanPageEntry *entry, uint32_t directory_bytes,
                         Error *err) {
    SpanWriter *s = w->spans;
    SpanIndexBuilder *b = &s->index;
    struct BuiltSpanPage *grown =
        index_room(w->index, b->pages, b->count, 1, &b->capacity, sizeof *grown);
    uint32_t stored;

    if (grown == NULL || b->count == UINT32_MAX - 1) return writer_no_memory(err);
    b->pages = grown;
    TRY(container_page(w->container, bytes, PAGE_PLAIN, &stored, err));
    entry->directory_bytes = 0;
    if (stored >= SPAN_DIRECTORY_BYTES_MIN) {
        entry->directory_bytes = directory_bytes;
        buf_append(&s->directories, bytes.ptr, directory_bytes);
    }
    b->pages[b->count++] = (struct BuiltSpanPage){*entry, stored, (uint32_t)bytes.len};
    s->raw_total += bytes.len;
    w->part.series += entry->traces;
    w->part.items += entry->rows;
    note_times(w, entry->min_ns, entry->max_ns);
    return buf_failed(&s->directories) ? writer_no_memory(err) : ERR_OK;
}

/* Room for `count` more ids. */
static ErrCode ids_room(BlockWriter *w, size_t count, Error *err) {
    SpanWriter *s = w->spans;
    SpanTracePlace *grown =
        index_room(w->index, s->ids, s->id_count, count, &s->id_capacity, sizeof *grown);

    if (grown == NULL) return writer_no_memory(err);
    s->ids = grown;
    return ERR_OK;
}

/* The page that was just encoded, of `table`. */
static ErrCode put_encoded(BlockWriter *w, const SpanTable *table, uint32_t directory_bytes,
                           Error *err) {
    SpanWriter *s = w->spans;
    uint32_t page = (uint32_t)s->index.count;
    SpanPageEntry entry = {
        .min_ns = INT64_MAX,
        .max_ns = INT64_MIN,
        .rows = table->row_count,
        .traces = table->trace_count,
    };

    TRY(ids_room(w, table->trace_count, err));
    for (uint32_t i = 0; i < table->trace_count; i++) {
        const TraceRow *trace = &table->traces[i];

        entry.min_ns = MIN(entry.min_ns, trace->start_ns);
        entry.max_ns = MAX(entry.max_ns, trace->end_ns);
        s->ids[s->id_count++] = (SpanTracePlace){span_trace_hash(&trace->id), page};
    }
    if (!span_values_add(s->values, table)) return writer_no_memory(err);
    return put_bytes(w, buf_str(&s->page), &entry, directory_bytes, err);
}

static ErrCode put_table(BlockWriter *w, const SpanTable *table, Error *err);

static ErrCode put_traces(BlockWriter *w, const SpanTable *table, uint32_t first, uint32_t count,
                          Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(w->arena));
    SpanTableRange range = {table, first, count};
    SpanTable half = {0};

    if (scratch == NULL) return writer_no_memory(err);
    TRY(span_table_join(&range, 1, false, scratch, &half, err));
    return put_table(w, &half, err);
}

static ErrCode put_spans(BlockWriter *w, const Span *spans, size_t count, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(w->arena));
    SpanTable half = {0};

    if (scratch == NULL) return writer_no_memory(err);
    TRY(span_table_build(spans, count, scratch, &half, err));
    return put_table(w, &half, err);
}

/* What is too much for one page is two. Only a trace that is more than a page is in two of them. */
static ErrCode put_halves(BlockWriter *w, const SpanTable *table, Error *err) {
    CLEANUP(arena_free) Arena *scratch = NULL;
    uint32_t half = table->trace_count / 2;
    Span *spans;

    if (half > 0) {
        TRY(put_traces(w, table, 0, half, err));
        return put_traces(w, table, half, table->trace_count - half, err);
    }
    scratch = arena_new(0, arena_budget(w->arena));
    if (scratch == NULL) return writer_no_memory(err);
    TRY(span_table_spans(table, &table->traces[0], scratch, &spans, err));
    half = table->traces[0].count / 2;
    TRY(put_spans(w, spans, half, err));
    return put_spans(w, spans + half, table->traces[0].count - half, err);
}

/* One page of a table that has nothing but what is to be in it. */
static ErrCode put_table(BlockWriter *w, const SpanTable *table, Error *err) {
    SpanWriter *s = w->spans;
    uint32_t directory_bytes = 0;
    ErrCode code = ERR_LIMIT;

    if (table->row_count <= SPAN_PAGE_ROWS_MAX)
        code = span_page_encode(s->encoder, table, &s->page, &directory_bytes, err);
    if (code == ERR_LIMIT && table->row_count > 1) return put_halves(w, table, err);
    if (code != ERR_OK) return code;
    return put_encoded(w, table, directory_bytes, err);
}

/* Has the table nothing but its traces? */
static bool is_whole(const SpanTable *table) {
    uint32_t rows = 0;

    for (uint32_t i = 0; i < table->trace_count; i++) rows += table->traces[i].count;
    return rows == table->row_count;
}

static ErrCode waiting_room(SpanWriter *s, Error *err) {
    SpanTableRange *grown = index_room(s->waiting_arena, s->waiting, s->waiting_count, 1,
                                       &s->waiting_capacity, sizeof *grown);

    if (grown == NULL) return writer_no_memory(err);
    s->waiting = grown;
    return ERR_OK;
}

/* A page of what waits and of these traces. */
static ErrCode put_page(BlockWriter *w, const SpanTableRange *more, Error *err) {
    CLEANUP(arena_free) Arena *scratch = NULL;
    SpanWriter *s = w->spans;
    SpanTable joined = {0};
    size_t count = s->waiting_count;

    if (more != NULL && count == 0 && more->count == more->table->trace_count &&
        is_whole(more->table))
        return put_table(w, more->table, err);
    if (more != NULL) {
        TRY(waiting_room(s, err));
        s->waiting[count++] = *more;
    }
    if (count == 0) return ERR_OK;
    if (more == NULL && count == 1) { /* a copy that has nothing else */
        TRY(put_table(w, s->waiting[0].table, err));
    } else {
        scratch = arena_new(0, arena_budget(w->arena));
        if (scratch == NULL) return writer_no_memory(err);
        TRY(span_table_join(s->waiting, count, false, scratch, &joined, err));
        TRY(put_table(w, &joined, err));
    }
    forget_waiting(s);
    return ERR_OK;
}

static ErrCode keep_waiting(SpanWriter *s, const SpanTableRange *range, uint32_t rows, Error *err) {
    SpanTable *copy = ARENA_NEW(s->waiting_arena, SpanTable);

    if (copy == NULL) return writer_no_memory(err);
    TRY(waiting_room(s, err));
    TRY(span_table_join(range, 1, true, s->waiting_arena, copy, err));
    s->waiting[s->waiting_count++] = (SpanTableRange){copy, 0, copy->trace_count};
    s->waiting_rows += rows;
    return ERR_OK;
}

/* How many of the traces from `first` on join what waits: until that is a page, and a little more
 * when nothing worth a page would be left of the table. */
static uint32_t fitting(const SpanWriter *s, const SpanTable *table, uint32_t first, uint32_t left,
                        uint32_t *rows) {
    size_t waiting = s->waiting_rows;
    size_t most = waiting + left <= PAGE_ROWS_MOST ? PAGE_ROWS_MOST : SPAN_PAGE_ROWS;
    uint32_t n = 0;

    *rows = 0;
    while (first + n < table->trace_count && waiting + *rows < most) {
        uint32_t more = table->traces[first + n].count;

        if (waiting + *rows > 0 && waiting + *rows + more > PAGE_ROWS_MOST) break;
        *rows += more;
        n++;
    }
    return n;
}

ErrCode block_spans_table(BlockWriter *w, const SpanTable *table, Error *err) {
    SpanWriter *s = w->spans;
    uint32_t left = 0;

    if (!w->open || w->signal != SIGNAL_TRACES)
        return error_set(err, ERR_INVALID, "spans outside of a tenant");
    for (uint32_t i = 0; i < table->trace_count; i++) left += table->traces[i].count;
    for (uint32_t first = 0; first < table->trace_count;) {
        uint32_t rows, n = fitting(s, table, first, left, &rows);
        SpanTableRange range = {table, first, n};

        if (n == 0) {
            TRY(put_page(w, NULL, err));
            continue;
        }
        if (s->waiting_rows + rows >= SPAN_PAGE_ROWS)
            TRY(put_page(w, &range, err));
        else
            TRY(keep_waiting(s, &range, rows, err));
        first += n;
        left -= rows;
    }
    return ERR_OK;
}

ErrCode block_spans_cut(BlockWriter *w, Error *err) {
    if (!w->open || w->signal != SIGNAL_TRACES)
        return error_set(err, ERR_INVALID, "spans outside of a tenant");
    return put_page(w, NULL, err);
}

/* ---------- pages as they are ---------- */

ErrCode block_spans_page(BlockWriter *w, const SpanWholePage *page, Error *err) {
    SpanWriter *s = w->spans;
    uint32_t number = (uint32_t)(s == NULL ? 0 : s->index.count);
    SpanPageEntry entry = page->entry;

    if (!w->open || w->signal != SIGNAL_TRACES)
        return error_set(err, ERR_INVALID, "spans outside of a tenant");
    TRY(ids_room(w, page->trace_count, err));
    for (uint32_t i = 0; i < page->trace_count; i++)
        s->ids[s->id_count++] = (SpanTracePlace){span_trace_hash(&page->traces[i].id), number};
    if (!span_values_copy(s->values, page->values, page->number)) return writer_no_memory(err);
    return put_bytes(w, page->bytes, &entry, page->directory_bytes, err);
}

/* ---------- the end ---------- */

/* Pages of ids, and the filter with where they begin, which is left in w->column. */
static ErrCode put_ids(BlockWriter *w, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(w->arena));
    SpanWriter *s = w->spans;
    size_t pages = (s->id_count + SPAN_IDS_PER_PAGE - 1) / SPAN_IDS_PER_PAGE;
    SpanIdPage *list = ARENA_ARRAY(scratch, SpanIdPage, pages + 1);
    uint64_t offset = container_offset(w->container), raw = 0;

    if (list == NULL || !span_ids_sort(s->ids, s->id_count, scratch)) return writer_no_memory(err);
    for (size_t i = 0; i < pages; i++) {
        const SpanTracePlace *first = &s->ids[i * SPAN_IDS_PER_PAGE];
        size_t count = MIN(s->id_count - i * SPAN_IDS_PER_PAGE, (size_t)SPAN_IDS_PER_PAGE);

        list[i].first_hash = first->hash;
        list[i].count = (uint32_t)count;
        buf_clear(&w->column);
        span_ids_encode(first, count, &w->column);
        if (buf_failed(&w->column)) return writer_no_memory(err);
        TRY(container_page(w->container, buf_str(&w->column), PAGE_PLAIN, &list[i].stored, err));
        raw += w->column.len;
    }
    TRY(container_section(w->container, SECTION_TRACES_IDS, SECTION_CODEC, offset, raw, err));
    buf_clear(&w->column);
    return span_filter_build(s->ids, s->id_count, list, pages, scratch, &w->column, err);
}

/* What is read first stands last, beside the footer: the filter and the list of pages tell who
 * looks for a trace all there is to know without another GET; before them stands what a search
 * needs. */
ErrCode block_spans_end(BlockWriter *w, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf filter;
    SpanWriter *s = w->spans;

    buf_init(&filter, 0);
    if (!w->open || w->signal != SIGNAL_TRACES)
        return error_set(err, ERR_INVALID, "a tenant ends that has not begun");
    TRY(put_page(w, NULL, err));
    TRY(container_section(w->container, SECTION_TRACES_DATA, SECTION_CODEC, w->part_offset,
                          s->raw_total, err));
    TRY(put_ids(w, err));
    buf_append_str(&filter, buf_str(&w->column));
    buf_clear(&w->column);
    TRY(writer_blob(w, SECTION_TRACES_DIRECTORIES, &s->directories, err));
    if (!span_values_build(s->values, &w->column)) return writer_no_memory(err);
    TRY(writer_blob(w, SECTION_TRACES_VALUES, &w->column, err));
    span_index_build(&s->index, &w->column);
    TRY(writer_blob(w, SECTION_TRACES_PAGES, &w->column, err));
    if (buf_failed(&filter)) return writer_no_memory(err);
    TRY(container_blob(w->container, SECTION_TRACES_FILTER, SECTION_CODEC, buf_str(&filter),
                       PAGE_PLAIN, err)); /* random bits */
    return writer_part_end(w, err);
}
