#include "common/base/json.h"

#include <math.h>
#include <string.h>

#include "common/base/number.h"

/* Length of a valid UTF-8 sequence at the start of `s`, 0 when there is none. */
static size_t sequence(Str s) {
    for (size_t len = 1; len <= 4 && len <= s.len; len++)
        if (str_is_utf8((Str){s.ptr, len})) return len;
    return 0;
}

void json_append_string(Buf *out, Str s) {
    static const char hex[] = "0123456789abcdef";
    size_t start = 0, i = 0;

    buf_append_byte(out, '"');
    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t len;

        if (LIKELY(c >= 0x20 && c < 0x80 && c != '"' && c != '\\')) {
            i++;
            continue;
        }
        if (c >= 0x80 && (len = sequence(str_from(s, i))) > 0) {
            i += len;
            continue;
        }
        buf_append(out, s.ptr + start, i - start);
        switch (c) {
        case '"':
            buf_append_str(out, STR("\\\""));
            break;
        case '\\':
            buf_append_str(out, STR("\\\\"));
            break;
        case '\n':
            buf_append_str(out, STR("\\n"));
            break;
        case '\r':
            buf_append_str(out, STR("\\r"));
            break;
        case '\t':
            buf_append_str(out, STR("\\t"));
            break;
        default:
            if (c >= 0x80) {
                buf_append_str(out, STR("\\ufffd"));
            } else {
                char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

                buf_append(out, escape, sizeof escape);
            }
        }
        start = ++i;
    }
    if (start < s.len) buf_append(out, s.ptr + start, s.len - start);
    buf_append_byte(out, '"');
}

void json_append_i64(Buf *out, int64_t v) {
    char text[24];
    char *at = text + sizeof text;
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (v < 0) *--at = '-';
    buf_append(out, at, (size_t)(text + sizeof text - at));
}

static char *put_text(char *out, const char *text, size_t len) {
    memcpy(out, text, len);
    return out + len;
}

static char *put_u64(char *out, uint64_t v) {
    char text[24], *at = text + sizeof text;

    do {
        *--at = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return put_text(out, at, (size_t)(text + sizeof text - at));
}

/* A whole number from 2^53 on, below 1e21. */
static char *put_large(char *out, const char *digits, int count, int exponent) {
    out = put_text(out, digits, (size_t)count);
    for (int i = count; i <= exponent; i++) *out++ = '0';
    return out;
}

static char *put_exponent(char *out, const char *digits, int count, int exponent) {
    int size = exponent < 0 ? -exponent : exponent;

    *out++ = digits[0];
    if (count > 1) {
        *out++ = '.';
        out = put_text(out, digits + 1, (size_t)count - 1);
    }
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    if (size < 10) *out++ = '0';
    return put_u64(out, (uint64_t)size);
}

char *json_put_sample_value(char out[JSON_SAMPLE_VALUE_MAX], double v) {
    static const double exact_max = 9007199254740992.0; /* 2^53 */
    char digits[NUMBER_DIGITS_MAX + 1];
    double size = fabs(v);
    int count, exponent;

    if (isnan(v)) return put_text(out, "NaN", 3);
    if (isinf(v)) return put_text(out, v > 0 ? "+Inf" : "-Inf", 4);
    if (signbit(v)) *out++ = '-';
    if (size < exact_max) {
        if (size == (double)(int64_t)size) return put_u64(out, (uint64_t)size);
        if (size >= 1e-6) return number_plain(size, out);
    }
    count = number_shortest(v, digits, &exponent);
    if (size < 1e-6 || size >= 1e21) return put_exponent(out, digits, count, exponent);
    return put_large(out, digits, count, exponent);
}

void json_append_sample_value(Buf *out, double v) {
    char *at = buf_reserve(out, JSON_SAMPLE_VALUE_MAX);

    if (at != NULL) buf_added(out, (size_t)(json_put_sample_value(at, v) - at));
}

void json_append_time_ms(Buf *out, int64_t ms) {
    uint64_t size = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    unsigned fraction = (unsigned)(size % 1000);

    if (ms < 0) buf_append_byte(out, '-');
    json_append_i64(out, (int64_t)(size / 1000));
    if (fraction != 0) {
        char text[4] = {'.', (char)('0' + fraction / 100), (char)('0' + fraction / 10 % 10),
                        (char)('0' + fraction % 10)};

        /* Prometheus writes three decimals whenever there is a fraction. */
        buf_append(out, text, sizeof text);
    }
}
