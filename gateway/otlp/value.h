#pragma once
/*
 * value.h: OTLP's attributes and values, read where they lie.
 * https://github.com/open-telemetry/opentelemetry-proto: common/v1/common.proto (KeyValue,
 * AnyValue)
 *
 * Texts and what is nested are slices of the request. Nesting is looked at only when it is asked
 * for, and no deeper than OTLP_DEPTH_MAX.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "proto/wire/wire.h"

enum { OTLP_DEPTH_MAX = 32 };

typedef enum OtlpKind {
    OTLP_EMPTY,
    OTLP_STRING,
    OTLP_BOOL,
    OTLP_INT,
    OTLP_DOUBLE,
    OTLP_ARRAY,
    OTLP_MAP,
    OTLP_BYTES,
} OtlpKind;

typedef struct OtlpValue {
    OtlpKind kind;
    union {
        Str bytes; /* a string or bytes; of an array or a map: its message, still encoded */
        int64_t integer;
        double number;
        bool truth;
    };
} OtlpValue;

typedef struct OtlpAttribute {
    Str key;
    OtlpValue value;
} OtlpAttribute;

/* False: not protobuf. */
MUST_USE bool otlp_read_value(WireReader r, OtlpValue *out);
MUST_USE bool otlp_read_attribute(WireReader r, OtlpAttribute *out);

/* The attributes of a repeated KeyValue, one a call: those of field `number` in what is left of
 * `r`, other fields are passed over. *more is false at the end. False: not protobuf. */
MUST_USE bool otlp_next_attribute(WireReader *r, uint32_t number, OtlpAttribute *out, bool *more);

/* The value as text, as the collector's AsString() has it: numbers in decimal, bytes in base64,
 * arrays and maps as JSON with sorted keys. ERR_CORRUPT: not protobuf. ERR_INVALID: nested too
 * deeply. ERR_LIMIT: `arena` is used up. */
MUST_USE ErrCode otlp_value_text(const OtlpValue *value, Arena *arena, Str *out, Error *err);

/* The entries of a map (OTLP_MAP): as otlp_next_attribute(), from otlp_map_reader(). */
static inline WireReader otlp_map_reader(const OtlpValue *map) {
    return wire_reader(map->bytes);
}

/* Bytes as lower-case hex, as ids are written. NULL ptr: `arena` is used up. */
Str otlp_hex(Str bytes, Arena *arena);
