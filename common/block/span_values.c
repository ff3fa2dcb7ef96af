/*
 * span_values.c: the index of keys and values as queries use it.
 *
 *     varint  entries
 *     for each, by place, key, type:
 *         u8 place, u8 type, u8 SPAN_ENTRY_ flags
 *         varint length, key
 *         varint values that all pages together have
 *         the pages that have it
 *         complete: varint distinct values; each (varint length and text; zigzag integer less the
 *         one before; u64 bits of a double); then the pages of each
 *         bounded: for each of its pages zigzag least, varint greatest less least; or u64 bits of
 *         two doubles
 *
 * Everything is gone through once when it is decoded, so that using it needs no checks.
 */
#include "common/block/span_values.h"

#include "common/base/reader.h"

/* ---------- sets of pages ---------- */

/* What is known to be whole. */
static Reader trusted(SpanPageSet set) {
    return (Reader){set, set + UINT32_MAX, false};
}

static void set_bit(uint64_t *bits, uint32_t page) {
    bits[page / 64] |= UINT64_C(1) << page % 64;
}

static void set_all(uint64_t *bits, uint32_t page_count) {
    for (size_t i = 0; i < page_count / 64; i++) bits[i] = UINT64_MAX;
    if (page_count % 64 != 0) bits[page_count / 64] |= (UINT64_C(1) << page_count % 64) - 1;
}

void pages_or(SpanPageSet set, uint32_t page_count, const uint64_t *all, uint64_t *bits) {
    Reader r = trusted(set);
    uint8_t kind = reader_u8(&r);
    uint64_t count, page = 0;

    if (kind == SPAN_PAGES_ALL && all == NULL) {
        set_all(bits, page_count);
    } else if (kind == SPAN_PAGES_ALL) {
        for (size_t i = 0; i < page_words(page_count); i++) bits[i] |= all[i];
    } else if (kind == SPAN_PAGES_LIST) {
        count = reader_varint(&r);
        for (uint64_t i = 0; i < count; i++) {
            page += reader_varint(&r) + (i > 0);
            set_bit(bits, (uint32_t)page);
        }
    } else {
        for (uint32_t i = 0; i < page_count; i++) {
            if ((set[1 + i / 8] >> i % 8 & 1) != 0) set_bit(bits, i);
        }
    }
}

bool page_set_has(SpanPageSet set, uint32_t page) {
    Reader r = trusted(set);
    uint8_t kind = reader_u8(&r);
    uint64_t count, at = 0;

    if (kind == SPAN_PAGES_ALL) return true;
    if (kind == SPAN_PAGES_BITS) return (set[1 + page / 8] >> page % 8 & 1) != 0;
    count = reader_varint(&r);
    for (uint64_t i = 0; i < count && at <= page; i++) {
        at += reader_varint(&r) + (i > 0);
        if (at == page) return true;
    }
    return false;
}

void page_set_rank(SpanPageSet set, uint32_t page_count, uint32_t page, uint32_t *count,
                   uint32_t *nth) {
    Reader r = trusted(set);
    uint8_t kind = reader_u8(&r);
    uint64_t listed, at = 0;

    *count = *nth = 0;
    if (kind == SPAN_PAGES_ALL) {
        *count = page_count;
        *nth = page;
    } else if (kind == SPAN_PAGES_LIST) {
        listed = reader_varint(&r);
        *count = (uint32_t)listed;
        for (uint64_t i = 0; i < listed; i++) {
            at += reader_varint(&r) + (i > 0);
            if (at < page) ++*nth;
        }
    } else {
        for (uint32_t i = 0; i < page_count; i++) {
            uint32_t has = set[1 + i / 8] >> i % 8 & 1;

            *count += has;
            if (i < page) *nth += has;
        }
    }
}

/* ---------- decoding ---------- */

typedef struct Decoding {
    Reader r;
    uint32_t page_count;
    Arena *arena;
    bool no_memory;
} Decoding;

/* How many pages go to *count; `all`: what "all" means. */
static bool take_pages(Decoding *d, uint32_t all, SpanPageSet *out, uint32_t *count) {
    Reader *r = &d->r;
    uint8_t kind;
    uint64_t listed, page = 0;
    Str bits;

    *out = r->at;
    *count = all;
    kind = reader_u8(r);
    if (kind == SPAN_PAGES_ALL) return !r->failed;
    if (kind == SPAN_PAGES_LIST) {
        listed = reader_varint(r);
        if (r->failed || listed > d->page_count) return false;
        for (uint64_t i = 0; i < listed; i++) {
            uint64_t gap = reader_varint(r);

            if (r->failed || gap >= d->page_count) return false;
            page += gap + (i > 0);
            if (page >= d->page_count) return false;
        }
        *count = (uint32_t)listed;
        return true;
    }
    if (kind != SPAN_PAGES_BITS) return false;
    bits = reader_bytes(r, ((size_t)d->page_count + 7) / 8);
    *count = 0;
    for (uint32_t i = 0; i < d->page_count && !r->failed; i++)
        *count += (uint8_t)bits.ptr[i / 8] >> i % 8 & 1;
    return !r->failed;
}

static bool take_texts(Decoding *d, SpanEntry *entry, uint64_t count) {
    Str *texts = ARENA_ARRAY(d->arena, Str, count + 1);

    d->no_memory = texts == NULL;
    if (texts == NULL) return false;
    for (uint64_t i = 0; i < count; i++) texts[i] = reader_prefixed(&d->r);
    entry->texts = texts;
    return true;
}

static bool take_integers(Decoding *d, SpanEntry *entry, uint64_t count) {
    int64_t *integers = ARENA_ARRAY(d->arena, int64_t, count + 1);
    uint64_t last = 0;

    d->no_memory = integers == NULL;
    if (integers == NULL) return false;
    for (uint64_t i = 0; i < count; i++) {
        last += (uint64_t)reader_zigzag(&d->r);
        integers[i] = (int64_t)last;
    }
    entry->integers = integers;
    return true;
}

static bool take_numbers(Decoding *d, SpanEntry *entry, uint64_t count) {
    double *numbers = ARENA_ARRAY(d->arena, double, count + 1);

    d->no_memory = numbers == NULL;
    if (numbers == NULL) return false;
    for (uint64_t i = 0; i < count; i++) numbers[i] = reader_double(&d->r);
    entry->numbers = numbers;
    return true;
}

static bool take_values(Decoding *d, SpanEntry *entry, uint32_t entry_pages) {
    uint64_t count = reader_varint(&d->r);
    SpanPageSet *pages;
    uint32_t unused;

    /* A value takes a byte, and its pages another. */
    if (d->r.failed || count > reader_left(&d->r) / 2) return false;
    if (entry->type == ATTRIBUTE_STRING || entry->type == ATTRIBUTE_BYTES) {
        if (!take_texts(d, entry, count)) return false;
    } else if (entry->type == ATTRIBUTE_DOUBLE) {
        if (!take_numbers(d, entry, count)) return false;
    } else if (!take_integers(d, entry, count)) {
        return false;
    }
    pages = ARENA_ARRAY(d->arena, SpanPageSet, count + 1);
    d->no_memory = pages == NULL;
    if (pages == NULL) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!take_pages(d, entry_pages, &pages[i], &unused)) return false;
    }
    entry->value_pages = pages;
    entry->value_count = (uint32_t)count;
    return true;
}

static bool take_bounds(Decoding *d, SpanEntry *entry, uint32_t entry_pages) {
    uint64_t *bounds;

    if (entry_pages > reader_left(&d->r) / 2) return false;
    bounds = ARENA_ARRAY(d->arena, uint64_t, (size_t)entry_pages * 2 + 1);
    d->no_memory = bounds == NULL;
    if (bounds == NULL) return false;
    for (size_t i = 0; i < (size_t)entry_pages * 2; i += 2) {
        if (entry->type == ATTRIBUTE_DOUBLE) {
            bounds[i] = reader_u64(&d->r);
            bounds[i + 1] = reader_u64(&d->r);
        } else {
            bounds[i] = (uint64_t)reader_zigzag(&d->r);
            bounds[i + 1] = bounds[i] + reader_varint(&d->r);
        }
    }
    entry->bounds = bounds;
    return !d->r.failed;
}

static bool take_entry(Decoding *d, SpanEntry *entry) {
    uint8_t flags;
    uint32_t pages;

    entry->place = reader_u8(&d->r);
    entry->type = reader_u8(&d->r);
    flags = reader_u8(&d->r);
    entry->key = reader_prefixed(&d->r);
    entry->occurrences = reader_varint(&d->r);
    entry->complete = (flags & SPAN_ENTRY_COMPLETE) != 0;
    entry->bounded = (flags & SPAN_ENTRY_BOUNDED) != 0;
    if (d->r.failed || entry->type == 0 || entry->type >= ATTRIBUTE_TYPES ||
        span_element_type((AttributeType)entry->type) != (AttributeType)entry->type ||
        !take_pages(d, d->page_count, &entry->pages, &pages))
        return false;
    if (entry->complete && !take_values(d, entry, pages)) return false;
    if (entry->bounded && (entry->type == ATTRIBUTE_STRING || entry->type == ATTRIBUTE_BYTES ||
                           !take_bounds(d, entry, pages)))
        return false;
    return !d->r.failed;
}

ErrCode span_values_decode(Str raw, uint32_t page_count, Arena *arena, SpanValues *out,
                           Error *err) {
    Decoding d = {.r = reader_of(raw), .page_count = page_count, .arena = arena};
    uint64_t count = reader_varint(&d.r);
    SpanEntry *entries;

    /* An entry takes six bytes at least. */
    if (d.r.failed || count > reader_left(&d.r) / 6)
        return error_set(err, ERR_CORRUPT, "index of values: bad head");
    entries = ARENA_ARRAY(arena, SpanEntry, count + 1);
    if (entries == NULL) return error_set(err, ERR_LIMIT, "no memory for an index of values");
    for (uint64_t i = 0; i < count; i++) {
        if (take_entry(&d, &entries[i])) continue;
        if (d.no_memory) return error_set(err, ERR_LIMIT, "no memory for an index of values");
        return error_set(err, ERR_CORRUPT, "index of values: bad entry");
    }
    if (!reader_at_end(&d.r))
        return error_set(err, ERR_CORRUPT, "index of values: bytes left over");
    *out = (SpanValues){entries, (uint32_t)count, page_count};
    return ERR_OK;
}

/* ---------- matching ---------- */

typedef struct Matching {
    const SpanValues *values;
    const SpanCondition *condition;
    uint64_t *entry_pages; /* of the entry at hand */
} Matching;

static bool is_about(const SpanEntry *entry, const SpanCondition *c) {
    if (c->intrinsic != INTRINSIC_NONE) return entry->place == SPAN_PLACE_INTRINSIC + c->intrinsic;
    return entry->place < SPAN_PLACE_INTRINSIC && (c->scope == 0 || c->scope == entry->place) &&
           (c->type == 0 || c->type == entry->type) && str_equal(entry->key, c->key);
}

/* Can the index tell the entry's values apart, by what the condition says? */
static bool is_tested(const SpanEntry *entry, const SpanCondition *c) {
    switch ((AttributeType)entry->type) {
    case ATTRIBUTE_STRING:
        return c->text != NULL;
    case ATTRIBUTE_BOOL: /* only who asks for truths by their type means these by numbers */
        return c->bounded && c->type == ATTRIBUTE_BOOL;
    case ATTRIBUTE_INT:
    case ATTRIBUTE_DOUBLE:
        return c->bounded;
    default:
        return false;
    }
}

static bool value_passes(const SpanEntry *entry, const SpanCondition *c, uint32_t i) {
    if (entry->type == ATTRIBUTE_STRING) return c->text(c->context, entry->texts[i]);
    if (entry->type == ATTRIBUTE_DOUBLE)
        return entry->numbers[i] >= c->number_min && entry->numbers[i] <= c->number_max;
    return entry->integers[i] >= c->integer_min && entry->integers[i] <= c->integer_max;
}

static bool bounds_pass(const SpanEntry *entry, const SpanCondition *c, const uint64_t *bounds) {
    double numbers[2];

    if (entry->type == ATTRIBUTE_DOUBLE) {
        memcpy(numbers, bounds, sizeof numbers);
        return numbers[0] <= c->number_max && numbers[1] >= c->number_min;
    }
    return (int64_t)bounds[0] <= c->integer_max && (int64_t)bounds[1] >= c->integer_min;
}

static void or_bounded(const Matching *m, const SpanEntry *entry, uint64_t *bits) {
    const uint64_t *bounds = entry->bounds;

    for (uint32_t page = 0; page < m->values->page_count; page++) {
        if (!page_bit(m->entry_pages, page)) continue;
        if (bounds_pass(entry, m->condition, bounds)) set_bit(bits, page);
        bounds += 2;
    }
}

/* Adds the pages whose values of the entry may do. */
static void or_entry(const Matching *m, const SpanEntry *entry, uint64_t *bits) {
    uint32_t page_count = m->values->page_count;
    bool tested = is_tested(entry, m->condition);

    if (!tested || !(entry->complete || entry->bounded)) {
        pages_or(entry->pages, page_count, NULL, bits);
        return;
    }
    memset(m->entry_pages, 0, page_words(page_count) * sizeof *m->entry_pages);
    pages_or(entry->pages, page_count, NULL, m->entry_pages);
    if (!entry->complete) {
        or_bounded(m, entry, bits);
        return;
    }
    for (uint32_t i = 0; i < entry->value_count; i++) {
        if (value_passes(entry, m->condition, i))
            pages_or(entry->value_pages[i], page_count, m->entry_pages, bits);
    }
}

bool span_values_match(const SpanValues *values, const SpanConditions *conditions, Arena *scratch,
                       uint64_t *bits) {
    size_t words = page_words(values->page_count);
    uint64_t *one = ARENA_ARRAY(scratch, uint64_t, words + 1);
    Matching m = {values, NULL, ARENA_ARRAY(scratch, uint64_t, words + 1)};

    if (one == NULL || m.entry_pages == NULL) return false;
    memset(bits, 0, words * sizeof *bits);
    set_all(bits, values->page_count);
    for (size_t c = 0; c < conditions->count; c++) {
        m.condition = &conditions->items[c];
        memset(one, 0, words * sizeof *one);
        for (uint32_t i = 0; i < values->count; i++) {
            if (is_about(&values->entries[i], m.condition)) or_entry(&m, &values->entries[i], one);
        }
        for (size_t i = 0; i < words; i++) bits[i] &= one[i];
    }
    return true;
}
