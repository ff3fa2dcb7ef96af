#pragma once
/*
 * span_world.h: spans in a World: what was written and what heads and store hold, byte for byte.
 *
 * A span is known by its trace's and its own number; all else of it follows from these.
 */
#include "common/base/log.h"
#include "common/batch/span_wire.h"
#include "common/block/spans.h"
#include "tests/unit/ingester/world.h"

typedef struct SpanFact {
    uint32_t trace;
    uint32_t span;
} SpanFact;

typedef struct SpanFacts {
    SpanFact *items;
    size_t count;
    size_t capacity;
} SpanFacts;

static inline void span_facts_add(SpanFacts *facts, uint32_t trace, uint32_t span) {
    if (facts->count == facts->capacity) {
        facts->capacity = MAX(facts->capacity * 2, (size_t)256);
        facts->items = realloc(facts->items, facts->capacity * sizeof *facts->items);
        assert_non_null(facts->items);
    }
    facts->items[facts->count++] = (SpanFact){trace, span};
}

static inline int span_fact_compare(const void *a, const void *b) {
    const SpanFact *x = a, *y = b;

    if (x->trace != y->trace) return x->trace < y->trace ? -1 : 1;
    return (x->span > y->span) - (x->span < y->span);
}

static inline void span_facts_sort(SpanFacts *facts) {
    if (facts->count > 1)
        qsort(facts->items, facts->count, sizeof *facts->items, span_fact_compare);
}

static inline void span_facts_unique(SpanFacts *facts) {
    size_t kept = 0;

    span_facts_sort(facts);
    for (size_t i = 0; i < facts->count; i++)
        if (kept == 0 || span_fact_compare(&facts->items[kept - 1], &facts->items[i]) != 0)
            facts->items[kept++] = facts->items[i];
    facts->count = kept;
}

static inline void span_facts_done(SpanFacts *facts) {
    free(facts->items);
    *facts = (SpanFacts){0};
}

/* ---------- writing ---------- */

static inline TraceId trace_number(uint32_t trace) {
    TraceId id = {{0xab}};

    memcpy(id.bytes + 12, &trace, sizeof trace);
    return id;
}

/* Origins are three services, each of 5 spans in a row. */
static inline uint32_t span_origin(uint32_t span) {
    return span / 5 % 3;
}

static inline Span make_span(Arena *arena, uint32_t trace, uint32_t span) {
    Attribute *attribute = ARENA_ARRAY(arena, Attribute, 1);

    attribute[0] = (Attribute){.key = STR("k"),
                               .type = ATTRIBUTE_STRING,
                               .text = str_format(arena, "%0*u", (int)(span % 200) + 1, trace)};
    return (Span){.trace = trace_number(trace),
                  .id = span + 1,
                  .parent = span == 0 ? 0 : (span - 1) / 2 + 1,
                  .start_ns = (int64_t)(trace + 1) * 1000000 + span,
                  .end_ns = (int64_t)(trace + 1) * 1000000 + span + 500,
                  .kind = 2,
                  .name = str_format(arena, "span %u of %u", span, trace),
                  .attributes = {attribute, 1, span % 3}};
}

static inline Str origin_bytes(Arena *arena, uint32_t origin) {
    Attribute service = {.key = STR("service.name"),
                         .type = ATTRIBUTE_STRING,
                         .text = str_format(arena, "service %u", origin)};
    SpanOrigin from = {.resource = {&service, 1, 0}};
    Error err = {0};
    Buf resource;
    Str out;

    buf_init(&resource, 0);
    assert_true(origin_encode_resource(&from, &resource));
    assert_ok(origin_wire(buf_str(&resource), STR(""), STR(""), STR(""), arena, &out, &err), &err);
    buf_done(&resource);
    return out;
}

static inline AppendResult world_spans_batch(World *world, const SpansBatch *batch) {
    Answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

    ingester_append_spans(world->ingester, batch, answer_take, &answer);
    pthread_mutex_lock(&answer.lock);
    while (!answer.done) pthread_cond_wait(&answer.wake, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.result;
}

/* Spans [first, first + per) of traces [trace, trace + count); what is acknowledged is noted. */
static inline AppendResult world_trace(World *world, Str tenant, uint32_t trace, uint32_t count,
                                       uint32_t first, uint32_t per, SpanFacts *acknowledged) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpansBatch batch = {.tenant = tenant,
                        .origins = ARENA_ARRAY(arena, SpansOrigin, 3),
                        .items = ARENA_ARRAY(arena, SpansItem, (size_t)count * per),
                        .origin_count = 3,
                        .item_count = (size_t)count * per};
    AppendResult result;
    Buf bytes;

    for (uint32_t i = 0; i < 3; i++) {
        Str origin = origin_bytes(arena, i);

        batch.origins[i] = (SpansOrigin){
            spans_origin_id(hash_str(tenant), origin, ingester_series_seed(world->ingester)),
            origin};
    }
    buf_init(&bytes, 0);
    for (uint32_t i = 0; i < count * per; i++) {
        Span span = make_span(arena, trace + i / per, first + i % per);

        buf_clear(&bytes);
        assert_true(span_encode(&span, &bytes));
        batch.items[i] = (SpansItem){.trace = span.trace,
                                     .start_ns = span.start_ns,
                                     .end_ns = span.end_ns,
                                     .origin = span_origin(first + i % per),
                                     .span = str_dup(arena, buf_str(&bytes))};
    }
    buf_done(&bytes);
    result = world_spans_batch(world, &batch);
    for (uint32_t i = 0; acknowledged != NULL && result.code == ERR_OK && i < count * per; i++)
        span_facts_add(acknowledged, trace + i / per, first + i % per);
    return result;
}

/* ---------- reading ---------- */

/* Every span of the table is what its numbers say, to the byte. */
static inline void take_table(const SpanTable *table, SpanFacts *facts) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Error err = {0};
    Buf want, got;

    buf_init(&want, 0);
    buf_init(&got, 0);
    for (uint32_t t = 0; t < table->trace_count; t++) {
        Span *spans;

        assert_ok(span_table_spans(table, &table->traces[t], arena, &spans, &err), &err);
        for (uint32_t i = 0; i < table->traces[t].count; i++) {
            uint32_t trace, span = (uint32_t)spans[i].id - 1;
            Span made;

            memcpy(&trace, spans[i].trace.bytes + 12, sizeof trace);
            made = make_span(arena, trace, span);
            buf_clear(&want);
            buf_clear(&got);
            assert_true(span_encode(&made, &want));
            assert_true(span_encode(&spans[i], &got));
            assert_true(str_equal(buf_str(&want), buf_str(&got)));
            assert_true(str_equal(spans[i].origin->service,
                                  str_format(arena, "service %u", span_origin(span))));
            span_facts_add(facts, trace, span);
        }
    }
    buf_done(&want);
    buf_done(&got);
}

static inline size_t world_span_heads_at(World *world, Str tenant, int64_t min_ns, int64_t max_ns,
                                         const TraceId *trace, SpanFacts *facts) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanHeadReader reader = ingester_span_head_reader(world->ingester);
    SpanHeadSelect select = {.tenant = tenant, .min_ns = min_ns, .max_ns = max_ns, .trace = trace};
    const SpanTable **tables;
    Error err = {0};
    size_t count;

    assert_ok(reader.select(reader.context, &select, arena, &tables, &count, &err), &err);
    for (size_t i = 0; i < count; i++) take_table(tables[i], facts);
    return count;
}

static inline void world_span_heads(World *world, Str tenant, SpanFacts *facts) {
    world_span_heads_at(world, tenant, INT64_MIN, INT64_MAX, NULL, facts);
}

static inline void read_span_object(World *world, const ManifestEntry *entry, Str tenant,
                                    SpanFacts *facts) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockCache *cache = block_cache_new(world->store, NULL);
    SpanSelect select = {.tenant = tenant, .min_ns = INT64_MIN, .max_ns = INT64_MAX};
    SpanNeed need = {.columns = SPAN_ALL, .all_keys = true};
    BlockStats stats = {0};
    SpansSelection selection;
    const Block *block;
    Error err = {0};

    assert_ok(block_open(cache, entry->key, entry->size, arena, &stats, &block, &err), &err);
    assert_ok(block_spans_select(block, &select, arena, &stats, &selection, &err), &err);
    for (size_t i = 0; i < selection.page_count; i++) {
        SpanTable table;

        assert_ok(span_page_read(&selection, &selection.pages[i], &need, arena, &table, &err),
                  &err);
        take_table(&table, facts);
    }
    arena_free(arena);
    arena = NULL; /* what it pins goes before the cache */
    block_cache_free(cache);
}

static inline size_t world_span_store(World *world, Str tenant, SpanFacts *facts) {
    const ManifestSnapshot *snapshot = manifest_snapshot(world->manifest);
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    for (size_t i = 0; i < count; i++) read_span_object(world, &entries[i], tenant, facts);
    manifest_snapshot_unref(snapshot);
    return count;
}

static inline void assert_same_spans(SpanFacts *found, SpanFacts *expected) {
    span_facts_sort(expected);
    assert_int_equal(found->count, expected->count);
    if (found->count > 0)
        assert_memory_equal(found->items, expected->items, found->count * sizeof *found->items);
}

/* Heads and store together hold exactly `expected`. What is being flushed may be in both. */
static inline void assert_holds_spans(World *world, Str tenant, SpanFacts *expected) {
    SpanFacts found = {0};

    world_span_heads(world, tenant, &found);
    world_span_store(world, tenant, &found);
    span_facts_unique(&found);
    assert_same_spans(&found, expected);
    span_facts_done(&found);
}

/* After a flush: the store holds exactly `expected`, each once, and the heads nothing. */
static inline void assert_stored_spans(World *world, Str tenant, SpanFacts *expected) {
    SpanFacts found = {0};

    world_span_heads(world, tenant, &found);
    assert_int_equal(found.count, 0);
    world_span_store(world, tenant, &found);
    span_facts_sort(&found);
    assert_same_spans(&found, expected);
    span_facts_done(&found);
}
