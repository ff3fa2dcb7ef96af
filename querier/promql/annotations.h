#pragma once
/*
 * annotations.h: warnings and infos about a query, with the texts that Prometheus' clients know.
 *
 * The same text is kept once, at the position where it was said last. Positions are ids of plan
 * nodes until the end, so that what was evaluated once for two places is annotated at both.
 * Not thread-safe: parallel parts have their own, merged in order.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/str.h"

typedef struct Annotations Annotations;

/* Kind, warning?, text. */
#define ANNOTATION_KINDS(X)                                                                        \
    X(INVALID_RATIO, true, "ratio value should be between -1 and 1")                               \
    X(INVALID_QUANTILE, true, "quantile value should be between 0 and 1")                          \
    X(INVALID_INTEGRAL_STRATEGY, true, "strategy should be 0, 1, or 2 (default), using 2")         \
    X(BAD_BUCKET_LABEL, true, "bucket label \"le\" is missing or has a malformed value")           \
    X(MIXED_FLOATS_HISTOGRAMS, true, "encountered a mix of histograms and floats for")             \
    X(MIXED_CLASSIC_NATIVE, true, "vector contains a mix of classic and native histograms")        \
    X(NOT_COUNTER, true, "this native histogram metric is not a counter:")                         \
    X(NOT_GAUGE, true, "this native histogram metric is not a gauge:")                             \
    X(MIXED_EXPONENTIAL_CUSTOM, true,                                                              \
      "vector contains a mix of histograms with exponential and custom buckets schemas for "       \
      "metric name")                                                                               \
    X(INCOMPATIBLE_BUCKETS, true, "incompatible bucket layout encountered for binary operator")    \
    X(SORT_IN_RANGE, true,                                                                         \
      "sort is ineffective for range queries since results are always ordered by labels")          \
    X(RESET_COLLISION, true, "conflicting counter resets during histogram")                        \
    X(MAYBE_NOT_COUNTER, false,                                                                    \
      "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:")           \
    X(MAYBE_NOT_COUNTER_TYPE, false,                                                               \
      "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"")  \
    X(FORCED_MONOTONICITY, false,                                                                  \
      "input to histogram_quantile needed to be fixed for monotonicity (see "                      \
      "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)")      \
    X(INCOMPATIBLE_TYPES, false, "incompatible sample types encountered for binary operator")      \
    X(HISTOGRAM_IGNORED, false, "ignored histogram in")                                            \
    X(HISTOGRAM_IGNORED_IN_RANGE, false,                                                           \
      "ignored histograms in a range containing both floats and histograms for metric name")       \
    X(QUANTILE_NAN, false, "input to histogram_quantile has NaN observations, result is NaN")      \
    X(QUANTILE_SKEWED, false,                                                                      \
      "input to histogram_quantile has NaN observations, result is skewed higher")                 \
    X(FRACTION_NAN, false,                                                                         \
      "input to histogram_fraction has NaN observations, which are excluded from all fractions")   \
    X(BOUNDS_RECONCILED, false, "mismatched custom buckets were reconciled during")

typedef enum AnnotationKind {
#define ANNOTATION_ENUM(kind, warning, text) ANNOTATION_##kind,
    ANNOTATION_KINDS(ANNOTATION_ENUM)
#undef ANNOTATION_ENUM
        ANNOTATION_KIND_COUNT,
} AnnotationKind;

/* Lives in `arena`. NULL: out of budget. */
Annotations *annotations_new(Arena *arena);

/* All of these never fail: what there is no memory for is not said. NULL is fine. */
void annotate(Annotations *a, AnnotationKind kind, uint32_t node);
/* After the text, formatted: `, got 1.5` */
void annotate_more(Annotations *a, AnnotationKind kind, uint32_t node, const char *format, ...)
    PRINTF_LIKE(4, 5);
void annotate_number(Annotations *a, AnnotationKind kind, uint32_t node, double number);
/* `... "name"` */
void annotate_name(Annotations *a, AnnotationKind kind, uint32_t node, Str name);
/* `... for metric name "name"`, or nothing more when there is no name. */
void annotate_for_name(Annotations *a, AnnotationKind kind, uint32_t node, Str name);
void annotate_bad_bucket(Annotations *a, uint32_t node, Str label, Str name);
void annotate_ratio(Annotations *a, uint32_t node, double ratio, double capped);
void annotate_type(Annotations *a, uint32_t node, Str type, Str name);

/* Classic buckets that had to be made to rise, summed up. */
typedef struct MonotonicityFixes {
    uint64_t times; /* 0: none, the others mean nothing */
    int64_t min_ms, max_ms;
    double min_bucket, max_bucket, max_diff;
} MonotonicityFixes;
void monotonicity_add(MonotonicityFixes *to, const MonotonicityFixes *more);
void annotate_monotonicity(Annotations *a, uint32_t node, Str name, const MonotonicityFixes *fixes);

/* Says all of `from` again, at nodes `shift` ids further on. */
void annotations_merge(Annotations *to, const Annotations *from, int64_t shift);

typedef struct AnnotationTexts {
    Str *warnings;
    size_t warning_count;
    Str *infos;
    size_t info_count;
} AnnotationTexts;

bool annotations_empty(const Annotations *a);
/* Whether all of them are about a metric, whatever its samples, and each was said at a node of its
 * own: then neither their texts nor their order depend on which steps they were said at. */
bool annotations_plain(const Annotations *a);

/* The texts with line:column of `positions[node]` in `query`. Past `max` of a sort (0: all) there
 * is one more that says how many were left out. In `arena`. ERR_LIMIT: out of budget. */
MUST_USE ErrCode annotations_texts(const Annotations *a, Str query, const uint32_t *positions,
                                   size_t max, Arena *arena, AnnotationTexts *out, Error *err);
