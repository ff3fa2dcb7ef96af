#pragma once
/*
 * world.h: an ingester with everything around it, and a look at all that it and the store hold.
 *
 * Series are numbers: series s of a tenant is {__name__="metric_<s % 5>", i="<s>"}, so that what
 * was written and what is found compare as (series, time, value).
 */
#include <math.h>
#include <pthread.h>

#include "common/block/block.h"
#include "common/store/fault.h"
#include "ingester/internal.h"
#include "tests/unit/ingester/fault_io.h"
#include "tests/unit/ingester/temp_dir.h"
#include "tests/unit/unit.h"

typedef struct Fact {
    uint64_t series; /* as wide as the rest: no padding, so facts compare as bytes */
    int64_t time_ms;
    double value;
} Fact;

typedef struct Facts {
    Fact *items;
    size_t count;
    size_t capacity;
} Facts;

static inline void facts_add(Facts *facts, uint32_t series, int64_t time_ms, double value) {
    if (facts->count == facts->capacity) {
        facts->capacity = MAX(facts->capacity * 2, (size_t)256);
        facts->items = realloc(facts->items, facts->capacity * sizeof *facts->items);
        assert_non_null(facts->items);
    }
    facts->items[facts->count++] = (Fact){series, time_ms, value};
}

static inline int fact_compare(const void *a, const void *b) {
    const Fact *x = a, *y = b;

    if (x->series != y->series) return x->series < y->series ? -1 : 1;
    if (x->time_ms != y->time_ms) return x->time_ms < y->time_ms ? -1 : 1;
    return memcmp(&x->value, &y->value, sizeof x->value);
}

static inline void facts_sort(Facts *facts) {
    if (facts->count > 1) qsort(facts->items, facts->count, sizeof *facts->items, fact_compare);
}

static inline void facts_done(Facts *facts) {
    free(facts->items);
    *facts = (Facts){0};
}

typedef struct World {
    char dir[64];
    ManualClock clock;
    StoreDriver *faults;
    Store *store;
    Manifest *manifest;
    Tenants *tenants;
    Budget heads;
    Budget background;
    Pool *pool;
    IngesterOptions options;
    IngesterHooks hooks;
    Ingester *ingester;
} World;

static inline void world_make(World *world) {
    Error err = {0};

    *world = (World){0};
    log_set_level(LOG_LEVEL_ERROR + 1);
    temp_dir_make(world->dir);
    manual_clock_init(&world->clock, 1700000000000);
    world->faults = store_driver_fault(store_driver_memory(), 0, FAULT_NONE);
    world->store = store_new(world->faults);
    assert_ok(manifest_open(world->store, &world->clock.clock, &world->manifest, &err), &err);
    world->tenants = tenants_new(&(TenantLimits){0}, false);
    budget_init(&world->heads, "heads", 0, NULL);
    budget_init(&world->background, "background", 0, NULL);
    assert_ok(pool_new("background", 2, 64, &world->pool, &err), &err);
    world->options = (IngesterOptions){.dir = {world->dir, strlen(world->dir)},
                                       .lanes = 2,
                                       .store = world->store,
                                       .manifest = world->manifest,
                                       .tenants = world->tenants,
                                       .heads = &world->heads,
                                       .background = &world->background,
                                       .background_pool = world->pool,
                                       .clock = &world->clock.clock,
                                       .wal_sync = WAL_SYNC_ALWAYS};
}

static inline ErrCode world_open(World *world, Error *err) {
    return ingester_open_hooked(&world->options, &world->hooks, &world->ingester, err);
}

static inline void world_start(World *world) {
    Error err = {0};

    assert_ok(world_open(world, &err), &err);
}

static inline void world_stop(World *world, bool flush) {
    ingester_close(world->ingester, flush);
    world->ingester = NULL;
}

static inline void world_restart(World *world) {
    world_stop(world, false);
    world_start(world);
}

/* Another view of the manifest, as a process that starts has it; one that runs on the old view
 * ends. */
static inline void world_reopen_manifest(World *world) {
    Error err = {0};

    if (world->ingester != NULL) world_stop(world, false);
    manifest_free(world->manifest);
    assert_ok(manifest_open(world->store, &world->clock.clock, &world->manifest, &err), &err);
    world->options.manifest = world->manifest;
}

static inline void world_done(World *world) {
    if (world->ingester != NULL) world_stop(world, false);
    pool_free(world->pool);
    tenants_free(world->tenants);
    manifest_free(world->manifest);
    store_free(world->store);
    assert_int_equal(budget_used(&world->heads), 0);
    assert_int_equal(budget_used(&world->background), 0);
    temp_dir_remove(world->dir);
}

/* ---------- writing ---------- */

typedef struct Answer {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
    AppendResult result;
} Answer;

static inline void answer_take(void *context, const AppendResult *result) {
    Answer *answer = context;

    pthread_mutex_lock(&answer->lock);
    answer->result = *result;
    answer->done = true;
    pthread_cond_signal(&answer->wake);
    pthread_mutex_unlock(&answer->lock);
}

static inline AppendResult world_append_batch(World *world, const MetricsBatch *batch) {
    Answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

    ingester_append_metrics(world->ingester, batch, answer_take, &answer);
    pthread_mutex_lock(&answer.lock);
    while (!answer.done) pthread_cond_wait(&answer.wake, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.result;
}

static inline Str world_labels(Arena *arena, uint32_t series) {
    LabelPair pairs[2] = {{STR("__name__"), str_format(arena, "metric_%u", series % 5)},
                          {STR("i"), str_format(arena, "%u", series)}};
    Buf buf;
    Str labels;

    buf_init(&buf, 0);
    labels_encode((LabelPairs){pairs, 2}, &buf);
    labels = str_dup(arena, buf_str(&buf));
    buf_done(&buf);
    return labels;
}

static inline MetricsRow world_row(World *world, Arena *arena, Str tenant, uint32_t series) {
    Str labels = world_labels(arena, series);

    return (MetricsRow){
        .id = metrics_series_id(hash_str(tenant), labels, ingester_series_seed(world->ingester)),
        .labels = labels};
}

/* One batch with one row a fact. */
static inline AppendResult world_append(World *world, Str tenant, const Fact *facts, size_t count) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    MetricsBatch batch = {.tenant = tenant, .row_count = count, .sample_count = count};

    batch.rows = ARENA_ARRAY(arena, MetricsRow, count);
    batch.samples = ARENA_ARRAY(arena, MetricsSample, count);
    for (size_t i = 0; i < count; i++) {
        batch.rows[i] = world_row(world, arena, tenant, (uint32_t)facts[i].series);
        batch.rows[i].sample_start = (uint32_t)i;
        batch.rows[i].sample_count = 1;
        batch.samples[i] = (MetricsSample){facts[i].time_ms, facts[i].value};
    }
    return world_append_batch(world, &batch);
}

/* Series [first, first + count) at one instant; what is acknowledged is noted. */
static inline AppendResult world_scrape(World *world, Str tenant, uint32_t first, uint32_t count,
                                        int64_t time_ms, Facts *acknowledged) {
    Fact *facts = calloc(count, sizeof *facts);
    AppendResult result;

    for (uint32_t i = 0; i < count; i++)
        facts[i] = (Fact){first + i, time_ms, (double)(first + i) + (double)time_ms / 1000};
    result = world_append(world, tenant, facts, count);
    for (uint32_t i = 0; acknowledged != NULL && result.code == ERR_OK && i < count; i++)
        facts_add(acknowledged, (uint32_t)facts[i].series, facts[i].time_ms, facts[i].value);
    free(facts);
    return result;
}

/* ---------- reading ---------- */

static inline uint32_t series_of(LabelPairs labels) {
    uint64_t number = 0;

    assert_true(str_to_u64(labels_get(labels, STR("i")), &number));
    return (uint32_t)number;
}

static inline void facts_take(Facts *facts, uint32_t series, const ChunkSamples *samples) {
    for (size_t i = 0; i < samples->count; i++)
        facts_add(facts, series, samples->times[i], samples->values[i]);
    for (size_t i = 0; i < samples->histogram_count; i++)
        facts_add(facts, series, samples->histogram_times[i], samples->histograms[i]->sum);
}

static inline void world_read_heads(World *world, Str tenant, const Matcher *matchers, size_t count,
                                    Facts *facts) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    HeadReader reader = ingester_head_reader(world->ingester);
    HeadSelect select = {.tenant = tenant,
                         .matchers = matchers,
                         .matcher_count = count,
                         .min_ms = INT64_MIN,
                         .max_ms = INT64_MAX};
    MetricsSelection *selections;
    size_t selection_count;
    Error err = {0};

    assert_ok(reader.select(reader.context, &select, arena, &selections, &selection_count, &err),
              &err);
    for (size_t s = 0; s < selection_count; s++)
        for (size_t i = 0; i < selections[s].series_count; i++) {
            const SelectedSeries *series = &selections[s].series[i];
            LabelPair pairs[16];

            assert_true(series->pair_count <= 16);
            for (uint32_t k = 0; k < series->pair_count; k++)
                pairs[k] = selections[s].pairs[series->pairs[k]];
            for (uint32_t k = 0; k < series->chunk_count; k++) {
                ChunkSamples samples;

                assert_ok(stream_decode(&series->chunks[k], arena, &samples, &err), &err);
                facts_take(facts, series_of((LabelPairs){pairs, series->pair_count}), &samples);
            }
        }
}

static inline void read_chunk(const ChunkView *chunk, uint32_t series, Arena *arena, Facts *facts) {
    int64_t *times = ARENA_ARRAY(arena, int64_t, chunk->count);
    double *values = ARENA_ARRAY(arena, double, chunk->count);
    const NativeHistogram **histograms;
    Error err = {0};

    assert_ok(times_decode(chunk->times, times, &err), &err);
    if (chunk->kind == CHUNK_FLOATS) {
        assert_ok(floats_decode(chunk, values, &err), &err);
        for (uint32_t i = 0; i < chunk->count; i++) facts_add(facts, series, times[i], values[i]);
    } else {
        assert_ok(histograms_decode(chunk, arena, &histograms, &err), &err);
        for (uint32_t i = 0; i < chunk->count; i++)
            facts_add(facts, series, times[i], histograms[i]->sum);
    }
}

static inline void read_object(World *world, const ManifestEntry *entry, Str tenant, Facts *facts) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockCache *cache = block_cache_new(world->store, NULL);
    BlockSelect select = {.tenant = tenant, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    BlockStats stats = {0};
    MetricsSelection selection;
    const Block *block;
    Error err = {0};

    assert_ok(block_open(cache, entry->key, entry->size, arena, &stats, &block, &err), &err);
    assert_ok(block_metrics_select(block, &select, arena, &stats, &selection, &err), &err);
    for (size_t i = 0; i < selection.series_count; i++) {
        const SelectedSeries *series = &selection.series[i];
        LabelPair pairs[16];

        assert_true(series->pair_count <= 16);
        for (uint32_t k = 0; k < series->pair_count; k++)
            pairs[k] = selection.pairs[series->pairs[k]];
        for (uint32_t k = 0; k < series->chunk_count; k++)
            read_chunk(&series->chunks[k], series_of((LabelPairs){pairs, series->pair_count}),
                       arena, facts);
    }
    arena_free(arena);
    arena = NULL; /* what it pins goes before the cache */
    block_cache_free(cache);
}

/* What the manifest lists. Returns how many objects. */
static inline size_t world_read_store(World *world, Str tenant, Facts *facts) {
    const ManifestSnapshot *snapshot = manifest_snapshot(world->manifest);
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    for (size_t i = 0; i < count; i++) read_object(world, &entries[i], tenant, facts);
    manifest_snapshot_unref(snapshot);
    return count;
}

static inline size_t facts_unique(Facts *facts) {
    size_t kept = 0;

    facts_sort(facts);
    for (size_t i = 0; i < facts->count; i++)
        if (kept == 0 || fact_compare(&facts->items[kept - 1], &facts->items[i]) != 0)
            facts->items[kept++] = facts->items[i];
    facts->count = kept;
    return kept;
}

static inline void assert_same_facts(const Facts *found, Facts *expected) {
    facts_sort(expected);
    assert_int_equal(found->count, expected->count);
    if (found->count > 0)
        assert_memory_equal(found->items, expected->items, found->count * sizeof *found->items);
}

/* Heads and store together hold exactly `expected`. What is being flushed may be in both. */
static inline void assert_holds(World *world, Str tenant, Facts *expected) {
    Facts found = {0};

    world_read_heads(world, tenant, NULL, 0, &found);
    world_read_store(world, tenant, &found);
    facts_unique(&found);
    assert_same_facts(&found, expected);
    facts_done(&found);
}

/* After a flush: the store holds exactly `expected`, each once, and the heads nothing. */
static inline void assert_stored(World *world, Str tenant, Facts *expected) {
    Facts found = {0};

    world_read_heads(world, tenant, NULL, 0, &found);
    assert_int_equal(found.count, 0);
    world_read_store(world, tenant, &found);
    facts_sort(&found);
    assert_same_facts(&found, expected);
    facts_done(&found);
}

/* All of `acknowledged` is there; what else is there was at least attempted. */
static inline void assert_has(World *world, Str tenant, Facts *acknowledged, Facts *attempted) {
    Facts found = {0};

    world_read_heads(world, tenant, NULL, 0, &found);
    world_read_store(world, tenant, &found);
    facts_unique(&found);
    facts_unique(attempted);
    for (size_t i = 0; i < acknowledged->count; i++)
        if (bsearch(&acknowledged->items[i], found.items, found.count, sizeof(Fact),
                    fact_compare) == NULL)
            fail_msg("series %u at %lld is lost", (unsigned)acknowledged->items[i].series,
                     (long long)acknowledged->items[i].time_ms);
    for (size_t i = 0; i < found.count; i++)
        assert_non_null(bsearch(&found.items[i], attempted->items, attempted->count, sizeof(Fact),
                                fact_compare));
    facts_done(&found);
}
