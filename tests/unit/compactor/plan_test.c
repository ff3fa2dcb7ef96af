/* What a compactor does next is read from a snapshot alone. */
#include "compactor/plan/plan.h"
#include "tests/unit/manifest/manifest_helper.h"

#define HOUR INT64_C(3600000)
#define NOW (1700000000000 / (24 * HOUR) * (24 * HOUR) + 30 * HOUR) /* 6:00 of some day */
#define DAY (NOW - 30 * HOUR)                                       /* the day before, 0:00 */

/* A manifest with what a test puts into it. */
typedef struct Scene {
    World world;
    Manifest *manifest;
    Tenants *tenants;
    Arena *arena;
    PlanOptions options;
    unsigned next;
} Scene;

static void scene_make(Scene *scene) {
    TenantLimits none = {0}, hour = {.retention_metrics_ms = HOUR, .retention_logs_ms = 100 * HOUR};
    TenantOverride overrides[] = {{STR("short"), hour}};
    Error err = {0};

    *scene = (Scene){.arena = arena_new(0, NULL), .tenants = tenants_new(&none, false)};
    world_init(&scene->world, true);
    scene->manifest = open_manifest(&scene->world);
    assert_ok(tenants_replace(scene->tenants, &none, overrides, 1, &err), &err);
    scene->options =
        (PlanOptions){.tenants = scene->tenants, .now_ms = NOW, .block_bytes_max = 1000000};
}

static void scene_done(Scene *scene) {
    manifest_free(scene->manifest);
    tenants_free(scene->tenants);
    arena_free(scene->arena);
    world_done(&scene->world);
}

/* Returns its key. */
static Str add_object(Scene *scene, uint32_t level, uint64_t size, const BlockPart *parts,
                      size_t count) {
    ManifestEntry entry = {.size = size,
                           .checksum = 1,
                           .level = level,
                           .created_ms = DAY + scene->next,
                           .parts = parts,
                           .part_count = count};
    ManifestChange change = {.add = &entry, .add_count = 1};
    Error err = {0};

    entry.key = str_format(scene->arena, "%c%03u", level == 0 ? 's' : 'b', scene->next++);
    assert_ok(manifest_commit(scene->manifest, &change, NULL, &err), &err);
    return entry.key;
}

static BlockPart part(const char *tenant, Signal signal, int64_t min_ms, int64_t max_ms) {
    return (BlockPart){str_of(tenant), signal, min_ms, max_ms, 1, 1, 1};
}

static Str add_block(Scene *scene, const char *tenant, int64_t min_ms, int64_t max_ms,
                     uint64_t size) {
    BlockPart one = part(tenant, SIGNAL_METRICS, min_ms, max_ms);

    return add_object(scene, 1, size, &one, 1);
}

/* "drop s000", "split a/metrics:s000,s001 ...", "merge 2 a/metrics:b000,b001" */
static const char *plan_text(Scene *scene) {
    static const char *const kinds[] = {"nothing", "split", "merge", "drop"};
    static char text[4096];
    const ManifestSnapshot *snapshot = manifest_snapshot(scene->manifest);
    size_t at;
    Error err = {0};
    Plan plan;

    assert_ok(plan_next(snapshot, &scene->options, scene->arena, &plan, &err), &err);
    at = (size_t)snprintf(text, sizeof text, "%s", kinds[plan.kind]);
    if (plan.kind == PLAN_DROP || plan.kind == PLAN_SPLIT)
        for (size_t i = 0; i < plan.replaced_count; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, " " STR_FMT,
                                   STR_ARG(plan.replaced[i]->key));
    for (size_t j = 0; j < plan.job_count; j++) {
        const MergeJob *job = &plan.jobs[j];

        at += (size_t)snprintf(text + at, sizeof text - at, " %u/" STR_FMT "/%s", job->level,
                               STR_ARG(job->tenant), signal_name(job->signal));
        for (size_t s = 0; s < job->source_count; s++)
            at += (size_t)snprintf(text + at, sizeof text - at, ":" STR_FMT,
                                   STR_ARG(job->sources[s]->key));
    }
    manifest_snapshot_unref(snapshot);
    return text;
}

static void nothing_is_to_do_in_an_empty_store(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    assert_string_equal(plan_text(&scene), "nothing");
    add_block(&scene, "a", DAY, DAY + HOUR, 10);
    assert_string_equal(plan_text(&scene), "nothing");
    scene_done(&scene);
}

static void what_expired_whole_is_dropped_first(void **state) {
    BlockPart both[] = {part("short", SIGNAL_METRICS, NOW - 3 * HOUR, NOW - HOUR - 1),
                        part("z", SIGNAL_METRICS, NOW - 3 * HOUR, NOW - 2 * HOUR)};
    BlockPart logs[] = {part("short", SIGNAL_METRICS, NOW - 3 * HOUR, NOW - 2 * HOUR),
                        part("short", SIGNAL_LOGS, NOW - 3 * HOUR, NOW - 2 * HOUR)};
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_object(&scene, 0, 10, both, 2); /* z has no retention */
    add_object(&scene, 0, 10, both, 1);
    add_object(&scene, 0, 10, logs, 2); /* logs stay for longer */
    add_block(&scene, "short", 0, NOW - HOUR - 1, 10);
    add_block(&scene, "short", 0, NOW - HOUR, 10); /* this very instant is still kept */
    add_block(&scene, "a", INT64_MIN, INT64_MIN, 10);
    assert_string_equal(plan_text(&scene), "drop s001 b003");
    scene_done(&scene);
}

static void segments_become_a_block_for_each_tenant_and_signal(void **state) {
    BlockPart one[] = {part("a", SIGNAL_METRICS, DAY, DAY + 1),
                       part("a", SIGNAL_LOGS, DAY, DAY + 1),
                       part("c", SIGNAL_METRICS, DAY, DAY + 1)};
    BlockPart two[] = {part("a", SIGNAL_METRICS, DAY, DAY + 1),
                       part("b", SIGNAL_METRICS, DAY, DAY + 1),
                       part("short", SIGNAL_METRICS, DAY, DAY + 1)};
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "a", DAY, DAY + 1, 10);
    add_object(&scene, 0, 10, one, 3);
    add_object(&scene, 0, 10, two, 3); /* what is expired in it isn't even read */
    assert_string_equal(plan_text(&scene),
                        "split s001 s002 1/a/metrics:s001:s002 1/a/logs:s001 1/b/metrics:s002 "
                        "1/c/metrics:s001");
    scene_done(&scene);
}

static void not_too_many_segments_are_read_at_a_time(void **state) {
    BlockPart one = part("a", SIGNAL_METRICS, DAY, DAY + 1);
    const ManifestSnapshot *snapshot;
    Error err = {0};
    Scene scene;
    Plan plan;

    (void)state;
    scene_make(&scene);
    for (unsigned i = 0; i < PLAN_SOURCES_MAX + 5; i++) add_object(&scene, 0, 10, &one, 1);
    snapshot = manifest_snapshot(scene.manifest);
    assert_ok(plan_next(snapshot, &scene.options, scene.arena, &plan, &err), &err);
    assert_int_equal(plan.replaced_count, PLAN_SOURCES_MAX);
    assert_int_equal(plan.jobs[0].source_count, PLAN_SOURCES_MAX);
    assert_true(str_equal(plan.replaced[0]->key, STR("s000"))); /* the oldest first */
    scene.options.sources_max = 3;
    assert_ok(plan_next(snapshot, &scene.options, scene.arena, &plan, &err), &err);
    assert_int_equal(plan.replaced_count, 3);
    manifest_snapshot_unref(snapshot);
    scene_done(&scene);
}

static void a_settled_window_becomes_one_block(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "a", DAY + 1, DAY + HOUR, 10);
    add_block(&scene, "b", DAY + 1, DAY + HOUR, 10);
    add_block(&scene, "a", DAY, DAY + 2 * HOUR - 1, 10);
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b002");
    scene_done(&scene);
}

static void an_open_window_waits_for_four(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    scene.options.now_ms = DAY + HOUR;
    for (int i = 0; i < 3; i++) add_block(&scene, "a", DAY + i, DAY + HOUR, 10);
    assert_string_equal(plan_text(&scene), "nothing");
    add_block(&scene, "a", DAY + 9, DAY + 10, 10);
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b001:b002:b003");
    scene_done(&scene);
}

static void a_window_stays_open_for_ten_minutes_after_its_end(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "a", DAY + 1, DAY + HOUR, 10);
    add_block(&scene, "a", DAY + 2, DAY + HOUR, 10);
    scene.options.now_ms = DAY + 2 * HOUR + HOUR / 6 - 1;
    assert_string_equal(plan_text(&scene), "nothing");
    scene.options.now_ms++;
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b001");
    scene_done(&scene);
}

static void windows_widen_from_two_to_twelve_to_twenty_four_hours(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "a", DAY + HOUR, DAY + 2 * HOUR - 1, 10);
    add_block(&scene, "a", DAY + 2 * HOUR, DAY + 4 * HOUR - 1, 10);
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b001"); /* of 12 hours */
    scene_done(&scene);
    scene_make(&scene);
    add_block(&scene, "a", DAY, DAY + 12 * HOUR - 1, 10);
    add_block(&scene, "a", DAY + 12 * HOUR, DAY + 24 * HOUR - 1, 10);
    add_block(&scene, "a", DAY + 24 * HOUR, DAY + 25 * HOUR, 10); /* another day */
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b001");
    scene_done(&scene);
    /* What reaches from one day into the next belongs to that in which it begins. */
    scene_make(&scene);
    add_block(&scene, "a", DAY + HOUR, DAY + 25 * HOUR, 10);
    add_block(&scene, "a", DAY + 13 * HOUR, DAY + 14 * HOUR, 10);
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b001");
    scene_done(&scene);
}

static void times_before_1970_have_windows_as_well(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "a", -HOUR, -1, 10);
    add_block(&scene, "a", 0, HOUR, 10); /* not the same two hours, but nothing rounds to zero */
    assert_string_equal(plan_text(&scene), "nothing");
    add_block(&scene, "a", -2 * HOUR, -2 * HOUR, 10);
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b002");
    scene_done(&scene);
}

static void the_ends_of_time_overflow_nothing(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "a", INT64_MIN, INT64_MAX, 10);
    add_block(&scene, "a", INT64_MAX, INT64_MAX, 10);
    assert_string_equal(plan_text(&scene), "nothing");
    add_block(&scene, "short", NOW - 2 * HOUR, INT64_MAX, 10);
    assert_string_equal(plan_text(&scene), "nothing"); /* an hour too much of very many */
    add_block(&scene, "short", INT64_MIN, INT64_MAX, 10);
    assert_string_equal(plan_text(&scene), "merge 2/short/metrics:b003");
    scene_done(&scene);
}

static void blocks_do_not_grow_beyond_their_limit(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "a", DAY, DAY + 10, 900000);
    add_block(&scene, "a", DAY + 1, DAY + 10, 200000);
    assert_string_equal(plan_text(&scene), "nothing");
    add_block(&scene, "a", DAY + 2, DAY + 10, 100000);
    assert_string_equal(plan_text(&scene), "merge 2/a/metrics:b000:b002");
    scene_done(&scene);
}

static void a_block_that_expired_in_good_part_is_written_anew(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, "short", NOW - HOUR - 10, NOW - HOUR + 90, 10); /* a tenth: not yet */
    assert_string_equal(plan_text(&scene), "nothing");
    scene.options.now_ms++;
    assert_string_equal(plan_text(&scene), "merge 2/short/metrics:b000");
    scene_done(&scene);
}

static void objects_that_cannot_be_read_are_only_ever_dropped(void **state) {
    BlockPart one = part("a", SIGNAL_METRICS, DAY, DAY + 1);
    Str avoid[4];
    Scene scene;

    (void)state;
    scene_make(&scene);
    avoid[0] = add_object(&scene, 0, 10, &one, 1);
    avoid[1] = add_block(&scene, "a", DAY, DAY + 1, 10);
    avoid[2] = add_block(&scene, "short", NOW - 2 * HOUR, NOW, 10);
    add_block(&scene, "a", DAY, DAY + 1, 10);
    scene.options.avoid = avoid;
    scene.options.avoid_count = 3;
    assert_string_equal(plan_text(&scene), "nothing");
    scene.options.now_ms += 2 * HOUR;
    assert_string_equal(plan_text(&scene), "drop b002");
    scene_done(&scene);
}

/* ---- the end ---- */

static uint64_t random_below(uint64_t *seed, uint64_t below) {
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*seed >> 33) % below;
}

static void apply_job(Scene *scene, const MergeJob *job, ManifestEntry *entry) {
    BlockPart *result = ARENA_NEW(scene->arena, BlockPart);
    bool any = false;

    *result = (BlockPart){.tenant = job->tenant, .signal = job->signal};
    *entry = (ManifestEntry){.key = str_format(scene->arena, "r%u", scene->next++),
                             .checksum = 1,
                             .level = job->level,
                             .created_ms = job->sources[0]->created_ms,
                             .parts = result,
                             .part_count = 1};
    for (size_t s = 0; s < job->source_count; s++)
        for (size_t p = 0; p < job->sources[s]->part_count; p++) {
            const BlockPart *from = &job->sources[s]->parts[p];

            if (!str_equal(from->tenant, job->tenant) || from->signal != job->signal) continue;
            result->min_ms = any ? MIN(result->min_ms, from->min_ms) : from->min_ms;
            result->max_ms = any ? MAX(result->max_ms, from->max_ms) : from->max_ms;
            entry->size += job->sources[s]->size / job->sources[s]->part_count;
            any = true;
        }
    assert_true(any);
    result->min_ms = MAX(result->min_ms, job->keep_from_ms);
    assert_true(result->min_ms <= result->max_ms);
}

/* Does as it is told, as a compactor would. False: there is nothing more to do. */
static bool apply_plan(Scene *scene) {
    const ManifestSnapshot *snapshot = manifest_snapshot(scene->manifest);
    ManifestEntry *added;
    ManifestChange change;
    Error err = {0};
    Str *removed;
    Plan plan;

    assert_ok(plan_next(snapshot, &scene->options, scene->arena, &plan, &err), &err);
    added = ARENA_ARRAY(scene->arena, ManifestEntry, plan.job_count);
    removed = ARENA_ARRAY(scene->arena, Str, plan.replaced_count);
    for (size_t j = 0; j < plan.job_count; j++) apply_job(scene, &plan.jobs[j], &added[j]);
    for (size_t i = 0; i < plan.replaced_count; i++) removed[i] = plan.replaced[i]->key;
    change = (ManifestChange){added, plan.job_count, removed, plan.replaced_count};
    assert_ok(manifest_commit(scene->manifest, &change, NULL, &err), &err);
    manifest_snapshot_unref(snapshot);
    return plan.kind != PLAN_NOTHING;
}

static void a_plan_that_is_carried_out_again_and_again_ends(void **state) {
    static const char *const names[] = {"a", "b", "short"};

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        uint64_t random = seed;
        unsigned steps = 0;
        Scene scene;

        scene_make(&scene);
        scene.options.sources_max = random_below(&random, 6);
        for (unsigned i = 0; i < 60; i++) {
            BlockPart parts[3];
            size_t count = 1 + random_below(&random, 3);

            for (size_t p = 0; p < count; p++) {
                int64_t from = NOW - (int64_t)random_below(&random, 72 * HOUR);

                parts[p] = part(names[p], SIGNAL_METRICS, from,
                                from + (int64_t)random_below(&random, 30 * HOUR));
            }
            add_object(&scene, count > 1 ? 0 : (uint32_t)random_below(&random, 3),
                       random_below(&random, 900000), parts, count);
        }
        while (apply_plan(&scene)) {
            scene.options.now_ms += 1000; /* time doesn't stand still meanwhile */
            assert_true(++steps < 200);
        }
        scene_done(&scene);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_to_do_in_an_empty_store),
        cmocka_unit_test(what_expired_whole_is_dropped_first),
        cmocka_unit_test(segments_become_a_block_for_each_tenant_and_signal),
        cmocka_unit_test(not_too_many_segments_are_read_at_a_time),
        cmocka_unit_test(a_settled_window_becomes_one_block),
        cmocka_unit_test(an_open_window_waits_for_four),
        cmocka_unit_test(a_window_stays_open_for_ten_minutes_after_its_end),
        cmocka_unit_test(windows_widen_from_two_to_twelve_to_twenty_four_hours),
        cmocka_unit_test(times_before_1970_have_windows_as_well),
        cmocka_unit_test(the_ends_of_time_overflow_nothing),
        cmocka_unit_test(blocks_do_not_grow_beyond_their_limit),
        cmocka_unit_test(a_block_that_expired_in_good_part_is_written_anew),
        cmocka_unit_test(objects_that_cannot_be_read_are_only_ever_dropped),
        cmocka_unit_test(a_plan_that_is_carried_out_again_and_again_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
