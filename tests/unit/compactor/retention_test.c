/* Retention in memory and on a folder. On MinIO: tests/integration/retention_s3_test.c. */
#include "tests/unit/compactor/retention.h"

#include "tests/unit/ingester/temp_dir.h"

static void old_data_goes_and_other_tenants_stays_in_memory(void **state) {
    Place place;

    (void)state;
    place_make(&place);
    check_retention(&place);
    place_done(&place);
}

static void old_data_goes_and_other_tenants_stays_on_a_folder(void **state) {
    Place place = {0};
    StoreDriver *driver;
    Error err = {0};
    char dir[64];

    (void)state;
    temp_dir_make(dir);
    manual_clock_init(&place.clock, NOW);
    assert_ok(store_driver_fs(str_of(dir), &place.clock.clock, &driver, &err), &err);
    place_make_on(&place, driver);
    check_retention(&place);
    place_done(&place);
    temp_dir_remove(dir);
}

static void what_expired_in_good_part_is_trimmed(void **state) {
    Place place;

    (void)state;
    place_make(&place);
    check_trimming(&place);
    place_done(&place);
}

static void what_expired_before_it_was_split_never_becomes_a_block(void **state) {
    Samples segment = {0}, left = {0};
    char key[96];
    Place place;

    (void)state;
    place_make(&place);
    set_retention(&place, 1, HOUR);
    for (uint64_t tenant = 1; tenant <= 2; tenant++)
        samples_add(&segment, (Sample){tenant, 1, NOW - 2 * HOUR, 5});
    samples_add(&left, (Sample){2, 1, NOW - 2 * HOUR, 5});
    put_segment(&place, &segment, key);
    run_ok(&place);
    assert_reads_once(&place, &left);
    assert_int_equal(count_objects(&place, "tenants/t-0001/"), 0);
    assert_int_equal(count_objects(&place, "tenants/"), 1);
    samples_done(&segment);
    samples_done(&left);
    place_done(&place);
}

/* Removing is not the end of it: the manifest must not grow with what was deleted. */
static void what_was_deleted_is_forgotten(void **state) {
    const ManifestSnapshot *snapshot;
    Samples segment = {0};
    char key[96];
    size_t count;
    Place place;

    (void)state;
    place_make(&place);
    samples_add(&segment, (Sample){1, 1, NOW, 5});
    put_segment(&place, &segment, key);
    run_ok(&place);
    snapshot = manifest_snapshot(place.manifest);
    manifest_removed(snapshot, &count);
    assert_int_equal(count, 1);
    manifest_snapshot_unref(snapshot);
    pass(&place, GRACE_MS);
    run_ok(&place);
    snapshot = manifest_snapshot(place.manifest);
    manifest_removed(snapshot, &count);
    assert_int_equal(count, 0);
    manifest_snapshot_unref(snapshot);
    samples_done(&segment);
    place_done(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_data_goes_and_other_tenants_stays_in_memory),
        cmocka_unit_test(old_data_goes_and_other_tenants_stays_on_a_folder),
        cmocka_unit_test(what_expired_in_good_part_is_trimmed),
        cmocka_unit_test(what_expired_before_it_was_split_never_becomes_a_block),
        cmocka_unit_test(what_was_deleted_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
