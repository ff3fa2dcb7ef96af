/*
 * segment.c: a generation as one object; its series, in the order a block wants them, decoded and
 * written one by one.
 *
 * Pairs are ranked once, so that comparing two series compares numbers. A series' chunks are
 * decoded into an arena that is reset after each; only where they overlap are they sorted again.
 */
#include <stdlib.h>

#include "ingester/flush/segment.h"
#include "ingester/head/select.h"

ErrCode segment_out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "flush: the budget for background work is used up");
}

/* ---------- order ---------- */

static int compare_pairs(const void *a, const void *b, void *context) {
    const LabelPair *pairs = context;
    const LabelPair *x = &pairs[*(const uint32_t *)a], *y = &pairs[*(const uint32_t *)b];
    int order = str_compare(x->name, y->name);

    return order != 0 ? order : str_compare(x->value, y->value);
}

static ErrCode rank_pairs(Segment *segment, Error *err) {
    const Pairs *pairs = &segment->head->pairs;
    uint32_t *order = ARENA_ARRAY(segment->arena, uint32_t, MAX(pairs->count, 1U));

    segment->ranks = ARENA_ARRAY(segment->arena, uint32_t, MAX(pairs->count, 1U));
    if (order == NULL || segment->ranks == NULL) return segment_out_of_memory(err);
    for (uint32_t i = 0; i < pairs->count; i++) order[i] = i;
    qsort_r(order, pairs->count, sizeof *order, compare_pairs, (void *)pairs_array(pairs));
    for (uint32_t i = 0; i < pairs->count; i++) segment->ranks[order[i]] = i + 1;
    return ERR_OK;
}

int segment_compare(const Segment *segment, const uint32_t *a, uint32_t a_count, const uint32_t *b,
                    uint32_t b_count) {
    for (uint32_t i = 0; i < MIN(a_count, b_count); i++) {
        uint32_t rx = segment->ranks[a[i]], ry = segment->ranks[b[i]];

        if (rx != ry) return rx < ry ? -1 : 1;
    }
    return (a_count > b_count) - (a_count < b_count);
}

static int compare_series(const void *a, const void *b, void *context) {
    const SortedSeries *x = a, *y = b;
    const Segment *segment = context;
    const HeadHot *hx, *hy;

    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    hx = head_hot(segment->head, x->series);
    hy = head_hot(segment->head, y->series);
    return segment_compare(segment, head_pairs(segment->head, hx), hx->pair_count,
                           head_pairs(segment->head, hy), hy->pair_count);
}

/* The name decides first (labels_compare()); then, as labels are in order of names, their ranks one
 * by one: the first of them shares the key. */
uint64_t segment_key(const Segment *segment, uint32_t name_pair, const uint32_t *pairs,
                     uint32_t count) {
    uint64_t name = name_pair == PAIR_NONE ? 0 : segment->ranks[name_pair];
    uint64_t first = count > 0 ? segment->ranks[pairs[0]] : 0;

    return name << 32 | first;
}

static uint64_t series_key(const Segment *segment, uint32_t name_pair, uint32_t series) {
    const HeadHot *hot = head_hot(segment->head, series);

    return segment_key(segment, name_pair, head_pairs(segment->head, hot), hot->pair_count);
}

/* Series of groups that failed, or that were only looked at by a limit, hold nothing. */
static bool holds_something(const MetricsHead *head, uint32_t series) {
    return (head_hot(head, series)->flags & HOT_HAS_LAST) != 0 ||
           head_cold(head, series)->exemplars != 0;
}

static size_t sort_series(Segment *segment, uint32_t tenant) {
    const MetricsHead *head = segment->head;
    size_t count = 0;

    for (uint32_t n = head_tenant(head, tenant)->names; n != HEAD_NONE;
         n = head_name(head, n)->next) {
        const HeadName *name = head_name(head, n);
        const uint32_t *series = slab_ptr(&head->slab, name->series);

        for (uint32_t i = 0; i < name->count; i++)
            if (holds_something(head, series[i]))
                segment->sorted[count++] =
                    (SortedSeries){series_key(segment, name->pair, series[i]), series[i]};
    }
    qsort_r(segment->sorted, count, sizeof *segment->sorted, compare_series, segment);
    return count;
}

/* ---------- samples ---------- */

/* One sample of any chunk; `histogram` NULL for a float. */
typedef struct Arrived {
    int64_t time_ms;
    uint64_t arrival;
    double value;
    const NativeHistogram *histogram;
} Arrived;

static int compare_arrived(const void *a, const void *b) {
    const Arrived *x = a, *y = b;

    if (x->time_ms != y->time_ms) return x->time_ms < y->time_ms ? -1 : 1;
    return (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

static size_t collect(const ChunkSamples *parts, uint32_t count, Arrived *out) {
    size_t n = 0;

    for (uint32_t c = 0; c < count; c++) {
        for (size_t i = 0; i < parts[c].count; i++, n++)
            out[n] = (Arrived){parts[c].times[i], n, parts[c].values[i], NULL};
        for (size_t i = 0; i < parts[c].histogram_count; i++, n++)
            out[n] = (Arrived){parts[c].histogram_times[i], n, 0, parts[c].histograms[i]};
    }
    return n;
}

/* Chunks that overlap, or of both kinds: sorted, the sample of an instant that came first stays. */
static bool merge_sorted(const ChunkSamples *parts, uint32_t count, size_t total, Arena *arena,
                         ChunkSamples *out) {
    Arrived *all = ARENA_ARRAY(arena, Arrived, total);
    int64_t *times = ARENA_ARRAY(arena, int64_t, total);
    double *values = ARENA_ARRAY(arena, double, total);
    int64_t *histogram_times = ARENA_ARRAY(arena, int64_t, total);
    const NativeHistogram **histograms = ARENA_ARRAY(arena, const NativeHistogram *, total);
    size_t floats = 0, hists = 0, n;

    if (all == NULL || times == NULL || values == NULL || histogram_times == NULL ||
        histograms == NULL)
        return false;
    n = collect(parts, count, all);
    qsort(all, n, sizeof *all, compare_arrived);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && all[i].time_ms == all[i - 1].time_ms) continue;
        if (all[i].histogram == NULL) {
            times[floats] = all[i].time_ms;
            values[floats++] = all[i].value;
        } else {
            histogram_times[hists] = all[i].time_ms;
            histograms[hists++] = all[i].histogram;
        }
    }
    *out = (ChunkSamples){times, values, floats, histogram_times, histograms, hists};
    return true;
}

/* Chunks of floats, each after the other: one copy. */
static bool merge_appended(const ChunkSamples *parts, uint32_t count, size_t total, Arena *arena,
                           ChunkSamples *out) {
    int64_t *times = arena_alloc(arena, total * sizeof *times);
    double *values = arena_alloc(arena, total * sizeof *values);
    size_t n = 0;

    if (times == NULL || values == NULL) return false;
    for (uint32_t c = 0; c < count; c++) {
        memcpy(times + n, parts[c].times, parts[c].count * sizeof *times);
        memcpy(values + n, parts[c].values, parts[c].count * sizeof *values);
        n += parts[c].count;
    }
    *out = (ChunkSamples){.times = times, .values = values, .count = n};
    return true;
}

static ErrCode decode_series(Segment *segment, uint32_t series, ChunkSamples *out, Error *err) {
    const MetricsHead *head = segment->head;
    uint32_t count = metrics_head_chunk_count(head, series);
    ChunkView *views = ARENA_ARRAY(segment->scratch, ChunkView, count);
    ChunkSamples *parts = ARENA_ARRAY(segment->scratch, ChunkSamples, count);
    size_t total = 0;
    bool appended = true;
    int64_t last = INT64_MIN;

    *out = (ChunkSamples){0};
    if (count == 0) return ERR_OK; /* exemplars only */
    if (views == NULL || parts == NULL) return segment_out_of_memory(err);
    metrics_head_chunks(head, series, views);
    for (uint32_t c = 0; c < count; c++) {
        TRY(stream_decode(&views[c], segment->scratch, &parts[c], err));
        total += parts[c].count + parts[c].histogram_count;
        appended = appended && parts[c].histogram_count == 0 && (c == 0 || views[c].min_ms > last);
        last = views[c].max_ms;
    }
    if (count == 1)
        *out = parts[0];
    else if (!(appended ? merge_appended : merge_sorted)(parts, count, total, segment->scratch,
                                                         out))
        return segment_out_of_memory(err);
    return ERR_OK;
}

/* ---------- writing ---------- */

static int compare_exemplars(const void *a, const void *b) {
    const SelectedExemplar *x = a, *y = b;

    return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

static ErrCode write_exemplars(Segment *segment, uint32_t series, Error *err) {
    SelectedExemplar *items;
    size_t count;

    if (!metrics_head_exemplars(segment->head, series, INT64_MIN, INT64_MAX, segment->scratch,
                                &items, &count))
        return segment_out_of_memory(err);
    if (count == 0) return ERR_OK;
    qsort(items, count, sizeof *items, compare_exemplars);
    return block_metrics_exemplars(segment->writer, items, count, err);
}

static ErrCode write_series(Segment *segment, uint32_t series, Error *err) {
    const HeadHot *hot = head_hot(segment->head, series);
    const uint32_t *numbers = head_pairs(segment->head, hot);
    LabelPair *pairs = ARENA_ARRAY(segment->scratch, LabelPair, MAX(hot->pair_count, 1));
    ChunkSamples samples;

    if (pairs == NULL) return segment_out_of_memory(err);
    for (uint32_t i = 0; i < hot->pair_count; i++)
        pairs[i] = pairs_array(&segment->head->pairs)[numbers[i]];
    TRY(decode_series(segment, series, &samples, err));
    TRY(block_metrics_series(segment->writer, (LabelPairs){pairs, hot->pair_count}, &samples, err));
    return write_exemplars(segment, series, err);
}

static int compare_metadata(const void *a, const void *b) {
    return str_compare(((const MetadataItem *)a)->metric, ((const MetadataItem *)b)->metric);
}

static ErrCode write_metrics(Segment *segment, uint32_t tenant, Error *err) {
    MetadataList metadata = {0};
    size_t count = sort_series(segment, tenant);

    TRY(metrics_head_metadata(segment->head, tenant, segment->arena, &metadata, err));
    if (count == 0 && metadata.count == 0) return ERR_OK;
    TRY(block_metrics_begin(segment->writer, generation_tenant(segment->generation, tenant)->name,
                            err));
    for (size_t i = 0; i < count; i++) {
        TRY(write_series(segment, segment->sorted[i].series, err));
        arena_reset(segment->scratch);
    }
    if (metadata.count > 0) {
        qsort(metadata.items, metadata.count, sizeof *metadata.items, compare_metadata);
        TRY(block_metrics_metadata(segment->writer, metadata.items, metadata.count, err));
    }
    return block_metrics_end(segment->writer, err);
}

/* A tenant's signals in their order (block.h). */
static ErrCode write_tenant(Segment *segment, uint32_t tenant, Error *err) {
    TRY(write_metrics(segment, tenant, err));
    TRY(segment_write_logs(segment, tenant, err));
    return segment_write_spans(segment, tenant, err);
}

static int compare_tenants(const void *a, const void *b, void *context) {
    const Generation *generation = context;

    return str_compare(generation_tenant(generation, *(const uint32_t *)a)->name,
                       generation_tenant(generation, *(const uint32_t *)b)->name);
}

static ErrCode write_tenants(Segment *segment, Error *err) {
    const Generation *generation = segment->generation;
    uint32_t *tenants = ARENA_ARRAY(segment->arena, uint32_t, MAX(generation->tenant_count, 1U));

    if (tenants == NULL) return segment_out_of_memory(err);
    for (uint32_t i = 0; i < generation->tenant_count; i++) tenants[i] = i;
    qsort_r(tenants, generation->tenant_count, sizeof *tenants, compare_tenants,
            (void *)generation);
    for (uint32_t i = 0; i < generation->tenant_count; i++)
        TRY(write_tenant(segment, tenants[i], err));
    return ERR_OK;
}

ErrCode segment_write(const FlushTarget *target, const Generation *generation, Arena *arena,
                      BlockSink sink, BlockSummary *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    Segment segment = {.target = target,
                       .generation = generation,
                       .head = &generation->metrics,
                       .arena = arena,
                       .scratch = scratch};

    segment.sorted =
        arena_alloc(arena, MAX(MAX(segment.head->series_count, generation->logs.stream_count), 1U) *
                               sizeof *segment.sorted);
    segment.writer = block_writer_new(arena, sink, generation->created_ms);
    if (scratch == NULL || segment.sorted == NULL || segment.writer == NULL)
        return segment_out_of_memory(err);
    TRY(rank_pairs(&segment, err));
    TRY(write_tenants(&segment, err));
    return block_writer_finish(segment.writer, out, err);
}
