/* Logs of heads and objects as one source: streams joined, every entry once, in either direction.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/block/log_stream.h"
#include "querier/fetch/fetch.h"

enum { STREAMS = 3, ENTRIES_MAX = 4000 };

typedef struct Entry {
    unsigned stream;
    int64_t time_ns;
    Str line;
} Entry;

/* What one head holds of a stream: its bytes, as heads keep them. */
typedef struct Head {
    LabelPair pairs[STREAMS];
    uint32_t pair[STREAMS];
    LogPage pages[STREAMS];
    SelectedStream streams[STREAMS];
    LogsSelection selection;
} Head;

typedef struct World {
    Arena *arena;
    Store *store;
    Manifest *manifest;
    BlockCache *cache;
    Budget budget;
    Head heads[4];
    size_t head_count, object_count;
    Entry all[ENTRIES_MAX];
    size_t count;
    uint64_t random;
    QueryContext query;
    BlockStats stats;
    StreamSource *source;
} World;

static uint64_t next_random(World *world) {
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

static ErrCode heads_select(void *context, const LogSelect *select, Arena *arena,
                            LogsSelection **out, size_t *count, Error *err) {
    World *world = context;

    (void)err;
    *out = ARENA_ARRAY(arena, LogsSelection, world->head_count);
    *count = str_equal(select->tenant, STR("t")) ? world->head_count : 0;
    for (size_t h = 0; h < *count; h++) (*out)[h] = world->heads[h].selection;
    return ERR_OK;
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    Error err;

    world->arena = arena_new(0, NULL);
    world->store = store_new(store_driver_memory());
    budget_init(&world->budget, "cache", MIB(64), NULL);
    world->cache = block_cache_new(world->store, &world->budget);
    assert_ok(manifest_open(world->store, clock_system(), &world->manifest, &err), &err);
    world->random = 88172645463325252u;
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

    arena_free(world->query.arena);
    block_cache_free(world->cache);
    manifest_free(world->manifest);
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

static Str stream_name(World *world, unsigned stream) {
    return str_format(world->arena, "app-%u", stream);
}

static void add_object(World *world, const Entry *entries, size_t count) {
    ManifestEntry entry = {.level = 1};
    BlockSummary summary;
    BlockWriter *writer;
    Entry *sorted = arena_alloc(world->arena, count * sizeof *sorted);
    Buf body;
    Error err;

    memcpy(sorted, entries, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_entries);
    buf_init(&body, 0);
    writer = block_writer_new(world->arena, block_sink_buf(&body), 1);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    for (size_t i = 0; i < count; i++) {
        LogRows row = {&sorted[i].time_ns, &sorted[i].line, NULL, 1};
        LabelPair pair = {STR("app"), stream_name(world, sorted[i].stream)};

        if (i == 0 || sorted[i - 1].stream != sorted[i].stream)
            assert_ok(block_logs_stream(writer, (LabelPairs){&pair, 1}, &err), &err);
        else if (compare_entries(&sorted[i - 1], &sorted[i]) == 0)
            continue;
        assert_ok(block_logs_rows(writer, &row, &err), &err);
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    entry.key = str_format(world->arena, "object-%zu", world->object_count++);
    entry.size = summary.bytes;
    entry.checksum = summary.checksum;
    entry.parts = summary.parts;
    entry.part_count = summary.part_count;
    assert_ok(store_put(world->store, entry.key, buf_str(&body), NULL, &err), &err);
    assert_ok(manifest_commit(world->manifest, &(ManifestChange){.add = &entry, .add_count = 1},
                              NULL, &err),
              &err);
    buf_done(&body);
}

/* In order of arrival, doubles included. */
static void add_head(World *world, const Entry *entries, size_t count) {
    Head *head = &world->heads[world->head_count++];

    for (unsigned s = 0; s < STREAMS; s++) {
        LogStreamState state = {0};
        uint8_t *bytes = arena_alloc(world->arena, count * 64 + 1);
        LogPage *page = &head->pages[s];
        size_t used = 0;

        *page = (LogPage){.min_ns = INT64_MAX, .max_ns = INT64_MIN, .kind = LOG_PAGE_HEAD};
        for (size_t i = 0; i < count; i++) {
            LogEntry entry = {entries[i].time_ns, entries[i].line, STR("")};

            if (entries[i].stream != s) continue;
            used += log_stream_append(&state, bytes + used, &entry);
            page->min_ns = MIN(page->min_ns, entry.time_ns);
            page->max_ns = MAX(page->max_ns, entry.time_ns);
            page->raw_bytes += (uint32_t)entry.line.len;
        }
        page->count = state.count;
        page->in_order = state.in_order;
        page->bytes = (Str){(const char *)bytes, used};
        head->pairs[s] = (LabelPair){STR("app"), stream_name(world, s)};
        head->pair[s] = s;
        head->streams[s] = (SelectedStream){&head->pair[s], page, 1, page->count > 0 ? 1 : 0};
    }
    head->selection = (LogsSelection){head->pairs, STREAMS, head->streams, STREAMS, NULL, 0};
}

static Entry *random_entries(World *world, size_t count, int64_t first) {
    Entry *entries = &world->all[world->count];

    assert_true(world->count + count <= ENTRIES_MAX);
    for (size_t i = 0; i < count; i++)
        entries[i] = (Entry){
            (unsigned)(next_random(world) % STREAMS), first + (int64_t)(next_random(world) % 200),
            str_format(world->arena, "line %u", (unsigned)(next_random(world) % 5))};
    world->count += count;
    return entries;
}

static void query_begin(World *world, int64_t keep_from_ms) {
    FetchOptions options = {.cache = world->cache,
                            .manifest = world->manifest,
                            .log_heads = {heads_select, NULL, world}};
    FetchTenant *tenant;

    arena_free(world->query.arena);
    memset(&world->query, 0, sizeof world->query);
    world->query.arena = arena_new(0, NULL);
    world->query.symbols = symbols_new(world->query.arena);
    tenant = ARENA_NEW(world->query.arena, FetchTenant);
    *tenant = (FetchTenant){.name = STR("t"), .keep_from_ms = keep_from_ms};
    world->source = fetch_streams_new(&options, tenant, 1, &world->stats, world->query.arena);
}

static unsigned stream_of(World *world, const StreamSet *set, uint32_t index) {
    Str name = symbols_str(world->query.symbols, set->labels[index].labels[0].value);

    return (unsigned)(name.ptr[name.len - 1] - '0');
}

/* Reads all of a range and holds it against the entries that were put in. */
static void assert_reads(World *world, int64_t min_ns, int64_t max_ns, bool backward) {
    StreamSelect select = {
        .min_ns = min_ns, .max_ns = max_ns, .backward = backward, .need = STREAM_NEED_LINES};
    Entry *got = arena_alloc(world->arena, ENTRIES_MAX * sizeof *got);
    StreamScratch *scratch;
    StreamSet set;
    size_t count = 0, expected = 0;
    Error err;

    query_begin(world, INT64_MIN);
    assert_ok(world->source->select(world->source, &world->query, &select, &set, &err), &err);
    scratch = set.scratch_new == NULL ? NULL : set.scratch_new(&set, &world->query);
    for (uint32_t u = 0; u < set.unit_count; u++) {
        const StreamUnit *unit = &set.units[u];
        int64_t last = backward ? INT64_MAX : INT64_MIN;
        StreamReader *reader;
        StreamBatch batch;

        assert_ok(set.open(&set, u, scratch, &reader, &err), &err);
        for (;;) {
            assert_ok(set.next(reader, &batch, &err), &err);
            if (batch.count == 0) break;
            for (size_t i = 0; i < batch.count; i++) {
                int64_t time = batch.times[i];

                assert_true(backward ? time <= last : time >= last);
                assert_true(time >= unit->min_ns && time <= unit->max_ns);
                last = time;
                got[count++] = (Entry){stream_of(world, &set, unit->stream), time,
                                       str_dup(world->arena, batch.lines[i])};
            }
        }
    }
    if (set.scratch_free != NULL) set.scratch_free(scratch);
    qsort(world->all, world->count, sizeof *world->all, compare_entries);
    if (count > 0) qsort(got, count, sizeof *got, compare_entries);
    for (size_t i = 0; i < world->count; i++) {
        const Entry *entry = &world->all[i];

        if (entry->time_ns < min_ns || entry->time_ns >= max_ns) continue;
        if (i > 0 && compare_entries(entry, &world->all[i - 1]) == 0) continue;
        assert_true(expected < count && compare_entries(&got[expected], entry) == 0);
        expected++;
    }
    assert_int_equal(count, expected);
}

static void each_entry_comes_once_from_wherever_it_lies(void **state) {
    World *world = *state;

    for (int i = 0; i < 4; i++) add_object(world, random_entries(world, 300, i * 100), 300);
    /* What a flush has just made an object of is in a head, too. */
    add_head(world, &world->all[900], 300);
    add_head(world, random_entries(world, 500, 350), 500);
    Entry *again = random_entries(world, 200, 500);
    memcpy(again, &world->all[1200], 200 * sizeof *again);
    add_head(world, again, 200);
    for (int backward = 0; backward < 2; backward++) {
        assert_reads(world, INT64_MIN / 2, INT64_MAX / 2, backward);
        assert_reads(world, 0, 1000, backward);
        assert_reads(world, 150, 151, backward);
        assert_reads(world, 99, 403, backward);
        assert_reads(world, 5000, 6000, backward);
        assert_reads(world, 10, 10, backward);
    }
}

static void a_moment_of_many_entries_is_read_once_too(void **state) {
    World *world = *state;
    Entry *entries = random_entries(world, 1500, 0);

    for (size_t i = 0; i < 1500; i++) {
        entries[i].time_ns = 7;
        entries[i].line = str_format(world->arena, "line %u", (unsigned)i % 1400);
    }
    add_head(world, entries, 1500);
    Entry *same = random_entries(world, 1500, 0);
    memcpy(same, entries, 1500 * sizeof *same);
    add_object(world, same, 1500);
    assert_reads(world, 0, 10, false);
    assert_reads(world, 0, 10, true);
}

static void retention_cuts_within_a_page(void **state) {
    World *world = *state;
    StreamSelect select = {.min_ns = 0, .max_ns = 100000000};
    Entry *entries = random_entries(world, 100, 0);
    size_t count;
    StreamSet set;
    Str *names;
    Error err;

    for (size_t i = 0; i < 100; i++) entries[i].time_ns = (int64_t)i * 1000000;
    add_object(world, entries, 100);
    query_begin(world, 50);
    assert_ok(world->source->select(world->source, &world->query, &select, &set, &err), &err);
    for (uint32_t u = 0; u < set.unit_count; u++) assert_true(set.units[u].min_ns >= 50000000);
    assert_ok(world->source->labels(world->source, &world->query, STR("app"), &select, 1, &names,
                                    &count, &err),
              &err);
    assert_int_equal(count, STREAMS);
    query_begin(world, 1000);
    assert_ok(world->source->select(world->source, &world->query, &select, &set, &err), &err);
    assert_int_equal(set.count, 0);
    assert_ok(world->source->labels(world->source, &world->query, STR(""), &select, 1, &names,
                                    &count, &err),
              &err);
    assert_int_equal(count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_entry_comes_once_from_wherever_it_lies, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_moment_of_many_entries_is_read_once_too, setup, teardown),
        cmocka_unit_test_setup_teardown(retention_cuts_within_a_page, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
