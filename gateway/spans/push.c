/*
 * push.c: one request of spans that aren't OTLP's, from the socket to the sink and back: as
 * gateway/otlp/push.c has it.
 */
#include "gateway/spans/push.h"

#include <stdio.h>

#include "common/net/cors.h"
#include "common/net/grpc.h"
#include "gateway/identity.h"
#include "gateway/inflate.h"
#include "gateway/jaeger/decode.h"
#include "gateway/zipkin/decode.h"

enum { PUSH_MAGIC = 0x5350414e, RETRY_AFTER_S = 5 };

typedef enum Protocol { ZIPKIN_JSON, JAEGER_THRIFT, JAEGER_GRPC } Protocol;

typedef struct Push {
    uint32_t magic;
    Protocol protocol;
    Gateway *gateway;
    HttpRequest *request;
    Str tenant;
    TenantLimits limits;
    Spans spans;
} Push;

/* ---------- answers ---------- */

static void respond_done(Push *push) {
    if (push->protocol == JAEGER_GRPC)
        grpc_respond(push->request, STR(""));
    else
        http_respond(push->request, 202, NULL, STR(""));
}

static void respond_error(HttpRequest *request, bool grpc, const Error *err,
                          uint64_t retry_after_ms) {
    Error told = *err;
    char seconds[24];

    if (retry_after_ms == 0) retry_after_ms = RETRY_AFTER_S * 1000;
    switch (told.code) {
    case ERR_CORRUPT: /* what was sent, not what is stored */
        told.code = ERR_INVALID;
        break;
    case ERR_INTERNAL: /* senders give up on 500, and this may pass */
        told.code = ERR_UNAVAILABLE;
        break;
    default:
        break;
    }
    if (grpc) {
        grpc_respond_error(request, &told, retry_after_ms);
        return;
    }
    if (told.code == ERR_RATE || told.code == ERR_UNAVAILABLE) {
        snprintf(seconds, sizeof seconds, "%llu",
                 (unsigned long long)((retry_after_ms + 999) / 1000));
        http_set_header(request, "Retry-After", str_of(seconds));
    }
    http_respond_error(request, &told);
}

static void respond_push_error(Push *push, const Error *err, uint64_t retry_after_ms) {
    respond_error(push->request, push->protocol == JAEGER_GRPC, err, retry_after_ms);
}

/* Ends the request where its spans were stored, or where there were none to store. */
static void finish(Push *push, const AppendResult *result) {
    Spans *spans = &push->spans;
    uint64_t refused = spans->rejected + result->over_limit;
    Error err = result->first;

    spans->rejects.by_reason[SPAN_REJECT_TRACE_LIMIT] += result->over_limit;
    span_rejects_report(&spans->rejects, push->tenant, result->spans,
                        result->code == ERR_OK ? spans->batch.bytes : 0);
    if (result->code != ERR_OK) {
        err.code = result->code == ERR_LIMIT ? ERR_UNAVAILABLE : result->code;
        if (err.text[0] == '\0') error_set(&err, err.code, "the spans could not be stored");
        respond_push_error(push, &err, 0);
        return;
    }
    if (refused == 0) {
        respond_done(push);
        return;
    }
    error_set(&err, ERR_INVALID, "%s (%llu spans of this request were refused, %llu were stored)",
              spans->rejected > 0 ? spans->first.text : result->first.text,
              (unsigned long long)refused, (unsigned long long)result->spans);
    respond_push_error(push, &err, 0);
}

static void stored(void *context, const AppendResult *result) {
    Push *push = context;

    assert(push->magic == PUSH_MAGIC);
    finish(push, result);
}

/* ---------- the request's way ---------- */

static ErrCode inflate(Push *push, Str *out, Error *err) {
    uint64_t limit = push->limits.request_bytes_max;
    size_t bytes_max = limit > 0 ? (size_t)limit : SIZE_MAX / 4;
    ErrCode code = push->protocol == JAEGER_GRPC
                       ? grpc_message(push->request, bytes_max, out, err)
                       : http_body_decoded(push->request, bytes_max, out, err);

    return code == ERR_LIMIT ? error_wrap(err, "limits.request_bytes_max") : code;
}

static ErrCode decode(Push *push, Str body, Error *err) {
    static ErrCode (*const decoders[])(Foreign * foreign, Str body, Error * err) = {
        [ZIPKIN_JSON] = zipkin_decode_json,
        [JAEGER_THRIFT] = jaeger_decode_thrift,
        [JAEGER_GRPC] = jaeger_decode_proto,
    };
    Foreign foreign;
    ErrCode code;

    TRY(foreign_init(&foreign, &push->spans, http_arena(push->request), err));
    code = decoders[push->protocol](&foreign, body, err);
    foreign_done(&foreign);
    return code;
}

static ErrCode take(Push *push, uint64_t *retry_after_ms, Error *err) {
    const GatewayOptions *options = &push->gateway->options;
    uint64_t count;
    Str body = STR("");
    ErrCode code;

    TRY(inflate(push, &body, err));
    code = decode(push, body, err);
    if (code == ERR_LIMIT) return inflate_no_memory(err);
    if (code != ERR_OK) return code;
    count = push->spans.batch.item_count;
    code = tenants_take(options->tenants, push->tenant, count, clock_monotonic_ns(options->clock),
                        retry_after_ms, err);
    if (code == ERR_OK) return ERR_OK;
    push->spans.rejects.by_reason[SPAN_REJECT_RATE_LIMITED] += count;
    span_rejects_report(&push->spans.rejects, push->tenant, 0, 0);
    return code;
}

static void run(void *what) {
    static const AppendResult nothing;
    Push *push = what;
    SpansSink *sink = push->gateway->options.spans;
    uint64_t retry_after_ms = 0;
    Error err;

    assert(push->magic == PUSH_MAGIC);
    if (take(push, &retry_after_ms, &err) != ERR_OK)
        respond_push_error(push, &err, retry_after_ms);
    else if (push->spans.batch.item_count == 0)
        finish(push, &nothing);
    else /* maybe answered already when this returns */
        sink->append(sink, &push->spans.batch, stored, push);
}

/* Zipkin's senders don't all say that they send JSON; what they say when they don't is refused. */
static ErrCode check_type(const HttpRequest *request, Protocol protocol, Error *err) {
    bool zipkin = protocol == ZIPKIN_JSON, known;
    Str media, rest;

    if (protocol == JAEGER_GRPC) return ERR_OK;
    str_cut(http_header(request, "Content-Type"), ';', &media, &rest);
    media = str_trim(media);
    known = zipkin ? !str_equal_nocase(media, STR("application/x-protobuf")) &&
                         !str_equal_nocase(media, STR("application/x-thrift"))
                   : str_equal_nocase(media, STR("application/x-thrift")) ||
                         str_equal_nocase(media, STR("application/vnd.apache.thrift.binary"));
    if (known) return ERR_OK;
    return error_set(err, ERR_UNSUPPORTED, "Content-Type is \"" STR_FMT "\"; accepted is %s",
                     STR_ARG(str_slice(media, 0, 100)),
                     zipkin ? "application/json" : "application/x-thrift");
}

static ErrCode begin(Push *push, Error *err) {
    const GatewayOptions *options = &push->gateway->options;

    TRY(check_type(push->request, push->protocol, err));
    TRY(gateway_tenant(push->request, &push->tenant, err));
    tenants_limits(options->tenants, push->tenant, &push->limits);
    spans_init(&push->spans, push->tenant, options->spans->origin_seed, http_arena(push->request));
    return ERR_OK;
}

static void handle(HttpRequest *request, Gateway *gateway, Protocol protocol) {
    Push *push = ARENA_NEW(http_arena(request), Push);
    Error err;

    /* Held before any buffer is, so that it goes after all of them. */
    if (push == NULL || !gateway_hold(gateway, http_arena(request))) {
        inflate_no_memory(&err);
        respond_error(request, protocol == JAEGER_GRPC, &err, 0);
        return;
    }
    push->magic = PUSH_MAGIC;
    push->protocol = protocol;
    push->gateway = gateway;
    push->request = request;
    if (begin(push, &err) != ERR_OK) {
        respond_push_error(push, &err, 0);
    } else if (http_body(request).len <= gateway->options.inline_bytes_max ||
               gateway->options.pool == NULL) {
        run(push);
    } else if (!pool_submit(gateway->options.pool, run, push)) {
        error_set(&err, ERR_UNAVAILABLE, "too many large requests at once; try again");
        respond_push_error(push, &err, 0);
    }
}

static void handle_http(HttpRequest *request, Gateway *gateway, Protocol protocol) {
    cors_apply(gateway->options.cors, request);
    if (http_method(request) == HTTP_OPTIONS_)
        http_respond(request, 204, NULL, STR(""));
    else
        handle(request, gateway, protocol);
}

static void handle_zipkin(HttpRequest *request, void *context) {
    handle_http(request, context, ZIPKIN_JSON);
}

static void handle_jaeger(HttpRequest *request, void *context) {
    handle_http(request, context, JAEGER_THRIFT);
}

static void handle_jaeger_call(HttpRequest *request, void *context) {
    handle(request, context, JAEGER_GRPC);
}

/* ---------- routes ---------- */

static void add_routes(Gateway *gateway, HttpServer *server, const char *const *paths, size_t count,
                       void (*handler)(HttpRequest *request, void *context)) {
    if (gateway->options.spans == NULL) return;
    for (size_t i = 0; i < count; i++) {
        HttpRoute route = {.methods = HTTP_POST_ | HTTP_OPTIONS_,
                           .path = paths[i],
                           .handle = handler,
                           .context = gateway,
                           .body_bytes_max = gateway->options.wire_bytes_max};

        http_server_route(server, &route);
    }
}

void zipkin_register(Gateway *gateway, HttpServer *server) {
    static const char *const paths[] = {"/api/v2/spans", "/zipkin/api/v2/spans"};

    add_routes(gateway, server, paths, ARRAY_LEN(paths), handle_zipkin);
}

void jaeger_register(Gateway *gateway, HttpServer *server) {
    static const char *const paths[] = {"/api/traces", "/tempo/api/traces"};

    add_routes(gateway, server, paths, ARRAY_LEN(paths), handle_jaeger);
}

void jaeger_register_grpc(Gateway *gateway, HttpServer *server) {
    if (gateway->options.spans == NULL) return;
    grpc_route(server, "/jaeger.api_v2.CollectorService/PostSpans", handle_jaeger_call, gateway,
               gateway->options.wire_bytes_max);
}
