/* What stream.h promises: any samples in any order come back bit for bit, and no bytes do harm. */
#include "tests/unit/unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/block/stream.h"

static uint64_t random_state = 88172645463325252u;

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

static void assert_same_bits(double a, double b) {
    assert_memory_equal(&a, &b, sizeof a);
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
        9007199254740992.0,
        -9007199254740992.0,
        9007199254740994.0,
        2147483647.0,
        -2147483648.0,
        8388607.0,
        8388608.0,
        -8388608.0,
        -8388609.0,
        127,
        128,
        -128,
        -129,
        32767,
        32768,
    };
    static const uint64_t nans[] = {STALE_NAN_BITS, NORMAL_NAN_BITS, 0xffffffffffffffffu,
                                    0x7ff0000000000001u, 0xfff8000000000000u};

    switch (next_random() % 5) {
    case 0:
        return strange[next_random() % ARRAY_LEN(strange)];
    case 1:
        return double_of(nans[next_random() % ARRAY_LEN(nans)]);
    case 2:
        return double_of(next_random());
    case 3:
        return (double)(int64_t)(next_random() % 2000000) / 100;
    default:
        return (double)((int64_t)next_random() >> (next_random() % 60));
    }
}

static int64_t strange_time(int64_t last) {
    static const int64_t strange[] = {INT64_MIN, INT64_MAX, 0, -1, INT64_MIN + 1, INT64_MAX - 1};

    switch (next_random() % 6) {
    case 0:
        return strange[next_random() % ARRAY_LEN(strange)];
    case 1:
        return (int64_t)next_random();
    case 2:
        return (int64_t)((uint64_t)last - next_random() % 100000);
    default:
        return (int64_t)((uint64_t)last + 15000 + next_random() % 3);
    }
}

static ChunkView view_of(const uint8_t *bytes, size_t len, const StreamState *state) {
    return (ChunkView){.bytes = {(const char *)bytes, len},
                       .count = state->count,
                       .kind = CHUNK_STREAM,
                       .in_order = state->in_order};
}

/* stream_decode(), and what the quick way has to agree with. */
static ErrCode decode_both(const ChunkView *view, Arena *arena, ChunkSamples *out, Error *err) {
    size_t room = MIN(view->count, view->bytes.len); /* it may not touch more than it was told */
    int64_t *times = malloc(MAX(room, 1) * sizeof *times);
    double *values = malloc(MAX(room, 1) * sizeof *values);
    bool quick = stream_decode_floats(view, times, values);
    ErrCode code = stream_decode(view, arena, out, err);

    if (quick && code != ERR_LIMIT) {
        assert_int_equal(code, ERR_OK);
        assert_int_equal(out->histogram_count, 0);
        assert_int_equal(out->count, view->count);
        assert_memory_equal(out->times, times, view->count * sizeof *times);
        assert_memory_equal(out->values, values, view->count * sizeof *values);
    }
    free(times);
    free(values);
    return code;
}

static void samples_in_order_come_back_bit_for_bit(void **unused) {
    enum { COUNT = 5000 };
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint8_t *bytes = arena_alloc(arena, COUNT * STREAM_SAMPLE_BYTES_MAX);
    double *values = ARENA_ARRAY(arena, double, COUNT);
    int64_t *times = ARENA_ARRAY(arena, int64_t, COUNT);
    StreamState state = {0};
    ChunkSamples samples;
    ChunkView view;
    Error err = {0};
    size_t len = 0;

    (void)unused;
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t step = next_random() % 4 == 0 ? next_random() >> (next_random() % 48 + 16) : 15000;

        times[i] = i == 0 ? -77 : times[i - 1] + (int64_t)step + 1;
        values[i] = strange_value();
        len += stream_append(&state, bytes + len, times[i], values[i]);
        assert_true(len <= (i + 1) * STREAM_SAMPLE_BYTES_MAX);
    }
    assert_true(state.in_order);
    view = view_of(bytes, len, &state);
    assert_ok(decode_both(&view, arena, &samples, &err), &err);
    assert_int_equal(samples.count, COUNT);
    assert_int_equal(samples.histogram_count, 0);
    assert_memory_equal(samples.times, times, sizeof(int64_t) * COUNT);
    assert_memory_equal(samples.values, values, sizeof(double) * COUNT);
    assert_true(stream_decode_floats(&view, times, values));
}

static void regular_integers_cost_little(void **unused) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint8_t *bytes = arena_alloc(arena, 1000 * STREAM_SAMPLE_BYTES_MAX);
    StreamState state = {0};
    size_t len = 0;

    (void)unused;
    for (int i = 0; i < 1000; i++)
        len += stream_append(&state, bytes + len, 1700000000000 + i * 15000, 1e6 + i * 7);
    assert_true(len < 2100);
}

static void late_samples_are_sorted_and_the_first_of_an_instant_wins(void **unused) {
    static const int64_t times[] = {10, 20, 30, 5, 20, 15, 30, 40, INT64_MIN, INT64_MAX, 5};
    static const int64_t sorted[] = {INT64_MIN, 5, 10, 15, 20, 30, 40, INT64_MAX};
    static const double expected[] = {8, 3, 0, 5, 1, 2, 7, 9};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint8_t bytes[ARRAY_LEN(times) * STREAM_SAMPLE_BYTES_MAX];
    StreamState state = {0};
    ChunkSamples samples;
    ChunkView view;
    Error err = {0};
    size_t len = 0;

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        len += stream_append(&state, bytes + len, times[i], (double)i);
    assert_false(state.in_order);
    view = view_of(bytes, len, &state);
    view.in_order = true; /* a view that lies gets sorted all the same */
    assert_ok(decode_both(&view, arena, &samples, &err), &err);
    assert_int_equal(samples.count, ARRAY_LEN(sorted));
    for (size_t i = 0; i < samples.count; i++) {
        assert_int_equal(samples.times[i], sorted[i]);
        assert_same_bits(samples.values[i], expected[i]);
    }
}

/* The obvious way to put samples in order, to compare with. */
static size_t naive_sort(int64_t *times, double *values, size_t count) {
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        size_t at = kept;
        bool known = false;

        for (size_t j = 0; j < kept; j++) known = known || times[j] == times[i];
        if (known) continue;
        int64_t t = times[i];
        double v = values[i];
        while (at > 0 && times[at - 1] > t) {
            times[at] = times[at - 1];
            values[at] = values[at - 1];
            at--;
        }
        times[at] = t;
        values[at] = v;
        kept++;
    }
    return kept;
}

static void any_order_of_any_samples_ends_sorted(void **unused) {
    enum { COUNT = 300 };

    (void)unused;
    for (int round = 0; round < 200; round++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        uint8_t *bytes = arena_alloc(arena, COUNT * STREAM_SAMPLE_BYTES_MAX);
        double values[COUNT];
        int64_t times[COUNT];
        size_t count = next_random() % COUNT + 1, len = 0;
        StreamState state = {0};
        ChunkSamples samples;
        ChunkView view;
        Error err = {0};

        for (size_t i = 0; i < count; i++) {
            times[i] = strange_time(i == 0 ? 0 : times[i - 1]);
            values[i] = strange_value();
            len += stream_append(&state, bytes + len, times[i], values[i]);
        }
        view = view_of(bytes, len, &state);
        assert_ok(decode_both(&view, arena, &samples, &err), &err);
        count = naive_sort(times, values, count);
        assert_int_equal(samples.count, count);
        assert_memory_equal(samples.times, times, sizeof(int64_t) * count);
        assert_memory_equal(samples.values, values, sizeof(double) * count);
    }
}

static NativeHistogram example(bool whole, double add) {
    static HistogramSpan positive[] = {{-3, 2}, {4, 1}}, negative[] = {{INT32_MAX, 1}};
    static double counts[4], custom[] = {0.5, 1, INFINITY};

    counts[0] = add + 1;
    counts[1] = add + (whole ? 5 : 5.5);
    counts[2] = add;
    counts[3] = whole ? 9 : -0.0;
    return (NativeHistogram){
        .schema = 3,
        .hint = HISTOGRAM_HINT_GAUGE,
        .is_float = !whole,
        .zero_threshold = 1e-128,
        .zero_count = 2,
        .count = add * 3 + 17,
        .sum = 18.4,
        .positive_spans = positive,
        .negative_spans = negative,
        .positive = counts,
        .negative = counts + 3,
        .custom_values = custom,
        .positive_span_count = 2,
        .negative_span_count = 1,
        .positive_count = 3,
        .negative_count = 1,
        .custom_count = whole ? 0 : 3,
    };
}

/* Floats and histograms in turn; the arena holds what is returned. */
static ChunkView mixed_stream(Arena *arena, size_t count) {
    NativeHistogram h = example(false, 0);
    uint8_t *bytes = arena_alloc(arena, count * (stream_histogram_bytes_max(&h) + 64));
    StreamState state = {0};
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t time = 1000 * (int64_t)i;

        h = example(i % 4 == 1, (double)i);
        if (i % 2 == 0)
            len += stream_append(&state, bytes + len, time, (double)i / 7);
        else {
            size_t bytes_max = stream_histogram_bytes_max(&h), n;

            n = stream_append_histogram(&state, bytes + len, time, &h);
            assert_true(n <= bytes_max);
            len += n;
        }
    }
    return view_of(bytes, len, &state);
}

static void histograms_come_back_equal_beside_floats(void **unused) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    ChunkView view = mixed_stream(arena, 20);
    ChunkSamples samples;
    Error err = {0};

    (void)unused;
    assert_ok(decode_both(&view, arena, &samples, &err), &err);
    assert_int_equal(samples.count, 10);
    assert_int_equal(samples.histogram_count, 10);
    for (size_t i = 0; i < 10; i++) {
        NativeHistogram h = example((2 * i + 1) % 4 == 1, (double)(2 * i + 1));

        assert_int_equal(samples.times[i], 2000 * i);
        assert_int_equal(samples.histogram_times[i], 2000 * i + 1000);
        assert_same_bits(samples.values[i], (double)(2 * i) / 7);
        assert_true(histogram_equal(samples.histograms[i], &h));
    }
}

static void an_empty_stream_is_no_samples(void **unused) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    ChunkView view = {.kind = CHUNK_STREAM};
    ChunkSamples samples;
    Error err = {0};

    (void)unused;
    assert_ok(decode_both(&view, arena, &samples, &err), &err);
    assert_int_equal(samples.count, 0);
}

static void streams_cut_at_every_byte_are_corrupt(void **unused) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    ChunkView whole = mixed_stream(arena, 8);

    (void)unused;
    for (size_t len = 0; len < whole.bytes.len; len++) {
        char *copy = malloc(len + 1); /* so that a sanitizer sees a read past the end */
        ChunkView cut = whole;
        ChunkSamples samples;
        Error err = {0};

        memcpy(copy, whole.bytes.ptr, len);
        cut.bytes = (Str){copy, len};
        assert_int_equal(decode_both(&cut, arena, &samples, &err), ERR_CORRUPT);
        free(copy);
    }
}

static void flipped_bits_never_do_harm(void **unused) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    ChunkView whole = mixed_stream(arena, 8);
    char *copy = malloc(whole.bytes.len);

    (void)unused;
    for (size_t bit = 0; bit < whole.bytes.len * 8; bit++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(MIB(1), NULL);
        ChunkView flipped = whole;
        ChunkSamples samples;
        Error err = {0};
        ErrCode code;

        memcpy(copy, whole.bytes.ptr, whole.bytes.len);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        flipped.bytes.ptr = copy;
        code = decode_both(&flipped, scratch, &samples, &err);
        assert_true(code == ERR_OK || code == ERR_CORRUPT);
    }
    free(copy);
}

static void absurd_counts_are_corrupt_and_a_small_budget_is_a_limit(void **unused) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(arena_free) Arena *small = arena_new(1024, NULL);
    ChunkView view = mixed_stream(arena, 400);
    ChunkSamples samples;
    Error err = {0};

    (void)unused;
    assert_int_equal(decode_both(&view, small, &samples, &err), ERR_LIMIT);
    view.count = UINT32_MAX;
    assert_int_equal(decode_both(&view, arena, &samples, &err), ERR_CORRUPT);
    view.count = 399; /* bytes left over */
    assert_int_equal(decode_both(&view, arena, &samples, &err), ERR_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_in_order_come_back_bit_for_bit),
        cmocka_unit_test(regular_integers_cost_little),
        cmocka_unit_test(late_samples_are_sorted_and_the_first_of_an_instant_wins),
        cmocka_unit_test(any_order_of_any_samples_ends_sorted),
        cmocka_unit_test(histograms_come_back_equal_beside_floats),
        cmocka_unit_test(an_empty_stream_is_no_samples),
        cmocka_unit_test(streams_cut_at_every_byte_are_corrupt),
        cmocka_unit_test(flipped_bits_never_do_harm),
        cmocka_unit_test(absurd_counts_are_corrupt_and_a_small_budget_is_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
