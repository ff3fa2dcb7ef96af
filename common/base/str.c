#include "common/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/base/number.h"

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_equal_nocase(Str a, Str b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i])) return false;
    return true;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

Str str_trim(Str s) {
    while (s.len > 0 && is_space(s.ptr[0])) s = str_from(s, 1);
    while (s.len > 0 && is_space(s.ptr[s.len - 1])) s.len--;
    return s;
}

bool str_cut(Str s, char at, Str *head, Str *tail) {
    const char *found = s.len == 0 ? NULL : memchr(s.ptr, at, s.len);

    if (found == NULL) {
        *head = s;
        *tail = str_from(s, s.len);
        return false;
    }
    *head = (Str){s.ptr, (size_t)(found - s.ptr)};
    *tail = str_from(s, head->len + 1);
    return true;
}

/* Length of the sequence at `p`, 0 when it isn't one (RFC 3629, table in section 4). */
static size_t utf8_sequence(const uint8_t *p, size_t left) {
    uint8_t lead = p[0];
    uint8_t low = 0x80, high = 0xbf;
    size_t len;

    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) {
        len = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        len = 3;
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        len = 4;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf) return 0;
    return len;
}

#ifdef __SSE2__
/* Sixteen places at a time whose first and last bytes are the part's. `part` has two bytes or more.
 * Up to where fewer are left, or where too many of those places were nothing: *rest. */
static const char *find_wide(Str s, Str part, size_t *rest) {
    const __m128i first = _mm_set1_epi8(part.ptr[0]);
    const __m128i last = _mm_set1_epi8(part.ptr[part.len - 1]);
    size_t at = 0, wrong = 0;

    for (; at + part.len + 15 <= s.len && wrong <= 16 + at / 8; at += 16) {
        const char *p = s.ptr + at;
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + part.len - 1));
        unsigned found = (unsigned)_mm_movemask_epi8(
            _mm_and_si128(_mm_cmpeq_epi8(a, first), _mm_cmpeq_epi8(b, last)));

        for (; found != 0; found &= found - 1) {
            const char *place = p + __builtin_ctz(found);

            if (memcmp(place + 1, part.ptr + 1, part.len - 2) == 0) return place;
            wrong++;
        }
    }
    *rest = at;
    return NULL;
}
#endif

const char *str_find(Str s, Str part) {
    size_t at = 0;

    if (part.len == 0) return s.ptr;
    if (s.len < part.len) return NULL;
    if (part.len == 1) return memchr(s.ptr, part.ptr[0], s.len);
#ifdef __SSE2__
    const char *found = find_wide(s, part, &at);
    if (found != NULL) return found;
#endif
    return memmem(s.ptr + at, s.len - at, part.ptr, part.len);
}

bool str_is_utf8(Str s) {
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t i = 0;

    while (i < s.len) {
        uint64_t eight;
        size_t len;

        if (s.len - i >= sizeof eight) {
            memcpy(&eight, p + i, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        len = utf8_sequence(p + i, s.len - i);
        if (len == 0) return false;
        i += len;
    }
    return true;
}

bool str_to_u64(Str s, uint64_t *out) {
    uint64_t v = 0;

    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool str_to_i64(Str s, int64_t *out) {
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t v;

    if (s.len > 0 && (negative || s.ptr[0] == '+')) s = str_from(s, 1);
    if (!str_to_u64(s, &v)) return false;
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

Str str_dup(Arena *arena, Str s) {
    char *copy = arena_alloc_bytes(arena, s.len + 1);

    if (copy == NULL) return (Str){NULL, 0};
    if (s.len > 0) memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (Str){copy, s.len};
}

Str str_format(Arena *arena, const char *format, ...) {
    va_list args, again;
    char *text = NULL;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len >= 0) text = arena_alloc_bytes(arena, (size_t)len + 1);
    if (text != NULL) vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text == NULL ? (Str){NULL, 0} : (Str){text, (size_t)len};
}

bool str_to_double(Str s, double *out) {
    return number_parse(s.ptr, s.len, out);
}
