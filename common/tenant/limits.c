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
};

ConfigTable tenant_limit_table(void) {
    return (ConfigTable){settings, ARRAY_LEN(settings)};
}

void tenant_limits_defaults(TenantLimits *out) {
    *out = (TenantLimits){0};
    config_defaults(tenant_limit_table(), NULL,
                    out); /* no texts among them, so nothing to allocate */
}
