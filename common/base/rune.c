#include "common/base/rune.h"

#include <pthread.h>

#include "common/base/regex.h"

uint32_t rune_decode(Str s, size_t *len) {
    const unsigned char *p = (const unsigned char *)s.ptr;
    uint32_t rune, lowest;
    size_t more;

    assert(s.len > 0);
    *len = 1;
    if (p[0] < 0x80) return p[0];
    if (p[0] < 0xc2 || p[0] > 0xf4) return RUNE_ERROR;
    more = p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    lowest = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    if (s.len <= more) return RUNE_ERROR;
    rune = p[0] & (0x3f >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) return RUNE_ERROR;
        rune = rune << 6 | (p[i] & 0x3f);
    }
    if (rune < lowest || rune > RUNE_MAX || (rune >= 0xd800 && rune < 0xe000)) return RUNE_ERROR;
    *len = more + 1;
    return rune;
}

size_t rune_encode(uint32_t rune, char out[static RUNE_BYTES_MAX]) {
    assert(rune <= RUNE_MAX);
    if (rune >= 0xd800 && rune < 0xe000) rune = RUNE_ERROR;
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    if (rune < 0x800) {
        out[0] = (char)(0xc0 | rune >> 6);
        out[1] = (char)(0x80 | (rune & 0x3f));
        return 2;
    }
    if (rune < 0x10000) {
        out[0] = (char)(0xe0 | rune >> 12);
        out[1] = (char)(0x80 | (rune >> 6 & 0x3f));
        out[2] = (char)(0x80 | (rune & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | rune >> 18);
    out[1] = (char)(0x80 | (rune >> 12 & 0x3f));
    out[2] = (char)(0x80 | (rune >> 6 & 0x3f));
    out[3] = (char)(0x80 | (rune & 0x3f));
    return 4;
}

/* ---- classes: RE2 brings Unicode's tables with it ---- */

static Regex *letters, *printables;
static pthread_once_t classes_once = PTHREAD_ONCE_INIT;

static void make_classes(void) {
    RegexOptions options = {.anchored = true};
    Error err = {0};

    /* Without memory a class stays NULL: nothing is in it, and quotes escape more. */
    if (regex_new(STR("\\pL"), &options, &letters, &err) != ERR_OK) letters = NULL;
    if (regex_new(STR("[\\pL\\pM\\pN\\pP\\pS]"), &options, &printables, &err) != ERR_OK)
        printables = NULL;
}

static bool is_in(Regex *const *class, uint32_t rune) {
    char text[RUNE_BYTES_MAX];
    size_t len;

    if (rune > RUNE_MAX || (rune >= 0xd800 && rune < 0xe000)) return false;
    pthread_once(&classes_once, make_classes);
    len = rune_encode(rune, text);
    return *class != NULL && regex_matches(*class, (Str){text, len});
}

bool rune_is_letter(uint32_t rune) {
    if (rune < 0x80) return (rune | 32) >= 'a' && (rune | 32) <= 'z';
    return is_in(&letters, rune);
}

bool rune_is_printable(uint32_t rune) {
    if (rune < 0x80) return rune >= 0x20 && rune != 0x7f;
    return is_in(&printables, rune);
}

/* ---- quotes ---- */

static void quote_rune(Buf *out, uint32_t rune, char quote) {
    static const char letters_of[] = "\a\b\f\n\r\t\v", escapes[] = "abfnrtv";
    const char *known = rune > 0 && rune < 0x80 ? strchr(letters_of, (int)rune) : NULL;
    char text[RUNE_BYTES_MAX];

    if (rune == (unsigned char)quote || rune == '\\') {
        buf_append_byte(out, '\\');
        buf_append_byte(out, (char)rune);
    } else if (known != NULL) {
        buf_append_byte(out, '\\');
        buf_append_byte(out, escapes[known - letters_of]);
    } else if (rune_is_printable(rune)) {
        buf_append(out, text, rune_encode(rune, text));
    } else if (rune < 0x80) {
        buf_printf(out, "\\x%02x", (unsigned)rune);
    } else {
        buf_printf(out, rune < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)rune);
    }
}

void rune_quote(Buf *out, Str s) {
    buf_append_byte(out, '"');
    while (s.len > 0) {
        size_t len;
        uint32_t rune = rune_decode(s, &len);

        if (rune == RUNE_ERROR && len == 1)
            buf_printf(out, "\\x%02x", (unsigned)(unsigned char)s.ptr[0]);
        else
            quote_rune(out, rune, '"');
        s = str_from(s, len);
    }
    buf_append_byte(out, '"');
}

void rune_quote_one(Buf *out, uint32_t rune) {
    buf_append_byte(out, '\'');
    quote_rune(out, rune, '\'');
    buf_append_byte(out, '\'');
}
