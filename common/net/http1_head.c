/*
 * http1_head.c: the head of a request, through http-parser into one buffer, and the judgement of
 * it. http-parser is lenient, as Debian builds it; what another reader might frame differently is
 * refused here.
 */
#include "common/net/http1.h"

/* --- parser callbacks; the parser stops when one returns other than 0 --- */

static Http1 *of_parser(http_parser *parser) {
    return ((Connection *)parser->data)->state;
}

static int on_begin(http_parser *parser) {
    Http1 *h = of_parser(parser);

    h->request = request_new(parser->data);
    if (h->request != NULL) return 0;
    verdict_refuse(&h->verdict, 503, "out of memory");
    return 1;
}

static int append_head(Http1 *h, const char *bytes, size_t len, Span *span) {
    Buf *head = &h->request->head;

    if (span->len == 0) span->at = (uint32_t)head->len;
    buf_append(head, bytes, len);
    if (buf_failed(head)) {
        verdict_refuse(&h->verdict, 503, "out of memory");
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
            verdict_refuse(&h->verdict, 431, "more than %d header lines", HEADERS_MAX);
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
            verdict_refuse(&h->verdict, 400, "header line %u has bytes that don't belong there",
                           i + 1);
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
            verdict_refuse(&h->verdict, 501, "a Transfer-Encoding other than chunked");
    }
    if (lengths + encodings > 1)
        verdict_refuse(&h->verdict, 400, "more than one Content-Length or Transfer-Encoding");
    if (hosts > 1 || (hosts == 0 && !request->is_http10))
        verdict_refuse(&h->verdict, 400, "there must be one Host header, not %u", hosts);
    if (encodings > 0 && request->is_http10)
        verdict_refuse(&h->verdict, 400, "HTTP/1.0 has no Transfer-Encoding");
}

static void judge_expectation(Http1 *h) {
    Str expect = http_header(h->request, "expect");

    if (expect.len == 0 || h->request->is_http10) return;
    if (str_equal_nocase(expect, STR("100-continue")))
        h->expects_continue = h->is_chunked || h->body_left > 0;
    else
        verdict_refuse(&h->verdict, 417, "an Expect other than 100-continue");
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
        verdict_refuse(&h->verdict, 505, "HTTP/%u.%u is not spoken here", parser->http_major,
                       parser->http_minor);
    }
    judge_headers(h);
    if (h->verdict.refused != 0) {
        h->keeps_alive = false; /* who frames its requests so may mean something else by the next */
        return;
    }
    if (request->method == 0) {
        verdict_refuse(&h->verdict, 501, "this method is not known here");
        request->method = HTTP_GET_;
        return;
    }
    if (c->certificate_name != NULL)
        (void)append_head(h, c->certificate_name, strlen(c->certificate_name),
                          &request->certificate_name);
    verdict_choose(&h->verdict, c->loop->server, request);
    judge_expectation(h);
    if (h->verdict.refused == 0 && h->body_left > h->verdict.body_bytes_max)
        verdict_refuse(&h->verdict, 413, VERDICT_TOO_LARGE, h->verdict.body_bytes_max);
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
    if (has_folded_line(h, bytes, len)) verdict_refuse(&h->verdict, 400, "a folded header line");
    if (h->head_bytes <= limit) return;
    if (h->request != NULL && h->request->header_count == 0)
        verdict_refuse(&h->verdict, 414, "the request line is longer than the limit of %zu bytes",
                       limit);
    else
        verdict_refuse(&h->verdict, 431, "the head is larger than the limit of %zu bytes", limit);
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
            verdict_refuse(&h->verdict, 400, "a head that doesn't end");
    } else if (result != HPE_OK) {
        verdict_refuse(&h->verdict, 400, "not HTTP/1.1: %s", http_errno_description(result));
    }
    head_grew(c, h, bytes, used);
    if (h->is_head_done && h->verdict.refused == 0) {
        h->is_head_read = true;
        judge_head(c, h);
    }
    return used;
}
