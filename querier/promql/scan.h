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

/* The string literal that begins at `rest` with one of its three quotes. False, with why (in
 * `why`), when it does not end or holds what no literal may. */
MUST_USE bool promql_scan_string(Str rest, size_t *len, char *why, size_t why_size);
/* What a literal that passed promql_scan_string() stands for. False: out of budget. */
MUST_USE bool promql_unquote_string(Arena *arena, Str literal, Str *out);

/* Bytes of the name at the start of `rest`: letters, digits, `_`, and `:` when it is a metric's.
 * `unquoted`: letters of every script as well, and `.` after the first. */
size_t promql_scan_name(Str rest, bool metric, bool unquoted);
