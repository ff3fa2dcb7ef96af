#pragma once
/*
 * rates.h: how much of its rate each tenant has used. Within common/tenant only.
 *
 * A tenant's bucket is one number: the time at which it will be full again. A bucket that is full
 * holds no information, so those of idle tenants are dropped, and any name may be asked for.
 * Thread-safe; tenants in different shards don't meet.
 */
#include <pthread.h>

#include "common/base/base.h"
#include "common/base/str.h"

enum { RATES_SHARDS = 64 };

typedef struct RateBucket {
    uint64_t tenant;  /* hash of the name; 0: a free slot */
    uint64_t full_ns; /* when it will be full */
} RateBucket;

typedef struct RateShard {
    pthread_mutex_t lock;
    RateBucket *buckets;
    size_t slots; /* a power of two */
    size_t used;
} RateShard;

typedef struct Rates {
    RateShard shards[RATES_SHARDS];
} Rates;

MUST_USE bool rates_init(Rates *rates); /* false: out of memory */
void rates_done(Rates *rates);

/* Takes `items` from a bucket that refills at `rate` a second up to `burst`. False: *wait_ns says
 * how long until they fit. More than `burst` at once pass when the bucket is full, and what is
 * missing is owed. */
MUST_USE bool rates_take(Rates *rates, Str tenant, uint64_t items, double rate, double burst,
                         uint64_t now_ns, uint64_t *wait_ns);
