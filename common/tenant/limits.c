/*
 * limits.c: the table of limits, from which the configuration's parser, its documentation and the
 * defaults all come.
 */
#include "common/tenant/limits.h"

#define HIGHEST_COUNT 1e15
#define HIGHEST_MS 3.2e12 /* 100 years */

#define COUNT(field, default_, help_)                                                              \
    {                                                                                              \
        .name = "limits." #field, .type = CONFIG_U64, .offset = offsetof(TenantLimits, field),     \
        .default_text = (default_), .lowest = 0, .highest = HIGHEST_COUNT, .argument = "N",        \
        .help = (help_)                                                                            \
    }
#define BYTES(field, default_, help_)                                                              \
    {                                                                                              \
        .name = "limits." #field, .type = CONFIG_BYTES, .offset = offsetof(TenantLimits, field),   \
        .default_text = (default_), .lowest = 0, .highest = HIGHEST_COUNT, .argument = "BYTES",    \
        .help = (help_)                                                                            \
    }
#define DURATION(name_, field, default_, lowest_, help_)                                           \
    {                                                                                              \
        .name = (name_), .type = CONFIG_DURATION, .offset = offsetof(TenantLimits, field),         \
        .default_text = (default_), .lowest = (lowest_), .highest = HIGHEST_MS,                    \
        .argument = "DURATION", .help = (help_)                                                    \
    }

#define SWITCH(name_, field, default_, help_)                                                      \
    {                                                                                              \
        .name = (name_), .type = CONFIG_BOOL, .offset = offsetof(TenantLimits, field),             \
        .default_text = (default_), .help = (help_)                                                \
    }

static const char *const deletion_modes[] = {"disabled", "filter-only", "filter-and-delete", NULL};

#define TEXT(name_, field, default_, argument_, help_)                                             \
    {                                                                                              \
        .name = (name_), .type = CONFIG_STR, .offset = offsetof(TenantLimits, field),              \
        .default_text = (default_), .argument = (argument_), .help = (help_)                       \
    }
#define CHOICE(name_, field, default_, choices_, argument_, help_)                                 \
    {                                                                                              \
        .name = (name_), .type = CONFIG_CHOICE, .offset = offsetof(TenantLimits, field),           \
        .default_text = (default_), .choices = (choices_), .argument = (argument_),                \
        .help = (help_)                                                                            \
    }
#define NUMBER(name_, field, default_, help_)                                                      \
    {                                                                                              \
        .name = (name_), .type = CONFIG_U64, .offset = offsetof(TenantLimits, field),              \
        .default_text = (default_), .lowest = 0, .highest = HIGHEST_COUNT, .argument = "N",        \
        .help = (help_)                                                                            \
    }

static const char *const histogram_choices[] = {"classic", "native", "both", NULL};
static const char *const latency_choices[] = {"traces_spanmetrics_latency",
                                              "traces_spanmetrics_duration_seconds", NULL};

static const ConfigSetting settings[] = {
    {.name = "limits.ingest_rate",
     .type = CONFIG_DOUBLE,
     .offset = offsetof(TenantLimits, ingest_rate),
     .default_text = "0",
     .lowest = 0,
     .highest = HIGHEST_COUNT,
     .argument = "N",
     .help =
         "Samples, log lines and spans a second that are accepted; more are answered 429. 0: no "
         "limit."},
    COUNT(ingest_burst, "0",
          "Items that may come at once above ingest_rate. 0: what ingest_rate gives in a second."),
    COUNT(series_max, "0",
          "Series that an ingester holds in memory; samples of further ones are refused. 0: no "
          "limit."),
    COUNT(
        streams_max, "0",
        "Log streams that an ingester holds in memory; entries of further ones are refused. 0: no "
        "limit."),
    BYTES(trace_bytes_max, "5MiB",
          "Spans of one trace that an ingester holds in memory, as Tempo's max_bytes_per_trace; "
          "further ones are refused until it is flushed. 0: no limit."),
    COUNT(trace_spans_max, "0",
          "Spans of one trace that an ingester holds in memory; further ones are refused until it "
          "is flushed. 0: no limit."),
    COUNT(label_names_max, "40", "Labels of one series, the metric's name included. 0: no limit."),
    BYTES(label_name_bytes_max, "1024", "Length of a label's name. 0: no limit."),
    BYTES(label_value_bytes_max, "2048", "Length of a label's value. 0: no limit."),
    BYTES(request_bytes_max, "100MiB",
          "Size of one write request, decompressed; larger ones are answered 413. 0: no limit."),
    DURATION("limits.log_past_max", log_past_ms_max, "7d", 0,
             "How old the timestamp of a log entry may be on arrival, as Loki's "
             "reject_old_samples_max_age. 0: what past_max says."),
    BYTES(
        log_line_bytes_max, "256KiB",
        "Length of a log line; longer ones are refused, or cut where log_line_truncate is set. 0: "
        "16 MiB."),
    SWITCH("limits.log_line_truncate", log_line_truncate, "false",
           "Whether lines that are too long are cut to the limit instead of refused."),
    BYTES(log_metadata_bytes_max, "64KiB",
          "Structured metadata of one log entry, names and values together. 0: 1 MiB."),
    COUNT(log_metadata_names_max, "128",
          "Structured metadata of one log entry, names. 0: no limit."),
    SWITCH(
        "logs.discover_service_name", log_service_name, "true",
        "Whether a stream without the label service_name gets it from service, app, container, job "
        "and the like, or else as unknown_service."),
    SWITCH("logs.discover_levels", log_levels, "true",
           "Whether a log entry gets detected_level as structured metadata, from its labels or its "
           "line."),
    DURATION("limits.future_max", future_ms_max, "10m", -1,
             "How far ahead of the clock a timestamp may lie. -1: no limit; 0 is exactly now."),
    DURATION("limits.past_max", past_ms_max, "0", 0,
             "How old a timestamp may be on arrival. 0: no limit."),
    DURATION("retention.metrics", retention_metrics_ms, "0", 0,
             "How long metrics are kept. 0: for good."),
    DURATION("retention.logs", retention_logs_ms, "0", 0, "How long logs are kept. 0: for good."),
    DURATION("retention.traces", retention_traces_ms, "0", 0,
             "How long traces are kept. 0: for good."),
    COUNT(query_samples_max, "50000000", "Samples that one query may load. 0: no limit."),
    COUNT(query_series_max, "0", "Series that one query may select. 0: no limit."),
    BYTES(query_bytes_max, "1GiB", "Memory of one query. 0: what memory.limit leaves to queries."),
    COUNT(query_concurrency_max, "20", "Queries that run at the same time. 0: no limit."),
    DURATION("limits.query_timeout", query_timeout_ms, "2m", 0,
             "How long a query may run. 0: no limit."),
    DURATION("limits.query_range_max", query_range_ms_max, "0", 0,
             "Time range that one query may span. 0: no limit."),
    DURATION("limits.log_query_range_max", log_query_range_ms_max, "721h", 0,
             "Time range that one LogQL query may span. 0: no limit."),
    {.name = "limits.deletion_mode",
     .type = CONFIG_CHOICE,
     .offset = offsetof(TenantLimits, deletion_mode),
     .default_text = "filter-and-delete",
     .choices = deletion_modes,
     .argument = "MODE",
     .help =
         "What becomes of requests to delete logs: disabled refuses them and shows what earlier "
         "ones hid, filter-only hides what they are about, filter-and-delete also removes it "
         "from the store."},
    COUNT(log_tails_max, "10", "Tails of logs that may be open at the same time. 0: no limit."),
    COUNT(log_query_entries_max, "5000", "Entries that one log query may ask for. 0: no limit."),

    DURATION("tail_sampling.wait", tail_wait_ms, "10s", 0,
             "Where rules.tail says which traces are kept: those that ended less than this before "
             "the newest span of a flush are kept all the same, as more of them may come."),
    SWITCH(
        "span_metrics.enabled", generate.span_metrics, "true",
        "Whether calls, latency and size of spans are counted as metrics traces_spanmetrics_..., "
        "as Tempo's metrics-generator does it."),
    TEXT("span_metrics.intrinsic_dimensions", generate.span_intrinsics,
         "service,span_name,span_kind,status_code", "NAMES",
         "Labels of span metrics that come from the span itself: service, span_name, span_kind, "
         "status_code, status_message."),
    TEXT("span_metrics.dimensions", generate.span_dimensions, "", "NAMES",
         "Attributes, of the resource or else of the span, separated by commas, that become labels "
         "of span metrics: http.method becomes http_method."),
    TEXT("span_metrics.histogram_buckets", generate.span_buckets,
         "0.002,0.004,0.008,0.016,0.032,0.064,0.128,0.256,0.512,1.024,2.048,4.096,8.192,16.384",
         "SECONDS", "Upper bounds of the buckets of the latency histogram."),
    CHOICE("span_metrics.latency_metric", generate.span_latency, "traces_spanmetrics_latency",
           latency_choices, "NAME",
           "What the latency histogram is called: as Tempo calls it, or as the OpenTelemetry "
           "Collector's connector does with Tempo's namespace."),
    SWITCH("span_metrics.size", generate.span_size, "true",
           "Whether traces_spanmetrics_size_total adds up the spans' bytes as sent."),
    SWITCH("span_metrics.target_info", generate.target_info, "false",
           "Whether traces_target_info has the attributes of each resource, and span metrics the "
           "labels job and instance to join it by."),
    SWITCH("service_graphs.enabled", generate.service_graphs, "true",
           "Whether requests between services are counted as metrics traces_service_graph_..., "
           "which Grafana draws service graphs from."),
    TEXT("service_graphs.dimensions", generate.edge_dimensions, "", "NAMES",
         "Attributes, of the resource or else of the span, separated by commas, that become labels "
         "of service graphs."),
    SWITCH("service_graphs.client_server_prefix", generate.edge_prefix, "false",
           "Whether these labels are two, client_... and server_..., each with its side's value."),
    TEXT("service_graphs.histogram_buckets", generate.edge_buckets,
         "0.1,0.2,0.4,0.8,1.6,3.2,6.4,12.8", "SECONDS",
         "Upper bounds of the buckets of the service graphs' histograms."),
    DURATION("service_graphs.wait", generate.edge_wait_ms, "10s", 0,
             "How long a client's span waits for the server's and the other way round."),
    NUMBER("service_graphs.edges_max", generate.edges_max, "50000",
           "Spans that may wait for their other side at a time; further ones are counted as "
           "dropped. 0: none may, so that only spans that need no other side make edges."),
    TEXT("service_graphs.peer_attributes", generate.edge_peers,
         "peer.service,db.name,db.system,db.system.name", "NAMES",
         "Attributes, separated by commas, best first, that name the other side where it sends no "
         "spans."),
    TEXT("service_graphs.database_name_attributes", generate.edge_databases,
         "db.namespace,db.name,db.system,db.system.name", "NAMES",
         "Attributes, separated by commas, best first, that make a client's span a request to a "
         "database and name it."),
    SWITCH("service_graphs.virtual_node_label", generate.edge_virtual_node, "false",
           "Whether edges to services that send no spans have the label virtual_node, which says "
           "on which side."),
    SWITCH("service_graphs.messaging_system_latency", generate.edge_messaging, "false",
           "Whether traces_service_graph_request_messaging_system_seconds measures how long "
           "messages were on their way."),
    CHOICE("metrics_generator.histograms", generate.histograms, "classic", histogram_choices,
           "classic|native|both", "What histograms of span metrics and service graphs are."),
    NUMBER(
        "metrics_generator.series_max", generate.series_max, "100000",
        "Series that may be derived from spans at a time; spans that would need more are counted "
        "as dropped. 0: no limit."),
    DURATION("metrics_generator.stale_after", generate.stale_after_ms, "15m", 1000,
             "Derived series that no span was counted in for this long are no longer written."),
    DURATION("metrics_generator.slack", generate.slack_ms, "30s", 0,
             "Spans that ended longer ago than this aren't counted, as the metrics would be of the "
             "wrong time. 0: all are."),
    TEXT("metrics_generator.exemplar_label", generate.exemplar_label, "traceID", "NAME",
         "The label that has an exemplar's trace id."),
};

ConfigTable tenant_limit_table(void) {
    return (ConfigTable){settings, ARRAY_LEN(settings)};
}

void tenant_limits_defaults(TenantLimits *out) {
    *out = (TenantLimits){0};
    config_defaults(tenant_limit_table(), NULL,
                    out); /* no texts among them, so nothing to allocate */
}
