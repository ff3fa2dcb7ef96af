#pragma once
/*
 * engine.h: evaluates a parsed LogQL expression over a StreamSource, as Loki 3 does: for all steps
 * of a metric query at once.
 */
#include "querier/exec/streams.h"
#include "querier/logql/ast.h"

enum { LOGQL_STEPS_MAX = 1 << 20 };

typedef struct LogqlParams {
    int64_t start_ns; /* within 2^62 of the epoch, either way */
    int64_t end_ns;   /* as start_ns for an instant query */
    /* 0: an instant query at start_ns. A metric query's start goes down to a multiple of its step
     * and its end up to one, as Loki's own API does. */
    int64_t step_ns;
    /* Of log queries: [start_ns, end_ns), newest first when `backward`. */
    bool backward;
    uint64_t limit;             /* entries at most; 0: all */
    int64_t interval_ns;        /* an entry at most per so much time; 0: all */
    bool categorize;            /* labels of entries apart from those of streams */
    int64_t range_max_ns;       /* the longest [range]; 0: any */
    uint64_t result_series_max; /* 0: any number */
    StreamSource *source;
    QueryContext *query;
    StreamStats *stats; /* borrowed; NULL: nobody wants them */
} LogqlParams;

typedef enum LogqlResultKind {
    LOGQL_RESULT_STREAMS,
    LOGQL_RESULT_SCALAR,
    LOGQL_RESULT_VECTOR,
    LOGQL_RESULT_MATRIX,
} LogqlResultKind;

typedef struct LogqlEntry {
    int64_t time_ns;
    Str line;
    /* Only with `categorize`; the stream's labels have them otherwise. Sorted by name. */
    LabelPairs metadata;
    LabelPairs parsed;
} LogqlEntry;

typedef struct LogqlStream {
    LabelPairs labels; /* sorted by name */
    const LogqlEntry *entries;
    size_t count;
} LogqlStream;

/* Bit i of `present` says that there is a value at step i. */
typedef struct LogqlSeries {
    LabelSet labels;
    double *values;
    uint64_t *present;
} LogqlSeries;

typedef struct LogqlResult {
    LogqlResultKind kind;
    const LogqlStream *streams; /* by labels; entries in the direction asked for */
    size_t stream_count;
    size_t entry_count;
    double scalar;
    /* Every series has a value at one step at least. By labels, but a vector of sort() by value. */
    const LogqlSeries *series;
    size_t series_count;
    int64_t start_ms; /* of step 0; a vector and a scalar have this one step */
    int64_t step_ns;
    size_t steps;
} LogqlResult;

static inline bool logql_has_value(const LogqlSeries *series, size_t step) {
    return series->present[step / 64] >> (step % 64) & 1;
}

/* Everything lives in the query's arena. ERR_INVALID in Loki's words: the query (stages, ranges
 * that are too long) or what it met (errors of a pipeline: `pipeline error: ...`); ERR_UNSUPPORTED:
 * vectors that don't match, which Loki answers with status 500; ERR_LIMIT: series, steps, memory;
 * ERR_TIMEOUT, ERR_CANCELLED; errors of the source. */
MUST_USE ErrCode logql_eval(const LogqlExpr *expr, const LogqlParams *params, LogqlResult *out,
                            Error *err);
