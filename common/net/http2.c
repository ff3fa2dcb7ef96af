/*
 * http2.c: HTTP/2 (RFC 9113) on a connection, by nghttp2: when bytes go to the session, when its
 * frames go out, what a client may cost, and how a connection ends.
 *
 * nghttp2 frames, compresses heads and keeps the windows. Ours are the limits. Each stream has a
 * deadline while it is the client's turn; one timer serves all. Frames are made only while little
 * waits for the socket, so that an answer stays in its stream, where its writer can be made to
 * wait. What isn't forbidden but only an attacker does often (resets, PING, SETTINGS) is paid for
 * with tokens; without any left the connection ends with ENHANCE_YOUR_CALM.
 */
#include "common/net/http2.h"

#include <stdlib.h>

enum {
    READ_BYTES = SCRATCH_BYTES,
    BATCH_BYTES = 64 << 10, /* of frames, to the socket at once */
    LINGER_MS = 2000,       /* for the client to read our last words */
    LEAVE_MS = 500,         /* for requests that crossed the first GOAWAY */
    GOAWAY_FRAME_BYTES = 17,
};

/* ---------- deadlines and prices ---------- */

/* The connection's timer follows the earliest deadline; one that fires too early finds so. */
static void due(Connection *c, uint64_t at_ns) {
    if (at_ns != 0 && (c->deadline_ns == 0 || at_ns < c->deadline_ns)) c->deadline_ns = at_ns;
}

void http2_deadline(Http2Stream *s, uint64_t ms) {
    Connection *c = s->connection;

    s->deadline_ns = ms == 0 ? 0 : c->loop->now_ns + ms * 1000000;
    due(c, s->deadline_ns);
}

void http2_watch(Http2Stream *s) {
    due(s->connection, s->request->deadline_ns);
}

bool http2_take(Http2 *h, Http2Bucket *bucket, double burst, double per_second) {
    uint64_t now_ns = h->connection->loop->now_ns;

    if (bucket->filled_ns == 0) {
        bucket->tokens = burst;
    } else if (now_ns > bucket->filled_ns) {
        bucket->tokens += (double)(now_ns - bucket->filled_ns) / 1e9 * per_second;
        bucket->tokens = MIN(bucket->tokens, burst);
    }
    bucket->filled_ns = now_ns;
    if (bucket->tokens < 1) return false;
    bucket->tokens -= 1;
    return true;
}

void http2_consumed(Http2 *h, size_t len) {
    h->unconsumed += len;
    if (h->waiting_bytes > HTTP2_WAITING_BYTES_MAX || h->unconsumed == 0) return;
    (void)nghttp2_session_consume_connection(h->session, h->unconsumed);
    h->unconsumed = 0;
}

void http2_waits(Http2 *h, Http2Stream *s, bool waits) {
    if (s->counts_wait == waits) return;
    s->counts_wait = waits;
    if (waits) {
        h->waiting_bytes += s->request->body_len;
    } else {
        h->waiting_bytes -= s->request->body_len;
        http2_consumed(h, 0);
    }
}

void http2_reset(Http2Stream *s, uint32_t code) {
    Http2 *h = s->connection->state;

    (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code);
}

/* ---------- the end ---------- */

/* Closing with input unread would make it a reset, which may overtake our last words: so it is
 * dropped for a while. */
static void linger(Connection *c, Http2 *h) {
    if (c->is_eof) c->is_dead = true;
    if (c->is_dead || connection_unsent(c) > 0 || h->is_shut) return;
    h->is_shut = true;
    connection_shutdown(c);
}

static void close_soon(Connection *c, Http2 *h) {
    h->is_closing = true;
    h->end_ns = c->loop->now_ns + (uint64_t)LINGER_MS * 1000000;
    due(c, h->end_ns);
}

/* GOAWAY by hand: after an error of input the session takes no more orders. */
static void fail(Connection *c, Http2 *h, uint32_t code) {
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    unsigned char frame[GOAWAY_FRAME_BYTES] = {0, 0, 8, NGHTTP2_GOAWAY};

    for (int i = 0; i < 4; i++) {
        frame[9 + i] = (unsigned char)((uint32_t)last >> (24 - 8 * i));
        frame[13 + i] = (unsigned char)(code >> (24 - 8 * i));
    }
    close_soon(c, h);
    connection_send(c, (Str){(char *)frame, sizeof frame}, (Str){"", 0}, NULL);
    linger(c, h);
}

static uint32_t code_of(int result) {
    switch (result) {
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_SETTINGS:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
        return NGHTTP2_ENHANCE_YOUR_CALM;
    case NGHTTP2_ERR_NOMEM:
        return NGHTTP2_INTERNAL_ERROR;
    default:
        return NGHTTP2_PROTOCOL_ERROR;
    }
}

/* ---------- bytes out ---------- */

static void flush_frames(Connection *c, Http2 *h) {
    Buf *batch = &c->loop->head;

    while (!c->is_dead && connection_unsent(c) < HTTP2_OUT_BYTES_MAX) {
        ssize_t len = 1;

        buf_clear(batch);
        while (batch->len < BATCH_BYTES) {
            const uint8_t *bytes;

            len = nghttp2_session_mem_send(h->session, &bytes);
            if (len <= 0) break;
            buf_append(batch, bytes, (size_t)len);
        }
        if (len < 0 || buf_failed(batch)) {
            c->is_dead = true;
            return;
        }
        if (batch->len == 0) return;
        connection_send(c, buf_str(batch), (Str){"", 0}, NULL);
        if (len == 0) return;
    }
}

void http2_flush(Connection *c) {
    Http2 *h = c->state;

    if (!h->is_closing) flush_frames(c, h);
    if (c->is_dead) return;
    if (!h->is_closing && h->why != 0) fail(c, h, h->why);
    /* nghttp2 has said GOAWAY, because of an error, and is through with the connection. */
    if (!h->is_closing && !h->has_left && nghttp2_session_want_read(h->session) == 0 &&
        nghttp2_session_want_write(h->session) == 0)
        close_soon(c, h);
    if (h->is_closing) {
        linger(c, h);
        return;
    }
    if (h->stream_count > 0) return;
    due(c, h->idle_ns + http2_options(c)->idle_timeout_ms * 1000000);
    if (c->is_eof || (h->has_left && connection_unsent(c) == 0)) c->is_dead = true;
}

/* ---------- the protocol ---------- */

static size_t target(Connection *c, char **into) {
    (void)c;
    (void)into;
    return READ_BYTES;
}

static void landed(Connection *c, size_t len) {
    (void)c;
    (void)len;
    assert(false && "nothing is read in place");
}

static void input(Connection *c, const char *bytes, size_t len) {
    Http2 *h = c->state;
    ssize_t used;

    if (h->is_closing) return;
    used = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes, len);
    if (used < 0) {
        flush_frames(c, h); /* answers to what came before */
        if (!c->is_dead) fail(c, h, h->why != 0 ? h->why : code_of((int)used));
        return;
    }
    http2_flush(c);
}

static void drained(Connection *c, size_t left) {
    (void)left;
    if (!c->is_dead) http2_flush(c);
}

static void deliver(Connection *c, HttpRequest *request) {
    http2_answer(request->exchange);
    http2_flush(c);
}

static void eof(Connection *c) {
    Http2 *h = c->state;

    /* It may have closed its sending side only. So answers, if there are any, are sent. */
    for (Http2Stream *s = h->streams; s != NULL; s = s->next) {
        if (s->state == HTTP2_HEAD || s->state == HTTP2_BODY) {
            http2_reset(s, NGHTTP2_CANCEL);
        } else if (s->state == HTTP2_WAIT || s->has_writer) {
            if (s->state == HTTP2_STREAM) stream_cancel(&s->request->stream);
            atomic_store_explicit(&s->request->cancelled, true, memory_order_relaxed);
        }
    }
    if (h->is_closing) c->is_dead = true;
    http2_flush(c);
}

static bool is_due(Connection *c, uint64_t at_ns) {
    return at_ns != 0 && c->loop->now_ns + 1000000 >= at_ns;
}

static void stream_timeout(Connection *c, Http2Stream *s) {
    Http2 *h = c->state;
    const HttpServerOptions *options = http2_options(c);

    s->deadline_ns = 0;
    switch (s->state) {
    case HTTP2_HEAD:
        fail(c, h, NGHTTP2_ENHANCE_YOUR_CALM); /* nothing but the rest of the head can come */
        return;
    case HTTP2_BODY:
        if (h->unconsumed > 0) { /* it is we who keep it from sending */
            http2_deadline(s, options->body_timeout_ms);
            return;
        }
        verdict_refuse(&s->verdict, 408, "nothing of the body came for the limit of %llu ms",
                       (unsigned long long)options->body_timeout_ms);
        http2_refuse(s);
        return;
    case HTTP2_WAIT:
        return;
    case HTTP2_STREAM:
    case HTTP2_WRITE:
        /* The socket has a deadline of its own; this one is for a window that stays shut. */
        if (connection_unsent(c) > 0)
            http2_deadline(s, options->write_timeout_ms);
        else
            http2_reset(s, NGHTTP2_CANCEL);
        return;
    }
}

/* Nobody waits for the answer any more; who works on it is told. */
static void call_timeout(Http2Stream *s) {
    if (s->state == HTTP2_STREAM && s->has_writer) stream_cancel(&s->request->stream);
    atomic_store_explicit(&s->request->cancelled, true, memory_order_relaxed);
}

/* The second GOAWAY: streams up to what has come are answered, others never will be. */
void http2_leave(Http2 *h) {
    if (h->has_left) return;
    h->has_left = true;
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

static void timeout(Connection *c) {
    Http2 *h = c->state;
    Http2Stream *next;

    if (is_due(c, h->end_ns)) {
        c->is_dead = true;
        return;
    }
    due(c, h->end_ns);
    if (h->is_closing) return;
    for (Http2Stream *s = h->streams; s != NULL && !h->is_closing; s = next) {
        next = s->next;
        if (is_due(c, s->deadline_ns)) stream_timeout(c, s);
        due(c, s->deadline_ns);
        if (s->state != HTTP2_WAIT && s->state != HTTP2_STREAM) continue;
        if (is_due(c, s->request->deadline_ns))
            call_timeout(s);
        else
            due(c, s->request->deadline_ns);
    }
    if (h->is_closing) return;
    if (is_due(c, h->leave_ns)) http2_leave(h);
    if (!h->has_left) due(c, h->leave_ns);
    if (!h->is_started && is_due(c, h->idle_ns + http2_options(c)->header_timeout_ms * 1000000))
        fail(c, h, NGHTTP2_SETTINGS_TIMEOUT);
    else if (h->stream_count == 0 &&
             is_due(c, h->idle_ns + http2_options(c)->idle_timeout_ms * 1000000))
        http2_leave(h);
    http2_flush(c);
}

/* The first GOAWAY says that an end is near; who has read it answers the PING behind it, and what
 * crossed it on its way has come by then. */
static void drain(Connection *c) {
    Http2 *h = c->state;

    if (h->is_leaving || h->is_closing) return;
    h->is_leaving = true;
    h->leave_ns = c->loop->now_ns + (uint64_t)LEAVE_MS * 1000000;
    due(c, h->leave_ns);
    (void)nghttp2_submit_shutdown_notice(h->session);
    (void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, (const uint8_t *)"leaving.");
    http2_flush(c);
}

static bool open_connection(Connection *c) {
    Http2 *h = calloc(1, sizeof *h);

    if (h == NULL) return false;
    h->connection = c;
    h->idle_ns = c->loop->now_ns;
    c->state = h;
    connection_deadline(c, http2_options(c)->header_timeout_ms);
    if (!http2_session_new(c, h)) return false;
    http2_flush(c);
    if (c->loop->draining && !c->is_dead) drain(c);
    return true;
}

static void close_connection(Connection *c) {
    Http2 *h = c->state;

    /* Closes no streams by callback; http2_input.c's does that for each. */
    while (h->streams != NULL) http2_stream_free(h->streams);
    nghttp2_session_del(h->session);
    free(h);
    c->state = NULL;
}

const Protocol http2_protocol = {
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
