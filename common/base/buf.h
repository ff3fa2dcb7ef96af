#pragma once
/*
 * buf.h: a growing byte buffer on the heap, which states its largest size at birth.
 *
 * Appends never fail one by one: a buffer that ran out of memory or over its limit stays failed
 * and ignores what follows, and who uses the result asks buf_failed() once.
 */
#include "common/base/base.h"
#include "common/base/str.h"

typedef struct Buf {
    char *ptr;
    size_t len;
    size_t capacity;
    size_t bytes_max;
    bool failed;
} Buf;

void buf_init(Buf *buf, size_t bytes_max); /* 0: no limit */
void buf_done(Buf *buf);                   /* frees; the struct may be used again after buf_init */
void buf_clear(Buf *buf);                  /* empty and not failed, keeps the memory */
/* Makes room for `bytes` more and returns where they go; NULL when failed. Then buf_added(). */
char *buf_reserve(Buf *buf, size_t bytes);
static inline void buf_added(Buf *buf, size_t bytes) {
    assert(buf->len + bytes <= buf->capacity);
    buf->len += bytes;
}
void buf_append(Buf *buf, const void *bytes, size_t len);
void buf_append_byte(Buf *buf, char byte);
void buf_append_str(Buf *buf, Str s);
void buf_append_zeros(Buf *buf, size_t count);
void buf_printf(Buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
static inline bool buf_failed(const Buf *buf) {
    return buf->failed;
}
static inline Str buf_str(const Buf *buf) {
    return (Str){buf->ptr, buf->len};
}

/* Little endian and LEB128, as all our formats have them. */
void buf_append_u16(Buf *buf, uint16_t v);
void buf_append_u32(Buf *buf, uint32_t v);
void buf_append_u64(Buf *buf, uint64_t v);
void buf_append_varint(Buf *buf, uint64_t v);
void buf_append_zigzag(Buf *buf, int64_t v);

/* RFC 4648 section 4, with padding. */
void buf_append_base64(Buf *buf, Str bytes);
