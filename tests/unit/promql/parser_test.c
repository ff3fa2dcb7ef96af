/* parser_test.c: what expressions come to. */
#include <math.h>
#include <stdio.h>

#include "tests/unit/unit.h"

#include "querier/promql/parser.h"
#include "tests/unit/promql/parser_good.h"

static Arena *arena;

static PromqlExpr *parse(const char *query) {
    PromqlExpr *expr = NULL;
    Error err = {0};

    if (promql_parse(arena, str_of(query), NULL, &expr, &err) != ERR_OK)
        fail_msg("%s: %s", query, err.text);
    return expr;
}

static const char *print(const PromqlExpr *expr) {
    Buf text;
    Str copy;

    buf_init(&text, 0);
    promql_print(expr, &text);
    copy = str_dup(arena, buf_str(&text));
    buf_done(&text);
    return copy.ptr;
}

static void expressions_have_one_canonical_form(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_cases); i++) {
        const char *once = print(parse(good_cases[i].query));

        if (strcmp(once, good_cases[i].canonical) != 0)
            fail_msg("%s:\n    got %s\n    not %s", good_cases[i].query, once,
                     good_cases[i].canonical);
        if (strcmp(print(parse(once)), once) != 0)
            fail_msg("%s becomes %s", once, print(parse(once)));
    }
}

static void nodes_know_their_place(void **state) {
    const PromqlExpr *e = parse("sum by (x) (rate(foo{a=\"b\"}[5m] offset 1m)) / 2"), *arg;

    (void)state;
    assert_int_equal(e->kind, PROMQL_BINARY);
    assert_int_equal(e->range.start, 0);
    assert_int_equal(e->range.end, 47);
    assert_int_equal(e->as.binary.right->range.start, 46);
    e = e->as.binary.left;
    assert_int_equal(e->kind, PROMQL_AGGREGATE);
    assert_int_equal(e->range.end, 43);
    e = e->as.aggregate.inner;
    assert_int_equal(e->range.start, 12);
    assert_int_equal(e->range.end, 42);
    arg = e->as.call.args[0];
    assert_int_equal(arg->kind, PROMQL_MATRIX);
    assert_int_equal(arg->range.start, 17);
    assert_int_equal(arg->range.end, 41);
    assert_int_equal(arg->as.matrix.inner->range.end, 27);
    /* The next parenthesis is not the aggregation's. */
    e = parse("(sum(foo) )")->as.paren.inner;
    assert_int_equal(e->range.end, 9);
    e = parse("foo offset -max_of(1m, 2m)");
    assert_int_equal(e->range.end, 26);
}

static void positions_count_lines_and_bytes(void **state) {
    Str query = STR("a +\n  \xc3\xa9 b\n\nc");
    unsigned line, column;

    (void)state;
    promql_position(query, 0, &line, &column);
    assert_true(line == 1 && column == 1);
    promql_position(query, 3, &line, &column);
    assert_true(line == 1 && column == 4);
    promql_position(query, 9, &line, &column);
    assert_true(line == 2 && column == 6);
    promql_position(query, 12, &line, &column);
    assert_true(line == 4 && column == 1);
    promql_position(query, 1000, &line, &column);
    assert_true(line == 4 && column == 2);
}

static void types_are_filled_in(void **state) {
    static const struct {
        const char *query;
        PromqlType type;
    } cases[] = {
        {"1", PROMQL_TYPE_SCALAR},         {"\"a\"", PROMQL_TYPE_STRING},
        {"a", PROMQL_TYPE_VECTOR},         {"a[5m]", PROMQL_TYPE_MATRIX},
        {"a[5m:]", PROMQL_TYPE_MATRIX},    {"(a[5m])", PROMQL_TYPE_MATRIX},
        {"1 + 1", PROMQL_TYPE_SCALAR},     {"1 + a", PROMQL_TYPE_VECTOR},
        {"-time()", PROMQL_TYPE_SCALAR},   {"-a", PROMQL_TYPE_VECTOR},
        {"sum(a)", PROMQL_TYPE_VECTOR},    {"scalar(a)", PROMQL_TYPE_SCALAR},
        {"vector(1)", PROMQL_TYPE_VECTOR}, {"1 == bool 1", PROMQL_TYPE_SCALAR},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(parse(cases[i].query)->type, cases[i].type);
}

static void selectors_hold_matchers_and_times(void **state) {
    const PromqlExpr *e = parse("foo{a!=\"b\", \"c.d\"=~\"e|f\"} @ 1.5 offset -5m");

    (void)state;
    assert_int_equal(e->kind, PROMQL_SELECTOR);
    assert_true(str_equal(e->as.selector.name, STR("foo")));
    assert_int_equal(e->as.selector.matcher_count, 3);
    assert_int_equal(e->as.selector.matchers[0].op, MATCH_NOT_EQUAL);
    assert_true(str_equal(e->as.selector.matchers[1].name, STR("c.d")));
    assert_true(matcher_matches(&e->as.selector.matchers[1], STR("f")));
    assert_true(str_equal(e->as.selector.matchers[2].name, STR("__name__")));
    assert_int_equal(e->as.selector.time.at, PROMQL_AT_TIME);
    assert_int_equal(e->as.selector.time.at_ms, 1500);
    assert_int_equal(e->as.selector.time.offset_ms, -300000);
    e = parse("{\"foo\"}[1h30m] @ end()");
    assert_int_equal(e->as.matrix.range_ms, 5400000);
    e = e->as.matrix.inner;
    assert_int_equal(e->as.selector.name.len, 0);
    assert_true(str_equal(e->as.selector.matchers[0].value, STR("foo")));
    assert_int_equal(e->as.selector.time.at, PROMQL_AT_END);
}

static void matching_says_who_meets_whom(void **state) {
    const PromqlMatching *m;

    (void)state;
    m = &parse("a * on (x, \"y z\") group_left (w) fill_right(-1) b")->as.binary.matching;
    assert_int_equal(m->cardinality, PROMQL_MANY_TO_ONE);
    assert_true(m->on && m->has_labels && m->label_count == 2 && m->include_count == 1);
    assert_true(str_equal(m->labels[1], STR("y z")));
    assert_true(!m->has_fill_left && m->has_fill_right && m->fill_right == -1);
    m = &parse("a / on () b")->as.binary.matching;
    assert_true(m->on && m->has_labels && m->label_count == 0);
    m = &parse("a or b")->as.binary.matching;
    assert_int_equal(m->cardinality, PROMQL_MANY_TO_MANY);
    m = &parse("a + on () 1")->as.binary.matching;
    assert_false(m->on || m->has_labels);
}

static void regexes_of_one_query_are_shared(void **state) {
    const PromqlExpr *e = parse("a{x=~\"f.o\"} + a{y!~\"f.o\"}");
    const Matcher *left = &e->as.binary.left->as.selector.matchers[0];
    const Matcher *right = &e->as.binary.right->as.selector.matchers[0];

    (void)state;
    assert_non_null(left->regex);
    assert_ptr_equal(left->regex, right->regex);
    assert_true(str_equal(right->name, STR("y")) && right->op == MATCH_NOT_REGEX);
    assert_true(!left->matches_empty && right->matches_empty);
}

static void durations_wait_for_the_query_s_times(void **state) {
    static const struct {
        const char *query;
        int64_t range_ms, offset_ms;
        const char *error; /* NULL: none */
    } cases[] = {
        /* start 0, end 1000 s, step 15 s */
        {"a[5m]", 300000, 0, NULL},
        {"a[step() * 4] offset (1m)", 60000, 60000, NULL},
        {"a[range() / 2]", 500000, 0, NULL},
        {"a[max_of(step(), 1m)]", 60000, 0, NULL},
        {"a[min_of(step(), 1m)] offset -step()", 15000, -15000, NULL},
        {"a[-(-5m)] offset -(1m + 30s)", 300000, -90000, NULL},
        {"a[2 ^ 3 ^ 2]", 512000, 0, NULL},
        {"a[10s % 3]", 1000, 0, NULL},
        {"a[(10m) / 4 + 0.0019]", 150001, 0, NULL},
        {"a[5m * -1]", 0, 0, "1:3: parse error: duration must be greater than 0"},
        {"a[5m / (0)]", 0, 0, "1:3: parse error: division by zero"},
        {"a[5m % (1 - 1)]", 0, 0, "1:3: parse error: modulo by zero"},
        {"a[1000000000 * 10]", 0, 0, "1:3: parse error: duration is out of range"},
        {"a[2 ^ 9999]", 0, 0, "1:3: parse error: duration is NaN or infinite"},
        {"a[max_of(1, (0 - 8) ^ 0.5)]", 0, 0, "1:3: parse error: duration is NaN or infinite"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        PromqlExpr *e = parse(cases[i].query);
        Error err = {0};
        ErrCode code = promql_resolve_durations(e, str_of(cases[i].query), 0, 1000000, 15000, &err);

        if (cases[i].error != NULL) {
            assert_int_equal(code, ERR_INVALID);
            assert_string_equal(err.text, cases[i].error);
            continue;
        }
        assert_ok(code, &err);
        assert_int_equal(e->as.matrix.range_ms, cases[i].range_ms);
        assert_int_equal(e->as.matrix.inner->as.selector.time.offset_ms, cases[i].offset_ms);
    }
}

static void duration_texts_are_read(void **state) {
    static const struct {
        const char *text;
        int64_t ms;
        const char *error; /* NULL: none */
    } cases[] = {
        {"0", 0, NULL},
        {"5m", 300000, NULL},
        {"1y2w3d4h5m6s7ms", INT64_C(33019506007), NULL},
        {"90", 90000, NULL},
        {"1.5", 1500, NULL},
        {"-5", -5000, NULL},
        {"", 0, "empty duration string"},
        {"5", 5000, NULL},
        {"m", 0, "not a valid duration string: \"m\""},
        {"5m5m", 0, "not a valid duration string: \"5m5m\""},
        {"1s1h", 0, "not a valid duration string: \"1s1h\""},
        {"5q", 0, "unknown unit \"q\" in duration \"5q\""},
        {"5 m", 0, "unknown unit \" m\" in duration \"5 m\""},
        {"300y", 0, "duration out of range"},
        {"99999999999999999999s", 0, "not a valid duration string: \"99999999999999999999s\""},
        {"1e300", 0, "cannot parse \"1e300\" to a valid duration. It overflows int64"},
        {"NaN", 0, "cannot parse \"NaN\" to a valid duration. It overflows int64"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Error err = {0};
        int64_t ms = 77;
        ErrCode code = promql_parse_duration(str_of(cases[i].text), &ms, &err);

        if (cases[i].error != NULL) {
            assert_int_equal(code, ERR_INVALID);
            assert_string_equal(err.text, cases[i].error);
            assert_int_equal(ms, 77);
        } else {
            assert_ok(code, &err);
            assert_int_equal(ms, cases[i].ms);
        }
    }
}

static void series_selectors_stand_alone(void **state) {
    static const char *const refused[] = {"sum(a)", "a[5m]", "a offset 5m", "a + b",
                                          "1",      "",      "a b"};
    const Matcher *matchers = NULL;
    size_t count = 0;
    Error err = {0};

    (void)state;
    assert_ok(promql_parse_selector(arena, STR("{\"http.status\"=\"x\", \"a b\"}"), &matchers,
                                    &count, &err),
              &err);
    assert_int_equal(count, 2);
    assert_true(str_equal(matchers[0].name, STR("http.status")));
    assert_true(str_equal(matchers[1].name, STR("__name__")));
    assert_ok(promql_parse_selector(arena, STR("up"), &matchers, &count, &err), &err);
    assert_int_equal(count, 1);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_equal(promql_parse_selector(arena, str_of(refused[i]), &matchers, &count, &err),
                         ERR_INVALID);
    assert_int_equal(promql_parse_selector(arena, STR("{a=~\".*\"}"), &matchers, &count, &err),
                     ERR_INVALID);
    assert_string_equal(err.text, "match[] must contain at least one non-empty matcher");
}

static void names_may_go_without_quotes_when_asked(void **state) {
    static const char *const queries[] = {
        "http.requests{service.name=\"a\"}",
        "\xe6\xb8\xa9\xe5\xba\xa6",
        "sum by (a.b, \xc3\xa9) (c.d)",
        "bool.total + foo..bar.",
    };
    PromqlOptions unquoted = {.unquoted_names = true};
    PromqlExpr *expr = NULL;
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        Str query = str_of(queries[i]);

        assert_int_equal(promql_parse(arena, query, NULL, &expr, &err), ERR_INVALID);
        assert_ok(promql_parse(arena, query, &unquoted, &expr, &err), &err);
    }
    assert_int_equal(promql_parse(arena, STR("sum by (a:b) (c)"), &unquoted, &expr, &err),
                     ERR_INVALID);
    assert_string_equal(err.text, "1:9: parse error: invalid label name for grouping: \"a:b\"");
    /* The Kelvin sign is no k, though it is one in lower case. */
    assert_int_equal(promql_parse(arena, STR("top\xe2\x84\xaa(1, a)"), &unquoted, &expr, &err),
                     ERR_INVALID);
}

static void functions_are_found_by_their_exact_name(void **state) {
    (void)state;
    assert_int_equal(promql_function_find(STR("rate"))->id, PROMQL_FN_RATE);
    assert_true(promql_function_find(STR("info"))->experimental);
    assert_int_equal(promql_function_find(STR("label_join"))->variadic, -1);
    assert_null(promql_function_find(STR("Rate")));
    assert_null(promql_function_find(STR("")));
    assert_null(promql_function_find(STR("rate\0")));
}

static int make_arena(void **state) {
    (void)state;
    arena = arena_new(0, NULL);
    return arena == NULL;
}

static int free_arena(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_arena, free_arena)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(expressions_have_one_canonical_form),
        TEST(nodes_know_their_place),
        TEST(positions_count_lines_and_bytes),
        TEST(types_are_filled_in),
        TEST(selectors_hold_matchers_and_times),
        TEST(matching_says_who_meets_whom),
        TEST(regexes_of_one_query_are_shared),
        TEST(durations_wait_for_the_query_s_times),
        TEST(duration_texts_are_read),
        TEST(series_selectors_stand_alone),
        TEST(names_may_go_without_quotes_when_asked),
        TEST(functions_are_found_by_their_exact_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
