#pragma once
/*
 * span_text.h: hashing and comparing of short texts, which is most of what building a table of
 * spans does. Private to common/block.
 *
 * Eight bytes at a time, the last ones overlapping: two words are multiplied to 128 bits, of which
 * the halves are added. Who doesn't know the seed can't tell which texts collide. Not for disk.
 */
#include "common/base/hash.h"

enum { SHORT_TEXT_MAX = 64 };

static inline uint64_t text_word(const char *at) {
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* Up to seven bytes: each is somewhere in the word, and so, above them, is their number. */
static inline uint64_t text_few(const char *at, size_t len) {
    uint32_t low, high;

    if (len >= 4) {
        memcpy(&low, at, sizeof low);
        memcpy(&high, at + len - 4, sizeof high);
        return low | (uint64_t)high << 32;
    }
    if (len == 0) return 0;
    return (uint64_t)(uint8_t)at[0] | (uint64_t)(uint8_t)at[len / 2] << 8 |
           (uint64_t)(uint8_t)at[len - 1] << 16;
}

static inline uint64_t text_fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t text_hash(Str text, uint64_t seed) {
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15), other = UINT64_C(0xd6e8feb86659fd93);
    uint64_t sum = seed ^ odd, mixed = seed ^ text.len * other;

    if (text.len > SHORT_TEXT_MAX) return hash_bytes_seeded(text.ptr, text.len, seed);
    if (text.len < 8) {
        sum ^= text_few(text.ptr, text.len);
        return text_fold(text_fold(sum, mixed | 1) ^ odd, other);
    }
    for (size_t at = 0; at + 16 < text.len; at += 16)
        mixed = text_fold(text_word(text.ptr + at) ^ sum, text_word(text.ptr + at + 8) ^ mixed);
    mixed ^= text_word(text.ptr + text.len - 8);
    if (text.len > 8) sum ^= text_word(text.ptr + (text.len > 16 ? text.len - 16 : 0));
    return text_fold(text_fold(sum, mixed) ^ odd, other);
}

static inline bool text_equal(Str a, Str b) {
    if (a.len != b.len) return false;
    if (a.len < 8) return text_few(a.ptr, a.len) == text_few(b.ptr, b.len);
    if (a.len > 16) return memcmp(a.ptr, b.ptr, a.len) == 0;
    return ((text_word(a.ptr) ^ text_word(b.ptr)) |
            (text_word(a.ptr + a.len - 8) ^ text_word(b.ptr + b.len - 8))) == 0;
}
