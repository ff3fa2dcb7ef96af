/*
 * row_ip.c: ip("..."): which addresses it means, and which a text has.
 */
#include <arpa/inet.h>

#include "querier/logql/engine/row_stage.h"

static bool parse_address(Str text, uint8_t out[16], bool *v6) {
    char plain[64];

    memset(out, 0, 16);
    if (text.len == 0 || text.len >= sizeof plain) return false;
    memcpy(plain, text.ptr, text.len);
    plain[text.len] = '\0';
    *v6 = memchr(plain, ':', text.len) != NULL;
    return inet_pton(*v6 ? AF_INET6 : AF_INET, plain, *v6 ? out : out + 12) == 1;
}

static bool parse_prefix(Str pattern, RowIp *out) {
    Str address, length;
    uint64_t bits;
    unsigned first;

    if (!str_cut(pattern, '/', &address, &length) || length.len == 0 || length.len > 3 ||
        !str_to_u64(length, &bits) || !parse_address(address, out->low, &out->v6) ||
        bits > (out->v6 ? 128 : 32))
        return false;
    first = (unsigned)bits + (out->v6 ? 0 : 96);
    memcpy(out->high, out->low, 16);
    for (unsigned bit = first; bit < 128; bit++) {
        out->low[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
        out->high[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    return true;
}

static bool parse_range(Str pattern, RowIp *out) {
    Str low, high;
    bool v6;

    return str_cut(pattern, '-', &low, &high) && parse_address(low, out->low, &out->v6) &&
           parse_address(high, out->high, &v6) && v6 == out->v6 &&
           memcmp(out->low, out->high, 16) <= 0;
}

ErrCode row_ip_parse(Str pattern, RowIp *out, Error *err) {
    *out = (RowIp){0};
    if (parse_address(pattern, out->low, &out->v6)) {
        memcpy(out->high, out->low, 16);
        return ERR_OK;
    }
    if (parse_prefix(pattern, out) || parse_range(pattern, out)) return ERR_OK;
    return error_set(err, ERR_INVALID, "ip: invalid pattern: \"" STR_FMT "\"", STR_ARG(pattern));
}

static bool contains(const RowIp *ip, Str text) {
    uint8_t address[16];
    bool v6;

    return parse_address(text, address, &v6) && v6 == ip->v6 && memcmp(address, ip->low, 16) >= 0 &&
           memcmp(address, ip->high, 16) <= 0;
}

static int at(Str s, size_t i) {
    return i < s.len ? (unsigned char)s.ptr[i] : 0;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool is_hex(int c) {
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool looks_v4(Str s, size_t i) {
    return i + 3 < s.len && is_digit(at(s, i)) &&
           (at(s, i + 1) == '.' || at(s, i + 2) == '.' || at(s, i + 3) == '.');
}

/* Up to four hexadecimal digits and a colon, or two colons and a digit. */
static bool looks_v6(Str s, size_t i) {
    if (at(s, i) == ':' && at(s, i + 1) == ':' && is_hex(at(s, i + 2))) return true;
    for (size_t n = 0; n < 5; n++) {
        if (n > 0 && at(s, i + n) == ':') return true;
        if (!is_hex(at(s, i + n))) return false;
    }
    return false;
}

bool row_ip_in_text(const RowIp *ip, Str text) {
    for (size_t i = 0; i < text.len; i++) {
        size_t len = 0;
        bool v4;

        if (text.ptr[i] != ':' && !is_hex(at(text, i))) continue;
        v4 = looks_v4(text, i);
        if (!v4 && !looks_v6(text, i)) continue;
        while (i + len < text.len && (at(text, i + len) == '.' ||
                                      (v4 ? is_digit(at(text, i + len))
                                          : at(text, i + len) == ':' || is_hex(at(text, i + len)))))
            len++;
        /* Only what looks like an IPv6 address has a colon. */
        if (v4 != ip->v6 && contains(ip, str_slice(text, i, len))) return true;
        i += len;
    }
    return false;
}
