/*
 * expired.c: the manifest knows how old a block is, not which streams are in it. Where a tenant's
 * rules could have something of a block expired its index is looked into, a tenth of the block's
 * time or an hour apart. Queries don't see what is expired meanwhile.
 */
#include "compactor/expired.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/block/logs.h"

#define NS_PER_MS INT64_C(1000000)

enum { LOOK_AGAIN_MS = 3600000, SLOTS_MIN = 1024, BLOCKS_MAX = 1 << 20 };

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "compactor: the budget for background work is used up");
}

/* ---------- what was looked at ---------- */

void expired_seen_done(ExpiredSeen *seen) {
    free(seen->slots);
    *seen = (ExpiredSeen){0};
}

static size_t slot_of(const ExpiredSeen *seen, uint64_t key) {
    size_t slot = key & (seen->capacity - 1);

    while (seen->slots[slot].key != 0 && seen->slots[slot].key != key)
        slot = (slot + 1) & (seen->capacity - 1);
    return slot;
}

static ErrCode seen_grow(ExpiredSeen *seen, Error *err) {
    ExpiredSeen grown = {.capacity = MAX(seen->capacity * 2, (size_t)SLOTS_MIN)};

    /* Blocks that are no more are forgotten with all others. */
    if (grown.capacity > BLOCKS_MAX) {
        expired_seen_done(seen);
        grown.capacity = SLOTS_MIN;
    }
    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (grown.slots == NULL) return out_of_memory(err);
    for (size_t i = 0; i < seen->capacity; i++)
        if (seen->slots[i].key != 0) {
            grown.slots[slot_of(&grown, seen->slots[i].key)].key = seen->slots[i].key;
            grown.slots[slot_of(&grown, seen->slots[i].key)].looked_ms = seen->slots[i].looked_ms;
            grown.count++;
        }
    free(seen->slots);
    *seen = grown;
    return ERR_OK;
}

/* Whether it is time to look; notes that it was done. */
static ErrCode is_due(const ExpiredLook *look, const ManifestEntry *entry, int64_t again_ms,
                      bool *out, Error *err) {
    ExpiredSeen *seen = look->seen;
    uint64_t key = hash_str(entry->key) | 1;
    size_t slot;

    if (seen->count * 2 >= seen->capacity) TRY(seen_grow(seen, err));
    slot = slot_of(seen, key);
    *out = seen->slots[slot].key == 0 ||
           look->options->now_ms - seen->slots[slot].looked_ms >= again_ms;
    if (!*out) return ERR_OK;
    seen->count += seen->slots[slot].key == 0;
    seen->slots[slot].key = key;
    seen->slots[slot].looked_ms = look->options->now_ms;
    return ERR_OK;
}

/* ---------- a block ---------- */

static int64_t to_ns(int64_t ms) {
    int64_t ns;

    if (__builtin_mul_overflow(ms, NS_PER_MS, &ns)) return ms < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static ErrCode stream_labels(const LogsSelection *selection, const SelectedStream *stream,
                             Arena *arena, LabelPairs *out, Error *err) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, stream->pair_count);

    if (pairs == NULL) return out_of_memory(err);
    for (uint32_t i = 0; i < stream->pair_count; i++) pairs[i] = selection->pairs[stream->pairs[i]];
    *out = (LabelPairs){pairs, stream->pair_count};
    return ERR_OK;
}

/* A good part of a stream is past its retention, or all of it. */
static bool is_worth_it(const BlockPart *part, const SelectedStream *stream, int64_t keep_from_ms) {
    int64_t first_ms;

    if (stream->page_count == 0) return false;
    first_ms = stream->pages[0].min_ns / NS_PER_MS;
    if (keep_from_ms <= first_ms) return false;
    return keep_from_ms > part->max_ms ||
           (uint64_t)keep_from_ms - (uint64_t)first_ms >
               ((uint64_t)part->max_ms - (uint64_t)part->min_ms) / 10;
}

static ErrCode look_into(const ExpiredLook *look, const ManifestEntry *entry,
                         const TenantLimits *limits, int64_t shortest_ms, bool *out, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    const BlockPart *part = &entry->parts[0];
    LogSelect select = {.tenant = part->tenant,
                        .min_ns = INT64_MIN,
                        .max_ns = to_ns(look->options->now_ms - shortest_ms),
                        .labels_only = true};
    LogsSelection selection;
    BlockStats stats = {0};
    const Block *block;

    *out = false;
    if (arena == NULL) return out_of_memory(err);
    TRY(block_open(look->cache, entry->key, entry->size, arena, &stats, &block, err));
    TRY(block_logs_select(block, &select, arena, &stats, &selection, err));
    for (size_t s = 0; s < selection.stream_count && !*out; s++) {
        LabelPairs labels;
        int64_t period_ms;

        TRY(stream_labels(&selection, &selection.streams[s], arena, &labels, err));
        period_ms = stream_retention_of(limits->log_streams, labels, limits->retention_logs_ms);
        *out = period_ms > 0 &&
               is_worth_it(part, &selection.streams[s], look->options->now_ms - period_ms);
    }
    return ERR_OK;
}

static bool is_avoided(const PlanOptions *options, const ManifestEntry *entry) {
    for (size_t i = 0; i < options->avoid_count; i++)
        if (str_equal(options->avoid[i], entry->key)) return true;
    return false;
}

/* What the manifest alone can tell. */
static bool may_be(const ExpiredLook *look, const ManifestEntry *entry, TenantLimits *limits,
                   int64_t *shortest_ms) {
    if (entry->level == 0 || entry->part_count != 1 || entry->parts[0].signal != SIGNAL_LOGS ||
        is_avoided(look->options, entry))
        return false;
    tenants_limits(look->options->tenants, entry->parts[0].tenant, limits);
    if (limits->log_streams == NULL) return false;
    *shortest_ms = stream_retention_shortest(limits->log_streams, limits->retention_logs_ms);
    return entry->parts[0].min_ms < look->options->now_ms - *shortest_ms;
}

static ErrCode plan_rewrite(const ExpiredLook *look, const ManifestEntry *entry, Arena *arena,
                            Plan *out, Error *err) {
    const ManifestEntry **sources = ARENA_ARRAY(arena, const ManifestEntry *, 1);
    MergeJob *job = ARENA_NEW(arena, MergeJob);

    if (sources == NULL || job == NULL) return out_of_memory(err);
    sources[0] = entry;
    *job = plan_job(look->snapshot, look->options, entry->parts[0].tenant, SIGNAL_LOGS);
    job->sources = sources;
    job->source_count = 1;
    job->level = entry->level;
    *out = (Plan){PLAN_MERGE, job, 1, sources, 1};
    return ERR_OK;
}

ErrCode expired_next(const ExpiredLook *look, Arena *arena, Plan *out,
                     const ManifestEntry **ret_failed, Error *err) {
    size_t count;
    const ManifestEntry *entries = manifest_entries(look->snapshot, &count);

    *out = (Plan){.kind = PLAN_NOTHING};
    *ret_failed = NULL;
    for (size_t i = 0; i < count; i++) {
        const BlockPart *part = &entries[i].parts[0];
        TenantLimits limits;
        int64_t shortest_ms;
        bool due, worth;

        if (!may_be(look, &entries[i], &limits, &shortest_ms)) continue;
        TRY(is_due(look, &entries[i],
                   MIN((part->max_ms - part->min_ms) / 10, (int64_t)LOOK_AGAIN_MS), &due, err));
        if (!due) continue;
        if (look_into(look, &entries[i], &limits, shortest_ms, &worth, err) != ERR_OK) {
            *ret_failed = &entries[i];
            return err->code;
        }
        if (worth) return plan_rewrite(look, &entries[i], arena, out, err);
    }
    return ERR_OK;
}
