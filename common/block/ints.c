/*
 * ints.c: predict, pack, patch.
 *
 *     u8       bits 0-1 predictor, 2 a shift follows, 3 patches follow; 4-7 the tag's mapping
 *     u8       bits 0-6 width of the packed residuals, 7 the tag's exceptions
 *     u8       shift, if bit 2
 *     zigzag   base
 *     zigzag   step, unless the predictor is PREDICT_BASE
 *     varint   number of patches, if bit 3
 *     packed residuals u[i] (of PREDICT_STEP from i = 1), then for each patch: varint gap of its
 *     index from the one after the patch before, zigzag residual
 *
 *     PREDICT_BASE   v[i] = base + (u[i] << shift)
 *     PREDICT_STEP   v[0] = base, v[i] = v[i-1] + ((step + u[i]) << shift)
 *     PREDICT_LINE   v[i] = base + ((u[i] + (step * i >> 16)) << shift)
 */
#include "common/block/ints.h"

#include <string.h>

enum { PREDICT_BASE = 0, PREDICT_STEP = 1, PREDICT_LINE = 2 };
enum { HAS_SHIFT = 1 << 2, HAS_PATCHES = 1 << 3, PREDICTOR_MASK = 3 };
enum { HAS_EXCEPTIONS = 1 << 7, LINE_BITS = 16, LINE_ENDS = 8 };

/* A line is worth trying only where its fixed-point slope cannot overflow. */
static const int64_t LINE_RISE_MAX = INT64_C(1) << 42;

/* One way to store the column: residuals against `low`, `width` bits each but for the patches. */
typedef struct Plan {
    uint64_t residuals[COLUMN_ITEMS_MAX];
    size_t count;          /* residuals */
    int64_t low;           /* subtracted before packing */
    int64_t step;          /* PREDICT_LINE: the slope */
    unsigned width;        /* of the widest residual */
    unsigned packed_width; /* of all but the patches */
    unsigned patches;
    size_t bytes;
    uint8_t predictor;
} Plan;

/* ---------- encoding ---------- */

static int64_t add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t sub(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static uint8_t *put_varint(uint8_t *at, uint64_t v) {
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

static uint64_t zigzag(int64_t v) {
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static size_t varint_bytes(uint64_t v) {
    return MAX((bits_width(v) + 6) / 7, 1u);
}

/* Shell's sort, with Ciura's gaps: at most a thousand items, and only where outliers show. */
static void sort(int64_t *v, size_t count) {
    static const unsigned gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};

    for (size_t g = 0; g < ARRAY_LEN(gaps); g++) {
        size_t gap = gaps[g];

        for (size_t i = gap; i < count; i++) {
            int64_t item = v[i];
            size_t j = i;

            for (; j >= gap && v[j - gap] > item; j -= gap) v[j] = v[j - gap];
            v[j] = item;
        }
    }
}

/* The fullest window of 2^width neighbouring values in sorted v[]. */
static size_t fullest_window(const int64_t *v, size_t count, unsigned width, int64_t *low) {
    uint64_t reach = (UINT64_C(1) << width) - 1;
    size_t best = 0;

    for (size_t first = 0, end = 0; first < count && best < count - first; first++) {
        while (end < count && (uint64_t)sub(v[end], v[first]) <= reach) end++;
        if (end - first > best) {
            best = end - first;
            *low = v[first];
        }
    }
    return best;
}

static int64_t median_of_three(int64_t a, int64_t b, int64_t c) {
    return MAX(MIN(a, b), MIN(MAX(a, b), c));
}

/* Do a few lie so far from the rest that the width is theirs? A mean of distances would be theirs
 * as well; one of the distances' own widths is not. */
static bool outliers_show(const int64_t *v, size_t count, unsigned width) {
    int64_t middle = median_of_three(v[0], v[count / 2], v[count - 1]);
    size_t widths = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t off = sub(v[i], middle);

        widths += bits_width((uint64_t)(off ^ off >> 63));
    }
    /* Even or normal spread is about two bits wider than the mean. */
    return width > widths / count + 4;
}

/* Narrower with some residuals patched in, if that is smaller. */
static void try_patches(Plan *plan, const int64_t *v) {
    int64_t sorted[COLUMN_ITEMS_MAX];

    memcpy(sorted, v, plan->count * sizeof *v);
    sort(sorted, plan->count);
    for (unsigned width = plan->width; width-- > 0;) {
        int64_t low = 0;
        size_t patches = plan->count - fullest_window(sorted, plan->count, width, &low);
        /* A gap takes a byte or two, and what is far off about the width it would have cost. */
        size_t bytes = bits_bytes(plan->count, width) + 1 + patches * (2 + (plan->width + 7) / 7);

        if (patches > plan->count / 8) return;
        if (bytes < plan->bytes) {
            plan->bytes = bytes;
            plan->packed_width = width;
            plan->patches = (unsigned)patches;
            plan->low = low;
        }
    }
}

/* Fills in the rest from the residuals v[]. */
static void plan_widths(Plan *plan, const int64_t *v) {
    int64_t low = v[0], high = v[0];

    for (size_t i = 0; i < plan->count; i++) {
        low = MIN(low, v[i]);
        high = MAX(high, v[i]);
    }
    plan->low = low;
    plan->width = plan->packed_width = bits_width((uint64_t)sub(high, low));
    plan->patches = 0;
    plan->bytes = bits_bytes(plan->count, plan->width);
    /* Narrow columns are left to zstd, which packs rare bits better than patches do. */
    if (plan->width > 4 && outliers_show(v, plan->count, plan->width)) try_patches(plan, v);
    for (size_t i = 0; i < plan->count; i++)
        plan->residuals[i] = (uint64_t)v[i] - (uint64_t)plan->low;
}

/* `y` are the values less the first, shifted. */
static void plan_base(Plan *plan, const int64_t *y, size_t count) {
    plan->predictor = PREDICT_BASE;
    plan->count = count;
    plan_widths(plan, y);
}

static void plan_step(Plan *plan, const int64_t *y, size_t count) {
    int64_t steps[COLUMN_ITEMS_MAX];

    assert(count > 1); /* what is alone doesn't differ */
    plan->predictor = PREDICT_STEP;
    plan->count = count - 1;
    for (size_t i = 1; i < count; i++) steps[i - 1] = sub(y[i], y[i - 1]);
    plan_widths(plan, steps);
    plan->step = plan->low;
    plan->bytes += varint_bytes(zigzag(plan->step));
}

/* The slope from the mean of the first few to the mean of the last few, which jitter of single
 * ones doesn't tilt. False: too steep, or too short to be worth it. */
static bool find_slope(const int64_t *y, size_t count, int64_t *slope) {
    int64_t rise = 0;

    if (count < (size_t)2 * LINE_ENDS) return false;
    for (size_t i = 0; i < LINE_ENDS; i++) {
        int64_t first = y[i], last = y[count - LINE_ENDS + i];

        if (first <= -LINE_RISE_MAX || first >= LINE_RISE_MAX || last <= -LINE_RISE_MAX ||
            last >= LINE_RISE_MAX)
            return false;
        rise += last - first;
    }
    *slope = rise * (1 << LINE_BITS) / (int64_t)(LINE_ENDS * (count - LINE_ENDS));
    return true;
}

static bool plan_line(Plan *plan, const int64_t *y, size_t count) {
    int64_t off[COLUMN_ITEMS_MAX], slope;

    if (!find_slope(y, count, &slope)) return false;
    plan->predictor = PREDICT_LINE;
    plan->count = count;
    for (size_t i = 0; i < count; i++) off[i] = sub(y[i], slope * (int64_t)i >> LINE_BITS);
    plan_widths(plan, off);
    plan->step = slope;
    plan->bytes += varint_bytes(zigzag(slope));
    return true;
}

static uint8_t *put_patches(uint8_t *at, const Plan *plan, const uint64_t *residuals) {
    size_t next = 0;

    for (size_t i = 0; i < plan->count; i++) {
        if (bits_width(residuals[i]) <= plan->packed_width) continue;
        at = put_varint(at, i - next);
        at = put_varint(at, zigzag((int64_t)residuals[i]));
        next = i + 1;
    }
    return at;
}

static size_t put_plan(Plan *plan, int64_t first, unsigned shift, IntsTag tag, uint8_t *out) {
    uint64_t packed[COLUMN_ITEMS_MAX];
    int64_t base = first;
    uint8_t *at = out;

    if (plan->predictor != PREDICT_STEP) base = add(first, (int64_t)((uint64_t)plan->low << shift));
    *at++ = (uint8_t)(plan->predictor | (shift > 0 ? HAS_SHIFT : 0) |
                      (plan->patches > 0 ? HAS_PATCHES : 0) | tag.mapping << 4);
    *at++ = (uint8_t)(plan->packed_width | (tag.exceptions ? HAS_EXCEPTIONS : 0));
    if (shift > 0) *at++ = (uint8_t)shift;
    at = put_varint(at, zigzag(base));
    if (plan->predictor != PREDICT_BASE) at = put_varint(at, zigzag(plan->step));
    if (plan->patches == 0) {
        bits_pack(plan->residuals, plan->count, plan->packed_width, at);
        return (size_t)(at - out) + bits_bytes(plan->count, plan->packed_width);
    }
    at = put_varint(at, plan->patches);
    for (size_t i = 0; i < plan->count; i++) {
        uint64_t u = plan->residuals[i];

        packed[i] = bits_width(u) <= plan->packed_width ? u : 0;
    }
    bits_pack(packed, plan->count, plan->packed_width, at);
    at = put_patches(at + bits_bytes(plan->count, plan->packed_width), plan, plan->residuals);
    return (size_t)(at - out);
}

size_t ints_encode(const int64_t *v, size_t count, IntsTag tag, uint8_t *out) {
    Plan plans[2], *best = &plans[0], *spare = &plans[1];
    int64_t y[COLUMN_ITEMS_MAX];
    uint64_t differing = 0;
    unsigned shift;

    assert(count > 0 && count <= COLUMN_ITEMS_MAX && tag.mapping < 16);
    for (size_t i = 0; i < count; i++) {
        y[i] = sub(v[i], v[0]);
        differing |= (uint64_t)y[i];
    }
    if (differing == 0) {
        best->predictor = PREDICT_BASE;
        best->packed_width = best->patches = 0;
        best->low = 0;
        best->count = count;
        return put_plan(best, v[0], 0, tag, out);
    }
    shift = (unsigned)__builtin_ctzll(differing);
    if (shift > 0) {
        for (size_t i = 0; i < count; i++) y[i] >>= shift;
    }
    plan_base(best, y, count);
    plan_step(spare, y, count);
    if (spare->bytes < best->bytes) {
        best = &plans[1];
        spare = &plans[0];
    }
    /* Steps that are all the same are a line already. */
    if (best->width > 0 && plan_line(spare, y, count) && spare->bytes < best->bytes) best = spare;
    return put_plan(best, v[0], shift, tag, out);
}

/* ---------- decoding ---------- */

static bool take_patches(Reader *r, uint64_t patches, size_t count, BitsWord *residuals) {
    uint64_t next = 0;

    for (uint64_t i = 0; i < patches; i++) {
        uint64_t gap = reader_varint(r);
        int64_t residual = reader_zigzag(r);

        if (r->failed || gap >= count - next) return false;
        residuals[next + gap] = (uint64_t)residual;
        next += gap + 1;
    }
    return true;
}

static void sum_up(BitsWord *v, size_t count, uint64_t base, uint64_t step, unsigned shift) {
    uint64_t sum = base;

    v[0] = base;
    if (shift == 0) {
        for (size_t i = 1; i < count; i++) v[i] = sum += v[i] + step;
    } else {
        for (size_t i = 1; i < count; i++) v[i] = sum += (v[i] + step) << shift;
    }
}

static void add_line(BitsWord *v, size_t count, uint64_t base, uint64_t step, unsigned shift) {
    uint64_t rise = 0;

    for (size_t i = 0; i < count; i++, rise += step)
        v[i] = base + ((v[i] + (uint64_t)((int64_t)rise >> LINE_BITS)) << shift);
}

IntsTag ints_tag(const uint8_t head[2]) {
    return (IntsTag){head[0] >> 4, (head[1] & HAS_EXCEPTIONS) != 0};
}

bool ints_decode(Reader *r, size_t count, BitsWord *out, IntsTag *tag, bool *constant) {
    uint8_t mode = reader_u8(r), packing = reader_u8(r);
    unsigned predictor = mode & PREDICTOR_MASK, width = packing & 127;
    unsigned shift = (mode & HAS_SHIFT) != 0 ? reader_u8(r) : 0;
    uint64_t base = (uint64_t)reader_zigzag(r);
    uint64_t step = predictor != PREDICT_BASE ? (uint64_t)reader_zigzag(r) : 0;
    uint64_t patches = (mode & HAS_PATCHES) != 0 ? reader_varint(r) : 0;
    size_t skipped = predictor == PREDICT_STEP ? 1 : 0, size;

    *tag = (IntsTag){mode >> 4, (packing & HAS_EXCEPTIONS) != 0};
    if (r->failed || count == 0 || predictor > PREDICT_LINE || width > 64 || shift > 63)
        return false;
    *constant = predictor == PREDICT_BASE && width == 0 && patches == 0;
    if (*constant) {
        out[0] = base;
        return true;
    }
    if (count - skipped > SIZE_MAX / 64 || patches > count - skipped) return false;
    size = bits_bytes(count - skipped, width);
    if (size > reader_left(r)) return false;
    bits_unpack(r->at, count - skipped, width, out + skipped);
    r->at += size;
    if (patches > 0 && !take_patches(r, patches, count - skipped, out + skipped)) return false;
    switch (predictor) {
    case PREDICT_STEP:
        sum_up(out, count, base, step, shift);
        break;
    case PREDICT_LINE:
        add_line(out, count, base, step, shift);
        break;
    default:
        for (size_t i = 0; i < count; i++) out[i] = base + (out[i] << shift);
    }
    return true;
}
