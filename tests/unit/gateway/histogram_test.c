/*
 * Native histograms of remote write: every sort that senders have, and those that lie.
 */
#include <math.h>

#include "tests/unit/gateway/bodies.h"

typedef struct Sort {
    int64_t schema;
    bool is_float, packed, negative, custom;
} Sort;

static void put_span(Buf *out, uint32_t field, int64_t offset, uint64_t length) {
    size_t span = wire_begin(out, field);

    wire_put_sint64(out, 1, offset);
    wire_put_varint(out, 2, length);
    wire_end(out, span);
}

/* Buckets of 1, 3, 2 on one side. */
static void put_buckets(Buf *out, const Sort *sort, uint32_t spans, uint32_t deltas) {
    static const double counts[] = {1, 3, 2};
    static const int64_t steps[] = {1, 2, -1};
    size_t packed;

    put_span(out, spans, sort->custom ? 0 : -2, 2);
    put_span(out, spans, 0, 1);
    if (!sort->packed) {
        for (size_t i = 0; i < 3; i++) {
            if (sort->is_float)
                wire_put_double(out, deltas + 1, counts[i]);
            else
                wire_put_sint64(out, deltas, steps[i]);
        }
        return;
    }
    packed = wire_begin(out, sort->is_float ? deltas + 1 : deltas);
    for (size_t i = 0; i < 3; i++) {
        uint64_t bits;

        memcpy(&bits, &counts[i], sizeof bits);
        if (sort->is_float)
            buf_append_u64(out, bits);
        else
            buf_append_zigzag(out, steps[i]);
    }
    wire_end(out, packed);
}

static void put_sort(Buf *out, const Sort *sort) {
    double count = sort->negative ? 12 : 6;

    if (!sort->custom) count += 4;
    if (sort->is_float) {
        wire_put_double(out, 2, count);
        if (!sort->custom) wire_put_double(out, 7, 4);
    } else {
        wire_put_varint(out, 1, (uint64_t)count);
        if (!sort->custom) wire_put_varint(out, 6, 4);
    }
    wire_put_double(out, 3, -2.25);
    wire_put_sint64(out, 4, sort->schema);
    if (!sort->custom) wire_put_double(out, 5, 0.001);
    put_buckets(out, sort, 11, 12);
    if (sort->negative) put_buckets(out, sort, 8, 9);
    wire_put_varint(out, 14, HISTOGRAM_HINT_NO_RESET);
    wire_put_int64(out, 15, NOW_MS);
    if (sort->custom)
        for (int i = 0; i < 3; i++) wire_put_double(out, 16, i);
}

static void histograms_of_every_sort_are_read(void **state) {
    static const Sort sorts[] = {
        {.schema = 0},
        {.schema = 8, .packed = true},
        {.schema = -4, .negative = true},
        {.schema = 3, .packed = true, .negative = true},
        {.schema = 3, .is_float = true},
        {.schema = 3, .is_float = true, .packed = true, .negative = true},
        {.schema = HISTOGRAM_SCHEMA_CUSTOM, .custom = true},
        {.schema = HISTOGRAM_SCHEMA_CUSTOM, .custom = true, .packed = true},
        {.schema = HISTOGRAM_SCHEMA_CUSTOM, .custom = true, .is_float = true},
    };
    World *world = *state;
    static const double counts[] = {1, 3, 2};

    for (size_t i = 0; i < ARRAY_LEN(sorts); i++) {
        const Sort *sort = &sorts[i];
        PromHistogram got;
        const NativeHistogram *h;

        buf_clear(&world->body);
        put_sort(&world->body, sort);
        rows_init(&world->rows, &world->options, world->arena);
        assert_true(
            prom_decode_histogram(&world->rows, PROM_V1, wire_reader(buf_str(&world->body)), &got));
        h = got.histogram;
        assert_ok(histogram_validate(h, &world->err), &world->err);
        assert_int_equal(got.time_ms, NOW_MS);
        assert_int_equal(h->schema, sort->schema);
        assert_int_equal(h->is_float, sort->is_float);
        assert_int_equal(h->hint, HISTOGRAM_HINT_NO_RESET);
        assert_true(h->count == (sort->negative ? 12 : 6) + (sort->custom ? 0 : 4));
        assert_true(h->zero_count == (sort->custom ? 0 : 4));
        assert_true(h->sum == -2.25);
        assert_int_equal(h->positive_count, 3);
        assert_memory_equal(h->positive, counts, sizeof counts);
        assert_int_equal(h->negative_count, sort->negative ? 3 : 0);
        assert_int_equal(h->positive_span_count, 2);
        assert_int_equal(h->positive_spans[0].offset, sort->custom ? 0 : -2);
        assert_int_equal(h->custom_count, sort->custom ? 3 : 0);
    }
}

/* Decodes the message in `message` as the one histogram of a series. */
static void decode_message(World *world, Str message) {
    size_t series = wire_begin(&world->body, 1);

    put_label(&world->body, STR("__name__"), STR("h"));
    wire_put_bytes(&world->body, 4, message);
    wire_end(&world->body, series);
    assert_ok(decode(world, PROM_V1), &world->err);
    buf_clear(&world->body);
}

static void an_invalid_histogram_is_refused_with_prometheus_reason(void **state) {
    static const struct {
        const char *change;
        const char *text;
    } cases[] = {
        {"schema", "schema"},     {"count", "observation"},       {"spans", "buckets"},
        {"negative", "negative"}, {"custom order", "increasing"}, {"overflow", "negative"},
    };
    World *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Sort sort = {.schema = i == 4 ? HISTOGRAM_SCHEMA_CUSTOM : 3, .custom = i == 4};
        Buf message;

        buf_init(&message, 0);
        put_sort(&message, &sort);
        switch (i) {
        case 0:
            wire_put_sint64(&message, 4, 77);
            break;
        case 1:
            wire_put_varint(&message, 1, 2);
            break;
        case 2:
            put_span(&message, 11, 0, 5);
            break;
        case 3:
            put_span(&message, 11, 0, 1);
            wire_put_sint64(&message, 12, -50);
            break;
        case 4:
            wire_put_double(&message, 16, -1);
            break;
        default:
            put_span(&message, 11, 0, 2);
            wire_put_sint64(&message, 12, INT64_MAX);
            wire_put_sint64(&message, 12, INT64_MAX);
        }
        decode_message(world, buf_str(&message));
        assert_int_equal(world->rows.batch.row_count, 0);
        assert_int_equal(world->rows.rejects.histograms, 1);
        assert_int_equal(world->rows.rejects.by_reason[REJECT_HISTOGRAM_INVALID], 1);
        if (strstr(world->rows.rejects.first.text, cases[i].text) == NULL)
            fail_msg("%s: %s", cases[i].change, world->rows.rejects.first.text);
        assert_non_null(strstr(world->rows.rejects.first.text, "h{}"));
        buf_done(&message);
    }
}

static void a_stale_marker_is_a_histogram(void **state) {
    World *world = *state;
    uint64_t bits = STALE_NAN_BITS;
    Buf message;
    double sum;

    memcpy(&sum, &bits, sizeof sum);
    buf_init(&message, 0);
    wire_put_double(&message, 3, sum);
    wire_put_int64(&message, 15, NOW_MS);
    decode_message(world, buf_str(&message));
    assert_int_equal(world->rows.batch.histogram_count, 1);
    assert_true(histogram_is_stale(world->rows.batch.histograms[0].histogram));
    buf_done(&message);
}

static void the_last_of_a_oneof_holds(void **state) {
    World *world = *state;
    PromHistogram got;

    wire_put_double(&world->body, 2, 5);
    wire_put_varint(&world->body, 1, 7);
    rows_init(&world->rows, &world->options, world->arena);
    assert_true(
        prom_decode_histogram(&world->rows, PROM_V1, wire_reader(buf_str(&world->body)), &got));
    assert_false(got.histogram->is_float);
    assert_true(got.histogram->count == 7);
}

static void a_start_is_read_in_2_0_only(void **state) {
    World *world = *state;
    PromHistogram got;

    wire_put_int64(&world->body, 17, 1234);
    rows_init(&world->rows, &world->options, world->arena);
    assert_true(
        prom_decode_histogram(&world->rows, PROM_V1, wire_reader(buf_str(&world->body)), &got));
    assert_int_equal(got.start_ms, 0);
    assert_true(
        prom_decode_histogram(&world->rows, PROM_V2, wire_reader(buf_str(&world->body)), &got));
    assert_int_equal(got.start_ms, 1234);
}

static void more_buckets_than_the_bound_are_refused_before_memory_is_taken(void **state) {
    World *world = *state;
    Arena *small = arena_new(KIB(16), NULL);
    PromHistogram got;
    Rows rows;
    size_t packed = wire_begin(&world->body, 12);

    buf_append_zeros(&world->body, 1000000);
    wire_end(&world->body, packed);
    rows_init(&rows, &world->options, small);
    assert_true(prom_decode_histogram(&rows, PROM_V1, wire_reader(buf_str(&world->body)), &got));
    assert_null(got.histogram);
    assert_int_equal(rows.rejects.histograms, 1);
    arena_free(small);
}

static void every_cut_is_read_or_refused(void **state) {
    World *world = *state;
    Sort sort = {.schema = 3, .packed = true, .negative = true};
    PromHistogram got;

    put_sort(&world->body, &sort);
    for (size_t len = 0; len < world->body.len; len++) {
        rows_init(&world->rows, &world->options, world->arena);
        if (prom_decode_histogram(&world->rows, PROM_V1, wire_reader((Str){world->body.ptr, len}),
                                  &got))
            assert_non_null(got.histogram);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(histograms_of_every_sort_are_read),
        world_test(an_invalid_histogram_is_refused_with_prometheus_reason),
        world_test(a_stale_marker_is_a_histogram),
        world_test(the_last_of_a_oneof_holds),
        world_test(a_start_is_read_in_2_0_only),
        world_test(more_buckets_than_the_bound_are_refused_before_memory_is_taken),
        world_test(every_cut_is_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
