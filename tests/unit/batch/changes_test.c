/* What changes.h promises. */
#include "common/batch/changes.h"

#include <pthread.h>

#include "tests/unit/unit.h"

static const Str a = {"a", 1}, b = {"b", 1};

static bool touched(Changes *changes, Str tenant, uint64_t mark, int64_t time_ms) {
    ChangedRange ranges[CHANGES_RANGES_MAX];
    size_t count = changes_since(changes, tenant, mark, ranges);

    for (size_t i = 0; i < count; i++)
        if (ranges[i].min_ms <= time_ms && time_ms <= ranges[i].max_ms) return true;
    return false;
}

static void what_was_noted_after_the_mark_is_told(void **state) {
    CLEANUP(changes_free) Changes *changes = changes_new();
    uint64_t before = changes_mark(changes), between;

    (void)state;
    changes_note(changes, a, 1000, 2000);
    between = changes_mark(changes);
    assert_true(between > before);
    assert_true(touched(changes, a, before, 1000));
    assert_true(touched(changes, a, before, 2000));
    assert_false(touched(changes, a, before, 999));
    assert_false(touched(changes, a, before, 2001));
    assert_false(touched(changes, a, between, 1500));
    changes_note(changes, a, 1500, 1500);
    assert_true(touched(changes, a, between, 1500));
}

static void a_tenant_is_not_told_of_others(void **state) {
    CLEANUP(changes_free) Changes *changes = changes_new();

    (void)state;
    changes_note(changes, a, 1000, 2000);
    assert_int_not_equal(changes_slot(a), changes_slot(b));
    assert_false(touched(changes, b, 0, 1500));
}

static void everything_may_have_changed(void **state) {
    CLEANUP(changes_free) Changes *changes = changes_new();
    uint64_t mark = changes_mark(changes);

    (void)state;
    changes_note_all(changes);
    assert_true(touched(changes, a, mark, INT64_MIN));
    assert_true(touched(changes, b, mark, INT64_MAX));
    assert_false(touched(changes, a, changes_mark(changes), 0));
}

/* Samples of the last seconds, again and again, beside data of days ago. */
static void what_arrives_as_it_is_made_leaves_the_past_alone(void **state) {
    CLEANUP(changes_free) Changes *changes = changes_new();
    int64_t now = INT64_C(1700000000000), day = 86400000;
    uint64_t mark = 0;

    (void)state;
    for (int i = 0; i < 100000; i++, now += 1000) {
        changes_note(changes, a, now - 20000, now);
        if (i % 100 == 0) changes_note(changes, a, now - 3 * day, now - 3 * day + 500);
        if (i == 99000) mark = changes_mark(changes);
    }
    assert_true(touched(changes, a, mark, now - 1000));
    assert_true(touched(changes, a, mark, now - 3 * day - 99800));
    assert_false(touched(changes, a, mark, now - 30 * 60000));
    assert_false(touched(changes, a, mark, now - 2 * day));
    assert_false(touched(changes, a, mark, now - 4 * day));
}

/* Against a list of all notes: never too little, whatever comes. */
static void no_note_is_ever_forgotten(void **state) {
    CLEANUP(changes_free) Changes *changes = changes_new();
    enum { NOTES = 3000 };
    static ChangedRange notes[NOTES];
    static uint64_t marks[NOTES];
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (int i = 0; i < NOTES; i++) {
        int64_t min, max;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        min = i % 97 == 0 ? INT64_MIN + i : (int64_t)(seed % 1000000000) - 500000000;
        max = i % 89 == 0 ? INT64_MAX - i : min + (int64_t)(seed >> 40) % 3000000;
        marks[i] = changes_mark(changes);
        notes[i] = (ChangedRange){min, max};
        changes_note(changes, a, min, max);
        for (int k = i; k >= 0 && k > i - 200; k -= 1 + k % 7) {
            assert_true(touched(changes, a, marks[k], notes[k].min_ms));
            assert_true(touched(changes, a, marks[k], notes[k].max_ms));
            assert_true(touched(changes, a, marks[k], min));
        }
    }
}

static void *note_many(void *context) {
    for (int i = 0; i < 20000; i++) changes_note(context, a, i * 1000, i * 1000 + 5);
    return NULL;
}

/* Who has a mark and then asks is told of every later note, also of those on their way. */
static void threads_note_side_by_side(void **state) {
    CLEANUP(changes_free) Changes *changes = changes_new();
    pthread_t threads[3];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, changes), 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t mark = changes_mark(changes);

        changes_note(changes, a, -5000 - i, -5000 - i);
        assert_true(touched(changes, a, mark, -5000 - i));
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) pthread_join(threads[i], NULL);
    assert_int_equal(changes_mark(changes), 3 * 20000 + 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_noted_after_the_mark_is_told),
        cmocka_unit_test(a_tenant_is_not_told_of_others),
        cmocka_unit_test(everything_may_have_changed),
        cmocka_unit_test(what_arrives_as_it_is_made_leaves_the_past_alone),
        cmocka_unit_test(no_note_is_ever_forgotten),
        cmocka_unit_test(threads_note_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
