/* What http.h promises to well-behaved clients, over plain sockets. */
#include "common/base/telemetry.h"
#include "tests/unit/net/raw.h"

static void handle_params(HttpRequest *request, void *context) {
    Buf out;
    Str value;

    (void)context;
    buf_init(&out, 0);
    for (size_t i = 0; http_param(request, "match[]", i, &value); i++)
        buf_printf(&out, "%zu:" STR_FMT ";", i, STR_ARG(value));
    if (http_param(request, "q", 0, &value)) buf_printf(&out, "q=" STR_FMT, STR_ARG(value));
    http_respond_buf(request, 200, "text/plain", &out);
}

static void handle_label(HttpRequest *request, void *context) {
    http_set_header(request, "X-Kind", str_of(context));
    http_respond(request, 200, "text/plain", http_path_param(request, "name"));
}

static void handle_head(HttpRequest *request, void *context) {
    Str text = str_format(http_arena(request), STR_FMT "|" STR_FMT "|" STR_FMT "|%d",
                          STR_ARG(http_path(request)), STR_ARG(http_query_string(request)),
                          STR_ARG(http_header(request, "x-one")), http_peer_is_loopback(request));

    (void)context;
    assert_true(str_starts_with(http_peer(request), STR("127.0.0.1:")));
    assert_int_equal(http_peer_certificate(request).len, 0);
    http_respond(request, 200, "text/plain", text);
}

static void handle_empty(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 204, NULL, (Str){"", 0});
}

static void handle_error(HttpRequest *request, void *context) {
    Error err;

    (void)context;
    (void)error_set(&err, ERR_UNAVAILABLE, "not now");
    http_respond_error(request, &err);
}

static void handle_lines(HttpRequest *request, void *context) {
    (void)context;
    http_set_header(request, "X-Given", STR("a\r\nX-Smuggled: 1"));
    http_respond(request, 200, "text/plain", STR("x"));
}

static void answer_from_pool(void *what) {
    HttpRequest *request = what;

    http_respond(request, 200, "text/plain", http_body(request));
}

static void handle_pool(HttpRequest *request, void *context) {
    if (!pool_submit(context, answer_from_pool, request))
        http_respond(request, 503, "text/plain", STR("full"));
}

static void handle_fallback(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 418, "text/plain", http_path(request));
}

static Pool *pool;
static HttpServer *server;

static int setup(void **state) {
    HttpServerOptions options = test_options();
    Error err;

    (void)state;
    assert_ok(pool_new("test", 2, 1000, &pool, &err), &err);
    server = test_server(&options,
                         (HttpRoute[]){
                             {HTTP_GET_, "/hello", handle_hello, NULL, 0},
                             {HTTP_POST_ | HTTP_PUT_, "/echo", handle_echo, NULL, 0},
                             {HTTP_GET_ | HTTP_POST_, "/params", handle_params, NULL, 0},
                             {HTTP_GET_, "/label/{name}/values", handle_label, "param", 0},
                             {HTTP_GET_, "/label/*", handle_label, "prefix", 0},
                             {HTTP_GET_, "/label/job/values", handle_label, "literal", 0},
                             {HTTP_GET_, "/head", handle_head, NULL, 0},
                             {HTTP_GET_, "/empty", handle_empty, NULL, 0},
                             {HTTP_GET_, "/error", handle_error, NULL, 0},
                             {HTTP_GET_, "/lines", handle_lines, NULL, 0},
                             {HTTP_POST_, "/pool", handle_pool, pool, 0},
                             {HTTP_DELETE_, "/thing", handle_empty, NULL, 0},
                         },
                         12);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_server_free(server);
    pool_free(pool);
    return 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void a_connection_serves_many_requests(void **state) {
    int fd = raw_connect(http_server_port(server));

    (void)state;
    for (int i = 0; i < 100; i++) raw_expect(fd, GET("/hello"), 200, "hello\n");
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    int fd = raw_connect(http_server_port(server));
    Buf all;

    (void)state;
    buf_init(&all, 0);
    for (int i = 0; i < 500; i++)
        buf_printf(&all, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%04d",
                   i % 3 == 0 ? "pool" : "echo", i);
    assert_true(raw_send_bytes(fd, all.ptr, all.len));
    buf_done(&all);
    for (int i = 0; i < 500; i++) {
        RawAnswer answer = raw_read(fd, false);
        char wanted[16];

        (void)snprintf(wanted, sizeof wanted, "%04d", i);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body.len, 4);
        assert_memory_equal(answer.body.ptr, wanted, 4);
        raw_answer_done(&answer);
    }
    close(fd);
}

static void a_request_may_come_byte_by_byte(void **state) {
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: x\r\nX-One: a\r\nContent-Length: 3\r\n"
                               "\r\nabcPOST /echo HTTP/1.1\r\nHost: x\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;ext=1\r\nf\r\n0\r\n"
                               "Trailer: t\r\n\r\n";
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        assert_true(raw_send_bytes(fd, text + i, 1));
        if (i % 16 == 0) clock_sleep_ms(1); /* so that the kernel doesn't join them all */
    }
    for (int i = 0; i < 2; i++) {
        answer = raw_read(fd, false);
        assert_int_equal(answer.status, 200);
        assert_memory_equal(answer.body.ptr, i == 0 ? "abc" : "def", 3);
        raw_answer_done(&answer);
    }
    close(fd);
}

static void bodies_of_all_sizes_come_whole(void **state) {
    static const size_t sizes[] = {0, 1, 8191, 8192, 65536, 90000, 1048576, 1048577, 5000000};
    int fd = raw_connect(http_server_port(server));

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) {
        size_t size = sizes[i / 2];
        char *body = malloc(size + 1), head[200];
        RawAnswer answer;

        for (size_t at = 0; at < size; at++) body[at] = (char)(at * 7 + at / 251);
        if (i % 2 == 0) {
            (void)snprintf(head, sizeof head,
                           "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", size);
            assert_true(raw_send(fd, head));
            assert_true(raw_send_bytes(fd, body, size));
        } else {
            assert_true(raw_send(fd, "PUT /echo HTTP/1.1\r\nHost: x\r\n"
                                     "Transfer-Encoding: chunked\r\n\r\n"));
            for (size_t at = 0; at < size; at += 30000) {
                size_t len = MIN(size - at, (size_t)30000);

                (void)snprintf(head, sizeof head, "%zx\r\n", len);
                assert_true(raw_send(fd, head));
                assert_true(raw_send_bytes(fd, body + at, len));
                assert_true(raw_send(fd, "\r\n"));
            }
            assert_true(raw_send(fd, "0\r\n\r\n"));
        }
        answer = raw_read(fd, false);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body.len, size);
        if (size > 0) assert_memory_equal(answer.body.ptr, body, size);
        raw_answer_done(&answer);
        free(body);
    }
    close(fd);
}

static void a_client_that_expects_is_told_to_continue(void **state) {
    int fd = raw_connect(http_server_port(server));

    (void)state;
    raw_expect(
        fd, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        100, "");
    raw_expect(fd, "hi", 200, "hi");
    raw_expect(fd,
               "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n",
               417, NULL);
    raw_expect(fd, GET("/hello"), 200, "hello\n");
    close(fd);
}

static void head_is_get_without_the_body(void **state) {
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;

    (void)state;
    assert_true(raw_send(fd, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n"));
    answer = raw_read(fd, true);
    assert_int_equal(answer.status, 200);
    assert_true(str_equal(raw_header(&answer, "content-length"), STR("6")));
    assert_true(raw_header(&answer, "date").len > 20);
    raw_answer_done(&answer);
    raw_expect(fd, GET("/hello"), 200, "hello\n"); /* nothing of a body is in the way */
    close(fd);
}

static void no_content_has_no_length(void **state) {
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;

    (void)state;
    assert_true(raw_send(fd, GET("/empty")));
    answer = raw_read(fd, true);
    assert_int_equal(answer.status, 204);
    assert_int_equal(raw_header(&answer, "content-length").len, 0);
    raw_answer_done(&answer);
    raw_expect(fd, GET("/hello"), 200, "hello\n");
    close(fd);
}

static void connection_close_is_honoured(void **state) {
    int fd = raw_connect(http_server_port(server));

    (void)state;
    raw_expect(fd, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "hello\n");
    assert_true(raw_is_closed(fd));
    close(fd);
    fd = raw_connect(http_server_port(server));
    raw_expect(fd, "GET /hello HTTP/1.0\r\n\r\n", 200, "hello\n");
    assert_true(raw_is_closed(fd));
    close(fd);
    fd = raw_connect(http_server_port(server));
    for (int i = 0; i < 2; i++)
        raw_expect(fd, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "hello\n");
    close(fd);
}

static void path_query_and_headers_are_read_as_sent(void **state) {
    unsigned port = http_server_port(server);

    (void)state;
    raw_expect_alone(port, "GET /head?a=%20b HTTP/1.1\r\nHost: x\r\nx-ONE:  v w \r\n\r\n", 200,
                     "/head|a=%20b|v w|1");
    raw_expect_alone(port, "GET http://elsewhere:80/head?q HTTP/1.1\r\nHost: x\r\n\r\n", 200,
                     "/head|q||1");
    raw_expect_alone(port, GET("/head?a?b"), 200, "/head|a?b||1");
    raw_expect_alone(port, "GET http://elsewhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
}

static void the_most_literal_route_wins(void **state) {
    static const struct {
        const char *path, *kind, *name;
    } cases[] = {
        {"/label/job/values", "literal", ""}, {"/label/a%2Fb/values", "param", "a/b"},
        {"/label/x/values", "param", "x"},    {"/label/x/other", "prefix", ""},
        {"/label//values", "prefix", ""},     {"/label/", "prefix", ""},
        {"/label/x/values/", "prefix", ""},
    };
    int fd = raw_connect(http_server_port(server));

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[200];
        RawAnswer answer;

        (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].path);
        assert_true(raw_send(fd, text));
        answer = raw_read(fd, false);
        assert_int_equal(answer.status, 200);
        assert_true(str_equal(raw_header(&answer, "x-kind"), str_of(cases[i].kind)));
        assert_true(str_equal(buf_str(&answer.body), str_of(cases[i].name)));
        raw_answer_done(&answer);
    }
    raw_expect(fd, GET("/label"), 404, "404 page not found\n");
    close(fd);
}

static void a_path_with_another_method_is_405_with_allow(void **state) {
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;

    (void)state;
    assert_true(raw_send(fd, "DELETE /params HTTP/1.1\r\nHost: x\r\n\r\n"));
    answer = raw_read(fd, false);
    assert_int_equal(answer.status, 405);
    assert_true(str_equal(raw_header(&answer, "allow"), STR("GET, HEAD, POST")));
    raw_answer_done(&answer);
    raw_expect(fd, "PATCH /params HTTP/1.1\r\nHost: x\r\n\r\n", 501, NULL);
    raw_expect(fd, GET("/hello"), 200, "hello\n");
    close(fd);
}

static void parameters_of_query_and_form_are_merged(void **state) {
    unsigned port = http_server_port(server);

    (void)state;
    raw_expect_alone(port, GET("/params?match[]=a%3D1&q=x+y&match%5B%5D=b&&=&match[]"), 200,
                     "0:a=1;1:b;2:;q=x y");
    raw_expect_alone(port,
                     "POST /params?match[]=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n"
                     "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\r\n"
                     "match[]=2&q=%25+%2B",
                     200, "0:2;1:1;q=% +");
    raw_expect_alone(port,
                     "POST /params HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                     "Content-Type: text/plain\r\n\r\nq=1",
                     200, "");
}

static void answers_may_come_from_other_threads(void **state) {
    int fds[20];

    (void)state;
    for (int i = 0; i < 20; i++) fds[i] = raw_connect(http_server_port(server));
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 20; i++)
            assert_true(raw_send(fds[i], "POST /pool HTTP/1.1\r\nHost: x\r\n"
                                         "Content-Length: 5\r\n\r\nabcde"));
        for (int i = 0; i < 20; i++) raw_expect(fds[i], "", 200, "abcde");
    }
    for (int i = 0; i < 20; i++) close(fds[i]);
}

static void an_error_has_its_status_and_when_to_retry(void **state) {
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;

    (void)state;
    assert_true(raw_send(fd, GET("/error")));
    answer = raw_read(fd, false);
    assert_int_equal(answer.status, 503);
    assert_true(str_equal(raw_header(&answer, "retry-after"), STR("1")));
    assert_true(str_equal(buf_str(&answer.body), STR("not now\n")));
    raw_answer_done(&answer);
    close(fd);
}

static void a_header_value_can_not_end_its_line(void **state) {
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;

    (void)state;
    assert_true(raw_send(fd, GET("/lines")));
    answer = raw_read(fd, false);
    assert_true(str_equal(raw_header(&answer, "x-given"), STR("a  X-Smuggled: 1")));
    assert_int_equal(raw_header(&answer, "x-smuggled").len, 0);
    raw_answer_done(&answer);
    close(fd);
}

static void a_fallback_answers_what_no_route_does(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *other;
    Error err;

    (void)state;
    assert_ok(http_server_new(&options, &other, &err), &err);
    http_server_fallback(other, handle_fallback, NULL);
    assert_ok(http_server_start(other, &err), &err);
    raw_expect_alone(http_server_port(other), GET("/any/path"), 418, "/any/path");
    http_server_free(other);
}

static void addresses_of_all_kinds_are_understood(void **state) {
    static const char *const good[] = {"localhost:0", ":0", "127.0.0.1:0"};
    static const char *const bad[] = {"", "nowhere", "127.0.0.1:", "[::1:80", ":x", "1.2.3.4.5:0"};
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        HttpServerOptions options = {.address = str_of(good[i])};

        http_server_free(test_server(&options, NULL, 0));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        HttpServerOptions options = {.address = str_of(bad[i])};
        HttpServer *other;

        assert_ok(http_server_new(&options, &other, &err), &err);
        assert_int_equal(http_server_start(other, &err), ERR_INVALID);
        http_server_free(other);
    }
}

static void a_taken_port_is_an_error_that_names_it(void **state) {
    char address[64];
    HttpServerOptions options = test_options();
    HttpServer *other;
    Error err;

    (void)state;
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(server));
    options.address = str_of(address);
    assert_ok(http_server_new(&options, &other, &err), &err);
    assert_int_not_equal(http_server_start(other, &err), ERR_OK);
    assert_non_null(strstr(err.text, address));
    http_server_free(other);
}

static void requests_are_counted_by_route_and_code(void **state) {
    Counter *counter = telemetry_counter("moraine_http_requests_total",
                                         "route=\"/label/{name}/values\",code=\"200\"", "");
    uint64_t before = atomic_load(&counter->value);

    (void)state;
    raw_expect_alone(http_server_port(server), GET("/label/y/values"), 200, "y");
    raw_expect_alone(http_server_port(server), GET("/label/z/values"), 200, "z");
    /* Counted after the answer is on its way: let the next answer on each loop wait for that. */
    for (int i = 0; i < 4; i++)
        raw_expect_alone(http_server_port(server), GET("/hello"), 200, NULL);
    assert_int_equal(atomic_load(&counter->value), before + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_serves_many_requests),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(bodies_of_all_sizes_come_whole),
        cmocka_unit_test(a_client_that_expects_is_told_to_continue),
        cmocka_unit_test(head_is_get_without_the_body),
        cmocka_unit_test(no_content_has_no_length),
        cmocka_unit_test(connection_close_is_honoured),
        cmocka_unit_test(path_query_and_headers_are_read_as_sent),
        cmocka_unit_test(the_most_literal_route_wins),
        cmocka_unit_test(a_path_with_another_method_is_405_with_allow),
        cmocka_unit_test(parameters_of_query_and_form_are_merged),
        cmocka_unit_test(answers_may_come_from_other_threads),
        cmocka_unit_test(an_error_has_its_status_and_when_to_retry),
        cmocka_unit_test(a_header_value_can_not_end_its_line),
        cmocka_unit_test(a_fallback_answers_what_no_route_does),
        cmocka_unit_test(addresses_of_all_kinds_are_understood),
        cmocka_unit_test(a_taken_port_is_an_error_that_names_it),
        cmocka_unit_test(requests_are_counted_by_route_and_code),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
