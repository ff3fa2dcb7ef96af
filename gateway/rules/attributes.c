/*
 * attributes.c: the attributes of a resource, span, record or point, read and written as messages,
 * and everything else of the message left as it is.
 */
#include "gateway/rules/internal.h"

enum { TAG_KEY = 0x0a, TAG_VALUE = 0x12 };

static ErrCode malformed(Error *err) {
    return error_set(err, ERR_CORRUPT, "the body is not OTLP: attributes can't be read");
}

static bool read_key_value(Str whole, RuleAttribute *out) {
    WireReader r = wire_reader(whole);
    uint32_t tag;

    *out = (RuleAttribute){.key = STR(""), .value = STR(""), .whole = whole};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&r, &out->key)
              : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_bytes(&r, &out->value)
                                               : wire_skip(&r, tag)))
            return false;
    }
    return true;
}

ErrCode rule_attributes_read(Str message, uint32_t number, Arena *arena, RuleAttributes *out,
                             Error *err) {
    WireReader r = wire_reader(message);
    uint32_t tag;
    Str whole;

    *out = (RuleAttributes){0};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err);
        if (tag != WIRE_TAG(number, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err);
            continue;
        }
        if (!wire_bytes(&r, &whole)) return malformed(err);
        if (out->count == out->capacity) {
            size_t capacity = MAX(out->capacity * 2, (size_t)16);

            out->items = arena_grow(arena, out->items, out->capacity * sizeof *out->items,
                                    capacity * sizeof *out->items);
            if (out->items == NULL) return error_set(err, ERR_LIMIT, "out of memory");
            out->capacity = capacity;
        }
        if (!read_key_value(whole, &out->items[out->count++])) return malformed(err);
    }
    return ERR_OK;
}

static void write_attribute(uint32_t number, const RuleAttribute *attribute, Buf *out) {
    size_t bytes;

    buf_append_varint(out, WIRE_TAG(number, WIRE_BYTES));
    if (attribute->whole.ptr != NULL) {
        buf_append_varint(out, attribute->whole.len);
        buf_append_str(out, attribute->whole);
        return;
    }
    bytes = 1 + wire_varint_len(attribute->key.len) + attribute->key.len + 1 +
            wire_varint_len(attribute->value.len) + attribute->value.len;
    buf_append_varint(out, bytes);
    buf_append_byte(out, TAG_KEY);
    buf_append_varint(out, attribute->key.len);
    buf_append_str(out, attribute->key);
    buf_append_byte(out, TAG_VALUE);
    buf_append_varint(out, attribute->value.len);
    buf_append_str(out, attribute->value);
}

ErrCode rule_attributes_write(Str message, uint32_t number, const RuleAttributes *attributes,
                              Buf *out, Error *err) {
    WireReader r = wire_reader(message);
    const uint8_t *from = r.at;
    uint32_t tag;

    /* Fields that stay are copied in as few pieces as there are. */
    while (!wire_at_end(&r)) {
        const uint8_t *begin = r.at;

        if (!wire_tag(&r, &tag) || !wire_skip(&r, tag)) return malformed(err);
        if (tag != WIRE_TAG(number, WIRE_BYTES)) continue;
        if (begin > from) buf_append(out, from, (size_t)(begin - from));
        from = r.at;
    }
    if (r.at > from) buf_append(out, from, (size_t)(r.at - from));
    for (size_t i = 0; i < attributes->count; i++)
        write_attribute(number, &attributes->items[i], out);
    return buf_failed(out) ? error_set(err, ERR_LIMIT, "out of memory") : ERR_OK;
}

RuleAttribute *rule_attribute_find(const RuleAttributes *attributes, Str key) {
    for (size_t i = 0; i < attributes->count; i++)
        if (str_equal(attributes->items[i].key, key)) return &attributes->items[i];
    return NULL;
}
