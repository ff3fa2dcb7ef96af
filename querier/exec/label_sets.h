#pragma once
/*
 * label_sets.h: making and finding label sets. Results live in the arena that is passed.
 */
#include "common/base/buf.h"
#include "querier/exec/symbols.h"

/* All: false when out of memory. Names are symbol ids. */

/* A copy with only, or without, the labels of `names`. */
MUST_USE bool labels_keep(Arena *arena, LabelSet set, const uint32_t *names, size_t count,
                          LabelSet *out);
MUST_USE bool labels_drop(Arena *arena, LabelSet set, const uint32_t *names, size_t count,
                          LabelSet *out);
/* With label `name` set; SYMBOL_EMPTY takes it away. */
MUST_USE bool labels_set(Arena *arena, const Symbols *symbols, LabelSet set, uint32_t name,
                         uint32_t value, LabelSet *out);
/* Symbols of names, unknown ones made. */
MUST_USE bool labels_names(Symbols *symbols, Arena *arena, const Str *names, size_t count,
                           uint32_t **out);
/* {__name__="a", job="b"}, as the peers' errors print it. */
void labels_append_text(const Symbols *symbols, LabelSet set, Buf *out);

/* Numbers label sets in order of appearance. */
typedef struct LabelTable {
    Arena *arena;
    LabelSet *sets;
    uint32_t count;
    uint32_t capacity;
    uint64_t *hashes;
    uint32_t *slots; /* index + 1 */
    uint32_t mask;
} LabelTable;

MUST_USE bool label_table_init(LabelTable *table, Arena *arena, size_t expected);
/* The set's number. A new one is stored as it is, so it must live as long, or, with `copy`, copied.
 * SYMBOL_NONE: out of memory. */
uint32_t label_table_add(LabelTable *table, LabelSet set, bool copy);
uint32_t label_table_find(const LabelTable *table, LabelSet set); /* SYMBOL_NONE when unknown */
