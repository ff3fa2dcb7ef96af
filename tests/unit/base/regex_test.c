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
        {"\\8", "error parsing regexp: invalid escape sequence: `\\8`"},
        {"\\", "error parsing regexp: trailing backslash at end of expression: ``"},
        {"[z-a]", "error parsing regexp: invalid character class range: `z-a`"},
        {"\\C", "error parsing regexp: invalid escape sequence: `\\C`"},
        {"\xff", "error parsing regexp: invalid UTF-8: ``"},
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchored_means_the_whole_text),
        cmocka_unit_test(bad_patterns_are_named_as_go_names_them),
        cmocka_unit_test(groups_are_named_either_way),
        cmocka_unit_test(groups_not_taken_have_no_pointer),
        cmocka_unit_test(programs_stay_within_their_memory),
        cmocka_unit_test(only_plain_alternations_are_literals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
