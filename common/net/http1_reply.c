/*
 * http1_reply.c: answers on their way out, and what becomes of the connection after them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/net/http1.h"

enum {
    DISCARD_BYTES_MAX = 1 << 20, /* a refused body is read up to this to save the connection */
    LINGER_MS = 2000,
};

/* --- answers --- */

void http1_next(Connection *c, Http1 *h) {
    h->state = HTTP1_HEAD;
    h->request = NULL;
    h->head_bytes = h->framing_bytes = 0;
    h->body_left = 0;
    h->last_byte = '\0';
    h->is_in_name = h->is_head_done = h->is_head_read = h->is_body_read = h->is_chunked = false;
    h->chunks = (Chunks){0};
    h->expects_continue = h->is_stream_begun = h->has_writer = false;
    verdict_init(&h->verdict, c->loop->server);
    http_parser_init(&h->parser, HTTP_REQUEST);
    h->parser.data = c;
    connection_deadline(c, http1_options(c)->idle_timeout_ms);
}

void http1_finish(Connection *c, Http1 *h, int status) {
    HttpRequest *request = h->request;

    if (request != NULL) {
        loop_tick(c->loop);
        stats_count(h->verdict.stats, status, c->loop->now_ns - request->began_ns);
        h->request = NULL;
        request_recycle(request);
    } else {
        stats_count(h->verdict.stats, status, 0);
    }
    if (h->keeps_alive && !c->is_eof) {
        http1_next(c, h);
        return;
    }
    if (c->is_eof || !h->has_unread) {
        c->is_dead = true;
        return;
    }
    /* Closing with input unread makes the kernel send a reset, which may overtake the answer. */
    h->state = HTTP1_LINGER;
    connection_shutdown(c);
    connection_resume(c);
    connection_deadline(c, LINGER_MS);
}

void http1_sent(Connection *c, Http1 *h, int status) {
    if (c->is_dead) return;
    h->state = HTTP1_WRITE;
    connection_deadline(c, 0); /* the bufferevent watches the progress of writing */
    if (connection_unsent(c) == 0) http1_finish(c, h, status);
}

static void append_text(Buf *out, const char *text) {
    buf_append(out, text, strlen(text));
}

static void append_number(Buf *out, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;

    do digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    buf_append(out, digits + at, sizeof digits - at);
}

Buf *http1_begin_head(Connection *c, int status) {
    Buf *out = &c->loop->head;

    buf_clear(out);
    append_text(out, "HTTP/1.1 ");
    append_number(out, (uint64_t)status);
    buf_append_byte(out, ' ');
    append_text(out, status_reason(status));
    append_text(out, "\r\n");
    buf_append_str(out, loop_date(c->loop));
    return out;
}

/* Says what becomes of the connection, and sends. */
static void send_answer(Connection *c, Http1 *h, Buf *head, Str body, void *memory) {
    if (c->loop->draining || c->is_eof) h->keeps_alive = false;
    if (!h->keeps_alive)
        append_text(head, "Connection: close\r\n");
    else if (h->request != NULL && h->request->is_http10)
        append_text(head, "Connection: keep-alive\r\n");
    append_text(head, "\r\n");
    if (buf_failed(head)) {
        c->is_dead = true;
        free(memory);
        return;
    }
    connection_send(c, buf_str(head), body, memory);
}

void http1_send_refusal(Connection *c, Http1 *h) {
    int status = h->verdict.refused;
    Buf *head = http1_begin_head(c, status);
    Str body;
    char text[sizeof h->verdict.refusal + 1];

    (void)snprintf(text, sizeof text, "%s\n", h->verdict.refusal);
    body = str_of(text);
    append_text(head, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    append_number(head, body.len);
    append_text(head, "\r\n");
    if (status == 503) append_text(head, "Retry-After: 1\r\n");
    if (status == 405) {
        append_text(head, "Allow: ");
        verdict_allowed(&h->verdict, head);
        append_text(head, "\r\n");
    }
    if (h->request != NULL && h->request->method == HTTP_HEAD_) body.len = 0;
    if (h->request != NULL) request_body_drop(h->request);
    send_answer(c, h, head, body, NULL);
    http1_sent(c, h, status);
}

/* Answers in the handler's place: at once and for good, or after what little is left of the body.
 */
void http1_refuse(Connection *c, Http1 *h) {
    bool is_survivable = h->is_head_read && !h->expects_continue &&
                         (h->is_chunked ? h->is_body_read : h->body_left <= DISCARD_BYTES_MAX);

    if (is_survivable && h->keeps_alive && h->body_left > 0) {
        h->state = HTTP1_DISCARD;
        request_body_drop(h->request);
        connection_deadline(c, http1_options(c)->body_timeout_ms);
        return;
    }
    if (!is_survivable || !h->keeps_alive || h->body_left > 0) {
        h->keeps_alive = false;
        h->has_unread = true;
    }
    http1_send_refusal(c, h);
}

static void send_whole(Connection *c, Http1 *h, HttpRequest *request) {
    int status = request->status;
    Buf *head = http1_begin_head(c, status);
    Buf body = request->reply_body;

    buf_init(&request->reply_body, 0);
    buf_append_str(head, buf_str(&request->reply_head));
    if (buf_failed(&request->reply_head)) head->failed = true;
    if (status_has_body(status)) {
        append_text(head, "Content-Length: ");
        append_number(head, body.len);
        append_text(head, "\r\n");
    }
    if (request->method == HTTP_HEAD_ || !status_has_body(status)) body.len = 0;
    send_answer(c, h, head, buf_str(&body), body.ptr);
    http1_sent(c, h, status);
}

static void send_stream(Connection *c, Http1 *h, HttpRequest *request) {
    Stream *stream = &request->stream;
    Buf bytes;
    StreamNews news = stream_take(stream, &bytes);

    h->state = HTTP1_STREAM;
    h->has_writer = news == STREAM_GOES_ON;
    if (!h->is_stream_begun) {
        Buf *head = http1_begin_head(c, request->status);

        h->is_stream_begun = true;
        buf_append_str(head, buf_str(&request->reply_head));
        if (buf_failed(&request->reply_head)) head->failed = true;
        if (stream->has_body && stream->is_chunked)
            append_text(head, "Transfer-Encoding: chunked\r\n");
        else if (stream->has_body)
            h->keeps_alive = false; /* HTTP/1.0: the end of the connection ends the body */
        send_answer(c, h, head, buf_str(&bytes), bytes.ptr);
    } else {
        connection_send(c, (Str){"", 0}, buf_str(&bytes), bytes.ptr);
    }
    if (news == STREAM_ABORTED) {
        struct linger reset = {.l_onoff = 1};

        if (!c->is_tls) (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        c->is_dead = true;
    } else if (news == STREAM_ENDED) {
        http1_sent(c, h, request->status);
    } else if (!c->is_dead) {
        stream_progress(stream, connection_unsent(c));
    }
}

void http1_deliver(Connection *c, HttpRequest *request) {
    Http1 *h = c->state;

    assert(h->request == request);
    if (request->stream.is_active && request->stream.is_websocket)
        http1_websocket_deliver(c, h, request);
    else if (request->stream.is_active)
        send_stream(c, h, request);
    else
        send_whole(c, h, request);
}
