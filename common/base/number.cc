/*
 * number.cc: std::to_chars and std::from_chars are exact, fast and know no locale; C has no such.
 */
extern "C" {
#include "common/base/number.h"
}

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

extern "C" int number_shortest(double v, char digits[NUMBER_DIGITS_MAX + 1], int *exponent) {
    char text[32];
    auto end = std::to_chars(text, text + sizeof text, std::fabs(v), std::chars_format::scientific);
    int count = 0;
    char *p = text;

    for (; p < end.ptr && *p != 'e'; p++)
        if (*p != '.') digits[count++] = *p;
    *exponent = 0;
    if (p < end.ptr) {
        p++;
        bool negative = *p == '-';

        p++;
        for (; p < end.ptr; p++) *exponent = *exponent * 10 + (*p - '0');
        if (negative) *exponent = -*exponent;
    }
    while (count > 1 && digits[count - 1] == '0') count--;
    digits[count] = '\0';
    return count;
}

extern "C" char *number_plain(double v, char out[NUMBER_PLAIN_MAX]) {
    return std::to_chars(out, out + NUMBER_PLAIN_MAX, v, std::chars_format::fixed).ptr;
}

static bool equal_nocase(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); i++)
        if ((a[i] | 32) != b[i]) return false;
    return true;
}

/* Decides what std::from_chars does not say: was it too small or too large? `text` is a decimal
 * that it took as one, with digits other than 0. True when its first such digit is behind the
 * point. */
static bool is_below_one(std::string_view text) {
    size_t e = text.find_first_of("eE");
    std::string_view mantissa = text.substr(0, e);
    size_t point = std::min(mantissa.find('.'), mantissa.size());
    size_t first = mantissa.find_first_not_of("0.");
    long long power = (long long)point - (long long)first;

    if (e != std::string_view::npos) {
        bool minus = text[e + 1] == '-';
        long long size = 0;

        /* Stops long before it overflows: no text is long enough to make up for it. */
        for (char c : text.substr(e + 1))
            if (c >= '0' && c <= '9' && size < (1LL << 58)) size = size * 10 + (c - '0');
        power += minus ? -size : size;
    }
    return power <= 0;
}

extern "C" bool number_parse(const char *text, size_t len, double *out) {
    std::string_view rest(text, len);
    bool negative = false;
    double v = 0;

    if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
        negative = rest[0] == '-';
        rest.remove_prefix(1);
    }
    if (equal_nocase(rest, "inf") || equal_nocase(rest, "infinity")) {
        *out = negative ? -std::numeric_limits<double>::infinity()
                        : std::numeric_limits<double>::infinity();
        return true;
    }
    if (equal_nocase(rest, "nan") && rest.size() == len) { /* it has no sign */
        *out = std::numeric_limits<double>::quiet_NaN();
        return true;
    }
    if (rest.empty() || !((rest[0] >= '0' && rest[0] <= '9') || rest[0] == '.')) return false;
    auto result = std::from_chars(rest.data(), rest.data() + rest.size(), v);
    if (result.ptr != rest.data() + rest.size()) return false;
    if (result.ec == std::errc::result_out_of_range) {
        /* As ParseFloat: too small is 0, too large an error. */
        if (!is_below_one(rest)) return false;
        v = 0;
    } else if (result.ec != std::errc()) {
        return false;
    }
    *out = negative ? -v : v;
    return true;
}
