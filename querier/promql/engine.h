#pragma once
/*
 * engine.h: evaluates a parsed PromQL expression over a SeriesSource, for all steps at once.
 *
 * What names and flags mean is Prometheus 3 with native histograms, delayed name removal,
 * experimental functions and extended range selectors on.
 */
#include "querier/exec/series.h"
#include "querier/promql/annotations.h"
#include "querier/promql/ast.h"
#include "querier/promql/hist.h"

enum { PROMQL_LOOKBACK_MS = 300000, PROMQL_SUBQUERY_STEP_MS = 60000, PROMQL_STEPS_MAX = 1 << 26 };

typedef struct PromqlParams {
    int64_t start_ms;
    int64_t end_ms;            /* as start_ms for an instant query */
    int64_t step_ms;           /* 0: an instant query at start_ms */
    int64_t lookback_ms;       /* 0: PROMQL_LOOKBACK_MS */
    int64_t subquery_step_ms;  /* of `[5m:]`; 0: PROMQL_SUBQUERY_STEP_MS */
    bool type_and_unit_labels; /* rate() looks at __type__, not at the name */
    SeriesSource *source;
    QueryContext *query;
} PromqlParams;

/* One series: `values` and `histograms` have an entry for each of the result's times; bit i of
 * `present` says that there is a float at times[i], histograms[i] (the array may be NULL) that
 * there is a histogram. Never both. */
typedef struct PromqlSeries {
    LabelSet labels;
    const int64_t *times; /* the result's, but of a range selector each series' own */
    const double *values;
    const uint64_t *present;
    const Hist *const *histograms;
    size_t count;
} PromqlSeries;

typedef struct PromqlResult {
    PromqlType type; /* matrix for every range query, also of a scalar */
    int64_t time_ms; /* of a scalar, a string and of all samples of a vector */
    double scalar;
    Str string;
    PromqlSeries *series; /* vector: one time each; matrix: sorted by labels */
    size_t series_count;
    Annotations *annotations;
    const uint32_t *positions; /* for annotations_texts() */
} PromqlResult;

static inline bool promql_has_float(const PromqlSeries *series, size_t i) {
    return series->present[i / 64] >> (i % 64) & 1;
}
static inline const Hist *promql_histogram(const PromqlSeries *series, size_t i) {
    return series->histograms == NULL ? NULL : series->histograms[i];
}

/* `expr` is changed: durations are resolved. `query_text` is what it was parsed from. Everything
 * lives in the query's arena. ERR_INVALID: what Prometheus calls an execution error or bad data;
 * ERR_LIMIT: samples_max, series_max or memory; ERR_TIMEOUT, ERR_CANCELLED; errors of the source.
 */
MUST_USE ErrCode promql_eval(PromqlExpr *expr, Str query_text, const PromqlParams *params,
                             PromqlResult *out, Error *err);
