/* spans_test.c: spans through the ingester: in heads, in the log, in segments, within limits. */
#include "tests/unit/ingester/span_world.h"

#define TENANT STR("t")

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);

    world_make(world);
    world_start(world);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

    world_done(world);
    free(world);
    return 0;
}

static void what_is_acknowledged_is_seen_at_once(void **state) {
    World *world = *state;
    SpanFacts facts = {0}, found = {0};
    TraceId one = trace_number(7), absent = trace_number(1000);
    AppendResult result = world_trace(world, TENANT, 0, 50, 0, 20, &facts);

    assert_int_equal(result.code, ERR_OK);
    assert_int_equal(result.spans, 1000);
    assert_holds_spans(world, TENANT, &facts);
    /* a trace goes on, with a double of what it has */
    result = world_trace(world, TENANT, 7, 1, 15, 10, NULL);
    assert_int_equal(result.spans, 10);
    assert_int_equal(world_span_heads_at(world, TENANT, INT64_MIN, INT64_MAX, &one, &found), 1);
    assert_int_equal(found.count, 25);
    assert_int_equal(world_span_heads_at(world, TENANT, INT64_MIN, INT64_MAX, &absent, &found), 0);
    assert_int_equal(world_span_heads_at(world, STR("u"), INT64_MIN, INT64_MAX, &one, &found), 0);
    assert_int_equal(found.count, 25);
    span_facts_done(&facts);
    span_facts_done(&found);
}

static bool has_trace(const SpanFacts *facts, uint32_t trace) {
    for (size_t i = 0; i < facts->count; i++)
        if (facts->items[i].trace == trace) return true;
    return false;
}

/* Others of the same group may come as well. */
static void a_range_gives_all_traces_that_reach_into_it(void **state) {
    World *world = *state;
    SpanFacts found = {0};

    world_trace(world, TENANT, 0, 3000, 0, 4, NULL);
    /* trace n is [(n + 1) ms, (n + 1) ms + 503 ns] */
    world_span_heads_at(world, TENANT, 3000503, 4000000, NULL, &found);
    assert_true(has_trace(&found, 2) && has_trace(&found, 3));
    assert_true(!has_trace(&found, 2900));
    found.count = 0;
    world_span_heads_at(world, TENANT, 3001000503, 3001000504, NULL, &found);
    assert_int_equal(found.count, 0);
    span_facts_done(&found);
}

/* Queries leave tables behind that the next one takes, as long as they are all there is. */
static void what_is_kept_from_query_to_query_is_never_old(void **state) {
    World *world = *state;
    Budget caches;
    SpanFacts facts = {0};
    Error err = {0};

    world_stop(world, false);
    budget_init(&caches, "caches", 0, NULL);
    world->options.caches = &caches;
    world_start(world);
    for (uint32_t i = 0; i < 12; i++) {
        world_trace(world, TENANT, i * 150, 300, i * 3, 3, &facts);
        span_facts_unique(&facts);
        assert_holds_spans(world, TENANT, &facts);
        assert_true(budget_used(&caches) > 0);
    }
    /* without memory for keeping them it goes on as well */
    atomic_store(&caches.limit, 1);
    world_trace(world, TENANT, 0, 2000, 100, 1, &facts);
    assert_holds_spans(world, TENANT, &facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored_spans(world, TENANT, &facts);
    world_stop(world, false);
    assert_int_equal(budget_used(&caches), 0);
    world->options.caches = NULL;
    span_facts_done(&facts);
}

static void tenants_do_not_see_each_other(void **state) {
    World *world = *state;
    SpanFacts a = {0}, b = {0};

    world_trace(world, STR("a"), 0, 10, 0, 7, &a);
    world_trace(world, STR("b"), 5, 10, 3, 9, &b);
    assert_holds_spans(world, STR("a"), &a);
    assert_holds_spans(world, STR("b"), &b);
    span_facts_done(&a);
    span_facts_done(&b);
}

static void the_log_brings_everything_back(void **state) {
    World *world = *state;
    SpanFacts facts = {0};

    for (uint32_t i = 0; i < 20; i++) world_trace(world, TENANT, i * 3, 9, i * 10, 10, &facts);
    span_facts_unique(&facts);
    world_restart(world);
    assert_holds_spans(world, TENANT, &facts);
    world_trace(world, TENANT, 500, 5, 0, 5, &facts);
    world_restart(world);
    assert_holds_spans(world, TENANT, &facts);
    span_facts_done(&facts);
}

/* With metrics and logs of the same and of other tenants in between it is one log and one object.
 */
static void a_flush_puts_everything_into_the_store(void **state) {
    World *world = *state;
    SpanFacts facts = {0}, other = {0};
    Facts samples = {0};
    Error err = {0};

    world_trace(world, TENANT, 0, 300, 0, 20, &facts);
    world_scrape(world, TENANT, 0, 100, 1000, &samples);
    world_trace(world, STR("u"), 0, 3, 0, 3, &other);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored_spans(world, TENANT, &facts);
    assert_stored_spans(world, STR("u"), &other);
    assert_stored(world, TENANT, &samples);
    world_restart(world);
    assert_stored_spans(world, TENANT, &facts);
    /* the second half of a trace goes to another object */
    world_trace(world, TENANT, 0, 1, 20, 20, &facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    assert_stored_spans(world, TENANT, &facts);
    span_facts_done(&facts);
    span_facts_done(&other);
    facts_done(&samples);
}

static void a_trace_past_its_limit_is_refused_and_kept_in_part(void **state) {
    World *world = *state;
    TenantLimits limits = {.trace_spans_max = 10};
    SpanFacts facts = {0};
    AppendResult result;
    Error err = {0};

    assert_ok(tenants_replace(world->tenants, &limits, NULL, 0, &err), &err);
    result = world_trace(world, TENANT, 0, 2, 0, 15, NULL); /* one request, two traces */
    assert_int_equal(result.code, ERR_OK);
    assert_int_equal(result.spans, 20);
    assert_int_equal(result.over_limit, 10);
    assert_non_null(strstr(result.first.text, "trace_spans_max is 10 for tenant t"));
    result = world_trace(world, TENANT, 0, 1, 20, 1, NULL);
    assert_int_equal(result.over_limit, 1);
    for (uint32_t i = 0; i < 20; i++) span_facts_add(&facts, i / 10, i % 10);
    assert_holds_spans(world, TENANT, &facts);
    assert_ok(ingester_flush(world->ingester, &err), &err);
    result = world_trace(world, TENANT, 0, 1, 20, 1, &facts);
    assert_int_equal(result.spans, 1);
    assert_holds_spans(world, TENANT, &facts);
    span_facts_done(&facts);
}

static void a_trace_of_too_many_bytes_is_refused(void **state) {
    World *world = *state;
    TenantLimits limits = {.trace_bytes_max = 2000};
    AppendResult result;
    Error err = {0};

    assert_ok(tenants_replace(world->tenants, &limits, NULL, 0, &err), &err);
    result = world_trace(world, TENANT, 0, 1, 0, 100, NULL);
    assert_true(result.spans > 5 && result.spans < 30);
    assert_int_equal(result.spans + result.over_limit, 100);
    assert_non_null(strstr(result.first.text, "trace_bytes_max is 2000"));
}

/* What isn't durable isn't acknowledged, counts for no limit, and what was before stays. */
static void a_group_that_cannot_be_written_leaves_no_trace(void **state) {
    World *world = *state;
    TenantLimits limits = {.trace_spans_max = 10};
    SpanFacts facts = {0};
    AppendResult result;
    Error err = {0};

    assert_ok(tenants_replace(world->tenants, &limits, NULL, 0, &err), &err);
    world_trace(world, TENANT, 0, 1, 0, 4, &facts);
    atomic_store(&world->heads.limit, 1); /* no memory for anything new */
    result = world_trace(world, TENANT, 1, 2000, 0, 5, NULL);
    assert_int_equal(result.code, ERR_LIMIT);
    atomic_store(&world->heads.limit, 0);
    result = world_trace(world, TENANT, 1, 1, 0, 10, &facts);
    assert_int_equal(result.spans, 10);
    assert_holds_spans(world, TENANT, &facts);
    span_facts_done(&facts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_acknowledged_is_seen_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_range_gives_all_traces_that_reach_into_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_kept_from_query_to_query_is_never_old, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(tenants_do_not_see_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_brings_everything_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_puts_everything_into_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trace_past_its_limit_is_refused_and_kept_in_part, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_trace_of_too_many_bytes_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_that_cannot_be_written_leaves_no_trace, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
