/*
 * known.c: a set-associative cache of tags, like a processor's.
 *
 * Growing starts an empty table rather than moving tags (a tag doesn't tell the bits that would
 * choose its new place): each series is then checked once more. Older tables stay mapped until the
 * end, since a reader may still look into one, but give their memory back: what it finds there then
 * is a free slot, and that only means that a series is checked again.
 */
#include "gateway/metrics/known.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { WAYS = 8, TAGS_FIRST = 1 << 14, PAGE_BYTES = 4096 };

typedef struct Table {
    struct Table *older;
    size_t lines; /* a power of two */
    _Atomic size_t evicted;
    _Alignas(64) _Atomic uint64_t tags[]; /* 0: free */
} Table;

struct KnownSeries {
    _Atomic(Table *) table;
    _Atomic uint64_t generation;
    size_t bytes_max;
    Budget *budget;
    size_t held; /* under `growing` */
    pthread_mutex_t growing;
};

static size_t table_bytes(size_t lines) {
    return sizeof(Table) + lines * WAYS * sizeof(uint64_t);
}

static Table *table_new(size_t lines, Budget *budget) {
    size_t bytes = table_bytes(lines);
    Table *table;

    if (budget != NULL && !budget_take(budget, bytes)) return NULL;
    table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        if (budget != NULL) budget_give(budget, bytes);
        return NULL;
    }
    table->lines = lines;
    return table;
}

/* Its first page has the table's own fields and stays. */
static void table_retire(KnownSeries *known, Table *table) {
    size_t bytes = table_bytes(table->lines);

    if (bytes <= PAGE_BYTES) return;
    (void)madvise((char *)table + PAGE_BYTES, bytes - PAGE_BYTES, MADV_DONTNEED);
    known->held -= bytes - PAGE_BYTES;
    if (known->budget != NULL) budget_give(known->budget, bytes - PAGE_BYTES);
}

KnownSeries *known_new(size_t bytes_max, Budget *budget) {
    KnownSeries *known = calloc(1, sizeof *known);
    size_t lines = TAGS_FIRST / WAYS;
    Table *table;

    while (lines > 1 && table_bytes(lines) > bytes_max) lines /= 2;
    table = known == NULL ? NULL : table_new(lines, budget);
    if (table == NULL) {
        free(known);
        return NULL;
    }
    known->bytes_max = bytes_max;
    known->budget = budget;
    known->held = table_bytes(lines);
    atomic_init(&known->table, table);
    if (pthread_mutex_init(&known->growing, NULL) != 0) abort();
    return known;
}

void known_free(KnownSeries *known) {
    if (known == NULL) return;
    for (Table *table = atomic_load(&known->table), *older; table != NULL; table = older) {
        older = table->older;
        munmap(table, table_bytes(table->lines));
    }
    if (known->budget != NULL) budget_give(known->budget, known->held);
    pthread_mutex_destroy(&known->growing);
    free(known);
}

static inline Table *newest(const KnownSeries *known) {
    return atomic_load_explicit(&((KnownSeries *)known)->table, memory_order_acquire);
}

static inline _Atomic uint64_t *line_of(Table *table, Hash128 key) {
    return &table->tags[(key.low & (table->lines - 1)) * WAYS];
}

/* Mixing in the generation makes every tag of an older one a stranger. */
static inline uint64_t tag_of(Hash128 key, uint64_t generation) {
    uint64_t tag = key.high ^ generation * UINT64_C(0x9e3779b97f4a7c15);

    return tag != 0 ? tag : 1;
}

void known_prefetch(const KnownSeries *known, Hash128 key) {
    __builtin_prefetch((const void *)line_of(newest(known), key));
}

bool known_has(const KnownSeries *known, Hash128 key, uint64_t generation) {
    _Atomic uint64_t *line = line_of(newest(known), key);
    uint64_t tag = tag_of(key, generation);

    for (size_t i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&line[i], memory_order_relaxed) == tag) return true;
    return false;
}

static void grow(KnownSeries *known, Table *full) {
    Table *table = NULL;

    pthread_mutex_lock(&known->growing);
    if (newest(known) == full) {
        if (table_bytes(full->lines * 2) <= known->bytes_max)
            table = table_new(full->lines * 2, known->budget);
        if (table != NULL) {
            table->older = full;
            known->held += table_bytes(table->lines);
            atomic_store_explicit(&known->table, table, memory_order_release);
            table_retire(known, full);
        }
        /* Where it can't grow, it asks again after as many evictions. */
        atomic_store_explicit(&full->evicted, 0, memory_order_relaxed);
    }
    pthread_mutex_unlock(&known->growing);
}

/* The tags of older generations would only be in the way. */
static void clear_older(KnownSeries *known, Table *table, uint64_t generation) {
    uint64_t seen = atomic_load_explicit(&known->generation, memory_order_relaxed);

    if (seen >= generation ||
        !atomic_compare_exchange_strong(&known->generation, &seen, generation))
        return;
    for (size_t i = 0; i < table->lines * WAYS; i++)
        atomic_store_explicit(&table->tags[i], 0, memory_order_relaxed);
    atomic_store_explicit(&table->evicted, 0, memory_order_relaxed);
}

void known_add(KnownSeries *known, Hash128 key, uint64_t generation) {
    Table *table = newest(known);
    _Atomic uint64_t *line = line_of(table, key);
    uint64_t tag = tag_of(key, generation);

    clear_older(known, table, generation);
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t there = atomic_load_explicit(&line[i], memory_order_relaxed);

        if (there == tag) return;
        if (there == 0 && atomic_compare_exchange_strong_explicit(
                              &line[i], &there, tag, memory_order_relaxed, memory_order_relaxed))
            return;
    }
    /* The line is full: one goes, whichever. */
    atomic_store_explicit(&line[tag % WAYS], tag, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&table->evicted, 1, memory_order_relaxed) >=
        table->lines * WAYS / 64)
        grow(known, table);
}

size_t known_bytes(const KnownSeries *known) {
    return table_bytes(newest(known)->lines);
}
