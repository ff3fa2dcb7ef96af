#pragma once
/*
 * harness.h: evaluates an expression over a fake source, in one line.
 */
#include "querier/promql/engine.h"
#include "querier/promql/parser.h"
#include "querier/promql/result_json.h"
#include "tests/unit/promql/fake_source.h"
#include "tests/unit/unit.h"

typedef struct Harness {
    FakeSource *fake;
    Pool *pool;
    size_t memory_max;    /* 0: none */
    uint64_t samples_max; /* 0: none */
    const atomic_bool *cancelled;
    /* Of the last run. */
    Budget budget;
    Arena *arena;
    Symbols *symbols;
    PromqlResult result;
    Error err;
} Harness;

void harness_init(Harness *h);
void harness_done(Harness *h);
/* step_ms 0: instant, at end_ms. The result lives until the next run. */
MUST_USE ErrCode harness_run(Harness *h, const char *query, int64_t start_ms, int64_t end_ms,
                             int64_t step_ms);
/* The body of the answer, or "error: ..."; lives until the next run. */
const char *harness_json(Harness *h, const char *query, int64_t start_ms, int64_t end_ms,
                         int64_t step_ms);
/* name{a="b"} 1 2 _ 4: a sample every `step_ms` from 0; _ is none, `stale` a stale marker. */
void harness_load(Harness *h, int64_t step_ms, const char *line);
