/*
 * log_index.c: which pages hold which stream's entries.
 *
 *     varint  pages, streams, pieces
 *     for each page: varint stored bytes with head, varint raw bytes, varint pieces
 *     for each stream: varint pieces
 *     for each piece: varint entries, varint bytes of lines and metadata, zigzag first instant less
 *     that of the piece before, varint last instant less the first
 *
 * Pages lie one behind the other in the data section, pieces one behind the other in pages.
 */
#include "common/block/log_index.h"
#include "common/base/reader.h"
#include "common/block/container.h"

void log_index_build(const LogIndexBuilder *b, Buf *out) {
    int64_t last_ns = 0;

    buf_append_varint(out, b->page_count);
    buf_append_varint(out, b->stream_count);
    buf_append_varint(out, b->piece_count);
    for (size_t i = 0; i < b->page_count; i++) {
        buf_append_varint(out, b->pages[i].stored);
        buf_append_varint(out, b->pages[i].raw);
        buf_append_varint(out, b->pages[i].pieces);
    }
    for (size_t i = 0; i < b->stream_count; i++) buf_append_varint(out, b->per_stream[i]);
    for (size_t i = 0; i < b->piece_count; i++) {
        const LogPiece *p = &b->pieces[i];

        buf_append_varint(out, p->rows);
        buf_append_varint(out, p->raw_bytes);
        buf_append_zigzag(out, (int64_t)((uint64_t)p->min_ns - (uint64_t)last_ns));
        buf_append_varint(out, (uint64_t)p->max_ns - (uint64_t)p->min_ns);
        last_ns = p->min_ns;
    }
}

/* What decoding goes through. */
typedef struct Decoding {
    Reader r;
    uint64_t pages, streams, pieces;
    DataPage *page_list;
    uint32_t *page_pieces;
    uint32_t *page_rows;
    LogPiece *piece_list;
    uint32_t *starts;
} Decoding;

static bool take_head(Decoding *d) {
    d->pages = reader_varint(&d->r);
    d->streams = reader_varint(&d->r);
    d->pieces = reader_varint(&d->r);
    /* A page takes three bytes at least, a stream one, a piece four. */
    return !d->r.failed && d->pages <= reader_left(&d->r) / 3 && d->streams <= reader_left(&d->r) &&
           d->pieces <= reader_left(&d->r) / 4 && d->pages < UINT32_MAX &&
           d->streams < UINT32_MAX && d->pieces < UINT32_MAX;
}

static bool take_pages(Decoding *d, uint64_t offset, uint64_t length) {
    uint64_t at = 0, pieces = 0;

    for (uint64_t i = 0; i < d->pages; i++) {
        uint64_t stored = reader_varint(&d->r), raw = reader_varint(&d->r);
        uint64_t count = reader_varint(&d->r);

        if (d->r.failed || stored < PAGE_HEAD_BYTES || stored > length - at || raw > PAGE_RAW_MAX ||
            count == 0 || count > d->pieces - pieces)
            return false;
        d->page_list[i] = (DataPage){offset + at, (uint32_t)stored, (uint32_t)raw, 0};
        d->page_pieces[i] = (uint32_t)count;
        at += stored;
        pieces += count;
    }
    return at == length && pieces == d->pieces;
}

static bool take_streams(Decoding *d) {
    uint64_t pieces = 0;

    for (uint64_t i = 0; i < d->streams; i++) {
        uint64_t count = reader_varint(&d->r);

        if (d->r.failed || count > d->pieces - pieces) return false;
        d->starts[i] = (uint32_t)pieces;
        pieces += count;
    }
    d->starts[d->streams] = (uint32_t)pieces;
    return pieces == d->pieces;
}

static bool take_pieces(Decoding *d) {
    int64_t last_ns = 0;
    uint64_t i = 0;

    for (uint64_t page = 0; page < d->pages; page++) {
        uint64_t rows = 0;

        for (uint64_t end = i + d->page_pieces[page]; i < end; i++) {
            uint64_t count = reader_varint(&d->r), raw = reader_varint(&d->r);
            int64_t min_ns = (int64_t)((uint64_t)last_ns + (uint64_t)reader_zigzag(&d->r));
            int64_t max_ns = (int64_t)((uint64_t)min_ns + reader_varint(&d->r));

            if (d->r.failed || count == 0 || count > UINT32_MAX - rows || raw > UINT32_MAX ||
                max_ns < min_ns)
                return false;
            d->piece_list[i] = (LogPiece){min_ns,         max_ns,        (uint32_t)count,
                                          (uint32_t)rows, (uint32_t)raw, (uint32_t)page};
            rows += count;
            last_ns = min_ns;
        }
        d->page_rows[page] = (uint32_t)rows;
    }
    return true;
}

/* Pieces of a stream ascend in time; they may touch. */
static bool streams_ascend(const Decoding *d) {
    for (uint64_t s = 0; s < d->streams; s++) {
        for (uint32_t i = d->starts[s] + 1; i < d->starts[s + 1]; i++) {
            if (d->piece_list[i].min_ns < d->piece_list[i - 1].max_ns) return false;
        }
    }
    return true;
}

ErrCode log_index_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena, LogIndex *out,
                         Error *err) {
    Decoding d = {.r = reader_of(raw)};

    if (!take_head(&d)) return error_set(err, ERR_CORRUPT, "page index: bad head");
    d.page_list = ARENA_ARRAY(arena, DataPage, d.pages + 1);
    d.page_pieces = ARENA_ARRAY(arena, uint32_t, d.pages + 1);
    d.page_rows = ARENA_ARRAY(arena, uint32_t, d.pages + 1);
    d.piece_list = ARENA_ARRAY(arena, LogPiece, d.pieces + 1);
    d.starts = ARENA_ARRAY(arena, uint32_t, d.streams + 1);
    if (d.page_list == NULL || d.page_pieces == NULL || d.page_rows == NULL ||
        d.piece_list == NULL || d.starts == NULL)
        return error_set(err, ERR_LIMIT, "no memory for a page index");
    if (!take_pages(&d, offset, length) || !take_streams(&d) || !take_pieces(&d) ||
        !reader_at_end(&d.r) || !streams_ascend(&d))
        return error_set(err, ERR_CORRUPT, "page index: bad entry");
    *out = (LogIndex){
        .pages = d.page_list,
        .page_rows = d.page_rows,
        .pieces = d.piece_list,
        .piece_start = d.starts,
        .page_count = (uint32_t)d.pages,
        .piece_count = (uint32_t)d.pieces,
        .stream_count = (uint32_t)d.streams,
    };
    return ERR_OK;
}
