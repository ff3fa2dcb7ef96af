#pragma once
/*
 * memory.h: what a head generation is made of: regions of address space that grow in place, and on
 * one of them slabs of a few size classes. Everything is charged to the heads' budget page step by
 * page step, and goes as a whole.
 *
 * One thread (the lane's) changes these. What a region holds never moves, so that a query may keep
 * pointers into it for as long as it pins the generation.
 */
#include "common/base/budget.h"
#include "common/base/str.h"

/* ---------- regions ---------- */

typedef struct Region {
    char *base;
    size_t reserved;  /* bytes of address space */
    size_t committed; /* bytes that may be touched and are charged */
    Budget *budget;
} Region;

/* Reserves address space only. False: the kernel refuses. */
MUST_USE bool region_init(Region *region, size_t reserve, Budget *budget);
void region_done(Region *region); /* a zeroed one is fine */
/* Makes [0, bytes) usable. Without `force` the budget may refuse; with it only the kernel can. */
MUST_USE bool region_commit_slow(Region *region, size_t bytes, bool force);
static inline bool region_commit(Region *region, size_t bytes, bool force) {
    return LIKELY(bytes <= region->committed) || region_commit_slow(region, bytes, force);
}

/* ---------- text: bytes that stay until the end ---------- */

typedef struct Text {
    Region region;
    size_t used;
} Text;
/* ptr NULL: the budget refuses. */
Str text_add(Text *text, Str s);

/* ---------- slabs ---------- */

/*
 * Pages of 4 KiB, each cut into pieces of one size class. A page whose pieces are all free serves
 * any class again: series of one target grow in step, so the pages they leave empty out, and what a
 * head holds stays close to what its series use.
 */
enum {
    SLAB_UNIT = 16,
    SLAB_PAGE = 4 << 10,
    SLAB_SMALL_MAX = 2 << 10, /* larger pieces are runs of whole pages */
    SLAB_BYTES_MAX = 64 << 20,
    SLAB_CLASSES = 84, /* in units: 1 to 8, 10, 12, 14, 16, 20, 24, ... */
    SLAB_SMALL_CLASSES = 24,
};

/* Handles count units, so that 32 bits reach 64 GiB; 0 is nothing. */
typedef uint32_t SlabHandle;

typedef struct SlabPage {
    uint32_t next; /* among those of the class with room, or the free ones; 0: none */
    uint32_t previous;
    SlabHandle free; /* pieces given back */
    uint16_t used;   /* pieces in use */
    uint16_t cut;    /* pieces ever handed out: what lies behind is untouched */
    uint8_t class;
} SlabPage;

typedef struct SlabLimbo {
    SlabHandle *items;
    size_t count;
    size_t capacity;
} SlabLimbo;

typedef struct Slab {
    Region region;
    Region pages;        /* SlabPage[page_count] */
    uint32_t page_count; /* ever taken; page 0 is not used, so that handle 0 is nothing */
    uint32_t free_pages; /* the first, or 0 */
    uint32_t free_count;
    uint32_t roomy[SLAB_SMALL_CLASSES]; /* the first page with a free piece, or 0 */
    size_t exact;                       /* where the next piece that is never freed goes */
    size_t exact_end;
    /* Queries read stream bytes while the lane goes on. What the lane frees meanwhile waits in
     * limbo until no query is left that may have seen it: two phases, as read-copy-update does. */
    unsigned phase;
    _Atomic uint32_t pins[2];
    SlabLimbo limbo[2];
} Slab;

MUST_USE bool slab_init(Slab *slab, size_t reserve, Budget *budget);
void slab_done(Slab *slab);

unsigned slab_class(size_t bytes); /* the smallest that holds so many; bytes <= SLAB_BYTES_MAX */
size_t slab_class_bytes(unsigned class);
/* Room for `bytes` more can be had without asking the budget again. */
MUST_USE bool slab_reserve(Slab *slab, size_t bytes);
/* 0: the budget (or, with `force`, the address space) is used up. */
SlabHandle slab_alloc(Slab *slab, unsigned class, bool force);
/* For what is never freed: `bytes` rounded up to units only. */
SlabHandle slab_alloc_exact(Slab *slab, size_t bytes, bool force);
static inline void *slab_ptr(const Slab *slab, SlabHandle handle) {
    return slab->region.base + (size_t)handle * SLAB_UNIT;
}
/* For what queries never point to. */
void slab_free(Slab *slab, SlabHandle handle);
/* For what they may. */
void slab_free_later(Slab *slab, SlabHandle handle);
/* Gives back what no query can see any more. Cheap: asked once a group. */
void slab_settle(Slab *slab);

/* A query's pin: taken on the lane, released from any thread. */
unsigned slab_pin(Slab *slab);
void slab_unpin(Slab *slab, unsigned phase);
