/*
 * dictionary.c: label names and values of one tenant in one object.
 *
 *     varint  names, pairs, bytes of all values
 *     then for each name: its bytes behind a varint length, varint number of values
 *     then for each value of each name: varint bytes shared with the value before (0 for the first
 *     of a name), varint bytes of its own
 *     then the values' own bytes
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/reader.h"
#include "common/block/index.h"

void *index_room(Arena *arena, void *array, size_t count, size_t more, size_t *capacity,
                 size_t element) {
    size_t wanted = MAX(*capacity * 2, (size_t)16);

    if (more <= *capacity - count) return array;
    wanted = MAX(wanted, count + more);
    array = arena_grow(arena, array, *capacity * element, wanted * element);
    if (array != NULL) *capacity = wanted;
    return array;
}

/* ---------- building ---------- */

enum { SLOTS_MIN = 1 << 10 };

/* Open addressing from hash to number + 1. */
typedef struct Table {
    uint32_t *slots;
    size_t slot_count; /* a power of two */
    size_t used;
} Table;

typedef struct BuiltName {
    Str name;
    uint32_t place; /* in order of names, once built */
    uint32_t values;
} BuiltName;

typedef struct BuiltPair {
    Str value;
    uint64_t hash;
    uint32_t name; /* number */
} BuiltPair;

struct DictionaryBuilder {
    Arena *arena;
    BuiltName *names;
    size_t name_count, name_capacity;
    BuiltPair *pairs;
    size_t pair_count, pair_capacity;
    Table by_name;
    Table by_pair;
    uint64_t seed; /* so that no tenant can prepare labels that collide */
};

static bool table_init(Table *table, Arena *arena) {
    table->slots = ARENA_ARRAY(arena, uint32_t, SLOTS_MIN);
    table->slot_count = SLOTS_MIN;
    return table->slots != NULL;
}

static uint64_t name_hash(const DictionaryBuilder *b, Str name) {
    return hash_bytes_seeded(name.ptr, name.len, b->seed);
}

static uint64_t pair_hash(const DictionaryBuilder *b, uint32_t name, Str value) {
    return hash_bytes_seeded(value.ptr, value.len, b->seed ^ name);
}

DictionaryBuilder *dictionary_builder_new(Arena *arena) {
    DictionaryBuilder *b = ARENA_NEW(arena, DictionaryBuilder);

    if (b == NULL || !table_init(&b->by_name, arena) || !table_init(&b->by_pair, arena))
        return NULL;
    b->arena = arena;
    b->seed = random_u64();
    return b;
}

static void table_put(Table *table, uint64_t hash, uint32_t number) {
    size_t mask = table->slot_count - 1, i = hash & mask;

    while (table->slots[i] != 0) i = (i + 1) & mask;
    table->slots[i] = number + 1;
    table->used++;
}

/* Doubles the table of pairs when it is half full. */
static bool pairs_make_room(DictionaryBuilder *b) {
    Table grown = {.slot_count = b->by_pair.slot_count * 2};

    if (b->by_pair.used * 2 < b->by_pair.slot_count) return true;
    grown.slots = ARENA_ARRAY(b->arena, uint32_t, grown.slot_count);
    if (grown.slots == NULL) return false;
    for (size_t i = 0; i < b->pair_count; i++) table_put(&grown, b->pairs[i].hash, (uint32_t)i);
    b->by_pair = grown;
    return true;
}

static bool names_make_room(DictionaryBuilder *b) {
    Table grown = {.slot_count = b->by_name.slot_count * 2};

    if (b->by_name.used * 2 < b->by_name.slot_count) return true;
    grown.slots = ARENA_ARRAY(b->arena, uint32_t, grown.slot_count);
    if (grown.slots == NULL) return false;
    for (size_t i = 0; i < b->name_count; i++)
        table_put(&grown, name_hash(b, b->names[i].name), (uint32_t)i);
    b->by_name = grown;
    return true;
}

/* Number of the name, new or known; UINT32_MAX: out of memory. */
static uint32_t add_name(DictionaryBuilder *b, Str name) {
    uint64_t hash = name_hash(b, name);
    size_t mask = b->by_name.slot_count - 1;
    BuiltName *grown;

    for (size_t i = hash & mask; b->by_name.slots[i] != 0; i = (i + 1) & mask) {
        uint32_t number = b->by_name.slots[i] - 1;

        if (str_equal(b->names[number].name, name)) return number;
    }
    grown = index_room(b->arena, b->names, b->name_count, 1, &b->name_capacity, sizeof *grown);
    if (grown == NULL || !names_make_room(b)) return UINT32_MAX;
    b->names = grown;
    grown[b->name_count] = (BuiltName){.name = str_dup(b->arena, name)};
    if (grown[b->name_count].name.ptr == NULL) return UINT32_MAX;
    table_put(&b->by_name, hash, (uint32_t)b->name_count);
    return (uint32_t)b->name_count++;
}

uint32_t dictionary_add(DictionaryBuilder *b, Str name, Str value) {
    uint32_t name_number = add_name(b, name);
    uint64_t hash = pair_hash(b, name_number, value);
    size_t mask = b->by_pair.slot_count - 1;
    BuiltPair *grown;

    if (name_number == UINT32_MAX) return UINT32_MAX;
    for (size_t i = hash & mask; b->by_pair.slots[i] != 0; i = (i + 1) & mask) {
        const BuiltPair *pair = &b->pairs[b->by_pair.slots[i] - 1];

        if (pair->hash == hash && pair->name == name_number && str_equal(pair->value, value))
            return b->by_pair.slots[i] - 1;
    }
    grown = index_room(b->arena, b->pairs, b->pair_count, 1, &b->pair_capacity, sizeof *grown);
    if (grown == NULL || !pairs_make_room(b)) return UINT32_MAX;
    b->pairs = grown;
    grown[b->pair_count] = (BuiltPair){str_dup(b->arena, value), hash, name_number};
    if (grown[b->pair_count].value.ptr == NULL) return UINT32_MAX;
    table_put(&b->by_pair, hash, (uint32_t)b->pair_count);
    b->names[name_number].values++;
    return (uint32_t)b->pair_count++;
}

LabelPair dictionary_builder_pair(const DictionaryBuilder *b, uint32_t number) {
    const BuiltPair *pair = &b->pairs[number];

    return (LabelPair){b->names[pair->name].name, pair->value};
}

static int compare_names(const void *a, const void *b) {
    return str_compare((*(BuiltName *const *)a)->name, (*(BuiltName *const *)b)->name);
}

static int compare_values(const void *a, const void *b) {
    return str_compare((*(BuiltPair *const *)a)->value, (*(BuiltPair *const *)b)->value);
}

/* Pairs grouped by place of their names, sorted by value within. */
static BuiltPair **sort_pairs(DictionaryBuilder *b, BuiltName *const *names) {
    BuiltPair **sorted = ARENA_ARRAY(b->arena, BuiltPair *, b->pair_count + 1);
    uint32_t *next = ARENA_ARRAY(b->arena, uint32_t, b->name_count + 1);
    uint32_t start = 0;

    if (sorted == NULL || next == NULL) return NULL;
    for (size_t n = 0; n < b->name_count; n++) {
        names[n]->place = (uint32_t)n;
        next[n] = start;
        start += names[n]->values;
    }
    for (size_t i = 0; i < b->pair_count; i++)
        sorted[next[b->names[b->pairs[i].name].place]++] = &b->pairs[i];
    start = 0;
    for (size_t n = 0; n < b->name_count; n++) {
        qsort(sorted + start, names[n]->values, sizeof(BuiltPair *), compare_values);
        start += names[n]->values;
    }
    return sorted;
}

static size_t shared_bytes(Str a, Str b) {
    size_t n = MIN(a.len, b.len), i = 0;

    while (i < n && a.ptr[i] == b.ptr[i]) i++;
    return i;
}

static void put_values(const DictionaryBuilder *b, BuiltName *const *names,
                       BuiltPair *const *sorted, Buf *out) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    size_t at = 0;

    buf_init(&bytes, 0);
    for (size_t n = 0; n < b->name_count; n++) {
        for (uint32_t v = 0; v < names[n]->values; v++, at++) {
            Str value = sorted[at]->value;
            size_t shared = v == 0 ? 0 : shared_bytes(sorted[at - 1]->value, value);

            buf_append_varint(out, shared);
            buf_append_varint(out, value.len - shared);
            buf_append_str(&bytes, str_from(value, shared));
        }
    }
    buf_append_str(out, buf_str(&bytes));
    if (buf_failed(&bytes)) out->failed = true;
}

ErrCode dictionary_build(DictionaryBuilder *b, Buf *out, DictionaryLayout *layout, Error *err) {
    BuiltName **names = ARENA_ARRAY(b->arena, BuiltName *, b->name_count + 1);
    PairPlace *places = ARENA_ARRAY(b->arena, PairPlace, b->pair_count + 1);
    uint32_t *counts = ARENA_ARRAY(b->arena, uint32_t, b->name_count + 1);
    BuiltPair **sorted;
    uint64_t text = 0;
    size_t at = 0;

    if (names == NULL || places == NULL || counts == NULL)
        return error_set(err, ERR_LIMIT, "no memory for a dictionary");
    for (size_t n = 0; n < b->name_count; n++) names[n] = &b->names[n];
    qsort(names, b->name_count, sizeof(BuiltName *), compare_names);
    sorted = sort_pairs(b, names);
    if (sorted == NULL) return error_set(err, ERR_LIMIT, "no memory for a dictionary");
    layout->metric_name = (uint32_t)b->name_count;
    for (size_t n = 0; n < b->name_count; n++) {
        if (str_equal(names[n]->name, LABEL_NAME)) layout->metric_name = (uint32_t)n;
        counts[n] = names[n]->values;
        for (uint32_t v = 0; v < names[n]->values; v++, at++) {
            places[sorted[at] - b->pairs] = (PairPlace){(uint32_t)n, v + 1};
            text += sorted[at]->value.len;
        }
    }
    buf_append_varint(out, b->name_count);
    buf_append_varint(out, b->pair_count);
    buf_append_varint(out, text);
    for (size_t n = 0; n < b->name_count; n++) {
        buf_append_varint(out, names[n]->name.len);
        buf_append_str(out, names[n]->name);
        buf_append_varint(out, names[n]->values);
    }
    put_values(b, names, sorted, out);
    layout->places = places;
    layout->value_counts = counts;
    layout->name_count = (uint32_t)b->name_count;
    return buf_failed(out) ? error_set(err, ERR_LIMIT, "no memory for a dictionary") : ERR_OK;
}

/* ---------- decoding ---------- */

typedef struct DictionaryHead {
    uint64_t names;
    uint64_t pairs;
    uint64_t text; /* bytes of all values */
} DictionaryHead;

static bool take_head(Reader *r, DictionaryHead *head) {
    head->names = reader_varint(r);
    head->pairs = reader_varint(r);
    head->text = reader_varint(r);
    /* A name or a pair takes two bytes at least. */
    return !r->failed && head->names <= reader_left(r) / 2 && head->pairs <= reader_left(r) / 2 &&
           head->names <= UINT32_MAX / 2 && head->pairs <= UINT32_MAX / 2 &&
           head->text <= SIZE_MAX / 4;
}

size_t dictionary_decoded_bytes(Str raw) {
    Reader r = reader_of(raw);
    DictionaryHead head;

    if (!take_head(&r, &head)) return 0;
    return (size_t)head.text + raw.len + (size_t)head.pairs * sizeof(LabelPair) +
           (size_t)head.names * (sizeof(Str) + sizeof(uint32_t)) + KIB(8);
}

static bool take_names(Reader *r, const DictionaryHead *head, Str *names, uint32_t *first,
                       char *text) {
    uint64_t total = 0;

    for (uint64_t n = 0; n < head->names; n++) {
        Str name = reader_prefixed(r);
        uint64_t values = reader_varint(r);

        if (r->failed || values > head->pairs - total) return false;
        memcpy(text, name.ptr, name.len);
        names[n] = (Str){text, name.len};
        text += name.len;
        if (n > 0 && str_compare(names[n - 1], names[n]) >= 0) return false;
        first[n] = (uint32_t)total;
        total += values;
    }
    first[head->names] = (uint32_t)total;
    return total == head->pairs;
}

/* Finds where the lengths end and the values' own bytes begin. */
static bool skip_lengths(Reader *r, const DictionaryHead *head, Reader *bytes) {
    uint64_t own_total = 0;

    *bytes = *r;
    for (uint64_t i = 0; i < head->pairs; i++) {
        (void)reader_varint(bytes);
        own_total += reader_varint(bytes);
        if (bytes->failed || own_total > reader_left(r)) return false;
    }
    return own_total == reader_left(bytes);
}

static bool take_values(Reader *lengths, Reader *bytes, const DictionaryHead *head,
                        const Str *names, const uint32_t *first, char *text, LabelPair *pairs) {
    uint64_t left = head->text;

    for (uint64_t n = 0; n < head->names; n++) {
        for (uint32_t i = first[n]; i < first[n + 1]; i++) {
            uint64_t shared = reader_varint(lengths), own = reader_varint(lengths);
            Str last = i == first[n] ? (Str){"", 0} : pairs[i - 1].value;
            Str value = {text, (size_t)(shared + own)};

            if (shared > last.len || own > reader_left(bytes) || shared + own > left) return false;
            memcpy(text, last.ptr, (size_t)shared);
            memcpy(text + shared, reader_bytes(bytes, (size_t)own).ptr, (size_t)own);
            if (i > first[n] && str_compare(last, value) >= 0) return false;
            pairs[i] = (LabelPair){names[n], value};
            text += shared + own;
            left -= shared + own;
        }
    }
    return left == 0;
}

ErrCode dictionary_decode(Str raw, Arena *arena, Dictionary *out, Error *err) {
    Reader r = reader_of(raw), bytes;
    DictionaryHead head;
    LabelPair *pairs;
    uint32_t *first;
    char *text;
    Str *names;

    if (!take_head(&r, &head)) return error_set(err, ERR_CORRUPT, "dictionary: bad head");
    names = ARENA_ARRAY(arena, Str, head.names + 1);
    first = ARENA_ARRAY(arena, uint32_t, head.names + 1);
    pairs = ARENA_ARRAY(arena, LabelPair, head.pairs + 1);
    /* Names lie in `raw` and are no longer than it. */
    text = arena_alloc_bytes(arena, raw.len + (size_t)head.text + 1);
    if (names == NULL || first == NULL || pairs == NULL || text == NULL)
        return error_set(err, ERR_LIMIT, "no memory for a dictionary of %llu labels",
                         (unsigned long long)head.pairs);
    if (!take_names(&r, &head, names, first, text) || !skip_lengths(&r, &head, &bytes) ||
        !take_values(&r, &bytes, &head, names, first, text + raw.len, pairs))
        return error_set(err, ERR_CORRUPT, "dictionary: bad entry");
    *out = (Dictionary){
        .names = names,
        .first = first,
        .pairs = pairs,
        .name_count = (uint32_t)head.names,
        .pair_count = (uint32_t)head.pairs,
    };
    out->metric_name = dictionary_find_name(out, LABEL_NAME);
    return ERR_OK;
}

uint32_t dictionary_find_name(const Dictionary *d, Str name) {
    uint32_t low = 0, high = d->name_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = str_compare(d->names[middle], name);

        if (order == 0) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return d->name_count;
}

uint32_t dictionary_find_value(const Dictionary *d, uint32_t name, Str value) {
    uint32_t low = d->first[name], high = d->first[name + 1];

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = str_compare(d->pairs[middle].value, value);

        if (order == 0) return middle - d->first[name] + 1;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}
