/*
 * samples.c: what a series holds. An open chunk is a stream in a slab that grows by moving to the
 * next class; closing it copies it to its exact size, so that slack is only ever in open ones.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/block/block.h"
#include "ingester/head/metrics.h"

/* What is given to us is durable already: without memory there is no honest way on. After a
 * restart the log has it. */
static SlabHandle must_alloc(MetricsHead *head, unsigned class) {
    SlabHandle handle = slab_alloc(&head->slab, class, true);

    assert(handle != 0 && "a head's address space is used up");
    return handle;
}

static int64_t open_max_ms(const HeadHot *hot, const HeadCold *cold) {
    return hot->flags & HOT_IN_ORDER ? hot->time_ms : cold->max_ms;
}

static void chunk_close(MetricsHead *head, HeadHot *hot, HeadCold *cold) {
    Slab *slab = &head->slab;
    SlabHandle handle = slab_alloc_exact(slab, sizeof(HeadClosed) + hot->used, true);
    HeadClosed *closed = slab_ptr(slab, handle);

    assert(handle != 0 && "a head's address space is used up");
    *closed = (HeadClosed){
        .min_ms = cold->min_ms,
        .max_ms = open_max_ms(hot, cold),
        .older = hot->closed,
        .used = hot->used,
        .count = (uint16_t)hot->count,
        .in_order = (hot->flags & HOT_IN_ORDER) != 0,
    };
    memcpy(closed + 1, slab_ptr(slab, hot->chunk), hot->used);
    hot->closed = handle;
    hot->count = 0;
    hot->used = 0;
}

/* Room for `bytes` more in the open chunk. Queries may be reading the old place. */
static void chunk_reserve(MetricsHead *head, HeadHot *hot, size_t bytes) {
    unsigned class;
    SlabHandle larger;

    if (hot->chunk != 0 && hot->used + bytes <= slab_class_bytes(hot->class)) return;
    class = slab_class(hot->used + bytes);
    larger = must_alloc(head, class);
    if (hot->chunk != 0) {
        memcpy(slab_ptr(&head->slab, larger), slab_ptr(&head->slab, hot->chunk), hot->used);
        slab_free_later(&head->slab, hot->chunk);
    }
    hot->chunk = larger;
    hot->class = (uint8_t) class;
}

/* A closed chunk's place may still be read, by a query that saw it open: start in another one. */
static void chunk_start(MetricsHead *head, HeadHot *hot) {
    if (hot->chunk == 0) return;
    slab_free_later(&head->slab, hot->chunk);
    hot->chunk = 0;
}

static StreamState state_load(const HeadHot *hot) {
    if (hot->count == 0) return (StreamState){0};
    return (StreamState){.time_ms = hot->time_ms,
                         .delta_ms = hot->delta_ms,
                         .value = hot->value,
                         .count = hot->count,
                         .in_order = (hot->flags & HOT_IN_ORDER) != 0};
}

/* After a sample at `time_ms` went into the open chunk. */
static void state_store(MetricsHead *head, uint32_t series, HeadHot *hot, const StreamState *state,
                        int64_t time_ms, size_t bytes) {
    if (hot->count == 0) {
        HeadCold *cold = head_cold(head, series);

        cold->min_ms = cold->max_ms = time_ms;
    } else if (!state->in_order) {
        HeadCold *cold = head_cold(head, series);

        if (hot->flags & HOT_IN_ORDER) cold->max_ms = hot->time_ms;
        cold->min_ms = MIN(cold->min_ms, time_ms);
        cold->max_ms = MAX(cold->max_ms, time_ms);
    }
    hot->time_ms = time_ms;
    hot->delta_ms = state->delta_ms;
    hot->value = state->value;
    hot->count = state->count;
    hot->used += (uint32_t)bytes;
    hot->flags = (uint8_t)((hot->flags & ~HOT_IN_ORDER) | (state->in_order ? HOT_IN_ORDER : 0) |
                           HOT_HAS_LAST);
    head->samples++;
}

static bool same_bits(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

HeadOutcome metrics_head_append(MetricsHead *head, uint32_t series, int64_t time_ms, double value) {
    HeadHot *hot = head_hot(head, series);
    StreamState state;
    size_t bytes;

    if (UNLIKELY((hot->flags & HOT_HAS_LAST) && hot->time_ms == time_ms)) {
        if (hot->flags & HOT_LAST_HISTOGRAM) return HEAD_CONFLICT;
        return same_bits(hot->value, value) ? HEAD_DOUBLE : HEAD_CONFLICT;
    }
    if (hot->count >= HEAD_CHUNK_SAMPLES ||
        (hot->count > 0 && hot->used + STREAM_SAMPLE_BYTES_MAX > HEAD_CHUNK_BYTES)) {
        chunk_close(head, hot, head_cold(head, series));
        chunk_start(head, hot);
    }
    chunk_reserve(head, hot, STREAM_SAMPLE_BYTES_MAX);
    state = state_load(hot);
    bytes = stream_append(&state, (uint8_t *)slab_ptr(&head->slab, hot->chunk) + hot->used, time_ms,
                          value);
    state_store(head, series, hot, &state, time_ms, bytes);
    hot->value = value; /* the first of a chunk as well */
    hot->flags &= (uint8_t)~HOT_LAST_HISTOGRAM;
    return HEAD_KEPT;
}

/* ---------- histograms ---------- */

static ChunkView open_view(const MetricsHead *head, uint32_t series, const HeadHot *hot) {
    const HeadCold *cold = head_cold(head, series);

    return (ChunkView){.bytes = {slab_ptr(&head->slab, hot->chunk), hot->used},
                       .min_ms = cold->min_ms,
                       .max_ms = open_max_ms(hot, cold),
                       .count = hot->count,
                       .kind = CHUNK_STREAM,
                       .in_order = (hot->flags & HOT_IN_ORDER) != 0};
}

static ChunkView closed_view(const HeadClosed *closed) {
    return (ChunkView){.bytes = {(const char *)(closed + 1), closed->used},
                       .min_ms = closed->min_ms,
                       .max_ms = closed->max_ms,
                       .count = closed->count,
                       .kind = CHUNK_STREAM,
                       .in_order = closed->in_order};
}

/* Only asked when a histogram comes with the time of the newest sample, so it may decode. */
static bool last_histogram_equals(MetricsHead *head, uint32_t series, const HeadHot *hot,
                                  int64_t time_ms, const NativeHistogram *histogram) {
    ChunkView view = hot->count > 0 ? open_view(head, series, hot)
                                    : closed_view(slab_ptr(&head->slab, hot->closed));
    ChunkSamples samples;
    bool equal = false;

    if (stream_decode(&view, head->scratch, &samples, NULL) == ERR_OK) {
        for (size_t i = 0; i < samples.histogram_count; i++)
            if (samples.histogram_times[i] == time_ms)
                equal = histogram_equal(samples.histograms[i], histogram);
    }
    arena_reset(head->scratch);
    return equal;
}

static void histogram_scratch(MetricsHead *head, size_t bytes) {
    if (bytes <= head->histogram_bytes) return;
    free(head->histogram);
    head->histogram = malloc(bytes);
    assert(head->histogram != NULL);
    head->histogram_bytes = bytes;
}

HeadOutcome metrics_head_append_histogram(MetricsHead *head, uint32_t series, int64_t time_ms,
                                          const NativeHistogram *histogram) {
    HeadHot *hot = head_hot(head, series);
    StreamState state = state_load(hot);
    size_t bytes;

    if ((hot->flags & HOT_HAS_LAST) && hot->time_ms == time_ms) {
        if (!(hot->flags & HOT_LAST_HISTOGRAM)) return HEAD_CONFLICT;
        return last_histogram_equals(head, series, hot, time_ms, histogram) ? HEAD_DOUBLE
                                                                            : HEAD_CONFLICT;
    }
    histogram_scratch(head, stream_histogram_bytes_max(histogram));
    bytes = stream_append_histogram(&state, head->histogram, time_ms, histogram);
    if (hot->count >= HEAD_CHUNK_SAMPLES ||
        (hot->count > 0 && hot->used + bytes > HEAD_CHUNK_BYTES_MAX)) {
        chunk_close(head, hot, head_cold(head, series));
        chunk_start(head, hot);
        state = (StreamState){0};
        bytes = stream_append_histogram(&state, head->histogram, time_ms, histogram);
    }
    chunk_reserve(head, hot, bytes);
    memcpy((uint8_t *)slab_ptr(&head->slab, hot->chunk) + hot->used, head->histogram, bytes);
    state_store(head, series, hot, &state, time_ms, bytes);
    hot->flags |= HOT_LAST_HISTOGRAM;
    return HEAD_KEPT;
}

/* ---------- reading ---------- */

uint32_t metrics_head_chunk_count(const MetricsHead *head, uint32_t series) {
    const HeadHot *hot = head_hot(head, series);
    uint32_t count = hot->count > 0;

    for (SlabHandle at = hot->closed; at != 0; count++)
        at = ((const HeadClosed *)slab_ptr(&head->slab, at))->older;
    return count;
}

uint32_t metrics_head_chunks(const MetricsHead *head, uint32_t series, ChunkView *out) {
    const HeadHot *hot = head_hot(head, series);
    uint32_t count = metrics_head_chunk_count(head, series), i = count;

    if (hot->count > 0) out[--i] = open_view(head, series, hot);
    for (SlabHandle at = hot->closed; at != 0;) {
        const HeadClosed *closed = slab_ptr(&head->slab, at);

        out[--i] = closed_view(closed);
        at = closed->older;
    }
    return count;
}

/* ---------- words ---------- */

void metrics_head_conflict_text(const MetricsHead *head, uint32_t series, int64_t time_ms,
                                double value, Error *err) {
    const HeadHot *hot = head_hot(head, series);
    const uint32_t *pairs = head_pairs(head, hot);
    char labels[256], old[32] = "a histogram";
    size_t len = 0;

    labels[0] = 0;
    for (uint32_t i = 0; i < hot->pair_count && len < sizeof labels; i++) {
        LabelPair pair = pairs_array(&head->pairs)[pairs[i]];

        len += (size_t)snprintf(labels + len, sizeof labels - len, "%s" STR_FMT "=\"" STR_FMT "\"",
                                i == 0 ? "" : ", ", STR_ARG(pair.name), STR_ARG(pair.value));
    }
    if (!(hot->flags & HOT_LAST_HISTOGRAM)) snprintf(old, sizeof old, "%.17g", hot->value);
    error_set(err, ERR_INVALID,
              "duplicate sample for timestamp %lld; overrides not allowed: existing %s, new value "
              "%.17g; series {%s}",
              (long long)time_ms, old, value, labels);
}
