/*
 * chunks.c: what stands between the pieces of a chunked body (RFC 9112, 7.1). Strict: http-parser,
 * as Debian builds it, doesn't look at the line ends behind a chunk, and a server that takes others
 * than a proxy in front of it does can be made to see another request there.
 */
#include "common/net/internal.h"

enum { DIGITS_MAX = 16 };

static int hex_digit(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(unsigned char c) {
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static ChunkState after_size(Chunks *chunks) {
    return chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START;
}

static ChunkState next_state(Chunks *chunks, unsigned char c) {
    int digit;

    switch (chunks->state) {
    case CHUNK_SIZE:
        digit = hex_digit(c);
        if (digit >= 0) {
            if (++chunks->digits > DIGITS_MAX) return CHUNK_BAD;
            chunks->left = chunks->left << 4 | (unsigned)digit;
            return CHUNK_SIZE;
        }
        if (chunks->digits == 0) return CHUNK_BAD;
        if (c == '\r') return CHUNK_SIZE_LF;
        return c == ';' || c == ' ' || c == '\t' ? CHUNK_EXTENSION : CHUNK_BAD;
    case CHUNK_EXTENSION:
        if (c == '\r') return CHUNK_SIZE_LF;
        return is_text(c) ? CHUNK_EXTENSION : CHUNK_BAD;
    case CHUNK_SIZE_LF:
        return c == '\n' ? after_size(chunks) : CHUNK_BAD;
    case CHUNK_DATA:
        return c == '\r' ? CHUNK_DATA_LF : CHUNK_BAD; /* the data has been taken */
    case CHUNK_DATA_LF:
        chunks->digits = 0;
        return c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
    case CHUNK_TRAILER_START:
        if (c == '\r') return CHUNK_END_LF;
        return is_text(c) ? CHUNK_TRAILER : CHUNK_BAD;
    case CHUNK_TRAILER:
        if (c == '\r') return CHUNK_TRAILER_LF;
        return is_text(c) ? CHUNK_TRAILER : CHUNK_BAD;
    case CHUNK_TRAILER_LF:
        return c == '\n' ? CHUNK_TRAILER_START : CHUNK_BAD;
    case CHUNK_END_LF:
        return c == '\n' ? CHUNK_DONE : CHUNK_BAD;
    case CHUNK_DONE:
    case CHUNK_BAD:
        break;
    }
    return chunks->state;
}

size_t chunks_read(Chunks *chunks, const char *bytes, size_t len) {
    size_t used = 0;

    while (used < len && chunks->state != CHUNK_BAD && chunks->state != CHUNK_DONE) {
        if (chunks->state == CHUNK_DATA && chunks->left > 0) break;
        chunks->state = next_state(chunks, (unsigned char)bytes[used++]);
    }
    return used;
}
