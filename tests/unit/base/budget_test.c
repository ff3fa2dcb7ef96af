/* What budget.h promises. */
#include "common/base/budget.h"

#include <pthread.h>

#include "tests/unit/unit.h"

static void taking_stops_at_the_limit(void **state) {
    Budget budget;

    (void)state;
    budget_init(&budget, "test", 100, NULL);
    assert_true(budget_take(&budget, 60));
    assert_false(budget_take(&budget, 41));
    assert_int_equal(budget_used(&budget), 60);
    assert_true(budget_take(&budget, 40));
    budget_give(&budget, 100);
    assert_int_equal(budget_used(&budget), 0);
    assert_int_equal(budget.peak, 100);
}

static void a_limit_of_zero_is_none_but_the_sum_may_not_wrap(void **state) {
    Budget budget;

    (void)state;
    budget_init(&budget, "test", 0, NULL);
    assert_true(budget_take(&budget, SIZE_MAX - 1));
    assert_false(budget_take(&budget, 2));
}

static void a_parent_that_refuses_leaves_nothing_taken(void **state) {
    Budget process, queries, query;

    (void)state;
    budget_init(&process, "process", 100, NULL);
    budget_init(&queries, "queries", 0, &process);
    budget_init(&query, "query", 1000, &queries);
    assert_true(budget_take(&query, 80));
    assert_int_equal(budget_used(&process), 80);
    assert_false(budget_take(&query, 21));
    assert_int_equal(budget_used(&query), 80);
    assert_int_equal(budget_used(&queries), 80);
    assert_int_equal(budget_used(&process), 80);
}

static void forcing_goes_over_the_limit_and_blocks_who_asks_next(void **state) {
    Budget parent, child;

    (void)state;
    budget_init(&parent, "parent", 100, NULL);
    budget_init(&child, "child", 50, &parent);
    budget_force(&child, 200);
    assert_int_equal(budget_used(&parent), 200);
    assert_int_equal(child.peak, 200);
    assert_false(budget_take(&child, 1));
    budget_give(&child, 200);
    assert_true(budget_take(&child, 50));
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *take_and_give(void *what) {
    for (int i = 0; i < ROUNDS; i++)
        if (budget_take(what, 3)) budget_give(what, 3);
    return NULL;
}

static void threads_never_exceed_the_limit_and_lose_nothing(void **state) {
    Budget parent, child;
    pthread_t threads[THREADS];

    (void)state;
    budget_init(&parent, "parent", 10, NULL);
    budget_init(&child, "child", 8, &parent);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &child), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(budget_used(&parent), 0);
    assert_int_equal(budget_used(&child), 0);
    assert_true(child.peak <= 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taking_stops_at_the_limit),
        cmocka_unit_test(a_limit_of_zero_is_none_but_the_sum_may_not_wrap),
        cmocka_unit_test(a_parent_that_refuses_leaves_nothing_taken),
        cmocka_unit_test(forcing_goes_over_the_limit_and_blocks_who_asks_next),
        cmocka_unit_test(threads_never_exceed_the_limit_and_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
