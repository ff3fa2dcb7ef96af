/*
 * loki_query.c: LogQL's instant and range queries, and its formatter.
 */
#include "common/base/clock.h"
#include "common/base/json.h"
#include "querier/api/loki.h"
#include "querier/logql/engine/result_json.h"
#include "querier/logql/parser.h"

enum { POINTS_MAX = 11000, DEFAULT_LIMIT = 100 };

static ErrCode parse_query(ApiCall *call, LogqlExpr **out, Error *err) {
    Str text = STR("");

    (void)api_param(call, "query", &text);
    return logql_parse(call->arena, text, LOGQL_CHECKED, out, err);
}

static ErrCode direction_param(const ApiCall *call, bool *backward, Error *err) {
    Str text;

    *backward = true;
    if (!api_param(call, "direction", &text) || str_equal_nocase(text, STR("backward")))
        return ERR_OK;
    *backward = false;
    if (str_equal_nocase(text, STR("forward"))) return ERR_OK;
    return error_set(err, ERR_INVALID, "invalid direction '" STR_FMT "'",
                     STR_ARG(str_slice(text, 0, 80)));
}

static ErrCode evaluate(ApiCall *call, const LogqlExpr *expr, LogqlParams *params, Buf *out,
                        Error *err) {
    LogqlJsonOptions options = {.categorize = loki_wants_categories(call),
                                .stats = &call->stream_stats};
    LogqlResult result = {0};

    params->categorize = options.categorize;
    params->source = call->streams;
    params->query = &call->query;
    params->stats = &call->stream_stats;
    params->result_series_max = call->limits.query_series_max;
    call->evaluating = true;
    TRY(logql_eval(expr, params, &result, err));
    options.exec_ns = clock_monotonic_ns(clock_system()) - call->started_ns;
    return logql_json_write(&result, call->query.symbols, &options, out, err);
}

static ErrCode run_query(ApiCall *call, Buf *out, Error *err) {
    LogqlParams params = {0};
    int64_t now_ns = clock_now_ms(call->querier->options.clock) * 1000000;
    LogqlExpr *expr;

    TRY(loki_time_param(call, "time", now_ns, &params.start_ns, err));
    TRY(loki_limit_param(call, "limit", DEFAULT_LIMIT, &params.limit, err));
    TRY(direction_param(call, &params.backward, err));
    TRY(parse_query(call, &expr, err));
    params.end_ns = params.start_ns;
    return evaluate(call, expr, &params, out, err);
}

ErrCode loki_check_entries(const ApiCall *call, uint64_t limit, Error *err) {
    uint64_t max = call->limits.log_query_entries_max;

    if (max == 0 || limit <= max) return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "max entries limit per query exceeded, limit > limits.log_query_entries_max "
                     "(%llu > %llu)",
                     (unsigned long long)limit, (unsigned long long)max);
}

static ErrCode range_params(ApiCall *call, LogqlParams *params, Error *err) {
    TRY(loki_bounds(call, &params->start_ns, &params->end_ns, err));
    TRY(loki_limit_param(call, "limit", DEFAULT_LIMIT, &params->limit, err));
    TRY(direction_param(call, &params->backward, err));
    TRY(loki_duration_param(call, "step", loki_default_step(params->start_ns, params->end_ns),
                            &params->step_ns, err));
    if (params->step_ns <= 0)
        return error_set(err, ERR_INVALID,
                         "zero or negative query resolution step widths are not accepted. Try a "
                         "positive integer");
    if ((params->end_ns - params->start_ns) / params->step_ns > POINTS_MAX)
        return error_set(err, ERR_INVALID,
                         "exceeded maximum resolution of 11,000 points per time series. Try "
                         "increasing the value of the step parameter");
    TRY(loki_duration_param(call, "interval", 0, &params->interval_ns, err));
    if (params->interval_ns < 0) return error_set(err, ERR_INVALID, "interval must be >= 0");
    return loki_check_range(call, params->start_ns, params->end_ns, err);
}

static ErrCode run_query_range(ApiCall *call, Buf *out, Error *err) {
    LogqlParams params = {0};
    LogqlExpr *expr;

    TRY(range_params(call, &params, err));
    TRY(parse_query(call, &expr, err));
    if (expr->kind == LOGQL_LOG) TRY(loki_check_entries(call, params.limit, err));
    return evaluate(call, expr, &params, out, err);
}

/* Also its errors are JSON. */
static ErrCode run_format(ApiCall *call, Buf *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf text;
    LogqlExpr *expr;

    buf_init(&text, MIB(4));
    if (parse_query(call, &expr, err) != ERR_OK) {
        if (err->code != ERR_INVALID) return err->code;
        call->status = 400;
        buf_append_str(out, STR("{\"status\":\"invalid-query\",\"error\":"));
        json_append_string(out, str_of(err->text));
        buf_append_byte(out, '}');
        return ERR_OK;
    }
    logql_print_pretty(expr, &text);
    if (buf_failed(&text)) return api_out_of_memory(err);
    buf_append_str(out, STR("{\"status\":\"success\",\"data\":"));
    json_append_string(out, buf_str(&text));
    buf_append_byte(out, '}');
    return ERR_OK;
}

const ApiEndpoint api_loki_query_endpoints[] = {
    {HTTP_GET_ | HTTP_POST_, "/loki/api/v1/query", run_query, API_LOKI},
    {HTTP_GET_ | HTTP_POST_, "/loki/api/v1/query_range", run_query_range, API_LOKI},
    {HTTP_GET_ | HTTP_POST_, "/api/prom/query", run_query_range, API_LOKI},
    {HTTP_GET_ | HTTP_POST_, "/loki/api/v1/format_query", run_format, API_LOKI},
    {0, NULL, NULL, 0},
};
