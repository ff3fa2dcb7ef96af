/* One table of settings: names, types, bounds, defaults, and what is written about them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/config/config.h"
#include "tests/unit/unit.h"

typedef struct Target {
    Str text;
    bool flag;
    uint64_t number;
    double fraction;
    uint64_t bytes;
    int64_t duration;
    int choice;
    int64_t unbounded;
} Target;

static const char *const choices[] = {"always", "interval", NULL};

static const ConfigSetting settings[] = {
    {"store.url", CONFIG_STR, offsetof(Target, text), "file://./data", 0, 0, NULL, "URL",
     "Where objects are."},
    {"flag", CONFIG_BOOL, offsetof(Target, flag), "off", 0, 0, NULL, NULL, "A flag."},
    {"number_max", CONFIG_U64, offsetof(Target, number), "5", 1, 10, NULL, NULL, "A number."},
    {"fraction", CONFIG_DOUBLE, offsetof(Target, fraction), "0.5", -1, 1, NULL, NULL,
     "A fraction."},
    {"bytes", CONFIG_BYTES, offsetof(Target, bytes), "1GiB", 1024, 1e12, NULL, NULL, "A size."},
    {"duration", CONFIG_DURATION, offsetof(Target, duration), "5m", 100, 1e9, NULL, NULL,
     "A duration."},
    {"choice", CONFIG_CHOICE, offsetof(Target, choice), "interval", 0, 0, choices, NULL,
     "A choice."},
    {"unbounded", CONFIG_DURATION, offsetof(Target, unbounded), "-1", -1, 9e15, NULL, NULL,
     "Perhaps without a limit."},
};
static const ConfigTable table = {settings, ARRAY_LEN(settings)};

static void defaults_are_those_of_the_table(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Target target;

    (void)state;
    memset(&target, 0xff, sizeof target);
    config_defaults(table, arena, &target);
    assert_true(str_equal(target.text, STR("file://./data")));
    assert_false(target.flag);
    assert_int_equal(target.number, 5);
    assert_true(target.fraction == 0.5);
    assert_int_equal(target.bytes, 1 << 30);
    assert_int_equal(target.duration, 300000);
    assert_int_equal(target.choice, 1);
    assert_int_equal(target.unbounded, -1);
}

static void names_are_found_with_dashes_or_underscores(void **state) {
    (void)state;
    assert_ptr_equal(config_find(table, STR("number_max")), &settings[2]);
    assert_ptr_equal(config_find(table, STR("number-max")), &settings[2]);
    assert_ptr_equal(config_find(table, STR("store.url")), &settings[0]);
    assert_null(config_find(table, STR("store.ur")));
    assert_null(config_find(table, STR("store.urls")));
    assert_null(config_find(table, STR("store_url")));
    assert_null(config_find(table, STR("Flag")));
    assert_null(config_find(table, STR("")));
}

static void assert_says(const char *name, const char *text, const char *expected) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Target target = {.number = 77, .choice = 77, .duration = 77, .bytes = 77, .fraction = 77};
    Target before = target;
    Error err = {0};

    assert_int_equal(
        config_set(config_find(table, str_of(name)), arena, &target, str_of(text), &err),
        ERR_INVALID);
    assert_string_equal(err.text, expected);
    assert_memory_equal(&target, &before, sizeof target);
}

static void what_is_wrong_is_said_and_changes_nothing(void **state) {
    (void)state;
    assert_says("flag", "maybe", "flag: \"maybe\" is not true or false");
    assert_says("flag", "", "flag: \"\" is not true or false");
    assert_says("number_max", "five", "number_max: \"five\" is not a whole number");
    assert_says("number_max", "-1", "number_max: \"-1\" is not a whole number");
    assert_says("number_max", "99999999999999999999999",
                "number_max: \"99999999999999999999999\" is not a whole number");
    assert_says("number_max", "11", "number_max: \"11\" is not between 1 and 10");
    assert_says("number_max", "0", "number_max: \"0\" is not between 1 and 10");
    assert_says("fraction", "nan", "fraction: \"nan\" is not a number");
    assert_says("fraction", "inf", "fraction: \"inf\" is not between -1 and 1");
    assert_says("bytes", "1KB", "bytes: \"1KB\" is not between 1024 and 1000000000000 bytes");
    assert_says("bytes", "much", "bytes: \"much\" is not a size such as 512MiB");
    assert_says("duration", "5", "duration: \"5\" is not a duration such as 30s, 2h or 7d");
    assert_says("duration", "99ms", "duration: \"99ms\" is not between 100 and 1000000000 ms");
    assert_says("duration", "-1", "duration: \"-1\" is not between 100 and 1000000000 ms");
    assert_says("choice", "never", "choice: \"never\" is not one of always, interval");
    assert_says("choice", "Always", "choice: \"Always\" is not one of always, interval");
}

static void booleans_have_six_words(void **state) {
    const char *const yes[] = {"true", "on", "yes", "True", "ON"};
    const char *const no[] = {"false", "off", "no", "FALSE", "Off"};
    Error err = {0};
    Target target;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_ok(config_set(&settings[1], NULL, &target, str_of(yes[i]), &err), &err);
        assert_true(target.flag);
        assert_ok(config_set(&settings[1], NULL, &target, str_of(no[i]), &err), &err);
        assert_false(target.flag);
    }
}

static void strings_outlive_what_they_were_read_from(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char text[] = "s3://bucket";
    Error err = {0};
    Target target;

    (void)state;
    assert_ok(config_set(&settings[0], arena, &target, str_of(text), &err), &err);
    memset(text, 'x', sizeof text - 1);
    assert_true(str_equal(target.text, STR("s3://bucket")));
    assert_int_equal(config_set(&settings[0], NULL, &target, STR("x"), &err), ERR_LIMIT);
}

/* ---- units ---- */

static void durations_have_units(void **state) {
    const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},
                {"-1", -1},
                {"0s", 0},
                {"250ms", 250},
                {"15s", 15000},
                {"1.5s", 1500},
                {"2h", 7200000},
                {"1h30m", 5400000},
                {"7d", 604800000},
                {"1w", 604800000},
                {"1y", 31536000000},
                {"1d12h30m5s7ms", 131405007},
                {"285000y", 285000LL * 31536000000}};
    const char *const bad[] = {"",    "5",    "5 s",  "s",     "1h1h",  "30m1h", "-5s",
                               "+5s", "1S",   "1H",   ".s",    "1..5s", "1e3s",  "300000y",
                               "5s ", " 5s",  "1h30", "0x5s",  "infs",  "1m\0s", "-1s",
                               "1us", "\xff", "-0",   "1h-5m", "nand",  "1,5s",  "5\xc2\xb5s"};
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(config_parse_duration(str_of(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (config_parse_duration(str_of(bad[i]), &ms) && strcmp(bad[i], "1m") != 0)
            fail_msg("\"%s\" is %lld ms", bad[i], (long long)ms);
    assert_false(config_parse_duration(STR("1m\0s"), &ms));
}

static void sizes_have_units(void **state) {
    const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"512", 512},
                {"512B", 512},
                {"64KiB", 65536},
                {"1.5GiB", 1610612736},
                {"10MB", 10000000},
                {"3kB", 3000},
                {"3KB", 3000},
                {"2TiB", 2199023255552},
                {"1TB", 1000000000000},
                {"1GiB512MiB", 1610612736},
                {"9000000000000000000", 9000000000000000000u}};
    const char *const bad[] = {"",    "B",        "1 GiB",       "-1",   "1gib", "1G",  "1KiB5",
                               "1e9", "1KiB1GiB", "99999999TiB", "0x10", "1.B.", "KiB", "9.1e18"};
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(config_parse_bytes(str_of(good[i].text), &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (config_parse_bytes(str_of(bad[i]), &bytes))
            fail_msg("\"%s\" is %llu bytes", bad[i], (unsigned long long)bytes);
}

/* ---- what is written about settings ---- */

static void help_names_every_setting(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf out;

    (void)state;
    buf_init(&out, 0);
    config_write_help(table, &out);
    buf_append_byte(&out, '\0');
    assert_non_null(strstr(out.ptr, "  --store.url URL  (default: file://./data)\n"
                                    "        Where objects are.\n"));
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        assert_non_null(strstr(out.ptr, settings[i].name));
}

static void help_is_wrapped_at_spaces(void **state) {
    ConfigSetting setting = {"x", CONFIG_STR, 0, "", 0, 0, NULL, NULL, NULL};
    CLEANUP_IN_PLACE(buf_done) Buf out;
    char help[600] = "";

    (void)state;
    for (unsigned i = 0; i < 60; i++) strcat(help, "wordword ");
    setting.help = help;
    buf_init(&out, 0);
    config_write_help((ConfigTable){&setting, 1}, &out);
    for (size_t i = 0, column = 0; i < out.len; i++) {
        column = out.ptr[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 98);
    }
}

static void documentation_is_a_table(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf out;

    (void)state;
    buf_init(&out, 0);
    config_write_markdown(table, "p.", &out);
    buf_append_byte(&out, '\0');
    assert_non_null(strstr(out.ptr, "| `p.choice` | `always`, `interval` | `interval` | A choice. "
                                    "|\n"));
    assert_non_null(strstr(out.ptr, "| `p.flag` | true or false | `off` | A flag. |\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(names_are_found_with_dashes_or_underscores),
        cmocka_unit_test(what_is_wrong_is_said_and_changes_nothing),
        cmocka_unit_test(booleans_have_six_words),
        cmocka_unit_test(strings_outlive_what_they_were_read_from),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(help_names_every_setting),
        cmocka_unit_test(help_is_wrapped_at_spaces),
        cmocka_unit_test(documentation_is_a_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
