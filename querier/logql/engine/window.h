#pragma once
/*
 * window.h: which steps an instant counts for: those whose window (step - range, step] has it.
 */
#include "querier/logql/engine/eval.h"

typedef struct WindowGrid {
    int64_t first_ns; /* of the last instant of step 0's window: offset taken off */
    int64_t step_ns;
    int64_t range_ns; /* 0 or more */
    size_t steps;
} WindowGrid;

/* Steps [lo, hi], none when lo > hi, and the instants [from, to) for which they are the same: who
 * goes through entries in order seldom computes anything. */
typedef struct Window {
    int64_t from_ns, to_ns;
    int64_t lo, hi;
} Window;

static inline int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && a < 0);
}

/* Instants are within what the grid spans, and a bit: nothing overflows (engine.h). */
static inline Window window_at(const WindowGrid *grid, int64_t time_ns) {
    int64_t last = (int64_t)grid->steps - 1;
    int64_t lo = -floor_div(grid->first_ns - time_ns, grid->step_ns);
    int64_t hi = floor_div(time_ns + grid->range_ns - 1 - grid->first_ns, grid->step_ns);
    Window window = {
        .from_ns = MAX(grid->first_ns + (lo - 1) * grid->step_ns + 1,
                       grid->first_ns + hi * grid->step_ns - grid->range_ns + 1),
        .to_ns = MIN(grid->first_ns + lo * grid->step_ns + 1,
                     grid->first_ns + (hi + 1) * grid->step_ns - grid->range_ns + 1),
        .lo = MAX(lo, 0),
        .hi = MIN(hi, last),
    };

    return window;
}
