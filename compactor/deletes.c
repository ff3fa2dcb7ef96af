/*
 * deletes.c: which blocks delete requests are about. Time ranges in the manifest tell most that
 * are not, the streams in a block's index the rest: those are marked as cleared and never looked at
 * again. What is left is written anew, one block at a time, which clears it too. A request to which
 * no object and no head is left is processed.
 */
#include "compactor/deletes.h"

#include "common/base/log.h"
#include "common/block/logs.h"

#define NS_PER_MS INT64_C(1000000)

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "compactor: the budget for background work is used up");
}

static int64_t to_ns(int64_t ms) {
    int64_t ns;

    if (__builtin_mul_overflow(ms, NS_PER_MS, &ns)) return ms < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

/* The last nanosecond of a millisecond. */
static int64_t to_ns_end(int64_t ms) {
    int64_t ns = to_ns(ms);

    return ns > INT64_MAX - NS_PER_MS ? INT64_MAX : ns + NS_PER_MS - 1;
}

static const BlockPart *logs_of(const ManifestEntry *entry, Str tenant) {
    for (size_t p = 0; p < entry->part_count; p++)
        if (entry->parts[p].signal == SIGNAL_LOGS && str_equal(entry->parts[p].tenant, tenant))
            return &entry->parts[p];
    return NULL;
}

static bool is_avoided(const PlanOptions *options, const ManifestEntry *entry) {
    for (size_t i = 0; i < options->avoid_count; i++)
        if (str_equal(options->avoid[i], entry->key)) return true;
    return false;
}

/* Whether the block has streams that any of the requests is about. */
static ErrCode has_streams(const DeletesLook *look, const ManifestEntry *entry, Str tenant,
                           LogCut *const *cuts, size_t count, bool *out, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockStats stats = {0};
    const Block *block;

    *out = false;
    if (arena == NULL) return out_of_memory(err);
    TRY(block_open(look->cache, entry->key, entry->size, arena, &stats, &block, err));
    for (size_t i = 0; i < count && !*out; i++) {
        LogSelect select = {
            .tenant = tenant,
            .min_ns = cuts[i]->min_ns,
            .max_ns = cuts[i]->max_ns,
            .labels_only = true,
        };
        LogsSelection selection;

        select.matchers = cuts[i]->language->matchers(cuts[i]->query, &select.matcher_count);
        TRY(block_logs_select(block, &select, arena, &stats, &selection, err));
        *out = selection.stream_count > 0;
    }
    return ERR_OK;
}

typedef struct TenantLook {
    const DeletesLook *look;
    Str tenant;
    uint64_t applied;
    LogCuts cuts;
    ManifestCleared *raise; /* room for all entries */
    size_t raise_count;
    const ManifestEntry *rewrite; /* the first to be written anew */
    const ManifestEntry *failed;
} TenantLook;

static ErrCode look_at(TenantLook *at, const ManifestEntry *entry, uint64_t newest, Error *err) {
    const BlockPart *part = logs_of(entry, at->tenant);
    LogCut *const *cuts;
    size_t count;
    bool any;

    if (part == NULL || entry->level == 0 || is_avoided(at->look->options, entry)) return ERR_OK;
    TRY(log_cuts_of(&at->cuts, entry->cleared, false, to_ns(part->min_ms), to_ns_end(part->max_ms),
                    &cuts, &count, err));
    if (count == 0) return ERR_OK;
    if (has_streams(at->look, entry, at->tenant, cuts, count, &any, err) != ERR_OK) {
        at->failed = entry;
        return err->code;
    }
    if (any)
        at->rewrite = entry;
    else
        at->raise[at->raise_count++] = (ManifestCleared){entry->key, MIN(newest, at->applied)};
    return ERR_OK;
}

static ErrCode look_at_all(TenantLook *at, Error *err) {
    size_t count, request_count;
    const ManifestEntry *entries = manifest_entries(at->look->snapshot, &count);
    const ManifestDelete *requests = manifest_deletes(at->look->snapshot, &request_count);

    for (size_t i = 0; i < count && at->rewrite == NULL; i++)
        TRY(look_at(at, &entries[i], requests[request_count - 1].number, err));
    return ERR_OK;
}

static ErrCode plan_rewrite(const TenantLook *at, Arena *arena, Plan *out, Error *err) {
    const PlanOptions *options = at->look->options;
    const ManifestEntry **sources = ARENA_ARRAY(arena, const ManifestEntry *, 1);
    MergeJob *job = ARENA_NEW(arena, MergeJob);

    if (sources == NULL || job == NULL) return out_of_memory(err);
    sources[0] = at->rewrite;
    *job = plan_job(at->look->snapshot, options, logs_of(at->rewrite, at->tenant)->tenant,
                    SIGNAL_LOGS);
    job->sources = sources;
    job->source_count = 1;
    job->level = at->rewrite->level;
    *out = (Plan){PLAN_MERGE, job, 1, sources, 1};
    return ERR_OK;
}

/* Nothing that it is about is left in any object or head. */
static bool is_done(const DeletesLook *look, const ManifestDelete *request) {
    size_t count;
    const ManifestEntry *entries = manifest_entries(look->snapshot, &count);

    if (look->heads_cleared < request->number) return false;
    for (size_t i = 0; i < count; i++) {
        const BlockPart *part = logs_of(&entries[i], request->tenant);

        if (part != NULL && entries[i].cleared < request->number &&
            part->min_ms <= request->end_ms && part->max_ms >= request->start_ms)
            return false;
    }
    return true;
}

static bool is_due(const DeletesLook *look, const ManifestDelete *request) {
    return request->processed_ms == 0 &&
           request->number <= plan_applied(look->snapshot, look->options, request->tenant);
}

static ErrCode finish(const DeletesLook *look, Arena *arena, Error *err) {
    size_t count;
    const ManifestDelete *requests = manifest_deletes(look->snapshot, &count);
    ManifestDeleteId *done = ARENA_ARRAY(arena, ManifestDeleteId, count);
    ManifestDeletesChange change = {.processed = done};

    if (done == NULL) return out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        if (is_due(look, &requests[i]) && is_done(look, &requests[i]))
            done[change.processed_count++] = (ManifestDeleteId){requests[i].tenant, requests[i].id};
    if (change.processed_count == 0) return ERR_OK;
    TRY(manifest_change_deletes(look->manifest, &change, err));
    for (size_t i = 0; i < change.processed_count; i++)
        LOG_INFO("delete request carried out", LOG_STR("tenant", done[i].tenant),
                 LOG_STR("id", done[i].id));
    return ERR_OK;
}

/* Whether a request before this one is of the same tenant: it was looked at. */
static bool is_repeated(const DeletesLook *look, const ManifestDelete *requests, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (is_due(look, &requests[k]) && str_equal(requests[k].tenant, requests[i].tenant))
            return true;
    return false;
}

ErrCode deletes_next(const DeletesLook *look, Arena *arena, Plan *out,
                     const ManifestEntry **ret_failed, Error *err) {
    size_t count, entry_count;
    const ManifestDelete *requests = manifest_deletes(look->snapshot, &count);
    ManifestDeletesChange change = {0};
    ManifestCleared *raise;
    bool any = false;

    *out = (Plan){.kind = PLAN_NOTHING};
    *ret_failed = NULL;
    if (look->language == NULL) return ERR_OK;
    (void)manifest_entries(look->snapshot, &entry_count);
    for (size_t i = 0; i < count && out->kind == PLAN_NOTHING; i++) {
        TenantLook at = {.look = look, .tenant = requests[i].tenant};

        if (!is_due(look, &requests[i]) || is_repeated(look, requests, i)) continue;
        any = true;
        at.applied = plan_applied(look->snapshot, look->options, at.tenant);
        at.raise = raise = ARENA_ARRAY(arena, ManifestCleared, entry_count);
        if (raise == NULL) return out_of_memory(err);
        TRY(log_cuts_init(&at.cuts, look->language, look->snapshot, at.tenant, at.applied, arena,
                          err));
        ErrCode code = look_at_all(&at, err);

        *ret_failed = at.failed;
        if (code != ERR_OK) return code;
        change = (ManifestDeletesChange){.raise = raise, .raise_count = at.raise_count};
        if (at.raise_count > 0) TRY(manifest_change_deletes(look->manifest, &change, err));
        if (at.rewrite != NULL) TRY(plan_rewrite(&at, arena, out, err));
    }
    /* What was raised just now shows in the next snapshot. */
    if (!any || out->kind != PLAN_NOTHING) return ERR_OK;
    const ManifestSnapshot *fresh = manifest_snapshot(look->manifest);
    DeletesLook again = *look;

    again.snapshot = fresh;
    ErrCode code = finish(&again, arena, err);

    manifest_snapshot_unref(fresh);
    return code;
}
