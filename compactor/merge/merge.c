/*
 * merge.c: a k-way merge over cursors. Sources are few, so the smallest is found by looking at all.
 * Where several hold the same instant of a series, the oldest object's sample is kept.
 */
#include "compactor/merge/internal.h"

#include <stdlib.h>
#include <string.h>

struct Source {
    BlockCursor *cursor;
    LabelPairs labels;
    ChunkSamples samples;
    const SelectedExemplar *exemplars;
    size_t exemplar_count;
    bool more;
};

ErrCode merge_out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "compactor: the budget for background work is used up");
}

static ErrCode advance(Merge *merge, Source *source, Error *err) {
    ErrCode code =
        block_cursor_next(source->cursor, &source->labels, &source->samples, &source->exemplars,
                          &source->exemplar_count, &source->more, err);

    if (code != ERR_OK) merge->failed = merge->job->sources[source - merge->sources];
    return code;
}

/* ---- one series ---- */

static size_t first_kept(const int64_t *times, size_t count, int64_t keep_from) {
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (times[middle] < keep_from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static ChunkSamples without_expired(const ChunkSamples *samples, int64_t keep_from) {
    size_t floats = first_kept(samples->times, samples->count, keep_from);
    size_t histograms = first_kept(samples->histogram_times, samples->histogram_count, keep_from);

    /* Arrays may be absent: no arithmetic on those. */
    return (ChunkSamples){
        .times = samples->count == 0 ? NULL : samples->times + floats,
        .values = samples->count == 0 ? NULL : samples->values + floats,
        .count = samples->count - floats,
        .histogram_times =
            samples->histogram_count == 0 ? NULL : samples->histogram_times + histograms,
        .histograms = samples->histogram_count == 0 ? NULL : samples->histograms + histograms,
        .histogram_count = samples->histogram_count - histograms,
    };
}

typedef struct Place {
    size_t floats;
    size_t histograms;
} Place;

/* The earliest instant that any source has not given yet. */
static bool next_instant(const ChunkSamples *from, const Place *at, size_t count, int64_t *out) {
    bool any = false;

    for (size_t s = 0; s < count; s++) {
        if (at[s].floats < from[s].count && (!any || from[s].times[at[s].floats] < *out)) {
            *out = from[s].times[at[s].floats];
            any = true;
        }
        if (at[s].histograms < from[s].histogram_count &&
            (!any || from[s].histogram_times[at[s].histograms] < *out)) {
            *out = from[s].histogram_times[at[s].histograms];
            any = true;
        }
    }
    return any;
}

static ErrCode join_samples(Arena *arena, const ChunkSamples *from, size_t count, ChunkSamples *out,
                            Error *err) {
    Place *at = ARENA_ARRAY(arena, Place, count);
    size_t floats = 0, histograms = 0;
    int64_t time = 0;

    for (size_t s = 0; s < count; s++) {
        floats += from[s].count;
        histograms += from[s].histogram_count;
    }
    int64_t *times = arena_alloc(arena, (floats + 1) * sizeof *times);
    double *values = arena_alloc(arena, (floats + 1) * sizeof *values);
    int64_t *histogram_times = arena_alloc(arena, (histograms + 1) * sizeof *histogram_times);
    const NativeHistogram **kept = arena_alloc(arena, (histograms + 1) * sizeof *kept);

    if (at == NULL || times == NULL || values == NULL || histogram_times == NULL || kept == NULL)
        return merge_out_of_memory(err);
    floats = histograms = 0;
    while (next_instant(from, at, count, &time)) {
        bool taken = false;

        for (size_t s = 0; s < count; s++) {
            if (at[s].floats < from[s].count && from[s].times[at[s].floats] == time) {
                if (!taken) {
                    times[floats] = time;
                    values[floats++] = from[s].values[at[s].floats];
                }
                taken = true;
                at[s].floats++;
            }
            if (at[s].histograms < from[s].histogram_count &&
                from[s].histogram_times[at[s].histograms] == time) {
                if (!taken) {
                    histogram_times[histograms] = time;
                    kept[histograms++] = from[s].histograms[at[s].histograms];
                }
                taken = true;
                at[s].histograms++;
            }
        }
    }
    *out = (ChunkSamples){times, values, floats, histogram_times, kept, histograms};
    return ERR_OK;
}

static int compare_exemplars(const void *a, const void *b) {
    const SelectedExemplar *x = a, *y = b;
    int order = (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);

    if (order == 0) order = str_compare(x->labels, y->labels);
    return order != 0 ? order : memcmp(&x->value, &y->value, sizeof x->value);
}

static ErrCode write_exemplars(Merge *merge, Source *const *same, size_t count, Error *err) {
    SelectedExemplar *all;
    size_t total = 0, used = 0, kept = 0;

    for (size_t s = 0; s < count; s++) total += same[s]->exemplar_count;
    if (total == 0) return ERR_OK;
    all = ARENA_ARRAY(merge->series, SelectedExemplar, total);
    if (all == NULL) return merge_out_of_memory(err);
    for (size_t s = 0; s < count; s++)
        for (size_t e = 0; e < same[s]->exemplar_count; e++)
            if (same[s]->exemplars[e].time_ms >= merge->job->keep_from_ms)
                all[used++] = same[s]->exemplars[e];
    if (used > 1) qsort(all, used, sizeof *all, compare_exemplars);
    for (size_t e = 0; e < used; e++) {
        const SelectedExemplar *last = kept == 0 ? NULL : &all[kept - 1];

        if (last != NULL && last->time_ms == all[e].time_ms &&
            str_equal(last->labels, all[e].labels) &&
            memcmp(&last->value, &all[e].value, sizeof last->value) == 0)
            continue;
        all[kept++] = all[e];
    }
    return kept == 0 ? ERR_OK : block_metrics_exemplars(merge->writer, all, kept, err);
}

/* `same` are the sources that stand at this series, oldest first. */
static ErrCode write_series(Merge *merge, Source *const *same, size_t count, Error *err) {
    ChunkSamples *kept = ARENA_ARRAY(merge->series, ChunkSamples, count);
    ChunkSamples joined;

    if (kept == NULL) return merge_out_of_memory(err);
    for (size_t s = 0; s < count; s++)
        kept[s] = without_expired(&same[s]->samples, merge->job->keep_from_ms);
    if (count == 1)
        joined = kept[0];
    else
        TRY(join_samples(merge->series, kept, count, &joined, err));
    if (joined.count == 0 && joined.histogram_count == 0) return ERR_OK; /* all expired */
    TRY(block_metrics_series(merge->writer, same[0]->labels, &joined, err));
    TRY(write_exemplars(merge, same, count, err));
    merge->written++;
    return ERR_OK;
}

static ErrCode merge_series(Merge *merge, Error *err) {
    for (;;) {
        const LabelPairs *smallest = NULL;
        Source **same;
        size_t count = 0;

        arena_reset(merge->series);
        same = ARENA_ARRAY(merge->series, Source *, merge->count);
        if (same == NULL) return merge_out_of_memory(err);
        for (size_t s = 0; s < merge->count; s++) {
            Source *source = &merge->sources[s];
            int order;

            if (!source->more) continue;
            order = smallest == NULL ? -1 : labels_compare(source->labels, *smallest);
            if (order < 0) {
                smallest = &source->labels;
                count = 0;
            }
            if (order <= 0) same[count++] = source;
        }
        if (count == 0) return ERR_OK;
        TRY(write_series(merge, same, count, err));
        for (size_t s = 0; s < count; s++) TRY(advance(merge, same[s], err));
    }
}

/* ---- metadata ---- */

static int compare_metadata(const void *a, const void *b) {
    return str_compare(((const MetadataItem *)a)->metric, ((const MetadataItem *)b)->metric);
}

static bool metadata_equal(const MetadataItem *a, const MetadataItem *b) {
    return a->type == b->type && str_equal(a->metric, b->metric) && str_equal(a->help, b->help) &&
           str_equal(a->unit, b->unit);
}

static ErrCode read_metadata(const Merge *merge, const ManifestEntry *entry, Arena *arena,
                             MetadataItem **out, size_t *count, Error *err) {
    BlockStats stats = {0};
    const Block *block;

    TRY(block_open(merge->io->cache, entry->key, entry->size, arena, &stats, &block, err));
    return block_metrics_metadata_read(block, merge->job->tenant, arena, &stats, out, count, err);
}

static ErrCode merge_metadata(Merge *merge, Arena *arena, Error *err) {
    MetadataItem *all = NULL;
    size_t used = 0, kept = 0;

    for (size_t s = 0; s < merge->job->source_count; s++) {
        const ManifestEntry *entry = merge->job->sources[s];
        MetadataItem *items;
        size_t count;

        if (read_metadata(merge, entry, arena, &items, &count, err) != ERR_OK) {
            merge->failed = entry;
            return err->code;
        }
        all = arena_grow(arena, all, used * sizeof *all, (used + count + 1) * sizeof *all);
        if (all == NULL) return merge_out_of_memory(err);
        if (count > 0) memcpy(all + used, items, count * sizeof *all);
        used += count;
    }
    if (used > 1) qsort(all, used, sizeof *all, compare_metadata);
    for (size_t i = 0; i < used; i++) {
        bool known = false;

        for (size_t k = kept; k-- > 0 && str_equal(all[k].metric, all[i].metric);)
            known = known || metadata_equal(&all[k], &all[i]);
        if (!known) all[kept++] = all[i];
    }
    return kept == 0 ? ERR_OK : block_metrics_metadata(merge->writer, all, kept, err);
}

/* ---- the whole ---- */

static ErrCode open_sources(Merge *merge, Arena *arena, Error *err) {
    merge->sources = ARENA_ARRAY(arena, Source, merge->job->source_count);
    if (merge->sources == NULL) return merge_out_of_memory(err);
    for (size_t s = 0; s < merge->job->source_count; s++) {
        const ManifestEntry *entry = merge->job->sources[s];

        merge->failed = entry;
        TRY(block_cursor_open(merge->io->from, entry->key, entry->size, merge->job->tenant, arena,
                              &merge->sources[s].cursor, err));
        merge->failed = NULL;
        merge->count++;
        TRY(advance(merge, &merge->sources[s], err));
    }
    return ERR_OK;
}

static ErrCode write_metrics(Merge *merge, Arena *arena, Error *err) {
    TRY(open_sources(merge, arena, err));
    TRY(block_metrics_begin(merge->writer, merge->job->tenant, err));
    TRY(merge_series(merge, err));
    TRY(merge_metadata(merge, arena, err));
    return block_metrics_end(merge->writer, err);
}

static ErrCode write_block(Merge *merge, Arena *arena, BlockSummary *out, Error *err) {
    switch (merge->job->signal) {
    case SIGNAL_METRICS:
        TRY(write_metrics(merge, arena, err));
        break;
    case SIGNAL_LOGS:
        TRY(merge_logs(merge, arena, err));
        break;
    case SIGNAL_TRACES:
        TRY(merge_traces(merge, arena, err));
        break;
    default:
        return error_set(err, ERR_UNSUPPORTED, "%s cannot be merged by this release",
                         signal_name(merge->job->signal));
    }
    return block_writer_finish(merge->writer, out, err);
}

/* As old as its oldest source: where objects hold different samples of one instant, the same one
 * is the older before and after a merge. */
static int64_t oldest(const MergeJob *job) {
    int64_t created_ms = job->sources[0]->created_ms;

    for (size_t s = 1; s < job->source_count; s++)
        created_ms = MIN(created_ms, job->sources[s]->created_ms);
    return created_ms;
}

/* Requests up to here were carried out, or never applied to any source. */
static uint64_t cleared_of(const MergeIo *io, const MergeJob *job) {
    uint64_t least = UINT64_MAX, newest = 0;
    size_t count = 0;
    const ManifestDelete *requests =
        io->snapshot == NULL ? NULL : manifest_deletes(io->snapshot, &count);

    for (size_t s = 0; s < job->source_count; s++) least = MIN(least, job->sources[s]->cleared);
    if (io->language != NULL && count > 0) newest = requests[count - 1].number;
    return MAX(least, MIN(newest, job->applied));
}

static ErrCode write_upload(Merge *merge, StoreUpload *upload, int64_t created_ms, Arena *arena,
                            BlockSummary *out, Error *err) {
    ErrCode code;

    merge->writer = block_writer_new(arena, block_sink_upload(upload), created_ms);
    code = merge->writer == NULL ? merge_out_of_memory(err) : write_block(merge, arena, out, err);
    for (size_t s = 0; s < merge->count; s++) block_cursor_close(merge->sources[s].cursor);
    if (code == ERR_OK && merge->written > 0) return store_upload_finish(upload, NULL, err);
    store_upload_abort(upload);
    return code;
}

ErrCode merge_run(const MergeIo *io, const MergeJob *job, Str key, Arena *arena, ManifestEntry *out,
                  bool *ret_empty, const ManifestEntry **ret_failed, Error *err) {
    CLEANUP(arena_free) Arena *series = arena_new(0, arena_budget(arena));
    Merge merge = {.io = io, .job = job, .series = series};
    int64_t created_ms = oldest(job);
    BlockSummary summary = {0};
    StoreUpload *upload;
    ErrCode code;

    *ret_failed = NULL;
    if (series == NULL) return merge_out_of_memory(err);
    TRY(store_upload_begin(io->to, key, &upload, err));
    code = write_upload(&merge, upload, created_ms, arena, &summary, err);
    *ret_failed = merge.failed;
    TRY(code);
    *ret_empty = merge.written == 0;
    if (*ret_empty) return ERR_OK;
    *out = (ManifestEntry){
        .key = key,
        .size = summary.bytes,
        .checksum = summary.checksum,
        .level = job->level,
        .created_ms = created_ms,
        .parts = summary.parts,
        .part_count = summary.part_count,
        .cleared = cleared_of(io, job),
    };
    return ERR_OK;
}
