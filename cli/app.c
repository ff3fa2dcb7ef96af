/*
 * app.c: makes each part with what it borrows from the parts before it, and takes them down in the
 * opposite order.
 */
#include "cli/app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/memory.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/telemetry.h"
#include "gateway/gateway.h"
#include "gateway/generator/generator.h"
#include "gateway/rules/rules.h"
#include "ingester/ingester.h"
#include "querier/querier.h"

enum {
    BACKGROUND_THREADS = 2,
    GATEWAY_THREADS = 2,
    PATH_BYTES = 4096,
    IDLE_BODY_BYTES_MAX = 2 << 20, /* decompressed bodies' buffers kept between requests */
};

/* The ingester as the gateway's sinks. */
typedef struct IngesterSink {
    MetricsSink sink;
    Ingester *ingester;
} IngesterSink;

typedef struct IngesterLogsSink {
    LogsSink sink;
    Ingester *ingester;
} IngesterLogsSink;

typedef struct IngesterSpansSink {
    SpansSink sink; /* first */
    Ingester *ingester;
} IngesterSpansSink;

/* Protocols that senders have a port of their own for. */
typedef enum Port {
    PORT_OTLP_HTTP,
    PORT_OTLP_GRPC,
    PORT_ZIPKIN,
    PORT_JAEGER_HTTP,
    PORT_JAEGER_GRPC,
    PORT_COUNT,
} Port;

struct App {
    Configuration configuration;
    const Clock *clock;
    MemoryShares memory;
    Tenants *tenants;
    Changes *changes;
    Store *store;
    Manifest *manifest;
    BlockCache *cache;
    Pool *background;
    Pool *gateway_pool;
    Ingester *ingester;
    IngesterSink sink;
    IngesterLogsSink logs_sink;
    IngesterSpansSink spans_sink;
    Generator *generator;
    Gateway *gateway;
    Compactor *compactor;
    Cors *cors;
    LogTails *tails;
    Querier *querier;
    Admin *admin;
    HttpServer *server;
    HttpServer *ports[PORT_COUNT]; /* NULL: the protocol has no port of its own */
    Arena *limits_arena;           /* of the newest reload */
};

/* ---- the parts ---- */

static ErrCode make_directory(Str path, Error *err) {
    char name[PATH_BYTES];

    if (path.len >= sizeof name) return error_set(err, ERR_INVALID, "data: the path is too long");
    memcpy(name, path.ptr, path.len);
    name[path.len] = '\0';
    for (char *slash = name + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (mkdir(name, 0750) != 0 && errno != EEXIST)
            return error_errno(err, errno, "data: make directory %s", name);
        *slash = '/';
    }
    if (mkdir(name, 0750) != 0 && errno != EEXIST)
        return error_errno(err, errno, "data: make directory %s", name);
    return ERR_OK;
}

/* Without a URL: a folder beside the log, by its absolute name. */
static ErrCode default_store(const Configuration *configuration, Str *out, Error *err) {
    char path[PATH_BYTES], whole[PATH_BYTES + 16];

    snprintf(path, sizeof path, STR_FMT, STR_ARG(configuration->settings.data));
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char here[PATH_BYTES];

        if (getcwd(here, sizeof here) == NULL)
            return error_errno(err, errno, "the working directory");
        *out = str_format(configuration->arena, "file://%s/%s/store", here, path);
        return out->ptr == NULL ? error_set(err, ERR_LIMIT, "out of memory") : ERR_OK;
    }
    *out = str_format(configuration->arena, "file://%s/store", whole);
    return out->ptr == NULL ? error_set(err, ERR_LIMIT, "out of memory") : ERR_OK;
}

/* What to look at when the store is S3 and its first request failed, by how it failed. */
static const char *store_advice(const StoreOptions *options, const Error *err) {
    if (!str_starts_with(options->url, STR("s3://"))) return "";
    switch (err->code) {
    case ERR_DENIED:
        return " (check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do in the "
               "bucket)";
    case ERR_INVALID:
        return " (create the bucket first, or check its name, s3.endpoint and s3.region)";
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
        return " (is it up? check s3.endpoint)";
    default:
        return "";
    }
}

static ErrCode open_store(App *app, Error *err) {
    const Settings *s = &app->configuration.settings;
    StoreOptions options = {
        .url = s->store,
        .endpoint = s->s3_endpoint,
        .region = s->s3_region,
        .access_key = s->s3_access_key,
        .secret_key = s->s3_secret_key,
        .session_token = s->s3_session_token,
        .profile = s->s3_profile,
        .ca_file = s->s3_ca_file,
        .signature = s->s3_signature == 1 ? STR("v2") : STR("v4"),
        .virtual_host = s->s3_virtual_host,
        .attempts_max = (unsigned)s->s3_attempts_max,
        .timeout_ms = (uint64_t)s->s3_timeout,
        .clock = app->clock,
    };

    if (options.url.len == 0) TRY(default_store(&app->configuration, &options.url, err));
    TRY(store_open(&options, &app->store, err));
    /* The first request to the store: a wrong bucket, key or endpoint shows here. */
    if (manifest_open(app->store, app->clock, &app->manifest, err) == ERR_OK) {
        manifest_watch(app->manifest, app->changes);
        return ERR_OK;
    }
    return error_wrap(err, "store " STR_FMT "%s", STR_ARG(options.url),
                      store_advice(&options, err));
}

static ErrCode open_ingester(App *app, Error *err) {
    const Settings *s = &app->configuration.settings;
    IngesterOptions options = {
        .dir = s->data,
        .lanes = (unsigned)s->ingester_lanes,
        .store = app->store,
        .manifest = app->manifest,
        .tenants = app->tenants,
        .changes = app->changes,
        .heads = &app->memory.heads,
        .caches = &app->memory.caches,
        .background = &app->memory.background,
        .clock = app->clock,
        .wal_sync = s->wal_sync == 0 ? WAL_SYNC_ALWAYS : WAL_SYNC_INTERVAL,
        .wal_interval_ms = s->wal_sync_interval,
        .wal_io_uring = s->wal_io_uring,
        .flush_age_ms = s->flush_age,
        .flush_bytes = s->flush_bytes,
        .flush_log_bytes = s->flush_log_bytes,
        .tails = app->tails,
        .sampler = &rules_sampler,
    };

    TRY(make_directory(s->data, err));
    TRY(pool_new("background", BACKGROUND_THREADS, 10000, &app->background, err));
    options.background_pool = app->background;
    return ingester_open(&options, &app->ingester, err);
}

static void sink_append(MetricsSink *sink, const MetricsBatch *batch, AppendDone done,
                        void *context) {
    ingester_append_metrics(((IngesterSink *)sink)->ingester, batch, done, context);
}

static void logs_sink_append(LogsSink *sink, const LogsBatch *batch, AppendDone done,
                             void *context) {
    ingester_append_logs(((IngesterLogsSink *)sink)->ingester, batch, done, context);
}

static void spans_sink_append(SpansSink *sink, const SpansBatch *batch, AppendDone done,
                              void *context) {
    ingester_append_spans(((IngesterSpansSink *)sink)->ingester, batch, done, context);
}

/* Between the gateway and the ingester: metrics derived from spans go the way of all metrics. */
static ErrCode open_generator(App *app, Error *err) {
    GeneratorOptions options = {
        .spans = &app->spans_sink.sink,
        .metrics = &app->sink.sink,
        .tenants = app->tenants,
        .budget = &app->memory.caches,
        .clock = app->clock,
        .interval_ms = app->configuration.settings.generator_interval,
    };

    return generator_new(&options, &app->generator, err);
}

static ErrCode open_gateway(App *app, Error *err) {
    const Settings *s = &app->configuration.settings;
    GatewayOptions options = {
        .tenants = app->tenants,
        .metrics = &app->sink.sink,
        .logs = &app->logs_sink.sink,
        .clock = app->clock,
        .bodies = &app->memory.bodies,
        .caches = &app->memory.caches,
        .wire_bytes_max = s->http_body_bytes_max,
        .idle_buffer_bytes_max = IDLE_BODY_BYTES_MAX,
        .created_zeros_off = !s->created_timestamp_zero_sample,
        .otlp = {.translation = s->otlp_translation,
                 .promoted = s->otlp_promoted,
                 .stream_labels = s->otlp_stream_labels,
                 .no_target_info = !s->otlp_target_info,
                 .keep_identifying = s->otlp_keep_identifying,
                 .scope_labels = s->otlp_scope_labels,
                 .custom_buckets = s->otlp_custom_buckets,
                 .keep_delta = s->otlp_delta == 1},
    };

    app->sink = (IngesterSink){{sink_append, ingester_series_seed(app->ingester)}, app->ingester};
    app->logs_sink =
        (IngesterLogsSink){{logs_sink_append, ingester_series_seed(app->ingester)}, app->ingester};
    app->spans_sink = (IngesterSpansSink){{spans_sink_append, ingester_series_seed(app->ingester)},
                                          app->ingester};
    TRY(open_generator(app, err));
    options.spans = generator_sink(app->generator);
    if (cors_new(s->http_cors_origin, &app->cors, err) != ERR_OK)
        return error_wrap(err, "http.cors_origin");
    options.cors = app->cors;
    TRY(pool_new("gateway", GATEWAY_THREADS, 10000, &app->gateway_pool, err));
    options.pool = app->gateway_pool;
    return gateway_new(&options, &app->gateway, err);
}

static uint64_t heads_cleared(void *ingester) {
    return ingester_cleared(ingester);
}

static void cut_heads(void *ingester) {
    ingester_cut(ingester);
}

static ErrCode open_compactor(App *app, Error *err) {
    const Settings *s = &app->configuration.settings;
    CompactorOptions options = {
        .store = app->store,
        .manifest = app->manifest,
        .tenants = app->tenants,
        .cache = app->cache,
        .background = &app->memory.background,
        .clock = app->clock,
        .interval_ms = s->compactor_interval,
        .grace_ms = s->compactor_grace,
        .block_bytes_max = s->compactor_block_bytes_max,
        .language = querier_delete_language(),
        .delete_cancel_ms = s->compactor_delete_cancel_period,
        .heads_cleared = heads_cleared,
        .heads_context = app->ingester,
    };

    app->compactor = compactor_new(&options);
    if (app->compactor == NULL) return error_set(err, ERR_LIMIT, "compactor: out of memory");
    return compactor_start(app->compactor, err);
}

static ErrCode open_querier(App *app, Error *err) {
    const Settings *s = &app->configuration.settings;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    QuerierOptions options = {
        .fetch = {.cache = app->cache,
                  .manifest = app->manifest,
                  .heads = ingester_head_reader(app->ingester),
                  .log_heads = ingester_log_head_reader(app->ingester),
                  .span_heads = ingester_span_head_reader(app->ingester),
                  .language = querier_delete_language()},
        .cut = cut_heads,
        .cut_context = app->ingester,
        .delete_cancel_ms = s->compactor_delete_cancel_period,
        .delete_interval_max_ms = s->compactor_delete_max_interval,
        .tenants = app->tenants,
        .queries = &app->memory.queries,
        .clock = app->clock,
        .threads = s->query_threads != 0 ? (unsigned)s->query_threads : (unsigned)MAX(cores, 1) * 2,
        .lookback_ms = s->query_lookback,
        .slow_ms = s->query_slow,
        .experimental_off = !s->query_experimental_functions,
        .tails = app->tails,
        .tail_duration_max_ms = s->query_tail_max,
        .results_bytes = MIN(s->cache_results_bytes, atomic_load(&app->memory.results.limit)),
        .results_min_age_ms = s->cache_results_min_age,
        .results = &app->memory.results,
        .changes = app->changes,
    };

    options.cors = app->cors;
    return querier_new(&options, &app->querier, err);
}

/* Everybody who reaches the port may do everything: fine on loopback, to be said elsewhere. */
static ErrCode check_auth(const Settings *s, const char *setting, Str address, Error *err) {
    if (s->auth == AUTH_NONE || str_starts_with(address, STR("127.")) ||
        str_starts_with(address, STR("[::1]")) || str_starts_with(address, STR("localhost:")))
        return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "%s: " STR_FMT " is not a loopback address, and everybody who reaches it "
                     "could read and write all tenants. Say `--auth none` when that is meant (a "
                     "proxy in front checks who asks, say)",
                     setting, STR_ARG(address));
}

static ErrCode new_server(App *app, Str address, HttpServer **out, Error *err) {
    const Settings *s = &app->configuration.settings;
    HttpServerOptions options = {
        .address = address,
        .tls_cert_file = s->tls_cert_file,
        .tls_key_file = s->tls_key_file,
        .tls_client_ca_file = s->tls_client_ca_file,
        .loops = (unsigned)s->http_loops,
        .connections_max = (unsigned)s->http_connections_max,
        .body_bytes_max = s->http_body_bytes_max,
        .bodies = &app->memory.bodies,
    };

    return http_server_new(&options, out, err);
}

static ErrCode open_server(App *app, Error *err) {
    TRY(new_server(app, app->configuration.settings.http, &app->server, err));
    gateway_register(app->gateway, app->server);
    querier_register(app->querier, app->server);
    app->admin = admin_new(app->ingester, app->compactor);
    if (app->admin == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    admin_register(app->admin, app->server);
    return http_server_start(app->server, err);
}

static const struct {
    const char *setting;
    size_t address;    /* in Settings */
    const char *usual; /* where it is when nobody says; NULL: nowhere */
    void (*add_routes)(Gateway *gateway, HttpServer *server);
} ports[PORT_COUNT] = {
    [PORT_OTLP_HTTP] = {"otlp-http", offsetof(Settings, otlp_http), "127.0.0.1:4318",
                        gateway_register_otlp},
    [PORT_OTLP_GRPC] = {"otlp-grpc", offsetof(Settings, otlp_grpc), "127.0.0.1:4317",
                        gateway_register_grpc},
    [PORT_ZIPKIN] = {"zipkin", offsetof(Settings, zipkin), NULL, gateway_register_zipkin},
    [PORT_JAEGER_HTTP] = {"jaeger-http", offsetof(Settings, jaeger_http), NULL,
                          gateway_register_jaeger},
    [PORT_JAEGER_GRPC] = {"jaeger-grpc", offsetof(Settings, jaeger_grpc), NULL,
                          gateway_register_grpc},
};

/* What is configured; empty: nothing. */
static Str port_address(const Settings *s, Port port) {
    Str address;

    memcpy(&address, (const char *)s + ports[port].address, sizeof address);
    return address;
}

static bool port_is_off(const Settings *s, Port port) {
    Str address = port_address(s, port);

    return str_equal(address, STR("off")) || (address.len == 0 && ports[port].usual == NULL);
}

/* On a port that senders use unless they are told otherwise. Where nobody asked for it by name,
 * that somebody else has it already is no reason not to start. */
static ErrCode open_port(App *app, Port port, Error *err) {
    const Settings *s = &app->configuration.settings;
    Str address = port_address(s, port);
    bool asked = address.len > 0;
    HttpServer **server = &app->ports[port];
    ErrCode code;

    if (port_is_off(s, port)) return ERR_OK;
    TRY(new_server(app, asked ? address : str_of(ports[port].usual), server, err));
    ports[port].add_routes(app->gateway, *server);
    code = http_server_start(*server, err);
    if (code == ERR_OK) return ERR_OK;
    if (asked) return error_wrap(err, "%s", ports[port].setting);
    LOG_WARN("OTLP has no port of its own; it is taken on the port of `http`",
             LOG_STR("setting", str_of(ports[port].setting)), LOG_ERR(err));
    http_server_free(*server);
    *server = NULL;
    return ERR_OK;
}

static ErrCode open_ports(App *app, Error *err) {
    for (Port port = 0; port < PORT_COUNT; port++) TRY(open_port(app, port, err));
    return ERR_OK;
}

static ErrCode check_ports(const Settings *s, Error *err) {
    TRY(check_auth(s, "http", s->http, err));
    for (Port port = 0; port < PORT_COUNT; port++) {
        Str address = port_address(s, port);

        if (address.len > 0 && !port_is_off(s, port))
            TRY(check_auth(s, ports[port].setting, address, err));
    }
    return ERR_OK;
}

/* ---- the whole ---- */

static ErrCode start(App *app, Error *err) {
    const Settings *s = &app->configuration.settings;

    TRY(check_ports(s, err));
    memory_share_out(&app->memory, s->memory_limit, s->memory_bodies);
    app->tenants = tenants_new(&app->configuration.limits, app->configuration.limits_off);
    app->changes = changes_new();
    if (app->tenants == NULL || app->changes == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    TRY(tenants_replace(app->tenants, &app->configuration.limits, app->configuration.overrides,
                        app->configuration.override_count, err));
    TRY(open_store(app, err));
    app->cache = block_cache_new(app->store, &app->memory.caches);
    if (app->cache == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    app->tails = log_tails_new();
    if (app->tails == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    TRY(open_ingester(app, err));
    TRY(open_gateway(app, err));
    TRY(open_compactor(app, err));
    TRY(open_querier(app, err));
    TRY(open_server(app, err));
    return open_ports(app, err);
}

static void greet(const App *app) {
    const Settings *s = &app->configuration.settings;
    Str host = s->http;
    const char *scheme = s->tls_cert_file.len > 0 ? "https" : "http";
    char base[300], otlp[64] = "(OpenTelemetry SDKs)", grpc[64] = "";

    if (app->ports[PORT_OTLP_HTTP] != NULL)
        snprintf(otlp, sizeof otlp, "and on port %u", http_server_port(app->ports[PORT_OTLP_HTTP]));
    if (app->ports[PORT_OTLP_GRPC] != NULL)
        snprintf(grpc, sizeof grpc, ", by gRPC on port %u",
                 http_server_port(app->ports[PORT_OTLP_GRPC]));
    for (size_t i = host.len; i-- > 0;)
        if (host.ptr[i] == ':') {
            host.len = i;
            break;
        }
    if (host.len == 0) host = STR("localhost");
    snprintf(base, sizeof base, "%s://" STR_FMT ":%u", scheme, STR_ARG(host),
             http_server_port(app->server));
    printf("moraine " MORAINE_VERSION " is ready\n"
           "  send metrics   %s/api/v1/push         (Prometheus remote_write)\n"
           "  send logs      %s/loki/api/v1/push    (Loki's push API)\n"
           "  send OTLP      %s/v1/metrics, /v1/logs, /v1/traces, %s%s\n"
           "  query          %s/prometheus          (Grafana data source: Prometheus)\n"
           "                 %s/logs                (Grafana data source: Loki)\n"
           "  its own state  %s/metrics, %s/ready\n",
           base, base, base, otlp, grpc, base, base, base, base);
    fflush(stdout);
}

ErrCode app_start(const Configuration *configuration, App **out, Error *err) {
    App *app = calloc(1, sizeof *app);
    ErrCode code;

    if (app == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    app->configuration = *configuration;
    app->clock = clock_system();
    code = start(app, err);
    if (code != ERR_OK) {
        app_stop(app);
        return code;
    }
    admin_set_ready(app->admin, true);
    greet(app);
    *out = app;
    return ERR_OK;
}

void app_reload(App *app) {
    Arena *arena = arena_new(MIB(64), NULL);
    Configuration fresh;
    Error err = {0};
    ErrCode code;

    if (app->configuration.file.len == 0 || arena == NULL) {
        arena_free(arena);
        return;
    }
    code = configuration_reread_limits(&app->configuration, arena, &fresh, &err);
    if (code == ERR_OK)
        code = tenants_replace(app->tenants, &fresh.limits, fresh.overrides, fresh.override_count,
                               &err);
    if (code != ERR_OK)
        LOG_ERROR("the configuration file was not taken over; the limits stay as they were",
                  LOG_ERR(&err));
    else
        LOG_INFO("limits and overrides were read again", LOG_STR("file", app->configuration.file),
                 LOG_U64("overrides", fresh.override_count));
    arena_free(app->limits_arena);
    app->limits_arena = arena;
}

/* One after the other, within shutdown.timeout all together. */
static void drain_servers(App *app) {
    uint64_t timeout_ms = (uint64_t)app->configuration.settings.shutdown_timeout;
    uint64_t began_ns = clock_monotonic_ns(app->clock);

    for (size_t i = 0; i <= PORT_COUNT; i++) {
        HttpServer *server = i < PORT_COUNT ? app->ports[i] : app->server;
        uint64_t passed_ms = (clock_monotonic_ns(app->clock) - began_ns) / 1000000;

        if (server != NULL) http_server_drain(server, timeout_ms - MIN(timeout_ms, passed_ms));
    }
}

void app_stop(App *app) {
    if (app == NULL) return;
    if (app->admin != NULL) admin_set_ready(app->admin, false);
    if (app->querier != NULL) querier_stop_tails(app->querier);
    drain_servers(app);
    if (app->compactor != NULL) compactor_stop(app->compactor);
    for (Port port = 0; port < PORT_COUNT; port++) http_server_free(app->ports[port]);
    http_server_free(app->server);
    admin_free(app->admin);
    querier_free(app->querier);
    cors_free(app->cors);
    gateway_free(app->gateway);
    pool_free(app->gateway_pool);
    if (app->generator != NULL) generator_stop(app->generator);
    if (app->ingester != NULL) ingester_close(app->ingester, true);
    generator_free(app->generator);
    log_tails_free(app->tails);
    compactor_free(app->compactor);
    pool_free(app->background);
    block_cache_free(app->cache);
    manifest_free(app->manifest);
    store_free(app->store);
    tenants_free(app->tenants);
    changes_free(app->changes);
    arena_free(app->limits_arena);
    free(app);
}
