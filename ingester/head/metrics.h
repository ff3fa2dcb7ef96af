#pragma once
/*
 * metrics.h: the metrics of one head generation of one lane, all tenants: series and what they
 * hold. One thread changes it; once frozen any may read it.
 *
 * A series costs 64 bytes that every append touches (HeadHot), 24 that it doesn't (HeadCold), a
 * table slot, 4 bytes a label, and its samples: an open chunk in a slab of the fitting class that
 * grows by moving, and closed ones cut to size. Label bytes are not kept: pairs are.
 */
#include "common/base/error.h"
#include "common/batch/metrics.h"
#include "common/block/stream.h"
#include "ingester/head/pairs.h"

enum {
    HEAD_CHUNK_SAMPLES = 120,    /* a chunk is closed at so many samples */
    HEAD_CHUNK_BYTES = 512,      /* or bytes */
    HEAD_CHUNK_BYTES_MAX = 4096, /* of one with histograms, unless a single one is larger */
    HEAD_EXEMPLARS_MAX = 16,     /* a series; the oldest goes first */
    HEAD_METADATA_MAX = 65536,   /* metrics with metadata a tenant */
    HEAD_NONE = UINT32_MAX,
};

enum {
    HOT_IN_ORDER = 1 << 0, /* of the open chunk: StreamState.in_order */
    HOT_HAS_LAST = 1 << 1, /* time_ms and value are of a sample, maybe of a closed chunk */
    HOT_LAST_HISTOGRAM = 1 << 2,
    HOT_LOGGED = 1 << 3,  /* the epoch's log defines the series */
    HOT_LOGGING = 1 << 4, /* the group being built does */
};

typedef struct HeadHot {
    Hash128 id;
    int64_t time_ms; /* of the newest sample, and what else StreamState is made of */
    int64_t delta_ms;
    double value;
    uint32_t count; /* samples in the open chunk */
    uint32_t used;  /* bytes in it */
    SlabHandle chunk;
    SlabHandle closed; /* the newest HeadClosed */
    SlabHandle pairs;  /* uint32_t[pair_count] */
    uint16_t pair_count;
    uint8_t class; /* the open chunk's */
    uint8_t flags;
} HeadHot;
_Static_assert(sizeof(HeadHot) == 64, "one cache line");

typedef struct HeadCold {
    int64_t min_ms; /* of the open chunk */
    int64_t max_ms; /* only while it isn't in order; else HeadHot.time_ms */
    uint32_t tenant;
    SlabHandle exemplars; /* the newest HeadExemplar */
} HeadCold;

/* A closed chunk; lies in the slab, its bytes behind it. */
typedef struct HeadClosed {
    int64_t min_ms;
    int64_t max_ms;
    SlabHandle older;
    uint32_t used;
    uint16_t count;
    bool in_order;
} HeadClosed;

/* An exemplar in the slab, its labels behind it. */
typedef struct HeadExemplar {
    int64_t time_ms;
    double value;
    SlabHandle older;
    uint32_t label_bytes;
    uint8_t count; /* of the chain from here on */
} HeadExemplar;

/* All series of a tenant with one metric name: what a selector with __name__ looks at. */
typedef struct HeadName {
    uint32_t tenant;
    uint32_t pair; /* __name__'s; PAIR_NONE: series without a name */
    uint32_t next; /* of the tenant, or HEAD_NONE */
    uint32_t count;
    SlabHandle series; /* uint32_t[count], in order of creation */
    uint32_t capacity;
} HeadName;

typedef struct HeadMetadata {
    Str metric;
    Str help;
    Str unit;
    uint32_t type;
    uint32_t tenant;
    uint32_t next; /* of the tenant, or HEAD_NONE */
} HeadMetadata;

typedef struct HeadTenant {
    uint32_t series_count;
    uint32_t names;    /* the first HeadName, or HEAD_NONE */
    uint32_t metadata; /* the first HeadMetadata, or HEAD_NONE */
    uint32_t metadata_count;
} HeadTenant;

typedef struct MetricsHead {
    Region hot_region;  /* HeadHot[series_count] */
    Region cold_region; /* HeadCold[series_count] */
    Table table;        /* series by id */
    uint32_t series_count;
    Pairs pairs;
    Slab slab;
    Region name_region; /* HeadName[name_count] */
    Table names;
    uint32_t name_count;
    Region metadata_region; /* HeadMetadata[metadata_count] */
    Table metadata;
    uint32_t metadata_count;
    Region tenant_region; /* HeadTenant[tenant_count], by the generation's tenant numbers */
    uint32_t tenant_count;
    uint64_t samples; /* held; histograms included */
    uint64_t seed;
    Arena *scratch;     /* for parsing and comparing; reset after use */
    uint8_t *histogram; /* one encoded histogram */
    size_t histogram_bytes;
    uint32_t *scratch_pairs; /* pair numbers of a series being made */
    size_t scratch_pairs_max;
} MetricsHead;

/* `reserve`: address space for each of its regions, more than the budget will ever allow. */
MUST_USE bool metrics_head_init(MetricsHead *head, size_t reserve, uint64_t seed, Budget *budget);
void metrics_head_done(MetricsHead *head);

static inline HeadHot *head_hot(const MetricsHead *head, uint32_t series) {
    return (HeadHot *)(void *)head->hot_region.base + series;
}
static inline HeadCold *head_cold(const MetricsHead *head, uint32_t series) {
    return (HeadCold *)(void *)head->cold_region.base + series;
}
static inline HeadName *head_name(const MetricsHead *head, uint32_t name) {
    return (HeadName *)(void *)head->name_region.base + name;
}
static inline HeadTenant *head_tenant(const MetricsHead *head, uint32_t tenant) {
    return (HeadTenant *)(void *)head->tenant_region.base + tenant;
}
static inline HeadMetadata *head_metadata(const MetricsHead *head, uint32_t item) {
    return (HeadMetadata *)(void *)head->metadata_region.base + item;
}
static inline const uint32_t *head_pairs(const MetricsHead *head, const HeadHot *hot) {
    return slab_ptr(&head->slab, hot->pairs);
}

/* ---------- changing: the lane ---------- */

/* Makes tenants [0, tenant] known. False: the budget refuses. */
MUST_USE bool metrics_head_tenant(MetricsHead *head, uint32_t tenant);
/* The budget allows `bytes` more of samples. Ask before logging what must then be applied. */
MUST_USE bool metrics_head_reserve(MetricsHead *head, size_t bytes);

/* out[i] is the series of rows[which[i]], or HEAD_NONE. Looks several up at once, so that cache
 * misses overlap. */
void metrics_head_find(const MetricsHead *head, const MetricsRow *rows, const uint32_t *which,
                       size_t count, uint32_t *out);
uint32_t metrics_head_find_one(const MetricsHead *head, Hash128 id);
/* ERR_INVALID: `labels` aren't canonical. ERR_LIMIT: the budget refuses. The id must be new. */
MUST_USE ErrCode metrics_head_add(MetricsHead *head, uint32_t tenant, Hash128 id, Str labels,
                                  uint32_t *ret_series, Error *err);

typedef enum HeadOutcome {
    HEAD_KEPT,
    HEAD_DOUBLE,   /* the newest sample again, bit for bit */
    HEAD_CONFLICT, /* the newest sample's time, another value: dropped */
} HeadOutcome;
/* These take memory even past the budget: what they are given is durable already. */
HeadOutcome metrics_head_append(MetricsHead *head, uint32_t series, int64_t time_ms, double value);
HeadOutcome metrics_head_append_histogram(MetricsHead *head, uint32_t series, int64_t time_ms,
                                          const NativeHistogram *histogram);
void metrics_head_append_exemplar(MetricsHead *head, uint32_t series,
                                  const MetricsExemplar *exemplar);
/* True: that is what the head says of this metric already. */
bool metrics_head_metadata_known(const MetricsHead *head, uint32_t tenant,
                                 const MetricsMetadata *item);
/* False: the budget refuses, or the tenant has HEAD_METADATA_MAX. */
bool metrics_head_set_metadata(MetricsHead *head, uint32_t tenant, const MetricsMetadata *item);
/* The conflict that was just reported, in words. */
void metrics_head_conflict_text(const MetricsHead *head, uint32_t series, int64_t time_ms,
                                double value, Error *err);

/* ---------- reading: see select.h for queries ---------- */

uint32_t metrics_head_chunk_count(const MetricsHead *head, uint32_t series);
/* Fills out[0, chunk count), in order of arrival. Returns the chunk count. */
uint32_t metrics_head_chunks(const MetricsHead *head, uint32_t series, ChunkView *out);
/* The series' exemplars, oldest first; copies into `arena`. False: out of budget. */
MUST_USE bool metrics_head_exemplars(const MetricsHead *head, uint32_t series, int64_t min_ms,
                                     int64_t max_ms, Arena *arena, SelectedExemplar **out,
                                     size_t *count);
