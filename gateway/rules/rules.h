#pragma once
/*
 * rules.h: what a tenant wants done with OTLP's data before it is stored, as the OpenTelemetry
 * Collector's processors do it: attributes inserted, changed, renamed, hashed or deleted, items
 * dropped by condition, a share of traces kept (docs/operations.md#rules).
 *
 * Rules are a list per signal, applied in its order; those about resources come first, as they are
 * about all that is from there. A tenant without rules pays nothing.
 */
#include "common/base/clock.h"
#include "common/batch/sink.h"
#include "common/tenant/sampler.h"
#include "common/tenant/tenant.h"

/* RULE_TAIL: which traces are kept once they are over. */
typedef enum RuleSignal {
    RULE_TRACES,
    RULE_LOGS,
    RULE_METRICS,
    RULE_TAIL,
    RULE_SIGNALS
} RuleSignal;

/* One rule as it is configured; empty texts weren't said. */
typedef struct RuleText {
    Str action;    /* insert, update, upsert, delete, rename, hash, drop, sample; of tails: keep,
                    * sample */
    Str key;       /* resource.NAME, or span.NAME, log.NAME, point.NAME */
    Str value;     /* of insert, update, upsert */
    Str type;      /* of `value`: string (when empty), int, double, bool */
    Str from;      /* instead of `value`: the key of another attribute */
    Str to;        /* of rename: the new name */
    Str share;     /* of sample: 0 to 1 */
    Str condition; /* empty: always */
} RuleText;

typedef struct RuleList {
    const RuleText *items;
    size_t count;
} RuleList;

enum { RULES_MAX = 1000 };

/* Made once and never freed, as StreamRetentions; NULL where all lists are empty. ERR_INVALID names
 * the rule, as rules.traces.0. Thread-safe. */
MUST_USE ErrCode rules_keep(const RuleList lists[RULE_SIGNALS], const TenantRules **out,
                            Error *err);

/* ---------- applying them ---------- */

/* Whether there are any for a signal. `rules` may be NULL. */
bool rules_any(const TenantRules *rules, RuleSignal signal);

/* An export request of logs or metrics, protobuf, with what the rules make of it in `out`, which
 * bounds its size. ERR_CORRUPT: not protobuf. ERR_LIMIT: out of memory. *dropped: records or data
 * points. */
MUST_USE ErrCode rules_rewrite(const TenantRules *rules, RuleSignal signal, Str body, Arena *arena,
                               Buf *out, uint64_t *dropped, Error *err);

/* Applies rules for traces to the batches of all protocols on their way to `next`. Everything is
 * borrowed; `budget` may be NULL. */
typedef struct RulesSink {
    SpansSink sink;
    SpansSink *next;
    Tenants *tenants;
    Budget *budget;
} RulesSink;

void rules_sink_init(RulesSink *rules, SpansSink *next, Tenants *tenants, Budget *budget);

/* A batch as the rules leave it, in `arena`: `out` may share memory with it. */
MUST_USE ErrCode rules_spans(const TenantRules *rules, const SpansBatch *batch, uint64_t seed,
                             Arena *arena, SpansBatch *out, Error *err);

/* rules.tail, for who flushes traces. */
extern const TraceSampler rules_sampler;

/* What was dropped, in moraine_gateway_rules_dropped_total{tenant,signal}. */
void rules_report(Str tenant, RuleSignal signal, uint64_t dropped);
