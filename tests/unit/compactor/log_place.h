#pragma once
/*
 * log_place.h: segments of logs in a Place, and what all its objects hold of them. Streams are "0"
 * to "3" by their label `s`.
 */
#include "common/block/logs.h"
#include "tests/unit/compactor/compactor_helper.h"

/* Commits what a writer has finished into `body`, which it frees; `entry` says what the summary
 * doesn't. */
static inline void place_put_segment(Place *place, Buf *body, const BlockSummary *summary,
                                     int64_t time_ms, ManifestEntry entry) {
    char key[96];
    Error err = {0};

    snprintf(key, sizeof key, "segments/%013lld-0000000000000001-000-%010llu.seg",
             (long long)time_ms, (unsigned long long)place->next_segment++);
    entry.key = str_of(key);
    entry.size = summary->bytes;
    entry.checksum = summary->checksum;
    entry.parts = summary->parts;
    entry.part_count = summary->part_count;
    assert_ok(store_put(place->store, entry.key, buf_str(body), NULL, &err), &err);
    assert_ok(manifest_commit(place->manifest, &(ManifestChange){.add = &entry, .add_count = 1},
                              NULL, &err),
              &err);
    buf_done(body);
}

static inline size_t place_count_rows(LogCursor *cursor, int stream) {
    size_t lines = 0;
    LabelPairs labels;
    LogRows rows;
    bool more;
    Error err = {0};

    for (;;) {
        assert_ok(log_cursor_stream(cursor, &labels, &more, &err), &err);
        if (!more) return lines;
        for (;;) {
            assert_ok(log_cursor_rows(cursor, &rows, &more, &err), &err);
            if (!more) break;
            if (labels.pairs[0].value.ptr[0] - '0' == stream) lines += rows.count;
        }
    }
}

/* How many lines of the tenant's stream all listed objects hold. */
static inline size_t place_count_lines(Place *place, Str tenant, int stream) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    const ManifestSnapshot *snapshot = manifest_snapshot(place->manifest);
    size_t count, lines = 0;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);
    Error err = {0};

    for (size_t i = 0; i < count; i++) {
        LogCursor *cursor;

        assert_ok(log_cursor_open(place->store, entries[i].key, entries[i].size, tenant,
                                  LOG_WINDOW_BYTES, arena, &cursor, &err),
                  &err);
        lines += place_count_rows(cursor, stream);
        log_cursor_close(cursor);
    }
    manifest_snapshot_unref(snapshot);
    return lines;
}

/* Of tenant t's four streams. */
static inline void assert_lines(Place *place, size_t a, size_t b, size_t c, size_t d) {
    assert_int_equal(place_count_lines(place, STR("t"), 0), a);
    assert_int_equal(place_count_lines(place, STR("t"), 1), b);
    assert_int_equal(place_count_lines(place, STR("t"), 2), c);
    assert_int_equal(place_count_lines(place, STR("t"), 3), d);
}
