/*
 * log_cursor.c: a tenant's streams one after the other, for merging.
 *
 * Pages lie in the order of streams, so a window slides over them in large GETs; a page that
 * streams share is decoded once for all of them.
 */
#include <string.h>

#include "common/block/log_filter.h"
#include "common/block/log_shape.h"
#include "common/block/reader.h"

struct LogCursor {
    Store *store;
    Str key;
    Arena *arena;  /* who opened it */
    Arena *index;  /* the cursor's own: index and key */
    Arena *labels; /* of the stream at hand */
    Arena *window_arena;
    Str window; /* bytes of the object that were read ahead */
    uint64_t window_offset;
    size_t window_bytes;
    Arena *page_arena;
    LogDecoder *decoder;
    LogView page; /* all entries of page_number, while page.count > 0 */
    uint32_t page_number;
    const Section *data;
    Dictionary dictionary;
    SeriesIndex series;
    LogIndex logs;
    LogFilters filters[LOG_ID_KINDS];
    LogLiteral literal;
    uint32_t group; /* of the next stream */
    uint32_t next;  /* the next stream */
    uint32_t piece; /* the next piece of the stream at hand */
    uint32_t piece_end;
    bool closed;
};

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory to go through a block");
}

void log_cursor_close(LogCursor *c) {
    if (c == NULL || c->closed) return;
    c->closed = true;
    log_decoder_free(c->decoder);
    arena_free(c->window_arena);
    arena_free(c->page_arena);
    arena_free(c->labels);
    arena_free(c->index);
}

static void release(void *what) {
    log_cursor_close(what);
}

/* ---------- opening ---------- */

/* All that is read when a cursor opens lies together, behind the pages. */
typedef struct IndexBytes {
    uint64_t offset;
    Str bytes;
} IndexBytes;

static ErrCode read_index(LogCursor *c, const ContainerPart *part, Arena *arena, IndexBytes *out,
                          Error *err) {
    uint64_t first = UINT64_MAX, end = 0;

    for (uint32_t i = 0; i < part->section_count; i++) {
        const Section *section = &part->sections[i];

        if (section->kind == SECTION_LOGS_DATA) continue;
        first = MIN(first, section->offset);
        end = MAX(end, section->offset + section->length);
    }
    if (first >= end) return error_set(err, ERR_CORRUPT, "logs without an index");
    out->offset = first;
    return object_read(c->store, c->key, first, end - first, arena, NULL, &out->bytes, err);
}

static ErrCode read_section(const IndexBytes *index, const ContainerPart *part, SectionKind kind,
                            Arena *arena, Str *raw, Error *err) {
    const Section *section = container_find_section(part, kind);

    TRY(section_check(section, err));
    return blob_decode(
        str_slice(index->bytes, (size_t)(section->offset - index->offset), section->length),
        section, arena, raw, err);
}

/* An object may be without. */
static ErrCode load_filters(LogCursor *c, const IndexBytes *index, const ContainerPart *part,
                            SectionKind kind, LogFilters *out, Error *err) {
    Str raw;

    if (container_find_section(part, kind) == NULL) return ERR_OK;
    TRY(read_section(index, part, kind, c->index, &raw, err));
    return log_filters_decode(raw, c->index, out, err);
}

static ErrCode load_literal(LogCursor *c, const IndexBytes *index, const ContainerPart *part,
                            Error *err) {
    Str raw;

    if (container_find_section(part, SECTION_LOGS_LITERAL) == NULL) return ERR_OK;
    TRY(read_section(index, part, SECTION_LOGS_LITERAL, c->index, &raw, err));
    return log_literal_decode(raw, &c->literal, err);
}

static ErrCode load_index(LogCursor *c, const ContainerPart *part, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(c->arena));
    IndexBytes index;
    Str raw;

    if (scratch == NULL) return no_memory(err);
    TRY(read_index(c, part, scratch, &index, err));
    c->data = container_find_section(part, SECTION_LOGS_DATA);
    TRY(section_check(c->data, err));
    TRY(read_section(&index, part, SECTION_LOGS_DICTIONARY, scratch, &raw, err));
    TRY(dictionary_decode(raw, c->index, &c->dictionary, err));
    TRY(read_section(&index, part, SECTION_LOGS_SERIES, c->index, &raw, err));
    TRY(series_index_decode(raw, &c->dictionary, false, c->index, &c->series, err));
    TRY(read_section(&index, part, SECTION_LOGS_PAGES, scratch, &raw, err));
    TRY(log_index_decode(raw, c->data->offset, c->data->length, c->index, &c->logs, err));
    TRY(load_filters(c, &index, part, SECTION_LOGS_UUIDS, &c->filters[LOG_ID_UUID], err));
    TRY(load_filters(c, &index, part, SECTION_LOGS_HEX, &c->filters[LOG_ID_HEX], err));
    TRY(load_literal(c, &index, part, err));
    if (c->series.series_count != c->logs.stream_count)
        return error_set(err, ERR_CORRUPT, "%u streams have labels, %u have pages",
                         c->series.series_count, c->logs.stream_count);
    return ERR_OK;
}

static ErrCode open_part(LogCursor *c, uint64_t size, Str tenant, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(c->arena));
    const ContainerPart *part;
    Container container;
    ObjectEnd end;

    if (scratch == NULL) return no_memory(err);
    TRY(object_read_end(c->store, c->key, size, 0, scratch, NULL, &end, err));
    TRY(container_footer_parse(end.footer, &end.tail, c->index, &container, err));
    part = container_find_part(&container, tenant, SIGNAL_LOGS);
    return part == NULL ? ERR_OK : load_index(c, part, err);
}

ErrCode log_cursor_open(Store *store, Str key, uint64_t size, Str tenant, size_t window_bytes,
                        Arena *arena, LogCursor **out, Error *err) {
    LogCursor *c = ARENA_NEW(arena, LogCursor);
    Budget *budget = arena == NULL ? NULL : arena_budget(arena);

    if (c == NULL || !arena_on_free(arena, release, c)) return no_memory(err);
    c->store = store;
    c->window_bytes = window_bytes;
    c->arena = arena;
    c->index = arena_new(0, budget);
    c->labels = arena_new(0, budget);
    c->window_arena = arena_new(0, budget);
    c->page_arena = arena_new(0, budget);
    c->decoder = log_decoder_new(budget);
    c->key = str_dup(c->index, key);
    /* A merge has many cursors: none of them holds more than the page it is in. */
    if (c->decoder != NULL) arena_keep(c->decoder->arena, 0);
    if (c->key.ptr == NULL || c->labels == NULL || c->window_arena == NULL ||
        c->page_arena == NULL || c->decoder == NULL)
        return no_memory(err);
    if (open_part(c, size, tenant, err) != ERR_OK)
        return error_wrap(err, "block " STR_FMT, STR_ARG(key));
    *out = c;
    return ERR_OK;
}

/* ---------- pages ---------- */

/* Moves the window so that it begins with the page and, room permitting, holds those behind it. */
static ErrCode slide(LogCursor *c, const DataPage *page, Error *err) {
    uint64_t left = c->data->offset + c->data->length - page->offset;
    uint64_t length = MIN(left, MAX((uint64_t)c->window_bytes, (uint64_t)page->stored));

    if (page->offset >= c->window_offset &&
        page->offset + page->stored <= c->window_offset + c->window.len)
        return ERR_OK;
    arena_reset(c->window_arena);
    c->window = (Str){0};
    TRY(object_read(c->store, c->key, page->offset, length, c->window_arena, NULL, &c->window,
                    err));
    c->window_offset = page->offset;
    return ERR_OK;
}

/* The page's bytes, checked, in c->page_arena. */
static ErrCode read_page(LogCursor *c, uint32_t number, Str *out, Error *err) {
    const DataPage *page = &c->logs.pages[number];
    size_t stored;

    c->page.count = 0;
    TRY(slide(c, page, err));
    arena_reset(c->page_arena);
    TRY(page_decode(str_slice(c->window, (size_t)(page->offset - c->window_offset), page->stored),
                    c->page_arena, out, &stored, err));
    if (stored != page->stored || out->len != page->raw)
        return error_set(err, ERR_CORRUPT, "page at %llu is not what the index says",
                         (unsigned long long)page->offset);
    return ERR_OK;
}

static ErrCode load_page(LogCursor *c, uint32_t number, Error *err) {
    LogPageRead read = {
        .rows = c->logs.page_rows[number],
        .count = c->logs.page_rows[number],
        .columns = LOG_LINES | LOG_METADATA,
        .any_order = true,
    };
    Str raw;

    if (c->page.count > 0 && c->page_number == number) return ERR_OK;
    TRY(read_page(c, number, &raw, err));
    arena_reset(c->decoder->arena);
    (void)log_shapes_begin(c->decoder->shapes);
    TRY(log_page_decode(c->decoder, raw, &read, &c->page, err));
    c->page_number = number;
    return ERR_OK;
}

static ErrCode take_piece(LogCursor *c, LogRows *rows, Error *err) {
    const LogPiece *piece = &c->logs.pieces[c->piece];
    uint32_t first = piece->first_row;

    TRY(load_page(c, piece->page, err));
    *rows = (LogRows){
        .times_ns = c->page.times_ns + first,
        .lines = c->page.lines + first,
        .metadata = c->page.metadata == NULL ? NULL : c->page.metadata + first,
        .count = piece->rows,
    };
    for (uint32_t i = 1; i < piece->rows; i++) {
        if (rows->times_ns[i] < rows->times_ns[i - 1])
            return error_set(err, ERR_CORRUPT, "times don't ascend");
    }
    if (rows->times_ns[0] != piece->min_ns || rows->times_ns[piece->rows - 1] != piece->max_ns)
        return error_set(err, ERR_CORRUPT, "times are not what the index says");
    c->piece++;
    return ERR_OK;
}

/* Its memory goes as soon as no stream needs it. */
static void drop_page(LogCursor *c) {
    c->page = (LogView){0};
    arena_reset(c->decoder->arena);
    arena_reset(c->page_arena);
}

/* ---------- streams ---------- */

ErrCode log_cursor_stream(LogCursor *c, LabelPairs *labels, bool *more, Error *err) {
    const SeriesGroup *group;
    uint32_t *numbers, count;
    LabelPair *pairs;

    *more = c->next < c->series.series_count;
    if (!*more) return ERR_OK;
    arena_reset(c->labels);
    while (c->next - c->series.groups[c->group].first == c->series.groups[c->group].count)
        c->group++;
    group = &c->series.groups[c->group];
    numbers = arena_alloc(c->labels, ((size_t)group->label_count + 1) * sizeof *numbers);
    pairs = arena_alloc(c->labels, ((size_t)group->label_count + 1) * sizeof *pairs);
    if (numbers == NULL || pairs == NULL) return no_memory(err);
    count = series_row(&c->dictionary, group, c->next - group->first, numbers);
    for (uint32_t i = 0; i < count; i++) pairs[i] = c->dictionary.pairs[numbers[i]];
    *labels = (LabelPairs){pairs, count};
    c->piece = c->logs.piece_start[c->next];
    c->piece_end = c->logs.piece_start[c->next + 1];
    c->next++;
    if (c->page.count > 0 &&
        (c->piece == c->piece_end || c->logs.pieces[c->piece].page != c->page_number))
        drop_page(c);
    return ERR_OK;
}

ErrCode log_cursor_rows(LogCursor *c, LogRows *rows, bool *more, Error *err) {
    *more = c->piece < c->piece_end;
    if (!*more) return ERR_OK;
    if (take_piece(c, rows, err) != ERR_OK)
        return error_wrap(err, "block " STR_FMT, STR_ARG(c->key));
    return ERR_OK;
}

/* ---------- pages as they are ---------- */

static Str filter_of(const LogFilters *filters, uint32_t page) {
    if (page >= filters->page_count) return (Str){"", 0};
    return (Str){(const char *)filters->bits + filters->start[page],
                 (size_t)(filters->start[page + 1] - filters->start[page])};
}

bool log_cursor_peek(const LogCursor *c, LogWholePage *out, bool *whole) {
    const LogPiece *piece;

    if (c->piece == c->piece_end) return false;
    piece = &c->logs.pieces[c->piece];
    *out = (LogWholePage){.min_ns = piece->min_ns,
                          .max_ns = piece->max_ns,
                          .count = piece->rows,
                          .raw_bytes = piece->raw_bytes};
    /* Without filters of the page, those of what is passed on would say that it holds no ids. */
    *whole = piece->rows == c->logs.page_rows[piece->page] &&
             piece->page < c->filters[LOG_ID_UUID].page_count &&
             piece->page < c->filters[LOG_ID_HEX].page_count;
    return true;
}

ErrCode log_cursor_page(LogCursor *c, LogWholePage *out, Error *err) {
    uint32_t page = c->logs.pieces[c->piece].page;
    bool whole;

    if (!log_cursor_peek(c, out, &whole) || !whole)
        return error_set(err, ERR_INTERNAL, "a page that isn't one stream's alone");
    if (read_page(c, page, &out->bytes, err) != ERR_OK)
        return error_wrap(err, "block " STR_FMT, STR_ARG(c->key));
    for (int i = 0; i < LOG_ID_KINDS; i++) out->filters[i] = filter_of(&c->filters[i], page);
    out->literal = log_literal_has(&c->literal, page);
    c->piece++;
    return ERR_OK;
}

void log_cursor_skip(LogCursor *c) {
    if (c->piece < c->piece_end) c->piece++;
}
