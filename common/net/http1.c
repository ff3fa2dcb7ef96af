/*
 * http1.c: HTTP/1.1 (RFC 9112) on a connection: bytes to a request, its answer to bytes.
 *
 * One request at a time: what a client sends ahead stays in `pending`, and beyond a little in the
 * kernel, until the answer is out. Heads go through http-parser; bodies, chunked ones as well, are
 * received straight into their place. A request that can't be taken is refused here, and where
 * little of its body is left, that is read and dropped so that the connection survives. Header
 * lines are kept in one buffer, as spans.
 */
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/net/internal.h"

#define HTTP1_STATES(X)                                                                            \
    X(HEAD)    /* between requests, or in the middle of a head; the request appears with a byte */ \
    X(BODY)    /* `body_left` bytes go straight into the request */                                \
    X(CHUNKS)  /* between the pieces of a chunked body */                                          \
    X(DISCARD) /* refused: `body_left` bytes are dropped, then the refusal is sent */              \
    X(WAIT)    /* the request is the handler's: hands off, but for the cancel flag */              \
    X(STREAM)  /* likewise, but parts of its answer have come */                                   \
    X(WRITE)   /* the answer is complete and not yet with the kernel */                            \
    X(LINGER)  /* all is said: input is dropped until the client closes, so that no reset eats it  \
                */

typedef enum Http1State {
#define X(name) HTTP1_##name,
    HTTP1_STATES(X)
#undef X
} Http1State;

enum {
    HEAD_READ_BYTES = 8 << 10,   /* more would mostly be body, and have to be copied */
    BODY_READ_BYTES = 256 << 10, /* at once, so a body is charged for little before it is there */
    BODY_AT_ONCE_MAX = 1 << 20,  /* allocated for a Content-Length; larger ones grow */
    BODY_CHUNKED_MIN = 8 << 10,
    DISCARD_BYTES_MAX = 1 << 20, /* a refused body is read up to this to save the connection */
    PENDING_BYTES_MAX = 64 << 10,
    LINGER_MS = 2000,
    FRAMING_PER_BODY_BYTE = 16, /* chunk heads and extensions beyond this are an attack */
};

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
    size_t body_bytes_max;
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
    bool has_writer;  /* of a stream, who has not let go of the request */
    int refused;      /* the status; 0: not */
    unsigned allowed; /* methods, for a 405 */
    char refusal[200];
    void (*handle)(HttpRequest *request, void *context);
    void *context;
    RouteStats *stats;
} Http1;

static HttpServer *server_of(const Connection *c) {
    return c->loop->server;
}

static const HttpServerOptions *options_of(const Connection *c) {
    return &c->loop->server->options;
}

static void refuse_with(Http1 *h, int status, const char *format, ...) PRINTF_LIKE(3, 4);
static void refuse_with(Http1 *h, int status, const char *format, ...) {
    va_list args;

    if (h->refused != 0) return; /* the first reason is the one to tell */
    h->refused = status;
    va_start(args, format);
    (void)vsnprintf(h->refusal, sizeof h->refusal, format, args);
    va_end(args);
}

/* --- parser callbacks; the parser stops when one returns other than 0 --- */

static Http1 *of_parser(http_parser *parser) {
    return ((Connection *)parser->data)->state;
}

static int on_begin(http_parser *parser) {
    Http1 *h = of_parser(parser);

    h->request = request_new(parser->data);
    if (h->request != NULL) return 0;
    refuse_with(h, 503, "out of memory");
    return 1;
}

static int append_head(Http1 *h, const char *bytes, size_t len, Span *span) {
    Buf *head = &h->request->head;

    if (span->len == 0) span->at = (uint32_t)head->len;
    buf_append(head, bytes, len);
    if (buf_failed(head)) {
        refuse_with(h, 503, "out of memory");
        return 1;
    }
    span->len += (uint32_t)len;
    return 0;
}

static int on_target(http_parser *parser, const char *bytes, size_t len) {
    Http1 *h = of_parser(parser);

    return append_head(h, bytes, len, &h->request->target);
}

static int on_name(http_parser *parser, const char *bytes, size_t len) {
    Http1 *h = of_parser(parser);
    HttpRequest *request = h->request;

    if (!h->is_in_name) {
        if (request->header_count == HEADERS_MAX) {
            refuse_with(h, 431, "more than %d header lines", HEADERS_MAX);
            return 1;
        }
        request->headers[request->header_count++] = (HeaderSpan){0};
        h->is_in_name = true;
    }
    return append_head(h, bytes, len, &request->headers[request->header_count - 1].name);
}

static int on_value(http_parser *parser, const char *bytes, size_t len) {
    Http1 *h = of_parser(parser);
    HttpRequest *request = h->request;

    h->is_in_name = false;
    return append_head(h, bytes, len, &request->headers[request->header_count - 1].value);
}

/* The head is judged outside the parser. 1: no body follows, as far as that is concerned. */
static int on_head(http_parser *parser) {
    Http1 *h = of_parser(parser);

    h->is_head_done = true;
    h->is_chunked = (parser->flags & F_CHUNKED) != 0;
    http_parser_pause(parser, 1);
    return 1;
}

static void refuse_large(Http1 *h) {
    refuse_with(h, 413, "the body is larger than the limit of %zu bytes for this path",
                h->body_bytes_max);
}

static void refuse_over_budget(Http1 *h) {
    refuse_with(h, 503, "the server holds as many bytes of requests as it may: try again");
}

static int on_message(http_parser *parser) {
    of_parser(parser)->is_head_read = true;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings parser_settings = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_message_complete = on_message,
};

/* --- the head, once it is whole --- */

static HttpMethod method_of(unsigned method) {
    switch (method) {
    case HTTP_GET:
        return HTTP_GET_;
    case HTTP_HEAD:
        return HTTP_HEAD_;
    case HTTP_POST:
        return HTTP_POST_;
    case HTTP_PUT:
        return HTTP_PUT_;
    case HTTP_DELETE:
        return HTTP_DELETE_;
    case HTTP_OPTIONS:
        return HTTP_OPTIONS_;
    default:
        return 0;
    }
}

/* Tells path and query apart, in "/path?query" as in "http://host/path?query". */
static void split_target(HttpRequest *request) {
    Str target = request_str(request, request->target), path, query, rest;
    Str lowered = str_slice(target, 0, 8);
    size_t start = 0, end;

    if (str_equal_nocase(str_slice(lowered, 0, 7), STR("http://"))) start = 7;
    if (str_equal_nocase(lowered, STR("https://"))) start = 8;
    if (start > 0)
        while (start < target.len && strchr("/?#", target.ptr[start]) == NULL) start++;
    str_cut(str_from(target, start), '#', &rest, &query);
    str_cut(rest, '?', &path, &query);
    end = request->target.at + start;
    request->path = (Span){(uint32_t)end, (uint32_t)path.len};
    request->query = (Span){(uint32_t)(end + path.len + 1), (uint32_t)query.len};
    if (query.len == 0) request->query.at = 0;
    if (path.len > 0 || start == 0) return;
    request->path = (Span){(uint32_t)request->head.len, 1}; /* a bare "http://host" */
    buf_append_byte(&request->head, '/');
}

static bool is_token(Str s) {
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '\0' || ((c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') &&
                          strchr(others, c) == NULL))
            return false;
    }
    return s.len > 0;
}

static bool is_field_value(Str s) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

/* What http-parser lets pass, and what a proxy in front of us may read differently. */
static void judge_headers(Http1 *h) {
    HttpRequest *request = h->request;
    unsigned hosts = 0, lengths = 0, encodings = 0;

    for (unsigned i = 0; i < request->header_count; i++) {
        HeaderSpan *header = &request->headers[i];
        Str name = request_str(request, header->name), value = request_str(request, header->value);

        if (!is_token(name) || !is_field_value(value)) {
            refuse_with(h, 400, "header line %u has bytes that don't belong there", i + 1);
            return;
        }
        while (header->value.len > 0 && (value.ptr[header->value.len - 1] == ' ' ||
                                         value.ptr[header->value.len - 1] == '\t'))
            header->value.len--;
        hosts += str_equal_nocase(name, STR("host"));
        lengths += str_equal_nocase(name, STR("content-length"));
        if (!str_equal_nocase(name, STR("transfer-encoding"))) continue;
        encodings++;
        if (!str_equal_nocase(request_str(request, header->value), STR("chunked")))
            refuse_with(h, 501, "a Transfer-Encoding other than chunked");
    }
    if (lengths + encodings > 1)
        refuse_with(h, 400, "more than one Content-Length or Transfer-Encoding");
    if (hosts > 1 || (hosts == 0 && !request->is_http10))
        refuse_with(h, 400, "there must be one Host header, not %u", hosts);
    if (encodings > 0 && request->is_http10)
        refuse_with(h, 400, "HTTP/1.0 has no Transfer-Encoding");
}

static void judge_expectation(Http1 *h) {
    Str expect = http_header(h->request, "expect");

    if (expect.len == 0 || h->request->is_http10) return;
    if (str_equal_nocase(expect, STR("100-continue")))
        h->expects_continue = h->is_chunked || h->body_left > 0;
    else
        refuse_with(h, 417, "an Expect other than 100-continue");
}

static void choose_handler(Connection *c, Http1 *h) {
    HttpServer *server = server_of(c);
    HttpRequest *request = h->request;
    const Route *route = router_match(server->router, request->method, http_path(request),
                                      request->captures, &h->allowed);

    h->body_bytes_max = options_of(c)->body_bytes_max;
    h->stats = server->fallback_stats;
    if (route != NULL) {
        request->route = route;
        h->handle = route->given.handle;
        h->context = route->given.context;
        h->stats = route->stats;
        if (route->given.body_bytes_max > 0) h->body_bytes_max = route->given.body_bytes_max;
    } else if (h->allowed != 0) {
        refuse_with(h, 405, "this path does not take this method");
    } else if (server->fallback != NULL) {
        h->handle = server->fallback;
        h->context = server->fallback_context;
    } else {
        refuse_with(h, 404, "404 page not found");
    }
}

static void judge_head(Connection *c, Http1 *h) {
    HttpRequest *request = h->request;
    http_parser *parser = &h->parser;

    request->method = method_of(parser->method);
    request->is_http10 = parser->http_major == 1 && parser->http_minor == 0;
    h->keeps_alive = http_should_keep_alive(parser) != 0;
    h->body_left = parser->content_length == ULLONG_MAX ? 0 : parser->content_length;
    if (parser->http_major != 1 || parser->http_minor > 1) {
        h->keeps_alive = false;
        refuse_with(h, 505, "HTTP/%u.%u is not spoken here", parser->http_major,
                    parser->http_minor);
    }
    judge_headers(h);
    if (h->refused != 0) {
        h->keeps_alive = false; /* who frames its requests so may mean something else by the next */
        return;
    }
    if (request->method == 0) {
        refuse_with(h, 501, "this method is not known here");
        request->method = HTTP_GET_;
        return;
    }
    split_target(request);
    if (c->certificate_name != NULL)
        (void)append_head(h, c->certificate_name, strlen(c->certificate_name),
                          &request->certificate_name);
    if (!percent_is_valid(http_path(request)))
        refuse_with(h, 400, "the path has a percent sign without two hex digits");
    judge_expectation(h);
    if (h->refused == 0) choose_handler(c, h);
    if (h->refused == 0 && h->body_left > h->body_bytes_max) refuse_large(h);
    request->began_ns = c->loop->now_ns;
}

/* --- answers --- */

static void next_request(Connection *c, Http1 *h) {
    h->state = HTTP1_HEAD;
    h->request = NULL;
    h->head_bytes = h->framing_bytes = 0;
    h->body_left = 0;
    h->last_byte = '\0';
    h->is_in_name = h->is_head_done = h->is_head_read = h->is_body_read = h->is_chunked = false;
    h->chunks = (Chunks){0};
    h->expects_continue = h->is_stream_begun = h->has_writer = false;
    h->refused = 0;
    h->allowed = 0;
    h->handle = NULL;
    h->stats = server_of(c)->fallback_stats;
    http_parser_init(&h->parser, HTTP_REQUEST);
    h->parser.data = c;
    connection_deadline(c, options_of(c)->idle_timeout_ms);
}

/* The answer is with the kernel. */
static void finish(Connection *c, Http1 *h, int status) {
    HttpRequest *request = h->request;

    if (request != NULL) {
        loop_tick(c->loop);
        stats_count(h->stats, status, c->loop->now_ns - request->began_ns);
        h->request = NULL;
        request_recycle(request);
    } else {
        stats_count(h->stats, status, 0);
    }
    if (h->keeps_alive && !c->is_eof) {
        next_request(c, h);
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

static void sent(Connection *c, Http1 *h, int status) {
    if (c->is_dead) return;
    h->state = HTTP1_WRITE;
    connection_deadline(c, 0); /* the bufferevent watches the progress of writing */
    if (connection_unsent(c) == 0) finish(c, h, status);
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

static Buf *begin_head(Connection *c, int status) {
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

static void append_allow(Buf *out, unsigned methods) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    const char *before = "Allow: ";

    for (unsigned bit = 0; bit < ARRAY_LEN(names); bit++) {
        if ((methods & 1U << bit) == 0) continue;
        append_text(out, before);
        append_text(out, names[bit]);
        before = ", ";
    }
    append_text(out, "\r\n");
}

static void send_refusal(Connection *c, Http1 *h) {
    int status = h->refused;
    Buf *head = begin_head(c, status);
    Str body = str_of(h->refusal);
    char text[sizeof h->refusal + 1];

    (void)snprintf(text, sizeof text, "%s\n", h->refusal);
    body = str_of(text);
    append_text(head, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    append_number(head, body.len);
    append_text(head, "\r\n");
    if (status == 503) append_text(head, "Retry-After: 1\r\n");
    if (status == 405) append_allow(head, h->allowed);
    if (h->request != NULL && h->request->method == HTTP_HEAD_) body.len = 0;
    if (h->request != NULL) request_body_drop(h->request);
    send_answer(c, h, head, body, NULL);
    sent(c, h, status);
}

/* Answers in the handler's place: at once and for good, or after what little is left of the body.
 */
static void refuse(Connection *c, Http1 *h) {
    bool is_survivable = h->is_head_read && !h->expects_continue &&
                         (h->is_chunked ? h->is_body_read : h->body_left <= DISCARD_BYTES_MAX);

    if (is_survivable && h->keeps_alive && h->body_left > 0) {
        h->state = HTTP1_DISCARD;
        request_body_drop(h->request);
        connection_deadline(c, options_of(c)->body_timeout_ms);
        return;
    }
    if (!is_survivable || h->body_left > 0) {
        h->keeps_alive = false;
        h->has_unread = true;
    }
    send_refusal(c, h);
}

static void send_whole(Connection *c, Http1 *h, HttpRequest *request) {
    int status = request->status;
    Buf *head = begin_head(c, status);
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
    sent(c, h, status);
}

static void send_stream(Connection *c, Http1 *h, HttpRequest *request) {
    Stream *stream = &request->stream;
    Buf bytes;
    StreamNews news = stream_take(stream, &bytes);

    h->state = HTTP1_STREAM;
    h->has_writer = news == STREAM_GOES_ON;
    if (!h->is_stream_begun) {
        Buf *head = begin_head(c, request->status);

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
        sent(c, h, request->status);
    } else if (!c->is_dead) {
        stream_progress(stream, connection_unsent(c));
    }
}

/* The request is the loop's again, or its stream has more. */
static void deliver(Connection *c, HttpRequest *request) {
    Http1 *h = c->state;

    assert(h->request == request);
    if (request->stream.is_active)
        send_stream(c, h, request);
    else
        send_whole(c, h, request);
}

/* --- bytes in --- */

static void dispatch(Connection *c, Http1 *h) {
    HttpRequest *request = h->request;
    const char *flaw = request_params_flaw(request);

    if (flaw != NULL) {
        refuse_with(h, 400, "query or form: %s", flaw);
        refuse(c, h);
        return;
    }
    h->state = HTTP1_WAIT;
    connection_deadline(c, 0);
    if (request_dispatch(request, h->handle, h->context)) deliver(c, request);
}

/* The head is read to its last byte; what was wrong with it is told now. */
static void head_done(Connection *c, Http1 *h) {
    if (h->refused != 0) {
        refuse(c, h);
        return;
    }
    if (h->expects_continue) {
        connection_send(c, STR("HTTP/1.1 100 Continue\r\n\r\n"), (Str){"", 0}, NULL);
        h->expects_continue = false;
    }
    connection_deadline(c, options_of(c)->body_timeout_ms);
    if (h->is_chunked) {
        h->state = HTTP1_CHUNKS;
    } else if (h->body_left > 0) {
        h->state = HTTP1_BODY;
    } else {
        dispatch(c, h);
    }
}

/* A header line that starts with a space goes on with the one before, says RFC 822; RFC 9112 lets a
 * server refuse it, since not all who read it agree. */
static bool has_folded_line(Http1 *h, const char *bytes, size_t len) {
    const char *at = bytes, *end = bytes + len;

    if (len == 0) return false;
    if (h->last_byte == '\n' && (bytes[0] == ' ' || bytes[0] == '\t')) return true;
    h->last_byte = bytes[len - 1];
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (at == end) return false;
        if (*at == ' ' || *at == '\t') return true;
    }
    return false;
}

static void head_grew(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t limit = options_of(c)->header_bytes_max;

    if (h->head_bytes == 0) connection_deadline(c, options_of(c)->header_timeout_ms);
    h->head_bytes += len;
    if (has_folded_line(h, bytes, len)) refuse_with(h, 400, "a folded header line");
    /* The parser stopped before the last line feed, if this was the end of the head. */
    if (h->head_bytes + h->is_head_done <= limit) return;
    if (h->request != NULL && h->request->header_count == 0)
        refuse_with(h, 414, "the request line is longer than the limit of %zu bytes", limit);
    else
        refuse_with(h, 431, "the head is larger than the limit of %zu bytes", limit);
}

static size_t read_head(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t room = options_of(c)->header_bytes_max + 1 - h->head_bytes, used;
    enum http_errno result;

    used = http_parser_execute(&h->parser, &parser_settings, bytes, MIN(len, room));
    result = HTTP_PARSER_ERRNO(&h->parser);
    if (h->is_head_read) {
        head_done(c, h);
        return used;
    }
    head_grew(c, h, bytes, used);
    if (result != HPE_OK && result != HPE_PAUSED)
        refuse_with(h, 400, "not HTTP/1.1: %s", http_errno_description(result));
    /* It stopped before the head's last line feed, and wouldn't mind if it were something else. */
    if (h->is_head_done && bytes[used] != '\n') refuse_with(h, 400, "a head that doesn't end");
    if (h->refused != 0) {
        refuse(c, h);
    } else if (h->is_head_done) {
        judge_head(c, h);
        http_parser_pause(&h->parser, 0); /* on to the line feed */
    }
    return used;
}

static void body_done(Connection *c, Http1 *h) {
    h->is_body_read = true;
    if (h->refused != 0)
        send_refusal(c, h);
    else
        dispatch(c, h);
}

/* After `body_left` went down. */
static void body_moved(Connection *c, Http1 *h) {
    connection_deadline(c, options_of(c)->body_timeout_ms);
    if (h->body_left > 0) return;
    if (h->is_chunked)
        h->state = HTTP1_CHUNKS;
    else
        body_done(c, h);
}

static size_t read_chunks(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t used = chunks_read(&h->chunks, bytes, len), body_len = h->request->body_len;

    h->framing_bytes += used;
    if (h->framing_bytes / FRAMING_PER_BODY_BYTE > options_of(c)->header_bytes_max + body_len)
        refuse_with(h, 400, "there is more framing than body");
    if (h->chunks.state == CHUNK_BAD) refuse_with(h, 400, "the chunks are not framed as they must");
    if (h->chunks.state == CHUNK_DATA && h->chunks.left > h->body_bytes_max - body_len)
        refuse_large(h);
    if (h->refused != 0) {
        refuse(c, h);
    } else if (h->chunks.state == CHUNK_DONE) {
        body_done(c, h);
    } else if (h->chunks.state == CHUNK_DATA && h->chunks.left > 0) {
        h->body_left = h->chunks.left;
        h->chunks.left = 0;
        h->state = HTTP1_BODY;
    }
    return used;
}

/* `len` more bytes of the body are in their place. */
static void body_grew(Connection *c, Http1 *h, size_t len) {
    assert(len <= h->body_left);
    h->body_left -= len;
    if (!request_body_grew(h->request, len)) {
        refuse_over_budget(h);
        if (h->body_left > 0 || h->is_chunked) {
            refuse(c, h);
            return;
        }
    }
    body_moved(c, h);
}

/* Room for more of the body: at once for most; large ones, and chunked ones, grow with what has
 * come. The pages behind that aren't touched, so they cost nothing. */
static size_t body_room(Http1 *h) {
    HttpRequest *request = h->request;
    size_t whole = request->body_len + (size_t)h->body_left, had = request->body_capacity, room;

    if (request->body_len == had || (whole <= BODY_AT_ONCE_MAX && had < whole)) {
        size_t capacity = whole;

        if (whole > BODY_AT_ONCE_MAX)
            capacity = MIN(whole, MAX(request->body_len * 2, (size_t)BODY_AT_ONCE_MAX));
        if (h->is_chunked)
            capacity = MAX(capacity, MAX(request->body_len * 2, (size_t)BODY_CHUNKED_MIN));
        if (!request_body_room(request, capacity)) return 0;
    }
    room = MIN(request->body_capacity - request->body_len, (size_t)h->body_left);
    return MIN(room, (size_t)BODY_READ_BYTES);
}

static size_t copy_body(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t room = body_room(h);

    if (room == 0) {
        refuse_over_budget(h);
        refuse(c, h);
        return 0;
    }
    len = MIN(len, room);
    memcpy(h->request->body + h->request->body_len, bytes, len);
    body_grew(c, h, len);
    return len;
}

static size_t drop_body(Connection *c, Http1 *h, size_t len) {
    len = MIN(len, (size_t)h->body_left);
    h->body_left -= len;
    body_moved(c, h);
    return len;
}

/* Takes what the state allows, and says how much that was. */
static size_t consume(Connection *c, const char *bytes, size_t len) {
    Http1 *h = c->state;
    size_t used = 0;

    while (used < len && !c->is_dead) {
        switch (h->state) {
        case HTTP1_HEAD:
            used += read_head(c, h, bytes + used, len - used);
            break;
        case HTTP1_CHUNKS:
            used += read_chunks(c, h, bytes + used, len - used);
            break;
        case HTTP1_BODY:
            used += copy_body(c, h, bytes + used, len - used);
            break;
        case HTTP1_DISCARD:
            used += drop_body(c, h, len - used);
            break;
        case HTTP1_LINGER:
            return len;
        case HTTP1_WAIT:
        case HTTP1_STREAM:
        case HTTP1_WRITE:
            return used;
        }
    }
    return used;
}

/* What came while an answer was under way. */
static void consume_pending(Connection *c, Http1 *h) {
    Buf *pending = &h->pending;

    if (pending->len > 0 && !c->is_dead)
        h->pending_at += consume(c, pending->ptr + h->pending_at, pending->len - h->pending_at);
    if (h->pending_at == pending->len) {
        buf_done(pending);
        h->pending_at = 0;
    }
    if (c->is_dead) return;
    if (pending->len - h->pending_at < PENDING_BYTES_MAX)
        connection_resume(c);
    else
        connection_pause(c);
}

static void input(Connection *c, const char *bytes, size_t len) {
    Http1 *h = c->state;
    size_t used = h->pending.len == 0 ? consume(c, bytes, len) : 0;

    if (used == len || c->is_dead) return;
    h->has_unread = true;
    buf_append(&h->pending, bytes + used, len - used);
    if (buf_failed(&h->pending))
        c->is_dead = true;
    else
        consume_pending(c, h);
}

static size_t target(Connection *c, char **into) {
    Http1 *h = c->state;
    size_t room;

    switch (h->state) {
    case HTTP1_BODY:
        room = body_room(h);
        if (room > 0) {
            *into = h->request->body + h->request->body_len;
            return room;
        }
        refuse_over_budget(h);
        refuse(c, h);
        return SCRATCH_BYTES;
    case HTTP1_CHUNKS:
    case HTTP1_DISCARD:
    case HTTP1_LINGER:
        return SCRATCH_BYTES;
    case HTTP1_HEAD:
    case HTTP1_WAIT:
    case HTTP1_STREAM:
    case HTTP1_WRITE:
        break;
    }
    return HEAD_READ_BYTES;
}

static void landed(Connection *c, size_t len) {
    body_grew(c, c->state, len);
}

/* --- the rest of a connection's life --- */

static void drained(Connection *c, size_t left) {
    Http1 *h = c->state;

    if (c->is_dead) return;
    if (h->state == HTTP1_STREAM && h->has_writer) {
        stream_progress(&h->request->stream, left);
    } else if (h->state == HTTP1_WRITE && left == 0) {
        finish(c, h, h->refused != 0 ? h->refused : h->request->status);
        consume_pending(c, h);
    }
}

static void deliver_and_go_on(Connection *c, HttpRequest *request) {
    deliver(c, request);
    consume_pending(c, c->state);
}

static void eof(Connection *c) {
    Http1 *h = c->state;

    switch (h->state) {
    case HTTP1_STREAM:
        stream_cancel(&h->request->stream);
        /* fall through */
    case HTTP1_WAIT:
        /* It may have closed its sending side only. So the answer, if there is one, is sent. */
        atomic_store_explicit(&h->request->cancelled, true, memory_order_relaxed);
        return;
    case HTTP1_WRITE:
        return;
    case HTTP1_HEAD:
    case HTTP1_BODY:
    case HTTP1_CHUNKS:
    case HTTP1_DISCARD:
    case HTTP1_LINGER:
        break;
    }
    c->is_dead = true;
}

static void timeout(Connection *c) {
    Http1 *h = c->state;
    const HttpServerOptions *options = options_of(c);

    switch (h->state) {
    case HTTP1_HEAD:
        if (h->head_bytes == 0) break;
        h->keeps_alive = false;
        refuse_with(h, 408, "the head took longer than the limit of %llu ms",
                    (unsigned long long)options->header_timeout_ms);
        refuse(c, h);
        return;
    case HTTP1_DISCARD:
        h->refused = 0;
        /* fall through */
    case HTTP1_BODY:
    case HTTP1_CHUNKS:
        h->keeps_alive = false;
        refuse_with(h, 408, "nothing of the body came for the limit of %llu ms",
                    (unsigned long long)options->body_timeout_ms);
        refuse(c, h);
        return;
    case HTTP1_WAIT:
    case HTTP1_STREAM:
    case HTTP1_WRITE:
        return;
    case HTTP1_LINGER:
        break;
    }
    c->is_dead = true;
}

static void drain(Connection *c) {
    Http1 *h = c->state;
    char byte;

    if (h->state != HTTP1_HEAD || h->head_bytes > 0) return;
    /* A request that is in the socket already counts as in flight. */
    if (!c->is_tls && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) return;
    c->is_dead = true;
}

static bool open_connection(Connection *c) {
    Http1 *h = calloc(1, sizeof *h);

    if (h == NULL) return false;
    c->state = h;
    buf_init(&h->pending, 0);
    next_request(c, h);
    connection_deadline(c, options_of(c)->header_timeout_ms);
    return true;
}

static void close_connection(Connection *c) {
    Http1 *h = c->state;
    HttpRequest *request = h->request;

    if (h->state == HTTP1_WAIT || (h->state == HTTP1_STREAM && h->has_writer)) {
        /* The request is in other hands, and comes back to a loop that drops it. */
        request->connection = NULL;
        atomic_store_explicit(&request->cancelled, true, memory_order_relaxed);
        if (h->state == HTTP1_STREAM) stream_cancel(&request->stream);
    } else if (request != NULL) {
        request_recycle(request);
    }
    buf_done(&h->pending);
    free(h);
    c->state = NULL;
}

const Protocol http1_protocol = {
    .open = open_connection,
    .target = target,
    .landed = landed,
    .input = input,
    .eof = eof,
    .drained = drained,
    .deliver = deliver_and_go_on,
    .timeout = timeout,
    .drain = drain,
    .close = close_connection,
};
