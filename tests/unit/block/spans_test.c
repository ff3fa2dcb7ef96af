/* What spans.h promises of traces in blocks: every span comes back, and what is fetched is little.
 */
#include "tests/unit/unit.h"

#include "common/block/span_table.h"
#include "tests/unit/block/span_traffic.h"

static const Str KEY = STR_INIT("block");

typedef struct Opened {
    StoreDriver *faulty;
    Store *store;
    BlockCache *cache;
    Arena *arena;
    BlockStats stats;
    const Block *block;
} Opened;

static void open_object(Opened *o, Str object) {
    Error err = {0};

    *o = (Opened){.arena = arena_new(0, NULL)};
    o->faulty = store_driver_fault(store_driver_memory(), 0, FAULT_NONE);
    o->store = store_new(o->faulty);
    assert_ok(store_put(o->store, KEY, object, NULL, &err), &err);
    o->cache = block_cache_new(o->store, NULL);
    assert_ok(block_open(o->cache, KEY, object.len, o->arena, &o->stats, &o->block, &err), &err);
}

static void close_object(Opened *o) {
    arena_free(o->arena);
    block_cache_free(o->cache);
    store_free(o->store);
}

static uint64_t gets_since(Opened *o, uint64_t *before) {
    uint64_t now = atomic_load(&o->stats.gets), more = now - *before;

    *before = now;
    return more;
}

static const SpanNeed ALL = {.columns = SPAN_ALL, .all_keys = true};

static SpansSelection select_where(Opened *o, int64_t min_ns, int64_t max_ns,
                                   const SpanConditions *any, size_t any_count) {
    SpanSelect select = {STR("t"), min_ns, max_ns, any, any_count};
    SpansSelection selection;
    Error err;

    assert_ok(block_spans_select(o->block, &select, o->arena, &o->stats, &selection, &err), &err);
    for (size_t i = 1; i < selection.page_count; i++)
        assert_true(selection.pages[i - 1].min_ns <= selection.pages[i].min_ns);
    return selection;
}

static SpanTable read_page(Opened *o, const SpansSelection *selection, size_t page,
                           const SpanNeed *need) {
    SpanTable table;
    Error err;

    assert_ok(span_page_read(selection, &selection->pages[page], need, o->arena, &table, &err),
              &err);
    assert_int_equal(table.row_count, selection->pages[page].spans);
    assert_int_equal(table.trace_count, selection->pages[page].traces);
    return table;
}

/* All pages as one table. */
static SpanTable read_all(Opened *o, const SpansSelection *selection) {
    SpanTable *tables = ARENA_ARRAY(o->arena, SpanTable, selection->page_count + 1), joined;
    SpanTableRange *ranges = ARENA_ARRAY(o->arena, SpanTableRange, selection->page_count + 1);
    Error err;

    for (size_t i = 0; i < selection->page_count; i++) {
        tables[i] = read_page(o, selection, i, &ALL);
        ranges[i] = (SpanTableRange){&tables[i], 0, tables[i].trace_count};
    }
    assert_ok(span_table_join(ranges, selection->page_count, false, o->arena, &joined, &err), &err);
    return joined;
}

/* ---------- writing ---------- */

static void every_span_comes_back(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf object;
        SpansSelection selection;
        SpansModel model;
        SpanTable table;
        Opened o;
        Error err;

        buf_init(&object, 0);
        spans_model_make(&model, arena, seed, 700, 60);
        assert_ok(span_table_build(model.spans, model.count, arena, &table, &err), &err);
        traffic_object(&table, 1, &object);
        open_object(&o, buf_str(&object));
        selection = select_where(&o, INT64_MIN, INT64_MAX, NULL, 0);
        assert_int_equal(selection.page_count, 1);
        table = read_all(&o, &selection);
        assert_table(&table);
        assert_table_is_model(&model, &table);
        close_object(&o);
    }
}

static void tables_of_any_size_make_pages_of_one(void **state) {
    static const uint64_t steps[] = {7, 333, 5000};
    Buf objects[ARRAY_LEN(steps)];

    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        SpanTable tables[800];
        SpansSelection selection;
        size_t count = 0, traces = 0;
        Opened o;

        buf_init(&objects[s], 0);
        for (uint64_t n = 0; n < 5000; n += steps[s]) {
            Traffic t = {n, MIN(n + steps[s], (uint64_t)5000), 0, 5};

            tables[count++] = traffic_table(arena, &t);
        }
        traffic_object(tables, count, &objects[s]);
        open_object(&o, buf_str(&objects[s]));
        selection = select_where(&o, INT64_MIN, INT64_MAX, NULL, 0);
        assert_in_range(selection.page_count, 2, 4);
        for (size_t i = 0; i < selection.page_count; i++) {
            if (i + 1 < selection.page_count)
                assert_in_range(selection.pages[i].spans, 8192, 12288 + 5);
            traces += selection.pages[i].traces;
        }
        assert_int_equal(traces, 5000);
        assert_int_equal(block_parts(o.block, &count)->series, 5000);
        assert_int_equal(block_parts(o.block, &count)->items, 25000);
        assert_int_equal(block_parts(o.block, &count)->min_ms, TRAFFIC_START / 1000000);
        close_object(&o);
        buf_done(&objects[s]);
    }
}

static void the_same_tables_give_the_same_bytes(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf one;
    CLEANUP_IN_PLACE(buf_done) Buf other;
    Traffic t = {0, 3000, 0, 4};
    SpanTable table = traffic_table(arena, &t);

    (void)state;
    buf_init(&one, 0);
    buf_init(&other, 0);
    traffic_object(&table, 1, &one);
    traffic_object(&table, 1, &other);
    assert_true(str_equal(buf_str(&one), buf_str(&other)));
}

/* Spans with nothing in them, of one trace. */
static SpanTable large_trace(Arena *arena, uint32_t count) {
    static const SpanOrigin nowhere = {0};
    Span *spans = ARENA_ARRAY(arena, Span, count);
    SpanTable table;
    Error err;

    for (uint32_t i = 0; i < count; i++)
        spans[i] = (Span){.trace = traffic_id(1000000),
                          .id = i + 1,
                          .parent = i / 2,
                          .start_ns = TRAFFIC_START + i,
                          .end_ns = TRAFFIC_START + i + 1,
                          .origin = &nowhere};
    assert_ok(span_table_build(spans, count, arena, &table, &err), &err);
    return table;
}

static void a_trace_larger_than_a_page_is_on_two(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf object;
    Traffic t = {0, 100, 0, 3};
    SpanTable tables[2] = {traffic_table(arena, &t), large_trace(arena, (1 << 18) + 1000)};
    TraceId id = traffic_id(1000000);
    SpansSelection selection;
    size_t spans = 0;
    Opened o;
    Error err;

    (void)state;
    buf_init(&object, 0);
    traffic_object(tables, 2, &object);
    open_object(&o, buf_str(&object));
    assert_ok(block_spans_find(o.block, STR("t"), &id, o.arena, &o.stats, &selection, &err), &err);
    assert_int_equal(selection.page_count, 2);
    for (size_t i = 0; i < 2; i++) {
        SpanTable table = read_page(&o, &selection, i, &ALL);

        for (uint32_t k = 0; k < table.trace_count; k++) {
            if (trace_id_equal(&table.traces[k].id, &id)) spans += table.traces[k].count;
        }
    }
    assert_int_equal(spans, (1 << 18) + 1000);
    close_object(&o);
}

/* ---------- by id ---------- */

/* A block whose index is more than what comes along with the footer. */
enum { LARGE_TRACES = 60000 };

static void large_object(Buf *object) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Traffic t = {0, LARGE_TRACES, 0, 1};
    SpanTable table = traffic_table(arena, &t);

    buf_init(object, 0);
    traffic_object(&table, 1, object);
}

static bool has_trace(Opened *o, const SpansSelection *selection, const TraceId *id) {
    SpanNeed ids = {.columns = SPAN_IDS};
    bool found = false;

    for (size_t i = 0; i < selection->page_count; i++) {
        SpanTable table = read_page(o, selection, i, &ids);

        for (uint32_t k = 0; k < table.trace_count; k++)
            found |= trace_id_equal(&table.traces[k].id, id);
    }
    return found;
}

static void a_trace_by_id_costs_two_gets_and_none_where_it_is_not(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf object;
    SpansSelection selection;
    uint64_t before = 0;
    TraceId id;
    Opened o;
    Error err;

    (void)state;
    large_object(&object);
    open_object(&o, buf_str(&object));
    assert_int_equal(gets_since(&o, &before), 1);
    /* What tells that it isn't here is fetched once, and tells it of all others. */
    for (uint64_t n = 0; n < 50; n++) {
        id = traffic_id(1 << 20 | n);
        assert_ok(block_spans_find(o.block, STR("t"), &id, o.arena, &o.stats, &selection, &err),
                  &err);
        assert_int_equal(selection.page_count, 0);
        if (n == 0) assert_in_range(gets_since(&o, &before), 0, 1);
    }
    assert_int_equal(gets_since(&o, &before), 0);
    for (uint64_t n = 7; n < LARGE_TRACES; n += 5000) {
        id = traffic_id(n);
        assert_ok(block_spans_find(o.block, STR("t"), &id, o.arena, &o.stats, &selection, &err),
                  &err);
        assert_int_equal(selection.page_count, 1);
        assert_true(has_trace(&o, &selection, &id));
        assert_in_range(gets_since(&o, &before), 0, 2);
        assert_true(has_trace(&o, &selection, &id));
        assert_int_equal(gets_since(&o, &before), 0);
    }
    assert_ok(block_spans_find(o.block, STR("another"), &id, o.arena, &o.stats, &selection, &err),
              &err);
    assert_int_equal(selection.page_count, 0);
    close_object(&o);
}

static void what_a_look_up_needs_comes_with_the_footer_when_it_is_asked_for(void **state) {
    static const uint64_t counts[] = {1, 100, 5000, 60000};

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf object;
        Traffic t = {0, counts[c], 0, 1};
        SpanTable table = traffic_table(arena, &t);
        const BlockPart *parts;
        size_t part_count;
        uint64_t before = 0;
        Opened o;
        Error err;

        buf_init(&object, 0);
        traffic_object(&table, 1, &object);
        open_object(&o, buf_str(&object));
        parts = block_parts(o.block, &part_count);
        (void)gets_since(&o, &before);
        block_cache_forget(o.cache, KEY);
        assert_ok(block_open_ahead(o.cache, KEY, object.len, block_traces_ahead(parts, part_count),
                                   o.arena, &o.stats, &o.block, &err),
                  &err);
        assert_int_equal(gets_since(&o, &before), 1);
        for (uint64_t n = 0; n < 100; n++) {
            TraceId id = traffic_id(1 << 20 | n);
            SpansSelection selection;

            assert_ok(block_spans_find(o.block, STR("t"), &id, o.arena, &o.stats, &selection, &err),
                      &err);
        }
        assert_int_equal(gets_since(&o, &before), 0);
        close_object(&o);
    }
}

static void a_small_block_comes_with_its_footer(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf object;
    Traffic t = {0, 30, 0, 5};
    SpanTable table = traffic_table(arena, &t);
    SpansSelection selection;
    uint64_t before = 0;
    Opened o;
    Error err;

    (void)state;
    buf_init(&object, 0);
    traffic_object(&table, 1, &object);
    open_object(&o, buf_str(&object));
    for (uint64_t n = 0; n < 40; n++) {
        TraceId id = traffic_id(n);

        assert_ok(block_spans_find(o.block, STR("t"), &id, o.arena, &o.stats, &selection, &err),
                  &err);
        assert_int_equal(selection.page_count, n < 30);
        if (n < 30) assert_true(has_trace(&o, &selection, &id));
    }
    selection = select_where(&o, INT64_MIN, INT64_MAX, NULL, 0);
    (void)read_all(&o, &selection);
    assert_int_equal(gets_since(&o, &before), 1);
    close_object(&o);
}

static void places_of_all_traces_come_in_one_get(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf object;
    SpanTracePlace *places;
    uint64_t before = 0, found = 0;
    size_t count;
    Opened o;
    Error err;

    (void)state;
    large_object(&object);
    open_object(&o, buf_str(&object));
    (void)gets_since(&o, &before);
    assert_ok(block_spans_places(o.block, STR("t"), o.arena, &o.stats, &places, &count, &err),
              &err);
    assert_in_range(gets_since(&o, &before), 1, 2);
    assert_int_equal(count, LARGE_TRACES);
    for (size_t i = 1; i < count; i++) assert_true(places[i - 1].hash <= places[i].hash);
    for (uint64_t n = 0; n < LARGE_TRACES; n += 777) {
        TraceId id = traffic_id(n);

        for (size_t i = 0; i < count; i++) found += places[i].hash == span_trace_hash(&id);
    }
    assert_int_equal(found, (LARGE_TRACES + 776) / 777);
    close_object(&o);
}

/* ---------- selecting ---------- */

static bool text_is(const void *context, Str text) {
    return str_equal(text, *(const Str *)context);
}

static void pages_are_picked_by_time_and_by_what_spans_have(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf object;
    Traffic t = {0, 20000, 0, 5};
    SpanTable table = traffic_table(arena, &t);
    Str place = STR("place-7"), nowhere = STR("nowhere"), service = STR("service-3");
    SpanCondition conditions[] = {
        {.scope = SCOPE_SPAN, .key = STR("place"), .text = text_is, .context = &place},
        {.intrinsic = INTRINSIC_SERVICE, .text = text_is, .context = &service},
        {.scope = SCOPE_SPAN, .key = STR("place"), .text = text_is, .context = &nowhere},
    };
    SpanCondition number = {.scope = SCOPE_SPAN,
                            .key = STR("number"),
                            .type = ATTRIBUTE_INT,
                            .bounded = true,
                            .integer_min = 15000,
                            .integer_max = 15000};
    SpanConditions groups[] = {{conditions, 2}, {&conditions[2], 1}, {&number, 1}};
    SpansSelection all, some;
    size_t pages;
    Opened o;

    (void)state;
    buf_init(&object, 0);
    traffic_object(&table, 1, &object);
    open_object(&o, buf_str(&object));
    all = select_where(&o, INT64_MIN, INT64_MAX, NULL, 0);
    pages = all.page_count;
    assert_in_range(pages, 8, 13);
    some = select_where(&o, INT64_MIN, TRAFFIC_START - 1, NULL, 0);
    assert_int_equal(some.page_count, 0);
    some = select_where(&o, TRAFFIC_START + 5000 * TRAFFIC_STEP,
                        TRAFFIC_START + 5000 * TRAFFIC_STEP, NULL, 0);
    assert_int_equal(some.page_count, 1);
    some = select_where(&o, INT64_MIN, INT64_MAX, groups, 1);
    assert_in_range(some.page_count, 1, 2);
    some = select_where(&o, INT64_MIN, INT64_MAX, &groups[1], 1);
    assert_int_equal(some.page_count, 0);
    some = select_where(&o, INT64_MIN, INT64_MAX, &groups[2], 1);
    assert_int_equal(some.page_count, 1);
    assert_true(some.pages[0].min_ns <= TRAFFIC_START + 15000 * TRAFFIC_STEP &&
                some.pages[0].max_ns >= TRAFFIC_START + 15000 * TRAFFIC_STEP);
    some = select_where(&o, INT64_MIN, INT64_MAX, groups, 3);
    assert_in_range(some.page_count, 2, 3);
    close_object(&o);
}

static void a_few_columns_are_fetched_without_the_others(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf object;
    SpanNeed names = {.columns = SPAN_NAMES}, more = {.columns = SPAN_STARTS | SPAN_DURATIONS};
    const SpanPage *pages[64];
    SpansSelection selection;
    uint64_t before = 0, bytes;
    Opened o;
    Error err;

    (void)state;
    large_object(&object);
    open_object(&o, buf_str(&object));
    selection = select_where(&o, INT64_MIN, INT64_MAX, NULL, 0);
    for (size_t i = 0; i < selection.page_count; i++) pages[i] = &selection.pages[i];
    (void)gets_since(&o, &before);
    bytes = atomic_load(&o.stats.get_bytes);
    assert_ok(
        span_pages_fetch(&selection, pages, selection.page_count, &names, o.arena, &o.stats, &err),
        &err);
    assert_in_range(gets_since(&o, &before), 1, selection.page_count);
    assert_true(atomic_load(&o.stats.get_bytes) - bytes < object.len / 2);
    for (size_t i = 0; i < selection.page_count; i++) {
        SpanTable table = read_page(&o, &selection, i, &names);

        assert_non_null(table.names.codes);
        assert_null(table.starts_ns);
        assert_int_equal(gets_since(&o, &before), 0);
        assert_ok(span_page_more(&selection, &selection.pages[i], &more, o.arena, &table, &err),
                  &err);
        assert_non_null(table.starts_ns);
        (void)gets_since(&o, &before);
    }
    close_object(&o);
}

/* ---------- names and values ---------- */

static bool has_tag(const SpanTag *tags, size_t count, AttributeScope scope, Str key) {
    for (size_t i = 0; i < count; i++) {
        if (tags[i].scope == scope && str_equal(tags[i].key, key)) return true;
    }
    return false;
}

static void names_and_values_come_from_the_index(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf object;
    Traffic t = {0, 5000, 0, 5};
    SpanTable table = traffic_table(arena, &t);
    uint64_t before = 0;
    SpanTagValue *values;
    size_t count;
    SpanTag *tags;
    bool complete;
    Opened o;
    Error err;

    (void)state;
    buf_init(&object, 0);
    traffic_object(&table, 1, &object);
    open_object(&o, buf_str(&object));
    assert_ok(block_spans_tags(o.block, STR("t"), INT64_MIN, INT64_MAX, o.arena, &o.stats, &tags,
                               &count, &err),
              &err);
    assert_int_equal(count, 6);
    assert_true(has_tag(tags, count, SCOPE_SPAN, STR("http.status_code")));
    assert_true(has_tag(tags, count, SCOPE_RESOURCE, STR("service.name")));
    assert_ok(block_spans_tag_values(o.block, STR("t"), INTRINSIC_NONE, 0, STR("http.status_code"),
                                     INT64_MIN, INT64_MAX, o.arena, &o.stats, &values, &count,
                                     &complete, &err),
              &err);
    assert_true(complete);
    assert_int_equal(count, 2);
    assert_int_equal(values[0].type, ATTRIBUTE_INT);
    assert_int_equal(values[0].integer, 200);
    assert_int_equal(values[1].integer, 500);
    assert_ok(block_spans_tag_values(o.block, STR("t"), INTRINSIC_NONE, SCOPE_SPAN, STR("place"),
                                     TRAFFIC_START, TRAFFIC_START + TRAFFIC_STEP, o.arena, &o.stats,
                                     &values, &count, &complete, &err),
              &err);
    assert_true(complete);
    assert_in_range(count, 2, 4); /* those of the first page */
    assert_ok(block_spans_tag_values(o.block, STR("t"), INTRINSIC_STATUS_MESSAGE, 0, STR(""),
                                     INT64_MIN, INT64_MAX, o.arena, &o.stats, &values, &count,
                                     &complete, &err),
              &err);
    /* Most spans have none, which is one, too. */
    assert_true(complete && count == 2 && values[0].text.len == 0);
    assert_true(str_equal(values[1].text, STR("it broke")));
    assert_ok(block_spans_tag_values(o.block, STR("t"), INTRINSIC_SERVICE, 0, STR(""), INT64_MIN,
                                     INT64_MAX, o.arena, &o.stats, &values, &count, &complete,
                                     &err),
              &err);
    assert_true(complete && count == TRAFFIC_SERVICES);
    assert_ok(block_spans_tag_values(o.block, STR("t"), INTRINSIC_NONE, 0, STR("user"), INT64_MIN,
                                     INT64_MAX, o.arena, &o.stats, &values, &count, &complete,
                                     &err),
              &err);
    assert_false(complete);
    assert_ok(block_spans_tag_values(o.block, STR("t"), INTRINSIC_NONE, 0, STR("user"), INT64_MIN,
                                     TRAFFIC_START - 2000000, o.arena, &o.stats, &values, &count,
                                     &complete, &err),
              &err);
    assert_true(complete && count == 0);
    assert_in_range(gets_since(&o, &before), 1, 2);
    close_object(&o);
}

/* ---------- looking at all of it ---------- */

static void an_inspection_checks_every_page(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf object;
    CLEANUP_IN_PLACE(buf_done) Buf out;
    Error err;

    (void)state;
    large_object(&object);
    buf_init(&out, 0);
    assert_ok(block_inspect(buf_str(&object), &out, &err), &err);
    assert_true(str_contains(buf_str(&out), STR("tenant t, traces: 60000 series, 60000 items")));
    assert_true(str_contains(buf_str(&out), STR("page 0")));
    for (size_t at = 8; at < object.len; at += 1 + object.len / 50) {
        buf_clear(&out);
        object.ptr[at] = (char)(object.ptr[at] ^ 0x20);
        assert_int_not_equal(block_inspect(buf_str(&object), &out, &err), ERR_OK);
        object.ptr[at] = (char)(object.ptr[at] ^ 0x20);
    }
}

/* ---------- what is broken ---------- */

/* Everything a reader can be asked; the first error. */
static ErrCode ask_all(Store *store, uint64_t size, Budget *budget, Error *err) {
    CLEANUP(block_cache_free) BlockCache *cache = block_cache_new(store, budget);
    CLEANUP(arena_free) Arena *arena = arena_new(0, budget);
    Str place = STR("place-0");
    SpanCondition condition = {
        .scope = SCOPE_SPAN, .key = STR("place"), .text = text_is, .context = &place};
    SpanConditions group = {&condition, 1};
    SpanSelect select = {STR("t"), INT64_MIN, INT64_MAX, &group, 1};
    TraceId id = traffic_id(3);
    SpansSelection selection;
    BlockStats stats = {0};
    const Block *block;
    SpanTagValue *values;
    size_t count;
    SpanTag *tags;
    bool complete;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "no memory");
    TRY(block_open(cache, KEY, size, arena, &stats, &block, err));
    TRY(block_spans_find(block, STR("t"), &id, arena, &stats, &selection, err));
    assert_int_equal(selection.page_count, 1);
    TRY(block_spans_select(block, &select, arena, &stats, &selection, err));
    assert_true(selection.page_count > 0);
    for (size_t i = 0; i < selection.page_count; i++) {
        const SpanPage *page = &selection.pages[i];
        SpanNeed names = {.columns = SPAN_NAMES};
        SpanTable table;

        TRY(span_pages_fetch(&selection, &page, 1, &names, arena, &stats, err));
        TRY(span_page_read(&selection, page, &names, arena, &table, err));
        TRY(span_page_more(&selection, page, &ALL, arena, &table, err));
        assert_int_equal(table.row_count, page->spans);
    }
    TRY(block_spans_tags(block, STR("t"), INT64_MIN, INT64_MAX, arena, &stats, &tags, &count, err));
    return block_spans_tag_values(block, STR("t"), INTRINSIC_NAME, 0, STR(""), INT64_MIN, INT64_MAX,
                                  arena, &stats, &values, &count, &complete, err);
}

static void small_object(Buf *object) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Traffic t = {0, 6000, 0, 2}, some = {6000, 6010, 0, 2};
    SpanTable tables[2] = {traffic_table(arena, &t), traffic_table(arena, &some)};

    buf_init(object, 0);
    traffic_object(tables, 2, object);
}

static void a_failing_or_lying_store_gives_an_error(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_TRUNCATE, FAULT_WRONG_BYTES};
    CLEANUP_IN_PLACE(buf_done) Buf object;
    Error err = {0};

    (void)state;
    small_object(&object);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        ErrCode code = ERR_INTERNAL;

        for (uint64_t call = 1; call < 100 && code != ERR_OK; call++) {
            StoreDriver *faulty = store_driver_fault(store_driver_memory(), 0, FAULT_NONE);
            CLEANUP(store_free) Store *store = store_new(faulty);

            assert_ok(store_put(store, KEY, buf_str(&object), NULL, &err), &err);
            store_fault_arm(faulty, &(FaultPlan){.call = call, .kind = kinds[k]});
            code = ask_all(store, object.len, NULL, &err);
            if (code != ERR_OK && kinds[k] != FAULT_BEFORE) assert_int_equal(code, ERR_CORRUPT);
        }
        assert_int_equal(code, ERR_OK);
    }
}

static void flipped_bits_give_an_error_or_do_no_harm(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf object;
    Error err = {0};

    (void)state;
    small_object(&object);
    for (size_t at = 8; at < object.len; at += 1 + object.len / 700) {
        CLEANUP(store_free) Store *store = store_new(store_driver_memory());

        object.ptr[at] = (char)(object.ptr[at] ^ 0x10);
        assert_ok(store_put(store, KEY, buf_str(&object), NULL, &err), &err);
        if (ask_all(store, object.len, NULL, &err) != ERR_OK)
            assert_true(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
        object.ptr[at] = (char)(object.ptr[at] ^ 0x10);
    }
}

static void too_little_memory_is_an_error(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf object;
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    ErrCode code = ERR_LIMIT;
    Error err = {0};

    (void)state;
    small_object(&object);
    assert_ok(store_put(store, KEY, buf_str(&object), NULL, &err), &err);
    for (size_t bytes = KIB(4); code != ERR_OK; bytes += bytes / 40) {
        Budget budget;

        budget_init(&budget, "a query", bytes, NULL);
        code = ask_all(store, object.len, &budget, &err);
        if (code != ERR_OK) assert_int_equal(code, ERR_LIMIT);
        assert_int_equal(budget_used(&budget), 0);
        assert_true(bytes < MIB(256));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_span_comes_back),
        cmocka_unit_test(tables_of_any_size_make_pages_of_one),
        cmocka_unit_test(the_same_tables_give_the_same_bytes),
        cmocka_unit_test(a_trace_larger_than_a_page_is_on_two),
        cmocka_unit_test(a_trace_by_id_costs_two_gets_and_none_where_it_is_not),
        cmocka_unit_test(what_a_look_up_needs_comes_with_the_footer_when_it_is_asked_for),
        cmocka_unit_test(a_small_block_comes_with_its_footer),
        cmocka_unit_test(places_of_all_traces_come_in_one_get),
        cmocka_unit_test(pages_are_picked_by_time_and_by_what_spans_have),
        cmocka_unit_test(a_few_columns_are_fetched_without_the_others),
        cmocka_unit_test(names_and_values_come_from_the_index),
        cmocka_unit_test(an_inspection_checks_every_page),
        cmocka_unit_test(a_failing_or_lying_store_gives_an_error),
        cmocka_unit_test(flipped_bits_give_an_error_or_do_no_harm),
        cmocka_unit_test(too_little_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
