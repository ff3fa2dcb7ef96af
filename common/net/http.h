#pragma once
/*
 * http.h: the server that every listener is. Each speaks HTTP/1.1 and HTTP/2, as the client begins:
 * by ALPN with TLS, by HTTP/2's preface without. A handler doesn't see which brought the request;
 * limits and times hold for a stream of HTTP/2 as for a connection of HTTP/1.1.
 *
 * A few event-loop threads parse, read bodies under a budget and call handlers. A handler runs on
 * its connection's loop and must not block: it answers at once, or hands the request to a lane or
 * pool, which answers from any thread. Each request is answered exactly once; after that it must
 * not be touched.
 */
#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/error.h"

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;

typedef enum HttpMethod {
    HTTP_GET_ = 1 << 0, /* the underscore: http_parser.h has the plain names */
    HTTP_HEAD_ = 1 << 1,
    HTTP_POST_ = 1 << 2,
    HTTP_PUT_ = 1 << 3,
    HTTP_DELETE_ = 1 << 4,
    HTTP_OPTIONS_ = 1 << 5,
} HttpMethod;

typedef struct HttpServerOptions {
    Str address;       /* "127.0.0.1:8080", "[::1]:8080", ":8080" for all interfaces */
    Str tls_cert_file; /* both or neither: PEM */
    Str tls_key_file;
    Str tls_client_ca_file;     /* when set, clients must show a certificate of this authority */
    unsigned loops;             /* threads; 0: 2 */
    unsigned connections_max;   /* 0: 4,096; past it new ones are answered 503 and closed */
    size_t header_bytes_max;    /* request line and headers; 0: 64 KiB; past it 431 */
    size_t body_bytes_max;      /* on the wire, where the route says nothing; 0: 64 MiB; 413 */
    Budget *bodies;             /* bytes of bodies in flight; past it 503 with Retry-After */
    uint64_t header_timeout_ms; /* to send a request's head; 0: 10,000; past it 408 */
    uint64_t body_timeout_ms;   /* without a byte of progress; 0: 30,000; past it 408 */
    uint64_t idle_timeout_ms;   /* between requests; 0: 120,000 */
    uint64_t write_timeout_ms;  /* without progress of the reader; 0: 30,000; then closed */
} HttpServerOptions;

/* Strings are copied; `bodies` must outlive the server and its requests. SIGPIPE is ignored from
 * here on, unless the process has a handler for it. */
MUST_USE ErrCode http_server_new(const HttpServerOptions *options, HttpServer **out, Error *err);

/* Before http_server_start(). `path` is literal, or ends in "/ *" without the space for a prefix,
 * or has {name} for one raw segment (%2F stays within): "/api/v1/label/{name}/values". The most
 * literal route wins. A path whose methods don't include the request's gets 405; who takes GET
 * takes HEAD as well, and its body is left out. */
typedef struct HttpRoute {
    unsigned methods; /* HttpMethod bits */
    const char *path;
    void (*handle)(HttpRequest *request, void *context);
    void *context;
    size_t body_bytes_max; /* 0: the server's */
} HttpRoute;
void http_server_route(HttpServer *server, const HttpRoute *route);
/* What answers when no route does (default: 404, text/plain "404 page not found"). */
void http_server_fallback(HttpServer *server, void (*handle)(HttpRequest *, void *), void *context);

MUST_USE ErrCode http_server_start(HttpServer *server, Error *err); /* binds and serves */
unsigned http_server_port(const HttpServer *server); /* the real one, when ":0" was asked for */
/* Stops accepting, lets requests in flight finish for at most `timeout_ms`, closes the rest, whose
 * cancel flag goes up, and ends the loops. Not from a handler. */
void http_server_drain(HttpServer *server, uint64_t timeout_ms);
/* NULL is fine; drains with timeout 0 if nobody did. Requests that handlers still hold stay valid
 * until they are answered. */
void http_server_free(HttpServer *server);
DEFINE_CLEANUP(HttpServer, http_server_free)

/* --- what a handler reads; everything lives as long as the request --- */
HttpMethod http_method(const HttpRequest *request);
bool http_is_http2(const HttpRequest *request);
Str http_path(const HttpRequest *request);                   /* raw, without the query */
Str http_path_param(HttpRequest *request, const char *name); /* percent-decoded */
/* Any case; empty when absent; the first where there are more. */
Str http_header(const HttpRequest *request, const char *name);
Str http_query_string(const HttpRequest *request); /* raw, without the `?` */
Str http_body(const HttpRequest *request);         /* as sent: http_body_decoded() */
Arena *http_arena(HttpRequest *request);           /* charged to the body budget */
bool http_peer_is_loopback(const HttpRequest *request);
Str http_peer(const HttpRequest *request); /* "10.0.0.7:51324", for logs */
/* The subject's common name of the client's certificate, or empty. */
Str http_peer_certificate(const HttpRequest *request);

/* URL query and, for x-www-form-urlencoded bodies, form fields merged: form first. Decoded once,
 * on first use. `index` counts equal names: match[] may come many times. False: no such one. What
 * can't be decoded, and more than 10,000 of them, was answered 400 before the handler. */
bool http_param(HttpRequest *request, const char *name, size_t index, Str *out);

/* The body without its Content-Encoding (gzip, deflate, zstd, snappy as a block; identity): at
 * most `bytes_max` inflated. ERR_UNSUPPORTED: another encoding. ERR_LIMIT: it grows beyond.
 * ERR_INVALID: not what it claims. ERR_UNAVAILABLE: the arena's budget is used up. Runs on any
 * thread. */
MUST_USE ErrCode http_body_decoded(HttpRequest *request, size_t bytes_max, Str *out, Error *err);
/* The same for bytes that have no request: `encoding` as in the header. */
MUST_USE ErrCode http_decode(Str encoding, Str bytes, size_t bytes_max, Arena *arena, Str *out,
                             Error *err);

/* True once the client has gone: who computes for long asks now and then. */
bool http_cancelled(const HttpRequest *request);
const atomic_bool *http_cancel_flag(const HttpRequest *request);

/* --- answering, from any thread, exactly once --- */
/* Adds to the answer's head; both are copied, control bytes in `value` become spaces. Not after the
 * answer began, and not what the server says itself: Content-Length, Transfer-Encoding, Connection,
 * Date. With a Content-Encoding the body is sent as it is. */
void http_set_header(HttpRequest *request, const char *name, Str value);
/* Adds a line behind the body. Before the answer ends; HTTP/1.1 leaves it out. */
void http_set_trailer(HttpRequest *request, const char *name, Str value);
/* Copies `body`. */
void http_respond(HttpRequest *request, int status, const char *content_type, Str body);
/* Takes the buffer's memory; `body` is empty afterwards. Compresses (zstd or gzip, as the client
 * accepts) when it is worth it. */
void http_respond_buf(HttpRequest *request, int status, const char *content_type, Buf *body);
/* A text/plain answer with the error's text and http_status() of its code; UNAVAILABLE and RATE get
 * Retry-After: 1 unless there is one. */
void http_respond_error(HttpRequest *request, const Error *err);
/* Piece by piece, chunked. write() waits while the client reads slowly, so not on a loop thread;
 * ERR_CANCELLED: it has gone. end() is the one answer that counts. */
void http_respond_begin(HttpRequest *request, int status, const char *content_type);
MUST_USE ErrCode http_respond_write(HttpRequest *request, Str bytes, Error *err);
void http_respond_end(HttpRequest *request);
/* Instead of end(), when what is left can't be had: the connection is cut, so that the client sees
 * that the answer is not whole. */
void http_respond_abort(HttpRequest *request);

/* INVALID 400, DENIED 403, NOT_FOUND 404, EXISTS 409, LIMIT 413, RATE 429, UNAVAILABLE 503,
 * TIMEOUT 504, CANCELLED 499, UNSUPPORTED 415, CORRUPT and INTERNAL 500. */
int http_status(ErrCode code);
