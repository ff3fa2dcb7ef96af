/*
 * row_template_text.c: functions of templates that make texts of texts.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/rune.h"
#include "querier/exec/go_float.h"
#include "querier/logql/engine/row_template_ids.h"

enum { WIDTH_MAX = 4096 };

/* ---- letters ---- */

/* Upper and lower case of Latin-1, Greek and Cyrillic; of others, none. */
static uint32_t rune_upper(uint32_t r) {
    if (r < 0x80) return (uint32_t)toupper((int)r);
    if ((r >= 0xe0 && r <= 0xfe && r != 0xf7) || (r >= 0x3b1 && r <= 0x3c9 && r != 0x3c2) ||
        (r >= 0x430 && r <= 0x44f))
        return r - 32;
    if (r == 0x3c2) return 0x3a3;
    if (r == 0xff) return 0x178;
    if (r == 0xb5) return 0x39c;
    if (r >= 0x450 && r <= 0x45f) return r - 80;
    if ((r >= 0x100 && r <= 0x137) || (r >= 0x14a && r <= 0x177) || (r >= 0x460 && r <= 0x481) ||
        (r >= 0x48a && r <= 0x4bf) || (r >= 0x4d0 && r <= 0x52f))
        return r & ~1u;
    return r;
}

static uint32_t rune_lower(uint32_t r) {
    if (r < 0x80) return (uint32_t)tolower((int)r);
    if ((r >= 0xc0 && r <= 0xde && r != 0xd7) || (r >= 0x391 && r <= 0x3a9 && r != 0x3a2) ||
        (r >= 0x410 && r <= 0x42f))
        return r + 32;
    if (r == 0x178) return 0xff;
    if (r >= 0x400 && r <= 0x40f) return r + 80;
    if ((r >= 0x100 && r <= 0x137 && r != 0x130) || (r >= 0x14a && r <= 0x177) ||
        (r >= 0x460 && r <= 0x481) || (r >= 0x48a && r <= 0x4bf) || (r >= 0x4d0 && r <= 0x52f))
        return r | 1;
    return r;
}

static void append_rune(Buf *out, uint32_t rune) {
    char bytes[RUNE_BYTES_MAX];

    buf_append(out, bytes, rune_encode(rune, bytes));
}

typedef enum Case { CASE_LOWER, CASE_UPPER, CASE_TITLE } Case;

static void append_case(Str text, Case how, Buf *out) {
    bool start = true;

    while (text.len > 0) {
        size_t len;
        uint32_t rune = rune_decode(text, &len);

        if (how == CASE_LOWER)
            append_rune(out, rune_lower(rune));
        else if (how == CASE_UPPER || start)
            append_rune(out, rune_upper(rune));
        else
            append_rune(out, rune);
        start = !(rune_is_letter(rune) || rune == '_' || rune == '\'' ||
                  (rune < 0x80 && isdigit((int)rune)));
        text = str_from(text, len);
    }
}

static size_t count_runes(Str text) {
    size_t n = 0, len;

    for (; text.len > 0; n++, text = str_from(text, len)) rune_decode(text, &len);
    return n;
}

static Str first_runes(Str text, size_t count) {
    Str rest = text;

    for (size_t len; count > 0 && rest.len > 0; count--, rest = str_from(rest, len))
        rune_decode(rest, &len);
    return str_slice(text, 0, text.len - rest.len);
}

/* ---- cutting ---- */

static bool in_set(Str set, Str text, size_t *len) {
    uint32_t rune = rune_decode(text, len), one;

    for (size_t step; set.len > 0; set = str_from(set, step)) {
        one = rune_decode(set, &step);
        if (one == rune) return true;
    }
    return false;
}

static Str trim_set(Str text, Str set, bool left, bool right) {
    size_t len;

    while (left && text.len > 0 && in_set(set, text, &len)) text = str_from(text, len);
    while (right && text.len > 0) {
        size_t start = text.len - 1;

        while (start > 0 && (text.ptr[start] & 0xc0) == 0x80) start--;
        if (!in_set(set, str_from(text, start), &len)) break;
        text.len = start;
    }
    return text;
}

static Str trim_spaces(Str text) {
    while (text.len > 0 && isspace((unsigned char)text.ptr[0])) text = str_from(text, 1);
    while (text.len > 0 && isspace((unsigned char)text.ptr[text.len - 1])) text.len--;
    return text;
}

static Str without_prefix(Str text, Str prefix) {
    return str_starts_with(text, prefix) ? str_from(text, prefix.len) : text;
}

static Str without_suffix(Str text, Str suffix) {
    return str_ends_with(text, suffix) ? str_slice(text, 0, text.len - suffix.len) : text;
}

static Str truncate_text(int64_t count, Str text) {
    if (count < 0 && (int64_t)text.len + count > 0)
        return str_from(text, text.len - (size_t)-count);
    return count >= 0 && text.len > (size_t)count ? str_slice(text, 0, (size_t)count) : text;
}

static bool substring(Execution *e, int64_t start, int64_t end, Str text, Value *out) {
    if (start < 0) start = 0, end = MIN(MAX(end, 0), (int64_t)text.len);
    if (end < 0 || end > (int64_t)text.len) end = (int64_t)text.len;
    if (start > end) return template_fail(e, "slice bounds out of range");
    *out = value_text(str_slice(text, (size_t)start, (size_t)(end - start)));
    return true;
}

/* ---- replacing ---- */

static void replace_all(Str text, Str old, Str with, int64_t most, Buf *out) {
    while (most != 0) {
        const char *found =
            old.len == 0 || text.len == 0 ? NULL : memmem(text.ptr, text.len, old.ptr, old.len);

        if (old.len == 0 && !buf_failed(out)) { /* between all characters */
            Str one = first_runes(text, 1);

            buf_append_str(out, with);
            buf_append_str(out, one);
            text = str_from(text, one.len);
            most--;
            if (one.len == 0) return;
            continue;
        }
        if (found == NULL) break;
        buf_append(out, text.ptr, (size_t)(found - text.ptr));
        buf_append_str(out, with);
        text = str_from(text, (size_t)(found - text.ptr) + old.len);
        most--;
    }
    buf_append_str(out, text);
}

/* $1, ${name} and $$ in `with`, unless it is literal. */
static void append_expanded(const Regex *regex, const Str *groups, unsigned count, Str with,
                            Buf *out) {
    while (with.len > 0) {
        const char *dollar = memchr(with.ptr, '$', with.len);
        size_t plain = dollar == NULL ? with.len : (size_t)(dollar - with.ptr), start, end;
        uint64_t number;
        Str name;

        buf_append_str(out, str_slice(with, 0, plain));
        with = str_from(with, plain);
        if (with.len == 0) return;
        if (str_starts_with(with, STR("$$"))) {
            buf_append_byte(out, '$');
            with = str_from(with, 2);
            continue;
        }
        start = with.len > 1 && with.ptr[1] == '{' ? 2 : 1;
        for (end = start;
             end < with.len && (isalnum((unsigned char)with.ptr[end]) || with.ptr[end] == '_');)
            end++;
        name = str_slice(with, start, end - start);
        if (name.len == 0 || (start == 2 && (end == with.len || with.ptr[end] != '}'))) {
            buf_append_byte(out, '$');
            with = str_from(with, 1);
            continue;
        }
        with = str_from(with, end + (start == 2));
        if (str_to_u64(name, &number)) {
            if (number < count) buf_append_str(out, groups[number]);
            continue;
        }
        for (unsigned i = 1; i < count; i++)
            if (str_equal(regex_group_name(regex, i), name)) buf_append_str(out, groups[i]);
    }
}

typedef enum Replacing { REPLACE_EXPANDED, REPLACE_LITERAL, REPLACE_NOTHING } Replacing;

/* Counts all matches and replaces them. */
static bool each_match(Execution *e, const Value *args, Replacing how, int64_t *count, Buf *out) {
    enum { GROUPS_MAX = 32 };
    const Regex *regex = NULL;
    Str text = args[1].text, groups[GROUPS_MAX] = {0};
    Error err = {0};
    size_t at = 0;
    unsigned all;

    if (row_regexes_get(&e->run->regexes, args[0].text, &regex, &err) != ERR_OK)
        return template_fail(e, "%s", err.text);
    all = MIN(regex_groups(regex) + 1, GROUPS_MAX);
    while (at <= text.len && regex_find(regex, text, at, groups, all)) {
        size_t start = (size_t)(groups[0].ptr - text.ptr), len = groups[0].len, step;

        if (++e->steps > TEMPLATE_STEPS_MAX) return template_fail(e, "too many matches");
        buf_append_str(out, str_slice(text, at, start - at));
        *count += 1;
        if (how == REPLACE_LITERAL)
            buf_append_str(out, args[2].text);
        else if (how == REPLACE_EXPANDED)
            append_expanded(regex, groups, all, args[2].text, out);
        at = start + len;
        if (len > 0) continue;
        if (at >= text.len) return true;
        rune_decode(str_from(text, at), &step);
        buf_append_str(out, str_slice(text, at, step));
        at += step;
    }
    buf_append_str(out, str_from(text, at));
    return true;
}

/* ---- encodings ---- */

static void append_query(Str text, Buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
            buf_append_byte(out, (char)c);
        else if (c == ' ')
            buf_append_byte(out, '+');
        else
            buf_printf(out, "%%%02X", c);
    }
}

static bool decode_query(Execution *e, Str text, Buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%') {
            buf_append_byte(out, text.ptr[i] == '+' ? ' ' : text.ptr[i]);
            continue;
        }
        if (i + 2 >= text.len || !isxdigit((unsigned char)text.ptr[i + 1]) ||
            !isxdigit((unsigned char)text.ptr[i + 2]))
            return template_fail(e, "invalid URL escape \"" STR_FMT "\"",
                                 STR_ARG(str_slice(text, i, 3)));
        buf_append_byte(out, (char)strtol((char[3]){text.ptr[i + 1], text.ptr[i + 2]}, NULL, 16));
        i += 2;
    }
    return true;
}

/* What is no base64 comes out as the reason, as Loki has it. */
static void decode_base64(Str text, Buf *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned have = 0;
    size_t len = text.len, i;

    while (len > 0 && text.ptr[len - 1] == '=') len--;
    for (i = 0; i < len; i++) {
        const char *found = memchr(digits, text.ptr[i], 64);

        if (found == NULL) break;
        bits = bits << 6 | (uint32_t)(found - digits);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        buf_append_byte(out, (char)(bits >> have & 255));
    }
    if (i == len && len % 4 != 1) return;
    buf_clear(out);
    buf_printf(out, "illegal base64 data at input byte %zu", i);
}

static void append_html(Str text, Buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '<':
            buf_append_str(out, STR("&lt;"));
            break;
        case '>':
            buf_append_str(out, STR("&gt;"));
            break;
        case '&':
            buf_append_str(out, STR("&amp;"));
            break;
        case '"':
            buf_append_str(out, STR("&#34;"));
            break;
        case '\'':
            buf_append_str(out, STR("&#39;"));
            break;
        case '\0':
            buf_append_str(out, STR("\xef\xbf\xbd"));
            break;
        default:
            buf_append_byte(out, text.ptr[i]);
        }
    }
}

static void append_js(Str text, Buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '\\' || c == '\'' || c == '"')
            buf_printf(out, "\\%c", c);
        else if (c == '<' || c == '>' || c == '&' || c == '=' || c < 0x20)
            buf_printf(out, "\\u%04X", c);
        else
            buf_append_byte(out, (char)c);
    }
}

/* ---- printing ---- */

static void append_padded(Buf *out, Str text, int64_t width, bool left, bool zeros) {
    size_t runes = count_runes(text);
    size_t pad = width > (int64_t)runes ? (size_t)width - runes : 0;

    if (left) buf_append_str(out, text);
    if (!left && zeros && text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+') && pad > 0) {
        buf_append_byte(out, text.ptr[0]);
        text = str_from(text, 1);
    }
    for (size_t i = 0; i < pad; i++) buf_append_byte(out, zeros && !left ? '0' : ' ');
    if (!left) buf_append_str(out, text);
}

typedef struct Verb {
    char letter;
    bool left, plus, zeros, sharp, has_precision;
    int64_t width, precision;
} Verb;

static const char *type_name(const Value *value) {
    switch (value->kind) {
    case VALUE_INT:
        return "int";
    case VALUE_FLOAT:
        return "float64";
    case VALUE_BOOL:
        return "bool";
    case VALUE_TIME:
        return "time.Time";
    case VALUE_LIST:
        return "[]interface {}";
    case VALUE_MAP:
        return "map[string]interface {}";
    default:
        return "string";
    }
}

/* %!d(string=abc): a verb that the value hasn't. */
static void append_mismatch(Execution *e, const Verb *verb, const Value *value, Buf *out) {
    buf_printf(out, "%%!%c(", verb->letter);
    if (value->kind != VALUE_NIL) buf_printf(out, "%s=", type_name(value));
    value_print(e, value, out);
    buf_append_byte(out, ')');
}

static bool append_number(const Verb *verb, const Value *value, Buf *out) {
    char format[16] = "%";
    int precision = verb->has_precision ? (int)MIN(verb->precision, 100) : 6;

    if (value->kind == VALUE_INT && strchr("dxXobc", verb->letter) != NULL) {
        if (verb->plus && value->number >= 0) buf_append_byte(out, '+');
        if (verb->letter == 'd')
            buf_printf(out, "%lld", (long long)value->number);
        else if (verb->letter == 'c')
            append_rune(out, (uint32_t)MIN(MAX(value->number, 0), RUNE_MAX));
        else if (verb->letter == 'b')
            for (int bit = 63 - __builtin_clzll((uint64_t)value->number | 1); bit >= 0; bit--)
                buf_append_byte(out, (char)('0' + ((uint64_t)value->number >> bit & 1)));
        else
            buf_printf(out,
                       verb->letter == 'x'   ? "%llx"
                       : verb->letter == 'X' ? "%llX"
                                             : "%llo",
                       (long long)value->number);
        return true;
    }
    if (value->kind != VALUE_FLOAT || strchr("feEgGF", verb->letter) == NULL) return false;
    if (verb->letter == 'g' && !verb->has_precision) {
        go_append_g(out, value->real);
        return true;
    }
    snprintf(format, sizeof format, "%%%s.*%c", verb->plus ? "+" : "", verb->letter);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    buf_printf(out, format, precision, value->real);
#pragma GCC diagnostic pop
    return true;
}

static void append_verb(Execution *e, const Verb *verb, const Value *value, Buf *out) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};

    buf_init(&text, TEMPLATE_BYTES_MAX);
    if (verb->letter == 'v' ||
        (verb->letter == 's' && value->kind != VALUE_INT && value->kind != VALUE_FLOAT &&
         value->kind != VALUE_BOOL && value->kind != VALUE_NIL)) {
        value_print(e, value, &text);
        if (verb->has_precision && value->kind == VALUE_STRING && !buf_failed(&text))
            text.len = first_runes(buf_str(&text), (size_t)verb->precision).len;
    } else if (verb->letter == 'q' && value->kind == VALUE_STRING) {
        rune_quote(&text, value->text);
    } else if (verb->letter == 't' && value->kind == VALUE_BOOL) {
        value_print(e, value, &text);
    } else if ((verb->letter == 'x' || verb->letter == 'X') && value->kind == VALUE_STRING) {
        for (size_t i = 0; i < value->text.len; i++)
            buf_printf(&text, verb->letter == 'x' ? "%02x" : "%02X",
                       (unsigned char)value->text.ptr[i]);
    } else if (verb->letter == 'T') {
        buf_append_str(&text, str_of(type_name(value)));
    } else if (!append_number(verb, value, &text)) {
        append_mismatch(e, verb, value, &text);
    }
    if (buf_failed(&text)) {
        out->failed = true;
        return;
    }
    append_padded(out, buf_str(&text), verb->width, verb->left, verb->zeros);
}

static int64_t take_width(Str *format, const Value *args, size_t count, size_t *next, bool *given) {
    int64_t width = 0;

    *given = false;
    if (str_starts_with(*format, STR("*"))) {
        *format = str_from(*format, 1);
        *given = true;
        return *next < count && args[*next].kind == VALUE_INT
                   ? MIN(MAX(args[(*next)++].number, 0), WIDTH_MAX)
                   : 0;
    }
    while (format->len > 0 && isdigit((unsigned char)format->ptr[0])) {
        width = MIN(width * 10 + (format->ptr[0] - '0'), WIDTH_MAX);
        *format = str_from(*format, 1);
        *given = true;
    }
    return width;
}

bool template_printf(Execution *e, const Value *args, size_t count, Value *out) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    Str format = args[0].text;
    size_t next = 1;

    buf_init(&text, TEMPLATE_BYTES_MAX);
    while (format.len > 0) {
        Verb verb = {0};
        bool given;

        if (format.ptr[0] != '%') {
            buf_append_byte(&text, format.ptr[0]);
            format = str_from(format, 1);
            continue;
        }
        format = str_from(format, 1);
        for (; format.len > 0 && memchr("-+# 0", format.ptr[0], 5) != NULL;
             format = str_from(format, 1)) {
            verb.left = verb.left || format.ptr[0] == '-';
            verb.plus = verb.plus || format.ptr[0] == '+';
            verb.zeros = verb.zeros || format.ptr[0] == '0';
            verb.sharp = verb.sharp || format.ptr[0] == '#';
        }
        verb.width = take_width(&format, args, count, &next, &given);
        if (format.len > 0 && format.ptr[0] == '.') {
            format = str_from(format, 1);
            verb.precision = take_width(&format, args, count, &next, &given);
            verb.has_precision = true;
        }
        if (format.len == 0) {
            buf_append_str(&text, STR("%!(NOVERB)"));
            break;
        }
        verb.letter = format.ptr[0];
        format = str_from(format, 1);
        if (verb.letter == '%')
            buf_append_byte(&text, '%');
        else if (next == count)
            buf_printf(&text, "%%!%c(MISSING)", verb.letter);
        else
            append_verb(e, &verb, &args[next++], &text);
    }
    if (next < count) {
        buf_append_str(&text, STR("%!(EXTRA "));
        for (size_t i = next; i < count; i++) {
            buf_printf(&text, "%s%s=", i > next ? ", " : "", type_name(&args[i]));
            value_print(e, &args[i], &text);
        }
        buf_append_byte(&text, ')');
    }
    return template_text(e, &text, out);
}

/* Go's Print puts spaces between two neither of which is a text; Println between all. */
static void print_all(Execution *e, bool line, const Value *args, size_t count, Buf *out) {
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (line || (args[i].kind != VALUE_STRING && args[i - 1].kind != VALUE_STRING)))
            buf_append_byte(out, ' ');
        value_print(e, &args[i], out);
    }
    if (line) buf_append_byte(out, '\n');
}

/* ---- layout ---- */

static void indent(int64_t width, Str text, Buf *out) {
    width = MIN(MAX(width, 0), WIDTH_MAX);
    for (int64_t i = 0; i < width; i++) buf_append_byte(out, ' ');
    for (size_t i = 0; i < text.len; i++) {
        buf_append_byte(out, text.ptr[i]);
        for (int64_t k = 0; k < width && text.ptr[i] == '\n'; k++) buf_append_byte(out, ' ');
    }
}

static void align(bool left, int64_t width, Str text, Buf *out) {
    size_t runes = count_runes(text);

    width = MIN(width, WIDTH_MAX);
    if (width < 0 || (size_t)width == runes)
        buf_append_str(out, text);
    else if ((size_t)width > runes)
        append_padded(out, text, width, left, false);
    else if (left)
        buf_append_str(out, first_runes(text, (size_t)width));
    else
        buf_append_str(out, str_from(text, first_runes(text, runes - (size_t)width).len));
}

static void repeat(int64_t times, Str text, Buf *out) {
    for (int64_t i = 0; i < times && text.len > 0 && !buf_failed(out); i++)
        buf_append_str(out, text);
}

/* ---- calling ---- */

/* What needs no text of its own. False in *known: the other kind. */
static Value borrow(int id, const Value *args, bool *known) {
    *known = true;
    switch (id) {
    case FN_OLD_TRIM:
        return value_text(trim_set(args[0].text, args[1].text, true, true));
    case FN_OLD_TRIM_LEFT:
        return value_text(trim_set(args[0].text, args[1].text, true, false));
    case FN_OLD_TRIM_RIGHT:
        return value_text(trim_set(args[0].text, args[1].text, false, true));
    case FN_OLD_TRIM_PREFIX:
        return value_text(without_prefix(args[0].text, args[1].text));
    case FN_OLD_TRIM_SUFFIX:
        return value_text(without_suffix(args[0].text, args[1].text));
    case FN_OLD_TRIM_SPACE:
    case FN_TRIM:
        return value_text(trim_spaces(args[0].text));
    case FN_TRIM_ALL:
        return value_text(trim_set(args[1].text, args[0].text, true, true));
    case FN_TRIM_PREFIX:
        return value_text(without_prefix(args[1].text, args[0].text));
    case FN_TRIM_SUFFIX:
        return value_text(without_suffix(args[1].text, args[0].text));
    case FN_TRUNC:
        return value_text(truncate_text(args[0].number, args[1].text));
    case FN_CONTAINS:
        return value_bool(
            args[0].text.len == 0 ||
            (args[1].text.len > 0 && memmem(args[1].text.ptr, args[1].text.len, args[0].text.ptr,
                                            args[0].text.len) != NULL));
    case FN_HAS_PREFIX:
        return value_bool(str_starts_with(args[1].text, args[0].text));
    case FN_HAS_SUFFIX:
        return value_bool(str_ends_with(args[1].text, args[0].text));
    default:
        *known = false;
        return (Value){0};
    }
}

static void append_all(Execution *e, int id, const Value *args, size_t count, Buf *out) {
    CLEANUP_IN_PLACE(buf_done) Buf plain = {0};

    buf_init(&plain, TEMPLATE_BYTES_MAX);
    print_all(e, false, args, count, &plain);
    if (id == FN_HTML)
        append_html(buf_str(&plain), out);
    else if (id == FN_JS)
        append_js(buf_str(&plain), out);
    else
        append_query(buf_str(&plain), out);
}

static bool make(Execution *e, int id, const Value *args, size_t count, int64_t *matches,
                 Buf *out) {
    switch (id) {
    case FN_PRINT:
    case FN_PRINTLN:
        print_all(e, id == FN_PRINTLN, args, count, out);
        return true;
    case FN_HTML:
    case FN_JS:
    case FN_URLQUERY:
        append_all(e, id, args, count, out);
        return true;
    case FN_OLD_LOWER:
    case FN_LOWER:
        append_case(args[0].text, CASE_LOWER, out);
        return true;
    case FN_OLD_UPPER:
    case FN_UPPER:
        append_case(args[0].text, CASE_UPPER, out);
        return true;
    case FN_TITLE:
        append_case(args[0].text, CASE_TITLE, out);
        return true;
    case FN_OLD_REPLACE:
        replace_all(args[0].text, args[1].text, args[2].text, args[3].number, out);
        return true;
    case FN_REPLACE:
        replace_all(args[2].text, args[0].text, args[1].text, -1, out);
        return true;
    case FN_REGEX_REPLACE:
    case FN_REGEX_REPLACE_LITERAL:
        return each_match(e, args, id == FN_REGEX_REPLACE ? REPLACE_EXPANDED : REPLACE_LITERAL,
                          matches, out);
    case FN_COUNT:
        return each_match(e, args, REPLACE_NOTHING, matches, out);
    case FN_URLENCODE:
        append_query(args[0].text, out);
        return true;
    case FN_URLDECODE:
        return decode_query(e, args[0].text, out);
    case FN_B64ENC:
        buf_append_base64(out, args[0].text);
        return true;
    case FN_B64DEC:
        decode_base64(args[0].text, out);
        return true;
    case FN_ALIGN_LEFT:
    case FN_ALIGN_RIGHT:
        align(id == FN_ALIGN_LEFT, args[0].number, args[1].text, out);
        return true;
    case FN_NINDENT:
        buf_append_byte(out, '\n');
        indent(args[0].number, args[1].text, out);
        return true;
    case FN_INDENT:
        indent(args[0].number, args[1].text, out);
        return true;
    case FN_REPEAT:
        repeat(args[0].number, args[1].text, out);
        return true;
    default:
        return template_fail(e, "no such function");
    }
}

bool template_call_text(Execution *e, int id, const Value *args, size_t count, Value *out) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    int64_t matches = 0;
    bool known;

    if (id == FN_PRINTF) return template_printf(e, args, count, out);
    if (id == FN_SUBSTR) return substring(e, args[0].number, args[1].number, args[2].text, out);
    *out = borrow(id, args, &known);
    if (known) return true;
    buf_init(&text, TEMPLATE_BYTES_MAX);
    if (!make(e, id, args, count, &matches, &text)) return false;
    if (id == FN_COUNT) {
        *out = value_int(matches);
        return true;
    }
    return template_text(e, &text, out);
}
