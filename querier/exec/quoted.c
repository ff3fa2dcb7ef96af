/*
 * quoted.c: string literals of PromQL and LogQL.
 */
#include "querier/exec/quoted.h"

#include <stdio.h>

typedef struct Cursor {
    Str text;
    size_t at;
} Cursor;

/* -1 at the end. */
static int peek(const Cursor *c) {
    return c->at < c->text.len ? (unsigned char)c->text.ptr[c->at] : -1;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static int hex_digit(int c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 16;
}

static void say_rune(char *why, size_t size, const char *before, uint32_t rune, const char *after) {
    char text[RUNE_BYTES_MAX + 1] = {0};

    if (rune_is_printable(rune)) {
        rune_encode(rune, text);
        snprintf(why, size, "%s U+%04X '%s'%s", before, (unsigned)rune, text, after);
    } else {
        snprintf(why, size, "%s U+%04X%s", before, (unsigned)rune, after);
    }
}

/* `count` digits of `base`; false with why. */
static bool scan_digits(Cursor *c, unsigned count, unsigned base, uint32_t *value, char *why,
                        size_t why_size) {
    *value = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned digit = (unsigned)hex_digit(peek(c));
        size_t len;

        if (peek(c) == -1) {
            snprintf(why, why_size, "escape sequence not terminated");
            return false;
        }
        if (digit >= base) {
            say_rune(why, why_size, "illegal character",
                     rune_decode(str_from(c->text, c->at), &len), " in escape sequence");
            return false;
        }
        *value = *value * base + digit;
        c->at++;
    }
    return true;
}

static const char escape_letters[] = "abfnrtv\\", escape_values[] = "\a\b\f\n\r\t\v\\";

/* The escape whose backslash was taken, as bytes. */
static bool scan_escape(Cursor *c, char quote, char out[static RUNE_BYTES_MAX], size_t *out_len,
                        char *why, size_t why_size) {
    int letter = peek(c);
    const char *known = letter > 0 ? strchr(escape_letters, letter) : NULL;
    uint32_t value;
    size_t len;

    *out_len = 1;
    if (known != NULL || letter == quote) {
        c->at++;
        out[0] = known != NULL ? escape_values[known - escape_letters] : quote;
        return true;
    }
    if (letter == -1) {
        snprintf(why, why_size, "escape sequence not terminated");
        return false;
    }
    if (letter >= '0' && letter <= '7') {
        if (!scan_digits(c, 3, 8, &value, why, why_size)) return false;
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
        c->at++;
        if (!scan_digits(c, letter == 'x' ? 2 : letter == 'u' ? 4 : 8, 16, &value, why, why_size))
            return false;
    } else {
        say_rune(why, why_size, "unknown escape sequence",
                 rune_decode(str_from(c->text, c->at), &len), "");
        return false;
    }
    if ((letter <= '7' && value > 255) || value > RUNE_MAX || (value >= 0xd800 && value < 0xe000)) {
        snprintf(why, why_size, "escape sequence is an invalid Unicode code point");
        return false;
    }
    if (letter == 'u' || letter == 'U')
        *out_len = rune_encode(value, out);
    else
        out[0] = (char)value;
    return true;
}

bool quoted_scan(Str rest, size_t *len, char *why, size_t why_size) {
    char quote = rest.ptr[0], bytes[RUNE_BYTES_MAX];
    Cursor c = {rest, 1};
    size_t rune_len, bytes_len;

    while (c.at < rest.len) {
        char byte = rest.ptr[c.at];

        if (byte == quote) {
            *len = c.at + 1;
            return true;
        }
        if (byte == '\n' && quote != '`') break;
        if (byte == '\\' && quote != '`') {
            c.at++;
            if (!scan_escape(&c, quote, bytes, &bytes_len, why, why_size)) return false;
            continue;
        }
        if (rune_decode(str_from(rest, c.at), &rune_len) == RUNE_ERROR && rune_len == 1) {
            snprintf(why, why_size, "invalid UTF-8 rune");
            return false;
        }
        c.at += rune_len;
    }
    snprintf(why, why_size, "unterminated %s string", quote == '`' ? "raw" : "quoted");
    return false;
}

bool quoted_unquote(Arena *arena, Str literal, Str *out) {
    Str inner = str_slice(literal, 1, literal.len - 2);
    Cursor c = {inner, 0};
    char why[128], *text;
    size_t len = 0, bytes_len;

    assert(literal.len >= 2);
    if (literal.ptr[0] == '`' || memchr(inner.ptr, '\\', inner.len) == NULL) {
        *out = inner;
        return true;
    }
    /* No escape is shorter than what it stands for, but it may be written where four bytes fit. */
    text = arena_alloc_bytes(arena, inner.len + RUNE_BYTES_MAX);
    if (text == NULL) return false;
    while (c.at < inner.len) {
        if (inner.ptr[c.at] != '\\') {
            text[len++] = inner.ptr[c.at++];
            continue;
        }
        c.at++;
        if (!scan_escape(&c, literal.ptr[0], text + len, &bytes_len, why, sizeof why)) break;
        len += bytes_len;
    }
    *out = (Str){text, len};
    return true;
}
