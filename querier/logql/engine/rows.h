#pragma once
/*
 * rows.h: an entry as the pipeline leaves it, for who reads entries.
 */
#include "common/batch/labels.h"
#include "common/block/logs.h"
#include "querier/logql/engine/eval.h"

/* What one entry came to; lives until the worker's next one. Names are sorted in each of the
 * three, and none is in two of them. */
typedef struct Row {
    Str line;          /* empty where RowOptions say that nobody looks at it */
    double sample;     /* with unwrap */
    LabelPairs stream; /* labels of the stream that are left */
    LabelPairs metadata;
    LabelPairs parsed; /* __error__ and __error_details__ as well */
    bool has_error;    /* and it was not asked for */
    bool plain;        /* the labels are the stream's and the metadata, as they came */
} Row;

/* A compiled pipeline, shared by threads. */
typedef struct RowPipeline RowPipeline;

typedef struct RowOptions {
    const LogqlLog *log;
    const LogqlUnwrap *unwrap;
    /* Of a metric query: which labels are looked at in the end, so that no others are made. */
    bool metric;
    const LogqlGrouping *grouping; /* NULL: all labels */
    bool no_labels;                /* none */
    bool line_wanted;              /* or its length */
} RowOptions;

MUST_USE ErrCode row_pipeline_new(LogqlEval *eval, const RowOptions *options, RowPipeline **out,
                                  Error *err);

/* One thread's way through it. */
typedef struct RowWorker RowWorker;
MUST_USE ErrCode row_worker_new(const RowPipeline *pipeline, Budget *budget, RowWorker **out,
                                Error *err);
void row_worker_free(RowWorker *worker); /* NULL is fine */
MUST_USE ErrCode row_worker_stream(RowWorker *worker, LabelPairs labels, Error *err);
/* False: the entry is left out. `done`: the needles that logql_hints() makes of line filters hold
 * of its line. */
bool row_worker_run(RowWorker *worker, int64_t time_ns, Str line, LabelPairs metadata, bool done,
                    Row *out);
/* The same of a row of a page whose lines nobody put together. */
bool row_worker_run_text(RowWorker *worker, int64_t time_ns, LogText *text, uint32_t row,
                         LabelPairs metadata, bool done, Row *out);
/* Whether it does less with lines that come so. */
bool row_pipeline_takes_parts(const RowPipeline *pipeline);
/* What went wrong meanwhile: memory. */
MUST_USE ErrCode row_worker_error(const RowWorker *worker, Error *err);
