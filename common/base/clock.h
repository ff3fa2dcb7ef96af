#pragma once
/*
 * clock.h: the time, passed in, so that a test can own it. The only place that asks the kernel.
 */
#include "common/base/base.h"

typedef struct Clock Clock;
struct Clock {
    int64_t (*now_ms)(const Clock *clock); /* wall time, ms since the epoch */
    uint64_t (*monotonic_ns)(const Clock *clock);
};

const Clock *clock_system(void);

/* A clock that a test moves: set `wall_ms`; the monotonic time follows it. */
typedef struct ManualClock {
    Clock clock;
    _Atomic int64_t wall_ms;
} ManualClock;
void manual_clock_init(ManualClock *clock, int64_t wall_ms);

static inline int64_t clock_now_ms(const Clock *clock) {
    return clock->now_ms(clock);
}
static inline uint64_t clock_monotonic_ns(const Clock *clock) {
    return clock->monotonic_ns(clock);
}
uint64_t clock_thread_cpu_ns(void); /* CPU time of the calling thread */
void clock_sleep_ms(uint64_t ms);
