/* Which query runs next: limits hold at every moment, and tenants take turns. */
#include "querier/exec/scheduler.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/unit/unit.h"

/* Tasks that begin, say so, and wait until they are let go. */
typedef struct Stage {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Pool *pool;
    Scheduler *scheduler;
    char began[4096]; /* the tenant of each task that began, in order */
    size_t begun;
    size_t ended;
    size_t permits; /* how many may end */
    bool open;      /* all may */
} Stage;

typedef struct Job {
    ScheduledTask task;
    Stage *stage;
    char tenant;
} Job;

static void stage_make(Stage *stage, unsigned threads, unsigned running_max) {
    Error err = {0};

    *stage = (Stage){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    assert_ok(pool_new("query", threads, 4096, &stage->pool, &err), &err);
    stage->scheduler = scheduler_new(stage->pool, running_max);
}

static void run_job(void *what) {
    Job *job = what;
    Stage *stage = job->stage;

    pthread_mutex_lock(&stage->lock);
    stage->began[stage->begun++] = job->tenant;
    pthread_cond_broadcast(&stage->changed);
    while (stage->permits == 0 && !stage->open) pthread_cond_wait(&stage->changed, &stage->lock);
    if (!stage->open) stage->permits--;
    pthread_mutex_unlock(&stage->lock);
    scheduler_finished(&job->task);
    pthread_mutex_lock(&stage->lock);
    stage->ended++;
    pthread_cond_broadcast(&stage->changed);
    pthread_mutex_unlock(&stage->lock);
    free(job);
}

static ErrCode submit(Stage *stage, char tenant, uint64_t tenant_max, Error *err) {
    Job *job = calloc(1, sizeof *job);
    ErrCode code;

    job->task.run = run_job;
    job->task.what = job;
    job->stage = stage;
    job->tenant = tenant;
    code = scheduler_submit(stage->scheduler, (Str){&job->tenant, 1}, tenant_max, &job->task, err);
    if (code != ERR_OK) free(job);
    return code;
}

static void submit_many(Stage *stage, const char *tenants, uint64_t tenant_max) {
    Error err = {0};

    for (; *tenants != '\0'; tenants++) assert_ok(submit(stage, *tenants, tenant_max, &err), &err);
}

/* Waits until so many began (and, when it holds, shows that no more do). */
static void wait_begun(Stage *stage, size_t count) {
    pthread_mutex_lock(&stage->lock);
    while (stage->begun < count) pthread_cond_wait(&stage->changed, &stage->lock);
    assert_int_equal(stage->begun, count);
    pthread_mutex_unlock(&stage->lock);
}

static void let_one_go(Stage *stage) {
    size_t ended;

    pthread_mutex_lock(&stage->lock);
    ended = stage->ended;
    stage->permits++;
    pthread_cond_broadcast(&stage->changed);
    while (stage->ended == ended) pthread_cond_wait(&stage->changed, &stage->lock);
    pthread_mutex_unlock(&stage->lock);
}

static void stage_done(Stage *stage, size_t all) {
    pthread_mutex_lock(&stage->lock);
    stage->open = true;
    pthread_cond_broadcast(&stage->changed);
    while (stage->ended < all) pthread_cond_wait(&stage->changed, &stage->lock);
    assert_int_equal(stage->begun, all);
    pthread_mutex_unlock(&stage->lock);
    pool_free(stage->pool);
    scheduler_free(stage->scheduler);
}

static void no_more_run_at_a_time_than_may(void **state) {
    Stage stage;

    (void)state;
    stage_make(&stage, 8, 2);
    submit_many(&stage, "aabbc", 0);
    wait_begun(&stage, 2);
    let_one_go(&stage);
    wait_begun(&stage, 3);
    let_one_go(&stage);
    wait_begun(&stage, 4);
    stage_done(&stage, 5);
}

static void a_tenant_has_a_limit_of_its_own(void **state) {
    Stage stage;

    (void)state;
    stage_make(&stage, 8, 4);
    submit_many(&stage, "aaaa", 2);
    wait_begun(&stage, 2);
    submit_many(&stage, "bb", 1);
    wait_begun(&stage, 3);
    submit_many(&stage, "cc", 0);
    wait_begun(&stage, 4); /* all four places are taken */
    stage_done(&stage, 8);
}

static void tenants_take_turns(void **state) {
    Stage stage;

    (void)state;
    stage_make(&stage, 1, 1);
    submit_many(&stage, "aaaaaabbbc", 0);
    for (size_t i = 1; i < 10; i++) {
        wait_begun(&stage, i);
        let_one_go(&stage);
    }
    wait_begun(&stage, 10);
    stage_done(&stage, 10);
    /* The first a was alone when it came; from then on each has its turn. */
    assert_memory_equal(stage.began, "aabcababaa", 10);
}

static void one_tenants_thousand_delay_another_by_one(void **state) {
    Error err = {0};
    Stage stage;

    (void)state;
    stage_make(&stage, 1, 1);
    for (int i = 0; i < 1000; i++) assert_ok(submit(&stage, 'a', 0, &err), &err);
    wait_begun(&stage, 1);
    assert_ok(submit(&stage, 'b', 0, &err), &err);
    let_one_go(&stage);
    wait_begun(&stage, 2);
    let_one_go(&stage);
    wait_begun(&stage, 3);
    assert_memory_equal(stage.began, "aab", 3);
    stage_done(&stage, 1001);
}

static void too_many_waiting_are_refused(void **state) {
    Error err = {0};
    Stage stage;

    (void)state;
    stage_make(&stage, 1, 1);
    submit_many(&stage, "a", 0);
    wait_begun(&stage, 1);
    for (int i = 0; i < SCHEDULER_WAITING_MAX; i++) assert_ok(submit(&stage, 'a', 0, &err), &err);
    assert_int_equal(submit(&stage, 'a', 0, &err), ERR_RATE);
    assert_ok(submit(&stage, 'b', 0, &err), &err); /* others are not concerned */
    stage_done(&stage, SCHEDULER_WAITING_MAX + 2);
}

static void a_limit_that_is_lowered_holds_at_once(void **state) {
    Stage stage;

    (void)state;
    stage_make(&stage, 8, 8);
    submit_many(&stage, "aaa", 3);
    wait_begun(&stage, 3);
    submit_many(&stage, "aa", 1);
    let_one_go(&stage); /* two run */
    wait_begun(&stage, 3);
    let_one_go(&stage); /* one runs */
    wait_begun(&stage, 3);
    let_one_go(&stage); /* and now one more may */
    wait_begun(&stage, 4);
    submit_many(&stage, "a", 2); /* raised again */
    wait_begun(&stage, 5);
    stage_done(&stage, 6);
}

/* Many threads submit for many tenants; watched from inside. */
enum { SUBMITTERS = 4, EACH = 300, TENANTS = 5, RUNNING_MAX = 3, TENANT_MAX = 2 };

typedef struct Crowd {
    Scheduler *scheduler;
    atomic_uint running;
    atomic_uint of_tenant[TENANTS];
    atomic_uint done;
    atomic_uint broken;
} Crowd;

typedef struct CrowdJob {
    ScheduledTask task;
    Crowd *crowd;
    unsigned tenant;
} CrowdJob;

static void run_crowd_job(void *what) {
    CrowdJob *job = what;
    Crowd *crowd = job->crowd;

    if (atomic_fetch_add(&crowd->running, 1) >= RUNNING_MAX) atomic_fetch_add(&crowd->broken, 1);
    if (atomic_fetch_add(&crowd->of_tenant[job->tenant], 1) >= TENANT_MAX)
        atomic_fetch_add(&crowd->broken, 1);
    atomic_fetch_sub(&crowd->of_tenant[job->tenant], 1);
    atomic_fetch_sub(&crowd->running, 1);
    scheduler_finished(&job->task);
    atomic_fetch_add(&crowd->done, 1);
    free(job);
}

static void *submit_crowd(void *context) {
    Crowd *crowd = context;

    for (unsigned i = 0; i < EACH; i++) {
        CrowdJob *job = calloc(1, sizeof *job);
        char name[8];
        Error err = {0};

        *job = (CrowdJob){{run_crowd_job, job, NULL, NULL, NULL}, crowd, i % TENANTS};
        snprintf(name, sizeof name, "t%u", i % TENANTS);
        assert_ok(scheduler_submit(crowd->scheduler, str_of(name), TENANT_MAX, &job->task, &err),
                  &err);
    }
    return NULL;
}

static void limits_hold_and_everything_runs_under_load(void **state) {
    pthread_t threads[SUBMITTERS];
    Crowd crowd = {0};
    Error err = {0};
    Pool *pool;

    (void)state;
    assert_ok(pool_new("query", 6, 4096, &pool, &err), &err);
    crowd.scheduler = scheduler_new(pool, RUNNING_MAX);
    for (unsigned i = 0; i < SUBMITTERS; i++)
        pthread_create(&threads[i], NULL, submit_crowd, &crowd);
    for (unsigned i = 0; i < SUBMITTERS; i++) pthread_join(threads[i], NULL);
    while (atomic_load(&crowd.done) < SUBMITTERS * EACH) clock_sleep_ms(1);
    assert_int_equal(atomic_load(&crowd.broken), 0);
    pool_free(pool);
    scheduler_free(crowd.scheduler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_run_at_a_time_than_may),
        cmocka_unit_test(a_tenant_has_a_limit_of_its_own),
        cmocka_unit_test(tenants_take_turns),
        cmocka_unit_test(one_tenants_thousand_delay_another_by_one),
        cmocka_unit_test(too_many_waiting_are_refused),
        cmocka_unit_test(a_limit_that_is_lowered_holds_at_once),
        cmocka_unit_test(limits_hold_and_everything_runs_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
