/*
 * row_text.c: texts of stages: label names, escapes, patterns.
 */
#include <ctype.h>

#include "common/base/rune.h"
#include "querier/logql/engine/row_stage.h"

static void release_regex(void *what) {
    regex_free(what);
}

ErrCode row_regex_new(Arena *arena, Str expression, const Regex **out, Error *err) {
    Regex *regex = NULL;

    TRY(regex_new(expression, &(RegexOptions){0}, &regex, err));
    if (!arena_on_free(arena, release_regex, regex)) {
        regex_free(regex);
        return logql_out_of_memory(err);
    }
    *out = regex;
    return ERR_OK;
}

ErrCode row_regexes_get(RowRegexes *regexes, Str pattern, const Regex **out, Error *err) {
    Regex *regex = NULL;
    unsigned slot;

    for (slot = 0; slot < ROW_REGEXES; slot++)
        if (regexes->slots[slot].regex != NULL &&
            str_equal(buf_str(&regexes->slots[slot].pattern), pattern)) {
            *out = regexes->slots[slot].regex;
            return ERR_OK;
        }
    TRY(regex_new(pattern, &(RegexOptions){.memory_max = MIB(1)}, &regex, err));
    slot = regexes->next++ % ROW_REGEXES;
    regex_free(regexes->slots[slot].regex);
    buf_done(&regexes->slots[slot].pattern);
    buf_init(&regexes->slots[slot].pattern, 0);
    buf_append_str(&regexes->slots[slot].pattern, pattern);
    regexes->slots[slot].regex = regex;
    *out = regex;
    if (buf_failed(&regexes->slots[slot].pattern)) return logql_out_of_memory(err);
    return ERR_OK;
}

void row_regexes_done(RowRegexes *regexes) {
    for (unsigned slot = 0; slot < ROW_REGEXES; slot++) {
        regex_free(regexes->slots[slot].regex);
        buf_done(&regexes->slots[slot].pattern);
    }
}

/* ---- names ---- */

/* Letters, digits and the underscore. */
static const bool plain_bytes[256] = {
    ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true,
    ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true, ['_'] = true, ['a'] = true,
    ['b'] = true, ['c'] = true, ['d'] = true, ['e'] = true, ['f'] = true, ['g'] = true,
    ['h'] = true, ['i'] = true, ['j'] = true, ['k'] = true, ['l'] = true, ['m'] = true,
    ['n'] = true, ['o'] = true, ['p'] = true, ['q'] = true, ['r'] = true, ['s'] = true,
    ['t'] = true, ['u'] = true, ['v'] = true, ['w'] = true, ['x'] = true, ['y'] = true,
    ['z'] = true, ['A'] = true, ['B'] = true, ['C'] = true, ['D'] = true, ['E'] = true,
    ['F'] = true, ['G'] = true, ['H'] = true, ['I'] = true, ['J'] = true, ['K'] = true,
    ['L'] = true, ['M'] = true, ['N'] = true, ['O'] = true, ['P'] = true, ['Q'] = true,
    ['R'] = true, ['S'] = true, ['T'] = true, ['U'] = true, ['V'] = true, ['W'] = true,
    ['X'] = true, ['Y'] = true, ['Z'] = true,
};

static bool is_plain(char c) {
    return plain_bytes[(unsigned char)c];
}

Str row_label_name(Arena *arena, Str key) {
    bool digit, plain = true;
    char *text;
    size_t n = 0;

    while (n < key.len && is_plain(key.ptr[n])) n++;
    if (n == key.len && n > 0 && (key.ptr[0] < '0' || key.ptr[0] > '9')) return key;
    n = 0;
    while (key.len > 0 && isspace((unsigned char)key.ptr[0])) key = str_from(key, 1);
    while (key.len > 0 && isspace((unsigned char)key.ptr[key.len - 1])) key.len--;
    if (key.len == 0) return (Str){"", 0};
    digit = key.ptr[0] >= '0' && key.ptr[0] <= '9';
    for (size_t i = 0; i < key.len; i++) plain = plain && is_plain(key.ptr[i]);
    if (plain && !digit) return key;
    text = arena_alloc_bytes(arena, key.len + 1);
    if (text == NULL) return (Str){NULL, 0};
    if (digit) text[n++] = '_';
    while (key.len > 0) {
        size_t len = 1;

        if ((unsigned char)key.ptr[0] >= 0x80) rune_decode(key, &len);
        text[n++] = is_plain(key.ptr[0]) ? key.ptr[0] : '_';
        key = str_from(key, len);
    }
    return (Str){text, n};
}

/* ---- values ---- */

bool row_is_ascii(Str text) {
    uint64_t high = 0, word;
    size_t i = 0;

    for (; i + sizeof word <= text.len; i += sizeof word) {
        memcpy(&word, text.ptr + i, sizeof word);
        high |= word;
    }
    for (; i < text.len; i++) high |= (unsigned char)text.ptr[i];
    return (high & UINT64_C(0x8080808080808080)) == 0;
}

Str row_clean_text(Arena *arena, Str text) {
    char *out;
    size_t n = 0;

    if (row_is_ascii(text)) return text;
    if (str_is_utf8(text) && memmem(text.ptr, text.len, "\xef\xbf\xbd", 3) == NULL) return text;
    out = arena_alloc_bytes(arena, text.len);
    if (out == NULL) return (Str){"", 0};
    while (text.len > 0) {
        size_t len;

        if (rune_decode(text, &len) == RUNE_ERROR) {
            out[n++] = ' ';
        } else {
            memcpy(out + n, text.ptr, len);
            n += len;
        }
        text = str_from(text, len);
    }
    return (Str){out, n};
}

static bool take_hex(Str *text, uint32_t *out) {
    *out = 0;
    if (text->len < 4) return false;
    for (size_t i = 0; i < 4; i++) {
        int c = (unsigned char)text->ptr[i];

        if (!isxdigit(c)) return false;
        *out = *out * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    *text = str_from(*text, 4);
    return true;
}

/* Behind \u; a pair of surrogates is one character. */
static bool take_unicode(Str *text, uint32_t *rune) {
    uint32_t low;

    if (!take_hex(text, rune)) return false;
    if (*rune < 0xd800 || *rune >= 0xe000) return true;
    if (*rune >= 0xdc00 || !str_starts_with(*text, STR("\\u"))) return false;
    *text = str_from(*text, 2);
    if (!take_hex(text, &low) || low < 0xdc00 || low >= 0xe000) return false;
    *rune = 0x10000 + ((*rune - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

bool row_json_unescape(Arena *arena, Str text, Str *out) {
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char *bytes;
    size_t n = 0;

    *out = text;
    if (memchr(text.ptr, '\\', text.len) == NULL) return true;
    bytes = arena_alloc_bytes(arena, text.len + RUNE_BYTES_MAX);
    if (bytes == NULL) return false;
    while (text.len > 0) {
        const char *known;
        uint32_t rune;

        if (text.ptr[0] != '\\') {
            bytes[n++] = text.ptr[0];
            text = str_from(text, 1);
            continue;
        }
        if (text.len < 2) return false;
        known = memchr(letters, text.ptr[1], sizeof letters - 1);
        if (known == NULL && text.ptr[1] != 'u') return false;
        text = str_from(text, 2);
        if (known != NULL) {
            bytes[n++] = values[known - letters];
        } else {
            if (!take_unicode(&text, &rune)) return false;
            n += rune_encode(rune, bytes + n);
        }
    }
    *out = (Str){bytes, n};
    return true;
}

/* ---- patterns ---- */

static size_t capture_length(Str rest) {
    size_t i = 1;

    if (rest.len < 3 || rest.ptr[0] != '<' || isdigit((unsigned char)rest.ptr[1])) return 0;
    while (i < rest.len && is_plain(rest.ptr[i])) i++;
    return i > 1 && i < rest.len && rest.ptr[i] == '>' ? i + 1 : 0;
}

bool row_pattern_parts(Arena *arena, Str pattern, RowParts *out) {
    size_t capacity = pattern.len + 1, i = 0;

    out->count = 0;
    out->parts = ARENA_ARRAY(arena, RowPart, MIN(capacity, pattern.len / 2 + 2));
    if (out->parts == NULL) return false;
    while (i < pattern.len) {
        size_t len = capture_length(str_from(pattern, i)), start = i;

        if (len > 0) {
            Str name = str_slice(pattern, i + 1, len - 2);

            if (str_equal(name, STR("_"))) name.len = 0;
            out->parts[out->count++] = (RowPart){name, true};
            i += len;
            continue;
        }
        while (i < pattern.len && capture_length(str_from(pattern, i)) == 0) i++;
        out->parts[out->count++] = (RowPart){str_slice(pattern, start, i - start), false};
    }
    return true;
}
