#pragma once
/*
 * scan.h: reads the units of a selector on several threads and puts every entry through the
 * pipeline: the part that log queries and range aggregations have in common.
 */
#include "querier/logql/engine/eval.h"
#include "querier/logql/engine/rows.h"

typedef struct Scan Scan;
typedef struct ScanWorker ScanWorker;

/* What a reader of entries does with them. `what` is the worker's own. */
typedef struct ScanReader {
    /* A unit begins. *skip: it need not be read. */
    ErrCode (*unit)(void *what, const StreamUnit *unit, bool *skip, Error *err);
    /* Another batch begins: what pointed into the last one does no more. */
    void (*fresh)(void *what);
    /* A whole batch of which every entry is kept as it came. NULL: there is none such. */
    ErrCode (*batch)(void *what, const StreamBatch *batch, Error *err);
    /* One kept entry; *stop: nothing more of this unit is wanted. */
    ErrCode (*entry)(void *what, int64_t time_ns, const Row *row, bool *stop, Error *err);
    /* Looked at before the pipeline: false leaves the entry out. NULL: all are wanted; *stop as
     * above. */
    bool (*wanted)(void *what, int64_t time_ns, bool *stop);
} ScanReader;

struct Scan {
    LogqlEval *eval;
    const RowPipeline *pipeline;
    StreamSelect select;
    StreamSet set;
    const LabelPairs *streams; /* the set's labels as texts */
    uint32_t *order;           /* units, as they are to be read */
    bool whole_batches;        /* entries that pass the needles are kept as they are */
};

/* Selects. `select` has range, direction, need and limit; matchers and hints are added. */
MUST_USE ErrCode scan_open(LogqlEval *eval, const LogqlLog *log, const RowPipeline *pipeline,
                           const StreamSelect *select, Scan *out, Error *err);
/* How many workers will read: as many as there are threads, or fewer. */
size_t scan_workers(const Scan *scan);
/* Reads every unit in the order of scan->order; workers[i] is passed to the reader of thread i.
 * The first error ends all. */
MUST_USE ErrCode scan_read(Scan *scan, const ScanReader *reader, void **workers, size_t count,
                           Error *err);
