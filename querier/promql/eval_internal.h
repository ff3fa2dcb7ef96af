#pragma once
/*
 * eval_internal.h: smaller things that evaluator files lend each other.
 */
#include "querier/promql/eval.h"
#include "querier/promql/select.h"

void eval_free_workers(Eval *eval);
void eval_free_vectors(Eval *eval);

double binary_scalar(PromqlOp op, double a, double b);

/* A range selector or subquery by itself: only as a whole instant query. */
ErrCode eval_matrix(Eval *eval, const Node *node, const Grid *grid, PromqlResult *out, Error *err);

/* The times of the newest samples in ms, as values. ERR_INVALID: a histogram. */
ErrCode selector_times(Eval *eval, const SeriesSet *set, const StepTimes *steps, const Grid *grid,
                       Stream *out, Error *err);
