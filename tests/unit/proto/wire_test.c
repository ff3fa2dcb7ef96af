/*
 * The wire reader and writer, without any message of anyone's.
 */
#include "proto/wire/write.h"
#include "tests/unit/unit.h"

static const uint64_t numbers[] = {
    0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_C(1) << 35, UINT64_C(1) << 63, UINT64_MAX};

static void what_was_written_is_read(void **state) {
    Buf buf;
    WireReader r = {0};
    uint32_t tag = 0;
    uint64_t number;
    int64_t integer;
    double value;
    Str text = STR("");

    (void)state;
    buf_init(&buf, 0);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        wire_put_varint(&buf, 1, numbers[i]);
        wire_put_sint64(&buf, 536870911, (int64_t)numbers[i]);
    }
    wire_put_double(&buf, 16, -0.5);
    wire_put_bytes(&buf, 3, STR("a\0b"));
    r = wire_reader(buf_str(&buf));
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        assert_true(wire_tag(&r, &tag) && tag == WIRE_TAG(1, WIRE_VARINT));
        assert_true(wire_varint(&r, &number) && number == numbers[i]);
        assert_true(wire_tag(&r, &tag) && tag == WIRE_TAG(536870911, WIRE_VARINT));
        assert_true(wire_sint64(&r, &integer) && integer == (int64_t)numbers[i]);
    }
    assert_true(wire_tag(&r, &tag) && wire_double(&r, &value) && value == -0.5);
    assert_true(wire_tag(&r, &tag) && wire_bytes(&r, &text) && str_equal(text, STR("a\0b")));
    assert_true(wire_at_end(&r));
    buf_done(&buf);
}

static void messages_of_any_length_get_the_shortest_length(void **state) {
    static const size_t lengths[] = {0, 1, 127, 128, 16383, 16384, 3000000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        size_t outer, inner;
        WireReader r, message = {0};
        uint32_t tag = 0;
        Str text = STR("");
        Buf buf;

        buf_init(&buf, 0);
        outer = wire_begin(&buf, 1);
        inner = wire_begin(&buf, 2);
        for (size_t k = 0; k < lengths[i]; k++) buf_append_byte(&buf, (char)k);
        wire_end(&buf, inner);
        wire_end(&buf, outer);
        r = wire_reader(buf_str(&buf));
        assert_true(wire_tag(&r, &tag) && wire_message(&r, &message) && wire_at_end(&r));
        assert_true(wire_tag(&message, &tag) && wire_bytes(&message, &text));
        assert_int_equal(text.len, lengths[i]);
        assert_int_equal(buf.len,
                         lengths[i] + 2 + wire_varint_len(lengths[i]) +
                             wire_varint_len(lengths[i] + 1 + wire_varint_len(lengths[i])));
        for (size_t k = 0; k < lengths[i]; k++) assert_true(text.ptr[k] == (char)k);
        buf_done(&buf);
    }
}

static void a_full_buffer_stays_failed(void **state) {
    size_t message;
    Buf buf;

    (void)state;
    buf_init(&buf, 140);
    message = wire_begin(&buf, 1);
    buf_append_zeros(&buf, 138);
    wire_end(&buf, message); /* one byte more for the length doesn't fit */
    assert_true(buf_failed(&buf));
    buf_done(&buf);
}

#define REFUSED(call, bytes)                                                                       \
    do {                                                                                           \
        WireReader r = wire_reader(STR(bytes));                                                    \
        assert_false(call);                                                                        \
    } while (0)

static void what_is_cut_or_too_long_is_refused(void **state) {
    uint64_t number;
    uint32_t tag = 0;
    Str text = STR("");
    double value;

    (void)state;
    REFUSED(wire_varint(&r, &number), "");
    REFUSED(wire_varint(&r, &number), "\x80");
    REFUSED(wire_varint(&r, &number), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    REFUSED(wire_tag(&r, &tag), "\x00");
    REFUSED(wire_tag(&r, &tag), "\x07");
    REFUSED(wire_tag(&r, &tag), "\x80\x00");
    REFUSED(wire_tag(&r, &tag), "\xff\xff\xff\xff\x1f");
    REFUSED(wire_tag(&r, &tag), "\x8a\x80\x80\x80\x80\x00");
    REFUSED(wire_bytes(&r, &text), "\x02x");
    REFUSED(wire_bytes(&r, &text), "\xff\xff\xff\xff\x0f");
    REFUSED(wire_bytes(&r, &text), "\x80\x80\x80\x80\x80\x00");
    REFUSED(wire_double(&r, &value), "1234567");
    for (uint32_t type = 0; type < 8; type++) REFUSED(wire_skip(&r, WIRE_TAG(1, type)), "");
    for (uint32_t type = 3; type < 8; type++)
        if (type != WIRE_FIXED32) REFUSED(wire_skip(&r, WIRE_TAG(1, type)), "\x01\x01\x01\x01\x01");
}

static void numbers_that_do_not_fit_lose_their_upper_bits(void **state) {
    WireReader r = wire_reader(STR("\xff\xff\xff\xff\xff\x01"));
    int32_t small;
    uint32_t tiny;

    (void)state;
    assert_true(wire_uint32(&r, &tiny));
    assert_int_equal(tiny, UINT32_MAX);
    r = wire_reader(STR("\xff\xff\xff\xff\x0f"));
    assert_true(wire_sint32(&r, &small));
    assert_int_equal(small, INT32_MIN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(messages_of_any_length_get_the_shortest_length),
        cmocka_unit_test(a_full_buffer_stays_failed),
        cmocka_unit_test(what_is_cut_or_too_long_is_refused),
        cmocka_unit_test(numbers_that_do_not_fit_lose_their_upper_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
