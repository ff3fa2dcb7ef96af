#pragma once
/*
 * names.h: OTLP's names and units as Prometheus has them.
 * https://github.com/open-telemetry/opentelemetry-specification:
 * compatibility/prometheus_and_openmetrics.md The strategies are those of Prometheus'
 * `otlp.translation_strategy`.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/batch/metrics.h"

typedef enum OtlpTranslation {
    OTLP_ESCAPE_WITH_SUFFIXES, /* http.server.duration in s: http_server_duration_seconds */
    OTLP_ESCAPE,               /* http_server_duration */
    OTLP_KEEP_WITH_SUFFIXES,   /* http.server.duration_seconds */
    OTLP_KEEP,                 /* http.server.duration */
} OtlpTranslation;

/* Whether names are made fit for [a-zA-Z0-9_:]. */
static inline bool otlp_escapes(OtlpTranslation translation) {
    return translation <= OTLP_ESCAPE;
}

typedef struct OtlpMetricName {
    Str name; /* as sent */
    Str unit;
    bool counter; /* a monotonic sum */
    bool gauge;
} OtlpMetricName;

/* In `arena`, or `metric->name` itself. ERR_INVALID: nothing is left of it. ERR_LIMIT: out of
 * memory. */
MUST_USE ErrCode otlp_metric_name(OtlpTranslation translation, const OtlpMetricName *metric,
                                  Arena *arena, Str *out, Error *err);
typedef enum OtlpLabelStyle {
    OTLP_LABEL_AS_SENT,
    OTLP_LABEL_PROMETHEUS, /* a.-b: a__b; _a: key_a */
    OTLP_LABEL_LOKI,       /* a.-b: a_b; _a: _a */
} OtlpLabelStyle;

/* http.method: http_method; 1st: key_1st. ERR_INVALID: empty, or nothing but underscores. */
MUST_USE ErrCode otlp_label_name(OtlpLabelStyle style, Str name, Arena *arena, Str *out,
                                 Error *err);
/* By/s: bytes_per_second. NULL ptr: out of memory. */
Str otlp_unit_name(Str unit, Arena *arena);
