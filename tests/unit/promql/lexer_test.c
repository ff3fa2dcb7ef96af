/* lexer_test.c: where numbers, strings and names end, and what is wrong with those that don't. */
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "querier/exec/quoted.h"
#include "querier/promql/parser.h"
#include "querier/promql/scan.h"

static void numbers_end_where_they_end(void **state) {
    static const struct {
        const char *text;
        PromqlNumberKind kind;
        size_t len;
    } cases[] = {
        {"1", PROMQL_IS_NUMBER, 1},       {"1+", PROMQL_IS_NUMBER, 1},
        {"1.5e3)", PROMQL_IS_NUMBER, 5},  {"1e+5 ", PROMQL_IS_NUMBER, 4},
        {".5]", PROMQL_IS_NUMBER, 2},     {"1.", PROMQL_IS_NUMBER, 2},
        {"0x1F,", PROMQL_IS_NUMBER, 4},   {"1_000", PROMQL_IS_NUMBER, 5},
        {"1_ ", PROMQL_IS_NUMBER, 2}, /* literal.c refuses it */
        {"5m", PROMQL_IS_DURATION, 2},    {"1h30m]", PROMQL_IS_DURATION, 5},
        {"5hs", PROMQL_IS_DURATION, 3}, /* literal.c refuses it */
        {"5ms", PROMQL_IS_DURATION, 3},   {"5mm", PROMQL_NOT_A_NUMBER, 3},
        {"5x", PROMQL_NOT_A_NUMBER, 1},   {"1..2", PROMQL_NOT_A_NUMBER, 3},
        {"1e", PROMQL_NOT_A_NUMBER, 2},   {"0x1.5", PROMQL_NOT_A_NUMBER, 4},
        {"1__0", PROMQL_NOT_A_NUMBER, 3},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = 0;
        PromqlNumberKind kind = promql_scan_number(str_of(cases[i].text), &len);

        if (kind != cases[i].kind || len != cases[i].len)
            fail_msg("%s: kind %d, length %zu", cases[i].text, kind, len);
    }
}

static void strings_end_at_their_own_quote(void **state) {
    static const struct {
        const char *text;
        size_t len;
        const char *value; /* NULL: `why` is */
        const char *why;
    } cases[] = {
        {"\"a\" b", 3, "a", NULL},
        {"'a\"b'", 5, "a\"b", NULL},
        {"`a\\n'\"`", 7, "a\\n'\"", NULL},
        {"\"\\\"\"x", 4, "\"", NULL},
        {"\"\\x41\\101\\u00e9\\U0001F600\"", 26, "AA\xc3\xa9\xf0\x9f\x98\x80", NULL},
        {"\"\\xff\"", 6, "\xff", NULL},
        {"`\n`", 3, "\n", NULL},
        {"\"\"", 2, "", NULL},
        {"\"", 0, NULL, "unterminated quoted string"},
        {"\"a\n\"", 0, NULL, "unterminated quoted string"},
        {"`a", 0, NULL, "unterminated raw string"},
        {"\"\\", 0, NULL, "escape sequence not terminated"},
        {"\"\\u12", 0, NULL, "escape sequence not terminated"},
        {"\"\\q\"", 0, NULL, "unknown escape sequence U+0071 'q'"},
        {"\"\\\n\"", 0, NULL, "unknown escape sequence U+000A"},
        {"\"\\'\"", 0, NULL, "unknown escape sequence U+0027 '''"},
        {"\"\\x4g\"", 0, NULL, "illegal character U+0067 'g' in escape sequence"},
        {"\"\\400\"", 0, NULL, "escape sequence is an invalid Unicode code point"},
        {"\"\\ud800\"", 0, NULL, "escape sequence is an invalid Unicode code point"},
        {"\"\xff\"", 0, NULL, "invalid UTF-8 rune"},
        {"`\xc3`", 0, NULL, "invalid UTF-8 rune"},
    };
    Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Str text = str_of(cases[i].text), value = {0};
        char why[128] = "";
        size_t len = 0;
        bool good = quoted_scan(text, &len, why, sizeof why);

        if (good != (cases[i].value != NULL)) fail_msg("%s: %s", cases[i].text, why);
        if (!good) {
            assert_string_equal(why, cases[i].why);
            continue;
        }
        assert_int_equal(len, cases[i].len);
        assert_true(quoted_unquote(arena, str_slice(text, 0, len), &value));
        assert_true(str_equal(value, str_of(cases[i].value)));
    }
    arena_free(arena);
}

static void every_cut_of_a_literal_is_an_error_or_a_literal(void **state) {
    static const char *const texts[] = {"\"a\\x41\\u00e9\\U0001F600\\101\xc3\xa9\\\"\"",
                                        "'a\\'b'",
                                        "`raw`",
                                        "1_000.5e-3",
                                        "1h30m5s1ms",
                                        "0xdead_beef"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t n = 1; n <= strlen(texts[i]); n++) {
            char *cut = strndup(texts[i], n), why[128]; /* a block of its own, for ASan */
            size_t len = 0;

            if (cut[0] >= '0' && cut[0] <= '9') {
                promql_scan_number((Str){cut, n}, &len);
            } else if (quoted_scan((Str){cut, n}, &len, why, sizeof why)) {
                assert_int_equal(n, strlen(texts[i]));
            }
            assert_true(len <= n);
            free(cut);
        }
    }
}

static void names_have_letters_of_their_alphabet(void **state) {
    (void)state;
    assert_int_equal(promql_scan_name(STR("a:b_1.c"), true, false), 5);
    assert_int_equal(promql_scan_name(STR("a:b"), false, false), 1);
    assert_int_equal(promql_scan_name(STR("1a"), true, false), 0);
    assert_int_equal(promql_scan_name(STR("\xc3\xa9"), true, false), 0);
    assert_int_equal(promql_scan_name(STR("a.b.\xc3\xa9t\xc3\xa9-"), true, true), 9);
    assert_int_equal(promql_scan_name(STR(".a"), true, true), 0);
    assert_int_equal(promql_scan_name(STR("a\xcc\x88"), true, true), 1); /* a mark is no letter */
    assert_int_equal(promql_scan_name(STR("a\xff"), true, true), 1);
    assert_int_equal(promql_scan_name(STR(""), true, true), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_end_where_they_end),
        cmocka_unit_test(strings_end_at_their_own_quote),
        cmocka_unit_test(every_cut_of_a_literal_is_an_error_or_a_literal),
        cmocka_unit_test(names_have_letters_of_their_alphabet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
