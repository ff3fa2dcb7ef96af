/* A WebSocket with a client that reads and writes its frames byte by byte. */
#include "common/net/websocket.h"

#include "tests/unit/net/raw.h"

#define HELLO                                                                                      \
    "GET /news HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10, IDLE_MS = 300 };

static Budget bodies;
static HttpServer *server;
static unsigned port;
static Parked parked = PARKED_INIT;

/* Refuses what is no handshake, parks what is. */
static void handle_news(HttpRequest *request, void *context) {
    Error err;

    if (websocket_begin(request, &err) == ERR_OK)
        handle_park(request, context);
    else
        http_respond_error(request, &err);
}

static HttpServerOptions options(void) {
    HttpServerOptions given = test_options();

    given.bodies = &bodies;
    return given;
}

static void start(const HttpServerOptions *given) {
    server = test_server(given,
                         (HttpRoute[]){{HTTP_GET_ | HTTP_POST_, "/news", handle_news, &parked, 0},
                                       {HTTP_GET_, "/hello", handle_hello, NULL, 0}},
                         2);
    port = http_server_port(server);
}

static int setup(void **state) {
    HttpServerOptions given = options();

    (void)state;
    budget_init(&bodies, "bodies", MIB(1), NULL);
    start(&given);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_server_free(server);
    assert_int_equal(budget_used(&bodies), 0);
    return 0;
}

/* ---------- the client ---------- */

static int open_news(HttpRequest **ret_request) {
    int fd = raw_connect(port);
    RawAnswer answer;

    assert_true(raw_send(fd, HELLO));
    answer = raw_read(fd, true);
    assert_int_equal(answer.status, 101);
    assert_true(str_equal(raw_header(&answer, "sec-websocket-accept"),
                          STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    assert_true(str_equal(raw_header(&answer, "upgrade"), STR("websocket")));
    assert_true(str_equal(raw_header(&answer, "connection"), STR("Upgrade")));
    raw_answer_done(&answer);
    *ret_request = parked_take(&parked);
    return fd;
}

/* A masked frame, as clients send it. */
static void append_frame(Buf *out, unsigned first, Str payload) {
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};

    buf_append_byte(out, (char)first);
    if (payload.len < 126) {
        buf_append_byte(out, (char)(0x80 | payload.len));
    } else {
        buf_append_byte(out, (char)(0x80 | 126));
        buf_append_byte(out, (char)(payload.len >> 8));
        buf_append_byte(out, (char)payload.len);
    }
    buf_append(out, mask, 4);
    for (size_t i = 0; i < payload.len; i++)
        buf_append_byte(out, (char)(payload.ptr[i] ^ mask[i % 4]));
}

static void send_frame(int fd, unsigned first, Str payload) {
    Buf frame;

    buf_init(&frame, 0);
    append_frame(&frame, first, payload);
    (void)raw_send_bytes(fd, frame.ptr, frame.len);
    buf_done(&frame);
}

/* The next frame's opcode, or -1 at the end of the connection. */
static int read_frame(int fd, Buf *payload) {
    Buf head;
    unsigned opcode;
    uint64_t len;
    size_t more;

    buf_init(&head, 0);
    buf_clear(payload);
    if (!raw_read_exact(fd, &head, 2)) {
        buf_done(&head);
        return -1;
    }
    opcode = (unsigned char)head.ptr[0];
    len = (unsigned char)head.ptr[1];
    assert_int_equal(opcode & 0xf0, 0x80); /* final, no extensions */
    assert_true(len < 128);                /* no mask */
    more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (more > 0) {
        assert_true(raw_read_exact(fd, &head, more));
        len = 0;
        for (size_t i = 0; i < more; i++) len = len << 8 | (unsigned char)head.ptr[2 + i];
    }
    assert_true(raw_read_exact(fd, payload, (size_t)len));
    buf_done(&head);
    return (int)(opcode & 15);
}

static void expect_frame(int fd, int opcode, Str payload) {
    Buf got;

    buf_init(&got, 0);
    assert_int_equal(read_frame(fd, &got), opcode);
    assert_true(str_equal(buf_str(&got), payload));
    buf_done(&got);
}

/* Reads to the close frame, past others, and to the end of the connection behind it. */
static void expect_close(int fd, unsigned code, const char *reason) {
    Buf got;
    int opcode;

    buf_init(&got, 0);
    do opcode = read_frame(fd, &got);
    while (opcode == PONG || opcode == TEXT);
    assert_int_equal(opcode, CLOSE);
    assert_true(got.len >= 2);
    assert_int_equal((unsigned char)got.ptr[0] << 8 | (unsigned char)got.ptr[1], code);
    if (reason != NULL) assert_true(str_equal(str_from(buf_str(&got), 2), str_of(reason)));
    assert_int_equal(read_frame(fd, &got), -1);
    buf_done(&got);
}

static void end(HttpRequest *request) {
    websocket_end(request, WEBSOCKET_NORMAL, STR(""));
}

/* ---------- the handshake ---------- */

static void what_is_no_handshake_is_refused(void **state) {
    static const char *const cases[] = {
        "GET /news HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\n",
        "GET /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "GET /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n",
        "GET /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n\r\n",
        "GET /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBs*SBub25jZQ==\r\n\r\n",
        "GET /news HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "POST /news HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Content-Length: 0\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) raw_expect_alone(port, cases[i], 400, NULL);
}

static void a_refused_one_may_ask_for_something_else(void **state) {
    int fd = raw_connect(port);

    (void)state;
    raw_expect(fd, "GET /news HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", 400, NULL);
    raw_expect(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, "hello\n");
    close(fd);
}

/* ---------- messages ---------- */

static void messages_of_every_length_arrive_whole_and_in_order(void **state) {
    static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, 300000};
    HttpRequest *request;
    int fd = open_news(&request);
    Buf text;
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        buf_init(&text, 0);
        for (size_t k = 0; k < lengths[i]; k++) buf_append_byte(&text, (char)('a' + k % 26));
        assert_ok(websocket_send(request, buf_str(&text), &err), &err);
        expect_frame(fd, TEXT, buf_str(&text));
        buf_done(&text);
    }
    end(request);
    expect_close(fd, WEBSOCKET_NORMAL, "");
    close(fd);
}

static void a_server_that_ends_says_why(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);
    char reason[200];

    (void)state;
    memset(reason, 'r', sizeof reason);
    /* Two bytes of a character beyond what fits: all of it goes. */
    memcpy(reason + 122, "\xc3\xa4", 2);
    websocket_end(request, WEBSOCKET_INTERNAL, (Str){reason, sizeof reason});
    reason[122] = '\0';
    expect_close(fd, WEBSOCKET_INTERNAL, reason);
    close(fd);
}

static void nothing_is_sent_after_a_close(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);
    Error err;

    (void)state;
    send_frame(fd, 0x80 | CLOSE, STR("\x03\xe8"));
    expect_close(fd, WEBSOCKET_NORMAL, "");
    wait_until_cancelled(request);
    assert_int_equal(websocket_send(request, STR("too late"), &err), ERR_CANCELLED);
    end(request);
    close(fd);
}

static void a_hang_up_is_noticed(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);

    (void)state;
    close(fd);
    wait_until_cancelled(request);
    end(request);
}

static void frames_sent_with_the_handshake_count(void **state) {
    int fd = raw_connect(port);
    HttpRequest *request;
    RawAnswer answer;
    Buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    buf_append_str(&bytes, STR(HELLO));
    append_frame(&bytes, 0x80 | PING, STR("early"));
    assert_true(raw_send_bytes(fd, bytes.ptr, bytes.len));
    answer = raw_read(fd, true);
    assert_int_equal(answer.status, 101);
    raw_answer_done(&answer);
    request = parked_take(&parked);
    expect_frame(fd, PONG, STR("early"));
    end(request);
    close(fd);
    buf_done(&bytes);
}

/* ---------- what clients send ---------- */

static void pings_are_answered_between_messages(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);
    Error err;

    (void)state;
    send_frame(fd, 0x80 | PING, STR("one"));
    expect_frame(fd, PONG, STR("one"));
    websocket_ping(request);
    expect_frame(fd, PING, STR(""));
    send_frame(fd, 0x80 | PONG, STR(""));
    /* Fragments of a message with a ping between them; the message itself is dropped. */
    send_frame(fd, TEXT, STR("he"));
    send_frame(fd, 0x80 | PING, STR("two"));
    send_frame(fd, 0x80, STR("llo"));
    expect_frame(fd, PONG, STR("two"));
    assert_ok(websocket_send(request, STR("still here"), &err), &err);
    expect_frame(fd, TEXT, STR("still here"));
    end(request);
    close(fd);
}

static void frames_may_come_byte_by_byte(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);
    Buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    append_frame(&bytes, 0x80 | TEXT, STR("dropped"));
    append_frame(&bytes, 0x80 | PING, STR("ping"));
    for (size_t i = 0; i < bytes.len; i++) assert_true(raw_send_bytes(fd, bytes.ptr + i, 1));
    expect_frame(fd, PONG, STR("ping"));
    end(request);
    close(fd);
    buf_done(&bytes);
}

static void a_client_may_go_at_any_byte(void **state) {
    Buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    append_frame(&bytes, TEXT, STR("part"));
    append_frame(&bytes, 0x80 | PING, STR("ping"));
    append_frame(&bytes, 0x80, STR("end"));
    append_frame(&bytes, 0x80 | CLOSE, STR("\x03\xe8"));
    for (size_t cut = 0; cut <= bytes.len; cut++) {
        HttpRequest *request;
        int fd = open_news(&request);

        assert_true(raw_send_bytes(fd, bytes.ptr, cut));
        (void)shutdown(fd, SHUT_WR);
        wait_until_cancelled(request);
        end(request);
        close(fd);
    }
    buf_done(&bytes);
}

static void hostile_frames_end_it_with_the_right_code(void **state) {
    static const struct {
        unsigned code;
        Str bytes;
    } cases[] = {
        {1002, STR_INIT("\x81\x02hi")},                         /* no mask */
        {1002, STR_INIT("\x89\x00")},                           /* not even on a ping */
        {1002, STR_INIT("\x83\x80\0\0\0\0")},                   /* opcode 3 */
        {1002, STR_INIT("\x8f\x80\0\0\0\0")},                   /* opcode 15 */
        {1002, STR_INIT("\xc1\x80\0\0\0\0")},                   /* a reserved bit */
        {1002, STR_INIT("\x09\x80\0\0\0\0")},                   /* a ping in fragments */
        {1002, STR_INIT("\x89\xfe\x00\x7e\0\0\0\0")},           /* a ping of 126 bytes */
        {1002, STR_INIT("\x80\x80\0\0\0\0")},                   /* goes on with nothing */
        {1002, STR_INIT("\x01\x80\0\0\0\0\x81\x80\0\0\0\0")},   /* two messages at once */
        {1002, STR_INIT("\x81\xfe\x00\x01\0\0\0\0a")},          /* a length not at its shortest */
        {1002, STR_INIT("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0")}, /* 2^63 bytes */
        {0, STR_INIT("\x88\x81\0\0\0\0a")},                    /* half a code: closed without one */
        {1002, STR_INIT("\x88\x82\0\0\0\0\x03\xe7")},          /* 999 is no code */
        {1007, STR_INIT("\x81\x82\0\0\0\0\xc3\x28")},          /* no UTF-8 */
        {1009, STR_INIT("\x82\xfe\x10\x01\0\0\0\0x")},         /* a byte more than may be */
        {1009, STR_INIT("\x82\xff\0\0\0\1\0\0\0\0\0\0\0\0x")}, /* 4 GiB */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        HttpRequest *request;
        int fd = open_news(&request);
        Buf got;
        int opcode;
        unsigned code = 0;

        assert_true(raw_send_bytes(fd, cases[i].bytes.ptr, cases[i].bytes.len));
        buf_init(&got, 0);
        opcode = read_frame(fd, &got);
        if (got.len >= 2)
            code = (unsigned)((unsigned char)got.ptr[0] << 8) | (unsigned char)got.ptr[1];
        if (opcode != CLOSE || code != cases[i].code)
            fail_msg("case %zu: opcode %d, code %u instead of %u", i, opcode, code, cases[i].code);
        assert_int_equal(read_frame(fd, &got), -1);
        wait_until_cancelled(request);
        end(request);
        close(fd);
        buf_done(&got);
    }
    raw_expect_alone(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, "hello\n");
}

static void fragments_together_have_the_same_limit(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);
    char piece[WEBSOCKET_MESSAGE_MAX / 2] = {0};

    (void)state;
    send_frame(fd, TEXT, (Str){piece, sizeof piece});
    send_frame(fd, 0, (Str){piece, sizeof piece});
    send_frame(fd, 0, STR("x"));
    expect_close(fd, 1009, NULL);
    wait_until_cancelled(request);
    end(request);
    close(fd);
}

/* ---------- clients that don't listen ---------- */

/* More pongs than sockets hold would pile up, were the pings read on. */
static void a_flood_of_pings_is_not_read_on(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);
    Buf bytes;
    char payload[125] = {0};
    struct timeval wait = {.tv_usec = 200000};

    (void)state;
    buf_init(&bytes, 0);
    while (bytes.len < 100000) append_frame(&bytes, 0x80 | PING, (Str){payload, sizeof payload});
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    for (int i = 0; i < 10000; i++)
        if (!raw_send_bytes(fd, bytes.ptr, bytes.len)) break; /* a gigabyte would pass otherwise */
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
    close(fd);
    wait_until_cancelled(request);
    end(request);
    buf_done(&bytes);
}

static void what_a_client_leaves_unread_is_counted(void **state) {
    HttpRequest *request;
    int fd = open_news(&request);
    static char text[1 << 20];
    Error err;
    Buf got;

    (void)state;
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 64; i++)
        assert_ok(websocket_send(request, (Str){text, sizeof text}, &err), &err);
    assert_true(websocket_unsent(request) > sizeof text);
    buf_init(&got, 0);
    for (int i = 0; i < 64; i++) assert_int_equal(read_frame(fd, &got), TEXT);
    while (websocket_unsent(request) > 0) clock_sleep_ms(1);
    end(request);
    expect_close(fd, WEBSOCKET_NORMAL, "");
    close(fd);
    buf_done(&got);
}

/* ---------- the server's ends ---------- */

static void draining_says_goodbye(void **state) {
    HttpServerOptions given = options();
    HttpRequest *request;
    int fd;

    (void)state;
    http_server_free(server);
    start(&given);
    fd = open_news(&request);
    http_server_drain(server, 0);
    wait_until_cancelled(request);
    expect_close(fd, WEBSOCKET_GOING_AWAY, "the server is shutting down");
    end(request);
    close(fd);
}

static void a_client_that_never_answers_pings_is_cut_off(void **state) {
    HttpServerOptions given = options();
    HttpRequest *request;
    Buf rest;
    int fd;

    (void)state;
    http_server_free(server);
    given.idle_timeout_ms = IDLE_MS;
    start(&given);
    fd = open_news(&request);
    websocket_ping(request);
    wait_until_cancelled(request);
    buf_init(&rest, 0);
    raw_read_all(fd, &rest); /* the ping, unless this test stood still for too long, and the end */
    assert_true(rest.len <= 2);
    end(request);
    close(fd);
    buf_done(&rest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_handshake_is_refused),
        cmocka_unit_test(a_refused_one_may_ask_for_something_else),
        cmocka_unit_test(messages_of_every_length_arrive_whole_and_in_order),
        cmocka_unit_test(a_server_that_ends_says_why),
        cmocka_unit_test(nothing_is_sent_after_a_close),
        cmocka_unit_test(a_hang_up_is_noticed),
        cmocka_unit_test(frames_sent_with_the_handshake_count),
        cmocka_unit_test(pings_are_answered_between_messages),
        cmocka_unit_test(frames_may_come_byte_by_byte),
        cmocka_unit_test(a_client_may_go_at_any_byte),
        cmocka_unit_test(hostile_frames_end_it_with_the_right_code),
        cmocka_unit_test(fragments_together_have_the_same_limit),
        cmocka_unit_test(a_flood_of_pings_is_not_read_on),
        cmocka_unit_test(what_a_client_leaves_unread_is_counted),
        cmocka_unit_test(draining_says_goodbye),
        cmocka_unit_test(a_client_that_never_answers_pings_is_cut_off),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
