/* HTTP/2 between a client that keeps the rules and a server. What it does to those who don't is in
 * http2_hostile_test.c. */
#include <zstd.h>

#include "common/base/budget.h"
#include "tests/unit/net/raw2.h"

enum { BODY_MAX = 8 << 20, SMALL_BODY_MAX = 10, BUDGET = 20 << 20 };

static Budget bodies;
static HttpServer *server;
static unsigned port;
static Parked parked = PARKED_INIT;

static void handle_show(HttpRequest *request, void *context) {
    Buf body;
    Str value;

    (void)context;
    buf_init(&body, 0);
    buf_printf(&body, "%d %.*s ?%.*s host=%.*s x=%.*s", http_is_http2(request),
               STR_ARG(http_path(request)), STR_ARG(http_query_string(request)),
               STR_ARG(http_header(request, "Host")), STR_ARG(http_header(request, "X-Some")));
    if (http_param(request, "q", 0, &value)) buf_printf(&body, " q=%.*s", STR_ARG(value));
    http_set_header(request, "X-Given", STR("a value"));
    http_respond_buf(request, 200, "text/plain", &body);
}

static void handle_trailers(HttpRequest *request, void *context) {
    (void)context;
    http_set_trailer(request, "X-Sum", STR("42"));
    http_set_trailer(request, "X-More", STR("yes"));
    http_respond(request, 200, "application/x", http_body(request));
}

static void handle_lines(HttpRequest *request, void *context) {
    Buf body;

    (void)context;
    buf_init(&body, 0);
    for (int i = 0; i < 2000; i++) buf_append(&body, "line\n", 5);
    http_respond_buf(request, 200, "text/plain", &body);
}

static void handle_unavailable(HttpRequest *request, void *context) {
    Error err;

    (void)context;
    (void)error_set(&err, ERR_UNAVAILABLE, "busy");
    http_respond_error(request, &err);
}

static int setup(void **state) {
    HttpServerOptions options = test_options();

    (void)state;
    budget_init(&bodies, "bodies", BUDGET, NULL);
    options.body_bytes_max = BODY_MAX;
    options.bodies = &bodies;
    server = test_server(&options,
                         (HttpRoute[]){
                             {HTTP_GET_, "/hello", handle_hello, NULL, 0},
                             {HTTP_GET_ | HTTP_POST_, "/echo", handle_echo, NULL, 0},
                             {HTTP_POST_, "/small", handle_echo, NULL, SMALL_BODY_MAX},
                             {HTTP_POST_, "/large", handle_echo, NULL, BUDGET * 4},
                             {HTTP_GET_ | HTTP_POST_, "/show", handle_show, NULL, 0},
                             {HTTP_GET_ | HTTP_POST_, "/park", handle_park, &parked, 0},
                             {HTTP_POST_, "/trailers", handle_trailers, NULL, 0},
                             {HTTP_GET_, "/lines", handle_lines, NULL, 0},
                             {HTTP_GET_, "/busy", handle_unavailable, NULL, 0},
                         },
                         9);
    port = http_server_port(server);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_server_free(server);
    assert_int_equal(budget_used(&bodies), 0);
    return 0;
}

static void a_connection_serves_many_requests(void **state) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;

    (void)state;
    for (uint32_t id = 1; id < 400; id += 2) {
        assert_true(raw2_get(&c, id, "/hello"));
        raw2_expect(&c, id, 200, "hello\n");
    }
    assert_true(raw2_get(&c, 401, "/hello"));
    answer = raw2_read(&c, 401);
    assert_true(str_equal(raw2_field(&answer.head, "content-length"), STR("6")));
    assert_true(str_equal(raw2_field(&answer.head, "content-type"), STR("text/plain")));
    assert_true(str_ends_with(raw2_field(&answer.head, "date"), STR(" GMT")));
    raw2_answer_done(&answer);
    raw2_close(&c);
}

static void the_same_port_still_speaks_http_1_1(void **state) {
    (void)state;
    raw_expect_alone(port, "GET /show HTTP/1.1\r\nHost: x\r\n\r\n", 200, "0 /show ? host=x x=");
    raw_expect_alone(port, "PUT /show HTTP/1.1\r\nHost: x\r\n\r\n", 405, NULL);
    raw_expect_alone(port, "PROPFIND /show HTTP/1.1\r\nHost: x\r\n\r\n", 501, NULL);
}

static void the_preface_may_come_byte_by_byte(void **state) {
    (void)state;
    for (size_t cut = 1; cut < sizeof RAW2_PREFACE - 1; cut++) {
        Raw2 c = raw2_bare(port);

        for (size_t i = 0; i < sizeof RAW2_PREFACE - 1; i++) {
            assert_true(raw_send_bytes(c.fd, &RAW2_PREFACE[i], 1));
            if (i == cut) clock_sleep_ms(1);
        }
        assert_true(raw2_frame(&c, NGHTTP2_SETTINGS, 0, 0, "", 0));
        assert_true(raw2_get(&c, 1, "/hello"));
        raw2_expect(&c, 1, 200, "hello\n");
        raw2_close(&c);
    }
}

static void path_query_and_headers_are_read_as_sent(void **state) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;

    (void)state;
    assert_true(raw2_head(&c, 1, "GET", "/show?a=1&q=%20z", "x-some: thing\n", true));
    answer = raw2_read(&c, 1);
    assert_true(str_equal(buf_str(&answer.body), STR("1 /show ?a=1&q=%20z host=x x=thing q= z")));
    assert_true(str_equal(raw2_field(&answer.head, "x-given"), STR("a value")));
    raw2_answer_done(&answer);
    raw2_close(&c);
}

/* Sends `len` bytes as the windows allow, and reads the answer. */
static void echo(Raw2 *c, uint32_t id, size_t len) {
    Buf body;
    Raw2Answer answer;
    size_t at = 0;

    buf_init(&body, 0);
    for (size_t i = 0; i < len; i++) buf_append_byte(&body, (char)(i * 7 + i / 251));
    assert_true(raw2_head(c, id, "POST", "/echo", "", len == 0));
    raw2_answer_init(&answer);
    /* Its windows are a megabyte at least after SETTINGS, and given back as it reads. */
    while (at < len) {
        size_t piece = MIN(len - at, (size_t)16384);

        assert_true(raw2_data(c, id, str_slice(buf_str(&body), at, piece), at + piece == len));
        at += piece;
        /* The server gives back half a window at once: waiting for that keeps both sides honest. */
        if (at % (512 << 10) == 0 && at < len)
            while (raw2_step(c, id, &answer) != NGHTTP2_WINDOW_UPDATE) assert_false(c->is_ended);
    }
    while (!answer.is_whole && raw2_step(c, id, &answer) >= 0) {
    }
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, len);
    if (len > 0) assert_memory_equal(answer.body.ptr, body.ptr, len);
    raw2_answer_done(&answer);
    buf_done(&body);
}

static void bodies_of_all_sizes_come_whole(void **state) {
    static const size_t sizes[] = {0,     1,     16383, 16384,   16385,
                                   65535, 65536, 70000, 1 << 20, (5 << 20) + 3};
    Raw2 c = raw2_open(port);

    (void)state;
    assert_int_equal(raw2_step(&c, 0, NULL), NGHTTP2_SETTINGS);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) echo(&c, (uint32_t)(2 * i + 1), sizes[i]);
    raw2_close(&c);
}

static void requests_of_one_connection_are_answered_in_any_order(void **state) {
    Raw2 c = raw2_open(port);
    HttpRequest *first, *second;

    (void)state;
    assert_true(raw2_get(&c, 1, "/park"));
    first = parked_take(&parked);
    assert_true(raw2_get(&c, 3, "/park"));
    second = parked_take(&parked);
    assert_true(raw2_get(&c, 5, "/hello"));
    raw2_expect(&c, 5, 200, "hello\n");
    http_respond(second, 200, NULL, STR("second"));
    raw2_expect(&c, 3, 200, "second");
    http_respond(first, 200, NULL, STR("first"));
    raw2_expect(&c, 1, 200, "first");
    raw2_close(&c);
}

static void refusals_leave_the_connection_as_it_is(void **state) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;

    (void)state;
    assert_true(raw2_get(&c, 1, "/nothing"));
    raw2_expect(&c, 1, 404, "404 page not found\n");
    assert_true(raw2_head(&c, 3, "PUT", "/hello", "", true));
    answer = raw2_read(&c, 3);
    assert_int_equal(answer.status, 405);
    assert_true(str_equal(raw2_field(&answer.head, "allow"), STR("GET, HEAD")));
    raw2_answer_done(&answer);
    assert_true(raw2_head(&c, 5, "PROPFIND", "/hello", "", true));
    raw2_expect(&c, 5, 501, NULL);
    assert_true(raw2_get(&c, 7, "/hello%zz"));
    raw2_expect(&c, 7, 400, NULL);
    assert_true(raw2_get(&c, 9, "/show?a=%zz"));
    raw2_expect(&c, 9, 400, NULL);
    assert_true(raw2_get(&c, 11, "/busy"));
    answer = raw2_read(&c, 11);
    assert_int_equal(answer.status, 503);
    assert_true(str_equal(raw2_field(&answer.head, "retry-after"), STR("1")));
    raw2_answer_done(&answer);
    assert_true(raw2_head(&c, 13, "OPTIONS", "*", "", true));
    raw2_expect(&c, 13, 404, NULL);
    assert_true(raw2_head(&c, 15, "GET", "/hello", "host: other\n", true));
    raw2_expect(&c, 15, 400, NULL);
    assert_true(raw2_head(&c, 17, "GET", "/hello", "expect: wonders\n", true));
    raw2_expect(&c, 17, 417, NULL);
    assert_true(raw2_get(&c, 19, "/hello"));
    raw2_expect(&c, 19, 200, "hello\n");
    raw2_close(&c);
}

static void head_is_get_without_the_body(void **state) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;

    (void)state;
    assert_true(raw2_head(&c, 1, "HEAD", "/hello", "", true));
    answer = raw2_read(&c, 1);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, 0);
    assert_true(str_equal(raw2_field(&answer.head, "content-length"), STR("6")));
    raw2_answer_done(&answer);
    raw2_close(&c);
}

static void a_body_over_the_limit_is_413_at_once(void **state) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;

    (void)state;
    assert_true(raw2_head(&c, 1, "POST", "/small", "content-length: 11\n", false));
    answer = raw2_read(&c, 1);
    assert_int_equal(answer.status, 413);
    assert_int_equal(answer.reset, -1);
    raw2_answer_done(&answer);
    /* One that turns out to be: and the client is told to stop. */
    assert_true(raw2_head(&c, 3, "POST", "/small", "", false));
    assert_true(raw2_data(&c, 3, STR("0123456789"), false));
    assert_true(raw2_data(&c, 3, STR("x"), false));
    raw2_expect(&c, 3, 413, NULL);
    raw2_answer_init(&answer);
    while (answer.reset < 0) assert_true(raw2_step(&c, 3, &answer) >= 0);
    assert_int_equal(answer.reset, NGHTTP2_NO_ERROR);
    raw2_answer_done(&answer);
    assert_true(raw2_head(&c, 5, "POST", "/small", "content-length: 10\n", false));
    assert_true(raw2_data(&c, 5, STR("0123456789"), true));
    raw2_expect(&c, 5, 200, "0123456789");
    raw2_close(&c);
}

static void bodies_beyond_the_budget_are_503(void **state) {
    Raw2 c = raw2_open(port);
    static const char zeros[16384];
    Raw2Answer answer;

    (void)state;
    assert_true(raw2_head(&c, 1, "POST", "/large", "", false));
    raw2_answer_init(&answer);
    while (answer.status == 0) {
        if (!raw2_data(&c, 1, (Str){zeros, sizeof zeros}, false)) break;
        /* The window comes back in halves; more than the budget is never on its way. */
        for (int i = 0; i < 31; i++)
            assert_true(raw2_data(&c, 1, (Str){zeros, sizeof zeros}, false));
        while (answer.status == 0) {
            int type = raw2_step(&c, 1, &answer);

            assert_true(type >= 0);
            if (type == NGHTTP2_WINDOW_UPDATE) break;
        }
    }
    assert_int_equal(answer.status, 503);
    raw2_answer_done(&answer);
    assert_true(raw2_get(&c, 3, "/hello"));
    raw2_expect(&c, 3, 200, "hello\n");
    raw2_close(&c);
}

static void a_client_that_expects_is_told_to_continue(void **state) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;

    (void)state;
    assert_true(raw2_head(&c, 1, "POST", "/echo", "expect: 100-continue\n", false));
    raw2_answer_init(&answer);
    while (answer.continues == 0) assert_true(raw2_step(&c, 1, &answer) >= 0);
    raw2_answer_done(&answer);
    assert_true(raw2_data(&c, 1, STR("body"), true));
    raw2_expect(&c, 1, 200, "body");
    raw2_close(&c);
}

static void trailers_follow_the_body(void **state) {
    Raw2 c = raw2_open(port);

    (void)state;
    for (uint32_t id = 1; id < 5; id += 2) {
        Raw2Answer answer;

        assert_true(raw2_head(&c, id, "POST", "/trailers", "", id == 1));
        if (id != 1) assert_true(raw2_data(&c, id, STR("body"), true));
        answer = raw2_read(&c, id);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body.len, id == 1 ? 0 : 4);
        assert_true(str_equal(raw2_field(&answer.trailers, "x-sum"), STR("42")));
        assert_true(str_equal(raw2_field(&answer.trailers, "x-more"), STR("yes")));
        assert_int_equal(raw2_field(&answer.head, "content-length").len, 0);
        raw2_answer_done(&answer);
    }
    /* Those of a client end its body, and say nothing to a handler. */
    assert_true(raw2_head(&c, 5, "POST", "/echo", "", false));
    assert_true(raw2_data(&c, 5, STR("abc"), false));
    assert_true(raw2_frame(&c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                           5, "\0\1x\1y", 5));
    raw2_expect(&c, 5, 200, "abc");
    raw_expect_alone(port, "POST /trailers HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok", 200,
                     "ok");
    raw2_close(&c);
}

static void answers_are_compressed_as_the_client_accepts(void **state) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;
    char text[20000];

    (void)state;
    assert_true(raw2_head(&c, 1, "GET", "/lines", "accept-encoding: zstd\n", true));
    answer = raw2_read(&c, 1);
    assert_true(str_equal(raw2_field(&answer.head, "content-encoding"), STR("zstd")));
    assert_int_equal(ZSTD_decompress(text, sizeof text, answer.body.ptr, answer.body.len), 10000);
    raw2_answer_done(&answer);
    raw2_close(&c);
}

static void pings_are_answered(void **state) {
    Raw2 c = raw2_open(port);

    (void)state;
    assert_true(raw2_frame(&c, NGHTTP2_PING, 0, 0, "12345678", 8));
    while (c.pings_acked == 0) assert_true(raw2_step(&c, 0, NULL) >= 0);
    raw2_close(&c);
}

static void a_reset_raises_the_cancel_flag(void **state) {
    Raw2 c = raw2_open(port);
    HttpRequest *request;

    (void)state;
    assert_true(raw2_get(&c, 1, "/park"));
    request = parked_take(&parked);
    assert_false(http_cancelled(request));
    assert_true(raw2_reset(&c, 1, NGHTTP2_CANCEL));
    wait_until_cancelled(request);
    http_respond(request, 200, NULL, STR("to nobody"));
    assert_true(raw2_get(&c, 3, "/hello"));
    raw2_expect(&c, 3, 200, "hello\n");
    assert_true(raw2_get(&c, 5, "/park"));
    request = parked_take(&parked);
    raw2_close(&c);
    wait_until_cancelled(request);
    http_respond(request, 200, NULL, STR("to nobody"));
}

static void who_only_stops_sending_gets_the_answer(void **state) {
    Raw2 c = raw2_open(port);
    HttpRequest *request;

    (void)state;
    assert_true(raw2_get(&c, 1, "/park"));
    request = parked_take(&parked);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    wait_until_cancelled(request);
    http_respond(request, 200, NULL, STR("late"));
    raw2_expect(&c, 1, 200, "late");
    while (raw2_step(&c, 0, NULL) >= 0) {
    }
    raw2_close(&c);
}

/* ---------- piece by piece ---------- */

enum { PIECES = 400, PIECE_BYTES = 10000 };

typedef struct Writer {
    pthread_t thread;
    HttpRequest *request;
    atomic_uint written;
    bool aborts;
    ErrCode code;
} Writer;

static void *writer_main(void *context) {
    Writer *writer = context;
    char piece[PIECE_BYTES];
    Error err;

    http_respond_begin(writer->request, 200, "application/x");
    for (unsigned i = 0; i < PIECES; i++) {
        memset(piece, (int)('a' + i % 26), sizeof piece);
        writer->code = http_respond_write(writer->request, (Str){piece, sizeof piece}, &err);
        if (writer->code != ERR_OK) break;
        atomic_fetch_add(&writer->written, 1);
    }
    http_set_trailer(writer->request, "X-End", STR("reached"));
    if (writer->aborts)
        http_respond_abort(writer->request);
    else
        http_respond_end(writer->request);
    return NULL;
}

static void writer_start(Writer *writer, Raw2 *c, uint32_t id, bool aborts) {
    *writer = (Writer){.aborts = aborts};
    assert_true(raw2_get(c, id, "/park"));
    writer->request = parked_take(&parked);
    assert_int_equal(pthread_create(&writer->thread, NULL, writer_main, writer), 0);
}

static void a_stream_waits_for_a_slow_reader(void **state) {
    Raw2 c = raw2_open(port);
    Writer writer;
    Raw2Answer answer;

    (void)state;
    c.is_stingy = true;
    writer_start(&writer, &c, 1, false);
    /* The first window of 65,535 bytes: no more comes, and the writer is held. */
    raw2_answer_init(&answer);
    while (answer.body.len < 65535) assert_true(raw2_step(&c, 1, &answer) >= 0);
    for (int i = 0; i < 100 && atomic_load(&writer.written) < 20; i++) clock_sleep_ms(1);
    assert_true(atomic_load(&writer.written) < 100);
    c.is_stingy = false;
    assert_true(raw2_window(&c, 0, 65535));
    assert_true(raw2_window(&c, 1, 65535));
    while (!answer.is_whole) assert_true(raw2_step(&c, 1, &answer) >= 0);
    assert_int_equal(pthread_join(writer.thread, NULL), 0);
    assert_int_equal(writer.code, ERR_OK);
    assert_int_equal(answer.body.len, PIECES * PIECE_BYTES);
    for (size_t i = 0; i < answer.body.len; i++)
        if (answer.body.ptr[i] != (char)('a' + i / PIECE_BYTES % 26)) fail_msg("byte %zu", i);
    assert_true(str_equal(raw2_field(&answer.trailers, "x-end"), STR("reached")));
    raw2_answer_done(&answer);
    raw2_close(&c);
}

static void a_stream_nobody_reads_is_cancelled(void **state) {
    Raw2 c = raw2_open(port);
    Writer writer;

    (void)state;
    c.is_stingy = true;
    for (uint32_t id = 1; id < 5; id += 2) {
        writer_start(&writer, &c, id, false);
        if (id == 1)
            assert_true(raw2_reset(&c, id, NGHTTP2_CANCEL));
        else
            raw2_close(&c);
        assert_int_equal(pthread_join(writer.thread, NULL), 0);
        assert_int_equal(writer.code, ERR_CANCELLED);
    }
}

static void an_aborted_stream_is_reset(void **state) {
    Raw2 c = raw2_open(port);
    Writer writer;
    Raw2Answer answer;

    (void)state;
    writer_start(&writer, &c, 1, true);
    answer = raw2_read(&c, 1);
    assert_false(answer.is_whole);
    assert_int_equal(answer.reset, NGHTTP2_INTERNAL_ERROR);
    raw2_answer_done(&answer);
    assert_int_equal(pthread_join(writer.thread, NULL), 0);
    assert_true(raw2_get(&c, 3, "/hello"));
    raw2_expect(&c, 3, 200, "hello\n");
    raw2_close(&c);
}

/* ---------- times and the end ---------- */

static HttpServer *impatient(HttpServerOptions options) {
    return test_server(&options,
                       (HttpRoute[]){
                           {HTTP_GET_, "/hello", handle_hello, NULL, 0},
                           {HTTP_POST_, "/echo", handle_echo, NULL, 0},
                           {HTTP_GET_, "/park", handle_park, &parked, 0},
                           {HTTP_GET_, "/lines", handle_lines, NULL, 0},
                       },
                       4);
}

static void a_body_that_stops_is_408(void **state) {
    HttpServerOptions options = test_options();
    CLEANUP(http_server_free) HttpServer *own = NULL;
    Raw2 c;

    (void)state;
    options.body_timeout_ms = 30;
    own = impatient(options);
    c = raw2_open(http_server_port(own));
    assert_true(raw2_head(&c, 1, "POST", "/echo", "", false));
    assert_true(raw2_data(&c, 1, STR("so far"), false));
    raw2_expect(&c, 1, 408, NULL);
    assert_true(raw2_get(&c, 3, "/hello"));
    raw2_expect(&c, 3, 200, "hello\n");
    raw2_close(&c);
}

static void a_window_that_stays_shut_resets_the_stream(void **state) {
    static const char no_window[] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0, 0, 0, 0};
    HttpServerOptions options = test_options();
    CLEANUP(http_server_free) HttpServer *own = NULL;
    Raw2Answer answer;
    Raw2 c;

    (void)state;
    options.write_timeout_ms = 30;
    own = impatient(options);
    c = raw2_open_with(http_server_port(own), no_window, sizeof no_window);
    assert_true(raw2_get(&c, 1, "/lines"));
    answer = raw2_read(&c, 1);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.reset, NGHTTP2_CANCEL);
    raw2_answer_done(&answer);
    raw2_close(&c);
}

static void an_idle_connection_is_told_to_go(void **state) {
    HttpServerOptions options = test_options();
    CLEANUP(http_server_free) HttpServer *own = NULL;
    Raw2 c;

    (void)state;
    options.idle_timeout_ms = 30;
    own = impatient(options);
    c = raw2_open(http_server_port(own));
    assert_int_equal(raw2_goaway(&c), NGHTTP2_NO_ERROR);
    raw2_close(&c);
    /* One whose handler takes longer is not idle. */
    c = raw2_open(http_server_port(own));
    assert_true(raw2_get(&c, 1, "/park"));
    HttpRequest *request = parked_take(&parked);
    clock_sleep_ms(100);
    http_respond(request, 200, NULL, STR("late"));
    raw2_expect(&c, 1, 200, "late");
    assert_int_equal(raw2_goaway(&c), NGHTTP2_NO_ERROR);
    raw2_close(&c);
}

static void a_head_that_takes_too_long_ends_the_connection(void **state) {
    HttpServerOptions options = test_options();
    CLEANUP(http_server_free) HttpServer *own = NULL;
    Raw2 c;

    (void)state;
    options.header_timeout_ms = 30;
    own = impatient(options);
    c = raw2_open(http_server_port(own));
    assert_true(raw2_frame(&c, NGHTTP2_HEADERS, 0, 1, "\0\7:method\3GET", 13));
    assert_int_equal(raw2_goaway(&c), NGHTTP2_ENHANCE_YOUR_CALM);
    raw2_close(&c);
    /* And one that never says what it can do. */
    c = raw2_bare(http_server_port(own));
    assert_true(raw_send(c.fd, RAW2_PREFACE));
    assert_int_equal(raw2_goaway(&c), NGHTTP2_SETTINGS_TIMEOUT);
    raw2_close(&c);
    c = raw2_bare(http_server_port(own));
    raw_expect(c.fd, "PRI * HT", 400, NULL); /* which is no HTTP/1.1 either */
    raw2_close(&c);
}

static void *drain_main(void *context) {
    http_server_drain(context, 20000);
    return NULL;
}

static void draining_says_goaway_and_waits_for_what_is_in_flight(void **state) {
    CLEANUP(http_server_free) HttpServer *own = impatient(test_options());
    Raw2 busy = raw2_open(http_server_port(own)), idle = raw2_open(http_server_port(own));
    HttpRequest *request;
    pthread_t thread;

    (void)state;
    assert_true(raw2_get(&idle, 1, "/hello"));
    raw2_expect(&idle, 1, 200, "hello\n");
    assert_true(raw2_get(&busy, 1, "/park"));
    request = parked_take(&parked);
    assert_int_equal(pthread_create(&thread, NULL, drain_main, own), 0);
    while (busy.goaway < 0) assert_true(raw2_step(&busy, 0, NULL) >= 0);
    /* What crossed the notice on its way is answered still. */
    assert_true(raw2_get(&busy, 3, "/hello"));
    raw2_expect(&busy, 3, 200, "hello\n");
    http_respond(request, 200, NULL, STR("in flight"));
    raw2_expect(&busy, 1, 200, "in flight");
    assert_int_equal(raw2_goaway(&busy), NGHTTP2_NO_ERROR);
    assert_int_equal(raw2_goaway(&idle), NGHTTP2_NO_ERROR);
    assert_int_equal(pthread_join(thread, NULL), 0);
    raw2_close(&busy);
    raw2_close(&idle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_serves_many_requests),
        cmocka_unit_test(the_same_port_still_speaks_http_1_1),
        cmocka_unit_test(the_preface_may_come_byte_by_byte),
        cmocka_unit_test(path_query_and_headers_are_read_as_sent),
        cmocka_unit_test(bodies_of_all_sizes_come_whole),
        cmocka_unit_test(requests_of_one_connection_are_answered_in_any_order),
        cmocka_unit_test(refusals_leave_the_connection_as_it_is),
        cmocka_unit_test(head_is_get_without_the_body),
        cmocka_unit_test(a_body_over_the_limit_is_413_at_once),
        cmocka_unit_test(bodies_beyond_the_budget_are_503),
        cmocka_unit_test(a_client_that_expects_is_told_to_continue),
        cmocka_unit_test(trailers_follow_the_body),
        cmocka_unit_test(answers_are_compressed_as_the_client_accepts),
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(a_reset_raises_the_cancel_flag),
        cmocka_unit_test(who_only_stops_sending_gets_the_answer),
        cmocka_unit_test(a_stream_waits_for_a_slow_reader),
        cmocka_unit_test(a_stream_nobody_reads_is_cancelled),
        cmocka_unit_test(an_aborted_stream_is_reset),
        cmocka_unit_test(a_body_that_stops_is_408),
        cmocka_unit_test(a_window_that_stays_shut_resets_the_stream),
        cmocka_unit_test(an_idle_connection_is_told_to_go),
        cmocka_unit_test(a_head_that_takes_too_long_ends_the_connection),
        cmocka_unit_test(draining_says_goaway_and_waits_for_what_is_in_flight),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
