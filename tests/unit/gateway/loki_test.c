/* Loki's push bodies become batches: what is in them, what is refused, and what no body can do. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/loki/decode.h"
#include "proto/wire/wire.h"
#include "proto/wire/write.h"

#define NOW_NS (INT64_C(1800000000) * 1000000000)

typedef struct World {
    Arena *arena;
    TenantLimits limits;
    Streams streams;
    Error err;
} World;

static void begin(World *world) {
    StreamsOptions options = {STR("t"), &world->limits, 7, NOW_NS};

    streams_init(&world->streams, &options, world->arena);
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);

    world->arena = arena_new(0, NULL);
    tenant_limits_defaults(&world->limits);
    begin(world);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

    arena_free(world->arena);
    free(world);
    return 0;
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

static void assert_str(Str actual, const char *expected) {
    if (!str_equal(actual, str_of(expected)))
        fail_msg(STR_FMT ", expected %s", STR_ARG(actual), expected);
}

#define JSON_BODY                                                                                  \
    "{\"streams\":[{\"stream\":{\"app\":\"web\",\"z\":\"\"},\"values\":["                          \
    "[\"1799999999000000001\",\"one\",{\"trace.id\":\"abc\",\"9\":\"n\"}],"                        \
    "[\"1799999999000000002\",\"level=error two\\u0000\"]]}]}"

static void json_becomes_streams(void **state) {
    World *world = *state;
    const LogsBatch *batch = &world->streams.batch;

    assert_ok(loki_decode_json(&world->streams, STR(JSON_BODY), &world->err), &world->err);
    assert_int_equal(batch->stream_count, 1);
    assert_int_equal(batch->entry_count, 2);
    assert_str(labels_text(world, batch->streams[0].labels), "app=web;service_name=web;");
    assert_int_equal(batch->entries[0].time_ns, NOW_NS - 999999999);
    assert_str(batch->entries[0].line, "one");
    assert_str(labels_text(world, batch->entries[0].metadata),
               "detected_level=unknown;key_9=n;trace_id=abc;");
    assert_true(str_equal(batch->entries[1].line, STR("level=error two\0")));
    assert_str(labels_text(world, batch->entries[1].metadata), "detected_level=error;");
    assert_int_equal(world->streams.rejects.entries, 0);
}

static void metadata_without_a_value_is_not_there(void **state) {
    World *world = *state;
    const LogsBatch *batch = &world->streams.batch;

    assert_ok(
        loki_decode_json(
            &world->streams,
            STR("{\"streams\":[{\"stream\":{\"level\":\"warn\"},\"values\":[["
                "\"1799999999000000001\","
                "\"a\",{\"k\":\"\",\"l\":\"m\"}],[\"1799999999000000002\",\"b\",{\"k\":\"\"}]]}]}"),
            &world->err),
        &world->err);
    assert_int_equal(batch->entry_count, 2);
    assert_str(labels_text(world, batch->entries[0].metadata), "detected_level=warn;l=m;");
    assert_str(labels_text(world, batch->entries[1].metadata), "detected_level=warn;");
}

static void keys_may_come_in_any_order_and_others_too(void **state) {
    World *world = *state;

    assert_ok(loki_decode_json(&world->streams,
                               STR("{\"x\":[{}],\"streams\":[{\"values\":[[\"1799999999000000001\","
                                   "\"a\"]],\"y\":1,\"stream\":{\"level\":\"wrn\"}}],\"z\":null}"),
                               &world->err),
              &world->err);
    assert_int_equal(world->streams.batch.entry_count, 1);
    assert_str(labels_text(world, world->streams.batch.entries[0].metadata),
               "detected_level=warn;");
    assert_str(labels_text(world, world->streams.batch.streams[0].labels),
               "level=wrn;service_name=unknown_service;");
}

static void the_old_json_is_known(void **state) {
    World *world = *state;
    const LogsBatch *batch = &world->streams.batch;

    assert_ok(
        loki_decode_json(&world->streams,
                         STR("{\"streams\":[{\"labels\":\"{job=\\\"a b\\\", x=`y`,}\",\"entries\":["
                             "{\"ts\":\"2027-01-15T07:59:59.000000001Z\",\"line\":\"l\"},"
                             "{\"ts\":\"2027-01-15T09:59:59.5+02:00\",\"line\":\"m\"}]}]}"),
                         &world->err),
        &world->err);
    assert_int_equal(batch->entry_count, 2);
    assert_int_equal(batch->entries[0].time_ns, NOW_NS - 999999999);
    assert_int_equal(batch->entries[1].time_ns, NOW_NS - 500000000);
    assert_str(labels_text(world, batch->streams[0].labels), "job=a b;service_name=a b;x=y;");
}

static void bad_json_says_where(void **state) {
    static const struct {
        const char *body;
        const char *says;
    } bad[] = {
        {"", "ends too early"},
        {"[]", "expected {\"streams\""},
        {"{\"streams\": nope", "at byte 12"},
        {"{\"streams\": [1]}", "a stream must be an object"},
        {"{\"streams\":[{\"stream\":{\"a\":1}}]}", "a label's value must be a text"},
        {"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"zz\",\"x\"]]}]}", "nanoseconds"},
        {"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[1,\"x\"]]}]}", "nanoseconds"},
        {"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",2]]}]}", "a line must be"},
        {"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\",{\"a\":1}]]}]}",
         "structured metadata"},
        {"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\",3]]}]}",
         "structured metadata"},
        {"{\"streams\":[{\"stream\":{\"bad-name\":\"b\"},\"values\":[]}]}", "letters, digits"},
        {"{\"streams\":[{\"labels\":\"{a=}\",\"entries\":[]}]}", "in quotes"},
        {"{\"streams\":[{\"labels\":\"{}\",\"entries\":[{\"ts\":\"x\"}]}]}", "ts must be a time"},
        {"{\"streams\":[]} x", "more behind"},
    };
    World *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        begin(world);
        assert_int_equal(loki_decode_json(&world->streams, str_of(bad[i].body), &world->err),
                         ERR_INVALID);
        if (strstr(world->err.text, bad[i].says) == NULL)
            fail_msg("%s: %s, expected %s", bad[i].body, world->err.text, bad[i].says);
    }
}

static void labels_are_read_as_go_writes_them(void **state) {
    static const char *const bad[] = {
        "",
        "{",
        "{a}",
        "{a=b}",
        "{a=\"b}",
        "{a=\"b\"",
        "a=\"b\"",
        "{a=\"\\q\"}",
        "{a=\"\\x4\"}",
        "{a=\"\\400\"}",
        "{=\"b\"}",
        "{a=\"b\"}x",
        "{a=\"b\" c=\"d\"}",
        "{a=\"\\ud800\"}",
        "{,}",
    };
    World *world = *state;
    LabelPair *pairs;
    size_t count;

    assert_ok(loki_parse_labels(STR(" { a = \"\\x41\\102\\u00e9\\n\\\"\" , \"b.c\"=`\\n`} "),
                                world->arena, &pairs, &count, &world->err),
              &world->err);
    assert_int_equal(count, 2);
    assert_str(pairs[0].value, "AB\xc3\xa9\n\"");
    assert_str(pairs[1].name, "b.c");
    assert_str(pairs[1].value, "\\n");
    assert_ok(loki_parse_labels(STR("{}"), world->arena, &pairs, &count, &world->err), &world->err);
    assert_int_equal(count, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (loki_parse_labels(str_of(bad[i]), world->arena, &pairs, &count, &world->err) !=
            ERR_INVALID)
            fail_msg("%s was taken for labels", bad[i]);
}

static void refused_entries_leave_the_others(void **state) {
    World *world = *state;
    LogRejects *rejects = &world->streams.rejects;

    world->limits.log_line_bytes_max = 5;
    begin(world);
    assert_ok(loki_decode_json(&world->streams,
                               STR("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":["
                                   "[\"1799999999000000001\",\"short\"],"
                                   "[\"1799999999000000001\",\"longer\"],"
                                   "[\"1000000000000000000\",\"old\"],"
                                   "[\"1800000700000000000\",\"new\"],"
                                   "[\"-9223372036854775808\",\"1677\"],"
                                   "[\"9223372036854775807\",\"2262\"]]},"
                                   "{\"stream\":{\"a\":\"c\"},\"values\":["
                                   "[\"1799999999000000001\",\"fine\"]]}]}"),
                               &world->err),
              &world->err);
    assert_int_equal(world->streams.batch.entry_count, 2);
    assert_int_equal(rejects->entries, 5);
    assert_int_equal(rejects->by_reason[LOG_REJECT_LINE_TOO_LONG], 1);
    assert_int_equal(rejects->by_reason[LOG_REJECT_PAST], 2);
    assert_int_equal(rejects->by_reason[LOG_REJECT_FUTURE], 2);
    assert_non_null(strstr(rejects->first.text, "log_line_bytes_max is 5"));
    assert_non_null(strstr(rejects->first.text, "a=\"b\""));
    world->limits.log_line_truncate = true;
    begin(world);
    assert_ok(loki_decode_json(&world->streams,
                               STR("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":["
                                   "[\"1799999999000000001\",\"longer\"]]}]}"),
                               &world->err),
              &world->err);
    assert_str(world->streams.batch.entries[0].line, "longe");
    assert_int_equal(world->streams.rejects.truncated, 1);
}

static void streams_past_a_limit_lose_their_entries(void **state) {
    World *world = *state;

    world->limits.log_service_name = false;
    world->limits.label_names_max = 2;
    world->limits.label_value_bytes_max = 4;
    begin(world);
    assert_ok(loki_decode_json(
                  &world->streams,
                  STR("{\"streams\":[{\"stream\":{},\"values\":[[\"1799999999000000001\",\"\"]]},"
                      "{\"stream\":{\"a\":\"1\",\"b\":\"1\",\"c\":\"1\"},\"values\":["
                      "[\"1799999999000000001\",\"\"],[\"1799999999000000001\",\"\"]]},"
                      "{\"stream\":{\"a\":\"12345\"},\"values\":[[\"1799999999000000001\",\"\"]]},"
                      "{\"stream\":{\"a\":\"1\",\"a\":\"2\"},\"values\":["
                      "[\"1799999999000000001\",\"\"]]}]}"),
                  &world->err),
              &world->err);
    assert_int_equal(world->streams.batch.entry_count, 0);
    assert_int_equal(world->streams.rejects.by_reason[LOG_REJECT_MISSING_LABELS], 1);
    assert_int_equal(world->streams.rejects.by_reason[LOG_REJECT_TOO_MANY_LABELS], 2);
    assert_int_equal(world->streams.rejects.by_reason[LOG_REJECT_LABEL_VALUE_TOO_LONG], 1);
    assert_int_equal(world->streams.rejects.by_reason[LOG_REJECT_DUPLICATE_LABEL], 1);
}

/* ---------- protobuf ---------- */

static void message(Buf *out, uint32_t field, Buf *inner) {
    wire_put_bytes(out, field, buf_str(inner));
    buf_done(inner);
    buf_init(inner, 0);
}

static void make_proto(Buf *out) {
    Buf stream = {0}, entry = {0}, part = {0};

    wire_put_bytes(&stream, 1, STR("{app=\"web\"}"));
    wire_put_varint(&part, 1, 1799999999);
    wire_put_varint(&part, 2, 1);
    message(&entry, 1, &part);
    wire_put_bytes(&entry, 2, STR("ERROR \xff\0!"));
    wire_put_bytes(&part, 1, STR("trace_id"));
    wire_put_bytes(&part, 2, STR("abc"));
    message(&entry, 3, &part);
    message(&stream, 2, &entry);
    wire_put_varint(&stream, 3, 77);
    message(out, 1, &stream);
}

static void protobuf_becomes_streams(void **state) {
    World *world = *state;
    const LogsBatch *batch = &world->streams.batch;
    Buf body = {0};

    make_proto(&body);
    assert_ok(loki_decode_proto(&world->streams, buf_str(&body), &world->err), &world->err);
    assert_int_equal(batch->entry_count, 1);
    assert_int_equal(batch->entries[0].time_ns, NOW_NS - 999999999);
    assert_true(str_equal(batch->entries[0].line, STR("ERROR \xff\0!")));
    assert_str(labels_text(world, batch->entries[0].metadata),
               "detected_level=error;trace_id=abc;");
    assert_str(labels_text(world, batch->streams[0].labels), "app=web;service_name=web;");
    buf_done(&body);
}

static void protobuf_cut_anywhere_does_no_harm(void **state) {
    World *world = *state;
    Buf body = {0};

    make_proto(&body);
    for (size_t cut = 1; cut < body.len; cut++) {
        char *copy = malloc(cut);

        memcpy(copy, body.ptr, cut);
        begin(world);
        assert_int_equal(loki_decode_proto(&world->streams, (Str){copy, cut}, &world->err),
                         ERR_INVALID);
        free(copy);
    }
    buf_done(&body);
}

static void a_small_budget_is_said_as_such(void **state) {
    World *world = *state;
    Arena *whole = world->arena;

    for (size_t bytes = 1; bytes < 4096; bytes += 61) {
        world->arena = arena_new(bytes, NULL);
        begin(world);
        ErrCode code = loki_decode_json(&world->streams, STR(JSON_BODY), &world->err);
        assert_true(code == ERR_OK || code == ERR_UNAVAILABLE);
        arena_free(world->arena);
    }
    world->arena = whole;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json_becomes_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(metadata_without_a_value_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_may_come_in_any_order_and_others_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_json_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_json_says_where, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_are_read_as_go_writes_them, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_entries_leave_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(streams_past_a_limit_lose_their_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(protobuf_becomes_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(protobuf_cut_anywhere_does_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(a_small_budget_is_said_as_such, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
