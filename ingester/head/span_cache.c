#include "ingester/head/span_cache.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct Slot {
    SpanGroup *group; /* NULL: free */
    uint32_t tenant;
    uint32_t number;
} Slot;

struct SpanCache {
    pthread_mutex_t lock;
    Slot *slots; /* open addressing; nothing is ever removed */
    size_t mask;
    size_t count;
};

enum { SLOTS_MIN = 64 };

SpanGroup *span_group_new(Budget *budget) {
    SpanGroup *group = calloc(1, sizeof *group);

    if (group == NULL) return NULL;
    atomic_init(&group->references, 1);
    group->arena = arena_new(0, budget);
    if (group->arena != NULL) return group;
    free(group);
    return NULL;
}

void span_group_unref(SpanGroup *group) {
    if (group == NULL) return;
    if (atomic_fetch_sub_explicit(&group->references, 1, memory_order_acq_rel) != 1) return;
    arena_free(group->arena);
    free(group);
}

SpanCache *span_cache_new(void) {
    SpanCache *cache = calloc(1, sizeof *cache);

    if (cache == NULL) return NULL;
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void span_cache_free(SpanCache *cache) {
    if (cache == NULL) return;
    for (size_t i = 0; cache->slots != NULL && i <= cache->mask; i++)
        span_group_unref(cache->slots[i].group);
    free(cache->slots);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static size_t slot_of(const SpanCache *cache, uint32_t tenant, uint32_t number) {
    size_t at = (number + tenant * (size_t)0x9e3779b1) & cache->mask;

    while (cache->slots[at].group != NULL &&
           (cache->slots[at].tenant != tenant || cache->slots[at].number != number))
        at = (at + 1) & cache->mask;
    return at;
}

/* Room for one more. */
static bool make_room(SpanCache *cache) {
    size_t size = cache->slots == NULL ? 0 : cache->mask + 1;
    Slot *old = cache->slots, *slots;

    if (size > 0 && cache->count + 1 <= size / 4 * 3) return true;
    slots = calloc(MAX(size * 2, (size_t)SLOTS_MIN), sizeof *slots);
    if (slots == NULL) return false;
    cache->slots = slots;
    cache->mask = MAX(size * 2, (size_t)SLOTS_MIN) - 1;
    for (size_t i = 0; i < size; i++)
        if (old[i].group != NULL) slots[slot_of(cache, old[i].tenant, old[i].number)] = old[i];
    free(old);
    return true;
}

SpanGroup *span_cache_get(SpanCache *cache, uint32_t tenant, uint32_t number, uint64_t spans) {
    SpanGroup *group = NULL;

    pthread_mutex_lock(&cache->lock);
    if (cache->slots != NULL) group = cache->slots[slot_of(cache, tenant, number)].group;
    if (group != NULL && group->spans != spans) group = NULL;
    if (group != NULL) atomic_fetch_add_explicit(&group->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&cache->lock);
    return group;
}

void span_cache_put(SpanCache *cache, uint32_t tenant, uint32_t number, SpanGroup *group) {
    SpanGroup *old = NULL;

    pthread_mutex_lock(&cache->lock);
    if (make_room(cache)) {
        Slot *slot = &cache->slots[slot_of(cache, tenant, number)];

        if (slot->group == NULL || slot->group->spans < group->spans) {
            old = slot->group;
            cache->count += old == NULL;
            atomic_fetch_add_explicit(&group->references, 1, memory_order_relaxed);
            *slot = (Slot){group, tenant, number};
        }
    }
    pthread_mutex_unlock(&cache->lock);
    span_group_unref(old);
}
