/* What histogram.h promises: what Prometheus refuses is refused, copies are equal, bit for bit. */
#include "tests/unit/unit.h"

#include <math.h>
#include <string.h>

#include "common/batch/histogram.h"
#include "common/batch/metrics.h"
#include "common/batch/signal.h"

static HistogramSpan positive_spans[2], negative_spans[1];
static double positive[3], negative[1], custom[2];

/* A valid integer histogram; tests break one thing each. */
static NativeHistogram valid(void) {
    positive_spans[0] = (HistogramSpan){-2, 2};
    positive_spans[1] = (HistogramSpan){3, 1};
    negative_spans[0] = (HistogramSpan){0, 1};
    positive[0] = 1, positive[1] = 2, positive[2] = 3;
    negative[0] = 4;
    return (NativeHistogram){
        .schema = 1,
        .zero_threshold = 0.001,
        .zero_count = 5,
        .count = 15,
        .sum = 1.5,
        .positive_spans = positive_spans,
        .negative_spans = negative_spans,
        .positive = positive,
        .negative = negative,
        .positive_span_count = 2,
        .negative_span_count = 1,
        .positive_count = 3,
        .negative_count = 1,
    };
}

static NativeHistogram valid_custom(void) {
    NativeHistogram h = valid();

    positive_spans[0] = (HistogramSpan){0, 3};
    custom[0] = 0.5, custom[1] = 2;
    h.schema = HISTOGRAM_SCHEMA_CUSTOM;
    h.custom_values = custom;
    h.custom_count = 2;
    h.positive_span_count = 1;
    h.negative_span_count = 0;
    h.negative_count = 0;
    h.zero_count = 0;
    h.zero_threshold = 0;
    h.count = 6;
    return h;
}

static void assert_refused(const NativeHistogram *h, const char *reason) {
    Error err = {0};

    assert_int_equal(histogram_validate(h, &err), ERR_INVALID);
    if (strstr(err.text, reason) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.text, reason);
}

static void valid_ones_pass(void **state) {
    NativeHistogram h = valid(), c = valid_custom();
    Error err = {0};

    (void)state;
    assert_ok(histogram_validate(&c, &err), &err);
    h = valid();
    assert_ok(histogram_validate(&h, &err), &err);
    h.sum = NAN;
    h.count = 20; /* observations of NaN are in no bucket */
    assert_ok(histogram_validate(&h, &err), &err);
    h = valid();
    h.is_float = true;
    h.count = 0.5;
    positive[1] = 0.25;
    assert_ok(histogram_validate(&h, &err), &err);
    h = (NativeHistogram){0};
    memcpy(&h.sum, &(uint64_t){STALE_NAN_BITS}, sizeof h.sum);
    assert_ok(histogram_validate(&h, &err), &err);
    assert_true(histogram_is_stale(&h));
}

static void what_prometheus_refuses_is_refused(void **state) {
    NativeHistogram h;

    (void)state;
    h = valid(), positive_spans[1].offset = -1;
    assert_refused(&h, "histogram has a span whose offset is negative");
    h = valid(), positive_spans[1].length = 2;
    assert_refused(&h, "specify different number of buckets");
    h = valid(), negative[0] = -1;
    assert_refused(&h, "observation count is negative");
    h = valid(), h.zero_count = -1;
    assert_refused(&h, "observation count is negative");
    h = valid(), h.count = 14;
    assert_refused(&h, "should equal the number of observations");
    h = valid(), h.count = 14, h.sum = NAN;
    assert_refused(&h, "should be at least the number of observations");
    h = valid(), h.schema = 9;
    assert_refused(&h, "invalid schema: 9");
    h = valid(), h.schema = -5;
    assert_refused(&h, "invalid schema: -5");
    h = valid(), positive[0] = 1.5;
    assert_refused(&h, "whole number");
    h = valid(), h.custom_count = 1, h.custom_values = custom;
    assert_refused(&h, "must not have custom bounds");
}

static void custom_buckets_have_rules_of_their_own(void **state) {
    NativeHistogram h;

    (void)state;
    h = valid_custom(), custom[1] = 0.5;
    assert_refused(&h, "strictly increasing");
    h = valid_custom(), custom[1] = INFINITY;
    assert_refused(&h, "finite");
    h = valid_custom(), h.custom_count = 1;
    assert_refused(&h, "custom bounds are too few");
    h = valid_custom(), h.zero_count = 1;
    assert_refused(&h, "zero count of 0");
    h = valid_custom(), h.zero_threshold = 1;
    assert_refused(&h, "zero threshold of 0");
    h = valid_custom(), h.negative_span_count = 1, h.negative_count = 1;
    assert_refused(&h, "negative spans");
    h = valid_custom(), positive_spans[0].offset = -1;
    assert_refused(&h, "offset is negative");
}

static void absurd_sizes_are_refused(void **state) {
    NativeHistogram h;

    (void)state;
    h = valid(), h.positive_span_count = HISTOGRAM_SPANS_MAX + 1;
    assert_refused(&h, "spans");
    h = valid(), h.negative_count = HISTOGRAM_BUCKETS_MAX + 1;
    assert_refused(&h, "buckets");
    h = valid(), h.custom_count = HISTOGRAM_CUSTOM_MAX + 1;
    assert_refused(&h, "custom bounds");
    h = valid(), positive_spans[0].length = UINT32_MAX, positive_spans[1].length = 4;
    assert_refused(&h, "buckets");
    h = valid(), positive_spans[0].offset = INT32_MAX;
    assert_refused(&h, "bucket indices");
}

static void a_copy_is_equal_and_any_difference_shows(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(arena_free) Arena *tiny = arena_new(16, NULL);
    NativeHistogram h = valid_custom(), other;
    NativeHistogram *copy = histogram_dup(arena, &h);

    (void)state;
    assert_non_null(copy);
    assert_true(copy->positive != h.positive);
    assert_true(histogram_equal(copy, &h));
    other = h, other.hint = HISTOGRAM_HINT_GAUGE;
    assert_false(histogram_equal(&other, &h));
    other = h, other.sum = -other.sum;
    assert_false(histogram_equal(&other, &h));
    positive[2] += 1;
    assert_false(histogram_equal(copy, &h));
    positive[2] -= 1, custom[0] -= 0.25;
    assert_false(histogram_equal(copy, &h));
    assert_null(histogram_dup(tiny, &h));
}

static void names_are_those_of_the_api(void **state) {
    (void)state;
    assert_string_equal(metric_type_name(METRIC_COUNTER), "counter");
    assert_string_equal(metric_type_name(METRIC_GAUGE_HISTOGRAM), "gaugehistogram");
    assert_string_equal(metric_type_name((MetricType)99), "unknown");
    assert_string_equal(signal_name(SIGNAL_TRACES), "traces");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_ones_pass),
        cmocka_unit_test(what_prometheus_refuses_is_refused),
        cmocka_unit_test(custom_buckets_have_rules_of_their_own),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(a_copy_is_equal_and_any_difference_shows),
        cmocka_unit_test(names_are_those_of_the_api),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
