/* printer_test.c: expressions as text over several lines, and as JSON. */
#include <jansson.h>

#include "tests/unit/unit.h"

#include "querier/promql/parser.h"
#include "tests/unit/promql/parser_good.h"
#include "tests/unit/promql/printer_cases.h"

typedef void (*Print)(const PromqlExpr *expr, Buf *out);

/* Into `out`, which is cleared first. */
static void print_with(Print print, const char *query, Buf *out) {
    Arena *arena = arena_new(0, NULL);
    PromqlExpr *expr = NULL;
    Error err = {0};

    if (promql_parse(arena, str_of(query), NULL, &expr, &err) != ERR_OK)
        fail_msg("%s: %s", query, err.text);
    buf_clear(out);
    print(expr, out);
    assert_false(buf_failed(out));
    buf_append_byte(out, '\0');
    out->len--;
    arena_free(arena);
}

static void check_cases(Print print, const PrinterCase *cases, size_t count) {
    Buf out;

    buf_init(&out, 0);
    for (size_t i = 0; i < count; i++) {
        print_with(print, cases[i].query, &out);
        assert_string_equal(out.ptr, cases[i].text);
    }
    buf_done(&out);
}

static void long_lines_are_split_as_prometheus_does(void **state) {
    (void)state;
    check_cases(promql_print_pretty, pretty_cases, ARRAY_LEN(pretty_cases));
}

static void the_tree_is_told_in_prometheus_json(void **state) {
    (void)state;
    check_cases(promql_print_json, json_cases, ARRAY_LEN(json_cases));
}

static void pretty_text_means_the_same(void **state) {
    Buf pretty, once, twice;

    (void)state;
    buf_init(&pretty, 0);
    buf_init(&once, 0);
    buf_init(&twice, 0);
    for (size_t i = 0; i < ARRAY_LEN(pretty_cases); i++) {
        print_with(promql_print_pretty, pretty_cases[i].query, &pretty);
        print_with(promql_print, pretty_cases[i].query, &once);
        print_with(promql_print, pretty.ptr, &twice);
        assert_string_equal(once.ptr, twice.ptr);
    }
    buf_done(&pretty);
    buf_done(&once);
    buf_done(&twice);
}

static void json_is_json_whatever_the_query(void **state) {
    static const char *const odd[] = {
        "\"\\xff\\x00\\u2028\"", "a + fill(inf) b",      "a + fill(nan) b", "NaN", "-Inf",
        "a{b=\"\\xff\"}",        "sum by (\"\\\"\") (a)"};
    Buf out;

    (void)state;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(good_cases) + ARRAY_LEN(odd); i++) {
        const char *query = i < ARRAY_LEN(odd) ? odd[i] : good_cases[i - ARRAY_LEN(odd)].query;
        json_t *json;

        print_with(promql_print_json, query, &out);
        json = json_loadb(out.ptr, out.len, JSON_ALLOW_NUL, NULL);
        if (json == NULL) fail_msg("%s: %s", query, out.ptr);
        json_decref(json);
    }
    buf_done(&out);
}

static void a_full_buffer_stays_failed(void **state) {
    static const Print prints[] = {promql_print, promql_print_pretty, promql_print_json};
    Arena *arena = arena_new(0, NULL);
    PromqlExpr *expr = NULL;
    Error err = {0};

    (void)state;
    assert_ok(promql_parse(arena, str_of(pretty_cases[8].query), NULL, &expr, &err), &err);
    for (size_t p = 0; p < ARRAY_LEN(prints); p++) {
        bool failed = true;

        for (size_t bytes = 1; failed; bytes += 7) {
            Buf out;

            buf_init(&out, bytes);
            prints[p](expr, &out);
            failed = buf_failed(&out);
            assert_true(out.len <= bytes);
            buf_done(&out);
        }
    }
    arena_free(arena);
}

static void deep_trees_are_printed(void **state) {
    Buf query, out;

    (void)state;
    buf_init(&query, 0);
    buf_init(&out, 0);
    for (int i = 0; i < 900; i++) buf_append_byte(&query, '(');
    buf_append_str(&query, STR("some_metric_with_a_name"));
    for (int i = 0; i < 900; i++) buf_append_byte(&query, ')');
    buf_append_byte(&query, '\0');
    print_with(promql_print_pretty, query.ptr, &out);
    print_with(promql_print_json, query.ptr, &out);
    print_with(promql_print, query.ptr, &out);
    assert_string_equal(out.ptr, query.ptr);
    buf_done(&query);
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_lines_are_split_as_prometheus_does),
        cmocka_unit_test(the_tree_is_told_in_prometheus_json),
        cmocka_unit_test(pretty_text_means_the_same),
        cmocka_unit_test(json_is_json_whatever_the_query),
        cmocka_unit_test(a_full_buffer_stays_failed),
        cmocka_unit_test(deep_trees_are_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
