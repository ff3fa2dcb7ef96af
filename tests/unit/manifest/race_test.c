/* Several processes and threads at once on one store; run under the thread sanitizer as well. */
#include <pthread.h>

#include "tests/unit/manifest/manifest_helper.h"

enum { RACERS = 3, COMMITS = 30 };

typedef struct Racer {
    World *world;
    Manifest *manifest; /* its own, or shared */
    unsigned number;
    unsigned won;
    _Atomic bool *stop;
} Racer;

static void commit_name(char out[static 64], unsigned racer, unsigned commit) {
    snprintf(out, 64, "segments/1-%02u-000-%u.seg", racer, commit);
}

/* Adds its own, and tries to merge what all try to merge. */
static void *race(void *context) {
    Racer *racer = context;

    for (unsigned c = 0; c < COMMITS; c++) {
        char name[64], target[64];
        bool known = true;
        Error err = {0};
        ErrCode code;

        commit_name(name, racer->number, c);
        assert_ok(add_one(racer->manifest, name, &known, &err), &err);
        assert_false(known);
        snprintf(target, sizeof target, "target-%u", c);
        snprintf(name, sizeof name, "merged-%u-%u", c, racer->number);
        code = replace_one(racer->manifest, target, name, &err);
        if (code == ERR_OK)
            racer->won++;
        else
            assert_int_equal(code, ERR_EXISTS);
        if (c % 7 == racer->number)
            assert_ok(manifest_checkpoint(racer->manifest, 3, 600000, &err), &err);
    }
    return NULL;
}

static void *watch(void *context) {
    Racer *racer = context;
    size_t last = 0;

    while (!*racer->stop) {
        const ManifestSnapshot *snapshot;
        Error err = {0};
        size_t count;

        assert_ok(manifest_refresh(racer->manifest, &err), &err);
        snapshot = manifest_snapshot(racer->manifest);
        manifest_entries(snapshot, &count);
        assert_true(count >= last); /* one comes for one that goes */
        last = count;
        manifest_snapshot_unref(snapshot);
    }
    return NULL;
}

static void run_race(bool conditional, bool shared) {
    _Atomic bool stop = false;
    Racer racers[RACERS + 1];
    pthread_t threads[RACERS + 1];
    Manifest *first;
    unsigned won = 0;
    World world;
    Error err = {0};

    world_init(&world, conditional);
    first = open_manifest(&world);
    for (unsigned c = 0; c < COMMITS; c++) {
        char name[64];

        snprintf(name, sizeof name, "target-%u", c);
        assert_ok(add_one(first, name, NULL, &err), &err);
    }
    for (unsigned r = 0; r <= RACERS; r++) {
        racers[r] = (Racer){&world, shared ? first : open_manifest(&world), r, 0, &stop};
        pthread_create(&threads[r], NULL, r == RACERS ? watch : race, &racers[r]);
    }
    for (unsigned r = 0; r < RACERS; r++) pthread_join(threads[r], NULL);
    stop = true;
    pthread_join(threads[RACERS], NULL);
    {
        CLEANUP(manifest_free) Manifest *fresh = open_manifest(&world);
        const ManifestSnapshot *snapshot = manifest_snapshot(fresh);
        size_t count, removed;

        for (unsigned r = 0; r < RACERS; r++) won += racers[r].won;
        manifest_entries(snapshot, &count);
        manifest_removed(snapshot, &removed);
        assert_int_equal(count, RACERS * COMMITS + won);
        assert_int_equal(removed, COMMITS);
        /* Each was merged once; without conditional PUT perhaps more often, but never not. */
        if (conditional)
            assert_int_equal(won, COMMITS);
        else
            assert_true(won >= COMMITS);
        manifest_snapshot_unref(snapshot);
    }
    for (unsigned r = 0; r <= RACERS; r++)
        if (!shared) manifest_free(racers[r].manifest);
    manifest_free(first);
    world_done(&world);
}

static void processes_that_race_lose_nothing_and_merge_once(void **state) {
    (void)state;
    run_race(true, false);
}

static void threads_that_race_lose_nothing_and_merge_once(void **state) {
    (void)state;
    run_race(true, true);
}

static void without_conditional_put_nothing_is_lost_either(void **state) {
    (void)state;
    run_race(false, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_that_race_lose_nothing_and_merge_once),
        cmocka_unit_test(threads_that_race_lose_nothing_and_merge_once),
        cmocka_unit_test(without_conditional_put_nothing_is_lost_either),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
