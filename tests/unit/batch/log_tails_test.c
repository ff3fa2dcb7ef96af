/* The way of new log entries from lanes to tails. */
#include "common/batch/log_tails.h"

#include <pthread.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "tests/unit/unit.h"

enum { BYTES_MAX = 4096 };

static LogTails *tails;
static Arena *arena;
static Budget budget;

static int setup(void **state) {
    (void)state;
    budget_init(&budget, "tails", MIB(1), NULL);
    arena = arena_new(0, NULL);
    tails = log_tails_new();
    assert_non_null(tails);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    log_tails_free(tails);
    arena_free(arena);
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

static const Matcher *matcher(MatchOp op, const char *name, const char *value) {
    Matcher *made = ARENA_NEW(arena, Matcher);
    Error err;

    assert_ok(matcher_new(arena, op, str_of(name), str_of(value), made, &err), &err);
    return made;
}

static LogTail *open_tail(const char *tenant, const Matcher *one) {
    LogTail *tail = log_tail_open(tails, &(LogTailOptions){.tenant = str_of(tenant),
                                                           .matchers = one,
                                                           .matcher_count = one == NULL ? 0 : 1,
                                                           .bytes_max = BYTES_MAX,
                                                           .budget = &budget});

    assert_non_null(tail);
    return tail;
}

/* Entries of {app="<app>"}; `labels` must live until the stream was offered. */
static void offer(const char *tenant, const char *app, const char *const *lines, uint32_t count) {
    LabelPair pair = {STR("app"), str_of(app)};
    LogEntry entries[64] = {0};
    LogStream stream = {.entry_count = count};
    Buf labels;

    buf_init(&labels, 0);
    labels_encode((LabelPairs){&pair, 1}, &labels);
    stream.labels = buf_str(&labels);
    stream.id = logs_stream_id(1, stream.labels, 2);
    for (uint32_t i = 0; i < count; i++)
        entries[i] = (LogEntry){1000 + i, str_of(lines[i]), STR("")};
    log_tails_offer(tails, str_of(tenant), &stream, entries);
    buf_done(&labels);
}

static void offer_one(const char *tenant, const char *app, const char *line) {
    offer(tenant, app, &line, 1);
}

/* Takes one part and expects it to hold one line. */
static void expect_line(LogTail *tail, const char *line) {
    LogTailPart *part = log_tail_take(tail);

    assert_non_null(part);
    assert_null(part->next);
    assert_int_equal(part->count, 1);
    assert_false(part->is_dropped);
    assert_true(str_equal(part->entries[0].line, str_of(line)));
    assert_int_equal(part->entries[0].time_ns, 1000);
    log_tail_part_free(tail, part);
}

static void lanes_see_whether_anybody_tails(void **state) {
    LogTail *tail;

    (void)state;
    assert_false(log_tails_watched(NULL));
    assert_false(log_tails_watched(tails));
    tail = open_tail("t", NULL);
    assert_true(log_tails_watched(tails));
    log_tail_close(tail);
    assert_false(log_tails_watched(tails));
}

static void a_tail_gets_what_its_matchers_and_its_tenant_say(void **state) {
    LogTail *a = open_tail("t", matcher(MATCH_EQUAL, "app", "a"));
    LogTail *not_a = open_tail("t", matcher(MATCH_NOT_REGEX, "app", "a|x.*"));
    LogTail *absent = open_tail("t", matcher(MATCH_EQUAL, "pod", ""));
    LogTail *other = open_tail("u", NULL);

    (void)state;
    for (int round = 0; round < 2; round++) { /* found out, and known */
        offer_one("t", "a", "of a");
        expect_line(a, "of a");
        expect_line(absent, "of a");
        offer_one("t", "b", "of b");
        expect_line(not_a, "of b");
        expect_line(absent, "of b");
        assert_false(log_tail_has_news(a));
        assert_null(log_tail_take(a));
        assert_false(log_tail_has_news(other));
    }
    offer_one("u", "a", "of another");
    expect_line(other, "of another");
    assert_false(log_tail_has_news(a));
    log_tail_close(a);
    log_tail_close(not_a);
    log_tail_close(absent);
    log_tail_close(other);
}

static void parts_come_in_order_and_are_numbered(void **state) {
    static const char *const lines[] = {"one", "two", "three"};
    LogTail *tail = open_tail("t", NULL);
    LogTailPart *part, *next;
    uint64_t number = 0;

    (void)state;
    offer("t", "a", lines, 2);
    offer("t", "b", lines, 3);
    assert_int_equal(log_tail_next_number(tail), 2);
    part = log_tail_take(tail);
    for (; part != NULL; part = next) {
        next = part->next;
        assert_int_equal(part->number, number);
        assert_int_equal(part->count, 2 + number);
        for (size_t i = 0; i < part->count; i++)
            assert_true(str_equal(part->entries[i].line, str_of(lines[i])));
        number++;
        log_tail_part_free(tail, part);
    }
    assert_int_equal(number, 2);
    log_tail_close(tail);
}

static void a_full_queue_drops_and_tells(void **state) {
    LogTail *tail = open_tail("t", NULL);
    char line[1000];
    LogTailPart *part, *next;
    size_t kept = 0, told = 0;

    (void)state;
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    for (int i = 0; i < 3 * LOG_TAIL_DROPPED_MAX; i++) offer_one("t", "a", line);
    for (part = log_tail_take(tail); part != NULL; part = next) {
        next = part->next;
        if (part->is_dropped)
            told += part->count;
        else
            kept += part->count;
        assert_int_equal(part->entries[0].line.len, part->is_dropped ? 0 : sizeof line - 1);
        log_tail_part_free(tail, part);
    }
    assert_in_range(kept, 1, BYTES_MAX / sizeof line);
    assert_in_range(told, 1, LOG_TAIL_DROPPED_MAX);
    assert_int_equal(log_tail_dropped(tail), 3 * LOG_TAIL_DROPPED_MAX - kept);
    /* Once taken, there is room again. */
    offer_one("t", "a", "room");
    expect_line(tail, "room");
    log_tail_close(tail);
}

static void no_budget_is_a_full_queue(void **state) {
    LogTail *tail = open_tail("t", NULL);

    (void)state;
    assert_true(budget_take(&budget, MIB(1)));
    offer_one("t", "a", "lost");
    assert_int_equal(log_tail_dropped(tail), 1);
    assert_null(log_tail_take(tail));
    budget_give(&budget, MIB(1));
    offer_one("t", "a", "kept");
    expect_line(tail, "kept");
    log_tail_close(tail);
}

static void what_is_not_taken_goes_with_the_tail(void **state) {
    LogTail *tail = open_tail("t", NULL);

    (void)state;
    offer_one("t", "a", "left");
    assert_true(budget_used(&budget) > 0);
    log_tail_close(tail);
    assert_int_equal(budget_used(&budget), 0);
}

static void more_streams_than_are_remembered_are_matched_all_the_same(void **state) {
    LogTail *tail = open_tail("t", matcher(MATCH_REGEX, "app", ".*7"));
    char app[16];

    (void)state;
    for (int i = 0; i < 70000; i++) {
        snprintf(app, sizeof app, "%d", i);
        offer_one("t", app, app);
        if (i % 10 == 7)
            expect_line(tail, app);
        else if (log_tail_has_news(tail))
            fail_msg("%s is not wanted", app);
    }
    log_tail_close(tail);
}

/* ---------- threads ---------- */

static void *offer_many(void *what) {
    for (int i = 0; i < 2000; i++) offer_one("t", what, "line");
    return NULL;
}

static void lanes_and_tails_may_come_and_go_at_once(void **state) {
    static char apps[4][2] = {"a", "b", "c", "d"};
    LogTail *tail = open_tail("t", matcher(MATCH_EQUAL, "app", "a"));
    pthread_t threads[4];
    uint64_t got = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, offer_many, apps[i]), 0);
    while (got + log_tail_dropped(tail) < 2000) {
        LogTail *brief = open_tail("t", NULL);
        LogTailPart *part, *next;

        for (part = log_tail_take(tail); part != NULL; part = next) {
            next = part->next;
            if (!part->is_dropped) got += part->count;
            log_tail_part_free(tail, part);
        }
        log_tail_close(brief);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(got + log_tail_dropped(tail), 2000);
    log_tail_close(tail);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_see_whether_anybody_tails),
        cmocka_unit_test(a_tail_gets_what_its_matchers_and_its_tenant_say),
        cmocka_unit_test(parts_come_in_order_and_are_numbered),
        cmocka_unit_test(a_full_queue_drops_and_tells),
        cmocka_unit_test(no_budget_is_a_full_queue),
        cmocka_unit_test(what_is_not_taken_goes_with_the_tail),
        cmocka_unit_test(more_streams_than_are_remembered_are_matched_all_the_same),
        cmocka_unit_test(lanes_and_tails_may_come_and_go_at_once),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
