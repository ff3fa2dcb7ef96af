/*
 * lane.c: the thread's life: replay, then take, call, commit, look after the clock, sleep.
 */
#include "ingester/lane/lane.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/random.h"

enum {
    STREAM_BYTES = 2048,   /* that a stream adds to what makes a head of logs full */
    SLEEP_MS_MAX = 250,    /* the clock is looked at that often, even when nothing comes in */
    BEHIND_MS_MAX = 10000, /* a flush that takes longer isn't waited for: the store is at fault */
    RETRY_MS_MIN = 1000,
    RETRY_MS_MAX = 60000,
};

static uint64_t now_ns(const Lane *lane) {
    return clock_monotonic_ns(lane->options.ingester->clock);
}

/* ---------- generations ---------- */

/* Delete requests that this process knows of. */
static uint64_t lane_deletes_newest(const Lane *lane) {
    const Manifest *manifest = lane->options.flush.manifest;

    return manifest == NULL ? 0 : manifest_deletes_newest(manifest);
}

static bool lane_begin(Lane *lane, uint64_t epoch) {
    int64_t now = clock_now_ms(lane->options.ingester->clock);
    GenerationLog *log = generation_log_new(lane->options.io, lane->dir, epoch);
    GenerationOptions options = {.heads = lane->options.ingester->heads,
                                 .log = log,
                                 .seed = lane->options.seed,
                                 .epoch = epoch,
                                 .lane = lane->options.number,
                                 .created_ms = now,
                                 .cleared = lane_deletes_newest(lane)};
    Generation *made = log == NULL ? NULL : generation_new(&options);

    if (made == NULL) {
        if (log != NULL) generation_log_done(log, true);
        return false;
    }
    made->owner = lane;
    lane->live = made;
    lane->logging_tenants = 0;
    wal_begin_epoch(lane->wal, epoch, now, options.cleared);
    return true;
}

static void active_move(ActiveCount *active, int64_t count, bool live) {
    if (live) atomic_fetch_sub_explicit(&active->live, count, memory_order_relaxed);
    active_show(active);
}

/* The frozen generation's series and streams count as active until the next one is frozen. */
static void lane_count_previous(Lane *lane, const Generation *generation, bool live) {
    struct LanePrevious *previous = calloc(MAX(generation->tenant_count, 1U), sizeof *previous);

    for (size_t i = 0; i < lane->previous_count; i++) {
        struct LanePrevious *was = &lane->previous[i];

        atomic_fetch_sub_explicit(&was->tenant->series.previous, was->series, memory_order_relaxed);
        atomic_fetch_sub_explicit(&was->tenant->streams.previous, was->streams,
                                  memory_order_relaxed);
    }
    free(lane->previous);
    lane->previous = previous;
    lane->previous_count = 0;
    for (uint32_t i = 0; i < generation->tenant_count; i++) {
        GenerationTenant *tenant = generation_tenant(generation, i);
        int64_t series = head_tenant(&generation->metrics, i)->series_count;
        int64_t streams = i < generation->logs.tenant_count
                              ? head_log_tenant(&generation->logs, i)->stream_count
                              : 0;

        if (tenant->active == NULL)
            tenant->active = active_series_tenant(lane->options.active, tenant->name);
        if (tenant->active == NULL) continue;
        if (previous != NULL) {
            atomic_fetch_add_explicit(&tenant->active->series.previous, series,
                                      memory_order_relaxed);
            atomic_fetch_add_explicit(&tenant->active->streams.previous, streams,
                                      memory_order_relaxed);
            previous[lane->previous_count++] =
                (struct LanePrevious){tenant->active, series, streams};
        }
        active_move(&tenant->active->series, series, live);
        active_move(&tenant->active->streams, streams, live);
    }
}

void lane_add_frozen(Lane *lane, Generation *generation, bool was_live) {
    Generation **end = &lane->frozen;

    lane_count_previous(lane, generation, was_live);
    pthread_mutex_lock(&lane->lock);
    generation->owner = lane;
    generation->frozen_ns = now_ns(lane);
    while (*end != NULL) end = &(*end)->next;
    *end = generation;
    pthread_mutex_unlock(&lane->lock);
    lane_flush_due(lane);
}

static bool lane_rotate(Lane *lane) {
    Generation *frozen = lane->live;
    uint32_t files = wal_file_count(lane->wal);

    for (uint32_t i = 0; i < files; i++)
        if (!generation_log_add(frozen->log, i, false)) return false;
    if (!lane_begin(lane, frozen->epoch + 1)) {
        LOG_ERROR("cannot begin a new head: out of memory", LOG_U64("lane", lane->options.number));
        return false;
    }
    lane_add_frozen(lane, frozen, true);
    return true;
}

bool lane_freeze(Lane *lane) {
    return lane->live->first_ms != 0 && lane_rotate(lane);
}

bool lane_cut(Lane *lane) {
    Generation *live = lane->live;

    if (live->cleared >= lane_deletes_newest(lane)) return true;
    if (live->first_ms != 0 || live->tenant_count > 0) return lane_rotate(lane);
    /* Nothing was ever written to it: the next epoch takes its place, and its file goes. */
    for (uint32_t i = 0, files = wal_file_count(lane->wal); i < files; i++)
        if (!generation_log_add(live->log, i, false)) return false;
    if (!lane_begin(lane, live->epoch + 1)) return false;
    generation_log_done(live->log, false);
    generation_unref(live);
    return true;
}

/* ---------- flushing ---------- */

static uint64_t retry_ns(unsigned attempts) {
    uint64_t ms = (uint64_t)RETRY_MS_MIN << MIN(attempts - 1, 6U);

    ms = MIN(ms, (uint64_t)RETRY_MS_MAX);
    return (ms / 2 + random_u64() % ms) * UINT64_C(1000000);
}

static void flush_ended(Lane *lane, Generation *generation, ErrCode code, const Error *err) {
    if (code == ERR_OK) {
        generation_log_done(generation->log, false);
        generation->log = NULL;
    }
    pthread_mutex_lock(&lane->lock);
    generation->flushing = false;
    if (code == ERR_OK) {
        Generation **at = &lane->frozen;

        while (*at != generation) at = &(*at)->next;
        *at = generation->next;
    } else {
        generation->flush_attempts++;
        generation->flush_after_ns =
            generation->flush_again ? 0 : now_ns(lane) + retry_ns(generation->flush_attempts);
        generation->flush_again = false;
        lane->failed = MAX(lane->failed, generation->flush_attempt);
        lane->failure = *err;
    }
    lane_wake(lane); /* it may be holding logs back */
    /* Last: who waits for this may free the lane. */
    lane->flushing--;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    if (code == ERR_OK) generation_unref(generation);
}

static void flush_task(void *what) {
    Generation *generation = what;
    Lane *lane = generation->owner;
    Error err = {0};
    uint64_t started = now_ns(lane);
    ErrCode code = flush_generation(&lane->options.flush, generation, &err);

    if (code == ERR_OK) {
        histogram_observe(telemetry_histogram("moraine_flush_duration_seconds", "",
                                              "Encoding, storing and committing a head.", 0.001, 2,
                                              20),
                          (double)(now_ns(lane) - started) / 1e9);
    } else {
        counter_add(telemetry_counter("moraine_flush_failures_total", "",
                                      "Flushes that failed and will be tried again."),
                    1);
        LOG_WARN("flush failed, will be tried again", LOG_U64("lane", generation->lane),
                 LOG_U64("epoch", generation->epoch), LOG_ERR(&err));
    }
    flush_ended(lane, generation, code, &err);
}

void lane_flush_due(Lane *lane) {
    uint64_t now = now_ns(lane);

    pthread_mutex_lock(&lane->lock);
    for (Generation *at = lane->frozen; at != NULL; at = at->next) {
        if (at->flushing || at->flush_after_ns > now) continue;
        at->flushing = true;
        at->flush_attempt = ++lane->attempts;
        lane->flushing++;
        if (!pool_submit(lane->options.ingester->background_pool, flush_task, at)) {
            at->flushing = false;
            lane->flushing--;
            break; /* the pool is full: the next look at the clock tries again */
        }
    }
    pthread_mutex_unlock(&lane->lock);
}

bool lane_pin_frozen(Lane *lane, Arena *arena, Generation ***out, size_t *count) {
    Generation **list;
    size_t n = 0;

    pthread_mutex_lock(&lane->lock);
    for (Generation *at = lane->frozen; at != NULL; at = at->next) n++;
    list = arena_alloc(arena, MAX(n, (size_t)1) * sizeof *list);
    n = 0;
    for (Generation *at = lane->frozen; list != NULL && at != NULL; at = at->next) {
        generation_ref(at);
        list[n++] = at;
    }
    pthread_mutex_unlock(&lane->lock);
    *out = list;
    *count = n;
    return list != NULL;
}

static bool frozen_upto(const Lane *lane, uint64_t epoch) {
    for (const Generation *at = lane->frozen; at != NULL; at = at->next)
        if (at->lane != lane->options.number || at->epoch <= epoch) return true;
    return false;
}

ErrCode lane_await_flushed(Lane *lane, uint64_t epoch, uint64_t attempts, Error *err) {
    ErrCode code = ERR_OK;

    pthread_mutex_lock(&lane->lock);
    while (code == ERR_OK && frozen_upto(lane, epoch)) {
        if (lane->failed > attempts) {
            code = lane->failure.code;
            *err = lane->failure;
            break;
        }
        pthread_cond_wait(&lane->changed, &lane->lock);
    }
    pthread_mutex_unlock(&lane->lock);
    return code;
}

/* ---------- the clock ---------- */

static size_t heads_limit(const Lane *lane) {
    return atomic_load_explicit(&lane->options.ingester->heads->limit, memory_order_relaxed);
}

/* The budget is nearly used up and nothing of this lane is on its way out. */
static bool lane_under_pressure(Lane *lane) {
    size_t limit = heads_limit(lane);
    bool idle;

    if (limit == 0 || budget_used(lane->options.ingester->heads) < limit / 8 * 7) return false;
    pthread_mutex_lock(&lane->lock);
    idle = lane->frozen == NULL;
    pthread_mutex_unlock(&lane->lock);
    return idle && generation_bytes(lane->live) > limit / lane->options.lane_count / 8;
}

bool lane_bulk_behind(Lane *lane) {
    uint64_t now = now_ns(lane);
    size_t bytes = 0, max = 2 * lane->options.flush_log_bytes;

    if (lane->stop) return false;
    pthread_mutex_lock(&lane->lock);
    for (const Generation *at = lane->frozen; at != NULL; at = at->next)
        if (at->flush_attempts == 0 && now - at->frozen_ns < BEHIND_MS_MAX * UINT64_C(1000000)) {
            bytes += generation_bulk_bytes(at);
            max += (size_t)at->logs.stream_count * STREAM_BYTES;
        }
    pthread_mutex_unlock(&lane->lock);
    return bytes >= max;
}

size_t lane_bulk_bytes_max(Lane *lane, const Generation *generation) {
    size_t frozen = 0;

    pthread_mutex_lock(&lane->lock);
    for (const Generation *at = lane->frozen; at != NULL; at = at->next) frozen++;
    pthread_mutex_unlock(&lane->lock);
    return lane->options.flush_log_bytes * MAX(frozen / 4, (size_t)1) +
           (size_t)generation->logs.stream_count * STREAM_BYTES;
}

static bool lane_full_of_bulk(Lane *lane) {
    size_t bytes = generation_bulk_bytes(lane->live);

    return bytes >= lane->options.flush_log_bytes && bytes >= lane_bulk_bytes_max(lane, lane->live);
}

static void lane_tick(Lane *lane) {
    const IngesterOptions *ingester = lane->options.ingester;
    const Generation *live = lane->live;
    bool old;

    /* Another process took a delete request: what comes in from now on is none of its business. */
    if (live->cleared < lane_deletes_newest(lane)) {
        lane_cut(lane);
        live = lane->live;
    }
    old = live->first_ms != 0 && ingester->flush_age_ms > 0 &&
          clock_now_ms(ingester->clock) - live->first_ms >= ingester->flush_age_ms;

    if (old || generation_bytes(live) >= lane->options.flush_bytes || lane_full_of_bulk(lane) ||
        lane_under_pressure(lane))
        lane_freeze(lane);
    lane_flush_due(lane);
    if (ingester->wal_sync == WAL_SYNC_INTERVAL) {
        uint64_t now = now_ns(lane);
        Error err = {0};

        if (now - lane->synced_ns < (uint64_t)ingester->wal_interval_ms * 1000000) return;
        lane->synced_ns = now;
        if (wal_sync(lane->wal, &err) != ERR_OK)
            LOG_ERROR("what was acknowledged lately may not be durable",
                      LOG_U64("lane", lane->options.number), LOG_ERR(&err));
    }
}

static void lane_sleep(Lane *lane) {
    const IngesterOptions *ingester = lane->options.ingester;
    int64_t ms = SLEEP_MS_MAX;
    struct timespec timeout;

    if (ingester->wal_sync == WAL_SYNC_INTERVAL)
        ms = MAX(MIN(ms, ingester->wal_interval_ms), (int64_t)1);
    timeout = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    atomic_store(&lane->sleeping, 1);
    if (atomic_load(&lane->queue) == NULL && (lane->bulk.first == NULL || lane_bulk_behind(lane)))
        syscall(SYS_futex, &lane->sleeping, FUTEX_WAIT_PRIVATE, 1, &timeout, NULL, 0);
    atomic_store(&lane->sleeping, 0);
}

/* ---------- the loop ---------- */

static void list_add(TaskList *list, LaneTask *task) {
    task->next = NULL;
    *list->end = task;
    list->end = &task->next;
}

/* Takes everything queued: calls are done at once, parts of batches lined up. */
static void lane_take(Lane *lane) {
    LaneTask *newest = atomic_exchange_explicit(&lane->queue, NULL, memory_order_acquire);
    LaneTask *oldest = NULL;

    while (newest != NULL) {
        LaneTask *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        LaneTask *task = oldest;

        oldest = task->next;
        if (task->kind == LANE_APPEND) {
            list_add(&lane->appends, task);
        } else if (task->kind == LANE_APPEND_BULK) {
            list_add(&lane->bulk, task);
        } else if (task->kind == LANE_CALL) {
            LaneCall *call = (LaneCall *)task;

            call->run(lane, call->what);
            lane_wait_done(call->wait);
        } else {
            lane->stop = true;
        }
    }
}

static void lane_serve(Lane *lane) {
    for (;;) {
        lane_take(lane);
        if (lane->appends.first != NULL || (lane->bulk.first != NULL && !lane_bulk_behind(lane))) {
            lane_commit(lane);
            slab_settle(&lane->live->metrics.slab);
        } else if (lane->stop) {
            return;
        } else {
            lane_sleep(lane);
        }
        lane_tick(lane);
    }
}

static ErrCode lane_prepare(Lane *lane, Error *err) {
    const LaneOptions *options = &lane->options;
    WalOptions wal = {.io = options->io,
                      .dir = lane->dir,
                      .ingester = options->ingester_id,
                      .lane = options->number,
                      .sync_each = options->ingester->wal_sync == WAL_SYNC_ALWAYS,
                      .file_bytes_max = options->wal_file_bytes_max};
    uint64_t epoch = 0;

    if (mkdir(lane->dir, 0700) != 0 && errno != EEXIST)
        return error_errno(err, errno, "write-ahead log: cannot make %s", lane->dir);
    TRY(lane_replay(lane, &epoch, err));
    lane->wal = wal_new(&wal);
    if (lane->wal == NULL || !lane_begin(lane, epoch + 1))
        return error_set(err, ERR_LIMIT, "lane %u: out of memory", options->number);
    return ERR_OK;
}

static void *lane_main(void *context) {
    Lane *lane = context;
    char name[16];
    Error err = {0};
    ErrCode code;

    snprintf(name, sizeof name, "lane-%u", lane->options.number);
    pthread_setname_np(pthread_self(), name);
    code = lane_prepare(lane, &err);
    pthread_mutex_lock(&lane->lock);
    lane->ready = true;
    if (code != ERR_OK) lane->start_error = err;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    if (code == ERR_OK) lane_serve(lane);
    return NULL;
}

static void lane_open_metrics(LaneMetrics *metrics) {
    metrics->samples = telemetry_counter("moraine_ingester_samples_total", "",
                                         "Samples kept, histograms included.");
    metrics->conflicts =
        telemetry_counter("moraine_ingester_conflicts_total", "",
                          "Samples dropped: the newest sample's time, another value.");
    metrics->over_limit = telemetry_counter("moraine_ingester_over_limit_total", "",
                                            "Samples dropped: of new series past series_max.");
    metrics->refused = telemetry_counter("moraine_ingester_refused_total", "",
                                         "Parts of batches refused: no memory, no disk.");
    metrics->entries = telemetry_counter("moraine_ingester_log_entries_total", "",
                                         "Log entries kept, doubles included.");
    metrics->entry_bytes = telemetry_counter("moraine_ingester_log_bytes_total", "",
                                             "Bytes of log lines and their metadata kept.");
    metrics->entries_over_limit =
        telemetry_counter("moraine_ingester_log_entries_over_limit_total", "",
                          "Log entries dropped: of new streams past streams_max.");
    metrics->spans =
        telemetry_counter("moraine_ingester_spans_total", "", "Spans kept, doubles included.");
    metrics->span_bytes =
        telemetry_counter("moraine_ingester_span_bytes_total", "", "Bytes of spans kept, as sent.");
    metrics->spans_over_limit =
        telemetry_counter("moraine_ingester_spans_over_limit_total", "",
                          "Spans dropped: of traces past trace_bytes_max or trace_spans_max.");
    metrics->group_bytes =
        telemetry_histogram("moraine_wal_group_bytes", "", "Sizes of group commits.", 256, 4, 10);
    metrics->commit_seconds = telemetry_histogram("moraine_wal_commit_duration_seconds", "",
                                                  "Writing and syncing one group.", 0.0001, 2, 16);
}

ErrCode lane_start(Lane *lane, const LaneOptions *options, Error *err) {
    char dir[PATH_MAX];
    int code;

    *lane = (Lane){.options = *options};
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->changed, NULL);
    snprintf(dir, sizeof dir, "%s/%03u", options->wal_dir, options->number);
    lane->dir = strdup(dir);
    lane->samples = malloc(sizeof *lane->samples);
    lane->appends.end = &lane->appends.first;
    lane->bulk.end = &lane->bulk.first;
    buf_init(&lane->group, 0);
    lane_open_metrics(&lane->metrics);
    if (lane->dir == NULL || lane->samples == NULL)
        return error_set(err, ERR_LIMIT, "lane %u: out of memory", options->number);
    code = pthread_create(&lane->thread, NULL, lane_main, lane);
    if (code != 0) return error_errno(err, code, "lane %u: cannot start", options->number);
    lane->started = true;
    return ERR_OK;
}

ErrCode lane_await_ready(Lane *lane, Error *err) {
    pthread_mutex_lock(&lane->lock);
    while (!lane->ready) pthread_cond_wait(&lane->changed, &lane->lock);
    if (lane->start_error.code != ERR_OK) *err = lane->start_error;
    pthread_mutex_unlock(&lane->lock);
    return lane->start_error.code;
}

static void lane_await_flushes(Lane *lane) {
    pthread_mutex_lock(&lane->lock);
    while (lane->flushing > 0) pthread_cond_wait(&lane->changed, &lane->lock);
    pthread_mutex_unlock(&lane->lock);
}

void lane_stop(Lane *lane) {
    LaneTask stop = {.kind = LANE_STOP};

    if (lane->started) {
        lane_push(lane, &stop);
        pthread_join(lane->thread, NULL);
        lane_await_flushes(lane);
    }
    wal_free(lane->wal);
    while (lane->frozen != NULL) {
        Generation *generation = lane->frozen;

        lane->frozen = generation->next;
        generation_log_done(generation->log, true);
        generation_unref(generation);
    }
    if (lane->live != NULL) {
        generation_log_done(lane->live->log, true);
        generation_unref(lane->live);
    }
    wal_io_free(lane->options.io);
    buf_done(&lane->group);
    free(lane->previous);
    free(lane->logging);
    free(lane->origins);
    free(lane->samples);
    free(lane->dir);
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->lock);
}
