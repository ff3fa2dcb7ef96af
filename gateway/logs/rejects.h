#pragma once
/*
 * rejects.h: what a write of logs loses on the way in, and why: counted by reason for the tenant's
 * telemetry, and the first one in words for the sender.
 */
#include "common/base/error.h"
#include "common/base/str.h"

/* The names are those that Loki's dashboards and alerts know. */
#define LOG_REJECT_REASONS(X)                                                                      \
    X(MISSING_LABELS, "missing_labels")                                                            \
    X(LABELS_INVALID, "invalid_labels")                                                            \
    X(LABEL_NAME_TOO_LONG, "label_name_too_long")                                                  \
    X(LABEL_VALUE_TOO_LONG, "label_value_too_long")                                                \
    X(TOO_MANY_LABELS, "max_label_names_per_series")                                               \
    X(DUPLICATE_LABEL, "duplicate_label_names")                                                    \
    X(LINE_TOO_LONG, "line_too_long")                                                              \
    X(METADATA_TOO_LARGE, "structured_metadata_too_large")                                         \
    X(METADATA_TOO_MANY, "structured_metadata_too_many")                                           \
    X(FUTURE, "too_far_in_future")                                                                 \
    X(PAST, "greater_than_max_sample_age")                                                         \
    X(STREAM_LIMIT, "stream_limit")                                                                \
    X(RATE_LIMITED, "rate_limited")

typedef enum LogRejectReason {
    LOG_REJECT_NONE = -1,
#define X(name, label) LOG_REJECT_##name,
    LOG_REJECT_REASONS(X)
#undef X
        LOG_REJECT_COUNT
} LogRejectReason;

typedef struct LogRejects {
    uint64_t by_reason[LOG_REJECT_COUNT]; /* entries */
    uint64_t entries;                     /* dropped in all */
    uint64_t truncated;                   /* kept, but cut to the longest line allowed */
    Error first;                          /* of the first dropped one */
} LogRejects;

/* Counts into moraine_gateway_log_entries_total{tenant}, moraine_gateway_log_bytes_total{tenant},
 * moraine_gateway_log_entries_truncated_total{tenant} and
 * moraine_gateway_rejected_log_entries_total{tenant,reason}. */
void log_rejects_report(const LogRejects *rejects, Str tenant, uint64_t entries, uint64_t bytes);
