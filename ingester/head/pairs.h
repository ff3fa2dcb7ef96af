#pragma once
/*
 * pairs.h: the dictionary of a head generation: every (name, value) once, with a number. Pairs
 * never move and never go, so queries use the dictionary where it lies.
 */
#include "common/batch/labels.h"
#include "ingester/head/table.h"

typedef struct Pairs {
    Region pair_region; /* LabelPair[count]: handed to queries as it is */
    Region name_region; /* uint32_t[count]: the number of the pair's name */
    Table table;
    uint32_t count;
    Region names_region; /* Str[name_count] */
    Table names;
    uint32_t name_count;
    Text text;
    uint64_t seed;
} Pairs;

enum { PAIR_NONE = UINT32_MAX, PAIRS_MAX = 1 << 28 };

MUST_USE bool pairs_init(Pairs *pairs, size_t reserve, uint64_t seed, Budget *budget);
void pairs_done(Pairs *pairs);

static inline const LabelPair *pairs_array(const Pairs *pairs) {
    return (const LabelPair *)(const void *)pairs->pair_region.base;
}
static inline uint32_t pairs_name_of(const Pairs *pairs, uint32_t pair) {
    return ((const uint32_t *)(const void *)pairs->name_region.base)[pair];
}

/* PAIR_NONE: the budget refuses, or there are PAIRS_MAX. */
uint32_t pairs_intern(Pairs *pairs, Str name, Str value);
/* PAIR_NONE: no series has it. */
uint32_t pairs_find_name(const Pairs *pairs, Str name);
uint32_t pairs_find(const Pairs *pairs, Str name, Str value);
static inline Str pairs_name(const Pairs *pairs, uint32_t name) {
    return ((const Str *)(const void *)pairs->names_region.base)[name];
}
