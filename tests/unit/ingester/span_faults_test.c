/* Traces in an ingester whose disk, store, memory or log fails: no acknowledged span is lost. */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "common/base/log.h"
#include "tests/unit/ingester/failing.h"
#include "tests/unit/ingester/span_world.h"

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

/* Every span of `part` is one of `all`, which is sorted. */
static void assert_among(const SpanFacts *part, const SpanFacts *all) {
    for (size_t i = 0; i < part->count; i++)
        assert_non_null(
            bsearch(&part->items[i], all->items, all->count, sizeof(SpanFact), span_fact_compare));
}

/* Heads and store hold all that was acknowledged, and nothing that nobody sent. */
static void assert_has_spans(World *world, SpanFacts *acknowledged, SpanFacts *attempted) {
    SpanFacts found = {0};

    world_span_heads(world, TEAM, &found);
    world_span_store(world, TEAM, &found);
    span_facts_unique(&found);
    span_facts_sort(attempted);
    assert_among(acknowledged, &found);
    assert_among(&found, attempted);
    span_facts_done(&found);
}

/* ---------- disk ---------- */

/* Pushes 8 batches, with a flush in between, on a disk that fails at this call; then starts again
 * on a good one. */
static bool crash_at(FaultIoKind kind, unsigned call) {
    FaultIo *fault = fault_io_new(kind, call, EIO);
    World world;
    SpanFacts acknowledged = {0}, attempted = {0};
    Error err = {0};
    bool fired;

    world_make(&world);
    use_io(&world, fault);
    if (world_open(&world, &err) == ERR_OK) {
        for (uint32_t k = 0; k < 8; k++) {
            /* Traces 2k to 2k + 3, of which half were there before: their next spans. */
            world_trace(&world, TEAM, k * 2, 4, k * 5, 5, &acknowledged);
            for (uint32_t i = 0; i < 20; i++)
                span_facts_add(&attempted, k * 2 + i / 5, k * 5 + i % 5);
            if (k == 4 && ingester_flush(world.ingester, &err) != ERR_OK)
                assert_true(fault->fired > 0);
        }
        fired = fault->fired > 0;
        if (!fired) assert_int_equal(acknowledged.count, 160);
        world_stop(&world, false);
    } else {
        fired = true; /* and `fault` went with the lane */
    }
    use_io(&world, NULL);
    world_start(&world);
    assert_has_spans(&world, &acknowledged, &attempted);
    assert_ok(ingester_flush(world.ingester, &err), &err);
    assert_has_spans(&world, &acknowledged, &attempted);
    world_restart(&world);
    assert_has_spans(&world, &acknowledged, &attempted);
    world_done(&world);
    span_facts_done(&acknowledged);
    span_facts_done(&attempted);
    return fired;
}

static void a_crash_at_any_disk_call_loses_nothing(void **state) {
    (void)state;
    for (unsigned call = 1; crash_at(FAULT_IO_CRASH_BEFORE, call);) call++;
    for (unsigned call = 1; crash_at(FAULT_IO_CRASH_TORN, call);) call++;
    for (unsigned call = 1; crash_at(FAULT_IO_CRASH_AFTER, call);) call++;
}

static void one_failure_of_the_disk_loses_nothing(void **state) {
    (void)state;
    for (unsigned call = 1; crash_at(FAULT_IO_ONCE, call);) call++;
    for (unsigned call = 1; crash_at(FAULT_IO_SHORT, call);) call++;
}

static void a_full_disk_refuses_and_service_resumes_by_itself(void **state) {
    World *world = *state;
    FaultIo *fault = fault_io_new(FAULT_IO_CRASH_BEFORE, UINT32_MAX, ENOSPC);
    SpanFacts facts = {0};
    AppendResult result;

    use_io(world, fault);
    world_start(world);
    world_trace(world, TEAM, 0, 20, 0, 5, &facts);
    fault->crashed = true; /* the lane is idle: nothing else looks at it now */
    for (unsigned k = 0; k < 5; k++) {
        result = world_trace(world, TEAM, 10, 20, 20, 10, &facts);
        assert_int_equal(result.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(result.first.text, "no space left on device"));
        assert_int_equal(result.spans, 0);
    }
    assert_holds_spans(world, TEAM, &facts);
    fault->crashed = false;
    assert_int_equal(world_trace(world, TEAM, 10, 20, 20, 10, &facts).code, ERR_OK);
    assert_holds_spans(world, TEAM, &facts);
    use_io(world, NULL);
    world_restart(world); /* the origins of the failed groups are defined, too */
    assert_holds_spans(world, TEAM, &facts);
    span_facts_done(&facts);
}

/* ---------- the log on disk ---------- */

/* A log of 10 batches in one file; the store is down, so it stays. */
static void make_log(World *world, SpanFacts *facts, char *path, size_t size) {
    world->options.lanes = 1;
    store_is_down(world, true);
    world_start(world);
    for (uint32_t k = 0; k < 10; k++) world_trace(world, TEAM, k, 5, k * 4, 4, facts);
    world_stop(world, false);
    log_file(world, path, size);
}

/* Starts on a log of these bytes. */
static void start_on(World *world, const char *bytes, size_t len) {
    char path[256];

    temp_dir_remove(world->dir);
    assert_int_equal(mkdir(world->dir, 0700), 0);
    world_start(world);
    world_stop(world, false);
    log_file(world, path, sizeof path);
    write_file(path, bytes, len);
    world_start(world);
}

static void a_log_cut_anywhere_replays_what_is_whole(void **state) {
    World *world = *state;
    SpanFacts facts = {0};
    char path[256], *bytes = malloc(1 << 20);
    size_t len, last = 0;

    make_log(world, &facts, path, sizeof path);
    span_facts_sort(&facts);
    copy_file(path, bytes, &len, 1 << 20);
    for (size_t cut = 0; cut <= len; cut += cut < len ? MIN((size_t)151, len - cut) : 1) {
        SpanFacts found = {0};

        start_on(world, bytes, cut);
        world_span_heads(world, TEAM, &found);
        assert_among(&found, &facts);
        assert_true(found.count >= last);
        last = found.count;
        world_stop(world, false);
        span_facts_done(&found);
    }
    assert_int_equal(last, facts.count);
    free(bytes);
    span_facts_done(&facts);
}

static void a_damaged_log_replays_what_is_whole_and_is_kept(void **state) {
    World *world = *state;
    Counter *corruptions = telemetry_counter("moraine_wal_corruptions_total", "", "");
    SpanFacts facts = {0};
    char path[256], *bytes = malloc(1 << 20);
    size_t len;
    Error err = {0};

    make_log(world, &facts, path, sizeof path);
    span_facts_sort(&facts);
    copy_file(path, bytes, &len, 1 << 20);
    for (unsigned round = 0; round < 40; round++) {
        uint64_t before = atomic_load(&corruptions->value);
        SpanFacts found = {0};
        /* Not in the last frame: that is taken for a write that didn't finish. */
        size_t at = WAL_FRAMES_START + (len - WAL_FRAMES_START) * round / 60;

        store_is_down(world, true);
        bytes[at] ^= 0x10;
        start_on(world, bytes, len);
        bytes[at] ^= 0x10;
        world_span_heads(world, TEAM, &found);
        assert_true(atomic_load(&corruptions->value) > before);
        assert_among(&found, &facts);
        assert_true(found.count < facts.count || round == 0);
        store_is_down(world, false);
        assert_ok(ingester_flush(world->ingester, &err), &err);
        assert_true(has_file(world, ".damaged"));
        world_stop(world, false);
        span_facts_done(&found);
    }
    free(bytes);
    span_facts_done(&facts);
}

/* ---------- store ---------- */

static void a_store_call_that_fails_delays_a_flush_and_nothing_else(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_AFTER, FAULT_TRUNCATE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool fired = true;

        for (unsigned call = 1; fired; call++) {
            World world;
            SpanFacts facts = {0};

            world_make(&world);
            world_start(&world);
            for (uint32_t k = 0; k < 3; k++) world_trace(&world, TEAM, 0, 20, k * 5, 5, &facts);
            store_fault_arm(world.faults, &(FaultPlan){.kind = kinds[i], .call = call});
            flush_until_it_works(&world);
            fired = store_fault_fired(world.faults) > 0;
            store_is_down(&world, false);
            assert_stored_spans(&world, TEAM, &facts);
            world_done(&world);
            span_facts_done(&facts);
        }
    }
}

/* The process ends at any step of a flush and starts again: the flush is repeated with the same
 * bytes, nothing is twice. */
static void a_flush_repeated_after_a_crash_gives_the_same_objects(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_AFTER};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool fired = true;

        for (unsigned call = 1; fired; call++) {
            World world;
            SpanFacts facts = {0}, found = {0};
            Error err = {0};

            world_make(&world);
            world.options.lanes = 1;
            world_start(&world);
            for (uint32_t k = 0; k < 3; k++) world_trace(&world, TEAM, 0, 20, k * 5, 5, &facts);
            world_scrape(&world, TEAM, 0, 20, 1000, NULL);
            store_fault_arm(world.faults, &(FaultPlan){.kind = kinds[i], .call = call});
            if (ingester_flush(world.ingester, &err) != ERR_OK)
                assert_int_equal(err.code, ERR_UNAVAILABLE);
            fired = store_fault_fired(world.faults) > 0;
            store_is_down(&world, true);
            world_stop(&world, false);
            store_is_down(&world, false);
            world_reopen_manifest(&world);
            world_start(&world);
            assert_holds_spans(&world, TEAM, &facts);
            flush_until_it_works(&world);
            assert_stored_spans(&world, TEAM, &facts);
            assert_int_equal(world_span_store(&world, TEAM, &found), 1);
            world_done(&world);
            span_facts_done(&facts);
            span_facts_done(&found);
        }
    }
}

/* ---------- memory ---------- */

static void past_the_budget_appends_are_refused_until_a_flush(void **state) {
    World *world = *state;
    SpanFacts facts = {0}, found = {0};
    AppendResult result = {0};
    Error err = {0};
    uint32_t k = 0;

    budget_init(&world->heads, "heads", MIB(6), NULL);
    store_is_down(world, true);
    world_start(world);
    for (; k < 2000 && result.code == ERR_OK; k++) {
        result = world_trace(world, TEAM, k * 100, 100, 0, 10, &facts);
        assert_true(budget_used(&world->heads) < MIB(7));
    }
    assert_int_equal(result.code, ERR_LIMIT);
    assert_non_null(strstr(result.first.text, "memory.limit"));
    assert_true(facts.count > 2000);
    store_is_down(world, false);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_int_equal(world_trace(world, TEAM, k * 100, 100, 0, 10, &facts).code, ERR_OK);
    /* A lane may have kept its part of the refused batch; the rest is exactly there. */
    world_span_heads(world, TEAM, &found);
    world_span_store(world, TEAM, &found);
    span_facts_unique(&found);
    assert_among(&facts, &found);
    span_facts_done(&found);
    span_facts_done(&facts);
}

/* The log was written with plenty of memory; the restart has little, and flushes as it goes. */
static void a_replay_needs_no_more_memory_than_it_may(void **state) {
    World *world = *state;
    SpanFacts facts = {0}, found = {0};
    size_t peak;
    Error err = {0};

    world->options.lanes = 1;
    store_is_down(world, true);
    world_start(world);
    for (uint32_t k = 0; k < 60; k++) world_trace(world, TEAM, k * 60, 60, 0, 20, &facts);
    peak = budget_used(&world->heads);
    world_stop(world, false);
    assert_int_equal(budget_used(&world->heads), 0);
    budget_init(&world->heads, "heads", peak / 2, NULL);
    store_is_down(world, false);
    world_start(world);
    assert_true(atomic_load(&world->heads.peak) < peak * 3 / 4);
    assert_holds_spans(world, TEAM, &facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_holds_spans(world, TEAM, &facts);
    assert_true(world_span_store(world, TEAM, &found) > 1);
    span_facts_done(&facts);
    span_facts_done(&found);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_at_any_disk_call_loses_nothing),
        cmocka_unit_test(one_failure_of_the_disk_loses_nothing),
        WORLD_TEST(a_full_disk_refuses_and_service_resumes_by_itself),
        WORLD_TEST(a_log_cut_anywhere_replays_what_is_whole),
        WORLD_TEST(a_damaged_log_replays_what_is_whole_and_is_kept),
        cmocka_unit_test(a_store_call_that_fails_delays_a_flush_and_nothing_else),
        cmocka_unit_test(a_flush_repeated_after_a_crash_gives_the_same_objects),
        WORLD_TEST(past_the_budget_appends_are_refused_until_a_flush),
        WORLD_TEST(a_replay_needs_no_more_memory_than_it_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
