/* What error.h promises. */
#include "common/base/error.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

static void setting_fills_code_and_text_and_returns_the_code(void **state) {
    Error err = {0};

    (void)state;
    assert_int_equal(error_set(&err, ERR_LIMIT, "%d of %d", 3, 2), ERR_LIMIT);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.text, "3 of 2");
}

static void wrapping_grows_outward_and_keeps_the_code(void **state) {
    Error err = {0};

    (void)state;
    error_set(&err, ERR_NOT_FOUND, "no such key");
    assert_int_equal(error_wrap(&err, "get %s", "a/b"), ERR_NOT_FOUND);
    assert_int_equal(error_wrap(&err, "flush"), ERR_NOT_FOUND);
    assert_string_equal(err.text, "flush: get a/b: no such key");
}

static void a_text_too_long_is_cut_and_ends_in_nul(void **state) {
    char large[2 * sizeof((Error *)0)->text];
    Error err = {0};

    (void)state;
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    error_set(&err, ERR_INVALID, "%s", large);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    error_wrap(&err, "outer");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "outer: xxx", 10);
    error_wrap(&err, "%s", large);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    error_errno(&err, ENOENT, "%s", large);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void the_old_text_may_be_an_argument(void **state) {
    Error err = {0};

    (void)state;
    error_set(&err, ERR_INVALID, "inner");
    error_set(&err, ERR_CORRUPT, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void without_an_error_the_code_still_comes_back(void **state) {
    (void)state;
    assert_int_equal(error_set(NULL, ERR_RATE, "x"), ERR_RATE);
    assert_int_equal(error_errno(NULL, ENOENT, "x"), ERR_NOT_FOUND);
    assert_int_not_equal(error_wrap(NULL, "x"), ERR_OK);
}

static void errno_maps_to_the_codes_of_the_header(void **state) {
    static const struct {
        int number;
        ErrCode code;
    } cases[] = {
        {ENOSPC, ERR_UNAVAILABLE},     {EDQUOT, ERR_UNAVAILABLE}, {EAGAIN, ERR_UNAVAILABLE},
        {EMFILE, ERR_UNAVAILABLE},     {EIO, ERR_UNAVAILABLE},    {ECONNREFUSED, ERR_UNAVAILABLE},
        {ECONNRESET, ERR_UNAVAILABLE}, {EPIPE, ERR_UNAVAILABLE},  {ENOENT, ERR_NOT_FOUND},
        {EEXIST, ERR_EXISTS},          {EACCES, ERR_DENIED},      {EROFS, ERR_DENIED},
        {ENOMEM, ERR_LIMIT},           {ETIMEDOUT, ERR_TIMEOUT},  {ECANCELED, ERR_CANCELLED},
        {EINVAL, ERR_INTERNAL},        {EBADF, ERR_INTERNAL},
    };
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(error_errno(&err, cases[i].number, "x"), cases[i].code);
    error_errno(&err, ENOENT, "open %s", "f");
    assert_string_equal(err.text, "open f: No such file or directory");
}

static void every_code_has_a_name(void **state) {
    (void)state;
    for (int code = ERR_OK; code <= ERR_INTERNAL; code++) {
        assert_string_not_equal(error_code_name((ErrCode)code), "unknown");
        for (int other = ERR_OK; other < code; other++)
            assert_string_not_equal(error_code_name((ErrCode)code),
                                    error_code_name((ErrCode)other));
    }
    assert_string_equal(error_code_name(ERR_UNAVAILABLE), "unavailable");
}

static ErrCode try_twice(ErrCode first, int *reached) {
    TRY(first);
    ++*reached;
    return ERR_OK;
}

static void try_returns_a_failed_code_and_goes_on_else(void **state) {
    int reached = 0;

    (void)state;
    assert_int_equal(try_twice(ERR_DENIED, &reached), ERR_DENIED);
    assert_int_equal(reached, 0);
    assert_int_equal(try_twice(ERR_OK, &reached), ERR_OK);
    assert_int_equal(reached, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_fills_code_and_text_and_returns_the_code),
        cmocka_unit_test(wrapping_grows_outward_and_keeps_the_code),
        cmocka_unit_test(a_text_too_long_is_cut_and_ends_in_nul),
        cmocka_unit_test(the_old_text_may_be_an_argument),
        cmocka_unit_test(without_an_error_the_code_still_comes_back),
        cmocka_unit_test(errno_maps_to_the_codes_of_the_header),
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(try_returns_a_failed_code_and_goes_on_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
