/*
 * slab.c: pieces of pages, and the limbo where freed ones wait for queries to end.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "ingester/head/memory.h"

enum { PAGE_UNITS = SLAB_PAGE / SLAB_UNIT };

static SlabPage *page_at(const Slab *slab, uint32_t page) {
    return (SlabPage *)(void *)slab->pages.base + page;
}

static uint32_t page_of(SlabHandle handle) {
    return handle / PAGE_UNITS;
}

bool slab_init(Slab *slab, size_t reserve, Budget *budget) {
    reserve = MIN(ALIGN_UP(reserve, SLAB_PAGE), (size_t)SLAB_UNIT << 32);
    *slab = (Slab){.page_count = 1};
    return region_init(&slab->region, reserve, budget) &&
           region_init(&slab->pages, reserve / SLAB_PAGE * sizeof(SlabPage), budget);
}

void slab_done(Slab *slab) {
    region_done(&slab->region);
    region_done(&slab->pages);
    free(slab->limbo[0].items);
    free(slab->limbo[1].items);
    *slab = (Slab){0};
}

/* ---------- classes ---------- */

static size_t class_units(unsigned class) {
    if (class < 8) return class + 1;
    return (size_t)(10 + 2 * ((class - 8) % 4)) << ((class - 8) / 4);
}

size_t slab_class_bytes(unsigned class) {
    assert(class < SLAB_CLASSES);
    return class_units(class) * SLAB_UNIT;
}

unsigned slab_class(size_t bytes) {
    size_t units = (bytes + SLAB_UNIT - 1) / SLAB_UNIT, step;
    unsigned group;

    assert(bytes <= SLAB_BYTES_MAX);
    if (units <= 8) return units == 0 ? 0 : (unsigned)units - 1;
    group = 60 - (unsigned)__builtin_clzll(units - 1);
    step = (size_t)2 << group;
    return 8 + 4 * group + (unsigned)((units + step - 1) / step) - 5;
}

/* ---------- pages ---------- */

static bool commit_pages(Slab *slab, uint32_t count, bool force) {
    size_t end = slab->page_count + (size_t)count;

    return region_commit(&slab->region, end * SLAB_PAGE, force) &&
           region_commit(&slab->pages, end * sizeof(SlabPage), force);
}

bool slab_reserve(Slab *slab, size_t bytes) {
    size_t free_bytes = (size_t)slab->free_count * SLAB_PAGE;

    return bytes <= free_bytes ||
           commit_pages(slab, (uint32_t)((bytes - free_bytes) / SLAB_PAGE + 1), false);
}

/* `count` pages in a row; 0: none to be had. */
static uint32_t pages_take(Slab *slab, uint32_t count, bool force) {
    uint32_t page = slab->free_pages;

    if (count == 1 && page != 0) {
        slab->free_pages = page_at(slab, page)->next;
        slab->free_count--;
        return page;
    }
    if (!commit_pages(slab, count, force)) return 0;
    page = slab->page_count;
    slab->page_count += count;
    return page;
}

static void page_give(Slab *slab, uint32_t page) {
    page_at(slab, page)->next = slab->free_pages;
    slab->free_pages = page;
    slab->free_count++;
}

static void roomy_add(Slab *slab, uint32_t page) {
    SlabPage *p = page_at(slab, page);

    p->previous = 0;
    p->next = slab->roomy[p->class];
    if (p->next != 0) page_at(slab, p->next)->previous = page;
    slab->roomy[p->class] = page;
}

static void roomy_remove(Slab *slab, uint32_t page) {
    SlabPage *p = page_at(slab, page);

    if (p->next != 0) page_at(slab, p->next)->previous = p->previous;
    if (p->previous != 0)
        page_at(slab, p->previous)->next = p->next;
    else
        slab->roomy[p->class] = p->next;
}

/* ---------- pieces ---------- */

static uint32_t run_pages(unsigned class) {
    return (uint32_t)((slab_class_bytes(class) + SLAB_PAGE - 1) / SLAB_PAGE);
}

static SlabHandle run_alloc(Slab *slab, unsigned class, bool force) {
    uint32_t page = pages_take(slab, run_pages(class), force);

    if (page != 0) page_at(slab, page)->class = (uint8_t) class;
    return page * PAGE_UNITS;
}

SlabHandle slab_alloc(Slab *slab, unsigned class, bool force) {
    size_t units = class_units(class);
    uint32_t page;
    SlabHandle handle;
    SlabPage *p;

    if (class >= SLAB_SMALL_CLASSES) return run_alloc(slab, class, force);
    page = slab->roomy[class];
    if (page == 0) {
        if ((page = pages_take(slab, 1, force)) == 0) return 0;
        *page_at(slab, page) = (SlabPage){.class = (uint8_t) class};
        roomy_add(slab, page);
    }
    p = page_at(slab, page);
    handle = p->free;
    if (handle != 0)
        memcpy(&p->free, slab_ptr(slab, handle), sizeof p->free);
    else
        handle = page * PAGE_UNITS + (SlabHandle)(p->cut++ * units);
    p->used++;
    if (p->free == 0 && (p->cut + (size_t)1) * units > PAGE_UNITS) roomy_remove(slab, page);
    return handle;
}

void slab_free(Slab *slab, SlabHandle handle) {
    uint32_t page = page_of(handle);
    SlabPage *p = page_at(slab, page);
    bool was_full;

    if (p->class >= SLAB_SMALL_CLASSES) {
        for (uint32_t i = run_pages(p->class); i-- > 0;) page_give(slab, page + i);
        return;
    }
    was_full = p->free == 0 && (p->cut + (size_t)1) * class_units(p->class) > PAGE_UNITS;
    memcpy(slab_ptr(slab, handle), &p->free, sizeof p->free);
    p->free = handle;
    p->used--;
    if (was_full) roomy_add(slab, page);
    if (p->used > 0) return;
    roomy_remove(slab, page);
    page_give(slab, page);
}

SlabHandle slab_alloc_exact(Slab *slab, size_t bytes, bool force) {
    size_t at;

    bytes = ALIGN_UP(bytes, SLAB_UNIT);
    if (bytes > slab->exact_end - slab->exact) {
        uint32_t count = (uint32_t)((bytes + SLAB_PAGE - 1) / SLAB_PAGE);
        uint32_t page = pages_take(slab, count, force);

        if (page == 0) return 0;
        /* A large piece has pages of its own; what is left of the current one stays in use. */
        if (bytes > SLAB_PAGE / 4) return page * PAGE_UNITS;
        slab->exact = (size_t)page * SLAB_PAGE;
        slab->exact_end = slab->exact + SLAB_PAGE;
    }
    at = slab->exact;
    slab->exact += bytes;
    return (SlabHandle)(at / SLAB_UNIT);
}

/* ---------- limbo ---------- */

static bool slab_pinned(Slab *slab, unsigned phase) {
    return atomic_load_explicit(&slab->pins[phase], memory_order_acquire) != 0;
}

void slab_free_later(Slab *slab, SlabHandle handle) {
    SlabLimbo *limbo = &slab->limbo[slab->phase];

    if (!slab_pinned(slab, 0) && !slab_pinned(slab, 1)) {
        slab_free(slab, handle);
        return;
    }
    if (limbo->count == limbo->capacity) {
        size_t capacity = MAX(limbo->capacity * 2, (size_t)1024);
        SlabHandle *items = realloc(limbo->items, capacity * sizeof *items);

        /* Not remembering it costs its bytes until the generation goes, nothing worse. */
        if (items == NULL) return;
        limbo->items = items;
        limbo->capacity = capacity;
    }
    limbo->items[limbo->count++] = handle;
}

/* What lies in a phase's limbo may be seen by queries of that phase and, as the phases overlap, of
 * the one before. A phase only begins when no query of its last time is left; so when a phase's own
 * pins are gone after the other one began, nobody can see its limbo. */
void slab_settle(Slab *slab) {
    unsigned other = slab->phase ^ 1;
    SlabLimbo *limbo = &slab->limbo[other];

    if (slab->limbo[0].count == 0 && slab->limbo[1].count == 0) return;
    if (slab_pinned(slab, other)) return;
    for (size_t i = 0; i < limbo->count; i++) slab_free(slab, limbo->items[i]);
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
