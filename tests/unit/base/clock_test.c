/* What clock.h promises. */
#include "common/base/clock.h"

#include <time.h>

#include "tests/unit/unit.h"

static void the_system_clock_is_the_wall_clock_in_ms(void **state) {
    int64_t now = clock_now_ms(clock_system());

    (void)state;
    assert_true(now / 1000 >= (int64_t)time(NULL) - 2 && now / 1000 <= (int64_t)time(NULL) + 2);
}

static void monotonic_time_goes_on_while_sleeping(void **state) {
    uint64_t before = clock_monotonic_ns(clock_system());

    (void)state;
    clock_sleep_ms(5);
    assert_true(clock_monotonic_ns(clock_system()) - before >= 5000000);
}

static void a_manual_clock_moves_only_when_told(void **state) {
    ManualClock manual;
    const Clock *clock = &manual.clock;
    uint64_t before;

    (void)state;
    manual_clock_init(&manual, 1000);
    before = clock_monotonic_ns(clock);
    assert_int_equal(clock_now_ms(clock), 1000);
    manual.wall_ms += 250;
    assert_int_equal(clock_now_ms(clock), 1250);
    assert_int_equal(clock_monotonic_ns(clock) - before, 250000000);
}

static void thread_cpu_time_counts_work_and_not_sleep(void **state) {
    uint64_t before = clock_thread_cpu_ns(), slept;
    volatile unsigned sum = 0;

    (void)state;
    clock_sleep_ms(50);
    slept = clock_thread_cpu_ns() - before;
    assert_true(slept < 50000000);
    before = clock_thread_cpu_ns();
    for (unsigned i = 0; i < 1000000; i++) sum += i;
    assert_true(clock_thread_cpu_ns() > before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_clock_is_the_wall_clock_in_ms),
        cmocka_unit_test(monotonic_time_goes_on_while_sleeping),
        cmocka_unit_test(a_manual_clock_moves_only_when_told),
        cmocka_unit_test(thread_cpu_time_counts_work_and_not_sleep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
