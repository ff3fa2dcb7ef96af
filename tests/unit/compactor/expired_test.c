/* Streams of logs with a retention of their own: merging leaves out what is past it, and blocks
 * that no merge is due for are written anew when it is worth it, and not looked at all the time. */
#include "tests/unit/compactor/log_place.h"

/* "s=<stream>" */
static ErrCode parse(Arena *arena, Str selector, const Matcher **out, size_t *count, Error *err) {
    Matcher *matcher = ARENA_NEW(arena, Matcher);

    *out = matcher;
    *count = 1;
    return matcher_new(arena, MATCH_EQUAL, STR("s"), str_from(selector, 2), matcher, err);
}

static void set_rules(Place *place, const StreamRetention *rules, size_t count,
                      int64_t retention_ms) {
    TenantLimits limits = {.retention_logs_ms = retention_ms};
    Error err = {0};

    assert_ok(stream_retentions_keep(rules, count, parse, &limits.log_streams, &err), &err);
    assert_ok(tenants_replace(place->tenants, &limits, NULL, 0, &err), &err);
}

/* Streams "0" to "3" of tenant t with a line a minute from `from_ms` on. */
static void put_logs(Place *place, int64_t from_ms, int minutes) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockWriter *writer;
    BlockSummary summary;
    Error err = {0};
    Buf body;

    buf_init(&body, 0);
    writer = block_writer_new(arena, block_sink_buf(&body), from_ms);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    for (int s = 0; s < 4; s++) {
        LabelPair pair = {STR("s"), str_format(arena, "%d", s)};

        assert_ok(block_logs_stream(writer, (LabelPairs){&pair, 1}, &err), &err);
        for (int n = 0; n < minutes; n++) {
            int64_t time_ns = (from_ms + n * 60000) * 1000000;
            Str line = STR("line");

            assert_ok(block_logs_rows(writer, &(LogRows){&time_ns, &line, NULL, 1}, &err), &err);
        }
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    place_put_segment(place, &body, &summary, from_ms, (ManifestEntry){.created_ms = from_ms});
}

static void run(Place *place) {
    Error err = {0};

    assert_ok(compactor_run(place->compactor, &err), &err);
}

/* Puts and gets of a run. */
static uint64_t calls_of_run(Place *place) {
    store_fault_arm(place->faulty, &(FaultPlan){.only = FAULT_PUTS | FAULT_GETS});
    run(place);
    return store_fault_calls(place->faulty);
}

static StreamRetention rule(const char *selector, int64_t hours, int64_t priority) {
    return (StreamRetention){
        .selector = str_of(selector), .period_ms = hours * HOUR, .priority = priority};
}

static void segments_are_split_without_what_is_past_its_streams_retention(void **state) {
    StreamRetention rules[] = {rule("s=0", 2, 0), rule("s=1", 400, 0), rule("s=2", 3, 0),
                               rule("s=2", 1, 1)};
    Place place;

    (void)state;
    place_make(&place);
    /* Five hours of lines, to now; the others are kept for four. */
    set_rules(&place, rules, ARRAY_LEN(rules), 4 * HOUR);
    put_logs(&place, NOW - 5 * HOUR, 300);
    run(&place);
    assert_lines(&place, 120, 300, 60, 240);
    place_done(&place);
}

static void without_a_period_of_their_own_the_others_stay_for_good(void **state) {
    StreamRetention rules[] = {rule("s=0", 24, 0)};
    Place place;

    (void)state;
    place_make(&place);
    set_rules(&place, rules, 1, 0);
    put_logs(&place, NOW - 1000 * HOUR, 60);
    run(&place);
    assert_lines(&place, 0, 60, 60, 60);
    place_done(&place);
}

static void blocks_are_written_anew_when_a_good_part_is_to_go(void **state) {
    StreamRetention rules[] = {rule("s=0", 30, 0)};
    uint64_t idle;
    Place place;

    (void)state;
    place_make(&place);
    set_rules(&place, rules, 1, 0);
    put_logs(&place, NOW - 10 * HOUR, 600);
    run(&place);
    run(&place); /* the window's merges */
    assert_lines(&place, 600, 600, 600, 600);
    idle = calls_of_run(&place);
    /* A little is past it: not worth a block. */
    atomic_store(&place.clock.wall_ms, NOW + 20 * HOUR + HOUR / 2);
    run(&place);
    assert_lines(&place, 600, 600, 600, 600);
    assert_true(calls_of_run(&place) <= idle); /* nor another look at once */
    atomic_store(&place.clock.wall_ms, NOW + 25 * HOUR);
    run(&place);
    assert_lines(&place, 300, 600, 600, 600);
    run(&place);
    assert_true(calls_of_run(&place) <= idle);
    /* And all of it, when the block is older than the rule. */
    atomic_store(&place.clock.wall_ms, NOW + 100 * HOUR);
    run(&place);
    assert_lines(&place, 0, 600, 600, 600);
    atomic_store(&place.clock.wall_ms, NOW + 1000 * HOUR);
    run(&place);
    assert_lines(&place, 0, 600, 600, 600);
    place_done(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_split_without_what_is_past_its_streams_retention),
        cmocka_unit_test(without_a_period_of_their_own_the_others_stay_for_good),
        cmocka_unit_test(blocks_are_written_anew_when_a_good_part_is_to_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
