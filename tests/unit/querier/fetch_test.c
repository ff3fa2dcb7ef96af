/* Heads and blocks as one: each series once, each of its instants once, nothing outside the range.
 */
#include "tests/unit/querier/fetch_helper.h"

static void nothing_is_found_where_nothing_is(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=up", INT64_MIN, INT64_MAX, "");
    assert_string_equal(labels_text(&scene, "", "", INT64_MIN, INT64_MAX), "");
    scene_done(&scene);
}

static void series_of_heads_and_blocks_are_one(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", "x", 1000, 1, 0}, {"a", "up", "x", 2000, 2, 0},
              {"a", "up", "y", 1000, 5, 0}, {"b", "up", "x", 1000, 9, 0});
    add_block(&scene, {"a", "up", "x", 3000, 3, 0});
    add_head(&scene, {"a", "up", "x", 4000, 4, 0}, {"a", "up", "z", 4000, 7, 0});
    add_head(&scene, {"a", "up", "x", 5000, 5, 0});
    add_head(&scene, {"b", "up", "x", 4000, 8, 0});
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=up", INT64_MIN, INT64_MAX,
                   "up job=x 1000:1 2000:2 3000:3 4000:4 5000:5 ; up job=y 1000:5 ; "
                   "up job=z 4000:7 ; ");
    assert_int_equal(scene.query.samples_read, 7);
    assert_selects(&scene, "__name__=up job=x", 2000, 4000, "up job=x 2000:2 3000:3 4000:4 ; ");
    assert_selects(&scene, "__name__=up job!~x|y", 0, 9000, "up job=z 4000:7 ; ");
    query_begin(&scene, "b", INT64_MIN);
    assert_selects(&scene, "__name__=up", INT64_MIN, INT64_MAX, "up job=x 1000:9 4000:8 ; ");
    scene_done(&scene);
}

static void an_instant_is_there_once_and_the_older_place_wins(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", NULL, 1000, 1, 0}, {"a", "up", NULL, 2000, 1, 0});
    add_block(&scene, {"a", "up", NULL, 1000, 2, 0}, {"a", "up", NULL, 1500, 2, 0},
              {"a", "up", NULL, 2000, 2, 0}, {"a", "up", NULL, 3000, 2, 0});
    add_head(&scene, {"a", "up", NULL, 3000, 3, 0}, {"a", "up", NULL, 2000, 3, 0},
             {"a", "up", NULL, 2500, 3, 0}, {"a", "up", NULL, 2500, 99, 0});
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=up", INT64_MIN, INT64_MAX,
                   "up 1000:1 1500:2 2000:1 2500:3 3000:2 ; ");
    /* Also where all of it is trimmed at both ends. */
    assert_selects(&scene, "__name__=up", 1200, 2600, "up 1500:2 2000:1 2500:3 ; ");
    scene_done(&scene);
}

/* Whoever asks for presence gets all instants, and stale markers as they are. */
static void presence_alone_keeps_instants_and_stale_markers(void **state) {
    uint64_t bits = UINT64_C(0x7ff0000000000002);
    double stale;
    Scene scene;

    (void)state;
    memcpy(&stale, &bits, sizeof stale);
    scene_make(&scene);
    add_block(&scene, {"a", "plain", NULL, 1000, 7, 0}, {"a", "plain", NULL, 2000, 8, 0},
              {"a", "stale", NULL, 1000, 7, 0}, {"a", "stale", NULL, 2000, stale, 0},
              {"a", "stale", NULL, 3000, 9, 0});
    add_block(&scene, {"a", "plain", NULL, 3000, 9, 0});
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "", 0, 9000,
                   "plain 1000:7 2000:8 3000:9 ; stale 1000:7 2000:nan 3000:9 ; ");
    scene.presence_only = true;
    assert_selects(&scene, "__name__=plain", 1500, 9000, "plain 2000:0 3000:0 ; ");
    assert_selects(&scene, "__name__=stale", 0, 9000, "stale 1000:7 2000:nan 3000:9 ; ");
    scene_done(&scene);
}

/* Objects come in order of age; what they hold may be of any time. */
static void blocks_need_not_be_in_order_of_time(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", NULL, 5000, 5, 0}, {"a", "up", NULL, 6000, 6, 0});
    add_block(&scene, {"a", "up", NULL, 1000, 1, 0}, {"a", "up", NULL, 2000, 2, 0});
    add_block(&scene, {"a", "up", NULL, 3000, 3, 0}, {"a", "up", NULL, 4000, 4, 0});
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=up", INT64_MIN, INT64_MAX,
                   "up 1000:1 2000:2 3000:3 4000:4 5000:5 6000:6 ; ");
    add_block(&scene, {"a", "up", NULL, 3500, 7, 0}); /* in the middle of one */
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=up", INT64_MIN, INT64_MAX,
                   "up 1000:1 2000:2 3000:3 3500:7 4000:4 5000:5 6000:6 ; ");
    scene_done(&scene);
}

static void floats_and_histograms_of_a_series_are_merged(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "h", NULL, 1000, 1, 0}, {"a", "h", NULL, 2000, 0, 20},
              {"a", "h", NULL, 3000, 3, 0});
    add_block(&scene, {"a", "h", NULL, 1000, 0, 11}, {"a", "h", NULL, 1500, 0, 15},
              {"a", "h", NULL, 2000, 2, 0});
    add_head(&scene, {"a", "h", NULL, 4000, 0, 40}, {"a", "h", NULL, 3000, 0, 30},
             {"a", "h", NULL, 5000, 5, 0});
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=h", INT64_MIN, INT64_MAX,
                   "h 1000:1 1500:h15 2000:h20 3000:3 4000:h40 5000:5 ; ");
    assert_selects(&scene, "__name__=h", 1001, 4999, "h 1500:h15 2000:h20 3000:3 4000:h40 ; ");
    assert_selects(&scene, "__name__=h", 4000, 4000, "h 4000:h40 ; ");
    scene_done(&scene);
}

static void samples_outside_of_the_range_are_left_out(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", NULL, -2000, 1, 0}, {"a", "up", NULL, 0, 2, 0},
              {"a", "up", NULL, 2000, 3, 0});
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=up", -2000, 2000, "up -2000:1 0:2 2000:3 ; ");
    assert_selects(&scene, "__name__=up", -1999, 1999, "up 0:2 ; ");
    assert_selects(&scene, "__name__=up", 2000, INT64_MAX, "up 2000:3 ; ");
    assert_selects(&scene, "__name__=up", INT64_MIN, -2000, "up -2000:1 ; ");
    assert_selects(&scene, "__name__=up", 2001, INT64_MAX, "");
    scene_done(&scene);
}

static void what_is_past_its_retention_is_not_shown(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "gone", NULL, 1000, 1, 0}, {"a", "up", NULL, 1000, 1, 0},
              {"a", "up", NULL, 2000, 2, 0}, {"a", "up", NULL, 3000, 3, 0});
    query_begin(&scene, "a", 2000);
    assert_selects(&scene, "__name__=~.+", INT64_MIN, INT64_MAX, "up 2000:2 3000:3 ; ");
    assert_string_equal(labels_text(&scene, "__name__", "__name__=~.+", INT64_MIN, INT64_MAX),
                        "up");
    query_begin(&scene, "a", 3001);
    assert_selects(&scene, "__name__=~.+", INT64_MIN, INT64_MAX, "");
    scene_done(&scene);
}

/* ---- shared times ---- */

static void read_all(Scene *scene, SeriesScratch *scratch, SeriesSamples *out, size_t count) {
    SelectRequest request = {.min_ms = 0, .max_ms = 9000};
    Error err = {0};
    SeriesSet set;

    parse_matchers(scene, "__name__=~.+", &request);
    assert_ok(scene->source->select(scene->source, &scene->query, &request, &set, &err), &err);
    assert_int_equal(set.count, count);
    for (size_t i = 0; i < count; i++) assert_ok(set.read(&set, i, scratch, &out[i], &err), &err);
}

static void series_of_the_same_instants_have_the_same_times_id(void **state) {
    SeriesSamples samples[4];
    Scene scene;

    (void)state;
    for (int heads = 0; heads < 3; heads++) {
        scene_make(&scene);
        if (heads != 1)
            add_block(&scene, {"a", "m1", NULL, 1000, 1, 0}, {"a", "m1", NULL, 2000, 2, 0},
                      {"a", "m2", NULL, 1000, 5, 0}, {"a", "m2", NULL, 2000, 6, 0},
                      {"a", "m3", NULL, 1000, 5, 0}, {"a", "m3", NULL, 2001, 6, 0});
        if (heads != 0)
            add_head(&scene, {"a", "m1", NULL, 3000, 1, 0}, {"a", "m1", NULL, 4000, 2, 0},
                     {"a", "m2", NULL, 3000, 5, 0}, {"a", "m2", NULL, 4000, 6, 0},
                     {"a", "m3", NULL, 3000, 5, 0}, {"a", "m3", NULL, 4001, 6, 0});
        query_begin(&scene, "a", INT64_MIN);
        {
            CLEANUP(series_scratch_free) SeriesScratch *scratch = series_scratch_new(&scene.query);
            size_t same = 0;

            read_all(&scene, scratch, samples, 3);
            for (size_t i = 0; i < 3; i++)
                for (size_t j = i + 1; j < 3; j++) {
                    assert_true(samples[i].times_id != 0);
                    if (samples[i].times_id != samples[j].times_id) continue;
                    same++;
                    /* They live as long as the scratch, and are really the same. */
                    assert_int_equal(samples[i].count, samples[j].count);
                    assert_memory_equal(samples[i].times, samples[j].times,
                                        samples[i].count * sizeof(int64_t));
                }
            assert_int_equal(same, 1);
        }
        scene_done(&scene);
    }
}

/* ---- many tenants ---- */

static void federated_series_say_whose_they_are(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", "x", 1000, 1, 0}, {"b", "up", "x", 1000, 2, 0},
              {"c", "up", "x", 1000, 3, 0});
    add_head(&scene, {"a", "up", "x", 2000, 1, 0});
    add_head(&scene, {"b", "up", "Zone=eu", 2000, 2, 0});
    query_begin(&scene, "a|b", INT64_MIN);
    assert_selects(&scene, "__name__=up", 0, 9000,
                   "Zone=eu up __tenant_id__=b 2000:2 ; up __tenant_id__=a job=x 1000:1 2000:1 ; "
                   "up __tenant_id__=b job=x 1000:2 ; ");
    assert_string_equal(labels_text(&scene, "", "", 0, 9000), "Zone __name__ __tenant_id__ job");
    assert_string_equal(labels_text(&scene, "__tenant_id__", "", 0, 9000), "a b");
    assert_string_equal(labels_text(&scene, "", "job=x", 0, 9000), "__name__ __tenant_id__ job");
    scene_done(&scene);
}

static void each_tenant_of_a_federated_query_keeps_its_own_retention(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", NULL, 1000, 1, 0}, {"a", "up", NULL, 3000, 1, 0},
              {"b", "gone", NULL, 1000, 2, 0}, {"b", "up", NULL, 1000, 2, 0},
              {"b", "up", NULL, 3000, 2, 0});
    query_begin(&scene, "a|b", 2000);
    assert_selects(&scene, "__name__=~.+", 0, 9000,
                   "up __tenant_id__=a 1000:1 3000:1 ; up __tenant_id__=b 3000:2 ; ");
    assert_string_equal(labels_text(&scene, "__name__", "__name__=~.+", 0, 9000), "up");
    scene_done(&scene);
}

/* Work per set of instants is done once: instants that a tenant's retention cut are others. */
static void series_that_retention_cuts_differently_do_not_share_their_times(void **state) {
    SeriesSamples samples[2];
    Scene scene;

    (void)state;
    for (int heads = 0; heads < 3; heads++)
        for (int cut_first = 0; cut_first < 2; cut_first++) {
            scene_make(&scene);
            if (heads != 1)
                add_block(&scene, {"a", "up", NULL, 1000, 1, 0}, {"a", "up", NULL, 3000, 1, 0},
                          {"b", "up", NULL, 1000, 2, 0}, {"b", "up", NULL, 3000, 2, 0});
            if (heads != 0) {
                add_head(&scene, {"a", "up", NULL, 1500, 1, 0}, {"a", "up", NULL, 4000, 1, 0});
                add_head(&scene, {"b", "up", NULL, 1500, 2, 0}, {"b", "up", NULL, 4000, 2, 0});
            }
            query_begin(&scene, cut_first ? "b|a" : "a|b", 2000);
            {
                CLEANUP(series_scratch_free)
                SeriesScratch *scratch = series_scratch_new(&scene.query);

                read_all(&scene, scratch, samples, 2);
                assert_int_not_equal(samples[0].count, samples[1].count);
                assert_true(samples[0].times_id != samples[1].times_id);
                assert_true(samples[0].times_id != 0 || samples[1].times_id != 0);
            }
            scene_done(&scene);
        }
}

static void matchers_of_the_tenant_label_choose_tenants(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", NULL, 1000, 1, 0}, {"b", "only", NULL, 1000, 2, 0},
              {"b", "up", NULL, 1000, 2, 0}, {"c", "up", NULL, 1000, 3, 0});
    query_begin(&scene, "a|b|c", INT64_MIN);
    assert_selects(&scene, "__name__=up __tenant_id__=b", 0, 9000, "up __tenant_id__=b 1000:2 ; ");
    assert_selects(&scene, "__name__=up __tenant_id__!=b", 0, 9000,
                   "up __tenant_id__=a 1000:1 ; up __tenant_id__=c 1000:3 ; ");
    assert_selects(&scene, "__name__=up __tenant_id__=~b|c __tenant_id__!=c", 0, 9000,
                   "up __tenant_id__=b 1000:2 ; ");
    assert_selects(&scene, "__tenant_id__=c", 0, 9000, "up __tenant_id__=c 1000:3 ; ");
    assert_selects(&scene, "__name__=up __tenant_id__=d", 0, 9000, "");
    assert_string_equal(labels_text(&scene, "__name__", "__tenant_id__=b", 0, 9000), "only up");
    assert_string_equal(labels_text(&scene, "__tenant_id__", "__name__=only", 0, 9000), "b");
    assert_string_equal(labels_text(&scene, "__tenant_id__", "__tenant_id__!=b", 0, 9000), "a c");
    assert_string_equal(labels_text(&scene, "", "__tenant_id__=d", 0, 9000), "");
    /* One tenant alone has no such label. */
    query_begin(&scene, "b", INT64_MIN);
    assert_selects(&scene, "__name__=up __tenant_id__=b", 0, 9000, "");
    assert_string_equal(labels_text(&scene, "__tenant_id__", "", 0, 9000), "");
    scene_done(&scene);
}

static void a_label_that_looks_like_the_tenants_is_kept_under_another_name(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", "__tenant_id__=mine", 1000, 1, 0}, {"b", "up", NULL, 1000, 2, 0});
    query_begin(&scene, "a|b", INT64_MIN);
    assert_selects(&scene, "__name__=up", 0, 9000,
                   "up __tenant_id__=a original___tenant_id__=mine 1000:1 ; "
                   "up __tenant_id__=b 1000:2 ; ");
    assert_selects(&scene, "__name__=up original___tenant_id__=mine", 0, 9000,
                   "up __tenant_id__=a original___tenant_id__=mine 1000:1 ; ");
    assert_string_equal(labels_text(&scene, "", "", 0, 9000),
                        "__name__ __tenant_id__ original___tenant_id__");
    assert_string_equal(labels_text(&scene, "original___tenant_id__", "", 0, 9000), "mine");
    assert_string_equal(labels_text(&scene, "__tenant_id__", "", 0, 9000), "a b");
    query_begin(&scene, "a", INT64_MIN);
    assert_selects(&scene, "__name__=up", 0, 9000, "up __tenant_id__=mine 1000:1 ; ");
    scene_done(&scene);
}

/* ---- labels, exemplars, metadata ---- */

static void label_names_and_values_are_sorted_and_each_is_there_once(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "one", "x", 1000, 1, 0}, {"a", "two", "y", 1000, 1, 0});
    add_block(&scene, {"a", "one", "x", 2000, 1, 0}, {"a", "three", "w", 2000, 1, 0});
    add_head(&scene, {"a", "four", "x", 3000, 1, 0}, {"a", "two", "Zone=v", 3000, 1, 0});
    query_begin(&scene, "a", INT64_MIN);
    assert_string_equal(labels_text(&scene, "", "", 0, 9000), "Zone __name__ job");
    assert_string_equal(labels_text(&scene, "__name__", "", 0, 9000), "four one three two");
    assert_string_equal(labels_text(&scene, "job", "", 0, 9000), "w x y");
    assert_string_equal(labels_text(&scene, "job", "__name__=~t.*", 0, 9000), "w y");
    assert_string_equal(labels_text(&scene, "", "__name__=two Zone=v", 0, 9000), "Zone __name__");
    assert_string_equal(labels_text(&scene, "none", "", 0, 9000), "");
    scene_done(&scene);
}

static void exemplars_of_heads_and_blocks_are_one(void **state) {
    const SelectedExemplar stored[] = {{1000, 1, STR("\n\x06\n\x01t\x12\x01x")},
                                       {2000, 2, STR("\n\x06\n\x01t\x12\x01y")}};
    const SelectedExemplar fresh[] = {{2000, 2, STR("\n\x06\n\x01t\x12\x01y")},
                                      {2000, 3, STR("\n\x06\n\x01t\x12\x01y")},
                                      {3000, 4, STR("")},
                                      {9500, 4, STR("")}};
    const Row rows[] = {{"a", "up", NULL, 1000, 1, 0}, {"a", "up", NULL, 2000, 1, 0}};
    SelectRequest request = {.min_ms = 0, .max_ms = 9000};
    ExemplarSeries *series;
    Error err = {0};
    size_t count;
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block_with(&scene, rows, 2, stored, 2, NULL, 0);
    add_head_rows(&scene, rows, 2)->exemplars[0] = (HeadExemplars){fresh, 4};
    query_begin(&scene, "a", INT64_MIN);
    parse_matchers(&scene, "__name__=up", &request);
    assert_ok(scene.source->exemplars(scene.source, &scene.query, &request, &series, &count, &err),
              &err);
    assert_int_equal(count, 1);
    assert_int_equal(series[0].count, 4);
    for (size_t i = 1; i < 4; i++)
        assert_true(series[0].exemplars[i - 1].time_ms <= series[0].exemplars[i].time_ms);
    assert_int_equal(series[0].exemplars[0].labels.count, 1);
    assert_int_equal(series[0].exemplars[3].time_ms, 3000);
    assert_int_equal(series[0].exemplars[3].labels.count, 0);
    scene_done(&scene);
}

static void metadata_is_each_there_once(void **state) {
    MetadataItem stored[] = {{STR("one"), STR("help"), STR("s"), METRIC_COUNTER},
                             {STR("two"), STR(""), STR(""), METRIC_GAUGE}};
    MetadataItem fresh[] = {{STR("one"), STR("help"), STR("s"), METRIC_COUNTER},
                            {STR("one"), STR("new help"), STR("s"), METRIC_COUNTER}};
    const Row rows[] = {{"a", "up", NULL, 1000, 1, 0}};
    MetadataEntry *items;
    Error err = {0};
    size_t count;
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block_with(&scene, rows, 1, NULL, 0, stored, 2);
    scene.metadata = fresh;
    scene.metadata_count = 2;
    query_begin(&scene, "a", INT64_MIN);
    assert_ok(scene.source->metadata(scene.source, &scene.query, STR(""), &items, &count, &err),
              &err);
    assert_int_equal(count, 3);
    assert_true(str_equal(items[2].metric, STR("two")));
    assert_true(str_equal(items[2].type, STR("gauge")));
    assert_ok(scene.source->metadata(scene.source, &scene.query, STR("two"), &items, &count, &err),
              &err);
    assert_int_equal(count, 1);
    scene_done(&scene);
}

/* ---- limits and failures ---- */

static void more_series_than_the_limit_is_an_error_that_names_it(void **state) {
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", "x", 1000, 1, 0}, {"a", "up", "y", 1000, 1, 0});
    add_head(&scene, {"a", "up", "x", 2000, 1, 0}, {"a", "up", "y", 2000, 1, 0});
    query_begin(&scene, "a", INT64_MIN);
    scene.query.series_max = 2;
    assert_selects(&scene, "__name__=up", 0, 9000,
                   "up job=x 1000:1 2000:1 ; up job=y 1000:1 2000:1 ; ");
    scene.query.series_max = 1;
    assert_non_null(strstr(select_text(&scene, "__name__=up", 0, 9000),
                           "limit: the selector matches 2 series, more than this tenant's "
                           "limits.query_series_max of 1"));
    scene_done(&scene);
}

static void a_query_that_is_cancelled_or_late_stops(void **state) {
    atomic_bool cancelled = true;
    Scene scene;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", "x", 1000, 1, 0});
    query_begin(&scene, "a", INT64_MIN);
    scene.query.cancelled = &cancelled;
    assert_selects(&scene, "__name__=up", 0, 9000, "cancelled: query was canceled");
    cancelled = false;
    scene.query.deadline_ns = 1;
    assert_selects(&scene, "__name__=up", 0, 9000, "timeout: query timed out");
    scene_done(&scene);
}

static void too_little_memory_is_an_error_at_every_size(void **state) {
    Scene scene;
    bool done = false;

    (void)state;
    scene_make(&scene);
    add_block(&scene, {"a", "up", "x", 1000, 1, 0}, {"a", "up", "y", 1000, 1, 0});
    add_block(&scene, {"a", "up", "x", 2000, 1, 0});
    add_head(&scene, {"a", "up", "x", 2000, 1, 0});
    for (size_t bytes = 4096; !done; bytes += 4096) {
        SelectRequest request = {.min_ms = 0, .max_ms = 9000};
        Arena *all;
        Error err = {0};
        SeriesSet set;
        ErrCode code;

        query_begin(&scene, "a", INT64_MIN);
        parse_matchers(&scene, "__name__=up", &request);
        all = scene.query.arena;
        scene.query.arena = arena_new(bytes, NULL);
        code = scene.source->select(scene.source, &scene.query, &request, &set, &err);
        done = code == ERR_OK;
        if (!done) assert_int_equal(code, ERR_LIMIT);
        arena_free(scene.query.arena);
        scene.query.arena = all;
        assert_true(bytes < 64u << 20);
    }
    scene_done(&scene);
}

static void a_store_that_fails_is_an_error_and_never_a_short_answer(void **state) {
    uint64_t call = 1;
    bool fired = true;

    (void)state;
    for (; fired; call++) {
        Scene scene;
        const char *text;

        scene_make(&scene);
        add_block(&scene, {"a", "up", "x", 1000, 1, 0}, {"a", "up", "y", 1000, 1, 0});
        add_block(&scene, {"a", "up", "x", 2000, 2, 0});
        query_begin(&scene, "a", INT64_MIN);
        store_fault_arm(scene.faulty, &(FaultPlan){.kind = FAULT_BEFORE, .call = call});
        text = select_text(&scene, "__name__=up", 0, 9000);
        fired = store_fault_fired(scene.faulty) > 0;
        if (fired)
            assert_true(str_starts_with(str_of(text), STR("unavailable: ")));
        else
            assert_string_equal(text, "up job=x 1000:1 2000:2 ; up job=y 1000:1 ; ");
        /* The next one succeeds: nothing half read was kept. */
        assert_selects(&scene, "__name__=up", 0, 9000,
                       "up job=x 1000:1 2000:2 ; up job=y 1000:1 ; ");
        scene_done(&scene);
    }
    assert_true(call > 3);
}

static void the_pool_reads_blocks_side_by_side(void **state) {
    Pool *pool;
    Error err = {0};
    Scene scene;

    (void)state;
    scene_make(&scene);
    assert_ok(pool_new("query", 3, 64, &pool, &err), &err);
    for (int i = 0; i < 20; i++) add_block(&scene, {"a", "up", "x", 1000 + i, (double)i, 0});
    query_begin(&scene, "a", INT64_MIN);
    scene.query.pool = pool;
    assert_selects(&scene, "__name__=up", 0, 9000,
                   "up job=x 1000:0 1001:1 1002:2 1003:3 1004:4 1005:5 1006:6 1007:7 1008:8 "
                   "1009:9 1010:10 1011:11 1012:12 1013:13 1014:14 1015:15 1016:16 1017:17 "
                   "1018:18 1019:19 ; ");
    query_end(&scene);
    pool_free(pool);
    scene_done(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_found_where_nothing_is),
        cmocka_unit_test(series_of_heads_and_blocks_are_one),
        cmocka_unit_test(an_instant_is_there_once_and_the_older_place_wins),
        cmocka_unit_test(presence_alone_keeps_instants_and_stale_markers),
        cmocka_unit_test(blocks_need_not_be_in_order_of_time),
        cmocka_unit_test(floats_and_histograms_of_a_series_are_merged),
        cmocka_unit_test(samples_outside_of_the_range_are_left_out),
        cmocka_unit_test(what_is_past_its_retention_is_not_shown),
        cmocka_unit_test(series_of_the_same_instants_have_the_same_times_id),
        cmocka_unit_test(federated_series_say_whose_they_are),
        cmocka_unit_test(each_tenant_of_a_federated_query_keeps_its_own_retention),
        cmocka_unit_test(series_that_retention_cuts_differently_do_not_share_their_times),
        cmocka_unit_test(matchers_of_the_tenant_label_choose_tenants),
        cmocka_unit_test(a_label_that_looks_like_the_tenants_is_kept_under_another_name),
        cmocka_unit_test(label_names_and_values_are_sorted_and_each_is_there_once),
        cmocka_unit_test(exemplars_of_heads_and_blocks_are_one),
        cmocka_unit_test(metadata_is_each_there_once),
        cmocka_unit_test(more_series_than_the_limit_is_an_error_that_names_it),
        cmocka_unit_test(a_query_that_is_cancelled_or_late_stops),
        cmocka_unit_test(too_little_memory_is_an_error_at_every_size),
        cmocka_unit_test(a_store_that_fails_is_an_error_and_never_a_short_answer),
        cmocka_unit_test(the_pool_reads_blocks_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
