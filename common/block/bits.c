/*
 * bits.c: packing and unpacking of integers of one width.
 *
 * Eight integers of w bits are w whole bytes, so within a group of eight every offset and shift is
 * a constant once w is one. There is one unpacking loop for each width up to 56, the widest for
 * which an integer always lies within eight bytes from its first; what is wider is rare and slow.
 */
#include "common/block/bits.h"

#include <string.h>

enum { GROUP = 8, FAST_WIDTH_MAX = 56 };

void bits_pack(const uint64_t *v, size_t count, unsigned width, uint8_t *out) {
    uint64_t pending = 0;
    unsigned used = 0;

    if (width == 0) return;
    for (size_t i = 0; i < count; i++) {
        pending |= v[i] << used;
        used += width;
        if (used >= 64) {
            memcpy(out, &pending, 8);
            out += 8;
            used -= 64;
            /* What of v[i] did not fit; nothing when it fitted exactly. */
            pending = used == 0 ? 0 : v[i] >> (width - used);
        }
    }
    memcpy(out, &pending, (used + 7) / 8);
}

/* Reads `groups` groups, and up to seven bytes behind the last. */
static inline __attribute__((always_inline)) void unpack_groups(const uint8_t *bytes, size_t groups,
                                                                unsigned width, BitsWord *out) {
    const uint64_t mask = (UINT64_C(1) << width) - 1;

    for (size_t g = 0; g < groups; g++) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < GROUP; i++) {
            uint64_t word;

            memcpy(&word, bytes + i * width / 8, sizeof word);
            out[i] = word >> (i * width % 8) & mask;
        }
        bytes += width;
        out += GROUP;
    }
}

#define WIDTHS(X)                                                                                  \
    X(1)                                                                                           \
    X(2)                                                                                           \
    X(3)                                                                                           \
    X(4)                                                                                           \
    X(5)                                                                                           \
    X(6)                                                                                           \
    X(7)                                                                                           \
    X(8)                                                                                           \
    X(9)                                                                                           \
    X(10)                                                                                          \
    X(11)                                                                                          \
    X(12)                                                                                          \
    X(13)                                                                                          \
    X(14)                                                                                          \
    X(15)                                                                                          \
    X(16)                                                                                          \
    X(17)                                                                                          \
    X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32)      \
        X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) X(41) X(42) X(43) X(44) X(45) X(46) X(47)  \
            X(48) X(49) X(50) X(51) X(52) X(53) X(54) X(55) X(56)

#define UNPACK_FUNCTION(w)                                                                         \
    static void unpack_##w(const uint8_t *bytes, size_t groups, BitsWord *out) {                   \
        unpack_groups(bytes, groups, w, out);                                                      \
    }
WIDTHS(UNPACK_FUNCTION)

#define UNPACK_ENTRY(w) [w] = unpack_##w,
static void (*const UNPACK[FAST_WIDTH_MAX + 1])(const uint8_t *bytes, size_t groups,
                                                BitsWord *out) = {WIDTHS(UNPACK_ENTRY)};

/* The last groups, from a copy with room behind it. */
static void unpack_tail(const uint8_t *bytes, size_t size, size_t count, unsigned width,
                        BitsWord *out) {
    uint8_t padded[2 * FAST_WIDTH_MAX + 8] = {0};
    BitsWord words[(GROUP + 1) * GROUP];

    memcpy(padded, bytes, size);
    UNPACK[width](padded, (count + GROUP - 1) / GROUP, words);
    memcpy(out, words, count * sizeof *out);
}

static void unpack_wide(const uint8_t *bytes, size_t count, unsigned width, BitsWord *out) {
    const uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    size_t size = bits_bytes(count, width);

    for (size_t i = 0; i < count; i++) {
        size_t bit = i * width, at = bit / 8;
        uint8_t window[9] = {0};
        uint64_t low;

        memcpy(window, bytes + at, MIN(sizeof window, size - at));
        memcpy(&low, window, sizeof low);
        low >>= bit % 8;
        if (bit % 8 != 0) low |= (uint64_t)window[8] << (64 - bit % 8);
        out[i] = low & mask;
    }
}

void bits_unpack(const uint8_t *bytes, size_t count, unsigned width, BitsWord *out) {
    size_t size = bits_bytes(count, width), groups = 0, done;

    assert(width <= 64);
    if (count == 0) return;
    if (width == 0) {
        memset(out, 0, count * sizeof *out);
        return;
    }
    if (width > FAST_WIDTH_MAX) {
        unpack_wide(bytes, count, width, out);
        return;
    }
    /* A group reads up to seven bytes past its own, so the last ones are read from elsewhere. */
    if (size > 7) groups = MIN(count / GROUP, (size - 7) / width);
    UNPACK[width](bytes, groups, out);
    done = groups * GROUP;
    if (done < count)
        unpack_tail(bytes + groups * width, size - groups * width, count - done, width, out + done);
}
