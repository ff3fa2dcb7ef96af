/* What was acknowledged before a delete request and what after is told apart for good: in heads,
 * after a crash, and in segments. */
#include "tests/unit/unit.h"

#include "common/base/log.h"
#include "tests/unit/ingester/log_world.h"

static const Str TEAM = STR_INIT("team");

static int setup(void **state) {
    World *world = malloc(sizeof *world);

    world_make(world);
    budget_init(&world->heads, "heads", MIB(512), NULL);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    world_done(*state);
    free(*state);
    return 0;
}

/* A request; its number. */
static uint64_t request(World *world, const char *id) {
    ManifestDelete one = {.tenant = TEAM, .id = str_of(id), .query = STR("{a=\"b\"}")};
    Error err = {0};

    assert_ok(manifest_change_deletes(world->manifest, &(ManifestDeletesChange){.add = &one}, &err),
              &err);
    return manifest_deletes_newest(world->manifest);
}

static void keep_from_store(World *world, bool keep) {
    store_fault_arm(world->faults, &(FaultPlan){.kind = keep ? FAULT_BEFORE : FAULT_NONE,
                                                .call = 1,
                                                .for_good = true,
                                                .only = FAULT_PUTS,
                                                .key_has = STR("segments/")});
}

/* Entries in heads and segments that requests of `number` and below may be about, and all. */
static size_t count_before(World *world, uint64_t number, size_t *all) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LogHeadReader reader = ingester_log_head_reader(world->ingester);
    LogSelect select = {.tenant = TEAM, .min_ns = INT64_MIN, .max_ns = INT64_MAX};
    const ManifestSnapshot *snapshot;
    const ManifestEntry *entries;
    LogsSelection *selections;
    size_t count, before = 0;
    Error err = {0};

    *all = 0;
    assert_ok(reader.select(reader.context, &select, arena, &selections, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < selections[i].stream_count; s++)
            for (uint32_t p = 0; p < selections[i].streams[s].page_count; p++) {
                size_t n = selections[i].streams[s].pages[p].count;

                *all += n;
                before += selections[i].cleared < number ? n : 0;
            }
    if (count > 0) return before; /* flushes are kept off: nothing is in both */
    snapshot = manifest_snapshot(world->manifest);
    entries = manifest_entries(snapshot, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < entries[i].part_count; p++) {
            *all += entries[i].parts[p].items;
            before += entries[i].cleared < number ? entries[i].parts[p].items : 0;
        }
    manifest_snapshot_unref(snapshot);
    return before;
}

static void a_request_cuts_what_came_before_from_what_comes_after(void **state) {
    World *world = *state;
    uint64_t first, second;
    Error err = {0};
    size_t all;

    keep_from_store(world, true);
    world_start(world);
    assert_true(ingester_cleared(world->ingester) == UINT64_MAX);
    world_push(world, TEAM, 0, 20, 10, 1000, NULL); /* 200 */
    assert_int_equal(ingester_cleared(world->ingester), 0);
    first = request(world, "a");
    ingester_cut(world->ingester);
    world_push(world, TEAM, 0, 20, 5, 900000, NULL); /* 100 */
    assert_int_equal(count_before(world, first, &all), 200);
    assert_int_equal(all, 300);
    second = request(world, "b");
    ingester_cut(world->ingester);
    ingester_cut(world->ingester);
    world_push(world, TEAM, 0, 20, 1, 9000000, NULL); /* 20 */
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(count_before(world, first, &all), 200);
        assert_int_equal(count_before(world, second, &all), 300);
        assert_int_equal(all, 320);
        assert_int_equal(ingester_cleared(world->ingester), 0);
        world_restart(world); /* as after a crash: the log has it all */
    }
    /* What comes in after the restart is after both, also where the log's last epoch goes on. */
    world_push(world, TEAM, 0, 20, 2, 90000000, NULL); /* 40 */
    assert_int_equal(count_before(world, second, &all), 300);
    assert_int_equal(all, 360);
    keep_from_store(world, false);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_true(ingester_cleared(world->ingester) == UINT64_MAX);
    assert_int_equal(count_before(world, first, &all), 200);
    assert_int_equal(count_before(world, second, &all), 300);
    assert_int_equal(all, 360);
}

static void heads_that_are_empty_are_cut_too(void **state) {
    World *world = *state;
    uint64_t number;
    size_t all;

    keep_from_store(world, true);
    world_start(world);
    for (unsigned i = 0; i < 5; i++) {
        char id[8] = {(char)('a' + i)};

        number = request(world, id);
        ingester_cut(world->ingester);
    }
    world_push(world, TEAM, 0, 20, 10, 1000, NULL);
    assert_int_equal(count_before(world, number, &all), 0);
    assert_int_equal(all, 200);
    world_restart(world);
    assert_int_equal(count_before(world, number, &all), 0);
    assert_int_equal(all, 200);
    world_restart(world);
    world_push(world, TEAM, 0, 20, 10, 100000, NULL);
    assert_int_equal(count_before(world, number, &all), 0);
    assert_int_equal(all, 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_cuts_what_came_before_from_what_comes_after,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(heads_that_are_empty_are_cut_too, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
