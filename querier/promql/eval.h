#pragma once
/*
 * eval.h: what the evaluator's files share.
 *
 * A vector-valued node becomes a Stream: labels at once, and each series' column (a value for every
 * step) when somebody reads it, in any order and from several threads. Who needs all columns at
 * once collects a stream into a Vector; who reduces them (aggregations) never does. A Grid is the
 * steps to evaluate at: the query's, a subquery's, or one step for what is the same at each.
 */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "querier/promql/engine.h"
#include "querier/promql/plan.h"

typedef struct Grid {
    int64_t start_ms;
    int64_t step_ms;
    uint32_t steps; /* may be 0: a subquery whose range has no step in it */
    bool ranged;    /* start and end differ, even if only one step fits */
} Grid;

static inline int64_t grid_time(const Grid *grid, uint32_t step) {
    return grid->start_ms + (int64_t)step * grid->step_ms;
}
static inline uint32_t grid_words(const Grid *grid) {
    return (grid->steps + 63) / 64;
}

/* ---- columns ---- */

/* A series' values at the grid's steps. `hists` is NULL where there are no histograms; a step has
 * a float (its bit in `present`), a histogram, or nothing. `full`: a float at every step. */
typedef struct Column {
    double *values;
    uint64_t *present;
    const Hist **hists;
    bool full;
} Column;

static inline bool column_has(const Column *column, uint32_t step) {
    return column->present[step / 64] >> (step % 64) & 1;
}
static inline void bits_set(uint64_t *bits, uint32_t i) {
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}
static inline void bits_clear(uint64_t *bits, uint32_t i) {
    bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
}
static inline bool bits_get(const uint64_t *bits, uint32_t i) {
    return bits[i / 64] >> (i % 64) & 1;
}
void bits_fill(uint64_t *bits, uint32_t count); /* sets bits 0..count-1, clears the rest */
bool bits_are_full(const uint64_t *bits, uint32_t count);
bool bits_any(const uint64_t *bits, uint32_t words);
static inline bool column_any(const Column *column, const Grid *grid) {
    return column->hists != NULL || bits_any(column->present, grid_words(grid));
}
/* A loop over the set bits of `bits`; `break` does not leave it. */
#define BITS_EACH(i, bits, words)                                                                  \
    for (uint32_t i##_word = 0; i##_word < (words); i##_word++)                                    \
        for (uint64_t i##_rest = (bits)[i##_word]; i##_rest != 0; i##_rest &= i##_rest - 1)        \
            for (uint32_t i = i##_word * 64 + (uint32_t)__builtin_ctzll(i##_rest), i##_once = 1;   \
                 i##_once != 0; i##_once = 0)

/* ---- the evaluation ---- */

typedef struct Eval Eval;

/* What one thread works with; taken for a part of a stream and given back. */
typedef struct Worker {
    struct Worker *next;
    Eval *eval;
    SeriesScratch *scratch;
    Arena *kept;        /* as long as the query: buffers of stream nodes */
    Arena *series;      /* reset before each series */
    Arena *hists;       /* where histograms of the column being read go */
    Arena *hist_target; /* set by who reads and wants to keep them; else they go to `series` */
    Annotations *annotations; /* of the part being worked on */
    void **slots;
    uint32_t slot_count;
    uint32_t since_check;
} Worker;

typedef struct Memo Memo;
typedef struct Selected Selected;
typedef struct VectorMemory VectorMemory;

struct Eval {
    QueryContext *query;
    const PromqlParams *params;
    const Plan *plan;
    Arena *arena; /* the query's */
    Symbols *symbols;
    SeriesSource *source;
    int64_t lookback_ms;
    int64_t subquery_step_ms;
    Annotations *annotations;
    uint32_t slot_count;
    uint64_t next_times_id;
    Memo *memos;
    VectorMemory *vectors; /* that are not freed yet */
    Selected *selected;
    pthread_mutex_t lock; /* of the free workers */
    Worker *workers;
    uint32_t type_symbol, unit_symbol, le_symbol; /* __type__, __unit__, le */
};

ErrCode eval_out_of_memory(Error *err);
/* Counts samples that are held, against samples_max. */
MUST_USE ErrCode eval_hold(Eval *eval, uint64_t samples, Error *err);
void eval_release(Eval *eval, uint64_t samples);
/* A buffer of its own for a stream node in each worker: the id of the slot. */
uint32_t eval_new_slot(Eval *eval);
/* The worker's buffer of a slot, zeroed when new. NULL: out of budget. */
void *worker_slot(Worker *worker, uint32_t slot, size_t bytes);
/* Now and then asks whether the query should go on. */
MUST_USE ErrCode worker_check(Worker *worker, uint32_t work, Error *err);

/* ---- streams ---- */

typedef struct Stream Stream;
struct Stream {
    size_t count;
    const LabelSet *labels;
    const bool *drops; /* per series: __name__ goes at the end; NULL: `drop` for all */
    bool drop;
    bool no_hists; /* never has histograms */
    /* Column i; *out lives until the next read of this stream by this worker. */
    ErrCode (*read)(const Stream *stream, size_t i, Worker *worker, Column *out, Error *err);
    void *context;
    const struct Vector *vector; /* when that is where it reads from, else NULL */
    Grid grid;
};

static inline bool stream_drops(const Stream *stream, size_t i) {
    return stream->drops != NULL ? stream->drops[i] : stream->drop;
}
/* Like stream->read, with the bookkeeping between series. */
MUST_USE ErrCode stream_read(const Stream *stream, size_t i, Worker *worker, Column *out,
                             Error *err);

/* Work on all series of a stream, in parts of consecutive series that do not depend on how many
 * threads there are. `part` runs on any thread; parts' annotations are merged in order. */
typedef struct StreamPart {
    size_t index;
    size_t begin, end;
} StreamPart;
typedef ErrCode (*StreamWork)(void *context, const StreamPart *part, Worker *worker, Error *err);
size_t stream_parts(const Stream *stream); /* how many there will be */
MUST_USE ErrCode stream_each(Eval *eval, const Stream *stream, size_t parts, StreamWork work,
                             void *context, Error *err);

/* All columns of a stream. Histograms live in its arena, labels in the query's. */
typedef struct Vector {
    size_t count;
    LabelSet *labels;
    bool *drops;
    Column *columns;
    Arena *arena;
    VectorMemory *memory; /* NULL: somebody else's */
    uint64_t held;        /* samples */
} Vector;

/* An empty vector with room for `capacity` series, whose columns are not there yet. */
MUST_USE ErrCode vector_new(Eval *eval, size_t capacity, Vector *out, Error *err);
void vector_free(Eval *eval, Vector *vector); /* gives its memory and samples back */
/* Fresh column without any sample. */
MUST_USE ErrCode column_new(Arena *arena, const Grid *grid, Column *out, Error *err);
MUST_USE ErrCode column_add_hists(Arena *arena, const Grid *grid, Column *column, Error *err);
uint64_t column_samples(const Column *column, const Grid *grid);
/* Leaves out series without samples, counts the samples of the others. */
MUST_USE ErrCode vector_finish(Eval *eval, Vector *vector, const Grid *grid, Error *err);
/* The vector as a node's result: it lives until the query ends or somebody collects the stream. */
MUST_USE ErrCode stream_keep(Eval *eval, const Vector *vector, const Grid *grid, Stream *out,
                             Error *err);

/* ---- nodes ---- */

/* `steps` numbers, in the query's arena. */
MUST_USE ErrCode eval_scalar(Eval *eval, const Node *node, const Grid *grid, const double **out,
                             Error *err);
MUST_USE ErrCode eval_stream(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                             Error *err);
/* Series without any sample are left out. */
MUST_USE ErrCode eval_vector(Eval *eval, const Node *node, const Grid *grid, Vector *out,
                             Error *err);
MUST_USE ErrCode stream_collect(Eval *eval, const Stream *stream, Vector *out, Error *err);

/* One kind of node each; they are called for a grid with at least one step. */
ErrCode eval_selector(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_timestamp(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_range_call(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_call(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_aggregate(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_binary(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_negate(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_scalar_call(Eval *eval, const Node *node, const Grid *grid, double *out, Error *err);

/* The grid that a subquery's inner expression is evaluated on. */
Grid subquery_grid(const Eval *eval, const Node *node, const Grid *outer);

/* Name of the metric, for annotations. */
static inline Str metric_name(const Eval *eval, LabelSet labels) {
    return symbols_str(eval->symbols, label_set_get(labels, SYMBOL_NAME));
}
