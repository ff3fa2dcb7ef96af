#pragma once
/*
 * functions.h: where the functions of vectors are; eval_call.c picks one.
 */
#include "querier/promql/eval.h"

typedef double (*FloatFunction)(double v);
FloatFunction float_function(PromqlFunctionId id); /* abs(), sin(), year()...; NULL: no such */
double go_max(double a, double b);
double go_min(double a, double b);

typedef ErrCode (*FunctionEval)(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                                Error *err);
ErrCode eval_float_function(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                            Error *err);
ErrCode eval_clamp(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_round(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_step_times(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_hist_function(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_scalar_binary(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_histogram_quantile(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                                Error *err); /* and histogram_quantiles, histogram_fraction */
ErrCode eval_label_replace(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_label_join(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_sort(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_absent(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);
ErrCode eval_info(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err);

/* Merges series whose labels became equal; ERR_INVALID when they have samples at one step. */
MUST_USE ErrCode vector_merge_equal(Eval *eval, Vector *vector, const Grid *grid, Error *err);
ErrCode same_labelset(Error *err);
