/* regex_test.c: Go's regular expressions on RE2. */
#include "tests/unit/unit.h"

#include "common/base/regex.h"

static Regex *compile(const char *pattern, bool anchored) {
    RegexOptions options = {.anchored = anchored, .dot_newline = true};
    Regex *regex = NULL;
    Error err = {0};

    if (regex_new(str_of(pattern), &options, &regex, &err) != ERR_OK)
        fail_msg("%s: %s", pattern, err.text);
    return regex;
}

static bool matches(const char *pattern, bool anchored, const char *text) {
    Regex *regex = compile(pattern, anchored);
    bool yes = regex_matches(regex, str_of(text));

    regex_free(regex);
    return yes;
}

static void anchored_means_the_whole_text(void **state) {
    (void)state;
    assert_true(matches("a|bc", true, "bc"));
    assert_false(matches("a|bc", true, "abc"));
    assert_true(matches("b", false, "abc"));
    assert_false(matches("b", true, "abc"));
    assert_true(matches("", true, ""));
    assert_true(matches("a.b", true, "a\nb"));
    assert_true(matches("(?i)ABC", true, "abc"));
    assert_true(matches("\xc3\xa9+", true, "\xc3\xa9\xc3\xa9"));
}

static void bad_patterns_are_named_as_go_names_them(void **state) {
    static const struct {
        const char *pattern;
        const char *error;
    } cases[] = {
        {"a(b", "error parsing regexp: missing closing ): `a(b`"},
        {"[a-z", "error parsing regexp: missing closing ]: `[a-z`"},
        {"a)", "error parsing regexp: unexpected ): `a)`"},
        {"a**", "error parsing regexp: invalid nested repetition operator: `**`"},
        {"*a", "error parsing regexp: missing argument to repetition operator: `*`"},
        {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
        {"(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
        {"(?P<n", "error parsing regexp: invalid named capture: `(?P<n`"},
        {"\xc3\xa9\xef\xbf\xbd\xff(", "error parsing regexp: invalid UTF-8: `\xff(`"},
        {"\\8", "error parsing regexp: invalid escape sequence: `\\8`"},
        {"\\", "error parsing regexp: trailing backslash at end of expression: ``"},
        {"[z-a]", "error parsing regexp: invalid character class range: `z-a`"},
        {"\\C", "error parsing regexp: invalid escape sequence: `\\C`"},
        {"\xff", "error parsing regexp: invalid UTF-8: `\xff`"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        RegexOptions options = {.anchored = true};
        Regex *regex = NULL;
        Error err = {0};

        assert_int_equal(regex_new(str_of(cases[i].pattern), &options, &regex, &err), ERR_INVALID);
        assert_string_equal(err.text, cases[i].error);
        assert_null(regex);
    }
}

static void groups_are_named_either_way(void **state) {
    static const char *const patterns[] = {"(?P<n>a)(b)", "(?<n>a)(b)"};
    Str groups[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        Regex *regex = compile(patterns[i], false);

        assert_int_equal(regex_groups(regex), 2);
        assert_true(str_equal(regex_group_name(regex, 1), STR("n")));
        assert_int_equal(regex_group_name(regex, 2).len, 0);
        assert_true(regex_find(regex, STR("xab"), 0, groups, 3));
        assert_true(str_equal(groups[0], STR("ab")) && str_equal(groups[2], STR("b")));
        assert_false(regex_find(regex, STR("xab"), 2, groups, 3));
        regex_free(regex);
    }
    /* What only looks like such a group is left alone. */
    assert_true(matches("\\(\\?<n>", true, "(?<n>"));
    assert_true(matches("[(?<n>]+", true, "(?<n>"));
    assert_true(matches("\\Q(?<n>\\E", true, "(?<n>"));
    assert_true(matches("[]a[:alpha:](?<]+(?<x>y)", true, "]z(y"));
}

static void groups_not_taken_have_no_pointer(void **state) {
    Regex *regex = compile("(a)|(b)", true);
    Str groups[3];

    (void)state;
    assert_true(regex_find(regex, STR("b"), 0, groups, 3));
    assert_null(groups[1].ptr);
    assert_true(str_equal(groups[2], STR("b")));
    regex_free(regex);
}

static void programs_stay_within_their_memory(void **state) {
    RegexOptions options = {.memory_max = KIB(64)};
    Regex *regex = NULL;
    Error err = {0};

    (void)state;
    assert_int_equal(regex_new(STR("(([a-z]{1,100}){1,100}x){1,9}"), &options, &regex, &err),
                     ERR_INVALID);
    assert_int_equal(regex_new(STR("(\\pL{1,100}){1,9}"), &options, &regex, &err), ERR_LIMIT);
    assert_string_equal(err.text, "error parsing regexp: expression too large: ``");
}

static void only_plain_alternations_are_literals(void **state) {
    Arena *arena = arena_new(0, NULL);
    Str *literals = NULL;
    size_t count = 0;

    (void)state;
    assert_true(regex_literals(STR("a|bc||d e"), arena, &literals, &count));
    assert_int_equal(count, 4);
    assert_true(str_equal(literals[1], STR("bc")));
    assert_int_equal(literals[2].len, 0);
    assert_true(str_equal(literals[3], STR("d e")));
    assert_true(regex_literals(STR(""), arena, &literals, &count));
    assert_int_equal(count, 1);
    assert_false(regex_literals(STR("a.b"), arena, &literals, &count));
    assert_false(regex_literals(STR("(a|b)"), arena, &literals, &count));
    assert_false(regex_literals(STR("a\0"), arena, &literals, &count));
    arena_free(arena);
}

static void what_every_match_has_is_known(void **state) {
    static const char *const cases[][2] = {
        {"(POST|PUT) /api/v1/orders/[0-9]{4} ", " /api/v1/orders/"},
        {"abc", "abc"},
        {"a|bc", ""},
        {"(a|b)cd?ef", "ef"},
        {"abc*de+f", "ab"},
        {"ab{2,3}c{x", "c{x"},
        {"\\.log\\/\\d+", ".log/"},
        {"x\\x41yy", ""},
        {"(?i)abc", ""},
        {"abcd(?i)e", ""},
        {"(?P<n>abc)de", "de"},
        {"(?:[)]|\\))de", "de"},
        {"\\Qa*\\E", ""},
        {"h\xc3\xa9*llo", "llo"},
        {"h\xc3\xa9+l", "h\xc3\xa9"},
        {"^ab$", "ab"},
        {"[[:alpha:]]]ab", "]ab"},
        {".*", ""},
        {"", ""},
    };
    Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Str got = regex_required(str_of(cases[i][0]), arena);

        if (!str_equal(got, str_of(cases[i][1])))
            fail_msg("%s: got " STR_FMT " not %s", cases[i][0], STR_ARG(got), cases[i][1]);
    }
    arena_free(arena);
}

/* Whatever the pattern, a text that it matches has what every match is said to have. */
static void no_match_is_without_what_is_required(void **state) {
    static const char letters[] = "abab(|)[]*+?.{1,2}\\dQE^$:i";
    Arena *arena = arena_new(0, NULL);
    uint64_t seed = 88172645463325252u;
    unsigned known = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char pattern[12], text[12];
        size_t len = 1 + (size_t)i % 10;
        Regex *regex = NULL;
        Error err = {0};
        Str required;

        for (size_t n = 0; n < sizeof text; n++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            pattern[n] = letters[(seed >> 33) % (sizeof letters - 1)];
            text[n] = "ab1"[(seed >> 50) % 3];
        }
        required = regex_required((Str){pattern, len}, arena);
        if (regex_new((Str){pattern, len}, &(RegexOptions){0}, &regex, &err) != ERR_OK) continue;
        known += required.len > 0;
        for (size_t n = 0; n <= sizeof text; n++)
            if (required.len > 0 && regex_matches(regex, (Str){text, n}) &&
                memmem(text, n, required.ptr, required.len) == NULL)
                fail_msg("%.*s matches %.*s without " STR_FMT, (int)len, pattern, (int)n, text,
                         STR_ARG(required));
        regex_free(regex);
    }
    assert_true(known > 500);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchored_means_the_whole_text),
        cmocka_unit_test(bad_patterns_are_named_as_go_names_them),
        cmocka_unit_test(groups_are_named_either_way),
        cmocka_unit_test(groups_not_taken_have_no_pointer),
        cmocka_unit_test(programs_stay_within_their_memory),
        cmocka_unit_test(only_plain_alternations_are_literals),
        cmocka_unit_test(what_every_match_has_is_known),
        cmocka_unit_test(no_match_is_without_what_is_required),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
