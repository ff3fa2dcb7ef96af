#pragma once
/*
 * range.h: what the files of range aggregations share: which numbers are kept per series and step,
 * and the table of series that each thread fills.
 */
#include "querier/logql/engine/scan.h"
#include "querier/logql/engine/window.h"

typedef enum RangeKind {
    RANGE_COUNT,   /* entries */
    RANGE_BYTES,   /* entries and bytes of their lines */
    RANGE_FOLD,    /* samples, folded as they come */
    RANGE_SAMPLES, /* samples, all of them, by time in the end */
} RangeKind;

typedef struct RangePlan {
    LogqlRangeOp op;
    RangeKind kind;
    WindowGrid grid;
    bool unwrapped;
    double seconds; /* of the range, for rates */
    double quantile;
    /* Steps overlap: counts are kept as differences to the step before. */
    bool differences;
    /* Labels of the series. */
    bool no_labels;
    bool without;
    const Str *names;
    size_t name_count;
} RangePlan;

/* Per series and step. What `a` and `b` are depends on the operation. */
typedef struct RangeFold {
    double a;
    double b;
    int64_t n; /* of samples; of first and last, a time, and `b` says that there is one */
} RangeFold;

typedef struct RangeSample {
    int64_t time_ns;
    double value;
} RangeSample;

enum { RANGE_BLOCK_STEPS = 32, RANGE_CHUNK_SAMPLES = 30 };

typedef struct RangeChunk RangeChunk;
struct RangeChunk {
    RangeChunk *before;
    size_t count;
    RangeSample samples[RANGE_CHUNK_SAMPLES];
};

/* One series of one thread. Steps come in blocks, made where something is. */
typedef struct RangeSeries {
    Str key; /* its labels, one after another: range_key_labels() */
    uint64_t hash;
    void **blocks;
    RangeChunk *chunks; /* newest first */
    size_t sample_count;
} RangeSeries;

typedef struct RangeTable {
    const RangePlan *plan;
    Arena *arena;
    RangeSeries *series;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* index + 1 */
    size_t mask;
} RangeTable;

MUST_USE bool range_table_init(RangeTable *table, const RangePlan *plan, Arena *arena);
/* The series of a key, made when new; NULL: out of memory. Good until the next call. */
RangeSeries *range_table_find(RangeTable *table, Str key);
/* `count` entries of `bytes` together for a window. False: out of memory. */
MUST_USE bool range_add_count(RangeTable *table, RangeSeries *series, const Window *window,
                              uint64_t count, uint64_t bytes);
MUST_USE bool range_add_sample(RangeTable *table, RangeSeries *series, const Window *window,
                               int64_t time_ns, double value);

/* A series' labels: names and values, each behind its length. */
void range_key_add(Buf *key, LabelPair pair);
bool range_key_next(Str *rest, LabelPair *out);

/* range_finish.c: all threads' tables as one vector. */
MUST_USE ErrCode range_finish(LogqlEval *eval, const RangePlan *plan, const RangeTable *tables,
                              size_t count, LogqlVector *out, Error *err);
/* range_fold.c */
void range_fold_add(LogqlRangeOp op, RangeFold *fold, int64_t time_ns, double value);
void range_fold_merge(LogqlRangeOp op, RangeFold *into, const RangeFold *other);
bool range_fold_has(LogqlRangeOp op, const RangeFold *fold);
double range_fold_value(const RangePlan *plan, const RangeFold *fold);
/* The value of a window of samples in order of time, one or more; `end_ns` is the window's. */
double range_window_value(const RangePlan *plan, const RangeSample *samples, size_t count,
                          int64_t end_ns, double *scratch);
