/*
 * stream.c: answers piece by piece, from a thread that may wait to a client that may be slow.
 *
 * The writer appends to `pending`, framed and compressed, and posts the request to its loop unless
 * it is on its way there already; the loop takes all there is. What the loop took and the client
 * did not read yet stays counted in `unsent`, and the writer waits while both together are large.
 */
#include <stdio.h>

#include "common/net/internal.h"

enum { FRAME_HEAD_BYTES = 10 }; /* eight hex digits, CR, LF: room left before the bytes are known */

static void stream_init(Stream *stream) {
    stream->is_active = true;
    buf_init(&stream->pending, 0);
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->changed, NULL);
}

void stream_done(Stream *stream) {
    if (!stream->is_active) return;
    encoder_free(stream->encoder);
    buf_done(&stream->pending);
    /* Who let go of the request may be about to leave the mutex: wait for that. */
    pthread_mutex_lock(&stream->mutex);
    pthread_mutex_unlock(&stream->mutex);
    pthread_mutex_destroy(&stream->mutex);
    pthread_cond_destroy(&stream->changed);
    stream->is_active = false;
}

StreamNews stream_take(Stream *stream, Buf *out) {
    StreamNews news = STREAM_GOES_ON;

    pthread_mutex_lock(&stream->mutex);
    stream->is_posted = false;
    if (buf_failed(&stream->pending)) stream->is_aborted = true;
    if (out == NULL) {
        buf_done(&stream->pending);
        stream->is_cancelled = true;
        pthread_cond_signal(&stream->changed);
    } else {
        *out = stream->pending;
        stream->unsent += out->len;
        buf_init(&stream->pending, 0);
    }
    if (stream->is_ended) news = stream->is_aborted ? STREAM_ABORTED : STREAM_ENDED;
    pthread_mutex_unlock(&stream->mutex);
    return news;
}

void stream_progress(Stream *stream, size_t unsent) {
    pthread_mutex_lock(&stream->mutex);
    stream->unsent = unsent;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

void stream_cancel(Stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    stream->is_cancelled = true;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

/* Appends one chunk with `bytes`, through the encoder if there is one. */
static void append_chunk(Stream *stream, Str bytes, bool last) {
    Buf *out = &stream->pending;
    size_t start = out->len, len;

    if (stream->is_chunked) buf_append_zeros(out, FRAME_HEAD_BYTES);
    if (stream->encoder == NULL)
        buf_append_str(out, bytes);
    else if (!encoder_write(stream->encoder, bytes, last, out))
        out->failed = true;
    if (!stream->is_chunked || buf_failed(out)) return;
    len = out->len - start - FRAME_HEAD_BYTES;
    if (len == 0) {
        out->len = start; /* a chunk of nothing would be the end */
        return;
    }
    for (int i = 7; i >= 0; i--, len >>= 4)
        out->ptr[start + (size_t)i] = "0123456789abcdef"[len & 15];
    memcpy(out->ptr + start + 8, "\r\n", 2);
    buf_append(out, "\r\n", 2);
}

/* With the mutex held. True: the caller posts the request, after letting go of the mutex. */
static bool must_post(Stream *stream) {
    bool must = !stream->is_posted;

    stream->is_posted = true;
    return must;
}

static bool stream_post(HttpRequest *request) {
    Stream *stream = &request->stream;

    if (loop_post(request->loop, &request->post)) return true;
    pthread_mutex_lock(&stream->mutex);
    stream->is_posted = false;
    stream->is_cancelled = true;
    pthread_mutex_unlock(&stream->mutex);
    return false;
}

void http_respond_begin(HttpRequest *request, int status, const char *content_type) {
    Stream *stream = &request->stream;
    Coding coding;

    assert(request->status == 0 && "a request is answered once");
    assert(status >= 200 && status <= 599);
    request_say_type(request, content_type);
    coding = request_choose_coding(request, status, content_type);
    *stream = (Stream){
        .is_chunked = !request->is_http10 && !request->is_http2,
        .has_body = request->method != HTTP_HEAD_ && status_has_body(status),
        .encoder = coding != CODING_IDENTITY ? encoder_new(coding) : NULL,
    };
    stream_init(stream);
    if (stream->encoder != NULL) request_say_coding(request, coding);
    request->status = status;
}

void stream_begin_frames(HttpRequest *request) {
    assert(request->status == 0 && "a request is answered once");
    request->stream = (Stream){.has_body = true, .is_websocket = true};
    stream_init(&request->stream);
    request->status = 101;
}

ErrCode stream_put(HttpRequest *request, Str head, Str bytes, Error *err) {
    Stream *stream = &request->stream;
    bool post = false, failed, cancelled = http_cancelled(request);

    pthread_mutex_lock(&stream->mutex);
    cancelled |= stream->is_cancelled;
    if (!cancelled) {
        buf_append_str(&stream->pending, head);
        buf_append_str(&stream->pending, bytes);
        post = must_post(stream);
    }
    failed = buf_failed(&stream->pending);
    pthread_mutex_unlock(&stream->mutex);
    if (post) (void)stream_post(request);
    if (cancelled) return error_set(err, ERR_CANCELLED, "the client has gone");
    if (failed) return error_set(err, ERR_UNAVAILABLE, "out of memory while answering");
    return ERR_OK;
}

size_t stream_backlog(HttpRequest *request) {
    Stream *stream = &request->stream;
    size_t bytes;

    pthread_mutex_lock(&stream->mutex);
    bytes = stream->pending.len + stream->unsent;
    pthread_mutex_unlock(&stream->mutex);
    return bytes;
}

ErrCode http_respond_write(HttpRequest *request, Str bytes, Error *err) {
    Stream *stream = &request->stream;
    bool post = false, failed, cancelled = http_cancelled(request);

    assert(stream->is_active && "http_respond_begin() comes first");
    pthread_mutex_lock(&stream->mutex);
    if (cancelled || stream->is_cancelled) {
        stream->is_short = true;
    } else if (bytes.len > 0 && stream->has_body) {
        append_chunk(stream, bytes, false);
        if (stream->pending.len > 0) post = must_post(stream);
    }
    pthread_mutex_unlock(&stream->mutex);
    if (post) (void)stream_post(request);

    pthread_mutex_lock(&stream->mutex);
    while (!stream->is_cancelled && !cancelled && !loop_is_current() &&
           stream->pending.len + stream->unsent > STREAM_QUEUE_MAX)
        pthread_cond_wait(&stream->changed, &stream->mutex);
    cancelled |= stream->is_cancelled;
    failed = buf_failed(&stream->pending);
    pthread_mutex_unlock(&stream->mutex);
    if (cancelled) return error_set(err, ERR_CANCELLED, "the client has gone");
    if (failed) return error_set(err, ERR_UNAVAILABLE, "out of memory while answering");
    return ERR_OK;
}

/* After the mutex is left with is_ended set, the request is the loop's: nothing may touch it. */
static void stream_end(HttpRequest *request, bool aborted) {
    Stream *stream = &request->stream;
    bool post;

    assert(stream->is_active && "http_respond_begin() comes first");
    pthread_mutex_lock(&stream->mutex);
    aborted |= stream->is_short;
    if (!stream->is_cancelled && stream->has_body && !aborted) {
        if (stream->encoder != NULL) append_chunk(stream, (Str){"", 0}, true);
        if (stream->is_chunked) buf_append(&stream->pending, "0\r\n\r\n", 5);
    }
    stream->is_aborted = aborted;
    stream->is_ended = true;
    post = must_post(stream);
    pthread_mutex_unlock(&stream->mutex);
    if (post) request_hand_over(request);
}

void http_respond_end(HttpRequest *request) {
    stream_end(request, false);
}

void http_respond_abort(HttpRequest *request) {
    stream_end(request, true);
}
