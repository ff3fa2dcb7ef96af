#pragma once
/*
 * info_select.h: which info series info() reads.
 */
#include "querier/promql/eval.h"

typedef struct Info {
    /* What the name of an info metric must match. */
    Matcher *name_matchers;
    size_t name_matcher_count;
    /* What the user wants of the data labels; none: all labels. */
    Matcher *data_matchers;
    size_t data_matcher_count;
    /* Names of the metrics that were found. */
    uint32_t *metrics;
    size_t metric_count;
} Info;

MUST_USE ErrCode info_matchers(Eval *eval, const Node *call, Info *out, Error *err);
/* The info series of all identifying labels in `base`, as the times of their samples in ms. */
MUST_USE ErrCode info_select(Eval *eval, const Node *call, const Grid *grid, const Vector *base,
                             const bool *ignored, const uint32_t id_names[static 2],
                             const Info *info, Vector *out, Error *err);
/* Sets info->metrics. */
MUST_USE ErrCode info_metrics(Eval *eval, const Vector *series, Info *info, Error *err);
