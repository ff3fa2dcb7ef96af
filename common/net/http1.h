#pragma once
/*
 * http1.h: what http1.c (bytes in, and a connection's life), http1_head.c (the head) and
 * http1_reply.c (answers) share. Nobody else includes it.
 */
#include <http_parser.h>

#include "common/net/internal.h"
#include "common/net/verdict.h"

#define HTTP1_STATES(X)                                                                            \
    X(HEAD)    /* between requests, or in the middle of a head; the request appears with a byte */ \
    X(BODY)    /* `body_left` bytes go straight into the request */                                \
    X(CHUNKS)  /* between the pieces of a chunked body */                                          \
    X(DISCARD) /* refused: `body_left` bytes are dropped, then the refusal is sent */              \
    X(WAIT)    /* the request is the handler's: hands off, but for the cancel flag */              \
    X(STREAM)  /* likewise, but parts of its answer have come */                                   \
    X(WEBSOCKET) /* it became one: what comes in is frames */                                      \
    X(WRITE)     /* the answer is complete and not yet with the kernel */                          \
    X(LINGER)    /* all is said: input is dropped until the client closes */

typedef enum Http1State {
#define X(name) HTTP1_##name,
    HTTP1_STATES(X)
#undef X
} Http1State;

typedef struct WebSocket WebSocket;

typedef struct Http1 {
    http_parser parser;
    Http1State state;
    HttpRequest *request; /* NULL in HEAD before the first byte and in LINGER */
    Buf pending;
    size_t pending_at;
    size_t head_bytes;
    size_t framing_bytes; /* of a chunked body */
    uint64_t body_left;   /* of the body, or of the chunk */
    Chunks chunks;
    char last_byte; /* of the head so far */
    bool is_in_name;
    bool is_head_done;
    bool is_head_read; /* to its last byte */
    bool is_body_read;
    bool is_chunked;
    bool keeps_alive;
    bool expects_continue;
    bool has_unread; /* the client may be sending still when it gets the answer */
    bool is_stream_begun;
    bool has_writer; /* of a stream, who has not let go of the request */
    Verdict verdict;
    WebSocket *websocket; /* NULL: it is none */
} Http1;

static inline const HttpServerOptions *http1_options(const Connection *c) {
    return &c->loop->server->options;
}

/* --- http1_head.c --- */

/* Reads on in a head, to its last byte or to a flaw, and returns how much it took. With
 * is_head_read it is whole, and `refused` or `handle` is set; with `refused` alone nothing can
 * follow. */
size_t http1_head_read(Connection *c, Http1 *h, const char *bytes, size_t len);

/* --- http1_reply.c --- */

/* Ready for the next head. */
void http1_next(Connection *c, Http1 *h);
/* Answers in the handler's place: at once and for good, or after what little body is left. */
void http1_refuse(Connection *c, Http1 *h);
void http1_send_refusal(Connection *c, Http1 *h);
/* The request has been answered, or its stream has more. */
void http1_deliver(Connection *c, HttpRequest *request);
/* The head of an answer, up to the date, in a buffer of the loop. */
Buf *http1_begin_head(Connection *c, int status);
/* All of the answer has been given to the connection. */
void http1_sent(Connection *c, Http1 *h, int status);
/* The answer is with the kernel. */
void http1_finish(Connection *c, Http1 *h, int status);

/* --- websocket.c --- */

/* The answer, or more of it: the switch to frames, and frames. */
void http1_websocket_deliver(Connection *c, Http1 *h, HttpRequest *request);
void http1_websocket_input(Connection *c, Http1 *h, const char *bytes, size_t len);
/* Reads on, or not while the client leaves unread what it is told. */
void http1_websocket_throttle(Connection *c);
/* The peer has read. */
void http1_websocket_drained(Connection *c, Http1 *h);
/* The server is about to end. */
void http1_websocket_drain(Connection *c, Http1 *h);
void http1_websocket_free(WebSocket *websocket); /* NULL is fine */
