/*
 * log_page.c: a page's entries, those that are wanted.
 *
 * Nothing in a page is believed: counts are compared with what is there before they allocate or
 * index anything, and what columns add up to with what the index says.
 */
#include "common/block/log_judge.h"
#include "common/block/log_shape.h"

#include <stdlib.h>
#include <string.h>

#include "common/block/ints.h"

enum { DECODER_KEEPS_BYTES = 4 << 20 };

/* ---------- decoders ---------- */

LogDecoder *log_decoder_new(Budget *budget) {
    LogDecoder *d = calloc(1, sizeof *d);

    if (d == NULL) return NULL;
    d->arena = arena_new(0, budget);
    d->shared_arena = arena_new(0, budget);
    d->zstd = ZSTD_createDCtx();
    d->shapes = log_shapes_new(budget);
    d->judge = log_judge_new(budget, 0);
    d->metadata_judge = log_judge_new(budget, UINT64_C(1) << 63);
    if (d->arena != NULL && d->shared_arena != NULL && d->zstd != NULL && d->shapes != NULL &&
        d->judge != NULL && d->metadata_judge != NULL) {
        /* One page after another needs about as much. */
        arena_keep(d->arena, DECODER_KEEPS_BYTES);
        return d;
    }
    log_decoder_free(d);
    return NULL;
}

void log_decoder_free(LogDecoder *d) {
    if (d == NULL) return;
    ZSTD_freeDCtx(d->zstd);
    log_judge_free(d->judge);
    log_judge_free(d->metadata_judge);
    log_shapes_free(d->shapes);
    arena_free(d->arena);
    arena_free(d->shared_arena);
    free(d);
}

ErrCode log_page_corrupt(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT, "page of logs: %s", what);
}

ErrCode log_page_no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a page of logs");
}

/* ---------- columns ---------- */

ErrCode log_page_open(LogDecoder *d, Str bytes, uint32_t rows, LogPageColumns *out, Error *err) {
    Reader r = reader_of(bytes);
    uint8_t codec = reader_u8(&r);
    uint64_t said = reader_varint(&r), columns = reader_varint(&r), raw_total = 0;
    LogColumn *list;

    if (r.failed) return log_page_corrupt(err, "cut off");
    if (codec != LOG_PAGE_CODEC)
        return error_set(err, ERR_UNSUPPORTED, "page of logs of codec %u, this program reads %d",
                         codec, LOG_PAGE_CODEC);
    if (said != rows || rows == 0 || rows > LOG_PAGE_ROWS_MAX)
        return log_page_corrupt(err, "not as many entries as the index says");
    if (columns > LOG_COLUMNS_MAX || columns > reader_left(&r) / 3)
        return log_page_corrupt(err, "bad head");
    list = ARENA_ARRAY(d->arena, LogColumn, columns + 1);
    if (list == NULL) return log_page_no_memory(err);
    for (uint64_t i = 0; i < columns; i++) {
        uint64_t raw, stored;

        list[i].kind = reader_u8(&r);
        raw = reader_varint(&r);
        stored = reader_varint(&r);
        raw_total += raw;
        if (r.failed || stored > raw || raw > LOG_COLUMN_RAW_MAX ||
            raw_total > 2 * (uint64_t)LOG_COLUMN_RAW_MAX || stored > reader_left(&r))
            return log_page_corrupt(err, "bad column");
        list[i].raw = (uint32_t)raw;
        list[i].stored.len = (size_t)stored;
    }
    for (uint64_t i = 0; i < columns; i++) {
        list[i].stored = reader_bytes(&r, list[i].stored.len);
        if (r.failed) return log_page_corrupt(err, "columns are cut off");
    }
    if (!reader_at_end(&r)) return log_page_corrupt(err, "bytes left over");
    *out = (LogPageColumns){list, (size_t)columns, rows};
    return ERR_OK;
}

const LogColumn *log_column_find(const LogPageColumns *page, unsigned kind) {
    for (size_t i = 0; i < page->count; i++) {
        if (page->columns[i].kind == kind) return &page->columns[i];
    }
    return NULL;
}

ErrCode log_column_inflate(LogDecoder *d, const LogColumn *column, Str *raw, Error *err) {
    char *to;
    size_t got;

    if (column->stored.len == column->raw) {
        *raw = column->stored;
        return ERR_OK;
    }
    to = arena_alloc_bytes(d->arena, (size_t)column->raw + 1);
    if (to == NULL) return log_page_no_memory(err);
    got = ZSTD_decompressDCtx(d->zstd, to, column->raw, column->stored.ptr, column->stored.len);
    if (ZSTD_isError(got) || got != column->raw) return log_page_corrupt(err, "bad compression");
    *raw = (Str){to, got};
    return ERR_OK;
}

ErrCode log_ints_take(LogDecoder *d, Reader *r, uint32_t rows, uint32_t first, uint32_t count,
                      int64_t **out, Error *err) {
    size_t chunks = ((size_t)rows + COLUMN_ITEMS_MAX - 1) / COLUMN_ITEMS_MAX;
    size_t from = first / COLUMN_ITEMS_MAX;
    size_t to = ((size_t)first + count + COLUMN_ITEMS_MAX - 1) / COLUMN_ITEMS_MAX;
    Reader lengths = *r;
    int64_t *list;

    if (chunks > reader_left(r)) return log_page_corrupt(err, "a column is cut off");
    list = arena_alloc(d->arena, ((to - from) * COLUMN_ITEMS_MAX + 1) * sizeof *list);
    if (list == NULL) return log_page_no_memory(err);
    for (size_t i = 0; i < chunks; i++) (void)reader_varint(r);
    for (size_t i = 0; i < chunks; i++) {
        size_t n = MIN((size_t)rows - i * COLUMN_ITEMS_MAX, (size_t)COLUMN_ITEMS_MAX);
        Reader chunk = reader_of(reader_bytes(r, (size_t)reader_varint(&lengths)));
        int64_t *at = list + (i - from) * COLUMN_ITEMS_MAX;
        bool constant = false;
        IntsTag tag = {0};

        if (r->failed || lengths.failed) return log_page_corrupt(err, "a column is cut off");
        if (i < from || i >= to) continue;
        if (!ints_decode(&chunk, n, (BitsWord *)at, &tag, &constant) || tag.mapping != 0 ||
            tag.exceptions || !reader_at_end(&chunk))
            return log_page_corrupt(err, "bad integers");
        for (size_t k = 1; constant && k < n; k++) at[k] = at[0];
    }
    *out = list + (first - from * COLUMN_ITEMS_MAX);
    return ERR_OK;
}

/* Integers of a column that holds nothing else. */
static ErrCode take_ints(LogDecoder *d, const LogColumn *column, uint32_t rows, uint32_t first,
                         uint32_t count, int64_t **out, Error *err) {
    Reader r;
    Str raw;

    if (column == NULL) return log_page_corrupt(err, "a column is missing");
    TRY(log_column_inflate(d, column, &raw, err));
    r = reader_of(raw);
    TRY(log_ints_take(d, &r, rows, first, count, out, err));
    return reader_at_end(&r) ? ERR_OK : log_page_corrupt(err, "integers left over");
}

/* ---------- rows ---------- */

/* Strings of the rows picked. */
static ErrCode take_strings(LogDecoder *d, const LogPageColumns *page, LogColumnKind lengths,
                            LogColumnKind text, const LogPicked *picked, Str **out, Error *err) {
    const LogColumn *column = log_column_find(page, text);
    Str *list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *list);
    uint32_t next = 0;
    int64_t *n = NULL;
    Str left;

    if (column == NULL) return log_page_corrupt(err, "a column is missing");
    if (list == NULL) return log_page_no_memory(err);
    TRY(take_ints(d, log_column_find(page, lengths), page->rows, 0, page->rows, &n, err));
    TRY(log_column_inflate(d, column, &left, err));
    for (uint32_t i = 0; i < page->rows; i++) {
        if (n[i] < 0 || (uint64_t)n[i] > left.len) return log_page_corrupt(err, "text is cut off");
        if (next < picked->count && log_picked_row(picked, next) == i)
            list[next++] = (Str){left.ptr, (size_t)n[i]};
        left = str_from(left, (size_t)n[i]);
    }
    if (left.len > 0) return log_page_corrupt(err, "text left over");
    *out = list;
    return ERR_OK;
}

static ErrCode take_lengths(LogDecoder *d, const LogPageColumns *page, const LogPicked *picked,
                            uint32_t **out, Error *err) {
    uint32_t *list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *list);
    int64_t *n = NULL;

    if (list == NULL) return log_page_no_memory(err);
    TRY(take_ints(d, log_column_find(page, LOG_COLUMN_LENGTHS), page->rows, 0, page->rows, &n,
                  err));
    for (uint32_t i = 0; i < picked->count; i++) {
        int64_t length = n[log_picked_row(picked, i)];

        if (length < 0 || length > LOG_COLUMN_RAW_MAX)
            return log_page_corrupt(err, "a line of bad length");
        list[i] = (uint32_t)length;
    }
    *out = list;
    return ERR_OK;
}

/* Times of the piece, cut to the range: what is left is one run, since they ascend. */
static ErrCode take_times(LogDecoder *d, const LogPageColumns *page, const LogPageRead *read,
                          int64_t **out, LogPicked *picked, Error *err) {
    uint32_t first = 0, end = read->count;
    int64_t *times = NULL;

    TRY(take_ints(d, log_column_find(page, LOG_COLUMN_TIMES), page->rows, read->first, read->count,
                  &times, err));
    for (uint32_t i = 1; !read->any_order && i < read->count; i++) {
        if (times[i] < times[i - 1]) return log_page_corrupt(err, "times don't ascend");
    }
    if (!read->any_order) {
        while (first < end && times[first] < read->min_ns) first++;
        while (end > first && times[end - 1] > read->max_ns) end--;
    }
    *picked = (LogPicked){NULL, read->first + first, end - first};
    *out = times;
    return ERR_OK;
}

/* ---------- filters ---------- */

static bool line_has(Str line, const LogNeedle *needle) {
    for (size_t i = 0; i < needle->count; i++) {
        if (str_contains(line, needle->any[i])) return true;
    }
    return false;
}

/* Whether the line may be where an entry has such a value from. */
static bool line_may_tell(Str line, const LogValue *value) {
    if (!log_value_tells(value)) return true;
    for (size_t i = 0; i < value->count; i++) {
        bool whole;
        Str piece = log_value_piece(value, i, &whole);

        if (whole ? log_whole_in_line(line, piece, value->key) : str_contains(line, piece))
            return true;
    }
    return value->escapes && str_contains(line, STR("\\"));
}

static bool line_passes(Str line, const LogFilter *filter) {
    for (size_t i = 0; i < filter->needle_count; i++) {
        const LogNeedle *needle = &filter->needles[i];

        if (!needle->fold_case && line_has(line, needle) == needle->negated) return false;
    }
    for (size_t i = 0; i < filter->value_count; i++) {
        if (!line_may_tell(line, &filter->values[i])) return false;
    }
    return true;
}

static bool folds(const LogFilter *filter) {
    for (size_t i = 0; i < filter->needle_count; i++) {
        if (filter->needles[i].fold_case) return true;
    }
    return false;
}

/* Leaves the rows out whose lines don't hold what they must. */
static ErrCode pick_lines(LogDecoder *d, const LogFilter *filter, Str *lines, LogPicked *picked,
                          Error *err) {
    uint32_t *rows = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *rows);
    uint32_t n = 0;

    if (rows == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < picked->count; i++) {
        rows[n] = log_picked_row(picked, i);
        lines[n] = lines[i];
        n += line_passes(lines[i], filter);
    }
    picked->rows = rows;
    picked->count = n;
    return ERR_OK;
}

/* Lines that are kept as they are, not as templates. */
static ErrCode take_plain(LogDecoder *d, const LogPageColumns *page, const LogPageRead *read,
                          bool filtered, LogPicked *picked, LogView *view, Error *err) {
    uint32_t *lengths = NULL;
    Str *lines = NULL;

    if (filtered || (read->columns & (LOG_LINES | LOG_PARTS)) != 0)
        TRY(take_strings(d, page, LOG_COLUMN_LENGTHS, LOG_COLUMN_LINES, picked, &lines, err));
    if (filtered) {
        TRY(pick_lines(d, read->filter, lines, picked, err));
        view->exact = !folds(read->filter);
    }
    if ((read->columns & LOG_LENGTHS) != 0) TRY(take_lengths(d, page, picked, &lengths, err));
    view->lines = lines;
    view->lengths = lengths;
    return ERR_OK;
}

static ErrCode list_rows(LogDecoder *d, const LogPicked *picked, const uint32_t **out, Error *err) {
    uint32_t *rows;

    *out = picked->rows;
    if (picked->rows != NULL) return ERR_OK;
    *out = rows = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *rows);
    if (rows == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < picked->count; i++) rows[i] = picked->first + i;
    return ERR_OK;
}

static ErrCode take_text(LogText *text, const LogPageRead *read, bool filtered, LogPicked *picked,
                         LogView *view, Error *err) {
    bool lines = (read->columns & (LOG_LINES | LOG_PARTS)) == LOG_LINES;
    bool lengths = (read->columns & LOG_LENGTHS) != 0;
    LogDecoder *d = text->decoder;
    uint32_t *length_list = NULL;
    Str *line_list = NULL;

    if (filtered) TRY(log_text_pick(text, read->filter, picked, &view->exact, err));
    /* Whoever asked looks at each line then. */
    lines |= !view->exact && (read->columns & LOG_PARTS) == 0;
    if ((read->columns & LOG_PARTS) != 0) {
        view->text = text;
        TRY(list_rows(d, picked, &view->rows, err));
    }
    if (lines) line_list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *line_list);
    if (lengths)
        length_list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *length_list);
    if ((lines && line_list == NULL) || (lengths && length_list == NULL))
        return log_page_no_memory(err);
    if (lines || lengths) TRY(log_text_rows(text, picked, line_list, length_list, err));
    view->lines = line_list;
    view->lengths = length_list;
    return ERR_OK;
}

/* A page's metadata, as far as it was looked at. */
typedef struct Metadata {
    LogText text;
    bool opened;
    bool templates; /* else there is none, or it is plain */
} Metadata;

static ErrCode open_metadata(LogDecoder *d, const LogPageColumns *page, const LogPageRead *read,
                             const int64_t *times, Metadata *m, Error *err) {
    if (m->opened) return ERR_OK;
    m->opened = true;
    return log_text_open(d, page, LOG_COLUMN_OF_METADATA, times, read->first, &m->text,
                         &m->templates, err);
}

/* Whether entries may have one of the filter's values from their metadata. */
static ErrCode has_values(LogDecoder *d, const LogPageColumns *page, const LogPageRead *read,
                          const int64_t *times, Metadata *m, bool *has, Error *err) {
    const LogColumn *column = log_column_find(page, LOG_COLUMN_METADATA);
    LogNeedle any;
    Str raw;

    *has = false;
    TRY(open_metadata(d, page, read, times, m, err));
    if (!m->templates && column == NULL) return ERR_OK;
    if (!log_values_in_metadata(d->arena, read->filter, &any)) return log_page_no_memory(err);
    if (m->templates) return log_text_may_hold(&m->text, &any, has, err);
    TRY(log_column_inflate(d, column, &raw, err));
    *has = line_has(raw, &any);
    return ERR_OK;
}

static ErrCode take_lines(LogDecoder *d, const LogPageColumns *page, const LogPageRead *from,
                          const int64_t *times, LogPicked *picked, Metadata *metadata,
                          LogView *view, Error *err) {
    LogPageRead read = *from;
    LogFilter filter = from->filter == NULL ? (LogFilter){0} : *from->filter;
    bool has = false, filtered, found = false;
    LogText *text;

    if (filter.value_count > 0) TRY(has_values(d, page, from, times, metadata, &has, err));
    if (has) filter.value_count = 0; /* no line tells, then */
    read.filter = &filter;
    filtered = filter.needle_count + filter.value_count > 0;
    if (!filtered && (read.columns & (LOG_LINES | LOG_LENGTHS | LOG_PARTS)) == 0) return ERR_OK;
    text = ARENA_NEW(d->arena, LogText);
    if (text == NULL) return log_page_no_memory(err);
    TRY(log_text_open(d, page, 0, times, read.first, text, &found, err));
    if (found)
        TRY(take_text(text, &read, filtered, picked, view, err));
    else
        TRY(take_plain(d, page, &read, filtered, picked, view, err));
    view->count = picked->count;
    return ERR_OK;
}

static ErrCode take_metadata(LogDecoder *d, const LogPageColumns *page, const LogPageRead *read,
                             const int64_t *times, const LogPicked *picked, Metadata *m,
                             LogView *view, Error *err) {
    Str *list = NULL;

    TRY(open_metadata(d, page, read, times, m, err));
    if (m->templates) {
        list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *list);
        if (list == NULL) return log_page_no_memory(err);
        TRY(log_text_rows(&m->text, picked, list, NULL, err));
    } else if (log_column_find(page, LOG_COLUMN_METADATA) != NULL) {
        TRY(take_strings(d, page, LOG_COLUMN_METADATA_LENGTHS, LOG_COLUMN_METADATA, picked, &list,
                         err));
    }
    view->metadata = list;
    return ERR_OK;
}

static ErrCode pick_times(LogDecoder *d, const LogPageRead *read, const int64_t *times,
                          const LogPicked *picked, LogView *view, Error *err) {
    int64_t *list = arena_alloc(d->arena, ((size_t)picked->count + 1) * sizeof *list);

    if (list == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < picked->count; i++) list[i] = times[picked->rows[i] - read->first];
    view->times_ns = list;
    view->count = picked->count;
    return ERR_OK;
}

ErrCode log_page_decode(LogDecoder *d, Str bytes, const LogPageRead *read, LogView *out,
                        Error *err) {
    LogView view = {.exact = true};
    int64_t *times = NULL;
    LogPicked picked = {0};
    LogPageColumns page = {0};
    Metadata metadata = {0};

    TRY(log_page_open(d, bytes, read->rows, &page, err));
    if (read->first > page.rows || read->count > page.rows - read->first)
        return log_page_corrupt(err, "a piece outside of it");
    TRY(take_times(d, &page, read, &times, &picked, err));
    view.times_ns = times + (picked.first - read->first);
    view.count = picked.count;
    if (view.count == 0) {
        *out = view;
        return ERR_OK;
    }
    TRY(take_lines(d, &page, read, times, &picked, &metadata, &view, err));
    if ((read->columns & LOG_METADATA) != 0)
        TRY(take_metadata(d, &page, read, times, &picked, &metadata, &view, err));
    if (picked.rows != NULL) TRY(pick_times(d, read, times, &picked, &view, err));
    *out = view;
    return ERR_OK;
}
