/* What hist.h, hist_sum.h, classic.h and kahan.h promise. */
#include <math.h>
#include <string.h>

#include "common/base/buf.h"
#include "querier/exec/go_float.h"
#include "querier/promql/classic.h"
#include "querier/promql/hist_avg.h"
#include "querier/promql/simd.h"
#include "tests/unit/unit.h"

static Arena *arena;

static int setup(void **state) {
    (void)state;
    arena = arena_new(0, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

/* Positive buckets from `first` on. */
static Hist exponential(int32_t schema, int32_t first, const double *counts, uint32_t n) {
    int32_t *index = ARENA_ARRAY(arena, int32_t, n);
    Hist h = {.schema = schema, .positive = {index, counts, n}};

    for (uint32_t i = 0; i < n; i++) {
        index[i] = first + (int32_t)i;
        h.count += counts[i];
    }
    return h;
}

static Hist custom(const double *bounds, uint32_t bound_count, const double *counts) {
    Hist h = exponential(HISTOGRAM_SCHEMA_CUSTOM, 0, counts, bound_count + 1);

    h.bounds = bounds;
    h.bound_count = bound_count;
    return h;
}

static void assert_hist(const Hist *h, const char *want) {
    Buf text;

    assert_non_null(h);
    buf_init(&text, 0);
    hist_append_text(&text, h);
    buf_append_byte(&text, '\0');
    assert_string_equal(text.ptr, want);
    buf_done(&text);
}

static void bounds_are_powers_and_end_at_the_largest_double(void **state) {
    (void)state;
    assert_true(hist_bound(0, 0) == 1 && hist_bound(3, 0) == 8 && hist_bound(-2, 0) == 0.25);
    assert_true(hist_bound(1, 1) == 1.414213562373095 && hist_bound(1, -1) == 4);
    assert_true(hist_bound(1024, 0) == 0x1.fffffffffffffp1023 && isinf(hist_bound(1025, 0)));
    assert_true(hist_bound(INT32_MAX, 8) == INFINITY && hist_bound(INT32_MIN + 1, -4) == 0);
}

static void spans_are_read_and_written(void **state) {
    HistogramSpan spans[] = {{-2, 2}, {3, 1}}, again[] = {{-2, 3}};
    double counts[] = {1, 2, 3};
    NativeHistogram native = {.positive_spans = spans,
                              .positive_span_count = 2,
                              .positive = counts,
                              .positive_count = 3,
                              .count = 6,
                              .sum = 1.5};
    HistReader reader = {.arena = arena, .bounds_arena = arena};
    NativeHistogram *back;
    Error err;
    Hist h;

    (void)state;
    assert_ok(hist_view(&reader, &native, &h, &err), &err);
    assert_hist(&h, "{count:6, sum:1.5, (0.125,0.25]:1, (0.25,0.5]:2, (4,8]:3}");
    back = hist_to_native(arena, &h);
    assert_int_equal(back->positive_span_count, 2);
    assert_memory_equal(back->positive_spans, spans, sizeof spans);
    native.positive_spans = again;
    native.positive_span_count = 1;
    assert_ok(hist_view(&reader, &native, &h, &err), &err);
    assert_hist(&h, "{count:6, sum:1.5, (0.125,0.25]:1, (0.25,0.5]:2, (0.5,1]:3}");
}

static void spans_that_do_not_fit_are_corrupt(void **state) {
    HistogramSpan spans[] = {{0, 2}, {INT32_MAX, 2}, {-1, 1}, {0, UINT32_MAX}};
    double counts[] = {1, 2, 3, 4, 5};
    NativeHistogram native = {.positive_spans = spans, .positive = counts};
    Error err;
    Hist h;

    (void)state;
    for (uint32_t n = 0; n <= 4; n++)
        for (uint32_t buckets = 1; buckets <= 5; buckets++) {
            HistReader reader = {.arena = arena, .bounds_arena = arena};

            native.positive_span_count = n;
            native.positive_count = buckets;
            assert_int_equal(hist_view(&reader, &native, &h, &err),
                             n == 1 && buckets == 2 ? ERR_OK : ERR_CORRUPT);
        }
    native = (NativeHistogram){.schema = 99};
    assert_int_equal(hist_view(&(HistReader){.arena = arena}, &native, &h, &err), ERR_CORRUPT);
    native = (NativeHistogram){.zero_threshold = NAN};
    assert_int_equal(hist_view(&(HistReader){.arena = arena}, &native, &h, &err), ERR_CORRUPT);
}

static void addition_merges_buckets_schemas_and_zero_buckets(void **state) {
    double one[] = {1, 2}, two[] = {10, 20, 30, 40};
    Hist a = exponential(0, 1, one, 2), b = exponential(1, -1, two, 4),
         c = exponential(0, 0, two, 2);
    HistSumInfo info = {0};

    (void)state;
    assert_hist(hist_add(arena, &a, &b, 1, &info),
                "{count:103, sum:0, (0.5,1]:30, (1,2]:71, (2,4]:2}");
    a.zero_threshold = 0.6;
    a.zero_count = 5;
    /* 0.6 cuts the bucket (0.5,1], which is populated: the zero bucket grows to 1. */
    assert_hist(hist_add(arena, &a, &c, 1, &info),
                "{count:33, sum:0, [-1,1]:15, (1,2]:21, (2,4]:2}");
    assert_false(info.incompatible || info.reset_collision || info.bounds_reconciled);
}

static void buckets_that_are_far_apart_cost_nothing(void **state) {
    double counts[] = {1, 1};
    int32_t index[] = {-1000000000, 1000000000};
    Hist a = {.positive = {index, counts, 2}}, b = exponential(0, 0, counts, 2);
    HistSumInfo info = {0};
    const Hist *sum = hist_add(arena, &a, &b, 1, &info);

    (void)state;
    assert_int_equal(sum->positive.n, 4);
    assert_int_equal(hist_add(arena, sum, &b, -1, &info)->positive.n, 2);
}

static void custom_bounds_are_reconciled_to_what_both_have(void **state) {
    double bounds_a[] = {1, 2, 3}, bounds_b[] = {2, 4}, counts_a[] = {1, 1, 1, 1},
           counts_b[] = {5, 6, 7};
    Hist a = custom(bounds_a, 3, counts_a), b = custom(bounds_b, 2, counts_b), e = {0};
    HistSumInfo info = {0};

    (void)state;
    assert_hist(hist_add(arena, &a, &b, 1, &info), "{count:22, sum:0, [-Inf,2]:7, (2,+Inf]:15}");
    assert_true(info.bounds_reconciled);
    assert_null(hist_add(arena, &a, &e, 1, &info));
    assert_true(info.incompatible);
}

static void a_hint_survives_only_where_it_is_true(void **state) {
    double counts[] = {1};
    Hist a = exponential(0, 0, counts, 1), b = a;
    HistSumInfo info = {0};

    (void)state;
    a.hint = HISTOGRAM_HINT_RESET;
    b.hint = HISTOGRAM_HINT_NO_RESET;
    assert_int_equal(hist_add(arena, &a, &b, 1, &info)->hint, HISTOGRAM_HINT_UNKNOWN);
    assert_true(info.reset_collision);
    b.hint = HISTOGRAM_HINT_GAUGE;
    assert_int_equal(hist_add(arena, &a, &b, 1, &info)->hint, HISTOGRAM_HINT_GAUGE);
    assert_int_equal(hist_multiply(arena, &a, -1, true)->hint, HISTOGRAM_HINT_GAUGE);
    assert_int_equal(hist_divide(arena, &a, 0, true)->positive.n, 0);
}

static void resets_are_seen_whatever_the_layout(void **state) {
    double counts[] = {5, 5}, more[] = {6, 5}, moved[] = {0, 11}, fine[] = {2, 3, 2, 3};
    Hist before = exponential(0, 1, counts, 2), after = exponential(0, 1, more, 2);
    Hist less = exponential(0, 1, moved, 2), finer = exponential(1, 1, fine, 4);

    (void)state;
    assert_false(hist_detect_reset(&after, &before));
    assert_true(hist_detect_reset(&before, &after));
    assert_true(hist_detect_reset(&less, &before));   /* the first bucket is smaller */
    assert_false(hist_detect_reset(&before, &finer)); /* coarser: merged before comparing */
    assert_true(hist_detect_reset(&finer, &before));
    after.hint = HISTOGRAM_HINT_RESET;
    assert_true(hist_detect_reset(&after, &before));
    before.hint = HISTOGRAM_HINT_NO_RESET;
    assert_false(hist_detect_reset(&before, &after));
}

static void quantiles_interpolate_in_the_bucket(void **state) {
    double counts[] = {10, 10}, bounds[] = {1, 2}, custom_counts[] = {10, 10, 0};
    Hist h = exponential(0, 1, counts, 2), c = custom(bounds, 2, custom_counts);
    HistNanInfo info;

    (void)state;
    assert_true(fabs(hist_quantile(0.25, &h, &info) - sqrt(2)) < 1e-12);
    assert_true(hist_quantile(0.5, &h, &info) == 2);
    assert_true(hist_quantile(0.75, &c, &info) == 1.5 && hist_quantile(0.25, &c, &info) == 0.5);
    assert_true(isinf(hist_quantile(1.1, &h, &info)) && isnan(hist_quantile(NAN, &h, &info)));
    h.sum = NAN;
    h.count = 40; /* half of it NaN */
    assert_true(isnan(hist_quantile(0.9, &h, &info)) && info.result_is_nan);
}

static void classic_buckets_are_made_to_rise(void **state) {
    ClassicBucket buckets[] = {{1, 10}, {2, 9}, {INFINITY, 20}};
    ClassicFix fix;

    (void)state;
    assert_true(classic_quantile(0.25, buckets, 3, &fix) == 0.5);
    assert_true(fix.forced && fix.min_bucket == 2 && fix.max_bucket == 2 && fix.max_diff == 1);
    buckets[2].upper = 3;
    assert_true(isnan(classic_quantile(0.5, buckets, 3, &fix)));
}

static void a_mean_does_not_overflow(void **state) {
    double counts[] = {1.5e308};
    Hist h = exponential(0, 0, counts, 1);
    HistSumInfo info = {0};
    HistAvg avg;

    (void)state;
    assert_true(hist_avg_init(&avg, arena, &h));
    for (int i = 0; i < 3; i++) assert_true(hist_avg_add(&avg, &h, &info));
    assert_true(fabs(hist_avg_finish(&avg, true)->count / 1.5e308 - 1) < 1e-12);
}

static void numbers_are_written_as_go_does(void **state) {
    static const struct {
        double v;
        const char *g, *f, *open_metrics;
    } cases[] = {
        {0, "0", "0", "0.0"},
        {1, "1", "1", "1.0"},
        {100000, "100000", "100000", "100000.0"},
        {1234567, "1.234567e+06", "1234567", "1.234567e+06"},
        {0.00001, "1e-05", "0.00001", "1e-05"},
        {-0.25, "-0.25", "-0.25", "-0.25"},
        {1e21, "1e+21", "1000000000000000000000", "1e+21"},
        {NAN, "NaN", "NaN", "NaN"},
        {INFINITY, "+Inf", "+Inf", "+Inf"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        void (*const writers[])(Buf *, double) = {go_append_g, go_append_f, go_append_open_metrics};
        const char *const wants[] = {cases[i].g, cases[i].f, cases[i].open_metrics};

        for (int k = 0; k < 3; k++) {
            Buf text;

            buf_init(&text, 0);
            writers[k](&text, cases[i].v);
            buf_append_byte(&text, '\0');
            assert_string_equal(text.ptr, wants[k]);
            buf_done(&text);
        }
    }
}

static void vector_loops_agree_with_plain_ones(void **state) {
    double v[200], sum[200] = {0}, comp[200] = {0};
    uint32_t seed = 1;

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        seed = seed * 1664525 + 1013904223;
        v[i] = (double)(int32_t)seed * 1e-3;
    }
    for (size_t n = 0; n <= 70; n++) {
        double rising[80] = {0};

        for (size_t i = 0; i < n; i++) rising[i] = (double)i;
        assert_true(simd_is_rising(rising, n));
        for (size_t at = 1; at < n; at++) {
            double kept = rising[at];

            rising[at] = rising[at - 1] - 1;
            assert_false(simd_is_rising(rising, n));
            rising[at] = NAN;
            assert_false(simd_is_rising(rising, n));
            assert_false(simd_has_stale(rising, n));
            assert_false(simd_is_below(rising, n, 1e9));
            memcpy(&rising[at], &(uint64_t){STALE_NAN_BITS}, sizeof(double));
            assert_true(simd_has_stale(rising, n));
            rising[at] = kept;
        }
        assert_true(simd_is_below(rising, n, 1e9));
    }
    for (int round = 0; round < 50; round++) {
        simd_add(sum, comp, v, 199);
        for (size_t i = 0; i < 200; i++) v[i] *= -1.37;
    }
    for (size_t i = 0; i < 199; i++) assert_true(isfinite(sum[i]) && fabs(comp[i]) < 1);
    v[3] = INFINITY;
    simd_add(sum, comp, v, 5);
    assert_true(isinf(sum[3]) && comp[3] == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(bounds_are_powers_and_end_at_the_largest_double),
        TEST(spans_are_read_and_written),
        TEST(spans_that_do_not_fit_are_corrupt),
        TEST(addition_merges_buckets_schemas_and_zero_buckets),
        TEST(buckets_that_are_far_apart_cost_nothing),
        TEST(custom_bounds_are_reconciled_to_what_both_have),
        TEST(a_hint_survives_only_where_it_is_true),
        TEST(resets_are_seen_whatever_the_layout),
        TEST(quantiles_interpolate_in_the_bucket),
        TEST(classic_buckets_are_made_to_rise),
        TEST(a_mean_does_not_overflow),
        TEST(numbers_are_written_as_go_does),
        TEST(vector_loops_agree_with_plain_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
