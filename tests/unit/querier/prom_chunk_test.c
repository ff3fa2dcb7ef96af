/* Chunks of Prometheus' TSDB: byte for byte what its own encoder makes of small cases, and sizes.
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "querier/api/prom_chunk.h"

static void assert_bytes(const Buf *buf, const char *hex) {
    char text[256] = "";

    for (size_t i = 0; i < buf->len && i < 100; i++)
        snprintf(text + 2 * i, 3, "%02x", (unsigned char)buf->ptr[i]);
    assert_string_equal(text, hex);
}

static void floats_are_gorilla(void **test) {
    const int64_t times[] = {1, 11, 21, 31, 1000};
    const double values[] = {1, 1, 2, 2, 2};
    Buf out;

    (void)test;
    buf_init(&out, 0);
    assert_int_equal(prom_chunk_floats(times, values, 1, &out), 1);
    assert_bytes(&out, "0001023ff0000000000000");
    buf_clear(&out);
    /* 10 more, the same value: a 0 bit; no change of the step, then 11 bits of XOR from bit 52. */
    assert_int_equal(prom_chunk_floats(times, values, 3, &out), 3);
    assert_bytes(&out, "0003023ff00000000000000a3097ffc0");
    buf_done(&out);
}

static void chunks_end_at_120_samples(void **test) {
    int64_t times[200];
    double values[200];
    Buf out;

    (void)test;
    for (int i = 0; i < 200; i++) {
        times[i] = i * 15000;
        values[i] = i;
    }
    buf_init(&out, 0);
    assert_int_equal(prom_chunk_floats(times, values, 200, &out), PROM_CHUNK_SAMPLES_MAX);
    buf_done(&out);
}

static NativeHistogram histogram(double count, double *buckets, uint32_t n, HistogramSpan *span) {
    *span = (HistogramSpan){0, n};
    return (NativeHistogram){.schema = 0,
                             .zero_threshold = 0x1p-128,
                             .count = count,
                             .sum = count,
                             .positive_spans = span,
                             .positive_span_count = 1,
                             .positive = buckets,
                             .positive_count = n};
}

static void histograms_end_where_a_reader_could_not_tell(void **test) {
    double low[] = {1, 2}, high[] = {2, 4}, more[] = {1, 2, 3};
    HistogramSpan spans[4];
    NativeHistogram a = histogram(3, low, 2, &spans[0]), b = histogram(6, high, 2, &spans[1]),
                    c = histogram(6, more, 3, &spans[2]), reset = b, stale = a, gauge = b;
    const int64_t times[] = {1, 2, 3};
    PromChunkType type;
    Buf out;
    uint64_t bits = STALE_NAN_BITS;

    (void)test;
    buf_init(&out, 0);
    reset.hint = HISTOGRAM_HINT_RESET;
    gauge.hint = HISTOGRAM_HINT_GAUGE;
    memcpy(&stale.sum, &bits, sizeof bits);
    const struct {
        const NativeHistogram *first, *second;
        size_t taken;
    } cases[] = {{&a, &b, 2},     {&b, &a, 1},     {&a, &c, 1},     {&a, &reset, 1},
                 {&a, &stale, 1}, {&stale, &a, 1}, {&a, &gauge, 1}, {&gauge, &gauge, 2}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const NativeHistogram *both[] = {cases[i].first, cases[i].second};

        buf_clear(&out);
        assert_int_equal(prom_chunk_histograms(times, both, 2, &type, &out), cases[i].taken);
        assert_int_equal(type, PROM_CHUNK_HISTOGRAM);
    }
    a.is_float = true;
    const NativeHistogram *one[] = {&a};
    assert_int_equal(prom_chunk_histograms(times, one, 1, &type, &out), 1);
    assert_int_equal(type, PROM_CHUNK_FLOAT_HISTOGRAM);
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_gorilla),
        cmocka_unit_test(chunks_end_at_120_samples),
        cmocka_unit_test(histograms_end_where_a_reader_could_not_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
