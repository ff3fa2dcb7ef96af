/*
 * Remote write 2.0 into rows: symbols, metadata, and the zeros at which counters start.
 */
#include <stdlib.h>

#include "tests/unit/gateway/bodies.h"

static const Str symbols[] = {
    STR_INIT(""),         STR_INIT("__name__"), STR_INIT("http_requests_total"),
    STR_INIT("job"),      STR_INIT("a"),        STR_INIT("How many."),
    STR_INIT("requests"), STR_INIT("h_bucket"), STR_INIT("trace_id"),
    STR_INIT("bad\xff"),
};
enum { S_NAME = 1, S_REQUESTS, S_JOB, S_A, S_HELP, S_UNIT, S_BUCKET, S_TRACE, S_BAD };

static void put_symbols(Buf *body) {
    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) wire_put_bytes(body, 4, symbols[i]);
}

static void put_refs(Buf *body, const uint8_t *refs, size_t count) {
    size_t packed = wire_begin(body, 1);

    buf_append(body, refs, count);
    wire_end(body, packed);
}
#define PUT_REFS(body, ...)                                                                        \
    put_refs((body), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void put_started_sample(Buf *body, double value, int64_t time_ms, int64_t start_ms) {
    size_t sample = wire_begin(body, 2);

    wire_put_double(body, 1, value);
    wire_put_int64(body, 2, time_ms);
    if (start_ms != 0) wire_put_int64(body, 3, start_ms);
    wire_end(body, sample);
}

static void put_type(Buf *body, unsigned type, unsigned help, unsigned unit) {
    size_t metadata = wire_begin(body, 5);

    wire_put_varint(body, 1, type);
    wire_put_varint(body, 3, help);
    wire_put_varint(body, 4, unit);
    wire_end(body, metadata);
}

/* One counter with a sample, created at `created_ms` by the field of the series. */
static void put_counter(Buf *body, unsigned type, int64_t created_ms, int64_t time_ms) {
    size_t series = wire_begin(body, 5);

    PUT_REFS(body, S_NAME, S_REQUESTS, S_JOB, S_A);
    put_started_sample(body, 7, time_ms, 0);
    if (type != 0) put_type(body, type, S_HELP, S_UNIT);
    if (created_ms != 0) wire_put_int64(body, 6, created_ms);
    wire_end(body, series);
}

static void the_same_series_has_the_same_id_in_both_versions(void **state) {
    World *world = *state;
    Hash128 id;

    put_series(&world->body, LABELS("__name__", "http_requests_total", "job", "a"), 1, NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    id = world->rows.batch.rows[0].id;

    buf_clear(&world->body);
    put_symbols(&world->body);
    put_counter(&world->body, 1, 0, NOW_MS);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.batch.row_count, 1);
    assert_memory_equal(&world->rows.batch.rows[0].id, &id, sizeof id);
    assert_true(world->rows.batch.samples[0].value == 7);
}

static void what_1_0_taught_is_known_to_2_0(void **state) {
    World *world = *state;

    world->options.known = known_new(MIB(1), NULL);
    put_series(&world->body, LABELS("__name__", "http_requests_total", "job", "a"), 1, NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    buf_clear(&world->body);
    put_symbols(&world->body);
    put_counter(&world->body, 1, 0, NOW_MS);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.checked, 0);
}

static void refs_and_symbols_may_come_in_any_order(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    size_t series = wire_begin(body, 5);

    put_started_sample(body, 1, NOW_MS, 0);
    wire_put_varint(body, 1, S_JOB); /* unpacked, unsorted, after the samples */
    wire_put_varint(body, 1, S_A);
    wire_put_varint(body, 1, S_NAME);
    wire_put_varint(body, 1, S_REQUESTS);
    wire_end(body, series);
    put_symbols(body);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.batch.row_count, 1);
    assert_str(row_label(world, 0, STR("job")), STR("a"));
}

static void bad_refs_refuse_their_series_only(void **state) {
    static const uint8_t bad[][4] = {
        {S_NAME, S_REQUESTS, S_JOB, 99}, {S_NAME, 0x7f, 0, 0},         {S_JOB, S_A, S_JOB, S_A},
        {S_NAME, S_BAD, S_JOB, S_A},     {0, S_A, S_NAME, S_REQUESTS},
    };
    World *world = *state;
    Buf *body = &world->body;

    put_symbols(body);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t series = wire_begin(body, 5);

        put_refs(body, bad[i], 4);
        put_started_sample(body, 1, NOW_MS, 0);
        wire_end(body, series);
    }
    size_t odd = wire_begin(body, 5);
    PUT_REFS(body, S_NAME, S_REQUESTS, S_JOB);
    put_started_sample(body, 1, NOW_MS, 0);
    put_started_sample(body, 1, NOW_MS + 1, 0);
    wire_end(body, odd);
    put_counter(body, 1, 0, NOW_MS);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.batch.row_count, 1);
    assert_int_equal(world->rows.rejects.samples, ARRAY_LEN(bad) + 2);
    assert_non_null(strstr(world->rows.rejects.first.text, "labels_refs has 99"));
    assert_int_equal(world->rows.batch.metadata_count, 1);
}

static void metadata_is_of_the_family_and_kept_once(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    const MetricsBatch *batch = &world->rows.batch;
    size_t series;

    put_symbols(body);
    put_counter(body, 1, 0, NOW_MS);
    put_counter(body, 1, 0, NOW_MS);
    series = wire_begin(body, 5);
    PUT_REFS(body, S_NAME, S_BUCKET);
    put_started_sample(body, 1, NOW_MS, 0);
    put_type(body, 3, S_HELP, 0);
    wire_end(body, series);
    put_counter(body, 0, 0, NOW_MS);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(batch->row_count, 4);
    assert_int_equal(batch->metadata_count, 2);
    assert_str(batch->metadata[0].metric, STR("http_requests_total"));
    assert_str(batch->metadata[0].help, STR("How many."));
    assert_str(batch->metadata[0].unit, STR("requests"));
    assert_int_equal(batch->metadata[0].type, METRIC_COUNTER);
    assert_str(batch->metadata[1].metric, STR("h"));
    assert_int_equal(batch->metadata[1].type, METRIC_HISTOGRAM);
}

static void a_counter_begins_with_a_zero_where_it_was_created(void **state) {
    World *world = *state;
    const MetricsBatch *batch = &world->rows.batch;

    put_symbols(&world->body);
    put_counter(&world->body, 1, NOW_MS - 5000, NOW_MS);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(batch->rows[0].sample_count, 2);
    assert_int_equal(batch->samples[0].time_ms, NOW_MS - 5000);
    assert_true(batch->samples[0].value == 0);
    assert_int_equal(batch->samples[1].time_ms, NOW_MS);
    assert_int_equal(world->rows.zero_samples, 1);

    world->options.created_zeros = false;
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(batch->rows[0].sample_count, 1);
    assert_int_equal(world->rows.zero_samples, 0);
}

static void a_zero_comes_once_and_again_only_after_a_restart(void **state) {
    World *world = *state;

    world->options.known = known_new(MIB(1), NULL);
    put_symbols(&world->body);
    put_counter(&world->body, 1, NOW_MS - 5000, NOW_MS);
    for (int i = 0; i < 2; i++) { /* what was not stored has to come again */
        assert_ok(decode(world, PROM_V2), &world->err);
        assert_int_equal(world->rows.zero_samples, 1);
    }
    rows_stored(&world->rows);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.zero_samples, 0);
    assert_int_equal(world->rows.batch.sample_count, 1);

    buf_clear(&world->body);
    put_symbols(&world->body);
    put_counter(&world->body, 1, NOW_MS - 1000, NOW_MS + 1);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.zero_samples, 1);
}

static void starts_that_say_nothing_bring_no_zero(void **state) {
    World *world = *state;
    struct {
        unsigned type;
        int64_t created_ms;
    } cases[] = {
        {METRIC_GAUGE, NOW_MS - 5000},
        {METRIC_INFO, NOW_MS - 5000},
        {METRIC_COUNTER, NOW_MS},
        {METRIC_COUNTER, NOW_MS + 5},
        {METRIC_COUNTER, NOW_MS - 86400000},
        {METRIC_COUNTER, INT64_MIN},
        {METRIC_COUNTER, INT64_MAX},
        {METRIC_COUNTER, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&world->body);
        put_symbols(&world->body);
        put_counter(&world->body, cases[i].type, cases[i].created_ms, NOW_MS);
        assert_ok(decode(world, PROM_V2), &world->err);
        assert_int_equal(world->rows.batch.sample_count, 1);
        assert_false(rejects_any(&world->rows.rejects));
    }
}

static void each_restart_within_a_row_brings_its_zero(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    const MetricsBatch *batch = &world->rows.batch;
    size_t series;

    put_symbols(body);
    series = wire_begin(body, 5);
    PUT_REFS(body, S_NAME, S_REQUESTS);
    put_started_sample(body, 5, NOW_MS, NOW_MS - 100);
    put_started_sample(body, 6, NOW_MS + 1000, NOW_MS - 100);
    put_started_sample(body, 1, NOW_MS + 2000, NOW_MS + 1500);
    wire_end(body, series);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(batch->rows[0].sample_count, 5);
    assert_int_equal(batch->samples[3].time_ms, NOW_MS + 1500);
    assert_true(batch->samples[3].value == 0);
}

static void a_zero_of_a_refused_series_counts_nowhere(void **state) {
    World *world = *state;

    world->limits.label_names_max = 1;
    put_symbols(&world->body);
    put_counter(&world->body, 1, NOW_MS - 5000, NOW_MS);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.batch.sample_count, 0);
    assert_int_equal(world->rows.rejects.samples, 1);
    assert_int_equal(world->rows.zero_samples, 0);
}

static void a_histogram_begins_with_an_empty_one_of_its_layout(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    const MetricsBatch *batch = &world->rows.batch;
    const NativeHistogram *zero;
    size_t series;

    put_symbols(body);
    series = wire_begin(body, 5);
    PUT_REFS(body, S_NAME, S_REQUESTS);
    put_histogram(body, 3, HISTOGRAM_SCHEMA_CUSTOM, NOW_MS);
    wire_put_int64(body, 6, NOW_MS - 5000);
    wire_end(body, series);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(batch->rows[0].histogram_count, 2);
    assert_int_equal(world->rows.zero_histograms, 1);
    zero = batch->histograms[0].histogram;
    assert_int_equal(batch->histograms[0].time_ms, NOW_MS - 5000);
    assert_true(zero->count == 0 && zero->sum == 0);
    assert_int_equal(zero->custom_count, 2);
    assert_int_equal(zero->hint, HISTOGRAM_HINT_RESET);
    assert_ok(histogram_validate(zero, &world->err), &world->err);
}

static void exemplars_name_their_labels_by_symbols(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    static const uint8_t refs[][2] = {{S_TRACE, S_A}, {S_TRACE, 99}, {S_TRACE, S_BAD}};
    size_t series, exemplar;

    put_symbols(body);
    series = wire_begin(body, 5);
    PUT_REFS(body, S_NAME, S_REQUESTS);
    put_started_sample(body, 5, NOW_MS, 0);
    for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
        exemplar = wire_begin(body, 4);
        put_refs(body, refs[i], 2);
        wire_put_double(body, 2, 1);
        wire_end(body, exemplar);
    }
    exemplar = wire_begin(body, 4); /* without labels is fine */
    wire_put_double(body, 2, 2);
    wire_put_int64(body, 3, NOW_MS - 1);
    wire_end(body, exemplar);
    wire_end(body, series);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.batch.rows[0].exemplar_count, 2);
    assert_int_equal(world->rows.rejects.exemplars, 2);
    assert_str(world->rows.batch.exemplars[0].labels, STR("\x0a\x0d\x0a\x08trace_id\x12\x01"
                                                          "a"));
    assert_int_equal(world->rows.batch.exemplars[1].labels.len, 0);
}

static void a_body_cut_anywhere_is_refused_or_shorter(void **state) {
    World *world = *state;
    Str whole;

    put_symbols(&world->body);
    put_counter(&world->body, 1, NOW_MS - 5000, NOW_MS);
    whole = buf_str(&world->body);
    for (size_t len = 0; len < whole.len; len++) {
        char *cut = malloc(len + 1);
        ErrCode code;

        memcpy(cut, whole.ptr, len);
        rows_init(&world->rows, &world->options, world->arena);
        code = prom_decode_v2(&world->rows, (Str){cut, len}, &world->err);
        assert_true(code == ERR_OK || code == ERR_INVALID);
        assert_int_equal(world->rows.batch.row_count, 0);
        free(cut);
    }
}

static void a_request_of_the_other_version_comes_out_empty(void **state) {
    World *world = *state;

    put_series(&world->body, LABELS("__name__", "up"), 1, NOW_MS);
    assert_ok(decode(world, PROM_V2), &world->err);
    assert_int_equal(world->rows.batch.row_count, 0);
    buf_clear(&world->body);
    put_symbols(&world->body);
    put_counter(&world->body, 1, 0, NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.row_count, 0);
}

static void more_labels_than_anyone_has_are_counted_not_stored(void **state) {
    World *world = *state;
    Arena *small = arena_new(MIB(4), NULL);
    size_t series, packed;
    Rows rows;

    world->limits = (TenantLimits){0};
    put_symbols(&world->body);
    series = wire_begin(&world->body, 5);
    packed = wire_begin(&world->body, 1);
    for (size_t i = 0; i < 2000000; i++) buf_append_byte(&world->body, S_A);
    wire_end(&world->body, packed);
    put_started_sample(&world->body, 1, 1, 0);
    wire_end(&world->body, series);
    rows_init(&rows, &world->options, small);
    assert_ok(prom_decode_v2(&rows, buf_str(&world->body), &world->err), &world->err);
    assert_int_equal(rows.rejects.by_reason[REJECT_TOO_MANY_LABELS], 1);
    arena_free(small);
}

static void running_out_of_memory_at_any_point_is_said(void **state) {
    World *world = *state;
    bool succeeded = false;

    put_symbols(&world->body);
    put_counter(&world->body, 1, NOW_MS - 5000, NOW_MS);
    for (size_t bytes = 1; bytes < KIB(64); bytes += 64) {
        Arena *arena = arena_new(bytes, NULL);
        ErrCode code;

        rows_init(&world->rows, &world->options, arena);
        code = prom_decode_v2(&world->rows, buf_str(&world->body), &world->err);
        assert_true(code == ERR_OK || code == ERR_LIMIT);
        succeeded |= code == ERR_OK;
        arena_free(arena);
    }
    assert_true(succeeded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(the_same_series_has_the_same_id_in_both_versions),
        world_test(what_1_0_taught_is_known_to_2_0),
        world_test(refs_and_symbols_may_come_in_any_order),
        world_test(bad_refs_refuse_their_series_only),
        world_test(metadata_is_of_the_family_and_kept_once),
        world_test(a_counter_begins_with_a_zero_where_it_was_created),
        world_test(a_zero_comes_once_and_again_only_after_a_restart),
        world_test(starts_that_say_nothing_bring_no_zero),
        world_test(each_restart_within_a_row_brings_its_zero),
        world_test(a_zero_of_a_refused_series_counts_nowhere),
        world_test(a_histogram_begins_with_an_empty_one_of_its_layout),
        world_test(exemplars_name_their_labels_by_symbols),
        world_test(a_body_cut_anywhere_is_refused_or_shorter),
        world_test(a_request_of_the_other_version_comes_out_empty),
        world_test(more_labels_than_anyone_has_are_counted_not_stored),
        world_test(running_out_of_memory_at_any_point_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
