#pragma once
/*
 * answer.h: how remote write's requests are read and answered, apart from any socket.
 *
 * What senders do with an answer decides it: Prometheus repeats 5xx for ever, 429 only if told to,
 * and drops a batch on any other 4xx. So data that can't get better is 400, and what is only
 * passing is 503 (429 for a tenant's rate) with Retry-After. An exact repetition is no error.
 */
#include "common/batch/sink.h"
#include "gateway/metrics/rejects.h"
#include "gateway/prom/decode.h"

/* Reads Content-Type: none, or x-protobuf without `proto`, is 1.0. ERR_UNSUPPORTED: another one. */
MUST_USE ErrCode prom_content_type(Str header, PromVersion *out, Error *err);

typedef enum PromEncoding { PROM_SNAPPY, PROM_ZSTD, PROM_GZIP } PromEncoding;

/* Reads Content-Encoding: none is snappy. ERR_UNSUPPORTED: another one. */
MUST_USE ErrCode prom_content_encoding(Str header, PromEncoding *out, Error *err);

typedef struct PromAnswer {
    int status;
    uint64_t retry_after_s; /* 0: none */
    bool counts;            /* the three that follow go into headers */
    uint64_t samples, histograms, exemplars;
    char text[sizeof(((Error *)0)->text) + 128]; /* empty with 204 */
} PromAnswer;

/* A request that ended before it reached the sink. */
void prom_answer_error(const Error *err, uint64_t retry_after_ms, PromAnswer *out);
/* One that did, or that had nothing left to store (then `result` is all zeros). */
void prom_answer_result(const Rows *rows, const AppendResult *result, PromAnswer *out);
