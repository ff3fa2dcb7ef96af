/* What reader.h promises about bytes that lie. Round trips are in buf_test.c. */
#include "common/base/reader.h"

#include "tests/unit/unit.h"

/* An exact copy on the heap, so that ASan sees a read outside. */
static Reader reader_of_copy(Arena *arena, Str bytes) {
    char *copy = arena_alloc_bytes(arena, bytes.len);

    assert_non_null(copy);
    if (bytes.len > 0) memcpy(copy, bytes.ptr, bytes.len);
    return reader_of((Str){copy, bytes.len});
}

static void reading_past_the_end_fails_for_good_and_gives_zeros(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Reader r = reader_of_copy(arena, STR("\1\2\3"));

    (void)state;
    assert_int_equal(reader_u16(&r), 0x0201);
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(reader_u64(&r), 0);
    assert_int_equal(reader_varint(&r), 0);
    assert_int_equal(reader_bytes(&r, 1).len, 0);
    assert_int_equal(reader_left(&r), 0);
    assert_true(r.failed);
}

static void every_truncation_of_every_kind_fails(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str full = STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");

    (void)state;
    for (size_t len = 0; len < full.len; len++) {
        Reader r = reader_of_copy(arena, str_slice(full, 0, len));

        assert_int_equal(reader_varint(&r), 0);
        assert_true(r.failed);
    }
    for (size_t len = 0; len < 8; len++) {
        Reader r = reader_of_copy(arena, str_slice(full, 0, len));

        (void)reader_u64(&r);
        assert_true(r.failed);
    }
}

static void a_varint_of_more_than_ten_bytes_fails(void **state) {
    Reader r = reader_of(STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"));

    (void)state;
    assert_int_equal(reader_varint(&r), 0);
    assert_true(r.failed);
}

static void a_prefix_longer_than_what_is_left_fails(void **state) {
    Reader r = reader_of(STR("\5abcd")),
           huge = reader_of(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\1a"));

    (void)state;
    assert_int_equal(reader_prefixed(&r).len, 0);
    assert_true(r.failed);
    assert_int_equal(reader_prefixed(&huge).len, 0);
    assert_true(huge.failed);
}

static void an_empty_input_is_at_its_end_and_not_failed(void **state) {
    Reader r = reader_of((Str){NULL, 0});

    (void)state;
    assert_true(reader_at_end(&r));
    assert_false(r.failed);
    assert_int_equal(reader_bytes(&r, 0).len, 0);
    assert_false(r.failed);
}

static void a_double_keeps_its_bits(void **state) {
    static const char bits[] = {1, 0, 0, 0, 0, 0, (char)0xf8, 0x7f}; /* a NaN with a payload */
    Reader r = reader_of((Str){bits, sizeof bits});
    double v = reader_double(&r);

    (void)state;
    assert_memory_equal(&v, bits, sizeof bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_past_the_end_fails_for_good_and_gives_zeros),
        cmocka_unit_test(every_truncation_of_every_kind_fails),
        cmocka_unit_test(a_varint_of_more_than_ten_bytes_fails),
        cmocka_unit_test(a_prefix_longer_than_what_is_left_fails),
        cmocka_unit_test(an_empty_input_is_at_its_end_and_not_failed),
        cmocka_unit_test(a_double_keeps_its_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
