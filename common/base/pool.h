#pragma once
/*
 * pool.h: a fixed number of threads that run tasks in order of arrival. Tasks may block.
 */
#include "common/base/base.h"
#include "common/base/error.h"

typedef struct Pool Pool;

/* `name` shows in the thread list. `queue_max`: more tasks than this wait nowhere. */
MUST_USE ErrCode pool_new(const char *name, unsigned threads, size_t queue_max, Pool **out,
                          Error *err);
/* Lets queued tasks finish, then ends the threads. NULL is fine. */
void pool_free(Pool *pool);
DEFINE_CLEANUP(Pool, pool_free)

/* False when the queue is full or the pool is ending: the task will not run. */
MUST_USE bool pool_submit(Pool *pool, void (*run)(void *what), void *what);

/* Runs run(what, i) for every i in [0, count) on the pool and on the calling thread, returns when
 * all are done. Safe to call from inside a task. */
void pool_each(Pool *pool, size_t count, void (*run)(void *what, size_t i), void *what);

unsigned pool_threads(const Pool *pool);
