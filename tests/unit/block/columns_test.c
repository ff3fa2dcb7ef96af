/* What ints.h, floats.h and the decoders promise: all bits come back, no bytes do harm. */
#include "tests/unit/unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/block/block.h"
#include "common/block/floats.h"
#include "common/block/histograms.h"

static uint64_t random_state = 1181783497276652981u;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double double_of(uint64_t bits) {
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Decodes from a heap copy of exactly the bytes, so that a sanitizer sees a read past the end. */
static bool take_ints(const uint8_t *bytes, size_t len, size_t count, int64_t *out) {
    char *copy = malloc(len + (len == 0));
    bool constant, good;
    IntsTag tag;
    Reader r;

    memcpy(copy, bytes, len);
    r = reader_of((Str){copy, len});
    good = ints_decode(&r, count, (BitsWord *)out, &tag, &constant) && reader_at_end(&r);
    for (size_t i = 1; good && constant && i < count; i++) out[i] = out[0];
    free(copy);
    return good;
}

static bool take_floats(const uint8_t *bytes, size_t len, size_t count, double *out) {
    char *copy = malloc(len + (len == 0));
    Reader r;
    bool good;

    memcpy(copy, bytes, len);
    r = reader_of((Str){copy, len});
    good = floats_take(&r, count, out) && reader_at_end(&r);
    free(copy);
    return good;
}

static size_t assert_ints_come_back(const int64_t *v, size_t count) {
    static uint8_t bytes[64 + COLUMN_ITEMS_MAX * 10];
    static int64_t back[COLUMN_ITEMS_MAX];
    size_t len = ints_encode(v, count, (IntsTag){0}, bytes);

    assert_true(len <= column_bytes_max(count));
    assert_true(take_ints(bytes, len, count, back));
    assert_memory_equal(v, back, count * sizeof *v);
    return len;
}

static size_t assert_floats_come_back(const double *v, size_t count) {
    static uint8_t bytes[64 + COLUMN_ITEMS_MAX * 10];
    static double back[COLUMN_ITEMS_MAX];
    size_t len = floats_encode(v, count, bytes);

    assert_true(len <= column_bytes_max(count));
    assert_true(take_floats(bytes, len, count, back));
    assert_memory_equal(v, back, count * sizeof *v);
    return len;
}

static void bits_of_every_width_and_count_come_back(void **state) {
    uint64_t v[80];
    BitsWord back[80];

    (void)state;
    for (unsigned width = 0; width <= 64; width++) {
        for (size_t count = 0; count <= 80; count++) {
            size_t len = bits_bytes(count, width);
            uint8_t *bytes = malloc(len + (len == 0));

            for (size_t i = 0; i < count; i++)
                v[i] = width == 0 ? 0 : next_random() >> (64 - width);
            bits_pack(v, count, width, bytes);
            bits_unpack(bytes, count, width, back);
            if (count > 0) assert_memory_equal(v, back, count * sizeof *v);
            free(bytes);
        }
    }
}

static void any_integers_come_back(void **state) {
    static const int64_t extremes[] = {INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MIN + 1};
    static int64_t v[COLUMN_ITEMS_MAX];

    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t count = round < 20 ? (size_t)round + 1 : next_random() % COLUMN_ITEMS_MAX + 1;
        unsigned kind = next_random() % 6, spread = next_random() % 64;

        for (size_t i = 0; i < count; i++) {
            uint64_t last = i == 0 ? next_random() : (uint64_t)v[i - 1];

            switch (kind) {
            case 0:
                v[i] = extremes[next_random() % ARRAY_LEN(extremes)];
                break;
            case 1:
                v[i] = (int64_t)(last + (next_random() >> spread));
                break;
            case 2:
                v[i] = (int64_t)next_random() >> spread;
                break;
            case 3:
                v[i] = (int64_t)(i * 15000 + next_random() % 7);
                break;
            case 4: /* steady, with resets and bursts */
                v[i] = next_random() % 50 == 0 ? (int64_t)next_random() : (int64_t)(last + 3);
                break;
            default:
                v[i] = (int64_t)(next_random() % 9 << spread);
                break;
            }
        }
        assert_ints_come_back(v, count);
    }
}

static void regular_columns_cost_next_to_nothing(void **state) {
    static int64_t v[COLUMN_ITEMS_MAX];
    size_t resets;

    (void)state;
    for (size_t i = 0; i < COLUMN_ITEMS_MAX; i++) v[i] = 1700000000123 + (int64_t)i * 15000;
    assert_true(assert_ints_come_back(v, COLUMN_ITEMS_MAX) < 20);
    for (size_t i = 0; i < COLUMN_ITEMS_MAX; i++) v[i] += (int64_t)(next_random() % 8);
    assert_true(assert_ints_come_back(v, COLUMN_ITEMS_MAX) < 20 + COLUMN_ITEMS_MAX * 4 / 8);
    /* A counter that starts over does not make all other steps wide. */
    for (size_t i = 0; i < COLUMN_ITEMS_MAX; i++)
        v[i] = i % 300 == 0 ? 0 : v[i - 1] + 100000 + (int64_t)(next_random() % 8);
    resets = assert_ints_come_back(v, COLUMN_ITEMS_MAX);
    assert_true(resets < 60 + COLUMN_ITEMS_MAX * 3 / 8);
}

static double strange_value(void) {
    static const double strange[] = {
        0.0,
        -0.0,
        1,
        -1,
        INFINITY,
        -INFINITY,
        DBL_MIN,
        DBL_TRUE_MIN,
        DBL_MAX,
        -DBL_MAX,
        0.1,
        0.3,
        9007199254740992.0,
        -9007199254740992.0,
        9007199254740994.0,
        1e15,
        1e-15,
        123456.789,
        -9007199254740993.0,
    };
    static const uint64_t nans[] = {STALE_NAN_BITS, NORMAL_NAN_BITS, 0xffffffffffffffffu,
                                    0x7ff0000000000001u, 0xfff8000000000000u};

    switch (next_random() % 4) {
    case 0:
        return strange[next_random() % ARRAY_LEN(strange)];
    case 1:
        return double_of(nans[next_random() % ARRAY_LEN(nans)]);
    case 2:
        return double_of(next_random());
    default:
        return (double)((int64_t)next_random() >> (next_random() % 60));
    }
}

static void any_doubles_come_back(void **state) {
    static double v[COLUMN_ITEMS_MAX];

    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t count = round < 20 ? (size_t)round + 1 : next_random() % COLUMN_ITEMS_MAX + 1;
        unsigned kind = next_random() % 7, decimals = next_random() % 17, rare = next_random() % 60;

        for (size_t i = 0; i < count; i++) {
            double noise = (double)(next_random() % 100000);

            switch (kind) {
            case 0:
                v[i] = strange_value();
                break;
            case 1:
                v[i] = noise / pow(10, decimals);
                break;
            case 2:
                v[i] = (double)(float)(noise / 7);
                break;
            case 3:
                v[i] = sin(noise);
                break;
            case 4:
                v[i] = (i == 0 ? 1e9 : v[i - 1]) + noise;
                break;
            case 5:
                v[i] = (double)rare;
                break;
            default:
                v[i] = (double)((int64_t)i * 37 + (int64_t)noise % 5) / 100;
                break;
            }
            if (kind != 5 && next_random() % (rare + 1) == 0 && round % 2 == 0)
                v[i] = strange_value();
        }
        assert_floats_come_back(v, count);
    }
}

static void decimals_cost_what_integers_do(void **state) {
    static double v[COLUMN_ITEMS_MAX];

    (void)state;
    for (size_t i = 0; i < COLUMN_ITEMS_MAX; i++)
        v[i] = (double)(50000 + next_random() % 1000) / 100;
    assert_true(assert_floats_come_back(v, COLUMN_ITEMS_MAX) < 20 + COLUMN_ITEMS_MAX * 10 / 8);
    v[77] = double_of(STALE_NAN_BITS);
    v[0] = -0.0;
    assert_true(assert_floats_come_back(v, COLUMN_ITEMS_MAX) < 50 + COLUMN_ITEMS_MAX * 10 / 8);
    for (size_t i = 0; i < COLUMN_ITEMS_MAX; i++) v[i] = 0.1;
    assert_true(assert_floats_come_back(v, COLUMN_ITEMS_MAX) <= 4);
}

/* Hostile columns: cut anywhere and with any bit flipped they decode to something or are refused.
 */
static void broken_columns_never_do_harm(void **state) {
    static uint8_t bytes[64 + 200 * 10];
    static double v[200], back[200];
    static int64_t ints[200];

    (void)state;
    for (int round = 0; round < 30; round++) {
        size_t count = next_random() % 200 + 1, len;

        for (size_t i = 0; i < count; i++) {
            v[i] = (double)(i * 100 + next_random() % 30) / (round % 3 == 0 ? 1 : 100);
            if (next_random() % 40 == 0) v[i] = strange_value();
        }
        len = floats_encode(v, count, bytes);
        for (size_t cut = 0; cut < len; cut++) assert_false(take_floats(bytes, cut, count, back));
        for (size_t bit = 0; bit < len * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            (void)take_floats(bytes, len, count, back);
            (void)take_ints(bytes, len, count, ints);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void times_must_ascend_and_keep_to_their_range(void **state) {
    static const int64_t good[] = {INT64_MIN, -5, 0, 7, 15000, INT64_MAX};
    static const int64_t bad[] = {1, 2, 2, 3};
    uint8_t bytes[256];
    int64_t out[6];
    TimesColumn times;
    Error err = {0};

    (void)state;
    times = (TimesColumn){.min_ms = INT64_MIN, .max_ms = INT64_MAX, .count = 6, .id = 1};
    times.bytes = (Str){(const char *)bytes, ints_encode(good, 6, (IntsTag){0}, bytes)};
    assert_ok(times_decode(&times, out, &err), &err);
    assert_memory_equal(out, good, sizeof good);
    times.max_ms--;
    assert_int_equal(times_decode(&times, out, &err), ERR_CORRUPT);
    times = (TimesColumn){.min_ms = 1, .max_ms = 3, .count = 4, .id = 1};
    times.bytes = (Str){(const char *)bytes, ints_encode(bad, 4, (IntsTag){0}, bytes)};
    assert_int_equal(times_decode(&times, out, &err), ERR_CORRUPT);
}

/* A histogram of some layout; `layout` picks one of three. */
static NativeHistogram *example(Arena *arena, unsigned layout, double add) {
    static HistogramSpan spans[] = {{-2, 2}, {5, 3}}, one[] = {{0, 1}};
    static double bounds[] = {0.1, 1, 10};
    NativeHistogram *h = ARENA_NEW(arena, NativeHistogram);

    h->schema = layout == 2 ? HISTOGRAM_SCHEMA_CUSTOM : (int32_t)layout;
    h->is_float = layout == 1;
    h->hint = (uint8_t)(next_random() % 4);
    h->sum = add * 1.1;
    h->count = add * 7;
    h->zero_count = layout == 2 ? 0 : add;
    h->zero_threshold = layout == 2 ? 0 : 1e-9;
    h->positive_spans = layout == 0 ? spans : one;
    h->positive_span_count = layout == 0 ? 2 : 1;
    h->positive_count = layout == 0 ? 5 : 1;
    h->positive = ARENA_ARRAY(arena, double, h->positive_count);
    for (uint32_t i = 0; i < h->positive_count; i++) h->positive[i] = add * (i + 1);
    if (layout == 0) {
        h->negative_spans = one;
        h->negative_span_count = 1;
        h->negative_count = 1;
        h->negative = ARENA_ARRAY(arena, double, 1);
        h->negative[0] = add;
    }
    if (layout == 2) {
        h->custom_values = bounds;
        h->custom_count = 3;
    }
    return h;
}

static ChunkView example_chunk(Arena *arena, const NativeHistogram **h, uint32_t count, Buf *buf) {
    for (uint32_t i = 0; i < count; i++) h[i] = example(arena, i / 7 % 3, i);
    assert_int_equal(histograms_per_chunk(h, count), count);
    histograms_encode(h, count, buf);
    assert_false(buf_failed(buf));
    return (ChunkView){.bytes = buf_str(buf), .count = count, .kind = CHUNK_HISTOGRAMS};
}

static void histograms_come_back_equal(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    const NativeHistogram *h[60], **back;
    ChunkView chunk;
    Error err = {0};

    (void)state;
    buf_init(&buf, 0);
    chunk = example_chunk(arena, h, 60, &buf);
    assert_ok(histograms_decode(&chunk, arena, &back, &err), &err);
    for (size_t i = 0; i < 60; i++) assert_true(histogram_equal(h[i], back[i]));
}

static void broken_histograms_never_do_harm(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    const NativeHistogram *h[22], **back;
    ChunkView chunk;
    Error err = {0};

    (void)state;
    buf_init(&buf, 0);
    chunk = example_chunk(arena, h, 22, &buf);
    for (size_t cut = 0; cut < buf.len; cut++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        char *copy = malloc(cut + 1);

        memcpy(copy, buf.ptr, cut);
        chunk.bytes = (Str){copy, cut};
        assert_int_equal(histograms_decode(&chunk, scratch, &back, &err), ERR_CORRUPT);
        free(copy);
    }
    chunk.bytes = buf_str(&buf);
    for (size_t bit = 0; bit < buf.len * 8; bit++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(MIB(16), NULL);
        ErrCode code;

        buf.ptr[bit / 8] ^= (char)(1 << bit % 8);
        code = histograms_decode(&chunk, scratch, &back, &err);
        assert_true(code == ERR_OK || code == ERR_CORRUPT || code == ERR_LIMIT);
        buf.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_of_every_width_and_count_come_back),
        cmocka_unit_test(any_integers_come_back),
        cmocka_unit_test(regular_columns_cost_next_to_nothing),
        cmocka_unit_test(any_doubles_come_back),
        cmocka_unit_test(decimals_cost_what_integers_do),
        cmocka_unit_test(broken_columns_never_do_harm),
        cmocka_unit_test(times_must_ascend_and_keep_to_their_range),
        cmocka_unit_test(histograms_come_back_equal),
        cmocka_unit_test(broken_histograms_never_do_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
