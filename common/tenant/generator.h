#pragma once
/*
 * generator.h: which metrics are derived from a tenant's spans, and how: the settings
 * `metrics_generator.*`, `span_metrics.*` and `service_graphs.*`, which are those of Tempo's
 * metrics-generator.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/str.h"

typedef enum GeneratorHistograms {
    GENERATOR_CLASSIC, /* _bucket, _count, _sum */
    GENERATOR_NATIVE,
    GENERATOR_BOTH,
} GeneratorHistograms;

enum { GENERATOR_LATENCY, GENERATOR_DURATION_SECONDS }; /* what the latency histogram is called */

enum {
    GENERATOR_DIMENSIONS_MAX = 32,
    GENERATOR_BUCKETS_MAX = 64,
    GENERATOR_PEERS_MAX = 32,
};

/* As it is configured; texts of several names have commas between them. */
typedef struct GeneratorSettings {
    Str span_intrinsics;
    Str span_dimensions;
    Str span_buckets;
    Str edge_dimensions;
    Str edge_buckets;
    Str edge_peers;
    Str edge_databases;
    Str exemplar_label;
    uint64_t series_max;
    uint64_t edges_max;
    int64_t edge_wait_ms;
    int64_t stale_after_ms;
    int64_t slack_ms; /* spans that ended longer ago aren't counted; 0: all are */
    int histograms;   /* GeneratorHistograms */
    int span_latency; /* GENERATOR_LATENCY, GENERATOR_DURATION_SECONDS */
    bool span_metrics;
    bool service_graphs;
    bool span_size;
    bool target_info;
    bool edge_prefix;
    bool edge_virtual_node;
    bool edge_messaging;
} GeneratorSettings;

/* An attribute that becomes a label. */
typedef struct GeneratorDimension {
    Str attribute;
    Str label;  /* [a-zA-Z_][a-zA-Z0-9_]*, none of the labels that are there anyway */
    Str client; /* the label's name with its prefix: service_graphs.client_server_prefix */
    Str server;
} GeneratorDimension;

typedef struct GeneratorBuckets {
    const double *bounds; /* ascending, without infinity */
    const Str *texts;     /* of `le`, one more for +Inf */
    uint32_t count;
} GeneratorBuckets;

/* The same, ready for use. Made once and never freed, as StreamRetentions: equal settings give the
 * same rules. */
typedef struct GeneratorRules {
    GeneratorSettings settings;
    bool service, span_name, span_kind, status_code, status_message; /* intrinsic labels */
    const GeneratorDimension *span_dimensions;
    const GeneratorDimension *edge_dimensions;
    uint32_t span_dimension_count;
    uint32_t edge_dimension_count;
    GeneratorBuckets span_buckets;
    GeneratorBuckets edge_buckets;
    const Str *peers; /* attributes that name the other side, best first */
    const Str *databases;
    uint32_t peer_count;
    uint32_t database_count;
} GeneratorRules;

/* ERR_INVALID names the setting. Thread-safe. */
MUST_USE ErrCode generator_rules_keep(const GeneratorSettings *settings, const GeneratorRules **out,
                                      Error *err);
