#include "cli/tenant_rules.h"

#include "gateway/rules/rules.h"

struct TenantRuleTexts {
    struct TenantRuleTexts *next;
    size_t owner;
    RuleText *items[RULE_SIGNALS];
    size_t count[RULE_SIGNALS];
    size_t capacity[RULE_SIGNALS];
};

static struct TenantRuleTexts *find(const Configuration *out, size_t owner) {
    struct TenantRuleTexts *texts = out->tenant_rules;

    while (texts != NULL && texts->owner != owner) texts = texts->next;
    return texts;
}

static ErrCode find_signal(Str name, RuleSignal *out, Error *err) {
    static const char *const names[RULE_SIGNALS] = {"traces", "logs", "metrics", "tail"};

    for (int s = 0; s < RULE_SIGNALS; s++)
        if (str_equal(name, str_of(names[s]))) {
            *out = (RuleSignal)s;
            return ERR_OK;
        }
    return error_set(err, ERR_INVALID,
                     "rules are for traces, logs, metrics or tail, not for " STR_FMT,
                     STR_ARG(str_slice(name, 0, 80)));
}

static Str *find_text(RuleText *rule, Str field) {
    return str_equal(field, STR("action"))  ? &rule->action
           : str_equal(field, STR("key"))   ? &rule->key
           : str_equal(field, STR("value")) ? &rule->value
           : str_equal(field, STR("type"))  ? &rule->type
           : str_equal(field, STR("from"))  ? &rule->from
           : str_equal(field, STR("to"))    ? &rule->to
           : str_equal(field, STR("share")) ? &rule->share
           : str_equal(field, STR("if"))    ? &rule->condition
                                            : NULL;
}

ErrCode tenant_rules_set(Configuration *out, size_t owner, Str name, Str text, Error *err) {
    struct TenantRuleTexts *texts = find(out, owner);
    Str list, number, rest;
    RuleSignal s = RULE_TRACES;
    uint64_t index;
    Str *field;

    if (texts == NULL) {
        texts = ARENA_NEW(out->arena, struct TenantRuleTexts);
        if (texts == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        texts->owner = owner;
        texts->next = out->tenant_rules;
        out->tenant_rules = texts;
    }
    str_cut(name, '.', &list, &rest);
    TRY(find_signal(list, &s, err));
    if (!str_cut(rest, '.', &number, &rest) || !str_to_u64(number, &index) || index >= RULES_MAX)
        return error_set(err, ERR_INVALID, "expected a list of at most %d rules", RULES_MAX);
    if (index >= texts->capacity[s]) {
        size_t capacity = MAX((size_t)index + 1, MAX(texts->capacity[s] * 2, (size_t)8));
        RuleText *items = arena_grow(out->arena, texts->items[s],
                                     texts->capacity[s] * sizeof *items, capacity * sizeof *items);

        if (items == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        memset(items + texts->capacity[s], 0, (capacity - texts->capacity[s]) * sizeof *items);
        texts->items[s] = items;
        texts->capacity[s] = capacity;
    }
    texts->count[s] = MAX(texts->count[s], (size_t)index + 1);
    field = find_text(&texts->items[s][index], rest);
    if (field == NULL)
        return error_set(err, ERR_INVALID,
                         "a rule has action, key, value, type, from, to, share and if, no " STR_FMT,
                         STR_ARG(str_slice(rest, 0, 80)));
    *field = str_dup(out->arena, text);
    return field->ptr == NULL ? error_set(err, ERR_LIMIT, "out of memory") : ERR_OK;
}

ErrCode tenant_rules_finish(Configuration *out, size_t owner, TenantLimits *limits, Error *err) {
    const struct TenantRuleTexts *all = find(out, 0), *own = find(out, owner);
    RuleList lists[RULE_SIGNALS] = {{NULL, 0}};

    for (int s = 0; s < RULE_SIGNALS; s++) {
        const struct TenantRuleTexts *from = own != NULL && own->count[s] > 0 ? own : all;

        if (from != NULL) lists[s] = (RuleList){from->items[s], from->count[s]};
    }
    return rules_keep(lists, &limits->rules, err);
}

void tenant_rules_write_markdown(Buf *out) {
    buf_append_str(
        out,
        STR("\n### rules\n\n"
            "What is done with OTLP's data before it is stored, as the processors of the "
            "OpenTelemetry Collector do it: a list for each of `rules.traces`, `rules.logs` and "
            "`rules.metrics`, applied in its order, those about resources first; and `rules.tail`, "
            "which traces are kept once they are over. A tenant's own list replaces that for all. "
            "[operations.md](operations.md#rules) explains them.\n\n"
            "```yaml\nrules:\n  traces:\n"
            "    - {action: drop, if: 'name =~ \"GET /(health|ready).*\" and kind = server'}\n"
            "    - {action: upsert, key: resource.deployment.environment, value: production}\n"
            "    - {action: rename, key: span.http.method, to: http.request.method}\n"
            "    - {action: hash, key: span.user.id}\n"
            "    - {action: sample, share: 0.25, if: 'status != error'}\n"
            "  logs:\n"
            "    - {action: drop, if: 'severity < info and resource.service.name = \"shop\"'}\n"
            "    - {action: delete, key: log.http.request.header.authorization}\n"
            "  metrics:\n"
            "    - {action: drop, if: 'name =~ \"go_.*\"'}\n"
            "  tail:\n"
            "    - {action: keep, if: 'status = error or trace_duration > 2s'}\n"
            "    - {action: sample, share: 0.1}\n```\n"));
}
