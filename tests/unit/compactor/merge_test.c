/* One merge: what of each series, its exemplars and its metadata goes into the new block. */
#include "compactor/merge/merge.h"

#include "common/store/fault.h"
#include "tests/unit/block/model.h"

/* Objects of one tenant, "t", built series by series, and what a merge makes of them. */
typedef struct Bench {
    Arena *arena;
    StoreDriver *faulty;
    Store *store;
    BlockCache *cache;
    ManifestEntry entries[8];
    const ManifestEntry *sources[8];
    size_t count;
    MergeJob job;
    ManifestEntry result;
    bool empty;
    const ManifestEntry *failed;
} Bench;

static void bench_make(Bench *bench) {
    *bench = (Bench){.arena = arena_new(0, NULL)};
    bench->faulty = store_driver_fault(store_driver_memory(), 0, FAULT_NONE);
    bench->store = store_new(bench->faulty);
    bench->cache = block_cache_new(bench->store, NULL);
}

static void bench_done(Bench *bench) {
    arena_free(bench->arena);
    block_cache_free(bench->cache);
    store_free(bench->store);
}

static const LabelPair pairs_one[] = {{STR_INIT("__name__"), STR_INIT("one")}};
static const LabelPair pairs_two[] = {{STR_INIT("__name__"), STR_INIT("two")},
                                      {STR_INIT("a"), STR_INIT("b")}};
static const LabelPairs one = {pairs_one, 1}, two = {pairs_two, 2};

static void add_object(Bench *bench, const ModelSeries *series, size_t count,
                       const MetadataItem *metadata, size_t metadata_count) {
    ManifestEntry *entry = &bench->entries[bench->count];
    ModelTenant tenant = {STR("t"), (ModelSeries *)(uintptr_t)series, count,
                          (MetadataItem *)(uintptr_t)metadata, metadata_count};
    BlockSummary summary;
    BlockWriter *writer;
    Error err = {0};
    Buf body;

    buf_init(&body, 0);
    writer = block_writer_new(bench->arena, block_sink_buf(&body), 100 + (int64_t)bench->count);
    model_write_tenant(writer, &tenant);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    *entry = (ManifestEntry){.key = str_format(bench->arena, "source-%zu", bench->count),
                             .size = summary.bytes,
                             .created_ms = 100 + (int64_t)bench->count,
                             .parts = summary.parts,
                             .part_count = summary.part_count};
    assert_ok(store_put(bench->store, entry->key, buf_str(&body), NULL, &err), &err);
    bench->sources[bench->count++] = entry;
    buf_done(&body);
}

static ErrCode merge(Bench *bench, int64_t keep_from_ms, Error *err) {
    MergeIo io = {.from = bench->store, .cache = bench->cache, .to = bench->store};

    bench->job = (MergeJob){.tenant = STR("t"),
                            .signal = SIGNAL_METRICS,
                            .sources = bench->sources,
                            .source_count = bench->count,
                            .level = 2,
                            .keep_from_ms = keep_from_ms};
    return merge_run(&io, &bench->job, STR("merged"), bench->arena, &bench->result, &bench->empty,
                     &bench->failed, err);
}

typedef struct Read {
    BlockCursor *cursor;
    LabelPairs labels;
    ChunkSamples samples;
    const SelectedExemplar *exemplars;
    size_t exemplar_count;
    bool more;
} Read;

static void read_begin(Bench *bench, Read *read) {
    Error err = {0};

    assert_ok(block_cursor_open(bench->store, STR("merged"), bench->result.size, STR("t"),
                                bench->arena, &read->cursor, &err),
              &err);
}

static bool read_next(Read *read) {
    Error err = {0};

    assert_ok(block_cursor_next(read->cursor, &read->labels, &read->samples, &read->exemplars,
                                &read->exemplar_count, &read->more, &err),
              &err);
    return read->more;
}

static ModelSeries floats(Arena *arena, LabelPairs labels, int64_t start, int64_t step, size_t n,
                          double value) {
    int64_t *times = ARENA_ARRAY(arena, int64_t, n);
    double *values = ARENA_ARRAY(arena, double, n);

    for (size_t i = 0; i < n; i++) {
        times[i] = start + (int64_t)i * step;
        values[i] = value;
    }
    return (ModelSeries){.labels = labels, .samples = {times, values, n, NULL, NULL, 0}};
}

static ModelSeries histograms(Arena *arena, LabelPairs labels, int64_t start, int64_t step,
                              size_t n, double value) {
    int64_t *times = ARENA_ARRAY(arena, int64_t, n);
    const NativeHistogram **list = ARENA_ARRAY(arena, const NativeHistogram *, n);

    for (size_t i = 0; i < n; i++) {
        times[i] = start + (int64_t)i * step;
        list[i] = model_histogram(arena, value, false);
    }
    return (ModelSeries){.labels = labels, .samples = {NULL, NULL, 0, times, list, n}};
}

static void series_are_joined_by_their_labels(void **state) {
    ModelSeries a, b[2];
    Read read;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    a = floats(bench.arena, two, 10, 10, 3, 1);
    b[0] = floats(bench.arena, one, 15, 10, 2, 2);
    b[1] = floats(bench.arena, two, 15, 10, 3, 2);
    add_object(&bench, &a, 1, NULL, 0);
    add_object(&bench, b, 2, NULL, 0);
    assert_ok(merge(&bench, INT64_MIN, &err), &err);
    assert_false(bench.empty);
    assert_int_equal(bench.result.level, 2);
    assert_int_equal(bench.result.created_ms, 100); /* as old as its oldest source */
    assert_int_equal(bench.result.part_count, 1);
    assert_int_equal(bench.result.parts[0].items, 8);
    assert_int_equal(bench.result.parts[0].series, 2);
    assert_int_equal(bench.result.parts[0].min_ms, 10);
    assert_int_equal(bench.result.parts[0].max_ms, 35);
    read_begin(&bench, &read);
    assert_true(read_next(&read));
    assert_int_equal(labels_compare(read.labels, one), 0);
    assert_true(read_next(&read));
    assert_int_equal(labels_compare(read.labels, two), 0);
    assert_int_equal(read.samples.count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(read.samples.times[i], 10 + i * 5);
        assert_true(read.samples.values[i] == (i % 2 == 0 ? 1 : 2));
    }
    assert_false(read_next(&read));
    block_cursor_close(read.cursor);
    bench_done(&bench);
}

/* Floats and histograms of one instant are one instant: the older object's sample stays. */
static void an_instant_is_there_once_whatever_its_kind(void **state) {
    ModelSeries a, b, c;
    Read read;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    a = floats(bench.arena, one, 10, 20, 3, 1);     /* 10 30 50 */
    b = histograms(bench.arena, one, 10, 10, 5, 2); /* 10 20 30 40 50 */
    c = floats(bench.arena, one, 20, 5, 3, 3);      /* 20 25 30 */
    add_object(&bench, &a, 1, NULL, 0);
    add_object(&bench, &b, 1, NULL, 0);
    add_object(&bench, &c, 1, NULL, 0);
    assert_ok(merge(&bench, INT64_MIN, &err), &err);
    read_begin(&bench, &read);
    assert_true(read_next(&read));
    assert_int_equal(read.samples.count, 4); /* 10 25 30 50 */
    assert_int_equal(read.samples.times[1], 25);
    assert_true(read.samples.values[0] == 1 && read.samples.values[1] == 3 &&
                read.samples.values[2] == 1 && read.samples.values[3] == 1);
    assert_int_equal(read.samples.histogram_count, 2); /* 20 40 */
    assert_int_equal(read.samples.histogram_times[0], 20);
    assert_int_equal(read.samples.histogram_times[1], 40);
    assert_true(histogram_equal(read.samples.histograms[0], b.samples.histograms[0]));
    block_cursor_close(read.cursor);
    bench_done(&bench);
}

static void values_keep_their_bits(void **state) {
    const uint64_t bits[] = {STALE_NAN_BITS, NORMAL_NAN_BITS, 0x8000000000000000, 1,
                             0x7ff0000000000000};
    ModelSeries a, b;
    double *values;
    Read read;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    a = floats(bench.arena, one, 0, 2, ARRAY_LEN(bits), 0);
    b = floats(bench.arena, one, 1, 2, ARRAY_LEN(bits), 0);
    values = (double *)(uintptr_t)a.samples.values;
    memcpy(values, bits, sizeof bits);
    add_object(&bench, &a, 1, NULL, 0);
    add_object(&bench, &b, 1, NULL, 0);
    assert_ok(merge(&bench, INT64_MIN, &err), &err);
    read_begin(&bench, &read);
    assert_true(read_next(&read));
    assert_int_equal(read.samples.count, 2 * ARRAY_LEN(bits));
    for (size_t i = 0; i < ARRAY_LEN(bits); i++)
        assert_memory_equal(&read.samples.values[2 * i], &bits[i], 8);
    block_cursor_close(read.cursor);
    bench_done(&bench);
}

static void what_is_past_its_retention_is_left_out(void **state) {
    SelectedExemplar exemplars[] = {{20, 1, STR("\n\x06\n\x01t\x12\x01x")},
                                    {40, 1, STR("\n\x06\n\x01t\x12\x01x")}};
    ModelSeries series[2];
    Read read;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    series[0] = floats(bench.arena, one, 0, 10, 3, 1); /* all of it */
    series[1] = floats(bench.arena, two, 10, 10, 5, 1);
    series[1].exemplars = exemplars;
    series[1].exemplar_count = 2;
    add_object(&bench, series, 2, NULL, 0);
    assert_ok(merge(&bench, 30, &err), &err);
    assert_int_equal(bench.result.parts[0].min_ms, 30);
    read_begin(&bench, &read);
    assert_true(read_next(&read));
    assert_int_equal(labels_compare(read.labels, two), 0);
    assert_int_equal(read.samples.count, 3);
    assert_int_equal(read.samples.times[0], 30);
    assert_int_equal(read.exemplar_count, 1);
    assert_int_equal(read.exemplars[0].time_ms, 40);
    assert_false(read_next(&read));
    block_cursor_close(read.cursor);
    bench_done(&bench);
}

static void nothing_left_is_no_object(void **state) {
    ModelSeries series;
    StoreObject object;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    series = floats(bench.arena, one, 0, 10, 3, 1);
    add_object(&bench, &series, 1, NULL, 0);
    assert_ok(merge(&bench, 21, &err), &err);
    assert_true(bench.empty);
    assert_int_equal(store_head(bench.store, STR("merged"), &object, &err), ERR_NOT_FOUND);
    bench_done(&bench);
}

static void exemplars_are_joined_and_each_is_there_once(void **state) {
    SelectedExemplar first[] = {{10, 1, STR("\n\x06\n\x01t\x12\x01x")},
                                {20, 2, STR("\n\x06\n\x01t\x12\x01x")}};
    SelectedExemplar second[] = {{10, 1, STR("\n\x06\n\x01t\x12\x01x")},
                                 {10, 1, STR("\n\x06\n\x01t\x12\x01y")},
                                 {10, 3, STR("\n\x06\n\x01t\x12\x01x")},
                                 {15, 1, STR("")}};
    ModelSeries a, b;
    Read read;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    a = floats(bench.arena, one, 10, 10, 3, 1);
    b = floats(bench.arena, one, 10, 10, 3, 1);
    a.exemplars = first;
    a.exemplar_count = 2;
    b.exemplars = second;
    b.exemplar_count = 4;
    add_object(&bench, &a, 1, NULL, 0);
    add_object(&bench, &b, 1, NULL, 0);
    assert_ok(merge(&bench, INT64_MIN, &err), &err);
    read_begin(&bench, &read);
    assert_true(read_next(&read));
    assert_int_equal(read.exemplar_count, 5);
    for (size_t i = 1; i < 5; i++)
        assert_true(read.exemplars[i - 1].time_ms <= read.exemplars[i].time_ms);
    assert_int_equal(read.exemplars[3].time_ms, 15);
    block_cursor_close(read.cursor);
    bench_done(&bench);
}

static void metadata_is_joined_and_each_is_there_once(void **state) {
    const MetadataItem first[] = {{STR("a"), STR("help"), STR(""), METRIC_COUNTER},
                                  {STR("b"), STR("b's"), STR("s"), METRIC_GAUGE}};
    const MetadataItem second[] = {{STR("a"), STR("help"), STR(""), METRIC_COUNTER},
                                   {STR("a"), STR("other"), STR(""), METRIC_COUNTER},
                                   {STR("c"), STR(""), STR(""), METRIC_INFO}};
    ModelSeries series;
    BlockStats stats = {0};
    const Block *block;
    MetadataItem *items;
    size_t count;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    series = floats(bench.arena, one, 10, 10, 3, 1);
    add_object(&bench, &series, 1, first, 2);
    add_object(&bench, &series, 1, second, 3);
    assert_ok(merge(&bench, INT64_MIN, &err), &err);
    assert_ok(block_open(bench.cache, STR("merged"), bench.result.size, bench.arena, &stats, &block,
                         &err),
              &err);
    assert_ok(
        block_metrics_metadata_read(block, STR("t"), bench.arena, &stats, &items, &count, &err),
        &err);
    assert_int_equal(count, 4);
    assert_true(str_equal(items[0].metric, STR("a")) && str_equal(items[1].metric, STR("a")));
    assert_true(str_equal(items[2].unit, STR("s")));
    assert_int_equal(items[3].type, METRIC_INFO);
    bench_done(&bench);
}

static void the_source_that_cannot_be_read_is_said(void **state) {
    ModelSeries series;
    StoreObject object;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    series = floats(bench.arena, one, 10, 10, 3, 1);
    for (unsigned i = 0; i < 3; i++) add_object(&bench, &series, 1, NULL, 0);
    assert_ok(store_delete(bench.store, STR("source-1"), &err), &err);
    assert_int_equal(merge(&bench, INT64_MIN, &err), ERR_NOT_FOUND);
    assert_ptr_equal(bench.failed, bench.sources[1]);
    assert_int_equal(store_head(bench.store, STR("merged"), &object, &err), ERR_NOT_FOUND);
    bench_done(&bench);
}

static void other_signals_are_refused_by_this_release(void **state) {
    ModelSeries series;
    MergeIo io;
    Bench bench;
    Error err = {0};

    (void)state;
    bench_make(&bench);
    series = floats(bench.arena, one, 10, 10, 3, 1);
    add_object(&bench, &series, 1, NULL, 0);
    assert_ok(merge(&bench, INT64_MIN, &err), &err);
    bench.job.signal = (Signal)9;
    io = (MergeIo){.from = bench.store, .cache = bench.cache, .to = bench.store};
    assert_int_equal(merge_run(&io, &bench.job, STR("other"), bench.arena, &bench.result,
                               &bench.empty, &bench.failed, &err),
                     ERR_UNSUPPORTED);
    bench_done(&bench);
}

/* ---- near.c ---- */

static void objects_that_are_near_are_read_like_those_in_the_store(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(store_free) Store *far = store_new(store_driver_memory());
    ManifestEntry entries[] = {{.key = STR("a"), .size = 10},
                               {.key = STR("large"), .size = 1000},
                               {.key = STR("gone"), .size = 5},
                               {.key = STR("longer"), .size = 3}};
    const ManifestEntry *list[] = {&entries[0], &entries[1], &entries[2], &entries[3]};
    StoreObject object;
    Store *near = NULL;
    Str got;
    Error err = {0};

    (void)state;
    assert_ok(store_put(far, STR("a"), STR("0123456789"), NULL, &err), &err);
    assert_ok(store_put(far, STR("large"), STR("large"), NULL, &err), &err);
    assert_ok(store_put(far, STR("longer"), STR("longer"), NULL, &err), &err);
    assert_ok(near_store(far, list, 4, 100, arena, &near, &err), &err);
    assert_ok(store_put(far, STR("a"), STR("changed"), NULL, &err), &err);
    assert_ok(store_get(near, STR("a"), 2, 3, arena, &got, &object, &err), &err);
    assert_true(str_equal(got, STR("234")));
    assert_int_equal(object.size, 10);
    assert_ok(store_get(near, STR("a"), 8, 100, arena, &got, NULL, &err), &err);
    assert_true(str_equal(got, STR("89")));
    assert_ok(store_get(near, STR("a"), 10, 1, arena, &got, NULL, &err), &err);
    assert_int_equal(got.len, 0);
    assert_int_equal(store_get(near, STR("a"), 11, 1, arena, &got, NULL, &err), ERR_INVALID);
    assert_ok(store_get_tail(near, STR("a"), 4, arena, &got, NULL, &err), &err);
    assert_true(str_equal(got, STR("6789")));
    assert_ok(store_get_tail(near, STR("a"), 400, arena, &got, NULL, &err), &err);
    assert_int_equal(got.len, 10);
    assert_ok(store_head(near, STR("a"), &object, &err), &err);
    assert_int_equal(object.size, 10);
    /* What isn't near is read where it is. */
    assert_ok(store_get(near, STR("large"), 0, 9, arena, &got, NULL, &err), &err);
    assert_true(str_equal(got, STR("large")));
    assert_ok(store_get_tail(near, STR("large"), 2, arena, &got, NULL, &err), &err);
    assert_true(str_equal(got, STR("ge")));
    assert_int_equal(store_get(near, STR("gone"), 0, 9, arena, &got, NULL, &err), ERR_NOT_FOUND);
    assert_int_equal(store_head(near, STR("gone"), &object, &err), ERR_NOT_FOUND);
    assert_int_equal(store_put(near, STR("b"), STR(""), NULL, &err), ERR_UNSUPPORTED);
    assert_int_equal(store_delete(near, STR("a"), &err), ERR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_are_joined_by_their_labels),
        cmocka_unit_test(an_instant_is_there_once_whatever_its_kind),
        cmocka_unit_test(values_keep_their_bits),
        cmocka_unit_test(what_is_past_its_retention_is_left_out),
        cmocka_unit_test(nothing_left_is_no_object),
        cmocka_unit_test(exemplars_are_joined_and_each_is_there_once),
        cmocka_unit_test(metadata_is_joined_and_each_is_there_once),
        cmocka_unit_test(the_source_that_cannot_be_read_is_said),
        cmocka_unit_test(other_signals_are_refused_by_this_release),
        cmocka_unit_test(objects_that_are_near_are_read_like_those_in_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
