/*
 * keep.c: rules from their texts, kept for the life of the process, as those of
 * common/tenant/stream_retention.c: a reload that changes nothing finds what it had.
 */
#include <pthread.h>

#include "gateway/rules/internal.h"

typedef struct Kept {
    struct Kept *next;
    RuleList lists[RULE_SIGNALS];
    TenantRules rules;
} Kept;

enum { VALUE_BYTES_MAX = 65536 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Arena *arena; /* under `lock`, as the list */
static Kept *list;

static const char *const names[RULE_SIGNALS] = {"traces", "logs", "metrics", "tail"};
static const char *const owns[RULE_SIGNALS] = {"span.", "log.", "point.", "span."};

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "rules: out of memory");
}

/* ---------- values ---------- */

/* Message AnyValue. */
static ErrCode make_value(const RuleText *text, Str *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf value;
    int64_t integer;
    double number;

    buf_init(&value, VALUE_BYTES_MAX + 16);
    if (text->value.len > VALUE_BYTES_MAX)
        return error_set(err, ERR_INVALID, "its value is longer than %d bytes", VALUE_BYTES_MAX);
    if (text->type.len == 0 || str_equal(text->type, STR("string"))) {
        buf_append_byte(&value, WIRE_TAG(1, WIRE_BYTES));
        buf_append_varint(&value, text->value.len);
        buf_append_str(&value, text->value);
    } else if (str_equal(text->type, STR("int")) && str_to_i64(text->value, &integer)) {
        buf_append_byte(&value, WIRE_TAG(3, WIRE_VARINT));
        buf_append_varint(&value, (uint64_t)integer);
    } else if (str_equal(text->type, STR("double")) && str_to_double(text->value, &number)) {
        buf_append_byte(&value, WIRE_TAG(4, WIRE_FIXED64));
        buf_append(&value, &number, sizeof number);
    } else if (str_equal(text->type, STR("bool")) &&
               (str_equal(text->value, STR("true")) || str_equal(text->value, STR("false")))) {
        buf_append_byte(&value, WIRE_TAG(2, WIRE_VARINT));
        buf_append_byte(&value, str_equal(text->value, STR("true")));
    } else {
        return error_set(err, ERR_INVALID,
                         "its value isn't of its type, which is one of string, int, double, bool");
    }
    *out = buf_failed(&value) ? (Str){NULL, 0} : str_dup(arena, buf_str(&value));
    return out->ptr == NULL ? out_of_memory(err) : ERR_OK;
}

/* resource.NAME, or span.NAME and so on. */
static ErrCode split_key(RuleSignal signal, const char *what, Str text, bool *resource, Str *out,
                         Error *err) {
    Str prefix = str_of(owns[signal]);

    *resource = str_starts_with(text, STR("resource."));
    if (*resource) prefix = STR("resource.");
    if (!str_starts_with(text, prefix) || text.len == prefix.len)
        return error_set(err, ERR_INVALID,
                         "its %s is resource.NAME or %sNAME; \"" STR_FMT "\" is neither", what,
                         owns[signal], STR_ARG(str_slice(text, 0, 80)));
    *out = str_from(text, prefix.len);
    return ERR_OK;
}

/* ---------- rules ---------- */

static ErrCode make_action(Str text, RuleAction *out, Error *err) {
    static const char *const actions[] = {"insert", "update", "upsert", "delete", "rename",
                                          "hash",   "drop",   "sample", "keep"};

    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (str_equal(text, str_of(actions[i]))) {
            *out = (RuleAction)i;
            return ERR_OK;
        }
    return error_set(err, ERR_INVALID,
                     "its action is one of insert, update, upsert, delete, rename, hash, drop and "
                     "sample; \"" STR_FMT "\" is none",
                     STR_ARG(str_slice(text, 0, 40)));
}

static ErrCode make_share(Str text, uint64_t *out, Error *err) {
    double share;

    if (!str_to_double(text, &share) || !(share >= 0 && share <= 1))
        return error_set(err, ERR_INVALID, "its share is a number from 0 to 1");
    *out = share >= 1 ? UINT64_MAX : (uint64_t)(share * 0x1p64);
    return ERR_OK;
}

static ErrCode make_attribute(RuleSignal signal, const RuleText *text, Rule *out, Error *err) {
    bool sets = out->action <= ACTION_UPSERT;

    TRY(split_key(signal, "key", text->key, &out->on_resource, &out->key, err));
    if (sets && text->from.len > 0) {
        TRY(split_key(signal, "from", text->from, &out->from_resource, &out->from, err));
        if (out->on_resource && !out->from_resource)
            return error_set(err, ERR_INVALID,
                             "a resource's attribute can't come from a single %.*s",
                             (int)strlen(owns[signal]) - 1, owns[signal]);
    } else if (sets) {
        TRY(make_value(text, &out->value, err));
    }
    if (out->action != ACTION_RENAME) return ERR_OK;
    if (text->to.len == 0) return error_set(err, ERR_INVALID, "`to` says the new name");
    out->to = text->to;
    if (str_starts_with(text->to, out->on_resource ? STR("resource.") : str_of(owns[signal]))) {
        bool ignored;

        return split_key(signal, "to", text->to, &ignored, &out->to, err);
    }
    return ERR_OK;
}

static ErrCode make_rule(RuleSignal signal, const RuleText *text, Rule *out, Error *err) {
    bool own = false;

    *out = (Rule){.threshold = UINT64_MAX};
    TRY(make_action(text->action, &out->action, err));
    if (text->condition.len > 0 &&
        rule_condition_parse(signal, text->condition, arena, &out->condition, &own, err) != ERR_OK)
        return error_wrap(err, "if");
    if (signal == RULE_TAIL && out->action != ACTION_SAMPLE && out->action != ACTION_KEEP)
        return error_set(err, ERR_INVALID, "of traces that are over there is only keep and sample");
    if (signal != RULE_TAIL && out->action == ACTION_KEEP)
        return error_set(err, ERR_INVALID,
                         "keep is for rules.tail; all is kept that isn't dropped");
    if (out->action == ACTION_KEEP) return ERR_OK;
    if (out->action == ACTION_SAMPLE) {
        if (signal == RULE_METRICS)
            return error_set(err, ERR_INVALID, "a share of a metric's points would say nothing");
        return make_share(text->share, &out->threshold, err);
    }
    if (out->action == ACTION_DROP) {
        if (text->condition.len > 0) return ERR_OK;
        return error_set(err, ERR_INVALID, "`if` says what is dropped");
    }
    TRY(make_attribute(signal, text, out, err));
    if (out->on_resource && own)
        return error_set(err, ERR_INVALID,
                         "a resource's attribute can only depend on the resource: `if` asks for "
                         "more");
    return ERR_OK;
}

static ErrCode make_signal(RuleSignal signal, const RuleList *texts, SignalRules *out, Error *err) {
    Rule *items = ARENA_ARRAY(arena, Rule, texts->count);

    if (texts->count == 0) return ERR_OK;
    if (items == NULL) return out_of_memory(err);
    for (size_t i = 0; i < texts->count; i++) {
        if (make_rule(signal, &texts->items[i], &items[i], err) != ERR_OK)
            return error_wrap(err, "rules.%s.%zu", names[signal], i);
        out->resource |= items[i].on_resource;
        out->own |= !items[i].on_resource;
    }
    out->items = items;
    out->count = texts->count;
    return ERR_OK;
}

/* ---------- keeping ---------- */

static const size_t texts[] = {offsetof(RuleText, action), offsetof(RuleText, key),
                               offsetof(RuleText, value),  offsetof(RuleText, type),
                               offsetof(RuleText, from),   offsetof(RuleText, to),
                               offsetof(RuleText, share),  offsetof(RuleText, condition)};

static Str *text_at(const RuleText *rule, size_t i) {
    return (Str *)(void *)((char *)rule + texts[i]);
}

static bool same(const RuleList *a, const RuleList *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        for (size_t t = 0; t < ARRAY_LEN(texts); t++)
            if (!str_equal(*text_at(&a->items[i], t), *text_at(&b->items[i], t))) return false;
    return true;
}

static ErrCode copy(const RuleList *from, RuleList *to, Error *err) {
    RuleText *items = ARENA_ARRAY(arena, RuleText, from->count);

    if (from->count == 0) return ERR_OK;
    if (items == NULL) return out_of_memory(err);
    for (size_t i = 0; i < from->count; i++)
        for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
            Str text = *text_at(&from->items[i], t);

            *text_at(&items[i], t) = text.len == 0 ? STR("") : str_dup(arena, text);
            if (text_at(&items[i], t)->ptr == NULL) return out_of_memory(err);
        }
    *to = (RuleList){items, from->count};
    return ERR_OK;
}

static ErrCode keep_locked(const RuleList lists[RULE_SIGNALS], const TenantRules **out,
                           Error *err) {
    Kept *kept;

    for (kept = list; kept != NULL; kept = kept->next) {
        size_t s = 0;

        while (s < RULE_SIGNALS && same(&kept->lists[s], &lists[s])) s++;
        if (s < RULE_SIGNALS) continue;
        *out = &kept->rules;
        return ERR_OK;
    }
    if (arena == NULL) arena = arena_new(0, NULL);
    kept = ARENA_NEW(arena, Kept);
    if (kept == NULL) return out_of_memory(err);
    for (int s = 0; s < RULE_SIGNALS; s++) {
        TRY(copy(&lists[s], &kept->lists[s], err));
        TRY(make_signal((RuleSignal)s, &kept->lists[s], &kept->rules.signals[s], err));
    }
    kept->next = list;
    list = kept;
    *out = &kept->rules;
    return ERR_OK;
}

ErrCode rules_keep(const RuleList lists[RULE_SIGNALS], const TenantRules **out, Error *err) {
    const TenantRules *rules = NULL;
    ErrCode code = ERR_OK;
    size_t count = 0;

    for (int s = 0; s < RULE_SIGNALS; s++) {
        count += lists[s].count;
        if (lists[s].count > RULES_MAX)
            return error_set(err, ERR_INVALID, "rules.%s: more than %d rules", names[s], RULES_MAX);
    }
    if (count > 0) {
        pthread_mutex_lock(&lock);
        code = keep_locked(lists, &rules, err);
        pthread_mutex_unlock(&lock);
    }
    if (code == ERR_OK) *out = rules;
    return code;
}

bool rules_any(const TenantRules *rules, RuleSignal signal) {
    return rules != NULL && rules->signals[signal].count > 0;
}
