/*
 * The set of known series and the buffers that are used again.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/buffers.h"
#include "gateway/metrics/known.h"
#include "tests/unit/unit.h"

static Hash128 key_of(uint64_t n) {
    return hash_bytes_128(&n, sizeof n, 5);
}

static void what_was_added_is_found_and_nothing_else(void **state) {
    CLEANUP(known_free) KnownSeries *known = known_new(MIB(1), NULL);
    size_t found = 0;

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) known_add(known, key_of(i), 0);
    for (uint64_t i = 0; i < 2000; i++) found += known_has(known, key_of(i), 0);
    assert_int_equal(found, 2000);
    for (uint64_t i = 2000; i < 100000; i++) assert_false(known_has(known, key_of(i), 0));
}

static void a_new_generation_knows_nothing(void **state) {
    CLEANUP(known_free) KnownSeries *known = known_new(MIB(1), NULL);

    (void)state;
    known_add(known, key_of(1), 3);
    assert_true(known_has(known, key_of(1), 3));
    assert_false(known_has(known, key_of(1), 4));
    known_add(known, key_of(2), 4);
    assert_false(known_has(known, key_of(1), 3));
    assert_true(known_has(known, key_of(2), 4));
    /* A request that began under the old limits neither clears nor pollutes the new ones. */
    known_add(known, key_of(5), 3);
    assert_true(known_has(known, key_of(2), 4));
    assert_false(known_has(known, key_of(5), 4));
}

static void it_grows_with_what_it_has_to_hold(void **state) {
    CLEANUP(known_free) KnownSeries *known = known_new(MIB(8), NULL);
    size_t first = known_bytes(known), found = 0;

    (void)state;
    for (int round = 0; round < 6; round++)
        for (uint64_t i = 0; i < 300000; i++) known_add(known, key_of(i), 0);
    for (uint64_t i = 0; i < 300000; i++) found += known_has(known, key_of(i), 0);
    assert_true(known_bytes(known) > first);
    assert_true(known_bytes(known) <= MIB(8));
    assert_in_range(found, 295000, 300000);
}

static void it_stays_within_its_bound_and_its_budget(void **state) {
    Budget budget;
    KnownSeries *known;

    (void)state;
    budget_init(&budget, "caches", MIB(2), NULL);
    known = known_new(MIB(64), &budget);
    for (uint64_t i = 0; i < 2000000; i++) known_add(known, key_of(i), 0);
    assert_true(budget_used(&budget) <= MIB(2));
    assert_true(known_has(known, key_of(1999999), 0));
    known_free(known);
    assert_int_equal(budget_used(&budget), 0);

    known = known_new(KIB(4), &budget);
    for (uint64_t i = 0; i < 100000; i++) known_add(known, key_of(i), 0);
    assert_true(known_bytes(known) <= KIB(4));
    known_free(known);

    budget_init(&budget, "caches", KIB(1), NULL);
    assert_null(known_new(MIB(64), &budget));
}

static void *add_and_look(void *what) {
    KnownSeries *known = what;

    for (uint64_t i = 0; i < 200000; i++) {
        known_add(known, key_of(i), i / 50000);
        (void)known_has(known, key_of(i / 2), i / 50000);
    }
    return NULL;
}

static void threads_share_it_without_locks(void **state) {
    CLEANUP(known_free) KnownSeries *known = known_new(MIB(4), NULL);
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_look, known), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) pthread_join(threads[i], NULL);
    for (uint64_t i = 0; i < 1000; i++) known_add(known, key_of(i), 9);
    for (uint64_t i = 0; i < 1000; i++) assert_true(known_has(known, key_of(i), 9));
}

static void a_buffer_is_used_again(void **state) {
    Budget budget;
    Buffers *buffers;
    char *first, *second;

    (void)state;
    budget_init(&budget, "bodies", MIB(4), NULL);
    buffers = buffers_new(MIB(2), &budget);
    first = buffers_take(buffers, 700000);
    assert_true((uintptr_t)first % 16 == 0);
    memset(first, 1, 700000);
    second = buffers_take(buffers, 700000);
    assert_ptr_not_equal(first, second);
    buffers_give(buffers, first);
    assert_ptr_equal(buffers_take(buffers, 650000), first);
    buffers_give_back(first);
    buffers_give_back(second);
    assert_true(budget_used(&budget) > 0);
    buffers_free(buffers);
    assert_int_equal(budget_used(&budget), 0);
}

static void idle_buffers_are_bounded_and_give_way(void **state) {
    Budget budget;
    Buffers *buffers;
    char *many[40], *large;

    (void)state;
    budget_init(&budget, "bodies", MIB(4), NULL);
    buffers = buffers_new(MIB(1), &budget);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        assert_non_null(many[i] = buffers_take(buffers, KIB(64)));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) buffers_give(buffers, many[i]);
    assert_true(budget_used(&budget) <= MIB(1));
    /* What lies idle is let go when someone needs its place. */
    large = buffers_take(buffers, MIB(4));
    assert_non_null(large);
    assert_null(buffers_take(buffers, 1));
    buffers_give(buffers, large);
    assert_int_equal(budget_used(&budget), 0);
    /* A small request doesn't sit on a huge buffer. */
    large = buffers_take(buffers, MIB(1));
    buffers_give(buffers, large);
    assert_ptr_not_equal(many[0] = buffers_take(buffers, 100), large);
    buffers_give(buffers, many[0]);
    assert_null(buffers_take(buffers, SIZE_MAX));
    assert_null(buffers_take(buffers, SIZE_MAX - 100));
    buffers_free(buffers);
    assert_int_equal(budget_used(&budget), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_and_nothing_else),
        cmocka_unit_test(a_new_generation_knows_nothing),
        cmocka_unit_test(it_grows_with_what_it_has_to_hold),
        cmocka_unit_test(it_stays_within_its_bound_and_its_budget),
        cmocka_unit_test(threads_share_it_without_locks),
        cmocka_unit_test(a_buffer_is_used_again),
        cmocka_unit_test(idle_buffers_are_bounded_and_give_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
