/* What manifest.h promises of delete requests, with two processes, and with a store that fails. */
#include "tests/unit/manifest/manifest_helper.h"

static ManifestDelete request_of(const char *tenant, const char *id) {
    return (ManifestDelete){.tenant = str_of(tenant),
                            .id = str_of(id),
                            .query = STR("{a=\"b\"}"),
                            .start_ms = -10,
                            .end_ms = 10,
                            .created_ms = 5};
}

static ErrCode add_request(Manifest *manifest, const char *tenant, const char *id, Error *err) {
    ManifestDelete request = request_of(tenant, id);

    return manifest_change_deletes(manifest, &(ManifestDeletesChange){.add = &request}, err);
}

static ErrCode change_one(Manifest *manifest, const char *tenant, const char *id, bool processed,
                          bool unprocessed_only, Error *err) {
    ManifestDeleteId one = {str_of(tenant), str_of(id)};
    ManifestDeletesChange change = {.unprocessed_only = unprocessed_only};

    if (processed) {
        change.processed = &one;
        change.processed_count = 1;
    } else {
        change.remove = &one;
        change.remove_count = 1;
    }
    return manifest_change_deletes(manifest, &change, err);
}

/* "tenant/id@number" of each, "!" behind those that are processed, then the objects with what they
 * are cleared up to. */
static void describe_deletes(Manifest *manifest, char out[static 4096]) {
    const ManifestSnapshot *snapshot = manifest_snapshot(manifest);
    size_t count, entry_count, at = 0;
    const ManifestDelete *requests = manifest_deletes(snapshot, &count);
    const ManifestEntry *entries = manifest_entries(snapshot, &entry_count);

    out[0] = '\0';
    for (size_t i = 0; i < count && at < 4000; i++)
        at += (size_t)snprintf(out + at, 4096 - at, STR_FMT "/" STR_FMT "@%llu%s ",
                               STR_ARG(requests[i].tenant), STR_ARG(requests[i].id),
                               (unsigned long long)requests[i].number,
                               requests[i].processed_ms != 0 ? "!" : "");
    for (size_t i = 0; i < entry_count && at < 4000; i++)
        at += (size_t)snprintf(out + at, 4096 - at, STR_FMT ":%llu ", STR_ARG(entries[i].key),
                               (unsigned long long)entries[i].cleared);
    manifest_snapshot_unref(snapshot);
}

#define assert_deletes(manifest, expected)                                                         \
    do {                                                                                           \
        char holds_[4096];                                                                         \
        describe_deletes(manifest, holds_);                                                        \
        assert_string_equal(holds_, expected);                                                     \
    } while (0)

#define assert_store_deletes(world, expected)                                                      \
    do {                                                                                           \
        CLEANUP(manifest_free) Manifest *fresh_ = open_manifest(world);                            \
        assert_deletes(fresh_, expected);                                                          \
    } while (0)

static void requests_come_go_and_are_processed_for_all_processes(void **state) {
    World world;
    Error err = {0};

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *one = open_manifest(&world);
        CLEANUP(manifest_free) Manifest *two = open_manifest(&world);

        assert_int_equal(manifest_deletes_newest(one), 0);
        assert_ok(add_request(one, "t", "a", &err), &err);
        assert_int_equal(manifest_deletes_newest(one), 1);
        assert_ok(add_request(two, "u", "a", &err), &err);
        assert_ok(add_request(two, "t", "b", &err), &err);
        assert_deletes(two, "t/a@1 u/a@2 t/b@3 ");
        assert_ok(add_one(one, "key", NULL, &err), &err);
        assert_deletes(one, "t/a@1 u/a@2 t/b@3 key:0 ");
        assert_int_equal(manifest_deletes_newest(one), 3);
        assert_ok(change_one(two, "t", "a", true, false, &err), &err);
        assert_store_deletes(&world, "t/a@1! u/a@2 t/b@3 key:0 ");
        /* A repeat changes nothing. */
        size_t objects = count_objects(&world, STR(""));
        assert_ok(change_one(two, "t", "a", true, false, &err), &err);
        assert_ok(add_request(one, "t", "b", &err), &err);
        assert_int_equal(count_objects(&world, STR("")), objects);
        assert_int_equal(change_one(one, "t", "a", false, true, &err), ERR_EXISTS);
        assert_int_equal(change_one(one, "t", "c", false, true, &err), ERR_NOT_FOUND);
        assert_int_equal(change_one(one, "x", "b", false, true, &err), ERR_NOT_FOUND);
        assert_ok(change_one(one, "t", "b", false, true, &err), &err);
        assert_deletes(one, "t/a@1! u/a@2 key:0 ");
        ManifestCleared raise[] = {{STR("key"), 3}, {STR("none"), 9}};
        ManifestDeletesChange change = {.raise = raise, .raise_count = 2};

        assert_ok(manifest_change_deletes(two, &change, &err), &err);
        raise[0].cleared = 2; /* never goes back */
        assert_ok(manifest_change_deletes(two, &change, &err), &err);
        assert_store_deletes(&world, "t/a@1! u/a@2 key:3 ");
        assert_ok(manifest_checkpoint(two, 0, 600000, &err), &err);
        assert_store_deletes(&world, "t/a@1! u/a@2 key:3 ");
    }
    {
        /* Numbers go on where they were, also when the newest request was taken back. */
        CLEANUP(manifest_free) Manifest *fresh = open_manifest(&world);

        assert_int_equal(manifest_deletes_newest(fresh), 3);
    }
    world_done(&world);
}

static void progress_is_told_by_the_objects_of_its_time_and_tenant(void **state) {
    static const struct {
        const char *key, *tenant;
        int64_t min_ms, max_ms;
        uint32_t level;
        uint64_t cleared;
        Signal signal;
    } objects[] = {
        {"a", "t", -5, 5, 1, 0, SIGNAL_LOGS},    {"b", "t", 10, 20, 2, 1, SIGNAL_LOGS},
        {"c", "t", -20, -10, 1, 7, SIGNAL_LOGS}, {"d", "t", 11, 20, 1, 1, SIGNAL_LOGS},
        {"e", "u", 0, 0, 1, 1, SIGNAL_LOGS},     {"f", "t", 0, 0, 1, 1, SIGNAL_METRICS},
        {"g", "t", 0, 0, 0, 1, SIGNAL_LOGS}, /* came in later */
        {"h", "t", 0, 0, 0, 0, SIGNAL_LOGS},
    };
    ManifestEntry entries[ARRAY_LEN(objects)];
    BlockPart parts[ARRAY_LEN(objects)];
    World world;
    Error err = {0};

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);
        ManifestChange change = {.add = entries, .add_count = ARRAY_LEN(objects)};
        const ManifestSnapshot *snapshot;
        ManifestProgress progress;
        size_t count;

        for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
            parts[i] = (BlockPart){.tenant = str_of(objects[i].tenant),
                                   .signal = objects[i].signal,
                                   .min_ms = objects[i].min_ms,
                                   .max_ms = objects[i].max_ms};
            entries[i] = (ManifestEntry){.key = str_of(objects[i].key),
                                         .size = 1,
                                         .level = objects[i].level,
                                         .parts = &parts[i],
                                         .part_count = 1,
                                         .cleared = objects[i].cleared};
        }
        assert_ok(add_request(manifest, "t", "a", &err), &err);
        assert_ok(manifest_commit(manifest, &change, NULL, &err), &err);
        snapshot = manifest_snapshot(manifest);
        progress = manifest_delete_progress(snapshot, manifest_deletes(snapshot, &count));
        manifest_snapshot_unref(snapshot);
        assert_int_equal(progress.objects, 4); /* a, b, c, h */
        assert_int_equal(progress.cleared, 2); /* b, c */
    }
    world_done(&world);
}

static void a_store_that_fails_at_any_call_leaves_all_or_nothing(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned call = 1;; call++) {
            World world;
            Error err = {0};
            bool hit;

            world_init(&world, true);
            {
                CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

                assert_ok(add_one(manifest, "key", NULL, &err), &err);
                store_fault_arm(
                    world.faulty,
                    &(FaultPlan){.kind = kind == 0 ? FAULT_BEFORE : FAULT_AFTER, .call = call});
                ErrCode code = add_request(manifest, "t", "a", &err);

                hit = store_fault_fired(world.faulty) > 0;
                store_fault_arm(world.faulty, &(FaultPlan){.kind = FAULT_NONE});
                if (code != ERR_OK) assert_ok(add_request(manifest, "t", "a", &err), &err);
                assert_deletes(manifest, "t/a@2 key:0 ");
            }
            assert_store_deletes(&world, "t/a@2 key:0 ");
            world_done(&world);
            if (!hit) break;
        }
}

static void so_many_wait_and_no_more_and_old_ones_make_room(void **state) {
    World world;
    Error err = {0};
    char id[16];

    (void)state;
    world_init(&world, true);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);
        const ManifestSnapshot *snapshot;
        size_t count;

        for (int i = 0; i < MANIFEST_DELETES_MAX; i++) {
            snprintf(id, sizeof id, "%d", i);
            assert_ok(add_request(manifest, "t", id, &err), &err);
        }
        assert_int_equal(add_request(manifest, "t", "more", &err), ERR_LIMIT);
        assert_ok(add_request(manifest, "u", "more", &err), &err);
        assert_ok(change_one(manifest, "t", "7", true, false, &err), &err);
        assert_ok(add_request(manifest, "t", "more", &err), &err);
        snapshot = manifest_snapshot(manifest);
        const ManifestDelete *requests = manifest_deletes(snapshot, &count);

        assert_int_equal(count, MANIFEST_DELETES_MAX + 1);
        for (size_t i = 0; i < count; i++) assert_false(str_equal(requests[i].id, STR("7")));
        manifest_snapshot_unref(snapshot);
    }
    world_done(&world);
}

static void a_store_without_order_takes_none(void **state) {
    World world;
    Error err = {0};

    (void)state;
    world_init(&world, false);
    {
        CLEANUP(manifest_free) Manifest *manifest = open_manifest(&world);

        assert_int_equal(add_request(manifest, "t", "a", &err), ERR_UNSUPPORTED);
    }
    world_done(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_go_and_are_processed_for_all_processes),
        cmocka_unit_test(progress_is_told_by_the_objects_of_its_time_and_tenant),
        cmocka_unit_test(a_store_that_fails_at_any_call_leaves_all_or_nothing),
        cmocka_unit_test(so_many_wait_and_no_more_and_old_ones_make_room),
        cmocka_unit_test(a_store_without_order_takes_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
