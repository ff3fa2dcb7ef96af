/*
 * block_reader.c: reading of whole objects.
 *
 * The first byte of an input chooses: 0, the rest is an object; 1, the rest is what the sections of
 * one hold, each behind a varint length, and an object with right checksums is made of them, since
 * no change of bytes gets past the checksums by itself. Then everything that can be asked of an
 * object is asked. Whatever the answers, nothing may be read that isn't there.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/block/container.h"
#include "common/block/index.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const Str TENANT = STR_INIT("t");
static const Str KEY = STR_INIT("o");
enum { MEMORY_MAX = 64 << 20 };

/* In the order that they are read from the input. */
static const SectionKind BLOBS[] = {SECTION_METRICS_DICTIONARY, SECTION_METRICS_SERIES,
                                    SECTION_METRICS_CHUNKS, SECTION_METRICS_EXEMPLARS,
                                    SECTION_METRICS_METADATA};
enum { PAGES = 3 }; /* of data, before the blobs */

/* ---------- what is asked ---------- */

static void decode_series(const MetricsSelection *selection, Arena *arena) {
    for (size_t i = 0; i < selection->series_count; i++) {
        const SelectedSeries *s = &selection->series[i];
        Error err;

        for (uint32_t p = 0; p < s->pair_count; p++) CHECK(s->pairs[p] < selection->pair_count);
        for (uint32_t c = 0; c < s->chunk_count; c++) {
            const ChunkView *chunk = &s->chunks[c];
            int64_t *times = ARENA_ARRAY(arena, int64_t, chunk->times->count);
            double *values = ARENA_ARRAY(arena, double, chunk->count);
            const NativeHistogram **histograms;

            if (times == NULL || values == NULL) return;
            (void)!times_decode(chunk->times, times, &err);
            if (chunk->kind == CHUNK_FLOATS)
                (void)!floats_decode(chunk, values, &err);
            else
                (void)!histograms_decode(chunk, arena, &histograms, &err);
        }
    }
}

static void ask_reader(Store *store) {
    CLEANUP(block_cache_free) BlockCache *cache = block_cache_new(store, NULL);
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    const SelectedExemplar **exemplars;
    MetricsSelection selection;
    MetadataItem *metadata;
    BlockStats stats = {0};
    const Block *block;
    Matcher matchers[2];
    BlockSelect select = {TENANT, matchers, 2, INT64_MIN, INT64_MAX, false};
    size_t *counts, count;
    Str *list;
    Error err;

    CHECK(matcher_new(arena, MATCH_REGEX, LABEL_NAME, STR("m.*|"), &matchers[0], &err) == ERR_OK);
    CHECK(matcher_new(arena, MATCH_NOT_EQUAL, STR("job"), STR("b"), &matchers[1], &err) == ERR_OK);
    if (block_open(cache, KEY, 0, arena, &stats, &block, &err) != ERR_OK) return;
    if (block_metrics_select(block, &select, arena, &stats, &selection, &err) == ERR_OK)
        decode_series(&selection, arena);
    select.matcher_count = 0;
    select.min_ms = 20000;
    if (block_metrics_select(block, &select, arena, &stats, &selection, &err) == ERR_OK)
        decode_series(&selection, arena);
    (void)!block_metrics_labels(block, TENANT, STR("job"), arena, &stats, &list, &count, &err);
    (void)!block_metrics_exemplars_read(block, &select, arena, &stats, &selection, &exemplars,
                                        &counts, &err);
    (void)!block_metrics_metadata_read(block, TENANT, arena, &stats, &metadata, &count, &err);
}

static void ask_cursor(Store *store) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    const SelectedExemplar *exemplars;
    BlockCursor *cursor;
    ChunkSamples samples;
    LabelPairs labels;
    bool more = true;
    size_t count;
    Error err;

    if (block_cursor_open(store, KEY, 0, TENANT, arena, &cursor, &err) != ERR_OK) return;
    while (more &&
           block_cursor_next(cursor, &labels, &samples, &exemplars, &count, &more, &err) == ERR_OK)
        continue;
}

static void ask_everything(Str object) {
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    Buf text;
    Error err;

    buf_init(&text, MIB(1));
    (void)!block_inspect(object, &text, &err);
    buf_done(&text);
    CHECK(store_put(store, KEY, object, NULL, &err) == ERR_OK);
    ask_reader(store);
    ask_cursor(store);
}

/* ---------- an object of given sections ---------- */

static void put_pages(ContainerWriter *w, Reader *r) {
    uint64_t offset = container_offset(w);
    uint32_t stored;
    Error err;

    for (int i = 0; i < PAGES; i++)
        CHECK(container_page(w, reader_prefixed(r), 1, &stored, &err) == ERR_OK);
    CHECK(container_section(w, SECTION_METRICS_DATA, 1, offset, 0, &err) == ERR_OK);
}

/* The chunk index says how long the stored pages are, which compression may have changed: lengths
 * are part of the input and right in the seeds, whose pages are too small to be compressed. */
static void make_object(Str sections, Arena *arena, Buf *out) {
    ContainerWriter *w = container_writer_new(arena, block_sink_buf(out), 0);
    BlockPart part = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    Reader r = reader_of(sections);
    BlockSummary summary;
    Error err;

    part.series = reader_u8(&r);
    part.items = reader_u8(&r);
    CHECK(w != NULL && container_part_begin(w, TENANT, SIGNAL_METRICS, &err) == ERR_OK);
    put_pages(w, &r);
    for (size_t i = 0; i < ARRAY_LEN(BLOBS); i++)
        CHECK(container_blob(w, BLOBS[i], 1, reader_prefixed(&r), 1, &err) == ERR_OK);
    CHECK(container_part_end(w, &part, &err) == ERR_OK);
    CHECK(container_finish(w, &summary, &err) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str bytes = str_from((Str){(const char *)data, size}, 1);
    Buf object;

    if (size < 1 || size > MIB(1)) return 0;
    if (data[0] % 2 == 0) {
        ask_everything(bytes);
        return 0;
    }
    buf_init(&object, 0);
    make_object(bytes, arena, &object);
    ask_everything(buf_str(&object));
    buf_done(&object);
    return 0;
}

/* ---------- seeds ---------- */

static void write_series(BlockWriter *w, int number, Arena *arena) {
    LabelPair pairs[3] = {{LABEL_NAME, str_format(arena, "m%d", number / 2)},
                          {STR("instance"), str_format(arena, "host-%d", number % 2)},
                          {STR("job"), STR("a")}};
    int64_t times[5] = {0, 15000, 30000, 45001, 60000};
    double values[5] = {1, 2.5, 2.5, 7, number};
    NativeHistogram histogram = {.schema = 1, .sum = 3};
    const NativeHistogram *list[1] = {&histogram};
    ChunkSamples samples = {.times = times, .values = values, .count = number == 2 ? 0 : 5};
    SelectedExemplar exemplar = {.time_ms = 20000, .value = 0.5, .labels = STR("trace")};
    Error err;

    if (number >= 2) {
        samples.histograms = list;
        samples.histogram_times = times + 1;
        samples.histogram_count = 1;
    }
    CHECK(block_metrics_series(w, (LabelPairs){pairs, number == 3 ? 2 : 3}, &samples, &err) ==
          ERR_OK);
    if (number == 1) CHECK(block_metrics_exemplars(w, &exemplar, 1, &err) == ERR_OK);
}

static void example_object(Arena *arena, Buf *out) {
    BlockWriter *w = block_writer_new(arena, block_sink_buf(out), 0);
    MetadataItem metadata = {STR("m0"), STR("help"), STR("s"), METRIC_GAUGE};
    BlockSummary summary;
    Error err;

    CHECK(w != NULL && block_metrics_begin(w, TENANT, &err) == ERR_OK);
    for (int i = 0; i < 4; i++) write_series(w, i, arena);
    CHECK(block_metrics_metadata(w, &metadata, 1, &err) == ERR_OK);
    CHECK(block_metrics_end(w, &err) == ERR_OK);
    CHECK(block_writer_finish(w, &summary, &err) == ERR_OK);
}

static void put_prefixed(Buf *out, Str s) {
    buf_append_varint(out, s.len);
    buf_append_str(out, s);
}

/* A seed that is refused at the door would be no seed. */
static void check_good(Str object) {
    Buf text;
    Error err;

    buf_init(&text, 0);
    if (block_inspect(object, &text, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    buf_done(&text);
}

/* The example taken apart again. */
static void put_sections(Str object, Arena *arena, Buf *out) {
    ContainerTail tail;
    Container container;
    const ContainerPart *part;
    const Section *data;
    Str raw, left;
    Error err;

    CHECK(container_tail_parse(str_from(object, object.len - CONTAINER_TAIL_BYTES), object.len,
                               &tail, &err) == ERR_OK);
    CHECK(container_footer_parse(str_slice(object, tail.footer_offset, tail.footer_stored), &tail,
                                 arena, &container, &err) == ERR_OK);
    part = container_find_part(&container, TENANT, SIGNAL_METRICS);
    buf_append_byte(out, (char)part->part.series);
    buf_append_byte(out, (char)part->part.items);
    data = container_find_section(part, SECTION_METRICS_DATA);
    left = str_slice(object, data->offset, data->length);
    for (int i = 0; i < PAGES; i++) {
        size_t stored;

        CHECK(page_decode(left, arena, &raw, &stored, &err) == ERR_OK);
        put_prefixed(out, raw);
        left = str_from(left, stored);
    }
    for (size_t i = 0; i < ARRAY_LEN(BLOBS); i++) {
        const Section *section = container_find_section(part, BLOBS[i]);

        CHECK(section != NULL);
        CHECK(blob_decode(str_slice(object, section->offset, section->length), section, arena, &raw,
                          &err) == ERR_OK);
        put_prefixed(out, raw);
    }
}

bool fuzz_seed(unsigned n, Buf *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Buf object;

    if (n > 1) return false;
    buf_init(&object, 0);
    example_object(arena, &object);
    check_good(buf_str(&object));
    buf_append_byte(out, (char)n);
    if (n == 0) {
        buf_append_str(out, buf_str(&object));
    } else {
        put_sections(buf_str(&object), arena, out);
        buf_clear(&object);
        make_object(str_from(buf_str(out), 1), arena, &object);
        check_good(buf_str(&object));
    }
    buf_done(&object);
    return true;
}
