#pragma once
/*
 * raw2.h: a client of HTTP/2 that sends exactly the frames a test wants. Heads are written without
 * compression; what comes is unpacked by nghttp2's inflater.
 */
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>

#include "tests/unit/net/raw.h"

#define RAW2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

typedef struct Raw2 {
    int fd;
    nghttp2_hd_inflater *inflater;
    bool is_stingy;       /* gives no window back */
    bool is_ended;        /* the server closed the connection */
    int64_t goaway;       /* the last one's code; -1: none came */
    unsigned pings_acked; /* by the server */
    unsigned settings;
} Raw2;

typedef struct Raw2Answer {
    int status;
    Buf head;     /* "name: value\n" */
    Buf trailers; /* likewise */
    Buf body;
    bool is_whole;
    int64_t reset; /* -1: it was not */
    bool has_head;
    unsigned continues; /* answers 100 */
} Raw2Answer;

static inline bool raw2_frame(Raw2 *c, uint8_t type, uint8_t flags, uint32_t stream,
                              const void *bytes, size_t len) {
    unsigned char head[9] = {(unsigned char)(len >> 16),
                             (unsigned char)(len >> 8),
                             (unsigned char)len,
                             type,
                             flags,
                             (unsigned char)(stream >> 24),
                             (unsigned char)(stream >> 16),
                             (unsigned char)(stream >> 8),
                             (unsigned char)stream};

    return raw_send_bytes(c->fd, head, sizeof head) && raw_send_bytes(c->fd, bytes, len);
}

static inline Raw2 raw2_bare(unsigned port) {
    Raw2 c = {.fd = raw_connect(port), .goaway = -1};
    int on = 1;

    (void)setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    assert_int_equal(nghttp2_hd_inflate_new(&c.inflater), 0);
    return c;
}

/* Preface and SETTINGS: `settings` are raw entries. */
static inline Raw2 raw2_open_with(unsigned port, const void *settings, size_t len) {
    Raw2 c = raw2_bare(port);

    assert_true(raw_send(c.fd, RAW2_PREFACE));
    assert_true(raw2_frame(&c, NGHTTP2_SETTINGS, 0, 0, settings, len));
    return c;
}

static inline Raw2 raw2_open(unsigned port) {
    return raw2_open_with(port, "", 0);
}

static inline void raw2_close(Raw2 *c) {
    nghttp2_hd_inflate_del(c->inflater);
    close(c->fd);
}

static inline void raw2_u32(char out[4], uint32_t n) {
    for (int i = 0; i < 4; i++) out[i] = (char)(n >> (24 - 8 * i));
}

static inline bool raw2_window(Raw2 *c, uint32_t stream, uint32_t more) {
    char bytes[4];

    raw2_u32(bytes, more);
    return raw2_frame(c, NGHTTP2_WINDOW_UPDATE, 0, stream, bytes, 4);
}

static inline bool raw2_reset(Raw2 *c, uint32_t stream, uint32_t code) {
    char bytes[4];

    raw2_u32(bytes, code);
    return raw2_frame(c, NGHTTP2_RST_STREAM, 0, stream, bytes, 4);
}

static inline void raw2_put_len(Buf *out, size_t len) {
    if (len < 127) {
        buf_append_byte(out, (char)len);
        return;
    }
    buf_append_byte(out, 127);
    for (len -= 127; len >= 128; len >>= 7) buf_append_byte(out, (char)((len & 127) | 128));
    buf_append_byte(out, (char)len);
}

static inline void raw2_put(Buf *out, Str name, Str value) {
    buf_append_byte(out, 0); /* a literal, not indexed */
    raw2_put_len(out, name.len);
    buf_append_str(out, name);
    raw2_put_len(out, value.len);
    buf_append_str(out, value);
}

/* The pseudo fields, then "name: value\n" lines. */
static inline void raw2_put_head(Buf *out, const char *method, const char *path,
                                 const char *lines) {
    Str rest = str_of(lines), line, name, value;

    raw2_put(out, STR(":method"), str_of(method));
    raw2_put(out, STR(":scheme"), STR("http"));
    raw2_put(out, STR(":path"), str_of(path));
    raw2_put(out, STR(":authority"), STR("x"));
    while (rest.len > 0) {
        str_cut(rest, '\n', &line, &rest);
        str_cut(line, ':', &name, &value);
        raw2_put(out, name, str_trim(value));
    }
}

/* `is_end`: no body follows. */
static inline bool raw2_head(Raw2 *c, uint32_t stream, const char *method, const char *path,
                             const char *lines, bool is_end) {
    Buf block;
    bool sent;

    buf_init(&block, 0);
    raw2_put_head(&block, method, path, lines);
    sent = raw2_frame(c, NGHTTP2_HEADERS,
                      NGHTTP2_FLAG_END_HEADERS | (is_end ? NGHTTP2_FLAG_END_STREAM : 0), stream,
                      block.ptr, block.len);
    buf_done(&block);
    return sent;
}

static inline bool raw2_data(Raw2 *c, uint32_t stream, Str bytes, bool is_end) {
    return raw2_frame(c, NGHTTP2_DATA, is_end ? NGHTTP2_FLAG_END_STREAM : 0, stream, bytes.ptr,
                      bytes.len);
}

static inline bool raw2_get(Raw2 *c, uint32_t stream, const char *path) {
    return raw2_head(c, stream, "GET", path, "", true);
}

static inline void raw2_answer_init(Raw2Answer *answer) {
    *answer = (Raw2Answer){.reset = -1};
    buf_init(&answer->head, 0);
    buf_init(&answer->trailers, 0);
    buf_init(&answer->body, 0);
}

static inline void raw2_answer_done(Raw2Answer *answer) {
    buf_done(&answer->head);
    buf_done(&answer->trailers);
    buf_done(&answer->body);
}

static inline Str raw2_field(const Buf *lines, const char *name) {
    Str rest = buf_str(lines), line, key, value;

    while (rest.len > 0) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &key, &value) && str_equal(key, str_of(name)))
            return str_trim(value);
    }
    return (Str){"", 0};
}

static inline void raw2_unpack(Raw2 *c, const Buf *block, Raw2Answer *answer) {
    const uint8_t *at = (const uint8_t *)block->ptr;
    size_t left = block->len;
    Buf ignored, *out;
    int status = 0;

    buf_init(&ignored, 0);
    out = answer == NULL ? &ignored : answer->has_head ? &answer->trailers : &answer->head;
    while (true) {
        nghttp2_nv field;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(c->inflater, &field, &flags, at, left, 1);

        assert_true(used >= 0);
        at += used;
        left -= (size_t)used;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            if (field.namelen == 7 && memcmp(field.name, ":status", 7) == 0)
                status = atoi((const char *)field.value);
            else
                buf_printf(out, "%.*s: %.*s\n", (int)field.namelen, field.name, (int)field.valuelen,
                           field.value);
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    (void)nghttp2_hd_inflate_end_headers(c->inflater);
    buf_done(&ignored);
    if (answer == NULL) return;
    if (status == 100) {
        answer->continues++;
        return;
    }
    if (!answer->has_head) answer->status = status;
    answer->has_head = true;
}

/* Reads one frame; what it says of `stream` goes to `answer`, which may be NULL. Returns its type,
 * or -1 at the end of the connection. */
static inline int raw2_step(Raw2 *c, uint32_t stream, Raw2Answer *answer) {
    Buf head, body;
    const unsigned char *h;
    uint32_t len, id;
    int type = -1;

    buf_init(&head, 0);
    buf_init(&body, 0);
    if (!raw_read_exact(c->fd, &head, 9)) {
        c->is_ended = true;
        buf_done(&head);
        return -1;
    }
    h = (const unsigned char *)head.ptr;
    len = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    id = (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
    if (raw_read_exact(c->fd, &body, len)) {
        const unsigned char *b = (const unsigned char *)body.ptr;
        bool is_mine = answer != NULL && id == stream;

        type = h[3];
        if (type == NGHTTP2_HEADERS) {
            raw2_unpack(c, &body, is_mine ? answer : NULL);
        } else if (type == NGHTTP2_DATA) {
            if (is_mine) buf_append_str(&answer->body, buf_str(&body));
            if (len > 0 && !c->is_stingy) {
                (void)raw2_window(c, 0, len);
                (void)raw2_window(c, id, len);
            }
        } else if (type == NGHTTP2_RST_STREAM && is_mine) {
            answer->reset = b[2] << 8 | b[3];
        } else if (type == NGHTTP2_GOAWAY) {
            c->goaway = b[6] << 8 | b[7];
        } else if (type == NGHTTP2_PING && (h[4] & NGHTTP2_FLAG_ACK) != 0) {
            c->pings_acked++;
        } else if (type == NGHTTP2_SETTINGS) {
            c->settings++;
        }
        if (is_mine && (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) &&
            (h[4] & NGHTTP2_FLAG_END_STREAM) != 0)
            answer->is_whole = true;
    } else {
        c->is_ended = true;
    }
    buf_done(&head);
    buf_done(&body);
    return type;
}

/* The answer of a stream: whole, reset, or cut by the end of the connection. */
static inline Raw2Answer raw2_read(Raw2 *c, uint32_t stream) {
    Raw2Answer answer;

    raw2_answer_init(&answer);
    while (!answer.is_whole && answer.reset < 0 && raw2_step(c, stream, &answer) >= 0) {
    }
    return answer;
}

static inline void raw2_expect(Raw2 *c, uint32_t stream, int status, const char *body) {
    Raw2Answer answer = raw2_read(c, stream);

    if (answer.status != status || !answer.is_whole)
        fail_msg("stream %u: %d (reset %d, goaway %d) instead of %d: %.*s", stream, answer.status,
                 (int)answer.reset, (int)c->goaway, status, STR_ARG(buf_str(&answer.body)));
    if (body != NULL) {
        assert_int_equal(answer.body.len, strlen(body));
        assert_memory_equal(answer.body.ptr == NULL ? "" : answer.body.ptr, body, strlen(body));
    }
    raw2_answer_done(&answer);
}

/* Reads on to the end of the connection, which must come, and returns the last GOAWAY's code. */
static inline int64_t raw2_goaway(Raw2 *c) {
    while (raw2_step(c, 0, NULL) >= 0) {
    }
    return c->goaway;
}
