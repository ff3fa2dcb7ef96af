#pragma once
/*
 * scheduler.h: which query runs next. At most `running_max` at a time over all tenants, at most a
 * tenant's own limit of it, and tenants with work waiting take turns, so that a thousand queries
 * of one delay another's by one at most.
 */
#include "common/base/pool.h"
#include "common/base/str.h"

typedef struct Scheduler Scheduler;

enum { SCHEDULER_WAITING_MAX = 1024 }; /* of one tenant */

/* Runs tasks on `pool`, which is borrowed. NULL: out of memory. */
Scheduler *scheduler_new(Pool *pool, unsigned running_max);
void scheduler_free(Scheduler *scheduler); /* nothing may wait or run; NULL is fine */

typedef struct ScheduledTask ScheduledTask;
struct ScheduledTask {
    void (*run)(void *what);
    void *what;
    ScheduledTask *next; /* the scheduler's */
    void *owner;         /* the scheduler's */
    Scheduler *scheduler;
};

/* `task` is the caller's and must live until run() was called. `tenant_max`: how many of this
 * tenant may run at a time, 0 for any number. ERR_RATE: too many wait already. */
MUST_USE ErrCode scheduler_submit(Scheduler *scheduler, Str tenant, uint64_t tenant_max,
                                  ScheduledTask *task, Error *err);
/* At the end of run(): lets the next one start. */
void scheduler_finished(ScheduledTask *task);
