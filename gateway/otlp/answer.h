#pragma once
/*
 * answer.h: what OTLP's senders are told, in the encoding that they sent.
 * https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
 *
 * Senders repeat 429, 502, 503 and 504 and nothing else: what may work later is never answered
 * otherwise, what can't get better never so.
 */
#include "common/base/buf.h"
#include "common/base/error.h"
#include "gateway/otlp/json.h"

/* ExportMetricsServiceResponse and the like: 200. `rejected` 0 with an empty `why`: everything was
 * taken. */
void otlp_answer_done(bool json, OtlpRequest kind, uint64_t rejected, Str why, Buf *out);
/* google.rpc.Status, with the HTTP status that goes with it. */
int otlp_answer_error(bool json, const Error *err, Buf *out);
