/*
 * memory.c: regions are reserved without access rights and opened in growing steps, so that an
 * array of any size never has to be copied, and a small head stays small.
 */
#include "ingester/head/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { STEP_MIN = 16 << 10, STEP_MAX = 1 << 20 };

bool region_init(Region *region, size_t reserve, Budget *budget) {
    void *base = mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED) return false;
    *region = (Region){.base = base, .reserved = reserve, .budget = budget};
    return true;
}

void region_done(Region *region) {
    if (region->base == NULL) return;
    munmap(region->base, region->reserved);
    budget_give(region->budget, region->committed);
    *region = (Region){0};
}

bool region_commit_slow(Region *region, size_t bytes, bool force) {
    size_t step = MIN(MAX(region->committed / 8, (size_t)STEP_MIN), (size_t)STEP_MAX);
    size_t to = ALIGN_UP(MAX(bytes, region->committed + step), STEP_MIN), more;

    if (bytes > region->reserved) return false;
    to = MIN(to, region->reserved);
    more = to - region->committed;
    if (force)
        budget_force(region->budget, more);
    else if (!budget_take(region->budget, more))
        return false;
    if (mprotect(region->base + region->committed, more, PROT_READ | PROT_WRITE) != 0) {
        budget_give(region->budget, more);
        return false;
    }
    region->committed = to;
    return true;
}

Str text_add(Text *text, Str s) {
    char *at = text->region.base + text->used;

    if (!region_commit(&text->region, text->used + s.len, false)) return (Str){NULL, 0};
    if (s.len > 0) memcpy(at, s.ptr, s.len);
    text->used += s.len;
    return (Str){at, s.len};
}

bool slab_init(Slab *slab, size_t reserve, Budget *budget) {
    *slab = (Slab){.used = SLAB_UNIT}; /* handle 0 is nothing */
    return region_init(&slab->region, MIN(reserve, (size_t)SLAB_UNIT << 32), budget);
}

void slab_done(Slab *slab) {
    region_done(&slab->region);
    free(slab->limbo[0].items);
    free(slab->limbo[1].items);
    *slab = (Slab){0};
}

/* In units: 1, 2, 3, then 4, 6, 8, 12, 16, 24, ... */
size_t slab_class_bytes(unsigned class) {
    size_t units;

    assert(class < SLAB_CLASSES);
    if (class < 3)
        units = class + 1;
    else
        units = (size_t)((class - 3) % 2 == 0 ? 4 : 6) << ((class - 3) / 2);
    return units * SLAB_UNIT;
}

unsigned slab_class(size_t bytes) {
    unsigned class = 0;

    assert(bytes <= SLAB_BYTES_MAX);
    if (bytes > 256) class = 7;
    while (slab_class_bytes(class) < bytes) class ++;
    return class;
}

bool slab_reserve(Slab *slab, size_t bytes) {
    return region_commit(&slab->region, slab->used + bytes, false);
}

SlabHandle slab_alloc_exact(Slab *slab, size_t bytes, bool force) {
    size_t at = slab->used, end = at + ALIGN_UP(bytes, SLAB_UNIT);

    if (!region_commit(&slab->region, end, force)) return 0;
    slab->used = end;
    return (SlabHandle)(at / SLAB_UNIT);
}

SlabHandle slab_alloc(Slab *slab, unsigned class, bool force) {
    SlabHandle handle = slab->free[class];

    if (handle == 0) return slab_alloc_exact(slab, slab_class_bytes(class), force);
    memcpy(&slab->free[class], slab_ptr(slab, handle), sizeof handle);
    return handle;
}

void slab_free(Slab *slab, SlabHandle handle, unsigned class) {
    memcpy(slab_ptr(slab, handle), &slab->free[class], sizeof handle);
    slab->free[class] = handle;
}

static bool slab_pinned(Slab *slab, unsigned phase) {
    return atomic_load_explicit(&slab->pins[phase], memory_order_acquire) != 0;
}

void slab_free_later(Slab *slab, SlabHandle handle, unsigned class) {
    SlabLimbo *limbo = &slab->limbo[slab->phase];

    if (!slab_pinned(slab, 0) && !slab_pinned(slab, 1)) {
        slab_free(slab, handle, class);
        return;
    }
    if (limbo->count == limbo->capacity) {
        size_t capacity = MAX(limbo->capacity * 2, (size_t)1024);
        struct SlabFreed *items = realloc(limbo->items, capacity * sizeof *items);

        /* Not remembering it costs its bytes until the generation goes, nothing worse. */
        if (items == NULL) return;
        limbo->items = items;
        limbo->capacity = capacity;
    }
    limbo->items[limbo->count++] = (struct SlabFreed){handle, class};
}

/* What lies in a phase's limbo may be seen by queries of that phase and, as the phases overlap, of
 * the one before. A phase only begins when no query of its last time is left; so when a phase's own
 * pins are gone after the other one began, nobody can see its limbo. */
void slab_settle(Slab *slab) {
    unsigned other = slab->phase ^ 1;
    SlabLimbo *limbo = &slab->limbo[other];

    if (slab->limbo[0].count == 0 && slab->limbo[1].count == 0) return;
    if (slab_pinned(slab, other)) return;
    for (size_t i = 0; i < limbo->count; i++)
        slab_free(slab, limbo->items[i].handle, limbo->items[i].class);
    limbo->count = 0;
    if (slab->limbo[slab->phase].count > 0) slab->phase = other;
}

unsigned slab_pin(Slab *slab) {
    atomic_fetch_add_explicit(&slab->pins[slab->phase], 1, memory_order_relaxed);
    return slab->phase;
}

void slab_unpin(Slab *slab, unsigned phase) {
    atomic_fetch_sub_explicit(&slab->pins[phase], 1, memory_order_release);
}
