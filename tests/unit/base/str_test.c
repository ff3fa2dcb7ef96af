/* What str.h promises. */
#include "common/base/str.h"

#include <math.h>

#include "tests/unit/unit.h"

static void comparing_is_by_byte_and_length(void **state) {
    (void)state;
    assert_true(str_equal(STR("a"), STR("a")));
    assert_true(str_equal((Str){NULL, 0}, STR("")));
    assert_false(str_equal(STR("a"), STR("ab")));
    assert_true(str_compare(STR("a"), STR("ab")) < 0);
    assert_true(str_compare(STR("b"), STR("ab")) > 0);
    assert_true(str_compare(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_compare((Str){NULL, 0}, STR("")), 0);
    assert_true(str_equal_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_equal_nocase(STR("a@"), STR("a`")));
    assert_false(str_equal_nocase(STR("a"), STR("ab")));
}

static void a_part_is_found_where_it_first_stands(void **state) {
    char text[200], part[40];
    uint64_t random = 88172645463325252u;

    (void)state;
    assert_ptr_equal(str_find((Str){NULL, 0}, STR("a")), NULL);
    assert_true(str_contains((Str){NULL, 0}, STR("")) && str_contains(STR("a"), STR("")));
    for (size_t round = 0; round < 20000; round++) {
        size_t len = (random >> 8) % sizeof text, part_len = 1 + (random >> 20) % sizeof part;
        unsigned letters = 1 + (random >> 40) % 4;
        const char *found;

        for (size_t i = 0; i < len; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            text[i] = (char)('a' + random % letters);
        }
        for (size_t i = 0; i < part_len; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            part[i] = (char)('a' + random % letters);
        }
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        if (random % 2 == 0 && len > part_len)
            memcpy(part, text + random % (len - part_len), part_len);
        found = len == 0 ? NULL : memmem(text, len, part, part_len);
        assert_ptr_equal(str_find((Str){text, len}, (Str){part, part_len}), found);
    }
}

static void prefixes_suffixes_and_slices_stay_inside(void **state) {
    (void)state;
    assert_true(str_starts_with(STR("abc"), STR("ab")) && str_starts_with(STR("a"), STR("")));
    assert_false(str_starts_with(STR("a"), STR("ab")));
    assert_true(str_ends_with(STR("abc"), STR("bc")) && str_ends_with(STR("a"), STR("")));
    assert_false(str_ends_with(STR("c"), STR("bc")));
    assert_true(str_equal(str_from(STR("abc"), 1), STR("bc")));
    assert_int_equal(str_from(STR("abc"), 9).len, 0);
    assert_true(str_equal(str_slice(STR("abc"), 1, 100), STR("bc")));
    assert_true(str_equal(str_slice(STR("abc"), 1, 1), STR("b")));
}

static void trimming_takes_blanks_from_both_ends_only(void **state) {
    (void)state;
    assert_true(str_equal(str_trim(STR(" \t\r\na b\n ")), STR("a b")));
    assert_int_equal(str_trim(STR(" \n ")).len, 0);
    assert_int_equal(str_trim((Str){NULL, 0}).len, 0);
}

static void cutting_splits_at_the_first(void **state) {
    Str head, tail;

    (void)state;
    assert_true(str_cut(STR("a=b=c"), '=', &head, &tail));
    assert_true(str_equal(head, STR("a")) && str_equal(tail, STR("b=c")));
    assert_true(str_cut(STR("a="), '=', &head, &tail));
    assert_true(str_equal(head, STR("a")) && tail.len == 0);
    assert_false(str_cut((Str){NULL, 0}, '=', &head, &tail)); /* nothing is added to NULL */
    assert_false(str_cut(STR("abc"), '=', &head, &tail));
    assert_true(str_equal(head, STR("abc")) && tail.len == 0);
    assert_false(str_cut((Str){NULL, 0}, '=', &head, &tail));
    assert_int_equal(head.len, 0);
}

/* Every case at every offset, so that it meets both the fast and the slow way. */
static void utf8_is_what_rfc_3629_says(void **state) {
    static const struct {
        Str bytes;
        bool valid;
    } cases[] = {
        {STR_INIT(""), true},
        {STR_INIT("\x7f"), true},
        {STR_INIT("\xc2\x80"), true},
        {STR_INIT("\xdf\xbf"), true},
        {STR_INIT("\xe0\xa0\x80"), true},
        {STR_INIT("\xed\x9f\xbf"), true},
        {STR_INIT("\xee\x80\x80"), true},
        {STR_INIT("\xf0\x90\x80\x80"), true},
        {STR_INIT("\xf4\x8f\xbf\xbf"), true},
        {STR_INIT("\x80"), false},
        {STR_INIT("\xc0\xaf"), false},
        {STR_INIT("\xc1\xbf"), false},
        {STR_INIT("\xc2"), false},
        {STR_INIT("\xc2\x7f"), false},
        {STR_INIT("\xe0\x9f\xbf"), false},
        {STR_INIT("\xe2\x82"), false},
        {STR_INIT("\xed\xa0\x80"), false},
        {STR_INIT("\xf0\x8f\xbf\xbf"), false},
        {STR_INIT("\xf0\x9f\x98"), false},
        {STR_INIT("\xf4\x90\x80\x80"), false},
        {STR_INIT("\xf5\x80\x80\x80"), false},
        {STR_INIT("\xff"), false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t before = 0; before < 20; before++)
            for (size_t after = 0; after < 20; after += 19) {
                CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
                size_t len = before + cases[i].bytes.len + after;
                char *text = arena_alloc_bytes(arena, len);

                if (len == 0) continue;
                memset(text, 'a', len);
                memcpy(text + before, cases[i].bytes.ptr, cases[i].bytes.len);
                assert_int_equal(str_is_utf8((Str){text, len}), cases[i].valid);
            }
    assert_true(str_is_utf8((Str){NULL, 0}));
}

static void whole_numbers_are_exact_or_refused(void **state) {
    static const char *const not_u64[] = {"",
                                          "+1",
                                          "-1",
                                          " 1",
                                          "1 ",
                                          "1a",
                                          "0x1",
                                          "1.0",
                                          "18446744073709551616",
                                          "99999999999999999999"};
    static const char *const not_i64[] = {
        "", "-", "+", "--1", "9223372036854775808", "-9223372036854775809"};
    uint64_t u = 7;
    int64_t i = 7;

    (void)state;
    for (size_t n = 0; n < ARRAY_LEN(not_u64); n++)
        assert_false(str_to_u64(str_of(not_u64[n]), &u));
    for (size_t n = 0; n < ARRAY_LEN(not_i64); n++)
        assert_false(str_to_i64(str_of(not_i64[n]), &i));
    assert_true(u == 7 && i == 7);
    assert_true(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(str_to_u64(STR("007"), &u) && u == 7);
    assert_true(str_to_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(str_to_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
}

static void decimals_are_read_as_go_does(void **state) {
    static const struct {
        const char *text;
        double v;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"-1.5", -1.5},
        {"+2", 2},
        {".5", .5},
        {"5.", 5},
        {"1e3", 1000},
        {"1E+3", 1000},
        {"1.5e-3", .0015},
        {"0.1", 0.1},
        {"1e308", 1e308},
        {"5e-324", 5e-324},
        {"2.4703282292062328e-324", 5e-324},
        {"1e-400", 0},
        {"0e999999999999999999999", 0},
        {"1e-99999999999999999999", 0},
        {"9007199254740993", 9007199254740992},
        {"1.7976931348623157e308", 1.7976931348623157e308},
        {"inf", INFINITY},
        {"+Inf", INFINITY},
        {"-INFINITY", -INFINITY},
        {"Infinity", INFINITY},
    };
    double v;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (!str_to_double(str_of(cases[i].text), &v)) fail_msg("%s refused", cases[i].text);
        assert_memory_equal(&v, &cases[i].v, sizeof v);
    }
    assert_true(str_to_double(STR("-0"), &v) && v == 0 && signbit(v));
    assert_true(str_to_double(STR("-1e-400"), &v) && v == 0 && signbit(v));
    assert_true(str_to_double(STR("NaN"), &v) && isnan(v));
    assert_true(str_to_double(STR("nan"), &v) && isnan(v));
}

static void what_is_no_decimal_is_refused_and_overflow_too(void **state) {
    static const char *const cases[] = {
        "",        ".",
        "-",       "e5",
        "1e",      "1e+",
        " 1",      "1 ",
        "1,5",     "1_0",
        "0x1p2",   "infi",
        "in",      "nano",
        "+nan",    "-nan",
        "--1",     "+-1",
        "1.2.3",   "1e400",
        "-1e400",  "1e9999999999999999999",
        "1.8e308", "nan(1)",
        "+",
    };
    double v = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (str_to_double(str_of(cases[i]), &v)) fail_msg("%s taken", cases[i]);
    assert_true(v == 7);
}

/* The size of a number is not told by its exponent alone. */
static void long_numbers_are_too_large_or_too_small_by_their_value(void **state) {
    enum { ZEROS = 500 };
    char text[ZEROS + 20];
    double v = 7;

    (void)state;
    memset(text, '0', sizeof text);
    text[0] = '1';
    memcpy(text + ZEROS, "e-5", 4);
    assert_false(str_to_double(str_of(text), &v));
    memcpy(text + ZEROS, "e-499", 6);
    assert_true(str_to_double(str_of(text), &v) && v == 1);

    memset(text, '0', sizeof text);
    text[1] = '.';
    memcpy(text + ZEROS, "1e5", 4);
    assert_true(str_to_double(str_of(text), &v) && v == 0);
    memcpy(text + ZEROS, "1e499", 6);
    assert_true(str_to_double(str_of(text), &v) && v == 1);
    memset(text, '0', sizeof text);
    memset(text + 100, '9', ZEROS - 100);
    text[ZEROS] = '\0';
    assert_false(str_to_double(str_of(text), &v));
}

static void copies_live_in_the_arena_and_end_in_nul(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(KIB(8), NULL);
    Str copy = str_dup(arena, STR("ab\0c")), text;

    (void)state;
    assert_int_equal(copy.len, 4);
    assert_memory_equal(copy.ptr, "ab\0c", 5);
    copy = str_dup(arena, (Str){NULL, 0});
    assert_non_null(copy.ptr);
    assert_int_equal(copy.ptr[0], '\0');
    text = str_format(arena, "%d-%s-" STR_FMT, 7, "x", STR_ARG(STR("yz")));
    assert_int_equal(text.len, 6);
    assert_string_equal(text.ptr, "7-x-yz");
    assert_null(str_format(arena, "%9000s", "").ptr);
    assert_null(str_dup(NULL, STR("a")).ptr);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing_is_by_byte_and_length),
        cmocka_unit_test(a_part_is_found_where_it_first_stands),
        cmocka_unit_test(prefixes_suffixes_and_slices_stay_inside),
        cmocka_unit_test(trimming_takes_blanks_from_both_ends_only),
        cmocka_unit_test(cutting_splits_at_the_first),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(whole_numbers_are_exact_or_refused),
        cmocka_unit_test(decimals_are_read_as_go_does),
        cmocka_unit_test(what_is_no_decimal_is_refused_and_overflow_too),
        cmocka_unit_test(long_numbers_are_too_large_or_too_small_by_their_value),
        cmocka_unit_test(copies_live_in_the_arena_and_end_in_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
