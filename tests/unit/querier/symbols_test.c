/* Strings as numbers, label sets as pairs of them; and when a query should stop. */
#include "querier/exec/symbols.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "querier/exec/series.h"
#include "tests/unit/unit.h"

static void the_first_two_are_known(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Symbols *symbols = symbols_new(arena);

    (void)state;
    assert_int_equal(symbols_count(symbols), 2);
    assert_int_equal(symbols_find(symbols, STR("")), SYMBOL_EMPTY);
    assert_int_equal(symbols_find(symbols, STR("__name__")), SYMBOL_NAME);
    assert_int_equal(symbols_add(symbols, STR("")), SYMBOL_EMPTY);
    assert_int_equal(symbols_find(symbols, STR("x")), SYMBOL_NONE);
}

static void a_string_has_one_id_and_an_id_one_string(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Symbols *symbols = symbols_new(arena);
    uint32_t ids[5000];
    char text[32];

    (void)state;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 5000; i++) {
            Str s = {text, (size_t)snprintf(text, sizeof text, "%u", i)};
            uint32_t id = symbols_add(symbols, s);

            if (round == 0) ids[i] = id;
            assert_int_equal(id, ids[i]);
            assert_int_equal(symbols_find(symbols, s), id);
            assert_true(str_equal(symbols_str(symbols, id), s));
        }
    assert_int_equal(symbols_count(symbols), 5002);
}

static void strings_may_hold_any_byte(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Symbols *symbols = symbols_new(arena);
    uint32_t a = symbols_add(symbols, STR("a\0b")), b = symbols_add(symbols, STR("a\0c"));

    (void)state;
    assert_int_not_equal(a, b);
    assert_int_not_equal(a, symbols_add(symbols, STR("a")));
    assert_int_equal(symbols_str(symbols, b).len, 3);
}

static void borrowed_bytes_are_not_copied_and_added_ones_are(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Symbols *symbols = symbols_new(arena);
    char mine[] = "mine", yours[] = "yours";
    uint32_t borrowed = symbols_add_borrowed(symbols, str_of(mine));
    uint32_t copied = symbols_add(symbols, str_of(yours));

    (void)state;
    assert_ptr_equal(symbols_str(symbols, borrowed).ptr, mine);
    memset(yours, 'x', 5);
    assert_true(str_equal(symbols_str(symbols, copied), STR("yours")));
}

static void running_out_of_budget_is_said(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(64 << 10, NULL);
    Symbols *symbols = symbols_new(arena);
    uint32_t id = 0;
    char text[32];

    (void)state;
    assert_null(symbols_new(NULL));
    assert_non_null(symbols);
    for (unsigned i = 0; id != SYMBOL_NONE; i++) {
        Str s = {text, (size_t)snprintf(text, sizeof text, "a symbol %u", i)};

        id = symbols_add(symbols, s);
        assert_true(i < 100000);
    }
    assert_int_equal(symbols_find(symbols, STR("a symbol 0")), 2); /* what is there stays */
}

/* ---- label sets ---- */

static LabelSet set_of(Symbols *symbols, Arena *arena, const char *const *words) {
    Label *labels = ARENA_ARRAY(arena, Label, 8);
    uint32_t count = 0;

    for (; words[2 * count] != NULL; count++)
        labels[count] = (Label){symbols_add(symbols, str_of(words[2 * count])),
                                symbols_add(symbols, str_of(words[2 * count + 1]))};
    return (LabelSet){labels, count};
}

#define SET(...) set_of(symbols, arena, (const char *const[]){__VA_ARGS__, NULL})

static void label_sets_are_compared_by_bytes(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Symbols *symbols = symbols_new(arena);
    LabelSet none = {0};
    /* Ids are made in another order than the bytes have. */
    LabelSet z = SET("z", "1"), a2 = SET("a", "2"), a1 = SET("a", "1"),
             a1z = SET("a", "1", "z", "1");

    (void)state;
    assert_true(label_set_compare(symbols, a1, a2) < 0);
    assert_true(label_set_compare(symbols, z, a2) > 0);
    assert_true(label_set_compare(symbols, a1, a1z) < 0);
    assert_true(label_set_compare(symbols, a1z, a2) < 0);
    assert_true(label_set_compare(symbols, none, a1) < 0);
    assert_int_equal(label_set_compare(symbols, a1z, SET("a", "1", "z", "1")), 0);
    assert_int_equal(label_set_compare(symbols, none, none), 0);
}

static void equal_sets_have_equal_hashes(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Symbols *symbols = symbols_new(arena);
    LabelSet one = SET("a", "1", "b", "2"), same = SET("a", "1", "b", "2");
    LabelSet swapped = SET("a", "2", "b", "1"), none = {0};

    (void)state;
    assert_true(label_set_equal(one, same));
    assert_true(label_set_hash(one) == label_set_hash(same));
    assert_false(label_set_equal(one, swapped));
    assert_true(label_set_hash(one) != label_set_hash(swapped));
    assert_true(label_set_equal(none, (LabelSet){one.labels, 0}));
    assert_false(label_set_equal(none, one));
}

static void a_label_that_is_not_there_is_empty(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Symbols *symbols = symbols_new(arena);
    LabelSet set = SET("__name__", "up", "job", "x");

    (void)state;
    assert_true(str_equal(symbols_str(symbols, label_set_get(set, SYMBOL_NAME)), STR("up")));
    assert_int_equal(label_set_get(set, symbols_add(symbols, STR("other"))), SYMBOL_EMPTY);
    assert_int_equal(label_set_get((LabelSet){0}, SYMBOL_NAME), SYMBOL_EMPTY);
}

/* ---- query_check ---- */

static void a_query_goes_on_until_it_is_cancelled_or_late(void **state) {
    QueryContext query;
    atomic_bool cancelled = false;
    Error err = {0};

    (void)state;
    memset(&query, 0, sizeof query);
    assert_ok(query_check(&query, &err), &err);
    query.cancelled = &cancelled;
    query.deadline_ns = clock_monotonic_ns(clock_system()) + UINT64_C(3600000000000);
    assert_ok(query_check(&query, &err), &err);
    query.deadline_ns = 1;
    assert_int_equal(query_check(&query, &err), ERR_TIMEOUT);
    atomic_store(&cancelled, true);
    assert_int_equal(query_check(&query, &err), ERR_CANCELLED); /* says more than being late */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_two_are_known),
        cmocka_unit_test(a_string_has_one_id_and_an_id_one_string),
        cmocka_unit_test(strings_may_hold_any_byte),
        cmocka_unit_test(borrowed_bytes_are_not_copied_and_added_ones_are),
        cmocka_unit_test(running_out_of_budget_is_said),
        cmocka_unit_test(label_sets_are_compared_by_bytes),
        cmocka_unit_test(equal_sets_have_equal_hashes),
        cmocka_unit_test(a_label_that_is_not_there_is_empty),
        cmocka_unit_test(a_query_goes_on_until_it_is_cancelled_or_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
