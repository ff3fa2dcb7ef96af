/*
 * span_values_build.c: gathers what pages have, key by key.
 *
 * A value costs a look into a hash table once for each page that has it; one of the keys whose
 * values are too many costs nothing any more.
 */
#include "common/block/span_values.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/block/index.h"

/* Pages as they come, as varints: the first, then each less the one before less one. */
typedef struct PageList {
    uint8_t *bytes;
    size_t len, capacity;
    uint32_t count;
    uint32_t last;
} PageList;

typedef struct Value {
    Str text;
    uint64_t bits; /* of numbers; of texts the hash */
    PageList pages;
} Value;

typedef struct Entry {
    Str key;
    uint64_t hash;
    uint8_t place;
    uint8_t type;
    bool texts;
    bool overflowed; /* `values` are gone */
    PageList pages;
    uint64_t occurrences;
    size_t bytes; /* of values */
    Value *values;
    size_t value_count, value_capacity;
    uint32_t *slots; /* from hash to value + 1 */
    size_t slot_count;
    uint64_t *bounds; /* least and greatest of each page, as bits */
    size_t bound_count, bound_capacity;
    uint32_t bound_page; /* which the last ones are of */
    bool unbounded;      /* a page had none */
} Entry;

struct SpanValuesBuilder {
    Arena *arena;
    Entry **entries;
    size_t entry_count, entry_capacity;
    uint32_t *slots; /* from hash to entry + 1 */
    size_t slot_count;
    size_t bytes; /* of all values and their pages, those that are gone included */
    uint32_t page;
    bool failed;
};

AttributeType span_element_type(AttributeType type) {
    switch (type) {
    case ATTRIBUTE_STRINGS:
        return ATTRIBUTE_STRING;
    case ATTRIBUTE_BOOLS:
        return ATTRIBUTE_BOOL;
    case ATTRIBUTE_INTS:
        return ATTRIBUTE_INT;
    case ATTRIBUTE_DOUBLES:
        return ATTRIBUTE_DOUBLE;
    default:
        return type;
    }
}

SpanValuesBuilder *span_values_builder_new(Arena *arena) {
    SpanValuesBuilder *b = ARENA_NEW(arena, SpanValuesBuilder);

    if (b == NULL) return NULL;
    b->arena = arena;
    b->slot_count = 128;
    b->slots = ARENA_ARRAY(arena, uint32_t, b->slot_count);
    return b->slots == NULL ? NULL : b;
}

/* ---------- entries ---------- */

static void grow_entry_slots(SpanValuesBuilder *b) {
    size_t count = b->slot_count * 2;
    uint32_t *slots = ARENA_ARRAY(b->arena, uint32_t, count);

    if (slots == NULL) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < b->entry_count; i++) {
        size_t at = b->entries[i]->hash & (count - 1);

        while (slots[at] != 0) at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)i + 1;
    }
    b->slots = slots;
    b->slot_count = count;
}

static Entry *add_entry(SpanValuesBuilder *b, uint8_t place, uint8_t type, Str key, uint64_t hash,
                        size_t slot) {
    Entry *entry = ARENA_NEW(b->arena, Entry);
    Entry **grown =
        index_room(b->arena, b->entries, b->entry_count, 1, &b->entry_capacity, sizeof *grown);

    if (entry == NULL || grown == NULL) {
        b->failed = true;
        return NULL;
    }
    b->entries = grown;
    *entry = (Entry){
        .key = str_dup(b->arena, key),
        .hash = hash,
        .place = place,
        .type = type,
        .texts = type == ATTRIBUTE_STRING || type == ATTRIBUTE_BYTES,
        .overflowed = type == ATTRIBUTE_OTHER,
    };
    if (entry->key.ptr == NULL) {
        b->failed = true;
        return NULL;
    }
    b->entries[b->entry_count++] = entry;
    b->slots[slot] = (uint32_t)b->entry_count;
    return entry;
}

/* NULL: out of memory. */
static Entry *entry_of(SpanValuesBuilder *b, uint8_t place, AttributeType any_type, Str key) {
    uint8_t type = (uint8_t)span_element_type(any_type);
    uint64_t hash = hash_bytes_seeded(key.ptr, key.len, (uint64_t)place << 8 | type);
    size_t at;

    if (b->failed) return NULL;
    if (b->entry_count * 2 >= b->slot_count) grow_entry_slots(b);
    if (b->failed) return NULL;
    for (at = hash & (b->slot_count - 1); b->slots[at] != 0; at = (at + 1) & (b->slot_count - 1)) {
        Entry *entry = b->entries[b->slots[at] - 1];

        if (entry->hash == hash && entry->place == place && entry->type == type &&
            str_equal(entry->key, key))
            return entry;
    }
    return add_entry(b, place, type, key, hash, at);
}

/* ---------- pages ---------- */

/* Adds the page at hand. How many bytes more it takes. */
static size_t note_page(SpanValuesBuilder *b, PageList *list) {
    uint8_t varint[5];
    size_t len = 0;
    uint32_t gap;

    if (list->count > 0 && list->last == b->page) return 0;
    gap = list->count == 0 ? b->page : b->page - list->last - 1;
    while (gap >= 0x80) {
        varint[len++] = (uint8_t)(gap | 0x80);
        gap >>= 7;
    }
    varint[len++] = (uint8_t)gap;
    if (list->len + len > list->capacity) {
        uint8_t *grown = index_room(b->arena, list->bytes, list->len, len, &list->capacity, 1);

        if (grown == NULL) {
            b->failed = true;
            return 0;
        }
        list->bytes = grown;
    }
    memcpy(list->bytes + list->len, varint, len);
    list->len += len;
    list->last = b->page;
    list->count++;
    return len;
}

/* ---------- values ---------- */

static void overflow(Entry *entry) {
    entry->overflowed = true;
    entry->values = NULL;
    entry->value_count = 0;
    entry->slots = NULL;
}

static void grow_value_slots(SpanValuesBuilder *b, Entry *entry) {
    size_t count = MAX(entry->slot_count * 2, (size_t)16);
    uint32_t *slots = ARENA_ARRAY(b->arena, uint32_t, count);

    if (slots == NULL) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < entry->value_count; i++) {
        size_t at = entry->values[i].bits & (count - 1);

        if (!entry->texts) at = (entry->values[i].bits * 0x9e3779b97f4a7c15u >> 32) & (count - 1);
        while (slots[at] != 0) at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)i + 1;
    }
    entry->slots = slots;
    entry->slot_count = count;
    b->bytes += count * sizeof *slots;
}

static Value *add_value(SpanValuesBuilder *b, Entry *entry, Str text, uint64_t bits, size_t slot) {
    size_t bytes = entry->texts ? text.len : sizeof bits;
    Value *grown;

    if (entry->value_count == SPAN_VALUES_MAX || entry->bytes + bytes > SPAN_VALUE_BYTES_MAX ||
        (b->bytes > SPAN_INDEX_BYTES_MAX && entry->value_count >= SPAN_VALUES_SURE)) {
        overflow(entry);
        return NULL;
    }
    grown = index_room(b->arena, entry->values, entry->value_count, 1, &entry->value_capacity,
                       sizeof *grown);
    if (entry->texts) text = str_dup(b->arena, text);
    if (grown == NULL || (entry->texts && text.ptr == NULL)) {
        b->failed = true;
        return NULL;
    }
    entry->values = grown;
    entry->bytes += bytes;
    b->bytes += bytes + sizeof *grown;
    entry->slots[slot] = (uint32_t)entry->value_count + 1;
    grown = &entry->values[entry->value_count++];
    *grown = (Value){.text = text, .bits = bits};
    return grown;
}

/* The page at hand has the value. */
static void note_value(SpanValuesBuilder *b, Entry *entry, Str text, uint64_t bits) {
    Value *value = NULL;
    size_t at;

    if (entry->value_count * 2 >= entry->slot_count) grow_value_slots(b, entry);
    if (b->failed) return;
    at = entry->texts ? bits : bits * 0x9e3779b97f4a7c15u >> 32;
    for (at &= entry->slot_count - 1; entry->slots[at] != 0;
         at = (at + 1) & (entry->slot_count - 1)) {
        Value *known = &entry->values[entry->slots[at] - 1];

        if (known->bits != bits || (entry->texts && !str_equal(known->text, text))) continue;
        value = known;
        break;
    }
    if (value == NULL) value = add_value(b, entry, text, bits, at);
    if (value == NULL) return;
    b->bytes += note_page(b, &value->pages);
    if (b->bytes > 2 * (size_t)SPAN_INDEX_BYTES_MAX && entry->value_count > SPAN_VALUES_SURE)
        overflow(entry);
}

static void note_text(SpanValuesBuilder *b, Entry *entry, Str text) {
    if (!entry->overflowed && !b->failed) note_value(b, entry, text, hash_str(text));
}

static void note_texts(SpanValuesBuilder *b, Entry *entry, const Str *texts, size_t count) {
    for (size_t i = 0; i < count && !entry->overflowed && !b->failed; i++)
        note_value(b, entry, texts[i], hash_str(texts[i]));
}

/* What is in the page at hand, whatever else was before. */
static void note_bounds(SpanValuesBuilder *b, Entry *entry, uint64_t least, uint64_t greatest) {
    uint64_t *grown;

    if (entry->bound_count > 0 && entry->bound_page == b->page) {
        uint64_t *last = &entry->bounds[entry->bound_count - 2];

        if (entry->type == ATTRIBUTE_DOUBLE) {
            double old[2], now[2];

            memcpy(old, last, sizeof old);
            memcpy(&now[0], &least, sizeof now[0]);
            memcpy(&now[1], &greatest, sizeof now[1]);
            if (now[0] < old[0]) last[0] = least;
            if (now[1] > old[1]) last[1] = greatest;
            return;
        }
        last[0] = (uint64_t)MIN((int64_t)last[0], (int64_t)least);
        last[1] = (uint64_t)MAX((int64_t)last[1], (int64_t)greatest);
        return;
    }
    grown = index_room(b->arena, entry->bounds, entry->bound_count, 2, &entry->bound_capacity,
                       sizeof *grown);
    if (grown == NULL) {
        b->failed = true;
        return;
    }
    entry->bounds = grown;
    entry->bounds[entry->bound_count++] = least;
    entry->bounds[entry->bound_count++] = greatest;
    entry->bound_page = b->page;
    if (entry->bound_count != 2 * (size_t)entry->pages.count) entry->unbounded = true;
}

static void note_integers(SpanValuesBuilder *b, Entry *entry, const int64_t *v, size_t count) {
    int64_t least = INT64_MAX, greatest = INT64_MIN;

    if (count == 0) return;
    for (size_t i = 0; i < count; i++) {
        least = MIN(least, v[i]);
        greatest = MAX(greatest, v[i]);
    }
    note_bounds(b, entry, (uint64_t)least, (uint64_t)greatest);
    for (size_t i = 0; i < count && !entry->overflowed && !b->failed; i++) {
        if (i == 0 || v[i] != v[i - 1]) note_value(b, entry, (Str){0}, (uint64_t)v[i]);
    }
}

/* One that is no number is in no range. */
static void note_numbers(SpanValuesBuilder *b, Entry *entry, const double *v, size_t count) {
    double least = (double)INFINITY, greatest = -(double)INFINITY;
    uint64_t bits[2];

    if (count == 0) return;
    for (size_t i = 0; i < count; i++) {
        if (v[i] < least) least = v[i];
        if (v[i] > greatest) greatest = v[i];
    }
    memcpy(&bits[0], &least, sizeof least);
    memcpy(&bits[1], &greatest, sizeof greatest);
    note_bounds(b, entry, bits[0], bits[1]);
    for (size_t i = 0; i < count && !entry->overflowed && !b->failed; i++) {
        memcpy(&bits[0], &v[i], sizeof v[i]);
        note_value(b, entry, (Str){0}, bits[0]);
    }
}

static void note_truths(SpanValuesBuilder *b, Entry *entry, const uint8_t *v, size_t count) {
    bool seen[2] = {false};

    for (size_t i = 0; i < count; i++) seen[v[i] != 0] = true;
    for (int64_t i = 0; i < 2; i++) {
        if (seen[i]) note_integers(b, entry, &i, 1);
    }
}

/* ---------- a page ---------- */

static Entry *in_page(SpanValuesBuilder *b, uint8_t place, AttributeType type, Str key,
                      uint64_t occurrences) {
    Entry *entry = entry_of(b, place, type, key);

    if (entry == NULL) return NULL;
    note_page(b, &entry->pages);
    entry->occurrences += occurrences;
    return entry;
}

static void add_column(SpanValuesBuilder *b, const AttributeColumn *column) {
    uint64_t count = column->starts == NULL ? column->count : column->starts[column->count];
    Entry *entry;

    if (column->count == 0) return;
    entry = in_page(b, column->scope, (AttributeType)column->type, column->key, count);
    if (entry == NULL) return;
    switch ((AttributeType)entry->type) {
    case ATTRIBUTE_STRING:
    case ATTRIBUTE_BYTES:
        note_texts(b, entry, column->texts.dictionary, column->texts.distinct);
        break;
    case ATTRIBUTE_BOOL:
        note_truths(b, entry, column->truths, count);
        break;
    case ATTRIBUTE_INT:
        note_integers(b, entry, column->integers, count);
        break;
    case ATTRIBUTE_DOUBLE:
        note_numbers(b, entry, column->numbers, count);
        break;
    default:
        break;
    }
}

static void add_attribute(SpanValuesBuilder *b, uint8_t place, const Attribute *a, uint64_t spans) {
    Entry *entry = in_page(b, place, (AttributeType)a->type, a->key, spans);
    uint8_t truth;

    if (entry == NULL) return;
    switch ((AttributeType)a->type) {
    case ATTRIBUTE_STRING:
    case ATTRIBUTE_BYTES:
        note_text(b, entry, a->text);
        break;
    case ATTRIBUTE_BOOL:
        truth = a->truth;
        note_truths(b, entry, &truth, 1);
        break;
    case ATTRIBUTE_INT:
        note_integers(b, entry, &a->integer, 1);
        break;
    case ATTRIBUTE_DOUBLE:
        note_numbers(b, entry, &a->number, 1);
        break;
    case ATTRIBUTE_STRINGS:
        note_texts(b, entry, a->texts, a->count);
        break;
    case ATTRIBUTE_BOOLS:
        for (uint32_t i = 0; i < a->count; i++) {
            truth = a->truths[i];
            note_truths(b, entry, &truth, 1);
        }
        break;
    case ATTRIBUTE_INTS:
        note_integers(b, entry, a->integers, a->count);
        break;
    case ATTRIBUTE_DOUBLES:
        note_numbers(b, entry, a->numbers, a->count);
        break;
    default:
        break;
    }
}

static void add_attributes(SpanValuesBuilder *b, uint8_t place, const Attributes *attributes,
                           uint64_t spans) {
    for (uint32_t i = 0; i < attributes->count; i++)
        add_attribute(b, place, &attributes->items[i], spans);
}

static void add_intrinsic_text(SpanValuesBuilder *b, SpanIntrinsic intrinsic, Str text,
                               uint64_t spans) {
    Entry *entry =
        in_page(b, (uint8_t)(SPAN_PLACE_INTRINSIC + intrinsic), ATTRIBUTE_STRING, STR(""), spans);

    if (entry != NULL) note_text(b, entry, text);
}

static void add_origins(SpanValuesBuilder *b, const SpanTable *table) {
    uint64_t *spans = ARENA_ARRAY(b->arena, uint64_t, (size_t)table->origin_count + 1);

    if (spans == NULL) {
        b->failed = true;
        return;
    }
    for (uint32_t i = 0; i < table->row_count; i++) spans[table->origin_of[i]]++;
    for (uint32_t i = 0; i < table->origin_count; i++) {
        const SpanOrigin *origin = table->origins[i];

        add_attributes(b, SCOPE_RESOURCE, &origin->resource, spans[i]);
        add_attributes(b, SCOPE_INSTRUMENTATION, &origin->scope, spans[i]);
        add_intrinsic_text(b, INTRINSIC_SERVICE, origin->service, spans[i]);
        add_intrinsic_text(b, INTRINSIC_SCOPE_NAME, origin->scope_name, spans[i]);
        add_intrinsic_text(b, INTRINSIC_SCOPE_VERSION, origin->scope_version, spans[i]);
    }
}

static void add_texts(SpanValuesBuilder *b, SpanIntrinsic intrinsic, const TextColumn *texts,
                      uint64_t count) {
    Entry *entry;

    if (count == 0) return;
    entry =
        in_page(b, (uint8_t)(SPAN_PLACE_INTRINSIC + intrinsic), ATTRIBUTE_STRING, STR(""), count);
    if (entry != NULL) note_texts(b, entry, texts->dictionary, texts->distinct);
}

static void add_codes(SpanValuesBuilder *b, SpanIntrinsic intrinsic, const uint8_t *codes,
                      uint32_t count) {
    Entry *entry =
        in_page(b, (uint8_t)(SPAN_PLACE_INTRINSIC + intrinsic), ATTRIBUTE_INT, STR(""), count);
    bool seen[UINT8_MAX + 1] = {false};

    if (entry == NULL) return;
    for (uint32_t i = 0; i < count; i++) seen[codes[i]] = true;
    for (int64_t i = 0; i <= UINT8_MAX; i++) {
        if (seen[i]) note_integers(b, entry, &i, 1);
    }
}

static void add_durations(SpanValuesBuilder *b, const SpanTable *table) {
    Entry *entry = in_page(b, SPAN_PLACE_INTRINSIC + INTRINSIC_DURATION, ATTRIBUTE_INT, STR(""),
                           table->row_count);

    if (entry == NULL) return;
    if (!entry->overflowed) overflow(entry); /* their values are no use to anybody */
    note_integers(b, entry, table->durations_ns, table->row_count);
}

bool span_values_add(SpanValuesBuilder *b, const SpanTable *table) {
    if (table->row_count > 0) {
        add_texts(b, INTRINSIC_NAME, &table->names, table->row_count);
        add_texts(b, INTRINSIC_STATUS_MESSAGE, &table->messages, table->row_count);
        add_texts(b, INTRINSIC_EVENT_NAME, &table->event_names, table->event_count);
        add_codes(b, INTRINSIC_KIND, table->kinds, table->row_count);
        add_codes(b, INTRINSIC_STATUS, table->statuses, table->row_count);
        add_durations(b, table);
        add_origins(b, table);
        for (uint32_t i = 0; i < table->attribute_count; i++) add_column(b, &table->attributes[i]);
    }
    b->page++;
    return !b->failed;
}

/* ---------- from another part ---------- */

static void copy_entry(SpanValuesBuilder *b, const SpanEntry *from, uint32_t page_count,
                       uint32_t page, uint32_t nth) {
    Entry *entry = in_page(b, from->place, (AttributeType)from->type, from->key,
                           from->occurrences / MAX(page_count, 1u));

    if (entry == NULL) return;
    if (from->bounded)
        note_bounds(b, entry, from->bounds[2 * (size_t)nth], from->bounds[2 * (size_t)nth + 1]);
    if (!from->complete && !entry->overflowed) overflow(entry);
    for (uint32_t i = 0; i < from->value_count; i++) {
        if (!page_set_has(from->value_pages[i], page)) continue;
        if (entry->texts)
            note_text(b, entry, from->texts[i]);
        else if (entry->type == ATTRIBUTE_DOUBLE)
            note_numbers(b, entry, &from->numbers[i], 1);
        else
            note_integers(b, entry, &from->integers[i], 1);
    }
}

bool span_values_copy(SpanValuesBuilder *b, const SpanValues *from, uint32_t page) {
    for (uint32_t i = 0; i < from->count; i++) {
        const SpanEntry *entry = &from->entries[i];
        uint32_t count, nth;

        if (!page_set_has(entry->pages, page)) continue;
        page_set_rank(entry->pages, from->page_count, page, &count, &nth);
        copy_entry(b, entry, count, page, nth);
    }
    b->page++;
    return !b->failed;
}

/* ---------- writing ---------- */

static int compare_entries(const void *a, const void *b) {
    const Entry *x = *(Entry *const *)a, *y = *(Entry *const *)b;
    int order = (x->place > y->place) - (x->place < y->place);

    if (order == 0) order = str_compare(x->key, y->key);
    return order != 0 ? order : (x->type > y->type) - (x->type < y->type);
}

static int compare_texts(const void *a, const void *b) {
    return str_compare(((const Value *)a)->text, ((const Value *)b)->text);
}

static int compare_integers(const void *a, const void *b) {
    int64_t x = (int64_t)((const Value *)a)->bits, y = (int64_t)((const Value *)b)->bits;

    return (x > y) - (x < y);
}

static int compare_bits(const void *a, const void *b) {
    uint64_t x = ((const Value *)a)->bits, y = ((const Value *)b)->bits;

    return (x > y) - (x < y);
}

/* As bits where that is shorter. */
static void put_pages(const PageList *list, uint32_t all, uint32_t page_count, Buf *out) {
    size_t bitmap = ((size_t)page_count + 7) / 8;

    if (list->count == all) {
        buf_append_byte(out, SPAN_PAGES_ALL);
    } else if (list->len <= bitmap) {
        buf_append_byte(out, SPAN_PAGES_LIST);
        buf_append_varint(out, list->count);
        buf_append(out, list->bytes, list->len);
    } else {
        Reader r = {list->bytes, list->bytes + list->len, false};
        uint64_t page = 0;
        char *bits;

        buf_append_byte(out, SPAN_PAGES_BITS);
        bits = buf_reserve(out, bitmap);
        if (bits == NULL) return;
        memset(bits, 0, bitmap);
        for (uint32_t i = 0; i < list->count; i++) {
            page += reader_varint(&r) + (i > 0);
            bits[page / 8] = (char)(bits[page / 8] | 1 << page % 8);
        }
        buf_added(out, bitmap);
    }
}

static void put_values(const Entry *entry, uint32_t page_count, Buf *out) {
    int64_t last = 0;

    if (entry->value_count > 1)
        qsort(entry->values, entry->value_count, sizeof *entry->values,
              entry->texts                      ? compare_texts
              : entry->type == ATTRIBUTE_DOUBLE ? compare_bits
                                                : compare_integers);
    buf_append_varint(out, entry->value_count);
    for (size_t i = 0; i < entry->value_count; i++) {
        const Value *value = &entry->values[i];

        if (entry->texts) {
            buf_append_varint(out, value->text.len);
            buf_append_str(out, value->text);
        } else if (entry->type == ATTRIBUTE_DOUBLE) {
            buf_append_u64(out, value->bits);
        } else {
            buf_append_zigzag(out, (int64_t)(value->bits - (uint64_t)last));
            last = (int64_t)value->bits;
        }
    }
    for (size_t i = 0; i < entry->value_count; i++)
        put_pages(&entry->values[i].pages, entry->pages.count, page_count, out);
}

static void put_bounds(const Entry *entry, Buf *out) {
    for (size_t i = 0; i < entry->bound_count; i += 2) {
        if (entry->type == ATTRIBUTE_DOUBLE) {
            buf_append_u64(out, entry->bounds[i]);
            buf_append_u64(out, entry->bounds[i + 1]);
        } else {
            buf_append_zigzag(out, (int64_t)entry->bounds[i]);
            buf_append_varint(out, entry->bounds[i + 1] - entry->bounds[i]);
        }
    }
}

/* Values that hardly ever come twice would be the pages all over again. */
static bool worth_keeping(const Entry *entry) {
    return !entry->overflowed && (entry->value_count <= SPAN_VALUES_SURE ||
                                  entry->value_count * SPAN_VALUE_TIMES_MIN <= entry->occurrences);
}

bool span_values_build(const SpanValuesBuilder *b, Buf *out) {
    if (b->entry_count > 1) qsort(b->entries, b->entry_count, sizeof(Entry *), compare_entries);
    buf_append_varint(out, b->entry_count);
    for (size_t i = 0; i < b->entry_count; i++) {
        const Entry *entry = b->entries[i];
        bool complete = worth_keeping(entry);
        bool bounded = !complete && !entry->unbounded && entry->bound_count > 0 &&
                       entry->bound_count == 2 * (size_t)entry->pages.count;

        buf_append_byte(out, (char)entry->place);
        buf_append_byte(out, (char)entry->type);
        buf_append_byte(out, (char)(complete ? SPAN_ENTRY_COMPLETE : 0) |
                                 (char)(bounded ? SPAN_ENTRY_BOUNDED : 0));
        buf_append_varint(out, entry->key.len);
        buf_append_str(out, entry->key);
        buf_append_varint(out, entry->occurrences);
        put_pages(&entry->pages, b->page, b->page, out);
        if (complete) put_values(entry, b->page, out);
        if (bounded) put_bounds(entry, out);
    }
    return !b->failed && !buf_failed(out);
}
