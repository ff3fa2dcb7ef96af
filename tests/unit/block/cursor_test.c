/* What block.h promises of cursors: each tenant's series once, in order, whole, whatever the object
 * or the store do. */
#include "common/store/fault.h"
#include "tests/unit/block/model.h"

static ErrCode walk(Store *store, uint64_t size, const ModelTenant *t, Arena *arena, Error *err) {
    const SelectedExemplar *exemplars;
    size_t exemplar_count, i = 0;
    BlockCursor *cursor;
    bool more = true;

    TRY(block_cursor_open(store, STR("o"), size, t->name, arena, &cursor, err));
    for (;; i++) {
        const ModelSeries *s = &t->series[i];
        ChunkSamples samples;
        LabelPairs labels;

        TRY(block_cursor_next(cursor, &labels, &samples, &exemplars, &exemplar_count, &more, err));
        if (!more) break;
        assert_true(i < t->series_count);
        assert_int_equal(labels_compare(labels, s->labels), 0);
        assert_same_samples(&samples, &s->samples);
        assert_same_exemplars(exemplars, exemplar_count, s->exemplars, s->exemplar_count);
    }
    assert_int_equal(i, t->series_count);
    block_cursor_close(cursor);
    block_cursor_close(cursor); /* twice is fine, and the arena does it once more */
    return ERR_OK;
}

static void each_tenant_is_walked_in_order(void **state) {
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    Error err = {0};
    Model m;

    (void)state;
    model_make(&m, 5, 300, 200);
    assert_ok(store_put(store, STR("o"), buf_str(&m.object), NULL, &err), &err);
    for (size_t t = 0; t < m.tenant_count; t++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);

        assert_ok(walk(store, t % 2 == 0 ? 0 : m.object.len, &m.tenants[t], arena, &err), &err);
    }
    model_done(&m);
}

static void an_unknown_tenant_has_no_series(void **state) {
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    ModelTenant nobody = {.name = STR("nobody")};
    Error err = {0};
    Model m;

    (void)state;
    model_make(&m, 2, 10, 5);
    assert_ok(store_put(store, STR("o"), buf_str(&m.object), NULL, &err), &err);
    assert_ok(walk(store, 0, &nobody, arena, &err), &err);
    model_done(&m);
}

static void a_copy_through_a_cursor_is_the_same_object(void **state) {
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf copy;
    const SelectedExemplar *exemplars;
    BlockCursor *cursor;
    BlockSummary summary;
    BlockWriter *writer;
    ChunkSamples samples;
    LabelPairs labels;
    size_t count;
    bool more = true;
    Error err = {0};
    Model m;

    (void)state;
    model_make(&m, 1, 400, 3000);
    buf_init(&copy, 0);
    assert_ok(store_put(store, STR("o"), buf_str(&m.object), NULL, &err), &err);
    assert_ok(block_cursor_open(store, STR("o"), 0, m.tenants[0].name, arena, &cursor, &err), &err);
    writer = block_writer_new(arena, block_sink_buf(&copy), 1700000000000);
    assert_ok(block_metrics_begin(writer, m.tenants[0].name, &err), &err);
    for (;;) {
        assert_ok(block_cursor_next(cursor, &labels, &samples, &exemplars, &count, &more, &err),
                  &err);
        if (!more) break;
        assert_ok(block_metrics_series(writer, labels, &samples, &err), &err);
        if (count > 0) assert_ok(block_metrics_exemplars(writer, exemplars, count, &err), &err);
    }
    assert_ok(block_metrics_metadata(writer, m.tenants[0].metadata, 2, &err), &err);
    assert_ok(block_metrics_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    assert_int_equal(copy.len, m.object.len);
    assert_memory_equal(copy.ptr, m.object.ptr, copy.len);
    model_done(&m);
}

/* The store fails at call n, then answers with too little, for every n. */
static void a_store_that_fails_or_lies_is_an_error(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_TRUNCATE};
    Error err = {0};
    Model m;

    (void)state;
    model_make(&m, 1, 300, 400);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        for (uint64_t call = 2;; call++) { /* the first call is the put */
            StoreDriver *faulty = store_driver_fault(store_driver_memory(), call, kinds[k]);
            CLEANUP(store_free) Store *store = store_new(faulty);
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            ErrCode code;

            assert_ok(store_put(store, STR("o"), buf_str(&m.object), NULL, &err), &err);
            code = walk(store, m.object.len, &m.tenants[0], arena, &err);
            if (store_fault_fired(faulty) == 0) {
                assert_int_equal(code, ERR_OK);
                break;
            }
            assert_true(code == ERR_UNAVAILABLE || code == ERR_CORRUPT);
            assert_non_null(strstr(err.text, "o"));
        }
    }
    model_done(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tenant_is_walked_in_order),
        cmocka_unit_test(an_unknown_tenant_has_no_series),
        cmocka_unit_test(a_copy_through_a_cursor_is_the_same_object),
        cmocka_unit_test(a_store_that_fails_or_lies_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
