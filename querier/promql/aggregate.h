#pragma once
/*
 * aggregate.h: what aggregation operators share: which group a series belongs to.
 */
#include "querier/promql/label_ops.h"

typedef struct Groups {
    uint32_t count;
    uint32_t *of_series;
    LabelSet *labels; /* per group, in the query's arena */
    bool *drops;      /* per group: a series in it loses its name */
} Groups;

/* ERR_LIMIT: out of memory. */
MUST_USE ErrCode groups_make(Eval *eval, const Node *node, const Stream *stream, Groups *out,
                             Error *err);
/* Labels of the group of one set, for operators that make groups as they go. */
typedef struct Grouping {
    Eval *eval;
    const uint32_t *names;
    size_t count;
    bool without;
} Grouping;
MUST_USE ErrCode grouping_make(Eval *eval, const Node *node, Str extra, Grouping *out, Error *err);
/* Writes the group's labels to `buffer`, which has room for all of the set's. */
LabelSet grouping_labels(const Grouping *grouping, LabelSet set, Label *buffer);

/* sum, avg, count, min, max, group, stddev, stdvar */
ErrCode aggregate_fold(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode aggregate_topk(Eval *eval, const Node *node, const Grid *grid, const double *k, Stream *out,
                       Error *err);
ErrCode aggregate_limit(Eval *eval, const Node *node, const Grid *grid, const double *param,
                        Stream *out, Error *err);
ErrCode aggregate_quantile(Eval *eval, const Node *node, const Grid *grid, const double *q,
                           Stream *out, Error *err);
ErrCode aggregate_count_values(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                               Error *err);
