/* What block.h promises of writing and reading: what was written comes back, and only that. */
#include "tests/unit/block/model.h"

#include <pthread.h>

typedef struct World {
    Store *store;
    Budget budget;
    BlockCache *cache;
    Arena *arena; /* a query's */
    BlockStats stats;
} World;

static void world_make(World *w, const Model *m, size_t budget) {
    Error err = {0};

    *w = (World){.store = store_new(store_driver_memory()), .arena = arena_new(0, NULL)};
    budget_init(&w->budget, "blocks", budget, NULL);
    w->cache = block_cache_new(w->store, &w->budget);
    assert_non_null(w->cache);
    assert_ok(store_put(w->store, STR("o"), buf_str(&m->object), NULL, &err), &err);
}

static void world_done(World *w) {
    arena_free(w->arena);
    block_cache_free(w->cache);
    assert_int_equal(budget_used(&w->budget), 0);
    store_free(w->store);
}

static const Block *open_block(World *w, uint64_t size) {
    const Block *block;
    Error err = {0};

    assert_ok(block_open(w->cache, STR("o"), size, w->arena, &w->stats, &block, &err), &err);
    return block;
}

/* Does the series match, and which of its samples' times count? By the contract, plainly. */
static bool model_matches(const ModelSeries *s, const Matcher *matchers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Str value = labels_get(s->labels, matchers[i].name);

        if (!matcher_matches(&matchers[i], value.ptr == NULL ? STR("") : value)) return false;
    }
    return true;
}

static void assert_selects_like_model(World *w, const Block *block, const ModelTenant *t,
                                      const Matcher *matchers, size_t matcher_count) {
    BlockSelect select = {t->name, matchers, matcher_count, INT64_MIN, INT64_MAX, false};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    MetricsSelection selection, labels_only;
    size_t at = 0;
    Error err = {0};

    assert_ok(block_metrics_select(block, &select, arena, &w->stats, &selection, &err), &err);
    select.labels_only = true;
    assert_ok(block_metrics_select(block, &select, arena, &w->stats, &labels_only, &err), &err);
    assert_int_equal(labels_only.series_count, selection.series_count);
    for (size_t i = 0; i < t->series_count; i++) {
        const ModelSeries *s = &t->series[i];
        ChunkSamples samples;

        if (s->samples.count + s->samples.histogram_count == 0) continue;
        if (!model_matches(s, matchers, matcher_count)) continue;
        assert_true(at < selection.series_count);
        assert_int_equal(labels_compare(series_labels(&selection, at, arena), s->labels), 0);
        assert_int_equal(labels_compare(series_labels(&labels_only, at, arena), s->labels), 0);
        assert_int_equal(labels_only.series[at].chunk_count, 0);
        assert_ok(series_decode(&selection.series[at], arena, &samples, &err), &err);
        assert_same_samples(&samples, &s->samples);
        at++;
    }
    assert_int_equal(at, selection.series_count);
}

static void all_that_was_written_comes_back(void **state) {
    Model m;
    World w;

    (void)state;
    model_make(&m, 3, 200, 60);
    world_make(&w, &m, 0);
    for (int round = 0; round < 2; round++) { /* cold, then warm */
        const Block *block = open_block(&w, round == 0 ? 0 : m.object.len);

        for (size_t t = 0; t < 3; t++) assert_selects_like_model(&w, block, &m.tenants[t], NULL, 0);
    }
    world_done(&w);
    model_done(&m);
}

static void long_series_are_cut_and_come_back_whole(void **state) {
    Model m;
    World w;

    (void)state;
    model_make(&m, 1, 40, 5000);
    world_make(&w, &m, 0);
    assert_selects_like_model(&w, open_block(&w, m.object.len), &m.tenants[0], NULL, 0);
    world_done(&w);
    model_done(&m);
}

static void every_kind_of_matcher_selects_what_it_says(void **state) {
    static const struct {
        MatchOp op;
        const char *name, *value;
    } cases[] = {
        {MATCH_EQUAL, "__name__", "metric_3"},
        {MATCH_EQUAL, "__name__", "metric_x"},
        {MATCH_EQUAL, "__name__", ""},
        {MATCH_NOT_EQUAL, "__name__", "metric_3"},
        {MATCH_NOT_EQUAL, "__name__", ""},
        {MATCH_REGEX, "__name__", "metric_[0-4]"},
        {MATCH_REGEX, "__name__", "metric_1|nope"},
        {MATCH_NOT_REGEX, "__name__", "metric_.*"},
        {MATCH_EQUAL, "job", "node"},
        {MATCH_NOT_EQUAL, "job", "node"},
        {MATCH_EQUAL, "le", ""},
        {MATCH_NOT_EQUAL, "le", ""},
        {MATCH_EQUAL, "le", "3.5"},
        {MATCH_REGEX, "le", ".*"},
        {MATCH_REGEX, "le", ".+"},
        {MATCH_NOT_REGEX, "le", ".+"},
        {MATCH_REGEX, "le", "|0.5"},
        {MATCH_NOT_REGEX, "le", "0.5|3.5"},
        {MATCH_NOT_EQUAL, "le", "3.5"},
        {MATCH_REGEX, "instance", "10.0.0.1.*"},
        {MATCH_EQUAL, "nolabel", ""},
        {MATCH_EQUAL, "nolabel", "x"},
        {MATCH_NOT_EQUAL, "nolabel", "x"},
        {MATCH_REGEX, "nolabel", ".*"},
        {MATCH_REGEX, "nolabel", ".+"},
        {MATCH_EQUAL, "Zone", "eu"},
        {MATCH_NOT_REGEX, "Zone", "eu|us"},
        {MATCH_EQUAL, "job", "kube\xff-state"},
    };
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Matcher matchers[ARRAY_LEN(cases)];
    const Block *block;
    Error err = {0};
    Model m;
    World w;

    (void)state;
    model_make(&m, 1, 300, 3);
    world_make(&w, &m, 0);
    block = open_block(&w, m.object.len);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_ok(matcher_new(arena, cases[i].op, str_of(cases[i].name), str_of(cases[i].value),
                              &matchers[i], &err),
                  &err);
        assert_selects_like_model(&w, block, &m.tenants[0], &matchers[i], 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t j = 0; j < ARRAY_LEN(cases); j++) {
            Matcher pair[2] = {matchers[i], matchers[j]};

            assert_selects_like_model(&w, block, &m.tenants[0], pair, 2);
        }
    }
    world_done(&w);
    model_done(&m);
}

static void time_ranges_leave_out_chunks_and_series(void **state) {
    static const int64_t ranges[][2] = {
        {INT64_MIN, -778},
        {-777, -777},
        {1700000000000, 1700000000000},
        {0, 1699999999999},
        {1700000100000, 1700000200000},
        {1800000000000, INT64_MAX},
        {5, 4},
    };
    const ModelTenant *t;
    const Block *block;
    Error err = {0};
    Model m;
    World w;

    (void)state;
    model_make(&m, 1, 60, 4000);
    world_make(&w, &m, 0);
    block = open_block(&w, m.object.len);
    t = &m.tenants[0];
    for (size_t r = 0; r < ARRAY_LEN(ranges); r++) {
        BlockSelect select = {t->name, NULL, 0, ranges[r][0], ranges[r][1], false};
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        MetricsSelection selection;
        size_t at = 0;

        assert_ok(block_metrics_select(block, &select, arena, &w.stats, &selection, &err), &err);
        for (size_t i = 0; i < t->series_count; i++) {
            const ChunkSamples *all = &t->series[i].samples;
            size_t wanted = 0, got = 0;
            ChunkSamples samples;

            for (size_t s = 0; s < all->count; s++)
                wanted += all->times[s] >= select.min_ms && all->times[s] <= select.max_ms;
            if (at < selection.series_count &&
                labels_compare(series_labels(&selection, at, arena), t->series[i].labels) == 0) {
                assert_ok(series_decode(&selection.series[at++], arena, &samples, &err), &err);
                for (size_t s = 0; s < samples.count; s++)
                    got += samples.times[s] >= select.min_ms && samples.times[s] <= select.max_ms;
            }
            assert_int_equal(got, wanted);
        }
        assert_int_equal(at, selection.series_count);
    }
    world_done(&w);
    model_done(&m);
}

static void chunks_of_one_target_share_their_times(void **state) {
    Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf object;
    BlockWriter *writer;
    BlockSummary summary;
    MetricsSelection selection;
    static int64_t times[3000];
    static double values[3000];
    Model m = {.arena = arena};
    BlockSelect select = {STR("t"), NULL, 0, INT64_MIN, INT64_MAX, false};
    Error err = {0};
    World w;

    (void)state;
    buf_init(&object, 0);
    writer = block_writer_new(arena, block_sink_buf(&object), 5);
    assert_ok(block_metrics_begin(writer, STR("t"), &err), &err);
    for (size_t i = 0; i < 3000; i++) times[i] = 1700000000000 + (int64_t)i * 15000;
    for (size_t i = 0; i < 20; i++) {
        LabelPair pair = {LABEL_NAME, str_format(arena, "m%02zu", i)};
        /* Every other series began later: its cuts are at the same instants all the same. */
        size_t skip = i % 2 == 0 ? 0 : 100;
        ChunkSamples samples = {.times = times + skip, .values = values, .count = 3000 - skip};

        assert_ok(block_metrics_series(writer, (LabelPairs){&pair, 1}, &samples, &err), &err);
    }
    assert_ok(block_metrics_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    m.object = object;
    world_make(&w, &m, 0);
    assert_ok(block_metrics_select(open_block(&w, 0), &select, w.arena, &w.stats, &selection, &err),
              &err);
    assert_int_equal(selection.series_count, 20);
    for (size_t i = 2; i < 20; i++) {
        const SelectedSeries *a = &selection.series[i], *b = &selection.series[i % 2];

        assert_int_equal(a->chunk_count, b->chunk_count);
        for (uint32_t c = 0; c < a->chunk_count; c++)
            assert_ptr_equal(a->chunks[c].times, b->chunks[c].times);
    }
    assert_ptr_equal(selection.series[0].chunks[2].times, selection.series[1].chunks[2].times);
    world_done(&w);
    arena_free(arena);
}

static void label_names_and_values_come_sorted(void **state) {
    Arena *arena;
    const Block *block;
    Error err = {0};
    size_t count;
    Str *list;
    Model m;
    World w;

    (void)state;
    model_make(&m, 1, 100, 2);
    world_make(&w, &m, 0);
    arena = w.arena;
    block = open_block(&w, m.object.len);
    assert_ok(block_metrics_labels(block, m.tenants[0].name, STR(""), arena, &w.stats, &list,
                                   &count, &err),
              &err);
    assert_int_equal(count, 5);
    assert_true(str_equal(list[0], STR("Zone")));
    assert_true(str_equal(list[1], LABEL_NAME));
    assert_true(str_equal(list[4], STR("le")));
    assert_ok(block_metrics_labels(block, m.tenants[0].name, STR("job"), arena, &w.stats, &list,
                                   &count, &err),
              &err);
    assert_int_equal(count, 2);
    assert_true(str_equal(list[1], STR("node")));
    assert_ok(block_metrics_labels(block, m.tenants[0].name, STR("nope"), arena, &w.stats, &list,
                                   &count, &err),
              &err);
    assert_int_equal(count, 0);
    world_done(&w);
    model_done(&m);
}

static void exemplars_and_metadata_come_back(void **state) {
    Arena *arena;
    const SelectedExemplar **exemplars;
    MetricsSelection selection;
    const ModelTenant *t;
    MetadataItem *metadata;
    const Block *block;
    BlockSelect select;
    size_t *counts, count, at = 0;
    Error err = {0};
    Model m;
    World w;

    (void)state;
    model_make(&m, 2, 120, 20);
    world_make(&w, &m, 0);
    arena = w.arena;
    block = open_block(&w, m.object.len);
    t = &m.tenants[0];
    select = (BlockSelect){t->name, NULL, 0, INT64_MIN, INT64_MAX, false};
    assert_ok(block_metrics_exemplars_read(block, &select, arena, &w.stats, &selection, &exemplars,
                                           &counts, &err),
              &err);
    for (size_t i = 0; i < t->series_count; i++) {
        if (t->series[i].exemplar_count == 0) continue;
        assert_int_equal(labels_compare(series_labels(&selection, at, arena), t->series[i].labels),
                         0);
        assert_same_exemplars(exemplars[at], counts[at], t->series[i].exemplars,
                              t->series[i].exemplar_count);
        at++;
    }
    assert_true(at > 5);
    assert_int_equal(at, selection.series_count);
    assert_ok(block_metrics_metadata_read(block, t->name, arena, &w.stats, &metadata, &count, &err),
              &err);
    assert_int_equal(count, 2);
    assert_true(str_equal(metadata[0].help, STR("Helps.")));
    assert_int_equal(metadata[1].type, METRIC_GAUGE);
    assert_ok(block_metrics_metadata_read(block, m.tenants[1].name, arena, &w.stats, &metadata,
                                          &count, &err),
              &err);
    assert_int_equal(count, 0);
    world_done(&w);
    model_done(&m);
}

static void tenants_see_only_their_own(void **state) {
    BlockSelect select = {STR("tenant-0010"), NULL, 0, INT64_MIN, INT64_MAX, false};
    MetricsSelection selection;
    const BlockPart *parts;
    const Block *block;
    Error err = {0};
    size_t count;
    Model m;
    World w;

    (void)state;
    model_make(&m, 300, 5, 10);
    world_make(&w, &m, 0);
    block = open_block(&w, m.object.len);
    parts = block_parts(block, &count);
    assert_int_equal(count, 300);
    for (size_t i = 0; i < count; i++) {
        assert_true(str_equal(parts[i].tenant, m.tenants[i].name));
        assert_int_equal(parts[i].series, 5);
        assert_int_equal(parts[i].items, m.summary.parts[i].items);
        assert_int_equal(parts[i].bytes, m.summary.parts[i].bytes);
        assert_int_equal(parts[i].min_ms, m.summary.parts[i].min_ms);
        assert_int_equal(parts[i].signal, SIGNAL_METRICS);
        if (i % 50 == 0) assert_selects_like_model(&w, block, &m.tenants[i], NULL, 0);
    }
    assert_ok(block_metrics_select(block, &select, w.arena, &w.stats, &selection, &err), &err);
    assert_int_equal(selection.series_count, 0);
    world_done(&w);
    model_done(&m);
}

static void empty_objects_and_empty_tenants_are_fine(void **state) {
    Model none, empty;
    size_t count;
    World w;

    (void)state;
    model_make(&none, 0, 0, 0);
    world_make(&w, &none, 0);
    (void)block_parts(open_block(&w, none.object.len), &count);
    assert_int_equal(count, 0);
    world_done(&w);
    model_make(&empty, 1, 0, 0);
    world_make(&w, &empty, 0);
    assert_selects_like_model(&w, open_block(&w, 0), &empty.tenants[0], NULL, 0);
    world_done(&w);
    model_done(&none);
    model_done(&empty);
}

static void wrong_order_is_refused(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf object;
    LabelPair a = {LABEL_NAME, STR("a")}, b = {LABEL_NAME, STR("b")};
    int64_t times[] = {1, 1};
    double values[] = {0, 0};
    ChunkSamples twice = {.times = times, .values = values, .count = 2}, none = {0};
    BlockSummary summary;
    BlockWriter *writer;
    Error err = {0};

    (void)state;
    buf_init(&object, 0);
    writer = block_writer_new(arena, block_sink_buf(&object), 5);
    assert_int_equal(block_metrics_series(writer, (LabelPairs){&a, 1}, &none, &err), ERR_INVALID);
    assert_int_equal(block_metrics_end(writer, &err), ERR_INVALID);
    assert_ok(block_metrics_begin(writer, STR("t"), &err), &err);
    assert_int_equal(block_metrics_begin(writer, STR("u"), &err), ERR_INVALID);
    assert_int_equal(block_writer_finish(writer, &summary, &err), ERR_INVALID);
    assert_ok(block_metrics_series(writer, (LabelPairs){&b, 1}, &none, &err), &err);
    assert_int_equal(block_metrics_series(writer, (LabelPairs){&b, 1}, &none, &err), ERR_INVALID);
    assert_int_equal(block_metrics_series(writer, (LabelPairs){&a, 1}, &none, &err), ERR_INVALID);
    b.value = STR("c");
    assert_int_equal(block_metrics_series(writer, (LabelPairs){&b, 1}, &twice, &err), ERR_INVALID);
    assert_ok(block_metrics_end(writer, &err), &err);
    assert_int_equal(block_metrics_begin(writer, STR("t"), &err), ERR_INVALID);
    assert_int_equal(block_metrics_begin(writer, STR("s"), &err), ERR_INVALID);
}

static void the_same_input_gives_the_same_bytes(void **state) {
    Model a, b;

    (void)state;
    model_state = 42;
    model_make(&a, 2, 80, 100);
    model_state = 42;
    model_make(&b, 2, 80, 100);
    assert_int_equal(a.object.len, b.object.len);
    assert_memory_equal(a.object.ptr, b.object.ptr, a.object.len);
    assert_int_equal(a.summary.checksum, b.summary.checksum);
    model_done(&a);
    model_done(&b);
}

static void cold_reads_are_three_gets_and_warm_ones_none(void **state) {
    const ModelTenant *t;
    BlockSelect select;
    MetricsSelection selection;
    Error err = {0};
    Model m;
    World w;

    (void)state;
    model_make(&m, 1, 3000, 40);
    assert_true(m.object.len > KIB(200));
    world_make(&w, &m, 0);
    t = &m.tenants[0];
    select = (BlockSelect){t->name, NULL, 0, INT64_MIN, INT64_MAX, false};
    for (int round = 0; round < 2; round++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        const Block *block;

        assert_ok(block_open(w.cache, STR("o"), m.object.len, arena, &w.stats, &block, &err), &err);
        assert_ok(block_metrics_select(block, &select, arena, &w.stats, &selection, &err), &err);
        assert_true(w.stats.gets <= 3);
    }
    block_cache_forget(w.cache, STR("o"));
    assert_int_equal(budget_used(&w.budget), 0);
    world_done(&w);
    model_done(&m);
}

/* Everything is too much for this cache, and yet every query gets its answer. */
static void a_small_cache_evicts_but_never_what_is_in_use(void **state) {
    const Block *block;
    Model m;
    World w;

    (void)state;
    model_make(&m, 4, 400, 50);
    for (size_t budget = KIB(1); budget < MIB(4); budget *= 4) {
        world_make(&w, &m, budget);
        block = open_block(&w, m.object.len);
        for (size_t i = 0; i < 12; i++) {
            assert_selects_like_model(&w, block, &m.tenants[i * 7 % 4], NULL, 0);
            assert_true(budget_used(&w.budget) <= budget);
        }
        world_done(&w);
    }
    model_done(&m);
}

typedef struct Querying {
    World *w;
    const Model *m;
    unsigned number;
} Querying;

static void *query_again_and_again(void *what) {
    const Querying *q = what;

    for (unsigned i = 0; i < 30; i++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        const ModelTenant *t = &q->m->tenants[(q->number + i) % q->m->tenant_count];
        BlockSelect select = {t->name, NULL, 0, INT64_MIN, INT64_MAX, false};
        MetricsSelection selection;
        const Block *block;
        Error err = {0};
        size_t at = 0;

        if (block_open(q->w->cache, STR("o"), 0, arena, &q->w->stats, &block, &err) != ERR_OK ||
            block_metrics_select(block, &select, arena, &q->w->stats, &selection, &err) != ERR_OK)
            return "a query failed";
        for (size_t s = 0; s < t->series_count; s++) {
            const ChunkSamples *wanted = &t->series[s].samples;
            ChunkSamples got;

            if (wanted->count + wanted->histogram_count == 0) continue;
            if (at == selection.series_count ||
                series_decode(&selection.series[at++], arena, &got, &err) != ERR_OK ||
                got.count != wanted->count ||
                memcmp(got.values, wanted->values, got.count * sizeof(double)) != 0)
                return "a wrong answer";
        }
        if (i % 10 == 9) block_cache_forget(q->w->cache, STR("o"));
    }
    return NULL;
}

static void many_threads_share_a_cache_that_is_too_small(void **state) {
    pthread_t threads[4];
    Querying queries[4];
    Model m;
    World w;

    (void)state;
    model_make(&m, 4, 200, 50);
    world_make(&w, &m, KIB(200));
    for (unsigned i = 0; i < 4; i++) {
        queries[i] = (Querying){&w, &m, i};
        assert_int_equal(pthread_create(&threads[i], NULL, query_again_and_again, &queries[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *failure;

        assert_int_equal(pthread_join(threads[i], &failure), 0);
        if (failure != NULL) fail_msg("%s", (char *)failure);
    }
    world_done(&w);
    model_done(&m);
}

static void a_query_over_its_budget_is_told_so(void **state) {
    Budget budget;
    Model m;
    World w;

    (void)state;
    model_make(&m, 1, 500, 50);
    world_make(&w, &m, KIB(1));
    for (size_t bytes = KIB(4); bytes < MIB(8); bytes += bytes / 3) {
        Arena *arena;
        BlockSelect select = {m.tenants[0].name, NULL, 0, INT64_MIN, INT64_MAX, false};
        MetricsSelection selection;
        const Block *block;
        Error err = {0};
        ErrCode code;

        budget_init(&budget, "query", bytes, NULL);
        arena = arena_new(0, &budget);
        code = block_open(w.cache, STR("o"), m.object.len, arena, &w.stats, &block, &err);
        if (code == ERR_OK)
            code = block_metrics_select(block, &select, arena, &w.stats, &selection, &err);
        assert_true(code == ERR_OK || code == ERR_LIMIT);
        arena_free(arena);
        assert_int_equal(budget_used(&budget), 0);
    }
    world_done(&w);
    model_done(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_was_written_comes_back),
        cmocka_unit_test(long_series_are_cut_and_come_back_whole),
        cmocka_unit_test(every_kind_of_matcher_selects_what_it_says),
        cmocka_unit_test(time_ranges_leave_out_chunks_and_series),
        cmocka_unit_test(chunks_of_one_target_share_their_times),
        cmocka_unit_test(label_names_and_values_come_sorted),
        cmocka_unit_test(exemplars_and_metadata_come_back),
        cmocka_unit_test(tenants_see_only_their_own),
        cmocka_unit_test(empty_objects_and_empty_tenants_are_fine),
        cmocka_unit_test(wrong_order_is_refused),
        cmocka_unit_test(the_same_input_gives_the_same_bytes),
        cmocka_unit_test(cold_reads_are_three_gets_and_warm_ones_none),
        cmocka_unit_test(a_small_cache_evicts_but_never_what_is_in_use),
        cmocka_unit_test(many_threads_share_a_cache_that_is_too_small),
        cmocka_unit_test(a_query_over_its_budget_is_told_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
