#pragma once
/*
 * native.h: OTLP's histograms as Prometheus' native ones: exponential ones with their scale as
 * schema, explicit ones with custom buckets.
 */
#include "common/batch/histogram.h"
#include "gateway/otlp/point.h"

/* In `arena`. ERR_INVALID: a scale below the coarsest schema. ERR_LIMIT: out of memory.
 * `delta`: the histogram doesn't count on from the one before. */
MUST_USE ErrCode otlp_native_exponential(const OtlpPoint *point, bool delta, Arena *arena,
                                         NativeHistogram **out, Error *err);
MUST_USE ErrCode otlp_native_explicit(const OtlpPoint *point, bool delta, Arena *arena,
                                      NativeHistogram **out, Error *err);
