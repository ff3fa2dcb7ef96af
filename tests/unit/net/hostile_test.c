/* What arrives when the other side is broken, malicious, or both. */
#include "common/base/budget.h"
#include "tests/unit/net/raw.h"

enum { HEAD_MAX = 4096, BODY_MAX = 100000, SMALL_BODY_MAX = 10, BUDGET = 300000 };

static Budget bodies;
static HttpServer *server;
static unsigned port;

static int setup(void **state) {
    HttpServerOptions options = test_options();

    (void)state;
    budget_init(&bodies, "bodies", BUDGET, NULL);
    options.header_bytes_max = HEAD_MAX;
    options.body_bytes_max = BODY_MAX;
    options.bodies = &bodies;
    server = test_server(&options,
                         (HttpRoute[]){
                             {HTTP_GET_ | HTTP_POST_, "/echo", handle_echo, NULL, 0},
                             {HTTP_POST_, "/small", handle_echo, NULL, SMALL_BODY_MAX},
                             {HTTP_POST_, "/large", handle_echo, NULL, BUDGET * 10},
                             {HTTP_GET_, "/label/{name}", handle_hello, NULL, 0},
                         },
                         4);
    port = http_server_port(server);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_server_free(server);
    assert_int_equal(budget_used(&bodies), 0);
    return 0;
}

static void server_still_serves(void) {
    raw_expect_alone(port, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok", 200,
                     "ok");
}

/* Expects `status`, and that the connection ends: nothing behind it is taken for a request. */
static void refused_for_good(const void *bytes, size_t len, int status) {
    int fd = raw_connect(port);
    RawAnswer answer;

    (void)raw_send_bytes(fd, bytes, len);
    answer = raw_read(fd, false);
    if (answer.status != status)
        fail_msg("%d instead of %d for %.*s", answer.status, status, (int)MIN(len, (size_t)200),
                 (const char *)bytes);
    assert_true(str_equal(raw_header(&answer, "connection"), STR("close")));
    raw_answer_done(&answer);
    assert_true(raw_is_closed(fd));
    close(fd);
}

static void refused_text(const char *text, int status) {
    refused_for_good(text, strlen(text), status);
}

static void requests_that_two_readers_could_frame_differently_are_refused(void **state) {
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400,
         "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
         "\r\n0\r\n\r\nGET /echo HTTP/1.1\r\n"},
        {400,
         "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"
         "\r\n0\r\n\r\n"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1 1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\n Content-Length: 1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nX: a\r\n\tContent-Length: 1\r\n\r\na"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
        {501,
         "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
        {501, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
        {501, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
              "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) refused_text(cases[i].text, cases[i].status);
}

static void what_is_not_http_is_refused(void **state) {
    static const Str cases[] = {
        STR_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"),
        STR_INIT("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"),
        STR_INIT("PRI * HTTP/1.1\r\nHost: x\r\n\r\n"),
        STR_INIT("get /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
        STR_INIT("GET/echo HTTP/1.1\r\nHost: x\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1 \r\nHost: x\r\n\r\n"),
        STR_INIT("GET /ec ho HTTP/1.1\r\nHost: x\r\n\r\n"),
        STR_INIT("GET /ec\0ho HTTP/1.1\r\nHost: x\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\nX\0: b\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\nX: a\x7f\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\nX Y: a\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\n\rGET / HTTP/1.1\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\n\r\n"),
        STR_INIT("GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
        STR_INIT("GET /echo XTTP/1.1\r\nHost: x\r\n\r\n"),
        STR_INIT("\r\n\r\n\r\nnonsense\r\n\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) refused_for_good(cases[i].ptr, cases[i].len, 400);
    refused_text("GET /echo\r\n\r\n", 505);
    refused_text("GET /echo HTTP/3.0\r\nHost: x\r\n\r\n", 505);
    refused_text("GET /echo HTTP/1.2\r\nHost: x\r\n\r\n", 505);
    raw_expect_alone(port, "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501, NULL);
    raw_expect_alone(port, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
}

static void bad_chunks_are_refused(void **state) {
    static const struct {
        int status;
        const char *chunks;
    } cases[] = {
        {413, "ffffffffffffffff\r\n"},
        {400, "fffffffffffffffff\r\n"},
        {413, "186a1\r\n"},
        {400, "zz\r\n"},
        {400, "-1\r\n"},
        {400, "\r\n"},
        {400, "1\r\nabc"},
        {400, "1\r\na\n0\r\n\r\n"},
        {400, "1\na\r\n0\r\n\r\n"},
        {400, "1;\x01\r\na"},
        {400, "0\r\nT: x\n\n"},
        {400, "1 0x\n"},
        {400, "00000000000000001\r\n"},
        {400, "0x1\r\na\r\n"},
        {413, "7fffffffffffffff\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[300];

        (void)snprintf(text, sizeof text,
                       "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                       cases[i].chunks);
        refused_text(text, cases[i].status);
    }
}

static void endless_chunk_extensions_are_refused(void **state) {
    int fd = raw_connect(port);
    char spaces[4096];
    RawAnswer answer;

    (void)state;
    memset(spaces, 'e', sizeof spaces);
    assert_true(
        raw_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;"));
    for (int i = 0; i < 1000; i++)
        if (!raw_send_bytes(fd, spaces, sizeof spaces)) break;
    answer = raw_read(fd, false);
    assert_true(answer.status == 400 || answer.status == 0); /* 0: a reset got ahead of it */
    raw_answer_done(&answer);
    close(fd);
    server_still_serves();
}

/* A request whose head has `len` bytes, by the length of its target or of a header. */
static char *head_of(size_t len, bool in_target) {
    char *text = malloc(len + 1);
    const char *before = in_target ? "GET /echo?" : "GET /echo HTTP/1.1\r\nHost: x\r\nX: ";
    const char *after = in_target ? " HTTP/1.1\r\nHost: x\r\n\r\n" : "\r\n\r\n";

    memset(text, 'a', len);
    memcpy(text, before, strlen(before));
    memcpy(text + len - strlen(after), after, strlen(after) + 1);
    return text;
}

static void heads_are_limited_to_the_byte(void **state) {
    (void)state;
    for (int in_target = 0; in_target < 2; in_target++) {
        char *fits = head_of(HEAD_MAX, in_target != 0);
        char *over = head_of(HEAD_MAX + 1, in_target != 0);
        char *far_over = head_of(HEAD_MAX * 3, in_target != 0);

        raw_expect_alone(port, fits, 200, "");
        refused_text(over, 431); /* the line fits, what follows doesn't */
        refused_text(far_over, in_target != 0 ? 414 : 431);
        free(fits);
        free(over);
        free(far_over);
    }
}

static void header_lines_are_limited_in_number(void **state) {
    Buf text;

    (void)state;
    buf_init(&text, 0);
    buf_printf(&text, "GET /echo HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 300; i++) buf_printf(&text, "a: b\r\n");
    buf_printf(&text, "\r\n");
    refused_for_good(text.ptr, text.len, 431);
    buf_done(&text);
}

static void a_body_over_the_limit_is_413_and_says_the_limit(void **state) {
    int fd = raw_connect(port);
    RawAnswer answer;

    (void)state;
    assert_true(
        raw_send(fd, "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n01234567890"));
    answer = raw_read(fd, false);
    assert_int_equal(answer.status, 413);
    buf_append_byte(&answer.body, '\0');
    assert_non_null(strstr(answer.body.ptr, "limit of 10 bytes"));
    raw_answer_done(&answer);
    /* What little was left of it has been read, so the connection lives. */
    raw_expect(fd, "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789", 200,
               "0123456789");
    raw_expect(fd,
               "POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
               "6\r\n012345\r\n5\r\n67890\r\n0\r\n\r\n",
               413, NULL);
    assert_true(raw_is_closed(fd));
    close(fd);
    refused_text("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n01", 413);
}

static void who_waits_to_be_told_to_continue_is_told_no(void **state) {
    (void)state;
    refused_text("POST /small HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                 "Content-Length: 11\r\n\r\n",
                 413);
}

static void an_unknown_path_survives_a_body(void **state) {
    int fd = raw_connect(port);

    (void)state;
    raw_expect(fd, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", 404,
               NULL);
    raw_expect(fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 200, "");
    close(fd);
}

static void a_head_alone_takes_nothing_from_the_budget(void **state) {
    int fds[8];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = raw_connect(port);
        assert_true(
            raw_send(fds[i], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"));
    }
    /* They announce 720,000 bytes together, of a budget of 300,000. */
    server_still_serves();
    assert_true(budget_used(&bodies) < 100000);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) close(fds[i]);
}

static void bodies_beyond_the_budget_are_503_and_may_be_sent_again(void **state) {
    int fd = raw_connect(port);
    char *body = calloc(1, BUDGET * 2), head[200];
    RawAnswer answer;

    (void)state;
    for (int round = 0; round < 3; round++) {
        (void)snprintf(head, sizeof head,
                       "POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", BUDGET * 2);
        assert_true(raw_send(fd, head));
        assert_true(raw_send_bytes(fd, body, BUDGET * 2));
        answer = raw_read(fd, false);
        assert_int_equal(answer.status, 503);
        assert_true(str_equal(raw_header(&answer, "retry-after"), STR("1")));
        raw_answer_done(&answer);
        server_still_serves();
    }
    free(body);
    close(fd);
}

static void escapes_that_are_none_are_refused(void **state) {
    static const char *const cases[] = {
        "GET /label/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /label/%2 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /echo?a=% HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /echo?a=%4 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: 4\r\n\r\na=%x",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\na=1",
    };
    int fd = raw_connect(port);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) raw_expect(fd, cases[i], 400, NULL);
    close(fd);
}

static void parameters_are_limited_in_number(void **state) {
    int fd = raw_connect(port);

    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        Buf text;

        buf_init(&text, 0);
        buf_printf(&text,
                   "POST /echo?one HTTP/1.1\r\nHost: x\r\n"
                   "Content-Type: application/x-www-form-urlencoded\r\n"
                   "Content-Length: %d\r\n\r\n",
                   9998 + extra);
        for (int i = 0; i < 9998 + extra; i++) buf_append_byte(&text, '&');
        buf_append_byte(&text, '\0');
        raw_expect(fd, text.ptr, extra == 0 ? 200 : 400, NULL);
        buf_done(&text);
    }
    close(fd);
}

static const char whole_request[] =
    "POST /echo?a=%20 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    "Expect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
    "3\r\na=b\r\n2;x=y\r\n&c\r\n0\r\nT: r\r\n\r\n";

static void a_request_may_be_cut_at_every_byte(void **state) {
    (void)state;
    for (size_t len = 0; len + 1 < sizeof whole_request; len++) {
        int fd = raw_connect(port);

        assert_true(raw_send_bytes(fd, whole_request, len));
        close(fd);
    }
    server_still_serves();
}

static void any_bit_of_a_request_may_be_flipped(void **state) {
    char text[sizeof whole_request];

    (void)state;
    for (size_t i = 0; i + 1 < sizeof whole_request; i++) {
        for (int bit = 0; bit < 8; bit++) {
            int fd = raw_connect(port);
            Buf answer;

            memcpy(text, whole_request, sizeof text);
            text[i] = (char)(text[i] ^ 1 << bit);
            (void)raw_send_bytes(fd, text, sizeof text - 1);
            (void)shutdown(fd, SHUT_WR);
            buf_init(&answer, 0);
            raw_read_all(fd, &answer);
            if (answer.len > 0) assert_true(str_starts_with(buf_str(&answer), STR("HTTP/1.1 ")));
            buf_done(&answer);
            close(fd);
        }
    }
    server_still_serves();
}

static void connections_past_the_limit_are_503(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *small;
    int fds[3], over;

    (void)state;
    options.connections_max = 3;
    small = test_server(&options, &(HttpRoute){HTTP_GET_, "/", handle_hello, NULL, 0}, 1);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = raw_connect(http_server_port(small));
        raw_expect(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, "hello\n");
    }
    over = raw_connect(http_server_port(small));
    raw_expect(over, "", 503, NULL);
    assert_true(raw_is_closed(over));
    close(over);
    close(fds[0]);
    /* The place is free again once the server has seen that. */
    for (int status = 503; status == 503;) {
        RawAnswer answer;

        fds[0] = raw_connect(http_server_port(small));
        (void)raw_send(fds[0], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        answer = raw_read(fds[0], false);
        status = answer.status == 0 ? 503 : answer.status;
        raw_answer_done(&answer);
        if (status == 503) close(fds[0]);
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) close(fds[i]);
    http_server_free(small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_two_readers_could_frame_differently_are_refused),
        cmocka_unit_test(what_is_not_http_is_refused),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(endless_chunk_extensions_are_refused),
        cmocka_unit_test(heads_are_limited_to_the_byte),
        cmocka_unit_test(header_lines_are_limited_in_number),
        cmocka_unit_test(a_body_over_the_limit_is_413_and_says_the_limit),
        cmocka_unit_test(who_waits_to_be_told_to_continue_is_told_no),
        cmocka_unit_test(an_unknown_path_survives_a_body),
        cmocka_unit_test(a_head_alone_takes_nothing_from_the_budget),
        cmocka_unit_test(bodies_beyond_the_budget_are_503_and_may_be_sent_again),
        cmocka_unit_test(escapes_that_are_none_are_refused),
        cmocka_unit_test(parameters_are_limited_in_number),
        cmocka_unit_test(a_request_may_be_cut_at_every_byte),
        cmocka_unit_test(any_bit_of_a_request_may_be_flipped),
        cmocka_unit_test(connections_past_the_limit_are_503),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
