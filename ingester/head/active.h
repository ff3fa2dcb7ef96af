#pragma once
/*
 * active.h: how many series each tenant has, over all lanes: for its limit, for /metrics and for
 * ingester_active_series(). Thread-safe.
 *
 * A series is active when it is in a live generation, or was in the one frozen last: without the
 * latter the figure would fall to nothing at every flush.
 */
#include <stdatomic.h>

#include "common/base/str.h"
#include "common/base/telemetry.h"

typedef struct ActiveTenant {
    struct ActiveTenant *next;
    _Atomic int64_t live;
    _Atomic int64_t previous;
    Gauge *gauge;
    size_t name_len;
    char name[];
} ActiveTenant;

typedef struct ActiveSeries ActiveSeries;
ActiveSeries *active_series_new(void); /* NULL: out of memory */
void active_series_free(ActiveSeries *active);

/* Made when new, lives as long as `active`. NULL: out of memory. */
ActiveTenant *active_series_tenant(ActiveSeries *active, Str name);
uint64_t active_series_count(ActiveSeries *active, Str name);
static inline int64_t active_tenant_count(ActiveTenant *tenant) {
    return MAX(atomic_load_explicit(&tenant->live, memory_order_relaxed),
               atomic_load_explicit(&tenant->previous, memory_order_relaxed));
}
