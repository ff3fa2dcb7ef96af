#pragma once
/*
 * floats.h: the codec of value columns, bit for bit.
 *
 * Most values that people measure are decimal numbers of few digits. A column becomes integers,
 * value = integer / 10^e, and goes through ints.h; what is no such number (NaN, stale markers, -0)
 * stands behind as an exception. A column of real floating-point noise becomes integers by its
 * bits, ordered as the numbers are.
 */
#include "common/block/ints.h"

/* Encodes 1 to COLUMN_ITEMS_MAX values at `out`, which has room for column_bytes_max(count). */
size_t floats_encode(const double *v, size_t count, uint8_t *out);

/* Whether the column is decimal numbers without an exception, by its head alone: none is NaN then.
 */
bool floats_column_is_numbers(Str column);

/* Takes a column of `count` values off `r`. False: the bytes are not one. */
MUST_USE bool floats_take(Reader *r, size_t count, double *out);
