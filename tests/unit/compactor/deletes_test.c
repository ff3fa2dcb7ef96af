/* Delete requests are carried out once, whatever fails on the way: what they are about goes, all
 * else stays, and nothing is left to do after. */
#include "tests/unit/compactor/log_place.h"

enum { STREAMS = 4 };

/* The language: "<stream>" or "<stream> odd", lines with odd numbers. */
struct LogCutQuery {
    Matcher matcher;
    bool odd;
};

static ErrCode odd_compile(Str query, Arena *arena, LogCutQuery **out, Error *err) {
    LogCutQuery *made = ARENA_NEW(arena, LogCutQuery);
    Str stream, rest;

    made->odd = str_cut(query, ' ', &stream, &rest);
    *out = made;
    return matcher_new(arena, MATCH_EQUAL, STR("s"), stream, &made->matcher, err);
}

static const Matcher *odd_matchers(const LogCutQuery *query, size_t *count) {
    *count = 1;
    return &query->matcher;
}

static bool odd_filters(const LogCutQuery *query) {
    return query->odd;
}

static ErrCode odd_worker(const LogCutQuery *query, Budget *budget, LogCutWorker **out,
                          Error *err) {
    (void)query, (void)budget, (void)err;
    *out = NULL;
    return ERR_OK;
}

static void odd_free(LogCutWorker *worker) {
    (void)worker;
}

static ErrCode odd_stream(LogCutWorker *worker, LabelPairs labels, Error *err) {
    (void)worker, (void)labels, (void)err;
    return ERR_OK;
}

static bool odd_matches(LogCutWorker *worker, int64_t time_ns, Str line, LabelPairs metadata) {
    (void)worker, (void)time_ns, (void)metadata;
    return (line.ptr[line.len - 1] - '0') % 2 == 1;
}

static ErrCode odd_error(const LogCutWorker *worker, Error *err) {
    (void)worker, (void)err;
    return ERR_OK;
}

static const LogCutLanguage language = {odd_compile, odd_matchers, odd_filters, odd_worker,
                                        odd_free,    odd_stream,   odd_matches, odd_error};

/* ---------- a place with logs ---------- */

static uint64_t heads_cleared_now;

static uint64_t heads_cleared(void *context) {
    (void)context;
    return heads_cleared_now;
}

static void logs_open(Place *place) {
    CompactorOptions options;
    Error err = {0};

    assert_ok(manifest_open(place->store, &place->clock.clock, &place->manifest, &err), &err);
    options = (CompactorOptions){.store = place->store,
                                 .manifest = place->manifest,
                                 .tenants = place->tenants,
                                 .background = &place->background,
                                 .clock = &place->clock.clock,
                                 .interval_ms = 1,
                                 .grace_ms = GRACE_MS,
                                 .block_bytes_max = 1 << 30,
                                 .language = &language,
                                 .heads_cleared = heads_cleared};
    place->compactor = compactor_new(&options);
    assert_non_null(place->compactor);
}

static void logs_make(Place *place) {
    TenantLimits limits = {.deletion_mode = DELETION_FILTER_AND_DELETE};
    Error err = {0};

    place_make(place);
    place_close(place);
    assert_ok(tenants_replace(place->tenants, &limits, NULL, 0, &err), &err);
    heads_cleared_now = UINT64_MAX;
    logs_open(place);
}

static void logs_reopen(Place *place) {
    place_close(place);
    logs_open(place);
}

/* A segment of tenants "t" and "u": lines "<n>" of each stream, n in [from, to), a second apart. */
static void put_cleared(Place *place, int from, int to, uint64_t cleared) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockWriter *writer;
    BlockSummary summary;
    Error err = {0};
    Buf body;

    buf_init(&body, 0);
    writer = block_writer_new(arena, block_sink_buf(&body), NOW);
    for (int t = 0; t < 2; t++) {
        assert_ok(block_logs_begin(writer, t == 0 ? STR("t") : STR("u"), &err), &err);
        for (int s = 0; s < STREAMS; s++) {
            LabelPair pair = {STR("s"), str_format(arena, "%d", s)};

            assert_ok(block_logs_stream(writer, (LabelPairs){&pair, 1}, &err), &err);
            for (int n = from; n < to; n++) {
                int64_t time_ns = (NOW - 40 * HOUR + n * 1000) * 1000000;
                Str line = str_format(arena, "%d", n);

                assert_ok(block_logs_rows(writer, &(LogRows){&time_ns, &line, NULL, 1}, &err),
                          &err);
            }
        }
        assert_ok(block_logs_end(writer, &err), &err);
    }
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    place_put_segment(
        place, &body, &summary, NOW,
        (ManifestEntry){.created_ms = NOW + (int64_t)place->next_segment, .cleared = cleared});
}

static void put_logs(Place *place, int from, int to) {
    put_cleared(place, from, to, manifest_deletes_newest(place->manifest));
}

static void add_request(Place *place, const char *id, const char *query, int from, int to) {
    ManifestDelete request = {.tenant = STR("t"),
                              .id = str_of(id),
                              .query = str_of(query),
                              .start_ms = NOW - 40 * HOUR + from * 1000,
                              .end_ms = NOW - 40 * HOUR + to * 1000,
                              .created_ms = NOW};
    Error err = {0};

    assert_ok(
        manifest_change_deletes(place->manifest, &(ManifestDeletesChange){.add = &request}, &err),
        &err);
}

static size_t unprocessed(Place *place) {
    const ManifestSnapshot *snapshot = manifest_snapshot(place->manifest);
    size_t count, left = 0;
    const ManifestDelete *requests = manifest_deletes(snapshot, &count);

    for (size_t i = 0; i < count; i++) left += requests[i].processed_ms == 0;
    manifest_snapshot_unref(snapshot);
    return left;
}

static void run(Place *place) {
    Error err = {0};

    assert_ok(compactor_run(place->compactor, &err), &err);
}

/* 60 lines of each stream in a block, 20 in a segment, and 20 that came in after the requests:
 * stream 0 loses [10, 69], stream 1 odd ones of [50, 99], stream 2 all, stream 3 nothing. */
static void make_mess(Place *place) {
    put_logs(place, 0, 60);
    run(place);
    put_logs(place, 60, 80);
    add_request(place, "a", "0", 10, 69);
    add_request(place, "b", "1 odd", 50, 99);
    add_request(place, "c", "2", -1000, 1000);
    add_request(place, "d", "9", -1000, 1000);
    put_logs(place, 80, 100);
}

static void assert_cleaned(Place *place) {
    assert_lines(place, 40, 85, 20, 100);
    for (int s = 0; s < STREAMS; s++) assert_int_equal(place_count_lines(place, STR("u"), s), 100);
    assert_int_equal(unprocessed(place), 0);
}

static void requests_are_carried_out_in_every_object(void **state) {
    Place place;
    uint64_t calls;

    (void)state;
    logs_make(&place);
    make_mess(&place);
    run(&place);
    assert_cleaned(&place);
    /* And cost nothing from then on. */
    store_fault_arm(place.faulty, &(FaultPlan){.only = FAULT_PUTS | FAULT_GETS});
    run(&place);
    calls = store_fault_calls(place.faulty);
    logs_reopen(&place);
    store_fault_arm(place.faulty, &(FaultPlan){.only = FAULT_PUTS | FAULT_GETS});
    run(&place);
    assert_true(store_fault_calls(place.faulty) <= calls);
    assert_cleaned(&place);
    place_done(&place);
}

static void a_failure_at_any_call_is_made_good_by_the_next_run(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned call = 1;; call++) {
            Place place;
            Error err = {0};
            bool fired;

            logs_make(&place);
            make_mess(&place);
            store_fault_arm(
                place.faulty,
                &(FaultPlan){.kind = kind == 0 ? FAULT_BEFORE : FAULT_AFTER, .call = call});
            ErrCode ignored = compactor_run(place.compactor, &err);

            (void)ignored;
            fired = store_fault_fired(place.faulty) > 0;
            store_fault_arm(place.faulty, &(FaultPlan){.kind = FAULT_NONE});
            logs_reopen(&place); /* as after a crash */
            run(&place);
            assert_cleaned(&place);
            place_done(&place);
            if (!fired) break;
        }
}

static void a_request_is_open_while_heads_hold_what_it_is_about(void **state) {
    Place place;

    (void)state;
    logs_make(&place);
    make_mess(&place);
    heads_cleared_now = 0;
    run(&place);
    assert_lines(&place, 40, 85, 20, 100);
    assert_int_equal(unprocessed(&place), 4);
    heads_cleared_now = manifest_deletes_newest(place.manifest) - 1;
    run(&place);
    assert_int_equal(unprocessed(&place), 1); /* but for the last one */
    heads_cleared_now = UINT64_MAX;
    run(&place);
    assert_cleaned(&place);
    place_done(&place);
}

static void a_segment_that_turns_up_late_is_cut_as_it_comes(void **state) {
    Place place;

    (void)state;
    logs_make(&place);
    put_logs(&place, 0, 50);
    run(&place);
    add_request(&place, "a", "0", 0, 1000);
    run(&place);
    assert_lines(&place, 0, 50, 50, 50);
    assert_int_equal(unprocessed(&place), 0);
    put_cleared(&place, 50, 70, 0); /* of an ingester that had been away since before the request */
    put_logs(&place, 70, 80);
    run(&place);
    assert_lines(&place, 10, 80, 80, 80);
    place_done(&place);
}

static void nothing_is_removed_where_the_tenant_only_hides(void **state) {
    TenantLimits limits = {.deletion_mode = DELETION_FILTER_ONLY};
    Place place;
    Error err = {0};

    (void)state;
    logs_make(&place);
    assert_ok(tenants_replace(place.tenants, &limits, NULL, 0, &err), &err);
    make_mess(&place);
    run(&place);
    assert_lines(&place, 100, 100, 100, 100);
    assert_int_equal(unprocessed(&place), 4);
    limits.deletion_mode = DELETION_FILTER_AND_DELETE;
    assert_ok(tenants_replace(place.tenants, &limits, NULL, 0, &err), &err);
    run(&place);
    assert_cleaned(&place);
    place_done(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_carried_out_in_every_object),
        cmocka_unit_test(a_failure_at_any_call_is_made_good_by_the_next_run),
        cmocka_unit_test(a_request_is_open_while_heads_hold_what_it_is_about),
        cmocka_unit_test(a_segment_that_turns_up_late_is_cut_as_it_comes),
        cmocka_unit_test(nothing_is_removed_where_the_tenant_only_hides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
