/*
 * span_reader.c: reading of traces in whole objects.
 *
 * The first byte of an input chooses: 0, the rest is an object; 1, the rest is what the sections of
 * one hold, each behind a varint length, and an object with right checksums is made of them. Then
 * everything that can be asked of traces in an object is asked. Whatever the answers, nothing may
 * be read that isn't there.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/block/span_ids.h"
#include "common/block/span_index.h"
#include "common/block/span_page.h"
#include "common/block/span_values.h"
#include "compactor/merge/merge.h"
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
enum { MEMORY_MAX = 64 << 20, TRACES = 12 };
enum { PAGES = 2, ID_PAGES = 1 }; /* before the blobs */

/* In the order that they are read from the input. */
static const SectionKind BLOBS[] = {SECTION_TRACES_DIRECTORIES, SECTION_TRACES_VALUES,
                                    SECTION_TRACES_PAGES, SECTION_TRACES_FILTER};

static TraceId trace_of(unsigned n) {
    return (TraceId){{(uint8_t)n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
}

/* ---------- what is asked ---------- */

static bool has_e(const void *context, Str text) {
    (void)context;
    return text.len > 0 && memchr(text.ptr, 'e', text.len) != NULL;
}

static void read_pages(const SpansSelection *selection, Arena *arena, BlockStats *stats) {
    const AttributeKey key = {SCOPE_SPAN, STR_INIT("number")};
    const SpanNeed some = {.columns = SPAN_NAMES | SPAN_STARTS, .keys = &key, .key_count = 1};
    const SpanNeed all = {.columns = SPAN_ALL, .all_keys = true};
    Error err;

    for (size_t i = 0; i < selection->page_count; i++) {
        const SpanPage *page = &selection->pages[i];
        SpanTable table;

        if (i % 2 == 0) (void)!span_pages_fetch(selection, &page, 1, &some, arena, stats, &err);
        if (span_page_read(selection, page, &some, arena, &table, &err) != ERR_OK) continue;
        CHECK(table.row_count == page->spans && table.trace_count == page->traces);
        (void)!span_page_more(selection, page, &all, arena, &table, &err);
    }
}

static void select_some(const Block *block, Arena *arena, BlockStats *stats) {
    const SpanCondition conditions[] = {
        {.intrinsic = INTRINSIC_NAME, .text = has_e},
        {.key = STR_INIT("number"), .bounded = true, .integer_max = 3},
        {.scope = SCOPE_SPAN, .key = STR_INIT("share"), .bounded = true, .number_max = 0.5},
        {.scope = SCOPE_RESOURCE, .key = STR_INIT("host"), .text = has_e},
    };
    SpanConditions groups[] = {{conditions, 2}, {conditions + 2, 1}, {conditions + 3, 1}};
    SpansSelection selection;
    Error err;

    for (size_t n = 0; n <= ARRAY_LEN(groups); n++) {
        SpanSelect select = {TENANT, n == 1 ? 5 : INT64_MIN, INT64_MAX, groups, n};

        if (block_spans_select(block, &select, arena, stats, &selection, &err) == ERR_OK && n < 2)
            read_pages(&selection, arena, stats);
    }
}

static void ask_names(const Block *block, Arena *arena, BlockStats *stats) {
    SpanTagValue *values;
    size_t count;
    SpanTag *tags;
    bool complete;
    Error err;

    if (block_spans_tags(block, TENANT, 5, INT64_MAX, arena, stats, &tags, &count, &err) == ERR_OK)
        for (size_t i = 0; i < count; i++) CHECK(tags[i].scope < 16);
    (void)!block_spans_tag_values(block, TENANT, INTRINSIC_NAME, 0, STR(""), INT64_MIN, INT64_MAX,
                                  arena, stats, &values, &count, &complete, &err);
    (void)!block_spans_tag_values(block, TENANT, INTRINSIC_NONE, 0, STR("number"), 5, INT64_MAX,
                                  arena, stats, &values, &count, &complete, &err);
}

static void ask_reader(Store *store) {
    CLEANUP(block_cache_free) BlockCache *cache = block_cache_new(store, NULL);
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    SpansSelection selection;
    SpanTracePlace *places;
    BlockStats stats = {0};
    const Block *block;
    size_t count;
    Error err;

    if (block_open(cache, KEY, 0, arena, &stats, &block, &err) != ERR_OK) return;
    for (unsigned n = 0; n < TRACES + 2; n += 3) {
        TraceId id = trace_of(n);

        if (block_spans_find(block, TENANT, &id, arena, &stats, &selection, &err) == ERR_OK &&
            n == 0)
            read_pages(&selection, arena, &stats);
    }
    select_some(block, arena, &stats);
    ask_names(block, arena, &stats);
    (void)!block_spans_places(block, TENANT, arena, &stats, &places, &count, &err);
}

/* Goes through the object as a merge does, and writes what can be passed on. */
static void ask_cursor(Store *store) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    const SpanTracePlace *places;
    const SpanWholePage *whole;
    const SpanPage *pages;
    BlockSummary summary;
    BlockWriter *writer;
    SpanCursor *cursor;
    size_t count;
    Error err;
    Buf object;

    if (span_cursor_open(store, KEY, 0, TENANT, 4096, arena, &cursor, &err) != ERR_OK) return;
    while (span_cursor_places(cursor, &places, &count, &err) == ERR_OK && count > 0) continue;
    buf_init(&object, MIB(8));
    writer = block_writer_new(arena, block_sink_buf(&object), 0);
    CHECK(writer != NULL && block_spans_begin(writer, TENANT, &err) == ERR_OK);
    pages = span_cursor_pages(cursor, &count);
    for (size_t i = 0; i < count && i < 100; i++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(MEMORY_MAX, NULL);
        SpanTable table;

        if (i % 2 == 0 && span_cursor_page(cursor, pages[i].page, &whole, &err) == ERR_OK)
            (void)!block_spans_page(writer, whole, &err);
        if (i % 2 == 1 && span_cursor_table(cursor, pages[i].page, scratch, &table, &err) == ERR_OK)
            (void)!block_spans_table(writer, &table, &err);
    }
    if (block_spans_end(writer, &err) == ERR_OK) (void)!block_writer_finish(writer, &summary, &err);
    buf_done(&object);
}

/* The object merged with itself: all of its traces lie in several places. */
static void ask_merge(Store *store, uint64_t size) {
    CLEANUP(block_cache_free) BlockCache *cache = block_cache_new(store, NULL);
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    const ManifestEntry source = {.key = KEY, .size = size}, *sources[2] = {&source, &source};
    const ManifestEntry *failed;
    MergeIo io = {.from = store, .cache = cache, .to = store};
    MergeJob job = {.tenant = TENANT,
                    .signal = SIGNAL_TRACES,
                    .sources = sources,
                    .source_count = 2,
                    .level = 1,
                    .keep_from_ms = INT64_MIN};
    ManifestEntry merged;
    bool empty;
    Error err;

    (void)!merge_run(&io, &job, STR("merged"), arena, &merged, &empty, &failed, &err);
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
    if (hash_str(object) % 4 == 0) ask_merge(store, object.len); /* it takes longest */
}

/* ---------- an object of given sections ---------- */

static void put_pages(ContainerWriter *w, SectionKind kind, int count, Reader *r) {
    uint64_t offset = container_offset(w);
    uint32_t stored;
    Error err;

    for (int i = 0; i < count; i++)
        CHECK(container_page(w, reader_prefixed(r), PAGE_PLAIN, &stored, &err) == ERR_OK);
    CHECK(container_section(w, kind, 1, offset, 0, &err) == ERR_OK);
}

static void make_object(Str sections, Arena *arena, Buf *out) {
    ContainerWriter *w = container_writer_new(arena, block_sink_buf(out), 0);
    BlockPart part = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    Reader r = reader_of(sections);
    BlockSummary summary;
    Error err;

    part.series = reader_u8(&r);
    part.items = reader_u8(&r);
    CHECK(w != NULL && container_part_begin(w, TENANT, SIGNAL_TRACES, &err) == ERR_OK);
    put_pages(w, SECTION_TRACES_DATA, PAGES, &r);
    put_pages(w, SECTION_TRACES_IDS, ID_PAGES, &r);
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

static SpanTable table_of(unsigned from, unsigned to, Arena *arena) {
    static const Attribute host = {
        .key = STR_INIT("host"), .type = ATTRIBUTE_STRING, .text = STR_INIT("here")};
    static const SpanOrigin origin = {.resource = {.items = &host, .count = 1},
                                      .service = STR_INIT("service")};
    Span *spans = ARENA_ARRAY(arena, Span, (to - from) * 2);
    SpanTable table;
    Error err;

    for (unsigned i = 0; i < (to - from) * 2; i++) {
        Attribute *a = ARENA_ARRAY(arena, Attribute, 3);

        a[0] = (Attribute){.key = STR("number"), .type = ATTRIBUTE_INT, .integer = i % 4};
        a[1] = (Attribute){.key = STR("share"), .type = ATTRIBUTE_DOUBLE, .number = i / 8.0};
        a[2] = (Attribute){.key = STR("ok"), .type = ATTRIBUTE_BOOL, .truth = i % 2 == 0};
        spans[i] = (Span){.trace = trace_of(from + i / 2),
                          .id = i + 1,
                          .parent = i % 2 == 0 ? 0 : i,
                          .start_ns = i,
                          .end_ns = i + 10,
                          .kind = (uint8_t)(i % 6),
                          .name = i % 3 == 0 ? STR("get") : STR("put"),
                          .attributes = {.items = a, .count = 3},
                          .origin = &origin};
    }
    CHECK(span_table_build(spans, (to - from) * 2, arena, &table, &err) == ERR_OK);
    return table;
}

static void put_prefixed(Buf *out, Str s) {
    buf_append_varint(out, s.len);
    buf_append_str(out, s);
}

/* Sections of two pages, whose directories are copied though they are small. */
static void seed_sections(Buf *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(span_page_encoder_free) SpanPageEncoder *encoder = span_page_encoder_new();
    SpanValuesBuilder *values = span_values_builder_new(arena);
    struct BuiltSpanPage built[PAGES] = {0};
    SpanTracePlace places[TRACES];
    SpanIdPage id_page = {.count = TRACES};
    Buf directories, page;
    size_t count = 0;
    Error err;

    buf_init(&directories, 0);
    buf_init(&page, 0);
    buf_append_byte(out, TRACES);
    buf_append_byte(out, 2 * TRACES);
    for (unsigned p = 0; p < PAGES; p++) {
        SpanTable table = table_of(p * TRACES / PAGES, (p + 1) * TRACES / PAGES, arena);
        SpanPageEntry *entry = &built[p].entry;

        CHECK(span_page_encode(encoder, &table, &page, &entry->directory_bytes, &err) == ERR_OK);
        CHECK(span_values_add(values, &table));
        entry->rows = table.row_count;
        entry->traces = table.trace_count;
        entry->min_ns = INT64_MAX;
        entry->max_ns = INT64_MIN;
        for (uint32_t i = 0; i < table.trace_count; i++) {
            places[count++] = (SpanTracePlace){span_trace_hash(&table.traces[i].id), p};
            entry->min_ns = MIN(entry->min_ns, table.traces[i].start_ns);
            entry->max_ns = MAX(entry->max_ns, table.traces[i].end_ns);
        }
        built[p].raw = (uint32_t)page.len;
        built[p].stored = (uint32_t)page.len + PAGE_HEAD_BYTES;
        buf_append(&directories, page.ptr, entry->directory_bytes);
        put_prefixed(out, buf_str(&page));
    }
    CHECK(span_ids_sort(places, count, arena));
    buf_clear(&page);
    span_ids_encode(places, count, &page);
    id_page.first_hash = places[0].hash;
    id_page.stored = (uint32_t)page.len + PAGE_HEAD_BYTES;
    put_prefixed(out, buf_str(&page));
    put_prefixed(out, buf_str(&directories));
    buf_clear(&page);
    CHECK(span_values_build(values, &page));
    put_prefixed(out, buf_str(&page));
    buf_clear(&page);
    span_index_build(&(SpanIndexBuilder){built, PAGES, PAGES}, &page);
    put_prefixed(out, buf_str(&page));
    buf_clear(&page);
    CHECK(span_filter_build(places, count, &id_page, 1, arena, &page, &err) == ERR_OK);
    put_prefixed(out, buf_str(&page));
    buf_done(&directories);
    buf_done(&page);
}

static void seed_object(Buf *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = table_of(0, TRACES, arena);
    BlockSummary summary;
    BlockWriter *writer;
    Error err;
    Buf object;

    buf_init(&object, 0);
    writer = block_writer_new(arena, block_sink_buf(&object), 0);
    CHECK(writer != NULL && block_spans_begin(writer, TENANT, &err) == ERR_OK);
    CHECK(block_spans_table(writer, &table, &err) == ERR_OK);
    CHECK(block_spans_end(writer, &err) == ERR_OK);
    CHECK(block_writer_finish(writer, &summary, &err) == ERR_OK);
    buf_append_str(out, buf_str(&object));
    buf_done(&object);
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

bool fuzz_seed(unsigned n, Buf *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Buf object;

    if (n > 1) return false;
    buf_append_byte(out, (char)n);
    if (n == 0) {
        seed_object(out);
        check_good(str_from(buf_str(out), 1));
        return true;
    }
    seed_sections(out);
    buf_init(&object, 0);
    make_object(str_from(buf_str(out), 1), arena, &object);
    check_good(buf_str(&object));
    buf_done(&object);
    return true;
}
