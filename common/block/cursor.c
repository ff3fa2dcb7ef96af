/*
 * cursor.c: a tenant's series one after the other, for merging.
 *
 * Values lie in the order of series, so a window slides over them in large GETs. Columns of times
 * are shared across the part: their pages are kept, the least recently used going first, and read
 * through a window of their own. The index is held as it is stored, in columns.
 */
#include <string.h>

#include "common/block/exemplars.h"
#include "common/block/reader.h"

enum {
    WINDOW_BYTES = 4 << 20,
    TIMES_WINDOW_BYTES = 1 << 20,
    TIMES_PAGES_MAX = 256, /* 64 KiB each */
};

/* Bytes of the object that were read ahead. */
typedef struct Window {
    Arena *arena;
    Str bytes;
    uint64_t offset;
    uint64_t bytes_max;
} Window;

typedef struct Slot {
    Arena *arena;
    Str raw;
    uint32_t page; /* valid while raw.ptr is set */
    uint64_t used; /* when last */
} Slot;

struct BlockCursor {
    Store *store;
    Str key;
    Arena *arena;   /* who opened it */
    Arena *index;   /* the cursor's own: index and key */
    Arena *current; /* what the last next() handed out */
    const Section *data;
    Dictionary dictionary;
    SeriesIndex series;
    ChunkIndex chunks;
    ExemplarEntry *exemplars;
    size_t exemplar_count;
    Window window;
    Window times_window;
    Slot values_slot;
    Slot exemplars_slot;
    Slot times_slots[TIMES_PAGES_MAX];
    uint64_t clock;
    uint32_t group; /* of the next series */
    uint32_t next;  /* the next series */
    size_t next_exemplar;
    bool closed;
};

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory to go through a block");
}

static void slot_done(Slot *slot) {
    arena_free(slot->arena);
    *slot = (Slot){0};
}

void block_cursor_close(BlockCursor *c) {
    if (c == NULL || c->closed) return;
    c->closed = true;
    slot_done(&c->values_slot);
    slot_done(&c->exemplars_slot);
    for (size_t i = 0; i < TIMES_PAGES_MAX; i++) slot_done(&c->times_slots[i]);
    arena_free(c->window.arena);
    arena_free(c->times_window.arena);
    arena_free(c->current);
    arena_free(c->index);
}

static void release(void *what) {
    block_cursor_close(what);
}

/* ---------- opening ---------- */

static ErrCode decode_section(Str bytes, uint64_t start, const ContainerPart *part,
                              SectionKind kind, Arena *arena, Str *raw, Error *err) {
    const Section *section = container_find_section(part, kind);

    TRY(section_check(section, err));
    return blob_decode(str_slice(bytes, (size_t)(section->offset - start), section->length),
                       section, arena, raw, err);
}

/* All that stands behind the data is index: one GET. */
static ErrCode load_index(BlockCursor *c, const ContainerPart *part, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(c->arena));
    uint64_t start = UINT64_MAX, end = 0;
    Str bytes, raw;

    c->data = container_find_section(part, SECTION_METRICS_DATA);
    TRY(section_check(c->data, err));
    for (uint32_t i = 0; i < part->section_count; i++) {
        const Section *s = &part->sections[i];

        if (s->kind == SECTION_METRICS_DATA || s->kind == SECTION_METRICS_METADATA) continue;
        start = MIN(start, s->offset);
        end = MAX(end, s->offset + s->length);
    }
    if (start > end) return error_set(err, ERR_CORRUPT, "an index is missing");
    TRY(object_read(c->store, c->key, start, end - start, scratch, NULL, &bytes, err));
    TRY(decode_section(bytes, start, part, SECTION_METRICS_DICTIONARY, scratch, &raw, err));
    TRY(dictionary_decode(raw, c->index, &c->dictionary, err));
    TRY(decode_section(bytes, start, part, SECTION_METRICS_SERIES, c->index, &raw, err));
    TRY(series_index_decode(raw, &c->dictionary, false, c->index, &c->series, err));
    TRY(decode_section(bytes, start, part, SECTION_METRICS_CHUNKS, scratch, &raw, err));
    TRY(chunk_index_decode(raw, c->data->offset, c->data->length, c->index, &c->chunks, err));
    if (c->series.series_count != c->chunks.series_count)
        return error_set(err, ERR_CORRUPT, "%u series have labels, %u have chunks",
                         c->series.series_count, c->chunks.series_count);
    if (container_find_section(part, SECTION_METRICS_EXEMPLARS) == NULL) return ERR_OK;
    TRY(decode_section(bytes, start, part, SECTION_METRICS_EXEMPLARS, scratch, &raw, err));
    return exemplar_index_decode(raw, &c->chunks, c->index, &c->exemplars, &c->exemplar_count, err);
}

static ErrCode open_part(BlockCursor *c, uint64_t size, Str tenant, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(c->arena));
    const ContainerPart *part;
    Container container;
    ObjectEnd end;

    if (scratch == NULL) return no_memory(err);
    TRY(object_read_end(c->store, c->key, size, 0, scratch, NULL, &end, err));
    TRY(container_footer_parse(end.footer, &end.tail, c->index, &container, err));
    part = container_find_part(&container, tenant, SIGNAL_METRICS);
    return part == NULL ? ERR_OK : load_index(c, part, err);
}

ErrCode block_cursor_open(Store *store, Str key, uint64_t size, Str tenant, Arena *arena,
                          BlockCursor **out, Error *err) {
    BlockCursor *c = ARENA_NEW(arena, BlockCursor);
    Budget *budget = arena == NULL ? NULL : arena_budget(arena);

    if (c == NULL || !arena_on_free(arena, release, c)) return no_memory(err);
    c->store = store;
    c->arena = arena;
    c->window.bytes_max = WINDOW_BYTES;
    c->times_window.bytes_max = TIMES_WINDOW_BYTES;
    c->index = arena_new(0, budget);
    c->current = arena_new(0, budget);
    c->window.arena = arena_new(0, budget);
    c->times_window.arena = arena_new(0, budget);
    c->key = str_dup(c->index, key);
    if (c->key.ptr == NULL || c->current == NULL || c->window.arena == NULL ||
        c->times_window.arena == NULL)
        return no_memory(err);
    if (open_part(c, size, tenant, err) != ERR_OK)
        return error_wrap(err, "block " STR_FMT, STR_ARG(key));
    *out = c;
    return ERR_OK;
}

/* ---------- pages ---------- */

static bool window_has(const Window *w, const DataPage *page) {
    return page->offset >= w->offset && page->offset + page->stored <= w->offset + w->bytes.len;
}

/* Moves the window so that it begins with the page and, room permitting, holds those behind it. */
static ErrCode slide(BlockCursor *c, Window *w, const DataPage *page, Error *err) {
    uint64_t left = c->data->offset + c->data->length - page->offset;
    uint64_t length = MIN(left, MAX(w->bytes_max, (uint64_t)page->stored));

    arena_reset(w->arena);
    w->bytes = (Str){0};
    TRY(object_read(c->store, c->key, page->offset, length, w->arena, NULL, &w->bytes, err));
    w->offset = page->offset;
    return ERR_OK;
}

static ErrCode fill_slot(BlockCursor *c, Slot *slot, uint32_t number, Window *own, Error *err) {
    const DataPage *page = &c->chunks.pages[number];
    Window *w = window_has(&c->window, page) ? &c->window : own;
    size_t stored;
    Str raw;

    if (!window_has(w, page)) TRY(slide(c, w, page, err));
    if (slot->arena == NULL) slot->arena = arena_new(0, arena_budget(c->arena));
    if (slot->arena == NULL) return no_memory(err);
    arena_reset(slot->arena);
    slot->raw = (Str){0};
    TRY(page_decode(str_slice(w->bytes, (size_t)(page->offset - w->offset), page->stored),
                    slot->arena, &raw, &stored, err));
    if (stored != page->stored || raw.len != page->raw)
        return error_set(err, ERR_CORRUPT, "page at %llu is not what the index says",
                         (unsigned long long)page->offset);
    slot->raw = raw;
    slot->page = number;
    return ERR_OK;
}

static ErrCode get_page(BlockCursor *c, Slot *slot, const DataPlace *place, Window *own, Str *out,
                        Error *err) {
    if (slot->raw.ptr == NULL || slot->page != place->page)
        TRY(fill_slot(c, slot, place->page, own, err));
    slot->used = ++c->clock;
    *out = str_slice(slot->raw, place->offset, place->length);
    return ERR_OK;
}

/* The slot of a page of times: its own, a free one, or the one not used for longest. */
static Slot *times_slot(BlockCursor *c, uint32_t page) {
    Slot *oldest = &c->times_slots[0];

    for (size_t i = 0; i < TIMES_PAGES_MAX; i++) {
        Slot *slot = &c->times_slots[i];

        if (slot->raw.ptr == NULL) return slot;
        if (slot->page == page) return slot;
        if (slot->used < oldest->used) oldest = slot;
    }
    return oldest;
}

/* ---------- series ---------- */

/* A series in the making: everything in c->current. */
typedef struct Joining {
    int64_t *times;
    double *values;
    size_t count;
    int64_t *histogram_times;
    const NativeHistogram **histograms;
    size_t histogram_count;
} Joining;

static bool is_histogram(const BlockCursor *c, uint32_t chunk) {
    return c->chunks.kinds != NULL && c->chunks.kinds[chunk] == CHUNK_HISTOGRAMS;
}

static ErrCode make_room(BlockCursor *c, uint32_t first, uint32_t end, Joining *j, Error *err) {
    size_t floats = 0, histograms = 0;

    for (uint32_t i = first; i < end; i++) {
        uint32_t count = c->chunks.times[c->chunks.chunks[i].times].count;

        *(is_histogram(c, i) ? &histograms : &floats) += count;
    }
    *j = (Joining){0};
    j->times = arena_alloc(c->current, floats * sizeof *j->times + 1);
    j->values = arena_alloc(c->current, floats * sizeof *j->values + 1);
    j->histogram_times = arena_alloc(c->current, histograms * sizeof *j->histogram_times + 1);
    j->histograms = arena_alloc(c->current, histograms * sizeof *j->histograms + 1);
    return j->times == NULL || j->values == NULL || j->histogram_times == NULL ||
                   j->histograms == NULL
               ? no_memory(err)
               : ERR_OK;
}

static ErrCode view_chunk(BlockCursor *c, uint32_t chunk, TimesColumn *times, ChunkView *view,
                          Error *err) {
    const ChunkEntry *entry = &c->chunks.chunks[chunk];
    const TimesEntry *column = &c->chunks.times[entry->times];

    *times =
        (TimesColumn){.min_ms = column->min_ms, .max_ms = column->max_ms, .count = column->count};
    *view = (ChunkView){.times = times,
                        .min_ms = column->min_ms,
                        .max_ms = column->max_ms,
                        .count = column->count,
                        .in_order = true};
    /* Values first: they move the window, which may then hold the times as well. */
    TRY(get_page(c, &c->values_slot, &entry->place, &c->window, &view->bytes, err));
    return get_page(c, times_slot(c, column->place.page), &column->place, &c->times_window,
                    &times->bytes, err);
}

static ErrCode out_of_order(Error *err) {
    return error_set(err, ERR_CORRUPT, "chunks of a series are out of order");
}

static ErrCode join_chunk(BlockCursor *c, uint32_t chunk, Joining *j, Error *err) {
    const NativeHistogram **list;
    TimesColumn times;
    ChunkView view;
    int64_t *to;

    TRY(view_chunk(c, chunk, &times, &view, err));
    if (!is_histogram(c, chunk)) {
        to = j->times + j->count;
        TRY(times_decode(&times, to, err));
        TRY(floats_decode(&view, j->values + j->count, err));
        if (j->count > 0 && to[-1] >= to[0]) return out_of_order(err);
        j->count += view.count;
        return ERR_OK;
    }
    to = j->histogram_times + j->histogram_count;
    TRY(times_decode(&times, to, err));
    TRY(histograms_decode(&view, c->current, &list, err));
    if (j->histogram_count > 0 && to[-1] >= to[0]) return out_of_order(err);
    memcpy(j->histograms + j->histogram_count, list, view.count * sizeof *list);
    j->histogram_count += view.count;
    return ERR_OK;
}

static ErrCode take_labels(BlockCursor *c, LabelPairs *out, Error *err) {
    const SeriesGroup *group = &c->series.groups[c->group];
    size_t room = (size_t)group->label_count + 1;
    uint32_t *numbers = arena_alloc(c->current, room * sizeof *numbers);
    LabelPair *pairs = arena_alloc(c->current, room * sizeof *pairs);
    uint32_t count;

    if (numbers == NULL || pairs == NULL) return no_memory(err);
    count = series_row(&c->dictionary, group, c->next - group->first, numbers);
    for (uint32_t i = 0; i < count; i++) pairs[i] = c->dictionary.pairs[numbers[i]];
    *out = (LabelPairs){pairs, count};
    return ERR_OK;
}

static ErrCode take_exemplars(BlockCursor *c, const SelectedExemplar **out, size_t *count,
                              Error *err) {
    size_t first = c->next_exemplar, end = first, total = 0;
    SelectedExemplar *list;

    for (; end < c->exemplar_count && c->exemplars[end].series == c->next; end++)
        total += c->exemplars[end].count;
    *count = 0;
    *out = list = total == 0 ? NULL : ARENA_ARRAY(c->current, SelectedExemplar, total);
    if (total > 0 && list == NULL) return no_memory(err);
    for (size_t i = first; i < end; i++) {
        const ExemplarEntry *e = &c->exemplars[i];
        int64_t *times = ARENA_ARRAY(c->current, int64_t, e->count);
        double *values = ARENA_ARRAY(c->current, double, e->count);
        Str bytes, copy;

        if (times == NULL || values == NULL) return no_memory(err);
        TRY(get_page(c, &c->exemplars_slot, &e->place, &c->times_window, &bytes, err));
        copy = str_dup(c->current, bytes); /* the next entry may be in another page */
        if (copy.ptr == NULL) return no_memory(err);
        TRY(exemplars_decode(copy, e->count, INT64_MIN, INT64_MAX, times, values, list, count,
                             err));
    }
    c->next_exemplar = end;
    return ERR_OK;
}

static ErrCode take_series(BlockCursor *c, LabelPairs *labels, ChunkSamples *samples,
                           const SelectedExemplar **exemplars, size_t *exemplar_count, Error *err) {
    uint32_t first = chunk_index_start(&c->chunks, c->next);
    uint32_t end = chunk_index_start(&c->chunks, c->next + 1);
    Joining j;

    TRY(take_labels(c, labels, err));
    TRY(make_room(c, first, end, &j, err));
    for (uint32_t i = first; i < end; i++) TRY(join_chunk(c, i, &j, err));
    TRY(take_exemplars(c, exemplars, exemplar_count, err));
    *samples = (ChunkSamples){
        .times = j.times,
        .values = j.values,
        .count = j.count,
        .histogram_times = j.histogram_times,
        .histograms = j.histograms,
        .histogram_count = j.histogram_count,
    };
    return ERR_OK;
}

ErrCode block_cursor_next(BlockCursor *c, LabelPairs *labels, ChunkSamples *samples,
                          const SelectedExemplar **exemplars, size_t *exemplar_count, bool *more,
                          Error *err) {
    *more = c->next < c->series.series_count;
    if (!*more) return ERR_OK;
    arena_reset(c->current);
    while (c->next - c->series.groups[c->group].first == c->series.groups[c->group].count)
        c->group++;
    if (take_series(c, labels, samples, exemplars, exemplar_count, err) != ERR_OK)
        return error_wrap(err, "block " STR_FMT, STR_ARG(c->key));
    c->next++;
    return ERR_OK;
}
