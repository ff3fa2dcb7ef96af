#pragma once
/*
 * show.h: what a search shows of traces that it found, copied so that the table may go.
 */
#include "querier/traceql/engine/plan.h"

/* Columns of plan->output must be there. Into `arena`. */
MUST_USE ErrCode show_trace(Eval *eval, const Plan *plan, uint32_t trace, const SpanSet *sets,
                            size_t count, uint32_t spans_max, Arena *arena, TraceqlFound *out,
                            Error *err);
/* Leaves of a value what passes the mention's tests. */
MUST_USE ErrCode show_narrow(Eval *eval, const Mention *mention, TraceqlValue *value, Error *err);
MUST_USE ErrCode show_value(const TraceqlValue *value, Arena *arena, TraceqlValue *out, Error *err);
