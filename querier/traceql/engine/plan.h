#pragma once
/*
 * plan.h: what of spans a query looks at: columns to evaluate it, columns to show what it found,
 * hints of what need not be read, and which attributes are shown.
 */
#include "querier/traceql/engine/eval.h"

/* An attribute that the query mentions. Shown of a span is a value that passes one of the tests, of
 * an array those of its elements that do; or, with `always`, whatever is there. */
typedef struct Mention {
    TraceqlAttribute attribute;
    Test *tests;
    size_t count;
    bool always;
    bool nil; /* compared with nil: shown even if it isn't there */
} Mention;

typedef struct Plan {
    SpanNeed need;   /* to evaluate */
    SpanNeed output; /* to show spans */
    const SpanConditions *any;
    size_t any_count;
    Mention *mentions;
    size_t mention_count;
    bool root_unnamed; /* by(rootName): Tempo leaves the field out where the group has it */
} Plan;

/* Of a search: of the query's pipeline. */
MUST_USE ErrCode plan_search(const TraceqlQuery *query, Arena *arena, Plan *out, Error *err);

/* Pieces, for metrics and tags. */
MUST_USE ErrCode plan_need_attribute(SpanNeed *need, const TraceqlAttribute *attribute,
                                     Arena *arena, Error *err);
MUST_USE ErrCode plan_need_set(SpanNeed *need, const TraceqlSet *set, Arena *arena, Error *err);
MUST_USE ErrCode plan_need_pipeline(SpanNeed *need, const TraceqlPipeline *pipeline, Arena *arena,
                                    Error *err);
/* Sets hints of what the pipeline's first stage wants. */
MUST_USE ErrCode plan_hints(const TraceqlPipeline *pipeline, Arena *arena,
                            const SpanConditions **out, size_t *count, Error *err);
MUST_USE ErrCode plan_mention_pipeline(Plan *plan, const TraceqlPipeline *pipeline, Arena *arena,
                                       Error *err);
