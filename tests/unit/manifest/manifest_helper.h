#pragma once
/*
 * manifest_helper.h: entries in one line, and what a manifest holds as one text to compare.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/manifest/manifest.h"
#include "common/store/driver.h"
#include "common/store/fault.h"
#include "tests/unit/unit.h"

/* One store that may fail, on a clock that the test moves. */
typedef struct World {
    ManualClock clock;
    StoreDriver *faulty;
    Store *store;
} World;

static inline void world_init(World *world, bool conditional) {
    StoreDriver *memory;

    manual_clock_init(&world->clock, 1700000000000);
    memory = store_driver_memory_at(&world->clock.clock);
    if (!conditional) memory->features &= ~(unsigned)STORE_CONDITIONAL_PUT;
    world->faulty = store_driver_fault(memory, 0, FAULT_NONE);
    world->store = store_new(world->faulty);
}

static inline void world_done(World *world) {
    store_free(world->store);
}

static inline Manifest *open_manifest(World *world) {
    Manifest *manifest = NULL;
    Error err = {0};

    assert_ok(manifest_open(world->store, &world->clock.clock, &manifest, &err), &err);
    return manifest;
}

/* Metrics of tenant "a" from 1000 to 2000. */
static const BlockPart part_a = {STR_INIT("a"), SIGNAL_METRICS, 1000, 2000, 3, 30, 300};

static inline ManifestEntry entry_of(const char *key, int64_t created_ms) {
    return (ManifestEntry){.key = str_of(key),
                           .size = 1000,
                           .checksum = 42,
                           .level = 0,
                           .created_ms = created_ms,
                           .parts = &part_a,
                           .part_count = 1};
}

static inline ErrCode add_one(Manifest *manifest, const char *key, bool *known, Error *err) {
    ManifestEntry entry = entry_of(key, 5);
    ManifestChange change = {.add = &entry, .add_count = 1};

    return manifest_commit(manifest, &change, known, err);
}

static inline ErrCode remove_one(Manifest *manifest, const char *key, Error *err) {
    Str remove = str_of(key);
    ManifestChange change = {.remove = &remove, .remove_count = 1};

    return manifest_commit(manifest, &change, NULL, err);
}

static inline ErrCode replace_one(Manifest *manifest, const char *old, const char *fresh,
                                  Error *err) {
    ManifestEntry entry = entry_of(fresh, 6);
    Str remove = str_of(old);
    ManifestChange change = {&entry, 1, &remove, 1};

    return manifest_commit(manifest, &change, NULL, err);
}

/* "key key | removed removed" into `out`. */
static inline void describe(Manifest *manifest, char out[static 4096]) {
    const ManifestSnapshot *snapshot = manifest_snapshot(manifest);
    const ManifestRemoved *removed;
    const ManifestEntry *entries;
    size_t count, at = 0;

    entries = manifest_entries(snapshot, &count);
    for (size_t i = 0; i < count && at < 4000; i++)
        at += (size_t)snprintf(out + at, 4096 - at, STR_FMT " ", STR_ARG(entries[i].key));
    at += (size_t)snprintf(out + at, 4096 - at, "|");
    removed = manifest_removed(snapshot, &count);
    for (size_t i = 0; i < count && at < 4000; i++)
        at += (size_t)snprintf(out + at, 4096 - at, " " STR_FMT, STR_ARG(removed[i].key));
    manifest_snapshot_unref(snapshot);
}

#define assert_holds(manifest, expected)                                                           \
    do {                                                                                           \
        char holds_[4096];                                                                         \
        describe(manifest, holds_);                                                                \
        assert_string_equal(holds_, expected);                                                     \
    } while (0)

/* The same, read anew from the store. */
#define assert_store_holds(world, expected)                                                        \
    do {                                                                                           \
        CLEANUP(manifest_free) Manifest *fresh_ = open_manifest(world);                            \
        assert_holds(fresh_, expected);                                                            \
    } while (0)

static inline ErrCode count_listed(void *context, const StoreObject *object, Error *err) {
    (void)object;
    (void)err;
    ++*(size_t *)context;
    return ERR_OK;
}

static inline size_t count_objects(World *world, Str prefix) {
    size_t count = 0;
    Error err = {0};

    assert_ok(store_list(world->store, prefix, count_listed, &count, &err), &err);
    return count;
}
