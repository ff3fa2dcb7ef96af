/*
 * thrift.c: a Batch in Thrift's binary protocol, walked where it lies.
 * https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
 *
 * Nothing says how long a struct is but its end, so a span that is refused half way is passed over
 * from its beginning.
 */
#include "gateway/jaeger/decode.h"

enum { DEPTH_MAX = 32 };

typedef enum ThriftType {
    THRIFT_STOP = 0,
    THRIFT_BOOL = 2,
    THRIFT_BYTE = 3,
    THRIFT_DOUBLE = 4,
    THRIFT_I16 = 6,
    THRIFT_I32 = 8,
    THRIFT_I64 = 10,
    THRIFT_STRING = 11,
    THRIFT_STRUCT = 12,
    THRIFT_MAP = 13,
    THRIFT_SET = 14,
    THRIFT_LIST = 15,
} ThriftType;

/* What a struct's field is: its type and number, as one number for `switch`. */
#define FIELD(type, number) ((uint32_t)(type) << 16 | (uint32_t)(number))

typedef struct Thrift {
    const uint8_t *at;
    const uint8_t *end;
} Thrift;

/* ---------- values ---------- */

static size_t left(const Thrift *t) {
    return (size_t)(t->end - t->at);
}

static bool pass(Thrift *t, size_t bytes) {
    if (left(t) < bytes) return false;
    t->at += bytes;
    return true;
}

/* Big-endian. */
static bool read_unsigned(Thrift *t, unsigned bytes, uint64_t *out) {
    uint64_t v = 0;

    if (left(t) < bytes) return false;
    for (unsigned i = 0; i < bytes; i++) v = v << 8 | *t->at++;
    *out = v;
    return true;
}

static bool read_u64(Thrift *t, uint64_t *out) {
    return read_unsigned(t, 8, out);
}

static bool read_i64(Thrift *t, int64_t *out) {
    uint64_t v;

    if (!read_u64(t, &v)) return false;
    *out = (int64_t)v;
    return true;
}

static bool read_string(Thrift *t, Str *out) {
    uint64_t len;

    if (!read_unsigned(t, 4, &len) || len > left(t)) return false;
    *out = (Str){(const char *)t->at, (size_t)len};
    t->at += len;
    return true;
}

/* The head of a struct's next field; *out THRIFT_STOP at its end. */
static bool read_field(Thrift *t, uint32_t *out) {
    uint64_t type, number;

    if (!read_unsigned(t, 1, &type)) return false;
    *out = THRIFT_STOP;
    if (type == THRIFT_STOP) return true;
    if (!read_unsigned(t, 2, &number)) return false;
    *out = FIELD(type, number);
    return true;
}

/* The head of a list. Every element takes a byte at least. */
static bool read_list(Thrift *t, uint8_t *type, uint32_t *count) {
    uint64_t what, n;

    if (!read_unsigned(t, 1, &what) || !read_unsigned(t, 4, &n) || n > left(t)) return false;
    *type = (uint8_t)what;
    *count = (uint32_t)n;
    return true;
}

static bool skip(Thrift *t, uint8_t type, unsigned depth);

static bool skip_elements(Thrift *t, uint8_t type, uint32_t count, unsigned depth) {
    for (uint32_t i = 0; i < count; i++)
        if (!skip(t, type, depth)) return false;
    return true;
}

static bool skip_map(Thrift *t, unsigned depth) {
    uint64_t key, value, count;

    if (!read_unsigned(t, 1, &key) || !read_unsigned(t, 1, &value) ||
        !read_unsigned(t, 4, &count) || count > left(t))
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (!skip(t, (uint8_t)key, depth) || !skip(t, (uint8_t)value, depth)) return false;
    return true;
}

static bool skip_struct(Thrift *t, unsigned depth) {
    uint32_t field;

    for (;;) {
        if (!read_field(t, &field)) return false;
        if (field == THRIFT_STOP) return true;
        if (!skip(t, (uint8_t)(field >> 16), depth)) return false;
    }
}

static bool skip(Thrift *t, uint8_t type, unsigned depth) {
    uint32_t count;
    Str text;

    if (depth == DEPTH_MAX) return false;
    switch (type) {
    case THRIFT_BOOL:
    case THRIFT_BYTE:
        return pass(t, 1);
    case THRIFT_I16:
        return pass(t, 2);
    case THRIFT_I32:
        return pass(t, 4);
    case THRIFT_I64:
    case THRIFT_DOUBLE:
        return pass(t, 8);
    case THRIFT_STRING:
        return read_string(t, &text);
    case THRIFT_STRUCT:
        return skip_struct(t, depth + 1);
    case THRIFT_MAP:
        return skip_map(t, depth + 1);
    case THRIFT_SET:
    case THRIFT_LIST:
        return read_list(t, &type, &count) && skip_elements(t, type, count, depth + 1);
    default:
        return false;
    }
}

static bool skip_field(Thrift *t, uint32_t field) {
    return skip(t, (uint8_t)(field >> 16), 0);
}

static ErrCode malformed(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT,
                     "the body is not a Batch of jaeger.thrift in Thrift's binary protocol: %s "
                     "can't be read",
                     what);
}

/* ---------- tags ---------- */

typedef enum TagType { TAG_STRING, TAG_DOUBLE, TAG_BOOL, TAG_LONG, TAG_BINARY } TagType;

typedef struct Tag {
    Str key, text, bytes;
    uint64_t type, truth, number, integer;
} Tag;

static bool read_tag(Thrift *t, Tag *tag) {
    uint32_t field;

    *tag = (Tag){.key = STR(""), .text = STR(""), .bytes = STR("")};
    for (;;) {
        bool ok;

        if (!read_field(t, &field)) return false;
        switch (field) {
        case THRIFT_STOP:
            return true;
        case FIELD(THRIFT_STRING, 1):
            ok = read_string(t, &tag->key);
            break;
        case FIELD(THRIFT_I32, 2):
            ok = read_unsigned(t, 4, &tag->type);
            break;
        case FIELD(THRIFT_STRING, 3):
            ok = read_string(t, &tag->text);
            break;
        case FIELD(THRIFT_DOUBLE, 4):
            ok = read_u64(t, &tag->number);
            break;
        case FIELD(THRIFT_BOOL, 5):
            ok = read_unsigned(t, 1, &tag->truth);
            break;
        case FIELD(THRIFT_I64, 6):
            ok = read_u64(t, &tag->integer);
            break;
        case FIELD(THRIFT_STRING, 7):
            ok = read_string(t, &tag->bytes);
            break;
        default:
            ok = skip_field(t, field);
        }
        if (!ok) return false;
    }
}

static Attribute attribute_of(const Tag *tag) {
    Attribute attribute = {.key = tag->key};

    switch (tag->type) {
    case TAG_DOUBLE:
        attribute.type = ATTRIBUTE_DOUBLE;
        memcpy(&attribute.number, &tag->number, sizeof attribute.number);
        break;
    case TAG_BOOL:
        attribute.type = ATTRIBUTE_BOOL;
        attribute.truth = tag->truth != 0;
        break;
    case TAG_LONG:
        attribute.type = ATTRIBUTE_INT;
        attribute.integer = (int64_t)tag->integer;
        break;
    case TAG_BINARY:
        attribute.type = ATTRIBUTE_BYTES;
        attribute.text = tag->bytes;
        break;
    default:
        attribute.type = ATTRIBUTE_STRING;
        attribute.text = tag->type == TAG_STRING ? tag->text : STR("<Unknown Jaeger TagType>");
    }
    return attribute;
}

/* A list of structs: how many, or -1 for what is none. */
static int64_t list_of_structs(Thrift *t) {
    uint8_t type;
    uint32_t count;

    if (!read_list(t, &type, &count) || (type != THRIFT_STRUCT && count > 0)) return -1;
    return count;
}

static ErrCode read_tags(Foreign *foreign, Thrift *t, Tags *out, Error *err) {
    int64_t count = list_of_structs(t);

    if (count < 0) return malformed(err, "tags");
    for (int64_t i = 0; i < count; i++) {
        Attribute attribute;
        Tag tag;

        if (!read_tag(t, &tag)) return malformed(err, "a tag");
        attribute = attribute_of(&tag);
        TRY(tags_add(foreign, out, &attribute, err));
    }
    return ERR_OK;
}

/* ---------- parts of a span ---------- */

static ErrCode read_log(Foreign *foreign, Thrift *t, JaegerLog *log, Error *err) {
    int64_t time_us = 0;
    uint32_t field;

    for (;;) {
        bool ok = true;

        if (!read_field(t, &field)) return malformed(err, "a log");
        if (field == THRIFT_STOP) break;
        if (field == FIELD(THRIFT_I64, 1))
            ok = read_i64(t, &time_us);
        else if (field == FIELD(THRIFT_LIST, 2))
            TRY(read_tags(foreign, t, &log->fields, err));
        else
            ok = skip_field(t, field);
        if (!ok) return malformed(err, "a log");
    }
    log->time_ns = foreign_ns(time_us);
    return ERR_OK;
}

static ErrCode read_logs(Foreign *foreign, Thrift *t, JaegerSpan *span, Error *err) {
    int64_t count = list_of_structs(t);
    JaegerLog *log;

    if (count < 0) return malformed(err, "logs");
    for (int64_t i = 0; i < count; i++) {
        TRY(jaeger_add_log(foreign, span, &log, err));
        TRY(read_log(foreign, t, log, err));
    }
    return ERR_OK;
}

static bool read_ref(Thrift *t, JaegerRef *ref) {
    uint64_t type = JAEGER_CHILD_OF;
    uint32_t field;

    for (;;) {
        bool ok;

        if (!read_field(t, &field)) return false;
        if (field == THRIFT_STOP) break;
        ok = field == FIELD(THRIFT_I32, 1)   ? read_unsigned(t, 4, &type)
             : field == FIELD(THRIFT_I64, 2) ? read_u64(t, &ref->trace_low)
             : field == FIELD(THRIFT_I64, 3) ? read_u64(t, &ref->trace_high)
             : field == FIELD(THRIFT_I64, 4) ? read_u64(t, &ref->span)
                                             : skip_field(t, field);
        if (!ok) return false;
    }
    ref->type = type == JAEGER_CHILD_OF ? JAEGER_CHILD_OF : JAEGER_FOLLOWS_FROM;
    return true;
}

static ErrCode read_refs(Foreign *foreign, Thrift *t, JaegerSpan *span, Error *err) {
    int64_t count = list_of_structs(t);
    JaegerRef *ref;

    if (count < 0) return malformed(err, "references");
    for (int64_t i = 0; i < count; i++) {
        TRY(jaeger_add_ref(foreign, span, &ref, err));
        if (!read_ref(t, ref)) return malformed(err, "a reference");
    }
    return ERR_OK;
}

/* ---------- spans ---------- */

static ErrCode read_span(Foreign *foreign, Thrift *t, JaegerSpan *span, Error *err) {
    int64_t start_us = 0, duration_us = 0;
    uint32_t field;

    for (;;) {
        bool ok = true;

        if (!read_field(t, &field)) return malformed(err, "a span");
        if (field == THRIFT_STOP) break;
        switch (field) {
        case FIELD(THRIFT_I64, 1):
            ok = read_u64(t, &span->trace_low);
            break;
        case FIELD(THRIFT_I64, 2):
            ok = read_u64(t, &span->trace_high);
            break;
        case FIELD(THRIFT_I64, 3):
            ok = read_u64(t, &span->id);
            break;
        case FIELD(THRIFT_I64, 4):
            ok = read_u64(t, &span->parent);
            break;
        case FIELD(THRIFT_STRING, 5):
            ok = read_string(t, &span->name);
            break;
        case FIELD(THRIFT_LIST, 6):
            TRY(read_refs(foreign, t, span, err));
            break;
        case FIELD(THRIFT_I64, 8):
            ok = read_i64(t, &start_us);
            break;
        case FIELD(THRIFT_I64, 9):
            ok = read_i64(t, &duration_us);
            break;
        case FIELD(THRIFT_LIST, 10):
            TRY(read_tags(foreign, t, &span->tags, err));
            break;
        case FIELD(THRIFT_LIST, 11):
            TRY(read_logs(foreign, t, span, err));
            break;
        default:
            ok = skip_field(t, field);
        }
        if (!ok) return malformed(err, "a span");
    }
    span->start_ns = foreign_ns(start_us);
    span->duration_ns =
        duration_us > INT64_MAX / 1000 ? INT64_MAX : duration_us * (duration_us > 0 ? 1000 : 0);
    return ERR_OK;
}

static ErrCode read_spans(Foreign *foreign, Thrift *t, const Tags *resource, Error *err) {
    int64_t count = list_of_structs(t);

    if (count < 0) return malformed(err, "spans");
    for (int64_t i = 0; i < count; i++) {
        JaegerSpan span = {.name = STR("")};
        Thrift start = *t;
        ErrCode code;

        foreign_next(foreign);
        code = read_span(foreign, t, &span, err);
        if (code == ERR_OK) code = jaeger_add(foreign, resource, &span, err);
        if (code == ERR_OK) continue;
        if (code != ERR_INVALID) return code;
        spans_refuse(foreign->spans, err);
        *t = start;
        if (!skip(t, THRIFT_STRUCT, 0)) return malformed(err, "a span");
    }
    return ERR_OK;
}

static ErrCode read_process(Foreign *foreign, Thrift *t, Tags *resource, Error *err) {
    Str service = STR("");
    uint32_t field;

    for (;;) {
        bool ok = true;

        if (!read_field(t, &field)) return malformed(err, "the process");
        if (field == THRIFT_STOP) break;
        if (field == FIELD(THRIFT_STRING, 1))
            ok = read_string(t, &service);
        else if (field == FIELD(THRIFT_LIST, 2))
            TRY(read_tags(foreign, t, resource, err));
        else
            ok = skip_field(t, field);
        if (!ok) return malformed(err, "the process");
    }
    return jaeger_resource(foreign, service, resource, err);
}

/* The process is a batch's first field; where it isn't, the spans are read after it. */
ErrCode jaeger_decode_thrift(Foreign *foreign, Str body, Error *err) {
    const uint8_t *start = (const uint8_t *)body.ptr;
    Thrift t = {start, body.len == 0 ? start : start + body.len}, spans = {0};
    Tags resource = {.arena = foreign->arena};
    bool known = false;
    uint32_t field;

    for (;;) {
        if (!read_field(&t, &field)) return malformed(err, "a field");
        if (field == THRIFT_STOP) break;
        if (field == FIELD(THRIFT_STRUCT, 1) && !known) {
            TRY(read_process(foreign, &t, &resource, err));
            known = true;
        } else if (field == FIELD(THRIFT_LIST, 2) && known) {
            TRY(read_spans(foreign, &t, &resource, err));
        } else if (field == FIELD(THRIFT_LIST, 2) && spans.at == NULL) {
            spans = t;
            if (!skip_field(&t, field)) return malformed(err, "spans");
        } else if (!skip_field(&t, field)) {
            return malformed(err, "a field");
        }
    }
    if (t.at != t.end) return malformed(err, "what is behind it");
    return spans.at == NULL ? ERR_OK : read_spans(foreign, &spans, &resource, err);
}
