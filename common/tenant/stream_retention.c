/*
 * stream_retention.c: rules, kept for the life of the process. A reload that changes nothing finds
 * what it had, so that only changes of the configuration take memory.
 */
#include "common/tenant/stream_retention.h"

#include <pthread.h>

typedef struct Kept {
    struct Kept *next;
    StreamRetentions rules;
} Kept;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Arena *arena; /* under `lock`, as the list */
static Kept *list;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "retention.log_streams: out of memory");
}

static bool same(const StreamRetentions *kept, const StreamRetention *rules, size_t count) {
    if (kept->count != count) return false;
    for (size_t i = 0; i < count; i++)
        if (kept->items[i].priority != rules[i].priority ||
            kept->items[i].period_ms != rules[i].period_ms ||
            !str_equal(kept->items[i].selector, rules[i].selector))
            return false;
    return true;
}

static ErrCode make(const StreamRetention *rules, size_t count, ParseSelector parse, Kept **out,
                    Error *err) {
    Kept *kept = ARENA_NEW(arena, Kept);
    StreamRetention *items = ARENA_ARRAY(arena, StreamRetention, count);

    if (kept == NULL || items == NULL) return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        items[i] = rules[i];
        if (rules[i].selector.len == 0 || rules[i].period_ms <= 0)
            return error_set(err, ERR_INVALID,
                             "retention.log_streams.%zu: it needs a selector and a period above 0",
                             i);
        items[i].selector = str_dup(arena, rules[i].selector);
        if (items[i].selector.ptr == NULL) return out_of_memory(err);
        if (parse(arena, items[i].selector, &items[i].matchers, &items[i].matcher_count, err) !=
            ERR_OK)
            return error_wrap(err, "retention.log_streams.%zu.selector", i);
    }
    kept->rules = (StreamRetentions){items, count};
    *out = kept;
    return ERR_OK;
}

static ErrCode keep_locked(const StreamRetention *rules, size_t count, ParseSelector parse,
                           const StreamRetentions **out, Error *err) {
    Kept *kept;

    for (kept = list; kept != NULL; kept = kept->next)
        if (same(&kept->rules, rules, count)) {
            *out = &kept->rules;
            return ERR_OK;
        }
    if (arena == NULL) arena = arena_new(0, NULL);
    if (arena == NULL) return out_of_memory(err);
    TRY(make(rules, count, parse, &kept, err));
    kept->next = list;
    list = kept;
    *out = &kept->rules;
    return ERR_OK;
}

ErrCode stream_retentions_keep(const StreamRetention *rules, size_t count, ParseSelector parse,
                               const StreamRetentions **out, Error *err) {
    ErrCode code;

    *out = NULL;
    if (count == 0) return ERR_OK;
    pthread_mutex_lock(&lock);
    code = keep_locked(rules, count, parse, out, err);
    pthread_mutex_unlock(&lock);
    return code;
}

/* ---------- asking ---------- */

static bool matches(const StreamRetention *rule, LabelPairs labels) {
    for (size_t i = 0; i < rule->matcher_count; i++)
        if (!matcher_matches(&rule->matchers[i], labels_get(labels, rule->matchers[i].name)))
            return false;
    return true;
}

int64_t stream_retention_of(const StreamRetentions *rules, LabelPairs labels,
                            int64_t otherwise_ms) {
    const StreamRetention *best = NULL;

    for (size_t i = 0; rules != NULL && i < rules->count; i++) {
        const StreamRetention *rule = &rules->items[i];

        if (best != NULL &&
            (best->priority > rule->priority ||
             (best->priority == rule->priority && best->period_ms <= rule->period_ms)))
            continue;
        if (matches(rule, labels)) best = rule;
    }
    return best == NULL ? MAX(otherwise_ms, (int64_t)0) : best->period_ms;
}

int64_t stream_retention_longest(const StreamRetentions *rules, int64_t otherwise_ms) {
    int64_t longest = otherwise_ms;

    if (otherwise_ms <= 0) return 0;
    for (size_t i = 0; rules != NULL && i < rules->count; i++)
        longest = MAX(longest, rules->items[i].period_ms);
    return longest;
}

int64_t stream_retention_shortest(const StreamRetentions *rules, int64_t otherwise_ms) {
    int64_t shortest = MAX(otherwise_ms, (int64_t)0);

    for (size_t i = 0; rules != NULL && i < rules->count; i++)
        shortest =
            shortest == 0 ? rules->items[i].period_ms : MIN(shortest, rules->items[i].period_ms);
    return shortest;
}
