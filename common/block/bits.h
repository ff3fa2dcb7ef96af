#pragma once
/*
 * bits.h: unsigned integers of one width, packed side by side, lowest bit first.
 */
#include "common/base/base.h"

/* Bytes that `count` integers of `width` bits take. */
static inline size_t bits_bytes(size_t count, unsigned width) {
    return (count * width + 7) / 8;
}

/* Bits that `v` needs; 0 for 0. */
static inline unsigned bits_width(uint64_t v) {
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

/* Writes bits_bytes(count, width) bytes at `out`; all of v[] must be below 2^width. */
void bits_pack(const uint64_t *v, size_t count, unsigned width, uint8_t *out);

/* What bits_unpack() writes to may also be read as doubles. */
typedef uint64_t __attribute__((may_alias)) BitsWord;

/* Reads exactly bits_bytes(count, width) bytes, not one more. `width` is at most 64. */
void bits_unpack(const uint8_t *bytes, size_t count, unsigned width, BitsWord *out);
