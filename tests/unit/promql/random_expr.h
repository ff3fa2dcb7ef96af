#pragma once
/*
 * random_expr.h: random expressions, whatever the grammar allows, and data for them: series gauge,
 * counter_total, native, custom, mixed and x_bucket of group g<i % 3>. Values are multiples of a
 * quarter, so that sums are exact in any order.
 */
#include "tests/unit/promql/fake_source.h"

void random_seed(uint64_t seed);
uint32_t random_draw(uint32_t below);
/* False: it would be longer than `size`. */
MUST_USE bool random_expr(int depth, char *out, size_t size);
/* Series i of each metric, with gaps, resets, stale markers and NaN; every step_ms from 0. */
void random_load(FakeSource *fake, unsigned i, int64_t samples, int64_t step_ms);
