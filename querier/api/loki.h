#pragma once
/*
 * loki.h: what the files of Loki's API share: its parameters, whose forms are not Prometheus'.
 * https://grafana.com/docs/loki/latest/reference/loki-http-api/
 */
#include "querier/api/internal.h"
#include "querier/logql/ast.h"

#define NS_PER_S INT64_C(1000000000)

/* start, end and since; the last hour without them. ERR_INVALID in Loki's words; also when `end`
 * lies before `start`. */
MUST_USE ErrCode loki_bounds(const ApiCall *call, int64_t *start_ns, int64_t *end_ns, Error *err);
/* Nanoseconds, seconds (up to ten digits, or with a point), RFC 3339. */
MUST_USE ErrCode loki_time_param(const ApiCall *call, const char *name, int64_t fallback_ns,
                                 int64_t *out, Error *err);
/* Seconds or a duration; `fallback_ns` when it is not there. */
MUST_USE ErrCode loki_duration_param(const ApiCall *call, const char *name, int64_t fallback_ns,
                                     int64_t *out, Error *err);
/* A step of one second at least that makes 250 points of the range. */
int64_t loki_default_step(int64_t start_ns, int64_t end_ns);
/* The client wants labels of entries apart from those of streams. */
bool loki_wants_categories(const ApiCall *call);
/* A count above 0. */
MUST_USE ErrCode loki_limit_param(const ApiCall *call, const char *name, uint64_t fallback,
                                  uint64_t *out, Error *err);
/* No more time than the tenant may ask for at once. */
MUST_USE ErrCode loki_check_range(const ApiCall *call, int64_t start_ns, int64_t end_ns,
                                  Error *err);

/* No more entries than the tenant may ask for at once. */
MUST_USE ErrCode loki_check_entries(const ApiCall *call, uint64_t limit, Error *err);

/* Streams that match, with the pages of theirs that lie in [start, end). */
MUST_USE ErrCode loki_select(ApiCall *call, const Matcher *matchers, size_t matcher_count,
                             int64_t start_ns, int64_t end_ns, StreamSet *out, Error *err);
/* The same for counting entries and bytes: what was deleted isn't counted. */
MUST_USE ErrCode loki_count(ApiCall *call, const Matcher *matchers, size_t matcher_count,
                            int64_t start_ns, int64_t end_ns, StreamSet *out, Error *err);
