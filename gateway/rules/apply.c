/*
 * apply.c: a list of rules applied to one resource, span, record or point.
 */
#include <openssl/sha.h>
#include <stdio.h>

#include "common/base/telemetry.h"
#include "common/batch/spans.h"
#include "gateway/rules/internal.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left to apply rules");
}

/* ---------- attributes ---------- */

static ErrCode insert(RuleAttributes *attributes, Str key, Str value, Arena *arena, Error *err) {
    /* More than can be stored isn't made of what could be. */
    if (attributes->count >= SPAN_ATTRIBUTES_MAX) return ERR_OK;
    if (attributes->count == attributes->capacity) {
        size_t capacity = MAX(attributes->capacity * 2, (size_t)16);
        RuleAttribute *items =
            arena_grow(arena, attributes->items, attributes->capacity * sizeof *items,
                       capacity * sizeof *items);

        if (items == NULL) return out_of_memory(err);
        attributes->items = items;
        attributes->capacity = capacity;
    }
    attributes->items[attributes->count++] = (RuleAttribute){.key = key, .value = value};
    attributes->changed = true;
    return ERR_OK;
}

static void set(RuleAttributes *attributes, RuleAttribute *attribute, Str key, Str value) {
    *attribute = (RuleAttribute){.key = key, .value = value};
    attributes->changed = true;
}

static void take_away(RuleAttributes *attributes, Str key, const RuleAttribute *but) {
    size_t kept = 0;

    for (size_t i = 0; i < attributes->count; i++) {
        if (&attributes->items[i] != but && str_equal(attributes->items[i].key, key)) continue;
        attributes->items[kept++] = attributes->items[i];
    }
    attributes->changed |= kept < attributes->count;
    attributes->count = kept;
}

/* SHA-256 of a text, or of a value as text, as hex: message AnyValue. */
static ErrCode hash_value(Str value, Arena *arena, Str *out, Error *err) {
    static const char hex[] = "0123456789abcdef";
    enum { HEX_BYTES = 2 * SHA256_DIGEST_LENGTH };
    unsigned char digest[SHA256_DIGEST_LENGTH];
    OtlpValue read = {.kind = OTLP_EMPTY};
    char *message;
    Str text;

    if (!otlp_read_value(wire_reader(value), &read))
        return error_set(err, ERR_CORRUPT, "the body is not OTLP: an attribute can't be read");
    TRY(otlp_value_text(&read, arena, &text, err));
    SHA256((const unsigned char *)text.ptr, text.len, digest);
    message = arena_alloc_bytes(arena, 2 + HEX_BYTES);
    if (message == NULL) return out_of_memory(err);
    message[0] = WIRE_TAG(1, WIRE_BYTES);
    message[1] = HEX_BYTES;
    for (size_t i = 0; i < sizeof digest; i++) {
        message[2 + 2 * i] = hex[digest[i] >> 4];
        message[3 + 2 * i] = hex[digest[i] & 15];
    }
    *out = (Str){message, 2 + HEX_BYTES};
    return ERR_OK;
}

static ErrCode change(const Rule *rule, const RuleSubject *subject, RuleAttributes *attributes,
                      Error *err) {
    RuleAttribute *there = rule_attribute_find(attributes, rule->key);
    Str value = rule->value;

    if (rule->action <= ACTION_UPSERT && value.ptr == NULL) {
        const RuleAttribute *from =
            rule_attribute_find(rule->from_resource ? subject->resource : subject->own, rule->from);

        if (from == NULL) return ERR_OK; /* nothing to copy */
        value = from->value;
    }
    switch (rule->action) {
    case ACTION_INSERT:
        return there == NULL ? insert(attributes, rule->key, value, subject->arena, err) : ERR_OK;
    case ACTION_UPSERT:
        if (there == NULL) return insert(attributes, rule->key, value, subject->arena, err);
        set(attributes, there, rule->key, value);
        return ERR_OK;
    case ACTION_UPDATE:
        if (there != NULL) set(attributes, there, rule->key, value);
        return ERR_OK;
    case ACTION_DELETE:
        if (there != NULL) take_away(attributes, rule->key, NULL);
        return ERR_OK;
    case ACTION_RENAME:
        if (there == NULL || str_equal(rule->key, rule->to)) return ERR_OK;
        value = there->value;
        set(attributes, there, rule->to, value);
        take_away(attributes, rule->to, there);
        return ERR_OK;
    case ACTION_HASH:
        if (there == NULL) return ERR_OK;
        TRY(hash_value(there->value, subject->arena, &value, err));
        set(attributes, there, rule->key, value);
        return ERR_OK;
    case ACTION_DROP:
    case ACTION_SAMPLE:
    case ACTION_KEEP:
        break;
    }
    return ERR_OK;
}

/* ---------- lists ---------- */

ErrCode rules_on_resource(const SignalRules *rules, RuleSubject *subject, RuleAttributes *resource,
                          Error *err) {
    subject->resource = resource;
    for (size_t i = 0; i < rules->count; i++) {
        const Rule *rule = &rules->items[i];

        if (!rule->on_resource ||
            (rule->condition != NULL && !rule_condition_holds(rule->condition, subject)))
            continue;
        TRY(change(rule, subject, resource, err));
    }
    return ERR_OK;
}

ErrCode rules_on_item(const SignalRules *rules, RuleSubject *subject, uint64_t sample, bool *drop,
                      Error *err) {
    *drop = false;
    for (size_t i = 0; i < rules->count && !*drop; i++) {
        const Rule *rule = &rules->items[i];

        if (rule->on_resource ||
            (rule->condition != NULL && !rule_condition_holds(rule->condition, subject)))
            continue;
        if (rule->action == ACTION_DROP)
            *drop = true;
        else if (rule->action == ACTION_SAMPLE)
            *drop = rule->threshold != UINT64_MAX && sample >= rule->threshold;
        else
            TRY(change(rule, subject, subject->own, err));
    }
    return ERR_OK;
}

void rules_report(Str tenant, RuleSignal signal, uint64_t dropped) {
    static const char *const names[RULE_SIGNALS] = {"traces", "logs", "metrics", "tail"};
    char who[2 * TENANT_NAME_MAX + 16], both[sizeof who + 32];

    if (dropped == 0) return;
    telemetry_label(who, sizeof who, "tenant", tenant);
    snprintf(both, sizeof both, "%s,signal=\"%s\"", who, names[signal]);
    counter_add(telemetry_counter("moraine_gateway_rules_dropped_total", both,
                                  "Spans, log records and data points that a tenant's rules "
                                  "dropped or didn't sample."),
                dropped);
}
