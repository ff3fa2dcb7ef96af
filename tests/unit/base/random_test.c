/* What random.h promises. */
#include "common/base/random.h"

#include <string.h>

#include "tests/unit/unit.h"

static void bytes_are_filled_and_differ_each_time(void **state) {
    uint8_t a[1000] = {0}, b[1000] = {0};
    bool high = false;

    (void)state;
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t i = sizeof a - 100; i < sizeof a; i++) high = high || a[i] != 0;
    assert_true(high);
    assert_true(random_u64() != random_u64());
    random_bytes(a, 0);
}

static void a_ulid_starts_with_its_time_as_the_spec_has_it(void **state) {
    char id[26];

    (void)state;
    ulid_make(1469918176385, id); /* the example of github.com/ulid/spec */
    assert_memory_equal(id, "01ARYZ6S41", 10);
    ulid_make(0, id);
    assert_memory_equal(id, "0000000000", 10);
    ulid_make((INT64_C(1) << 48) - 1, id);
    assert_memory_equal(id, "7ZZZZZZZZZ", 10);
}

static void ulids_use_only_crockford_letters_and_sort_by_time(void **state) {
    char before[26] = {0}, id[26];

    (void)state;
    for (int64_t ms = 1700000000000; ms < 1700000000500; ms++) {
        ulid_make(ms, id);
        assert_true(memcmp(before, id, sizeof id) < 0);
        for (size_t i = 0; i < sizeof id; i++)
            assert_non_null(memchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", id[i], 32));
        memcpy(before, id, sizeof id);
    }
}

static void two_ulids_of_one_millisecond_differ(void **state) {
    char a[26], b[26];

    (void)state;
    ulid_make(1700000000000, a);
    ulid_make(1700000000000, b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_filled_and_differ_each_time),
        cmocka_unit_test(a_ulid_starts_with_its_time_as_the_spec_has_it),
        cmocka_unit_test(ulids_use_only_crockford_letters_and_sort_by_time),
        cmocka_unit_test(two_ulids_of_one_millisecond_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
