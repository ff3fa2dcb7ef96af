/*
 * loop.c: a thread that turns one event_base, and how other threads reach it.
 *
 * Posts go on a lock-free stack that the loop takes whole. Only the post that finds the stack empty
 * writes the eventfd, so a burst of answers costs one system call.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/internal.h"

static Post closed_marker;
#define POSTS_CLOSED (&closed_marker)

static _Thread_local bool is_loop_thread;

bool loop_is_current(void) {
    return is_loop_thread;
}

void loop_tick(Loop *loop) {
    loop->now_ns = clock_monotonic_ns(clock_system());
}

Str loop_date(Loop *loop) {
    int64_t now_s = clock_now_ms(clock_system()) / 1000;
    time_t seconds = (time_t)now_s;
    struct tm utc;

    if (now_s != loop->date_s && gmtime_r(&seconds, &utc) != NULL) {
        static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

        /* Not strftime(): its names of days follow the locale. */
        (void)snprintf(loop->date, sizeof loop->date,
                       "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[utc.tm_wday % 7],
                       utc.tm_mday % 100, months[utc.tm_mon % 12], (utc.tm_year + 1900) % 10000,
                       utc.tm_hour % 100, utc.tm_min % 100, utc.tm_sec % 100);
        loop->date_s = now_s;
    }
    return str_of(loop->date);
}

void loop_reference(Loop *loop) {
    atomic_fetch_add_explicit(&loop->references, 1, memory_order_relaxed);
}

void loop_release(Loop *loop) {
    if (atomic_fetch_sub_explicit(&loop->references, 1, memory_order_acq_rel) != 1) return;
    close(loop->wake_fd);
    router_free(loop->router);
    free(loop);
}

bool loop_post(Loop *loop, Post *post) {
    Post *head = atomic_load_explicit(&loop->posts, memory_order_relaxed);
    uint64_t one = 1;

    /* Once the post is on the stack, the loop may be through with it and end before the eventfd is
     * written: this reference is what keeps it until then. */
    loop_reference(loop);
    do {
        if (head == POSTS_CLOSED) {
            loop_release(loop);
            return false;
        }
        post->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posts, &head, post, memory_order_release,
                                                    memory_order_relaxed));
    if (head == NULL) {
        ssize_t written;

        do written = write(loop->wake_fd, &one, sizeof one);
        while (written < 0 && errno == EINTR);
    }
    loop_release(loop);
    return true;
}

static void close_connections(Loop *loop) {
    while (loop->connections != NULL) connection_free(loop->connections);
}

static void drain_connections(Loop *loop) {
    Connection *next;

    loop->draining = true;
    if (loop == loop->server->loops[0]) server_accept_stop(loop->server);
    for (Connection *c = loop->connections; c != NULL; c = next) {
        next = c->next;
        if (c->state != NULL)
            c->protocol->drain(c);
        else
            c->is_dead = true;
        connection_settle(c);
    }
}

static void handle_post(Loop *loop, Post *post) {
    switch (post->kind) {
    case POST_CONNECTION:
        connection_open((Connection *)((char *)post - offsetof(Connection, post)));
        return;
    case POST_REQUEST: {
        HttpRequest *request = (HttpRequest *)((char *)post - offsetof(HttpRequest, post));
        Connection *c = request->connection;

        if (c != NULL) {
            c->protocol->deliver(c, request);
            connection_settle(c);
        } else if (!request->stream.is_active ||
                   stream_take(&request->stream, NULL) != STREAM_GOES_ON) {
            request_recycle(request);
        }
        return;
    }
    case POST_DRAIN:
        drain_connections(loop);
        return;
    case POST_STOP:
        event_base_loopbreak(loop->base);
        return;
    }
}

static void handle_posts(Loop *loop, Post *newest) {
    Post *oldest = NULL, *next;

    for (; newest != NULL; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    for (; oldest != NULL; oldest = next) {
        next = oldest->next; /* the post may be gone, or posted again, afterwards */
        handle_post(loop, oldest);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context) {
    Loop *loop = context;

    /* Edge-triggered, so the eventfd need not be read: every write is an edge. */
    (void)fd;
    (void)what;
    loop_tick(loop);
    handle_posts(loop, atomic_exchange_explicit(&loop->posts, NULL, memory_order_acquire));
}

static void *loop_main(void *context) {
    Loop *loop = context;
    Post *left;

    is_loop_thread = true;
    loop_tick(loop);
    (void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    if (loop == loop->server->loops[0]) server_accept_stop(loop->server);
    event_del(&loop->wake_event);
    close_connections(loop);
    /* From here on who answers a request disposes of it. What was posted before is handled. */
    left = atomic_exchange_explicit(&loop->posts, POSTS_CLOSED, memory_order_acquire);
    handle_posts(loop, left);
    close_connections(loop);
    while (loop->spares != NULL) {
        HttpRequest *spare = loop->spares;

        loop->spares = spare->next_spare;
        spare->loop = NULL;
        request_destroy(spare);
    }
    buf_done(&loop->head);
    /* Bufferevents that were freed go in a last round. */
    (void)event_base_loop(loop->base, EVLOOP_NONBLOCK);
    return NULL;
}

ErrCode loop_new(HttpServer *server, Loop **out, Error *err) {
    struct event_config *config = event_config_new();
    Loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL || config == NULL) goto out_of_memory;
    loop->wake_fd = -1;
    loop->server = server;
    loop->router = router_reference(server->router);
    loop->drain_post.kind = POST_DRAIN;
    loop->stop_post.kind = POST_STOP;
    atomic_init(&loop->references, 1);
    loop->scratch = malloc(SCRATCH_BYTES);
    buf_init(&loop->head, 0);
    /* Only the loop's own thread touches the base, so it needs no lock. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    loop->base = event_base_new_with_config(config);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->scratch == NULL || loop->base == NULL || loop->wake_fd < 0 ||
        event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET,
                     on_wake, loop) != 0 ||
        event_add(&loop->wake_event, NULL) != 0)
        goto out_of_memory;
    event_config_free(config);
    *out = loop;
    return ERR_OK;

out_of_memory:
    if (config != NULL) event_config_free(config);
    if (loop != NULL) {
        if (loop->base != NULL) event_base_free(loop->base);
        if (loop->wake_fd >= 0) close(loop->wake_fd);
        free(loop->scratch);
        router_free(loop->router);
        free(loop);
    }
    return error_set(err, ERR_UNAVAILABLE, "http server: no memory or descriptors for a loop");
}

ErrCode loop_start(Loop *loop, unsigned index, Error *err) {
    char name[16];
    sigset_t all, before;
    int failed;

    /* Signals are main()'s. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&loop->thread, NULL, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) return error_errno(err, failed, "http server: thread");
    loop->started = true;
    (void)snprintf(name, sizeof name, "net-%u", index % 1000);
    pthread_setname_np(loop->thread, name);
    return ERR_OK;
}
