#pragma once
/*
 * json.h: OTLP's JSON made into its protobuf, so that there is one decoder.
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: names in lowerCamelCase, ids in
 * hex, enums as numbers, 64-bit numbers as texts or numbers; unknown names are passed over.
 */
#include "common/base/buf.h"
#include "common/base/error.h"

typedef enum OtlpRequest {
    OTLP_METRICS_REQUEST,
    OTLP_LOGS_REQUEST,
    OTLP_TRACES_REQUEST,
} OtlpRequest;

/* Appends to `out`, which bounds the size. `arena` holds texts with escapes while they are looked
 * at. ERR_INVALID says what is wrong and at which byte. ERR_LIMIT: too large, or out of memory. */
MUST_USE ErrCode otlp_json_to_wire(OtlpRequest request, Str json, Arena *arena, Buf *out,
                                   Error *err);
