/* Pages of logs that nothing overlaps and nothing is deleted of pass a merge as they are; whatever
 * the layout, the result holds what a model of it says. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/block/logs.h"
#include "compactor/merge/merge.h"

enum { OBJECTS_MAX = 6, STREAMS = 3, ENTRIES_MAX = 20000, LINE_MAX = 3000 };

#define MS INT64_C(1000000)

typedef struct Entry {
    unsigned stream;
    int64_t time_ns;
    Str line;
} Entry;

typedef struct World {
    Arena *arena;
    Store *store;
    BlockCache *cache;
    Budget budget;
    Manifest *manifest;
    ManualClock clock;
    Entry all[ENTRIES_MAX];
    size_t count;
    const ManifestEntry *sources[OBJECTS_MAX];
    size_t source_count;
    uint64_t random;
    LogCutLanguage language;
} World;

static uint64_t next_random(World *world) {
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    Error err;

    manual_clock_init(&world->clock, 1700000000000);
    world->arena = arena_new(0, NULL);
    world->store = store_new(store_driver_memory());
    budget_init(&world->budget, "cache", MIB(64), NULL);
    world->cache = block_cache_new(world->store, &world->budget);
    assert_ok(manifest_open(world->store, &world->clock.clock, &world->manifest, &err), &err);
    world->random = 88172645463325252u;
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

    manifest_free(world->manifest);
    block_cache_free(world->cache);
    store_free(world->store);
    arena_free(world->arena);
    free(world);
    return 0;
}

static int compare_entries(const void *a, const void *b) {
    const Entry *x = a, *y = b;

    if (x->stream != y->stream) return x->stream < y->stream ? -1 : 1;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    return str_compare(x->line, y->line);
}

static LabelPairs labels_of(World *world, unsigned stream) {
    LabelPair *pair = ARENA_NEW(world->arena, LabelPair);

    *pair = (LabelPair){STR("app"), str_format(world->arena, "app-%u", stream)};
    return (LabelPairs){pair, 1};
}

/* A line with an id of its own. */
static Str make_line(World *world, size_t bytes) {
    char *text = arena_alloc_bytes(world->arena, bytes + 64);
    int len = snprintf(text, 64, "%s %08x-%04x-4%03x-8%03x-%012llx ",
                       next_random(world) % 2 == 0 ? "keep" : "drop", (unsigned)next_random(world),
                       (unsigned)next_random(world) & 0xffff, (unsigned)next_random(world) & 0xfff,
                       (unsigned)next_random(world) & 0xfff,
                       (unsigned long long)next_random(world) & 0xffffffffffffu);

    for (size_t i = (size_t)len; i < bytes; i++) text[i] = (char)('a' + next_random(world) % 26);
    return (Str){text, MAX(bytes, (size_t)len)};
}

/* An object with these entries, each stream's in one call, as a flush writes them. */
static void add_object(World *world, Entry *entries, size_t count, uint64_t cleared) {
    ManifestEntry *entry = ARENA_NEW(world->arena, ManifestEntry);
    BlockSummary summary;
    BlockWriter *writer;
    Buf body;
    Error err;

    qsort(entries, count, sizeof *entries, compare_entries);
    buf_init(&body, 0);
    writer = block_writer_new(world->arena, block_sink_buf(&body), 1);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    for (size_t start = 0, end; start < count; start = end) {
        int64_t *times = ARENA_ARRAY(world->arena, int64_t, count);
        Str *lines = ARENA_ARRAY(world->arena, Str, count);
        size_t used = 0;

        for (end = start; end < count && entries[end].stream == entries[start].stream; end++) {
            if (end > start && compare_entries(&entries[end - 1], &entries[end]) == 0) continue;
            times[used] = entries[end].time_ns;
            lines[used++] = entries[end].line;
        }
        assert_ok(block_logs_stream(writer, labels_of(world, entries[start].stream), &err), &err);
        assert_ok(block_logs_rows(writer, &(LogRows){times, lines, NULL, used}, &err), &err);
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    *entry = (ManifestEntry){.key = str_format(world->arena, "object-%zu", world->source_count),
                             .size = summary.bytes,
                             .level = 1,
                             .created_ms = (int64_t)world->source_count,
                             .parts = summary.parts,
                             .part_count = summary.part_count,
                             .cleared = cleared};
    assert_ok(store_put(world->store, entry->key, buf_str(&body), NULL, &err), &err);
    world->sources[world->source_count++] = entry;
    buf_done(&body);
}

/* Entries of object `o` between from_ms and to_ms; sizes differ from stream to stream, so that some
 * have several pages and some a piece of a shared one. */
static void add_random(World *world, size_t entries, int64_t from_ms, int64_t to_ms,
                       uint64_t cleared) {
    Entry *own = &world->all[world->count];

    assert_true(world->count + entries <= ENTRIES_MAX);
    for (size_t i = 0; i < entries; i++) {
        unsigned stream = (unsigned)(next_random(world) % STREAMS);
        size_t most = stream == 0 ? LINE_MAX : stream == 1 ? LINE_MAX / 2 : 100;

        own[i] = (Entry){
            stream, (from_ms + (int64_t)(next_random(world) % (uint64_t)(to_ms - from_ms))) * MS,
            make_line(world, next_random(world) % most)};
        /* Doubles of what this object or another one has. */
        if (i % 16 == 15) {
            Entry other = world->all[next_random(world) % (world->count + i)];

            if (other.time_ns >= from_ms * MS && other.time_ns < to_ms * MS) own[i] = other;
        }
    }
    world->count += entries;
    add_object(world, own, entries, cleared);
}

static void merge(World *world, int64_t keep_from_ms, ManifestEntry *out, bool *empty) {
    const ManifestSnapshot *snapshot = manifest_snapshot(world->manifest);
    MergeIo io = {.from = world->store,
                  .cache = world->cache,
                  .to = world->store,
                  .language = &world->language,
                  .snapshot = snapshot};
    MergeJob job = {.tenant = STR("t"),
                    .signal = SIGNAL_LOGS,
                    .sources = world->sources,
                    .source_count = world->source_count,
                    .level = 1,
                    .keep_from_ms = keep_from_ms,
                    .applied = UINT64_MAX};
    const ManifestEntry *failed;
    Error err;

    assert_ok(merge_run(&io, &job, STR("merged"), world->arena, out, empty, &failed, &err), &err);
    manifest_snapshot_unref(snapshot);
}

/* The merged block against the model, entry by entry. `gone` says which of them the model hasn't.
 */
static void assert_holds(World *world, const ManifestEntry *merged,
                         bool (*gone)(const World *world, const Entry *entry)) {
    LogCursor *cursor;
    LabelPairs labels;
    size_t at = 0, items = 0;
    bool more;
    Error err;

    qsort(world->all, world->count, sizeof *world->all, compare_entries);
    assert_ok(log_cursor_open(world->store, STR("merged"), merged->size, STR("t"), LOG_WINDOW_BYTES,
                              world->arena, &cursor, &err),
              &err);
    for (;;) {
        LogRows rows;
        unsigned stream;
        Entry got[2000];
        size_t used = 0;

        assert_ok(log_cursor_stream(cursor, &labels, &more, &err), &err);
        if (!more) break;
        stream = (unsigned)(labels.pairs[0].value.ptr[4] - '0');
        for (;;) {
            assert_ok(log_cursor_rows(cursor, &rows, &more, &err), &err);
            for (size_t i = 0; i <= rows.count; i++) {
                /* Entries of one moment come in any order. */
                if (!more || i == rows.count) break;
                Entry entry = {stream, rows.times_ns[i], str_dup(world->arena, rows.lines[i])};

                if (used > 0 && got[used - 1].time_ns != entry.time_ns) {
                    qsort(got, used, sizeof *got, compare_entries);
                    for (size_t k = 0; k < used; k++, items++) {
                        while (
                            gone(world, &world->all[at]) ||
                            (at > 0 && compare_entries(&world->all[at - 1], &world->all[at]) == 0))
                            at++;
                        assert_int_equal(compare_entries(&world->all[at], &got[k]), 0);
                        at++;
                    }
                    used = 0;
                }
                got[used++] = entry;
            }
            if (!more) break;
        }
        qsort(got, used, sizeof *got, compare_entries);
        for (size_t k = 0; k < used; k++, items++) {
            while (gone(world, &world->all[at]) ||
                   (at > 0 && compare_entries(&world->all[at - 1], &world->all[at]) == 0))
                at++;
            assert_int_equal(compare_entries(&world->all[at], &got[k]), 0);
            at++;
        }
    }
    for (; at < world->count; at++)
        assert_true(gone(world, &world->all[at]) ||
                    (at > 0 && compare_entries(&world->all[at - 1], &world->all[at]) == 0));
    assert_int_equal(merged->parts[0].items, items);
    log_cursor_close(cursor);
}

static bool none_gone(const World *world, const Entry *entry) {
    (void)world, (void)entry;
    return false;
}

/* How many pages of the sources are in the merged block byte for byte, of how many. */
static size_t passed_pages(World *world, const ManifestEntry *merged, size_t *all) {
    size_t passed = 0;
    Str bytes;
    Error err;

    *all = 0;
    assert_ok(
        store_get(world->store, STR("merged"), 0, merged->size, world->arena, &bytes, NULL, &err),
        &err);
    for (size_t s = 0; s < world->source_count; s++) {
        LogCursor *cursor;
        LabelPairs labels;
        LogWholePage page;
        bool more, whole;

        assert_ok(log_cursor_open(world->store, world->sources[s]->key, world->sources[s]->size,
                                  STR("t"), LOG_WINDOW_BYTES, world->arena, &cursor, &err),
                  &err);
        for (;;) {
            assert_ok(log_cursor_stream(cursor, &labels, &more, &err), &err);
            if (!more) break;
            while (log_cursor_peek(cursor, &page, &whole)) {
                if (!whole || log_weight(page.count, page.raw_bytes) < LOG_WHOLE_WEIGHT_MIN) {
                    log_cursor_skip(cursor);
                    continue;
                }
                assert_ok(log_cursor_page(cursor, &page, &err), &err);
                ++*all;
                passed += memmem(bytes.ptr, bytes.len, page.bytes.ptr, page.bytes.len) != NULL;
            }
        }
        log_cursor_close(cursor);
    }
    return passed;
}

static void pages_that_nothing_overlaps_are_passed_on(void **state) {
    World *world = *state;
    ManifestEntry merged;
    size_t all, passed;
    bool empty;

    for (int64_t o = 0; o < 4; o++) add_random(world, 2000, o * 1000, o * 1000 + 1000, 0);
    merge(world, INT64_MIN, &merged, &empty);
    assert_holds(world, &merged, none_gone);
    passed = passed_pages(world, &merged, &all);
    assert_true(all >= 12);
    assert_int_equal(passed, all);
}

static void pages_that_overlap_are_merged_and_the_others_passed_on(void **state) {
    World *world = *state;
    ManifestEntry merged;
    size_t all, passed;
    bool empty;

    /* The second and the third are of the same time. */
    add_random(world, 2500, 0, 1000, 0);
    add_random(world, 2500, 1000, 2000, 0);
    add_random(world, 2500, 1000, 2000, 0);
    add_random(world, 2500, 2000, 3000, 0);
    merge(world, INT64_MIN, &merged, &empty);
    assert_holds(world, &merged, none_gone);
    passed = passed_pages(world, &merged, &all);
    assert_true(passed > 0 && passed < all);
}

static void any_layout_gives_every_entry_once(void **state) {
    World *world = *state;

    for (unsigned round = 0; round < 12; round++) {
        ManifestEntry merged;
        bool empty;

        world->count = world->source_count = 0;
        for (unsigned o = 0; o < OBJECTS_MAX; o++) {
            int64_t from = (int64_t)(next_random(world) % 3000);

            add_random(world, 1 + next_random(world) % 2500, from,
                       from + 1 + (int64_t)(next_random(world) % 1500), 0);
        }
        merge(world, INT64_MIN, &merged, &empty);
        assert_holds(world, &merged, none_gone);
    }
}

/* ---------- retention ---------- */

static bool before_1500(const World *world, const Entry *entry) {
    (void)world;
    return entry->time_ns < 1500 * MS;
}

static void pages_that_are_past_their_retention_in_part_are_cut(void **state) {
    World *world = *state;
    ManifestEntry merged;
    size_t all, passed;
    bool empty;

    for (int64_t o = 0; o < 4; o++) add_random(world, 2000, o * 1000, o * 1000 + 1000, 0);
    merge(world, 1500, &merged, &empty);
    assert_holds(world, &merged, before_1500);
    passed = passed_pages(world, &merged, &all);
    assert_true(passed > 0 && passed < all);
}

/* ---------- delete requests: "<stream>" or "<stream> drop" ---------- */

struct LogCutQuery {
    Matcher matcher;
    bool drop_only;
};

static ErrCode fake_compile(Str query, Arena *arena, LogCutQuery **out, Error *err) {
    LogCutQuery *made = ARENA_NEW(arena, LogCutQuery);
    Str stream, rest;

    made->drop_only = str_cut(query, ' ', &stream, &rest);
    *out = made;
    return matcher_new(arena, MATCH_EQUAL, STR("app"), stream, &made->matcher, err);
}

static const Matcher *fake_matchers(const LogCutQuery *query, size_t *count) {
    *count = 1;
    return &query->matcher;
}

static bool fake_filters(const LogCutQuery *query) {
    return query->drop_only;
}

static ErrCode fake_worker_new(const LogCutQuery *query, Budget *budget, LogCutWorker **out,
                               Error *err) {
    (void)query, (void)budget, (void)err;
    *out = NULL;
    return ERR_OK;
}

static void fake_worker_free(LogCutWorker *worker) {
    (void)worker;
}

static ErrCode fake_stream(LogCutWorker *worker, LabelPairs labels, Error *err) {
    (void)worker, (void)labels, (void)err;
    return ERR_OK;
}

static bool fake_matches(LogCutWorker *worker, int64_t time_ns, Str line, LabelPairs metadata) {
    (void)worker, (void)time_ns, (void)metadata;
    return str_starts_with(line, STR("drop"));
}

static ErrCode fake_error(const LogCutWorker *worker, Error *err) {
    (void)worker, (void)err;
    return ERR_OK;
}

static void add_request(World *world, const char *id, const char *query, int64_t start_ms,
                        int64_t end_ms) {
    ManifestDelete request = {.tenant = STR("t"),
                              .id = str_of(id),
                              .query = str_of(query),
                              .start_ms = start_ms,
                              .end_ms = end_ms};
    Error err;

    world->language = (LogCutLanguage){
        .compile = fake_compile,
        .matchers = fake_matchers,
        .filters = fake_filters,
        .worker_new = fake_worker_new,
        .worker_free = fake_worker_free,
        .worker_stream = fake_stream,
        .worker_matches = fake_matches,
        .worker_error = fake_error,
    };
    assert_ok(
        manifest_change_deletes(world->manifest, &(ManifestDeletesChange){.add = &request}, &err),
        &err);
}

static bool deleted(const World *world, const Entry *entry) {
    (void)world;
    if (entry->stream == 0) return entry->time_ns >= 500 * MS && entry->time_ns <= 2200 * MS;
    return entry->stream == 1 && entry->time_ns >= 1000 * MS && entry->time_ns <= 3500 * MS &&
           str_starts_with(entry->line, STR("drop"));
}

static void what_requests_are_about_goes_and_pages_beside_it_are_passed_on(void **state) {
    World *world = *state;
    ManifestEntry merged;
    size_t all, passed;
    bool empty;

    add_request(world, "a", "app-0", 500, 2200);
    add_request(world, "b", "app-1 drop", 1000, 3500);
    add_request(world, "c", "app-7", 0, 10000);
    for (int64_t o = 0; o < 5; o++) add_random(world, 2000, o * 1000, o * 1000 + 1000, 0);
    merge(world, INT64_MIN, &merged, &empty);
    assert_holds(world, &merged, deleted);
    assert_int_equal(merged.cleared, 3);
    passed = passed_pages(world, &merged, &all);
    assert_true(passed > 0 && passed < all);
}

static bool deleted_from_old(const World *world, const Entry *entry) {
    /* The first object alone is old enough. */
    (void)world;
    return entry->stream == 0 && entry->time_ns < 1000 * MS;
}

static void what_came_in_after_a_request_is_none_of_its_business(void **state) {
    World *world = *state;
    ManifestEntry merged;
    bool empty;

    add_request(world, "a", "app-0", 0, 10000);
    add_random(world, 1000, 0, 1000, 0);
    add_random(world, 1000, 1000, 2000, 1);
    add_random(world, 1000, 2000, 3000, 7);
    merge(world, INT64_MIN, &merged, &empty);
    assert_holds(world, &merged, deleted_from_old);
    assert_int_equal(merged.cleared, 1);
}

/* ---------- filters ---------- */

/* Of ids that are there each is found, wherever its page came from; of others hardly any. */
static void ids_are_found_in_pages_that_were_passed_on(void **state) {
    World *world = *state;
    CLEANUP(arena_free) Arena *open = arena_new(0, NULL);
    const Block *block;
    ManifestEntry merged;
    size_t found = 0, wrong = 0, read = 0;
    BlockStats stats = {0};
    bool empty;
    Error err;

    for (int64_t o = 0; o < 3; o++) add_random(world, 2000, o * 1000, o * 1000 + 1000, 0);
    merge(world, INT64_MIN, &merged, &empty);
    assert_ok(block_open(world->cache, STR("merged"), merged.size, open, &stats, &block, &err),
              &err);
    for (size_t i = 0; i < 200; i++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        bool real = i % 2 == 0;
        Str line = real ? world->all[i * 29].line : make_line(world, 60);
        Str id = str_slice(line, 5, 36);
        LogNeedle needle = {.any = &id, .count = 1};
        LogFilter filter = {.needles = &needle, .needle_count = 1};
        LogSelect select = {
            .tenant = STR("t"), .min_ns = INT64_MIN, .max_ns = INT64_MAX, .filter = &filter};
        LogsSelection selection;

        assert_ok(block_logs_select(block, &select, arena, &stats, &selection, &err), &err);
        if (real)
            found += selection.stream_count > 0;
        else
            wrong += selection.stream_count > 0;
        /* That no escape hides one was passed on as well. */
        LogValue value = {.any = &id, .count = 1, .escapes = true};
        LogFilter of_values = {.values = &value, .value_count = 1};

        select.filter = &of_values;
        assert_ok(block_logs_select(block, &select, arena, &stats, &selection, &err), &err);
        for (size_t s = 0; s < selection.stream_count; s++)
            for (uint32_t p = 0; p < selection.streams[s].page_count; p++)
                read += !selection.streams[s].pages[p].lacks;
    }
    assert_int_equal(found, 100);
    assert_true(wrong < 30);
    assert_in_range(read, 100, 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_that_nothing_overlaps_are_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_that_overlap_are_merged_and_the_others_passed_on,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(any_layout_gives_every_entry_once, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_that_are_past_their_retention_in_part_are_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            what_requests_are_about_goes_and_pages_beside_it_are_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_came_in_after_a_request_is_none_of_its_business, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(ids_are_found_in_pages_that_were_passed_on, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
