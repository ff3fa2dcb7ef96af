/*
 * A store that fails, lies or loses an answer at every single call, with and without a crash at
 * that very moment: nothing is lost, nothing is doubled, nothing is half done.
 */
#include "tests/unit/manifest/manifest_helper.h"

enum { OPS = 12, GRACE_MS = 600000 };

#define SEG(number) "segments/0000000000001-aa-000-" number ".seg"

/* The life of a manifest, one call after the other. */
static ErrCode do_op(World *world, Manifest *manifest, unsigned op, Error *err) {
    Str forget = STR(SEG("1"));

    switch (op) {
    case 0:
        return add_one(manifest, SEG("1"), NULL, err);
    case 1:
        return add_one(manifest, SEG("2"), NULL, err);
    case 2:
        return replace_one(manifest, SEG("1"), "b1", err);
    case 3:
        return manifest_checkpoint(manifest, 0, GRACE_MS, err);
    case 4:
        return add_one(manifest, SEG("3"), NULL, err);
    case 5:
        return manifest_forget(manifest, &forget, 1, err);
    case 6:
        return replace_one(manifest, SEG("2"), "b2", err);
    case 7:
        if (clock_now_ms(&world->clock.clock) < 1700000000000 + GRACE_MS)
            atomic_fetch_add(&world->clock.wall_ms, GRACE_MS);
        return manifest_checkpoint(manifest, 1, GRACE_MS, err);
    case 8:
        return remove_one(manifest, SEG("3"), err);
    case 9:
        return manifest_refresh(manifest, err);
    case 10:
        return manifest_checkpoint(manifest, 0, 0, err);
    default:
        return add_one(manifest, SEG("4"), NULL, err);
    }
}

static const char *const after[OPS] = {
    SEG("1") " |",
    SEG("1") " " SEG("2") " |",
    SEG("2") " b1 | " SEG("1"),
    SEG("2") " b1 | " SEG("1"),
    SEG("2") " " SEG("3") " b1 | " SEG("1"),
    SEG("2") " " SEG("3") " b1 |",
    SEG("3") " b1 b2 | " SEG("2"),
    SEG("3") " b1 b2 | " SEG("2"),
    "b1 b2 | " SEG("2") " " SEG("3"),
    "b1 b2 | " SEG("2") " " SEG("3"),
    "b1 b2 | " SEG("2") " " SEG("3"),
    SEG("4") " b1 b2 | " SEG("2") " " SEG("3"),
};

static const char *before(unsigned op) {
    return op == 0 ? "|" : after[op - 1];
}

static void assert_before_or_after(Manifest *manifest, unsigned op) {
    char holds[4096];

    describe(manifest, holds);
    if (strcmp(holds, before(op)) != 0 && strcmp(holds, after[op]) != 0)
        fail_msg("after a fault in step %u: %s", op, holds);
}

/* A repeat of what only removes may meet itself. */
static bool is_done(unsigned op, ErrCode code) {
    return code == ERR_OK || (op == 8 && code == ERR_EXISTS);
}

typedef enum Way {
    WAY_REPEAT,  /* who failed tries again */
    WAY_CRASH,   /* who failed died, and another one reads the store and tries again */
    WAY_RESTART, /* the same, and dies before every step */
    WAYS
} Way;

static void open_again(World *world, Manifest **manifest) {
    ErrCode code;

    manifest_free(*manifest);
    *manifest = NULL;
    do {
        Error err = {0};

        code = manifest_open(world->store, &world->clock.clock, manifest, &err);
    } while (code != ERR_OK);
}

/* Lives the whole life with one plan of faults armed from the beginning. True when one came. */
static bool live(bool conditional, const FaultPlan *plan, Way way) {
    Manifest *manifest = NULL;
    World world;
    bool fired;
    Error err = {0};

    world_init(&world, conditional);
    store_fault_arm(world.faulty, plan);
    open_again(&world, &manifest);
    for (unsigned op = 0; op < OPS; op++) {
        if (way == WAY_RESTART) open_again(&world, &manifest);
        for (unsigned attempt = 0;; attempt++) {
            ErrCode code = do_op(&world, manifest, op, &err);

            if (is_done(op, code)) break;
            if (attempt > 3) fail_msg("step %u: %s", op, err.text);
            assert_before_or_after(manifest, op);
            if (way == WAY_REPEAT) continue;
            open_again(&world, &manifest);
            assert_before_or_after(manifest, op);
        }
        if (conditional || (op != 3 && op != 7 && op != 10)) assert_holds(manifest, after[op]);
    }
    fired = store_fault_fired(world.faulty) > 0;
    store_fault_arm(world.faulty, &(FaultPlan){.kind = FAULT_NONE});
    assert_ok(manifest_refresh(manifest, &err), &err);
    assert_holds(manifest, after[OPS - 1]);
    assert_store_holds(&world, after[OPS - 1]);
    manifest_free(manifest);
    world_done(&world);
    return fired;
}

static void fail_everywhere(FaultKind kind, ErrCode code, unsigned only) {
    for (int conditional = 0; conditional < 2; conditional++)
        for (Way way = 0; way < WAYS; way++) {
            uint64_t call = 1;

            while (live(conditional,
                        &(FaultPlan){.kind = kind, .call = call, .only = only, .code = code}, way))
                call++;
            /* A life has many calls, or nothing was tried. */
            if (only == 0) assert_true(call > (conditional ? 40 : 15));
        }
}

static void a_call_that_failed_loses_and_doubles_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_BEFORE, ERR_UNAVAILABLE, 0);
    fail_everywhere(FAULT_BEFORE, ERR_TIMEOUT, 0);
}

static void an_answer_that_got_lost_loses_and_doubles_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_AFTER, ERR_UNAVAILABLE, 0);
    fail_everywhere(FAULT_AFTER, ERR_TIMEOUT, 0);
}

static void bodies_cut_short_lose_and_double_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_TRUNCATE, ERR_UNAVAILABLE, 0);
}

static void wrong_bytes_lose_and_double_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_WRONG_BYTES, ERR_UNAVAILABLE, FAULT_GETS);
}

/* The driver repeats a put whose answer was lost, and the repeat meets the first: ERR_EXISTS. */
static void a_commit_that_meets_itself_is_done(void **state) {
    World world;
    Error err = {0};

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "a", NULL, &err), &err);
        store_fault_arm(
            world.faulty,
            &(FaultPlan){.kind = FAULT_AFTER, .call = 1, .only = FAULT_PUTS, .code = ERR_EXISTS});
        assert_ok(remove_one(manifest, "a", &err), &err);
        assert_holds(manifest, "| a");
    }
    assert_int_equal(count_objects(&world, STR("manifest/delta-")), 2);
    assert_store_holds(&world, "| a");
    world_done(&world);
}

static void a_store_that_is_down_is_said_and_changes_nothing(void **state) {
    World world;
    Error err = {0};

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);
        Manifest *other = NULL;

        assert_ok(add_one(manifest, "a", NULL, &err), &err);
        store_fault_arm(world.faulty,
                        &(FaultPlan){.kind = FAULT_BEFORE, .call = 1, .for_good = true});
        assert_int_equal(add_one(manifest, "b", NULL, &err), ERR_UNAVAILABLE);
        assert_int_equal(replace_one(manifest, "a", "b", &err), ERR_UNAVAILABLE);
        assert_int_equal(manifest_refresh(manifest, &err), ERR_UNAVAILABLE);
        assert_int_equal(manifest_checkpoint(manifest, 0, 0, &err), ERR_UNAVAILABLE);
        assert_int_equal(manifest_open(world.store, &world.clock.clock, &other, &err),
                         ERR_UNAVAILABLE);
        assert_null(other);
        assert_holds(manifest, "a |");
        store_fault_arm(world.faulty, &(FaultPlan){.kind = FAULT_NONE});
        assert_ok(add_one(manifest, "b", NULL, &err), &err);
        assert_holds(manifest, "a b |");
    }
    assert_store_holds(&world, "a b |");
    world_done(&world);
}

/* The put fails, and so does the look at what is there: only a later call can tell. */
static void a_commit_of_unknown_end_is_told_by_a_repeat(void **state) {
    World world;
    Error err = {0};

    (void)state;
    for (int happened = 0; happened < 2; happened++) {
        world_init(&world, true);
        {
            CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);
            bool known;

            store_fault_arm(world.faulty,
                            &(FaultPlan){.kind = happened ? FAULT_AFTER : FAULT_BEFORE,
                                         .call = 1,
                                         .for_good = true});
            assert_int_equal(add_one(manifest, "a", NULL, &err), ERR_UNAVAILABLE);
            assert_holds(manifest, "|");
            store_fault_arm(world.faulty, &(FaultPlan){.kind = FAULT_NONE});
            atomic_fetch_add(&world.clock.wall_ms, 1000); /* so that the bytes differ */
            assert_ok(add_one(manifest, "a", &known, &err), &err);
            assert_int_equal(known, happened);
            assert_holds(manifest, "a |");
        }
        assert_int_equal(count_objects(&world, STR("manifest/delta-")), 1);
        world_done(&world);
    }
}

/* ---- damage ---- */

static void put_raw(World *world, const char *key, Str body) {
    Error err = {0};

    assert_ok(store_put(world->store, str_of(key), body, NULL, &err), &err);
}

static void assert_open_fails(World *world, ErrCode code, const char *text) {
    Manifest *manifest = NULL;
    Error err = {0};

    assert_int_equal(manifest_open(world->store, &world->clock.clock, &manifest, &err), code);
    assert_null(manifest);
    if (strstr(err.text, text) == NULL) fail_msg("\"%s\" has no \"%s\"", err.text, text);
}

static const char delta_1[] = "manifest/delta-00000000000000000001";
static const char delta_2[] = "manifest/delta-00000000000000000002";
static const char checkpoint_2[] = "manifest/checkpoint-00000000000000000002";

static void make_two(World *world) {
    CLEANUP(manifest_free) Manifest *manifest = open_manifest(world);
    Error err = {0};

    assert_ok(add_one(manifest, "a", NULL, &err), &err);
    assert_ok(replace_one(manifest, "a", "b", &err), &err);
    assert_ok(manifest_checkpoint(manifest, 0, GRACE_MS, &err), &err);
}

static Str get_raw(World *world, const char *key, Arena *arena) {
    Error err = {0};
    Str body;

    assert_ok(store_get(world->store, str_of(key), 0, SIZE_MAX, arena, &body, NULL, &err), &err);
    return str_dup(arena, body);
}

static void a_damaged_object_is_named(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    World world;
    Error err = {0};
    Str body;

    (void)state;
    world_init(&world, true);
    make_two(&world);
    body = get_raw(&world, checkpoint_2, arena);
    for (size_t i = 0; i < body.len; i++) {
        ((char *)(uintptr_t)body.ptr)[i] ^= 0x10;
        put_raw(&world, checkpoint_2, body);
        assert_open_fails(&world, ERR_CORRUPT, checkpoint_2);
        ((char *)(uintptr_t)body.ptr)[i] ^= 0x10;
        put_raw(&world, checkpoint_2, (Str){body.ptr, i});
        assert_open_fails(&world, ERR_CORRUPT, checkpoint_2);
    }
    assert_ok(store_delete(world.store, str_of("manifest/current"), &err), &err);
    body = get_raw(&world, delta_2, arena);
    for (size_t i = 0; i < body.len; i++) {
        put_raw(&world, delta_2, (Str){body.ptr, i});
        assert_open_fails(&world, ERR_CORRUPT, delta_2);
    }
    world_done(&world);
}

static void what_is_missing_or_in_the_wrong_place_is_named(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    World world;
    Error err = {0};
    Str one, two;

    (void)state;
    world_init(&world, true);
    make_two(&world);
    put_raw(&world, "manifest/current", STR("not a number"));
    assert_open_fails(&world, ERR_CORRUPT, "manifest/current holds no number");
    put_raw(&world, "manifest/current", STR("3\n"));
    assert_open_fails(&world, ERR_CORRUPT, "checkpoint 3, which current names, is missing");
    one = get_raw(&world, checkpoint_2, arena);
    put_raw(&world, "manifest/checkpoint-00000000000000000003", one);
    assert_open_fails(&world, ERR_CORRUPT, "says that it is checkpoint 2");
    assert_ok(store_delete(world.store, str_of("manifest/current"), &err), &err);
    assert_store_holds(&world, "b | a"); /* the deltas are still there */
    one = get_raw(&world, delta_1, arena);
    two = get_raw(&world, delta_2, arena);
    put_raw(&world, delta_2, one);
    assert_open_fails(&world, ERR_CORRUPT, "says that it is delta 1");
    put_raw(&world, delta_2, two);
    assert_ok(store_delete(world.store, str_of(delta_1), &err), &err);
    assert_open_fails(&world, ERR_CORRUPT, "delta 1 is missing, 2 is there");
    put_raw(&world, delta_1, STR(""));
    assert_open_fails(&world, ERR_CORRUPT, delta_1);
    put_raw(&world, delta_1, one);
    put_raw(&world, "manifest/delta-x", STR("not ours"));
    put_raw(&world, "manifest/delta-00000000000000000007", two);
    assert_open_fails(&world, ERR_CORRUPT, "delta 3 is missing, 7 is there");
    world_done(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_failed_loses_and_doubles_nothing),
        cmocka_unit_test(an_answer_that_got_lost_loses_and_doubles_nothing),
        cmocka_unit_test(bodies_cut_short_lose_and_double_nothing),
        cmocka_unit_test(wrong_bytes_lose_and_double_nothing),
        cmocka_unit_test(a_commit_that_meets_itself_is_done),
        cmocka_unit_test(a_store_that_is_down_is_said_and_changes_nothing),
        cmocka_unit_test(a_commit_of_unknown_end_is_told_by_a_repeat),
        cmocka_unit_test(a_damaged_object_is_named),
        cmocka_unit_test(what_is_missing_or_in_the_wrong_place_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
