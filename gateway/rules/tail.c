/*
 * tail.c: which traces are kept once they are over: those of which a span meets a rule's condition,
 * and a share of all.
 */
#include "common/batch/span_wire.h"
#include "gateway/generator/view.h"
#include "gateway/rules/internal.h"

static bool any(const TenantRules *rules) {
    return rules_any(rules, RULE_TAIL);
}

typedef struct Trace {
    const SignalRules *rules;
    Arena *arena;
    uint64_t sample;
    double seconds; /* from its first start to its last end */
} Trace;

static bool sampled(const Rule *rule, uint64_t sample) {
    return rule->action == ACTION_KEEP || rule->threshold == UINT64_MAX || sample < rule->threshold;
}

/* Rules without a condition need no look at spans. */
static bool kept_anyway(const Trace *trace) {
    for (size_t i = 0; i < trace->rules->count; i++)
        if (trace->rules->items[i].condition == NULL &&
            sampled(&trace->rules->items[i], trace->sample))
            return true;
    return false;
}

static ErrCode span_keeps(const Trace *trace, const SpansItem *span, Str origin, bool *out,
                          Error *err) {
    RuleAttributes resource, own;
    Str parts[ORIGIN_PARTS];
    SpanView view;
    RuleSubject subject = {.arena = trace->arena,
                           .resource = &resource,
                           .own = &own,
                           .seconds = (double)(span->end_ns - span->start_ns) / 1e9,
                           .trace_seconds = trace->seconds};

    if (!origin_parts(origin, parts) || !span_view(span->span, &view))
        return error_set(err, ERR_CORRUPT, "a span can't be read");
    TRY(rule_attributes_read(parts[0], 1, trace->arena, &resource, err));
    TRY(rule_attributes_read(span->span, 9, trace->arena, &own, err));
    subject.name = view.name;
    subject.text = view.status_message;
    subject.kind = view.kind;
    subject.status = view.status;
    for (size_t i = 0; i < trace->rules->count && !*out; i++) {
        const Rule *rule = &trace->rules->items[i];

        *out = rule->condition != NULL && sampled(rule, trace->sample) &&
               rule_condition_holds(rule->condition, &subject);
    }
    return ERR_OK;
}

static bool keep(const TenantRules *rules, const SpansItem *spans, size_t count, const Str *origins,
                 Arena *scratch) {
    Trace trace = {.rules = &rules->signals[RULE_TAIL], .arena = scratch};
    int64_t first = INT64_MAX, last = INT64_MIN;
    bool kept = false;
    Error ignored;

    if (count == 0) return true;
    trace.sample = hash_bytes(spans[0].trace.bytes, sizeof spans[0].trace.bytes);
    if (kept_anyway(&trace)) return true;
    for (size_t i = 0; i < count; i++) {
        first = MIN(first, spans[i].start_ns);
        last = MAX(last, spans[i].end_ns);
    }
    trace.seconds = (double)(last - first) / 1e9;
    for (size_t i = 0; i < count && !kept; i++) {
        if (span_keeps(&trace, &spans[i], origins[spans[i].origin], &kept, &ignored) != ERR_OK)
            return true;
    }
    return kept;
}

const TraceSampler rules_sampler = {any, keep};
