/*
 * span_ids.c: from a trace's id to its pages.
 *
 * A page of ids:
 *
 *     varint  entries
 *     u40     the first hash
 *     columns of up to 1024: hashes, each less the one before (the first one less the first hash)
 *     columns of up to 1024: pages
 *
 * Filter and first hashes:
 *
 *     varint  seed, u8 bits of a segment, varint segments (0: no filter)
 *     (segments + 2) << bits fingerprints of 12 bits, two in three bytes
 *     varint  pages of ids
 *     for each: varint stored bytes with head, varint entries, u40 first hash
 *
 * The filter is a binary fuse filter (Graf and Lemire, 2022): three fingerprints in neighbouring
 * segments XOR to that of the key.
 */
#include "common/block/span_ids.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/block/ints.h"

enum {
    HASH_BYTES = SPAN_HASH_BITS / 8,
    FINGERPRINT_BITS = 12,
    SEGMENT_BITS_MIN = 2,
    SEGMENT_BITS_MAX = 18,
    SEEDS_MAX = 64, /* one in a few hundred needs a second one */
};

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for the ids of traces");
}

static void put_hash(Buf *out, uint64_t hash) {
    buf_append(out, &hash, HASH_BYTES); /* the lower bytes come first */
}

static uint64_t take_hash(Reader *r) {
    uint64_t hash = 0;
    Str bytes = reader_bytes(r, HASH_BYTES);

    memcpy(&hash, bytes.ptr, bytes.len);
    return hash;
}

/* ---------- hashes ---------- */

uint64_t span_trace_hash(const TraceId *trace) {
    return hash_bytes(trace->bytes, sizeof trace->bytes) >> (64 - SPAN_HASH_BITS);
}

/* ---------- sorting ---------- */

static bool comes_before(const SpanTracePlace *a, const SpanTracePlace *b) {
    return a->hash != b->hash ? a->hash < b->hash : a->page < b->page;
}

static int compare_entries(const void *a, const void *b) {
    return (int)comes_before(b, a) - (int)comes_before(a, b);
}

/* One pass by the upper bits, which are spread evenly, leaves a few to each bucket. */
bool span_ids_sort(SpanTracePlace *entries, size_t count, Arena *scratch) {
    unsigned bits = MIN(bits_width(count / 8), 20u);
    size_t buckets = (size_t)1 << bits;
    SpanTracePlace *sorted;
    uint32_t *starts;

    if (count < 64) {
        if (count > 1) qsort(entries, count, sizeof *entries, compare_entries);
        return true;
    }
    if (count > UINT32_MAX) return false;
    sorted = arena_alloc(scratch, count * sizeof *sorted);
    starts = ARENA_ARRAY(scratch, uint32_t, buckets + 1);
    if (sorted == NULL || starts == NULL) return false;
    for (size_t i = 0; i < count; i++) starts[(entries[i].hash >> (SPAN_HASH_BITS - bits)) + 1]++;
    for (size_t i = 0; i < buckets; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++)
        sorted[starts[entries[i].hash >> (SPAN_HASH_BITS - bits)]++] = entries[i];
    for (size_t i = 0, first = 0; i < buckets; first = starts[i++])
        qsort(sorted + first, starts[i] - first, sizeof *sorted, compare_entries);
    memcpy(entries, sorted, count * sizeof *sorted);
    return true;
}

/* ---------- pages of ids ---------- */

static void put_column(const int64_t *v, size_t count, Buf *out) {
    char *at = buf_reserve(out, column_bytes_max(count));

    if (at != NULL) buf_added(out, ints_encode(v, count, (IntsTag){0}, (uint8_t *)at));
}

void span_ids_encode(const SpanTracePlace *entries, size_t count, Buf *out) {
    int64_t column[COLUMN_ITEMS_MAX];
    uint64_t last = entries[0].hash;

    buf_append_varint(out, count);
    put_hash(out, last);
    for (size_t first = 0, n; first < count; first += n) {
        n = MIN(count - first, (size_t)COLUMN_ITEMS_MAX);
        for (size_t i = 0; i < n; i++) {
            column[i] = (int64_t)(entries[first + i].hash - last);
            last = entries[first + i].hash;
        }
        put_column(column, n, out);
    }
    for (size_t first = 0, n; first < count; first += n) {
        n = MIN(count - first, (size_t)COLUMN_ITEMS_MAX);
        for (size_t i = 0; i < n; i++) column[i] = entries[first + i].page;
        put_column(column, n, out);
    }
}

static bool take_column(Reader *r, size_t count, BitsWord *out) {
    bool constant = false;
    IntsTag tag = {0};

    if (!ints_decode(r, count, out, &tag, &constant)) return false;
    for (size_t i = 1; constant && i < count; i++) out[i] = out[0];
    return true;
}

static bool take_ids(Reader *r, size_t count, uint32_t page_count, SpanTracePlace *out) {
    BitsWord column[COLUMN_ITEMS_MAX];
    uint64_t last = take_hash(r);

    for (size_t first = 0, n; first < count; first += n) {
        n = MIN(count - first, (size_t)COLUMN_ITEMS_MAX);
        if (!take_column(r, n, column)) return false;
        for (size_t i = 0; i < n; i++) {
            if (column[i] >> SPAN_HASH_BITS != 0) return false;
            last += column[i];
            if (last >> SPAN_HASH_BITS != 0) return false;
            out[first + i].hash = last;
        }
    }
    for (size_t first = 0, n; first < count; first += n) {
        n = MIN(count - first, (size_t)COLUMN_ITEMS_MAX);
        if (!take_column(r, n, column)) return false;
        for (size_t i = 0; i < n; i++) {
            if (column[i] >= page_count) return false;
            out[first + i].page = (uint32_t)column[i];
        }
    }
    for (size_t i = 1; i < count; i++) {
        if (comes_before(&out[i], &out[i - 1])) return false;
    }
    return reader_at_end(r);
}

ErrCode span_ids_decode(Str raw, uint32_t page_count, Arena *arena, SpanTracePlace **out,
                        size_t *count, Error *err) {
    Reader r = reader_of(raw);
    uint64_t entries = reader_varint(&r);
    SpanTracePlace *list;

    if (r.failed || entries == 0 || entries > SPAN_IDS_PER_PAGE)
        return error_set(err, ERR_CORRUPT, "ids of traces: bad head");
    list = arena_alloc(arena, entries * sizeof *list);
    if (list == NULL) return no_memory(err);
    if (!take_ids(&r, (size_t)entries, page_count, list))
        return error_set(err, ERR_CORRUPT, "ids of traces: bad entry");
    *out = list;
    *count = (size_t)entries;
    return ERR_OK;
}

/* ---------- the filter ---------- */

typedef struct Slots {
    uint32_t at[3];
    uint32_t fingerprint;
} Slots;

static uint64_t mix(uint64_t key, uint64_t seed) {
    uint64_t h = key + seed * 0x9e3779b97f4a7c15u;

    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

static Slots slots_of(uint64_t key, uint64_t seed, uint32_t segment_bits, uint32_t segment_count) {
    uint64_t h = mix(key, seed), slots = (uint64_t)segment_count << segment_bits;
    uint32_t length = (uint32_t)1 << segment_bits, mask = length - 1;
    uint32_t first = (uint32_t)((unsigned __int128)h * slots >> 64);

    return (Slots){
        .at = {first, (first + length) ^ ((uint32_t)(h >> 18) & mask),
               (first + 2 * length) ^ ((uint32_t)h & mask)},
        .fingerprint = (uint32_t)(h ^ h >> 32) & ((1u << FINGERPRINT_BITS) - 1),
    };
}

static uint32_t fingerprint_get(const uint8_t *bytes, uint32_t i) {
    size_t at = (size_t)i * FINGERPRINT_BITS / 8;
    uint32_t both = (uint32_t)bytes[at] | (uint32_t)bytes[at + 1] << 8;

    return i % 2 == 0 ? both & 0xfff : both >> 4;
}

static void fingerprint_set(uint8_t *bytes, uint32_t i, uint32_t v) {
    size_t at = (size_t)i * FINGERPRINT_BITS / 8;

    if (i % 2 == 0) {
        bytes[at] = (uint8_t)v;
        bytes[at + 1] = (uint8_t)((bytes[at + 1] & 0xf0) | v >> 8);
    } else {
        bytes[at] = (uint8_t)((bytes[at] & 0x0f) | v << 4);
        bytes[at + 1] = (uint8_t)(v >> 4);
    }
}

/* How large, by the paper's formulas in integers: ln(n) / ln(3.33) + 2.25 bits a segment, n *
 * (0.875
 * + 0.25 * ln(1e6) / ln(n)) slots. */
static void filter_shape(uint64_t keys, uint32_t *segment_bits, uint32_t *segment_count) {
    uint64_t slots = keys * 7 / 8 + keys * 5 / MAX(bits_width(keys) - 1, 1u) + 2;
    uint32_t bits = SEGMENT_BITS_MIN;

    for (uint64_t n = 3; n < keys && bits < SEGMENT_BITS_MAX; n = n * 333 / 100) bits++;
    *segment_bits = bits;
    *segment_count = (uint32_t)MAX((slots >> bits) + 1, (uint64_t)3) - 2;
}

/* What placing the keys goes through. */
typedef struct Placing {
    uint64_t *keys; /* XOR of those that have the slot */
    uint8_t *marks; /* how many (times 4), and which of their slots it is (XOR) */
    uint32_t *alone;
    uint64_t *order; /* keys as they were taken out, */
    uint8_t *which;  /* and by which of their slots */
} Placing;

/* Counts into a slot; false: more than 63, which no even spread does. */
static bool place(Placing *p, uint64_t key, const Slots *slots) {
    for (unsigned k = 0; k < 3; k++) {
        uint32_t at = slots->at[k];

        if (p->marks[at] >= 63 * 4) return false;
        p->marks[at] = (uint8_t)((p->marks[at] + 4) ^ k);
        p->keys[at] ^= key;
    }
    return true;
}

/* Takes keys out that have a slot for themselves, which may leave others alone in theirs. True:
 * that was all of them. */
static bool peel(Placing *p, uint64_t seed, uint32_t segment_bits, uint32_t segment_count,
                 uint32_t slot_count, size_t keys) {
    size_t waiting = 0, taken = 0;

    for (uint32_t i = 0; i < slot_count; i++) {
        p->alone[waiting] = i;
        waiting += p->marks[i] >> 2 == 1;
    }
    while (waiting > 0) {
        uint32_t at = p->alone[--waiting];
        uint64_t key = p->keys[at];
        unsigned which = p->marks[at] & 3;
        Slots slots;

        if (p->marks[at] >> 2 != 1) continue;
        slots = slots_of(key, seed, segment_bits, segment_count);
        p->order[taken] = key;
        p->which[taken++] = (uint8_t)which;
        for (unsigned k = 0; k < 3; k++) {
            uint32_t other = slots.at[k];

            p->marks[other] = (uint8_t)((p->marks[other] - 4) ^ k);
            p->keys[other] ^= key;
            /* Only once: it is alone once. */
            if (k != which && p->marks[other] >> 2 == 1) p->alone[waiting++] = other;
        }
    }
    return taken == keys;
}

static void fill(const Placing *p, uint64_t seed, uint32_t segment_bits, uint32_t segment_count,
                 size_t keys, uint8_t *bytes) {
    for (size_t i = keys; i-- > 0;) {
        Slots slots = slots_of(p->order[i], seed, segment_bits, segment_count);
        uint32_t v = slots.fingerprint;

        for (unsigned k = 0; k < 3; k++) {
            if (k != p->which[i]) v ^= fingerprint_get(bytes, slots.at[k]);
        }
        fingerprint_set(bytes, slots.at[p->which[i]], v);
    }
}

static size_t fingerprint_bytes(uint32_t slots) {
    return ((size_t)slots * FINGERPRINT_BITS + 7) / 8 + 1; /* one more, as two are read at a time */
}

static bool place_all(Placing *p, const SpanTracePlace *entries, size_t count, uint64_t seed,
                      uint32_t segment_bits, uint32_t segment_count) {
    for (size_t i = 0; i < count; i++) {
        Slots slots;

        if (i > 0 && entries[i].hash == entries[i - 1].hash) continue;
        slots = slots_of(entries[i].hash, seed, segment_bits, segment_count);
        if (!place(p, entries[i].hash, &slots)) return false;
    }
    return true;
}

static void put_no_filter(Buf *out) {
    buf_append_varint(out, 0);
    buf_append_byte(out, 0);
    buf_append_varint(out, 0);
}

/* Keys that no seed spreads go without. */
static ErrCode put_filter(const SpanTracePlace *entries, size_t count, Arena *scratch, Buf *out,
                          Error *err) {
    uint32_t segment_bits, segment_count, slots;
    size_t keys = 0;
    uint8_t *bytes;
    Placing p;

    for (size_t i = 0; i < count; i++) keys += i == 0 || entries[i].hash != entries[i - 1].hash;
    if (keys == 0 || keys > UINT32_MAX / 4) {
        put_no_filter(out);
        return ERR_OK;
    }
    filter_shape(keys, &segment_bits, &segment_count);
    slots = (segment_count + 2) << segment_bits;
    p = (Placing){
        .keys = arena_alloc(scratch, slots * sizeof *p.keys),
        .marks = arena_alloc(scratch, slots),
        .alone = arena_alloc(scratch, ((size_t)slots + 1) * sizeof *p.alone),
        .order = arena_alloc(scratch, keys * sizeof *p.order),
        .which = arena_alloc(scratch, keys),
    };
    bytes = arena_zalloc(scratch, fingerprint_bytes(slots));
    if (p.keys == NULL || p.marks == NULL || p.alone == NULL || p.order == NULL ||
        p.which == NULL || bytes == NULL)
        return no_memory(err);
    for (uint64_t seed = 0; seed < SEEDS_MAX; seed++) {
        memset(p.keys, 0, slots * sizeof *p.keys);
        memset(p.marks, 0, slots);
        if (!place_all(&p, entries, count, seed, segment_bits, segment_count) ||
            !peel(&p, seed, segment_bits, segment_count, slots, keys))
            continue;
        fill(&p, seed, segment_bits, segment_count, keys, bytes);
        buf_append_varint(out, seed);
        buf_append_byte(out, (char)segment_bits);
        buf_append_varint(out, segment_count);
        buf_append(out, bytes, fingerprint_bytes(slots));
        return ERR_OK;
    }
    put_no_filter(out);
    return ERR_OK;
}

ErrCode span_filter_build(const SpanTracePlace *entries, size_t count, const SpanIdPage *pages,
                          size_t page_count, Arena *scratch, Buf *out, Error *err) {
    TRY(put_filter(entries, count, scratch, out, err));
    buf_append_varint(out, page_count);
    for (size_t i = 0; i < page_count; i++) {
        buf_append_varint(out, pages[i].stored);
        buf_append_varint(out, pages[i].count);
        put_hash(out, pages[i].first_hash);
    }
    return buf_failed(out) ? no_memory(err) : ERR_OK;
}

static bool take_filter(Reader *r, SpanFilter *out) {
    uint64_t segments, slots;

    out->seed = reader_varint(r);
    out->segment_bits = reader_u8(r);
    segments = reader_varint(r);
    if (r->failed) return false;
    if (segments == 0) return true;
    if (out->segment_bits < SEGMENT_BITS_MIN || out->segment_bits > SEGMENT_BITS_MAX ||
        segments > (UINT32_MAX >> out->segment_bits) - 2)
        return false;
    slots = (segments + 2) << out->segment_bits;
    if (fingerprint_bytes((uint32_t)slots) > reader_left(r)) return false;
    out->segment_count = (uint32_t)segments;
    out->fingerprints = (const uint8_t *)reader_bytes(r, fingerprint_bytes((uint32_t)slots)).ptr;
    return true;
}

static bool take_id_pages(Reader *r, uint64_t offset, uint64_t length, SpanIdPage *out,
                          uint64_t count, uint64_t *ids) {
    uint64_t at = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t stored = reader_varint(r), entries = reader_varint(r), hash = take_hash(r);

        if (r->failed || stored < PAGE_HEAD_BYTES || stored > length - at ||
            stored > PAGE_RAW_MAX || entries == 0 || entries > SPAN_IDS_PER_PAGE ||
            (i > 0 && hash < out[i - 1].first_hash))
            return false;
        out[i] = (SpanIdPage){hash, offset + at, (uint32_t)stored, (uint32_t)entries};
        at += stored;
        *ids += entries;
    }
    return at == length && reader_at_end(r);
}

ErrCode span_filter_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena, SpanFilter *out,
                           Error *err) {
    Reader r = reader_of(raw);
    SpanFilter filter = {0};
    SpanIdPage *pages;
    uint64_t count;

    if (!take_filter(&r, &filter)) return error_set(err, ERR_CORRUPT, "filter of ids: bad head");
    count = reader_varint(&r);
    if (r.failed || count > reader_left(&r) / (2 + HASH_BYTES))
        return error_set(err, ERR_CORRUPT, "filter of ids: bad pages");
    pages = ARENA_ARRAY(arena, SpanIdPage, count + 1);
    if (pages == NULL) return no_memory(err);
    if (!take_id_pages(&r, offset, length, pages, count, &filter.id_count))
        return error_set(err, ERR_CORRUPT, "filter of ids: bad pages");
    filter.pages = pages;
    filter.page_count = (uint32_t)count;
    *out = filter;
    return ERR_OK;
}

bool span_filter_may_hold(const SpanFilter *filter, uint64_t hash) {
    const uint8_t *bytes = filter->fingerprints;
    Slots slots;

    if (filter->segment_count == 0) return true;
    slots = slots_of(hash, filter->seed, filter->segment_bits, filter->segment_count);
    return (fingerprint_get(bytes, slots.at[0]) ^ fingerprint_get(bytes, slots.at[1]) ^
            fingerprint_get(bytes, slots.at[2])) == slots.fingerprint;
}

void span_filter_pages(const SpanFilter *filter, uint64_t hash, uint32_t *first, uint32_t *end) {
    uint32_t low = 0, high = filter->page_count;

    while (low < high) { /* the first page that begins behind the hash */
        uint32_t middle = low + (high - low) / 2;

        if (filter->pages[middle].first_hash > hash)
            high = middle;
        else
            low = middle + 1;
    }
    *end = low;
    while (low > 0 && filter->pages[low - 1].first_hash == hash) low--;
    *first = low > 0 ? low - 1 : 0;
}
