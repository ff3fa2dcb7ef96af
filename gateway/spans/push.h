#pragma once
/*
 * push.h: requests of Zipkin's and Jaeger's senders. Neither protocol has a partial success: a
 * request of which spans were refused is answered as one that is wrong, which no sender repeats,
 * and the text says how many were stored.
 */
#include "gateway/internal.h"

/* POST /api/v2/spans, also under /zipkin: Zipkin's JSON. */
void zipkin_register(Gateway *gateway, HttpServer *server);
/* POST /api/traces, also under /tempo: Jaeger's thrift over HTTP. */
void jaeger_register(Gateway *gateway, HttpServer *server);
/* jaeger.api_v2.CollectorService/PostSpans. */
void jaeger_register_grpc(Gateway *gateway, HttpServer *server);
