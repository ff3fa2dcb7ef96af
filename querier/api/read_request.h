#pragma once
/*
 * read_request.h: the body of a remote_read request as selections.
 * https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/,
 * proto/prometheus_remote.proto
 */
#include "querier/exec/series.h"

typedef struct ReadRequest {
    SelectRequest *queries;
    size_t count;
    bool stream; /* STREAMED_XOR_CHUNKS was asked for first, else SAMPLES */
} ReadRequest;

/* `body`: protobuf in a snappy block, from anywhere. *out lives in `arena`, whose budget bounds
 * what is decoded. ERR_INVALID: the request is wrong, or has more than its limits (4 MiB, 256
 * queries, 1024 matchers of a query). ERR_LIMIT: out of memory. */
MUST_USE ErrCode read_request_decode(Arena *arena, Str body, ReadRequest *out, Error *err);
