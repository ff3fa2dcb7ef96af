#pragma once
/*
 * result_json.h: a result as the bodies of /api/v1/query and /api/v1/query_range.
 * https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview
 */
#include "common/base/buf.h"
#include "querier/promql/engine.h"

typedef struct ResultJsonOptions {
    size_t series_max;      /* 0: all; a result cut off says so in a warning */
    size_t annotations_max; /* of warnings and of infos; 0: all. Prometheus: 10 */
    const Str *warnings;    /* more of them, said first */
    size_t warning_count;
    Str stats; /* JSON of data.stats; empty: none */
} ResultJsonOptions;

/* {"status":"success","data":{"resultType":...,"result":...},"warnings":[...],"infos":[...]}
 * ERR_LIMIT: `out` or the arena is full. */
MUST_USE ErrCode result_json_write(const PromqlResult *result, const Symbols *symbols,
                                   Str query_text, const ResultJsonOptions *options, Arena *arena,
                                   Buf *out, Error *err);
/* {"count":"3","sum":"1.5","buckets":[[0,"1","2","3"]]} */
void result_json_histogram(const Hist *h, Buf *out);
