#pragma once
/*
 * internal.h: what the files of common/net know of each other. Nobody else includes it.
 *
 *   server     the listener and the options; hands accepted sockets to the loops in turn
 *   loop       one thread, one event_base; everything that belongs to a connection happens there
 *   connection a socket, with or without TLS: bytes in, bytes out, deadlines. Knows no HTTP.
 *   protocol   what makes requests of bytes and bytes of answers: http1.c, http2.c
 *   request    one request and its answer; on its way through other threads the loop leaves it
 * alone, but for the cancel flag
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/telemetry.h"
#include "common/net/http.h"

typedef struct Loop Loop;
typedef struct Connection Connection;
typedef struct Protocol Protocol;
typedef struct Route Route;
typedef struct Router Router;
typedef struct RouteStats RouteStats;
typedef struct Params Params;

enum {
    HEADERS_MAX = 256,            /* header lines of one request */
    CAPTURES_MAX = 8,             /* {names} in one path */
    PARAMS_MAX = 10000,           /* of query and form together */
    SCRATCH_BYTES = 64 << 10,     /* what a loop reads into where bytes can't go to their place */
    STREAM_QUEUE_MAX = 256 << 10, /* a streaming writer waits while more than this is unsent */
    STREAM_QUEUE_LOW = 64 << 10,  /* and goes on below this */
};

/* --- loop.c --- */

/* A message to a loop; lives in what it is about. */
typedef struct Post {
    struct Post *next;
    enum { POST_CONNECTION, POST_REQUEST, POST_DRAIN, POST_STOP } kind;
} Post;

struct Loop {
    HttpServer *server; /* only while the loop runs */
    struct event_base *base;
    Router *router; /* a reference: a request may be asked for its path's {names} to the end */
    pthread_t thread;
    bool started;
    int wake_fd; /* eventfd; written when `posts` was empty before */
    struct event wake_event;
    _Atomic(Post *) posts;  /* newest first; a marker once the loop takes no more */
    atomic_uint references; /* the server, each request, each post on its way */
    Post drain_post, stop_post;
    Connection *connections;
    HttpRequest *spares; /* requests to use again, with the memory of their buffers */
    unsigned spare_count;
    char *scratch;
    Buf head;        /* of the answer being sent */
    uint64_t now_ns; /* when the current callback began */
    bool draining;
    int64_t date_s; /* what `date` says */
    char date[40];
};

MUST_USE ErrCode loop_new(HttpServer *server, Loop **out, Error *err);
MUST_USE ErrCode loop_start(Loop *loop, unsigned index, Error *err);
/* From any thread that holds a reference, its own or a request's. False: the loop has ended, and
 * the post is the caller's still. */
MUST_USE bool loop_post(Loop *loop, Post *post);
void loop_reference(Loop *loop);
void loop_release(Loop *loop);
void loop_tick(Loop *loop); /* sets now_ns */
bool loop_is_current(void); /* on a loop's thread, which must not wait */
/* "Date: ...\r\n" of this second. */
Str loop_date(Loop *loop);

/* --- connection.c: only on the connection's loop --- */

typedef union PeerAddress {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} PeerAddress;

struct Connection {
    Post post; /* from the acceptor to the loop */
    Loop *loop;
    Connection *next;
    Connection **link; /* what points to this one in loop->connections; NULL: not in it yet */
    const Protocol *protocol;
    void *state; /* the protocol's */
    PeerAddress peer;
    char *certificate_name; /* of the client, or NULL */
    int fd;
    /* With TLS all bytes go through it. Without, it is made by the first answer that the socket
     * doesn't take at once, and carries what is left. */
    struct bufferevent *bev;
    bool is_tls;
    bool is_open;   /* the TLS handshake is over */
    bool is_paused; /* nothing is read; hang-ups are noticed all the same */
    bool is_eof;    /* the peer sends no more */
    bool is_dead;   /* goes when the current callback ends */
    struct event read_event;
    struct event closed_event;
    struct event timer;
    uint64_t deadline_ns;       /* protocol->timeout() runs then; 0: no limit */
    uint64_t write_deadline_ns; /* the peer must have read something by then; 0: it has all */
    uint64_t queued;            /* bytes ever given to the bufferevent, */
    uint64_t read_by_peer;      /* and how many of them had gone out when the deadline was set */
    unsigned sniffed;           /* bytes of HTTP/2's preface that have come */
    uint64_t timer_ns;          /* when the timer fires, which may be before; 0: it doesn't */
};

struct Protocol {
    bool (*open)(Connection *c); /* false: out of memory */
    /* Where the next bytes should go and how many; *into stays NULL when anywhere will do. */
    size_t (*target)(Connection *c, char **into);
    void (*landed)(Connection *c, size_t len); /* `len` bytes are in the target */
    void (*input)(Connection *c, const char *bytes, size_t len);
    void (*eof)(Connection *c);
    void (*drained)(Connection *c, size_t left); /* the peer read: `left` bytes wait still */
    void (*deliver)(Connection *c, HttpRequest *request); /* answered, or more of a stream */
    void (*timeout)(Connection *c);
    void (*drain)(Connection *c); /* the server is about to end: close when idle */
    void (*close)(Connection *c); /* gives up its requests and frees its state */
};
extern const Protocol http1_protocol;
extern const Protocol http2_protocol;
extern const Protocol sniff_protocol; /* finds out which of them the client speaks */

/* `fd` belongs to it. NULL: out of memory. From the acceptor's thread. */
Connection *connection_new(Loop *loop, int fd, const struct sockaddr *peer, size_t peer_len);
void connection_abandon(Connection *c); /* one that never came to its loop */
void connection_open(Connection *c);
/* After anything that may have ended it or moved its deadline: frees it or arms its timer. */
void connection_settle(Connection *c);
void connection_free(Connection *c);
/* Sends both. `memory`, when not NULL, is malloc's, holds `body`, and is the connection's from here
 * on, also when it dies of this. */
void connection_send(Connection *c, Str head, Str body, void *memory);
size_t connection_unsent(const Connection *c);
void connection_pause(Connection *c); /* stops reading; hang-ups are still noticed */
void connection_resume(Connection *c);
void connection_deadline(Connection *c, uint64_t ms); /* from now; 0: none */
void connection_shutdown(Connection *c);              /* nothing more is written */

/* --- compress.c --- */

typedef enum Coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD } Coding;
typedef struct Encoder Encoder;

const char *coding_name(Coding coding);
/* The best that an Accept-Encoding header allows. */
Coding coding_accepted(Str accept);
bool coding_pays(Str content_type);
/* False when it got no smaller, or memory ran out: then *out is as it was. */
bool coding_compress(Coding coding, Str bytes, Buf *out);
Encoder *encoder_new(Coding coding); /* NULL: out of memory */
void encoder_free(Encoder *encoder);
/* Appends what came out so far, or with `last` all of it. */
MUST_USE bool encoder_write(Encoder *encoder, Str bytes, bool last, Buf *out);

/* --- stream.c --- */

/* An answer piece by piece: between the thread that writes it and the loop that sends it. */
typedef struct Stream {
    bool is_active; /* the answer is such a one, and what follows is initialised */
    bool is_chunked;
    bool has_body; /* not for HEAD */
    bool is_websocket;
    Encoder *encoder;
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t changed;
    Buf pending;   /* not taken by the loop yet */
    size_t unsent; /* taken, but not by the client */
    bool is_posted;
    bool is_cancelled;
    bool is_short; /* something was written when nobody was there any more */
    bool is_ended;
    bool is_aborted; /* it is to look cut off, because it is */
} Stream;

typedef enum StreamNews {
    STREAM_GOES_ON,
    STREAM_ENDED,   /* that was all, and the writer has let go of the request */
    STREAM_ABORTED, /* likewise, but the client must not take it for whole */
} StreamNews;

/* On the loop: moves what was written since to *out; NULL: nobody is there to read it. */
StreamNews stream_take(Stream *stream, Buf *out);
/* On the loop: the client has read all but `unsent` bytes of what was taken. */
void stream_progress(Stream *stream, size_t unsent);
void stream_cancel(Stream *stream);
/* For websocket.c: an answer of bytes that are framed already. */
void stream_begin_frames(HttpRequest *request);
/* Both, one behind the other; never waits. ERR_CANCELLED: the client has gone. */
MUST_USE ErrCode stream_put(HttpRequest *request, Str head, Str bytes, Error *err);
size_t stream_backlog(HttpRequest *request); /* bytes that the client has not taken */
void stream_done(Stream *stream);

/* --- request.c --- */

typedef struct Span { /* of HttpRequest.head */
    uint32_t at;
    uint32_t len;
} Span;

typedef struct HeaderSpan {
    Span name;
    Span value;
} HeaderSpan;

struct HttpRequest {
    Post post;
    Loop *loop;             /* holds a reference */
    Connection *connection; /* only the loop looks at it; NULL: it has gone */
    HttpRequest *next_spare;
    atomic_bool cancelled;

    HttpMethod method;
    bool is_http10;
    bool is_http2;
    void *exchange;     /* of HTTP/2: its stream, for the loop alone */
    const Route *route; /* NULL: the fallback */
    Buf head;           /* the target, then names and values */
    Span target, path, query;
    HeaderSpan headers[HEADERS_MAX];
    unsigned header_count;
    Span captures[CAPTURES_MAX];
    PeerAddress peer;
    char peer_text[64];
    Span certificate_name;

    char *body;
    size_t body_len, body_capacity;
    size_t body_charged; /* to the budget */
    size_t head_charged; /* likewise, where a connection may have many requests */
    Budget *bodies;
    Arena *arena;   /* made by the first who asks for it */
    Params *params; /* likewise */

    int status;
    Buf reply_head; /* header lines */
    Buf reply_body;
    Buf reply_trailers; /* likewise; HTTP/1.1 leaves them out */
    Stream stream;
    uint64_t began_ns;
    uint64_t deadline_ns; /* when the client stops waiting, as gRPC's do; 0: it doesn't say */
};

HttpRequest *request_new(Connection *c);    /* on the loop; NULL: out of memory */
void request_recycle(HttpRequest *request); /* on the loop */
void request_destroy(HttpRequest *request); /* anywhere */
static inline Str request_str(const HttpRequest *request, Span span) {
    return (Str){request->head.ptr + span.at, span.len};
}
/* Room for `capacity` bytes of body. False: out of memory. */
MUST_USE bool request_body_room(HttpRequest *request, size_t capacity);
/* Charges for the head and the request itself. False: the budget is used up. */
MUST_USE bool request_charge_head(HttpRequest *request);
/* Charges for `len` bytes that are there now. False: the budget is used up. */
MUST_USE bool request_body_grew(HttpRequest *request, size_t len);
void request_body_drop(HttpRequest *request);
extern Gauge *net_body_bytes;

/* --- respond.c --- */

/* Calls the handler. True: it has answered, and the answer is to be sent now. */
bool request_dispatch(HttpRequest *request, void (*handle)(HttpRequest *, void *), void *context);
/* Gives the request back to its loop. The caller must not touch it again. */
void request_hand_over(HttpRequest *request);
/* One header line. */
void request_append_header(Buf *out, Str name, Str value);
/* Lines for the answer's head. */
void request_say_type(HttpRequest *request, const char *content_type);
Coding request_choose_coding(HttpRequest *request, int status, const char *content_type);
void request_say_coding(HttpRequest *request, Coding coding);
const char *status_reason(int status);
/* Whether `status` may come with a body. */
bool status_has_body(int status);

/* --- grpc.c --- */

/* What a grpc-timeout says; 0: nothing that can be understood. */
uint64_t grpc_timeout_ns(Str timeout);
/* The head of an answer to a call that never came to a handler; its HTTP status is 200. */
void grpc_refuse(HttpRequest *request, int http, Str text);

/* --- chunks.c --- */

typedef enum ChunkState {
    CHUNK_SIZE, /* the start; or in the middle of a size */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA, /* `left` bytes of body are next, which the caller takes; then the line end */
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE,
    CHUNK_BAD,
} ChunkState;

typedef struct Chunks {
    ChunkState state;
    unsigned digits;
    uint64_t left;
} Chunks;

/* Reads up to the next data, the end, or a flaw; `*chunks` begins zeroed. Returns how much it took.
 * At CHUNK_DATA the caller takes `left` bytes and sets it to 0. */
size_t chunks_read(Chunks *chunks, const char *bytes, size_t len);

/* --- router.c --- */

typedef struct PathGroup PathGroup;
struct Route {
    HttpRoute given;
    RouteStats *stats;
    const PathGroup *group;
};

Router *router_new(void);
Router *router_reference(Router *router); /* may be shared once compiled */
void router_free(Router *router);         /* lets go of one reference */
void router_add(Router *router, const HttpRoute *route);
void router_compile(Router *router); /* after the last add, before the first match */
/* NULL: no such path (*allowed is 0), or not with this method (*allowed has those it takes). */
const Route *router_match(const Router *router, HttpMethod method, Str path,
                          Span captures[CAPTURES_MAX], unsigned *allowed);
/* The index of {name} in the route's path, or -1. */
int route_capture(const Route *route, Str name);

/* --- stats.c --- */

RouteStats *stats_new(const char *route); /* kept by the caller; `route` is copied */
void stats_free(RouteStats *stats);
void stats_count(RouteStats *stats, int status, uint64_t duration_ns);

/* --- params.c --- */

/* Percent-decodes into `out`, which has s.len bytes; `plus`: a `+` is a space. SIZE_MAX: a bad
 * escape. */
size_t percent_decode(Str s, bool plus, char *out);
/* Why the query or the form of a whole request can't be taken, or NULL. */
const char *request_params_flaw(const HttpRequest *request);
bool percent_is_valid(Str s);

/* --- tls.c --- */

MUST_USE ErrCode tls_context_new(const HttpServerOptions *options, SSL_CTX **out, Error *err);
/* The common name of the peer's certificate, malloc'd; NULL: none that can be read. */
char *tls_peer_name(SSL *ssl);
bool tls_is_http2(const SSL *ssl); /* by ALPN */

/* --- server.c --- */

enum { SERVER_LOOPS_MAX = 64 };

struct HttpServer {
    HttpServerOptions options; /* defaults filled in; strings copied */
    char *address;
    Router *router;
    void (*fallback)(HttpRequest *request, void *context);
    void *fallback_context;
    RouteStats *fallback_stats; /* route="other": the fallback's and what never came to a handler */
    SSL_CTX *tls;               /* NULL: plain */
    Loop *loops[SERVER_LOOPS_MAX];
    unsigned loops_count;
    unsigned next_loop;
    struct evconnlistener *listener; /* on loop 0 */
    struct event *accept_again;      /* after the process ran out of descriptors */
    int listen_fd;
    unsigned port;
    bool started, drained;
    pthread_mutex_t mutex; /* of the count of connections, for who drains */
    pthread_cond_t changed;
    unsigned connections;
};

void server_accept_stop(HttpServer *server); /* on loop 0 */
void server_connection_gone(HttpServer *server);
