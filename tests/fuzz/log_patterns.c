/*
 * log_patterns.c: lines of any bytes become templates, and those patterns: each template is what
 * the pattern that it became part of says, as a pattern filter would find.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/block/logs.h"
#include "querier/logql/engine/patterns.h"
#include "tests/fuzz/fuzz.h"

enum { LINES_MAX = 512, MEMORY_MAX = 64 << 20 };

#define VARIABLE STR("<_>")

static Str until_variable(Str text) {
    const char *at = text.len == 0 ? NULL : memmem(text.ptr, text.len, VARIABLE.ptr, VARIABLE.len);

    return str_slice(text, 0, at == NULL ? text.len : (size_t)(at - text.ptr));
}

/* The pattern's constant pieces lie in the text, in their order; the first where it begins and the
 * last where it ends, unless there is a variable. */
static bool matches(Str pattern, Str text) {
    bool first = true;

    for (;;) {
        Str piece = until_variable(pattern);
        bool last = piece.len == pattern.len;
        const char *at;

        if (first && last) return str_equal(piece, text);
        if (first) {
            if (!str_starts_with(text, piece)) return false;
            text = str_from(text, piece.len);
        } else if (last) {
            return text.len >= piece.len && str_equal(str_from(text, text.len - piece.len), piece);
        } else if (piece.len > 0) {
            at = text.len == 0 ? NULL : memmem(text.ptr, text.len, piece.ptr, piece.len);
            if (at == NULL) return false;
            text = str_from(text, (size_t)(at - text.ptr) + piece.len);
        }
        pattern = str_from(pattern, piece.len + VARIABLE.len);
        first = false;
    }
}

static void check(Str line, Str pattern) {
    if (matches(pattern, line)) return;
    fprintf(stderr, "%.*s\nis not\n%.*s\n", (int)line.len, line.ptr, (int)pattern.len, pattern.ptr);
    abort();
}

static Str template_of(Arena *arena, Str line) {
    CLEANUP_IN_PLACE(buf_done) Buf raw = {0};
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    CLEANUP_IN_PLACE(buf_done) Buf collapsed = {0};

    log_line_template(line, &raw);
    log_template_text(buf_str(&raw), &text);
    pattern_collapse(buf_str(&text), &collapsed);
    check(line, buf_str(&text));
    check(line, buf_str(&collapsed));
    return str_dup(arena, buf_str(&collapsed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    Str rest = {(const char *)data, size}, lines[LINES_MAX];
    PatternTemplate templates[LINES_MAX];
    PatternClusters clusters;
    size_t count = 0;

    while (rest.len > 0 && count < LINES_MAX) {
        str_cut(rest, '\n', &lines[count], &rest);
        if (lines[count].len == 0) continue;
        templates[count] = (PatternTemplate){.text = template_of(arena, lines[count]),
                                             .count = 1 + (uint8_t)lines[count].ptr[0] % 7u};
        count++;
    }
    if (!pattern_merge(arena, templates, count, &clusters)) return 0;
    for (size_t i = 0; i < count; i++) {
        if (templates[i].cluster >= clusters.count) abort();
        check(lines[i], clusters.texts[templates[i].cluster]);
    }
    return 0;
}

static const char *const seeds[] = {
    "level=info ts=2026-01-02T03:04:05.678Z msg=\"login of ann\" ip=10.0.0.1 took=17ms\n"
    "level=info ts=2026-01-02T03:04:06.7Z msg=\"login of bob\" ip=10.0.0.2 took=1.5ms\n"
    "level=warn ts=2026-01-02T03:04:06Z msg=\"disk <_> is full\" at=12%\n",
    "{\"id\":\"123e4567-e89b-12d3-a456-426614174000\",\"n\":[1,2,-3],\"s\":\"a\\\"b\"}\n"
    "{\"id\":\"123e4567-e89b-12d3-a456-426614174001\",\"n\":[4,5,-6],\"s\":\"c\\\"d\"}\n"
    "x <_>.<_> y\nx 1.<_> z\n<_\n:<_>:<_>:\n \n\x11\x11\x01 7\n",
};

bool fuzz_seed(unsigned n, Buf *out) {
    if (n >= ARRAY_LEN(seeds)) return false;
    buf_append_str(out, str_of(seeds[n]));
    return true;
}
