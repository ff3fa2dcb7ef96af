#pragma once
/*
 * write.h: writes protobuf's wire format into a Buf, whose failure is asked for once at the end.
 *
 * Values that are zero are written as well; proto3 lets a writer leave them out, and the caller
 * knows whether it wants to. A message within a message stands between wire_begin() and wire_end().
 */
#include "common/base/buf.h"
#include "proto/wire/wire.h"

static inline void wire_put_tag(Buf *out, uint32_t field, WireType type) {
    buf_append_varint(out, WIRE_TAG(field, type));
}

static inline void wire_put_varint(Buf *out, uint32_t field, uint64_t v) {
    wire_put_tag(out, field, WIRE_VARINT);
    buf_append_varint(out, v);
}

static inline void wire_put_int64(Buf *out, uint32_t field, int64_t v) {
    wire_put_varint(out, field, (uint64_t)v);
}

static inline void wire_put_sint64(Buf *out, uint32_t field, int64_t v) {
    wire_put_varint(out, field, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static inline void wire_put_double(Buf *out, uint32_t field, double v) {
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    wire_put_tag(out, field, WIRE_FIXED64);
    buf_append_u64(out, bits);
}

static inline void wire_put_bytes(Buf *out, uint32_t field, Str bytes) {
    wire_put_tag(out, field, WIRE_BYTES);
    buf_append_varint(out, bytes.len);
    buf_append_str(out, bytes);
}

/* Opens a message; what follows is its content until wire_end(out, <what this returned>). One byte
 * is set aside for the length, since most messages within messages are short. */
static inline size_t wire_begin(Buf *out, uint32_t field) {
    wire_put_tag(out, field, WIRE_BYTES);
    buf_append_byte(out, 0);
    return out->len;
}

static inline void wire_end(Buf *out, size_t start) {
    size_t len, more;

    if (buf_failed(out)) return;
    assert(start > 0 && start <= out->len);
    len = out->len - start;
    more = wire_varint_len(len) - 1;
    if (more > 0) {
        buf_append_zeros(out, more);
        if (buf_failed(out)) return;
        memmove(out->ptr + start + more, out->ptr + start, len);
    }
    for (size_t i = 0; i <= more; i++)
        out->ptr[start - 1 + i] = (char)((len >> (7 * i) & 0x7f) | (i < more ? 0x80 : 0));
}
