/* gRPC as a client sees it: framing, compression, deadlines, and where the status is. */
#include "common/net/grpc.h"

#include <libdeflate.h>

#include "tests/unit/net/raw2.h"

enum { MESSAGE_MAX = 1000, BODY_MAX = 100000 };

static HttpServer *server;
static unsigned port;
static Parked parked = PARKED_INIT;

/* Sends the message back. */
static void handle_call(HttpRequest *request, void *context) {
    Str message;
    Error err;

    (void)context;
    if (grpc_message(request, MESSAGE_MAX, &message, &err) == ERR_OK)
        grpc_respond(request, message);
    else
        grpc_respond_error(request, &err, 0);
}

/* Fails as the message says. */
static void handle_failure(HttpRequest *request, void *context) {
    Str message = {0};
    Error err;

    (void)context;
    if (grpc_message(request, MESSAGE_MAX, &message, &err) == ERR_OK)
        error_set(&err, (ErrCode)message.ptr[0], "100%% \xc3\xbc\nbad");
    grpc_respond_error(request, &err, 2500);
}

/* Three messages, then as many bytes as the call's say. */
static void handle_many(HttpRequest *request, void *context) {
    Error err, told;
    Str message;

    (void)context;
    if (grpc_message(request, MESSAGE_MAX, &message, &err) != ERR_OK) {
        grpc_respond_error(request, &err, 0);
        return;
    }
    grpc_respond_begin(request);
    for (int i = 0; i < 3; i++) (void)!grpc_respond_write(request, STR("part"), &err);
    error_set(&told, ERR_NOT_FOUND, "nothing more");
    grpc_respond_end(request, message.len > 0 ? &told : NULL);
}

static int setup(void **state) {
    HttpServerOptions options = test_options();

    (void)state;
    options.body_bytes_max = BODY_MAX;
    assert_int_equal(ERR_OK, http_server_new(&options, &server, &(Error){0}));
    grpc_route(server, "/t.T/Call", handle_call, NULL, 0);
    grpc_route(server, "/t.T/Fail", handle_failure, NULL, 0);
    grpc_route(server, "/t.T/Many", handle_many, NULL, 0);
    grpc_route(server, "/t.T/Park", handle_park, &parked, 0);
    http_server_fallback(server, handle_hello, NULL);
    assert_int_equal(ERR_OK, http_server_start(server, &(Error){0}));
    port = http_server_port(server);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_server_free(server);
    return 0;
}

#define CALL "content-type: application/grpc\nte: trailers\n"

static Raw2Answer call_with(const char *path, const char *lines, Str body) {
    Raw2 c = raw2_open(port);
    Raw2Answer answer;

    assert_true(raw2_head(&c, 1, "POST", path, lines, body.len == 0));
    for (size_t at = 0; at < body.len; at += 16384)
        assert_true(raw2_data(&c, 1, str_slice(body, at, 16384), at + 16384 >= body.len));
    answer = raw2_read(&c, 1);
    raw2_close(&c);
    return answer;
}

static void expect_status(const char *path, const char *lines, Str body, const char *status) {
    Raw2Answer answer = call_with(path, lines, body);
    Str got = raw2_field(&answer.head, "grpc-status");

    assert_int_equal(answer.status, 200);
    if (!str_equal(got, str_of(status)))
        fail_msg("grpc-status \"" STR_FMT "\" instead of %s: %.*s", STR_ARG(got), status,
                 STR_ARG(raw2_field(&answer.head, "grpc-message")));
    assert_int_equal(answer.body.len, 0);
    assert_true(str_equal(raw2_field(&answer.head, "content-type"), STR("application/grpc")));
    raw2_answer_done(&answer);
}

static void a_message_comes_and_goes(void **state) {
    Raw2Answer answer = call_with("/t.T/Call", CALL, STR("\0\0\0\0\4abcd"));

    (void)state;
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, 9);
    assert_memory_equal(answer.body.ptr, "\0\0\0\0\4abcd", 9);
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
    raw2_answer_done(&answer);
    answer = call_with("/t.T/Call", "content-type: application/grpc+proto\n", STR("\0\0\0\0\0"));
    assert_int_equal(answer.body.len, 5);
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
    raw2_answer_done(&answer);
}

static void messages_may_be_compressed(void **state) {
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(1);
    char body[200] = {1};
    size_t len;
    Raw2Answer answer;

    (void)state;
    len = libdeflate_gzip_compress(compressor, "hello hello hello", 17, body + 5, 190);
    libdeflate_free_compressor(compressor);
    body[4] = (char)len;
    answer = call_with("/t.T/Call", CALL "grpc-encoding: gzip\n", (Str){body, len + 5});
    assert_int_equal(answer.body.len, 22);
    assert_memory_equal(answer.body.ptr, "\0\0\0\0\x11hello hello hello", 22);
    raw2_answer_done(&answer);
    expect_status("/t.T/Call", CALL "grpc-encoding: snappy\n", (Str){body, len + 5}, "12");
    expect_status("/t.T/Call", CALL, (Str){body, len + 5}, "3");
    expect_status("/t.T/Call", CALL "grpc-encoding: zstd\n", (Str){body, len + 5}, "3");
    /* The header alone says nothing: each message has its flag. */
    answer = call_with("/t.T/Call", CALL "grpc-encoding: lzma\n", STR("\0\0\0\0\1x"));
    assert_int_equal(answer.body.len, 6);
    raw2_answer_done(&answer);
}

static void what_is_not_one_message_is_refused(void **state) {
    static const Str bodies[] = {
        STR_INIT(""),
        STR_INIT("\0"),
        STR_INIT("\0\0\0\0"),
        STR_INIT("\0\0\0\0\4abc"),
        STR_INIT("\0\0\0\0\2abc"),
        STR_INIT("\0\0\0\0\1a\0\0\0\0\1b"),
        STR_INIT("\2\0\0\0\1a"),
        STR_INIT("\0\xff\xff\xff\xff"
                 "a"),
        STR_INIT("\1\0\0\0\0"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) expect_status("/t.T/Call", CALL, bodies[i], "3");
}

static void a_frame_may_be_cut_anywhere(void **state) {
    static const char frame[] = "\0\0\0\0\5hello";
    Raw2 c = raw2_open(port);
    uint32_t id = 1;

    (void)state;
    for (size_t cut = 1; cut < sizeof frame - 1; cut++, id += 2) {
        Raw2Answer answer;

        assert_true(raw2_head(&c, id, "POST", "/t.T/Call", CALL, false));
        assert_true(raw2_data(&c, id, (Str){frame, cut}, false));
        assert_true(raw2_data(&c, id, (Str){frame + cut, sizeof frame - 1 - cut}, true));
        answer = raw2_read(&c, id);
        assert_int_equal(answer.body.len, 10);
        assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
        raw2_answer_done(&answer);
    }
    raw2_close(&c);
}

static void too_large_is_resource_exhausted_without_a_retry(void **state) {
    static char body[BODY_MAX + 1];
    Raw2Answer answer;

    (void)state;
    body[3] = (char)((MESSAGE_MAX + 1) >> 8);
    body[4] = (char)((MESSAGE_MAX + 1) & 255);
    answer = call_with("/t.T/Call", CALL, (Str){body, MESSAGE_MAX + 6});
    assert_true(str_equal(raw2_field(&answer.head, "grpc-status"), STR("8")));
    assert_int_equal(raw2_field(&answer.head, "grpc-status-details-bin").len, 0);
    raw2_answer_done(&answer);
    /* And so is what the server doesn't even read. */
    answer = call_with("/t.T/Call", CALL "content-length: 100001\n", (Str){body, sizeof body});
    assert_int_equal(answer.status, 200);
    assert_true(str_equal(raw2_field(&answer.head, "grpc-status"), STR("8")));
    raw2_answer_done(&answer);
}

static void unknown_methods_are_unimplemented(void **state) {
    (void)state;
    expect_status("/t.T/Nothing", CALL, STR("\0\0\0\0\0"), "12");
    expect_status("/u.U/Call", CALL, STR("\0\0\0\0\0"), "12");
    raw_expect_alone(port, "GET /t.T/Nothing HTTP/1.1\r\nHost: x\r\n\r\n", 200, "hello\n");
}

static void who_does_not_speak_grpc_is_told_in_http(void **state) {
    Raw2Answer answer = call_with("/t.T/Call", "content-type: application/json\n", STR("{}"));

    (void)state;
    assert_int_equal(answer.status, 415);
    raw2_answer_done(&answer);
    raw_expect_alone(port,
                     "POST /t.T/Call HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\n"
                     "Content-Length: 5\r\n\r\n12345",
                     415, "gRPC needs HTTP/2\n");
}

static void errors_have_a_text_and_say_when_to_come_again(void **state) {
    static const struct {
        ErrCode code;
        const char *status;
        bool retries;
    } cases[] = {
        {ERR_INVALID, "3", false},   {ERR_CORRUPT, "3", false},      {ERR_DENIED, "7", false},
        {ERR_LIMIT, "8", false},     {ERR_RATE, "8", true},          {ERR_UNAVAILABLE, "14", true},
        {ERR_TIMEOUT, "4", false},   {ERR_UNSUPPORTED, "12", false}, {ERR_INTERNAL, "13", false},
        {ERR_NOT_FOUND, "5", false}, {ERR_CANCELLED, "1", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[6] = {0, 0, 0, 0, 1, (char)cases[i].code};
        Raw2Answer answer = call_with("/t.T/Fail", CALL, (Str){body, 6});

        assert_true(str_equal(raw2_field(&answer.head, "grpc-status"), str_of(cases[i].status)));
        assert_true(
            str_equal(raw2_field(&answer.head, "grpc-message"), STR("100%25 %C3%BC%0Abad")));
        assert_int_equal(raw2_field(&answer.head, "grpc-status-details-bin").len > 0,
                         cases[i].retries);
        /* {8, "...", [{"type...RetryInfo", {{2, 500000000}}}]} */
        if (cases[i].code == ERR_RATE)
            assert_true(str_equal(
                raw2_field(&answer.head, "grpc-status-details-bin"),
                STR("CAgSCzEwMCUgw7wKYmFkGjYKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUlu"
                    "Zm8SCgoICAIQgMq17gE=")));
        raw2_answer_done(&answer);
    }
}

static void many_messages_come_before_one_status(void **state) {
    Raw2Answer answer = call_with("/t.T/Many", CALL, STR("\0\0\0\0\0"));

    (void)state;
    assert_int_equal(answer.body.len, 27);
    assert_memory_equal(answer.body.ptr, "\0\0\0\0\4part\0\0\0\0\4part", 18);
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
    raw2_answer_done(&answer);
    answer = call_with("/t.T/Many", CALL, STR("\0\0\0\0\1x"));
    assert_int_equal(answer.body.len, 27);
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("5")));
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-message"), STR("nothing more")));
    raw2_answer_done(&answer);
}

static void a_deadline_raises_the_cancel_flag(void **state) {
    Raw2 c = raw2_open(port);
    HttpRequest *request;
    Raw2Answer answer;
    Error err;

    (void)state;
    assert_true(raw2_head(&c, 1, "POST", "/t.T/Park", CALL "grpc-timeout: 20m\n", true));
    request = parked_take(&parked);
    assert_true(grpc_deadline_ns(request) > 0);
    wait_until_cancelled(request);
    error_set(&err, ERR_CANCELLED, "stopped");
    grpc_respond_error(request, &err, 0);
    answer = raw2_read(&c, 1);
    assert_true(str_equal(raw2_field(&answer.head, "grpc-status"), STR("4")));
    raw2_answer_done(&answer);
    assert_true(raw2_head(&c, 3, "POST", "/t.T/Park", CALL "grpc-timeout: 5124096H\n", true));
    request = parked_take(&parked);
    /* Half an hour more than 64 bits of nanoseconds. */
    assert_true(grpc_deadline_ns(request) >
                clock_monotonic_ns(clock_system()) + UINT64_C(100) * 3600 * 1000000000);
    grpc_respond(request, STR(""));
    answer = raw2_read(&c, 3);
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
    raw2_answer_done(&answer);
    /* What isn't one is none. */
    assert_true(raw2_head(&c, 5, "POST", "/t.T/Park", CALL "grpc-timeout: soon\n", true));
    request = parked_take(&parked);
    assert_int_equal(grpc_deadline_ns(request), 0);
    grpc_respond(request, STR(""));
    answer = raw2_read(&c, 5);
    assert_true(str_equal(raw2_field(&answer.trailers, "grpc-status"), STR("0")));
    raw2_answer_done(&answer);
    raw2_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_and_goes),
        cmocka_unit_test(messages_may_be_compressed),
        cmocka_unit_test(what_is_not_one_message_is_refused),
        cmocka_unit_test(a_frame_may_be_cut_anywhere),
        cmocka_unit_test(too_large_is_resource_exhausted_without_a_retry),
        cmocka_unit_test(unknown_methods_are_unimplemented),
        cmocka_unit_test(who_does_not_speak_grpc_is_told_in_http),
        cmocka_unit_test(errors_have_a_text_and_say_when_to_come_again),
        cmocka_unit_test(many_messages_come_before_one_status),
        cmocka_unit_test(a_deadline_raises_the_cancel_flag),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
