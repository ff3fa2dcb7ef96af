/*
 * block_codecs.c: the decoders of samples, on bytes that no checksum vouches for, and the encoders
 * on any samples.
 *
 * The first byte of an input chooses the codec, two more are a count, the rest is the chunk, or for
 * the last choices the samples, which must come back bit for bit.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/block/block.h"
#include "common/block/floats.h"
#include "common/block/histograms.h"
#include "common/block/stream.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { DECODE_STREAM, DECODE_FLOATS, DECODE_TIMES, DECODE_HISTOGRAMS, KEEP_FLOATS, KEEP_STREAM };
enum { CHOICES = 6, ITEMS_MAX = 4096 };

static void decode_stream(Str bytes, uint16_t count, Arena *arena) {
    ChunkView view = {.bytes = bytes, .count = count, .kind = CHUNK_STREAM};
    ChunkSamples samples;
    Error err;

    if (stream_decode(&view, arena, &samples, &err) != ERR_OK) return;
    CHECK(samples.count + samples.histogram_count <= count);
    for (size_t i = 1; i < samples.count; i++) CHECK(samples.times[i - 1] < samples.times[i]);
}

static void decode_times(Str bytes, uint16_t count) {
    TimesColumn times = {.bytes = bytes, .count = count, .id = 1};
    static int64_t out[ITEMS_MAX];
    Error err;

    /* The range is checked too: first guess it, so that good columns get through. */
    if (count == 0) return;
    Reader r = reader_of(bytes);
    bool constant = false;
    IntsTag tag;
    if (!ints_decode(&r, count, (BitsWord *)out, &tag, &constant)) return;
    times.min_ms = out[0];
    times.max_ms = constant ? out[0] : out[count - 1];
    if (times_decode(&times, out, &err) != ERR_OK) return;
    for (size_t i = 1; i < count; i++) CHECK(out[i - 1] < out[i]);
}

static void decode_histograms(Str bytes, uint16_t count, Arena *arena) {
    ChunkView view = {.bytes = bytes, .count = count, .kind = CHUNK_HISTOGRAMS};
    const NativeHistogram **list;
    Error err;

    if (histograms_decode(&view, arena, &list, &err) != ERR_OK) return;
    for (uint16_t i = 0; i < count; i++) CHECK(histogram_equal(list[i], list[i]));
}

static void keep_floats(Str bytes) {
    size_t count = MIN(bytes.len / sizeof(double), (size_t)COLUMN_ITEMS_MAX);
    static double values[COLUMN_ITEMS_MAX], back[COLUMN_ITEMS_MAX];
    static uint8_t column[64 + COLUMN_ITEMS_MAX * 10];
    Reader r;

    if (count == 0) return;
    memcpy(values, bytes.ptr, count * sizeof *values);
    r = reader_of((Str){(const char *)column, floats_encode(values, count, column)});
    CHECK(floats_take(&r, count, back) && reader_at_end(&r));
    CHECK(memcmp(values, back, count * sizeof *values) == 0);
}

static void keep_stream(Str bytes, Arena *arena) {
    size_t count = MIN(bytes.len / 16, (size_t)ITEMS_MAX), len = 0;
    uint8_t *stream = arena_alloc(arena, count * STREAM_SAMPLE_BYTES_MAX + 1);
    StreamState state = {0};
    ChunkSamples samples;
    ChunkView view;
    Error err;

    if (stream == NULL) return;
    for (size_t i = 0; i < count; i++) {
        int64_t time;
        double value;

        memcpy(&time, bytes.ptr + i * 16, 8);
        memcpy(&value, bytes.ptr + i * 16 + 8, 8);
        len += stream_append(&state, stream + len, time, value);
    }
    view = (ChunkView){.bytes = {(const char *)stream, len}, .count = state.count};
    CHECK(stream_decode(&view, arena, &samples, &err) == ERR_OK || err.code == ERR_LIMIT);
    if (state.in_order) CHECK(samples.count == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
    static double values[UINT16_MAX];
    Str bytes = str_from((Str){(const char *)data, size}, 3);
    uint16_t count;

    if (size < 3) return 0;
    memcpy(&count, data + 1, sizeof count);
    switch (data[0] % CHOICES) {
    case DECODE_STREAM:
        decode_stream(bytes, count, arena);
        break;
    case DECODE_TIMES:
        decode_times(bytes, MIN(count, ITEMS_MAX));
        break;
    case DECODE_HISTOGRAMS:
        decode_histograms(bytes, count, arena);
        break;
    case KEEP_FLOATS:
        keep_floats(bytes);
        break;
    case KEEP_STREAM:
        keep_stream(bytes, arena);
        break;
    default: {
        ChunkView view = {.bytes = bytes, .count = count, .kind = CHUNK_FLOATS};
        Error err;

        (void)!floats_decode(&view, values, &err);
    }
    }
    return 0;
}

/* ---------- seeds ---------- */

static NativeHistogram example_histogram(double add) {
    static HistogramSpan spans[] = {{-1, 2}, {3, 1}};
    static double buckets[3];

    for (int i = 0; i < 3; i++) buckets[i] = add * i;
    return (NativeHistogram){.schema = 2,
                             .sum = add,
                             .count = add * 3,
                             .positive_spans = spans,
                             .positive = buckets,
                             .positive_span_count = 2,
                             .positive_count = 3};
}

static void seed_stream(Buf *out) {
    StreamState state = {0};
    char *at = buf_reserve(out, 4096);
    size_t len = 0;

    for (int i = 0; at != NULL && i < 12; i++) {
        NativeHistogram h = example_histogram(i);
        uint8_t *to = (uint8_t *)at + len;
        int64_t time = i == 7 ? 5 : 15000 * i;

        len += i % 4 == 3 ? stream_append_histogram(&state, to, time, &h)
                          : stream_append(&state, to, time, i % 3 == 0 ? i : i / 7.0);
    }
    buf_added(out, len);
}

static void seed_floats(Buf *out, bool noise) {
    char *at = buf_reserve(out, column_bytes_max(20));
    double v[20];

    for (int i = 0; i < 20; i++) v[i] = noise ? 1.0 / (i + 3) : (double)(i * i) / 100;
    if (!noise) v[7] = -0.0;
    if (!noise) v[15] = 1e9;
    if (at != NULL) buf_added(out, floats_encode(v, 20, (uint8_t *)at));
}

static void seed_times(Buf *out) {
    char *at = buf_reserve(out, column_bytes_max(20));
    int64_t v[20];

    for (int i = 0; i < 20; i++) v[i] = 1700000000000 + i * 15000 + i % 3;
    if (at != NULL) buf_added(out, ints_encode(v, 20, (IntsTag){0}, (uint8_t *)at));
}

static void seed_histograms(Buf *out) {
    NativeHistogram h[4];
    const NativeHistogram *list[4];

    for (int i = 0; i < 4; i++) {
        h[i] = example_histogram(i);
        h[i].schema = i / 3;
        list[i] = &h[i];
    }
    histograms_encode(list, 4, out);
}

bool fuzz_seed(unsigned n, Buf *out) {
    static const struct {
        uint8_t choice;
        uint16_t count;
    } heads[] = {{DECODE_STREAM, 12}, {DECODE_FLOATS, 20},    {DECODE_FLOATS, 20},
                 {DECODE_TIMES, 20},  {DECODE_HISTOGRAMS, 4}, {KEEP_FLOATS, 0},
                 {KEEP_STREAM, 0}};

    if (n >= ARRAY_LEN(heads)) return false;
    buf_append_byte(out, (char)heads[n].choice);
    buf_append_u16(out, heads[n].count);
    switch (n) {
    case 0:
        seed_stream(out);
        break;
    case 1:
        seed_floats(out, false);
        break;
    case 2:
        seed_floats(out, true);
        break;
    case 3:
        seed_times(out);
        break;
    case 4:
        seed_histograms(out);
        break;
    default:
        for (int i = 0; i < 40; i++) {
            double v = i % 2 == 0 ? 15000 * i : i / 10.0;

            buf_append(out, &v, sizeof v);
        }
    }
    return true;
}
