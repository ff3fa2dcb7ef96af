/*
 * sniff.c: which HTTP a client without TLS speaks. Who begins with HTTP/2's preface (RFC 9113 3.4)
 * speaks that; the first byte that differs says HTTP/1.1, and nearly always it is the first or the
 * second of all. What had matched until then is the preface's own beginning, so nothing is kept.
 */
#include <sys/socket.h>

#include "common/net/internal.h"

static const Str preface = STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

static bool become(Connection *c, const Protocol *protocol) {
    c->protocol = protocol;
    c->state = NULL;
    if (!protocol->open(c)) c->is_dead = true;
    return !c->is_dead;
}

static void become_http1(Connection *c) {
    if (become(c, &http1_protocol) && c->sniffed > 0)
        c->protocol->input(c, preface.ptr, c->sniffed);
}

static size_t target(Connection *c, char **into) {
    (void)c;
    (void)into;
    return 8 << 10;
}

static void landed(Connection *c, size_t len) {
    (void)c;
    (void)len;
    assert(false && "nothing is read in place");
}

static void input(Connection *c, const char *bytes, size_t len) {
    size_t at = 0;

    while (at < len && c->sniffed < preface.len && bytes[at] == preface.ptr[c->sniffed]) {
        at++;
        c->sniffed++;
    }
    if (c->sniffed == preface.len) {
        if (!become(c, &http2_protocol)) return;
        c->protocol->input(c, preface.ptr, preface.len);
    } else if (at < len) {
        become_http1(c);
    }
    if (at < len && !c->is_dead) c->protocol->input(c, bytes + at, len - at);
}

static void eof(Connection *c) {
    c->is_dead = true;
}

static void drained(Connection *c, size_t left) {
    (void)c;
    (void)left;
}

static void deliver(Connection *c, HttpRequest *request) {
    (void)c;
    (void)request;
    assert(false && "there are no requests yet");
}

static void timeout(Connection *c) {
    if (c->sniffed == 0) {
        c->is_dead = true;
        return;
    }
    become_http1(c); /* which says what it thinks of half a request line */
    if (!c->is_dead) c->protocol->timeout(c);
}

static void drain(Connection *c) {
    char byte;

    /* A request that is in the socket already counts as in flight. */
    if (c->sniffed == 0 && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) c->is_dead = true;
}

static bool open_connection(Connection *c) {
    c->state = c; /* all it knows is in there */
    connection_deadline(c, c->loop->server->options.header_timeout_ms);
    return true;
}

static void close_connection(Connection *c) {
    c->state = NULL;
}

const Protocol sniff_protocol = {
    .open = open_connection,
    .target = target,
    .landed = landed,
    .input = input,
    .eof = eof,
    .drained = drained,
    .deliver = deliver,
    .timeout = timeout,
    .drain = drain,
    .close = close_connection,
};
