#pragma once
/*
 * eval.h: one table of spans under evaluation: expressions as columns of bytes, one per row, and
 * sets of spans per trace. One thread's own; all memory is the arena's.
 */
#include "querier/traceql/build.h"
#include "querier/traceql/engine/engine.h"

enum { EVAL_MASKS_MAX = 4 * TRACEQL_DEPTH_MAX };

typedef struct Eval {
    const SpanTable *table;
    Arena *arena;
    QueryContext *query;
    uint8_t **filters; /* by number: per row 0 or 1; NULL: not evaluated yet */
    uint8_t **masks;   /* scratch, a stack */
    size_t mask_depth;
    bool first_parts; /* of a span's events and links the first counts, not the last: in metrics */
    /* Made when they are first asked for. */
    uint32_t *trace_of;     /* row */
    uint32_t *roots;        /* of traces: the row, or SPAN_ROOT */
    uint32_t *event_owners; /* rows of events */
    uint32_t *link_owners;
    uint32_t *children;         /* how many a row has */
    int64_t *left, *right, *up; /* nested set */
} Eval;

MUST_USE ErrCode eval_begin(Eval *eval, const TraceqlQuery *query, const SpanTable *table,
                            QueryContext *context, Arena *arena, Error *err);
/* A row of bytes, to be given back in turn with eval->mask_depth--. NULL: the arena. */
uint8_t *eval_mask(Eval *eval);

/* ---------- values (values of one row) ---------- */

/* Attributes that have a column of their own in Tempo, where a span that hasn't one has nil: which
 * is seen in its answers. NULL: no more. */
const TraceqlAttribute *attribute_well_known(size_t i);
bool attribute_is_well_known(const TraceqlAttribute *attribute);

/* What a span has under a name; NIL: nothing. Of events and links, the last one's. */
MUST_USE ErrCode eval_attribute(Eval *eval, const TraceqlAttribute *attribute, uint32_t row,
                                TraceqlValue *out, Error *err);
MUST_USE ErrCode eval_value(Eval *eval, const TraceqlExpr *expr, uint32_t row, TraceqlValue *out,
                            Error *err);

/* A condition on one value. */
typedef struct Test {
    uint8_t op; /* a comparison; EXISTS; NOT_EXISTS */
    TraceqlValue value;
    const Regex *regex;
} Test;

/* Whether `expr` is one of an attribute: compared with a constant, != nil, itself. */
bool test_of(const TraceqlExpr *expr, const TraceqlAttribute **attribute, Test *test);
bool test_value(const Test *test, const TraceqlValue *element, bool typed);

/* Values of the attribute in one scope, by owner (row, event, link); NIL: none. */
MUST_USE ErrCode eval_scoped(Eval *eval, const TraceqlAttribute *attribute, uint8_t scope,
                             uint32_t owner, TraceqlValue *out, Error *err);
/* SCOPE_EVENT, SCOPE_LINK: it is one of a span's events or links; 0: of the span. */
uint8_t attribute_part(const TraceqlAttribute *attribute);
/* Of event or link `part`, which row `row` has. */
MUST_USE ErrCode eval_part(Eval *eval, const TraceqlAttribute *attribute, uint8_t scope,
                           uint32_t part, uint32_t row, TraceqlValue *out, Error *err);
void eval_parts(const Eval *eval, uint8_t scope, uint32_t row, uint32_t *first, uint32_t *end);
MUST_USE ErrCode eval_trees(Eval *eval, Error *err); /* left, right, up, children */
MUST_USE ErrCode eval_owners(Eval *eval, Error *err);
MUST_USE ErrCode eval_roots(Eval *eval, Error *err);

/* ---------- filters (filter.c) ---------- */

/* out[row] 0 or 1, for rows that traces have. */
MUST_USE ErrCode eval_filter(Eval *eval, const TraceqlExpr *expr, uint8_t *out, Error *err);

/* ---------- sets (sets.c) ---------- */

/* Spans of one trace that belong together, and what by() and aggregates found out about them. */
typedef struct SpanSet {
    uint32_t *rows; /* ascending */
    uint32_t count;
    TraceqlLabel *labels;
    uint32_t label_count;
} SpanSet;

/* Which spans of traces [first, end) the stage keeps, of those in `in` (NULL: all). */
MUST_USE ErrCode eval_set(Eval *eval, const TraceqlSet *set, uint32_t first, uint32_t end,
                          const uint8_t *in, uint8_t *out, Error *err);
/* The sets of one trace that come out of the pipeline. */
MUST_USE ErrCode eval_pipeline(Eval *eval, const TraceqlPipeline *pipeline, uint32_t trace,
                               const uint8_t *in, SpanSet **out, size_t *count, Error *err);
