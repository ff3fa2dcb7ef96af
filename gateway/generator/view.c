#include "gateway/generator/view.h"

#include "common/batch/span_wire.h"
#include "gateway/otlp/value.h"

/* ---------- what is wanted ---------- */

static unsigned slot_of(Str key) {
    unsigned last = key.len == 0 ? 0 : (uint8_t)key.ptr[key.len - 1];
    unsigned middle = key.len == 0 ? 0 : (uint8_t)key.ptr[key.len / 2];

    return (unsigned)(key.len * 31 + last * 7 + middle * 3) % WANTED_SLOTS;
}

/* WANTED_MAX: nobody wants it. */
static uint32_t find(const Wanted *wanted, Str key) {
    for (uint32_t i = wanted->first[slot_of(key)]; i != 0; i = wanted->next[i - 1])
        if (str_equal(wanted->keys[i - 1], key)) return i - 1;
    return WANTED_MAX;
}

static uint8_t want(Wanted *wanted, Str key) {
    uint32_t i = find(wanted, key);
    unsigned slot = slot_of(key);

    if (i != WANTED_MAX) return (uint8_t)i;
    assert(wanted->count < WANTED_MAX);
    i = wanted->count++;
    wanted->keys[i] = key;
    wanted->next[i] = wanted->first[slot];
    wanted->first[slot] = (uint8_t)(i + 1);
    return (uint8_t)i;
}

void wanted_init(Wanted *wanted, const GeneratorRules *rules) {
    *wanted = (Wanted){0};
    if (rules->settings.span_metrics)
        for (uint32_t i = 0; i < rules->span_dimension_count; i++)
            wanted->span_dimensions[i] = want(wanted, rules->span_dimensions[i].attribute);
    if (!rules->settings.service_graphs) return;
    for (uint32_t i = 0; i < rules->edge_dimension_count; i++)
        wanted->edge_dimensions[i] = want(wanted, rules->edge_dimensions[i].attribute);
    for (uint32_t i = 0; i < rules->peer_count; i++)
        wanted->peers[i] = want(wanted, rules->peers[i]);
    for (uint32_t i = 0; i < rules->database_count; i++)
        wanted->databases[i] = want(wanted, rules->databases[i]);
    wanted->peer_service = want(wanted, STR("peer.service"));
    wanted->server_address = want(wanted, STR("server.address"));
    wanted->peer_address = want(wanted, STR("network.peer.address"));
    wanted->peer_port = want(wanted, STR("network.peer.port"));
}

/* ---------- values ---------- */

Str view_cut(Str text, size_t bytes_max) {
    if (bytes_max == 0 || text.len <= bytes_max) return text;
    while (bytes_max > 0 && ((uint8_t)text.ptr[bytes_max] & 0xc0) == 0x80) bytes_max--;
    return (Str){text.ptr, bytes_max};
}

static bool text_of(const OtlpValue *value, size_t bytes_max, Arena *arena, Str *out) {
    Error ignored;

    if (otlp_value_text(value, arena, out, &ignored) != ERR_OK) return false;
    *out = view_cut(out->ptr == NULL ? STR("") : *out, bytes_max);
    return true;
}

/* A KeyValue's key and where its value lies. */
static bool read_attribute(WireReader r, Str *key, WireReader *value) {
    uint32_t tag;

    *key = STR("");
    *value = (WireReader){NULL, NULL};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&r, key)
              : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_message(&r, value)
                                               : wire_skip(&r, tag)))
            return false;
    }
    return true;
}

/* Those of field `number`; a key that is there twice: the first counts. */
static bool read_values(WireReader r, uint32_t number, const Wanted *wanted, size_t bytes_max,
                        Arena *arena, WantedValues *values) {
    WireReader attribute, value;
    uint32_t tag;

    memset(values->at, 0, wanted->count * sizeof *values->at);
    while (!wire_at_end(&r)) {
        OtlpValue read;
        uint32_t i;
        Str key;

        if (!wire_tag(&r, &tag)) return false;
        if (tag != WIRE_TAG(number, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return false;
            continue;
        }
        if (!wire_message(&r, &attribute) || !read_attribute(attribute, &key, &value)) return false;
        i = find(wanted, key);
        if (i == WANTED_MAX || values->at[i].ptr != NULL) continue;
        read = (OtlpValue){.kind = OTLP_EMPTY};
        if (!otlp_read_value(value, &read) || !text_of(&read, bytes_max, arena, &values->at[i]))
            return false;
    }
    return true;
}

bool span_values(const SpanView *span, const Wanted *wanted, size_t value_bytes_max, Arena *arena,
                 WantedValues *values) {
    return read_values(span->message, 9, wanted, value_bytes_max, arena, values);
}

/* ---------- origins ---------- */

bool origin_view(Str origin, const Wanted *wanted, size_t value_bytes_max, Arena *arena,
                 OriginView *out) {
    Str parts[ORIGIN_PARTS], namespace = {NULL, 0};
    OtlpAttribute attribute;
    WireReader r;
    bool more;

    if (!origin_parts(origin, parts)) return false;
    *out = (OriginView){.resource = parts[0], .job = STR(""), .instance = STR("")};
    if (!read_values(wire_reader(parts[0]), 1, wanted, value_bytes_max, arena, &out->values))
        return false;
    for (r = wire_reader(parts[0]);;) {
        Str *into;

        if (!otlp_next_attribute(&r, 1, &attribute, &more)) return false;
        if (!more) break;
        into = str_equal(attribute.key, STR("service.name"))          ? &out->service
               : str_equal(attribute.key, STR("service.namespace"))   ? &namespace
               : str_equal(attribute.key, STR("service.instance.id")) ? &out->instance
                                                                      : NULL;
        if (into == NULL || into->len > 0) continue;
        if (!text_of(&attribute.value, value_bytes_max, arena, into)) return false;
    }
    if (out->service.len == 0) return true;
    out->job = out->service;
    if (namespace.len == 0) return true;
    out->job = str_format(arena, STR_FMT "/" STR_FMT, STR_ARG(namespace), STR_ARG(out->service));
    if (out->job.ptr == NULL) return false;
    out->job = view_cut(out->job, value_bytes_max);
    return true;
}

/* ---------- spans ---------- */

static bool read_status(WireReader *outer, SpanView *out) {
    WireReader r;
    uint32_t tag, code;

    if (!wire_message(outer, &r)) return false;
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (tag == WIRE_TAG(2, WIRE_BYTES)) {
            if (!wire_bytes(&r, &out->status_message)) return false;
        } else if (tag == WIRE_TAG(3, WIRE_VARINT)) {
            if (!wire_uint32(&r, &code)) return false;
            out->status = code <= SPAN_STATUS_ERROR ? (uint8_t)code : SPAN_STATUS_UNSET;
        } else if (!wire_skip(&r, tag)) {
            return false;
        }
    }
    return true;
}

bool span_view(Str message, SpanView *out) {
    WireReader r = wire_reader(message);
    Str bytes;
    uint32_t tag, kind;

    *out = (SpanView){.name = STR(""), .status_message = STR(""), .message = r};
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(2, WIRE_BYTES):
            ok = wire_bytes(&r, &bytes);
            if (ok) out->id = span_id_of(bytes);
            break;
        case WIRE_TAG(4, WIRE_BYTES):
            ok = wire_bytes(&r, &bytes);
            if (ok) out->parent = span_id_of(bytes);
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            ok = wire_bytes(&r, &out->name);
            break;
        case WIRE_TAG(6, WIRE_VARINT):
            ok = wire_uint32(&r, &kind);
            if (ok) out->kind = kind <= 5 ? (uint8_t)kind : 0;
            break;
        case WIRE_TAG(15, WIRE_BYTES):
            ok = read_status(&r, out);
            break;
        default:
            ok = wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    return true;
}
