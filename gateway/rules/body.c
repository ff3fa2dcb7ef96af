/*
 * body.c: rules on requests of logs and metrics: the protobuf that came becomes the protobuf that
 * is decoded. What isn't an attribute is copied as it is, unknown fields too.
 *
 * Lengths stand before what they are of, so each level is put together in a buffer of its own.
 */
#include "gateway/rules/internal.h"

typedef struct Walk {
    const SignalRules *rules;
    RuleSignal signal;
    Arena *arena; /* of what lives as long as a resource */
    Arena *item_arena;
    RuleAttributes resource;
    Buf resource_buf; /* a ResourceLogs or ResourceMetrics in the making, and so on */
    Buf scope_buf;
    Buf metric_buf;
    Buf data_buf;
    Buf item_buf;
    uint64_t dropped;
} Walk;

static ErrCode malformed(Error *err) {
    return error_set(err, ERR_CORRUPT, "the body is not an OTLP request: it can't be read");
}

static void put_message(Buf *out, uint32_t number, Str message) {
    buf_append_varint(out, WIRE_TAG(number, WIRE_BYTES));
    buf_append_varint(out, message.len);
    buf_append_str(out, message);
}

/* Calls one(walk, message) for what is in field `number`, and copies all else to `out`. */
static ErrCode each(Walk *walk, Str message, uint32_t number, Buf *out,
                    ErrCode (*one)(Walk *walk, Str message, Buf *out, Error *err), Error *err) {
    WireReader r = wire_reader(message);

    while (!wire_at_end(&r)) {
        const uint8_t *begin = r.at;
        uint32_t tag;
        Str part;

        if (!wire_tag(&r, &tag)) return malformed(err);
        if (tag != WIRE_TAG(number, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err);
            buf_append(out, begin, (size_t)(r.at - begin));
            continue;
        }
        if (!wire_bytes(&r, &part)) return malformed(err);
        TRY(one(walk, part, out, err));
        if (buf_failed(out)) return error_set(err, ERR_LIMIT, "no memory left to apply rules");
    }
    return ERR_OK;
}

/* ---------- items ---------- */

/* One record or point with its attributes in field `number`: into `out` as field `as`. */
static ErrCode walk_item(Walk *walk, Str message, uint32_t number, uint32_t as,
                         RuleSubject *subject, uint64_t sample, Buf *out, Error *err) {
    RuleAttributes own;
    bool drop;

    subject->arena = walk->item_arena;
    subject->resource = &walk->resource;
    subject->own = &own;
    TRY(rule_attributes_read(message, number, walk->item_arena, &own, err));
    TRY(rules_on_item(walk->rules, subject, sample, &drop, err));
    if (drop) {
        walk->dropped++;
    } else if (!own.changed) {
        put_message(out, as, message);
    } else {
        buf_clear(&walk->item_buf);
        TRY(rule_attributes_write(message, number, &own, &walk->item_buf, err));
        put_message(out, as, buf_str(&walk->item_buf));
    }
    arena_reset(walk->item_arena);
    return ERR_OK;
}

static ErrCode walk_record(Walk *walk, Str message, Buf *out, Error *err) {
    RuleSubject subject = {.text = STR(""), .body = {.kind = OTLP_EMPTY}};
    WireReader r = wire_reader(message), body;
    Str trace = STR("");
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err);
        if (!(tag == WIRE_TAG(2, WIRE_VARINT)  ? wire_uint32(&r, &subject.severity)
              : tag == WIRE_TAG(3, WIRE_BYTES) ? wire_bytes(&r, &subject.text)
              : tag == WIRE_TAG(5, WIRE_BYTES)
                  ? wire_message(&r, &body) && otlp_read_value(body, &subject.body)
              : tag == WIRE_TAG(9, WIRE_BYTES) ? wire_bytes(&r, &trace)
                                               : wire_skip(&r, tag)))
            return malformed(err);
    }
    /* Records of a trace stay or go with its spans; others by what they say. */
    return walk_item(walk, message, 6, 2, &subject, hash_str(trace.len == 16 ? trace : message),
                     out, err);
}

/* ---------- metrics ---------- */

/* Of Gauge, Sum and so on: where a point has its attributes. */
static uint32_t attributes_of(uint32_t kind) {
    return kind == 9 ? 9 : kind == 10 ? 1 : 7; /* histogram, exponential; number, summary */
}

static ErrCode walk_data(Walk *walk, Str message, uint32_t kind, Str name, size_t *points,
                         Error *err) {
    WireReader r = wire_reader(message);

    buf_clear(&walk->data_buf);
    while (!wire_at_end(&r)) {
        const uint8_t *begin = r.at;
        RuleSubject subject = {.name = name};
        uint64_t dropped = walk->dropped;
        uint32_t tag;
        Str point;

        if (!wire_tag(&r, &tag)) return malformed(err);
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err);
            buf_append(&walk->data_buf, begin, (size_t)(r.at - begin));
            continue;
        }
        if (!wire_bytes(&r, &point)) return malformed(err);
        TRY(walk_item(walk, point, attributes_of(kind), 1, &subject, 0, &walk->data_buf, err));
        *points += walk->dropped == dropped;
    }
    return ERR_OK;
}

static bool is_data(uint32_t tag) {
    return tag == WIRE_TAG(5, WIRE_BYTES) || tag == WIRE_TAG(7, WIRE_BYTES) ||
           tag == WIRE_TAG(9, WIRE_BYTES) || tag == WIRE_TAG(10, WIRE_BYTES) ||
           tag == WIRE_TAG(11, WIRE_BYTES);
}

static bool metric_name(Str message, Str *out) {
    WireReader r = wire_reader(message);
    uint32_t tag;

    *out = STR("");
    while (!wire_at_end(&r))
        if (!wire_tag(&r, &tag) ||
            !(tag == WIRE_TAG(1, WIRE_BYTES) ? wire_bytes(&r, out) : wire_skip(&r, tag)))
            return false;
    return true;
}

static ErrCode walk_metric(Walk *walk, Str message, Buf *out, Error *err) {
    WireReader r = wire_reader(message);
    uint64_t dropped = walk->dropped;
    size_t points = 0;
    Str name, data;

    if (!metric_name(message, &name)) return malformed(err);
    buf_clear(&walk->metric_buf);
    while (!wire_at_end(&r)) {
        const uint8_t *begin = r.at;
        uint32_t tag;

        if (!wire_tag(&r, &tag)) return malformed(err);
        if (!is_data(tag)) {
            if (!wire_skip(&r, tag)) return malformed(err);
            buf_append(&walk->metric_buf, begin, (size_t)(r.at - begin));
            continue;
        }
        if (!wire_bytes(&r, &data)) return malformed(err);
        TRY(walk_data(walk, data, tag >> 3, name, &points, err));
        put_message(&walk->metric_buf, tag >> 3, buf_str(&walk->data_buf));
    }
    /* A metric that lost all it had leaves no name behind. */
    if (points > 0 || walk->dropped == dropped) put_message(out, 2, buf_str(&walk->metric_buf));
    return ERR_OK;
}

/* ---------- scopes and resources ---------- */

static ErrCode walk_scope(Walk *walk, Str message, Buf *out, Error *err) {
    buf_clear(&walk->scope_buf);
    TRY(each(walk, message, 2, &walk->scope_buf,
             walk->signal == RULE_LOGS ? walk_record : walk_metric, err));
    put_message(out, 2, buf_str(&walk->scope_buf));
    return ERR_OK;
}

static ErrCode copy_scope(Walk *walk, Str message, Buf *out, Error *err) {
    (void)walk;
    (void)err;
    put_message(out, 2, message);
    return ERR_OK;
}

/* The resource, which may stand anywhere in its message, comes first. */
static ErrCode find_resource(Str message, Str *out, Error *err) {
    WireReader r = wire_reader(message);
    uint32_t tag;

    *out = STR("");
    while (!wire_at_end(&r))
        if (!wire_tag(&r, &tag) ||
            !(tag == WIRE_TAG(1, WIRE_BYTES) ? wire_bytes(&r, out) : wire_skip(&r, tag)))
            return malformed(err);
    return ERR_OK;
}

static ErrCode write_resource(Walk *walk, Str message, Buf *out, Error *err) {
    buf_clear(&walk->item_buf);
    TRY(rule_attributes_write(message, 1, &walk->resource, &walk->item_buf, err));
    put_message(out, 1, buf_str(&walk->item_buf));
    return ERR_OK;
}

/* In place of each that is there: of several the last one counts, which this one is of. */
static ErrCode leave_out(Walk *walk, Str message, Buf *out, Error *err) {
    (void)walk;
    (void)message;
    (void)out;
    (void)err;
    return ERR_OK;
}

static ErrCode walk_resource(Walk *walk, Str message, Buf *out, Error *err) {
    RuleSubject subject = {.arena = walk->arena};
    Str resource, rest = message;
    Buf *made = &walk->resource_buf;

    TRY(find_resource(message, &resource, err));
    TRY(rule_attributes_read(resource, 1, walk->arena, &walk->resource, err));
    TRY(rules_on_resource(walk->rules, &subject, &walk->resource, err));
    buf_clear(made);
    if (walk->resource.changed) {
        TRY(write_resource(walk, resource, made, err));
        buf_clear(&walk->metric_buf);
        TRY(each(walk, message, 1, &walk->metric_buf, leave_out, err));
        /* metric_buf is used again below. */
        rest = str_dup(walk->arena, buf_str(&walk->metric_buf));
        if (rest.ptr == NULL) return error_set(err, ERR_LIMIT, "no memory left to apply rules");
    }
    TRY(each(walk, rest, 2, made, walk->rules->own ? walk_scope : copy_scope, err));
    put_message(out, 1, buf_str(made));
    arena_reset(walk->arena);
    return ERR_OK;
}

static bool any_failed(const Walk *walk, const Buf *out) {
    return buf_failed(&walk->resource_buf) || buf_failed(&walk->scope_buf) ||
           buf_failed(&walk->metric_buf) || buf_failed(&walk->data_buf) ||
           buf_failed(&walk->item_buf) || buf_failed(out);
}

ErrCode rules_rewrite(const TenantRules *rules, RuleSignal signal, Str body, Arena *arena, Buf *out,
                      uint64_t *dropped, Error *err) {
    CLEANUP(arena_free) Arena *resources = arena_new(0, arena_budget(arena));
    CLEANUP(arena_free) Arena *items = arena_new(0, arena_budget(arena));
    Walk walk = {.rules = &rules->signals[signal],
                 .signal = signal,
                 .arena = resources,
                 .item_arena = items};
    Buf *const bufs[] = {&walk.resource_buf, &walk.scope_buf, &walk.metric_buf, &walk.data_buf,
                         &walk.item_buf};
    ErrCode code;

    if (resources == NULL || items == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_init(bufs[i], out->bytes_max);
    code = each(&walk, body, 1, out, walk_resource, err);
    if (code == ERR_OK && any_failed(&walk, out))
        code = error_set(err, ERR_LIMIT, "no memory left to apply rules");
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_done(bufs[i]);
    if (code == ERR_OK) *dropped = walk.dropped;
    return code;
}
