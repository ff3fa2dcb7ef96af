/* What a head keeps, and what selecting from it gives: compared with a plain list of everything. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "common/block/block.h"
#include "ingester/head/generation.h"
#include "ingester/head/select.h"

enum { SERIES = 300, SAMPLES_MAX = 700 };

typedef struct ModelSeries {
    LabelPair pairs[6];
    size_t pair_count;
    Str labels; /* canonical */
    Hash128 id;
    uint32_t series;
    int64_t times[SAMPLES_MAX];
    double values[SAMPLES_MAX];
    size_t count;
} ModelSeries;

typedef struct World {
    Arena *arena;
    Budget budget;
    Generation *generation;
    uint32_t tenant;
    ModelSeries *series;
} World;

static uint64_t random_state = 1;

static uint32_t dice(uint32_t sides) {
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)((random_state >> 33) % sides);
}

static Generation *generation_for(Budget *budget) {
    GenerationOptions options = {.heads = budget, .seed = 42, .epoch = 1, .created_ms = 1000};

    return generation_new(&options);
}

static Str encode(Arena *arena, const LabelPair *pairs, size_t count) {
    Buf buf;
    Str labels;

    buf_init(&buf, 0);
    labels_encode((LabelPairs){pairs, count}, &buf);
    labels = str_dup(arena, buf_str(&buf));
    buf_done(&buf);
    return labels;
}

/* Series i: a name of 10, a job of 7, an instance of its own, and now and then a zone. */
static void describe(Arena *arena, unsigned i, ModelSeries *out) {
    size_t n = 0;

    if (i % 50 != 49)
        out->pairs[n++] = (LabelPair){STR("__name__"), str_format(arena, "name_%u", i % 10)};
    out->pairs[n++] = (LabelPair){STR("instance"), str_format(arena, "10.0.0.%u:80", i)};
    out->pairs[n++] = (LabelPair){STR("job"), str_format(arena, "job-%u", i % 7)};
    if (i % 3 == 0) out->pairs[n++] = (LabelPair){STR("zone"), str_format(arena, "z%u", i % 2)};
    out->pair_count = n;
    out->labels = encode(arena, out->pairs, n);
    out->id = metrics_series_id(1, out->labels, 42);
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    Error err = {0};

    world->arena = arena_new(0, NULL);
    budget_init(&world->budget, "heads", 0, NULL);
    world->generation = generation_for(&world->budget);
    world->tenant = generation_add_tenant(world->generation, STR("team"));
    world->series = calloc(SERIES, sizeof *world->series);
    for (unsigned i = 0; i < SERIES; i++) {
        ModelSeries *series = &world->series[i];

        describe(world->arena, i, series);
        assert_ok(metrics_head_add(&world->generation->metrics, world->tenant, series->id,
                                   series->labels, &series->series, &err),
                  &err);
    }
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

    generation_unref(world->generation);
    assert_int_equal(budget_used(&world->budget), 0);
    arena_free(world->arena);
    free(world->series);
    free(world);
    return 0;
}

static bool model_has(const ModelSeries *series, int64_t time_ms) {
    for (size_t i = 0; i < series->count; i++)
        if (series->times[i] == time_ms) return true;
    return false;
}

static double some_value(double last) {
    switch (dice(5)) {
    case 0:
        return last;
    case 1:
        return last + dice(1000);
    case 2:
        return last + dice(1000) / 7.0;
    case 3:
        return -(double)dice(100000) * 1e6;
    default:
        return dice(40) == 0 ? NAN : dice(100) / 100.0;
    }
}

/* Appends to the head and to the model, which keeps an instant's first value. */
static void append(World *world, ModelSeries *series, int64_t time_ms, double value) {
    bool newest = series->count > 0 && series->times[series->count - 1] == time_ms;
    HeadOutcome outcome =
        metrics_head_append(&world->generation->metrics, series->series, time_ms, value);

    if (newest) {
        bool same = memcmp(&series->values[series->count - 1], &value, sizeof value) == 0;

        assert_int_equal(outcome, same ? HEAD_DOUBLE : HEAD_CONFLICT);
        return;
    }
    assert_int_equal(outcome, HEAD_KEPT);
    if (model_has(series, time_ms)) return;
    series->times[series->count] = time_ms;
    series->values[series->count++] = value;
}

static void fill(World *world) {
    for (unsigned i = 0; i < SERIES; i++) {
        ModelSeries *series = &world->series[i];
        unsigned count = i % 11 == 0 ? 600 : dice(100);
        int64_t t = 1700000000000 + dice(15000);
        double v = dice(1000);

        for (unsigned k = 0; k < count; k++) {
            t += i % 4 == 1 ? 15000 + dice(20) : 15000;
            v = some_value(v);
            /* The head only compares with the newest; an older instant again is for readers. */
            append(world, series, t, v);
            if (dice(20) == 0) append(world, series, t, dice(2) == 0 ? v : v + 1);
            if (i % 5 == 2 && dice(10) == 0)
                append(world, series, t - 1000 - dice(3000000), dice(100));
        }
    }
}

static int compare_i64(const void *a, const void *b) {
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Every sample of the model is in the selected chunks, with its value, and nothing else is. */
static void assert_samples(const ModelSeries *series, const SelectedSeries *selected) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    size_t total = 0, distinct = 0;
    int64_t *times = ARENA_ARRAY(arena, int64_t, SAMPLES_MAX * 2);
    Error err = {0};

    for (uint32_t c = 0; c < selected->chunk_count; c++) {
        ChunkSamples samples;

        assert_ok(stream_decode(&selected->chunks[c], arena, &samples, &err), &err);
        assert_true(selected->chunks[c].bytes.len <= HEAD_CHUNK_BYTES);
        assert_true(samples.count > 0);
        assert_int_equal(samples.times[0], selected->chunks[c].min_ms);
        assert_int_equal(samples.times[samples.count - 1], selected->chunks[c].max_ms);
        for (size_t i = 0; i < samples.count; i++) {
            bool found = false;

            for (size_t k = 0; k < series->count; k++)
                found |= series->times[k] == samples.times[i];
            assert_true(found);
            times[total++] = samples.times[i];
        }
    }
    qsort(times, total, sizeof *times, compare_i64);
    for (size_t i = 0; i < total; i++) distinct += i == 0 || times[i] != times[i - 1];
    assert_int_equal(distinct, series->count);
    /* The first to arrive of an instant has the model's value. */
    for (size_t k = 0; k < series->count; k++) {
        bool found = false;

        for (uint32_t c = 0; !found && c < selected->chunk_count; c++) {
            ChunkSamples samples;

            assert_ok(stream_decode(&selected->chunks[c], arena, &samples, &err), &err);
            for (size_t i = 0; !found && i < samples.count; i++) {
                if (samples.times[i] != series->times[k]) continue;
                assert_memory_equal(&samples.values[i], &series->values[k], sizeof(double));
                found = true;
            }
        }
        assert_true(found);
    }
}

static const ModelSeries *find_model(const World *world, const MetricsSelection *selection,
                                     const SelectedSeries *selected) {
    for (unsigned i = 0; i < SERIES; i++) {
        const ModelSeries *series = &world->series[i];
        bool same = series->pair_count == selected->pair_count;

        for (uint32_t k = 0; same && k < selected->pair_count; k++) {
            assert_true(selected->pairs[k] < selection->pair_count);
            LabelPair pair = selection->pairs[selected->pairs[k]];

            same = str_equal(pair.name, series->pairs[k].name) &&
                   str_equal(pair.value, series->pairs[k].value);
        }
        if (same) return series;
    }
    fail_msg("a series that nobody made");
    return NULL;
}

static Str model_label(const ModelSeries *series, Str name) {
    return labels_get((LabelPairs){series->pairs, series->pair_count}, name);
}

static bool model_matches(const ModelSeries *series, const Matcher *matchers, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!matcher_matches(&matchers[i], model_label(series, matchers[i].name))) return false;
    return true;
}

static bool model_in_range(const World *world, const ModelSeries *series, int64_t min_ms,
                           int64_t max_ms) {
    uint32_t count = metrics_head_chunk_count(&world->generation->metrics, series->series);
    ChunkView views[64];

    metrics_head_chunks(&world->generation->metrics, series->series, views);
    for (uint32_t i = 0; i < count; i++)
        if (views[i].min_ms <= max_ms && views[i].max_ms >= min_ms) return true;
    return false;
}

static MetricsSelection select_all(const World *world, const Matcher *matchers, size_t count,
                                   int64_t min_ms, int64_t max_ms, Arena *arena) {
    HeadSelect select = {
        .matchers = matchers, .matcher_count = count, .min_ms = min_ms, .max_ms = max_ms};
    MetricsSelection out;
    Error err = {0};

    assert_ok(metrics_head_select(&world->generation->metrics, world->tenant, &select, arena, &out,
                                  NULL, &err),
              &err);
    return out;
}

static void everything_appended_is_selected(void **state) {
    World *world = *state;
    MetricsSelection selection;
    size_t filled = 0;

    fill(world);
    selection = select_all(world, NULL, 0, INT64_MIN, INT64_MAX, world->arena);
    for (unsigned i = 0; i < SERIES; i++) filled += world->series[i].count > 0;
    assert_int_equal(selection.series_count, filled);
    for (size_t i = 0; i < selection.series_count; i++)
        assert_samples(find_model(world, &selection, &selection.series[i]), &selection.series[i]);
}

static void matchers_select_what_they_say(void **state) {
    static const struct {
        MatchOp op;
        const char *name, *value;
    } cases[][3] = {
        {{MATCH_EQUAL, "__name__", "name_3"}},
        {{MATCH_EQUAL, "__name__", "name_3"}, {MATCH_EQUAL, "job", "job-1"}},
        {{MATCH_EQUAL, "__name__", "none"}},
        {{MATCH_EQUAL, "job", "job-2"}},
        {{MATCH_NOT_EQUAL, "job", "job-2"}, {MATCH_REGEX, "__name__", "name_[1-4]"}},
        {{MATCH_REGEX, "instance", "10.0.0.1[0-9]:80"}},
        {{MATCH_NOT_REGEX, "instance", "10.*"}},
        {{MATCH_EQUAL, "zone", ""}},
        {{MATCH_NOT_EQUAL, "zone", ""}},
        {{MATCH_NOT_EQUAL, "zone", "z0"}},
        {{MATCH_REGEX, "zone", "z1|"}, {MATCH_NOT_EQUAL, "__name__", ""}},
        {{MATCH_EQUAL, "nothing", ""}},
        {{MATCH_EQUAL, "nothing", "x"}},
        {{MATCH_NOT_REGEX, "nothing", "x.*"}, {MATCH_EQUAL, "__name__", ""}},
        {{MATCH_REGEX, "nothing", ".+"}},
        {{MATCH_REGEX, "__name__", "name_5|name_6"}, {MATCH_NOT_REGEX, "job", "job-[0-3]"}},
        {{MATCH_EQUAL, "job", "name_3"}},
    };
    World *world = *state;

    fill(world);
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        Matcher matchers[3];
        size_t count = 0, expected = 0;
        int64_t from = INT64_MIN, to = INT64_MAX;
        Error err = {0};
        MetricsSelection selection;

        while (count < 3 && cases[c][count].name != NULL) {
            assert_ok(matcher_new(arena, cases[c][count].op, str_of(cases[c][count].name),
                                  str_of(cases[c][count].value), &matchers[count], &err),
                      &err);
            count++;
        }
        if (c % 2 == 1) {
            from = 1700000100000;
            to = from + 60000;
        }
        selection = select_all(world, matchers, count, from, to, arena);
        for (unsigned i = 0; i < SERIES; i++)
            expected += world->series[i].count > 0 &&
                        model_matches(&world->series[i], matchers, count) &&
                        model_in_range(world, &world->series[i], from, to);
        assert_int_equal(selection.series_count, expected);
        for (size_t i = 0; i < selection.series_count; i++) {
            const ModelSeries *series = find_model(world, &selection, &selection.series[i]);

            assert_true(model_matches(series, matchers, count));
            for (uint32_t k = 0; k < selection.series[i].chunk_count; k++) {
                assert_true(selection.series[i].chunks[k].min_ms <= to);
                assert_true(selection.series[i].chunks[k].max_ms >= from);
            }
            if (c % 2 == 0) assert_samples(series, &selection.series[i]);
        }
    }
}

static void labels_only_hands_out_no_chunks(void **state) {
    World *world = *state;
    HeadSelect select = {.min_ms = INT64_MIN, .max_ms = INT64_MAX, .labels_only = true};
    MetricsSelection out;
    Error err = {0};

    append(world, &world->series[5], 1000, 1);
    assert_ok(metrics_head_select(&world->generation->metrics, world->tenant, &select, world->arena,
                                  &out, NULL, &err),
              &err);
    assert_int_equal(out.series_count, 1);
    assert_int_equal(out.series[0].chunk_count, 0);
    assert_ptr_equal(find_model(world, &out, &out.series[0]), &world->series[5]);
}

static void series_are_found_by_id_and_others_are_not(void **state) {
    World *world = *state;
    MetricsRow rows[SERIES + 50];
    uint32_t which[SERIES + 50], out[SERIES + 50];

    for (unsigned i = 0; i < SERIES + 50; i++) {
        rows[i].id = i < SERIES ? world->series[i].id : (Hash128){i, i * 77};
        /* Others whose tag is the same as a known one's. */
        if (i >= SERIES + 25) rows[i].id.low = world->series[i - SERIES].id.low;
        which[i] = SERIES + 49 - i;
    }
    metrics_head_find(&world->generation->metrics, rows, which, SERIES + 50, out);
    for (unsigned i = 0; i < SERIES + 50; i++)
        assert_int_equal(out[i], which[i] < SERIES ? world->series[which[i]].series : HEAD_NONE);
}

/* A query's view stays as it was, whatever the lane does meanwhile. */
static void a_pinned_selection_does_not_change(void **state) {
    World *world = *state;
    Slab *slab = &world->generation->metrics.slab;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    MetricsSelection selection;
    ModelSeries *copies = malloc(SERIES * sizeof *copies);
    unsigned phase;

    for (unsigned round = 0; round < 4; round++) {
        phase = slab_pin(slab);
        selection = select_all(world, NULL, 0, INT64_MIN, INT64_MAX, arena);
        memcpy(copies, world->series, SERIES * sizeof *copies);
        for (unsigned k = 0; k < 60; k++) {
            for (unsigned i = 0; i < SERIES; i++)
                append(world, &world->series[i], 1000 + (round * 60 + k) * 15000, dice(1u << 30));
            slab_settle(slab);
        }
        for (size_t i = 0; i < selection.series_count; i++) {
            const ModelSeries *now = find_model(world, &selection, &selection.series[i]);

            assert_samples(&copies[now - world->series], &selection.series[i]);
        }
        slab_unpin(slab, phase);
    }
    slab_settle(slab);
    slab_settle(slab);
    slab_settle(slab);
    assert_int_equal(slab->limbo[0].count + slab->limbo[1].count, 0);
    free(copies);
}

static void what_the_lane_frees_comes_back_even_when_queries_never_cease(void **state) {
    World *world = *state;
    Slab *slab = &world->generation->metrics.slab;
    unsigned pins[2] = {slab_pin(slab), slab_pin(slab)};
    size_t limbo_max = 0;

    for (unsigned k = 0; k < 600; k++) {
        for (unsigned i = 0; i < SERIES; i++)
            append(world, &world->series[i], 1000 + k * 15000, dice(1u << 30));
        slab_settle(slab);
        slab_unpin(slab, pins[k % 2]);
        pins[k % 2] = slab_pin(slab);
        limbo_max = MAX(limbo_max, slab->limbo[0].count + slab->limbo[1].count);
    }
    assert_true(limbo_max < 8 * SERIES);
    slab_unpin(slab, pins[0]);
    slab_unpin(slab, pins[1]);
}

static void a_budget_refuses_new_series_but_not_what_is_durable(void **state) {
    Budget budget;
    Generation *generation;
    Arena *arena = arena_new(0, NULL);
    Error err = {0};
    ErrCode code = ERR_OK;
    unsigned n = 0;

    (void)state;
    budget_init(&budget, "heads", MIB(1), NULL);
    generation = generation_for(&budget);
    assert_int_equal(generation_add_tenant(generation, STR("t")), 0);
    for (; code == ERR_OK && n < 100000; n++) {
        ModelSeries series = {0};

        describe(arena, n, &series);
        code = metrics_head_add(&generation->metrics, 0, series.id, series.labels, &series.series,
                                &err);
        if (code == ERR_OK)
            for (unsigned k = 0; k < 20; k++)
                assert_int_equal(
                    metrics_head_append(&generation->metrics, series.series, k * 10, k / 3.0),
                    HEAD_KEPT);
    }
    assert_int_equal(code, ERR_LIMIT);
    assert_true(n > 100);
    assert_true(budget_used(&budget) < MIB(2));
    assert_false(metrics_head_reserve(&generation->metrics, MIB(1)));
    for (unsigned k = 0; k < 1000; k++)
        (void)metrics_head_append(&generation->metrics, 0, 1000000 + k * 10, k / 3.0);
    generation_unref(generation);
    assert_int_equal(budget_used(&budget), 0);
    arena_free(arena);
}

static NativeHistogram histogram_of(double *buckets, HistogramSpan *span, unsigned k) {
    *span = (HistogramSpan){0, 3};
    for (unsigned i = 0; i < 3; i++) buckets[i] = k + i;
    return (NativeHistogram){.schema = 2,
                             .count = 3.0 * k + 3,
                             .sum = k,
                             .positive_spans = span,
                             .positive = buckets,
                             .positive_span_count = 1,
                             .positive_count = 3};
}

static void histograms_and_floats_share_a_series(void **state) {
    World *world = *state;
    MetricsHead *head = &world->generation->metrics;
    uint32_t series = world->series[1].series;
    MetricsSelection selection;
    size_t floats = 0, histograms = 0;
    Error err = {0};

    for (unsigned k = 0; k < 300; k++) {
        double buckets[3];
        HistogramSpan span;
        NativeHistogram h = histogram_of(buckets, &span, k);

        if (k % 3 == 0) {
            assert_int_equal(metrics_head_append(head, series, k * 1000, k), HEAD_KEPT);
            assert_int_equal(metrics_head_append_histogram(head, series, k * 1000, &h),
                             HEAD_CONFLICT);
            continue;
        }
        assert_int_equal(metrics_head_append_histogram(head, series, k * 1000, &h), HEAD_KEPT);
        assert_int_equal(metrics_head_append_histogram(head, series, k * 1000, &h), HEAD_DOUBLE);
        buckets[1]++;
        assert_int_equal(metrics_head_append_histogram(head, series, k * 1000, &h), HEAD_CONFLICT);
        assert_int_equal(metrics_head_append(head, series, k * 1000, k), HEAD_CONFLICT);
    }
    selection = select_all(world, NULL, 0, INT64_MIN, INT64_MAX, world->arena);
    assert_int_equal(selection.series_count, 1);
    for (uint32_t c = 0; c < selection.series[0].chunk_count; c++) {
        ChunkSamples samples;

        assert_ok(stream_decode(&selection.series[0].chunks[c], world->arena, &samples, &err),
                  &err);
        for (size_t i = 0; i < samples.count; i++)
            assert_true(samples.values[i] * 1000 == (double)samples.times[i]);
        for (size_t i = 0; i < samples.histogram_count; i++)
            assert_true(samples.histograms[i]->sum * 1000 == (double)samples.histogram_times[i]);
        floats += samples.count;
        histograms += samples.histogram_count;
    }
    assert_int_equal(floats, 100);
    assert_int_equal(histograms, 200);
}

static void the_newest_exemplars_are_kept_each_once(void **state) {
    World *world = *state;
    MetricsHead *head = &world->generation->metrics;
    HeadSelect select = {.min_ms = 0, .max_ms = INT64_MAX};
    LabelPair trace = {STR("trace_id"), STR("abc")};
    Str labels = encode(world->arena, &trace, 1);
    HeadExemplars *exemplars;
    MetricsSelection out;
    Error err = {0};

    append(world, &world->series[9], 5, 5);
    for (unsigned s = 9; s < 12; s++)
        for (unsigned k = 0; k < 10 * (s - 8); k++)
            for (unsigned twice = 0; twice < 2; twice++)
                metrics_head_append_exemplar(
                    head, world->series[s].series,
                    &(MetricsExemplar){.time_ms = k, .value = k, .labels = labels});
    assert_ok(
        metrics_head_select(head, world->tenant, &select, world->arena, &out, &exemplars, &err),
        &err);
    assert_int_equal(out.series_count, 3);
    for (size_t i = 0; i < 3; i++) {
        unsigned s = (unsigned)(find_model(world, &out, &out.series[i]) - world->series);
        unsigned all = 10 * (s - 8), kept = MIN(all, (unsigned)HEAD_EXEMPLARS_MAX);

        assert_int_equal(exemplars[i].count, kept);
        for (unsigned k = 0; k < kept; k++) {
            assert_int_equal(exemplars[i].items[k].time_ms, all - kept + k);
            assert_true(str_equal(exemplars[i].items[k].labels, labels));
        }
    }
    select.min_ms = 25;
    assert_ok(
        metrics_head_select(head, world->tenant, &select, world->arena, &out, &exemplars, &err),
        &err);
    assert_int_equal(out.series_count, 1);
    assert_int_equal(exemplars[0].count, 5);
}

static void the_latest_metadata_of_each_metric_counts(void **state) {
    World *world = *state;
    MetricsHead *head = &world->generation->metrics;
    MetadataList list = {0};
    MetricsMetadata item = {STR("up"), STR("is it"), STR(""), METRIC_GAUGE};
    Error err = {0};

    assert_false(metrics_head_metadata_known(head, world->tenant, &item));
    assert_true(metrics_head_set_metadata(head, world->tenant, &item));
    assert_true(metrics_head_metadata_known(head, world->tenant, &item));
    item.help = STR("is it up");
    assert_false(metrics_head_metadata_known(head, world->tenant, &item));
    assert_true(metrics_head_set_metadata(head, world->tenant, &item));
    item = (MetricsMetadata){STR("down"), STR(""), STR("s"), METRIC_COUNTER};
    assert_true(metrics_head_set_metadata(head, world->tenant, &item));
    assert_ok(metrics_head_metadata(head, world->tenant, world->arena, &list, &err), &err);
    assert_int_equal(list.count, 2);
    assert_true(str_equal(list.items[0].metric, STR("down")));
    assert_true(str_equal(list.items[1].help, STR("is it up")));
}

static void labels_are_those_of_series_with_samples(void **state) {
    World *world = *state;
    MetricsHead *head = &world->generation->metrics;
    StrList names = {0}, values = {0};
    Error err = {0};

    append(world, &world->series[3], 1, 1);
    append(world, &world->series[4], 1, 1);
    assert_ok(metrics_head_labels(head, world->tenant, STR(""), world->arena, &names, &err), &err);
    assert_int_equal(names.count, 4);
    assert_ok(metrics_head_labels(head, world->tenant, STR("job"), world->arena, &values, &err),
              &err);
    assert_int_equal(values.count, 2);
    values = (StrList){0};
    assert_ok(metrics_head_labels(head, world->tenant, STR("nope"), world->arena, &values, &err),
              &err);
    assert_int_equal(values.count, 0);
}

static void labels_that_are_not_canonical_make_no_series(void **state) {
    World *world = *state;
    uint32_t series, before = world->generation->metrics.series_count;
    Error err = {0};

    for (size_t len = 1; len < world->series[0].labels.len; len++) {
        Str cut = {world->series[0].labels.ptr, len};
        ErrCode code = metrics_head_add(&world->generation->metrics, world->tenant,
                                        (Hash128){len, 1}, cut, &series, &err);

        if (code != ERR_OK) {
            assert_int_equal(code, ERR_INVALID);
            assert_int_equal(world->generation->metrics.series_count, before);
        }
        before = world->generation->metrics.series_count;
    }
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(everything_appended_is_selected),
        WORLD_TEST(matchers_select_what_they_say),
        WORLD_TEST(labels_only_hands_out_no_chunks),
        WORLD_TEST(series_are_found_by_id_and_others_are_not),
        WORLD_TEST(a_pinned_selection_does_not_change),
        WORLD_TEST(what_the_lane_frees_comes_back_even_when_queries_never_cease),
        cmocka_unit_test(a_budget_refuses_new_series_but_not_what_is_durable),
        WORLD_TEST(histograms_and_floats_share_a_series),
        WORLD_TEST(the_newest_exemplars_are_kept_each_once),
        WORLD_TEST(the_latest_metadata_of_each_metric_counts),
        WORLD_TEST(labels_are_those_of_series_with_samples),
        WORLD_TEST(labels_that_are_not_canonical_make_no_series),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
