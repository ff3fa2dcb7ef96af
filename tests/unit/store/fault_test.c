/* What fault.h promises, and what store.c makes of a store that fails or lies. */
#include "common/store/fault.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/telemetry.h"
#include "common/store/driver.h"
#include "tests/unit/unit.h"

static void put_whose_answer_was_lost_did_happen(void **state) {
    StoreDriver *faulty = store_driver_fault(store_driver_memory(), 1, FAULT_AFTER);
    CLEANUP(store_free) Store *store = store_new(faulty);
    StorePut how = {.if_absent = true};
    Error err = {0};

    (void)state;
    assert_int_equal(store_put(store, STR("k"), STR("v"), &how, &err), ERR_UNAVAILABLE);
    assert_int_equal(store_put(store, STR("k"), STR("v"), &how, &err), ERR_EXISTS);
    assert_int_equal(store_fault_fired(faulty), 1);
}

static void put_that_failed_before_did_not_happen(void **state) {
    StoreDriver *faulty = store_driver_fault(store_driver_memory(), 2, FAULT_BEFORE);
    CLEANUP(store_free) Store *store = store_new(faulty);
    StoreObject object;
    Error err = {0};

    (void)state;
    assert_ok(store_put(store, STR("a"), STR("v"), NULL, &err), &err);
    assert_int_equal(store_put(store, STR("b"), STR("v"), NULL, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.text, "fault: put b: injected: no connection");
    assert_int_equal(store_head(store, STR("b"), &object, &err), ERR_NOT_FOUND);
    assert_int_equal(store_fault_calls(faulty), 3);
}

static void a_plan_may_last_and_be_choosy(void **state) {
    StoreDriver *faulty = store_driver_fault(store_driver_memory(), 0, FAULT_NONE);
    CLEANUP(store_free) Store *store = store_new(faulty);
    StoreObject object;
    Error err = {0};

    (void)state;
    store_fault_arm(faulty, &(FaultPlan){.kind = FAULT_BEFORE,
                                         .call = 2,
                                         .for_good = true,
                                         .only = FAULT_HEADS,
                                         .key_has = STR("seg"),
                                         .code = ERR_DENIED});
    assert_ok(store_put(store, STR("segment"), STR("v"), NULL, &err), &err);
    assert_ok(store_put(store, STR("other"), STR("v"), NULL, &err), &err);
    assert_ok(store_head(store, STR("segment"), &object, &err), &err);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(store_head(store, STR("segment"), &object, &err), ERR_DENIED);
        assert_ok(store_head(store, STR("other"), &object, &err), &err);
    }
    assert_int_equal(store_fault_calls(faulty), 4);
    assert_int_equal(store_fault_fired(faulty), 3);
    store_fault_arm(faulty, &(FaultPlan){.kind = FAULT_NONE});
    assert_ok(store_head(store, STR("segment"), &object, &err), &err);
}

static void a_truncated_body_is_corrupt(void **state) {
    StoreDriver *faulty = store_driver_fault(store_driver_memory(), 2, FAULT_TRUNCATE);
    CLEANUP(store_free) Store *store = store_new(faulty);
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str got = STR("untouched");
    Error err = {0};

    (void)state;
    assert_ok(store_put(store, STR("k"), STR("0123456789"), NULL, &err), &err);
    assert_int_equal(store_get(store, STR("k"), 0, 10, arena, &got, NULL, &err), ERR_CORRUPT);
    assert_true(str_equal(got, STR("untouched")));
    store_fault_arm(faulty, &(FaultPlan){.kind = FAULT_TRUNCATE, .call = 1});
    assert_int_equal(store_get_tail(store, STR("k"), 4, arena, &got, NULL, &err), ERR_CORRUPT);
    assert_ok(store_get(store, STR("k"), 8, 100, arena, &got, NULL, &err), &err);
    assert_true(str_equal(got, STR("89")));
}

static void wrong_bytes_come_without_an_error(void **state) {
    StoreDriver *faulty = store_driver_fault(store_driver_memory(), 2, FAULT_WRONG_BYTES);
    CLEANUP(store_free) Store *store = store_new(faulty);
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str got = {0};
    Error err = {0};

    (void)state;
    assert_ok(store_put(store, STR("k"), STR("aaaa"), NULL, &err), &err);
    assert_ok(store_get(store, STR("k"), 0, 4, arena, &got, NULL, &err), &err);
    assert_true(str_equal(got, STR("aaAa")));
    assert_ok(store_get(store, STR("k"), 0, 4, arena, &got, NULL, &err), &err);
    assert_true(str_equal(got, STR("aaaa")));
}

static ErrCode upload_two_pieces(Store *store, Error *err) {
    StoreUpload *upload = NULL;
    ErrCode first, second, end;

    TRY(store_upload_begin(store, STR("k"), &upload, err));
    first = store_upload_write(upload, STR("one"), err);
    second = store_upload_write(upload, STR("two"), err);
    end = store_upload_finish(upload, NULL, err);
    if (first != ERR_OK || second != ERR_OK) assert_int_equal(end, ERR_UNAVAILABLE);
    return end;
}

static void fail_an_upload_everywhere(StoreDriver *(*make)(void *what), void *what) {
    for (uint64_t n = 1;; n++) {
        StoreDriver *faulty = store_driver_fault(make(what), n, FAULT_BEFORE);
        CLEANUP(store_free) Store *store = store_new(faulty);
        StoreObject object;
        Error err = {0};
        ErrCode code = upload_two_pieces(store, &err);

        if (store_fault_fired(faulty) == 0) {
            assert_ok(code, &err);
            store_fault_arm(faulty, &(FaultPlan){.kind = FAULT_NONE});
            assert_ok(store_delete(store, STR("k"), &err), &err);
            return;
        }
        assert_int_equal(code, ERR_UNAVAILABLE);
        assert_int_equal(store_head(store, STR("k"), &object, &err), ERR_NOT_FOUND);
    }
}

static StoreDriver *make_memory(void *what) {
    (void)what;
    return store_driver_memory();
}

static StoreDriver *make_fs(void *what) {
    StoreDriver *driver = NULL;
    Error err;

    assert_ok(store_driver_fs(str_of(what), NULL, &driver, &err), &err);
    return driver;
}

/* The steps of the fs driver's own uploads, and the put of what store.c collected for memory. */
static void an_upload_that_failed_anywhere_shows_nothing(void **state) {
    char folder[] = "/tmp/moraine-fault-XXXXXX", lock[64];

    (void)state;
    fail_an_upload_everywhere(make_memory, NULL);
    assert_non_null(mkdtemp(folder));
    fail_an_upload_everywhere(make_fs, folder);
    snprintf(lock, sizeof lock, "%s/.moraine-lock", folder);
    assert_int_equal(remove(lock), 0);
    assert_int_equal(remove(folder), 0); /* so no failed upload left its file */
}

/* --- a store whose lists lie --- */

typedef struct Liar {
    StoreDriver driver;
    const char *const *keys;
} Liar;

static ErrCode liar_list(StoreDriver *driver, Str prefix,
                         ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                         void *context, Error *err) {
    (void)prefix;
    for (const char *const *key = ((Liar *)driver)->keys; *key != NULL; key++)
        TRY(each(context, &(StoreObject){.key = str_of(*key)}, err));
    return ERR_OK;
}

static void liar_free(StoreDriver *driver) {
    (void)driver;
}

static ErrCode count_it(void *context, const StoreObject *object, Error *err) {
    (void)object, (void)err;
    ++*(unsigned *)context;
    return ERR_OK;
}

static void a_list_that_lies_is_corrupt(void **state) {
    static const struct {
        const char *keys[5];
        ErrCode code;
        unsigned count;
    } cases[] = {{{"a/1", "a/2"}, ERR_OK, 2},
                 {{"a/", "a/1", "a//2", "a/../3"}, ERR_OK, 1}, /* folder markers and such */
                 {{"a/1", "a/1"}, ERR_CORRUPT, 1},
                 {{"a/2", "a/1"}, ERR_CORRUPT, 1},
                 {{"a/1", "b/1"}, ERR_CORRUPT, 1}};
    StoreDriver *pattern = store_driver_memory();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Liar liar = {.driver = *pattern, .keys = cases[i].keys};
        CLEANUP(store_free) Store *store = NULL;
        unsigned count = 0;
        Error err;

        liar.driver.list = liar_list;
        liar.driver.free = liar_free;
        store = store_new(&liar.driver);
        assert_int_equal(store_list(store, STR("a/"), count_it, &count, &err), cases[i].code);
        assert_int_equal(count, cases[i].count);
    }
    pattern->free(pattern);
}

static void calls_are_counted_by_result(void **state) {
    CLEANUP(store_free)
    Store *store = store_new(store_driver_fault(store_driver_memory(), 1, FAULT_BEFORE));
    Counter *failed, *fine;
    uint64_t failed_before, fine_before;
    Error err;

    (void)state;
    failed = telemetry_counter("moraine_store_requests_total",
                               "op=\"put\",result=\"unavailable\",driver=\"fault\"", "");
    fine = telemetry_counter("moraine_store_requests_total",
                             "op=\"put\",result=\"ok\",driver=\"fault\"", "");
    failed_before = atomic_load(&failed->value);
    fine_before = atomic_load(&fine->value);
    assert_int_equal(store_put(store, STR("k"), STR("v"), NULL, &err), ERR_UNAVAILABLE);
    assert_ok(store_put(store, STR("k"), STR("v"), NULL, &err), &err);
    assert_int_equal(atomic_load(&failed->value), failed_before + 1);
    assert_int_equal(atomic_load(&fine->value), fine_before + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_whose_answer_was_lost_did_happen),
        cmocka_unit_test(put_that_failed_before_did_not_happen),
        cmocka_unit_test(a_plan_may_last_and_be_choosy),
        cmocka_unit_test(a_truncated_body_is_corrupt),
        cmocka_unit_test(wrong_bytes_come_without_an_error),
        cmocka_unit_test(an_upload_that_failed_anywhere_shows_nothing),
        cmocka_unit_test(a_list_that_lies_is_corrupt),
        cmocka_unit_test(calls_are_counted_by_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
