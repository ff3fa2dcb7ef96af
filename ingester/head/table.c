/*
 * table.c: linear probing, at most 7/8 full, doubled into a new region.
 */
#include "ingester/head/table.h"

enum { SLOTS_MIN = 256 };

static bool table_make(Table *table, size_t slots, Budget *budget, bool force) {
    Region region;

    if (!region_init(&region, ALIGN_UP(slots * sizeof(uint64_t), KIB(16)), budget)) return false;
    if (!region_commit(&region, slots * sizeof(uint64_t), force)) {
        region_done(&region);
        return false;
    }
    *table = (Table){.region = region,
                     .slots = (uint64_t *)(void *)region.base,
                     .mask = (uint32_t)(slots - 1),
                     .budget = budget};
    return true;
}

bool table_init(Table *table, Budget *budget) {
    return table_make(table, SLOTS_MIN, budget, true);
}

void table_done(Table *table) {
    region_done(&table->region);
    *table = (Table){0};
}

static void table_put(Table *table, uint64_t slot) {
    uint32_t at = (uint32_t)(slot >> 32) & table->mask;

    while (table->slots[at] != 0) at = (at + 1) & table->mask;
    table->slots[at] = slot;
    table->count++;
}

bool table_reserve(Table *table) {
    size_t slots = (size_t)table->mask + 1;
    Table larger;

    if (table->count < slots / 8 * 7) return true;
    if (slots > UINT32_MAX / 4 || !table_make(&larger, slots * 2, table->budget, false))
        return false;
    for (size_t i = 0; i < slots; i++)
        if (table->slots[i] != 0) table_put(&larger, table->slots[i]);
    region_done(&table->region);
    *table = larger;
    return true;
}

void table_add(Table *table, uint32_t tag, uint32_t index) {
    table_put(table, (uint64_t)tag << 32 | ((uint64_t)index + 1));
}
