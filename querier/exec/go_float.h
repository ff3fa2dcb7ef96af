#pragma once
/*
 * go_float.h: numbers and durations as Prometheus' and Loki's texts and label values have them,
 * which are Go's formats.
 */
#include "common/base/buf.h"

void go_append_g(Buf *out, double v);  /* %g: shortest digits, 1e+06, 1e-05, NaN, +Inf */
void go_append_f(Buf *out, double v);  /* shortest digits, never an exponent */
void go_append_2g(Buf *out, double v); /* %.2g */
/* OpenMetrics: as %g, but 1.0 for 1. */
void go_append_open_metrics(Buf *out, double v);
/* As Prometheus' model.Duration: 1h30m, 1w, 0s. */
void go_append_duration(Buf *out, int64_t ms);
