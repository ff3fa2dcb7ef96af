/*
 * span_codec_read.c: parts of columns into values. Nothing is believed: each count was compared
 * with what is there, or with what the page says of itself, before it allocates or indexes
 * anything.
 */
#include <pthread.h>
#include <string.h>

#include "common/block/floats.h"
#include "common/block/ints.h"
#include "common/block/span_codec.h"
#include "common/block/span_page.h"

enum { ESCAPE = 255, DISTINCT_MAX = 256, THOUSANDS_MAX = 3 };

bool span_take_fail(SpanTake *t, ErrCode code, const char *what) {
    if (t->code == ERR_OK) {
        t->code = code;
        t->what = what;
    }
    return false;
}

static void *fail(SpanTake *t, const char *what) {
    (void)span_take_fail(t, ERR_CORRUPT, what);
    return NULL;
}

static void *take_memory(SpanTake *t, size_t count, size_t element) {
    void *memory = t->code == ERR_OK ? arena_alloc(t->arena, count * element + 16) : NULL;

    if (memory == NULL) (void)span_take_fail(t, ERR_LIMIT, "no memory");
    return memory;
}

/* ---------- parts ---------- */

static pthread_key_t zstd_key;
static pthread_once_t zstd_once = PTHREAD_ONCE_INIT;
static bool zstd_keyed;

static void zstd_free(void *zstd) {
    ZSTD_freeDCtx(zstd);
}

static void zstd_make_key(void) {
    zstd_keyed = pthread_key_create(&zstd_key, zstd_free) == 0;
}

/* Each thread has one: making it costs more than a column of a page does. NULL: out of memory. */
static ZSTD_DCtx *zstd_of_thread(void) {
    ZSTD_DCtx *zstd;

    pthread_once(&zstd_once, zstd_make_key);
    if (!zstd_keyed) return NULL;
    zstd = pthread_getspecific(zstd_key);
    if (zstd != NULL) return zstd;
    zstd = ZSTD_createDCtx();
    if (zstd == NULL || pthread_setspecific(zstd_key, zstd) == 0) return zstd;
    ZSTD_freeDCtx(zstd);
    return NULL;
}

bool span_take_part(SpanTake *t, Str *raw) {
    uint64_t size = reader_varint(&t->r), stored = size == 0 ? 0 : reader_varint(&t->r);
    Str bytes = reader_bytes(&t->r, (size_t)MIN(stored == 0 ? size : stored, UINT32_MAX));
    ZSTD_DCtx *zstd;
    size_t got;
    char *to;

    if (t->code != ERR_OK) return false;
    if (t->r.failed || size > SPAN_PART_RAW_MAX) return fail(t, "a part is cut off") != NULL;
    if (stored == 0) {
        *raw = bytes;
        return true;
    }
    to = take_memory(t, (size_t)size, 1);
    if (to == NULL) return false;
    zstd = zstd_of_thread();
    if (zstd == NULL) return span_take_fail(t, ERR_LIMIT, "no memory");
    got = ZSTD_decompressDCtx(zstd, to, (size_t)size, bytes.ptr, bytes.len);
    if (ZSTD_isError(got) || got != size) return fail(t, "bad compression") != NULL;
    *raw = (Str){to, got};
    return true;
}

/* A part of exactly so many bytes. */
static const uint8_t *take_exactly(SpanTake *t, size_t bytes) {
    Str raw;

    if (!span_take_part(t, &raw)) return NULL;
    if (raw.len != bytes) return fail(t, "a part is of another size");
    return raw.len == 0 ? (const uint8_t *)"" : (const uint8_t *)raw.ptr;
}

/* ---------- loops over whole columns ---------- */

/* Of so many at a time that the compiler takes vectors for them. */
enum { LANES = 16 };

static void widen(const uint8_t *from, size_t count, uint32_t *to) {
    size_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        for (size_t k = 0; k < LANES; k++) to[i + k] = from[i + k];
    }
    for (; i < count; i++) to[i] = from[i];
}

static void narrow(const uint64_t *from, size_t count, uint32_t *to) {
    size_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        for (size_t k = 0; k < LANES; k++) to[i + k] = (uint32_t)from[i + k];
    }
    for (; i < count; i++) to[i] = (uint32_t)from[i];
}

static uint32_t largest_of(const uint32_t *v, size_t count) {
    uint32_t lanes[LANES] = {0}, largest = 0;
    size_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        for (size_t k = 0; k < LANES; k++) lanes[k] = MAX(lanes[k], v[i + k]);
    }
    for (; i < count; i++) largest = MAX(largest, v[i]);
    for (size_t k = 0; k < LANES; k++) largest = MAX(largest, lanes[k]);
    return largest;
}

/* ---------- numbers ---------- */

int64_t *span_take_ints(SpanTake *t, size_t count) {
    int64_t *list;
    Reader r;
    Str raw;

    if (!span_take_part(t, &raw)) return NULL;
    /* Two bytes a chunk at least. */
    if (raw.len / 2 < (count + COLUMN_ITEMS_MAX - 1) / COLUMN_ITEMS_MAX)
        return fail(t, "integers are cut off");
    list = take_memory(t, count, sizeof *list);
    if (list == NULL) return NULL;
    r = reader_of(raw);
    for (size_t at = 0; at < count; at += COLUMN_ITEMS_MAX) {
        size_t n = MIN(count - at, (size_t)COLUMN_ITEMS_MAX);
        bool constant = false;
        IntsTag tag = {0};

        if (!ints_decode(&r, n, (BitsWord *)(list + at), &tag, &constant) || tag.mapping != 0 ||
            tag.exceptions)
            return fail(t, "bad integers");
        for (size_t i = 1; constant && i < n; i++) list[at + i] = list[at];
    }
    return reader_at_end(&r) ? list : fail(t, "integers left over");
}

int64_t *span_take_times(SpanTake *t, size_t count) {
    uint8_t thousands = reader_u8(&t->r);
    int64_t *list = span_take_ints(t, count);
    uint64_t unit = 1;

    if (list == NULL || thousands == 0) return list;
    if (thousands > THOUSANDS_MAX) return fail(t, "bad unit of times");
    while (thousands-- > 0) unit *= 1000;
    for (size_t i = 0; i < count; i++) list[i] = (int64_t)((uint64_t)list[i] * unit);
    return list;
}

double *span_take_doubles(SpanTake *t, size_t count) {
    double *list;
    Reader r;
    Str raw;

    if (!span_take_part(t, &raw)) return NULL;
    if (raw.len / 2 < (count + COLUMN_ITEMS_MAX - 1) / COLUMN_ITEMS_MAX)
        return fail(t, "numbers are cut off");
    list = take_memory(t, count, sizeof *list);
    if (list == NULL) return NULL;
    r = reader_of(raw);
    for (size_t at = 0; at < count; at += COLUMN_ITEMS_MAX) {
        if (!floats_take(&r, MIN(count - at, (size_t)COLUMN_ITEMS_MAX), list + at))
            return fail(t, "bad numbers");
    }
    return reader_at_end(&r) ? list : fail(t, "numbers left over");
}

uint32_t *span_take_small(SpanTake *t, size_t count) {
    const uint8_t *bytes = take_exactly(t, count);
    uint32_t *list;
    Reader r;
    Str raw;

    if (bytes == NULL || !span_take_part(t, &raw)) return NULL;
    list = take_memory(t, count, sizeof *list);
    if (list == NULL) return NULL;
    widen(bytes, count, list);
    r = reader_of(raw);
    if (raw.len > 0) {
        for (size_t i = 0; i < count; i++) {
            uint64_t more = bytes[i] == ESCAPE ? reader_varint(&r) : 0;

            if (more > UINT32_MAX - ESCAPE) return fail(t, "a number is too large");
            list[i] += (uint32_t)more;
        }
    } else if (memchr(bytes, ESCAPE, count) != NULL) {
        return fail(t, "large numbers are missing");
    }
    return !r.failed && reader_at_end(&r) ? list : fail(t, "bad large numbers");
}

bool span_take_rare(SpanTake *t, size_t count, const uint32_t **out) {
    uint8_t there = reader_u8(&t->r);

    if (there == 0) {
        *out = NULL;
        return t->code == ERR_OK;
    }
    if (there != 1) return fail(t, "neither there nor not") != NULL;
    *out = span_take_small(t, count);
    return *out != NULL;
}

const uint8_t *span_take_bytes(SpanTake *t, size_t count) {
    return take_exactly(t, count);
}

const uint8_t *span_take_truths(SpanTake *t, size_t count) {
    const uint8_t *bits = take_exactly(t, (count + 7) / 8);
    uint8_t *list = bits == NULL ? NULL : take_memory(t, count, 1);

    for (size_t i = 0; list != NULL && i < count; i++) list[i] = bits[i / 8] >> i % 8 & 1;
    return list;
}

/* ---------- codes ---------- */

static uint32_t *take_packed(SpanTake *t, size_t count, unsigned width) {
    uint64_t words[COLUMN_ITEMS_MAX];
    const uint8_t *bytes;
    uint32_t *list;
    size_t size = 0;

    for (size_t at = 0; at < count; at += COLUMN_ITEMS_MAX)
        size += bits_bytes(MIN(count - at, (size_t)COLUMN_ITEMS_MAX), width);
    bytes = take_exactly(t, size);
    list = bytes == NULL ? NULL : take_memory(t, count, sizeof *list);
    for (size_t at = 0; list != NULL && at < count; at += COLUMN_ITEMS_MAX) {
        size_t n = MIN(count - at, (size_t)COLUMN_ITEMS_MAX);

        bits_unpack(bytes, n, width, words);
        bytes += bits_bytes(n, width);
        narrow(words, n, list + at);
    }
    return list;
}

static uint32_t *take_fresh(SpanTake *t, size_t count, unsigned width) {
    const uint8_t *fresh = span_take_truths(t, count);
    uint32_t *list, *others, next = 0, other = 0;
    size_t n = 0;

    if (fresh == NULL) return NULL;
    for (size_t i = 0; i < count; i++) n += fresh[i];
    others = take_packed(t, count - n, width);
    list = others == NULL ? NULL : take_memory(t, count, sizeof *list);
    for (size_t i = 0; list != NULL && i < count; i++)
        list[i] = fresh[i] != 0 ? next++ : others[other++];
    return list;
}

static uint32_t *take_byte_codes(SpanTake *t, size_t count) {
    const uint8_t *bytes = take_exactly(t, count);
    uint32_t *list = bytes == NULL ? NULL : take_memory(t, count, sizeof *list);

    if (list != NULL) widen(bytes, count, list);
    return list;
}

static uint32_t *count_up(SpanTake *t, size_t count, uint32_t step) {
    uint32_t *list = take_memory(t, count, sizeof *list);

    for (size_t i = 0; list != NULL && i < count; i++) list[i] = (uint32_t)i * step;
    return list;
}

uint32_t *span_take_codes(SpanTake *t, size_t count, uint32_t distinct) {
    unsigned width = bits_width(distinct == 0 ? 0 : distinct - 1);
    uint32_t *list = NULL;

    switch (reader_u8(&t->r)) {
    case SPAN_CODES_ONE:
        list = count_up(t, count, 0);
        break;
    case SPAN_CODES_COUNT:
        list = count_up(t, count, 1);
        break;
    case SPAN_CODES_PACKED:
        list = take_packed(t, count, width);
        break;
    case SPAN_CODES_BYTES:
        list = take_byte_codes(t, count);
        break;
    case SPAN_CODES_FRESH:
        list = take_fresh(t, count, width);
        break;
    default:
        return fail(t, "codes of a kind unknown");
    }
    if (list == NULL) return NULL;
    if (count > 0 && largest_of(list, count) >= distinct) return fail(t, "a code of no text");
    return list;
}

/* ---------- texts ---------- */

const Str *span_take_dictionary(SpanTake *t, uint32_t *out_count) {
    uint64_t count = reader_varint(&t->r);
    uint32_t *lengths;
    size_t at = 0;
    Str *list, raw;

    if (t->r.failed || count > SPAN_ELEMENTS_MAX) return fail(t, "a dictionary is too large");
    lengths = span_take_small(t, (size_t)count);
    if (lengths == NULL || !span_take_part(t, &raw)) return NULL;
    list = take_memory(t, (size_t)count, sizeof *list);
    if (list == NULL) return NULL;
    for (uint64_t i = 0; i < count; i++) {
        if (lengths[i] > raw.len - at) return fail(t, "texts are cut off");
        list[i] = (Str){raw.ptr + at, lengths[i]};
        at += lengths[i];
    }
    if (at != raw.len) return fail(t, "text left over");
    *out_count = (uint32_t)count;
    return list;
}

bool span_take_texts(SpanTake *t, size_t count, TextColumn *out) {
    TextColumn texts = {0};

    texts.dictionary = span_take_dictionary(t, &texts.distinct);
    if (texts.dictionary == NULL) return false;
    texts.codes = span_take_codes(t, count, texts.distinct);
    if (texts.codes == NULL) return false;
    *out = texts;
    return true;
}

/* ---------- numbers of attributes ---------- */

int64_t *span_take_numbers(SpanTake *t, size_t count, bool doubles) {
    uint8_t mode = reader_u8(&t->r);
    uint32_t *codes;
    int64_t *list, *distinct;
    uint64_t found;

    if (mode == SPAN_NUMBERS_PLAIN)
        return doubles ? (int64_t *)(void *)span_take_doubles(t, count) : span_take_ints(t, count);
    found = reader_varint(&t->r);
    if (mode != SPAN_NUMBERS_CODES || found > DISTINCT_MAX || found == 0)
        return fail(t, "numbers of a kind unknown");
    distinct = span_take_ints(t, (size_t)found);
    codes = distinct == NULL ? NULL : span_take_codes(t, count, (uint32_t)found);
    list = codes == NULL ? NULL : take_memory(t, count, sizeof *list);
    for (size_t i = 0; list != NULL && i < count; i++) list[i] = distinct[codes[i]];
    return list;
}

/* ---------- owners and starts ---------- */

static uint32_t *owners_of_bits(SpanTake *t, uint32_t of, uint32_t count) {
    const uint8_t *bits = take_exactly(t, (of + (size_t)7) / 8);
    uint32_t *list = bits == NULL ? NULL : take_memory(t, count, sizeof *list), n = 0;

    for (uint32_t at = 0; list != NULL && at < of; at += 64) {
        uint64_t word = 0;

        memcpy(&word, bits + at / 8, MIN((of - at + 7) / 8, 8u));
        if ((uint32_t)__builtin_popcountll(word) > count - n) return fail(t, "too many owners");
        for (; word != 0; word &= word - 1) list[n++] = at + (uint32_t)__builtin_ctzll(word);
    }
    if (list == NULL) return NULL;
    if (n != count || (n > 0 && list[n - 1] >= of)) return fail(t, "owners don't add up");
    return list;
}

static uint32_t *owners_of_gaps(SpanTake *t, uint32_t of, uint32_t count) {
    uint32_t *list = span_take_small(t, count);
    uint64_t next = 0;

    for (uint32_t i = 0; list != NULL && i < count; i++) {
        next += list[i];
        if (next >= of) return fail(t, "an owner isn't there");
        list[i] = (uint32_t)next++;
    }
    return list;
}

uint32_t *span_take_owners(SpanTake *t, uint32_t of, uint32_t *out_count) {
    uint64_t count = reader_varint(&t->r);
    uint8_t mode = reader_u8(&t->r);
    uint32_t *list;

    if (t->r.failed || count == 0 || count > of) return fail(t, "too many owners");
    if (mode == SPAN_OWNERS_BITS)
        list = owners_of_bits(t, of, (uint32_t)count);
    else if (mode == SPAN_OWNERS_GAPS)
        list = owners_of_gaps(t, of, (uint32_t)count);
    else
        return fail(t, "owners of a kind unknown");
    *out_count = (uint32_t)count;
    return list;
}

uint32_t *span_take_starts(SpanTake *t, size_t count, uint32_t most) {
    uint32_t *counts = span_take_small(t, count);
    uint32_t *starts = counts == NULL ? NULL : take_memory(t, count + 1, sizeof *starts);
    uint64_t sum = 0;

    for (size_t i = 0; starts != NULL && i < count; i++) {
        starts[i] = (uint32_t)sum;
        sum += counts[i];
        if (sum > most) return fail(t, "parts add up to too many");
    }
    if (starts != NULL) starts[count] = (uint32_t)sum;
    return starts;
}
