/*
 * traces.c: rules on batches of spans. A span that no rule changes stays the slice of the request
 * that it is.
 */
#include <stdlib.h>

#include "common/batch/span_wire.h"
#include "gateway/generator/view.h"
#include "gateway/rules/internal.h"

enum { PASS_MAGIC = 0x50415353, ARENA_BYTES_MAX = 256 << 20 };

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left to apply rules to spans");
}

/* Whatever it has in a buffer, in the arena. */
static ErrCode keep(Buf *buf, Arena *arena, Str *out, Error *err) {
    *out = buf_failed(buf) ? (Str){NULL, 0} : str_dup(arena, buf_str(buf));
    return out->ptr == NULL ? out_of_memory(err) : ERR_OK;
}

typedef struct Walk {
    const SignalRules *rules;
    Arena *arena;
    Buf scratch;
    uint64_t tenant_hash;
    uint64_t seed;
    RuleAttributes *resources; /* of each origin */
} Walk;

/* ---------- origins ---------- */

static ErrCode change_origin(Walk *walk, Str parts[ORIGIN_PARTS], const RuleAttributes *resource,
                             SpansOrigin *origin, Error *err) {
    Str message, bytes;

    buf_clear(&walk->scratch);
    TRY(rule_attributes_write(parts[0], 1, resource, &walk->scratch, err));
    TRY(keep(&walk->scratch, walk->arena, &message, err));
    TRY(origin_wire(message, parts[1], parts[2], parts[3], walk->arena, &bytes, err));
    if (bytes.len > SPAN_ORIGIN_BYTES_MAX) return ERR_OK; /* it stays as it was */
    *origin = (SpansOrigin){spans_origin_id(walk->tenant_hash, bytes, walk->seed), bytes};
    return ERR_OK;
}

static ErrCode walk_origins(Walk *walk, SpansBatch *batch, Error *err) {
    for (size_t i = 0; i < batch->origin_count; i++) {
        RuleSubject subject = {.arena = walk->arena};
        RuleAttributes *resource = &walk->resources[i];
        Str parts[ORIGIN_PARTS];

        if (!origin_parts(batch->origins[i].bytes, parts))
            return error_set(err, ERR_CORRUPT, "a resource can't be read");
        TRY(rule_attributes_read(parts[0], 1, walk->arena, resource, err));
        if (!walk->rules->resource) continue;
        TRY(rules_on_resource(walk->rules, &subject, resource, err));
        if (resource->changed) TRY(change_origin(walk, parts, resource, &batch->origins[i], err));
    }
    return ERR_OK;
}

/* ---------- spans ---------- */

static ErrCode walk_span(Walk *walk, SpansItem *item, bool *drop, Error *err) {
    RuleAttributes own;
    SpanView view;
    RuleSubject subject = {.arena = walk->arena,
                           .resource = &walk->resources[item->origin],
                           .own = &own,
                           .seconds = (double)(item->end_ns - item->start_ns) / 1e9};
    Str message;

    if (!span_view(item->span, &view)) return error_set(err, ERR_CORRUPT, "a span can't be read");
    TRY(rule_attributes_read(item->span, 9, walk->arena, &own, err));
    subject.name = view.name;
    subject.text = view.status_message;
    subject.kind = view.kind;
    subject.status = view.status;
    TRY(rules_on_item(walk->rules, &subject,
                      hash_bytes(item->trace.bytes, sizeof item->trace.bytes), drop, err));
    if (*drop || !own.changed) return ERR_OK;
    buf_clear(&walk->scratch);
    TRY(rule_attributes_write(item->span, 9, &own, &walk->scratch, err));
    if (walk->scratch.len > SPAN_BYTES_MAX) return ERR_OK; /* it stays as it was */
    TRY(keep(&walk->scratch, walk->arena, &message, err));
    item->span = message;
    return ERR_OK;
}

static ErrCode walk_spans(Walk *walk, SpansBatch *batch, Error *err) {
    size_t kept = 0;

    batch->bytes = 0;
    for (size_t i = 0; i < batch->item_count; i++) {
        SpansItem item = batch->items[i];
        bool drop;

        TRY(walk_span(walk, &item, &drop, err));
        if (drop) continue;
        batch->bytes += item.span.len;
        batch->items[kept++] = item;
    }
    batch->item_count = kept;
    return ERR_OK;
}

ErrCode rules_spans(const TenantRules *rules, const SpansBatch *batch, uint64_t seed, Arena *arena,
                    SpansBatch *out, Error *err) {
    Walk walk = {.rules = &rules->signals[RULE_TRACES],
                 .arena = arena,
                 .tenant_hash = hash_str(batch->tenant),
                 .seed = seed,
                 .resources = ARENA_ARRAY(arena, RuleAttributes, batch->origin_count)};
    SpansBatch made = *batch;
    ErrCode code;

    made.origins = ARENA_ARRAY(arena, SpansOrigin, batch->origin_count);
    made.items = ARENA_ARRAY(arena, SpansItem, batch->item_count);
    if (walk.resources == NULL || made.origins == NULL || made.items == NULL)
        return out_of_memory(err);
    if (batch->origin_count > 0)
        memcpy(made.origins, batch->origins, batch->origin_count * sizeof *made.origins);
    if (batch->item_count > 0)
        memcpy(made.items, batch->items, batch->item_count * sizeof *made.items);
    buf_init(&walk.scratch, 2 * (size_t)SPAN_BYTES_MAX);
    code = walk_origins(&walk, &made, err);
    if (code == ERR_OK && walk.rules->own) code = walk_spans(&walk, &made, err);
    buf_done(&walk.scratch);
    if (code == ERR_OK) *out = made;
    return code;
}

/* ---------- on the way to the sink ---------- */

typedef struct Pass {
    uint32_t magic;
    Arena *arena; /* this, too, lies in it */
    SpansBatch batch;
    AppendDone done;
    void *context;
} Pass;

static void passed(void *context, const AppendResult *result) {
    Pass *pass = context;
    AppendDone done = pass->done;
    Arena *arena = pass->arena;

    assert(pass->magic == PASS_MAGIC);
    context = pass->context;
    arena_free(arena);
    done(context, result);
}

static void append(SpansSink *sink, const SpansBatch *batch, AppendDone done, void *context) {
    RulesSink *rules = (RulesSink *)sink;
    TenantLimits limits;
    AppendResult result = {.code = ERR_OK};
    Arena *arena;
    Pass *pass;

    tenants_limits(rules->tenants, batch->tenant, &limits);
    if (!rules_any(limits.rules, RULE_TRACES)) {
        rules->next->append(rules->next, batch, done, context);
        return;
    }
    arena = arena_new(ARENA_BYTES_MAX, rules->budget);
    pass = ARENA_NEW(arena, Pass);
    if (pass == NULL)
        result.code = out_of_memory(&result.first);
    else
        result.code =
            rules_spans(limits.rules, batch, sink->origin_seed, arena, &pass->batch, &result.first);
    if (result.code != ERR_OK) {
        arena_free(arena);
        done(context, &result);
        return;
    }
    rules_report(batch->tenant, RULE_TRACES, batch->item_count - pass->batch.item_count);
    if (pass->batch.item_count == 0) {
        arena_free(arena);
        done(context, &result);
        return;
    }
    pass->magic = PASS_MAGIC;
    pass->arena = arena;
    pass->done = done;
    pass->context = context;
    rules->next->append(rules->next, &pass->batch, passed, pass);
}

void rules_sink_init(RulesSink *rules, SpansSink *next, Tenants *tenants, Budget *budget) {
    *rules = (RulesSink){{append, next->origin_seed}, next, tenants, budget};
}
