#include "common/batch/labels.h"

#include <stdlib.h>

#include "common/base/reader.h"

const Str LABEL_NAME = STR_INIT("__name__");

enum { TAG_LABEL = 0x0a, TAG_NAME = 0x0a, TAG_VALUE = 0x12 };

static size_t varint_bytes(uint64_t v) {
    size_t n = 1;

    for (; v >= 0x80; v >>= 7) n++;
    return n;
}

/* A length in its shortest form. */
static bool read_length(Reader *r, size_t *out) {
    const uint8_t *start = r->at;
    uint64_t v = reader_varint(r);

    if (r->failed || v > UINT32_MAX || (size_t)(r->at - start) != varint_bytes(v)) return false;
    *out = (size_t)v;
    return true;
}

static bool read_label(Reader *r, LabelPair *out) {
    size_t all, name, value;
    const uint8_t *end;

    if (reader_u8(r) != TAG_LABEL || !read_length(r, &all) || all > reader_left(r)) return false;
    end = r->at + all;
    if (reader_u8(r) != TAG_NAME || !read_length(r, &name)) return false;
    out->name = reader_bytes(r, name);
    if (reader_u8(r) != TAG_VALUE || !read_length(r, &value) || value == 0) return false;
    out->value = reader_bytes(r, value);
    return !r->failed && r->at == end;
}

ErrCode labels_decode(Str bytes, Arena *arena, LabelPairs *out, Error *err) {
    Reader r = reader_of(bytes), scan = r;
    size_t count = 0;
    LabelPair *pairs;

    while (!reader_at_end(&scan)) {
        LabelPair pair;

        if (!read_label(&scan, &pair))
            return error_set(err, ERR_INVALID, "labels are not in canonical form");
        count++;
    }
    pairs = ARENA_ARRAY(arena, LabelPair, count);
    if (pairs == NULL) return error_set(err, ERR_LIMIT, "labels: out of memory");
    for (size_t i = 0; i < count; i++) {
        if (!read_label(&r, &pairs[i]) ||
            (i > 0 && str_compare(pairs[i - 1].name, pairs[i].name) >= 0))
            return error_set(err, ERR_INVALID, "labels are not in canonical form");
    }
    *out = (LabelPairs){pairs, count};
    return ERR_OK;
}

void labels_encode(LabelPairs labels, Buf *out) {
    for (size_t i = 0; i < labels.count; i++) {
        Str name = labels.pairs[i].name, value = labels.pairs[i].value;

        if (value.len == 0) continue;
        buf_append_byte(out, TAG_LABEL);
        buf_append_varint(out, 2 + varint_bytes(name.len) + name.len + varint_bytes(value.len) +
                                   value.len);
        buf_append_byte(out, TAG_NAME);
        buf_append_varint(out, name.len);
        buf_append_str(out, name);
        buf_append_byte(out, TAG_VALUE);
        buf_append_varint(out, value.len);
        buf_append_str(out, value);
    }
}

static int compare_names(const void *a, const void *b) {
    return str_compare(((const LabelPair *)a)->name, ((const LabelPair *)b)->name);
}

void labels_sort(LabelPair *pairs, size_t count) {
    if (count > 1) qsort(pairs, count, sizeof *pairs, compare_names);
}

Str labels_get(LabelPairs labels, Str name) {
    for (size_t i = 0; i < labels.count; i++)
        if (str_equal(labels.pairs[i].name, name)) return labels.pairs[i].value;
    return (Str){NULL, 0};
}

int labels_compare(LabelPairs a, LabelPairs b) {
    int order = str_compare(labels_get(a, LABEL_NAME), labels_get(b, LABEL_NAME));

    for (size_t i = 0; order == 0 && i < MIN(a.count, b.count); i++) {
        order = str_compare(a.pairs[i].name, b.pairs[i].name);
        if (order == 0) order = str_compare(a.pairs[i].value, b.pairs[i].value);
    }
    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}
