/*
 * results.c: a hash table of entries, an entry a key, on a list in order of use. An entry and its
 * extents are charged to the cache's budget; extents that queries still read stay charged after the
 * cache has dropped them.
 */
#include "querier/cache/results.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/telemetry.h"

enum {
    EXTENTS_MAX = 4, /* of a key */
    BUCKETS = 4096,
    TENANTS_BUCKETS = 256,
    KEY_BYTES_MAX = 64 << 10,
    SHARE_MAX = 4, /* no answer is larger than the budget divided by this */
};

/* What one set of tenants holds. */
typedef struct Share {
    struct Share *next; /* in the bucket */
    uint64_t hash;
    size_t bytes;
    size_t entries;
} Share;

/* An extent as the cache knows it: which of its steps hold. */
typedef struct Kept {
    Extent *extent;
    int64_t first_ms; /* of the extent's first step */
    int64_t valid_first_ms;
    int64_t valid_last_ms;
    uint64_t mark; /* what was noted up to here is accounted for */
    uint64_t used; /* the cache's clock */
} Kept;

typedef struct Entry {
    struct Entry *next; /* in the bucket */
    struct Entry *newer, *older;
    uint64_t hash;
    Share *share;
    Kept kept[EXTENTS_MAX];
    size_t count;
    size_t key_len;
    char key[];
} Entry;

struct ResultCache {
    ResultCacheOptions options;
    Budget budget;
    pthread_mutex_t lock;
    uint64_t clock;
    Entry *buckets[BUCKETS];
    Entry *newest, *oldest;
    Share *shares[TENANTS_BUCKETS];
    Gauge *bytes;
    Counter *evictions;
    Counter *invalidations;
};

ResultCache *result_cache_new(const ResultCacheOptions *options) {
    ResultCache *cache = calloc(1, sizeof *cache);

    if (cache == NULL) return NULL;
    cache->options = *options;
    budget_init(&cache->budget, "results", options->bytes_max, options->parent);
    pthread_mutex_init(&cache->lock, NULL);
    cache->bytes = telemetry_gauge("moraine_result_cache_bytes", "",
                                   "Memory held by answers to range queries.");
    cache->evictions = telemetry_counter("moraine_result_cache_evictions_total", "",
                                         "Answers dropped to make room for others.");
    cache->invalidations =
        telemetry_counter("moraine_result_cache_invalidations_total", "",
                          "Answers of which steps were dropped, as late data touched them.");
    return cache;
}

int64_t result_cache_min_age_ms(const ResultCache *cache) {
    return cache->options.min_age_ms;
}

Changes *result_cache_changes(const ResultCache *cache) {
    return cache->options.changes;
}

size_t result_cache_bytes(const ResultCache *cache) {
    return budget_used(&cache->budget);
}

/* ---- entries; all with the lock held ---- */

static Share **share_at(ResultCache *cache, uint64_t hash) {
    Share **at = &cache->shares[hash % TENANTS_BUCKETS];

    while (*at != NULL && (*at)->hash != hash) at = &(*at)->next;
    return at;
}

static void share_leave(ResultCache *cache, Share *share) {
    Share **at = share_at(cache, share->hash);

    if (--share->entries > 0) return;
    *at = share->next;
    free(share);
    budget_give(&cache->budget, sizeof *share);
}

static Share *share_join(ResultCache *cache, uint64_t hash) {
    Share **at = share_at(cache, hash), *share = *at;

    if (share == NULL) {
        if (!budget_take(&cache->budget, sizeof *share)) return NULL;
        share = calloc(1, sizeof *share);
        if (share == NULL) {
            budget_give(&cache->budget, sizeof *share);
            return NULL;
        }
        share->hash = hash;
        *at = share;
    }
    share->entries++;
    return share;
}

static void unlink_used(ResultCache *cache, Entry *entry) {
    *(entry->newer != NULL ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void link_newest(ResultCache *cache, Entry *entry) {
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static Entry **entry_at(ResultCache *cache, const ResultKey *key) {
    Entry **at = &cache->buckets[key->hash % BUCKETS];

    while (*at != NULL &&
           ((*at)->hash != key->hash || !str_equal((Str){(*at)->key, (*at)->key_len}, key->text)))
        at = &(*at)->next;
    return at;
}

static void drop_kept(Entry *entry, size_t i) {
    entry->share->bytes -= extent_bytes(entry->kept[i].extent);
    extent_unref(entry->kept[i].extent);
    entry->kept[i] = entry->kept[--entry->count];
}

static size_t entry_bytes(const Entry *entry) {
    return sizeof *entry + entry->key_len;
}

static void drop_entry(ResultCache *cache, Entry *entry) {
    Entry **at = &cache->buckets[entry->hash % BUCKETS];
    size_t bytes = entry_bytes(entry);

    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    unlink_used(cache, entry);
    while (entry->count > 0) drop_kept(entry, entry->count - 1);
    entry->share->bytes -= bytes;
    share_leave(cache, entry->share);
    free(entry);
    budget_give(&cache->budget, bytes);
}

static void show_bytes(ResultCache *cache) {
    gauge_set(cache->bytes, (int64_t)budget_used(&cache->budget));
}

/* A tenant's name in a list can't be taken for another list: names have no such byte. */
static uint64_t tenants_hash(const ResultKey *key) {
    uint64_t hash = key->tenant_count;

    for (size_t i = 0; i < key->tenant_count; i++)
        hash = hash_bytes_seeded(key->tenants[i].ptr, key->tenants[i].len, hash);
    return hash;
}

static Entry *add_entry(ResultCache *cache, const ResultKey *key) {
    Entry *entry = NULL;
    Share *share;

    if (key->text.len > KEY_BYTES_MAX ||
        !budget_take(&cache->budget, sizeof *entry + key->text.len))
        return NULL;
    entry = calloc(1, sizeof *entry + key->text.len);
    share = entry == NULL ? NULL : share_join(cache, tenants_hash(key));
    if (share == NULL) {
        free(entry);
        budget_give(&cache->budget, sizeof *entry + key->text.len);
        return NULL;
    }
    entry->hash = key->hash;
    entry->share = share;
    entry->key_len = key->text.len;
    memcpy(entry->key, key->text.ptr, key->text.len);
    share->bytes += entry_bytes(entry);
    entry->next = cache->buckets[key->hash % BUCKETS];
    cache->buckets[key->hash % BUCKETS] = entry;
    link_newest(cache, entry);
    return entry;
}

void result_cache_free(ResultCache *cache) {
    if (cache == NULL) return;
    while (cache->newest != NULL) drop_entry(cache, cache->newest);
    assert(budget_used(&cache->budget) == 0);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* Until `bytes` more fit. Who holds more than half gives first, of its own. */
static void make_room(ResultCache *cache, const ResultKey *key, size_t bytes) {
    size_t limit = cache->options.bytes_max;
    uint64_t hash = tenants_hash(key);

    while (cache->oldest != NULL && budget_used(&cache->budget) + bytes > limit) {
        const Share *share = *share_at(cache, hash);
        Entry *victim = cache->oldest;

        if (share != NULL && share->bytes + bytes > limit / 2)
            while (victim != NULL && victim->share != share) victim = victim->newer;
        if (victim == NULL) victim = cache->oldest;
        drop_entry(cache, victim);
        counter_add(cache->evictions, 1);
    }
}

/* ---- what still holds ---- */

static int64_t add_capped(int64_t a, int64_t b) {
    int64_t sum;

    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

/* Cuts the steps that depend on what was touched; of two rests the longer one stays. */
static void cut(Kept *kept, const ResultWindow *window, ChangedRange touched) {
    int64_t first = add_capped(touched.min_ms, -window->ahead_ms);
    int64_t last = add_capped(touched.max_ms, window->back_ms);

    if (window->has_fixed && touched.min_ms <= window->fixed_max_ms &&
        touched.max_ms >= window->fixed_min_ms)
        first = INT64_MIN, last = INT64_MAX;
    if (last < kept->valid_first_ms || first > kept->valid_last_ms) return;
    if (first <= kept->valid_first_ms && last >= kept->valid_last_ms)
        kept->valid_first_ms = INT64_MAX, kept->valid_last_ms = INT64_MIN;
    else if (first <= kept->valid_first_ms)
        kept->valid_first_ms = last + 1;
    else if (last >= kept->valid_last_ms)
        kept->valid_last_ms = first - 1;
    else if (first - kept->valid_first_ms > kept->valid_last_ms - last)
        kept->valid_last_ms = first - 1;
    else
        kept->valid_first_ms = last + 1;
}

/* Returns whether any step is left. */
static bool refresh(ResultCache *cache, const ResultKey *key, Kept *kept, uint64_t mark) {
    ChangedRange touched[CHANGES_RANGES_MAX];
    int64_t first = kept->valid_first_ms, last = kept->valid_last_ms;

    for (size_t t = 0; t < key->tenant_count; t++) {
        size_t count = changes_since(cache->options.changes, key->tenants[t], kept->mark, touched);

        for (size_t i = 0; i < count && kept->valid_first_ms <= kept->valid_last_ms; i++)
            cut(kept, &key->window, touched[i]);
    }
    kept->mark = MAX(kept->mark, mark);
    if (kept->valid_first_ms != first || kept->valid_last_ms != last)
        counter_add(cache->invalidations, 1);
    return kept->valid_first_ms <= kept->valid_last_ms;
}

/* Steps of the extent within both its valid times and [first, last]. */
static CachedSteps overlap(const Kept *kept, int64_t step_ms, int64_t first_ms, int64_t last_ms) {
    int64_t low = MAX(first_ms, kept->valid_first_ms), high = MIN(last_ms, kept->valid_last_ms);
    CachedSteps steps = {0};
    int64_t from, end;

    if (low > high) return steps;
    from = (low - kept->first_ms + step_ms - 1) / step_ms;
    end = (high - kept->first_ms) / step_ms + 1;
    if (from >= end) return steps;
    steps.extent = kept->extent;
    steps.from = (size_t)from;
    steps.steps = (size_t)(end - from);
    steps.first_ms = kept->first_ms + from * step_ms;
    return steps;
}

CachedSteps result_cache_get(ResultCache *cache, const ResultKey *key, uint64_t mark,
                             int64_t first_ms, int64_t last_ms) {
    CachedSteps best = {0};
    Kept *chosen = NULL;
    Entry *entry;

    pthread_mutex_lock(&cache->lock);
    entry = *entry_at(cache, key);
    for (size_t i = 0; entry != NULL && i < entry->count;) {
        CachedSteps steps;

        if (!refresh(cache, key, &entry->kept[i], mark)) {
            drop_kept(entry, i);
            continue;
        }
        steps = overlap(&entry->kept[i], key->step_ms, first_ms, last_ms);
        if (steps.steps > best.steps) {
            best = steps;
            chosen = &entry->kept[i];
        }
        i++;
    }
    if (chosen != NULL) {
        chosen->used = ++cache->clock;
        extent_ref(best.extent);
    }
    if (entry != NULL) {
        unlink_used(cache, entry);
        link_newest(cache, entry);
        if (entry->count == 0) drop_entry(cache, entry);
        show_bytes(cache);
    }
    pthread_mutex_unlock(&cache->lock);
    return best;
}

/* ---- putting ---- */

/* Extents that the new one covers are of no more use; of too many the one used longest ago goes. */
static void insert(Entry *entry, const Kept *fresh) {
    size_t oldest = 0;

    for (size_t i = 0; i < entry->count;) {
        if (entry->kept[i].valid_first_ms >= fresh->valid_first_ms &&
            entry->kept[i].valid_last_ms <= fresh->valid_last_ms)
            drop_kept(entry, i);
        else
            i++;
    }
    for (size_t i = 1; i < entry->count; i++)
        if (entry->kept[i].used < entry->kept[oldest].used) oldest = i;
    if (entry->count == EXTENTS_MAX) drop_kept(entry, oldest);
    entry->kept[entry->count++] = *fresh;
    entry->share->bytes += extent_bytes(fresh->extent);
}

void result_cache_put(ResultCache *cache, const ResultKey *key, uint64_t mark,
                      const ResultSteps *steps, Arena *scratch) {
    size_t most = cache->options.bytes_max / SHARE_MAX, bytes;
    Extent *extent = NULL;
    Entry *entry;

    if (steps->steps == 0) return;
    bytes = extent_bytes_of(steps, scratch);
    if (bytes == 0 || bytes > most) return;
    pthread_mutex_lock(&cache->lock);
    make_room(cache, key, bytes + sizeof *entry + key->text.len + sizeof(Share));
    pthread_mutex_unlock(&cache->lock);
    /* Others may take the room meanwhile: then this one is not kept. */
    extent = extent_new(steps, most, &cache->budget, scratch);
    if (extent == NULL) return;
    pthread_mutex_lock(&cache->lock);
    entry = *entry_at(cache, key);
    if (entry == NULL) entry = add_entry(cache, key);
    if (entry != NULL) {
        Kept fresh = {.extent = extent,
                      .first_ms = steps->first_ms,
                      .valid_first_ms = steps->first_ms,
                      .valid_last_ms = steps->first_ms + (int64_t)(steps->steps - 1) * key->step_ms,
                      .mark = mark,
                      .used = ++cache->clock};

        insert(entry, &fresh);
    } else {
        extent_unref(extent);
    }
    show_bytes(cache);
    pthread_mutex_unlock(&cache->lock);
}

void result_cache_drop(ResultCache *cache, const ResultKey *key) {
    Entry *entry;

    pthread_mutex_lock(&cache->lock);
    entry = *entry_at(cache, key);
    if (entry != NULL) drop_entry(cache, entry);
    show_bytes(cache);
    pthread_mutex_unlock(&cache->lock);
}
