/*
 * loki_tail.c: /loki/api/v1/tail: a log query whose new entries go to a WebSocket. What is wrong
 * with the request is told before the switch of protocols, what is wrong with the query's work is
 * the reason of a close, as with Loki.
 */
#include "common/base/clock.h"
#include "querier/api/loki.h"
#include "querier/logql/parser.h"

enum { TAIL_LIMIT = 100, DELAY_S_MAX = 5, CLOCKS_APART_S = 10 };

typedef struct TailParams {
    Str query;
    LogqlExpr *expr;
    uint64_t limit;
    int64_t start_ns;
    uint64_t delay_s;
} TailParams;

static ErrCode delay_param(const ApiCall *call, uint64_t *out, Error *err) {
    Str text;

    *out = 0;
    if (!api_param(call, "delay_for", &text) || text.len == 0) return ERR_OK;
    if (!str_to_u64(text, out))
        return error_set(err, ERR_INVALID,
                         "strconv.ParseUint: parsing \"" STR_FMT "\": invalid syntax",
                         STR_ARG(str_slice(text, 0, 80)));
    if (*out > DELAY_S_MAX)
        return error_set(err, ERR_INVALID, "delay_for can't be greater than %d", DELAY_S_MAX);
    return ERR_OK;
}

static ErrCode tail_params(ApiCall *call, TailParams *out, Error *err) {
    int64_t end_ns;

    out->query = STR("");
    (void)api_param(call, "query", &out->query);
    TRY(logql_parse(call->arena, out->query, LOGQL_CHECKED, &out->expr, err));
    TRY(loki_limit_param(call, "limit", TAIL_LIMIT, &out->limit, err));
    TRY(loki_bounds(call, &out->start_ns, &end_ns, err));
    TRY(delay_param(call, &out->delay_s, err));
    if (call->tenant_count > 1) return error_set(err, ERR_INVALID, "multiple org IDs present");
    if (call->querier->tailers == NULL)
        return error_set(err, ERR_UNAVAILABLE, "this process has no ingester to tail");
    return ERR_OK;
}

/* What is there already: the newest entries since `start`. Some of them may be from a sender whose
 * clock is ahead of ours; like new ones they go out when their time has come. */
static ErrCode read_history(ApiCall *call, const TailParams *params, bool categorize, Error *err) {
    int64_t now_ns = clock_now_ms(call->querier->options.clock) * 1000000;
    LogqlParams query = {.start_ns = params->start_ns,
                         .end_ns = MAX(now_ns + CLOCKS_APART_S * NS_PER_S, params->start_ns),
                         .backward = true,
                         .limit = params->limit,
                         .categorize = categorize,
                         .source = call->streams,
                         .query = &call->query,
                         .stats = &call->stream_stats};
    LogqlResult result = {0};

    TRY(loki_check_range(call, query.start_ns, query.end_ns, err));
    TRY(loki_check_entries(call, params->limit, err));
    TRY(logql_eval(params->expr, &query, &result, err));
    return tail_history(call->tail, &result, err);
}

static ErrCode begin_tail(ApiCall *call, const TailParams *params, Error *err) {
    TailOptions options = {.tenant = call->tenants[0],
                           .tails_max = call->limits.log_tails_max,
                           .query = params->query,
                           .delay_ns = (int64_t)params->delay_s * NS_PER_S,
                           .categorize = loki_wants_categories(call),
                           .legacy =
                               str_equal(str_of(call->endpoint->path), STR("/api/prom/tail"))};

    if (options.legacy) options.categorize = false;
    TRY(tail_open(call->querier->tailers, &options, &call->tail, err));
    return read_history(call, params, options.categorize, err);
}

static void start_tail(ApiCall *call) {
    tail_start(call->tail, call->request);
}

static void end_tail(ApiCall *call) {
    Error why = call->farewell; /* the call goes with the request */

    tail_abandon(call->tail);
    websocket_end(call->request, WEBSOCKET_INTERNAL, str_of(why.text));
}

static ErrCode run_tail(ApiCall *call, Buf *out, Error *err) {
    TailParams params = {0};
    ErrCode code;

    (void)out;
    TRY(tail_params(call, &params, err));
    if (websocket_begin(call->request, err) != ERR_OK) {
        http_set_header(call->request, "Sec-Websocket-Version", STR("13"));
        return err->code;
    }
    code = begin_tail(call, &params, err);
    if (code != ERR_OK) call->farewell = *err;
    call->hand_over = code == ERR_OK ? start_tail : end_tail;
    return code;
}

const ApiEndpoint api_loki_tail_endpoints[] = {
    {HTTP_GET_ | HTTP_POST_, "/loki/api/v1/tail", run_tail, API_LOKI},
    {HTTP_GET_ | HTTP_POST_, "/api/prom/tail", run_tail, API_LOKI},
    {0, NULL, NULL, 0},
};
