/*
 * Clients that are slow, stop, or leave. Timeouts are tiny so that they pass, and nothing asserts
 * that something took less than some time.
 */
#include <libdeflate.h>
#include <zstd.h>

#include "tests/unit/net/raw.h"

static Parked parked = PARKED_INIT;

static void handle_large(HttpRequest *request, void *context) {
    Buf body;

    buf_init(&body, 0);
    buf_append_zeros(&body, *(size_t *)context);
    http_respond_buf(request, 200, "application/octet-stream", &body);
}

static size_t large_bytes = 32 << 20;

static HttpServer *server_with(HttpServerOptions options) {
    return test_server(&options,
                       (HttpRoute[]){
                           {HTTP_GET_, "/hello", handle_hello, NULL, 0},
                           {HTTP_POST_, "/echo", handle_echo, NULL, 0},
                           {HTTP_GET_ | HTTP_POST_, "/park", handle_park, &parked, 0},
                           {HTTP_GET_, "/large", handle_large, &large_bytes, 0},
                       },
                       4);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void a_head_that_takes_too_long_is_408(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *server;
    int fd;

    (void)state;
    options.header_timeout_ms = 30;
    server = server_with(options);
    fd = raw_connect(http_server_port(server));
    raw_expect(fd, "GET /hello HTTP/1.1\r\nHost:", 408, NULL);
    assert_true(raw_is_closed(fd));
    close(fd);
    /* One that never says a word is just let go. */
    fd = raw_connect(http_server_port(server));
    assert_true(raw_is_closed(fd));
    close(fd);
    /* Bytes that drip in don't buy more time. */
    fd = raw_connect(http_server_port(server));
    for (int i = 0; i < 10000 && raw_send(fd, i == 0 ? "GET /" : "a"); i++) clock_sleep_ms(1);
    close(fd);
    http_server_free(server);
}

static void a_body_that_stops_is_408(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *server;
    int fd;

    (void)state;
    options.body_timeout_ms = 30;
    server = server_with(options);
    fd = raw_connect(http_server_port(server));
    raw_expect(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123", 408, NULL);
    close(fd);
    fd = raw_connect(http_server_port(server));
    raw_expect(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12",
               408, NULL);
    close(fd);
    http_server_free(server);
}

static void an_idle_connection_is_closed_without_a_word(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *server;
    Buf rest;
    int fd;

    (void)state;
    options.idle_timeout_ms = 30;
    server = server_with(options);
    fd = raw_connect(http_server_port(server));
    raw_expect(fd, GET("/hello"), 200, "hello\n");
    buf_init(&rest, 0);
    raw_read_all(fd, &rest);
    assert_int_equal(rest.len, 0);
    close(fd);
    http_server_free(server);
}

static void a_handler_may_take_longer_than_all_timeouts(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *server;
    int fd;

    (void)state;
    options.header_timeout_ms = options.body_timeout_ms = options.idle_timeout_ms = 10;
    server = server_with(options);
    fd = raw_connect(http_server_port(server));
    assert_true(raw_send(fd, GET("/park")));
    clock_sleep_ms(60);
    http_respond(parked_take(&parked), 200, "text/plain", STR("late"));
    raw_expect(fd, "", 200, "late");
    close(fd);
    http_server_free(server);
}

static void a_reader_that_stops_is_let_go(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *server;
    bool let_go = false;

    (void)state;
    options.write_timeout_ms = 50;
    server = server_with(options);
    /* On a busy machine the answer may only begin while the reader still sleeps. */
    for (unsigned wait_ms = 400; !let_go && wait_ms < 60000; wait_ms *= 4) {
        int fd = raw_connect(http_server_port(server));
        Buf got;

        assert_true(raw_send(fd, GET("/large")));
        clock_sleep_ms(wait_ms);
        buf_init(&got, 0);
        raw_read_all(fd, &got);
        let_go = got.len < large_bytes;
        buf_done(&got);
        close(fd);
    }
    assert_true(let_go);
    http_server_free(server);
}

static void a_large_answer_reaches_a_slow_reader_whole(void **state) {
    HttpServer *server = server_with(test_options());
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;

    (void)state;
    assert_true(raw_send(fd, GET("/large")));
    clock_sleep_ms(50);
    assert_true(raw_send(fd, GET("/hello"))); /* and doesn't disturb what is asked meanwhile */
    answer = raw_read(fd, false);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, large_bytes);
    raw_answer_done(&answer);
    raw_expect(fd, "", 200, "hello\n");
    close(fd);
    http_server_free(server);
}

static void hanging_up_raises_the_cancel_flag(void **state) {
    HttpServer *server = server_with(test_options());

    (void)state;
    for (int with_flood = 0; with_flood < 2; with_flood++) {
        int fd = raw_connect(http_server_port(server));
        HttpRequest *request;
        char *flood = calloc(1, 100000);

        assert_true(raw_send(fd, "POST /park HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"));
        request = parked_take(&parked);
        assert_false(http_cancelled(request));
        /* Also when so much was sent ahead that the server stopped reading. */
        if (with_flood) assert_true(raw_send_bytes(fd, flood, 100000));
        close(fd);
        wait_until_cancelled(request);
        assert_true(atomic_load(http_cancel_flag(request)));
        /* All that was read is still there. */
        assert_true(str_equal(http_body(request), STR("abc")));
        assert_true(str_equal(http_header(request, "host"), STR("x")));
        http_respond(request, 200, "text/plain", STR("nobody reads this"));
        free(flood);
    }
    http_server_free(server);
}

static void who_only_stops_sending_gets_the_answer(void **state) {
    HttpServer *server = server_with(test_options());
    int fd = raw_connect(http_server_port(server));
    HttpRequest *request;

    (void)state;
    assert_true(raw_send(fd, GET("/park")));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    request = parked_take(&parked);
    wait_until_cancelled(request);
    http_respond(request, 200, "text/plain", STR("still"));
    raw_expect(fd, "", 200, "still");
    assert_true(raw_is_closed(fd));
    close(fd);
    http_server_free(server);
}

typedef struct Drain {
    HttpServer *server;
    uint64_t timeout_ms;
} Drain;

static void *drain_main(void *context) {
    const Drain *drain = context;

    http_server_drain(drain->server, drain->timeout_ms);
    return NULL;
}

static void draining_waits_for_what_is_in_flight(void **state) {
    Drain drain = {server_with(test_options()), RAW_WAIT_MS};
    int busy = raw_connect(http_server_port(drain.server));
    int idle = raw_connect(http_server_port(drain.server));
    unsigned port = http_server_port(drain.server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    HttpRequest *request;
    RawAnswer answer;
    pthread_t thread;
    int late;

    (void)state;
    raw_expect(idle, GET("/hello"), 200, "hello\n");
    assert_true(raw_send(busy, GET("/park")));
    request = parked_take(&parked);
    assert_int_equal(pthread_create(&thread, NULL, drain_main, &drain), 0);
    assert_true(raw_is_closed(idle)); /* at once */
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    do { /* the listener is gone soon, if not yet */
        late = socket(AF_INET, SOCK_STREAM, 0);
    } while (connect(late, (struct sockaddr *)&address, sizeof address) == 0 && close(late) == 0);
    close(late);
    assert_false(http_cancelled(request));
    http_respond(request, 200, "text/plain", STR("in time"));
    answer = raw_read(busy, false);
    assert_int_equal(answer.status, 200);
    assert_true(str_equal(raw_header(&answer, "connection"), STR("close")));
    raw_answer_done(&answer);
    pthread_join(thread, NULL);
    close(busy);
    close(idle);
    http_server_free(drain.server);
}

static void draining_gives_up_after_its_time(void **state) {
    HttpServer *server = server_with(test_options());
    int fd = raw_connect(http_server_port(server));
    HttpRequest *request, *streaming;
    Error err;
    int other = raw_connect(http_server_port(server));

    (void)state;
    assert_true(raw_send(fd, GET("/park")));
    request = parked_take(&parked);
    assert_true(raw_send(other, GET("/park")));
    streaming = parked_take(&parked);
    http_respond_begin(streaming, 200, "text/plain");
    assert_ok(http_respond_write(streaming, STR("x"), &err), &err);
    http_server_drain(server, 20);
    assert_true(http_cancelled(request));
    assert_true(raw_is_closed(fd));
    http_server_free(server);
    /* Who is late answers all the same, to nobody. */
    assert_true(str_equal(http_path(request), STR("/park")));
    http_respond(request, 200, "text/plain", STR("too late"));
    assert_int_equal(http_respond_write(streaming, STR("y"), &err), ERR_CANCELLED);
    http_respond_end(streaming);
    close(fd);
    close(other);
}

/* --- piece by piece --- */

enum { PIECES = 1000, PIECE_BYTES = 64 << 10 };

typedef struct Writer {
    HttpRequest *request;
    _Atomic size_t written;
    ErrCode code;
    bool aborts;
} Writer;

static void fill(char *piece, size_t index) {
    for (size_t i = 0; i < PIECE_BYTES; i++) piece[i] = (char)("moraine"[i % 7] + index % 5);
}

static void *writer_main(void *context) {
    Writer *writer = context;
    char *piece = malloc(PIECE_BYTES);
    Error err;

    for (size_t i = 0; i < PIECES && writer->code == ERR_OK; i++) {
        fill(piece, i);
        writer->code = http_respond_write(writer->request, (Str){piece, PIECE_BYTES}, &err);
        if (writer->code == ERR_OK) atomic_fetch_add(&writer->written, PIECE_BYTES);
    }
    if (writer->aborts)
        http_respond_abort(writer->request);
    else
        http_respond_end(writer->request);
    free(piece);
    return NULL;
}

static pthread_t start_writer(Writer *writer, int fd, const char *headers, const char *type) {
    char text[300];
    pthread_t thread;

    (void)snprintf(text, sizeof text, "GET /park HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    assert_true(raw_send(fd, text));
    writer->request = parked_take(&parked);
    http_respond_begin(writer->request, 200, type);
    assert_int_equal(pthread_create(&thread, NULL, writer_main, writer), 0);
    return thread;
}

static void assert_whole(const Buf *body) {
    char *piece = malloc(PIECE_BYTES);

    assert_int_equal(body->len, (size_t)PIECES * PIECE_BYTES);
    for (size_t i = 0; i < PIECES; i++) {
        fill(piece, i);
        assert_memory_equal(body->ptr + i * PIECE_BYTES, piece, PIECE_BYTES);
    }
    free(piece);
}

static void a_stream_waits_for_a_slow_reader(void **state) {
    HttpServer *server = server_with(test_options());
    int fd = raw_connect(http_server_port(server));
    Writer writer = {0};
    pthread_t thread = start_writer(&writer, fd, "", "application/octet-stream");
    size_t before;
    RawAnswer answer;

    (void)state;
    do { /* until it got stuck: it can't write all, however long it takes */
        before = atomic_load(&writer.written);
        clock_sleep_ms(50);
    } while (before == 0 || before != atomic_load(&writer.written));
    assert_true(before < (size_t)PIECES * PIECE_BYTES);
    answer = raw_read(fd, false);
    pthread_join(thread, NULL);
    assert_int_equal(writer.code, ERR_OK);
    assert_int_equal(answer.status, 200);
    assert_true(answer.is_chunked);
    assert_whole(&answer.body);
    raw_answer_done(&answer);
    raw_expect(fd, GET("/hello"), 200, "hello\n");
    close(fd);
    http_server_free(server);
}

static void a_stream_nobody_reads_is_cancelled(void **state) {
    HttpServer *server = server_with(test_options());
    int fd = raw_connect(http_server_port(server));
    Writer writer = {0};
    pthread_t thread = start_writer(&writer, fd, "", "application/octet-stream");

    (void)state;
    while (atomic_load(&writer.written) == 0) clock_sleep_ms(1);
    close(fd);
    pthread_join(thread, NULL);
    assert_int_equal(writer.code, ERR_CANCELLED);
    http_server_free(server);
}

static void an_aborted_stream_does_not_look_whole(void **state) {
    HttpServer *server = server_with(test_options());
    int fd = raw_connect(http_server_port(server));
    Writer writer = {.aborts = true};
    pthread_t thread = start_writer(&writer, fd, "", "application/octet-stream");
    RawAnswer answer = raw_read(fd, false);

    (void)state;
    pthread_join(thread, NULL);
    assert_int_equal(answer.status, 0);
    raw_answer_done(&answer);
    close(fd);
    http_server_free(server);
}

static void streams_are_compressed_for_who_asks(void **state) {
    static const char *const codings[] = {"gzip", "zstd"};
    HttpServer *server = server_with(test_options());
    int fd = raw_connect(http_server_port(server));
    size_t len = (size_t)PIECES * PIECE_BYTES, made = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        Writer writer = {0};
        char header[100];
        pthread_t thread;
        RawAnswer answer;
        Buf whole;

        (void)snprintf(header, sizeof header, "Accept-Encoding: %s\r\n", codings[i]);
        thread = start_writer(&writer, fd, header, "application/json");
        answer = raw_read(fd, false);
        pthread_join(thread, NULL);
        assert_int_equal(answer.status, 200);
        assert_true(str_equal(raw_header(&answer, "content-encoding"), str_of(codings[i])));
        assert_true(str_equal(raw_header(&answer, "vary"), STR("Accept-Encoding")));
        assert_true(answer.body.len < len / 10);
        buf_init(&whole, 0);
        assert_non_null(buf_reserve(&whole, len));
        if (i == 0) {
            struct libdeflate_decompressor *inflate = libdeflate_alloc_decompressor();

            assert_int_equal(libdeflate_gzip_decompress(inflate, answer.body.ptr, answer.body.len,
                                                        whole.ptr, len, &made),
                             LIBDEFLATE_SUCCESS);
            libdeflate_free_decompressor(inflate);
        } else {
            ZSTD_DCtx *context = ZSTD_createDCtx();
            ZSTD_inBuffer in = {answer.body.ptr, answer.body.len, 0};
            ZSTD_outBuffer out = {whole.ptr, len, 0};

            while (in.pos < in.size)
                assert_false(ZSTD_isError(ZSTD_decompressStream(context, &out, &in)));
            made = out.pos;
            ZSTD_freeDCtx(context);
        }
        whole.len = made;
        assert_whole(&whole);
        buf_done(&whole);
        raw_answer_done(&answer);
    }
    close(fd);
    http_server_free(server);
}

static void handle_stream_at_once(HttpRequest *request, void *context) {
    Error err;

    (void)context;
    http_respond_begin(request, 200, "text/plain");
    assert_ok(http_respond_write(request, STR("one,"), &err), &err);
    assert_ok(http_respond_write(request, (Str){"", 0}, &err), &err);
    assert_ok(http_respond_write(request, STR("two"), &err), &err);
    http_respond_end(request);
}

static void handle_empty_stream(HttpRequest *request, void *context) {
    (void)context;
    http_respond_begin(request, 200, "text/plain");
    http_respond_end(request);
}

static void a_stream_may_be_written_inside_the_handler(void **state) {
    HttpServerOptions options = test_options();
    HttpServer *server =
        test_server(&options,
                    (HttpRoute[]){{HTTP_GET_, "/s", handle_stream_at_once, NULL, 0},
                                  {HTTP_GET_, "/e", handle_empty_stream, NULL, 0}},
                    2);
    int fd = raw_connect(http_server_port(server));
    RawAnswer answer;
    Buf all;

    (void)state;
    raw_expect(fd, GET("/s"), 200, "one,two");
    raw_expect(fd, GET("/e"), 200, "");
    assert_true(raw_send(fd, "HEAD /s HTTP/1.1\r\nHost: x\r\n\r\n"));
    answer = raw_read(fd, true);
    assert_int_equal(answer.status, 200);
    raw_answer_done(&answer);
    raw_expect(fd, GET("/s"), 200, "one,two");
    close(fd);
    /* HTTP/1.0 knows no chunks: the end of the connection is the end of the answer. */
    fd = raw_connect(http_server_port(server));
    assert_true(raw_send(fd, "GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    buf_init(&all, 0);
    raw_read_all(fd, &all);
    assert_true(str_ends_with(buf_str(&all), STR("\r\n\r\none,two")));
    buf_done(&all);
    close(fd);
    http_server_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_takes_too_long_is_408),
        cmocka_unit_test(a_body_that_stops_is_408),
        cmocka_unit_test(an_idle_connection_is_closed_without_a_word),
        cmocka_unit_test(a_handler_may_take_longer_than_all_timeouts),
        cmocka_unit_test(a_reader_that_stops_is_let_go),
        cmocka_unit_test(a_large_answer_reaches_a_slow_reader_whole),
        cmocka_unit_test(hanging_up_raises_the_cancel_flag),
        cmocka_unit_test(who_only_stops_sending_gets_the_answer),
        cmocka_unit_test(draining_waits_for_what_is_in_flight),
        cmocka_unit_test(draining_gives_up_after_its_time),
        cmocka_unit_test(a_stream_waits_for_a_slow_reader),
        cmocka_unit_test(a_stream_nobody_reads_is_cancelled),
        cmocka_unit_test(an_aborted_stream_does_not_look_whole),
        cmocka_unit_test(streams_are_compressed_for_who_asks),
        cmocka_unit_test(a_stream_may_be_written_inside_the_handler),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
