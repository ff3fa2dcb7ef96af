/* What buf.h promises, and that reader.h reads back what it wrote. */
#include "common/base/buf.h"

#include "common/base/reader.h"
#include "tests/unit/unit.h"

static void a_buffer_grows_and_keeps_its_bytes(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    for (int i = 0; i < 10000; i++) buf_append_byte(&buf, (char)(i % 251));
    assert_false(buf_failed(&buf));
    assert_int_equal(buf_str(&buf).len, 10000);
    for (int i = 0; i < 10000; i++) assert_int_equal((uint8_t)buf.ptr[i], i % 251);
}

static void all_of_the_limit_can_be_used_by_every_append(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 9);
    buf_append_varint(&buf, 1);
    buf_printf(&buf, "%s", "two");
    buf_append_zigzag(&buf, -1);
    buf_append_u16(&buf, 5);
    buf_append_zeros(&buf, 1);
    buf_append_byte(&buf, '!');
    assert_false(buf_failed(&buf));
    assert_int_equal(buf.len, 9);
    buf_append(&buf, NULL, 0);
    buf_printf(&buf, "%s", "");
    assert_false(buf_failed(&buf));
}

static void a_full_buffer_stays_failed_and_ignores_what_follows(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 4);
    buf_append_str(&buf, STR("abc"));
    buf_printf(&buf, "%d", 12);
    assert_true(buf_failed(&buf));
    buf_append_byte(&buf, 'd');
    buf_append_varint(&buf, 1);
    assert_null(buf_reserve(&buf, 1));
    assert_int_equal(buf.len, 3);
    buf_clear(&buf);
    assert_false(buf_failed(&buf));
    buf_printf(&buf, "%s", "good");
    assert_true(str_equal(buf_str(&buf), STR("good")));
}

static void sizes_that_would_overflow_fail(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    buf_append_byte(&buf, 'a');
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf_failed(&buf));
    buf_clear(&buf);
    assert_null(buf_reserve(&buf, SIZE_MAX - 1));
}

static void printf_of_any_length_arrives_whole(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    size_t total = 0;

    (void)state;
    buf_init(&buf, 0);
    for (int width = 0; width < 1500; width += 7) {
        buf_printf(&buf, "%*s", width, "");
        total += (size_t)width;
    }
    assert_false(buf_failed(&buf));
    assert_int_equal(buf.len, total);
    for (size_t i = 0; i < total; i++) assert_int_equal(buf.ptr[i], ' ');
}

static void reserved_room_counts_once_it_was_added(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    memcpy(buf_reserve(&buf, 1000), "abc", 3);
    assert_int_equal(buf.len, 0);
    buf_added(&buf, 3);
    assert_true(str_equal(buf_str(&buf), STR("abc")));
}

static void a_buffer_may_be_used_again_after_done(void **state) {
    Buf buf;

    (void)state;
    buf_init(&buf, 0);
    buf_append_str(&buf, STR("abc"));
    buf_done(&buf);
    buf_init(&buf, 0);
    buf_append_str(&buf, STR("d"));
    assert_true(str_equal(buf_str(&buf), STR("d")));
    buf_done(&buf);
}

static const uint64_t numbers[] = {
    0, 1, 127, 128, 300, 16383, 16384, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX};

static void a_reader_gets_what_was_appended(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    Reader r;

    (void)state;
    buf_init(&buf, 0);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        buf_append_varint(&buf, numbers[i]);
        buf_append_zigzag(&buf, (int64_t)numbers[i]);
        buf_append_u64(&buf, numbers[i]);
        buf_append_u32(&buf, (uint32_t)numbers[i]);
        buf_append_u16(&buf, (uint16_t)numbers[i]);
    }
    buf_append_zigzag(&buf, INT64_MIN);
    buf_append_varint(&buf, 3);
    buf_append_str(&buf, STR("abc"));
    r = reader_of(buf_str(&buf));
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        assert_true(reader_varint(&r) == numbers[i]);
        assert_true(reader_zigzag(&r) == (int64_t)numbers[i]);
        assert_true(reader_u64(&r) == numbers[i]);
        assert_int_equal(reader_u32(&r), (uint32_t)numbers[i]);
        assert_int_equal(reader_u16(&r), (uint16_t)numbers[i]);
    }
    assert_true(reader_zigzag(&r) == INT64_MIN);
    assert_true(str_equal(reader_prefixed(&r), STR("abc")));
    assert_true(reader_at_end(&r) && !r.failed);
}

static void numbers_are_little_endian_and_leb128(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    buf_append_u32(&buf, 0x01020304);
    buf_append_varint(&buf, 300);
    buf_append_zigzag(&buf, -2);
    assert_memory_equal(buf.ptr, "\4\3\2\1\xac\2\3", 7);
}

static void base64_is_padded(void **state) {
    static const struct {
        Str bytes, want;
    } cases[] = {{STR_INIT(""), STR_INIT("")},
                 {STR_INIT("f"), STR_INIT("Zg==")},
                 {STR_INIT("fo"), STR_INIT("Zm8=")},
                 {STR_INIT("foobar"), STR_INIT("Zm9vYmFy")},
                 {STR_INIT("\0\xff\xfe"), STR_INIT("AP/+")}};
    Buf buf;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_init(&buf, 0);
        buf_append_base64(&buf, cases[i].bytes);
        assert_true(str_equal(buf_str(&buf), cases[i].want));
        buf_done(&buf);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test(a_buffer_grows_and_keeps_its_bytes),
        cmocka_unit_test(all_of_the_limit_can_be_used_by_every_append),
        cmocka_unit_test(a_full_buffer_stays_failed_and_ignores_what_follows),
        cmocka_unit_test(sizes_that_would_overflow_fail),
        cmocka_unit_test(printf_of_any_length_arrives_whole),
        cmocka_unit_test(reserved_room_counts_once_it_was_added),
        cmocka_unit_test(a_buffer_may_be_used_again_after_done),
        cmocka_unit_test(a_reader_gets_what_was_appended),
        cmocka_unit_test(numbers_are_little_endian_and_leb128),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
