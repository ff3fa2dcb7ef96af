#pragma once
/*
 * registry.h: what is counted so far: entries of one set of labels each, with a cell for every
 * metric of their group. Counters and histograms only grow; who collects reads them and leaves them
 * as they are.
 *
 * Not thread-safe but for what is said below: whoever counts holds the tenant's lock.
 */
#include "common/base/budget.h"
#include "common/batch/labels.h"
#include "common/batch/metrics.h"
#include "common/batch/spans.h"
#include "common/tenant/generator.h"

typedef enum FamilyKind { FAMILY_COUNTER, FAMILY_HISTOGRAM, FAMILY_INFO } FamilyKind;

typedef struct Family {
    const char *name; /* of a histogram: without _bucket, _count and _sum */
    const char *help;
    const char *unit;
    FamilyKind kind;
} Family;

enum {
    FAMILIES_MAX = 5,
    NATIVE_BUCKETS_MAX = 160, /* of one histogram; past it neighbours are joined */
    NATIVE_SCHEMA = 3,        /* 8 buckets from one power of two to the next */
};

/* When a cell was first counted in lies between `since_ms` and the next collection: it is written
 * with a zero at that time, so that its first value counts as an increase. */
typedef struct CounterCell {
    double value;
    int64_t since_ms;
    bool used;
    bool zeroed; /* that zero was stored. The collector's own */
} CounterCell;

typedef struct CellExemplar {
    TraceId trace;
    double value;
    bool set; /* since the last collection */
} CellExemplar;

/* Followed by `bounds + 1` bucket counts, not cumulated, as many exemplars, and for native ones by
 * NATIVE_BUCKETS_MAX counts from index `native_low` on. */
typedef struct HistogramCell {
    double count;
    double sum;
    double zeros; /* observations of 0 */
    int64_t since_ms;
    int32_t native_schema;
    int32_t native_low;
    uint32_t native_count;
    bool used;
    bool zeroed;
} HistogramCell;

typedef struct GroupEntry {
    Hash128 key;
    int64_t updated_ms;
    size_t bytes; /* of memory */
    Str labels;   /* canonical, without __name__; never change */
    _Alignas(16) char cells[];
} GroupEntry;

typedef struct Group {
    Family families[FAMILIES_MAX];
    size_t offsets[FAMILIES_MAX]; /* of their cells */
    uint32_t family_count;
    uint32_t series; /* that an entry is at most */
    GeneratorBuckets buckets;
    int histograms; /* GeneratorHistograms */
    size_t cell_bytes;
    GroupEntry **entries; /* in order of arrival */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* index + 1, by the key's low bits; 0: free */
    size_t slot_count;
} Group;

enum { GROUP_SPANS, GROUP_EDGES, GROUP_TARGETS, GROUP_COUNT };

typedef struct Registry {
    Group groups[GROUP_COUNT];
    Budget *budget;
    uint64_t series;
    uint64_t series_max;
    int64_t since_ms; /* the last collection */
} Registry;

/* `budget` may be NULL. */
void registry_init(Registry *registry, const GeneratorRules *rules, Budget *budget,
                   int64_t since_ms);
void registry_done(Registry *registry);

GroupEntry *group_find(const Group *group, Hash128 key); /* NULL: it isn't there */

typedef enum GroupAdd { GROUP_ADDED, GROUP_SERIES_MAX, GROUP_NO_MEMORY } GroupAdd;
/* Labels are sorted here; empty ones are left out. */
MUST_USE GroupAdd group_add(Registry *registry, Group *group, Hash128 key, LabelPair *labels,
                            size_t count, GroupEntry **out);
/* Takes away entries that were last updated before `before_ms`. */
void group_expire(Registry *registry, Group *group, int64_t before_ms);

void cell_add(const Registry *registry, const Group *group, GroupEntry *entry, uint32_t family,
              double value);
void cell_observe(const Registry *registry, const Group *group, GroupEntry *entry, uint32_t family,
                  double seconds, const TraceId *trace);

/* The cells as they lie behind `cells`, an entry's own or a copy. */
static inline CounterCell *cell_counter(const Group *group, char *cells, uint32_t family) {
    return (CounterCell *)(void *)(cells + group->offsets[family]);
}
static inline HistogramCell *cell_histogram(const Group *group, char *cells, uint32_t family) {
    return (HistogramCell *)(void *)(cells + group->offsets[family]);
}
static inline double *cell_buckets(HistogramCell *cell) {
    return (double *)(void *)(cell + 1);
}
static inline CellExemplar *cell_exemplars(const Group *group, HistogramCell *cell) {
    return (CellExemplar *)(void *)(cell_buckets(cell) + group->buckets.count + 1);
}
static inline double *cell_native(const Group *group, HistogramCell *cell) {
    return (double *)(void *)(cell_exemplars(group, cell) + group->buckets.count + 1);
}
