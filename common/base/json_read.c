#include "common/base/json_read.h"

#include "common/base/rune.h"

enum Expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* behind [ */
    EXPECT_KEY,          /* behind a comma in an object */
    EXPECT_KEY_OR_END,   /* behind { */
    EXPECT_COMMA_OR_END,
    EXPECT_NOTHING, /* the value is over */
    EXPECT_FAILED,
};

static const char OUT_OF_MEMORY[] = "no memory left for its texts";

JsonReader json_reader(Str json, Arena *arena) {
    return (JsonReader){.start = json.ptr,
                        .at = json.ptr,
                        .end = json.ptr + json.len,
                        .arena = arena,
                        .expect = EXPECT_VALUE};
}

static JsonToken fail(JsonReader *reader, const char *problem) {
    if (reader->expect != EXPECT_FAILED) reader->problem = problem;
    reader->expect = EXPECT_FAILED;
    return JSON_ERROR;
}

static void skip_space(JsonReader *reader) {
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\t' || *reader->at == '\r'))
        reader->at++;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex4(const char *at, const char *end, uint32_t *out) {
    uint32_t v = 0;

    if (end - at < 4) return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);

        if (digit < 0) return false;
        v = v << 4 | (uint32_t)digit;
    }
    *out = v;
    return true;
}

/* \uXXXX, a pair of them where the first is the first half. `at` is behind the `u`; NULL: bad. */
static const char *read_unicode(const char *at, const char *end, char **out) {
    uint32_t rune, low;

    if (!read_hex4(at, end, &rune)) return NULL;
    at += 4;
    if (rune >= 0xd800 && rune < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
        read_hex4(at + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
        rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    }
    *out += rune_encode(rune, *out);
    return at;
}

/* What a one-letter escape stands for; 0: there is no such one. */
static char simple_escape(char c) {
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* [at, close) with at least one backslash. An escape is never shorter than what it stands for. */
static bool unescape(JsonReader *reader, const char *at, const char *close) {
    char *text = arena_alloc_bytes(reader->arena, (size_t)(close - at) + RUNE_BYTES_MAX);
    char *out = text;

    if (text == NULL) return fail(reader, OUT_OF_MEMORY) != JSON_ERROR;
    while (at < close) {
        const char *slash = memchr(at, '\\', (size_t)(close - at));
        size_t plain = (size_t)((slash == NULL ? close : slash) - at);

        memcpy(out, at, plain);
        out += plain;
        at += plain;
        if (slash == NULL) break;
        if (at[1] == 'u') {
            const char *next = read_unicode(at + 2, close, &out);

            if (next == NULL) goto bad;
            at = next;
        } else {
            *out = simple_escape(at[1]);
            if (*out++ == 0) goto bad;
            at += 2;
        }
    }
    reader->text = (Str){text, (size_t)(out - text)};
    return true;
bad:
    reader->at = at;
    return fail(reader, "there is no such escape in JSON") != JSON_ERROR;
}

/* `at` is on the opening quote. */
static bool read_text(JsonReader *reader) {
    const char *start = reader->at + 1, *at = start;
    bool escaped = false;

    for (;;) {
        while (at < reader->end && *at != '"' && *at != '\\') at++;
        if (at >= reader->end)
            return fail(reader, "a text without its closing quote") != JSON_ERROR;
        if (*at == '"') break;
        escaped = true;
        at += MIN(2, reader->end - at);
    }
    reader->text = (Str){start, (size_t)(at - start)};
    if (escaped && reader->arena != NULL && !unescape(reader, start, at)) return false;
    reader->at = at + 1;
    return true;
}

static bool is_digit(const char *at, const char *end) {
    return at < end && *at >= '0' && *at <= '9';
}

static JsonToken read_number(JsonReader *reader) {
    const char *at = reader->at, *end = reader->end;

    if (*at == '-') at++;
    if (!is_digit(at, end)) return fail(reader, "expected a value");
    if (*at == '0')
        at++;
    else
        while (is_digit(at, end)) at++;
    if (at < end && *at == '.') {
        at++;
        if (!is_digit(at, end)) return fail(reader, "a number without digits behind its point");
        while (is_digit(at, end)) at++;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        if (!is_digit(at, end)) return fail(reader, "a number without digits in its exponent");
        while (is_digit(at, end)) at++;
    }
    reader->text = (Str){reader->at, (size_t)(at - reader->at)};
    reader->at = at;
    return JSON_NUMBER;
}

static JsonToken read_word(JsonReader *reader, Str word, JsonToken token) {
    if (!str_equal(str_slice((Str){reader->at, (size_t)(reader->end - reader->at)}, 0, word.len),
                   word))
        return fail(reader, "expected a value");
    reader->at += word.len;
    return token;
}

static JsonToken open_container(JsonReader *reader, bool object) {
    if (reader->depth == JSON_DEPTH_MAX - 1) return fail(reader, "nested deeper than 63 levels");
    reader->depth++;
    reader->in_object &= ~(UINT64_C(1) << reader->depth);
    reader->in_object |= (uint64_t)object << reader->depth;
    reader->expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    reader->at++;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static bool in_object(const JsonReader *reader) {
    return reader->depth > 0 && (reader->in_object >> reader->depth & 1) != 0;
}

static void value_is_over(JsonReader *reader) {
    if (reader->expect != EXPECT_FAILED)
        reader->expect = reader->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
}

static JsonToken close_container(JsonReader *reader) {
    JsonToken token = in_object(reader) ? JSON_OBJECT_END : JSON_ARRAY_END;

    reader->depth--;
    reader->at++;
    value_is_over(reader);
    return token;
}

static JsonToken read_value(JsonReader *reader) {
    JsonToken token;

    switch (*reader->at) {
    case '{':
        return open_container(reader, true);
    case '[':
        return open_container(reader, false);
    case '"':
        token = read_text(reader) ? JSON_STRING : JSON_ERROR;
        break;
    case 't':
        token = read_word(reader, STR("true"), JSON_TRUE);
        break;
    case 'f':
        token = read_word(reader, STR("false"), JSON_FALSE);
        break;
    case 'n':
        token = read_word(reader, STR("null"), JSON_NULL);
        break;
    default:
        token = read_number(reader);
    }
    value_is_over(reader);
    return token;
}

static JsonToken read_key(JsonReader *reader) {
    if (*reader->at != '"') return fail(reader, "expected a key in quotes");
    if (!read_text(reader)) return JSON_ERROR;
    skip_space(reader);
    if (reader->at >= reader->end || *reader->at != ':')
        return fail(reader, "expected a colon behind the key");
    reader->at++;
    reader->expect = EXPECT_VALUE;
    return JSON_KEY;
}

JsonToken json_next(JsonReader *reader) {
    if (reader->expect == EXPECT_FAILED) return JSON_ERROR;
    skip_space(reader);
    if (reader->at >= reader->end)
        return reader->expect == EXPECT_NOTHING ? JSON_END : fail(reader, "it ends too early");
    if (reader->expect == EXPECT_NOTHING) return fail(reader, "there is more behind its end");
    if (reader->expect == EXPECT_COMMA_OR_END) {
        if (*reader->at == (in_object(reader) ? '}' : ']')) return close_container(reader);
        if (*reader->at != ',')
            return fail(reader, in_object(reader) ? "expected , or }" : "expected , or ]");
        reader->at++;
        reader->expect = in_object(reader) ? EXPECT_KEY : EXPECT_VALUE;
        skip_space(reader);
        if (reader->at >= reader->end) return fail(reader, "it ends too early");
    }
    if (reader->expect == EXPECT_KEY_OR_END && *reader->at == '}') return close_container(reader);
    if (reader->expect == EXPECT_VALUE_OR_END && *reader->at == ']') return close_container(reader);
    if (reader->expect == EXPECT_KEY || reader->expect == EXPECT_KEY_OR_END)
        return read_key(reader);
    return read_value(reader);
}

bool json_skip(JsonReader *reader, JsonToken token) {
    unsigned depth = reader->depth;

    if (token == JSON_ERROR) return false;
    if (token != JSON_OBJECT && token != JSON_ARRAY) return true;
    while (reader->depth >= depth)
        if (json_next(reader) == JSON_ERROR) return false;
    return true;
}

ErrCode json_reader_error(const JsonReader *reader, Error *err) {
    ErrCode code = reader->problem == OUT_OF_MEMORY ? ERR_UNAVAILABLE : ERR_INVALID;

    return error_set(err, code, "JSON, at byte %zu: %s", (size_t)(reader->at - reader->start),
                     reader->problem == NULL ? "not what is expected here" : reader->problem);
}
