#pragma once
/*
 * tempo_request.h: what Tempo's API can be asked, by parameters of HTTP or by a message of gRPC
 * (tempopb.StreamingQuerier): the same request either way, with the same checks.
 * https://grafana.com/docs/tempo/latest/api_docs/
 */
#include "querier/api/tempo.h"

typedef struct TempoSearch {
    Str query;
    bool by_tags; /* `tags`, or nothing at all: answered without sets of spans */
    int64_t start_ns;
    int64_t end_ns;
    uint32_t limit;
    uint32_t spans_max;
    int64_t duration_min_ns;
    int64_t duration_max_ns;
} TempoSearch;

typedef struct TempoTags {
    Str scope; /* one that exists, or empty */
    Str query;
    int64_t start_ns;
    int64_t end_ns;
    uint32_t limit; /* names of a scope; 0: all */
} TempoTags;

typedef struct TempoValues {
    Str tag;
    Str query;
    int64_t start_ns;
    int64_t end_ns;
    uint32_t limit; /* 0: all */
} TempoValues;

typedef struct TempoMetrics {
    Str query;
    int64_t start_ns;
    int64_t end_ns;
    int64_t step_ns; /* 0: an instant query */
    uint32_t exemplars;
    uint32_t series_max; /* 0: the tenant's */
} TempoMetrics;

/* ERR_INVALID, in Tempo's words. */
MUST_USE ErrCode tempo_search_params(ApiCall *call, TempoSearch *out, Error *err);
MUST_USE ErrCode tempo_tags_params(ApiCall *call, TempoTags *out, Error *err);
MUST_USE ErrCode tempo_values_params(ApiCall *call, TempoValues *out, Error *err);
MUST_USE ErrCode tempo_metrics_params(ApiCall *call, bool instant, TempoMetrics *out, Error *err);

/* Of the call's message. */
MUST_USE ErrCode tempo_search_message(ApiCall *call, TempoSearch *out, Error *err);
MUST_USE ErrCode tempo_tags_message(ApiCall *call, TempoTags *out, Error *err);
MUST_USE ErrCode tempo_values_message(ApiCall *call, TempoValues *out, Error *err);
MUST_USE ErrCode tempo_metrics_message(ApiCall *call, bool instant, TempoMetrics *out, Error *err);

/* The checks that both ways share, and defaults of what is 0. */
enum { TEMPO_SPANS_MAX = 100, TEMPO_LIMIT_MAX = 262144 };
MUST_USE ErrCode tempo_search_check(TempoSearch *search, Error *err);
MUST_USE ErrCode tempo_tags_check(const TempoTags *tags, Error *err);
MUST_USE ErrCode tempo_metrics_check(const ApiCall *call, const TempoMetrics *metrics, Error *err);
/* About 240 points, of a round width. */
int64_t tempo_default_step(int64_t start_ns, int64_t end_ns);
/* Seconds, 0 for none; both inclusive. ERR_INVALID: the end is not after the start. */
MUST_USE ErrCode tempo_seconds(uint64_t start, uint64_t end, int64_t *start_ns, int64_t *end_ns,
                               Error *err);
/* A tag of a search by tags: one more filter of `query`, to be met by any span of a trace. Then the
 * end, which makes none of them one that all spans meet. */
void tempo_tag_condition(Str key, Str value, Buf *query);
void tempo_tags_end(Buf *query);
/* Names and values are those of whole stretches of ten minutes. */
void tempo_widen(int64_t *start_ns, int64_t *end_ns);
