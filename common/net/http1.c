/*
 * http1.c: HTTP/1.1 (RFC 9112) on a connection: bytes to a request, its answer to bytes.
 *
 * One request at a time: what a client sends ahead stays in `pending`, and beyond a little in the
 * kernel, until the answer is out. Heads go through http-parser; bodies, chunked ones as well, are
 * received straight into their place. A request that can't be taken is refused here, and where
 * little of its body is left, that is read and dropped so that the connection survives. Header
 * lines are kept in one buffer, as spans.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "common/net/http1.h"

enum {
    HEAD_READ_BYTES = 8 << 10,   /* more would mostly be body, and have to be copied */
    BODY_READ_BYTES = 256 << 10, /* at once, so a body is charged for little before it is there */
    BODY_AT_ONCE_MAX = 1 << 20,  /* allocated for a Content-Length; larger ones grow */
    BODY_CHUNKED_MIN = 8 << 10,
    PENDING_BYTES_MAX = 64 << 10,
    FRAMING_PER_BODY_BYTE = 16, /* chunk heads and extensions beyond this are an attack */
};

static void refuse_large(Http1 *h) {
    verdict_refuse(&h->verdict, 413, VERDICT_TOO_LARGE, h->verdict.body_bytes_max);
}

static void refuse_over_budget(Http1 *h) {
    verdict_refuse(&h->verdict, 503, VERDICT_OVER_BUDGET);
}

/* --- bytes in --- */

static void dispatch(Connection *c, Http1 *h) {
    HttpRequest *request = h->request;
    const char *flaw = request_params_flaw(request);

    if (flaw != NULL) {
        verdict_refuse(&h->verdict, 400, "query or form: %s", flaw);
        http1_refuse(c, h);
        return;
    }
    h->state = HTTP1_WAIT;
    connection_deadline(c, 0);
    if (request_dispatch(request, h->verdict.handle, h->verdict.context)) http1_deliver(c, request);
}

/* The head is read to its last byte; what was wrong with it is told now. */
static void head_done(Connection *c, Http1 *h) {
    if (h->verdict.refused != 0) {
        http1_refuse(c, h);
        return;
    }
    if (h->expects_continue) {
        connection_send(c, STR("HTTP/1.1 100 Continue\r\n\r\n"), (Str){"", 0}, NULL);
        h->expects_continue = false;
    }
    connection_deadline(c, http1_options(c)->body_timeout_ms);
    if (h->is_chunked) {
        h->state = HTTP1_CHUNKS;
    } else if (h->body_left > 0) {
        h->state = HTTP1_BODY;
    } else {
        dispatch(c, h);
    }
}

static size_t read_head(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t used = http1_head_read(c, h, bytes, len);

    if (h->is_head_read)
        head_done(c, h);
    else if (h->verdict.refused != 0)
        http1_refuse(c, h);
    return used;
}

static void body_done(Connection *c, Http1 *h) {
    h->is_body_read = true;
    if (h->verdict.refused != 0)
        http1_send_refusal(c, h);
    else
        dispatch(c, h);
}

/* After `body_left` went down. */
static void body_moved(Connection *c, Http1 *h) {
    connection_deadline(c, http1_options(c)->body_timeout_ms);
    if (h->body_left > 0) return;
    if (h->is_chunked)
        h->state = HTTP1_CHUNKS;
    else
        body_done(c, h);
}

static size_t read_chunks(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t used = chunks_read(&h->chunks, bytes, len), body_len = h->request->body_len;

    h->framing_bytes += used;
    if (h->framing_bytes / FRAMING_PER_BODY_BYTE > http1_options(c)->header_bytes_max + body_len)
        verdict_refuse(&h->verdict, 400, "there is more framing than body");
    if (h->chunks.state == CHUNK_BAD)
        verdict_refuse(&h->verdict, 400, "the chunks are not framed as they must");
    if (h->chunks.state == CHUNK_DATA && h->chunks.left > h->verdict.body_bytes_max - body_len)
        refuse_large(h);
    if (h->verdict.refused != 0) {
        http1_refuse(c, h);
    } else if (h->chunks.state == CHUNK_DONE) {
        body_done(c, h);
    } else if (h->chunks.state == CHUNK_DATA && h->chunks.left > 0) {
        h->body_left = h->chunks.left;
        h->chunks.left = 0;
        h->state = HTTP1_BODY;
    }
    return used;
}

/* `len` more bytes of the body are in their place. */
static void body_grew(Connection *c, Http1 *h, size_t len) {
    assert(len <= h->body_left);
    h->body_left -= len;
    if (!request_body_grew(h->request, len)) {
        refuse_over_budget(h);
        if (h->body_left > 0 || h->is_chunked) {
            http1_refuse(c, h);
            return;
        }
    }
    body_moved(c, h);
}

/* Room for more of the body: at once for most; large ones, and chunked ones, grow with what has
 * come. The pages behind that aren't touched, so they cost nothing. */
static size_t body_room(Http1 *h) {
    HttpRequest *request = h->request;
    size_t whole = request->body_len + (size_t)h->body_left, had = request->body_capacity, room;

    if (request->body_len == had || (whole <= BODY_AT_ONCE_MAX && had < whole)) {
        size_t capacity = whole;

        if (whole > BODY_AT_ONCE_MAX)
            capacity = MIN(whole, MAX(request->body_len * 2, (size_t)BODY_AT_ONCE_MAX));
        if (h->is_chunked)
            capacity = MAX(capacity, MAX(request->body_len * 2, (size_t)BODY_CHUNKED_MIN));
        if (!request_body_room(request, capacity)) return 0;
    }
    room = MIN(request->body_capacity - request->body_len, (size_t)h->body_left);
    return MIN(room, (size_t)BODY_READ_BYTES);
}

static size_t copy_body(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t room = body_room(h);

    if (room == 0) {
        refuse_over_budget(h);
        http1_refuse(c, h);
        return 0;
    }
    len = MIN(len, room);
    memcpy(h->request->body + h->request->body_len, bytes, len);
    body_grew(c, h, len);
    return len;
}

static size_t drop_body(Connection *c, Http1 *h, size_t len) {
    len = MIN(len, (size_t)h->body_left);
    h->body_left -= len;
    body_moved(c, h);
    return len;
}

/* Takes what the state allows, and says how much that was. */
static size_t consume(Connection *c, const char *bytes, size_t len) {
    Http1 *h = c->state;
    size_t used = 0;

    while (used < len && !c->is_dead) {
        switch (h->state) {
        case HTTP1_HEAD:
            used += read_head(c, h, bytes + used, len - used);
            break;
        case HTTP1_CHUNKS:
            used += read_chunks(c, h, bytes + used, len - used);
            break;
        case HTTP1_BODY:
            used += copy_body(c, h, bytes + used, len - used);
            break;
        case HTTP1_DISCARD:
            used += drop_body(c, h, len - used);
            break;
        case HTTP1_WEBSOCKET:
            http1_websocket_input(c, h, bytes + used, len - used);
            return len;
        case HTTP1_LINGER:
            return len;
        case HTTP1_WAIT:
        case HTTP1_STREAM:
        case HTTP1_WRITE:
            return used;
        }
    }
    return used;
}

/* What came while an answer was under way. */
static void consume_pending(Connection *c, Http1 *h) {
    Buf *pending = &h->pending;

    if (pending->len > 0 && !c->is_dead)
        h->pending_at += consume(c, pending->ptr + h->pending_at, pending->len - h->pending_at);
    if (h->pending_at == pending->len) {
        buf_done(pending);
        h->pending_at = 0;
    }
    if (c->is_dead) return;
    if (h->state == HTTP1_WEBSOCKET)
        http1_websocket_throttle(c);
    else if (pending->len - h->pending_at < PENDING_BYTES_MAX)
        connection_resume(c);
    else
        connection_pause(c);
}

static void input(Connection *c, const char *bytes, size_t len) {
    Http1 *h = c->state;
    size_t used = h->pending.len == 0 ? consume(c, bytes, len) : 0;

    if (used == len || c->is_dead) return;
    h->has_unread = true;
    buf_append(&h->pending, bytes + used, len - used);
    if (buf_failed(&h->pending))
        c->is_dead = true;
    else
        consume_pending(c, h);
}

static size_t target(Connection *c, char **into) {
    Http1 *h = c->state;
    size_t room;

    switch (h->state) {
    case HTTP1_BODY:
        room = body_room(h);
        if (room > 0) {
            *into = h->request->body + h->request->body_len;
            return room;
        }
        refuse_over_budget(h);
        http1_refuse(c, h);
        return SCRATCH_BYTES;
    case HTTP1_CHUNKS:
    case HTTP1_DISCARD:
    case HTTP1_LINGER:
        return SCRATCH_BYTES;
    case HTTP1_HEAD:
    case HTTP1_WAIT:
    case HTTP1_STREAM:
    case HTTP1_WEBSOCKET:
    case HTTP1_WRITE:
        break;
    }
    return HEAD_READ_BYTES;
}

static void landed(Connection *c, size_t len) {
    body_grew(c, c->state, len);
}

/* --- the rest of a connection's life --- */

static void drained(Connection *c, size_t left) {
    Http1 *h = c->state;

    if (c->is_dead) return;
    if (h->state == HTTP1_STREAM && h->has_writer) {
        stream_progress(&h->request->stream, left);
    } else if (h->state == HTTP1_WEBSOCKET) {
        http1_websocket_drained(c, h);
    } else if (h->state == HTTP1_WRITE && left == 0) {
        http1_finish(c, h, h->verdict.refused != 0 ? h->verdict.refused : h->request->status);
        consume_pending(c, h);
    }
}

static void deliver(Connection *c, HttpRequest *request) {
    http1_deliver(c, request);
    consume_pending(c, c->state);
}

static void eof(Connection *c) {
    Http1 *h = c->state;

    switch (h->state) {
    case HTTP1_STREAM:
        stream_cancel(&h->request->stream);
        /* fall through */
    case HTTP1_WAIT:
        /* It may have closed its sending side only. So the answer, if there is one, is sent. */
        atomic_store_explicit(&h->request->cancelled, true, memory_order_relaxed);
        return;
    case HTTP1_WRITE:
        return;
    case HTTP1_WEBSOCKET: /* which has no half-closed state */
    case HTTP1_HEAD:
    case HTTP1_BODY:
    case HTTP1_CHUNKS:
    case HTTP1_DISCARD:
    case HTTP1_LINGER:
        break;
    }
    c->is_dead = true;
}

static void timeout(Connection *c) {
    Http1 *h = c->state;
    const HttpServerOptions *options = http1_options(c);

    switch (h->state) {
    case HTTP1_HEAD:
        if (h->head_bytes == 0) break;
        h->keeps_alive = false;
        verdict_refuse(&h->verdict, 408, "the head took longer than the limit of %llu ms",
                       (unsigned long long)options->header_timeout_ms);
        http1_refuse(c, h);
        return;
    case HTTP1_DISCARD:
        h->verdict.refused = 0;
        /* fall through */
    case HTTP1_BODY:
    case HTTP1_CHUNKS:
        h->keeps_alive = false;
        verdict_refuse(&h->verdict, 408, "nothing of the body came for the limit of %llu ms",
                       (unsigned long long)options->body_timeout_ms);
        http1_refuse(c, h);
        return;
    case HTTP1_WAIT:
    case HTTP1_STREAM:
    case HTTP1_WRITE:
        return;
    case HTTP1_WEBSOCKET: /* not even our pings were answered */
    case HTTP1_LINGER:
        break;
    }
    c->is_dead = true;
}

static void drain(Connection *c) {
    Http1 *h = c->state;
    char byte;

    if (h->state == HTTP1_WEBSOCKET) http1_websocket_drain(c, h);
    if (h->state != HTTP1_HEAD || h->head_bytes > 0) return;
    /* A request that is in the socket already counts as in flight. */
    if (!c->is_tls && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) return;
    c->is_dead = true;
}

static bool open_connection(Connection *c) {
    Http1 *h = calloc(1, sizeof *h);

    if (h == NULL) return false;
    c->state = h;
    buf_init(&h->pending, 0);
    http1_next(c, h);
    connection_deadline(c, http1_options(c)->header_timeout_ms);
    return true;
}

static void close_connection(Connection *c) {
    Http1 *h = c->state;
    HttpRequest *request = h->request;

    bool is_streaming = h->state == HTTP1_STREAM || h->state == HTTP1_WEBSOCKET;

    if (h->state == HTTP1_WAIT || (is_streaming && h->has_writer)) {
        /* The request is in other hands, and comes back to a loop that drops it. */
        request->connection = NULL;
        atomic_store_explicit(&request->cancelled, true, memory_order_relaxed);
        if (is_streaming) stream_cancel(&request->stream);
    } else if (request != NULL) {
        request_recycle(request);
    }
    http1_websocket_free(h->websocket);
    buf_done(&h->pending);
    free(h);
    c->state = NULL;
}

const Protocol http1_protocol = {
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
