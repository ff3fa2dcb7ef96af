/* What json.h promises. */
#include "common/base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "common/base/number.h"
#include "tests/unit/unit.h"

static void assert_text(Buf *buf, const char *want) {
    buf_append_byte(buf, '\0');
    assert_false(buf_failed(buf));
    assert_string_equal(buf->ptr, want);
    buf_clear(buf);
}

static void strings_are_quoted_and_escaped(void **state) {
    static const struct {
        Str in;
        const char *out;
    } cases[] = {
        {STR_INIT(""), "\"\""},
        {STR_INIT("plain text"), "\"plain text\""},
        {STR_INIT("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
        {STR_INIT("\n\r\t"), "\"\\n\\r\\t\""},
        {STR_INIT("a\0b\x1f"), "\"a\\u0000b\\u001f\""},
        {STR_INIT("\x7f"), "\"\x7f\""},
        {STR_INIT("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
         "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
    };
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_append_string(&buf, cases[i].in);
        assert_text(&buf, cases[i].out);
    }
}

static void bytes_that_are_not_utf8_become_replacement_characters(void **state) {
    static const struct {
        Str in;
        const char *out;
    } cases[] = {
        {STR_INIT("a\xff"
                  "b"),
         "\"a\\ufffdb\""},
        {STR_INIT("\xc0\x80"), "\"\\ufffd\\ufffd\""},            /* overlong */
        {STR_INIT("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
        {STR_INIT("\xe2\x82"), "\"\\ufffd\\ufffd\""},            /* cut off */
        {STR_INIT("\x80\xc3\xa9"), "\"\\ufffd\xc3\xa9\""},
    };
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_append_string(&buf, cases[i].in);
        assert_text(&buf, cases[i].out);
    }
}

static void sample_values_look_as_prometheus_writes_them(void **state) {
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1, "-1"},
        {0.1, "0.1"},
        {-0.25, "-0.25"},
        {1.5, "1.5"},
        {100, "100"},
        {1234567.891, "1234567.891"},
        {3.141592653589793, "3.141592653589793"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e-6, "0.000001"},
        {9.99e-7, "9.99e-07"},
        {1e-7, "1e-07"},
        {1.5e-10, "1.5e-10"},
        {1e20, "100000000000000000000"},
        {123456789012345680000.0, "123456789012345680000"},
        {1e21, "1e+21"},
        {1.5e300, "1.5e+300"},
        {-1e100, "-1e+100"},
        {9007199254740991, "9007199254740991"},
        {9007199254740992, "9007199254740992"},
        {9007199254740994, "9007199254740994"},
        {-9223372036854775808.0, "-9223372036854776000"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
        {NAN, "NaN"},
        {-NAN, "NaN"},
    };
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_append_sample_value(&buf, cases[i].v);
        assert_text(&buf, cases[i].text);
    }
}

static void sample_values_read_back_the_same_and_are_shortest(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    uint64_t x = UINT64_C(88172645463325252); /* xorshift: the same values every time */

    (void)state;
    buf_init(&buf, 0);
    for (int i = 0; i < 50000; i++) {
        char digits[NUMBER_DIGITS_MAX + 1], shorter[40];
        int count, exponent;
        double v, back;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(&v, &x, sizeof v);
        if (!isfinite(v)) continue;
        buf_clear(&buf);
        json_append_sample_value(&buf, v);
        assert_true(str_to_double(buf_str(&buf), &back));
        assert_memory_equal(&back, &v, sizeof v);
        count = number_shortest(v, digits, &exponent);
        if (count < 2) continue;
        snprintf(shorter, sizeof shorter, "%.*e", count - 2, v);
        if (str_to_double(str_of(shorter), &back)) assert_true(back != v);
    }
}

static void integers_of_any_size_are_exact(void **state) {
    static const struct {
        int64_t v;
        const char *text;
    } cases[] = {{0, "0"},
                 {-7, "-7"},
                 {10, "10"},
                 {INT64_MAX, "9223372036854775807"},
                 {INT64_MIN, "-9223372036854775808"}};
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_append_i64(&buf, cases[i].v);
        assert_text(&buf, cases[i].text);
    }
}

static void times_have_three_decimals_or_none(void **state) {
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{1435781451781, "1435781451.781"},
                 {1435781451700, "1435781451.700"},
                 {1435781451007, "1435781451.007"},
                 {1435781451000, "1435781451"},
                 {0, "0"},
                 {-1, "-0.001"},
                 {-1500, "-1.500"},
                 {INT64_MIN, "-9223372036854775.808"}};
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_append_time_ms(&buf, cases[i].ms);
        assert_text(&buf, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_quoted_and_escaped),
        cmocka_unit_test(bytes_that_are_not_utf8_become_replacement_characters),
        cmocka_unit_test(sample_values_look_as_prometheus_writes_them),
        cmocka_unit_test(sample_values_read_back_the_same_and_are_shortest),
        cmocka_unit_test(integers_of_any_size_are_exact),
        cmocka_unit_test(times_have_three_decimals_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
