/*
 * span_attributes.c: attributes into columns. First which columns there are and how large they get,
 * then what is in them: so nothing grows while it is filled.
 */
#include <stdlib.h>
#include <string.h>

#include "common/block/span_build.h"
#include "common/block/span_text.h"

enum { ROOM_FIRST = 32 };

/* A key of a scope, with the drafts of its types. */
typedef struct AttributeName {
    Str key;
    uint32_t hash;
    uint32_t owner; /* that had it last */
    uint32_t next;  /* the name that came after this one the last time */
    uint32_t draft_of[ATTRIBUTE_TYPES];
    uint8_t scope;
} AttributeName;

void attribute_drafts_init(AttributeDrafts *drafts, Arena *scratch, uint64_t seed) {
    *drafts = (AttributeDrafts){.scratch = scratch, .seed = seed, .last = SPAN_NONE};
}

/* ---------- names ---------- */

static bool is_name(const AttributeName *name, AttributeScope scope, Str key) {
    return name->scope == scope && text_equal(name->key, key);
}

static bool names_grow(AttributeDrafts *d) {
    uint32_t room = d->name_capacity == 0 ? ROOM_FIRST : d->name_capacity * 2, mask = room * 2 - 1;
    uint32_t *slots;

    if (d->name_capacity > UINT32_MAX / 8) return false;
    slots = ARENA_ARRAY(d->scratch, uint32_t, mask + (size_t)1);
    d->names = arena_grow(d->scratch, d->names, d->name_capacity * sizeof *d->names,
                          room * sizeof *d->names);
    if (slots == NULL || d->names == NULL) return false;
    for (uint32_t i = 0; i < d->name_count; i++) {
        uint32_t slot = d->names[i].hash & mask;

        while (slots[slot] != 0) slot = (slot + 1) & mask;
        slots[slot] = i + 1;
    }
    d->slots = slots;
    d->slot_count = mask + 1;
    d->name_capacity = room;
    return true;
}

static uint32_t find_name(AttributeDrafts *d, AttributeScope scope, Str key) {
    uint32_t hash = (uint32_t)text_hash(key, d->seed + (uint64_t)scope), slot;
    AttributeName *name;

    if (d->name_count == d->name_capacity && !names_grow(d)) {
        d->failed = true;
        return SPAN_NONE;
    }
    slot = hash & (d->slot_count - 1);
    while (d->slots[slot] != 0) {
        uint32_t n = d->slots[slot] - 1;

        if (d->names[n].hash == hash && is_name(&d->names[n], scope, key)) return n;
        slot = (slot + 1) & (d->slot_count - 1);
    }
    name = &d->names[d->name_count];
    *name = (AttributeName){
        .key = key, .hash = hash, .owner = SPAN_NONE, .next = SPAN_NONE, .scope = (uint8_t)scope};
    memset(name->draft_of, 0xff, sizeof name->draft_of);
    d->slots[slot] = d->name_count + 1;
    return d->name_count++;
}

/* Spans have the same keys in the same order as the ones before, so who followed is guessed. */
static uint32_t name_of(AttributeDrafts *d, AttributeScope scope, Str key) {
    uint32_t guess = d->last == SPAN_NONE ? SPAN_NONE : d->names[d->last].next, name;

    if (guess != SPAN_NONE && is_name(&d->names[guess], scope, key)) {
        d->last = guess;
        return guess;
    }
    name = find_name(d, scope, key);
    if (name != SPAN_NONE && d->last != SPAN_NONE) d->names[d->last].next = name;
    d->last = name;
    return name;
}

/* ---------- drafts ---------- */

static uint32_t draft_of(AttributeDrafts *d, AttributeName *name, uint8_t type) {
    uint32_t *draft;

    assert(type > 0 && type < ATTRIBUTE_TYPES);
    draft = &name->draft_of[type];
    if (*draft != SPAN_NONE) return *draft;
    if (d->count == d->capacity) {
        uint32_t room = d->capacity == 0 ? ROOM_FIRST : d->capacity * 2;

        d->items = arena_grow(d->scratch, d->items, d->capacity * sizeof *d->items,
                              room * sizeof *d->items);
        if (d->items == NULL || d->capacity > UINT32_MAX / 4) {
            d->failed = true;
            return SPAN_NONE;
        }
        d->capacity = room;
    }
    d->items[d->count] = (AttributeDraft){.key = name->key, .scope = name->scope, .type = type};
    *draft = d->count;
    return d->count++;
}

uint32_t attribute_drafts_add(AttributeDrafts *d, AttributeScope scope, const Attribute *attribute,
                              uint32_t owner) {
    uint32_t name = d->failed ? SPAN_NONE : name_of(d, scope, attribute->key), draft;

    if (name == SPAN_NONE || d->names[name].owner == owner) return SPAN_NONE;
    d->names[name].owner = owner;
    draft = draft_of(d, &d->names[name], attribute->type);
    if (draft == SPAN_NONE) return SPAN_NONE;
    d->items[draft].count++;
    if (attribute_is_array(attribute->type)) d->items[draft].elements += attribute->count;
    return draft;
}

uint32_t attribute_drafts_column(AttributeDrafts *d, AttributeScope scope, Str key, uint8_t type) {
    uint32_t name = d->failed ? SPAN_NONE : find_name(d, scope, key);

    return name == SPAN_NONE ? SPAN_NONE : draft_of(d, &d->names[name], type);
}

/* ---------- columns ---------- */

static int by_scope_key_type(const void *x, const void *y) {
    const AttributeDraft *a = *(const AttributeDraft *const *)x;
    const AttributeDraft *b = *(const AttributeDraft *const *)y;
    int order = (int)a->scope - (int)b->scope;

    if (order == 0) order = str_compare(a->key, b->key);
    return order != 0 ? order : (int)a->type - (int)b->type;
}

static bool fill_init(AttributeFill *fill, const AttributeDraft *draft, uint32_t owners,
                      Arena *arena) {
    bool is_array = attribute_is_array(draft->type);
    size_t elements = is_array ? (size_t)draft->elements : draft->count;

    if (draft->count < owners) {
        fill->owners = arena_alloc(arena, draft->count * sizeof *fill->owners + 1);
        if (fill->owners == NULL) return false;
    }
    if (is_array) {
        fill->starts = arena_alloc(arena, (draft->count + (size_t)1) * sizeof *fill->starts);
        if (fill->starts == NULL) return false;
        fill->starts[0] = 0;
    }
    fill->values = arena_alloc(arena, elements * attribute_element_bytes(draft->type) + 1);
    return fill->values != NULL;
}

static void fill_point(const AttributeFill *fill) {
    AttributeColumn *c = fill->column;

    c->owners = fill->owners;
    c->starts = fill->starts;
    if (attribute_is_text(c->type))
        c->texts.codes = fill->codes;
    else if (c->type == ATTRIBUTE_BOOL || c->type == ATTRIBUTE_BOOLS)
        c->truths = fill->truths;
    else if (c->type == ATTRIBUTE_INT || c->type == ATTRIBUTE_INTS)
        c->integers = fill->integers;
    else
        c->numbers = fill->numbers;
}

ErrCode attribute_fills_new(const AttributeDrafts *drafts, const uint32_t owners[4], Arena *arena,
                            AttributeFill **out, AttributeColumn **columns, Error *err) {
    size_t room = drafts->count + (size_t)1;
    AttributeFill *fills = ARENA_ARRAY(drafts->scratch, AttributeFill, room);
    const AttributeDraft **sorted = ARENA_ARRAY(drafts->scratch, const AttributeDraft *, room);
    AttributeColumn *list = ARENA_ARRAY(arena, AttributeColumn, room);

    if (drafts->failed || fills == NULL || sorted == NULL || list == NULL)
        return span_no_memory(err);
    for (uint32_t i = 0; i < drafts->count; i++) sorted[i] = &drafts->items[i];
    if (drafts->count > 0) qsort(sorted, drafts->count, sizeof *sorted, by_scope_key_type);
    for (uint32_t i = 0; i < drafts->count; i++) {
        const AttributeDraft *draft = sorted[i];
        AttributeFill *fill = &fills[draft - drafts->items];

        if (draft->elements >= UINT32_MAX)
            return error_set(err, ERR_LIMIT, "too many elements of arrays for a table of spans");
        list[i] = (AttributeColumn){
            .key = draft->key, .scope = draft->scope, .type = draft->type, .count = draft->count};
        *fill = (AttributeFill){.column = &list[i],
                                .texts = {.scratch = drafts->scratch, .seed = drafts->seed}};
        if (!fill_init(fill, draft, owners[draft->scope], arena)) return span_no_memory(err);
        fill_point(fill);
    }
    *out = fills;
    *columns = list;
    return ERR_OK;
}

/* Elements behind those that are there. */
static void fill_elements(AttributeFill *fill, const Attribute *a) {
    uint32_t at = fill->elements;

    for (uint32_t i = 0; i < a->count; i++) {
        switch (a->type) {
        case ATTRIBUTE_STRINGS:
            fill->codes[at + i] = text_set_put(&fill->texts, a->texts[i]);
            break;
        case ATTRIBUTE_BOOLS:
            fill->truths[at + i] = a->truths[i];
            break;
        case ATTRIBUTE_INTS:
            fill->integers[at + i] = a->integers[i];
            break;
        default:
            memcpy(&fill->numbers[at + i], &a->numbers[i], sizeof a->numbers[i]);
        }
    }
    fill->elements += a->count;
    fill->starts[fill->entries + 1] = fill->elements;
}

void attribute_fill(AttributeFill *fill, const Attribute *a, uint32_t owner) {
    assert(fill->entries < fill->column->count && fill->column->type == a->type);
    if (fill->owners != NULL) fill->owners[fill->entries] = owner;
    switch (a->type) {
    case ATTRIBUTE_BOOL:
        fill->truths[fill->entries] = a->truth;
        break;
    case ATTRIBUTE_INT:
        fill->integers[fill->entries] = a->integer;
        break;
    case ATTRIBUTE_DOUBLE:
        memcpy(&fill->numbers[fill->entries], &a->number, sizeof a->number);
        break;
    case ATTRIBUTE_STRING:
    case ATTRIBUTE_BYTES:
    case ATTRIBUTE_OTHER:
        fill->codes[fill->entries] = text_set_put(&fill->texts, a->text);
        break;
    default:
        fill_elements(fill, a);
    }
    fill->entries++;
}

ErrCode attribute_fills_done(AttributeFill *fills, uint32_t count, Arena *arena, Error *err) {
    for (uint32_t i = 0; i < count; i++) {
        AttributeColumn *c = fills[i].column;

        assert(fills[i].entries == c->count);
        if (!attribute_is_text(c->type)) continue;
        c->texts.dictionary = text_set_list(&fills[i].texts, arena);
        c->texts.distinct = fills[i].texts.count;
        if (fills[i].texts.failed || c->texts.dictionary == NULL) return span_no_memory(err);
    }
    return ERR_OK;
}
