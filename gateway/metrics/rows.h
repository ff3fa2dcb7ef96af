#pragma once
/*
 * rows.h: a MetricsBatch in the making. A protocol's walker opens a row with a series' labels, puts
 * samples, histograms and exemplars in, and closes it; what every protocol needs happens here:
 * series ids, checks of labels and timestamps, zero samples at the start of counters, and the count
 * of what was refused.
 *
 *     rows_begin(&rows, raw_labels);
 *     rows_sample(&rows, time_ms, value, start_ms);
 *     rows_end(&rows);
 *
 * A bad series or sample is counted in `rejects` and left out; the rest goes on. Running out of
 * memory is different: it sticks, later calls do nothing, and rows_finish() returns it.
 * Not thread-safe; everything lives in the arena that rows_init() was given.
 */
#include "common/base/arena.h"
#include "common/batch/metrics.h"
#include "common/tenant/tenant.h"
#include "gateway/metrics/known.h"
#include "gateway/metrics/rejects.h"
#include "gateway/metrics/series.h"

typedef struct RowsOptions {
    Str tenant;
    const TenantLimits *limits;
    uint64_t series_seed; /* MetricsSink.series_seed */
    KnownSeries *known;   /* NULL: every series is checked every time */
    uint64_t generation;  /* tenants_generation(), asked before `limits` */
    int64_t now_ms;
    bool created_zeros; /* a sample of 0 where a counter says that it started */
} RowsOptions;

/* The row that is open. */
typedef struct RowOpen {
    LabelPair *pairs; /* as rows_begin_pairs() got them, sorted; else NULL */
    size_t pair_count;
    bool unfit;           /* too many or too long to be encoded: series_check() says so */
    RejectReason refused; /* by the walker, with rows->refusal */
    size_t sample_start, histogram_start, exemplar_start;
    uint64_t zero_samples, zero_histograms; /* before this row */
    int64_t last_start_ms;                  /* of the zero sample that was put in last */
    MetricType type;
} RowOpen;

typedef struct Rows {
    Arena *arena;
    RowsOptions options;
    MetricsBatch batch;
    Rejects rejects;
    uint64_t seed;
    int64_t min_ms, max_ms; /* what timestamps are accepted, both inclusive */
    size_t row_capacity, sample_capacity, histogram_capacity, exemplar_capacity, metadata_capacity;
    RowOpen open;
    Error refusal;
    LabelScratch scratch;
    uint64_t zero_samples; /* put in, not sent */
    uint64_t zero_histograms;
    Hash128 *started; /* zeros that were put in: rows_stored() */
    size_t started_count, started_capacity;
    uint64_t checked; /* series whose labels were looked at */
    uint64_t *metadata_seen;
    ErrCode failed;
    Error failure;
} Rows;

void rows_init(Rows *rows, const RowsOptions *options, Arena *arena);
/* Room for about so many rows of one sample each. Only a hint: it is bounded by `body_bytes`. */
void rows_reserve(Rows *rows, size_t row_count, size_t body_bytes);

/* Opens a row whose labels are remote write 1.0's bytes, canonical or not. */
void rows_begin(Rows *rows, Str labels);
/* The same from pairs, which are reordered in place where they have to be. */
void rows_begin_pairs(Rows *rows, LabelPair *pairs, size_t count);
/* What the metric is, for rows_sample()'s `start_ms`: gauges don't start. */
void rows_type(Rows *rows, MetricType type);
/* Refuses the open row for a reason that the walker found; its samples are still to be counted. */
void rows_refuse(Rows *rows, RejectReason reason, const char *format, ...) PRINTF_LIKE(3, 4);

/* `start_ms`: when the counter started, 0 for unknown. */
void rows_sample(Rows *rows, int64_t time_ms, double value, int64_t start_ms);
/* `histogram` lives as long as the arena. */
void rows_histogram(Rows *rows, int64_t time_ms, NativeHistogram *histogram, int64_t start_ms);
/* time_ms 0: none; it takes that of the row's last sample. `pairs` may be reordered. */
void rows_exemplar(Rows *rows, int64_t time_ms, double value, LabelPair *pairs, size_t count);
void rows_end(Rows *rows);

/* One metric's metadata; the same again within a request is dropped. Borrows the texts. */
void rows_metadata(Rows *rows, Str metric, MetricType type, Str help, Str unit);
/* `metric` without the suffix that one series of a histogram or summary has. */
Str rows_family(Str metric, MetricType type);

/* Records a failure of the walker's own (ERR_LIMIT: out of memory). The first one sticks. */
void rows_fail(Rows *rows, ErrCode code, const char *format, ...) PRINTF_LIKE(3, 4);
static inline bool rows_failed(const Rows *rows) {
    return rows->failed != ERR_OK;
}
/* ERR_LIMIT: memory ran out. The batch itself is rows->batch. */
MUST_USE ErrCode rows_finish(const Rows *rows, Error *err);
/* After the batch was stored: remembers the zeros, so that the next request doesn't bring them
 * again. Callable from any thread. */
void rows_stored(const Rows *rows);

/* Grows an array in `rows->arena` so that one more fits. False: out of memory, and it sticks. */
MUST_USE bool rows_grow(Rows *rows, void **array, size_t count, size_t *capacity, size_t element);
