/*
 * push.c: one export request from the socket to the sink and back.
 *
 *     handle (loop)    headers, tenant, limits; small bodies go on at once, large ones on the pool
 *     take   (either)  inflate, JSON to protobuf, walk into a batch, the tenant's rate, hand over
 *     stored (a lane)  answer
 *
 * The same for OTLP over HTTP and over gRPC, which differ in how a body is wrapped and in how an
 * answer looks.
 *
 * Everything lives in the request's arena but the protobuf that was made of JSON, which goes with
 * it. After an answer nothing of it may be touched.
 */
#include <stdio.h>

#include "common/net/cors.h"
#include "common/net/grpc.h"
#include "gateway/identity.h"
#include "gateway/inflate.h"
#include "gateway/internal.h"
#include "gateway/otlp/answer.h"
#include "gateway/otlp/decode.h"
#include "gateway/otlp/json.h"

enum { PUSH_MAGIC = 0x4f544c50, RETRY_AFTER_S = 5 };

typedef struct Push {
    uint32_t magic;
    bool json;
    bool grpc;
    OtlpRequest kind;
    Gateway *gateway;
    HttpRequest *request;
    Str tenant;
    Str encoding;
    TenantLimits limits;
    int64_t now_ms;
    Buf wire;  /* what JSON became */
    Buf ruled; /* what the tenant's rules made of it */
    OtlpOutcome outcome;
    Rows rows;       /* of metrics */
    Streams streams; /* of logs */
    Spans spans;     /* of traces */
} Push;

static void release_ruled(void *what) {
    buf_done(&((Push *)what)->ruled);
}

static void release_wire(void *what) {
    buf_done(&((Push *)what)->wire);
}

/* Frees `body`, which isn't the request's. */
static void respond(Push *push, int status, Buf *body) {
    const char *type = push->json ? "application/json" : "application/x-protobuf";

    if (push->grpc && !buf_failed(body))
        grpc_respond(push->request, buf_str(body));
    else if (buf_failed(body))
        http_respond(push->request, 503, "text/plain; charset=utf-8", STR("out of memory"));
    else
        http_respond(push->request, status, type, buf_str(body));
    buf_done(body);
}

/* gRPC's exporters repeat UNAVAILABLE, and RESOURCE_EXHAUSTED with RetryInfo: so what may work
 * later is one of those, as over HTTP, and a request that is too large is no rate that was
 * exceeded. */
static void respond_error_grpc(Push *push, const Error *err, uint64_t retry_after_ms) {
    Error told = *err;

    if (told.code == ERR_INTERNAL || told.code == ERR_NOT_FOUND || told.code == ERR_EXISTS)
        told.code = ERR_UNAVAILABLE;
    if (retry_after_ms == 0) retry_after_ms = RETRY_AFTER_S * 1000;
    grpc_respond_error(push->request, &told, retry_after_ms);
}

static void respond_error(Push *push, const Error *err, uint64_t retry_after_ms) {
    Buf body;
    char seconds[24];
    int status;

    if (push->grpc) {
        respond_error_grpc(push, err, retry_after_ms);
        return;
    }
    buf_init(&body, 0);
    status = otlp_answer_error(push->json, err, &body);
    if (status == 429 || status == 503) {
        snprintf(seconds, sizeof seconds, "%llu",
                 (unsigned long long)(retry_after_ms == 0 ? RETRY_AFTER_S
                                                          : (retry_after_ms + 999) / 1000));
        http_set_header(push->request, "Retry-After", str_of(seconds));
    }
    respond(push, status, &body);
}

static void report(Push *push, const AppendResult *result) {
    switch (push->kind) {
    case OTLP_METRICS_REQUEST:
        push->rows.rejects.by_reason[REJECT_CONFLICT] += result->conflicts;
        push->rows.rejects.by_reason[REJECT_SERIES_LIMIT] += result->over_limit;
        rejects_report(&push->rows.rejects, push->tenant, result->samples + result->histograms);
        break;
    case OTLP_LOGS_REQUEST:
        push->streams.rejects.by_reason[LOG_REJECT_STREAM_LIMIT] += result->over_limit;
        log_rejects_report(&push->streams.rejects, push->tenant, result->entries,
                           result->code == ERR_OK ? push->streams.batch.bytes : 0);
        break;
    case OTLP_TRACES_REQUEST:
        push->spans.rejects.by_reason[SPAN_REJECT_TRACE_LIMIT] += result->over_limit;
        span_rejects_report(&push->spans.rejects, push->tenant, result->spans,
                            result->code == ERR_OK ? push->spans.batch.bytes : 0);
    }
}

/* Ends the request where its data was stored, or where there was none to store. */
static void finish(Push *push, const AppendResult *result) {
    Buf body;
    uint64_t rejected = push->outcome.rejected + result->conflicts + result->over_limit;
    Str why = str_of(push->outcome.rejected > 0 ? push->outcome.first.text : result->first.text);
    Error err = result->first;

    report(push, result);
    if (result->code != ERR_OK) {
        /* Memory is a matter of time here, unlike a request that is too large in itself. */
        err.code = result->code == ERR_LIMIT ? ERR_UNAVAILABLE : result->code;
        if (err.text[0] == '\0') error_set(&err, err.code, "the data could not be stored");
        respond_error(push, &err, 0);
        return;
    }
    buf_init(&body, 0);
    otlp_answer_done(push->json, push->kind, rejected, rejected > 0 ? why : STR(""), &body);
    respond(push, 200, &body);
}

static void stored(void *context, const AppendResult *result) {
    Push *push = context;

    assert(push->magic == PUSH_MAGIC);
    if (push->kind == OTLP_METRICS_REQUEST && result->code == ERR_OK) rows_stored(&push->rows);
    finish(push, result);
}

static size_t bytes_max(const Push *push) {
    uint64_t limit = push->limits.request_bytes_max;

    return limit > 0 ? (size_t)limit : SIZE_MAX / 4;
}

static ErrCode inflate(Push *push, Str *out, Error *err) {
    Arena *arena = http_arena(push->request);
    Str sent = http_body(push->request);
    ErrCode code;

    if (push->grpc) {
        code = grpc_message(push->request, bytes_max(push), out, err);
        return code == ERR_LIMIT ? error_wrap(err, "limits.request_bytes_max") : code;
    }
    if (push->encoding.len > 0 && !str_equal_nocase(push->encoding, STR("identity"))) {
        if (!str_equal_nocase(push->encoding, STR("gzip")) &&
            !str_equal_nocase(push->encoding, STR("deflate")) &&
            !str_equal_nocase(push->encoding, STR("zstd")))
            return error_set(err, ERR_UNSUPPORTED,
                             "Content-Encoding is " STR_FMT "; accepted are gzip, deflate and zstd",
                             STR_ARG(str_slice(push->encoding, 0, 100)));
        code = http_decode(push->encoding, sent, bytes_max(push), arena, &sent, err);
        if (code == ERR_LIMIT) return error_wrap(err, "limits.request_bytes_max");
        if (code != ERR_OK) return code;
    }
    if (sent.len > bytes_max(push))
        return error_set(err, ERR_LIMIT, "the body has %zu bytes; limits.request_bytes_max is %zu",
                         sent.len, bytes_max(push));
    if (!push->json) {
        *out = sent;
        return ERR_OK;
    }
    buf_init(&push->wire, bytes_max(push));
    if (!arena_on_free(arena, release_wire, push)) return inflate_no_memory(err);
    TRY(otlp_json_to_wire(push->kind, sent, arena, &push->wire, err));
    *out = buf_str(&push->wire);
    return ERR_OK;
}

/* Of logs and metrics; those of spans are applied to their batch, whatever protocol it came by. */
static ErrCode apply_rules(Push *push, Str *body, Error *err) {
    RuleSignal signal = push->kind == OTLP_LOGS_REQUEST ? RULE_LOGS : RULE_METRICS;
    Arena *arena = http_arena(push->request);
    uint64_t dropped = 0;
    ErrCode code;

    if (push->kind == OTLP_TRACES_REQUEST || !rules_any(push->limits.rules, signal)) return ERR_OK;
    buf_init(&push->ruled, bytes_max(push));
    if (!arena_on_free(arena, release_ruled, push)) return inflate_no_memory(err);
    code = rules_rewrite(push->limits.rules, signal, *body, arena, &push->ruled, &dropped, err);
    if (code == ERR_LIMIT) return error_wrap(err, "limits.request_bytes_max, with rules applied");
    if (code != ERR_OK) return code;
    rules_report(push->tenant, signal, dropped);
    *body = buf_str(&push->ruled);
    return ERR_OK;
}

static ErrCode decode(Push *push, Str body, Error *err) {
    const OtlpSettings *settings = &push->gateway->otlp;
    ErrCode code;

    switch (push->kind) {
    case OTLP_METRICS_REQUEST:
        code = otlp_decode_metrics(&push->rows, settings, body, &push->outcome, err);
        break;
    case OTLP_LOGS_REQUEST:
        code = otlp_decode_logs(&push->streams, settings, push->now_ms * 1000000, body,
                                &push->outcome, err);
        break;
    default:
        code = otlp_decode_traces(&push->spans, body, &push->outcome, err);
    }
    return code == ERR_LIMIT ? inflate_no_memory(err) : code;
}

static uint64_t items(const Push *push) {
    switch (push->kind) {
    case OTLP_METRICS_REQUEST:
        return push->rows.batch.sample_count + push->rows.batch.histogram_count;
    case OTLP_LOGS_REQUEST:
        return push->streams.batch.entry_count;
    default:
        return push->spans.batch.item_count;
    }
}

/* The tenant's rate doesn't allow for it. */
static void report_rate(Push *push) {
    static const AppendResult nothing;

    push->rows.rejects.by_reason[REJECT_RATE_LIMITED] += items(push);
    push->streams.rejects.by_reason[LOG_REJECT_RATE_LIMITED] += items(push);
    push->spans.rejects.by_reason[SPAN_REJECT_RATE_LIMITED] += items(push);
    report(push, &nothing);
}

static ErrCode take(Push *push, uint64_t *retry_after_ms, Error *err) {
    Gateway *gateway = push->gateway;
    Str body = STR("");
    ErrCode code;

    TRY(inflate(push, &body, err));
    TRY(apply_rules(push, &body, err));
    TRY(decode(push, body, err));
    code = tenants_take(gateway->options.tenants, push->tenant, items(push),
                        clock_monotonic_ns(gateway->options.clock), retry_after_ms, err);
    if (code != ERR_OK) report_rate(push);
    return code;
}

static void submit(Push *push) {
    const GatewayOptions *options = &push->gateway->options;

    switch (push->kind) {
    case OTLP_METRICS_REQUEST:
        options->metrics->append(options->metrics, &push->rows.batch, stored, push);
        break;
    case OTLP_LOGS_REQUEST:
        options->logs->append(options->logs, &push->streams.batch, stored, push);
        break;
    case OTLP_TRACES_REQUEST:
        options->spans->append(options->spans, &push->spans.batch, stored, push);
    }
}

static void run(void *what) {
    static const AppendResult nothing;
    Push *push = what;
    uint64_t retry_after_ms = 0;
    Error err;

    assert(push->magic == PUSH_MAGIC);
    if (take(push, &retry_after_ms, &err) != ERR_OK)
        respond_error(push, &err, retry_after_ms);
    else if (items(push) == 0 &&
             (push->kind != OTLP_METRICS_REQUEST || push->rows.batch.metadata_count == 0))
        finish(push, &nothing);
    else
        submit(push); /* maybe answered already when it returns */
}

static void push_init(Push *push, uint64_t generation) {
    const GatewayOptions *options = &push->gateway->options;
    Arena *arena = http_arena(push->request);

    tenants_limits(options->tenants, push->tenant, &push->limits);
    push->now_ms = clock_now_ms(options->clock);
    if (push->kind == OTLP_METRICS_REQUEST) {
        RowsOptions rows = {
            .tenant = push->tenant,
            .limits = &push->limits,
            .series_seed = options->metrics->series_seed,
            .known = push->gateway->known,
            .generation = generation,
            .now_ms = push->now_ms,
        };

        rows_init(&push->rows, &rows, arena);
    } else if (push->kind == OTLP_TRACES_REQUEST) {
        spans_init(&push->spans, push->tenant, options->spans->origin_seed, arena);
    } else {
        StreamsOptions streams = {
            .tenant = push->tenant,
            .limits = &push->limits,
            .stream_seed = options->logs->stream_seed,
            .now_ns = push->now_ms * 1000000,
        };

        streams_init(&push->streams, &streams, arena);
    }
}

static ErrCode read_headers(Push *push, Error *err) {
    Str type = http_header(push->request, "Content-Type"), media, rest;

    if (push->grpc) return gateway_tenant(push->request, &push->tenant, err);
    str_cut(type, ';', &media, &rest);
    media = str_trim(media);
    push->json = str_equal_nocase(media, STR("application/json"));
    push->encoding = str_trim(http_header(push->request, "Content-Encoding"));
    if (!push->json && !str_equal_nocase(media, STR("application/x-protobuf")) &&
        !str_equal_nocase(media, STR("application/protobuf")))
        return error_set(err, ERR_UNSUPPORTED,
                         "Content-Type is \"" STR_FMT
                         "\"; accepted are application/x-protobuf and application/json",
                         STR_ARG(str_slice(media, 0, 100)));
    return gateway_tenant(push->request, &push->tenant, err);
}

static void handle(HttpRequest *request, Gateway *gateway, OtlpRequest kind, bool grpc) {
    uint64_t generation = tenants_generation(gateway->options.tenants); /* before the limits */
    Push *push = ARENA_NEW(http_arena(request), Push);
    Error err;

    /* Held before any buffer is, so that it goes after all of them. */
    if (push == NULL || !gateway_hold(gateway, http_arena(request))) {
        inflate_no_memory(&err);
        if (grpc)
            grpc_respond_error(request, &err, 0);
        else
            http_respond_error(request, &err);
        return;
    }
    push->magic = PUSH_MAGIC;
    push->gateway = gateway;
    push->request = request;
    push->kind = kind;
    push->grpc = grpc;
    if (read_headers(push, &err) != ERR_OK) {
        respond_error(push, &err, 0);
        return;
    }
    push_init(push, generation);
    if (http_body(request).len <= gateway->options.inline_bytes_max ||
        gateway->options.pool == NULL) {
        run(push);
    } else if (!pool_submit(gateway->options.pool, run, push)) {
        error_set(&err, ERR_UNAVAILABLE, "too many large requests at once; try again");
        respond_error(push, &err, 0);
    }
}

static void handle_http(HttpRequest *request, Gateway *gateway, OtlpRequest kind) {
    cors_apply(gateway->options.cors, request);
    if (http_method(request) == HTTP_OPTIONS_)
        http_respond(request, 204, NULL, STR(""));
    else
        handle(request, gateway, kind, false);
}

#define HANDLER(name, kind)                                                                        \
    static void handle_##name(HttpRequest *request, void *context) {                               \
        handle_http(request, context, kind);                                                       \
    }                                                                                              \
    static void handle_##name##_call(HttpRequest *request, void *context) {                        \
        handle(request, context, kind, true);                                                      \
    }
HANDLER(metrics, OTLP_METRICS_REQUEST)
HANDLER(logs, OTLP_LOGS_REQUEST)
HANDLER(traces, OTLP_TRACES_REQUEST)

/* Whether there is somewhere to put it. */
static bool taken(const Gateway *gateway, OtlpRequest kind) {
    return kind == OTLP_METRICS_REQUEST || (kind == OTLP_LOGS_REQUEST && gateway->options.logs) ||
           (kind == OTLP_TRACES_REQUEST && gateway->options.spans);
}

void otlp_register_grpc(Gateway *gateway, HttpServer *server) {
    static const struct {
        const char *path;
        OtlpRequest kind;
        void (*handle)(HttpRequest *request, void *context);
    } calls[] = {
        {"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", OTLP_METRICS_REQUEST,
         handle_metrics_call},
        {"/opentelemetry.proto.collector.logs.v1.LogsService/Export", OTLP_LOGS_REQUEST,
         handle_logs_call},
        {"/opentelemetry.proto.collector.trace.v1.TraceService/Export", OTLP_TRACES_REQUEST,
         handle_traces_call},
    };

    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        if (taken(gateway, calls[i].kind))
            grpc_route(server, calls[i].path, calls[i].handle, gateway,
                       gateway->options.wire_bytes_max);
}

void otlp_register(Gateway *gateway, HttpServer *server) {
    static const struct {
        const char *path;
        OtlpRequest kind;
    } routes[] = {
        {"/v1/metrics", OTLP_METRICS_REQUEST},
        {"/otlp/v1/metrics", OTLP_METRICS_REQUEST},
        {"/api/v1/otlp/v1/metrics", OTLP_METRICS_REQUEST},
        {"/prometheus/api/v1/otlp/v1/metrics", OTLP_METRICS_REQUEST},
        {"/v1/logs", OTLP_LOGS_REQUEST},
        {"/otlp/v1/logs", OTLP_LOGS_REQUEST},
        {"/logs/otlp/v1/logs", OTLP_LOGS_REQUEST},
        {"/v1/traces", OTLP_TRACES_REQUEST},
        {"/otlp/v1/traces", OTLP_TRACES_REQUEST},
        {"/tempo/otlp/v1/traces", OTLP_TRACES_REQUEST},
    };
    static void (*const handlers[])(HttpRequest * request, void *context) = {
        [OTLP_METRICS_REQUEST] = handle_metrics,
        [OTLP_LOGS_REQUEST] = handle_logs,
        [OTLP_TRACES_REQUEST] = handle_traces,
    };

    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        HttpRoute route = {.methods = HTTP_POST_ | HTTP_OPTIONS_,
                           .path = routes[i].path,
                           .handle = handlers[routes[i].kind],
                           .context = gateway,
                           .body_bytes_max = gateway->options.wire_bytes_max};

        if (taken(gateway, routes[i].kind)) http_server_route(server, &route);
    }
}
