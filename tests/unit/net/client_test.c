/* What client.h promises, against our own server and against one that plays a script. */
#include "common/base/telemetry.h"
#include "common/net/client.h"
#include "tests/unit/net/raw.h"

static HttpServer *server;
static HttpClient *client;
static Parked parked = PARKED_INIT;

/* Answers with what it was asked: method, target, chosen headers and the body. */
static void handle_mirror(HttpRequest *request, void *context) {
    static const char *const shown[] = {"content-type", "content-length", "range",  "x-empty",
                                        "x-amz-meta-a", "authorization",  "expect", "user-agent"};
    Buf out;

    (void)context;
    buf_init(&out, 0);
    buf_printf(&out, "method=%u path=" STR_FMT "\n", http_method(request),
               STR_ARG(http_path(request)));
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        buf_printf(&out, "%s=" STR_FMT "\n", shown[i], STR_ARG(http_header(request, shown[i])));
    buf_append_str(&out, http_body(request));
    http_set_header(request, "ETag", STR("\"abc\""));
    http_set_header(request, "X-Twice", STR("1"));
    http_set_header(request, "X-Twice", STR("2"));
    http_respond_buf(request, 200, "text/plain", &out);
}

static void handle_peer(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 200, "text/plain", http_peer(request));
}

static void handle_status(HttpRequest *request, void *context) {
    uint64_t status = 0;

    (void)context;
    assert_true(str_to_u64(http_path_param(request, "code"), &status));
    http_set_header(request, "Retry-After", STR("7"));
    http_respond(request, (int)status, "application/xml", STR("<Error/>"));
}

static int setup(void **state) {
    HttpServerOptions options = test_options();
    HttpClientOptions client_options = {0};
    Error err;

    (void)state;
    server = test_server(
        &options,
        (HttpRoute[]){
            {HTTP_GET_ | HTTP_PUT_ | HTTP_POST_ | HTTP_DELETE_, "/mirror", handle_mirror, NULL, 0},
            {HTTP_GET_, "/peer", handle_peer, NULL, 0},
            {HTTP_GET_, "/status/{code}", handle_status, NULL, 0},
            {HTTP_GET_, "/park", handle_park, &parked, 0},
            {HTTP_POST_, "/echo", handle_echo, NULL, 0},
        },
        5);
    assert_ok(http_client_new(&client_options, &client, &err), &err);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_client_free(client);
    http_server_free(server);
    return 0;
}

static Str url_of(Arena *arena, const char *path) {
    return str_format(arena, "http://127.0.0.1:%u%s", http_server_port(server), path);
}

static bool has(Str text, const char *part) {
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static void every_method_sends_what_it_should(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpHeader headers[] = {{STR("X-Empty"), STR("")},
                            {STR("x-amz-meta-a"), STR("v w")},
                            {STR("Content-Type"), STR("application/x-protobuf")}};
    HttpCall call = {.url = url_of(arena, "/mirror")};
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_int_equal(answer.status, 200);
    assert_true(
        has(answer.body, "method=1 path=/mirror\ncontent-type=\ncontent-length=\nrange=\n"));
    assert_true(has(answer.body, "user-agent=moraine/" MORAINE_VERSION "\n"));
    assert_int_equal(answer.body.ptr[answer.body.len], '\0');
    assert_int_equal(answer.content_length, answer.body.len);
    assert_true(str_equal(http_answer_header(&answer, "etag"), STR("\"abc\"")));
    assert_true(str_equal(http_answer_header(&answer, "x-twice"), STR("2")));
    assert_int_equal(http_answer_header(&answer, "x-none").len, 0);

    call.headers = headers;
    call.header_count = 3;
    call.body = STR("some\0bytes");
    call.method = STR("PUT");
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_true(has(answer.body, "method=8 "));
    assert_true(has(answer.body, "content-type=application/x-protobuf\ncontent-length=10\n"
                                 "range=\nx-empty=\nx-amz-meta-a=v w\n"));
    assert_true(has(answer.body, "expect=\n"));
    assert_true(str_ends_with(answer.body, STR("some\0bytes")));

    call = (HttpCall){.url = url_of(arena, "/mirror"), .range = STR("5-9")};
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_true(has(answer.body, "range=bytes=5-9\n"));
    call = (HttpCall){.url = url_of(arena, "/mirror"), .method = STR("PUT")};
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_true(has(answer.body, "content-type=\ncontent-length=0\nrange=\n"));
    call.method = STR("DELETE");
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_true(has(answer.body, "method=16 "));
    call = (HttpCall){.url = url_of(arena, "/mirror"), .body = STR("x")};
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_true(has(answer.body, "method=4 "));
    call =
        (HttpCall){.url = url_of(arena, "/mirror"), .user = STR("me"), .password = STR("secret")};
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_true(has(answer.body, "authorization=Basic bWU6c2VjcmV0\n"));
}

static void head_has_a_length_and_no_body(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpCall call = {.url = url_of(arena, "/mirror"), .method = STR("HEAD")};
    HttpAnswer answer;
    Error err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_ok(http_call(client, &call, arena, &answer, &err), &err);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body.len, 0);
        assert_true(answer.content_length > 50);
    }
}

static void requests_are_signed(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpCall call = {.url = url_of(arena, "/mirror"),
                     .method = STR("PUT"),
                     .body = STR("object"),
                     .aws_sigv4 = STR("aws:amz:us-east-1:s3"),
                     .user = STR("AKID"),
                     .password = STR("secret")};
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    assert_true(has(answer.body, "authorization=AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_true(has(answer.body, "/us-east-1/s3/aws4_request"));
    assert_true(str_ends_with(answer.body, STR("object")));
}

static void any_status_is_an_answer(void **state) {
    static const int statuses[] = {204, 206, 301, 304, 404, 412, 429, 500, 503};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char path[40];
        HttpAnswer answer;
        HttpCall call = {0};

        (void)snprintf(path, sizeof path, "/status/%d", statuses[i]);
        call.url = url_of(arena, path);
        assert_ok(http_call(client, &call, arena, &answer, &err), &err);
        assert_int_equal(answer.status, statuses[i]);
        assert_true(str_equal(http_answer_header(&answer, "RETRY-AFTER"), STR("7")));
    }
}

static void calls_one_after_the_other_share_a_connection(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpCall call = {.url = url_of(arena, "/peer")};
    HttpAnswer first, answer;
    Error err;

    (void)state;
    assert_ok(http_call(client, &call, arena, &first, &err), &err);
    for (int i = 0; i < 20; i++) {
        assert_ok(http_call(client, &call, arena, &answer, &err), &err);
        assert_true(str_equal(answer.body, first.body));
    }
}

static void *many_calls(void *context) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    size_t size = *(const size_t *)context;
    char *body = arena_zalloc(arena, size);
    HttpCall call = {.url = url_of(arena, "/echo"), .body = {body, size}};

    memset(body, (int)(size & 0xff), size);
    for (int i = 0; i < 30; i++) {
        CLEANUP(arena_free) Arena *own = arena_new(0, NULL);
        HttpAnswer answer;
        Error err;

        if (http_call(client, &call, own, &answer, &err) != ERR_OK || answer.body.len != size ||
            memcmp(answer.body.ptr, body, size) != 0)
            return (void *)1;
    }
    return NULL;
}

static void many_threads_share_a_client(void **state) {
    static const size_t sizes[] = {1, 100, 5000, 90000, 300000, 1000000, 65537, 12};
    pthread_t threads[ARRAY_LEN(sizes)];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_calls, (void *)&sizes[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        void *failed = NULL;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void an_answer_is_limited(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(arena_free) Arena *tiny = arena_new(KIB(16), NULL);
    char *body = arena_zalloc(arena, 50000);
    HttpCall call = {.url = url_of(arena, "/echo"), .body = {body, 50000}, .body_bytes_max = 50000};
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_ok(http_call(client, &call, arena, &answer, &err), &err);
    call.body_bytes_max = 49999;
    assert_int_equal(http_call(client, &call, arena, &answer, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "49999"));
    call.body_bytes_max = 0;
    assert_int_equal(http_call(client, &call, tiny, &answer, &err), ERR_LIMIT);
}

static void what_cannot_be_sent_is_invalid(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    static const char *const urls[] = {"", "not a url", "ftp://127.0.0.1/", "file:///etc/passwd",
                                       "http://127.0.0.1/\r\nX: y"};
    HttpHeader bad[] = {{STR("A\r\nB"), STR("x")},
                        {STR("A"), STR("x\r\nB: y")},
                        {STR("A:"), STR("x")},
                        {STR(""), STR("x")},
                        {STR("A"), STR("x\0y")}};
    HttpCall call = {0};
    HttpAnswer answer;
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        call.url = str_of(urls[i]);
        assert_int_equal(http_call(client, &call, arena, &answer, &err), ERR_INVALID);
    }
    call = (HttpCall){.url = url_of(arena, "/mirror"), .header_count = 1};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        call.headers = &bad[i];
        assert_int_equal(http_call(client, &call, arena, &answer, &err), ERR_INVALID);
    }
}

static void no_connection_is_unavailable(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpCall call = {.url = STR("http://127.0.0.1:1/")};
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_int_equal(http_call(client, &call, arena, &answer, &err), ERR_UNAVAILABLE);
    call.url = STR("http://no-such-host.invalid/");
    assert_int_equal(http_call(client, &call, arena, &answer, &err), ERR_UNAVAILABLE);
}

static void an_answer_that_is_late_is_a_timeout(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpCall call = {.url = url_of(arena, "/park"), .timeout_ms = 50};
    HttpRequest *request;
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_int_equal(http_call(client, &call, arena, &answer, &err), ERR_TIMEOUT);
    request = parked_take(&parked);
    wait_until_cancelled(request);
    http_respond(request, 200, "text/plain", STR("late"));
}

static void *raise_flag(void *context) {
    HttpRequest *request = parked_take(&parked);

    atomic_store((atomic_bool *)context, true);
    wait_until_cancelled(request);
    http_respond(request, 200, "text/plain", STR("late"));
    return NULL;
}

static void a_call_may_be_cancelled(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    atomic_bool flag = false;
    HttpCall call = {.url = url_of(arena, "/park"), .cancel = &flag};
    pthread_t thread;
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, raise_flag, &flag), 0);
    assert_int_equal(http_call(client, &call, arena, &answer, &err), ERR_CANCELLED);
    pthread_join(thread, NULL);
}

/* --- a server that says what it was told to, once, and closes --- */

typedef struct Script {
    int listener;
    const char *says;
    size_t len;
} Script;

static void *script_main(void *context) {
    const Script *script = context;
    int fd = accept(script->listener, NULL, NULL);
    char request[4096];

    (void)!recv(fd, request, sizeof request, 0);
    (void)raw_send_bytes(fd, script->says, script->len);
    close(fd);
    return NULL;
}

static ErrCode play(const char *says, size_t len, Arena *arena, HttpAnswer *answer, Error *err) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_len = sizeof address;
    Script script = {socket(AF_INET, SOCK_STREAM, 0), says, len};
    HttpCall call = {0};
    pthread_t thread;
    ErrCode code;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(script.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(script.listener, 1), 0);
    (void)getsockname(script.listener, (struct sockaddr *)&address, &address_len);
    assert_int_equal(pthread_create(&thread, NULL, script_main, &script), 0);
    call.url = str_format(arena, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    code = http_call(client, &call, arena, answer, err);
    pthread_join(thread, NULL);
    close(script.listener);
    return code;
}

static void answers_cut_at_any_byte_are_unavailable(void **state) {
    static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\nhello";
    static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_ok(play(whole, sizeof whole - 1, arena, &answer, &err), &err);
    assert_true(str_equal(answer.body, STR("hello")));
    assert_ok(play(chunked, sizeof chunked - 1, arena, &answer, &err), &err);
    assert_true(str_equal(answer.body, STR("hello")));
    assert_int_equal(answer.content_length, UINT64_MAX);
    for (size_t len = 0; len + 1 < sizeof whole; len++) {
        ErrCode code = play(whole, len, arena, &answer, &err);

        /* Cut in its first line it isn't HTTP at all. */
        if (code != ERR_UNAVAILABLE && !(code == ERR_CORRUPT && len < 17))
            fail_msg("cut at %zu: %s: %s", len, error_code_name(code), err.text);
    }
    for (size_t len = 40; len + 1 < sizeof chunked - 2; len++)
        assert_int_not_equal(play(chunked, len, arena, &answer, &err), ERR_OK);
}

static void what_is_not_http_is_corrupt(void **state) {
    static const Str cases[] = {STR_INIT("SSH-2.0-OpenSSH_9.2\r\n"), STR_INIT("220 mail ready\r\n"),
                                STR_INIT("HTTP/1.1 abc\r\n\r\n"), STR_INIT("\0\0\0\0")};
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpAnswer answer;
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(play(cases[i].ptr, cases[i].len, arena, &answer, &err), ERR_CORRUPT);
}

static void a_head_without_end_is_refused(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpAnswer answer;
    Error err;
    Buf says;

    (void)state;
    buf_init(&says, 0);
    buf_printf(&says, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 40000; i++) buf_printf(&says, "X-%d: y\r\n", i);
    assert_int_not_equal(play(says.ptr, says.len, arena, &answer, &err), ERR_OK);
    buf_done(&says);
}

static void a_head_before_the_last_one_is_forgotten(void **state) {
    static const char says[] = "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
                               "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_ok(play(says, sizeof says - 1, arena, &answer, &err), &err);
    assert_int_equal(answer.status, 200);
    assert_int_equal(http_answer_header(&answer, "x-early").len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_sends_what_it_should),
        cmocka_unit_test(head_has_a_length_and_no_body),
        cmocka_unit_test(requests_are_signed),
        cmocka_unit_test(any_status_is_an_answer),
        cmocka_unit_test(calls_one_after_the_other_share_a_connection),
        cmocka_unit_test(many_threads_share_a_client),
        cmocka_unit_test(an_answer_is_limited),
        cmocka_unit_test(what_cannot_be_sent_is_invalid),
        cmocka_unit_test(no_connection_is_unavailable),
        cmocka_unit_test(an_answer_that_is_late_is_a_timeout),
        cmocka_unit_test(a_call_may_be_cancelled),
        cmocka_unit_test(answers_cut_at_any_byte_are_unavailable),
        cmocka_unit_test(what_is_not_http_is_corrupt),
        cmocka_unit_test(a_head_without_end_is_refused),
        cmocka_unit_test(a_head_before_the_last_one_is_forgotten),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
