#pragma once
/*
 * number.h: the standard library's exact number conversions, behind a C face.
 */
#include "common/base/base.h"

enum { NUMBER_DIGITS_MAX = 17, NUMBER_PLAIN_MAX = 32 };

/* Shortest decimal digits that read back as `v` (finite, not 0), without a point, and the power of
 * ten of the first: 0.015 is "15" and -2. Returns how many digits. */
int number_shortest(double v, char digits[NUMBER_DIGITS_MAX + 1], int *exponent);
/* Shortest plain decimal that reads back as `v`, for 1e-6 <= |v| < 2^53: 0.015. Returns its end. */
char *number_plain(double v, char out[NUMBER_PLAIN_MAX]);
/* All of [text, text + len) as Go's ParseFloat reads decimals, inf and nan, but without `_`
 * and hexadecimals: too small becomes 0. False, and *out untouched, for anything else and for what
 * is too large. */
bool number_parse(const char *text, size_t len, double *out);
