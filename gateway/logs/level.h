#pragma once
/*
 * level.h: the level of a log entry, found as Loki finds it: in its labels or structured metadata,
 * else in the line (a field of JSON or logfmt, or a word).
 * https://grafana.com/docs/loki/latest/get-started/labels/ ("detected_level")
 */
#include "common/batch/labels.h"

extern const Str LEVEL_LABEL; /* "detected_level" */

/* "warning" is "warn"; what is no known level comes back as it is. */
Str level_normal(Str level);
/* Of the labels people write levels into, the first that is there; empty: none. */
Str level_of_labels(const LabelPair *pairs, size_t count);
/* From OTLP's severity_number, as text. */
Str level_of_severity(Str number);
/* "unknown" where the line says nothing. The cost is one pass over most lines. */
Str level_of_line(Str line);
