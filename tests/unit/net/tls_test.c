/* The same server behind TLS, and who may talk to it. */
#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "common/net/client.h"
#include "tests/unit/net/certificates.h"
#include "tests/unit/net/raw.h"

static char folder[] = "/tmp/moraine-tls-XXXXXX";
static Identity authority, stranger, server_identity, client_identity, odd_identity;
static Parked parked = PARKED_INIT;
static size_t large_bytes = 8 << 20;

static void handle_name(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 200, "text/plain", http_peer_certificate(request));
}

static void handle_large(HttpRequest *request, void *context) {
    Buf body;

    buf_init(&body, 0);
    buf_append_zeros(&body, *(size_t *)context);
    http_respond_buf(request, 200, "application/octet-stream", &body);
}

static int setup(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    authority = identity_new(folder, "authority", "moraine test authority", -1, NULL);
    stranger = identity_new(folder, "stranger", "somebody else", -1, NULL);
    server_identity = identity_new(folder, "server", "localhost", -1, &authority);
    client_identity = identity_new(folder, "client", "team-a", -1, &authority);
    odd_identity = identity_new(folder, "odd", "admin\0.evil", 11, &authority);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    identity_done(&authority);
    identity_done(&stranger);
    identity_done(&server_identity);
    identity_done(&client_identity);
    identity_done(&odd_identity);
    (void)rmdir(folder);
    return 0;
}

static HttpServer *server_with_timeout(bool mutual, uint64_t write_timeout_ms) {
    HttpServerOptions options = test_options();

    options.tls_cert_file = str_of(server_identity.cert_file);
    options.tls_key_file = str_of(server_identity.key_file);
    if (mutual) options.tls_client_ca_file = str_of(authority.cert_file);
    options.write_timeout_ms = write_timeout_ms;
    return test_server(&options,
                       (HttpRoute[]){
                           {HTTP_GET_, "/hello", handle_hello, NULL, 0},
                           {HTTP_POST_, "/echo", handle_echo, NULL, 0},
                           {HTTP_GET_, "/name", handle_name, NULL, 0},
                           {HTTP_GET_, "/park", handle_park, &parked, 0},
                           {HTTP_GET_, "/large", handle_large, &large_bytes, 0},
                       },
                       5);
}

static HttpServer *server_with(bool mutual) {
    return server_with_timeout(mutual, 0);
}

static HttpClient *client_with(const Identity *trusted, const Identity *own) {
    HttpClientOptions options = {.ca_file = str_of(trusted->cert_file)};
    HttpClient *client;
    Error err;

    if (own != NULL) {
        options.tls_cert_file = str_of(own->cert_file);
        options.tls_key_file = str_of(own->key_file);
    }
    assert_ok(http_client_new(&options, &client, &err), &err);
    return client;
}

static ErrCode call(HttpClient *client, const HttpServer *server, const char *path, Str body,
                    Arena *arena, HttpAnswer *answer, Error *err) {
    Str url = str_format(arena, "https://127.0.0.1:%u%s", http_server_port(server), path);
    HttpCall request = {.url = url, .body = body};

    return http_call(client, &request, arena, answer, err);
}

static void requests_and_answers_of_all_sizes_pass(void **state) {
    static const size_t sizes[] = {0, 1, 10000, 90000, 3000000};
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    CLEANUP(http_client_free) HttpClient *client = client_with(&authority, NULL);
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpAnswer answer;
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes) * 4; i++) {
        size_t size = sizes[i % ARRAY_LEN(sizes)];
        char *body = arena_zalloc(arena, size + 1);

        for (size_t at = 0; at < size; at++) body[at] = (char)(at * 31 + at / 1009);
        assert_ok(call(client, server, size > 0 ? "/echo" : "/hello", (Str){body, size}, arena,
                       &answer, &err),
                  &err);
        assert_int_equal(answer.status, 200);
        if (size == 0) continue;
        assert_int_equal(answer.body.len, size);
        assert_memory_equal(answer.body.ptr, body, size);
    }
    assert_ok(call(client, server, "/large", (Str){"", 0}, arena, &answer, &err), &err);
    assert_int_equal(answer.body.len, large_bytes);
}

static size_t append_answer(char *bytes, size_t size, size_t count, void *out) {
    buf_append(out, bytes, size * count);
    return size * count;
}

/* Our own client speaks HTTP/1.1 only, so this one is libcurl's. */
static void whoever_offers_http_2_gets_it(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    CURL *curl = curl_easy_init();
    struct curl_slist *type = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    char url[100];
    Buf body, answer;
    long version = 0;

    (void)state;
    assert_non_null(curl);
    buf_init(&body, 0);
    for (size_t i = 0; i < 3000000; i++) buf_append_byte(&body, (char)(i * 31 + i / 1009));
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/echo", http_server_port(server));
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, authority.cert_file);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, type);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.ptr);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.len);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    for (int i = 0; i < 3; i++) {
        buf_init(&answer, 0);
        assert_int_equal(curl_easy_perform(curl), CURLE_OK);
        assert_int_equal(curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version), CURLE_OK);
        assert_int_equal(version, CURL_HTTP_VERSION_2_0);
        assert_int_equal(answer.len, body.len);
        assert_memory_equal(answer.ptr, body.ptr, body.len);
        buf_done(&answer);
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(type);
    buf_done(&body);
}

static void a_stranger_is_not_believed(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    CLEANUP(http_client_free) HttpClient *client = client_with(&stranger, NULL);
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpAnswer answer;
    Error err;

    (void)state;
    assert_int_equal(call(client, server, "/hello", (Str){"", 0}, arena, &answer, &err),
                     ERR_DENIED);
}

static void a_client_certificate_is_asked_for_and_named(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(true);
    CLEANUP(http_client_free) HttpClient *known = client_with(&authority, &client_identity);
    CLEANUP(http_client_free) HttpClient *odd = client_with(&authority, &odd_identity);
    CLEANUP(http_client_free) HttpClient *unsigned_one = client_with(&authority, &stranger);
    CLEANUP(http_client_free) HttpClient *without = client_with(&authority, NULL);
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HttpAnswer answer;
    Error err;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_ok(call(known, server, "/name", (Str){"", 0}, arena, &answer, &err), &err);
        assert_true(str_equal(answer.body, STR("team-a")));
    }
    /* A name with a NUL in it is none. */
    assert_ok(call(odd, server, "/name", (Str){"", 0}, arena, &answer, &err), &err);
    assert_int_equal(answer.body.len, 0);
    assert_int_not_equal(call(without, server, "/name", (Str){"", 0}, arena, &answer, &err),
                         ERR_OK);
    assert_int_not_equal(call(unsigned_one, server, "/name", (Str){"", 0}, arena, &answer, &err),
                         ERR_OK);
    assert_ok(call(known, server, "/name", (Str){"", 0}, arena, &answer, &err), &err);
}

/* --- by hand --- */

typedef struct Wire {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
} Wire;

/* `protocols`: as ALPN has them. */
static Wire wire_open_with(const HttpServer *server, const char *protocols) {
    Wire wire = {.context = SSL_CTX_new(TLS_client_method()),
                 .fd = raw_connect(http_server_port(server))};

    wire.ssl = SSL_new(wire.context);
    assert_int_equal(SSL_set_fd(wire.ssl, wire.fd), 1);
    (void)SSL_set_alpn_protos(wire.ssl, (const unsigned char *)protocols,
                              (unsigned)strlen(protocols));
    assert_int_equal(SSL_connect(wire.ssl), 1);
    return wire;
}

static Wire wire_open(const HttpServer *server) {
    return wire_open_with(server, "\x08http/1.1");
}

static void wire_close(Wire *wire) {
    SSL_free(wire->ssl);
    SSL_CTX_free(wire->context);
    close(wire->fd);
}

static void wire_send(Wire *wire, const char *text) {
    assert_int_equal(SSL_write(wire->ssl, text, (int)strlen(text)), (int)strlen(text));
}

static void alpn_chooses(const char *offered, const char *wanted) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    Wire wire = wire_open_with(server, offered);
    const unsigned char *chosen;
    unsigned len;

    SSL_get0_alpn_selected(wire.ssl, &chosen, &len);
    assert_int_equal(len, strlen(wanted));
    if (len > 0) assert_memory_equal(chosen, wanted, len);
    wire_close(&wire);
}

static void alpn_prefers_http_2(void **state) {
    (void)state;
    alpn_chooses("\x08http/1.1", "http/1.1");
    alpn_chooses("\x08http/1.1\x02h2", "h2");
    alpn_chooses("\x02h3", "");
}

static void http_2_is_spoken_to_who_chose_it(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    Wire wire = wire_open_with(server, "\x02h2");
    unsigned char head[9];

    (void)state;
    wire_send(&wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_int_equal(SSL_read(wire.ssl, head, sizeof head), sizeof head);
    assert_int_equal(head[3], 4); /* SETTINGS */
    wire_close(&wire);
}

static void an_answer_is_one_record_and_ends_with_a_goodbye(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    Wire wire = wire_open(server);
    char answer[4096];
    int got;

    (void)state;
    wire_send(&wire, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    got = SSL_read(wire.ssl, answer, sizeof answer);
    assert_true(got > 6);
    assert_memory_equal(answer + got - 6, "hello\n", 6);
    got = SSL_read(wire.ssl, answer, sizeof answer);
    assert_int_equal(SSL_get_error(wire.ssl, got), SSL_ERROR_ZERO_RETURN);
    wire_close(&wire);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    Wire wire = wire_open(server);
    char answer[4096], wanted[16];
    Buf all, got;

    (void)state;
    buf_init(&all, 0);
    buf_init(&got, 0);
    for (int i = 0; i < 2000; i++)
        buf_printf(&all, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n%s\r\n%04d;",
                   i == 1999 ? "Connection: close\r\n" : "", i);
    for (size_t at = 0; at < all.len;) {
        int sent = SSL_write(wire.ssl, all.ptr + at, (int)MIN(all.len - at, (size_t)7000));

        assert_true(sent > 0);
        at += (size_t)sent;
    }
    for (int len; (len = SSL_read(wire.ssl, answer, sizeof answer)) > 0;)
        buf_append(&got, answer, (size_t)len);
    buf_append_byte(&got, '\0');
    for (int i = 0, at = 0; i < 2000; i++) {
        const char *found;

        (void)snprintf(wanted, sizeof wanted, "%04d;", i);
        found = strstr(got.ptr + at, wanted);
        assert_non_null(found);
        at = (int)(found - got.ptr);
    }
    buf_done(&all);
    buf_done(&got);
    wire_close(&wire);
}

static void hanging_up_raises_the_cancel_flag(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    Wire wire = wire_open(server);
    HttpRequest *request;

    (void)state;
    wire_send(&wire, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    request = parked_take(&parked);
    assert_false(http_cancelled(request));
    wire_close(&wire);
    wait_until_cancelled(request);
    http_respond(request, 200, "text/plain", STR("nobody reads this"));
}

static void a_reader_that_stops_is_let_go(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with_timeout(false, 100);
    Wire wire = wire_open(server);
    Buf rest;

    (void)state;
    wire_send(&wire, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    clock_sleep_ms(600);
    buf_init(&rest, 0);
    raw_read_all(wire.fd, &rest);
    assert_true(rest.len < large_bytes);
    buf_done(&rest);
    wire_close(&wire);
}

static void streams_reach_slow_readers_whole(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    Wire wire = wire_open(server);
    HttpRequest *request;
    char *piece = calloc(1, 100000), answer[4096];
    size_t got = 0;
    Error err;

    (void)state;
    wire_send(&wire, "GET /park HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    request = parked_take(&parked);
    http_respond_begin(request, 200, "application/octet-stream");
    for (int i = 0; i < 20; i++)
        assert_ok(http_respond_write(request, (Str){piece, i == 0 ? 10 : 10000}, &err), &err);
    http_respond_end(request);
    for (int len; (len = SSL_read(wire.ssl, answer, sizeof answer)) > 0;) got += (size_t)len;
    assert_true(got > 190010);
    free(piece);
    wire_close(&wire);
}

static void what_is_not_tls_is_closed(void **state) {
    CLEANUP(http_server_free) HttpServer *server = server_with(false);
    int fd = raw_connect(http_server_port(server));
    Buf rest;

    (void)state;
    assert_true(raw_send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"));
    buf_init(&rest, 0);
    raw_read_all(fd, &rest); /* at most an alert */
    assert_true(rest.len < 20);
    buf_done(&rest);
    close(fd);
    for (int i = 0; i < 3; i++) { /* who leaves in the handshake does no harm */
        fd = raw_connect(http_server_port(server));
        assert_true(raw_send_bytes(fd, "\x16\x03\x01\x02\x00", 5));
        close(fd);
    }
}

static void bad_files_are_an_error_that_names_them(void **state) {
    static const char *const missing = "/nonexistent/file.pem";
    struct {
        const char *cert, *key, *ca, *named;
    } cases[] = {
        {missing, server_identity.key_file, "", missing},
        {server_identity.cert_file, missing, "", missing},
        {server_identity.cert_file, client_identity.key_file, "", client_identity.key_file},
        {server_identity.cert_file, server_identity.key_file, missing, missing},
        {server_identity.cert_file, "", "", "key"},
        {"", server_identity.key_file, "", "certificate"},
        {"", "", authority.cert_file, "certificate"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        HttpServerOptions options = test_options();
        HttpServer *server;
        Error err;

        options.tls_cert_file = str_of(cases[i].cert);
        options.tls_key_file = str_of(cases[i].key);
        options.tls_client_ca_file = str_of(cases[i].ca);
        assert_int_equal(http_server_new(&options, &server, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].named));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_answers_of_all_sizes_pass),
        cmocka_unit_test(whoever_offers_http_2_gets_it),
        cmocka_unit_test(a_stranger_is_not_believed),
        cmocka_unit_test(a_client_certificate_is_asked_for_and_named),
        cmocka_unit_test(alpn_prefers_http_2),
        cmocka_unit_test(http_2_is_spoken_to_who_chose_it),
        cmocka_unit_test(an_answer_is_one_record_and_ends_with_a_goodbye),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(hanging_up_raises_the_cancel_flag),
        cmocka_unit_test(a_reader_that_stops_is_let_go),
        cmocka_unit_test(streams_reach_slow_readers_whole),
        cmocka_unit_test(what_is_not_tls_is_closed),
        cmocka_unit_test(bad_files_are_an_error_that_names_them),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL's client writes without asking */
    return cmocka_run_group_tests(tests, setup, teardown);
}
