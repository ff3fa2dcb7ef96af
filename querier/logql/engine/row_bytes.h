#pragma once
/*
 * row_bytes.h: where a text ends, sixteen bytes at a time where the processor can. Lines are short
 * and their fields shorter: a call of memchr() for each would cost more than it finds.
 * Nothing outside [at, end) is read.
 */
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/base/base.h"

/* The first `"` or `\`, or `end`. *high: a byte before it is not ASCII; else left as it is. */
static inline const char *bytes_to_quote(const char *at, const char *end, bool *high) {
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');

    for (; end - at >= 16; at += 16) {
        __m128i text = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned tops = (unsigned)_mm_movemask_epi8(text);
        unsigned found = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, slash)));

        if (found != 0) {
            /* Bits below the lowest one of `found`. */
            if ((tops & (found - 1) & ~found) != 0) *high = true;
            return at + __builtin_ctz(found);
        }
        if (tops != 0) *high = true;
    }
#endif
    for (; at < end && *at != '"' && *at != '\\'; at++)
        if ((unsigned char)*at >= 0x80) *high = true;
    return at;
}

/* The first space, control, `=` or `"`, or `end`. *high as above. */
static inline const char *bytes_to_stop(const char *at, const char *end, bool *high) {
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), equal = _mm_set1_epi8('='),
                  space = _mm_set1_epi8(' ');

    for (; end - at >= 16; at += 16) {
        __m128i text = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i small = _mm_cmpeq_epi8(_mm_min_epu8(text, space), text);
        __m128i stops = _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, equal));
        unsigned tops = (unsigned)_mm_movemask_epi8(text);
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(small, stops));

        if (found != 0) {
            if ((tops & (found - 1) & ~found) != 0) *high = true;
            return at + __builtin_ctz(found);
        }
        if (tops != 0) *high = true;
    }
#endif
    for (; at < end && (unsigned char)*at > ' ' && *at != '=' && *at != '"'; at++)
        if ((unsigned char)*at >= 0x80) *high = true;
    return at;
}

#ifdef __SSE2__
/* Which of 64 bytes are `c`. */
static inline uint64_t bytes_equal(const __m128i block[4], char c) {
    const __m128i wanted = _mm_set1_epi8(c);
    uint64_t found = 0;

    for (int i = 0; i < 4; i++)
        found |= (uint64_t)(uint16_t)_mm_movemask_epi8(_mm_cmpeq_epi8(block[i], wanted))
                 << (16 * i);
    return found;
}

/* Each bit becomes the sum, of one bit, of those up to it: quotes become what they enclose. */
static inline uint64_t bytes_between(uint64_t quotes) {
    for (int i = 1; i < 64; i *= 2) quotes ^= quotes << i;
    return quotes;
}
#endif
