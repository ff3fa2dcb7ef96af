/* errors_test.c: what is no expression gets a position and a reason. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "querier/promql/parser.h"
#include "tests/unit/promql/parser_bad.h"

static ErrCode parse(Str query, const PromqlOptions *options, Error *err) {
    Arena *arena = arena_new(0, NULL);
    PromqlExpr *expr = NULL;
    ErrCode code = promql_parse(arena, query, options, &expr, err);

    if (code != ERR_OK) assert_null(expr);
    arena_free(arena);
    return code;
}

static void wrong_expressions_are_refused_in_prometheus_words(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        Error err = {0};

        if (parse(str_of(bad_cases[i].query), NULL, &err) != ERR_INVALID ||
            strcmp(err.text, bad_cases[i].error) != 0)
            fail_msg("%s:\n    got %d %s\n    not %s", bad_cases[i].query, err.code, err.text,
                     bad_cases[i].error);
    }
}

static void bytes_that_are_no_text_are_refused(void **state) {
    static const struct {
        Str query;
        const char *error;
    } cases[] = {
        {STR_INIT("a{b=\"\xff\"}"), "1:5: parse error: invalid UTF-8 rune"},
        {STR_INIT("\"\xc0\x80\""), "1:1: parse error: invalid UTF-8 rune"},
        {STR_INIT("`\xed\xa0\x80`"), "1:1: parse error: invalid UTF-8 rune"},
        {STR_INIT("a\xff"), "1:2: parse error: unexpected character: '\xef\xbf\xbd'"},
        {STR_INIT("{\xff=\"a\"}"),
         "1:2: parse error: unexpected character inside braces: '\xef\xbf\xbd'"},
        {STR_INIT("a[\xff]"),
         "1:3: parse error: unexpected character in duration expression: '\xef\xbf\xbd'"},
        {STR_INIT("a\0b"), "1:2: parse error: unexpected character: '\\x00'"},
        {STR_INIT("\0"), "1:1: parse error: unexpected character: '\\x00'"},
        {STR_INIT("{a=~\"\\xff\"}"),
         "1:2: parse error: error parsing regexp: invalid UTF-8: `\xff`"},
        {STR_INIT("sum by (\"\\xff\") (a)"),
         "1:9: parse error: invalid label name for grouping: \"\\xff\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Error err = {0};

        assert_int_equal(parse(cases[i].query, NULL, &err), ERR_INVALID);
        assert_string_equal(err.text, cases[i].error);
    }
}

static void experiments_can_be_off(void **state) {
    static const struct {
        const char *query;
        const char *error;
    } cases[] = {
        {"limitk(1, a)", "1:1: parse error: limitk() is experimental and must be enabled with "
                         "query.experimental_functions"},
        {"1 + mad_over_time(a[5m])", "1:5: parse error: function \"mad_over_time\" is not enabled"},
        {"info(a)", "1:1: parse error: function \"info\" is not enabled"},
        {"step()", "1:1: parse error: function \"step\" is not enabled"},
        {"a + fill(0) b",
         "1:1: parse error: binop fill modifiers are experimental and not enabled"},
    };
    PromqlOptions off = {.experimental_off = true};
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(parse(str_of(cases[i].query), &off, &err), ERR_INVALID);
        assert_string_equal(err.text, cases[i].error);
        assert_ok(parse(str_of(cases[i].query), NULL, &err), &err);
    }
    assert_ok(parse(STR("rate(a[5m * 2] anchored) + fill"), &off, &err), &err);
}

/* n times `piece`, then `middle`, then n times `after`. */
static Str nested(Buf *out, const char *piece, size_t n, const char *middle, const char *after) {
    buf_clear(out);
    for (size_t i = 0; i < n; i++) buf_append_str(out, str_of(piece));
    buf_append_str(out, str_of(middle));
    for (size_t i = 0; i < n; i++) buf_append_str(out, str_of(after));
    assert_false(buf_failed(out));
    return buf_str(out);
}

static void depth_has_a_limit_and_the_stack_none_to_fear(void **state) {
    static const struct {
        const char *piece, *middle, *after;
    } shapes[] = {
        {"(", "1", ")"},    {"abs(", "a", ")"}, {"sum by (x) (", "a", ")"}, {"-", "a", ""},
        {"2 ^ ", "2", ""},  {"", "1", " + 1"},  {"a and ", "a", ""},        {"", "a", "[5m:]"},
        {"", "a", " or b"}, {"(", "", ""},      {"a[5m] offset ", "", ""},  {"{", "", ""},
    };
    Buf query;
    Error err;

    (void)state;
    buf_init(&query, 0);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        for (size_t n = 10; n <= 100000; n *= 10) {
            Str text = nested(&query, shapes[i].piece, n, shapes[i].middle, shapes[i].after);
            ErrCode code = parse(text, NULL, &err);

            if (n > PROMQL_DEPTH_MAX && code == ERR_OK) fail_msg("%.60s", text.ptr);
        }
    }
    assert_int_equal(parse(nested(&query, "(", 10000, "1", ")"), NULL, &err), ERR_INVALID);
    assert_string_equal(err.text,
                        "1:1001: parse error: the expression nests deeper than 1000 levels");
    assert_ok(parse(nested(&query, "(", 900, "1", ")"), NULL, &err), &err);
    assert_ok(parse(nested(&query, "", 900, "a", " or b"), NULL, &err), &err);
    buf_done(&query);
}

static void length_has_a_limit(void **state) {
    Buf query;
    Error err;

    (void)state;
    buf_init(&query, 0);
    buf_append_str(&query, STR("1 # "));
    while (query.len < PROMQL_QUERY_BYTES_MAX) buf_append_byte(&query, 'x');
    assert_ok(parse(buf_str(&query), NULL, &err), &err);
    buf_append_byte(&query, 'x');
    assert_int_equal(parse(buf_str(&query), NULL, &err), ERR_INVALID);
    assert_string_equal(err.text, "the query has 1048577 bytes; at most 1048576 are parsed");
    buf_done(&query);
}

static void regexes_have_limits(void **state) {
    Buf query;
    Error err;

    (void)state;
    buf_init(&query, 0);
    /* Different ones are counted, repeated ones are not. */
    buf_append_str(&query, STR("{a=~\"x.y\""));
    for (int i = 0; i < 5000; i++) buf_append_str(&query, STR(",b!~\"x.y\""));
    buf_append_byte(&query, '}');
    assert_ok(parse(buf_str(&query), NULL, &err), &err);
    buf_clear(&query);
    buf_append_str(&query, STR("{a=\"\""));
    for (int i = 0; i < 600; i++) buf_printf(&query, ",a=~\"x.%d\"", i);
    buf_append_byte(&query, '}');
    assert_int_equal(parse(buf_str(&query), NULL, &err), ERR_INVALID);
    buf_clear(&query);
    buf_append_str(&query, STR("{a=~\"("));
    while (query.len < (300 << 10)) buf_append_str(&query, STR("x|"));
    buf_append_str(&query, STR("y)\"}"));
    assert_int_equal(parse(buf_str(&query), NULL, &err), ERR_INVALID);
    buf_clear(&query);
    /* A program too large for its share of memory. */
    buf_append_str(&query, STR("{a=~\"((((.{1,50}){1,50}){1,50}){1,50})\"}"));
    assert_true(parse(buf_str(&query), NULL, &err) != ERR_OK);
    buf_done(&query);
}

static void running_out_of_memory_is_an_error_at_every_size(void **state) {
    Str query =
        STR("sum by (a, \"b\\x41\") (rate({\"m\", x=~\"a.c\", y!~\"(d|e)f\"}[5m * 2])) / on (a)"
            " group_left (q) topk(3, label_join(m, \"a\", \"b\", \"c\", \"d\", \"e\", \"f\"))");
    ErrCode code = ERR_LIMIT;

    (void)state;
    for (size_t bytes = 0; code != ERR_OK; bytes += 48) {
        Arena *arena = arena_new(bytes == 0 ? 1 : bytes, NULL);
        PromqlExpr *expr = NULL;
        Error err = {0};

        code = arena == NULL ? ERR_LIMIT : promql_parse(arena, query, NULL, &expr, &err);
        if (code != ERR_OK && arena != NULL) assert_int_equal(code, ERR_LIMIT);
        arena_free(arena);
        assert_true(bytes < MIB(4));
    }
}

static void every_cut_of_every_query_has_a_position(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        Str query = str_of(bad_cases[i].query);

        for (size_t n = 1; n < query.len && query.len < 200; n++) {
            char *cut = strndup(query.ptr, n); /* a block of its own, for ASan */
            unsigned line = 0, column = 0;
            Error err = {0};

            if (parse((Str){cut, n}, NULL, &err) != ERR_OK) {
                assert_int_equal(sscanf(err.text, "%u:%u: parse error:", &line, &column), 2);
                assert_true(line >= 1 && column >= 1 && column <= n + 1);
            }
            free(cut);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_expressions_are_refused_in_prometheus_words),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(experiments_can_be_off),
        cmocka_unit_test(depth_has_a_limit_and_the_stack_none_to_fear),
        cmocka_unit_test(length_has_a_limit),
        cmocka_unit_test(regexes_have_limits),
        cmocka_unit_test(running_out_of_memory_is_an_error_at_every_size),
        cmocka_unit_test(every_cut_of_every_query_has_a_position),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
