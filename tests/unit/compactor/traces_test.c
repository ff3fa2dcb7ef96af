/* Segments with traces become blocks, whatever fails on the way: no span is lost, and none is there
 * twice in the end. */
#include "tests/unit/unit.h"

#include "tests/unit/block/span_traffic.h"
#include "tests/unit/compactor/compactor_helper.h"

/* Within the two hours before midnight, so that all ends in one block. */
enum { TENANTS = 3, TRACES = 3000, SPANS = 6 };

/* How often each span is there. */
typedef struct Counts {
    uint8_t spans[TENANTS][TRACES][SPANS];
} Counts;

/* Tenants' spans [first, end) of traces [from, to) into a segment that is committed. */
static void put_traces(Place *place, const Traffic *t, const bool tenants[TENANTS], Counts *all) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    int64_t created_ms = NOW - 12 * HOUR + (int64_t)place->next_segment;
    SpanTable table = traffic_table(arena, t);
    BlockSummary summary;
    BlockWriter *writer;
    Error err = {0};
    char key[96];
    Buf body;

    buf_init(&body, 0);
    writer = block_writer_new(arena, block_sink_buf(&body), created_ms);
    for (uint64_t tenant = 0; tenant < TENANTS; tenant++) {
        char name[16];

        if (!tenants[tenant]) continue;
        assert_ok(block_spans_begin(writer, tenant_name(tenant, name), &err), &err);
        assert_ok(block_spans_table(writer, &table, &err), &err);
        assert_ok(block_spans_end(writer, &err), &err);
        for (uint64_t n = t->from; n < t->to; n++)
            memset(&all->spans[tenant][n][t->first], 1, t->end - t->first);
    }
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    snprintf(key, sizeof key, "segments/%013lld-00000000000000aa-000-%010llu.seg",
             (long long)created_ms, (unsigned long long)place->next_segment++);
    assert_ok(store_put(place->store, str_of(key), buf_str(&body), NULL, &err), &err);
    {
        ManifestEntry entry = {.key = str_of(key),
                               .size = summary.bytes,
                               .checksum = summary.checksum,
                               .created_ms = created_ms,
                               .parts = summary.parts,
                               .part_count = summary.part_count};
        ManifestChange change = {.add = &entry, .add_count = 1};

        assert_ok(manifest_commit(place->manifest, &change, NULL, &err), &err);
    }
    buf_done(&body);
}

static void read_traces(Place *place, const ManifestEntry *entry, const BlockPart *part,
                        Counts *found) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    const SpanPage *pages;
    uint64_t tenant = 0, spans = 0;
    SpanCursor *cursor;
    size_t count;
    Error err = {0};

    assert_true(str_to_u64(str_from(part->tenant, 2), &tenant));
    assert_ok(span_cursor_open(place->store, entry->key, entry->size, part->tenant,
                               SPAN_WINDOW_BYTES, arena, &cursor, &err),
              &err);
    pages = span_cursor_pages(cursor, &count);
    for (size_t p = 0; p < count; p++) {
        SpanTable table;

        assert_ok(span_cursor_table(cursor, pages[p].page, arena, &table, &err), &err);
        for (uint32_t r = 0; r < table.row_count; r++) {
            uint64_t n = (table.ids[r] - 1) / 1000000, i = (table.ids[r] - 1) % 1000000;

            assert_true(n < TRACES && i < SPANS);
            found->spans[tenant][n][i]++;
        }
        spans += table.row_count;
    }
    assert_int_equal(spans, part->items);
    span_cursor_close(cursor);
}

/* All that the manifest lists; `once`: nothing twice. Returns how many objects. */
static size_t assert_traces(Place *place, const Counts *all, bool once) {
    const ManifestSnapshot *snapshot = manifest_snapshot(place->manifest);
    Counts *found = calloc(1, sizeof *found);
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);
    uint8_t *bytes = &found->spans[0][0][0];

    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < entries[i].part_count; p++)
            read_traces(place, &entries[i], &entries[i].parts[p], found);
    for (size_t i = 0; !once && i < sizeof *found; i++) bytes[i] = bytes[i] > 0;
    assert_memory_equal(found, all, sizeof *found);
    manifest_snapshot_unref(snapshot);
    free(found);
    return count;
}

/* Segments whose traces lie in others as well. */
static void make_mess(Place *place, unsigned from, unsigned to, Counts *all) {
    for (unsigned i = from; i < to; i++) {
        Traffic t = {i * 37 % 5 * 100, i * 37 % 5 * 100 + 150 + i * 20, i % 3, 3 + i % 4};
        bool tenants[TENANTS] = {i % 2 == 0, true, i % 3 == 0};

        put_traces(place, &t, tenants, all);
    }
}

static void segments_become_one_block_of_each_tenant(void **state) {
    Counts *all = calloc(1, sizeof *all);
    Place place;

    (void)state;
    place_make(&place);
    make_mess(&place, 0, 8, all);
    (void)assert_traces(&place, all, false);
    run_ok(&place);
    (void)assert_traces(&place, all, true);
    make_mess(&place, 8, 12, all);
    pass(&place, 96 * HOUR);
    run_ok(&place);
    assert_int_equal(assert_traces(&place, all, true), TENANTS);
    pass(&place, GRACE_MS);
    run_ok(&place);
    assert_int_equal(count_objects(&place, "segments/"), 0);
    assert_int_equal(count_objects(&place, "tenants/t-0001/traces/"), 1);
    place_done(&place);
    free(all);
}

static void traces_past_their_retention_go(void **state) {
    const bool every[TENANTS] = {true, true, true};
    Counts *all = calloc(1, sizeof *all);
    TenantLimits limits = {0};
    Place place;

    (void)state;
    place_make(&place);
    put_traces(&place, &(Traffic){0, 2000, 0, 3}, every, all);
    put_traces(&place, &(Traffic){1000, 3000, 2, 5}, every, all);
    /* Up to and without trace 1500, which ends in time. */
    limits.retention_traces_ms = NOW - (TRAFFIC_START + 1500 * TRAFFIC_STEP) / 1000000;
    tenants_free(place.tenants);
    place.tenants = tenants_new(&limits, false);
    place_close(&place);
    place_open(&place);
    for (unsigned tenant = 0; tenant < TENANTS; tenant++)
        memset(all->spans[tenant], 0, 1500 * sizeof all->spans[0][0]);
    run_ok(&place);
    (void)assert_traces(&place, all, true);
    pass(&place, 2 * HOUR);
    run_ok(&place);
    memset(all, 0, sizeof *all);
    assert_int_equal(assert_traces(&place, all, true), 0);
    place_done(&place);
    free(all);
}

/* ---- faults ---- */

/* Lives with one fault, and goes on until it is done. True when the fault came. */
static bool survive(const FaultPlan *plan, bool crash) {
    Counts *all = calloc(1, sizeof *all);
    Place place;
    bool fired;

    place_make(&place);
    make_mess(&place, 0, 3, all);
    run_ok(&place);
    make_mess(&place, 3, 6, all);
    pass(&place, GRACE_MS);
    store_fault_arm(place.faulty, plan);
    for (unsigned attempt = 0;; attempt++) {
        Error err = {0};

        if (compactor_run(place.compactor, &err) == ERR_OK) break;
        if (attempt == 4) fail_msg("still failing: %s", err.text);
        if (crash) {
            place_close(&place);
            place_open(&place);
        } else {
            assert_ok(manifest_refresh(place.manifest, &err), &err);
        }
        (void)assert_traces(&place, all, false);
    }
    fired = store_fault_fired(place.faulty) > 0;
    store_fault_arm(place.faulty, &(FaultPlan){.kind = FAULT_NONE});
    (void)assert_traces(&place, all, false);
    pass(&place, 96 * HOUR);
    run_ok(&place);
    pass(&place, GRACE_MS);
    run_ok(&place);
    place_close(&place);
    place_open(&place);
    assert_int_equal(assert_traces(&place, all, true), TENANTS);
    assert_int_equal(count_objects(&place, "segments/"), 0);
    place_done(&place);
    free(all);
    return fired;
}

static void fail_everywhere(FaultKind kind) {
    for (int crash = 0; crash < 2; crash++) {
        uint64_t call = 1;

        while (survive(&(FaultPlan){.kind = kind, .call = call}, crash)) call++;
        assert_true(call > 25); /* or nothing was tried */
    }
}

static void a_call_that_failed_loses_and_doubles_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_BEFORE);
}

static void an_answer_that_got_lost_loses_and_doubles_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_AFTER);
}

static void bodies_cut_short_lose_and_double_nothing(void **state) {
    (void)state;
    fail_everywhere(FAULT_TRUNCATE);
}

static void wrong_bytes_lose_and_double_nothing(void **state) {
    uint64_t call = 1;

    (void)state;
    while (survive(&(FaultPlan){.kind = FAULT_WRONG_BYTES, .call = call, .only = FAULT_GETS}, true))
        call++;
    assert_true(call > 10);
}

static void a_small_budget_takes_fewer_at_a_time_and_never_loses(void **state) {
    bool done = false;

    (void)state;
    for (size_t limit = 64 << 10; !done; limit *= 2) {
        Counts *all = calloc(1, sizeof *all);
        Error err = {0};
        ErrCode code;
        Place place;

        place_make(&place);
        place_close(&place);
        budget_init(&place.background, "background", limit, NULL);
        place_open(&place);
        make_mess(&place, 0, 12, all);
        code = compactor_run(place.compactor, &err);
        if (code != ERR_OK) assert_int_equal(code, ERR_LIMIT);
        done = code == ERR_OK;
        (void)assert_traces(&place, all, false);
        place_done(&place);
        free(all);
        assert_true(limit < 256u << 20);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_become_one_block_of_each_tenant),
        cmocka_unit_test(traces_past_their_retention_go),
        cmocka_unit_test(a_call_that_failed_loses_and_doubles_nothing),
        cmocka_unit_test(an_answer_that_got_lost_loses_and_doubles_nothing),
        cmocka_unit_test(bodies_cut_short_lose_and_double_nothing),
        cmocka_unit_test(wrong_bytes_lose_and_double_nothing),
        cmocka_unit_test(a_small_budget_takes_fewer_at_a_time_and_never_loses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
