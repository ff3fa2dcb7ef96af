/*
 * push.c: one push of logs from the socket to the sink and back.
 *
 *     handle (loop)    headers, tenant, limits; small bodies go on at once, large ones on the pool
 *     take   (either)  inflate, walk into streams, the tenant's rate, hand over to the sink
 *     stored (a lane)  answer
 *
 * Everything lives in the request's arena but the inflated body, whose buffer goes back when the
 * arena does. After an answer nothing of it may be touched.
 *
 * What senders do with an answer decides it: Promtail and Alloy repeat 429 and 5xx and drop a batch
 * on any other 4xx, Fluent Bit repeats everything but 400. So what can't get better is 400.
 */
#include <stdio.h>

#include "gateway/identity.h"
#include "gateway/inflate.h"
#include "gateway/internal.h"
#include "gateway/loki/decode.h"

enum { PUSH_MAGIC = 0x4c4f4753, RETRY_AFTER_S = 5 };

typedef struct Push {
    uint32_t magic;
    bool json;
    Gateway *gateway;
    HttpRequest *request;
    Str tenant;
    Str encoding;
    TenantLimits limits;
    Streams streams;
} Push;

static void respond_error(HttpRequest *request, const Error *err, uint64_t retry_after_ms) {
    int status;
    char seconds[24];

    switch (err->code) {
    case ERR_INVALID:
    case ERR_CORRUPT:
    case ERR_UNSUPPORTED:
        status = 400;
        break;
    case ERR_DENIED:
        status = 403;
        break;
    case ERR_LIMIT:
        status = 413;
        break;
    case ERR_RATE:
        status = 429;
        break;
    default:
        status = 503;
    }
    if (status == 429 || status == 503) {
        snprintf(seconds, sizeof seconds, "%llu",
                 (unsigned long long)(retry_after_ms == 0 ? RETRY_AFTER_S
                                                          : (retry_after_ms + 999) / 1000));
        http_set_header(request, "Retry-After", str_of(seconds));
    }
    http_respond(request, status, "text/plain; charset=utf-8", str_of(err->text));
}

static ErrCode inflate(Push *push, Str *out, Error *err) {
    Arena *arena = http_arena(push->request);
    Str sent = http_body(push->request);
    uint64_t bytes_max = push->limits.request_bytes_max;
    bool snappy = str_equal_nocase(push->encoding, STR("snappy"));

    if (push->encoding.len > 0 && !snappy) {
        ErrCode code;

        if (!str_equal_nocase(push->encoding, STR("gzip")) &&
            !str_equal_nocase(push->encoding, STR("deflate")) &&
            !str_equal_nocase(push->encoding, STR("zstd")))
            return error_set(err, ERR_UNSUPPORTED,
                             "Content-Encoding is " STR_FMT
                             "; accepted are gzip, deflate, zstd, and snappy for protobuf",
                             STR_ARG(str_slice(push->encoding, 0, 100)));
        code = http_decode(push->encoding, sent, bytes_max > 0 ? (size_t)bytes_max : SIZE_MAX / 4,
                           arena, &sent, err);
        if (code == ERR_LIMIT) return error_wrap(err, "limits.request_bytes_max");
        if (code != ERR_OK) return code;
    }
    if (!push->json)
        return inflate_snappy(push->gateway->buffers, arena, sent, bytes_max, out, err);
    if (bytes_max > 0 && sent.len > bytes_max)
        return error_set(err, ERR_LIMIT, "the body has %zu bytes; limits.request_bytes_max is %llu",
                         sent.len, (unsigned long long)bytes_max);
    *out = sent;
    return ERR_OK;
}

/* Ends the request where its entries were stored, or where there were none to store. */
static void finish(Push *push, const AppendResult *result) {
    LogRejects *rejects = &push->streams.rejects;
    const LogsBatch *batch = &push->streams.batch;
    Error err = result->first;

    rejects->by_reason[LOG_REJECT_STREAM_LIMIT] += result->over_limit;
    log_rejects_report(rejects, push->tenant, result->entries,
                       result->code == ERR_OK ? batch->bytes : 0);
    if (result->code != ERR_OK) {
        /* Memory is a matter of time here, unlike a request that is too large in itself. */
        err.code = result->code == ERR_LIMIT ? ERR_UNAVAILABLE : result->code;
        if (err.text[0] == '\0') error_set(&err, err.code, "the entries could not be stored");
    } else if (rejects->entries > 0) {
        error_set(&err, ERR_INVALID,
                  "%s (%llu entries of this request were refused, %llu were stored)",
                  rejects->first.text, (unsigned long long)(rejects->entries + result->over_limit),
                  (unsigned long long)result->entries);
    } else if (result->over_limit > 0) {
        err.code = ERR_RATE; /* as Loki: streams may end, and then there is room */
    } else {
        http_respond(push->request, 204, NULL, STR(""));
        return;
    }
    respond_error(push->request, &err, 0);
}

static void stored(void *context, const AppendResult *result) {
    Push *push = context;

    assert(push->magic == PUSH_MAGIC);
    finish(push, result);
}

static ErrCode take(Push *push, uint64_t *retry_after_ms, Error *err) {
    Gateway *gateway = push->gateway;
    const LogsBatch *batch = &push->streams.batch;
    Str body = STR("");
    ErrCode code;

    TRY(inflate(push, &body, err));
    TRY(push->json ? loki_decode_json(&push->streams, body, err)
                   : loki_decode_proto(&push->streams, body, err));
    code = tenants_take(gateway->options.tenants, push->tenant, batch->entry_count,
                        clock_monotonic_ns(gateway->options.clock), retry_after_ms, err);
    if (code == ERR_OK) return ERR_OK;
    push->streams.rejects.by_reason[LOG_REJECT_RATE_LIMITED] += batch->entry_count;
    log_rejects_report(&push->streams.rejects, push->tenant, 0, 0);
    return code;
}

static void run(void *what) {
    static const AppendResult nothing;
    Push *push = what;
    LogsSink *sink = push->gateway->options.logs;
    uint64_t retry_after_ms = 0;
    Error err;

    assert(push->magic == PUSH_MAGIC);
    if (take(push, &retry_after_ms, &err) != ERR_OK)
        respond_error(push->request, &err, retry_after_ms);
    else if (push->streams.batch.entry_count == 0)
        finish(push, &nothing);
    else /* maybe answered already when this returns */
        sink->append(sink, &push->streams.batch, stored, push);
}

static void push_init(Push *push, Gateway *gateway, HttpRequest *request) {
    const GatewayOptions *options = &gateway->options;
    Str media, rest;
    StreamsOptions streams;

    str_cut(http_header(request, "Content-Type"), ';', &media, &rest);
    push->magic = PUSH_MAGIC;
    push->gateway = gateway;
    push->request = request;
    push->json = str_equal_nocase(str_trim(media), STR("application/json"));
    push->encoding = str_trim(http_header(request, "Content-Encoding"));
    tenants_limits(options->tenants, push->tenant, &push->limits);
    streams = (StreamsOptions){
        .tenant = push->tenant,
        .limits = &push->limits,
        .stream_seed = options->logs->stream_seed,
        .now_ns = clock_now_ms(options->clock) * 1000000,
    };
    streams_init(&push->streams, &streams, http_arena(request));
}

static void handle(HttpRequest *request, void *context) {
    Gateway *gateway = context;
    Push *push = ARENA_NEW(http_arena(request), Push);
    Error err;

    /* Held before any buffer is, so that it goes after all of them. */
    if (push == NULL || !gateway_hold(gateway, http_arena(request))) {
        inflate_no_memory(&err);
        respond_error(request, &err, 0);
        return;
    }
    if (gateway_tenant(request, &push->tenant, &err) != ERR_OK) {
        respond_error(request, &err, 0);
        return;
    }
    push_init(push, gateway, request);
    if (http_body(request).len <= gateway->options.inline_bytes_max ||
        gateway->options.pool == NULL) {
        run(push);
    } else if (!pool_submit(gateway->options.pool, run, push)) {
        error_set(&err, ERR_UNAVAILABLE, "too many large requests at once; try again");
        respond_error(request, &err, 0);
    }
}

void loki_register(Gateway *gateway, HttpServer *server) {
    static const char *const paths[] = {"/loki/api/v1/push", "/api/prom/push",
                                        "/logs/loki/api/v1/push", "/logs/api/prom/push"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        HttpRoute route = {.methods = HTTP_POST_,
                           .path = paths[i],
                           .handle = handle,
                           .context = gateway,
                           .body_bytes_max = gateway->options.wire_bytes_max};

        http_server_route(server, &route);
    }
}
