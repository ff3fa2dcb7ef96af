#pragma once
/*
 * quoted.h: string literals as PromQL and LogQL have them, which are Go's and the same in single
 * quotes: escapes in "" and '', none in ``.
 */
#include "common/base/rune.h"

/* The string literal that begins at `rest` with one of its three quotes. False, with why (in
 * `why`), when it does not end or holds what no literal may. */
MUST_USE bool quoted_scan(Str rest, size_t *len, char *why, size_t why_size);
/* What a literal that passed quoted_scan() stands for. False: out of budget. */
MUST_USE bool quoted_unquote(Arena *arena, Str literal, Str *out);
