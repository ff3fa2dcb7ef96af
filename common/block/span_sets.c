/*
 * span_sets.c: texts and origins of spans, each once; and sorting.
 */
#include <string.h>

#include "common/block/span_build.h"
#include "common/block/span_text.h"

enum { SLOTS_FIRST = 16, SORT_RUN = 16 };

ErrCode span_no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a table of spans");
}

/* ---------- sorting ---------- */

static bool is_before(const SpanSortItem *a, const SpanSortItem *b) {
    if (a->rank != b->rank) return a->rank < b->rank;
    if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns;
    if (a->high != b->high) return a->high < b->high;
    return a->low < b->low;
}

static void insertion_sort(SpanSortItem *items, size_t count) {
    for (size_t i = 1; i < count; i++) {
        SpanSortItem item = items[i];
        size_t at = i;

        for (; at > 0 && is_before(&item, &items[at - 1]); at--) items[at] = items[at - 1];
        items[at] = item;
    }
}

static void merge(const SpanSortItem *a, size_t a_count, const SpanSortItem *b, size_t b_count,
                  SpanSortItem *out) {
    while (a_count > 0 && b_count > 0) {
        if (is_before(b, a)) {
            *out++ = *b++;
            b_count--;
        } else {
            *out++ = *a++;
            a_count--;
        }
    }
    memcpy(out, a, a_count * sizeof *a);
    memcpy(out + a_count, b, b_count * sizeof *b);
}

void span_sort(SpanSortItem *items, SpanSortItem *spare, size_t count) {
    SpanSortItem *from = items, *to = spare;

    for (size_t i = 0; i < count; i += SORT_RUN)
        insertion_sort(items + i, MIN(count - i, (size_t)SORT_RUN));
    for (size_t run = SORT_RUN; run < count; run *= 2) {
        SpanSortItem *swap = from;

        for (size_t i = 0; i < count; i += 2 * run) {
            size_t first = MIN(run, count - i), second = MIN(run, count - i - first);

            /* Spans mostly come in order. */
            if (second > 0 && is_before(&from[i + first], &from[i + first - 1]))
                merge(from + i, first, from + i + first, second, to + i);
            else
                memcpy(to + i, from + i, (first + second) * sizeof *to);
        }
        from = to;
        to = swap;
    }
    if (from != items) memcpy(items, from, count * sizeof *items);
}

/* ---------- texts ---------- */

static bool text_set_grow(TextSet *set) {
    uint32_t slot_count = set->slot_count == 0 ? SLOTS_FIRST : set->slot_count * 2;
    uint32_t *slots = ARENA_ARRAY(set->scratch, uint32_t, slot_count);
    uint32_t old = set->slot_count / 2, room = slot_count / 2;

    set->texts = arena_grow(set->scratch, set->texts, old * sizeof(Str), room * sizeof(Str));
    set->hashes =
        arena_grow(set->scratch, set->hashes, old * sizeof(uint32_t), room * sizeof(uint32_t));
    if (slots == NULL || set->texts == NULL || set->hashes == NULL) return false;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t slot = set->hashes[i] & (slot_count - 1);

        while (slots[slot] != 0) slot = (slot + 1) & (slot_count - 1);
        slots[slot] = i + 1;
    }
    set->slots = slots;
    set->slot_count = slot_count;
    return true;
}

uint32_t text_set_put(TextSet *set, Str text) {
    uint32_t hash = (uint32_t)text_hash(text, set->seed);
    uint32_t mask, slot;

    if (UNLIKELY(set->failed)) return 0;
    /* Half of the slots are kept free; there are as many texts as that at most. */
    if (set->count == set->slot_count / 2 &&
        (set->slot_count > UINT32_MAX / 4 || !text_set_grow(set))) {
        set->failed = true;
        return 0;
    }
    mask = set->slot_count - 1;
    for (slot = hash & mask; set->slots[slot] != 0; slot = (slot + 1) & mask) {
        uint32_t n = set->slots[slot] - 1;

        if (set->hashes[n] == hash && text_equal(set->texts[n], text)) return n;
    }
    set->slots[slot] = set->count + 1;
    set->texts[set->count] = text;
    set->hashes[set->count] = hash;
    return set->count++;
}

Str *text_set_list(const TextSet *set, Arena *arena) {
    Str *list;

    if (set->failed) return NULL; /* growing has lost them */
    list = arena_alloc(arena, (set->count + (size_t)1) * sizeof *list);
    if (list != NULL && set->count > 0) memcpy(list, set->texts, set->count * sizeof *list);
    return list;
}

/* ---------- origins ---------- */

void origin_set_init(OriginSet *set, Arena *scratch, uint64_t seed) {
    *set = (OriginSet){.scratch = scratch,
                       .origins = {.scratch = scratch, .seed = seed},
                       .resources = {.scratch = scratch, .seed = seed}};
    buf_init(&set->bytes, 0);
}

void origin_set_done(OriginSet *set) {
    buf_done(&set->bytes);
}

static uint32_t pointer_slot(const OriginSet *set, const SpanOrigin *origin) {
    uint64_t hash =
        ((uint64_t)(uintptr_t)origin ^ set->origins.seed) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t slot = (uint32_t)(hash >> 32) & (set->slot_count - 1);

    while (set->pointers[slot] != NULL && set->pointers[slot] != origin)
        slot = (slot + 1) & (set->slot_count - 1);
    return slot;
}

static bool pointers_grow(OriginSet *set) {
    const SpanOrigin **old = set->pointers;
    uint32_t *numbers = set->pointer_numbers, count = set->slot_count;

    if (count > UINT32_MAX / 4) return false;
    set->slot_count = count == 0 ? SLOTS_FIRST : count * 2;
    set->pointers = ARENA_ARRAY(set->scratch, const SpanOrigin *, set->slot_count);
    set->pointer_numbers = ARENA_ARRAY(set->scratch, uint32_t, set->slot_count);
    if (set->pointers == NULL || set->pointer_numbers == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot;

        if (old[i] == NULL) continue;
        slot = pointer_slot(set, old[i]);
        set->pointers[slot] = old[i];
        set->pointer_numbers[slot] = numbers[i];
    }
    return true;
}

/* What a set of texts is asked for must stay: a copy of set->bytes, from `from` on. */
static Str kept_bytes(OriginSet *set, size_t from) {
    Str bytes = str_from(buf_str(&set->bytes), from);
    char *copy = arena_alloc_bytes(set->scratch, bytes.len + 1);

    if (copy == NULL || buf_failed(&set->bytes)) {
        set->failed = true;
        return (Str){"", 0};
    }
    memcpy(copy, bytes.ptr, bytes.len);
    return (Str){copy, bytes.len};
}

/* One that wasn't seen at this place in memory. */
static uint32_t put_by_bytes(OriginSet *set, const SpanOrigin *origin) {
    uint32_t number, resource, before = set->origins.count;
    size_t resource_bytes;
    Str all;

    buf_clear(&set->bytes);
    span_resource_put(origin, &set->bytes);
    resource_bytes = set->bytes.len;
    span_scope_put(origin, &set->bytes);
    all = kept_bytes(set, 0);
    number = text_set_put(&set->origins, all);
    set->failed |= set->origins.failed;
    if (set->failed || set->origins.count == before) return number;
    resource = text_set_put(&set->resources, str_slice(all, 0, resource_bytes));
    if (number == set->capacity) {
        uint32_t room = MAX(set->capacity * 2, (uint32_t)SLOTS_FIRST);

        set->list = arena_grow(set->scratch, set->list, set->capacity * sizeof *set->list,
                               room * sizeof *set->list);
        set->resource_of =
            arena_grow(set->scratch, set->resource_of, set->capacity * sizeof *set->resource_of,
                       room * sizeof *set->resource_of);
        set->capacity = room;
    }
    if (set->list == NULL || set->resource_of == NULL || set->resources.failed) {
        set->failed = true;
        return 0;
    }
    set->list[number] = origin;
    set->resource_of[number] = resource;
    return number;
}

uint32_t origin_set_put(OriginSet *set, const SpanOrigin *origin) {
    uint32_t slot, number;

    assert(origin != NULL);
    if (set->pointer_count == set->slot_count / 2 && !set->failed && !pointers_grow(set))
        set->failed = true;
    if (set->failed) return 0;
    slot = pointer_slot(set, origin);
    if (set->pointers[slot] == origin) return set->pointer_numbers[slot];
    number = put_by_bytes(set, origin);
    set->pointers[slot] = origin;
    set->pointer_numbers[slot] = number;
    set->pointer_count++;
    return number;
}
