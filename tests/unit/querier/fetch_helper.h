#pragma once
/*
 * fetch_helper.h: blocks in a memory store and heads made of literals, and what a selector reads
 * from both as text.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/block/stream.h"
#include "common/store/fault.h"
#include "querier/fetch/fetch.h"
#include "tests/unit/unit.h"

/* One sample; `histogram` instead of a float when not 0. */
typedef struct Row {
    const char *tenant;
    const char *name;
    const char *job; /* NULL: none */
    int64_t time_ms;
    double value;
    double histogram;
} Row;

enum { HEADS_MAX = 8, SERIES_MAX = 64 };

/* One generation of a tenant. */
typedef struct FakeHead {
    Str tenant;
    MetricsSelection selection;
    HeadExemplars exemplars[SERIES_MAX];
} FakeHead;

typedef struct Scene {
    Arena *arena;
    StoreDriver *faulty;
    Store *store;
    Manifest *manifest;
    BlockCache *cache;
    FakeHead heads[HEADS_MAX];
    size_t head_count;
    MetadataItem *metadata; /* of all heads */
    size_t metadata_count;
    unsigned next_key;

    Arena *query_arena;
    QueryContext query;
    bool presence_only; /* what selects ask for */
    BlockStats stats;
    SeriesSource *source;
} Scene;

static inline NativeHistogram *row_histogram(Arena *arena, double sum) {
    NativeHistogram *h = ARENA_NEW(arena, NativeHistogram);

    h->sum = sum;
    h->count = h->zero_count = 1;
    return h;
}

static inline LabelPairs row_labels(Arena *arena, const Row *row) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, 2);
    size_t count = 0;

    pairs[count++] = (LabelPair){LABEL_NAME, str_of(row->name)};
    if (row->job != NULL) {
        Str name = STR("job"), value = str_of(row->job);

        /* "name=value" is a label of another name */
        if (str_cut(value, '=', &name, &value))
            pairs[count++] = (LabelPair){name, value};
        else
            pairs[count++] = (LabelPair){STR("job"), str_of(row->job)};
    }
    labels_sort(pairs, count);
    return (LabelPairs){pairs, count};
}

static inline bool same_series(const Row *a, const Row *b) {
    return strcmp(a->tenant, b->tenant) == 0 && strcmp(a->name, b->name) == 0 &&
           (a->job == NULL) == (b->job == NULL) && (a->job == NULL || strcmp(a->job, b->job) == 0);
}

/* ---- blocks ---- */

/* Rows of a series stand together, in order of time; series in order, tenants too. */
static inline void add_block_with(Scene *scene, const Row *rows, size_t count,
                                  const SelectedExemplar *exemplars, size_t exemplar_count,
                                  const MetadataItem *metadata, size_t metadata_count) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockSummary summary;
    BlockWriter *writer;
    ManifestEntry entry;
    Error err = {0};
    Buf body;

    buf_init(&body, 0);
    writer = block_writer_new(arena, block_sink_buf(&body), 100 + scene->next_key);
    for (size_t i = 0; i < count;) {
        int64_t *times = ARENA_ARRAY(arena, int64_t, count);
        int64_t *histogram_times = ARENA_ARRAY(arena, int64_t, count);
        double *values = ARENA_ARRAY(arena, double, count);
        const NativeHistogram **list = ARENA_ARRAY(arena, const NativeHistogram *, count);
        ChunkSamples samples = {times, values, 0, histogram_times, list, 0};
        size_t first = i;

        if (i == 0 || strcmp(rows[i].tenant, rows[i - 1].tenant) != 0)
            assert_ok(block_metrics_begin(writer, str_of(rows[i].tenant), &err), &err);
        for (; i < count && same_series(&rows[first], &rows[i]); i++)
            if (rows[i].histogram != 0) {
                histogram_times[samples.histogram_count] = rows[i].time_ms;
                list[samples.histogram_count++] = row_histogram(arena, rows[i].histogram);
            } else {
                times[samples.count] = rows[i].time_ms;
                values[samples.count++] = rows[i].value;
            }
        assert_ok(block_metrics_series(writer, row_labels(arena, &rows[first]), &samples, &err),
                  &err);
        if (exemplar_count > 0)
            assert_ok(block_metrics_exemplars(writer, exemplars, exemplar_count, &err), &err);
        if (i < count && strcmp(rows[i].tenant, rows[first].tenant) == 0) continue;
        if (metadata_count > 0)
            assert_ok(block_metrics_metadata(writer, metadata, metadata_count, &err), &err);
        assert_ok(block_metrics_end(writer, &err), &err);
    }
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    entry = (ManifestEntry){.key = str_format(arena, "block-%u", scene->next_key),
                            .size = summary.bytes,
                            .checksum = summary.checksum,
                            .level = 1,
                            .created_ms = 100 + scene->next_key,
                            .parts = summary.parts,
                            .part_count = summary.part_count};
    scene->next_key++;
    assert_ok(store_put(scene->store, entry.key, buf_str(&body), NULL, &err), &err);
    assert_ok(manifest_commit(scene->manifest, &(ManifestChange){.add = &entry, .add_count = 1},
                              NULL, &err),
              &err);
    buf_done(&body);
}

#define add_block(scene, ...)                                                                      \
    do {                                                                                           \
        const Row rows_[] = {__VA_ARGS__};                                                         \
        add_block_with(scene, rows_, ARRAY_LEN(rows_), NULL, 0, NULL, 0);                          \
    } while (0)

/* ---- heads ---- */

/* A series' samples in order of arrival, one stream. */
static inline ChunkView *row_stream(Arena *arena, const Row *rows, size_t count) {
    ChunkView *chunk = ARENA_NEW(arena, ChunkView);
    StreamState state = {0};
    size_t used = 0;
    uint8_t *bytes = arena_alloc(arena, count * 256);

    chunk->min_ms = INT64_MAX;
    chunk->max_ms = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].histogram != 0)
            used += stream_append_histogram(&state, bytes + used, rows[i].time_ms,
                                            row_histogram(arena, rows[i].histogram));
        else
            used += stream_append(&state, bytes + used, rows[i].time_ms, rows[i].value);
        chunk->min_ms = MIN(chunk->min_ms, rows[i].time_ms);
        chunk->max_ms = MAX(chunk->max_ms, rows[i].time_ms);
    }
    chunk->kind = CHUNK_STREAM;
    chunk->bytes = (Str){(const char *)bytes, used};
    chunk->count = (uint32_t)count;
    chunk->in_order = state.in_order;
    return chunk;
}

/* One tenant's rows; those of a series stand together. */
static inline FakeHead *add_head_rows(Scene *scene, const Row *rows, size_t count) {
    FakeHead *head = &scene->heads[scene->head_count++];
    LabelPair *pairs = ARENA_ARRAY(scene->arena, LabelPair, count * 2);
    SelectedSeries *series = ARENA_ARRAY(scene->arena, SelectedSeries, count);
    size_t used = 0, series_count = 0;

    assert_true(scene->head_count <= HEADS_MAX && count <= SERIES_MAX);
    for (size_t i = 0; i < count;) {
        LabelPairs labels = row_labels(scene->arena, &rows[i]);
        uint32_t *ids = ARENA_ARRAY(scene->arena, uint32_t, labels.count);
        size_t first = i;

        for (size_t l = 0; l < labels.count; l++) {
            pairs[used] = labels.pairs[l];
            ids[l] = (uint32_t)used++;
        }
        while (i < count && same_series(&rows[first], &rows[i])) i++;
        series[series_count++] = (SelectedSeries){
            ids, row_stream(scene->arena, &rows[first], i - first), (uint32_t)labels.count, 1};
    }
    head->tenant = str_of(rows[0].tenant);
    head->selection = (MetricsSelection){pairs, used, series, series_count};
    return head;
}

#define add_head(scene, ...)                                                                       \
    do {                                                                                           \
        const Row rows_[] = {__VA_ARGS__};                                                         \
        add_head_rows(scene, rows_, ARRAY_LEN(rows_));                                             \
    } while (0)

static inline bool head_matches(const MetricsSelection *selection, const SelectedSeries *series,
                                const HeadSelect *select) {
    for (size_t m = 0; m < select->matcher_count; m++) {
        Str value = STR("");

        for (uint32_t p = 0; p < series->pair_count; p++)
            if (str_equal(selection->pairs[series->pairs[p]].name, select->matchers[m].name))
                value = selection->pairs[series->pairs[p]].value;
        if (!matcher_matches(&select->matchers[m], value)) return false;
    }
    return series->chunks[0].min_ms <= select->max_ms && series->chunks[0].max_ms >= select->min_ms;
}

static inline ErrCode heads_exemplars(void *context, const HeadSelect *select, Arena *arena,
                                      MetricsSelection **out, HeadExemplars ***exemplars,
                                      size_t *count, Error *err) {
    const Scene *scene = context;
    MetricsSelection *selections = ARENA_ARRAY(arena, MetricsSelection, HEADS_MAX);
    HeadExemplars **lists = ARENA_ARRAY(arena, HeadExemplars *, HEADS_MAX);
    size_t used = 0;

    if (selections == NULL || lists == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    for (size_t h = 0; h < scene->head_count; h++) {
        const FakeHead *head = &scene->heads[h];
        SelectedSeries *series = ARENA_ARRAY(arena, SelectedSeries, SERIES_MAX);
        size_t kept = 0;

        lists[used] = ARENA_ARRAY(arena, HeadExemplars, SERIES_MAX);
        if (series == NULL || lists[used] == NULL)
            return error_set(err, ERR_LIMIT, "out of memory");
        if (!str_equal(head->tenant, select->tenant)) continue;
        for (size_t s = 0; s < head->selection.series_count; s++)
            if (head_matches(&head->selection, &head->selection.series[s], select)) {
                series[kept] = head->selection.series[s];
                if (select->labels_only) series[kept].chunk_count = 0;
                lists[used][kept++] = head->exemplars[s];
            }
        selections[used] = head->selection;
        selections[used].series = series;
        selections[used++].series_count = kept;
    }
    *out = selections;
    *count = used;
    if (exemplars != NULL) *exemplars = lists;
    return ERR_OK;
}

static inline ErrCode heads_select(void *context, const HeadSelect *select, Arena *arena,
                                   MetricsSelection **out, size_t *count, Error *err) {
    return heads_exemplars(context, select, arena, out, NULL, count, err);
}

static inline ErrCode heads_labels(void *context, Str tenant, Str name, Arena *arena, Str **out,
                                   size_t *count, Error *err) {
    const Scene *scene = context;
    Str *items = ARENA_ARRAY(arena, Str, HEADS_MAX * SERIES_MAX * 2);
    size_t used = 0;

    (void)err;
    for (size_t h = 0; h < scene->head_count; h++)
        for (size_t p = 0; p < scene->heads[h].selection.pair_count; p++) {
            const LabelPair *pair = &scene->heads[h].selection.pairs[p];

            if (!str_equal(scene->heads[h].tenant, tenant)) continue;
            if (name.len == 0) items[used++] = pair->name;
            if (name.len > 0 && str_equal(pair->name, name)) items[used++] = pair->value;
        }
    *out = items;
    *count = used;
    return ERR_OK;
}

static inline ErrCode heads_metadata(void *context, Str tenant, Arena *arena, MetadataItem **out,
                                     size_t *count, Error *err) {
    const Scene *scene = context;

    (void)tenant, (void)arena, (void)err;
    *out = scene->metadata;
    *count = scene->metadata_count;
    return ERR_OK;
}

/* ---- the scene ---- */

static inline void scene_make(Scene *scene) {
    Error err = {0};

    *scene = (Scene){.arena = arena_new(0, NULL)};
    scene->faulty = store_driver_fault(store_driver_memory(), 0, FAULT_NONE);
    scene->store = store_new(scene->faulty);
    scene->cache = block_cache_new(scene->store, NULL);
    assert_ok(manifest_open(scene->store, clock_system(), &scene->manifest, &err), &err);
}

static inline void query_end(Scene *scene) {
    arena_free(scene->query_arena);
    scene->query_arena = NULL;
}

static inline void scene_done(Scene *scene) {
    query_end(scene);
    block_cache_free(scene->cache);
    manifest_free(scene->manifest);
    store_free(scene->store);
    arena_free(scene->arena);
}

/* "a" or "a|b"; the last of them keeps from keep_from_ms on, the others all. */
static inline void query_begin(Scene *scene, const char *tenants, int64_t keep_from_ms) {
    FetchOptions options = {
        .cache = scene->cache,
        .manifest = scene->manifest,
        .heads = {heads_select, heads_exemplars, heads_labels, heads_metadata, scene}};
    FetchTenant *names;
    Str rest = str_of(tenants);
    size_t count = 0;

    query_end(scene);
    scene->query_arena = arena_new(0, NULL);
    names = ARENA_ARRAY(scene->query_arena, FetchTenant, 8);
    for (bool more = true; more; count++) {
        names[count].keep_from_ms = INT64_MIN;
        more = str_cut(rest, '|', &names[count].name, &rest);
    }
    names[count - 1].keep_from_ms = keep_from_ms;
    memset(&scene->query, 0, sizeof scene->query);
    scene->query.arena = scene->query_arena;
    scene->query.symbols = symbols_new(scene->query_arena);
    scene->source = fetch_source_new(&options, names, count, &scene->stats, scene->query_arena);
    assert_non_null(scene->source);
}

/* ---- reading ---- */

/* "name=value", "name!=value", "name=~value", "name!~value"; several separated by spaces. */
static inline void parse_matchers(Scene *scene, const char *text, SelectRequest *out) {
    Matcher *matchers = ARENA_ARRAY(scene->query_arena, Matcher, 8);
    Str rest = str_of(text), one;
    size_t count = 0;
    Error err = {0};

    for (bool more = rest.len > 0; more;) {
        MatchOp op = MATCH_EQUAL;
        Str name, value;

        more = str_cut(rest, ' ', &one, &rest);
        assert_true(str_cut(one, '=', &name, &value) || str_cut(one, '!', &name, &value));
        if (value.len > 0 && value.ptr[0] == '~') {
            op = name.len + value.len + 1 == one.len && one.ptr[name.len] == '!' ? MATCH_NOT_REGEX
                                                                                 : MATCH_REGEX;
            value = str_from(value, 1);
        } else if (name.len > 0 && name.ptr[name.len - 1] == '!') {
            op = MATCH_NOT_EQUAL;
            name.len--;
        }
        assert_ok(matcher_new(scene->query_arena, op, name, value, &matchers[count++], &err), &err);
    }
    out->matchers = matchers;
    out->matcher_count = count;
}

static inline int compare_lines(const void *a, const void *b) {
    return strcmp(a, b);
}

static inline size_t write_series_text(Scene *scene, LabelSet labels, const SeriesSamples *samples,
                                       char *out, size_t size) {
    size_t at = 0, f = 0, h = 0;

    for (uint32_t l = 0; l < labels.count; l++) {
        Str name = symbols_str(scene->query.symbols, labels.labels[l].name);
        Str value = symbols_str(scene->query.symbols, labels.labels[l].value);

        if (l > 0)
            assert_true(str_compare(symbols_str(scene->query.symbols, labels.labels[l - 1].name),
                                    name) < 0);
        if (str_equal(name, LABEL_NAME))
            at += (size_t)snprintf(out + at, size - at, STR_FMT " ", STR_ARG(value));
        else
            at += (size_t)snprintf(out + at, size - at, STR_FMT "=" STR_FMT " ", STR_ARG(name),
                                   STR_ARG(value));
    }
    while (f < samples->count || h < samples->histogram_count)
        if (h == samples->histogram_count ||
            (f < samples->count && samples->times[f] < samples->histogram_times[h])) {
            at += (size_t)snprintf(out + at, size - at, "%lld:%g ", (long long)samples->times[f],
                                   samples->values[f]);
            f++;
        } else {
            at += (size_t)snprintf(out + at, size - at, "%lld:h%g ",
                                   (long long)samples->histogram_times[h],
                                   samples->histograms[h]->sum);
            h++;
        }
    return at;
}

/* Each series a line, sorted, ended by ";". */
static inline const char *select_text(Scene *scene, const char *matchers, int64_t min_ms,
                                      int64_t max_ms) {
    static char lines[SERIES_MAX][1024], text[SERIES_MAX * 1024];
    CLEANUP(series_scratch_free) SeriesScratch *scratch = series_scratch_new(&scene->query);
    SelectRequest request = {
        .min_ms = min_ms, .max_ms = max_ms, .presence_only = scene->presence_only};
    Error err = {0};
    SeriesSet set;
    size_t at = 0;

    parse_matchers(scene, matchers, &request);
    if (scene->source->select(scene->source, &scene->query, &request, &set, &err) != ERR_OK) {
        snprintf(text, sizeof text, "%s: %s", error_code_name(err.code), err.text);
        return text;
    }
    assert_true(set.count <= SERIES_MAX);
    for (size_t i = 0; i < set.count; i++) {
        SeriesSamples samples;

        assert_ok(set.read(&set, i, scratch, &samples, &err), &err);
        write_series_text(scene, set.labels[i], &samples, lines[i], sizeof lines[i]);
    }
    qsort(lines, set.count, sizeof lines[0], compare_lines);
    text[0] = '\0';
    for (size_t i = 0; i < set.count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s; ", lines[i]);
    return text;
}

static inline const char *labels_text(Scene *scene, const char *name, const char *matchers,
                                      int64_t min_ms, int64_t max_ms) {
    static char text[4096];
    SelectRequest request = {.min_ms = min_ms, .max_ms = max_ms};
    size_t count, at = 0;
    Error err = {0};
    Str *items;

    parse_matchers(scene, matchers, &request);
    assert_ok(scene->source->labels(scene->source, &scene->query, str_of(name), &request, 1, &items,
                                    &count, &err),
              &err);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s" STR_FMT, i == 0 ? "" : " ",
                               STR_ARG(items[i]));
    return text;
}

#define assert_selects(scene, matchers, min_ms, max_ms, expected)                                  \
    assert_string_equal(select_text(scene, matchers, min_ms, max_ms), expected)
