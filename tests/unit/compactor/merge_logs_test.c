/* Logs of several objects become one block: every entry once, in order, none past its retention. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/block/logs.h"
#include "compactor/merge/merge.h"

enum { STREAMS = 3, OBJECTS = 5, ENTRIES = 400 };

typedef struct Entry {
    unsigned stream;
    int64_t time_ns;
    Str line;
    Str metadata;
} Entry;

typedef struct World {
    Arena *arena;
    Store *store;
    BlockCache *cache;
    Budget budget;
    Entry all[OBJECTS * ENTRIES];
    size_t count;
    const ManifestEntry *sources[OBJECTS];
    uint64_t random;
} World;

static uint64_t next_random(World *world) {
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);

    world->arena = arena_new(0, NULL);
    world->store = store_new(store_driver_memory());
    budget_init(&world->budget, "cache", MIB(64), NULL);
    world->cache = block_cache_new(world->store, &world->budget);
    world->random = 88172645463325252u;
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

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

/* An object with these entries, those of each stream sorted by time. */
static void add_object(World *world, size_t index, Entry *entries, size_t count) {
    ManifestEntry *entry = ARENA_NEW(world->arena, ManifestEntry);
    BlockSummary summary;
    BlockWriter *writer;
    Buf body;
    Error err;

    qsort(entries, count, sizeof *entries, compare_entries);
    buf_init(&body, 0);
    writer = block_writer_new(world->arena, block_sink_buf(&body), 1);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    for (size_t i = 0; i < count; i++) {
        LogRows row = {&entries[i].time_ns, &entries[i].line, &entries[i].metadata, 1};

        if (i == 0 || entries[i - 1].stream != entries[i].stream)
            assert_ok(block_logs_stream(writer, labels_of(world, entries[i].stream), &err), &err);
        else if (compare_entries(&entries[i - 1], &entries[i]) == 0)
            continue; /* a flush writes doubles once */
        assert_ok(block_logs_rows(writer, &row, &err), &err);
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    *entry = (ManifestEntry){.key = str_format(world->arena, "object-%zu", index),
                             .size = summary.bytes,
                             .created_ms = (int64_t)index,
                             .parts = summary.parts,
                             .part_count = summary.part_count};
    assert_ok(store_put(world->store, entry->key, buf_str(&body), NULL, &err), &err);
    world->sources[index] = entry;
    buf_done(&body);
}

/* Times that overlap from object to object, many at one moment, many doubles. */
static void add_random_objects(World *world) {
    static const char metadata[] = "\x0a\x06\x0a\x01k\x12\x01v";

    for (size_t o = 0; o < OBJECTS; o++) {
        Entry *entries = &world->all[world->count];

        for (size_t i = 0; i < ENTRIES; i++)
            entries[i] = (Entry){
                .stream = (unsigned)(next_random(world) % STREAMS),
                .time_ns = (int64_t)(next_random(world) % 300) * 1000000 + (int64_t)o * 60000000,
                .line = str_format(world->arena, "line %u", (unsigned)(next_random(world) % 4)),
                .metadata = (Str){metadata, next_random(world) % 2 * (sizeof metadata - 1)},
            };
        world->count += ENTRIES;
        add_object(world, o, entries, ENTRIES);
    }
}

static ErrCode merge(World *world, int64_t keep_from_ms, ManifestEntry *out, bool *empty,
                     Arena *arena, Error *err) {
    MergeIo io = {.from = world->store, .cache = world->cache, .to = world->store};
    MergeJob job = {.tenant = STR("t"),
                    .signal = SIGNAL_LOGS,
                    .sources = world->sources,
                    .source_count = OBJECTS,
                    .level = 1,
                    .keep_from_ms = keep_from_ms};
    const ManifestEntry *failed;

    return merge_run(&io, &job, STR("merged"), arena, out, empty, &failed, err);
}

/* Reads the block and holds it against what was put in. */
static void assert_holds(World *world, const ManifestEntry *merged, int64_t keep_from_ms) {
    LogCursor *cursor;
    LabelPairs labels;
    size_t at = 0, items = 0;
    bool more;
    Error err;

    qsort(world->all, world->count, sizeof *world->all, compare_entries);
    assert_ok(log_cursor_open(world->store, STR("merged"), merged->size, STR("t"), LOG_WINDOW_BYTES,
                              world->arena, &cursor, &err),
              &err);
    for (unsigned stream = 0; stream < STREAMS; stream++) {
        int64_t last = INT64_MIN;
        size_t same = 0; /* entries of the moment that was read last */
        LogRows rows;

        assert_ok(log_cursor_stream(cursor, &labels, &more, &err), &err);
        assert_true(more &&
                    str_equal(labels.pairs[0].value, labels_of(world, stream).pairs[0].value));
        for (;;) {
            assert_ok(log_cursor_rows(cursor, &rows, &more, &err), &err);
            if (!more) break;
            for (size_t i = 0; i < rows.count; i++, items++) {
                bool found = false;

                assert_true(rows.times_ns[i] >= last);
                assert_true(rows.times_ns[i] >= keep_from_ms * 1000000);
                same = rows.times_ns[i] == last ? same + 1 : 1;
                assert_true(same <= 4); /* as many as there are different lines */
                last = rows.times_ns[i];
                for (size_t k = 0; k < world->count && !found; k++)
                    found = world->all[k].stream == stream && world->all[k].time_ns == last &&
                            str_equal(world->all[k].line, rows.lines[i]);
                assert_true(found);
            }
        }
    }
    log_cursor_close(cursor);
    for (size_t i = 0; i < world->count; i++)
        at += world->all[i].time_ns >= keep_from_ms * 1000000 &&
              (i == 0 || compare_entries(&world->all[i - 1], &world->all[i]) != 0);
    assert_int_equal(items, at);
    assert_int_equal(merged->parts[0].items, at);
}

static void every_entry_is_there_once(void **state) {
    World *world = *state;
    ManifestEntry merged;
    bool empty;
    Error err;

    add_random_objects(world);
    assert_ok(merge(world, INT64_MIN, &merged, &empty, world->arena, &err), &err);
    assert_false(empty);
    assert_holds(world, &merged, -1000);
}

static void what_is_past_its_retention_goes(void **state) {
    World *world = *state;
    ManifestEntry merged;
    bool empty;
    Error err;

    add_random_objects(world);
    assert_ok(merge(world, 250, &merged, &empty, world->arena, &err), &err);
    assert_holds(world, &merged, 250);
    assert_ok(merge(world, 100000, &merged, &empty, world->arena, &err), &err);
    assert_true(empty);
}

static void a_source_that_is_cut_is_an_error(void **state) {
    World *world = *state;
    ManifestEntry merged;
    bool empty;
    Error err;
    Str bytes;

    add_random_objects(world);
    assert_ok(store_get(world->store, world->sources[2]->key, 0, world->sources[2]->size,
                        world->arena, &bytes, NULL, &err),
              &err);
    char *broken = arena_alloc_bytes(world->arena, bytes.len);
    memcpy(broken, bytes.ptr, bytes.len);
    broken[bytes.len / 3] ^= 0x40;
    assert_ok(store_put(world->store, world->sources[2]->key, (Str){broken, bytes.len}, NULL, &err),
              &err);
    assert_int_equal(merge(world, INT64_MIN, &merged, &empty, world->arena, &err), ERR_CORRUPT);
}

static void little_memory_is_said_as_such(void **state) {
    World *world = *state;

    add_random_objects(world);
    for (size_t bytes = KIB(1); bytes < MIB(16); bytes = bytes * 3 / 2) {
        CLEANUP(arena_free) Arena *small = arena_new(bytes, NULL);
        ManifestEntry merged;
        bool empty;
        Error err;
        ErrCode code = merge(world, INT64_MIN, &merged, &empty, small, &err);

        assert_true(code == ERR_OK || code == ERR_LIMIT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_entry_is_there_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_past_its_retention_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_that_is_cut_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(little_memory_is_said_as_such, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
