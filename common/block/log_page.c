/*
 * log_page.c: a page's entries, those that are wanted.
 *
 * Nothing in a page is believed: counts are compared with what is there before they allocate or
 * index anything, and what columns add up to with what the index says.
 */
#include "common/block/log_page.h"

#include <stdlib.h>
#include <string.h>

#include "common/block/cache.h"
#include "common/block/ints.h"

typedef struct Column {
    Str stored;
    uint32_t raw;
    uint8_t kind;
} Column;

typedef struct Page {
    const Column *columns;
    size_t column_count;
    uint32_t rows;
} Page;

/* ---------- decoders ---------- */

LogDecoder *log_decoder_new(Budget *budget) {
    LogDecoder *d = calloc(1, sizeof *d);

    if (d == NULL) return NULL;
    d->arena = arena_new(0, budget);
    d->zstd = ZSTD_createDCtx();
    if (d->arena != NULL && d->zstd != NULL) return d;
    log_decoder_free(d);
    return NULL;
}

void log_decoder_free(LogDecoder *d) {
    if (d == NULL) return;
    if (d->pinned != NULL) cache_unpin(d->pinned);
    ZSTD_freeDCtx(d->zstd);
    arena_free(d->arena);
    free(d);
}

static ErrCode corrupt(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT, "page of logs: %s", what);
}

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a page of logs");
}

/* ---------- columns ---------- */

static ErrCode open_page(LogDecoder *d, Str bytes, uint32_t rows, Page *out, Error *err) {
    Reader r = reader_of(bytes);
    uint8_t codec = reader_u8(&r);
    uint64_t said = reader_varint(&r), columns = reader_varint(&r), raw_total = 0;
    Column *list;

    if (r.failed) return corrupt(err, "cut off");
    if (codec != LOG_PAGE_CODEC)
        return error_set(err, ERR_UNSUPPORTED, "page of logs of codec %u, this program reads %d",
                         codec, LOG_PAGE_CODEC);
    if (said != rows || rows == 0) return corrupt(err, "not as many entries as the index says");
    if (columns > LOG_COLUMNS_MAX || columns > reader_left(&r) / 3) return corrupt(err, "bad head");
    list = ARENA_ARRAY(d->arena, Column, columns + 1);
    if (list == NULL) return no_memory(err);
    for (uint64_t i = 0; i < columns; i++) {
        uint64_t raw, stored;

        list[i].kind = reader_u8(&r);
        raw = reader_varint(&r);
        stored = reader_varint(&r);
        raw_total += raw;
        if (r.failed || stored > raw || raw > LOG_COLUMN_RAW_MAX ||
            raw_total > 2 * (uint64_t)LOG_COLUMN_RAW_MAX || stored > reader_left(&r))
            return corrupt(err, "bad column");
        list[i].raw = (uint32_t)raw;
        list[i].stored.len = (size_t)stored;
    }
    for (uint64_t i = 0; i < columns; i++) {
        list[i].stored = reader_bytes(&r, list[i].stored.len);
        if (r.failed) return corrupt(err, "columns are cut off");
    }
    if (!reader_at_end(&r)) return corrupt(err, "bytes left over");
    *out = (Page){list, (size_t)columns, rows};
    return ERR_OK;
}

static const Column *find_column(const Page *page, LogColumnKind kind) {
    for (size_t i = 0; i < page->column_count; i++) {
        if (page->columns[i].kind == kind) return &page->columns[i];
    }
    return NULL;
}

static ErrCode inflate(LogDecoder *d, const Column *column, Str *raw, Error *err) {
    char *to;
    size_t got;

    if (column->stored.len == column->raw) {
        *raw = column->stored;
        return ERR_OK;
    }
    to = arena_alloc_bytes(d->arena, (size_t)column->raw + 1);
    if (to == NULL) return no_memory(err);
    got = ZSTD_decompressDCtx(d->zstd, to, column->raw, column->stored.ptr, column->stored.len);
    if (ZSTD_isError(got) || got != column->raw) return corrupt(err, "bad compression");
    *raw = (Str){to, got};
    return ERR_OK;
}

/* Integers [first, first + count) of a column of `rows`: only the chunks that they lie in. */
static ErrCode take_ints(LogDecoder *d, const Column *column, uint32_t rows, uint32_t first,
                         uint32_t count, int64_t **out, Error *err) {
    size_t chunks = ((size_t)rows + COLUMN_ITEMS_MAX - 1) / COLUMN_ITEMS_MAX;
    size_t from = first / COLUMN_ITEMS_MAX;
    size_t to = ((size_t)first + count + COLUMN_ITEMS_MAX - 1) / COLUMN_ITEMS_MAX;
    Reader lengths, bytes;
    int64_t *list;
    Str raw;

    if (column == NULL) return corrupt(err, "a column is missing");
    TRY(inflate(d, column, &raw, err));
    if (chunks > raw.len) return corrupt(err, "a column is cut off");
    list = arena_alloc(d->arena, (to - from) * COLUMN_ITEMS_MAX * sizeof *list);
    if (list == NULL) return no_memory(err);
    lengths = bytes = reader_of(raw);
    for (size_t i = 0; i < chunks; i++) (void)reader_varint(&bytes);
    for (size_t i = 0; i < chunks; i++) {
        size_t n = MIN((size_t)rows - i * COLUMN_ITEMS_MAX, (size_t)COLUMN_ITEMS_MAX);
        Reader chunk = reader_of(reader_bytes(&bytes, (size_t)reader_varint(&lengths)));
        int64_t *at = list + (i - from) * COLUMN_ITEMS_MAX;
        bool constant = false;
        IntsTag tag = {0};

        if (bytes.failed || lengths.failed) return corrupt(err, "a column is cut off");
        if (i < from || i >= to) continue;
        if (!ints_decode(&chunk, n, (BitsWord *)at, &tag, &constant) || tag.mapping != 0 ||
            tag.exceptions || !reader_at_end(&chunk))
            return corrupt(err, "bad integers");
        for (size_t k = 1; constant && k < n; k++) at[k] = at[0];
    }
    if (!reader_at_end(&bytes)) return corrupt(err, "integers left over");
    *out = list + (first - from * COLUMN_ITEMS_MAX);
    return ERR_OK;
}

/* ---------- rows ---------- */

/* The rows that are wanted, by number in the page, ascending. */
typedef struct Picked {
    uint32_t *rows; /* NULL: all of [first, first + count) */
    uint32_t first;
    uint32_t count;
} Picked;

static uint32_t picked_row(const Picked *p, uint32_t i) {
    return p->rows == NULL ? p->first + i : p->rows[i];
}

/* Strings of the rows picked. */
static ErrCode take_strings(LogDecoder *d, const Page *page, LogColumnKind lengths,
                            LogColumnKind text, const Picked *picked, Str **out, Error *err) {
    const Column *column = find_column(page, text);
    Str *list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *list);
    uint32_t next = 0;
    int64_t *n = NULL;
    Str left;

    if (column == NULL) return corrupt(err, "a column is missing");
    if (list == NULL) return no_memory(err);
    TRY(take_ints(d, find_column(page, lengths), page->rows, 0, page->rows, &n, err));
    TRY(inflate(d, column, &left, err));
    for (uint32_t i = 0; i < page->rows; i++) {
        if (n[i] < 0 || (uint64_t)n[i] > left.len) return corrupt(err, "text is cut off");
        if (next < picked->count && picked_row(picked, next) == i)
            list[next++] = (Str){left.ptr, (size_t)n[i]};
        left = str_from(left, (size_t)n[i]);
    }
    if (left.len > 0) return corrupt(err, "text left over");
    *out = list;
    return ERR_OK;
}

static ErrCode take_lengths(LogDecoder *d, const Page *page, const Picked *picked, uint32_t **out,
                            Error *err) {
    uint32_t *list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *list);
    int64_t *n = NULL;

    if (list == NULL) return no_memory(err);
    TRY(take_ints(d, find_column(page, LOG_COLUMN_LENGTHS), page->rows, 0, page->rows, &n, err));
    for (uint32_t i = 0; i < picked->count; i++) {
        int64_t length = n[picked_row(picked, i)];

        if (length < 0 || length > LOG_COLUMN_RAW_MAX) return corrupt(err, "a line of bad length");
        list[i] = (uint32_t)length;
    }
    *out = list;
    return ERR_OK;
}

/* Times of the piece, cut to the range: what is left is one run, since they ascend. */
static ErrCode take_times(LogDecoder *d, const Page *page, const LogPageRead *read, int64_t **out,
                          Picked *picked, Error *err) {
    uint32_t first = 0, end = read->count;
    int64_t *times = NULL;

    TRY(take_ints(d, find_column(page, LOG_COLUMN_TIMES), page->rows, read->first, read->count,
                  &times, err));
    for (uint32_t i = 1; !read->any_order && i < read->count; i++) {
        if (times[i] < times[i - 1]) return corrupt(err, "times don't ascend");
    }
    if (!read->any_order) {
        while (first < end && times[first] < read->min_ns) first++;
        while (end > first && times[end - 1] > read->max_ns) end--;
    }
    *picked = (Picked){NULL, read->first + first, end - first};
    *out = times + first;
    return ERR_OK;
}

ErrCode log_page_decode(LogDecoder *d, Str bytes, const LogPageRead *read, LogView *out,
                        Error *err) {
    LogView view = {0};
    int64_t *times = NULL;
    uint32_t *lengths = NULL;
    Picked picked = {0};
    Page page = {0};
    Str *list = NULL;

    TRY(open_page(d, bytes, read->rows, &page, err));
    if (read->first > page.rows || read->count > page.rows - read->first)
        return corrupt(err, "a piece outside of it");
    TRY(take_times(d, &page, read, &times, &picked, err));
    view.times_ns = times;
    view.count = picked.count;
    if (view.count == 0) {
        *out = view;
        return ERR_OK;
    }
    if ((read->columns & LOG_LINES) != 0) {
        TRY(take_strings(d, &page, LOG_COLUMN_LENGTHS, LOG_COLUMN_LINES, &picked, &list, err));
        view.lines = list;
    }
    if ((read->columns & LOG_METADATA) != 0 && find_column(&page, LOG_COLUMN_METADATA) != NULL) {
        TRY(take_strings(d, &page, LOG_COLUMN_METADATA_LENGTHS, LOG_COLUMN_METADATA, &picked, &list,
                         err));
        view.metadata = list;
    }
    if ((read->columns & LOG_LENGTHS) != 0) {
        TRY(take_lengths(d, &page, &picked, &lengths, err));
        view.lengths = lengths;
    }
    *out = view;
    return ERR_OK;
}
