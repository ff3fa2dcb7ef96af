/* What random expressions showed to differ from Prometheus 3, each in its smallest form; more of
 * them than fit here are asked by tests/integration/promql_differential_test.py. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/promql/harness.h"

static Harness harness;

/* Not in the order of their labels, as no source has to be. */
static int setup(void **state) {
    (void)state;
    harness_init(&harness);
    harness_load(&harness, 60000, "up{instance=\"3\",job=\"b\"} 1 1 1 1");
    harness_load(&harness, 60000, "up{instance=\"2\",job=\"a\"} 0 0 0 0");
    harness_load(&harness, 60000, "up{instance=\"1\",job=\"a\"} 1 1 1 1");
    harness_load(&harness, 60000, "late{instance=\"1\",job=\"a\"} _ _ 1 1");
    harness_load(&harness, 60000, "late{instance=\"2\",job=\"a\"} _ _ 1 1");
    harness_load(&harness, 60000, "late{instance=\"4\",job=\"a\"} 1 _ _ _");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    harness_done(&harness);
    return 0;
}

/* Of the answer to an instant query at 3 minutes. */
static void assert_part(const char *query, const char *part) {
    const char *got = harness_json(&harness, query, 0, 180000, 0);

    if (strstr(got, part) == NULL) fail_msg("%s:\n got %s\nwant %s", query, got, part);
}

static void assert_value(const char *query, const char *value) {
    char part[64];

    snprintf(part, sizeof part, "\"value\":[180,\"%s\"]", value);
    assert_part(query, part);
}

static void dates_of_what_is_no_time_are_those_of_go(void **state) {
    (void)state;
    assert_value("year(vector(NaN))", "292277026596");
    assert_value("month(vector(Inf))", "12");
    assert_value("hour(vector(-Inf))", "15");
    assert_value("day_of_week(vector(1e300))", "0");
    assert_value("year(vector(-62135596801))", "0");
    assert_value("days_in_month(vector(951782400))", "29");
}

static void a_quantile_on_a_sample_is_that_sample(void **state) {
    (void)state;
    assert_value("quantile(0, vector(Inf))", "+Inf");
    assert_value("quantile(0, up{instance=\"1\"} / 0 or up{instance=\"2\"})", "0");
    assert_value("quantile_over_time(1, vector(-Inf)[2m:1m])", "-Inf");
}

static void limitk_takes_the_first_by_their_labels_and_whole_numbers_of_them(void **state) {
    (void)state;
    assert_part("limitk(1.9, up)",
                "[{\"metric\":{\"__name__\":\"up\",\"instance\":\"1\",\"job\":\"a\"},"
                "\"value\":[180,\"1\"]}]");
    assert_part("limitk(1, sort(up))", "\"instance\":\"2\"");
}

static void topk_takes_the_first_of_equal_values_by_their_labels(void **state) {
    (void)state;
    assert_part("topk(1, up)",
                "[{\"metric\":{\"__name__\":\"up\",\"instance\":\"1\",\"job\":\"a\"}");
}

static void what_an_aggregation_ignores_is_evaluated_nevertheless(void **state) {
    (void)state;
    assert_part("topk(0, up == on (job) up)", "found duplicate series for the match group");
    assert_part("limitk(NaN, up == on (job) up)", "found duplicate series for the match group");
    assert_part("topk(0, quantile(2, up))", "quantile value should be between 0 and 1, got 2");
    assert_part("start_timestamp(quantile(2, up))", "quantile value should be between 0 and 1");
}

static void the_error_of_the_earliest_step_counts(void **state) {
    const char *got;

    (void)state;
    /* Two of the one side meet from the third step on, two of the many side at the first. */
    got = harness_json(&harness, "up == on (job) late", 0, 180000, 60000);
    if (strstr(got, "multiple matches for labels") == NULL) fail_msg("got %s", got);
    got = harness_json(&harness, "up == on (job) late", 120000, 180000, 60000);
    if (strstr(got, "[{__name__=\"late\", instance=\"1\", job=\"a\"}, "
                    "{__name__=\"late\", instance=\"2\", job=\"a\"}]") == NULL)
        fail_msg("got %s", got);
}

static void annotations_name_the_metric_under_which_series_were_read(void **state) {
    (void)state;
    assert_part("label_replace(rate(up{instance=\"1\"}[2m]), \"__name__\", \"x\", \"job\", \".*\")",
                "_bucket: \\\"up\\\" (1:20)");
    assert_part("label_join(rate(up{instance=\"1\"}[2m]), \"__name__\", \"\")",
                "_bucket: \\\"up\\\" (1:17)");
}

static void what_is_said_of_a_subquery_has_no_place(void **state) {
    (void)state;
    assert_part("abs(rate(up{instance=\"1\"}[2m:30s]))", "_bucket: \\\"up\\\" (1:1)");
}

static void the_outer_of_equal_annotations_counts(void **state) {
    const char *got = harness_json(&harness, "sort(sort_desc(up))", 0, 180000, 60000);

    (void)state;
    if (strstr(got, "ordered by labels (1:1)") == NULL) fail_msg("got %s", got);
    assert_part("quantile(2, quantile(2, up))", "got 2 (1:10)");
    /* What is the same at every step is evaluated as at one. */
    got = harness_json(&harness, "sort(info(up @ 0, {version=\"1\"}))", 0, 180000, 60000);
    if (strstr(got, "warnings") != NULL) fail_msg("got %s", got);
}

static void absent_has_labels_of_matchers_in_the_order_of_the_index(void **state) {
    (void)state;
    assert_part("absent(up{job!~\"x\",job=\"x\"})", "[{\"metric\":{},");
    assert_part("absent(up{job!=\"\",job=\"x\"})", "[{\"metric\":{\"job\":\"x\"},");
    assert_part("absent(up{job=\"x\",job=\"y\",a=\"b\"})", "[{\"metric\":{\"a\":\"b\"},");
}

static void numbers_in_errors_are_written_as_by_go(void **state) {
    (void)state;
    assert_part("topk(Inf, up)", "Scalar value +Inf overflows int64");
    assert_part("limitk(1e19, up)", "Scalar value 1e+19 overflows int64");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(dates_of_what_is_no_time_are_those_of_go),
        TEST(a_quantile_on_a_sample_is_that_sample),
        TEST(limitk_takes_the_first_by_their_labels_and_whole_numbers_of_them),
        TEST(topk_takes_the_first_of_equal_values_by_their_labels),
        TEST(what_an_aggregation_ignores_is_evaluated_nevertheless),
        TEST(the_error_of_the_earliest_step_counts),
        TEST(annotations_name_the_metric_under_which_series_were_read),
        TEST(what_is_said_of_a_subquery_has_no_place),
        TEST(the_outer_of_equal_annotations_counts),
        TEST(absent_has_labels_of_matchers_in_the_order_of_the_index),
        TEST(numbers_in_errors_are_written_as_by_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
