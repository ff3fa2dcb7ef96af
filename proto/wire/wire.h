#pragma once
/*
 * wire.h: reads protobuf's wire format where it lies, for the messages that are too hot for
 * generated code. https://protobuf.dev/programming-guides/encoding/
 *
 * A WireReader is a window into bytes that somebody else owns; texts come out as slices of them.
 * Every function that can fail says so, never reads outside the window, and leaves a reader that
 * failed in no state to go on with. What is refused is what protobuf-c refuses: groups, tags and
 * lengths of more than five bytes, varints of more than ten; and field numbers outside 1 to 2^29-1.
 */
#include "common/base/base.h"
#include "common/base/str.h"

typedef struct WireReader {
    const uint8_t *at;
    const uint8_t *end;
} WireReader;

typedef enum WireType {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2, /* texts, messages and packed numbers */
    WIRE_FIXED32 = 5,
} WireType;

/* A field's number and type in one number, as the wire has it: for `switch`. */
#define WIRE_TAG(field, type) ((uint32_t)(field) << 3 | (uint32_t)(type))

static inline WireReader wire_reader(Str bytes) {
    const uint8_t *at = (const uint8_t *)bytes.ptr;

    return (WireReader){at, bytes.len == 0 ? at : at + bytes.len}; /* nothing is added to NULL */
}

static inline bool wire_at_end(const WireReader *r) {
    return r->at == r->end;
}

static inline size_t wire_left(const WireReader *r) {
    return (size_t)(r->end - r->at);
}

/* Up to `bytes_max` bytes of LEB128; bits past the 64th fall off, as everywhere. */
static inline bool wire_varint_slow(WireReader *r, unsigned bytes_max, uint64_t *out) {
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes_max && r->at < r->end; i++) {
        uint8_t byte = *r->at++;

        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

/* The first byte settles most varints. */
static inline bool wire_varint(WireReader *r, uint64_t *out) {
    if (LIKELY(r->at < r->end && *r->at < 0x80)) {
        *out = *r->at++;
        return true;
    }
    return wire_varint_slow(r, 10, out);
}

static inline bool wire_tag(WireReader *r, uint32_t *out) {
    uint64_t v;

    if (LIKELY(r->at < r->end && *r->at < 0x80)) {
        v = *r->at++;
    } else if (!wire_varint_slow(r, 5, &v)) {
        return false;
    }
    *out = (uint32_t)v;
    return v <= UINT32_MAX && v >> 3 != 0;
}

static inline bool wire_bytes(WireReader *r, Str *out) {
    uint64_t len;

    if (LIKELY(r->at < r->end && *r->at < 0x80)) {
        len = *r->at++;
    } else if (!wire_varint_slow(r, 5, &len)) {
        return false;
    }
    if (UNLIKELY(len > wire_left(r) || len > INT32_MAX)) return false;
    *out = (Str){(const char *)r->at, (size_t)len};
    r->at += len;
    return true;
}

/* A message within this one. */
static inline bool wire_message(WireReader *r, WireReader *out) {
    Str bytes;

    if (!wire_bytes(r, &bytes)) return false;
    *out = wire_reader(bytes);
    return true;
}

static inline bool wire_fixed64(WireReader *r, uint64_t *out) {
    if (UNLIKELY(wire_left(r) < sizeof *out)) return false;
    memcpy(out, r->at, sizeof *out);
    r->at += sizeof *out;
    return true;
}

static inline bool wire_double(WireReader *r, double *out) {
    uint64_t bits;

    if (!wire_fixed64(r, &bits)) return false;
    memcpy(out, &bits, sizeof *out);
    return true;
}

static inline bool wire_int64(WireReader *r, int64_t *out) {
    uint64_t v;

    if (!wire_varint(r, &v)) return false;
    *out = (int64_t)v;
    return true;
}

/* uint32, int32 and enum fields: what does not fit is cut off, as generated code does. */
static inline bool wire_uint32(WireReader *r, uint32_t *out) {
    uint64_t v;

    if (!wire_varint(r, &v)) return false;
    *out = (uint32_t)v;
    return true;
}

static inline int64_t wire_unzigzag(uint64_t v) {
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline bool wire_sint64(WireReader *r, int64_t *out) {
    uint64_t v;

    if (!wire_varint(r, &v)) return false;
    *out = wire_unzigzag(v);
    return true;
}

static inline bool wire_sint32(WireReader *r, int32_t *out) {
    uint64_t v;

    if (!wire_varint(r, &v)) return false;
    *out = (int32_t)wire_unzigzag((uint32_t)v);
    return true;
}

/* Passes over the value of a field that nobody asked for. */
static inline bool wire_skip(WireReader *r, uint32_t tag) {
    uint64_t number;
    Str bytes;

    switch (tag & 7) {
    case WIRE_VARINT:
        return wire_varint(r, &number);
    case WIRE_FIXED64:
        return wire_fixed64(r, &number);
    case WIRE_BYTES:
        return wire_bytes(r, &bytes);
    case WIRE_FIXED32:
        if (wire_left(r) < 4) return false;
        r->at += 4;
        return true;
    default:
        return false; /* groups went out with proto2; 6 and 7 never were */
    }
}

/* How many bytes a varint takes at least. */
static inline size_t wire_varint_len(uint64_t v) {
    return v == 0 ? 1 : (size_t)(63 - __builtin_clzll(v)) / 7 + 1;
}
