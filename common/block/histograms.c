/*
 * histograms.c: native histograms in columns.
 *
 *     varint runs, then for each run:
 *     varint histograms in it
 *     u8     bit 0 float, 1 hints differ; zigzag schema; f64 zero threshold
 *     varint positive spans, negative spans, custom bounds
 *     spans (zigzag offset, varint length), positive then negative; bounds (f64)
 *     varint positive buckets, negative buckets
 *     u8     hint, or one each if they differ
 *     columns as floats.h has them: sum, count, zero count, positive buckets, negative buckets
 *
 * Buckets of counters grow steadily, so each is predicted best by its own past, not by the bucket
 * beside it.
 */
#include "common/block/histograms.h"

#include <string.h>

#include "common/block/block.h"

enum { RUN_IS_FLOAT = 1 << 0, RUN_HINTS_DIFFER = 1 << 1, RUN_FLAGS = 3 };

/* Values in a chunk: 64 Ki of them are 512 KiB decoded. One histogram may have more. */
enum { CHUNK_VALUES_MAX = 64 << 10 };

/* ---------- encoding ---------- */

static bool spans_equal(const HistogramSpan *a, const HistogramSpan *b, uint32_t count) {
    return count == 0 || memcmp(a, b, count * sizeof *a) == 0;
}

static uint64_t bits_of(double v) {
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static bool same_layout(const NativeHistogram *a, const NativeHistogram *b) {
    return a->schema == b->schema && a->is_float == b->is_float &&
           bits_of(a->zero_threshold) == bits_of(b->zero_threshold) &&
           a->positive_span_count == b->positive_span_count &&
           a->negative_span_count == b->negative_span_count &&
           a->positive_count == b->positive_count && a->negative_count == b->negative_count &&
           a->custom_count == b->custom_count &&
           spans_equal(a->positive_spans, b->positive_spans, a->positive_span_count) &&
           spans_equal(a->negative_spans, b->negative_spans, a->negative_span_count) &&
           (a->custom_count == 0 || memcmp(a->custom_values, b->custom_values,
                                           a->custom_count * sizeof *a->custom_values) == 0);
}

static size_t run_length(const NativeHistogram *const *h, size_t count) {
    size_t i = 1;

    while (i < count && same_layout(h[0], h[i])) i++;
    return i;
}

size_t histograms_per_chunk(const NativeHistogram *const *h, size_t count) {
    size_t values = 0, taken = 0;

    while (taken < MIN(count, (size_t)COLUMN_ITEMS_MAX)) {
        values += 3 + (size_t)h[taken]->positive_count + h[taken]->negative_count;
        if (taken > 0 && values > CHUNK_VALUES_MAX) break;
        taken++;
    }
    return taken;
}

static void put_double(Buf *out, double v) {
    buf_append(out, &v, sizeof v);
}

static void put_spans(Buf *out, const HistogramSpan *spans, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        buf_append_zigzag(out, spans[i].offset);
        buf_append_varint(out, spans[i].length);
    }
}

static void put_hints(Buf *out, const NativeHistogram *const *h, size_t count, bool differ) {
    for (size_t i = 0; i < (differ ? count : 1); i++) buf_append_byte(out, (char)h[i]->hint);
}

static void put_layout(Buf *out, const NativeHistogram *const *h, size_t count) {
    bool differ = false;

    for (size_t i = 1; i < count; i++) differ = differ || h[i]->hint != h[0]->hint;
    buf_append_byte(out,
                    (char)((h[0]->is_float ? RUN_IS_FLOAT : 0) | (differ ? RUN_HINTS_DIFFER : 0)));
    buf_append_zigzag(out, h[0]->schema);
    put_double(out, h[0]->zero_threshold);
    buf_append_varint(out, h[0]->positive_span_count);
    buf_append_varint(out, h[0]->negative_span_count);
    buf_append_varint(out, h[0]->custom_count);
    put_spans(out, h[0]->positive_spans, h[0]->positive_span_count);
    put_spans(out, h[0]->negative_spans, h[0]->negative_span_count);
    for (uint32_t i = 0; i < h[0]->custom_count; i++) put_double(out, h[0]->custom_values[i]);
    buf_append_varint(out, h[0]->positive_count);
    buf_append_varint(out, h[0]->negative_count);
    put_hints(out, h, count, differ);
}

static void put_column(Buf *out, const double *v, size_t count) {
    char *at = buf_reserve(out, column_bytes_max(count));

    if (at != NULL) buf_added(out, floats_encode(v, count, (uint8_t *)at));
}

static void put_run(Buf *out, const NativeHistogram *const *h, size_t count) {
    double column[COLUMN_ITEMS_MAX];

    buf_append_varint(out, count);
    put_layout(out, h, count);
    for (size_t i = 0; i < count; i++) column[i] = h[i]->sum;
    put_column(out, column, count);
    for (size_t i = 0; i < count; i++) column[i] = h[i]->count;
    put_column(out, column, count);
    for (size_t i = 0; i < count; i++) column[i] = h[i]->zero_count;
    put_column(out, column, count);
    for (uint32_t b = 0; b < h[0]->positive_count; b++) {
        for (size_t i = 0; i < count; i++) column[i] = h[i]->positive[b];
        put_column(out, column, count);
    }
    for (uint32_t b = 0; b < h[0]->negative_count; b++) {
        for (size_t i = 0; i < count; i++) column[i] = h[i]->negative[b];
        put_column(out, column, count);
    }
}

void histograms_encode(const NativeHistogram *const *h, size_t count, Buf *out) {
    size_t runs = 0, length;

    assert(count > 0 && count <= COLUMN_ITEMS_MAX);
    for (size_t i = 0; i < count; i += run_length(h + i, count - i)) runs++;
    buf_append_varint(out, runs);
    for (size_t i = 0; i < count; i += length) {
        length = run_length(h + i, count - i);
        put_run(out, h + i, length);
    }
}

/* ---------- decoding ---------- */

/* Where a decoding goes; `code` says why it stopped. */
typedef struct Taking {
    Reader r;
    Arena *arena;
    double *column; /* scratch for one column of the run */
    ErrCode code;
} Taking;

static void *take_memory(Taking *t, size_t count, size_t element) {
    void *memory;

    if (t->code != ERR_OK || count == 0) return NULL;
    memory = arena_array(t->arena, count, element);
    if (memory == NULL) t->code = ERR_LIMIT;
    return memory;
}

/* A count of things that take at least `bytes_min` each. */
static uint32_t take_count(Taking *t, uint64_t count_max, size_t bytes_min) {
    uint64_t count = reader_varint(&t->r);

    if (t->r.failed || count > count_max || count * bytes_min > reader_left(&t->r)) {
        if (t->code == ERR_OK) t->code = ERR_CORRUPT;
        return 0;
    }
    return (uint32_t)count;
}

static HistogramSpan *take_spans(Taking *t, uint32_t count) {
    HistogramSpan *spans = take_memory(t, count, sizeof *spans);

    for (uint32_t i = 0; spans != NULL && i < count; i++) {
        int64_t offset = reader_zigzag(&t->r);
        uint64_t length = reader_varint(&t->r);

        if (offset < INT32_MIN || offset > INT32_MAX || length > UINT32_MAX) t->code = ERR_CORRUPT;
        spans[i] = (HistogramSpan){(int32_t)offset, (uint32_t)length};
    }
    return spans;
}

/* What all histograms of the run have in common. */
static NativeHistogram take_layout(Taking *t, uint8_t flags) {
    NativeHistogram h = {.is_float = (flags & RUN_IS_FLOAT) != 0};
    int64_t schema = reader_zigzag(&t->r);

    h.zero_threshold = reader_double(&t->r);
    h.positive_span_count = take_count(t, HISTOGRAM_SPANS_MAX, 2);
    h.negative_span_count = take_count(t, HISTOGRAM_SPANS_MAX, 2);
    h.custom_count = take_count(t, HISTOGRAM_CUSTOM_MAX, 8);
    if (schema < INT32_MIN || schema > INT32_MAX) t->code = ERR_CORRUPT;
    h.schema = (int32_t)schema;
    h.positive_spans = take_spans(t, h.positive_span_count);
    h.negative_spans = take_spans(t, h.negative_span_count);
    h.custom_values = take_memory(t, h.custom_count, sizeof *h.custom_values);
    for (uint32_t i = 0; h.custom_values != NULL && i < h.custom_count; i++)
        h.custom_values[i] = reader_double(&t->r);
    /* A column has two bytes of head and one of base at least. */
    h.positive_count = take_count(t, HISTOGRAM_BUCKETS_MAX, 3);
    h.negative_count = take_count(t, HISTOGRAM_BUCKETS_MAX, 3);
    if (t->r.failed && t->code == ERR_OK) t->code = ERR_CORRUPT;
    return h;
}

static bool take_column(Taking *t, size_t count) {
    if (t->code == ERR_OK && !floats_take(&t->r, count, t->column)) t->code = ERR_CORRUPT;
    return t->code == ERR_OK;
}

/* The buckets of one side, taken bucket by bucket and laid out histogram by histogram. */
static void take_buckets(Taking *t, size_t count, uint32_t buckets, double *to) {
    for (uint32_t b = 0; b < buckets; b++) {
        if (!take_column(t, count)) return;
        for (size_t i = 0; i < count; i++) to[i * buckets + b] = t->column[i];
    }
}

static void take_run(Taking *t, size_t count, NativeHistogram *out) {
    uint8_t flags = reader_u8(&t->r);
    NativeHistogram layout = take_layout(t, flags);
    size_t hints = (flags & RUN_HINTS_DIFFER) != 0 ? count : 1;
    Str hint = reader_bytes(&t->r, hints);
    double *positive, *negative;

    if (t->code == ERR_OK && (t->r.failed || flags > RUN_FLAGS)) t->code = ERR_CORRUPT;
    positive = take_memory(t, count * layout.positive_count, sizeof *positive);
    negative = take_memory(t, count * layout.negative_count, sizeof *negative);
    if (t->code != ERR_OK) return;
    for (size_t i = 0; i < count; i++) {
        out[i] = layout;
        out[i].hint = (uint8_t)hint.ptr[hints == 1 ? 0 : i] & 3;
        out[i].positive = positive == NULL ? NULL : positive + i * layout.positive_count;
        out[i].negative = negative == NULL ? NULL : negative + i * layout.negative_count;
    }
    if (!take_column(t, count)) return;
    for (size_t i = 0; i < count; i++) out[i].sum = t->column[i];
    if (!take_column(t, count)) return;
    for (size_t i = 0; i < count; i++) out[i].count = t->column[i];
    if (!take_column(t, count)) return;
    for (size_t i = 0; i < count; i++) out[i].zero_count = t->column[i];
    take_buckets(t, count, layout.positive_count, positive);
    take_buckets(t, count, layout.negative_count, negative);
}

ErrCode histograms_decode(const ChunkView *chunk, Arena *arena, const NativeHistogram ***out,
                          Error *err) {
    Taking t = {.r = reader_of(chunk->bytes), .arena = arena, .code = ERR_OK};
    NativeHistogram *all = take_memory(&t, chunk->count, sizeof *all);
    const NativeHistogram **list = take_memory(&t, chunk->count, sizeof *list);
    uint64_t runs = reader_varint(&t.r), taken = 0;

    t.column = take_memory(&t, chunk->count, sizeof *t.column);
    for (uint64_t run = 0; run < runs && t.code == ERR_OK; run++) {
        uint64_t count = reader_varint(&t.r);

        if (t.r.failed || count == 0 || count > chunk->count - taken) {
            t.code = ERR_CORRUPT;
            break;
        }
        take_run(&t, (size_t)count, all + taken);
        taken += count;
    }
    if (t.code == ERR_OK && (taken != chunk->count || t.r.failed || !reader_at_end(&t.r)))
        t.code = ERR_CORRUPT;
    if (t.code == ERR_CORRUPT)
        return error_set(err, t.code, "chunk of %zu bytes does not hold %u histograms",
                         chunk->bytes.len, chunk->count);
    if (t.code != ERR_OK)
        return error_set(err, t.code, "out of memory while decoding %u histograms", chunk->count);
    for (uint32_t i = 0; i < chunk->count; i++) list[i] = &all[i];
    *out = list;
    return ERR_OK;
}
