/*
 * symbols.c: a hash table of strings whose ids are array indices.
 */
#include "querier/exec/symbols.h"

#include "common/base/hash.h"

typedef struct Slot {
    uint32_t hash;
    uint32_t id; /* + 1; 0: free */
} Slot;

struct Symbols {
    Arena *arena;
    Str *strings;
    uint32_t count;
    uint32_t capacity;
    Slot *slots;
    uint32_t mask;
};

enum { SLOTS_MIN = 256, SYMBOLS_MAX = 1 << 30 };

Symbols *symbols_new(Arena *arena) {
    Symbols *symbols = ARENA_NEW(arena, Symbols);

    if (symbols == NULL) return NULL;
    symbols->arena = arena;
    symbols->slots = ARENA_ARRAY(arena, Slot, SLOTS_MIN);
    symbols->mask = SLOTS_MIN - 1;
    if (symbols->slots == NULL || symbols_add_borrowed(symbols, STR("")) != SYMBOL_EMPTY ||
        symbols_add_borrowed(symbols, STR("__name__")) != SYMBOL_NAME)
        return NULL;
    return symbols;
}

static Slot *find(const Symbols *symbols, Str s, uint32_t hash) {
    uint32_t at = hash & symbols->mask;

    for (; symbols->slots[at].id != 0; at = (at + 1) & symbols->mask)
        if (symbols->slots[at].hash == hash &&
            str_equal(symbols->strings[symbols->slots[at].id - 1], s))
            break;
    return &symbols->slots[at];
}

static bool grow_slots(Symbols *symbols) {
    uint32_t count = (symbols->mask + 1) * 2;
    Slot *slots = ARENA_ARRAY(symbols->arena, Slot, count);

    if (slots == NULL) return false;
    for (uint32_t i = 0; i <= symbols->mask; i++) {
        Slot slot = symbols->slots[i];
        uint32_t at = slot.hash & (count - 1);

        if (slot.id == 0) continue;
        while (slots[at].id != 0) at = (at + 1) & (count - 1);
        slots[at] = slot;
    }
    symbols->slots = slots;
    symbols->mask = count - 1;
    return true;
}

static bool grow_strings(Symbols *symbols) {
    uint32_t capacity = MAX(symbols->capacity * 2, 128);
    Str *grown = arena_grow(symbols->arena, symbols->strings, symbols->capacity * sizeof(Str),
                            capacity * sizeof(Str));

    if (grown == NULL) return false;
    symbols->strings = grown;
    symbols->capacity = capacity;
    return true;
}

static uint32_t add(Symbols *symbols, Str s, bool copy) {
    uint32_t hash = (uint32_t)hash_str(s);
    Slot *slot = find(symbols, s, hash);

    if (slot->id != 0) return slot->id - 1;
    if (symbols->count >= SYMBOLS_MAX) return SYMBOL_NONE;
    if (symbols->count == symbols->capacity && !grow_strings(symbols)) return SYMBOL_NONE;
    /* At most half full, so that probes are short, and end. */
    if (symbols->count * 2 >= symbols->mask) {
        if (!grow_slots(symbols)) return SYMBOL_NONE;
        slot = find(symbols, s, hash);
    }
    if (copy) {
        s = str_dup(symbols->arena, s);
        if (s.ptr == NULL) return SYMBOL_NONE;
    }
    *slot = (Slot){hash, symbols->count + 1};
    symbols->strings[symbols->count] = s;
    return symbols->count++;
}

uint32_t symbols_add(Symbols *symbols, Str s) {
    return add(symbols, s, true);
}

uint32_t symbols_add_borrowed(Symbols *symbols, Str s) {
    return add(symbols, s, false);
}

uint32_t symbols_find(const Symbols *symbols, Str s) {
    const Slot *slot = find(symbols, s, (uint32_t)hash_str(s));

    return slot->id == 0 ? SYMBOL_NONE : slot->id - 1;
}

Str symbols_str(const Symbols *symbols, uint32_t id) {
    assert(id < symbols->count);
    return symbols->strings[id];
}

uint32_t symbols_count(const Symbols *symbols) {
    return symbols->count;
}

uint64_t label_set_hash(LabelSet set) {
    return hash_bytes(set.labels, set.count * sizeof(Label));
}

uint32_t label_set_get(LabelSet set, uint32_t name) {
    for (uint32_t i = 0; i < set.count; i++)
        if (set.labels[i].name == name) return set.labels[i].value;
    return SYMBOL_EMPTY;
}

int label_set_compare(const Symbols *symbols, LabelSet a, LabelSet b) {
    uint32_t common = MIN(a.count, b.count);

    for (uint32_t i = 0; i < common; i++) {
        const Label *x = &a.labels[i], *y = &b.labels[i];
        int order = 0;

        if (x->name != y->name)
            order = str_compare(symbols_str(symbols, x->name), symbols_str(symbols, y->name));
        if (order == 0 && x->value != y->value)
            order = str_compare(symbols_str(symbols, x->value), symbols_str(symbols, y->value));
        if (order != 0) return order;
    }
    return (a.count > b.count) - (a.count < b.count);
}
