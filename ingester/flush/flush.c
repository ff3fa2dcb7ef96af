/*
 * flush.c: encode, put if absent, commit.
 *
 * The same epoch always gives the same bytes under the same key. So "it exists" after a crash or a
 * lost answer means "it is done", once size and footer agree. Should they not (a log that was
 * replayed with damage, or in other parts than before), the data gets a key of its own: samples may
 * then be in two objects, which readers and the compactor merge, but none is lost.
 */
#include "ingester/flush/flush.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/telemetry.h"

enum { TWINS_MAX = 8 };

/* The manifest remembers numbers by "<ingester>-<lane>": parts and twins are lanes of their own. */
Str flush_key(Arena *arena, uint64_t ingester_id, const Generation *generation, unsigned twin) {
    char lane[48];

    snprintf(lane, sizeof lane, "%03" PRIu32, generation->lane);
    if (generation->part > 0)
        snprintf(lane + strlen(lane), sizeof lane - strlen(lane), "p%" PRIu32, generation->part);
    if (twin > 0) snprintf(lane + strlen(lane), sizeof lane - strlen(lane), "t%u", twin);
    return str_format(arena, "segments/%013" PRId64 "-%016" PRIx64 "-%s-%010" PRIu64 ".seg",
                      generation->created_ms, ingester_id, lane, generation->epoch);
}

/* Is the object under `key` byte for byte ours? The footer holds every section's checksum. */
static ErrCode same_object(const FlushTarget *target, Str key, Str body,
                           const BlockSummary *summary, bool *ret_same, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, target->background);
    StoreObject object = {0};
    Str tail;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "flush: out of memory");
    TRY(store_get_tail(target->store, key, summary->footer_bytes, arena, &tail, &object, err));
    *ret_same = object.size == body.len && tail.len == summary->footer_bytes &&
                memcmp(tail.ptr, body.ptr + body.len - tail.len, tail.len) == 0;
    return ERR_OK;
}

/* Puts the body under the first of its names that is free or holds it already. */
static ErrCode put_object(const FlushTarget *target, const Generation *generation, Arena *arena,
                          Str body, const BlockSummary *summary, Str *ret_key, bool *ret_made,
                          Error *err) {
    /* A store that knows no conditions is given the object again: it has the same bytes. */
    StorePut how = {.if_absent = (store_features(target->store) & STORE_CONDITIONAL_PUT) != 0};

    for (unsigned twin = 0; twin < TWINS_MAX; twin++) {
        Str key = flush_key(arena, target->ingester_id, generation, twin);
        bool same = false;
        ErrCode code;

        if (key.ptr == NULL) return error_set(err, ERR_LIMIT, "flush: out of memory");
        *ret_key = key;
        code = store_put(target->store, key, body, &how, err);
        *ret_made = code == ERR_OK;
        if (code != ERR_EXISTS) return code;
        code = same_object(target, key, body, summary, &same, err);
        if (code != ERR_OK) return code;
        if (same) return ERR_OK;
        LOG_ERROR("a segment of this name exists with other content; using another name",
                  LOG_STR("key", key));
    }
    return error_set(err, ERR_UNAVAILABLE, "all names for this segment are taken");
}

/* When the manifest knew the key but no longer lists it, the segment was merged into other objects
 * and deleted: what we just put is a leftover. */
static void drop_leftover(const FlushTarget *target, Str key) {
    const ManifestSnapshot *snapshot = manifest_snapshot(target->manifest);
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);
    bool listed = false;
    Error err = {0};

    for (size_t i = 0; i < count && !listed; i++) listed = str_equal(entries[i].key, key);
    manifest_snapshot_unref(snapshot);
    if (listed) return;
    if (store_delete(target->store, key, &err) != ERR_OK)
        LOG_WARN("cannot delete a segment that was merged already", LOG_STR("key", key),
                 LOG_ERR(&err));
}

static ErrCode commit_object(const FlushTarget *target, const Generation *generation, Str key,
                             const BlockSummary *summary, bool made, Error *err) {
    ManifestEntry entry = {.key = key,
                           .size = summary->bytes,
                           .checksum = summary->checksum,
                           .level = 0,
                           .created_ms = generation->created_ms,
                           .parts = summary->parts,
                           .part_count = summary->part_count,
                           .cleared = generation->cleared};
    ManifestChange change = {.add = &entry, .add_count = 1};
    bool known = false;

    TRY(manifest_commit(target->manifest, &change, &known, err));
    if (known && made) drop_leftover(target, key);
    return ERR_OK;
}

static ErrCode flush_body(const FlushTarget *target, const Generation *generation, Arena *arena,
                          Buf *body, Error *err) {
    uint64_t started = clock_monotonic_ns(target->clock);
    BlockSummary summary;
    Str key;
    bool made = false;

    TRY(segment_write(target, generation, arena, block_sink_buf(body), &summary, err));
    if (buf_failed(body)) return error_set(err, ERR_LIMIT, "flush: out of memory");
    if (summary.part_count == 0) return ERR_OK; /* nothing but series without samples */
    TRY(put_object(target, generation, arena, buf_str(body), &summary, &key, &made, err));
    TRY(commit_object(target, generation, key, &summary, made, err));
    counter_add(telemetry_counter("moraine_flush_bytes_total", "", "Bytes of segments written."),
                body->len);
    LOG_INFO("head flushed", LOG_STR("key", key), LOG_U64("bytes", body->len),
             LOG_U64("samples", generation->metrics.samples),
             LOG_U64("series", generation->metrics.series_count),
             LOG_U64("log_entries", generation->logs.entries),
             LOG_U64("streams", generation->logs.stream_count),
             LOG_U64("ms", (clock_monotonic_ns(target->clock) - started) / 1000000));
    return ERR_OK;
}

ErrCode flush_generation(const FlushTarget *target, const Generation *generation, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, target->background);
    Buf body;
    ErrCode code;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "flush: out of memory");
    buf_init(&body, 0);
    code = flush_body(target, generation, arena, &body, err);
    buf_done(&body);
    return code == ERR_OK ? ERR_OK
                          : error_wrap(err, "flush of lane %u, epoch %" PRIu64, generation->lane,
                                       generation->epoch);
}
