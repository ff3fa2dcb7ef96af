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

enum {
    SLAB_UNIT = 16,
    SLAB_CLASSES = 44, /* 16, 32, 48, 64, 96, 128, 192, ... up to 64 MiB */
    SLAB_BYTES_MAX = 64 << 20,
};

/* Handles count units, so that 32 bits reach 64 GiB; 0 is nothing. */
typedef uint32_t SlabHandle;

typedef struct SlabLimbo {
    struct SlabFreed {
        SlabHandle handle;
        uint32_t class;
    } * items;
    size_t count;
    size_t capacity;
} SlabLimbo;

typedef struct Slab {
    Region region;
    size_t used; /* bytes handed out for the first time; the rest of the region is untouched */
    SlabHandle free[SLAB_CLASSES];
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
void slab_free(Slab *slab, SlabHandle handle, unsigned class);
/* For what they may. */
void slab_free_later(Slab *slab, SlabHandle handle, unsigned class);
/* Gives back what no query can see any more. Cheap: asked once a group. */
void slab_settle(Slab *slab);

/* A query's pin: taken on the lane, released from any thread. */
unsigned slab_pin(Slab *slab);
void slab_unpin(Slab *slab, unsigned phase);
