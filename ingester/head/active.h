#pragma once
/*
 * active.h: how many series and streams each tenant has, over all lanes: for its limits, for
 * /metrics and for ingester_active_series(). Thread-safe.
 *
 * A series (stream) is active when it is in a live generation, or was in the one frozen last:
 * without the latter the figure would fall to nothing at every flush.
 */
#include <stdatomic.h>

#include "common/base/str.h"
#include "common/base/telemetry.h"

typedef struct ActiveCount {
    _Atomic int64_t live;
    _Atomic int64_t previous;
    Gauge *gauge;
} ActiveCount;

typedef struct ActiveTenant {
    struct ActiveTenant *next;
    ActiveCount series;
    ActiveCount streams;
    size_t name_len;
    char name[];
} ActiveTenant;

typedef struct ActiveSeries ActiveSeries;
ActiveSeries *active_series_new(void); /* NULL: out of memory */
void active_series_free(ActiveSeries *active);

/* Made when new, lives as long as `active`. NULL: out of memory. */
ActiveTenant *active_series_tenant(ActiveSeries *active, Str name);
uint64_t active_series_count(ActiveSeries *active, Str name);
uint64_t active_streams_count(ActiveSeries *active, Str name);
static inline int64_t active_count(const ActiveCount *count) {
    return MAX(atomic_load_explicit(&count->live, memory_order_relaxed),
               atomic_load_explicit(&count->previous, memory_order_relaxed));
}
static inline void active_show(const ActiveCount *count) {
    gauge_set(count->gauge, active_count(count));
}
