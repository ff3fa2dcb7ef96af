/*
 * read.c: one series' samples out of its chunks, in order and each instant once.
 *
 * The usual cases copy nothing twice: one chunk, or chunks that follow each other, are decoded
 * straight into the scratch arrays. Times are shared: the instants of a scrape are the same for all
 * series of a target, so decoded columns are kept by id while they are small, and series that read
 * from a head, which has no columns, get the id of an equal array that was seen before.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/block/stream.h"
#include "querier/fetch/internal.h"

enum { TIMES_SLOTS = 1 << 10, TIMES_KEPT_BYTES_MAX = 4 << 20, TIMES_PROBES = 4 };

/* Instants that several series share; the array lives as long as the scratch. */
typedef struct SharedTimes {
    uint64_t key; /* of the columns it was made from, or of its content; 0: free */
    uint64_t id;
    const int64_t *times;
    size_t count;
} SharedTimes;

struct SeriesScratch {
    QueryContext *query;
    Arena *kept;   /* shared times */
    Arena *series; /* what only the current series needs; reset by each read */
    int64_t *times;
    double *values;
    size_t capacity;
    SharedTimes *shared;
};

/* One decoded chunk of the current series. */
typedef struct Piece {
    ChunkSamples samples;
} Piece;

static _Atomic uint64_t next_times_id = UINT64_C(1) << 63; /* apart from blocks' own ids */

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

SeriesScratch *series_scratch_new(QueryContext *query) {
    Budget *budget = arena_budget(query->arena);
    SeriesScratch *scratch = calloc(1, sizeof *scratch);

    if (scratch == NULL) return NULL;
    scratch->query = query;
    scratch->kept = arena_new(0, budget);
    scratch->series = arena_new(0, budget);
    scratch->shared = ARENA_ARRAY(scratch->kept, SharedTimes, TIMES_SLOTS);
    if (scratch->series == NULL || scratch->shared == NULL) {
        series_scratch_free(scratch);
        return NULL;
    }
    return scratch;
}

void series_scratch_free(SeriesScratch *scratch) {
    if (scratch == NULL) return;
    arena_free(scratch->kept);
    arena_free(scratch->series);
    free(scratch);
}

static SharedTimes *shared_find(SeriesScratch *scratch, uint64_t key, bool *ret_found) {
    SharedTimes *first_free = NULL;

    for (unsigned probe = 0; probe < TIMES_PROBES; probe++) {
        SharedTimes *slot = &scratch->shared[(key + probe) & (TIMES_SLOTS - 1)];

        if (slot->key == key) {
            *ret_found = true;
            return slot;
        }
        if (slot->key == 0 && first_free == NULL) first_free = slot;
    }
    *ret_found = false;
    return first_free;
}

/* Room in the scratch arrays for `count` samples. */
static ErrCode reserve(SeriesScratch *scratch, size_t count, Error *err) {
    size_t capacity = MAX(scratch->capacity, 1024);

    if (count <= scratch->capacity) return ERR_OK;
    while (capacity < count) capacity *= 2;
    /* Grown rarely and kept for all series to come: what it leaves behind is less than it holds. */
    scratch->times = arena_alloc(scratch->kept, capacity * sizeof(int64_t));
    scratch->values = arena_alloc(scratch->kept, capacity * sizeof(double));
    scratch->capacity = scratch->times == NULL || scratch->values == NULL ? 0 : capacity;
    return scratch->capacity == 0 ? out_of_memory(err) : ERR_OK;
}

/* Keeps `times` for others when there is room for it; *id is 0 when there isn't. */
static void share_times(SeriesScratch *scratch, SharedTimes *slot, uint64_t key, uint64_t id,
                        const int64_t **times, size_t count, uint64_t *ret_id) {
    int64_t *copy;

    *ret_id = 0;
    if (slot == NULL || arena_used(scratch->kept) > TIMES_KEPT_BYTES_MAX) return;
    copy = arena_alloc(scratch->kept, count * sizeof(int64_t));
    if (copy == NULL) return;
    memcpy(copy, *times, count * sizeof(int64_t));
    *slot = (SharedTimes){key, id, copy, count};
    *times = copy;
    *ret_id = id;
}

/* Chunks of floats that follow each other in time: columns side by side. */
static bool is_run_of_floats(const FetchedSeries *series) {
    for (uint32_t c = 0; c < series->chunk_count; c++) {
        const ChunkView *chunk = series->chunks[c];

        if (chunk->kind != CHUNK_FLOATS || chunk->times == NULL) return false;
        if (c > 0 && chunk->min_ms <= series->chunks[c - 1]->max_ms) return false;
    }
    return true;
}

/* What only counts as being there need not be decoded. */
static ErrCode read_values(const ChunkView *chunk, bool presence_only, double *out, Error *err) {
    if (!presence_only || !floats_are_numbers(chunk)) return floats_decode(chunk, out, err);
    memset(out, 0, chunk->count * sizeof *out);
    return ERR_OK;
}

static ErrCode read_run(SeriesScratch *scratch, const FetchedSeries *series, bool presence_only,
                        SeriesSamples *out, Error *err) {
    uint64_t key = 0x9e3779b97f4a7c15u;
    size_t count = 0, at = 0;
    SharedTimes *slot;
    bool found;

    for (uint32_t c = 0; c < series->chunk_count; c++) {
        const TimesColumn *times = series->chunks[c]->times;

        if (times->count != series->chunks[c]->count)
            return error_set(err, ERR_CORRUPT, "a chunk of %u samples has %u times",
                             series->chunks[c]->count, times->count);
        key = (key ^ times->id) * 0xff51afd7ed558ccdu;
        key ^= key >> 32;
        count += series->chunks[c]->count;
    }
    key |= 1; /* never the mark of a free slot */
    TRY(reserve(scratch, count, err));
    slot = shared_find(scratch, key, &found);
    found = found && slot->count == count;
    for (uint32_t c = 0; c < series->chunk_count; c++) {
        const ChunkView *chunk = series->chunks[c];

        if (!found) TRY(times_decode(chunk->times, scratch->times + at, err));
        TRY(read_values(chunk, presence_only, scratch->values + at, err));
        at += chunk->count;
    }
    out->values = scratch->values;
    out->count = count;
    if (found) {
        out->times = slot->times;
        out->times_id = slot->id;
        return ERR_OK;
    }
    out->times = scratch->times;
    share_times(scratch, slot, key,
                series->chunk_count == 1 ? series->chunks[0]->times->id
                                         : atomic_fetch_add(&next_times_id, 1),
                &out->times, count, &out->times_id);
    return ERR_OK;
}

static ErrCode decode_piece(SeriesScratch *scratch, const ChunkView *chunk, Piece *piece,
                            Error *err) {
    Arena *arena = scratch->series;
    int64_t *times;

    if (chunk->kind == CHUNK_STREAM) return stream_decode(chunk, arena, &piece->samples, err);
    if (chunk->times == NULL || chunk->times->count != chunk->count)
        return error_set(err, ERR_CORRUPT, "a chunk of %u samples has other times", chunk->count);
    times = arena_alloc(arena, MAX(chunk->count, 1) * sizeof(int64_t));
    if (times == NULL) return out_of_memory(err);
    TRY(times_decode(chunk->times, times, err));
    if (chunk->kind == CHUNK_HISTOGRAMS) {
        const NativeHistogram **histograms;

        TRY(histograms_decode(chunk, arena, &histograms, err));
        piece->samples = (ChunkSamples){
            .histogram_times = times, .histograms = histograms, .histogram_count = chunk->count};
        return ERR_OK;
    }
    if (chunk->kind != CHUNK_FLOATS)
        return error_set(err, ERR_CORRUPT, "a chunk of unknown kind %u", chunk->kind);
    double *values = arena_alloc(arena, MAX(chunk->count, 1) * sizeof(double));

    if (values == NULL) return out_of_memory(err);
    TRY(floats_decode(chunk, values, err));
    piece->samples = (ChunkSamples){.times = times, .values = values, .count = chunk->count};
    return ERR_OK;
}

/* Where each piece's next sample is, floats and histograms apart. */
typedef struct Position {
    size_t floats;
    size_t histograms;
} Position;

static int64_t next_time(const Piece *piece, const Position *at) {
    int64_t time = INT64_MAX;

    if (at->floats < piece->samples.count) time = piece->samples.times[at->floats];
    if (at->histograms < piece->samples.histogram_count)
        time = MIN(time, piece->samples.histogram_times[at->histograms]);
    return time;
}

static bool piece_ended(const Piece *piece, const Position *at) {
    return at->floats == piece->samples.count && at->histograms == piece->samples.histogram_count;
}

/* Merges pieces that may overlap. Where several hold an instant, the first piece's counts. */
static ErrCode merge_pieces(SeriesScratch *scratch, const Piece *pieces, size_t piece_count,
                            SeriesSamples *out, Error *err) {
    Position *at = ARENA_ARRAY(scratch->series, Position, piece_count);
    size_t floats = 0, histograms = 0;
    const NativeHistogram **histogram_out;
    int64_t *histogram_times;

    for (size_t p = 0; p < piece_count; p++) {
        floats += pieces[p].samples.count;
        histograms += pieces[p].samples.histogram_count;
    }
    TRY(reserve(scratch, floats, err));
    histogram_out = ARENA_ARRAY(scratch->series, const NativeHistogram *, histograms);
    histogram_times = ARENA_ARRAY(scratch->series, int64_t, histograms);
    if (at == NULL || histogram_out == NULL || histogram_times == NULL) return out_of_memory(err);
    floats = histograms = 0;
    for (;;) {
        int64_t time = INT64_MAX;
        bool taken = false, any = false;

        for (size_t p = 0; p < piece_count; p++)
            if (!piece_ended(&pieces[p], &at[p])) {
                time = MIN(time, next_time(&pieces[p], &at[p]));
                any = true;
            }
        if (!any) break;
        for (size_t p = 0; p < piece_count; p++) {
            const ChunkSamples *from = &pieces[p].samples;

            if (at[p].floats < from->count && from->times[at[p].floats] == time) {
                if (!taken) {
                    scratch->times[floats] = time;
                    scratch->values[floats++] = from->values[at[p].floats];
                }
                at[p].floats++;
                taken = true;
            }
            if (at[p].histograms < from->histogram_count &&
                from->histogram_times[at[p].histograms] == time) {
                if (!taken) {
                    histogram_times[histograms] = time;
                    histogram_out[histograms++] = from->histograms[at[p].histograms];
                }
                at[p].histograms++;
                taken = true;
            }
        }
    }
    *out = (SeriesSamples){
        .times = scratch->times,
        .values = scratch->values,
        .count = floats,
        .histogram_times = histogram_times,
        .histograms = histogram_out,
        .histogram_count = histograms,
    };
    return ERR_OK;
}

/* Gives a series without columns the id of an equal array of times, so that the engine's work per
 * set of instants is done once for a whole target here, too. */
static void share_by_content(SeriesScratch *scratch, SeriesSamples *out) {
    uint64_t key;
    SharedTimes *slot;
    bool found;

    if (out->count < 2 || out->times_id != 0) return;
    key = hash_bytes(out->times, out->count * sizeof(int64_t)) | 1;
    slot = shared_find(scratch, key, &found);
    if (!found) {
        share_times(scratch, slot, key, atomic_fetch_add(&next_times_id, 1), &out->times,
                    out->count, &out->times_id);
    } else if (slot->count == out->count &&
               memcmp(slot->times, out->times, out->count * sizeof(int64_t)) == 0) {
        out->times = slot->times;
        out->times_id = slot->id;
    }
}

/* Chunks of floats, of heads and of blocks, that follow each other: side by side, without a copy.
 * *ret_done false: they are something else. */
static ErrCode read_following(SeriesScratch *scratch, const FetchedSeries *series,
                              SeriesSamples *out, bool *ret_done, Error *err) {
    size_t count = 0, at = 0;

    *ret_done = false;
    for (uint32_t c = 0; c < series->chunk_count; c++) {
        const ChunkView *chunk = series->chunks[c];

        if (chunk->kind == CHUNK_STREAM ? !chunk->in_order
                                        : chunk->kind != CHUNK_FLOATS || chunk->times == NULL)
            return ERR_OK;
        if (c > 0 && chunk->min_ms <= series->chunks[c - 1]->max_ms) return ERR_OK;
        count += chunk->count;
    }
    TRY(reserve(scratch, count, err));
    for (uint32_t c = 0; c < series->chunk_count; c++) {
        const ChunkView *chunk = series->chunks[c];
        int64_t *times = scratch->times + at;

        if (chunk->count == 0) continue;
        if (chunk->kind == CHUNK_STREAM) {
            if (!stream_decode_floats(chunk, times, scratch->values + at)) return ERR_OK;
        } else {
            if (chunk->times->count != chunk->count) return ERR_OK;
            TRY(times_decode(chunk->times, times, err));
            TRY(floats_decode(chunk, scratch->values + at, err));
        }
        /* What a chunk says of its times is only as good as whoever wrote it. */
        if (at > 0 && times[0] <= times[-1]) return ERR_OK;
        at += chunk->count;
    }
    *out = (SeriesSamples){.times = scratch->times, .values = scratch->values, .count = count};
    *ret_done = true;
    return ERR_OK;
}

static ErrCode read_pieces(SeriesScratch *scratch, const FetchedSeries *series, SeriesSamples *out,
                           Error *err) {
    bool done;

    TRY(read_following(scratch, series, out, &done, err));
    if (done) {
        share_by_content(scratch, out);
        return ERR_OK;
    }
    Piece *pieces = ARENA_ARRAY(scratch->series, Piece, series->chunk_count);

    if (pieces == NULL) return out_of_memory(err);
    for (uint32_t c = 0; c < series->chunk_count; c++)
        TRY(decode_piece(scratch, series->chunks[c], &pieces[c], err));
    if (series->chunk_count == 1) {
        const ChunkSamples *only = &pieces[0].samples;

        *out = (SeriesSamples){
            .times = only->times,
            .values = only->values,
            .count = only->count,
            .histogram_times = only->histogram_times,
            .histograms = only->histograms,
            .histogram_count = only->histogram_count,
        };
    } else {
        TRY(merge_pieces(scratch, pieces, series->chunk_count, out, err));
    }
    share_by_content(scratch, out);
    return ERR_OK;
}

static size_t first_at_or_after(const int64_t *times, size_t count, int64_t time) {
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (times[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Leaves out what lies outside of the selection's range. */
static void trim(SeriesSamples *samples, int64_t min_ms, int64_t max_ms) {
    if (samples->count > 0 &&
        (samples->times[0] < min_ms || samples->times[samples->count - 1] > max_ms)) {
        size_t first = first_at_or_after(samples->times, samples->count, min_ms);
        size_t end = max_ms == INT64_MAX
                         ? samples->count
                         : first_at_or_after(samples->times, samples->count, max_ms + 1);

        samples->times += first;
        samples->values += first;
        samples->count = end > first ? end - first : 0;
    }
    if (samples->histogram_count > 0) {
        size_t first =
            first_at_or_after(samples->histogram_times, samples->histogram_count, min_ms);
        size_t end = max_ms == INT64_MAX ? samples->histogram_count
                                         : first_at_or_after(samples->histogram_times,
                                                             samples->histogram_count, max_ms + 1);

        samples->histogram_times += first;
        samples->histograms += first;
        samples->histogram_count = end > first ? end - first : 0;
    }
}

ErrCode fetch_read(const SeriesSet *set, size_t i, SeriesScratch *scratch, SeriesSamples *out,
                   Error *err) {
    const FetchedSet *fetched = set->context;
    const FetchedSeries *series = &fetched->series[i];
    SeriesSamples samples = {0};

    arena_reset(scratch->series);
    if (series->chunk_count > 0) {
        if (is_run_of_floats(series))
            TRY(read_run(scratch, series, fetched->presence_only, &samples, err));
        else
            TRY(read_pieces(scratch, series, &samples, err));
        trim(&samples, series->min_ms, fetched->max_ms);
        /* Another tenant's retention leaves other instants of the same column: one of them may say
         * that they are the same, and that is the first. */
        if (series->min_ms != fetched->series[0].min_ms) samples.times_id = 0;
    }
    atomic_fetch_add_explicit(&scratch->query->samples_read,
                              samples.count + samples.histogram_count, memory_order_relaxed);
    *out = samples;
    return ERR_OK;
}
