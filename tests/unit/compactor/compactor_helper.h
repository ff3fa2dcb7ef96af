#pragma once
/*
 * compactor_helper.h: segments of numbered tenants and series, a compactor, and a look at all that
 * the manifest lists.
 *
 * Series s is {__name__="m_<s % 3>", i="<s>"}: what was written and what is found compare as
 * (series, time, value).
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/block/block.h"
#include "common/store/driver.h"
#include "common/store/fault.h"
#include "compactor/compactor.h"
#include "tests/unit/unit.h"

#define HOUR INT64_C(3600000)
#define NOW (INT64_C(1700000000000) / (24 * HOUR) * (24 * HOUR) + 30 * HOUR)

enum { GRACE_MS = 10 * 60000 };

typedef struct Sample {
    uint64_t tenant; /* as wide as the rest: no padding, so samples compare as bytes */
    uint64_t series;
    int64_t time_ms;
    double value;
} Sample;

typedef struct Samples {
    Sample *items;
    size_t count;
    size_t capacity;
} Samples;

static inline void samples_add(Samples *samples, Sample sample) {
    if (samples->count == samples->capacity) {
        samples->capacity = MAX(samples->capacity * 2, (size_t)256);
        samples->items = realloc(samples->items, samples->capacity * sizeof *samples->items);
        assert_non_null(samples->items);
    }
    samples->items[samples->count++] = sample;
}

static inline void samples_done(Samples *samples) {
    free(samples->items);
    *samples = (Samples){0};
}

static inline int sample_order(const void *a, const void *b) {
    const Sample *x = a, *y = b;

    if (x->tenant != y->tenant) return x->tenant < y->tenant ? -1 : 1;
    if (x->series % 3 != y->series % 3) return x->series % 3 < y->series % 3 ? -1 : 1;
    if (x->series != y->series) {
        char i[24], j[24];

        snprintf(i, sizeof i, "%llu", (unsigned long long)x->series);
        snprintf(j, sizeof j, "%llu", (unsigned long long)y->series);
        return strcmp(i, j); /* as labels are ordered */
    }
    return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

/* Stable, so that of one instant's samples the one that was added first comes first. */
static inline void samples_sort(Samples *samples) {
    Sample *a = samples->items, *spare = malloc((samples->count + 1) * sizeof *spare);

    for (size_t width = 1; width < samples->count; width *= 2) {
        for (size_t from = 0; from < samples->count; from += 2 * width) {
            size_t left = from, middle = MIN(from + width, samples->count), right = middle;
            size_t end = MIN(from + 2 * width, samples->count);

            for (size_t i = from; i < end; i++)
                spare[i] = left < middle && (right == end || sample_order(&a[left], &a[right]) <= 0)
                               ? a[left++]
                               : a[right++];
        }
        memcpy(a, spare, samples->count * sizeof *a);
    }
    free(spare);
}

/* Of each instant the sample that was added first. */
static inline void samples_unique(Samples *samples) {
    size_t kept = 0;

    samples_sort(samples);
    for (size_t i = 0; i < samples->count; i++)
        if (kept == 0 || sample_order(&samples->items[kept - 1], &samples->items[i]) != 0)
            samples->items[kept++] = samples->items[i];
    samples->count = kept;
}

typedef struct Place {
    ManualClock clock;
    StoreDriver *faulty;
    Store *store;
    Manifest *manifest;
    Tenants *tenants;
    Budget background;
    Compactor *compactor;
    uint64_t next_segment;
} Place;

static inline void place_open(Place *place) {
    CompactorOptions options;
    Error err = {0};

    assert_ok(manifest_open(place->store, &place->clock.clock, &place->manifest, &err), &err);
    options = (CompactorOptions){.store = place->store,
                                 .manifest = place->manifest,
                                 .tenants = place->tenants,
                                 .background = &place->background,
                                 .clock = &place->clock.clock,
                                 .interval_ms = 1,
                                 .grace_ms = GRACE_MS,
                                 .block_bytes_max = 1 << 30};
    place->compactor = compactor_new(&options);
    assert_non_null(place->compactor);
}

static inline void place_close(Place *place) {
    compactor_free(place->compactor);
    manifest_free(place->manifest);
    assert_int_equal(budget_used(&place->background), 0);
}

/* The driver's clock must be the one of the place: made after manual_clock_init(). */
static inline void place_make_on(Place *place, StoreDriver *driver) {
    log_set_level(LOG_LEVEL_ERROR + 1);
    place->faulty = store_driver_fault(driver, 0, FAULT_NONE);
    place->store = store_new(place->faulty);
    place->tenants = tenants_new(&(TenantLimits){0}, false);
    place->next_segment = 1;
    budget_init(&place->background, "background", 0, NULL);
    place_open(place);
}

static inline void place_make(Place *place) {
    *place = (Place){0};
    manual_clock_init(&place->clock, NOW);
    place_make_on(place, store_driver_memory_at(&place->clock.clock));
}

static inline void place_done(Place *place) {
    place_close(place);
    tenants_free(place->tenants);
    store_free(place->store);
}

static inline Str tenant_name(uint64_t tenant, char out[static 16]) {
    return (Str){out, (size_t)snprintf(out, 16, "t-%04llu", (unsigned long long)tenant)};
}

/* ---- writing ---- */

static inline void write_series(BlockWriter *writer, const Sample *samples, size_t count) {
    int64_t *times = calloc(count, sizeof *times);
    double *values = calloc(count, sizeof *values);
    ChunkSamples chunk = {times, values, count, NULL, NULL, 0};
    char name[16], number[24];
    LabelPair pairs[2] = {{LABEL_NAME, {name, 0}}, {STR("i"), {number, 0}}};
    Error err = {0};

    pairs[0].value.len =
        (size_t)snprintf(name, sizeof name, "m_%u", (unsigned)(samples[0].series % 3));
    pairs[1].value.len =
        (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)samples[0].series);
    for (size_t i = 0; i < count; i++) {
        times[i] = samples[i].time_ms;
        values[i] = samples[i].value;
    }
    assert_ok(block_metrics_series(writer, (LabelPairs){pairs, 2}, &chunk, &err), &err);
    free(times);
    free(values);
}

/* Writes and commits a segment, of which the samples are sorted and made unique. Its key goes to
 * `key`. */
static inline void put_segment(Place *place, Samples *samples, char key[static 96]) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    int64_t created_ms = NOW - 12 * HOUR + (int64_t)place->next_segment;
    BlockSummary summary;
    BlockWriter *writer;
    Error err = {0};
    Buf body;

    buf_init(&body, 0);
    writer = block_writer_new(arena, block_sink_buf(&body), created_ms);
    samples_unique(samples);
    for (size_t i = 0; i < samples->count;) {
        const Sample *first = &samples->items[i];
        char name[16];
        size_t end = i;

        if (i == 0 || first[-1].tenant != first->tenant)
            assert_ok(block_metrics_begin(writer, tenant_name(first->tenant, name), &err), &err);
        while (end < samples->count && samples->items[end].tenant == first->tenant &&
               samples->items[end].series == first->series)
            end++;
        write_series(writer, first, end - i);
        i = end;
        if (i == samples->count || samples->items[i].tenant != first->tenant)
            assert_ok(block_metrics_end(writer, &err), &err);
    }
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    snprintf(key, 96, "segments/%013lld-00000000000000aa-000-%010llu.seg", (long long)created_ms,
             (unsigned long long)place->next_segment++);
    assert_ok(store_put(place->store, str_of(key), buf_str(&body), NULL, &err), &err);
    {
        ManifestEntry entry = {.key = str_of(key),
                               .size = summary.bytes,
                               .checksum = summary.checksum,
                               .created_ms = created_ms,
                               .parts = summary.parts,
                               .part_count = summary.part_count};
        ManifestChange change = {.add = &entry, .add_count = 1};

        assert_ok(manifest_commit(place->manifest, &change, NULL, &err), &err);
    }
    buf_done(&body);
}

/* ---- reading ---- */

static inline void read_part(Place *place, const ManifestEntry *entry, const BlockPart *part,
                             Samples *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint64_t tenant = 0, in_part = 0;
    BlockCursor *cursor;
    Error err = {0};

    assert_true(str_to_u64(str_from(part->tenant, 2), &tenant));
    assert_ok(block_cursor_open(place->store, entry->key, entry->size, part->tenant, arena, &cursor,
                                &err),
              &err);
    for (;;) {
        const SelectedExemplar *exemplars;
        size_t exemplar_count;
        ChunkSamples samples;
        LabelPairs labels;
        uint64_t series;
        bool more;

        assert_ok(
            block_cursor_next(cursor, &labels, &samples, &exemplars, &exemplar_count, &more, &err),
            &err);
        if (!more) break;
        assert_true(str_to_u64(labels_get(labels, STR("i")), &series));
        for (size_t i = 0; i < samples.count; i++) {
            assert_in_range(samples.times[i], part->min_ms, part->max_ms);
            samples_add(out, (Sample){tenant, series, samples.times[i], samples.values[i]});
        }
        in_part += samples.count;
    }
    assert_int_equal(in_part, part->items);
    block_cursor_close(cursor);
}

/* All that the manifest lists, the oldest object first. Returns how many objects. */
static inline size_t read_all(Place *place, Samples *out) {
    const ManifestSnapshot *snapshot = manifest_snapshot(place->manifest);
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < entries[i].part_count; p++)
            read_part(place, &entries[i], &entries[i].parts[p], out);
    manifest_snapshot_unref(snapshot);
    return count;
}

static inline void assert_same(const Samples *found, const Samples *expected) {
    assert_int_equal(found->count, expected->count);
    if (found->count > 0)
        assert_memory_equal(found->items, expected->items, found->count * sizeof *found->items);
}

/* As a query would merge it: the older object wins. `expected` is sorted and made unique. */
static inline void assert_reads(Place *place, Samples *expected) {
    Samples found = {0};

    read_all(place, &found);
    samples_unique(&found);
    samples_unique(expected);
    assert_same(&found, expected);
    samples_done(&found);
}

/* The same, and nothing is there twice. */
static inline void assert_reads_once(Place *place, Samples *expected) {
    Samples found = {0};

    read_all(place, &found);
    samples_sort(&found);
    samples_unique(expected);
    assert_same(&found, expected);
    samples_done(&found);
}

static inline ErrCode count_listed(void *context, const StoreObject *object, Error *err) {
    (void)object;
    (void)err;
    ++*(size_t *)context;
    return ERR_OK;
}

static inline size_t count_objects(Place *place, const char *prefix) {
    size_t count = 0;
    Error err = {0};

    assert_ok(store_list(place->store, str_of(prefix), count_listed, &count, &err), &err);
    return count;
}

static inline void run_ok(Place *place) {
    Error err = {0};

    assert_ok(compactor_run(place->compactor, &err), &err);
}

static inline void pass(Place *place, int64_t ms) {
    atomic_fetch_add(&place->clock.wall_ms, ms);
}
