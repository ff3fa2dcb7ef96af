/* What engine.h and result_json.h promise, in the small. The language as a whole is tested by
 * tests/conformance/promqltest with Prometheus' own scripts. */
#include <math.h>
#include <string.h>

#include "tests/unit/promql/harness.h"

static Harness harness;

static int setup(void **state) {
    (void)state;
    harness_init(&harness);
    harness_load(&harness, 60000, "up{job=\"a\",instance=\"1\"} 1 1 0 1 1 1");
    harness_load(&harness, 60000, "up{job=\"a\",instance=\"2\"} 0 0 0 0 0 0");
    harness_load(&harness, 60000, "up{job=\"b\",instance=\"3\"} 1 1 stale _ _ _");
    harness_load(&harness, 60000, "requests_total{job=\"a\",code=\"200\"} 0 60 120 180 30 90");
    harness_load(&harness, 60000, "requests_total{job=\"a\",code=\"500\"} 0 6 12 18 24 30");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    harness_done(&harness);
    return 0;
}

static void assert_json(const char *query, int64_t start, int64_t end, int64_t step,
                        const char *want) {
    const char *got = harness_json(&harness, query, start, end, step);

    if (strcmp(got, want) != 0) fail_msg("%s:\n got %s\nwant %s", query, got, want);
}

static void assert_error(const char *query, ErrCode code, const char *text) {
    ErrCode got = harness_run(&harness, query, 0, 300000, 0);

    if (got != code || strstr(harness.err.text, text) == NULL)
        fail_msg("%s: code %d: %s", query, (int)got, harness.err.text);
}

static void a_vector_has_one_time_and_the_order_it_was_made_in(void **state) {
    (void)state;
    assert_json(
        "up{job=\"a\"}", 0, 300000, 0,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
        "{\"metric\":{\"__name__\":\"up\",\"instance\":\"1\",\"job\":\"a\"},\"value\":[300,\"1\"]},"
        "{\"metric\":{\"__name__\":\"up\",\"instance\":\"2\",\"job\":\"a\"},\"value\":[300,\"0\"]}"
        "]}}");
    assert_json("sort_desc(requests_total)", 0, 300000, 0,
                "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                "{\"metric\":{\"__name__\":\"requests_total\",\"code\":\"200\",\"job\":\"a\"},"
                "\"value\":[300,\"90\"]},"
                "{\"metric\":{\"__name__\":\"requests_total\",\"code\":\"500\",\"job\":\"a\"},"
                "\"value\":[300,\"30\"]}]}}");
}

/* The source hides values from who only counts; whoever shares the selector sees them still. */
static void counting_needs_no_values_but_others_do(void **state) {
    static const char *const queries[] = {
        "count(requests_total) + sum(requests_total)",
        "sum(requests_total) + count(requests_total)",
        "sum(requests_total) + group(requests_total) + count(requests_total{code=\"200\"})",
        "count((requests_total)) + sum(sum_over_time(requests_total[1s]))",
        "sum(count_over_time(requests_total[1s])) + sum(sum_over_time(requests_total[1s]))",
        "sum(requests_total) + sum(present_over_time(requests_total[1s]))",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++)
        assert_json(queries[i], 0, 300000, 0,
                    "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                    "{\"metric\":{},\"value\":[300,\"122\"]}]}}");
    assert_json("count(requests_total > 50)", 0, 300000, 0,
                "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                "{\"metric\":{},\"value\":[300,\"1\"]}]}}");
}

static void a_matrix_is_sorted_by_labels_and_leaves_gaps_out(void **state) {
    (void)state;
    assert_json(
        "-up{job!=\"c\"} < 0", 0, 120000, 60000,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
        "{\"metric\":{\"instance\":\"1\",\"job\":\"a\"},\"values\":[[0,\"-1\"],[60,\"-1\"]]},"
        "{\"metric\":{\"instance\":\"3\",\"job\":\"b\"},\"values\":[[0,\"-1\"],[60,\"-1\"]]}"
        "]}}");
}

static void scalars_and_strings_are_what_they_are(void **state) {
    (void)state;
    assert_json("1 / 0", 0, 1500, 0,
                "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1.500,\"+"
                "Inf\"]}}");
    assert_json(
        "\"a\\\"b\"", 0, 1000, 0,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[1,\"a\\\"b\"]}}");
    assert_json(
        "time()", 0, 2000, 1000,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},"
        "\"values\":[[0,\"0\"],[1,\"1\"],[2,\"2\"]]}]}}");
}

static void a_range_selector_has_the_samples_own_times(void **state) {
    (void)state;
    assert_json("up{instance=\"3\"}[5m]", 0, 120000, 0,
                "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
                "{\"metric\":{\"__name__\":\"up\",\"instance\":\"3\",\"job\":\"b\"},"
                "\"values\":[[0,\"1\"],[60,\"1\"]]}]}}");
    assert_error("up[5m] + 1", ERR_INVALID, "");
    assert_int_equal(harness_run(&harness, "up[5m]", 0, 60000, 60000), ERR_INVALID);
}

static void annotations_come_with_positions(void **state) {
    (void)state;
    assert_json(
        "sum(rate(up{instance=\"2\"}[3m]))", 0, 300000, 0,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
        "{\"metric\":{},\"value\":[300,\"0\"]}]},\"infos\":[\"PromQL info: metric might not be "
        "a counter, name does not end in _total/_sum/_count/_bucket: \\\"up\\\" (1:10)\"]}");
    assert_json("1 +\n quantile(2, up{instance=\"2\"})", 0, 0, 0,
                "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                "{\"metric\":{},\"value\":[0,\"+Inf\"]}]},\"warnings\":[\"PromQL warning: quantile "
                "value should be between 0 and 1, got 2 (2:11)\"]}");
}

/* What is evaluated once for two places is annotated where it was said last. */
static void equal_parts_are_annotated_at_the_later_one(void **state) {
    (void)state;
    assert_json(
        "sum(rate(up{instance=\"2\"}[3m])) + sum(rate(up{instance=\"2\"}[3m]))", 0, 300000, 0,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
        "{\"metric\":{},\"value\":[300,\"0\"]}]},\"infos\":[\"PromQL info: metric might not be "
        "a counter, name does not end in _total/_sum/_count/_bucket: \\\"up\\\" (1:44)\"]}");
}

static void errors_have_the_texts_that_clients_know(void **state) {
    (void)state;
    assert_error("up * on (job) up", ERR_INVALID,
                 "many-to-many matching not allowed: matching labels must be unique on one side");
    assert_error("up * on (job) group_left () requests_total", ERR_INVALID,
                 "found duplicate series for the match group {job=\"a\"} on the right hand-side of "
                 "the operation: [{__name__=\"requests_total\", code=\"200\", job=\"a\"}, "
                 "{__name__=\"requests_total\", code=\"500\", job=\"a\"}]");
    assert_error("label_replace(up, \"job\", \"x\", \"job\", \".*\") or "
                 "label_replace(up, \"instance\", \"\", \"instance\", \".*\")",
                 ERR_INVALID, "vector cannot contain metrics with the same labelset");
    assert_error("topk(NaN, up)", ERR_INVALID, "Parameter value is NaN");
    assert_error("label_replace(up, \"a\", \"\", \"b\", \"(\")", ERR_INVALID,
                 "invalid regular expression in label_replace(): (");
    assert_error("count_values(\"\", up)", ERR_INVALID, "invalid label name \"\"");
    assert_error("max_over_time(up[5m] anchored)", ERR_INVALID,
                 "anchored modifier can only be used with: changes, delta, increase, rate, resets "
                 "- not with max_over_time");
}

static void a_limit_of_samples_is_an_error(void **state) {
    (void)state;
    harness.samples_max = 5;
    assert_error("up + up", ERR_OK, "");
    assert_int_equal(harness_run(&harness, "up + up", 0, 300000, 1000), ERR_LIMIT);
    assert_non_null(strstr(harness.err.text, "query processing would load too many samples into "
                                             "memory in query execution"));
    assert_int_equal(harness_run(&harness, "sum(up)", 0, 120000, 60000), ERR_OK);
}

static void a_query_that_was_given_up_stops(void **state) {
    atomic_bool cancelled = true;

    (void)state;
    harness.cancelled = &cancelled;
    assert_int_equal(harness_run(&harness, "sum(up)", 0, 300000, 1000), ERR_CANCELLED);
}

static void far_times_and_long_ranges_do_no_harm(void **state) {
    static const char *const queries[] = {
        "up offset 100y",
        "up offset -100y",
        "up @ 1e12",
        "rate(up[292y])",
        "up[292y:1y]",
        "max_over_time(up[1y:] offset -1y)",
        "sum_over_time(up[1y:1y] @ end())",
        "predict_linear(up[100y], 1e300)",
        "timestamp(up @ -1e12)",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        harness_json(&harness, queries[i], 0, 300000, 0);
        harness_json(&harness, queries[i], 0, 300000, 60000);
        harness_json(&harness, queries[i], 0, INT64_MAX / 4, 0);
    }
    assert_int_equal(harness_run(&harness, "up", 0, INT64_MAX - 1, 60000), ERR_INVALID);
    assert_int_equal(harness_run(&harness, "up", 0, INT64_C(1) << 59, 1), ERR_LIMIT);
    assert_int_equal(harness_run(&harness, "max_over_time(up[200y:1ms])", 0, 0, 0), ERR_LIMIT);
}

static void a_subquery_that_holds_no_step_is_empty(void **state) {
    (void)state;
    assert_json("count(max_over_time(up[1s:1h]))", 0, 300000, 0,
                "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}");
}

/* Every allocation of a query may be the one that fails. */
static void running_out_of_memory_is_an_error_wherever_it_happens(void **state) {
    static const char *const queries[] = {
        "sum by (job) (rate(requests_total[3m]))",
        "topk(1, up) + on (job) group_left () count by (job) (up)",
        "histogram_quantile(0.9, label_replace(up, \"le\", \"$1\", \"instance\", \"(.*)\"))",
        "quantile_over_time(0.5, sum(up)[5m:1m])",
        "count_values(\"v\", up) or sort(up) or absent(nothing)",
        "info(up)",
        "requests_total[5m]",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        ErrCode code = ERR_LIMIT;

        for (size_t memory = 4096; code != ERR_OK; memory += 1024) {
            harness.memory_max = memory;
            code = harness_run(&harness, queries[i], 0, 300000,
                               strchr(queries[i], '[') == queries[i] + 14 ? 0 : 60000);
            if (code != ERR_OK && code != ERR_LIMIT)
                fail_msg("%s with %zu bytes: %s", queries[i], memory, harness.err.text);
            if (memory > 16 << 20) fail_msg("%s needs too much", queries[i]);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_vector_has_one_time_and_the_order_it_was_made_in),
        TEST(counting_needs_no_values_but_others_do),
        TEST(a_matrix_is_sorted_by_labels_and_leaves_gaps_out),
        TEST(scalars_and_strings_are_what_they_are),
        TEST(a_range_selector_has_the_samples_own_times),
        TEST(annotations_come_with_positions),
        TEST(equal_parts_are_annotated_at_the_later_one),
        TEST(errors_have_the_texts_that_clients_know),
        TEST(a_limit_of_samples_is_an_error),
        TEST(a_query_that_was_given_up_stops),
        TEST(far_times_and_long_ranges_do_no_harm),
        TEST(a_subquery_that_holds_no_step_is_empty),
        TEST(running_out_of_memory_is_an_error_wherever_it_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
