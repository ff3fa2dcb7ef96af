/*
 * What must hold whatever the expression: a range query is its instant queries, threads and shared
 * instants change nothing. Over series with resets, gaps, stale markers, NaN and infinities, and
 * native histograms.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/promql/harness.h"

enum { SERIES = 240, SAMPLES = 60, STEP_MS = 15000 };

static const char *const expressions[] = {
    "counter_total",
    "gauge offset 1m",
    "gauge @ 300",
    "gauge @ end()",
    "rate(counter_total[2m])",
    "increase(counter_total[50s])",
    "delta(gauge[2m])",
    "irate(counter_total[1m])",
    "idelta(gauge[1m])",
    "changes(gauge[3m])",
    "resets(counter_total[5m])",
    "sum_over_time(gauge[2m])",
    "avg_over_time(gauge[10m])",
    "min_over_time(gauge[1m])",
    "max_over_time(gauge[3m:20s])",
    "ts_of_max_over_time(gauge[3m])",
    "ts_of_min_over_time(gauge[3m])",
    "ts_of_last_over_time(gauge[3m])",
    "first_over_time(gauge[3m])",
    "count_over_time(gauge[3m])",
    "stddev_over_time(gauge[3m])",
    "quantile_over_time(0.3, gauge[4m])",
    "mad_over_time(gauge[4m])",
    "deriv(gauge[4m])",
    "predict_linear(gauge[4m], 600)",
    "double_exponential_smoothing(gauge[4m], 0.3, 0.6)",
    "absent_over_time(gauge{i=\"3\"}[30s])",
    "absent(gauge{i=\"3\"})",
    "present_over_time(gauge[30s])",
    "rate(counter_total[2m] anchored)",
    "rate(counter_total[2m] smoothed)",
    "gauge smoothed",
    "sum(rate(counter_total[2m]))",
    "sum by (g) (gauge)",
    "avg by (g) (gauge)",
    "avg without (i) (rate(counter_total[1m]))",
    "count by (g) (gauge > 0)",
    "min by (g) (gauge)",
    "max(gauge)",
    "stddev by (g) (abs(gauge) < 100)",
    "stdvar(gauge < 100)",
    "group by (g) (gauge)",
    "quantile by (g) (0.7, gauge)",
    "topk by (g) (2, gauge)",
    "bottomk(3, gauge)",
    "limitk(5, gauge)",
    "limit_ratio(0.3, gauge)",
    "count_values(\"v\", round(gauge / 20))",
    "gauge + on (i, g) counter_total",
    "gauge > bool on (i, g) counter_total",
    "counter_total / on (g) group_left () sum by (g) (counter_total)",
    "gauge and on (i) counter_total > 100",
    "gauge unless on (i) counter_total > 100",
    "gauge > 0 or counter_total",
    "gauge + on (i, g) fill (7) (counter_total > 300)",
    "-gauge ^ 2 % 7",
    "clamp(gauge, -1, scalar(max(gauge)) / 2)",
    "timestamp(gauge)",
    "timestamp(gauge + 1)",
    "label_replace(gauge, \"j\", \"x$1\", \"i\", \"(.).*\")",
    "histogram_quantile(0.8, label_replace(counter_total, \"le\", \"$1\", \"i\", \"(.*)\"))",
    "histogram_quantile(0.9, native)",
    "histogram_quantile(0.9, rate(native[2m]))",
    "histogram_fraction(0, 2, increase(native[90s]))",
    "histogram_count(sum by (g) (native))",
    "histogram_sum(avg_over_time(native[2m]))",
    "sum by (g) (rate(native[2m]))",
    "avg(native) * 2",
    "native - native offset 1m",
    "native </ 3",
    "sum({__name__=~\"gauge|native\"}) by (g)",
    "rate(sum_over_time(counter_total[1m])[3m:20s])",
    "sum(rate(counter_total[2m])) / sum(rate(counter_total[2m]) > 1)",
    "hour() + minute(vector(time()))",
    "vector(scalar(gauge{i=\"1\"}) + time())",
};

static uint32_t seed;

static uint32_t next_random(void) {
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static double from_bits(uint64_t bits) {
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static double next_gauge(void) {
    switch (next_random() % 40) {
    case 0:
        return NAN;
    case 1:
        return next_random() % 2 ? INFINITY : -INFINITY;
    case 2:
        return from_bits(STALE_NAN_BITS);
    default:
        return (double)(next_random() % 2000) / 10 - 100;
    }
}

static void load_native(FakeSource *fake, const LabelPair *labels, int64_t time, double n) {
    HistogramSpan positive[] = {{-1, 2}, {1, 2}}, negative[] = {{0, 1}};
    double counts[] = {n, 2 * n, floor(n / 3), 5}, below[] = {n / 2};
    NativeHistogram h = {.schema = n > 30 ? 0 : 1,
                         .is_float = true,
                         .zero_threshold = 0.001,
                         .zero_count = n,
                         .sum = 7 * n,
                         .positive_spans = positive,
                         .positive_span_count = 2,
                         .negative_spans = negative,
                         .negative_span_count = 1,
                         .positive = counts,
                         .positive_count = 4,
                         .negative = below,
                         .negative_count = 1};

    h.count = counts[0] + counts[1] + counts[2] + counts[3] + below[0] + n;
    fake_source_add_histogram(fake, labels, 3, time, &h);
}

static void load_series(Harness *h, unsigned i) {
    char number[16], group[16];
    LabelPair labels[3] = {{STR("__name__"), STR("gauge")}, {STR("i"), {0}}, {STR("g"), {0}}};
    double counter = 0, n = 1;

    snprintf(number, sizeof number, "%u", i);
    snprintf(group, sizeof group, "g%u", i % 7);
    labels[1].value = str_of(number);
    labels[2].value = str_of(group);
    for (int64_t s = 0; s < SAMPLES; s++) {
        /* Two thirds of the series share their instants. */
        int64_t time = s * STEP_MS + (i % 3 == 0 ? next_random() % 5000 : 0);
        bool gap = next_random() % 23 == 0 || (s / 10 + i) % 9 == 0;

        counter = next_random() % 31 == 0 ? 0 : counter + next_random() % 50;
        n = next_random() % 37 == 0 ? 1 : n + next_random() % 3;
        if (gap && i % 3 == 0) continue;
        labels[0].value = STR("gauge");
        fake_source_add(h->fake, labels, 3, time, next_gauge());
        labels[0].value = STR("counter_total");
        fake_source_add(h->fake, labels, 3, time, counter);
        labels[0].value = STR("native");
        if (i < 20) load_native(h->fake, labels, time, n);
    }
}

static void load_all(Harness *h) {
    harness_init(h);
    seed = 7;
    for (unsigned i = 0; i < SERIES; i++) load_series(h, i);
}

static bool close_to(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b)) + 1e-9;
}

static bool hists_close(const Hist *a, const Hist *b) {
    uint32_t n;

    if (a == NULL || b == NULL) return a == b;
    n = hist_bucket_count(a);
    if (n != hist_bucket_count(b) || !close_to(a->count, b->count) || !close_to(a->sum, b->sum))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!close_to(hist_bucket(a, i).count, hist_bucket(b, i).count) ||
            !close_to(hist_bucket(a, i).upper, hist_bucket(b, i).upper))
            return false;
    return true;
}

static bool labels_equal(const Harness *a, LabelSet x, const Harness *b, LabelSet y) {
    if (x.count != y.count) return false;
    for (uint32_t i = 0; i < x.count; i++)
        if (!str_equal(symbols_str(a->symbols, x.labels[i].name),
                       symbols_str(b->symbols, y.labels[i].name)) ||
            !str_equal(symbols_str(a->symbols, x.labels[i].value),
                       symbols_str(b->symbols, y.labels[i].value)))
            return false;
    return true;
}

/* The series of `in` with these labels; usually it is the one at `guess`. */
static const PromqlSeries *find(const Harness *in, size_t guess, const Harness *of,
                                LabelSet labels) {
    for (size_t i = 0; i < in->result.series_count; i++) {
        size_t at = (guess + i) % in->result.series_count;

        if (labels_equal(in, in->result.series[at].labels, of, labels))
            return &in->result.series[at];
    }
    return NULL;
}

/* Every sample of `one` at step `a` is in `other` at step `b`; returns how many there are. */
static size_t compare_step(const char *query, const Harness *one, size_t a, const Harness *other,
                           size_t b) {
    size_t samples = 0;

    for (size_t i = 0; i < one->result.series_count; i++) {
        const PromqlSeries *x = &one->result.series[i];
        const Hist *h = promql_histogram(x, a);
        const PromqlSeries *y;

        if (!promql_has_float(x, a) && h == NULL) continue;
        y = find(other, samples, one, x->labels);
        samples++;
        if (y == NULL || promql_has_float(x, a) != promql_has_float(y, b) ||
            (promql_has_float(x, a) && !close_to(x->values[a], y->values[b])) ||
            (h != NULL && !hists_close(h, promql_histogram(y, b))))
            fail_msg("%s: series %zu at step %zu: %.17g, not %.17g", query, i, a, x->values[a],
                     y == NULL ? NAN : y->values[b]);
    }
    return samples;
}

static void compare(const char *query, const Harness *one, size_t a, const Harness *other,
                    size_t b) {
    size_t samples = compare_step(query, one, a, other, b);

    if (samples != compare_step(query, other, b, one, a))
        fail_msg("%s: step %zu has other series", query, a);
}

static void a_range_query_is_its_instant_queries(void **state) {
    Harness range, instant;
    int64_t start = 200000, step = 45000;

    (void)state;
    load_all(&range);
    load_all(&instant);
    for (size_t q = 0; q < ARRAY_LEN(expressions); q++) {
        /* Ends of the query, which the two do not share. */
        if (strstr(expressions[q], "end()") != NULL) continue;
        assert_ok(harness_run(&range, expressions[q], start, start + 12 * step, step), &range.err);
        for (int64_t s = 0; s <= 12; s++) {
            assert_ok(harness_run(&instant, expressions[q], 0, start + s * step, 0), &instant.err);
            compare(expressions[q], &range, (size_t)s, &instant, 0);
        }
    }
    harness_done(&range);
    harness_done(&instant);
}

static void compare_all_steps(const char *query, Harness *one, Harness *other, int64_t step) {
    int64_t end = SAMPLES * STEP_MS;

    assert_ok(harness_run(one, query, 0, end, step), &one->err);
    assert_ok(harness_run(other, query, 0, end, step), &other->err);
    for (int64_t s = 0; s <= end / step; s++) compare(query, one, (size_t)s, other, (size_t)s);
}

static void threads_change_nothing(void **state) {
    Harness alone, together;
    Error err;

    (void)state;
    load_all(&alone);
    load_all(&together);
    assert_ok(pool_new("test", 3, 1000, &together.pool, &err), &err);
    for (size_t q = 0; q < ARRAY_LEN(expressions); q++)
        compare_all_steps(expressions[q], &alone, &together, 5000);
    harness_done(&alone);
    harness_done(&together);
}

static void shared_instants_change_nothing(void **state) {
    Harness shared, apart;

    (void)state;
    load_all(&shared);
    load_all(&apart);
    fake_source_share_times(apart.fake, false);
    for (size_t q = 0; q < ARRAY_LEN(expressions); q++) {
        compare_all_steps(expressions[q], &shared, &apart, 15000);
        compare_all_steps(expressions[q], &shared, &apart, 60000);
    }
    harness_done(&shared);
    harness_done(&apart);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_query_is_its_instant_queries),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(shared_instants_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
