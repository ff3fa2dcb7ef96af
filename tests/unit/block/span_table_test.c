/* What spans.h promises of tables: rows in their order, columns, and every span given back. */
#include "tests/unit/unit.h"

#include "common/block/span_table.h"
#include "tests/unit/block/spans_model.h"

static const SpanOrigin NOWHERE = {0};

static Span span(uint64_t id, uint64_t parent, int64_t start_ns) {
    return (Span){.id = id,
                  .parent = parent,
                  .start_ns = start_ns,
                  .end_ns = start_ns + 1,
                  .origin = &NOWHERE};
}

static SpanTable build(Arena *arena, const Span *spans, size_t count) {
    SpanTable table;
    Error err;

    assert_ok(span_table_build(spans, count, arena, &table, &err), &err);
    assert_table(&table);
    return table;
}

static void assert_ids(const SpanTable *t, const uint64_t *ids, uint32_t count) {
    assert_int_equal(t->row_count, count);
    for (uint32_t i = 0; i < count; i++) assert_int_equal(t->ids[i], ids[i]);
}
#define ASSERT_IDS(table, ...)                                                                     \
    assert_ids(table, (const uint64_t[]){__VA_ARGS__},                                             \
               sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void every_span_comes_back(void **state) {
    static const uint32_t sizes[][2] = {{1, 1}, {2, 1}, {30, 3}, {300, 1}, {400, 60}, {500, 500}};

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            SpansModel model;
            SpanTable table;

            spans_model_make(&model, arena, seed * 100 + i, sizes[i][0], sizes[i][1]);
            table = build(arena, model.spans, model.count);
            assert_table_is_model(&model, &table);
        }
    }
}

static void a_table_of_its_own_spans_is_the_same(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpansModel model;
    SpanTable first, second;
    Span *all, *some;
    uint32_t at;
    Error err;

    (void)state;
    spans_model_make(&model, arena, 77, 400, 30);
    first = build(arena, model.spans, model.count);
    all = ARENA_ARRAY(arena, Span, first.row_count);
    at = first.row_count;
    for (uint32_t i = 0; i < first.trace_count; i++) { /* traces, and spans, the other way round */
        assert_ok(span_table_spans(&first, &first.traces[i], arena, &some, &err), &err);
        for (uint32_t k = 0; k < first.traces[i].count; k++) all[--at] = some[k];
    }
    second = build(arena, all, first.row_count);
    assert_memory_equal(first.ids, second.ids, first.row_count * sizeof *first.ids);
    assert_memory_equal(first.parents, second.parents, first.row_count * sizeof *first.parents);
    assert_int_equal(first.attribute_count, second.attribute_count);
    assert_int_equal(first.origin_count, second.origin_count);
}

static void descendants_follow_and_siblings_go_by_start(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Span spans[] = {span(5, 2, 50), span(3, 1, 30), span(4, 2, 40), span(1, 0, 10),
                    span(2, 1, 20), span(7, 3, 5),  span(6, 2, 40)};
    SpanTable t = build(arena, spans, ARRAY_LEN(spans));
    const uint32_t parents[] = {SPAN_ROOT, 0, 1, 1, 1, 0, 5}, ends[] = {7, 5, 3, 4, 5, 7, 7};

    (void)state;
    ASSERT_IDS(&t, 1, 2, 4, 6, 5, 3, 7);
    assert_memory_equal(t.parents, parents, sizeof parents);
    assert_memory_equal(t.ends, ends, sizeof ends);
    assert_int_equal(t.traces[0].start_ns, 5);
    assert_int_equal(t.traces[0].end_ns, 51);
}

static void siblings_go_by_resource_then_scope(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Attribute a = {.key = STR("r"), .type = ATTRIBUTE_INT, .integer = 1};
    SpanOrigin origins[] = {{.scope_name = STR("x")},
                            {.scope_name = STR("y")},
                            {.scope_name = STR("x"), .resource = {&a, 1, 0}},
                            {.scope_name = STR("x")}}; /* once more the first */
    Span spans[] = {span(1, 0, 1),   span(10, 1, 20), span(11, 1, 30), span(12, 1, 22),
                    span(13, 1, 21), span(14, 1, 40), span(15, 1, 5)};
    SpanTable t;

    (void)state;
    spans[0].origin = &origins[2]; /* first of all: its resource goes first */
    spans[1].origin = &origins[0];
    spans[2].origin = &origins[2];
    spans[3].origin = &origins[0];
    spans[4].origin = &origins[1];
    spans[5].origin = &origins[3];
    spans[6].origin = &origins[1]; /* y before x: it starts at 5 */
    t = build(arena, spans, ARRAY_LEN(spans));
    ASSERT_IDS(&t, 1, 11, 15, 13, 10, 12, 14);
    assert_int_equal(t.origin_count, 3);
    assert_int_equal(t.origin_of[4], t.origin_of[6]);
}

static void orphans_come_after_roots(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Span spans[] = {span(2, 99, 1), span(1, 0, 10), span(4, 0, 7), span(3, 2, 5), span(5, 4, 8)};
    SpanTable t = build(arena, spans, ARRAY_LEN(spans));
    const uint8_t rooted[] = {1, 1, 1, 0, 0};
    const uint32_t parents[] = {SPAN_ROOT, 0, SPAN_ROOT, SPAN_ORPHAN, 3};

    (void)state;
    ASSERT_IDS(&t, 4, 5, 1, 2, 3);
    assert_memory_equal(t.rooted, rooted, sizeof rooted);
    assert_memory_equal(t.parents, parents, sizeof parents);
    assert_int_equal(t.parent_ids[3], 99);
}

static void who_is_its_own_ancestor_is_an_orphan(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    /* 1 by itself; 2, 3 and 4 around; 5 and 6 hang on that. */
    Span spans[] = {span(1, 1, 1), span(2, 3, 2), span(3, 4, 3), span(4, 2, 4),
                    span(5, 3, 5), span(6, 5, 6), span(7, 0, 9)};
    SpanTable t = build(arena, spans, ARRAY_LEN(spans));
    const uint32_t parents[] = {SPAN_ROOT, SPAN_ORPHAN, SPAN_ORPHAN, SPAN_ORPHAN,
                                3,         4,           SPAN_ORPHAN};

    (void)state;
    ASSERT_IDS(&t, 7, 1, 2, 3, 5, 6, 4);
    assert_memory_equal(t.parents, parents, sizeof parents);
    assert_int_equal(t.parent_ids[1], 1);
}

static void of_clients_and_servers_with_one_id_the_kind_tells_the_parent(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Span spans[] = {span(1, 0, 1), span(1, 1, 2), span(2, 1, 3), span(3, 1, 4), span(1, 0, 5)};
    SpanTable t;

    (void)state;
    spans[0].kind = 3; /* client */
    spans[1].kind = 2; /* server, with its own id for a parent: the client */
    spans[2].kind = 1; /* internal: of the server */
    spans[3].kind = 2; /* server: of the client */
    spans[4].kind = 3; /* a double */
    t = build(arena, spans, ARRAY_LEN(spans));
    ASSERT_IDS(&t, 1, 1, 2, 3);
    assert_int_equal(t.kinds[0], 3);
    assert_int_equal(t.parents[1], 0);
    assert_int_equal(t.parents[2], 1);
    assert_int_equal(t.parents[3], 0);
    /* Two of them, and neither is of the kind: nobody's child. */
    spans[0].kind = 4;
    spans[1].kind = 5;
    spans[1].parent = 0;
    t = build(arena, spans, 3);
    assert_int_equal(t.parents[2], SPAN_ORPHAN);
}

static void of_doubles_the_first_counts(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanOrigin other = {.scope_name = STR("only the double has it")};
    Span spans[] = {span(1, 0, 10), span(1, 0, 3), span(2, 1, 20)};
    SpanTable t;

    (void)state;
    spans[0].name = STR("first");
    spans[1].name = STR("second");
    spans[1].origin = &other;
    t = build(arena, spans, ARRAY_LEN(spans));
    ASSERT_IDS(&t, 1, 2);
    assert_int_equal(t.names.distinct, 2);
    assert_true(str_equal(t.names.dictionary[t.names.codes[0]], STR("first")));
    assert_int_equal(t.traces[0].start_ns, 10); /* not the double's */
    assert_int_equal(t.origin_count, 1);
}

static void traces_are_in_order_of_their_starts(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Span spans[] = {span(1, 0, 30), span(2, 0, 10), span(3, 0, 20), span(4, 1, 5), span(5, 0, 10)};
    SpanTable t;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) spans[i].trace.bytes[0] = (uint8_t)i;
    spans[3].trace = spans[0].trace;
    spans[4].trace.bytes[0] = 0;
    spans[4].trace.bytes[15] = 1; /* ties by id */
    t = build(arena, spans, ARRAY_LEN(spans));
    ASSERT_IDS(&t, 1, 4, 5, 2, 3);
    assert_int_equal(t.trace_count, 4);
}

static void of_a_key_that_is_there_twice_the_first_counts(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Attribute list[] = {{.key = STR("k"), .type = ATTRIBUTE_INT, .integer = 7},
                        {.key = STR("k"), .type = ATTRIBUTE_STRING, .text = STR("late")},
                        {.key = STR("k"), .type = ATTRIBUTE_INT, .integer = 8}};
    Span spans[] = {span(1, 0, 1), span(2, 0, 2)};
    const AttributeColumn *found;
    SpanTable t;

    (void)state;
    spans[1].attributes = (Attributes){list, 3, 0};
    spans[0].attributes = (Attributes){list + 1, 1, 0};
    t = build(arena, spans, ARRAY_LEN(spans));
    assert_int_equal(span_table_attribute(&t, SCOPE_SPAN, STR("k"), &found), 2);
    assert_int_equal(found[0].type, ATTRIBUTE_STRING);
    assert_int_equal(found[0].count, 1);
    assert_int_equal(attribute_column_find(&found[0], 0), 0);
    assert_int_equal(attribute_column_find(&found[0], 1), UINT32_MAX);
    assert_int_equal(found[1].type, ATTRIBUTE_INT);
    assert_int_equal(found[1].count, 1);
    assert_int_equal(found[1].integers[attribute_column_find(&found[1], 1)], 7);
}

static void columns_are_found_by_scope_and_key(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Attribute a = {.key = STR("b"), .type = ATTRIBUTE_BOOL, .truth = true};
    Attribute b = {.key = STR("b"), .type = ATTRIBUTE_INT};
    SpanEvent event = {.attributes = {&a, 1, 0}};
    SpanLink link = {.attributes = {&b, 1, 0}};
    Span spans[] = {span(1, 0, 1), span(2, 0, 2)};
    const AttributeColumn *found;
    SpanTable t;

    (void)state;
    spans[0].events = spans[1].events = &event;
    spans[0].event_count = spans[1].event_count = 1;
    spans[1].links = &link;
    spans[1].link_count = 1;
    t = build(arena, spans, ARRAY_LEN(spans));
    assert_int_equal(span_table_attribute(&t, SCOPE_SPAN, STR("b"), &found), 0);
    assert_int_equal(span_table_attribute(&t, SCOPE_EVENT, STR("b"), &found), 1);
    assert_int_equal(found->type, ATTRIBUTE_BOOL);
    assert_null(found->owners); /* all events have it */
    assert_int_equal(attribute_column_find(found, 1), 1);
    assert_int_equal(attribute_column_find(found, 2), UINT32_MAX);
    assert_int_equal(span_table_attribute(&t, SCOPE_LINK, STR("b"), &found), 1);
    assert_int_equal(found->type, ATTRIBUTE_INT);
    assert_int_equal(span_table_attribute(&t, SCOPE_LINK, STR("a"), &found), 0);
    assert_int_equal(span_table_attribute(&t, SCOPE_LINK, STR("c"), &found), 0);
}

static void texts_of_any_length_are_told_apart(void **state) {
    enum { LENGTHS = 150 };
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Span spans[4 * LENGTHS] = {0};
    SpanTable t;

    (void)state;
    /* Of each length two that differ in one byte, each twice. */
    for (uint32_t i = 0; i < ARRAY_LEN(spans); i++) {
        uint32_t length = i / 2 % LENGTHS;
        char *text = arena_zalloc(arena, length + 1);

        if (i % 2 == 1 && length > 0) text[length * 7 / 11] = 1;
        spans[i] = span(i + 1, 0, i);
        spans[i].name = (Str){text, length};
    }
    t = build(arena, spans, ARRAY_LEN(spans));
    assert_int_equal(t.names.distinct, 2 * LENGTHS - 1);
    for (uint32_t r = 0; r < t.row_count; r++)
        assert_true(str_equal(t.names.dictionary[t.names.codes[r]], spans[t.ids[r] - 1].name));
}

static void nothing_makes_an_empty_table(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable t = build(arena, NULL, 0);
    const AttributeColumn *found;

    (void)state;
    assert_int_equal(t.trace_count, 0);
    assert_int_equal(t.row_count, 0);
    assert_int_equal(span_table_attribute(&t, SCOPE_SPAN, STR("b"), &found), 0);
}

enum { LONG = 100000 };

static void a_chain_of_100000_spans_is_a_tree(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Span *spans = ARENA_ARRAY(arena, Span, LONG);
    SpanTable t;

    (void)state;
    for (uint32_t i = 0; i < LONG; i++) { /* the deepest first */
        uint32_t depth = LONG - i;

        spans[i] = span(depth, depth - 1, depth);
    }
    t = build(arena, spans, LONG);
    for (uint32_t r = 0; r < LONG; r++) {
        assert_int_equal(t.ids[r], r + 1);
        assert_int_equal(t.ends[r], LONG);
    }
    for (uint32_t i = 0; i < LONG; i++) spans[i].parent = spans[i].id % LONG + 1; /* all around */
    t = build(arena, spans, LONG);
    for (uint32_t r = 0; r < LONG; r++) assert_int_equal(t.parents[r], SPAN_ORPHAN);
}

static void a_small_arena_is_an_error(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpansModel model;

    (void)state;
    spans_model_make(&model, arena, 5, 200, 10);
    for (size_t kib = 4; kib <= 64; kib += 4) {
        CLEANUP(arena_free) Arena *small = arena_new(KIB(kib), NULL);
        SpanTable table = {.row_count = 42};
        Error err;
        ErrCode code = span_table_build(model.spans, model.count, small, &table, &err);

        assert_true(code == ERR_OK || code == ERR_LIMIT);
        if (code != ERR_OK) assert_int_equal(table.row_count, 42);
        if (kib == 4) assert_int_equal(code, ERR_LIMIT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_span_comes_back),
        cmocka_unit_test(a_table_of_its_own_spans_is_the_same),
        cmocka_unit_test(descendants_follow_and_siblings_go_by_start),
        cmocka_unit_test(siblings_go_by_resource_then_scope),
        cmocka_unit_test(orphans_come_after_roots),
        cmocka_unit_test(who_is_its_own_ancestor_is_an_orphan),
        cmocka_unit_test(of_clients_and_servers_with_one_id_the_kind_tells_the_parent),
        cmocka_unit_test(of_doubles_the_first_counts),
        cmocka_unit_test(traces_are_in_order_of_their_starts),
        cmocka_unit_test(of_a_key_that_is_there_twice_the_first_counts),
        cmocka_unit_test(columns_are_found_by_scope_and_key),
        cmocka_unit_test(texts_of_any_length_are_told_apart),
        cmocka_unit_test(nothing_makes_an_empty_table),
        cmocka_unit_test(a_chain_of_100000_spans_is_a_tree),
        cmocka_unit_test(a_small_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
