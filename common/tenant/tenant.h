#pragma once
/*
 * tenant.h: who owns data, and what they may do. Limits come from the configuration's `limits` and
 * per-tenant `overrides`, and may be replaced while running: readers take a reference.
 */
#include "common/base/error.h"
#include "common/base/str.h"
#include "common/tenant/generator.h"
#include "common/tenant/stream_retention.h"

enum { TENANT_NAME_MAX = 150 };

typedef struct TenantRules TenantRules; /* gateway/rules/rules.h */

/* Letters, digits and !-_.*'() as Mimir has it; not "." or ".."; 1 to TENANT_NAME_MAX bytes.
 * ERR_INVALID says what is wrong. */
MUST_USE ErrCode tenant_check(Str name, Error *err);

extern const Str TENANT_ANONYMOUS; /* "anonymous": when nobody says who */

/* What becomes of requests to delete logs. */
typedef enum DeletionMode {
    DELETION_DISABLED,    /* they are refused, and hide nothing */
    DELETION_FILTER_ONLY, /* they hide; the objects stay as they are */
    DELETION_FILTER_AND_DELETE,
} DeletionMode;

/* 0 means no limit everywhere. limits.h has their names, help and defaults. */
typedef struct TenantLimits {
    double ingest_rate;       /* items (samples, lines, spans) a second */
    uint64_t ingest_burst;    /* items; 0: what ingest_rate gives in a second */
    uint64_t series_max;      /* active series */
    uint64_t streams_max;     /* active streams of logs */
    uint64_t trace_bytes_max; /* of one trace in an ingester's memory */
    uint64_t trace_spans_max;
    uint64_t label_names_max; /* labels of one series */
    uint64_t label_name_bytes_max;
    uint64_t label_value_bytes_max;
    uint64_t request_bytes_max; /* decompressed */
    int64_t log_past_ms_max;    /* of logs instead of past_ms_max; 0: that one */
    uint64_t log_line_bytes_max;
    uint64_t log_metadata_bytes_max; /* structured metadata of one entry: names and values */
    uint64_t log_metadata_names_max;
    int64_t future_ms_max;        /* accepted ahead of now; < 0: no limit */
    int64_t past_ms_max;          /* accepted behind now */
    int64_t tail_wait_ms;         /* traces that ended so long before are decided on */
    int64_t retention_metrics_ms; /* 0: keep */
    int64_t retention_logs_ms;
    int64_t retention_traces_ms;
    const StreamRetentions *log_streams; /* instead of retention_logs_ms where one matches; NULL: no
                                          * rules. Never freed */
    uint64_t query_samples_max;
    uint64_t query_series_max;
    uint64_t query_bytes_max; /* memory of one query */
    uint64_t query_concurrency_max;
    int64_t query_timeout_ms;
    int64_t query_range_ms_max;
    int64_t log_query_range_ms_max;
    uint64_t log_tails_max;          /* tails that are open at a time */
    uint64_t log_query_entries_max;  /* that a log query may return */
    bool log_line_truncate;          /* a longer line is cut, not refused */
    bool log_service_name;           /* streams without service_name get one, as Loki finds it */
    bool log_levels;                 /* entries get detected_level */
    int deletion_mode;               /* DeletionMode */
    const GeneratorRules *generator; /* metrics derived from spans; NULL: none. Never freed */
    const TenantRules *rules;   /* what is done with OTLP before it is stored; NULL: nothing. Never
                                 * freed */
    GeneratorSettings generate; /* what they are made of: for who reads the configuration */
} TenantLimits;

typedef struct Tenants Tenants;
/* `unlimited`: --limits off: every limit is lifted for every tenant, also that on timestamps; what
 * stays is retention. NULL: out of memory. */
Tenants *tenants_new(const TenantLimits *defaults, bool unlimited);
void tenants_free(Tenants *tenants); /* NULL is fine */
DEFINE_CLEANUP(Tenants, tenants_free)
/* What holds for this tenant right now; copied, so it never changes under a reader. */
void tenants_limits(Tenants *tenants, Str tenant, TenantLimits *out);
/* Replaces all overrides at once (hot reload). Names and limits are copied. */
typedef struct TenantOverride {
    Str tenant;
    TenantLimits limits;
} TenantOverride;
MUST_USE ErrCode tenants_replace(Tenants *tenants, const TenantLimits *defaults,
                                 const TenantOverride *overrides, size_t count, Error *err);

/* Changes with every tenants_replace(), for who remembers what passed the limits. Ask before
 * tenants_limits(): then what is remembered under a number held under it or a later one. */
uint64_t tenants_generation(const Tenants *tenants);

/* Token bucket of the tenant's ingest_rate and ingest_burst. ERR_RATE names limit and value, and
 * then *retry_after_ms says when `items` would fit (a request larger than the burst is let through
 * when the bucket is full, and owed). `now_ns` is of a monotonic clock. */
MUST_USE ErrCode tenants_take(Tenants *tenants, Str tenant, uint64_t items, uint64_t now_ns,
                              uint64_t *retry_after_ms, Error *err);

void tenant_limits_defaults(TenantLimits *out);
