#pragma once
/*
 * json.h: JSON out, straight into a Buf. (JSON in is jansson's.)
 */
#include "common/base/buf.h"

/* With the quotes. Escapes what RFC 8259 wants; bytes that are not UTF-8 become U+FFFD. */
void json_append_string(Buf *out, Str s);
/* A sample's value as Prometheus' API writes it, without quotes: shortest digits that read back the
 * same; plain decimals for 1e-6 <= |v| < 1e21 (and 0), else an exponent of two digits or more
 * ("1e-07", "1.5e+300"); "NaN", "+Inf", "-Inf". */
void json_append_sample_value(Buf *out, double v);
/* The same, without a buffer, for who writes many: returns the end. */
enum { JSON_SAMPLE_VALUE_MAX = 40 };
char *json_put_sample_value(char out[JSON_SAMPLE_VALUE_MAX], double v);
void json_append_i64(Buf *out, int64_t v);
/* ms since the epoch as seconds, with three decimals unless they are 0: 1435781451.700 */
void json_append_time_ms(Buf *out, int64_t ms);
