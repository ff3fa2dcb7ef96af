/*
 * rates.c: token buckets in the form of the generic cell rate algorithm: instead of a level that
 * someone has to refill, the time at which the bucket is full again.
 */
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/tenant/rates.h"

enum { SLOTS_FIRST = 16, SLOTS_MAX = 1 << 16 };
#define NS_MAX 9e18 /* 285 years: keeps sums of times within 64 bits */

bool rates_init(Rates *rates) {
    for (size_t i = 0; i < RATES_SHARDS; i++) {
        RateShard *shard = &rates->shards[i];

        *shard = (RateShard){.slots = SLOTS_FIRST};
        shard->buckets = calloc(shard->slots, sizeof *shard->buckets);
        if (shard->buckets == NULL) {
            while (i-- > 0) free(rates->shards[i].buckets);
            return false;
        }
    }
    for (size_t i = 0; i < RATES_SHARDS; i++)
        if (pthread_mutex_init(&rates->shards[i].lock, NULL) != 0) abort();
    return true;
}

void rates_done(Rates *rates) {
    for (size_t i = 0; i < RATES_SHARDS; i++) {
        pthread_mutex_destroy(&rates->shards[i].lock);
        free(rates->shards[i].buckets);
    }
}

static RateBucket *shard_slot(RateBucket *buckets, size_t slots, uint64_t tenant) {
    for (size_t i = (tenant / RATES_SHARDS) & (slots - 1);; i = (i + 1) & (slots - 1))
        if (buckets[i].tenant == 0 || buckets[i].tenant == tenant) return &buckets[i];
}

/* Makes room by dropping full buckets, and by growing where most are in use. */
static void shard_tidy(RateShard *shard, uint64_t now_ns) {
    size_t busy = 0, slots = SLOTS_FIRST;
    RateBucket *buckets;

    for (size_t i = 0; i < shard->slots; i++)
        busy += shard->buckets[i].tenant != 0 && shard->buckets[i].full_ns > now_ns;
    while (slots < busy * 4 && slots < SLOTS_MAX) slots *= 2;
    /* Four million tenants over their rates at once, or no memory: forgetting all of a shard lets
     * too much through for a moment, which is better than refusing or growing without end. */
    if (busy * 4 > 3 * slots) busy = 0;
    buckets = calloc(slots, sizeof *buckets);
    if (buckets == NULL) {
        memset(shard->buckets, 0, shard->slots * sizeof *shard->buckets);
        shard->used = 0;
        return;
    }
    for (size_t i = 0; i < shard->slots && busy > 0; i++)
        if (shard->buckets[i].tenant != 0 && shard->buckets[i].full_ns > now_ns)
            *shard_slot(buckets, slots, shard->buckets[i].tenant) = shard->buckets[i];
    free(shard->buckets);
    shard->buckets = buckets;
    shard->slots = slots;
    shard->used = busy;
}

static bool bucket_take(RateBucket *bucket, double items, double rate, double burst,
                        uint64_t now_ns, uint64_t *wait_ns) {
    double missing = bucket->full_ns > now_ns ? (double)(bucket->full_ns - now_ns) : 0;
    double cost = MIN(items / rate * 1e9, NS_MAX);
    double depth = MIN(burst / rate * 1e9, NS_MAX);

    if (missing + cost > depth && !(missing == 0 && items > burst)) {
        *wait_ns = (uint64_t)(items > burst ? missing : MIN(missing + cost - depth, NS_MAX));
        return false;
    }
    bucket->full_ns = now_ns + (uint64_t)MIN(missing + cost, NS_MAX);
    return true;
}

bool rates_take(Rates *rates, Str tenant, uint64_t items, double rate, double burst,
                uint64_t now_ns, uint64_t *wait_ns) {
    uint64_t hash = hash_str(tenant) | UINT64_C(1) << 63; /* 0 is a free slot */
    RateShard *shard = &rates->shards[hash % RATES_SHARDS];
    RateBucket *bucket;
    bool ok;

    pthread_mutex_lock(&shard->lock);
    if (shard->used * 4 >= shard->slots * 3) shard_tidy(shard, now_ns);
    bucket = shard_slot(shard->buckets, shard->slots, hash);
    if (bucket->tenant == 0) {
        *bucket = (RateBucket){hash, now_ns};
        shard->used++;
    }
    ok = bucket_take(bucket, (double)items, rate, burst, now_ns, wait_ns);
    pthread_mutex_unlock(&shard->lock);
    return ok;
}
