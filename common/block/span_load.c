/*
 * span_load.c: indexes and pages of traces from objects into the cache.
 */
#include "common/block/span_load.h"

#include "common/block/reader.h"

/* Queries need something of page after page: what lies between is cheaper to bring along than it is
 * to wait for one more answer. */
enum { SPAN_GAP_BYTES_MAX = 192 << 10 };

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory to read traces");
}

/* ---------- the index ---------- */

ErrCode span_make_index(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(d->reader->arena));
    const Section *data = container_find_section(d->reader->part, SECTION_TRACES_DATA);
    SpanIndex *index = ARENA_NEW(arena, SpanIndex);
    Str raw;

    if (index == NULL || scratch == NULL) return no_memory(err);
    TRY(section_check(data, err));
    TRY(blob_decode(d->stored, d->section, scratch, &raw, err));
    *payload = index;
    return span_index_decode(raw, data->offset, data->length, arena, index, err);
}

ErrCode span_make_values(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    SpanValues *values = ARENA_NEW(arena, SpanValues);
    Str raw;

    if (values == NULL) return no_memory(err);
    TRY(blob_decode(d->stored, d->section, arena, &raw, err));
    *payload = values;
    return span_values_decode(raw, d->reader->spans->page_count, arena, values, err);
}

ErrCode span_make_filter(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    const Section *ids = container_find_section(d->reader->part, SECTION_TRACES_IDS);
    SpanFilter *filter = ARENA_NEW(arena, SpanFilter);
    Str raw;

    if (filter == NULL) return no_memory(err);
    TRY(section_check(ids, err));
    TRY(blob_decode(d->stored, d->section, arena, &raw, err));
    *payload = filter;
    return span_filter_decode(raw, ids->offset, ids->length, arena, filter, err);
}

/* Which stripe each column is in. The directory has said that columns lie side by side. */
static ErrCode cut_stripes(PageDirectory *page, Arena *arena, Error *err) {
    const SpanDirectory *d = &page->directory;
    SpanStripe *stripe = NULL;

    page->stripe_of = ARENA_ARRAY(arena, uint32_t, (size_t)d->count + 1);
    page->stripes = ARENA_ARRAY(arena, SpanStripe, (size_t)d->count + 1);
    if (page->stripe_of == NULL || page->stripes == NULL) return no_memory(err);
    for (uint32_t i = 0; i < d->count; i++) {
        const SpanColumn *column = &d->columns[i];

        if (stripe == NULL || stripe->bytes >= SPAN_STRIPE_BYTES ||
            (stripe->bytes > 0 && column->stored >= SPAN_STRIPE_BYTES)) {
            stripe = &page->stripes[page->stripe_count++];
            *stripe = (SpanStripe){column->offset, 0};
        }
        stripe->bytes += column->stored;
        page->stripe_of[i] = page->stripe_count - 1;
    }
    return ERR_OK;
}

ErrCode span_make_directories(void *context, Arena *arena, void **payload, Error *err) {
    const PartDecoding *d = context;
    const SpanIndex *index = d->reader->spans;
    SpanDirectories *directories = ARENA_NEW(arena, SpanDirectories);
    PageDirectory *pages = ARENA_ARRAY(arena, PageDirectory, (size_t)index->page_count + 1);
    Str raw;

    if (directories == NULL || pages == NULL) return no_memory(err);
    TRY(blob_decode(d->stored, d->section, arena, &raw, err));
    if (raw.len != index->directories)
        return error_set(err, ERR_CORRUPT, "directories of %zu bytes instead of %llu", raw.len,
                         (unsigned long long)index->directories);
    for (uint32_t i = 0; i < index->page_count; i++) {
        const SpanPageEntry *entry = &index->entries[i];
        SpanDirectory *directory = &pages[i].directory;

        if (entry->directory_bytes == 0) continue;
        TRY(span_directory_decode(str_slice(raw, (size_t)entry->directory, entry->directory_bytes),
                                  arena, directory, err));
        if (directory->page_bytes != index->pages[i].raw || directory->rows != entry->rows ||
            directory->traces != entry->traces)
            return error_set(err, ERR_CORRUPT, "directory of page %u is another's", i);
        TRY(cut_stripes(&pages[i], arena, err));
    }
    directories->pages = pages;
    *payload = directories;
    return ERR_OK;
}

/* ---------- pages of ids ---------- */

typedef struct IdsDecoding {
    const PartReader *reader;
    const SpanIdPage *page;
    Str stored;
} IdsDecoding;

ErrCode span_ids_take(Str stored, const SpanIdPage *page, uint32_t page_count, Arena *arena,
                      Arena *scratch, SpanIds *out, Error *err) {
    SpanTracePlace *entries;
    size_t stored_bytes, count;
    Str raw;

    TRY(page_decode(stored, scratch, &raw, &stored_bytes, err));
    if (stored_bytes != page->stored)
        return error_set(err, ERR_CORRUPT, "page of ids at %llu is not what the index says",
                         (unsigned long long)page->offset);
    TRY(span_ids_decode(raw, page_count, arena, &entries, &count, err));
    if (count != page->count || entries[0].hash != page->first_hash)
        return error_set(err, ERR_CORRUPT, "page of ids at %llu is not what the index says",
                         (unsigned long long)page->offset);
    *out = (SpanIds){entries, count};
    return ERR_OK;
}

static ErrCode make_ids(void *context, Arena *arena, void **payload, Error *err) {
    const IdsDecoding *d = context;
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(d->reader->arena));
    SpanIds *ids = ARENA_NEW(arena, SpanIds);

    if (ids == NULL || scratch == NULL) return no_memory(err);
    *payload = ids;
    return span_ids_take(d->stored, d->page, d->reader->spans->page_count, arena, scratch, ids,
                         err);
}

/* NULL: it isn't cached. */
static CacheEntry *find_ids(PartReader *reader, uint32_t number) {
    CacheKey key = part_cache_key(reader, ENTRY_SPAN_IDS, number);
    CacheEntry *entry = cache_find(reader->block->cache, &key);

    if (entry != NULL) stats_add(&reader->stats->cache_hits, 1);
    return entry;
}

static ErrCode make_ids_entry(PartReader *reader, uint32_t number, Str stored, CacheEntry **out,
                              Error *err) {
    IdsDecoding d = {reader, &reader->span_filter->pages[number], stored};
    CacheKey key = part_cache_key(reader, ENTRY_SPAN_IDS, number);

    return cache_make(reader->block->cache, &key, reader->block->name,
                      d.page->count * sizeof(SpanTracePlace), arena_budget(reader->arena), make_ids,
                      &d, out, err);
}

ErrCode span_ids_load(PartReader *reader, uint32_t number, const SpanIds **out, Error *err) {
    const SpanIdPage *page = &reader->span_filter->pages[number];
    CacheEntry *entry = find_ids(reader, number);
    CLEANUP(arena_free) Arena *scratch = NULL;
    Str stored;

    if (entry == NULL) {
        scratch = arena_new(0, arena_budget(reader->arena));
        if (scratch == NULL) return no_memory(err);
        TRY(part_get(reader, page->offset, page->stored, scratch, &stored, err));
        TRY(make_ids_entry(reader, number, stored, &entry, err));
    }
    *out = cache_payload(entry);
    return pins_add(reader->pins, entry) ? ERR_OK : no_memory(err);
}

/* Takes over the pin. */
static SpanTracePlace *copy_ids(CacheEntry *entry, SpanTracePlace *out) {
    const SpanIds *ids = cache_payload(entry);

    memcpy(out, ids->entries, ids->count * sizeof *out);
    out += ids->count;
    cache_unpin(entry);
    return out;
}

/* Those from `first` on that one GET brings. */
static uint32_t ids_run(const SpanFilter *filter, uint32_t first) {
    uint64_t start = filter->pages[first].offset;
    uint32_t end = first + 1;

    while (end < filter->page_count &&
           filter->pages[end].offset + filter->pages[end].stored - start <= GET_BYTES_MAX)
        end++;
    return end;
}

ErrCode span_ids_load_all(PartReader *reader, SpanTracePlace *out, Error *err) {
    const SpanFilter *filter = reader->span_filter;

    for (uint32_t i = 0; i < filter->page_count;) {
        CLEANUP(arena_free) Arena *scratch = NULL;
        CacheEntry *entry = find_ids(reader, i);
        const SpanIdPage *first = &filter->pages[i];
        uint32_t end;
        Str bytes;

        if (entry != NULL) {
            out = copy_ids(entry, out);
            i++;
            continue;
        }
        scratch = arena_new(0, arena_budget(reader->arena));
        if (scratch == NULL) return no_memory(err);
        end = ids_run(filter, i);
        TRY(part_get(reader, first->offset,
                     filter->pages[end - 1].offset + filter->pages[end - 1].stored - first->offset,
                     scratch, &bytes, err));
        for (; i < end; i++) {
            const SpanIdPage *page = &filter->pages[i];

            TRY(make_ids_entry(
                reader, i, str_slice(bytes, (size_t)(page->offset - first->offset), page->stored),
                &entry, err));
            out = copy_ids(entry, out);
        }
    }
    return ERR_OK;
}

/* ---------- pieces of pages ---------- */

static const PageDirectory *directory_of(const PartReader *reader, uint32_t page) {
    const PageDirectory *d;

    if (reader->span_directories == NULL) return NULL;
    d = &reader->span_directories->pages[page];
    return d->directory.count == 0 ? NULL : d;
}

bool span_pieces_have(const PartReader *reader, const SpanPieces *pieces, uint32_t page,
                      const SpanNeed *need) {
    const PageDirectory *d = directory_of(reader, page);

    if (pieces->whole != NULL) return true;
    if (d == NULL || pieces->stripes == NULL) return false;
    for (uint32_t i = 0; i < d->directory.count; i++) {
        if (pieces->stripes[d->stripe_of[i]] == NULL &&
            span_column_needed(&d->directory.columns[i], need))
            return false;
    }
    return true;
}

ErrCode span_pieces_directory(const PartReader *reader, const SpanPieces *pieces, uint32_t page,
                              Arena *arena, SpanDirectory *out, Error *err) {
    const PageDirectory *d = directory_of(reader, page);
    const SpanDirectory *from = pieces->whole != NULL ? &pieces->whole->directory : &d->directory;
    SpanColumn *columns = arena_alloc(arena, ((size_t)from->count + 1) * sizeof *columns);

    if (columns == NULL) return no_memory(err);
    memcpy(columns, from->columns, from->count * sizeof *columns);
    *out = *from;
    out->columns = columns;
    for (uint32_t i = 0; pieces->whole == NULL && i < from->count; i++) {
        const char *stripe = pieces->stripes[d->stripe_of[i]];

        if (stripe != NULL)
            columns[i].bytes = stripe + (columns[i].offset - d->stripes[d->stripe_of[i]].offset);
    }
    return ERR_OK;
}

/* Something that has to be fetched. */
typedef struct Missing {
    uint64_t offset; /* in the object */
    uint64_t bytes;
    uint32_t want;
    uint32_t stripe; /* UINT32_MAX: the whole page */
} Missing;

typedef struct Loading {
    PartReader *reader;
    const SpanWant *wants;
    SpanPieces *out;
    Missing *missing;
    size_t missing_count;
} Loading;

typedef struct PieceDecoding {
    const PartReader *reader;
    uint32_t page;
    Str stored;
} PieceDecoding;

ErrCode span_page_take(Str stored, const DataPage *page, const SpanPageEntry *entry, Arena *arena,
                       WholePage *out, Error *err) {
    WholePage whole = {0};
    size_t stored_bytes;

    TRY(page_decode(stored, arena, &whole.bytes, &stored_bytes, err));
    if (stored_bytes != page->stored || whole.bytes.len != page->raw)
        return error_set(err, ERR_CORRUPT, "page at %llu is not what the index says",
                         (unsigned long long)page->offset);
    TRY(span_directory_decode(whole.bytes, arena, &whole.directory, err));
    if (whole.directory.rows != entry->rows || whole.directory.traces != entry->traces)
        return error_set(err, ERR_CORRUPT, "page at %llu is not what the index says",
                         (unsigned long long)page->offset);
    TRY(span_directory_attach(&whole.directory, whole.bytes, err));
    *out = whole;
    return ERR_OK;
}

static ErrCode make_whole(void *context, Arena *arena, void **payload, Error *err) {
    const PieceDecoding *d = context;
    WholePage *whole = ARENA_NEW(arena, WholePage);

    if (whole == NULL) return no_memory(err);
    *payload = whole;
    return span_page_take(d->stored, &d->reader->pages[d->page],
                          &d->reader->spans->entries[d->page], arena, whole, err);
}

/* What is in it is checked when it is decoded, column by column. */
static ErrCode make_stripe(void *context, Arena *arena, void **payload, Error *err) {
    const PieceDecoding *d = context;
    Str copy = str_dup(arena, d->stored);

    if (copy.ptr == NULL) return no_memory(err);
    *payload = (void *)copy.ptr;
    return ERR_OK;
}

static CacheKey stripe_key(const PartReader *reader, uint32_t page, uint32_t stripe) {
    CacheKey key = part_cache_key(reader, ENTRY_SPAN_STRIPE, page);

    key.stripe = stripe;
    return key;
}

/* Takes an entry that was found or made. */
static ErrCode take_piece(Loading *l, uint32_t want, uint32_t stripe, CacheEntry *entry,
                          Error *err) {
    if (!pins_add(l->reader->pins, entry)) return no_memory(err);
    if (stripe == UINT32_MAX)
        l->out[want].whole = cache_payload(entry);
    else
        ((const char **)l->out[want].stripes)[stripe] = cache_payload(entry);
    return ERR_OK;
}

static ErrCode find_piece(Loading *l, uint32_t want, uint32_t stripe, const CacheKey *key,
                          bool *found, Error *err) {
    CacheEntry *entry = cache_find(l->reader->block->cache, key);

    *found = entry != NULL;
    if (entry == NULL) return ERR_OK;
    stats_add(&l->reader->stats->cache_hits, 1);
    return take_piece(l, want, stripe, entry, err);
}

/* Marks the stripes that are needed. */
static void mark_needed(const PageDirectory *d, const SpanNeed *need, bool *needed) {
    for (uint32_t i = 0; i < d->directory.count; i++) {
        if (!needed[d->stripe_of[i]])
            needed[d->stripe_of[i]] = span_column_needed(&d->directory.columns[i], need);
    }
}

/* Takes what is cached of a page, notes what is missing. */
static ErrCode find_pieces(Loading *l, uint32_t want, Error *err) {
    PartReader *reader = l->reader;
    uint32_t page = l->wants[want].page;
    const PageDirectory *d = directory_of(reader, page);
    const DataPage *data = &reader->pages[page];
    CacheKey key = part_cache_key(reader, ENTRY_PAGE, page);
    Missing *missing;
    bool found, *needed;

    TRY(find_piece(l, want, UINT32_MAX, &key, &found, err));
    if (found) return ERR_OK;
    missing = arena_grow(reader->arena, l->missing, l->missing_count * sizeof *missing,
                         (l->missing_count + (d == NULL ? 1 : d->stripe_count)) * sizeof *missing);
    if (missing == NULL) return no_memory(err);
    l->missing = missing;
    if (d == NULL) {
        l->missing[l->missing_count++] = (Missing){data->offset, data->stored, want, UINT32_MAX};
        return ERR_OK;
    }
    needed = ARENA_ARRAY(reader->arena, bool, (size_t)d->stripe_count + 1);
    if (needed == NULL) return no_memory(err);
    mark_needed(d, l->wants[want].need, needed);
    for (uint32_t i = 0; i < d->stripe_count; i++) {
        if (!needed[i]) continue;
        key = stripe_key(reader, page, i);
        TRY(find_piece(l, want, i, &key, &found, err));
        if (!found)
            l->missing[l->missing_count++] =
                (Missing){data->offset + PAGE_HEAD_BYTES + d->stripes[i].offset,
                          d->stripes[i].bytes, want, i};
    }
    return ERR_OK;
}

static ErrCode make_piece(Loading *l, const Missing *missing, Str stored, Error *err) {
    PartReader *reader = l->reader;
    uint32_t page = l->wants[missing->want].page;
    PieceDecoding decoding = {reader, page, stored};
    bool whole = missing->stripe == UINT32_MAX;
    CacheKey key = whole ? part_cache_key(reader, ENTRY_PAGE, page)
                         : stripe_key(reader, page, missing->stripe);
    CacheEntry *entry;

    TRY(cache_make(reader->block->cache, &key, reader->block->name,
                   whole ? reader->pages[page].raw : stored.len, arena_budget(reader->arena),
                   whole ? make_whole : make_stripe, &decoding, &entry, err));
    return take_piece(l, missing->want, missing->stripe, entry, err);
}

/* One GET for missing[first .. end). */
static ErrCode fetch_run(Loading *l, size_t first, size_t end, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(l->reader->arena));
    uint64_t start = l->missing[first].offset;
    const Missing *last = &l->missing[end - 1];
    Str bytes;

    if (scratch == NULL) return no_memory(err);
    TRY(part_get(l->reader, start, last->offset + last->bytes - start, scratch, &bytes, err));
    for (size_t i = first; i < end; i++) {
        const Missing *m = &l->missing[i];

        TRY(make_piece(l, m, str_slice(bytes, (size_t)(m->offset - start), (size_t)m->bytes), err));
    }
    return ERR_OK;
}

static ErrCode fetch_missing(Loading *l, Error *err) {
    for (size_t first = 0, end; first < l->missing_count; first = end) {
        uint64_t start = l->missing[first].offset;

        for (end = first + 1; end < l->missing_count; end++) {
            const Missing *m = &l->missing[end], *before = m - 1;

            if (m->offset - (before->offset + before->bytes) > SPAN_GAP_BYTES_MAX ||
                m->offset + m->bytes - start > GET_BYTES_MAX)
                break;
        }
        TRY(fetch_run(l, first, end, err));
    }
    return ERR_OK;
}

ErrCode span_pieces_load(PartReader *reader, const SpanWant *wants, size_t count, SpanPieces *out,
                         Error *err) {
    Loading l = {.reader = reader, .wants = wants, .out = out};
    ErrCode code = ERR_OK;

    for (uint32_t i = 0; i < count && code == ERR_OK; i++) {
        const PageDirectory *d = directory_of(reader, wants[i].page);

        out[i] = (SpanPieces){0};
        if (d != NULL) {
            out[i].stripes = ARENA_ARRAY(reader->arena, const char *, (size_t)d->stripe_count + 1);
            if (out[i].stripes == NULL) return no_memory(err);
        }
        code = find_pieces(&l, i, err);
    }
    if (code == ERR_OK) code = fetch_missing(&l, err);
    if (code == ERR_OK) return ERR_OK;
    return error_wrap(err, "block " STR_FMT ", tenant " STR_FMT, STR_ARG(reader->block->key),
                      STR_ARG(reader->part->part.tenant));
}
