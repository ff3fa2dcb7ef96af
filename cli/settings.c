/*
 * settings.c: the table of settings, and the three places they come from.
 */
#include "cli/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/tenant_rules.h"
#include "querier/querier.h"

static const char *const auth_choices[] = {"auto", "none", NULL};
static const char *const level_choices[] = {"debug", "info", "warn", "error", NULL};
static const char *const signature_choices[] = {"v4", "v2", NULL};
static const char *const translation_choices[] = {
    "UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes",
    "NoUTF8EscapingWithSuffixes", "NoTranslation", NULL};
static const char *const delta_choices[] = {"refuse", "keep", NULL};
static const char *const sync_choices[] = {"always", "interval", NULL};

#define FIELD(field) offsetof(Settings, field)
#define MS_MAX 9e15

static const ConfigSetting table[] = {
    {"data", CONFIG_STR, FIELD(data), "./data", 0, 0, NULL, "DIR",
     "Local directory: the write-ahead log, and the objects when the store is a folder."},
    {"http", CONFIG_STR, FIELD(http), "127.0.0.1:8080", 0, 0, NULL, "ADDR:PORT",
     "Where the HTTP APIs listen. Port 0 takes a free one; an empty address means all."},
    {"otlp-http", CONFIG_STR, FIELD(otlp_http), "", 0, 0, NULL, "ADDR:PORT|off",
     "Where OTLP over HTTP listens, beside the same paths on the port of `http`. Without it "
     "127.0.0.1:4318, unless somebody else has that port already."},
    {"otlp-grpc", CONFIG_STR, FIELD(otlp_grpc), "", 0, 0, NULL, "ADDR:PORT|off",
     "Where OTLP over gRPC listens, beside the same services on the port of `http`. Without it "
     "127.0.0.1:4317, unless somebody else has that port already."},
    {"zipkin", CONFIG_STR, FIELD(zipkin), "off", 0, 0, NULL, "ADDR:PORT|off",
     "Where Zipkin's spans are taken (POST /api/v2/spans; the usual port is 9411), beside the same "
     "path on the port of `http`."},
    {"jaeger-http", CONFIG_STR, FIELD(jaeger_http), "off", 0, 0, NULL, "ADDR:PORT|off",
     "Where Jaeger's thrift over HTTP is taken (POST /api/traces; the usual port is 14268), beside "
     "the same path on the port of `http`."},
    {"jaeger-grpc", CONFIG_STR, FIELD(jaeger_grpc), "off", 0, 0, NULL, "ADDR:PORT|off",
     "Where Jaeger's gRPC is taken (the usual port is 14250), beside the same service on the ports "
     "of `http` and `otlp-grpc`."},
    {"store", CONFIG_STR, FIELD(store), "", 0, 0, NULL, "URL",
     "Where data lives for good: file:///dir or s3://bucket/prefix. Without it, the folder "
     "`store` in the data directory."},
    {"auth", CONFIG_CHOICE, FIELD(auth), "auto", 0, 0, auth_choices, "auto|none",
     "`none` says that everybody who reaches the port may read and write as any tenant. `auto` "
     "allows that on loopback addresses only and refuses to start on others."},
    {"log-level", CONFIG_CHOICE, FIELD(log_level), "info", 0, 0, level_choices,
     "debug|info|warn|error", "Log lines below this level are left out."},

    {"s3.endpoint", CONFIG_STR, FIELD(s3_endpoint), "", 0, 0, NULL, "URL",
     "The store's address, such as http://minio:9000. Without it AWS_ENDPOINT_URL_S3, then "
     "AWS_ENDPOINT_URL, then Amazon's for the region."},
    {"s3.region", CONFIG_STR, FIELD(s3_region), "", 0, 0, NULL, NULL,
     "Without it AWS_REGION, then AWS_DEFAULT_REGION, then us-east-1."},
    {"s3.access_key", CONFIG_STR, FIELD(s3_access_key), "", 0, 0, NULL, NULL,
     "Without it AWS_ACCESS_KEY_ID, then the shared AWS credentials file."},
    {"s3.secret_key", CONFIG_STR, FIELD(s3_secret_key), "", 0, 0, NULL, NULL,
     "Without it AWS_SECRET_ACCESS_KEY, then the shared AWS credentials file."},
    {"s3.session_token", CONFIG_STR, FIELD(s3_session_token), "", 0, 0, NULL, NULL,
     "Of temporary credentials. Without it AWS_SESSION_TOKEN, then the credentials file."},
    {"s3.profile", CONFIG_STR, FIELD(s3_profile), "", 0, 0, NULL, NULL,
     "Section of the shared AWS credentials file. Without it AWS_PROFILE, then `default`."},
    {"s3.ca_file", CONFIG_STR, FIELD(s3_ca_file), "", 0, 0, NULL, "FILE",
     "PEM file of the authorities that sign the store's certificate; without it the system's."},
    {"s3.signature", CONFIG_CHOICE, FIELD(s3_signature), "v4", 0, 0, signature_choices, "v4|v2",
     "v2 is for old stores only: it has no conditional writes and no session tokens."},
    {"s3.virtual_host", CONFIG_BOOL, FIELD(s3_virtual_host), "false", 0, 0, NULL, NULL,
     "Put the bucket into the host name instead of the path."},
    {"s3.attempts_max", CONFIG_U64, FIELD(s3_attempts_max), "5", 1, 100, NULL, NULL,
     "How often a request is tried while the store is busy or unreachable."},
    {"s3.timeout", CONFIG_DURATION, FIELD(s3_timeout), "60s", 1, MS_MAX, NULL, NULL,
     "A request that takes longer is given up and tried again."},

    {"tls.cert_file", CONFIG_STR, FIELD(tls_cert_file), "", 0, 0, NULL, "FILE",
     "PEM certificate chain. With tls.key_file, the port speaks HTTPS only."},
    {"tls.key_file", CONFIG_STR, FIELD(tls_key_file), "", 0, 0, NULL, "FILE",
     "PEM private key of tls.cert_file."},
    {"tls.client_ca_file", CONFIG_STR, FIELD(tls_client_ca_file), "", 0, 0, NULL, "FILE",
     "When set, clients must show a certificate that these authorities signed."},

    {"memory.limit", CONFIG_BYTES, FIELD(memory_limit), "0", 0, 0, NULL, NULL,
     "What heads, request bodies, queries, caches and background work may hold together. 0: half "
     "of the machine's memory, or of the control group's limit."},
    {"memory.bodies", CONFIG_BYTES, FIELD(memory_bodies), "512MiB", 0, 0, NULL, NULL,
     "What request bodies, and what is decoded from them, may hold of that: at most 15% of it, and "
     "at most this. Past it senders are told to come again (503, UNAVAILABLE). 0: the 15%."},
    {"http.loops", CONFIG_U64, FIELD(http_loops), "2", 1, 256, NULL, NULL,
     "Threads that serve connections."},
    {"http.connections_max", CONFIG_U64, FIELD(http_connections_max), "4096", 1, 1e6, NULL, NULL,
     "More connections than this are answered 503 and closed."},
    {"http.body_bytes_max", CONFIG_BYTES, FIELD(http_body_bytes_max), "64MiB", 1, 1e12, NULL, NULL,
     "Largest request body as sent; larger ones are answered 413."},
    {"http.cors_origin", CONFIG_STR, FIELD(http_cors_origin), ".*", 0, 0, NULL, "REGEX",
     "Web pages of which origins may read answers of the query APIs; all of the Origin header must "
     "match. Empty: none."},
    {"shutdown.timeout", CONFIG_DURATION, FIELD(shutdown_timeout), "30s", 0, MS_MAX, NULL, NULL,
     "On SIGTERM, how long requests in flight may take to finish."},

    {"ingester.lanes", CONFIG_U64, FIELD(ingester_lanes), "0", 0, 64, NULL, NULL,
     "Ingest threads, each with a write-ahead log of its own. 0: one a core."},
    {"wal.sync", CONFIG_CHOICE, FIELD(wal_sync), "always", 0, 0, sync_choices, "always|interval",
     "`always`: nothing is acknowledged before it is on the disk. `interval`: up to "
     "wal.sync_interval of acknowledged data is lost when the machine fails."},
    {"wal.sync_interval", CONFIG_DURATION, FIELD(wal_sync_interval), "100ms", 1, 60000, NULL, NULL,
     "How often the log is synced when wal.sync is `interval`."},
    {"wal.io_uring", CONFIG_BOOL, FIELD(wal_io_uring), "true", 0, 0, NULL, NULL,
     "Use io_uring where the kernel allows it; else, and with false, pwrite and fdatasync."},
    {"flush.age", CONFIG_DURATION, FIELD(flush_age), "30m", 1000, MS_MAX, NULL, NULL,
     "Data older than this goes to the store."},
    {"flush.bytes", CONFIG_BYTES, FIELD(flush_bytes), "0", 0, 0, NULL, NULL,
     "A lane that holds more than this in memory flushes early. 0: from its share of "
     "memory.limit."},
    {"flush.log_bytes", CONFIG_BYTES, FIELD(flush_log_bytes), "0", 0, 0, NULL, NULL,
     "A lane that holds more than this of logs and spans flushes early; while it fills up, at most "
     "twice as "
     "much waits to be stored. Each stream adds 2 KiB. More makes larger objects for more memory. "
     "0: "
     "48 MiB shared by the lanes, at least 8 MiB each."},
    {"ingester.created_timestamps", CONFIG_BOOL, FIELD(created_timestamp_zero_sample), "true", 0, 0,
     NULL, NULL,
     "Write a zero at a counter's created timestamp when the sender gives one, so that its first "
     "increase counts."},

    {"otlp.translation_strategy", CONFIG_CHOICE, FIELD(otlp_translation),
     "UnderscoreEscapingWithSuffixes", 0, 0, translation_choices, "STRATEGY",
     "How names of OTLP metrics and attributes become Prometheus': with unit and type as suffixes "
     "or "
     "without, dots and other characters as underscores or as they are."},
    {"otlp.promote_resource_attributes", CONFIG_STR, FIELD(otlp_promoted), "", 0, 0, NULL, "NAMES",
     "Resource attributes, separated by commas, that become labels of every series. `*`: all of "
     "them. The others are in target_info."},
    {"otlp.stream_labels", CONFIG_STR, FIELD(otlp_stream_labels), "", 0, 0, NULL, "NAMES",
     "Resource attributes, separated by commas, that become labels of log streams; the others are "
     "structured metadata. Without it Loki's list: service.name, service.namespace, "
     "k8s.namespace.name, k8s.pod.name and so on."},
    {"otlp.target_info", CONFIG_BOOL, FIELD(otlp_target_info), "true", 0, 0, NULL, NULL,
     "Write a series target_info with the attributes of each resource."},
    {"otlp.keep_identifying_resource_attributes", CONFIG_BOOL, FIELD(otlp_keep_identifying),
     "false", 0, 0, NULL, NULL,
     "target_info also has service.name, service.namespace and service.instance.id as labels, "
     "beside "
     "job and instance, which are made of them."},
    {"otlp.promote_scope_metadata", CONFIG_BOOL, FIELD(otlp_scope_labels), "false", 0, 0, NULL,
     NULL,
     "Every series has the name, version and attributes of its instrumentation scope as labels "
     "otel_scope_..."},
    {"otlp.convert_histograms_to_nhcb", CONFIG_BOOL, FIELD(otlp_custom_buckets), "false", 0, 0,
     NULL, NULL,
     "Store explicit histograms as native ones with custom buckets instead of _bucket series."},
    {"otlp.delta", CONFIG_CHOICE, FIELD(otlp_delta), "refuse", 0, 0, delta_choices, "refuse|keep",
     "Metrics with delta temporality. `keep` stores each value as it comes; sum_over_time() adds "
     "them "
     "up, rate() doesn't fit them."},

    {"metrics_generator.interval", CONFIG_DURATION, FIELD(generator_interval), "15s", 10, MS_MAX,
     NULL, NULL, "How often metrics derived from spans are written."},

    {"query.threads", CONFIG_U64, FIELD(query_threads), "0", 0, 1024, NULL, NULL,
     "Threads that run queries. 0: twice the cores."},
    {"query.lookback", CONFIG_DURATION, FIELD(query_lookback), "5m", 1, MS_MAX, NULL, NULL,
     "How far back an instant selector looks for the newest sample."},
    {"query.slow", CONFIG_DURATION, FIELD(query_slow), "10s", 0, MS_MAX, NULL, NULL,
     "Queries that take longer are logged with their statistics. 0: none."},
    {"query.tail_max", CONFIG_DURATION, FIELD(query_tail_max), "1h", 0, MS_MAX, NULL, NULL,
     "How long a tail of logs may go on; clients connect again. 0: no limit."},
    {"query.experimental_functions", CONFIG_BOOL, FIELD(query_experimental_functions), "true", 0, 0,
     NULL, NULL, "Allow the functions that Prometheus calls experimental."},
    {"cache.results_bytes", CONFIG_BYTES, FIELD(cache_results_bytes), "32MiB", 0, 1e13, NULL, NULL,
     "Memory for answers to range queries, so that a dashboard that is loaded again evaluates only "
     "what is new; at most a quarter of the caches' share of memory.limit. Late data is in the "
     "answers at once all the same. 0: none are kept."},
    {"cache.results_min_age", CONFIG_DURATION, FIELD(cache_results_min_age), "2m", 0, MS_MAX, NULL,
     NULL,
     "Steps younger than this are not kept, as most of what arrives is of these times. Longer than "
     "senders usually need to deliver; answers are right whatever it is."},

    {"compactor.interval", CONFIG_DURATION, FIELD(compactor_interval), "5m", 100, MS_MAX, NULL,
     NULL, "How often the compactor looks for work."},
    {"compactor.grace", CONFIG_DURATION, FIELD(compactor_grace), "10m", 300000, MS_MAX, NULL, NULL,
     "Objects that were merged away or expired are deleted from the store this much later, so that "
     "running queries never lose what they read."},
    {"compactor.delete_cancel_period", CONFIG_DURATION, FIELD(compactor_delete_cancel_period), "0",
     0, MS_MAX, NULL, NULL,
     "How long a request to delete logs can be taken back, and only hides them. 0: until the "
     "compactor carries it out."},
    {"compactor.delete_max_interval", CONFIG_DURATION, FIELD(compactor_delete_max_interval), "24h",
     0, MS_MAX, NULL, NULL,
     "The longest max_interval that a request to delete logs may say. Nothing else depends on it. "
     "0: any."},
    {"compactor.block_bytes_max", CONFIG_BYTES, FIELD(compactor_block_bytes_max), "1GiB", 1048576,
     1e13, NULL, NULL, "Blocks larger than this are not merged any further."},
};

ConfigTable settings_table(void) {
    return (ConfigTable){table, ARRAY_LEN(table)};
}

/* ---- the file ---- */

static ErrCode read_file(Str path, Arena *arena, Str *out, Error *err) {
    char name[4096];
    struct stat info;
    char *text;
    size_t used = 0;
    int fd;

    if (path.len >= sizeof name)
        return error_set(err, ERR_INVALID, "--config: the path is too long");
    memcpy(name, path.ptr, path.len);
    name[path.len] = '\0';
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_errno(err, errno, "%s", name);
    if (fstat(fd, &info) != 0 || info.st_size > 4 << 20) {
        close(fd);
        return error_set(err, ERR_LIMIT, "%s: larger than 4 MiB", name);
    }
    text = arena_alloc_bytes(arena, (size_t)info.st_size + 1);
    while (text != NULL && used < (size_t)info.st_size) {
        ssize_t n = read(fd, text + used, (size_t)info.st_size - used);

        if (n <= 0) break;
        used += (size_t)n;
    }
    close(fd);
    if (text == NULL) return error_set(err, ERR_LIMIT, "%s: out of memory", name);
    *out = (Str){text, used};
    return ERR_OK;
}

/* ---- retention.log_streams ---- */

enum { RULES_MAX = 1000 };

/* Rules of one tenant, or of all that have none of their own, as they come in. */
typedef struct LogStreamRules {
    struct LogStreamRules *next;
    size_t owner; /* index of the override + 1; 0: the defaults */
    StreamRetention *items;
    size_t count;
    size_t capacity;
} LogStreamRules;

/* Whose limits these are. */
static size_t owner_of(const Configuration *out, const TenantLimits *limits) {
    for (size_t i = 0; i < out->override_count; i++)
        if (limits == &out->overrides[i].limits) return i + 1;
    return 0;
}

static LogStreamRules *rules_of(Configuration *out, const TenantLimits *limits) {
    size_t owner = owner_of(out, limits);
    LogStreamRules *rules;

    for (rules = out->rules; rules != NULL; rules = rules->next)
        if (rules->owner == owner) return rules;
    rules = ARENA_NEW(out->arena, LogStreamRules);
    if (rules == NULL) return NULL;
    rules->owner = owner;
    rules->next = out->rules;
    out->rules = rules;
    return rules;
}

/* `name`: "0.selector" */
static ErrCode set_rule(Configuration *out, const TenantLimits *limits, Str name, Str text,
                        Error *err) {
    LogStreamRules *rules = rules_of(out, limits);
    StreamRetention *rule;
    Str number, field;
    uint64_t index;

    if (rules == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    if (!str_cut(name, '.', &number, &field) || !str_to_u64(number, &index) || index >= RULES_MAX)
        return error_set(err, ERR_INVALID,
                         "expected a list of at most %d rules with selector, priority and period",
                         RULES_MAX);
    if (index >= rules->capacity) {
        size_t capacity = MAX((size_t)index + 1, MAX(rules->capacity * 2, (size_t)8));

        rules->items = arena_grow(out->arena, rules->items, rules->capacity * sizeof *rule,
                                  capacity * sizeof *rule);
        if (rules->items == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        memset(rules->items + rules->capacity, 0, (capacity - rules->capacity) * sizeof *rule);
        rules->capacity = capacity;
    }
    rules->count = MAX(rules->count, (size_t)index + 1);
    rule = &rules->items[index];
    if (str_equal(field, STR("selector"))) {
        rule->selector = str_dup(out->arena, text);
        return rule->selector.ptr == NULL ? error_set(err, ERR_LIMIT, "out of memory") : ERR_OK;
    }
    if (str_equal(field, STR("priority"))) {
        if (str_to_i64(text, &rule->priority)) return ERR_OK;
        return error_set(err, ERR_INVALID, "priority: \"" STR_FMT "\" is no whole number",
                         STR_ARG(str_slice(text, 0, 80)));
    }
    if (str_equal(field, STR("period"))) {
        if (config_parse_duration(text, &rule->period_ms) && rule->period_ms > 0) return ERR_OK;
        return error_set(err, ERR_INVALID, "period: \"" STR_FMT "\" is no duration above 0",
                         STR_ARG(str_slice(text, 0, 80)));
    }
    return error_set(err, ERR_INVALID,
                     "a rule has a selector, a priority and a period, no " STR_FMT,
                     STR_ARG(str_slice(field, 0, 80)));
}

/* Puts the rules where they belong: first the defaults', which overrides start from. */
static ErrCode finish_rules(Configuration *out, bool overrides, Error *err) {
    for (LogStreamRules *rules = out->rules; rules != NULL; rules = rules->next) {
        if ((rules->owner != 0) != overrides) continue;
        TenantLimits *limits = overrides ? &out->overrides[rules->owner - 1].limits : &out->limits;

        if (stream_retentions_keep(rules->items, rules->count, querier_parse_selector,
                                   &limits->log_streams, err) == ERR_OK)
            continue;
        if (!overrides) return err->code;
        return error_wrap(err, "overrides of " STR_FMT,
                          STR_ARG(out->overrides[rules->owner - 1].tenant));
    }
    return ERR_OK;
}

/* ---- metrics_generator ---- */

/* The texts then are those that the rules keep, which a reload doesn't free. */
static ErrCode finish_generator(TenantLimits *limits, Error *err) {
    TRY(generator_rules_keep(&limits->generate, &limits->generator, err));
    limits->generate = limits->generator->settings;
    return ERR_OK;
}

/* What a tenant has of its own beside single limits: of all, then of each override. */
static ErrCode finish_tenants(Configuration *out, bool overrides, Error *err) {
    TRY(finish_rules(out, overrides, err));
    if (!overrides) {
        TRY(tenant_rules_finish(out, 0, &out->limits, err));
        return finish_generator(&out->limits, err);
    }
    for (size_t i = 0; i < out->override_count; i++)
        if (tenant_rules_finish(out, i + 1, &out->overrides[i].limits, err) != ERR_OK ||
            finish_generator(&out->overrides[i].limits, err) != ERR_OK)
            return error_wrap(err, "overrides of " STR_FMT, STR_ARG(out->overrides[i].tenant));
    return ERR_OK;
}

/* "retention.metrics" and "limits.series_max" set a tenant's limits, each by its own name. */
static ErrCode set_limit(Configuration *out, TenantLimits *limits, Str name, Str text, Error *err) {
    const ConfigSetting *setting = config_find(tenant_limit_table(), name);

    if (str_starts_with(name, TENANT_LOG_STREAMS))
        return set_rule(out, limits, str_from(name, TENANT_LOG_STREAMS.len), text, err);
    if (str_starts_with(name, TENANT_RULES))
        return tenant_rules_set(out, owner_of(out, limits), str_from(name, TENANT_RULES.len), text,
                                err);
    if (setting == NULL)
        return error_set(err, ERR_INVALID, "there is no limit named \"" STR_FMT "\"",
                         STR_ARG(str_slice(name, 0, 100)));
    return config_set(setting, out->arena, limits, text, err);
}

static ErrCode set_any(Configuration *out, Str name, Str text, Error *err) {
    const ConfigSetting *setting = config_find(settings_table(), name);

    if (setting != NULL) return config_set(setting, out->arena, &out->settings, text, err);
    if (str_equal(name, STR("limits"))) {
        if (!str_equal(text, STR("off")))
            return error_set(err, ERR_INVALID,
                             "limits: \"" STR_FMT "\" is not `off`; single limits are limits.NAME",
                             STR_ARG(str_slice(text, 0, 80)));
        out->limits_off = true;
        return ERR_OK;
    }
    if (config_find(tenant_limit_table(), name) != NULL ||
        str_starts_with(name, TENANT_LOG_STREAMS) || str_starts_with(name, TENANT_RULES))
        return set_limit(out, &out->limits, name, text, err);
    return error_set(err, ERR_INVALID, "there is no setting named \"" STR_FMT "\"",
                     STR_ARG(str_slice(name, 0, 100)));
}

/* overrides.<tenant>.<limit>: limits of one tenant start from the defaults as they are then, so
 * overrides are applied after everything else. */
static ErrCode set_override(Configuration *out, size_t *capacity, Str path, Str text, Error *err) {
    TenantOverride *override = NULL;
    Str tenant, name;

    if (!str_cut(path, '.', &tenant, &name) || name.len == 0)
        return error_set(err, ERR_INVALID, "expected overrides.TENANT.LIMIT");
    if (tenant_check(tenant, err) != ERR_OK) return error_wrap(err, "overrides");
    for (size_t i = 0; i < out->override_count; i++)
        if (str_equal(out->overrides[i].tenant, tenant)) override = &out->overrides[i];
    if (override == NULL) {
        if (out->override_count == *capacity) {
            size_t more = MAX(*capacity * 2, 16);

            out->overrides =
                arena_grow(out->arena, out->overrides, *capacity * sizeof *out->overrides,
                           more * sizeof *out->overrides);
            if (out->overrides == NULL) return error_set(err, ERR_LIMIT, "out of memory");
            *capacity = more;
        }
        override = &out->overrides[out->override_count++];
        *override = (TenantOverride){tenant, out->limits};
    }
    if (set_limit(out, &override->limits, name, text, err) != ERR_OK)
        return error_wrap(err, "overrides of " STR_FMT, STR_ARG(tenant));
    return ERR_OK;
}

static ErrCode read_values(Configuration *out, const ConfigValue *values, size_t count,
                           bool overrides, Error *err) {
    const Str prefix = STR("overrides.");
    size_t capacity = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_override = str_starts_with(values[i].path, prefix);
        ErrCode code = ERR_OK;

        if (is_override != overrides) continue;
        if (is_override)
            code = set_override(out, &capacity, str_from(values[i].path, prefix.len),
                                values[i].text, err);
        else
            code = set_any(out, values[i].path, values[i].text, err);
        if (code != ERR_OK)
            return error_wrap(err, STR_FMT ":%u", STR_ARG(out->file), values[i].line);
    }
    return ERR_OK;
}

/* ---- the command line ---- */

/* One `--name value` or `--name=value`; moves *i past it. */
static ErrCode next_argument(int argc, char **argv, int *i, Str *name, Str *text, Error *err) {
    Str argument = str_of(argv[*i]);

    if (!str_starts_with(argument, STR("--")) || argument.len < 3)
        return error_set(err, ERR_INVALID, "\"%.80s\" is not a setting; expected --NAME VALUE",
                         argv[*i]);
    argument = str_from(argument, 2);
    *i += 1;
    if (str_cut(argument, '=', name, text)) return ERR_OK;
    if (*i >= argc)
        return error_set(err, ERR_INVALID, "--" STR_FMT ": its value is missing", STR_ARG(*name));
    *text = str_of(argv[*i]);
    *i += 1;
    return ERR_OK;
}

static ErrCode read_arguments(Configuration *out, int argc, char **argv, bool only_config,
                              Error *err) {
    for (int i = 0; i < argc;) {
        Str name, text;

        TRY(next_argument(argc, argv, &i, &name, &text, err));
        if (str_equal(name, STR("config"))) {
            out->file = text;
            continue;
        }
        if (!only_config && set_any(out, name, text, err) != ERR_OK)
            return error_wrap(err, "--" STR_FMT, STR_ARG(str_slice(name, 0, 100)));
    }
    return ERR_OK;
}

static ErrCode check_whole(const Configuration *out, Error *err) {
    const Settings *s = &out->settings;

    if ((s->tls_cert_file.len == 0) != (s->tls_key_file.len == 0))
        return error_set(err, ERR_INVALID, "tls.cert_file and tls.key_file go together");
    if (s->tls_client_ca_file.len > 0 && s->tls_cert_file.len == 0)
        return error_set(err, ERR_INVALID, "tls.client_ca_file needs tls.cert_file");
    if (s->data.len == 0) return error_set(err, ERR_INVALID, "data: an empty directory name");
    return ERR_OK;
}

ErrCode configuration_read(int argc, char **argv, Arena *arena, Configuration *out, Error *err) {
    ConfigValue *values = NULL;
    size_t count = 0;

    *out = (Configuration){.arena = arena};
    config_defaults(settings_table(), arena, &out->settings);
    tenant_limits_defaults(&out->limits);
    TRY(read_arguments(out, argc, argv, true, err));
    if (out->file.len > 0) {
        Str yaml;

        TRY(read_file(out->file, arena, &yaml, err));
        TRY(config_parse(yaml, out->file, arena, &values, &count, err));
        TRY(read_values(out, values, count, false, err));
    }
    TRY(read_arguments(out, argc, argv, false, err));
    TRY(finish_tenants(out, false, err));
    TRY(read_values(out, values, count, true, err));
    TRY(finish_tenants(out, true, err));
    return check_whole(out, err);
}

ErrCode configuration_reread_limits(const Configuration *now, Arena *arena, Configuration *out,
                                    Error *err) {
    ConfigValue *values;
    size_t count;
    Str yaml;

    *out = (Configuration){.arena = arena, .file = now->file, .limits_off = now->limits_off};
    config_defaults(settings_table(), arena, &out->settings);
    tenant_limits_defaults(&out->limits);
    TRY(read_file(now->file, arena, &yaml, err));
    TRY(config_parse(yaml, now->file, arena, &values, &count, err));
    TRY(read_values(out, values, count, false, err));
    TRY(finish_tenants(out, false, err));
    TRY(read_values(out, values, count, true, err));
    return finish_tenants(out, true, err);
}

void configuration_write_markdown(Buf *out) {
    buf_append_str(
        out,
        STR("# Configuration\n\n"
            "Every setting has one name: the path in the YAML file that `--config FILE` names "
            "(dots are nested mappings, or part of the name), and `--NAME VALUE` on the command "
            "line, which wins over the file. `${NAME}` and `${NAME:-default}` in the file are "
            "taken from the environment. `moraine config check --config FILE` says what is wrong "
            "and where.\n\n"
            "Written by `moraine config docs`.\n\n## Process\n\n"));
    config_write_markdown(settings_table(), "", out);
    buf_append_str(
        out,
        STR("\n## Tenants\n\n"
            "These hold for every tenant, and in `overrides.TENANT` for one. A running process "
            "takes changes of the file over when it gets SIGHUP and within 10 seconds of a change. "
            "`--limits off` lifts them all. 0 means no limit.\n\n"));
    config_write_markdown(tenant_limit_table(), "", out);
    buf_append_str(
        out,
        STR("\n### retention.log_streams\n\n"
            "How long which streams of logs are kept, as Loki's `retention_stream`: a list of "
            "rules "
            "of a selector, a period and a priority (0 unless said). Of the rules that match a "
            "stream the one of the highest priority holds, of equals the one of the shortest "
            "period; a stream that none matches is kept as long as `retention.logs` says. A "
            "tenant's own list replaces that for all.\n\n"
            "```yaml\nretention:\n  logs: 30d\n  log_streams:\n"
            "    - {selector: '{namespace=\"dev\"}', period: 24h}\n"
            "    - {selector: '{container=~\"audit.*\"}', period: 365d, priority: 1}\n```\n"));
    tenant_rules_write_markdown(out);
}
