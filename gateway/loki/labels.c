#include <string.h>

#include "common/base/rune.h"
#include "gateway/loki/decode.h"

enum { LABELS_MAX = 4096 };

typedef struct Scan {
    const char *start;
    const char *at;
    const char *end;
    Arena *arena;
    Error *err;
} Scan;

static ErrCode fail(const Scan *scan, const char *expected) {
    size_t place = (size_t)(scan->at - scan->start);
    Str whole = {scan->start, (size_t)(scan->end - scan->start)};

    return error_set(scan->err, ERR_INVALID,
                     "the labels of a stream, at byte %zu: expected %s: " STR_FMT, place, expected,
                     STR_ARG(str_slice(whole, 0, 200)));
}

static void skip_space(Scan *scan) {
    while (scan->at < scan->end && strchr(" \t\r\n", *scan->at) != NULL && *scan->at != '\0')
        scan->at++;
}

static bool take(Scan *scan, char c) {
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != c) return false;
    scan->at++;
    return true;
}

static bool read_digits(Scan *scan, unsigned digits, unsigned base, uint32_t *out) {
    uint32_t v = 0;

    for (unsigned i = 0; i < digits; i++) {
        char c = scan->at < scan->end ? *scan->at : '\0', lower = (char)(c | 0x20);
        unsigned digit = c >= '0' && c <= '9'           ? (unsigned)(c - '0')
                         : lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10
                                                        : 99;

        if (digit >= base) return false;
        v = v * base + digit;
        scan->at++;
    }
    *out = v;
    return true;
}

/* Behind a backslash; as in Go. */
static bool read_escape(Scan *scan, char **out) {
    static const char plain[] = "abfnrtv\\\"'", means[] = "\a\b\f\n\r\t\v\\\"'";
    char c = scan->at < scan->end ? *scan->at : '\0';
    const char *found = c == '\0' ? NULL : strchr(plain, c);
    uint32_t v;

    if (found != NULL) {
        *(*out)++ = means[found - plain];
        scan->at++;
        return true;
    }
    if (c >= '0' && c <= '7') {
        if (!read_digits(scan, 3, 8, &v) || v > 255) return false;
        *(*out)++ = (char)v;
        return true;
    }
    scan->at++;
    if (c == 'x') {
        if (!read_digits(scan, 2, 16, &v)) return false;
        *(*out)++ = (char)v;
        return true;
    }
    if (c != 'u' && c != 'U') return false;
    if (!read_digits(scan, c == 'u' ? 4 : 8, 16, &v) || v > RUNE_MAX || (v >= 0xd800 && v < 0xe000))
        return false;
    *out += rune_encode(v, *out);
    return true;
}

/* No escape is shorter than what it stands for. */
static ErrCode read_quoted(Scan *scan, Str *out) {
    char quote = *scan->at++;
    const char *start = scan->at;
    char *text, *at;

    while (scan->at < scan->end && *scan->at != quote) {
        if (*scan->at == '\\' && quote != '`') break;
        scan->at++;
    }
    if (scan->at < scan->end && *scan->at == quote) {
        *out = (Str){start, (size_t)(scan->at++ - start)};
        return ERR_OK;
    }
    at = text = arena_alloc_bytes(scan->arena, (size_t)(scan->end - start) + RUNE_BYTES_MAX);
    if (text == NULL)
        return error_set(scan->err, ERR_UNAVAILABLE, "no memory left for labels; try again");
    memcpy(at, start, (size_t)(scan->at - start));
    at += scan->at - start;
    while (scan->at < scan->end && *scan->at != quote) {
        if (*scan->at != '\\' || quote == '`') {
            *at++ = *scan->at++;
            continue;
        }
        scan->at++;
        if (!read_escape(scan, &at)) return fail(scan, "an escape that Go strings know");
    }
    if (scan->at == scan->end) return fail(scan, "a closing quote");
    scan->at++;
    *out = (Str){text, (size_t)(at - text)};
    return ERR_OK;
}

static ErrCode read_name(Scan *scan, Str *out) {
    const char *start;

    skip_space(scan);
    start = scan->at;
    if (scan->at < scan->end && *scan->at == '"') return read_quoted(scan, out);
    while (scan->at < scan->end && (*scan->at == '_' || (*scan->at >= '0' && *scan->at <= '9') ||
                                    ((*scan->at | 0x20) >= 'a' && (*scan->at | 0x20) <= 'z')))
        scan->at++;
    *out = (Str){start, (size_t)(scan->at - start)};
    return out->len > 0 ? ERR_OK : fail(scan, "a label's name");
}

static ErrCode read_pair(Scan *scan, LabelPair *out) {
    TRY(read_name(scan, &out->name));
    if (!take(scan, '=')) return fail(scan, "= behind the label's name");
    skip_space(scan);
    if (scan->at == scan->end || (*scan->at != '"' && *scan->at != '`'))
        return fail(scan, "a label's value in quotes");
    return read_quoted(scan, &out->value);
}

ErrCode loki_parse_labels(Str text, Arena *arena, LabelPair **out, size_t *count, Error *err) {
    Scan scan = {text.ptr, text.ptr, text.ptr + text.len, arena, err};
    size_t capacity = 16, used = 0;
    LabelPair *pairs = arena_alloc(arena, capacity * sizeof *pairs);

    if (!take(&scan, '{')) return fail(&scan, "{");
    while (!take(&scan, '}')) {
        if (used == capacity) {
            pairs =
                arena_grow(arena, pairs, capacity * sizeof *pairs, 2 * capacity * sizeof *pairs);
            capacity *= 2;
        }
        if (pairs == NULL) break;
        if (used == LABELS_MAX) return fail(&scan, "no more than 4096 labels");
        TRY(read_pair(&scan, &pairs[used]));
        used++;
        if (take(&scan, ',')) continue;
        skip_space(&scan);
        if (scan.at == scan.end || *scan.at != '}') return fail(&scan, ", or }");
    }
    if (pairs == NULL)
        return error_set(err, ERR_UNAVAILABLE, "no memory left for labels; try again");
    skip_space(&scan);
    if (scan.at != scan.end) return fail(&scan, "nothing behind the }");
    *out = pairs;
    *count = used;
    return ERR_OK;
}
