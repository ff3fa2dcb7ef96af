/* rune_test.c: UTF-8 a character at a time, and Go's quotes. */
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "common/base/rune.h"

static void every_character_reads_back(void **state) {
    (void)state;
    for (uint32_t rune = 0; rune <= RUNE_MAX; rune++) {
        char text[RUNE_BYTES_MAX];
        size_t len = rune_encode(rune, text), read = 0;
        uint32_t back = rune_decode((Str){text, len}, &read);
        bool surrogate = rune >= 0xd800 && rune < 0xe000;

        assert_int_equal(back, surrogate ? RUNE_ERROR : rune);
        assert_int_equal(read, len);
        assert_true(str_is_utf8((Str){text, len}));
    }
}

static void other_bytes_are_errors_of_one_byte(void **state) {
    static const Str cases[] = {
        STR_INIT("\x80"),
        STR_INIT("\xff"),
        STR_INIT("\xc0\x80"),
        STR_INIT("\xc1\xbf"),
        STR_INIT("\xc3"),
        STR_INIT("\xe2\x82"),
        STR_INIT("\xf0\x9f\x98"),
        STR_INIT("\xe0\x80\x80"),
        STR_INIT("\xf0\x80\x80\x80"),
        STR_INIT("\xed\xa0\x80"),
        STR_INIT("\xf4\x90\x80\x80"),
        STR_INIT("\xc3\x28"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *copy = malloc(cases[i].len); /* a block of its own, for ASan */
        size_t len = 0;

        memcpy(copy, cases[i].ptr, cases[i].len);
        assert_int_equal(rune_decode((Str){copy, cases[i].len}, &len), RUNE_ERROR);
        assert_int_equal(len, 1);
        free(copy);
    }
}

static void classes_are_unicode_s(void **state) {
    (void)state;
    assert_true(rune_is_letter('a') && rune_is_letter('Z') && rune_is_letter(0xe9));
    assert_true(rune_is_letter(0x6e29) && rune_is_letter(0x430));
    assert_false(rune_is_letter('_') || rune_is_letter('1') || rune_is_letter(0x308));
    assert_false(rune_is_letter(0x1f600) || rune_is_letter(0xd800) || rune_is_letter(0x110000));
    assert_true(rune_is_printable(' ') && rune_is_printable(0x308) && rune_is_printable(0x1f600));
    assert_false(rune_is_printable(0x7f) || rune_is_printable('\n') || rune_is_printable(0xa0));
    assert_false(rune_is_printable(0x200b) || rune_is_printable(0xe000) ||
                 rune_is_printable(0xfffff));
}

static void quotes_are_go_s(void **state) {
    static const struct {
        Str text;
        const char *quoted;
    } cases[] = {
        {STR_INIT(""), "\"\""},
        {STR_INIT("a'b\"c\\d"), "\"a'b\\\"c\\\\d\""},
        {STR_INIT("\a\b\f\n\r\t\v"), "\"\\a\\b\\f\\n\\r\\t\\v\""},
        {STR_INIT("\0\x1f\x7f"), "\"\\x00\\x1f\\x7f\""},
        {STR_INIT("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {STR_INIT("\xc2\xa0\xe2\x80\x8b\xf3\xa0\x80\x81"), "\"\\u00a0\\u200b\\U000e0001\""},
        {STR_INIT("\xff\xc3"), "\"\\xff\\xc3\""},
        {STR_INIT("\xef\xbf\xbd"), "\"\xef\xbf\xbd\""},
    };
    Buf out;

    (void)state;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&out);
        rune_quote(&out, cases[i].text);
        buf_append_byte(&out, '\0');
        assert_string_equal(out.ptr, cases[i].quoted);
    }
    buf_clear(&out);
    rune_quote_one(&out, '\'');
    rune_quote_one(&out, '"');
    rune_quote_one(&out, '\n');
    rune_quote_one(&out, RUNE_ERROR);
    rune_quote_one(&out, 0xa0);
    buf_append_byte(&out, '\0');
    assert_string_equal(out.ptr, "'\\'''\"''\\n''\xef\xbf\xbd''\\u00a0'");
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_reads_back),
        cmocka_unit_test(other_bytes_are_errors_of_one_byte),
        cmocka_unit_test(classes_are_unicode_s),
        cmocka_unit_test(quotes_are_go_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
