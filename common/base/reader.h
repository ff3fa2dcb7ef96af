#pragma once
/*
 * reader.h: takes bytes apart that somebody else put together. Never reads outside; a reader that
 * ran over its end stays failed and hands out zeros, so a parser may check once at the end of a
 * group, but before it uses a count to allocate or loop.
 */
#include "common/base/base.h"
#include "common/base/str.h"

typedef struct Reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} Reader;

static inline Reader reader_of(Str bytes) {
    return (Reader){(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len, false};
}

static inline size_t reader_left(const Reader *r) {
    return (size_t)(r->end - r->at);
}

static inline bool reader_at_end(const Reader *r) {
    return r->at == r->end;
}

static inline uint8_t reader_u8(Reader *r) {
    if (UNLIKELY(r->at == r->end)) {
        r->failed = true;
        return 0;
    }
    return *r->at++;
}

static inline bool reader_has(Reader *r, size_t bytes) {
    if (LIKELY(reader_left(r) >= bytes)) return true;
    r->failed = true;
    r->at = r->end;
    return false;
}

static inline uint16_t reader_u16(Reader *r) {
    uint16_t v = 0;

    if (!reader_has(r, sizeof v)) return 0;
    memcpy(&v, r->at, sizeof v);
    r->at += sizeof v;
    return v;
}

static inline uint32_t reader_u32(Reader *r) {
    uint32_t v = 0;

    if (!reader_has(r, sizeof v)) return 0;
    memcpy(&v, r->at, sizeof v);
    r->at += sizeof v;
    return v;
}

static inline uint64_t reader_u64(Reader *r) {
    uint64_t v = 0;

    if (!reader_has(r, sizeof v)) return 0;
    memcpy(&v, r->at, sizeof v);
    r->at += sizeof v;
    return v;
}

static inline double reader_double(Reader *r) {
    uint64_t bits = reader_u64(r);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* LEB128, at most 10 bytes; a longer one fails. */
static inline uint64_t reader_varint(Reader *r) {
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);

        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) return UNLIKELY(r->failed) ? 0 : v; /* the end gave a 0, too */
    }
    r->failed = true;
    r->at = r->end;
    return 0;
}

static inline int64_t reader_zigzag(Reader *r) {
    uint64_t v = reader_varint(r);

    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline Str reader_bytes(Reader *r, size_t len) {
    Str s = {(const char *)r->at, len};

    if (!reader_has(r, len)) return (Str){(const char *)r->end, 0};
    r->at += len;
    return s;
}

/* A length (varint), then that many bytes. */
static inline Str reader_prefixed(Reader *r) {
    uint64_t len = reader_varint(r);

    if (len > reader_left(r)) {
        r->failed = true;
        r->at = r->end;
        return (Str){(const char *)r->end, 0};
    }
    return reader_bytes(r, (size_t)len);
}
