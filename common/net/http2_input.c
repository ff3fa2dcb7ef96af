/*
 * http2_input.c: what nghttp2 makes of a client's frames, to requests.
 *
 * It has checked frames, fields and their order when we are called. A callback that finds that the
 * connection must end leaves the reason in `why` and fails, which ends the reading.
 */
#include <stdlib.h>

#include "common/net/grpc.h"
#include "common/net/http2.h"

enum {
    BODY_AT_ONCE_MAX = 1 << 20, /* allocated for a Content-Length; larger ones grow */
    BODY_BYTES_MIN = 8 << 10,
    RESETS_BURST = 400,
    RESETS_PER_SECOND = 40,
    CONTROLS_BURST = 1000,
    CONTROLS_PER_SECOND = 100,
};

static Http2Stream *stream_of(nghttp2_session *session, int32_t id) {
    return nghttp2_session_get_stream_user_data(session, id);
}

static int end_with(Http2 *h, uint32_t code) {
    h->why = code;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int pay(Http2 *h, Http2Bucket *bucket, double burst, double per_second) {
    return http2_take(h, bucket, burst, per_second) ? 0 : end_with(h, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int pay_reset(Http2 *h) {
    return pay(h, &h->resets, RESETS_BURST, RESETS_PER_SECOND);
}

static int pay_control(Http2 *h) {
    return pay(h, &h->controls, CONTROLS_BURST, CONTROLS_PER_SECOND);
}

/* ---------- streams come and go ---------- */

static Http2Stream *stream_new(Http2 *h, int32_t id) {
    Connection *c = h->connection;
    Http2Stream *s = calloc(1, sizeof *s);

    if (s == NULL) return NULL;
    s->request = request_new(c);
    if (s->request == NULL) {
        free(s);
        return NULL;
    }
    s->request->is_http2 = true;
    s->request->exchange = s;
    s->connection = c;
    s->id = id;
    verdict_init(&s->verdict, c->loop->server);
    buf_init(&s->out, 0);
    s->next = h->streams;
    if (s->next != NULL) s->next->link = &s->next;
    s->link = &h->streams;
    h->streams = s;
    h->stream_count++;
    http2_deadline(s, http2_options(c)->header_timeout_ms);
    return s;
}

void http2_stream_free(Http2Stream *s) {
    Http2 *h = s->connection->state;
    HttpRequest *request = s->request;

    http2_waits(h, s, false);
    if (s->state == HTTP2_WAIT || s->has_writer) {
        /* The request is in other hands, and comes back to a loop that drops it. */
        request->connection = NULL;
        atomic_store_explicit(&request->cancelled, true, memory_order_relaxed);
        if (s->has_writer) stream_cancel(&request->stream);
    } else {
        request_recycle(request);
    }
    if (s->next != NULL) s->next->link = s->link;
    *s->link = s->next;
    h->stream_count--;
    if (h->stream_count == 0) h->idle_ns = s->connection->loop->now_ns;
    buf_done(&s->out);
    free(s);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context) {
    Http2 *h = context;
    Http2Stream *s = stream_of(session, id);

    if (s == NULL) return 0;
    if (s->state == HTTP2_WRITE && code == NGHTTP2_NO_ERROR) {
        loop_tick(h->connection->loop);
        stats_count(s->verdict.stats, s->request->status,
                    h->connection->loop->now_ns - s->request->began_ns);
    }
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    http2_stream_free(s);
    return 0;
}

/* ---------- the head ---------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    Http2 *h = context;
    Http2Stream *s;

    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        s = stream_of(session, frame->hd.stream_id);
        if (s != NULL) s->is_trailers = true;
        return 0;
    }
    s = stream_new(h, frame->hd.stream_id);
    if (s == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
    return 0;
}

static Span keep(HttpRequest *request, Str bytes) {
    Span span = {(uint32_t)request->head.len, (uint32_t)bytes.len};

    buf_append_str(&request->head, bytes);
    return span;
}

static HttpMethod method_of(Str name) {
    static const Str names[] = {STR_INIT("GET"), STR_INIT("HEAD"),   STR_INIT("POST"),
                                STR_INIT("PUT"), STR_INIT("DELETE"), STR_INIT("OPTIONS")};

    for (unsigned bit = 0; bit < ARRAY_LEN(names); bit++)
        if (str_equal(name, names[bit])) return 1U << bit;
    return 0;
}

static void add_pseudo(Http2Stream *s, Str name, Str value) {
    HttpRequest *request = s->request;

    if (str_equal(name, STR(":method")))
        request->method = method_of(value);
    else if (str_equal(name, STR(":path")))
        request->target = keep(request, value);
    else if (str_equal(name, STR(":authority")))
        s->authority = keep(request, value);
}

static void add_header(Http2Stream *s, Str name, Str value) {
    HttpRequest *request = s->request;

    if (request->header_count == HEADERS_MAX) {
        verdict_refuse(&s->verdict, 431, "more than %d header lines", HEADERS_MAX);
        return;
    }
    request->headers[request->header_count].name = keep(request, name);
    request->headers[request->header_count++].value = keep(request, value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *context) {
    Http2 *h = context;
    Http2Stream *s = stream_of(session, frame->hd.stream_id);
    size_t limit = http2_options(h->connection)->header_bytes_max;

    (void)flags;
    if (s == NULL) return 0;
    s->field_bytes += name_len + value_len + 32;
    if (s->field_bytes > MAX((size_t)HTTP2_FIELDS_BYTES_MAX, limit * 2))
        return end_with(h, NGHTTP2_ENHANCE_YOUR_CALM);
    if (s->is_trailers) return 0;
    if (s->field_bytes > limit)
        verdict_refuse(&s->verdict, 431, "the head is larger than the limit of %zu bytes", limit);
    else if (name_len > 0 && name[0] == ':')
        add_pseudo(s, (Str){(const char *)name, name_len}, (Str){(const char *)value, value_len});
    else
        add_header(s, (Str){(const char *)name, name_len}, (Str){(const char *)value, value_len});
    return 0;
}

static void judge_fields(Http2Stream *s) {
    HttpRequest *request = s->request;
    Str authority = request_str(request, s->authority), host = http_header(request, "host");
    Str length = http_header(request, "content-length");

    if (buf_failed(&request->head)) {
        verdict_refuse(&s->verdict, 503, "out of memory");
        return;
    }
    if (authority.len > 0 && host.len > 0 && !str_equal_nocase(authority, host))
        verdict_refuse(&s->verdict, 400, "the Host header says another host than :authority");
    else if (authority.len > 0 && host.len == 0 && request->header_count < HEADERS_MAX)
        request->headers[request->header_count++] =
            (HeaderSpan){keep(request, STR("host")), s->authority};
    /* nghttp2 resets streams whose length isn't a number, or isn't that of what comes. */
    if (length.len > 0 && !str_to_u64(length, &s->announced))
        verdict_refuse(&s->verdict, 400, "the Content-Length is no number");
}

static void judge_head(Http2Stream *s) {
    Connection *c = s->connection;
    HttpRequest *request = s->request;
    Str expect;

    request->began_ns = c->loop->now_ns;
    judge_fields(s);
    if (s->verdict.refused == 0 && request->method == 0)
        verdict_refuse(&s->verdict, 501, "this method is not known here");
    if (request->method == 0) request->method = HTTP_GET_;
    if (s->verdict.refused != 0) return;
    if (c->certificate_name != NULL)
        request->certificate_name = keep(request, str_of(c->certificate_name));
    verdict_choose(&s->verdict, c->loop->server, request);
    if (s->announced > s->verdict.body_bytes_max)
        verdict_refuse(&s->verdict, 413, VERDICT_TOO_LARGE, s->verdict.body_bytes_max);
    expect = http_header(request, "expect");
    if (expect.len > 0 && !str_equal_nocase(expect, STR("100-continue")))
        verdict_refuse(&s->verdict, 417, "an Expect other than 100-continue");
    if (grpc_is_call(request)) {
        uint64_t timeout_ns = grpc_timeout_ns(http_header(request, "grpc-timeout"));

        if (timeout_ns > 0) request->deadline_ns = request->began_ns + timeout_ns;
    }
    if (buf_failed(&request->head) || !request_charge_head(request))
        verdict_refuse(&s->verdict, 503, VERDICT_OVER_BUDGET);
}

/* ---------- the whole request ---------- */

static void dispatch(Http2Stream *s) {
    HttpRequest *request = s->request;
    const char *flaw = request_params_flaw(request);

    if (flaw != NULL) {
        verdict_refuse(&s->verdict, 400, "query or form: %s", flaw);
        http2_refuse(s);
        return;
    }
    s->state = HTTP2_WAIT;
    http2_deadline(s, 0);
    http2_waits(s->connection->state, s, true);
    http2_watch(s);
    if (request_dispatch(request, s->verdict.handle, s->verdict.context)) http2_answer(s);
}

static void say_continue(Http2 *h, Http2Stream *s) {
    nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NONE};

    (void)nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1, NULL);
}

static void head_done(Http2 *h, Http2Stream *s, bool is_whole) {
    judge_head(s);
    s->is_whole = is_whole;
    s->state = HTTP2_BODY;
    if (s->verdict.refused != 0) {
        http2_refuse(s);
    } else if (is_whole) {
        dispatch(s);
    } else {
        if (http_header(s->request, "expect").len > 0) say_continue(h, s);
        http2_deadline(s, http2_options(h->connection)->body_timeout_ms);
    }
}

static void body_done(Http2Stream *s) {
    s->is_whole = true;
    if (s->state == HTTP2_BODY) dispatch(s);
}

static bool body_room(Http2Stream *s, size_t len) {
    HttpRequest *request = s->request;
    size_t needed = request->body_len + len, capacity;

    if (needed <= request->body_capacity) return true;
    capacity = MAX(needed, MAX(request->body_len * 2, (size_t)BODY_BYTES_MIN));
    if (s->announced >= needed)
        capacity = MAX(MIN(capacity, (size_t)s->announced),
                       MIN((size_t)s->announced, (size_t)BODY_AT_ONCE_MAX));
    return request_body_room(request, capacity);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *context) {
    Http2 *h = context;
    Http2Stream *s = stream_of(session, id);
    HttpRequest *request;

    (void)flags;
    (void)nghttp2_session_consume_stream(session, id, len);
    http2_consumed(h, len);
    if (s == NULL || s->state != HTTP2_BODY) return 0; /* refused */
    request = s->request;
    if (len > s->verdict.body_bytes_max - request->body_len) {
        verdict_refuse(&s->verdict, 413, VERDICT_TOO_LARGE, s->verdict.body_bytes_max);
        http2_refuse(s);
        return 0;
    }
    if (!body_room(s, len)) {
        verdict_refuse(&s->verdict, 503, VERDICT_OVER_BUDGET);
        http2_refuse(s);
        return 0;
    }
    memcpy(request->body + request->body_len, bytes, len);
    if (!request_body_grew(request, len)) {
        verdict_refuse(&s->verdict, 503, VERDICT_OVER_BUDGET);
        http2_refuse(s);
        return 0;
    }
    http2_deadline(s, http2_options(h->connection)->body_timeout_ms);
    return 0;
}

/* ---------- frames ---------- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *context) {
    (void)session;
    switch (head->type) {
    case NGHTTP2_DATA:
        return head->length == 0 && (head->flags & NGHTTP2_FLAG_END_STREAM) == 0
                   ? pay_control(context)
                   : 0;
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_WINDOW_UPDATE:
        return 0;
    case NGHTTP2_RST_STREAM:
        return pay_reset(context);
    default:
        return pay_control(context);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    Http2 *h = context;
    Http2Stream *s = stream_of(session, frame->hd.stream_id);
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s == NULL) break;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            head_done(h, s, is_end);
        else if (is_end)
            body_done(s);
        break;
    case NGHTTP2_DATA:
        if (s != NULL && is_end) body_done(s);
        break;
    case NGHTTP2_SETTINGS:
        h->is_started = true;
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && h->is_leaving) http2_leave(h);
        break;
    default:
        break;
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    Http2 *h = context;
    Http2Stream *s = stream_of(session, frame->hd.stream_id);
    bool may_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;

    /* The answer is out, and the rest of the request is of no use: the client may stop sending. */
    if (may_end && s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && !s->is_whole)
        http2_reset(s, NGHTTP2_NO_ERROR);
    if (frame->hd.type != NGHTTP2_RST_STREAM) return 0;
    switch (frame->rst_stream.error_code) {
    case NGHTTP2_NO_ERROR:
    case NGHTTP2_CANCEL:
    case NGHTTP2_INTERNAL_ERROR:
        return 0; /* our own doing */
    default:
        /* A stream that the client broke costs as much as one that it reset. */
        if (pay_reset(h) != 0) h->why = NGHTTP2_ENHANCE_YOUR_CALM;
        return 0;
    }
}

/* ---------- the session ---------- */

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *session_options;

static void setup(void) {
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&session_options) != 0)
        abort(); /* once, before anything is served */
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_set_no_auto_window_update(session_options, 1);
    nghttp2_option_set_no_closed_streams(session_options, 1);
    nghttp2_option_set_max_continuations(session_options, HTTP2_CONTINUATIONS_MAX);
    /* Ours, in on_begin_frame(), says ENHANCE_YOUR_CALM. */
    nghttp2_option_set_stream_reset_rate_limit(session_options, UINT32_MAX, UINT32_MAX);
}

bool http2_session_new(Connection *c, Http2 *h) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)http2_options(c)->header_bytes_max},
    };

    pthread_once(&once, setup);
    return nghttp2_session_server_new2(&h->session, callbacks, h, session_options) == 0 &&
           nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) ==
               0 &&
           nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                 HTTP2_CONNECTION_WINDOW) == 0;
}
