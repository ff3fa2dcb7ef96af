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
#include "compactor/deletes.h"
#include "compactor/expired.h"
#include "compactor/merge/merge.h"

enum {
    CHECKPOINT_AT_DELTAS = 32,
    CACHE_BYTES_MAX = 16 << 20,
    NEAR_BYTES_MAX = 256 << 20,
    NEAR_PARTS_MIN = 4, /* a segment with fewer is read in parts, once each */
    AVOID_MAX = 64,
    LATE_MAX = 16,
};

struct Compactor {
    CompactorOptions options;
    Budget cache_budget;
    BlockCache *cache;       /* for metadata of sources */
    uint64_t near_bytes_max; /* of segments held while they are split */
    pthread_mutex_t run_lock;
    ExpiredSeen seen; /* under `run_lock` */

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
    Counter *cut_entries;
};

Compactor *compactor_new(const CompactorOptions *options) {
    Compactor *compactor = calloc(1, sizeof *compactor);

    if (compactor == NULL) return NULL;
    compactor->options = *options;
    compactor->near_bytes_max = NEAR_BYTES_MAX;
    if (options->background != NULL && options->background->limit > 0)
        compactor->near_bytes_max =
            MIN(compactor->near_bytes_max, (uint64_t)options->background->limit / 4);
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
    compactor->cut_entries =
        telemetry_counter("moraine_delete_entries_total", "",
                          "Entries of logs that requests to delete took out of objects.");
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
    expired_seen_done(&compactor->seen);
    pthread_cond_destroy(&compactor->wake);
    pthread_mutex_destroy(&compactor->thread_lock);
    pthread_mutex_destroy(&compactor->run_lock);
    free(compactor);
}

/* ---- a run ---- */

/* What one run learned: it starts afresh with the next. */
typedef struct Run {
    Arena *arena;
    Str avoid[AVOID_MAX]; /* objects that could not be read */
    size_t avoid_count;
    size_t sources_max;
    uint64_t heads_cleared;
    bool again;  /* the last look ended early */
    Error first; /* why the first of them could not */
} Run;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "compactor: the budget for background work is used up");
}

static Str block_key(const MergeJob *job, int64_t now_ms, Arena *arena) {
    char id[26];

    ulid_make(now_ms, id);
    return str_format(arena, "tenants/" STR_FMT "/%s/%.26s.blk", STR_ARG(job->tenant),
                      signal_name(job->signal), id);
}

static bool snapshot_has(const ManifestSnapshot *snapshot, Str key) {
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    for (size_t i = 0; i < count; i++)
        if (str_equal(entries[i].key, key)) return true;
    return false;
}

/* After a commit that failed for good: what was written for it is nobody's. When it is not known
 * whether the commit happened, objects stay: an orphan costs space, a lost block data. */
static void discard(Compactor *compactor, const Str *keys, size_t count) {
    const ManifestSnapshot *snapshot = manifest_snapshot(compactor->options.manifest);
    Error err = {0};

    for (size_t i = 0; i < count; i++) {
        if (snapshot_has(snapshot, keys[i])) continue;
        if (store_delete(compactor->options.store, keys[i], &err) == ERR_OK) continue;
        LOG_WARN("blocks that nobody uses could not be deleted", LOG_STR("key", keys[i]),
                 LOG_U64("blocks", count - i), LOG_ERR(&err));
        break; /* a store that is down would let each of them wait */
    }
    manifest_snapshot_unref(snapshot);
}

/* A plan being carried out. */
typedef struct Work {
    const Plan *plan;
    const ManifestSnapshot *snapshot;
    MergeIo io;
    Arena *arena; /* the plan's; each job has one of its own beside it */
    ManifestEntry *added;
    size_t added_count;
    Str *keys; /* of objects that may have come to be: one for each job that began */
    size_t key_count;
    uint64_t cut_entries; /* that delete requests took out */
    const MergeJob *failed_job;
    const ManifestEntry *failed_source; /* NULL: not known */
} Work;

static ErrCode keep_entry(Work *work, const ManifestEntry *entry, Error *err) {
    ManifestEntry *kept = &work->added[work->added_count];
    BlockPart *parts = ARENA_ARRAY(work->arena, BlockPart, entry->part_count);

    if (parts == NULL) return out_of_memory(err);
    *kept = *entry;
    kept->parts = parts;
    for (size_t p = 0; p < entry->part_count; p++) {
        parts[p] = entry->parts[p];
        parts[p].tenant = str_dup(work->arena, entry->parts[p].tenant);
        if (parts[p].tenant.ptr == NULL) return out_of_memory(err);
    }
    work->added_count++;
    return ERR_OK;
}

static ErrCode run_job(Compactor *compactor, Work *work, const MergeJob *job, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, compactor->options.background);
    Str key = block_key(job, clock_now_ms(compactor->options.clock), work->arena);
    ManifestEntry entry;
    bool empty;

    if (arena == NULL || key.ptr == NULL) return out_of_memory(err);
    work->keys[work->key_count++] = key;
    work->failed_job = job;
    if (merge_run(&work->io, job, key, arena, &entry, &empty, &work->failed_source, err) != ERR_OK)
        return error_wrap(err, "merge of %zu objects of tenant " STR_FMT, job->source_count,
                          STR_ARG(job->tenant));
    if (empty) return ERR_OK;
    counter_add(compactor->blocks_written, 1);
    counter_add(compactor->bytes_written, entry.size);
    return keep_entry(work, &entry, err);
}

/* Parts of segments are read from memory where there is room: each segment is one GET then, not
 * some for each tenant in it. */
static ErrCode run_jobs(Compactor *compactor, Work *work, Error *err) {
    CLEANUP(arena_free) Arena *near = arena_new(0, compactor->options.background);
    CLEANUP(block_cache_free) BlockCache *cache = NULL;
    const Plan *plan = work->plan;

    work->io = (MergeIo){
        .from = compactor->options.store,
        .cache = compactor->cache,
        .to = compactor->options.store,
        .language = compactor->options.language,
        .snapshot = work->snapshot,
        .cut_entries = &work->cut_entries,
    };
    if (plan->kind == PLAN_SPLIT) {
        const ManifestEntry **shared =
            ARENA_ARRAY(near, const ManifestEntry *, plan->replaced_count);
        size_t count = 0;

        if (near == NULL || shared == NULL) return out_of_memory(err);
        for (size_t i = 0; i < plan->replaced_count; i++)
            if (plan->replaced[i]->part_count >= NEAR_PARTS_MIN)
                shared[count++] = plan->replaced[i];
        TRY(near_store(compactor->options.store, shared, count, compactor->near_bytes_max, near,
                       &work->io.from, err));
        work->io.cache = cache = block_cache_new(work->io.from, &compactor->cache_budget);
        if (cache == NULL) return out_of_memory(err);
    }
    for (size_t j = 0; j < plan->job_count; j++) TRY(run_job(compactor, work, &plan->jobs[j], err));
    work->failed_job = NULL;
    return ERR_OK;
}

/* The receipt of delete requests: which objects are without what they were about. */
static void tell_cut(const Compactor *compactor, const Work *work) {
    const Plan *plan = work->plan;

    if (work->cut_entries == 0) return;
    counter_add(compactor->cut_entries, work->cut_entries);
    for (size_t i = 0; i < plan->replaced_count; i++)
        LOG_INFO("an object with deleted entries was replaced",
                 LOG_STR("key", plan->replaced[i]->key),
                 LOG_STR("by", work->added_count == 1   ? work->added[0].key
                               : work->added_count == 0 ? STR("nothing")
                                                        : STR("several")),
                 LOG_U64("entries_deleted_in_all", work->cut_entries));
}

static ErrCode carry_out(Compactor *compactor, Work *work, Error *err) {
    const Plan *plan = work->plan;
    Str *removed = ARENA_ARRAY(work->arena, Str, plan->replaced_count);
    ErrCode code;

    work->added = ARENA_ARRAY(work->arena, ManifestEntry, plan->job_count);
    work->keys = ARENA_ARRAY(work->arena, Str, plan->job_count);
    if (work->added == NULL || work->keys == NULL || removed == NULL) return out_of_memory(err);
    for (size_t i = 0; i < plan->replaced_count; i++) removed[i] = plan->replaced[i]->key;
    code = run_jobs(compactor, work, err);
    if (code == ERR_OK) {
        ManifestChange change = {work->added, work->added_count, removed, plan->replaced_count};

        code = manifest_commit(compactor->options.manifest, &change, NULL, err);
        if (code != ERR_OK && code != ERR_EXISTS) return code;
    }
    if (code != ERR_OK) discard(compactor, work->keys, work->key_count);
    if (code == ERR_OK) tell_cut(compactor, work);
    if (code == ERR_OK && plan->kind == PLAN_DROP)
        counter_add(compactor->dropped, plan->replaced_count);
    return code;
}

/* ---- objects that cannot be read ---- */

static ErrCode avoid(Run *run, const ManifestEntry *entry, Error *err) {
    Str key = str_dup(run->arena, entry->key);

    /* So many that something else is wrong. */
    if (run->avoid_count == AVOID_MAX || key.ptr == NULL) return err->code;
    if (run->avoid_count == 0) run->first = *err;
    run->avoid[run->avoid_count++] = key;
    LOG_ERROR("an object cannot be compacted and stays as it is", LOG_STR("key", key),
              LOG_ERR(err));
    return ERR_OK;
}

/* One object that is damaged, or too large for the memory there is, must not keep all others from
 * being compacted. Returns what ends the run. */
static ErrCode go_around(Run *run, const Work *work, Error *err) {
    const MergeJob *job = work->failed_job;
    bool damaged = err->code == ERR_CORRUPT || err->code == ERR_NOT_FOUND ||
                   err->code == ERR_INVALID || err->code == ERR_UNSUPPORTED;

    if (job == NULL || (!damaged && err->code != ERR_LIMIT)) return err->code;
    if (!damaged && work->plan->replaced_count > 2) {
        run->sources_max = work->plan->replaced_count / 2;
        return ERR_OK;
    }
    if (!damaged && work->plan->kind == PLAN_SPLIT && work->plan->replaced_count == 2) {
        run->sources_max = 1;
        return ERR_OK;
    }
    if (damaged && work->failed_source != NULL) return avoid(run, work->failed_source, err);
    for (size_t s = 0; s < job->source_count; s++) TRY(avoid(run, job->sources[s], err));
    return ERR_OK;
}

/* A block whose index cannot be read is gone around. */
static ErrCode look_ended(Run *run, ErrCode code, const ManifestEntry *failed, Plan *out,
                          Error *err) {
    if (code == ERR_OK || failed == NULL || code == ERR_UNAVAILABLE || code == ERR_TIMEOUT)
        return code;
    TRY(avoid(run, failed, err));
    out->kind = PLAN_NOTHING;
    run->again = true;
    return ERR_OK;
}

/* When nothing is left to be merged. */
static ErrCode look_at_deletes(Compactor *compactor, Run *run, const ManifestSnapshot *snapshot,
                               const PlanOptions *options, Arena *arena, Plan *out, Error *err) {
    DeletesLook look = {
        .manifest = compactor->options.manifest,
        .cache = compactor->cache,
        .snapshot = snapshot,
        .options = options,
        .language = compactor->options.language,
        .heads_cleared = run->heads_cleared,
    };
    const ManifestEntry *failed;
    ErrCode code = deletes_next(&look, arena, out, &failed, err);

    return look_ended(run, code, failed, out, err);
}

static ErrCode look_at_expired(Compactor *compactor, Run *run, const ManifestSnapshot *snapshot,
                               const PlanOptions *options, Arena *arena, Plan *out, Error *err) {
    ExpiredLook look = {compactor->cache, snapshot, options, &compactor->seen};
    const ManifestEntry *failed;
    ErrCode code = expired_next(&look, arena, out, &failed, err);

    return look_ended(run, code, failed, out, err);
}

static ErrCode step(Compactor *compactor, Run *run, bool *ret_more, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, compactor->options.background);
    const ManifestSnapshot *snapshot = manifest_snapshot(compactor->options.manifest);
    PlanOptions options = {
        .tenants = compactor->options.tenants,
        .now_ms = clock_now_ms(compactor->options.clock),
        .block_bytes_max = compactor->options.block_bytes_max,
        .sources_max = run->sources_max,
        .avoid = run->avoid,
        .avoid_count = run->avoid_count,
        .delete_cancel_ms = compactor->options.delete_cancel_ms,
    };
    Plan plan;
    Work work = {.plan = &plan, .snapshot = snapshot, .arena = arena};
    ErrCode code = plan_next(snapshot, &options, arena, &plan, err);

    if (code == ERR_OK && plan.kind == PLAN_NOTHING)
        code = look_at_deletes(compactor, run, snapshot, &options, arena, &plan, err);
    if (code == ERR_OK && plan.kind == PLAN_NOTHING && !run->again)
        code = look_at_expired(compactor, run, snapshot, &options, arena, &plan, err);

    *ret_more = code == ERR_OK && (plan.kind != PLAN_NOTHING || run->again);
    run->again = false;
    if (*ret_more && plan.kind != PLAN_NOTHING) {
        code = carry_out(compactor, &work, err);
        if (code != ERR_OK && code != ERR_EXISTS) code = go_around(run, &work, err);
    }
    manifest_snapshot_unref(snapshot);
    return code;
}

static ErrCode run_steps(Compactor *compactor, Run *run, Error *err) {
    bool more = true;

    for (unsigned late = 0; more;) {
        ErrCode code = step(compactor, run, &more, err);

        /* Somebody else merged first: look again. */
        if (code == ERR_EXISTS && late++ < LATE_MAX) {
            more = true;
            TRY(manifest_refresh(compactor->options.manifest, err));
            continue;
        }
        if (code == ERR_EXISTS)
            return error_set(err, ERR_UNAVAILABLE, "others compact the same objects");
        TRY(code);
    }
    return ERR_OK;
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
    CLEANUP(arena_free) Arena *arena = arena_new(0, compactor->options.background);
    Run run = {.arena = arena};
    Error step_err = {0};
    ErrCode code;

    /* Heads first: what they don't hold any more is in the manifest then. */
    run.heads_cleared = compactor->options.heads_cleared == NULL
                            ? UINT64_MAX
                            : compactor->options.heads_cleared(compactor->options.heads_context);
    TRY(manifest_refresh(compactor->options.manifest, err));
    code = run_steps(compactor, &run, &step_err);
    if (code == ERR_OK && run.avoid_count > 0) {
        step_err = run.first;
        code = run.first.code;
    }
    /* Also when merging failed: what is due is due. */
    TRY(delete_removed(compactor, err));
    TRY(manifest_checkpoint(compactor->options.manifest, CHECKPOINT_AT_DELTAS,
                            compactor->options.grace_ms, err));
    if (code != ERR_OK && err != NULL) *err = step_err;
    return code;
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
    int failed;

    compactor->stopping = false;
    failed = pthread_create(&compactor->thread, NULL, thread_main, compactor);

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
