#include "gateway/otlp/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/number.h"
#include "common/base/rune.h"

enum { TEXT_BYTES_MAX = 16 << 20 };

static ErrCode malformed(Error *err) {
    return error_set(err, ERR_CORRUPT, "the body is not protobuf: an attribute can't be read");
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the attributes of this request");
}

bool otlp_read_value(WireReader r, OtlpValue *out) {
    uint64_t v;
    uint32_t tag;

    *out = (OtlpValue){.kind = OTLP_EMPTY};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            out->kind = OTLP_STRING;
            if (!wire_bytes(&r, &out->bytes)) return false;
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            out->kind = OTLP_BOOL;
            if (!wire_varint(&r, &v)) return false;
            out->truth = v != 0;
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            out->kind = OTLP_INT;
            if (!wire_int64(&r, &out->integer)) return false;
            break;
        case WIRE_TAG(4, WIRE_FIXED64):
            out->kind = OTLP_DOUBLE;
            if (!wire_double(&r, &out->number)) return false;
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            out->kind = OTLP_ARRAY;
            if (!wire_bytes(&r, &out->bytes)) return false;
            break;
        case WIRE_TAG(6, WIRE_BYTES):
            out->kind = OTLP_MAP;
            if (!wire_bytes(&r, &out->bytes)) return false;
            break;
        case WIRE_TAG(7, WIRE_BYTES):
            out->kind = OTLP_BYTES;
            if (!wire_bytes(&r, &out->bytes)) return false;
            break;
        default:
            if (tag >> 3 <= 7 || !wire_skip(&r, tag)) return false;
        }
    }
    return true;
}

bool otlp_read_attribute(WireReader r, OtlpAttribute *out) {
    WireReader value;
    uint32_t tag;

    *out = (OtlpAttribute){STR(""), {.kind = OTLP_EMPTY}};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (tag == WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_bytes(&r, &out->key)) return false;
        } else if (tag == WIRE_TAG(2, WIRE_BYTES)) {
            if (!wire_message(&r, &value) || !otlp_read_value(value, &out->value)) return false;
        } else if (!wire_skip(&r, tag)) {
            return false;
        }
    }
    return true;
}

bool otlp_next_attribute(WireReader *r, uint32_t number, OtlpAttribute *out, bool *more) {
    WireReader message;
    uint32_t tag;

    *more = true;
    while (!wire_at_end(r)) {
        if (!wire_tag(r, &tag)) return false;
        if (tag == WIRE_TAG(number, WIRE_BYTES))
            return wire_message(r, &message) && otlp_read_attribute(message, out);
        if (!wire_skip(r, tag)) return false;
    }
    *more = false;
    return true;
}

/* ---------- text ---------- */

/* As Go's encoding/json writes numbers. */
static void append_double(Buf *out, double v) {
    char digits[NUMBER_DIGITS_MAX + 1];
    int exponent, count;
    double size = fabs(v);

    if (isnan(v) || isinf(v)) {
        buf_printf(out, "json: unsupported value: %s", isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (signbit(v)) buf_append_byte(out, '-');
    if (size == 0) {
        buf_append_byte(out, '0');
        return;
    }
    count = number_shortest(size, digits, &exponent);
    if (size < 1e-6 || size >= 1e21) {
        buf_append_byte(out, digits[0]);
        if (count > 1) buf_printf(out, ".%.*s", count - 1, digits + 1);
        /* One digit of a negative exponent, two of a positive one: Go takes a zero away there. */
        buf_printf(out, exponent < 0 ? "e%d" : "e+%02d", exponent);
        return;
    }
    if (exponent < 0) {
        buf_append_str(out, STR("0."));
        for (int i = -1; i > exponent; i--) buf_append_byte(out, '0');
        buf_append(out, digits, (size_t)count);
        return;
    }
    for (int i = 0; i < MAX(count, exponent + 1); i++) {
        if (i == exponent + 1) buf_append_byte(out, '.');
        buf_append_byte(out, i < count ? digits[i] : '0');
    }
}

/* As Go's encoding/json, which escapes the two line ends of JavaScript, too. */
static void append_json_string(Buf *out, Str s) {
    static const char hex[] = "0123456789abcdef";

    buf_append_byte(out, '"');
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t len = 1;

        if (c >= 0x80) {
            uint32_t rune = rune_decode(str_from(s, i), &len);

            if (rune == RUNE_ERROR && len == 1)
                buf_append_str(out, STR("\\ufffd"));
            else if (rune == 0x2028 || rune == 0x2029)
                buf_printf(out, "\\u%x", rune);
            else
                buf_append(out, s.ptr + i, len);
        } else if (c == '"' || c == '\\') {
            buf_append_byte(out, '\\');
            buf_append_byte(out, (char)c);
        } else if (c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f') {
            buf_append_byte(out, '\\');
            buf_append_byte(out, c == '\n'   ? 'n'
                                 : c == '\r' ? 'r'
                                 : c == '\t' ? 't'
                                 : c == '\b' ? 'b'
                                             : 'f');
        } else if (c < 0x20) {
            buf_append_str(out, STR("\\u00"));
            buf_append_byte(out, hex[c >> 4]);
            buf_append_byte(out, hex[c & 15]);
        } else {
            buf_append_byte(out, (char)c);
        }
        i += len;
    }
    buf_append_byte(out, '"');
}

static ErrCode append_json(const OtlpValue *value, unsigned depth, Arena *arena, Buf *out,
                           Error *err);

static ErrCode append_array(const OtlpValue *value, unsigned depth, Arena *arena, Buf *out,
                            Error *err) {
    WireReader r = wire_reader(value->bytes), item;
    bool first = true;
    uint32_t tag;

    buf_append_byte(out, '[');
    while (!wire_at_end(&r)) {
        OtlpValue element;

        if (!wire_tag(&r, &tag)) return malformed(err);
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err);
            continue;
        }
        if (!wire_message(&r, &item) || !otlp_read_value(item, &element)) return malformed(err);
        if (!first) buf_append_byte(out, ',');
        first = false;
        TRY(append_json(&element, depth + 1, arena, out, err));
    }
    buf_append_byte(out, ']');
    return ERR_OK;
}

typedef struct Entry {
    OtlpAttribute attribute;
    size_t place; /* of equal keys the last one stays */
} Entry;

static int by_key(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    int order = str_compare(x->attribute.key, y->attribute.key);

    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

static ErrCode append_map(const OtlpValue *value, unsigned depth, Arena *arena, Buf *out,
                          Error *err) {
    WireReader r = otlp_map_reader(value);
    Entry *entries = NULL;
    size_t count = 0, capacity = 0;
    bool more, first = true;

    for (;;) {
        OtlpAttribute attribute;

        if (!otlp_next_attribute(&r, 1, &attribute, &more)) return malformed(err);
        if (!more) break;
        if (count == capacity) {
            size_t grown = MAX(capacity * 2, (size_t)8);

            entries =
                arena_grow(arena, entries, capacity * sizeof *entries, grown * sizeof *entries);
            if (entries == NULL) return out_of_memory(err);
            capacity = grown;
        }
        entries[count] = (Entry){attribute, count};
        count++;
    }
    if (count > 1) qsort(entries, count, sizeof *entries, by_key);
    buf_append_byte(out, '{');
    for (size_t i = 0; i < count; i++) {
        const OtlpAttribute *attribute = &entries[i].attribute;

        if (i + 1 < count && str_equal(attribute->key, entries[i + 1].attribute.key)) continue;
        if (!first) buf_append_byte(out, ',');
        first = false;
        append_json_string(out, attribute->key);
        buf_append_byte(out, ':');
        TRY(append_json(&attribute->value, depth + 1, arena, out, err));
    }
    buf_append_byte(out, '}');
    return ERR_OK;
}

static ErrCode append_json(const OtlpValue *value, unsigned depth, Arena *arena, Buf *out,
                           Error *err) {
    if (depth > OTLP_DEPTH_MAX)
        return error_set(err, ERR_INVALID, "an attribute is nested more than %d levels deep",
                         OTLP_DEPTH_MAX);
    switch (value->kind) {
    case OTLP_EMPTY:
        buf_append_str(out, STR("null"));
        break;
    case OTLP_STRING:
        append_json_string(out, value->bytes);
        break;
    case OTLP_BOOL:
        buf_append_str(out, value->truth ? STR("true") : STR("false"));
        break;
    case OTLP_INT:
        buf_printf(out, "%" PRId64, value->integer);
        break;
    case OTLP_DOUBLE:
        append_double(out, value->number);
        break;
    case OTLP_BYTES:
        buf_append_byte(out, '"');
        buf_append_base64(out, value->bytes);
        buf_append_byte(out, '"');
        break;
    case OTLP_ARRAY:
        return append_array(value, depth, arena, out, err);
    case OTLP_MAP:
        return append_map(value, depth, arena, out, err);
    }
    return ERR_OK;
}

static ErrCode nested_text(const OtlpValue *value, Arena *arena, Str *out, Error *err) {
    Buf text;
    ErrCode code = ERR_OK;

    buf_init(&text, TEXT_BYTES_MAX);
    if (value->kind == OTLP_BYTES)
        buf_append_base64(&text, value->bytes);
    else
        code = append_json(value, 0, arena, &text, err);
    if (code == ERR_OK) {
        *out = buf_failed(&text) ? (Str){NULL, 0} : str_dup(arena, buf_str(&text));
        if (out->ptr == NULL) code = out_of_memory(err);
    }
    buf_done(&text);
    return code;
}

ErrCode otlp_value_text(const OtlpValue *value, Arena *arena, Str *out, Error *err) {
    *out = STR("");
    switch (value->kind) {
    case OTLP_STRING:
        *out = value->bytes;
        return ERR_OK;
    case OTLP_EMPTY:
        return ERR_OK;
    case OTLP_BOOL:
        *out = value->truth ? STR("true") : STR("false");
        return ERR_OK;
    case OTLP_INT:
        *out = str_format(arena, "%" PRId64, value->integer);
        return out->ptr == NULL ? out_of_memory(err) : ERR_OK;
    default:
        return nested_text(value, arena, out, err);
    }
}

Str otlp_hex(Str bytes, Arena *arena) {
    static const char hex[] = "0123456789abcdef";
    char *out = arena_alloc_bytes(arena, 2 * bytes.len + 1);

    if (out == NULL) return (Str){NULL, 0};
    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = hex[(uint8_t)bytes.ptr[i] >> 4];
        out[2 * i + 1] = hex[bytes.ptr[i] & 15];
    }
    return (Str){out, 2 * bytes.len};
}
