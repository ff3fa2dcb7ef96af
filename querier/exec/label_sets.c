#include "querier/exec/label_sets.h"

static bool contains(const uint32_t *names, size_t count, uint32_t name) {
    for (size_t i = 0; i < count; i++)
        if (names[i] == name) return true;
    return false;
}

static bool filter(Arena *arena, LabelSet set, const uint32_t *names, size_t count, bool keep,
                   LabelSet *out) {
    Label *labels = arena_alloc(arena, MAX(set.count, 1) * sizeof *labels);
    uint32_t n = 0;

    if (labels == NULL) return false;
    for (uint32_t i = 0; i < set.count; i++)
        if (contains(names, count, set.labels[i].name) == keep) labels[n++] = set.labels[i];
    *out = (LabelSet){labels, n};
    return true;
}

bool labels_keep(Arena *arena, LabelSet set, const uint32_t *names, size_t count, LabelSet *out) {
    return filter(arena, set, names, count, true, out);
}

bool labels_drop(Arena *arena, LabelSet set, const uint32_t *names, size_t count, LabelSet *out) {
    return filter(arena, set, names, count, false, out);
}

bool labels_set(Arena *arena, const Symbols *symbols, LabelSet set, uint32_t name, uint32_t value,
                LabelSet *out) {
    Label *labels = arena_alloc(arena, (set.count + 1) * sizeof *labels);
    Str text = symbols_str(symbols, name);
    uint32_t n = 0, i = 0;

    if (labels == NULL) return false;
    while (i < set.count && set.labels[i].name != name &&
           str_compare(symbols_str(symbols, set.labels[i].name), text) < 0)
        labels[n++] = set.labels[i++];
    if (i < set.count && set.labels[i].name == name) i++;
    if (value != SYMBOL_EMPTY) labels[n++] = (Label){name, value};
    while (i < set.count) labels[n++] = set.labels[i++];
    *out = (LabelSet){labels, n};
    return true;
}

static bool is_plain_name(Str s, bool metric) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') continue;
        if ((metric && c == ':') || (i > 0 && c >= '0' && c <= '9')) continue;
        return false;
    }
    return s.len > 0;
}

static void append_quoted(Buf *out, Str s) {
    buf_append_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '"' || c == '\\') buf_append_byte(out, '\\');
        if (c == '\n')
            buf_append_str(out, STR("\\n"));
        else
            buf_append_byte(out, c);
    }
    buf_append_byte(out, '"');
}

void labels_append_text(const Symbols *symbols, LabelSet set, Buf *out) {
    bool first = true;

    buf_append_byte(out, '{');
    for (uint32_t i = 0; i < set.count; i++) {
        Str name = symbols_str(symbols, set.labels[i].name);

        if (!first) buf_append_str(out, STR(", "));
        first = false;
        if (is_plain_name(name, false))
            buf_append_str(out, name);
        else
            append_quoted(out, name);
        buf_append_byte(out, '=');
        append_quoted(out, symbols_str(symbols, set.labels[i].value));
    }
    buf_append_byte(out, '}');
}

bool labels_names(Symbols *symbols, Arena *arena, const Str *names, size_t count, uint32_t **out) {
    uint32_t *ids = arena_alloc(arena, MAX(count, 1) * sizeof *ids);

    if (ids == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        ids[i] = symbols_add(symbols, names[i]);
        if (ids[i] == SYMBOL_NONE) return false;
    }
    *out = ids;
    return true;
}

bool label_table_init(LabelTable *table, Arena *arena, size_t expected) {
    uint32_t size = 16;

    while (size < expected * 2 && size < UINT32_C(1) << 30) size *= 2;
    *table = (LabelTable){.arena = arena, .mask = size - 1};
    table->slots = ARENA_ARRAY(arena, uint32_t, size);
    return table->slots != NULL;
}

static bool grow_sets(LabelTable *table) {
    uint32_t capacity = MAX(table->capacity * 2, 16);
    LabelSet *sets = arena_alloc(table->arena, capacity * sizeof *sets);
    uint64_t *hashes = arena_alloc(table->arena, capacity * sizeof *hashes);

    if (sets == NULL || hashes == NULL) return false;
    if (table->count > 0) {
        memcpy(sets, table->sets, table->count * sizeof *sets);
        memcpy(hashes, table->hashes, table->count * sizeof *hashes);
    }
    table->sets = sets;
    table->hashes = hashes;
    table->capacity = capacity;
    return true;
}

static bool grow_slots(LabelTable *table) {
    uint32_t mask = table->mask * 2 + 1;
    uint32_t *slots = ARENA_ARRAY(table->arena, uint32_t, (size_t)mask + 1);

    if (slots == NULL) return false;
    for (uint32_t i = 0; i < table->count; i++) {
        uint32_t at = (uint32_t)table->hashes[i] & mask;

        while (slots[at] != 0) at = (at + 1) & mask;
        slots[at] = i + 1;
    }
    table->slots = slots;
    table->mask = mask;
    return true;
}

static uint32_t find_slot(const LabelTable *table, LabelSet set, uint64_t hash) {
    uint32_t at = (uint32_t)hash & table->mask;

    for (; table->slots[at] != 0; at = (at + 1) & table->mask) {
        uint32_t i = table->slots[at] - 1;

        if (table->hashes[i] == hash && label_set_equal(table->sets[i], set)) break;
    }
    return at;
}

uint32_t label_table_find(const LabelTable *table, LabelSet set) {
    uint32_t at = find_slot(table, set, label_set_hash(set));

    return table->slots[at] == 0 ? SYMBOL_NONE : table->slots[at] - 1;
}

uint32_t label_table_add(LabelTable *table, LabelSet set, bool copy) {
    uint64_t hash = label_set_hash(set);
    uint32_t at = find_slot(table, set, hash);

    if (table->slots[at] != 0) return table->slots[at] - 1;
    if (table->count == table->capacity && !grow_sets(table)) return SYMBOL_NONE;
    if (copy && set.count > 0) {
        Label *labels = arena_alloc(table->arena, set.count * sizeof *labels);

        if (labels == NULL) return SYMBOL_NONE;
        memcpy(labels, set.labels, set.count * sizeof *labels);
        set.labels = labels;
    }
    table->sets[table->count] = set;
    table->hashes[table->count] = hash;
    table->slots[at] = ++table->count;
    if (table->count * 2 > table->mask && !grow_slots(table)) return SYMBOL_NONE;
    return table->count - 1;
}
