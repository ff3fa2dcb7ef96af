/*
 * respond.c: a handler's answer on its way back to the loop.
 *
 * Compression happens here, on the thread that answers, so that a loop only ever moves bytes. An
 * answer given inside handle() isn't posted: the loop sends it when handle() returns.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/net/internal.h"

enum { COMPRESS_BYTES_MIN = 1 << 10 };

/* The request whose handler runs on this thread, until it is answered. */
static _Thread_local HttpRequest *dispatching;

bool request_dispatch(HttpRequest *request, void (*handle)(HttpRequest *, void *), void *context) {
    bool answered;

    dispatching = request;
    handle(request, context);
    answered = dispatching == NULL;
    dispatching = NULL;
    return answered;
}

bool status_has_body(int status) {
    return status >= 200 && status != 204 && status != 304;
}

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *status_reason(int status) {
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}

int http_status(ErrCode code) {
    switch (code) {
    case ERR_OK:
        return 200;
    case ERR_INVALID:
        return 400;
    case ERR_DENIED:
        return 403;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_EXISTS:
        return 409;
    case ERR_LIMIT:
        return 413;
    case ERR_RATE:
        return 429;
    case ERR_UNAVAILABLE:
        return 503;
    case ERR_TIMEOUT:
        return 504;
    case ERR_CANCELLED:
        return 499;
    case ERR_UNSUPPORTED:
        return 415;
    case ERR_CORRUPT:
    case ERR_INTERNAL:
        break;
    }
    return 500;
}

/* A value from a handler may come from outside: it must not end its line. */
static void append_value(Buf *out, Str value) {
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        buf_append_byte(out, (c < 0x20 && c != '\t') || c == 0x7f ? ' ' : (char)c);
    }
}

void request_append_header(Buf *out, Str name, Str value) {
    buf_append_str(out, name);
    buf_append(out, ": ", 2);
    append_value(out, value);
    buf_append(out, "\r\n", 2);
}

void http_set_header(HttpRequest *request, const char *name, Str value) {
    static const char *const ours[] = {"Content-Length", "Transfer-Encoding", "Connection", "Date"};

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        assert(!str_equal_nocase(str_of(name), str_of(ours[i])) && "the server's own header");
    request_append_header(&request->reply_head, str_of(name), value);
}

void http_set_trailer(HttpRequest *request, const char *name, Str value) {
    request_append_header(&request->reply_trailers, str_of(name), value);
}

static bool has_reply_header(const HttpRequest *request, Str name) {
    Str rest = buf_str(&request->reply_head), line, key, value;

    while (rest.len > 0) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &key, &value) && str_equal_nocase(key, name)) return true;
    }
    return false;
}

void request_say_type(HttpRequest *request, const char *content_type) {
    if (content_type != NULL && content_type[0] != '\0')
        request_append_header(&request->reply_head, STR("Content-Type"), str_of(content_type));
}

Coding request_choose_coding(HttpRequest *request, int status, const char *content_type) {
    if (content_type == NULL || !status_has_body(status) || !coding_pays(str_of(content_type)) ||
        has_reply_header(request, STR("Content-Encoding")))
        return CODING_IDENTITY;
    /* True of the answer whether this client gets it compressed or not: caches need to know. */
    request_append_header(&request->reply_head, STR("Vary"), STR("Accept-Encoding"));
    return coding_accepted(http_header(request, "accept-encoding"));
}

void request_say_coding(HttpRequest *request, Coding coding) {
    if (coding != CODING_IDENTITY)
        request_append_header(&request->reply_head, STR("Content-Encoding"),
                              str_of(coding_name(coding)));
}

static void compress(HttpRequest *request, int status, const char *content_type) {
    Coding coding;
    Buf smaller;

    if (request->reply_body.len < COMPRESS_BYTES_MIN) return;
    coding = request_choose_coding(request, status, content_type);
    if (coding == CODING_IDENTITY) return;
    buf_init(&smaller, 0);
    if (coding_compress(coding, buf_str(&request->reply_body), &smaller)) {
        buf_done(&request->reply_body);
        request->reply_body = smaller;
        request_say_coding(request, coding);
    } else {
        buf_done(&smaller);
    }
}

void request_hand_over(HttpRequest *request) {
    if (dispatching == request) {
        dispatching = NULL;
        return;
    }
    if (!loop_post(request->loop, &request->post)) request_destroy(request);
}

static void answer(HttpRequest *request, int status, const char *content_type) {
    assert(request->status == 0 && "a request is answered once");
    assert(status >= 200 && status <= 599);
    if (buf_failed(&request->reply_body)) {
        buf_done(&request->reply_body);
        buf_append_str(&request->reply_body, STR("out of memory while answering\n"));
        status = 503;
        content_type = "text/plain; charset=utf-8";
    }
    request_say_type(request, content_type);
    compress(request, status, content_type);
    request->status = status;
    request_hand_over(request);
}

void http_respond(HttpRequest *request, int status, const char *content_type, Str body) {
    buf_append_str(&request->reply_body, body);
    answer(request, status, content_type);
}

void http_respond_buf(HttpRequest *request, int status, const char *content_type, Buf *body) {
    size_t bytes_max = body->bytes_max;

    buf_done(&request->reply_body);
    request->reply_body = *body;
    buf_init(body, bytes_max);
    answer(request, status, content_type);
}

void http_respond_error(HttpRequest *request, const Error *err) {
    buf_append_str(&request->reply_body, str_of(err->text));
    buf_append_byte(&request->reply_body, '\n');
    if ((err->code == ERR_UNAVAILABLE || err->code == ERR_RATE) &&
        !has_reply_header(request, STR("Retry-After")))
        http_set_header(request, "Retry-After", STR("1"));
    answer(request, http_status(err->code), "text/plain; charset=utf-8");
}
