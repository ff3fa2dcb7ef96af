#pragma once
/*
 * gateway.h: the role that takes writes in: protocols to batches, each checked against its tenant's
 * limits and handed to a sink.
 *
 * Prometheus remote write 1.0 and 2.0: POST /api/v1/push, /api/v1/write, /prometheus/api/v1/write.
 *
 * Loki push, protobuf and JSON: POST /loki/api/v1/push, /api/prom/push, both also under /logs.
 *
 * OTLP over HTTP, protobuf and JSON: POST /v1/metrics, /v1/logs, /v1/traces, all also under /otlp;
 * /api/v1/otlp/v1/metrics and /prometheus/api/v1/otlp/v1/metrics; /logs/otlp/v1/logs;
 * /tempo/otlp/v1/traces.
 * OTLP over gRPC: opentelemetry.proto.collector.metrics.v1.MetricsService/Export,
 * logs.v1.LogsService/Export and trace.v1.TraceService/Export; and grpc.health.v1.Health/Check.
 *
 * Zipkin, version 2 in JSON: POST /api/v2/spans, also under /zipkin. Jaeger, thrift over HTTP: POST
 * /api/traces, also under /tempo; over gRPC: jaeger.api_v2.CollectorService/PostSpans.
 *
 * Handlers run on the server's loops. Bodies that are larger than `inline_bytes_max` as sent are
 * decoded on `pool`, so that one of them doesn't hold up a loop's other connections.
 */
#include "common/base/clock.h"
#include "common/base/pool.h"
#include "common/batch/sink.h"
#include "common/net/cors.h"
#include "common/net/http.h"
#include "common/tenant/tenant.h"

typedef struct Gateway Gateway;

/* How OTLP is mapped; texts of several names have commas between them. All zero: the defaults. */
typedef struct GatewayOtlp {
    /* 0: UnderscoreEscapingWithSuffixes, 1: UnderscoreEscapingWithoutSuffixes,
     * 2: NoUTF8EscapingWithSuffixes, 3: NoTranslation, as Prometheus' otlp.translation_strategy */
    int translation;
    Str promoted;      /* resource attributes that become labels of each series; `*`: all */
    Str stream_labels; /* resource attributes that become labels of streams; empty: Loki's list */
    bool no_target_info;
    bool keep_identifying; /* target_info has service.name and the like as labels, too */
    bool scope_labels;     /* each series has otel_scope_name, otel_scope_version and so on */
    bool custom_buckets;   /* explicit histograms become native ones with custom buckets */
    bool keep_delta;       /* delta temporality is stored as it comes instead of refused */
} GatewayOtlp;

/* Everything that is pointed to is borrowed and outlives the gateway. */
typedef struct GatewayOptions {
    Tenants *tenants;
    MetricsSink *metrics;
    LogsSink *logs;               /* NULL: logs are not taken in */
    SpansSink *spans;             /* NULL: traces are not taken in */
    Pool *pool;                   /* NULL: everything is decoded on the loops */
    const Clock *clock;           /* NULL: clock_system() */
    Budget *bodies;               /* what bodies take once decompressed; NULL: not accounted */
    Budget *caches;               /* what the set of known series takes; NULL: not accounted */
    size_t known_bytes_max;       /* of that set, 8 bytes a series; 0: 64 MiB */
    size_t inline_bytes_max;      /* 0: 1 MiB */
    size_t wire_bytes_max;        /* of one body as sent; 0: 64 MiB; past it 413 */
    size_t idle_buffer_bytes_max; /* kept for the next bodies; 0: 16 MiB */
    /* Where remote write 2.0 says when a counter started, a sample of 0 is stored at that time, so
     * that its first value counts as an increase. True: don't. */
    bool created_zeros_off;
    const Cors *cors; /* which web pages may send OTLP; NULL: those of the same origin */
    GatewayOtlp otlp;
} GatewayOptions;

/* ERR_LIMIT: out of memory. */
MUST_USE ErrCode gateway_new(const GatewayOptions *options, Gateway **out, Error *err);
/* After the server it is registered with has stopped. Requests that the pool or the sink still hold
 * keep what they need until they are answered; `bodies` and `caches` must last as long. NULL is
 * fine. */
void gateway_free(Gateway *gateway);
DEFINE_CLEANUP(Gateway, gateway_free)

/* Adds the routes. Before http_server_start(). */
void gateway_register(Gateway *gateway, HttpServer *server);
/* OTLP over gRPC, Jaeger's gRPC and the health check alone, for a port of their own. */
void gateway_register_grpc(Gateway *gateway, HttpServer *server);
/* OTLP over HTTP alone, likewise. */
void gateway_register_otlp(Gateway *gateway, HttpServer *server);
/* Zipkin's spans alone, and Jaeger's over HTTP, likewise. */
void gateway_register_zipkin(Gateway *gateway, HttpServer *server);
void gateway_register_jaeger(Gateway *gateway, HttpServer *server);
