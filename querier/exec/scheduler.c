/*
 * scheduler.c: tenants with waiting tasks stand in a ring. Whoever finishes picks from the tenant
 * at its head and moves that one to the end.
 */
#include "querier/exec/scheduler.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

enum { TENANT_SLOTS = 1024 };

typedef struct Line Line;
struct Line {
    Line *next_in_slot;
    Line *next_in_ring; /* NULL when not in it */
    bool in_ring;
    ScheduledTask *first;
    ScheduledTask *last;
    size_t waiting;
    size_t running;
    uint64_t running_max;
    size_t name_len;
    char name[];
};

struct Scheduler {
    pthread_mutex_t lock;
    Pool *pool;
    unsigned running;
    unsigned running_max;
    Line *ring_first;
    Line *ring_last;
    Line *slots[TENANT_SLOTS];
};

Scheduler *scheduler_new(Pool *pool, unsigned running_max) {
    Scheduler *scheduler = calloc(1, sizeof *scheduler);

    if (scheduler == NULL) return NULL;
    pthread_mutex_init(&scheduler->lock, NULL);
    scheduler->pool = pool;
    scheduler->running_max = MAX(running_max, 1);
    return scheduler;
}

void scheduler_free(Scheduler *scheduler) {
    if (scheduler == NULL) return;
    for (size_t i = 0; i < TENANT_SLOTS; i++)
        while (scheduler->slots[i] != NULL) {
            Line *line = scheduler->slots[i];

            scheduler->slots[i] = line->next_in_slot;
            free(line);
        }
    pthread_mutex_destroy(&scheduler->lock);
    free(scheduler);
}

static Line *find_line(Scheduler *scheduler, Str tenant) {
    Line **slot = &scheduler->slots[hash_str(tenant) % TENANT_SLOTS];
    Line *line;

    for (line = *slot; line != NULL; line = line->next_in_slot)
        if (str_equal((Str){line->name, line->name_len}, tenant)) return line;
    line = calloc(1, sizeof *line + tenant.len);
    if (line == NULL) return NULL;
    memcpy(line->name, tenant.ptr, tenant.len);
    line->name_len = tenant.len;
    line->next_in_slot = *slot;
    *slot = line;
    return line;
}

/* A tenant that neither waits nor runs is forgotten: names come from outside. */
static void drop_idle(Scheduler *scheduler, Line *idle) {
    Line **at = &scheduler->slots[hash_str((Str){idle->name, idle->name_len}) % TENANT_SLOTS];

    if (idle->waiting > 0 || idle->running > 0 || idle->in_ring) return;
    while (*at != idle) at = &(*at)->next_in_slot;
    *at = idle->next_in_slot;
    free(idle);
}

static void ring_push(Scheduler *scheduler, Line *line) {
    if (line->in_ring) return;
    line->in_ring = true;
    line->next_in_ring = NULL;
    if (scheduler->ring_last != NULL)
        scheduler->ring_last->next_in_ring = line;
    else
        scheduler->ring_first = line;
    scheduler->ring_last = line;
}

static Line *ring_pop(Scheduler *scheduler) {
    Line *line = scheduler->ring_first;

    if (line == NULL) return NULL;
    scheduler->ring_first = line->next_in_ring;
    if (scheduler->ring_first == NULL) scheduler->ring_last = NULL;
    line->in_ring = false;
    return line;
}

/* A limit may have been lowered since the line came into the ring. */
static bool line_may_run(const Line *line) {
    return line->waiting > 0 && (line->running_max == 0 || line->running < line->running_max);
}

/* Starts what may start. The lock is held. */
static void dispatch(Scheduler *scheduler) {
    while (scheduler->running < scheduler->running_max) {
        Line *line = ring_pop(scheduler);
        ScheduledTask *task;

        if (line == NULL) return;
        if (!line_may_run(line)) continue; /* comes back when one of its own has finished */
        task = line->first;
        if (!pool_submit(scheduler->pool, task->run, task->what)) {
            /* The pool ends; nothing will run any more. */
            ring_push(scheduler, line);
            return;
        }
        line->first = task->next;
        if (line->first == NULL) line->last = NULL;
        line->waiting--;
        line->running++;
        scheduler->running++;
        if (line_may_run(line)) ring_push(scheduler, line);
    }
}

ErrCode scheduler_submit(Scheduler *scheduler, Str tenant, uint64_t tenant_max, ScheduledTask *task,
                         Error *err) {
    ErrCode code = ERR_OK;
    Line *line;

    pthread_mutex_lock(&scheduler->lock);
    line = find_line(scheduler, tenant);
    if (line == NULL) {
        code = error_set(err, ERR_UNAVAILABLE, "out of memory");
    } else if (line->waiting >= SCHEDULER_WAITING_MAX) {
        code = error_set(err, ERR_RATE, "%d queries of this tenant are waiting already; try later",
                         SCHEDULER_WAITING_MAX);
    } else {
        line->running_max = tenant_max;
        *task = (ScheduledTask){task->run, task->what, NULL, line, scheduler};
        if (line->last != NULL)
            line->last->next = task;
        else
            line->first = task;
        line->last = task;
        line->waiting++;
        if (line_may_run(line)) ring_push(scheduler, line);
        dispatch(scheduler);
    }
    pthread_mutex_unlock(&scheduler->lock);
    return code;
}

void scheduler_finished(ScheduledTask *task) {
    Scheduler *scheduler = task->scheduler;
    Line *line = task->owner;

    pthread_mutex_lock(&scheduler->lock);
    line->running--;
    scheduler->running--;
    if (line_may_run(line)) ring_push(scheduler, line);
    dispatch(scheduler);
    drop_idle(scheduler, line);
    pthread_mutex_unlock(&scheduler->lock);
}
