#include "cli/memory.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/telemetry.h"

/* Percent of the whole. They add up to more than 100: not all are at their limit at a time, and the
 * total holds in any case. */
enum { HEADS = 50, BODIES = 15, QUERIES = 30, CACHES = 15, BACKGROUND = 25 };

static uint64_t read_number(const char *path) {
    FILE *file = fopen(path, "re");
    unsigned long long v = 0;

    if (file == NULL) return 0;
    if (fscanf(file, "%llu", &v) != 1) v = 0; /* "max" */
    fclose(file);
    return v;
}

static uint64_t machine_bytes(void) {
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t groups[] = {read_number("/sys/fs/cgroup/memory.max"),
                         read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes")};

    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        if (groups[i] != 0 && groups[i] < bytes) bytes = groups[i];
    return bytes;
}

static double read_used(void *budget) {
    return (double)budget_used(budget);
}

static double read_limit(void *budget) {
    return (double)atomic_load(&((Budget *)budget)->limit);
}

static void share(Budget *budget, const char *name, uint64_t limit, Budget *parent) {
    char labels[64];

    budget_init(budget, name, limit, parent);
    snprintf(labels, sizeof labels, "share=\"%s\"", name);
    telemetry_callback("moraine_memory_used_bytes", labels,
                       "Memory held by each share of memory.limit.", read_used, budget);
    telemetry_callback("moraine_memory_limit_bytes", labels,
                       "What each share of memory.limit may hold.", read_limit, budget);
}

void memory_share_out(MemoryShares *shares, uint64_t limit, uint64_t bodies_max) {
    uint64_t bodies;

    if (limit == 0) limit = machine_bytes() / 2;
    share(&shares->total, "total", limit, NULL);
    share(&shares->heads, "heads", limit / 100 * HEADS, &shares->total);
    bodies = limit / 100 * BODIES;
    share(&shares->bodies, "bodies", bodies_max > 0 ? MIN(bodies, bodies_max) : bodies,
          &shares->total);
    share(&shares->queries, "queries", limit / 100 * QUERIES, &shares->total);
    share(&shares->caches, "caches", limit / 100 * CACHES, &shares->total);
    share(&shares->results, "results", limit / 400 * CACHES, &shares->caches);
    share(&shares->background, "background", limit / 100 * BACKGROUND, &shares->total);
    LOG_INFO("memory shared out", LOG_U64("limit_bytes", limit));
}
