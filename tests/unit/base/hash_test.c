/* What hash.h promises. The .c is included to reach the table behind crc32c(). */
#include "common/base/hash.c"

#include <string.h>

#include "tests/unit/unit.h"

/* Known answers: RFC 3720, appendix B.4, and the check value of CRC-32C. */
static void crc32c_gives_the_known_answers(void **state) {
    uint8_t bytes[32];

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
}

static void the_table_agrees_with_the_instruction(void **state) {
    uint8_t bytes[200];

    (void)state;
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 73 + 11);
    for (size_t start = 0; start < 9; start++)
        for (size_t len = 0; start + len <= sizeof bytes; len++)
            assert_int_equal(~crc_by_table(~0u, bytes + start, len), crc32c(0, bytes + start, len));
}

static void crc32c_chains(void **state) {
    const char *text = "the same bytes in two pieces";
    size_t len = strlen(text);

    (void)state;
    for (size_t cut = 0; cut <= len; cut++)
        assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, len - cut), crc32c(0, text, len));
}

/* These are in files on disk: another answer would make them unreadable. */
static void xxh3_gives_the_known_answers(void **state) {
    (void)state;
    assert_true(hash_bytes("", 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash_bytes_128("", 0, 0).high == UINT64_C(0x99aa06d3014798d8));
    assert_true(hash_bytes_128("", 0, 0).low == UINT64_C(0x6001c324468d497f));
}

static void a_seed_changes_the_hash_and_seed_zero_is_the_plain_one(void **state) {
    (void)state;
    assert_true(hash_bytes_seeded("abc", 3, 0) == hash_bytes("abc", 3));
    assert_true(hash_bytes_seeded("abc", 3, 1) != hash_bytes("abc", 3));
    assert_true(hash_bytes_128("abc", 3, 1).low != hash_bytes_128("abc", 3, 0).low);
    assert_true(hash_str(STR("abc")) == hash_bytes("abc", 3));
    assert_true(hash_str((Str){NULL, 0}) == hash_bytes("", 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_known_answers),
        cmocka_unit_test(the_table_agrees_with_the_instruction),
        cmocka_unit_test(crc32c_chains),
        cmocka_unit_test(xxh3_gives_the_known_answers),
        cmocka_unit_test(a_seed_changes_the_hash_and_seed_zero_is_the_plain_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
