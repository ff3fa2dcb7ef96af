#include "common/base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

static uint64_t read_ns(clockid_t id) {
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int64_t system_now_ms(const Clock *clock) {
    (void)clock;
    return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000u);
}

static uint64_t system_monotonic_ns(const Clock *clock) {
    (void)clock;
    return read_ns(CLOCK_MONOTONIC);
}

const Clock *clock_system(void) {
    static const Clock clock = {system_now_ms, system_monotonic_ns};

    return &clock;
}

static int64_t manual_now_ms(const Clock *clock) {
    return atomic_load(&((const ManualClock *)clock)->wall_ms);
}

static uint64_t manual_monotonic_ns(const Clock *clock) {
    return (uint64_t)manual_now_ms(clock) * 1000000u;
}

void manual_clock_init(ManualClock *clock, int64_t wall_ms) {
    clock->clock = (Clock){manual_now_ms, manual_monotonic_ns};
    atomic_init(&clock->wall_ms, wall_ms);
}

uint64_t clock_thread_cpu_ns(void) {
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void clock_sleep_ms(uint64_t ms) {
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
