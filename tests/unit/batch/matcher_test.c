/* matcher_test.c: what matchers say of values. */
#include "tests/unit/unit.h"

#include "common/batch/matcher.h"

static Matcher make(Arena *arena, MatchOp op, const char *value) {
    Matcher matcher = {0};
    Error err = {0};

    if (matcher_new(arena, op, STR("a"), str_of(value), &matcher, &err) != ERR_OK)
        fail_msg("%s: %s", value, err.text);
    return matcher;
}

static void equality_is_of_bytes(void **state) {
    Arena *arena = arena_new(0, NULL);
    Matcher equal = make(arena, MATCH_EQUAL, "b"), other = make(arena, MATCH_NOT_EQUAL, "b");

    (void)state;
    assert_true(matcher_matches(&equal, STR("b")) && !matcher_matches(&equal, STR("B")));
    assert_true(!matcher_matches(&other, STR("b")) && matcher_matches(&other, STR("")));
    assert_false(equal.matches_empty);
    assert_true(other.matches_empty);
    equal = make(arena, MATCH_EQUAL, "");
    assert_true(equal.matches_empty);
    arena_free(arena);
}

static void shapes_say_what_the_expression_says(void **state) {
    static const struct {
        const char *pattern;
        MatchShape shape;
    } cases[] = {
        {".*", MATCH_SHAPE_CONTAINS},       {".+", MATCH_SHAPE_CONTAINS},
        {".*.*", MATCH_SHAPE_CONTAINS},     {".+.+", MATCH_SHAPE_REGEX},
        {".+.*", MATCH_SHAPE_CONTAINS},     {"ab.*", MATCH_SHAPE_PREFIX},
        {"ab.+", MATCH_SHAPE_PREFIX},       {".*ab", MATCH_SHAPE_SUFFIX},
        {".+ab", MATCH_SHAPE_SUFFIX},       {".*ab.*", MATCH_SHAPE_CONTAINS},
        {".+ab.+", MATCH_SHAPE_CONTAINS},   {".*aa.+", MATCH_SHAPE_CONTAINS},
        {"\xc3\xa9.*", MATCH_SHAPE_PREFIX}, {"", MATCH_SHAPE_LITERALS},
        {"a|ab|b", MATCH_SHAPE_LITERALS},   {"a|", MATCH_SHAPE_LITERALS},
        {"ab", MATCH_SHAPE_LITERALS},       {"a|b.*", MATCH_SHAPE_REGEX},
        {"a.b", MATCH_SHAPE_REGEX},         {"\\.*", MATCH_SHAPE_REGEX},
        {"a\\.*", MATCH_SHAPE_REGEX},       {".*?", MATCH_SHAPE_REGEX},
        {"(?i)ab.*", MATCH_SHAPE_REGEX},    {"a.*b", MATCH_SHAPE_REGEX},
        {"[.*", MATCH_SHAPE_REGEX},         {"..*", MATCH_SHAPE_REGEX},
        {"^ab.*", MATCH_SHAPE_REGEX},       {".", MATCH_SHAPE_REGEX},
    };
    static const char *const values[] = {
        "",     "a",    "b",   "ab",  "aab", "aba", "abab",     "xab",
        "abx",  "xabx", "aa",  "aaa", "xaa", "aax", "a\nb",     "\nab",
        "ab\n", "x",    "AB",  ".",   "a.",  "...", "\xc3\xa9", "\xc3\xa9\xc3\xa9",
        "ac",   "\\",   "a|b",
    };
    RegexOptions options = {.anchored = true, .dot_newline = true};
    Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Regex *regex = NULL;
        Matcher yes, no;
        Error err = {0};

        if (regex_new(str_of(cases[i].pattern), &options, &regex, &err) != ERR_OK) {
            assert_int_equal(
                matcher_new(arena, MATCH_REGEX, STR("a"), str_of(cases[i].pattern), &yes, &err),
                ERR_INVALID);
            continue;
        }
        yes = make(arena, MATCH_REGEX, cases[i].pattern);
        no = make(arena, MATCH_NOT_REGEX, cases[i].pattern);
        if (yes.shape != cases[i].shape) fail_msg("%s: %d", cases[i].pattern, yes.shape);
        assert_int_equal(yes.regex != NULL, yes.shape == MATCH_SHAPE_REGEX);
        assert_int_equal(yes.literals != NULL, yes.shape == MATCH_SHAPE_LITERALS);
        assert_int_equal(yes.matches_empty, regex_matches(regex, STR("")));
        for (size_t v = 0; v < ARRAY_LEN(values); v++) {
            bool wanted = regex_matches(regex, str_of(values[v]));

            if (matcher_matches(&yes, str_of(values[v])) != wanted ||
                matcher_matches(&no, str_of(values[v])) == wanted)
                fail_msg("%s and %s", cases[i].pattern, values[v]);
        }
        regex_free(regex);
    }
    arena_free(arena);
}

static void literals_are_sorted(void **state) {
    Arena *arena = arena_new(0, NULL);
    Matcher matcher = make(arena, MATCH_REGEX, "c|a|b|");

    (void)state;
    assert_int_equal(matcher.literal_count, 4);
    assert_int_equal(matcher.literals[0].len, 0);
    assert_true(str_equal(matcher.literals[1], STR("a")));
    assert_true(str_equal(matcher.literals[3], STR("c")));
    arena_free(arena);
}

static void one_expression_serves_several(void **state) {
    Arena *arena = arena_new(0, NULL);
    Matcher matcher = make(arena, MATCH_REGEX, "a.c"), like;

    (void)state;
    like = matcher_like(&matcher, MATCH_NOT_REGEX, STR("other"));
    assert_ptr_equal(like.regex, matcher.regex);
    assert_true(str_equal(like.name, STR("other")));
    assert_true(like.matches_empty && !matcher.matches_empty);
    assert_false(matcher_matches(&like, STR("abc")));
    arena_free(arena);
}

static void what_cannot_be_made_is_an_error(void **state) {
    Arena *arena = arena_new(0, NULL), *small;
    Matcher matcher = {.op = MATCH_EQUAL};
    Error err = {0};

    (void)state;
    assert_int_equal(matcher_new(arena, MATCH_REGEX, STR("a"), STR("("), &matcher, &err),
                     ERR_INVALID);
    assert_int_equal(matcher_new(arena, MATCH_REGEX, STR("a"), STR(".*\xff"), &matcher, &err),
                     ERR_INVALID);
    assert_int_equal(matcher_new_bounded(arena, MATCH_REGEX, STR("a"), STR("(\\pL{1,100}){1,9}"),
                                         KIB(64), &matcher, &err),
                     ERR_LIMIT);
    assert_int_equal(matcher.op, MATCH_EQUAL); /* untouched */
    arena_free(arena);
    small = arena_new(1, NULL);
    assert_int_equal(matcher_new(small, MATCH_REGEX, STR("a"), STR("a.b"), &matcher, &err),
                     ERR_LIMIT);
    assert_int_equal(matcher_new(small, MATCH_REGEX, STR("a"), STR("a|b"), &matcher, &err),
                     ERR_LIMIT);
    arena_free(small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_is_of_bytes),
        cmocka_unit_test(shapes_say_what_the_expression_says),
        cmocka_unit_test(literals_are_sorted),
        cmocka_unit_test(one_expression_serves_several),
        cmocka_unit_test(what_cannot_be_made_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
