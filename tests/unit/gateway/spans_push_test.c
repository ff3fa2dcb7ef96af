/*
 * Requests of Zipkin's and Jaeger's senders over a real connection, into a sink that does what a
 * test says.
 */
#include "common/net/grpc.h"
#include "gateway/gateway.h"
#include "tests/unit/gateway/jaeger_bodies.h"
#include "tests/unit/net/raw2.h"

#define ZIPKIN_SPAN "{\"traceId\":\"b\",\"id\":\"c\",\"timestamp\":1}"

/* Answers in place. */
typedef struct FakeSink {
    SpansSink sink;
    AppendResult result;
    unsigned calls;
    size_t spans;
    char tenant[64];
} FakeSink;

static FakeSink sink;
static MetricsSink metrics;
static TenantLimits limits;
static Tenants *tenants;
static Budget bodies;
static Gateway *gateway;
static HttpServer *server;
static Raw2 client;
static uint32_t next_stream;

static void fake_append(SpansSink *self, const SpansBatch *batch, AppendDone done, void *context) {
    AppendResult result = sink.result;

    (void)self;
    sink.calls++;
    sink.spans = batch->item_count;
    snprintf(sink.tenant, sizeof sink.tenant, STR_FMT, STR_ARG(batch->tenant));
    if (result.code == ERR_OK) result.spans = batch->item_count - result.over_limit;
    done(context, &result);
}

static int setup(void **state) {
    HttpServerOptions options = test_options();
    GatewayOptions given = {.metrics = &metrics, .spans = &sink.sink, .bodies = &bodies};
    Error err;

    (void)state;
    sink.sink = (SpansSink){fake_append, 42};
    tenant_limits_defaults(&limits);
    limits.request_bytes_max = 5000;
    tenants = tenants_new(&limits, false);
    assert_non_null(tenants);
    budget_init(&bodies, "bodies", MIB(64), NULL);
    given.tenants = tenants;
    options.bodies = &bodies;
    assert_ok(gateway_new(&given, &gateway, &err), &err);
    assert_ok(http_server_new(&options, &server, &err), &err);
    gateway_register(gateway, server);
    assert_ok(http_server_start(server, &err), &err);
    client = raw2_open(http_server_port(server));
    next_stream = 1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    raw2_close(&client);
    http_server_free(server);
    gateway_free(gateway);
    tenants_free(tenants);
    assert_int_equal(budget_used(&bodies), 0);
    return 0;
}

static Raw2Answer post(const char *path, const char *lines, Str bytes) {
    Raw2Answer answer;

    assert_true(raw2_head(&client, next_stream, "POST", path, lines, false));
    assert_true(raw2_data(&client, next_stream, bytes, true));
    answer = raw2_read(&client, next_stream);
    next_stream += 2;
    return answer;
}

static void expect_status(Raw2Answer answer, int status) {
    if (answer.status != status)
        fail_msg("%d instead of %d: " STR_FMT, answer.status, status,
                 STR_ARG(buf_str(&answer.body)));
    assert_int_equal(raw2_field(&answer.head, "retry-after").len > 0,
                     status == 429 || status == 503);
    raw2_answer_done(&answer);
}

static Raw2Answer post_zipkin(const char *json) {
    return post("/api/v2/spans", "content-type: application/json\n", str_of(json));
}

static void write_batch(const JaegerWriter *w, Buf *out, uint64_t id) {
    w->begin(out, "s");
    w->begin_span(out, 0, 11, id, 0, "n", 1, 1);
    w->end_span(out);
    w->begin_span(out, 0, 11, 2, 0, "n", 1, 1);
    w->end_span(out);
    w->end(out);
}

static Raw2Answer call_jaeger(uint64_t id) {
    Buf message, framed;
    Raw2Answer answer;

    buf_init(&message, 0);
    buf_init(&framed, 0);
    write_batch(&jaeger_proto_writer, &message, id);
    th_bytes(&framed, 0, 1);
    th_bytes(&framed, message.len, 4);
    buf_append_str(&framed, buf_str(&message));
    answer = post("/jaeger.api_v2.CollectorService/PostSpans", "content-type: application/grpc\n",
                  buf_str(&framed));
    assert_int_equal(answer.status, 200);
    buf_done(&message);
    buf_done(&framed);
    return answer;
}

static void expect_grpc(Raw2Answer answer, const char *status) {
    Str got = raw2_field(&answer.trailers, "grpc-status");

    if (got.len == 0) got = raw2_field(&answer.head, "grpc-status");
    if (!str_equal(got, str_of(status)))
        fail_msg("grpc-status " STR_FMT " instead of %s", STR_ARG(got), status);
    raw2_answer_done(&answer);
}

static void spans_reach_the_sink_of_their_tenant(void **state) {
    Buf thrift;

    (void)state;
    buf_init(&thrift, 0);
    expect_status(post("/api/v2/spans", "x-scope-orgid: team-a\n",
                       STR("[" ZIPKIN_SPAN "," ZIPKIN_SPAN "," ZIPKIN_SPAN "]")),
                  202);
    assert_int_equal(sink.spans, 3);
    assert_string_equal(sink.tenant, "team-a");
    write_batch(&jaeger_thrift_writer, &thrift, 1);
    expect_status(post("/api/traces", "content-type: application/x-thrift\n", buf_str(&thrift)),
                  202);
    assert_int_equal(sink.spans, 2);
    assert_string_equal(sink.tenant, "anonymous");
    expect_grpc(call_jaeger(1), "0");
    assert_int_equal(sink.calls, 3);
    buf_done(&thrift);
}

static void what_has_no_spans_is_fine_and_reaches_nobody(void **state) {
    unsigned calls = sink.calls;

    (void)state;
    expect_status(post_zipkin("[]"), 202);
    expect_status(post("/api/traces", "content-type: application/x-thrift\n", STR("\0")), 202);
    assert_int_equal(sink.calls, calls);
}

static void spans_that_are_none_are_told_and_the_others_kept(void **state) {
    Raw2Answer answer = post_zipkin("[" ZIPKIN_SPAN ",{\"traceId\":\"x\"}]");

    (void)state;
    assert_int_equal(sink.spans, 1);
    assert_true(str_contains(buf_str(&answer.body),
                             STR("(1 spans of this request were refused, 1 were stored)")));
    expect_status(answer, 400);
    expect_grpc(call_jaeger(0), "3");
    assert_int_equal(sink.spans, 1);
    sink.result.over_limit = 1;
    error_set(&sink.result.first, ERR_LIMIT, "limits.trace_spans_max");
    expect_status(post_zipkin("[" ZIPKIN_SPAN "," ZIPKIN_SPAN "]"), 400);
    sink.result = (AppendResult){0};
}

static void a_sink_in_trouble_says_when_to_come_again(void **state) {
    static const ErrCode codes[] = {ERR_UNAVAILABLE, ERR_LIMIT, ERR_INTERNAL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        sink.result.code = codes[i];
        error_set(&sink.result.first, codes[i], "no room");
        expect_status(post_zipkin("[" ZIPKIN_SPAN "]"), 503);
        expect_grpc(call_jaeger(1), "14");
    }
    sink.result = (AppendResult){0};
}

static void bad_requests_reach_nobody(void **state) {
    unsigned calls = sink.calls;
    char *large = test_malloc(5001);

    (void)state;
    memset(large, ' ', 5001);
    expect_status(post_zipkin("[" ZIPKIN_SPAN ","), 400);
    expect_status(post("/api/v2/spans", "content-type: application/x-protobuf\n", STR("")), 415);
    expect_status(post("/api/v2/spans", "content-encoding: x\n", STR("[]")), 415);
    expect_status(post("/api/v2/spans", "x-scope-orgid: a|b\n", STR("[]")), 400);
    expect_status(post("/api/v2/spans", "", (Str){large, 5001}), 413);
    expect_status(post("/api/traces", "", STR("\0")), 415);
    expect_status(post("/api/traces", "content-type: application/x-thrift\n", STR("x")), 400);
    expect_grpc(post("/jaeger.api_v2.CollectorService/PostSpans",
                     "content-type: application/grpc\n", STR("\0\0\0\0\2\x0a\xff")),
                "3");
    assert_int_equal(sink.calls, calls);
    test_free(large);
}

static void no_memory_is_unavailable(void **state) {
    unsigned calls = sink.calls;

    (void)state;
    atomic_store(&bodies.limit, KIB(6));
    expect_status(post_zipkin("[" ZIPKIN_SPAN "]"), 503);
    atomic_store(&bodies.limit, MIB(64));
    assert_int_equal(sink.calls, calls);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_reach_the_sink_of_their_tenant),
        cmocka_unit_test(what_has_no_spans_is_fine_and_reaches_nobody),
        cmocka_unit_test(spans_that_are_none_are_told_and_the_others_kept),
        cmocka_unit_test(a_sink_in_trouble_says_when_to_come_again),
        cmocka_unit_test(bad_requests_reach_nobody),
        cmocka_unit_test(no_memory_is_unavailable),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
