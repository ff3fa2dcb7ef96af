/*
 * generation.c: life and death of generations, and the tenants in them.
 */
#include "ingester/head/generation.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* ---------- the log's files ---------- */

GenerationLog *generation_log_new(WalIo *io, const char *dir, uint64_t epoch) {
    GenerationLog *log = calloc(1, sizeof *log);

    if (log == NULL) return NULL;
    log->io = io;
    log->dir = strdup(dir);
    log->epoch = epoch;
    atomic_init(&log->pending, 1);
    if (log->dir == NULL) {
        free(log);
        return NULL;
    }
    return log;
}

bool generation_log_add(GenerationLog *log, uint32_t sequence, bool damaged) {
    WalFile *files = realloc(log->files, (log->file_count + 1) * sizeof *files);

    if (files == NULL) return false;
    log->files = files;
    files[log->file_count++] =
        (WalFile){.epoch = log->epoch, .sequence = sequence, .damaged = damaged};
    return true;
}

void generation_log_damaged(GenerationLog *log, uint32_t sequence) {
    for (size_t i = 0; i < log->file_count; i++)
        if (log->files[i].sequence == sequence) log->files[i].damaged = true;
}

void generation_log_hold(GenerationLog *log) {
    atomic_fetch_add_explicit(&log->pending, 1, memory_order_relaxed);
}

void generation_log_done(GenerationLog *log, bool keep) {
    if (log == NULL) return;
    if (keep) atomic_fetch_or_explicit(&log->pending, UINT32_C(1) << 31, memory_order_relaxed);
    uint32_t before = atomic_fetch_sub_explicit(&log->pending, 1, memory_order_acq_rel);

    if ((before & ~(UINT32_C(1) << 31)) != 1) return;
    if ((before & (UINT32_C(1) << 31)) == 0)
        wal_discard(log->io, log->dir, log->files, log->file_count);
    free(log->files);
    free(log->dir);
    free(log);
}

/* ---------- generations ---------- */

/* Address space for each array: more than the budget will ever allow, or than there is memory. */
static size_t reserve_bytes(Budget *heads) {
    size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t limit = atomic_load_explicit(&heads->limit, memory_order_relaxed);

    if (limit != 0) all = MIN(all, limit * 2);
    return ALIGN_UP(MIN(MAX(all, MIB(64)), GIB(64)), MIB(1));
}

static void generation_free(Generation *generation) {
    spans_head_done(&generation->spans);
    logs_head_done(&generation->logs);
    metrics_head_done(&generation->metrics);
    region_done(&generation->tenant_region);
    table_done(&generation->tenant_table);
    free(generation);
}

Generation *generation_new(const GenerationOptions *options) {
    Generation *generation = calloc(1, sizeof *generation);
    size_t reserve = reserve_bytes(options->heads);

    if (generation == NULL) return NULL;
    atomic_init(&generation->references, 1);
    generation->epoch = options->epoch;
    generation->part = options->part;
    generation->lane = options->lane;
    generation->created_ms = options->created_ms;
    generation->cleared = options->cleared;
    budget_init(&generation->budget, "head", 0, options->heads);
    if (!metrics_head_init(&generation->metrics, reserve, options->seed, &generation->budget) ||
        !logs_head_init(&generation->logs, &generation->metrics.pairs, &generation->metrics.slab,
                        reserve, &generation->budget) ||
        !spans_head_init(&generation->spans, &generation->metrics.slab, reserve,
                         &generation->budget) ||
        !region_init(&generation->tenant_region, ALIGN_UP(reserve / 8, MIB(1)),
                     &generation->budget) ||
        !table_init(&generation->tenant_table, &generation->budget)) {
        generation_free(generation);
        return NULL;
    }
    generation->log = options->log;
    return generation;
}

void generation_ref(Generation *generation) {
    atomic_fetch_add_explicit(&generation->references, 1, memory_order_relaxed);
}

void generation_unref(Generation *generation) {
    if (generation == NULL) return;
    if (atomic_fetch_sub_explicit(&generation->references, 1, memory_order_acq_rel) != 1) return;
    generation_free(generation);
}

/* ---------- tenants ---------- */

uint32_t generation_find_tenant(const Generation *generation, Str name) {
    TABLE_EACH(&generation->tenant_table, (uint32_t)hash_str(name), i) {
        if (str_equal(generation_tenant(generation, i)->name, name)) return i;
    }
    return HEAD_NONE;
}

uint32_t generation_add_tenant(Generation *generation, Str name) {
    uint32_t found = generation_find_tenant(generation, name), n = generation->tenant_count;
    Str kept;

    if (found != HEAD_NONE) return found;
    if (!table_reserve(&generation->tenant_table) ||
        !region_commit(&generation->tenant_region, (n + (size_t)1) * sizeof(GenerationTenant),
                       false) ||
        !metrics_head_tenant(&generation->metrics, n))
        return HEAD_NONE;
    kept = text_add(&generation->metrics.pairs.text, name);
    if (kept.ptr == NULL) return HEAD_NONE;
    *generation_tenant(generation, n) = (GenerationTenant){.name = kept};
    table_add(&generation->tenant_table, (uint32_t)hash_str(name), n);
    return generation->tenant_count++;
}
