/* What manifest.h promises, with one and with two processes on a store that works. */
#include "tests/unit/manifest/manifest_helper.h"

static void an_empty_store_is_an_empty_manifest(void **state) {
    World world;
    size_t count = 1;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);
        const ManifestSnapshot *snapshot = manifest_snapshot(manifest);
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        const ManifestEntry **found = NULL;
        Error err = {0};

        manifest_entries(snapshot, &count);
        assert_int_equal(count, 0);
        assert_ok(manifest_find(snapshot, STR("a"), SIGNAL_METRICS, INT64_MIN, INT64_MAX, arena,
                                &found, &count, &err),
                  &err);
        assert_int_equal(count, 0);
        manifest_snapshot_unref(snapshot);
    }
    assert_int_equal(count_objects(&world, STR("")), 0);
    world_done(&world);
}

static void what_was_committed_is_there_after_a_restart(void **state) {
    BlockPart parts[] = {{STR("b"), SIGNAL_LOGS, -5, 7, 1, 2, 3},
                         {STR("b"), SIGNAL_METRICS, INT64_MIN, INT64_MAX, UINT64_MAX, 5, 6},
                         {STR(""), SIGNAL_TRACES, 0, 0, 0, 0, 0}};
    ManifestEntry entry = {STR("segments/k"), UINT64_MAX, UINT64_MAX, 3, -1, parts, 3, 0};
    ManifestChange change = {.add = &entry, .add_count = 1};
    bool known = true;
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    for (int round = 0; round < 3; round++) {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);
        const ManifestSnapshot *snapshot;
        const ManifestEntry *entries;
        size_t count;

        if (round == 0) {
            assert_ok(manifest_commit(manifest, &change, &known, &err), &err);
            assert_false(known);
        }
        snapshot = manifest_snapshot(manifest);
        entries = manifest_entries(snapshot, &count);
        assert_int_equal(count, 1);
        assert_true(str_equal(entries[0].key, entry.key));
        assert_true(entries[0].size == UINT64_MAX && entries[0].checksum == UINT64_MAX);
        assert_int_equal(entries[0].level, 3);
        assert_int_equal(entries[0].created_ms, -1);
        assert_int_equal(entries[0].part_count, 3);
        /* Sorted by tenant and signal, whatever order they came in. */
        assert_true(str_equal(entries[0].parts[0].tenant, STR("")));
        assert_int_equal(entries[0].parts[1].signal, SIGNAL_METRICS);
        assert_true(entries[0].parts[1].min_ms == INT64_MIN);
        assert_true(entries[0].parts[1].max_ms == INT64_MAX);
        assert_true(entries[0].parts[1].series == UINT64_MAX);
        assert_int_equal(entries[0].parts[2].signal, SIGNAL_LOGS);
        assert_int_equal(entries[0].parts[2].items, 2);
        assert_int_equal(entries[0].parts[2].bytes, 3);
        manifest_snapshot_unref(snapshot);
        /* The third time from a checkpoint. */
        if (round == 1) assert_ok(manifest_checkpoint(manifest, 0, 0, &err), &err);
    }
    assert_int_equal(count_objects(&world, STR("manifest/delta-")), 0);
    world_done(&world);
}

static void a_commit_that_is_repeated_is_known(void **state) {
    Error err = {0};
    bool known;
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "k", &known, &err), &err);
        assert_false(known);
        assert_ok(add_one(manifest, "k", &known, &err), &err);
        assert_true(known);
        assert_ok(replace_one(manifest, "k", "m", &err), &err);
        assert_ok(replace_one(manifest, "k", "m", &err), &err);
        assert_holds(manifest, "m | k");
        /* Only what is missing is added. */
        ManifestEntry entries[] = {entry_of("m", 6), entry_of("n", 7)};
        ManifestChange change = {.add = entries, .add_count = 2};
        assert_ok(manifest_commit(manifest, &change, &known, &err), &err);
        assert_true(known);
        assert_holds(manifest, "m n | k");
    }
    assert_int_equal(count_objects(&world, STR("manifest/delta-")), 3);
    assert_store_holds(&world, "m n | k");
    world_done(&world);
}

static void the_same_key_with_other_content_is_refused(void **state) {
    ManifestEntry other = entry_of("k", 5);
    ManifestChange change = {.add = &other, .add_count = 1};
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    other.checksum++;
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "k", NULL, &err), &err);
        assert_int_equal(manifest_commit(manifest, &change, NULL, &err), ERR_EXISTS);
        assert_non_null(strstr(err.text, "k is there already with other content"));
    }
    world_done(&world);
}

static void a_change_is_done_whole_or_not_at_all(void **state) {
    ManifestEntry entry = entry_of("new", 5);
    Str remove[] = {STR("k"), STR("missing")};
    ManifestChange change = {&entry, 1, remove, 2};
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "k", NULL, &err), &err);
        assert_int_equal(manifest_commit(manifest, &change, NULL, &err), ERR_EXISTS);
        assert_string_equal(err.text, "manifest: 1 of 2 objects to remove are gone already");
        assert_holds(manifest, "k |");
        assert_int_equal(remove_one(manifest, "missing", &err), ERR_EXISTS);
    }
    assert_store_holds(&world, "k |");
    world_done(&world);
}

static void something_known_does_not_hide_a_removal(void **state) {
    ManifestEntry known_entry = entry_of("known", 5);
    Str remove = STR("old");
    ManifestChange change = {&known_entry, 1, &remove, 1};
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "known", NULL, &err), &err);
        assert_ok(add_one(manifest, "old", NULL, &err), &err);
        assert_ok(manifest_commit(manifest, &change, NULL, &err), &err);
        assert_holds(manifest, "known | old");
    }
    world_done(&world);
}

static void a_change_must_not_name_a_key_twice(void **state) {
    ManifestEntry entries[] = {entry_of("k", 1), entry_of("k", 2)};
    ManifestEntry nameless = entry_of("", 1);
    Str remove = STR("k");
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_int_equal(manifest_commit(manifest,
                                         &(ManifestChange){.add = entries, .add_count = 2}, NULL,
                                         &err),
                         ERR_INVALID);
        assert_int_equal(
            manifest_commit(manifest, &(ManifestChange){entries, 1, &remove, 1}, NULL, &err),
            ERR_INVALID);
        assert_int_equal(
            manifest_commit(manifest, &(ManifestChange){&nameless, 1, NULL, 0}, NULL, &err),
            ERR_INVALID);
        assert_ok(manifest_commit(manifest, &(ManifestChange){0}, NULL, &err), &err);
    }
    assert_int_equal(count_objects(&world, STR("")), 0);
    world_done(&world);
}

static void a_flush_is_recognised_long_after_its_segment_was_merged_away(void **state) {
    const char *first = "segments/0000000000001-00000000000000aa-000-0000000007.seg";
    Str removed = str_of(first);
    Error err = {0};
    bool known = false;
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, first, NULL, &err), &err);
        assert_ok(replace_one(manifest, first, "blk", &err), &err);
        assert_ok(add_one(manifest, first, &known, &err), &err);
        assert_true(known); /* within its grace */
        assert_ok(manifest_forget(manifest, &removed, 1, &err), &err);
        assert_ok(add_one(manifest, first, &known, &err), &err);
        assert_true(known); /* after it */
        assert_holds(manifest, "blk |");
        assert_ok(manifest_checkpoint(manifest, 0, 0, &err), &err);
    }
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        known = false;
        assert_ok(add_one(manifest, first, &known, &err), &err);
        assert_true(known); /* after a checkpoint and a restart */
        assert_holds(manifest, "blk |");
        /* The lane's next one, the next lane's and the next ingester's are not. */
        assert_ok(add_one(manifest, "segments/2-00000000000000aa-000-8.seg", &known, &err), &err);
        assert_false(known);
        assert_ok(add_one(manifest, "segments/2-00000000000000aa-001-7.seg", &known, &err), &err);
        assert_false(known);
        assert_ok(add_one(manifest, "segments/2-00000000000000ab-000-7.seg", &known, &err), &err);
        assert_false(known);
    }
    world_done(&world);
}

static void two_processes_see_each_others_commits(void **state) {
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *two = open_manifest(&world);

        assert_ok(add_one(one, "a", NULL, &err), &err);
        assert_holds(two, "|");
        assert_ok(manifest_refresh(two, &err), &err);
        assert_holds(two, "a |");
        /* Who commits to a number that is taken reads it and takes the next. */
        assert_ok(add_one(two, "b", NULL, &err), &err);
        assert_ok(add_one(two, "c", NULL, &err), &err);
        assert_ok(add_one(one, "d", NULL, &err), &err);
        assert_holds(one, "a b c d |");
        /* What only the other one added can be removed, without a refresh in between. */
        assert_ok(add_one(one, "e", NULL, &err), &err);
        assert_ok(replace_one(two, "e", "f", &err), &err);
        /* And what the other one removed can't. */
        assert_int_equal(replace_one(one, "e", "g", &err), ERR_EXISTS);
        assert_holds(one, "a b c d f | e");
        assert_ok(manifest_refresh(two, &err), &err);
        assert_holds(two, "a b c d f | e");
    }
    world_done(&world);
}

static bool touched(Changes *changes, Str tenant, uint64_t mark, int64_t time_ms) {
    ChangedRange ranges[CHANGES_RANGES_MAX];
    size_t count = changes_since(changes, tenant, mark, ranges);

    for (size_t i = 0; i < count; i++)
        if (ranges[i].min_ms <= time_ms && time_ms <= ranges[i].max_ms) return true;
    return false;
}

/* Both with conditional PUT and without, where deltas are listed. */
static void what_others_commit_is_noted_when_it_shows(void **state) {
    Error err = {0};

    (void)state;
    for (int conditional = 0; conditional < 2; conditional++) {
        World world;

        world_init(&world, conditional);
        {
            CLEANUP(changes_free) Changes *changes = changes_new();
            CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
            CLEANUP(manifest_free) Manifest *two = open_manifest(&world);
            uint64_t mark;

            manifest_watch(two, changes);
            assert_ok(add_one(one, "a", NULL, &err), &err);
            assert_false(touched(changes, STR("a"), 0, 1500));
            assert_ok(manifest_refresh(two, &err), &err);
            assert_true(touched(changes, STR("a"), 0, 1500));
            assert_false(touched(changes, STR("a"), 0, 2500));
            assert_false(touched(changes, STR("b"), 0, 1500));
            /* Its own commits moved what was noted before. */
            mark = changes_mark(changes);
            assert_ok(add_one(two, "b", NULL, &err), &err);
            assert_ok(replace_one(two, "b", "c", &err), &err);
            assert_ok(manifest_refresh(two, &err), &err);
            assert_int_equal(changes_mark(changes), mark);
            /* Met on the way of a commit. */
            assert_ok(add_one(one, "d", NULL, &err), &err);
            assert_ok(add_one(two, "e", NULL, &err), &err);
            assert_ok(manifest_refresh(two, &err), &err);
            assert_true(touched(changes, STR("a"), mark, 1500));
        }
        world_done(&world);
    }
}

/* Then nobody knows what is new. */
static void a_checkpoint_by_others_touches_everything(void **state) {
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(changes_free) Changes *changes = changes_new();
        CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *two = open_manifest(&world);

        manifest_watch(two, changes);
        assert_ok(add_one(one, "a", NULL, &err), &err);
        assert_ok(manifest_checkpoint(one, 0, 1000, &err), &err);
        atomic_fetch_add(&world.clock.wall_ms, 120000);
        assert_ok(manifest_refresh(two, &err), &err);
        assert_holds(two, "a |");
        assert_true(touched(changes, STR("b"), 0, INT64_MIN));
    }
    world_done(&world);
}

static void a_snapshot_never_changes(void **state) {
    const ManifestEntry *entries;
    const ManifestSnapshot *old;
    Error err = {0};
    World world;
    size_t count;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "a", NULL, &err), &err);
        old = manifest_snapshot(manifest);
        assert_ok(replace_one(manifest, "a", "b", &err), &err);
        assert_ok(manifest_checkpoint(manifest, 0, 0, &err), &err);
    }
    entries = manifest_entries(old, &count); /* lives longer than the manifest */
    assert_int_equal(count, 1);
    assert_true(str_equal(entries[0].key, STR("a")));
    assert_true(str_equal(entries[0].parts[0].tenant, STR("a")));
    manifest_snapshot_unref(old);
    world_done(&world);
}

static void check_found(const ManifestSnapshot *snapshot, const char *tenant, Signal signal,
                        int64_t min_ms, int64_t max_ms, const char *expected) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    const ManifestEntry **found;
    char text[256] = "";
    Error err = {0};
    size_t count;

    assert_ok(manifest_find(snapshot, str_of(tenant), signal, min_ms, max_ms, arena, &found, &count,
                            &err),
              &err);
    for (size_t i = 0; i < count; i++) strncat(text, found[i]->key.ptr, found[i]->key.len);
    assert_string_equal(text, expected);
}

static void find_goes_by_tenant_signal_and_time_oldest_first(void **state) {
    BlockPart one[] = {{STR("a"), SIGNAL_METRICS, 100, 199, 1, 1, 1},
                       {STR("ab"), SIGNAL_METRICS, 300, 399, 1, 1, 1}};
    BlockPart two[] = {{STR("a"), SIGNAL_LOGS, 100, 199, 1, 1, 1},
                       {STR("a"), SIGNAL_METRICS, 150, 250, 1, 1, 1},
                       {STR("b"), SIGNAL_METRICS, 0, 1000, 1, 1, 1}};
    ManifestEntry entries[] = {{STR("1"), 1, 1, 0, 20, one, 2, 0},
                               {STR("2"), 1, 1, 0, 10, two, 3, 0}};
    ManifestChange change = {.add = entries, .add_count = 2};
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);
        const ManifestSnapshot *snapshot;

        assert_ok(manifest_commit(manifest, &change, NULL, &err), &err);
        snapshot = manifest_snapshot(manifest);
        check_found(snapshot, "a", SIGNAL_METRICS, INT64_MIN, INT64_MAX, "21");
        check_found(snapshot, "a", SIGNAL_METRICS, 199, 199, "21");
        check_found(snapshot, "a", SIGNAL_METRICS, 200, 250, "2");
        check_found(snapshot, "a", SIGNAL_METRICS, 0, 100, "1");
        check_found(snapshot, "a", SIGNAL_METRICS, 0, 99, "");
        check_found(snapshot, "a", SIGNAL_METRICS, 251, INT64_MAX, "");
        check_found(snapshot, "a", SIGNAL_LOGS, 0, 1000, "2");
        check_found(snapshot, "a", SIGNAL_TRACES, 0, 1000, "");
        check_found(snapshot, "ab", SIGNAL_METRICS, 0, 1000, "1");
        check_found(snapshot, "b", SIGNAL_METRICS, 500, 500, "2");
        check_found(snapshot, "", SIGNAL_METRICS, 0, 1000, "");
        check_found(snapshot, "c", SIGNAL_METRICS, 0, 1000, "");
        manifest_snapshot_unref(snapshot);
    }
    world_done(&world);
}

static void removed_objects_are_remembered_until_forgotten(void **state) {
    Str keys[] = {STR("a"), STR("never there")};
    const ManifestSnapshot *snapshot;
    const ManifestRemoved *removed;
    Error err = {0};
    World world;
    size_t count;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "a", NULL, &err), &err);
        assert_ok(add_one(manifest, "b", NULL, &err), &err);
        atomic_fetch_add(&world.clock.wall_ms, 5000);
        assert_ok(remove_one(manifest, "b", &err), &err);
        assert_ok(remove_one(manifest, "a", &err), &err);
        snapshot = manifest_snapshot(manifest);
        removed = manifest_removed(snapshot, &count);
        assert_int_equal(count, 2);
        assert_int_equal(removed[0].removed_ms, 1700000005000);
        manifest_snapshot_unref(snapshot);
        assert_ok(manifest_forget(manifest, keys, 2, &err), &err);
        assert_holds(manifest, "| b");
        assert_ok(manifest_forget(manifest, keys, 2, &err), &err); /* nothing to say any more */
        assert_ok(manifest_forget(manifest, NULL, 0, &err), &err);
    }
    assert_int_equal(count_objects(&world, STR("manifest/delta-")), 5);
    assert_store_holds(&world, "| b");
    world_done(&world);
}

/* ---- checkpoints ---- */

static void a_checkpoint_folds_only_more_than_asked_for(void **state) {
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        for (char key[] = "a"; key[0] <= 'd'; key[0]++)
            assert_ok(add_one(manifest, key, NULL, &err), &err);
        assert_ok(manifest_checkpoint(manifest, 4, 0, &err), &err);
        assert_int_equal(count_objects(&world, STR("manifest/checkpoint-")), 0);
        assert_ok(manifest_checkpoint(manifest, 3, 600000, &err), &err);
        assert_int_equal(count_objects(&world, STR("manifest/checkpoint-")), 1);
        assert_int_equal(count_objects(&world, STR("manifest/delta-")), 4);
        assert_ok(manifest_checkpoint(manifest, 0, 600000, &err), &err); /* nothing new */
        assert_int_equal(count_objects(&world, STR("manifest/checkpoint-")), 1);
    }
    assert_store_holds(&world, "a b c d |");
    world_done(&world);
}

static void deltas_live_for_the_grace_after_they_were_folded(void **state) {
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_ok(add_one(manifest, "a", NULL, &err), &err);
        atomic_fetch_add(&world.clock.wall_ms, 3600000); /* an old delta, but just folded */
        assert_ok(manifest_checkpoint(manifest, 0, 600000, &err), &err);
        assert_int_equal(count_objects(&world, STR("manifest/delta-")), 1);
        atomic_fetch_add(&world.clock.wall_ms, 599999);
        assert_ok(manifest_checkpoint(manifest, 0, 600000, &err), &err);
        assert_int_equal(count_objects(&world, STR("manifest/delta-")), 1);
        assert_ok(add_one(manifest, "b", NULL, &err), &err);
        atomic_fetch_add(&world.clock.wall_ms, 1);
        assert_ok(manifest_checkpoint(manifest, 0, 600000, &err), &err);
        /* The first is gone; the second was folded now, and the first checkpoint may be in use. */
        assert_int_equal(count_objects(&world, STR("manifest/delta-")), 1);
        assert_int_equal(count_objects(&world, STR("manifest/checkpoint-")), 2);
        atomic_fetch_add(&world.clock.wall_ms, 600000);
        assert_ok(manifest_checkpoint(manifest, 0, 600000, &err), &err);
        assert_int_equal(count_objects(&world, STR("manifest/delta-")), 0);
        assert_int_equal(count_objects(&world, STR("manifest/checkpoint-")), 1);
    }
    assert_store_holds(&world, "a b |");
    world_done(&world);
}

static void who_slept_while_deltas_were_folded_and_deleted_starts_over(void **state) {
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *sleeper = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *awake = open_manifest(&world);

        assert_ok(add_one(awake, "a", NULL, &err), &err);
        assert_ok(replace_one(awake, "a", "b", &err), &err);
        assert_ok(manifest_checkpoint(awake, 0, 0, &err), &err);
        assert_ok(add_one(awake, "c", NULL, &err), &err);
        assert_int_equal(count_objects(&world, STR("manifest/delta-")), 1);
        atomic_fetch_add(&world.clock.wall_ms, 60000);
        assert_ok(manifest_refresh(sleeper, &err), &err);
        assert_holds(sleeper, "c b | a");
    }
    world_done(&world);
}

/* Its number is free again, but nobody would ever read it there. */
static void a_commit_of_who_slept_is_not_lost(void **state) {
    Error err = {0};
    World world;

    (void)state;
    for (int64_t slept_ms = 0; slept_ms <= 60000; slept_ms += 60000) {
        world_init(&world, true);
        {
            CLEANUP(manifest_free) Manifest *sleeper = open_manifest(&world);
            CLEANUP(manifest_free) Manifest *other = open_manifest(&world);
            CLEANUP(manifest_free) Manifest *awake = open_manifest(&world);

            assert_ok(add_one(awake, "a", NULL, &err), &err);
            assert_ok(replace_one(awake, "a", "b", &err), &err);
            assert_ok(manifest_checkpoint(awake, 0, 0, &err), &err);
            assert_int_equal(count_objects(&world, STR("manifest/delta-")), 0);
            atomic_fetch_add(&world.clock.wall_ms, slept_ms);
            assert_ok(add_one(sleeper, "late", NULL, &err), &err);
            assert_holds(sleeper, "late b | a");
            assert_ok(manifest_refresh(awake, &err), &err);
            assert_holds(awake, "late b | a");
            /* Another one that slept as long isn't misled by what the first left behind. */
            atomic_fetch_add(&world.clock.wall_ms, 60000);
            assert_ok(manifest_refresh(other, &err), &err);
            assert_holds(other, "late b | a");
        }
        assert_store_holds(&world, "late b | a");
        world_done(&world);
    }
}

static void a_removal_of_who_slept_is_not_lost(void **state) {
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *awake = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *sleeper = NULL;

        assert_ok(add_one(awake, "a", NULL, &err), &err);
        sleeper = open_manifest(&world);
        assert_ok(add_one(awake, "b", NULL, &err), &err);
        assert_ok(manifest_checkpoint(awake, 0, 0, &err), &err);
        assert_ok(remove_one(sleeper, "a", &err), &err);
        assert_holds(sleeper, "b | a");
        assert_ok(manifest_forget(sleeper, &(Str)STR_INIT("a"), 1, &err), &err);
    }
    assert_store_holds(&world, "b |");
    world_done(&world);
}

static void two_processes_may_both_fold(void **state) {
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *two = open_manifest(&world);

        assert_ok(add_one(one, "a", NULL, &err), &err);
        assert_ok(manifest_refresh(two, &err), &err);
        assert_ok(add_one(one, "b", NULL, &err), &err);
        assert_ok(manifest_checkpoint(one, 0, 0, &err), &err);
        /* `two` is behind: its checkpoint must not replace the newer one. */
        assert_ok(manifest_checkpoint(two, 0, 0, &err), &err);
        assert_store_holds(&world, "a b |");
        assert_ok(manifest_checkpoint(two, 0, 0, &err), &err);
        assert_store_holds(&world, "a b |");
        assert_ok(add_one(two, "c", NULL, &err), &err);
        assert_holds(two, "a b c |");
        assert_ok(manifest_checkpoint(two, 0, 0, &err), &err);
        assert_ok(add_one(one, "d", NULL, &err), &err);
        assert_ok(manifest_checkpoint(one, 0, 0, &err), &err);
    }
    assert_store_holds(&world, "a b c d |");
    world_done(&world);
}

/* ---- stores without conditional PUT ---- */

static void without_conditional_put_all_commits_are_found_by_listing(void **state) {
    Error err = {0};
    bool known;
    World world;

    (void)state;
    world_init(&world, false);
    {
        CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *two = open_manifest(&world);

        assert_ok(add_one(one, "a", NULL, &err), &err);
        assert_ok(add_one(two, "b", NULL, &err), &err);
        assert_holds(two, "a b |");
        assert_ok(manifest_refresh(one, &err), &err);
        assert_holds(one, "a b |");
        assert_ok(replace_one(two, "a", "c", &err), &err);
        assert_int_equal(replace_one(one, "a", "d", &err), ERR_EXISTS);
        assert_ok(add_one(one, "a", &known, &err), &err);
        assert_true(known);
        assert_ok(manifest_checkpoint(one, 0, 0, &err), &err); /* does nothing */
        assert_holds(one, "b c | a");
        assert_ok(manifest_forget(one, &(Str)STR_INIT("a"), 1, &err), &err);
    }
    assert_int_equal(count_objects(&world, STR("manifest/delta-")), 4);
    assert_int_equal(count_objects(&world, STR("manifest/")), 4);
    assert_store_holds(&world, "b c |");
    world_done(&world);
}

typedef struct Hidden {
    Arena *arena;
    char name[128];
    Str body;
} Hidden;

static ErrCode note_last(void *context, const StoreObject *object, Error *err) {
    Hidden *hidden = context;

    (void)err;
    snprintf(hidden->name, sizeof hidden->name, STR_FMT, STR_ARG(object->key));
    return ERR_OK;
}

/* Takes the newest delta away, as a LIST does that began before it came. */
static void hide_newest(World *world, Hidden *hidden) {
    Str bytes;
    Error err = {0};

    assert_ok(store_list(world->store, STR("manifest/delta-"), note_last, hidden, &err), &err);
    assert_ok(store_get(world->store, str_of(hidden->name), 0, SIZE_MAX, hidden->arena, &bytes,
                        NULL, &err),
              &err);
    hidden->body = str_dup(hidden->arena, bytes);
    assert_ok(store_delete(world->store, str_of(hidden->name), &err), &err);
}

static void show(World *world, const Hidden *hidden) {
    Error err = {0};

    assert_ok(store_put(world->store, str_of(hidden->name), hidden->body, NULL, &err), &err);
}

/* Two at the same moment: neither sees the other's delta, both have the same number. */
static void without_conditional_put_nothing_of_two_commits_at_once_is_lost(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Hidden hidden = {.arena = arena};
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, false);
    {
        CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *two = open_manifest(&world);

        assert_ok(add_one(one, "a", NULL, &err), &err);
        assert_ok(manifest_refresh(two, &err), &err);
        assert_ok(replace_one(one, "a", "b", &err), &err);
        hide_newest(&world, &hidden);
        assert_ok(replace_one(two, "a", "c", &err), &err);
        show(&world, &hidden);
        assert_ok(manifest_refresh(one, &err), &err);
        assert_ok(manifest_refresh(two, &err), &err);
        /* Both replacements are there, nothing is there that should be gone. */
        assert_holds(one, "b c | a");
        assert_holds(two, "b c | a");
    }
    assert_store_holds(&world, "b c | a");
    world_done(&world);
}

static void a_removal_may_be_read_before_what_it_removes(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Hidden hidden = {.arena = arena};
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, false);
    {
        CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *reader = open_manifest(&world);

        assert_ok(add_one(one, "a", NULL, &err), &err);
        hide_newest(&world, &hidden);
        assert_ok(replace_one(one, "a", "b", &err), &err);
        assert_ok(manifest_refresh(reader, &err), &err);
        assert_holds(reader, "b | a");
        show(&world, &hidden);
        assert_ok(manifest_refresh(reader, &err), &err);
        assert_holds(reader, "b | a");
    }
    assert_store_holds(&world, "b | a");
    world_done(&world);
}

static void set_conditional(World *world, bool conditional) {
    if (conditional)
        world->faulty->features |= STORE_CONDITIONAL_PUT;
    else
        world->faulty->features &= ~(unsigned)STORE_CONDITIONAL_PUT;
}

/* A bucket that moves from signature v2 to v4, or back. */
static void a_store_may_be_used_with_and_without_conditional_put_in_turn(void **state) {
    char expected[64] = "";
    Error err = {0};
    World world;

    (void)state;
    world_init(&world, true);
    for (char key[] = "a"; key[0] <= 'p'; key[0]++) {
        CLEANUP(manifest_free) Manifest *manifest = NULL;

        set_conditional(&world, (key[0] - 'a') % 4 < 2);
        manifest = open_manifest(&world);
        assert_ok(add_one(manifest, key, NULL, &err), &err);
        if (key[0] % 5 == 0) assert_ok(manifest_checkpoint(manifest, 0, 0, &err), &err);
        strcat(expected, key);
        strcat(expected, " ");
    }
    strcat(expected, "|");
    assert_store_holds(&world, expected);
    set_conditional(&world, true);
    assert_store_holds(&world, expected);
    world_done(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_is_an_empty_manifest),
        cmocka_unit_test(what_was_committed_is_there_after_a_restart),
        cmocka_unit_test(a_commit_that_is_repeated_is_known),
        cmocka_unit_test(the_same_key_with_other_content_is_refused),
        cmocka_unit_test(a_change_is_done_whole_or_not_at_all),
        cmocka_unit_test(something_known_does_not_hide_a_removal),
        cmocka_unit_test(a_change_must_not_name_a_key_twice),
        cmocka_unit_test(a_flush_is_recognised_long_after_its_segment_was_merged_away),
        cmocka_unit_test(two_processes_see_each_others_commits),
        cmocka_unit_test(what_others_commit_is_noted_when_it_shows),
        cmocka_unit_test(a_checkpoint_by_others_touches_everything),
        cmocka_unit_test(a_snapshot_never_changes),
        cmocka_unit_test(find_goes_by_tenant_signal_and_time_oldest_first),
        cmocka_unit_test(removed_objects_are_remembered_until_forgotten),
        cmocka_unit_test(a_checkpoint_folds_only_more_than_asked_for),
        cmocka_unit_test(deltas_live_for_the_grace_after_they_were_folded),
        cmocka_unit_test(who_slept_while_deltas_were_folded_and_deleted_starts_over),
        cmocka_unit_test(a_commit_of_who_slept_is_not_lost),
        cmocka_unit_test(a_removal_of_who_slept_is_not_lost),
        cmocka_unit_test(two_processes_may_both_fold),
        cmocka_unit_test(without_conditional_put_all_commits_are_found_by_listing),
        cmocka_unit_test(without_conditional_put_nothing_of_two_commits_at_once_is_lost),
        cmocka_unit_test(a_removal_may_be_read_before_what_it_removes),
        cmocka_unit_test(a_store_may_be_used_with_and_without_conditional_put_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
