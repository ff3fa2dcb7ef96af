/*
 * logs.c: ExportLogsServiceRequest into streams, as Loki maps it.
 *
 * A resource is a stream: the attributes that `stream_labels` names are its labels. All other
 * attributes, those of the scope and of the record, and the record's own fields are structured
 * metadata of each entry. Of equal names the record's counts.
 */
#include <inttypes.h>
#include <stdio.h>

#include "gateway/otlp/decode.h"
#include "gateway/otlp/value.h"

enum { PAIRS_MAX = 8192 }; /* of one record, whatever the tenant's limit */

typedef struct Pairs {
    LabelPair *at;
    size_t count, capacity;
} Pairs;

typedef struct Walk {
    Streams *streams;
    Arena *arena;
    const OtlpSettings *settings;
    OtlpOutcome *outcome;
    int64_t now_ns;
    Pairs labels;   /* of the stream */
    Pairs metadata; /* of the resource, then of the scope, then of the record */
    size_t of_resource;
    Error problem; /* ERR_INVALID: why no record of this resource or scope can be stored */
} Walk;

typedef struct Record {
    uint64_t time_ns, observed_ns;
    uint32_t severity, dropped, flags;
    Str severity_text, trace, span, event;
    OtlpValue body;
} Record;

static ErrCode malformed(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT,
                     "the body is not an ExportLogsServiceRequest: %s can't be read", what);
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the records of this request");
}

static ErrCode add(Walk *walk, Pairs *pairs, Str name, Str value, Error *err) {
    if (value.ptr == NULL) return out_of_memory(err);
    if (pairs->count == PAIRS_MAX)
        return error_set(err, ERR_INVALID, "a log record has more than %d attributes", PAIRS_MAX);
    if (pairs->count == pairs->capacity) {
        size_t grown = MAX(pairs->capacity * 2, (size_t)64);

        pairs->at = arena_grow(walk->arena, pairs->at, pairs->capacity * sizeof *pairs->at,
                               grown * sizeof *pairs->at);
        pairs->capacity = pairs->at == NULL ? 0 : grown;
        if (pairs->at == NULL) return out_of_memory(err);
    }
    pairs->at[pairs->count++] = (LabelPair){name, value};
    return ERR_OK;
}

/* A map's entries become labels of their own: http.request {method} is http_request_method. */
static ErrCode add_value(Walk *walk, Pairs *pairs, Str name, const OtlpValue *value, unsigned depth,
                         Error *err) {
    WireReader r;
    OtlpAttribute entry;
    bool more;
    Str text;

    if (value->kind != OTLP_MAP) {
        TRY(otlp_value_text(value, walk->arena, &text, err));
        return add(walk, pairs, name, text, err);
    }
    if (depth == OTLP_DEPTH_MAX)
        return error_set(err, ERR_INVALID, "an attribute is nested more than %d levels deep",
                         OTLP_DEPTH_MAX);
    r = otlp_map_reader(value);
    for (;;) {
        if (!otlp_next_attribute(&r, 1, &entry, &more)) return malformed(err, "an attribute");
        if (!more) return ERR_OK;
        text = str_format(walk->arena, STR_FMT "_" STR_FMT, STR_ARG(name), STR_ARG(entry.key));
        if (text.ptr == NULL) return out_of_memory(err);
        TRY(otlp_label_name(OTLP_LABEL_LOKI, text, walk->arena, &text, err));
        TRY(add_value(walk, pairs, text, &entry.value, depth + 1, err));
    }
}

static ErrCode add_attribute(Walk *walk, Pairs *pairs, const OtlpAttribute *attribute, Error *err) {
    Str name;

    TRY(otlp_label_name(OTLP_LABEL_LOKI, attribute->key, walk->arena, &name, err));
    return add_value(walk, pairs, name, &attribute->value, 0, err);
}

static ErrCode add_number(Walk *walk, const char *name, uint64_t number, Error *err) {
    if (number == 0) return ERR_OK;
    return add(walk, &walk->metadata, str_of(name), str_format(walk->arena, "%" PRIu64, number),
               err);
}

static ErrCode add_text(Walk *walk, const char *name, Str text, Error *err) {
    return text.len == 0 ? ERR_OK : add(walk, &walk->metadata, str_of(name), text, err);
}

static ErrCode add_id(Walk *walk, const char *name, Str id, size_t bytes_max, Error *err) {
    bool zero = true;

    for (size_t i = 0; i < id.len; i++) zero = zero && id.ptr[i] == 0;
    if (zero || id.len > bytes_max) return ERR_OK;
    return add(walk, &walk->metadata, str_of(name), otlp_hex(id, walk->arena), err);
}

/* ---------- records ---------- */

static bool read_record(WireReader r, Record *out) {
    WireReader body;
    uint32_t tag;
    uint64_t bits = 0;

    *out = (Record){.severity_text = STR(""), .trace = STR(""), .span = STR(""), .event = STR("")};
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_FIXED64):
            ok = wire_fixed64(&r, &out->time_ns);
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            ok = wire_uint32(&r, &out->severity);
            break;
        case WIRE_TAG(3, WIRE_BYTES):
            ok = wire_bytes(&r, &out->severity_text);
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            ok = wire_message(&r, &body) && otlp_read_value(body, &out->body);
            break;
        case WIRE_TAG(7, WIRE_VARINT):
            ok = wire_varint(&r, &bits);
            out->dropped = (uint32_t)bits;
            break;
        case WIRE_TAG(8, WIRE_FIXED32):
            ok = wire_left(&r) >= sizeof out->flags;
            if (ok) memcpy(&out->flags, r.at, sizeof out->flags);
            r.at += ok ? sizeof out->flags : 0;
            break;
        case WIRE_TAG(9, WIRE_BYTES):
            ok = wire_bytes(&r, &out->trace);
            break;
        case WIRE_TAG(10, WIRE_BYTES):
            ok = wire_bytes(&r, &out->span);
            break;
        case WIRE_TAG(11, WIRE_FIXED64):
            ok = wire_fixed64(&r, &out->observed_ns);
            break;
        case WIRE_TAG(12, WIRE_BYTES):
            ok = wire_bytes(&r, &out->event);
            break;
        default:
            ok = wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static ErrCode add_record(Walk *walk, WireReader message, Error *err) {
    int64_t time_ns = walk->now_ns;
    OtlpAttribute attribute;
    WireReader r = message;
    Record record;
    bool more;
    Str line;

    if (!read_record(message, &record)) return malformed(err, "a log record");
    for (;;) {
        if (!otlp_next_attribute(&r, 6, &attribute, &more)) return malformed(err, "an attribute");
        if (!more) break;
        if (record.event.len > 0 && str_equal(attribute.key, STR("event_name"))) continue;
        TRY(add_attribute(walk, &walk->metadata, &attribute, err));
    }
    if (record.time_ns != 0) TRY(add_number(walk, "observed_timestamp", record.observed_ns, err));
    TRY(add_number(walk, "severity_number", record.severity, err));
    TRY(add_text(walk, "severity_text", record.severity_text, err));
    TRY(add_number(walk, "dropped_attributes_count", record.dropped, err));
    TRY(add_number(walk, "flags", record.flags, err));
    TRY(add_id(walk, "trace_id", record.trace, 16, err));
    TRY(add_id(walk, "span_id", record.span, 8, err));
    TRY(add_text(walk, "event_name", record.event, err));
    TRY(otlp_value_text(&record.body, walk->arena, &line, err));
    if (record.time_ns != 0)
        time_ns = (int64_t)record.time_ns;
    else if (record.observed_ns != 0)
        time_ns = (int64_t)record.observed_ns;
    streams_entry(walk->streams, time_ns, line, walk->metadata.at, walk->metadata.count);
    return streams_finish(walk->streams, err);
}

static void reject(Walk *walk, const Error *why) {
    if (walk->outcome->rejected == 0) walk->outcome->first = *why;
    walk->outcome->rejected++;
}

static ErrCode walk_record(Walk *walk, WireReader message, Error *err) {
    LogRejects *rejects = &walk->streams->rejects;
    uint64_t before = rejects->entries;
    size_t inherited = walk->metadata.count;
    ErrCode code = ERR_INVALID;

    walk->outcome->points++;
    if (walk->problem.code != ERR_OK)
        *err = walk->problem;
    else
        code = add_record(walk, message, err);
    walk->metadata.count = inherited;
    if (code == ERR_INVALID) {
        reject(walk, err);
        rejects->by_reason[LOG_REJECT_LABELS_INVALID]++;
        return ERR_OK;
    }
    if (code == ERR_OK && rejects->entries > before) reject(walk, &rejects->first);
    return code;
}

/* ---------- scopes and resources ---------- */

/* An attribute that can't be stored is remembered in walk->problem. */
static ErrCode kept(Walk *walk, ErrCode code, const Error *err) {
    if (code != ERR_INVALID) return code;
    walk->problem = *err;
    return ERR_OK;
}

static ErrCode read_scope(Walk *walk, WireReader message, Error *err) {
    Str name = STR(""), version = STR("");
    uint64_t dropped = 0;
    OtlpAttribute attribute;
    WireReader r = message;
    uint32_t tag;
    bool more;

    for (;;) {
        if (!otlp_next_attribute(&r, 3, &attribute, &more)) return malformed(err, "a scope");
        if (!more) break;
        TRY(add_attribute(walk, &walk->metadata, &attribute, err));
    }
    for (r = message; !wire_at_end(&r);) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a scope");
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)    ? wire_bytes(&r, &name)
              : tag == WIRE_TAG(2, WIRE_BYTES)  ? wire_bytes(&r, &version)
              : tag == WIRE_TAG(4, WIRE_VARINT) ? wire_varint(&r, &dropped)
                                                : wire_skip(&r, tag)))
            return malformed(err, "a scope");
    }
    TRY(add_text(walk, "scope_name", name, err));
    TRY(add_text(walk, "scope_version", version, err));
    return add_number(walk, "scope_dropped_attributes_count", dropped, err);
}

static ErrCode walk_scope(Walk *walk, WireReader message, Error *err) {
    WireReader r = message, part = {NULL, NULL};
    Error before = walk->problem;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "scope logs");
        if (!(tag == WIRE_TAG(1, WIRE_BYTES) ? wire_message(&r, &part) : wire_skip(&r, tag)))
            return malformed(err, "scope logs");
    }
    TRY(kept(walk, read_scope(walk, part, err), err));
    for (r = message; !wire_at_end(&r);) {
        if (!wire_tag(&r, &tag)) return malformed(err, "scope logs");
        if (tag != WIRE_TAG(2, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "scope logs");
            continue;
        }
        if (!wire_message(&r, &part)) return malformed(err, "a log record");
        TRY(walk_record(walk, part, err));
    }
    walk->metadata.count = walk->of_resource;
    walk->problem = before;
    return ERR_OK;
}

static bool is_label(const OtlpSettings *settings, Str key) {
    for (size_t i = 0; i < settings->stream_label_count; i++)
        if (str_equal(settings->stream_labels[i], key)) return true;
    return false;
}

static ErrCode read_resource(Walk *walk, WireReader r, Error *err) {
    OtlpAttribute attribute;
    bool more;

    for (;;) {
        if (!otlp_next_attribute(&r, 1, &attribute, &more)) return malformed(err, "a resource");
        if (!more) return ERR_OK;
        TRY(add_attribute(walk,
                          is_label(walk->settings, attribute.key) ? &walk->labels : &walk->metadata,
                          &attribute, err));
    }
}

/* Of labels with one name the last one counts. */
static size_t unique(Pairs *labels) {
    size_t count = 0;

    for (size_t i = 0; i < labels->count; i++) {
        size_t k = 0;

        while (k < count && !str_equal(labels->at[k].name, labels->at[i].name)) k++;
        labels->at[k] = labels->at[i];
        if (k == count) count++;
    }
    return count;
}

static ErrCode walk_resource(Walk *walk, WireReader message, Error *err) {
    WireReader r = message, part = {NULL, NULL};
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "resource logs");
        if (!(tag == WIRE_TAG(1, WIRE_BYTES) ? wire_message(&r, &part) : wire_skip(&r, tag)))
            return malformed(err, "resource logs");
    }
    walk->labels.count = walk->metadata.count = 0;
    walk->problem = (Error){0};
    TRY(kept(walk, read_resource(walk, part, err), err));
    walk->of_resource = walk->metadata.count;
    streams_begin(walk->streams, walk->labels.at, unique(&walk->labels));
    for (r = message; !wire_at_end(&r);) {
        if (!wire_tag(&r, &tag)) return malformed(err, "resource logs");
        if (tag != WIRE_TAG(2, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "resource logs");
            continue;
        }
        if (!wire_message(&r, &part)) return malformed(err, "scope logs");
        TRY(walk_scope(walk, part, err));
    }
    streams_end(walk->streams);
    return streams_finish(walk->streams, err);
}

ErrCode otlp_decode_logs(Streams *streams, const OtlpSettings *settings, int64_t now_ns, Str body,
                         OtlpOutcome *outcome, Error *err) {
    Walk walk = {.streams = streams,
                 .arena = streams->arena,
                 .settings = settings,
                 .outcome = outcome,
                 .now_ns = now_ns};
    WireReader r = wire_reader(body), message;
    uint32_t tag;

    *outcome = (OtlpOutcome){0};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "fields");
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "fields");
            continue;
        }
        if (!wire_message(&r, &message)) return malformed(err, "resource logs");
        TRY(walk_resource(&walk, message, err));
    }
    return streams_finish(streams, err);
}
