/* What stream_retention.h promises: which rule holds, and that the same rules are the same. */
#include "tests/unit/unit.h"

#include <string.h>

#include "common/tenant/stream_retention.h"

/* "name=value" */
static ErrCode parse_one(Arena *arena, Str selector, const Matcher **out, size_t *count,
                         Error *err) {
    Matcher *matcher = ARENA_NEW(arena, Matcher);
    Str name, value;

    if (!str_cut(selector, '=', &name, &value))
        return error_set(err, ERR_INVALID, "\"" STR_FMT "\" is no selector", STR_ARG(selector));
    *out = matcher;
    *count = 1;
    return matcher_new(arena, MATCH_EQUAL, name, value, matcher, err);
}

static StreamRetention rule(const char *selector, int64_t priority, int64_t period_ms) {
    return (StreamRetention){
        .selector = str_of(selector), .priority = priority, .period_ms = period_ms};
}

static int64_t period_of(const StreamRetentions *rules, const char *a, const char *b) {
    LabelPair pairs[] = {{STR("a"), str_of(a)}, {STR("b"), str_of(b)}};

    return stream_retention_of(rules, (LabelPairs){pairs, 2}, 1000);
}

static void the_highest_priority_holds_then_the_shortest_period(void **state) {
    StreamRetention list[] = {rule("a=1", 0, 50), rule("b=1", 0, 20), rule("b=2", 5, 900),
                              rule("a=2", -1, 5), rule("a=3", 5, 4000)};
    const StreamRetentions *rules;
    Error err = {0};

    (void)state;
    assert_ok(stream_retentions_keep(list, ARRAY_LEN(list), parse_one, &rules, &err), &err);
    assert_int_equal(period_of(rules, "1", "x"), 50);
    assert_int_equal(period_of(rules, "1", "1"), 20);
    assert_int_equal(period_of(rules, "1", "2"), 900);
    assert_int_equal(period_of(rules, "2", "1"), 20);
    assert_int_equal(period_of(rules, "2", "x"), 5);
    assert_int_equal(period_of(rules, "3", "2"), 900);
    assert_int_equal(period_of(rules, "3", ""), 4000);
    assert_int_equal(period_of(rules, "x", "x"), 1000);
    assert_int_equal(period_of(NULL, "1", "1"), 1000);
    assert_int_equal(stream_retention_longest(rules, 1000), 4000);
    assert_int_equal(stream_retention_longest(rules, 5000), 5000);
    assert_int_equal(stream_retention_longest(rules, 0), 0); /* the others stay for good */
    assert_int_equal(stream_retention_longest(NULL, 7), 7);
    assert_int_equal(stream_retention_shortest(rules, 1000), 5);
    assert_int_equal(stream_retention_shortest(rules, 3), 3);
    assert_int_equal(stream_retention_shortest(rules, 0), 5);
    assert_int_equal(stream_retention_shortest(NULL, 0), 0);
}

static void the_same_rules_are_kept_once(void **state) {
    StreamRetention one[] = {rule("a=1", 0, 50), rule("b=1", 0, 20)};
    StreamRetention other[] = {rule("a=1", 0, 50), rule("b=1", 0, 21)};
    char selector[] = "a=1";
    const StreamRetentions *first, *second, *third;
    Error err = {0};

    (void)state;
    one[0].selector = str_of(selector);
    assert_ok(stream_retentions_keep(one, 2, parse_one, &first, &err), &err);
    memset(selector, 'x', 3); /* copied */
    one[0].selector = STR("a=1");
    assert_ok(stream_retentions_keep(one, 2, parse_one, &second, &err), &err);
    assert_ok(stream_retentions_keep(other, 2, parse_one, &third, &err), &err);
    assert_ptr_equal(first, second);
    assert_ptr_not_equal(first, third);
    assert_int_equal(period_of(first, "1", "x"), 50);
    assert_ok(stream_retentions_keep(one, 0, parse_one, &first, &err), &err);
    assert_null(first);
}

static void rules_that_are_wrong_are_refused_by_number(void **state) {
    StreamRetention rules[] = {rule("a=1", 0, 50), rule("none", 0, 20)};
    const StreamRetentions *kept;
    Error err = {0};

    (void)state;
    assert_int_equal(stream_retentions_keep(rules, 2, parse_one, &kept, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "retention.log_streams.1.selector"));
    rules[1] = rule("", 0, 20);
    assert_int_equal(stream_retentions_keep(rules, 2, parse_one, &kept, &err), ERR_INVALID);
    rules[1] = rule("a=1", 0, 0);
    assert_int_equal(stream_retentions_keep(rules, 2, parse_one, &kept, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "retention.log_streams.1:"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_priority_holds_then_the_shortest_period),
        cmocka_unit_test(the_same_rules_are_kept_once),
        cmocka_unit_test(rules_that_are_wrong_are_refused_by_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
