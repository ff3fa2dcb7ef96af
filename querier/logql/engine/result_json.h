#pragma once
/*
 * result_json.h: a result as the bodies of /loki/api/v1/query and query_range.
 * https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time
 */
#include "common/base/buf.h"
#include "querier/logql/engine/engine.h"

typedef struct LogqlJsonOptions {
    bool categorize; /* as in LogqlParams: entries have a third element, and it is said so */
    const StreamStats *stats;
    uint64_t exec_ns;  /* how long the query ran */
    uint64_t queue_ns; /* and waited */
} LogqlJsonOptions;

/* {"status":"success","data":{"resultType":...,"result":...,"stats":{...}}}. ERR_LIMIT: `out` is
 * full. */
MUST_USE ErrCode logql_json_write(const LogqlResult *result, const Symbols *symbols,
                                  const LogqlJsonOptions *options, Buf *out, Error *err);
/* {"summary":{...},"querier":{...},"ingester":{...},...} of data.stats. */
void logql_json_stats(const LogqlResult *result, const LogqlJsonOptions *options, Buf *out);
/* {"a":"b"} */
void logql_json_pairs(LabelPairs pairs, Buf *out);
/* {"stream":{...},"values":[...]} */
void logql_json_stream(const LogqlStream *stream, bool categorize, Buf *out);
