/* What ingester.h promises, with nothing failing; faults_test.c is about the rest. */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "common/base/log.h"
#include "tests/unit/ingester/world.h"

static const Str TEAM = STR_INIT("team");

static int setup(void **state) {
    World *world = malloc(sizeof *world);

    world_make(world);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    world_done(*state);
    free(*state);
    return 0;
}

/* Ten instants of 200 series of two tenants. */
static void fill(World *world, Facts *facts) {
    for (unsigned k = 0; k < 10; k++) {
        AppendResult result = world_scrape(world, TEAM, 0, 200, 1000 + k * 15000, facts);

        assert_int_equal(result.code, ERR_OK);
        assert_int_equal(result.samples, 200);
        assert_int_equal(world_scrape(world, STR("other"), 0, 50, k * 1000, NULL).samples, 50);
    }
}

static void what_is_acknowledged_is_visible_at_once(void **state) {
    World *world = *state;
    Facts facts = {0};

    world_start(world);
    for (unsigned k = 0; k < 30; k++) {
        assert_int_equal(world_scrape(world, TEAM, k * 3, 40, k * 1000, &facts).code, ERR_OK);
        assert_holds(world, TEAM, &facts);
    }
    facts_done(&facts);
}

/* Before the answer: who asks right after it knows of the change. */
static void what_is_acknowledged_is_noted(void **state) {
    World *world = *state;
    CLEANUP(changes_free) Changes *changes = changes_new();
    ChangedRange ranges[CHANGES_RANGES_MAX];
    Fact facts[] = {{1, 5000, 1}, {2, 7000, 2}, {3, 3000, 3}};
    int64_t min_ms = INT64_MAX, max_ms = INT64_MIN;
    size_t count;

    world_stop(world, false);
    world->options.changes = changes;
    world_start(world);
    assert_int_equal(world_append(world, TEAM, facts, ARRAY_LEN(facts)).code, ERR_OK);
    count = changes_since(changes, TEAM, 0, ranges);
    for (size_t i = 0; i < count; i++) {
        min_ms = MIN(min_ms, ranges[i].min_ms);
        max_ms = MAX(max_ms, ranges[i].max_ms);
    }
    assert_int_equal(min_ms, 3000);
    assert_int_equal(max_ms, 7000);
    assert_int_equal(changes_since(changes, STR("other"), 0, ranges), 0);
    /* What is already in the log when the process starts was there for every question. */
    assert_int_equal(changes_since(changes, TEAM, changes_mark(changes), ranges), 0);
    world_stop(world, false);
    world->options.changes = NULL;
    world_start(world);
}

static void an_empty_batch_is_answered(void **state) {
    World *world = *state;
    AppendResult result;

    world_start(world);
    result = world_append_batch(world, &(MetricsBatch){.tenant = TEAM});
    assert_int_equal(result.code, ERR_OK);
    assert_int_equal(result.samples, 0);
}

static void a_restart_brings_everything_back(void **state) {
    static const unsigned lanes[] = {2, 5, 1, 3, 3};
    World *world = *state;
    Facts facts = {0}, others = {0};

    store_fault_arm(world->faults, &(FaultPlan){.kind = FAULT_BEFORE, .call = 1, .for_good = true});
    for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
        world->options.lanes = lanes[i];
        world_start(world);
        assert_holds(world, TEAM, &facts);
        for (unsigned k = 0; k < 5; k++) {
            world_scrape(world, TEAM, 0, 200, (int64_t)(i * 10 + k) * 15000, &facts);
            world_scrape(world, STR("other"), 0, 50, (int64_t)(i * 10 + k) * 1000, &others);
        }
        assert_holds(world, TEAM, &facts);
        world_stop(world, false);
    }
    /* The store comes back: everything is flushed, once. */
    store_fault_arm(world->faults, &(FaultPlan){0});
    world_start(world);
    Error err = {0};
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_holds(world, TEAM, &facts);
    assert_holds(world, STR("other"), &others);
    facts_done(&facts);
    facts_done(&others);
}

static size_t count_files(const char *dir, const char *ending) {
    char command[256];
    FILE *pipe;
    unsigned long n = 0;

    snprintf(command, sizeof command, "find %s -name '*%s' | wc -l", dir, ending);
    pipe = popen(command, "r");
    assert_int_equal(fscanf(pipe, "%lu", &n), 1);
    pclose(pipe);
    return n;
}

static void a_flush_moves_everything_into_the_store(void **state) {
    World *world = *state;
    Facts facts = {0}, heads = {0};
    Error err = {0};

    world_start(world);
    fill(world, &facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    world_read_heads(world, TEAM, NULL, 0, &heads);
    assert_int_equal(heads.count, 0);
    assert_holds(world, TEAM, &facts);
    /* One object a lane, for both tenants; one fresh log file a lane. */
    assert_int_equal(world_read_store(world, TEAM, &heads), 2);
    assert_int_equal(count_files(world->dir, ".wal"), 2);
    fill(world, &facts);
    facts_unique(&facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    world_stop(world, true);
    world_start(world);
    heads.count = 0;
    world_read_heads(world, TEAM, NULL, 0, &heads);
    assert_int_equal(heads.count, 0);
    heads.count = 0;
    world_read_store(world, TEAM, &heads);
    facts_unique(&heads);
    assert_int_equal(heads.count, facts.count);
    facts_done(&facts);
    facts_done(&heads);
}

static void closing_flushes_when_asked(void **state) {
    World *world = *state;
    Facts facts = {0};

    world_start(world);
    fill(world, &facts);
    world_stop(world, true);
    temp_dir_remove(world->dir);
    world_start(world); /* the directory is gone: all is in the store */
    assert_holds(world, TEAM, &facts);
    facts_done(&facts);
}

static void doubles_are_kept_quietly_and_conflicts_are_told(void **state) {
    World *world = *state;
    Fact first[] = {{1, 1000, 5}, {2, 1000, 6}};
    Fact again[] = {{1, 1000, 5}, {2, 1000, 7}, {1, 2000, NAN}, {1, 2000, NAN}, {2, 500, 1}};
    Facts expected = {0};
    AppendResult result;

    world_start(world);
    world_append(world, TEAM, first, 2);
    result = world_append(world, TEAM, again, 5);
    assert_int_equal(result.code, ERR_OK);
    assert_int_equal(result.samples, 4);
    assert_int_equal(result.conflicts, 1);
    assert_string_equal(result.first.text,
                        "duplicate sample for timestamp 1000; overrides not allowed: existing 6, "
                        "new value 7; series {__name__=\"metric_2\", i=\"2\"}");
    facts_add(&expected, 1, 1000, 5);
    facts_add(&expected, 2, 1000, 6);
    facts_add(&expected, 1, 2000, NAN);
    facts_add(&expected, 2, 500, 1);
    assert_holds(world, TEAM, &expected);
    world_restart(world); /* the log comes to the same decisions */
    assert_holds(world, TEAM, &expected);
    facts_done(&expected);
}

static void the_log_may_use_a_ring_and_sync_in_intervals(void **state) {
    World *world = *state;
    Facts facts = {0};

    for (unsigned i = 0; i < 4; i++) {
        world->options.wal_io_uring = i % 2 == 1;
        world->options.wal_sync = i < 2 ? WAL_SYNC_ALWAYS : WAL_SYNC_INTERVAL;
        world->options.wal_interval_ms = 20;
        world_start(world);
        for (unsigned k = 0; k < 10; k++) {
            world->clock.wall_ms += 30;
            world_scrape(world, TEAM, 0, 100, (i * 10 + k) * 1000, &facts);
        }
        assert_holds(world, TEAM, &facts);
        world_stop(world, false);
    }
    world_start(world);
    assert_holds(world, TEAM, &facts);
    facts_done(&facts);
}

static void new_series_past_the_limit_are_dropped_and_told(void **state) {
    World *world = *state;
    TenantOverride small = {.tenant = TEAM, .limits = {.series_max = 10}};
    Error err = {0};
    AppendResult result;
    Facts facts = {0};

    assert_ok(tenants_replace(world->tenants, &(TenantLimits){0}, &small, 1, &err), &err);
    world_start(world);
    result = world_scrape(world, TEAM, 0, 25, 1000, NULL);
    assert_int_equal(result.code, ERR_OK);
    assert_int_equal(result.samples, 10);
    assert_int_equal(result.over_limit, 15);
    assert_non_null(strstr(result.first.text, "series_max is 10 for tenant team"));
    assert_int_equal(ingester_active_series(world->ingester, TEAM), 10);
    world_read_heads(world, TEAM, NULL, 0, &facts);
    assert_int_equal(facts.count, 10);
    /* Known ones go on, other tenants have no such limit. */
    assert_int_equal(world_scrape(world, TEAM, 0, 25, 2000, NULL).samples, 10);
    assert_int_equal(world_scrape(world, STR("other"), 0, 25, 2000, NULL).samples, 25);
    /* A larger limit is noticed within a second. */
    small.limits.series_max = 20;
    assert_ok(tenants_replace(world->tenants, &(TenantLimits){0}, &small, 1, &err), &err);
    world->clock.wall_ms += 1500;
    assert_int_equal(world_scrape(world, TEAM, 0, 25, 3000, NULL).samples, 20);
    world_restart(world);
    facts.count = 0;
    world_read_heads(world, TEAM, NULL, 0, &facts);
    world_read_store(world, TEAM, &facts);
    assert_int_equal(facts_unique(&facts), 40);
    facts_done(&facts);
}

static void active_series_outlive_a_flush(void **state) {
    World *world = *state;
    Error err = {0};

    world_start(world);
    world_scrape(world, TEAM, 0, 100, 1000, NULL);
    assert_int_equal(ingester_active_series(world->ingester, TEAM), 100);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_int_equal(ingester_active_series(world->ingester, TEAM), 100);
    world_scrape(world, TEAM, 0, 50, 2000, NULL);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_int_equal(ingester_active_series(world->ingester, TEAM), 50);
    assert_int_equal(ingester_active_series(world->ingester, STR("nobody")), 0);
}

static void one_process_has_a_directory(void **state) {
    World *world = *state;
    Ingester *second;
    Error err = {0};
    char pid[32];

    world_start(world);
    assert_int_equal(ingester_open(&world->options, &second, &err), ERR_UNAVAILABLE);
    snprintf(pid, sizeof pid, "pid %d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
}

static void the_seed_is_kept(void **state) {
    World *world = *state;
    uint64_t seed;

    world_start(world);
    seed = ingester_series_seed(world->ingester);
    world_restart(world);
    assert_true(ingester_series_seed(world->ingester) == seed);
}

static void old_and_large_heads_are_flushed(void **state) {
    World *world = *state;
    Facts facts = {0}, found = {0};

    world->options.flush_age_ms = 60000;
    world->options.flush_bytes = KIB(768);
    world_start(world);
    fill(world, &facts);
    world->clock.wall_ms += 59000;
    usleep(400000);
    assert_int_equal(world_read_store(world, TEAM, &found), 0);
    world->clock.wall_ms += 2000;
    for (unsigned i = 0; world_read_store(world, TEAM, &found) == 0; i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
    for (unsigned k = 0; k < 100; k++)
        world_scrape(world, TEAM, 0, 6000, 10000000 + k * 1000, NULL);
    for (unsigned i = 0; world_read_store(world, TEAM, &found) < 4; i++) {
        assert_true(i < 1000);
        found.count = 0;
        usleep(10000);
    }
    facts_done(&facts);
    facts_done(&found);
}

/* ---------- everything that isn't a float ---------- */

static void append_rest(World *world, Arena *arena, unsigned round) {
    double buckets[2] = {1, round};
    HistogramSpan span = {0, 2};
    NativeHistogram histogram = {.schema = 1,
                                 .count = 1 + round,
                                 .sum = 2500 + round,
                                 .positive_spans = &span,
                                 .positive_span_count = 1,
                                 .positive = buckets,
                                 .positive_count = 2};
    MetricsHistogram histograms[2] = {{1000 + round, &histogram}, {2000 + round, &histogram}};
    LabelPair trace = {STR("trace_id"), str_format(arena, "t%u", round)};
    MetricsExemplar exemplar = {.time_ms = 1500 + round, .value = 0.5};
    MetricsSample sample = {5000 + round, 1};
    MetricsMetadata metadata = {STR("metric_1"), str_format(arena, "help %u", round), STR("s"),
                                METRIC_HISTOGRAM};
    MetricsRow rows[2];
    MetricsBatch batch = {.tenant = TEAM,
                          .rows = rows,
                          .row_count = 2,
                          .samples = &sample,
                          .sample_count = 1,
                          .histograms = histograms,
                          .histogram_count = 2,
                          .exemplars = &exemplar,
                          .exemplar_count = 1,
                          .metadata = &metadata,
                          .metadata_count = 1};
    Buf buf;
    AppendResult result;

    buf_init(&buf, 0);
    labels_encode((LabelPairs){&trace, 1}, &buf);
    exemplar.labels = buf_str(&buf);
    rows[0] = world_row(world, arena, TEAM, 1);
    rows[0].histogram_count = 2;
    rows[0].exemplar_count = 1;
    rows[1] = world_row(world, arena, TEAM, 2);
    rows[1].sample_count = 1;
    result = world_append_batch(world, &batch);
    assert_int_equal(result.code, ERR_OK);
    assert_int_equal(result.histograms, 2);
    assert_int_equal(result.exemplars, 1);
    assert_int_equal(result.samples, 1);
    buf_done(&buf);
}

static void check_rest(World *world, unsigned rounds) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HeadReader reader = ingester_head_reader(world->ingester);
    HeadSelect select = {.tenant = TEAM, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    MetricsSelection *selections;
    HeadExemplars **exemplars;
    MetadataItem *metadata;
    Facts facts = {0};
    size_t count, total = 0;
    Error err = {0};

    world_read_heads(world, TEAM, NULL, 0, &facts);
    assert_int_equal(facts_unique(&facts), 3 * rounds);
    for (unsigned r = 0; r < rounds; r++) assert_true(facts.items[r].value == 2500 + r);
    facts_done(&facts);
    assert_ok(
        reader.exemplars(reader.context, &select, arena, &selections, &exemplars, &count, &err),
        &err);
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < selections[s].series_count; i++) total += exemplars[s][i].count;
    assert_int_equal(total, rounds);
    assert_ok(reader.metadata(reader.context, TEAM, arena, &metadata, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_true(str_equal(metadata[0].help, str_format(arena, "help %u", rounds - 1)));
    assert_int_equal(metadata[0].type, METRIC_HISTOGRAM);
}

static void histograms_exemplars_and_metadata_come_along(void **state) {
    World *world = *state;
    Arena *arena = arena_new(0, NULL);

    store_fault_arm(world->faults, &(FaultPlan){.kind = FAULT_BEFORE, .call = 1, .for_good = true});
    world_start(world);
    for (unsigned r = 0; r < 6; r++) {
        append_rest(world, arena, r);
        check_rest(world, r + 1);
        if (r % 2 == 1) world_restart(world); /* the next ones go into another generation */
        check_rest(world, r + 1);
    }
    store_fault_arm(world->faults, &(FaultPlan){0});
    Error err = {0};
    assert_ok(ingester_flush(world->ingester, &err), &err);
    arena_free(arena);
}

static void labels_come_from_all_lanes_and_generations_sorted(void **state) {
    World *world = *state;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HeadReader reader = ingester_head_reader(world->ingester);
    Str *values;
    size_t count;
    Error err = {0};

    store_fault_arm(world->faults, &(FaultPlan){.kind = FAULT_BEFORE, .call = 1, .for_good = true});
    world_start(world);
    world_scrape(world, TEAM, 100, 3, 1000, NULL);
    world_scrape(world, STR("other"), 500, 3, 1000, NULL);
    world_restart(world);
    world_scrape(world, TEAM, 101, 4, 2000, NULL);
    reader = ingester_head_reader(world->ingester);
    assert_ok(reader.labels(reader.context, TEAM, STR("i"), arena, &values, &count, &err), &err);
    assert_int_equal(count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(str_equal(values[i], str_format(arena, "%zu", 100 + i)));
    assert_ok(reader.labels(reader.context, TEAM, STR(""), arena, &values, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_true(str_equal(values[0], STR("__name__")) && str_equal(values[1], STR("i")));
    assert_ok(reader.labels(reader.context, STR("nobody"), STR(""), arena, &values, &count, &err),
              &err);
    assert_int_equal(count, 0);
}

static void a_selection_outlives_its_generation(void **state) {
    World *world = *state;
    Arena *arena = arena_new(0, NULL);
    HeadReader reader;
    HeadSelect select = {.tenant = TEAM, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    MetricsSelection *selections;
    size_t count, samples_seen = 0;
    Facts facts = {0};
    Error err = {0};

    world_start(world);
    fill(world, &facts);
    reader = ingester_head_reader(world->ingester);
    assert_ok(reader.select(reader.context, &select, arena, &selections, &count, &err), &err);
    fill(world, &facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < selections[s].series_count; i++)
            for (uint32_t k = 0; k < selections[s].series[i].chunk_count; k++) {
                ChunkSamples samples;

                assert_ok(stream_decode(&selections[s].series[i].chunks[k], arena, &samples, &err),
                          &err);
                samples_seen += samples.count;
            }
    assert_int_equal(samples_seen, 2000);
    world_stop(world, false); /* even the ingester */
    arena_free(arena);
    facts_done(&facts);
}

/* ---------- many at once ---------- */

typedef struct Writer {
    World *world;
    pthread_t thread;
    unsigned number;
    Facts facts;
    atomic_bool *stop;
} Writer;

static void *write_on(void *context) {
    Writer *writer = context;

    for (unsigned k = 0; k < 60; k++) {
        AppendResult result =
            world_scrape(writer->world, TEAM, writer->number * 1000, 150, k * 1000, &writer->facts);

        assert_int_equal(result.code, ERR_OK);
    }
    return NULL;
}

static void *read_on(void *context) {
    Writer *reader = context;
    size_t last = 0;

    while (!atomic_load(reader->stop)) {
        Facts facts = {0};

        /* Heads first, then the store: nothing is ever missed in between. */
        world_read_heads(reader->world, TEAM, NULL, 0, &facts);
        world_read_store(reader->world, TEAM, &facts);
        facts_unique(&facts);
        assert_true(facts.count >= last);
        last = facts.count;
        facts_done(&facts);
    }
    return NULL;
}

static void *flush_on(void *context) {
    Writer *flusher = context;

    while (!atomic_load(flusher->stop)) {
        Error err = {0};

        assert_ok(ingester_flush(flusher->world->ingester, &err), &err);
        usleep(3000);
    }
    return NULL;
}

static void writers_readers_and_flushes_do_not_disturb_each_other(void **state) {
    World *world = *state;
    atomic_bool stop = false;
    Writer writers[3], reader = {.world = world, .stop = &stop}, flusher = reader;
    Facts all = {0};

    world_start(world);
    for (unsigned i = 0; i < 3; i++) {
        writers[i] = (Writer){.world = world, .number = i};
        pthread_create(&writers[i].thread, NULL, write_on, &writers[i]);
    }
    pthread_create(&reader.thread, NULL, read_on, &reader);
    pthread_create(&flusher.thread, NULL, flush_on, &flusher);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(writers[i].thread, NULL);
        for (size_t k = 0; k < writers[i].facts.count; k++)
            facts_add(&all, (uint32_t)writers[i].facts.items[k].series,
                      writers[i].facts.items[k].time_ms, writers[i].facts.items[k].value);
        facts_done(&writers[i].facts);
    }
    atomic_store(&stop, true);
    pthread_join(reader.thread, NULL);
    pthread_join(flusher.thread, NULL);
    assert_holds(world, TEAM, &all);
    world_restart(world);
    assert_holds(world, TEAM, &all);
    facts_done(&all);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_is_acknowledged_is_visible_at_once),
        WORLD_TEST(what_is_acknowledged_is_noted),
        WORLD_TEST(an_empty_batch_is_answered),
        WORLD_TEST(a_restart_brings_everything_back),
        WORLD_TEST(a_flush_moves_everything_into_the_store),
        WORLD_TEST(closing_flushes_when_asked),
        WORLD_TEST(doubles_are_kept_quietly_and_conflicts_are_told),
        WORLD_TEST(the_log_may_use_a_ring_and_sync_in_intervals),
        WORLD_TEST(new_series_past_the_limit_are_dropped_and_told),
        WORLD_TEST(active_series_outlive_a_flush),
        WORLD_TEST(one_process_has_a_directory),
        WORLD_TEST(the_seed_is_kept),
        WORLD_TEST(old_and_large_heads_are_flushed),
        WORLD_TEST(histograms_exemplars_and_metadata_come_along),
        WORLD_TEST(labels_come_from_all_lanes_and_generations_sorted),
        WORLD_TEST(a_selection_outlives_its_generation),
        WORLD_TEST(writers_readers_and_flushes_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
