/*
 * decode_proto.c: logproto.PushRequest (proto/loki_push.proto).
 */
#include "gateway/loki/decode.h"
#include "proto/wire/wire.h"

enum { METADATA_MAX = 8192 }; /* names of one entry, whatever the tenant's limit */

typedef struct Walk {
    Streams *streams;
    LabelPair *metadata;
    size_t capacity;
} Walk;

static ErrCode malformed(Error *err, const char *what) {
    return error_set(err, ERR_INVALID, "the body is not a PushRequest: its %s can't be read", what);
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_UNAVAILABLE, "no memory left for this request; try again");
}

/* google.protobuf.Timestamp */
static bool read_time(WireReader r, int64_t *ns) {
    int64_t seconds = 0;
    uint32_t nanos = 0, tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        bool ok = tag == WIRE_TAG(1, WIRE_VARINT)   ? wire_int64(&r, &seconds)
                  : tag == WIRE_TAG(2, WIRE_VARINT) ? wire_uint32(&r, &nanos)
                                                    : wire_skip(&r, tag);
        if (!ok) return false;
    }
    /* What doesn't fit is beyond any limit: it is refused with its entry, not with the request. */
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), ns) ||
        __builtin_add_overflow(*ns, (int32_t)nanos, ns))
        *ns = seconds < 0 ? INT64_MIN : INT64_MAX;
    return true;
}

static bool read_pair(WireReader r, LabelPair *out) {
    uint32_t tag;

    *out = (LabelPair){STR(""), STR("")};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        bool ok = tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&r, &out->name)
                  : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_bytes(&r, &out->value)
                                                   : wire_skip(&r, tag);
        if (!ok) return false;
    }
    return true;
}

static ErrCode add_metadata(Walk *walk, WireReader r, size_t *count, Error *err) {
    if (*count == METADATA_MAX) return malformed(err, "structured metadata (more than 8192 names)");
    if (*count == walk->capacity) {
        size_t more = MAX(walk->capacity * 2, (size_t)16);

        walk->metadata =
            arena_grow(walk->streams->arena, walk->metadata,
                       walk->capacity * sizeof *walk->metadata, more * sizeof *walk->metadata);
        walk->capacity = walk->metadata == NULL ? 0 : more;
        if (walk->metadata == NULL) return out_of_memory(err);
    }
    if (!read_pair(r, &walk->metadata[*count])) return malformed(err, "structured metadata");
    (*count)++;
    return ERR_OK;
}

static ErrCode read_entry(Walk *walk, WireReader r, Error *err) {
    int64_t time_ns = 0;
    size_t count = 0;
    Str line = STR("");
    WireReader part;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "entry");
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            if (!wire_message(&r, &part) || !read_time(part, &time_ns))
                return malformed(err, "timestamp");
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            if (!wire_bytes(&r, &line)) return malformed(err, "line");
            break;
        case WIRE_TAG(3, WIRE_BYTES):
            if (!wire_message(&r, &part)) return malformed(err, "structured metadata");
            TRY(add_metadata(walk, part, &count, err));
            break;
        default:
            if (!wire_skip(&r, tag)) return malformed(err, "entry");
        }
    }
    streams_entry(walk->streams, time_ns, line, walk->metadata, count);
    return ERR_OK;
}

/* Labels are looked for first: a writer may put its fields in any order. */
static ErrCode begin_stream(Walk *walk, WireReader r, Error *err) {
    Str labels = STR("");
    LabelPair *pairs;
    size_t count;
    uint32_t tag;
    Error why;
    ErrCode code;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "stream");
        if (tag == WIRE_TAG(1, WIRE_BYTES) ? !wire_bytes(&r, &labels) : !wire_skip(&r, tag))
            return malformed(err, "stream");
    }
    code = loki_parse_labels(labels, walk->streams->arena, &pairs, &count, &why);
    if (code == ERR_OK) {
        streams_begin(walk->streams, pairs, count);
        return ERR_OK;
    }
    /* As Loki: labels that nobody can read refuse the request. */
    *err = why;
    return code;
}

static ErrCode read_stream(Walk *walk, WireReader r, Error *err) {
    WireReader entry;
    uint32_t tag;

    TRY(begin_stream(walk, r, err));
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "stream");
        if (tag != WIRE_TAG(2, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "stream");
            continue;
        }
        if (!wire_message(&r, &entry)) return malformed(err, "entry");
        TRY(read_entry(walk, entry, err));
    }
    streams_end(walk->streams);
    return ERR_OK;
}

ErrCode loki_decode_proto(Streams *streams, Str body, Error *err) {
    Walk walk = {.streams = streams};
    WireReader r = wire_reader(body), stream;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "fields");
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "fields");
            continue;
        }
        if (!wire_message(&r, &stream)) return malformed(err, "streams");
        TRY(read_stream(&walk, stream, err));
    }
    return streams_finish(streams, err);
}
