#pragma once
/*
 * series.h: what a selector reads from. The engine sees series with labels at once and decodes the
 * samples of one series at a time, into scratch memory of the thread that works on it, so that an
 * aggregation never holds more than one series' samples per thread.
 *
 * querier/fetch/ fills this from blocks and heads; tests fill it from literals.
 */
#include <stdatomic.h>

#include "common/base/pool.h"
#include "common/batch/histogram.h"
#include "common/batch/matcher.h"
#include "querier/exec/symbols.h"

/* What one query carries everywhere. Made per request; the engine charges what it holds to `arena`.
 */
typedef struct QueryContext {
    Arena *arena;
    Symbols *symbols;
    Pool *pool;                    /* for parallel work within the query; NULL: none */
    const atomic_bool *cancelled;  /* the client hung up; NULL: never */
    uint64_t deadline_ns;          /* clock_monotonic_ns(); 0: none */
    uint64_t samples_max;          /* samples held by the query at once; 0: no limit */
    uint64_t series_max;           /* series per selector; 0: no limit */
    _Atomic uint64_t samples_read; /* for statistics: counted by the source */
    _Atomic uint64_t samples_held;
    _Atomic uint64_t samples_peak;
} QueryContext;

/* ERR_CANCELLED or ERR_TIMEOUT when the query should stop. Cheap: asked every few thousand steps.
 */
MUST_USE ErrCode query_check(const QueryContext *query, Error *err);

/* One series' samples in [min, max] of the selection, sorted by time, no time twice. `times` may
 * be shared by many series: equal `times_id` (not 0) means the very same instants. A series may
 * mix floats and histograms; no instant has both. */
typedef struct SeriesSamples {
    const int64_t *times;
    const double *values;
    size_t count;
    uint64_t times_id;
    const int64_t *histogram_times;
    const NativeHistogram *const *histograms;
    size_t histogram_count;
} SeriesSamples;

typedef struct SeriesSet SeriesSet;

/* Memory a thread decodes into, reused from series to series. */
typedef struct SeriesScratch SeriesScratch;
SeriesScratch *series_scratch_new(QueryContext *query);
void series_scratch_free(SeriesScratch *scratch);
DEFINE_CLEANUP(SeriesScratch, series_scratch_free)

/* The result of a select. Series are in no order, and no label set is there twice. */
struct SeriesSet {
    const LabelSet *labels; /* one per series, __name__ included */
    size_t count;
    /* Samples of series i. *out lives until the next read with this scratch (arrays with a
     * times_id: as long as the scratch). Safe from several threads, each with its own scratch. */
    ErrCode (*read)(const SeriesSet *set, size_t i, SeriesScratch *scratch, SeriesSamples *out,
                    Error *err);
    void *context;
};

typedef struct SelectRequest {
    const Matcher *matchers;
    size_t matcher_count;
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
    /* Hints a source may use to read less. */
    bool labels_only; /* nobody will call read(): for /series and label queries */
    /* Values are only asked whether they are stale markers: others may be read as any number. */
    bool presence_only;
    bool newest_only; /* of each series only the newest sample of the range will be looked at */
} SelectRequest;

typedef struct Exemplar {
    int64_t time_ms;
    double value;
    LabelSet labels;
} Exemplar;

typedef struct ExemplarSeries {
    LabelSet labels;
    const Exemplar *exemplars; /* by time */
    size_t count;
} ExemplarSeries;

typedef struct MetadataEntry {
    Str metric;
    Str type; /* "counter" */
    Str help;
    Str unit;
} MetadataEntry;

/* A tenant's metrics, whatever they lie in. */
typedef struct SeriesSource SeriesSource;
struct SeriesSource {
    MUST_USE ErrCode (*select)(SeriesSource *source, QueryContext *query,
                               const SelectRequest *request, SeriesSet *out, Error *err);
    /* Distinct label names, or values of one label (`name` given), of series that match any of the
     * matcher sets (none: all) in the range. Sorted, in the query's arena. */
    MUST_USE ErrCode (*labels)(SeriesSource *source, QueryContext *query, Str name,
                               const SelectRequest *requests, size_t request_count, Str **out,
                               size_t *out_count, Error *err);
    MUST_USE ErrCode (*exemplars)(SeriesSource *source, QueryContext *query,
                                  const SelectRequest *request, ExemplarSeries **out,
                                  size_t *out_count, Error *err);
    MUST_USE ErrCode (*metadata)(SeriesSource *source, QueryContext *query, Str metric,
                                 MetadataEntry **out, size_t *out_count, Error *err);
    void *context;
};
