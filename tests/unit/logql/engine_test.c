/* engine_test.c: queries over literals: what they come to, as JSON without its statistics. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "querier/logql/engine/result_json.h"
#include "querier/logql/parser.h"
#include "tests/unit/logql/fake_streams.h"

#define S INT64_C(1000000000)

static const FakeEntry web_entries[] = {
    {10 * S, "GET / 200 5", "level=info"},     {20 * S, "GET /a 500 7", "level=error"},
    {30 * S, "POST /b 200 9", "level=info"},   {60 * S, "GET /c 404 11", "level=warn"},
    {60 * S, "GET /d 200 13", "level=info"},   {95 * S, "GET /e 200 17", NULL},
    {120 * S, "GET /f 500 19", "level=error"},
};
static const FakeEntry db_entries[] = {
    {15 * S, "query 1", NULL},
    {45 * S, "query 22", NULL},
    {60 * S + 1, "query 333", NULL},
};
static const FakeEntry other_entries[] = {{50 * S, "beep", NULL}};
static const FakeStream streams[] = {
    {"app=web,env=prod", web_entries, ARRAY_LEN(web_entries)},
    {"app=db,env=prod", db_entries, ARRAY_LEN(db_entries)},
    {"app=other,env=dev", other_entries, ARRAY_LEN(other_entries)},
};

typedef struct Query {
    const char *text;
    int64_t start, end, step; /* seconds */
    bool backward;
    uint64_t limit;
    int64_t interval;
    bool categorize;
} Query;

static FakeStreams fake;
static Pool *pool;

/* The answer up to its statistics, or the error's text. */
static void run(const Query *q, ErrCode *code, char *out, size_t size) {
    CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
    CLEANUP_IN_PLACE(buf_done) Buf json = {0};
    QueryContext query = {.arena = arena, .symbols = symbols_new(arena), .pool = pool};
    StreamStats stats = {0};
    LogqlParams params = {.start_ns = q->start * S,
                          .end_ns = q->end * S,
                          .step_ns = q->step * S,
                          .backward = q->backward,
                          .limit = q->limit,
                          .interval_ns = q->interval * S,
                          .categorize = q->categorize,
                          .source = &fake.source,
                          .query = &query,
                          .stats = &stats};
    LogqlExpr *expr = NULL;
    LogqlResult result;
    Error err = {0};
    const char *from, *to;

    *code = logql_parse(arena, str_of(q->text), LOGQL_CHECKED, &expr, &err);
    if (*code == ERR_OK) *code = logql_eval(expr, &params, &result, &err);
    if (*code != ERR_OK) {
        snprintf(out, size, "%s", err.text);
        return;
    }
    buf_init(&json, 0);
    assert_ok(logql_json_write(&result, query.symbols,
                               &(LogqlJsonOptions){.categorize = q->categorize, .stats = &stats},
                               &json, &err),
              &err);
    buf_append_byte(&json, '\0');
    from = strstr(json.ptr, "\"resultType\":\"") + strlen("\"resultType\":\"");
    to = strstr(from, ",\"stats\":");
    snprintf(out, size, "%.*s", (int)(to - from), from);
}

/* However entries are cut into units and batches, and however many threads read them. */
static void check(const Query *q, const char *expected) {
    static char got[1 << 16];
    ErrCode code;

    for (size_t i = 0; i < 8; i++) {
        fake_streams_init(&fake, streams, ARRAY_LEN(streams));
        fake.unit_entries = i % 4;
        fake.batch_entries = 1 + i / 2;
        fake.does_needles = i & 1;
        fake.lazy_lines = i & 2;
        run(q, &code, got, sizeof got);
        if (strcmp(got, expected) != 0) fail_msg("%s\n got %s\n not %s", q->text, got, expected);
    }
}

static void log_queries_give_the_newest_or_the_oldest(void **state) {
    (void)state;
    check(&(Query){"{env=\"prod\"}", 0, 61, 0, true, 3, 0, true},
          "streams\",\"encodingFlags\":[\"categorize-labels\"],\"result\":["
          "{\"stream\":{\"app\":\"db\",\"env\":\"prod\"},\"values\":["
          "[\"60000000001\",\"query 333\",{}]]},"
          "{\"stream\":{\"app\":\"web\",\"env\":\"prod\"},\"values\":["
          "[\"60000000000\",\"GET /d 200 13\",{\"structuredMetadata\":{\"level\":\"info\"}}],"
          "[\"60000000000\",\"GET /c 404 11\",{\"structuredMetadata\":{\"level\":\"warn\"}}]]}]");
    check(
        &(Query){"{env=\"prod\"}", 10, 45, 0, false, 2, 0, false},
        "streams\",\"result\":["
        "{\"stream\":{\"app\":\"db\",\"env\":\"prod\"},\"values\":[[\"15000000000\",\"query 1\"]]},"
        "{\"stream\":{\"app\":\"web\",\"env\":\"prod\",\"level\":\"info\"},\"values\":["
        "[\"10000000000\",\"GET / 200 5\"]]}]");
    check(&(Query){"{env=\"none\"}", 0, 100, 0, false, 2, 0, false}, "streams\",\"result\":[]");
}

static void log_queries_end_before_their_end(void **state) {
    (void)state;
    check(&(Query){"{app=\"db\"}", 15, 45, 0, false, 10, 0, false},
          "streams\",\"result\":[{\"stream\":{\"app\":\"db\",\"env\":\"prod\"},\"values\":["
          "[\"15000000000\",\"query 1\"]]}]");
}

static void an_interval_spaces_entries(void **state) {
    (void)state;
    check(&(Query){"{env=~\"prod|dev\"}", 0, 200, 0, false, 3, 30, true},
          "streams\",\"encodingFlags\":[\"categorize-labels\"],\"result\":["
          "{\"stream\":{\"app\":\"db\",\"env\":\"prod\"},\"values\":["
          "[\"45000000000\",\"query 22\",{}]]},"
          "{\"stream\":{\"app\":\"web\",\"env\":\"prod\"},\"values\":["
          "[\"10000000000\",\"GET / 200 5\",{\"structuredMetadata\":{\"level\":\"info\"}}],"
          "[\"95000000000\",\"GET /e 200 17\",{}]]}]");
}

static void windows_are_open_at_the_left(void **state) {
    (void)state;
    /* (0,60] and (60,120]: the entry at 60 is of the first, that a nanosecond later is not. */
    check(&(Query){"sum by (app) (count_over_time({env=\"prod\"}[1m]))", 60, 120, 60, false, 0, 0,
                   false},
          "matrix\",\"result\":["
          "{\"metric\":{\"app\":\"db\"},\"values\":[[60,\"2\"],[120,\"1\"]]},"
          "{\"metric\":{\"app\":\"web\"},\"values\":[[60,\"5\"],[120,\"2\"]]}]");
    /* Windows that overlap, and such that leave gaps. */
    check(&(Query){"sum(count_over_time({env=\"prod\"}[50s]))", 0, 120, 30, false, 0, 0, false},
          "matrix\",\"result\":[{\"metric\":{},\"values\":[[30,\"4\"],[60,\"6\"],[90,\"4\"],"
          "[120,\"2\"]]}]");
    check(&(Query){"sum(count_over_time({env=\"prod\"}[10s]))", 0, 120, 60, false, 0, 0, false},
          "matrix\",\"result\":[{\"metric\":{},\"values\":[[60,\"2\"],[120,\"1\"]]}]");
}

static void steps_are_multiples_of_the_step(void **state) {
    (void)state;
    check(&(Query){"sum(count_over_time({env=\"prod\"}[1m]))", 65, 110, 60, false, 0, 0, false},
          "matrix\",\"result\":[{\"metric\":{},\"values\":[[60,\"7\"],[120,\"3\"]]}]");
}

static void an_instant_has_one_step(void **state) {
    (void)state;
    check(
        &(Query){"count_over_time({app=\"web\"}[1m])", 70, 70, 0, false, 0, 0, false},
        "vector\",\"result\":["
        "{\"metric\":{\"app\":\"web\",\"env\":\"prod\",\"level\":\"error\"},\"value\":[70,\"1\"]},"
        "{\"metric\":{\"app\":\"web\",\"env\":\"prod\",\"level\":\"info\"},\"value\":[70,\"2\"]},"
        "{\"metric\":{\"app\":\"web\",\"env\":\"prod\",\"level\":\"warn\"},\"value\":[70,\"1\"]}]");
    check(&(Query){"sum by (level) (bytes_rate({app=\"web\"}[1m] offset 10s))", 70, 70, 0, false, 0,
                   0, false},
          "vector\",\"result\":["
          "{\"metric\":{\"level\":\"error\"},\"value\":[70,\"0.2\"]},"
          "{\"metric\":{\"level\":\"info\"},\"value\":[70,\"0.6166666666666667\"]},"
          "{\"metric\":{\"level\":\"warn\"},\"value\":[70,\"0.21666666666666667\"]}]");
}

static void absence_has_the_labels_of_equalities(void **state) {
    (void)state;
    check(&(Query){"absent_over_time({app=\"db\", env=~\"p.*\"}[30s])", 0, 120, 30, false, 0, 0,
                   false},
          "matrix\",\"result\":[{\"metric\":{\"app\":\"db\"},\"values\":[[0,\"1\"],[120,\"1\"]]}]");
}

static void vectors_are_aggregated(void **state) {
    static const char *const cases[][2] = {
        {"max by (env) (count_over_time({env=~\".+\"}[2m]))",
         "{\"metric\":{\"env\":\"dev\"},\"value\":[120,\"1\"]},"
         "{\"metric\":{\"env\":\"prod\"},\"value\":[120,\"3\"]}"},
        {"count(count_over_time({env=~\".+\"}[2m]))", "{\"metric\":{},\"value\":[120,\"6\"]}"},
        {"avg without (app, level) (sum by (app, env) (count_over_time({env=~\".+\"}[2m])))",
         "{\"metric\":{\"env\":\"dev\"},\"value\":[120,\"1\"]},"
         "{\"metric\":{\"env\":\"prod\"},\"value\":[120,\"5\"]}"},
        {"topk(1, sum by (app) (count_over_time({env=~\".+\"}[2m])))",
         "{\"metric\":{\"app\":\"web\"},\"value\":[120,\"7\"]}"},
        {"sort(sum by (app) (count_over_time({env=~\".+\"}[2m])))",
         "{\"metric\":{\"app\":\"other\"},\"value\":[120,\"1\"]},"
         "{\"metric\":{\"app\":\"db\"},\"value\":[120,\"3\"]},"
         "{\"metric\":{\"app\":\"web\"},\"value\":[120,\"7\"]}"},
        {"sort_desc(bottomk(2, sum by (app) (count_over_time({env=~\".+\"}[2m]))))",
         "{\"metric\":{\"app\":\"db\"},\"value\":[120,\"3\"]},"
         "{\"metric\":{\"app\":\"other\"},\"value\":[120,\"1\"]}"},
        {"stdvar(sum by (app) (count_over_time({env=\"prod\"}[2m])))",
         "{\"metric\":{},\"value\":[120,\"4\"]}"},
    };
    char expected[1000];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(expected, sizeof expected, "vector\",\"result\":[%s]", cases[i][1]);
        check(&(Query){cases[i][0], 120, 120, 0, false, 0, 0, false}, expected);
    }
}

static void vectors_are_joined(void **state) {
#define BY_APP "sum by (app, env) (count_over_time({env=~\".+\"}[2m]))"
#define BY_ENV "sum by (env) (count_over_time({env=~\".+\"}[2m]))"
    static const char *const cases[][2] = {
        {"sum by (app) (count_over_time({env=\"prod\"}[2m])) * 2 > 7",
         "{\"metric\":{\"app\":\"web\"},\"value\":[120,\"14\"]}"},
        {"8 > bool sum by (app) (count_over_time({env=\"prod\"}[2m]))",
         "{\"metric\":{\"app\":\"db\"},\"value\":[120,\"1\"]},"
         "{\"metric\":{\"app\":\"web\"},\"value\":[120,\"1\"]}"},
        {BY_APP " / on (env) group_left " BY_ENV,
         "{\"metric\":{\"app\":\"db\",\"env\":\"prod\"},\"value\":[120,\"0.3\"]},"
         "{\"metric\":{\"app\":\"other\",\"env\":\"dev\"},\"value\":[120,\"1\"]},"
         "{\"metric\":{\"app\":\"web\",\"env\":\"prod\"},\"value\":[120,\"0.7\"]}"},
        {BY_ENV " - ignoring (app) group_right " BY_APP,
         "{\"metric\":{\"app\":\"db\",\"env\":\"prod\"},\"value\":[120,\"7\"]},"
         "{\"metric\":{\"app\":\"other\",\"env\":\"dev\"},\"value\":[120,\"0\"]},"
         "{\"metric\":{\"app\":\"web\",\"env\":\"prod\"},\"value\":[120,\"3\"]}"},
        {BY_APP " and on (env) sum by (env) (count_over_time({env=\"dev\"}[2m]))",
         "{\"metric\":{\"app\":\"other\",\"env\":\"dev\"},\"value\":[120,\"1\"]}"},
        {BY_APP " unless on (env) sum by (env) (count_over_time({env=\"prod\"}[2m]))",
         "{\"metric\":{\"app\":\"other\",\"env\":\"dev\"},\"value\":[120,\"1\"]}"},
        {"sum(count_over_time({app=\"none\"}[2m])) or vector(3)",
         "{\"metric\":{},\"value\":[120,\"3\"]}"},
        {"label_replace(" BY_ENV ", \"e\", \"<$1${2}$$>\", \"env\", \"(p)r(?P<x>.*)d\") / 0",
         "{\"metric\":{\"e\":\"<po$>\",\"env\":\"prod\"},\"value\":[120,\"NaN\"]},"
         "{\"metric\":{\"env\":\"dev\"},\"value\":[120,\"NaN\"]}"},
    };
    char expected[1000];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(expected, sizeof expected, "vector\",\"result\":[%s]", cases[i][1]);
        check(&(Query){cases[i][0], 120, 120, 0, false, 0, 0, false}, expected);
    }
    check(&(Query){BY_APP " / on (env) " BY_ENV, 120, 120, 0, false, 0, 0, false},
          "multiple matches for labels: many-to-one matching must be explicit "
          "(group_left/group_right)");
    check(&(Query){BY_APP " / on (env) group_right " BY_ENV, 120, 120, 0, false, 0, 0, false},
          "found duplicate series on the left hand-side;many-to-many matching not allowed: "
          "matching labels must be unique on one side");
    check(&(Query){BY_ENV " * on (env) " BY_APP, 120, 120, 0, false, 0, 0, false},
          "found duplicate series on the right hand-side;many-to-many matching not allowed: "
          "matching labels must be unique on one side");
}

static void numbers_and_vectors_stand_alone(void **state) {
    (void)state;
    check(&(Query){"-1", 5, 5, 0, false, 0, 0, false}, "scalar\",\"result\":[5000,\"-1\"]");
    check(&(Query){"2 * 3", 0, 20, 10, false, 0, 0, false},
          "matrix\",\"result\":[{\"metric\":{},\"values\":[[0,\"6\"],[10,\"6\"],[20,\"6\"]]}]");
    check(&(Query){"vector(7)", 5, 5, 0, false, 0, 0, false},
          "vector\",\"result\":[{\"metric\":{},\"value\":[5,\"7\"]}]");
}

static void logs_have_no_instant(void **state) {
    (void)state;
    check(&(Query){"{app=\"db\"}", 5, 5, 0, false, 10, 0, false},
          "log queries are not supported as an instant query type, please change your query to a "
          "range query type");
}

static void a_limit_stops_reading(void **state) {
    static FakeEntry many[5000];
    static const FakeStream stream = {"app=many", many, ARRAY_LEN(many)};
    static char got[1 << 16];
    ErrCode code;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(many); i++) many[i] = (FakeEntry){(int64_t)i * S, "x", NULL};
    fake_streams_init(&fake, &stream, 1);
    fake.unit_entries = 100;
    fake.batch_entries = 10;
    run(&(Query){"{app=\"many\"}", 0, 5000, 0, true, 20, 0, false}, &code, got, sizeof got);
    assert_int_equal(code, ERR_OK);
    assert_non_null(strstr(got, "\"4999000000000\""));
    assert_non_null(strstr(got, "\"4980000000000\""));
    assert_null(strstr(got, "\"4979000000000\""));
    assert_true(atomic_load(&fake.delivered) <= 400);
}

static void lines_that_nobody_looks_at_are_not_asked_for(void **state) {
    static char got[1 << 12];
    ErrCode code;

    (void)state;
    fake_streams_init(&fake, streams, ARRAY_LEN(streams));
    run(&(Query){"sum(rate({app=\"web\"}[1m]))", 60, 60, 0, false, 0, 0, false}, &code, got,
        sizeof got);
    assert_int_equal(fake.last.need, 0);
    run(&(Query){"rate({app=\"web\"}[1m])", 60, 60, 0, false, 0, 0, false}, &code, got, sizeof got);
    assert_int_equal(fake.last.need, STREAM_NEED_METADATA);
    run(&(Query){"sum by (x) (bytes_rate({app=\"web\"}[1m]))", 60, 60, 0, false, 0, 0, false},
        &code, got, sizeof got);
    assert_int_equal(fake.last.need, STREAM_NEED_METADATA | STREAM_NEED_LENGTHS);
    assert_int_equal(fake.last.metadata_name_count, 1);
    assert_int_equal(fake.last.min_ns, 1);
    assert_int_equal(fake.last.max_ns, 60 * S + 1);
}

static void a_failing_source_fails_the_query(void **state) {
    static char got[1 << 12];
    ErrCode code;

    (void)state;
    for (int64_t n = 1; n < 4; n++) {
        fake_streams_init(&fake, streams, ARRAY_LEN(streams));
        fake.fail_at = n;
        run(&(Query){"rate({env=~\".+\"}[1m])", 60, 120, 60, false, 0, 0, false}, &code, got,
            sizeof got);
        assert_int_equal(code, ERR_UNAVAILABLE);
        assert_string_equal(got, "the fake fails");
    }
}

static void memory_that_runs_out_fails_the_query_and_nothing_else(void **state) {
    static const char *const texts[] = {
        "{env=\"prod\"} | logfmt | line_format \"{{.app}}\"",
        "topk(1, sum by (app) (count_over_time({env=~\".+\"} | pattern \"<m> <p> <_>\" [1m]))) / 2",
        "quantile_over_time(0.5, {app=\"web\"} | pattern \"<_> <_> <_> <n>\" | unwrap n [1m]) or "
        "vector(1)",
    };
    size_t good = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (size_t limit = 0; limit < KIB(800); limit += KIB(8)) {
            Budget budget;
            Arena *arena;
            QueryContext query = {.pool = pool};
            LogqlParams params = {.end_ns = 120 * S,
                                  .step_ns = 10 * S,
                                  .limit = 10,
                                  .source = &fake.source,
                                  .query = &query};
            LogqlExpr *expr = NULL;
            LogqlResult result;
            Error err = {0};
            ErrCode code;

            budget_init(&budget, "test", limit + 1, NULL);
            arena = arena_new(0, &budget);
            query.arena = arena;
            query.symbols = symbols_new(arena);
            fake_streams_init(&fake, streams, ARRAY_LEN(streams));
            code = query.symbols == NULL
                       ? ERR_LIMIT
                       : logql_parse(arena, str_of(texts[i]), LOGQL_CHECKED, &expr, &err);
            if (code == ERR_OK) code = logql_eval(expr, &params, &result, &err);
            if (code != ERR_OK && code != ERR_LIMIT) fail_msg("%s: %s", texts[i], err.text);
            good += code == ERR_OK;
            arena_free(arena);
            assert_int_equal(budget_used(&budget), 0);
        }
    assert_true(good > 0);
}

static int setup(void **state) {
    Error err = {0};

    (void)state;
    return pool_new("test", 3, 100, &pool, &err) != ERR_OK;
}

static int teardown(void **state) {
    (void)state;
    pool_free(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_queries_give_the_newest_or_the_oldest),
        cmocka_unit_test(log_queries_end_before_their_end),
        cmocka_unit_test(an_interval_spaces_entries),
        cmocka_unit_test(windows_are_open_at_the_left),
        cmocka_unit_test(steps_are_multiples_of_the_step),
        cmocka_unit_test(an_instant_has_one_step),
        cmocka_unit_test(absence_has_the_labels_of_equalities),
        cmocka_unit_test(vectors_are_aggregated),
        cmocka_unit_test(vectors_are_joined),
        cmocka_unit_test(numbers_and_vectors_stand_alone),
        cmocka_unit_test(logs_have_no_instant),
        cmocka_unit_test(a_limit_stops_reading),
        cmocka_unit_test(lines_that_nobody_looks_at_are_not_asked_for),
        cmocka_unit_test(a_failing_source_fails_the_query),
        cmocka_unit_test(memory_that_runs_out_fails_the_query_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
