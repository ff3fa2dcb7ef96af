/*
 * span_read.c: pages of a selection into memory, and into tables.
 */
#include <stdlib.h>

#include "common/block/span_source.h"

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory to read traces");
}

static ErrCode check_page(const SpansSelection *selection, const SpanPage *page, Error *err) {
    if (selection->source == NULL || page->page >= selection->source->reader.page_count)
        return error_set(err, ERR_INTERNAL, "a page of another selection");
    return ERR_OK;
}

/* The same part on behalf of another arena. */
static ErrCode reader_for(const SpanSource *source, Arena *arena, BlockStats *stats,
                          PartReader *out, Error *err) {
    *out = source->reader;
    out->arena = arena;
    if (stats != NULL) out->stats = stats;
    out->pins = pins_new(arena);
    return out->pins == NULL ? no_memory(err) : ERR_OK;
}

/* ---------- fetching ---------- */

/* What an arena that goes takes back. */
typedef struct Fetched {
    const SpanSource *source;
    const SpanWant *wants;
    FetchedPage *pages; /* by want */
    size_t count;
} Fetched;

static void forget_fetched(void *what) {
    const Fetched *f = what;

    for (size_t i = 0; i < f->count; i++) {
        const FetchedPage *page = &f->pages[i];

        atomic_compare_exchange_strong(&f->source->fetched[f->wants[i].page], &page,
                                       (const FetchedPage *)NULL);
    }
}

static int compare_wants(const void *a, const void *b) {
    const SpanWant *x = a, *y = b;

    return (x->page > y->page) - (x->page < y->page);
}

static ErrCode load_wants(PartReader *reader, Fetched *f, Error *err) {
    SpanPieces *pieces = ARENA_ARRAY(reader->arena, SpanPieces, f->count + 1);

    f->pages = ARENA_ARRAY(reader->arena, FetchedPage, f->count + 1);
    if (pieces == NULL || f->pages == NULL) return no_memory(err);
    TRY(span_pieces_load(reader, f->wants, f->count, pieces, err));
    for (size_t i = 0; i < f->count; i++) f->pages[i].pieces = pieces[i];
    return ERR_OK;
}

ErrCode span_pages_fetch(const SpansSelection *selection, const SpanPage *const *pages,
                         size_t count, const SpanNeed *need, Arena *arena, BlockStats *stats,
                         Error *err) {
    const SpanSource *source = selection->source;
    SpanWant *wants = ARENA_ARRAY(arena, SpanWant, count + 1);
    Fetched *fetched = ARENA_NEW(arena, Fetched);
    PartReader reader;
    size_t kept = 0;

    if (count == 0) return ERR_OK;
    if (wants == NULL || fetched == NULL) return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        TRY(check_page(selection, pages[i], err));
        wants[i] = (SpanWant){pages[i]->page, need};
    }
    qsort(wants, count, sizeof *wants, compare_wants);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || wants[kept - 1].page != wants[i].page) wants[kept++] = wants[i];
    }
    TRY(reader_for(source, arena, stats, &reader, err));
    *fetched = (Fetched){.source = source, .wants = wants, .count = kept};
    TRY(load_wants(&reader, fetched, err));
    if (!arena_on_free(arena, forget_fetched, fetched)) return no_memory(err);
    for (size_t i = 0; i < kept; i++)
        atomic_store(&source->fetched[wants[i].page], &fetched->pages[i]);
    return ERR_OK;
}

/* ---------- reading ---------- */

static ErrCode read_page(const SpanSource *source, uint32_t page, const SpanNeed *need,
                         Arena *arena, SpanTable *table, Error *err) {
    const FetchedPage *fetched = atomic_load(&source->fetched[page]);
    SpanWant want = {page, need};
    SpanPieces pieces = {0};
    SpanDirectory directory;
    PartReader reader;

    if (fetched != NULL && span_pieces_have(&source->reader, &fetched->pieces, page, need)) {
        pieces = fetched->pieces;
    } else {
        TRY(reader_for(source, arena, NULL, &reader, err));
        TRY(span_pieces_load(&reader, &want, 1, &pieces, err));
    }
    TRY(span_pieces_directory(&source->reader, &pieces, page, arena, &directory, err));
    return span_page_decode(&directory, need, arena, table, err);
}

static ErrCode wrap(const SpanSource *source, uint32_t page, ErrCode code, Error *err) {
    if (code == ERR_OK) return ERR_OK;
    return error_wrap(err, "block " STR_FMT ", page %u", STR_ARG(source->reader.block->key), page);
}

ErrCode span_page_read(const SpansSelection *selection, const SpanPage *page, const SpanNeed *need,
                       Arena *arena, SpanTable *out, Error *err) {
    SpanTable table = {0};

    TRY(check_page(selection, page, err));
    TRY(wrap(selection->source, page->page,
             read_page(selection->source, page->page, need, arena, &table, err), err));
    *out = table;
    return ERR_OK;
}

ErrCode span_page_more(const SpansSelection *selection, const SpanPage *page, const SpanNeed *need,
                       Arena *arena, SpanTable *table, Error *err) {
    TRY(check_page(selection, page, err));
    return wrap(selection->source, page->page,
                read_page(selection->source, page->page, need, arena, table, err), err);
}
