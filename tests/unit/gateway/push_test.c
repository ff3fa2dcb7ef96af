/*
 * Remote write over a real connection into a sink that does what a test says.
 */
#include <pthread.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "common/base/telemetry.h"
#include "gateway/gateway.h"
#include "tests/unit/gateway/bodies.h"
#include "tests/unit/net/raw.h"

/* A sink that answers from a thread of its own, as a lane does, and remembers what it saw. */
typedef struct FakeSink {
    MetricsSink sink;
    AppendResult result; /* what to answer; samples and so on are of the batch when ERR_OK */
    bool in_place;       /* answers before append() returns */
    unsigned calls;
    size_t rows, samples, histograms, exemplars, metadata;
    char tenant[64];
    Hash128 first_id;
} FakeSink;

typedef struct Answering {
    AppendDone done;
    void *context;
    AppendResult result;
} Answering;

static void *answer_later(void *what) {
    Answering *answering = what;

    answering->done(answering->context, &answering->result);
    free(answering);
    return NULL;
}

static void fake_append(MetricsSink *self, const MetricsBatch *batch, AppendDone done,
                        void *context) {
    FakeSink *sink = (FakeSink *)self;
    Answering *answering = malloc(sizeof *answering);
    pthread_attr_t detached;
    pthread_t thread;

    sink->calls++;
    sink->rows = batch->row_count;
    sink->samples = batch->sample_count;
    sink->histograms = batch->histogram_count;
    sink->exemplars = batch->exemplar_count;
    sink->metadata = batch->metadata_count;
    snprintf(sink->tenant, sizeof sink->tenant, STR_FMT, STR_ARG(batch->tenant));
    if (batch->row_count > 0) sink->first_id = batch->rows[0].id;
    *answering = (Answering){done, context, sink->result};
    if (sink->result.code == ERR_OK) {
        answering->result.samples = batch->sample_count - sink->result.conflicts;
        answering->result.histograms = batch->histogram_count;
        answering->result.exemplars = batch->exemplar_count;
    }
    if (sink->in_place) {
        answer_later(answering);
        return;
    }
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    assert_int_equal(pthread_create(&thread, &detached, answer_later, answering), 0);
    pthread_attr_destroy(&detached);
}

typedef struct Site {
    FakeSink sink;
    TenantLimits limits;
    Tenants *tenants;
    Budget bodies;
    Pool *pool;
    Gateway *gateway;
    HttpServer *server;
    int fd;
    Buf body;
} Site;

static void site_open(Site *site, MetricsSink *sink, GatewayOptions options) {
    HttpServerOptions server = test_options();
    Error err;

    options.tenants = site->tenants;
    options.metrics = sink;
    options.pool = site->pool;
    options.bodies = &site->bodies;
    server.bodies = &site->bodies;
    assert_ok(gateway_new(&options, &site->gateway, &err), &err);
    assert_ok(http_server_new(&server, &site->server, &err), &err);
    gateway_register(site->gateway, site->server);
    assert_ok(http_server_start(site->server, &err), &err);
    site->fd = raw_connect(http_server_port(site->server));
}

static void site_close(Site *site) {
    close(site->fd);
    http_server_free(site->server);
    gateway_free(site->gateway);
}

static int site_setup(void **state) {
    Site *site = calloc(1, sizeof *site);
    Error err;

    site->sink.sink = (MetricsSink){fake_append, 42};
    tenant_limits_defaults(&site->limits);
    site->limits.future_ms_max = -1;
    site->tenants = tenants_new(&site->limits, false);
    budget_init(&site->bodies, "bodies", MIB(64), NULL);
    assert_ok(pool_new("decode", 1, 8, &site->pool, &err), &err);
    buf_init(&site->body, 0);
    site_open(site, &site->sink.sink, (GatewayOptions){.inline_bytes_max = 4096});
    *state = site;
    return 0;
}

static int site_teardown(void **state) {
    Site *site = *state;

    site_close(site);
    pool_free(site->pool);
    tenants_free(site->tenants);
    buf_done(&site->body);
    assert_int_equal(budget_used(&site->bodies), 0);
    free(site);
    return 0;
}

/* Other headers end in \r\n. */
static RawAnswer post(Site *site, const char *path, const char *headers, Str body) {
    char head[2048];

    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n",
             path, headers, body.len);
    assert_true(raw_send(site->fd, head));
    assert_true(raw_send_bytes(site->fd, body.ptr, body.len));
    return raw_read(site->fd, false);
}

static Str snappy_of(Site *site, Arena *arena) {
    size_t size = snappy_max_compressed_length(site->body.len);
    char *out = arena_alloc(arena, size);

    assert_int_equal(snappy_compress(site->body.ptr, site->body.len, out, &size), SNAPPY_OK);
    return (Str){out, size};
}

static RawAnswer push(Site *site, const char *headers) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);

    return post(site, "/api/v1/push", headers, snappy_of(site, arena));
}

static void expect(RawAnswer answer, int status, const char *text) {
    Buf *body = &answer.body;

    buf_append_byte(body, '\0');
    if (answer.status != status || (text != NULL && strstr(body->ptr, text) == NULL))
        fail_msg("%d instead of %d: %s", answer.status, status, body->ptr);
    raw_answer_done(&answer);
}

static void every_path_takes_a_request(void **state) {
    static const char *const paths[] = {"/api/v1/push", "/api/v1/write",
                                        "/prometheus/api/v1/write"};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Site *site = *state;

    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        RawAnswer answer = post(site, paths[i], "", snappy_of(site, arena));

        assert_int_equal(answer.status, 204);
        assert_str(raw_header(&answer, "X-Prometheus-Remote-Write-Samples-Written"), STR("1"));
        assert_str(raw_header(&answer, "X-Prometheus-Remote-Write-Histograms-Written"), STR("0"));
        assert_str(raw_header(&answer, "X-Prometheus-Remote-Write-Exemplars-Written"), STR("0"));
        raw_answer_done(&answer);
        assert_int_equal(site->sink.calls, i + 1);
    }
    assert_string_equal(site->sink.tenant, "anonymous");
    raw_expect(site->fd, "GET /api/v1/push HTTP/1.1\r\nHost: x\r\n\r\n", 405, NULL);
}

static void both_versions_and_all_encodings_give_the_same_series(void **state) {
    Site *site = *state;
    char packed[1024];
    size_t series, refs;
    uLongf size = sizeof packed;
    Hash128 id;

    put_series(&site->body, LABELS("__name__", "up", "job", "a"), 1, NOW_MS);
    expect(push(site, "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n"), 204,
           NULL);
    id = site->sink.first_id;

    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)site->body.ptr;
    stream.avail_in = (uInt)site->body.len;
    stream.next_out = (Bytef *)packed;
    stream.avail_out = (uInt)size;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    expect(
        post(site, "/api/v1/push", "Content-Encoding: gzip\r\n", (Str){packed, stream.total_out}),
        204, NULL);
    deflateEnd(&stream);
    assert_memory_equal(&site->sink.first_id, &id, sizeof id);

    size = ZSTD_compress(packed, sizeof packed, site->body.ptr, site->body.len, 1);
    expect(post(site, "/api/v1/push", "Content-Encoding: zstd\r\n", (Str){packed, size}), 204,
           NULL);
    assert_memory_equal(&site->sink.first_id, &id, sizeof id);
    assert_int_equal(site->sink.calls, 3);

    buf_clear(&site->body);
    wire_put_bytes(&site->body, 4, STR(""));
    wire_put_bytes(&site->body, 4, STR("__name__"));
    wire_put_bytes(&site->body, 4, STR("up"));
    wire_put_bytes(&site->body, 4, STR("job"));
    wire_put_bytes(&site->body, 4, STR("a"));
    series = wire_begin(&site->body, 5);
    refs = wire_begin(&site->body, 1);
    buf_append(&site->body, "\1\2\3\4", 4);
    wire_end(&site->body, refs);
    put_sample(&site->body, 1, NOW_MS);
    wire_put_int64(&site->body, 6, NOW_MS - 1000);
    wire_end(&site->body, series);
    for (int i = 0; i < 2; i++) {
        RawAnswer answer = push(
            site, "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n"
                  "X-Prometheus-Remote-Write-Version: 2.0.0\r\n");

        /* The zero at the start is stored once, and is not among what was sent. */
        assert_int_equal(answer.status, 204);
        assert_str(raw_header(&answer, "X-Prometheus-Remote-Write-Samples-Written"), STR("1"));
        assert_int_equal(site->sink.samples, i == 0 ? 2 : 1);
        assert_memory_equal(&site->sink.first_id, &id, sizeof id);
        raw_answer_done(&answer);
    }
}

static void what_it_does_not_speak_is_415(void **state) {
    Site *site = *state;

    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    expect(push(site, "Content-Type: application/json\r\n"), 415, "application/x-protobuf");
    expect(push(site, "Content-Type: application/x-protobuf;proto=x.Y\r\n"), 415, "x.Y");
    expect(push(site, "Content-Encoding: br\r\n"), 415, "snappy");
    assert_int_equal(site->sink.calls, 0);
}

static void bad_bodies_are_400_and_reach_nobody(void **state) {
    Site *site = *state;

    expect(post(site, "/api/v1/push", "", STR("")), 400, "snappy");
    expect(post(site, "/api/v1/push", "", STR("this is not snappy")), 400, "snappy");
    expect(post(site, "/api/v1/push", "", STR("\xff\xff\xff\xff\x0f\x00\x00")), 400, "claims");
    expect(post(site, "/api/v1/push", "Content-Encoding: gzip\r\n", STR("xx")), 400, "gzip");
    expect(post(site, "/api/v1/push", "Content-Encoding: zstd\r\n", STR("xx")), 400, "zstd");
    buf_append_str(&site->body, STR("<html>not protobuf</html>"));
    expect(push(site, ""), 400, "prometheus.WriteRequest");
    assert_int_equal(site->sink.calls, 0);
}

static void empty_requests_are_fine(void **state) {
    Site *site = *state;

    expect(post(site, "/api/v1/push", "", STR("\x00")), 204, NULL);
    assert_int_equal(site->sink.calls, 0);
}

static void tenants_are_told_apart_and_bad_ones_refused(void **state) {
    Site *site = *state;
    char header[400];

    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    expect(push(site, "X-Scope-OrgID: team-a\r\n"), 204, NULL);
    assert_string_equal(site->sink.tenant, "team-a");
    expect(push(site, "X-Scope-OrgID: a|b\r\n"), 400, "more than one tenant");
    expect(push(site, "X-Scope-OrgID: ../../etc\r\n"), 400, "X-Scope-OrgID");
    expect(push(site, "X-Scope-OrgID: a/b\r\n"), 400, "X-Scope-OrgID");
    snprintf(header, sizeof header, "X-Scope-OrgID: %0300d\r\n", 1);
    expect(push(site, header), 400, "300 bytes");
    assert_int_equal(site->sink.calls, 1);
}

static void some_bad_samples_do_not_hurt_the_good_ones(void **state) {
    Site *site = *state;
    RawAnswer answer;

    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    put_series(&site->body, LABELS("a", "1"), 1, NOW_MS);
    put_series(&site->body, LABELS("__name__", "x", "a", "\xff"), 1, NOW_MS);
    answer = push(site, "");
    assert_int_equal(answer.status, 400);
    assert_str(raw_header(&answer, "X-Prometheus-Remote-Write-Samples-Written"), STR("1"));
    assert_str(raw_header(&answer, "Content-Type"), STR("text/plain; charset=utf-8"));
    expect(answer, 400,
           "received series has no metric name: series {a=\"1\"} (2 samples and histograms of this "
           "request were refused, 1 were stored)");
    assert_int_equal(site->sink.rows, 1);
}

static void nothing_but_bad_samples_is_400_without_the_sink(void **state) {
    Site *site = *state;

    put_series(&site->body, LABELS("a", "1"), 1, NOW_MS);
    expect(push(site, ""), 400, "no metric name");
    assert_int_equal(site->sink.calls, 0);
}

static void what_the_sink_drops_is_400(void **state) {
    Site *site = *state;

    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    put_series(&site->body, LABELS("__name__", "up"), 2, NOW_MS);
    site->sink.result.conflicts = 1;
    error_set(&site->sink.result.first, ERR_INVALID, "duplicate sample for timestamp");
    expect(push(site, ""), 400, "duplicate sample for timestamp (1 samples");
}

static void a_sink_in_trouble_is_503_with_retry_after(void **state) {
    static const ErrCode codes[] = {ERR_UNAVAILABLE, ERR_LIMIT, ERR_INTERNAL};
    Site *site = *state;

    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        RawAnswer answer;

        site->sink.result.code = codes[i];
        site->sink.in_place = i % 2 == 0;
        error_set(&site->sink.result.first, codes[i], "no space left on device");
        answer = push(site, "");
        assert_true(raw_header(&answer, "Retry-After").len > 0);
        expect(answer, 503, "no space left on device");
    }
    site->sink.result = (AppendResult){0};
    expect(push(site, "Retry-Attempt: 3\r\n"), 204, NULL);
}

static void a_tenant_over_its_rate_is_429_with_retry_after(void **state) {
    Site *site = *state;
    RawAnswer answer;
    Error err;

    site->limits.ingest_rate = 0.1;
    site->limits.ingest_burst = 2;
    assert_ok(tenants_replace(site->tenants, &site->limits, NULL, 0, &err), &err);
    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS + 1);
    expect(push(site, ""), 204, NULL);
    answer = push(site, "");
    assert_str(raw_header(&answer, "Retry-After"), STR("20"));
    expect(answer, 429, "limits.ingest_rate");
    expect(push(site, "X-Scope-OrgID: other\r\n"), 204, NULL);
    assert_int_equal(site->sink.calls, 2);
}

static void new_limits_hold_for_series_that_were_known(void **state) {
    Site *site = *state;
    Error err;

    put_series(&site->body, LABELS("__name__", "up", "a", "1"), 1, NOW_MS);
    expect(push(site, ""), 204, NULL);
    site->limits.label_names_max = 1;
    assert_ok(tenants_replace(site->tenants, &site->limits, NULL, 0, &err), &err);
    expect(push(site, ""), 400, "limits.label_names_max is 1");
}

static void a_request_that_is_too_large_is_413(void **state) {
    Site *site = *state;
    Error err;

    site->limits.request_bytes_max = 100;
    assert_ok(tenants_replace(site->tenants, &site->limits, NULL, 0, &err), &err);
    for (int i = 0; i < 10; i++) put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS + i);
    expect(push(site, ""), 413, "limits.request_bytes_max is 100");
    char packed[4096];
    size_t size = ZSTD_compress(packed, sizeof packed, site->body.ptr, site->body.len, 1);
    expect(post(site, "/api/v1/push", "Content-Encoding: zstd\r\n", (Str){packed, size}), 413,
           "limits.request_bytes_max");
    assert_int_equal(site->sink.calls, 0);
}

static void large_bodies_are_decoded_on_the_pool(void **state) {
    Site *site = *state;

    for (int i = 0; i < 20000; i++) {
        char value[16];

        snprintf(value, sizeof value, "%d", i * 7919);
        put_series(&site->body, LABELS("__name__", "up", "i", value), i, NOW_MS);
    }
    for (int i = 0; i < 3; i++) expect(push(site, ""), 204, NULL);
    assert_int_equal(site->sink.samples, 20000);
    assert_int_equal(site->sink.calls, 3);
}

static void no_memory_for_a_body_is_503(void **state) {
    Site *site = *state;
    RawAnswer answer;

    for (int i = 0; i < 3000; i++) put_series(&site->body, LABELS("__name__", "up"), i, NOW_MS);
    atomic_store(&site->bodies.limit, KIB(96));
    answer = push(site, "");
    assert_true(raw_header(&answer, "Retry-After").len > 0);
    expect(answer, 503, NULL);
    assert_int_equal(site->sink.calls, 0);
    atomic_store(&site->bodies.limit, MIB(64));
    close(site->fd);
    site->fd = raw_connect(http_server_port(site->server));
    expect(push(site, ""), 204, NULL);
}

static void metadata_alone_reaches_the_sink(void **state) {
    Site *site = *state;
    size_t metadata = wire_begin(&site->body, 3);

    wire_put_varint(&site->body, 1, 1);
    wire_put_bytes(&site->body, 2, STR("up"));
    wire_put_bytes(&site->body, 4, STR("Whether it is."));
    wire_end(&site->body, metadata);
    expect(push(site, ""), 204, NULL);
    assert_int_equal(site->sink.metadata, 1);
    assert_int_equal(site->sink.rows, 0);
}

static void samples_are_counted_by_tenant_and_reason(void **state) {
    Site *site = *state;
    Buf page;

    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    put_series(&site->body, LABELS("a", "1"), 1, NOW_MS);
    expect(push(site, "X-Scope-OrgID: counted\r\n"), 400, NULL);
    buf_init(&page, 0);
    telemetry_write(&page);
    buf_append_byte(&page, '\0');
    assert_non_null(strstr(page.ptr, "moraine_gateway_samples_total{tenant=\"counted\"} 1\n"));
    assert_non_null(strstr(page.ptr, "moraine_gateway_rejected_samples_total{tenant=\"counted\","
                                     "reason=\"missing_metric_name\"} 1\n"));
    buf_done(&page);
}

typedef struct HeldSink {
    MetricsSink sink;
    pthread_mutex_t lock;
    pthread_cond_t came;
    AppendDone done;
    void *context;
} HeldSink;

static void hold_append(MetricsSink *self, const MetricsBatch *batch, AppendDone done,
                        void *context) {
    HeldSink *sink = (HeldSink *)self;

    (void)batch;
    pthread_mutex_lock(&sink->lock);
    sink->done = done;
    sink->context = context;
    pthread_cond_signal(&sink->came);
    pthread_mutex_unlock(&sink->lock);
}

static void a_batch_that_outlives_the_gateway_is_still_answered(void **state) {
    HeldSink sink = {{hold_append, 1}, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    AppendResult result = {.samples = 1};
    Site *site = *state;
    Str body;
    char head[200];

    site_close(site);
    site_open(site, &sink.sink, (GatewayOptions){0});
    put_series(&site->body, LABELS("__name__", "up"), 1, NOW_MS);
    body = snappy_of(site, arena);
    snprintf(head, sizeof head,
             "POST /api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", body.len);
    assert_true(raw_send(site->fd, head) && raw_send_bytes(site->fd, body.ptr, body.len));
    pthread_mutex_lock(&sink.lock);
    while (sink.done == NULL) pthread_cond_wait(&sink.came, &sink.lock);
    pthread_mutex_unlock(&sink.lock);
    http_server_free(site->server);
    gateway_free(site->gateway);
    sink.done(sink.context, &result);
    site->server = NULL;
    site->gateway = NULL;
}

#define site_test(f) cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        site_test(every_path_takes_a_request),
        site_test(both_versions_and_all_encodings_give_the_same_series),
        site_test(what_it_does_not_speak_is_415),
        site_test(bad_bodies_are_400_and_reach_nobody),
        site_test(empty_requests_are_fine),
        site_test(tenants_are_told_apart_and_bad_ones_refused),
        site_test(some_bad_samples_do_not_hurt_the_good_ones),
        site_test(nothing_but_bad_samples_is_400_without_the_sink),
        site_test(what_the_sink_drops_is_400),
        site_test(a_sink_in_trouble_is_503_with_retry_after),
        site_test(a_tenant_over_its_rate_is_429_with_retry_after),
        site_test(new_limits_hold_for_series_that_were_known),
        site_test(a_request_that_is_too_large_is_413),
        site_test(large_bodies_are_decoded_on_the_pool),
        site_test(no_memory_for_a_body_is_503),
        site_test(metadata_alone_reaches_the_sink),
        site_test(samples_are_counted_by_tenant_and_reason),
        site_test(a_batch_that_outlives_the_gateway_is_still_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
