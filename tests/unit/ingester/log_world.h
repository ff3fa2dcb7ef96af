#pragma once
/*
 * log_world.h: logs in a World: what was written and what heads and store hold, byte for byte.
 *
 * Stream s of a tenant is {app="app_<s % 5>", i="<s>"}.
 */
#include "common/block/logs.h"
#include "tests/unit/ingester/world.h"

typedef struct Line {
    uint32_t stream;
    int64_t time_ns;
    Str line;
    Str metadata;
} Line;

typedef struct Lines {
    Arena *arena;
    Line *items;
    size_t count;
    size_t capacity;
} Lines;

static inline void lines_add(Lines *lines, uint32_t stream, const LogEntry *entry) {
    if (lines->arena == NULL) lines->arena = arena_new(0, NULL);
    if (lines->count == lines->capacity) {
        lines->capacity = MAX(lines->capacity * 2, (size_t)256);
        lines->items = realloc(lines->items, lines->capacity * sizeof *lines->items);
        assert_non_null(lines->items);
    }
    lines->items[lines->count++] =
        (Line){stream, entry->time_ns, str_dup(lines->arena, entry->line),
               str_dup(lines->arena, entry->metadata)};
}

static inline int line_compare(const void *a, const void *b) {
    const Line *x = a, *y = b;
    int order;

    if (x->stream != y->stream) return x->stream < y->stream ? -1 : 1;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    if ((order = str_compare(x->line, y->line)) != 0) return order;
    return str_compare(x->metadata, y->metadata);
}

static inline void lines_sort(Lines *lines) {
    if (lines->count > 1) qsort(lines->items, lines->count, sizeof *lines->items, line_compare);
}

static inline void lines_unique(Lines *lines) {
    size_t kept = 0;

    lines_sort(lines);
    for (size_t i = 0; i < lines->count; i++)
        if (kept == 0 || line_compare(&lines->items[kept - 1], &lines->items[i]) != 0)
            lines->items[kept++] = lines->items[i];
    lines->count = kept;
}

static inline void lines_done(Lines *lines) {
    free(lines->items);
    arena_free(lines->arena);
    *lines = (Lines){0};
}

/* ---------- writing ---------- */

static inline Str stream_labels(Arena *arena, uint32_t stream) {
    LabelPair pairs[2] = {{STR("app"), str_format(arena, "app_%u", stream % 5)},
                          {STR("i"), str_format(arena, "%u", stream)}};
    Buf buf;
    Str labels;

    buf_init(&buf, 0);
    labels_encode((LabelPairs){pairs, 2}, &buf);
    labels = str_dup(arena, buf_str(&buf));
    buf_done(&buf);
    return labels;
}

static inline AppendResult world_log_batch(World *world, const LogsBatch *batch) {
    Answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

    ingester_append_logs(world->ingester, batch, answer_take, &answer);
    pthread_mutex_lock(&answer.lock);
    while (!answer.done) pthread_cond_wait(&answer.wake, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.result;
}

static inline LogStream world_stream(World *world, Arena *arena, Str tenant, uint32_t stream) {
    Str labels = stream_labels(arena, stream);

    return (LogStream){
        .id = logs_stream_id(hash_str(tenant), labels, ingester_series_seed(world->ingester)),
        .labels = labels};
}

/* One batch of entries of one stream. */
static inline AppendResult world_log(World *world, Str tenant, uint32_t stream, LogEntry *entries,
                                     size_t count) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LogStream one = world_stream(world, arena, tenant, stream);
    LogsBatch batch = {.tenant = tenant,
                       .streams = &one,
                       .entries = entries,
                       .stream_count = 1,
                       .entry_count = count};

    one.entry_count = (uint32_t)count;
    return world_log_batch(world, &batch);
}

/* A line that is like no other, has all bytes in it sooner or later, and any length. */
static inline LogEntry make_entry(Arena *arena, uint32_t stream, uint32_t k, int64_t time_ns) {
    size_t more = (stream * 7 + k * 13) % 97 * (k % 50 == 0 ? 40 : 1);
    char *bytes = arena_alloc_bytes(arena, more + 1);
    Str head = str_format(arena, "level=info stream=%u k=%u took=%ums ", stream, k, k * 7 % 1000);
    LogEntry entry = {.time_ns = time_ns};
    Buf metadata;

    for (size_t i = 0; i < more; i++) bytes[i] = (char)(i * (k + 1) + stream);
    entry.line = str_format(arena, STR_FMT, STR_ARG(head));
    entry.line.ptr = memcpy(arena_alloc_bytes(arena, head.len + more + 1), head.ptr, head.len);
    memcpy((char *)(uintptr_t)entry.line.ptr + head.len, bytes, more);
    entry.line.len = head.len + more;
    if (k % 3 == 0) {
        LabelPair pair = {STR("trace_id"), str_format(arena, "%08x", stream * 1000 + k)};

        buf_init(&metadata, 0);
        labels_encode((LabelPairs){&pair, 1}, &metadata);
        entry.metadata = str_dup(arena, buf_str(&metadata));
        buf_done(&metadata);
    }
    return entry;
}

/* Streams [first, first + count), `per` lines each from `time_ns` on, a few of them out of order;
 * what is acknowledged is noted. */
static inline AppendResult world_push(World *world, Str tenant, uint32_t first, uint32_t count,
                                      uint32_t per, int64_t time_ns, Lines *acknowledged) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LogsBatch batch = {.tenant = tenant,
                       .streams = ARENA_ARRAY(arena, LogStream, count),
                       .entries = ARENA_ARRAY(arena, LogEntry, count * per),
                       .stream_count = count,
                       .entry_count = (size_t)count * per};
    AppendResult result;

    for (uint32_t s = 0; s < count; s++) {
        batch.streams[s] = world_stream(world, arena, tenant, first + s);
        batch.streams[s].entry_start = s * per;
        batch.streams[s].entry_count = per;
        for (uint32_t k = 0; k < per; k++)
            batch.entries[s * per + k] =
                make_entry(arena, first + s, k, time_ns + (k % 7 == 3 ? k - 3 : k) * 1000);
    }
    result = world_log_batch(world, &batch);
    for (uint32_t i = 0; acknowledged != NULL && result.code == ERR_OK && i < count * per; i++)
        lines_add(acknowledged, first + i / per, &batch.entries[i]);
    return result;
}

/* ---------- reading ---------- */

static inline void take_selection(const LogsSelection *selection, LogDecoder *decoder,
                                  Lines *lines) {
    Error err = {0};

    for (size_t i = 0; i < selection->stream_count; i++) {
        const SelectedStream *stream = &selection->streams[i];
        LabelPair pairs[16];
        uint32_t number;

        assert_true(stream->pair_count <= 16);
        for (uint32_t k = 0; k < stream->pair_count; k++)
            pairs[k] = selection->pairs[stream->pairs[k]];
        number = series_of((LabelPairs){pairs, stream->pair_count});
        for (uint32_t p = 0; p < stream->page_count; p++) {
            LogView view;

            assert_ok(log_page_read(decoder, selection, &stream->pages[p], NULL,
                                    LOG_TIMES | LOG_LINES | LOG_METADATA, INT64_MIN, INT64_MAX,
                                    &view, &err),
                      &err);
            assert_int_equal(view.count, stream->pages[p].count);
            for (size_t k = 0; k < view.count; k++) {
                LogEntry entry = {view.times_ns[k], view.lines[k],
                                  view.metadata != NULL ? view.metadata[k] : (Str){0}};

                assert_true(k == 0 || view.times_ns[k - 1] <= view.times_ns[k]);
                assert_true(entry.time_ns >= stream->pages[p].min_ns &&
                            entry.time_ns <= stream->pages[p].max_ns);
                lines_add(lines, number, &entry);
            }
        }
    }
}

static inline void world_log_heads(World *world, Str tenant, const Matcher *matchers, size_t count,
                                   Lines *lines) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(NULL);
    LogHeadReader reader = ingester_log_head_reader(world->ingester);
    LogSelect select = {.tenant = tenant,
                        .matchers = matchers,
                        .matcher_count = count,
                        .min_ns = INT64_MIN,
                        .max_ns = INT64_MAX};
    LogsSelection *selections;
    size_t n;
    Error err = {0};

    assert_ok(reader.select(reader.context, &select, arena, &selections, &n, &err), &err);
    for (size_t s = 0; s < n; s++) take_selection(&selections[s], decoder, lines);
}

static inline void read_log_object(World *world, const ManifestEntry *entry, Str tenant,
                                   Lines *lines) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(NULL);
    BlockCache *cache = block_cache_new(world->store, NULL);
    LogSelect select = {.tenant = tenant, .min_ns = INT64_MIN, .max_ns = INT64_MAX};
    BlockStats stats = {0};
    LogsSelection selection;
    const Block *block;
    Error err = {0};

    assert_ok(block_open(cache, entry->key, entry->size, arena, &stats, &block, &err), &err);
    assert_ok(block_logs_select(block, &select, arena, &stats, &selection, &err), &err);
    take_selection(&selection, decoder, lines);
    log_decoder_free(decoder);
    decoder = NULL;
    arena_free(arena);
    arena = NULL; /* what it pins goes before the cache */
    block_cache_free(cache);
}

static inline size_t world_log_store(World *world, Str tenant, Lines *lines) {
    const ManifestSnapshot *snapshot = manifest_snapshot(world->manifest);
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    for (size_t i = 0; i < count; i++) read_log_object(world, &entries[i], tenant, lines);
    manifest_snapshot_unref(snapshot);
    return count;
}

static inline void assert_same_lines(const Lines *found, Lines *expected) {
    lines_unique(expected);
    assert_int_equal(found->count, expected->count);
    for (size_t i = 0; i < found->count; i++)
        if (line_compare(&found->items[i], &expected->items[i]) != 0)
            fail_msg("line %zu differs: stream %u at %lld", i, expected->items[i].stream,
                     (long long)expected->items[i].time_ns);
}

/* Heads and store together hold exactly `expected`; doubles and what is being flushed may be there
 * more than once. */
static inline void assert_holds_lines(World *world, Str tenant, Lines *expected) {
    Lines found = {0};

    world_log_heads(world, tenant, NULL, 0, &found);
    world_log_store(world, tenant, &found);
    lines_unique(&found);
    assert_same_lines(&found, expected);
    lines_done(&found);
}

/* After a flush: the store holds exactly `expected`, each once, and the heads nothing. */
static inline void assert_stored_lines(World *world, Str tenant, Lines *expected) {
    Lines found = {0};

    world_log_heads(world, tenant, NULL, 0, &found);
    assert_int_equal(found.count, 0);
    world_log_store(world, tenant, &found);
    lines_sort(&found);
    assert_same_lines(&found, expected);
    lines_done(&found);
}

/* All of `acknowledged` is there, and nothing that was never attempted. */
static inline void assert_has_lines(World *world, Str tenant, const Lines *acknowledged,
                                    Lines *attempted) {
    Lines found = {0};

    world_log_heads(world, tenant, NULL, 0, &found);
    world_log_store(world, tenant, &found);
    lines_unique(&found);
    lines_unique(attempted);
    for (size_t i = 0; i < acknowledged->count; i++)
        if (found.count == 0 || bsearch(&acknowledged->items[i], found.items, found.count,
                                        sizeof(Line), line_compare) == NULL)
            fail_msg("a line of stream %u at %lld is lost", acknowledged->items[i].stream,
                     (long long)acknowledged->items[i].time_ns);
    for (size_t i = 0; i < found.count; i++)
        assert_non_null(bsearch(&found.items[i], attempted->items, attempted->count, sizeof(Line),
                                line_compare));
    lines_done(&found);
}
