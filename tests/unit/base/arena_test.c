/* What arena.h promises. */
#include "common/base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void an_allocation_is_aligned_to_16_whatever_came_before(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t odd = 1; odd < 40; odd++) {
        assert_non_null(arena_alloc_bytes(arena, odd));
        assert_int_equal((uintptr_t)arena_alloc(arena, odd) % 16, 0);
    }
}

static void zeroed_memory_is_zero_also_after_a_reset(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    static const char zeros[3000];

    (void)state;
    for (int round = 0; round < 2; round++) {
        char *at = arena_zalloc(arena, sizeof zeros);

        assert_memory_equal(at, zeros, sizeof zeros);
        memset(at, 0xab, sizeof zeros);
        arena_reset(arena);
    }
}

static void allocations_of_all_sizes_do_not_overlap(void **state) {
    enum { COUNT = 400 };
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    unsigned char *at[COUNT];
    size_t bytes[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        bytes[i] = i % 50 == 49 ? i * 3000 : i * 7 % 97;
        at[i] = i % 2 ? arena_alloc(arena, bytes[i]) : arena_alloc_bytes(arena, bytes[i]);
        assert_non_null(at[i]);
        memset(at[i], (int)(i & 0xff), bytes[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t b = 0; b < bytes[i]; b++) assert_int_equal(at[i][b], i & 0xff);
}

static void the_newest_allocation_grows_in_place(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char *text = arena_alloc(arena, 10);

    (void)state;
    memcpy(text, "0123456789", 10);
    assert_ptr_equal(arena_grow(arena, text, 10, 500), text);
    assert_memory_equal(text, "0123456789", 10);
}

/* Text of 3 bytes, then of 13: both end where one that is aligned to 16 would. */
static void growing_what_is_not_the_newest_leaves_its_neighbour_alone(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char *old, *neighbour, *grown;

    (void)state;
    assert_non_null(arena_alloc(arena, 16));
    old = arena_alloc_bytes(arena, 3);
    memcpy(old, "abc", 3);
    neighbour = arena_alloc_bytes(arena, 13);
    memcpy(neighbour, "not yours to!", 13);
    grown = arena_grow(arena, old, 3, 20);
    assert_ptr_not_equal(grown, old);
    memset(grown + 3, 'x', 17);
    assert_memory_equal(grown, "abc", 3);
    assert_memory_equal(neighbour, "not yours to!", 13);
}

static void growing_what_held_nothing_shares_no_memory(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    char *empty = arena_alloc_bytes(arena, 0);
    char *text = arena_alloc_bytes(arena, 4);
    char *grown;

    (void)state;
    memcpy(text, "text", 4);
    grown = arena_grow(arena, empty, 0, 8);
    memset(grown, 'x', 8);
    assert_memory_equal(text, "text", 4);
}

static void growing_past_a_block_keeps_the_bytes(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    unsigned char *at = NULL;
    size_t bytes = 0;

    (void)state;
    for (size_t next = 1; next < MIB(3); next *= 3) {
        at = arena_grow(arena, at, bytes, next);
        assert_non_null(at);
        memset(at + bytes, 0x5a, next - bytes);
        bytes = next;
    }
    for (size_t i = 0; i < bytes; i++) assert_int_equal(at[i], 0x5a);
}

static void sizes_that_would_overflow_are_refused(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t less = 0; less < 8192; less += 13) {
        assert_null(arena_alloc_bytes(arena, SIZE_MAX - less));
        assert_null(arena_alloc(arena, SIZE_MAX - less));
        assert_null(arena_grow(arena, NULL, 0, SIZE_MAX - less));
    }
    assert_null(arena_array(arena, SIZE_MAX / 2, 3));
    assert_int_equal(arena_used(arena), 0);
}

static void running_out_returns_null_and_a_null_arena_does_too(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(KIB(64), NULL);

    (void)state;
    assert_null(arena_alloc(arena, KIB(65)));
    assert_non_null(arena_alloc(arena, KIB(32)));
    assert_null(arena_alloc(NULL, 1));
    assert_null(arena_alloc_bytes(NULL, 1));
    assert_null(arena_array(NULL, 1, 1));
    assert_null(arena_grow(NULL, NULL, 0, 1));
}

static void nearly_all_of_the_limit_can_be_used(void **state) {
    size_t limit = KIB(1000), got = 0;
    CLEANUP(arena_free) Arena *arena = arena_new(limit, NULL);

    (void)state;
    while (arena_alloc(arena, 1000) != NULL) got += 1000;
    assert_true(got > limit * 9 / 10);
    assert_true(arena_held(arena) <= limit);
    assert_true(arena_used(arena) >= got && arena_used(arena) <= arena_held(arena));
}

static void the_budget_is_charged_per_block_and_gets_all_back(void **state) {
    Budget budget;
    Arena *arena;

    (void)state;
    budget_init(&budget, "test", MIB(1), NULL);
    arena = arena_new(0, &budget);
    assert_ptr_equal(arena_budget(arena), &budget);
    assert_null(arena_alloc(arena, MIB(2)));
    while (arena_alloc(arena, 5000) != NULL)
        assert_int_equal(budget_used(&budget), arena_held(arena));
    assert_null(arena_zalloc(arena, 5000));
    arena_free(arena);
    assert_int_equal(budget_used(&budget), 0);
}

static void a_reset_keeps_one_block_for_the_next_round(void **state) {
    Budget budget;
    CLEANUP(arena_free) Arena *arena = NULL;
    size_t kept;

    (void)state;
    budget_init(&budget, "test", 0, NULL);
    arena = arena_new(0, &budget);
    for (int i = 0; i < 100; i++) assert_non_null(arena_alloc(arena, 1000));
    assert_non_null(arena_alloc(arena, MIB(8)));
    arena_reset(arena);
    kept = arena_held(arena);
    assert_in_range(kept, 1, MIB(1));
    assert_int_equal(budget_used(&budget), kept);
    assert_int_equal(arena_used(arena), 0);
    assert_non_null(arena_alloc(arena, 1000));
    assert_int_equal(arena_held(arena), kept);
}

static void a_reset_holds_on_to_what_it_was_told_to_keep(void **state) {
    Budget budget;
    CLEANUP(arena_free) Arena *arena = NULL;
    size_t kept;

    (void)state;
    budget_init(&budget, "test", MIB(12), NULL);
    arena = arena_new(0, &budget);
    arena_keep(arena, MIB(3));
    for (int round = 0; round < 3; round++) {
        char *at = arena_alloc(arena, MIB(2));

        assert_non_null(at);
        memset(at, round, MIB(2));
        assert_non_null(arena_alloc(arena, MIB(8)));
        arena_reset(arena);
        kept = arena_held(arena);
        assert_in_range(kept, MIB(2), MIB(4));
        assert_int_equal(budget_used(&budget), kept);
        assert_int_equal(arena_used(arena), 0);
    }
    /* There is room for this only when what was kept goes. */
    assert_non_null(arena_alloc(arena, MIB(11)));
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, MIB(2)));
    arena_reset(arena);
    arena_keep(arena, 0);
    assert_in_range(arena_held(arena), 0, MIB(1));
    assert_int_equal(budget_used(&budget), arena_held(arena));
}

static char order[8];

static void note(void *what) {
    strcat(order, what);
}

static void guests_are_released_newest_first_and_once(void **state) {
    Arena *arena = arena_new(0, NULL);

    (void)state;
    order[0] = '\0';
    assert_true(arena_on_free(arena, note, "a"));
    assert_true(arena_on_free(arena, note, "b"));
    arena_reset(arena);
    assert_string_equal(order, "ba");
    assert_true(arena_on_free(arena, note, "c"));
    arena_free(arena);
    assert_string_equal(order, "bac");
}

static void a_guest_without_room_is_not_registered(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(1, NULL);

    (void)state;
    order[0] = '\0';
    assert_false(arena_on_free(arena, note, "a"));
    assert_false(arena_on_free(NULL, note, "a"));
    arena_reset(arena);
    assert_string_equal(order, "");
}

static void freeing_null_is_fine(void **state) {
    (void)state;
    arena_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_is_aligned_to_16_whatever_came_before),
        cmocka_unit_test(zeroed_memory_is_zero_also_after_a_reset),
        cmocka_unit_test(allocations_of_all_sizes_do_not_overlap),
        cmocka_unit_test(the_newest_allocation_grows_in_place),
        cmocka_unit_test(growing_what_is_not_the_newest_leaves_its_neighbour_alone),
        cmocka_unit_test(growing_what_held_nothing_shares_no_memory),
        cmocka_unit_test(growing_past_a_block_keeps_the_bytes),
        cmocka_unit_test(sizes_that_would_overflow_are_refused),
        cmocka_unit_test(running_out_returns_null_and_a_null_arena_does_too),
        cmocka_unit_test(nearly_all_of_the_limit_can_be_used),
        cmocka_unit_test(the_budget_is_charged_per_block_and_gets_all_back),
        cmocka_unit_test(a_reset_keeps_one_block_for_the_next_round),
        cmocka_unit_test(a_reset_holds_on_to_what_it_was_told_to_keep),
        cmocka_unit_test(guests_are_released_newest_first_and_once),
        cmocka_unit_test(a_guest_without_room_is_not_registered),
        cmocka_unit_test(freeing_null_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
