/* What span_page.h promises: a table comes back as it was, column by column, and no bytes do harm.
 */
#include "tests/unit/unit.h"

#include "common/block/span_page.h"
#include "tests/unit/block/spans_model.h"

static const SpanNeed ALL = {.columns = SPAN_ALL, .all_keys = true};

static SpanTable build(Arena *arena, uint64_t seed, uint32_t count, uint32_t traces) {
    SpansModel model;
    SpanTable table;
    Error err;

    spans_model_make(&model, arena, seed, count, traces);
    assert_ok(span_table_build(model.spans, model.count, arena, &table, &err), &err);
    return table;
}

static Str encode(Arena *arena, const SpanTable *table, uint32_t *directory_bytes) {
    CLEANUP(span_page_encoder_free) SpanPageEncoder *encoder = span_page_encoder_new();
    CLEANUP_IN_PLACE(buf_done) Buf page;
    Error err;

    buf_init(&page, 0);
    assert_non_null(encoder);
    assert_ok(span_page_encode(encoder, table, &page, directory_bytes, &err), &err);
    return str_dup(arena, buf_str(&page));
}

static ErrCode decode(Str page, const SpanNeed *need, Arena *arena, SpanTable *table, Error *err) {
    SpanDirectory directory;

    TRY(span_directory_decode(page, arena, &directory, err));
    TRY(span_directory_attach(&directory, page, err));
    return span_page_decode(&directory, need, arena, table, err);
}

static void tables_come_back(void **state) {
    static const uint32_t sizes[][2] = {{1, 1}, {2, 2}, {50, 1}, {300, 20}, {1500, 700}};

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            SpanTable table = build(arena, seed * 10 + i, sizes[i][0], sizes[i][1]), got = {0};
            uint32_t directory_bytes;
            Str page = encode(arena, &table, &directory_bytes);
            Error err;

            assert_ok(decode(page, &ALL, arena, &got, &err), &err);
            assert_table(&got);
            assert_same_table(&table, &got);
            assert_true(directory_bytes < page.len);
        }
    }
}

static void a_page_of_what_was_read_is_the_same_page(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 3, 500, 30), got = {0};
    uint32_t directory_bytes;
    Str first = encode(arena, &table, &directory_bytes), second;
    Error err;

    (void)state;
    assert_ok(decode(first, &ALL, arena, &got, &err), &err);
    second = encode(arena, &got, &directory_bytes);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.ptr, second.ptr, first.len);
}

/* Only what is needed has been fetched; the directory is a copy. */
static void decode_fetched(Str page, uint32_t directory_bytes, const SpanNeed *need, Arena *arena,
                           SpanTable *table) {
    Str copy = str_dup(arena, str_slice(page, 0, directory_bytes));
    SpanDirectory directory;
    Error err;

    assert_ok(span_directory_decode(copy, arena, &directory, &err), &err);
    assert_int_equal(directory.bytes, directory_bytes);
    assert_int_equal(directory.page_bytes, page.len);
    for (uint32_t i = 0; i < directory.count; i++) {
        SpanColumn *c = &directory.columns[i];

        if (span_column_needed(c, need))
            c->bytes = str_dup(arena, str_slice(page, c->offset, c->stored)).ptr;
    }
    assert_ok(span_page_decode(&directory, need, arena, table, &err), &err);
}

static void columns_come_one_by_one(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 5, 400, 25);
    uint32_t directory_bytes;
    Str page = encode(arena, &table, &directory_bytes);

    (void)state;
    for (unsigned column = 1; column <= SPAN_ALL; column *= 2) {
        SpanNeed need = {.columns = column};
        SpanTable got = {0};

        decode_fetched(page, directory_bytes, &need, arena, &got);
        assert_int_equal(got.columns, span_columns_with(column));
        assert_same_columns(&table, &got, column);
        assert_int_equal(got.attribute_count, 0);
        if (column != SPAN_NAMES) assert_null(got.names.codes);
        if (column != SPAN_LINKS) assert_null(got.link_starts);
    }
}

static void more_columns_join_those_that_are_there(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 6, 400, 25), got = {0};
    uint32_t directory_bytes;
    Str page = encode(arena, &table, &directory_bytes);
    const int64_t *starts;

    (void)state;
    for (uint32_t i = 0; i < table.attribute_count; i += 3) {
        AttributeKey key = {table.attributes[i].scope, table.attributes[i].key};
        SpanNeed need = {.columns = SPAN_STARTS, .keys = &key, .key_count = 1};
        const AttributeColumn *found, *given;
        uint32_t types;

        decode_fetched(page, directory_bytes, &need, arena, &got);
        types = span_table_attribute(&got, (AttributeScope)key.scope, key.key, &found);
        assert_int_equal(types,
                         span_table_attribute(&table, (AttributeScope)key.scope, key.key, &given));
        for (uint32_t k = 0; k < types; k++) assert_same_column(&given[k], &found[k]);
    }
    starts = got.starts_ns;
    decode_fetched(page, directory_bytes, &ALL, arena, &got);
    assert_ptr_equal(starts, got.starts_ns); /* not once more */
    assert_same_table(&table, &got);
}

static void more_columns_join_a_table_that_traces_were_taken_out_of(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanNeed first = {.columns = SPAN_NAMES};
    SpanTable table = build(arena, 7, 400, 25), got = {0};
    uint32_t directory_bytes;
    Str page = encode(arena, &table, &directory_bytes);
    TraceRow *kept = ARENA_ARRAY(arena, TraceRow, table.trace_count);

    (void)state;
    decode_fetched(page, directory_bytes, &first, arena, &got);
    for (uint32_t i = 0; i < table.trace_count / 2; i++) kept[i] = got.traces[2 * i + 1];
    got.traces = kept;
    got.trace_count = table.trace_count / 2;
    decode_fetched(page, directory_bytes, &ALL, arena, &got);
    assert_ptr_equal(got.traces, kept);
    assert_int_equal(got.trace_count, table.trace_count / 2);
    got.traces = table.traces;
    got.trace_count = table.trace_count;
    assert_same_table(&table, &got);
}

static void what_was_not_fetched_is_an_error(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 6, 40, 5), got = {.row_count = 42};
    uint32_t directory_bytes;
    Str page = encode(arena, &table, &directory_bytes);
    SpanDirectory directory;
    Error err;

    (void)state;
    assert_ok(span_directory_decode(page, arena, &directory, &err), &err);
    assert_int_equal(span_page_decode(&directory, &ALL, arena, &got, &err), ERR_INTERNAL);
    assert_int_equal(got.row_count, 42);
}

static void one_trace_comes_alone(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 7, 300, 20), got = {0};
    uint32_t directory_bytes;
    Str page = encode(arena, &table, &directory_bytes);
    TraceId unknown = {{1, 2, 3}};
    SpanDirectory directory;
    bool found;
    Error err;

    (void)state;
    assert_ok(span_directory_decode(page, arena, &directory, &err), &err);
    assert_ok(span_directory_attach(&directory, page, &err), &err);
    for (uint32_t i = 0; i < table.trace_count; i++) {
        Span *given, *read;

        got = (SpanTable){0};
        assert_ok(
            span_page_decode_trace(&directory, &table.traces[i].id, arena, &got, &found, &err),
            &err);
        assert_true(found);
        assert_table(&got);
        assert_int_equal(got.trace_count, 1);
        assert_ok(span_table_spans(&table, &table.traces[i], arena, &given, &err), &err);
        assert_ok(span_table_spans(&got, &got.traces[0], arena, &read, &err), &err);
        assert_int_equal(got.row_count, table.traces[i].count);
        for (uint32_t k = 0; k < got.row_count; k++) assert_same_span(&given[k], &read[k]);
    }
    assert_ok(span_page_decode_trace(&directory, &unknown, arena, &got, &found, &err), &err);
    assert_false(found);
}

static void a_page_that_is_cut_is_corrupt(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 8, 60, 5);
    uint32_t directory_bytes;
    Str page = encode(arena, &table, &directory_bytes);

    (void)state;
    for (size_t length = 0; length < page.len; length++) {
        CLEANUP(arena_free) Arena *small = arena_new(MIB(4), NULL);
        /* On the heap, at its very end, so that a sanitizer sees who reads on. */
        char *copy = malloc(length + 1);
        SpanTable got = {0};
        Error err;

        assert_non_null(copy);
        memcpy(copy + 1, page.ptr, length);
        assert_int_equal(decode((Str){copy + 1, length}, &ALL, small, &got, &err), ERR_CORRUPT);
        free(copy);
    }
}

static void a_flipped_bit_is_seen(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 9, 40, 5);
    uint32_t directory_bytes;
    Str page = encode(arena, &table, &directory_bytes);

    (void)state;
    /* The directory's own bytes are behind the checksum of who keeps them. */
    for (size_t bit = directory_bytes * 8; bit < page.len * 8; bit += 3) {
        CLEANUP(arena_free) Arena *small = arena_new(MIB(4), NULL);
        char *bytes = (char *)page.ptr;
        SpanTable got = {0};
        Error err;

        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(decode(page, &ALL, small, &got, &err), ERR_CORRUPT);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t bit = 0; bit < directory_bytes * 8; bit++) {
        CLEANUP(arena_free) Arena *small = arena_new(MIB(4), NULL);
        char *bytes = (char *)page.ptr;
        SpanTable got = {0};
        ErrCode code;
        Error err;

        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        code = decode(page, &ALL, small, &got, &err);
        assert_true(code == ERR_OK || code == ERR_CORRUPT || code == ERR_UNSUPPORTED ||
                    code == ERR_LIMIT);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
}

static void whole_units_of_time_come_back(void **state) {
    static const SpanOrigin nowhere = {0};
    static const int64_t units[] = {1, 1000, 1000000, 1000000000};

    (void)state;
    for (size_t u = 0; u < ARRAY_LEN(units); u++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        Span spans[3000] = {0};
        SpanTable table, got = {0};
        uint32_t directory_bytes;
        Error err;

        for (uint32_t i = 0; i < ARRAY_LEN(spans); i++) {
            spans[i].id = i + 1;
            spans[i].trace.bytes[0] = (uint8_t)(i % 7);
            spans[i].origin = &nowhere;
            spans[i].start_ns = ((int64_t)i * 7919 % 1000 - 500) * units[u];
            spans[i].end_ns = spans[i].start_ns + (int64_t)(i % 100) * units[u];
        }
        spans[5].start_ns = INT64_MIN;
        spans[5].end_ns = INT64_MAX;
        assert_ok(span_table_build(spans, ARRAY_LEN(spans), arena, &table, &err), &err);
        assert_ok(decode(encode(arena, &table, &directory_bytes), &ALL, arena, &got, &err), &err);
        assert_same_table(&table, &got);
    }
}

/* Each span the child of the one before, or all of one; parts of a column get large, too. */
static void a_trace_of_100000_spans_is_a_page(void **state) {
    enum { LONG = 100000 };
    static const SpanOrigin nowhere = {0};

    (void)state;
    for (int flat = 0; flat < 2; flat++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        Span *spans = ARENA_ARRAY(arena, Span, LONG);
        SpanTable table, got = {0};
        uint32_t directory_bytes;
        Error err;

        for (uint32_t i = 0; i < LONG; i++)
            spans[i] = (Span){.id = i + 1,
                              .parent = flat != 0 && i > 0 ? 1 : i,
                              .start_ns = i,
                              .end_ns = (int64_t)i * i,
                              .name = str_format(arena, "%u", i),
                              .origin = &nowhere};
        spans[LONG - 1].parent = 0; /* as many steps up as there can be */
        assert_ok(span_table_build(spans, LONG, arena, &table, &err), &err);
        assert_ok(decode(encode(arena, &table, &directory_bytes), &ALL, arena, &got, &err), &err);
        assert_int_equal(got.names.distinct, LONG);
        assert_memory_equal(table.parents, got.parents, LONG * sizeof *table.parents);
        assert_memory_equal(table.ends, got.ends, LONG * sizeof *table.ends);
        assert_memory_equal(table.durations_ns, got.durations_ns,
                            LONG * sizeof *table.durations_ns);
        assert_memory_equal(table.parent_ids, got.parent_ids, LONG * sizeof *table.parent_ids);
    }
}

static void a_small_arena_is_an_error(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanTable table = build(arena, 12, 300, 20);
    uint32_t directory_bytes, limits = 0;
    Str page = encode(arena, &table, &directory_bytes);

    (void)state;
    for (size_t kib = 4; kib <= 2048; kib = kib * 5 / 4) {
        CLEANUP(arena_free) Arena *small = arena_new(KIB(kib), NULL);
        SpanTable got = {.row_count = 42};
        Error err;
        ErrCode code = decode(page, &ALL, small, &got, &err);

        assert_true(code == ERR_OK || code == ERR_LIMIT);
        if (code != ERR_OK) assert_int_equal(got.row_count, 42);
        limits += code == ERR_LIMIT;
    }
    assert_true(limits > 3);
}

static void what_does_not_fit_is_an_error(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(span_page_encoder_free) SpanPageEncoder *encoder = span_page_encoder_new();
    CLEANUP_IN_PLACE(buf_done) Buf page;
    SpanTable table = build(arena, 5, 10, 2);
    TraceRow many = table.traces[0];
    uint32_t directory_bytes;
    Error err;

    (void)state;
    buf_init(&page, 0);
    many.count = SPAN_PAGE_ROWS_MAX + 1;
    table.traces = &many;
    table.trace_count = 1;
    table.row_count = many.count;
    assert_int_equal(span_page_encode(encoder, &table, &page, &directory_bytes, &err), ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_come_back),
        cmocka_unit_test(a_page_of_what_was_read_is_the_same_page),
        cmocka_unit_test(columns_come_one_by_one),
        cmocka_unit_test(more_columns_join_those_that_are_there),
        cmocka_unit_test(more_columns_join_a_table_that_traces_were_taken_out_of),
        cmocka_unit_test(what_was_not_fetched_is_an_error),
        cmocka_unit_test(one_trace_comes_alone),
        cmocka_unit_test(a_page_that_is_cut_is_corrupt),
        cmocka_unit_test(a_flipped_bit_is_seen),
        cmocka_unit_test(whole_units_of_time_come_back),
        cmocka_unit_test(a_trace_of_100000_spans_is_a_page),
        cmocka_unit_test(a_small_arena_is_an_error),
        cmocka_unit_test(what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
