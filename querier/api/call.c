/*
 * call.c: a request's way: tenant and limits on the loop, the endpoint on the query pool, an answer
 * in Prometheus' shape whatever happened.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/telemetry.h"
#include "common/net/cors.h"
#include "common/net/grpc.h"
#include "querier/api/internal.h"
#include "querier/logql/engine/cut.h"
#include "querier/logql/parser.h"

enum { TENANTS_MAX = 64, RESPONSE_BYTES_MAX = 1 << 30 };

typedef struct EndpointContext {
    Querier *querier;
    const ApiEndpoint *endpoint;
} EndpointContext;

/* ---- answers ---- */

void api_begin_data(Buf *out) {
    buf_append_str(out, STR("{\"status\":\"success\",\"data\":"));
}

void api_end_data(Buf *out, bool truncated) {
    if (truncated) buf_append_str(out, STR(",\"warnings\":[\"results truncated due to limit\"]"));
    buf_append_byte(out, '}');
}

ErrCode api_out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT,
                     "the query's memory limit is reached: narrow the query, or "
                     "raise limits.query_bytes_max or memory.limit");
}

void api_write_labels(Buf *out, const Symbols *symbols, LabelSet labels) {
    buf_append_byte(out, '{');
    for (uint32_t i = 0; i < labels.count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, symbols_str(symbols, labels.labels[i].name));
        buf_append_byte(out, ':');
        json_append_string(out, symbols_str(symbols, labels.labels[i].value));
    }
    buf_append_byte(out, '}');
}

/* Prometheus' error types and their statuses (web/api/v1). */
static const char *error_type_of(ErrCode code, int *status) {
    switch (code) {
    case ERR_INVALID:
        *status = 400;
        return "bad_data";
    case ERR_UNSUPPORTED:
    case ERR_LIMIT:
        *status = 422;
        return "execution";
    case ERR_DENIED:
        *status = 403;
        return "bad_data";
    case ERR_RATE:
        *status = 429;
        return "too_many_requests";
    case ERR_TIMEOUT:
        *status = 503;
        return "timeout";
    case ERR_CANCELLED:
        *status = 499;
        return "canceled";
    case ERR_NOT_FOUND:
        *status = 404;
        return "not_found";
    case ERR_UNAVAILABLE:
        *status = 503;
        return "unavailable";
    default:
        *status = 500;
        return "internal";
    }
}

/* Loki's statuses, and its form: plain text. */
static void answer_loki_error(HttpRequest *request, const Error *err) {
    int status = http_status(err->code);

    if (err->code == ERR_LIMIT) status = 400;
    if (err->code == ERR_UNSUPPORTED) status = 500; /* vectors that don't match */
    http_respond(request, status, "text/plain; charset=utf-8", str_of(err->text));
}

static void answer_text_error(HttpRequest *request, const Error *err) {
    int status;

    (void)error_type_of(err->code, &status);
    if (err->code == ERR_LIMIT) status = 400; /* asking for less is what helps */
    http_respond(request, status, "text/plain; charset=utf-8", str_of(err->text));
}

/* Tempo's, as plain text, too. */
static void answer_tempo_error(HttpRequest *request, const Error *err) {
    int status = http_status(err->code);

    if (err->code == ERR_LIMIT) status = 422;
    http_respond(request, status, "text/plain; charset=utf-8", str_of(err->text));
}

/* `evaluating`: what is wrong with the data or its labels is no fault of the request's form. */
static void answer_error(HttpRequest *request, const ApiEndpoint *endpoint, bool evaluating,
                         const Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf out = {0};
    int status;
    ErrCode code = evaluating && err->code == ERR_INVALID ? ERR_LIMIT : err->code;
    const char *type = error_type_of(code, &status);

    if ((endpoint->flags & API_GRPC) != 0) {
        grpc_respond_error(request, err, 0);
        return;
    }
    if (err->code == ERR_RATE || err->code == ERR_UNAVAILABLE)
        http_set_header(request, "Retry-After", STR("1"));
    if ((endpoint->flags & API_LOKI) != 0) {
        answer_loki_error(request, err);
        return;
    }
    if ((endpoint->flags & API_TEMPO) != 0) {
        answer_tempo_error(request, err);
        return;
    }
    if ((endpoint->flags & API_TEXT_ERRORS) != 0) {
        answer_text_error(request, err);
        return;
    }
    buf_init(&out, KIB(64));
    buf_printf(&out, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
    json_append_string(&out, str_of(err->text));
    buf_append_byte(&out, '}');
    http_respond_buf(request, status, "application/json", &out);
}

/* ---- the way of a call ---- */

static const char *result_of(const ApiCall *call, ErrCode code) {
    int status;

    if (call->evaluating && code == ERR_INVALID) code = ERR_LIMIT;
    return code == ERR_OK ? "success" : error_type_of(code, &status);
}

static void count_call(const char *result) {
    char labels[48];

    snprintf(labels, sizeof labels, "result=\"%s\"", result);
    counter_add(telemetry_counter("moraine_queries_total", labels,
                                  "Calls of the query API, by how they ended."),
                1);
}

static void log_slow(ApiCall *call, const char *result, double seconds) {
    const QuerierOptions *options = &call->querier->options;
    Str query = {0}, tenants = http_header(call->request, "X-Scope-OrgID");

    if (options->slow_ms <= 0 || seconds * 1000 < (double)options->slow_ms) return;
    counter_add(call->querier->slow_total, 1);
    if (!api_param(call, "query", &query) && !api_param(call, "q", &query))
        (void)api_param(call, "match[]", &query);
    LOG_WARN("slow query", LOG_STR("tenant", tenants.len > 0 ? tenants : call->tenants[0]),
             LOG_CSTR("endpoint", call->endpoint->path),
             LOG_STR("query", str_slice(query, 0, 1024)), LOG_CSTR("result", result),
             LOG_DOUBLE("seconds", seconds),
             LOG_U64("samples", atomic_load(&call->query.samples_read)),
             LOG_U64("cached_steps", call->cached.steps),
             LOG_U64("gets", atomic_load(&call->stats.gets)),
             LOG_U64("get_bytes", atomic_load(&call->stats.get_bytes)),
             LOG_U64("memory_peak", atomic_load(&call->budget.peak)));
}

/* Each tenant with its own retention of metrics, logs (API_LOKI) or traces (API_TEMPO). */
static const FetchTenant *fetch_tenants(ApiCall *call, unsigned signal) {
    FetchTenant *out = ARENA_ARRAY(call->arena, FetchTenant, call->tenant_count);
    const QuerierOptions *options = &call->querier->options;
    int64_t now_ms = clock_now_ms(options->clock);

    call->keep_from_ms = INT64_MIN;
    for (size_t i = 0; out != NULL && i < call->tenant_count; i++) {
        TenantLimits limits;

        tenants_limits(options->tenants, call->tenants[i], &limits);
        out[i] = (FetchTenant){.name = call->tenants[i],
                               .keep_from_ms = INT64_MIN,
                               .deletes_off = limits.deletion_mode == DELETION_DISABLED};
        int64_t retention_ms = limits.retention_metrics_ms;

        if (signal == API_LOKI) {
            out[i].log_streams = limits.log_streams;
            out[i].retention_ms = limits.retention_logs_ms;
            out[i].now_ms = now_ms;
            retention_ms = stream_retention_longest(limits.log_streams, limits.retention_logs_ms);
        }

        if (signal == API_TEMPO) retention_ms = limits.retention_traces_ms;
        if (retention_ms > 0) out[i].keep_from_ms = now_ms - retention_ms;
        call->keep_from_ms = MAX(call->keep_from_ms, out[i].keep_from_ms);
    }
    return out;
}

/* As Go prints a duration that isn't positive: 0s, -500ms, -1m30.5s. */
static void print_go_duration(char out[static 48], int64_t ms) {
    uint64_t rest = 0 - (uint64_t)ms, hours = rest / 3600000, minutes = rest / 60000 % 60;
    int at = 0;

    if (ms == 0 || rest < 1000) {
        snprintf(out, 48, ms == 0 ? "0s" : "-%llums", (unsigned long long)rest);
        return;
    }
    at = snprintf(out, 48, "-");
    if (hours > 0) at += snprintf(out + at, 48 - (size_t)at, "%lluh", (unsigned long long)hours);
    if (rest >= 60000)
        at += snprintf(out + at, 48 - (size_t)at, "%llum", (unsigned long long)minutes);
    snprintf(out + at, 48 - (size_t)at, "%gs", (double)(rest % 60000) / 1000);
}

static ErrCode tighten_timeout(const ApiCall *call, int64_t *timeout_ms, Error *err) {
    int64_t asked_ms;
    char shown[48];

    TRY(api_duration_param(call, "timeout", INT64_MAX, &asked_ms, err));
    if (asked_ms <= 0) {
        print_go_duration(shown, asked_ms);
        return error_set(err, ERR_INVALID,
                         "invalid parameter \"timeout\": timeout must be positive, got %s", shown);
    }
    if (asked_ms != INT64_MAX && (*timeout_ms <= 0 || asked_ms < *timeout_ms))
        *timeout_ms = asked_ms;
    return ERR_OK;
}

/* What is read of a signal. */
static ErrCode open_source(ApiCall *call, unsigned signal, Error *err) {
    const FetchOptions *fetch = &call->querier->options.fetch;
    const FetchTenant *tenants = fetch_tenants(call, signal);
    bool made = false;

    if (tenants == NULL) return api_out_of_memory(err);
    if (signal == API_LOKI) {
        call->streams =
            fetch_streams_new(fetch, tenants, call->tenant_count, &call->stats, call->arena);
        made = call->streams != NULL;
    } else if (signal == API_TEMPO) {
        call->traces =
            fetch_traces_new(fetch, tenants, call->tenant_count, &call->stats, call->arena);
        made = call->traces != NULL;
    } else {
        call->source =
            fetch_source_new(fetch, tenants, call->tenant_count, &call->stats, call->arena);
        made = call->source != NULL;
    }
    return made ? ERR_OK : api_out_of_memory(err);
}

static ErrCode prepare(ApiCall *call, Error *err) {
    Querier *querier = call->querier;
    unsigned flags = call->endpoint->flags;
    int64_t timeout_ms = call->limits.query_timeout_ms;

    call->arena = arena_new(0, &call->budget);
    call->query.symbols = symbols_new(call->arena);
    if (call->query.symbols == NULL) return api_out_of_memory(err);
    if ((flags & (API_LOKI | API_TEMPO)) == 0) TRY(open_source(call, 0, err));
    if ((flags & (API_LOKI | API_SIGNALS)) != 0) TRY(open_source(call, API_LOKI, err));
    if ((flags & (API_TEMPO | API_SIGNALS)) != 0) TRY(open_source(call, API_TEMPO, err));
    if ((call->endpoint->flags & API_TIMEOUT) != 0) TRY(tighten_timeout(call, &timeout_ms, err));
    call->query.arena = call->arena;
    call->query.pool = querier->pool;
    call->query.cancelled = http_cancel_flag(call->request);
    call->query.samples_max = call->limits.query_samples_max;
    call->query.series_max = call->limits.query_series_max;
    if (timeout_ms > 0)
        call->query.deadline_ns = call->started_ns + (uint64_t)timeout_ms * 1000000u;
    if ((call->endpoint->flags & API_GRPC) != 0) {
        uint64_t deadline_ns = grpc_deadline_ns(call->request);

        if (deadline_ns != 0 &&
            (call->query.deadline_ns == 0 || deadline_ns < call->query.deadline_ns))
            call->query.deadline_ns = deadline_ns;
    }
    return query_check(&call->query, err);
}

static void run_call(void *context) {
    ApiCall *call = context;
    ScheduledTask task = call->task; /* the call goes with its request */
    CLEANUP_IN_PLACE(buf_done) Buf out;
    Error err = {0};
    ErrCode code;
    double seconds;

    buf_init(&out, RESPONSE_BYTES_MAX);
    code = prepare(call, &err);
    if (code == ERR_OK) code = call->endpoint->run(call, &out, &err);
    if (code == ERR_OK && buf_failed(&out))
        code = error_set(&err, ERR_LIMIT, "the answer is larger than %d bytes: ask for less",
                         RESPONSE_BYTES_MAX);
    seconds = (double)(clock_monotonic_ns(clock_system()) - call->started_ns) / 1e9;
    histogram_observe(call->querier->seconds, seconds);
    count_call(result_of(call, code));
    log_slow(call, result_of(call, code), seconds);
    /* What points into heads and pages goes before the answer does: it may be the last to hold
     * them, and the client need not wait for that, but nothing may touch the call afterwards. */
    arena_free(call->arena);
    if (call->hand_over != NULL) {
        call->hand_over(call);
    } else if (call->streaming) {
        err.code = code;
        if ((call->endpoint->flags & API_GRPC) != 0)
            grpc_respond_end(call->request, code == ERR_OK ? NULL : &err);
        else if (code == ERR_OK)
            http_respond_end(call->request);
        else
            http_respond_abort(call->request);
    } else if (code != ERR_OK) {
        err.code = code;
        answer_error(call->request, call->endpoint, call->evaluating, &err);
    } else {
        http_respond_buf(call->request, call->status, call->content_type, &out);
    }
    scheduler_finished(&task);
}

/* `a|b|c` asks several tenants at once. */
static ErrCode read_tenants(ApiCall *call, Error *err) {
    Str header = http_header(call->request, "X-Scope-OrgID"), rest = header;
    Arena *arena = http_arena(call->request);
    Str *tenants = ARENA_ARRAY(arena, Str, TENANTS_MAX);
    bool more = true;

    if (tenants == NULL) return error_set(err, ERR_UNAVAILABLE, "out of memory");
    call->tenants = tenants;
    if (header.len == 0) {
        tenants[call->tenant_count++] = TENANT_ANONYMOUS;
        return ERR_OK;
    }
    while (more) {
        bool known = false;
        Str one;

        more = str_cut(rest, '|', &one, &rest);
        TRY(tenant_check(one, err));
        for (size_t i = 0; i < call->tenant_count; i++) known = known || str_equal(tenants[i], one);
        if (known) continue;
        if (call->tenant_count == TENANTS_MAX)
            return error_set(err, ERR_INVALID, "X-Scope-OrgID names more than %d tenants",
                             TENANTS_MAX);
        tenants[call->tenant_count++] = one;
    }
    return ERR_OK;
}

static uint64_t tighter(uint64_t a, uint64_t b) {
    return a == 0 ? b : b == 0 ? a : MIN(a, b);
}

static void read_limits(ApiCall *call) {
    TenantLimits *all = &call->limits;

    call->generation = tenants_generation(call->querier->options.tenants);
    tenants_limits(call->querier->options.tenants, call->tenants[0], all);
    for (size_t i = 1; i < call->tenant_count; i++) {
        TenantLimits one;

        tenants_limits(call->querier->options.tenants, call->tenants[i], &one);
        all->query_samples_max = tighter(all->query_samples_max, one.query_samples_max);
        all->query_series_max = tighter(all->query_series_max, one.query_series_max);
        all->query_bytes_max = tighter(all->query_bytes_max, one.query_bytes_max);
        all->query_concurrency_max = tighter(all->query_concurrency_max, one.query_concurrency_max);
        all->query_timeout_ms = (int64_t)tighter((uint64_t)MAX(all->query_timeout_ms, 0),
                                                 (uint64_t)MAX(one.query_timeout_ms, 0));
        all->log_tails_max = tighter(all->log_tails_max, one.log_tails_max);
        all->log_query_entries_max = tighter(all->log_query_entries_max, one.log_query_entries_max);
        all->log_query_range_ms_max =
            (int64_t)tighter((uint64_t)MAX(all->log_query_range_ms_max, 0),
                             (uint64_t)MAX(one.log_query_range_ms_max, 0));
        all->query_range_ms_max = (int64_t)tighter((uint64_t)MAX(all->query_range_ms_max, 0),
                                                   (uint64_t)MAX(one.query_range_ms_max, 0));
    }
}

static void handle(HttpRequest *request, void *context) {
    const EndpointContext *endpoint = context;
    ApiCall *call = ARENA_NEW(http_arena(request), ApiCall);
    Error err = {0};

    cors_apply(endpoint->querier->options.cors, request);
    if (http_method(request) == HTTP_OPTIONS_) {
        http_respond(request, 204, NULL, STR(""));
        return;
    }
    if (call == NULL) {
        error_set(&err, ERR_UNAVAILABLE, "out of memory");
        answer_error(request, endpoint->endpoint, false, &err);
        return;
    }
    call->status = 200;
    call->content_type = "application/json";
    call->querier = endpoint->querier;
    call->endpoint = endpoint->endpoint;
    call->request = request;
    call->started_ns = clock_monotonic_ns(clock_system());
    call->task.run = run_call;
    call->task.what = call;
    if (read_tenants(call, &err) != ERR_OK) {
        answer_error(request, endpoint->endpoint, false, &err);
        return;
    }
    read_limits(call);
    budget_init(&call->budget, "query", call->limits.query_bytes_max,
                endpoint->querier->options.queries);
    if (scheduler_submit(endpoint->querier->scheduler, call->tenants[0],
                         call->limits.query_concurrency_max, &call->task, &err) != ERR_OK)
        answer_error(request, endpoint->endpoint, false, &err);
}

/* ---- the querier ---- */

static const ApiEndpoint *const endpoint_lists[] = {
    api_query_endpoints,         api_series_endpoints,       api_status_endpoints,
    api_read_endpoints,          api_federate_endpoints,     api_loki_query_endpoints,
    api_loki_meta_endpoints,     api_loki_field_endpoints,   api_loki_delete_endpoints,
    api_loki_tail_endpoints,     api_loki_pattern_endpoints, api_tempo_trace_endpoints,
    api_tempo_status_endpoints,  api_correlate_endpoints,    api_tempo_search_endpoints,
    api_tempo_metrics_endpoints, api_tempo_stream_endpoints, api_tempo_tag_endpoints,
};

static size_t count_endpoints(void) {
    size_t count = 0;

    for (size_t l = 0; l < ARRAY_LEN(endpoint_lists); l++)
        for (const ApiEndpoint *e = endpoint_lists[l]; e->path != NULL; e++) count++;
    return count;
}

static ErrCode open_results(Querier *querier, Error *err) {
    const QuerierOptions *options = &querier->options;
    ResultCacheOptions cache = {.bytes_max = options->results_bytes,
                                .parent = options->results,
                                .changes = options->changes,
                                .min_age_ms = options->results_min_age_ms};

    if (options->results_bytes == 0 || options->changes == NULL) return ERR_OK;
    querier->results = result_cache_new(&cache);
    if (querier->results == NULL) return error_set(err, ERR_LIMIT, "querier: out of memory");
    return ERR_OK;
}

ErrCode querier_new(const QuerierOptions *options, Querier **out, Error *err) {
    Querier *querier = calloc(1, sizeof *querier);
    ErrCode code;

    if (querier == NULL) return error_set(err, ERR_LIMIT, "querier: out of memory");
    querier->options = *options;
    querier->started_ms = clock_now_ms(options->clock);
    querier->contexts = calloc(count_endpoints(), sizeof *querier->contexts);
    querier->seconds =
        telemetry_histogram("moraine_query_duration_seconds", "",
                            "Time from a query's arrival to its answer.", 0.001, 2, 18);
    querier->slow_total =
        telemetry_counter("moraine_query_slow_total", "", "Queries slower than query.slow.");
    code = pool_new("query", options->threads, 100000, &querier->pool, err);
    if (code == ERR_OK) {
        querier->scheduler = scheduler_new(querier->pool, options->threads);
        if (querier->scheduler == NULL || querier->contexts == NULL)
            code = error_set(err, ERR_LIMIT, "querier: out of memory");
    }
    if (code == ERR_OK && options->tails != NULL)
        code = tailers_new(
            &(TailersOptions){
                .news = options->tails,
                .budget = options->queries,
                .clock = options->clock,
                .duration_max_ms = options->tail_duration_max_ms,
            },
            &querier->tailers, err);
    if (code == ERR_OK) code = open_results(querier, err);
    if (code != ERR_OK) {
        querier_free(querier);
        return code;
    }
    if (options->fetch.cache != NULL && options->fetch.manifest != NULL)
        querier->warmer = warmer_start(options->fetch.cache, options->fetch.manifest);
    *out = querier;
    return ERR_OK;
}

void querier_free(Querier *querier) {
    if (querier == NULL) return;
    warmer_stop(querier->warmer);
    tailers_stop(querier->tailers);
    pool_free(querier->pool);
    tailers_free(querier->tailers);
    scheduler_free(querier->scheduler);
    result_cache_free(querier->results);
    free(querier->contexts);
    free(querier);
}

ErrCode querier_parse_selector(Arena *arena, Str selector, const Matcher **out, size_t *count,
                               Error *err) {
    return logql_parse_matchers(arena, selector, LOGQL_CHECKED, out, count, err);
}

const LogCutLanguage *querier_delete_language(void) {
    return logql_cut_language();
}

void querier_stop_tails(Querier *querier) {
    tailers_stop(querier->tailers);
}

void querier_register(Querier *querier, HttpServer *server) {
    static const char *const prefixes[] = {"", "/prometheus"}, *const loki[] = {"", "/logs"};
    static const char *const tempo[] = {"", "/tempo"};
    size_t used = 0;

    for (size_t l = 0; l < ARRAY_LEN(endpoint_lists); l++)
        for (const ApiEndpoint *e = endpoint_lists[l]; e->path != NULL; e++) {
            EndpointContext *context = &querier->contexts[used++];

            *context = (EndpointContext){querier, e};
            if ((e->flags & API_GRPC) != 0) {
                grpc_route(server, e->path, handle, context, MIB(1));
                continue;
            }
            for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
                char path[128];

                if ((e->flags & API_LOKI) != 0)
                    snprintf(path, sizeof path, "%s%s", loki[p], e->path);
                else if ((e->flags & API_TEMPO) != 0)
                    snprintf(path, sizeof path, "%s%s", tempo[p], e->path);
                else
                    snprintf(path, sizeof path, "%s%s%s", prefixes[p],
                             (e->flags & API_AT_ROOT) != 0 ? "" : "/api/v1", e->path);
                HttpRoute route = {.methods = e->methods | HTTP_OPTIONS_,
                                   .path = path,
                                   .handle = handle,
                                   .context = context,
                                   .body_bytes_max = MIB(16)};

                http_server_route(server, &route);
            }
        }
}
