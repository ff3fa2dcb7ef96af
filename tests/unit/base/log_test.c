/* What log.h promises. stderr is a datagram socket here, so each write is one message. */
#include "common/base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static int saved_stderr, far_end;
static char line[16384];

static int redirect(void **state) {
    int ends[2];

    (void)state;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return -1;
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[0], STDERR_FILENO);
    close(ends[0]);
    far_end = ends[1];
    return 0;
}

static int restore(void **state) {
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(far_end);
    return 0;
}

/* The next line without its time, checked; NULL when none was written. */
static const char *next_line(void) {
    ssize_t len = recv(far_end, line, sizeof line - 1, MSG_DONTWAIT);
    int year, month, day, hour, minute, second, ms, end = 0;

    if (len <= 0) return NULL;
    line[len] = '\0';
    assert_int_equal(sscanf(line, "ts=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &end),
                     7);
    assert_int_equal(end, 28);
    assert_int_equal(line[len - 1], '\n');
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    line[len - 1] = '\0';
    return line + end;
}

static void a_line_is_one_write_in_logfmt(void **state) {
    Error err = {0};

    (void)state;
    error_set(&err, ERR_UNAVAILABLE, "put \"k\": 503");
    LOG_WARN("flush failed", LOG_U64("lane", UINT64_MAX), LOG_I64("delta", -3),
             LOG_DOUBLE("ratio", 0.5), LOG_CSTR("store", "s3"), LOG_ERR(&err));
    assert_string_equal(next_line(), "level=warn msg=\"flush failed\" lane=18446744073709551615 "
                                     "delta=-3 ratio=0.5 store=s3 code=unavailable "
                                     "err=\"put \\\"k\\\": 503\"");
    assert_null(next_line());
    LOG_INFO("started");
    assert_string_equal(next_line(), "level=info msg=started");
}

static void values_are_quoted_only_where_needed(void **state) {
    static const struct {
        Str value;
        const char *text;
    } cases[] = {
        {STR_INIT("plain/a-b:1"), "plain/a-b:1"},
        {STR_INIT(""), "\"\""},
        {STR_INIT("a b"), "\"a b\""},
        {STR_INIT("a=b"), "\"a=b\""},
        {STR_INIT("a\"b"), "\"a\\\"b\""},
        {STR_INIT("a\nb"), "\"a\\nb\""},
        {STR_INIT("\0\x1b"), "\"\\x00\\x1b\""},
        {STR_INIT("C:\\x"), "\"C:\\\\x\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        LOG_ERROR("m", LOG_STR("v", cases[i].value));
        assert_string_equal(next_line() + strlen("level=error msg=m v="), cases[i].text);
    }
}

static void levels_below_the_set_one_are_not_even_evaluated(void **state) {
    int evaluated = 0;
    LogLevel level = LOG_LEVEL_DEBUG;

    (void)state;
    LOG_DEBUG("m", LOG_I64("n", ++evaluated));
    assert_null(next_line());
    assert_int_equal(evaluated, 0);
    assert_true(log_level_parse(STR("debug"), &level));
    log_set_level(level);
    LOG_DEBUG("m", LOG_I64("n", ++evaluated));
    assert_string_equal(next_line(), "level=debug msg=m n=1");
    assert_true(log_level_parse(STR("error"), &level));
    log_set_level(level);
    assert_false(log_enabled(LOG_LEVEL_WARN));
    assert_false(log_level_parse(STR("loud"), &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    log_set_level(LOG_LEVEL_INFO);
}

/* Lengths around the limit, in one and in several values, plain and escaped. */
static void a_line_too_long_is_cut_and_still_well_formed(void **state) {
    static char large[9000];

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        memset(large, kind == 0 ? 'x' : kind == 1 ? ' ' : '\1', sizeof large);
        for (size_t len = 2000; len < sizeof large; len += len < 7900 ? 97 : 1) {
            Str value = {large, len};
            size_t quotes = 0;
            const char *text;

            LOG_ERROR("m", LOG_STR("a", value), LOG_STR("b", STR("b c")), LOG_STR("c", value),
                      LOG_STR("d", STR("d e")), LOG_STR("e", STR("")));
            text = next_line();
            assert_non_null(text);
            assert_true(strlen(line) < 8192);
            for (; *text != '\0'; text++) quotes += *text == '"';
            assert_int_equal(quotes % 2, 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_one_write_in_logfmt, redirect, restore),
        cmocka_unit_test_setup_teardown(values_are_quoted_only_where_needed, redirect, restore),
        cmocka_unit_test_setup_teardown(levels_below_the_set_one_are_not_even_evaluated, redirect,
                                        restore),
        cmocka_unit_test_setup_teardown(a_line_too_long_is_cut_and_still_well_formed, redirect,
                                        restore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
