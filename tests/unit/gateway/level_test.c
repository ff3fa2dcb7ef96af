/* Levels are found where Loki finds them. */
#include "tests/unit/unit.h"

#include "gateway/logs/level.h"

static void assert_level(const char *line, const char *expected) {
    Str level = level_of_line(str_of(line));

    if (!str_equal(level, str_of(expected)))
        fail_msg("%s: " STR_FMT ", expected %s", line, STR_ARG(level), expected);
}

static void fields_of_json_and_logfmt_tell(void **test) {
    (void)test;
    assert_level("{\"level\":\"warning\",\"msg\":\"x\"}", "warn");
    assert_level("{\"msg\":\"a \\\" error \", \"log\":{\"severity\":\"DBG\"}}", "debug");
    assert_level("{\"a\":{\"b\":{\"level\":\"error\"}}}", "error"); /* too deep, but a word */
    assert_level("{\"a\":{\"b\":{\"level\":\"trc\"}}}", "unknown");
    assert_level("{\"a\":[{\"level\":\"inf\"}]}", "unknown");
    assert_level("ts=1 level=INF msg=\"an error\"", "info");
    assert_level("msg=\"level=error\" lvl=dbg", "debug");
    assert_level("severity=fatal level=trace", "trace");
    assert_level("LEVEL=wrn", "warn");
    assert_level("level=", "unknown");
    assert_level("level=\"err\"", "error");
    assert_level("level=\"err", "error");
    assert_level("level=strange but critical", "critical");
}

static void words_tell_where_they_stand_alone(void **test) {
    (void)test;
    assert_level("2026-01-02 ERROR something", "error");
    assert_level("[warn] x", "warn");
    assert_level("debug: x", "debug");
    assert_level("terror and informal", "unknown");
    assert_level("misc:error", "unknown");
    assert_level("info then error", "info");
    assert_level("WARNING!", "warn");
    assert_level("(err)", "error");
    assert_level("", "unknown");
    assert_level("e", "unknown");
    assert_level("critical", "critical");
    assert_level("errors", "unknown");
}

static void labels_and_severities_tell(void **test) {
    const LabelPair pairs[] = {{STR("lvl"), STR("x")}, {STR("severity"), STR("Warning")}};

    (void)test;
    assert_true(str_equal(level_of_labels(pairs, 2), STR("warn")));
    assert_true(str_equal(level_of_labels(pairs, 1), STR("x")));
    assert_int_equal(level_of_labels(pairs, 0).len, 0);
    assert_true(str_equal(level_of_severity(STR("0")), STR("unknown")));
    assert_true(str_equal(level_of_severity(STR("1")), STR("trace")));
    assert_true(str_equal(level_of_severity(STR("4")), STR("trace")));
    assert_true(str_equal(level_of_severity(STR("5")), STR("debug")));
    assert_true(str_equal(level_of_severity(STR("17")), STR("error")));
    assert_true(str_equal(level_of_severity(STR("24")), STR("fatal")));
    assert_true(str_equal(level_of_severity(STR("25")), STR("unknown")));
    assert_true(str_equal(level_of_severity(STR("x")), STR("info")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_json_and_logfmt_tell),
        cmocka_unit_test(words_tell_where_they_stand_alone),
        cmocka_unit_test(labels_and_severities_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
