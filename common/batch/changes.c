/*
 * changes.c: a fixed table of slots; a slot is a short list of ranges, each with the number of the
 * newest note in it.
 *
 * Samples that come as they are made touch the last seconds again and again: such notes go into one
 * range, as long as that stays short. When the list is full, the two ranges that were touched
 * longest ago become one: nobody who asked for a mark lately is told more because of it.
 */
#include "common/batch/changes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/hash.h"

enum {
    SLOTS = 1024,
    LOCKS = 64,
    /* A note joins a range that was there when the two take no more than this beyond the note. */
    STRETCH_MS = 2 * 60 * 1000,
};

typedef struct Touched {
    int64_t min_ms;
    int64_t max_ms;
    uint64_t newest; /* number of the newest note in it */
} Touched;

typedef struct Slot {
    uint32_t count;
    uint32_t last; /* the one that was touched last is mostly touched next */
    Touched ranges[CHANGES_RANGES_MAX];
} Slot;

struct Changes {
    _Atomic uint64_t number; /* of the newest note */
    _Atomic uint64_t all;    /* of the newest that touched everything */
    pthread_mutex_t locks[LOCKS];
    Slot slots[SLOTS]; /* pages of slots that nobody uses are never touched */
};

Changes *changes_new(void) {
    Changes *changes = calloc(1, sizeof *changes);

    for (size_t i = 0; changes != NULL && i < LOCKS; i++)
        pthread_mutex_init(&changes->locks[i], NULL);
    return changes;
}

void changes_free(Changes *changes) {
    for (size_t i = 0; changes != NULL && i < LOCKS; i++) pthread_mutex_destroy(&changes->locks[i]);
    free(changes);
}

uint32_t changes_slot(Str tenant) {
    return (uint32_t)(hash_str(tenant) % SLOTS);
}

/* Times are anything that a client sent. */
static uint64_t length(int64_t min_ms, int64_t max_ms) {
    return (uint64_t)max_ms - (uint64_t)min_ms;
}

static bool takes_in(const Touched *range, int64_t min_ms, int64_t max_ms) {
    uint64_t joined = length(MIN(range->min_ms, min_ms), MAX(range->max_ms, max_ms));

    return joined - length(min_ms, max_ms) <= STRETCH_MS;
}

static void join(Touched *range, int64_t min_ms, int64_t max_ms, uint64_t number) {
    range->min_ms = MIN(range->min_ms, min_ms);
    range->max_ms = MAX(range->max_ms, max_ms);
    range->newest = MAX(range->newest, number);
}

static void join_oldest(Slot *slot) {
    uint32_t oldest = 0, second = 1;

    if (slot->ranges[second].newest < slot->ranges[oldest].newest) oldest = 1, second = 0;
    for (uint32_t i = 2; i < slot->count; i++) {
        if (slot->ranges[i].newest < slot->ranges[oldest].newest) {
            second = oldest;
            oldest = i;
        } else if (slot->ranges[i].newest < slot->ranges[second].newest) {
            second = i;
        }
    }
    join(&slot->ranges[second], slot->ranges[oldest].min_ms, slot->ranges[oldest].max_ms,
         slot->ranges[oldest].newest);
    slot->ranges[oldest] = slot->ranges[--slot->count];
}

static void slot_note(Slot *slot, int64_t min_ms, int64_t max_ms, uint64_t number) {
    uint32_t at = slot->last;

    if (at >= slot->count || !takes_in(&slot->ranges[at], min_ms, max_ms))
        for (at = 0; at < slot->count && !takes_in(&slot->ranges[at], min_ms, max_ms);) at++;
    if (at < slot->count) {
        join(&slot->ranges[at], min_ms, max_ms, number);
    } else {
        if (slot->count == CHANGES_RANGES_MAX) join_oldest(slot);
        at = slot->count++;
        slot->ranges[at] = (Touched){min_ms, max_ms, number};
    }
    slot->last = at;
}

void changes_note_slot(Changes *changes, uint32_t slot, int64_t min_ms, int64_t max_ms) {
    pthread_mutex_t *lock;

    if (changes == NULL) return;
    assert(slot < SLOTS && min_ms <= max_ms);
    lock = &changes->locks[slot % LOCKS];
    /* The number is taken with the lock held: who has a mark of this number or a later one and
     * then asks the slot waits until the range is there. */
    pthread_mutex_lock(lock);
    slot_note(&changes->slots[slot], min_ms, max_ms, atomic_fetch_add(&changes->number, 1) + 1);
    pthread_mutex_unlock(lock);
}

void changes_note(Changes *changes, Str tenant, int64_t min_ms, int64_t max_ms) {
    if (changes != NULL) changes_note_slot(changes, changes_slot(tenant), min_ms, max_ms);
}

void changes_note_all(Changes *changes) {
    uint64_t number, before;

    if (changes == NULL) return;
    number = atomic_fetch_add(&changes->number, 1) + 1;
    before = atomic_load(&changes->all);
    while (before < number && !atomic_compare_exchange_weak(&changes->all, &before, number)) {
    }
}

uint64_t changes_mark(const Changes *changes) {
    return atomic_load(&((Changes *)(uintptr_t)changes)->number);
}

size_t changes_since(Changes *changes, Str tenant, uint64_t mark,
                     ChangedRange out[CHANGES_RANGES_MAX]) {
    uint32_t number = changes_slot(tenant);
    pthread_mutex_t *lock = &changes->locks[number % LOCKS];
    const Slot *slot = &changes->slots[number];
    size_t count = 0;

    if (atomic_load(&changes->all) > mark) {
        out[0] = (ChangedRange){INT64_MIN, INT64_MAX};
        return 1;
    }
    pthread_mutex_lock(lock);
    for (uint32_t i = 0; i < slot->count; i++)
        if (slot->ranges[i].newest > mark)
            out[count++] = (ChangedRange){slot->ranges[i].min_ms, slot->ranges[i].max_ms};
    pthread_mutex_unlock(lock);
    return count;
}
