/*
 * log_filter.c: Bloom filters of the ids in each page.
 *
 *     varint  pages
 *     for each page: varint bytes of its filter, 0 when it holds no id of the kind
 *     the filters, one after the other
 *
 * Beside them stands for each page whether escapes may hide ids from its filters:
 *
 *     varint  pages
 *     a bit for each page, the lowest of a byte first; 1: nothing is hidden
 *
 * Twelve bits an id and eight probes: three in a thousand say yes to what isn't there, so that a
 * needle in a gigabyte costs a handful of GETs for nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/reader.h"
#include "common/block/log_filter.h"

enum {
    BITS_PER_KEY = 12,
    PROBES = 8,
    GRAM = 16,    /* hex digits: 64 bits */
    RUN_MIN = 32, /* digits that have a representative for sure */
    WINDOW = RUN_MIN - GRAM + 1,
    UUID_LAST = 12,   /* digits of a UUID's last group */
    UUID_BEFORE = 24, /* bytes before it */
};

/* The digit's value plus one; 0 for what is no hex digit. */
static const uint8_t HEX[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static bool is_hex(char c) {
    return HEX[(uint8_t)c] != 0;
}

static unsigned nibble(char c) {
    return HEX[(uint8_t)c] - 1u;
}

static uint64_t mix(uint64_t v) {
    v ^= v >> 32;
    v *= 0xd6e8feb86659fd93u;
    v ^= v >> 32;
    v *= 0xd6e8feb86659fd93u;
    return v ^ v >> 32;
}

/* ---------- keys ---------- */

void log_keys_done(LogKeys *keys) {
    free(keys->keys);
    *keys = (LogKeys){0};
}

static void add_key(LogKeys *keys, uint64_t key) {
    if (keys->count == keys->capacity) {
        size_t wanted = MAX(keys->capacity * 2, (size_t)64);
        uint64_t *grown = realloc(keys->keys, wanted * sizeof *grown);

        if (grown == NULL) {
            keys->failed = true;
            return;
        }
        keys->keys = grown;
        keys->capacity = wanted;
    }
    keys->keys[keys->count++] = key;
}

void log_keys_add(LogKeys *keys, const LogKeys *from) {
    keys->failed |= from->failed;
    for (size_t i = 0; i < from->count; i++) add_key(keys, from->keys[i]);
}

/* `last` are at least UUID_LAST hex digits, with at least UUID_BEFORE bytes before them. */
static void add_uuid(const char *last, LogKeys *keys) {
    const char *p = last - UUID_BEFORE;
    uint64_t high = 0, low = 0;

    if (p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-') return;
    for (int i = 0; i < UUID_BEFORE + UUID_LAST; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) continue;
        if (!is_hex(p[i])) return;
        high = high << 4 | low >> 60;
        low = low << 4 | nibble(p[i]);
    }
    add_key(keys, mix(high) ^ low);
}

/* The representatives of a run of RUN_MIN digits or more. */
static void add_run(const char *run, size_t digits, LogKeys *keys) {
    uint64_t gram = 0, recent[WINDOW], last = 0;
    bool any = false;

    if (digits == RUN_MIN) { /* the usual one has a single window */
        last = UINT64_MAX;
        for (size_t i = 0; i < GRAM - 1; i++) gram = gram << 4 | nibble(run[i]);
        for (size_t i = GRAM - 1; i < RUN_MIN; i++) {
            uint64_t key = mix(gram = gram << 4 | nibble(run[i]));

            last = MIN(last, key);
        }
        add_key(keys, last);
        return;
    }
    for (size_t i = 0; i < digits; i++) {
        size_t number;

        gram = gram << 4 | nibble(run[i]);
        if (i + 1 < GRAM) continue;
        number = i + 1 - GRAM;
        recent[number % WINDOW] = mix(gram);
        if (number + 1 < WINDOW) continue;
        uint64_t least = recent[0];
        for (size_t k = 1; k < WINDOW; k++) least = MIN(least, recent[k]);
        if (!any || least != last) add_key(keys, least);
        any = true;
        last = least;
    }
}

void log_keys_collect(Str text, LogKeys *keys) {
    const char *end = text.ptr + text.len;
    size_t at = UUID_LAST - 1;

    /* Every run of UUID_LAST digits holds one of these places. */
    while (at < text.len) {
        const char *first = text.ptr + at, *after = first;

        if (!is_hex(*first)) {
            at += UUID_LAST;
            continue;
        }
        while (first > text.ptr && is_hex(first[-1])) first--;
        while (after < end && is_hex(*after)) after++;
        if (after - first >= UUID_LAST && first - text.ptr >= UUID_BEFORE)
            add_uuid(first, &keys[LOG_ID_UUID]);
        if (after - first >= RUN_MIN) add_run(first, (size_t)(after - first), &keys[LOG_ID_HEX]);
        at = MAX(at + UUID_LAST, (size_t)(after - text.ptr) + UUID_LAST - 1);
    }
}

/* ---------- escapes ---------- */

/* The code of an ASCII character, from two hex digits; false: they are none. */
static bool take_code(const char *p, unsigned *code) {
    if (!is_hex(p[0]) || !is_hex(p[1])) return false;
    *code = nibble(p[0]) << 4 | nibble(p[1]);
    return true;
}

bool log_spells_id(Str text) {
    enum { ESCAPE = 6 }; /* bytes of one */

    for (size_t at = 0; text.len - at >= ESCAPE;) {
        const char *slash = memchr(text.ptr + at, '\\', text.len - at - ESCAPE + 1);
        unsigned code;

        if (slash == NULL) return false;
        at = (size_t)(slash - text.ptr) + 1;
        if (slash[1] == 'u' && slash[2] == '0' && slash[3] == '0' && take_code(slash + 4, &code) &&
            (code == '-' || is_hex((char)code)))
            return true;
    }
    return false;
}

bool log_literal_add(LogLiteralBuilder *b, bool literal) {
    if (b->pages % 8 == 0) buf_append_byte(&b->bits, 0);
    if (buf_failed(&b->bits)) return false;
    if (literal)
        b->bits.ptr[b->pages / 8] = (char)((uint8_t)b->bits.ptr[b->pages / 8] | 1u << b->pages % 8);
    b->pages++;
    return true;
}

void log_literal_build(const LogLiteralBuilder *b, Buf *out) {
    buf_append_varint(out, b->pages);
    buf_append_str(out, buf_str(&b->bits));
}

ErrCode log_literal_decode(Str raw, LogLiteral *out, Error *err) {
    Reader r = reader_of(raw);
    uint64_t pages = reader_varint(&r);

    if (r.failed || pages > UINT32_MAX || reader_left(&r) != pages / 8 + (pages % 8 != 0))
        return error_set(err, ERR_CORRUPT, "bits of pages are cut off");
    *out = (LogLiteral){r.at, (uint32_t)pages};
    return ERR_OK;
}

/* ---------- filters ---------- */

static uint64_t probe(uint64_t key, unsigned i, uint64_t bits) {
    uint64_t first = mix(key), step = mix(key ^ 0x9e3779b97f4a7c15u) | 1;

    return (((first + i * step) >> 32) * bits) >> 32;
}

static int compare_keys(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* An id that comes back is one. */
static void drop_duplicates(LogKeys *keys) {
    size_t kept = 0;

    if (keys->count == 0) return;
    qsort(keys->keys, keys->count, sizeof *keys->keys, compare_keys);
    for (size_t i = 0; i < keys->count; i++) {
        if (kept == 0 || keys->keys[kept - 1] != keys->keys[i]) keys->keys[kept++] = keys->keys[i];
    }
    keys->count = kept;
}

bool log_filter_add(LogFilterBuilder *b, LogKeys *keys) {
    uint64_t bytes;
    char *bits;

    drop_duplicates(keys);
    bytes = ((uint64_t)keys->count * BITS_PER_KEY + 7) / 8;
    buf_append_varint(&b->lengths, bytes);
    b->pages++;
    bits = bytes == 0 ? NULL : buf_reserve(&b->bits, (size_t)bytes);
    if (keys->failed || (bytes > 0 && bits == NULL) || bytes * 8 > UINT32_MAX) return false;
    if (bytes > 0) memset(bits, 0, (size_t)bytes);
    for (size_t k = 0; k < keys->count; k++) {
        for (unsigned i = 0; i < PROBES; i++) {
            uint64_t bit = probe(keys->keys[k], i, bytes * 8);

            bits[bit / 8] = (char)((unsigned char)bits[bit / 8] | 1u << bit % 8);
        }
    }
    buf_added(&b->bits, (size_t)bytes);
    keys->count = 0;
    return !buf_failed(&b->lengths);
}

bool log_filter_copy(LogFilterBuilder *b, Str bits) {
    buf_append_varint(&b->lengths, bits.len);
    buf_append_str(&b->bits, bits);
    b->pages++;
    return !buf_failed(&b->lengths) && !buf_failed(&b->bits);
}

void log_filters_build(const LogFilterBuilder *b, Buf *out) {
    buf_append_varint(out, b->pages);
    buf_append_str(out, buf_str(&b->lengths));
    buf_append_str(out, buf_str(&b->bits));
}

ErrCode log_filters_decode(Str raw, Arena *arena, LogFilters *out, Error *err) {
    Reader r = reader_of(raw);
    uint64_t pages = reader_varint(&r), at = 0;
    uint64_t *start;

    if (r.failed || pages > reader_left(&r) || pages > UINT32_MAX)
        return error_set(err, ERR_CORRUPT, "filters: bad head");
    start = ARENA_ARRAY(arena, uint64_t, pages + 1);
    if (start == NULL) return error_set(err, ERR_LIMIT, "no memory for filters");
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t bytes = reader_varint(&r);

        if (r.failed || bytes > raw.len || bytes * 8 > UINT32_MAX)
            return error_set(err, ERR_CORRUPT, "filters: bad length");
        start[i] = at;
        at += bytes;
    }
    start[pages] = at;
    if (at != reader_left(&r)) return error_set(err, ERR_CORRUPT, "filters are cut off");
    *out = (LogFilters){r.at, start, (uint32_t)pages};
    return ERR_OK;
}

bool log_filters_may_hold(const LogFilters *f, uint32_t page, uint64_t key) {
    const uint8_t *bits = f->bits + f->start[page];
    uint64_t count = (f->start[page + 1] - f->start[page]) * 8;

    if (count == 0) return false;
    for (unsigned i = 0; i < PROBES; i++) {
        uint64_t bit = probe(key, i, count);

        if ((bits[bit / 8] >> bit % 8 & 1) == 0) return false;
    }
    return true;
}
