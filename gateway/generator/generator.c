#include "gateway/generator/generator.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "gateway/generator/internal.h"

enum {
    TAP_MAGIC = 0x54415047,
    IDLE_MS = 60 * 60 * 1000, /* a tenant without spans and series for so long is forgotten */
    FIRST_SLOTS = 16,
};

struct Generator {
    SpansSink sink; /* first: what generator_sink() gives */
    GeneratorOptions options;
    Counter *written;
    Counter *failures;
    pthread_rwlock_t lock; /* of the table; a tenant's own lock comes after it */
    GeneratorTenant **tenants;
    size_t count;
    size_t capacity;
    pthread_mutex_t collecting; /* one at a time */
    int64_t last_ms;            /* under `collecting` */
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool stopping; /* under `wake_lock` */
    bool has_thread;
    pthread_t thread;
};

/* A batch on its way: who is to be told. */
typedef struct Tap {
    uint32_t magic;
    Generator *generator;
    const SpansBatch *batch;
    AppendDone done;
    void *context;
} Tap;

/* ---------- tenants ---------- */

/* With the lock held, either way. A few tenants: a process with thousands has them in shards of
 * gateways. */
static GeneratorTenant *find(const Generator *generator, Str name) {
    size_t low = 0, high = generator->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(generator->tenants[middle]->name, name);

        if (order == 0) return generator->tenants[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* With the lock held for writing. NULL: out of memory. */
static GeneratorTenant *add(Generator *generator, Str name, int64_t now_ms) {
    GeneratorTenant *tenant;
    TenantLimits limits;
    size_t at = generator->count;

    if (generator->count == generator->capacity) {
        size_t capacity = MAX(generator->capacity * 2, (size_t)FIRST_SLOTS);
        GeneratorTenant **tenants =
            realloc(generator->tenants, capacity * sizeof *generator->tenants);

        if (tenants == NULL) return NULL;
        generator->tenants = tenants;
        generator->capacity = capacity;
    }
    tenant = generator_tenant_new(name, generator->options.metrics->series_seed ^ hash_str(name));
    if (tenant == NULL) return NULL;
    tenants_limits(generator->options.tenants, name, &limits);
    generator_tenant_rules(tenant, &limits, generator->options.budget, now_ms);
    tenant->used_ms = now_ms;
    while (at > 0 && str_compare(generator->tenants[at - 1]->name, name) > 0) {
        generator->tenants[at] = generator->tenants[at - 1];
        at--;
    }
    generator->tenants[at] = tenant;
    generator->count++;
    return tenant;
}

static void count(Generator *generator, const SpansBatch *batch) {
    const Clock *clock = generator->options.clock;
    int64_t now_ms = clock_now_ms(clock);
    GeneratorTenant *tenant;

    pthread_rwlock_rdlock(&generator->lock);
    tenant = find(generator, batch->tenant);
    if (tenant == NULL) {
        pthread_rwlock_unlock(&generator->lock);
        pthread_rwlock_wrlock(&generator->lock);
        tenant = find(generator, batch->tenant);
        if (tenant == NULL) tenant = add(generator, batch->tenant, now_ms);
    }
    if (tenant != NULL) {
        pthread_mutex_lock(&tenant->lock);
        if (tenant->rules != NULL) {
            if (generator_begin(tenant, generator->options.budget))
                generator_count(tenant, batch, now_ms, clock_monotonic_ns(clock));
            else
                counter_add(tenant->dropped[DROP_MEMORY], batch->item_count);
            generator_end(tenant);
        }
        pthread_mutex_unlock(&tenant->lock);
    }
    pthread_rwlock_unlock(&generator->lock);
}

/* ---------- batches ---------- */

static void passed(void *context, const AppendResult *result) {
    Tap tap = *(Tap *)context;

    assert(tap.magic == TAP_MAGIC);
    free(context);
    /* A batch that is refused comes again. */
    if (result->code == ERR_OK) count(tap.generator, tap.batch);
    tap.done(tap.context, result);
}

static void append(SpansSink *sink, const SpansBatch *batch, AppendDone done, void *context) {
    Generator *generator = (Generator *)sink;
    SpansSink *spans = generator->options.spans;
    Tap *tap = malloc(sizeof *tap);

    if (tap == NULL) { /* storing spans is worth more than counting them */
        spans->append(spans, batch, done, context);
        return;
    }
    *tap = (Tap){TAP_MAGIC, generator, batch, done, context};
    spans->append(spans, batch, passed, tap);
}

SpansSink *generator_sink(Generator *generator) {
    return &generator->sink;
}

/* ---------- collecting ---------- */

static void collect_tenant(Generator *generator, GeneratorTenant *tenant, int64_t now_ms) {
    const GeneratorOptions *options = &generator->options;
    uint64_t samples = 0;
    TenantLimits limits;
    Error err = {0};

    if (tenant->rules != NULL) {
        pthread_mutex_lock(&tenant->lock);
        if (generator_begin(tenant, options->budget)) /* else the next time */
            generator_expire_edges(tenant, now_ms, clock_monotonic_ns(options->clock), SIZE_MAX);
        generator_end(tenant);
        pthread_mutex_unlock(&tenant->lock);
        if (generator_write(tenant, options->metrics, options->budget, now_ms, &samples, &err) !=
            ERR_OK) {
            counter_add(generator->failures, 1);
            LOG_WARN("metrics derived from spans were not stored; the next ones will be as high",
                     LOG_STR("tenant", tenant->name), LOG_ERR(&err));
        }
        counter_add(generator->written, samples);
    }
    tenants_limits(options->tenants, tenant->name, &limits);
    pthread_mutex_lock(&tenant->lock);
    generator_tenant_rules(tenant, &limits, options->budget, now_ms);
    pthread_mutex_unlock(&tenant->lock);
}

static bool is_idle(const GeneratorTenant *tenant, int64_t now_ms) {
    return now_ms - tenant->used_ms > IDLE_MS &&
           (!tenant->has_registry || (tenant->registry.series == 0 && tenant->edges.count == 0));
}

static void forget_idle(Generator *generator, int64_t now_ms) {
    size_t kept = 0;

    pthread_rwlock_wrlock(&generator->lock);
    for (size_t i = 0; i < generator->count; i++) {
        if (is_idle(generator->tenants[i], now_ms))
            generator_tenant_free(generator->tenants[i]);
        else
            generator->tenants[kept++] = generator->tenants[i];
    }
    generator->count = kept;
    pthread_rwlock_unlock(&generator->lock);
}

/* Tenants go only while collecting, so a copy of the table is good for as long. */
void generator_collect(Generator *generator) {
    GeneratorTenant **tenants;
    int64_t now_ms;
    size_t total;

    pthread_mutex_lock(&generator->collecting);
    now_ms = MAX(clock_now_ms(generator->options.clock), generator->last_ms + 1);
    generator->last_ms = now_ms;
    pthread_rwlock_rdlock(&generator->lock);
    total = generator->count;
    tenants = malloc(MAX(total, (size_t)1) * sizeof *tenants);
    if (tenants != NULL && total > 0) memcpy(tenants, generator->tenants, total * sizeof *tenants);
    pthread_rwlock_unlock(&generator->lock);
    for (size_t i = 0; tenants != NULL && i < total; i++)
        collect_tenant(generator, tenants[i], now_ms);
    free(tenants);
    forget_idle(generator, now_ms);
    pthread_mutex_unlock(&generator->collecting);
}

static void *run(void *what) {
    Generator *generator = what;
    uint64_t interval_ms = (uint64_t)generator->options.interval_ms;
    struct timespec next;
    bool stopping = false;

    clock_gettime(CLOCK_MONOTONIC, &next);
    while (!stopping) {
        uint64_t ns = (uint64_t)next.tv_nsec + interval_ms % 1000 * 1000000;

        next.tv_sec += (time_t)(interval_ms / 1000 + ns / 1000000000);
        next.tv_nsec = (long)(ns % 1000000000);
        pthread_mutex_lock(&generator->wake_lock);
        while (!generator->stopping &&
               pthread_cond_timedwait(&generator->wake, &generator->wake_lock, &next) != ETIMEDOUT)
            ;
        stopping = generator->stopping;
        pthread_mutex_unlock(&generator->wake_lock);
        generator_collect(generator);
    }
    return NULL;
}

/* ---------- life ---------- */

ErrCode generator_new(const GeneratorOptions *options, Generator **out, Error *err) {
    Generator *generator = calloc(1, sizeof *generator);
    pthread_condattr_t monotonic;

    if (generator == NULL) return error_set(err, ERR_LIMIT, "generator: out of memory");
    generator->options = *options;
    if (generator->options.clock == NULL) generator->options.clock = clock_system();
    generator->sink = (SpansSink){append, options->spans->origin_seed};
    generator->written =
        telemetry_counter("moraine_generator_samples_total", "",
                          "Samples and histograms of metrics derived from spans that were stored.");
    generator->failures =
        telemetry_counter("moraine_generator_write_failures_total", "",
                          "Rounds in which a tenant's derived metrics could not be stored.");
    pthread_rwlock_init(&generator->lock, NULL);
    pthread_mutex_init(&generator->collecting, NULL);
    pthread_mutex_init(&generator->wake_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&generator->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (options->interval_ms > 0) {
        int failed = pthread_create(&generator->thread, NULL, run, generator);

        if (failed != 0) {
            generator_free(generator);
            return error_errno(err, failed, "generator: start a thread");
        }
        generator->has_thread = true;
    }
    *out = generator;
    return ERR_OK;
}

void generator_stop(Generator *generator) {
    if (!generator->has_thread) return;
    pthread_mutex_lock(&generator->wake_lock);
    generator->stopping = true;
    pthread_cond_signal(&generator->wake);
    pthread_mutex_unlock(&generator->wake_lock);
    pthread_join(generator->thread, NULL);
    generator->has_thread = false;
}

void generator_free(Generator *generator) {
    if (generator == NULL) return;
    generator_stop(generator);
    for (size_t i = 0; i < generator->count; i++) generator_tenant_free(generator->tenants[i]);
    free(generator->tenants);
    pthread_cond_destroy(&generator->wake);
    pthread_mutex_destroy(&generator->wake_lock);
    pthread_mutex_destroy(&generator->collecting);
    pthread_rwlock_destroy(&generator->lock);
    free(generator);
}
