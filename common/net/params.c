/*
 * params.c: percent-encoding, and the fields of queries and forms.
 *
 * What can't be decoded never gets here: the server refuses such a request before a handler runs,
 * so that looking up a field can't fail half-way.
 */
#include <string.h>

#include "common/net/internal.h"

typedef struct Param {
    Str name;
    Str value;
} Param;

struct Params {
    Param *all;
    size_t count;
    /* Where the last look-up ended: who asks for index 0, 1, 2... of a name goes on from there. */
    size_t last_at, last_index;
    Str last_name;
};

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

size_t percent_decode(Str s, bool plus, char *out) {
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < s.len ? hex_value(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_value(s.ptr[i + 2]) : -1;

            if (high < 0 || low < 0) return SIZE_MAX;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[len++] = c;
    }
    return len;
}

bool percent_is_valid(Str s) {
    const char *at = s.ptr, *end = s.ptr + s.len;

    while (at < end && (at = memchr(at, '%', (size_t)(end - at))) != NULL) {
        if (end - at < 3 || hex_value(at[1]) < 0 || hex_value(at[2]) < 0) return false;
        at += 3;
    }
    return true;
}

static const char *params_flaw(Str encoded, size_t *count) {
    if (encoded.len == 0) return NULL;
    if (!percent_is_valid(encoded)) return "a percent sign without two hex digits";
    ++*count;
    for (size_t i = 0; i < encoded.len; i++) *count += encoded.ptr[i] == '&';
    return *count > PARAMS_MAX ? "more than 10000 parameters" : NULL;
}

static size_t count_fields(Str encoded) {
    size_t count = encoded.len > 0;

    for (size_t i = 0; i < encoded.len; i++) count += encoded.ptr[i] == '&';
    return count;
}

static bool decode_field(Arena *arena, Str encoded, Str *out) {
    char *bytes;
    size_t len;

    /* Most need no decoding, and are shown where they lie. */
    if (encoded.len == 0 || (memchr(encoded.ptr, '%', encoded.len) == NULL &&
                             memchr(encoded.ptr, '+', encoded.len) == NULL)) {
        *out = encoded;
        return true;
    }
    bytes = arena_alloc_bytes(arena, encoded.len);
    if (bytes == NULL) return false;
    len = percent_decode(encoded, true, bytes);
    if (len == SIZE_MAX) return false;
    *out = (Str){bytes, len};
    return true;
}

static void decode_fields(Arena *arena, Params *params, Str encoded) {
    while (encoded.len > 0) {
        Str field, name, value;

        str_cut(encoded, '&', &field, &encoded);
        if (field.len == 0) continue;
        str_cut(field, '=', &name, &value);
        if (decode_field(arena, name, &params->all[params->count].name) &&
            decode_field(arena, value, &params->all[params->count].value))
            params->count++;
    }
}

static bool is_form(const HttpRequest *request) {
    Str type = http_header(request, "content-type"), rest;

    str_cut(type, ';', &type, &rest);
    return request->body_len > 0 &&
           str_equal_nocase(str_trim(type), STR("application/x-www-form-urlencoded"));
}

static Params *decode_params(HttpRequest *request) {
    Str query = http_query_string(request), form = {"", 0};
    Arena *arena = http_arena(request);
    Params *params = ARENA_NEW(arena, Params);

    if (params == NULL) return NULL;
    if (is_form(request)) form = http_body(request);
    params->all = ARENA_ARRAY(arena, Param, count_fields(query) + count_fields(form) + 1);
    if (params->all == NULL) return NULL;
    decode_fields(arena, params, form);
    decode_fields(arena, params, query);
    return params;
}

bool http_param(HttpRequest *request, const char *name, size_t index, Str *out) {
    Str wanted = str_of(name);
    Params *params;
    size_t seen = 0, i = 0;

    if (request->params == NULL) request->params = decode_params(request);
    params = request->params;
    if (params == NULL) return false;
    if (index > 0 && params->last_index + 1 == index && str_equal(params->last_name, wanted)) {
        seen = index;
        i = params->last_at + 1;
    }
    for (; i < params->count; i++) {
        if (!str_equal(params->all[i].name, wanted) || seen++ != index) continue;
        params->last_name = params->all[i].name;
        params->last_index = index;
        params->last_at = i;
        *out = params->all[i].value;
        return true;
    }
    return false;
}

const char *request_params_flaw(const HttpRequest *request) {
    Str query = http_query_string(request), encoding;
    size_t count = 0;
    const char *flaw = params_flaw(query, &count);

    if (flaw != NULL || !is_form(request)) return flaw;
    encoding = http_header(request, "content-encoding");
    if (encoding.len > 0 && !str_equal_nocase(encoding, STR("identity")))
        return "a form with a Content-Encoding";
    return params_flaw(http_body(request), &count);
}
