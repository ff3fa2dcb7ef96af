/* symbols_test.c: strings by number, and label sets of such numbers. */
#include <stdio.h>

#include "tests/unit/unit.h"

#include "querier/exec/symbols.h"

static Arena *arena;
static Symbols *symbols;

static void strings_keep_their_number(void **state) {
    char text[32];

    (void)state;
    assert_int_equal(symbols_add(symbols, STR("")), SYMBOL_EMPTY);
    assert_int_equal(symbols_add(symbols, STR("__name__")), SYMBOL_NAME);
    assert_int_equal(symbols_count(symbols), 2);
    for (uint32_t i = 0; i < 10000; i++) {
        Str s = {text, (size_t)snprintf(text, sizeof text, "value-%u", i)};

        assert_int_equal(symbols_find(symbols, s), SYMBOL_NONE);
        assert_int_equal(symbols_add(symbols, s), i + 2);
        assert_int_equal(symbols_add(symbols, s), i + 2);
    }
    for (uint32_t i = 0; i < 10000; i++) {
        Str s = {text, (size_t)snprintf(text, sizeof text, "value-%u", i)};

        assert_int_equal(symbols_find(symbols, s), i + 2);
        assert_true(str_equal(symbols_str(symbols, i + 2), s));
    }
    assert_int_equal(symbols_count(symbols), 10002);
}

static void added_strings_are_copied_and_borrowed_ones_are_not(void **state) {
    char copied[] = "copied", borrowed[] = "borrowed";
    uint32_t a = symbols_add(symbols, str_of(copied));
    uint32_t b = symbols_add_borrowed(symbols, str_of(borrowed));

    (void)state;
    memset(copied, 'x', 6);
    assert_true(str_equal(symbols_str(symbols, a), STR("copied")));
    assert_ptr_equal(symbols_str(symbols, b).ptr, borrowed);
}

static void any_bytes_are_strings(void **state) {
    uint32_t a = symbols_add(symbols, STR("a\0b")), b = symbols_add(symbols, STR("a\0c"));

    (void)state;
    assert_int_not_equal(a, b);
    assert_int_equal(symbols_find(symbols, STR("a\0b")), a);
    assert_int_equal(symbols_find(symbols, STR("a")), SYMBOL_NONE);
}

static void without_memory_nothing_is_added(void **state) {
    Arena *small = arena_new(KIB(16), NULL);
    Symbols *few = symbols_new(small);
    uint32_t last = 0, failures = 0;
    char text[32];

    (void)state;
    assert_non_null(few);
    /* Tries on after the first failure: the table must not fill up. */
    for (uint32_t i = 0; i < 5000; i++) {
        Str s = {text, (size_t)snprintf(text, sizeof text, "value-%u", i)};
        uint32_t id = symbols_add(few, s);

        if (id == SYMBOL_NONE) {
            failures++;
            assert_int_equal(symbols_find(few, s), SYMBOL_NONE);
        } else {
            last = id;
        }
    }
    assert_true(failures > 0 && last > 2);
    assert_int_equal(symbols_count(few), last + 1);
    arena_free(small);
    for (size_t bytes = 1; bytes < KIB(8); bytes += 64) {
        small = arena_new(bytes, NULL);
        (void)symbols_new(small);
        arena_free(small);
    }
}

static void label_sets_compare_by_bytes(void **state) {
    /* Ids in another order than the strings. */
    uint32_t z = symbols_add(symbols, STR("z")), b = symbols_add(symbols, STR("b"));
    uint32_t a = symbols_add(symbols, STR("a"));
    Label az[] = {{a, z}}, ba[] = {{b, a}}, ab[] = {{a, b}}, abz[] = {{a, b}, {z, z}};
    LabelSet set_az = {az, 1}, set_ba = {ba, 1}, set_ab = {ab, 1}, set_abz = {abz, 2};
    LabelSet none = {NULL, 0};

    (void)state;
    assert_true(label_set_compare(symbols, set_ab, set_az) < 0);
    assert_true(label_set_compare(symbols, set_az, set_ba) < 0);
    assert_true(label_set_compare(symbols, set_ab, set_abz) < 0);
    assert_true(label_set_compare(symbols, set_abz, set_az) < 0);
    assert_true(label_set_compare(symbols, none, set_ab) < 0);
    assert_int_equal(label_set_compare(symbols, set_ab, (LabelSet){abz, 1}), 0);
    assert_true(label_set_equal(set_ab, (LabelSet){abz, 1}) && label_set_equal(none, none));
    assert_false(label_set_equal(set_ab, set_abz));
    assert_int_equal(label_set_hash(set_ab), label_set_hash((LabelSet){abz, 1}));
    assert_int_equal(label_set_hash(none), label_set_hash((LabelSet){az, 0}));
    assert_int_equal(label_set_get(set_abz, z), z);
    assert_int_equal(label_set_get(set_abz, b), SYMBOL_EMPTY);
}

static int set_up(void **state) {
    (void)state;
    arena = arena_new(0, NULL);
    symbols = symbols_new(arena);
    return symbols == NULL;
}

static int tear_down(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(strings_keep_their_number),   TEST(added_strings_are_copied_and_borrowed_ones_are_not),
        TEST(any_bytes_are_strings),       TEST(without_memory_nothing_is_added),
        TEST(label_sets_compare_by_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
