/*
 * span_codec_write.c: values into parts of columns.
 */
#include <string.h>

#include "common/block/floats.h"
#include "common/block/ints.h"
#include "common/block/span_codec.h"
#include "common/block/span_page.h"

enum {
    TEXT_LEVEL = 3,
    BYTES_LEVEL = 3,
    COMPRESSED_MIN = 24,  /* bytes that are worth trying */
    SAVING_MIN_64THS = 3, /* what compression must save */
    ESCAPE = 255,
    DISTINCT_MAX = 256, /* numbers that are stored as codes */
};

/* ---------- parts ---------- */

/* varint raw bytes, varint stored bytes or 0 when that is the same, the bytes. */
void span_put_part(SpanPut *p, Str raw, int level) {
    size_t bound = ZSTD_compressBound(raw.len), stored;
    char *to;

    if (raw.len > SPAN_PART_RAW_MAX) p->failed = true;
    if (p->failed) return;
    buf_append_varint(p->out, raw.len);
    if (level > 0 && raw.len >= COMPRESSED_MIN) {
        Buf *packed = &p->rest;

        assert(raw.ptr != packed->ptr);
        buf_clear(packed);
        to = buf_reserve(packed, bound);
        if (to == NULL) {
            p->failed = true;
            return;
        }
        stored = ZSTD_compressCCtx(p->zstd, to, bound, raw.ptr, raw.len, level);
        if (!ZSTD_isError(stored) && stored + raw.len * SAVING_MIN_64THS / 64 < raw.len) {
            buf_append_varint(p->out, stored);
            buf_append(p->out, to, stored);
            return;
        }
    }
    if (raw.len > 0) buf_append_varint(p->out, 0);
    buf_append_str(p->out, raw);
}

static Str raw_part(SpanPut *p) {
    p->failed |= buf_failed(&p->raw);
    return buf_str(&p->raw);
}

/* ---------- numbers ---------- */

void span_put_ints(SpanPut *p, const int64_t *v, size_t count) {
    uint8_t chunk[64 + COLUMN_ITEMS_MAX * 10];

    buf_clear(&p->raw);
    for (size_t at = 0; at < count; at += COLUMN_ITEMS_MAX) {
        size_t n = MIN(count - at, (size_t)COLUMN_ITEMS_MAX);

        buf_append(&p->raw, chunk, ints_encode(v + at, n, (IntsTag){0}, chunk));
    }
    span_put_part(p, raw_part(p), 0);
}

void span_put_times(SpanPut *p, const int64_t *v, size_t count) {
    uint8_t thousands = 3;
    int64_t unit = 1000000000, *scaled = (int64_t *)v;

    for (size_t i = 0; i < count && thousands > 0; i++) {
        while (thousands > 0 && v[i] % unit != 0) {
            thousands--;
            unit /= 1000;
        }
    }
    buf_append_byte(p->out, (char)thousands);
    if (thousands > 0) {
        scaled = arena_alloc(p->scratch, count * sizeof *scaled + 1);
        if (scaled == NULL) {
            p->failed = true;
            return;
        }
        for (size_t i = 0; i < count; i++) scaled[i] = v[i] / unit;
    }
    span_put_ints(p, scaled, count);
}

void span_put_doubles(SpanPut *p, const double *v, size_t count) {
    uint8_t chunk[64 + COLUMN_ITEMS_MAX * 10];

    buf_clear(&p->raw);
    for (size_t at = 0; at < count; at += COLUMN_ITEMS_MAX) {
        size_t n = MIN(count - at, (size_t)COLUMN_ITEMS_MAX);

        buf_append(&p->raw, chunk, floats_encode(v + at, n, chunk));
    }
    span_put_part(p, raw_part(p), 0);
}

void span_put_small(SpanPut *p, const uint32_t *v, size_t count) {
    char *at;

    buf_clear(&p->raw);
    at = buf_reserve(&p->raw, count + 1);
    if (at == NULL) {
        p->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) at[i] = (char)MIN(v[i], (uint32_t)ESCAPE);
    buf_added(&p->raw, count);
    span_put_part(p, raw_part(p), BYTES_LEVEL);
    buf_clear(&p->raw);
    for (size_t i = 0; i < count; i++) {
        if (v[i] >= ESCAPE) buf_append_varint(&p->raw, v[i] - ESCAPE);
    }
    span_put_part(p, raw_part(p), BYTES_LEVEL);
}

void span_put_rare(SpanPut *p, const uint32_t *v, size_t count) {
    bool there = false;

    for (size_t i = 0; v != NULL && !there && i < count; i++) there = v[i] != 0;
    buf_append_byte(p->out, there ? 1 : 0);
    if (there) span_put_small(p, v, count);
}

void span_put_bytes(SpanPut *p, const uint8_t *v, size_t count) {
    span_put_part(p, (Str){(const char *)v, count}, BYTES_LEVEL);
}

/* Bits, one for each of count. */
static void put_bits(SpanPut *p, const uint8_t *v, size_t count) {
    char *at;

    buf_clear(&p->raw);
    at = buf_reserve(&p->raw, count / 8 + 1);
    if (at == NULL) {
        p->failed = true;
        return;
    }
    memset(at, 0, (count + 7) / 8);
    for (size_t i = 0; i < count; i++) at[i / 8] = (char)(at[i / 8] | (v[i] != 0 ? 1 : 0) << i % 8);
    buf_added(&p->raw, (count + 7) / 8);
    span_put_part(p, raw_part(p), BYTES_LEVEL);
}

void span_put_truths(SpanPut *p, const uint8_t *v, size_t count) {
    put_bits(p, v, count);
}

/* ---------- codes ---------- */

static void put_packed(SpanPut *p, const uint32_t *v, size_t count, unsigned width) {
    uint64_t words[COLUMN_ITEMS_MAX];

    buf_clear(&p->raw);
    for (size_t at = 0; at < count; at += COLUMN_ITEMS_MAX) {
        size_t n = MIN(count - at, (size_t)COLUMN_ITEMS_MAX), bytes = bits_bytes(n, width);
        char *to = buf_reserve(&p->raw, bytes + 1);

        if (to == NULL) {
            p->failed = true;
            return;
        }
        for (size_t i = 0; i < n; i++) words[i] = v[at + i];
        bits_pack(words, n, width, (uint8_t *)to);
        buf_added(&p->raw, bytes);
    }
    span_put_part(p, raw_part(p), 0);
}

/* Which are one more than all before; how many. */
static size_t mark_fresh(const uint32_t *codes, size_t count, uint8_t *fresh) {
    uint32_t next = 0;

    for (size_t i = 0; i < count; i++) {
        fresh[i] = codes[i] == next;
        next += fresh[i];
    }
    return next;
}

/* Texts most of which are there once. */
static bool try_fresh(SpanPut *p, const uint32_t *codes, size_t count, unsigned width) {
    uint8_t *fresh = arena_alloc(p->scratch, count + 1);
    uint32_t *others;
    size_t n, k = 0;

    if (fresh == NULL) {
        p->failed = true;
        return true;
    }
    n = mark_fresh(codes, count, fresh);
    if (count / 8 >= n * width / 8) return false;
    if (n == count) {
        buf_append_byte(p->out, SPAN_CODES_COUNT);
        return true;
    }
    others = arena_alloc(p->scratch, (count - n) * sizeof *others + 1);
    if (others == NULL) {
        p->failed = true;
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!fresh[i]) others[k++] = codes[i];
    }
    buf_append_byte(p->out, SPAN_CODES_FRESH);
    put_bits(p, fresh, count);
    put_packed(p, others, k, width);
    return true;
}

void span_put_codes(SpanPut *p, const uint32_t *codes, size_t count, uint32_t distinct) {
    unsigned width = bits_width(distinct == 0 ? 0 : distinct - 1);
    size_t before = p->out->len;

    if (width == 0) {
        buf_append_byte(p->out, SPAN_CODES_ONE);
        return;
    }
    if (distinct > count / 16 && try_fresh(p, codes, count, width)) return;
    if (distinct <= 256) {
        char *at;

        buf_append_byte(p->out, SPAN_CODES_BYTES);
        buf_clear(&p->raw);
        at = buf_reserve(&p->raw, count + 1);
        if (at == NULL) {
            p->failed = true;
            return;
        }
        for (size_t i = 0; i < count; i++) at[i] = (char)codes[i];
        buf_added(&p->raw, count);
        span_put_part(p, raw_part(p), BYTES_LEVEL);
        if (p->out->len - before <= bits_bytes(count, width)) return;
        p->out->len = before; /* it isn't worth it */
    }
    buf_append_byte(p->out, SPAN_CODES_PACKED);
    put_packed(p, codes, count, width);
}

/* ---------- texts ---------- */

void span_put_dictionary(SpanPut *p, const Str *texts, uint32_t count) {
    uint32_t *lengths = arena_alloc(p->scratch, count * sizeof *lengths + 1);
    size_t total = 0;

    if (lengths == NULL) p->failed = true;
    for (uint32_t i = 0; i < count && !p->failed; i++) {
        lengths[i] = (uint32_t)texts[i].len;
        total += texts[i].len;
        if (total > SPAN_PART_RAW_MAX) p->failed = true;
    }
    if (p->failed) return;
    buf_append_varint(p->out, count);
    span_put_small(p, lengths, count);
    buf_clear(&p->raw);
    for (uint32_t i = 0; i < count; i++) buf_append_str(&p->raw, texts[i]);
    span_put_part(p, raw_part(p), TEXT_LEVEL);
}

void span_put_texts(SpanPut *p, const TextColumn *texts, size_t count) {
    span_put_dictionary(p, texts->dictionary, texts->distinct);
    span_put_codes(p, texts->codes, count, texts->distinct);
}

/* ---------- numbers of attributes ---------- */

/* Few distinct numbers, in order of appearance. 0: too many. */
static uint32_t find_distinct(const int64_t *v, size_t count, int64_t *distinct, uint32_t *codes) {
    enum { SLOTS = 4 * DISTINCT_MAX };
    uint16_t slots[SLOTS] = {0};
    uint32_t found = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t hash = (uint64_t)v[i] * UINT64_C(0x9e3779b97f4a7c15);
        uint32_t slot = (uint32_t)(hash >> 54);

        while (slots[slot] != 0 && distinct[slots[slot] - 1] != v[i]) slot = (slot + 1) % SLOTS;
        if (slots[slot] == 0) {
            if (found == DISTINCT_MAX || found > count / 4 + 1) return 0;
            distinct[found] = v[i];
            slots[slot] = (uint16_t)++found;
        }
        codes[i] = slots[slot] - 1u;
    }
    return found;
}

void span_put_numbers(SpanPut *p, const int64_t *v, size_t count, bool doubles) {
    int64_t distinct[DISTINCT_MAX];
    uint32_t *codes = arena_alloc(p->scratch, count * sizeof *codes + 1), found;

    if (codes == NULL) {
        p->failed = true;
        return;
    }
    found = find_distinct(v, count, distinct, codes);
    buf_append_byte(p->out, found > 0 ? SPAN_NUMBERS_CODES : SPAN_NUMBERS_PLAIN);
    if (found > 0) {
        buf_append_varint(p->out, found);
        span_put_ints(p, distinct, found);
        span_put_codes(p, codes, count, found);
    } else if (doubles) {
        span_put_doubles(p, (const double *)(const void *)v, count);
    } else {
        span_put_ints(p, v, count);
    }
}

/* ---------- owners ---------- */

void span_put_owners(SpanPut *p, const uint32_t *owners, uint32_t count, uint32_t of) {
    uint8_t *has;

    buf_append_varint(p->out, count);
    if (count < of / 16) {
        uint32_t *gaps = arena_alloc(p->scratch, count * sizeof *gaps + 1), next = 0;

        if (gaps == NULL) {
            p->failed = true;
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            gaps[i] = owners[i] - next;
            next = owners[i] + 1;
        }
        buf_append_byte(p->out, SPAN_OWNERS_GAPS);
        span_put_small(p, gaps, count);
        return;
    }
    has = arena_zalloc(p->scratch, of + (size_t)1);
    if (has == NULL) {
        p->failed = true;
        return;
    }
    for (uint32_t i = 0; i < count; i++) has[owners[i]] = 1;
    buf_append_byte(p->out, SPAN_OWNERS_BITS);
    put_bits(p, has, of);
}
