/*
 * compactor.c: plan, merge, commit, until the plan is empty; then deletion and a checkpoint.
 */
#include "compactor/compactor.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/telemetry.h"
#include "compactor/merge/merge.h"

enum { CHECKPOINT_AT_DELTAS = 32, CACHE_BYTES_MAX = 16 << 20 };

struct Compactor {
    CompactorOptions options;
    Budget cache_budget;
    BlockCache *cache; /* for metadata of sources */
    pthread_mutex_t run_lock;

    pthread_mutex_t thread_lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool has_thread;
    bool stopping;

    Counter *runs_ok;
    Counter *runs_failed;
    Counter *blocks_written;
    Counter *bytes_written;
    Counter *dropped;
    Counter *deleted;
};

Compactor *compactor_new(const CompactorOptions *options) {
    Compactor *compactor = calloc(1, sizeof *compactor);

    if (compactor == NULL) return NULL;
    compactor->options = *options;
    budget_init(&compactor->cache_budget, "compactor", CACHE_BYTES_MAX, options->background);
    compactor->cache = block_cache_new(options->store, &compactor->cache_budget);
    pthread_mutex_init(&compactor->run_lock, NULL);
    pthread_mutex_init(&compactor->thread_lock, NULL);
    pthread_cond_init(&compactor->wake, NULL);
    compactor->runs_ok = telemetry_counter("moraine_compactor_runs_total", "result=\"ok\"",
                                           "Runs of the compactor.");
    compactor->runs_failed = telemetry_counter("moraine_compactor_runs_total", "result=\"failed\"",
                                               "Runs of the compactor.");
    compactor->blocks_written = telemetry_counter("moraine_compactor_blocks_written_total", "",
                                                  "Blocks that merging wrote.");
    compactor->bytes_written =
        telemetry_counter("moraine_compactor_bytes_written_total", "", "Bytes that merging wrote.");
    compactor->dropped = telemetry_counter("moraine_compactor_objects_expired_total", "",
                                           "Objects dropped whole by retention.");
    compactor->deleted = telemetry_counter("moraine_compactor_objects_deleted_total", "",
                                           "Objects deleted from the store after their grace.");
    if (compactor->cache == NULL) {
        compactor_free(compactor);
        return NULL;
    }
    return compactor;
}

void compactor_free(Compactor *compactor) {
    if (compactor == NULL) return;
    compactor_stop(compactor);
    block_cache_free(compactor->cache);
    pthread_cond_destroy(&compactor->wake);
    pthread_mutex_destroy(&compactor->thread_lock);
    pthread_mutex_destroy(&compactor->run_lock);
    free(compactor);
}

/* ---- one step of a plan ---- */

static Str block_key(const MergeJob *job, int64_t now_ms, Arena *arena) {
    char id[26];

    ulid_make(now_ms, id);
    return str_format(arena, "tenants/" STR_FMT "/%s/%.26s.blk", STR_ARG(job->tenant),
                      signal_name(job->signal), id);
}

static bool snapshot_has(Manifest *manifest, Str key) {
    const ManifestSnapshot *snapshot = manifest_snapshot(manifest);
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);
    bool found = false;

    for (size_t i = 0; i < count && !found; i++) found = str_equal(entries[i].key, key);
    manifest_snapshot_unref(snapshot);
    return found;
}

/* After a commit that failed for good: what was written for it is nobody's. When it is not known
 * whether the commit happened, objects stay: an orphan costs space, a lost block data. */
static void discard(Compactor *compactor, const ManifestEntry *entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Error err = {0};

        if (snapshot_has(compactor->options.manifest, entries[i].key)) continue;
        if (store_delete(compactor->options.store, entries[i].key, &err) != ERR_OK)
            LOG_WARN("an unused block could not be deleted", LOG_STR("key", entries[i].key),
                     LOG_ERR(&err));
    }
}

static ErrCode run_jobs(Compactor *compactor, const Plan *plan, Arena *arena, ManifestEntry *added,
                        size_t *count, Error *err) {
    int64_t now_ms = clock_now_ms(compactor->options.clock);

    for (size_t j = 0; j < plan->job_count; j++) {
        Str key = block_key(&plan->jobs[j], now_ms, arena);
        bool empty;

        if (key.ptr == NULL) return error_set(err, ERR_LIMIT, "compactor: out of memory");
        if (merge_run(compactor->options.store, compactor->cache, &plan->jobs[j], key, now_ms,
                      arena, &added[*count], &empty, err) != ERR_OK)
            return error_wrap(err, "merge of %zu objects of tenant " STR_FMT,
                              plan->jobs[j].source_count, STR_ARG(plan->jobs[j].tenant));
        if (empty) continue;
        counter_add(compactor->blocks_written, 1);
        counter_add(compactor->bytes_written, added[*count].size);
        *count += 1;
    }
    return ERR_OK;
}

static ErrCode carry_out(Compactor *compactor, const Plan *plan, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, compactor->options.background);
    ManifestEntry *added = ARENA_ARRAY(arena, ManifestEntry, plan->job_count);
    Str *removed = ARENA_ARRAY(arena, Str, plan->replaced_count);
    size_t count = 0;
    ErrCode code;

    if (added == NULL || removed == NULL)
        return error_set(err, ERR_LIMIT, "compactor: out of memory");
    for (size_t i = 0; i < plan->replaced_count; i++) removed[i] = plan->replaced[i]->key;
    code = run_jobs(compactor, plan, arena, added, &count, err);
    if (code == ERR_OK) {
        ManifestChange change = {added, count, removed, plan->replaced_count};

        code = manifest_commit(compactor->options.manifest, &change, NULL, err);
        if (code != ERR_OK && code != ERR_EXISTS) return code;
    }
    if (code != ERR_OK) {
        discard(compactor, added, count);
        return code;
    }
    if (plan->kind == PLAN_DROP) counter_add(compactor->dropped, plan->replaced_count);
    return ERR_OK;
}

static ErrCode step(Compactor *compactor, bool *ret_more, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, compactor->options.background);
    const ManifestSnapshot *snapshot = manifest_snapshot(compactor->options.manifest);
    PlanOptions options = {compactor->options.tenants, clock_now_ms(compactor->options.clock),
                           compactor->options.block_bytes_max};
    Plan plan;
    ErrCode code = plan_next(snapshot, &options, arena, &plan, err);

    *ret_more = code == ERR_OK && plan.kind != PLAN_NOTHING;
    if (*ret_more) code = carry_out(compactor, &plan, err);
    manifest_snapshot_unref(snapshot);
    return code;
}

/* ---- deletion ---- */

static ErrCode delete_removed(Compactor *compactor, Error *err) {
    const ManifestSnapshot *snapshot = manifest_snapshot(compactor->options.manifest);
    int64_t before_ms = clock_now_ms(compactor->options.clock) - compactor->options.grace_ms;
    size_t count, done = 0;
    const ManifestRemoved *removed = manifest_removed(snapshot, &count);
    Str *keys = calloc(MAX(count, 1), sizeof *keys);
    ErrCode code = keys == NULL ? error_set(err, ERR_LIMIT, "compactor: out of memory") : ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        if (removed[i].removed_ms > before_ms) continue;
        code = store_delete(compactor->options.store, removed[i].key, err);
        if (code != ERR_OK) break;
        if (compactor->options.cache != NULL)
            block_cache_forget(compactor->options.cache, removed[i].key);
        block_cache_forget(compactor->cache, removed[i].key);
        keys[done++] = removed[i].key;
    }
    if (done > 0) {
        Error forget_err = {0};
        ErrCode forgotten = manifest_forget(compactor->options.manifest, keys, done, &forget_err);

        counter_add(compactor->deleted, done);
        if (code == ERR_OK && forgotten != ERR_OK) {
            if (err != NULL) *err = forget_err;
            code = forgotten;
        }
    }
    free(keys);
    manifest_snapshot_unref(snapshot);
    return code;
}

static ErrCode run_locked(Compactor *compactor, Error *err) {
    bool more = true;

    TRY(manifest_refresh(compactor->options.manifest, err));
    while (more) {
        ErrCode code = step(compactor, &more, err);

        /* Somebody else merged first: look again. */
        if (code == ERR_EXISTS) {
            TRY(manifest_refresh(compactor->options.manifest, err));
            continue;
        }
        TRY(code);
    }
    TRY(delete_removed(compactor, err));
    return manifest_checkpoint(compactor->options.manifest, CHECKPOINT_AT_DELTAS,
                               compactor->options.grace_ms, err);
}

ErrCode compactor_run(Compactor *compactor, Error *err) {
    ErrCode code;

    pthread_mutex_lock(&compactor->run_lock);
    code = run_locked(compactor, err);
    pthread_mutex_unlock(&compactor->run_lock);
    counter_add(code == ERR_OK ? compactor->runs_ok : compactor->runs_failed, 1);
    return code;
}

/* ---- the thread ---- */

static void wait_interval(Compactor *compactor) {
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += compactor->options.interval_ms / 1000;
    until.tv_nsec += (compactor->options.interval_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!compactor->stopping)
        if (pthread_cond_timedwait(&compactor->wake, &compactor->thread_lock, &until) != 0) return;
}

static void *thread_main(void *context) {
    Compactor *compactor = context;

    pthread_setname_np(pthread_self(), "compactor");
    pthread_mutex_lock(&compactor->thread_lock);
    for (;;) {
        Error err = {0};

        wait_interval(compactor);
        if (compactor->stopping) break;
        pthread_mutex_unlock(&compactor->thread_lock);
        if (compactor_run(compactor, &err) != ERR_OK)
            LOG_ERROR("compaction failed; the next run goes on from here", LOG_ERR(&err));
        pthread_mutex_lock(&compactor->thread_lock);
    }
    pthread_mutex_unlock(&compactor->thread_lock);
    return NULL;
}

ErrCode compactor_start(Compactor *compactor, Error *err) {
    int failed = pthread_create(&compactor->thread, NULL, thread_main, compactor);

    if (failed != 0) return error_errno(err, failed, "compactor thread");
    compactor->has_thread = true;
    return ERR_OK;
}

void compactor_stop(Compactor *compactor) {
    if (!compactor->has_thread) return;
    pthread_mutex_lock(&compactor->thread_lock);
    compactor->stopping = true;
    pthread_cond_signal(&compactor->wake);
    pthread_mutex_unlock(&compactor->thread_lock);
    pthread_join(compactor->thread, NULL);
    compactor->has_thread = false;
}
