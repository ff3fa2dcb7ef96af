/*
 * Remote write 1.0 into rows: what is taken, what is refused, and what never reads outside.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/gateway/bodies.h"

static void a_request_becomes_rows(void **state) {
    World *world = *state;
    const MetricsBatch *batch = &world->rows.batch;

    put_series(&world->body, LABELS("__name__", "up", "job", "a"), 1.5, NOW_MS);
    put_series(&world->body, LABELS("__name__", "up", "job", "b"), -0.0, NOW_MS - 1000);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(batch->row_count, 2);
    assert_int_equal(batch->sample_count, 2);
    assert_str(row_label(world, 1, STR("job")), STR("b"));
    assert_str(batch->tenant, STR("team-a"));
    assert_int_equal(batch->samples[batch->rows[0].sample_start].time_ms, NOW_MS);
    assert_true(batch->samples[batch->rows[0].sample_start].value == 1.5);
    assert_true(signbit(batch->samples[batch->rows[1].sample_start].value));
    assert_false(rejects_any(&world->rows.rejects));
}

static void canonical_labels_are_not_copied(void **state) {
    World *world = *state;
    Str labels;

    put_series(&world->body, LABELS("__name__", "up", "job", "a"), 1, NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    labels = world->rows.batch.rows[0].labels;
    assert_true(labels.ptr > world->body.ptr && labels.ptr < world->body.ptr + world->body.len);
}

static void labels_in_any_form_give_the_same_id(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    const MetricsRow *rows;
    size_t series, label;

    put_series(body, LABELS("__name__", "up", "a", "1", "b", "2"), 1, NOW_MS);
    /* unsorted */
    put_series(body, LABELS("b", "2", "__name__", "up", "a", "1"), 1, NOW_MS);
    /* with a label that has no value */
    put_series(body, LABELS("__name__", "up", "a", "1", "aa", "", "b", "2"), 1, NOW_MS);
    /* value before name, a field that nobody knows, a length spelled too long, labels at the end */
    series = wire_begin(body, 1);
    put_label(body, STR("__name__"), STR("up"));
    label = wire_begin(body, 1);
    wire_put_bytes(body, 2, STR("1"));
    wire_put_bytes(body, 1, STR("a"));
    wire_put_varint(body, 9, 5);
    wire_end(body, label);
    put_sample(body, 1, NOW_MS);
    label = wire_begin(body, 1);
    buf_append(body,
               "\x0a\x81\x80\x00"
               "b",
               5);
    wire_put_bytes(body, 2, STR("2"));
    wire_end(body, label);
    wire_end(body, series);

    assert_ok(decode(world, PROM_V1), &world->err);
    rows = world->rows.batch.rows;
    assert_int_equal(world->rows.batch.row_count, 4);
    for (size_t i = 1; i < 4; i++) {
        assert_str(rows[i].labels, rows[0].labels);
        assert_memory_equal(&rows[i].id, &rows[0].id, sizeof rows[0].id);
    }
    assert_memory_equal(
        &rows[0].id, &(Hash128[]){metrics_series_id(hash_str(STR("team-a")), rows[0].labels, 99)},
        sizeof rows[0].id);
}

static void tenants_have_ids_of_their_own(void **state) {
    World *world = *state;
    Hash128 id;

    put_series(&world->body, LABELS("__name__", "up"), 1, NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    id = world->rows.batch.rows[0].id;
    world->options.tenant = STR("team-b");
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_memory_not_equal(&id, &world->rows.batch.rows[0].id, sizeof id);
}

static void a_known_series_is_not_looked_at_again(void **state) {
    World *world = *state;
    size_t used;

    world->options.known = known_new(MIB(1), NULL);
    put_series(&world->body, LABELS("__name__", "up", "job", "a"), 1, NOW_MS);
    put_series(&world->body, LABELS("job", "b", "__name__", "up"), 1, NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.checked, 2);
    used = arena_used(world->arena);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.checked, 1); /* only bytes that are canonical are recognised */
    assert_int_equal(world->rows.batch.row_count, 2);

    /* Nothing but the arrays themselves is allocated for it. */
    buf_clear(&world->body);
    put_series(&world->body, LABELS("__name__", "up", "job", "a"), 1, NOW_MS);
    used = arena_used(world->arena);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.checked, 0);
    assert_in_range(arena_used(world->arena) - used, 0,
                    4 * (sizeof(MetricsRow) + sizeof(MetricsSample)));

    /* Under new limits everything is checked again. */
    world->options.generation++;
    world->limits.label_names_max = 1;
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.row_count, 0);
    assert_int_equal(world->rows.rejects.by_reason[REJECT_TOO_MANY_LABELS], 1);
}

typedef struct BadSeries {
    const char *const *labels;
    RejectReason reason;
    const char *text;
} BadSeries;

static void a_bad_series_is_left_out_and_the_rest_stored(void **state) {
    World *world = *state;
    char long_name[1100], long_value[2100];
    const BadSeries bad[] = {
        {LABELS("job", "a"), REJECT_MISSING_NAME, "no metric name"},
        {LABELS("__name__", "", "job", "a"), REJECT_MISSING_NAME, "no metric name"},
        {LABELS("__name__", "a\xff"), REJECT_NAME_INVALID, "not UTF-8"},
        {LABELS("__name__", "x", "\xc3", "a"), REJECT_LABEL_INVALID, "not UTF-8"},
        {LABELS("__name__", "x", "", "a"), REJECT_LABEL_INVALID, "empty"},
        {LABELS("__name__", "x", "a", "\xed\xa0\x80"), REJECT_LABEL_VALUE_INVALID, "not UTF-8"},
        {LABELS("__name__", "x", "a", "1", "a", "2"), REJECT_DUPLICATE_LABEL,
         "duplicate label name"},
        {LABELS("__name__", "x", "a", "1", "b", "1", "a", "1"), REJECT_DUPLICATE_LABEL,
         "duplicate label name"},
        {LABELS("__name__", "x", long_name, "1"), REJECT_LABEL_NAME_TOO_LONG,
         "limits.label_name_bytes_max is 1024"},
        {LABELS("__name__", "x", "a", long_value), REJECT_LABEL_VALUE_TOO_LONG,
         "limits.label_value_bytes_max is 2048"},
    };

    memset(long_name, 'n', sizeof long_name - 1);
    memset(long_value, 'v', sizeof long_value - 1);
    long_name[sizeof long_name - 1] = long_value[sizeof long_value - 1] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        buf_clear(&world->body);
        put_series(&world->body, LABELS("__name__", "good", "a", "1"), 1, NOW_MS);
        put_series(&world->body, bad[i].labels, 1, NOW_MS);
        put_series(&world->body, LABELS("__name__", "good", "a", "2"), 3, NOW_MS);
        assert_ok(decode(world, PROM_V1), &world->err);
        assert_int_equal(world->rows.batch.row_count, 2);
        assert_int_equal(world->rows.batch.sample_count, 2);
        assert_int_equal(world->rows.rejects.samples, 1);
        assert_int_equal(world->rows.rejects.by_reason[bad[i].reason], 1);
        if (strstr(world->rows.rejects.first.text, bad[i].text) == NULL)
            fail_msg("%zu: %s", i, world->rows.rejects.first.text);
        assert_true(str_is_utf8(str_of(world->rows.rejects.first.text)));
        assert_true(world->rows.batch.samples[world->rows.batch.rows[1].sample_start].value == 3);
    }
}

static void a_refusal_names_the_limit_and_how_to_raise_it(void **state) {
    World *world = *state;
    size_t series = wire_begin(&world->body, 1);

    put_label(&world->body, STR("__name__"), STR("many"));
    for (char c = 'a'; c <= 'z'; c++) {
        put_label(&world->body, (Str){&c, 1}, STR("1"));
        put_label(&world->body, (Str){(char[]){c, c}, 2}, STR("1"));
    }
    put_sample(&world->body, 1, NOW_MS);
    wire_end(&world->body, series);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_string_equal(world->rows.rejects.first.text,
                        "a series has 53 labels; limits.label_names_max is 40 and can be raised, "
                        "below overrides.team-a for this tenant alone");
}

static void utf8_names_are_fine(void **state) {
    World *world = *state;

    put_series(&world->body, LABELS("__name__", "h\xc3\xb6he in m", "m\xc3\xa4\xc3\x9f.x", "1"), 1,
               NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.row_count, 1);
}

static void every_value_is_a_value(void **state) {
    World *world = *state;
    const uint64_t bits[] = {STALE_NAN_BITS,
                             NORMAL_NAN_BITS,
                             UINT64_C(0x7ff0000000000000),
                             UINT64_C(0xfff0000000000000),
                             UINT64_C(0xfff8dead00000001),
                             1};
    size_t series = wire_begin(&world->body, 1);

    put_label(&world->body, STR("__name__"), STR("x"));
    for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
        double value;

        memcpy(&value, &bits[i], sizeof value);
        put_sample(&world->body, value, NOW_MS);
    }
    wire_end(&world->body, series);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.rows[0].sample_count, ARRAY_LEN(bits));
    for (size_t i = 0; i < ARRAY_LEN(bits); i++)
        assert_memory_equal(&world->rows.batch.samples[i].value, &bits[i], 8);
}

static void out_of_order_and_repeated_samples_are_passed_on(void **state) {
    World *world = *state;
    size_t series = wire_begin(&world->body, 1);

    put_label(&world->body, STR("__name__"), STR("x"));
    put_sample(&world->body, 1, NOW_MS);
    put_sample(&world->body, 2, NOW_MS - 5);
    put_sample(&world->body, 2, NOW_MS - 5);
    wire_end(&world->body, series);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.rows[0].sample_count, 3);
}

static void times_outside_the_window_are_refused_one_by_one(void **state) {
    World *world = *state;
    size_t series = wire_begin(&world->body, 1);

    put_label(&world->body, STR("__name__"), STR("x"));
    put_sample(&world->body, 1, NOW_MS + 600000);
    put_sample(&world->body, 2, NOW_MS + 600001);
    put_sample(&world->body, 3, 0);
    put_sample(&world->body, 4, INT64_MIN);
    put_sample(&world->body, 5, INT64_MAX);
    wire_end(&world->body, series);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.rows[0].sample_count, 2);
    assert_int_equal(world->rows.rejects.samples, 3);
    assert_int_equal(world->rows.rejects.by_reason[REJECT_FUTURE], 2);
    assert_int_equal(world->rows.rejects.by_reason[REJECT_PAST], 1);
    assert_non_null(strstr(world->rows.rejects.first.text, "limits.future_max is 600000 ms"));
    assert_non_null(strstr(world->rows.rejects.first.text, "x{}"));

    world->limits.past_ms_max = 1000;
    world->limits.future_ms_max = -1;
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.rows[0].sample_count, 2);
    assert_true(world->rows.batch.samples[1].value == 2);
    assert_int_equal(world->rows.rejects.by_reason[REJECT_PAST], 2);
    assert_int_equal(world->rows.rejects.by_reason[REJECT_FUTURE], 1);
}

static void absurd_windows_do_not_overflow(void **state) {
    World *world = *state;

    world->limits.past_ms_max = INT64_MAX;
    world->limits.future_ms_max = INT64_MAX;
    put_series(&world->body, LABELS("__name__", "x"), 1, INT64_MAX);
    put_series(&world->body, LABELS("__name__", "x"), 1, NOW_MS);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.row_count, 1);
}

static void a_series_without_anything_says_nothing(void **state) {
    World *world = *state;
    size_t series = wire_begin(&world->body, 1);

    put_label(&world->body, STR("a"), STR("\xff"));
    wire_end(&world->body, series);
    buf_append(&world->body, "\x0a\x00", 2);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.row_count, 0);
    assert_false(rejects_any(&world->rows.rejects));
    buf_clear(&world->body);
    assert_ok(decode(world, PROM_V1), &world->err);
}

static void histograms_and_exemplars_come_along(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    size_t series = wire_begin(body, 1), exemplar;
    const MetricsBatch *batch = &world->rows.batch;

    put_label(body, STR("__name__"), STR("h"));
    exemplar = wire_begin(body, 3);
    put_label(body, STR("trace_id"), STR("abc"));
    put_label(body, STR("a"), STR("b"));
    wire_put_double(body, 2, 0.5);
    wire_end(body, exemplar);
    put_histogram(body, 4, 3, NOW_MS - 7);
    put_histogram(body, 4, HISTOGRAM_SCHEMA_CUSTOM, NOW_MS);
    wire_end(body, series);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(batch->rows[0].histogram_count, 2);
    assert_int_equal(batch->histograms[0].time_ms, NOW_MS - 7);
    assert_int_equal(batch->histograms[0].histogram->schema, 3);
    assert_true(batch->histograms[0].histogram->positive[1] == 2);
    assert_int_equal(batch->histograms[1].histogram->custom_count, 2);
    /* An exemplar without a time has its series' last one; its labels are canonical. */
    assert_int_equal(batch->rows[0].exemplar_count, 1);
    assert_int_equal(batch->exemplars[0].time_ms, NOW_MS);
    assert_str(batch->exemplars[0].labels, ((Str){"\x0a\x06\x0a\x01"
                                                  "a\x12\x01"
                                                  "b\x0a\x0f\x0a\x08trace_id\x12\x03"
                                                  "abc",
                                                  25}));
}

static void a_bad_exemplar_is_dropped_without_failing_anything(void **state) {
    World *world = *state;
    Buf *body = &world->body;
    char text[140];
    const LabelPair bad[] = {
        {STR("a"), {text, sizeof text}}, {STR(""), STR("b")}, {STR("a"), STR("\xff")}};

    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t series, exemplar;

        series = wire_begin(body, 1);
        put_label(body, STR("__name__"), STR("h"));
        put_sample(body, 1, NOW_MS);
        exemplar = wire_begin(body, 3);
        put_label(body, bad[i].name, bad[i].value);
        wire_put_double(body, 2, 1);
        wire_put_int64(body, 3, NOW_MS);
        wire_end(body, exemplar);
        wire_end(body, series);
    }
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.row_count, 3);
    assert_int_equal(world->rows.batch.exemplar_count, 0);
    assert_int_equal(world->rows.rejects.exemplars, 3);
    assert_false(rejects_any(&world->rows.rejects));
}

static void put_metadata(Buf *body, unsigned type, Str name, Str help) {
    size_t metadata = wire_begin(body, 3);

    wire_put_varint(body, 1, type);
    wire_put_bytes(body, 2, name);
    wire_put_bytes(body, 4, help);
    wire_put_bytes(body, 5, STR("bytes"));
    wire_end(body, metadata);
}

static void metadata_is_kept_once_each(void **state) {
    World *world = *state;
    const MetricsMetadata *metadata;

    put_metadata(&world->body, 1, STR("a_total"), STR("help"));
    put_metadata(&world->body, 1, STR("a_total"), STR("help"));
    put_metadata(&world->body, 77, STR("b"), STR("other"));
    put_metadata(&world->body, 1, STR(""), STR("nameless"));
    put_metadata(&world->body, 1, STR("c"), STR("\xff"));
    assert_ok(decode(world, PROM_V1), &world->err);
    metadata = world->rows.batch.metadata;
    assert_int_equal(world->rows.batch.metadata_count, 2);
    assert_int_equal(metadata[0].type, METRIC_COUNTER);
    assert_str(metadata[0].unit, STR("bytes"));
    assert_int_equal(metadata[1].type, METRIC_UNKNOWN);
    assert_int_equal(world->rows.rejects.metadata, 2);
    assert_false(rejects_any(&world->rows.rejects));
}

/* A request with all that 1.0 has. */
static void put_everything(Buf *body) {
    size_t series = wire_begin(body, 1), exemplar;

    put_label(body, STR("__name__"), STR("x"));
    put_label(body, STR("a"), STR("1"));
    put_sample(body, 1, NOW_MS);
    exemplar = wire_begin(body, 3);
    put_label(body, STR("trace_id"), STR("abc"));
    wire_put_double(body, 2, 0.5);
    wire_put_int64(body, 3, NOW_MS);
    wire_end(body, exemplar);
    put_histogram(body, 4, HISTOGRAM_SCHEMA_CUSTOM, NOW_MS);
    wire_end(body, series);
    put_metadata(body, 1, STR("x"), STR("help"));
}

static void a_body_cut_anywhere_is_refused_whole(void **state) {
    World *world = *state;
    Str whole;
    size_t accepted = 0;

    put_everything(&world->body);
    whole = buf_str(&world->body);
    for (size_t len = 0; len < whole.len; len++) {
        /* A block of its own, so that a sanitizer sees a read past the cut. */
        char *cut = malloc(len + 1);
        ErrCode code;

        memcpy(cut, whole.ptr, len);
        rows_init(&world->rows, &world->options, world->arena);
        code = prom_decode_v1(&world->rows, (Str){cut, len}, &world->err);
        assert_true(code == ERR_OK || code == ERR_INVALID);
        accepted += code == ERR_OK;
        free(cut);
    }
    assert_int_equal(accepted, 2); /* nothing, and the series without the metadata */
}

static void nonsense_is_refused(void **state) {
    static const Str bad[] = {
        STR_INIT("\x0a"),                         /* no length */
        STR_INIT("\x0a\xff\xff\xff\xff\x0f"),     /* 4 GB */
        STR_INIT("\x0a\xff\xff\xff\xff\xff\x01"), /* a length of six bytes */
        STR_INIT("\x08\x01"),                     /* timeseries as a number */
        STR_INIT("\x0b\x0c"),                     /* a group */
        STR_INIT("\x00\x01"),                     /* field 0 */
        STR_INIT("\x0a\x02\x0a\x05"),             /* a label longer than its series */
        STR_INIT("\x0a\x04\x0a\x02\x0a\x05"),     /* a name longer than its label */
        STR_INIT("\x0a\x03\x12\x01\x09"),         /* half a sample */
        STR_INIT("\x0a\x04\x12\x02\x10\x80"),     /* half a time */
        STR_INIT("<html>"),
    };
    World *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        rows_init(&world->rows, &world->options, world->arena);
        assert_int_equal(prom_decode_v1(&world->rows, bad[i], &world->err), ERR_INVALID);
    }
}

static void a_bomb_costs_no_more_than_its_size(void **state) {
    World *world = *state;
    Arena *small = arena_new(MIB(16), NULL);
    Rows rows;

    /* A million empty series, a series of a million empty labels, a million samples at 1970. */
    for (size_t i = 0; i < 1000000; i++) buf_append(&world->body, "\x0a\x00", 2);
    rows_init(&rows, &world->options, small);
    assert_ok(prom_decode_v1(&rows, buf_str(&world->body), &world->err), &world->err);
    assert_int_equal(rows.batch.row_count, 0);

    arena_reset(small);
    buf_clear(&world->body);
    size_t series = wire_begin(&world->body, 1);
    for (size_t i = 0; i < 1000000; i++) buf_append(&world->body, "\x0a\x00", 2);
    put_sample(&world->body, 1, NOW_MS);
    wire_end(&world->body, series);
    rows_init(&rows, &world->options, small);
    assert_ok(prom_decode_v1(&rows, buf_str(&world->body), &world->err), &world->err);
    assert_int_equal(rows.rejects.by_reason[REJECT_TOO_MANY_LABELS], 1);

    arena_reset(small);
    buf_clear(&world->body);
    series = wire_begin(&world->body, 1);
    put_label(&world->body, STR("__name__"), STR("x"));
    for (size_t i = 0; i < 1000000; i++) buf_append(&world->body, "\x12\x00", 2);
    wire_end(&world->body, series);
    rows_init(&rows, &world->options, small);
    assert_int_equal(prom_decode_v1(&rows, buf_str(&world->body), &world->err), ERR_LIMIT);
    arena_free(small);
}

static void a_label_of_ten_megabytes_is_refused_even_without_limits(void **state) {
    World *world = *state;
    char *value = malloc(MIB(10));
    size_t series = wire_begin(&world->body, 1);

    memset(value, 'x', MIB(10));
    world->limits = (TenantLimits){0};
    put_label(&world->body, STR("__name__"), STR("x"));
    put_label(&world->body, STR("a"), ((Str){value, MIB(10)}));
    put_sample(&world->body, 1, 0);
    wire_end(&world->body, series);
    assert_ok(decode(world, PROM_V1), &world->err);
    assert_int_equal(world->rows.batch.row_count, 0);
    assert_int_equal(world->rows.rejects.by_reason[REJECT_LABEL_VALUE_TOO_LONG], 1);
    free(value);
}

static void running_out_of_memory_at_any_point_is_said(void **state) {
    World *world = *state;
    bool succeeded = false;

    put_everything(&world->body);
    put_series(&world->body, LABELS("b", "2", "__name__", "up"), 1, NOW_MS);
    for (size_t bytes = 1; bytes < KIB(64); bytes += 64) {
        Arena *arena = arena_new(bytes, NULL);
        ErrCode code;

        rows_init(&world->rows, &world->options, arena);
        code = prom_decode_v1(&world->rows, buf_str(&world->body), &world->err);
        assert_true(code == ERR_OK || code == ERR_LIMIT);
        assert_true(!succeeded || code == ERR_OK);
        succeeded |= code == ERR_OK;
        arena_free(arena);
    }
    assert_true(succeeded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(a_request_becomes_rows),
        world_test(canonical_labels_are_not_copied),
        world_test(labels_in_any_form_give_the_same_id),
        world_test(tenants_have_ids_of_their_own),
        world_test(a_known_series_is_not_looked_at_again),
        world_test(a_bad_series_is_left_out_and_the_rest_stored),
        world_test(a_refusal_names_the_limit_and_how_to_raise_it),
        world_test(utf8_names_are_fine),
        world_test(every_value_is_a_value),
        world_test(out_of_order_and_repeated_samples_are_passed_on),
        world_test(times_outside_the_window_are_refused_one_by_one),
        world_test(absurd_windows_do_not_overflow),
        world_test(a_series_without_anything_says_nothing),
        world_test(histograms_and_exemplars_come_along),
        world_test(a_bad_exemplar_is_dropped_without_failing_anything),
        world_test(metadata_is_kept_once_each),
        world_test(a_body_cut_anywhere_is_refused_whole),
        world_test(nonsense_is_refused),
        world_test(a_bomb_costs_no_more_than_its_size),
        world_test(a_label_of_ten_megabytes_is_refused_even_without_limits),
        world_test(running_out_of_memory_at_any_point_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
