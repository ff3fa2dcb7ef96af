#pragma once
/*
 * str.h: bytes with a length, passed by value. Never owns, need not end in NUL, may hold any byte.
 */
#include <string.h>

#include "common/base/arena.h"
#include "common/base/base.h"

typedef struct Str {
    const char *ptr;
    size_t len;
} Str;

#define STR(literal) ((Str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                                                                          \
    { "" literal, sizeof(literal) - 1 }
#define STR_FMT "%.*s"
/* printf takes an int: a longer string is cut, never misread. */
#define STR_ARG(s) (int)((s).len > INT32_MAX ? INT32_MAX : (s).len), (s).ptr

static inline Str str_of(const char *text) {
    return (Str){text, text == NULL ? 0 : strlen(text)};
}

static inline bool str_equal(Str a, Str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Byte order, as the peers sort labels. */
static inline int str_compare(Str a, Str b) {
    size_t n = MIN(a.len, b.len);
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool str_starts_with(Str s, Str prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool str_ends_with(Str s, Str suffix) {
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

static inline Str str_from(Str s, size_t start) {
    if (s.len == 0) return s; /* of NULL, not even nothing may be added */
    return start >= s.len ? (Str){s.ptr + s.len, 0} : (Str){s.ptr + start, s.len - start};
}

static inline Str str_slice(Str s, size_t start, size_t len) {
    s = str_from(s, start);
    return (Str){s.ptr, MIN(s.len, len)};
}

bool str_equal_nocase(Str a, Str b); /* ASCII only, as in HTTP header names */
Str str_trim(Str s);                 /* spaces, tabs, CR, LF at both ends */
/* Splits at the first `at`; without one `*head` is all of `s`, `*tail` empty, and it returns false.
 */
bool str_cut(Str s, char at, Str *head, Str *tail);
/* Where `part` first stands in `s`; NULL: nowhere. What is empty is at the beginning. */
const char *str_find(Str s, Str part);
static inline bool str_contains(Str s, Str part) {
    return part.len == 0 || str_find(s, part) != NULL;
}
bool str_is_utf8(Str s); /* RFC 3629: no surrogates, no overlong forms */

/* Whole-string numbers. False (and *out untouched) for anything else, overflow included. */
MUST_USE bool str_to_u64(Str s, uint64_t *out);
MUST_USE bool str_to_i64(Str s, int64_t *out);
MUST_USE bool str_to_double(Str s, double *out); /* decimal, exponent, inf, nan; no locale */

/* Copies end in a NUL that `len` does not count. NULL ptr: the arena's budget is used up. */
Str str_dup(Arena *arena, Str s);
Str str_format(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
