#pragma once
/*
 * select.h: what queries see of a head: on the lane's thread while it is live, on any once frozen.
 *
 * Results point into the head (dictionary, pair numbers, stream bytes): who asks keeps the
 * generation pinned, slab_pin() included, for as long as the arena lives.
 */
#include "common/block/heads.h"
#include "ingester/head/match.h"
#include "ingester/head/metrics.h"

/* `tenant` is the generation's number for select->tenant. With `exemplars` it takes the series that
 * have some in the range, and (*exemplars)[i] are those of out->series[i]. ERR_LIMIT: the arena. */
MUST_USE ErrCode metrics_head_select(const MetricsHead *head, uint32_t tenant,
                                     const HeadSelect *select, Arena *arena, MetricsSelection *out,
                                     HeadExemplars **exemplars, Error *err);
/* Label names (`name` empty) or values, each once, unsorted; appended to *out, which grows. */
MUST_USE ErrCode metrics_head_labels(const MetricsHead *head, uint32_t tenant, Str name,
                                     Arena *arena, StrList *out, Error *err);
typedef struct MetadataList {
    MetadataItem *items;
    size_t count;
    size_t capacity;
} MetadataList;
MUST_USE ErrCode metrics_head_metadata(const MetricsHead *head, uint32_t tenant, Arena *arena,
                                       MetadataList *out, Error *err);
