/* Which templates are one pattern. */
#include "querier/logql/engine/patterns.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/block/logs.h"
#include "tests/unit/unit.h"

enum { MANY = 4000 };

static Arena *arena;
static PatternTemplate templates[MANY];
static size_t count;

static int setup(void **state) {
    (void)state;
    arena = arena_new(0, NULL);
    count = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

static void add(uint64_t lines, const char *text) {
    templates[count++] = (PatternTemplate){.text = str_dup(arena, str_of(text)), .count = lines};
}

static PatternClusters merge(void) {
    PatternClusters out;

    assert_true(pattern_merge(arena, templates, count, &out));
    for (size_t i = 0; i < count; i++) assert_true(templates[i].cluster < out.count);
    return out;
}

static void expect(const PatternClusters *out, size_t i, const char *text) {
    Str got = out->texts[templates[i].cluster];

    if (!str_equal(got, str_of(text))) fail_msg(STR_FMT " instead of %s", STR_ARG(got), text);
}

static void collapsed(const char *text, const char *wanted) {
    Buf out;

    buf_init(&out, 0);
    pattern_collapse(str_of(text), &out);
    buf_append_byte(&out, '\0');
    assert_string_equal(out.ptr, wanted);
    buf_done(&out);
}

static void variables_that_belong_together_are_one(void **state) {
    (void)state;
    collapsed("ts=<_>-<_>-<_>:<_>.<_>Z n=<_>", "ts=<_>Z n=<_>");
    collapsed("<_><_>:", "<_>:");
    collapsed("<_>:-<_>", "<_>:-<_>");
    collapsed("/<_>/<_>", "/<_>/<_>");
    collapsed("<_", "<_");
    collapsed("<_>.", "<_>.");
    collapsed("", "");
}

static void lines_become_templates(void **state) {
    Buf one, other, text;

    (void)state;
    buf_init(&one, 0);
    buf_init(&other, 0);
    buf_init(&text, 0);
    log_line_template(STR("took 17 ms for 123e4567-e89b-12d3-a456-426614174000"), &one);
    log_line_template(STR("took 4 ms for 00000000-e89b-12d3-a456-42661417400f"), &other);
    assert_true(str_equal(buf_str(&one), buf_str(&other)));
    log_template_text(buf_str(&one), &text);
    assert_true(str_equal(buf_str(&text), STR("took <_> ms for <_>")));
    buf_done(&one);
    buf_done(&other);
    buf_done(&text);
}

static void rare_words_are_variables_and_frequent_ones_are_not(void **state) {
    char text[100];
    PatternClusters out;

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%s of user%c%c from <_>", i % 2 == 0 ? "login" : "logout",
                 'a' + i / 26, 'a' + i % 26);
        add(10, text);
    }
    out = merge();
    for (size_t i = 0; i < count; i++)
        expect(&out, i, i % 2 == 0 ? "login of <_> from <_>" : "logout of <_> from <_>");
}

static void rare_messages_are_not_mixed_into_others(void **state) {
    PatternClusters out;

    (void)state;
    add(100000, "served <_> bytes in <_>");
    add(3, "panic: no memory for worker");
    add(2, "cannot reach database after retries");
    out = merge();
    expect(&out, 0, "served <_> bytes in <_>");
    expect(&out, 1, "panic: no memory for worker");
    expect(&out, 2, "cannot reach database after retries");
}

static void many_fields_of_few_values_do_not_multiply(void **state) {
    char text[200];
    PatternClusters out;

    (void)state;
    for (int i = 0; i < 4 * 4 * 4 * 4 * 4; i++) {
        snprintf(text, sizeof text,
                 "{\"a\":\"w%c\",\"b\":\"w%c\",\"c\":\"w%c\",\"d\":\"w%c\",\"e\":\"w%c\"}",
                 'a' + i % 4, 'a' + i / 4 % 4, 'a' + i / 16 % 4, 'a' + i / 64 % 4, 'a' + i / 256);
        add(1, text);
    }
    out = merge();
    assert_in_range(out.count, 1, 300);
}

static void the_order_does_not_matter(void **state) {
    static const char *const verbs[] = {"open", "close", "read", "write"};
    PatternClusters out;
    Str first[MANY];
    char text[100];
    uint32_t random = 7;

    (void)state;
    for (int i = 0; i < 400; i++) {
        snprintf(text, sizeof text, "%s file%c%c done %s", verbs[i % 4], 'a' + i / 20, 'a' + i % 20,
                 i % 3 == 0 ? "well" : "badly");
        add((uint64_t)i % 9 + 1, text);
    }
    out = merge();
    for (size_t i = 0; i < count; i++) first[i] = out.texts[templates[i].cluster];
    for (size_t i = count - 1; i > 0; i--) {
        size_t k = (random = random * 1664525 + 1013904223) % (i + 1);
        PatternTemplate t = templates[i];
        Str s = first[i];

        templates[i] = templates[k];
        templates[k] = t;
        first[i] = first[k];
        first[k] = s;
    }
    out = merge();
    for (size_t i = 0; i < count; i++)
        assert_true(str_equal(out.texts[templates[i].cluster], first[i]));
}

static void hostile_templates_end(void **state) {
    static char text[4000];
    PatternClusters out;

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = i % 2 == 0 ? 'a' : ' ';
    add(5, text);
    add(5, "");
    add(5, " ");
    add(5, "<_>");
    add(5, "\xff\xfe\x01");
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "%c%c%c", 'a' + i / 225, 'a' + i / 15 % 15, 'a' + i % 15);
        add(1, text);
    }
    out = merge();
    expect(&out, 1, "");
    expect(&out, count - 1, "<_>");
    count = 0;
    out = merge();
    assert_int_equal(out.count, 0);
}

static void memory_that_runs_out_is_said(void **state) {
    Arena *small = arena_new(4096, NULL);
    PatternClusters out;
    char text[64];

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "word%d other%d", i, i);
        add(1, text);
    }
    assert_false(pattern_merge(small, templates, count, &out));
    arena_free(small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(variables_that_belong_together_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_become_templates, setup, teardown),
        cmocka_unit_test_setup_teardown(rare_words_are_variables_and_frequent_ones_are_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(rare_messages_are_not_mixed_into_others, setup, teardown),
        cmocka_unit_test_setup_teardown(many_fields_of_few_values_do_not_multiply, setup, teardown),
        cmocka_unit_test_setup_teardown(the_order_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_templates_end, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_that_runs_out_is_said, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
