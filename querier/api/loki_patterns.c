/*
 * loki_patterns.c: /loki/api/v1/patterns: which kinds of lines there are, and how many when. As
 * Loki answers it, but for any range there are logs of.
 */
#include "common/base/json.h"
#include "querier/api/loki.h"
#include "querier/logql/engine/patterns.h"
#include "querier/logql/parser.h"

enum {
    POINTS_MAX = 11000,
    STEP_S_MIN = 10,   /* as fine as Loki's samples are */
    LINES_MIN = 30,    /* patterns of fewer are noise, */
    PATTERNS_MAX = 300 /* and after so many as well: both are Loki's */
};

static void write_pattern(const LogqlPattern *pattern, Buf *out) {
    buf_append_str(out, STR("{\"pattern\":"));
    json_append_string(out, pattern->text);
    buf_append_str(out, STR(",\"level\":"));
    json_append_string(out, pattern->level);
    buf_append_str(out, STR(",\"samples\":["));
    for (size_t i = 0; i < pattern->sample_count; i++)
        buf_printf(out, "%s[%lld,%llu]", i == 0 ? "" : ",",
                   (long long)(pattern->samples[i].time_ns / NS_PER_S),
                   (unsigned long long)pattern->samples[i].count);
    buf_append_str(out, STR("]}"));
}

static ErrCode read_params(ApiCall *call, LogqlParams *out, LogqlExpr **expr, Error *err) {
    Str query = STR("");

    TRY(loki_bounds(call, &out->start_ns, &out->end_ns, err));
    TRY(loki_duration_param(call, "step", loki_default_step(out->start_ns, out->end_ns),
                            &out->step_ns, err));
    if (out->step_ns <= 0)
        return error_set(err, ERR_INVALID,
                         "zero or negative query resolution step widths are not accepted. Try a "
                         "positive integer");
    if ((out->end_ns - out->start_ns) / out->step_ns > POINTS_MAX)
        return error_set(err, ERR_INVALID,
                         "exceeded maximum resolution of 11,000 points per time series. Try "
                         "increasing the value of the step parameter");
    out->step_ns = MAX(out->step_ns, STEP_S_MIN * NS_PER_S);
    TRY(loki_check_range(call, out->start_ns, out->end_ns, err));
    (void)api_param(call, "query", &query);
    TRY(logql_parse(call->arena, query, LOGQL_CHECKED, expr, err));
    if ((*expr)->kind != LOGQL_LOG)
        return error_set(err, ERR_INVALID, "only log selector is supported");
    return ERR_OK;
}

static ErrCode run_patterns(ApiCall *call, Buf *out, Error *err) {
    LogqlParams params = {
        .source = call->streams, .query = &call->query, .stats = &call->stream_stats};
    LogqlPatterns patterns;
    LogqlExpr *expr;

    TRY(read_params(call, &params, &expr, err));
    call->evaluating = true;
    TRY(logql_patterns(&expr->as.log, &params, LINES_MIN, PATTERNS_MAX, &patterns, err));
    buf_append_str(out, STR("{\"status\":\"success\",\"data\":["));
    for (size_t i = 0; i < patterns.count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        write_pattern(&patterns.patterns[i], out);
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

const ApiEndpoint api_loki_pattern_endpoints[] = {
    {HTTP_GET_ | HTTP_POST_, "/loki/api/v1/patterns", run_patterns, API_LOKI},
    {0, NULL, NULL, 0},
};
