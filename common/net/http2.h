#pragma once
/*
 * http2.h: what http2.c (a connection: session, limits, its end), http2_input.c (frames to
 * requests) and http2_reply.c (answers to frames) share. Nobody else includes it.
 */
#include <nghttp2/nghttp2.h>

#include "common/net/internal.h"
#include "common/net/verdict.h"

enum {
    HTTP2_STREAMS_MAX = 128,            /* at once, of one connection */
    HTTP2_STREAM_WINDOW = 1 << 20,      /* bytes of one body that may be on their way, */
    HTTP2_CONNECTION_WINDOW = 4 << 20,  /* and of all of a connection */
    HTTP2_WAITING_BYTES_MAX = 32 << 20, /* bodies with handlers; beyond this the window stays */
    HTTP2_FIELDS_BYTES_MAX = 1 << 20,   /* of one head, unpacked: past it, it is a bomb */
    HTTP2_CONTINUATIONS_MAX = 32,       /* frames that one head comes in */
    HTTP2_OUT_BYTES_MAX = 256 << 10,    /* frames are made while less than this is unsent */
};

#define HTTP2_STATES(X)                                                                            \
    X(HEAD)   /* fields come */                                                                    \
    X(BODY)   /* DATA goes into the request */                                                     \
    X(WAIT)   /* the request is the handler's: hands off, but for the cancel flag */               \
    X(STREAM) /* likewise, but parts of its answer have come */                                    \
    X(WRITE)  /* the answer is whole, and what is left of it in `out` */

typedef enum Http2State {
#define X(name) HTTP2_##name,
    HTTP2_STATES(X)
#undef X
} Http2State;

/* One request on its way. Made by HEADERS, freed when nghttp2 closes the stream. */
typedef struct Http2Stream {
    Connection *connection;
    struct Http2Stream *next;
    struct Http2Stream **link;
    int32_t id;
    Http2State state;
    HttpRequest *request;
    Verdict verdict;
    size_t field_bytes; /* of the head, as RFC 9113 6.5.2 counts them */
    uint64_t announced; /* the Content-Length; 0: none */
    Span authority;     /* of request->head */
    bool is_trailers;   /* the fields that come now are, and say nothing to us */
    bool is_whole;      /* the client has sent its last byte */
    bool has_writer;    /* of a stream, who has not let go of the request */
    bool is_begun;      /* the head of the answer is with nghttp2 */
    bool is_out_whole;  /* nothing follows what is in `out` */
    bool is_deferred;   /* nghttp2 waits to be told of more */
    bool counts_wait;   /* its body is in waiting_bytes */
    Buf out;
    size_t out_at;
    uint64_t deadline_ns; /* 0: none */
} Http2Stream;

/* Tokens that come back with time: what a client may do now and then, but not all the time. */
typedef struct Http2Bucket {
    double tokens;
    uint64_t filled_ns;
} Http2Bucket;

typedef struct Http2 {
    nghttp2_session *session;
    Connection *connection;
    Http2Stream *streams;
    unsigned stream_count;
    Http2Bucket resets;   /* streams that came to nothing */
    Http2Bucket controls; /* PING, SETTINGS, PRIORITY, DATA of nothing */
    size_t waiting_bytes; /* bodies of requests that handlers have */
    size_t unconsumed;    /* bytes of the connection's window not given back for that */
    bool is_started;      /* the client's SETTINGS have come */
    bool is_leaving;      /* the server drains: the second GOAWAY is to follow, */
    bool has_left;        /* and is out: no streams will be added */
    bool is_closing;      /* GOAWAY is all there is to say; input is dropped */
    bool is_shut;
    uint64_t idle_ns;  /* when the last stream ended, or the connection began */
    uint64_t leave_ns; /* when to give up waiting for the answer to the first GOAWAY */
    uint64_t end_ns;   /* when is_closing ends */
    uint32_t why;      /* the connection is to end with this code; 0: it isn't */
} Http2;

static inline const HttpServerOptions *http2_options(const Connection *c) {
    return &c->loop->server->options;
}

/* --- http2.c --- */

/* The stream has until `ms` from now; 0: as long as it likes. */
void http2_deadline(Http2Stream *s, uint64_t ms);
/* The request's own deadline raises its cancel flag. */
void http2_watch(Http2Stream *s);
/* Sends RST_STREAM for our own reasons. */
void http2_reset(Http2Stream *s, uint32_t code);
/* What crossed the first GOAWAY has come: no stream will be added from here on. */
void http2_leave(Http2 *h);
/* Sends what nghttp2 has, as far as the socket keeps up; ends what is to end. */
void http2_flush(Connection *c);
/* Takes one; false: there is none left. */
bool http2_take(Http2 *h, Http2Bucket *bucket, double burst, double per_second);
/* Gives the connection's window back while handlers don't have too much. */
void http2_consumed(Http2 *h, size_t len);
/* A handler has, or has no longer, the request of this stream. */
void http2_waits(Http2 *h, Http2Stream *s, bool waits);

/* --- http2_input.c --- */

MUST_USE bool http2_session_new(Connection *c, Http2 *h);
void http2_stream_free(Http2Stream *s); /* whoever has its request keeps that */

/* --- http2_reply.c --- */

/* Answers in the handler's place, and takes no more of the body. */
void http2_refuse(Http2Stream *s);
/* The request has been answered, or its stream has more. */
void http2_answer(Http2Stream *s);
