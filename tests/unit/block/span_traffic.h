#pragma once
/*
 * span_traffic.h: traces as services make them, numbered, one a second; and what is asked of them.
 */
#include "common/base/hash.h"
#include "common/block/spans.h"
#include "common/store/fault.h"
#include "tests/unit/block/spans_model.h"

#define TRAFFIC_START INT64_C(1700000000000000000)
#define TRAFFIC_STEP INT64_C(1000000000)

enum { TRAFFIC_SERVICES = 5 };

static inline TraceId traffic_id(uint64_t n) {
    Hash128 hash = hash_bytes_128(&n, sizeof n, 7);
    TraceId id;

    memcpy(id.bytes, &hash, sizeof id.bytes);
    return id;
}

static inline SpanOrigin *traffic_origins(Arena *arena) {
    SpanOrigin *origins = ARENA_ARRAY(arena, SpanOrigin, TRAFFIC_SERVICES);

    for (uint32_t i = 0; i < TRAFFIC_SERVICES; i++) {
        Attribute *items = ARENA_ARRAY(arena, Attribute, 2);

        items[0] = (Attribute){.key = STR("service.name"),
                               .type = ATTRIBUTE_STRING,
                               .text = str_format(arena, "service-%u", i)};
        items[1] = (Attribute){
            .key = STR("host"), .type = ATTRIBUTE_STRING, .text = str_format(arena, "host-%u", i)};
        origins[i] = (SpanOrigin){.resource = {.items = items, .count = 2},
                                  .scope_name = STR("traffic"),
                                  .service = items[0].text};
    }
    return origins;
}

/* Span `i` of trace `n`: a chain of calls through all services; every hundredth trace fails. */
static inline Span traffic_span(Arena *arena, const SpanOrigin *origins, uint64_t n, uint32_t i) {
    Attribute *items = ARENA_ARRAY(arena, Attribute, 4);
    SpanEvent *event = ARENA_NEW(arena, SpanEvent);
    bool failed = n % 100 == 99;
    Span s = {
        .trace = traffic_id(n),
        .id = n * 1000000 + i + 1,
        .parent = i == 0 ? 0 : n * 1000000 + i,
        .start_ns = TRAFFIC_START + (int64_t)n * TRAFFIC_STEP + i,
        .kind = (uint8_t)(1 + i % 5),
        .status = failed ? SPAN_STATUS_ERROR : SPAN_STATUS_UNSET,
        .name = str_format(arena, "operation-%u", i % 7),
        .status_message = failed ? STR("it broke") : STR(""),
        .attributes = {.items = items, .count = 4},
        .origin = &origins[i % TRAFFIC_SERVICES],
        .event_count = failed,
        .events = event,
    };

    s.end_ns = s.start_ns + (int64_t)(n % 977) * 1000 + 1;
    items[0] = (Attribute){.key = STR("user"),
                           .type = ATTRIBUTE_STRING,
                           .text = str_format(arena, "%016llx%016llx",
                                              (unsigned long long)hash_bytes(&s.id, 8),
                                              (unsigned long long)hash_bytes(&s.start_ns, 8))};
    items[1] = (Attribute){
        .key = STR("http.status_code"), .type = ATTRIBUTE_INT, .integer = failed ? 500 : 200};
    /* A thousand traces in one place after the other. */
    items[2] = (Attribute){.key = STR("place"),
                           .type = ATTRIBUTE_STRING,
                           .text = str_format(arena, "place-%llu", (unsigned long long)n / 1000)};
    items[3] = (Attribute){.key = STR("number"), .type = ATTRIBUTE_INT, .integer = (int64_t)n};
    *event = (SpanEvent){.time_ns = s.start_ns, .name = STR("exception")};
    return s;
}

/* Spans [first, end) of each of these traces, traces one behind the other. */
typedef struct Traffic {
    uint64_t from; /* traces [from, to) */
    uint64_t to;
    uint32_t first;
    uint32_t end;
} Traffic;

static inline Span *traffic_spans(Arena *arena, const Traffic *t, size_t *count) {
    const SpanOrigin *origins = traffic_origins(arena);
    Span *spans = ARENA_ARRAY(arena, Span, (t->to - t->from) * (t->end - t->first) + 1);
    size_t n = 0;

    assert_non_null(spans);
    for (uint64_t trace = t->from; trace < t->to; trace++) {
        for (uint32_t i = t->first; i < t->end; i++)
            spans[n++] = traffic_span(arena, origins, trace, i);
    }
    *count = n;
    return spans;
}

static inline SpanTable traffic_table(Arena *arena, const Traffic *t) {
    SpanTable table = {0};
    size_t count;
    Span *spans = traffic_spans(arena, t, &count);
    Error err;

    assert_ok(span_table_build(spans, count, arena, &table, &err), &err);
    return table;
}

/* An object with a tenant's tables. */
static inline void traffic_object(const SpanTable *tables, size_t count, Buf *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockWriter *writer = block_writer_new(arena, block_sink_buf(out), 1700000000000);
    BlockSummary summary;
    Error err;

    assert_non_null(writer);
    assert_ok(block_spans_begin(writer, STR("t"), &err), &err);
    for (size_t i = 0; i < count; i++) assert_ok(block_spans_table(writer, &tables[i], &err), &err);
    assert_ok(block_spans_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
}
