/* engine_test.c: what engine.h promises, over traces that are made up here. */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "common/base/pool.h"
#include "querier/traceql/engine/engine.h"
#include "tests/unit/traceql/fake_traces.h"

enum { TRACES = 20, SPANS = 5, SECOND = 1000000000 };
#define T0 (INT64_C(1700000000) * SECOND) /* a multiple of 100 s */

static Arena *arena;
static Pool *pool;
static Span spans[TRACES * SPANS];
static SpanEvent events[2];
static Attribute even[2], names[2], event_attributes[2], lists[1];
static SpanOrigin origins[2];

/* Trace t, newest first, starts (TRACES - 1 - t) seconds behind T0, and has
 *   root (server, service a)
 *     left (client, service b, error in odd traces, x = t)
 *       leaf (service b, x = "text")
 *     right (client, service a, two events)
 *   lost (its parent isn't there) */
static void make_traces(void) {
    static const int64_t list[] = {1, 2, 3};
    static int64_t numbers[TRACES];
    static Attribute x[TRACES][1], text;

    for (int i = 0; i < 2; i++) {
        names[i] = (Attribute){.key = STR("service.name"),
                               .type = ATTRIBUTE_STRING,
                               .text = i == 0 ? STR("a") : STR("b")};
        origins[i] = (SpanOrigin){.resource = {&names[i], 1, 0}, .service = names[i].text};
        even[i] = (Attribute){.key = STR("n"), .type = ATTRIBUTE_INT, .integer = i};
        event_attributes[i] = even[i];
        events[i] = (SpanEvent){.name = i == 0 ? STR("first") : STR("second"),
                                .attributes = {&event_attributes[i], 1, 0}};
    }
    lists[0] =
        (Attribute){.key = STR("list"), .type = ATTRIBUTE_INTS, .count = 3, .integers = list};
    text = (Attribute){.key = STR("x"), .type = ATTRIBUTE_STRING, .text = STR("text")};
    for (int t = 0; t < TRACES; t++) {
        Span *span = &spans[t * SPANS];
        int64_t start = T0 + (int64_t)(TRACES - 1 - t) * SECOND;

        numbers[t] = t;
        x[t][0] = (Attribute){.key = STR("x"), .type = ATTRIBUTE_INT, .integer = numbers[t]};
        for (int i = 0; i < SPANS; i++) {
            span[i] = (Span){.id = (uint64_t)(t * SPANS + i + 1),
                             .start_ns = start + i,
                             .end_ns = start + i + 1000 * (i + 1),
                             .kind = 3,
                             .origin = &origins[i == 1 || i == 2],
                             .name = {"", 0}};
            span[i].trace.bytes[15] = (uint8_t)(t + 1);
        }
        span[0].kind = 2;
        span[0].name = STR("root");
        span[1].name = STR("left");
        span[1].status = t % 2 == 1 ? SPAN_STATUS_ERROR : SPAN_STATUS_UNSET;
        span[1].attributes = (Attributes){x[t], 1, 0};
        span[2].name = STR("leaf");
        span[2].attributes = (Attributes){&text, 1, 0};
        span[3].name = STR("right");
        span[3].events = events;
        span[3].event_count = 2;
        span[3].attributes = (Attributes){lists, 1, 0};
        span[4].name = STR("lost");
        span[1].parent = span[3].parent = span[0].id;
        span[2].parent = span[1].id;
        span[4].parent = 9999;
    }
}

static TraceqlQuery *parse(const char *text) {
    TraceqlQuery *query = NULL;
    Error err = {0};

    if (traceql_parse(str_of(text), arena, &query, &err) != ERR_OK)
        fail_msg("%s: %s", text, err.text);
    return query;
}

static QueryContext context(Arena *memory, Pool *threads) {
    return (QueryContext){.arena = memory, .pool = threads};
}

static TraceqlSearchResult search(const char *text, uint32_t limit, Pool *threads) {
    QueryContext query = context(arena, threads);
    TraceqlSearchResult result;
    FakeTraces fake;
    Error err = {0};

    fake_traces_init(&fake, spans, TRACES * SPANS, 3 * SPANS);
    TraceqlSearchParams params = {.start_ns = INT64_MIN,
                                  .end_ns = INT64_MAX,
                                  .limit = limit,
                                  .spans_max = 100,
                                  .duration_max_ns = INT64_MAX,
                                  .source = &fake.source,
                                  .query = &query};
    if (traceql_search(parse(text), &params, &result, &err) != ERR_OK)
        fail_msg("%s: %s", text, err.text);
    return result;
}

/* ---- searches ---- */

static void searches_find_what_matches(void **state) {
    static const struct {
        const char *query;
        size_t traces;
        uint32_t spans; /* of each */
    } cases[] = {
        {"{ }", TRACES, SPANS},
        {"{ false }", 0, 0},
        {"{ name = \"root\" }", TRACES, 1},
        {"{ name =~ \"l.*\" }", TRACES, 3},
        {"{ status = error }", TRACES / 2, 1},
        {"{ span.x = 3 }", 1, 1},
        {"{ span.x >= 18 }", 2, 1},
        {"{ span.x >= 18.0 }", 0, 0},
        {"{ span.x * 1.0 >= 18 }", 2, 1},
        {"{ .x = \"text\" }", TRACES, 1},
        {"{ span.x != nil }", TRACES, 2},
        {"{ span.x = nil && kind = client }", TRACES, 2},
        {"{ span.list = 2 }", TRACES, 1},
        {"{ span.list = 4 }", 0, 0},
        {"{ resource.service.name = \"b\" && duration > 2us }", TRACES, 1},
        {"{ event:name = \"first\" && event.n = 0 }", TRACES, 1},
        {"{ event:name = \"first\" && event.n = 1 }", 0, 0},
        {"{ event:name = \"first\" } && { event.n = 1 }", TRACES, 1},
        {"{ name = \"root\" } > { kind = client }", TRACES, 2},
        {"{ name = \"root\" } >> { }", TRACES, 3},
        {"{ name = \"leaf\" } << { }", TRACES, 2},
        {"{ name = \"leaf\" } < { }", TRACES, 1},
        {"{ name = \"left\" } ~ { }", TRACES, 1},
        {"{ name = \"root\" } !>> { }", TRACES, 2},
        {"{ name = \"root\" } &> { name = \"left\" }", TRACES, 2},
        {"{ name = \"lost\" } >> { }", 0, 0},
        {"{ nestedSetParent = -1 }", TRACES, 1},
        {"{ nestedSetLeft = 5 && nestedSetRight = 6 }", TRACES, 1},
        {"{ span:childCount = 2 }", TRACES, 1},
        {"{ rootName = \"root\" && rootServiceName = \"a\" }", TRACES, SPANS},
        {"{ } | count() > 5", 0, 0},
        {"{ kind = client } | avg(duration) > 3us", TRACES, 4},
        {"{ } | max(span.x) > 17", 2, SPANS},
        {"{ } | count() = 5 | { name = \"leaf\" }", TRACES, 1},
        {"{ } | by(resource.service.name) | count() > 2", TRACES, 3},
        {"{ } | by(name) | coalesce()", TRACES, SPANS},
        {"({ status = error } | count() = 1) || ({ span.x = 2 })", TRACES / 2 + 1, 1},
        {"{ trace:id = \"5\" }", 1, SPANS},
        {"{ span.x / 0 = 1 }", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        TraceqlSearchResult result = search(cases[i].query, 0, NULL);

        if (result.count != cases[i].traces)
            fail_msg("%s: %zu traces, not %zu", cases[i].query, result.count, cases[i].traces);
        for (size_t t = 0; t < result.count; t++) {
            assert_int_equal(result.traces[t].set_count, 1);
            if (result.traces[t].sets[0].matched != cases[i].spans)
                fail_msg("%s: %u spans, not %u", cases[i].query, result.traces[t].sets[0].matched,
                         cases[i].spans);
        }
        arena_reset(arena);
    }
}

static void the_newest_come_whatever_the_threads(void **state) {
    TraceqlSearchResult one = search("{ kind = client } | select(span.x)", 7, NULL);
    TraceqlSearchResult many = search("{ kind = client } | select(span.x)", 7, pool);

    (void)state;
    assert_int_equal(one.count, 7);
    assert_int_equal(many.count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(one.traces[i].start_ns, T0 + (int64_t)(TRACES - 1 - i) * SECOND);
        assert_memory_equal(&one.traces[i].id, &many.traces[i].id, sizeof(TraceId));
        assert_int_equal(many.traces[i].sets[0].count, 4);
    }
}

static void what_a_query_mentions_is_shown(void **state) {
    TraceqlSearchResult result =
        search("{ span.list > 1 && event.n != nil } | by(kind) | select(name)", 1, NULL);
    const TraceqlFoundSet *set = &result.traces[0].sets[0];
    const TraceqlFoundSpan *span = &set->spans[0];

    (void)state;
    assert_int_equal(span->name.len, 5);
    assert_int_equal(set->attribute_count, 1);
    assert_true(str_equal(set->attributes[0].name, STR("by(kind)")));
    assert_int_equal(span->attribute_count, 3);
    assert_true(str_equal(span->attributes[0].name, STR("list")));
    assert_int_equal(span->attributes[0].value.type, TRACEQL_INTS);
    assert_int_equal(span->attributes[0].value.count, 2); /* of 1, 2, 3 */
    assert_int_equal(result.traces[0].service_count, 2);
    assert_int_equal(result.traces[0].services[1].spans, 2);
    assert_true(str_equal(result.traces[0].root_service, STR("a")));
    assert_true(str_equal(result.traces[0].root_name, STR("root")));
}

/* ---- metrics ---- */

static TraceqlMetricsResult metrics(const char *text, int64_t step_ns, uint32_t exemplars,
                                    Pool *threads) {
    QueryContext query = context(arena, threads);
    TraceqlMetricsResult result;
    FakeTraces fake;
    Error err = {0};

    fake_traces_init(&fake, spans, TRACES * SPANS, 3 * SPANS);
    TraceqlMetricsParams params = {.start_ns = T0,
                                   .end_ns = T0 + INT64_C(20) * SECOND,
                                   .step_ns = step_ns,
                                   .exemplars = exemplars,
                                   .source = &fake.source,
                                   .query = &query};
    if (traceql_metrics(parse(text), &params, &result, &err) != ERR_OK)
        fail_msg("%s: %s", text, err.text);
    return result;
}

static void points_are_right_closed(void **state) {
    TraceqlMetricsResult result =
        metrics("{ name = \"root\" } | count_over_time()", INT64_C(10) * SECOND, 0, NULL);

    (void)state;
    assert_int_equal(result.points, 3);
    assert_int_equal(result.first_ms, T0 / 1000000);
    assert_int_equal(result.count, 1);
    assert_true(result.series[0].values[0] == 1); /* at T0 itself */
    assert_true(result.series[0].values[1] == 10);
    assert_true(result.series[0].values[2] == 9);
}

static void metrics_of_all_kinds(void **state) {
    static const struct {
        const char *query;
        size_t series;
        double first; /* of the first, over all */
    } cases[] = {
        {"{ } | count_over_time()", 1, 100},
        {"{ } | rate()", 1, 5},
        {"{ name = \"none\" } | rate()", 1, 0},
        {"{ } | count_over_time() by (resource.service.name)", 2, 60},
        {"{ } | count_over_time() by (resource.service.name, kind)", 3, 20},
        {"{ } | count_over_time() by (span.x)", TRACES + 2, 60},
        {"{ } | max_over_time(duration)", 1, 5e-6},
        {"{ name = \"left\" } | sum_over_time(span.x)", 1, 190},
        {"{ name = \"left\" } | avg_over_time(span.x) by (status)", 2, 9},
        {"{ } | min_over_time(span.x)", 1, 0},
        {"{ } | max_over_time(span.absent)", 0, 0},
        {"{ } | quantile_over_time(duration, 1)", 1, 8.192e-6},
        {"{ } | histogram_over_time(duration)", 4, 20},
        {"{ } | count_over_time() by (name) | topk(2)", 2, 20},
        {"{ } | count_over_time() by (kind) > 50", 1, 80},
        {"({ status = error } | count_over_time()) / ({ } | count_over_time())", 1, 0.1},
        {"2 * ({ } | count_over_time()) - 50", 1, 150},
        {"{ } >> { } | count_over_time()", 1, 60},
        {"{ } | by(name) | count() = 1 | count_over_time()", 1, 100},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int threads = 0; threads < 2; threads++) {
            TraceqlMetricsResult result = metrics(cases[i].query, 0, 0, threads == 0 ? NULL : pool);

            if (result.count != cases[i].series)
                fail_msg("%s: %zu series, not %zu", cases[i].query, result.count, cases[i].series);
            if (result.count > 0 && !(fabs(result.series[0].values[0] - cases[i].first) <= 1e-12))
                fail_msg("%s: %.17g, not %.17g", cases[i].query, result.series[0].values[0],
                         cases[i].first);
        }
        arena_reset(arena);
    }
}

static void comparing_counts_both_sides(void **state) {
    TraceqlMetricsResult result =
        metrics("{ span.x != nil } | compare({ status = error })", 0, 0, pool);
    bool found = false;

    (void)state;
    for (size_t i = 0; i < result.count; i++) {
        const TraceqlSeries *series = &result.series[i];

        if (!str_equal(series->labels[0].value.text, STR("selection")) ||
            !str_equal(series->labels[1].name, STR("name")))
            continue;
        assert_true(str_equal(series->labels[1].value.text, STR("left")));
        assert_true(series->values[0] == 10);
        found = true;
    }
    assert_true(found);
}

static void exemplars_are_spread_and_the_same_every_time(void **state) {
    const char *query = "{ } | rate() by (name)";
    TraceqlMetricsResult one = metrics(query, SECOND, 4, NULL);
    TraceqlMetricsResult many = metrics(query, SECOND, 4, pool);

    (void)state;
    assert_int_equal(one.count, 5);
    for (size_t s = 0; s < one.count; s++) {
        assert_int_equal(one.series[s].exemplar_count, 4);
        assert_int_equal(many.series[s].exemplar_count, 4);
        for (size_t i = 0; i < 4; i++)
            assert_true(str_equal(one.series[s].exemplars[i].labels[0].value.text,
                                  many.series[s].exemplars[i].labels[0].value.text));
    }
}

static void ranges_and_steps_have_limits(void **state) {
    QueryContext query = context(arena, NULL);
    TraceqlMetricsResult result;
    FakeTraces fake;
    Error err = {0};

    (void)state;
    fake_traces_init(&fake, spans, TRACES * SPANS, SPANS);
    TraceqlMetricsParams params = {
        .start_ns = T0, .end_ns = T0, .source = &fake.source, .query = &query};
    assert_int_equal(traceql_metrics(parse("{ } | rate()"), &params, &result, &err), ERR_INVALID);
    params.end_ns = T0 + INT64_C(660) * SECOND;
    params.step_ns = 1000000;
    assert_int_equal(traceql_metrics(parse("{ } | rate()"), &params, &result, &err), ERR_INVALID);
    assert_string_equal(err.text, "step of 1ms is too small, minimum step for given range is 66ms");
    params.step_ns = 0;
    params.series_max = 3;
    assert_int_equal(traceql_metrics(parse("{ } | rate() by (span.x)"), &params, &result, &err),
                     ERR_LIMIT);
    assert_int_equal(traceql_metrics(parse("{ }"), &params, &result, &err), ERR_INVALID);
}

/* ---- the rest ---- */

static void values_and_names_with_a_filter(void **state) {
    QueryContext query = context(arena, pool);
    FakeTraces fake;
    TraceqlAttribute attribute;
    TraceqlValue *values;
    SpanTag *tags;
    size_t count;
    Error err = {0};

    (void)state;
    fake_traces_init(&fake, spans, TRACES * SPANS, SPANS);
    TraceqlTagsParams params = {.filter = parse("{ status = error }"),
                                .start_ns = INT64_MIN,
                                .end_ns = INT64_MAX,
                                .source = &fake.source,
                                .query = &query};
    assert_ok(traceql_parse_attribute(STR("span.x"), arena, &attribute, &err), &err);
    assert_ok(traceql_tag_values(&params, &attribute, &values, &count, &err), &err);
    assert_int_equal(count, TRACES / 2);
    for (size_t i = 0; i < count; i++) assert_int_equal(values[i].integer, 2 * i + 1);
    params.filter = parse("{ name = \"right\" }");
    assert_ok(traceql_tags(&params, &tags, &count, &err), &err);
    assert_int_equal(count, 3);
    assert_true(str_equal(tags[0].key, STR("list")));
    assert_int_equal(tags[1].scope, SCOPE_EVENT);
    assert_int_equal(tags[2].scope, SCOPE_RESOURCE);
}

static void a_trace_is_filtered_with_what_is_around(void **state) {
    static const struct {
        const char *query;
        bool ancestors;
        int64_t depth;
        size_t kept;
    } cases[] = {
        {"{ name = \"left\" }", false, 0, 1}, {"{ name = \"left\" }", true, 0, 2},
        {"{ name = \"root\" }", false, 1, 3}, {"{ name = \"root\" }", false, -1, 4},
        {"{ name = \"lost\" }", true, -1, 1},
    };
    QueryContext query = context(arena, NULL);
    uint8_t keep[SPANS];
    SpanTable table;
    Error err = {0};

    (void)state;
    assert_ok(span_table_build(spans, SPANS, arena, &table, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t kept = 0;

        assert_ok(traceql_filter_trace(parse(cases[i].query), &table, cases[i].ancestors,
                                       cases[i].depth, &query, keep, &err),
                  &err);
        for (int row = 0; row < SPANS; row++) kept += keep[row];
        assert_int_equal(kept, cases[i].kept);
    }
    assert_int_equal(
        traceql_filter_trace(parse("{ rootName = \"x\" }"), &table, false, 0, &query, keep, &err),
        ERR_INVALID);
    assert_int_equal(
        traceql_filter_trace(parse("{ } >> { }"), &table, false, 0, &query, keep, &err),
        ERR_INVALID);
}

static const char *const all_kinds[] = {
    "{ span.x > 3 && event.n = 1 || name =~ \"l.*\" } | by(span.list) | count() > 0 | select(.n)",
    "{ } | quantile_over_time(duration, .5) by (name)",
    "{ } | compare({ status = error })",
    "({ } | rate() by (name)) / ({ } | rate())",
};

static ErrCode run_any(const TraceqlQuery *parsed, QueryContext *query, FakeTraces *fake,
                       Error *err) {
    TraceqlSearchParams searched = {.start_ns = INT64_MIN,
                                    .end_ns = INT64_MAX,
                                    .spans_max = 3,
                                    .duration_max_ns = INT64_MAX,
                                    .source = &fake->source,
                                    .query = query};
    TraceqlMetricsParams measured = {.start_ns = T0,
                                     .end_ns = T0 + INT64_C(20) * SECOND,
                                     .step_ns = SECOND,
                                     .exemplars = 2,
                                     .source = &fake->source,
                                     .query = query};
    TraceqlSearchResult found;
    TraceqlMetricsResult result;

    return parsed->metric == NULL ? traceql_search(parsed, &searched, &found, err)
                                  : traceql_metrics(parsed, &measured, &result, err);
}

/* With ever more memory, until it is enough. */
static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_kinds); i++) {
        ErrCode code = ERR_LIMIT;

        for (size_t bytes = 4096; code != ERR_OK; bytes += bytes / 3) {
            Budget budget;
            FakeTraces fake;
            Error err = {0};

            budget_init(&budget, "test", bytes, NULL);
            fake_traces_init(&fake, spans, TRACES * SPANS, SPANS);
            Arena *small = arena_new(0, &budget);
            if (small == NULL) continue;
            QueryContext query = context(small, NULL);
            code = run_any(parse(all_kinds[i]), &query, &fake, &err);
            if (code != ERR_OK) assert_int_equal(code, ERR_LIMIT);
            arena_free(small);
            assert_true(bytes < 256 << 20);
        }
        arena_reset(arena);
    }
}

static void a_query_that_is_cancelled_ends(void **state) {
    atomic_bool cancelled = true;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_kinds); i++) {
        QueryContext query = context(arena, pool);
        FakeTraces fake;
        Error err = {0};

        query.cancelled = &cancelled;
        fake_traces_init(&fake, spans, TRACES * SPANS, SPANS);
        assert_int_equal(run_any(parse(all_kinds[i]), &query, &fake, &err), ERR_CANCELLED);
    }
}

static int setup(void **state) {
    (void)state;
    arena = arena_new(0, NULL);
    return arena == NULL;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(searches_find_what_matches, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_come_whatever_the_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_query_mentions_is_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(points_are_right_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_of_all_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(comparing_counts_both_sides, setup, teardown),
        cmocka_unit_test_setup_teardown(exemplars_are_spread_and_the_same_every_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(ranges_and_steps_have_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(values_and_names_with_a_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trace_is_filtered_with_what_is_around, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_that_runs_out_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_query_that_is_cancelled_ends, setup, teardown),
    };
    Error err = {0};
    int failed;

    make_traces();
    if (pool_new("test", 3, 64, &pool, &err) != ERR_OK) return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_free(pool);
    return failed;
}
