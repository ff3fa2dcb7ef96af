/*
 * stream.c: the byte stream of a head's series.
 *
 * A sample is a control byte, its time and its value. The control byte's low three bits say how the
 * time follows (TIME_*), the upper five what kind of value comes and how (VALUE_*). Everything is
 * little endian. A sample that cannot be told from the one before stands alone: any instant and any
 * bits of a double can follow any others.
 *
 *     time:   0 same spacing as before; 1, 2, 3 spacing changed by an i8, i16, i32; 4 an i64
 * instant value:  0 same bits; 1, 2, 3, 4 both whole numbers, difference in an i8, i16, i24, i32;
 *             5..12 the XOR of the bits in 1..8 bytes, the leading zero bytes left out;
 *             13 a native histogram, which stands alone:
 *                 u8 flags (hint, is_float << 2, whole << 3), zigzag schema, f64 zero threshold,
 *                 f64 sum, counts of positive spans, negative spans, positive buckets, negative
 *                 buckets and custom bounds, the spans (zigzag offset, length), the bounds (f64);
 *                 then count, zero count, buckets: f64, or, when all of them are whole, varints and
 *                 for the buckets zigzag differences from the one before.
 */
#include "common/block/stream.h"

#include <math.h>
#include <string.h>

#include "common/base/reader.h"

enum { TIME_SAME = 0, TIME_I8 = 1, TIME_I16 = 2, TIME_I32 = 3, TIME_FULL = 4 };
enum {
    VALUE_SAME = 0,
    VALUE_I8 = 1,
    VALUE_I16 = 2,
    VALUE_I24 = 3,
    VALUE_I32 = 4,
    VALUE_XOR = 4, /* plus the number of bytes, 1 to 8 */
    VALUE_XOR_LAST = 12,
    VALUE_HISTOGRAM = 13,
};
enum { HISTOGRAM_IS_FLOAT = 1 << 2, HISTOGRAM_WHOLE = 1 << 3, HISTOGRAM_FLAGS = 15 };

static const double WHOLE_MAX = 9007199254740992.0; /* 2^53: beyond, whole numbers have gaps */

static uint64_t bits_of(double v) {
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits) {
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Is it a number that an int64 gives back bit for bit? Not so for fractions, -0 and NaN. */
static bool is_whole(double v, int64_t *out) {
    if (!(fabs(v) <= WHOLE_MAX)) return false;
    *out = (int64_t)v;
    return bits_of((double)*out) == bits_of(v);
}

/* ---------- appending ---------- */

/* Always writes eight bytes and says that only some of them count: no branch, no call. A sample's
 * control byte, time and value written so stay within STREAM_SAMPLE_BYTES_MAX. */
static uint8_t *put_le(uint8_t *at, uint64_t v, unsigned bytes) {
    memcpy(at, &v, sizeof v);
    return at + bytes;
}

static uint8_t *put_varint(uint8_t *at, uint64_t v) {
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

static uint8_t *put_zigzag(uint8_t *at, int64_t v) {
    return put_varint(at, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static uint8_t *put_double(uint8_t *at, double v) {
    return put_le(at, bits_of(v), 8);
}

/* Writes the time at `at` and its code into *control. Wrapping arithmetic: any two instants have a
 * distance, and adding it again gives the second one back. */
static uint8_t *append_time(StreamState *state, uint8_t *control, uint8_t *at, int64_t time_ms) {
    int64_t delta = (int64_t)((uint64_t)time_ms - (uint64_t)state->time_ms);
    int64_t change = (int64_t)((uint64_t)delta - (uint64_t)state->delta_ms);

    state->in_order = state->count == 0 || (state->in_order && time_ms > state->time_ms);
    state->count++;
    state->time_ms = time_ms;
    state->delta_ms = delta;
    if (change == 0) {
        *control = TIME_SAME;
        return at;
    }
    if (change >= INT8_MIN && change <= INT8_MAX) {
        *control = TIME_I8;
        return put_le(at, (uint64_t)change, 1);
    }
    if (change >= INT16_MIN && change <= INT16_MAX) {
        *control = TIME_I16;
        return put_le(at, (uint64_t)change, 2);
    }
    if (change >= INT32_MIN && change <= INT32_MAX) {
        *control = TIME_I32;
        return put_le(at, (uint64_t)change, 4);
    }
    *control = TIME_FULL;
    return put_le(at, (uint64_t)time_ms, 8);
}

static uint8_t *append_value(uint8_t *control, uint8_t *at, double last, double value) {
    uint64_t xor = bits_of(last) ^ bits_of(value);
    unsigned xor_bytes;
    int64_t from, to, d;

    if (xor == 0) {
        *control |= VALUE_SAME << 3;
        return at;
    }
    xor_bytes = 8 - (unsigned)__builtin_clzll(xor) / 8;
    if (is_whole(value, &to) && is_whole(last, &from)) {
        d = to - from;
        if (d >= INT8_MIN && d <= INT8_MAX) {
            *control |= VALUE_I8 << 3;
            return put_le(at, (uint64_t)d, 1);
        }
        if (d >= INT16_MIN && d <= INT16_MAX) {
            *control |= VALUE_I16 << 3;
            return put_le(at, (uint64_t)d, 2);
        }
        if (d >= -(1 << 23) && d < 1 << 23) {
            *control |= VALUE_I24 << 3;
            return put_le(at, (uint64_t)d, 3);
        }
        if (d >= INT32_MIN && d <= INT32_MAX && xor_bytes > 4) {
            *control |= VALUE_I32 << 3;
            return put_le(at, (uint64_t)d, 4);
        }
    }
    *control |= (uint8_t)((VALUE_XOR + xor_bytes) << 3);
    return put_le(at, xor, xor_bytes);
}

size_t stream_append(StreamState *state, uint8_t *out, int64_t time_ms, double value) {
    uint8_t *at = append_time(state, out, out + 1, time_ms);

    at = append_value(out, at, state->value, value);
    state->value = value;
    return (size_t)(at - out);
}

size_t stream_histogram_bytes_max(const NativeHistogram *h) {
    size_t spans = (size_t)h->positive_span_count + h->negative_span_count;
    size_t buckets = (size_t)h->positive_count + h->negative_count;

    /* Control byte, time, flags, schema; threshold, sum; five counts; count and zero count. */
    return 1 + 8 + 1 + 5 + 2 * 8 + 5 * 5 + 2 * 10 + spans * 10 + buckets * 10 +
           (size_t)h->custom_count * 8;
}

static bool all_whole(const double *v, uint32_t count) {
    int64_t whole;

    for (uint32_t i = 0; i < count; i++) {
        if (!is_whole(v[i], &whole)) return false;
    }
    return true;
}

static bool counts_whole(const NativeHistogram *h) {
    return all_whole(&h->count, 1) && all_whole(&h->zero_count, 1) &&
           all_whole(h->positive, h->positive_count) && all_whole(h->negative, h->negative_count);
}

static uint8_t *put_spans(uint8_t *at, const HistogramSpan *spans, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        at = put_zigzag(at, spans[i].offset);
        at = put_varint(at, spans[i].length);
    }
    return at;
}

static uint8_t *put_buckets(uint8_t *at, const double *v, uint32_t count, bool whole) {
    int64_t last = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (whole) {
            at = put_zigzag(at, (int64_t)v[i] - last);
            last = (int64_t)v[i];
        } else {
            at = put_double(at, v[i]);
        }
    }
    return at;
}

size_t stream_append_histogram(StreamState *state, uint8_t *out, int64_t time_ms,
                               const NativeHistogram *h) {
    uint8_t *at = append_time(state, out, out + 1, time_ms);
    bool whole = counts_whole(h);

    *out |= VALUE_HISTOGRAM << 3;
    *at++ = (uint8_t)((h->hint & 3) | (h->is_float ? HISTOGRAM_IS_FLOAT : 0) |
                      (whole ? HISTOGRAM_WHOLE : 0));
    at = put_zigzag(at, h->schema);
    at = put_double(at, h->zero_threshold);
    at = put_double(at, h->sum);
    at = put_varint(at, h->positive_span_count);
    at = put_varint(at, h->negative_span_count);
    at = put_varint(at, h->positive_count);
    at = put_varint(at, h->negative_count);
    at = put_varint(at, h->custom_count);
    at = put_spans(at, h->positive_spans, h->positive_span_count);
    at = put_spans(at, h->negative_spans, h->negative_span_count);
    for (uint32_t i = 0; i < h->custom_count; i++) at = put_double(at, h->custom_values[i]);
    at = whole ? put_zigzag(at, (int64_t)h->count) : put_double(at, h->count);
    at = whole ? put_zigzag(at, (int64_t)h->zero_count) : put_double(at, h->zero_count);
    at = put_buckets(at, h->positive, h->positive_count, whole);
    at = put_buckets(at, h->negative, h->negative_count, whole);
    return (size_t)(at - out);
}

/* ---------- decoding ---------- */

/* Called once a sample, each from one place. */
#define INLINE inline __attribute__((always_inline))

/* The next `bytes` bytes, 1 to 8, in the upper end of a word. */
static INLINE uint64_t take_high(Reader *r, unsigned bytes) {
    uint64_t v = 0;

    if (LIKELY(reader_left(r) >= sizeof v)) {
        memcpy(&v, r->at, sizeof v);
    } else {
        if (!reader_has(r, bytes)) return 0;
        memcpy(&v, r->at, bytes);
    }
    r->at += bytes;
    return v << (64 - 8 * bytes);
}

/* A signed little-endian integer of `bytes` bytes. */
static INLINE int64_t take_le(Reader *r, unsigned bytes) {
    return (int64_t)take_high(r, bytes) >> (64 - 8 * bytes);
}

static INLINE bool take_time(Reader *r, unsigned code, int64_t *time, int64_t *delta) {
    static const uint8_t bytes[] = {0, 1, 2, 4};
    int64_t next;

    if (code < TIME_FULL) {
        if (code != TIME_SAME)
            *delta = (int64_t)((uint64_t)*delta + (uint64_t)take_le(r, bytes[code]));
        *time = (int64_t)((uint64_t)*time + (uint64_t)*delta);
        return true;
    }
    if (code != TIME_FULL) return false;
    next = take_le(r, 8);
    *delta = (int64_t)((uint64_t)next - (uint64_t)*time);
    *time = next;
    return true;
}

/* The value so far, also as the integer that it is while differences follow each other: turning
 * it back and forth for each sample would take longer than all the rest. */
typedef struct Value {
    double value;
    int64_t whole;
    bool is_whole; /* `whole` is it */
} Value;

static INLINE bool take_value(Reader *r, unsigned code, Value *v) {
    unsigned bytes;

    if (code == VALUE_SAME) return true;
    if (code <= VALUE_I32) {
        /* Written only between whole numbers, but the bytes may say anything. */
        if (!v->is_whole && !is_whole(v->value, &v->whole)) return false;
        v->whole += take_le(r, code);
        v->is_whole = true;
        v->value = (double)v->whole;
        return fabs(v->value) <= WHOLE_MAX;
    }
    if (code > VALUE_XOR_LAST) return false;
    bytes = code - VALUE_XOR;
    v->value = double_of(bits_of(v->value) ^ take_high(r, bytes) >> (64 - 8 * bytes));
    v->is_whole = false;
    return true;
}

/* An array of `count` elements that take at least `bytes_min` bytes each of what is left. */
static void *take_array(Reader *r, Arena *arena, uint64_t count, uint64_t count_max,
                        size_t bytes_min, size_t element, ErrCode *code) {
    void *array;

    if (*code != ERR_OK || count == 0) return NULL;
    if (r->failed || count > count_max || count * bytes_min > reader_left(r)) {
        *code = ERR_CORRUPT;
        return NULL;
    }
    array = arena_alloc(arena, count * element);
    if (array == NULL) *code = ERR_LIMIT;
    return array;
}

static HistogramSpan *take_spans(Reader *r, Arena *arena, uint64_t count, ErrCode *code) {
    HistogramSpan *spans =
        take_array(r, arena, count, HISTOGRAM_SPANS_MAX, 2, sizeof(HistogramSpan), code);

    for (uint64_t i = 0; spans != NULL && i < count; i++) {
        int64_t offset = reader_zigzag(r);
        uint64_t length = reader_varint(r);

        if (offset < INT32_MIN || offset > INT32_MAX || length > UINT32_MAX) {
            *code = ERR_CORRUPT;
            return NULL;
        }
        spans[i] = (HistogramSpan){(int32_t)offset, (uint32_t)length};
    }
    return spans;
}

static double *take_doubles(Reader *r, Arena *arena, uint64_t count, uint64_t count_max,
                            ErrCode *code) {
    double *v = take_array(r, arena, count, count_max, sizeof(double), sizeof(double), code);

    if (v == NULL) return NULL;
    memcpy(v, r->at, count * sizeof *v);
    r->at += count * sizeof *v;
    return v;
}

static double *take_buckets(Reader *r, Arena *arena, uint64_t count, bool whole, ErrCode *code) {
    uint64_t last = 0;
    double *v;

    if (!whole) return take_doubles(r, arena, count, HISTOGRAM_BUCKETS_MAX, code);
    v = take_array(r, arena, count, HISTOGRAM_BUCKETS_MAX, 1, sizeof(double), code);
    for (uint64_t i = 0; v != NULL && i < count; i++) {
        last += (uint64_t)reader_zigzag(r);
        v[i] = (double)(int64_t)last;
    }
    return v;
}

static NativeHistogram *take_histogram(Reader *r, Arena *arena, ErrCode *code) {
    NativeHistogram *h = arena_zalloc(arena, sizeof *h);
    uint8_t flags = reader_u8(r);
    bool whole = (flags & HISTOGRAM_WHOLE) != 0;
    int64_t schema = reader_zigzag(r);
    uint64_t positive_spans, negative_spans, positive, negative, custom;

    if (h == NULL) {
        *code = ERR_LIMIT;
        return NULL;
    }
    if (flags > HISTOGRAM_FLAGS || schema < INT32_MIN || schema > INT32_MAX) {
        *code = ERR_CORRUPT;
        return NULL;
    }
    h->hint = flags & 3;
    h->is_float = (flags & HISTOGRAM_IS_FLOAT) != 0;
    h->schema = (int32_t)schema;
    h->zero_threshold = reader_double(r);
    h->sum = reader_double(r);
    positive_spans = reader_varint(r);
    negative_spans = reader_varint(r);
    positive = reader_varint(r);
    negative = reader_varint(r);
    custom = reader_varint(r);
    h->positive_spans = take_spans(r, arena, positive_spans, code);
    h->negative_spans = take_spans(r, arena, negative_spans, code);
    h->custom_values = take_doubles(r, arena, custom, HISTOGRAM_CUSTOM_MAX, code);
    h->count = whole ? (double)reader_zigzag(r) : reader_double(r);
    h->zero_count = whole ? (double)reader_zigzag(r) : reader_double(r);
    h->positive = take_buckets(r, arena, positive, whole, code);
    h->negative = take_buckets(r, arena, negative, whole, code);
    if (r->failed) *code = ERR_CORRUPT;
    if (*code != ERR_OK) return NULL;
    h->positive_span_count = (uint32_t)positive_spans;
    h->negative_span_count = (uint32_t)negative_spans;
    h->positive_count = (uint32_t)positive;
    h->negative_count = (uint32_t)negative;
    h->custom_count = (uint32_t)custom;
    return h;
}

/* ---------- putting in order ---------- */

/* A sample on its way into order; `histogram` NULL for a float. */
typedef struct Arrived {
    int64_t time_ms;
    double value;
    const NativeHistogram *histogram;
} Arrived;

/* Where the ascending run that starts at `from` ends. */
static size_t run_end(const Arrived *v, size_t from, size_t count) {
    size_t i = from + 1;

    while (i < count && v[i].time_ms >= v[i - 1].time_ms) i++;
    return MIN(i, count);
}

/* Merges neighbouring runs into `to`, the left one first among equals; how many runs are left. */
static size_t merge_runs(const Arrived *from, Arrived *to, size_t count) {
    size_t runs = 0;

    for (size_t start = 0; start < count; runs++) {
        size_t middle = run_end(from, start, count);
        size_t end = middle < count ? run_end(from, middle, count) : middle;
        size_t left = start, right = middle;

        for (size_t i = start; i < end; i++) {
            bool take_left =
                left < middle && (right == end || from[left].time_ms <= from[right].time_ms);

            to[i] = take_left ? from[left++] : from[right++];
        }
        start = end;
    }
    return runs;
}

/* A natural merge sort: stable, and one pass when a late batch landed behind a sorted one. */
static Arrived *sort_by_time(Arrived *v, Arrived *spare, size_t count) {
    while (run_end(v, 0, count) < count) {
        Arrived *sorted = spare;

        merge_runs(v, spare, count);
        spare = v;
        v = sorted;
    }
    return v;
}

/* The samples as they came. `*ascending`: every time is above the one before. */
typedef struct Decoded {
    int64_t *times;
    double *values;
    const NativeHistogram **histograms; /* NULL when there are none; else NULL for each float */
    size_t count;
    bool ascending;
} Decoded;

static ErrCode decode_in_arrival_order(Str bytes, uint32_t count, Arena *arena, Decoded *out) {
    Reader r = reader_of(bytes);
    int64_t time = 0, delta = 0;
    const NativeHistogram **histograms = NULL;
    bool ascending = true;
    Value value = {0};
    ErrCode code = ERR_OK;
    int64_t *times;
    double *values;

    /* Each sample has at least its control byte: a count beyond that is a lie. */
    if (count > bytes.len) return ERR_CORRUPT;
    times = arena_alloc(arena, count * sizeof *times);
    values = arena_alloc(arena, count * sizeof *values);
    if (times == NULL || values == NULL) return ERR_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t control = reader_u8(&r);
        int64_t before = time;

        if (!take_time(&r, control & 7, &time, &delta)) return ERR_CORRUPT;
        ascending &= i == 0 || time > before;
        times[i] = time;
        if (control >> 3 == VALUE_HISTOGRAM) {
            Reader rest = r; /* a copy, so that the loop's own can stay in registers */

            if (histograms == NULL) histograms = ARENA_ARRAY(arena, const NativeHistogram *, count);
            if (histograms == NULL) return ERR_LIMIT;
            histograms[i] = take_histogram(&rest, arena, &code);
            if (code != ERR_OK) return code;
            r = rest;
        } else if (!take_value(&r, control >> 3, &value)) {
            return ERR_CORRUPT;
        }
        values[i] = value.value;
    }
    *out = (Decoded){times, values, histograms, count, ascending};
    return r.failed || !reader_at_end(&r) ? ERR_CORRUPT : ERR_OK;
}

bool stream_decode_floats(const ChunkView *chunk, int64_t *times, double *values) {
    Reader r = reader_of(chunk->bytes);
    int64_t time = 0, delta = 0;
    bool ascending = true;
    Value value = {0};

    if (chunk->count > chunk->bytes.len) return false;
    for (uint32_t i = 0; i < chunk->count; i++) {
        uint8_t control = reader_u8(&r);
        int64_t before = time;

        if (!take_time(&r, control & 7, &time, &delta) || !take_value(&r, control >> 3, &value))
            return false;
        ascending &= i == 0 || time > before;
        times[i] = time;
        values[i] = value.value;
    }
    return ascending && !r.failed && reader_at_end(&r);
}

static ErrCode put_in_order(Decoded *d, Arena *arena) {
    Arrived *v = arena_alloc(arena, d->count * sizeof *v);
    Arrived *spare = arena_alloc(arena, d->count * sizeof *v);
    size_t kept = 0;

    if (v == NULL || spare == NULL) return ERR_LIMIT;
    for (size_t i = 0; i < d->count; i++) {
        v[i] =
            (Arrived){d->times[i], d->values[i], d->histograms == NULL ? NULL : d->histograms[i]};
    }
    v = sort_by_time(v, spare, d->count);
    for (size_t i = 0; i < d->count; i++) {
        if (kept > 0 && d->times[kept - 1] == v[i].time_ms) continue; /* the first one wins */
        d->times[kept] = v[i].time_ms;
        d->values[kept] = v[i].value;
        if (d->histograms != NULL) d->histograms[kept] = v[i].histogram;
        kept++;
    }
    d->count = kept;
    return ERR_OK;
}

/* Floats and histograms apart, as ChunkSamples has them. */
static ErrCode split_kinds(Decoded *d, Arena *arena, ChunkSamples *out) {
    int64_t *histogram_times;
    size_t floats = 0, histograms = 0;

    if (d->histograms == NULL) {
        *out = (ChunkSamples){.times = d->times, .values = d->values, .count = d->count};
        return ERR_OK;
    }
    histogram_times = arena_alloc(arena, d->count * sizeof *histogram_times);
    if (histogram_times == NULL) return ERR_LIMIT;
    for (size_t i = 0; i < d->count; i++) {
        if (d->histograms[i] != NULL) {
            histogram_times[histograms] = d->times[i];
            d->histograms[histograms++] = d->histograms[i];
        } else {
            d->times[floats] = d->times[i];
            d->values[floats++] = d->values[i];
        }
    }
    *out = (ChunkSamples){
        .times = d->times,
        .values = d->values,
        .count = floats,
        .histogram_times = histogram_times,
        .histograms = d->histograms,
        .histogram_count = histograms,
    };
    return ERR_OK;
}

ErrCode stream_decode(const ChunkView *chunk, Arena *arena, ChunkSamples *out, Error *err) {
    Decoded d = {0};
    ErrCode code = decode_in_arrival_order(chunk->bytes, chunk->count, arena, &d);

    if (code == ERR_OK && !d.ascending) code = put_in_order(&d, arena);
    if (code == ERR_OK) code = split_kinds(&d, arena, out);
    if (code == ERR_CORRUPT)
        return error_set(err, code, "stream of %zu bytes does not hold %u samples",
                         chunk->bytes.len, chunk->count);
    if (code != ERR_OK)
        return error_set(err, code, "out of memory while decoding %u samples", chunk->count);
    return ERR_OK;
}
