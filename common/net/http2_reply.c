/*
 * http2_reply.c: answers to frames. nghttp2 asks for the body when the windows let it out; until
 * then it lies in the stream, and with a stream's writer, who waits while there is much of it.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/net/grpc.h"
#include "common/net/http2.h"

/* ---------- fields ---------- */

static size_t count_lines(Str lines) {
    size_t count = 0;

    for (size_t i = 0; i < lines.len; i++) count += lines.ptr[i] == '\n';
    return count;
}

static nghttp2_nv field(Str name, Str value) {
    return (nghttp2_nv){(uint8_t *)name.ptr, (uint8_t *)value.ptr, name.len, value.len,
                        NGHTTP2_NV_FLAG_NONE};
}

/* "Name: value\r\n" and so on to fields; the names become lower case where they are. */
static size_t read_lines(Str lines, nghttp2_nv *out) {
    size_t count = 0;

    while (lines.len > 0) {
        Str line, name, value;

        str_cut(lines, '\n', &line, &lines);
        str_cut(line, ':', &name, &value);
        for (size_t i = 0; i < name.len; i++)
            ((char *)name.ptr)[i] = (char)tolower((unsigned char)name.ptr[i]);
        out[count++] = field(name, str_trim(value));
    }
    return count;
}

/* ---------- the body ---------- */

static void submit_trailers(nghttp2_session *session, Http2Stream *s) {
    Str lines = buf_str(&s->request->reply_trailers);
    nghttp2_nv *fields = calloc(count_lines(lines), sizeof *fields);
    size_t count;

    if (fields == NULL) {
        http2_reset(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    count = read_lines(lines, fields);
    if (nghttp2_submit_trailer(session, s->id, fields, count) != 0)
        http2_reset(s, NGHTTP2_INTERNAL_ERROR);
    free(fields);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *into, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *context) {
    Http2Stream *s = source->ptr;
    size_t left = s->out.len - s->out_at, len = MIN(left, room);

    (void)id;
    (void)context;
    if (left == 0 && !s->is_out_whole) {
        s->is_deferred = true;
        http2_deadline(s, 0); /* it isn't the client's turn */
        return NGHTTP2_ERR_DEFERRED;
    }
    if (len > 0) memcpy(into, s->out.ptr + s->out_at, len);
    s->out_at += len;
    http2_deadline(s, http2_options(s->connection)->write_timeout_ms);
    if (s->has_writer) stream_progress(&s->request->stream, left - len);
    if (len < left || !s->is_out_whole) return (ssize_t)len;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->request->reply_trailers.len > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(session, s);
    }
    return (ssize_t)len;
}

/* ---------- the head ---------- */

/* `length`: of the whole body, for a Content-Length; NULL: none is said. */
static bool submit_head(Http2Stream *s, bool has_body, const size_t *length) {
    Http2 *h = s->connection->state;
    HttpRequest *request = s->request;
    Str lines = buf_str(&request->reply_head), date = loop_date(s->connection->loop), name, value;
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_body};
    nghttp2_nv *fields = calloc(count_lines(lines) + 3, sizeof *fields);
    char status[8], digits[24];
    size_t count = 0;
    int result;

    if (fields == NULL || buf_failed(&request->reply_head)) {
        free(fields);
        return false;
    }
    (void)snprintf(status, sizeof status, "%d", request->status);
    fields[count++] = field(STR(":status"), str_of(status));
    str_cut(date, ':', &name, &value);
    fields[count++] = field(STR("date"), str_trim(value));
    if (length != NULL) {
        (void)snprintf(digits, sizeof digits, "%zu", *length);
        fields[count++] = field(STR("content-length"), str_of(digits));
    }
    count += read_lines(lines, fields + count);
    result = nghttp2_submit_response(h->session, s->id, fields, count, has_body ? &body : NULL);
    free(fields);
    s->is_begun = true;
    return result == 0;
}

static void answer_whole(Http2Stream *s) {
    HttpRequest *request = s->request;
    bool has_trailers = request->reply_trailers.len > 0;
    size_t length = request->reply_body.len;

    s->state = HTTP2_WRITE;
    s->out = request->reply_body;
    buf_init(&request->reply_body, 0);
    if (request->method == HTTP_HEAD_ || !status_has_body(request->status)) s->out.len = 0;
    s->is_out_whole = true;
    http2_deadline(s, http2_options(s->connection)->write_timeout_ms);
    if (!submit_head(s, s->out.len > 0 || has_trailers,
                     status_has_body(request->status) && !has_trailers ? &length : NULL))
        http2_reset(s, NGHTTP2_INTERNAL_ERROR);
}

/* ---------- piece by piece ---------- */

static void add_out(Http2Stream *s, Buf *bytes) {
    if (s->out_at == s->out.len) {
        buf_done(&s->out);
        s->out = *bytes;
        s->out_at = 0;
        return;
    }
    if (s->out_at > s->out.len / 2) {
        memmove(s->out.ptr, s->out.ptr + s->out_at, s->out.len - s->out_at);
        s->out.len -= s->out_at;
        s->out_at = 0;
    }
    buf_append_str(&s->out, buf_str(bytes));
    buf_done(bytes);
}

static void answer_part(Http2Stream *s) {
    Http2 *h = s->connection->state;
    HttpRequest *request = s->request;
    Stream *stream = &request->stream;
    Buf bytes;
    StreamNews news = stream_take(stream, &bytes);
    bool failed = news == STREAM_ABORTED;

    s->has_writer = news == STREAM_GOES_ON;
    s->state = s->has_writer ? HTTP2_STREAM : HTTP2_WRITE;
    s->is_out_whole = news == STREAM_ENDED;
    add_out(s, &bytes);
    failed |= buf_failed(&s->out);
    if (s->out.len > s->out_at || s->is_out_whole)
        http2_deadline(s, http2_options(s->connection)->write_timeout_ms);
    if (!failed && !s->is_begun) failed = !submit_head(s, true, NULL);
    if (failed) {
        http2_reset(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (s->is_deferred) {
        s->is_deferred = false;
        (void)nghttp2_session_resume_data(h->session, s->id);
    }
    if (s->has_writer) stream_progress(stream, s->out.len - s->out_at);
}

void http2_answer(Http2Stream *s) {
    http2_waits(s->connection->state, s, false);
    if (s->request->stream.is_active)
        answer_part(s);
    else
        answer_whole(s);
}

void http2_refuse(Http2Stream *s) {
    HttpRequest *request = s->request;
    Buf allowed;

    request_body_drop(request);
    buf_clear(&request->reply_head);
    buf_done(&request->reply_body);
    if (grpc_is_call(request)) {
        request->status = 200;
        grpc_refuse(request, s->verdict.refused, str_of(s->verdict.refusal));
        answer_whole(s);
        return;
    }
    request->status = s->verdict.refused;
    request_say_type(request, "text/plain; charset=utf-8");
    buf_append_str(&request->reply_body, str_of(s->verdict.refusal));
    buf_append_byte(&request->reply_body, '\n');
    if (request->status == 503) http_set_header(request, "Retry-After", STR("1"));
    if (request->status == 405) {
        buf_init(&allowed, 0);
        verdict_allowed(&s->verdict, &allowed);
        http_set_header(request, "Allow", buf_str(&allowed));
        buf_done(&allowed);
    }
    answer_whole(s);
}
