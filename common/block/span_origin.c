/*
 * span_origin.c: origins as bytes, and back.
 */
#include "common/block/span_origin.h"

#include <string.h>

#include "common/block/span_build.h"

/* ---------- to bytes ---------- */

static void put_text(Buf *out, Str text) {
    buf_append_varint(out, text.len);
    buf_append_str(out, text);
}

static void put_elements(Buf *out, const Attribute *a) {
    buf_append_varint(out, a->count);
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->type == ATTRIBUTE_STRINGS) put_text(out, a->texts[i]);
        if (a->type == ATTRIBUTE_BOOLS) buf_append_byte(out, a->truths[i] ? 1 : 0);
        if (a->type == ATTRIBUTE_INTS) buf_append_zigzag(out, a->integers[i]);
        if (a->type == ATTRIBUTE_DOUBLES) buf_append(out, &a->numbers[i], sizeof a->numbers[i]);
    }
}

static void put_attributes(Buf *out, const Attributes *attributes) {
    buf_append_varint(out, attributes->count);
    buf_append_varint(out, attributes->dropped);
    for (uint32_t i = 0; i < attributes->count; i++) {
        const Attribute *a = &attributes->items[i];

        put_text(out, a->key);
        buf_append_byte(out, (char)a->type);
        if (a->type == ATTRIBUTE_BOOL)
            buf_append_byte(out, a->truth ? 1 : 0);
        else if (a->type == ATTRIBUTE_INT)
            buf_append_zigzag(out, a->integer);
        else if (a->type == ATTRIBUTE_DOUBLE)
            buf_append(out, &a->number, sizeof a->number);
        else if (attribute_is_array(a->type))
            put_elements(out, a);
        else
            put_text(out, a->text);
    }
}

void span_resource_put(const SpanOrigin *origin, Buf *out) {
    put_attributes(out, &origin->resource);
    put_text(out, origin->resource_schema);
}

void span_scope_put(const SpanOrigin *origin, Buf *out) {
    put_text(out, origin->scope_name);
    put_text(out, origin->scope_version);
    put_attributes(out, &origin->scope);
    put_text(out, origin->scope_schema);
}

/* ---------- from bytes ---------- */

static bool take_texts(Reader *r, Arena *arena, Attribute *out) {
    Str *texts = ARENA_ARRAY(arena, Str, out->count + (size_t)1);

    if (texts == NULL) return false;
    for (uint32_t i = 0; i < out->count; i++) texts[i] = reader_prefixed(r);
    out->texts = texts;
    return true;
}

static bool take_truths(Reader *r, Arena *arena, Attribute *out) {
    bool *truths = ARENA_ARRAY(arena, bool, out->count + (size_t)1);

    if (truths == NULL) return false;
    for (uint32_t i = 0; i < out->count; i++) truths[i] = reader_u8(r) != 0;
    out->truths = truths;
    return true;
}

static bool take_integers(Reader *r, Arena *arena, Attribute *out) {
    int64_t *integers = ARENA_ARRAY(arena, int64_t, out->count + (size_t)1);

    if (integers == NULL) return false;
    for (uint32_t i = 0; i < out->count; i++) integers[i] = reader_zigzag(r);
    out->integers = integers;
    return true;
}

static bool take_numbers(Reader *r, Arena *arena, Attribute *out) {
    double *numbers = ARENA_ARRAY(arena, double, out->count + (size_t)1);

    if (numbers == NULL) return false;
    for (uint32_t i = 0; i < out->count; i++) numbers[i] = reader_double(r);
    out->numbers = numbers;
    return true;
}

/* False: out of memory. What is wrong with the bytes is in `r`. */
static bool take_elements(Reader *r, Arena *arena, Attribute *out) {
    uint64_t count = reader_varint(r);

    /* Each takes a byte at least. */
    if (count > reader_left(r)) {
        r->failed = true;
        return true;
    }
    out->count = (uint32_t)count;
    if (out->type == ATTRIBUTE_STRINGS) return take_texts(r, arena, out);
    if (out->type == ATTRIBUTE_BOOLS) return take_truths(r, arena, out);
    if (out->type == ATTRIBUTE_INTS) return take_integers(r, arena, out);
    return take_numbers(r, arena, out);
}

static bool take_attribute(Reader *r, Arena *arena, Attribute *out) {
    out->key = reader_prefixed(r);
    out->type = reader_u8(r);
    if (out->type == 0 || out->type >= ATTRIBUTE_TYPES)
        r->failed = true;
    else if (out->type == ATTRIBUTE_BOOL)
        out->truth = reader_u8(r) != 0;
    else if (out->type == ATTRIBUTE_INT)
        out->integer = reader_zigzag(r);
    else if (out->type == ATTRIBUTE_DOUBLE)
        out->number = reader_double(r);
    else if (attribute_is_array(out->type))
        return take_elements(r, arena, out);
    else
        out->text = reader_prefixed(r);
    return true;
}

static bool take_attributes(Reader *r, Arena *arena, Attributes *out) {
    uint64_t count = reader_varint(r), dropped = reader_varint(r);
    Attribute *items;

    /* A key's length, a type and a byte of a value. */
    if (count > reader_left(r) / 3 || dropped > UINT32_MAX) {
        r->failed = true;
        return true;
    }
    items = ARENA_ARRAY(arena, Attribute, count + 1);
    if (items == NULL) return false;
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        if (!take_attribute(r, arena, &items[i])) return false;
    }
    *out = (Attributes){items, (uint32_t)count, (uint32_t)dropped};
    return true;
}

static Str service_of(const Attributes *resource) {
    for (uint32_t i = 0; i < resource->count; i++) {
        const Attribute *a = &resource->items[i];

        if (str_equal(a->key, STR("service.name")))
            return a->type == ATTRIBUTE_STRING ? a->text : (Str){"", 0};
    }
    return (Str){"", 0};
}

bool span_resource_take(Reader *r, Arena *arena, SpanOrigin *out) {
    if (!take_attributes(r, arena, &out->resource)) return false;
    out->resource_schema = reader_prefixed(r);
    if (!r->failed) out->service = service_of(&out->resource);
    return true;
}

bool span_scope_take(Reader *r, Arena *arena, SpanOrigin *out) {
    out->scope_name = reader_prefixed(r);
    out->scope_version = reader_prefixed(r);
    if (!take_attributes(r, arena, &out->scope)) return false;
    out->scope_schema = reader_prefixed(r);
    return true;
}
