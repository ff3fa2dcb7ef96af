/*
 * log_text.c: a line's template and variables.
 *
 * A variable begins where a run of letters and digits begins. What kind it is depends on the run
 * and on what follows, and each kind has one way to be written, so that its value is enough.
 */
#include "common/block/log_text.h"

#include <string.h>

/* Classes of bytes. */
enum { DIGIT = 1, LOWER_HEX = 2, UPPER_HEX = 4, LETTER = 8, ALNUM = DIGIT | LETTER };

#define D (DIGIT)
#define L (LETTER | LOWER_HEX)
#define U (LETTER | UPPER_HEX)
#define A (LETTER)
static const uint8_t CLASS[256] = {
    ['0'] = D, ['1'] = D, ['2'] = D, ['3'] = D, ['4'] = D, ['5'] = D, ['6'] = D, ['7'] = D,
    ['8'] = D, ['9'] = D, ['a'] = L, ['b'] = L, ['c'] = L, ['d'] = L, ['e'] = L, ['f'] = L,
    ['A'] = U, ['B'] = U, ['C'] = U, ['D'] = U, ['E'] = U, ['F'] = U, ['g'] = A, ['h'] = A,
    ['i'] = A, ['j'] = A, ['k'] = A, ['l'] = A, ['m'] = A, ['n'] = A, ['o'] = A, ['p'] = A,
    ['q'] = A, ['r'] = A, ['s'] = A, ['t'] = A, ['u'] = A, ['v'] = A, ['w'] = A, ['x'] = A,
    ['y'] = A, ['z'] = A, ['G'] = A, ['H'] = A, ['I'] = A, ['J'] = A, ['K'] = A, ['L'] = A,
    ['M'] = A, ['N'] = A, ['O'] = A, ['P'] = A, ['Q'] = A, ['R'] = A, ['S'] = A, ['T'] = A,
    ['U'] = A, ['V'] = A, ['W'] = A, ['X'] = A, ['Y'] = A, ['Z'] = A,
};
#undef D
#undef L
#undef U
#undef A

bool log_var_is_known(unsigned type, unsigned param) {
    switch (type) {
    case LOG_VAR_NUMBER:
    case LOG_VAR_UUID:
    case LOG_VAR_IP:
    case LOG_VAR_WORD:
        return param == 0;
    case LOG_VAR_DIGITS:
        return param >= 1 && param <= LOG_NUMBER_DIGITS_MAX;
    case LOG_VAR_POINT:
        return param >= 1 && param <= LOG_POINT_DIGITS_MAX;
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
        return param >= LOG_HEX_MIN && param <= LOG_HEX_MAX;
    case LOG_VAR_CLOCK:
        return (param & ~(unsigned)LOG_CLOCK_COMMA) <= 9 && param != LOG_CLOCK_COMMA;
    default:
        return false;
    }
}

typedef struct Splitter {
    const char *at;
    const char *end;
    char *start; /* of the template */
    char *out;
    LogVar *vars;
    size_t var_count;
    bool marks; /* the line holds LOG_MARK */
} Splitter;

static uint8_t class_at(const Splitter *s, const char *at) {
    return at < s->end ? CLASS[(uint8_t)*at] : 0;
}

static size_t digits_at(const Splitter *s, const char *at) {
    const char *from = at;

    while ((class_at(s, at) & DIGIT) != 0) at++;
    return (size_t)(at - from);
}

static int64_t number_of(const char *at, size_t digits) {
    int64_t v = 0;

    for (size_t i = 0; i < digits; i++) v = v * 10 + (at[i] - '0');
    return v;
}

static void put_text(Splitter *s, size_t len) {
    if (LIKELY(!s->marks)) {
        memcpy(s->out, s->at, len);
        s->out += len;
        s->at += len;
        return;
    }
    for (const char *end = s->at + len; s->at < end; s->at++) {
        *s->out++ = *s->at;
        if (*s->at == LOG_MARK) *s->out++ = 0;
    }
}

static void put_var(Splitter *s, LogVarType type, size_t param, int64_t value, size_t len) {
    s->vars[s->var_count++] =
        (LogVar){(uint8_t)type, (uint8_t)param, (uint32_t)(s->out - s->start), value, {s->at, len}};
    *s->out++ = LOG_MARK;
    *s->out++ = (char)type;
    *s->out++ = (char)param;
    s->at += len;
}

/* hh:mm:ss, and a fraction of up to nine digits. */
static bool take_clock(Splitter *s) {
    const char *p = s->at;
    size_t digits = 0, len = 8;
    int64_t h, m, sec, value;
    bool comma;

    if (s->end - p < 8 || p[2] != ':' || digits_at(s, p + 3) != 2 || p[5] != ':' ||
        digits_at(s, p + 6) != 2)
        return false;
    h = number_of(p, 2);
    m = number_of(p + 3, 2);
    sec = number_of(p + 6, 2);
    if (h > 23 || m > 59 || sec > 59) return false;
    value = h * 3600 + m * 60 + sec;
    comma = s->end - p > 8 && p[8] == ',';
    if (s->end - p > 9 && (p[8] == '.' || comma)) digits = digits_at(s, p + 9);
    if (digits == 0 || digits > 9) {
        put_var(s, LOG_VAR_CLOCK, 0, value, len);
        return true;
    }
    for (size_t i = 0; i < digits; i++) value = value * 10 + (p[9 + i] - '0');
    put_var(s, LOG_VAR_CLOCK, digits + (comma ? LOG_CLOCK_COMMA : 0), value, len + 1 + digits);
    return true;
}

static bool take_ip(Splitter *s) {
    const char *p = s->at;

    for (int i = 0; i < 4; i++) {
        size_t n = digits_at(s, p);

        if (n < 1 || n > 3 || (n > 1 && *p == '0') || number_of(p, n) > 255) return false;
        p += n;
        if (i < 3 && (p == s->end || *p++ != '.')) return false;
    }
    if ((class_at(s, p) & ALNUM) != 0) return false;
    if (p < s->end && *p == '.' && (class_at(s, p + 1) & DIGIT) != 0) return false;
    put_var(s, LOG_VAR_IP, 0, 0, (size_t)(p - s->at));
    return true;
}

/* Lower-case hex digits and dashes where they belong. */
static bool take_uuid(Splitter *s) {
    const char *p = s->at;

    if (s->end - p < 36 || p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-')
        return false;
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) continue;
        if ((CLASS[(uint8_t)p[i]] & (DIGIT | LOWER_HEX)) == 0) return false;
    }
    if ((class_at(s, p + 36) & ALNUM) != 0) return false;
    put_var(s, LOG_VAR_UUID, 0, 0, 36);
    return true;
}

/* Digits, maybe a point and more digits; letters may follow: 12.5ms. */
static bool take_number(Splitter *s, size_t n) {
    const char *p = s->at;
    bool canonical = n == 1 || *p != '0';
    size_t fraction;

    if (n > LOG_NUMBER_DIGITS_MAX) return false;
    if (canonical && p + n < s->end && p[n] == '.') {
        fraction = digits_at(s, p + n + 1);
        if (fraction > 0 && fraction <= LOG_POINT_DIGITS_MAX &&
            n + fraction <= LOG_NUMBER_DIGITS_MAX) {
            const char *after = p + n + 1 + fraction;
            int64_t value = number_of(p, n);

            if (after == s->end || *after != '.' || (class_at(s, after + 1) & DIGIT) == 0) {
                for (size_t i = 0; i < fraction; i++) value = value * 10 + (p[n + 1 + i] - '0');
                put_var(s, LOG_VAR_POINT, fraction, value, n + 1 + fraction);
                return true;
            }
        }
    }
    put_var(s, canonical ? LOG_VAR_NUMBER : LOG_VAR_DIGITS, canonical ? 0 : n, number_of(p, n), n);
    return true;
}

/* The run [s->at, + n) begins with digits. */
static bool take_digits_first(Splitter *s, size_t n, uint8_t all, uint8_t any) {
    size_t digits = digits_at(s, s->at);

    if (digits == n) {
        if (n == 2 && take_clock(s)) return true;
        if (n <= 3 && n < (size_t)(s->end - s->at) && s->at[n] == '.' && take_ip(s)) return true;
        if (n == 8 && take_uuid(s)) return true;
        if (take_number(s, n)) return true;
        if (n > LOG_HEX_MAX) return false;
        put_var(s, LOG_VAR_HEX, n, 0, n);
        return true;
    }
    if ((all & LOWER_HEX) != 0 && n >= LOG_HEX_MIN) return false;
    if ((any & LETTER) != 0 && n - digits <= 3 && digits <= LOG_NUMBER_DIGITS_MAX) {
        for (size_t i = digits; i < n; i++) {
            if ((CLASS[(uint8_t)s->at[i]] & LETTER) == 0) return false;
        }
        return take_number(s, digits);
    }
    return false;
}

/* A run of letters and digits. `goes_on`: after an id and a dash, as names of pods do. */
static void take_run(Splitter *s, size_t n, uint8_t any, bool goes_on) {
    const char *p = s->at;
    bool lower = true, upper = true;
    size_t letters = 0;

    if ((any & DIGIT) == 0) {
        if (goes_on && n <= LOG_WORD_MAX && n >= 4)
            put_var(s, LOG_VAR_WORD, 0, 0, n);
        else
            put_text(s, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        lower &= (CLASS[(uint8_t)p[i]] & (DIGIT | LOWER_HEX)) != 0;
        upper &= (CLASS[(uint8_t)p[i]] & (DIGIT | UPPER_HEX)) != 0;
    }
    if ((CLASS[(uint8_t)*p] & DIGIT) != 0 &&
        take_digits_first(s, n, lower || upper ? LOWER_HEX : 0, any))
        return;
    if (lower && n == 8 && take_uuid(s)) return;
    if ((lower || upper) && n >= LOG_HEX_MIN && n <= LOG_HEX_MAX) {
        put_var(s, lower ? LOG_VAR_HEX : LOG_VAR_UPPER, n, 0, n);
        return;
    }
    while (letters < n && (CLASS[(uint8_t)p[letters]] & LETTER) != 0) letters++;
    if (letters > 0 && n - letters >= 3 && digits_at(s, p + letters) == n - letters &&
        n - letters <= LOG_NUMBER_DIGITS_MAX) {
        bool canonical = p[letters] != '0';

        put_text(s, letters);
        put_var(s, canonical ? LOG_VAR_NUMBER : LOG_VAR_DIGITS, canonical ? 0 : n - letters,
                number_of(p + letters, n - letters), n - letters);
        return;
    }
    if (n >= 5 && n <= LOG_WORD_MAX)
        put_var(s, LOG_VAR_WORD, 0, 0, n);
    else
        put_text(s, n);
}

/* The first digit in [p, end), or `end`: eight bytes at a time, since most of a line is words. */
static const char *find_digit(const char *p, const char *end) {
    const uint64_t ones = 0x0101010101010101u;

    for (; end - p >= 8; p += 8) {
        uint64_t word, no_digit;

        memcpy(&word, p, sizeof word);
        word ^= ones * '0'; /* digits are 0 to 9 now: adding 118 leaves the top bit clear */
        no_digit = (((word & ones * 0x7f) + ones * 118) | word) & ones * 0x80;
        if (no_digit != ones * 0x80)
            return p + (unsigned)__builtin_ctzll(~no_digit & ones * 0x80) / 8;
    }
    while (p < end && (CLASS[(uint8_t)*p] & DIGIT) == 0) p++;
    return p;
}

/* The run that ends at `end` is next; what comes before is constant. All of the run is taken, and
 * what its variable reaches beyond it. */
static void take_run_at(Splitter *s, const char *run, const char *end, uint8_t any, bool goes_on) {
    const char *p = end;

    put_text(s, (size_t)(run - s->at));
    take_run(s, (size_t)(end - run), any, goes_on);
    /* Letters behind a number are constant, and begin no variable. */
    if (s->at > p) p = s->at;
    while ((class_at(s, p) & ALNUM) != 0) p++;
    put_text(s, (size_t)(p - s->at));
}

static const char *run_end(const Splitter *s, const char *p, uint8_t *any) {
    uint8_t c;

    while (((c = class_at(s, p)) & ALNUM) != 0) {
        *any |= c;
        p++;
    }
    return p;
}

/* Is there a dash behind an id, as in names of pods? */
static bool name_goes_on(const Splitter *s) {
    const LogVar *last;

    if (s->var_count == 0 || s->var_count == LOG_LINE_VARS_MAX) return false;
    last = &s->vars[s->var_count - 1];
    return (last->type == LOG_VAR_HEX || last->type == LOG_VAR_WORD) &&
           last->text.ptr + last->text.len == s->at && s->end - s->at > 1 && *s->at == '-' &&
           (class_at(s, s->at + 1) & ALNUM) != 0;
}

size_t log_line_split(Str line, Buf *template, LogVar *vars) {
    /* A mark takes two bytes, a variable three, and there are at most as many as bytes. */
    char *out = buf_reserve(template, 3 * line.len + 1);
    Splitter s = {line.ptr, line.ptr + line.len, out, out, vars, 0, false};

    if (out == NULL || line.len == 0) return 0;
    s.marks = memchr(line.ptr, LOG_MARK, line.len) != NULL;
    while (s.var_count < LOG_LINE_VARS_MAX) {
        bool goes_on = name_goes_on(&s);
        const char *digit = goes_on ? s.at + 1 : find_digit(s.at, s.end), *run = digit, *end;
        uint8_t any = 0;

        if (digit == s.end) break;
        while (run > s.at && (CLASS[(uint8_t)run[-1]] & ALNUM) != 0)
            any |= CLASS[(uint8_t) * --run];
        end = run_end(&s, digit, &any);
        take_run_at(&s, run, end, any, goes_on);
    }
    put_text(&s, (size_t)(s.end - s.at));
    buf_added(template, (size_t)(s.out - out));
    return s.var_count;
}
