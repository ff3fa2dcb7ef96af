#pragma once
/*
 * retention.h: one tenant's data goes when it is old, another's stays, to the byte. The same
 * for every store: run in memory and on a folder by retention_test.c, on MinIO by
 * tests/integration/retention_s3_test.c.
 */
#include "tests/unit/compactor/compactor_helper.h"

static inline void set_retention(Place *place, uint64_t tenant, int64_t retention_ms) {
    TenantLimits none = {0}, limits = {.retention_metrics_ms = retention_ms};
    char name[16];
    TenantOverride override = {tenant_name(tenant, name), limits};
    Error err = {0};

    assert_ok(tenants_replace(place->tenants, &none, &override, 1, &err), &err);
}

/* Keys and sizes of a tenant's blocks, one a line. */
static inline void list_blocks(Place *place, uint64_t tenant, char out[static 4096]) {
    const ManifestSnapshot *snapshot = manifest_snapshot(place->manifest);
    size_t count, at = 0;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);
    char name[16];
    Str owner = tenant_name(tenant, name);

    out[0] = '\0';
    for (size_t i = 0; i < count && at < 3800; i++)
        for (size_t p = 0; p < entries[i].part_count; p++)
            if (str_equal(entries[i].parts[p].tenant, owner))
                at += (size_t)snprintf(out + at, 4096 - at, STR_FMT " %llu %llx\n",
                                       STR_ARG(entries[i].key), (unsigned long long)entries[i].size,
                                       (unsigned long long)entries[i].checksum);
    manifest_snapshot_unref(snapshot);
}

static inline bool object_is_there(Place *place, const char *listed) {
    StoreObject object;
    Error err = {0};
    ErrCode code;
    Str key;

    (void)str_cut(str_of(listed), ' ', &key, &(Str){0});
    code = store_head(place->store, key, &object, &err);
    if (code != ERR_NOT_FOUND) assert_ok(code, &err);
    return code == ERR_OK;
}

/* 1 and 2 write the same for two hours; then 1 keeps an hour, 2 everything. The clock of the place
 * may be ahead of the store's own by what passes here. */
static inline void check_retention(Place *place) {
    Samples all = {0}, second = {0};
    char before[4096], first[4096], now[4096], key[96];

    for (unsigned s = 0; s < 3; s++) {
        Samples segment = {0};

        for (unsigned i = 0; i < 40; i++)
            for (uint64_t tenant = 1; tenant <= 2; tenant++) {
                int64_t time_ms = NOW - 4 * HOUR + (int64_t)(s * 40 + i) * 60000;
                Sample sample = {tenant, i % 5, time_ms, (double)i};

                samples_add(&segment, sample);
                samples_add(&all, sample);
                if (tenant == 2) samples_add(&second, sample);
            }
        put_segment(place, &segment, key);
        samples_done(&segment);
    }
    run_ok(place);
    assert_reads_once(place, &all);
    list_blocks(place, 1, first);
    list_blocks(place, 2, before);
    assert_true(strlen(before) > 0 && strlen(first) > 0);
    assert_int_equal(count_objects(place, "segments/"), 3); /* for their grace */

    set_retention(place, 1, HOUR);
    run_ok(place);
    list_blocks(place, 1, now);
    assert_string_equal(now, "");
    list_blocks(place, 2, now);
    assert_string_equal(now, before); /* not even written anew */
    assert_reads_once(place, &second);
    assert_true(object_is_there(place, first)); /* for queries that had begun */

    pass(place, GRACE_MS - 1);
    run_ok(place);
    assert_true(object_is_there(place, first));
    pass(place, 1);
    run_ok(place);
    assert_false(object_is_there(place, first));
    assert_true(object_is_there(place, before));
    assert_int_equal(count_objects(place, "segments/"), 0);
    assert_int_equal(count_objects(place, "tenants/t-0001/"), 0);
    assert_int_equal(count_objects(place, "tenants/t-0002/"), 1);
    list_blocks(place, 2, now);
    assert_string_equal(now, before);

    /* The same as another process sees it. */
    place_close(place);
    place_open(place);
    run_ok(place);
    assert_reads_once(place, &second);
    samples_done(&all);
    samples_done(&second);
}

/* A block of which half expired is written anew, with what is left. */
static inline void check_trimming(Place *place) {
    Samples left = {0}, segment = {0};
    char key[96];

    for (unsigned i = 0; i < 120; i++) {
        int64_t time_ms = NOW - 2 * HOUR + (int64_t)i * 60000;

        samples_add(&segment, (Sample){7, i % 3, time_ms, (double)i});
        if (time_ms >= NOW - HOUR) samples_add(&left, (Sample){7, i % 3, time_ms, (double)i});
    }
    atomic_store(&place->clock.wall_ms, NOW);
    put_segment(place, &segment, key);
    run_ok(place);
    set_retention(place, 7, HOUR);
    run_ok(place);
    assert_reads_once(place, &left);
    set_retention(place, 7, 0); /* or ten minutes more would expire meanwhile */
    pass(place, GRACE_MS);
    run_ok(place);
    assert_int_equal(count_objects(place, "tenants/t-0007/"), 1);
    assert_reads_once(place, &left);
    samples_done(&left);
    samples_done(&segment);
}
