/* Traces of several objects in one: every span of every trace is there once, a trace's spans are
 * together however they came, and pages that need nothing done pass as they are. */
#include "tests/unit/unit.h"

#include "compactor/merge/merge.h"
#include "tests/unit/block/span_traffic.h"

enum { OBJECTS_MAX = 70 };

typedef struct World {
    Arena *arena;
    StoreDriver *faulty;
    Store *store;
    BlockCache *cache;
    const ManifestEntry *sources[OBJECTS_MAX];
    size_t source_count;
    int64_t keep_from_ms;
    size_t waiting_bytes_max;
    int64_t moved_ns; /* some spans begin so much later */
} World;

static int setup(void **state) {
    World *w = calloc(1, sizeof *w);

    w->arena = arena_new(0, NULL);
    w->faulty = store_driver_fault(store_driver_memory(), 0, FAULT_NONE);
    w->store = store_new(w->faulty);
    w->cache = block_cache_new(w->store, NULL);
    w->keep_from_ms = INT64_MIN;
    *state = w;
    return 0;
}

static int teardown(void **state) {
    World *w = *state;

    arena_free(w->arena);
    block_cache_free(w->cache);
    store_free(w->store);
    free(w);
    return 0;
}

static void add_tables(World *w, const SpanTable *tables, size_t count) {
    ManifestEntry *entry = ARENA_NEW(w->arena, ManifestEntry);
    CLEANUP_IN_PLACE(buf_done) Buf body;
    Error err;

    buf_init(&body, 0);
    traffic_object(tables, count, &body);
    *entry = (ManifestEntry){.key = str_format(w->arena, "object-%zu", w->source_count),
                             .size = body.len,
                             .level = 1,
                             .created_ms = (int64_t)w->source_count};
    assert_ok(store_put(w->store, entry->key, buf_str(&body), NULL, &err), &err);
    w->sources[w->source_count++] = entry;
}

static void add(World *w, uint64_t from, uint64_t to, uint32_t first, uint32_t end) {
    Traffic t = {from, to, first, end};
    SpanTable table = traffic_table(w->arena, &t);

    add_tables(w, &table, 1);
}

static MergeJob job_of(World *w) {
    return (MergeJob){.tenant = STR("t"),
                      .signal = SIGNAL_TRACES,
                      .sources = w->sources,
                      .source_count = w->source_count,
                      .level = 2,
                      .keep_from_ms = w->keep_from_ms,
                      .now_ms = TRAFFIC_START / 1000000};
}

static ErrCode try_merge(World *w, Str key, ManifestEntry *out, bool *empty,
                         const ManifestEntry **failed, Error *err) {
    MergeIo io = {.from = w->store,
                  .cache = w->cache,
                  .to = w->store,
                  .waiting_bytes_max = w->waiting_bytes_max};
    MergeJob job = job_of(w);

    return merge_run(&io, &job, key, w->arena, out, empty, failed, err);
}

static ManifestEntry merge(World *w, Str key) {
    const ManifestEntry *failed;
    ManifestEntry out = {0};
    bool empty;
    Error err;

    assert_ok(try_merge(w, key, &out, &empty, &failed, &err), &err);
    assert_false(empty);
    return out;
}

/* How often each span is there, by trace and number; and the pages. */
typedef struct Found {
    uint8_t *times; /* of span i of trace n: n * SPANS + i */
    SpansSelection selection;
    uint64_t spans;
    uint64_t traces;
} Found;

enum { TRACES = 40000, SPANS = 12 };

static Found look(World *w, const ManifestEntry *entry) {
    const SpanOrigin *origins = traffic_origins(w->arena);
    SpanNeed all = {.columns = SPAN_ALL, .all_keys = true};
    SpanSelect select = {STR("t"), INT64_MIN, INT64_MAX, NULL, 0};
    Found f = {.times = arena_zalloc(w->arena, TRACES * SPANS)};
    BlockStats *stats = ARENA_NEW(w->arena, BlockStats);
    const Block *block;
    Error err;

    assert_ok(block_open(w->cache, entry->key, entry->size, w->arena, stats, &block, &err), &err);
    assert_ok(block_spans_select(block, &select, w->arena, stats, &f.selection, &err), &err);
    for (size_t p = 0; p < f.selection.page_count; p++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        SpanTable table;

        assert_ok(span_page_read(&f.selection, &f.selection.pages[p], &all, arena, &table, &err),
                  &err);
        assert_table(&table);
        f.spans += table.row_count;
        f.traces += table.trace_count;
        for (uint32_t t = 0; t < table.trace_count; t++) {
            Span *spans;

            for (uint32_t o = t + 1; o < table.trace_count && w->waiting_bytes_max == 1; o++)
                assert_false(trace_id_equal(&table.traces[t].id, &table.traces[o].id));

            assert_ok(span_table_spans(&table, &table.traces[t], arena, &spans, &err), &err);
            for (uint32_t i = 0; i < table.traces[t].count; i++) {
                uint64_t n = (spans[i].id - 1) / 1000000, k = (spans[i].id - 1) % 1000000;
                Span given = traffic_span(arena, origins, n, (uint32_t)k);

                assert_true(n < TRACES && k < SPANS);
                if (spans[i].start_ns == given.start_ns + w->moved_ns) {
                    given.start_ns += w->moved_ns;
                    given.end_ns += w->moved_ns;
                }
                if (table.row_count < 3000 || i == 0) assert_same_span(&given, &spans[i]);
                assert_true(trace_id_equal(&spans[i].trace, &given.trace));
                f.times[n * SPANS + k]++;
            }
        }
    }
    return f;
}

/* Spans [first, end) of traces [from, to) are there once. */
static void assert_once(const Found *f, uint64_t from, uint64_t to, uint32_t first, uint32_t end) {
    for (uint64_t n = from; n < to; n++) {
        for (uint32_t i = first; i < end; i++) assert_int_equal(f->times[n * SPANS + i], 1);
    }
}

/* ---------- joining ---------- */

static void a_trace_in_several_objects_is_one(void **state) {
    World *w = *state;
    ManifestEntry entry;
    Found f;

    add(w, 0, 400, 0, 4);
    add(w, 100, 300, 3, 7); /* one span twice */
    add(w, 200, 500, 6, 9);
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_int_equal(f.traces, 500);
    assert_once(&f, 0, 400, 0, 4);
    assert_once(&f, 100, 300, 3, 7);
    assert_once(&f, 200, 500, 6, 9);
    assert_int_equal(f.spans, 400 * 4 + 200 * 3 + 100 * 2 + 200 * 3);
    assert_int_equal(entry.parts[0].series, 500);
    assert_int_equal(entry.parts[0].items, f.spans);
}

static void replicas_are_one(void **state) {
    World *w = *state;
    ManifestEntry entry;
    Found f;

    for (int i = 0; i < 3; i++) add(w, 0, 5000, 0, 4);
    add(w, 1000, 2000, 1, 3); /* one that missed some */
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_int_equal(f.traces, 5000);
    assert_int_equal(f.spans, 20000);
    assert_once(&f, 0, 5000, 0, 4);
}

/* The first and the last object have half of some traces each, with hours between. */
static void parts_that_are_far_apart_find_each_other(void **state) {
    World *w = *state;
    const SpanOrigin *origins = traffic_origins(w->arena);
    Span *late = ARENA_ARRAY(w->arena, Span, 300);
    ManifestEntry entry;
    SpanTable table;
    Error err;
    Found f;

    w->moved_ns = 39000 * TRAFFIC_STEP;
    for (uint64_t n = 0; n < 300; n++) {
        late[n] = traffic_span(w->arena, origins, n * 10, 5);
        late[n].start_ns += w->moved_ns;
        late[n].end_ns += w->moved_ns;
    }
    assert_ok(span_table_build(late, 300, w->arena, &table, &err), &err);
    add(w, 0, 13000, 0, 3);
    add(w, 13000, 30000, 0, 2);
    add_tables(w, &table, 1);
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_int_equal(f.traces, 30000);
    assert_int_equal(f.spans, 13000 * 3 + 17000 * 2 + 300);
    for (uint64_t n = 0; n < 300; n++) assert_int_equal(f.times[n * 10 * SPANS + 5], 1);
}

/* The parts of a trace may be pages apart, but no page has two of them. */
static void what_waits_for_too_much_is_written_in_parts(void **state) {
    World *w = *state;
    Traffic late = {0, 3000, 3, 5}, more = {20000, 21000, 0, 1};
    SpanTable tables[2];
    ManifestEntry entry;
    uint64_t parts = 0;
    size_t spans;
    Error err;
    Found f;

    /* The other half of the first traces begins where the last ones do. */
    Span *moved = traffic_spans(w->arena, &late, &spans);
    w->moved_ns = 19000 * TRAFFIC_STEP;
    for (size_t i = 0; i < spans; i++) {
        moved[i].start_ns += w->moved_ns;
        moved[i].end_ns += w->moved_ns;
    }
    assert_ok(span_table_build(moved, spans, w->arena, &tables[0], &err), &err);
    tables[1] = traffic_table(w->arena, &more);
    add(w, 0, 18000, 0, 3);
    add_tables(w, tables, 2);
    w->waiting_bytes_max = 1;
    entry = merge(w, STR("parts"));
    f = look(w, &entry);
    assert_int_equal(f.spans, 18000 * 3 + 3000 * 2 + 1000);
    for (uint64_t n = 0; n < 18000; n++) {
        for (uint32_t i = 0; i < (n < 3000 ? 5 : 3); i++)
            assert_int_equal(f.times[n * SPANS + i], 1);
    }
    assert_in_range(f.traces, 19001, 22000);
    for (size_t p = 0; p < f.selection.page_count; p++) parts += f.selection.pages[p].traces;
    assert_int_equal(parts, f.traces);
    /* The next merge has room for all. */
    w->waiting_bytes_max = 0;
    w->sources[0] = ARENA_NEW(w->arena, ManifestEntry);
    *(ManifestEntry *)w->sources[0] = entry;
    w->source_count = 1;
    entry = merge(w, STR("whole"));
    f = look(w, &entry);
    assert_int_equal(f.traces, 19000);
    assert_int_equal(f.spans, 18000 * 3 + 3000 * 2 + 1000);
}

static void a_trace_on_two_pages_of_one_object_is_joined(void **state) {
    World *w = *state;
    Traffic halves[2] = {{0, 9000, 0, 1}, {0, 9000, 1, 2}};
    SpanTable tables[2];
    ManifestEntry entry;
    Found f;

    for (int i = 0; i < 2; i++) tables[i] = traffic_table(w->arena, &halves[i]);
    add_tables(w, tables, 2);
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_int_equal(f.traces, 9000);
    assert_once(&f, 0, 9000, 0, 2);
}

static void spans_of_a_large_trace_stay_together(void **state) {
    World *w = *state;
    const SpanOrigin *origins = traffic_origins(w->arena);
    ManifestEntry entry;
    SpanTable table;
    Error err;

    for (uint32_t part = 0; part < 3; part++) {
        Span *spans = ARENA_ARRAY(w->arena, Span, 20000);

        for (uint32_t i = 0; i < 20000; i++) {
            spans[i] = traffic_span(w->arena, origins, 77, 3);
            spans[i].id = part * 19000 + i + 1; /* the ends of one are the beginnings of the next */
            spans[i].parent = 0;
            spans[i].trace = traffic_id(77);
        }
        assert_ok(span_table_build(spans, 20000, w->arena, &table, &err), &err);
        add_tables(w, &table, 1);
    }
    entry = merge(w, STR("merged"));
    assert_int_equal(entry.parts[0].series, 1);
    assert_int_equal(entry.parts[0].items, 58000);
}

/* ---------- pages ---------- */

static void many_small_objects_make_large_pages(void **state) {
    World *w = *state;
    ManifestEntry entry;
    Found f;

    for (uint64_t i = 0; i < 64; i++) add(w, i * 100, i * 100 + 100, 0, 5);
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_int_equal(f.traces, 6400);
    assert_once(&f, 0, 6400, 0, 5);
    assert_in_range(f.selection.page_count, 2, 4);
}

static void large_pages_pass_as_they_are(void **state) {
    World *w = *state;
    ManifestEntry entry, sources[3];
    Found parts[3], f;
    size_t at = 0;

    add(w, 0, 9000, 0, 2);
    add(w, 9000, 18000, 0, 2);
    add(w, 18000, 18010, 0, 2);
    for (size_t s = 0; s < 3; s++) {
        sources[s] = *w->sources[s];
        parts[s] = look(w, &sources[s]);
    }
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_once(&f, 0, 18010, 0, 2);
    for (size_t s = 0; s < 3; s++) {
        for (size_t p = 0; p < parts[s].selection.page_count; p++, at++) {
            assert_int_equal(f.selection.pages[at].spans, parts[s].selection.pages[p].spans);
            assert_int_equal(f.selection.pages[at].bytes, parts[s].selection.pages[p].bytes);
        }
    }
    assert_int_equal(at, f.selection.page_count);
}

/* Four objects with every fourth trace each: pages of theirs would be four times as long. */
static void pages_that_overlap_are_mixed(void **state) {
    World *w = *state;
    ManifestEntry entry;
    int64_t span_ns = 0;
    Error err;
    Found f;

    for (uint64_t o = 0; o < 4; o++) {
        const SpanOrigin *origins = traffic_origins(w->arena);
        Span *spans = ARENA_ARRAY(w->arena, Span, 20000);
        SpanTable table;

        for (uint32_t i = 0; i < 20000; i++)
            spans[i] = traffic_span(w->arena, origins, i / 2 * 4 + o, i % 2);
        assert_ok(span_table_build(spans, 20000, w->arena, &table, &err), &err);
        add_tables(w, &table, 1);
    }
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_once(&f, 0, 40000, 0, 2);
    for (size_t p = 0; p < f.selection.page_count; p++)
        span_ns += f.selection.pages[p].max_ns - f.selection.pages[p].min_ns;
    assert_true(span_ns < 50000 * TRAFFIC_STEP); /* they hardly overlap any more */
}

static void the_same_objects_give_the_same_bytes(void **state) {
    World *w = *state;
    ManifestEntry one, other;

    add(w, 0, 6000, 0, 3);
    add(w, 3000, 9000, 2, 5);
    add(w, 9000, 9500, 0, 5);
    one = merge(w, STR("one"));
    other = merge(w, STR("other"));
    assert_int_equal(one.size, other.size);
    assert_true(one.checksum == other.checksum);
}

/* What a merge says of keys and values goes on with the pages. */
static void names_and_values_are_known_after_a_merge(void **state) {
    World *w = *state;
    ManifestEntry entry;
    BlockStats stats = {0};
    SpanTagValue *values;
    const Block *block;
    bool complete;
    size_t count;
    Error err;

    add(w, 0, 9000, 0, 2);      /* passes */
    add(w, 20000, 20100, 0, 2); /* doesn't */
    entry = merge(w, STR("merged"));
    assert_ok(block_open(w->cache, entry.key, entry.size, w->arena, &stats, &block, &err), &err);
    assert_ok(block_spans_tag_values(block, STR("t"), INTRINSIC_NONE, SCOPE_SPAN, STR("place"),
                                     INT64_MIN, INT64_MAX, w->arena, &stats, &values, &count,
                                     &complete, &err),
              &err);
    assert_true(complete);
    assert_int_equal(count, 10);
    for (uint64_t n = 0; n < 20100; n += 37) {
        TraceId id = traffic_id(n);
        SpansSelection found;

        assert_ok(block_spans_find(block, STR("t"), &id, w->arena, &stats, &found, &err), &err);
        if (n < 9000 || n >= 20000) assert_int_equal(found.page_count, 1);
    }
}

/* ---------- retention ---------- */

static void traces_that_ended_before_the_retention_are_gone(void **state) {
    World *w = *state;
    ManifestEntry entry;
    Found f;

    add(w, 0, 9000, 0, 3);
    add(w, 4000, 6000, 2, 5);
    add(w, 9000, 12000, 0, 3);
    w->keep_from_ms = (TRAFFIC_START + 5000 * TRAFFIC_STEP) / 1000000;
    entry = merge(w, STR("merged"));
    f = look(w, &entry);
    assert_int_equal(f.traces, 7000);
    assert_once(&f, 5000, 9000, 0, 3);
    assert_once(&f, 5000, 6000, 2, 5);
    assert_once(&f, 9000, 12000, 0, 3);
}

static void nothing_is_left_when_all_is_past_its_retention(void **state) {
    World *w = *state;
    const ManifestEntry *failed;
    ManifestEntry entry;
    bool empty;
    Error err;

    add(w, 0, 300, 0, 3);
    add(w, 100, 400, 0, 3);
    w->keep_from_ms = (TRAFFIC_START + 500 * TRAFFIC_STEP) / 1000000;
    assert_ok(try_merge(w, STR("merged"), &entry, &empty, &failed, &err), &err);
    assert_true(empty);
    /* ...page for page, too, when a single trace keeps a page. */
    w->keep_from_ms = (TRAFFIC_START + 399 * TRAFFIC_STEP) / 1000000;
    assert_ok(try_merge(w, STR("merged"), &entry, &empty, &failed, &err), &err);
    assert_false(empty);
    assert_int_equal(entry.parts[0].series, 1);
}

/* ---------- faults ---------- */

static void a_merge_that_fails_at_any_call_can_be_done_again(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_TRUNCATE, FAULT_WRONG_BYTES};
    World *w = *state;

    add(w, 0, 3000, 0, 3);
    add(w, 1000, 2000, 2, 5);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        ErrCode code = ERR_INTERNAL;

        for (uint64_t call = 1; code != ERR_OK && call < 60; call++) {
            const ManifestEntry *failed;
            ManifestEntry entry;
            bool empty;
            Error err;
            Found f;

            store_fault_arm(w->faulty, &(FaultPlan){.kind = kinds[k], .call = call});
            code = try_merge(w, STR("merged"), &entry, &empty, &failed, &err);
            store_fault_arm(w->faulty, &(FaultPlan){.kind = FAULT_NONE});
            if (code != ERR_OK && err.code == ERR_CORRUPT) assert_non_null(failed);
            if (code != ERR_OK) continue;
            block_cache_forget(w->cache, entry.key);
            f = look(w, &entry);
            assert_int_equal(f.traces, 3000);
            assert_once(&f, 0, 3000, 0, 3);
            assert_once(&f, 1000, 2000, 2, 5);
        }
        assert_int_equal(code, ERR_OK);
    }
}

static void too_little_memory_is_an_error(void **state) {
    World *w = *state;
    ErrCode code = ERR_LIMIT;

    add(w, 0, 1500, 0, 3);
    add(w, 1000, 2000, 2, 5);
    for (size_t bytes = KIB(16); code != ERR_OK; bytes += bytes / 40) {
        MergeIo io = {.from = w->store, .cache = w->cache, .to = w->store};
        MergeJob job = job_of(w);
        const ManifestEntry *failed;
        ManifestEntry entry;
        Budget budget;
        Arena *arena;
        bool empty;
        Error err;

        budget_init(&budget, "a merge", bytes, NULL);
        arena = arena_new(0, &budget);
        if (arena == NULL) continue;
        code = merge_run(&io, &job, STR("merged"), arena, &entry, &empty, &failed, &err);
        if (code != ERR_OK) assert_int_equal(code, ERR_LIMIT);
        arena_free(arena);
        assert_int_equal(budget_used(&budget), 0);
        assert_true(bytes < MIB(256));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_trace_in_several_objects_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(replicas_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_that_are_far_apart_find_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_for_too_much_is_written_in_parts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_trace_on_two_pages_of_one_object_is_joined, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(spans_of_a_large_trace_stay_together, setup, teardown),
        cmocka_unit_test_setup_teardown(many_small_objects_make_large_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(large_pages_pass_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_that_overlap_are_mixed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_objects_give_the_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(names_and_values_are_known_after_a_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(traces_that_ended_before_the_retention_are_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_is_left_when_all_is_past_its_retention, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_merge_that_fails_at_any_call_can_be_done_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(too_little_memory_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
