/*
 * websocket.c: WebSockets: the handshake, frames out, and, through wslay, what clients send.
 *
 * Frames out are put together by who writes and travel as a Stream does; whole ones only, so that
 * the answers to pings, which the loop sends by itself, fit between any two. wslay sees nothing but
 * the client's bytes and its own answers to them. A client that floods us with pings and doesn't
 * read the answers is not read on.
 */
#include "common/net/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <wslay/wslay.h>

#include "common/net/http1.h"

enum {
    KEY_BYTES = 24, /* of base64: 16 bytes */
    CLOSE_REASON_MAX = 123,
    CLOSING_MS = 2000,
    FRAME_FINAL = 0x80,
};

struct WebSocket {
    wslay_event_context_ptr wslay;
    Connection *connection;
    const char *in; /* of the input at hand */
    size_t in_len;
    bool is_closing; /* a close frame was sent: nothing may follow it */
};

/* ---------- the handshake ---------- */

/* Whether any header `name` lists `token`. */
static bool lists_token(const HttpRequest *request, const char *name, Str token) {
    for (unsigned i = 0; i < request->header_count; i++) {
        Str rest = request_str(request, request->headers[i].value), one;

        if (!str_equal_nocase(request_str(request, request->headers[i].name), str_of(name)))
            continue;
        while (rest.len > 0) {
            str_cut(rest, ',', &one, &rest);
            if (str_equal_nocase(str_trim(one), token)) return true;
        }
    }
    return false;
}

static bool is_key(Str key) {
    unsigned char decoded[KEY_BYTES];

    return key.len == KEY_BYTES && key.ptr[KEY_BYTES - 3] != '=' &&
           str_equal(str_from(key, KEY_BYTES - 2), STR("==")) &&
           EVP_DecodeBlock(decoded, (const unsigned char *)key.ptr, KEY_BYTES) == 18;
}

static ErrCode check_handshake(const HttpRequest *request, Error *err) {
#define NOT_ASKED "websocket: the client is not using the websocket protocol: "
    if (!lists_token(request, "connection", STR("upgrade")))
        return error_set(err, ERR_INVALID,
                         NOT_ASKED "'upgrade' token not found in 'Connection' header");
    if (!lists_token(request, "upgrade", STR("websocket")))
        return error_set(err, ERR_INVALID,
                         NOT_ASKED "'websocket' token not found in 'Upgrade' header");
    if (request->method != HTTP_GET_ || request->is_http10)
        return error_set(err, ERR_INVALID, NOT_ASKED "the request is not a GET of HTTP/1.1");
#undef NOT_ASKED
    if (!str_equal(http_header(request, "sec-websocket-version"), STR("13")))
        return error_set(
            err, ERR_INVALID,
            "websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header");
    if (!is_key(http_header(request, "sec-websocket-key")))
        return error_set(err, ERR_INVALID,
                         "websocket: not a websocket handshake: 'Sec-WebSocket-Key' header must be "
                         "Base64 encoded value of 16-byte in length");
    return ERR_OK;
}

ErrCode websocket_begin(HttpRequest *request, Error *err) {
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_BYTES + sizeof magic];
    unsigned char digest[SHA_DIGEST_LENGTH], accept[32];

    TRY(check_handshake(request, err));
    memcpy(text, http_header(request, "sec-websocket-key").ptr, KEY_BYTES);
    memcpy(text + KEY_BYTES, magic, sizeof magic);
    SHA1((const unsigned char *)text, KEY_BYTES + sizeof magic - 1, digest);
    (void)EVP_EncodeBlock(accept, digest, SHA_DIGEST_LENGTH);
    http_set_header(request, "Upgrade", STR("websocket"));
    http_set_header(request, "Sec-WebSocket-Accept", str_of((const char *)accept));
    stream_begin_frames(request);
    (void)!stream_put(request, (Str){"", 0}, (Str){"", 0}, err);
    return ERR_OK;
}

/* ---------- frames out, from any thread ---------- */

static ErrCode put_frame(HttpRequest *request, unsigned opcode, Str payload, Error *err) {
    char head[10];
    size_t len = 2, shift = 0;

    head[0] = (char)(FRAME_FINAL | opcode);
    if (payload.len < 126) {
        head[1] = (char)payload.len;
    } else if (payload.len <= UINT16_MAX) {
        head[1] = 126;
        shift = 16;
    } else {
        head[1] = 127;
        shift = 64;
    }
    while (shift > 0) {
        shift -= 8;
        head[len++] = (char)((uint64_t)payload.len >> shift);
    }
    return stream_put(request, (Str){head, len}, payload, err);
}

ErrCode websocket_send(HttpRequest *request, Str text, Error *err) {
    return put_frame(request, WSLAY_TEXT_FRAME, text, err);
}

void websocket_ping(HttpRequest *request) {
    Error err;

    (void)!put_frame(request, WSLAY_PING, (Str){"", 0}, &err);
}

size_t websocket_unsent(HttpRequest *request) {
    return stream_backlog(request);
}

/* No more than fits, and no half of a character. */
static size_t reason_bytes(Str reason) {
    size_t len = MIN(reason.len, (size_t)CLOSE_REASON_MAX);

    while (len > 0 && len < reason.len && ((unsigned char)reason.ptr[len] & 0xc0) == 0x80) len--;
    return len;
}

void websocket_end(HttpRequest *request, unsigned code, Str reason) {
    char payload[2 + CLOSE_REASON_MAX];
    size_t len = reason_bytes(reason);
    Error err;

    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (len > 0) memcpy(payload + 2, reason.ptr, len);
    (void)!put_frame(request, WSLAY_CONNECTION_CLOSE, (Str){payload, len + 2}, &err);
    http_respond_end(request);
}

/* ---------- on the loop ---------- */

static ssize_t on_recv(wslay_event_context_ptr wslay, uint8_t *into, size_t room, int flags,
                       void *context) {
    WebSocket *w = context;
    size_t len = MIN(room, w->in_len);

    (void)flags;
    if (len == 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(into, w->in, len);
    w->in += len;
    w->in_len -= len;
    return (ssize_t)len;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t len, int flags,
                       void *context) {
    WebSocket *w = context;

    (void)wslay;
    (void)flags;
    connection_send(w->connection, (Str){(const char *)bytes, len}, (Str){"", 0}, NULL);
    return (ssize_t)len;
}

static WebSocket *websocket_new(Connection *c) {
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                           .send_callback = on_send};
    WebSocket *w = calloc(1, sizeof *w);

    if (w == NULL) return NULL;
    w->connection = c;
    if (wslay_event_context_server_init(&w->wslay, &callbacks, w) != 0) {
        free(w);
        return NULL;
    }
    wslay_event_config_set_max_recv_msg_length(w->wslay, WEBSOCKET_MESSAGE_MAX);
    return w;
}

void http1_websocket_free(WebSocket *w) {
    if (w == NULL) return;
    wslay_event_context_free(w->wslay);
    free(w);
}

void http1_websocket_throttle(Connection *c) {
    if (connection_unsent(c) > STREAM_QUEUE_LOW)
        connection_pause(c);
    else
        connection_resume(c);
}

/* Both sides know that it is over, or the other one makes no sense: what is left is that the client
 * gets to read our last frame. */
static void closing(Connection *c, Http1 *h) {
    WebSocket *w = h->websocket;

    if (!w->is_closing && h->has_writer) {
        atomic_store_explicit(&h->request->cancelled, true, memory_order_relaxed);
        stream_cancel(&h->request->stream);
    }
    w->is_closing = true;
    connection_deadline(c, CLOSING_MS);
    connection_resume(c); /* what comes is dropped, but the end is wanted */
    if (connection_unsent(c) > 0) return;
    if (c->is_tls)
        c->is_dead = true;
    else
        connection_shutdown(c);
}

void http1_websocket_input(Connection *c, Http1 *h, const char *bytes, size_t len) {
    WebSocket *w = h->websocket;
    int failed;

    if (w->is_closing) return;
    connection_deadline(c, http1_options(c)->idle_timeout_ms);
    w->in = bytes;
    w->in_len = len;
    failed = wslay_event_recv(w->wslay);
    if (failed == 0 && wslay_event_want_write(w->wslay)) failed = wslay_event_send(w->wslay);
    /* What is wrong with a frame's own form is told so, and wslay leaves the code out. */
    if (failed == WSLAY_ERR_CALLBACK_FAILURE)
        connection_send(c, STR("\x88\x02\x03\xea"), (Str){"", 0}, NULL);
    else if (failed != 0)
        c->is_dead = true; /* memory */
    if (c->is_dead) return;
    if (failed != 0 || wslay_event_get_close_sent(w->wslay))
        closing(c, h);
    else
        http1_websocket_throttle(c);
}

void http1_websocket_drained(Connection *c, Http1 *h) {
    if (h->has_writer) stream_progress(&h->request->stream, connection_unsent(c));
    if (h->websocket->is_closing)
        closing(c, h);
    else
        http1_websocket_throttle(c);
}

void http1_websocket_drain(Connection *c, Http1 *h) {
    static const char reason[] = "the server is shutting down";
    WebSocket *w = h->websocket;

    if (w->is_closing) return;
    if (wslay_event_queue_close(w->wslay, WEBSOCKET_GOING_AWAY, (const uint8_t *)reason,
                                sizeof reason - 1) != 0 ||
        wslay_event_send(w->wslay) != 0)
        c->is_dead = true;
    else
        closing(c, h);
}

static void switch_protocol(Connection *c, Http1 *h, const HttpRequest *request) {
    Buf *head = http1_begin_head(c, 101);

    h->state = HTTP1_WEBSOCKET;
    h->websocket = websocket_new(c);
    h->keeps_alive = false;
    h->has_unread = true; /* there is a frame of the client's to come when all is said */
    buf_append_str(head, buf_str(&request->reply_head));
    buf_append_str(head, STR("Connection: Upgrade\r\n\r\n"));
    if (h->websocket == NULL || buf_failed(head) || buf_failed(&request->reply_head) || c->is_eof) {
        c->is_dead = true;
        return;
    }
    connection_deadline(c, http1_options(c)->idle_timeout_ms);
    connection_send(c, buf_str(head), (Str){"", 0}, NULL);
}

void http1_websocket_deliver(Connection *c, Http1 *h, HttpRequest *request) {
    Buf bytes;
    StreamNews news = stream_take(&request->stream, &bytes);

    h->has_writer = news == STREAM_GOES_ON;
    if (h->websocket == NULL) switch_protocol(c, h, request);
    if (buf_failed(&bytes)) c->is_dead = true; /* memory: frames are missing */
    if (c->is_dead || h->websocket->is_closing)
        buf_done(&bytes);
    else
        connection_send(c, (Str){"", 0}, buf_str(&bytes), bytes.ptr);
    if (c->is_dead) return;
    if (!h->has_writer) {
        http1_sent(c, h, request->status);
    } else {
        stream_progress(&request->stream, connection_unsent(c));
        if (c->loop->draining) http1_websocket_drain(c, h);
    }
}
