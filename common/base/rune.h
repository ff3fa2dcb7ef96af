#pragma once
/*
 * rune.h: characters in UTF-8, and text in quotes as Go's %q writes it, which is what the peers'
 * messages and canonical forms have. Thread-safe.
 */
#include "common/base/buf.h"

enum { RUNE_ERROR = 0xfffd, RUNE_MAX = 0x10ffff, RUNE_BYTES_MAX = 4 };

/* The first character of `s` (not empty). Bytes that are no UTF-8 (RFC 3629) are RUNE_ERROR, one
 * byte at a time; a U+FFFD that is really there has three. */
uint32_t rune_decode(Str s, size_t *len);
/* `rune` is at most RUNE_MAX; surrogates become RUNE_ERROR. Returns how many bytes it took. */
size_t rune_encode(uint32_t rune, char out[static RUNE_BYTES_MAX]);

bool rune_is_letter(uint32_t rune); /* Unicode category L */
/* Letters, marks, numbers, punctuation, symbols and the ASCII space: what quotes show as it is. */
bool rune_is_printable(uint32_t rune);

/* "say \"hi\"\n\xff": in double quotes, escaped so that it reads back the same. */
void rune_quote(Buf *out, Str s);
/* 'x': one character in single quotes. */
void rune_quote_one(Buf *out, uint32_t rune);
