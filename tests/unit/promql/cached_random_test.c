/*
 * Random range queries through the result cache, again and again, shifted, overlapping, with other
 * phases, while late data arrives: each answer is byte for byte what an evaluation gives. CACHED=n
 * in the environment tries n expressions, CACHED_SEED=s only the one that a failure names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "querier/cache/range.h"
#include "tests/unit/promql/harness.h"
#include "tests/unit/promql/random_expr.h"

enum {
    SERIES = 9,
    SAMPLES = 120,
    STEP_MS = 15000,
    LAST_MS = SAMPLES * STEP_MS,
    LOOKBACK_MS = 40000,
    TRIES = 700,
    QUERIES = 9,
};

static const Str tenant = {"t", 1};

typedef struct World {
    FakeSource *fake;
    Changes *changes;
    ResultCache *cache;
    uint64_t used[4];
} World;

static void world_init(World *world, size_t bytes) {
    ResultCacheOptions options = {.bytes_max = bytes};

    *world = (World){.fake = fake_source_new(), .changes = changes_new()};
    options.changes = world->changes;
    world->cache = result_cache_new(&options);
    assert_non_null(world->cache);
    for (unsigned i = 0; i < SERIES; i++) {
        random_seed(i + 77);
        random_load(world->fake, i, SAMPLES, STEP_MS);
    }
}

static void world_done(World *world) {
    result_cache_free(world->cache);
    changes_free(world->changes);
    fake_source_free(world->fake);
}

/* The body, or "error: ..."; to be freed. */
static char *ask(World *world, ResultCache *cache, const char *text, int64_t start_ms,
                 int64_t end_ms, int64_t step_ms, int64_t now_ms) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    QueryContext context = {.arena = arena, .symbols = symbols_new(arena)};
    PromqlParams params = {.start_ms = start_ms,
                           .end_ms = end_ms,
                           .step_ms = step_ms,
                           .lookback_ms = LOOKBACK_MS,
                           .source = fake_source_series(world->fake),
                           .query = &context};
    CachedQuery query = {
        .tenants = &tenant, .tenant_count = 1, .keep_from_ms = INT64_MIN, .now_ms = now_ms};
    ResultJsonOptions options = {.annotations_max = 10};
    PromqlResult result = {0};
    CacheReport report;
    PromqlExpr *expr;
    Error err = {0};
    char *answer;
    Buf json;

    buf_init(&json, 0);
    if (promql_parse(arena, str_of(text), NULL, &expr, &err) != ERR_OK ||
        promql_resolve_durations(expr, str_of(text), start_ms, end_ms, step_ms, &err) != ERR_OK ||
        range_eval(cache, &query, expr, str_of(text), &params, &result, &report, &err) != ERR_OK ||
        result_json_write(&result, context.symbols, str_of(text), &options, arena, &json, &err) !=
            ERR_OK) {
        buf_clear(&json);
        buf_printf(&json, "error: %s", err.text);
    } else if (cache != NULL) {
        world->used[report.use]++;
    }
    buf_append_byte(&json, '\0');
    answer = strdup(json.ptr);
    buf_done(&json);
    return answer;
}

static void check(World *world, uint64_t number, const char *text, int64_t start_ms, int64_t end_ms,
                  int64_t step_ms, int64_t now_ms) {
    char *cached = ask(world, world->cache, text, start_ms, end_ms, step_ms, now_ms);
    char *plain = ask(world, NULL, text, start_ms, end_ms, step_ms, now_ms);

    if (strcmp(cached, plain) != 0)
        fail_msg("CACHED_SEED=%llu %s [%lld, %lld] by %lld:\n%.3000s\nnot\n%.3000s",
                 (unsigned long long)number, text, (long long)start_ms, (long long)end_ms,
                 (long long)step_ms, cached, plain);
    free(cached);
    free(plain);
}

/* A sample more, or another value, somewhere; of a series that was there or a new one. */
static void late_data(World *world) {
    static const char *const names[] = {"gauge", "counter_total", "x_bucket"};
    int64_t time = (int64_t)random_draw(LAST_MS);
    char number[16];
    LabelPair pairs[] = {{STR("__name__"), str_of(names[random_draw(ARRAY_LEN(names))])},
                         {STR("i"), {0}},
                         {STR("g"), STR("g1")},
                         {STR("le"), random_draw(4) == 0 ? STR("2") : STR("")}};

    snprintf(number, sizeof number, "%u", random_draw(SERIES + 3));
    pairs[1].value = str_of(number);
    fake_source_add(world->fake, pairs, ARRAY_LEN(pairs), time, (double)random_draw(100) / 4);
    changes_note(world->changes, tenant, time, time);
}

static void try_one(World *world, uint64_t number) {
    static const int64_t steps[] = {5000, 15000, 20000, 37000};
    int64_t step, phase;
    char text[4096];

    random_seed(number * UINT64_C(0x9e3779b97f4a7c15) + 1);
    for (int i = 0; i < 8; i++) random_draw(2);
    if (!random_expr(1 + (int)random_draw(3), text, sizeof text)) return;
    step = steps[random_draw(ARRAY_LEN(steps))];
    phase = (int64_t)random_draw((uint32_t)step);
    for (int i = 0; i < QUERIES; i++) {
        int64_t first = (int64_t)random_draw(20), count = 8 + (int64_t)random_draw(30);
        int64_t start = phase + first * step, end = start + count * step;

        /* Mostly steps at the same times; an end that is no step now and then. */
        if (random_draw(8) == 0) start += 1000;
        if (random_draw(4) == 0) end += (int64_t)random_draw((uint32_t)step);
        if (random_draw(3) == 0) late_data(world);
        check(world, number, text, start, end, step,
              random_draw(3) == 0 ? end - (int64_t)random_draw(200000) : INT64_C(1) << 40);
    }
}

static void answers_are_those_of_an_evaluation(void **state) {
    const char *only = getenv("CACHED_SEED"), *many = getenv("CACHED");
    uint64_t tries = many != NULL ? strtoull(many, NULL, 10) : TRIES;
    World world;

    (void)state;
    world_init(&world, MIB(1)); /* so little that others are pushed out all the time */
    if (only != NULL) {
        try_one(&world, strtoull(only, NULL, 10));
    } else {
        for (uint64_t n = 0; n < tries; n++) try_one(&world, n);
        print_message("bypass %llu, miss %llu, partial %llu, hit %llu\n",
                      (unsigned long long)world.used[CACHE_BYPASS],
                      (unsigned long long)world.used[CACHE_MISS],
                      (unsigned long long)world.used[CACHE_PARTIAL],
                      (unsigned long long)world.used[CACHE_HIT]);
        /* The test would prove nothing otherwise. */
        assert_true(world.used[CACHE_PARTIAL] > tries / 4);
        assert_true(world.used[CACHE_HIT] > tries / 16);
    }
    world_done(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_an_evaluation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
