#pragma once
/*
 * memory.h: one number, shared out over everything that holds data.
 */
#include "common/base/budget.h"

typedef struct MemoryShares {
    Budget total;
    Budget heads;
    Budget bodies;
    Budget queries;
    Budget caches;
    Budget results; /* a part of caches */
    Budget background;
} MemoryShares;

/* `limit` 0: half of the machine's memory, or of the control group's limit when that is less.
 * Shares are shown on /metrics. `shares` must not move afterwards. */
void memory_share_out(MemoryShares *shares, uint64_t limit, uint64_t bodies_max);
