/*
 * connection.c: a socket on its loop. Bytes in go where the protocol wants them, bytes out at once
 * if the socket takes them.
 *
 * Without TLS the reading is ours: a bufferevent of libevent 2.1 reads 4 KiB at a time into its own
 * chain, which for a body of 90 KB is 23 system calls and a copy more than recv() into the body's
 * place. Writing tries the socket first and leaves only the rest to a bufferevent, which most
 * connections therefore never have. With TLS all goes through a bufferevent_openssl.
 *
 * A function called from here may find the connection broken; it then sets is_dead and goes on, and
 * the callback's last line, connection_settle(), frees. So no frame below a callback ever holds a
 * connection that is gone.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/net/internal.h"

enum {
    ROUNDS_MAX = 16,               /* reads from one socket before the others have their turn */
    TLS_INPUT_MAX = 128 << 10,     /* decrypted bytes that wait for the protocol */
    TLS_ONE_RECORD_MAX = 15 << 10, /* head and body up to here go out as one TLS record */
};

Connection *connection_new(Loop *loop, int fd, const struct sockaddr *peer, size_t peer_len) {
    Connection *c = calloc(1, sizeof *c);

    if (c == NULL) return NULL;
    c->post.kind = POST_CONNECTION;
    c->loop = loop;
    c->fd = fd;
    c->protocol = &sniff_protocol;
    memcpy(&c->peer, peer, MIN(peer_len, sizeof c->peer));
    return c;
}

void connection_abandon(Connection *c) {
    close(c->fd);
    server_connection_gone(c->loop->server);
    free(c);
}

void connection_deadline(Connection *c, uint64_t ms) {
    c->deadline_ns = ms == 0 ? 0 : c->loop->now_ns + ms * 1000000;
}

/* The timer is moved only forward: one that fires too early finds so and is set again. So a
 * connection whose deadlines move with every request rarely touches the heap of timers. */
static void arm_timer(Connection *c) {
    uint64_t due_ns = c->deadline_ns, wait_ns;
    struct timeval wait;

    if (due_ns == 0 || (c->write_deadline_ns != 0 && c->write_deadline_ns < due_ns))
        due_ns = c->write_deadline_ns;
    if (due_ns == 0 || (c->timer_ns != 0 && c->timer_ns <= due_ns)) return;
    wait_ns = due_ns > c->loop->now_ns ? due_ns - c->loop->now_ns : 0;
    wait.tv_sec = (time_t)(wait_ns / 1000000000);
    wait.tv_usec = (suseconds_t)(wait_ns % 1000000000 / 1000);
    if (event_add(&c->timer, &wait) == 0) c->timer_ns = due_ns;
}

void connection_settle(Connection *c) {
    if (c->is_dead)
        connection_free(c);
    else
        arm_timer(c);
}

/* From now on the peer must read something within the time for that. Not by the bufferevent's own
 * timeout: that starts when the callback began, so that a slow handler would count for the peer. */
static void watch_writing(Connection *c) {
    loop_tick(c->loop);
    c->read_by_peer = c->queued - connection_unsent(c);
    c->write_deadline_ns = c->loop->now_ns + c->loop->server->options.write_timeout_ms * 1000000;
}

static void check_writing(Connection *c) {
    size_t unsent = connection_unsent(c);

    if (unsent == 0)
        c->write_deadline_ns = 0;
    else if (c->queued - unsent == c->read_by_peer)
        c->is_dead = true;
    else
        watch_writing(c);
}

static void on_timer(evutil_socket_t fd, short what, void *context) {
    Connection *c = context;

    (void)fd;
    (void)what;
    loop_tick(c->loop);
    c->timer_ns = 0;
    /* libevent's clock may be a little ahead of ours: what is due within a millisecond is due. */
    if (c->write_deadline_ns != 0 && c->loop->now_ns + 1000000 >= c->write_deadline_ns)
        check_writing(c);
    if (!c->is_dead && c->deadline_ns != 0 && c->loop->now_ns + 1000000 >= c->deadline_ns) {
        c->deadline_ns = 0;
        if (c->state == NULL)
            c->is_dead = true; /* in the handshake */
        else
            c->protocol->timeout(c);
    }
    connection_settle(c);
}

static void on_eof(Connection *c) {
    c->is_eof = true;
    event_del(&c->read_event);
    event_del(&c->closed_event);
    c->protocol->eof(c);
}

static void on_readable(evutil_socket_t fd, short what, void *context) {
    Connection *c = context;

    (void)what;
    loop_tick(c->loop);
    for (int round = 0; round < ROUNDS_MAX && !c->is_dead && !c->is_paused; round++) {
        char *into = NULL;
        size_t room = c->protocol->target(c, &into);
        bool direct = into != NULL;
        ssize_t got;

        if (c->is_dead) break;
        if (!direct) into = c->loop->scratch;
        got = recv(fd, into, room, 0);
        if (got > 0) {
            if (direct)
                c->protocol->landed(c, (size_t)got);
            else
                c->protocol->input(c, into, (size_t)got);
            if ((size_t)got < room) break; /* a short read empties the socket, as a rule */
        } else if (got == 0) {
            on_eof(c);
            break;
        } else if (errno != EINTR) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) c->is_dead = true;
            break;
        }
    }
    connection_settle(c);
}

/* The peer's FIN or reset, while nothing is read. */
static void on_closed(evutil_socket_t fd, short what, void *context) {
    Connection *c = context;

    (void)fd;
    (void)what;
    loop_tick(c->loop);
    on_eof(c);
    connection_settle(c);
}

static void on_tls_input(struct bufferevent *bev, void *context) {
    Connection *c = context;
    struct evbuffer *in = bufferevent_get_input(bev);

    loop_tick(c->loop);
    while (!c->is_dead && !c->is_paused && evbuffer_get_length(in) > 0) {
        char *into = NULL;
        size_t room = c->protocol->target(c, &into);
        struct evbuffer_iovec piece;

        if (c->is_dead) break;
        if (into != NULL) {
            int got = evbuffer_remove(in, into, room);

            if (got > 0) c->protocol->landed(c, (size_t)got);
        } else if (evbuffer_peek(in, -1, NULL, &piece, 1) > 0) {
            c->protocol->input(c, piece.iov_base, piece.iov_len);
            evbuffer_drain(in, piece.iov_len);
        }
    }
    connection_settle(c);
}

static void on_writable(struct bufferevent *bev, void *context) {
    Connection *c = context;

    loop_tick(c->loop);
    if (c->state != NULL) c->protocol->drained(c, evbuffer_get_length(bufferevent_get_output(bev)));
    connection_settle(c);
}

static void on_bev_event(struct bufferevent *bev, short what, void *context) {
    Connection *c = context;

    (void)bev;
    loop_tick(c->loop);
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        c->is_open = true;
        c->certificate_name = tls_peer_name(bufferevent_openssl_get_ssl(bev));
        c->protocol =
            tls_is_http2(bufferevent_openssl_get_ssl(bev)) ? &http2_protocol : &http1_protocol;
        if (!c->protocol->open(c)) c->is_dead = true;
    } else {
        /* An end or an error. After TLS's end nothing can be written either. */
        ERR_clear_error();
        c->is_dead = true;
    }
    connection_settle(c);
}

static void setup_bev(Connection *c, bufferevent_data_cb on_input) {
    bufferevent_setcb(c->bev, on_input, on_writable, on_bev_event, c);
    bufferevent_setwatermark(c->bev, EV_WRITE, STREAM_QUEUE_LOW, 0);
}

static bool open_tls(Connection *c) {
    SSL *ssl = SSL_new(c->loop->server->tls);

    if (ssl == NULL) return false;
    /* Deferred: else a write might call back into who is writing. */
    c->bev = bufferevent_openssl_socket_new(c->loop->base, c->fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                            BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (c->bev == NULL) return false; /* which has freed `ssl` */
    c->is_tls = true;
    bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    setup_bev(c, on_tls_input);
    bufferevent_setwatermark(c->bev, EV_READ, 0, TLS_INPUT_MAX);
    return bufferevent_enable(c->bev, EV_READ | EV_WRITE) == 0;
}

static bool open_plain(Connection *c) {
    if (event_add(&c->read_event, NULL) != 0) return false;
    c->is_open = true;
    return c->protocol->open(c);
}

void connection_open(Connection *c) {
    Loop *loop = c->loop;
    int on = 1;

    c->next = loop->connections;
    if (c->next != NULL) c->next->link = &c->next;
    c->link = &loop->connections;
    loop->connections = c;
    event_assign(&c->read_event, loop->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->closed_event, loop->base, c->fd, EV_CLOSED | EV_PERSIST, on_closed, c);
    event_assign(&c->timer, loop->base, -1, 0, on_timer, c);
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection_deadline(c, loop->server->options.header_timeout_ms);
    if (loop->draining || !(loop->server->tls != NULL ? open_tls(c) : open_plain(c)))
        c->is_dead = true;
    connection_settle(c);
}

static void free_bev(Connection *c) {
    if (c->is_tls && c->is_open) {
        SSL *ssl = bufferevent_openssl_get_ssl(c->bev);

        /* Says goodbye, so that the peer can tell an end from a cut, and doesn't wait for its. */
        SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
        (void)SSL_shutdown(ssl);
        ERR_clear_error();
    }
    if (c->is_tls) c->fd = -1; /* the bufferevent closes it */
    bufferevent_free(c->bev);
}

void connection_free(Connection *c) {
    if (c->state != NULL) c->protocol->close(c);
    event_del(&c->read_event);
    event_del(&c->closed_event);
    event_del(&c->timer);
    if (c->bev != NULL) free_bev(c);
    if (c->fd >= 0) close(c->fd);
    if (c->next != NULL) c->next->link = c->link;
    *c->link = c->next;
    server_connection_gone(c->loop->server);
    free(c->certificate_name);
    free(c);
}

void connection_pause(Connection *c) {
    if (c->is_paused) return;
    c->is_paused = true;
    if (c->is_tls) {
        bufferevent_disable(c->bev, EV_READ);
    } else if (!c->is_eof) {
        event_del(&c->read_event);
        event_add(&c->closed_event, NULL);
    }
}

void connection_resume(Connection *c) {
    if (!c->is_paused) return;
    c->is_paused = false;
    if (c->is_tls) {
        bufferevent_enable(c->bev, EV_READ);
        /* What was decrypted before the pause raises no event of its own. */
        if (evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
            bufferevent_trigger(c->bev, EV_READ,
                                BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
    } else if (!c->is_eof) {
        event_del(&c->closed_event);
        event_add(&c->read_event, NULL);
    }
}

void connection_shutdown(Connection *c) {
    if (!c->is_tls) (void)shutdown(c->fd, SHUT_WR);
}

size_t connection_unsent(const Connection *c) {
    return c->bev == NULL ? 0 : evbuffer_get_length(bufferevent_get_output(c->bev));
}

static void free_memory(const void *bytes, size_t len, void *memory) {
    (void)bytes;
    (void)len;
    free(memory);
}

/* Appends to what the bufferevent sends. */
static void queue(Connection *c, Str head, Str body, void *memory) {
    struct evbuffer *out = evbuffer_new();
    bool ok = out != NULL, was_empty = connection_unsent(c) == 0;

    /* Put together apart, so that TLS doesn't make a record of the head alone. */
    if (ok && c->is_tls && head.len + body.len <= TLS_ONE_RECORD_MAX)
        ok = evbuffer_expand(out, head.len + body.len) == 0;
    if (ok && head.len > 0) ok = evbuffer_add(out, head.ptr, head.len) == 0;
    if (ok && body.len > 0) {
        if (memory == NULL || body.len <= 4096) {
            ok = evbuffer_add(out, body.ptr, body.len) == 0;
        } else {
            ok = evbuffer_add_reference(out, body.ptr, body.len, free_memory, memory) == 0;
            if (ok) memory = NULL;
        }
    }
    if (!ok || bufferevent_write_buffer(c->bev, out) != 0) c->is_dead = true;
    c->queued += head.len + body.len;
    if (was_empty) watch_writing(c);
    if (out != NULL) evbuffer_free(out);
    free(memory);
}

/* How much of both the socket took. */
static size_t send_now(Connection *c, Str head, Str body) {
    struct iovec pieces[2] = {{(void *)head.ptr, head.len}, {(void *)body.ptr, body.len}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t sent;

    do sent = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) c->is_dead = true;
    return sent < 0 ? 0 : (size_t)sent;
}

void connection_send(Connection *c, Str head, Str body, void *memory) {
    if (!c->is_dead && !c->is_tls && connection_unsent(c) == 0) {
        size_t sent = send_now(c, head, body);

        body = str_from(body, sent > head.len ? sent - head.len : 0);
        head = str_from(head, MIN(sent, head.len));
    }
    if (c->is_dead || head.len + body.len == 0) {
        free(memory);
        return;
    }
    if (c->bev == NULL) {
        c->bev = bufferevent_socket_new(c->loop->base, c->fd, 0);
        if (c->bev == NULL) {
            c->is_dead = true;
            free(memory);
            return;
        }
        setup_bev(c, NULL);
    }
    queue(c, head, body, memory);
}
