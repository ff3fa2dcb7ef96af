#include "querier/exec/go_float.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"

static bool append_special(Buf *out, double v) {
    if (isnan(v))
        buf_append_str(out, STR("NaN"));
    else if (isinf(v))
        buf_append_str(out, v > 0 ? STR("+Inf") : STR("-Inf"));
    else if (v == 0)
        buf_append_str(out, signbit(v) ? STR("-0") : STR("0"));
    else
        return false;
    return true;
}

static void append_zeros(Buf *out, int n) {
    while (n-- > 0) buf_append_byte(out, '0');
}

static void append_plain(Buf *out, const char *digits, int n, int exponent) {
    if (exponent < 0) {
        buf_append_str(out, STR("0."));
        append_zeros(out, -exponent - 1);
        buf_append(out, digits, (size_t)n);
        return;
    }
    buf_append(out, digits, (size_t)MIN(n, exponent + 1));
    append_zeros(out, exponent + 1 - n);
    if (n <= exponent + 1) return;
    buf_append_byte(out, '.');
    buf_append(out, digits + exponent + 1, (size_t)(n - exponent - 1));
}

void go_append_f(Buf *out, double v) {
    char digits[NUMBER_DIGITS_MAX + 1];
    int exponent, n;

    if (append_special(out, v)) return;
    if (v < 0) buf_append_byte(out, '-');
    n = number_shortest(fabs(v), digits, &exponent);
    append_plain(out, digits, n, exponent);
}

/* An exponent below -4, or one of 6 or more, is written as such. */
void go_append_g(Buf *out, double v) {
    char digits[NUMBER_DIGITS_MAX + 1];
    int exponent, n;

    if (append_special(out, v)) return;
    if (v < 0) buf_append_byte(out, '-');
    n = number_shortest(fabs(v), digits, &exponent);
    if (exponent >= -4 && exponent < 6) {
        append_plain(out, digits, n, exponent);
        return;
    }
    buf_append_byte(out, digits[0]);
    if (n > 1) {
        buf_append_byte(out, '.');
        buf_append(out, digits + 1, (size_t)n - 1);
    }
    buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', exponent < 0 ? -exponent : exponent);
}

void go_append_2g(Buf *out, double v) {
    if (!append_special(out, v)) buf_printf(out, "%.2g", v);
}

void go_append_open_metrics(Buf *out, double v) {
    size_t start = out->len;

    go_append_g(out, v == 0 ? 0.0 : v);
    if (buf_failed(out) || isnan(v) || isinf(v)) return;
    if (memchr(out->ptr + start, '.', out->len - start) == NULL &&
        memchr(out->ptr + start, 'e', out->len - start) == NULL)
        buf_append_str(out, STR(".0"));
}

/* As Prometheus' model.Duration: years and weeks only when nothing is left over. */
void go_append_duration(Buf *out, int64_t ms) {
    static const struct {
        const char *unit;
        int64_t ms;
        bool exact;
    } units[] = {
        {"y", INT64_C(31536000000), true},
        {"w", 604800000, true},
        {"d", 86400000, false},
        {"h", 3600000, false},
        {"m", 60000, false},
        {"s", 1000, false},
        {"ms", 1, false},
    };

    if (ms < 0) {
        buf_append_byte(out, '-');
        ms = -ms;
    }
    if (ms == 0) buf_append_str(out, STR("0s"));
    for (size_t u = 0; u < ARRAY_LEN(units); u++) {
        if (units[u].exact && ms % units[u].ms != 0) continue;
        if (ms / units[u].ms == 0) continue;
        buf_printf(out, "%lld%s", (long long)(ms / units[u].ms), units[u].unit);
        ms %= units[u].ms;
    }
}
