#pragma once
/*
 * symbols.h: a query's own table of strings. Labels are pairs of ids in it, so that grouping,
 * matching and comparing label sets are integer work.
 *
 * Not thread-safe: ids are made by the query's own thread only; reading known ids is fine from any.
 */
#include "common/base/str.h"

typedef struct Symbols Symbols;

/* Lives in `arena`. NULL: out of budget. Id 0 is always the empty string, SYMBOL_NAME "__name__".
 */
Symbols *symbols_new(Arena *arena);
/* The string's id, made when new (bytes are copied into the arena). SYMBOL_NONE: out of budget. */
uint32_t symbols_add(Symbols *symbols, Str s);
/* As symbols_add, but keeps pointing to the caller's bytes, which must live as long as the query.
 */
uint32_t symbols_add_borrowed(Symbols *symbols, Str s);
uint32_t symbols_find(const Symbols *symbols, Str s); /* SYMBOL_NONE when unknown */
Str symbols_str(const Symbols *symbols, uint32_t id);
uint32_t symbols_count(const Symbols *symbols);

enum { SYMBOL_EMPTY = 0, SYMBOL_NAME = 1 };
#define SYMBOL_NONE UINT32_MAX

typedef struct Label {
    uint32_t name;
    uint32_t value; /* never SYMBOL_EMPTY: a label without value does not exist */
} Label;

/* Sorted by the names' bytes (not by id). Shared and immutable once made. */
typedef struct LabelSet {
    const Label *labels;
    uint32_t count;
} LabelSet;

/* Equal sets have equal hashes within one query. */
uint64_t label_set_hash(LabelSet set);
static inline bool label_set_equal(LabelSet a, LabelSet b) {
    return a.count == b.count &&
           (a.count == 0 || memcmp(a.labels, b.labels, a.count * sizeof(Label)) == 0);
}
uint32_t label_set_get(LabelSet set, uint32_t name); /* SYMBOL_EMPTY when absent */
int label_set_compare(const Symbols *symbols, LabelSet a, LabelSet b); /* by bytes, as Prometheus */
