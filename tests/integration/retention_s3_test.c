/*
 * Retention on a real S3, the same as tests/unit/compactor/retention_test.c: run by with-minio, or
 * by hand with MORAINE_TEST_S3_ENDPOINT, MORAINE_TEST_S3_BUCKET and the AWS_* variables set.
 */
#include "tests/unit/compactor/retention.h"

static Str variable(const char *name) {
    return str_of(getenv(name));
}

/* A folder of its own each time, so that a run that was killed doesn't disturb the next. */
static Store *open_store(void) {
    char url[512];
    StoreOptions options = {.url = {url, 0},
                            .endpoint = variable("MORAINE_TEST_S3_ENDPOINT"),
                            .ca_file = variable("MORAINE_TEST_S3_CA_FILE"),
                            .clock = clock_system()}; /* requests are signed with the real time */
    Store *store = NULL;
    Error err = {0};

    options.url.len = (size_t)snprintf(
        url, sizeof url, "s3://" STR_FMT "/moraine-tests/retention-%lld",
        STR_ARG(variable("MORAINE_TEST_S3_BUCKET")), (long long)clock_now_ms(clock_system()));
    assert_ok(store_open(&options, &store, &err), &err);
    return store;
}

static ErrCode delete_listed(void *context, const StoreObject *object, Error *err) {
    return store_delete(context, object->key, err);
}

static void check(void (*body)(Place *place)) {
    Place place = {0};
    Error err = {0};

    log_set_level(LOG_LEVEL_ERROR + 1);
    manual_clock_init(&place.clock, NOW);
    place.store = open_store();
    place.tenants = tenants_new(&(TenantLimits){0}, false);
    place.next_segment = 1;
    budget_init(&place.background, "background", 0, NULL);
    place_open(&place);
    body(&place);
    assert_ok(store_list(place.store, STR(""), delete_listed, place.store, &err), &err);
    place_done(&place);
}

static void old_data_goes_and_other_tenants_stays(void **state) {
    (void)state;
    check(check_retention);
}

static void what_expired_in_good_part_is_trimmed(void **state) {
    (void)state;
    check(check_trimming);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_data_goes_and_other_tenants_stays),
        cmocka_unit_test(what_expired_in_good_part_is_trimmed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
