/*
 * tail.c: the life of tails: opened by a query, looked after by one thread, served on the pool.
 */
#include "querier/tail/tail.h"

#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/telemetry.h"
#include "querier/logql/parser.h"
#include "querier/tail/internal.h"

enum {
    TICK_MS = 100,
    PING_MS = 1000,            /* as Loki: proxies cut what is silent */
    THREADS = 2,               /* that run rounds */
    TAIL_BYTES_MAX = 32 << 20, /* of one tail, all told */
    NEWS_BYTES_MAX = 8 << 20,  /* that wait for the pipeline */
    PIPELINE_BYTES_MAX = 4 << 20,
};

struct Tailers {
    TailersOptions options;
    Pool *pool;
    pthread_t thread;
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t changed;
    Tail *first;
    bool is_stopping;
    Gauge *active;
    Counter *dropped;
};

static uint64_t now_ns(void) {
    return clock_monotonic_ns(clock_system());
}

/* ---------- opening ---------- */

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for another tail: memory.limit is reached");
}

static void tail_free(Tail *tail) {
    if (tail == NULL) return;
    tail_lines_done(tail);
    if (tail->news != NULL)
        counter_add(tail->tailers->dropped, log_tail_dropped(tail->news) + tail->dropped_total);
    log_tail_close(tail->news);
    row_worker_free(tail->worker);
    buf_done(&tail->text);
    arena_free(tail->entry_scratch);
    arena_free(tail->scratch);
    arena_free(tail->arena);
    free(tail);
}

static ErrCode compile(Tail *tail, const TailOptions *options, Error *err) {
    LogqlEval eval = {.arena = tail->arena};
    LogqlExpr *expr;

    tail->options = *options;
    tail->options.query = str_dup(tail->arena, options->query);
    tail->options.tenant = str_dup(tail->arena, options->tenant);
    if (tail->options.query.ptr == NULL || tail->options.tenant.ptr == NULL)
        return out_of_memory(err);
    TRY(logql_parse(tail->arena, tail->options.query, LOGQL_CHECKED, &expr, err));
    if (expr->kind != LOGQL_LOG)
        return error_set(err, ERR_INVALID, "only log selector is supported");
    tail->log = &expr->as.log;
    TRY(row_pipeline_new(&eval, &(RowOptions){.log = tail->log, .line_wanted = true},
                         &tail->pipeline, err));
    return row_worker_new(tail->pipeline, &tail->budget, &tail->worker, err);
}

static ErrCode prepare(Tail *tail, const TailOptions *options, Error *err) {
    const TailersOptions *all = &tail->tailers->options;

    budget_init(&tail->budget, "tail", TAIL_BYTES_MAX, all->budget);
    buf_init(&tail->text, TAIL_BYTES_MAX);
    tail->dropped_end = &tail->dropped;
    tail->arena = arena_new(PIPELINE_BYTES_MAX, &tail->budget);
    tail->scratch = arena_new(0, &tail->budget);
    tail->entry_scratch = arena_new(0, &tail->budget);
    if (tail->arena == NULL || tail->scratch == NULL || tail->entry_scratch == NULL)
        return out_of_memory(err);
    TRY(compile(tail, options, err));
    tail->news = log_tail_open(all->news, &(LogTailOptions){
                                              .tenant = tail->options.tenant,
                                              .matchers = tail->log->matchers,
                                              .matcher_count = tail->log->matcher_count,
                                              .bytes_max = NEWS_BYTES_MAX,
                                              .budget = &tail->budget,
                                          });
    return tail->news == NULL ? out_of_memory(err) : ERR_OK;
}

/* Puts it among the others, if its tenant may have one more. */
static ErrCode admit(Tailers *tailers, Tail *tail, Error *err) {
    uint64_t count = 0, max = tail->options.tails_max;

    pthread_mutex_lock(&tailers->mutex);
    for (const Tail *other = tailers->first; other != NULL; other = other->next)
        count += str_equal(other->options.tenant, tail->options.tenant);
    if (max == 0 || count < max) {
        tail->next = tailers->first;
        tailers->first = tail;
        gauge_add(tailers->active, 1);
    }
    pthread_mutex_unlock(&tailers->mutex);
    if (max == 0 || count < max) return ERR_OK;
    return error_set(err, ERR_LIMIT,
                     "max concurrent tail requests limit exceeded, count > limit (%llu > %llu)",
                     (unsigned long long)count + 1, (unsigned long long)max);
}

ErrCode tail_open(Tailers *tailers, const TailOptions *options, Tail **out, Error *err) {
    Tail *tail = calloc(1, sizeof *tail);
    ErrCode code;

    if (tail == NULL) return out_of_memory(err);
    tail->tailers = tailers;
    tail->opened_ns = tail->pinged_ns = now_ns();
    code = prepare(tail, options, err);
    if (code == ERR_OK) code = admit(tailers, tail, err);
    if (code != ERR_OK)
        tail_free(tail);
    else
        *out = tail;
    return code;
}

static void leave(Tail *tail) {
    Tailers *tailers = tail->tailers;

    for (Tail **at = &tailers->first; *at != NULL; at = &(*at)->next)
        if (*at == tail) {
            *at = tail->next;
            break;
        }
    gauge_add(tailers->active, -1);
}

void tail_abandon(Tail *tail) {
    if (tail == NULL) return;
    pthread_mutex_lock(&tail->tailers->mutex);
    leave(tail);
    pthread_mutex_unlock(&tail->tailers->mutex);
    tail_free(tail);
}

/* ---------- serving ---------- */

static int64_t wall_ns(const Tailers *tailers) {
    return clock_now_ms(tailers->options.clock) * 1000000;
}

/* What there is to do for one tail, on the pool. */
static void run_round(void *what) {
    Tail *tail = what;
    Tailers *tailers = tail->tailers;

    tail_take_news(tail);
    if (tail->failed == ERR_OK) tail_send_due(tail, wall_ns(tailers));
    /* The tail may go with the mutex that the thread waits for. */
    pthread_mutex_lock(&tailers->mutex);
    atomic_store(&tail->is_busy, false);
    if (tailers->is_stopping) pthread_cond_broadcast(&tailers->changed);
    pthread_mutex_unlock(&tailers->mutex);
}

static void goodbye(Tail *tail, unsigned code, const char *reason) {
    HttpRequest *request = tail->request;

    leave(tail);
    LOG_INFO("ended tailing logs", LOG_STR("tenant", tail->options.tenant),
             LOG_STR("query", str_slice(tail->options.query, 0, 1024)), LOG_CSTR("why", reason));
    tail_free(tail);
    websocket_end(request, code, str_of(reason));
}

/* True: it has ended. With the mutex held. */
static bool ends(Tail *tail) {
    const Tailers *tailers = tail->tailers;
    int64_t max_ms = tailers->options.duration_max_ms;
    Error error;

    if (http_cancelled(tail->request)) {
        goodbye(tail, WEBSOCKET_NORMAL, "the client has gone");
    } else if (tailers->is_stopping) {
        goodbye(tail, WEBSOCKET_GOING_AWAY, "the server is shutting down");
    } else if (tail->failed != ERR_OK) {
        error = tail->error;
        goodbye(tail, WEBSOCKET_INTERNAL, error.text);
    } else if (max_ms > 0 && now_ns() - tail->opened_ns >= (uint64_t)max_ms * 1000000) {
        goodbye(tail, WEBSOCKET_INTERNAL, "reached tail max duration limit");
    } else {
        return false;
    }
    return true;
}

static void serve(Tail *tail) {
    const Tailers *tailers = tail->tailers;
    uint64_t now = now_ns();

    if (now - tail->pinged_ns >= PING_MS * UINT64_C(1000000)) {
        websocket_ping(tail->request);
        tail->pinged_ns = now;
    }
    if (!log_tail_has_news(tail->news) && !tail_has_due(tail, wall_ns(tailers))) return;
    atomic_store(&tail->is_busy, true);
    /* With too much waiting before it, the next tick tries again. */
    if (!pool_submit(tailers->pool, run_round, tail)) atomic_store(&tail->is_busy, false);
}

/* With the mutex held, which pool and sockets don't know of. */
static void look_after_all(Tailers *tailers) {
    Tail *next;

    for (Tail *tail = tailers->first; tail != NULL; tail = next) {
        next = tail->next;
        if (tail->state != TAIL_ACTIVE || atomic_load(&tail->is_busy) || ends(tail)) continue;
        serve(tail);
    }
}

static bool has_active(const Tailers *tailers) {
    for (const Tail *tail = tailers->first; tail != NULL; tail = tail->next)
        if (tail->state == TAIL_ACTIVE) return true;
    return false;
}

static void wait_tick(Tailers *tailers) {
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&tailers->changed, &tailers->mutex, &until);
}

static void *tailers_main(void *what) {
    Tailers *tailers = what;

    pthread_mutex_lock(&tailers->mutex);
    while (!tailers->is_stopping || has_active(tailers)) {
        if (!has_active(tailers)) {
            pthread_cond_wait(&tailers->changed, &tailers->mutex);
            continue;
        }
        look_after_all(tailers);
        if (has_active(tailers)) wait_tick(tailers);
    }
    pthread_mutex_unlock(&tailers->mutex);
    return NULL;
}

void tail_start(Tail *tail, HttpRequest *request) {
    Tailers *tailers = tail->tailers;

    tail->request = request;
    LOG_INFO("starting to tail logs", LOG_STR("tenant", tail->options.tenant),
             LOG_STR("query", str_slice(tail->options.query, 0, 1024)));
    pthread_mutex_lock(&tailers->mutex);
    if (tailers->is_stopping) {
        goodbye(tail, WEBSOCKET_GOING_AWAY, "the server is shutting down");
    } else {
        tail->state = TAIL_ACTIVE;
        pthread_cond_broadcast(&tailers->changed);
    }
    pthread_mutex_unlock(&tailers->mutex);
}

/* ---------- all of them ---------- */

ErrCode tailers_new(const TailersOptions *options, Tailers **out, Error *err) {
    Tailers *tailers = calloc(1, sizeof *tailers);
    pthread_condattr_t attributes;
    ErrCode made;
    int code;

    if (tailers == NULL) return error_set(err, ERR_LIMIT, "tails: out of memory");
    tailers->options = *options;
    made = pool_new("tail", THREADS, 100000, &tailers->pool, err);
    if (made != ERR_OK) {
        free(tailers);
        return made;
    }
    tailers->active = telemetry_gauge("moraine_log_tails_active", "", "Tails that are open.");
    tailers->dropped = telemetry_counter(
        "moraine_log_tails_dropped_entries_total", "",
        "Log entries that tails left out because they came faster than they went.");
    pthread_mutex_init(&tailers->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&tailers->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    code = pthread_create(&tailers->thread, NULL, tailers_main, tailers);
    if (code != 0) {
        pool_free(tailers->pool);
        free(tailers);
        return error_errno(err, code, "tails: cannot start a thread");
    }
    pthread_setname_np(tailers->thread, "tails");
    *out = tailers;
    return ERR_OK;
}

void tailers_stop(Tailers *tailers) {
    bool stopped;

    if (tailers == NULL) return;
    pthread_mutex_lock(&tailers->mutex);
    stopped = tailers->is_stopping;
    tailers->is_stopping = true;
    pthread_cond_broadcast(&tailers->changed);
    pthread_mutex_unlock(&tailers->mutex);
    if (!stopped) pthread_join(tailers->thread, NULL);
}

void tailers_free(Tailers *tailers) {
    if (tailers == NULL) return;
    tailers_stop(tailers);
    assert(tailers->first == NULL && "a tail is open");
    pool_free(tailers->pool);
    pthread_cond_destroy(&tailers->changed);
    pthread_mutex_destroy(&tailers->mutex);
    free(tailers);
}
