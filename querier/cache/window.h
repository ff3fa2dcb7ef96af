#pragma once
/*
 * window.h: whether each step of a range query can be answered by itself, and which samples it
 * then depends on.
 */
#include "querier/promql/ast.h"

/* The value at step t depends on samples in [t - back, t + ahead], and on those in [fixed_min,
 * fixed_max] whatever the step, and on nothing else. */
typedef struct ResultWindow {
    int64_t back_ms;
    int64_t ahead_ms;
    bool has_fixed; /* a part is evaluated `@` a time of its own */
    int64_t fixed_min_ms;
    int64_t fixed_max_ms;
} ResultWindow;

/* Durations must be resolved, for this step. False: the answer at a step depends on the query's
 * start or end, or may differ in the last bits when steps are evaluated apart. */
MUST_USE bool result_window(const PromqlExpr *expr, int64_t lookback_ms, int64_t subquery_step_ms,
                            int64_t step_ms, ResultWindow *out);
