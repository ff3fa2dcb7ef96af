#pragma once
/*
 * metrics.h: what the files of metrics share: points in time, and series as they are worked on.
 */
#include "querier/traceql/engine/keymap.h"
#include "querier/traceql/engine/plan.h"
#include "querier/traceql/engine/scan.h"

/* Points are right-closed intervals: point i is (start + i * step, start + (i + 1) * step]; of an
 * instant query all of [start, end] is one. */
typedef struct Points {
    int64_t start_ns;
    int64_t end_ns;
    int64_t step_ns;
    size_t count;
    bool instant;
} Points;

/* The point of a time; SIZE_MAX: none. */
static inline size_t point_of(const Points *points, int64_t time_ns) {
    if (points->instant)
        return time_ns >= points->start_ns && time_ns <= points->end_ns ? 0 : SIZE_MAX;
    if (time_ns <= points->start_ns || time_ns > points->end_ns) return SIZE_MAX;
    return (size_t)((time_ns - points->start_ns - 1) / points->step_ns);
}

typedef struct SeriesList {
    TraceqlSeries *items;
    size_t count;
} SeriesList;

typedef struct MetricRun {
    const TraceqlQuery *query;
    const TraceqlMetricsParams *params;
    const TraceqlMetric *metric;
    const Points *points;
    Arena *arena; /* the query's */
    SpanNeed need;
    const TraceqlSet *first;
    TraceqlPipeline rest;
    const Mention *narrowed[TRACEQL_BY_MAX]; /* of `by`; NULL: all values are theirs */
} MetricRun;

/* The spans that a unit's pipeline leaves: rows[row] 0 or 1. */
MUST_USE ErrCode metric_rows(const MetricRun *run, Eval *eval, uint8_t **rows, Error *err);

MUST_USE ErrCode metric_aggregate(MetricRun *run, SeriesList *out, Error *err); /* aggregate.c */
MUST_USE ErrCode metric_compare(MetricRun *run, SeriesList *out, Error *err);   /* compare.c */
MUST_USE ErrCode metric_select(const MetricRun *run, TraceScan *scan, Error *err);

/* math.c */
MUST_USE ErrCode metric_seconds(const TraceqlMetric *metric, size_t points, SeriesList *list,
                                Arena *arena, Error *err);
MUST_USE ErrCode metric_math(uint8_t op, const SeriesList *left, const SeriesList *right,
                             size_t points, Arena *arena, SeriesList *out, Error *err);
int metric_order_series(const void *a, const void *b); /* of TraceqlSeries: by labels */

/* quantile.c: the smallest power of two that isn't below `value`, and quantiles of counts in such
 * buckets, ascending. */
double metric_bucket(uint64_t value);
typedef struct MetricBucket {
    double max;
    uint64_t count;
} MetricBucket;
double metric_quantile(double q, const MetricBucket *buckets, size_t count);
