/* What span_table.h promises: traces of several tables in one, as if it were built of their spans.
 */
#include "tests/unit/unit.h"

#include "common/block/span_table.h"
#include "tests/unit/block/spans_model.h"

enum { PARTS = 3 };

static SpanTable build(Arena *arena, const Span *spans, size_t count) {
    SpanTable table;
    Error err;

    assert_ok(span_table_build(spans, count, arena, &table, &err), &err);
    return table;
}

/* A model's traces, dealt out to tables. */
static void deal(const SpansModel *m, Arena *arena, SpanTable tables[PARTS]) {
    for (int part = 0; part < PARTS; part++) {
        Span *spans = ARENA_ARRAY(arena, Span, m->count);
        size_t count = 0;

        for (uint32_t i = 0; i < m->count; i++) {
            if (m->spans[i].trace.bytes[3] % PARTS == part) spans[count++] = m->spans[i];
        }
        tables[part] = build(arena, spans, count);
    }
}

static void joining_is_building_of_all(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL), *parts = arena_new(0, NULL);
        SpanTable tables[PARTS], joined, built;
        SpanTableRange ranges[PARTS + 2];
        SpansModel model;
        size_t n = 0;
        Error err;

        spans_model_make(&model, arena, seed, 300, seed % 2 == 0 ? 90 : 5);
        deal(&model, parts, tables);
        for (int i = 0; i < PARTS; i++) {
            uint32_t half = i == 1 ? 0 : tables[i].trace_count / 2;

            ranges[n++] = (SpanTableRange){&tables[i], half, tables[i].trace_count - half};
            if (half > 0) ranges[n++] = (SpanTableRange){&tables[i], 0, half};
        }
        assert_ok(span_table_join(ranges, n, seed % 3 == 0, arena, &joined, &err), &err);
        if (seed % 3 == 0) { /* nothing of the parts is needed any more */
            arena_free(parts);
            parts = NULL;
        }
        built = build(arena, model.spans, model.count);
        assert_table(&joined);
        assert_same_table(&built, &joined);
        assert_table_is_model(&model, &joined);
    }
}

static void a_part_of_a_table_has_nothing_of_the_rest(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable whole, part, built;
    SpansModel model;
    Error err;

    (void)state;
    spans_model_make(&model, arena, 4, 300, 40);
    whole = build(arena, model.spans, model.count);
    for (uint32_t first = 0; first + 5 <= whole.trace_count; first += 5) {
        SpanTableRange range = {&whole, first, 5};
        Span *spans = ARENA_ARRAY(arena, Span, model.count);
        uint32_t count = 0;

        for (uint32_t i = first; i < first + 5; i++) {
            Span *some;

            assert_ok(span_table_spans(&whole, &whole.traces[i], arena, &some, &err), &err);
            for (uint32_t k = 0; k < whole.traces[i].count; k++) spans[count++] = some[k];
        }
        built = build(arena, spans, count);
        assert_ok(span_table_join(&range, 1, false, arena, &part, &err), &err);
        assert_table(&part);
        assert_same_table(&built, &part);
    }
}

static void rows_of_traces_that_were_taken_out_are_gone(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable whole, part, built;
    SpansModel model;
    TraceRow *kept;
    Span *spans;
    uint32_t count = 0, traces = 0;
    Error err;

    (void)state;
    spans_model_make(&model, arena, 9, 300, 40);
    whole = build(arena, model.spans, model.count);
    kept = ARENA_ARRAY(arena, TraceRow, whole.trace_count);
    spans = ARENA_ARRAY(arena, Span, model.count);
    for (uint32_t i = 0; i < whole.trace_count; i++) {
        Span *some;

        if (i % 3 == 1) continue;
        kept[traces++] = whole.traces[i];
        assert_ok(span_table_spans(&whole, &whole.traces[i], arena, &some, &err), &err);
        for (uint32_t k = 0; k < whole.traces[i].count; k++) spans[count++] = some[k];
    }
    whole.traces = kept;
    whole.trace_count = traces;
    built = build(arena, spans, count);
    assert_ok(span_table_join(&(SpanTableRange){&whole, 0, traces}, 1, true, arena, &part, &err),
              &err);
    assert_same_table(&built, &part);
}

static void there_may_be_as_many_keys_as_spans(void **state) {
    enum { SPANS = 1200 };
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    static const SpanOrigin nowhere = {0};
    Span *spans = ARENA_ARRAY(arena, Span, SPANS);
    SpansModel model = {.spans = spans, .count = SPANS};
    SpanTable tables[PARTS], joined, built;
    SpanTableRange ranges[PARTS];
    Error err;

    (void)state;
    for (uint32_t i = 0; i < SPANS; i++) {
        Attribute *a = ARENA_ARRAY(arena, Attribute, 2);

        /* One key each, and a few that are seldom and come from all parts. */
        a[0] = (Attribute){.key = str_format(arena, "only.%u", i), .type = ATTRIBUTE_INT};
        a[1] = (Attribute){.key = STR("seldom"), .type = ATTRIBUTE_STRING, .text = a[0].key};
        spans[i] = (Span){.id = i + 1, .start_ns = i, .end_ns = i, .origin = &nowhere};
        spans[i].trace.bytes[3] = (uint8_t)(i % 7);
        spans[i].trace.bytes[4] = (uint8_t)(i / 5);
        spans[i].attributes = (Attributes){a, i % 100 == 0 ? 2 : 1, 0};
    }
    deal(&model, arena, tables);
    for (int i = 0; i < PARTS; i++)
        ranges[i] = (SpanTableRange){&tables[i], 0, tables[i].trace_count};
    assert_ok(span_table_join(ranges, PARTS, false, arena, &joined, &err), &err);
    built = build(arena, spans, SPANS);
    assert_int_equal(built.attribute_count, SPANS + 1);
    assert_same_table(&built, &joined);
    assert_table_is_model(&model, &joined);
}

static void nothing_joins_to_nothing(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable empty = build(arena, NULL, 0), joined;
    Error err;

    (void)state;
    assert_ok(span_table_join(NULL, 0, false, arena, &joined, &err), &err);
    assert_same_table(&empty, &joined);
    assert_ok(span_table_join(&(SpanTableRange){&empty, 0, 0}, 1, true, arena, &joined, &err),
              &err);
    assert_same_table(&empty, &joined);
}

static void a_small_arena_is_an_error(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpansModel model;
    SpanTable whole;

    (void)state;
    spans_model_make(&model, arena, 5, 200, 10);
    whole = build(arena, model.spans, model.count);
    for (size_t kib = 4; kib <= 64; kib += 4) {
        CLEANUP(arena_free) Arena *small = arena_new(KIB(kib), NULL);
        SpanTableRange range = {&whole, 0, whole.trace_count};
        SpanTable table = {.row_count = 42};
        Error err;
        ErrCode code = span_table_join(&range, 1, true, small, &table, &err);

        assert_true(code == ERR_OK || code == ERR_LIMIT);
        if (code != ERR_OK) assert_int_equal(table.row_count, 42);
        if (kib == 4) assert_int_equal(code, ERR_LIMIT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_is_building_of_all),
        cmocka_unit_test(a_part_of_a_table_has_nothing_of_the_rest),
        cmocka_unit_test(rows_of_traces_that_were_taken_out_are_gone),
        cmocka_unit_test(there_may_be_as_many_keys_as_spans),
        cmocka_unit_test(nothing_joins_to_nothing),
        cmocka_unit_test(a_small_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
