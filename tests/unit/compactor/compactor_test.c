/* Compaction loses nothing, doubles nothing and ends, whatever the segments and the store are like.
 */
#include <pthread.h>

#include "tests/unit/compactor/compactor_helper.h"

static uint64_t random_state;

static uint64_t random_below(uint64_t below) {
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (random_state >> 33) % below;
}

static void put_and_note(Place *place, Samples *segment, Samples *all) {
    char key[96];

    put_segment(place, segment, key);
    for (size_t i = 0; i < segment->count; i++) samples_add(all, segment->items[i]);
    samples_done(segment);
}

static void an_empty_store_is_fine(void **state) {
    Place place;

    (void)state;
    place_make(&place);
    run_ok(&place);
    assert_int_equal(count_objects(&place, ""), 0);
    place_done(&place);
}

static void segments_become_blocks_of_one_tenant(void **state) {
    const ManifestSnapshot *snapshot;
    const ManifestEntry *entries;
    Samples all = {0};
    size_t count;
    Place place;

    (void)state;
    place_make(&place);
    for (unsigned s = 0; s < 3; s++) {
        Samples segment = {0};

        for (uint64_t tenant = 0; tenant <= s; tenant++)
            for (unsigned i = 0; i < 20; i++)
                samples_add(&segment,
                            (Sample){tenant, i % 4, NOW - HOUR + s * 1000 + i, (double)i});
        put_and_note(&place, &segment, &all);
    }
    run_ok(&place);
    assert_reads_once(&place, &all);
    snapshot = manifest_snapshot(place.manifest);
    entries = manifest_entries(snapshot, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        char folder[64];

        assert_int_equal(entries[i].part_count, 1);
        assert_int_equal(entries[i].level, 1);
        snprintf(folder, sizeof folder, "tenants/" STR_FMT "/metrics/",
                 STR_ARG(entries[i].parts[0].tenant));
        assert_true(str_starts_with(entries[i].key, str_of(folder)));
        assert_true(str_ends_with(entries[i].key, STR(".blk")));
    }
    manifest_snapshot_unref(snapshot);
    run_ok(&place); /* nothing more to do */
    assert_reads_once(&place, &all);
    samples_done(&all);
    place_done(&place);
}

static void duplicates_vanish_and_the_older_wins(void **state) {
    Samples one = {0}, two = {0}, three = {0}, all = {0};
    Place place;

    (void)state;
    place_make(&place);
    for (unsigned i = 0; i < 100; i++) {
        int64_t time_ms = NOW - 6 * HOUR + i * 15000;

        samples_add(&one, (Sample){1, 1, time_ms, 1});
        if (i % 2 == 0) samples_add(&two, (Sample){1, 1, time_ms, 2});
        samples_add(&two, (Sample){1, 1, time_ms + 1, 2});
        if (i % 3 == 0) samples_add(&three, (Sample){1, 1, time_ms + 1, 3});
        samples_add(&three, (Sample){1, 2, time_ms, 3});
    }
    /* One is a block already when the other two come, and the third comes on its own. */
    put_and_note(&place, &one, &all);
    run_ok(&place);
    put_and_note(&place, &two, &all);
    run_ok(&place);
    put_and_note(&place, &three, &all);
    assert_reads(&place, &all);
    run_ok(&place);
    assert_reads_once(&place, &all);
    assert_int_equal(all.count, 300);
    samples_done(&all);
    place_done(&place);
}

/* A segment that was flushed late is older than the block that was made before it came. */
static void the_older_wins_also_when_it_comes_later(void **state) {
    Samples old = {0}, young = {0}, all = {0};
    Place place;

    (void)state;
    place_make(&place);
    samples_add(&old, (Sample){1, 1, NOW - 6 * HOUR, 1});
    samples_add(&young, (Sample){1, 1, NOW - 6 * HOUR, 2});
    samples_add(&all, old.items[0]);
    place.next_segment = 10;
    {
        char key[96];

        put_segment(&place, &young, key);
        run_ok(&place);
        place.next_segment = 5;
        put_segment(&place, &old, key);
        assert_reads(&place, &all); /* as a query has it, before */
        run_ok(&place);
        assert_reads_once(&place, &all); /* and after */
    }
    samples_done(&old);
    samples_done(&young);
    samples_done(&all);
    place_done(&place);
}

/* Segments of any times within so many hours from the beginning of a day, in any order. What is
 * there twice is the same twice. */
static void make_mess(Place *place, unsigned segments, int64_t hours, Samples *all) {
    for (unsigned s = 0; s < segments; s++) {
        int64_t start = NOW - 30 * HOUR + (int64_t)random_below((uint64_t)(hours - 4) * HOUR);
        unsigned count = 1 + (unsigned)random_below(60);
        Samples segment = {0};

        for (unsigned i = 0; i < count; i++) {
            uint64_t tenant = random_below(3), series = random_below(5);
            int64_t time_ms = (start + (int64_t)random_below(4 * HOUR)) / 60000 * 60000;

            samples_add(&segment, (Sample){tenant, series, time_ms, (double)(time_ms % 9999) / 7});
        }
        put_and_note(place, &segment, all);
    }
}

static void segments_may_overlap_and_come_in_any_order(void **state) {
    (void)state;
    for (random_state = 1; random_state < 6; random_state++) {
        uint64_t seed = random_state;
        int64_t hours = seed % 2 == 0 ? 72 : 24;
        Samples all = {0};
        Place place;

        place_make(&place);
        for (unsigned round = 0; round < 6; round++) {
            make_mess(&place, 8, hours, &all);
            run_ok(&place);
            assert_reads(&place, &all);
        }
        pass(&place, 96 * HOUR); /* all windows have settled */
        run_ok(&place);
        /* What lies in one day is there once; blocks that reach into the next are merged by who
         * reads. */
        if (hours == 24) assert_reads_once(&place, &all);
        assert_reads(&place, &all);
        pass(&place, GRACE_MS);
        run_ok(&place);
        assert_reads(&place, &all);
        assert_int_equal(count_objects(&place, "segments/"), 0);
        samples_done(&all);
        place_done(&place);
        random_state = seed;
    }
}

static void a_thousand_tiny_tenants_share_a_segment(void **state) {
    Samples segment = {0}, all = {0};
    Place place;

    (void)state;
    place_make(&place);
    for (uint64_t tenant = 0; tenant < 1000; tenant++)
        samples_add(&segment, (Sample){tenant, 1, NOW, (double)tenant});
    put_and_note(&place, &segment, &all);
    store_fault_arm(place.faulty, &(FaultPlan){.only = FAULT_GETS | FAULT_HEADS});
    run_ok(&place);
    assert_true(store_fault_calls(place.faulty) < 20); /* not some for each tenant */
    assert_int_equal(count_objects(&place, "tenants/"), 1000);
    assert_reads_once(&place, &all);
    samples_done(&all);
    place_done(&place);
}

/* ---- faults ---- */

/* Lives with one fault, and goes on until it is done. True when the fault came. */
static bool survive(const FaultPlan *plan, bool crash) {
    Samples all = {0};
    Place place;
    bool fired;

    random_state = 3;
    place_make(&place);
    make_mess(&place, 5, 24, &all);
    samples_unique(&all);
    run_ok(&place);
    make_mess(&place, 3, 24, &all);
    pass(&place, GRACE_MS);
    store_fault_arm(place.faulty, plan);
    for (unsigned attempt = 0;; attempt++) {
        Error err = {0};

        if (compactor_run(place.compactor, &err) == ERR_OK) break;
        if (attempt == 4) fail_msg("still failing: %s", err.text);
        if (crash) {
            place_close(&place);
            place_open(&place);
        } else {
            assert_ok(manifest_refresh(place.manifest, &err), &err);
        }
        assert_reads(&place, &all);
    }
    fired = store_fault_fired(place.faulty) > 0;
    store_fault_arm(place.faulty, &(FaultPlan){.kind = FAULT_NONE});
    assert_reads(&place, &all);
    pass(&place, 96 * HOUR);
    run_ok(&place);
    pass(&place, GRACE_MS);
    run_ok(&place);
    place_close(&place);
    place_open(&place);
    assert_reads_once(&place, &all);
    assert_int_equal(count_objects(&place, "segments/"), 0);
    samples_done(&all);
    place_done(&place);
    return fired;
}

static void fail_everywhere(FaultKind kind) {
    for (int crash = 0; crash < 2; crash++) {
        uint64_t call = 1;

        while (survive(&(FaultPlan){.kind = kind, .call = call}, crash)) call++;
        assert_true(call > 35); /* or nothing was tried */
    }
}

static void a_call_that_failed_loses_and_doubles_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_BEFORE);
}

static void an_answer_that_got_lost_loses_and_doubles_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_AFTER);
}

static void bodies_cut_short_lose_and_double_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_TRUNCATE);
}

/* Checksums find it, wherever the byte is. */
static void wrong_bytes_lose_and_double_nothing(void **state) {
    uint64_t call = 1;

    (void)state;
    while (survive(&(FaultPlan){.kind = FAULT_WRONG_BYTES, .call = call, .only = FAULT_GETS}, true))
        call++;
    assert_true(call > 10);
}

static void what_was_written_for_nothing_is_deleted(void **state) {
    Samples segment = {0}, all = {0};
    Error err = {0};
    Place place;

    (void)state;
    place_make(&place);
    for (uint64_t tenant = 0; tenant < 5; tenant++)
        samples_add(&segment, (Sample){tenant, 1, NOW, 1});
    put_and_note(&place, &segment, &all);
    /* The fourth of five blocks fails. */
    store_fault_arm(place.faulty, &(FaultPlan){.kind = FAULT_BEFORE,
                                               .call = 1,
                                               .only = FAULT_PUTS,
                                               .key_has = STR("t-0003")});
    assert_int_equal(compactor_run(place.compactor, &err), ERR_UNAVAILABLE);
    assert_int_equal(count_objects(&place, "tenants/"), 0);
    assert_reads_once(&place, &all);
    run_ok(&place);
    assert_int_equal(count_objects(&place, "tenants/"), 5);
    samples_done(&all);
    place_done(&place);
}

/* ---- damage ---- */

static void one_damaged_object_does_not_stop_the_others(void **state) {
    Samples bad = {0}, good = {0}, all = {0}, readable = {0};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    const ManifestSnapshot *snapshot;
    const ManifestEntry *entries;
    char bad_key[96], good_key[96];
    Str body, copy;
    size_t count;
    Place place;
    Error err = {0};

    (void)state;
    place_make(&place);
    for (unsigned i = 0; i < 50; i++) {
        samples_add(&bad, (Sample){1, i, NOW, 1});
        samples_add(&good, (Sample){1 + i % 2, i, NOW + 1, 1});
        samples_add(&readable, (Sample){1 + i % 2, i, NOW + 1, 1});
    }
    put_segment(&place, &bad, bad_key);
    put_segment(&place, &good, good_key);
    assert_ok(store_get(place.store, str_of(bad_key), 0, SIZE_MAX, arena, &body, NULL, &err), &err);
    copy = str_dup(arena, body);
    ((char *)(uintptr_t)copy.ptr)[copy.len / 3] ^= 1;
    assert_ok(store_put(place.store, str_of(bad_key), copy, NULL, &err), &err);

    assert_int_equal(compactor_run(place.compactor, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, bad_key));
    snapshot = manifest_snapshot(place.manifest);
    entries = manifest_entries(snapshot, &count);
    assert_int_equal(count, 3);
    assert_true(str_equal(entries[0].key, str_of(bad_key))); /* still listed: nothing is hidden */
    manifest_snapshot_unref(snapshot);
    pass(&place, GRACE_MS);
    assert_int_equal(compactor_run(place.compactor, &err), ERR_CORRUPT);
    assert_int_equal(count_objects(&place, "segments/"), 1); /* what was due for deletion is gone */

    /* Somebody brings it back from elsewhere. */
    assert_ok(store_put(place.store, str_of(bad_key), body, NULL, &err), &err);
    run_ok(&place);
    for (size_t i = 0; i < bad.count; i++) samples_add(&all, bad.items[i]);
    for (size_t i = 0; i < readable.count; i++) samples_add(&all, readable.items[i]);
    assert_reads_once(&place, &all);
    samples_done(&bad);
    samples_done(&good);
    samples_done(&all);
    samples_done(&readable);
    place_done(&place);
}

static void an_object_that_is_missing_does_not_stop_the_others(void **state) {
    Samples bad = {0}, good = {0};
    char bad_key[96], good_key[96];
    Place place;
    Error err = {0};

    (void)state;
    place_make(&place);
    samples_add(&bad, (Sample){1, 1, NOW, 1});
    samples_add(&good, (Sample){1, 2, NOW, 1});
    put_segment(&place, &bad, bad_key);
    put_segment(&place, &good, good_key);
    assert_ok(store_delete(place.store, str_of(bad_key), &err), &err);
    assert_int_equal(compactor_run(place.compactor, &err), ERR_NOT_FOUND);
    assert_int_equal(count_objects(&place, "tenants/"), 1);
    samples_done(&bad);
    samples_done(&good);
    place_done(&place);
}

/* ---- memory ---- */

static void a_small_budget_takes_fewer_at_a_time_and_never_loses(void **state) {
    bool done = false;

    (void)state;
    for (size_t limit = 64 << 10; !done; limit *= 2) {
        Samples all = {0};
        Error err = {0};
        ErrCode code;
        Place place;

        random_state = 5;
        place_make(&place);
        place_close(&place);
        budget_init(&place.background, "background", limit, NULL);
        place_open(&place);
        make_mess(&place, 20, 24, &all);
        code = compactor_run(place.compactor, &err);
        if (code != ERR_OK) assert_int_equal(code, ERR_LIMIT);
        done = code == ERR_OK;
        assert_true(budget_used(&place.background) <= limit);
        assert_reads(&place, &all);
        samples_done(&all);
        place_done(&place);
        assert_true(limit < 256u << 20);
    }
}

/* ---- several at once ---- */

static void *run_until_done(void *context) {
    Place *place = context;
    Error err = {0};
    ErrCode code;

    for (unsigned i = 0; i < 20; i++) {
        code = compactor_run(place->compactor, &err);
        if (code != ERR_OK) assert_int_equal(code, ERR_UNAVAILABLE);
    }
    return NULL;
}

static void compactors_that_race_lose_and_double_nothing(void **state) {
    Samples all = {0};
    pthread_t threads[3];
    Place places[3];

    (void)state;
    random_state = 11;
    place_make(&places[0]);
    make_mess(&places[0], 30, 24, &all);
    pass(&places[0], 48 * HOUR);
    for (unsigned i = 1; i < 3; i++) {
        places[i] = (Place){.store = places[0].store, .tenants = places[0].tenants};
        manual_clock_init(&places[i].clock, NOW + 48 * HOUR);
        budget_init(&places[i].background, "background", 0, NULL);
        place_open(&places[i]);
    }
    for (unsigned i = 0; i < 3; i++) pthread_create(&threads[i], NULL, run_until_done, &places[i]);
    for (unsigned i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    run_ok(&places[0]);
    assert_reads_once(&places[0], &all);
    pass(&places[0], GRACE_MS);
    run_ok(&places[0]);
    assert_reads_once(&places[0], &all);
    /* And what the losers wrote is gone. */
    {
        const ManifestSnapshot *snapshot = manifest_snapshot(places[0].manifest);
        size_t count;

        manifest_entries(snapshot, &count);
        assert_int_equal(count_objects(&places[0], "tenants/"), count);
        manifest_snapshot_unref(snapshot);
    }
    for (unsigned i = 1; i < 3; i++) place_close(&places[i]);
    samples_done(&all);
    place_done(&places[0]);
}

static void the_thread_runs_and_stops_and_starts_again(void **state) {
    Samples segment = {0}, all = {0};
    Place place;
    Error err = {0};

    (void)state;
    place_make(&place);
    for (unsigned round = 0; round < 2; round++) {
        char key[96];

        samples_add(&segment, (Sample){1, round, NOW, 1});
        samples_add(&all, segment.items[segment.count - 1]);
        put_segment(&place, &segment, key);
        segment.count = 0;
        assert_ok(compactor_start(place.compactor, &err), &err);
        while (count_objects(&place, "tenants/") <= round) clock_sleep_ms(1);
        compactor_stop(place.compactor);
        compactor_stop(place.compactor);
    }
    assert_reads_once(&place, &all);
    samples_done(&segment);
    samples_done(&all);
    place_done(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_is_fine),
        cmocka_unit_test(segments_become_blocks_of_one_tenant),
        cmocka_unit_test(duplicates_vanish_and_the_older_wins),
        cmocka_unit_test(the_older_wins_also_when_it_comes_later),
        cmocka_unit_test(segments_may_overlap_and_come_in_any_order),
        cmocka_unit_test(a_thousand_tiny_tenants_share_a_segment),
        cmocka_unit_test(a_call_that_failed_loses_and_doubles_nothing),
        cmocka_unit_test(an_answer_that_got_lost_loses_and_doubles_nothing),
        cmocka_unit_test(bodies_cut_short_lose_and_double_nothing),
        cmocka_unit_test(wrong_bytes_lose_and_double_nothing),
        cmocka_unit_test(what_was_written_for_nothing_is_deleted),
        cmocka_unit_test(one_damaged_object_does_not_stop_the_others),
        cmocka_unit_test(an_object_that_is_missing_does_not_stop_the_others),
        cmocka_unit_test(a_small_budget_takes_fewer_at_a_time_and_never_loses),
        cmocka_unit_test(compactors_that_race_lose_and_double_nothing),
        cmocka_unit_test(the_thread_runs_and_stops_and_starts_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
