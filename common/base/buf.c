#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { VARINT_BYTES_MAX = 10 };

void buf_init(Buf *buf, size_t bytes_max) {
    *buf = (Buf){.bytes_max = bytes_max};
}

void buf_done(Buf *buf) {
    free(buf->ptr);
    *buf = (Buf){.bytes_max = buf->bytes_max};
}

void buf_clear(Buf *buf) {
    buf->len = 0;
    buf->failed = false;
}

char *buf_reserve(Buf *buf, size_t bytes) {
    size_t need, capacity;
    char *grown;

    if (buf->failed) return NULL;
    if (bytes <= buf->capacity - buf->len) return buf->ptr + buf->len;
    if (__builtin_add_overflow(buf->len, bytes, &need) || need > SIZE_MAX / 2 ||
        (buf->bytes_max != 0 && need > buf->bytes_max)) {
        buf->failed = true;
        return NULL;
    }
    capacity = MAX(buf->capacity + buf->capacity / 2, 256);
    capacity = MAX(capacity, need);
    if (buf->bytes_max != 0) capacity = MIN(capacity, buf->bytes_max);
    grown = realloc(buf->ptr, capacity + 1); /* one more for the NUL that vsnprintf writes */
    if (grown == NULL) {
        buf->failed = true;
        return NULL;
    }
    buf->ptr = grown;
    buf->capacity = capacity;
    return grown + buf->len;
}

void buf_append(Buf *buf, const void *bytes, size_t len) {
    char *at;

    if (len == 0) return;
    at = buf_reserve(buf, len);
    if (at == NULL) return;
    memcpy(at, bytes, len);
    buf->len += len;
}

void buf_append_byte(Buf *buf, char byte) {
    char *at = buf_reserve(buf, 1);

    if (at == NULL) return;
    *at = byte;
    buf->len++;
}

void buf_append_str(Buf *buf, Str s) {
    buf_append(buf, s.ptr, s.len);
}

void buf_append_zeros(Buf *buf, size_t count) {
    char *at = buf_reserve(buf, count);

    if (at == NULL || count == 0) return;
    memset(at, 0, count);
    buf->len += count;
}

void buf_printf(Buf *buf, const char *format, ...) {
    size_t room = buf->ptr == NULL ? 0 : buf->capacity - buf->len + 1;
    va_list args, again;
    int len;

    if (buf->failed) return;
    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(room == 0 ? NULL : buf->ptr + buf->len, room, format, args);
    va_end(args);
    if (len < 0) {
        buf->failed = true;
    } else if ((size_t)len >= room) {
        char *at = buf_reserve(buf, (size_t)len);

        if (at != NULL) vsnprintf(at, (size_t)len + 1, format, again);
    }
    va_end(again);
    if (!buf->failed) buf->len += (size_t)len;
}

void buf_append_u16(Buf *buf, uint16_t v) {
    buf_append(buf, &v, sizeof v);
}

void buf_append_u32(Buf *buf, uint32_t v) {
    buf_append(buf, &v, sizeof v);
}

void buf_append_u64(Buf *buf, uint64_t v) {
    buf_append(buf, &v, sizeof v);
}

void buf_append_varint(Buf *buf, uint64_t v) {
    bool roomy = !buf->failed && buf->capacity - buf->len >= VARINT_BYTES_MAX;
    uint8_t small[VARINT_BYTES_MAX];
    uint8_t *at = roomy ? (uint8_t *)buf->ptr + buf->len : small;
    size_t n = 0;

    for (; v >= 0x80; v >>= 7) at[n++] = (uint8_t)(v | 0x80);
    at[n++] = (uint8_t)v;
    if (roomy)
        buf->len += n;
    else
        buf_append(buf, small, n);
}

void buf_append_zigzag(Buf *buf, int64_t v) {
    buf_append_varint(buf, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

void buf_append_base64(Buf *buf, Str bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = MIN(bytes.len - i, (size_t)3);
        uint32_t group = 0;

        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < left ? (uint8_t)bytes.ptr[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_append_byte(buf, k <= left ? digits[group >> (18 - 6 * k) & 63] : '=');
    }
}
