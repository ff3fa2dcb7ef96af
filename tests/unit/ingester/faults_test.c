/* An ingester whose disk, store, memory or log fails: nothing acknowledged is lost or doubled. */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "common/base/log.h"
#include "tests/unit/ingester/failing.h"

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

/* ---------- disk ---------- */

/* Writes until 20 scrapes are acknowledged or the disk is gone, with a flush in between; then
 * starts again on a good disk. */
static bool crash_at(FaultIoKind kind, unsigned call) {
    FaultIo *fault = fault_io_new(kind, call, EIO);
    World world;
    Facts acknowledged = {0}, attempted = {0};
    Error err = {0};
    bool fired;

    world_make(&world);
    use_io(&world, fault);
    if (world_open(&world, &err) == ERR_OK) {
        for (unsigned k = 0; k < 20; k++) {
            world_scrape(&world, TEAM, k * 2, 25, k * 15000, &acknowledged);
            for (unsigned i = 0; i < 25; i++)
                facts_add(&attempted, k * 2 + i, k * 15000, k * 2 + i + k * 15.0);
            if (k == 12 && ingester_flush(world.ingester, &err) != ERR_OK)
                assert_true(fault->fired > 0);
        }
        fired = fault->fired > 0;
        if (!fired) assert_int_equal(acknowledged.count, 500);
        world_stop(&world, false);
    } else {
        fired = true; /* and `fault` went with the lane */
    }
    use_io(&world, NULL);
    world_start(&world);
    assert_has(&world, TEAM, &acknowledged, &attempted);
    assert_ok(ingester_flush(world.ingester, &err), &err);
    assert_has(&world, TEAM, &acknowledged, &attempted);
    world_restart(&world);
    assert_has(&world, TEAM, &acknowledged, &attempted);
    world_done(&world);
    facts_done(&acknowledged);
    facts_done(&attempted);
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
    Facts facts = {0};
    AppendResult result;

    use_io(world, fault);
    world_start(world);
    world_scrape(world, TEAM, 0, 50, 1000, &facts);
    fault->crashed = true; /* the lane is idle: nothing else looks at it now */
    for (unsigned k = 0; k < 5; k++) {
        result = world_scrape(world, TEAM, 25, 50, 2000, &facts);
        assert_int_equal(result.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(result.first.text, "no space left on device"));
        assert_int_equal(result.samples, 0);
    }
    assert_holds(world, TEAM, &facts);
    fault->crashed = false;
    result = world_scrape(world, TEAM, 25, 50, 2000, &facts);
    assert_int_equal(result.code, ERR_OK);
    assert_holds(world, TEAM, &facts);
    use_io(world, NULL);
    world_restart(world); /* the series of the failed groups are defined, too */
    assert_holds(world, TEAM, &facts);
    facts_done(&facts);
}

/* ---------- the log on disk ---------- */

/* A log of 10 scrapes in one file; the store is down, so it stays. */
static void make_log(World *world, Facts *facts, char *path, size_t size) {
    world->options.lanes = 1;
    store_is_down(world, true);
    world_start(world);
    for (unsigned k = 0; k < 10; k++) world_scrape(world, TEAM, k, 12, k * 15000, facts);
    world_stop(world, false);
    log_file(world, path, size);
}

static void a_log_cut_anywhere_replays_what_is_whole(void **state) {
    World *world = *state;
    Facts facts = {0};
    char path[256], *bytes = malloc(1 << 20);
    size_t len, last = 0;

    make_log(world, &facts, path, sizeof path);
    copy_file(path, bytes, &len, 1 << 20);
    for (size_t cut = 0; cut <= len; cut += cut < len ? MIN((size_t)13, len - cut) : 1) {
        Facts found = {0}, none = {0};

        temp_dir_remove(world->dir);
        assert_int_equal(mkdir(world->dir, 0700), 0);
        world_start(world);
        world_stop(world, false);
        log_file(world, path, sizeof path);
        write_file(path, bytes, cut);
        world_start(world);
        world_read_heads(world, TEAM, NULL, 0, &found);
        assert_has(world, TEAM, &none, &facts);
        assert_true(found.count >= last);
        last = found.count;
        world_stop(world, false);
        facts_done(&found);
    }
    assert_int_equal(last, facts.count);
    free(bytes);
    facts_done(&facts);
}

/* Every fact found is one of `facts`. */
static void assert_among(const Facts *found, Facts *facts) {
    facts_sort(facts);
    for (size_t i = 0; i < found->count; i++)
        assert_non_null(
            bsearch(&found->items[i], facts->items, facts->count, sizeof(Fact), fact_compare));
}

/* Puts a log with this byte changed in place of a fresh one, and replays it. */
static void replay_damaged(World *world, char *bytes, size_t len, size_t at, Facts *found) {
    char path[256];

    temp_dir_remove(world->dir);
    assert_int_equal(mkdir(world->dir, 0700), 0);
    world_start(world);
    world_stop(world, false);
    log_file(world, path, sizeof path);
    bytes[at] ^= 0x10;
    write_file(path, bytes, len);
    bytes[at] ^= 0x10;
    world_start(world);
    world_read_heads(world, TEAM, NULL, 0, found);
}

static void a_damaged_log_replays_what_is_whole_and_is_kept(void **state) {
    World *world = *state;
    Counter *corruptions = telemetry_counter("moraine_wal_corruptions_total", "", "");
    Facts facts = {0};
    char path[256], *bytes = malloc(1 << 20);
    size_t len;
    Error err = {0};

    make_log(world, &facts, path, sizeof path);
    copy_file(path, bytes, &len, 1 << 20);
    for (unsigned round = 0; round < 40; round++) {
        uint64_t before = atomic_load(&corruptions->value);
        Facts found = {0};
        /* Not in the last frame: that is taken for a write that didn't finish. */
        size_t at = WAL_FRAMES_START + (len - WAL_FRAMES_START - 300) * round / 40;

        store_is_down(world, true);
        replay_damaged(world, bytes, len, at, &found);
        assert_true(atomic_load(&corruptions->value) > before);
        assert_among(&found, &facts);
        /* The first frame is the tenant's name, which is elsewhere, too. */
        assert_true(found.count < facts.count || round == 0);
        if (at > len / 2) assert_true(found.count > facts.count / 3);
        assert_true(found.count == 0 || !has_file(world, ".damaged"));
        store_is_down(world, false);
        assert_ok(ingester_flush(world->ingester, &err), &err);
        assert_true(has_file(world, ".damaged"));
        world_stop(world, false);
        facts_done(&found);
    }
    free(bytes);
    facts_done(&facts);
}

static void a_log_of_a_newer_version_is_left_alone(void **state) {
    World *world = *state;
    Facts facts = {0};
    char path[256], *bytes = malloc(1 << 20);
    size_t len;
    WalHeader header;
    Error err = {0};

    make_log(world, &facts, path, sizeof path);
    copy_file(path, bytes, &len, 1 << 20);
    memcpy(&header, bytes, sizeof header);
    header.version++;
    header.crc = wal_header_crc(&header);
    memcpy(bytes, &header, sizeof header);
    write_file(path, bytes, len);
    assert_int_equal(world_open(world, &err), ERR_UNSUPPORTED);
    assert_true(has_file(world, ".wal"));
    free(bytes);
    facts_done(&facts);
}

/* ---------- store ---------- */

static void a_store_call_that_fails_delays_a_flush_and_nothing_else(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_AFTER, FAULT_TRUNCATE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool fired = true;

        for (unsigned call = 1; fired; call++) {
            World world;
            Facts facts = {0}, found = {0};

            world_make(&world);
            world_start(&world);
            for (unsigned k = 0; k < 3; k++) world_scrape(&world, TEAM, 0, 60, k * 1000, &facts);
            store_fault_arm(world.faults, &(FaultPlan){.kind = kinds[i], .call = call});
            flush_until_it_works(&world);
            fired = store_fault_fired(world.faults) > 0;
            store_is_down(&world, false);
            assert_stored(&world, TEAM, &facts);
            assert_int_equal(world_read_store(&world, TEAM, &found), 2);
            world_reopen_manifest(&world);
            found.count = 0;
            assert_int_equal(world_read_store(&world, TEAM, &found), 2);
            world_done(&world);
            facts_done(&facts);
            facts_done(&found);
        }
    }
}

/* The process ends at any step of a flush and starts again: the flush is repeated, nothing is
 * twice. */
static void a_flush_repeated_after_a_crash_gives_the_same_objects(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_AFTER};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool fired = true;

        for (unsigned call = 1; fired; call++) {
            World world;
            Facts facts = {0}, found = {0};
            Error err = {0};

            world_make(&world);
            world.options.lanes = 1;
            world_start(&world);
            for (unsigned k = 0; k < 3; k++) world_scrape(&world, TEAM, 0, 60, k * 1000, &facts);
            store_fault_arm(world.faults, &(FaultPlan){.kind = kinds[i], .call = call});
            if (ingester_flush(world.ingester, &err) != ERR_OK)
                assert_int_equal(err.code, ERR_UNAVAILABLE);
            fired = store_fault_fired(world.faults) > 0;
            store_is_down(&world, true);
            world_stop(&world, false);
            store_is_down(&world, false);
            world_reopen_manifest(&world);
            world_start(&world);
            assert_holds(&world, TEAM, &facts);
            flush_until_it_works(&world);
            assert_stored(&world, TEAM, &facts);
            assert_int_equal(world_read_store(&world, TEAM, &found), 1);
            world_done(&world);
            facts_done(&facts);
            facts_done(&found);
        }
    }
}

static void a_store_that_is_down_costs_nothing_but_memory(void **state) {
    World *world = *state;
    Facts facts = {0};
    Error err = {0};

    world_start(world);
    store_is_down(world, true);
    for (unsigned k = 0; k < 6; k++) {
        world_scrape(world, TEAM, 0, 60, k * 1000, &facts);
        assert_int_equal(ingester_flush(world->ingester, &err), ERR_UNAVAILABLE);
        assert_holds(world, TEAM, &facts);
    }
    store_is_down(world, false);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored(world, TEAM, &facts);
    facts_done(&facts);
}

/* ---------- memory ---------- */

static void past_the_budget_appends_are_refused_until_a_flush(void **state) {
    World *world = *state;
    Facts facts = {0};
    AppendResult result = {0};
    Error err = {0};
    unsigned k = 0;

    budget_init(&world->heads, "heads", MIB(6), NULL);
    store_is_down(world, true);
    world_start(world);
    for (; k < 2000 && result.code == ERR_OK; k++) {
        result = world_scrape(world, TEAM, k * 100, 200, k * 1000, &facts);
        assert_true(budget_used(&world->heads) < MIB(7));
    }
    assert_int_equal(result.code, ERR_LIMIT);
    assert_non_null(strstr(result.first.text, "memory.limit"));
    assert_true(facts.count > 2000);
    store_is_down(world, false);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    result = world_scrape(world, TEAM, k * 100, 200, k * 1000, &facts);
    assert_int_equal(result.code, ERR_OK);
    /* A lane may have kept its part of the refused batch; the rest is exactly there. */
    facts_unique(&facts);
    Facts found = {0};
    world_read_heads(world, TEAM, NULL, 0, &found);
    world_reopen_manifest(world);
    world_read_store(world, TEAM, &found);
    facts_unique(&found);
    for (size_t i = 0; i < facts.count; i++)
        assert_non_null(
            bsearch(&facts.items[i], found.items, found.count, sizeof(Fact), fact_compare));
    facts_done(&found);
    facts_done(&facts);
}

static void heads_flush_early_rather_than_refuse(void **state) {
    World *world = *state;
    Facts facts = {0};
    unsigned refused = 0;

    budget_init(&world->heads, "heads", MIB(24), NULL);
    world_start(world);
    for (unsigned k = 0; k < 400; k++) {
        AppendResult result = world_scrape(world, TEAM, k * 300, 400, k * 1000, &facts);

        assert_true(budget_used(&world->heads) < MIB(26));
        for (; result.code == ERR_LIMIT && refused < 1000; refused++) {
            usleep(2000);
            result = world_scrape(world, TEAM, k * 300, 400, k * 1000, &facts);
        }
        assert_int_equal(result.code, ERR_OK);
    }
    facts_unique(&facts);
    assert_holds(world, TEAM, &facts);
    facts_done(&facts);
}

/* The log was written with plenty of memory; the restart has little, and still comes up. */
static void a_replay_needs_no_more_memory_than_it_may(void **state) {
    World *world = *state;
    Facts facts = {0}, found = {0};
    size_t peak;
    Error err = {0};

    world->options.lanes = 1;
    store_is_down(world, true);
    world_start(world);
    for (unsigned k = 0; k < 150; k++) world_scrape(world, TEAM, k * 150, 300, k * 1000, &facts);
    peak = budget_used(&world->heads);
    world_stop(world, false);
    assert_int_equal(budget_used(&world->heads), 0);
    budget_init(&world->heads, "heads", peak / 2, NULL);
    store_is_down(world, false);
    world_start(world);
    assert_true(atomic_load(&world->heads.peak) < peak * 3 / 4);
    assert_holds(world, TEAM, &facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored(world, TEAM, &facts);
    assert_true(world_read_store(world, TEAM, &found) > 1);
    facts_done(&facts);
    facts_done(&found);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_at_any_disk_call_loses_nothing),
        cmocka_unit_test(one_failure_of_the_disk_loses_nothing),
        WORLD_TEST(a_full_disk_refuses_and_service_resumes_by_itself),
        WORLD_TEST(a_log_cut_anywhere_replays_what_is_whole),
        WORLD_TEST(a_damaged_log_replays_what_is_whole_and_is_kept),
        WORLD_TEST(a_log_of_a_newer_version_is_left_alone),
        cmocka_unit_test(a_store_call_that_fails_delays_a_flush_and_nothing_else),
        cmocka_unit_test(a_flush_repeated_after_a_crash_gives_the_same_objects),
        WORLD_TEST(a_store_that_is_down_costs_nothing_but_memory),
        WORLD_TEST(past_the_budget_appends_are_refused_until_a_flush),
        WORLD_TEST(heads_flush_early_rather_than_refuse),
        WORLD_TEST(a_replay_needs_no_more_memory_than_it_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
