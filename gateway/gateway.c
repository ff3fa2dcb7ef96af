#include "gateway/gateway.h"

#include <stdlib.h>

#include "common/base/telemetry.h"
#include "gateway/internal.h"
#include "gateway/spans/push.h"

/* Telemetry outlives every object, so it asks whichever gateway is there. */
static _Atomic(Gateway *) shown;

static double read_known_bytes(void *what) {
    Gateway *gateway = atomic_load(&shown);

    (void)what;
    return gateway == NULL ? 0 : (double)known_bytes(gateway->known);
}

ErrCode gateway_new(const GatewayOptions *options, Gateway **out, Error *err) {
    CLEANUP(gateway_free) Gateway *gateway = calloc(1, sizeof *gateway);

    assert(options->tenants != NULL && options->metrics != NULL);
    if (gateway == NULL) return error_set(err, ERR_LIMIT, "gateway: out of memory");
    atomic_init(&gateway->users, 1);
    gateway->options = *options;
    if (gateway->options.clock == NULL) gateway->options.clock = clock_system();
    if (gateway->options.known_bytes_max == 0) gateway->options.known_bytes_max = MIB(64);
    if (gateway->options.inline_bytes_max == 0) gateway->options.inline_bytes_max = MIB(1);
    if (gateway->options.wire_bytes_max == 0) gateway->options.wire_bytes_max = MIB(64);
    if (gateway->options.idle_buffer_bytes_max == 0)
        gateway->options.idle_buffer_bytes_max = MIB(16);
    gateway->known = known_new(gateway->options.known_bytes_max, gateway->options.caches);
    gateway->buffers = buffers_new(gateway->options.idle_buffer_bytes_max, gateway->options.bodies);
    if (gateway->known == NULL || gateway->buffers == NULL)
        return error_set(err, ERR_LIMIT, "gateway: out of memory");
    TRY(otlp_settings_init(&gateway->otlp, &gateway->options.otlp, err));
    if (options->spans != NULL) {
        rules_sink_init(&gateway->rules, options->spans, options->tenants, options->bodies);
        gateway->options.spans = &gateway->rules.sink;
    }
    atomic_store(&shown, gateway);
    telemetry_callback("moraine_gateway_known_series_bytes", "",
                       "Memory of the set of series whose labels were checked before.",
                       read_known_bytes, NULL);
    *out = gateway;
    gateway = NULL;
    return ERR_OK;
}

static void release(void *what) {
    Gateway *gateway = what;

    if (atomic_fetch_sub_explicit(&gateway->users, 1, memory_order_acq_rel) != 1) return;
    known_free(gateway->known);
    buffers_free(gateway->buffers);
    otlp_settings_done(&gateway->otlp);
    free(gateway);
}

bool gateway_hold(Gateway *gateway, Arena *arena) {
    if (!arena_on_free(arena, release, gateway)) return false;
    atomic_fetch_add_explicit(&gateway->users, 1, memory_order_relaxed);
    return true;
}

void gateway_free(Gateway *gateway) {
    Gateway *self = gateway;

    if (gateway == NULL) return;
    atomic_compare_exchange_strong(&shown, &self, NULL);
    release(gateway);
}

void gateway_register(Gateway *gateway, HttpServer *server) {
    prom_register(gateway, server);
    if (gateway->options.logs != NULL) loki_register(gateway, server);
    otlp_register(gateway, server);
    gateway_register_zipkin(gateway, server);
    gateway_register_jaeger(gateway, server);
    gateway_register_grpc(gateway, server);
}

void gateway_register_grpc(Gateway *gateway, HttpServer *server) {
    otlp_register_grpc(gateway, server);
    jaeger_register_grpc(gateway, server);
    health_register(server);
}

void gateway_register_otlp(Gateway *gateway, HttpServer *server) {
    otlp_register(gateway, server);
}

void gateway_register_zipkin(Gateway *gateway, HttpServer *server) {
    zipkin_register(gateway, server);
}

void gateway_register_jaeger(Gateway *gateway, HttpServer *server) {
    jaeger_register(gateway, server);
}
