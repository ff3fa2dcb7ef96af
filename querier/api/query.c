/*
 * query.c: instant and range queries, and exemplars.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "querier/api/internal.h"
#include "querier/promql/engine.h"
#include "querier/promql/result_json.h"

enum { POINTS_MAX = 11000, ANNOTATIONS_MAX = 10 };

static ErrCode parse_query(ApiCall *call, Str *text, PromqlExpr **out, Error *err) {
    PromqlOptions options = {.experimental_off = call->querier->options.experimental_off};

    *text = (Str){0};
    (void)api_param(call, "query", text);
    if (promql_parse(call->arena, *text, &options, out, err) != ERR_OK)
        return error_wrap(err, "invalid parameter \"query\"");
    return ERR_OK;
}

/* data.stats, for a client that asked for it. */
static Str write_stats(const ApiCall *call, Buf *out) {
    QueryContext *query = (QueryContext *)(uintptr_t)&call->query;
    BlockStats *stats = (BlockStats *)(uintptr_t)&call->stats;
    double seconds = (double)(clock_monotonic_ns(clock_system()) - call->started_ns) / 1e9;

    buf_printf(out,
               "{\"timings\":{\"evalTotalTime\":%.9f,\"resultSortTime\":0,"
               "\"queryPreparationTime\":0,\"innerEvalTime\":%.9f,\"execQueueTime\":0,"
               "\"execTotalTime\":%.9f},\"samples\":{\"totalQueryableSamples\":%llu,"
               "\"samplesRead\":%llu,\"peakSamples\":%llu},",
               seconds, seconds, seconds, (unsigned long long)atomic_load(&query->samples_read),
               (unsigned long long)atomic_load(&query->samples_read),
               (unsigned long long)atomic_load(&query->samples_peak));
    buf_printf(out, "\"store\":{\"gets\":%llu,\"bytes\":%llu,\"cacheHits\":%llu}}",
               (unsigned long long)atomic_load(&stats->gets),
               (unsigned long long)atomic_load(&stats->get_bytes),
               (unsigned long long)atomic_load(&stats->cache_hits));
    return buf_failed(out) ? (Str){0} : buf_str(out);
}

/* Cache-Control: no-store, as clients of Mimir say it. */
static bool is_no_store(const ApiCall *call) {
    Str rest = http_header(call->request, "Cache-Control"), one;

    for (bool more = rest.len > 0; more;) {
        more = str_cut(rest, ',', &one, &rest);
        if (str_equal_nocase(str_trim(one), STR("no-store"))) return true;
    }
    return false;
}

static ErrCode evaluate_range(ApiCall *call, PromqlExpr *expr, Str text, const PromqlParams *params,
                              PromqlResult *out, Error *err) {
    CachedQuery query = {
        .tenants = call->tenants,
        .tenant_count = call->tenant_count,
        .generation = call->generation,
        .keep_from_ms = call->keep_from_ms,
        .now_ms = clock_now_ms(call->querier->options.clock),
    };
    ResultCache *cache = call->querier->results;
    Str wanted;

    /* Statistics are of an evaluation. */
    if (is_no_store(call) || api_param(call, "stats", &wanted)) cache = NULL;
    return range_eval(cache, &query, expr, text, params, out, &call->cached, err);
}

static ErrCode evaluate(ApiCall *call, PromqlExpr *expr, Str text, int64_t start_ms, int64_t end_ms,
                        int64_t step_ms, Buf *out, Error *err) {
    PromqlParams params = {
        .start_ms = start_ms,
        .end_ms = end_ms,
        .step_ms = step_ms,
        .source = call->source,
        .query = &call->query,
    };
    ResultJsonOptions options = {.annotations_max = ANNOTATIONS_MAX};
    CLEANUP_IN_PLACE(buf_done) Buf stats;
    PromqlResult result = {0};
    uint64_t limit;
    Str wanted;

    buf_init(&stats, KIB(4));
    TRY(api_duration_param(call, "lookback_delta", call->querier->options.lookback_ms,
                           &params.lookback_ms, err));
    TRY(api_u64_param(call, "limit", 0, &limit, err));
    if (promql_resolve_durations(expr, text, start_ms, end_ms, step_ms, err) != ERR_OK)
        return error_wrap(err, "invalid parameter \"query\"");
    call->evaluating = true;
    if (step_ms > 0)
        TRY(evaluate_range(call, expr, text, &params, &result, err));
    else
        TRY(promql_eval(expr, text, &params, &result, err));
    options.series_max = (size_t)limit;
    if (api_param(call, "stats", &wanted)) options.stats = write_stats(call, &stats);
    return result_json_write(&result, call->query.symbols, text, &options, call->arena, out, err);
}

static ErrCode run_query(ApiCall *call, Buf *out, Error *err) {
    int64_t time_ms;
    PromqlExpr *expr;
    Str text;

    TRY(api_time_param(call, "time", clock_now_ms(call->querier->options.clock), &time_ms, err));
    TRY(parse_query(call, &text, &expr, err));
    return evaluate(call, expr, text, time_ms, time_ms, 0, out, err);
}

static ErrCode range_params(const ApiCall *call, int64_t *start_ms, int64_t *end_ms,
                            int64_t *step_ms, Error *err) {
    int64_t range_max = call->limits.query_range_ms_max;
    Str text;

    if (!api_param(call, "start", &text) || !api_param(call, "end", &text))
        return error_set(err, ERR_INVALID,
                         "invalid parameter \"%s\": cannot parse \"\" to a valid timestamp",
                         api_param(call, "start", &text) ? "end" : "start");
    TRY(api_time_param(call, "start", 0, start_ms, err));
    TRY(api_time_param(call, "end", 0, end_ms, err));
    if (*end_ms < *start_ms)
        return error_set(err, ERR_INVALID,
                         "invalid parameter \"end\": end timestamp must not be before start time");
    if (!api_param(call, "step", &text))
        return error_set(err, ERR_INVALID,
                         "invalid parameter \"step\": cannot parse \"\" to a valid duration");
    TRY(api_duration_param(call, "step", 0, step_ms, err));
    if (*step_ms <= 0)
        return error_set(err, ERR_INVALID,
                         "invalid parameter \"step\": zero or negative query resolution step "
                         "widths are not accepted. Try a positive integer");
    if (((uint64_t)*end_ms - (uint64_t)*start_ms) / (uint64_t)*step_ms > POINTS_MAX)
        return error_set(err, ERR_INVALID,
                         "exceeded maximum resolution of 11,000 points per timeseries. Try "
                         "decreasing the query resolution (?step=XX)");
    if (range_max > 0 && *end_ms - *start_ms > range_max)
        return error_set(
            err, ERR_INVALID,
            "the query spans %lld s, more than this tenant's limits.query_range_max of "
            "%lld s: ask for less, or raise the limit for all tenants or below "
            "overrides",
            (long long)(*end_ms - *start_ms) / 1000, (long long)range_max / 1000);
    return ERR_OK;
}

static ErrCode run_query_range(ApiCall *call, Buf *out, Error *err) {
    int64_t start_ms, end_ms, step_ms;
    PromqlExpr *expr;
    Str text;

    TRY(range_params(call, &start_ms, &end_ms, &step_ms, err));
    TRY(parse_query(call, &text, &expr, err));
    if (expr->type != PROMQL_TYPE_SCALAR && expr->type != PROMQL_TYPE_VECTOR)
        return error_set(err, ERR_INVALID,
                         "invalid parameter \"query\": invalid expression type \"%s\" for range "
                         "query, must be Scalar or instant Vector",
                         promql_type_name(expr->type));
    return evaluate(call, expr, text, start_ms, end_ms, step_ms, out, err);
}

/* ---- exemplars ---- */

typedef struct Selectors {
    const PromqlExpr **items; /* NULL while they are only counted */
    size_t count;
} Selectors;

/* Every selector of the expression: exemplars of all its series are of interest. */
static void find_selectors(const PromqlExpr *expr, Selectors *out) {
    if (expr == NULL) return;
    switch (expr->kind) {
    case PROMQL_SELECTOR:
        if (out->items != NULL) out->items[out->count] = expr;
        out->count++;
        return;
    case PROMQL_MATRIX:
        find_selectors(expr->as.matrix.inner, out);
        return;
    case PROMQL_SUBQUERY:
        find_selectors(expr->as.subquery.inner, out);
        return;
    case PROMQL_CALL:
        for (size_t i = 0; i < expr->as.call.arg_count; i++)
            find_selectors(expr->as.call.args[i], out);
        return;
    case PROMQL_AGGREGATE:
        find_selectors(expr->as.aggregate.param, out);
        find_selectors(expr->as.aggregate.inner, out);
        return;
    case PROMQL_BINARY:
        find_selectors(expr->as.binary.left, out);
        find_selectors(expr->as.binary.right, out);
        return;
    case PROMQL_UNARY:
        find_selectors(expr->as.unary.inner, out);
        return;
    case PROMQL_PAREN:
        find_selectors(expr->as.paren.inner, out);
        return;
    case PROMQL_NUMBER:
    case PROMQL_STRING:
    case PROMQL_DURATION:
        return;
    }
}

static void write_exemplars(const ApiCall *call, const ExemplarSeries *series, Buf *out) {
    buf_append_str(out, STR("{\"seriesLabels\":"));
    api_write_labels(out, call->query.symbols, series->labels);
    buf_append_str(out, STR(",\"exemplars\":["));
    for (size_t e = 0; e < series->count; e++) {
        const Exemplar *exemplar = &series->exemplars[e];

        if (e > 0) buf_append_byte(out, ',');
        buf_append_str(out, STR("{\"labels\":"));
        api_write_labels(out, call->query.symbols, exemplar->labels);
        buf_append_str(out, STR(",\"value\":\""));
        json_append_sample_value(out, exemplar->value);
        buf_append_str(out, STR("\",\"timestamp\":"));
        json_append_time_ms(out, exemplar->time_ms);
        buf_append_byte(out, '}');
    }
    buf_append_str(out, STR("]}"));
}

typedef struct FoundExemplars {
    ExemplarSeries *series;
    size_t count;
} FoundExemplars;

static ErrCode add_exemplars(ApiCall *call, const PromqlExpr *selector, int64_t min_ms,
                             int64_t max_ms, FoundExemplars *found, Error *err) {
    SelectRequest request = {
        .matchers = selector->as.selector.matchers,
        .matcher_count = selector->as.selector.matcher_count,
        .min_ms = min_ms,
        .max_ms = max_ms,
    };
    ExemplarSeries *series;
    size_t count;

    TRY(query_check(&call->query, err));
    TRY(call->source->exemplars(call->source, &call->query, &request, &series, &count, err));
    if (count == 0) return ERR_OK;
    found->series = arena_grow(call->arena, found->series, found->count * sizeof *found->series,
                               (found->count + count) * sizeof *found->series);
    if (found->series == NULL) return api_out_of_memory(err);
    memcpy(found->series + found->count, series, count * sizeof *series);
    found->count += count;
    return ERR_OK;
}

static int compare_series(const void *a, const void *b, void *symbols) {
    return label_set_compare(symbols, ((const ExemplarSeries *)a)->labels,
                             ((const ExemplarSeries *)b)->labels);
}

static ErrCode run_exemplars(ApiCall *call, Buf *out, Error *err) {
    int64_t min_ms, max_ms;
    Selectors selectors = {0};
    FoundExemplars found = {0};
    PromqlExpr *expr;
    Str text;

    TRY(api_range_params(call, &min_ms, &max_ms, err));
    if (max_ms < min_ms)
        return error_set(err, ERR_INVALID, "end timestamp must not be before start timestamp");
    TRY(parse_query(call, &text, &expr, err));
    find_selectors(expr, &selectors);
    selectors.items = ARENA_ARRAY(call->arena, const PromqlExpr *, selectors.count);
    if (selectors.items == NULL) return api_out_of_memory(err);
    selectors.count = 0;
    find_selectors(expr, &selectors);
    for (size_t s = 0; s < selectors.count; s++)
        TRY(add_exemplars(call, selectors.items[s], min_ms, max_ms, &found, err));
    if (found.count > 1)
        qsort_r(found.series, found.count, sizeof *found.series, compare_series,
                call->query.symbols);
    api_begin_data(out);
    buf_append_byte(out, '[');
    for (size_t i = 0; i < found.count; i++) {
        /* Several selectors may have found the same one, with the same exemplars. */
        if (i > 0 && label_set_equal(found.series[i - 1].labels, found.series[i].labels)) continue;
        if (i > 0) buf_append_byte(out, ',');
        write_exemplars(call, &found.series[i], out);
    }
    buf_append_byte(out, ']');
    api_end_data(out, false);
    return ERR_OK;
}

const ApiEndpoint api_query_endpoints[] = {
    {HTTP_GET_ | HTTP_POST_, "/query", run_query, API_TIMEOUT},
    {HTTP_GET_ | HTTP_POST_, "/query_range", run_query_range, API_TIMEOUT},
    {HTTP_GET_ | HTTP_POST_, "/query_exemplars", run_exemplars, 0},
    {0, NULL, NULL, 0},
};
