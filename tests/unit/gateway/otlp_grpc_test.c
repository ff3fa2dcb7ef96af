/*
 * OTLP's calls over a real connection of HTTP/2 into a sink that does what a test says.
 */
#include "common/net/grpc.h"
#include "gateway/gateway.h"
#include "gateway/otlp/json.h"
#include "tests/unit/net/raw2.h"

#define METHOD "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

/* Answers in place. */
typedef struct FakeSink {
    MetricsSink sink;
    AppendResult result;
    unsigned calls;
    size_t samples;
    char tenant[64];
} FakeSink;

static FakeSink sink;
static TenantLimits limits;
static Tenants *tenants;
static Budget bodies;
static Gateway *gateway;
static HttpServer *server;
static Raw2 client;
static uint32_t next_stream;
static Buf body; /* one metric with two points, framed */

static void fake_append(MetricsSink *self, const MetricsBatch *batch, AppendDone done,
                        void *context) {
    AppendResult result = sink.result;

    (void)self;
    sink.calls++;
    sink.samples = batch->sample_count;
    snprintf(sink.tenant, sizeof sink.tenant, STR_FMT, STR_ARG(batch->tenant));
    if (result.code == ERR_OK) result.samples = batch->sample_count - result.conflicts;
    done(context, &result);
}

static void put_body(void) {
    int64_t now_ns = clock_now_ms(clock_system()) * 1000000;
    Arena *arena = arena_new(0, NULL);
    Buf json, wire;
    Error err;

    buf_init(&json, 0);
    buf_init(&wire, 0);
    buf_printf(&json,
               "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"g\",\"gauge\":{"
               "\"dataPoints\":[{\"timeUnixNano\":\"%lld\",\"asInt\":1},{\"timeUnixNano\":\"%lld\","
               "\"asInt\":2}]}}]}]}]}",
               (long long)now_ns, (long long)(now_ns - 1000000000));
    assert_ok(otlp_json_to_wire(OTLP_METRICS_REQUEST, buf_str(&json), arena, &wire, &err), &err);
    buf_init(&body, 0);
    buf_append(&body, "\0\0\0\0", 4);
    assert_in_range(wire.len, 1, 255);
    buf_append_byte(&body, (char)wire.len);
    buf_append_str(&body, buf_str(&wire));
    buf_done(&json);
    buf_done(&wire);
    arena_free(arena);
}

static int setup(void **state) {
    HttpServerOptions options = test_options();
    GatewayOptions given = {.metrics = &sink.sink, .bodies = &bodies};
    Error err;

    (void)state;
    sink.sink = (MetricsSink){fake_append, 42};
    tenant_limits_defaults(&limits);
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
    put_body();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    raw2_close(&client);
    http_server_free(server);
    gateway_free(gateway);
    tenants_free(tenants);
    assert_int_equal(budget_used(&bodies), 0);
    buf_done(&body);
    return 0;
}

static Raw2Answer call(const char *lines, Str bytes) {
    Buf head;
    Raw2Answer answer;

    buf_init(&head, 0);
    buf_printf(&head, "content-type: application/grpc\n%s", lines);
    buf_append_byte(&head, '\0');
    assert_true(raw2_head(&client, next_stream, "POST", METHOD, head.ptr, false));
    assert_true(raw2_data(&client, next_stream, bytes, true));
    answer = raw2_read(&client, next_stream);
    next_stream += 2;
    buf_done(&head);
    assert_int_equal(answer.status, 200);
    return answer;
}

static void expect_error(Raw2Answer answer, const char *status, bool retries) {
    Str got = raw2_field(&answer.head, "grpc-status");

    if (!str_equal(got, str_of(status)))
        fail_msg("grpc-status " STR_FMT " instead of %s", STR_ARG(got), status);
    assert_int_equal(raw2_field(&answer.head, "grpc-status-details-bin").len > 0, retries);
    raw2_answer_done(&answer);
}

static void a_call_reaches_the_sink_of_its_tenant(void **state) {
    Raw2Answer answer = call("x-scope-orgid: team-a\n", buf_str(&body));

    (void)state;
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
    assert_int_equal(answer.body.len, 5); /* ExportMetricsServiceResponse {} */
    assert_int_equal(sink.samples, 2);
    assert_string_equal(sink.tenant, "team-a");
    raw2_answer_done(&answer);
    answer = call("", buf_str(&body));
    assert_string_equal(sink.tenant, "anonymous");
    raw2_answer_done(&answer);
}

static void what_the_sink_drops_is_partial_success(void **state) {
    Raw2Answer answer;

    (void)state;
    sink.result.conflicts = 1;
    error_set(&sink.result.first, ERR_INVALID, "a conflict");
    answer = call("", buf_str(&body));
    sink.result = (AppendResult){0};
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
    assert_int_equal(answer.body.len, 5 + 2 + 2 + 2 + 10);
    assert_memory_equal(answer.body.ptr,
                        "\0\0\0\0\x10\x0a\x0e\x08\x01\x12\x0a"
                        "a conflict",
                        21);
    raw2_answer_done(&answer);
}

static void a_sink_in_trouble_is_unavailable_and_says_when_to_come_again(void **state) {
    static const ErrCode codes[] = {ERR_UNAVAILABLE, ERR_LIMIT, ERR_INTERNAL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        sink.result.code = codes[i];
        error_set(&sink.result.first, codes[i], "no room");
        expect_error(call("", buf_str(&body)), "14", true);
    }
    sink.result = (AppendResult){0};
}

static void no_memory_for_a_call_is_unavailable(void **state) {
    unsigned calls = sink.calls;

    (void)state;
    atomic_store(&bodies.limit, KIB(6));
    expect_error(call("", buf_str(&body)), "14", true);
    atomic_store(&bodies.limit, MIB(64));
    assert_int_equal(sink.calls, calls);
}

static void bad_calls_reach_nobody(void **state) {
    unsigned calls = sink.calls;

    (void)state;
    expect_error(call("", STR("\0\0\0\0\2\x0a\xff")), "3", false);
    expect_error(call("", str_slice(buf_str(&body), 0, body.len - 1)), "3", false);
    expect_error(call("x-scope-orgid: a|b\n", buf_str(&body)), "3", false);
    assert_int_equal(sink.calls, calls);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_reaches_the_sink_of_its_tenant),
        cmocka_unit_test(what_the_sink_drops_is_partial_success),
        cmocka_unit_test(a_sink_in_trouble_is_unavailable_and_says_when_to_come_again),
        cmocka_unit_test(no_memory_for_a_call_is_unavailable),
        cmocka_unit_test(bad_calls_reach_nobody),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
