/* What log_stream.h promises: entries come back as they were, and no bytes do harm. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"
#include "common/block/log_stream.h"

static const LogEntry ENTRIES[] = {
    {1700000000000000000, STR_INIT("first"), STR_INIT("")},
    {1700000000000000001, STR_INIT(""), STR_INIT("metadata")},
    {1700000000000000001, STR_INIT("with \0 a NUL and \xff"), STR_INIT("")},
    {-5, STR_INIT("before 1970"), STR_INIT("")},
    {INT64_MAX, STR_INIT("last"), STR_INIT("")},
    {INT64_MIN, STR_INIT("first of all"), STR_INIT("m")},
};

static Str append_all(uint8_t *out, LogStreamState *state) {
    size_t used = 0;

    for (size_t i = 0; i < ARRAY_LEN(ENTRIES); i++) {
        size_t bytes = log_stream_append(state, out + used, &ENTRIES[i]);
        assert_true(bytes <= log_stream_bytes_max(&ENTRIES[i]));
        used += bytes;
    }
    return (Str){(const char *)out, used};
}

static void entries_come_back(void **test) {
    uint8_t out[1024];
    LogStreamState state = {0};
    Str bytes = append_all(out, &state);
    LogStreamReader reader = log_stream_reader(bytes);
    LogEntry entry;

    (void)test;
    for (size_t i = 0; i < ARRAY_LEN(ENTRIES); i++) {
        assert_true(log_stream_next(&reader, &entry));
        assert_true(entry.time_ns == ENTRIES[i].time_ns);
        assert_true(str_equal(entry.line, ENTRIES[i].line));
        assert_true(str_equal(entry.metadata, ENTRIES[i].metadata));
    }
    assert_false(log_stream_next(&reader, &entry));
    assert_ptr_equal(reader.at, reader.end);
    assert_false(state.in_order);
    assert_int_equal(state.count, ARRAY_LEN(ENTRIES));
}

static void equal_times_are_in_order(void **test) {
    uint8_t out[256];
    LogStreamState state = {0};

    (void)test;
    for (size_t i = 0; i < 3; i++) log_stream_append(&state, out, &ENTRIES[i]);
    assert_true(state.in_order);
}

static void any_prefix_ends_without_harm(void **test) {
    uint8_t out[1024];
    LogStreamState state = {0};
    Str bytes = append_all(out, &state);

    (void)test;
    for (size_t cut = 0; cut < bytes.len; cut++) {
        char *copy = malloc(cut + 1); /* its own piece of memory, for the sanitizer */
        assert_non_null(copy);
        memcpy(copy, bytes.ptr, cut);
        LogStreamReader reader = log_stream_reader((Str){copy, cut});
        LogEntry entry;
        size_t count = 0;
        while (log_stream_next(&reader, &entry)) count++;
        assert_true(count < ARRAY_LEN(ENTRIES));
        free(copy);
    }
}

static void lengths_past_the_end_are_no_entry(void **test) {
    static const uint8_t HUGE[] = {0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 1,    5,    'x'};
    LogStreamReader reader = log_stream_reader((Str){(const char *)HUGE, sizeof HUGE});
    LogEntry entry;

    (void)test;
    assert_false(log_stream_next(&reader, &entry));
    assert_true(reader.at != reader.end);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back),
        cmocka_unit_test(equal_times_are_in_order),
        cmocka_unit_test(any_prefix_ends_without_harm),
        cmocka_unit_test(lengths_past_the_end_are_no_entry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
