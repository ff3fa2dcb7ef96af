/*
 * Zipkin's JSON becomes OTLP's spans, as the translator of the Collector has it.
 */
#include "tests/unit/gateway/spans_text.h"

#include "gateway/zipkin/decode.h"

#define ID "\"traceId\":\"0a00000000000000000000000000000b\",\"id\":\"c\""
#define TRACE "a00000000000000000000000000000b"

static void expect(const char *json, uint64_t refused, const char *expected) {
    expect_spans(zipkin_decode_json, str_of(json), refused, expected);
}

static void a_span_has_its_ids_times_and_kind(void **state) {
    (void)state;
    expect("[{" ID ",\"parentId\":\"d\",\"name\":\"get /\",\"kind\":\"SERVER\",\"timestamp\":"
           "1700000000000001,\"duration\":2500,\"localEndpoint\":{\"serviceName\":\"shop\"}}]",
           0,
           "{service.name=\"shop\"} " TRACE
           "/c<d get / kind=2 1700000000000001000..1700000000002501000\n");
    /* 64-bit ids; who is its own parent is a root. */
    expect("[{\"traceId\":\"000000000000000b\",\"id\":\"00000000000000ff\",\"parentId\":\"ff\","
           "\"name\":\"n\",\"kind\":\"PRODUCER\",\"timestamp\":\"5\",\"duration\":1.0}]",
           0, " b/ff n kind=4 5000..6000\n");
}

static void endpoints_are_attributes(void **state) {
    (void)state;
    expect("[{" ID ",\"name\":\"n\",\"timestamp\":1,\"localEndpoint\":{\"serviceName\":\"s\","
           "\"ipv4\":\"10.0.0.1\",\"port\":80},\"remoteEndpoint\":{\"serviceName\":\"db\",\"ipv4\":"
           "\"10.0.0.2\",\"ipv6\":\"::1\",\"port\":5432},\"tags\":{\"a\":\"b\"}}]",
           0,
           "{service.name=\"s\"} " TRACE "/c n 1000..1000{a=\"b\" net.host.ip=\"10.0.0.1\" "
           "net.host.port=80 peer.service=\"db\" net.peer.ip=\"::1\" net.peer.port=5432}\n");
}

static void tags_that_have_a_field_become_it(void **state) {
    (void)state;
    expect("[{" ID ",\"name\":\"n\",\"timestamp\":1,\"tags\":{\"error\":\"true\","
           "\"otel.status_description\":\"no\",\"span.kind\":\"internal\","
           "\"w3c.tracestate\":\"k=v\",\"otel.library.name\":\"lib\",\"otel.library.version\":"
           "\"2\",\"http.path\":\"/\"}}]",
           0,
           "[lib 2] " TRACE "/c n kind=1 status=2() 1000..1000 state=k=v"
           "{otel.status_description=\"no\" http.path=\"/\"}\n");
    expect("[{" ID ",\"name\":\"n\",\"timestamp\":1,\"tags\":{\"error\":\"why\","
           "\"otel.status_code\":\"ERROR\",\"otel.status_description\":\"no\"}}]",
           0, " " TRACE "/c n status=2(no) 1000..1000{error=\"why\"}\n");
    expect("[{" ID ",\"name\":\"n\",\"timestamp\":1,\"tags\":{\"otel.status_code\":"
           "\"STATUS_CODE_OK\"}}]",
           0, " " TRACE "/c n status=1() 1000..1000\n");
}

static void a_resources_tags_are_the_resources_of_each_span(void **state) {
    (void)state;
    expect("[{" ID ",\"name\":\"n\",\"timestamp\":1,\"localEndpoint\":{\"serviceName\":\"s\"},"
           "\"tags\":{\"host.name\":\"h1\",\"x\":\"1\"}},{" ID
           ",\"name\":\"m\",\"timestamp\":1,\"localEndpoint\":{\"serviceName\":\"s\"},"
           "\"tags\":{\"host.name\":\"h2\",\"otlp.service.name.source\":\"faas.name\"}}]",
           0,
           "{service.name=\"s\" host.name=\"h1\"} " TRACE "/c n 1000..1000{x=\"1\"}\n"
           "{faas.name=\"s\" host.name=\"h2\"} " TRACE "/c m 1000..1000\n");
}

static void spans_from_the_same_place_share_an_origin(void **state) {
    static const char json[] = "[{" ID ",\"timestamp\":1,\"localEndpoint\":{\"serviceName\":\"s\"}}"
                               ",{" ID ",\"timestamp\":1,\"localEndpoint\":{\"serviceName\":\"s\"}}"
                               ",{" ID ",\"timestamp\":1,\"localEndpoint\":{\"serviceName\":\"t\"}}"
                               "]";
    Made made = make_spans(zipkin_decode_json, str_of(json));

    (void)state;
    assert_ok(made.code, &made.err);
    assert_int_equal(made.spans.batch.item_count, 3);
    assert_int_equal(made.spans.batch.origin_count, 2);
    arena_free(made.arena);
}

static void annotations_are_events(void **state) {
    (void)state;
    expect("[{" ID ",\"name\":\"n\",\"timestamp\":1,\"annotations\":[{\"timestamp\":2,\"value\":"
           "\"cs\"},{\"timestamp\":3,\"value\":\"e|{\\\"a|b\\\":1,\\\"t\\\":true,\\\"d\\\":0.5,"
           "\\\"s\\\":\\\"|\\\",\\\"o\\\":{}}|4\"},{\"timestamp\":4,\"value\":\"a|b|c\"}]}]",
           0,
           " " TRACE
           "/c n 1000..1000 !2000 cs !3000 e{a|b=1 t=true d=0.5 s=\"|\"}-4 !4000 a|b|c\n");
}

static void links_are_in_tags(void **state) {
    (void)state;
    expect("[{" ID ",\"name\":\"n\",\"timestamp\":1,\"tags\":{\"otlp.link.0\":"
           "\"0000000000000000000000000000000e|000000000000000f|st|{\\\"k\\\":\\\"v\\\"}|0\","
           "\"otlp.link.1\":\"nonsense\",\"otlp.link.3\":\"x\"}}]",
           0, " " TRACE "/c n 1000..1000{otlp.link.3=\"x\"} >e/f{k=\"v\"}\n");
}

/* Many tags, of which links are the last: taking them out takes no longer for that. */
static void many_links_are_taken_out_of_many_tags(void **state) {
    Made made;
    Buf json, text;

    (void)state;
    buf_init(&json, 0);
    buf_append_str(&json, STR("[{" ID ",\"timestamp\":1,\"tags\":{"));
    for (unsigned i = 0; i < SPAN_ATTRIBUTES_MAX; i++) buf_printf(&json, "\"%u\":\"\",", i);
    for (unsigned i = 0; i < 200; i++)
        buf_printf(&json, "%s\"otlp.link.%u\":\"0e|0f||{}|0\"", i == 0 ? "" : ",", i);
    buf_append_str(&json, STR("}}]"));
    made = make_spans(zipkin_decode_json, buf_str(&json));
    assert_ok(made.code, &made.err);
    assert_int_equal(made.spans.rejected, 1); /* 72 tags are left of them: too many attributes */
    assert_true(str_contains(str_of(made.spans.first.text), STR("attributes")));
    text = spans_text(&made);
    assert_string_equal(text.ptr, "");
    arena_free(made.arena);
    buf_done(&json);
    buf_done(&text);
}

static void a_span_without_a_time_says_so(void **state) {
    (void)state;
    expect("[{" ID ",\"name\":\"n\",\"duration\":3}]", 0,
           " " TRACE "/c n 0..3000{otel.zipkin.absentField.startTime=true}\n");
}

static void spans_that_are_none_are_refused_alone(void **state) {
    (void)state;
    expect("[{\"traceId\":\"xyz\",\"id\":\"c\"},{\"traceId\":\"b\",\"id\":\"0\",\"timestamp\":1},"
           "{\"traceId\":\"\",\"id\":\"c\"},{\"traceId\":\"b\",\"id\":\"10000000000000000\"},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"timestamp\":9200000000000000000},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"timestamp\":-1},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"name\":7},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"tags\":{\"a\":{}}},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"tags\":[1]},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"annotations\":[1,{\"value\":\"x\"}]},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"localEndpoint\":\"s\"},"
           "{\"traceId\":\"b\",\"id\":\"c\",\"timestamp\":1,\"duration\":9200000000000000000},"
           "null,{\"traceId\":\"b\",\"id\":\"c\",\"name\":null,\"timestamp\":1,\"tags\":{\"n\":1.5,"
           "\"t\":true,\"z\":null},\"unknown\":[{}]}]",
           12, " b/c  1000..1000{n=\"1.5\" t=\"true\"}\n");
    expect("[]", 0, "");
}

static void bodies_that_are_no_list_of_spans_are_refused_whole(void **state) {
    static const char *const bodies[] = {"",
                                         "{}",
                                         "[1]",
                                         "[{]",
                                         "[{\"id\":}]",
                                         "[{}]x",
                                         "[{},",
                                         "[[]]",
                                         "[{\"tags\":{\"a\"}}]",
                                         "null",
                                         "[{\"annotations\":[{}}]"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        Made made = make_spans(zipkin_decode_json, str_of(bodies[i]));

        if (made.code != ERR_INVALID) fail_msg("%s: %d", bodies[i], made.code);
        assert_true(made.err.text[0] != '\0');
        arena_free(made.arena);
    }
}

static void a_key_that_is_there_twice_counts_once(void **state) {
    (void)state;
    expect("[{" ID
           ",\"name\":\"n\",\"timestamp\":1,\"tags\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}]",
           0, " " TRACE "/c n 1000..1000{a=\"3\" b=\"2\"}\n");
}

static void too_many_tags_refuse_their_span(void **state) {
    Made made;
    Buf json;

    (void)state;
    buf_init(&json, 0);
    buf_append_str(&json, STR("[{" ID ",\"timestamp\":1,\"tags\":{"));
    for (unsigned i = 0; i <= FOREIGN_TAGS_MAX; i++)
        buf_printf(&json, "%s\"%u\":\"\"", i == 0 ? "" : ",", i);
    buf_append_str(&json, STR("}},{" ID ",\"timestamp\":1}]"));
    made = make_spans(zipkin_decode_json, buf_str(&json));
    assert_ok(made.code, &made.err);
    assert_int_equal(made.spans.rejected, 1);
    assert_int_equal(made.spans.batch.item_count, 1);
    arena_free(made.arena);
    buf_done(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_has_its_ids_times_and_kind),
        cmocka_unit_test(endpoints_are_attributes),
        cmocka_unit_test(tags_that_have_a_field_become_it),
        cmocka_unit_test(a_resources_tags_are_the_resources_of_each_span),
        cmocka_unit_test(spans_from_the_same_place_share_an_origin),
        cmocka_unit_test(annotations_are_events),
        cmocka_unit_test(links_are_in_tags),
        cmocka_unit_test(many_links_are_taken_out_of_many_tags),
        cmocka_unit_test(a_span_without_a_time_says_so),
        cmocka_unit_test(spans_that_are_none_are_refused_alone),
        cmocka_unit_test(bodies_that_are_no_list_of_spans_are_refused_whole),
        cmocka_unit_test(a_key_that_is_there_twice_counts_once),
        cmocka_unit_test(too_many_tags_refuse_their_span),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
