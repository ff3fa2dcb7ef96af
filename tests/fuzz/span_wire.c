/*
 * span_wire.c: any bytes as a span and as an origin: what passes the check decodes, and what was
 * encoded of it passes and decodes to the same bytes again.
 */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#include "common/batch/span_wire.h"

bool fuzz_seed(unsigned n, Buf *out) {
    static const Str texts[] = {STR_INIT("a"), STR_INIT("")};
    static const Attribute attributes[] = {
        {.key = STR_INIT("s"), .type = ATTRIBUTE_STRING, .text = STR_INIT("GET")},
        {.key = STR_INIT("i"), .type = ATTRIBUTE_INT, .integer = -1},
        {.key = STR_INIT("d"), .type = ATTRIBUTE_DOUBLE, .number = 0.5},
        {.key = STR_INIT("l"), .type = ATTRIBUTE_STRINGS, .count = 2, .texts = texts},
        {.key = STR_INIT("o"), .type = ATTRIBUTE_OTHER, .text = STR_INIT("\x2a\x00")},
    };
    static const SpanEvent event = {
        .time_ns = 1, .name = STR_INIT("e"), .attributes = {attributes, 1, 1}};
    static const SpanLink link = {.span = 1, .state = STR_INIT("k=v"), .flags = 1};
    Span span = {.trace = {{1}},
                 .id = 2,
                 .parent = n,
                 .start_ns = 5,
                 .end_ns = 6,
                 .kind = 2,
                 .status = 2,
                 .name = STR("n"),
                 .status_message = STR("m"),
                 .state = STR("s"),
                 .attributes = {attributes, ARRAY_LEN(attributes), 0},
                 .events = &event,
                 .event_count = n,
                 .links = &link,
                 .link_count = n};
    SpanOrigin origin = {.resource = {attributes, 2, 0}, .scope_name = STR("lib")};

    if (n < 2) return span_encode(&span, out);
    if (n > 2) return false;
    buf_append_u32(out, 0);
    buf_append_u32(out, 5);
    if (!origin_encode_scope(&origin, out)) return false;
    buf_append_u32(out, 0);
    buf_append_u32(out, 0);
    return true;
}

static void run_span(Str message, Arena *arena) {
    SpanPlace place;
    Span span;
    Buf first, second;
    Error err;

    if (span_check(message, &place, &err) != ERR_OK) return;
    assert(place.end_ns >= place.start_ns);
    if (span_decode(message, NULL, arena, &span, &err) != ERR_OK) abort();
    buf_init(&first, 0);
    buf_init(&second, 0);
    if (!span_encode(&span, &first)) abort();
    if (span_check(buf_str(&first), &place, &err) != ERR_OK ||
        span_decode(buf_str(&first), NULL, arena, &span, &err) != ERR_OK ||
        !span_encode(&span, &second))
        abort();
    assert(first.len == second.len && memcmp(first.ptr, second.ptr, first.len) == 0);
    buf_done(&first);
    buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str input = {(const char *)data, size};
    Arena *arena = arena_new(MIB(256), NULL);
    SpanOrigin origin;
    Error err;

    run_span(input, arena);
    if (origin_check(input, &err) == ERR_OK && origin_decode(input, arena, &origin, &err) != ERR_OK)
        abort();
    arena_free(arena);
    return 0;
}
