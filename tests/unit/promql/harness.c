#include "tests/unit/promql/harness.h"

#include <stdlib.h>

void harness_init(Harness *h) {
    *h = (Harness){.fake = fake_source_new()};
}

void harness_done(Harness *h) {
    fake_source_free(h->fake);
    arena_free(h->arena);
    pool_free(h->pool);
}

ErrCode harness_run(Harness *h, const char *query, int64_t start_ms, int64_t end_ms,
                    int64_t step_ms) {
    QueryContext *context;
    PromqlParams *params;
    PromqlExpr *expr;

    arena_free(h->arena);
    assert_int_equal(budget_used(&h->budget), 0);
    budget_init(&h->budget, "test", h->memory_max, NULL);
    h->arena = arena_new(0, &h->budget);
    h->result = (PromqlResult){0};
    context = ARENA_NEW(h->arena, QueryContext);
    params = ARENA_NEW(h->arena, PromqlParams);
    h->symbols = symbols_new(h->arena);
    if (context == NULL || params == NULL || h->symbols == NULL)
        return error_set(&h->err, ERR_LIMIT, "out of memory before the query began");
    context->arena = h->arena;
    context->symbols = h->symbols;
    context->pool = h->pool;
    context->samples_max = h->samples_max;
    context->cancelled = h->cancelled;
    *params = (PromqlParams){.start_ms = step_ms > 0 ? start_ms : end_ms,
                             .end_ms = end_ms,
                             .step_ms = step_ms,
                             .source = fake_source_series(h->fake),
                             .query = context};
    TRY(promql_parse(h->arena, str_of(query), NULL, &expr, &h->err));
    return promql_eval(expr, str_of(query), params, &h->result, &h->err);
}

const char *harness_json(Harness *h, const char *query, int64_t start_ms, int64_t end_ms,
                         int64_t step_ms) {
    ResultJsonOptions options = {.annotations_max = 10};
    const char *copy;
    Buf json;

    if (harness_run(h, query, start_ms, end_ms, step_ms) != ERR_OK)
        return str_format(h->arena, "error: %s", h->err.text).ptr;
    buf_init(&json, 0);
    assert_ok(result_json_write(&h->result, h->symbols, str_of(query), &options, h->arena, &json,
                                &h->err),
              &h->err);
    copy = str_dup(h->arena, buf_str(&json)).ptr;
    buf_done(&json);
    return copy;
}

static size_t read_labels(Arena *arena, Str text, LabelPair *pairs) {
    size_t count = 0;
    Str name, rest;

    if (!str_cut(text, '{', &name, &rest)) rest = (Str){0};
    pairs[count++] = (LabelPair){STR("__name__"), name};
    while (rest.len > 0 && rest.ptr[0] != '}') {
        Str key, value;

        str_cut(rest, '=', &key, &rest);
        str_cut(str_from(rest, 1), '"', &value, &rest);
        if (rest.len > 0 && rest.ptr[0] == ',') rest = str_from(rest, 1);
        pairs[count++] = (LabelPair){key, value};
    }
    (void)arena;
    return count;
}

void harness_load(Harness *h, int64_t step_ms, const char *line) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LabelPair pairs[16];
    Str series, rest, item;
    size_t count;

    str_cut(str_of(line), ' ', &series, &rest);
    count = read_labels(arena, series, pairs);
    for (int64_t time = 0; rest.len > 0; time += step_ms) {
        uint64_t stale = STALE_NAN_BITS;
        double v;

        str_cut(rest, ' ', &item, &rest);
        if (str_equal(item, STR("_"))) continue;
        if (str_equal(item, STR("stale")))
            memcpy(&v, &stale, sizeof v);
        else
            assert_true(str_to_double(item, &v));
        fake_source_add(h->fake, pairs, count, time, v);
    }
}
