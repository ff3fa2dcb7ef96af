#pragma once
/*
 * raw.h: a client that sends exactly the bytes a test wants, and a server to send them to.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/pool.h"
#include "common/net/http.h"
#include "tests/unit/unit.h"

enum { RAW_WAIT_MS = 20000 }; /* only ever waited for by a test that fails */

static inline int raw_connect(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval wait = {.tv_sec = RAW_WAIT_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    return fd;
}

/* False when the server closed meanwhile. */
static inline bool raw_send_bytes(int fd, const void *bytes, size_t len) {
    const char *at = bytes;

    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

        if (sent <= 0) return false;
        at += sent;
        len -= (size_t)sent;
    }
    return true;
}

static inline bool raw_send(int fd, const char *text) {
    return raw_send_bytes(fd, text, strlen(text));
}

/* Up to the end of the connection. */
static inline void raw_read_all(int fd, Buf *out) {
    char piece[16384];
    ssize_t got;

    while ((got = recv(fd, piece, sizeof piece, 0)) > 0) buf_append(out, piece, (size_t)got);
}

typedef struct RawAnswer {
    int status; /* 0: the connection ended before a whole answer */
    Buf head;   /* with the empty line */
    Buf body;   /* chunks joined */
    bool is_chunked;
} RawAnswer;

static inline void raw_answer_done(RawAnswer *answer) {
    buf_done(&answer->head);
    buf_done(&answer->body);
}

static inline Str raw_header(const RawAnswer *answer, const char *name) {
    Str rest = buf_str(&answer->head), line, key, value;

    while (rest.len > 0) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &key, &value) && str_equal_nocase(key, str_of(name)))
            return str_trim(value);
    }
    return (Str){"", 0};
}

static inline bool raw_read_line(int fd, Buf *out) {
    char c;

    while (recv(fd, &c, 1, 0) == 1) {
        buf_append_byte(out, c);
        if (c == '\n') return true;
    }
    return false;
}

static inline bool raw_read_exact(int fd, Buf *out, size_t len) {
    while (len > 0) {
        char piece[16384];
        ssize_t got = recv(fd, piece, MIN(len, sizeof piece), 0);

        if (got <= 0) return false;
        buf_append(out, piece, (size_t)got);
        len -= (size_t)got;
    }
    return true;
}

static inline bool raw_read_chunks(int fd, Buf *out) {
    while (true) {
        Buf line;
        bool ok;
        size_t len;

        buf_init(&line, 0);
        ok = raw_read_line(fd, &line);
        buf_append_byte(&line, '\0');
        len = ok ? strtoul(line.ptr, NULL, 16) : 0;
        buf_done(&line);
        if (!ok || !raw_read_exact(fd, out, len)) return false;
        buf_init(&line, 0);
        ok = raw_read_line(fd, &line);
        buf_done(&line);
        if (!ok || len == 0) return ok;
    }
}

/* One answer. `no_body`: of HEAD. */
static inline RawAnswer raw_read(int fd, bool no_body) {
    RawAnswer answer = {0};
    size_t line_at;
    uint64_t len = 0;

    buf_init(&answer.head, 0);
    buf_init(&answer.body, 0);
    do {
        line_at = answer.head.len;
        if (!raw_read_line(fd, &answer.head)) return answer;
    } while (answer.head.len - line_at > 2);
    buf_append_byte(&answer.head, '\0');
    answer.head.len--;
    answer.is_chunked = str_equal(raw_header(&answer, "transfer-encoding"), STR("chunked"));
    (void)!str_to_u64(raw_header(&answer, "content-length"), &len);
    if (no_body || answer.head.len < 12) {
    } else if (answer.is_chunked) {
        if (!raw_read_chunks(fd, &answer.body)) return answer;
    } else if (!raw_read_exact(fd, &answer.body, (size_t)len)) {
        return answer;
    }
    answer.status = atoi(answer.head.ptr + 9);
    return answer;
}

/* Sends `request` and expects `status`, and `body` unless that is NULL. */
static inline void raw_expect(int fd, const char *request, int status, const char *body) {
    RawAnswer answer;

    assert_true(raw_send(fd, request));
    answer = raw_read(fd, false);
    if (answer.status != status)
        fail_msg("%d instead of %d: %.*s", answer.status, status, STR_ARG(buf_str(&answer.body)));
    if (body != NULL) {
        assert_int_equal(answer.body.len, strlen(body));
        assert_memory_equal(answer.body.ptr == NULL ? "" : answer.body.ptr, body, strlen(body));
    }
    raw_answer_done(&answer);
}

/* The same on a connection of its own. */
static inline void raw_expect_alone(unsigned port, const char *request, int status,
                                    const char *body) {
    int fd = raw_connect(port);

    raw_expect(fd, request, status, body);
    close(fd);
}

static inline bool raw_is_closed(int fd) {
    char byte;

    errno = 0;
    return recv(fd, &byte, 1, 0) <= 0 && errno != EAGAIN;
}

/* --- handlers of many tests --- */

static inline void handle_hello(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 200, "text/plain", STR("hello\n"));
}

static inline void handle_echo(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 200, "application/octet-stream", http_body(request));
}

/* A request that a test answers when it wants to. */
typedef struct Parked {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    HttpRequest *request;
} Parked;

#define PARKED_INIT                                                                                \
    { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL }

static inline void handle_park(HttpRequest *request, void *context) {
    Parked *parked = context;

    pthread_mutex_lock(&parked->mutex);
    while (parked->request != NULL) pthread_cond_wait(&parked->changed, &parked->mutex);
    parked->request = request;
    pthread_cond_broadcast(&parked->changed);
    pthread_mutex_unlock(&parked->mutex);
}

static inline HttpRequest *parked_take(Parked *parked) {
    HttpRequest *request;

    pthread_mutex_lock(&parked->mutex);
    while (parked->request == NULL) pthread_cond_wait(&parked->changed, &parked->mutex);
    request = parked->request;
    parked->request = NULL;
    pthread_cond_broadcast(&parked->changed);
    pthread_mutex_unlock(&parked->mutex);
    return request;
}

static inline void wait_until_cancelled(const HttpRequest *request) {
    while (!http_cancelled(request)) clock_sleep_ms(1);
}

/* Options for 127.0.0.1 and any port. */
static inline HttpServerOptions test_options(void) {
    return (HttpServerOptions){.address = STR("127.0.0.1:0")};
}

static inline HttpServer *test_server(const HttpServerOptions *options, const HttpRoute *routes,
                                      size_t count) {
    HttpServer *server;
    Error err;

    assert_ok(http_server_new(options, &server, &err), &err);
    for (size_t i = 0; i < count; i++) http_server_route(server, &routes[i]);
    assert_ok(http_server_start(server, &err), &err);
    return server;
}
