#pragma once
/*
 * grpc.h: gRPC on the server of http.h: calls of one message, answered by one or by many.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 *
 * A method is a route, and a call is its HttpRequest: the same rules hold for threads, memory and
 * answering exactly once. What is refused before a handler has it (size, budget, an unknown method)
 * is answered in gRPC's shape as well.
 */
#include "common/net/http.h"

typedef enum GrpcStatus {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
} GrpcStatus;

/* `path`: "/package.Service/Method". */
void grpc_route(HttpServer *server, const char *path,
                void (*handle)(HttpRequest *request, void *context), void *context,
                size_t body_bytes_max);

/* Whether it says that it is a call (Content-Type). */
bool grpc_is_call(const HttpRequest *request);
/* The call's one message, decompressed: at most `bytes_max`. Lives as long as the request; runs on
 * any thread. ERR_INVALID: it isn't framed as one. ERR_UNSUPPORTED: by HTTP/1.1, or compressed in a
 * way that isn't known. ERR_LIMIT: too large. ERR_TIMEOUT: the caller doesn't wait any more. */
MUST_USE ErrCode grpc_message(HttpRequest *request, size_t bytes_max, Str *out, Error *err);
/* When the caller gives up, in monotonic nanoseconds; 0: it doesn't say. http_cancelled() is true
 * from then on. */
uint64_t grpc_deadline_ns(const HttpRequest *request);

/* INVALID and CORRUPT: INVALID_ARGUMENT; LIMIT and RATE: RESOURCE_EXHAUSTED; and so on. */
GrpcStatus grpc_status(ErrCode code);
/* One message. */
void grpc_respond(HttpRequest *request, Str message);
/* The error's code and text. RATE and UNAVAILABLE say when to come again: RetryInfo, with
 * `retry_after_ms`, or a second when that is 0. */
void grpc_respond_error(HttpRequest *request, const Error *err, uint64_t retry_after_ms);
/* Messages one by one, as http_respond_begin(), write() and end(); `err` NULL: all went well. */
void grpc_respond_begin(HttpRequest *request);
MUST_USE ErrCode grpc_respond_write(HttpRequest *request, Str message, Error *err);
void grpc_respond_end(HttpRequest *request, const Error *err);
