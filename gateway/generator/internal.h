#pragma once
/*
 * internal.h: one tenant's part of the generator. Everything in it but `name` is under `lock`; the
 * collector alone changes `rules` and takes entries away.
 */
#include <pthread.h>

#include "common/base/telemetry.h"
#include "gateway/generator/edges.h"
#include "gateway/generator/generator.h"
#include "gateway/generator/registry.h"
#include "gateway/generator/view.h"

/* Why a span wasn't counted. */
#define GENERATOR_DROPS(X)                                                                         \
    X(LATE, "late")                                                                                \
    X(INVALID, "invalid_labels")                                                                   \
    X(SERIES_MAX, "series_max")                                                                    \
    X(MEMORY, "memory")
typedef enum GeneratorDrop {
#define X(name, label) DROP_##name,
    GENERATOR_DROPS(X)
#undef X
        DROP_COUNT
} GeneratorDrop;

typedef struct GeneratorTenant {
    pthread_mutex_t lock;
    Str name;
    uint64_t seed;               /* of keys */
    const GeneratorRules *rules; /* NULL: nothing is derived */
    size_t value_bytes_max;      /* of a label; 0: no limit */
    size_t labels_max;
    bool has_registry;
    Registry registry;
    Wanted wanted;
    Edges edges;
    Arena *scratch; /* from generator_begin() to generator_end() */
    int64_t used_ms;
    Counter *dropped[DROP_COUNT];
    Counter *edges_found;
    Counter *edges_expired;
    Counter *edges_dropped;
} GeneratorTenant;

/* NULL: out of memory. */
GeneratorTenant *generator_tenant_new(Str name, uint64_t seed);
void generator_tenant_free(GeneratorTenant *tenant); /* NULL is fine */
DEFINE_CLEANUP(GeneratorTenant, generator_tenant_free)
/* From now on these hold; what was counted so far goes, when they are others. */
void generator_tenant_rules(GeneratorTenant *tenant, const TenantLimits *limits, Budget *budget,
                            int64_t now_ms);

/* Around what counts, with the lock held: memory that goes when it is done. False: there is none.
 */
MUST_USE bool generator_begin(GeneratorTenant *tenant, Budget *budget);
void generator_end(GeneratorTenant *tenant);

/* Counts what a batch says. With the lock held, between these two. */
void generator_count(GeneratorTenant *tenant, const SpansBatch *batch, int64_t now_ms,
                     uint64_t now_ns);
/* What waits too long becomes an edge to somebody who sends no spans, or nothing. Likewise. */
void generator_expire_edges(GeneratorTenant *tenant, int64_t now_ms, uint64_t now_ns,
                            size_t count_max);

/* ---------- what span_metrics.c and edge_metrics.c share ---------- */

/* A key in the making: of texts, each with its length. */
typedef struct KeyMaker {
    Arena *arena;
    char *at;
    size_t len;
    size_t capacity;
    bool failed;
    char own[768];
} KeyMaker;

void key_begin(KeyMaker *key, Arena *arena);
void key_add(KeyMaker *key, Str text);
MUST_USE bool key_end(const KeyMaker *key, uint64_t seed, Hash128 *out);

/* The entry of a key, made with `labels` where it isn't there yet. NULL: it can't be, and was
 * counted as dropped. */
GroupEntry *generator_entry(GeneratorTenant *tenant, int group, Hash128 key, LabelPair *labels,
                            size_t count);

/* One span of a batch. */
typedef struct CountedSpan {
    const SpansItem *item;
    const OriginView *origin;
    SpanView view;
    int64_t now_ms;
    uint64_t now_ns;
} CountedSpan;

static inline double span_seconds(const SpansItem *item) {
    return (double)(item->end_ns - item->start_ns) / 1e9;
}

/* `values`: of the span; NULL where nothing of it is wanted. */
void span_metrics_count(GeneratorTenant *tenant, const CountedSpan *span,
                        const WantedValues *values);
void target_info_count(GeneratorTenant *tenant, const OriginView *origin, int64_t now_ms);
void edge_metrics_count(GeneratorTenant *tenant, const CountedSpan *span,
                        const WantedValues *values);

/* ---------- collecting ---------- */

/* Writes everything as of `now_ms` to the sink and waits until it is stored. */
MUST_USE ErrCode generator_write(GeneratorTenant *tenant, MetricsSink *sink, Budget *budget,
                                 int64_t now_ms, uint64_t *samples, Error *err);
