/*
 * stream_read.c: one unit's entries in order, each once. A unit of a single page of an object is
 * decoded straight into the batch. Pages that overlap are merged: a page is decoded when the merge
 * reaches its first entry and let go after its last, so that no more than the pages around one
 * moment are held.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "querier/fetch/streams.h"

enum {
    BATCH_ENTRIES = 2048, /* of merged pages */
    BATCH_PAGES = 256,    /* open at a time before a batch ends, those that are over included */
    SHARED_SETS = 512,
    MOMENT_SLOTS = 1024,
};

/* A page that the merge is in, or that the batch being read still points into. */
typedef struct OpenPage {
    LogDecoder *decoder;
    LogView view;
    size_t at;   /* entries taken, counted from the side that is read first */
    Arena *kept; /* what delete requests leave of the view; NULL: they leave all of it */
} OpenPage;

/* A batch made of several pages. */
typedef struct Merged {
    int64_t *times;
    Str *lines;
    Str *metadata;
    uint32_t *same; /* index + 1 of the entry before of the same moment and slot */
    size_t capacity;
    uint32_t heads[MOMENT_SLOTS];
} Merged;

/* Metadata that was decoded, by its bytes. */
typedef struct SharedSet {
    Str bytes;
    LabelPairs pairs;
} SharedSet;

struct StreamReader {
    const FetchedStreams *fetched;
    const FetchedUnit *unit;
    StreamScratch *scratch;
    uint32_t next_page; /* of the unit, not yet opened, from the side that is read first */
    bool direct;
};

struct StreamScratch {
    QueryContext *query;
    StreamReader reader;
    Arena *batch; /* decoded metadata, reset by each batch */
    OpenPage *open;
    size_t open_count, open_capacity;
    LogCutter *cutter; /* made when delete requests want it */
    LogDecoder **idle;
    size_t idle_count, idle_capacity;
    SharedSet shared[SHARED_SETS];
    Merged merged;
};

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

StreamScratch *fetch_scratch_new(const StreamSet *set, QueryContext *query) {
    StreamScratch *scratch = calloc(1, sizeof *scratch);

    (void)set;
    if (scratch == NULL) return NULL;
    scratch->query = query;
    scratch->batch = arena_new(0, arena_budget(query->arena));
    if (scratch->batch == NULL) {
        fetch_scratch_free(scratch);
        return NULL;
    }
    return scratch;
}

void fetch_scratch_free(StreamScratch *scratch) {
    if (scratch == NULL) return;
    for (size_t i = 0; i < scratch->open_count; i++) {
        log_decoder_free(scratch->open[i].decoder);
        arena_free(scratch->open[i].kept);
    }
    log_cutter_free(scratch->cutter);
    for (size_t i = 0; i < scratch->idle_count; i++) log_decoder_free(scratch->idle[i]);
    free(scratch->open);
    free(scratch->idle);
    free(scratch->merged.times);
    free(scratch->merged.lines);
    free(scratch->merged.metadata);
    free(scratch->merged.same);
    arena_free(scratch->batch);
    free(scratch);
}

/* ---------- decoders ---------- */

static ErrCode give_decoder(StreamScratch *scratch, LogDecoder *decoder, Error *err) {
    if (scratch->idle_count == scratch->idle_capacity) {
        size_t capacity = MAX(scratch->idle_capacity * 2, (size_t)8);
        LogDecoder **grown = realloc(scratch->idle, capacity * sizeof *grown);

        if (grown == NULL) {
            log_decoder_free(decoder);
            return out_of_memory(err);
        }
        scratch->idle = grown;
        scratch->idle_capacity = capacity;
    }
    scratch->idle[scratch->idle_count++] = decoder;
    return ERR_OK;
}

static ErrCode close_page(StreamScratch *scratch, OpenPage *page, Error *err) {
    arena_free(page->kept);
    page->kept = NULL;
    return give_decoder(scratch, page->decoder, err);
}

static LogDecoder *take_decoder(StreamScratch *scratch) {
    if (scratch->idle_count > 0) return scratch->idle[--scratch->idle_count];
    return log_decoder_new(arena_budget(scratch->query->arena));
}

/* Leaves what no delete request is about, in `arena`. */
static ErrCode cut(StreamScratch *scratch, const PageCuts *cuts, Arena *arena, LogView *view,
                   Error *err) {
    LogCutRows rows = {view->times_ns, view->lines, view->metadata, view->count};
    size_t count = view->count, kept, used = 0;
    bool *keep = arena_alloc(arena, MAX(count, 1) * sizeof *keep);

    if (scratch->cutter == NULL)
        scratch->cutter = log_cutter_new(arena_budget(scratch->query->arena));
    if (keep == NULL || scratch->cutter == NULL) return out_of_memory(err);
    TRY(log_cutter_run(scratch->cutter, cuts->items, cuts->count, cuts->labels, &rows, keep, &kept,
                       err));
    if (kept == count) return ERR_OK;
    int64_t *times = arena_alloc(arena, MAX(kept, 1) * sizeof *times);
    Str *lines = ARENA_ARRAY(arena, Str, kept), *metadata = ARENA_ARRAY(arena, Str, kept);
    uint32_t *lengths = arena_alloc(arena, MAX(kept, 1) * sizeof *lengths);

    if (times == NULL || lines == NULL || metadata == NULL || lengths == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!keep[i]) continue;
        times[used] = view->times_ns[i];
        lines[used] = view->lines[i];
        if (view->metadata != NULL) metadata[used] = view->metadata[i];
        if (view->lengths != NULL) lengths[used] = view->lengths[i];
        used++;
    }
    view->times_ns = times;
    view->lines = lines;
    if (view->metadata != NULL) view->metadata = metadata;
    if (view->lengths != NULL) view->lengths = lengths;
    view->count = kept;
    return ERR_OK;
}

/* `arena` lives as long as the view does; it is used where delete requests apply. */
static ErrCode decode(StreamReader *reader, const PageRef *ref, unsigned columns,
                      LogDecoder *decoder, Arena *arena, LogView *out, Error *err) {
    const FetchedUnit *unit = reader->unit;
    StreamStats *stats = reader->fetched->stats;

    TRY(query_check(reader->scratch->query, err));
    if (ref->cuts != NULL) columns = (columns & ~(unsigned)LOG_PARTS) | LOG_LINES | LOG_METADATA;
    TRY(log_page_read(decoder, ref->selection, ref->page, &unit->filter, columns, unit->min_ns,
                      unit->max_ns, out, err));
    if (ref->cuts != NULL) TRY(cut(reader->scratch, ref->cuts, arena, out, err));
    if (stats == NULL) return ERR_OK;
    if (ref->page->kind == LOG_PAGE_HEAD) {
        stream_stat(&stats->head_entries, ref->page->count);
        stream_stat(&stats->head_bytes, ref->page->raw_bytes);
    } else {
        stream_stat(&stats->chunks, 1);
        stream_stat(&stats->decompressed_bytes, ref->page->raw_bytes);
    }
    return ERR_OK;
}

/* ---------- metadata ---------- */

static ErrCode decode_pairs(StreamScratch *scratch, Str bytes, LabelPairs *out, Error *err) {
    SharedSet *slot;

    if (bytes.len == 0) {
        *out = (LabelPairs){NULL, 0};
        return ERR_OK;
    }
    slot = &scratch->shared[hash_str(bytes) % SHARED_SETS];
    if (slot->bytes.ptr == NULL || !str_equal(slot->bytes, bytes)) {
        if (labels_decode(bytes, scratch->batch, &slot->pairs, err) != ERR_OK) {
            slot->bytes = (Str){NULL, 0};
            return error_set(err, ERR_CORRUPT, "structured metadata of an entry can't be read");
        }
        slot->bytes = bytes;
    }
    *out = slot->pairs;
    return ERR_OK;
}

/* Entries of the same metadata share what it was decoded to. */
static ErrCode put_metadata(StreamScratch *scratch, const Str *metadata, size_t count,
                            StreamBatch *out, Error *err) {
    Str last = {NULL, 0};
    LabelPairs *pairs;

    out->metadata = NULL;
    if (metadata == NULL) return ERR_OK;
    pairs = arena_alloc(scratch->batch, MAX(count, 1) * sizeof *pairs);
    if (pairs == NULL) return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && metadata[i].ptr == last.ptr && metadata[i].len == last.len)
            pairs[i] = pairs[i - 1];
        else
            TRY(decode_pairs(scratch, metadata[i], &pairs[i], err));
        last = metadata[i];
    }
    out->metadata = pairs;
    return ERR_OK;
}

static void begin_batch(StreamScratch *scratch) {
    arena_reset(scratch->batch);
    memset(scratch->shared, 0, sizeof scratch->shared);
}

/* ---------- one page ---------- */

/* Newest first: the columns turned around, in the batch's arena. */
static ErrCode turn_around(StreamScratch *scratch, LogView *view, Error *err) {
    size_t count = view->count;
    int64_t *times = arena_alloc(scratch->batch, MAX(count, 1) * sizeof *times);
    Str *lines = view->lines == NULL ? NULL : ARENA_ARRAY(scratch->batch, Str, count);
    Str *metadata = view->metadata == NULL ? NULL : ARENA_ARRAY(scratch->batch, Str, count);
    uint32_t *lengths = view->lengths == NULL ? NULL : ARENA_ARRAY(scratch->batch, uint32_t, count);
    uint32_t *rows = view->rows == NULL ? NULL : ARENA_ARRAY(scratch->batch, uint32_t, count);

    if (times == NULL || (view->rows != NULL && rows == NULL) ||
        (view->lines != NULL && lines == NULL) || (view->metadata != NULL && metadata == NULL) ||
        (view->lengths != NULL && lengths == NULL))
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        size_t from = count - 1 - i;

        times[i] = view->times_ns[from];
        if (lines != NULL) lines[i] = view->lines[from];
        if (metadata != NULL) metadata[i] = view->metadata[from];
        if (lengths != NULL) lengths[i] = view->lengths[from];
        if (rows != NULL) rows[i] = view->rows[from];
    }
    view->times_ns = times;
    view->lines = lines;
    view->metadata = metadata;
    view->lengths = lengths;
    view->rows = rows;
    return ERR_OK;
}

static ErrCode next_direct(StreamReader *reader, StreamBatch *out, Error *err) {
    StreamScratch *scratch = reader->scratch;
    const LogPage *page = reader->unit->pages[0].page;
    LogDecoder *decoder;
    LogView view;

    *out = (StreamBatch){0};
    if (reader->next_page == reader->unit->count) return ERR_OK;
    reader->next_page++;
    decoder = take_decoder(scratch);
    if (decoder == NULL) return out_of_memory(err);
    begin_batch(scratch);
    ErrCode code = decode(reader, &reader->unit->pages[0], reader->fetched->columns, decoder,
                          scratch->batch, &view, err);
    TRY(give_decoder(scratch, decoder, err)); /* what it holds stays until it is used again */
    if (code != ERR_OK) return code;
    if (reader->fetched->backward) TRY(turn_around(scratch, &view, err));
    out->count = view.count;
    out->times = view.times_ns;
    out->lines = view.lines;
    out->lengths = view.lengths;
    out->text = view.text;
    out->rows = view.rows;
    if (view.lines == NULL && view.lengths == NULL)
        out->text_bytes = (uint64_t)page->raw_bytes * view.count / MAX(page->count, 1u);
    out->needles_done = view.exact && !reader->fetched->plain;
    return put_metadata(scratch, view.metadata, view.count, out, err);
}

/* ---------- pages that overlap ---------- */

static bool is_over(const OpenPage *page) {
    return page->at == page->view.count;
}

static size_t place(const StreamReader *reader, const OpenPage *page) {
    return reader->fetched->backward ? page->view.count - 1 - page->at : page->at;
}

static int64_t next_time(const StreamReader *reader, const OpenPage *page) {
    return page->view.times_ns[place(reader, page)];
}

/* The page to take the next entry from; NULL: none is open. */
static OpenPage *soonest_page(StreamReader *reader) {
    StreamScratch *scratch = reader->scratch;
    OpenPage *best = NULL;

    for (size_t i = 0; i < scratch->open_count; i++) {
        OpenPage *page = &scratch->open[i];

        if (is_over(page)) continue;
        if (best == NULL ||
            (reader->fetched->backward ? next_time(reader, page) > next_time(reader, best)
                                       : next_time(reader, page) < next_time(reader, best)))
            best = page;
    }
    return best;
}

static ErrCode open_page(StreamReader *reader, const PageRef *ref, Error *err) {
    StreamScratch *scratch = reader->scratch;
    /* Lines are looked at to find doubles. */
    unsigned columns = (reader->fetched->columns & ~(unsigned)LOG_PARTS) | LOG_LINES;
    OpenPage page = {0};

    if (scratch->open_count == scratch->open_capacity) {
        size_t capacity = MAX(scratch->open_capacity * 2, (size_t)8);
        OpenPage *grown = realloc(scratch->open, capacity * sizeof *grown);

        if (grown == NULL) return out_of_memory(err);
        scratch->open = grown;
        scratch->open_capacity = capacity;
    }
    page.decoder = take_decoder(scratch);
    if (page.decoder == NULL) return out_of_memory(err);
    if (ref->cuts != NULL) page.kept = arena_new(0, arena_budget(scratch->query->arena));
    ErrCode code = ref->cuts != NULL && page.kept == NULL
                       ? out_of_memory(err)
                       : decode(reader, ref, columns, page.decoder, page.kept, &page.view, err);
    if (code != ERR_OK || page.view.count == 0) {
        TRY(close_page(scratch, &page, err));
        return code;
    }
    scratch->open[scratch->open_count++] = page;
    return ERR_OK;
}

/* Opens every page that may hold the next entry, and finds the one that does. */
static ErrCode find_next(StreamReader *reader, OpenPage **out, Error *err) {
    const FetchedUnit *unit = reader->unit;
    bool backward = reader->fetched->backward;

    for (*out = soonest_page(reader); reader->next_page < unit->count;
         *out = soonest_page(reader)) {
        const PageRef *ref = &unit->pages[reader->next_page];

        if (*out != NULL && (backward ? ref->page->max_ns < next_time(reader, *out)
                                      : ref->page->min_ns > next_time(reader, *out)))
            return ERR_OK;
        reader->next_page++;
        TRY(open_page(reader, ref, err));
    }
    return ERR_OK;
}

/* Room for one more entry in the batch. */
static ErrCode grow_batch(StreamScratch *scratch, size_t count, Error *err) {
    Merged *merged = &scratch->merged;
    size_t capacity = MAX(merged->capacity * 2, (size_t)BATCH_ENTRIES * 2);

    if (count < merged->capacity) return ERR_OK;
#define GROW(field)                                                                                \
    do {                                                                                           \
        void *grown = realloc(merged->field, capacity * sizeof *merged->field);                    \
                                                                                                   \
        if (grown == NULL) return out_of_memory(err);                                              \
        merged->field = grown;                                                                     \
    } while (0)
    GROW(times);
    GROW(lines);
    GROW(metadata);
    GROW(same);
#undef GROW
    merged->capacity = capacity;
    return ERR_OK;
}

/* Whether the batch has this line at this time. Entries of the moment at the batch's end are found
 * by hash, so that a million of them at one moment cost no more than others. */
static bool is_double(StreamScratch *scratch, size_t count, int64_t time, Str line) {
    Merged *merged = &scratch->merged;
    uint32_t slot;

    if (count == 0 || merged->times[count - 1] != time)
        memset(merged->heads, 0, sizeof merged->heads);
    slot = (uint32_t)hash_str(line) % MOMENT_SLOTS;
    for (uint32_t i = merged->heads[slot]; i != 0; i = merged->same[i - 1])
        if (str_equal(merged->lines[i - 1], line)) return true;
    merged->same[count] = merged->heads[slot];
    merged->heads[slot] = (uint32_t)count + 1;
    return false;
}

static ErrCode take_entry(StreamReader *reader, OpenPage *page, size_t *count, Error *err) {
    StreamScratch *scratch = reader->scratch;
    StreamStats *stats = reader->fetched->stats;
    Merged *merged = &scratch->merged;
    size_t at = place(reader, page);
    const LogView *view = &page->view;

    TRY(grow_batch(scratch, *count, err));
    page->at++;
    if (is_double(scratch, *count, view->times_ns[at], view->lines[at])) {
        if (stats != NULL) stream_stat(&stats->duplicates, 1);
        return ERR_OK;
    }
    merged->times[*count] = view->times_ns[at];
    merged->lines[*count] = view->lines[at];
    merged->metadata[*count] = view->metadata == NULL ? (Str){NULL, 0} : view->metadata[at];
    ++*count;
    return ERR_OK;
}

/* Pages whose entries the last batch pointed into go. */
static ErrCode close_finished(StreamScratch *scratch, Error *err) {
    size_t kept = 0;

    for (size_t i = 0; i < scratch->open_count; i++) {
        if (is_over(&scratch->open[i]))
            TRY(close_page(scratch, &scratch->open[i], err));
        else
            scratch->open[kept++] = scratch->open[i];
    }
    scratch->open_count = kept;
    return ERR_OK;
}

static ErrCode next_merged(StreamReader *reader, StreamBatch *out, Error *err) {
    StreamScratch *scratch = reader->scratch;
    Merged *merged = &scratch->merged;
    OpenPage *page;
    size_t count = 0;

    *out = (StreamBatch){0};
    begin_batch(scratch);
    TRY(close_finished(scratch, err));
    for (;;) {
        TRY(find_next(reader, &page, err));
        if (page == NULL) break;
        /* Entries of one moment stay together: doubles are looked for within a batch. */
        if ((count >= BATCH_ENTRIES || scratch->open_count >= BATCH_PAGES) && count > 0 &&
            next_time(reader, page) != merged->times[count - 1])
            break;
        TRY(take_entry(reader, page, &count, err));
    }
    out->count = count;
    out->times = merged->times;
    out->lines = merged->lines;
    return put_metadata(scratch, merged->metadata, count, out, err);
}

/* ---------- units ---------- */

ErrCode fetch_stream_open(const StreamSet *set, uint32_t unit, StreamScratch *scratch,
                          StreamReader **out, Error *err) {
    const FetchedStreams *fetched = set->context;
    const FetchedUnit *fetched_unit = &fetched->units[unit];

    for (size_t i = 0; i < scratch->open_count; i++)
        TRY(close_page(scratch, &scratch->open[i], err));
    scratch->open_count = 0;
    scratch->reader = (StreamReader){
        .fetched = fetched,
        .unit = fetched_unit,
        .scratch = scratch,
        .direct = fetched_unit->count == 1 && fetched_unit->pages[0].page->kind == LOG_PAGE_BLOCK,
    };
    if (fetched->stats != NULL) stream_stat(&fetched->stats->units, 1);
    *out = &scratch->reader;
    return ERR_OK;
}

ErrCode fetch_stream_next(StreamReader *reader, StreamBatch *out, Error *err) {
    return reader->direct ? next_direct(reader, out, err) : next_merged(reader, out, err);
}

/* ---------- prefetch ---------- */

static int compare_refs(const void *a, const void *b) {
    const PageRef *x = a, *y = b;

    return ((uintptr_t)x->selection > (uintptr_t)y->selection) -
           ((uintptr_t)x->selection < (uintptr_t)y->selection);
}

ErrCode fetch_stream_prefetch(const StreamSet *set, const uint32_t *units, size_t count,
                              Error *err) {
    const FetchedStreams *fetched = set->context;
    Arena *arena = fetched->arena;
    size_t total = 0;
    const LogPage **pages;
    PageRef *refs;

    for (size_t u = 0; u < count; u++) total += fetched->units[units[u]].count;
    refs = ARENA_ARRAY(arena, PageRef, total);
    pages = ARENA_ARRAY(arena, const LogPage *, total);
    if (refs == NULL || pages == NULL) return out_of_memory(err);
    total = 0;
    for (size_t u = 0; u < count; u++)
        for (uint32_t p = 0; p < fetched->units[units[u]].count; p++)
            if (fetched->units[units[u]].pages[p].page->kind == LOG_PAGE_BLOCK)
                refs[total++] = fetched->units[units[u]].pages[p];
    if (total > 1) qsort(refs, total, sizeof *refs, compare_refs);
    for (size_t i = 0, end; i < total; i = end) {
        for (end = i; end < total && refs[end].selection == refs[i].selection; end++)
            pages[end] = refs[end].page;
        TRY(log_pages_fetch(refs[i].selection, pages + i, end - i, arena, fetched->fetch->stats,
                            err));
    }
    return ERR_OK;
}
