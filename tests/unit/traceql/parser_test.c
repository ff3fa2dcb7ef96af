/* parser_test.c: what queries come to, and what is said of those that are none. */
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "common/base/buf.h"
#include "querier/traceql/parser.h"
#include "tests/unit/traceql/parser_bad.h"

static Arena *arena;

static TraceqlQuery *parse(const char *text) {
    TraceqlQuery *query = NULL;
    Error err = {0};

    if (traceql_parse(str_of(text), arena, &query, &err) != ERR_OK)
        fail_msg("%s: %s", text, err.text);
    return query;
}

static const char *filter_text(const char *text) {
    const TraceqlSet *set = parse(text)->pipeline.stages[0].set;

    assert_int_equal(set->kind, TRACEQL_SET_FILTER);
    return traceql_expr_text(set->expr, arena).ptr;
}

static void what_is_wrong_is_said_in_tempos_words(void **state) {
    bool failed = false;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        TraceqlQuery *query = NULL;
        Error err = {0};
        ErrCode code = traceql_parse(str_of(bad_cases[i].query), arena, &query, &err);

        if (code == ERR_INVALID && strcmp(err.text, bad_cases[i].error) == 0) continue;
        print_error("%s\n    got %s\n    not %s\n", bad_cases[i].query,
                    code == ERR_OK ? "nothing" : err.text, bad_cases[i].error);
        failed = true;
    }
    assert_false(failed);
}

static void operators_bind_as_in_tempo(void **state) {
    static const struct {
        const char *query, *text;
    } cases[] = {
        {"{ kind = server || kind = client && status = error }",
         "((kind = server) || (kind = client)) && (status = error)"},
        {"{ .a + 1 * .b ^ 2 ^ .c > 0 }", "(.a + (1 * (.b ^ (2 ^ .c)))) > 0"},
        {"{ -.a * 2 = 1 }", "(-(.a * 2)) = 1"},
        {"{ !.a && .b }", "(!.a) && .b"},
        {"{ span.x = 3 + 4 }", "span.x = 7"},
        {"{ span.x != nil && nil = .y }", "(span.x != nil) && (.y = nil)"},
        {"{ span.\"a b\".c = \"q\\\"x\" }", "span.\"a b.c\" = `q\"x`"},
        {"{ span:status = error && trace:rootService = `x` }",
         "(status = error) && (rootServiceName = `x`)"},
        {"{ 1 > 0.5 && duration < 1h30m }", "(1 > 0.5) && (duration < 1h30m0s)"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = filter_text(cases[i].query);

        assert_string_equal(got, cases[i].text);
    }
}

static void stages_are_told_apart(void **state) {
    const TraceqlQuery *query =
        parse("({ .a } | count() > 2) && ({ .b }) | by(.c) | coalesce() | select(name, span.d)");
    const TraceqlMetric *metric;

    (void)state;
    assert_int_equal(query->pipeline.count, 4);
    assert_int_equal(query->pipeline.stages[0].set->op, TRACEQL_AND);
    assert_int_equal(query->pipeline.stages[0].set->left->kind, TRACEQL_SET_PIPELINE);
    assert_int_equal(query->pipeline.stages[3].attribute_count, 2);
    assert_int_equal(parse("{ .a } > { .b }")->pipeline.stages[0].set->op, TRACEQL_CHILD);
    assert_int_equal(parse("{ .a } &<< { .b }")->pipeline.stages[0].set->op,
                     TRACEQL_UNION_ANCESTOR);
    metric = parse("100 * ({ } | rate() by (name) | topk(3)) / ({ } | count_over_time()) > 1 with "
                   "(most_recent=true)")
                 ->metric;
    assert_int_equal(metric->kind, TRACEQL_METRIC_MATH);
    assert_int_equal(metric->second_count, 1);
    assert_int_equal(metric->left->kind, TRACEQL_METRIC_SCALAR);
    assert_int_equal(metric->left->left->seconds[0].limit, 3);
    assert_int_equal(metric->right->index, 1);
}

static void attributes_are_read_as_they_are_written(void **state) {
    static const char *const texts[] = {
        "span.http.status_code", ".x", "name", "event:name", "resource.\"with space\"",
        "instrumentation.a-b/c"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        TraceqlAttribute attribute;
        Error err = {0};

        assert_ok(traceql_parse_attribute(str_of(texts[i]), arena, &attribute, &err), &err);
        assert_string_equal(traceql_attribute_text(&attribute, arena).ptr, texts[i]);
    }
}

static void filters_that_are_being_typed_lose_what_is_not_done(void **state) {
    static const struct {
        const char *text, *left;
    } cases[] = {
        {"{ kind = consumer && name = }", "kind = consumer"},
        {"{ name = && .a = \"x && y\" && .b }", "(.a = `x && y`) && .b"},
        {"{ garbage", NULL},
        {"", NULL},
        {"{ } | rate()", NULL},
        {"{ = && = }", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        TraceqlQuery *query = NULL;
        Error err = {0};

        assert_ok(traceql_parse_lenient(str_of(cases[i].text), arena, &query, &err), &err);
        if (cases[i].left == NULL) {
            assert_null(query);
            continue;
        }
        assert_non_null(query);
        assert_string_equal(traceql_expr_text(query->pipeline.stages[0].set->expr, arena).ptr,
                            cases[i].left);
    }
}

/* Every beginning, and every byte changed: an answer or a reason. */
static void hostile_texts_end_in_a_reason(void **state) {
    static const char text[] =
        "({ span.\"a\\\"b\" =~ `x.*` && .c > -1.5e3 } >> { event:name != nil } | by(name) | "
        "avg(duration) > 1h | rate() by (resource.x)) / 2 >= 3 with (sample=0.5)";
    char changed[sizeof text];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        TraceqlQuery *query;
        Error err = {0};

        if (traceql_parse((Str){text, i}, arena, &query, &err) != ERR_OK)
            assert_true(err.text[0] != '\0');
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(changed, text, sizeof text);
            changed[i] = (char)(changed[i] ^ 1 << bit);
            err.text[0] = '\0';
            if (traceql_parse((Str){changed, sizeof text - 1}, arena, &query, &err) != ERR_OK)
                assert_true(err.text[0] != '\0');
        }
        if (i % 32 == 0) arena_reset(arena);
    }
}

static void depth_and_length_have_limits(void **state) {
    static const char *const openings[] = {"(", "{ (", "{ !", "{ -", "{ } && ("};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
        size_t len = strlen(openings[i]), count = 100000 / len;
        char *text = malloc(len * count);
        TraceqlQuery *query;
        Error err = {0};

        assert_non_null(text);
        for (size_t k = 0; k < count; k++) memcpy(text + k * len, openings[i], len);
        if (i == 2 || i == 3) /* only one brace */
            memset(text + 2, openings[i][2], len * count - 2);
        if (i == 1) memset(text + 2, '(', len * count - 2);
        assert_int_equal(traceql_parse((Str){text, len * count}, arena, &query, &err), ERR_INVALID);
        free(text);
    }
}

/* Chains lean to the left: without a limit they were as deep as they are long. */
static void long_chains_are_refused_before_they_are_deep(void **state) {
    static const char *const chains[][3] = {
        {"{ .i", " + .i", " > 0 }"},
        {"{ .t", "&&.t", " }"},
        {"{}", ">>{}", ""},
        {"{}", "|{}", ""},
        {"1", "+1", ""},
        {"{} | rate()", ">0", ""},
        {"{} | select(.a", ",.a", ")"},
        {"{} | by(.i", " + .i", ")"},
    };
    enum { LINKS = 20000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
        TraceqlQuery *query;
        Error err = {0};
        Buf text;

        buf_init(&text, 0);
        buf_append_str(&text, str_of(chains[i][0]));
        for (int n = 0; n < LINKS; n++) buf_append_str(&text, str_of(chains[i][1]));
        buf_append_str(&text, str_of(chains[i][2]));
        assert_int_equal(traceql_parse(buf_str(&text), arena, &query, &err), ERR_INVALID);
        assert_string_equal(err.text, "query has more than 4096 tokens");
        buf_done(&text);
    }
}

static void a_thousand_alternatives_are_a_query(void **state) {
    TraceqlQuery *query;
    Error err = {0};
    Buf text;

    (void)state;
    buf_init(&text, 0);
    buf_append_str(&text, STR("{ .a = \"x\""));
    for (int n = 0; n < 999; n++) buf_append_str(&text, STR(" || .a = \"x\""));
    buf_append_str(&text, STR(" }"));
    assert_int_equal(traceql_parse(buf_str(&text), arena, &query, &err), ERR_OK);
    buf_done(&text);
}

static void a_long_filter_that_is_being_typed_takes_little_memory(void **state) {
    CLEANUP(arena_free) Arena *small = arena_new(MIB(48), NULL);
    TraceqlQuery *query;
    Error err = {0};
    Buf text;

    (void)state;
    assert_non_null(small);
    buf_init(&text, 0);
    buf_append_str(&text, STR("{ .a"));
    for (int n = 0; n < 20000; n++) buf_append_str(&text, STR("&&.a"));
    buf_append_str(&text, STR(" && b = }"));
    assert_int_equal(traceql_parse_lenient(buf_str(&text), small, &query, &err), ERR_OK);
    assert_null(query);
    buf_done(&text);
}

static void a_name_of_no_bytes_stays_in_quotes(void **state) {
    TraceqlAttribute attribute;
    Error err = {0};

    (void)state;
    assert_int_equal(traceql_parse_attribute(STR("span.\"\""), arena, &attribute, &err), ERR_OK);
    assert_string_equal(traceql_attribute_text(&attribute, arena).ptr, "span.\"\"");
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
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_in_tempos_words, setup, teardown),
        cmocka_unit_test_setup_teardown(operators_bind_as_in_tempo, setup, teardown),
        cmocka_unit_test_setup_teardown(stages_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(attributes_are_read_as_they_are_written, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_that_are_being_typed_lose_what_is_not_done, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(hostile_texts_end_in_a_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_and_length_have_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(long_chains_are_refused_before_they_are_deep, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_thousand_alternatives_are_a_query, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_filter_that_is_being_typed_takes_little_memory,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_of_no_bytes_stays_in_quotes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
