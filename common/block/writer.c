/*
 * writer.c: a tenant's metrics into sections.
 *
 * Values go out page by page as series come, so that only the index is held: 4 bytes a label, about
 * 20 a chunk, the dictionary. Columns of times are shared: targets are scraped at one instant, so
 * most series of a target have the very same times, and those are stored once.
 */
#include <string.h>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/block/exemplars.h"
#include "common/block/histograms.h"
#include "common/block/writer.h"

enum {
    DATA_PAGE_BYTES = 64 << 10,
    /* Values gain little from more effort; an index is small and read whole. */
    DATA_LEVEL = 3,
};

static void release_heap(void *what) {
    BlockWriter *w = what;

    log_writer_free(w->logs);
    span_writer_free(w->spans);
    arena_free(w->index);
    buf_done(&w->values.buf);
    buf_done(&w->times.buf);
    buf_done(&w->exemplar_pages.buf);
    buf_done(&w->column);
    buf_done(&w->metadata);
}

BlockWriter *block_writer_new(Arena *arena, BlockSink sink, int64_t created_ms) {
    BlockWriter *w = ARENA_NEW(arena, BlockWriter);

    if (w == NULL) return NULL;
    w->arena = arena;
    w->times_seed = random_u64();
    w->created_ms = created_ms;
    w->values.type = PAGE_VALUES;
    w->times.type = PAGE_TIMES;
    w->exemplar_pages.type = PAGE_EXEMPLARS;
    buf_init(&w->values.buf, 0);
    buf_init(&w->times.buf, 0);
    buf_init(&w->exemplar_pages.buf, 0);
    buf_init(&w->column, 0);
    buf_init(&w->metadata, 0);
    if (!arena_on_free(arena, release_heap, w)) return NULL;
    w->container = container_writer_new(arena, sink, created_ms);
    return w->container == NULL ? NULL : w;
}

/* ---------- parts of any signal ---------- */

ErrCode writer_no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory to write a block");
}

ErrCode writer_part_begin(BlockWriter *w, Str tenant, Signal signal, Error *err) {
    if (w->open) return error_set(err, ERR_INVALID, "a tenant begins inside another");
    TRY(container_part_begin(w->container, tenant, signal, err));
    /* An arena per part: a segment holds many tenants, and each index is done with at its end. */
    w->index = arena_new(0, arena_budget(w->arena));
    w->dictionary = w->index == NULL ? NULL : dictionary_builder_new(w->index);
    if (w->dictionary == NULL) {
        arena_free(w->index);
        w->index = NULL;
        return writer_no_memory(err);
    }
    w->open = true;
    w->signal = signal;
    w->part_offset = container_offset(w->container);
    w->series = (SeriesBuilder){0};
    w->part = (BlockPart){.min_ms = INT64_MAX, .max_ms = INT64_MIN};
    w->last_count = 0;
    w->any_series = false;
    return ERR_OK;
}

ErrCode writer_part_end(BlockWriter *w, Error *err) {
    if (w->part.min_ms > w->part.max_ms) w->part.min_ms = w->part.max_ms = w->created_ms;
    TRY(container_part_end(w->container, &w->part, err));
    w->open = false;
    arena_free(w->index);
    w->index = NULL;
    return ERR_OK;
}

ErrCode block_metrics_begin(BlockWriter *w, Str tenant, Error *err) {
    TRY(writer_part_begin(w, tenant, SIGNAL_METRICS, err));
    w->times_slot_count = 256;
    w->times_slots = ARENA_ARRAY(w->index, uint32_t, w->times_slot_count);
    if (w->times_slots == NULL) return writer_no_memory(err);
    w->chunks = (ChunkIndexBuilder){0};
    w->exemplars = NULL;
    w->exemplar_count = w->exemplar_capacity = 0;
    w->times_hashes = NULL;
    w->times_hash_capacity = 0;
    w->metadata_count = 0;
    return ERR_OK;
}

/* ---------- pages ---------- */

static ErrCode flush_page(BlockWriter *w, Pending *pending, Error *err) {
    ChunkIndexBuilder *c = &w->chunks;
    struct BuiltPage *grown;
    uint32_t stored;

    if (buf_failed(&pending->buf)) return writer_no_memory(err);
    if (pending->buf.len == 0) return ERR_OK;
    grown = index_room(w->index, c->pages, c->page_count, 1, &c->page_capacity, sizeof *grown);
    if (grown == NULL) return writer_no_memory(err);
    c->pages = grown;
    TRY(container_page(w->container, buf_str(&pending->buf), DATA_LEVEL, &stored, err));
    c->pages[c->page_count++] =
        (struct BuiltPage){stored, (uint32_t)pending->buf.len, (uint8_t)pending->type};
    buf_clear(&pending->buf);
    return ERR_OK;
}

/* Adds what w->column holds to a page, a new one where it doesn't fit. */
static ErrCode add_to_page(BlockWriter *w, Pending *pending, uint32_t *length, Error *err) {
    if (buf_failed(&w->column)) return writer_no_memory(err);
    if (w->column.len > PAGE_RAW_MAX)
        return error_set(err, ERR_LIMIT, "a chunk of %zu bytes", w->column.len);
    if (pending->buf.len + w->column.len > DATA_PAGE_BYTES) TRY(flush_page(w, pending, err));
    buf_append_str(&pending->buf, buf_str(&w->column));
    *length = (uint32_t)w->column.len;
    return buf_failed(&pending->buf) ? writer_no_memory(err) : ERR_OK;
}

/* ---------- columns of times ---------- */

static bool grow_times_table(BlockWriter *w) {
    size_t count = w->times_slot_count * 2, mask = count - 1;
    uint32_t *slots;

    if (w->chunks.times_count * 2 < w->times_slot_count) return true;
    slots = ARENA_ARRAY(w->index, uint32_t, count);
    if (slots == NULL) return false;
    for (size_t i = 0; i < w->chunks.times_count; i++) {
        size_t at = w->times_hashes[i].low & mask;

        while (slots[at] != 0) at = (at + 1) & mask;
        slots[at] = (uint32_t)i + 1;
    }
    w->times_slots = slots;
    w->times_slot_count = count;
    return true;
}

static ErrCode add_times(BlockWriter *w, const int64_t *times, size_t count, Hash128 hash,
                         Error *err) {
    ChunkIndexBuilder *c = &w->chunks;
    TimesEntry *grown =
        index_room(w->index, c->times, c->times_count, 1, &c->times_capacity, sizeof *grown);
    Hash128 *hashes = index_room(w->index, w->times_hashes, c->times_count, 1,
                                 &w->times_hash_capacity, sizeof *hashes);
    char *at;
    uint32_t length;

    if (grown == NULL || hashes == NULL || c->times_count == UINT32_MAX - 1)
        return writer_no_memory(err);
    c->times = grown;
    w->times_hashes = hashes;
    buf_clear(&w->column);
    at = buf_reserve(&w->column, column_bytes_max(count));
    if (at == NULL) return writer_no_memory(err);
    buf_added(&w->column, ints_encode(times, count, (IntsTag){0}, (uint8_t *)at));
    TRY(add_to_page(w, &w->times, &length, err));
    c->times[c->times_count] = (TimesEntry){
        .min_ms = times[0],
        .max_ms = times[count - 1],
        .place = {.length = length},
        .count = (uint32_t)count,
    };
    w->times_hashes[c->times_count++] = hash;
    return ERR_OK;
}

/* The number of the column that holds these times. Two columns of one 128-bit hash under a secret
 * seed are taken for the same: the disk lies more often. */
static ErrCode find_times(BlockWriter *w, const int64_t *times, size_t count, uint32_t *out,
                          Error *err) {
    Hash128 hash = hash_bytes_128(times, count * sizeof *times, w->times_seed);
    size_t mask, at;

    if (!grow_times_table(w)) return writer_no_memory(err);
    mask = w->times_slot_count - 1;
    for (at = hash.low & mask; w->times_slots[at] != 0; at = (at + 1) & mask) {
        uint32_t known = w->times_slots[at] - 1;

        if (w->times_hashes[known].low != hash.low || w->times_hashes[known].high != hash.high)
            continue;
        *out = known;
        return ERR_OK;
    }
    *out = (uint32_t)w->chunks.times_count;
    TRY(add_times(w, times, count, hash, err));
    w->times_slots[at] = *out + 1;
    return ERR_OK;
}

/* ---------- chunks ---------- */

/* Adds the chunk in w->column. */
static ErrCode add_chunk(BlockWriter *w, const int64_t *times, size_t count, ChunkKind kind,
                         Error *err) {
    ChunkIndexBuilder *c = &w->chunks;
    struct BuiltChunk *grown =
        index_room(w->index, c->chunks, c->chunk_count, 1, &c->chunk_capacity, sizeof *grown);
    struct BuiltChunk chunk = {.kind = (uint8_t)kind};

    if (grown == NULL || c->chunk_count == UINT32_MAX - 1) return writer_no_memory(err);
    c->chunks = grown;
    TRY(add_to_page(w, &w->values, &chunk.length, err));
    TRY(find_times(w, times, count, &chunk.times, err));
    c->chunks[c->chunk_count++] = chunk;
    c->per_series[c->series_count - 1]++;
    w->part.items += count;
    w->part.min_ms = MIN(w->part.min_ms, times[0]);
    w->part.max_ms = MAX(w->part.max_ms, times[count - 1]);
    return ERR_OK;
}

static ErrCode add_floats(BlockWriter *w, const int64_t *times, const double *values, size_t count,
                          Error *err) {
    char *at;

    buf_clear(&w->column);
    at = buf_reserve(&w->column, column_bytes_max(count));
    if (at == NULL) return writer_no_memory(err);
    buf_added(&w->column, floats_encode(values, count, (uint8_t *)at));
    return add_chunk(w, times, count, CHUNK_FLOATS, err);
}

static ErrCode add_histograms(BlockWriter *w, const int64_t *times,
                              const NativeHistogram *const *histograms, size_t count, Error *err) {
    buf_clear(&w->column);
    histograms_encode(histograms, count, &w->column);
    return add_chunk(w, times, count, CHUNK_HISTOGRAMS, err);
}

/* Long series are cut where the clock says, not where they happen to begin, so that series of one
 * target keep sharing their times: at multiples of the power of two that holds half a column to a
 * column of samples. */
static unsigned cut_shift(const int64_t *times, size_t count) {
    uint64_t span = (uint64_t)times[count - 1] - (uint64_t)times[0];
    uint64_t spacing = count > 1 ? span / (count - 1) : 0;

    if (count <= COLUMN_ITEMS_MAX) return 63;
    return MIN(bits_width(MAX(spacing, (uint64_t)1)) - 1 + 10, 63u);
}

static size_t cut(const int64_t *times, size_t count, unsigned shift) {
    size_t most = MIN(count, (size_t)COLUMN_ITEMS_MAX), low = 1, high = most;

    if (shift == 63) return most;
    while (low < high) { /* the first instant past the boundary; times ascend */
        size_t middle = low + (high - low) / 2;

        if (times[middle] >> shift != times[0] >> shift)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool ascends(const int64_t *times, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (times[i - 1] >= times[i]) return false;
    }
    return true;
}

static ErrCode add_samples(BlockWriter *w, const ChunkSamples *s, Error *err) {
    unsigned shift = s->count > 0 ? cut_shift(s->times, s->count) : 0;
    size_t f = 0, h = 0, n;

    if (!ascends(s->times, s->count) || !ascends(s->histogram_times, s->histogram_count))
        return error_set(err, ERR_INVALID, "samples of a series are not in order of time");
    while (f < s->count || h < s->histogram_count) {
        bool floats =
            h == s->histogram_count || (f < s->count && s->times[f] <= s->histogram_times[h]);

        if (floats) {
            n = cut(s->times + f, s->count - f, shift);
            TRY(add_floats(w, s->times + f, s->values + f, n, err));
            f += n;
        } else {
            n = histograms_per_chunk(s->histograms + h, s->histogram_count - h);
            TRY(add_histograms(w, s->histogram_times + h, s->histograms + h, n, err));
            h += n;
        }
    }
    return ERR_OK;
}

/* ---------- series ---------- */

/* Puts the labels into the dictionary. Neighbours have most labels in common, at the same index. */
static ErrCode add_labels(BlockWriter *w, LabelPairs labels, size_t *count, Error *err) {
    size_t n = 0;

    for (size_t i = 0; i < labels.count; i++) {
        LabelPair pair = labels.pairs[i];

        if (pair.value.len == 0) continue;
        if (n == LABELS_MAX)
            return error_set(err, ERR_INVALID, "a series of more than %d labels", LABELS_MAX);
        if (n < w->last_count && str_equal(w->last_pairs[n].name, pair.name) &&
            str_equal(w->last_pairs[n].value, pair.value)) {
            n++;
            continue;
        }
        w->last_numbers[n] = dictionary_add(w->dictionary, pair.name, pair.value);
        if (w->last_numbers[n] == UINT32_MAX) return writer_no_memory(err);
        w->last_pairs[n] = dictionary_builder_pair(w->dictionary, w->last_numbers[n]);
        n++;
    }
    *count = n;
    return ERR_OK;
}

ErrCode writer_series(BlockWriter *w, LabelPairs labels, Error *err) {
    LabelPairs last = {w->last_pairs, w->last_count};
    size_t count = 0;

    if (w->any_series && labels_compare(last, labels) >= 0)
        return error_set(err, ERR_INVALID, "series are not in order");
    TRY(add_labels(w, labels, &count, err));
    w->last_count = count;
    w->any_series = true;
    if (!series_builder_add(&w->series, w->index, w->last_numbers, count))
        return writer_no_memory(err);
    w->part.series++;
    return ERR_OK;
}

ErrCode block_metrics_series(BlockWriter *w, LabelPairs labels, const ChunkSamples *samples,
                             Error *err) {
    ChunkIndexBuilder *c = &w->chunks;
    uint32_t *grown;

    if (!w->open || w->signal != SIGNAL_METRICS)
        return error_set(err, ERR_INVALID, "a series outside of a tenant");
    TRY(writer_series(w, labels, err));
    grown =
        index_room(w->index, c->per_series, c->series_count, 1, &c->series_capacity, sizeof *grown);
    if (grown == NULL || c->series_count == UINT32_MAX - 1) return writer_no_memory(err);
    c->per_series = grown;
    c->per_series[c->series_count++] = 0;
    return add_samples(w, samples, err);
}

ErrCode block_metrics_exemplars(BlockWriter *w, const SelectedExemplar *exemplars, size_t count,
                                Error *err) {
    if (!w->open || w->signal != SIGNAL_METRICS || !w->any_series)
        return error_set(err, ERR_INVALID, "exemplars of no series");
    for (size_t first = 0, n; first < count; first += n) {
        int64_t min_ms = INT64_MAX, max_ms = INT64_MIN;
        ExemplarEntry *grown = index_room(w->index, w->exemplars, w->exemplar_count, 1,
                                          &w->exemplar_capacity, sizeof *grown);

        if (grown == NULL) return writer_no_memory(err);
        n = MIN(count - first, (size_t)COLUMN_ITEMS_MAX);
        buf_clear(&w->column);
        exemplars_encode(exemplars + first, n, &w->column);
        for (size_t i = first; i < first + n; i++) {
            min_ms = MIN(min_ms, exemplars[i].time_ms);
            max_ms = MAX(max_ms, exemplars[i].time_ms);
        }
        w->exemplars = grown;
        grown = &w->exemplars[w->exemplar_count];
        *grown = (ExemplarEntry){.min_ms = min_ms,
                                 .max_ms = max_ms,
                                 .series = (uint32_t)w->chunks.series_count - 1,
                                 .count = (uint32_t)n};
        TRY(add_to_page(w, &w->exemplar_pages, &grown->place.length, err));
        w->exemplar_count++;
        /* Who picks objects by their time range must not miss them. */
        w->part.min_ms = MIN(w->part.min_ms, min_ms);
        w->part.max_ms = MAX(w->part.max_ms, max_ms);
    }
    return ERR_OK;
}

ErrCode block_metrics_metadata(BlockWriter *w, const MetadataItem *items, size_t count,
                               Error *err) {
    if (!w->open || w->signal != SIGNAL_METRICS)
        return error_set(err, ERR_INVALID, "metadata outside of a tenant");
    metadata_encode(items, count, &w->metadata);
    w->metadata_count += count;
    return buf_failed(&w->metadata) ? writer_no_memory(err) : ERR_OK;
}

/* ---------- ends ---------- */

ErrCode writer_blob(BlockWriter *w, SectionKind kind, Buf *buf, Error *err) {
    if (buf_failed(buf)) return writer_no_memory(err);
    TRY(container_blob(w->container, kind, SECTION_CODEC, buf_str(buf), INDEX_LEVEL, err));
    buf_clear(buf);
    return ERR_OK;
}

ErrCode writer_labels(BlockWriter *w, SectionKind dictionary, SectionKind series, Error *err) {
    DictionaryLayout layout;

    buf_clear(&w->column);
    TRY(dictionary_build(w->dictionary, &w->column, &layout, err));
    TRY(writer_blob(w, dictionary, &w->column, err));
    TRY(series_build(&w->series, &layout, w->index, &w->column, err));
    return writer_blob(w, series, &w->column, err);
}

/* Dictionary, series and chunks stand side by side, so that one GET fetches all three. */
static ErrCode put_index(BlockWriter *w, Error *err) {
    TRY(writer_labels(w, SECTION_METRICS_DICTIONARY, SECTION_METRICS_SERIES, err));
    chunk_index_build(&w->chunks, &w->column);
    TRY(writer_blob(w, SECTION_METRICS_CHUNKS, &w->column, err));
    if (w->exemplar_count == 0) return ERR_OK;
    exemplar_index_build(w->exemplars, w->exemplar_count, &w->column);
    return writer_blob(w, SECTION_METRICS_EXEMPLARS, &w->column, err);
}

static ErrCode put_metadata(BlockWriter *w, Error *err) {
    if (w->metadata_count == 0) return ERR_OK;
    buf_clear(&w->column);
    buf_append_varint(&w->column, w->metadata_count);
    buf_append_str(&w->column, buf_str(&w->metadata));
    buf_clear(&w->metadata);
    return writer_blob(w, SECTION_METRICS_METADATA, &w->column, err);
}

ErrCode block_metrics_end(BlockWriter *w, Error *err) {
    uint64_t raw = 0;

    if (!w->open || w->signal != SIGNAL_METRICS)
        return error_set(err, ERR_INVALID, "a tenant ends that has not begun");
    TRY(flush_page(w, &w->values, err));
    TRY(flush_page(w, &w->times, err));
    TRY(flush_page(w, &w->exemplar_pages, err));
    for (size_t i = 0; i < w->chunks.page_count; i++) raw += w->chunks.pages[i].raw;
    TRY(container_section(w->container, SECTION_METRICS_DATA, SECTION_CODEC, w->part_offset, raw,
                          err));
    TRY(put_index(w, err));
    TRY(put_metadata(w, err));
    return writer_part_end(w, err);
}

ErrCode block_writer_finish(BlockWriter *w, BlockSummary *out, Error *err) {
    if (w->open) return error_set(err, ERR_INVALID, "a block ends inside a tenant");
    return container_finish(w->container, out, err);
}
