/*
 * push.c: one remote-write request from the socket to the sink and back.
 *
 *     handle (loop)    headers, tenant, limits; small bodies go on at once, large ones on the pool
 *     take   (either)  inflate, walk into rows, the tenant's rate, hand over to the sink
 *     stored (a lane)  answer
 *
 * Everything lives in the request's arena but the inflated body, whose buffer goes back when the
 * arena does. After an answer nothing of it may be touched.
 */
#include <stdio.h>

#include "gateway/identity.h"
#include "gateway/inflate.h"
#include "gateway/internal.h"
#include "gateway/prom/answer.h"

enum { PUSH_MAGIC = 0x50555348 };

typedef struct Push {
    uint32_t magic;
    Gateway *gateway;
    HttpRequest *request;
    Str tenant;
    PromVersion version;
    PromEncoding encoding;
    TenantLimits limits;
    Rows rows;
} Push;

static void respond(HttpRequest *request, const PromAnswer *answer) {
    const struct {
        const char *name;
        uint64_t value;
        bool wanted;
    } headers[] = {
        {"Retry-After", answer->retry_after_s, answer->retry_after_s > 0},
        {"X-Prometheus-Remote-Write-Samples-Written", answer->samples, answer->counts},
        {"X-Prometheus-Remote-Write-Histograms-Written", answer->histograms, answer->counts},
        {"X-Prometheus-Remote-Write-Exemplars-Written", answer->exemplars, answer->counts},
    };

    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        char value[24];

        if (!headers[i].wanted) continue;
        snprintf(value, sizeof value, "%llu", (unsigned long long)headers[i].value);
        http_set_header(request, headers[i].name, str_of(value));
    }
    if (answer->status == 204)
        http_respond(request, 204, NULL, STR(""));
    else
        http_respond(request, answer->status, "text/plain; charset=utf-8", str_of(answer->text));
}

static void respond_error(HttpRequest *request, const Error *err, uint64_t retry_after_ms) {
    PromAnswer answer;

    prom_answer_error(err, retry_after_ms, &answer);
    respond(request, &answer);
}

static ErrCode inflate(Push *push, Str *out, Error *err) {
    Str sent = http_body(push->request);
    uint64_t bytes_max = push->limits.request_bytes_max;
    ErrCode code;

    if (push->encoding == PROM_SNAPPY)
        return inflate_snappy(push->gateway->buffers, http_arena(push->request), sent, bytes_max,
                              out, err);
    code = http_decode(push->encoding == PROM_ZSTD ? STR("zstd") : STR("gzip"), sent,
                       bytes_max > 0 ? (size_t)bytes_max : SIZE_MAX / 4, http_arena(push->request),
                       out, err);
    if (code == ERR_LIMIT) return error_wrap(err, "limits.request_bytes_max");
    return code;
}

/* Ends the request where its samples were stored, or where there were none to store. */
static void finish(Push *push, const AppendResult *result) {
    Rejects *rejects = &push->rows.rejects;
    HttpRequest *request = push->request;
    PromAnswer answer;

    rejects->by_reason[REJECT_CONFLICT] += result->conflicts;
    rejects->by_reason[REJECT_SERIES_LIMIT] += result->over_limit;
    prom_answer_result(&push->rows, result, &answer);
    rejects_report(rejects, push->tenant, answer.samples + answer.histograms);
    respond(request, &answer);
}

static void stored(void *context, const AppendResult *result) {
    Push *push = context;

    assert(push->magic == PUSH_MAGIC);
    if (result->code == ERR_OK) rows_stored(&push->rows);
    finish(push, result);
}

static ErrCode take(Push *push, uint64_t *retry_after_ms, Error *err) {
    Gateway *gateway = push->gateway;
    const MetricsBatch *batch = &push->rows.batch;
    Str body = STR("");
    ErrCode code;

    TRY(inflate(push, &body, err));
    code = push->version == PROM_V1 ? prom_decode_v1(&push->rows, body, err)
                                    : prom_decode_v2(&push->rows, body, err);
    if (code == ERR_LIMIT) return inflate_no_memory(err);
    if (code != ERR_OK) return code;
    code = tenants_take(gateway->options.tenants, push->tenant,
                        batch->sample_count + batch->histogram_count,
                        clock_monotonic_ns(gateway->options.clock), retry_after_ms, err);
    if (code == ERR_OK) return ERR_OK;
    push->rows.rejects.by_reason[REJECT_RATE_LIMITED] +=
        batch->sample_count + batch->histogram_count;
    rejects_report(&push->rows.rejects, push->tenant, 0);
    return code;
}

static void run(void *what) {
    static const AppendResult nothing;
    Push *push = what;
    MetricsSink *sink = push->gateway->options.metrics;
    const MetricsBatch *batch = &push->rows.batch;
    uint64_t retry_after_ms = 0;
    Error err;

    assert(push->magic == PUSH_MAGIC);
    if (take(push, &retry_after_ms, &err) != ERR_OK)
        respond_error(push->request, &err, retry_after_ms);
    else if (batch->row_count == 0 && batch->metadata_count == 0)
        finish(push, &nothing);
    else
        sink->append(sink, batch, stored, push); /* maybe answered already when this returns */
}

static void push_init(Push *push, Gateway *gateway, HttpRequest *request) {
    const GatewayOptions *options = &gateway->options;
    uint64_t generation = tenants_generation(options->tenants); /* before the limits */
    RowsOptions rows;

    push->magic = PUSH_MAGIC;
    push->gateway = gateway;
    push->request = request;
    tenants_limits(options->tenants, push->tenant, &push->limits);
    rows = (RowsOptions){
        .tenant = push->tenant,
        .limits = &push->limits,
        .series_seed = options->metrics->series_seed,
        .known = gateway->known,
        .generation = generation,
        .now_ms = clock_now_ms(options->clock),
        .created_zeros = !options->created_zeros_off,
    };
    rows_init(&push->rows, &rows, http_arena(request));
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
    if (gateway_tenant(request, &push->tenant, &err) != ERR_OK ||
        prom_content_type(http_header(request, "Content-Type"), &push->version, &err) != ERR_OK ||
        prom_content_encoding(http_header(request, "Content-Encoding"), &push->encoding, &err) !=
            ERR_OK) {
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

void prom_register(Gateway *gateway, HttpServer *server) {
    static const char *const paths[] = {"/api/v1/push", "/api/v1/write",
                                        "/prometheus/api/v1/write"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        HttpRoute route = {.methods = HTTP_POST_,
                           .path = paths[i],
                           .handle = handle,
                           .context = gateway,
                           .body_bytes_max = gateway->options.wire_bytes_max};

        http_server_route(server, &route);
    }
}
