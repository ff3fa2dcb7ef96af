#pragma once
/*
 * ints.h: the codec of integer columns: timestamps, and values that are decimal numbers.
 *
 * A column is predicted (by its smallest value, by the value before, or by a straight line), what
 * is left is bit-packed, and the few that would make all others wider are patched in behind.
 * Arithmetic wraps, so any 64-bit integers can be stored. Byte by byte: docs/FORMATS.md#columns.
 */
#include "common/base/error.h"
#include "common/base/reader.h"
#include "common/block/bits.h"

enum { COLUMN_ITEMS_MAX = 1024 }; /* in what our writers write; readers take any count */

/* The most bytes a column of `count` takes; doubles included. */
static inline size_t column_bytes_max(size_t count) {
    return 64 + count * 10;
}

/* The four upper bits of a column's first byte, and the top bit of its second, belong to who uses
 * the codec; zero for plain integers. */
typedef struct IntsTag {
    uint8_t mapping;
    bool exceptions;
} IntsTag;

/* Encodes 1 to COLUMN_ITEMS_MAX integers at `out`; returns bytes written. */
size_t ints_encode(const int64_t *v, size_t count, IntsTag tag, uint8_t *out);

/* The tag of the column that begins at `head`, of which there are two bytes at least. */
IntsTag ints_tag(const uint8_t head[2]);

/* Takes a column of `count` off `r`. False: the bytes are not one. The integers are left as words,
 * so that they may be turned into doubles in place. A column whose values are all the same and
 * nothing more comes back as *constant with only out[0] set. */
MUST_USE bool ints_decode(Reader *r, size_t count, BitsWord *out, IntsTag *tag, bool *constant);
