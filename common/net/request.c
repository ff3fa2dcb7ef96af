/*
 * request.c: what a handler reads, and where a request's memory comes from and goes.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/net/internal.h"

enum {
    SPARES_MAX = 4,                   /* requests a loop keeps for next time, */
    SPARE_BODY_BYTES_MAX = 256 << 10, /* with a body's memory of at most so much */
    SPARE_HEAD_BYTES_MAX = 8 << 10,
};

Gauge *net_body_bytes;

/* A spare keeps its buffers: a body of 90 KB would else be handed back to the system after each
 * request, and its pages be zeroed for the next. */
static HttpRequest *take_spare(Loop *loop) {
    HttpRequest *request = loop->spares;

    if (request == NULL) {
        request = malloc(sizeof *request);
        if (request == NULL) return NULL;
        buf_init(&request->head, 0);
        buf_init(&request->reply_head, 0);
        buf_init(&request->reply_trailers, 0);
        request->body = NULL;
        request->body_capacity = 0;
        return request;
    }
    loop->spares = request->next_spare;
    loop->spare_count--;
    return request;
}

HttpRequest *request_new(Connection *c) {
    HttpRequest *request = take_spare(c->loop);

    if (request == NULL) return NULL;
    loop_reference(c->loop);
    request->post = (Post){.kind = POST_REQUEST};
    request->loop = c->loop;
    request->connection = c;
    request->next_spare = NULL;
    atomic_init(&request->cancelled, false);
    request->method = 0;
    request->is_http10 = false;
    request->is_http2 = false;
    request->exchange = NULL;
    request->route = NULL;
    request->target = request->path = request->query = request->certificate_name = (Span){0};
    request->header_count = 0;
    request->peer = c->peer;
    request->peer_text[0] = '\0';
    request->body_len = request->body_charged = request->head_charged = 0;
    request->bodies = c->loop->server->options.bodies;
    request->arena = NULL;
    request->params = NULL;
    request->status = 0;
    buf_clear(&request->head);
    buf_clear(&request->reply_head);
    buf_clear(&request->reply_trailers);
    buf_init(&request->reply_body, 0);
    request->stream.is_active = false;
    request->began_ns = c->loop->now_ns;
    request->deadline_ns = 0;
    return request;
}

/* Everything that costs budget. */
static void done(HttpRequest *request) {
    arena_free(request->arena);
    request->arena = NULL;
    request_body_drop(request);
    if (request->head_charged > 0) budget_give(request->bodies, request->head_charged);
    request->head_charged = 0;
    buf_done(&request->reply_body);
    stream_done(&request->stream);
}

void request_destroy(HttpRequest *request) {
    Loop *loop = request->loop;

    if (loop != NULL) done(request);
    buf_done(&request->head);
    buf_done(&request->reply_head);
    buf_done(&request->reply_trailers);
    free(request->body);
    free(request);
    if (loop != NULL) loop_release(loop);
}

void request_recycle(HttpRequest *request) {
    Loop *loop = request->loop;

    if (loop->spare_count >= SPARES_MAX) {
        request_destroy(request);
        return;
    }
    done(request);
    if (request->body_capacity > SPARE_BODY_BYTES_MAX) {
        free(request->body);
        request->body = NULL;
        request->body_capacity = 0;
    }
    if (request->head.capacity > SPARE_HEAD_BYTES_MAX) buf_done(&request->head);
    if (request->reply_head.capacity > SPARE_HEAD_BYTES_MAX) buf_done(&request->reply_head);
    if (request->reply_trailers.capacity > SPARE_HEAD_BYTES_MAX) buf_done(&request->reply_trailers);
    request->next_spare = loop->spares;
    loop->spares = request;
    loop->spare_count++;
    loop_release(loop);
}

bool request_body_room(HttpRequest *request, size_t capacity) {
    char *grown;

    if (capacity <= request->body_capacity) return true;
    grown = realloc(request->body, capacity);
    if (grown == NULL) return false;
    request->body = grown;
    request->body_capacity = capacity;
    return true;
}

bool request_charge_head(HttpRequest *request) {
    size_t bytes = sizeof *request + request->head.len;

    if (request->bodies == NULL) return true;
    if (!budget_take(request->bodies, bytes)) return false;
    request->head_charged = bytes;
    return true;
}

bool request_body_grew(HttpRequest *request, size_t len) {
    if (request->bodies != NULL && !budget_take(request->bodies, len)) return false;
    request->body_len += len;
    request->body_charged += len;
    gauge_add(net_body_bytes, (int64_t)len);
    return true;
}

void request_body_drop(HttpRequest *request) {
    if (request->bodies != NULL && request->body_charged > 0)
        budget_give(request->bodies, request->body_charged);
    gauge_add(net_body_bytes, -(int64_t)request->body_charged);
    request->body_charged = request->body_len = 0;
}

bool http_is_http2(const HttpRequest *request) {
    return request->is_http2;
}

HttpMethod http_method(const HttpRequest *request) {
    return request->method;
}

Str http_path(const HttpRequest *request) {
    return request_str(request, request->path);
}

Str http_query_string(const HttpRequest *request) {
    return request_str(request, request->query);
}

Str http_path_param(HttpRequest *request, const char *name) {
    int index = route_capture(request->route, str_of(name));
    Str raw, path = http_path(request);
    char *bytes;

    if (index < 0) return (Str){"", 0};
    raw = str_slice(path, request->captures[index].at, request->captures[index].len);
    if (memchr(raw.ptr, '%', raw.len) == NULL) return raw;
    bytes = arena_alloc_bytes(http_arena(request), raw.len);
    if (bytes == NULL) return (Str){"", 0};
    return (Str){bytes, percent_decode(raw, false, bytes)}; /* the router saw that it is valid */
}

Str http_header(const HttpRequest *request, const char *name) {
    Str wanted = str_of(name);

    for (unsigned i = 0; i < request->header_count; i++) {
        const HeaderSpan *header = &request->headers[i];

        if (header->name.len == wanted.len &&
            str_equal_nocase(request_str(request, header->name), wanted))
            return request_str(request, header->value);
    }
    return (Str){"", 0};
}

Str http_body(const HttpRequest *request) {
    return request->body_len > 0 ? (Str){request->body, request->body_len} : (Str){"", 0};
}

Arena *http_arena(HttpRequest *request) {
    if (request->arena == NULL) request->arena = arena_new(0, request->bodies);
    return request->arena;
}

bool http_peer_is_loopback(const HttpRequest *request) {
    const PeerAddress *peer = &request->peer;

    if (peer->any.sa_family == AF_INET) return ntohl(peer->v4.sin_addr.s_addr) >> 24 == 127;
    if (peer->any.sa_family != AF_INET6) return false;
    if (IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr)) return peer->v6.sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&peer->v6.sin6_addr);
}

/* Written out only for who asks: most requests are never logged. */
Str http_peer(const HttpRequest *request) {
    HttpRequest *own = (HttpRequest *)request; /* text and address say the same */
    const PeerAddress *peer = &request->peer;
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;

    if (own->peer_text[0] != '\0') return str_of(own->peer_text);
    if (peer->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &peer->v4.sin_addr, host, sizeof host);
        port = ntohs(peer->v4.sin_port);
    } else if (peer->any.sa_family == AF_INET6) {
        port = ntohs(peer->v6.sin6_port);
        if (!IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr)) {
            (void)inet_ntop(AF_INET6, &peer->v6.sin6_addr, host, sizeof host);
            (void)snprintf(own->peer_text, sizeof own->peer_text, "[%s]:%u", host, port);
            return str_of(own->peer_text);
        }
        (void)inet_ntop(AF_INET, &peer->v6.sin6_addr.s6_addr[12], host, sizeof host);
    }
    (void)snprintf(own->peer_text, sizeof own->peer_text, "%s:%u", host, port);
    return str_of(own->peer_text);
}

Str http_peer_certificate(const HttpRequest *request) {
    return request_str(request, request->certificate_name);
}

bool http_cancelled(const HttpRequest *request) {
    return atomic_load_explicit(&request->cancelled, memory_order_relaxed);
}

const atomic_bool *http_cancel_flag(const HttpRequest *request) {
    return &request->cancelled;
}
