#pragma once
/*
 * match.h: which series of two vectors go together: groups of equal matching labels.
 */
#include "querier/promql/label_ops.h"

/* Series of one group in order, one list per side. */
typedef struct MatchSide {
    uint32_t *group; /* per series */
    uint32_t *start; /* per group, and the end of the last: into `series` */
    uint32_t *series;
    uint64_t **any; /* per series: the steps with a float or a histogram */
} MatchSide;

typedef struct Match {
    const PromqlMatching *matching;
    uint32_t *names; /* matching labels */
    uint32_t groups;
    MatchSide side[2]; /* left, right */
} Match;

/* Everything in `arena`. */
MUST_USE ErrCode match_make(Eval *eval, const PromqlMatching *matching, const Vector *left,
                            const Vector *right, const Grid *grid, Arena *arena, Match *out,
                            Error *err);
/* The matching labels of a set. False: out of memory. */
MUST_USE bool match_labels(const Match *match, Arena *arena, LabelSet set, LabelSet *out);
/* The steps at which any series of a side has a sample. NULL: out of memory. */
uint64_t *match_any(const MatchSide *side, size_t count, const Grid *grid, Arena *arena);
