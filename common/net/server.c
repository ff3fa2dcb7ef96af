/*
 * server.c: options, the listener, and the end.
 *
 * Loop 0 accepts for all and hands the sockets out in turn: with the few, long-lived connections
 * that agents keep, the kernel's hashing of SO_REUSEPORT would leave loops idle.
 */
#include <errno.h>
#include <event2/listener.h>
#include <http_parser.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/internal.h"

enum {
    LOOPS = 2,
    BACKLOG = 1024,
    ACCEPT_PAUSE_MS = 100, /* after the process ran out of descriptors */
};

static Gauge *connections_gauge;
static Counter *refused_counter;

static uint64_t or_default(uint64_t given, uint64_t otherwise) {
    return given > 0 ? given : otherwise;
}

static void set_defaults(HttpServerOptions *options) {
    options->loops = (unsigned)MIN(or_default(options->loops, LOOPS), SERVER_LOOPS_MAX);
    options->connections_max = (unsigned)or_default(options->connections_max, 4096);
    options->header_bytes_max = or_default(options->header_bytes_max, KIB(64));
    options->header_bytes_max = MIN(options->header_bytes_max, MIB(16));
    options->body_bytes_max = or_default(options->body_bytes_max, MIB(64));
    options->header_timeout_ms = or_default(options->header_timeout_ms, 10000);
    options->body_timeout_ms = or_default(options->body_timeout_ms, 30000);
    options->idle_timeout_ms = or_default(options->idle_timeout_ms, 120000);
    options->write_timeout_ms = or_default(options->write_timeout_ms, 30000);
}

static void setup_process(void) {
    struct sigaction action;

    /* A client that hangs up while it is written to is no reason to die. */
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        (void)signal(SIGPIPE, SIG_IGN);
    http_parser_set_max_header_size(UINT32_MAX / 2); /* the limit is ours, per server */
    connections_gauge = telemetry_gauge("moraine_http_connections", "", "Open client connections.");
    net_body_bytes =
        telemetry_gauge("moraine_http_body_bytes", "", "Bytes of request bodies in memory.");
    refused_counter = telemetry_counter("moraine_http_connections_refused_total", "",
                                        "Connections past the limit, answered 503 and closed.");
}

ErrCode http_server_new(const HttpServerOptions *options, HttpServer **out, Error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    HttpServer *server = calloc(1, sizeof *server);

    pthread_once(&once, setup_process);
    if (server == NULL) return error_set(err, ERR_UNAVAILABLE, "http server: out of memory");
    server->options = *options;
    set_defaults(&server->options);
    server->listen_fd = -1;
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->changed, NULL);
    server->router = router_new();
    server->fallback_stats = stats_new("other");
    server->address =
        strndup(options->address.ptr != NULL ? options->address.ptr : "", options->address.len);
    if (server->router == NULL || server->fallback_stats == NULL || server->address == NULL) {
        http_server_free(server);
        return error_set(err, ERR_UNAVAILABLE, "http server: out of memory");
    }
    if (options->tls_cert_file.len > 0 || options->tls_key_file.len > 0) {
        ErrCode code = tls_context_new(&server->options, &server->tls, err);

        if (code != ERR_OK) {
            http_server_free(server);
            return code;
        }
    } else if (options->tls_client_ca_file.len > 0) {
        http_server_free(server);
        return error_set(err, ERR_INVALID, "tls: an authority for clients needs a certificate");
    }
    server->options.address = str_of(server->address);
    server->options.tls_cert_file = server->options.tls_key_file =
        server->options.tls_client_ca_file = (Str){"", 0};
    *out = server;
    return ERR_OK;
}

void http_server_route(HttpServer *server, const HttpRoute *route) {
    assert(!server->started);
    router_add(server->router, route);
}

void http_server_fallback(HttpServer *server, void (*handle)(HttpRequest *, void *),
                          void *context) {
    assert(!server->started);
    server->fallback = handle;
    server->fallback_context = context;
}

/* --- the listener --- */

/* getaddrinfo() takes 70000 for 4464. Names of services ("http") are for it to judge. */
static bool port_in_range(const char *port) {
    return strspn(port, "0123456789") != strlen(port) || strtoul(port, NULL, 10) <= UINT16_MAX;
}

/* "host:port", "[v6]:port", ":port". */
static bool split_address(const char *address, char *host, size_t host_size, const char **port) {
    const char *colon = strrchr(address, ':');
    size_t len;

    if (colon == NULL || colon[1] == '\0') return false;
    len = (size_t)(colon - address);
    if (address[0] == '[') {
        if (len < 2 || colon[-1] != ']') return false;
        address++;
        len -= 2;
    }
    if (len >= host_size) return false;
    memcpy(host, address, len);
    host[len] = '\0';
    *port = colon + 1;
    return true;
}

static int listen_on(const struct addrinfo *address) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, off = 0, failed;

    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    failed = errno;
    close(fd);
    errno = failed;
    return -1;
}

static ErrCode bind_server(HttpServer *server, Error *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    char host[256];
    const char *port;
    PeerAddress bound = {0};
    socklen_t len = sizeof bound;
    int failed;

    if (!split_address(server->address, host, sizeof host, &port))
        return error_set(err, ERR_INVALID, "%s is no address: write host:port or :port",
                         server->address);
    if (!port_in_range(port))
        return error_set(err, ERR_INVALID, "%s: a port is at most 65535", server->address);
    failed = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &found);
    if (failed != 0)
        return error_set(err, ERR_INVALID, "%s: %s", server->address, gai_strerror(failed));
    /* All interfaces: the IPv6 socket, where there is IPv6, takes both. */
    for (int want_v6 = 1; want_v6 >= 0 && server->listen_fd < 0; want_v6--)
        for (struct addrinfo *at = found; at != NULL && server->listen_fd < 0; at = at->ai_next)
            if ((at->ai_family == AF_INET6) == (want_v6 == 1)) server->listen_fd = listen_on(at);
    freeaddrinfo(found);
    if (server->listen_fd < 0) return error_errno(err, errno, "listen on %s", server->address);
    if (getsockname(server->listen_fd, &bound.any, &len) != 0)
        return error_errno(err, errno, "listen on %s", server->address);
    server->port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    return ERR_OK;
}

static bool connection_came(HttpServer *server) {
    bool fits;

    pthread_mutex_lock(&server->mutex);
    fits = server->connections < server->options.connections_max;
    if (fits) server->connections++;
    pthread_mutex_unlock(&server->mutex);
    if (fits) gauge_add(connections_gauge, 1);
    return fits;
}

void server_connection_gone(HttpServer *server) {
    gauge_add(connections_gauge, -1);
    pthread_mutex_lock(&server->mutex);
    server->connections--;
    if (server->connections == 0) pthread_cond_signal(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

static void refuse_connection(HttpServer *server, int fd) {
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\n"
                                 "Connection: close\r\n\r\ntoo many connections...";
    char drop[4096];

    counter_add(refused_counter, 1);
    if (server->tls == NULL) {
        (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)shutdown(fd, SHUT_WR);
        (void)recv(fd, drop, sizeof drop, MSG_DONTWAIT); /* unread input would make it a reset */
    }
    close(fd);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                      int peer_len, void *context) {
    HttpServer *server = context;
    Loop *loop;
    Connection *c;

    (void)listener;
    if (!connection_came(server)) {
        refuse_connection(server, fd);
        return;
    }
    loop = server->loops[server->next_loop++ % server->loops_count];
    c = connection_new(loop, fd, peer, (size_t)peer_len);
    if (c == NULL) {
        close(fd);
        server_connection_gone(server);
    } else if (loop == server->loops[0]) {
        loop_tick(loop);
        connection_open(c);
    } else if (!loop_post(loop, &c->post)) {
        connection_abandon(c);
    }
}

static void on_accept_again(evutil_socket_t fd, short what, void *context) {
    HttpServer *server = context;

    (void)fd;
    (void)what;
    if (server->listener != NULL) (void)evconnlistener_enable(server->listener);
}

/* Without descriptors left, the listener would be ready, and fail, without end. */
static void on_accept_error(struct evconnlistener *listener, void *context) {
    HttpServer *server = context;
    struct timeval wait = {.tv_usec = (suseconds_t)ACCEPT_PAUSE_MS * 1000};
    Error err;

    (void)error_errno(&err, errno, "accept");
    LOG_WARN("no connections are accepted for a moment", LOG_ERR(&err));
    (void)evconnlistener_disable(listener);
    (void)event_add(server->accept_again, &wait);
}

void server_accept_stop(HttpServer *server) {
    if (server->listener == NULL) return;
    event_del(server->accept_again);
    evconnlistener_free(server->listener); /* closes the socket */
    server->listener = NULL;
}

static ErrCode setup_listener(HttpServer *server, Error *err) {
    struct event_base *base = server->loops[0]->base;

    server->accept_again = event_new(base, -1, 0, on_accept_again, server);
    server->listener =
        evconnlistener_new(base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                           0, server->listen_fd);
    if (server->listener == NULL || server->accept_again == NULL)
        return error_set(err, ERR_UNAVAILABLE, "http server: out of memory");
    server->listen_fd = -1;
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    return ERR_OK;
}

/* --- start and end --- */

ErrCode http_server_start(HttpServer *server, Error *err) {
    assert(!server->started && !server->drained);
    router_compile(server->router);
    TRY(bind_server(server, err));
    for (; server->loops_count < server->options.loops; server->loops_count++)
        TRY(loop_new(server, &server->loops[server->loops_count], err));
    TRY(setup_listener(server, err));
    server->started = true;
    /* Loop 0 last: it accepts, and hands on to the others. */
    for (unsigned i = server->loops_count; i-- > 0;) TRY(loop_start(server->loops[i], i, err));
    return ERR_OK;
}

unsigned http_server_port(const HttpServer *server) {
    return server->port;
}

static void post_to_all(HttpServer *server, bool stop) {
    for (unsigned i = 0; i < server->loops_count; i++) {
        Loop *loop = server->loops[i];

        if (loop->started && !loop_post(loop, stop ? &loop->stop_post : &loop->drain_post))
            continue;
    }
}

static void wait_for_connections(HttpServer *server, uint64_t timeout_ms) {
    uint64_t until_ns = clock_monotonic_ns(clock_system()) + MIN(timeout_ms, INT32_MAX) * 1000000;
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = (long)(until_ns % 1000000000)};

    pthread_mutex_lock(&server->mutex);
    while (server->connections > 0)
        if (pthread_cond_clockwait(&server->changed, &server->mutex, CLOCK_MONOTONIC, &until) != 0)
            break;
    pthread_mutex_unlock(&server->mutex);
}

void http_server_drain(HttpServer *server, uint64_t timeout_ms) {
    if (server->drained) return;
    server->drained = true;
    if (!server->started) return;
    post_to_all(server, false);
    if (timeout_ms > 0) wait_for_connections(server, timeout_ms);
    /* Loop 0 first: it may be handing a connection to another, which takes it or abandons it. */
    post_to_all(server, true);
    for (unsigned i = 0; i < server->loops_count; i++)
        if (server->loops[i]->started) (void)pthread_join(server->loops[i]->thread, NULL);
}

static void free_loop(Loop *loop) {
    event_base_free(loop->base);
    free(loop->scratch);
    loop->base = NULL;
    loop->scratch = NULL;
    loop->server = NULL;
    loop_release(loop); /* requests that are still out hold the rest of it */
}

void http_server_free(HttpServer *server) {
    if (server == NULL) return;
    http_server_drain(server, 0);
    if (server->listener != NULL) evconnlistener_free(server->listener);
    if (server->accept_again != NULL) event_free(server->accept_again);
    for (unsigned i = 0; i < server->loops_count; i++) free_loop(server->loops[i]);
    if (server->listen_fd >= 0) close(server->listen_fd);
    SSL_CTX_free(server->tls);
    router_free(server->router);
    stats_free(server->fallback_stats);
    free(server->address);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}
