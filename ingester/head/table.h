#pragma once
/*
 * table.h: an open addressing table from 32 bits of a hash to indices of somebody's array. A slot
 * holds both, so that a search touches the array only where the tags agree, and growing never does.
 * Nothing is ever removed.
 */
#include "ingester/head/memory.h"

typedef struct Table {
    Region region;
    uint64_t *slots; /* tag << 32 | index + 1; 0 is empty */
    uint32_t mask;
    uint32_t count;
    Budget *budget;
} Table;

enum { TABLE_NONE = UINT32_MAX };

/* Small enough to be taken even past the budget. False: the kernel refuses. */
MUST_USE bool table_init(Table *table, Budget *budget);
void table_done(Table *table);
/* Makes room for one more. False: the budget refuses. */
MUST_USE bool table_reserve(Table *table);
/* After table_reserve(). The caller knows that it isn't there. */
void table_add(Table *table, uint32_t tag, uint32_t index);

static inline void table_prefetch(const Table *table, uint32_t tag) {
    __builtin_prefetch(&table->slots[tag & table->mask]);
}

/* Iterates over the indices with this tag:
 *     TABLE_EACH(&table, tag, index) if (same(index, key)) return index; */
static inline uint32_t table_next(const Table *table, uint32_t tag, uint32_t *at) {
    for (;;) {
        uint64_t slot = table->slots[*at & table->mask];

        if (slot == 0) return TABLE_NONE;
        (*at)++;
        if ((uint32_t)(slot >> 32) == tag) return (uint32_t)slot - 1;
    }
}
#define TABLE_EACH(table_, tag_, index_)                                                           \
    for (uint32_t at_ = (tag_), index_ = table_next((table_), (tag_), &at_); index_ != TABLE_NONE; \
         index_ = table_next((table_), (tag_), &at_))
