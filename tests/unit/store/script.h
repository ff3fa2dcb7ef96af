#pragma once
/*
 * script.h: a server that plays a script, line by line, on 127.0.0.1.
 *
 * Each step takes one request, checks what is in its head, answers with the bytes it was given and
 * then keeps the connection, closes it, resets it or hangs. What clients do beyond the script is an
 * answer 599, which no test expects.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tests/unit/unit.h"

typedef enum Then { THEN_KEEP, THEN_CLOSE, THEN_RESET, THEN_HANG } Then;

typedef struct Step {
    const char *expect[4]; /* each in the request's head; NULL: no more */
    const char *answer;    /* NULL: none */
    size_t answer_len;     /* 0: strlen(answer) */
    Then then;
} Step;

typedef struct Script {
    const Step *steps;
    size_t count;
    int listener;
    unsigned port;
    char endpoint[64];
    pthread_t thread;
    atomic_bool ending;
    atomic_size_t played;
    atomic_size_t connections;
    atomic_size_t beyond; /* requests the script didn't have */
    char unmet[256];      /* what a request lacked */
} Script;

/* Waits until `fd` is readable; false when the script ends. */
static inline bool script_readable(Script *script, int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    while (!atomic_load(&script->ending))
        if (poll(&wait, 1, 20) > 0) return true;
    return false;
}

/* Reads one request, head and body. False: the connection ended, or the script did. */
static inline bool script_read(Script *script, int fd, char *head, size_t size) {
    size_t len = 0, body = 0;
    char *end = NULL, *length;
    char drain[65536];

    while (end == NULL) {
        ssize_t n;

        if (!script_readable(script, fd)) return false;
        n = recv(fd, head + len, size - 1 - len, 0);
        if (n <= 0) return false;
        len += (size_t)n;
        head[len] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    length = strcasestr(head, "\r\nContent-Length:");
    if (length != NULL && length < end) body = strtoull(length + 17, NULL, 10);
    if (strcasestr(head, "\r\nExpect: 100-continue") != NULL) {
        if (send(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) < 0) return false;
    }
    body -= MIN(body, len - (size_t)(end + 4 - head));
    end[4] = '\0';
    while (body > 0) {
        ssize_t n;

        if (!script_readable(script, fd)) return false;
        n = recv(fd, drain, MIN(body, sizeof drain), 0);
        if (n <= 0) return false;
        body -= (size_t)n;
    }
    return true;
}

/* Plays one step on the connection; false: it is over. */
static inline bool script_step(Script *script, int fd, char *head, size_t size) {
    size_t at;
    const Step *step;
    size_t len;

    if (!script_read(script, fd, head, size)) return false;
    at = atomic_fetch_add(&script->played, 1);
    if (at >= script->count) {
        static const char answer[] = "HTTP/1.1 599 Unscripted\r\nContent-Length: 0\r\n\r\n";

        atomic_fetch_add(&script->beyond, 1);
        return send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) > 0;
    }
    step = &script->steps[at];
    for (size_t i = 0; i < 4 && step->expect[i] != NULL; i++)
        if (strcasestr(head, step->expect[i]) == NULL && script->unmet[0] == '\0')
            snprintf(script->unmet, sizeof script->unmet, "step %zu lacks '%s'", at + 1,
                     step->expect[i]);
    if (step->answer != NULL) {
        len = step->answer_len > 0 ? step->answer_len : strlen(step->answer);
        if (send(fd, step->answer, len, MSG_NOSIGNAL) < 0) return false;
    }
    if (step->then == THEN_HANG) {
        char byte;

        /* Until the client gives up. */
        return script_readable(script, fd) && recv(fd, &byte, 1, 0) > 0;
    }
    if (step->then == THEN_RESET) {
        struct linger now = {.l_onoff = 1};

        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    return step->then == THEN_KEEP;
}

static inline void *script_run(void *context) {
    Script *script = context;
    char *head = malloc(65536);

    while (head != NULL && script_readable(script, script->listener)) {
        int fd = accept(script->listener, NULL, NULL);

        if (fd < 0) continue;
        atomic_fetch_add(&script->connections, 1);
        while (script_step(script, fd, head, 65536)) {
        }
        close(fd);
    }
    free(head);
    return NULL;
}

static inline void script_start(Script *script, const Step *steps, size_t count) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    *script = (Script){.steps = steps, .count = count};
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(script->listener >= 0);
    assert_int_equal(bind(script->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(script->listener, 16), 0);
    assert_int_equal(getsockname(script->listener, (struct sockaddr *)&at, &len), 0);
    script->port = ntohs(at.sin_port);
    snprintf(script->endpoint, sizeof script->endpoint, "http://127.0.0.1:%u", script->port);
    assert_int_equal(pthread_create(&script->thread, NULL, script_run, script), 0);
}

/* Ends the server; fails the test when the script wasn't played to its end, or more was asked. */
static inline void script_end(Script *script) {
    atomic_store(&script->ending, true);
    pthread_join(script->thread, NULL);
    close(script->listener);
    if (script->unmet[0] != '\0') fail_msg("%s", script->unmet);
    assert_int_equal(atomic_load(&script->beyond), 0);
    assert_int_equal(atomic_load(&script->played), script->count);
}
