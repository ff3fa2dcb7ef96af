/*
 * health.c: gRPC's health check, which load balancers and SDKs ask before they send.
 * https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 *
 * Who is asked while the process ends gets GOAWAY, so what answers at all is serving.
 */
#include "common/net/grpc.h"
#include "gateway/internal.h"
#include "proto/wire/wire.h"

enum { SERVING = 1, REQUEST_BYTES_MAX = 1 << 10 };

/* HealthCheckRequest {service = 1} */
static ErrCode read_request(HttpRequest *request, Str *service, Error *err) {
    WireReader reader;
    uint32_t tag;
    Str body;

    *service = STR("");
    TRY(grpc_message(request, REQUEST_BYTES_MAX, &body, err));
    reader = wire_reader(body);
    while (!wire_at_end(&reader)) {
        if (!wire_tag(&reader, &tag) ||
            !(tag == WIRE_TAG(1, WIRE_BYTES) ? wire_bytes(&reader, service)
                                             : wire_skip(&reader, tag)))
            return error_set(err, ERR_INVALID, "not a HealthCheckRequest");
    }
    return ERR_OK;
}

static void handle_check(HttpRequest *request, void *context) {
    static const Str services[] = {
        STR_INIT(""),
        STR_INIT("grpc.health.v1.Health"),
        STR_INIT("opentelemetry.proto.collector.metrics.v1.MetricsService"),
        STR_INIT("opentelemetry.proto.collector.logs.v1.LogsService"),
        STR_INIT("opentelemetry.proto.collector.trace.v1.TraceService"),
    };
    Str service;
    Error err;

    (void)context;
    if (read_request(request, &service, &err) != ERR_OK) {
        grpc_respond_error(request, &err, 0);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        if (!str_equal(service, services[i])) continue;
        grpc_respond(request, (Str){(char[]){1 << 3, SERVING}, 2});
        return;
    }
    error_set(&err, ERR_NOT_FOUND, "no service " STR_FMT " is known here",
              STR_ARG(str_slice(service, 0, 100)));
    grpc_respond_error(request, &err, 0);
}

void health_register(HttpServer *server) {
    grpc_route(server, "/grpc.health.v1.Health/Check", handle_check, NULL, REQUEST_BYTES_MAX);
}
