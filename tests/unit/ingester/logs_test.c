/* Logs in an ingester: what is acknowledged is there, byte for byte, wherever it lies. */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "common/base/log.h"
#include "tests/unit/ingester/failing.h"
#include "tests/unit/ingester/log_world.h"

static const Str TEAM = STR_INIT("team");

static int setup(void **state) {
    World *world = malloc(sizeof *world);

    world_make(world);
    /* Keeps the address space of many generations small: ThreadSanitizer has little of it. */
    budget_init(&world->heads, "heads", MIB(512), NULL);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    world_done(*state);
    free(*state);
    return 0;
}

static void fill(World *world, Lines *lines) {
    for (unsigned k = 0; k < 8; k++) {
        AppendResult result = world_push(world, TEAM, k, 30, 12, 1000000 * k, lines);

        assert_int_equal(result.code, ERR_OK);
        assert_int_equal(result.entries, 360);
        assert_int_equal(world_push(world, STR("other"), 0, 5, 3, 77 * k, NULL).entries, 15);
    }
}

static void what_is_acknowledged_is_visible_at_once(void **state) {
    World *world = *state;
    Lines lines = {0};

    world_start(world);
    for (unsigned k = 0; k < 15; k++) {
        assert_int_equal(world_push(world, TEAM, k * 3, 10, 20, k * 900, &lines).code, ERR_OK);
        assert_holds_lines(world, TEAM, &lines);
    }
    assert_int_equal(world_log_batch(world, &(LogsBatch){.tenant = TEAM}).code, ERR_OK);
    lines_done(&lines);
}

static void a_restart_brings_everything_back(void **state) {
    static const unsigned lanes[] = {2, 5, 1, 3};
    World *world = *state;
    Lines lines = {0}, others = {0};
    Error err = {0};

    store_is_down(world, true);
    for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
        world->options.lanes = lanes[i];
        world_start(world);
        assert_holds_lines(world, TEAM, &lines);
        world_push(world, TEAM, 0, 40, 9, (int64_t)i * 100000, &lines);
        world_push(world, STR("other"), 0, 10, 9, (int64_t)i * 100, &others);
        assert_holds_lines(world, TEAM, &lines);
        world_stop(world, false);
    }
    store_is_down(world, false);
    world_start(world);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_holds_lines(world, TEAM, &lines);
    assert_stored_lines(world, STR("other"), &others);
    lines_done(&lines);
    lines_done(&others);
}

static void metrics_and_logs_share_log_and_segment(void **state) {
    World *world = *state;
    Lines lines = {0}, found = {0};
    Facts facts = {0};
    Error err = {0};

    for (unsigned round = 0; round < 2; round++) {
        world_start(world);
        world_push(world, TEAM, 0, 20, 5, round * 1000, &lines);
        world_scrape(world, TEAM, 0, 20, 1000 + round, &facts);
        world_push(world, STR("logs-only"), 0, 2, 5, 0, NULL);
        world_scrape(world, STR("metrics-only"), 0, 2, 1000, NULL);
        assert_holds(world, TEAM, &facts);
        assert_holds_lines(world, TEAM, &lines);
        world_stop(world, false);
    }
    world_start(world);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored(world, TEAM, &facts);
    assert_stored_lines(world, TEAM, &lines);
    /* An object a lane and epoch, for all tenants and both signals. */
    assert_true(world_log_store(world, TEAM, &found) <= 4);
    lines_done(&found);
    lines_done(&lines);
    facts_done(&facts);
}

static void any_bytes_and_any_times_come_back(void **state) {
    static const int64_t times[] = {5, INT64_MAX, INT64_MIN, 0, 5, -1, 4};
    World *world = *state;
    Lines lines = {0};
    size_t large = 3 << 20;
    char *bytes = malloc(large);
    Error err = {0};

    for (size_t i = 0; i < large; i++) bytes[i] = (char)(i * 2654435761u >> 13);
    world_start(world);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        LogEntry entries[] = {{times[i], {bytes, i * i * 1000}, {0}},
                              {times[i], {bytes + i, 0}, {0}},
                              {times[i], STR("a\0b\xff\xfe"), {0}}};

        assert_int_equal(world_log(world, TEAM, 1, entries, 3).entries, 3);
        for (size_t k = 0; k < 3; k++) lines_add(&lines, 1, &entries[k]);
    }
    LogEntry one = {7, {bytes, large}, {0}};
    assert_int_equal(world_log(world, TEAM, 1, &one, 1).entries, 1);
    lines_add(&lines, 1, &one);
    assert_holds_lines(world, TEAM, &lines);
    world_restart(world);
    assert_holds_lines(world, TEAM, &lines);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored_lines(world, TEAM, &lines);
    free(bytes);
    lines_done(&lines);
}

static void an_entry_past_all_limits_is_refused(void **state) {
    World *world = *state;
    char *bytes = calloc(1, LOG_LINE_BYTES_MAX + 1);
    LogEntry entry = {1, {bytes, LOG_LINE_BYTES_MAX + 1}, {0}};
    Lines lines = {0};

    world_start(world);
    assert_int_equal(world_log(world, TEAM, 1, &entry, 1).code, ERR_INVALID);
    entry.line.len--;
    assert_int_equal(world_log(world, TEAM, 1, &entry, 1).code, ERR_OK);
    lines_add(&lines, 1, &entry);
    assert_holds_lines(world, TEAM, &lines);
    free(bytes);
    lines_done(&lines);
}

/* Equal in time, line and metadata; also thousands at one instant, and a whole batch sent twice. */
static void doubles_are_stored_once_and_what_differs_stays(void **state) {
    World *world = *state;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LogEntry *many = ARENA_ARRAY(arena, LogEntry, 5000);
    Lines lines = {0};
    Error err = {0};

    world_start(world);
    for (unsigned i = 0; i < 5000; i++) {
        many[i] = (LogEntry){42, str_format(arena, "line %u", i % 1700), {0}};
        if (i % 5 == 0) many[i].metadata = STR("\x0a\x06\x0a\x01m\x12\x01v");
        lines_add(&lines, 3, &many[i]);
    }
    for (unsigned round = 0; round < 2; round++)
        assert_int_equal(world_log(world, TEAM, 3, many, 5000).entries, 5000);
    for (unsigned round = 0; round < 3; round++) {
        LogEntry few[] = {{50, STR("a"), {0}},
                          {50, STR("b"), {0}},
                          {50, STR("a"), {0}},
                          {51, STR("a"), {0}},
                          {49, STR("a"), {0}}};

        world_log(world, TEAM, 4, few, ARRAY_LEN(few));
        for (size_t i = 0; i < ARRAY_LEN(few); i++) lines_add(&lines, 4, &few[i]);
    }
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored_lines(world, TEAM, &lines);
    lines_done(&lines);
}

static void new_streams_past_the_limit_are_dropped_and_told(void **state) {
    World *world = *state;
    TenantOverride small = {.tenant = TEAM, .limits = {.streams_max = 10}};
    Error err = {0};
    AppendResult result;
    Lines lines = {0};

    assert_ok(tenants_replace(world->tenants, &(TenantLimits){0}, &small, 1, &err), &err);
    world_start(world);
    result = world_push(world, TEAM, 0, 25, 2, 1000, NULL);
    assert_int_equal(result.code, ERR_OK);
    assert_int_equal(result.entries, 20);
    assert_int_equal(result.over_limit, 30);
    assert_non_null(strstr(result.first.text, "streams_max is 10 for tenant team"));
    assert_int_equal(ingester_active_streams(world->ingester, TEAM), 10);
    assert_int_equal(ingester_active_series(world->ingester, TEAM), 0);
    assert_int_equal(world_push(world, TEAM, 0, 25, 2, 5000, NULL).entries, 20);
    assert_int_equal(world_push(world, STR("other"), 0, 25, 2, 1000, NULL).entries, 50);
    assert_int_equal(world_scrape(world, TEAM, 0, 25, 1000, NULL).samples, 25);
    small.limits.streams_max = 20;
    assert_ok(tenants_replace(world->tenants, &(TenantLimits){0}, &small, 1, &err), &err);
    world->clock.wall_ms += 1500;
    assert_int_equal(world_push(world, TEAM, 0, 25, 2, 9000, NULL).entries, 40);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_int_equal(ingester_active_streams(world->ingester, TEAM), 20);
    world_restart(world);
    world_log_store(world, TEAM, &lines);
    assert_int_equal(lines.count, 80);
    lines_done(&lines);
}

static void matchers_and_ranges_select(void **state) {
    World *world = *state;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LogHeadReader reader;
    Matcher matchers[3];
    LogSelect select = {.tenant = TEAM, .min_ns = INT64_MIN, .max_ns = INT64_MAX};
    Lines lines = {0}, found = {0};
    LogsSelection *selections;
    size_t n, streams = 0;
    Error err = {0};

    world_start(world);
    fill(world, &lines);
    assert_ok(matcher_new(arena, MATCH_EQUAL, STR("app"), STR("app_2"), &matchers[0], &err), &err);
    assert_ok(matcher_new(arena, MATCH_REGEX, STR("i"), STR("1.*"), &matchers[1], &err), &err);
    assert_ok(matcher_new(arena, MATCH_EQUAL, STR("none"), STR(""), &matchers[2], &err), &err);
    world_log_heads(world, TEAM, matchers, 3, &found);
    lines_unique(&found);
    lines_unique(&lines);
    for (size_t i = 0; i < found.count; i++)
        assert_true(found.items[i].stream == 12 || found.items[i].stream == 17);
    for (size_t i = 0; i < lines.count; i++)
        streams += lines.items[i].stream == 12 || lines.items[i].stream == 17;
    assert_int_equal(found.count, streams);

    /* Only streams 0 to 29 have entries before 1000000; none has any after 2^40. */
    reader = ingester_log_head_reader(world->ingester);
    select.max_ns = 999999;
    assert_ok(reader.select(reader.context, &select, arena, &selections, &n, &err), &err);
    streams = 0;
    for (size_t i = 0; i < n; i++) streams += selections[i].stream_count;
    assert_int_equal(streams, 30);
    select = (LogSelect){.tenant = TEAM, .min_ns = INT64_C(1) << 40, .max_ns = INT64_MAX};
    assert_ok(reader.select(reader.context, &select, arena, &selections, &n, &err), &err);
    assert_int_equal(n, 0);
    lines_done(&lines);
    lines_done(&found);
}

static void labels_come_from_all_lanes_and_generations_sorted(void **state) {
    World *world = *state;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LogHeadReader reader;
    HeadReader metrics;
    Str *names;
    size_t n;
    Error err = {0};

    world_start(world);
    store_is_down(world, true);
    for (unsigned k = 0; k < 4; k++) {
        world_push(world, TEAM, k * 2, 3, 2, k, NULL);
        world_scrape(world, TEAM, 0, 5, 1000, NULL);
        (void)!ingester_flush(world->ingester, &err);
    }
    world_push(world, TEAM, 8, 2, 2, 0, NULL);
    reader = ingester_log_head_reader(world->ingester);
    assert_ok(reader.labels(reader.context, TEAM, (Str){0}, arena, &names, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_true(str_equal(names[0], STR("app")) && str_equal(names[1], STR("i")));
    assert_ok(reader.labels(reader.context, TEAM, STR("i"), arena, &names, &n, &err), &err);
    assert_int_equal(n, 10);
    for (size_t i = 0; i < n; i++) assert_true(names[i].ptr[0] == (char)('0' + i));
    assert_ok(reader.labels(reader.context, STR("nobody"), STR("i"), arena, &names, &n, &err),
              &err);
    assert_int_equal(n, 0);
    /* Streams' labels are none of the metrics'. */
    metrics = ingester_head_reader(world->ingester);
    assert_ok(metrics.labels(metrics.context, TEAM, STR("app"), arena, &names, &n, &err), &err);
    assert_int_equal(n, 0);
    store_is_down(world, false);
}

static void a_selection_outlives_its_generation(void **state) {
    World *world = *state;
    Arena *arena = arena_new(0, NULL);
    CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(NULL);
    LogHeadReader reader;
    LogSelect select = {.tenant = TEAM, .min_ns = INT64_MIN, .max_ns = INT64_MAX};
    LogsSelection *selections;
    size_t count;
    Lines lines = {0}, seen = {0}, more = {0};
    Error err = {0};

    world_start(world);
    fill(world, &lines);
    reader = ingester_log_head_reader(world->ingester);
    assert_ok(reader.select(reader.context, &select, arena, &selections, &count, &err), &err);
    for (unsigned k = 0; k < 5; k++) fill(world, &more);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    world_stop(world, false); /* even the ingester */
    for (size_t s = 0; s < count; s++) take_selection(&selections[s], decoder, &seen);
    lines_unique(&seen);
    assert_same_lines(&seen, &lines);
    arena_free(arena);
    lines_done(&lines);
    lines_done(&seen);
    lines_done(&more);
}

/* What waits to be stored stays within twice the size at which a head is flushed, a lane: of two
 * lanes 1.4 MiB with what streams add, their live heads another one, and what eight generations
 * take even when they are empty. Everything together would be three times as much. */
static void logs_are_flushed_early_and_never_pile_up(void **state) {
    World *world = *state;
    Lines lines = {0}, found = {0};
    Error err = {0};

    world->options.flush_log_bytes = KIB(256);
    world_start(world);
    for (unsigned k = 0; k < 120; k++)
        assert_int_equal(world_push(world, TEAM, 0, 100, 10, k * 100000, &lines).code, ERR_OK);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored_lines(world, TEAM, &lines);
    assert_true(world_log_store(world, TEAM, &found) > 8);
    assert_true(atomic_load(&world->heads.peak) < MIB(6));
    lines_done(&found);
    lines_done(&lines);
}

/* Lines of a stalled store's lane are accepted for as long as there is memory. */
static void a_failing_store_does_not_hold_logs_back(void **state) {
    World *world = *state;
    Lines lines = {0};
    Error err = {0};

    world->options.flush_log_bytes = KIB(128);
    world_start(world);
    store_is_down(world, true);
    for (unsigned k = 0; k < 30; k++)
        assert_int_equal(world_push(world, TEAM, 0, 100, 10, k * 100000, &lines).code, ERR_OK);
    assert_holds_lines(world, TEAM, &lines);
    store_is_down(world, false);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored_lines(world, TEAM, &lines);
    lines_done(&lines);
}

/* ---------- many at once ---------- */

typedef struct Writer {
    World *world;
    pthread_t thread;
    unsigned number;
    Lines lines;
    atomic_bool *stop;
} Writer;

static void *write_on(void *context) {
    Writer *writer = context;

    for (unsigned k = 0; k < 40; k++) {
        AppendResult result = world_push(writer->world, TEAM, writer->number * 100, 30, 6,
                                         k * 100000, &writer->lines);

        assert_int_equal(result.code, ERR_OK);
        world_scrape(writer->world, TEAM, writer->number * 100, 30, k * 1000, NULL);
    }
    return NULL;
}

static void *read_on(void *context) {
    Writer *reader = context;
    size_t last = 0;

    while (!atomic_load(reader->stop)) {
        Lines lines = {0};

        /* Heads first, then the store: nothing is ever missed in between. */
        world_log_heads(reader->world, TEAM, NULL, 0, &lines);
        world_log_store(reader->world, TEAM, &lines);
        lines_unique(&lines);
        assert_true(lines.count >= last);
        last = lines.count;
        lines_done(&lines);
    }
    return NULL;
}

static void *flush_on(void *context) {
    Writer *flusher = context;

    while (!atomic_load(flusher->stop)) {
        Error err = {0};

        assert_ok(ingester_flush(flusher->world->ingester, &err), &err);
        usleep(5000);
    }
    return NULL;
}

static void writers_readers_and_flushes_do_not_disturb_each_other(void **state) {
    World *world = *state;
    atomic_bool stop = false;
    Writer writers[3], reader = {.world = world, .stop = &stop}, flusher = reader;
    Lines all = {0};

    world->options.flush_log_bytes = KIB(512);
    world_start(world);
    for (unsigned i = 0; i < 3; i++) {
        writers[i] = (Writer){.world = world, .number = i};
        pthread_create(&writers[i].thread, NULL, write_on, &writers[i]);
    }
    pthread_create(&reader.thread, NULL, read_on, &reader);
    pthread_create(&flusher.thread, NULL, flush_on, &flusher);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(writers[i].thread, NULL);
        for (size_t k = 0; k < writers[i].lines.count; k++) {
            const Line *line = &writers[i].lines.items[k];
            LogEntry entry = {line->time_ns, line->line, line->metadata};

            lines_add(&all, line->stream, &entry);
        }
        lines_done(&writers[i].lines);
    }
    atomic_store(&stop, true);
    pthread_join(reader.thread, NULL);
    pthread_join(flusher.thread, NULL);
    assert_holds_lines(world, TEAM, &all);
    world_restart(world);
    assert_holds_lines(world, TEAM, &all);
    lines_done(&all);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_is_acknowledged_is_visible_at_once),
        WORLD_TEST(a_restart_brings_everything_back),
        WORLD_TEST(metrics_and_logs_share_log_and_segment),
        WORLD_TEST(any_bytes_and_any_times_come_back),
        WORLD_TEST(an_entry_past_all_limits_is_refused),
        WORLD_TEST(doubles_are_stored_once_and_what_differs_stays),
        WORLD_TEST(new_streams_past_the_limit_are_dropped_and_told),
        WORLD_TEST(matchers_and_ranges_select),
        WORLD_TEST(labels_come_from_all_lanes_and_generations_sorted),
        WORLD_TEST(a_selection_outlives_its_generation),
        WORLD_TEST(logs_are_flushed_early_and_never_pile_up),
        WORLD_TEST(a_failing_store_does_not_hold_logs_back),
        WORLD_TEST(writers_readers_and_flushes_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
