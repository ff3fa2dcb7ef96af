/* What clients of HTTP/2 do that are broken, malicious, or both. */
#include "common/base/budget.h"
#include "tests/unit/net/raw2.h"

enum { BUDGET = 8 << 20 };

static Budget bodies;
static HttpServer *server;
static unsigned port;
static Parked parked = PARKED_INIT;

static int setup(void **state) {
    HttpServerOptions options = test_options();

    (void)state;
    budget_init(&bodies, "bodies", BUDGET, NULL);
    options.header_bytes_max = 4096;
    options.bodies = &bodies;
    server = test_server(&options,
                         (HttpRoute[]){
                             {HTTP_GET_, "/hello", handle_hello, NULL, 0},
                             {HTTP_GET_ | HTTP_POST_, "/echo", handle_echo, NULL, 0},
                             {HTTP_GET_, "/park", handle_park, &parked, 0},
                         },
                         3);
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
    Raw2 c = raw2_open(port);

    assert_true(raw2_get(&c, 1, "/hello"));
    raw2_expect(&c, 1, 200, "hello\n");
    raw2_close(&c);
}

/* The connection must end with `code`, and nothing else be harmed. */
static void ends_with(Raw2 *c, int64_t code) {
    int64_t got = raw2_goaway(c);

    if (got != code) fail_msg("GOAWAY %d instead of %d", (int)got, (int)code);
    raw2_close(c);
}

static void frames_that_break_the_rules_end_the_connection(void **state) {
    static const struct {
        int64_t code;
        uint8_t type, flags;
        uint32_t stream;
        Str payload;
    } cases[] = {
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_DATA, 0, 0, STR_INIT("x")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_DATA, 0, 1, STR_INIT("x")}, /* of an idle stream */
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 0, STR_INIT("\xff")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_HEADERS, 4, 0, STR_INIT("\x82")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_HEADERS, 4, 2, STR_INIT("\x82\x84\x86")},
        {NGHTTP2_COMPRESSION_ERROR, NGHTTP2_HEADERS, 4, 1, STR_INIT("\xff\xff\xff\xff\xff\xff")},
        {NGHTTP2_COMPRESSION_ERROR, NGHTTP2_HEADERS, 4, 1, STR_INIT("\x3f\xe1\xff\x03")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_CONTINUATION, 4, 1, STR_INIT("\x82")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_RST_STREAM, 0, 1, STR_INIT("\0\0\0\0")},
        {NGHTTP2_FRAME_SIZE_ERROR, NGHTTP2_RST_STREAM, 0, 1, STR_INIT("\0\0\0")},
        {NGHTTP2_FRAME_SIZE_ERROR, NGHTTP2_SETTINGS, 0, 0, STR_INIT("\0\0\0")},
        {NGHTTP2_FRAME_SIZE_ERROR, NGHTTP2_SETTINGS, 1, 0, STR_INIT("\0\1\0\0\0\0")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_SETTINGS, 0, 1, STR_INIT("")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_SETTINGS, 0, 0, STR_INIT("\0\2\0\0\0\2")},
        {NGHTTP2_FLOW_CONTROL_ERROR, NGHTTP2_SETTINGS, 0, 0, STR_INIT("\0\4\xff\xff\xff\xff")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_SETTINGS, 0, 0, STR_INIT("\0\5\0\0\0\1")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_PUSH_PROMISE, 4, 1, STR_INIT("\0\0\0\2\x82")},
        {NGHTTP2_FRAME_SIZE_ERROR, NGHTTP2_PING, 0, 0, STR_INIT("1234567")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_PING, 0, 1, STR_INIT("12345678")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_WINDOW_UPDATE, 0, 0, STR_INIT("\0\0\0\0")},
        {NGHTTP2_FLOW_CONTROL_ERROR, NGHTTP2_WINDOW_UPDATE, 0, 0, STR_INIT("\x7f\xff\xff\xff")},
        {NGHTTP2_FRAME_SIZE_ERROR, NGHTTP2_WINDOW_UPDATE, 0, 0, STR_INIT("\0\0\1")},
        {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_WINDOW_UPDATE, 0, 5, STR_INIT("\0\0\0\1")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Raw2 c = raw2_open(port);
        int64_t got;

        (void)raw2_frame(&c, cases[i].type, cases[i].flags, cases[i].stream, cases[i].payload.ptr,
                         cases[i].payload.len);
        got = raw2_goaway(&c);
        if (got != cases[i].code)
            fail_msg("case %zu: GOAWAY %d, not %d", i, (int)got, (int)cases[i].code);
        raw2_close(&c);
    }
    server_still_serves();
}

static void a_frame_larger_than_announced_is_not_read(void **state) {
    Raw2 c = raw2_open(port);

    (void)state;
    assert_true(raw_send_bytes(c.fd, "\xff\xff\xff\0\0\0\0\0\1", 9));
    ends_with(&c, NGHTTP2_FRAME_SIZE_ERROR);
}

static void what_does_not_begin_with_settings_is_refused(void **state) {
    Raw2 c = raw2_bare(port);

    (void)state;
    assert_true(raw_send(c.fd, RAW2_PREFACE));
    assert_true(raw2_frame(&c, NGHTTP2_PING, 0, 0, "12345678", 8));
    ends_with(&c, NGHTTP2_PROTOCOL_ERROR);
}

static void heads_that_break_the_rules_reset_their_stream(void **state) {
    static const char *const lines[] = {
        "connection: close\n",
        "transfer-encoding: chunked\n",
        "Upper: case\n",
        "te: gzip\n",
        "upgrade: websocket\n",
        "keep-alive: 5\n",
        "content-length: 1, 2\n",
        "content-length: -1\n",
        ":path: /again\n",
        "bad name: x\n",
        "content-length: 5\ncontent-length: 6\n",
    };
    Raw2 c = raw2_open(port);
    uint32_t id = 1;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++, id += 2) {
        Raw2Answer answer;

        assert_true(raw2_head(&c, id, "GET", "/hello", lines[i], true));
        answer = raw2_read(&c, id);
        if (answer.reset != NGHTTP2_PROTOCOL_ERROR && answer.status != 400)
            fail_msg("%s: status %d, reset %d", lines[i], answer.status, (int)answer.reset);
        raw2_answer_done(&answer);
    }
    assert_true(raw2_get(&c, id, "/hello"));
    raw2_expect(&c, id, 200, "hello\n");
    raw2_close(&c);
}

static void a_length_that_is_not_the_bodys_resets_the_stream(void **state) {
    Raw2 c = raw2_open(port);

    (void)state;
    for (uint32_t id = 1; id < 5; id += 2) {
        Raw2Answer answer;

        assert_true(raw2_head(&c, id, "POST", "/echo", "content-length: 3\n", false));
        assert_true(raw2_data(&c, id, id == 1 ? STR("ab") : STR("abcd"), true));
        answer = raw2_read(&c, id);
        assert_int_equal(answer.reset, NGHTTP2_PROTOCOL_ERROR);
        raw2_answer_done(&answer);
    }
    raw2_close(&c);
}

static void heads_are_limited(void **state) {
    Raw2 c = raw2_open(port);
    char lines[6000];

    (void)state;
    memset(lines, 'a', sizeof lines);
    memcpy(lines, "x: ", 3);
    lines[sizeof lines - 2] = '\n';
    lines[sizeof lines - 1] = '\0';
    assert_true(raw2_head(&c, 1, "GET", "/hello", lines, true));
    raw2_expect(&c, 1, 431, NULL);
    assert_true(raw2_get(&c, 3, "/hello"));
    raw2_expect(&c, 3, 200, "hello\n");
    raw2_close(&c);
}

/* An entry of 4,000 bytes in the dynamic table, and one byte for each time it is said again. */
static void a_header_bomb_ends_the_connection(void **state) {
    Raw2 c = raw2_open(port);
    Buf block;

    (void)state;
    buf_init(&block, 0);
    buf_append(&block, "\x82\x84\x86\x40\1x", 6);
    raw2_put_len(&block, 4000);
    for (int i = 0; i < 4000; i++) buf_append_byte(&block, 'b');
    for (int i = 0; i < 12000; i++) buf_append_byte(&block, '\xbe');
    (void)raw2_frame(&c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                     block.ptr, block.len);
    buf_done(&block);
    ends_with(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    server_still_serves();
}

static void floods_end_the_connection(void **state) {
    Raw2 c = raw2_open(port);
    uint32_t id = 1;

    (void)state;
    /* Rapid reset, CVE-2023-44487. */
    for (int i = 0; i < 5000; i++, id += 2)
        if (!raw2_get(&c, id, "/hello") || !raw2_reset(&c, id, NGHTTP2_CANCEL)) break;
    ends_with(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    /* Streams that the client makes the server reset. */
    c = raw2_open(port);
    for (id = 1; id < 10000; id += 2)
        if (!raw2_head(&c, id, "GET", "/hello", "connection: x\n", false)) break;
    ends_with(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    c = raw2_open(port);
    for (int i = 0; i < 20000; i++)
        if (!raw2_frame(&c, NGHTTP2_PING, 0, 0, "12345678", 8)) break;
    ends_with(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    c = raw2_open(port);
    for (int i = 0; i < 20000; i++)
        if (!raw2_frame(&c, NGHTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\x64", 6)) break;
    ends_with(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    c = raw2_open(port);
    assert_true(raw2_head(&c, 1, "POST", "/echo", "", false));
    for (int i = 0; i < 20000; i++)
        if (!raw2_data(&c, 1, STR(""), false)) break;
    ends_with(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    /* CONTINUATION without end. */
    c = raw2_open(port);
    assert_true(raw2_frame(&c, NGHTTP2_HEADERS, 0, 1, "\x82\x84\x86", 3));
    for (int i = 0; i < 20000; i++)
        if (!raw2_frame(&c, NGHTTP2_CONTINUATION, 0, 1, "\0\1a\1b", 5)) break;
    ends_with(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    server_still_serves();
}

static void streams_past_the_limit_are_refused(void **state) {
    Raw2 c = raw2_open(port);
    HttpRequest *requests[128];
    Raw2Answer answer;

    (void)state;
    assert_int_equal(raw2_step(&c, 0, NULL), NGHTTP2_SETTINGS);
    for (uint32_t i = 0; i < 128; i++) {
        assert_true(raw2_get(&c, 2 * i + 1, "/park"));
        requests[i] = parked_take(&parked);
    }
    assert_true(raw2_get(&c, 257, "/hello"));
    answer = raw2_read(&c, 257);
    assert_int_equal(answer.reset, NGHTTP2_REFUSED_STREAM);
    raw2_answer_done(&answer);
    for (int i = 0; i < 128; i++) http_respond(requests[i], 200, NULL, STR(""));
    raw2_close(&c);
}

static void a_body_beyond_its_window_is_an_error_of_flow_control(void **state) {
    Raw2 c = raw2_open(port);
    static const char zeros[16384];

    (void)state;
    assert_true(raw2_get(&c, 1, "/park"));
    HttpRequest *request = parked_take(&parked);
    /* The windows never grow by themselves: a hundred megabytes are more than any of them. */
    assert_true(raw2_head(&c, 3, "POST", "/nothing", "", false));
    for (int i = 0; i < 6400; i++)
        if (!raw2_data(&c, 3, (Str){zeros, sizeof zeros}, false)) break;
    http_respond(request, 200, NULL, STR(""));
    raw2_close(&c);
    server_still_serves();
}

/* One exchange, as bytes. */
static void put_exchange(Buf *out) {
    Buf block;

    buf_init(&block, 0);
    raw2_put_head(&block, "POST", "/echo", "content-type: text/plain\ncontent-length: 4\n");
    buf_append_str(out, STR(RAW2_PREFACE));
    buf_append(out, "\0\0\0\4\0\0\0\0\0", 9);
    buf_append(out, "\0\0", 2);
    buf_append_byte(out, (char)block.len);
    buf_append(out, "\1\4\0\0\0\1", 6);
    buf_append_str(out, buf_str(&block));
    buf_append(out, "\0\0\4\0\1\0\0\0\1body", 13);
    buf_done(&block);
}

static void an_exchange_may_be_cut_at_every_byte(void **state) {
    Buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    put_exchange(&bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        int fd = raw_connect(port);

        assert_true(raw_send_bytes(fd, bytes.ptr, len));
        close(fd);
    }
    /* And in the middle, going on. */
    for (size_t len = 1; len < bytes.len; len++) {
        Raw2 c = raw2_bare(port);

        assert_true(raw_send_bytes(c.fd, bytes.ptr, len));
        assert_true(raw_send_bytes(c.fd, bytes.ptr + len, bytes.len - len));
        raw2_expect(&c, 1, 200, "body");
        raw2_close(&c);
    }
    buf_done(&bytes);
    server_still_serves();
}

static void any_bit_of_an_exchange_may_be_flipped(void **state) {
    Buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    put_exchange(&bytes);
    for (size_t i = 0; i < bytes.len * 8; i++) {
        int fd = raw_connect(port);

        bytes.ptr[i / 8] ^= (char)(1 << i % 8);
        (void)raw_send_bytes(fd, bytes.ptr, bytes.len);
        (void)shutdown(fd, SHUT_WR);
        close(fd);
        bytes.ptr[i / 8] ^= (char)(1 << i % 8);
    }
    buf_done(&bytes);
    server_still_serves();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_break_the_rules_end_the_connection),
        cmocka_unit_test(a_frame_larger_than_announced_is_not_read),
        cmocka_unit_test(what_does_not_begin_with_settings_is_refused),
        cmocka_unit_test(heads_that_break_the_rules_reset_their_stream),
        cmocka_unit_test(a_length_that_is_not_the_bodys_resets_the_stream),
        cmocka_unit_test(heads_are_limited),
        cmocka_unit_test(a_header_bomb_ends_the_connection),
        cmocka_unit_test(floods_end_the_connection),
        cmocka_unit_test(streams_past_the_limit_are_refused),
        cmocka_unit_test(a_body_beyond_its_window_is_an_error_of_flow_control),
        cmocka_unit_test(an_exchange_may_be_cut_at_every_byte),
        cmocka_unit_test(any_bit_of_an_exchange_may_be_flipped),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
