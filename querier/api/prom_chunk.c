#include "querier/api/prom_chunk.h"

#include <math.h>

/* ---------- bits, highest first ---------- */

typedef struct BitWriter {
    Buf *out;
    uint64_t word; /* `used` bits at its low end wait for their byte */
    unsigned used; /* below 8 */
} BitWriter;

static void put_bits(BitWriter *bits, uint64_t v, unsigned count) {
    while (count > 0) {
        unsigned take = MIN(8 - bits->used, count);

        bits->word = bits->word << take | (v >> (count - take) & ((1u << take) - 1));
        bits->used += take;
        count -= take;
        if (bits->used < 8) continue;
        buf_append_byte(bits->out, (char)bits->word);
        bits->word = 0;
        bits->used = 0;
    }
}

static void flush_bits(BitWriter *bits) {
    if (bits->used > 0) put_bits(bits, 0, 8 - bits->used);
}

static uint64_t double_bits(double v) {
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Whole bytes at whatever bit the writer stands: LEB128. */
static void put_uvarint(BitWriter *bits, uint64_t v) {
    for (; v >= 0x80; v >>= 7) put_bits(bits, (v & 0x7f) | 0x80, 8);
    put_bits(bits, v, 8);
}

/* Whether `v` is one of the 2^count integers around 0, one more of them above it than below. */
static bool fits(int64_t v, unsigned count) {
    return v > -(INT64_C(1) << (count - 1)) && v <= INT64_C(1) << (count - 1);
}

/* A value that follows another: the meaningful bits of their XOR. */
typedef struct XorState {
    double value;
    uint8_t leading; /* NO_WINDOW: none was written yet */
    uint8_t trailing;
} XorState;

enum { NO_WINDOW = 0xff, LEADING_MAX = 31 };

static void put_xor(BitWriter *bits, XorState *state, double value) {
    uint64_t delta = double_bits(value) ^ double_bits(state->value);
    uint8_t leading, trailing;

    state->value = value;
    if (delta == 0) {
        put_bits(bits, 0, 1);
        return;
    }
    leading = (uint8_t)MIN(__builtin_clzll(delta), LEADING_MAX);
    trailing = (uint8_t)__builtin_ctzll(delta);
    if (state->leading != NO_WINDOW && leading >= state->leading && trailing >= state->trailing) {
        put_bits(bits, 2, 2);
        put_bits(bits, delta >> state->trailing, 64u - state->leading - state->trailing);
        return;
    }
    state->leading = leading;
    state->trailing = trailing;
    put_bits(bits, 3, 2);
    put_bits(bits, leading, 5);
    put_bits(bits, 64u - leading - trailing, 6); /* 64 is written as 0 */
    put_bits(bits, delta >> trailing, 64u - leading - trailing);
}

/* ---------- floats ---------- */

static void put_time_xor(BitWriter *bits, int64_t change) {
    if (change == 0) {
        put_bits(bits, 0, 1);
    } else if (fits(change, 14)) {
        put_bits(bits, 2, 2);
        put_bits(bits, (uint64_t)change & 0x3fff, 14);
    } else if (fits(change, 17)) {
        put_bits(bits, 6, 3);
        put_bits(bits, (uint64_t)change & 0x1ffff, 17);
    } else if (fits(change, 20)) {
        put_bits(bits, 14, 4);
        put_bits(bits, (uint64_t)change & 0xfffff, 20);
    } else {
        put_bits(bits, 15, 4);
        put_bits(bits, (uint64_t)change, 64);
    }
}

size_t prom_chunk_floats(const int64_t *times, const double *values, size_t count, Buf *out) {
    BitWriter bits = {.out = out};
    XorState state = {values[0], NO_WINDOW, 0};
    int64_t delta = 0;

    count = MIN(count, PROM_CHUNK_SAMPLES_MAX);
    put_bits(&bits, count, 16);
    put_uvarint(&bits, (uint64_t)times[0] << 1 ^ (uint64_t)(times[0] >> 63));
    put_bits(&bits, double_bits(values[0]), 64);
    for (size_t i = 1; i < count; i++) {
        int64_t step = (int64_t)((uint64_t)times[i] - (uint64_t)times[i - 1]);

        if (i == 1)
            put_uvarint(&bits, (uint64_t)step);
        else
            put_time_xor(&bits, (int64_t)((uint64_t)step - (uint64_t)delta));
        delta = step;
        put_xor(&bits, &state, values[i]);
    }
    flush_bits(&bits);
    return count;
}

/* ---------- histograms ---------- */

static const uint8_t varbit_sizes[] = {3, 6, 9, 12, 18, 25, 56};

/* A prefix of ones tells the size: 0, 10 and 3 bits, 110 and 6 bits, up to eight ones and 64. */
static void put_sized(BitWriter *bits, uint64_t v, unsigned size) {
    if (size == ARRAY_LEN(varbit_sizes)) {
        put_bits(bits, 0xff, 8);
        put_bits(bits, v, 64);
        return;
    }
    put_bits(bits, (2u << (size + 1)) - 2, size + 2);
    put_bits(bits, v, varbit_sizes[size]);
}

static void put_varbit_int(BitWriter *bits, int64_t v) {
    unsigned size = 0;

    if (v == 0) {
        put_bits(bits, 0, 1);
        return;
    }
    while (size < ARRAY_LEN(varbit_sizes) && !fits(v, varbit_sizes[size])) size++;
    put_sized(bits, (uint64_t)v, size);
}

static void put_varbit_uint(BitWriter *bits, uint64_t v) {
    unsigned size = 0;

    if (v == 0) {
        put_bits(bits, 0, 1);
        return;
    }
    while (size < ARRAY_LEN(varbit_sizes) && v >> varbit_sizes[size] != 0) size++;
    put_sized(bits, v, size);
}

static void put_zero_threshold(BitWriter *bits, double threshold) {
    int exponent = 0;
    double fraction = frexp(threshold, &exponent);

    if (threshold == 0) {
        put_bits(bits, 0, 8);
    } else if (fraction != 0.5 || exponent < -242 || exponent > 11) {
        put_bits(bits, 255, 8);
        put_bits(bits, double_bits(threshold), 64);
    } else {
        put_bits(bits, (uint64_t)(exponent + 243), 8);
    }
}

/* Thousandths up to 33,554.43 are integers, other bounds doubles behind a 0. */
static void put_custom_bound(BitWriter *bits, double bound) {
    double thousandths = round(bound * 1000);

    if (bound >= 0 && thousandths <= 33554430 && thousandths / 1000 == bound) {
        put_varbit_uint(bits, (uint64_t)thousandths + 1);
        return;
    }
    put_bits(bits, 0, 1);
    put_bits(bits, double_bits(bound), 64);
}

static void put_spans(BitWriter *bits, const HistogramSpan *spans, uint32_t count) {
    put_varbit_uint(bits, count);
    for (uint32_t i = 0; i < count; i++) {
        put_varbit_uint(bits, spans[i].length);
        put_varbit_int(bits, spans[i].offset);
    }
}

/* What a stale marker is stored as: its sum and nothing else. */
static NativeHistogram bare_if_stale(const NativeHistogram *h) {
    if (!histogram_is_stale(h)) return *h;
    return (NativeHistogram){.is_float = h->is_float, .sum = h->sum};
}

static uint8_t hint_bits(const NativeHistogram *h) {
    switch ((HistogramHint)h->hint) {
    case HISTOGRAM_HINT_RESET:
        return 0x80;
    case HISTOGRAM_HINT_NO_RESET:
        return 0x40;
    case HISTOGRAM_HINT_GAUGE:
        return 0xc0;
    case HISTOGRAM_HINT_UNKNOWN:
        break;
    }
    return 0;
}

static bool same_spans(const HistogramSpan *a, uint32_t a_count, const HistogramSpan *b,
                       uint32_t b_count) {
    return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * sizeof *a) == 0);
}

static bool same_layout(const NativeHistogram *a, const NativeHistogram *b) {
    return a->is_float == b->is_float && a->schema == b->schema &&
           a->zero_threshold == b->zero_threshold && a->positive_count == b->positive_count &&
           a->negative_count == b->negative_count && a->custom_count == b->custom_count &&
           same_spans(a->positive_spans, a->positive_span_count, b->positive_spans,
                      b->positive_span_count) &&
           same_spans(a->negative_spans, a->negative_span_count, b->negative_spans,
                      b->negative_span_count) &&
           (a->custom_count == 0 ||
            memcmp(a->custom_values, b->custom_values, a->custom_count * sizeof(double)) == 0);
}

static bool any_less(const double *next, const double *last, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (next[i] < last[i]) return true;
    return false;
}

/* Within a chunk whoever reads it takes counters for not having been reset. */
static bool may_follow(const NativeHistogram *last, const NativeHistogram *next) {
    bool gauge = next->hint == HISTOGRAM_HINT_GAUGE;

    if (histogram_is_stale(last) || histogram_is_stale(next) || !same_layout(last, next) ||
        gauge != (last->hint == HISTOGRAM_HINT_GAUGE) || next->hint == HISTOGRAM_HINT_RESET)
        return false;
    return gauge || next->hint == HISTOGRAM_HINT_NO_RESET ||
           !(next->count < last->count || next->zero_count < last->zero_count ||
             any_less(next->positive, last->positive, next->positive_count) ||
             any_less(next->negative, last->negative, next->negative_count));
}

/* An integer column of the chunk: what is stored is how its difference changes. */
typedef struct DeltaState {
    int64_t value;
    int64_t delta;
} DeltaState;

static void put_delta(BitWriter *bits, DeltaState *state, int64_t value) {
    int64_t delta = (int64_t)((uint64_t)value - (uint64_t)state->value);

    put_varbit_int(bits, (int64_t)((uint64_t)delta - (uint64_t)state->delta));
    *state = (DeltaState){value, delta};
}

typedef struct ChunkWriter {
    BitWriter bits;
    DeltaState time;
    DeltaState count, zero_count; /* of integers */
    XorState sum;
    XorState float_count, float_zero_count;
    DeltaState *buckets; /* positive, then negative; of integers */
    XorState *float_buckets;
} ChunkWriter;

/* Integer buckets are kept as differences from the bucket before. */
static int64_t bucket_delta(const double *counts, uint32_t i) {
    return (int64_t)(counts[i] - (i == 0 ? 0 : counts[i - 1]));
}

static void put_first_integers(ChunkWriter *chunk, const NativeHistogram *h) {
    uint32_t at = 0;

    put_varbit_uint(&chunk->bits, (uint64_t)h->count);
    put_varbit_uint(&chunk->bits, (uint64_t)h->zero_count);
    put_bits(&chunk->bits, double_bits(h->sum), 64);
    chunk->count.value = (int64_t)h->count;
    chunk->zero_count.value = (int64_t)h->zero_count;
    for (uint32_t i = 0; i < h->positive_count; i++)
        chunk->buckets[at++].value = bucket_delta(h->positive, i);
    for (uint32_t i = 0; i < h->negative_count; i++)
        chunk->buckets[at++].value = bucket_delta(h->negative, i);
    for (uint32_t i = 0; i < at; i++) put_varbit_int(&chunk->bits, chunk->buckets[i].value);
}

static void put_first_floats(ChunkWriter *chunk, const NativeHistogram *h) {
    uint32_t at = 0;

    put_bits(&chunk->bits, double_bits(h->count), 64);
    put_bits(&chunk->bits, double_bits(h->zero_count), 64);
    put_bits(&chunk->bits, double_bits(h->sum), 64);
    chunk->float_count = (XorState){h->count, NO_WINDOW, 0};
    chunk->float_zero_count = (XorState){h->zero_count, NO_WINDOW, 0};
    for (uint32_t i = 0; i < h->positive_count; i++)
        chunk->float_buckets[at++] = (XorState){h->positive[i], NO_WINDOW, 0};
    for (uint32_t i = 0; i < h->negative_count; i++)
        chunk->float_buckets[at++] = (XorState){h->negative[i], NO_WINDOW, 0};
    for (uint32_t i = 0; i < at; i++)
        put_bits(&chunk->bits, double_bits(chunk->float_buckets[i].value), 64);
}

static void put_first(ChunkWriter *chunk, int64_t time, const NativeHistogram *h) {
    BitWriter *bits = &chunk->bits;

    put_zero_threshold(bits, h->zero_threshold);
    put_varbit_int(bits, h->schema);
    put_spans(bits, h->positive_spans, h->positive_span_count);
    put_spans(bits, h->negative_spans, h->negative_span_count);
    if (h->schema == HISTOGRAM_SCHEMA_CUSTOM) {
        put_varbit_uint(bits, h->custom_count);
        for (uint32_t i = 0; i < h->custom_count; i++) put_custom_bound(bits, h->custom_values[i]);
    }
    put_varbit_int(bits, time);
    chunk->time.value = time;
    chunk->sum = (XorState){h->sum, NO_WINDOW, 0};
    if (h->is_float)
        put_first_floats(chunk, h);
    else
        put_first_integers(chunk, h);
}

static void put_next(ChunkWriter *chunk, int64_t time, const NativeHistogram *h) {
    BitWriter *bits = &chunk->bits;
    uint32_t at = 0;

    put_delta(bits, &chunk->time, time);
    if (h->is_float) {
        put_xor(bits, &chunk->float_count, h->count);
        put_xor(bits, &chunk->float_zero_count, h->zero_count);
        put_xor(bits, &chunk->sum, h->sum);
        for (uint32_t i = 0; i < h->positive_count; i++)
            put_xor(bits, &chunk->float_buckets[at++], h->positive[i]);
        for (uint32_t i = 0; i < h->negative_count; i++)
            put_xor(bits, &chunk->float_buckets[at++], h->negative[i]);
        return;
    }
    put_delta(bits, &chunk->count, (int64_t)h->count);
    put_delta(bits, &chunk->zero_count, (int64_t)h->zero_count);
    put_xor(bits, &chunk->sum, h->sum);
    for (uint32_t i = 0; i < h->positive_count; i++)
        put_delta(bits, &chunk->buckets[at++], bucket_delta(h->positive, i));
    for (uint32_t i = 0; i < h->negative_count; i++)
        put_delta(bits, &chunk->buckets[at++], bucket_delta(h->negative, i));
}

size_t prom_chunk_histograms(const int64_t *times, const NativeHistogram *const *histograms,
                             size_t count, PromChunkType *type, Buf *out) {
    NativeHistogram first = bare_if_stale(histograms[0]);
    size_t buckets = (size_t)first.positive_count + first.negative_count, taken = 1;
    ChunkWriter chunk = {.bits.out = out};
    Arena *arena = arena_new(0, NULL); /* bounded by HISTOGRAM_BUCKETS_MAX */

    *type = first.is_float ? PROM_CHUNK_FLOAT_HISTOGRAM : PROM_CHUNK_HISTOGRAM;
    chunk.buckets = ARENA_ARRAY(arena, DeltaState, buckets);
    chunk.float_buckets = ARENA_ARRAY(arena, XorState, buckets);
    if (chunk.buckets == NULL || chunk.float_buckets == NULL) {
        out->failed = true;
        arena_free(arena);
        return count;
    }
    while (taken < MIN(count, PROM_CHUNK_SAMPLES_MAX) &&
           may_follow(histograms[taken - 1], histograms[taken]))
        taken++;
    put_bits(&chunk.bits, taken, 16);
    put_bits(&chunk.bits, hint_bits(histograms[0]), 8);
    put_first(&chunk, times[0], &first);
    for (size_t i = 1; i < taken; i++) put_next(&chunk, times[i], histograms[i]);
    flush_bits(&chunk.bits);
    arena_free(arena);
    return taken;
}
