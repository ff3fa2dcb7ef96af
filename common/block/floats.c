/*
 * floats.c: doubles as integers. The mapping is in the tag of the integer column: 0 to 14 is the
 * decimal exponent e, 15 stands for the ordered bits. Exceptions follow the column: varint count,
 * then for each the varint gap of its index from the one after the exception before, and 8 bytes.
 *
 * Dividing by 10^e is exact in the sense that counts: up to 10^22 the divisor is a double, and IEEE
 * division rounds to the double nearest to the decimal number, which is the one a parser makes of
 * its digits. Multiplying by 10^-e would not do.
 */
#include "common/block/floats.h"

#include <math.h>
#include <string.h>

#include "common/block/selection.h"

enum { DECIMALS_MAX = 14, MAPPING_BITS = 15 };

static const double POWER[DECIMALS_MAX + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                               1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
static const double WHOLE_MAX = 9007199254740992.0; /* 2^53 */

static uint64_t bits_of(double v) {
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* ---------- encoding ---------- */

static bool is_decimal(double v, unsigned e) {
    double scaled = rint(v * POWER[e]);

    /* No integer gives -0 back. */
    return fabs(scaled) <= WHOLE_MAX && bits_of(scaled / POWER[e]) == bits_of(v) &&
           bits_of(v) != bits_of(-0.0);
}

/* The number of decimals that all but a few values need; MAPPING_BITS when too many need more than
 * a double can be asked for. */
static unsigned find_decimals(const double *v, size_t count) {
    size_t failures = 0, failures_max = count / 8;
    unsigned decimals = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned e = decimals;

        if (is_decimal(v[i], e)) continue;
        if (isfinite(v[i]) && v[i] != 0) {
            while (e < DECIMALS_MAX && !is_decimal(v[i], e + 1)) e++;
            if (e < DECIMALS_MAX) {
                decimals = e + 1;
                continue;
            }
        }
        if (++failures > failures_max) return MAPPING_BITS;
    }
    return decimals;
}

/* Scales all values. Exceptions repeat the integer before them and have their index put into
 * where[]; false when they are too many. */
static bool scale(const double *v, size_t count, unsigned decimals, int64_t *out, uint16_t *where,
                  size_t *exceptions) {
    size_t failures = 0;
    int64_t last = 0;

    for (size_t i = 0; i < count; i++) {
        if (LIKELY(is_decimal(v[i], decimals))) {
            last = (int64_t)rint(v[i] * POWER[decimals]);
            /* The first integer stands for exceptions before it as well. */
            if (failures == i) {
                for (size_t j = 0; j < i; j++) out[j] = last;
            }
        } else {
            if (failures == count / 8) return false;
            where[failures++] = (uint16_t)i;
        }
        out[i] = last;
    }
    *exceptions = failures;
    return true;
}

static uint8_t *put_varint(uint8_t *at, uint64_t v) {
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

static uint8_t *put_exceptions(uint8_t *at, const double *v, const uint16_t *where, size_t count) {
    size_t next = 0;

    at = put_varint(at, count);
    for (size_t i = 0; i < count; i++) {
        at = put_varint(at, where[i] - next);
        memcpy(at, &v[where[i]], sizeof *v);
        at += sizeof *v;
        next = where[i] + 1u;
    }
    return at;
}

/* The bits as an integer that is larger for the larger number; its own inverse. */
static int64_t order_bits(uint64_t bits) {
    int64_t v = (int64_t)bits;

    return v ^ (v >> 63 & INT64_MAX);
}

static size_t encode_bits(const double *v, size_t count, uint8_t *out) {
    int64_t ordered[COLUMN_ITEMS_MAX];

    for (size_t i = 0; i < count; i++) ordered[i] = order_bits(bits_of(v[i]));
    return ints_encode(ordered, count, (IntsTag){.mapping = MAPPING_BITS}, out);
}

size_t floats_encode(const double *v, size_t count, uint8_t *out) {
    uint16_t where[COLUMN_ITEMS_MAX / 8];
    int64_t scaled[COLUMN_ITEMS_MAX];
    size_t exceptions = 0, bytes;
    unsigned decimals;

    assert(count > 0 && count <= COLUMN_ITEMS_MAX);
    decimals = find_decimals(v, count);
    /* Large numbers that need few decimals may not bear as many as others need. */
    if (decimals == MAPPING_BITS || !scale(v, count, decimals, scaled, where, &exceptions))
        return encode_bits(v, count, out);
    bytes = ints_encode(scaled, count, (IntsTag){(uint8_t)decimals, exceptions > 0}, out);
    if (exceptions == 0) return bytes;
    return (size_t)(put_exceptions(out + bytes, v, where, exceptions) - out);
}

/* ---------- decoding ---------- */

/* What a double of 52 bits' exponent adds to an integer in its mantissa. */
#define MAGIC_BITS UINT64_C(0x4330000000000000)
static const double MAGIC = 4503599627370496.0;      /* 2^52 */
static const double MAGIC_HIGH = 4503601774854144.0; /* 2^52 + 2^31 */

/* An integer as a double, in arithmetic that vectorises where the instruction for it doesn't:
 * both halves are exact, and so is their sum up to 2^53. */
static inline double double_of_int(uint64_t v) {
    uint64_t biased = v ^ UINT64_C(1) << 63;
    uint64_t high_bits = biased >> 32 | MAGIC_BITS, low_bits = (biased & UINT32_MAX) | MAGIC_BITS;
    double high, low;

    memcpy(&high, &high_bits, sizeof high);
    memcpy(&low, &low_bits, sizeof low);
    return (high - MAGIC_HIGH) * 4294967296.0 + (low - MAGIC);
}

static void turn_decimals(BitsWord *words, size_t count, unsigned decimals) {
    double power = POWER[decimals];

    if (decimals == 0) {
        for (size_t i = 0; i < count; i++) words[i] = bits_of(double_of_int(words[i]));
    } else {
        for (size_t i = 0; i < count; i++) words[i] = bits_of(double_of_int(words[i]) / power);
    }
}

static void turn_bits(BitsWord *words, size_t count) {
    for (size_t i = 0; i < count; i++) words[i] = (uint64_t)order_bits(words[i]);
}

static bool take_exceptions(Reader *r, size_t count, double *out) {
    uint64_t exceptions = reader_varint(r), next = 0;

    if (exceptions > count) return false;
    for (uint64_t i = 0; i < exceptions; i++) {
        uint64_t gap = reader_varint(r);
        double v = reader_double(r);

        if (r->failed || gap >= count - next) return false;
        out[next + gap] = v;
        next += gap + 1;
    }
    return !r->failed;
}

bool floats_take(Reader *r, size_t count, double *out) {
    BitsWord *words = (BitsWord *)out;
    bool constant = false;
    IntsTag tag;
    size_t turn;

    if (!ints_decode(r, count, words, &tag, &constant)) return false;
    turn = constant ? 1 : count;
    if (tag.mapping == MAPPING_BITS)
        turn_bits(words, turn);
    else
        turn_decimals(words, turn, tag.mapping);
    if (constant) {
        double v = out[0];

        for (size_t i = 1; i < count; i++) out[i] = v;
    }
    return !tag.exceptions || take_exceptions(r, count, out);
}

bool floats_column_is_numbers(Str column) {
    const uint8_t *head = (const uint8_t *)column.ptr;
    IntsTag tag;

    if (column.len < 2) return false;
    tag = ints_tag(head);
    return tag.mapping <= DECIMALS_MAX && !tag.exceptions;
}
