/*
 * pairs.c: names are interned first, then pairs by the number of the name and the value.
 */
#include "ingester/head/pairs.h"

#include "common/base/hash.h"

bool pairs_init(Pairs *pairs, size_t reserve, uint64_t seed, Budget *budget) {
    *pairs = (Pairs){.seed = seed};
    return region_init(&pairs->pair_region, MIN(reserve, PAIRS_MAX * sizeof(LabelPair)), budget) &&
           region_init(&pairs->name_region, MIN(reserve, PAIRS_MAX * sizeof(uint32_t)), budget) &&
           region_init(&pairs->names_region, MIN(reserve, PAIRS_MAX * sizeof(Str)), budget) &&
           region_init(&pairs->text.region, reserve, budget) && table_init(&pairs->table, budget) &&
           table_init(&pairs->names, budget);
}

void pairs_done(Pairs *pairs) {
    region_done(&pairs->pair_region);
    region_done(&pairs->name_region);
    region_done(&pairs->names_region);
    region_done(&pairs->text.region);
    table_done(&pairs->table);
    table_done(&pairs->names);
    *pairs = (Pairs){0};
}

static uint32_t name_tag(const Pairs *pairs, Str name) {
    return (uint32_t)hash_bytes_seeded(name.ptr, name.len, pairs->seed);
}

static uint32_t pair_tag(const Pairs *pairs, uint32_t name, Str value) {
    return (uint32_t)hash_bytes_seeded(value.ptr, value.len,
                                       pairs->seed ^ (name + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static uint32_t name_find(const Pairs *pairs, uint32_t tag, Str name) {
    TABLE_EACH(&pairs->names, tag, i) if (str_equal(pairs_name(pairs, i), name)) return i;
    return PAIR_NONE;
}

static uint32_t pair_find(const Pairs *pairs, uint32_t tag, uint32_t name, Str value) {
    TABLE_EACH(&pairs->table, tag, i) {
        if (pairs_name_of(pairs, i) == name && str_equal(pairs_array(pairs)[i].value, value))
            return i;
    }
    return PAIR_NONE;
}

uint32_t pairs_find_name(const Pairs *pairs, Str name) {
    return name_find(pairs, name_tag(pairs, name), name);
}

uint32_t pairs_find(const Pairs *pairs, Str name, Str value) {
    uint32_t number = pairs_find_name(pairs, name);

    return number == PAIR_NONE ? PAIR_NONE
                               : pair_find(pairs, pair_tag(pairs, number, value), number, value);
}

static uint32_t name_intern(Pairs *pairs, Str name) {
    uint32_t tag = name_tag(pairs, name), found = name_find(pairs, tag, name);
    Str kept;

    if (found != PAIR_NONE) return found;
    if (!table_reserve(&pairs->names) ||
        !region_commit(&pairs->names_region, (pairs->name_count + (size_t)1) * sizeof(Str), false))
        return PAIR_NONE;
    kept = text_add(&pairs->text, name);
    if (kept.ptr == NULL) return PAIR_NONE;
    ((Str *)(void *)pairs->names_region.base)[pairs->name_count] = kept;
    table_add(&pairs->names, tag, pairs->name_count);
    return pairs->name_count++;
}

uint32_t pairs_intern(Pairs *pairs, Str name, Str value) {
    uint32_t number = name_intern(pairs, name), tag, found, n = pairs->count;
    Str kept;

    if (number == PAIR_NONE) return PAIR_NONE;
    tag = pair_tag(pairs, number, value);
    found = pair_find(pairs, tag, number, value);
    if (found != PAIR_NONE) return found;
    if (!table_reserve(&pairs->table) ||
        !region_commit(&pairs->pair_region, (n + (size_t)1) * sizeof(LabelPair), false) ||
        !region_commit(&pairs->name_region, (n + (size_t)1) * sizeof(uint32_t), false))
        return PAIR_NONE;
    kept = text_add(&pairs->text, value);
    if (kept.ptr == NULL) return PAIR_NONE;
    ((LabelPair *)(void *)pairs->pair_region.base)[n] =
        (LabelPair){pairs_name(pairs, number), kept};
    ((uint32_t *)(void *)pairs->name_region.base)[n] = number;
    table_add(&pairs->table, tag, n);
    return pairs->count++;
}
