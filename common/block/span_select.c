/*
 * span_select.c: which pages of a block have what a query looks for, from its indexes alone.
 */
#include <stdlib.h>

#include "common/block/reader.h"
#include "common/block/span_source.h"

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a selection of traces");
}

static int64_t floor_ms(int64_t ns) {
    return ns / 1000000 - (ns % 1000000 < 0);
}

/* NULL: the block has nothing of the tenant in the range. */
static ErrCode open_source(const Block *block, Str tenant, int64_t min_ns, int64_t max_ns,
                           Arena *arena, BlockStats *stats, SpanSource **out, Error *err) {
    SpanSource *source = ARENA_NEW(arena, SpanSource);
    bool found;

    *out = NULL;
    if (source == NULL) return no_memory(err);
    TRY(part_open(block, tenant, SIGNAL_TRACES, arena, stats, &source->reader, &found, err));
    if (!found || source->reader.part->part.min_ms > floor_ms(max_ns) ||
        source->reader.part->part.max_ms < floor_ms(min_ns))
        return ERR_OK;
    *out = source;
    return ERR_OK;
}

static int compare_pages(const void *a, const void *b) {
    const SpanPage *x = a, *y = b;

    if (x->min_ns != y->min_ns) return x->min_ns < y->min_ns ? -1 : 1;
    return (x->page > y->page) - (x->page < y->page);
}

/* Makes a selection of the pages in `bits`. */
static ErrCode make_selection(SpanSource *source, const uint64_t *bits, Arena *arena,
                              SpansSelection *out, Error *err) {
    const SpanIndex *index = source->reader.spans;
    size_t count = 0;
    SpanPage *pages;

    for (size_t i = 0; i < page_words(index->page_count); i++)
        count += (size_t)__builtin_popcountll(bits[i]);
    pages = arena_alloc(arena, (count + 1) * sizeof *pages);
    source->fetched = arena_array(arena, (size_t)index->page_count + 1, sizeof *source->fetched);
    if (pages == NULL || source->fetched == NULL) return no_memory(err);
    count = 0;
    for (uint32_t i = 0; i < index->page_count; i++) {
        const SpanPageEntry *entry = &index->entries[i];

        if (!page_bit(bits, i)) continue;
        pages[count++] = (SpanPage){entry->min_ns, entry->max_ns,          entry->rows,
                                    entry->traces, index->pages[i].stored, i};
    }
    qsort(pages, count, sizeof *pages, compare_pages);
    *out = (SpansSelection){source, pages, count};
    return ERR_OK;
}

static uint64_t *bits_new(const SpanSource *source, Arena *arena) {
    return ARENA_ARRAY(arena, uint64_t, page_words(source->reader.page_count) + 1);
}

/* The pages that reach into the range. */
static void match_times(const SpanIndex *index, int64_t min_ns, int64_t max_ns, uint64_t *bits) {
    for (uint32_t i = 0; i < index->page_count; i++) {
        if (index->entries[i].min_ns <= max_ns && index->entries[i].max_ns >= min_ns)
            bits[i / 64] |= UINT64_C(1) << i % 64;
    }
}

/* ---------- by what spans must have ---------- */

static ErrCode match_any(const SpanSource *source, const SpanSelect *select, uint64_t *bits,
                         Arena *scratch, Error *err) {
    uint64_t *any = bits_new(source, scratch), *one = bits_new(source, scratch);
    size_t words = page_words(source->reader.page_count);

    if (any == NULL || one == NULL) return no_memory(err);
    for (size_t g = 0; g < select->any_count; g++) {
        if (!span_values_match(source->reader.span_values, &select->any[g], scratch, one))
            return no_memory(err);
        for (size_t i = 0; i < words; i++) any[i] |= one[i];
    }
    for (size_t i = 0; i < words; i++) bits[i] &= any[i];
    return ERR_OK;
}

ErrCode block_spans_select(const Block *block, const SpanSelect *select, Arena *arena,
                           BlockStats *stats, SpansSelection *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    unsigned what = LOAD_CHUNKS | LOAD_SPAN_DIRECTORIES;
    SpansSelection made = {0};
    SpanSource *source;
    uint64_t *bits;

    if (scratch == NULL) return no_memory(err);
    TRY(open_source(block, select->tenant, select->min_ns, select->max_ns, arena, stats, &source,
                    err));
    if (source != NULL) {
        if (select->any_count > 0) what |= LOAD_SPAN_VALUES;
        TRY(part_load(&source->reader, what, err));
        bits = bits_new(source, scratch);
        if (bits == NULL) return no_memory(err);
        match_times(source->reader.spans, select->min_ns, select->max_ns, bits);
        if (select->any_count > 0) TRY(match_any(source, select, bits, scratch, err));
        TRY(make_selection(source, bits, arena, &made, err));
    }
    *out = made;
    return ERR_OK;
}

/* ---------- by id ---------- */

static ErrCode match_id(SpanSource *source, uint64_t hash, uint64_t *bits, Error *err) {
    uint32_t first, end;

    span_filter_pages(source->reader.span_filter, hash, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        const SpanIds *ids;
        size_t low = 0, high;

        TRY(span_ids_load(&source->reader, i, &ids, err));
        high = ids->count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (ids->entries[middle].hash < hash)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < ids->count && ids->entries[low].hash == hash; low++)
            bits[ids->entries[low].page / 64] |= UINT64_C(1) << ids->entries[low].page % 64;
    }
    return ERR_OK;
}

ErrCode block_spans_find(const Block *block, Str tenant, const TraceId *trace, Arena *arena,
                         BlockStats *stats, SpansSelection *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    uint64_t hash = span_trace_hash(trace), *bits;
    SpansSelection made = {0};
    SpanSource *source;

    if (scratch == NULL) return no_memory(err);
    TRY(open_source(block, tenant, INT64_MIN, INT64_MAX, arena, stats, &source, err));
    if (source != NULL) {
        TRY(part_load(&source->reader, LOAD_CHUNKS | LOAD_SPAN_FILTER, err));
        if (span_filter_may_hold(source->reader.span_filter, hash)) {
            /* Pieces of pages that are in the cache are found by these. */
            TRY(part_load_cached(&source->reader, LOAD_SPAN_DIRECTORIES, err));
            bits = bits_new(source, scratch);
            if (bits == NULL) return no_memory(err);
            if (source->reader.page_count == 1)
                bits[0] = 1; /* there is nothing that ids could tell */
            else if (match_id(source, hash, bits, err) != ERR_OK)
                return error_wrap(err, "block " STR_FMT ", tenant " STR_FMT, STR_ARG(block->key),
                                  STR_ARG(tenant));
            TRY(make_selection(source, bits, arena, &made, err));
        }
    }
    *out = made;
    return ERR_OK;
}

ErrCode block_spans_places(const Block *block, Str tenant, Arena *arena, BlockStats *stats,
                           SpanTracePlace **out, size_t *count, Error *err) {
    SpanTracePlace *places = NULL;
    SpanSource *source;
    size_t total = 0;

    TRY(open_source(block, tenant, INT64_MIN, INT64_MAX, arena, stats, &source, err));
    if (source != NULL) {
        TRY(part_load(&source->reader, LOAD_CHUNKS | LOAD_SPAN_FILTER, err));
        total = source->reader.span_filter->id_count;
        places = arena_array(arena, total + 1, sizeof *places);
        if (places == NULL) return no_memory(err);
        if (span_ids_load_all(&source->reader, places, err) != ERR_OK)
            return error_wrap(err, "block " STR_FMT ", tenant " STR_FMT, STR_ARG(block->key),
                              STR_ARG(tenant));
    }
    *out = places;
    *count = total;
    return ERR_OK;
}

/* ---------- names and values ---------- */

/* NULL: nothing is in the range. *bits: the pages that are. */
static ErrCode open_values(const Block *block, Str tenant, int64_t min_ns, int64_t max_ns,
                           Arena *arena, BlockStats *stats, SpanSource **out, uint64_t **bits,
                           Error *err) {
    SpanSource *source;

    *out = NULL;
    TRY(open_source(block, tenant, min_ns, max_ns, arena, stats, &source, err));
    if (source == NULL) return ERR_OK;
    TRY(part_load(&source->reader, LOAD_CHUNKS | LOAD_SPAN_VALUES, err));
    *bits = bits_new(source, arena);
    if (*bits == NULL) return no_memory(err);
    match_times(source->reader.spans, min_ns, max_ns, *bits);
    *out = source;
    return ERR_OK;
}

/* Has one of these pages what the set says? */
static bool is_within(SpanPageSet set, const SpanSource *source, const uint64_t *all,
                      const uint64_t *within, uint64_t *scratch) {
    size_t words = page_words(source->reader.page_count);

    memset(scratch, 0, words * sizeof *scratch);
    pages_or(set, source->reader.page_count, all, scratch);
    for (size_t i = 0; i < words; i++) {
        if ((scratch[i] & within[i]) != 0) return true;
    }
    return false;
}

ErrCode block_spans_tags(const Block *block, Str tenant, int64_t min_ns, int64_t max_ns,
                         Arena *arena, BlockStats *stats, SpanTag **out, size_t *count,
                         Error *err) {
    const SpanValues *values;
    uint64_t *within, *scratch;
    SpanSource *source;
    SpanTag *tags;
    size_t n = 0;

    TRY(open_values(block, tenant, min_ns, max_ns, arena, stats, &source, &within, err));
    if (source == NULL) {
        *out = NULL;
        *count = 0;
        return ERR_OK;
    }
    values = source->reader.span_values;
    scratch = bits_new(source, arena);
    tags = arena_alloc(arena, ((size_t)values->count + 1) * sizeof *tags);
    if (scratch == NULL || tags == NULL) return no_memory(err);
    for (uint32_t i = 0; i < values->count; i++) {
        const SpanEntry *entry = &values->entries[i];

        if (entry->place >= SPAN_PLACE_INTRINSIC) continue;
        /* Types of one key stand side by side. */
        if (n > 0 && tags[n - 1].scope == entry->place && str_equal(tags[n - 1].key, entry->key))
            continue;
        if (is_within(entry->pages, source, NULL, within, scratch))
            tags[n++] = (SpanTag){entry->place, entry->key};
    }
    *out = tags;
    *count = n;
    return ERR_OK;
}

typedef struct ValueList {
    SpanTagValue *items;
    size_t count, capacity;
} ValueList;

static bool is_asked(const SpanEntry *entry, SpanIntrinsic intrinsic, AttributeScope scope,
                     Str key) {
    if (intrinsic != INTRINSIC_NONE) return entry->place == SPAN_PLACE_INTRINSIC + intrinsic;
    return entry->place < SPAN_PLACE_INTRINSIC && entry->type != ATTRIBUTE_OTHER &&
           (scope == 0 || entry->place == (uint8_t)scope) && str_equal(entry->key, key);
}

static SpanTagValue value_of(const SpanEntry *entry, uint32_t i) {
    SpanTagValue value = {.type = entry->type};

    if (entry->type == ATTRIBUTE_STRING || entry->type == ATTRIBUTE_BYTES)
        value.text = entry->texts[i];
    else if (entry->type == ATTRIBUTE_DOUBLE)
        value.number = entry->numbers[i];
    else
        value.integer = entry->integers[i];
    return value;
}

static ErrCode add_values(const SpanSource *source, const SpanEntry *entry, const uint64_t *within,
                          Arena *arena, ValueList *list, Error *err) {
    uint64_t *all = bits_new(source, arena), *scratch = bits_new(source, arena);
    SpanTagValue *grown =
        index_room(arena, list->items, list->count, MAX((size_t)entry->value_count, (size_t)1),
                   &list->capacity, sizeof *grown);

    if (all == NULL || scratch == NULL || grown == NULL) return no_memory(err);
    list->items = grown;
    pages_or(entry->pages, source->reader.page_count, NULL, all);
    for (uint32_t i = 0; i < entry->value_count; i++) {
        if (is_within(entry->value_pages[i], source, all, within, scratch))
            list->items[list->count++] = value_of(entry, i);
    }
    return ERR_OK;
}

static int compare_values(const void *a, const void *b) {
    const SpanTagValue *x = a, *y = b;

    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    if (x->type == ATTRIBUTE_STRING || x->type == ATTRIBUTE_BYTES)
        return str_compare(x->text, y->text);
    if (x->type == ATTRIBUTE_DOUBLE) return memcmp(&x->number, &y->number, sizeof x->number);
    return (x->integer > y->integer) - (x->integer < y->integer);
}

/* A key of several scopes has its values several times. */
static size_t drop_doubles(SpanTagValue *items, size_t count) {
    size_t kept = 0;

    if (count > 1) qsort(items, count, sizeof *items, compare_values);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || compare_values(&items[kept - 1], &items[i]) != 0) items[kept++] = items[i];
    }
    return kept;
}

ErrCode block_spans_tag_values(const Block *block, Str tenant, SpanIntrinsic intrinsic,
                               AttributeScope scope, Str key, int64_t min_ns, int64_t max_ns,
                               Arena *arena, BlockStats *stats, SpanTagValue **out, size_t *count,
                               bool *complete, Error *err) {
    const SpanValues *values;
    uint64_t *within, *scratch;
    ValueList list = {0};
    SpanSource *source;
    bool all = true;

    TRY(open_values(block, tenant, min_ns, max_ns, arena, stats, &source, &within, err));
    if (source != NULL) {
        values = source->reader.span_values;
        scratch = bits_new(source, arena);
        if (scratch == NULL) return no_memory(err);
        for (uint32_t i = 0; i < values->count; i++) {
            const SpanEntry *entry = &values->entries[i];

            if (!is_asked(entry, intrinsic, scope, key) ||
                !is_within(entry->pages, source, NULL, within, scratch))
                continue;
            all &= entry->complete;
            TRY(add_values(source, entry, within, arena, &list, err));
        }
    }
    *out = list.items;
    *count = drop_doubles(list.items, list.count);
    *complete = all;
    return ERR_OK;
}
