#pragma once
/*
 * tempo.h: what the files of Tempo's API share. Paths, parameters, statuses and bodies are those of
 * https://grafana.com/docs/tempo/latest/api_docs/
 */
#include "querier/api/internal.h"

/* `start` and `end` in whole seconds since 1970; without them everything. Both inclusive, an end to
 * the end of its second. ERR_INVALID: no numbers, or the end before the start. */
MUST_USE ErrCode tempo_bounds(const ApiCall *call, int64_t *min_ns, int64_t *max_ns, Error *err);

/* One to 32 hex digits of either case, with zeros put before them. */
MUST_USE ErrCode tempo_trace_id(Str text, TraceId *out, Error *err);

/* A table's spans in full, by origin: those of origins[i] are spans[starts[i], starts[i + 1]). */
typedef struct TempoSpans {
    const SpanOrigin *const *origins;
    uint32_t origin_count;
    const Span **spans;
    const uint32_t *starts;
} TempoSpans;
/* All columns of the table must be there. With `keep` only rows that have a 1 there. */
MUST_USE ErrCode tempo_spans(const SpanTable *table, const uint8_t *keep, Arena *arena,
                             TempoSpans *out, Error *err);

/* OTLP's messages: an array of ResourceSpans. JSON is protobuf's: 64-bit numbers as texts, ids in
 * base64, enums by name. */
void tempo_write_json(const TempoSpans *spans, Buf *out);
/* Repeated ResourceSpans with field number 1. False: `out` is full. */
MUST_USE bool tempo_write_resource_spans(const TempoSpans *spans, Buf *out);
/* {"stringValue":"x"} and so on. */
void tempo_write_value(const Attribute *attribute, Buf *out);
