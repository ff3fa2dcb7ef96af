#pragma once
/*
 * model.h: made-up tenants and their series, written as an object and kept beside it in plain
 * arrays, so that tests can compare what comes back.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/block/block.h"

typedef struct ModelSeries {
    LabelPairs labels;
    ChunkSamples samples;
    SelectedExemplar *exemplars;
    size_t exemplar_count;
} ModelSeries;

typedef struct ModelTenant {
    Str name;
    ModelSeries *series;
    size_t series_count;
    MetadataItem *metadata;
    size_t metadata_count;
} ModelTenant;

typedef struct Model {
    Arena *arena;
    ModelTenant *tenants;
    size_t tenant_count;
    Buf object;
    BlockSummary summary;
} Model;

static uint64_t model_state = 0x9e3779b97f4a7c15u;

static inline uint64_t model_random(void) {
    model_state ^= model_state << 13;
    model_state ^= model_state >> 7;
    model_state ^= model_state << 17;
    return model_state;
}

static inline int model_compare(const void *a, const void *b) {
    return labels_compare(((const ModelSeries *)a)->labels, ((const ModelSeries *)b)->labels);
}

static inline NativeHistogram *model_histogram(Arena *arena, double add, bool wide) {
    NativeHistogram *h = ARENA_NEW(arena, NativeHistogram);

    h->schema = wide ? 2 : 0;
    h->sum = add / 3;
    h->count = add * 3;
    h->zero_count = add;
    h->positive_spans = ARENA_ARRAY(arena, HistogramSpan, 1);
    h->positive_spans[0] = (HistogramSpan){-1, wide ? 8 : 2};
    h->positive_span_count = 1;
    h->positive_count = wide ? 8 : 2;
    h->positive = ARENA_ARRAY(arena, double, h->positive_count);
    for (uint32_t i = 0; i < h->positive_count; i++) h->positive[i] = add + i;
    return h;
}

/* Floats, histograms, both, or nothing; on a grid that neighbours share, or on times of its own. */
static inline void model_samples(Arena *arena, size_t i, size_t samples_max, ModelSeries *out) {
    size_t n = samples_max == 0 ? 0 : i % 11 == 10 ? 0 : 1 + model_random() % samples_max;
    size_t h = samples_max > 0 && i % 7 == 3 ? 1 + model_random() % 20 : 0;
    int64_t start = i % 5 == 4 ? -777 : 1700000000000 + (int64_t)(i % 3) * 1000;
    int64_t *times = ARENA_ARRAY(arena, int64_t, n + 1);
    double *values = ARENA_ARRAY(arena, double, n + 1);
    int64_t *histogram_times = ARENA_ARRAY(arena, int64_t, h + 1);
    const NativeHistogram **histograms = ARENA_ARRAY(arena, const NativeHistogram *, h + 1);

    if (i % 4 != 1) n = MIN(n, samples_max);
    for (size_t s = 0; s < n; s++) {
        times[s] =
            start + (int64_t)s * 15000 + (i % 13 == 12 ? (int64_t)(model_random() % 900) : 0);
        values[s] = i % 3 == 0   ? (double)(s * 10 + model_random() % 5)
                    : i % 3 == 1 ? (double)(model_random() % 1000) / 100
                                 : sin((double)model_random());
        if (model_random() % 50 == 0) memcpy(&values[s], &(uint64_t){STALE_NAN_BITS}, 8);
    }
    for (size_t s = 0; s < h; s++) {
        histogram_times[s] = start + 7 + (int64_t)s * 15000;
        histograms[s] = model_histogram(arena, (double)s, s / 6 % 2 == 1);
    }
    out->samples = (ChunkSamples){times, values, n, histogram_times, histograms, h};
}

static inline void model_exemplars(Arena *arena, size_t i, ModelSeries *out) {
    if (i % 6 != 2 || out->samples.count == 0) return;
    out->exemplar_count = 1 + model_random() % 5;
    out->exemplars = ARENA_ARRAY(arena, SelectedExemplar, out->exemplar_count);
    for (size_t e = 0; e < out->exemplar_count; e++) {
        out->exemplars[e].time_ms = out->samples.times[0] + (int64_t)e * 100;
        out->exemplars[e].value = (double)e / 8;
        out->exemplars[e].labels = str_format(arena, "\n\x0e\n\x08trace_id\x12\x02%zu%zu", e, e);
    }
}

static inline void model_series(Arena *arena, size_t i, size_t samples_max, ModelSeries *out) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, 8);
    size_t n = 0;

    if (i % 50 != 49)
        pairs[n++] = (LabelPair){LABEL_NAME, str_format(arena, "metric_%zu", i / 20 % 9)};
    pairs[n++] = (LabelPair){STR("instance"), str_format(arena, "10.0.0.%zu:9100", i)};
    pairs[n++] = (LabelPair){STR("job"), i % 2 == 0 ? STR("node") : STR("kube\xff-state")};
    if (i % 3 == 0) pairs[n++] = (LabelPair){STR("le"), str_format(arena, "%zu.5", i % 7)};
    if (i % 17 == 0) pairs[n++] = (LabelPair){STR("Zone"), STR("eu")};
    labels_sort(pairs, n);
    out->labels = (LabelPairs){pairs, n};
    model_samples(arena, i, samples_max, out);
    model_exemplars(arena, i, out);
}

static inline void model_tenant(Arena *arena, size_t number, size_t series, size_t samples_max,
                                ModelTenant *out) {
    out->name = str_format(arena, "tenant-%03zu", number);
    out->series = ARENA_ARRAY(arena, ModelSeries, series + 1);
    out->series_count = series;
    for (size_t i = 0; i < series; i++) model_series(arena, i, samples_max, &out->series[i]);
    qsort(out->series, series, sizeof(ModelSeries), model_compare);
    out->metadata = ARENA_ARRAY(arena, MetadataItem, 2);
    out->metadata[0] = (MetadataItem){STR("metric_0"), STR("Helps."), STR("s"), METRIC_COUNTER};
    out->metadata[1] = (MetadataItem){STR("metric_1"), STR(""), STR(""), METRIC_GAUGE};
    out->metadata_count = number % 2 == 0 ? 2 : 0;
}

static inline void model_write_tenant(BlockWriter *writer, const ModelTenant *t) {
    Error err = {0};

    assert_ok(block_metrics_begin(writer, t->name, &err), &err);
    for (size_t i = 0; i < t->series_count; i++) {
        const ModelSeries *s = &t->series[i];

        assert_ok(block_metrics_series(writer, s->labels, &s->samples, &err), &err);
        if (s->exemplar_count > 0)
            assert_ok(block_metrics_exemplars(writer, s->exemplars, s->exemplar_count, &err), &err);
    }
    assert_ok(block_metrics_metadata(writer, t->metadata, t->metadata_count, &err), &err);
    assert_ok(block_metrics_end(writer, &err), &err);
}

static inline void model_make(Model *m, size_t tenants, size_t series, size_t samples_max) {
    BlockWriter *writer;
    Error err = {0};

    *m = (Model){.arena = arena_new(0, NULL), .tenant_count = tenants};
    m->tenants = ARENA_ARRAY(m->arena, ModelTenant, tenants + 1);
    buf_init(&m->object, 0);
    writer = block_writer_new(m->arena, block_sink_buf(&m->object), 1700000000000);
    assert_non_null(writer);
    for (size_t t = 0; t < tenants; t++) {
        model_tenant(m->arena, t, series, samples_max, &m->tenants[t]);
        model_write_tenant(writer, &m->tenants[t]);
    }
    assert_ok(block_writer_finish(writer, &m->summary, &err), &err);
    assert_int_equal(m->summary.bytes, m->object.len);
}

static inline void model_done(Model *m) {
    buf_done(&m->object);
    arena_free(m->arena);
}

/* ---------- comparing ---------- */

static inline void assert_same_samples(const ChunkSamples *a, const ChunkSamples *b) {
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->histogram_count, b->histogram_count);
    if (a->count > 0) {
        assert_memory_equal(a->times, b->times, a->count * sizeof *a->times);
        assert_memory_equal(a->values, b->values, a->count * sizeof *a->values);
    }
    for (size_t i = 0; i < a->histogram_count; i++) {
        assert_int_equal(a->histogram_times[i], b->histogram_times[i]);
        assert_true(histogram_equal(a->histograms[i], b->histograms[i]));
    }
}

static inline void assert_same_exemplars(const SelectedExemplar *a, size_t a_count,
                                         const SelectedExemplar *b, size_t b_count) {
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_int_equal(a[i].time_ms, b[i].time_ms);
        assert_memory_equal(&a[i].value, &b[i].value, sizeof a[i].value);
        assert_true(str_equal(a[i].labels, b[i].labels));
    }
}

/* All samples of a selected series, decoded and joined. ERR_CORRUPT may be what comes of it. */
static inline ErrCode series_decode(const SelectedSeries *s, Arena *arena, ChunkSamples *out,
                                    Error *err) {
    size_t total = 0;
    int64_t *times, *histogram_times;
    const NativeHistogram **histograms;
    double *values;

    for (uint32_t c = 0; c < s->chunk_count; c++) total += s->chunks[c].count;
    times = ARENA_ARRAY(arena, int64_t, total + 1);
    values = ARENA_ARRAY(arena, double, total + 1);
    histogram_times = ARENA_ARRAY(arena, int64_t, total + 1);
    histograms = ARENA_ARRAY(arena, const NativeHistogram *, total + 1);
    if (histograms == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    *out = (ChunkSamples){times, values, 0, histogram_times, histograms, 0};
    for (uint32_t c = 0; c < s->chunk_count; c++) {
        const ChunkView *chunk = &s->chunks[c];

        if (chunk->kind == CHUNK_FLOATS) {
            TRY(times_decode(chunk->times, times + out->count, err));
            TRY(floats_decode(chunk, values + out->count, err));
            out->count += chunk->count;
        } else {
            const NativeHistogram **list;

            TRY(times_decode(chunk->times, histogram_times + out->histogram_count, err));
            TRY(histograms_decode(chunk, arena, &list, err));
            memcpy(histograms + out->histogram_count, list, chunk->count * sizeof *list);
            out->histogram_count += chunk->count;
        }
    }
    return ERR_OK;
}

static inline LabelPairs series_labels(const MetricsSelection *selection, size_t i, Arena *arena) {
    const SelectedSeries *s = &selection->series[i];
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, s->pair_count + 1);

    for (uint32_t p = 0; p < s->pair_count; p++) {
        assert_true(s->pairs[p] < selection->pair_count);
        pairs[p] = selection->pairs[s->pairs[p]];
    }
    return (LabelPairs){pairs, s->pair_count};
}
