#pragma once
/*
 * client.h: one HTTP exchange at a time, blocking, over kept-alive connections (libcurl).
 *
 * An HttpClient may be shared by any number of threads: each call borrows a handle, and with it the
 * connections that handle kept open, from a stack of idle ones, so calls one after the other reuse
 * a connection and calls side by side each have their own. TLS sessions and DNS answers are shared.
 * Nothing is retried, redirected or decoded here: who knows the protocol above does that.
 * libcurl is set up by the first call of the process, so who never calls pays nothing.
 */
#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/str.h"

typedef struct HttpClient HttpClient;

typedef struct HttpClientOptions {
    Str ca_file;       /* PEM; empty: the system's authorities */
    Str tls_cert_file; /* shown to servers that ask; both or neither: PEM */
    Str tls_key_file;
    bool tls_insecure;           /* believes any certificate; for tests */
    uint64_t connect_timeout_ms; /* name, TCP and TLS; 0: 5,000 */
    unsigned idle_max;           /* handles kept between calls; 0: 64 */
    Str user_agent;              /* empty: "moraine/<version>" */
} HttpClientOptions;

/* Strings are copied. */
MUST_USE ErrCode http_client_new(const HttpClientOptions *options, HttpClient **out, Error *err);
void http_client_free(HttpClient *client); /* NULL is fine; no call may still be running */
DEFINE_CLEANUP(HttpClient, http_client_free)

typedef struct HttpHeader {
    Str name;
    Str value;
} HttpHeader;

/* Everything is borrowed for the call. Fields that are zero take the default. */
typedef struct HttpCall {
    Str method;                /* empty: GET, or POST when there is a body; HEAD reads no body */
    Str url;                   /* http:// or https://, already percent-encoded */
    const HttpHeader *headers; /* Content-Type is sent only when it is here; no CR, LF, NUL */
    size_t header_count;
    Str body;  /* sent from where it lies, not copied. A PUT or POST without: Content-Length: 0 */
    Str range; /* of a GET: "0-1023", "4096-", "-500"; the answer is then 206 */

    /* Signs the request (AWS signature v4) when `aws_sigv4` is set: "aws:amz:us-east-1:s3". The
     * body's hash is part of it; for large bodies over TLS a header
     * x-amz-content-sha256: UNSIGNED-PAYLOAD saves the hashing. Every header in `headers` is signed
     * (and x-amz-security-token belongs there). libcurl 7.88 signs the query string as it stands:
     * give the parameters sorted, percent-encoded with capital hex digits, and with `=` even where
     * the value is empty. A body needs a Content-Type then: libcurl would name it a form. */
    Str aws_sigv4;
    Str user; /* access key; without aws_sigv4: basic authentication */
    Str password;

    uint64_t timeout_ms;       /* the whole exchange; 0: 30,000 */
    uint64_t stall_timeout_ms; /* less than 1 KiB/s for so long; 0: 10,000; in whole seconds */
    size_t body_bytes_max;     /* of the answer; 0: 64 MiB; past it ERR_LIMIT */
    const atomic_bool *cancel; /* looked at about once a second; may be NULL */
} HttpCall;

typedef struct HttpAnswer {
    int status;
    Str body; /* in the call's arena; one piece, ends in a NUL that `len` doesn't count */
    Str head; /* the header lines as received, for http_answer_header() */
    uint64_t content_length; /* as the server said, also for HEAD; UINT64_MAX: it didn't */
} HttpAnswer;

/* Any status is an ERR_OK: the answer arrived, whole. ERR_UNAVAILABLE: no connection, or it broke
 * before the answer was complete (so the request may have been carried out). ERR_TIMEOUT:
 * connected, but timeout_ms or stall_timeout_ms passed. ERR_LIMIT: the answer is larger than
 * body_bytes_max or the arena's budget. ERR_CANCELLED: `cancel` went true. ERR_INVALID: the URL or
 * a header can't be sent. ERR_DENIED: the server's certificate is not to be trusted. ERR_CORRUPT:
 * not HTTP. */
MUST_USE ErrCode http_call(HttpClient *client, const HttpCall *call, Arena *arena, HttpAnswer *out,
                           Error *err);

/* The value of a header of the answer, any case, trimmed; empty when absent. The last one wins. */
Str http_answer_header(const HttpAnswer *answer, const char *name);
