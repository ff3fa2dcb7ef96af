/* What block.h promises of broken objects: an error that names the object, or the right answer;
 * never a wrong one, and never a read outside. */
#include "common/store/fault.h"
#include "tests/unit/block/model.h"

/* Everything a reader can be asked about an object; the first error. */
static ErrCode read_all(Store *store, Str key, uint64_t size, const Model *m, Error *err) {
    CLEANUP(block_cache_free) BlockCache *cache = block_cache_new(store, NULL);
    CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
    const Block *block;
    BlockStats stats = {0};

    TRY(block_open(cache, key, size, arena, &stats, &block, err));
    for (size_t t = 0; t < m->tenant_count; t++) {
        const ModelTenant *tenant = &m->tenants[t];
        BlockSelect select = {tenant->name, NULL, 0, INT64_MIN, INT64_MAX, false};
        const SelectedExemplar **exemplars;
        MetricsSelection selection, with_exemplars;
        size_t *counts, at = 0, labels, metadata;
        MetadataItem *items;
        Str *list;

        TRY(block_metrics_select(block, &select, arena, &stats, &selection, err));
        TRY(block_metrics_exemplars_read(block, &select, arena, &stats, &with_exemplars, &exemplars,
                                         &counts, err));
        TRY(block_metrics_labels(block, tenant->name, STR("job"), arena, &stats, &list, &labels,
                                 err));
        TRY(block_metrics_metadata_read(block, tenant->name, arena, &stats, &items, &metadata,
                                        err));
        for (size_t i = 0; i < tenant->series_count; i++) {
            const ModelSeries *s = &tenant->series[i];
            ChunkSamples samples = {0};

            if (s->samples.count + s->samples.histogram_count == 0) continue;
            assert_true(at < selection.series_count);
            TRY(series_decode(&selection.series[at], arena, &samples, err));
            assert_int_equal(labels_compare(series_labels(&selection, at, arena), s->labels), 0);
            assert_same_samples(&samples, &s->samples);
            at++;
        }
        assert_int_equal(at, selection.series_count);
        assert_int_equal(metadata, tenant->metadata_count);
    }
    return ERR_OK;
}

static ErrCode walk_all(Store *store, Str key, uint64_t size, const Model *m, Error *err) {
    for (size_t t = 0; t < m->tenant_count; t++) {
        CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
        const SelectedExemplar *exemplars;
        BlockCursor *cursor;
        bool more = true;
        size_t count;

        TRY(block_cursor_open(store, key, size, m->tenants[t].name, arena, &cursor, err));
        while (more) {
            ChunkSamples samples = {0};
            LabelPairs labels;

            TRY(block_cursor_next(cursor, &labels, &samples, &exemplars, &count, &more, err));
        }
    }
    return ERR_OK;
}

static ErrCode inspect(Str object, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf out;

    buf_init(&out, 0);
    return block_inspect(object, &out, err);
}

static void assert_refused_or_right(Str object, const Model *m, bool must_fail) {
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    Error err = {0};
    ErrCode code;

    assert_ok(store_put(store, STR("the-object"), object, NULL, &err), &err);
    code = read_all(store, STR("the-object"), object.len, m, &err);
    assert_true(code == ERR_OK || code == ERR_CORRUPT || code == ERR_UNSUPPORTED);
    if (must_fail) assert_int_not_equal(code, ERR_OK);
    if (code != ERR_OK) assert_non_null(strstr(err.text, "the-object"));
    code = walk_all(store, STR("the-object"), object.len, m, &err);
    assert_true(code == ERR_OK || code == ERR_CORRUPT || code == ERR_UNSUPPORTED);
    /* All of the object is covered by some check. */
    code = inspect(object, &err);
    assert_true(code == ERR_CORRUPT || code == ERR_UNSUPPORTED);
}

static void any_flipped_bit_is_noticed(void **state) {
    Model m;

    (void)state;
    model_make(&m, 2, 6, 12);
    for (size_t byte = 0; byte < m.object.len; byte++) {
        unsigned bit = byte % 8;

        m.object.ptr[byte] ^= (char)(1u << bit);
        assert_refused_or_right(buf_str(&m.object), &m, false);
        m.object.ptr[byte] ^= (char)(1u << bit);
    }
    model_done(&m);
}

static void an_object_cut_anywhere_is_refused(void **state) {
    Model m;

    (void)state;
    model_make(&m, 2, 6, 12);
    for (size_t len = 0; len < m.object.len; len++)
        assert_refused_or_right(str_slice(buf_str(&m.object), 0, len), &m, true);
    model_done(&m);
}

static void an_object_of_another_size_than_the_manifest_says_is_refused(void **state) {
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    Error err = {0};
    Model m;

    (void)state;
    model_make(&m, 1, 6, 12);
    assert_ok(store_put(store, STR("o"), buf_str(&m.object), NULL, &err), &err);
    assert_int_equal(read_all(store, STR("o"), m.object.len - 1, &m, &err), ERR_CORRUPT);
    assert_int_not_equal(read_all(store, STR("o"), m.object.len + 1, &m, &err), ERR_OK);
    assert_int_equal(read_all(store, STR("p"), m.object.len, &m, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "p"));
    model_done(&m);
}

/* Call n of the store fails, brings too little, or brings a wrong byte, for every n. */
static void a_store_that_fails_or_lies_never_makes_a_wrong_answer(void **state) {
    static const FaultKind kinds[] = {FAULT_BEFORE, FAULT_TRUNCATE, FAULT_WRONG_BYTES};
    Error err = {0};
    Model m;

    (void)state;
    model_make(&m, 2, 600, 60);
    assert_true(m.object.len > KIB(64));
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        for (uint64_t call = 2;; call++) { /* the first call is the put */
            StoreDriver *faulty = store_driver_fault(store_driver_memory(), call, kinds[k]);
            CLEANUP(store_free) Store *store = store_new(faulty);
            ErrCode code;

            assert_ok(store_put(store, STR("o"), buf_str(&m.object), NULL, &err), &err);
            code = read_all(store, STR("o"), call % 2 == 0 ? 0 : m.object.len, &m, &err);
            if (store_fault_fired(faulty) == 0) {
                assert_int_equal(code, ERR_OK);
                break;
            }
            assert_true(code == ERR_OK || code == ERR_UNAVAILABLE || code == ERR_CORRUPT ||
                        code == ERR_UNSUPPORTED);
            if (kinds[k] != FAULT_WRONG_BYTES) assert_int_not_equal(code, ERR_OK);
        }
    }
    model_done(&m);
}

static void an_unknown_version_is_named(void **state) {
    CLEANUP(store_free) Store *store = store_new(store_driver_memory());
    Error err = {0};
    Model m;

    (void)state;
    model_make(&m, 1, 6, 12);
    m.object.ptr[m.object.len - 8] = 2; /* the version, in the tail */
    assert_ok(store_put(store, STR("seg"), buf_str(&m.object), NULL, &err), &err);
    assert_int_equal(read_all(store, STR("seg"), 0, &m, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "seg"));
    assert_non_null(strstr(err.text, "version 2"));
    model_done(&m);
}

static void a_whole_object_inspects_well(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf out;
    Error err = {0};
    Model m;

    (void)state;
    buf_init(&out, 0);
    model_make(&m, 3, 100, 100);
    assert_ok(block_inspect(buf_str(&m.object), &out, &err), &err);
    buf_append_byte(&out, '\0');
    assert_non_null(strstr(out.ptr, "tenant tenant-002, metrics: 100 series"));
    assert_non_null(strstr(out.ptr, "histograms"));
    assert_non_null(strstr(out.ptr, "exemplars"));
    model_done(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_flipped_bit_is_noticed),
        cmocka_unit_test(an_object_cut_anywhere_is_refused),
        cmocka_unit_test(an_object_of_another_size_than_the_manifest_says_is_refused),
        cmocka_unit_test(a_store_that_fails_or_lies_never_makes_a_wrong_answer),
        cmocka_unit_test(an_unknown_version_is_named),
        cmocka_unit_test(a_whole_object_inspects_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
