/*
 * log_select.c: selections of streams from a block, and their pages.
 */
#include <stdlib.h>
#include <string.h>

#include "common/block/log_shape.h"
#include "common/block/log_stream.h"
#include "common/block/match.h"
#include "common/block/reader.h"

struct LogSource {
    PartReader reader;
    /* Pages that a fetch has pinned, while its arena lives. */
    _Atomic(const char *) *fetched;
};

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a selection of streams");
}

/* ---------- selecting ---------- */

typedef struct Selecting {
    LogSource *source;
    const LogSelect *select;
    Arena *arena;
    uint32_t *streams; /* the matching ones, by number */
    size_t stream_count;
    /* By page; NULL: all may hold what is looked for. */
    bool *page_may;   /* the needles, in lines */
    bool *page_lacks; /* values, wherever they may come from */
} Selecting;

static int64_t floor_ms(int64_t ns) {
    return ns / 1000000 - (ns % 1000000 < 0);
}

static bool piece_wanted(const Selecting *s, const LogPiece *piece) {
    return piece->min_ns <= s->select->max_ns && piece->max_ns >= s->select->min_ns &&
           (s->page_may == NULL || s->page_may[piece->page]);
}

/* ---------- filters ---------- */

/* Which filters can tell something of the needles. */
static unsigned filters_of(const LogFilter *filter) {
    LogKeys keys[LOG_ID_KINDS] = {0};
    unsigned what = 0;

    if (filter == NULL) return 0;
    for (size_t i = 0; i < filter->needle_count; i++) {
        if (filter->needles[i].negated) continue;
        for (size_t k = 0; k < filter->needles[i].count; k++)
            log_keys_collect(filter->needles[i].any[k], keys);
    }
    for (size_t i = 0; i < filter->metadata_count; i++)
        log_keys_collect(filter->metadata[i].value, keys);
    for (size_t i = 0; i < filter->value_count; i++)
        for (size_t k = 0; k < filter->values[i].count; k++)
            log_keys_collect(filter->values[i].any[k], keys);
    if (keys[LOG_ID_UUID].count > 0) what |= LOAD_UUIDS;
    if (keys[LOG_ID_HEX].count > 0) what |= LOAD_HEX;
    if (what != 0 && filter->value_count > 0) what |= LOAD_LITERAL;
    for (int i = 0; i < LOG_ID_KINDS; i++) log_keys_done(&keys[i]);
    return what;
}

/* Sets may[page] where all ids of `any` may be. */
static void match_ids(const PartReader *reader, Str any, bool *may) {
    LogKeys keys[LOG_ID_KINDS] = {0};

    log_keys_collect(any, keys);
    for (uint32_t page = 0; page < reader->page_count; page++) {
        bool all = true;

        for (int i = 0; i < LOG_ID_KINDS; i++) {
            for (size_t k = 0; all && k < keys[i].count && reader->filters[i] != NULL; k++)
                all = log_filters_may_hold(reader->filters[i], page, keys[i].keys[k]);
        }
        may[page] |= all;
    }
    for (int i = 0; i < LOG_ID_KINDS; i++) log_keys_done(&keys[i]);
}

/* Sets may[page] where one of these values may be. */
static void match_value(const PartReader *reader, const LogValue *value, bool *may) {
    for (uint32_t p = 0; p < reader->page_count; p++)
        may[p] =
            value->escapes && (reader->literal == NULL || !log_literal_has(reader->literal, p));
    for (size_t k = 0; k < value->count; k++) match_ids(reader, value->any[k], may);
}

static ErrCode match_pages(Selecting *s, Arena *scratch, Error *err) {
    const PartReader *reader = &s->source->reader;
    const LogFilter *filter = s->select->filter;
    uint32_t pages = reader->page_count;
    bool *one = ARENA_ARRAY(scratch, bool, (size_t)pages + 1);

    s->page_may = ARENA_ARRAY(scratch, bool, (size_t)pages + 1);
    s->page_lacks = ARENA_ARRAY(scratch, bool, (size_t)pages + 1);
    if (one == NULL || s->page_may == NULL || s->page_lacks == NULL) return no_memory(err);
    memset(s->page_may, 1, pages);
    for (size_t i = 0; i < filter->needle_count; i++) {
        if (filter->needles[i].negated) continue;
        memset(one, 0, pages);
        for (size_t k = 0; k < filter->needles[i].count; k++)
            match_ids(reader, filter->needles[i].any[k], one);
        for (uint32_t p = 0; p < pages; p++) s->page_may[p] &= one[p];
    }
    for (size_t i = 0; i < filter->metadata_count; i++) {
        memset(one, 0, pages);
        match_ids(reader, filter->metadata[i].value, one);
        for (uint32_t p = 0; p < pages; p++) s->page_lacks[p] |= !one[p];
    }
    for (size_t i = 0; i < filter->value_count; i++) {
        match_value(reader, &filter->values[i], one);
        for (uint32_t p = 0; p < pages; p++) s->page_lacks[p] |= !one[p];
    }
    return ERR_OK;
}

/* Drops streams without pages that are wanted; how many pages the others have. */
static size_t keep_wanted(Selecting *s) {
    const LogIndex *index = s->source->reader.logs;
    size_t kept = 0, pages = 0;

    for (size_t i = 0; i < s->stream_count; i++) {
        uint32_t stream = s->streams[i];
        size_t wanted = 0;

        for (uint32_t p = index->piece_start[stream]; p < index->piece_start[stream + 1]; p++)
            wanted += piece_wanted(s, &index->pieces[p]);
        s->streams[kept] = stream;
        kept += wanted > 0;
        pages += wanted;
    }
    s->stream_count = kept;
    return pages;
}

static ErrCode make_streams(Selecting *s, size_t page_count, LogsSelection *out, Error *err) {
    const LogIndex *index = s->source->reader.logs;
    const SeriesIndex *series = s->source->reader.series;
    SelectedStream *list = arena_alloc(s->arena, (s->stream_count + 1) * sizeof *list);
    LogPage *page = arena_alloc(s->arena, (page_count + 1) * sizeof *page);

    if (list == NULL || page == NULL) return no_memory(err);
    for (size_t i = 0; i < s->stream_count; i++) {
        uint32_t stream = s->streams[i], row = series->row_start[stream];

        list[i] = (SelectedStream){
            .pairs = series->rows + row,
            .pair_count = series->row_start[stream + 1] - row,
            .pages = page,
        };
        for (uint32_t p = index->piece_start[stream]; p < index->piece_start[stream + 1]; p++) {
            const LogPiece *piece = &index->pieces[p];

            if (!piece_wanted(s, piece)) continue;
            *page++ = (LogPage){
                .min_ns = piece->min_ns,
                .max_ns = piece->max_ns,
                .count = piece->rows,
                .raw_bytes = piece->raw_bytes,
                .kind = LOG_PAGE_BLOCK,
                .in_order = true,
                .lacks = s->page_lacks != NULL && s->page_lacks[piece->page],
                .page = piece->page,
                .piece = p,
            };
        }
        list[i].page_count = (uint32_t)(page - list[i].pages);
    }
    *out = (LogsSelection){
        .pairs = s->source->reader.dictionary->pairs,
        .pair_count = s->source->reader.dictionary->pair_count,
        .streams = list,
        .stream_count = s->stream_count,
        .source = s->source,
    };
    return ERR_OK;
}

ErrCode block_logs_select(const Block *block, const LogSelect *select, Arena *arena,
                          BlockStats *stats, LogsSelection *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    Selecting s = {.select = select, .arena = arena, .source = ARENA_NEW(arena, LogSource)};
    LogsSelection made = {0};
    unsigned filters;
    PartReader *reader;
    bool found;

    if (s.source == NULL || scratch == NULL) return no_memory(err);
    reader = &s.source->reader;
    TRY(part_open(block, select->tenant, SIGNAL_LOGS, arena, stats, reader, &found, err));
    found = found && floor_ms(select->min_ns) <= reader->part->part.max_ms &&
            floor_ms(select->max_ns) >= reader->part->part.min_ms;
    if (found) {
        filters = filters_of(select->filter);
        TRY(part_load(reader, LOAD_INDEX | filters, err));
        if (filters != 0) TRY(match_pages(&s, scratch, err));
        s.source->fetched =
            arena_array(arena, (size_t)reader->page_count + 1, sizeof *s.source->fetched);
        if (s.source->fetched == NULL) return no_memory(err);
        TRY(series_match(reader->dictionary, reader->series, select->matchers,
                         select->matcher_count, scratch, &s.streams, &s.stream_count, err));
        TRY(make_streams(&s, keep_wanted(&s), &made, err));
    }
    *out = made;
    return ERR_OK;
}

/* ---------- fetching ---------- */

/* What an arena that goes takes back. */
typedef struct Fetched {
    const LogSource *source;
    const char **pages;
} Fetched;

static void forget_fetched(void *what) {
    Fetched *f = what;

    for (uint32_t i = 0; i < f->source->reader.page_count; i++) {
        const char *page = f->pages[i];

        if (page != NULL)
            atomic_compare_exchange_strong(&f->source->fetched[i], &page, (const char *)NULL);
    }
}

static ErrCode check_page(const LogsSelection *selection, const LogPage *page, Error *err) {
    const LogSource *source = selection->source;

    if (source == NULL || page->page >= source->reader.page_count ||
        page->piece >= source->reader.logs->piece_count ||
        source->reader.logs->pieces[page->piece].page != page->page)
        return error_set(err, ERR_INTERNAL, "a page of another selection");
    return ERR_OK;
}

ErrCode log_pages_fetch(const LogsSelection *selection, const LogPage *const *pages, size_t count,
                        Arena *arena, BlockStats *stats, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    const LogSource *source = selection->source;
    PartReader reader;
    Fetched *fetched;
    bool *needed;

    if (source == NULL || count == 0) return ERR_OK;
    reader = source->reader;
    reader.arena = arena;
    reader.stats = stats;
    reader.pins = pins_new(arena);
    needed = ARENA_ARRAY(scratch, bool, (size_t)reader.page_count + 1);
    fetched = ARENA_NEW(arena, Fetched);
    if (needed == NULL || fetched == NULL || reader.pins == NULL) return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (pages[i]->kind != LOG_PAGE_BLOCK) continue;
        TRY(check_page(selection, pages[i], err));
        needed[pages[i]->page] = true;
    }
    fetched->source = source;
    fetched->pages = ARENA_ARRAY(arena, const char *, (size_t)reader.page_count + 1);
    if (fetched->pages == NULL) return no_memory(err);
    TRY(part_load_pages(&reader, needed, fetched->pages, err));
    if (!arena_on_free(arena, forget_fetched, fetched)) return no_memory(err);
    for (uint32_t i = 0; i < reader.page_count; i++) {
        if (needed[i]) atomic_store(&source->fetched[i], fetched->pages[i]);
    }
    return ERR_OK;
}

/* ---------- reading ---------- */

/* The page's bytes: fetched, or into the decoder's arena. */
static ErrCode get_page(LogDecoder *d, const LogSource *source, uint32_t number, Str *out,
                        Error *err) {
    const DataPage *page = &source->reader.pages[number];
    const char *bytes = atomic_load(&source->fetched[number]);

    if (bytes == NULL) {
        PartReader reader = source->reader;

        reader.arena = d->arena;
        reader.pins = pins_new(d->arena);
        if (reader.pins == NULL) return no_memory(err);
        TRY(part_load_page(&reader, number, &bytes, err));
    }
    *out = (Str){bytes, page->raw};
    return ERR_OK;
}

/* Decodes all of a page that streams share, unless it is the one decoded before. What it holds
 * lives in an arena of its own: the next stream's piece is in it. */
static ErrCode load_shared(LogDecoder *d, const LogSource *source, uint32_t number,
                           unsigned columns, Error *err) {
    LogPageRead read = {
        .rows = source->reader.logs->page_rows[number],
        .count = source->reader.logs->page_rows[number],
        .columns = columns,
        .any_order = true,
    };
    Hash128 block = source->reader.block->id;
    Arena *own = d->arena;
    ErrCode code;
    Str bytes;

    if (d->shared_columns == columns && d->shared_page == number &&
        d->shared_part == source->reader.number && d->shared_block.low == block.low &&
        d->shared_block.high == block.high)
        return ERR_OK;
    d->shared_columns = 0;
    arena_reset(d->shared_arena);
    TRY(get_page(d, source, number, &bytes, err));
    bytes = str_dup(d->shared_arena, bytes); /* whoever pins it may go before the next piece */
    if (bytes.ptr == NULL) return no_memory(err);
    d->arena = d->shared_arena;
    code = log_page_decode(d, bytes, &read, &d->shared, err);
    d->arena = own;
    if (code != ERR_OK) return code;
    d->shared_columns = columns;
    d->shared_page = number;
    d->shared_part = source->reader.number;
    d->shared_block = block;
    return ERR_OK;
}

/* A small stream's piece of a page. */
static ErrCode read_shared(LogDecoder *d, const LogSource *source, const LogPiece *piece,
                           const LogPageRead *read, LogView *out, Error *err) {
    uint32_t first = piece->first_row, end = first + piece->rows;
    bool filtered = read->filter != NULL && read->filter->needle_count > 0;
    unsigned columns = (read->columns & ~(unsigned)LOG_PARTS) | LOG_TIMES;
    const int64_t *times;

    /* Whoever asked looks at each line. */
    if (filtered || (read->columns & LOG_PARTS) != 0) columns |= LOG_LINES;
    TRY(load_shared(d, source, piece->page, columns, err));
    times = d->shared.times_ns;
    for (uint32_t i = first + 1; i < end; i++) {
        if (times[i] < times[i - 1])
            return error_set(err, ERR_CORRUPT, "page of logs: times don't ascend");
    }
    while (first < end && times[first] < read->min_ns) first++;
    while (end > first && times[end - 1] > read->max_ns) end--;
    *out = (LogView){
        .times_ns = times + first,
        .lines = d->shared.lines == NULL ? NULL : d->shared.lines + first,
        .metadata = d->shared.metadata == NULL ? NULL : d->shared.metadata + first,
        .lengths = d->shared.lengths == NULL ? NULL : d->shared.lengths + first,
        .count = end - first,
        .exact = !filtered,
    };
    return ERR_OK;
}

static ErrCode read_block_page(LogDecoder *d, const LogsSelection *selection, const LogPage *page,
                               LogPageRead *read, LogView *out, Error *err) {
    const LogSource *source = selection->source;
    const LogPiece *piece;
    Str bytes;

    TRY(check_page(selection, page, err));
    piece = &source->reader.logs->pieces[page->piece];
    if (piece->rows < source->reader.logs->page_rows[page->page] / 4) {
        if (read_shared(d, source, piece, read, out, err) != ERR_OK)
            return error_wrap(err, "block " STR_FMT ", page %u", STR_ARG(source->reader.block->key),
                              page->page);
        return ERR_OK;
    }
    TRY(get_page(d, source, page->page, &bytes, err));
    read->rows = source->reader.logs->page_rows[page->page];
    read->first = piece->first_row;
    read->count = piece->rows;
    if (log_page_decode(d, bytes, read, out, err) != ERR_OK)
        return error_wrap(err, "block " STR_FMT ", page %u", STR_ARG(source->reader.block->key),
                          page->page);
    return ERR_OK;
}

ErrCode log_page_read(LogDecoder *d, const LogsSelection *selection, const LogPage *page,
                      const LogFilter *filter, unsigned columns, int64_t min_ns, int64_t max_ns,
                      LogView *out, Error *err) {
    LogPageRead read = {.filter = filter, .columns = columns, .min_ns = min_ns, .max_ns = max_ns};

    arena_reset(d->arena);
    /* Lines that have no variables are the shapes' bytes. */
    if (log_shapes_begin(d->shapes)) d->shared_columns = 0;
    if (page->kind == LOG_PAGE_HEAD)
        return log_head_decode(d, page->bytes, page->count, &read, out, err);
    return read_block_page(d, selection, page, &read, out, err);
}

ErrCode log_page_patterns(LogDecoder *d, const LogsSelection *selection, const LogPage *page,
                          Arena *arena, LogPattern **out, size_t *count, Error *err) {
    const LogSource *source = selection->source;
    LogPageColumns columns = {0};
    bool found = false;
    LogText text = {0};
    Str bytes;

    *out = NULL;
    *count = 0;
    arena_reset(d->arena);
    if (log_shapes_begin(d->shapes)) d->shared_columns = 0;
    if (page->kind == LOG_PAGE_HEAD) return ERR_OK;
    TRY(check_page(selection, page, err));
    TRY(get_page(d, source, page->page, &bytes, err));
    TRY(log_page_open(d, bytes, source->reader.logs->page_rows[page->page], &columns, err));
    TRY(log_text_open(d, &columns, 0, NULL, 0, &text, &found, err));
    if (!found) return ERR_OK;
    return log_text_patterns(&text, source->reader.logs->pieces[page->piece].first_row,
                             source->reader.logs->pieces[page->piece].rows, arena, out, count, err);
}
