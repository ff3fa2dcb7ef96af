/*
 * tenant.c: who a tenant may be, and which limits hold for it right now.
 *
 * All limits in force are one immutable set, replaced as a whole; a reader copies what it needs
 * under a read lock that is held for a hash look-up.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/tenant/rates.h"
#include "common/tenant/tenant.h"

const Str TENANT_ANONYMOUS = STR_INIT("anonymous");

static bool name_byte_is_fine(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!-_.*'()", c) != NULL);
}

ErrCode tenant_check(Str name, Error *err) {
    if (name.len == 0) return error_set(err, ERR_INVALID, "the tenant's name is empty");
    if (name.len > TENANT_NAME_MAX)
        return error_set(err, ERR_INVALID,
                         "the tenant's name has %zu bytes, at most %d are allowed", name.len,
                         TENANT_NAME_MAX);
    for (size_t i = 0; i < name.len; i++)
        if (!name_byte_is_fine(name.ptr[i]))
            return error_set(err, ERR_INVALID,
                             "the tenant's name has byte 0x%02x at %zu; letters, digits and "
                             "!-_.*'() are allowed",
                             (unsigned char)name.ptr[i], i);
    /* Names become folders of the store. */
    if (str_equal(name, STR(".")) || str_equal(name, STR("..")))
        return error_set(err, ERR_INVALID, "a tenant cannot be called " STR_FMT, STR_ARG(name));
    return ERR_OK;
}

typedef struct LimitSet {
    TenantLimits defaults;
    TenantOverride *overrides; /* open addressing by hash of the name; an empty name is free */
    size_t slots;              /* a power of two, or 0 */
    char *names;
} LimitSet;

struct Tenants {
    pthread_rwlock_t lock;
    LimitSet *set; /* under `lock` */
    _Atomic uint64_t generation;
    bool unlimited;
    Rates rates;
};

static void set_free(LimitSet *set) {
    if (set == NULL) return;
    free(set->overrides);
    free(set->names);
    free(set);
}

static TenantOverride *set_slot(const LimitSet *set, Str tenant) {
    for (size_t i = hash_str(tenant) & (set->slots - 1);; i = (i + 1) & (set->slots - 1))
        if (set->overrides[i].tenant.len == 0 || str_equal(set->overrides[i].tenant, tenant))
            return &set->overrides[i];
}

/* Room for `count` overrides whose names have `name_bytes` together. NULL: out of memory. */
static LimitSet *set_room(size_t count, size_t name_bytes) {
    LimitSet *set = calloc(1, sizeof *set);

    if (set == NULL || count == 0) return set;
    set->slots = 4;
    while (set->slots < count * 2) set->slots *= 2;
    set->overrides = calloc(set->slots, sizeof *set->overrides);
    set->names = malloc(name_bytes);
    if (set->overrides != NULL && set->names != NULL) return set;
    set_free(set);
    return NULL;
}

/* NULL: out of memory. Of two overrides of one tenant the later one holds. */
static LimitSet *set_new(const TenantLimits *defaults, const TenantOverride *overrides,
                         size_t count) {
    LimitSet *set;
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) bytes += overrides[i].tenant.len;
    set = set_room(count, bytes);
    if (set == NULL) return NULL;
    set->defaults = *defaults;
    for (size_t i = 0, at = 0; i < count; i++) {
        Str name = overrides[i].tenant;
        TenantOverride *slot = set_slot(set, name);

        memcpy(set->names + at, name.ptr, name.len);
        *slot = (TenantOverride){{set->names + at, name.len}, overrides[i].limits};
        at += name.len;
    }
    return set;
}

Tenants *tenants_new(const TenantLimits *defaults, bool unlimited) {
    Tenants *tenants = calloc(1, sizeof *tenants);

    if (tenants == NULL) return NULL;
    tenants->set = set_new(defaults, NULL, 0);
    tenants->unlimited = unlimited;
    if (tenants->set == NULL || !rates_init(&tenants->rates)) {
        set_free(tenants->set);
        free(tenants);
        return NULL;
    }
    if (pthread_rwlock_init(&tenants->lock, NULL) != 0) abort();
    return tenants;
}

void tenants_free(Tenants *tenants) {
    if (tenants == NULL) return;
    pthread_rwlock_destroy(&tenants->lock);
    rates_done(&tenants->rates);
    set_free(tenants->set);
    free(tenants);
}

static void lift(TenantLimits *limits) {
    limits->ingest_rate = 0;
    limits->ingest_burst = 0;
    limits->series_max = 0;
    limits->streams_max = 0;
    limits->trace_bytes_max = 0;
    limits->trace_spans_max = 0;
    limits->label_names_max = 0;
    limits->label_name_bytes_max = 0;
    limits->label_value_bytes_max = 0;
    limits->request_bytes_max = 0;
    limits->future_ms_max = -1;
    limits->past_ms_max = 0;
    limits->query_samples_max = 0;
    limits->query_series_max = 0;
    limits->query_bytes_max = 0;
    limits->query_concurrency_max = 0;
    limits->query_timeout_ms = 0;
    limits->query_range_ms_max = 0;
}

void tenants_limits(Tenants *tenants, Str tenant, TenantLimits *out) {
    const TenantOverride *slot = NULL;

    pthread_rwlock_rdlock(&tenants->lock);
    if (tenants->set->slots > 0 && tenant.len > 0) slot = set_slot(tenants->set, tenant);
    *out = slot != NULL && slot->tenant.len > 0 ? slot->limits : tenants->set->defaults;
    pthread_rwlock_unlock(&tenants->lock);
    if (tenants->unlimited) lift(out);
}

ErrCode tenants_replace(Tenants *tenants, const TenantLimits *defaults,
                        const TenantOverride *overrides, size_t count, Error *err) {
    LimitSet *set, *old;

    for (size_t i = 0; i < count; i++)
        if (tenant_check(overrides[i].tenant, err) != ERR_OK)
            return error_wrap(err, "override %zu", i + 1);
    set = set_new(defaults, overrides, count);
    if (set == NULL) return error_set(err, ERR_LIMIT, "overrides: out of memory");

    pthread_rwlock_wrlock(&tenants->lock);
    old = tenants->set;
    tenants->set = set;
    pthread_rwlock_unlock(&tenants->lock);
    /* After the swap: who sees the new number must see the new limits (tenants_generation). */
    atomic_fetch_add_explicit(&tenants->generation, 1, memory_order_release);
    set_free(old);
    return ERR_OK;
}

uint64_t tenants_generation(const Tenants *tenants) {
    return atomic_load_explicit(&((Tenants *)tenants)->generation, memory_order_acquire);
}

ErrCode tenants_take(Tenants *tenants, Str tenant, uint64_t items, uint64_t now_ns,
                     uint64_t *retry_after_ms, Error *err) {
    TenantLimits limits;
    double burst;
    uint64_t wait_ns;

    tenants_limits(tenants, tenant, &limits);
    if (limits.ingest_rate <= 0) return ERR_OK;
    burst = limits.ingest_burst > 0 ? (double)limits.ingest_burst : MAX(limits.ingest_rate, 1.0);
    if (rates_take(&tenants->rates, tenant, items, limits.ingest_rate, burst, now_ns, &wait_ns))
        return ERR_OK;
    *retry_after_ms = (wait_ns + 999999) / 1000000;
    return error_set(err, ERR_RATE,
                     "tenant " STR_FMT " is over its rate limit of %g items a second with a burst "
                     "of %.0f, %llu more were sent; limits.ingest_rate and limits.ingest_burst "
                     "raise it, below overrides." STR_FMT " for this tenant alone",
                     STR_ARG(tenant), limits.ingest_rate, burst, (unsigned long long)items,
                     STR_ARG(tenant));
}
