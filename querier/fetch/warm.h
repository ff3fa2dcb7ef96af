#pragma once
/*
 * warm.h: footers of blocks with traces, read before anybody asks: a look-up by id then costs no
 * request for a block that hasn't the trace, in a process that has just started, too.
 */
#include "querier/fetch/fetch.h"

typedef struct Warmer Warmer;

enum { WARM_BLOCKS_MAX = 4096 }; /* the newest ones */

/* Starts a thread that ends by itself. `cache` and `manifest` are borrowed. NULL: it could not be
 * started, which hurts nobody. */
Warmer *warmer_start(BlockCache *cache, Manifest *manifest);
void warmer_stop(Warmer *warmer); /* waits for it; NULL is fine */
