/*
 * active.c: a hash table of tenants under a lock; asked once a tenant and generation, so it may be
 * simple.
 */
#include "ingester/head/active.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/hash.h"

enum { BUCKETS = 4096 };

struct ActiveSeries {
    pthread_mutex_t lock;
    ActiveTenant *buckets[BUCKETS];
};

ActiveSeries *active_series_new(void) {
    ActiveSeries *active = calloc(1, sizeof *active);

    if (active != NULL) pthread_mutex_init(&active->lock, NULL);
    return active;
}

void active_series_free(ActiveSeries *active) {
    if (active == NULL) return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (active->buckets[i] != NULL) {
            ActiveTenant *tenant = active->buckets[i];

            active->buckets[i] = tenant->next;
            gauge_set(tenant->series.gauge, 0);
            gauge_set(tenant->streams.gauge, 0);
            free(tenant);
        }
    pthread_mutex_destroy(&active->lock);
    free(active);
}

static ActiveTenant *find(ActiveSeries *active, Str name) {
    ActiveTenant *tenant = active->buckets[hash_str(name) % BUCKETS];

    while (tenant != NULL && !str_equal((Str){tenant->name, tenant->name_len}, name))
        tenant = tenant->next;
    return tenant;
}

static ActiveTenant *make(ActiveSeries *active, Str name) {
    ActiveTenant *tenant = calloc(1, sizeof *tenant + name.len + 1);
    ActiveTenant **bucket = &active->buckets[hash_str(name) % BUCKETS];
    char label[256];

    if (tenant == NULL) return NULL;
    memcpy(tenant->name, name.ptr, name.len);
    tenant->name_len = name.len;
    telemetry_label(label, sizeof label, "tenant", name);
    tenant->series.gauge =
        telemetry_gauge("moraine_active_series", label, "Series in the heads, by tenant.");
    tenant->streams.gauge =
        telemetry_gauge("moraine_active_streams", label, "Streams in the heads, by tenant.");
    tenant->next = *bucket;
    *bucket = tenant;
    return tenant;
}

ActiveTenant *active_series_tenant(ActiveSeries *active, Str name) {
    ActiveTenant *tenant;

    pthread_mutex_lock(&active->lock);
    tenant = find(active, name);
    if (tenant == NULL) tenant = make(active, name);
    pthread_mutex_unlock(&active->lock);
    return tenant;
}

static uint64_t count_of(ActiveSeries *active, Str name, bool streams) {
    ActiveTenant *tenant;

    pthread_mutex_lock(&active->lock);
    tenant = find(active, name);
    pthread_mutex_unlock(&active->lock);
    if (tenant == NULL) return 0;
    return (uint64_t)MAX(active_count(streams ? &tenant->streams : &tenant->series), (int64_t)0);
}

uint64_t active_series_count(ActiveSeries *active, Str name) {
    return count_of(active, name, false);
}

uint64_t active_streams_count(ActiveSeries *active, Str name) {
    return count_of(active, name, true);
}
