/*
 * pool.c: a queue under one lock. Tasks are requests, flushes and parts of queries: large enough
 * that the lock does not show.
 */
#include "common/base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Task {
    void (*run)(void *what);
    void *what;
} Task;

struct Pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    Task *queue; /* a ring */
    size_t queue_max;
    size_t capacity;
    size_t head;
    size_t count;
    bool ending;
    unsigned thread_count;
    char name[16];
    pthread_t threads[];
};

static void *worker(void *context) {
    Pool *pool = context;

    pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->count == 0 && !pool->ending) pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->count == 0) break;
        Task task = pool->queue[pool->head];

        pool->head = (pool->head + 1) % pool->capacity;
        pool->count--;
        pthread_mutex_unlock(&pool->lock);
        task.run(task.what);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

ErrCode pool_new(const char *name, unsigned threads, size_t queue_max, Pool **out, Error *err) {
    Pool *pool;

    assert(threads > 0 && queue_max > 0);
    pool = calloc(1, sizeof *pool + threads * sizeof(pthread_t));
    if (pool == NULL) return error_set(err, ERR_LIMIT, "thread pool %s: out of memory", name);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->queue_max = queue_max;
    snprintf(pool->name, sizeof pool->name, "%s", name);
    for (unsigned i = 0; i < threads; i++) {
        int failed = pthread_create(&pool->threads[i], NULL, worker, pool);

        if (failed != 0) {
            pool_free(pool);
            return error_errno(err, failed, "thread %u of pool %s", i, name);
        }
        pool->thread_count++;
    }
    *out = pool;
    return ERR_OK;
}

void pool_free(Pool *pool) {
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->queue);
    free(pool);
}

static bool queue_grow(Pool *pool) {
    size_t capacity = MIN(MAX(pool->capacity * 2, 64), pool->queue_max);
    Task *grown;

    if (capacity <= pool->capacity) return false;
    grown = malloc(capacity * sizeof *grown);
    if (grown == NULL) return false;
    for (size_t i = 0; i < pool->count; i++)
        grown[i] = pool->queue[(pool->head + i) % pool->capacity];
    free(pool->queue);
    pool->queue = grown;
    pool->capacity = capacity;
    pool->head = 0;
    return true;
}

bool pool_submit(Pool *pool, void (*run)(void *what), void *what) {
    bool taken = false;

    pthread_mutex_lock(&pool->lock);
    if (!pool->ending && (pool->count < pool->capacity || queue_grow(pool))) {
        pool->queue[(pool->head + pool->count++) % pool->capacity] = (Task){run, what};
        taken = true;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

/* Shared by the caller and its helpers. A helper may start after all is done and the caller gone,
 * so the last to let go frees it. */
typedef struct Each {
    _Atomic size_t next;
    _Atomic size_t done;
    _Atomic unsigned holders;
    size_t count;
    void (*run)(void *what, size_t i);
    void *what;
    pthread_mutex_t lock;
    pthread_cond_t finished;
} Each;

static void each_unref(Each *each) {
    if (atomic_fetch_sub(&each->holders, 1) != 1) return;
    pthread_cond_destroy(&each->finished);
    pthread_mutex_destroy(&each->lock);
    free(each);
}

static void each_work(Each *each) {
    for (;;) {
        size_t i = atomic_fetch_add(&each->next, 1);

        if (i >= each->count) return;
        each->run(each->what, i);
        if (atomic_fetch_add(&each->done, 1) + 1 == each->count) {
            pthread_mutex_lock(&each->lock);
            pthread_cond_signal(&each->finished);
            pthread_mutex_unlock(&each->lock);
        }
    }
}

static void each_help(void *context) {
    Each *each = context;

    each_work(each);
    each_unref(each);
}

void pool_each(Pool *pool, size_t count, void (*run)(void *what, size_t i), void *what) {
    Each *each = count > 1 ? calloc(1, sizeof *each) : NULL;
    size_t helpers;

    if (each == NULL) {
        for (size_t i = 0; i < count; i++) run(what, i);
        return;
    }
    helpers = MIN(count - 1, pool->thread_count);
    each->count = count;
    each->run = run;
    each->what = what;
    atomic_init(&each->holders, 1);
    pthread_mutex_init(&each->lock, NULL);
    pthread_cond_init(&each->finished, NULL);
    for (size_t h = 0; h < helpers; h++) {
        atomic_fetch_add(&each->holders, 1);
        if (pool_submit(pool, each_help, each)) continue;
        atomic_fetch_sub(&each->holders, 1);
        break;
    }
    each_work(each);
    pthread_mutex_lock(&each->lock);
    while (atomic_load(&each->done) < count) pthread_cond_wait(&each->finished, &each->lock);
    pthread_mutex_unlock(&each->lock);
    each_unref(each);
}

unsigned pool_threads(const Pool *pool) {
    return pool->thread_count;
}
