/* One message, written as JSON and as protobuf by the same calls. */
#include "tests/unit/unit.h"

#include <math.h>

#include "querier/api/message.h"
#include "querier/api/tempo_request.h"

static void write_all(MessageWriter *w) {
    size_t inner, entry, value;

    message_open(w);
    message_text(w, 1, "text", STR("a\"b"));
    inner = message_begin(w, 2, "inner");
    message_bool(w, 1, "yes", true);
    message_u32(w, 2, "small", 300);
    message_end(w, inner);
    message_list(w, "list");
    for (int i = 0; i < 2; i++) {
        inner = message_begin(w, 3, NULL);
        message_i64(w, 1, "signed", -i);
        message_end(w, inner);
    }
    message_list_end(w);
    message_list(w, "texts");
    message_text(w, 4, NULL, STR("x"));
    message_text(w, 4, NULL, STR(""));
    message_list_end(w);
    message_list(w, "none");
    message_list_end(w);
    message_map(w, "map");
    value = message_entry(w, 5, STR("k"), &entry);
    message_u64(w, 1, "n", 7);
    message_entry_end(w, value, entry);
    value = message_entry(w, 5, STR("l"), &entry);
    message_entry_end(w, value, entry);
    message_map_end(w);
    message_double(w, 6, "number", 1.5);
    message_double(w, 6, "nan", (double)NAN);
    message_double(w, 6, "infinite", -(double)INFINITY);
    message_close(w);
}

static void json_is_protobufs(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf out = {0};
    MessageWriter w = {.out = &out, .json = true};

    (void)state;
    buf_init(&out, 0);
    write_all(&w);
    buf_append_byte(&out, 0);
    assert_string_equal(out.ptr,
                        "{\"text\":\"a\\\"b\",\"inner\":{\"yes\":true,\"small\":300},"
                        "\"list\":[{\"signed\":\"0\"},{\"signed\":\"-1\"}],\"texts\":[\"x\",\"\"],"
                        "\"none\":[],\"map\":{\"k\":{\"n\":\"7\"},\"l\":{}},\"number\":1.5,"
                        "\"nan\":\"NaN\",\"infinite\":\"-Infinity\"}");
}

static void the_wire_has_the_same_fields(void **state) {
    static const uint8_t want[] = {
        0x0a, 3,    'a',  '"',  'b',              /* text */
        0x12, 5,    0x08, 1,    0x10, 0xac, 0x02, /* inner */
        0x1a, 2,    0x08, 0,                      /* list */
        0x1a, 11,   0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0x01, 0x22, 1,    'x',  0x22, 0,                                     /* texts */
        0x2a, 7,    0x0a, 1,    'k',  0x12, 2,    0x08, 7,                   /* map */
        0x2a, 5,    0x0a, 1,    'l',  0x12, 0,    0x31, 0,    0,    0,    0, /* number */
        0,    0,    0xf8, 0x3f,
    };
    CLEANUP_IN_PLACE(buf_done) Buf out = {0};
    MessageWriter w = {.out = &out};

    (void)state;
    buf_init(&out, 0);
    write_all(&w);
    assert_true(out.len == sizeof want + 18); /* two numbers more */
    assert_memory_equal(out.ptr, want, sizeof want);
}

static Str condition(Buf *query, Str key, Str value) {
    buf_clear(query);
    tempo_tag_condition(key, value, query);
    return buf_str(query);
}

/* What a sender puts into a tag stays a text. */
static void tags_become_filters(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf query = {0};

    (void)state;
    buf_init(&query, 0);
    tempo_tags_end(&query);
    assert_true(str_equal(buf_str(&query), STR("{ }")));
    assert_true(str_equal(condition(&query, STR("name"), STR("a\"} || { true")),
                          STR("{ name = \"a\\\"} || { true\" }")));
    assert_true(
        str_equal(condition(&query, STR("a\"b\\"), STR("x")), STR("{ .\"a\\\"b\\\\\" = \"x\" }")));
    assert_true(str_equal(condition(&query, STR("code"), STR("-5")),
                          STR("{ .\"code\" = \"-5\" || .\"code\" = -5 }")));
    assert_true(
        str_equal(condition(&query, STR("status.code"), STR("error")), STR("{ status = error }")));
    assert_true(str_equal(condition(&query, STR("status.code"), STR("} || {")), STR("{ false }")));
    buf_clear(&query);
    tempo_tag_condition(STR("a"), STR("1s"), &query);
    tempo_tag_condition(STR("root.name"), STR("r"), &query);
    assert_true(str_equal(buf_str(&query), STR("{ .\"a\" = \"1s\" } && { rootName = \"r\" }")));
}

static void ranges_are_whole_seconds_in_order(void **state) {
    int64_t start, end;
    Error err;

    (void)state;
    assert_ok(tempo_seconds(0, 0, &start, &end, &err), &err);
    assert_true(start == INT64_MIN && end == INT64_MAX);
    assert_ok(tempo_seconds(10, 20, &start, &end, &err), &err);
    assert_true(start == INT64_C(10000000000) && end == INT64_C(20000000000));
    assert_int_equal(tempo_seconds(20, 20, &start, &end, &err), ERR_INVALID);
    assert_int_equal(tempo_seconds(20, 0, &start, &end, &err), ERR_INVALID);
    assert_ok(tempo_seconds(0, UINT64_MAX, &start, &end, &err), &err);
    assert_true(start == 0 && end > 0);
    tempo_widen(&start, &end);
    start = INT64_C(601000000000);
    end = INT64_C(1200000000000);
    tempo_widen(&start, &end);
    assert_true(start == INT64_C(600000000000) && end == INT64_C(1799999999999));
    start = INT64_MIN;
    end = INT64_MAX;
    tempo_widen(&start, &end);
    assert_true(start == INT64_MIN && end == INT64_MAX);
    start = -1;
    end = -1;
    tempo_widen(&start, &end);
    assert_true(start == INT64_C(-600000000000) && end == -1);
}

static void a_step_is_round_and_makes_some_240_points(void **state) {
    static const int64_t s = INT64_C(1000000000);

    (void)state;
    assert_int_equal(tempo_default_step(0, 10 * s), 50000000);
    assert_int_equal(tempo_default_step(0, 3600 * s), 15 * s);
    assert_int_equal(tempo_default_step(0, 6 * 3600 * s), 60 * s);
    assert_int_equal(tempo_default_step(0, 24 * 3600 * s), 300 * s);
    assert_int_equal(tempo_default_step(0, 30 * 24 * 3600 * s), 3 * 3600 * s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_protobufs),
        cmocka_unit_test(the_wire_has_the_same_fields),
        cmocka_unit_test(tags_become_filters),
        cmocka_unit_test(ranges_are_whole_seconds_in_order),
        cmocka_unit_test(a_step_is_round_and_makes_some_240_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
