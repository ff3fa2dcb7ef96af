/* A YAML file becomes paths, texts and lines; everything else is refused with its line. */
#include <stdio.h>
#include <stdlib.h>

#include "common/config/config.h"
#include "tests/unit/unit.h"

/* "path=text@line" for each value, separated by spaces; or the error's text. */
static const char *parsed(Str yaml) {
    static char text[4096];
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    ConfigValue *values;
    size_t count, at = 0;
    Error err = {0};

    text[0] = '\0';
    if (config_parse(yaml, STR("f.yaml"), arena, &values, &count, &err) != ERR_OK) {
        snprintf(text, sizeof text, "%s: %s", error_code_name(err.code), err.text);
        return text;
    }
    for (size_t i = 0; i < count && at < 3900; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s" STR_FMT "=" STR_FMT "@%u",
                               i == 0 ? "" : " ", STR_ARG(values[i].path), STR_ARG(values[i].text),
                               values[i].line);
    return text;
}

#define assert_parsed(yaml, expected) assert_string_equal(parsed(STR(yaml)), expected)
#define assert_refused(yaml, part)                                                                 \
    do {                                                                                           \
        const char *said_ = parsed(STR(yaml));                                                     \
        if (strstr(said_, part) == NULL) fail_msg("\"%s\" has no \"%s\"", said_, part);            \
    } while (0)

static void nothing_is_no_settings(void **state) {
    (void)state;
    assert_parsed("", "");
    assert_parsed("\n\n# only a comment\n", "");
    assert_parsed("---\n", "");
    assert_parsed("{}", "");
    assert_parsed("a: {}\nb: []\n", "");
}

static void mappings_become_paths_with_dots(void **state) {
    (void)state;
    assert_parsed("a: 1\nb:\n  c: two words\n  d:\n    e: x\nf: y\n",
                  "a=1@1 b.c=two words@3 b.d.e=x@5 f=y@6");
    assert_parsed("retention.metrics: 7d\n", "retention.metrics=7d@1");
    assert_parsed("a: {b: 1, c: {d: 2}}\n", "a.b=1@1 a.c.d=2@1");
    assert_parsed("a:\nb: ''\n", "a=@1 b=@2");
}

static void lists_become_indices(void **state) {
    (void)state;
    assert_parsed("a:\n  - x\n  - y\nb: [1, 2]\n", "a.0=x@2 a.1=y@3 b.0=1@4 b.1=2@4");
    assert_parsed("keys:\n  - name: n\n    scope: read\n  - name: m\n",
                  "keys.0.name=n@2 keys.0.scope=read@3 keys.1.name=m@4");
    assert_parsed("a: [[1], [2, 3]]\n", "a.0.0=1@1 a.1.0=2@1 a.1.1=3@1");
    assert_parsed("- x\n- y\n", "0=x@1 1=y@2");
}

static void scalars_keep_their_text(void **state) {
    (void)state;
    assert_parsed("a: 0x10\nb: 1e3\nc: no\nd: ~\n", "a=0x10@1 b=1e3@2 c=no@3 d=~@4");
    assert_parsed("a: \"q: # x\"\nb: 'it''s'\nc: |\n  two\n  lines\n",
                  "a=q: # x@1 b=it's@2 c=two\nlines\n@3");
    assert_parsed("gr\xc3\xbc\xc3\x9f: \xe2\x82\xac\n", "gr\xc3\xbc\xc3\x9f=\xe2\x82\xac@1");
}

/* ---- the environment ---- */

static void the_environment_is_put_in(void **state) {
    (void)state;
    setenv("MORAINE_TEST_A", "alpha", 1);
    setenv("MORAINE_TEST_EMPTY", "", 1);
    unsetenv("MORAINE_TEST_NONE");
    assert_parsed("a: ${MORAINE_TEST_A}\n", "a=alpha@1");
    assert_parsed("a: x${MORAINE_TEST_A}y${MORAINE_TEST_A}z\n", "a=xalphayalphaz@1");
    assert_parsed("a: ${MORAINE_TEST_NONE:-b c}\n", "a=b c@1");
    assert_parsed("a: ${MORAINE_TEST_NONE:-}\n", "a=@1");
    assert_parsed("a: ${MORAINE_TEST_A:-b}\n", "a=alpha@1");
    assert_parsed("a: ${MORAINE_TEST_NONE:-s3://x:9000/y}\n", "a=s3://x:9000/y@1");
    /* Empty is as good as unset where there is a default, as in a shell. */
    assert_parsed("a: ${MORAINE_TEST_EMPTY:-b}\n", "a=b@1");
    assert_parsed("a: ${MORAINE_TEST_EMPTY}\n", "a=@1");
    assert_parsed("a: $MORAINE_TEST_A $ {x}\n", "a=$MORAINE_TEST_A $ {x}@1");
    /* Names are not touched. */
    assert_parsed("\"${MORAINE_TEST_A}\": 1\n", "${MORAINE_TEST_A}=1@1");
}

static void what_the_environment_holds_is_not_looked_at_again(void **state) {
    (void)state;
    setenv("MORAINE_TEST_A", "${HOME}: [x", 1);
    assert_parsed("a: ${MORAINE_TEST_A}\n", "a=${HOME}: [x@1");
}

static void a_variable_that_is_not_set_is_an_error_with_its_line(void **state) {
    (void)state;
    unsetenv("MORAINE_TEST_NONE");
    assert_parsed("a: 1\nb:\n  c: ${MORAINE_TEST_NONE}\n",
                  "invalid: f.yaml:3: environment variable MORAINE_TEST_NONE is not set (a default "
                  "is written ${MORAINE_TEST_NONE:-default})");
    assert_refused("\na: ${MORAINE_TEST_NONE\n", "f.yaml:2: \"${\" without its \"}\"");
    assert_refused("a: ${}\n", "f.yaml:1: expected ${NAME} or ${NAME:-default}");
    assert_refused("a: ${A:b}\n", "f.yaml:1: expected ${NAME} or ${NAME:-default}");
    assert_refused("a: ${:-b}\n", "f.yaml:1: expected ${NAME} or ${NAME:-default}");
}

/* ---- what is refused ---- */

static void bad_yaml_is_refused_with_its_line(void **state) {
    (void)state;
    assert_refused("a: 1\n b: 2\n", "invalid: f.yaml:2: ");
    assert_refused("a: [1, 2\n", "invalid: f.yaml:2: ");
    assert_refused("a: \"x\n", "invalid: f.yaml:2: ");
    assert_refused("a:\n\t- x\n", "invalid: f.yaml:2: ");
    assert_refused("a: }\n", "invalid: f.yaml:1: ");
    assert_refused("a: \xff\xfe\n", "invalid: f.yaml:");
    assert_refused("a: b: c\n", "invalid: f.yaml:1: ");
    assert_parsed("just text\n", "invalid: f.yaml:1: expected settings, \"name: value\"");
}

static void what_settings_do_not_need_is_refused(void **state) {
    (void)state;
    assert_parsed("a: &x 1\nb: *x\n", "invalid: f.yaml:2: aliases (*name) are not supported");
    assert_parsed("? [a]\n: 1\n", "invalid: f.yaml:1: a name must be plain text");
    assert_parsed("? {a: 1}\n: 1\n", "invalid: f.yaml:1: a name must be plain text");
    assert_parsed("a: 1\n---\nb: 2\n", "invalid: f.yaml:2: a second document (---)");
}

static void a_setting_that_is_there_twice_is_refused(void **state) {
    (void)state;
    assert_parsed("a: 1\nb: 2\na: 3\n", "invalid: f.yaml:3: a is there already, line 1");
    assert_parsed("a:\n  b: 1\na.b: 2\n", "invalid: f.yaml:3: a.b is there already, line 2");
    assert_parsed("a: 1\nA: 2\n", "a=1@1 A=2@2");
}

static void nesting_ends_at_sixteen_levels(void **state) {
    char yaml[256] = "";

    (void)state;
    for (unsigned i = 0; i < 16; i++) strcat(yaml, "[");
    strcat(yaml, "1");
    for (unsigned i = 0; i < 16; i++) strcat(yaml, "]");
    assert_string_equal(parsed(str_of(yaml)), "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0=1@1");
    memmove(yaml + 1, yaml, strlen(yaml) + 1);
    strcat(yaml, "]");
    assert_string_equal(parsed(str_of(yaml)), "limit: f.yaml:1: nested deeper than 16 levels");
}

static char *repeated(const char *part, size_t times, size_t *len) {
    size_t part_len = strlen(part);
    char *all = malloc(part_len * times + 1);

    for (size_t i = 0; i < times; i++) memcpy(all + i * part_len, part, part_len);
    *len = part_len * times;
    return all;
}

static void files_values_and_names_have_a_largest_size(void **state) {
    size_t len;
    char *text = repeated("# nothing\n", 420000, &len);

    (void)state;
    assert_string_equal(parsed((Str){text, len}),
                        "limit: f.yaml: 4200000 bytes; a configuration has at most 4194304");
    free(text);
    text = repeated("- x\n", 300000, &len);
    assert_non_null(strstr(parsed((Str){text, len}), "more than 200000 values"));
    free(text);
    text = repeated("abcdefgh", 150000, &len);
    memcpy(text, "a: bcdef", 8);
    assert_string_equal(parsed((Str){text, len}), "limit: f.yaml:1: a value over 1 MiB");
    free(text);
    text = repeated("abcdefgh", 10000, &len);
    memcpy(text, "? a\n  cd", 8);
    assert_true(strlen(parsed((Str){text, len})) > 0); /* an answer, whichever */
    free(text);
    text = repeated("[", 1000000, &len);
    assert_string_equal(parsed((Str){text, len}), "limit: f.yaml:1: nested deeper than 16 levels");
    free(text);
}

/* The environment may make a small file large. */
static void the_environment_has_the_same_limit(void **state) {
    size_t len;
    char *part = repeated("x", 100000, &len);

    (void)state;
    part[len] = '\0';
    setenv("MORAINE_TEST_LONG", part, 1);
    free(part);
    assert_refused("a: ${MORAINE_TEST_LONG}${MORAINE_TEST_LONG}${MORAINE_TEST_LONG}"
                   "${MORAINE_TEST_LONG}${MORAINE_TEST_LONG}${MORAINE_TEST_LONG}"
                   "${MORAINE_TEST_LONG}${MORAINE_TEST_LONG}${MORAINE_TEST_LONG}"
                   "${MORAINE_TEST_LONG}${MORAINE_TEST_LONG}\n",
                   "limit: f.yaml:1: a value over 1 MiB");
    unsetenv("MORAINE_TEST_LONG");
}

/* Any file of ours, cut at every byte and with every byte changed: an answer, never a crash. */
static void damaged_files_are_survived(void **state) {
    const char whole[] = "store:\n  url: ${HOME:-x}\nlist: [a, {b: 'c'}]\n# c\nmore: |\n  text\n";
    char damaged[sizeof whole];

    (void)state;
    for (size_t i = 0; i < sizeof whole - 1; i++) {
        parsed((Str){whole, i});
        for (unsigned value = 0; value < 256; value += 7) {
            memcpy(damaged, whole, sizeof whole);
            damaged[i] = (char)value;
            parsed((Str){damaged, sizeof whole - 1});
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_no_settings),
        cmocka_unit_test(mappings_become_paths_with_dots),
        cmocka_unit_test(lists_become_indices),
        cmocka_unit_test(scalars_keep_their_text),
        cmocka_unit_test(the_environment_is_put_in),
        cmocka_unit_test(what_the_environment_holds_is_not_looked_at_again),
        cmocka_unit_test(a_variable_that_is_not_set_is_an_error_with_its_line),
        cmocka_unit_test(bad_yaml_is_refused_with_its_line),
        cmocka_unit_test(what_settings_do_not_need_is_refused),
        cmocka_unit_test(a_setting_that_is_there_twice_is_refused),
        cmocka_unit_test(nesting_ends_at_sixteen_levels),
        cmocka_unit_test(files_values_and_names_have_a_largest_size),
        cmocka_unit_test(the_environment_has_the_same_limit),
        cmocka_unit_test(damaged_files_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
