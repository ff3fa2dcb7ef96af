#pragma once
/*
 * rejects.h: what a write request loses on the way in, and why: counted by reason for the tenant's
 * telemetry, and the first one in words for the sender.
 */
#include "common/base/error.h"
#include "common/base/str.h"

/* The names are those that Mimir's dashboards and alerts know. */
#define REJECT_REASONS(X)                                                                          \
    X(MISSING_NAME, "missing_metric_name")                                                         \
    X(NAME_INVALID, "metric_name_invalid")                                                         \
    X(LABEL_INVALID, "label_invalid")                                                              \
    X(LABEL_VALUE_INVALID, "label_value_invalid")                                                  \
    X(LABEL_NAME_TOO_LONG, "label_name_too_long")                                                  \
    X(LABEL_VALUE_TOO_LONG, "label_value_too_long")                                                \
    X(TOO_MANY_LABELS, "max_label_names_per_series")                                               \
    X(DUPLICATE_LABEL, "duplicate_label_names")                                                    \
    X(FUTURE, "too_far_in_future")                                                                 \
    X(PAST, "too_far_in_past")                                                                     \
    X(HISTOGRAM_INVALID, "invalid_native_histogram")                                               \
    X(EXEMPLAR_INVALID, "exemplar_invalid")                                                        \
    X(METADATA_INVALID, "metadata_invalid")                                                        \
    X(CONFLICT, "sample_duplicate_timestamp")                                                      \
    X(SERIES_LIMIT, "per_user_series_limit")                                                       \
    X(RATE_LIMITED, "rate_limited")

typedef enum RejectReason {
    REJECT_NONE = -1,
#define X(name, label) REJECT_##name,
    REJECT_REASONS(X)
#undef X
        REJECT_COUNT
} RejectReason;

typedef struct Rejects {
    uint64_t by_reason[REJECT_COUNT]; /* samples, histograms, exemplars, metadata */
    uint64_t samples;                 /* dropped in all */
    uint64_t histograms;
    uint64_t exemplars;
    uint64_t metadata;
    Error first; /* of a dropped sample or histogram, or of the series it belongs to */
} Rejects;

const char *reject_label(RejectReason reason);

/* True when something was lost that the sender must hear of. Exemplars and metadata are extras:
 * losing one fails no request (as in Mimir), it is only counted. */
static inline bool rejects_any(const Rejects *rejects) {
    return rejects->samples + rejects->histograms > 0;
}

/* Counts into moraine_gateway_samples_total{tenant} and
 * moraine_gateway_rejected_samples_total{tenant,reason}. */
void rejects_report(const Rejects *rejects, Str tenant, uint64_t accepted);
