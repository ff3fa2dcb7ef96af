#pragma once
/*
 * stream_retention.h: how long which streams of logs are kept: rules of a selector, a priority and
 * a period, as Loki's retention_stream. Of the rules that match a stream the one of the highest
 * priority holds, of equals the one of the shortest period, without any the tenant's own period.
 */
#include "common/batch/labels.h"
#include "common/batch/matcher.h"

typedef struct StreamRetention {
    Str selector;
    const Matcher *matchers;
    size_t matcher_count;
    int64_t priority;
    int64_t period_ms; /* above 0 */
} StreamRetention;

/* Made once and never freed, however often limits are replaced: whoever has a tenant's limits may
 * go on using the rules in them. */
typedef struct StreamRetentions {
    const StreamRetention *items;
    size_t count;
} StreamRetentions;

/* A selector's matchers, in `arena`. ERR_INVALID says what is wrong with it. */
typedef ErrCode (*ParseSelector)(Arena *arena, Str selector, const Matcher **out, size_t *count,
                                 Error *err);

/* The rules (`matchers` are ignored) as they are kept: the same ones for the same rules. *out is
 * NULL for none. ERR_INVALID names the rule. Thread-safe. */
MUST_USE ErrCode stream_retentions_keep(const StreamRetention *rules, size_t count,
                                        ParseSelector parse, const StreamRetentions **out,
                                        Error *err);

/* Periods in ms; 0: for good. `otherwise_ms` is the tenant's own; `rules` may be NULL. */
int64_t stream_retention_of(const StreamRetentions *rules, LabelPairs labels, int64_t otherwise_ms);
int64_t stream_retention_longest(const StreamRetentions *rules, int64_t otherwise_ms);
int64_t stream_retention_shortest(const StreamRetentions *rules, int64_t otherwise_ms);
