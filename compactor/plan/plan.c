/*
 * plan.c: objects whose every part has expired go first; then segments become blocks, all that
 * there are up to a limit at a time; then blocks that lie in one window become one.
 */
#include "compactor/plan/plan.h"

#include <stdlib.h>

static const int64_t windows_ms[] = {2 * 3600000LL, 12 * 3600000LL, 24 * 3600000LL};

/* A window whose end is this long past gets hardly any more data. */
enum { WINDOW_SETTLES_MS = 10 * 60000, LEVEL_MAX = 99 };

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "compactor: out of memory");
}

int64_t plan_keep_from(const PlanOptions *options, Str tenant, Signal signal) {
    TenantLimits limits;
    int64_t retention;

    tenants_limits(options->tenants, tenant, &limits);
    retention = signal == SIGNAL_METRICS ? limits.retention_metrics_ms
                : signal == SIGNAL_LOGS
                    ? stream_retention_longest(limits.log_streams, limits.retention_logs_ms)
                    : limits.retention_traces_ms;
    return retention <= 0 ? INT64_MIN : options->now_ms - retention;
}

/* ---- delete requests ---- */

uint64_t plan_applied(const ManifestSnapshot *snapshot, const PlanOptions *options, Str tenant) {
    size_t count;
    const ManifestDelete *requests = manifest_deletes(snapshot, &count);
    TenantLimits limits;

    if (count == 0) return UINT64_MAX;
    tenants_limits(options->tenants, tenant, &limits);
    if (limits.deletion_mode != DELETION_FILTER_AND_DELETE) return 0;
    for (size_t i = 0; i < count; i++)
        if (requests[i].processed_ms == 0 && str_equal(requests[i].tenant, tenant) &&
            requests[i].created_ms > options->now_ms - options->delete_cancel_ms)
            return requests[i].number - 1;
    return UINT64_MAX;
}

MergeJob plan_job(const ManifestSnapshot *snapshot, const PlanOptions *options, Str tenant,
                  Signal signal) {
    MergeJob job = {
        .tenant = tenant,
        .signal = signal,
        .keep_from_ms = plan_keep_from(options, tenant, signal),
        .now_ms = options->now_ms,
        .applied = plan_applied(snapshot, options, tenant),
    };
    TenantLimits limits;

    if (signal != SIGNAL_LOGS) return job;
    tenants_limits(options->tenants, tenant, &limits);
    job.log_streams = limits.log_streams;
    job.retention_ms = limits.retention_logs_ms;
    return job;
}

/* The first request that applies to logs of this object and is not to be carried out yet. */
static uint64_t cut_class(const ManifestSnapshot *snapshot, const PlanOptions *options,
                          const ManifestEntry *entry, const BlockPart *part) {
    size_t count;
    const ManifestDelete *requests = manifest_deletes(snapshot, &count);
    uint64_t applied;

    if (count == 0 || part->signal != SIGNAL_LOGS) return UINT64_MAX;
    applied = plan_applied(snapshot, options, part->tenant);
    for (size_t i = 0; i < count && applied != UINT64_MAX; i++)
        if (requests[i].processed_ms == 0 && requests[i].number > applied &&
            requests[i].number > entry->cleared && str_equal(requests[i].tenant, part->tenant))
            return requests[i].number;
    return UINT64_MAX;
}

static size_t sources_max(const PlanOptions *options) {
    return options->sources_max == 0 ? PLAN_SOURCES_MAX : options->sources_max;
}

static bool is_avoided(const PlanOptions *options, const ManifestEntry *entry) {
    for (size_t i = 0; i < options->avoid_count; i++)
        if (str_equal(options->avoid[i], entry->key)) return true;
    return false;
}

/* ---- expired objects ---- */

static bool part_is_expired(const PlanOptions *options, const BlockPart *part) {
    return part->max_ms < plan_keep_from(options, part->tenant, part->signal);
}

static bool is_expired(const PlanOptions *options, const ManifestEntry *entry) {
    for (size_t p = 0; p < entry->part_count; p++)
        if (!part_is_expired(options, &entry->parts[p])) return false;
    return true;
}

static ErrCode plan_drop(const ManifestEntry *entries, size_t count, const PlanOptions *options,
                         Arena *arena, Plan *out, Error *err) {
    out->replaced = ARENA_ARRAY(arena, const ManifestEntry *, count);
    if (out->replaced == NULL) return out_of_memory(err);
    out->replaced_count = 0;
    for (size_t i = 0; i < count; i++)
        if (is_expired(options, &entries[i])) out->replaced[out->replaced_count++] = &entries[i];
    if (out->replaced_count > 0) out->kind = PLAN_DROP;
    return ERR_OK;
}

/* ---- segments ---- */

typedef struct SegmentPart {
    Str tenant;
    Signal signal;
    const ManifestEntry *entry;
    uint64_t class; /* cut_class() */
    size_t order;
} SegmentPart;

static int compare_parts(const void *a, const void *b) {
    const SegmentPart *x = a, *y = b;
    int order = str_compare(x->tenant, y->tenant);

    if (order == 0) order = (int)x->signal - (int)y->signal;
    if (order == 0) order = (x->class > y->class) - (x->class < y->class);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static ErrCode segment_parts(const ManifestSnapshot *snapshot, const Plan *plan,
                             const PlanOptions *options, Arena *arena, SegmentPart **out,
                             size_t *count, Error *err) {
    size_t total = 0;

    for (size_t s = 0; s < plan->replaced_count; s++) total += plan->replaced[s]->part_count;
    *out = ARENA_ARRAY(arena, SegmentPart, total);
    if (*out == NULL) return out_of_memory(err);
    *count = 0;
    for (size_t s = 0; s < plan->replaced_count; s++)
        for (size_t p = 0; p < plan->replaced[s]->part_count; p++) {
            const BlockPart *part = &plan->replaced[s]->parts[p];

            if (part_is_expired(options, part)) continue;
            (*out)[(*count)++] =
                (SegmentPart){part->tenant, part->signal, plan->replaced[s],
                              cut_class(snapshot, options, plan->replaced[s], part), s};
        }
    if (*count > 1) qsort(*out, *count, sizeof **out, compare_parts);
    return ERR_OK;
}

static ErrCode plan_split(const ManifestSnapshot *snapshot, const PlanOptions *options,
                          Arena *arena, Plan *out, Error *err) {
    size_t count, part_count = 0;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);
    const ManifestEntry **sources;
    SegmentPart *parts;

    out->replaced = ARENA_ARRAY(arena, const ManifestEntry *, MIN(count, sources_max(options)));
    if (out->replaced == NULL) return out_of_memory(err);
    for (size_t i = 0; i < count && out->replaced_count < sources_max(options); i++)
        if (entries[i].level == 0 && !is_avoided(options, &entries[i]))
            out->replaced[out->replaced_count++] = &entries[i];
    if (out->replaced_count == 0) return ERR_OK;
    TRY(segment_parts(snapshot, out, options, arena, &parts, &part_count, err));
    out->jobs = ARENA_ARRAY(arena, MergeJob, part_count);
    sources = ARENA_ARRAY(arena, const ManifestEntry *, part_count);
    if (out->jobs == NULL || sources == NULL) return out_of_memory(err);
    for (size_t i = 0; i < part_count; i++) {
        MergeJob *job = out->job_count == 0 ? NULL : &out->jobs[out->job_count - 1];

        sources[i] = parts[i].entry;
        if (job != NULL && job->signal == parts[i].signal && parts[i].class == parts[i - 1].class &&
            str_equal(job->tenant, parts[i].tenant)) {
            job->source_count++;
            continue;
        }
        job = &out->jobs[out->job_count++];
        *job = plan_job(snapshot, options, parts[i].tenant, parts[i].signal);
        job->sources = &sources[i];
        job->source_count = 1;
        job->level = 1;
    }
    out->kind = PLAN_SPLIT;
    return ERR_OK;
}

/* ---- blocks ---- */

static int compare_blocks(const void *a, const void *b) {
    const ManifestEntry *x = *(const ManifestEntry *const *)a,
                        *y = *(const ManifestEntry *const *)b;
    int order = str_compare(x->parts[0].tenant, y->parts[0].tenant);

    if (order == 0) order = (int)x->parts[0].signal - (int)y->parts[0].signal;
    if (order != 0) return order;
    if (x->parts[0].min_ms != y->parts[0].min_ms)
        return x->parts[0].min_ms < y->parts[0].min_ms ? -1 : 1;
    return str_compare(x->key, y->key);
}

static int by_age(const void *a, const void *b) {
    const ManifestEntry *x = *(const ManifestEntry *const *)a,
                        *y = *(const ManifestEntry *const *)b;

    if (x->created_ms != y->created_ms) return x->created_ms < y->created_ms ? -1 : 1;
    return str_compare(x->key, y->key);
}

static bool same_owner(const ManifestEntry *a, const ManifestEntry *b) {
    return a->parts[0].signal == b->parts[0].signal &&
           str_equal(a->parts[0].tenant, b->parts[0].tenant);
}

static int64_t window_of(int64_t time_ms, int64_t window_ms) {
    int64_t window = time_ms / window_ms;

    return time_ms % window_ms < 0 ? window - 1 : window;
}

static void merge_group(const ManifestSnapshot *snapshot, const PlanOptions *options,
                        const ManifestEntry **group, size_t count, MergeJob *job, Plan *out) {
    uint32_t level = 0;

    for (size_t i = 0; i < count; i++) level = MAX(level, group[i]->level);
    qsort(group, count, sizeof *group, by_age);
    *job = plan_job(snapshot, options, group[0]->parts[0].tenant, group[0]->parts[0].signal);
    job->sources = group;
    job->source_count = count;
    job->level = MIN(level + 1, LEVEL_MAX);
    out->kind = PLAN_MERGE;
    out->jobs = job;
    out->job_count = 1;
    out->replaced = group;
    out->replaced_count = count;
}

/* The first group of one window that is worth merging, from the sorted blocks. `group` has room
 * for all. */
static size_t find_group(const ManifestSnapshot *snapshot, const PlanOptions *options,
                         const ManifestEntry **blocks, size_t count, int64_t window_ms,
                         const ManifestEntry **group) {
    for (size_t first = 0; first < count;) {
        int64_t window = window_of(blocks[first]->parts[0].min_ms, window_ms);
        uint64_t bytes = 0, class = 0;
        size_t used = 0, i = first, most = MAX(sources_max(options), 2);
        bool settled = window < window_of(options->now_ms - WINDOW_SETTLES_MS, window_ms);

        for (; i < count && same_owner(blocks[first], blocks[i]) &&
               window_of(blocks[i]->parts[0].min_ms, window_ms) == window;
             i++) {
            /* What reaches into the next window is left to a wider one, but for the widest. */
            if (window_of(blocks[i]->parts[0].max_ms, window_ms) != window &&
                window_ms != windows_ms[ARRAY_LEN(windows_ms) - 1])
                continue;
            if (bytes + blocks[i]->size > options->block_bytes_max) continue;
            if (used == most) continue;
            uint64_t own = cut_class(snapshot, options, blocks[i], &blocks[i]->parts[0]);

            if (used > 0 && own != class) continue;
            class = own;
            bytes += blocks[i]->size;
            group[used++] = blocks[i];
        }
        if (used >= MIN((size_t)PLAN_MERGE_AT, most) || (used >= 2 && settled)) return used;
        first = i;
    }
    return 0;
}

/* A block that is in good part past its retention is written anew without that part. */
static bool needs_trim(const PlanOptions *options, const ManifestEntry *entry) {
    const BlockPart *part = &entry->parts[0];
    int64_t keep_from = plan_keep_from(options, part->tenant, part->signal);

    if (keep_from <= part->min_ms) return false;
    /* Unsigned: times may lie further apart than a signed number can say. */
    return (uint64_t)keep_from - (uint64_t)part->min_ms >
           ((uint64_t)part->max_ms - (uint64_t)part->min_ms) / 10;
}

static ErrCode plan_merge(const ManifestSnapshot *snapshot, const PlanOptions *options,
                          Arena *arena, Plan *out, Error *err) {
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);
    const ManifestEntry **blocks = ARENA_ARRAY(arena, const ManifestEntry *, count);
    const ManifestEntry **group = ARENA_ARRAY(arena, const ManifestEntry *, count);
    MergeJob *job = ARENA_NEW(arena, MergeJob);
    size_t used = 0;

    if (blocks == NULL || group == NULL || job == NULL) return out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        if (entries[i].level > 0 && entries[i].part_count == 1 && !is_avoided(options, &entries[i]))
            blocks[used++] = &entries[i];
    for (size_t i = 0; i < used; i++)
        if (needs_trim(options, blocks[i])) {
            group[0] = blocks[i];
            merge_group(snapshot, options, group, 1, job, out);
            return ERR_OK;
        }
    if (used > 1) qsort(blocks, used, sizeof *blocks, compare_blocks);
    for (size_t w = 0; w < ARRAY_LEN(windows_ms); w++) {
        size_t found = find_group(snapshot, options, blocks, used, windows_ms[w], group);

        if (found == 0) continue;
        merge_group(snapshot, options, group, found, job, out);
        return ERR_OK;
    }
    return ERR_OK;
}

ErrCode plan_next(const ManifestSnapshot *snapshot, const PlanOptions *options, Arena *arena,
                  Plan *out, Error *err) {
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    *out = (Plan){.kind = PLAN_NOTHING};
    if (count == 0) return ERR_OK;
    TRY(plan_drop(entries, count, options, arena, out, err));
    if (out->kind != PLAN_NOTHING) return ERR_OK;
    *out = (Plan){.kind = PLAN_NOTHING};
    TRY(plan_split(snapshot, options, arena, out, err));
    if (out->kind != PLAN_NOTHING) return ERR_OK;
    *out = (Plan){.kind = PLAN_NOTHING};
    return plan_merge(snapshot, options, arena, out, err);
}
