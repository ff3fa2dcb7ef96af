/* parser_test.c: what expressions come to, and what is said of those that are none. */
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "querier/logql/parser.h"
#include "tests/unit/logql/parser_bad.h"
#include "tests/unit/logql/parser_good.h"

static Arena *arena;

static LogqlExpr *parse(const char *query) {
    LogqlExpr *expr = NULL;
    Error err = {0};

    if (logql_parse(arena, str_of(query), LOGQL_CHECKED, &expr, &err) != ERR_OK)
        fail_msg("%s: %s", query, err.text);
    return expr;
}

static const char *text_of(void (*how)(const LogqlExpr *, Buf *), const LogqlExpr *expr) {
    Buf text;
    Str copy;

    buf_init(&text, 0);
    how(expr, &text);
    copy = str_dup(arena, buf_str(&text));
    buf_done(&text);
    return copy.ptr;
}

static void expressions_have_one_canonical_form(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_cases); i++) {
        const char *once = text_of(logql_print, parse(good_cases[i].query));

        if (strcmp(once, good_cases[i].canonical) != 0)
            fail_msg("%s:\n    got %s\n    not %s", good_cases[i].query, once,
                     good_cases[i].canonical);
        if (strcmp(text_of(logql_print, parse(once)), once) != 0)
            fail_msg("%s becomes %s", once, text_of(logql_print, parse(once)));
    }
}

static void what_is_wrong_is_said_in_lokis_words(void **state) {
    bool failed = false;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        LogqlExpr *expr = NULL;
        Error err = {0};
        ErrCode code = logql_parse(arena, str_of(bad_cases[i].query), LOGQL_CHECKED, &expr, &err);

        /* What a stage is compiled from is looked at when it is compiled. */
        if (strstr(bad_cases[i].error, "stage '") != NULL) continue;
        if (code == ERR_OK || strcmp(err.text, bad_cases[i].error) != 0) {
            print_error("%s\n    got %s\n    not %s\n", bad_cases[i].query,
                        code == ERR_OK ? "nothing" : err.text, bad_cases[i].error);
            failed = true;
        }
    }
    assert_false(failed);
}

static void long_expressions_are_split_over_lines(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pretty_cases); i++) {
        const char *text = text_of(logql_print_pretty, parse(pretty_cases[i].query));

        if (strcmp(text, pretty_cases[i].canonical) != 0)
            fail_msg("%s:\n    got %s\n    not %s", pretty_cases[i].query, text,
                     pretty_cases[i].canonical);
        assert_string_equal(text_of(logql_print, parse(text)),
                            text_of(logql_print, parse(pretty_cases[i].query)));
    }
}

static void every_cut_of_an_expression_is_parsed_or_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_cases); i++) {
        Str query = str_of(good_cases[i].query);

        for (size_t n = 0; n < query.len; n++) {
            /* of exactly that size, so that a sanitizer sees who looks behind the end */
            char *cut = malloc(n + 1);
            LogqlExpr *expr = NULL;
            Error err = {0};

            memcpy(cut, query.ptr, n);
            if (logql_parse(arena, (Str){cut, n}, LOGQL_UNCHECKED, &expr, &err) != ERR_OK)
                assert_non_null(strstr(err.text, "parse error"));
            free(cut);
        }
    }
}

static void nesting_and_size_have_limits(void **state) {
    static const char *const ends[][2] = {{"(", "vector(1))"}, {"{a=\"b\"} | (", "a=\"b\""}};
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    LogqlExpr *expr = NULL;
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        buf_init(&text, 0);
        if (i == 1) buf_append_str(&text, STR("{a=\"b\"} | "));
        for (int n = 0; n < 60000; n++) buf_append_byte(&text, '(');
        buf_append_str(&text, str_of(ends[i][1]));
        assert_int_equal(logql_parse(arena, buf_str(&text), LOGQL_CHECKED, &expr, &err), ERR_LIMIT);
        buf_done(&text);
    }
    buf_init(&text, 0);
    buf_append_str(&text, STR("vector(1)"));
    for (int n = 0; n < 2000; n++) buf_append_str(&text, STR("+vector(1)"));
    assert_int_equal(logql_parse(arena, buf_str(&text), LOGQL_CHECKED, &expr, &err), ERR_LIMIT);
    buf_clear(&text);
    buf_append_zeros(&text, LOGQL_QUERY_BYTES_MAX);
    assert_int_equal(logql_parse(arena, buf_str(&text), LOGQL_CHECKED, &expr, &err), ERR_INVALID);
}

static void memory_that_runs_out_is_a_limit(void **state) {
    const char *query = "sum by (a) (rate({a=\"b\", c=~\"d.+e|f\"} | json x=\"y\" | z > 5m or "
                        "(a = 1 and b != 2MB) | label_format a=b [5m])) / 3";

    (void)state;
    for (size_t n = 0; n < 8000; n += 64) {
        CLEANUP(arena_free) Arena *small = arena_new(n + 1, NULL);
        LogqlExpr *expr = NULL;
        Error err = {0};
        ErrCode code = logql_parse(small, str_of(query), LOGQL_CHECKED, &expr, &err);

        assert_true(code == ERR_OK || code == ERR_LIMIT);
    }
}

static void selectors_alone_are_what_series_and_labels_ask_for(void **state) {
    const Matcher *matchers = NULL;
    size_t count = 0;
    Error err = {0};

    (void)state;
    assert_ok(logql_parse_matchers(arena, STR("{a=\"b\", c=~\"d.*\"}"), LOGQL_CHECKED, &matchers,
                                   &count, &err),
              &err);
    assert_int_equal(count, 2);
    assert_ok(logql_parse_matchers(arena, STR("{}"), LOGQL_UNCHECKED, &matchers, &count, &err),
              &err);
    assert_int_equal(count, 0);
    assert_int_equal(logql_parse_matchers(arena, STR("{a=\"b\"} | json"), LOGQL_CHECKED, &matchers,
                                          &count, &err),
                     ERR_INVALID);
    assert_string_equal(err.text, "only label matchers are supported");
}

static void line_filters_are_terms_of_choices(void **state) {
    const LogqlExpr *expr =
        parse("{a=\"b\"} |= \"x\" or ip(\"1.2.3.4\") != \"y\" or \"z\" or \"q\"");
    const LogqlStage *stage = &expr->as.log.stages[0];

    (void)state;
    assert_int_equal(expr->as.log.stage_count, 1);
    assert_int_equal(stage->as.line_filter.count, 4);
    assert_int_equal(stage->as.line_filter.terms[0].choice_count, 2);
    assert_true(stage->as.line_filter.terms[0].choices[1].ip);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(stage->as.line_filter.terms[i].op, LOGQL_LINE_CONTAINS_NOT);
        assert_int_equal(stage->as.line_filter.terms[i].choice_count, 1);
    }
    assert_true(str_equal(stage->as.line_filter.terms[3].choices[0].text, STR("q")));
}

static int setup(void **state) {
    (void)state;
    arena = arena_new(0, NULL);
    return arena == NULL;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_have_one_canonical_form),
        cmocka_unit_test(what_is_wrong_is_said_in_lokis_words),
        cmocka_unit_test(long_expressions_are_split_over_lines),
        cmocka_unit_test(every_cut_of_an_expression_is_parsed_or_refused),
        cmocka_unit_test(nesting_and_size_have_limits),
        cmocka_unit_test(memory_that_runs_out_is_a_limit),
        cmocka_unit_test(selectors_alone_are_what_series_and_labels_ask_for),
        cmocka_unit_test(line_filters_are_terms_of_choices),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
