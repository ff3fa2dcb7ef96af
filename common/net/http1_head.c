/*
 * http1_head.c: the head of a request, through http-parser into one buffer, and the judgement of
 * it. http-parser is lenient, as Debian builds it; what another reader might frame differently is
 * refused here.
 */
#include <stdarg.h>
#include <stdio.h>

#include "common/net/http1.h"

void http1_refuse_with(Http1 *h, int status, const char *format, ...) {
    va_list args;

    va_start(args, format);
    if (h->refused == 0) (void)vsnprintf(h->refusal, sizeof h->refusal, format, args);
    va_end(args);
    if (h->refused == 0) h->refused = status; /* the first reason is the one to tell */
}

/* --- parser callbacks; the parser stops when one returns other than 0 --- */

static Http1 *of_parser(http_parser *parser) {
    return ((Connection *)parser->data)->state;
}

static int on_begin(http_parser *parser) {
    Http1 *h = of_parser(parser);

    h->request = request_new(parser->data);
    if (h->request != NULL) return 0;
    http1_refuse_with(h, 503, "out of memory");
    return 1;
}

static int append_head(Http1 *h, const char *bytes, size_t len, Span *span) {
    Buf *head = &h->request->head;

    if (span->len == 0) span->at = (uint32_t)head->len;
    buf_append(head, bytes, len);
    if (buf_failed(head)) {
        http1_refuse_with(h, 503, "out of memory");
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
            http1_refuse_with(h, 431, "more than %d header lines", HEADERS_MAX);
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

static const http_parser_settings parser_settings = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
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
            http1_refuse_with(h, 400, "header line %u has bytes that don't belong there", i + 1);
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
            http1_refuse_with(h, 501, "a Transfer-Encoding other than chunked");
    }
    if (lengths + encodings > 1)
        http1_refuse_with(h, 400, "more than one Content-Length or Transfer-Encoding");
    if (hosts > 1 || (hosts == 0 && !request->is_http10))
        http1_refuse_with(h, 400, "there must be one Host header, not %u", hosts);
    if (encodings > 0 && request->is_http10)
        http1_refuse_with(h, 400, "HTTP/1.0 has no Transfer-Encoding");
}

static void judge_expectation(Http1 *h) {
    Str expect = http_header(h->request, "expect");

    if (expect.len == 0 || h->request->is_http10) return;
    if (str_equal_nocase(expect, STR("100-continue")))
        h->expects_continue = h->is_chunked || h->body_left > 0;
    else
        http1_refuse_with(h, 417, "an Expect other than 100-continue");
}

static void choose_handler(Connection *c, Http1 *h) {
    HttpServer *server = c->loop->server;
    HttpRequest *request = h->request;
    const Route *route = router_match(server->router, request->method, http_path(request),
                                      request->captures, &h->allowed);

    h->body_bytes_max = http1_options(c)->body_bytes_max;
    h->stats = server->fallback_stats;
    if (route != NULL) {
        request->route = route;
        h->handle = route->given.handle;
        h->context = route->given.context;
        h->stats = route->stats;
        if (route->given.body_bytes_max > 0) h->body_bytes_max = route->given.body_bytes_max;
    } else if (h->allowed != 0) {
        http1_refuse_with(h, 405, "this path does not take this method");
    } else if (server->fallback != NULL) {
        h->handle = server->fallback;
        h->context = server->fallback_context;
    } else {
        http1_refuse_with(h, 404, "404 page not found");
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
        http1_refuse_with(h, 505, "HTTP/%u.%u is not spoken here", parser->http_major,
                          parser->http_minor);
    }
    judge_headers(h);
    if (h->refused != 0) {
        h->keeps_alive = false; /* who frames its requests so may mean something else by the next */
        return;
    }
    if (request->method == 0) {
        http1_refuse_with(h, 501, "this method is not known here");
        request->method = HTTP_GET_;
        return;
    }
    split_target(request);
    if (c->certificate_name != NULL)
        (void)append_head(h, c->certificate_name, strlen(c->certificate_name),
                          &request->certificate_name);
    if (!percent_is_valid(http_path(request)))
        http1_refuse_with(h, 400, "the path has a percent sign without two hex digits");
    judge_expectation(h);
    if (h->refused == 0) choose_handler(c, h);
    if (h->refused == 0 && h->body_left > h->body_bytes_max)
        http1_refuse_with(h, 413, HTTP1_TOO_LARGE, h->body_bytes_max);
    request->began_ns = c->loop->now_ns;
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
    size_t limit = http1_options(c)->header_bytes_max;

    if (h->head_bytes == 0) connection_deadline(c, http1_options(c)->header_timeout_ms);
    h->head_bytes += len;
    if (has_folded_line(h, bytes, len)) http1_refuse_with(h, 400, "a folded header line");
    if (h->head_bytes <= limit) return;
    if (h->request != NULL && h->request->header_count == 0)
        http1_refuse_with(h, 414, "the request line is longer than the limit of %zu bytes", limit);
    else
        http1_refuse_with(h, 431, "the head is larger than the limit of %zu bytes", limit);
}

size_t http1_head_read(Connection *c, Http1 *h, const char *bytes, size_t len) {
    size_t used;
    enum http_errno result;

    len = MIN(len, http1_options(c)->header_bytes_max + 1 - h->head_bytes);
    used = http_parser_execute(&h->parser, &parser_settings, bytes, len);
    result = HTTP_PARSER_ERRNO(&h->parser);
    if (h->is_head_done) {
        /* It stopped before the last line feed, and wouldn't mind if it were something else. */
        if (used < len && bytes[used] == '\n')
            used++;
        else
            http1_refuse_with(h, 400, "a head that doesn't end");
    } else if (result != HPE_OK) {
        http1_refuse_with(h, 400, "not HTTP/1.1: %s", http_errno_description(result));
    }
    head_grew(c, h, bytes, used);
    if (h->is_head_done && h->refused == 0) {
        h->is_head_read = true;
        judge_head(c, h);
    }
    return used;
}
