/*
 * log_streams.c: the entries of a log query as streams: entries of equal labels together.
 */
#include <stdlib.h>

#include "querier/logql/engine/logs.h"

enum { SLICES = 64 };

/* ---- an entry per interval ---- */

static bool is_due(const LogqlParams *params, int64_t time_ns, int64_t last_ns) {
    return params->backward ? time_ns <= last_ns - params->interval_ns
                            : time_ns >= last_ns + params->interval_ns;
}

static bool append_hit(LogqlEval *eval, LogHits *out, size_t *capacity, const LogHit *hit) {
    if (out->count == *capacity) {
        size_t more = MAX(*capacity * 2, 64);
        LogHit *hits =
            arena_grow(eval->arena, out->hits, *capacity * sizeof *hits, more * sizeof *hits);

        if (hits == NULL) return false;
        out->hits = hits;
        *capacity = more;
    }
    out->hits[out->count++] = *hit;
    return true;
}

/* Which entries are due depends on those before, so no limit holds while reading: the range is read
 * in slices, until there are enough. */
static ErrCode select_spaced(LogqlEval *eval, const LogqlLog *log, const RowPipeline *pipeline,
                             LogHits *out, Error *err) {
    const LogqlParams *params = eval->params;
    int64_t span = params->end_ns - params->start_ns, width = MAX(span / SLICES, 1);
    size_t capacity = 0;

    *out = (LogHits){0};
    for (int64_t done = 0; done < span; done += width) {
        int64_t min = params->backward ? MAX(params->end_ns - done - width, params->start_ns)
                                       : params->start_ns + done;
        int64_t max = params->backward ? params->end_ns - done
                                       : MIN(params->start_ns + done + width, params->end_ns);
        LogHits slice;

        TRY(log_select(eval, log, pipeline, min, max, 0, &slice, err));
        for (size_t i = 0; i < slice.count; i++) {
            if (out->count > 0 &&
                !is_due(params, slice.hits[i].time_ns, out->hits[out->count - 1].time_ns))
                continue;
            if (!append_hit(eval, out, &capacity, &slice.hits[i])) return logql_out_of_memory(err);
            if (params->limit > 0 && out->count == params->limit) return ERR_OK;
        }
    }
    return ERR_OK;
}

/* ---- streams ---- */

/* All labels of an entry, sorted; of equal names, which there are none, the first. */
static bool merge_labels(Arena *arena, const LogHit *hit, LabelPairs *out) {
    size_t count = hit->stream.count + hit->metadata.count + hit->parsed.count, n = 0;
    LabelPair *pairs;

    if (hit->metadata.count + hit->parsed.count == 0) {
        *out = hit->stream;
        return true;
    }
    pairs = ARENA_ARRAY(arena, LabelPair, MAX(count, 1));
    if (pairs == NULL) return false;
    for (size_t i = 0; i < hit->stream.count; i++) pairs[n++] = hit->stream.pairs[i];
    for (size_t i = 0; i < hit->metadata.count; i++) pairs[n++] = hit->metadata.pairs[i];
    for (size_t i = 0; i < hit->parsed.count; i++) pairs[n++] = hit->parsed.pairs[i];
    labels_sort(pairs, n);
    *out = (LabelPairs){pairs, n};
    return true;
}

typedef struct Sorted {
    LabelPairs labels;
    uint32_t hit;
} Sorted;

static int compare_pairs(LabelPairs a, LabelPairs b) {
    for (size_t i = 0; i < a.count && i < b.count; i++) {
        int order = str_compare(a.pairs[i].name, b.pairs[i].name);

        if (order == 0) order = str_compare(a.pairs[i].value, b.pairs[i].value);
        if (order != 0) return order;
    }
    return (a.count > b.count) - (a.count < b.count);
}

static int compare_sorted(const void *a, const void *b) {
    const Sorted *x = a, *y = b;
    int order = x->labels.pairs == y->labels.pairs && x->labels.count == y->labels.count
                    ? 0
                    : compare_pairs(x->labels, y->labels);

    return order != 0 ? order : (x->hit > y->hit) - (x->hit < y->hit);
}

static void fill_stream(const LogqlEval *eval, const LogHits *hits, const Sorted *sorted,
                        size_t count, LogqlEntry *entries, LogqlStream *out) {
    for (size_t i = 0; i < count; i++) {
        const LogHit *hit = &hits->hits[sorted[i].hit];

        entries[i] = (LogqlEntry){.time_ns = hit->time_ns, .line = hit->line};
        if (!eval->params->categorize) continue;
        entries[i].metadata = hit->metadata;
        entries[i].parsed = hit->parsed;
    }
    *out = (LogqlStream){sorted[0].labels, entries, count};
}

static ErrCode make_streams(LogqlEval *eval, const LogHits *hits, LogqlResult *out, Error *err) {
    Sorted *sorted = ARENA_ARRAY(eval->arena, Sorted, MAX(hits->count, 1));
    LogqlEntry *entries = ARENA_ARRAY(eval->arena, LogqlEntry, MAX(hits->count, 1));
    LogqlStream *streams = ARENA_ARRAY(eval->arena, LogqlStream, MAX(hits->count, 1));

    if (sorted == NULL || entries == NULL || streams == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < hits->count; i++) {
        sorted[i].hit = (uint32_t)i;
        sorted[i].labels = hits->hits[i].stream;
        if (!eval->params->categorize &&
            !merge_labels(eval->arena, &hits->hits[i], &sorted[i].labels))
            return logql_out_of_memory(err);
    }
    if (hits->count > 0) qsort(sorted, hits->count, sizeof *sorted, compare_sorted);
    for (size_t i = 0, next; i < hits->count; i = next) {
        for (next = i + 1; next < hits->count; next++)
            if (compare_pairs(sorted[next].labels, sorted[i].labels) != 0) break;
        fill_stream(eval, hits, sorted + i, next - i, entries + i, &streams[out->stream_count++]);
    }
    out->kind = LOGQL_RESULT_STREAMS;
    out->streams = streams;
    out->entry_count = hits->count;
    return ERR_OK;
}

ErrCode logql_logs(LogqlEval *eval, const LogqlLog *log, LogqlResult *out, Error *err) {
    const LogqlParams *params = eval->params;
    RowPipeline *pipeline = NULL;
    LogHits hits = {0};

    TRY(row_pipeline_new(eval, &(RowOptions){.log = log, .line_wanted = true}, &pipeline, err));
    if (params->interval_ns > 0)
        TRY(select_spaced(eval, log, pipeline, &hits, err));
    else
        TRY(log_select(eval, log, pipeline, params->start_ns, params->end_ns, params->limit, &hits,
                       err));
    return make_streams(eval, &hits, out, err);
}
