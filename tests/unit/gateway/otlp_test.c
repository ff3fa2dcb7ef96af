/* OTLP's names, values and requests: what becomes of them, what is refused, and what no body can
 * do. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/batch/span_wire.h"
#include "gateway/otlp/answer.h"
#include "gateway/otlp/decode.h"
#include "gateway/otlp/json.h"
#include "gateway/otlp/value.h"
#include "proto/wire/write.h"

#define NOW_MS INT64_C(1800000000000)
#define TIME "\"timeUnixNano\":\"1799999999000000000\""

typedef struct World {
    Arena *arena;
    TenantLimits limits;
    OtlpSettings settings;
    Rows rows;
    Streams streams;
    OtlpOutcome outcome;
    Buf wire;
    Error err;
} World;

static void begin(World *world, Arena *arena) {
    static const Str labels[] = {STR_INIT("service.name"), STR_INIT("k8s.pod.name")};
    RowsOptions rows = {
        .tenant = STR("t"), .limits = &world->limits, .series_seed = 7, .now_ms = NOW_MS};
    StreamsOptions streams = {STR("t"), &world->limits, 7, NOW_MS * 1000000};

    world->settings.stream_labels = labels;
    world->settings.stream_label_count = ARRAY_LEN(labels);
    rows_init(&world->rows, &rows, arena);
    streams_init(&world->streams, &streams, arena);
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);

    world->arena = arena_new(0, NULL);
    tenant_limits_defaults(&world->limits);
    begin(world, world->arena);
    buf_init(&world->wire, 0);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

    buf_done(&world->wire);
    arena_free(world->arena);
    free(world);
    return 0;
}

static void assert_str(Str actual, const char *expected) {
    if (!str_equal(actual, str_of(expected)))
        fail_msg(STR_FMT ", expected %s", STR_ARG(actual), expected);
}

static Str labels_text(World *world, Str canonical) {
    LabelPairs pairs;
    Str out = STR("");

    assert_ok(labels_decode(canonical, world->arena, &pairs, &world->err), &world->err);
    for (size_t i = 0; i < pairs.count; i++)
        out = str_format(world->arena, STR_FMT STR_FMT "=" STR_FMT ";", STR_ARG(out),
                         STR_ARG(pairs.pairs[i].name), STR_ARG(pairs.pairs[i].value));
    return out;
}

/* The request of a JSON text. */
static Str wire_of(World *world, OtlpRequest request, const char *json) {
    buf_clear(&world->wire);
    assert_ok(otlp_json_to_wire(request, str_of(json), world->arena, &world->wire, &world->err),
              &world->err);
    return buf_str(&world->wire);
}

static void metrics_are_named_as_prometheus_names_them(void **state) {
    static const struct {
        OtlpTranslation translation;
        const char *name, *unit;
        bool counter, gauge;
        const char *want; /* NULL: refused */
    } cases[] = {
        {OTLP_ESCAPE_WITH_SUFFIXES, "http.server.duration", "s", false, false,
         "http_server_duration_seconds"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "requests", "1", true, false, "requests_total"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "total.requests", "", true, false, "requests_total"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "cpu", "1", false, true, "cpu_ratio"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "cpu", "1", false, false, "cpu"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "io", "By/s", false, true, "io_bytes_per_second"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "io_bytes", "By", false, true, "io_bytes"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "rate", "{request}/m", false, true, "rate_per_minute"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "x", "{things}", false, true, "x"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "x", "foo.bar_", false, true, "x_foo_bar_"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "9..lives", "", false, true, "_9_lives"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "a\xc3\xbc:b", "%", false, true, "a_:b_percent"},
        {OTLP_ESCAPE_WITH_SUFFIXES, "\xc3\xbc", "", false, true, NULL},
        {OTLP_ESCAPE_WITH_SUFFIXES, "", "", false, true, NULL},
        {OTLP_ESCAPE, "a__b.c", "s", true, false, "a__b_c"},
        {OTLP_ESCAPE, "1x", "s", true, false, "_1x"},
        {OTLP_KEEP_WITH_SUFFIXES, "a.b", "s", true, false, "a.b_seconds_total"},
        {OTLP_KEEP_WITH_SUFFIXES, "a.total", "", true, false, "a_total"},
        {OTLP_KEEP_WITH_SUFFIXES, "a.seconds", "s", false, true, "a.seconds"},
        {OTLP_KEEP_WITH_SUFFIXES, "a", "m/s", false, true, "a_meters_per_second"},
        {OTLP_KEEP, "a.b", "s", true, false, "a.b"},
    };
    World *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OtlpMetricName name = {str_of(cases[i].name), str_of(cases[i].unit), cases[i].counter,
                               cases[i].gauge};
        Str out;
        ErrCode code =
            otlp_metric_name(cases[i].translation, &name, world->arena, &out, &world->err);

        assert_int_equal(code, cases[i].want == NULL ? ERR_INVALID : ERR_OK);
        if (code == ERR_OK) assert_str(out, cases[i].want);
    }
    assert_str(otlp_unit_name(STR("By/s"), world->arena), "bytes_per_second");
    assert_str(otlp_unit_name(STR("1"), world->arena), "");
    assert_str(otlp_unit_name(STR("_x_"), world->arena), "x");
}

static void labels_are_named_for_who_reads_them(void **state) {
    static const struct {
        const char *name, *prometheus, *loki;
    } cases[] = {
        {"http.method", "http_method", "http_method"},
        {"a.-b", "a__b", "a_b"},
        {"1st", "key_1st", "key_1st"},
        {"_a", "key_a", "_a"},
        {"__a", "__a", "_a"},
        {"__a.b__", "__a_b__", "__a_b__"},
        {"\xc3\xbc.x", "__x", "_x"},
        {"...", NULL, NULL},
        {"", NULL, NULL},
    };
    World *world = *state;
    Str out;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *wanted[] = {cases[i].prometheus, cases[i].loki};

        for (int loki = 0; loki < 2; loki++) {
            ErrCode code = otlp_label_name(loki ? OTLP_LABEL_LOKI : OTLP_LABEL_PROMETHEUS,
                                           str_of(cases[i].name), world->arena, &out, &world->err);

            assert_int_equal(code, wanted[loki] == NULL ? ERR_INVALID : ERR_OK);
            if (code == ERR_OK) assert_str(out, wanted[loki]);
        }
    }
}

static void values_become_text(void **state) {
    static const struct {
        const char *json, *want;
    } cases[] = {
        {"{\"stringValue\":\"a<b\"}", "a<b"},
        {"{\"intValue\":\"-9223372036854775808\"}", "-9223372036854775808"},
        {"{\"intValue\":7}", "7"},
        {"{\"boolValue\":false}", "false"},
        {"{\"doubleValue\":0.5}", "0.5"},
        {"{\"doubleValue\":1e21}", "1e+21"},
        {"{\"doubleValue\":1.5e-7}", "1.5e-7"},
        {"{\"doubleValue\":100}", "100"},
        {"{\"doubleValue\":\"NaN\"}", "json: unsupported value: NaN"},
        {"{\"bytesValue\":\"AP8=\"}", "AP8="},
        {"{\"bytesValue\":\"AA\"}", "AA=="},
        {"{}", ""},
        {"{\"arrayValue\":{\"values\":[{\"stringValue\":\"\\u0001\\\"\\n\"},{},{\"intValue\":1}]}}",
         "[\"\\u0001\\\"\\n\",null,1]"},
        {"{\"kvlistValue\":{\"values\":[{\"key\":\"b\",\"value\":{\"intValue\":1}},{\"key\":\"a\","
         "\"value\":{\"boolValue\":true}},{\"key\":\"b\",\"value\":{\"intValue\":2}}]}}",
         "{\"a\":true,\"b\":2}"},
    };
    World *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Str json = str_format(world->arena,
                              "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{" TIME
                              ",\"body\":%s}]}]}]}",
                              cases[i].json);

        begin(world, world->arena);
        assert_ok(otlp_decode_logs(&world->streams, &world->settings, NOW_MS * 1000000,
                                   wire_of(world, OTLP_LOGS_REQUEST, json.ptr), &world->outcome,
                                   &world->err),
                  &world->err);
        assert_int_equal(world->streams.batch.entry_count, 1);
        assert_str(world->streams.batch.entries[0].line, cases[i].want);
    }
}

static void a_record_is_an_entry_of_its_resources_stream(void **state) {
    World *world = *state;
    const LogsBatch *batch = &world->streams.batch;
    Str wire = wire_of(
        world, OTLP_LOGS_REQUEST,
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"shop\"}},{\"key\":\"host.name\",\"value\":{\"stringValue\":\"h\"}}]},"
        "\"scopeLogs\":[{\"scope\":{\"name\":\"lib\",\"version\":\"2\"},\"logRecords\":[{" TIME
        ",\"observedTimeUnixNano\":5,\"severityNumber\":17,\"severityText\":\"Error\",\"traceId\":"
        "\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0000000000000000\",\"body\":{"
        "\"stringValue\":\"x\"},\"attributes\":[{\"key\":\"host.name\",\"value\":{\"stringValue\":"
        "\"mine\"}},{\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"n.o\","
        "\"value\":{\"intValue\":1}}]}}}]}]}]}]}");

    assert_ok(otlp_decode_logs(&world->streams, &world->settings, NOW_MS * 1000000, wire,
                               &world->outcome, &world->err),
              &world->err);
    assert_int_equal(batch->stream_count, 1);
    assert_str(labels_text(world, batch->streams[0].labels), "service_name=shop;");
    assert_str(labels_text(world, batch->entries[0].metadata),
               "detected_level=error;host_name=mine;m_n_o=1;observed_timestamp=5;scope_name=lib;"
               "scope_version=2;severity_number=17;severity_text=Error;"
               "trace_id=0102030405060708090a0b0c0d0e0f10;");
    assert_int_equal(batch->entries[0].time_ns, INT64_C(1799999999000000000));
}

#define TRACE "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\""

static void spans_are_kept_as_they_are_sent(void **state) {
    World *world = *state;
    Spans spans;
    SpansBatch *batch = &spans.batch;
    Span span;
    Str wire = wire_of(
        world, OTLP_TRACES_REQUEST,
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"shop\"}}]},\"schemaUrl\":\"u\",\"scopeSpans\":[{\"scope\":{\"name\":"
        "\"lib\"},\"spans\":[{" TRACE
        ",\"spanId\":\"00000000000000A1\",\"parentSpanId\":\"\",\"name\":\"n\",\"kind\":2,"
        "\"startTimeUnixNano\":\"5\",\"endTimeUnixNano\":7,\"status\":{\"code\":2,\"message\":"
        "\"m\"},\"attributes\":[{\"key\":\"i\",\"value\":{\"intValue\":\"-3\"}}],\"events\":[{"
        "\"timeUnixNano\":6,\"name\":\"e\"}],\"links\":[{" TRACE
        ",\"spanId\":\"00000000000000a2\"}]},{" TRACE
        ",\"spanId\":\"00000000000000a3\",\"startTimeUnixNano\":9}]},{\"spans\":[]},{\"spans\":[{"
        "\"spanId\":\"00000000000000a4\"},{" TRACE ",\"spanId\":\"00000000000000a5\"}]}]}]}");

    spans_init(&spans, STR("t"), 7, world->arena);
    assert_ok(otlp_decode_traces(&spans, wire, &world->outcome, &world->err), &world->err);
    assert_int_equal(world->outcome.points, 4);
    assert_int_equal(world->outcome.rejected, 1);
    assert_str(str_of(world->outcome.first.text), "trace_id has 0 bytes; it must have 16");
    assert_int_equal(spans.rejects.by_reason[SPAN_REJECT_INVALID], 1);
    assert_int_equal(batch->item_count, 3);
    assert_int_equal(batch->origin_count, 2); /* a scope without spans is nothing */
    assert_int_equal(batch->items[1].origin, 0);
    assert_int_equal(batch->items[2].origin, 1);
    assert_int_equal(batch->items[0].start_ns, 5);
    assert_int_equal(batch->items[0].end_ns, 7);
    assert_int_equal(batch->items[1].end_ns, 9);
    assert_ok(span_decode(batch->items[0].span, NULL, world->arena, &span, &world->err),
              &world->err);
    assert_int_equal(span.id, 0xa1);
    assert_int_equal(span.parent, 0);
    assert_int_equal(span.kind, 2);
    assert_int_equal(span.status, SPAN_STATUS_ERROR);
    assert_int_equal(span.attributes.items[0].integer, -3);
    assert_str(span.events[0].name, "e");
    assert_int_equal(span.links[0].span, 0xa2);
    assert_int_equal(span.links[0].trace.bytes[15], 0x10);
}

/* Its spans are refused one by one, and the others stay. */
static void a_resource_past_a_limit_takes_its_spans_with_it(void **state) {
    static const char *const spans_json =
        "\"scopeSpans\":[{\"spans\":[{" TRACE ",\"spanId\":\"00000000000000a1\"},{" TRACE
        ",\"spanId\":\"00000000000000a2\"}]}]}";
    World *world = *state;
    Spans spans;
    Str json = STR("");

    for (int i = 0; i < 14; i++) /* 16,384 of them */
        json = i == 0 ? STR("{},{}")
                      : str_format(world->arena, STR_FMT "," STR_FMT, STR_ARG(json), STR_ARG(json));
    json = str_format(world->arena,
                      "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" STR_FMT "]},%s,{%s]}",
                      STR_ARG(json), spans_json, spans_json);
    spans_init(&spans, STR("t"), 7, world->arena);
    assert_ok(otlp_decode_traces(&spans, wire_of(world, OTLP_TRACES_REQUEST, json.ptr),
                                 &world->outcome, &world->err),
              &world->err);
    assert_int_equal(world->outcome.rejected, 2);
    assert_non_null(strstr(world->outcome.first.text, "8192 attributes"));
    assert_int_equal(spans.batch.item_count, 2);
}

static const char metrics_json[] =
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
    "\"stringValue\":\"s\"}},{\"key\":\"host\",\"value\":{\"stringValue\":\"h\"}}]},"
    "\"scopeMetrics\":[{\"metrics\":[{\"name\":\"c\",\"unit\":\"s\",\"sum\":{"
    "\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[{" TIME
    ",\"asInt\":\"3\",\"attributes\":[{\"key\":\"a.b\",\"value\":{\"stringValue\":\"x\"}},{\"key\":"
    "\"a_b\",\"value\":{\"stringValue\":\"y\"}}]}]}},{\"name\":\"e\",\"exponentialHistogram\":{"
    "\"aggregationTemporality\":2,\"dataPoints\":[{" TIME
    ",\"count\":6,\"sum\":9,\"scale\":9,\"zeroCount\":1,\"positive\":{\"offset\":-2,"
    "\"bucketCounts\":[1,1,0,0,0,0,0,0,0,0,3]}}]}},{\"name\":\"h\",\"histogram\":{"
    "\"aggregationTemporality\":2,\"dataPoints\":[{" TIME
    ",\"count\":3,\"sum\":2,\"bucketCounts\":[1,2,0],\"explicitBounds\":[0.5,1]}]}}]}]}]}";

static void points_become_rows(void **state) {
    static const char *const want[] = {
        "__name__=c_seconds_total;a_b=x;y;job=s;",
        "__name__=e;job=s;",
        "__name__=h_sum;job=s;",
        "__name__=h_count;job=s;",
        "__name__=h_bucket;job=s;le=0.5;",
        "__name__=h_bucket;job=s;le=1;",
        "__name__=h_bucket;job=s;le=+Inf;",
        "__name__=target_info;host=h;job=s;",
    };
    World *world = *state;
    const MetricsBatch *batch = &world->rows.batch;
    const NativeHistogram *h;

    assert_ok(otlp_decode_metrics(&world->rows, &world->settings,
                                  wire_of(world, OTLP_METRICS_REQUEST, metrics_json),
                                  &world->outcome, &world->err),
              &world->err);
    assert_int_equal(batch->row_count, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_str(labels_text(world, batch->rows[i].labels), want[i]);
    assert_int_equal(batch->histogram_count, 1);
    h = batch->histograms[0].histogram;
    assert_int_equal(h->schema, 8); /* half as fine as sent, so buckets fall together by two */
    assert_int_equal(h->positive_span_count, 2);
    assert_int_equal(h->positive_spans[0].offset, 0);
    assert_int_equal(h->positive_spans[1].offset, 4);
    assert_true(h->positive[0] == 2 && h->positive[h->positive_count - 1] == 3);
    assert_true(h->zero_count == 1 && h->count == 6 && h->sum == 9);
    assert_int_equal(world->outcome.points, 3);
    assert_int_equal(world->outcome.rejected, 0);
}

static void what_is_cut_off_is_refused_or_whole(void **state) {
    World *world = *state;
    Str wire = wire_of(world, OTLP_METRICS_REQUEST, metrics_json);

    for (size_t cut = 0; cut < wire.len; cut++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        char *copy = malloc(cut + 1); /* so that reading past the end is seen */
        ErrCode code;

        memcpy(copy, wire.ptr, cut);
        begin(world, arena);
        code = otlp_decode_metrics(&world->rows, &world->settings, (Str){copy, cut},
                                   &world->outcome, &world->err);
        assert_true(code == ERR_OK || code == ERR_CORRUPT);
        code = otlp_decode_logs(&world->streams, &world->settings, 0, (Str){copy, cut},
                                &world->outcome, &world->err);
        assert_true(code == ERR_OK || code == ERR_CORRUPT);
        free(copy);
    }
    for (size_t cut = 0; cut + 1 < sizeof metrics_json; cut++) {
        buf_clear(&world->wire);
        assert_int_equal(otlp_json_to_wire(OTLP_METRICS_REQUEST, (Str){metrics_json, cut},
                                           world->arena, &world->wire, &world->err),
                         ERR_INVALID);
    }
}

static void a_small_budget_is_said_as_such(void **state) {
    World *world = *state;
    Str wire = wire_of(world, OTLP_METRICS_REQUEST, metrics_json);
    ErrCode code = ERR_LIMIT;

    for (size_t bytes = 4096; code != ERR_OK; bytes += 4096) {
        CLEANUP(arena_free) Arena *arena = arena_new(bytes, NULL);

        begin(world, arena);
        code =
            otlp_decode_metrics(&world->rows, &world->settings, wire, &world->outcome, &world->err);
        assert_true(code == ERR_OK || code == ERR_LIMIT);
        assert_true(bytes < MIB(4));
    }
}

static void delta_is_refused_unless_it_is_wanted(void **state) {
    World *world = *state;
    const char *json = "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"c\","
                       "\"sum\":{\"aggregationTemporality\":1,\"isMonotonic\":true,\"dataPoints\":"
                       "[{" TIME ",\"asInt\":3},{" TIME ",\"asInt\":3}]}}]}]}]}";
    Str wire = wire_of(world, OTLP_METRICS_REQUEST, json);

    assert_ok(
        otlp_decode_metrics(&world->rows, &world->settings, wire, &world->outcome, &world->err),
        &world->err);
    assert_int_equal(world->outcome.rejected, 2);
    assert_non_null(strstr(world->outcome.first.text, "otlp.delta"));
    assert_int_equal(world->rows.batch.row_count, 0);
    world->settings.keep_delta = true;
    assert_ok(
        otlp_decode_metrics(&world->rows, &world->settings, wire, &world->outcome, &world->err),
        &world->err);
    assert_int_equal(world->outcome.rejected, 0);
    assert_int_equal(world->rows.batch.sample_count, 2);
}

static void answers_come_in_the_senders_encoding(void **state) {
    World *world = *state;
    Error err;

    otlp_answer_done(true, OTLP_METRICS_REQUEST, 0, STR(""), &world->wire);
    assert_str(buf_str(&world->wire), "{}");
    buf_clear(&world->wire);
    otlp_answer_done(true, OTLP_LOGS_REQUEST, 2, STR("a \"b\""), &world->wire);
    assert_str(
        buf_str(&world->wire),
        "{\"partialSuccess\":{\"rejectedLogRecords\":\"2\",\"errorMessage\":\"a \\\"b\\\"\"}}");
    buf_clear(&world->wire);
    otlp_answer_done(false, OTLP_TRACES_REQUEST, 2, STR("a"), &world->wire);
    assert_true(str_equal(buf_str(&world->wire), STR("\x0a\x05\x08\x02\x12\x01"
                                                     "a")));
    buf_clear(&world->wire);
    error_set(&err, ERR_RATE, "slow down");
    assert_int_equal(otlp_answer_error(true, &err, &world->wire), 429);
    assert_str(buf_str(&world->wire), "{\"code\":8,\"message\":\"slow down\"}");
    buf_clear(&world->wire);
    err.code = ERR_CORRUPT;
    assert_int_equal(otlp_answer_error(false, &err, &world->wire), 400);
    assert_true(str_starts_with(buf_str(&world->wire), STR("\x08\x03\x12\x09")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(metrics_are_named_as_prometheus_names_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(labels_are_named_for_who_reads_them, setup, teardown),
        cmocka_unit_test_setup_teardown(values_become_text, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_is_an_entry_of_its_resources_stream, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(spans_are_kept_as_they_are_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_resource_past_a_limit_takes_its_spans_with_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(points_become_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_cut_off_is_refused_or_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_small_budget_is_said_as_such, setup, teardown),
        cmocka_unit_test_setup_teardown(delta_is_refused_unless_it_is_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_come_in_the_senders_encoding, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
