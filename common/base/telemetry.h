#pragma once
/*
 * telemetry.h: Moraine's own counters, gauges and histograms, shown on /metrics in the Prometheus
 * text format. ("metrics" everywhere else means the tenants' signal.)
 *
 * Instruments are made once, at start or per tenant, live as long as the process, and are cheap
 * to change from any thread. Asking again for the same name and labels gives the same instrument.
 */
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/str.h"

typedef struct Counter {
    _Atomic uint64_t value;
} Counter;
typedef struct Gauge {
    _Atomic int64_t value;
} Gauge;
typedef struct Histogram Histogram; /* seconds or bytes, in fixed exponential buckets */

/* `name` with the moraine_ prefix and unit suffix; `labels` as in the text format without braces,
 * `tenant="a",reason="b"`, or "". Never NULL: past the limit of instruments all share one. */
Counter *telemetry_counter(const char *name, const char *labels, const char *help);
Gauge *telemetry_gauge(const char *name, const char *labels, const char *help);
Histogram *telemetry_histogram(const char *name, const char *labels, const char *help,
                               double lowest, double factor, unsigned buckets);
/* A gauge whose value is asked for when /metrics is. */
void telemetry_callback(const char *name, const char *labels, const char *help,
                        double (*read)(void *what), void *what);

/* Takes a tenant's name (any bytes) into a label, `key="value"` and a NUL: escaped, what is not
 * UTF-8 as U+FFFD, and cut at a character to stay within `size`, which has room for the key. */
void telemetry_label(char *out, size_t size, const char *key, Str value);

static inline void counter_add(Counter *counter, uint64_t n) {
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}
static inline void gauge_set(Gauge *gauge, int64_t v) {
    atomic_store_explicit(&gauge->value, v, memory_order_relaxed);
}
static inline void gauge_add(Gauge *gauge, int64_t v) {
    atomic_fetch_add_explicit(&gauge->value, v, memory_order_relaxed);
}
void histogram_observe(Histogram *histogram, double value);

void telemetry_write(Buf *out); /* the whole page, the process' own CPU and RSS included */
