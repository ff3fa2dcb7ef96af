/* What pool.h promises. */
#include "common/base/pool.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "tests/unit/unit.h"

static Pool *pool_of(unsigned threads, size_t queue_max) {
    Error err = {0};
    Pool *pool = NULL;

    assert_ok(pool_new("test", threads, queue_max, &pool, &err), &err);
    assert_int_equal(pool_threads(pool), threads);
    return pool;
}

static void count_up(void *what) {
    atomic_fetch_add((_Atomic int *)what, 1);
}

static void freeing_the_pool_lets_queued_tasks_finish(void **state) {
    Pool *pool = pool_of(3, 1000);
    _Atomic int ran = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        if (!pool_submit(pool, count_up, &ran)) count_up(&ran);
    pool_free(pool);
    assert_int_equal(ran, 1000);
}

static sem_t started, gate;

static void wait_at_gate(void *what) {
    (void)what;
    sem_post(&started);
    sem_wait(&gate);
}

static void a_full_queue_refuses(void **state) {
    Pool *pool = pool_of(1, 2);
    _Atomic int ran = 0;

    (void)state;
    sem_init(&started, 0, 0);
    sem_init(&gate, 0, 0);
    assert_true(pool_submit(pool, wait_at_gate, NULL));
    sem_wait(&started);
    assert_true(pool_submit(pool, count_up, &ran));
    assert_true(pool_submit(pool, count_up, &ran));
    assert_false(pool_submit(pool, count_up, &ran));
    sem_post(&gate);
    pool_free(pool);
    assert_int_equal(ran, 2);
}

typedef struct Trace {
    int order[200];
    int count;
} Trace;
typedef struct Step {
    Trace *trace;
    int number;
} Step;

static void note_step(void *what) {
    Step *step = what;

    step->trace->order[step->trace->count++] = step->number;
}

static void one_thread_runs_tasks_in_order_of_arrival(void **state) {
    Pool *pool = pool_of(1, 200);
    Trace trace = {0};
    Step steps[200];

    (void)state;
    for (int i = 0; i < 200; i++) {
        steps[i] = (Step){&trace, i};
        assert_true(pool_submit(pool, note_step, &steps[i]));
    }
    pool_free(pool);
    assert_int_equal(trace.count, 200);
    for (int i = 0; i < 200; i++) assert_int_equal(trace.order[i], i);
}

enum { ITEMS = 500 };

static void mark(void *what, size_t i) {
    atomic_fetch_add(&((_Atomic int *)what)[i], 1);
}

static void each_runs_every_index_exactly_once(void **state) {
    CLEANUP(pool_free) Pool *pool = pool_of(3, 100);

    (void)state;
    for (size_t count = 0; count <= ITEMS; count += count < 5 ? 1 : 99) {
        _Atomic int marks[ITEMS] = {0};

        pool_each(pool, count, mark, marks);
        for (size_t i = 0; i < ITEMS; i++) assert_int_equal(marks[i], i < count);
    }
}

typedef struct Nested {
    Pool *pool;
    _Atomic int marks[ITEMS];
    sem_t done;
} Nested;

static void each_inside(void *what, size_t i) {
    Nested *nested = what;

    (void)i;
    pool_each(nested->pool, ITEMS, mark, nested->marks);
}

static void each_as_task(void *what) {
    Nested *nested = what;

    pool_each(nested->pool, 4, each_inside, nested);
    sem_post(&nested->done);
}

/* All threads wait in pool_each() at once: nobody is left to help, and it must end all the same. */
static void each_inside_tasks_does_not_deadlock(void **state) {
    CLEANUP(pool_free) Pool *pool = pool_of(2, 4);
    Nested nested = {.pool = pool};
    int submitted = 0;

    (void)state;
    sem_init(&nested.done, 0, 0);
    while (submitted < 4 && pool_submit(pool, each_as_task, &nested)) submitted++;
    for (int i = 0; i < submitted; i++) sem_wait(&nested.done);
    for (size_t i = 0; i < ITEMS; i++) assert_int_equal(nested.marks[i], submitted * 4);
}

static void each_works_while_the_pool_is_busy(void **state) {
    Pool *pool = pool_of(1, 1);
    _Atomic int marks[10] = {0};

    (void)state;
    sem_init(&started, 0, 0);
    sem_init(&gate, 0, 0);
    assert_true(pool_submit(pool, wait_at_gate, NULL));
    sem_wait(&started);
    pool_each(pool, 10, mark, marks);
    for (int i = 0; i < 10; i++) assert_int_equal(marks[i], 1);
    sem_post(&gate);
    pool_free(pool);
}

static void the_name_shows_in_the_thread(void *what) {
    pthread_getname_np(pthread_self(), what, 16);
}

static void threads_carry_the_name_of_the_pool_cut_to_fifteen(void **state) {
    char name[16] = "";
    Error err = {0};
    Pool *pool = NULL;

    (void)state;
    assert_ok(pool_new("a-name-that-is-long", 1, 1, &pool, &err), &err);
    assert_true(pool_submit(pool, the_name_shows_in_the_thread, name));
    pool_free(pool);
    assert_string_equal(name, "a-name-that-is-");
    pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freeing_the_pool_lets_queued_tasks_finish),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(one_thread_runs_tasks_in_order_of_arrival),
        cmocka_unit_test(each_runs_every_index_exactly_once),
        cmocka_unit_test(each_inside_tasks_does_not_deadlock),
        cmocka_unit_test(each_works_while_the_pool_is_busy),
        cmocka_unit_test(threads_carry_the_name_of_the_pool_cut_to_fifteen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
