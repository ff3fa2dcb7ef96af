#pragma once
/*
 * label_ops.h: what PromQL does to label sets that other languages don't.
 */
#include "querier/exec/label_sets.h"
#include "querier/promql/eval.h"

/* Without __name__, __type__ and __unit__: what an operation leaves of a metric. False: out of
 * memory. */
MUST_USE bool labels_drop_metadata(const Eval *eval, Arena *arena, LabelSet set, LabelSet *out);
