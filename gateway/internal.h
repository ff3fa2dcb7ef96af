#pragma once
/*
 * internal.h: what the protocols of gateway/ share of the object.
 */
#include "gateway/buffers.h"
#include "gateway/gateway.h"
#include "gateway/metrics/known.h"
#include "gateway/otlp/settings.h"
#include "gateway/rules/rules.h"

struct Gateway {
    _Atomic size_t users;   /* the owner, and each request until its arena goes */
    GatewayOptions options; /* with the defaults filled in */
    KnownSeries *known;
    Buffers *buffers;
    OtlpSettings otlp;
    RulesSink rules; /* before the sink of spans */
};

/* Keeps the gateway for as long as the request's arena lasts. False: out of memory. */
MUST_USE bool gateway_hold(Gateway *gateway, Arena *arena);

/* gateway/prom/push.c */
void prom_register(Gateway *gateway, HttpServer *server);

/* gateway/otlp/push.c */
void otlp_register(Gateway *gateway, HttpServer *server);
void otlp_register_grpc(Gateway *gateway, HttpServer *server);

/* gateway/health.c */
void health_register(HttpServer *server);

/* gateway/loki/push.c */
void loki_register(Gateway *gateway, HttpServer *server);
