#pragma once
/*
 * settings.h: everything that can be configured, in one table (settings.c). Read in this order,
 * later ones win: defaults, the YAML file, the command line.
 */
#include "common/config/config.h"
#include "common/tenant/limits.h"

typedef struct Settings {
    Str data;
    Str http;
    Str otlp_http;
    Str otlp_grpc;
    Str zipkin;
    Str jaeger_http;
    Str jaeger_grpc;
    Str store;
    int auth;
    int log_level;

    Str s3_endpoint;
    Str s3_region;
    Str s3_access_key;
    Str s3_secret_key;
    Str s3_session_token;
    Str s3_profile;
    Str s3_ca_file;
    int s3_signature;
    bool s3_virtual_host;
    uint64_t s3_attempts_max;
    int64_t s3_timeout;

    Str tls_cert_file;
    Str tls_key_file;
    Str tls_client_ca_file;

    uint64_t memory_limit;
    uint64_t memory_bodies;
    uint64_t http_loops;
    uint64_t http_connections_max;
    uint64_t http_body_bytes_max;
    Str http_cors_origin;
    int64_t shutdown_timeout;

    uint64_t ingester_lanes;
    int wal_sync;
    int64_t wal_sync_interval;
    bool wal_io_uring;
    int64_t flush_age;
    uint64_t flush_bytes;
    uint64_t flush_log_bytes;
    bool created_timestamp_zero_sample;

    int otlp_translation;
    Str otlp_promoted;
    Str otlp_stream_labels;
    bool otlp_target_info;
    bool otlp_keep_identifying;
    bool otlp_scope_labels;
    bool otlp_custom_buckets;
    int otlp_delta;

    int64_t generator_interval;

    uint64_t query_threads;
    int64_t query_lookback;
    int64_t query_slow;
    int64_t query_tail_max;
    bool query_experimental_functions;
    uint64_t cache_results_bytes;
    int64_t cache_results_min_age;

    int64_t compactor_interval;
    int64_t compactor_grace;
    int64_t compactor_delete_cancel_period;
    int64_t compactor_delete_max_interval;
    uint64_t compactor_block_bytes_max;
} Settings;

enum { AUTH_AUTO, AUTH_NONE };

/* A process' whole configuration. Strings live in `arena`. */
typedef struct Configuration {
    Arena *arena;
    Settings settings;
    TenantLimits limits; /* of tenants without overrides */
    bool limits_off;
    TenantOverride *overrides;
    size_t override_count;
    struct LogStreamRules *rules;         /* while it is read: of `limits`, then of each override */
    struct TenantRuleTexts *tenant_rules; /* likewise */
    Str file;                             /* empty: none */
} Configuration;

/* Reads `--name value` and `--name=value`; `--config FILE` names the YAML file. ERR_INVALID says
 * file and line, or the argument. */
MUST_USE ErrCode configuration_read(int argc, char **argv, Arena *arena, Configuration *out,
                                    Error *err);
/* The file again, for limits and overrides only: what a running process can change. */
MUST_USE ErrCode configuration_reread_limits(const Configuration *now, Arena *arena,
                                             Configuration *out, Error *err);
ConfigTable settings_table(void);
void configuration_write_markdown(Buf *out); /* docs/configuration.md, whole */
