#pragma once
/*
 * scan.h: what flex's patterns cannot say about a token: where a number ends, what is wrong with a
 * string, which characters a name may have. Private to the parser.
 */
#include "common/base/rune.h"

typedef enum PromqlNumberKind {
    PROMQL_NOT_A_NUMBER,
    PROMQL_IS_NUMBER,
    PROMQL_IS_DURATION,
} PromqlNumberKind;

/* The number or duration that begins at `rest`, whatever it is worth: literal.c says that. *len is
 * its length, or for no such the length of what was looked at: errors show it. */
PromqlNumberKind promql_scan_number(Str rest, size_t *len);

/* Bytes of the name at the start of `rest`: letters, digits, `_`, and `:` when it is a metric's.
 * `unquoted`: letters of every script as well, and `.` after the first. */
size_t promql_scan_name(Str rest, bool metric, bool unquoted);
