/*
 * admin.c: flushes and compactions take long, so they run on a thread of their own and answer when
 * they are done. Both are for administrators: callers on loopback.
 */
#include "cli/admin.h"

#include <stdlib.h>

#include "common/base/pool.h"
#include "common/base/telemetry.h"

struct Admin {
    Ingester *ingester;
    Compactor *compactor;
    Pool *pool;
    atomic_bool ready;
};

typedef struct Job {
    Admin *admin;
    HttpRequest *request;
} Job;

Admin *admin_new(Ingester *ingester, Compactor *compactor) {
    Admin *admin = calloc(1, sizeof *admin);
    Error err;

    if (admin == NULL) return NULL;
    admin->ingester = ingester;
    admin->compactor = compactor;
    if (pool_new("admin", 1, 64, &admin->pool, &err) != ERR_OK) {
        free(admin);
        return NULL;
    }
    return admin;
}

void admin_free(Admin *admin) {
    if (admin == NULL) return;
    pool_free(admin->pool);
    free(admin);
}

void admin_set_ready(Admin *admin, bool ready) {
    atomic_store(&admin->ready, ready);
}

static void handle_ready(HttpRequest *request, void *context) {
    Admin *admin = context;

    if (atomic_load(&admin->ready))
        http_respond(request, 200, "text/plain; charset=utf-8", STR("ready\n"));
    else
        http_respond(request, 503, "text/plain; charset=utf-8", STR("starting or stopping\n"));
}

static void handle_healthy(HttpRequest *request, void *context) {
    (void)context;
    http_respond(request, 200, "text/plain; charset=utf-8", STR("ok\n"));
}

static void handle_metrics(HttpRequest *request, void *context) {
    Buf page;

    (void)context;
    buf_init(&page, MIB(64));
    telemetry_write(&page);
    http_respond_buf(request, buf_failed(&page) ? 500 : 200,
                     "text/plain; version=0.0.4; charset=utf-8", &page);
    buf_done(&page);
}

static void answer(HttpRequest *request, ErrCode code, const Error *err) {
    if (code == ERR_OK)
        http_respond(request, 204, "text/plain", STR(""));
    else
        http_respond_error(request, err);
}

static void run_flush(void *context) {
    Job *job = context;
    Error err = {0};

    answer(job->request, ingester_flush(job->admin->ingester, &err), &err);
}

static void run_compaction(void *context) {
    Job *job = context;
    Error err = {0};

    answer(job->request, compactor_run(job->admin->compactor, &err), &err);
}

static void start_job(HttpRequest *request, Admin *admin, void (*run)(void *)) {
    Job *job = ARENA_NEW(http_arena(request), Job);
    Error err = {0};

    if (!http_peer_is_loopback(request)) {
        error_set(&err, ERR_DENIED, "only administrators, on this machine, may ask for this");
    } else if (job != NULL) {
        *job = (Job){admin, request};
        if (pool_submit(admin->pool, run, job)) return;
        error_set(&err, ERR_UNAVAILABLE, "too many of these are waiting; try later");
    } else {
        error_set(&err, ERR_UNAVAILABLE, "out of memory");
    }
    http_respond_error(request, &err);
}

static void handle_flush(HttpRequest *request, void *context) {
    start_job(request, context, run_flush);
}

static void handle_compaction(HttpRequest *request, void *context) {
    start_job(request, context, run_compaction);
}

void admin_register(Admin *admin, HttpServer *server) {
    const HttpRoute routes[] = {
        {HTTP_GET_ | HTTP_HEAD_, "/ready", handle_ready, admin, 0},
        {HTTP_GET_ | HTTP_HEAD_, "/-/ready", handle_ready, admin, 0},
        {HTTP_GET_ | HTTP_HEAD_, "/healthz", handle_healthy, admin, 0},
        {HTTP_GET_ | HTTP_HEAD_, "/-/healthy", handle_healthy, admin, 0},
        {HTTP_GET_, "/metrics", handle_metrics, admin, 0},
        {HTTP_POST_, "/ingester/flush", handle_flush, admin, 0},
        {HTTP_POST_, "/compactor/run", handle_compaction, admin, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(routes); i++) http_server_route(server, &routes[i]);
}
