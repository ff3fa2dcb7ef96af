#pragma once
/* fake_traces.h: a TraceSource over spans in memory, some traces a unit. */
#include "querier/exec/traces.h"

typedef struct FakeTraces {
    TraceSource source;
    const Span *spans; /* of one trace next to each other */
    size_t count;
    size_t spans_per_unit; /* at least: a unit has whole traces */
    TraceUnit units[64];
    size_t first[65];
    size_t unit_count;
    size_t opened;
} FakeTraces;

void fake_traces_init(FakeTraces *fake, const Span *spans, size_t count, size_t spans_per_unit);
