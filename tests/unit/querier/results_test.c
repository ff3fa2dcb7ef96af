/* What results.h and extent.h promise, with results made of literals. */
#include "querier/cache/results.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

/* Longer than what Changes tells apart. */
enum { STEP = 600000, STEPS = 100 };

static const Str tenants[] = {{"a", 1}, {"b", 1}};

typedef struct World {
    Arena *arena;
    Symbols *symbols;
    Budget parent;
    Changes *changes;
    ResultCache *cache;
} World;

static World world_make(size_t bytes) {
    World world = {.arena = arena_new(0, NULL), .changes = changes_new()};
    ResultCacheOptions options = {.bytes_max = bytes, .changes = world.changes};

    world.symbols = symbols_new(world.arena);
    world.cache = result_cache_new(&options);
    assert_non_null(world.cache);
    return world;
}

static void world_done(World *world) {
    result_cache_free(world->cache);
    changes_free(world->changes);
    arena_free(world->arena);
}

static ResultKey key_of(Str text, size_t tenant) {
    return (ResultKey){.text = text,
                       .hash = 7, /* all collide: texts tell them apart */
                       .tenants = &tenants[tenant],
                       .tenant_count = 1,
                       .step_ms = STEP,
                       .window = {.back_ms = 5 * STEP, .ahead_ms = 2 * STEP}};
}

/* `count` series {i="..."} whose value at step s is s; of every third only even steps. */
static PromqlResult result_of(World *world, size_t count, size_t steps) {
    PromqlResult result = {.type = PROMQL_TYPE_MATRIX};
    int64_t *times = ARENA_ARRAY(world->arena, int64_t, steps);

    result.series = ARENA_ARRAY(world->arena, PromqlSeries, count);
    result.series_count = count;
    for (size_t s = 0; s < steps; s++) times[s] = (int64_t)s * STEP;
    for (size_t i = 0; i < count; i++) {
        Label *label = ARENA_NEW(world->arena, Label);
        double *values = ARENA_ARRAY(world->arena, double, steps);
        uint64_t *present = ARENA_ARRAY(world->arena, uint64_t, steps / 64 + 1);
        char text[32];

        snprintf(text, sizeof text, "%05zu", i);
        label->name = symbols_add(world->symbols, STR("i"));
        label->value = symbols_add(world->symbols, str_of(text));
        for (size_t s = 0; s < steps; s++) {
            values[s] = (double)s;
            if (i % 3 != 2 || s % 2 == 0) present[s / 64] |= UINT64_C(1) << (s % 64);
        }
        result.series[i] = (PromqlSeries){.labels = {label, 1},
                                          .times = times,
                                          .values = values,
                                          .present = present,
                                          .count = steps};
    }
    return result;
}

static void put(World *world, const ResultKey *key, uint64_t mark, const PromqlResult *result,
                size_t from, size_t steps) {
    ResultSteps what = {result, world->symbols,       from,
                        steps,  (int64_t)from * STEP, STR_INIT("notes")};
    CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);

    result_cache_put(world->cache, key, mark, &what, scratch);
}

/* "from..last" of what is known, by times in steps; "" when nothing is. */
static const char *known(World *world, const ResultKey *key, int64_t first, int64_t last) {
    static char text[64];
    CachedSteps steps = result_cache_get(world->cache, key, changes_mark(world->changes),
                                         first * STEP, last * STEP);

    text[0] = '\0';
    if (steps.extent != NULL)
        snprintf(text, sizeof text, "%lld..%lld", (long long)steps.first_ms / STEP,
                 (long long)steps.first_ms / STEP + (long long)steps.steps - 1);
    extent_unref(steps.extent);
    return text;
}

static void what_was_put_comes_back(void **state) {
    World world = world_make(MIB(1));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 5, STEPS);
    Symbols *symbols = symbols_new(world.arena);
    CachedSteps steps;
    LabelSet *labels;

    (void)state;
    put(&world, &key, 0, &result, 10, 80);
    assert_string_equal(known(&world, &key, 0, 99), "10..89");
    assert_string_equal(known(&world, &key, 20, 30), "20..30");
    assert_string_equal(known(&world, &key, 90, 99), "");
    steps = result_cache_get(world.cache, &key, 0, 21 * STEP - 1, 60 * STEP + 1);
    assert_int_equal(steps.from, 11);
    assert_int_equal(steps.steps, 40);
    assert_int_equal(extent_series(steps.extent), 5);
    assert_true(extent_labels(steps.extent, symbols, world.arena, &labels));
    for (size_t i = 0; i < 5; i++) {
        double values[80] = {0};
        uint64_t present[2] = {0};

        assert_true(str_equal(symbols_str(symbols, labels[i].labels[0].value),
                              symbols_str(world.symbols, result.series[i].labels.labels[0].value)));
        assert_true(extent_read(steps.extent, i, 11, 40, 30, values, present, NULL));
        for (size_t s = 0; s < 80; s++) {
            bool there = s >= 30 && s < 70 && (i % 3 != 2 || (s - 9) % 2 == 0);

            assert_int_equal(present[s / 64] >> (s % 64) & 1, there);
            if (there) assert_true(values[s] == (double)(s - 9));
        }
    }
    /* It outlives its being dropped. */
    result_cache_drop(world.cache, &key);
    assert_string_equal(known(&world, &key, 0, 99), "");
    assert_true(result_cache_bytes(world.cache) > 0);
    assert_int_equal(extent_steps(steps.extent), 80);
    assert_true(str_equal(extent_notes(steps.extent), STR("notes")));
    extent_unref(steps.extent);
    assert_int_equal(result_cache_bytes(world.cache), 0);
    world_done(&world);
}

static void histograms_come_back(void **state) {
    World world = world_make(MIB(1));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 1, STEPS);
    int32_t index[] = {1, 4};
    double counts[] = {2, 3}, bounds[] = {1, 2};
    Hist hist = {.schema = HISTOGRAM_SCHEMA_CUSTOM,
                 .count = 5,
                 .sum = 8,
                 .positive = {index, counts, 2},
                 .bounds = bounds,
                 .bound_count = 2},
         other = hist;
    const Hist **hists = ARENA_ARRAY(world.arena, const Hist *, STEPS), *read[STEPS] = {0};
    uint64_t *present = ARENA_ARRAY(world.arena, uint64_t, 2), bits[2] = {0};
    CachedSteps steps;
    double values[STEPS];

    (void)state;
    other.sum = 9;
    for (size_t s = 20; s < 60; s++) hists[s] = s < 40 ? &hist : &other;
    result.series[0].histograms = hists;
    result.series[0].present = present;
    put(&world, &key, 0, &result, 0, STEPS);
    steps = result_cache_get(world.cache, &key, 0, 0, STEPS * STEP);
    assert_int_equal(steps.steps, STEPS);
    assert_true(extent_has_hists(steps.extent, 0));
    assert_true(extent_read(steps.extent, 0, 0, STEPS, 0, values, bits, read));
    for (size_t s = 0; s < STEPS; s++) {
        assert_int_equal(read[s] != NULL, s >= 20 && s < 60);
        if (read[s] != NULL) assert_true(hist_equal(read[s], hists[s]) && read[s] != hists[s]);
    }
    /* One copy of a sample that counts at many steps. */
    assert_ptr_equal(read[20], read[39]);
    assert_false(extent_read(steps.extent, 0, 0, 20, 0, values, bits, read));
    extent_unref(steps.extent);
    world_done(&world);
}

static void late_data_takes_the_steps_that_look_at_it(void **state) {
    World world = world_make(MIB(1));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 3, STEPS);

    (void)state;
    put(&world, &key, 0, &result, 0, STEPS);
    /* Five steps after it and two before it depend on a sample. */
    changes_note(world.changes, tenants[0], 80 * STEP, 80 * STEP);
    assert_string_equal(known(&world, &key, 0, 99), "0..77");
    changes_note(world.changes, tenants[0], 10 * STEP + 1, 10 * STEP + 1);
    assert_string_equal(known(&world, &key, 0, 99), "16..77");
    changes_note(world.changes, tenants[1], 50 * STEP, 50 * STEP);
    changes_note(world.changes, tenants[0], 10 * STEP, 10 * STEP + 999);
    changes_note(world.changes, tenants[0], 90 * STEP, 900 * STEP);
    assert_string_equal(known(&world, &key, 0, 99), "16..77");
    changes_note(world.changes, tenants[0], 40 * STEP, 41 * STEP);
    assert_string_equal(known(&world, &key, 0, 99), "47..77");
    changes_note(world.changes, tenants[0], INT64_MIN, INT64_MAX);
    assert_string_equal(known(&world, &key, 0, 99), "");
    assert_int_equal(result_cache_bytes(world.cache), 0);
    world_done(&world);
}

/* A write noted between the mark and the putting was perhaps not seen. */
static void what_was_written_during_an_evaluation_is_not_trusted(void **state) {
    World world = world_make(MIB(1));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 3, STEPS);
    uint64_t mark = changes_mark(world.changes);

    (void)state;
    changes_note(world.changes, tenants[0], 30 * STEP, 30 * STEP);
    put(&world, &key, mark, &result, 0, STEPS);
    assert_string_equal(known(&world, &key, 0, 99), "36..99");
    put(&world, &key, changes_mark(world.changes), &result, 0, STEPS);
    assert_string_equal(known(&world, &key, 0, 99), "0..99");
    world_done(&world);
}

static void a_fixed_time_takes_everything_with_it(void **state) {
    World world = world_make(MIB(1));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 3, STEPS);

    (void)state;
    key.window.has_fixed = true;
    key.window.fixed_min_ms = -9 * STEP;
    key.window.fixed_max_ms = -8 * STEP;
    put(&world, &key, 0, &result, 0, STEPS);
    changes_note(world.changes, tenants[0], -10 * STEP, -9 * STEP - 1);
    assert_string_equal(known(&world, &key, 0, 99), "0..99");
    changes_note(world.changes, tenants[0], -8 * STEP, -8 * STEP);
    assert_string_equal(known(&world, &key, 0, 99), "");
    world_done(&world);
}

static void the_longest_run_of_several_is_used(void **state) {
    World world = world_make(MIB(1));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 3, STEPS);

    (void)state;
    put(&world, &key, 0, &result, 0, 20);
    put(&world, &key, 0, &result, 40, 30);
    put(&world, &key, 0, &result, 90, 5);
    assert_string_equal(known(&world, &key, 0, 99), "40..69");
    assert_string_equal(known(&world, &key, 10, 41), "10..19");
    /* One that covers others replaces them; the one used longest ago goes when there are many. */
    put(&world, &key, 0, &result, 30, 50);
    assert_string_equal(known(&world, &key, 0, 99), "30..79");
    for (size_t i = 0; i < 4; i++) put(&world, &key, 0, &result, 80 + 4 * i, 4);
    assert_string_equal(known(&world, &key, 0, 20), "");
    assert_string_equal(known(&world, &key, 80, 83), "80..83");
    world_done(&world);
}

static void keys_are_told_apart_by_their_texts(void **state) {
    World world = world_make(MIB(1));
    ResultKey one = key_of(STR("one"), 0), two = key_of(STR("two"), 0);
    PromqlResult result = result_of(&world, 3, STEPS);

    (void)state;
    put(&world, &one, 0, &result, 0, 10);
    put(&world, &two, 0, &result, 5, 10);
    assert_string_equal(known(&world, &one, 0, 99), "0..9");
    assert_string_equal(known(&world, &two, 0, 99), "5..14");
    world_done(&world);
}

static void the_budget_holds_and_the_least_used_go(void **state) {
    World world = world_make(KIB(64));
    PromqlResult result = result_of(&world, 5, STEPS);
    char texts[64][32];

    (void)state;
    for (size_t i = 0; i < 64; i++) {
        ResultKey key = key_of(STR(""), 0), first = key_of(STR("q0"), 0);

        snprintf(texts[i], sizeof texts[i], "q%zu", i);
        key.text = str_of(texts[i]);
        put(&world, &key, 0, &result, 0, STEPS);
        assert_string_equal(known(&world, &key, 0, 99), "0..99");
        /* Used all the time, so it stays. */
        assert_string_equal(known(&world, &first, 0, 99), "0..99");
        assert_true(result_cache_bytes(world.cache) <= KIB(64));
    }
    assert_true(result_cache_bytes(world.cache) > KIB(32));
    assert_string_equal(known(&world, &(ResultKey){.text = STR("q1"), .hash = 7}, 0, 99), "");
    world_done(&world);
}

static void a_tenant_with_more_than_half_makes_room_itself(void **state) {
    World world = world_make(KIB(64));
    PromqlResult result = result_of(&world, 5, STEPS);
    ResultKey quiet = key_of(STR("quiet"), 1);

    (void)state;
    put(&world, &quiet, 0, &result, 0, STEPS);
    for (size_t i = 0; i < 200; i++) {
        ResultKey key = key_of(STR(""), 0);
        char text[32];

        snprintf(text, sizeof text, "noisy %zu", i);
        key.text = str_of(text);
        put(&world, &key, 0, &result, 0, STEPS);
    }
    assert_string_equal(known(&world, &quiet, 0, 99), "0..99");
    world_done(&world);
}

static void what_is_too_large_is_not_kept(void **state) {
    World world = world_make(KIB(64));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 40, STEPS);

    (void)state;
    put(&world, &key, 0, &result, 0, STEPS);
    assert_string_equal(known(&world, &key, 0, 99), "");
    assert_int_equal(result_cache_bytes(world.cache), 0);
    world_done(&world);
}

static void an_empty_answer_is_an_answer(void **state) {
    World world = world_make(KIB(64));
    ResultKey key = key_of(STR("q"), 0);
    PromqlResult result = result_of(&world, 0, STEPS);

    (void)state;
    put(&world, &key, 0, &result, 10, 20);
    assert_string_equal(known(&world, &key, 0, 99), "10..29");
    world_done(&world);
}

/* Whatever memory there is for the work beside it: kept whole, or not at all. */
static void without_memory_nothing_is_kept(void **state) {
    World world = world_make(MIB(1));
    PromqlResult result = result_of(&world, 5, STEPS);
    bool kept = false;

    (void)state;
    for (size_t limit = 0; !kept; limit += 512) {
        ResultKey key = key_of(STR("q"), 0);
        ResultSteps what = {&result, world.symbols, 0, STEPS, 0, {0}};
        Budget budget;

        budget_init(&budget, "scratch", MAX(limit, 1), NULL);
        Arena *scratch = arena_new(0, &budget);

        if (scratch == NULL) continue;
        result_cache_put(world.cache, &key, 0, &what, scratch);
        arena_free(scratch);
        kept = known(&world, &key, 0, 99)[0] != '\0';
        assert_true(kept == (result_cache_bytes(world.cache) > 0));
    }
    world_done(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_comes_back),
        cmocka_unit_test(histograms_come_back),
        cmocka_unit_test(late_data_takes_the_steps_that_look_at_it),
        cmocka_unit_test(what_was_written_during_an_evaluation_is_not_trusted),
        cmocka_unit_test(a_fixed_time_takes_everything_with_it),
        cmocka_unit_test(the_longest_run_of_several_is_used),
        cmocka_unit_test(keys_are_told_apart_by_their_texts),
        cmocka_unit_test(the_budget_holds_and_the_least_used_go),
        cmocka_unit_test(a_tenant_with_more_than_half_makes_room_itself),
        cmocka_unit_test(what_is_too_large_is_not_kept),
        cmocka_unit_test(an_empty_answer_is_an_answer),
        cmocka_unit_test(without_memory_nothing_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
