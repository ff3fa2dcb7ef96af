#include "tests/unit/generator/spans.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static Attributes attributes_of(Arena *arena, const char *text, const char *service) {
    Attribute *items = ARENA_ARRAY(arena, Attribute, 64);
    Str rest = str_of(text == NULL ? "" : text);
    uint32_t count = 0;

    if (service != NULL)
        items[count++] = (Attribute){
            .key = STR("service.name"), .type = ATTRIBUTE_STRING, .text = str_of(service)};
    while (rest.len > 0) {
        Str pair, key, value;
        int64_t number;

        str_cut(rest, ',', &pair, &rest);
        str_cut(pair, '=', &key, &value);
        items[count] = (Attribute){.key = key, .type = ATTRIBUTE_STRING, .text = value};
        if (str_to_i64(value, &number)) {
            items[count].type = ATTRIBUTE_INT;
            items[count].integer = number;
        }
        count++;
    }
    return (Attributes){items, count, 0};
}

static Str kept(Arena *arena, Buf *buf) {
    Str copy = buf->len == 0 ? STR("") : str_dup(arena, buf_str(buf));

    assert_false(buf_failed(buf));
    buf_done(buf);
    return copy;
}

static void make(Arena *arena, const TestSpan *test, SpansOrigin *origin, SpansItem *item) {
    SpanOrigin from = {.resource = attributes_of(arena, test->resource, test->service),
                       .scope_name = STR(""),
                       .scope_version = STR("")};
    Span span = {.id = test->id,
                 .parent = test->parent,
                 .start_ns = test->start_ms * 1000000,
                 .end_ns = test->end_ms * 1000000,
                 .kind = (uint8_t)test->kind,
                 .status = (uint8_t)test->status,
                 .name = str_of(test->name),
                 .status_message = STR(""),
                 .state = STR(""),
                 .attributes = attributes_of(arena, test->attributes, NULL)};
    Error err;
    Buf buf;

    memset(span.trace.bytes, 7, sizeof span.trace.bytes);
    span.trace.bytes[15] = test->trace;
    buf_init(&buf, 0);
    assert_true(origin_encode_resource(&from, &buf));
    assert_ok(
        origin_wire(kept(arena, &buf), STR(""), STR(""), STR(""), arena, &origin->bytes, &err),
        &err);
    origin->id = spans_origin_id(1, origin->bytes, 1);
    buf_init(&buf, 0);
    assert_true(span_encode(&span, &buf));
    *item = (SpansItem){.trace = span.trace,
                        .start_ns = span.start_ns,
                        .end_ns = span.end_ns,
                        .span = kept(arena, &buf)};
}

SpansBatch test_batch(Arena *arena, const char *tenant, const TestSpan *spans, size_t count) {
    SpansBatch batch = {.tenant = str_of(tenant),
                        .origins = ARENA_ARRAY(arena, SpansOrigin, count),
                        .items = ARENA_ARRAY(arena, SpansItem, count),
                        .origin_count = count,
                        .item_count = count};

    for (size_t i = 0; i < count; i++) {
        make(arena, &spans[i], &batch.origins[i], &batch.items[i]);
        batch.items[i].origin = (uint32_t)i;
        batch.bytes += batch.items[i].span.len;
    }
    return batch;
}
