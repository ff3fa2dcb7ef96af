/*
 * stats.c: what the server counts, per route. Instruments are looked up once and kept.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/net/internal.h"

enum { STATUS_MIN = 100, STATUS_MAX = 599 };

/* The statuses a counter is kept for; others, which hardly anybody answers, are looked up anew. */
static const int kept_statuses[] = {200, 204, 206, 301, 302, 304, 400, 401, 403, 404,
                                    405, 406, 408, 409, 412, 413, 414, 415, 416, 422,
                                    429, 431, 499, 500, 501, 502, 503, 504};

struct RouteStats {
    char *route;
    Histogram *seconds;
    _Atomic(Counter *) counters[ARRAY_LEN(kept_statuses)];
};

RouteStats *stats_new(const char *route) {
    RouteStats *stats = calloc(1, sizeof *stats);
    char labels[256];

    if (stats == NULL) return NULL;
    stats->route = strdup(route);
    telemetry_label(labels, sizeof labels, "route", str_of(route));
    stats->seconds = telemetry_histogram("moraine_http_request_duration_seconds", labels,
                                         "From a request's head to the last byte of its answer "
                                         "given to the kernel.",
                                         0.0005, 2.5, 12);
    return stats;
}

void stats_free(RouteStats *stats) {
    if (stats == NULL) return;
    free(stats->route);
    free(stats);
}

static Counter *counter_of(const RouteStats *stats, int status) {
    char labels[300], route[256];

    telemetry_label(route, sizeof route, "route",
                    str_of(stats->route != NULL ? stats->route : "?"));
    (void)snprintf(labels, sizeof labels, "%s,code=\"%d\"", route, status);
    return telemetry_counter("moraine_http_requests_total", labels,
                             "Requests answered, by route and status.");
}

void stats_count(RouteStats *stats, int status, uint64_t duration_ns) {
    Counter *counter = NULL;
    size_t i = 0;

    if (stats == NULL || status < STATUS_MIN || status > STATUS_MAX) return;
    while (i < ARRAY_LEN(kept_statuses) && kept_statuses[i] != status) i++;
    if (i < ARRAY_LEN(kept_statuses))
        counter = atomic_load_explicit(&stats->counters[i], memory_order_acquire);
    if (counter == NULL) {
        counter = counter_of(stats, status);
        if (i < ARRAY_LEN(kept_statuses))
            atomic_store_explicit(&stats->counters[i], counter, memory_order_release);
    }
    counter_add(counter, 1);
    histogram_observe(stats->seconds, (double)duration_ns / 1e9);
}
