#pragma once
/*
 * extent.h: the answer to a range query for some steps, kept apart from the query that made it: its
 * series with their labels as text, in the order of their labels, in one piece of memory.
 *
 * Immutable and refcounted: a query keeps using one that the cache has dropped meanwhile.
 */
#include "querier/promql/engine.h"

typedef struct Extent Extent;

/* Steps [from, from + steps) of a result of a range query (a matrix). */
typedef struct ResultSteps {
    const PromqlResult *result;
    const Symbols *symbols;
    size_t from;
    size_t steps;
    int64_t first_ms; /* of the first of these steps */
    Str notes;        /* what its annotations say, in a form of the caller's */
} ResultSteps;

/* In malloc'd memory that is charged to `budget`. `scratch` is only used meanwhile. NULL: larger
 * than `bytes_max`, or the budget, `scratch` or malloc say no. */
Extent *extent_new(const ResultSteps *what, size_t bytes_max, Budget *budget, Arena *scratch);
/* What extent_new() would take, to make room for it first. 0: `scratch` is used up. */
size_t extent_bytes_of(const ResultSteps *what, Arena *scratch);
void extent_ref(Extent *extent);
void extent_unref(Extent *extent); /* NULL is fine */
size_t extent_bytes(const Extent *extent);
size_t extent_steps(const Extent *extent);
size_t extent_series(const Extent *extent);
Str extent_notes(const Extent *extent);

/* The series' labels in the query's symbols, in `arena`; they point into the extent, which must
 * live as long. False: out of budget. */
MUST_USE bool extent_labels(const Extent *extent, Symbols *symbols, Arena *arena, LabelSet **out);

/* A series' steps [from, from + steps) into an answer's columns, from step `at` on. `present` has
 * no bits there yet. Histograms go to `hists` and point into the extent. Returns whether there was
 * any sample. */
bool extent_read(const Extent *extent, size_t series, size_t from, size_t steps, size_t at,
                 double *values, uint64_t *present, const Hist **hists);
bool extent_has_hists(const Extent *extent, size_t series);
