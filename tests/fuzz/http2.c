/*
 * http2.c: any bytes on a connection of the server: as HTTP/2 (or what it turns out to be), in
 * pieces of any size; and any bytes as the body of a gRPC call. Whatever comes, the connection ends
 * when the client's bytes do, and nothing of the budget stays taken.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/budget.h"
#include "common/net/grpc.h"
#include "common/net/internal.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

enum { MODE_CALL = 1, MESSAGE_MAX = 64 << 10, BODY_MAX = 256 << 10 };

static Budget bodies;
static HttpServer *server;
static Loop *loop;

static void handle_echo(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 200, "text/plain", http_body(request));
}

static void handle_pieces(HttpRequest *request, void *context) {
    Error err;

    (void)context;
    http_respond_begin(request, 200, "text/plain");
    for (int i = 0; i < 3; i++) (void)!http_respond_write(request, STR("a piece of it"), &err);
    http_set_trailer(request, "x-end", STR("1"));
    http_respond_end(request);
}

static void handle_call(HttpRequest *request, void *context) {
    Str message;
    Error err;

    (void)context;
    if (grpc_message(request, MESSAGE_MAX, &message, &err) != ERR_OK) {
        grpc_respond_error(request, &err, 0);
        return;
    }
    assert(message.len <= MESSAGE_MAX);
    grpc_respond(request, message);
}

/* The server is never started: its only loop is turned by hand, in this thread. */
static void setup(void) {
    HttpServerOptions options = {.address = STR_INIT("127.0.0.1:0"),
                                 .loops = 1,
                                 .bodies = &bodies,
                                 .body_bytes_max = BODY_MAX};
    HttpRoute routes[] = {{HTTP_GET_ | HTTP_POST_, "/echo", handle_echo, NULL, 0},
                          {HTTP_GET_, "/pieces", handle_pieces, NULL, 0}};
    Error err;

    budget_init(&bodies, "bodies", 4 << 20, NULL);
    if (http_server_new(&options, &server, &err) != ERR_OK) abort();
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) http_server_route(server, &routes[i]);
    grpc_route(server, "/t.T/Call", handle_call, NULL, 0);
    router_compile(server->router);
    if (loop_new(server, &loop, &err) != ERR_OK) abort();
}

static void turn(int fd) {
    static char dropped[64 << 10];

    (void)event_base_loop(loop->base, EVLOOP_NONBLOCK);
    while (recv(fd, dropped, sizeof dropped, MSG_DONTWAIT) > 0)
        (void)event_base_loop(loop->base, EVLOOP_NONBLOCK);
}

static void feed(Str bytes, size_t piece) {
    struct sockaddr_in peer = {.sin_family = AF_INET};
    int pair[2];
    Connection *c;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) abort();
    loop_tick(loop);
    c = connection_new(loop, pair[0], (struct sockaddr *)&peer, sizeof peer);
    if (c == NULL) abort();
    server->connections++;
    connection_open(c);
    for (size_t at = 0; at < bytes.len;) {
        Str part = str_slice(bytes, at, piece);
        ssize_t sent = send(pair[1], part.ptr, part.len, MSG_NOSIGNAL);

        turn(pair[1]);
        if (sent <= 0) break;
        at += (size_t)sent;
    }
    (void)shutdown(pair[1], SHUT_WR);
    turn(pair[1]);
    close(pair[1]);
    (void)event_base_loop(loop->base, EVLOOP_NONBLOCK);
    /* One that waits for a window that nobody will open any more. */
    if (loop->connections != NULL) connection_free(loop->connections);
    assert(loop->connections == NULL && server->connections == 0);
    assert(budget_used(&bodies) == 0);
}

static void put_frame(Buf *out, unsigned type, unsigned flags, Str payload) {
    char head[9] = {(char)(payload.len >> 16),
                    (char)(payload.len >> 8),
                    (char)payload.len,
                    (char)type,
                    (char)flags,
                    0,
                    0,
                    0,
                    1};

    buf_append(out, head, sizeof head);
    buf_append_str(out, payload);
}

static void put_field(Buf *out, Str name, Str value) {
    buf_append_byte(out, 0);
    buf_append_byte(out, (char)name.len);
    buf_append_str(out, name);
    buf_append_byte(out, (char)value.len);
    buf_append_str(out, value);
}

/* A stream's frames: its head, and its body in one piece. */
static void put_exchange(Buf *out, Str path, Str type, Str encoding, Str body) {
    Buf head;

    buf_init(&head, 0);
    put_field(&head, STR(":method"), STR("POST"));
    put_field(&head, STR(":scheme"), STR("http"));
    put_field(&head, STR(":path"), path);
    put_field(&head, STR(":authority"), STR("x"));
    put_field(&head, STR("content-type"), type);
    put_field(&head, STR("grpc-encoding"), encoding);
    put_field(&head, STR("grpc-timeout"), STR("10S"));
    put_frame(out, 1, 4, buf_str(&head));
    put_frame(out, 0, 1, body);
    buf_done(&head);
}

static void call(Str body) {
    static const Str encodings[] = {STR_INIT("gzip"), STR_INIT("deflate"), STR_INIT("zstd"),
                                    STR_INIT("identity")};
    Buf bytes;

    if (body.len == 0) return;
    buf_init(&bytes, 0);
    buf_append_str(&bytes, STR(PREFACE));
    put_exchange(&bytes, STR("/t.T/Call"), STR("application/grpc"),
                 encodings[(unsigned char)body.ptr[0] % 4], str_slice(str_from(body, 1), 0, 16384));
    feed(buf_str(&bytes), bytes.len);
    buf_done(&bytes);
}

/* The first byte: a call's body follows, or the size of the pieces that bytes come in. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str bytes = {(const char *)data, size};

    if (server == NULL) setup();
    if (size < 2) return 0;
    bytes = str_from(bytes, 1);
    if (data[0] == MODE_CALL)
        call(bytes);
    else
        feed(bytes, data[0] == 0 ? bytes.len : data[0]);
    return 0;
}

bool fuzz_seed(unsigned n, Buf *out) {
    buf_append_byte(out, n == 0 ? 0 : n == 1 ? 7 : n < 5 ? MODE_CALL : 0);
    switch (n) {
    case 0:
    case 1:
        buf_append_str(out, STR(PREFACE));
        put_exchange(out, STR("/echo"), STR("text/plain"), STR("x"), STR("some body"));
        buf_append(out,
                   "\0\0\10\6\0\0\0\0\0"
                   "12345678",
                   17);
        buf_append(out, "\0\0\4\10\0\0\0\0\0\0\0\1\0", 13);
        buf_append(out, "\0\0\4\3\0\0\0\0\3\0\0\0\10", 13);
        return true;
    case 2:
        buf_append(out, "\3\0\0\0\0\5hello", 11);
        return true;
    case 3:
        buf_append(out,
                   "\0\1\0\0\0\31\x1f\x8b\10\0\0\0\0\0\0\3\xcb\x48\xcd\xc9\xc9\7\0\x86\xa6\x10"
                   "\x36\5\0\0\0",
                   31);
        return true;
    case 4:
        buf_append(out, "\3\0\0\0\0\0", 6);
        return true;
    case 5:
        buf_append_str(out, STR(PREFACE));
        buf_append(out, "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0", 15);
        buf_append(out, "\0\0\13\1\5\0\0\0\1\x82\x86\4\7/pieces", 20);
        return true;
    case 6:
        buf_append_str(out, STR("GET /echo HTTP/1.1\r\nHost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\n"));
        return true;
    default:
        return false;
    }
}
