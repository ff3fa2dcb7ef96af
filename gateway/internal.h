#pragma once
/*
 * internal.h: what the protocols of gateway/ share of the object.
 */
#include "gateway/buffers.h"
#include "gateway/gateway.h"
#include "gateway/metrics/known.h"

struct Gateway {
    GatewayOptions options; /* with the defaults filled in */
    KnownSeries *known;
    Buffers *buffers;
};

/* gateway/prom/push.c */
void prom_register(Gateway *gateway, HttpServer *server);
