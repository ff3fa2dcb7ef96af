/*
 * log_writer.c: a tenant's logs into sections.
 *
 * A stream's entries gather until they make a page. What a small stream leaves joins a page that
 * small streams share, so that a page is worth its head and its compression however many streams
 * there are; a big stream's pages are its own, so that reading it reads nothing else.
 */
#include <stdlib.h>

#include "common/block/log_filter.h"
#include "common/block/log_index.h"
#include "common/block/log_page.h"
#include "common/block/writer.h"

enum {
    /* A stream with less than this left shares a page. */
    OWN_PAGE_BYTES_MIN = LOG_PAGE_RAW_BYTES / 4,
};

/* Entries that wait for their page, with bytes of their own. */
typedef struct Rows {
    Arena *arena;
    int64_t *times;
    Str *lines;
    Str *metadata;
    size_t count;
    size_t times_capacity, lines_capacity, metadata_capacity;
    size_t raw_bytes; /* of lines and metadata */
} Rows;

struct LogWriter {
    LogEncoder *encoder;
    Rows own;    /* of the stream at hand */
    Rows shared; /* of small streams before it, with a piece in the index each */
    LogIndexBuilder index;
    LogKeys keys[LOG_ID_KINDS];             /* of the page at hand */
    LogKeys label_keys[LOG_ID_KINDS];       /* of the stream at hand */
    LogFilterBuilder filters[LOG_ID_KINDS]; /* of all pages */
    LogLiteralBuilder literal;
    Buf page;
    int64_t last_ns; /* of the stream at hand */
    uint64_t raw_total;
    bool any_rows;
};

void log_writer_free(LogWriter *l) {
    if (l == NULL) return;
    log_encoder_free(l->encoder);
    arena_free(l->own.arena);
    arena_free(l->shared.arena);
    for (int i = 0; i < LOG_ID_KINDS; i++) {
        log_keys_done(&l->keys[i]);
        log_keys_done(&l->label_keys[i]);
        buf_done(&l->filters[i].lengths);
        buf_done(&l->filters[i].bits);
    }
    buf_done(&l->literal.bits);
    buf_done(&l->page);
    free(l);
}

static size_t rows_weight(const Rows *rows) {
    return rows->raw_bytes + rows->count * LOG_ROW_BYTES;
}

static void rows_clear(Rows *rows) {
    Arena *arena = rows->arena;

    arena_reset(arena);
    *rows = (Rows){.arena = arena};
}

/* Appends copies; false: out of memory. */
static bool rows_add(Rows *to, const LogRows *from, size_t first, size_t count) {
    size_t bytes = 0;
    char *at;

    to->times =
        index_room(to->arena, to->times, to->count, count, &to->times_capacity, sizeof *to->times);
    to->lines =
        index_room(to->arena, to->lines, to->count, count, &to->lines_capacity, sizeof *to->lines);
    to->metadata = index_room(to->arena, to->metadata, to->count, count, &to->metadata_capacity,
                              sizeof *to->metadata);
    for (size_t i = first; i < first + count; i++)
        bytes += from->lines[i].len + (from->metadata == NULL ? 0 : from->metadata[i].len);
    at = arena_alloc_bytes(to->arena, bytes + 1);
    if (to->times == NULL || to->lines == NULL || to->metadata == NULL || at == NULL) return false;
    for (size_t i = first; i < first + count; i++) {
        Str line = from->lines[i];
        Str metadata = from->metadata == NULL ? (Str){"", 0} : from->metadata[i];

        if (line.len > 0) memcpy(at, line.ptr, line.len);
        to->lines[to->count] = (Str){at, line.len};
        at += line.len;
        if (metadata.len > 0) memcpy(at, metadata.ptr, metadata.len);
        to->metadata[to->count] = (Str){at, metadata.len};
        at += metadata.len;
        to->times[to->count++] = from->times_ns[i];
    }
    to->raw_bytes += bytes;
    return true;
}

static LogRows rows_view(const Rows *rows) {
    return (LogRows){rows->times, rows->lines, rows->metadata, rows->count};
}

/* ---------- pages ---------- */

/* Notes that the stream at hand has this piece in the next page. */
static bool note_piece(BlockWriter *w, const LogPiece *piece) {
    LogIndexBuilder *b = &w->logs->index;
    LogPiece *grown =
        index_room(w->index, b->pieces, b->piece_count, 1, &b->piece_capacity, sizeof *grown);

    if (grown == NULL || b->piece_count >= UINT32_MAX - 1) return false;
    b->pieces = grown;
    b->pieces[b->piece_count++] = *piece;
    b->per_stream[b->stream_count - 1]++;
    return true;
}

static bool add_piece(BlockWriter *w, const Rows *rows) {
    for (int i = 0; i < LOG_ID_KINDS; i++) log_keys_add(&w->logs->keys[i], &w->logs->label_keys[i]);
    return note_piece(w, &(LogPiece){
                             .min_ns = rows->times[0],
                             .max_ns = rows->times[rows->count - 1],
                             .rows = (uint32_t)rows->count,
                             .raw_bytes = (uint32_t)rows->raw_bytes,
                         });
}

/* What ids the page holds, in lines and in values of metadata, whose canonical bytes have each in
 * one piece; those of labels came with the pieces. */
static bool add_filters(LogWriter *l, const Rows *rows) {
    bool literal = true;

    for (size_t i = 0; i < rows->count; i++) {
        log_keys_collect(rows->lines[i], l->keys);
        literal = literal && !log_spells_id(rows->lines[i]);
        if (i == 0 || !str_equal(rows->metadata[i], rows->metadata[i - 1]))
            log_keys_collect(rows->metadata[i], l->keys);
    }
    for (int i = 0; i < LOG_ID_KINDS; i++) {
        if (!log_filter_add(&l->filters[i], &l->keys[i])) return false;
    }
    return log_literal_add(&l->literal, literal);
}

/* Writes a page of the last `pieces` pieces. */
static ErrCode put_page(BlockWriter *w, Rows *rows, Error *err) {
    LogWriter *l = w->logs;
    LogIndexBuilder *b = &l->index;
    struct BuiltLogPage *grown =
        index_room(w->index, b->pages, b->page_count, 1, &b->page_capacity, sizeof *grown);
    LogRows view = rows_view(rows);
    size_t pieces = 0, count = 0;
    uint32_t stored;

    if (grown == NULL || !log_page_encode(l->encoder, &view, &l->page))
        return writer_no_memory(err);
    b->pages = grown;
    if (!add_filters(l, rows)) return writer_no_memory(err);
    if (l->page.len > PAGE_RAW_MAX)
        return error_set(err, ERR_LIMIT, "a page of logs of %zu bytes", l->page.len);
    TRY(container_page(w->container, buf_str(&l->page), PAGE_PLAIN, &stored, err));
    while (count < rows->count) count += b->pieces[b->piece_count - ++pieces].rows;
    assert(count == rows->count);
    b->pages[b->page_count++] =
        (struct BuiltLogPage){stored, (uint32_t)l->page.len, (uint32_t)pieces};
    l->raw_total += l->page.len;
    rows_clear(rows);
    return ERR_OK;
}

static ErrCode flush_shared(BlockWriter *w, Error *err) {
    return w->logs->shared.count == 0 ? ERR_OK : put_page(w, &w->logs->shared, err);
}

static ErrCode flush_own(BlockWriter *w, Error *err) {
    if (w->logs->own.count == 0) return ERR_OK;
    TRY(flush_shared(w, err)); /* pieces are in order */
    return add_piece(w, &w->logs->own) ? put_page(w, &w->logs->own, err) : writer_no_memory(err);
}

/* What is left of the stream at hand goes to a page of its own, or to one that it shares. */
static ErrCode end_stream(BlockWriter *w, Error *err) {
    LogWriter *l = w->logs;
    LogRows view = rows_view(&l->own);

    if (l->own.count == 0) return ERR_OK;
    if (rows_weight(&l->own) >= OWN_PAGE_BYTES_MIN) return flush_own(w, err);
    if (rows_weight(&l->shared) + rows_weight(&l->own) > LOG_PAGE_RAW_BYTES)
        TRY(flush_shared(w, err));
    if (!add_piece(w, &l->own) || !rows_add(&l->shared, &view, 0, view.count))
        return writer_no_memory(err);
    rows_clear(&l->own);
    return ERR_OK;
}

/* ---------- the contract ---------- */

ErrCode block_logs_begin(BlockWriter *w, Str tenant, Error *err) {
    LogWriter *l = w->logs;

    if (l == NULL) {
        l = w->logs = calloc(1, sizeof *l);
        if (l == NULL) return writer_no_memory(err);
        buf_init(&l->page, 0);
        buf_init(&l->literal.bits, 0);
        for (int i = 0; i < LOG_ID_KINDS; i++) {
            buf_init(&l->filters[i].lengths, 0);
            buf_init(&l->filters[i].bits, 0);
        }
        l->encoder = log_encoder_new();
        l->own.arena = arena_new(0, arena_budget(w->arena));
        l->shared.arena = arena_new(0, arena_budget(w->arena));
    }
    if (l->encoder == NULL || l->own.arena == NULL || l->shared.arena == NULL)
        return writer_no_memory(err);
    TRY(writer_part_begin(w, tenant, SIGNAL_LOGS, err));
    l->index = (LogIndexBuilder){0};
    l->raw_total = 0;
    for (int i = 0; i < LOG_ID_KINDS; i++) {
        buf_clear(&l->filters[i].lengths);
        buf_clear(&l->filters[i].bits);
        l->filters[i].pages = 0;
    }
    buf_clear(&l->literal.bits);
    l->literal.pages = 0;
    rows_clear(&l->own);
    rows_clear(&l->shared);
    return ERR_OK;
}

ErrCode block_logs_stream(BlockWriter *w, LabelPairs labels, Error *err) {
    LogIndexBuilder *b;
    uint32_t *grown;

    if (!w->open || w->signal != SIGNAL_LOGS)
        return error_set(err, ERR_INVALID, "a stream outside of a tenant");
    TRY(end_stream(w, err));
    TRY(writer_series(w, labels, err));
    b = &w->logs->index;
    grown =
        index_room(w->index, b->per_stream, b->stream_count, 1, &b->stream_capacity, sizeof *grown);
    if (grown == NULL || b->stream_count == UINT32_MAX - 1) return writer_no_memory(err);
    b->per_stream = grown;
    b->per_stream[b->stream_count++] = 0;
    w->logs->any_rows = false;
    for (int i = 0; i < LOG_ID_KINDS; i++) w->logs->label_keys[i].count = 0;
    for (size_t i = 0; i < labels.count; i++)
        log_keys_collect(labels.pairs[i].value, w->logs->label_keys);
    return ERR_OK;
}

static int64_t floor_ms(int64_t ns) {
    return ns / 1000000 - (ns % 1000000 < 0);
}

static size_t row_weight(const LogRows *rows, size_t i) {
    return LOG_ROW_BYTES + rows->lines[i].len +
           (rows->metadata == NULL ? 0 : rows->metadata[i].len);
}

/* A page is full at `enough`, and nothing is added that would make it more than `most`. */
typedef struct PageWeight {
    size_t enough;
    size_t most;
} PageWeight;

/* A few rows are added up to what is full. Many are spread over pages of about one size, a little
 * larger than that if need be: what would be left of them would be small, and small pages are
 * merged again and again. */
static PageWeight page_weight(const Rows *own, const LogRows *rows) {
    size_t weight = 0, pages;

    for (size_t i = 0; i < rows->count; i++) weight += row_weight(rows, i);
    if (weight < OWN_PAGE_BYTES_MIN) return (PageWeight){LOG_PAGE_RAW_BYTES, LOG_PAGE_RAW_BYTES};
    weight += rows_weight(own);
    pages = (weight + LOG_PAGE_RAW_BYTES - LOG_WHOLE_WEIGHT_MIN - 1) / LOG_PAGE_RAW_BYTES;
    return (PageWeight){weight / MAX(pages, (size_t)1), LOG_PAGE_RAW_BYTES + LOG_WHOLE_WEIGHT_MIN};
}

/* How many of the rows at `first` fit into the page at hand; at least one when it is empty. */
static size_t fitting(const Rows *own, const LogRows *rows, size_t first, PageWeight page) {
    size_t weight = rows_weight(own), n = 0;

    for (size_t i = first; i < rows->count; i++, n++) {
        size_t more = row_weight(rows, i);

        if ((weight >= page.enough || weight + more > page.most) && own->count + n > 0) break;
        weight += more;
    }
    return n;
}

static ErrCode check_rows(const BlockWriter *w, const LogRows *rows, Error *err) {
    int64_t last_ns = w->logs->any_rows ? w->logs->last_ns : INT64_MIN;

    for (size_t i = 0; i < rows->count; i++) {
        if (rows->times_ns[i] < last_ns)
            return error_set(err, ERR_INVALID, "entries of a stream are not in order of time");
        if (rows->lines[i].len > LOG_LINE_BYTES_MAX ||
            (rows->metadata != NULL && rows->metadata[i].len > LOG_METADATA_BYTES_MAX))
            return error_set(err, ERR_INVALID, "an entry of too many bytes");
        last_ns = rows->times_ns[i];
    }
    return ERR_OK;
}

static void note_rows(BlockWriter *w, int64_t first_ns, int64_t last_ns, size_t count) {
    w->logs->any_rows = true;
    w->logs->last_ns = last_ns;
    w->part.items += count;
    w->part.min_ms = MIN(w->part.min_ms, floor_ms(first_ns));
    w->part.max_ms = MAX(w->part.max_ms, floor_ms(last_ns) + (last_ns % 1000000 != 0));
}

ErrCode block_logs_rows(BlockWriter *w, const LogRows *rows, Error *err) {
    LogWriter *l = w->logs;
    PageWeight page;

    if (!w->open || w->signal != SIGNAL_LOGS || !w->any_series)
        return error_set(err, ERR_INVALID, "entries of no stream");
    if (rows->count == 0) return ERR_OK;
    TRY(check_rows(w, rows, err));
    page = page_weight(&l->own, rows);
    for (size_t first = 0, n; first < rows->count; first += n) {
        n = fitting(&l->own, rows, first, page);
        if (n == 0) {
            TRY(flush_own(w, err));
            continue;
        }
        if (!rows_add(&l->own, rows, first, n)) return writer_no_memory(err);
    }
    note_rows(w, rows->times_ns[0], rows->times_ns[rows->count - 1], rows->count);
    return ERR_OK;
}

/* ---------- pages as they are ---------- */

size_t block_logs_pending(const BlockWriter *w) {
    return rows_weight(&w->logs->own);
}

static ErrCode check_page(const BlockWriter *w, const LogWholePage *page, Error *err) {
    if (!w->open || w->signal != SIGNAL_LOGS || !w->any_series)
        return error_set(err, ERR_INVALID, "a page of no stream");
    if (page->count == 0 || page->max_ns < page->min_ns || page->bytes.len > PAGE_RAW_MAX)
        return error_set(err, ERR_INVALID, "a page that can't be");
    if (w->logs->any_rows && page->min_ns < w->logs->last_ns)
        return error_set(err, ERR_INVALID, "pages of a stream are not in order of time");
    return ERR_OK;
}

ErrCode block_logs_page(BlockWriter *w, const LogWholePage *page, Error *err) {
    LogWriter *l = w->logs;
    LogIndexBuilder *b = &l->index;
    struct BuiltLogPage *grown;
    uint32_t stored;

    TRY(check_page(w, page, err));
    TRY(flush_own(w, err));
    TRY(flush_shared(w, err)); /* pieces are in order */
    if (!note_piece(w, &(LogPiece){.min_ns = page->min_ns,
                                   .max_ns = page->max_ns,
                                   .rows = page->count,
                                   .raw_bytes = page->raw_bytes}))
        return writer_no_memory(err);
    grown = index_room(w->index, b->pages, b->page_count, 1, &b->page_capacity, sizeof *grown);
    if (grown == NULL) return writer_no_memory(err);
    b->pages = grown;
    for (int i = 0; i < LOG_ID_KINDS; i++)
        if (!log_filter_copy(&l->filters[i], page->filters[i])) return writer_no_memory(err);
    if (!log_literal_add(&l->literal, page->literal)) return writer_no_memory(err);
    TRY(container_page(w->container, page->bytes, PAGE_PLAIN, &stored, err));
    b->pages[b->page_count++] = (struct BuiltLogPage){stored, (uint32_t)page->bytes.len, 1};
    l->raw_total += page->bytes.len;
    note_rows(w, page->min_ns, page->max_ns, page->count);
    return ERR_OK;
}

/* Random bits, which nothing compresses. */
static ErrCode put_filters(BlockWriter *w, LogIdKind kind, SectionKind section, Error *err) {
    buf_clear(&w->column);
    log_filters_build(&w->logs->filters[kind], &w->column);
    if (buf_failed(&w->column)) return writer_no_memory(err);
    return container_blob(w->container, section, SECTION_CODEC, buf_str(&w->column), PAGE_PLAIN,
                          err);
}

/* The index stands between filters of the one kind and of the other: whoever needs it with one of
 * them has both in one GET. */
ErrCode block_logs_end(BlockWriter *w, Error *err) {
    if (!w->open || w->signal != SIGNAL_LOGS)
        return error_set(err, ERR_INVALID, "a tenant ends that has not begun");
    TRY(end_stream(w, err));
    TRY(flush_shared(w, err));
    TRY(container_section(w->container, SECTION_LOGS_DATA, SECTION_CODEC, w->part_offset,
                          w->logs->raw_total, err));
    TRY(put_filters(w, LOG_ID_HEX, SECTION_LOGS_HEX, err));
    TRY(writer_labels(w, SECTION_LOGS_DICTIONARY, SECTION_LOGS_SERIES, err));
    log_literal_build(&w->logs->literal, &w->column);
    TRY(writer_blob(w, SECTION_LOGS_LITERAL, &w->column, err));
    log_index_build(&w->logs->index, &w->column);
    TRY(writer_blob(w, SECTION_LOGS_PAGES, &w->column, err));
    TRY(put_filters(w, LOG_ID_UUID, SECTION_LOGS_UUIDS, err));
    return writer_part_end(w, err);
}
