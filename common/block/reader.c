/*
 * reader.c: opening blocks and fetching their index and pages.
 *
 * GETs cost more in latency than in bytes: the first brings 64 KiB though the footer is smaller, an
 * index comes whole, and pages with up to 64 KiB between them come together.
 */
#include "common/block/reader.h"

#include <string.h>

enum {
    METRICS_CODEC_MAX = 1,
};

static ErrCode get(const Block *block, uint64_t offset, uint64_t length, Arena *arena,
                   BlockStats *stats, Str *out, Error *err) {
    if (block->tail.len > 0 && offset >= block->tail_offset &&
        offset + length <= block->tail_offset + block->tail.len) {
        *out = str_slice(block->tail, (size_t)(offset - block->tail_offset), (size_t)length);
        return ERR_OK;
    }
    return object_read(cache_store(block->cache), block->key, offset, length, arena, stats, out,
                       err);
}

/* ---------- opening ---------- */

/* What making a Block goes by. */
typedef struct Opening {
    BlockCache *cache;
    Str key;
    Hash128 name;
    ObjectEnd end;
} Opening;

/* From where on the bytes before the footer save a GET: when a whole index is among them; of
 * traces, whose index is read in parts, whole sections. UINT64_MAX: they don't. */
static uint64_t useful_tail(const Block *block, uint64_t tail_offset) {
    const ContainerPart *last;

    if (block->container.part_count == 0) return UINT64_MAX;
    last = &block->container.parts[block->container.part_count - 1];
    if (last->section_count > 1 && last->sections[1].offset >= tail_offset) return tail_offset;
    for (uint32_t i = 1; last->part.signal == SIGNAL_TRACES && i < last->section_count; i++) {
        if (last->sections[i].offset >= tail_offset) return last->sections[i].offset;
    }
    return UINT64_MAX;
}

static ErrCode make_block(void *context, Arena *arena, void **payload, Error *err) {
    const Opening *o = context;
    const ObjectEnd *end = &o->end;
    uint64_t tail_offset = end->size - end->bytes.len, useful;
    Block *block = ARENA_NEW(arena, Block);
    BlockPart *parts;

    if (block == NULL) return error_set(err, ERR_LIMIT, "no memory to open a block");
    block->cache = o->cache;
    block->key = str_dup(arena, o->key);
    block->name = o->name;
    block->id = hash_bytes_128(&o->name, sizeof o->name, end->tail.checksum);
    TRY(container_footer_parse(end->footer, &end->tail, arena, &block->container, err));
    parts = ARENA_ARRAY(arena, BlockPart, block->container.part_count + 1);
    if (block->key.ptr == NULL || parts == NULL)
        return error_set(err, ERR_LIMIT, "no memory to open a block");
    for (size_t i = 0; i < block->container.part_count; i++)
        parts[i] = block->container.parts[i].part;
    block->parts = parts;
    useful = useful_tail(block, tail_offset);
    if (useful < end->tail.footer_offset) {
        block->tail = str_dup(arena, str_slice(end->bytes, (size_t)(useful - tail_offset),
                                               (size_t)(end->tail.footer_offset - useful)));
        block->tail_offset = useful;
        if (block->tail.ptr == NULL) return error_set(err, ERR_LIMIT, "no memory to open a block");
    }
    *payload = block;
    return ERR_OK;
}

ErrCode block_open(BlockCache *cache, Str key, uint64_t size, Arena *arena, BlockStats *stats,
                   const Block **out, Error *err) {
    return block_open_ahead(cache, key, size, 0, arena, stats, out, err);
}

ErrCode block_open_ahead(BlockCache *cache, Str key, uint64_t size, uint64_t ahead, Arena *arena,
                         BlockStats *stats, const Block **out, Error *err) {
    Opening o = {.cache = cache, .key = key, .name = cache_name_hash(cache, key)};
    CacheKey cache_key = {.object = o.name, .kind = ENTRY_BLOCK};
    CacheEntry *entry = cache_find(cache, &cache_key);

    if (entry != NULL) {
        stats_add(&stats->cache_hits, 1);
    } else {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));

        if (scratch == NULL) return error_set(err, ERR_LIMIT, "no memory to open a block");
        if (object_read_end(cache_store(cache), key, size, ahead, scratch, stats, &o.end, err) !=
                ERR_OK ||
            cache_make(cache, &cache_key, o.name,
                       (size_t)o.end.tail.footer_raw * 3 + o.end.bytes.len, arena_budget(arena),
                       make_block, &o, &entry, err) != ERR_OK)
            return error_wrap(err, "block " STR_FMT, STR_ARG(key));
    }
    *out = cache_payload(entry);
    if (!arena_on_free(arena, (void (*)(void *))cache_unpin, entry)) {
        cache_unpin(entry);
        return error_set(err, ERR_LIMIT, "no memory to open a block");
    }
    return ERR_OK;
}

uint64_t block_traces_ahead(const BlockPart *parts, size_t count) {
    enum { FOOTER_BYTES = 4 << 10, PAGE_BYTES = 32, AHEAD_MAX = 8 << 20 };
    uint64_t bytes;

    /* What lies before another part would come with that in between. */
    if (count == 0 || parts[count - 1].signal != SIGNAL_TRACES) return 0;
    bytes = FOOTER_BYTES + parts[count - 1].series * SPAN_FILTER_BITS / 8 +
            parts[count - 1].items / SPAN_WHOLE_ROWS_MIN * PAGE_BYTES;
    return MIN(bytes, (uint64_t)AHEAD_MAX);
}

const BlockPart *block_parts(const Block *block, size_t *count) {
    *count = block->container.part_count;
    return block->parts;
}

/* ---------- parts ---------- */

ErrCode part_open(const Block *block, Str tenant, Signal signal, Arena *arena, BlockStats *stats,
                  PartReader *out, bool *found, Error *err) {
    const ContainerPart *part = container_find_part(&block->container, tenant, signal);

    *found = part != NULL;
    if (part == NULL) return ERR_OK;
    *out = (PartReader){
        .block = block,
        .part = part,
        .number = (uint32_t)(part - block->container.parts),
        .arena = arena,
        .pins = pins_new(arena),
        .stats = stats,
    };
    return out->pins == NULL ? error_set(err, ERR_LIMIT, "no memory to read a block") : ERR_OK;
}

ErrCode section_check(const Section *section, Error *err) {
    if (section == NULL) return error_set(err, ERR_CORRUPT, "a section is missing");
    if (section->codec == 0 || section->codec > METRICS_CODEC_MAX)
        return error_set(err, ERR_UNSUPPORTED, "section kind %u of codec %u, this program reads %d",
                         section->kind, section->codec, METRICS_CODEC_MAX);
    return ERR_OK;
}

/* ---------- the index ---------- */

typedef struct ChunksPayload {
    ChunkIndex index;
    uint64_t times_id;
} ChunksPayload;

static ErrCode make_dictionary(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(d->reader->arena));
    Dictionary *dictionary = ARENA_NEW(arena, Dictionary);
    Str raw;

    if (dictionary == NULL || scratch == NULL)
        return error_set(err, ERR_LIMIT, "no memory for a dictionary");
    TRY(blob_decode(d->stored, d->section, scratch, &raw, err));
    *payload = dictionary;
    return dictionary_decode(raw, arena, dictionary, err);
}

static ErrCode make_series(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    SeriesIndex *series = ARENA_NEW(arena, SeriesIndex);
    Str raw;

    if (series == NULL) return error_set(err, ERR_LIMIT, "no memory for a series index");
    TRY(blob_decode(d->stored, d->section, arena, &raw, err));
    *payload = series;
    return series_index_decode(raw, d->reader->dictionary, true, arena, series, err);
}

static ErrCode make_chunks(void *context, Arena *arena, void **payload, Error *err) {
    static _Atomic uint64_t next_times_id = 1;
    const PartDecoding *d = context;
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(d->reader->arena));
    const Section *data = container_find_section(d->reader->part, SECTION_METRICS_DATA);
    ChunksPayload *chunks = ARENA_NEW(arena, ChunksPayload);
    Str raw;

    if (chunks == NULL || scratch == NULL)
        return error_set(err, ERR_LIMIT, "no memory for a chunk index");
    TRY(section_check(data, err));
    TRY(blob_decode(d->stored, d->section, scratch, &raw, err));
    TRY(chunk_index_decode(raw, data->offset, data->length, arena, &chunks->index, err));
    chunks->times_id = atomic_fetch_add(&next_times_id, chunks->index.times_count);
    *payload = chunks;
    return ERR_OK;
}

static ErrCode make_logs(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(d->reader->arena));
    const Section *data = container_find_section(d->reader->part, SECTION_LOGS_DATA);
    LogIndex *logs = ARENA_NEW(arena, LogIndex);
    Str raw;

    if (logs == NULL || scratch == NULL)
        return error_set(err, ERR_LIMIT, "no memory for a page index");
    TRY(section_check(data, err));
    TRY(blob_decode(d->stored, d->section, scratch, &raw, err));
    *payload = logs;
    return log_index_decode(raw, data->offset, data->length, arena, logs, err);
}

static ErrCode make_filters(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    LogFilters *filters = ARENA_NEW(arena, LogFilters);
    Str raw;

    if (filters == NULL) return error_set(err, ERR_LIMIT, "no memory for filters");
    TRY(blob_decode(d->stored, d->section, arena, &raw, err));
    *payload = filters;
    return log_filters_decode(raw, arena, filters, err);
}

static ErrCode make_literal(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    LogLiteral *literal = ARENA_NEW(arena, LogLiteral);
    Str raw;

    if (literal == NULL) return error_set(err, ERR_LIMIT, "no memory for bits of pages");
    TRY(blob_decode(d->stored, d->section, arena, &raw, err));
    *payload = literal;
    return log_literal_decode(raw, literal, err);
}

typedef struct IndexPiece {
    unsigned flag;
    Signal signal;
    SectionKind section;
    EntryKind entry;
    EntryMake make;
    unsigned estimate_factor; /* decoded bytes per raw one, roughly */
} IndexPiece;

static const IndexPiece PIECES[] = {
    {LOAD_DICTIONARY, SIGNAL_METRICS, SECTION_METRICS_DICTIONARY, ENTRY_DICTIONARY, make_dictionary,
     4},
    {LOAD_SERIES, SIGNAL_METRICS, SECTION_METRICS_SERIES, ENTRY_SERIES, make_series, 4},
    {LOAD_CHUNKS, SIGNAL_METRICS, SECTION_METRICS_CHUNKS, ENTRY_CHUNKS, make_chunks, 6},
    {LOAD_DICTIONARY, SIGNAL_LOGS, SECTION_LOGS_DICTIONARY, ENTRY_DICTIONARY, make_dictionary, 4},
    {LOAD_SERIES, SIGNAL_LOGS, SECTION_LOGS_SERIES, ENTRY_SERIES, make_series, 4},
    {LOAD_CHUNKS, SIGNAL_LOGS, SECTION_LOGS_PAGES, ENTRY_CHUNKS, make_logs, 4},
    {LOAD_UUIDS, SIGNAL_LOGS, SECTION_LOGS_UUIDS, ENTRY_UUIDS, make_filters, 1},
    {LOAD_HEX, SIGNAL_LOGS, SECTION_LOGS_HEX, ENTRY_HEX, make_filters, 1},
    {LOAD_LITERAL, SIGNAL_LOGS, SECTION_LOGS_LITERAL, ENTRY_LITERAL, make_literal, 1},
    /* The list of pages first: the others are held against it. */
    {LOAD_CHUNKS, SIGNAL_TRACES, SECTION_TRACES_PAGES, ENTRY_CHUNKS, span_make_index, 4},
    {LOAD_SPAN_VALUES, SIGNAL_TRACES, SECTION_TRACES_VALUES, ENTRY_SPAN_VALUES, span_make_values,
     4},
    {LOAD_SPAN_DIRECTORIES, SIGNAL_TRACES, SECTION_TRACES_DIRECTORIES, ENTRY_SPAN_DIRECTORIES,
     span_make_directories, 5},
    {LOAD_SPAN_FILTER, SIGNAL_TRACES, SECTION_TRACES_FILTER, ENTRY_SPAN_FILTER, span_make_filter,
     1},
};

static bool piece_wanted(const PartReader *reader, const IndexPiece *piece, unsigned what) {
    if ((what & piece->flag) == 0 || piece->signal != reader->part->part.signal) return false;
    /* What was written before there were any has none. */
    return piece->section != SECTION_LOGS_LITERAL ||
           container_find_section(reader->part, piece->section) != NULL;
}

CacheKey part_cache_key(const PartReader *reader, EntryKind kind, uint32_t page) {
    return (CacheKey){.object = reader->block->id, reader->number, page, kind, 0};
}

static ErrCode keep(PartReader *reader, CacheEntry *entry, EntryKind kind, Error *err) {
    if (!pins_add(reader->pins, entry)) return error_set(err, ERR_LIMIT, "no memory to read");
    switch (kind) {
    case ENTRY_DICTIONARY:
        reader->dictionary = cache_payload(entry);
        break;
    case ENTRY_SERIES:
        reader->series = cache_payload(entry);
        break;
    case ENTRY_CHUNKS: {
        const ChunksPayload *chunks = cache_payload(entry);

        if (reader->part->part.signal == SIGNAL_TRACES) {
            reader->spans = cache_payload(entry);
            reader->pages = reader->spans->pages;
            reader->page_count = reader->spans->page_count;
            break;
        }
        if (reader->part->part.signal == SIGNAL_LOGS) {
            reader->logs = cache_payload(entry);
            reader->pages = reader->logs->pages;
            reader->page_count = reader->logs->page_count;
            break;
        }
        reader->chunks = &chunks->index;
        reader->times_id = chunks->times_id;
        reader->pages = reader->chunks->pages;
        reader->page_count = reader->chunks->page_count;
        break;
    }
    case ENTRY_UUIDS:
    case ENTRY_HEX:
        reader->filters[kind == ENTRY_HEX] = cache_payload(entry);
        break;
    case ENTRY_LITERAL:
        reader->literal = cache_payload(entry);
        break;
    case ENTRY_SPAN_VALUES:
        reader->span_values = cache_payload(entry);
        break;
    case ENTRY_SPAN_DIRECTORIES:
        reader->span_directories = cache_payload(entry);
        break;
    case ENTRY_SPAN_FILTER:
        reader->span_filter = cache_payload(entry);
        break;
    default:
        assert(false);
    }
    return ERR_OK;
}

/* Takes what is cached; which pieces are left to fetch, and the range that holds them. */
static ErrCode find_pieces(PartReader *reader, unsigned what, unsigned *missing, uint64_t *start,
                           uint64_t *end, Error *err) {
    *missing = 0;
    *start = UINT64_MAX;
    *end = 0;
    for (size_t i = 0; i < ARRAY_LEN(PIECES); i++) {
        const Section *section = container_find_section(reader->part, PIECES[i].section);
        CacheKey key = part_cache_key(reader, PIECES[i].entry, 0);
        CacheEntry *entry;

        if (!piece_wanted(reader, &PIECES[i], what)) continue;
        TRY(section_check(section, err));
        entry = cache_find(reader->block->cache, &key);
        if (entry != NULL) {
            stats_add(&reader->stats->cache_hits, 1);
            TRY(keep(reader, entry, PIECES[i].entry, err));
            continue;
        }
        *missing |= PIECES[i].flag;
        *start = MIN(*start, section->offset);
        *end = MAX(*end, section->offset + section->length);
    }
    return ERR_OK;
}

static ErrCode load_pieces(PartReader *reader, unsigned missing, uint64_t start, Str bytes,
                           Error *err) {
    for (size_t i = 0; i < ARRAY_LEN(PIECES); i++) {
        const Section *section = container_find_section(reader->part, PIECES[i].section);
        CacheKey key = part_cache_key(reader, PIECES[i].entry, 0);
        PartDecoding decoding = {reader, section, {0}};
        CacheEntry *entry;

        if (!piece_wanted(reader, &PIECES[i], missing)) continue;
        decoding.stored =
            str_slice(bytes, (size_t)(section->offset - start), (size_t)section->length);
        TRY(cache_make(reader->block->cache, &key, reader->block->name,
                       (size_t)section->raw_length * PIECES[i].estimate_factor,
                       arena_budget(reader->arena), PIECES[i].make, &decoding, &entry, err));
        TRY(keep(reader, entry, PIECES[i].entry, err));
    }
    return ERR_OK;
}

static ErrCode load_index(PartReader *reader, unsigned what, Error *err) {
    CLEANUP(arena_free) Arena *scratch = NULL;
    uint64_t start, end;
    unsigned missing;
    Str bytes;

    TRY(find_pieces(reader, what, &missing, &start, &end, err));
    if (missing != 0) {
        scratch = arena_new(0, arena_budget(reader->arena));
        TRY(get(reader->block, start, end - start, scratch, reader->stats, &bytes, err));
        TRY(load_pieces(reader, missing, start, bytes, err));
    }
    if (reader->series != NULL && reader->chunks != NULL &&
        reader->series->series_count != reader->chunks->series_count)
        return error_set(err, ERR_CORRUPT, "%u series have labels, %u have chunks",
                         reader->series->series_count, reader->chunks->series_count);
    if (reader->series != NULL && reader->logs != NULL &&
        reader->series->series_count != reader->logs->stream_count)
        return error_set(err, ERR_CORRUPT, "%u streams have labels, %u have pages",
                         reader->series->series_count, reader->logs->stream_count);
    for (int i = 0; i < LOG_ID_KINDS; i++) {
        const LogFilters *filters = reader->filters[i];

        if (filters != NULL && reader->logs != NULL &&
            filters->page_count != reader->logs->page_count)
            return error_set(err, ERR_CORRUPT, "%u pages have filters instead of %u",
                             filters->page_count, reader->logs->page_count);
    }
    if (reader->literal != NULL && reader->logs != NULL &&
        reader->literal->page_count != reader->logs->page_count)
        return error_set(err, ERR_CORRUPT, "%u pages have bits instead of %u",
                         reader->literal->page_count, reader->logs->page_count);
    return ERR_OK;
}

static ErrCode wrap(const PartReader *reader, ErrCode code, Error *err) {
    if (code == ERR_OK) return ERR_OK;
    return error_wrap(err, "block " STR_FMT ", tenant " STR_FMT, STR_ARG(reader->block->key),
                      STR_ARG(reader->part->part.tenant));
}

ErrCode part_load(PartReader *reader, unsigned what, Error *err) {
    return wrap(reader, load_index(reader, what, err), err);
}

ErrCode part_load_cached(PartReader *reader, unsigned what, Error *err) {
    uint64_t start, end;
    unsigned missing;

    return wrap(reader, find_pieces(reader, what, &missing, &start, &end, err), err);
}

ErrCode part_get(PartReader *reader, uint64_t offset, uint64_t length, Arena *arena, Str *out,
                 Error *err) {
    return get(reader->block, offset, length, arena, reader->stats, out, err);
}

static ErrCode read_blob(PartReader *reader, const Section *section, Str *raw, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(reader->arena));
    Str bytes;

    TRY(section_check(section, err));
    TRY(get(reader->block, section->offset, section->length, scratch, reader->stats, &bytes, err));
    return blob_decode(bytes, section, reader->arena, raw, err);
}

ErrCode part_read_blob(PartReader *reader, SectionKind kind, Str *raw, bool *found, Error *err) {
    const Section *section = container_find_section(reader->part, kind);

    *found = section != NULL;
    return section == NULL ? ERR_OK : wrap(reader, read_blob(reader, section, raw, err), err);
}

/* ---------- pages ---------- */

typedef struct PageDecoding {
    const DataPage *page;
    Str stored;
} PageDecoding;

static ErrCode make_page(void *context, Arena *arena, void **payload, Error *err) {
    const PageDecoding *d = context;
    size_t stored;
    Str raw;

    TRY(page_decode(d->stored, arena, &raw, &stored, err));
    if (stored != d->page->stored || raw.len != d->page->raw)
        return error_set(err, ERR_CORRUPT, "page at %llu is not what the index says",
                         (unsigned long long)d->page->offset);
    *payload = (void *)raw.ptr;
    return ERR_OK;
}

/* Where the GET that begins with page `first` ends: the page after its last one. */
static uint32_t find_run(const PartReader *reader, const bool *missing, uint32_t first) {
    uint64_t start = reader->pages[first].offset, end = start + reader->pages[first].stored;
    uint32_t last = first;

    for (uint32_t i = first + 1; i < reader->page_count; i++) {
        const DataPage *page = &reader->pages[i];

        if (page->offset - end > GET_GAP_BYTES_MAX ||
            page->offset + page->stored - start > GET_BYTES_MAX)
            break;
        if (!missing[i]) continue;
        last = i;
        end = page->offset + page->stored;
    }
    return last + 1;
}

/* Decodes page `number`, whose stored bytes these are. */
static ErrCode make_and_pin(PartReader *reader, uint32_t number, Str stored, const char **page,
                            Error *err) {
    PageDecoding decoding = {&reader->pages[number], stored};
    CacheKey key = part_cache_key(reader, ENTRY_PAGE, number);
    CacheEntry *entry;

    TRY(cache_make(reader->block->cache, &key, reader->block->name, reader->pages[number].raw,
                   arena_budget(reader->arena), make_page, &decoding, &entry, err));
    *page = cache_payload(entry);
    return pins_add(reader->pins, entry) ? ERR_OK : error_set(err, ERR_LIMIT, "no memory to read");
}

static ErrCode load_run(PartReader *reader, const bool *missing, uint32_t first, uint32_t end,
                        const char **pages, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(reader->arena));
    const DataPage *list = reader->pages;
    uint64_t start = list[first].offset;
    Str bytes;

    TRY(get(reader->block, start, list[end - 1].offset + list[end - 1].stored - start, scratch,
            reader->stats, &bytes, err));
    for (uint32_t i = first; i < end; i++) {
        if (!missing[i]) continue;
        TRY(make_and_pin(reader, i,
                         str_slice(bytes, (size_t)(list[i].offset - start), list[i].stored),
                         &pages[i], err));
    }
    return ERR_OK;
}

static ErrCode load_pages(PartReader *reader, const bool *needed, const char **pages, Error *err) {
    uint32_t count = reader->page_count;
    bool *missing = ARENA_ARRAY(reader->arena, bool, count);

    if (missing == NULL) return error_set(err, ERR_LIMIT, "no memory to read");
    for (uint32_t i = 0; i < count; i++) {
        CacheKey key = part_cache_key(reader, ENTRY_PAGE, i);
        CacheEntry *entry;

        if (!needed[i]) continue;
        entry = cache_find(reader->block->cache, &key);
        missing[i] = entry == NULL;
        if (entry == NULL) continue;
        stats_add(&reader->stats->cache_hits, 1);
        pages[i] = cache_payload(entry);
        if (!pins_add(reader->pins, entry)) return error_set(err, ERR_LIMIT, "no memory to read");
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t end;

        if (!missing[i]) continue;
        end = find_run(reader, missing, i);
        TRY(load_run(reader, missing, i, end, pages, err));
        i = end - 1;
    }
    return ERR_OK;
}

ErrCode part_load_pages(PartReader *reader, const bool *needed, const char **pages, Error *err) {
    return wrap(reader, load_pages(reader, needed, pages, err), err);
}

static ErrCode load_page(PartReader *reader, uint32_t number, const char **page, Error *err) {
    const DataPage *wanted = &reader->pages[number];
    CLEANUP(arena_free) Arena *scratch = NULL;
    CacheKey key = part_cache_key(reader, ENTRY_PAGE, number);
    CacheEntry *entry = cache_find(reader->block->cache, &key);
    Str bytes;

    if (entry != NULL) {
        stats_add(&reader->stats->cache_hits, 1);
        *page = cache_payload(entry);
        return pins_add(reader->pins, entry) ? ERR_OK
                                             : error_set(err, ERR_LIMIT, "no memory to read");
    }
    scratch = arena_new(0, arena_budget(reader->arena));
    if (scratch == NULL) return error_set(err, ERR_LIMIT, "no memory to read");
    TRY(get(reader->block, wanted->offset, wanted->stored, scratch, reader->stats, &bytes, err));
    return make_and_pin(reader, number, bytes, page, err);
}

ErrCode part_load_page(PartReader *reader, uint32_t number, const char **page, Error *err) {
    return wrap(reader, load_page(reader, number, page, err), err);
}
